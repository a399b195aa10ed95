//! The table of operators: word, attributes with their defaults, inference.

use super::{
    AspectRatioPolicy, AutoPad, BlockOrder, ConvActivation, GeluApproximation, GridPadding, Interpolation, Kept,
    NearestMode, PadMode, PixelFormat, ResizeCoordinates, RoiCoordinates, RoiMode,
};
use crate::attribute::{Attribute, AttributeError, AttributeValue, Attributes};
use crate::infer::{self, InferError, Inferred, Operands};
use crate::{ElementType, Tensor};

operators! {
    // Elementwise, one operand.
    /// `|x|`.
    Abs "abs" => infer::elementwise::same;
    /// `-x`.
    Neg "neg" => infer::elementwise::same;
    /// The sign: -1, 0 or 1.
    Sign "sign" => infer::elementwise::same;
    /// `1 / x`.
    Reciprocal "reciprocal" => infer::elementwise::float;
    /// The largest whole number that is not larger.
    Floor "floor" => infer::elementwise::float;
    /// The smallest whole number that is not smaller.
    Ceil "ceil" => infer::elementwise::float;
    /// Square root.
    Sqrt "sqrt" => infer::elementwise::float;
    /// `e^x`.
    Exp "exp" => infer::elementwise::float;
    /// Natural logarithm.
    Log "log" => infer::elementwise::float;
    /// Sine.
    Sin "sin" => infer::elementwise::float;
    /// Cosine.
    Cos "cos" => infer::elementwise::float;
    /// Hyperbolic tangent.
    Tanh "tanh" => infer::elementwise::float;
    /// The error function.
    Erf "erf" => infer::elementwise::same;
    /// `1 / (1 + e^-x)`.
    Sigmoid "sigmoid" => infer::elementwise::float;
    /// `log(1 + e^x)`.
    Softplus "softplus" => infer::elementwise::float;
    /// `max(x, 0)`.
    Relu "relu" => infer::elementwise::same;
    /// Gaussian error linear unit (ONNX 20).
    Gelu "gelu" {
        /// Exact, or by a hyperbolic tangent.
        approximate: GeluApproximation = GeluApproximation::None,
    } => infer::elementwise::gelu;
    /// The truth value's opposite.
    Not "not" => infer::elementwise::truth;
    /// The operand itself.
    Identity "identity" => infer::elementwise::identity;
    /// The elements in another type; the result is known where a shape's elements are.
    Cast "cast" {
        /// The type.
        to: ElementType,
        /// Whether values out of the range of an 8-bit float become its largest.
        saturate: bool = true,
    } => infer::elementwise::cast;

    // Elementwise, several operands, broadcast.
    /// `a + b`.
    Add "add" => infer::elementwise::add;
    /// `a - b`.
    Sub "sub" => infer::elementwise::sub;
    /// `a * b`.
    Mul "mul" => infer::elementwise::mul;
    /// `a / b`; integers are rounded toward zero.
    Div "div" => infer::elementwise::div;
    /// The remainder: of floored division with `fmod = 0`, of truncated division with 1.
    Mod "mod" {
        /// Whether the result has the sign of the dividend.
        fmod: bool = false,
    } => infer::elementwise::modulo;
    /// `a ^ b`; the result has the type of `a`.
    Pow "pow" => infer::elementwise::pow;
    /// The smallest.
    Min "min" => infer::elementwise::min;
    /// The largest.
    Max "max" => infer::elementwise::max;
    /// The sum of any number of operands.
    Sum "sum" => infer::elementwise::variadic;
    /// Whether both hold.
    And "and" => infer::elementwise::logical;
    /// Whether one holds.
    Or "or" => infer::elementwise::logical;
    /// Whether just one holds.
    Xor "xor" => infer::elementwise::logical;
    /// `a == b`.
    Equal "equal" => infer::elementwise::compare;
    /// `a > b`.
    Greater "greater" => infer::elementwise::compare;
    /// `a >= b`.
    GreaterOrEqual "greater_or_equal" => infer::elementwise::compare;
    /// `a < b`.
    Less "less" => infer::elementwise::compare;
    /// `a <= b`.
    LessOrEqual "less_or_equal" => infer::elementwise::compare;
    /// `a` where the condition holds, `b` elsewhere.
    Where "where" => infer::elementwise::select;

    // Shape and layout.
    /// The sizes of the axes from `start` up to `end`, as `i64`s.
    Shape "shape" {
        /// The first axis.
        start: i64 = 0,
        /// The axis behind the last.
        end: Option<i64> = None,
    } => infer::layout::shape;
    /// The elements in another shape: 0 keeps a size (unless `allowzero`), -1 is what is left.
    Reshape "reshape" {
        /// Whether 0 is the size 0.
        allowzero: bool = false,
    } => infer::layout::reshape;
    /// The axes in another order: axis `i` of the result is axis `perm[i]`.
    Transpose "transpose" {
        /// The order.
        perm: Vec<i64>,
    } => infer::layout::transpose;
    /// With axes of size 1 put in.
    Unsqueeze "unsqueeze" => infer::layout::unsqueeze;
    /// With axes of size 1 taken out.
    Squeeze "squeeze" => infer::layout::squeeze;
    /// Broadcast to a shape.
    Expand "expand" => infer::layout::expand;
    /// One after the other along an axis.
    Concat "concat" {
        /// The axis.
        axis: i64,
    } => infer::layout::concat;
    /// Parts along an axis, of the sizes of the second operand, or equal ones.
    Split "split" {
        /// The axis.
        axis: i64 = 0,
    } => infer::layout::split;
    /// From `starts` up to `ends` along `axes`, by `steps`.
    Slice "slice" => infer::layout::slice;
    /// The slices at the indices along an axis.
    Gather "gather" {
        /// The axis.
        axis: i64 = 0,
    } => infer::layout::gather;
    /// The upper or lower triangle of the last two axes; 0 elsewhere.
    Trilu "trilu" {
        /// Whether it is the upper one.
        upper: bool = true,
    } => infer::layout::trilu;
    /// `start`, `start + delta`, … below `limit`.
    Range "range" => infer::layout::range;
    /// One element repeated in the shape of the operand.
    ConstantOfShape "constant_of_shape" {
        /// The element, a tensor of one.
        value: Tensor = Tensor::scalar(0.0),
    } => infer::layout::constant_of_shape;

    // Products.
    /// The matrix product of the last two axes, the others broadcast.
    MatMul "matmul" => infer::contraction::matmul;
    /// `alpha * A * B + beta * C` of matrices.
    Gemm "gemm" {
        /// Times the product.
        alpha: f32 = 1.0,
        /// Times the addend.
        beta: f32 = 1.0,
        /// Whether A is transposed.
        trans_a as "transA": bool = false,
        /// Whether B is transposed.
        trans_b as "transB": bool = false,
    } => infer::contraction::gemm;

    // Along an axis.
    /// `e^x / sum(e^x)` along an axis.
    Softmax "softmax" {
        /// The axis.
        axis: i64,
    } => infer::reduction::along;
    /// The logarithm of the softmax.
    LogSoftmax "log_softmax" {
        /// The axis.
        axis: i64,
    } => infer::reduction::along;
    /// `softmax(x * scale + mask)` along an axis; the mask may be absent. Fused: it has no ONNX form.
    ScaledSoftmax "scaled_softmax" {
        /// The axis.
        axis: i64,
        /// Times the first operand, before the mask is added.
        scale: f32,
    } => infer::reduction::scaled_softmax;
    /// Normalized to mean 0 and variance 1 over the axes from `axis` on, then scaled and shifted (ONNX 17).
    LayerNormalization "layer_normalization" {
        /// The first axis.
        axis: i64 = -1,
        /// Added to the variance.
        epsilon: f32,
        /// The type of the statistics, by ONNX's number.
        stash_type: i64 = 1,
    } => infer::reduction::layer_normalization;
    /// Divided by the root of the mean square over the axes from `axis` on, then scaled (ONNX 23).
    RMSNormalization "rms_normalization" {
        /// The first axis.
        axis: i64 = -1,
        /// Added to the mean square.
        epsilon: f32,
        /// The type of the statistics, by ONNX's number.
        stash_type: i64 = 1,
    } => infer::reduction::rms_normalization;
    /// The mean over axes.
    ReduceMean "reduce_mean" {
        /// Whether the axes stay, with size 1.
        keepdims: bool = true,
        /// Whether no axes means none, not all.
        noop_with_empty_axes: bool = false,
    } => infer::reduction::reduce;
    /// The sum over axes.
    ReduceSum "reduce_sum" {
        /// Whether the axes stay, with size 1.
        keepdims: bool = true,
        /// Whether no axes means none, not all.
        noop_with_empty_axes: bool = false,
    } => infer::reduction::reduce;
    /// The largest over axes.
    ReduceMax "reduce_max" {
        /// Whether the axes stay, with size 1.
        keepdims: bool = true,
        /// Whether no axes means none, not all.
        noop_with_empty_axes: bool = false,
    } => infer::reduction::reduce;
    /// The smallest over axes.
    ReduceMin "reduce_min" {
        /// Whether the axes stay, with size 1.
        keepdims: bool = true,
        /// Whether no axes means none, not all.
        noop_with_empty_axes: bool = false,
    } => infer::reduction::reduce;

    // Convolution.
    /// Each window of the data times the weights, and a bias.
    Conv "conv" {
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
    ConvTranspose "conv_transpose" {
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
    ConvInteger "conv_integer" {
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
    QLinearConv "qlinear_conv" {
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
    DeformConv "deform_conv" {
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
    CausalConvWithState "causal_conv_with_state" {
        /// What is computed behind it.
        activation: ConvActivation = ConvActivation::None,
    } => infer::convolution::causal_conv_with_state;
    /// Columns put back into an image at the places of their blocks, and added up (ONNX 18).
    Col2Im "col2im" {
        /// The step between elements of a window, for each axis; none means 1.
        dilations: Vec<i64> = vec![],
        /// How much is put around the data: before each axis, then behind each; none means 0.
        pads: Vec<i64> = vec![],
        /// The step between windows, for each axis; none means 1.
        strides: Vec<i64> = vec![],
    } => infer::blocks::col2im;

    // Pooling.
    /// The largest of each window, and on request where it stands.
    MaxPool "max_pool" {
        /// How much is put around the data, where `pads` does not say it.
        auto_pad: AutoPad = AutoPad::NotSet,
        /// Whether a last window may reach over the end.
        ceil_mode: bool = false,
        /// The step between elements of a window, for each axis; none means 1.
        dilations: Vec<i64> = vec![],
        /// The sizes of a window.
        kernel_shape: Vec<i64>,
        /// How much is put around the data: before each axis, then behind each; none means 0.
        pads: Vec<i64> = vec![],
        /// Whether the places count down the columns first.
        storage_order: bool = false,
        /// The step between windows, for each axis; none means 1.
        strides: Vec<i64> = vec![],
    } => infer::pooling::max_pool;
    /// The mean of each window.
    AveragePool "average_pool" {
        /// How much is put around the data, where `pads` does not say it.
        auto_pad: AutoPad = AutoPad::NotSet,
        /// Whether a last window may reach over the end.
        ceil_mode: bool = false,
        /// Whether the padding counts.
        count_include_pad: bool = false,
        /// The step between elements of a window, for each axis; none means 1.
        dilations: Vec<i64> = vec![],
        /// The sizes of a window.
        kernel_shape: Vec<i64>,
        /// How much is put around the data: before each axis, then behind each; none means 0.
        pads: Vec<i64> = vec![],
        /// The step between windows, for each axis; none means 1.
        strides: Vec<i64> = vec![],
    } => infer::pooling::average_pool;
    /// The `p` norm of each window.
    LpPool "lp_pool" {
        /// How much is put around the data, where `pads` does not say it.
        auto_pad: AutoPad = AutoPad::NotSet,
        /// Whether a last window may reach over the end.
        ceil_mode: bool = false,
        /// The step between elements of a window, for each axis; none means 1.
        dilations: Vec<i64> = vec![],
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
    GlobalAveragePool "global_average_pool" => infer::pooling::global;
    /// The largest over all spatial axes.
    GlobalMaxPool "global_max_pool" => infer::pooling::global;
    /// The `p` norm over all spatial axes.
    GlobalLpPool "global_lp_pool" {
        /// The power.
        p: i64 = 2,
    } => infer::pooling::global_lp;
    /// Elements put back where `max_pool` found them; 0 elsewhere.
    MaxUnpool "max_unpool" {
        /// The sizes of a window.
        kernel_shape: Vec<i64>,
        /// How much is put around the data: before each axis, then behind each; none means 0.
        pads: Vec<i64> = vec![],
        /// The step between windows, for each axis; none means 1.
        strides: Vec<i64> = vec![],
    } => infer::pooling::max_unpool;
    /// The largest of each part of regions.
    MaxRoiPool "max_roi_pool" {
        /// The number of parts along both axes.
        pooled_shape: Vec<i64>,
        /// Times the coordinates of the regions.
        spatial_scale: f32 = 1.0,
    } => infer::pooling::max_roi_pool;
    /// Regions sampled between the pixels.
    RoiAlign "roi_align" {
        /// How coordinates fall on pixels.
        coordinate_transformation_mode: RoiCoordinates = RoiCoordinates::HalfPixel,
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
    NonMaxSuppression "non_max_suppression" {
        /// Whether a box is given by center and size, not by corners.
        center_point_box: bool = false,
    } => infer::pooling::non_max_suppression;

    // Images.
    /// The axes in other sizes, by `scales` or `sizes`.
    Resize "resize" {
        /// Whether what is made smaller is smoothed.
        antialias: bool = false,
        /// The axes that the operands speak of; none means all.
        axes: Vec<i64> = vec![],
        /// Where in the operand an element lies.
        coordinate_transformation_mode: ResizeCoordinates = ResizeCoordinates::HalfPixel,
        /// The coefficient of cubic interpolation.
        cubic_coeff_a: f32 = -0.75,
        /// Whether what lies outside has no weight.
        exclude_outside: bool = false,
        /// What is read outside of a region.
        extrapolation_value: f32 = 0.0,
        /// What `sizes` say of the ratio of the axes.
        keep_aspect_ratio_policy: AspectRatioPolicy = AspectRatioPolicy::Stretch,
        /// What an element is made of.
        mode: Interpolation = Interpolation::Nearest,
        /// Which element is the nearest.
        nearest_mode: NearestMode = NearestMode::RoundPreferFloor,
    } => infer::image::resize;
    /// Sampled at the coordinates of a grid.
    GridSample "grid_sample" {
        /// Whether the outermost coordinates are the centers of pixels, not their edges.
        align_corners: bool = false,
        /// What an element is made of.
        mode: Interpolation = Interpolation::Linear,
        /// What is read outside.
        padding_mode: GridPadding = GridPadding::Zeros,
    } => infer::image::grid_sample;
    /// The grid that samples by affine matrices (ONNX 20).
    AffineGrid "affine_grid" {
        /// Whether the outermost coordinates are the centers of pixels, not their edges.
        align_corners: bool = false,
    } => infer::image::affine_grid;
    /// The pixels of an image file (ONNX 20).
    ImageDecoder "image_decoder" {
        /// The channels.
        pixel_format: PixelFormat = PixelFormat::Rgb,
    } => infer::image::image_decoder;
    /// Channels spread over blocks of pixels.
    DepthToSpace "depth_to_space" {
        /// The side of a block.
        blocksize: i64,
        /// In which order the channels hold a block.
        mode: BlockOrder = BlockOrder::Dcr,
    } => infer::blocks::depth_to_space;
    /// Blocks of pixels gathered in channels; only since ONNX 28 in any other order than `DCR`.
    SpaceToDepth "space_to_depth" {
        /// The side of a block.
        blocksize: i64,
        /// In which order the channels hold a block.
        mode: BlockOrder = BlockOrder::Dcr,
    } => infer::blocks::space_to_depth;
    /// With something put around it; what is cut off has negative pads.
    Pad "pad" {
        /// With what.
        mode: PadMode = PadMode::Constant,
    } => infer::padding::pad;
    /// The middle in another size, zeros around it where that is larger (ONNX 18).
    CenterCropPad "center_crop_pad" {
        /// The axes that the operand speaks of; absent means all.
        axes: Option<Vec<i64>> = None,
    } => infer::padding::center_crop_pad;
    /// A matrix: the axes before `axis` are its rows, the others its columns.
    Flatten "flatten" {
        /// The first axis of the columns.
        axis: i64 = 1,
    } => infer::blocks::flatten;

    // Normalization of channels.
    /// By the mean and variance of each channel over the batch, then scaled and shifted.
    BatchNormalization "batch_normalization" {
        /// Added to the variance.
        epsilon: f32 = 1e-5,
        /// The share of the old statistics in the new.
        momentum: f32 = 0.9,
        /// Whether the statistics are those of this batch.
        training_mode: bool = false,
    } => infer::normalization::batch_normalization;
    /// By the mean and variance of each channel of each element of the batch, then scaled and shifted.
    InstanceNormalization "instance_normalization" {
        /// Added to the variance.
        epsilon: f32 = 1e-5,
    } => infer::normalization::instance_normalization;
    /// By the mean and variance of groups of channels, then scaled and shifted by channel (ONNX 21).
    GroupNormalization "group_normalization" {
        /// Added to the variance.
        epsilon: f32 = 1e-5,
        /// The number of groups.
        num_groups: i64,
        /// The type of the statistics, by ONNX's number.
        stash_type: i64 = 1,
    } => infer::normalization::group_normalization;
    /// By the squares of the channels beside.
    LRN "lrn" {
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
    LpNormalization "lp_normalization" {
        /// The axis.
        axis: i64 = -1,
        /// The power: 1 or 2.
        p: i64 = 2,
    } => infer::normalization::lp;
    /// To mean 0 and variance 1 over axes.
    MeanVarianceNormalization "mean_variance_normalization" {
        /// The axes.
        axes: Vec<i64> = vec![0, 2, 3],
    } => infer::normalization::mean_variance;
}
