//! `Q4_1`: 32 elements; a scale and a minimum f16, then codes of 4 bits. The low halves of the bytes are the first 16.

use super::{Blocks, Kind, half};

pub(super) const BLOCKS: Blocks = Blocks { name: "Q4_1", elements: 32, bytes: 20, kind: Kind::Floats(decode) };

fn decode(raw: &[u8], out: &mut [f32]) {
    let (scale, least) = (half(raw), half(&raw[2..]));
    let (first, second) = out.split_at_mut(16);
    for ((code, low), high) in raw[4..].iter().zip(first).zip(second) {
        *low = f32::from(code & 15) * scale + least;
        *high = f32::from(code >> 4) * scale + least;
    }
}
