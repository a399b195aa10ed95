//! Recipes: tensors made from numbers or from other tensors, block by block, while they are written.

use super::{Data, Tensor, TensorError, count};
use crate::ElementType;
use bytes::Bytes;
use std::cell::RefCell;
use std::ops::Deref;
use std::sync::Arc;

/// How the elements of a tensor are made.
///
/// Any block of elements can be made without those before it, so blocks may be made by several threads at once, and
/// a tensor larger than memory needs a bounded buffer only.
#[derive(Clone, Debug, PartialEq)]
pub enum Recipe {
    /// One element, given by its bytes, repeated.
    Fill(Box<[u8]>),
    /// Pseudo-random `f32`s; the same seed gives the same elements on every machine.
    Random {
        /// Which sequence.
        seed: u64,
        /// How they are distributed.
        distribution: Distribution,
    },
    /// The sinusoidal table of positions `[positions, d_model]` (paper, section 3.5), `f32`.
    Sinusoidal(Wave),
    /// The elements of a float tensor, each multiplied in its own type.
    Scale {
        /// The factor.
        factor: f32,
        /// The tensor.
        of: Tensor,
    },
    /// The elements of a float tensor in another float type, rounded to nearest, ties to even.
    Cast(Tensor),
    /// The tensor with its last two axes exchanged.
    Transpose(Tensor),
    /// The elements of a tensor whose recipe depends on its shape, in another one.
    Reshape(Tensor),
    /// Tensors one behind the other along their last axis.
    Concat(Box<[Tensor]>),
}

/// A distribution of random weights.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Distribution {
    /// Every value from `-bound` up to `bound` alike.
    Uniform {
        /// The bound.
        bound: f32,
    },
}

/// Where the sines and cosines of the sinusoidal table stand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wave {
    /// `sin(p / 10000^(2i/d))` at `2i` and the cosine at `2i + 1`, as in the paper.
    Interleaved,
    /// All sines, then all cosines, with `10000^(i / (d/2 - 1))`, as in tensor2tensor and fairseq.
    Halves,
    /// The sines of [`Interleaved`](Wave::Interleaved), then its cosines, as in Marian.
    Grouped,
}

/// Blocks of this size fit the cache of one core and amortise a system call.
pub(super) const BLOCK: u64 = 1 << 20;

/// Transposing maps a matrix of a file up to this size, and reads a larger one in strips.
const WHOLE: u64 = 64 << 20;

/// A strip takes as many bytes of each row of a file: a system call for fewer costs more than they do.
const PIECE: u64 = 2 << 10;

/// No strip is larger, unless one column is.
const STRIP: u64 = 16 << 20;

impl Tensor {
    /// `value` repeated.
    ///
    /// # Errors
    /// When the shape has more elements than fit.
    pub fn fill(value: f32, dims: &[u64]) -> Result<Self, TensorError> {
        Self::fill_with(ElementType::F32, value.to_le_bytes().to_vec(), dims)
    }

    /// One element, given by its bytes, repeated.
    ///
    /// # Errors
    /// When the bytes are not those of one element, and when the shape has more elements than fit.
    pub fn fill_with(element: ElementType, value: Vec<u8>, dims: &[u64]) -> Result<Self, TensorError> {
        let whole = element.bits() > 0 && element.bits() as usize == value.len() * 8;
        let tensor = Self::made(element, dims, Recipe::Fill(value.into()))?;
        if whole { Ok(tensor) } else { Err(tensor.refuse("fill", "its bytes are not those of one element")) }
    }

    /// Random `f32` weights.
    ///
    /// # Errors
    /// When the shape has more elements than fit.
    pub fn random(seed: u64, distribution: Distribution, dims: &[u64]) -> Result<Self, TensorError> {
        Self::made(ElementType::F32, dims, Recipe::Random { seed, distribution })
    }

    /// The sinusoidal table `[positions, d_model]`, computed in double precision and rounded to `f32`.
    ///
    /// # Errors
    /// When `d_model` is odd, or below 4 in halves: the table has a sine and a cosine for each frequency.
    pub fn sinusoidal(wave: Wave, positions: u64, d_model: u64) -> Result<Self, TensorError> {
        let table = Self::made(ElementType::F32, &[positions, d_model], Recipe::Sinusoidal(wave))?;
        if !d_model.is_multiple_of(2) || d_model < if wave == Wave::Halves { 4 } else { 2 } {
            return Err(table.refuse("sinusoidal", "the width must be even, and at least 4 in halves"));
        }
        Ok(table)
    }

    /// The tensor times `factor`, each product rounded to the tensor's own type.
    ///
    /// # Errors
    /// When it is none of `f32`, `f16`, `bf16`, `f64`.
    pub fn scaled(&self, factor: f32) -> Result<Self, TensorError> {
        if Number::of(self.element).is_none() {
            return Err(self.refuse("scale", "its elements are no f32, f16, bf16 or f64"));
        }
        Self::made(self.element, &self.dims, Recipe::Scale { factor, of: self.clone() })
    }

    /// The tensor in another float type.
    ///
    /// # Errors
    /// When one of the types is none of `f32`, `f16`, `bf16`, `f64`.
    pub fn cast(&self, to: ElementType) -> Result<Self, TensorError> {
        if to == self.element {
            return Ok(self.clone());
        }
        if Number::of(self.element).and(Number::of(to)).is_none() {
            return Err(self.refuse("cast", "both types must be of f32, f16, bf16 and f64"));
        }
        Self::made(to, &self.dims, Recipe::Cast(self.clone()))
    }

    /// The tensor with its last two axes exchanged.
    ///
    /// # Errors
    /// When it has fewer than two axes, or elements that are not whole bytes.
    pub fn transposed(&self) -> Result<Self, TensorError> {
        let mut dims = self.dims.to_vec();
        let [.., rows, columns] = dims.as_mut_slice() else {
            return Err(self.refuse("transpose", "it has fewer than two axes"));
        };
        std::mem::swap(rows, columns);
        if self.element.bits() == 0 || !self.element.bits().is_multiple_of(8) {
            return Err(self.refuse("transpose", "its elements are not whole bytes"));
        }
        // Twice is not at all.
        if let Data::Recipe(recipe) = &self.data
            && let Recipe::Transpose(of) = recipe.as_ref()
        {
            return Ok(of.clone());
        }
        Self::made(self.element, &dims, Recipe::Transpose(self.clone()))
    }

    /// Tensors one behind the other along their last axis, which alone may differ.
    ///
    /// # Errors
    /// When there are none, their types or other axes differ, or their elements are not whole bytes.
    pub fn concatenated(tensors: &[Tensor]) -> Result<Self, TensorError> {
        let Some(first) = tensors.first() else {
            return Err(Self::indices(&[]).refuse("concat", "there are no tensors"));
        };
        let Some((_, outer)) = first.dims.split_last() else {
            return Err(first.refuse("concat", "it has no axis"));
        };
        if first.element.bits() == 0 || !first.element.bits().is_multiple_of(8) {
            return Err(first.refuse("concat", "its elements are not whole bytes"));
        }
        let mut width = 0_u64;
        for tensor in tensors {
            let last = tensor.dims.split_last().filter(|(_, own)| *own == outer && tensor.element == first.element);
            let sum = last.and_then(|(last, _)| width.checked_add(*last));
            width = sum.ok_or_else(|| tensor.refuse("concat", "its type or another axis differs from the first's"))?;
        }
        let dims = [outer, &[width]].concat();
        Self::made(first.element, &dims, Recipe::Concat(tensors.into()))
    }

    fn made(element: ElementType, dims: &[u64], recipe: Recipe) -> Result<Self, TensorError> {
        count(element, dims)?;
        Ok(Self { element, dims: dims.into(), data: Data::Recipe(Arc::new(recipe)) })
    }

    fn refuse(&self, recipe: &'static str, why: &'static str) -> TensorError {
        TensorError::Recipe { recipe, tensor: self.ty().to_string(), why }
    }
}

impl Recipe {
    /// The tensors that it reads.
    pub(super) fn tensors(&self) -> impl Iterator<Item = &Tensor> {
        let tensors = match self {
            Recipe::Fill(_) | Recipe::Random { .. } | Recipe::Sinusoidal(_) => &[],
            Recipe::Scale { of, .. } | Recipe::Cast(of) | Recipe::Transpose(of) | Recipe::Reshape(of) => {
                std::slice::from_ref(of)
            }
            Recipe::Concat(tensors) => tensors,
        };
        tensors.iter()
    }

    /// How many bytes one thread best makes, one part after the other: a multiple of every element's size.
    pub(super) fn block(&self, tensor: &Tensor) -> u64 {
        let bits = |tensor: &Tensor| u64::from(tensor.element.bits()).max(1);
        match self {
            Recipe::Fill(_) | Recipe::Random { .. } | Recipe::Sinusoidal(_) => BLOCK,
            Recipe::Transpose(of) => {
                let rows = of.dims.iter().rev().nth(1).copied().unwrap_or(1);
                (strip_columns(of) * rows * bits(of) / 8).max(BLOCK)
            }
            Recipe::Scale { of, .. } | Recipe::Reshape(of) => of.block(),
            Recipe::Cast(of) => of.block() / bits(of) * bits(tensor),
            Recipe::Concat(tensors) => tensors.iter().map(Tensor::block).fold(0, u64::saturating_add).min(1 << 40),
        }
    }

    /// A tensor of this recipe in another shape of as many elements.
    pub(super) fn reshape(&self, tensor: &Tensor, dims: &[u64]) -> Tensor {
        match self {
            Recipe::Fill(_) | Recipe::Random { .. } => Tensor { dims: dims.into(), ..tensor.clone() },
            Recipe::Reshape(of) if *of.dims == *dims => of.clone(),
            Recipe::Reshape(of) => reshape(of, dims),
            _ => reshape(tensor, dims),
        }
    }

    /// Makes the elements from `first` on; the caller checked that they are within the tensor.
    pub(super) fn fill(&self, tensor: &Tensor, first: u64, out: &mut [u8]) -> Result<(), TensorError> {
        match self {
            Recipe::Fill(element) => {
                out.chunks_exact_mut(element.len()).for_each(|place| place.copy_from_slice(element));
                Ok(())
            }
            Recipe::Random { seed, distribution: Distribution::Uniform { bound } } => {
                random(*seed, *bound, first, out);
                Ok(())
            }
            Recipe::Sinusoidal(wave) => {
                sinusoidal(*wave, tensor.dims[1], first, out);
                Ok(())
            }
            Recipe::Scale { factor, of } => {
                of.read(first, out)?;
                if let Some(number) = Number::of(tensor.element) {
                    number.scale(*factor, out);
                }
                Ok(())
            }
            Recipe::Cast(of) => {
                let (Some(from), Some(to)) = (Number::of(of.element), Number::of(tensor.element)) else {
                    return Err(tensor.refuse("cast", "both types must be of f32, f16, bf16 and f64"));
                };
                let (from_size, to_size) = (of.element.bits() as usize / 8, tensor.element.bits() as usize / 8);
                let block = usize::try_from(BLOCK).unwrap_or(usize::MAX);
                let mut source = vec![0; (out.len() / to_size * from_size).min(block)];
                let mut at = first;
                for part in out.chunks_mut(block / from_size * to_size) {
                    let source = &mut source[..part.len() / to_size * from_size];
                    of.read(at, source)?;
                    let pairs = source.chunks_exact(from_size).zip(part.chunks_exact_mut(to_size));
                    pairs.for_each(|(source, place)| to.write(from.read(source), place));
                    at += (part.len() / to_size) as u64;
                }
                Ok(())
            }
            Recipe::Transpose(of) => transpose(of, first, out),
            Recipe::Reshape(of) => of.read(first, out),
            Recipe::Concat(tensors) => concat(tensor, tensors, first, out),
        }
    }
}

/// Reads each tensor in strips of whole rows, and puts the rows side by side.
fn concat(whole: &Tensor, tensors: &[Tensor], first: u64, out: &mut [u8]) -> Result<(), TensorError> {
    let size = u64::from(whole.element.bits() / 8);
    let Some(width) = whole.dims.last().map(|width| width * size).filter(|width| *width > 0) else { return Ok(()) };
    let in_memory =
        |bytes: u64| usize::try_from(bytes).map_err(|_| whole.refuse("concat", "a row does not fit in memory"));
    let (start, end) = (first * size, first * size + out.len() as u64);
    let most_rows = (BLOCK / width).max(1);
    let mut row = start / width;
    while row * width < end {
        let rows = most_rows.min((end - row * width).div_ceil(width));
        let mut offset = 0;
        for tensor in tensors {
            let own = tensor.dims.last().map_or(0, |own| own * size);
            let mut strip = vec![0; in_memory(rows * own)?];
            tensor.read(row * own / size, &mut strip)?;
            for (at, part) in (row..).zip(strip.chunks_exact(in_memory(own)?.max(1))) {
                let place = at * width + offset;
                let (from, to) = (place.max(start), (place + own).min(end));
                if from < to {
                    let place = in_memory(from - place)?..in_memory(to - place)?;
                    out[in_memory(from - start)?..in_memory(to - start)?].copy_from_slice(&part[place]);
                }
            }
            offset += own;
        }
        row += rows;
    }
    Ok(())
}

fn reshape(of: &Tensor, dims: &[u64]) -> Tensor {
    Tensor { element: of.element, dims: dims.into(), data: Data::Recipe(Arc::new(Recipe::Reshape(of.clone()))) }
}

/// The float types that recipes compute with.
#[derive(Clone, Copy)]
enum Number {
    F32,
    F64,
    F16,
    BF16,
}

impl Number {
    fn of(element: ElementType) -> Option<Self> {
        match element {
            ElementType::F32 => Some(Number::F32),
            ElementType::F64 => Some(Number::F64),
            ElementType::F16 => Some(Number::F16),
            ElementType::BF16 => Some(Number::BF16),
            _ => None,
        }
    }

    fn scale(self, factor: f32, all: &mut [u8]) {
        match self {
            // Written out: this loop runs over every weight and must vectorise.
            Number::F32 => all.as_chunks_mut::<4>().0.iter_mut().for_each(|place| {
                *place = (f32::from_le_bytes(*place) * factor).to_le_bytes();
            }),
            Number::F64 | Number::F16 | Number::BF16 => {
                let size = if matches!(self, Number::F64) { 8 } else { 2 };
                for place in all.chunks_exact_mut(size) {
                    self.write(self.read(place) * f64::from(factor), place);
                }
            }
        }
    }

    fn read(self, bytes: &[u8]) -> f64 {
        match self {
            Number::F32 => f32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]).into(),
            Number::F64 => f64::from_le_bytes(std::array::from_fn(|at| bytes[at])),
            Number::F16 => half::f16::from_le_bytes([bytes[0], bytes[1]]).into(),
            Number::BF16 => half::bf16::from_le_bytes([bytes[0], bytes[1]]).into(),
        }
    }

    /// Rounds once, from the double: no type here is wider.
    fn write(self, value: f64, place: &mut [u8]) {
        match self {
            #[expect(clippy::cast_possible_truncation, reason = "rounding to f32 is what is asked for")]
            Number::F32 => place.copy_from_slice(&(value as f32).to_le_bytes()),
            Number::F64 => place.copy_from_slice(&value.to_le_bytes()),
            Number::F16 => place.copy_from_slice(&half::f16::from_f64(value).to_le_bytes()),
            Number::BF16 => place.copy_from_slice(&half::bf16::from_f64(value).to_le_bytes()),
        }
    }
}

/// Elements `2i` and `2i + 1` of the sequence are the halves of element `i` of SplitMix64's (Steele et al., 2014), which
/// is a hash of `i`: elements are drawn one by one, and in any order.
fn random(seed: u64, bound: f32, first: u64, out: &mut [u8]) {
    const STEP: u64 = 0x9e37_79b9_7f4a_7c15;
    // Seeds that differ by little must not give sequences that are shifts of one another.
    let start = mix(mix(seed).wrapping_add(STEP));
    let pair = |at: u64| mix(start.wrapping_add(at.wrapping_mul(STEP)));
    // A signed number of 24 bits is one that an f32 holds exactly.
    let scale = bound / 8_388_608.0;
    let halves = |at: u64| {
        let bits = pair(at);
        #[expect(clippy::cast_possible_truncation, reason = "the halves of 64 bits")]
        [bits as i32, (bits >> 32) as i32].map(|bits| ((bits >> 8) as f32 * scale).to_le_bytes())
    };
    let mut places = out.as_chunks_mut::<4>().0;
    let mut at = first / 2;
    if first % 2 == 1
        && let Some(place) = places.split_off_first_mut()
    {
        *place = halves(at)[1];
        at += 1;
    }
    let (pairs, last) = places.as_chunks_mut::<2>();
    for (at, pair) in (at..).zip(pairs.iter_mut()) {
        *pair = halves(at);
    }
    if let [last] = last {
        *last = halves(at + pairs.len() as u64)[0];
    }
}

/// The finaliser of SplitMix64: a bijection of 64 bits with good avalanche.
fn mix(x: u64) -> u64 {
    let x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    x ^ (x >> 31)
}

fn sinusoidal(wave: Wave, d_model: u64, first: u64, out: &mut [u8]) {
    let half = d_model / 2;
    let steps = if wave == Wave::Halves { half - 1 } else { half };
    let frequencies: Vec<f64> = (0..half).map(|at| 10_000f64.powf(-(at as f64) / steps as f64)).collect();
    for (at, place) in (first..).zip(out.as_chunks_mut::<4>().0) {
        let (position, column) = (at / d_model, at % d_model);
        let (frequency, cosine) = match wave {
            Wave::Interleaved => (column / 2, column % 2 == 1),
            Wave::Halves | Wave::Grouped => (column % half, column >= half),
        };
        let frequency = usize::try_from(frequency).ok().and_then(|at| frequencies.get(at));
        let angle = position as f64 * frequency.copied().unwrap_or_default();
        #[expect(clippy::cast_possible_truncation, reason = "the table is f32")]
        let value = (if cosine { angle.cos() } else { angle.sin() }) as f32;
        *place = value.to_le_bytes();
    }
}

/// So many columns of a source are read at once to be rows of its transpose.
fn strip_columns(of: &Tensor) -> u64 {
    let size = u64::from(of.element.bits() / 8).max(1);
    let &[.., rows, columns] = of.dims() else { return 1 };
    let column = rows.saturating_mul(size).max(1);
    let most = match &of.data {
        Data::File(_) if column.saturating_mul(columns) <= WHOLE => columns,
        Data::File(_) => (PIECE / size).min(STRIP / column),
        // What is made, not read, is best made while it is in the cache.
        _ => BLOCK / column,
    };
    most.clamp(1, columns.max(1))
}

/// Columns of a source, `width` of them from `first` on of the matrix that begins with the element `base`.
struct Strip {
    of: Tensor,
    base: u64,
    first: u64,
    width: u64,
    bytes: Columns,
    /// When it was used last.
    used: u64,
}

impl Strip {
    /// When it was used last, and how many bytes it maps.
    fn mapped(&self) -> Option<(u64, u64)> {
        matches!(self.bytes, Columns::Mapped(_)).then_some((self.used, self.bytes.len() as u64))
    }
}

/// The bytes of columns.
enum Columns {
    Mapped(Bytes),
    Read(Vec<u8>),
}

impl Deref for Columns {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        match self {
            Columns::Mapped(bytes) => bytes,
            Columns::Read(bytes) => bytes,
        }
    }
}

/// What was read last, since the parts of a block that are made one after the other need the same strips.
struct Strips {
    all: Vec<Strip>,
    /// How many strips were asked for.
    asked: u64,
}

thread_local! {
    static STRIPS: RefCell<Strips> = const { RefCell::new(Strips { all: vec![], asked: 0 }) };
}

/// A strip stays while so many others are asked for: weights that are packed are three side by side.
const MOST_STRIPS: u64 = 3;

impl Strips {
    /// A strip that is there, or room for one of so many bytes.
    fn take(&mut self, wanted: u64, is_it: impl Fn(&Strip) -> bool) -> Result<Strip, Vec<u8>> {
        self.asked += 1;
        if let Some(at) = self.all.iter().position(is_it) {
            return Ok(self.all.swap_remove(at));
        }
        let asked = self.asked;
        // What was mapped first goes first, so that no more than one large matrix is in memory.
        let mut mapped: Vec<(u64, u64)> = self.all.iter().filter_map(Strip::mapped).collect();
        mapped.sort_unstable();
        let mut total: u64 = mapped.iter().map(|(_, len)| len).sum();
        for (used, len) in mapped {
            if total + wanted <= WHOLE {
                break;
            }
            self.all.retain(|strip| strip.mapped() != Some((used, len)));
            total -= len;
        }
        let stale = self.all.extract_if(.., |strip| strip.used + MOST_STRIPS < asked);
        // What was used before needs no new pages.
        let room = |strip: Strip| match strip.bytes {
            Columns::Mapped(_) => None,
            Columns::Read(bytes) => Some(bytes),
        };
        Err(stale.filter_map(room).max_by_key(Vec::len).unwrap_or_default())
    }

    fn put(&mut self, strip: Strip) {
        self.all.push(Strip { used: self.asked, ..strip });
    }
}

/// The strip that begins with a column; the caller gives it back to [`STRIPS`].
fn strip(of: &Tensor, base: u64, first: u64, width: u64) -> Result<Strip, TensorError> {
    let is_it = |strip: &Strip| strip.base == base && strip.first == first && strip.of.is_same(of);
    let size = u64::from(of.element.bits() / 8);
    let &[.., rows, columns] = of.dims() else { return Err(of.refuse("transpose", "it has fewer than two axes")) };
    let in_memory =
        |bytes: u64| usize::try_from(bytes).map_err(|_| of.refuse("transpose", "a row does not fit in memory"));
    let mut bytes = match STRIPS.with_borrow_mut(|strips| strips.take(rows * width * size, is_it)) {
        Ok(strip) => return Ok(strip),
        Err(bytes) => bytes,
    };
    let made = |bytes| Ok(Strip { of: of.clone(), base, first, width, bytes, used: 0 });
    if width == columns
        && let Data::File(range) = &of.data
    {
        return made(Columns::Mapped(range.slice(base * size, rows * columns * size)?.map()?));
    }
    bytes.resize(in_memory(rows * width * size)?, 0);
    if width == columns {
        of.read(base, &mut bytes)?;
    } else {
        for (row, place) in (0..rows).zip(bytes.chunks_exact_mut(in_memory(width * size)?)) {
            of.read(base + row * columns + first, place)?;
        }
    }
    made(Columns::Read(bytes))
}

/// Fills `out` with the elements from `first` on of `of` with its last two axes exchanged.
fn transpose(of: &Tensor, first: u64, out: &mut [u8]) -> Result<(), TensorError> {
    let size = of.element.bits() as usize / 8;
    let &[.., rows, columns] = of.dims() else { return Err(of.refuse("transpose", "it has fewer than two axes")) };
    let wide = |count: u64| usize::try_from(count).map_err(|_| of.refuse("transpose", "a row does not fit in memory"));
    let (matrix, most) = (rows * columns, strip_columns(of));
    let mut at = first;
    let mut out = out;
    while !out.is_empty() {
        // Row `r` of the result is column `r` of the source: whole rows are read as a strip of columns of the source.
        let (base, within) = (at / matrix * matrix, at % matrix);
        let strip_first = within / rows / most * most;
        let strip = strip(of, base, strip_first, most.min(columns - strip_first))?;
        let skipped = within - strip_first * rows;
        let taken = (strip.width * rows - skipped).min((out.len() / size) as u64);
        let (now, later) = out.split_at_mut(wide(taken)? * size);
        let (width, rows, skipped) = (wide(strip.width)?, wide(rows)?, wide(skipped)?);
        match size {
            1 => gather::<1, 64>(&strip.bytes, width, rows, skipped, now),
            2 => gather::<2, 32>(&strip.bytes, width, rows, skipped, now),
            4 => gather::<4, 16>(&strip.bytes, width, rows, skipped, now),
            8 => gather::<8, 8>(&strip.bytes, width, rows, skipped, now),
            _ => gather::<16, 4>(&strip.bytes, width, rows, skipped, now),
        }
        STRIPS.with_borrow_mut(|strips| strips.put(strip));
        at += taken;
        out = later;
    }
    Ok(())
}

/// `out[i]` is element `skipped + i` of the transpose of `source`, a matrix of `rows` rows of `width` elements.
///
/// Tiles, a cache line wide, pass through a small buffer: each line of both sides is touched once, whatever the strides.
fn gather<const SIZE: usize, const TILE: usize>(
    source: &[u8],
    width: usize,
    rows: usize,
    skipped: usize,
    out: &mut [u8],
) {
    let source = source.as_chunks::<SIZE>().0;
    let out = out.as_chunks_mut::<SIZE>().0;
    let mut buffer = [[[0; SIZE]; TILE]; TILE];
    let asked = skipped / rows..(skipped + out.len()).div_ceil(rows);
    // Tiles beside one another first: what is next in the same rows of the source is near.
    for top in (0..rows).step_by(TILE) {
        let height = TILE.min(rows - top);
        for left in asked.clone().step_by(TILE) {
            let columns = TILE.min(asked.end - left);
            for (row, line) in buffer[..height].iter_mut().enumerate() {
                let start = (top + row) * width + left;
                let found = &source[start..start + columns];
                // A whole tile has a size that the compiler knows.
                match <&[[u8; SIZE]; TILE]>::try_from(found) {
                    Ok(found) => *line = *found,
                    Err(_) => line[..columns].copy_from_slice(found),
                }
            }
            for column in 0..columns {
                // The first row of the result may begin within, and the last end so.
                let start = (left + column) * rows + top;
                let whole = start.checked_sub(skipped).and_then(|start| out.get_mut(start..start + height));
                if let Some(places) = whole {
                    match <&mut [[u8; SIZE]; TILE]>::try_from(&mut *places) {
                        Ok(places) => (0..TILE).for_each(|row| places[row] = buffer[row][column]),
                        Err(_) => places.iter_mut().zip(&buffer).for_each(|(place, line)| *place = line[column]),
                    }
                    continue;
                }
                for (row, line) in buffer[..height].iter().enumerate() {
                    if let Some(place) = (start + row).checked_sub(skipped).and_then(|at| out.get_mut(at)) {
                        *place = line[column];
                    }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn f32s(tensor: &Tensor) -> Vec<f32> {
        let bytes = tensor.to_bytes().expect("it is small");
        bytes.as_chunks::<4>().0.iter().map(|element| f32::from_le_bytes(*element)).collect()
    }

    fn counting(dims: &[u64]) -> Tensor {
        let count = dims.iter().product::<u64>();
        let bytes: Vec<u8> = (0..count).flat_map(|at| (at as f32).to_le_bytes()).collect();
        Tensor::from_bytes(ElementType::F32, dims, bytes).expect("the length fits")
    }

    #[test]
    fn blocks_agree_with_the_whole() {
        let counting = counting(&[3, 37, 41]);
        let tensors = [
            Tensor::random(7, Distribution::Uniform { bound: 0.5 }, &[50, 30]).unwrap(),
            Tensor::sinusoidal(Wave::Interleaved, 20, 64).unwrap(),
            Tensor::sinusoidal(Wave::Halves, 20, 64).unwrap(),
            Tensor::fill(0.25, &[11]).unwrap(),
            counting.scaled(0.5).unwrap(),
            counting.transposed().unwrap(),
            counting.transposed().unwrap().scaled(3.0).unwrap().transposed().unwrap(),
            counting.cast(ElementType::F64).unwrap().cast(ElementType::F32).unwrap(),
            Tensor::sinusoidal(Wave::Halves, 20, 64).unwrap().reshaped(&[1280]).unwrap(),
            Tensor::concatenated(&[counting.clone(), counting.scaled(2.0).unwrap()]).unwrap(),
        ];
        for tensor in tensors {
            let whole = tensor.to_bytes().unwrap();
            for block in [4, 44, 1000] {
                let mut parts = vec![0; whole.len()];
                for (at, part) in parts.chunks_mut(block).enumerate() {
                    tensor.read((at * block / 4) as u64, part).unwrap();
                }
                assert_eq!(parts, whole, "{tensor:?} by {block}");
            }
        }
    }

    #[test]
    fn rows_stand_side_by_side() {
        let [a, b] = [[2, 1], [2, 3]].map(|dims| counting(&dims));
        let both = Tensor::concatenated(&[a, b]).unwrap();
        assert_eq!((both.dims(), f32s(&both)), (&[2, 4][..], vec![0.0, 0.0, 1.0, 2.0, 1.0, 3.0, 4.0, 5.0]));
    }

    #[test]
    fn transposing_in_strips_equals_transposing_whole() {
        // 9 MiB, over the limit of what is read whole.
        let tensor = Tensor::random(1, Distribution::Uniform { bound: 1.0 }, &[1024, 2304]).unwrap();
        let (plain, turned) = (f32s(&tensor), f32s(&tensor.transposed().unwrap()));
        for (row, column) in [(0, 0), (1, 0), (0, 1), (1023, 2303), (512, 77)] {
            assert_eq!(plain[row * 2304 + column].to_bits(), turned[column * 1024 + row].to_bits());
        }
    }

    #[test]
    fn random_elements_are_uniform_and_distinct() {
        let sample = f32s(&Tensor::random(3, Distribution::Uniform { bound: 2.0 }, &[100_000]).unwrap());
        let mean = sample.iter().sum::<f32>() / 100_000.0;
        let variance = sample.iter().map(|x| x * x).sum::<f32>() / 100_000.0;
        assert!(mean.abs() < 0.02, "{mean}");
        assert!((variance - 4.0 / 3.0).abs() < 0.02, "{variance}");
        assert!(sample.iter().all(|x| x.abs() <= 2.0));
        let other = f32s(&Tensor::random(4, Distribution::Uniform { bound: 2.0 }, &[100_000]).unwrap());
        let alike = sample.iter().zip(&other).filter(|(a, b)| a == b).count();
        assert!(alike < 5, "{alike} elements are alike under two seeds");
    }

    #[test]
    fn sinusoidal_as_in_the_paper() {
        let table = f32s(&Tensor::sinusoidal(Wave::Interleaved, 3, 4).unwrap());
        let expected = [0.0, 1.0, 0.0, 1.0, 1f32.sin(), 1f32.cos(), 0.01f32.sin(), 0.01f32.cos()];
        for (found, expected) in table.iter().zip(expected) {
            assert!((found - expected).abs() < 1e-7, "{found} {expected}");
        }
        let halves = f32s(&Tensor::sinusoidal(Wave::Halves, 2, 4).unwrap());
        assert_eq!(&halves[..4], [0.0, 0.0, 1.0, 1.0]);
        let grouped = f32s(&Tensor::sinusoidal(Wave::Grouped, 3, 4).unwrap());
        assert_eq!(grouped[4..8], [table[4], table[6], table[5], table[7]]);
    }

    #[test]
    fn what_does_not_apply_is_an_error() {
        let indices = Tensor::indices(&[1, 2]);
        let cases = [
            (indices.scaled(2.0), "scale does not apply to i64[2]: its elements are no f32, f16, bf16 or f64"),
            (Tensor::concatenated(&[]), "concat does not apply to i64[0]: there are no tensors"),
            (
                Tensor::concatenated(&[counting(&[2, 2]), counting(&[3, 2])]),
                "concat does not apply to f32[3, 2]: its type or another axis differs from the first's",
            ),
            (indices.transposed(), "transpose does not apply to i64[2]: it has fewer than two axes"),
            (
                Tensor::sinusoidal(Wave::Interleaved, 2, 3),
                "sinusoidal does not apply to f32[2, 3]: the width must be even, and at least 4 in halves",
            ),
            (Tensor::fill(0.0, &[u64::MAX, 2]), "a tensor of f32[18446744073709551615, 2] is larger than any file"),
        ];
        for (made, expected) in cases {
            assert_eq!(made.map_err(|error| error.to_string()), Err(expected.to_owned()));
        }
    }

    #[test]
    fn halves_round_to_nearest_even() {
        let tensor = Tensor::from_bytes(ElementType::F32, &[1], 1.000_488_3f32.to_le_bytes().to_vec()).unwrap();
        let cast = tensor.cast(ElementType::F16).unwrap();
        assert_eq!(cast.floats(), Some(vec![1.0]));
    }
}
