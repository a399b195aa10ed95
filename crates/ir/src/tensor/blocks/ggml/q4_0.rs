//! `Q4_0`: 32 elements; a scale f16, then codes of 4 bits plus 8. The low halves of the bytes are the first 16 codes.

use super::{Blocks, Kind};

pub(super) const BLOCKS: Blocks =
    Blocks { name: "Q4_0", elements: 32, bytes: 18, kind: Kind::Codes { bits: 4, codes: pack } };

/// Puts neighboring codes in one byte, without the 8.
fn pack(codes: &[u8], out: &mut [u8]) {
    let (first, second) = out.split_at_mut(8);
    for ((pair, low), high) in codes.as_chunks::<2>().0.iter().zip(first).zip(second) {
        *low = (pair[0] & 15 | pair[1] << 4) ^ 0x88;
        *high = (pair[0] >> 4 | pair[1] & 0xf0) ^ 0x88;
    }
}
