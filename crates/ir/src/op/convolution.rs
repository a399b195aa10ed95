//! Convolutions.

macro_rules! convolution {
    ($($before:tt)*) => { unite! { $($before)*
        /// Convolution with an optional bias.
        Conv "conv" [1 11 22] Convolves {
            /// The automatic padding mode; `NOTSET` uses `pads`.
            auto_pad: AutoPad = AutoPad::NotSet,
            /// The dilation of each spatial axis; empty means 1.
            dilations: Vec<i64> = vec![],
            /// The number of channel groups, each with its own weights.
            group: i64 = 1,
            /// The kernel size on each spatial axis; empty means that of the weights.
            kernel_shape: Vec<i64> = vec![],
            /// The padding at the beginning of each spatial axis, then at the end of each; empty means 0.
            pads: Vec<i64> = vec![],
            /// The stride of each spatial axis; empty means 1.
            strides: Vec<i64> = vec![],
        } => infer::convolution::conv;
        /// Transposed convolution: the gradient of a convolution.
        ConvTranspose "conv_transpose" [1 11! 22] Convolves {
            /// The automatic padding mode; `NOTSET` uses `pads`.
            auto_pad: AutoPad = AutoPad::NotSet,
            /// The dilation of each spatial axis; empty means 1.
            dilations: Vec<i64> = vec![],
            /// The number of channel groups, each with its own weights.
            group: i64 = 1,
            /// The kernel size on each spatial axis; empty means that of the weights.
            kernel_shape: Vec<i64> = vec![],
            /// The size added at the end of each spatial axis of the result; empty means 0.
            output_padding: Vec<i64> = vec![],
            /// The spatial sizes of the result, which then determine the padding.
            output_shape: Vec<i64> = vec![],
            /// The padding at the beginning of each spatial axis, then at the end of each; empty means 0.
            pads: Vec<i64> = vec![],
            /// The stride of each spatial axis; empty means 1.
            strides: Vec<i64> = vec![],
        } => infer::convolution::conv_transpose;
        /// Convolution of 8-bit integers minus their zero points, in `i32`.
        ConvInteger "conv_integer" [10] Convolves {
            /// The automatic padding mode; `NOTSET` uses `pads`.
            auto_pad: AutoPad = AutoPad::NotSet,
            /// The dilation of each spatial axis; empty means 1.
            dilations: Vec<i64> = vec![],
            /// The number of channel groups, each with its own weights.
            group: i64 = 1,
            /// The kernel size on each spatial axis; empty means that of the weights.
            kernel_shape: Vec<i64> = vec![],
            /// The padding at the beginning of each spatial axis, then at the end of each; empty means 0.
            pads: Vec<i64> = vec![],
            /// The stride of each spatial axis; empty means 1.
            strides: Vec<i64> = vec![],
        } => infer::convolution::conv_integer;
        /// Convolution of quantized data and weights, with a quantized result.
        QLinearConv "qlinear_conv" [10] Convolves {
            /// The automatic padding mode; `NOTSET` uses `pads`.
            auto_pad: AutoPad = AutoPad::NotSet,
            /// The dilation of each spatial axis; empty means 1.
            dilations: Vec<i64> = vec![],
            /// The number of channel groups, each with its own weights.
            group: i64 = 1,
            /// The kernel size on each spatial axis; empty means that of the weights.
            kernel_shape: Vec<i64> = vec![],
            /// The padding at the beginning of each spatial axis, then at the end of each; empty means 0.
            pads: Vec<i64> = vec![],
            /// The stride of each spatial axis; empty means 1.
            strides: Vec<i64> = vec![],
        } => infer::convolution::qlinear_conv;
        /// Deformable convolution: offsets move the positions that a window reads (ONNX 19).
        DeformConv "deform_conv" [19 22] Other {
            /// The dilation of each spatial axis; empty means 1.
            dilations: Vec<i64> = vec![],
            /// The number of channel groups, each with its own weights.
            group: i64 = 1,
            /// The kernel size on each spatial axis; empty means that of the weights.
            kernel_shape: Vec<i64> = vec![],
            /// The number of channel groups with their own offsets.
            offset_group: i64 = 1,
            /// The padding at the beginning of each spatial axis, then at the end of each; empty means 0.
            pads: Vec<i64> = vec![],
            /// The stride of each spatial axis; empty means 1.
            strides: Vec<i64> = vec![],
        } => infer::convolution::deform_conv;
        /// Causal depthwise convolution; the end of the data is the state for the next call (ONNX 27).
        CausalConvWithState "causal_conv_with_state" [27] Other {
            /// The activation applied to the result.
            activation: ConvActivation = ConvActivation::None,
        } => infer::convolution::causal_conv_with_state;
        /// Adds columns up into an image at the positions of their blocks (ONNX 18).
        Col2Im "col2im" [18] Other {
            /// The dilation of each spatial axis; empty means 1.
            dilations: Vec<i64> = vec![],
            /// The padding at the beginning of each spatial axis, then at the end of each; empty means 0.
            pads: Vec<i64> = vec![],
            /// The stride of each spatial axis; empty means 1.
            strides: Vec<i64> = vec![],
        } => infer::blocks::col2im;
    } };
}
