//! Attention with linear biases (ALiBi).

use crate::Var;
use netwright_ir::ElementType;

/// Linear biases (Press et al., 2022): the distance between query and key, times a slope of the head, is subtracted from
/// each score.
///
/// ```
/// use netwright_ir::{ElementType, TensorType, shape};
/// use netwright_nn::layers::{Alibi, DotProduct, causal_mask};
/// use netwright_nn::{Builder, Weights};
/// assert_eq!(Alibi::new(2).slopes, [0.0625, 0.00390625]);
/// let weights = Weights::Random { seed: 0 };
/// let builder = Builder::new("alibi", &weights);
/// let x = builder.input("x", TensorType::new(ElementType::F32, shape!["batch", 2, "seq", 8]));
/// let positions = builder.input("position_ids", TensorType::new(ElementType::I64, shape!["batch", "seq"]));
/// let mask = causal_mask(positions) + Alibi::new(2).forward(positions, positions);
/// builder.output("y", DotProduct::new(8).attend(x, x, x, Some(mask)).0);
/// assert_eq!(builder.finish()?.outputs().len(), 1);
/// # Ok::<(), netwright_nn::BuildErrors>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct Alibi {
    /// The slope of each head.
    pub slopes: Vec<f32>,
}

impl Alibi {
    /// Returns the slopes of the paper, `2^(-8 i / heads)` for the heads from 1 on. If the number of heads is not a power
    /// of two, the first slopes are those of the next lower power, and the others every second one of the next higher.
    pub fn new(heads: u64) -> Self {
        let slopes = |heads: u64| (1..=heads).map(move |at| (-8.0 * at as f64 / heads as f64).exp2());
        let lower = if heads == 0 { 0 } else { 1 << heads.ilog2() };
        let others = slopes(2 * lower).step_by(2);
        let count = usize::try_from(heads).unwrap_or(usize::MAX);
        #[expect(clippy::cast_possible_truncation, reason = "the slopes are applied in f32")]
        let slopes = slopes(lower).chain(others).take(count).map(|slope| slope as f32).collect();
        Self { slopes }
    }

    /// Returns the biases `[batch, heads, query, key]` of positions `[batch, query]` and `[batch, key]`, which are added
    /// to the scores.
    #[track_caller]
    pub fn forward<'b>(&self, queries: Var<'b>, keys: Var<'b>) -> Var<'b> {
        let builder = queries.builder;
        let _scope = builder.enter("alibi");
        let [queries, keys] = [queries.unsqueeze(&[1, 3]), keys.unsqueeze(&[1, 2])];
        let distance = queries.cast(ElementType::F32) - keys.cast(ElementType::F32);
        let slopes: Vec<f32> = self.slopes.iter().map(|slope| -slope).collect();
        let slopes = builder.floats("slopes", &[1, slopes.len() as u64, 1, 1], &slopes);
        (distance.max(-distance) * slopes).cast_like_parameters()
    }
}
