//! The passes, a file each.

mod canonicalize;
mod decompose_gelu;
mod decompose_rms_normalization;
mod eliminate_common_subexpressions;
mod eliminate_dead_code;
mod evaluate_constants;
mod fold_constants;
mod fold_scale_into_projection;
mod fuse_scale_softmax;
mod inline_known_branches;
mod lower_scaled_softmax;
mod resolve_sequences;
mod sink_constants;

pub use canonicalize::canonicalize;
pub use decompose_gelu::decompose_gelu;
pub use decompose_rms_normalization::decompose_rms_normalization;
pub use eliminate_common_subexpressions::eliminate_common_subexpressions;
pub use eliminate_dead_code::eliminate_dead_code;
pub use evaluate_constants::evaluate_constants;
pub use fold_constants::fold_constants;
pub use fold_scale_into_projection::fold_scale_into_projection;
pub use fuse_scale_softmax::fuse_scale_softmax;
pub use inline_known_branches::inline_known_branches;
pub use lower_scaled_softmax::lower_scaled_softmax;
pub use resolve_sequences::resolve_sequences;
pub use sink_constants::sink_constants;
