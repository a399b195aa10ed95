//! The options of [`optimize`](crate::optimize).

use crate::convert::{Precision, Quantization};
use crate::evaluate::{Evaluate, Evaluator};
use crate::pass::Pass;
use crate::pipeline::Limits;
use crate::prove::Prover;
use crate::target::Target;
use std::sync::Arc;

/// Options that determine how a model is optimized.
///
/// [`Options::for_target`] returns the defaults of a target, which the command line and the library share.
///
/// ```
/// use netwright_passes::{Options, Target};
/// let options = Options::for_target(Target::ORT).with_skip(["fuse-gelu"]);
/// assert!(options.raise_opset);
/// ```
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
#[expect(clippy::struct_excessive_bools, reason = "independent switches")]
pub struct Options {
    /// The runtime that the model is for.
    pub target: Target,
    /// Whether the opset may be raised, as far as composite operators require that the target runs well. It stays if
    /// the model has functions, or unknown operators of ONNX, which may have another meaning in another opset.
    pub raise_opset: bool,
    /// The names of the passes to run, for any target; `None` runs the passes of the target.
    pub only: Option<Vec<String>>,
    /// The names of passes that do not run.
    pub skip: Vec<String>,
    /// Passes of the caller, independent of `only` and `skip`. In its stages, each runs after the passes that it
    /// [names](Pass::after), or else after all others, in this order.
    pub own: Vec<Arc<Pass>>,
    /// Whether the KV cache becomes a buffer that the caller preallocates, for targets with operators of
    /// `com.microsoft`. Every `past` and `present` is `[batch, heads, max_length, head_size]`, and both may share
    /// memory, to which a step adds its keys and values. The padding mask is `[batch, past + seq]`, whose size
    /// determines how much of the buffer is past; a model without a mask gets an input `past_sequence_length`,
    /// `i64[1]`, for that. Rows of padding may have other results, and if several tokens follow a past, the batch may
    /// have to be 1. A key to whose score a mask adds -10,000 or less is assumed to have no weight. The report's
    /// `share-cache` lines say what changed.
    pub share_cache: bool,
    /// Whether a decoder without a KV cache gets one: inputs `past_key_values.N.key` and `.value`, `[batch, heads, past,
    /// head_size]`, and outputs `present.N.key` and `.value` for the next step. A padding mask becomes
    /// `[batch, past + seq]`. The report's `add-kv-cache` lines say what changed. It is an error if steps are not known
    /// to compute what the model computes for all tokens at once.
    pub add_cache: bool,
    /// Whether quantized weights become floats, before any are quantized.
    pub dequantize: bool,
    /// Which weights are quantized, and how, if any.
    pub quantization: Option<Quantization>,
    /// The float type to which the model is converted, if any.
    pub precision: Option<Precision>,
    /// The runtime that computes constants, if any.
    pub evaluator: Option<Evaluator>,
    /// The runtime that proves every rewrite, if any; rewrites that it refutes are left out.
    pub prover: Option<Prover>,
    /// After how many rewrites to stop, and whether to check the graph; lowering always runs.
    pub limits: Limits,
}

impl Options {
    /// Returns the defaults for a target: all passes of the target, and the opset raised as far as composite operators
    /// require. [`Target::ONNX`] keeps the opset of the model.
    ///
    /// No runtime computes constants by default; the command line sets tract as [the evaluator](Self::with_evaluator).
    pub fn for_target(target: Target) -> Self {
        Self { target, raise_opset: target.raises_opset, ..Self::default() }
    }

    /// Sets [`raise_opset`](Self::raise_opset).
    pub fn with_raise_opset(mut self, raise_opset: bool) -> Self {
        self.raise_opset = raise_opset;
        self
    }

    /// Sets [`only`](Self::only): the passes to run.
    pub fn with_only<N: Into<String>>(mut self, names: impl IntoIterator<Item = N>) -> Self {
        self.only = Some(names.into_iter().map(Into::into).collect());
        self
    }

    /// Sets [`skip`](Self::skip): the passes not to run.
    pub fn with_skip<N: Into<String>>(mut self, names: impl IntoIterator<Item = N>) -> Self {
        self.skip = names.into_iter().map(Into::into).collect();
        self
    }

    /// Adds a pass of the caller to [`own`](Self::own).
    pub fn with_own(mut self, pass: Pass) -> Self {
        self.own.push(Arc::new(pass));
        self
    }

    /// Sets [`share_cache`](Self::share_cache).
    pub fn with_share_cache(mut self, share_cache: bool) -> Self {
        self.share_cache = share_cache;
        self
    }

    /// Sets [`add_cache`](Self::add_cache).
    pub fn with_add_cache(mut self, add_cache: bool) -> Self {
        self.add_cache = add_cache;
        self
    }

    /// Sets [`dequantize`](Self::dequantize).
    pub fn with_dequantize(mut self, dequantize: bool) -> Self {
        self.dequantize = dequantize;
        self
    }

    /// Sets [`quantization`](Self::quantization): weights are quantized.
    pub fn with_quantization(mut self, quantization: Quantization) -> Self {
        self.quantization = Some(quantization);
        self
    }

    /// Sets [`precision`](Self::precision): the float type to which the model is converted.
    pub fn with_precision(mut self, precision: Precision) -> Self {
        self.precision = Some(precision);
        self
    }

    /// Sets the runtime that computes constants.
    pub fn with_evaluator(mut self, runtime: impl Evaluate + 'static) -> Self {
        self.evaluator = Some(Evaluator::new(runtime));
        self
    }

    /// Sets the runtime that proves every rewrite.
    pub fn with_prover(mut self, prover: Prover) -> Self {
        self.prover = Some(prover);
        self
    }

    /// Sets [`limits`](Self::limits): after how many rewrites to stop, and whether to check the graph.
    pub fn with_limits(mut self, limits: Limits) -> Self {
        self.limits = limits;
        self
    }
}
