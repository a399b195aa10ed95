//! A short, stable hash of bytes.

/// Returns a short hash of bytes that is the same on every machine and in every version (FNV-1a, 64 bits).
///
/// It distinguishes texts and names; it does not withstand a deliberate search for collisions.
///
/// ```
/// assert_eq!(netwright_ir::fingerprint(*b"a"), 0xaf63_dc4c_8601_ec8c);
/// ```
pub fn fingerprint(bytes: impl IntoIterator<Item = u8>) -> u64 {
    let mix = |hash: u64, byte: u8| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
    bytes.into_iter().fold(0xcbf2_9ce4_8422_2325, mix)
}
