//! Evaluates models on a text: how well they predict its tokens, or which vectors they give its lines.

use crate::graph::{Graph, LOGITS, Role, STATES};
use crate::scores::largest;
use crate::settings::ConfigFile;
use crate::{GenerateError, Tokenizer, files};
use netwright_verify::{Resident, Runtime};
use std::path::Path;

/// The largest number of tokens that a model sees at once.
const MAX_WINDOW: usize = 512;

/// The number of masked copies of a window that are run at once.
const MASKED_ROWS: usize = 16;

/// The output with the vector of a text, `[batch, width]`.
const EMBEDDING: &str = "sentence_embedding";

/// What of a model is evaluated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Evaluated {
    /// The probability of each token after those before it: a decoder.
    NextTokens,
    /// The probability of each token given all others: a masked language model, for which the mean is called
    /// pseudo-perplexity (Salazar et al. 2020).
    MaskedTokens {
        /// The id of the mask.
        mask: u32,
    },
    /// The vector of a line: `sentence_embedding`, or the mean of `last_hidden_state`.
    Embeddings,
}

/// A model that is loaded to be evaluated.
///
/// ```no_run
/// use netwright_generate::{Evaluator, Tokenizer};
/// use netwright_verify::Runtime;
///
/// let text = Tokenizer::open("gpt2_onnx")?;
/// let model = Evaluator::open("gpt2_onnx", &text, &Runtime::Tract)?;
/// let prediction = model.predict(&text.encode("It was a bright cold day in April.", true)?)?;
/// println!("perplexity {:.2}", prediction.perplexity());
/// # Ok::<(), netwright_generate::GenerateError>(())
/// ```
#[derive(Debug)]
pub struct Evaluator {
    graph: Graph,
    kind: Evaluated,
    window: usize,
    /// The special tokens before and after a text.
    around: (Vec<u32>, Vec<u32>),
}

/// How a model predicts tokens.
#[derive(Clone, Debug, Default)]
pub struct Prediction {
    /// The natural logarithm of the probability of each token.
    pub logarithms: Vec<f64>,
    /// The most probable token at the place of each.
    pub best: Vec<u32>,
}

impl Prediction {
    /// Returns the perplexity: e to the power of the mean negative logarithm; NaN for no token.
    pub fn perplexity(&self) -> f64 {
        #[expect(clippy::cast_precision_loss, reason = "a text has fewer tokens")]
        let mean = self.logarithms.iter().sum::<f64>() / self.logarithms.len() as f64;
        (-mean).exp()
    }

    /// Returns the share of places at which two models find the same token most probable; NaN for no token.
    #[expect(clippy::cast_precision_loss, reason = "a text has fewer tokens")]
    pub fn agreement(&self, other: &Self) -> f64 {
        let same = self.best.iter().zip(&other.best).filter(|(a, b)| a == b).count();
        same as f64 / self.best.len() as f64
    }
}

impl Evaluator {
    /// Loads the model of a folder, or in a file, with its tokenizer.
    ///
    /// # Errors
    ///
    /// If the model is not a decoder, a masked language model or one that gives vectors.
    pub fn open(path: impl AsRef<Path>, text: &Tokenizer, runtime: &Runtime) -> Result<Self, GenerateError> {
        let path = path.as_ref();
        let graph = graph(path, runtime)?;
        let options = ConfigFile::open(files::folder(path).join("config.json"))?;
        let kind = if graph.has_output(EMBEDDING) || graph.has_output(STATES) && !graph.has_output(LOGITS) {
            Evaluated::Embeddings
        } else if graph.is_masked(options.as_ref()) {
            let help = "use the tokenizer with which the model was trained";
            let mask = ["[MASK]", "<mask>"].iter().find_map(|mask| text.token(mask));
            Evaluated::MaskedTokens { mask: mask.ok_or_else(|| graph.unfit("its tokenizer has no mask", help))? }
        } else {
            Evaluated::NextTokens
        };
        let special = text.encode("", true)?;
        let (before, after) = special.split_at(special.len().div_ceil(2));
        let positions = options.as_ref().map(ConfigFile::positions).transpose()?.flatten().unwrap_or(MAX_WINDOW);
        let positions = positions.min(graph.room().unwrap_or(MAX_WINDOW));
        let around = (before.to_vec(), after.to_vec());
        Ok(Self { graph, kind, window: positions.clamp(2, MAX_WINDOW), around })
    }

    /// Checks the model of a folder, or in a file, of which the tokenizer is not known.
    ///
    /// # Errors
    ///
    /// If [`open`](Self::open) does not load the model, whatever the tokenizer is.
    pub fn check(path: impl AsRef<Path>, runtime: &Runtime) -> Result<(), GenerateError> {
        graph(path.as_ref(), runtime).map(drop)
    }

    /// Returns what of the model is evaluated.
    pub fn kind(&self) -> Evaluated {
        self.kind
    }

    /// Predicts tokens: those of a text without special ones for masked models, with special ones otherwise.
    ///
    /// A decoder sees at least half a window, of up to 512 tokens, before each token but the first ones. The first token
    /// is not predicted. A masked model sees each window with one token masked in turn.
    ///
    /// # Errors
    ///
    /// If the model cannot be run, or gives no vectors of its vocabulary.
    pub fn predict(&self, tokens: &[u32]) -> Result<Prediction, GenerateError> {
        match self.kind {
            Evaluated::MaskedTokens { mask } => self.predict_masked(tokens, mask),
            _ => self.predict_next(tokens),
        }
    }

    fn predict_next(&self, tokens: &[u32]) -> Result<Prediction, GenerateError> {
        let mut prediction = Prediction::default();
        let step = (self.window / 2).max(1);
        let mut known = 1;
        while known < tokens.len() {
            let start = if known == 1 { 0 } else { known.saturating_sub(self.window - step) };
            let end = (start + self.window).min(tokens.len());
            let logits = self.run(&[&tokens[start..end]], LOGITS)?;
            for (at, token) in tokens.iter().enumerate().take(end).skip(known) {
                self.add(&mut prediction, &self.scores(&logits, at - start - 1)?, *token)?;
            }
            if end <= known {
                break;
            }
            known = end;
        }
        Ok(prediction)
    }

    fn predict_masked(&self, tokens: &[u32], mask: u32) -> Result<Prediction, GenerateError> {
        let mut prediction = Prediction::default();
        let (before, after) = &self.around;
        let room = self.window.saturating_sub(before.len() + after.len()).max(1);
        for window in tokens.chunks(room) {
            let whole = [before, window, after].concat();
            let places: Vec<usize> = (before.len()..before.len() + window.len()).collect();
            for places in places.chunks(MASKED_ROWS) {
                let masked = places.iter().map(|place| {
                    let mut row = whole.clone();
                    row[*place] = mask;
                    row
                });
                let masked: Vec<Vec<u32>> = masked.collect();
                let rows: Vec<&[u32]> = masked.iter().map(Vec::as_slice).collect();
                let logits = self.run(&rows, LOGITS)?;
                for (row, place) in places.iter().enumerate() {
                    self.add(&mut prediction, &self.scores(&logits, row * whole.len() + place)?, whole[*place])?;
                }
            }
        }
        Ok(prediction)
    }

    /// Returns the vector of a text, `[width]`: of its first 512 tokens, or as many as the model has positions.
    ///
    /// # Errors
    ///
    /// If the text is empty, or the model cannot be run.
    pub fn embed(&self, tokens: &[u32]) -> Result<Vec<f32>, GenerateError> {
        if tokens.is_empty() {
            return Err(GenerateError::EmptyPrompt);
        }
        let tokens = &tokens[..tokens.len().min(self.window)];
        if self.graph.has_output(EMBEDDING) {
            let vectors = self.run(&[tokens], EMBEDDING)?;
            return self.scores(&vectors, 0);
        }
        let states = self.run(&[tokens], STATES)?;
        let mut sums = self.scores(&states, 0)?;
        for at in 1..tokens.len() {
            for (sum, value) in sums.iter_mut().zip(self.scores(&states, at)?) {
                *sum += value;
            }
        }
        #[expect(clippy::cast_precision_loss, reason = "a window has at most 512 tokens")]
        let count = tokens.len() as f32;
        Ok(sums.into_iter().map(|sum| sum / count).collect())
    }

    /// Runs the model on rows of equal length, without padding and without a past.
    fn run(&self, rows: &[&[u32]], output: &str) -> Result<Resident, GenerateError> {
        let length = rows.first().map_or(0, |row| row.len());
        let columns = self.graph.room().unwrap_or(length);
        let all = || rows.iter().flat_map(|row| row.iter()).map(|token| i64::from(*token)).collect::<Vec<_>>();
        let positions =
            || rows.iter().flat_map(|_| (0..length).map(|at| i64::try_from(at).unwrap_or(i64::MAX))).collect();
        let numbers = [
            (Role::Tokens, all()),
            (Role::Mask, rows.iter().flat_map(|_| (0..columns).map(|at| i64::from(at < length))).collect()),
            (Role::Types, vec![0; rows.len() * length]),
            (Role::Positions, positions()),
        ];
        let mut inputs = self.graph.numbers(rows.len(), numbers)?;
        let pasts = self.graph.empty_pasts(rows.len())?;
        inputs.extend(self.graph.branch(false)?);
        inputs.extend(self.graph.numbers(1, [(Role::PastLength, vec![0])])?);
        inputs.extend(pasts.iter().map(|(name, past)| (name.as_str(), past.clone())));
        Ok(self.graph.run(inputs, output)?.0)
    }

    /// Returns the vector at a place of a tensor `[…, width]`.
    fn scores(&self, tensor: &Resident, at: usize) -> Result<Vec<f32>, GenerateError> {
        Ok(self.graph.session.vector(tensor, at)?)
    }

    /// Adds the prediction of a token from the scores of all.
    fn add(&self, prediction: &mut Prediction, scores: &[f32], token: u32) -> Result<(), GenerateError> {
        let Some(score) = scores.get(token as usize) else {
            return Err(GenerateError::UnknownToken { token, vocabulary: scores.len() });
        };
        let position = prediction.best.len();
        self.graph.expect_numbers(scores, position)?;
        let best = largest(scores, 0..).ok_or(GenerateError::NoToken { position })?;
        let distance = |score: f32| f64::from(score) - f64::from(scores[best as usize]);
        let sum: f64 = scores.iter().map(|score| distance(*score).exp()).sum();
        prediction.logarithms.push(distance(*score) - sum.ln());
        prediction.best.push(best);
        Ok(())
    }
}

/// Loads the graph of a model that reads a text and gives scores or vectors.
fn graph(path: &Path, runtime: &Runtime) -> Result<Graph, GenerateError> {
    let parts = files::parts(path)?;
    let (graph, _) = Graph::decoder(&parts.decoder, runtime)?;
    if parts.encoder.is_some() || !graph.has(Role::Tokens) {
        let help = "choose a decoder, a masked language model or an embedding model";
        return Err(graph.unfit("it does not read a single text", help));
    }
    if !graph.has_output(EMBEDDING) && !graph.has_output(STATES) {
        graph.expect_output(LOGITS, "build the model with --task text-generation, fill-mask or feature-extraction")?;
    }
    Ok(graph)
}
