//! Rotary positions.

use crate::{Var, signed};
use netwright_ir::{ElementType, Op, Tensor};

/// Rotary positions (Su et al., 2021): rotates the two halves of a query or key by the position times a frequency.
///
/// ```
/// use netwright_ir::{ElementType, TensorType, shape};
/// use netwright_nn::layers::Rotary;
/// use netwright_nn::{Builder, Weights};
/// let weights = Weights::Random { seed: 0 };
/// let builder = Builder::new("rotary", &weights);
/// let positions = builder.input("position_ids", TensorType::new(ElementType::I64, shape!["batch", "seq"]));
/// let query = builder.input("query", TensorType::new(ElementType::F32, shape!["batch", 4, "seq", 16]));
/// // Pairs of neighbors in the first half of each head are rotated, as in GPT-J.
/// let rotary = Rotary { is_interleaved: true, ..Rotary::new(8, 10_000.0) };
/// builder.output("turned", rotary.rotate(query, rotary.tables(positions), 16));
/// assert_eq!(builder.finish()?.outputs().len(), 1);
/// # Ok::<(), netwright_nn::BuildErrors>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct Rotary {
    /// The number of rotated elements of a head, from its first on; twice the number of frequencies.
    pub width: u64,
    /// The frequencies.
    pub frequencies: Frequencies,
    /// The scale of sines and cosines, which sharpens attention over long texts.
    pub attention_factor: f32,
    /// Whether each element is rotated with its neighbor, instead of one of the other half (GPT-J, Cohere).
    pub is_interleaved: bool,
}

/// The frequencies of rotary positions, and how they change for long texts.
#[derive(Clone, Debug, PartialEq)]
pub enum Frequencies {
    /// The same for all lengths.
    Fixed(Vec<f32>),
    /// Different frequencies for texts up to and beyond a length (LongRoPE).
    ByLength {
        /// The frequencies up to the length.
        short: Vec<f32>,
        /// The frequencies beyond it.
        long: Vec<f32>,
        /// The length.
        longest: u64,
    },
    /// Frequencies of a base that grows with lengths beyond the training length (dynamic NTK).
    Dynamic {
        /// The base.
        theta: f64,
        /// The ratio of the supported length to the training length.
        factor: f64,
        /// The training length.
        longest: u64,
    },
}

impl Rotary {
    /// Returns the frequencies of a base for heads of a width: `theta^(-2i / width)`.
    pub fn new(width: u64, theta: f64) -> Self {
        let frequencies = Frequencies::Fixed(inverse_frequencies(width, theta));
        Self { width, frequencies, attention_factor: 1.0, is_interleaved: false }
    }

    /// Returns cosines and sines, each `[batch, 1, seq, width]`, or `[batch, 1, seq, width / 2]` if they are
    /// interleaved, of positions `[batch, seq]`.
    #[track_caller]
    pub fn tables<'b>(&self, position_ids: Var<'b>) -> (Var<'b>, Var<'b>) {
        let _scope = position_ids.builder.enter("rotary_emb");
        let angles = position_ids.cast(ElementType::F32).unsqueeze(&[1, 3]) * self.frequencies(position_ids);
        let angles = if self.is_interleaved { angles } else { angles.concat(angles, -1) };
        let table = |x: Var<'b>| {
            let x = if self.attention_factor == 1.0 { x } else { x * self.attention_factor };
            x.cast_like_parameters()
        };
        (table(angles.cos()).name("cos"), table(angles.sin()).name("sin"))
    }

    /// Returns the frequencies `[1, 1, 1, width / 2]`.
    #[track_caller]
    fn frequencies<'b>(&self, position_ids: Var<'b>) -> Var<'b> {
        let builder = position_ids.builder;
        let row = |name: &str, values: &[f32]| builder.floats(name, &[1, 1, 1, values.len() as u64], values);
        let scalar = |name: &str, value: f32| builder.floats(name, &[], &[value]);
        // The number of tokens is the last position plus 1.
        let length = || {
            let axes = builder.constant("axes", Tensor::indices(&[0, 1]));
            let op = Op::ReduceMax { keepdims: false, noop_with_empty_axes: false };
            builder.apply(op, &[position_ids, axes]).cast(ElementType::F32) + 1.0
        };
        match &self.frequencies {
            Frequencies::Fixed(values) => row("frequencies", values),
            Frequencies::ByLength { short, long, longest } => {
                let is_long = builder.apply(Op::Greater, &[length(), scalar("longest", *longest as f32)]);
                row("long", long).where_else(is_long, row("short", short))
            }
            Frequencies::Dynamic { theta, factor, longest } => {
                #[expect(clippy::cast_possible_truncation, reason = "frequencies are computed in f32")]
                let (theta, factor) = (*theta as f32, *factor as f32);
                let longest = *longest as f32;
                let exponent = self.width as f32 / (self.width as f32 - 2.0);
                let length = length().max(scalar("longest", longest));
                let growth = (length * (factor / longest) - (factor - 1.0)).pow(scalar("exponent", exponent));
                let powers: Vec<f32> = (0..self.width / 2).map(|at| -(2.0 * at as f32) / self.width as f32).collect();
                (growth * theta).pow(row("powers", &powers))
            }
        }
    }

    /// Rotates a query or key `[batch, heads, seq, d_k]`.
    #[track_caller]
    pub fn rotate<'b>(&self, x: Var<'b>, (cos, sin): (Var<'b>, Var<'b>), d_k: u64) -> Var<'b> {
        let width = signed(self.width);
        let turn = |x: Var<'b>| {
            if self.is_interleaved {
                let pairs = x.reshape(&[0, 0, 0, width / 2, 2]).split(-1, [1, 1]);
                let [cos, sin] = [cos, sin].map(|table| table.unsqueeze(&[-1]));
                let [first, second] = pairs;
                let turned = (first * cos - second * sin).concat(first * sin + second * cos, -1);
                return turned.reshape(&[0, 0, 0, width]);
            }
            let (first, second) = (x.slice(-1, 0, width / 2), x.slice(-1, width / 2, i64::MAX));
            x * cos + (-second).concat(first, -1) * sin
        };
        if self.width == d_k {
            return turn(x);
        }
        turn(x.slice(-1, 0, width)).concat(x.slice(-1, width, i64::MAX), -1)
    }
}

/// Computes `theta^(-2i / width)` in `f32`, as PyTorch does.
pub(crate) fn inverse_frequencies(width: u64, theta: f64) -> Vec<f32> {
    #[expect(clippy::cast_possible_truncation, reason = "frequencies are computed in f32")]
    let theta = theta as f32;
    (0..width / 2).map(|at| 1.0 / theta.powf(2.0 * at as f32 / width as f32)).collect()
}
