//! Tensors in the block formats of ggml, which GGUF files hold: each block has its scale beside its codes.

use super::super::recipe::BLOCK;
use super::{BlockFormat, Quantized, Recipe, Tensor, TensorError};
use crate::ElementType;

mod k;
mod q4_0;
mod q4_1;
mod q4_k;
mod q5_k;
mod q6_k;
mod q8_0;

/// A block format of ggml.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[expect(non_camel_case_types, reason = "the names of ggml")]
pub enum GgmlFormat {
    /// Codes of 4 bits with a scale.
    Q4_0,
    /// Codes of 4 bits with a scale and a minimum.
    Q4_1,
    /// Codes of 8 bits with a scale.
    Q8_0,
    /// Codes of 4 bits in 8 groups, with scales and minimums of 6 bits.
    Q4_K,
    /// Codes of 5 bits in 8 groups, with scales and minimums of 6 bits.
    Q5_K,
    /// Codes of 6 bits in 16 groups, with scales of 8 bits.
    Q6_K,
}

/// A part of a tensor in a block format of ggml.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GgmlPart {
    /// The codes.
    Codes,
    /// The scales of the blocks.
    Scales,
    /// The floats that the blocks mean.
    Floats,
}

/// How blocks are laid out and decoded.
struct Blocks {
    name: &'static str,
    /// The number of elements of a block.
    elements: usize,
    /// The number of bytes of a block.
    bytes: usize,
    kind: Kind,
}

/// Reads one block into exactly as many places as the format has elements, or bytes of codes.
type Decode<Place> = fn(&[u8], &mut [Place]);

enum Kind {
    /// A scale f16, then codes, which are `bits` wide when they are signed and packed as in ONNX.
    Codes { bits: u32, codes: Decode<u8> },
    /// Floats that no such codes mean.
    Floats(Decode<f32>),
}

impl GgmlFormat {
    /// All formats.
    pub const ALL: [Self; 6] = [Self::Q4_0, Self::Q4_1, Self::Q8_0, Self::Q4_K, Self::Q5_K, Self::Q6_K];

    fn blocks(self) -> &'static Blocks {
        match self {
            Self::Q4_0 => &q4_0::BLOCKS,
            Self::Q4_1 => &q4_1::BLOCKS,
            Self::Q8_0 => &q8_0::BLOCKS,
            Self::Q4_K => &q4_k::BLOCKS,
            Self::Q5_K => &q5_k::BLOCKS,
            Self::Q6_K => &q6_k::BLOCKS,
        }
    }

    /// Returns the name of the format in ggml.
    pub fn name(self) -> &'static str {
        self.blocks().name
    }

    /// Returns the number of bytes of so many elements, if they are whole blocks.
    pub fn bytes(self, elements: u64) -> Option<u64> {
        let Blocks { elements: size, bytes, .. } = *self.blocks();
        if elements.is_multiple_of(size as u64) { (elements / size as u64).checked_mul(bytes as u64) } else { None }
    }

    /// Whether the codes and scales of its blocks can be kept apart; other formats can only be decoded to floats.
    pub fn has_codes(self) -> bool {
        matches!(self.blocks().kind, Kind::Codes { .. })
    }
}

impl Tensor {
    /// Returns the floats `[rows, columns]` that blocks mean, given by their bytes as `u8` `[rows, bytes]`. If codes and
    /// scales can be kept apart, they are those of the result's [quantization](Self::quantization).
    ///
    /// # Errors
    /// If the tensor is not such bytes, or a row is not whole blocks.
    pub fn from_ggml(&self, format: GgmlFormat) -> Result<Self, TensorError> {
        let blocks = format.blocks();
        let Kind::Codes { bits, .. } = blocks.kind else { return self.ggml_part(format, GgmlPart::Floats) };
        let (codes, scales) = (self.ggml_part(format, GgmlPart::Codes)?, self.ggml_part(format, GgmlPart::Scales)?);
        let format = BlockFormat { bits, size: blocks.elements as u64, symmetric: true };
        Quantized::from_parts(codes, scales, None, format)?.dequantized(ElementType::F32)
    }

    /// Returns a part of the blocks of a format that [`from_ggml`](Self::from_ggml) accepts.
    pub(crate) fn ggml_part(&self, format: GgmlFormat, part: GgmlPart) -> Result<Self, TensorError> {
        let blocks = format.blocks();
        let &[rows, bytes] = self.dims() else { return Err(self.refuse("ggml", "it is not a matrix")) };
        if self.element != ElementType::U8 || !bytes.is_multiple_of(blocks.bytes as u64) {
            return Err(self.refuse("ggml", "its rows are not whole blocks of bytes"));
        }
        let count = bytes / blocks.bytes as u64;
        let (element, columns) = match (part, &blocks.kind) {
            (GgmlPart::Codes, Kind::Codes { bits: 4, .. }) => {
                (ElementType::I4, count.checked_mul(blocks.elements as u64))
            }
            (GgmlPart::Codes, Kind::Codes { .. }) => (ElementType::I8, count.checked_mul(blocks.elements as u64)),
            (GgmlPart::Scales, Kind::Codes { .. }) => (ElementType::F16, Some(count)),
            (GgmlPart::Floats, Kind::Floats(_)) => (ElementType::F32, count.checked_mul(blocks.elements as u64)),
            _ => return Err(self.refuse("ggml", "its blocks do not have this part")),
        };
        let columns = columns.ok_or_else(|| self.refuse("ggml", "it is too large"))?;
        Self::made(element, &[rows, columns], Recipe::Ggml { of: self.clone(), format, part })
    }
}

/// Fills `out` with elements of a part, whose bytes begin with byte `start` of all of them.
pub(in crate::tensor) fn fill(
    of: &Tensor,
    format: GgmlFormat,
    part: GgmlPart,
    start: u64,
    out: &mut [u8],
) -> Result<(), TensorError> {
    let blocks = format.blocks();
    // The bytes of one block in the result.
    let width = match (&blocks.kind, part) {
        (Kind::Codes { .. }, GgmlPart::Scales) => 2,
        (Kind::Codes { bits, .. }, _) => blocks.elements * *bits as usize / 8,
        (Kind::Floats(_), _) => blocks.elements * 4,
    };
    let most = usize::try_from(BLOCK).unwrap_or(usize::MAX) / blocks.bytes;
    let (mut block, mut skipped) = (start / width as u64, usize::try_from(start % width as u64).unwrap_or(0));
    let (mut raw, mut decoded, mut floats) = (vec![], vec![0; width], vec![0.0; blocks.elements]);
    let mut rest = out;
    while !rest.is_empty() {
        let count = (skipped + rest.len()).div_ceil(width).min(most);
        raw.resize(count * blocks.bytes, 0);
        of.read(block * blocks.bytes as u64, &mut raw)?;
        for raw in raw.chunks_exact(blocks.bytes) {
            match (&blocks.kind, part) {
                (Kind::Codes { .. }, GgmlPart::Scales) => decoded.copy_from_slice(&raw[..2]),
                (Kind::Codes { codes, .. }, _) => codes(&raw[2..], &mut decoded),
                (Kind::Floats(decode), _) => {
                    decode(raw, &mut floats);
                    let places = decoded.as_chunks_mut::<4>().0;
                    places.iter_mut().zip(&floats).for_each(|(place, float)| *place = float.to_le_bytes());
                }
            }
            let here = (width - skipped).min(rest.len());
            let (own, later) = rest.split_at_mut(here);
            own.copy_from_slice(&decoded[skipped..skipped + here]);
            (rest, skipped) = (later, 0);
        }
        block += count as u64;
    }
    Ok(())
}

/// Reads an f16 at the start of some bytes.
fn half(raw: &[u8]) -> f32 {
    half::f16::from_le_bytes([raw[0], raw[1]]).to_f32()
}
