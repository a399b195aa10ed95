//! The rows in which the tables of two models differ: inputs are too short to look up all rows of a table.

use crate::file::ModelFile;
use crate::uses::Graphs;
use netwright_files::Range;
use std::collections::BTreeMap;
use tract_onnx::pb::TensorProto;

/// The rows to look up, by the name of the input.
pub(crate) type Rows = BTreeMap<String, Vec<i64>>;

/// The maximum number of rows of a table.
const MAX_ROWS: usize = 64;

/// The number of bytes that are compared at once.
const PIECE: u64 = 1 << 20;

/// Returns the rows that differ in tables that inputs of both models look up, unless many do: then any ids show it.
pub(crate) fn differing_rows(a: &ModelFile, b: &ModelFile) -> Rows {
    let (in_a, in_b) = (Graphs::new(&a.graph), Graphs::new(&b.graph));
    let mut found = Rows::new();
    for port in a.inputs() {
        let (left, right) = (in_a.tables(&port.name), in_b.tables(&port.name));
        let rows = left.iter().zip(right).filter_map(|(left, right)| differing(a, left, b, right)).flatten();
        let rows: Vec<i64> = rows.collect();
        if !rows.is_empty() {
            found.insert(port.name, rows);
        }
    }
    found
}

/// Returns the rows in which two tables of the same type differ; `None` if they cannot be compared, or if a quarter of the
/// rows differs.
fn differing(a: &ModelFile, left: &TensorProto, b: &ModelFile, right: &TensorProto) -> Option<Vec<i64>> {
    if left.data_type != right.data_type || left.dims != right.dims {
        return None;
    }
    let rows = u64::try_from(*left.dims.first()?).ok()?;
    let (left, right) = (Bytes::of(a, left)?, Bytes::of(b, right)?);
    if let (Bytes::File(left), Bytes::File(right)) = (&left, &right)
        && left == right
    {
        return None;
    }
    let width = left.len().checked_div(rows).filter(|width| *width > 0 && left.len() == right.len())?;
    let step = (PIECE / width).max(1);
    let mut found = vec![];
    let (mut one, mut other) = (vec![], vec![]);
    for first in (0..rows).step_by(usize::try_from(step).ok()?) {
        let length = step.min(rows - first) * width;
        left.read(first * width, length, &mut one)?;
        right.read(first * width, length, &mut other)?;
        if one != other {
            let width = usize::try_from(width).ok()?;
            let rows = (first..).zip(one.chunks(width).zip(other.chunks(width)));
            found.extend(rows.filter(|(_, (one, other))| one != other).map(|(row, _)| row.cast_signed()));
        }
        if found.len() as u64 > rows / 4 {
            return None;
        }
    }
    let step = found.len().div_ceil(MAX_ROWS).max(1);
    Some(found.into_iter().step_by(step).collect())
}

/// The bytes of a constant.
enum Bytes<'m> {
    Held(&'m [u8]),
    File(&'m Range),
}

impl<'m> Bytes<'m> {
    fn of(model: &'m ModelFile, tensor: &'m TensorProto) -> Option<Self> {
        if !tensor.raw_data.is_empty() {
            return Some(Self::Held(&tensor.raw_data));
        }
        let offset = tensor.external_data.iter().find(|entry| entry.key == "offset")?;
        Some(Self::File(model.weights.range(offset.value.parse().ok()?)?))
    }

    fn len(&self) -> u64 {
        match self {
            Self::Held(bytes) => bytes.len() as u64,
            Self::File(range) => range.len(),
        }
    }

    /// Sets `to` to some of the bytes.
    fn read(&self, at: u64, length: u64, to: &mut Vec<u8>) -> Option<()> {
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
