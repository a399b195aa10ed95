//! Targets: which form runs well where. A table of data; every field carries the measurement behind it.

use crate::read::masks;
use netwright_ir::{Graph, Op, OpKind, Value};
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
pub struct Target {
    /// The word on the command line.
    pub name: &'static str,
    /// What it is.
    pub summary: &'static str,
    /// What becomes of the scale of a softmax.
    ///
    /// Both runtimes fold a `Mul` by a constant that directly follows a `MatMul` into it (ONNX Runtime 1.32, tract
    /// 0.23.9), so a folded projection is no faster there; it has a node less, in every attention, and costs nothing.
    /// A file for any runtime keeps its weights as they were trained.
    pub scale: Scale,
    /// A Gemm whose weight has at least so many elements is kept where a model has it, between two Reshapes; a smaller one
    /// becomes MatMul and Add.
    ///
    /// ONNX Runtime 1.32, one row by weights of 768 x 3072: Gemm 17.6 ms, MatMul and Add 19.4 ms for 24 of them, since
    /// the bias is added while it multiplies; the Reshapes take some microseconds. With many rows both are alike.
    pub keeps_gemm: Option<u64>,
    /// Operators of ONNX that it lacks, or that it computes slower or otherwise than what they stand for.
    ///
    /// tract 0.23.9 ignores the `alpha` of Swish; ONNX Runtime 1.32 has no kernel for it, and writes it out only outside of bodies.
    pub lacks: &'static [OpKind],
    /// Which forms of Attention it runs.
    ///
    /// ONNX Runtime 1.32 refuses an Attention whose batch or length is 0 ("must be greater than 0"), where products and
    /// softmax give an empty result. A size that has only a name may be 0, so every model with Attention is meant for
    /// sizes of 1 and more; `--skip fuse-attention` writes one that runs for 0.
    ///
    /// tract 0.23.9 attends on all cores, and computes all else on one. On one alone, exports of BERT-base (128 tokens) and
    /// a step of GPT-2 (behind 511) take 255 ms and 58 ms; with the operator 248 ms and 50 ms, without it BERT-base takes
    /// 231 ms. It stays, for all that decodes and for those who have several cores.
    pub attention: AttentionKernel,
    /// Whether it runs the operators of the domain `com.microsoft`.
    pub contrib: bool,
    /// Whether passes form an operator only for element types for which ONNX Runtime's CPU provider has a kernel.
    ///
    /// ONNX's Gelu takes f64, and ONNX Runtime 1.32 runs the operators that it stands for in f64, but not Gelu.
    pub asks_for_kernels: bool,
    /// Whether the opset of a model is raised [by default](crate::Options::for_target).
    ///
    /// A file for any runtime keeps its opset: an older runtime may be the one that opens it.
    pub raises_opset: bool,
    /// Operators that keep the opset of a model from being raised, since the target has no kernel for their newest
    /// version.
    ///
    /// ONNX Runtime 1.32 has kernels for these up to opset 21.
    pub keep_opset: &'static [OpKind],
    /// The newest opset that a model [may be raised](crate::Options::raise_opset) to.
    ///
    /// ONNX Runtime 1.32 has no kernel for the Attention of opset 25.
    pub newest_opset: i64,
}

/// Which forms of ONNX's Attention a runtime runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
#[expect(clippy::struct_excessive_bools, reason = "a table of what a runtime does and does not")]
pub struct AttentionKernel {
    /// Whether it caps scores; tract 0.23.9 refuses to.
    pub softcap: bool,
    /// Whether a row that is fully masked gives what the standard says: zeros for -inf and truth values, else the mean.
    /// tract 0.23.9 gives NaN for -inf, takes no truth values, and leaves out blocks whose masks are less than -65503.
    /// ONNX Runtime 1.32 gives zeros for a row of the least float too, where the standard says the mean.
    pub masked_rows: bool,
    /// Whether a mask need not have an axis for the queries; ONNX Runtime 1.32 and tract 0.23.9 refuse `[batch, 1, 1, key]`,
    /// and so a model for any runtime has none.
    pub broadcast_masks: bool,
    /// Whether it gives scores, and takes lengths of keys; tract 0.23.9 does neither.
    pub scores_and_lengths: bool,
    /// Whether scores of causal attention are those of the standard; ONNX Runtime 1.32 gives others.
    pub causal_scores: bool,
    /// Whether causal queries need not be as many as keys; tract 0.23.9 is wrong where they are not.
    pub causal_after_past: bool,
    /// Whether it adds masks of `f32` to scores in `f32`, whatever the type of the queries; tract 0.23.9 does, and ONNX
    /// Runtime 1.32 has a kernel only for masks of that type, to which it rounds the sums.
    pub wide_sums: bool,
    /// Whether it has windows; ONNX Runtime 1.32 has no kernel for the operator of opset 25, which brought them.
    pub windows: bool,
}

impl AttentionKernel {
    /// All that the standard says.
    const STANDARD: AttentionKernel = AttentionKernel {
        softcap: true,
        masked_rows: true,
        broadcast_masks: true,
        scores_and_lengths: true,
        causal_scores: true,
        causal_after_past: true,
        wide_sums: false,
        windows: true,
    };

    /// Whether it runs the form of a node.
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

/// The operators that stand for several, and are formed whatever the opset: it is raised for them, or they are written
/// out at the end.
pub(crate) const LOWERED: [OpKind; 6] = [
    OpKind::LayerNormalization,
    OpKind::Gelu,
    OpKind::RMSNormalization,
    OpKind::RotaryEmbedding,
    OpKind::Attention,
    OpKind::Swish,
];

/// The operators of which ONNX Runtime 1.32 has kernels up to opset 21, or which it writes out as one of those.
const KEEP_OPSET: &[OpKind] = &[
    OpKind::Bernoulli,
    OpKind::GlobalLpPool,
    OpKind::MaxRoiPool,
    OpKind::Multinomial,
    OpKind::RandomNormal,
    OpKind::RandomNormalLike,
    OpKind::RandomUniform,
    OpKind::RandomUniformLike,
    OpKind::RoiAlign,
];

/// The opset from which on ONNX has an operator that stands for several; of others nothing is asked.
pub(crate) fn since(kind: OpKind) -> i64 {
    Some(kind).filter(|kind| LOWERED.contains(kind)).and_then(OpKind::since).unwrap_or(i64::MIN)
}

/// Whether ONNX Runtime runs the operator in opsets before the one that brings it.
pub(crate) fn runs_early(kind: OpKind) -> bool {
    kind == OpKind::LayerNormalization
}

/// The opset that the operators of a graph and of the bodies in it ask for; `None` where one is not understood, which
/// another opset may give another meaning, or has no kernel in another one.
pub(crate) fn wanted_opset(graph: &Graph, target: &Target) -> Option<i64> {
    let mut wanted = i64::MIN;
    for id in graph.schedule() {
        let op = graph.node(id).op();
        let is_unknown = matches!(op, Op::Opaque(kept) if kept.domain.is_empty());
        if is_unknown || target.keep_opset.contains(&op.kind()) {
            return None;
        }
        if !target.lacks.contains(&op.kind()) {
            wanted = wanted.max(since(op.kind()));
        }
        for body in op.bodies() {
            wanted = wanted.max(wanted_opset(body, target)?);
        }
    }
    Some(wanted)
}

/// Where the scale of a softmax goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scale {
    /// A `Mul` directly behind the matrix product.
    Mul,
    /// The weight and the bias of the query projection, where there is one; else a `Mul`.
    Projection,
}

impl Target {
    /// Any runtime.
    pub const ONNX: Target = Target {
        name: "onnx",
        summary: "any runtime of ONNX",
        scale: Scale::Mul,
        keeps_gemm: None,
        lacks: &[],
        attention: AttentionKernel { broadcast_masks: false, ..AttentionKernel::STANDARD },
        contrib: false,
        asks_for_kernels: true,
        keep_opset: &[],
        raises_opset: false,
        newest_opset: 23,
    };
    /// tract.
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
            windows: false,
        },
        contrib: false,
        asks_for_kernels: false,
        keep_opset: &[],
        raises_opset: true,
        newest_opset: 23,
    };
    /// ONNX Runtime.
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
        asks_for_kernels: true,
        keep_opset: KEEP_OPSET,
        raises_opset: true,
        newest_opset: 24,
    };

    /// Every target.
    pub const ALL: [Target; 3] = [Self::ONNX, Self::TRACT, Self::ORT];

    /// Whether it runs that operator in that opset, and as well as what the operator stands for.
    pub fn runs(&self, kind: OpKind, opset: i64) -> bool {
        opset >= since(kind) && !self.lacks.contains(&kind)
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

/// A word that names no target.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{word}` is no target; they are {}", Target::ALL.map(|target| target.name).join(", "))]
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
