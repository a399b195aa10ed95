//! Matrices of codes whose columns are in groups, with a scale and perhaps a zero point in floats for each.

use super::super::blocks::pack;
use super::{Floats, Number, Recipe, Tensor, TensorError};
use crate::ElementType;

/// A matrix of codes whose columns are in groups: the float that a code means is `(code - zero) * scale`.
#[derive(Clone, Debug, PartialEq)]
pub struct Grouped {
    /// The unsigned codes `[rows, columns]`.
    pub(crate) codes: Tensor,
    /// The scales `[rows, groups]`.
    pub(crate) scales: Tensor,
    /// The zero points `[rows, groups]` in floats; without them, each is the middle of the codes.
    pub(crate) zeros: Option<Tensor>,
    /// The group of each column.
    pub(crate) groups: Box<[u64]>,
}

impl Tensor {
    /// Returns the floats `(code - zero) * scale` of a matrix of unsigned codes `[rows, columns]` whose columns are in
    /// groups, in the type of the scales, each rounded once.
    ///
    /// The scales are `[rows, groups]`, and so are the zero points, which are floats. Without them, the zero point is the
    /// middle of the codes, such as 8 for 4 bits.
    ///
    /// # Errors
    /// If the elements are not `u2`, `u4` or `u8`, the scales or zero points are not floats or do not fit, or a column has
    /// no group.
    pub fn dequantized_by_groups(
        &self,
        scales: Tensor,
        zeros: Option<Tensor>,
        groups: Vec<u64>,
    ) -> Result<Self, TensorError> {
        let refuse = |tensor: &Tensor, why| Err(tensor.refuse("groups", why));
        if !matches!(self.element, ElementType::U2 | ElementType::U4 | ElementType::U8) {
            return refuse(self, "its elements are not u2, u4 or u8");
        }
        let (&[rows, columns], &[scale_rows, count]) = (self.dims(), scales.dims()) else {
            return refuse(self, "it and its scales must be matrices");
        };
        let is_float = |tensor: &Tensor| tensor.element.bits() <= 32 && Number::of(tensor.element).is_some();
        if scale_rows != rows || !is_float(&scales) {
            return refuse(&scales, "the scales must be f32, f16 or bf16 for each of its rows");
        }
        if let Some(zeros) = zeros.as_ref().filter(|zeros| zeros.dims != scales.dims || !is_float(zeros)) {
            return refuse(zeros, "the zero points must be one f32, f16 or bf16 for each scale");
        }
        if groups.len() as u64 != columns || groups.iter().any(|group| *group >= count) {
            return refuse(self, "each of its columns must be in a group that has a scale");
        }
        let element = scales.element;
        let grouped = Grouped { codes: self.clone(), scales, zeros, groups: groups.into() };
        Self::made(element, &self.dims, Recipe::Grouped(Box::new(grouped)))
    }
}

impl Grouped {
    /// Fills `out` with the floats from element `first` on, in the type `to`.
    pub(super) fn fill(&self, to: ElementType, first: u64, out: &mut [u8]) -> Result<(), TensorError> {
        let (Some(number), &[_, count]) = (Number::of(to), self.scales.dims()) else { return Ok(()) };
        let columns = self.groups.len();
        let middle = f64::from(1_u32 << (self.codes.element.bits() - 1));
        let (mut scales, mut zeros) = (Floats::of(&self.scales), self.zeros.as_ref().map(Floats::of));
        let mut codes = vec![0; columns.min(out.len() / number.size())];
        let (mut at, mut rest) = (first, out);
        while !rest.is_empty() {
            // The rest of a row.
            let row = at / columns as u64;
            let column = usize::try_from(at % columns as u64).unwrap_or(0);
            let here = (columns - column).min(rest.len() / number.size());
            let (part, later) = rest.split_at_mut(here * number.size());
            let codes = &mut codes[..here];
            pack::read(&self.codes, at, codes)?;
            let scales = scales.read(row * count, count)?;
            let zeros = zeros.as_mut().map(|zeros| zeros.read(row * count, count)).transpose()?;
            let groups = self.groups[column..].iter().map(|group| usize::try_from(*group).unwrap_or(usize::MAX));
            for ((code, group), place) in codes.iter().zip(groups).zip(part.chunks_exact_mut(number.size())) {
                let zero = zeros.map_or(middle, |zeros| zeros[group].into());
                number.write((f64::from(*code) - zero) * f64::from(scales[group]), place);
            }
            at += here as u64;
            rest = later;
        }
        Ok(())
    }
}
