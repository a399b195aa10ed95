//! Disentangled attention, as in DeBERTa.

use super::{DotProduct, Linear, merge_heads, split_heads};
use crate::{Init, Var, signed};
use netwright_ir::{Op, Tensor};

/// Disentangled attention (He et al., 2021): scores of contents, and of contents and distances, which have vectors of
/// their own: `[batch, seq, d_model]` to the same.
///
/// ```
/// use netwright_nn::layers::{ContentProjections, DisentangledAttention, Distances, Linear, padding_mask};
/// use netwright_nn::{Builder, Init, Weights};
/// use netwright_ir::{ElementType, TensorType, shape};
/// let weights = Weights::Random { seed: 0 };
/// let builder = Builder::new("deberta", &weights);
/// let x = builder.input("x", TensorType::new(ElementType::F32, shape!["batch", "seq", 8]));
/// let attention_mask = builder.input("attention_mask", TensorType::new(ElementType::I64, shape!["batch", "seq"]));
/// let linear = |name: &str| Linear::new(name, 8, 8, true);
/// let distances = Distances { buckets: Some(4), longest: 16 };
/// let attention = DisentangledAttention {
///     name: "attention".to_owned(),
///     projections: ContentProjections::Separate([linear("q"), linear("k"), linear("v")]),
///     output: linear("o"),
///     distance_key: Some(linear("distance_key")),
///     distance_query: None,
///     heads: 2,
///     d_k: 4,
/// };
/// let vectors = builder.parameter("distances", &[distances.rows(), 8], Init::Xavier);
/// builder.output("y", attention.forward(x, vectors, distances.between(x), padding_mask(attention_mask)));
/// assert!(builder.finish().is_ok());
/// ```
#[derive(Clone, Debug)]
pub struct DisentangledAttention {
    /// The name.
    pub name: String,
    /// Query, key and value of contents.
    pub projections: ContentProjections,
    /// The output projection.
    pub output: Linear,
    /// The keys of distances, which queries of contents are compared with, if they are.
    pub distance_key: Option<Linear>,
    /// The queries of distances, which keys of contents are compared with, if they are.
    pub distance_query: Option<Linear>,
    /// The number of heads.
    pub heads: u64,
    /// The width of a head.
    pub d_k: u64,
}

/// The linear layers of queries, keys and values of contents.
#[derive(Clone, Debug)]
pub enum ContentProjections {
    /// Query, key and value.
    Separate([Linear; 3]),
    /// One layer: query, key and value for each head in turn. Biases of these names are added to queries and values.
    Packed(Linear, [String; 2]),
}

/// The distances between tokens that have vectors.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Distances {
    /// The number of vectors of each direction, an even number, with coarser ones for longer distances; `None` if every
    /// distance up to the longest has its own.
    pub buckets: Option<u64>,
    /// The longest distance.
    pub longest: u64,
}

impl Distances {
    /// Returns the number of vectors.
    pub fn rows(self) -> u64 {
        self.buckets.unwrap_or(self.longest).saturating_mul(2)
    }

    /// Returns the rows `[query, key]` of the vectors, for states `[batch, seq, ..]`.
    #[track_caller]
    pub fn between(self, x: Var<'_>) -> Var<'_> {
        let builder = x.builder;
        let furthest = signed(self.longest);
        let rows: Vec<i64> = (-furthest..=furthest).map(|distance| self.row(distance)).collect();
        let positions = x.size(1).range();
        let distance = positions.unsqueeze(&[1]) - positions.unsqueeze(&[0]);
        let at = distance.max(builder.index(-furthest)).min(builder.index(furthest)) + builder.index(furthest);
        builder.constant("rows", Tensor::indices(&rows)).gather(at).name("distances")
    }

    /// Returns the row of a query that is `distance` after the key.
    fn row(self, distance: i64) -> i64 {
        let half = signed(self.rows() / 2);
        let away = distance.abs();
        let bucket = match self.buckets.map(|buckets| signed(buckets / 2)) {
            Some(exact) if away > exact => {
                // Computed in f32, as in the training.
                let [away, exact_f32, furthest] = [away, exact, signed(self.longest) - 1].map(|number| number as f32);
                let coarse = (away / exact_f32).ln() / (furthest / exact_f32).ln() * (exact_f32 - 1.0);
                #[expect(clippy::cast_possible_truncation, reason = "whole numbers below twice the buckets")]
                let coarse = coarse.ceil() as i64;
                (coarse + exact) * distance.signum()
            }
            _ => distance,
        };
        (bucket + half).clamp(0, 2 * half - 1)
    }
}

impl DisentangledAttention {
    /// Applies the layer: `vectors` `[rows, d_model]` are those of distances, `rows` `[seq, seq]` selects one for each
    /// query and key, and the mask is added to the scores.
    #[track_caller]
    pub fn forward<'b>(&self, x: Var<'b>, vectors: Var<'b>, rows: Var<'b>, mask: Var<'b>) -> Var<'b> {
        let builder = x.builder;
        let _scope = builder.enter(&self.name);
        let split = |x: Var<'b>| split_heads(x, self.heads, self.d_k);
        let flip = |x: Var<'b>| x.transpose(&[0, 1, 3, 2]);
        let [query, key, value] = self.project(x);
        let (query, key) = (query.name("query"), key.name("key"));
        let shape = |x: Var<'b>, end| builder.apply(Op::Shape { start: 0, end }, &[x]);
        // Batch, heads, queries and keys.
        let sizes = shape(query, Some(2)).concat(shape(rows, None), 0);
        // The scores of contents with all distances, of which each pair of tokens has one.
        let select = |x: Var<'b>, distances: &Linear, rows: Var<'b>| {
            let distances = split(distances.forward(vectors.unsqueeze(&[0])));
            builder.apply(Op::GatherElements { axis: -1 }, &[x.matmul(flip(distances)), rows.expand(sizes)])
        };
        let by_key = self.distance_key.as_ref().map(|distances| select(query, distances, rows));
        let by_query = self.distance_query.as_ref();
        let by_query = by_query.map(|distances| flip(select(key, distances, rows.transpose(&[1, 0]))));
        let terms: Vec<Var<'b>> = [by_key, by_query].into_iter().flatten().collect();
        let scores = DotProduct::new(self.d_k.saturating_mul(1 + terms.len() as u64));
        // What distances add to the scores is added together with the mask: one sum, as attention operators take it.
        let bias = terms.into_iter().reduce(|a, b| a + b);
        let mask = bias.map_or(mask, |bias| bias * scores.scale + mask);
        let (context, _) = scores.attend(query, key, value, Some(mask));
        self.output.forward(merge_heads(context))
    }

    /// Returns queries, keys and values of contents, `[batch, heads, seq, d_k]`.
    #[track_caller]
    fn project<'b>(&self, x: Var<'b>) -> [Var<'b>; 3] {
        match &self.projections {
            ContentProjections::Separate(layers) => {
                layers.each_ref().map(|layer| split_heads(layer.forward(x), self.heads, self.d_k))
            }
            ContentProjections::Packed(layer, biases) => {
                let heads = split_heads(layer.forward(x), self.heads, self.d_k.saturating_mul(3));
                let [query, key, value] = heads.split(-1, [self.d_k; 3]);
                let bias = |at: usize| {
                    let width = self.heads.saturating_mul(self.d_k);
                    let bias = x.builder.parameter(&biases[at], &[width], Init::Zeros);
                    bias.reshape(&[self.heads, 1, self.d_k].map(signed))
                };
                [query + bias(0), key, value + bias(1)]
            }
        }
    }
}
