//! `Q8_0`: 32 elements; a scale f16, then codes of 8 bits.

use super::{Blocks, Kind};

pub(super) const BLOCKS: Blocks = Blocks {
    name: "Q8_0",
    elements: 32,
    bytes: 34,
    kind: Kind::Codes { bits: 8, codes: |codes, out| out.copy_from_slice(codes) },
};
