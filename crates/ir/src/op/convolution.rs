//! Convolutions.

macro_rules! convolution {
    ($($before:tt)*) => { unite! { $($before)*
        /// Each window of the data times the weights, and a bias.
        Conv "conv" [1 11 22] Other {
            /// How much is put around the data, where `pads` does not say it.
            auto_pad: AutoPad = AutoPad::NotSet,
            /// The step between elements of a window, for each axis; none means 1.
            dilations: Vec<i64> = vec![],
            /// The number of groups of channels, each with weights of its own.
            group: i64 = 1,
            /// The sizes of the kernel; none means those of the weights.
            kernel_shape: Vec<i64> = vec![],
            /// How much is put around the data: before each axis, then behind each; none means 0.
            pads: Vec<i64> = vec![],
            /// The step between windows, for each axis; none means 1.
            strides: Vec<i64> = vec![],
        } => infer::convolution::conv;
        /// The data spread over windows by the weights; the gradient of a convolution.
        ConvTranspose "conv_transpose" [1 11! 22] Other {
            /// How much is put around the data, where `pads` does not say it.
            auto_pad: AutoPad = AutoPad::NotSet,
            /// The step between elements of a window, for each axis; none means 1.
            dilations: Vec<i64> = vec![],
            /// The number of groups of channels, each with weights of its own.
            group: i64 = 1,
            /// The sizes of the kernel; none means those of the weights.
            kernel_shape: Vec<i64> = vec![],
            /// How much is added behind each axis of the result; none means 0.
            output_padding: Vec<i64> = vec![],
            /// The spatial sizes of the result, which then tell the padding.
            output_shape: Vec<i64> = vec![],
            /// How much is put around the data: before each axis, then behind each; none means 0.
            pads: Vec<i64> = vec![],
            /// The step between windows, for each axis; none means 1.
            strides: Vec<i64> = vec![],
        } => infer::convolution::conv_transpose;
        /// A convolution of bytes, less their zero points, to `i32`.
        ConvInteger "conv_integer" [10] Other {
            /// How much is put around the data, where `pads` does not say it.
            auto_pad: AutoPad = AutoPad::NotSet,
            /// The step between elements of a window, for each axis; none means 1.
            dilations: Vec<i64> = vec![],
            /// The number of groups of channels, each with weights of its own.
            group: i64 = 1,
            /// The sizes of the kernel; none means those of the weights.
            kernel_shape: Vec<i64> = vec![],
            /// How much is put around the data: before each axis, then behind each; none means 0.
            pads: Vec<i64> = vec![],
            /// The step between windows, for each axis; none means 1.
            strides: Vec<i64> = vec![],
        } => infer::convolution::conv_integer;
        /// A convolution of quantized data and weights to a quantized result.
        QLinearConv "qlinear_conv" [10] Other {
            /// How much is put around the data, where `pads` does not say it.
            auto_pad: AutoPad = AutoPad::NotSet,
            /// The step between elements of a window, for each axis; none means 1.
            dilations: Vec<i64> = vec![],
            /// The number of groups of channels, each with weights of its own.
            group: i64 = 1,
            /// The sizes of the kernel; none means those of the weights.
            kernel_shape: Vec<i64> = vec![],
            /// How much is put around the data: before each axis, then behind each; none means 0.
            pads: Vec<i64> = vec![],
            /// The step between windows, for each axis; none means 1.
            strides: Vec<i64> = vec![],
        } => infer::convolution::qlinear_conv;
        /// A convolution whose windows read at places moved by offsets (ONNX 19).
        DeformConv "deform_conv" [19 22] Other {
            /// The step between elements of a window, for each axis; none means 1.
            dilations: Vec<i64> = vec![],
            /// The number of groups of channels, each with weights of its own.
            group: i64 = 1,
            /// The sizes of the kernel; none means those of the weights.
            kernel_shape: Vec<i64> = vec![],
            /// The number of groups of channels, each with offsets of its own.
            offset_group: i64 = 1,
            /// How much is put around the data: before each axis, then behind each; none means 0.
            pads: Vec<i64> = vec![],
            /// The step between windows, for each axis; none means 1.
            strides: Vec<i64> = vec![],
        } => infer::convolution::deform_conv;
        /// A convolution of each channel over what came before, its end carried over to the next call (ONNX 27).
        CausalConvWithState "causal_conv_with_state" [27] Other {
            /// What is computed behind it.
            activation: ConvActivation = ConvActivation::None,
        } => infer::convolution::causal_conv_with_state;
        /// Columns put back into an image at the places of their blocks, and added up (ONNX 18).
        Col2Im "col2im" [18] Other {
            /// The step between elements of a window, for each axis; none means 1.
            dilations: Vec<i64> = vec![],
            /// How much is put around the data: before each axis, then behind each; none means 0.
            pads: Vec<i64> = vec![],
            /// The step between windows, for each axis; none means 1.
            strides: Vec<i64> = vec![],
        } => infer::blocks::col2im;
    } };
}
