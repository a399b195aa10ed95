//! Operators: what a node computes.
//!
//! The vocabulary is ONNX's, in one normal form: the semantics of the default domain's opsets 21 to 24, with axes and
//! shapes as operands where those versions have them so. [`ScaledSoftmax`](Op::ScaledSoftmax) and other fused
//! operators have no ONNX form; lowering turns them into those that do. What the compiler does not understand is
//! [`Kept`] as it came.
//!
//! The table below is the one place that names an operator: its word in the text form, its attributes with their
//! defaults, and the function that infers its results, which stands with its family in [`crate::infer`].

use crate::attribute::{Attribute, AttributeError, AttributeValue, Attributes};
use crate::infer::{self, InferError, Inferred, Operands};
use crate::{ElementType, Tensor};
use std::hash::{Hash, Hasher};
use std::sync::Arc;

macro_rules! operators {
    (@name $field:ident) => { stringify!($field) };
    (@name $field:ident $onnx:literal) => { $onnx };
    (@default) => { None };
    (@default $default:expr) => { Some($default) };
    ($(
        $(#[$doc:meta])*
        $name:ident $word:literal
        $({ $( $(#[$field_doc:meta])* $field:ident $(as $onnx:literal)? : $type:ty $(= $default:expr)? ),* $(,)? })?
        => $infer:path;
    )*) => {
        /// What a node computes.
        #[derive(Clone, Debug, PartialEq)]
        pub enum Op {
            /// A value that the caller gives when the model runs.
            Input,
            /// A trained tensor; an initializer in ONNX.
            Parameter(Tensor),
            /// A tensor that the compiler or an exporter computed: a shape, a scalar, a table.
            Constant(Tensor),
            /// An operator that is not understood, kept as it came.
            Kept(Box<Kept>),
            $( $(#[$doc])* $name $({ $( $(#[$field_doc])* $field: $type ),* })?, )*
        }

        /// Which operator, whatever its attributes.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        #[expect(missing_docs, reason = "each stands for the variant of `Op` of the same name")]
        pub enum Kind { Input, Parameter, Constant, Kept, $( $name ),* }

        impl Kind {
            /// Every kind of operator with a word of its own.
            pub const ALL: &'static [Kind] = &[$( Kind::$name ),*];

            /// The word of the text form, such as `scaled_softmax`.
            pub fn word(self) -> &'static str {
                match self {
                    Kind::Input => "input",
                    Kind::Parameter => "parameter",
                    Kind::Constant => "constant",
                    Kind::Kept => "kept",
                    $( Kind::$name => $word, )*
                }
            }

            /// The name as ONNX writes it, such as `LayerNormalization`.
            pub fn name(self) -> &'static str {
                match self {
                    Kind::Input => "Input",
                    Kind::Parameter => "Parameter",
                    Kind::Constant => "Constant",
                    Kind::Kept => "Kept",
                    $( Kind::$name => stringify!($name), )*
                }
            }
        }

        impl Op {
            /// Which operator it is.
            pub fn kind(&self) -> Kind {
                match self {
                    Op::Input => Kind::Input,
                    Op::Parameter(_) => Kind::Parameter,
                    Op::Constant(_) => Kind::Constant,
                    Op::Kept(_) => Kind::Kept,
                    $( Op::$name { .. } => Kind::$name, )*
                }
            }

            /// The attributes that differ from their defaults, by ONNX's names, in the order of the table.
            pub fn attributes(&self) -> Vec<(&str, Attribute)> {
                match self {
                    Op::Input | Op::Parameter(_) | Op::Constant(_) => vec![],
                    Op::Kept(kept) => kept.attributes.iter().map(|(name, value)| (&**name, value.clone())).collect(),
                    $( Op::$name $({ $( $field ),* })? => {
                        #[allow(unused_mut, reason = "operators without attributes")]
                        let mut attributes = vec![];
                        $($(
                            let default: Option<$type> = operators!(@default $($default)?);
                            if default.as_ref() != Some($field) && let Some(value) = $field.to_attribute() {
                                attributes.push((operators!(@name $field $($onnx)?), value));
                            }
                        )*)?
                        attributes
                    } )*
                }
            }

            /// The operator of that kind with these attributes; those of the table that are absent get their defaults.
            ///
            /// # Errors
            /// When an attribute is missing, of another type or out of its range, or unknown to the operator.
            pub fn from_attributes(kind: Kind, attributes: Attributes) -> Result<Op, AttributeError> {
                #[allow(unused_mut, reason = "operators without attributes")]
                let mut attributes = attributes;
                let op = match kind {
                    Kind::Input => Op::Input,
                    Kind::Parameter | Kind::Constant | Kind::Kept => return Err(AttributeError::NotByAttributes(kind)),
                    $( Kind::$name => Op::$name $({ $(
                        $field: attributes.take(
                            operators!(@name $field $($onnx)?),
                            operators!(@default $($default)?),
                        )?
                    ),* })?, )*
                };
                attributes.finish()?;
                Ok(op)
            }

            /// The facts of the results, from those of the operands.
            ///
            /// # Errors
            /// When the operator is not defined on such operands.
            pub fn infer(&self, operands: &Operands<'_>) -> Result<Inferred, InferError> {
                match self {
                    Op::Input => Ok(infer::unknown(operands)),
                    Op::Parameter(tensor) | Op::Constant(tensor) => Ok(tensor.fact().into()),
                    Op::Kept(_) => Ok(infer::unknown(operands)),
                    $( Op::$name $({ $( $field ),* })? => $infer(operands $( $(, $field)* )?), )*
                }
            }
        }
    };
}

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
}

/// How GELU is computed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GeluApproximation {
    /// `x / 2 * (1 + erf(x / sqrt(2)))`.
    None,
    /// `x / 2 * (1 + tanh(sqrt(2 / pi) * (x + 0.044715 x^3)))`.
    Tanh,
}

/// An operator that is not understood: its domain, type, version and attributes as they came.
#[derive(Clone, Debug, PartialEq)]
pub struct Kept {
    /// The domain; empty for ONNX's default.
    pub domain: Arc<str>,
    /// The operator's type.
    pub op_type: Arc<str>,
    /// Which of the functions of that name.
    pub overload: Arc<str>,
    /// The attributes, in their order.
    pub attributes: Vec<(Arc<str>, Attribute)>,
}

impl Kind {
    /// The kind of that word of the text form.
    pub fn from_word(word: &str) -> Option<Kind> {
        Self::ALL.iter().copied().find(|kind| kind.word() == word)
    }

    /// The kind of that ONNX operator; fused ones are none.
    pub fn from_name(name: &str) -> Option<Kind> {
        Self::ALL.iter().copied().find(|kind| kind.name() == name && !kind.is_fused())
    }

    /// Whether it exists in the IR alone and must be lowered before it is written.
    pub fn is_fused(self) -> bool {
        self == Kind::ScaledSoftmax
    }

    /// Whether its two operands may be exchanged.
    pub fn commutes(self) -> bool {
        matches!(self, Kind::Add | Kind::Mul | Kind::Min | Kind::Max | Kind::And | Kind::Or | Kind::Xor | Kind::Equal)
    }
}

impl Op {
    /// The tensor, where it is one that is known when the model is built.
    pub fn tensor(&self) -> Option<&Tensor> {
        match self {
            Op::Parameter(tensor) | Op::Constant(tensor) => Some(tensor),
            _ => None,
        }
    }

    /// The word of the text form.
    pub fn word(&self) -> &'static str {
        self.kind().word()
    }

    /// A hash that agrees with `==`; tensors count by their type alone.
    pub fn hash_attributes(&self, state: &mut impl Hasher) {
        self.kind().hash(state);
        for (name, value) in self.attributes() {
            name.hash(state);
            value.hash_value(state);
        }
        if let Some(tensor) = self.tensor() {
            tensor.element().hash(state);
            tensor.dims().hash(state);
        }
    }
}
