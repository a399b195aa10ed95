//! Masks that are added to attention scores: 0 for visible positions, [`MASKED`] for hidden ones.

use crate::{Var, signed};
use netwright_ir::ElementType;

/// The value that is added to the score of a hidden position.
///
/// The weight is then exactly 0 (`e^-10000` is 0 in `f32`), unless all positions of a row are hidden. The value is
/// finite and within `f16`, because tract returns NaN for rows of minus infinity.
pub const MASKED: f32 = -1e4;

/// Hides padding: `attention_mask` `[batch, key]`, 1 for tokens and 0 for padding, to `[batch, 1, 1, key]`.
#[track_caller]
pub fn padding_mask(attention_mask: Var<'_>) -> Var<'_> {
    let builder = attention_mask.builder;
    let is_token = attention_mask.cast(ElementType::Bool).unsqueeze(&[1, 2]);
    builder.scalar("seen", 0.0).where_else(is_token, builder.scalar("masked", MASKED)).name("padding_mask")
}

/// Hides later tokens: ids `[batch, seq]` to `[seq, seq]`, masked above the diagonal.
#[track_caller]
pub fn causal_mask(ids: Var<'_>) -> Var<'_> {
    square_mask(ids.size(1), None).name("causal_mask")
}

/// Hides tokens that are more than `radius` tokens away (local attention): ids `[batch, seq]` to `[seq, seq]`.
///
/// ```
/// use netwright_nn::layers::{DotProduct, local_mask, padding_mask};
/// use netwright_nn::{Builder, Weights};
/// use netwright_ir::{ElementType, TensorType, shape};
/// let weights = Weights::Random { seed: 0 };
/// let builder = Builder::new("local", &weights);
/// let x = builder.input("x", TensorType::new(ElementType::F32, shape!["batch", 2, "seq", 8]));
/// let attention_mask = builder.input("attention_mask", TensorType::new(ElementType::I64, shape!["batch", "seq"]));
/// let mask = padding_mask(attention_mask) + local_mask(attention_mask, 64);
/// builder.output("y", DotProduct::new(8).attend(x, x, x, Some(mask)).0);
/// assert!(builder.finish().is_ok());
/// ```
#[track_caller]
pub fn local_mask(ids: Var<'_>, radius: u64) -> Var<'_> {
    let all = all_masked(ids.size(1));
    let beyond = signed(radius.saturating_add(1));
    let later = all.triangle(true, ids.builder.index(beyond));
    (later + all.triangle(false, ids.builder.index(-beyond))).name("local_mask")
}

/// Returns a matrix `[seq, seq]` in which everything is hidden.
#[track_caller]
fn all_masked(seq: Var<'_>) -> Var<'_> {
    seq.builder.scalar("masked", MASKED).expand(seq.concat(seq, 0))
}

/// Hides later tokens, and those at least `window` tokens earlier: `[seq, seq]`. It uses triangles, which every runtime
/// supports for symbolic lengths.
#[track_caller]
pub(super) fn square_mask(seq: Var<'_>, window: Option<u64>) -> Var<'_> {
    let builder = seq.builder;
    let all = all_masked(seq);
    let later = all.triangle(true, builder.index(1));
    match window {
        Some(window) => later + all.triangle(false, builder.index(-signed(window))),
        None => later,
    }
}
