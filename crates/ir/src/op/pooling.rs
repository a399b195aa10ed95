//! Pooling, and regions of interest.

macro_rules! pooling {
    ($($before:tt)*) => { unite! { $($before)*
        /// The maximum of each window, and on request its index.
        MaxPool "max_pool" [1 8 10 11 12 22] Other added(Result 1 "Indices" since 8) {
            /// The automatic padding mode; `NOTSET` uses `pads`.
            auto_pad: AutoPad = AutoPad::NotSet,
            /// Whether the last window may extend past the end.
            ceil_mode since 10: bool = false,
            /// The dilation of each spatial axis; empty means 1.
            dilations since 10: Vec<i64> = vec![],
            /// The window size on each spatial axis.
            kernel_shape: Vec<i64>,
            /// The padding at the beginning of each spatial axis, then at the end of each; empty means 0.
            pads: Vec<i64> = vec![],
            /// Whether indices are column-major.
            storage_order since 8: bool = false,
            /// The stride of each spatial axis; empty means 1.
            strides: Vec<i64> = vec![],
        } => infer::pooling::max_pool;
        /// The mean of each window.
        AveragePool "average_pool" [1 7 10 11 19 22] Other {
            /// The automatic padding mode; `NOTSET` uses `pads`.
            auto_pad: AutoPad = AutoPad::NotSet,
            /// Whether the last window may extend past the end.
            ceil_mode since 10: bool = false,
            /// Whether the mean includes the padding.
            count_include_pad: bool = false,
            /// The dilation of each spatial axis; empty means 1.
            dilations since 19: Vec<i64> = vec![],
            /// The window size on each spatial axis.
            kernel_shape: Vec<i64>,
            /// The padding at the beginning of each spatial axis, then at the end of each; empty means 0.
            pads: Vec<i64> = vec![],
            /// The stride of each spatial axis; empty means 1.
            strides: Vec<i64> = vec![],
        } => infer::pooling::average_pool;
        /// The `p` norm of each window.
        LpPool "lp_pool" [1 2! 11 18 22] Other {
            /// The automatic padding mode; `NOTSET` uses `pads`.
            auto_pad: AutoPad = AutoPad::NotSet,
            /// Whether the last window may extend past the end.
            ceil_mode since 18: bool = false,
            /// The dilation of each spatial axis; empty means 1.
            dilations since 18: Vec<i64> = vec![],
            /// The window size on each spatial axis.
            kernel_shape: Vec<i64>,
            /// The `p` of the norm.
            p: i64 = 2,
            /// The padding at the beginning of each spatial axis, then at the end of each; empty means 0.
            pads: Vec<i64> = vec![],
            /// The stride of each spatial axis; empty means 1.
            strides: Vec<i64> = vec![],
        } => infer::pooling::lp_pool;
        /// The mean over all spatial axes.
        GlobalAveragePool "global_average_pool" [1 22] Other => infer::pooling::global;
        /// The maximum over all spatial axes.
        GlobalMaxPool "global_max_pool" [1 22] Other => infer::pooling::global;
        /// The `p` norm over all spatial axes.
        GlobalLpPool "global_lp_pool" [1 2! 22] Other {
            /// The `p` of the norm.
            p: i64 = 2,
        } => infer::pooling::global_lp;
        /// The partial inverse of `max_pool`: puts elements back at their indices; 0 elsewhere.
        MaxUnpool "max_unpool" [9 11 22] Other {
            /// The window size on each spatial axis.
            kernel_shape: Vec<i64>,
            /// The padding at the beginning of each spatial axis, then at the end of each; empty means 0.
            pads: Vec<i64> = vec![],
            /// The stride of each spatial axis; empty means 1.
            strides: Vec<i64> = vec![],
        } => infer::pooling::max_unpool;
        /// The maximum of each cell of regions of interest.
        MaxRoiPool "max_roi_pool" [1 22] Other {
            /// The number of cells along both axes.
            pooled_shape: Vec<i64>,
            /// The factor of the coordinates of the regions.
            spatial_scale: f32 = 1.0,
        } => infer::pooling::max_roi_pool;
        /// Samples regions of interest with interpolation.
        RoiAlign "roi_align" [10 16! 22] Other {
            /// How coordinates map to pixels.
            coordinate_transformation_mode since 16: RoiCoordinates = RoiCoordinates::HalfPixel,
            /// How the samples of a cell are combined.
            mode: RoiMode = RoiMode::Average,
            /// The height of the result.
            output_height: i64 = 1,
            /// The width of the result.
            output_width: i64 = 1,
            /// The number of samples along each axis of a result cell; 0 means adaptive.
            sampling_ratio: i64 = 0,
            /// The factor of the coordinates of the regions.
            spatial_scale: f32 = 1.0,
        } => infer::pooling::roi_align;
        /// The indices of the boxes that do not overlap a higher-scoring box too much.
        NonMaxSuppression "non_max_suppression" [10 11] Other {
            /// Whether boxes are given by center and size, not by corners.
            center_point_box: bool = false,
        } => infer::pooling::non_max_suppression;
    } };
}
