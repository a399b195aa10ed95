//! The rows in which the tables of two models differ: inputs are too short to look up all rows of a table.

use crate::elements::{element, of_bytes};
use crate::file::ModelFile;
use crate::uses::{Graphs, Table};
use netwright_files::Range;
use netwright_ir::ElementType;
use std::collections::BTreeMap;
use tract_onnx::pb::TensorProto;

/// The elements to look up, by the name of the input.
pub(crate) type Rows = BTreeMap<String, Vec<i64>>;

/// The maximum number of rows of a table.
const MAX_ROWS: usize = 64;

/// The number of elements that are compared at once.
const PIECE: u64 = 1 << 18;

/// Returns the elements of inputs that look up the rows that differ most in tables of both models.
pub(crate) fn differing_rows(a: &ModelFile, b: &ModelFile) -> Rows {
    let (in_a, in_b) = (Graphs::new(&a.graph), Graphs::new(&b.graph));
    let mut found = Rows::new();
    for port in a.inputs() {
        let (left, right) = (in_a.tables(&port.name), in_b.tables(&port.name));
        let rows = left.iter().zip(&right).filter_map(|(left, right)| {
            let rows = differing(a, left, b, right)?;
            Some(rows.into_iter().map(|row| row.saturating_sub(left.offset)))
        });
        let rows: Vec<i64> = rows.flatten().collect();
        if !rows.is_empty() {
            found.insert(port.name, rows);
        }
    }
    found
}

/// Returns the rows that differ most, relative to their magnitude; `None` if the tables cannot be compared.
fn differing(a: &ModelFile, left: &Table<'_>, b: &ModelFile, right: &Table<'_>) -> Option<Vec<i64>> {
    let (dims, elements) = (&left.constant.dims, [left, right].map(|table| element(table.constant)));
    let are_floats = elements.iter().all(|element| element.is_some_and(ElementType::is_float));
    if (dims, left.axis) != (&right.constant.dims, right.axis) || !are_floats && elements[0] != elements[1] {
        return None;
    }
    let size = |size: &i64| u64::try_from(*size).ok();
    let product = |dims: &[i64]| dims.iter().try_fold(1_u64, |count, of_axis| count.checked_mul(size(of_axis)?));
    let rows = size(dims.get(left.axis)?)?;
    let (inner, count) = (product(dims.get(left.axis + 1..)?)?, product(dims)?);
    let (left, right) = (Bytes::of(a, left.constant)?, Bytes::of(b, right.constant)?);
    if let (Bytes::File(left), Bytes::File(right)) = (&left, &right)
        && left == right
    {
        return None;
    }
    let width = |bytes: &Bytes<'_>| bytes.len().checked_div(count).filter(|width| width * count == bytes.len());
    let widths = [width(&left)?, width(&right)?];
    // The largest difference and the largest magnitude of each row.
    let mut found = vec![(0.0_f64, 0.0_f64); usize::try_from(rows).ok()?];
    let (mut one, mut other) = (vec![], vec![]);
    let mut first = 0;
    while first < count {
        let length = PIECE.min(count - first);
        left.read(first * widths[0], length * widths[0], &mut one)?;
        right.read(first * widths[1], length * widths[1], &mut other)?;
        let is_same = elements[0] == elements[1] && one == other;
        let pairs = of_bytes(elements[0], &one).zip(of_bytes(elements[1], &other));
        for (at, (a, b)) in (first..).zip(pairs).filter(|_| !is_same) {
            let (difference, magnitude) = found.get_mut(usize::try_from(at / inner % rows).ok()?)?;
            if a.to_bits() != b.to_bits() {
                *difference = difference.max(Some((a - b).abs()).filter(|x| !x.is_nan()).unwrap_or(f64::INFINITY));
            }
            *magnitude = magnitude.max(a.abs());
        }
        first += length;
    }
    let errors = (0_i64..).zip(found).filter(|(_, (difference, _))| *difference > 0.0);
    let relative = |(row, (difference, magnitude)): (i64, (f64, f64))| (row, difference / magnitude.max(difference));
    let mut errors: Vec<(i64, f64)> = errors.map(relative).collect();
    errors.sort_by(|(_, a), (_, b)| b.total_cmp(a));
    errors.truncate(MAX_ROWS);
    Some(errors.into_iter().map(|(row, _)| row).collect())
}

/// The bytes of a constant.
pub(crate) enum Bytes<'m> {
    Held(&'m [u8]),
    File(&'m Range),
}

impl<'m> Bytes<'m> {
    pub(crate) fn of(model: &'m ModelFile, tensor: &'m TensorProto) -> Option<Self> {
        if !tensor.raw_data.is_empty() {
            return Some(Self::Held(&tensor.raw_data));
        }
        let offset = tensor.external_data.iter().find(|entry| entry.key == "offset")?;
        Some(Self::File(model.weights.range(offset.value.parse().ok()?)?))
    }

    pub(crate) fn len(&self) -> u64 {
        match self {
            Self::Held(bytes) => bytes.len() as u64,
            Self::File(range) => range.len(),
        }
    }

    /// Sets `to` to some of the bytes.
    pub(crate) fn read(&self, at: u64, length: u64, to: &mut Vec<u8>) -> Option<()> {
        to.resize(usize::try_from(length).ok()?, 0);
        match self {
            Self::Held(bytes) => {
                let start = usize::try_from(at).ok()?;
                to.copy_from_slice(bytes.get(start..)?.get(..usize::try_from(length).ok()?)?);
                Some(())
            }
            Self::File(range) => range.read(at, to).ok(),
        }
    }
}
