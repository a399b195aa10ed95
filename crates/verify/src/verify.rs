//! Verifies one model, or compares two.

use crate::error::shortened;
use crate::file::ModelFile;
use crate::given::beyond_table;
use crate::interface::fixed_dims;
use crate::layers::by_layer;
use crate::progress::OnRun;
use crate::ranges::ranges;
use crate::runs::judge;
use crate::special::Special;
use crate::tolerance::{Arithmetic, has_accuracy_level_4};
use crate::verdict::{Outputs, Verdict};
use crate::{Reason, Runtime, VerifyError};
use netwright_ir::{Dim, Symbol};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// Options of a verification.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Options {
    /// The sizes of symbols in the inputs' shapes: a number, or an expression over other symbols. The sizes of other
    /// symbols are derived from names, axes and constants of the model.
    pub dims: BTreeMap<Symbol, Dim>,
    /// The seed of the inputs of the first run; each further run uses the next seed.
    pub seed: u64,
    /// How far floats may differ; see [`compare`](crate::compare()). `None` for the tolerance of the narrowest float type
    /// in which one of the models computes: one of [`TOLERANCES`](crate::TOLERANCES), or
    /// [`TOLERANCE`](crate::TOLERANCE) for `f32` and `f64`.
    pub tolerance: Option<f64>,
    /// The cosine over all runs that every float output must have if one is beyond the tolerance; its norm must not differ
    /// by a factor of more than 1.5. If no output has floats, all must be equal. `None` for the smallest cosine of the
    /// narrowest quantization, one of [`MIN_COSINES`](crate::MIN_COSINES), if the models are quantized differently and no
    /// tolerance is given; otherwise an output beyond the tolerance is not accepted.
    pub min_cosine: Option<f64>,
    /// Whether to compare the values that two models have in common, in the order in which the second one computes them,
    /// for the sizes and inputs for which outputs differ. The verdict is [`Verdict::ByLayer`].
    pub by_layer: bool,
    /// The values of the first model to record the largest magnitudes of, instead of judging the outputs; if there are any,
    /// the verdict is [`Verdict::Ranges`].
    pub ranges_of: Vec<String>,
    /// The folder into which links to external data may lead; see [`ModelFile::open_with`].
    pub data_dir: Option<PathBuf>,
    /// Whether to try lengths of 512, and lengths of 64 also for large models.
    pub long: bool,
    /// The inputs to use instead of generated ones: a safetensors file, or a folder of `.npy` files.
    pub inputs: Option<PathBuf>,
    /// The runtime that judges.
    pub runtime: Runtime,
    /// The runtime for models that the first cannot judge.
    pub fallback: Option<Runtime>,
    /// Called when a run starts.
    pub on_run: Option<OnRun>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            dims: BTreeMap::new(),
            seed: 0,
            tolerance: None,
            min_cosine: None,
            by_layer: false,
            ranges_of: vec![],
            data_dir: None,
            long: false,
            inputs: None,
            runtime: Runtime::Tract,
            fallback: None,
            on_run: None,
        }
    }
}

impl Options {
    /// Sets [`dims`](Self::dims).
    pub fn with_dims(mut self, dims: impl IntoIterator<Item = (Symbol, Dim)>) -> Self {
        self.dims = dims.into_iter().collect();
        self
    }

    /// Sets [`seed`](Self::seed).
    pub fn with_seed(mut self, seed: u64) -> Self {
        self.seed = seed;
        self
    }

    /// Sets [`tolerance`](Self::tolerance).
    pub fn with_tolerance(mut self, tolerance: impl Into<Option<f64>>) -> Self {
        self.tolerance = tolerance.into();
        self
    }

    /// Sets [`min_cosine`](Self::min_cosine).
    pub fn with_min_cosine(mut self, min_cosine: impl Into<Option<f64>>) -> Self {
        self.min_cosine = min_cosine.into();
        self
    }

    /// Sets [`by_layer`](Self::by_layer).
    pub fn with_by_layer(mut self, by_layer: bool) -> Self {
        self.by_layer = by_layer;
        self
    }

    /// Sets [`ranges_of`](Self::ranges_of).
    pub fn with_ranges_of<N: Into<String>>(mut self, names: impl IntoIterator<Item = N>) -> Self {
        self.ranges_of = names.into_iter().map(Into::into).collect();
        self
    }

    /// Sets [`data_dir`](Self::data_dir).
    pub fn with_data_dir(mut self, data_dir: impl Into<PathBuf>) -> Self {
        self.data_dir = Some(data_dir.into());
        self
    }

    /// Sets [`long`](Self::long).
    pub fn with_long(mut self, long: bool) -> Self {
        self.long = long;
        self
    }

    /// Sets [`inputs`](Self::inputs).
    pub fn with_inputs(mut self, inputs: impl Into<PathBuf>) -> Self {
        self.inputs = Some(inputs.into());
        self
    }

    /// Sets [`runtime`](Self::runtime).
    pub fn with_runtime(mut self, runtime: Runtime) -> Self {
        self.runtime = runtime;
        self
    }

    /// Sets [`fallback`](Self::fallback).
    pub fn with_fallback(mut self, fallback: Runtime) -> Self {
        self.fallback = Some(fallback);
        self
    }

    /// Sets [`on_run`](Self::on_run).
    pub fn with_on_run(mut self, on_run: OnRun) -> Self {
        self.on_run = Some(on_run);
        self
    }
}

/// Verifies the model file `a`, or compares `a` and `b`, in this process, which a runtime can crash.
///
/// See [`verify_models`]; for untrusted files use a [`Worker`](crate::Worker).
///
/// # Errors
/// If nothing was judged: a file cannot be read, or the options do not fit the model.
pub fn verify(a: impl AsRef<Path>, b: Option<&Path>, options: &Options) -> Result<Verdict, VerifyError> {
    let a = a.as_ref();
    with_fallback(options, |options| judge_paths(a, b, options))
}

/// Opens models, and judges them in one runtime.
pub(crate) fn judge_paths(a: &Path, b: Option<&Path>, options: &Options) -> Result<Judged, VerifyError> {
    let open = |path: &Path| ModelFile::open_with(path, options.data_dir.as_deref());
    match open(a).and_then(|a| Ok((a, b.map(open).transpose()?))) {
        Ok((a, b)) => judge_in(&a, b.as_ref(), options),
        Err(error) => verdict(error, &options.runtime, false).map(Judged::new),
    }
}

/// Verifies one model, or compares two.
///
/// One model must run for several [bindings](crate::bindings()) of its symbolic dims, with finite outputs of the
/// declared types and shapes. Two models must have the same inputs and outputs, and equal outputs for equal inputs.
///
/// If outputs differ beyond the tolerance, both models run again in f64. If they agree then, and the error is below 100
/// times the tolerance, the difference is [rounding](crate::RoundingEvidence) and is accepted. If a model computes in f16 or
/// bf16, a larger difference is accepted too, if noise in the last bits of that type changes the outputs of the first model
/// as much: a row that is masked as a whole depends on digits that only some runtimes keep. The same holds for models that
/// agree in f64 only after their weights are rounded to that type.
///
/// [`Options::fallback`] judges what [`Options::runtime`] cannot judge or fails to run.
///
/// # Errors
/// If the options do not fit the models.
pub fn verify_models(a: &ModelFile, b: Option<&ModelFile>, options: &Options) -> Result<Verdict, VerifyError> {
    with_fallback(options, |options| judge_in(a, b, options))
}

/// A verdict, and whether it depends on the runtime more than others do.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Judged {
    #[serde(flatten)]
    pub(crate) verdict: Verdict,
    /// Whether a model computes in a narrow type, which each runtime does in its own way.
    #[serde(default)]
    pub(crate) is_narrow: bool,
}

impl Judged {
    pub(crate) fn new(verdict: Verdict) -> Self {
        Self { verdict, is_narrow: false }
    }
}

/// Judges in one runtime. ONNX Runtime judges two models also without the int8 activations of MatMulNBits, which it
/// computes so on purpose.
pub(crate) fn judge_in(a: &ModelFile, b: Option<&ModelFile>, options: &Options) -> Result<Judged, VerifyError> {
    let models = || std::iter::once(a).chain(b);
    let is_narrow =
        options.ranges_of.is_empty() && models().any(|model| Arithmetic::of(model, &options.runtime).is_narrow());
    let special = if options.inputs.is_none() { Special::new(a, b) } else { Special::default() };
    let in_runtime = |options: &Options| {
        let result = match options.runtime {
            Runtime::Tract => judge_or_compare(&a.to_judge(), b.map(ModelFile::to_judge).as_ref(), &special, options),
            Runtime::Ort(_) => judge_or_compare(a, b, &special, options),
        };
        result.or_else(|error| verdict(error, &options.runtime, false))
    };
    let mut found = in_runtime(options)?;
    if let (true, Runtime::Ort(runtime)) = (b.is_some() && found.is_fine(), &options.runtime)
        && options.runtime.has_accuracy_levels()
        && models().any(has_accuracy_level_4)
    {
        let exact = Runtime::Ort(runtime.clone().with_exact_products());
        found = found.and(in_runtime(&options.clone().with_runtime(exact))?);
    }
    Ok(Judged { verdict: found, is_narrow })
}

fn judge_or_compare(
    a: &ModelFile,
    b: Option<&ModelFile>,
    special: &Special,
    options: &Options,
) -> Result<Verdict, VerifyError> {
    let (dims, note) = b.map(|b| fixed_dims(a, b, &options.dims)).unwrap_or_default();
    let options = &options.clone().with_dims(options.dims.clone().into_iter().chain(dims));
    let verdict = match b.filter(|_| options.by_layer) {
        _ if !options.ranges_of.is_empty() => ranges(a, options),
        Some(b) => by_layer(a, b, special, options),
        None => judge(a, b, special, options),
    };
    let has_failed = match &verdict {
        Ok(Verdict::Ranges { left_out, .. }) => !left_out.is_empty(),
        Err(VerifyError::Runtime { .. } | VerifyError::Panic { .. }) => true,
        _ => false,
    };
    if let (true, Some(error)) = (has_failed, options.inputs.as_ref().and_then(|path| beyond_table(path, a))) {
        return Err(error);
    }
    verdict.map(|verdict| verdict.noted(note))
}

/// Returns the verdict of `judge` in the first runtime; in the fallback too, if the first cannot judge, or if it finds no
/// fault in models that compute in a narrow type.
pub(crate) fn with_fallback(
    options: &Options,
    judge: impl Fn(&Options) -> Result<Judged, VerifyError>,
) -> Result<Verdict, VerifyError> {
    let Judged { verdict: first, is_narrow } = judge(options)?;
    let Some(fallback) = &options.fallback else { return Ok(first) };
    let is_open = matches!(
        first,
        Verdict::NotVerifiable { .. }
            | Verdict::Fails { runtime: Some(_), .. }
            | Verdict::ByLayer { outputs: Outputs::NotJudged | Outputs::Fail, .. }
    );
    let is_to_be_seconded = is_narrow && first.is_fine();
    if !(is_open || is_to_be_seconded) {
        return Ok(first);
    }
    let other = match judge(&options.clone().with_runtime(fallback.clone())) {
        Ok(judged) => judged.verdict,
        Err(error @ VerifyError::OnnxRuntimeLibrary { .. }) => {
            let runtime = fallback.to_string();
            let reasons = vec![Reason { place: runtime.clone(), why: error.to_string() }];
            Verdict::NotVerifiable { file: runtime.clone(), runtime, reasons }
        }
        Err(error) => return Err(error),
    };
    Ok(match (first, other) {
        (
            Verdict::NotVerifiable { file, runtime, mut reasons },
            Verdict::NotVerifiable { runtime: other, reasons: others, .. },
        ) => {
            reasons.extend(others);
            Verdict::NotVerifiable { file, runtime: format!("{runtime} or {other}"), reasons }
        }
        (first, other) if first.is_fine() => first.and(other),
        (first, Verdict::NotVerifiable { .. }) => first,
        (_, other) => other,
    })
}

/// Returns the verdict for an error. `proven` means that the runtime ran the other model, so a failure is the fault of
/// this one.
pub(crate) fn verdict(error: VerifyError, runtime: &Runtime, proven: bool) -> Result<Verdict, VerifyError> {
    let runtime = runtime.to_string();
    let not_verifiable = |file, place, why| {
        let reasons = vec![Reason { place, why }];
        Ok(Verdict::NotVerifiable { file, runtime: runtime.clone(), reasons })
    };
    match error {
        VerifyError::NotVerifiable { file, runtime, reasons } => Ok(Verdict::NotVerifiable { file, runtime, reasons }),
        VerifyError::Decode { file, cause } => {
            Ok(Verdict::Fails { file, why: format!("it is not an ONNX model: {cause}"), runtime: None })
        }
        VerifyError::ExternalData { file, tensor, cause } => {
            let why = format!("the external data of tensor `{tensor}` cannot be read: {cause}");
            Ok(Verdict::Fails { file, why, runtime: None })
        }
        VerifyError::Runtime { file, runtime, action, cause } | VerifyError::Panic { file, runtime, action, cause }
            if proven =>
        {
            let why = format!("{runtime} runs the first model, and failed to {action}: {}", shortened(&cause));
            Ok(Verdict::Fails { file, why, runtime: Some(runtime) })
        }
        VerifyError::Unmakable { file, input, cause } => not_verifiable(file, format!("input `{input}`"), cause),
        // A runtime may refuse a correct model.
        VerifyError::Runtime { file, runtime, action, cause } => {
            not_verifiable(file, runtime, format!("it failed to {action}: {}", shortened(&cause)))
        }
        VerifyError::Panic { file, runtime, action, cause } => {
            not_verifiable(file, runtime, format!("it panicked when trying to {action}: {}", shortened(&cause)))
        }
        error => Err(error),
    }
}
