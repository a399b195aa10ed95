//! The configuration of the paper's encoder-decoder.

use crate::layers::{Activation, FeedForward, MultiHeadAttention, Norm, NormKind, PositionalEncoding, Positions};
use netwright_ir::files::Code;
use serde::{Deserialize, Serialize};

/// The position of the norm in a residual connection.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum NormPlacement {
    /// After the sum, as in the paper.
    #[default]
    Post,
    /// Before the block, with a final norm after the stack.
    Pre,
}

/// The configuration of an encoder-decoder of "Attention Is All You Need". An unknown option in `config.json` is an
/// error.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(clippy::struct_excessive_bools, reason = "each is an option of config.json")]
pub struct Config {
    /// Always `transformer`.
    pub model_type: ModelType,
    /// The width of every block.
    pub d_model: u64,
    /// The number of attention heads, a divisor of the width.
    pub num_heads: u64,
    /// The inner width of feed-forward networks.
    pub d_ff: u64,
    /// The number of encoder layers.
    pub encoder_layers: u64,
    /// The number of decoder layers.
    pub decoder_layers: u64,
    /// The size of the vocabulary, shared by source and target.
    pub vocab_size: u64,
    /// The activation of feed-forward networks.
    #[serde(default)]
    pub activation: Activation,
    /// Whether feed-forward networks are gated.
    #[serde(default)]
    pub gated_ffn: bool,
    /// The position of norms.
    #[serde(default)]
    pub norm: NormPlacement,
    /// The kind of norms.
    #[serde(default)]
    pub norm_kind: NormKind,
    /// The epsilon of norms.
    #[serde(default = "default_epsilon")]
    pub layer_norm_eps: f32,
    /// The encoding of positions.
    #[serde(default)]
    pub positional_encoding: PositionalEncoding,
    /// The longest sequence.
    #[serde(default = "default_positions")]
    pub max_positions: u64,
    /// Whether the projections of attention have biases.
    #[serde(default = "default_true")]
    pub attention_bias: bool,
    /// Whether the layers of feed-forward networks have biases.
    #[serde(default = "default_true")]
    pub ffn_bias: bool,
    /// Whether source embedding, target embedding and output layer share one table.
    #[serde(default = "default_true")]
    pub tie_embeddings: bool,
    /// Whether embeddings are multiplied by `sqrt(d_model)`.
    #[serde(default = "default_true")]
    pub scale_embedding: bool,
    /// The padding token.
    #[serde(default)]
    pub pad_token_id: Option<u64>,
    /// The first token of the target.
    #[serde(default)]
    pub bos_token_id: Option<u64>,
    /// The token that ends a sequence.
    #[serde(default)]
    pub eos_token_id: Option<u64>,
}

/// The family of a configuration.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ModelType {
    /// The paper's model.
    Transformer,
}

fn default_epsilon() -> f32 {
    1e-5
}

fn default_positions() -> u64 {
    1024
}

fn default_true() -> bool {
    true
}

/// An option is out of range.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{option} is {value}, but must be {law}")]
pub struct RangeError {
    /// The option.
    pub option: &'static str,
    /// Its value.
    pub value: u64,
    /// What it must be.
    pub law: String,
}

impl RangeError {
    /// Returns the code of this kind of error.
    pub fn code(&self) -> Code {
        Code::OptionValue
    }
}

/// The largest size. Real models stay far below it, and a product of three such sizes fits in 64 bits.
const MOST: u64 = 1 << 20;

impl Config {
    /// Returns the base model of the paper (table 3), with a shared vocabulary of 37,000 tokens.
    pub fn transformer_base() -> Self {
        Self {
            model_type: ModelType::Transformer,
            d_model: 512,
            num_heads: 8,
            d_ff: 2048,
            encoder_layers: 6,
            decoder_layers: 6,
            vocab_size: 37_000,
            activation: Activation::Relu,
            gated_ffn: false,
            norm: NormPlacement::Post,
            norm_kind: NormKind::LayerNorm,
            layer_norm_eps: default_epsilon(),
            positional_encoding: PositionalEncoding::Sinusoidal,
            max_positions: default_positions(),
            attention_bias: true,
            ffn_bias: true,
            tie_embeddings: true,
            scale_embedding: true,
            pad_token_id: None,
            bos_token_id: None,
            eos_token_id: None,
        }
    }

    /// Returns the big model of the paper (table 3).
    pub fn transformer_big() -> Self {
        Self { d_model: 1024, num_heads: 16, d_ff: 4096, ..Self::transformer_base() }
    }

    /// Checks the ranges.
    ///
    /// # Errors
    /// The first number that is out of range.
    pub fn check(&self) -> Result<(), RangeError> {
        let sizes = [
            ("d_model", self.d_model),
            ("num_heads", self.num_heads),
            ("d_ff", self.d_ff),
            ("vocab_size", self.vocab_size),
            ("max_positions", self.max_positions),
        ];
        let counts = [("encoder_layers", self.encoder_layers), ("decoder_layers", self.decoder_layers)];
        for (option, value) in sizes {
            if !(1..=MOST).contains(&value) {
                return Err(RangeError { option, value, law: format!("from 1 to {MOST}") });
            }
        }
        for (option, value) in counts {
            if value > 1000 {
                return Err(RangeError { option, value, law: "at most 1000".to_owned() });
            }
        }
        if !self.d_model.is_multiple_of(self.num_heads) {
            let law = format!("a divisor of d_model, {}", self.d_model);
            return Err(RangeError { option: "num_heads", value: self.num_heads, law });
        }
        if self.positional_encoding != PositionalEncoding::Learned
            && (!self.d_model.is_multiple_of(2) || self.d_model < 4)
        {
            let law = "even and at least 4 for sinusoidal positions".to_owned();
            return Err(RangeError { option: "d_model", value: self.d_model, law });
        }
        Ok(())
    }

    pub(crate) fn norm(&self, name: String) -> Norm {
        Norm::new(name, self.norm_kind, self.d_model, self.layer_norm_eps)
    }

    /// Returns the final norm of a stack whose blocks have the norm first.
    pub(crate) fn final_norm(&self, name: String) -> Option<Norm> {
        (self.norm == NormPlacement::Pre).then(|| self.norm(name))
    }

    pub(crate) fn attention(&self, name: String) -> MultiHeadAttention {
        MultiHeadAttention::new(name, self.d_model, self.num_heads, self.attention_bias)
    }

    pub(crate) fn feed_forward(&self, name: String) -> FeedForward {
        FeedForward::new(name, self.d_model, self.d_ff, self.activation, self.gated_ffn, self.ffn_bias)
    }

    pub(crate) fn positions(&self, name: &str) -> Positions {
        Positions::new(name, self.positional_encoding, self.max_positions, self.d_model)
    }
}
