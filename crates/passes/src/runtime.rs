//! Passes for one runtime: to and from operators of ONNX Runtime's own domain, and forms that it computes faster.

pub(crate) mod contrib;
mod copy_tied_weight;
mod fuse_bias_gelu;
mod pack_projections;
mod separate_merged_heads;
pub(crate) mod shared_cache;
mod standardize_contrib_operators;
mod sum_residuals;
mod use_contrib_rotary;
mod use_fused_matmul;
mod use_quick_gelu;

pub use copy_tied_weight::copy_tied_weight;
pub use fuse_bias_gelu::fuse_bias_gelu;
pub use pack_projections::pack_projections;
pub use separate_merged_heads::separate_merged_heads;
pub use standardize_contrib_operators::standardize_contrib_operators;
pub use sum_residuals::sum_residuals;
pub use use_contrib_rotary::use_contrib_rotary;
pub use use_fused_matmul::use_fused_matmul;
pub(crate) use use_quick_gelu::ONLY_F32;
pub use use_quick_gelu::use_quick_gelu;
