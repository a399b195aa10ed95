//! Generates inputs: the same seed gives the same inputs.

mod numbers;

use numbers::{OUTLIER, Random, Range, SMALL, around, below, floats, ids, integers, next_to, place};

use crate::bindings::{is_batch, is_past};
use crate::file::{ModelFile, Port};
use crate::relations::tokens;
use crate::special::Special;
use crate::uses::{Graphs, Masking, Uses};
use crate::{Array, Values, VerifyError};
use half::f16;
use netwright_ir::{Bindings, ElementType};

/// The largest number of elements of an input.
const MAX_ELEMENTS: usize = 1 << 28;

/// The bound of ids that do not index a known table.
const IDS: u64 = 16;

/// The bound of the magnitude of integers that are used only in arithmetic.
pub(crate) const INTEGERS: i64 = 16;

/// The largest magnitude of thresholds that are among floats of usual size.
const MODERATE: f32 = 100.0;

/// The largest magnitude of integers that are near a threshold.
const LARGEST: u64 = 1 << 20;

/// The bound of positions that do not index a known table.
const POSITIONS: u64 = 100;

/// The masking value of an added mask in every second run; otherwise, and where a whole row is masked, it is the lowest
/// f32.
const FILL: f32 = -1e4;

/// Generates values for all inputs of a model, with the sizes in `bindings`: the same seed gives the same values.
///
/// The role of an input follows from its name, its type and its use in the graph:
///
/// - *Masks* have `mask` in their name: ones, with zeros for padding. They pad at the end, at the start or in between,
///   keep everything, or mask a whole row. A float mask that the graph adds to something has 0 instead of 1, and a
///   large negative number instead of 0. Other inputs with at least one axis are masks if the graph masks attention scores
///   with them, floats only if it uses them for nothing else. Floats that it adds to scores may also be a bias, and are
///   masks only in every second run.
/// - *Integers* that the graph uses only in arithmetic have both signs in two of eight runs, in one of them with 3001 and
///   70,001 among them; otherwise they are like ids.
/// - *Ids* are other integers. If they index a table, directly or after a reshape, they take every value below its size
///   before they repeat one, the last first and 0 second; otherwise they are below 16.
/// - *Positions* have `position` in their name: they count up along the last axis, or are ids.
/// - *Lengths* are `seqlens_k`, `total_sequence_length` and inputs with `length` in their name and at most one axis.
/// - *Floats* are uniform in [-1, 1] or [-100, 100]; in [-10, 10] with multiples of one half; in [-1, 1] with zeros of
///   both signs and multiples of one quarter, or with one element of 1000; or in rows of at most 1e-3 and 1e-6.
///   In `f16`, `bf16` and quantized integers, products of small floats have few digits, and large ones overflow or hide the
///   others: none is small if one of the models computes so, and none is above 10 if the first does or the second is
///   quantized.
///
/// Floats and integers that are compared with constants have some elements at, just below and just above these.
///
/// The padding of masks and the range of floats depend on the seed modulo 8; eight consecutive seeds cover all.
///
/// # Errors
/// If an input has an unknown shape, an element type that arrays do not support, or a size that `bindings` does not give.
pub fn inputs(file: &ModelFile, bindings: &Bindings, seed: u64) -> Result<Vec<(String, Array)>, VerifyError> {
    inputs_with(file, &Special::new(file, None), bindings, seed)
}

/// Generates values with these special ones among them, as far as there is room; see [`inputs`].
pub(crate) fn inputs_with(
    file: &ModelFile,
    special: &Special,
    bindings: &Bindings,
    seed: u64,
) -> Result<Vec<(String, Array)>, VerifyError> {
    let graphs = Graphs::new(&file.graph);
    let ports = file.inputs();
    let made =
        ports.iter().map(|port| Ok((port.name.clone(), make(file, &graphs, (&ports, port), special, bindings, seed)?)));
    made.collect()
}

/// Where masks have zeros.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Padding {
    /// At the end of rows.
    Right,
    /// At the start of rows.
    Left,
    /// Anywhere in rows.
    Holes,
    /// Nowhere.
    Kept,
    /// A whole row, and other rows at the end.
    Whole,
}

/// How the inputs of a run are generated.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Style {
    padding: Padding,
    range: Range,
}

impl Style {
    pub(crate) fn of(seed: u64) -> Self {
        let (padding, range) = match seed % 8 {
            0 => (Padding::Right, Range::UpTo(1.0)),
            1 => (Padding::Left, Range::Halves),
            2 => (Padding::Kept, Range::UpTo(100.0)),
            3 => (Padding::Holes, Range::Zeros),
            4 => (Padding::Kept, Range::Outlier),
            5 => (Padding::Whole, Range::UpTo(1.0)),
            6 => (Padding::Right, Range::Small),
            _ => (Padding::Left, Range::UpTo(1.0)),
        };
        Self { padding, range }
    }

    /// Returns the style with floats whose magnitudes suit the types in which the models compute.
    pub(crate) fn within(self, special: &Special) -> Self {
        let range = match self.range {
            Range::Small if !special.may_be_small => Range::UpTo(1.0),
            Range::UpTo(_) | Range::Outlier if self.is_extreme() && !special.may_be_large => Range::Halves,
            range => range,
        };
        Self { range, ..self }
    }

    /// Returns whether floats are so large or small that f32 may overflow or lose all precision.
    pub(crate) fn is_extreme(self) -> bool {
        !matches!(self.range, Range::Zeros | Range::UpTo(1.0))
    }

    /// Returns the largest magnitude of special values among floats.
    fn largest(self) -> f32 {
        match self.range {
            Range::Small => SMALL[0],
            _ if self.is_extreme() => OUTLIER,
            _ => MODERATE,
        }
    }

    /// Returns whether integers that are only computed with have both signs.
    pub(crate) fn is_signed(self) -> bool {
        matches!(self.range, Range::Zeros | Range::Outlier)
    }

    /// Returns whether a mask hides a whole row, which leaves a softmax without elements.
    pub(crate) fn hides_rows(self) -> bool {
        self.padding == Padding::Whole
    }
}

/// The role of an input, from its name and type.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Role {
    Mask,
    Positions,
    Length,
    /// Integers that the graph uses only in arithmetic.
    Integers,
    Ids,
    Floats,
}

/// Returns the uses of an input.
fn uses(graphs: &Graphs<'_>, port: &Port) -> Uses {
    graphs.uses(&port.name, port.ty.as_ref().is_some_and(|ty| ty.element.is_float()))
}

pub(crate) fn role(port: &Port, graphs: &Graphs<'_>) -> Role {
    let name = port.name.to_lowercase();
    let element = port.ty.as_ref().map(|ty| ty.element);
    let rank = port.ty.as_ref().and_then(|ty| ty.shape.as_ref()).map_or(0, |shape| shape.len());
    let is_float = element.is_some_and(ElementType::is_float);
    if is_named_mask(port) || rank > 0 && uses(graphs, port).masking != Masking::None {
        Role::Mask
    } else if is_float {
        Role::Floats
    } else if name.contains("position") {
        Role::Positions
    } else if rank < 2 && (name.contains("length") || name.contains("seqlens")) {
        Role::Length
    } else if element != Some(ElementType::Bool) && uses(graphs, port).is_computed {
        Role::Integers
    } else {
        Role::Ids
    }
}

fn is_named_mask(port: &Port) -> bool {
    port.name.to_lowercase().contains("mask")
}

fn make(
    file: &ModelFile,
    graphs: &Graphs<'_>,
    (ports, port): (&[Port], &Port),
    special: &Special,
    bindings: &Bindings,
    seed: u64,
) -> Result<Array, VerifyError> {
    let failed = |cause: String| VerifyError::Unmakable { file: file.name.clone(), input: port.name.clone(), cause };
    let ty = port.ty.as_ref().ok_or_else(|| failed("its type is not declared".to_owned()))?;
    let dims = ty.shape.as_ref().ok_or_else(|| failed(format!("the rank of {ty} is not declared")))?;
    let size = |dim: &netwright_ir::Dim| usize::try_from(dim.evaluate(bindings)?).ok();
    let shape: Option<Vec<usize>> = dims.iter().map(size).collect();
    let shape = shape.ok_or_else(|| failed(format!("the sizes of {ty} are not all known")))?;
    let count = shape.iter().try_fold(1_usize, |count, &size| count.checked_mul(size));
    let count = count.filter(|&count| count <= MAX_ELEMENTS).ok_or_else(|| {
        failed(format!("{ty} has too many elements with sizes {shape:?}; choose smaller ones with --dim"))
    })?;

    let mut random = Random::new(seed, &port.name);
    let style = Style::of(seed).within(special);
    let uses = uses(graphs, port);
    let is_bool = ty.element == ElementType::Bool;
    let is_bias = uses.masking == Masking::Added && !is_named_mask(port) && seed.is_multiple_of(2);
    let (thresholds, width) = (special.thresholds(&port.name), shape.last().copied().unwrap_or(1));
    let values = match role(port, graphs) {
        Role::Mask if is_bias => from_floats(ty.element, floats(count, width, style.range, &mut random)),
        Role::Mask => {
            let mask = mask(&shape, count, style.padding, &mut random);
            if uses.is_added && ty.element.is_float() {
                let fill = if seed % 2 == 1 && !style.hides_rows() { FILL } else { f32::MIN };
                from_floats(ty.element, mask.iter().map(|&keep| if keep == 1 { 0.0 } else { fill }).collect())
            } else {
                from_integers(ty.element, &mask)
            }
        }
        Role::Floats => {
            let mut values = floats(count, width, style.range, &mut random);
            place(&mut values, &around(thresholds, |x| x.abs() <= style.largest()), seed, &mut random);
            from_floats(ty.element, values)
        }
        // A flag alternates between runs.
        Role::Ids if is_bool && count == 1 => from_integers(ty.element, &[i64::from(seed % 2 == 1)]),
        Role::Ids if is_bool => {
            from_integers(ty.element, &(0..count).map(|_| below(2, &mut random)).collect::<Vec<_>>())
        }
        role @ (Role::Integers | Role::Ids) => {
            let table = uses.table.unwrap_or(IDS);
            let mut values = match role {
                Role::Integers if style.is_signed() => integers(count, style.range, &mut random),
                _ => ids(count, table, &mut random),
            };
            let is_valid = |x: i64| match role {
                Role::Integers => x.unsigned_abs() <= LARGEST,
                _ => u64::try_from(x).is_ok_and(|x| x < table),
            };
            place(&mut values, &next_to(thresholds, is_valid), seed, &mut random);
            // A row of one table may be beyond the end of another.
            let rows: Vec<i64> = special.rows(&port.name).iter().copied().filter(|row| is_valid(*row)).collect();
            place(&mut values, &rows, seed, &mut random);
            from_integers(ty.element, &values)
        }
        Role::Positions => {
            let most = uses.table.unwrap_or(POSITIONS);
            let positions =
                if seed.is_multiple_of(2) { counted(&shape, count, most) } else { ids(count, most, &mut random) };
            from_integers(ty.element, &positions)
        }
        Role::Length => {
            let total = total_length(ports, bindings);
            let lengths = match port.name.to_lowercase() {
                name if name.contains("total") => vec![total; count],
                name if name.contains("seqlens") => vec![(total - 1).max(0); count],
                name => {
                    // New tokens follow a past in the same buffer.
                    let new = tokens(ports).filter(|_| name.contains("past")).and_then(|dim| dim.evaluate(bindings));
                    let most = new.map(|new| total - new).filter(|most| *most > 0).unwrap_or(total);
                    (0..count).map(|_| 1 + below(most, &mut random)).collect()
                }
            };
            from_integers(ty.element, &lengths)
        }
    };
    let values = values.ok_or_else(|| failed(format!("values of type {} are not supported", ty.element)))?;
    Array::new(shape, values)
}

/// Generates rows of ones with zeros for padding. Every row keeps a one, unless whole rows are masked; the last row has
/// a zero if it is long enough.
fn mask(shape: &[usize], count: usize, padding: Padding, random: &mut Random) -> Vec<i64> {
    let length = shape.last().copied().unwrap_or(1).max(1);
    let mut mask = vec![1; count];
    let rows = count / length;
    let whole = usize::try_from(random.below(rows as u64)).unwrap_or(0);
    for (at, row) in mask.chunks_exact_mut(length).enumerate() {
        let most = length as u64 / 2;
        let zeros = if at + 1 == rows { most.min(1) + random.below(most.max(1)) } else { random.below(most + 1) };
        let zeros = usize::try_from(zeros).unwrap_or(0).min(length - 1);
        match padding {
            Padding::Kept => {}
            Padding::Left => row[..zeros].fill(0),
            Padding::Whole if at == whole => row.fill(0),
            Padding::Right | Padding::Whole => row[length - zeros..].fill(0),
            Padding::Holes => {
                for _ in 0..zeros {
                    row[usize::try_from(random.below(length as u64)).unwrap_or(0)] = 0;
                }
            }
        }
    }
    mask
}

/// Generates positions that count up along the last axis.
fn counted(shape: &[usize], count: usize, below: u64) -> Vec<i64> {
    let length = shape.last().copied().unwrap_or(1).max(1) as u64;
    (0..count as u64).map(|at| ((at % length) % below.max(1)).cast_signed()).collect()
}

/// Returns the number of tokens including the past: the largest size of a symbol that is not a batch.
fn total_length(ports: &[Port], bindings: &Bindings) -> i64 {
    let dims = ports.iter().filter_map(|port| port.ty.as_ref()?.shape.as_ref()).flat_map(|shape| shape.iter());
    let is_length = |dim: &&netwright_ir::Dim| match dim {
        netwright_ir::Dim::Symbol(symbol) => !is_batch(symbol.as_str()),
        netwright_ir::Dim::Known(_) => false,
        _ => true,
    };
    let sizes = dims.filter(is_length).filter_map(|dim| dim.evaluate(bindings));
    let largest = sizes.max().unwrap_or(1);
    let sum = bindings.iter().filter(|(symbol, _)| is_past(symbol)).map(|(_, size)| *size).max().unwrap_or(0);
    largest.max(sum)
}

/// Returns integers of a type, the nearest that it has; `None` if arrays do not support the type.
fn from_integers(element: ElementType, values: &[i64]) -> Option<Values> {
    fn of<T>(values: &[i64], least: T, most: T) -> Values
    where
        T: Copy + TryFrom<i64>,
        Values: From<Vec<T>>,
    {
        let nearest = |&value: &i64| T::try_from(value).unwrap_or(if value < 0 { least } else { most });
        values.iter().map(nearest).collect::<Vec<T>>().into()
    }
    Some(match element {
        ElementType::Bool => Values::Bool(values.iter().map(|&value| value != 0).collect()),
        ElementType::U8 => of(values, u8::MIN, u8::MAX),
        ElementType::I8 => of(values, i8::MIN, i8::MAX),
        ElementType::U16 => of(values, u16::MIN, u16::MAX),
        ElementType::I16 => of(values, i16::MIN, i16::MAX),
        ElementType::U32 => of(values, u32::MIN, u32::MAX),
        ElementType::I32 => of(values, i32::MIN, i32::MAX),
        ElementType::U64 => of(values, u64::MIN, u64::MAX),
        ElementType::I64 => of(values, i64::MIN, i64::MAX),
        _ => return from_floats(element, values.iter().map(|&value| value as f32).collect()),
    })
}

fn from_floats(element: ElementType, values: Vec<f32>) -> Option<Values> {
    match element {
        ElementType::F32 => Some(values.into()),
        ElementType::F64 => Some(values.into_iter().map(f64::from).collect::<Vec<_>>().into()),
        ElementType::F16 => Some(values.into_iter().map(f16::from_f32).collect::<Vec<_>>().into()),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn masks_have_the_requested_padding() {
        use Padding::{Holes, Kept, Left, Right, Whole};
        for padding in [Right, Left, Holes, Kept, Whole] {
            for length in 1..9 {
                let rows = mask(&[3, length], 3 * length, padding, &mut Random::new(2, "attention_mask"));
                let mut whole = 0;
                for row in rows.chunks(length) {
                    let kept = row.iter().filter(|&&one| one == 1).count();
                    whole += usize::from(kept == 0);
                    let (start, end) = match padding {
                        Left => (length - kept, length),
                        Holes => (0, 0),
                        _ => (0, kept),
                    };
                    assert!(row[start..end].iter().all(|&one| one == 1), "{padding:?} {row:?}");
                }
                assert_eq!(whole, usize::from(padding == Whole), "{padding:?} {rows:?}");
                let pads = padding == Whole || (padding != Kept && length > 1);
                assert_eq!(rows.contains(&0), pads, "{padding:?} {rows:?}");
            }
        }
        assert!(mask(&[2, 0], 0, Right, &mut Random::new(0, "")).is_empty());
        assert_eq!(mask(&[], 1, Right, &mut Random::new(0, "")), [1]);
    }

    #[test]
    fn every_padding_occurs() {
        let seeds: Vec<Style> = (0..8).map(Style::of).collect();
        for padding in [Padding::Right, Padding::Left, Padding::Holes, Padding::Kept, Padding::Whole] {
            assert!(seeds.iter().any(|style| style.padding == padding), "{padding:?}");
        }
    }
}
