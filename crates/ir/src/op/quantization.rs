//! Quantization.

macro_rules! quantization {
    ($($before:tt)*) => { unite! { $($before)*
        /// `x / scale + zero_point`, rounded and saturated.
        QuantizeLinear "quantize_linear" [10 13 19 21 23 24 25 28] Other {
            /// The axis of a scale that is no scalar.
            axis since 13: i64 = 1,
            /// How many elements share a scale; 0 where the scale is not of blocks.
            block_size since 21: i64 = 0,
            /// The type; the zero point's without one, and `u8` without either.
            output_dtype since 21: Option<ElementType> = None,
            /// The type of the division; the scale's without one (ONNX 23).
            precision since 23: Option<ElementType> = None,
            /// Whether values out of the range of an 8-bit float become its largest.
            saturate since 19: bool = true,
        } => infer::quantization::quantize;
        /// `(x - zero_point) * scale`.
        DequantizeLinear "dequantize_linear" [10 13 19 21 23 24 25 28] Other {
            /// The axis of a scale that is no scalar.
            axis since 13: i64 = 1,
            /// How many elements share a scale; 0 where the scale is not of blocks.
            block_size since 21: i64 = 0,
            /// The type; the scale's without one (ONNX 23).
            output_dtype since 23: Option<ElementType> = None,
        } => infer::quantization::dequantize;
        /// Quantized to `u8` by its own range. Results: it, the scale, the zero point.
        DynamicQuantizeLinear "dynamic_quantize_linear" [11] Other => infer::quantization::dynamic_quantize;
    } };
}
