//! Layers: declarations that own names and sizes, not tensors.
//!
//! A layer is built once and may be applied in any number of graphs; its parameters are bound, by name, when it is
//! applied. Every `forward` takes values and returns a value.

mod attention;
mod cache;
mod convolution;
mod embedding;
mod feed_forward;
mod linear;
mod mask;
mod norm;
mod position;
mod relative;
mod rotary;

pub use attention::{
    DotProduct, MultiHeadAttention, Projections, merge_heads, repeat_heads, scaled_dot_product_attention, split_heads,
};
pub use cache::{Cache, Span, cache_type};
pub use convolution::Convolution;
pub use embedding::Embedding;
pub use feed_forward::{Activation, FeedForward};
pub use linear::Linear;
pub use mask::{MASKED, causal_mask, padding_mask};
pub use norm::{Norm, NormKind};
pub use position::{PositionalEncoding, Positions};
pub use relative::RelativeBias;
pub(crate) use rotary::inverse_frequencies;
pub use rotary::{Frequencies, Rotary};
