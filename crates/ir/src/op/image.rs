//! Images: sampling and decoding.

macro_rules! image {
    ($($before:tt)*) => { unite! { $($before)*
        /// Resizes axes by `scales` or to `sizes`.
        Resize "resize" [10 11! 13! 18 19] Other added(Operand 2 "scales" since 11, Operand 3 "sizes" since 11) {
            /// Whether to smooth when downsampling.
            antialias since 18: bool = false,
            /// The axes that the operands refer to; empty means all.
            axes since 18: Vec<i64> = vec![],
            /// How an index of the result maps to a coordinate in the operand.
            coordinate_transformation_mode since 11
                values("half_pixel_symmetric" since 19): ResizeCoordinates = ResizeCoordinates::HalfPixel,
            /// The coefficient of cubic interpolation.
            cubic_coeff_a since 11: f32 = -0.75,
            /// Whether elements outside the operand have weight 0.
            exclude_outside since 11: bool = false,
            /// The value read outside a region.
            extrapolation_value since 11: f32 = 0.0,
            /// How `sizes` treat the aspect ratio.
            keep_aspect_ratio_policy since 18: AspectRatioPolicy = AspectRatioPolicy::Stretch,
            /// The interpolation mode.
            mode: Interpolation = Interpolation::Nearest,
            /// How a coordinate is rounded to the nearest element.
            nearest_mode since 11: NearestMode = NearestMode::RoundPreferFloor,
        } => infer::image::resize;
        /// Samples at the coordinates of a grid.
        GridSample "grid_sample" [16 20! 22] Other {
            /// Whether the extreme coordinates are the centers of the corner pixels, not their edges.
            align_corners: bool = false,
            /// The interpolation mode.
            mode: Interpolation = Interpolation::Linear,
            /// The value read outside the image.
            padding_mode: GridPadding = GridPadding::Zeros,
        } => infer::image::grid_sample;
        /// The sampling grid of affine matrices (ONNX 20).
        AffineGrid "affine_grid" [20] Other {
            /// Whether the extreme coordinates are the centers of the corner pixels, not their edges.
            align_corners: bool = false,
        } => infer::image::affine_grid;
        /// Decodes an image file to pixels (ONNX 20).
        ImageDecoder "image_decoder" [20] Other {
            /// The channels of a pixel.
            pixel_format: PixelFormat = PixelFormat::Rgb,
        } => infer::image::image_decoder;
    } };
}
