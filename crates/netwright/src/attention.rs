//! The attention weights of a pretrained model on given tokens.

use crate::files::Code;
use crate::ir::{Dim, ElementType, Graph, Model, Value};
use crate::nn::{BuildErrors, Part, Pretrained};
use crate::onnx::{self, WriteError, WriteOptions};
use crate::passes::{self, PassError, Target};
use crate::verify::{Array, Session, VerifyError};
use std::fmt;
use std::path::Path;

/// Which tokens attend to which.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// All tokens of a text to one another.
    Encoder,
    /// Each token to itself and to those before it.
    Decoder,
    /// The tokens of a decoder to those of the encoder.
    Cross,
}

impl Kind {
    /// All kinds.
    pub const ALL: [Self; 3] = [Self::Encoder, Self::Decoder, Self::Cross];

    /// Returns the name: `encoder`, `decoder` or `cross`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Encoder => "encoder",
            Self::Decoder => "decoder",
            Self::Cross => "cross",
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// The attention weights of one layer, or of all layers together.
#[derive(Clone, Debug, PartialEq)]
pub struct AttentionMap {
    /// Which tokens attend to which.
    pub kind: Kind,
    /// The number of the layer among those of its kind, from 0; `None` if the map covers all layers.
    pub layer: Option<usize>,
    /// The name of the value in the model.
    pub name: String,
    /// The number of heads.
    pub heads: usize,
    /// The number of tokens that attend.
    pub queries: usize,
    /// The number of tokens that are attended to.
    pub keys: usize,
    /// The weights `[heads, queries, keys]`, whose rows sum to 1.
    pub weights: Vec<f32>,
}

impl AttentionMap {
    /// Returns the weights `[queries, keys]` of a head; empty if there is no such head.
    pub fn head(&self, head: usize) -> &[f32] {
        let size = self.queries * self.keys;
        self.weights.get(head * size..(head + 1) * size).unwrap_or_default()
    }

    /// Returns the largest difference of the sum of a row from 1; infinite if a sum is not a number.
    pub fn largest_error(&self) -> f64 {
        let error = |row: &[f32]| {
            let error = (row.iter().copied().map(f64::from).sum::<f64>() - 1.0).abs();
            if error.is_nan() { f64::INFINITY } else { error }
        };
        self.weights.chunks_exact(self.keys.max(1)).map(error).fold(0.0, f64::max)
    }

    /// Returns the mean over the heads, as a map with one head.
    pub fn averaged(&self) -> Self {
        let size = self.queries * self.keys;
        let mean = |at: usize| {
            let sum: f64 = (0..self.heads).map(|head| f64::from(self.weights[head * size + at])).sum();
            rounded(sum / self.heads as f64)
        };
        Self { heads: 1, weights: (0..size).map(mean).collect(), ..self.clone() }
    }
}

#[expect(clippy::cast_possible_truncation, reason = "rounded to nearest")]
fn rounded(number: f64) -> f32 {
    number as f32
}

/// Returns the attention rollout of each stack of self-attentions (Abnar and Zuidema, 2020): how much each token of the
/// last layer depends on each token of the input, if every layer passes on half of its attention weights, averaged over
/// heads, and half of its input. Cross-attentions have none.
///
/// ```
/// use netwright::attention::{AttentionMap, Kind, rollout};
/// let (kind, name) = (Kind::Decoder, "attention".to_owned());
/// let weights = vec![1.0, 0.0, 1.0, 0.0];
/// let map = AttentionMap { kind, layer: Some(0), name, heads: 1, queries: 2, keys: 2, weights };
/// assert_eq!(rollout(&[map])[0].weights, [1.0, 0.0, 0.5, 0.5]);
/// ```
pub fn rollout(maps: &[AttentionMap]) -> Vec<AttentionMap> {
    let of = |kind: Kind| {
        let layers: Vec<AttentionMap> =
            maps.iter().filter(|map| map.kind == kind && map.queries == map.keys).map(AttentionMap::averaged).collect();
        let size = layers.first()?.queries;
        let identity = |row: usize, column: usize| f64::from(u8::from(row == column));
        let mut total: Vec<f64> = (0..size * size).map(|at| identity(at / size, at % size)).collect();
        for layer in &layers {
            let weight = |row: usize, column: usize| {
                0.5 * f64::from(layer.weights[row * size + column]) + 0.5 * identity(row, column)
            };
            let product = |at: usize| {
                (0..size).map(|inner| weight(at / size, inner) * total[inner * size + at % size]).sum::<f64>()
            };
            total = (0..size * size).map(product).collect();
        }
        Some(AttentionMap {
            kind,
            layer: None,
            name: format!("{kind} rollout"),
            heads: 1,
            queries: size,
            keys: size,
            weights: total.into_iter().map(rounded).collect(),
        })
    };
    [Kind::Encoder, Kind::Decoder].into_iter().filter_map(of).collect()
}

/// An error of computing attention weights.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AttentionError {
    /// The graph cannot be built.
    #[error(transparent)]
    Build(#[from] BuildErrors),
    /// A pass failed.
    #[error(transparent)]
    Pass(#[from] PassError),
    /// The model cannot be written.
    #[error(transparent)]
    Write(#[from] WriteError),
    /// The model cannot run.
    #[error(transparent)]
    Verify(#[from] VerifyError),
    /// The model has no attention layer whose weights are tokens by tokens.
    #[error("the model has no attention between tokens\n  help: name the folder of a Transformer for texts")]
    NoAttention,
    /// An input is not computed from a text.
    #[error("the model takes `{0}`, which is not computed from a text\n  help: name the folder of a model for texts")]
    Input(String),
    /// The attention weights of a layer are not tokens by tokens.
    #[error(
        "the attention weights `{name}` are {ty}, not [batch, heads, queries, keys] of tokens\n  help: name the folder \
         of a model that attends to whole texts"
    )]
    Shape {
        /// The name of the value.
        name: String,
        /// Its type.
        ty: String,
    },
    /// There are no tokens.
    #[error("there are no tokens\n  help: give a text, or the ids of tokens")]
    NoTokens,
    /// A token is not in the vocabulary.
    #[error("the token {id} is not in the vocabulary, which has {size} tokens\n  help: use the tokenizer of the model")]
    UnknownToken {
        /// The id.
        id: i64,
        /// The number of tokens.
        size: u64,
    },
    /// The model has no output `logits`, from which the tokens of the decoder follow.
    #[error(
        "the model has no logits, so that its decoder cannot choose tokens\n  help: give the tokens of the decoder"
    )]
    NoLogits,
}

impl AttentionError {
    /// Returns the code of this kind of error.
    pub fn code(&self) -> Code {
        match self {
            Self::Build(error) => error.code(),
            Self::Pass(error) => error.code(),
            Self::Write(error) => error.code(),
            Self::Verify(error) => error.code(),
            Self::NoTokens => Code::TextEmpty,
            Self::UnknownToken { .. } => Code::TokenUnknown,
            Self::NoAttention | Self::Input(_) | Self::Shape { .. } | Self::NoLogits => Code::NoAttention,
        }
    }
}

/// A pretrained model with its attention weights as outputs, loaded in tract.
///
/// ```
/// use netwright::attention::AttentionModel;
/// use netwright::prelude::*;
///
/// # std::env::set_current_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/../.."))?;
/// let pretrained = Pretrained::open("tests/families/bert", &PretrainedOptions::default())?;
/// let path = std::env::temp_dir().join("netwright_doc_attention_weights.onnx");
/// let model = AttentionModel::load(&pretrained, &path)?;
/// let maps = model.run(&[2, 17, 5, 40, 3], &[])?;
/// assert_eq!((maps.len(), maps[0].heads, maps[0].queries, maps[0].keys), (2, 2, 5, 5));
/// assert!(maps.iter().all(|map| map.largest_error() < 1e-5));
/// # std::fs::remove_file(path)?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct AttentionModel {
    session: Session,
    /// The attention weights among the outputs.
    layers: Vec<Layer>,
    /// The sizes of the tables of embeddings of the encoder's and the decoder's tokens, if they are known.
    vocabularies: [Option<u64>; 2],
}

#[derive(Debug)]
struct Layer {
    name: String,
    /// Whether the queries and the keys are tokens of the decoder, in a model that has both.
    of_decoder: [bool; 2],
}

/// The inputs for tokens of the encoder, or the only ones, and for those of the decoder.
const IDS: [&str; 2] = ["input_ids", "decoder_input_ids"];

impl AttentionModel {
    /// Builds the model with its attention weights as outputs, writes it to `file`, and loads that in tract.
    ///
    /// # Errors
    /// If the model has no attention between tokens, has inputs that are not computed from a text, or cannot be loaded.
    pub fn load(pretrained: &Pretrained, file: &Path) -> Result<Self, AttentionError> {
        let graph = pretrained.build(Part::Whole, true)?;
        // They come after the outputs that the model has anyway.
        let layers = layers(&graph, pretrained.build(Part::Whole, false)?.outputs().len())?;
        let vocabularies = IDS.map(|name| vocabulary(&graph, name));
        let mut model = Model::new(graph);
        passes::optimize(&mut model, &passes::Options::for_target(Target::TRACT))?;
        onnx::write(&model, file, &WriteOptions::default())?;
        Ok(Self { session: Session::load(file)?, layers, vocabularies })
    }

    /// Returns whether the model has an encoder and a decoder, so that it takes tokens of both.
    pub fn has_decoder_tokens(&self) -> bool {
        self.session.inputs().iter().any(|input| input.name == IDS[1])
    }

    /// Returns the attention weights of every layer for the tokens of the encoder and of the decoder; a model that is
    /// one of the two takes the former.
    ///
    /// # Errors
    /// If there are no tokens, a token is not in the vocabulary, or the model fails.
    pub fn run(&self, tokens: &[i64], decoder_tokens: &[i64]) -> Result<Vec<AttentionMap>, AttentionError> {
        let mut outputs = self.outputs(tokens, decoder_tokens)?;
        let mut maps: Vec<AttentionMap> = vec![];
        for layer in &self.layers {
            let Some(at) = outputs.iter().position(|(name, _)| *name == layer.name) else { continue };
            let (name, array) = outputs.swap_remove(at);
            let shape = || AttentionError::Shape { name: name.clone(), ty: array.to_string() };
            let (&[1, heads, queries, keys], Some(weights)) = (array.shape(), array.values::<f32>()) else {
                return Err(shape());
            };
            let given = [tokens.len(), decoder_tokens.len()];
            if [queries, keys] != layer.of_decoder.map(|decoder| given[usize::from(decoder)]) {
                return Err(shape());
            }
            let is_causal = || {
                let later = |at: usize| at % keys > at / keys % queries;
                queries > 1 && (0..weights.len()).filter(|&at| later(at)).all(|at| weights[at] == 0.0)
            };
            let kind = match layer.of_decoder {
                [true, false] => Kind::Cross,
                [true, true] => Kind::Decoder,
                _ if self.has_decoder_tokens() => Kind::Encoder,
                _ if is_causal() => Kind::Decoder,
                // The decoder of a classifier reads the same text, after the encoder.
                _ if maps.iter().any(|map| map.kind == Kind::Decoder) => Kind::Cross,
                _ => Kind::Encoder,
            };
            let number = maps.iter().filter(|map| map.kind == kind).count();
            let weights = weights.to_vec();
            maps.push(AttentionMap { kind, layer: Some(number), name, heads, queries, keys, weights });
        }
        Ok(maps)
    }

    /// Returns the tokens that the decoder writes, each the likeliest one, from `start` on: without the token of `ends`
    /// that ends them, and at most `most`.
    ///
    /// # Errors
    /// If the model has no logits, or as for [`run`](Self::run).
    pub fn decode(&self, tokens: &[i64], start: &[i64], ends: &[i64], most: usize) -> Result<Vec<i64>, AttentionError> {
        let mut decoded = start.to_vec();
        while decoded.len() < most {
            let outputs = self.outputs(tokens, &decoded)?;
            let logits = outputs.iter().find(|(name, _)| name == "logits").and_then(|(_, logits)| {
                let &[1, rows, vocabulary] = logits.shape() else { return None };
                logits.values::<f32>()?.chunks_exact(vocabulary.max(1)).nth(rows.checked_sub(1)?)
            });
            let logits = logits.ok_or(AttentionError::NoLogits)?;
            // The first of equal ones.
            let best = (0..logits.len()).rev().max_by(|&a, &b| logits[a].total_cmp(&logits[b]));
            let best = best.and_then(|id| i64::try_from(id).ok()).ok_or(AttentionError::NoLogits)?;
            if ends.contains(&best) {
                break;
            }
            decoded.push(best);
        }
        Ok(decoded)
    }

    fn outputs(&self, tokens: &[i64], decoder_tokens: &[i64]) -> Result<Vec<(String, Array)>, AttentionError> {
        for ((tokens, size), name) in [tokens, decoder_tokens].into_iter().zip(self.vocabularies).zip(IDS) {
            if tokens.is_empty() && self.session.inputs().iter().any(|input| input.name == name) {
                return Err(AttentionError::NoTokens);
            }
            let is_unknown =
                |id: &&i64| size.is_some_and(|size| u64::try_from(**id).is_ok_and(|id| id >= size)) || **id < 0;
            if let Some(&id) = tokens.iter().find(is_unknown) {
                return Err(AttentionError::UnknownToken { id, size: size.unwrap_or(0) });
            }
        }
        let inputs = self.session.inputs().iter().map(|input| {
            let (name, tokens) = match input.name.strip_prefix("decoder_") {
                Some(name) => (name, decoder_tokens),
                None => (input.name.as_str(), tokens),
            };
            let values = match name {
                "input_ids" => tokens.to_vec(),
                "attention_mask" => vec![1; tokens.len()],
                "token_type_ids" => vec![0; tokens.len()],
                "position_ids" => (0..).take(tokens.len()).collect(),
                _ => return Err(AttentionError::Input(input.name.clone())),
            };
            Ok((input.name.as_str(), Array::new([1, tokens.len()], values)?))
        });
        let inputs = inputs.collect::<Result<Vec<_>, AttentionError>>()?;
        let inputs: Vec<(&str, &Array)> = inputs.iter().map(|(name, array)| (*name, array)).collect();
        Ok(self.session.run(&inputs)?)
    }
}

/// Returns the attention weights of a graph, in program order: its outputs from `first` on.
fn layers(graph: &Graph, first: usize) -> Result<Vec<Layer>, AttentionError> {
    let input = |name: &str| graph.inputs().find(|input| **graph.value_name(*input) == *name);
    let other = graph.inputs().find(|input| {
        let name = graph.value_name(*input);
        let name = name.strip_prefix("decoder_").unwrap_or(name);
        !["input_ids", "attention_mask", "token_type_ids", "position_ids"].contains(&name)
    });
    if let Some(other) = other {
        return Err(AttentionError::Input(graph.value_name(other).to_string()));
    }
    let length = |name: &str| input(name).and_then(|input| axis(graph, input, 1));
    let lengths = IDS.map(length);
    let layers = graph.outputs().iter().skip(first).map(|output| {
        let of = |at: usize| {
            let dim = axis(graph, output.value, at)?;
            lengths.iter().position(|length| length.as_ref() == Some(&dim)).map(|of| of == 1)
        };
        let element = graph.fact(output.value).element();
        if let (Some(queries), Some(keys), Some(ElementType::F32)) = (of(2), of(3), element) {
            return Ok(Layer { name: output.name.to_string(), of_decoder: [queries, keys] });
        }
        let (name, ty) = (output.name.to_string(), graph.fact(output.value).to_string());
        Err(AttentionError::Shape { name, ty })
    });
    let layers = layers.collect::<Result<Vec<_>, _>>()?;
    if layers.is_empty() { Err(AttentionError::NoAttention) } else { Ok(layers) }
}

fn axis(graph: &Graph, value: Value, axis: usize) -> Option<Dim> {
    graph.fact(value).shape()?.get(axis).filter(|dim| **dim != Dim::Unknown).cloned()
}

/// Returns the number of rows of the table from which the embeddings of an input are gathered.
fn vocabulary(graph: &Graph, input: &str) -> Option<u64> {
    let input = graph.inputs().find(|value| **graph.value_name(*value) == *input)?;
    let table = graph.users(input).into_iter().find_map(|(user, operand)| {
        if operand == 1 { graph.operand(user, 0).filter(|table| graph.tensor(*table).is_some()) } else { None }
    })?;
    graph.tensor(table)?.dims().first().copied()
}
