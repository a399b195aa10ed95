//! `netwright eval`.

use crate::args::Eval;
use crate::failure::{Failure, Misuse};
use crate::output::{Output, counted, in_line};
use crate::overwrite::same_file;
use crate::runtimes::Engines;
use crate::source::{self, Source, failed};
use netwright::files::{self, Code, FileError};
use netwright::generate::{Evaluated, Evaluator, GenerateError, Prediction, Tokenizer, used_graphs};
use netwright::verify::Runtime;
use schemars::JsonSchema;
use serde::Serialize;
use std::path::{Path, PathBuf};

/// The largest text that is read.
const MAX_TEXT: u64 = 1 << 30;

/// What a text says of a model, or of two.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct Evaluation {
    text: PathBuf,
    runtime: String,
    /// The models, in the order of the call.
    models: Vec<PathBuf>,
    measured: Measured,
}

/// What was measured, model by model.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
enum Measured {
    /// How well tokens are predicted.
    Perplexity {
        /// The number of tokens that were predicted.
        tokens: usize,
        perplexities: Vec<f64>,
        /// The share of places at which both models find the same token most probable.
        #[serde(skip_serializing_if = "Option::is_none")]
        agreement: Option<f64>,
    },
    /// How near the vectors of lines are.
    Cosine {
        /// The number of lines.
        lines: usize,
        mean: f64,
        /// The smallest cosine.
        least: f64,
        /// The number of the line, from 1, that it belongs to.
        least_line: usize,
    },
}

pub(crate) fn run(args: &Eval, output: Output) -> Result<(), Failure> {
    let engines = Engines::new(args.runtime, args.ort_library.as_deref())?;
    let text = files::read_text(&args.text, MAX_TEXT).map_err(|error| {
        let is_missing = matches!(error, FileError::NotFound { .. });
        Failure::usage(error).with_help(is_missing.then_some("name a file; --text does not take the text itself"))
    })?;
    let paths: Vec<&Path> = std::iter::once(&args.model).chain(&args.other).map(PathBuf::as_path).collect();
    paths.iter().try_for_each(|path| source::expect(path).and_then(|()| source::expect_reads_tokens(path)))?;
    let sources = paths.iter().map(|path| source::find(path, args.runtime, args.no_cache, output));
    let sources = sources.collect::<Result<Vec<_>, Failure>>()?;
    let (models, runtime) = engines.open(output, |runtime| {
        let sources = paths.iter().zip(&sources);
        sources.map(|(path, source)| Loaded::open(path, source, runtime, output)).collect::<Result<Vec<_>, Failure>>()
    })?;
    if let [first, second] = &models[..] {
        let [own, other] = [first, second].map(|model| used_graphs(&model.source.path));
        if own.len() == other.len() && own.iter().zip(&other).all(|(own, other)| same_file(own, other)) {
            let [first, second] = [first, second].map(|model| in_line(&model.path));
            output.warn(&format!("{first} and {second} are one model, so that they do not differ"))?;
        }
    }
    let kind = models[0].model.kind();
    if models.iter().any(|other| other.model.kind() != kind) {
        let text = "one model predicts tokens, and the other does not\n  help: compare models for the same task";
        return Err(Failure::usage_with(Code::NotComparable, text));
    }
    let measured = if kind == Evaluated::Embeddings {
        cosines(&models, &text, &args.text)?
    } else {
        perplexities(&models, &text, args, output)?
    };
    let models = paths.into_iter().map(Path::to_owned).collect();
    let evaluation = Evaluation { text: args.text.clone(), runtime: runtime.to_string(), models, measured };
    output.data(&evaluation, || evaluation.lines())
}

/// A model with its tokenizer.
struct Loaded<'s> {
    text: Tokenizer,
    model: Evaluator,
    path: PathBuf,
    source: &'s Source,
}

impl<'s> Loaded<'s> {
    fn open(path: &Path, source: &'s Source, runtime: &Runtime, output: Output) -> Result<Self, Failure> {
        let _spinner = output.spinner("loading");
        let named = |error| source.named(failed(error), path);
        // A model that is not evaluated needs no tokenizer.
        let or_model = |error| Evaluator::check(&source.path, runtime).err().unwrap_or(error);
        let text = Tokenizer::open(&source.path).map_err(or_model).map_err(named)?;
        let model = Evaluator::open(&source.path, &text, runtime).map_err(named)?;
        Ok(Self { text, model, path: path.to_owned(), source })
    }
}

fn perplexities(models: &[Loaded<'_>], text: &str, args: &Eval, output: Output) -> Result<Measured, Failure> {
    let spinner = output.spinner("evaluating");
    let mut predictions: Vec<Prediction> = vec![];
    let mut first: Option<Vec<u32>> = None;
    for loaded in models {
        let Loaded { text: tokenizer, model, .. } = loaded;
        // A decoder sees the token that starts a text; a masked model gets special tokens with each window.
        let mut tokens = tokenizer.encode(text, model.kind() == Evaluated::NextTokens).map_err(failed)?;
        let tokens_of_text = tokens.len();
        tokens.truncate(args.tokens.unwrap_or(usize::MAX));
        if first.get_or_insert_with(|| tokens.clone()) != &tokens {
            let text = "the models have different tokenizers, so that their perplexities cannot be compared\n  help: \
                        evaluate each alone";
            return Err(Failure::usage_with(Code::NotComparable, text));
        }
        let prediction =
            loaded.model.predict(&tokens).map_err(|error| loaded.source.named(failed(error), &loaded.path))?;
        if prediction.logarithms.is_empty() {
            let help = match args.tokens {
                Some(tokens) if tokens < tokens_of_text => "raise --tokens, because the first token is not predicted",
                _ => "name a text with more words",
            };
            let text = format!("{} has no token to predict\n  help: {help}", in_line(&args.text));
            return Err(Failure::usage_with(Code::NothingToEvaluate, text));
        }
        predictions.push(prediction);
    }
    drop(spinner);
    let perplexities: Vec<f64> = predictions.iter().map(Prediction::perplexity).collect();
    let paths = std::iter::once(&args.model).chain(&args.other);
    if let Some((path, perplexity)) = paths.zip(&perplexities).find(|(_, perplexity)| !perplexity.is_finite()) {
        let text = format!(
            "{}: the perplexity is {perplexity}: the model excludes a token of the text\n  help: check the weights, or use \
             the tokenizer with which the model was trained",
            in_line(path)
        );
        return Err(Failure::model_with(Code::NotFinite, text));
    }
    let agreement = match &predictions[..] {
        [a, b] => Some(a.agreement(b)),
        _ => None,
    };
    Ok(Measured::Perplexity { tokens: predictions[0].logarithms.len(), perplexities, agreement })
}

fn cosines(models: &[Loaded<'_>], text: &str, path: &Path) -> Result<Measured, Failure> {
    let [a, b] = models else {
        let text = "vectors are compared with those of another model\n  help: name a second model";
        return Err(Misuse::Missing.failure(text));
    };
    let embed = |model: &Loaded, line: &str| -> Result<Vec<f32>, GenerateError> {
        model.model.embed(&model.text.encode(line, true)?)
    };
    let (mut lines, mut sum, mut least, mut least_line) = (0, 0.0, f64::INFINITY, 0);
    for (line, number) in text.lines().zip(1..).filter(|(line, _)| !line.trim().is_empty()) {
        let (own, other) = (embed(a, line).map_err(failed)?, embed(b, line).map_err(failed)?);
        if own.len() != other.len() {
            let text = format!(
                "the vectors of the models have {} and {} elements\n  help: compare variants of one model",
                own.len(),
                other.len()
            );
            return Err(Failure::usage_with(Code::NotComparable, text));
        }
        let cosine = cosine(&own, &other);
        if !cosine.is_finite() {
            let text = format!(
                "line {number}: the cosine is {cosine}: a vector is zero, or has an element that is not finite\n  help: if the \
                 weights are in f16, build the model with --dtype f32; otherwise check its weights"
            );
            return Err(Failure::model_with(Code::NotFinite, text));
        }
        lines += 1;
        sum += cosine;
        if cosine < least {
            (least, least_line) = (cosine, number);
        }
    }
    if lines == 0 {
        let text = format!("{} has no line of text\n  help: name a file with one sentence per line", in_line(path));
        return Err(Failure::usage_with(Code::NothingToEvaluate, text));
    }
    Ok(Measured::Cosine { lines, mean: sum / lines as f64, least, least_line })
}

fn cosine(a: &[f32], b: &[f32]) -> f64 {
    let product = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum::<f64>();
    product(a, b) / (product(a, a) * product(b, b)).sqrt()
}

impl Evaluation {
    fn lines(&self) -> String {
        match &self.measured {
            Measured::Perplexity { tokens, perplexities, agreement } => {
                let line = |(at, (model, perplexity)): (usize, (&PathBuf, &f64))| {
                    let change = 100.0 * (perplexity / perplexities[0] - 1.0);
                    let change = if at == 0 { String::new() } else { format!(" ({change:+.2} %)") };
                    format!("{}: perplexity {perplexity:.4}{change}\n", in_line(model))
                };
                let lines: String = self.models.iter().zip(perplexities).enumerate().map(line).collect();
                let agreement = agreement.map(|share| {
                    format!("the most probable token is the same at {:.2} % of the positions\n", 100.0 * share)
                });
                format!(
                    "{}, {} of {}\n{lines}{}",
                    self.runtime,
                    counted(*tokens, "token"),
                    in_line(&self.text),
                    agreement.unwrap_or_default()
                )
            }
            Measured::Cosine { lines, mean, least, least_line } => format!(
                "{}, {} of {}\ncosine {mean:.6} in the mean, {least:.6} at least (line {least_line})\n",
                self.runtime,
                counted(*lines, "line"),
                in_line(&self.text)
            ),
        }
    }
}
