//! Normalizations.

macro_rules! normalization {
    ($($before:tt)*) => { unite! { $($before)*
        /// Normalizes to mean 0 and variance 1 over the axes from `axis` on, then scales and shifts (ONNX 17).
        LayerNormalization "layer_normalization" [17] Normalizes {
            /// The first normalized axis.
            axis: i64 = -1,
            /// Added to the variance.
            epsilon: f32,
            /// The type of the statistics, by ONNX's number.
            stash_type: i64 = 1,
        } => infer::reduction::layer_normalization;
        /// Divides by the root mean square over the axes from `axis` on, then scales (ONNX 23).
        RMSNormalization "rms_normalization" [23] Normalizes {
            /// The first normalized axis.
            axis: i64 = -1,
            /// Added to the mean square.
            epsilon: f32,
            /// The type of the statistics, by ONNX's number.
            stash_type: i64 = 1,
        } => infer::reduction::rms_normalization;
        /// Normalizes each channel over the batch, then scales and shifts.
        BatchNormalization "batch_normalization" [1 6! 7! 9! 14! 15] Maps {
            /// Added to the variance.
            epsilon: f32 = 1e-5,
            /// The weight of the old running statistics in the new ones.
            momentum: f32 = 0.9,
            /// Whether the statistics are computed from this batch.
            training_mode since 14: bool = false,
        } => infer::normalization::batch_normalization;
        /// Normalizes each channel of each sample, then scales and shifts.
        InstanceNormalization "instance_normalization" [1 6! 22] Normalizes {
            /// Added to the variance.
            epsilon: f32 = 1e-5,
        } => infer::normalization::instance_normalization;
        /// Normalizes groups of channels, then scales and shifts each channel (ONNX 21).
        GroupNormalization "group_normalization" [18 21!] Normalizes {
            /// Added to the variance.
            epsilon: f32 = 1e-5,
            /// The number of groups.
            num_groups: i64,
            /// The type of the statistics, by ONNX's number.
            stash_type since 21: i64 = 1,
        } => infer::normalization::group_normalization;
        /// Local response normalization: divides by the squares of neighboring channels.
        LRN "lrn" [1 13] Other {
            /// The factor of the mean of the squares.
            alpha: f32 = 1e-4,
            /// The exponent.
            beta: f32 = 0.75,
            /// Added to the base of the power.
            bias: f32 = 1.0,
            /// The number of neighboring channels.
            size: i64,
        } => infer::normalization::local_response;
        /// Divides by the `p` norm along an axis.
        LpNormalization "lp_normalization" [1 22] Normalizes {
            /// The axis.
            axis: i64 = -1,
            /// The `p` of the norm: 1 or 2.
            p: i64 = 2,
        } => infer::normalization::lp;
        /// Normalizes to mean 0 and variance 1 over axes.
        MeanVarianceNormalization "mean_variance_normalization" [9 13] Normalizes {
            /// The axes.
            axes: Vec<i64> = vec![0, 2, 3],
        } => infer::normalization::mean_variance;
    } };
}
