//! The request to quantize weights: schemes, patterns of names, blocks.

use netwright_ir::files::Code;
use netwright_ir::nearest::suggestion;
use netwright_ir::tensor::Rounding;
use netwright_ir::{ElementType, Name, Tensor, TensorError};
use regex::Regex;
use std::fmt;
use std::str::FromStr;

/// How the elements of a weight are stored, and how products compute with them.
///
/// ```
/// use netwright_passes::Scheme;
/// assert_eq!("int8-dynamic".parse(), Ok(Scheme::Int8Dynamic));
/// assert_eq!(Scheme::Int4.to_string(), "int4");
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Scheme {
    /// The weight stays as it is.
    None,
    /// 4 bits with a scale for each block; products compute in floats.
    Int4,
    /// 8 bits with a scale for each block; products compute in floats.
    Int8,
    /// Signed 8 bits with a scale for each column; the other operand is quantized when the model runs.
    Int8Dynamic,
    /// Unsigned 8 bits with a scale and a zero point for each column; the other operand is quantized when the model
    /// runs.
    Uint8Dynamic,
}

impl Scheme {
    /// Every scheme.
    pub const ALL: [Scheme; 5] = [Self::None, Self::Int4, Self::Int8, Self::Int8Dynamic, Self::Uint8Dynamic];

    /// Returns the word on the command line.
    pub fn word(self) -> &'static str {
        match self {
            Scheme::None => "none",
            Scheme::Int4 => "int4",
            Scheme::Int8 => "int8",
            Scheme::Int8Dynamic => "int8-dynamic",
            Scheme::Uint8Dynamic => "uint8-dynamic",
        }
    }

    /// Whether products also quantize their other operand when the model runs.
    pub fn is_dynamic(self) -> bool {
        matches!(self, Scheme::Int8Dynamic | Scheme::Uint8Dynamic)
    }
}

impl fmt::Display for Scheme {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.word())
    }
}

/// A word that is not the name of a scheme.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{word}` is not a scheme: {}", suggestion(word, &Scheme::ALL.map(Scheme::word)))]
pub struct UnknownScheme {
    /// The word.
    pub word: String,
}

impl FromStr for Scheme {
    type Err = UnknownScheme;

    fn from_str(word: &str) -> Result<Self, UnknownScheme> {
        let known = Self::ALL.into_iter().find(|scheme| scheme.word() == word);
        known.ok_or_else(|| UnknownScheme { word: word.to_owned() })
    }
}

/// Which weights are quantized, and how.
///
/// ```
/// use netwright_passes::{Options, Quantization, Scheme, Target};
/// let quantization = Quantization::new(Scheme::Int4).with_override("lm_head", Scheme::Int8)?.with_block_size(64)?;
/// let options = Options::for_target(Target::ORT).with_quantization(quantization);
/// # Ok::<(), netwright_passes::QuantizationError>(())
/// ```
#[derive(Clone, Debug)]
#[non_exhaustive]
#[expect(clippy::struct_excessive_bools, reason = "each is a choice of its own")]
pub struct Quantization {
    /// The scheme of the weights that no override names: those of matrix products and large embeddings.
    pub scheme: Scheme,
    /// Patterns with schemes, for the names of weights and of the results that are computed with them: exporters call
    /// weights `onnx::MatMul_746`. The last pattern that matches decides.
    pub overrides: Vec<(Regex, Scheme)>,
    /// The number of elements that share a scale: 16, 32, 64 or 128.
    pub block_size: u64,
    /// Whether blocks have no zero point.
    pub symmetric: bool,
    /// How the scale of a block is chosen.
    pub rounding: Rounding,
    /// The float type to which scales are rounded before codes are chosen, if it is narrower than that of the weight: the
    /// type of a later conversion.
    pub scales: Option<ElementType>,
    /// Whether the weights of dynamic schemes use 7 of their 8 bits, for processors without VNNI, whose sums of products
    /// of 8 bits saturate.
    pub reduce_range: bool,
    /// Whether all elements of a weight are read before it is quantized, so that a weight with NaN, infinities or numbers
    /// that are too large stays in floats. Otherwise such a weight is an error when the model is written, which
    /// `WriteError::is_of_conversion` recognizes, and weights are read once.
    pub is_checked: bool,
    /// Whether weights that the model has quantized already stay in floats, if the target has no operator for them.
    pub(crate) keeps_dequantized: bool,
}

/// Why a request to quantize weights is not valid.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum QuantizationError {
    /// A pattern is not a regular expression.
    #[error("`{pattern}` is not a regular expression: {why}")]
    Pattern {
        /// The pattern.
        pattern: String,
        /// What is wrong.
        why: String,
    },
    /// A block size that is not supported.
    #[error("the block size must be 16, 32, 64 or 128, but is {0}")]
    BlockSize(u64),
}

impl QuantizationError {
    /// Returns the code of this kind of error.
    pub fn code(&self) -> Code {
        match self {
            Self::Pattern { .. } => Code::Pattern,
            Self::BlockSize(_) => Code::BlockSize,
        }
    }
}

impl Quantization {
    /// Returns the defaults of a scheme: symmetric blocks of 32 whose scales are searched.
    pub fn new(scheme: Scheme) -> Self {
        Self {
            scheme,
            overrides: vec![],
            block_size: 32,
            symmetric: true,
            rounding: Rounding::Search,
            scales: None,
            reduce_range: false,
            is_checked: true,
            keeps_dequantized: false,
        }
    }

    /// Whether it names a scheme other than [`Scheme::None`], for all weights or for some.
    pub fn quantizes(&self) -> bool {
        let named = self.overrides.iter().map(|(_, scheme)| *scheme);
        named.chain([self.scheme]).any(|scheme| scheme != Scheme::None)
    }

    /// Adds a scheme for the weights of which a name matches a regular expression anywhere: their own, or that of a
    /// result that is computed with them.
    ///
    /// A leading `%`, with which values are printed, does not count.
    ///
    /// A weight that is named may also be small, a router or a position table, which are otherwise left alone.
    ///
    /// # Errors
    /// If the pattern is not a regular expression.
    pub fn with_override(mut self, pattern: &str, scheme: Scheme) -> Result<Self, QuantizationError> {
        let regex =
            Regex::new(pattern.strip_prefix('%').unwrap_or(pattern)).map_err(|error| QuantizationError::Pattern {
                pattern: pattern.to_owned(),
                // The last line says what is wrong; those before it show where.
                why: error.to_string().lines().last().unwrap_or_default().trim_start_matches("error: ").to_owned(),
            })?;
        self.overrides.push((regex, scheme));
        Ok(self)
    }

    /// Sets [`block_size`](Self::block_size).
    ///
    /// # Errors
    /// If the size is not 16, 32, 64 or 128.
    pub fn with_block_size(mut self, block_size: u64) -> Result<Self, QuantizationError> {
        if ![16, 32, 64, 128].contains(&block_size) {
            return Err(QuantizationError::BlockSize(block_size));
        }
        self.block_size = block_size;
        Ok(self)
    }

    /// Sets [`symmetric`](Self::symmetric).
    #[must_use]
    pub fn with_symmetric(self, symmetric: bool) -> Self {
        Self { symmetric, ..self }
    }

    /// Sets [`rounding`](Self::rounding).
    #[must_use]
    pub fn with_rounding(self, rounding: Rounding) -> Self {
        Self { rounding, ..self }
    }

    /// Sets [`scales`](Self::scales).
    #[must_use]
    pub fn with_scales(self, scales: ElementType) -> Self {
        Self { scales: Some(scales), ..self }
    }

    /// Sets [`reduce_range`](Self::reduce_range).
    #[must_use]
    pub fn with_reduce_range(self, reduce_range: bool) -> Self {
        Self { reduce_range, ..self }
    }

    /// Sets [`is_checked`](Self::is_checked).
    #[must_use]
    pub fn with_checked_weights(self, is_checked: bool) -> Self {
        Self { is_checked, ..self }
    }

    /// Returns the scheme of a weight with these names, and whether an override matches one of them.
    pub(crate) fn scheme_of(&self, names: &[Name]) -> (Scheme, bool) {
        let matches = |pattern: &Regex| names.iter().any(|name| pattern.is_match(name));
        let named = self.overrides.iter().rev().find(|(pattern, _)| matches(pattern));
        named.map_or((self.scheme, false), |(_, scheme)| (*scheme, true))
    }
}

/// The role of a weight in a model.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum WeightRole {
    /// A table of rows that token ids choose; the head may share it.
    Embedding,
    /// A table of rows that positions choose.
    Positions,
    /// A projection to queries, keys or values, or from the values.
    Attention,
    /// Any other projection.
    FeedForward,
    /// A projection to scores of which the largest are chosen within the model.
    Router,
    /// The projection to an output of the model.
    Head,
}

impl fmt::Display for WeightRole {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            WeightRole::Embedding => "embedding",
            WeightRole::Positions => "positions",
            WeightRole::Attention => "attention",
            WeightRole::FeedForward => "feed-forward",
            WeightRole::Router => "router",
            WeightRole::Head => "head",
        })
    }
}

/// A weight that was quantized.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct QuantizedWeight {
    /// The name that it had.
    pub name: Name,
    /// Its role.
    pub role: WeightRole,
    /// The scheme that was written: int8 instead of int4 if the target does not look up rows of 4 bits.
    pub scheme: Scheme,
    /// The bits of a code.
    pub bits: u32,
    /// The elements before.
    pub before: Tensor,
    /// The elements that the codes stand for, in the same layout.
    pub after: Tensor,
    /// The size of codes, scales and zero points in bytes.
    pub bytes: u64,
}

impl QuantizedWeight {
    /// Returns the norm of the difference of both tensors, as a share of the norm of the first; 0 if both are 0.
    ///
    /// The weight is read and quantized once more, in pieces.
    ///
    /// # Errors
    /// If a file cannot be read.
    pub fn relative_error(&self) -> Result<f64, TensorError> {
        let (before, after) = (self.before.cast(ElementType::F32)?, self.after.cast(ElementType::F32)?);
        let (mut error, mut norm) = (0.0, 0.0);
        Tensor::all_pieces([&before, &after], |sides| {
            let [before, after] = sides.map(|bytes| bytes.as_chunks::<4>().0);
            for (before, after) in before.iter().zip(after) {
                let [before, after] = [before, after].map(|bytes| f64::from(f32::from_le_bytes(*bytes)));
                error += (before - after).powi(2);
                norm += before.powi(2);
            }
            true
        })?;
        Ok(if norm > 0.0 { (error / norm).sqrt() } else { 0.0 })
    }
}
