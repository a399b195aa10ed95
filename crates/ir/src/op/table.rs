//! The table of operators: word, attributes with their defaults, inference.

use super::{
    AspectRatioPolicy, AutoPad, BlockOrder, CaseChange, CastRounding, ConvActivation, Direction, GeluApproximation,
    GridPadding, Interpolation, Kept, LinearAttentionRule, LossReduction, NearestMode, PadMode, PixelFormat,
    ResizeCoordinates, RoiCoordinates, RoiMode, ScatterMode, ScatterReduction, ShiftDirection, TermWeighting,
};
use crate::attribute::{Attribute, AttributeError, AttributeValue, Attributes};
use crate::infer::{self, InferError, Inferred, Operands};
use crate::tensor::SparseTensor;
use crate::{ElementType, Graph, Tensor, ValueType};
use bytes::Bytes;
use std::sync::Arc;

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
        /// How a number is rounded to a power of two, the type `f8e8m0`.
        round_mode: CastRounding = CastRounding::Up,
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
    Sum "sum" => infer::elementwise::sum;
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
    Slice "slice" => infer::indexing::slice;
    /// The slices at the indices along an axis.
    Gather "gather" {
        /// The axis.
        axis: i64 = 0,
    } => infer::indexing::gather;
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
    /// The number of elements, as an `i64`.
    Size "size" => infer::layout::size;
    /// Repeated along each axis as often as the second operand says.
    Tile "tile" => infer::layout::tile;
    /// 1 on a diagonal of a matrix, 0 elsewhere, in the shape of the operand.
    EyeLike "eye_like" {
        /// The element type; that of the operand where it is absent.
        dtype: Option<ElementType> = None,
        /// Which diagonal: 0 is the main one, above it are positive ones.
        k: i64 = 0,
    } => infer::layout::eye_like;
    /// The first elements along the time axis in reverse, of each batch as many as the second operand says.
    ReverseSequence "reverse_sequence" {
        /// The axis of the batch.
        batch_axis: i64 = 1,
        /// The axis of time.
        time_axis: i64 = 0,
    } => infer::layout::reverse_sequence;

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

    // Control flow: operators with bodies.
    /// One of two bodies.
    If "if" {
        /// What runs where the condition holds.
        then_branch: Arc<Graph>,
        /// What runs where it does not.
        else_branch: Arc<Graph>,
    } => infer::control::if_;
    /// A body, again and again.
    Loop "loop" {
        /// From iteration, condition and state to condition, state and what is scanned.
        body: Arc<Graph>,
    } => infer::control::loop_;
    /// A body for each slice of its operands.
    Scan "scan" {
        /// From state and slices to state and slices.
        body: Arc<Graph>,
        /// How many operands are scanned; those before are the state.
        num_scan_inputs: i64,
        /// Along which axes; 0 each where there are none.
        scan_input_axes: Vec<i64> = vec![],
        /// 0 for forward, 1 for backward; 0 each where there are none.
        scan_input_directions: Vec<i64> = vec![],
        /// Along which axes slices are put together; 0 each where there are none.
        scan_output_axes: Vec<i64> = vec![],
        /// 0 for forward, 1 for backward; 0 each where there are none.
        scan_output_directions: Vec<i64> = vec![],
    } => infer::control::scan;
    /// A body for each element of a sequence.
    SequenceMap "sequence_map" {
        /// From an element of each operand to an element of each result.
        body: Arc<Graph>,
    } => infer::control::sequence_map;

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

    // Elements by index or condition.
    /// The elements at the indices along an axis, the other indices their own.
    GatherElements "gather_elements" {
        /// The axis.
        axis: i64 = 0,
    } => infer::indexing::gather_elements;
    /// The slices at tuples of indices, which are the last axis of the second operand.
    GatherND "gather_nd" {
        /// How many axes of data and indices go side by side.
        batch_dims: i64 = 0,
    } => infer::indexing::gather_nd;
    /// With the elements at the indices along an axis replaced (ONNX 18).
    ScatterElements "scatter_elements" {
        /// The axis.
        axis: i64 = 0,
        /// What becomes of the element that is there.
        reduction: ScatterReduction = ScatterReduction::None,
    } => infer::indexing::scatter_elements;
    /// With the slices at tuples of indices replaced (ONNX 18).
    ScatterND "scatter_nd" {
        /// What becomes of the elements that are there.
        reduction: ScatterReduction = ScatterReduction::None,
    } => infer::indexing::scatter_nd;
    /// The slices along an axis at which a condition holds.
    Compress "compress" {
        /// The axis; all elements in order where it is absent.
        axis: Option<i64> = None,
    } => infer::indexing::compress;
    /// The indices of the elements that are not zero, a column each.
    NonZero "non_zero" => infer::indexing::non_zero;
    /// A new axis of the size of the second operand, on at the index and off elsewhere.
    OneHot "one_hot" {
        /// Where the new axis stands.
        axis: i64 = -1,
    } => infer::indexing::one_hot;
    /// The distinct slices along an axis, where each is first, which each slice is, and how often each occurs.
    Unique "unique" {
        /// The axis; all elements in order where it is absent.
        axis: Option<i64> = None,
        /// Whether they are sorted, or stand in the order of their first occurrence.
        sorted: bool = true,
    } => infer::indexing::unique;

    // Sequences and optional values.
    /// The operands as a sequence.
    SequenceConstruct "sequence_construct" => infer::sequence::construct;
    /// A sequence without elements.
    SequenceEmpty "sequence_empty" {
        /// The type of the elements of its tensors.
        dtype: ElementType = ElementType::F32,
    } => infer::sequence::empty;
    /// The element at a position.
    SequenceAt "sequence_at" => infer::sequence::at;
    /// With a tensor put in before a position, or at the end.
    SequenceInsert "sequence_insert" => infer::sequence::insert;
    /// Without the element at a position, or the last.
    SequenceErase "sequence_erase" => infer::sequence::erase;
    /// The number of elements.
    SequenceLength "sequence_length" => infer::sequence::length;
    /// The parts of a tensor along an axis: of one size, of given sizes, or of size 1.
    SplitToSequence "split_to_sequence" {
        /// The axis.
        axis: i64 = 0,
        /// Whether parts of size 1, where no size is given, keep the axis.
        keepdims: bool = true,
    } => infer::sequence::split;
    /// The elements one after the other along an axis.
    ConcatFromSequence "concat_from_sequence" {
        /// The axis.
        axis: i64,
        /// Whether it is a new one.
        new_axis: bool = false,
    } => infer::sequence::concat;
    /// The operand, or nothing of its type.
    Optional "optional" {
        /// The type of what is not there.
        ty as "type": Option<ValueType> = None,
    } => infer::sequence::optional;
    /// Whether an optional value holds something (ONNX 18).
    OptionalHasElement "optional_has_element" => infer::sequence::has_element;
    /// What an optional value holds (ONNX 18).
    OptionalGetElement "optional_get_element" => infer::sequence::get_element;

    // Recurrent networks.
    /// A recurrent network of one gate: all states, and the last.
    RNN "rnn" {
        /// Parameters of the activations that have one.
        activation_alpha: Option<Vec<f32>> = None,
        /// Second parameters of the activations that have two.
        activation_beta: Option<Vec<f32>> = None,
        /// The activations of each direction; where they are absent, tanh.
        activations: Option<Vec<Bytes>> = None,
        /// The bound of what goes into the activations; none where it is absent.
        clip: Option<f32> = None,
        /// Which way it goes.
        direction: Direction = Direction::Forward,
        /// The size of the state; that of the weights where it is absent.
        hidden_size: Option<i64> = None,
        /// Whether the batch is the first axis, before the sequence.
        layout: bool = false,
    } => infer::recurrent::rnn;
    /// Gated recurrent units: all states, and the last.
    GRU "gru" {
        /// Parameters of the activations that have one.
        activation_alpha: Option<Vec<f32>> = None,
        /// Second parameters of the activations that have two.
        activation_beta: Option<Vec<f32>> = None,
        /// The activations of each direction; where they are absent, sigmoid and tanh.
        activations: Option<Vec<Bytes>> = None,
        /// The bound of what goes into the activations; none where it is absent.
        clip: Option<f32> = None,
        /// Which way it goes.
        direction: Direction = Direction::Forward,
        /// The size of the state; that of the weights where it is absent.
        hidden_size: Option<i64> = None,
        /// Whether the batch is the first axis, before the sequence.
        layout: bool = false,
        /// Whether the reset gate is applied behind the product with the state.
        linear_before_reset: bool = false,
    } => infer::recurrent::gru;
    /// Long short-term memory: all states, the last, and the last cell.
    LSTM "lstm" {
        /// Parameters of the activations that have one.
        activation_alpha: Option<Vec<f32>> = None,
        /// Second parameters of the activations that have two.
        activation_beta: Option<Vec<f32>> = None,
        /// The activations of each direction; where they are absent, sigmoid, tanh and tanh.
        activations: Option<Vec<Bytes>> = None,
        /// The bound of what goes into the activations; none where it is absent.
        clip: Option<f32> = None,
        /// Which way it goes.
        direction: Direction = Direction::Forward,
        /// The size of the state; that of the weights where it is absent.
        hidden_size: Option<i64> = None,
        /// Whether the input and forget gates are coupled.
        input_forget: bool = false,
        /// Whether the batch is the first axis, before the sequence.
        layout: bool = false,
    } => infer::recurrent::lstm;

    // Activations and functions of one operand.
    /// Arc cosine.
    Acos "acos" => infer::elementwise::float;
    /// Arc sine.
    Asin "asin" => infer::elementwise::float;
    /// Arc tangent.
    Atan "atan" => infer::elementwise::float;
    /// Inverse hyperbolic cosine.
    Acosh "acosh" => infer::elementwise::float;
    /// Inverse hyperbolic sine.
    Asinh "asinh" => infer::elementwise::float;
    /// Inverse hyperbolic tangent.
    Atanh "atanh" => infer::elementwise::float;
    /// Hyperbolic cosine.
    Cosh "cosh" => infer::elementwise::float;
    /// Hyperbolic sine.
    Sinh "sinh" => infer::elementwise::float;
    /// Tangent.
    Tan "tan" => infer::elementwise::float;
    /// The nearest whole number; the even one from the middle.
    Round "round" => infer::elementwise::float;
    /// `x * max(0, min(1, x / 6 + 1 / 2))`.
    HardSwish "hard_swish" => infer::elementwise::float;
    /// `x * tanh(softplus(x))`.
    Mish "mish" => infer::elementwise::float;
    /// `x / (1 + |x|)`.
    Softsign "softsign" => infer::elementwise::float;
    /// `max(0, x) + min(0, alpha * (e^(x / alpha) - 1))`.
    Celu "celu" {
        /// Where the negative part flattens.
        alpha: f32 = 1.0,
    } => infer::elementwise::float_with_alpha;
    /// `x`, or `alpha * (e^x - 1)` below 0.
    Elu "elu" {
        /// Times the negative part.
        alpha: f32 = 1.0,
    } => infer::elementwise::float_with_alpha;
    /// `gamma * x`, or `gamma * alpha * (e^x - 1)` below 0.
    Selu "selu" {
        /// Times the negative part.
        alpha: f32 = 1.673_263_2,
        /// Times all.
        gamma: f32 = 1.050_701,
    } => infer::elementwise::float_with_two;
    /// `x`, or `alpha * x` below 0.
    LeakyRelu "leaky_relu" {
        /// Times the negative part.
        alpha: f32 = 0.01,
    } => infer::elementwise::float_with_alpha;
    /// `x` above `alpha`, else 0.
    ThresholdedRelu "thresholded_relu" {
        /// The threshold.
        alpha: f32 = 1.0,
    } => infer::elementwise::float_with_alpha;
    /// `max(0, min(1, alpha * x + beta))`.
    HardSigmoid "hard_sigmoid" {
        /// The slope.
        alpha: f32 = 0.2,
        /// The value at 0.
        beta: f32 = 0.5,
    } => infer::elementwise::float_with_two;
    /// `x` nearer to 0 by `bias`, and 0 within `lambd` of it.
    Shrink "shrink" {
        /// What lies within is 0.
        lambd: f32 = 0.5,
        /// How much nearer.
        bias: f32 = 0.0,
    } => infer::elementwise::shrink;
    /// `x * sigmoid(alpha * x)` (ONNX 24).
    Swish "swish" {
        /// Times the operand of the sigmoid.
        alpha: f32 = 1.0,
    } => infer::elementwise::float_with_alpha;
    /// Whether it is no number.
    IsNaN "is_nan" => infer::elementwise::is_nan;
    /// Whether it is infinite.
    IsInf "is_inf" {
        /// Whether negative infinity counts.
        detect_negative: bool = true,
        /// Whether positive infinity counts.
        detect_positive: bool = true,
    } => infer::elementwise::is_inf;
    /// Each bit's opposite.
    BitwiseNot "bitwise_not" => infer::elementwise::integer;
    /// The bits read as another type of as many (ONNX 26).
    BitCast "bit_cast" {
        /// The type.
        to: ElementType,
    } => infer::elementwise::bit_cast;

    // Elementwise, further operands.
    /// The elements in the type of the second operand.
    CastLike "cast_like" {
        /// Whether values out of the range of an 8-bit float become its largest.
        saturate: bool = true,
        /// How a number is rounded to a power of two, the type `f8e8m0`.
        round_mode: CastRounding = CastRounding::Up,
    } => infer::elementwise::cast_like;
    /// `min(max(x, low), high)`; either bound may be absent.
    Clip "clip" => infer::elementwise::clip;
    /// `x`, or `slope * x` below 0.
    PRelu "prelu" => infer::elementwise::prelu;
    /// `swish(a) * b` of two operands of one shape (ONNX 28).
    SwiGLU "swiglu" {
        /// Times the operand of the sigmoid.
        alpha: f32 = 1.0,
    } => infer::elementwise::swiglu;
    /// The mean of any number of operands.
    Mean "mean" => infer::elementwise::variadic;
    /// Bits that both have.
    BitwiseAnd "bitwise_and" => infer::elementwise::bitwise;
    /// Bits that one has.
    BitwiseOr "bitwise_or" => infer::elementwise::bitwise;
    /// Bits that just one has.
    BitwiseXor "bitwise_xor" => infer::elementwise::bitwise;
    /// The bits of `a` shifted by `b` places.
    BitShift "bit_shift" {
        /// Where to.
        direction: ShiftDirection,
    } => infer::elementwise::bit_shift;

    // Random.
    /// With elements dropped and the others scaled up, in training. Results: what is left, and which elements are.
    Dropout "dropout" {
        /// Where the random numbers begin; anywhere without one.
        seed: Option<i64> = None,
    } => infer::random::dropout;
    /// 1 with the probability that the operand says, else 0.
    Bernoulli "bernoulli" {
        /// The type; the operand's without one.
        dtype: Option<ElementType> = None,
        /// Where the random numbers begin; anywhere without one.
        seed: Option<f32> = None,
    } => infer::random::bernoulli;
    /// Normally distributed numbers.
    RandomNormal "random_normal" {
        /// The shape.
        shape: Vec<i64>,
        /// The type.
        dtype: ElementType = ElementType::F32,
        /// The mean.
        mean: f32 = 0.0,
        /// The standard deviation.
        scale: f32 = 1.0,
        /// Where the random numbers begin; anywhere without one.
        seed: Option<f32> = None,
    } => infer::random::random;
    /// Normally distributed numbers in the shape of the operand.
    RandomNormalLike "random_normal_like" {
        /// The type; the operand's without one.
        dtype: Option<ElementType> = None,
        /// The mean.
        mean: f32 = 0.0,
        /// The standard deviation.
        scale: f32 = 1.0,
        /// Where the random numbers begin; anywhere without one.
        seed: Option<f32> = None,
    } => infer::random::random_like;
    /// Uniformly distributed numbers.
    RandomUniform "random_uniform" {
        /// The shape.
        shape: Vec<i64>,
        /// The type.
        dtype: ElementType = ElementType::F32,
        /// The lower bound.
        low: f32 = 0.0,
        /// The upper bound.
        high: f32 = 1.0,
        /// Where the random numbers begin; anywhere without one.
        seed: Option<f32> = None,
    } => infer::random::random;
    /// Uniformly distributed numbers in the shape of the operand.
    RandomUniformLike "random_uniform_like" {
        /// The type; the operand's without one.
        dtype: Option<ElementType> = None,
        /// The lower bound.
        low: f32 = 0.0,
        /// The upper bound.
        high: f32 = 1.0,
        /// Where the random numbers begin; anywhere without one.
        seed: Option<f32> = None,
    } => infer::random::random_like;
    /// Classes of each row, drawn by the logarithms of their probabilities.
    Multinomial "multinomial" {
        /// How many are drawn of each row.
        sample_size: i64 = 1,
        /// The type.
        dtype: ElementType = ElementType::I32,
        /// Where the random numbers begin; anywhere without one.
        seed: Option<f32> = None,
    } => infer::random::multinomial;

    // Products of other kinds.
    /// Products summed by an equation of labels: `bij,bjk->bik`.
    Einsum "einsum" {
        /// The equation.
        equation: Bytes,
    } => infer::einsum::einsum;
    /// The determinants of the matrices of the last two axes.
    Det "det" => infer::contraction::determinant;
    /// The matrix product of 8-bit integers less their zero points, in `i32`.
    MatMulInteger "matmul_integer" => infer::contraction::matmul_integer;
    /// The matrix product of quantized tensors, quantized.
    QLinearMatMul "qlinear_matmul" => infer::contraction::qlinear_matmul;

    // Reductions, and what lies along an axis.
    /// The product over axes.
    ReduceProd "reduce_prod" {
        /// Whether the axes stay, with size 1.
        keepdims: bool = true,
        /// Whether no axes means none, not all.
        noop_with_empty_axes: bool = false,
    } => infer::reduction::reduce;
    /// The sum of the absolute values over axes.
    ReduceL1 "reduce_l1" {
        /// Whether the axes stay, with size 1.
        keepdims: bool = true,
        /// Whether no axes means none, not all.
        noop_with_empty_axes: bool = false,
    } => infer::reduction::reduce;
    /// The root of the sum of the squares over axes.
    ReduceL2 "reduce_l2" {
        /// Whether the axes stay, with size 1.
        keepdims: bool = true,
        /// Whether no axes means none, not all.
        noop_with_empty_axes: bool = false,
    } => infer::reduction::reduce;
    /// The logarithm of the sum over axes.
    ReduceLogSum "reduce_log_sum" {
        /// Whether the axes stay, with size 1.
        keepdims: bool = true,
        /// Whether no axes means none, not all.
        noop_with_empty_axes: bool = false,
    } => infer::reduction::reduce;
    /// The logarithm of the sum of `e^x` over axes.
    ReduceLogSumExp "reduce_log_sum_exp" {
        /// Whether the axes stay, with size 1.
        keepdims: bool = true,
        /// Whether no axes means none, not all.
        noop_with_empty_axes: bool = false,
    } => infer::reduction::reduce;
    /// The sum of the squares over axes.
    ReduceSumSquare "reduce_sum_square" {
        /// Whether the axes stay, with size 1.
        keepdims: bool = true,
        /// Whether no axes means none, not all.
        noop_with_empty_axes: bool = false,
    } => infer::reduction::reduce;
    /// Where the largest lies along an axis, as `i64`.
    ArgMax "arg_max" {
        /// The axis.
        axis: i64 = 0,
        /// Whether the axis stays, with size 1.
        keepdims: bool = true,
        /// Whether the last of equal ones counts, not the first.
        select_last_index: bool = false,
    } => infer::reduction::arg;
    /// Where the smallest lies along an axis, as `i64`.
    ArgMin "arg_min" {
        /// The axis.
        axis: i64 = 0,
        /// Whether the axis stays, with size 1.
        keepdims: bool = true,
        /// Whether the last of equal ones counts, not the first.
        select_last_index: bool = false,
    } => infer::reduction::arg;
    /// The sums of all elements up to each along an axis.
    CumSum "cum_sum" {
        /// Whether each is left out of its own.
        exclusive: bool = false,
        /// Whether it goes from the end.
        reverse: bool = false,
    } => infer::reduction::cumulative;
    /// The products of all elements up to each along an axis (ONNX 26).
    CumProd "cum_prod" {
        /// Whether each is left out of its own.
        exclusive: bool = false,
        /// Whether it goes from the end.
        reverse: bool = false,
    } => infer::reduction::cumulative;
    /// The `k` largest or smallest along an axis, and where they lie.
    TopK "top_k" {
        /// The axis.
        axis: i64 = -1,
        /// Whether the largest, not the smallest.
        largest: bool = true,
        /// Whether they are sorted.
        sorted: bool = true,
    } => infer::reduction::top_k;
    /// 1 at the first largest along an axis, else 0.
    Hardmax "hardmax" {
        /// The axis.
        axis: i64 = -1,
    } => infer::reduction::along;

    // Quantization.
    /// `x / scale + zero_point`, rounded and saturated.
    QuantizeLinear "quantize_linear" {
        /// The axis of a scale that is no scalar.
        axis: i64 = 1,
        /// How many elements share a scale; 0 where the scale is not of blocks.
        block_size: i64 = 0,
        /// The type; the zero point's without one, and `u8` without either.
        output_dtype: Option<ElementType> = None,
        /// The type of the division; the scale's without one (ONNX 23).
        precision: Option<ElementType> = None,
        /// Whether values out of the range of an 8-bit float become its largest.
        saturate: bool = true,
    } => infer::quantization::quantize;
    /// `(x - zero_point) * scale`.
    DequantizeLinear "dequantize_linear" {
        /// The axis of a scale that is no scalar.
        axis: i64 = 1,
        /// How many elements share a scale; 0 where the scale is not of blocks.
        block_size: i64 = 0,
        /// The type; the scale's without one (ONNX 23).
        output_dtype: Option<ElementType> = None,
    } => infer::quantization::dequantize;
    /// Quantized to `u8` by its own range. Results: it, the scale, the zero point.
    DynamicQuantizeLinear "dynamic_quantize_linear" => infer::quantization::dynamic_quantize;

    // Losses.
    /// What the labels cost by the logarithms of their probabilities.
    NegativeLogLikelihoodLoss "negative_log_likelihood_loss" {
        /// What becomes of the losses of the samples.
        reduction: LossReduction = LossReduction::Mean,
        /// A label that costs nothing.
        ignore_index: Option<i64> = None,
    } => infer::loss::negative_log_likelihood;
    /// What the labels cost by their scores. Results: that, and the logarithms of the probabilities.
    SoftmaxCrossEntropyLoss "softmax_cross_entropy_loss" {
        /// What becomes of the losses of the samples.
        reduction: LossReduction = LossReduction::Mean,
        /// A label that costs nothing.
        ignore_index: Option<i64> = None,
    } => infer::loss::softmax_cross_entropy;

    // Signals.
    /// The discrete Fourier transform along an axis (ONNX 20).
    DFT "dft" {
        /// Whether it is the inverse.
        inverse: bool = false,
        /// Whether the half that tells all of a real signal stands for both.
        onesided: bool = false,
    } => infer::signal::dft;
    /// The discrete Fourier transforms of the frames of a signal.
    STFT "stft" {
        /// Whether the half that tells all of a real signal stands for both.
        onesided: bool = true,
    } => infer::signal::stft;
    /// A Hann window.
    HannWindow "hann_window" {
        /// Whether it is one period, not symmetric.
        periodic: bool = true,
        /// The type.
        output_datatype: ElementType = ElementType::F32,
    } => infer::signal::window;
    /// A Hamming window.
    HammingWindow "hamming_window" {
        /// Whether it is one period, not symmetric.
        periodic: bool = true,
        /// The type.
        output_datatype: ElementType = ElementType::F32,
    } => infer::signal::window;
    /// A Blackman window.
    BlackmanWindow "blackman_window" {
        /// Whether it is one period, not symmetric.
        periodic: bool = true,
        /// The type.
        output_datatype: ElementType = ElementType::F32,
    } => infer::signal::window;
    /// Weights that bring frequencies to the bands of the mel scale.
    MelWeightMatrix "mel_weight_matrix" {
        /// The type.
        output_datatype: ElementType = ElementType::F32,
    } => infer::signal::mel_weight_matrix;

    // Attention.
    /// Attention of queries to keys and values, with a mask and a cache (ONNX 23 to 25).
    Attention "attention" {
        /// Whether a query sees no later key.
        is_causal: bool = false,
        /// Heads of keys and values; needed where they have rank 3.
        kv_num_heads: Option<i64> = None,
        /// How many earlier keys a query sees; -1 is all (ONNX 25).
        left_window_size: i64 = -1,
        /// Heads of queries; needed where they have rank 3.
        q_num_heads: Option<i64> = None,
        /// What the fourth result is: scores 0, capped 1, masked 2, or probabilities 3.
        qk_matmul_output_mode: i64 = 0,
        /// How many later keys a query sees; -1 is all (ONNX 25).
        right_window_size: i64 = -1,
        /// Times the scores; one over the root of the size of a head without one.
        scale: Option<f32> = None,
        /// The scores are bent below it by a hyperbolic tangent; 0 is not.
        softcap: f32 = 0.0,
        /// The type of the softmax; the operands' without one.
        softmax_precision: Option<ElementType> = None,
    } => infer::attention::attention;
    /// Embeddings turned by their positions (ONNX 23).
    RotaryEmbedding "rotary_embedding" {
        /// Whether pairs are neighbors, not from two halves.
        interleaved: bool = false,
        /// Heads; needed where the operand has rank 3.
        num_heads: Option<i64> = None,
        /// How much of a head is turned; 0 is all.
        rotary_embedding_dim: i64 = 0,
    } => infer::attention::rotary_embedding;
    /// A cache with new elements written along an axis (ONNX 24).
    TensorScatter "tensor_scatter" {
        /// The axis.
        axis: i64 = -2,
        /// What lies behind the end.
        mode: ScatterMode = ScatterMode::Linear,
    } => infer::attention::tensor_scatter;
    /// Attention by a state that each key and value changes (ONNX 27).
    LinearAttention "linear_attention" {
        /// How many steps are computed at once; a hint.
        chunk_size: i64 = 64,
        /// Heads of keys and values.
        kv_num_heads: i64,
        /// Heads of queries.
        q_num_heads: i64,
        /// Times the result; 0 is one over the root of the size of a head.
        scale: f32 = 0.0,
        /// How the state changes.
        update_rule: LinearAttentionRule = LinearAttentionRule::GatedDelta,
    } => infer::attention::linear_attention;

    // Text.
    /// One text behind the other.
    StringConcat "string_concat" => infer::strings::concat;
    /// The parts of texts. Results: them along a new last axis, and how many there are.
    StringSplit "string_split" {
        /// What stands between parts; white space without one.
        delimiter: Option<Bytes> = None,
        /// The most cuts; as many as there can be without one.
        maxsplit: Option<i64> = None,
    } => infer::strings::split;
    /// Texts without stop words, in one case.
    StringNormalizer "string_normalizer" {
        /// What becomes of the case.
        case_change_action: CaseChange = CaseChange::None,
        /// Whether stop words are told apart by case.
        is_case_sensitive: bool = false,
        /// The stop words.
        stopwords: Option<Vec<Bytes>> = None,
        /// The language, by which the case is changed.
        locale: Option<Bytes> = None,
    } => infer::strings::normalize;
    /// Whether the whole text matches a pattern.
    RegexFullMatch "regex_full_match" {
        /// The pattern, in the syntax of RE2.
        pattern: Option<Bytes> = None,
    } => infer::strings::matches;
    /// How often n-grams occur, weighted.
    TfIdfVectorizer "tf_idf_vectorizer" {
        /// What with.
        mode: TermWeighting,
        /// The least words of an n-gram.
        min_gram_length: i64,
        /// The most words of an n-gram.
        max_gram_length: i64,
        /// The most words between two of an n-gram.
        max_skip_count: i64,
        /// Where in the pool the 1-grams begin, the 2-grams, and so on.
        ngram_counts: Vec<i64>,
        /// The place in the result of each n-gram.
        ngram_indexes: Vec<i64>,
        /// The n-grams, as numbers.
        pool_int64s: Option<Vec<i64>> = None,
        /// The n-grams, as texts.
        pool_strings: Option<Vec<Bytes>> = None,
        /// The weight of each n-gram.
        weights: Option<Vec<f32>> = None,
    } => infer::strings::tf_idf;
}
