//! What the formats with groups in their blocks share.

use super::half;

/// Returns the scale and the minimum of each of the 8 groups of `Q4_K` and `Q5_K`: an f16 times a number of 6 bits.
///
/// `raw` begins with both f16, followed by 12 bytes: the low 6 bits of the first 4 are scales and those of the next 4
/// minimums; the last 4 have the low halves of the other scales and minimums, whose upper 2 bits are in the first 8.
pub(super) fn groups(raw: &[u8]) -> [(f32, f32); 8] {
    let (scale, least, packed) = (half(raw), half(&raw[2..]), &raw[4..16]);
    std::array::from_fn(|at| {
        let (own_scale, own_least) = if at < 4 {
            (packed[at] & 63, packed[at + 4] & 63)
        } else {
            (packed[at + 4] & 15 | packed[at - 4] >> 6 << 4, packed[at + 4] >> 4 | packed[at] >> 6 << 4)
        };
        (scale * f32::from(own_scale), least * f32::from(own_least))
    })
}
