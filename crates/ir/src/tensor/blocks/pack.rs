//! Codes in bytes: the first of a byte is in its lowest bits, as in ONNX.

use super::{Data, QuantizedPart, Recipe, Tensor, TensorError};
use crate::ElementType;

/// Packs codes of 8, 4 or 2 bits, one in each byte, whose upper bits are ignored.
pub(in crate::tensor) fn pack(bits: u32, codes: &[u8], out: &mut [u8]) {
    match bits {
        8 => out.copy_from_slice(codes),
        4 => {
            let (pairs, last) = codes.as_chunks::<2>();
            // By pairs, so that the compiler does many at once.
            #[expect(clippy::cast_possible_truncation, reason = "the lower half has the codes of both")]
            pairs.iter().map(|pair| u16::from_le_bytes(*pair)).zip(&mut *out).for_each(|(pair, place)| {
                *place = (pair & 15 | pair >> 4 & 0xf0) as u8;
            });
            if let ([last], Some(place)) = (last, out.get_mut(pairs.len())) {
                *place = last & 15;
            }
        }
        _ => codes.chunks(4).zip(out).for_each(|(codes, place)| {
            *place = codes.iter().rev().fold(0, |byte, code| byte << 2 | code & 3);
        }),
    }
}

/// Reads elements of 8, 4 or 2 bits from `first` on, one into each byte; signs are extended.
pub(in crate::tensor) fn read(of: &Tensor, first: u64, out: &mut [u8]) -> Result<(), TensorError> {
    let bits = of.element.bits();
    if bits == 8 {
        return of.read(first, out);
    }
    if let Data::Recipe(recipe) = &of.data
        && let Recipe::Quantize { part: QuantizedPart::Codes, encoder } = recipe.as_ref()
    {
        return encoder.fill_unpacked(first, out);
    }
    let in_byte = u64::from(8 / bits.max(1));
    let (start, end) = (first / in_byte, (first + out.len() as u64).div_ceil(in_byte));
    let mut bytes = vec![0; usize::try_from(end - start).unwrap_or(usize::MAX)];
    of.read(start * in_byte, &mut bytes)?;
    let skipped = usize::try_from(first % in_byte).unwrap_or(0);
    let signed = matches!(of.element, ElementType::I4 | ElementType::I2);
    // Shifting the code to the top of the byte and back extends its sign.
    let code = |byte: u8, at: u32| {
        let top = byte << (8 - bits - at * bits);
        if signed { (top.cast_signed() >> (8 - bits)).cast_unsigned() } else { top >> (8 - bits) }
    };
    if skipped == 0 && bits == 4 {
        let (pairs, last) = out.as_chunks_mut::<2>();
        pairs.iter_mut().zip(&bytes).for_each(|(pair, byte)| *pair = [code(*byte, 0), code(*byte, 1)]);
        if let ([place], Some(byte)) = (last, bytes.get(pairs.len())) {
            *place = code(*byte, 0);
        }
        return Ok(());
    }
    let codes = bytes.iter().flat_map(|byte| (0..8 / bits).map(move |at| code(*byte, at)));
    out.iter_mut().zip(codes.skip(skipped)).for_each(|(place, code)| *place = code);
    Ok(())
}
