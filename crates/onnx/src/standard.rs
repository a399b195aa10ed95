//! ONNX's own operators: since which opset of the default domain each exists, and until which.
//!
//! Generated from the schemas of ONNX 1.23.2 (opset 28).

/// An opset, and the operators that began with it.
const BEGINS: &[(i64, &str)] = &[
    (1, "Abs Add And ArgMax ArgMin AveragePool BatchNormalization Cast Ceil Clip Concat Constant Conv"),
    (1, "ConvTranspose DepthToSpace Div Dropout Elu Equal Exp Flatten Floor GRU Gather Gemm"),
    (1, "GlobalAveragePool GlobalLpPool GlobalMaxPool Greater HardSigmoid Hardmax Identity If"),
    (1, "InstanceNormalization LRN LSTM LeakyRelu Less Log LogSoftmax Loop LpNormalization LpPool MatMul"),
    (1, "Max MaxPool MaxRoiPool Mean Min Mul Neg Not Or PRelu Pad Pow RNN RandomNormal RandomNormalLike"),
    (1, "RandomUniform RandomUniformLike Reciprocal ReduceL1 ReduceL2 ReduceLogSum ReduceLogSumExp"),
    (1, "ReduceMax ReduceMean ReduceMin ReduceProd ReduceSum ReduceSumSquare Relu Reshape Selu Shape"),
    (1, "Sigmoid Size Slice Softmax Softplus Softsign SpaceToDepth Split Sqrt Squeeze Sub Sum Tanh Tile"),
    (1, "TopK Transpose Unsqueeze Upsample Xor"),
    (7, "Acos Asin Atan Cos Multinomial Sin Tan"),
    (8, "Expand Scan"),
    (9, "Acosh Asinh Atanh Compress ConstantOfShape Cosh Erf EyeLike IsNaN MaxUnpool"),
    (9, "MeanVarianceNormalization NonZero OneHot Scatter Shrink Sign Sinh TfIdfVectorizer Where"),
    (10, "ConvInteger DequantizeLinear IsInf MatMulInteger Mod NonMaxSuppression QLinearConv QLinearMatMul"),
    (10, "QuantizeLinear Resize ReverseSequence RoiAlign StringNormalizer ThresholdedRelu"),
    (11, "BitShift ConcatFromSequence CumSum Det DynamicQuantizeLinear GatherElements GatherND Range Round"),
    (11, "ScatterElements ScatterND SequenceAt SequenceConstruct SequenceEmpty SequenceErase"),
    (11, "SequenceInsert SequenceLength SplitToSequence Unique"),
    (12, "Celu Einsum GreaterOrEqual LessOrEqual NegativeLogLikelihoodLoss SoftmaxCrossEntropyLoss"),
    (14, "HardSwish Trilu"),
    (15, "Bernoulli CastLike Optional OptionalGetElement OptionalHasElement"),
    (16, "GridSample"),
    (17, "BlackmanWindow DFT HammingWindow HannWindow LayerNormalization MelWeightMatrix STFT SequenceMap"),
    (18, "BitwiseAnd BitwiseNot BitwiseOr BitwiseXor CenterCropPad Col2Im Mish"),
    (19, "DeformConv"),
    (20, "AffineGrid Gelu ImageDecoder RegexFullMatch StringConcat StringSplit"),
    (18, "GroupNormalization"),
    (23, "Attention RMSNormalization RotaryEmbedding"),
    (24, "Swish TensorScatter"),
    (26, "BitCast CumProd"),
    (27, "CausalConvWithState LinearAttention"),
    (28, "SwiGLU"),
];

/// An opset, and the operators that ended with it.
const ENDS: &[(i64, &str)] = &[(10, "Upsample"), (11, "Scatter")];

/// Whether the default domain has the operator in that opset.
pub(crate) fn knows(opset: i64, operator: &str) -> bool {
    let begun = |(since, names): &(i64, &str)| *since <= opset && names.split(' ').any(|name| name == operator);
    let ended = |(until, name): &(i64, &str)| *until <= opset && *name == operator;
    BEGINS.iter().any(begun) && !ENDS.iter().any(ended)
}

#[cfg(test)]
mod tests {
    use super::knows;

    #[test]
    fn operators_begin_and_end() {
        for (opset, operator, expected) in [
            (17, "LayerNormalization", true),
            (16, "LayerNormalization", false),
            (28, "SwiGLU", true),
            (21, "GroupNormalization", true),
            (8, "Upsample", true),
            (10, "Upsample", false),
            (21, "Bogus", false),
            (21, "", false),
        ] {
            assert_eq!(knows(opset, operator), expected, "{operator} in opset {opset}");
        }
    }
}
