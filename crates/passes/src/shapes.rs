//! Passes on sizes, indices and axes that are broadcast, repeated or reduced.

mod eliminate_shape_chains;
mod gather_repeated;
mod keep_reduced_axes;
mod narrow_broadcasts;
mod simplify_indexing;

pub use eliminate_shape_chains::eliminate_shape_chains;
pub use gather_repeated::gather_repeated;
pub use keep_reduced_axes::keep_reduced_axes;
pub use narrow_broadcasts::narrow_broadcasts;
pub use simplify_indexing::simplify_indexing;
