//! The operators of the DSL: methods and Rust operators on values.
//!
//! Each is the operator of the same name in the text form; negative axes count from the end.

use crate::builder::{Builder, Var};
use crate::signed;
use netwright_ir::op::{CastRounding, GeluApproximation};
use netwright_ir::{ElementType, Op, Tensor};
use std::ops::{Add, Div, Mul, Neg, Sub};

macro_rules! unary_words {
    ($($(#[$doc:meta])* $word:ident => $op:expr;)*) => {
        impl<'b> Var<'b> {
            $($(#[$doc])* #[track_caller] pub fn $word(self) -> Var<'b> { self.builder.apply($op, &[self]) })*
        }
    };
}

unary_words! {
    /// `e^x`.
    exp => Op::Exp;
    /// Square root.
    sqrt => Op::Sqrt;
    /// Natural logarithm.
    log => Op::Log;
    /// The negation of a bool.
    logical_not => Op::Not;
    /// Sine.
    sin => Op::Sin;
    /// Cosine.
    cos => Op::Cos;
    /// Hyperbolic tangent.
    tanh => Op::Tanh;
    /// `1 / (1 + e^-x)`.
    sigmoid => Op::Sigmoid;
    /// `max(x, 0)`.
    relu => Op::Relu;
    /// `x / 2 * (1 + erf(x / sqrt(2)))`.
    gelu => Op::Gelu { approximate: GeluApproximation::None };
    /// The tanh approximation of GELU.
    gelu_tanh => Op::Gelu { approximate: GeluApproximation::Tanh };
}

impl<'b> Var<'b> {
    /// The matrix product of the last two axes: `[.., m, k] × [.., k, n]`.
    #[track_caller]
    pub fn matmul(self, other: Var<'b>) -> Var<'b> {
        self.builder.apply(Op::MatMul, &[self, other])
    }

    /// `e^x / sum(e^x)` along an axis.
    #[track_caller]
    pub fn softmax(self, axis: i64) -> Var<'b> {
        self.builder.apply(Op::Softmax { axis }, &[self])
    }

    /// Permutes the axes.
    #[track_caller]
    pub fn transpose(self, perm: &[i64]) -> Var<'b> {
        self.builder.apply(Op::Transpose { perm: perm.to_vec() }, &[self])
    }

    /// Changes the shape: 0 keeps a size, -1 is inferred.
    #[track_caller]
    pub fn reshape(self, sizes: &[i64]) -> Var<'b> {
        let sizes = self.builder.constant("sizes", Tensor::indices(sizes));
        self.builder.apply(Op::Reshape { allowzero: false }, &[self, sizes])
    }

    /// Inserts axes of size 1.
    #[track_caller]
    pub fn unsqueeze(self, axes: &[i64]) -> Var<'b> {
        let axes = self.builder.constant("axes", Tensor::indices(axes));
        self.builder.apply(Op::Unsqueeze, &[self, axes])
    }

    /// Broadcasts to a shape, given as a vector of sizes.
    #[track_caller]
    pub fn expand(self, sizes: Var<'b>) -> Var<'b> {
        self.builder.apply(Op::Expand, &[self, sizes])
    }

    /// Casts to an element type; returns the value itself if it has that type.
    #[track_caller]
    pub fn cast(self, to: ElementType) -> Var<'b> {
        if self.ty().is_some_and(|ty| ty.element == to) {
            return self;
        }
        self.builder.apply(Op::Cast { to, saturate: true, round_mode: CastRounding::Up }, &[self])
    }

    /// The size of an axis, as a vector of one element.
    #[track_caller]
    pub fn size(self, axis: i64) -> Var<'b> {
        let end = axis.checked_add(1).filter(|end| *end != 0);
        self.builder.apply(Op::Shape { start: axis, end }, &[self])
    }

    /// Concatenates along an axis.
    #[track_caller]
    pub fn concat(self, other: Var<'b>, axis: i64) -> Var<'b> {
        self.builder.apply(Op::Concat { axis }, &[self, other])
    }

    /// The numbers from 0 up to a size, a vector of one element such as [`size`](Var::size).
    #[track_caller]
    pub fn range(self) -> Var<'b> {
        self.counted(self.builder.constant("start", Tensor::index(0)), self)
    }

    /// The numbers from one bound up to another, both vectors of one element.
    #[track_caller]
    pub fn range_to(self, end: Var<'b>) -> Var<'b> {
        self.counted(self.squeeze(&[0]), end)
    }

    #[track_caller]
    fn counted(self, start: Var<'b>, end: Var<'b>) -> Var<'b> {
        let step = self.builder.constant("step", Tensor::index(1));
        self.builder.apply(Op::Range, &[start, end.squeeze(&[0]), step])
    }

    /// Removes axes of size 1.
    #[track_caller]
    pub fn squeeze(self, axes: &[i64]) -> Var<'b> {
        let axes = self.builder.constant("axes", Tensor::indices(axes));
        self.builder.apply(Op::Squeeze, &[self, axes])
    }

    /// The elements from `start` up to `end` along an axis; negative bounds count from the end.
    #[track_caller]
    pub fn slice(self, axis: i64, start: i64, end: i64) -> Var<'b> {
        let vector = |name, value| self.builder.constant(name, Tensor::indices(&[value]));
        self.builder.apply(Op::Slice, &[self, vector("start", start), vector("end", end), vector("axis", axis)])
    }

    /// Splits an axis into consecutive parts of these sizes.
    #[track_caller]
    pub fn split<const N: usize>(self, axis: i64, sizes: [u64; N]) -> [Var<'b>; N] {
        let sizes = sizes.map(signed);
        let sizes = self.builder.constant("sizes", Tensor::indices(&sizes));
        self.builder.apply_several(Op::Split { axis }, &[self, sizes])
    }

    /// Selects this value where the condition is true, and the other elsewhere.
    #[track_caller]
    pub fn where_else(self, condition: Var<'b>, other: Var<'b>) -> Var<'b> {
        self.builder.apply(Op::Where, &[condition, self, other])
    }

    /// Compares elements for equality.
    #[track_caller]
    pub fn equal(self, other: Var<'b>) -> Var<'b> {
        self.builder.apply(Op::Equal, &[self, other])
    }

    /// The larger of both elements.
    #[track_caller]
    pub fn max(self, other: Var<'b>) -> Var<'b> {
        self.builder.apply(Op::Max, &[self, other])
    }

    /// The smaller of both elements.
    #[track_caller]
    pub fn min(self, other: Var<'b>) -> Var<'b> {
        self.builder.apply(Op::Min, &[self, other])
    }

    /// The inclusive cumulative sum along an axis.
    #[track_caller]
    pub fn cum_sum(self, axis: i64) -> Var<'b> {
        let axis = self.builder.constant("axis", Tensor::index(axis));
        self.builder.apply(Op::CumSum { exclusive: false, reverse: false }, &[self, axis])
    }

    /// The index of the largest element along an axis, the first of equal ones; removes the axis.
    #[track_caller]
    pub fn arg_max(self, axis: i64) -> Var<'b> {
        self.builder.apply(Op::ArgMax { axis, keepdims: false, select_last_index: false }, &[self])
    }

    /// The largest element along an axis; removes the axis.
    #[track_caller]
    pub fn largest(self, axis: i64) -> Var<'b> {
        let axes = self.builder.constant("axes", Tensor::indices(&[axis]));
        self.builder.apply(Op::ReduceMax { keepdims: false, noop_with_empty_axes: false }, &[self, axes])
    }

    /// The sum along an axis, which is kept with size 1.
    #[track_caller]
    pub fn sum(self, axis: i64) -> Var<'b> {
        let axes = self.builder.constant("axes", Tensor::indices(&[axis]));
        self.builder.apply(Op::ReduceSum { keepdims: true, noop_with_empty_axes: false }, &[self, axes])
    }

    /// The Euclidean norm along the last axis, which is kept with size 1.
    #[track_caller]
    pub fn length(self) -> Var<'b> {
        let axes = self.builder.constant("axes", Tensor::indices(&[-1]));
        self.builder.apply(Op::ReduceL2 { keepdims: true, noop_with_empty_axes: false }, &[self, axes])
    }

    /// Selects one element per batch row: `[batch, seq, ..]` with indices `[batch]` gives `[batch, ..]`.
    #[track_caller]
    pub fn pick(self, index: Var<'b>) -> Var<'b> {
        self.builder.apply(Op::GatherND { batch_dims: 1 }, &[self, index.unsqueeze(&[1])])
    }

    /// Casts to the [type of the parameters](crate::Builder::element).
    #[track_caller]
    pub fn cast_like_parameters(self) -> Var<'b> {
        self.cast(self.builder.element())
    }

    /// Looks up rows: `[rows, ..]` with indices `[batch, seq]` gives `[batch, seq, ..]`; runtimes refuse an index that
    /// is out of range.
    #[track_caller]
    pub fn gather(self, indices: Var<'b>) -> Var<'b> {
        self.builder.apply(Op::Gather { axis: 0 }, &[self, indices])
    }

    /// The upper or lower triangle of the last two axes, including the diagonal; 0 elsewhere.
    #[track_caller]
    pub fn triangle(self, upper: bool, diagonal: Var<'b>) -> Var<'b> {
        self.builder.apply(Op::Trilu { upper }, &[self, diagonal])
    }

    /// Raises to a power.
    #[track_caller]
    pub fn pow(self, exponent: Var<'b>) -> Var<'b> {
        self.builder.apply(Op::Pow, &[self, exponent])
    }

    /// The mean along an axis, which is kept with size 1.
    #[track_caller]
    pub fn mean(self, axis: i64) -> Var<'b> {
        let axes = self.builder.constant("axes", Tensor::indices(&[axis]));
        self.builder.apply(Op::ReduceMean { keepdims: true, noop_with_empty_axes: false }, &[self, axes])
    }
}

impl<'b> Var<'b> {
    /// A scalar of this value's element type.
    #[track_caller]
    fn scalar_like(self, value: f32) -> Var<'b> {
        self.builder.scalar_of("scalar", self.ty().map_or(ElementType::F32, |ty| ty.element), value)
    }
}

impl<'b> Builder<'b> {
    /// A scalar of the [type of the parameters](Builder::element).
    #[track_caller]
    pub fn scalar(&'b self, name: &str, value: f32) -> Var<'b> {
        self.scalar_of(name, self.element(), value)
    }

    #[track_caller]
    fn scalar_of(&'b self, name: &str, element: ElementType, value: f32) -> Var<'b> {
        // Small tensors stay in memory, so that passes know their elements.
        let scalar = Tensor::scalar(value).cast(element).and_then(|scalar| {
            let bytes = scalar.to_bytes()?;
            Tensor::from_bytes(element, &[], bytes)
        });
        match scalar {
            Ok(scalar) => self.constant(name, scalar),
            Err(_) => self.error(
                format!("{value:?} is not representable as {element}"),
                Some("cast the value to f32".to_owned()),
            ),
        }
    }

    /// An f32 constant.
    #[track_caller]
    pub fn floats(&'b self, name: &str, dims: &[u64], values: &[f32]) -> Var<'b> {
        let bytes: Vec<u8> = values.iter().flat_map(|value| value.to_le_bytes()).collect();
        match Tensor::from_bytes(ElementType::F32, dims, bytes) {
            Ok(tensor) => self.constant(name, tensor),
            Err(error) => self.error(format!("the constant {name}: {error}"), None),
        }
    }

    /// An i64 scalar.
    pub fn index(&'b self, value: i64) -> Var<'b> {
        self.constant("index", Tensor::index(value))
    }

    /// An i64 vector.
    pub fn indices(&'b self, values: &[i64]) -> Var<'b> {
        self.constant("indices", Tensor::indices(values))
    }
}

macro_rules! binary_operators {
    ($($trait:ident $word:ident;)*) => {$(
        impl<'b> $trait for Var<'b> {
            type Output = Var<'b>;

            #[track_caller]
            fn $word(self, other: Var<'b>) -> Var<'b> {
                self.builder.apply(Op::$trait, &[self, other])
            }
        }

        impl<'b> $trait<f32> for Var<'b> {
            type Output = Var<'b>;

            #[track_caller]
            fn $word(self, other: f32) -> Var<'b> {
                self.builder.apply(Op::$trait, &[self, self.scalar_like(other)])
            }
        }

        impl<'b> $trait<Var<'b>> for f32 {
            type Output = Var<'b>;

            #[track_caller]
            fn $word(self, other: Var<'b>) -> Var<'b> {
                other.builder.apply(Op::$trait, &[other.scalar_like(self), other])
            }
        }
    )*};
}

binary_operators! {
    Add add;
    Sub sub;
    Mul mul;
    Div div;
}

impl<'b> Neg for Var<'b> {
    type Output = Var<'b>;

    #[track_caller]
    fn neg(self) -> Var<'b> {
        self.builder.apply(Op::Neg, &[self])
    }
}
