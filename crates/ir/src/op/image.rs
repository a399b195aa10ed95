//! Images: sampling and decoding.

macro_rules! image {
    ($($before:tt)*) => { unite! { $($before)*
        /// The axes in other sizes, by `scales` or `sizes`.
        Resize "resize" [10 11! 13! 18 19] Other added(Operand 2 "scales" since 11, Operand 3 "sizes" since 11) {
            /// Whether what is made smaller is smoothed.
            antialias since 18: bool = false,
            /// The axes that the operands speak of; none means all.
            axes since 18: Vec<i64> = vec![],
            /// Where in the operand an element lies.
            coordinate_transformation_mode since 11
                values("half_pixel_symmetric" since 19): ResizeCoordinates = ResizeCoordinates::HalfPixel,
            /// The coefficient of cubic interpolation.
            cubic_coeff_a since 11: f32 = -0.75,
            /// Whether what lies outside has no weight.
            exclude_outside since 11: bool = false,
            /// What is read outside of a region.
            extrapolation_value since 11: f32 = 0.0,
            /// What `sizes` say of the ratio of the axes.
            keep_aspect_ratio_policy since 18: AspectRatioPolicy = AspectRatioPolicy::Stretch,
            /// What an element is made of.
            mode: Interpolation = Interpolation::Nearest,
            /// Which element is the nearest.
            nearest_mode since 11: NearestMode = NearestMode::RoundPreferFloor,
        } => infer::image::resize;
        /// Sampled at the coordinates of a grid.
        GridSample "grid_sample" [16 20! 22] Other {
            /// Whether the outermost coordinates are the centers of pixels, not their edges.
            align_corners: bool = false,
            /// What an element is made of.
            mode: Interpolation = Interpolation::Linear,
            /// What is read outside.
            padding_mode: GridPadding = GridPadding::Zeros,
        } => infer::image::grid_sample;
        /// The grid that samples by affine matrices (ONNX 20).
        AffineGrid "affine_grid" [20] Other {
            /// Whether the outermost coordinates are the centers of pixels, not their edges.
            align_corners: bool = false,
        } => infer::image::affine_grid;
        /// The pixels of an image file (ONNX 20).
        ImageDecoder "image_decoder" [20] Other {
            /// The channels.
            pixel_format: PixelFormat = PixelFormat::Rgb,
        } => infer::image::image_decoder;
    } };
}
