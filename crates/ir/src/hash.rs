//! Maps and sets with a fast hash.
//!
//! The hash is seeded anew in every process, so the order of iteration must not reach an output.

use foldhash::fast::RandomState;

/// A map with a fast hash.
pub type HashMap<K, V> = std::collections::HashMap<K, V, RandomState>;

/// A set with a fast hash.
pub type HashSet<T> = std::collections::HashSet<T, RandomState>;
