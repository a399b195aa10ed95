//! Checks of operands that several families of operators share.

use super::{Assumption, InferError, Inferred, Operands, tensor};
use crate::{Dim, ElementType, Fact, Shape};

/// Returns a shape of this rank with unknown sizes.
pub(super) fn of_rank(rank: usize) -> Shape {
    std::iter::repeat_n(Dim::Unknown, rank).collect()
}

/// Returns the requested results out of all possible ones.
pub(super) fn first_results(
    x: &Operands<'_>,
    results: impl IntoIterator<Item = Fact>,
    assumed: Vec<Assumption>,
) -> Inferred {
    Inferred { facts: results.into_iter().take(x.results).collect(), assumed }
}

impl<'a> Operands<'a> {
    /// Returns one result of this element type with the shape of the first operand.
    pub(super) fn shaped(&self, element: Option<ElementType>) -> Inferred {
        tensor(element, self.shape(0).cloned()).into()
    }

    /// Returns the sizes of the operand; unknown dims if it is absent or its shape is unknown.
    pub(super) fn sizes_of<const RANK: usize>(&self, at: usize) -> Result<[Dim; RANK], InferError> {
        let Some(shape) = self.shape(at) else { return Ok([const { Dim::Unknown }; RANK]) };
        <[Dim; RANK]>::try_from(shape.to_vec())
            .map_err(|_| self.fail(format!("operand {at} must have rank {RANK}, but its shape is {shape}")))
    }

    /// Returns the only element of an integer operand: unknown if it is absent or not known.
    pub(super) fn scalar(&self, at: usize) -> Result<Dim, InferError> {
        if let Some(shape) = self.shape(at)
            && shape.count().same(&Dim::Known(1)) == Some(false)
        {
            return Err(self.fail(format!("operand {at} must be one number, but its shape is {shape}")));
        }
        let element = self.fact(at).and_then(|fact| fact.elements.as_ref()?.first().cloned());
        Ok(element.unwrap_or(Dim::Unknown))
    }

    /// Returns the only element of an integer operand as a size: unknown if it may be negative, an error if it is.
    pub(super) fn scalar_size(&self, at: usize) -> Result<Dim, InferError> {
        match self.scalar(at)? {
            Dim::Known(size @ ..0) => Err(self.fail(format!("operand {at} must not be negative, but is {size}"))),
            size if size.is_nonnegative() => Ok(size),
            _ => Ok(Dim::Unknown),
        }
    }

    /// Checks that the operand, if present, is `i32` or `i64`.
    pub(super) fn expect_index(&self, at: usize) -> Result<(), InferError> {
        self.expect_element(at, "i64 or i32", |element| matches!(element, ElementType::I64 | ElementType::I32))
    }

    /// Checks that the operand, if present, is a string tensor.
    pub(super) fn expect_text(&self, at: usize) -> Result<(), InferError> {
        self.expect_element(at, "string", |element| element == ElementType::String)
    }

    /// Checks that the shape may broadcast to another without changing it.
    pub(super) fn expect_broadcast_to(
        &self,
        from: &[Dim],
        to: &[Dim],
        what: &str,
        assumed: &mut Vec<Assumption>,
    ) -> Result<(), InferError> {
        let show = |dims: &[Dim]| Shape::from_iter(dims.to_vec());
        let Some(skipped) = to.len().checked_sub(from.len()) else {
            return Err(self.fail(format!("{what} {} has more axes than {}", show(from), show(to))));
        };
        for (axis, (dim, full)) in from.iter().zip(&to[skipped..]).enumerate() {
            if *dim != Dim::Known(1) {
                let what = format_args!("the sizes of axis {axis} of {what} {} and of {}", show(from), show(to));
                self.expect_same(dim, full, what, assumed)?;
            }
        }
        Ok(())
    }

    /// Checks that two shapes may be equal.
    pub(super) fn expect_same_shape(
        &self,
        a: &[Dim],
        b: &[Dim],
        what: &str,
        assumed: &mut Vec<Assumption>,
    ) -> Result<(), InferError> {
        if a.len() != b.len() {
            let (a, b) = (Shape::from_iter(a.to_vec()), Shape::from_iter(b.to_vec()));
            return Err(self.fail(format!("{what} differ: {a} and {b}")));
        }
        a.iter().zip(b).try_for_each(|(a, b)| self.expect_same(a, b, what, assumed))
    }

    /// Returns the size of each of `parts` equal parts of a dim; an error if it does not divide evenly.
    pub(super) fn part_of(&self, dim: &Dim, parts: i64, what: &str) -> Result<Dim, InferError> {
        if parts <= 0 {
            return Err(self.fail(format!("the number of {what} must be positive, but is {parts}")));
        }
        let parts = Dim::Known(parts);
        match dim.modulo(&parts) {
            Dim::Known(rest) if rest != 0 => Err(self.fail(format!("{dim} is not a multiple of {parts} {what}"))),
            _ => Ok(dim.floor_div(&parts)),
        }
    }

    /// Returns the shape of the operand, if it is known; an error if it has fewer axes.
    pub(super) fn shape_of_least_rank(&self, at: usize, rank: usize) -> Result<Option<&'a Shape>, InferError> {
        match self.shape(at) {
            Some(shape) if shape.len() < rank => {
                Err(self.fail(format!("operand {at} must have rank {rank} or more, but its shape is {shape}")))
            }
            shape => Ok(shape),
        }
    }
}
