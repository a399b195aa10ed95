//! Made-up inputs: the same for the same seed.

use crate::file::{ModelFile, Port};
use crate::{Array, Error, Values};
use half::f16;
use netwright_ir::{Bindings, ElementType, fingerprint};

/// No input has more elements.
const MOST_ELEMENTS: usize = 1 << 28;

/// Ids of an input that no table is seen to bound are below this.
const IDS: u64 = 16;

/// Values for all inputs of a model, for these sizes.
///
/// - An input with `mask` in its name is a mask: ones, with zeros for padding at the end of some rows, or at their
///   start where the seed is odd; never a whole row.
/// - Other integers are ids. Where the input goes straight into a `Gather`, they are below the size of its table;
///   otherwise below 16.
/// - Floats are uniform in [-1, 1].
pub fn inputs(file: &ModelFile, bindings: &Bindings, seed: u64) -> Result<Vec<(String, Array)>, Error> {
    file.inputs().into_iter().map(|port| Ok((port.name.clone(), make(file, &port, bindings, seed)?))).collect()
}

fn make(file: &ModelFile, port: &Port, bindings: &Bindings, seed: u64) -> Result<Array, Error> {
    let failed = |cause: String| Error::Unmakable { file: file.name.clone(), input: port.name.clone(), cause };
    let ty = port.ty.as_ref().ok_or_else(|| failed("its type is not declared".to_owned()))?;
    let dims = ty.shape.as_ref().ok_or_else(|| failed(format!("the rank of {ty} is not declared")))?;
    let size = |dim: &netwright_ir::Dim| usize::try_from(dim.evaluate(bindings)?).ok();
    let shape: Option<Vec<usize>> = dims.iter().map(size).collect();
    let shape = shape.ok_or_else(|| failed(format!("the sizes of {ty} are not all bound to sizes")))?;
    let count = shape.iter().try_fold(1_usize, |count, &size| count.checked_mul(size));
    let count = count
        .filter(|&count| count <= MOST_ELEMENTS)
        .ok_or_else(|| failed(format!("{ty} has too many elements: {shape:?}")))?;

    let mut random = Random::new(seed, &port.name);
    let integers = if port.name.to_lowercase().contains("mask") {
        Some(mask(&shape, count, seed % 2 == 1, &mut random))
    } else if ty.element.is_float() {
        None
    } else {
        let below = if ty.element == ElementType::Bool { 2 } else { table(file, &port.name).unwrap_or(IDS) };
        Some((0..count).map(|_| random.below(below)).collect::<Vec<_>>())
    };
    let values = match integers {
        Some(integers) => from_integers(ty.element, &integers),
        None => from_floats(ty.element, (0..count).map(|_| random.symmetric()).collect()),
    };
    let values = values.ok_or_else(|| failed(format!("there are no values of type {}", ty.element)))?;
    Array::new(shape, values)
}

/// Rows of ones with zeros on one side; every row keeps a one, and the last has a zero if it is long enough.
fn mask(shape: &[usize], count: usize, left: bool, random: &mut Random) -> Vec<u64> {
    let length = shape.last().copied().unwrap_or(1).max(1);
    let mut mask = vec![1; count];
    let rows = count / length;
    for (at, row) in mask.chunks_exact_mut(length).enumerate() {
        let most = length as u64 / 2;
        let zeros = if at + 1 == rows { most.min(1) + random.below(most.max(1)) } else { random.below(most + 1) };
        let zeros = usize::try_from(zeros).unwrap_or(0).min(length - 1);
        if left { row[..zeros].fill(0) } else { row[length - zeros..].fill(0) }
    }
    mask
}

/// The size of the smallest table that the input indexes directly, by a `Gather` on an initializer.
fn table(file: &ModelFile, input: &str) -> Option<u64> {
    let gathers = file
        .graph
        .node
        .iter()
        .filter(|node| node.op_type == "Gather" && node.input.get(1).is_some_and(|indices| indices == input));
    gathers
        .filter_map(|gather| {
            let axis = gather.attribute.iter().find(|attribute| attribute.name == "axis").map_or(0, |axis| axis.i);
            let data = file.graph.initializer.iter().find(|tensor| Some(&tensor.name) == gather.input.first())?;
            u64::try_from(*data.dims.get(usize::try_from(axis).ok()?)?).ok()
        })
        .min()
}

fn from_integers(element: ElementType, values: &[u64]) -> Option<Values> {
    fn of<T: TryFrom<u64>>(values: &[u64]) -> Option<Values>
    where
        Values: From<Vec<T>>,
    {
        let values: Result<Vec<T>, _> = values.iter().map(|&value| T::try_from(value)).collect();
        values.ok().map(Values::from)
    }
    match element {
        ElementType::Bool => Some(Values::Bool(values.iter().map(|&value| value != 0).collect())),
        ElementType::U8 => of::<u8>(values),
        ElementType::I8 => of::<i8>(values),
        ElementType::U16 => of::<u16>(values),
        ElementType::I16 => of::<i16>(values),
        ElementType::U32 => of::<u32>(values),
        ElementType::I32 => of::<i32>(values),
        ElementType::U64 => of::<u64>(values),
        ElementType::I64 => of::<i64>(values),
        _ => from_floats(element, values.iter().map(|&value| value as f32).collect()),
    }
}

fn from_floats(element: ElementType, values: Vec<f32>) -> Option<Values> {
    match element {
        ElementType::F32 => Some(values.into()),
        ElementType::F64 => Some(values.into_iter().map(f64::from).collect::<Vec<_>>().into()),
        ElementType::F16 => Some(values.into_iter().map(f16::from_f32).collect::<Vec<_>>().into()),
        _ => None,
    }
}

/// SplitMix64.
struct Random(u64);

impl Random {
    /// A stream for each seed and name.
    fn new(seed: u64, name: &str) -> Self {
        Self(fingerprint(name.bytes().chain(seed.to_le_bytes())))
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// In `0..bound`; 0 where there is nothing below the bound.
    fn below(&mut self, bound: u64) -> u64 {
        self.next().checked_rem(bound).unwrap_or(0)
    }

    /// In [-1, 1), in steps of 2^-23.
    fn symmetric(&mut self) -> f32 {
        (self.next() >> 40) as f32 / (1 << 23) as f32 - 1.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn masks_pad_some_rows_and_never_a_whole_one() {
        for (left, seed) in [(false, 2), (true, 3)] {
            for length in 1..9 {
                let rows = mask(&[3, length], 3 * length, left, &mut Random::new(seed, "attention_mask"));
                for row in rows.chunks(length) {
                    let kept = row.iter().filter(|&&one| one == 1).count();
                    let (start, end) = if left { (length - kept, length) } else { (0, kept) };
                    assert!(kept > 0 && row[start..end].iter().all(|&one| one == 1), "{row:?}");
                }
                assert_eq!(rows[2 * length..].contains(&0), length > 1, "{rows:?}");
            }
        }
        assert!(mask(&[2, 0], 0, false, &mut Random::new(0, "")).is_empty());
        assert_eq!(mask(&[], 1, false, &mut Random::new(0, "")), [1]);
    }

    #[test]
    fn streams_depend_on_seed_and_name_alone() {
        let first = |seed, name| Random::new(seed, name).next();
        assert_eq!(first(1, "x"), first(1, "x"));
        assert_ne!(first(1, "x"), first(2, "x"));
        assert_ne!(first(1, "x"), first(1, "y"));
        let mut random = Random::new(0, "x");
        assert!((0..1000).map(|_| random.symmetric()).all(|value| (-1.0..1.0).contains(&value)));
        assert!((0..1000).map(|_| random.below(3)).all(|value| value < 3));
    }
}
