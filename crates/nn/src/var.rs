//! The words of the DSL: methods and operators on values.
//!
//! Each is the operator of the same name in the text form; axes count from the end where they are negative.

use crate::builder::Var;
use netwright_ir::op::{CastRounding, GeluApproximation};
use netwright_ir::{ElementType, Op, Tensor};
use std::ops::{Add, Div, Mul, Sub};

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
    /// Hyperbolic tangent.
    tanh => Op::Tanh;
    /// `1 / (1 + e^-x)`.
    sigmoid => Op::Sigmoid;
    /// `max(x, 0)`.
    relu => Op::Relu;
    /// `x / 2 * (1 + erf(x / sqrt(2)))`.
    gelu => Op::Gelu { approximate: GeluApproximation::None };
    /// GELU by a hyperbolic tangent.
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

    /// The axes in another order.
    #[track_caller]
    pub fn transpose(self, perm: &[i64]) -> Var<'b> {
        self.builder.apply(Op::Transpose { perm: perm.to_vec() }, &[self])
    }

    /// The elements in another shape: 0 keeps a size, -1 is what is left.
    #[track_caller]
    pub fn reshape(self, sizes: &[i64]) -> Var<'b> {
        let sizes = self.builder.constant("sizes", Tensor::indices(sizes));
        self.builder.apply(Op::Reshape { allowzero: false }, &[self, sizes])
    }

    /// With axes of size 1 put in.
    #[track_caller]
    pub fn unsqueeze(self, axes: &[i64]) -> Var<'b> {
        let axes = self.builder.constant("axes", Tensor::indices(axes));
        self.builder.apply(Op::Unsqueeze, &[self, axes])
    }

    /// Broadcast to a shape, a vector of sizes.
    #[track_caller]
    pub fn expand(self, sizes: Var<'b>) -> Var<'b> {
        self.builder.apply(Op::Expand, &[self, sizes])
    }

    /// The elements in another type.
    #[track_caller]
    pub fn cast(self, to: ElementType) -> Var<'b> {
        self.builder.apply(Op::Cast { to, saturate: true, round_mode: CastRounding::Up }, &[self])
    }

    /// The size of an axis, a vector of one.
    #[track_caller]
    pub fn size(self, axis: i64) -> Var<'b> {
        let end = axis.checked_add(1).filter(|end| *end != 0);
        self.builder.apply(Op::Shape { start: axis, end }, &[self])
    }

    /// The vector followed by another, along the first axis.
    #[track_caller]
    pub fn concat(self, other: Var<'b>, axis: i64) -> Var<'b> {
        self.builder.apply(Op::Concat { axis }, &[self, other])
    }

    /// The numbers from 0 up to that of a vector of one: positions, from a [`size`](Var::size).
    #[track_caller]
    pub fn range(self) -> Var<'b> {
        let axes = self.builder.constant("axes", Tensor::indices(&[0]));
        let (start, step) = (Tensor::index(0), Tensor::index(1));
        let (start, step) = (self.builder.constant("start", start), self.builder.constant("step", step));
        let limit = self.builder.apply(Op::Squeeze, &[self, axes]);
        self.builder.apply(Op::Range, &[start, limit, step])
    }

    /// The rows at the indices: `[rows, ..]` at `[batch, seq]` is `[batch, seq, ..]`; runtimes refuse an index that is
    /// out of range.
    #[track_caller]
    pub fn gather(self, indices: Var<'b>) -> Var<'b> {
        self.builder.apply(Op::Gather { axis: 0 }, &[self, indices])
    }

    /// The upper triangle of the last two axes from the `k`-th diagonal on, 0 elsewhere.
    #[track_caller]
    pub fn triu(self, k: i64) -> Var<'b> {
        let k = self.builder.constant("k", Tensor::index(k));
        self.builder.apply(Op::Trilu { upper: true }, &[self, k])
    }

    /// The mean along an axis, which stays with size 1.
    #[track_caller]
    pub fn mean(self, axis: i64) -> Var<'b> {
        let axes = self.builder.constant("axes", Tensor::indices(&[axis]));
        self.builder.apply(Op::ReduceMean { keepdims: true, noop_with_empty_axes: false }, &[self, axes])
    }

    /// A number of this value's element type.
    #[track_caller]
    fn scalar(self, value: f32) -> Var<'b> {
        let element = self.ty().map_or(ElementType::F32, |ty| ty.element);
        let scalar = Tensor::scalar(value).cast(element).and_then(|scalar| {
            let bytes = scalar.to_bytes()?;
            Tensor::from_bytes(element, &[], bytes)
        });
        match scalar {
            Ok(scalar) => self.builder.constant("scalar", scalar),
            Err(_) => {
                self.builder.error(format!("{value:?} is no {element}"), Some("cast the value to f32".to_owned()))
            }
        }
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
                self.builder.apply(Op::$trait, &[self, self.scalar(other)])
            }
        }

        impl<'b> $trait<Var<'b>> for f32 {
            type Output = Var<'b>;

            #[track_caller]
            fn $word(self, other: Var<'b>) -> Var<'b> {
                other.builder.apply(Op::$trait, &[other.scalar(self), other])
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
