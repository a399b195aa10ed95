//! `Q5_K`: 256 elements in groups of 32; scales and minimums, then the fifth bits, then the others as in `Q4_K`. Bit `i`
//! of the 32 bytes of fifth bits belongs to group `i`.

use super::{Blocks, Kind, k};

pub(super) const BLOCKS: Blocks = Blocks { name: "Q5_K", elements: 256, bytes: 176, kind: Kind::Floats(decode) };

fn decode(raw: &[u8], out: &mut [f32]) {
    let (top, codes) = (&raw[16..48], raw[48..].as_chunks::<32>().0);
    for (at, (group, (scale, least))) in out.as_chunks_mut::<32>().0.iter_mut().zip(k::groups(raw)).enumerate() {
        for ((place, code), top) in group.iter_mut().zip(codes[at / 2]).zip(top) {
            let code = code >> (at % 2 * 4) & 15 | (top >> at & 1) << 4;
            *place = scale * f32::from(code) - least;
        }
    }
}
