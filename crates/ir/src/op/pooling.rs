//! Pooling, and what looks at regions of an image.

macro_rules! pooling {
    ($($before:tt)*) => { unite! { $($before)*
        /// The largest of each window, and on request where it stands.
        MaxPool "max_pool" [1 8 10 11 12 22] Other added(Result 1 "Indices" since 8) {
            /// How much is put around the data, where `pads` does not say it.
            auto_pad: AutoPad = AutoPad::NotSet,
            /// Whether a last window may reach over the end.
            ceil_mode since 10: bool = false,
            /// The step between elements of a window, for each axis; none means 1.
            dilations since 10: Vec<i64> = vec![],
            /// The sizes of a window.
            kernel_shape: Vec<i64>,
            /// How much is put around the data: before each axis, then behind each; none means 0.
            pads: Vec<i64> = vec![],
            /// Whether the places count down the columns first.
            storage_order since 8: bool = false,
            /// The step between windows, for each axis; none means 1.
            strides: Vec<i64> = vec![],
        } => infer::pooling::max_pool;
        /// The mean of each window.
        AveragePool "average_pool" [1 7 10 11 19 22] Other {
            /// How much is put around the data, where `pads` does not say it.
            auto_pad: AutoPad = AutoPad::NotSet,
            /// Whether a last window may reach over the end.
            ceil_mode since 10: bool = false,
            /// Whether the padding counts.
            count_include_pad: bool = false,
            /// The step between elements of a window, for each axis; none means 1.
            dilations since 19: Vec<i64> = vec![],
            /// The sizes of a window.
            kernel_shape: Vec<i64>,
            /// How much is put around the data: before each axis, then behind each; none means 0.
            pads: Vec<i64> = vec![],
            /// The step between windows, for each axis; none means 1.
            strides: Vec<i64> = vec![],
        } => infer::pooling::average_pool;
        /// The `p` norm of each window.
        LpPool "lp_pool" [1 2! 11 18 22] Other {
            /// How much is put around the data, where `pads` does not say it.
            auto_pad: AutoPad = AutoPad::NotSet,
            /// Whether a last window may reach over the end.
            ceil_mode since 18: bool = false,
            /// The step between elements of a window, for each axis; none means 1.
            dilations since 18: Vec<i64> = vec![],
            /// The sizes of a window.
            kernel_shape: Vec<i64>,
            /// The power.
            p: i64 = 2,
            /// How much is put around the data: before each axis, then behind each; none means 0.
            pads: Vec<i64> = vec![],
            /// The step between windows, for each axis; none means 1.
            strides: Vec<i64> = vec![],
        } => infer::pooling::lp_pool;
        /// The mean over all spatial axes.
        GlobalAveragePool "global_average_pool" [1 22] Other => infer::pooling::global;
        /// The largest over all spatial axes.
        GlobalMaxPool "global_max_pool" [1 22] Other => infer::pooling::global;
        /// The `p` norm over all spatial axes.
        GlobalLpPool "global_lp_pool" [1 2! 22] Other {
            /// The power.
            p: i64 = 2,
        } => infer::pooling::global_lp;
        /// Elements put back where `max_pool` found them; 0 elsewhere.
        MaxUnpool "max_unpool" [9 11 22] Other {
            /// The sizes of a window.
            kernel_shape: Vec<i64>,
            /// How much is put around the data: before each axis, then behind each; none means 0.
            pads: Vec<i64> = vec![],
            /// The step between windows, for each axis; none means 1.
            strides: Vec<i64> = vec![],
        } => infer::pooling::max_unpool;
        /// The largest of each part of regions.
        MaxRoiPool "max_roi_pool" [1 22] Other {
            /// The number of parts along both axes.
            pooled_shape: Vec<i64>,
            /// Times the coordinates of the regions.
            spatial_scale: f32 = 1.0,
        } => infer::pooling::max_roi_pool;
        /// Regions sampled between the pixels.
        RoiAlign "roi_align" [10 16! 22] Other {
            /// How coordinates fall on pixels.
            coordinate_transformation_mode since 16: RoiCoordinates = RoiCoordinates::HalfPixel,
            /// What is made of the samples.
            mode: RoiMode = RoiMode::Average,
            /// The height of the result.
            output_height: i64 = 1,
            /// The width of the result.
            output_width: i64 = 1,
            /// The number of samples along an axis of a pixel; 0 means as many as fit.
            sampling_ratio: i64 = 0,
            /// Times the coordinates of the regions.
            spatial_scale: f32 = 1.0,
        } => infer::pooling::roi_align;
        /// The indices of the boxes that do not overlap a better one too much.
        NonMaxSuppression "non_max_suppression" [10 11] Other {
            /// Whether a box is given by center and size, not by corners.
            center_point_box: bool = false,
        } => infer::pooling::non_max_suppression;
    } };
}
