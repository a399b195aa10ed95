//! `Q6_K`: 256 elements in groups of 16; the low 4 bits of the codes, then the upper 2, then scales of 8 bits and their
//! factor f16. Codes are stored plus 32.
//!
//! Of each 128 elements, runs of 32 have their low bits in 64 bytes (the first two runs in the low halves) and their
//! upper bits in 32 bytes, two bits for each run.

use super::{Blocks, Kind, half};

pub(super) const BLOCKS: Blocks = Blocks { name: "Q6_K", elements: 256, bytes: 210, kind: Kind::Floats(decode) };

fn decode(raw: &[u8], out: &mut [f32]) {
    let (low, top, scales, factor) = (&raw[..128], &raw[128..192], &raw[192..208], half(&raw[208..]));
    for (at, (group, scale)) in out.as_chunks_mut::<16>().0.iter_mut().zip(scales).enumerate() {
        // Of 8 groups in 128 elements, two are a run.
        let (part, run, start) = (at / 8, at % 8 / 2, at % 2 * 16);
        let scale = factor * f32::from(scale.cast_signed());
        let low = &low[part * 64 + run % 2 * 32 + start..];
        let top = &top[part * 32 + start..];
        for ((place, low), top) in group.iter_mut().zip(low).zip(top) {
            let code = low >> (run / 2 * 4) & 15 | (top >> (run * 2) & 3) << 4;
            *place = scale * (f32::from(code) - 32.0);
        }
    }
}
