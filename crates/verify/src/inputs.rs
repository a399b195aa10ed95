//! Generates inputs: the same seed gives the same inputs.

use crate::bindings::{is_batch, is_past};
use crate::file::{ModelFile, Port};
use crate::relations::tokens;
use crate::tables::Rows;
use crate::uses::{Graphs, Masking, Uses};
use crate::{Array, Values, VerifyError};
use half::f16;
use netwright_ir::{Bindings, ElementType, fingerprint};

/// The largest number of elements of an input.
const MAX_ELEMENTS: usize = 1 << 28;

/// The bound of ids that do not index a known table.
const IDS: u64 = 16;

/// The bound of the magnitude of integers that are used only in arithmetic.
pub(crate) const INTEGERS: i64 = 16;

/// The magnitude of an element that is larger than the others.
const OUTLIER: i16 = 1000;

/// The largest magnitude of thresholds that are among floats of usual size.
const MODERATE: f32 = 100.0;

/// The largest magnitude of integers that are near a threshold.
const LARGEST: u64 = 1 << 20;

/// How far floats are from a threshold, as a share of it.
const STEP: f64 = 1.0 / 1024.0;

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
/// - *Integers* that the graph uses only in arithmetic have both signs in two of eight runs, in one of them with one
///   element of 1000; otherwise they are like ids.
/// - *Ids* are other integers. If they index a table, directly or after a reshape, they take every value below its size
///   before they repeat one, the last first and 0 second; otherwise they are below 16.
/// - *Positions* have `position` in their name: they count up along the last axis, or are ids.
/// - *Lengths* are `seqlens_k`, `total_sequence_length` and inputs with `length` in their name and at most one axis.
/// - *Floats* are uniform in [-1, 1], [-10, 10] or [-100, 100]; or in [-1, 1] with zeros of both signs, or with one
///   element of 1000.
///
/// Floats and integers that are compared with constants have some elements at, just below and just above these.
///
/// The padding of masks and the range of floats depend on the seed modulo 8; eight consecutive seeds cover all.
///
/// # Errors
/// If an input has an unknown shape, an element type that arrays do not support, or a size that `bindings` does not give.
pub fn inputs(file: &ModelFile, bindings: &Bindings, seed: u64) -> Result<Vec<(String, Array)>, VerifyError> {
    inputs_with(file, &Rows::new(), bindings, seed)
}

/// Generates values that look up these rows of tables, as far as there is room; see [`inputs`].
pub(crate) fn inputs_with(
    file: &ModelFile,
    rows: &Rows,
    bindings: &Bindings,
    seed: u64,
) -> Result<Vec<(String, Array)>, VerifyError> {
    let graphs = Graphs::new(&file.graph);
    let ports = file.inputs();
    let of = |port: &Port| rows.get(&port.name).map_or(&[][..], Vec::as_slice);
    let made = ports
        .iter()
        .map(|port| Ok((port.name.clone(), make(file, &graphs, (&ports, port), of(port), bindings, seed)?)));
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

/// The range of floats.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Range {
    /// Up to this.
    UpTo(f32),
    /// Up to 1, with 0 and -0 among them.
    Zeros,
    /// Up to 1, except for one element of 1000.
    Outlier,
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
            1 => (Padding::Left, Range::UpTo(10.0)),
            2 => (Padding::Kept, Range::UpTo(100.0)),
            3 => (Padding::Holes, Range::Zeros),
            4 => (Padding::Kept, Range::Outlier),
            5 => (Padding::Whole, Range::UpTo(1.0)),
            6 => (Padding::Left, Range::UpTo(1.0)),
            _ => (Padding::Right, Range::UpTo(10.0)),
        };
        Self { padding, range }
    }

    /// Returns whether floats are so large that f32 may overflow or lose all precision.
    pub(crate) fn is_extreme(self) -> bool {
        matches!(self.range, Range::Outlier) || matches!(self.range, Range::UpTo(most) if most > 1.0)
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
    rows: &[i64],
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
    let style = Style::of(seed);
    let uses = uses(graphs, port);
    let is_bool = ty.element == ElementType::Bool;
    let is_bias = uses.masking == Masking::Added && !is_named_mask(port) && seed.is_multiple_of(2);
    let thresholds = graphs.thresholds(&port.name);
    let values = match role(port, graphs) {
        Role::Mask if is_bias => from_floats(ty.element, floats(count, style.range, &mut random)),
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
            let mut values = floats(count, style.range, &mut random);
            let most = if style.is_extreme() { OUTLIER.into() } else { MODERATE };
            place(&mut values, &around(&thresholds, |x| x.abs() <= most), seed, &mut random);
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
            place(&mut values, &next_to(&thresholds, is_valid), seed, &mut random);
            // A row of one table may be beyond the end of another.
            let rows: Vec<i64> = rows.iter().copied().filter(|row| is_valid(*row)).collect();
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

/// Generates every value below a bound before repeating one: the last, then 0, then the others in some order.
fn ids(count: usize, below: u64, random: &mut Random) -> Vec<i64> {
    // A step that is coprime to the bound reaches every value.
    let mut step = 1 + random.below(below.max(2) - 1);
    while divisor(step, below) != 1 {
        step += 1;
    }
    let id = |at: u64| below.wrapping_sub(1).wrapping_add(at.wrapping_mul(step)) % below.max(1);
    let mut ids: Vec<i64> = (0..count as u64).map(|at| id(at).cast_signed()).collect();
    if let Some(second) = ids.get_mut(1) {
        *second = 0;
    }
    // Shuffle, so that the last id and 0 are not always first.
    for at in (1..count).rev() {
        ids.swap(at, usize::try_from(random.below(at as u64 + 1)).unwrap_or(0));
    }
    ids
}

/// Returns a number in `0..bound`; 0 if the bound is not positive.
fn below(bound: i64, random: &mut Random) -> i64 {
    random.below(u64::try_from(bound).unwrap_or(0)).cast_signed()
}

/// Returns the thresholds, and the numbers just below and above them.
fn around(thresholds: &[f64], is_valid: impl Fn(f32) -> bool) -> Vec<f32> {
    // Small steps, which models whose arithmetic is rounded otherwise do not confuse.
    #[expect(clippy::cast_possible_truncation, reason = "rounded to nearest")]
    let at = |share: f64| {
        let step = move |x: &f64| (x + share * if *x == 0.0 { 1.0 } else { x.abs() }) as f32;
        thresholds.iter().map(step).collect::<Vec<f32>>()
    };
    [0.0, -STEP, STEP].into_iter().flat_map(at).filter(|x| is_valid(*x)).collect()
}

/// Returns the integers at thresholds, below and above them.
fn next_to(thresholds: &[f64], is_valid: impl Fn(i64) -> bool) -> Vec<i64> {
    #[expect(clippy::cast_possible_truncation, reason = "the nearest integer")]
    let at = |step: i64| thresholds.iter().map(move |x| (x.floor() as i64).saturating_add(step));
    [0, -1, 1].into_iter().flat_map(at).filter(|x| is_valid(*x)).collect()
}

/// Sets up to half of the values to special ones, others in each run; a single one in three of four runs.
fn place<T: Copy>(values: &mut [T], special: &[T], seed: u64, random: &mut Random) {
    let (places, kinds) = (values.len() as u64, special.len() as u64);
    let count = kinds.min(if seed.is_multiple_of(4) { places / 2 } else { places.div_ceil(2) });
    // Neighbors, so that none replaces another.
    let start = random.below(places);
    for at in 0..count {
        let found = usize::try_from(seed.wrapping_mul(count).wrapping_add(at) % kinds);
        let place = usize::try_from((start + at) % places);
        if let (Ok(found), Ok(place)) = (found, place)
            && let (Some(found), Some(place)) = (special.get(found), values.get_mut(place))
        {
            *place = *found;
        }
    }
}

/// Generates integers of both signs, 0 among them.
fn integers(count: usize, range: Range, random: &mut Random) -> Vec<i64> {
    let mut values: Vec<i64> = (0..count).map(|_| below(2 * INTEGERS, random) - INTEGERS).collect();
    if range == Range::Outlier
        && let Some(value) = values.last_mut()
    {
        *value = OUTLIER.into();
    }
    values
}

fn divisor(a: u64, b: u64) -> u64 {
    if b == 0 { a } else { divisor(b, a % b) }
}

/// Generates positions that count up along the last axis.
fn counted(shape: &[usize], count: usize, below: u64) -> Vec<i64> {
    let length = shape.last().copied().unwrap_or(1).max(1) as u64;
    (0..count as u64).map(|at| ((at % length) % below.max(1)).cast_signed()).collect()
}

fn floats(count: usize, range: Range, random: &mut Random) -> Vec<f32> {
    let most = if let Range::UpTo(most) = range { most } else { 1.0 };
    let mut values: Vec<f32> = (0..count).map(|_| most * random.symmetric()).collect();
    match range {
        Range::UpTo(_) => {}
        Range::Zeros => {
            for (at, value) in values.iter_mut().enumerate().filter(|_| random.below(4) == 0) {
                *value = if at % 2 == 0 { 0.0 } else { -0.0 };
            }
        }
        Range::Outlier => {
            let place = usize::try_from(random.below(count as u64)).unwrap_or(0);
            if let Some(value) = values.get_mut(place) {
                *value = f32::from(OUTLIER);
            }
        }
    }
    values
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

/// The SplitMix64 generator.
struct Random(u64);

impl Random {
    /// Returns the generator for a seed and a name.
    fn new(seed: u64, name: &str) -> Self {
        Self(fingerprint(name.bytes().chain(seed.to_le_bytes())))
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// Returns a number in `0..bound`; 0 if the bound is 0.
    fn below(&mut self, bound: u64) -> u64 {
        self.next().checked_rem(bound).unwrap_or(0)
    }

    /// Returns a number in [-1, 1), in steps of 2^-23.
    fn symmetric(&mut self) -> f32 {
        (self.next() >> 40) as f32 / (1 << 23) as f32 - 1.0
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
    fn every_id_occurs_before_one_repeats() {
        for below in [1, 2, 3, 6, 16, 97, 120] {
            for seed in 0..20 {
                let mut ids = ids(120, below, &mut Random::new(seed, "ids"));
                ids.truncate(120);
                for id in 0..below.cast_signed() {
                    let times = ids.iter().filter(|&&other| other == id).count();
                    assert!(times > 0 || below > 100, "{id} of {below}");
                }
            }
            let two = ids(2, below, &mut Random::new(7, "ids"));
            assert!(two.contains(&0) && two.contains(&(below.cast_signed() - 1)), "{two:?}");
        }
        assert!(ids(0, 5, &mut Random::new(0, "")).is_empty());
        assert_eq!(ids(3, 1, &mut Random::new(0, "")), [0; 3]);
    }

    #[test]
    fn thresholds_occur_in_some_run() {
        let special = next_to(&[1000.0], |_| true);
        assert_eq!(special, [1000, 999, 1001]);
        assert_eq!(around(&[2.5, 0.0], |x| x.abs() < 1.0), [0.0, -0.000_976_562_5, 0.000_976_562_5]);
        for count in [1, 2, 7] {
            let mut seen = std::collections::BTreeSet::new();
            for seed in 0..8 {
                let mut values = vec![0; count];
                place(&mut values, &special, seed, &mut Random::new(seed, "i"));
                seen.extend(values);
            }
            assert!(special.iter().all(|value| seen.contains(value)), "{count}: {seen:?}");
        }
        let many: Vec<i64> = (0..64).collect();
        let mut seen = std::collections::BTreeSet::new();
        for seed in 0..8 {
            let mut values = vec![-1; 16];
            place(&mut values, &many, seed, &mut Random::new(seed, "i"));
            seen.extend(values);
        }
        assert!(many.iter().all(|value| seen.contains(value)), "{seen:?}");
        let mut none: [i64; 1] = [7];
        place(&mut none, &[], 1, &mut Random::new(0, "i"));
        place(&mut [], &special, 1, &mut Random::new(0, "i"));
        assert_eq!(none, [7]);
    }

    #[test]
    fn floats_have_their_range() {
        let of = |range| floats(64, range, &mut Random::new(3, "x"));
        assert!(of(Range::UpTo(10.0)).iter().any(|value| value.abs() > 5.0));
        let zeros: Vec<u32> = of(Range::Zeros).iter().map(|value| value.to_bits()).collect();
        assert!(zeros.contains(&0) && zeros.contains(&0x8000_0000), "both zeros");
        assert_eq!(of(Range::Outlier).iter().filter(|value| value.abs() > 1.0).count(), 1);
        assert!(floats(0, Range::Outlier, &mut Random::new(3, "x")).is_empty());
        let seeds: Vec<Style> = (0..8).map(Style::of).collect();
        for padding in [Padding::Right, Padding::Left, Padding::Holes, Padding::Kept, Padding::Whole] {
            assert!(seeds.iter().any(|style| style.padding == padding), "{padding:?}");
        }
    }

    #[test]
    fn values_depend_only_on_seed_and_name() {
        let first = |seed, name| Random::new(seed, name).next();
        assert_eq!(first(1, "x"), first(1, "x"));
        assert_ne!(first(1, "x"), first(2, "x"));
        assert_ne!(first(1, "x"), first(1, "y"));
        let mut random = Random::new(0, "x");
        assert!((0..1000).map(|_| random.symmetric()).all(|value| (-1.0..1.0).contains(&value)));
        assert!((0..1000).map(|_| random.below(3)).all(|value| value < 3));
    }
}
