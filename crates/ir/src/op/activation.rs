//! Activations, and softmax along an axis.

macro_rules! activation {
    ($($before:tt)*) => { unite! { $($before)*
        /// Hyperbolic tangent.
        Tanh "tanh" [1 6! 13] ElementwiseUnary => infer::elementwise::float;
        /// `1 / (1 + e^-x)`.
        Sigmoid "sigmoid" [1 6! 13] ElementwiseUnary => infer::elementwise::float;
        /// `log(1 + e^x)`.
        Softplus "softplus" [1 22] ElementwiseUnary => infer::elementwise::float;
        /// `max(x, 0)`.
        Relu "relu" [1 6! 13 14] ElementwiseUnary => infer::elementwise::same;
        /// The Gaussian error linear unit (ONNX 20).
        Gelu "gelu" [20] ElementwiseUnary {
            /// Exact, or approximated with tanh.
            approximate: GeluApproximation = GeluApproximation::None,
        } => infer::elementwise::gelu;
        /// Softmax: `e^x / sum(e^x)` along an axis.
        Softmax "softmax" [1 11 13!] Normalizes {
            /// The axis.
            axis: i64,
        } => infer::reduction::along;
        /// The logarithm of the softmax along an axis.
        LogSoftmax "log_softmax" [1 11 13!] Normalizes {
            /// The axis.
            axis: i64,
        } => infer::reduction::along;
        /// `softmax(x * scale + mask)` along an axis; the mask may be absent. Fused: it has no ONNX form.
        ScaledSoftmax "scaled_softmax" [] Normalizes {
            /// The axis.
            axis: i64,
            /// The factor of the first operand, before the mask is added.
            scale: f32,
        } => infer::reduction::scaled_softmax;
        /// `x * max(0, min(1, x / 6 + 1 / 2))`.
        HardSwish "hard_swish" [14 22] ElementwiseUnary => infer::elementwise::float;
        /// `x * tanh(softplus(x))`.
        Mish "mish" [18 22] ElementwiseUnary => infer::elementwise::float;
        /// `x / (1 + |x|)`.
        Softsign "softsign" [1 22] ElementwiseUnary => infer::elementwise::float;
        /// `max(0, x) + min(0, alpha * (e^(x / alpha) - 1))`.
        Celu "celu" [12 28] ElementwiseUnary {
            /// The negative part approaches `-alpha`.
            alpha: f32 = 1.0,
        } => infer::elementwise::float_with_alpha;
        /// `x`, or `alpha * (e^x - 1)` below 0.
        Elu "elu" [1 6! 22] ElementwiseUnary {
            /// The factor of the negative part.
            alpha: f32 = 1.0,
        } => infer::elementwise::float_with_alpha;
        /// `gamma * x`, or `gamma * alpha * (e^x - 1)` below 0.
        Selu "selu" [1 6! 22] ElementwiseUnary {
            /// The factor of the negative part.
            alpha: f32 = 1.673_263_2,
            /// The factor of the whole result.
            gamma: f32 = 1.050_701,
        } => infer::elementwise::float_with_two;
        /// `x`, or `alpha * x` below 0.
        LeakyRelu "leaky_relu" [1 6! 16] ElementwiseUnary {
            /// The factor of the negative part.
            alpha: f32 = 0.01,
        } => infer::elementwise::float_with_alpha;
        /// `x` above `alpha`, else 0.
        ThresholdedRelu "thresholded_relu" [10 22] ElementwiseUnary {
            /// The threshold.
            alpha: f32 = 1.0,
        } => infer::elementwise::float_with_alpha;
        /// `max(0, min(1, alpha * x + beta))`.
        HardSigmoid "hard_sigmoid" [1 6! 22] ElementwiseUnary {
            /// The slope.
            alpha: f32 = 0.2,
            /// The value at 0.
            beta: f32 = 0.5,
        } => infer::elementwise::float_with_two;
        /// `x - bias` above `lambd`, `x + bias` below `-lambd`, 0 between.
        Shrink "shrink" [9] ElementwiseUnary {
            /// The threshold: values between `-lambd` and `lambd` become 0.
            lambd: f32 = 0.5,
            /// The offset toward 0.
            bias: f32 = 0.0,
        } => infer::elementwise::shrink;
        /// `x * sigmoid(alpha * x)` (ONNX 24).
        Swish "swish" [24] ElementwiseUnary {
            /// The factor of the operand of the sigmoid.
            alpha: f32 = 1.0,
        } => infer::elementwise::float_with_alpha;
        /// `x`, or `slope * x` below 0.
        PRelu "prelu" [1 6! 7! 9 16] Maps => infer::elementwise::prelu;
        /// `swish(a) * b` of two operands of the same shape (ONNX 28).
        SwiGLU "swiglu" [28] Maps {
            /// The factor of the operand of the sigmoid.
            alpha: f32 = 1.0,
        } => infer::elementwise::swiglu;
        /// 1 at the first maximum along an axis, 0 elsewhere.
        Hardmax "hardmax" [1 11 13!] Normalizes {
            /// The axis.
            axis: i64 = -1,
        } => infer::reduction::along;
    } };
}
