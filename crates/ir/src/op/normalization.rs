//! Normalizations.

macro_rules! normalization {
    ($($before:tt)*) => { unite! { $($before)*
        /// Normalized to mean 0 and variance 1 over the axes from `axis` on, then scaled and shifted (ONNX 17).
        LayerNormalization "layer_normalization" [17] Other {
            /// The first axis.
            axis: i64 = -1,
            /// Added to the variance.
            epsilon: f32,
            /// The type of the statistics, by ONNX's number.
            stash_type: i64 = 1,
        } => infer::reduction::layer_normalization;
        /// Divided by the root of the mean square over the axes from `axis` on, then scaled (ONNX 23).
        RMSNormalization "rms_normalization" [23] Other {
            /// The first axis.
            axis: i64 = -1,
            /// Added to the mean square.
            epsilon: f32,
            /// The type of the statistics, by ONNX's number.
            stash_type: i64 = 1,
        } => infer::reduction::rms_normalization;
        /// By the mean and variance of each channel over the batch, then scaled and shifted.
        BatchNormalization "batch_normalization" [1 6! 7! 9! 14! 15] Other {
            /// Added to the variance.
            epsilon: f32 = 1e-5,
            /// The share of the old statistics in the new.
            momentum: f32 = 0.9,
            /// Whether the statistics are those of this batch.
            training_mode since 14: bool = false,
        } => infer::normalization::batch_normalization;
        /// By the mean and variance of each channel of each element of the batch, then scaled and shifted.
        InstanceNormalization "instance_normalization" [1 6! 22] Other {
            /// Added to the variance.
            epsilon: f32 = 1e-5,
        } => infer::normalization::instance_normalization;
        /// By the mean and variance of groups of channels, then scaled and shifted by channel (ONNX 21).
        GroupNormalization "group_normalization" [18 21!] Other {
            /// Added to the variance.
            epsilon: f32 = 1e-5,
            /// The number of groups.
            num_groups: i64,
            /// The type of the statistics, by ONNX's number.
            stash_type since 21: i64 = 1,
        } => infer::normalization::group_normalization;
        /// By the squares of the channels beside.
        LRN "lrn" [1 13] Other {
            /// Times the mean of the squares.
            alpha: f32 = 1e-4,
            /// The power.
            beta: f32 = 0.75,
            /// Added before the power is taken.
            bias: f32 = 1.0,
            /// The number of channels.
            size: i64,
        } => infer::normalization::local_response;
        /// Divided by the `p` norm along an axis.
        LpNormalization "lp_normalization" [1 22] Other {
            /// The axis.
            axis: i64 = -1,
            /// The power: 1 or 2.
            p: i64 = 2,
        } => infer::normalization::lp;
        /// To mean 0 and variance 1 over axes.
        MeanVarianceNormalization "mean_variance_normalization" [9 13] Other {
            /// The axes.
            axes: Vec<i64> = vec![0, 2, 3],
        } => infer::normalization::mean_variance;
    } };
}
