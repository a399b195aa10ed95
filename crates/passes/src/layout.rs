//! Passes that move transposes, reshapes and slices, or remove them.

mod cancel_transposes;
mod lift_transposes;
mod merge_slices;
mod sink_transposes;
mod slice_packed_axis;
mod split_axes_before_transposing;
mod split_merged_heads;
mod unflatten_gemm;

pub use cancel_transposes::cancel_transposes;
pub use lift_transposes::lift_transposes;
pub use merge_slices::merge_slices;
pub use sink_transposes::sink_transposes;
pub use slice_packed_axis::slice_packed_axis;
pub use split_axes_before_transposing::split_axes_before_transposing;
pub use split_merged_heads::split_merged_heads;
pub use unflatten_gemm::unflatten_gemm;
