//! The operators and attributes that tract 0.23.9 computes as the standard says. The attributes are those that its
//! source reads; operators of Transformers were also compared with ONNX Runtime.
//!
//! A line lists operators and their allowed attributes: `axis` allows any value, because tract reads it or it does not
//! affect the result; `alpha=1` allows only that value, the standard's default, because tract ignores or refuses
//! others.

use netwright_ir::ElementType;

/// ONNX's own operators.
pub(super) const DEFAULT: &[(&str, &str)] = &[
    ("Abs Acos Acosh Add And Asin Asinh Atan Atanh BitwiseAnd BitwiseNot BitwiseOr BitwiseXor Ceil Cos Cosh Div", ""),
    ("DynamicQuantizeLinear Equal Erf Exp Expand Floor GlobalAveragePool GlobalMaxPool Greater GreaterOrEqual", ""),
    ("HardSwish Identity IsNaN Less LessOrEqual Log MatMul MatMulInteger Max Mean Min Mish Mul Neg NonZero Not Or", ""),
    ("PRelu Pow QLinearMatMul Range Reciprocal Relu Round Sigmoid Sign Sin Sinh Size Softplus Softsign Sqrt Sub", ""),
    ("Sum Tan Tanh Tile Where Xor", ""),
    ("ArgMax ArgMin", "axis keepdims select_last_index"),
    ("Attention", "is_causal kv_num_heads q_num_heads qk_matmul_output_mode=0 scale softcap=0 softmax_precision"),
    ("AveragePool", "auto_pad ceil_mode count_include_pad dilations kernel_shape pads strides"),
    ("BatchNormalization", "epsilon momentum spatial=1 training_mode=0"),
    ("BitShift", "direction"),
    ("Cast", "round_mode saturate to"),
    ("CastLike", "round_mode saturate"),
    ("Celu Elu LeakyRelu ThresholdedRelu", "alpha"),
    ("Clip", "max min"),
    ("Compress Concat Flatten Gather GatherElements Hardmax LogSoftmax OneHot Scatter Softmax", "axis"),
    ("Constant", "value value_float value_floats value_int value_ints"),
    ("ConstantOfShape", "value"),
    ("Conv ConvInteger QLinearConv", "auto_pad dilations group kernel_shape pads strides"),
    ("ConvTranspose", "auto_pad dilations group kernel_shape output_padding output_shape pads strides"),
    ("CumSum", "exclusive reverse"),
    ("DepthToSpace", "blocksize mode"),
    ("DequantizeLinear", "axis block_size=0 output_dtype=0"),
    ("Dropout", "ratio seed"),
    ("Einsum", "equation"),
    ("EyeLike", "dtype k"),
    ("GatherND", "batch_dims"),
    ("Gelu", "approximate"),
    ("Gemm", "alpha beta transA transB"),
    ("GlobalLpPool", "p"),
    ("GridSample", "align_corners mode padding_mode"),
    ("GroupNormalization", "epsilon num_groups stash_type=1"),
    ("HardSigmoid", "alpha beta"),
    ("If", "else_branch then_branch"),
    ("InstanceNormalization", "epsilon"),
    ("IsInf", "detect_negative detect_positive"),
    ("LRN", "alpha beta bias size"),
    ("LayerNormalization", "axis epsilon stash_type"),
    ("LpNormalization", "axis p"),
    ("MaxPool", "auto_pad ceil_mode dilations kernel_shape pads storage_order strides"),
    ("MeanVarianceNormalization", "axes"),
    ("Mod", "fmod"),
    ("NonMaxSuppression", "center_point_box"),
    ("Pad", "mode pads value"),
    ("QuantizeLinear", "axis block_size=0 output_dtype=0 precision=0 saturate"),
    ("RMSNormalization", "axis epsilon stash_type=1"),
    (
        "ReduceL1 ReduceL2 ReduceLogSum ReduceLogSumExp ReduceMax ReduceMean ReduceMin ReduceProd ReduceSum",
        "axes keepdims noop_with_empty_axes",
    ),
    ("ReduceSumSquare", "axes keepdims noop_with_empty_axes"),
    ("Reshape", "allowzero"),
    (
        "Resize",
        "antialias axes coordinate_transformation_mode cubic_coeff_a exclude_outside extrapolation_value \
         keep_aspect_ratio_policy mode nearest_mode",
    ),
    ("RotaryEmbedding", "interleaved num_heads rotary_embedding_dim"),
    ("Scan", "body num_scan_inputs scan_input_axes scan_input_directions scan_output_axes scan_output_directions"),
    ("ScatterElements", "axis reduction"),
    ("ScatterND", "reduction"),
    ("Selu", "alpha gamma"),
    ("Shape", "end start"),
    ("Shrink", "bias lambd"),
    ("SimplifiedLayerNormalization", "axis epsilon stash_type=1"),
    ("Slice", "axes ends starts"),
    ("SpaceToDepth", "blocksize"),
    ("Split", "axis num_outputs split"),
    ("Squeeze Unsqueeze", "axes"),
    ("Swish", "alpha=1"),
    ("TopK", "axis largest sorted"),
    ("Transpose", "perm"),
    ("Trilu", "upper"),
];

/// The operators of [`DEFAULT`] that tract does not run for a type of their first operand.
const LACKING: &[(&str, ElementType)] = &[
    ("Erf Gelu HardSwish IsInf IsNaN LeakyRelu Round Sigmoid Swish", ElementType::F64),
    ("Equal", ElementType::Bool),
    ("MatMul", ElementType::I64),
];

/// Returns whether tract does not run an operator of ONNX for a type of its first operand.
pub(super) fn lacks(operator: &str, element: ElementType) -> bool {
    let has = |names: &str| names.split(' ').any(|name| name == operator);
    LACKING.iter().any(|(names, lacking)| *lacking == element && has(names))
}

/// ONNX Runtime's operators (`com.microsoft`).
pub(super) const MICROSOFT: &[(&str, &str)] = &[
    ("BiasGelu FastGelu Gelu", ""),
    ("GatherBlockQuantized", "bits=4 block_size gather_axis=0 quantize_axis=1"),
    ("MatMulNBits", "K N accuracy_level bits=4 block_size"),
    ("MultiHeadAttention", "mask_filter_value num_heads scale unidirectional=0"),
    ("QuickGelu", "alpha"),
    ("SkipLayerNormalization SkipSimplifiedLayerNormalization", "epsilon"),
];

/// The opsets that were checked. Before 7, broadcasting had other rules.
pub(super) const OPSETS: std::ops::RangeInclusive<i64> = 7..=24;

/// Returns the attributes that `operator` may have.
pub(super) fn attributes(table: &'static [(&str, &str)], operator: &str) -> Option<&'static str> {
    table.iter().find(|(names, _)| names.split(' ').any(|name| name == operator)).map(|(_, attributes)| *attributes)
}
