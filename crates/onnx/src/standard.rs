//! ONNX's own operators: the opsets of the default domain that brought a version of each.
//!
//! Generated from the schemas of ONNX 1.23.2 (opset 28); where two schemas do not tell whether a node changes, the
//! documents of both versions were read.

use std::cmp::Ordering;
use std::collections::HashMap;
use std::sync::LazyLock;

/// The versions of operators. A plain number keeps the meaning of every node written before: it takes more types, or
/// has attributes and operands whose absence says what was so before. With `!` it may change one, or no longer have
/// its form; with `-` the operator ends.
const HISTORY: &[(&str, &str)] = &[
    ("1", "Not"),
    ("1 2! 11 13! 18!", "Split"),
    ("1 2! 11! 13 18 19 21 23 24 25", "Pad"),
    ("1 2! 11 18 22", "LpPool"),
    ("1 2! 22", "GlobalLpPool"),
    ("1 3! 7! 14 22", "GRU"),
    ("1 4! 11 13", "Concat"),
    ("1 5! 13 14 19 21 23 24 25", "Reshape"),
    ("1 6 7! 9 11 13", "Gemm"),
    ("1 6! 7! 9! 14! 15", "BatchNormalization"),
    ("1 6! 7! 9 16", "PRelu"),
    ("1 6! 7! 10! 12! 13 22", "Dropout"),
    ("1 6! 7! 13 14", "Add Div Mul Sub"),
    ("1 6! 8 12 13", "Max Min"),
    ("1 6! 8 13", "Mean Sum"),
    ("1 6! 9 13 19 21 23 24! 25 28", "Cast"),
    ("1 6! 11! 12 13", "Clip"),
    ("1 6! 13", "Abs Ceil Exp Floor Log Neg Reciprocal Sigmoid Sqrt Tanh Tile"),
    ("1 6! 13 14", "Relu"),
    ("1 6! 16", "LeakyRelu"),
    ("1 6! 22", "Elu HardSigmoid InstanceNormalization Selu"),
    ("1 7!", "And Or Xor"),
    ("1 7! 9! 10-", "Upsample"),
    ("1 7! 9 13", "Greater Less"),
    ("1 7 10 11 19 22", "AveragePool"),
    ("1 7! 11 13 19", "Equal"),
    ("1 7! 12 13 15", "Pow"),
    ("1 7! 14 22", "LSTM RNN"),
    ("1 8 10 11 12 22", "MaxPool"),
    ("1 9 11 12 13 19 21 23 24 25", "Constant"),
    ("1 9 11 13 21 23 24 25", "Flatten"),
    ("1 9 13", "MatMul"),
    ("1 10! 11 13", "Slice"),
    ("1 10! 11 24", "TopK"),
    ("1 11 12 13", "ArgMax ArgMin"),
    ("1 11 12 13 18! 20", "ReduceMax ReduceMin"),
    ("1 11 13", "Gather"),
    ("1 11 13!", "Hardmax LogSoftmax ReduceSum Softmax"),
    ("1 11 13 16 19 21 23 24 25", "If Loop"),
    ("1 11 13 18!", "ReduceL1 ReduceL2 ReduceMean ReduceProd ReduceSumSquare"),
    ("1 11 13 18! 28!", "ReduceLogSum ReduceLogSumExp"),
    ("1 11 13! 21 23 24 25", "Squeeze Unsqueeze"),
    ("1 11 13 28", "DepthToSpace"),
    ("1 11 22", "Conv"),
    ("1 11! 22", "ConvTranspose"),
    ("1 13", "LRN"),
    ("1 13 14 16 19 21 23 24 25", "Identity"),
    ("1 13 15 19 21 23 24 25", "Shape"),
    ("1 13 19 21 23 24 25", "Size"),
    ("1 13 21 23 24 25", "Transpose"),
    ("1 13 28", "SpaceToDepth"),
    ("1 22", "GlobalAveragePool GlobalMaxPool LpNormalization MaxRoiPool RandomNormal RandomNormalLike"),
    ("1 22", "RandomUniform RandomUniformLike Softplus Softsign"),
    ("7 22", "Acos Asin Atan Cos Multinomial Sin Tan"),
    ("8 9! 11 16 19 21 23 24 25", "Scan"),
    ("8 13", "Expand"),
    ("9", "Shrink TfIdfVectorizer"),
    ("9 11-", "Scatter"),
    ("9 11 22", "MaxUnpool"),
    ("9 11 28", "Compress OneHot"),
    ("9 13!", "Erf"),
    ("9 13", "MeanVarianceNormalization NonZero Sign"),
    ("9 13 20", "IsNaN"),
    ("9 16", "Where"),
    ("9 20 21 23 24 25", "ConstantOfShape"),
    ("9 22", "Acosh Asinh Atanh Cosh EyeLike Sinh"),
    ("10", "ConvInteger MatMulInteger QLinearConv StringNormalizer"),
    ("10 11", "NonMaxSuppression"),
    ("10 11! 13! 18 19", "Resize"),
    ("10 13 19 21 23 24 25 28", "DequantizeLinear QuantizeLinear"),
    ("10 13 28", "Mod"),
    ("10 16! 22", "RoiAlign"),
    ("10 20", "IsInf"),
    ("10 21", "QLinearMatMul"),
    ("10 22", "ThresholdedRelu"),
    ("10 28", "ReverseSequence"),
    ("11", "ConcatFromSequence DynamicQuantizeLinear SequenceAt SequenceConstruct SequenceEmpty SequenceErase"),
    ("11", "SequenceInsert SequenceLength"),
    ("11 12 13", "GatherND"),
    ("11 13", "GatherElements"),
    ("11 13 16 18", "ScatterElements ScatterND"),
    ("11 14", "CumSum"),
    ("11 22", "Det Round"),
    ("11 24", "SplitToSequence"),
    ("11 27", "Range"),
    ("11 28", "BitShift Unique"),
    ("12 13", "SoftmaxCrossEntropyLoss"),
    ("12 13 22", "NegativeLogLikelihoodLoss"),
    ("12 16", "GreaterOrEqual LessOrEqual"),
    ("12 28", "Celu Einsum"),
    ("14", "Trilu"),
    ("14 22", "HardSwish"),
    ("15 18 28", "OptionalGetElement OptionalHasElement"),
    ("15 19 21 23 24! 25", "CastLike"),
    ("15 22", "Bernoulli"),
    ("15 28", "Optional"),
    ("16 20! 22", "GridSample"),
    ("17", "BlackmanWindow HammingWindow HannWindow LayerNormalization MelWeightMatrix STFT SequenceMap"),
    ("17 20!", "DFT"),
    ("18", "BitwiseAnd BitwiseNot BitwiseOr BitwiseXor CenterCropPad Col2Im"),
    ("18 21!", "GroupNormalization"),
    ("18 22", "Mish"),
    ("19 22", "DeformConv"),
    ("20", "AffineGrid Gelu ImageDecoder RegexFullMatch StringConcat StringSplit"),
    ("23", "RMSNormalization RotaryEmbedding"),
    ("23 24 25", "Attention"),
    ("24", "Swish TensorScatter"),
    ("26", "BitCast CumProd"),
    ("27", "CausalConvWithState LinearAttention"),
    ("28", "SwiGLU"),
];

/// What a version does to the nodes written before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Change {
    /// They mean the same.
    None,
    /// They may mean something else, or be none.
    Meaning,
    /// The operator is no more.
    End,
}

/// The versions of an operator, the oldest first; none where ONNX has no such operator.
fn versions(operator: &str) -> &'static [(i64, Change)] {
    static VERSIONS: LazyLock<HashMap<&str, Vec<(i64, Change)>>> = LazyLock::new(|| {
        let rows = HISTORY.iter().map(|(versions, names)| (versions.split(' ').filter_map(version).collect(), names));
        let rows =
            rows.flat_map(|(versions, names): (Vec<_>, _)| names.split(' ').map(move |name| (name, versions.clone())));
        rows.collect()
    });
    VERSIONS.get(operator).map_or(&[], Vec::as_slice)
}

fn version(text: &str) -> Option<(i64, Change)> {
    let number = text.trim_end_matches(['!', '-']);
    let change = match &text[number.len()..] {
        "!" => Change::Meaning,
        "-" => Change::End,
        _ => Change::None,
    };
    Some((number.parse().ok()?, change))
}

/// The first opset that has the operator.
pub(crate) fn since(operator: &str) -> Option<i64> {
    versions(operator).first().map(|(version, _)| *version)
}

/// Operators that ONNX Runtime has in the default domain at every opset: ONNX does not, or from a later opset on.
const OF_ONNX_RUNTIME: [&str; 2] = ["LayerNormalization", "SimplifiedLayerNormalization"];

/// Whether ONNX Runtime runs an operator of the default domain before the opset that brings it.
pub(crate) fn runs_early(operator: &str) -> bool {
    OF_ONNX_RUNTIME.contains(&operator)
}

/// Whether the default domain has the operator in that opset, or ONNX Runtime takes it for one that it has.
pub(crate) fn knows(opset: i64, operator: &str) -> bool {
    if runs_early(operator) {
        return true;
    }
    versions(operator)
        .iter()
        .take_while(|(version, _)| *version <= opset)
        .last()
        .is_some_and(|(_, change)| *change != Change::End)
}

/// The opset at which a node of the operator, written for opset `from`, changes its meaning or form on the way to `to`.
///
/// Up, a version that only adds changes nothing; down, any version does, as what it added may be in use.
pub(crate) fn changed_between(operator: &str, from: i64, to: i64) -> Option<i64> {
    let mut versions = versions(operator).iter();
    let changed = match from.cmp(&to) {
        Ordering::Less => {
            versions.find(|(version, change)| from < *version && *version <= to && *change != Change::None)
        }
        Ordering::Equal => None,
        Ordering::Greater => versions.find(|(version, _)| to < *version && *version <= from),
    };
    changed.map(|(version, _)| *version)
}

#[cfg(test)]
mod tests {
    use super::{changed_between, knows, since};

    #[test]
    fn operators_begin_and_end() {
        for (opset, operator, expected) in [
            (17, "LayerNormalization", true),
            (16, "LayerNormalization", true),
            (16, "GroupNormalization", false),
            (28, "SwiGLU", true),
            (21, "GroupNormalization", true),
            (8, "Upsample", true),
            (10, "Upsample", false),
            (10, "Scatter", true),
            (11, "Scatter", false),
            (7, "Not", true),
            (21, "Bogus", false),
            (21, "", false),
        ] {
            assert_eq!(knows(opset, operator), expected, "{operator} in opset {opset}");
        }
        assert_eq!(since("Gelu"), Some(20));
        assert_eq!(since("Bogus"), None);
    }

    #[test]
    fn versions_that_change_a_node() {
        for (operator, from, to, expected) in [
            ("Softmax", 11, 12, None),
            ("Softmax", 12, 13, Some(13)),
            ("Softmax", 13, 28, None),
            ("Relu", 7, 28, None),
            ("RoiAlign", 10, 21, Some(16)),
            ("GroupNormalization", 18, 24, Some(21)),
            ("BatchNormalization", 7, 21, Some(9)),
            ("BatchNormalization", 9, 21, Some(14)),
            ("BatchNormalization", 14, 28, None),
            ("Dropout", 10, 11, None),
            ("Resize", 10, 18, Some(11)),
            ("GridSample", 16, 19, None),
            ("GridSample", 16, 20, Some(20)),
            ("DFT", 17, 20, Some(20)),
            ("Scan", 8, 11, Some(9)),
            ("TopK", 9, 24, Some(10)),
            ("TopK", 10, 24, None),
            ("Upsample", 7, 8, None),
            ("Upsample", 9, 10, Some(10)),
            ("Split", 13, 18, Some(18)),
            ("ReduceSum", 13, 18, None),
            ("ReduceMean", 17, 18, Some(18)),
            ("Pad", 13, 24, None),
            ("QuantizeLinear", 10, 28, None),
            // Down, what was added may be in use.
            ("Pad", 19, 18, Some(19)),
            ("Pad", 25, 11, Some(13)),
            ("Relu", 13, 14, None),
            ("Relu", 14, 13, Some(14)),
            ("LayerNormalization", 17, 16, Some(17)),
            ("Not", 28, 7, None),
            ("Bogus", 7, 28, None),
        ] {
            assert_eq!(changed_between(operator, from, to), expected, "{operator} from {from} to {to}");
        }
    }
}
