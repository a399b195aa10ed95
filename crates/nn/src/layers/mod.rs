//! Layers: declarations with names and sizes, without tensors.
//!
//! A layer can be applied in any number of graphs; its parameters are bound by name when it is applied. Every `forward`
//! takes values and returns a value.

mod alibi;
mod attention;
mod cache;
mod convolution;
mod disentangled;
mod embedding;
mod feed_forward;
mod linear;
mod mask;
mod norm;
mod position;
mod relative;
mod rotary;

pub use alibi::Alibi;
pub use attention::{
    DotProduct, MultiHeadAttention, Projections, merge_heads, repeat_heads, scaled_dot_product_attention, split_heads,
};
pub use cache::{Cache, CacheForm, CacheWrite, Span, cache_type};
pub use convolution::Convolution;
pub use disentangled::{ContentProjections, DisentangledAttention, Distances};
pub use embedding::Embedding;
pub use feed_forward::{Activation, FeedForward};
pub use linear::Linear;
pub use mask::{MASKED, causal_mask, local_mask, padding_mask};
pub use norm::{Norm, NormKind};
pub use position::{PositionalEncoding, Positions};
pub use relative::RelativeBias;
pub(crate) use rotary::inverse_frequencies;
pub use rotary::{Frequencies, Rotary};

use crate::{Var, signed};
use netwright_ir::Dim;

/// Checks the input of a layer: floats whose last axis has `width` elements.
///
/// # Errors
/// Returns the result of an error, after recording the error at the caller's line.
#[track_caller]
fn expect_features<'b>(layer: &str, x: Var<'b>, width: u64) -> Result<(), Var<'b>> {
    let Some(ty) = x.ty() else { return Ok(()) };
    let last = ty.shape.as_ref().and_then(|shape| shape.last()).and_then(Dim::known);
    let help = if !ty.element.is_float() {
        format!("`{layer}` computes with floats: look ids up in an Embedding first, or cast the value")
    } else if last.is_some_and(|last| last != signed(width)) {
        format!("declare `{layer}` for the width of this input, or pass another value")
    } else {
        return Ok(());
    };
    let what = format!("the layer {layer} takes floats [.., {width}], but its input is {ty}");
    Err(x.builder.error(what, Some(help)))
}
