//! Analyses of the graph that several passes share.

pub(crate) mod chain;
pub(crate) mod heads;
pub(crate) mod masks;
pub(crate) mod normalized;
pub(crate) mod numbers;
pub(crate) mod polynomial;
pub(crate) mod positions;
pub(crate) mod products;
pub(crate) mod rows;
pub(crate) mod sizes;
pub(crate) mod thresholds;
pub(crate) mod transposes;
