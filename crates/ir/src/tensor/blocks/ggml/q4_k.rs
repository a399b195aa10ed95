//! `Q4_K`: 256 elements in groups of 32; scales and minimums, then codes of 4 bits. Two groups share 32 bytes: the first
//! has the low halves.

use super::{Blocks, Kind, k};

pub(super) const BLOCKS: Blocks = Blocks { name: "Q4_K", elements: 256, bytes: 144, kind: Kind::Floats(decode) };

fn decode(raw: &[u8], out: &mut [f32]) {
    let codes = raw[16..].as_chunks::<32>().0;
    for (at, (group, (scale, least))) in out.as_chunks_mut::<32>().0.iter_mut().zip(k::groups(raw)).enumerate() {
        for (place, code) in group.iter_mut().zip(codes[at / 2]) {
            *place = scale * f32::from(code >> (at % 2 * 4) & 15) - least;
        }
    }
}
