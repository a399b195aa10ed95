//! Passes that decompose an operator into simpler ones.

mod decompose_attention;
mod decompose_gelu;
mod decompose_layer_normalization;
mod decompose_partial_shape;
mod decompose_rms_normalization;
mod decompose_rotary_embedding;
mod decompose_swish;
pub(crate) mod lower_scaled_softmax;

pub use decompose_attention::decompose_attention;
pub use decompose_gelu::decompose_gelu;
pub use decompose_layer_normalization::decompose_layer_normalization;
pub use decompose_partial_shape::decompose_partial_shape;
pub use decompose_rms_normalization::decompose_rms_normalization;
pub use decompose_rotary_embedding::decompose_rotary_embedding;
pub use decompose_swish::decompose_swish;
pub use lower_scaled_softmax::lower_scaled_softmax;
