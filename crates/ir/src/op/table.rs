//! The table of operators: word, attributes with their defaults, inference.

use super::{GeluApproximation, Kept};
use crate::attribute::{Attribute, AttributeError, AttributeValue, Attributes};
use crate::infer::{self, InferError, Inferred, Operands};
use crate::tensor::SparseTensor;
use crate::{ElementType, Graph, Tensor};
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
}
