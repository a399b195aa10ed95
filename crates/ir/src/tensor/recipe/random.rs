//! Pseudo-random weights.

/// Fills `out` with uniform numbers from element `first` on. Elements `2i` and `2i + 1` of the sequence are the halves
/// of element `i` of SplitMix64 (Steele et al., 2014), which is a hash of `i`: elements can be drawn one by one and in
/// any order.
pub(super) fn random(seed: u64, bound: f32, first: u64, out: &mut [u8]) {
    const STEP: u64 = 0x9e37_79b9_7f4a_7c15;
    // Similar seeds must not give sequences that are shifts of one another.
    let start = mix(mix(seed).wrapping_add(STEP));
    let pair = |at: u64| mix(start.wrapping_add(at.wrapping_mul(STEP)));
    // An f32 holds every signed 24-bit integer exactly.
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

/// The finalizer of SplitMix64: a bijection of 64 bits with good avalanche.
fn mix(x: u64) -> u64 {
    let x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    x ^ (x >> 31)
}
