//! Passes that fuse several operators into one, or fold more of them into it.

mod fold_cache_into_attention;
mod fold_heads_into_attention;
mod fold_repeated_heads;
mod fuse_attention;
mod fuse_gelu;
mod fuse_layer_normalization;
mod fuse_rms_normalization;
mod fuse_rotary_embedding;
mod fuse_scale_softmax;
mod fuse_swish;
mod sink_heads_through_rotary;

pub use fold_cache_into_attention::fold_cache_into_attention;
pub use fold_heads_into_attention::fold_heads_into_attention;
pub use fold_repeated_heads::fold_repeated_heads;
pub use fuse_attention::fuse_attention;
pub use fuse_gelu::fuse_gelu;
pub use fuse_layer_normalization::fuse_layer_normalization;
pub use fuse_rms_normalization::fuse_rms_normalization;
pub use fuse_rotary_embedding::fuse_rotary_embedding;
pub use fuse_scale_softmax::fuse_scale_softmax;
pub use fuse_swish::fuse_swish;
pub use sink_heads_through_rotary::sink_heads_through_rotary;
