//! The layers of variants of Llama.

use super::super::causal::times;
use super::{Feed, HeadNorms, Kind, LayerKind, Layout, Sizes};
use crate::layers::{
    Activation, Cache, DotProduct, Embedding, FeedForward, Linear, Norm, NormKind, Rotary, merge_heads, repeat_heads,
    split_heads,
};
use crate::{Var, signed};

/// Embeddings, layers and norms.
#[derive(Debug)]
pub(super) struct Stack {
    pub(super) words: Embedding,
    factor: f32,
    positions: Option<Embedding>,
    words_norm: Option<Norm>,
    rotaries: Vec<Rotary>,
    pub(super) layers: Vec<Layer>,
    norm: Option<Norm>,
    pub(super) kv_heads: u64,
    pub(super) d_k: u64,
}

impl Stack {
    /// Creates the layers from the prefix of their names.
    pub(super) fn new(kind: &Kind, base: &str, vocab: u64) -> Self {
        let &Kind { sizes: Sizes { d_model, kv_heads, d_k, .. }, names, norm, epsilon, .. } = kind;
        let layer =
            |(at, layer): (usize, &LayerKind)| Layer::new(kind, *layer, at, &format!("{base}{}.{at}", names.layers));
        let norm = |part: &str| Norm::new(format!("{base}{part}"), norm, d_model, epsilon);
        Self {
            words: Embedding::new(format!("{base}{}", names.words), vocab, d_model, kind.scales_words),
            factor: kind.embedding_factor,
            positions: kind.positions.map(|(part, rows)| Embedding::new(format!("{base}{part}"), rows, d_model, false)),
            words_norm: names.words_norm.map(norm),
            rotaries: kind.rotaries.clone(),
            layers: kind.layers.iter().enumerate().map(layer).collect(),
            norm: names.norm.map(norm),
            kv_heads,
            d_k,
        }
    }

    /// Returns the window of each layer.
    pub(super) fn windows(&self) -> Vec<Option<u64>> {
        self.layers.iter().map(|layer| layer.kind.window).collect()
    }

    /// Applies the layers to the embeddings `[batch, seq, d_model]` of tokens at positions `[batch, seq]`; `mask`
    /// returns that of a window, which is added to the scores.
    #[track_caller]
    pub(super) fn forward<'b>(
        &self,
        words: Var<'b>,
        positions: Var<'b>,
        cache: &Cache<'b>,
        mask: impl Fn(Option<u64>) -> Var<'b>,
    ) -> Var<'b> {
        let x = times(words, self.factor);
        let x = self.positions.as_ref().map_or(x, |table| x + table.forward(positions));
        let mut x = self.words_norm.as_ref().map_or(x, |norm| norm.forward(x));
        let used = |at: usize| self.layers.iter().any(|layer| layer.kind.rotary == Some(at));
        let table = |(at, rotary): (usize, &Rotary)| used(at).then(|| rotary.tables(positions));
        let tables: Vec<_> = self.rotaries.iter().enumerate().map(table).collect();
        let mut masks: Vec<(Option<u64>, Var<'b>)> = vec![];
        for layer in &self.layers {
            let window = layer.kind.window;
            let known = masks.iter().find(|(other, _)| *other == window).map(|(_, mask)| *mask);
            let own = known.unwrap_or_else(|| mask(window));
            if known.is_none() {
                masks.push((window, own));
            }
            let rotary = layer.kind.rotary.and_then(|at| Some((&self.rotaries[at], tables[at]?)));
            x = layer.forward(x, cache, rotary, own);
        }
        self.norm.as_ref().map_or(x, |norm| norm.forward(x))
    }
}

#[derive(Debug)]
pub(super) struct Layer {
    scope: String,
    entry: String,
    kind: LayerKind,
    attention: Attention,
    attention_norm: Option<Norm>,
    /// The norm after the attention, before the residual sum.
    attended_norm: Option<Norm>,
    mlp: Mlp,
    mlp_norm: Option<Norm>,
    /// The norm after the feed-forward network, before the residual sum.
    fed_norm: Option<Norm>,
    is_parallel: bool,
    /// Whether the norms after the blocks come after the residual sums.
    norms_sums: bool,
    factor: f32,
}

#[derive(Debug)]
struct Attention {
    projections: Projections,
    output: Linear,
    /// The norms of queries and keys, and whether they are over all heads together.
    norms: Option<([Norm; 2], bool)>,
    clip: Option<f32>,
    heads: u64,
    kv_heads: u64,
    d_k: u64,
    scores: DotProduct,
}

#[derive(Debug)]
enum Projections {
    Separate([Linear; 3]),
    Packed(Linear),
    Grouped(Linear),
}

#[derive(Debug)]
enum Mlp {
    Layers(FeedForward),
    Packed { both: Linear, is_gate_first: bool, down: Linear, d_ff: u64, activation: Activation },
}

impl Layer {
    fn new(kind: &Kind, layer: LayerKind, at: usize, name: &str) -> Self {
        let &Kind { sizes: Sizes { d_model, heads, kv_heads, d_k, d_ff, .. }, activation, epsilon, .. } = kind;
        let linear = |part: &str, inputs, outputs, bias| Linear::new(format!("{name}.{part}"), inputs, outputs, bias);
        let scope = format!("{name}.{}", kind.names.attention);
        let projection = |part: &str, outputs, bias| Linear::new(format!("{scope}.{part}"), d_model, outputs, bias);
        let (queries, keys) = (heads * d_k, kv_heads * d_k);
        let [q_bias, k_bias, v_bias, o_bias] = kind.bias;
        let projections = match kind.layout {
            Layout::Separate([query, key, value]) => Projections::Separate([
                projection(query, queries, q_bias),
                projection(key, keys, k_bias),
                projection(value, keys, v_bias),
            ]),
            Layout::Packed(part) => Projections::Packed(projection(part, queries + 2 * keys, q_bias)),
            Layout::Grouped(part) => Projections::Grouped(projection(part, queries + 2 * keys, q_bias)),
        };
        let head_norms = |norm: NormKind, names: [&str; 2], widths: [u64; 2]| {
            [0, 1].map(|at| Norm::new(format!("{scope}.{}", names[at]), norm, widths[at], epsilon))
        };
        let norms = kind.head_norms.map(|norms| match norms {
            HeadNorms::Shared(norm, names) => (head_norms(norm, names, [d_k; 2]), false),
            HeadNorms::Whole(norm, names) => (head_norms(norm, names, [queries, keys]), true),
            HeadNorms::ByHead(norm, names) => {
                let [query, key] = head_norms(norm, names, [d_k; 2]);
                ([query.by_head(heads), key.by_head(kv_heads)], false)
            }
        });
        let plain = |up: Linear, down: Linear, gate| {
            Mlp::Layers(FeedForward::with_layers(format!("{name}.mlp"), activation, up, down, gate))
        };
        let [inner_bias, down_bias] = kind.mlp_bias;
        let inner = |part: &str, outputs| linear(part, d_model, outputs, inner_bias);
        let down = |part: &str| linear(part, d_ff, d_model, down_bias);
        let mlp = match kind.feed {
            Feed::Gated([gate, up, last]) => plain(inner(up, d_ff), down(last), Some(inner(gate, d_ff))),
            Feed::GateUp([both, last]) | Feed::UpGate([both, last]) => Mlp::Packed {
                both: inner(both, 2 * d_ff),
                is_gate_first: matches!(kind.feed, Feed::GateUp(_)),
                down: down(last),
                d_ff,
                activation,
            },
            Feed::Plain([up, last]) => plain(inner(up, d_ff), down(last), None),
        };
        let [attention_norm, attended_norm, mlp_norm, fed_norm] =
            kind.norms.map(|part| part.map(|part| Norm::new(format!("{name}.{part}"), kind.norm, d_model, epsilon)));
        let attention_norm = attention_norm.filter(|_| at > 0 || kind.has_first_norm);
        let output = linear(kind.names.output, queries, d_model, o_bias);
        let (clip, scores) = (kind.clip, kind.scores);
        Self {
            entry: at.to_string(),
            kind: layer,
            attention: Attention { projections, output, norms, clip, heads, kv_heads, d_k, scores },
            attention_norm,
            attended_norm,
            mlp,
            mlp_norm,
            fed_norm,
            is_parallel: kind.is_parallel,
            norms_sums: kind.norms_sums,
            factor: kind.residual_factor,
            scope,
        }
    }

    #[track_caller]
    fn forward<'b>(
        &self,
        x: Var<'b>,
        cache: &Cache<'b>,
        rotary: Option<(&Rotary, (Var<'b>, Var<'b>))>,
        mask: Var<'b>,
    ) -> Var<'b> {
        let norm = |norm: &Option<Norm>, x: Var<'b>| norm.as_ref().map_or(x, |norm| norm.forward(x));
        let normed = norm(&self.attention_norm, x);
        let _scope = x.builder.enter(&self.scope);
        let attended = self.attention.forward(normed, cache, &self.entry, rotary, mask);
        let add = |x: Var<'b>, block: Var<'b>, own: &Option<Norm>| {
            if self.norms_sums { norm(own, x + block) } else { x + times(norm(own, block), self.factor) }
        };
        let attended = add(x, attended, &self.attended_norm);
        let source = match (self.is_parallel, &self.mlp_norm) {
            (true, None) => normed,
            (true, Some(norm)) => norm.forward(x),
            (false, own) => norm(own, attended),
        };
        add(attended, self.mlp.forward(source), &self.fed_norm)
    }
}

impl Attention {
    #[track_caller]
    fn forward<'b>(
        &self,
        x: Var<'b>,
        cache: &Cache<'b>,
        entry: &str,
        rotary: Option<(&Rotary, (Var<'b>, Var<'b>))>,
        mask: Var<'b>,
    ) -> Var<'b> {
        let [query, key, value] = self.project(x);
        let turn = |x: Var<'b>| rotary.map_or(x, |(rotary, turned)| rotary.rotate(x, turned, self.d_k));
        let (query, key) = (turn(query), turn(key));
        let (key, value) = cache.extend(entry, key, value);
        let [key, value] = [key, value].map(|x| repeat_heads(x, self.kv_heads, self.heads / self.kv_heads, self.d_k));
        let (context, _) = self.scores.attend(query, key, value, Some(mask));
        self.output.forward(merge_heads(context))
    }

    /// Returns queries, keys and values, `[batch, heads, seq, d_k]`.
    #[track_caller]
    fn project<'b>(&self, x: Var<'b>) -> [Var<'b>; 3] {
        let (queries, keys) = (self.heads * self.d_k, self.kv_heads * self.d_k);
        let projected = match &self.projections {
            Projections::Separate(layers) => layers.each_ref().map(|layer| layer.forward(x)),
            Projections::Packed(layer) => layer.forward(x).split(-1, [queries, keys, keys]),
            Projections::Grouped(layer) => {
                let group = self.heads / self.kv_heads;
                let sizes = [0, 0, self.kv_heads, group + 2, self.d_k].map(signed);
                layer.forward(x).reshape(&sizes).split(3, [group, 1, 1]).map(|part| part.reshape(&[0, 0, -1]))
            }
        };
        let clip = |x: Var<'b>| match self.clip {
            Some(most) => x.max(x.builder.scalar("least", -most)).min(x.builder.scalar("most", most)),
            None => x,
        };
        let [query, key, value] = projected.map(clip);
        let split = |x: Var<'b>, heads, norm: Option<(&Norm, bool)>| match norm {
            Some((norm, false)) => {
                let sizes = [0, 0, heads, self.d_k].map(signed);
                norm.forward(x.reshape(&sizes)).transpose(&[0, 2, 1, 3])
            }
            Some((norm, true)) => split_heads(norm.forward(x), heads, self.d_k),
            None => split_heads(x, heads, self.d_k),
        };
        let norm = |at: usize| self.norms.as_ref().map(|(norms, is_whole)| (&norms[at], *is_whole));
        [split(query, self.heads, norm(0)), split(key, self.kv_heads, norm(1)), split(value, self.kv_heads, None)]
    }
}

impl Mlp {
    #[track_caller]
    fn forward<'b>(&self, x: Var<'b>) -> Var<'b> {
        match self {
            Mlp::Layers(layers) => layers.forward(x),
            Mlp::Packed { both, is_gate_first, down, d_ff, activation } => {
                let [first, second] = both.forward(x).split(-1, [*d_ff, *d_ff]);
                let (gate, up) = if *is_gate_first { (first, second) } else { (second, first) };
                down.forward(up * activation.forward(gate))
            }
        }
    }
}
