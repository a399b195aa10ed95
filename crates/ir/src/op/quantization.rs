//! Quantization.

macro_rules! quantization {
    ($($before:tt)*) => { unite! { $($before)*
        /// Quantizes: `x / scale + zero_point`, rounded and saturated.
        QuantizeLinear "quantize_linear" [10 13 19 21 23 24 25 28] Maps {
            /// The axis of a scale that is not a scalar.
            axis since 13: i64 = 1,
            /// The number of elements that share a scale; 0 without blocks.
            block_size since 21: i64 = 0,
            /// The element type of the result; the default is that of the zero point, or `u8` without one.
            output_dtype since 21: Option<ElementType> = None,
            /// The element type of the division; the default is that of the scale (ONNX 23).
            precision since 23: Option<ElementType> = None,
            /// Whether values outside the range of an 8-bit float become its largest value.
            saturate since 19: bool = true,
        } => infer::quantization::quantize;
        /// Dequantizes: `(x - zero_point) * scale`.
        DequantizeLinear "dequantize_linear" [10 13 19 21 23 24 25 28] Maps {
            /// The axis of a scale that is not a scalar.
            axis since 13: i64 = 1,
            /// The number of elements that share a scale; 0 without blocks.
            block_size since 21: i64 = 0,
            /// The element type of the result; the default is that of the scale (ONNX 23).
            output_dtype since 23: Option<ElementType> = None,
        } => infer::quantization::dequantize;
        /// Quantizes to `u8` by the range of the data. Results: the quantized tensor, the scale, the zero point.
        DynamicQuantizeLinear "dynamic_quantize_linear" [11] Maps => infer::quantization::dynamic_quantize;
    } };
}

/// Returns whether an operator of ONNX or ONNX Runtime computes with integers for floats: `QLinearMatMul`, `QAttention`,
/// `MatMulIntegerToFloat` and so on.
pub fn computes_with_integers(operator: &str) -> bool {
    let starts = ["DynamicQuantize", "QAttention", "QGemm", "QLinear", "QOrdered"];
    operator.contains("Integer") || starts.iter().any(|start| operator.starts_with(start))
}

/// Returns whether an operand of an operator of ONNX or ONNX Runtime is a scale, a zero point or the indices of groups of
/// quantized tensors.
pub fn is_scale_or_zero_point(operator: &str, operand: usize) -> bool {
    let operands: &[usize] = match operator {
        "QuantizeLinear" | "DequantizeLinear" | "QOrderedGelu" => &[1, 2],
        "QuantizeWithOrder" | "DequantizeWithOrder" => &[1],
        "MatMulNBits" | "MatMulBlockQuantizedFp4Weight" => &[2, 3, 4],
        "MatMulNBitsMlp" => &[4, 7],
        "MatMulNBitsQkv" => &[4, 7, 10],
        "MatMulNBitsQLoRA" => &[2, 4, 6],
        "GatherBlockQuantized" | "DynamicQuantizeMatMul" | "MatMulBlockQuantizedFp8Weight" => &[2, 3],
        "GemmFloat8" => &[3, 4, 5],
        "MatMulBnb4" => &[2],
        "MulInteger" => &[1, 3],
        "MatMulIntegerToFloat" => &[2, 3, 4, 5],
        "DynamicQuantizeLSTM" => &[8, 9, 10, 11],
        "QAttention" => &[3, 4, 6, 7],
        "QEmbedLayerNormalization" => &[8, 9, 10, 11, 12, 13, 14, 15, 16, 17],
        "QGemm" => &[1, 2, 4, 5, 7, 8],
        "QMoE" => &[3, 6, 9, 11, 12, 13, 15, 16, 17, 18, 19, 20],
        "QLinearMatMul" | "QLinearConv" | "QLinearAdd" | "QLinearMul" => &[1, 2, 4, 5, 6, 7],
        "QLinearWhere" => &[2, 3, 5, 6, 7, 8],
        // Scale and zero point of the result, then each operand with its own.
        "QLinearConcat" => return operand % 3 != 2,
        "QLinearAveragePool"
        | "QLinearGlobalAveragePool"
        | "QLinearLeakyRelu"
        | "QLinearReduceMean"
        | "QLinearSigmoid"
        | "QLinearSoftmax" => &[1, 2, 3, 4],
        "QOrderedAttention" => &[1, 2, 3, 4, 8, 9, 10, 14, 15, 16],
        "QOrderedLayerNormalization" => &[1, 4],
        "QOrderedLongformerAttention" => &[1, 3, 5, 6, 9, 11, 13],
        "QOrderedMatMul" => &[1, 3, 4, 7],
        name if name.ends_with("Integer") => &[2, 3],
        _ => &[],
    };
    operands.contains(&operand)
}
