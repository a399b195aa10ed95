//! Text encoders with rotary positions: [`before_blocks`] and [`after_sums`] have those with norms there.

use super::super::text::{ClassPooling, Decoder, Output, Text, TextEncoder, TextModel, Transform};
use super::super::{Head, Read};
use super::Kind;
use super::stack::Stack;
use crate::layers::{Activation, Cache, Embedding, Linear, Norm, NormKind, local_mask, padding_mask};
use crate::{Settings, SettingsError, Var, signed};
use netwright_ir::ElementType;

mod after_sums;
mod before_blocks;

pub(in super::super) use after_sums::*;
pub(in super::super) use before_blocks::*;

/// The head of text classification.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum ClassHead {
    /// The pooler of the base model, then a layer.
    Pooler,
    /// Two layers of its own.
    Own,
}

/// Dense layer and norm, then decoder and bias of the masked-language-modeling head.
type MaskedNames = ([&'static str; 2], [&'static str; 2]);

/// Reads an encoder with the heads of BERT or RoBERTa, whose names start with the first of the prefixes that the weights
/// have.
fn bert_like(
    settings: &Settings,
    head: &Head<'_>,
    kind: &Kind,
    prefixes: [&str; 2],
    masked: MaskedNames,
    activation: Activation,
    class: ClassHead,
) -> Read {
    let [own, older] = prefixes.map(|prefix| head.base(prefix));
    let base = if own.is_empty() { older } else { own };
    let output = bert_output(settings, head, kind, &base, masked, activation, class)?;
    let encoder = RotaryEncoder::new(settings, kind, &base)?;
    Ok(Box::new(TextModel { encoder, output }))
}

fn bert_output(
    settings: &Settings,
    head: &Head<'_>,
    kind: &Kind,
    base: &str,
    ([dense, norm], names): MaskedNames,
    activation: Activation,
    class: ClassHead,
) -> Result<Output, SettingsError> {
    let d_model = kind.sizes.d_model;
    let square = |name: &str| Linear::new(name, d_model, d_model, true);
    let norm = Norm::new(norm, NormKind::LayerNorm, d_model, kind.epsilon);
    let masked = Output::MaskedTokens {
        transform: Some(Transform { dense: square(dense), activation, norm: Some(norm) }),
        decoder: decoder(settings, names, d_model, true)?,
    };
    let pooler = format!("{base}pooler.dense");
    let [dense, last] = match class {
        ClassHead::Pooler => [&pooler, "classifier"],
        ClassHead::Own => ["classifier.dense", "classifier.out_proj"],
    };
    let transform = Transform { dense: square(dense), activation: Activation::Tanh, norm: None };
    let class = |labels| Output::Class {
        pooling: ClassPooling::First,
        transform,
        classifier: Linear::new(last, d_model, labels, true),
    };
    Output::read(settings, head, d_model, masked, class, Some(pooler.clone()))
}

/// Reads the last layer of the masked-language-modeling head, which may lack a bias.
fn decoder(settings: &Settings, names: [&str; 2], d_model: u64, has_bias: bool) -> Result<Decoder, SettingsError> {
    let vocab = settings.size("vocab_size")?;
    Ok(if settings.flag("tie_word_embeddings", true)? {
        Decoder::Tied { bias: has_bias.then(|| names[1].to_owned()), vocab }
    } else {
        Decoder::Own(Linear::new(names[0], d_model, vocab, has_bias))
    })
}

/// An encoder without a head.
#[derive(Debug)]
struct RotaryEncoder {
    stack: Stack,
    types: Option<Embedding>,
    reads_types: bool,
    /// If the embeddings are scaled by how many tokens are masked: the id of the mask.
    masked_token: Option<u64>,
}

impl RotaryEncoder {
    fn new(settings: &Settings, kind: &Kind, base: &str) -> Result<Self, SettingsError> {
        let vocab = settings.size("vocab_size")?;
        // 0 means that tokens have no types.
        let has_types = settings.number("type_vocab_size")?.is_some_and(|rows| rows != 0.0);
        let rows = if has_types { settings.optional_size("type_vocab_size")? } else { None };
        let table =
            |rows| Embedding::new(format!("{base}embeddings.token_type_embeddings"), rows, kind.sizes.d_model, false);
        Ok(Self {
            stack: Stack::new(kind, base, vocab),
            types: rows.map(table),
            reads_types: rows.is_some_and(|rows| rows > 1),
            masked_token: None,
        })
    }

    /// Sets the embeddings of masked tokens to 0 and scales the others, so that their sum is what it was in the training
    /// on average: 12 % of the tokens were masked.
    #[track_caller]
    fn without_masked<'b>(&self, words: Var<'b>, text: &Text<'b>) -> Var<'b> {
        let Some(token) = self.masked_token else { return words };
        let builder = words.builder();
        let is_masked = text.input_ids.equal(builder.index(signed(token)));
        let [masked, tokens] = [is_masked.cast(ElementType::I64), text.attention_mask]
            .map(|counted| counted.cast_like_parameters().sum(-1).unsqueeze(&[2]));
        let seen = builder.scalar("zero", 0.0).where_else(is_masked.unsqueeze(&[2]), words);
        seen * builder.scalar("usual", 1.0 - 0.15 * 0.8) / (builder.scalar("one", 1.0) - masked / tokens)
    }
}

impl TextEncoder for RotaryEncoder {
    fn encode<'b>(&self, text: &Text<'b>) -> Var<'b> {
        let builder = text.input_ids.builder();
        let mut x = self.without_masked(self.stack.words.forward(text.input_ids), text);
        if let Some(table) = &self.types {
            x = x + table.forward(text.types.unwrap_or_else(|| builder.index(0)));
        }
        let positions = text.input_ids.size(1).range().unsqueeze(&[0]);
        let padding = padding_mask(text.attention_mask);
        let mask = |window: Option<u64>| {
            window.map_or(padding, |window| local_mask(text.input_ids, window.saturating_sub(1)) + padding)
        };
        self.stack.forward(x, positions, &Cache::none(builder), mask)
    }

    fn words(&self) -> &Embedding {
        &self.stack.words
    }

    fn reads_types(&self) -> bool {
        self.reads_types
    }
}
