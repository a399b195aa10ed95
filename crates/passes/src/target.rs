//! Targets: a table of which form runs well in which runtime. The docs of a field give the measurements.

use crate::convert::BLOCKS_SINCE;
use crate::read::masks;
use netwright_ir::nearest::suggestion;
use netwright_ir::{ElementType, Graph, Op, OpKind, Value};
use std::fmt;
use std::str::FromStr;

/// A runtime that models are lowered for.
///
/// ```
/// use netwright_passes::Target;
/// assert_eq!("ort".parse(), Ok(Target::ORT));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
#[expect(clippy::struct_excessive_bools, reason = "a table of what a runtime does and does not")]
pub struct Target {
    /// The word on the command line.
    pub name: &'static str,
    /// The name of the runtime, for people.
    pub summary: &'static str,
    /// Where the scale of a softmax goes.
    ///
    /// Both runtimes fold a `Mul` by a constant that directly follows a `MatMul` into it (ONNX Runtime 1.32, tract
    /// 0.23.9), so folding the scale into a projection is not faster there, but saves a node in every attention. The
    /// `onnx` target never rewrites trained weights.
    pub scale: Scale,
    /// The minimum number of elements of a weight whose Gemm is kept between two Reshapes; a smaller one becomes MatMul
    /// and Add.
    ///
    /// In ONNX Runtime 1.32, for one row and 24 weights of 768 x 3072, Gemm takes 17.6 ms, MatMul and Add 19.4 ms,
    /// because Gemm adds the bias while it multiplies; the Reshapes take some microseconds. With many rows there is no
    /// difference.
    pub keeps_gemm: Option<u64>,
    /// Composite operators that the runtime lacks, or computes slower or less accurately than their parts.
    ///
    /// tract 0.23.9 ignores the `alpha` of Swish. ONNX Runtime 1.32 has no kernel for Swish, and decomposes it only
    /// outside of bodies.
    pub lacks: &'static [OpKind],
    /// The forms of Attention that the runtime runs.
    ///
    /// ONNX Runtime 1.32 rejects an Attention whose batch or length is 0 ("must be greater than 0"), although products
    /// and softmax give an empty result. A symbolic size may be 0, so every model with Attention is only valid for
    /// sizes of at least 1; `--skip fuse-attention` writes one that runs for 0.
    ///
    /// tract 0.23.9 computes Attention on all cores, and everything else on one. On one core, an export of BERT-base
    /// (128 tokens) takes 255 ms, with the operator 248 ms, without it 231 ms; a step of GPT-2 after 511 tokens takes
    /// 58 ms, with the operator 50 ms. We still emit it: decoding is faster with it, and so is prefill on several
    /// cores.
    pub attention: AttentionKernel,
    /// Whether the runtime has the operators of the domain `com.microsoft`.
    pub contrib: bool,
    /// Whether one product replaces those of the queries, keys and values of an attention, which saves time in ONNX
    /// Runtime. Models that share their weights must all do so, or none.
    pub packs_projections: bool,
    /// Whether the runtime arranges a matrix for its kernel when it loads a model only if one product is the only use of
    /// the matrix, and otherwise in every run. A table that is tied to the head is then copied.
    pub arranges_own_weights: bool,
    /// The forms of quantized weights that it runs.
    pub weights: WeightKernels,
    /// Whether passes form an operator only for element types for which ONNX Runtime's CPU provider has a kernel.
    ///
    /// ONNX's Gelu supports f64. ONNX Runtime 1.32 runs its parts in f64, but not Gelu.
    pub asks_for_kernels: bool,
    /// Whether the opset of a model is raised [by default](crate::Options::for_target).
    ///
    /// The `onnx` target keeps the opset, because an older runtime may open the file.
    pub raises_opset: bool,
    /// Operators that prevent raising the opset of a model, because the target does not run them in newer opsets. The
    /// element types are those of the first result for which that holds; empty means all.
    ///
    /// ONNX Runtime 1.32 has kernels for some of them up to opset 21. For others it has no kernels for the listed types,
    /// but decomposes them as ONNX defines them up to opset 18.
    pub keep_opset: &'static [(OpKind, &'static [ElementType])],
    /// The newest opset that a model [may be raised](crate::Options::raise_opset) to.
    ///
    /// ONNX Runtime 1.32 has no kernel for the Attention of opset 25.
    pub newest_opset: i64,
}

/// Which forms of quantized weights a runtime runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
#[expect(clippy::struct_excessive_bools, reason = "a table of what a runtime does and does not")]
pub struct WeightKernels {
    /// The bits of the weights in blocks that it multiplies by and looks up as they are stored, by MatMulNBits and
    /// GatherBlockQuantized of `com.microsoft`.
    ///
    /// ONNX Runtime 1.32 has kernels for 2 bits too, which no scheme quantizes to. tract 0.23.9 has none for 8.
    pub bits: &'static [u32],
    /// The only size of such blocks, if it gains nothing by others: tract 0.23.9 expands blocks of other sizes than 32
    /// to `f32` when it loads a model.
    pub size: Option<u64>,
    /// The float type to which it rounds the scales of such blocks.
    pub scales: Option<ElementType>,
    /// Whether it looks up rows of an odd number of blocks with zero points; tract 0.23.9 does not.
    pub odd_zeros: bool,
    /// Whether weights of 8 bits have one scale for each column; tract 0.23.9 has no DequantizeLinear with blocks.
    pub whole_columns: bool,
    /// The largest number of elements of such a weight that it dequantizes once, when it loads a model, and not in every
    /// run: tract 0.23.9 folds constants of up to 4 MB. Concatenating what is folded is folded too.
    pub folded: Option<u64>,
    /// Whether the scales of DequantizeLinear and QuantizeLinear must be `f32`; tract 0.23.9 takes no others.
    pub wide_scales: bool,
    /// Whether a Reshape that merges heads directly before a product with such blocks in f32 makes its result wrong:
    /// tract 0.23.9 also reshapes the blocks.
    pub reshapes_blocks: bool,
}

impl WeightKernels {
    /// Standard operators alone.
    const STANDARD: WeightKernels = WeightKernels {
        bits: &[],
        size: None,
        scales: None,
        odd_zeros: true,
        whole_columns: false,
        folded: None,
        wide_scales: false,
        reshapes_blocks: false,
    };
}

/// The forms of ONNX's Attention that a runtime runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
#[expect(clippy::struct_excessive_bools, reason = "a table of what a runtime does and does not")]
pub struct AttentionKernel {
    /// Whether it supports a softcap; tract 0.23.9 rejects it.
    pub softcap: bool,
    /// Whether a row that is fully masked gives the result of the standard: zeros for -inf and truth values, else the
    /// mean. tract 0.23.9 returns NaN for -inf, does not support truth values, and skips blocks whose masks are less
    /// than -65503. ONNX Runtime 1.32 also returns zeros for a row of the lowest float, for which the standard
    /// specifies the mean.
    pub masked_rows: bool,
    /// Whether the queries' axis of a mask may be broadcast. ONNX Runtime 1.32 and tract 0.23.9 reject
    /// `[batch, 1, 1, key]`, so the `onnx` target does not allow it either.
    pub broadcast_masks: bool,
    /// Whether it returns scores, and has an operand for the lengths of keys; tract 0.23.9 supports neither.
    pub scores_and_lengths: bool,
    /// Whether the scores of causal attention are those of the standard; those of ONNX Runtime 1.32 differ.
    pub causal_scores: bool,
    /// Whether the numbers of queries and keys may differ in causal attention; the results of tract 0.23.9 are then
    /// wrong.
    pub causal_after_past: bool,
    /// Whether it adds `f32` masks to scores in `f32` for all types of queries. tract 0.23.9 does. ONNX Runtime 1.32
    /// only has kernels for masks of the type of the queries, to which it rounds the sums.
    pub wide_sums: bool,
    /// Whether a fully masked row must be that of the model although `f16` rounds its scores. It need not be if the KV
    /// cache [is shared](crate::Options::share_cache), which changes rows of padding anyway.
    pub keeps_masked_rows: bool,
    /// Whether it supports windows; ONNX Runtime 1.32 has no kernel for the operator of opset 25, which introduced
    /// them.
    pub windows: bool,
}

impl AttentionKernel {
    /// Everything that the standard specifies.
    const STANDARD: AttentionKernel = AttentionKernel {
        softcap: true,
        masked_rows: true,
        broadcast_masks: true,
        scores_and_lengths: true,
        causal_scores: true,
        causal_after_past: true,
        wide_sums: false,
        keeps_masked_rows: true,
        windows: true,
    };

    /// Whether the kernel runs the form of a node.
    pub(crate) fn runs(self, graph: &Graph, node: Value) -> bool {
        let Op::Attention { is_causal, left_window_size, right_window_size, softcap, .. } = *graph.op(node) else {
            return false;
        };
        let operand = |at: usize| graph.operand(node.node, at);
        let length = |at: usize| {
            let shape = graph.shape(operand(at)?)?;
            shape.get(shape.len().checked_sub(2)?)
        };
        let mask = operand(3);
        let may_mask_rows = mask.is_some_and(|mask| !masks::hides_no_row(graph, mask));
        let has_queries = mask.is_none_or(|mask| {
            let axis = graph.shape(mask).and_then(|shape| shape.get(shape.len().checked_sub(2)?));
            axis.zip(length(0)).is_some_and(|(own, queries)| own.same(queries) == Some(true))
        });
        let scores = graph.results(node.node).nth(3).is_some_and(|scores| graph.use_count(scores) > 0);
        let is_square = operand(4).is_none() && length(0).zip(length(1)).is_some_and(|(a, b)| a.same(b) == Some(true));
        (self.softcap || softcap == 0.0)
            && (self.masked_rows || !may_mask_rows)
            && (self.broadcast_masks || has_queries)
            && (self.scores_and_lengths || !scores && operand(6).is_none())
            && (self.causal_scores || !scores || !is_causal)
            && (self.causal_after_past || !is_causal || is_square)
            && (self.windows || left_window_size < 0 && right_window_size < 0)
    }
}

/// The composite operators that are formed in any opset: the opset is raised for them, or they are decomposed at the
/// end.
pub(crate) const LOWERED: [OpKind; 6] = [
    OpKind::LayerNormalization,
    OpKind::Gelu,
    OpKind::RMSNormalization,
    OpKind::RotaryEmbedding,
    OpKind::Attention,
    OpKind::Swish,
];

const F64: &[ElementType] = &[ElementType::F64];

/// The operators that ONNX Runtime 1.32 does not run in the newest opsets.
const KEEP_OPSET: &[(OpKind, &[ElementType])] = &[
    (OpKind::Bernoulli, &[]),
    (OpKind::GlobalLpPool, &[]),
    (OpKind::MaxRoiPool, &[]),
    (OpKind::Multinomial, &[]),
    (OpKind::RandomNormal, &[]),
    (OpKind::RandomNormalLike, &[]),
    (OpKind::RandomUniform, &[]),
    (OpKind::RandomUniformLike, &[]),
    (OpKind::RoiAlign, &[]),
    (OpKind::Elu, F64),
    (OpKind::HardSigmoid, F64),
    (OpKind::HardSwish, F64),
    (OpKind::LeakyRelu, F64),
    (OpKind::Mish, F64),
    (OpKind::PRelu, &[ElementType::F64, ElementType::I32, ElementType::I64]),
    (OpKind::Relu, &[ElementType::I64]),
    (OpKind::Selu, F64),
    (OpKind::Softplus, F64),
    (OpKind::Softsign, F64),
    (OpKind::ThresholdedRelu, F64),
];

/// Returns the first opset that has a composite operator. For other operators, every opset qualifies.
pub(crate) fn since(kind: OpKind) -> i64 {
    Some(kind).filter(|kind| LOWERED.contains(kind)).and_then(OpKind::since).unwrap_or(i64::MIN)
}

/// Whether ONNX Runtime runs an operator in opsets before the one that introduces it.
fn runs_early(kind: OpKind) -> bool {
    kind == OpKind::LayerNormalization
}

/// Returns the opset that the composite operators of a graph and its bodies require. `None` if the opset must stay: an
/// unknown operator may have another meaning in another opset, and another may have no kernel there.
pub(crate) fn wanted_opset(graph: &Graph, target: &Target) -> Option<i64> {
    let mut wanted = i64::MIN;
    for id in graph.schedule() {
        let op = graph.node(id).op();
        let is_unknown = matches!(op, Op::Opaque(opaque) if opaque.domain.is_empty());
        let element = graph.results(id).next().and_then(|result| graph.fact(result).element());
        let is_of = |elements: &[ElementType]| elements.is_empty() || element.is_some_and(|of| elements.contains(&of));
        if is_unknown || target.keep_opset.iter().any(|(kind, elements)| *kind == op.kind() && is_of(elements)) {
            return None;
        }
        if !target.lacks.contains(&op.kind()) {
            wanted = wanted.max(since(op.kind()));
        }
        if matches!(op, Op::DequantizeLinear { block_size: 1.., .. }) {
            wanted = wanted.max(BLOCKS_SINCE);
        }
        for body in op.bodies() {
            wanted = wanted.max(wanted_opset(body, target)?);
        }
    }
    Some(wanted)
}

/// The operator that receives the scale of a softmax.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scale {
    /// A `Mul` directly after the matrix product.
    Mul,
    /// The weight and the bias of the query projection, if there is one; else a `Mul`.
    Projection,
}

impl Target {
    /// Any runtime that supports ONNX.
    pub const ONNX: Target = Target {
        name: "onnx",
        summary: "any runtime of ONNX",
        scale: Scale::Mul,
        keeps_gemm: None,
        lacks: &[],
        attention: AttentionKernel { broadcast_masks: false, ..AttentionKernel::STANDARD },
        contrib: false,
        packs_projections: false,
        arranges_own_weights: false,
        weights: WeightKernels::STANDARD,
        asks_for_kernels: true,
        keep_opset: &[],
        raises_opset: false,
        newest_opset: 23,
    };
    /// The runtime tract.
    pub const TRACT: Target = Target {
        name: "tract",
        summary: "tract",
        scale: Scale::Projection,
        keeps_gemm: None,
        lacks: &[OpKind::Swish],
        attention: AttentionKernel {
            softcap: false,
            masked_rows: false,
            broadcast_masks: false,
            scores_and_lengths: false,
            causal_scores: false,
            causal_after_past: false,
            wide_sums: true,
            keeps_masked_rows: true,
            windows: false,
        },
        contrib: false,
        packs_projections: false,
        arranges_own_weights: true,
        weights: WeightKernels {
            bits: &[4],
            size: Some(32),
            scales: Some(ElementType::F16),
            odd_zeros: false,
            whole_columns: true,
            folded: Some(1 << 20),
            wide_scales: true,
            reshapes_blocks: true,
        },
        asks_for_kernels: false,
        keep_opset: &[],
        raises_opset: true,
        newest_opset: 23,
    };
    /// The runtime ONNX Runtime, on the CPU.
    pub const ORT: Target = Target {
        name: "ort",
        summary: "ONNX Runtime",
        scale: Scale::Projection,
        keeps_gemm: Some(1 << 16),
        lacks: &[OpKind::Swish],
        attention: AttentionKernel {
            broadcast_masks: false,
            causal_scores: false,
            windows: false,
            ..AttentionKernel::STANDARD
        },
        contrib: true,
        packs_projections: true,
        arranges_own_weights: false,
        weights: WeightKernels { bits: &[4, 8], ..WeightKernels::STANDARD },
        asks_for_kernels: true,
        keep_opset: KEEP_OPSET,
        raises_opset: true,
        newest_opset: 24,
    };

    /// Every target.
    pub const ALL: [Target; 3] = [Self::ONNX, Self::TRACT, Self::ORT];

    /// Whether the target runs an operator in an opset, and as well as the operator's parts.
    pub fn runs(&self, kind: OpKind, opset: i64) -> bool {
        opset >= since(kind) && !self.lacks.contains(&kind)
    }

    /// Whether lowering to an opset keeps an operator. With `early`, it keeps operators that ONNX Runtime also runs in
    /// older opsets.
    pub(crate) fn keeps(&self, kind: OpKind, opset: i64, early: bool) -> bool {
        self.runs(kind, opset) || early && runs_early(kind)
    }
}

impl Default for Target {
    fn default() -> Self {
        Self::ONNX
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name)
    }
}

/// A word that is not the name of a target.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{word}` is not a target: {}", suggestion(word, &Target::ALL.map(|target| target.name)))]
pub struct UnknownTarget {
    /// The word.
    pub word: String,
}

impl FromStr for Target {
    type Err = UnknownTarget;

    fn from_str(word: &str) -> Result<Self, UnknownTarget> {
        let known = Self::ALL.into_iter().find(|target| target.name == word);
        known.ok_or_else(|| UnknownTarget { word: word.to_owned() })
    }
}
