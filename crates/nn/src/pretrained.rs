//! Pretrained models: folders with `config.json` and safetensors.

use crate::adapter::{self, Adapter};
use crate::families::{Architecture, FAMILIES, Family, Head, Pooling, why_not};
use crate::gguf::{self, DerivedFile, Gguf};
use crate::layers::CacheForm;
use crate::quantized;
use crate::sentences;
use crate::weights::Unused;
use crate::{
    BuildErrors, Builder, Config, Part, RangeError, Settings, SettingsError, Task, Transformer, WeightError, Weights,
};
use netwright_ir::files::{self, Code};
use netwright_ir::nearest::meant;
use netwright_ir::{ElementType, Graph, Op};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// The first parts of the names of heads, which checkpoints have beside the model itself.
const HEADS: &[&str] = &[
    "classification_head.",
    "classifier.",
    "cls.predictions.",
    "cls.seq_relationship.",
    "contact_head.",
    "decoder.bias",
    "decoder.weight",
    "discriminator_predictions.",
    "embed_out.",
    "generator_lm_head.",
    "generator_predictions.",
    "head.dense.",
    "head.norm.",
    "lm_head.",
    "lm_predictions.",
    "mask_predictions.",
    "multiple_choice_head.",
    "pooler.",
    "pre_classifier.",
    "predictions.",
    "qa_outputs.",
    "score.",
    "sequence_summary.",
    "sop_classifier.",
    "vocab_layer_norm.",
    "vocab_projector.",
    "vocab_transform.",
];

/// Options of opening a folder.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct PretrainedOptions {
    /// The task; by default that of `architectures` in the configuration.
    pub task: Option<Task>,
    /// Whether decoders have a KV cache: past keys and values as inputs, present ones as outputs.
    pub with_past: bool,
    /// The form of the KV cache, if decoders have one.
    pub cache: CacheForm,
    /// The float type of the weights and of the computation.
    pub dtype: ElementType,
    /// Whether weights that are stored quantized become floats.
    pub dequantize: bool,
    /// Whether to ignore tensors that the model does not use, such as those of another head.
    pub allow_unused: bool,
    /// Options of `config.json` to ignore.
    pub ignored_options: Vec<String>,
    /// The folder of a PEFT adapter that is merged into the weights.
    pub adapter: Option<PathBuf>,
    /// Additional families, tried before [`FAMILIES`].
    pub families: Vec<Family>,
}

impl Default for PretrainedOptions {
    fn default() -> Self {
        Self {
            task: None,
            with_past: false,
            cache: CacheForm::default(),
            dtype: ElementType::F32,
            dequantize: false,
            allow_unused: false,
            ignored_options: vec![],
            adapter: None,
            families: vec![],
        }
    }
}

impl PretrainedOptions {
    /// Sets [`task`](Self::task).
    pub fn with_task(mut self, task: Task) -> Self {
        self.task = Some(task);
        self
    }

    /// Sets whether decoders have a KV cache.
    pub fn with_past(mut self, with_past: bool) -> Self {
        self.with_past = with_past;
        self
    }

    /// Sets the form of the KV cache.
    pub fn with_cache(mut self, cache: CacheForm) -> Self {
        self.cache = cache;
        self
    }

    /// Sets [`dtype`](Self::dtype).
    pub fn with_dtype(mut self, dtype: ElementType) -> Self {
        self.dtype = dtype;
        self
    }

    /// Sets [`dequantize`](Self::dequantize).
    pub fn with_dequantize(mut self, dequantize: bool) -> Self {
        self.dequantize = dequantize;
        self
    }

    /// Sets [`allow_unused`](Self::allow_unused).
    pub fn with_allow_unused(mut self, allow_unused: bool) -> Self {
        self.allow_unused = allow_unused;
        self
    }

    /// Sets [`ignored_options`](Self::ignored_options).
    pub fn with_ignored_options<N: Into<String>>(mut self, ignored_options: impl IntoIterator<Item = N>) -> Self {
        self.ignored_options = ignored_options.into_iter().map(Into::into).collect();
        self
    }

    /// Sets [`adapter`](Self::adapter).
    pub fn with_adapter(mut self, folder: impl Into<PathBuf>) -> Self {
        self.adapter = Some(folder.into());
        self
    }

    /// Sets [`families`](Self::families).
    pub fn with_families(mut self, families: Vec<Family>) -> Self {
        self.families = families;
        self
    }
}

/// A pretrained model: its architecture, and weights that stay in their files until they are written.
///
/// ```no_run
/// use netwright_nn::{Pretrained, PretrainedOptions};
/// let model = Pretrained::open("all-MiniLM-L6-v2", &PretrainedOptions::default())?;
/// for part in model.parts() {
///     let graph = model.build(*part, false)?;
///     println!("{part:?} has {} nodes", graph.len());
/// }
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct Pretrained {
    architecture: Box<dyn Architecture>,
    weights: Weights,
    dtype: ElementType,
    dequantize: bool,
    /// The task.
    pub task: Task,
    /// A line about weights that are stored quantized, if any are.
    pub stored: Option<String>,
    /// Files that a Hugging Face folder has, and the source does not.
    pub files: Vec<DerivedFile>,
    /// The weights in the folder that belong to heads for other tasks.
    pub heads: Vec<String>,
    /// The classes of models in the configuration whose code is published with the weights. It is not read: the model is
    /// that of transformers for the model type.
    pub own_classes: Vec<String>,
    /// What sentence-transformers does before or after the model, each as a phrase that follows its name.
    pub left_to_callers: Vec<String>,
    /// The folder of the Transformer, if it is within the folder that was opened.
    pub inner: Option<PathBuf>,
    parts: Vec<Part>,
    /// The graphs of the parts, declared when the folder was opened.
    declared: Vec<Graph>,
}

/// An error of opening a folder of a pretrained model.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// The configuration is invalid.
    #[error(transparent)]
    Settings(#[from] SettingsError),
    /// The weights do not fit the model.
    #[error(transparent)]
    Weights(#[from] WeightError),
    /// The graph cannot be built.
    #[error(transparent)]
    Build(#[from] BuildErrors),
    /// The model type is not supported.
    #[error(
        "{path}: the model type `{model_type}` is not supported{}\n  help: {}`netwright families` lists those that are",
        why.map_or_else(String::new, |why| format!(": {why}")),
        nearest.as_ref().map_or_else(String::new, |nearest| format!("did you mean `{nearest}`? "))
    )]
    Family {
        /// The configuration.
        path: PathBuf,
        /// Its `model_type`.
        model_type: String,
        /// Why it is not, if there is a particular reason.
        why: Option<&'static str>,
        /// The model type that is likely meant, if one is similar.
        nearest: Option<String>,
    },
    /// The family does not support the task.
    #[error("{path}: {family} models do not support {task}\n  help: choose one of {}", tasks.join(", "))]
    Task {
        /// The configuration.
        path: PathBuf,
        /// The family.
        family: &'static str,
        /// The requested task, or an architecture of the configuration.
        task: String,
        /// The tasks that the family supports.
        tasks: Vec<&'static str>,
    },
    /// The model has no decoder with a KV cache.
    #[error("{path}: {family} models for {task} have no KV cache\n  help: leave out --with-past")]
    NoPast {
        /// The configuration.
        path: PathBuf,
        /// The family.
        family: &'static str,
        /// The task.
        task: Task,
    },
    /// The KV cache of the model cannot have the requested form.
    #[error("{path}: {family} models cannot have this KV cache: {why}")]
    Cache {
        /// The configuration.
        path: PathBuf,
        /// The family.
        family: &'static str,
        /// Why, and what to do.
        why: &'static str,
    },
    /// Another file of the folder is invalid.
    #[error("{path}: {why}")]
    Beside {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        why: String,
    },
    /// A file cannot be read.
    #[error(transparent)]
    File(#[from] files::FileError),
}

impl OpenError {
    /// Returns the code of this kind of error.
    pub fn code(&self) -> Code {
        match self {
            Self::Settings(error) => error.code(),
            Self::Weights(error) => error.code(),
            Self::Build(error) => error.code(),
            Self::Family { .. } => Code::ModelType,
            Self::Task { .. } => Code::Task,
            Self::NoPast { .. } => Code::NoCache,
            Self::Beside { .. } => Code::Companion,
            Self::Cache { .. } => Code::CacheForm,
            Self::File(error) => error.code(),
        }
    }
}

/// Returns why the decoder of a model cannot have a form of KV cache.
fn misfit(form: CacheForm, architecture: &dyn Architecture) -> Option<&'static str> {
    match form {
        CacheForm::Growing => None,
        _ if architecture.is_encoder_decoder() => Some(
            "the first pass of its decoder has no past, and the keys and values of its encoder have any length\n  help: choose \
             the default, or `merged`",
        ),
        CacheForm::Static { length: 0, .. } => {
            Some("a length of 0 has no room for a token\n  help: choose a larger length")
        }
        CacheForm::Sliding if architecture.windows().iter().all(Option::is_none) => Some(
            "none of its layers attends to a window, so all need the whole past\n  help: choose the default, or `static`",
        ),
        CacheForm::Sliding | CacheForm::Static { .. } => None,
    }
}

impl Pretrained {
    /// Opens a folder, or a GGUF file: reads its configuration, and checks that its weights are those of the model.
    ///
    /// A folder with one GGUF file and no safetensors is that file.
    ///
    /// # Errors
    /// If a file cannot be read or is malformed, the configuration has an unknown option or an unsupported value, or
    /// weights are missing, have another shape, or are not used.
    pub fn open(folder: impl AsRef<Path>, options: &PretrainedOptions) -> Result<Self, OpenError> {
        let folder = folder.as_ref();
        if let Some(file) = gguf::file_of(folder)? {
            let Gguf { settings, weights, stored, files } = gguf::open(&file, options.dequantize)?;
            let mut model = Self::new(&file, &settings, weights, None, options)?;
            (model.stored, model.files) = (stored, files);
            return Ok(model);
        }
        let ignored = &options.ignored_options;
        let sentences = sentences::open(folder, ignored);
        // The task decides; the modules after the Transformer may be unknown then.
        let is_alone = options.task.is_some_and(|task| task != Task::SentenceSimilarity);
        let refused = |folder: &Path, why: &str| {
            let path = folder.join(adapter::CONFIGURATION);
            if path.exists() { Err(OpenError::Beside { path, why: why.to_owned() }) } else { Ok(()) }
        };
        if !folder.join("config.json").exists() {
            let why = "it is an adapter of PEFT, not a model\n  help: build its base model, and pass this folder with \
                       --adapter";
            refused(folder, why)?;
        }
        let (inner, modules) = match sentences {
            Ok(Some(own)) => (own.folder.clone(), Some(own).filter(|_| !is_alone)),
            Err(error) if !is_alone || !folder.join("config.json").exists() => return Err(error),
            _ => (folder.to_owned(), None),
        };
        let pooling = modules.as_ref().and_then(|modules| modules.pooling.as_ref());
        if options.adapter.is_none() {
            let why = "transformers adds this adapter of PEFT to the model beside it\n  help: pass the folder with --adapter \
                       too, which merges it, or remove the file to build the model without it";
            refused(&inner, why)?;
        }
        if folder.join("modules.json").exists() {
            sentences::arguments(&inner, ignored)?;
        }
        let settings = Settings::open(inner.join("config.json"))?;
        let mut weights = Weights::open_folder(&inner).or_else(|error| {
            // A configuration that is not supported comes first: no weights would help.
            let options = PretrainedOptions { adapter: None, ..options.clone() };
            Self::new(&inner, &settings, Weights::Random { seed: 0 }, pooling, &options)?;
            Err(OpenError::from(error))
        })?;
        if let (Weights::Trained(tensors), Some(modules)) = (&mut weights, &modules) {
            tensors.extend(modules.weights.clone());
        }
        let mut model = Self::new(&inner, &settings, weights, pooling, options)?;
        model.inner = (inner != folder).then_some(inner);
        if let Some(modules) = modules {
            model.own_classes.extend(modules.own_classes);
            model.left_to_callers.extend(modules.left_to_callers);
        }
        Ok(model)
    }

    /// Returns the model of a configuration with random weights, which shows whether its options are supported. The
    /// weights decide about a pooler and the like, which this model has.
    ///
    /// # Errors
    /// If the configuration has an unknown option or an unsupported value.
    pub fn from_settings(settings: &Settings, options: &PretrainedOptions) -> Result<Self, OpenError> {
        Self::new(settings.path(), settings, Weights::Random { seed: 0 }, None, options)
    }

    /// Returns the paper's model with random weights.
    ///
    /// # Errors
    /// If a number of the configuration is out of range.
    pub fn random(config: &Config, seed: u64) -> Result<Self, RangeError> {
        Ok(Self {
            architecture: Box::new(Transformer::new(config)?),
            weights: Weights::Random { seed },
            dtype: ElementType::F32,
            dequantize: false,
            task: Task::Text2TextGeneration,
            stored: None,
            files: vec![],
            heads: vec![],
            own_classes: vec![],
            left_to_callers: vec![],
            inner: None,
            parts: vec![Part::Encoder, Part::Decoder],
            declared: vec![],
        })
    }

    fn new(
        folder: &Path,
        settings: &Settings,
        weights: Weights,
        pooling: Option<&Pooling>,
        options: &PretrainedOptions,
    ) -> Result<Self, OpenError> {
        let model_type = settings.model_type();
        let settings = settings.clone().without(&options.ignored_options).with_defaults_of(model_type);
        let known = options.families.iter().chain(FAMILIES).find(|family| family.model_types.contains(&model_type));
        let path = || settings.path().to_owned();
        let (mut weights, stored) = quantized::read(&settings, weights, options.dequantize)?;
        let adapter = options.adapter.as_deref().map(Adapter::open).transpose()?;
        let changes = match (&adapter, &mut weights) {
            (Some(adapter), Weights::Trained(tensors)) => {
                Some(adapter.merge(&settings, tensors, options.dequantize)?)
            }
            _ => None,
        };
        let trained_for = adapter.as_ref().map(Adapter::task).transpose()?.flatten();
        let family = known.ok_or_else(|| {
            let families = options.families.iter().chain(FAMILIES);
            let types = families.flat_map(|family| family.model_types.iter().copied());
            let nearest = meant(model_type, types).map(ToOwned::to_owned);
            let why = why_not(model_type);
            let nearest = nearest.filter(|_| why.is_none());
            OpenError::Family { path: path(), model_type: model_type.to_owned(), why, nearest }
        })?;
        let (architecture, task) = choose(family, &settings, pooling, options.task, trained_for)?;
        let head =
            Head { task, architecture, cache: options.with_past.then_some(options.cache), weights: &weights, pooling };
        let architecture = (family.read)(&settings, &head)?;
        settings.finish()?;
        if options.with_past && !architecture.has_cache() {
            return Err(OpenError::NoPast { path: path(), family: family.name, task });
        }
        if options.with_past
            && let Some(why) = misfit(options.cache, &*architecture)
        {
            return Err(OpenError::Cache { path: path(), family: family.name, why });
        }
        let parts = match (architecture.is_encoder_decoder(), options.with_past) {
            (false, _) => vec![Part::Whole],
            (true, false) => vec![Part::Encoder, Part::Decoder],
            (true, true) => vec![Part::Encoder, Part::Decoder, Part::DecoderWithPast],
        };
        let scores = Some(task).filter(|task| *task == Task::TextClassification);
        let scores = scores.and_then(|_| sentences::scored(settings.activation_of_scores()));
        let mut model = Self {
            architecture,
            weights,
            dtype: options.dtype,
            dequantize: options.dequantize,
            task,
            stored,
            files: vec![],
            heads: vec![],
            own_classes: settings.own_classes(),
            left_to_callers: scores.into_iter().collect(),
            inner: None,
            parts,
            declared: vec![],
        };
        let declare = |weights: &Weights| -> Result<Vec<Graph>, BuildErrors> {
            model.parts.iter().map(|part| model.declare(*part, weights, false)).collect()
        };
        let (graphs, failed) = match declare(&model.weights) {
            Ok(graphs) => (graphs, None),
            // Declare with random weights, so that all weights that do not fit are reported together.
            Err(errors) => (declare(&Weights::Random { seed: 0 })?, Some(errors)),
        };
        let path_of_weights = if folder.is_file() { folder.to_owned() } else { Weights::file_of(folder) };
        let declared: BTreeMap<String, Vec<u64>> = graphs.iter().flat_map(parameters).collect();
        let among = |parts: &[&str], name: &str| parts.iter().any(|part| name.contains(part));
        if let Some(changes) = &changes {
            let is_copy = |name: &str| among(model.architecture.copies(), name);
            changes.check(&model.parts, &graphs, &declared, settings.path(), is_copy)?;
        }
        let unused = |name: &str| {
            if options.allow_unused || among(model.architecture.leaves(), name) {
                Unused::Left
            } else if among(model.architecture.copies(), name) {
                Unused::Copy
            } else if HEADS.iter().any(|head| name.starts_with(head) || name.contains(&format!(".{head}"))) {
                Unused::Head
            } else {
                Unused::Refused
            }
        };
        model.heads = model.weights.expect(&path_of_weights, &declared, unused)?;
        if let Some(errors) = failed {
            return Err(errors.into());
        }
        model.declared = graphs;
        Ok(model)
    }

    /// Returns the graphs of the model, one for each file.
    pub fn parts(&self) -> &[Part] {
        &self.parts
    }

    /// Returns whether the model has an encoder and a decoder; [`Part::Whole`] is both in one graph.
    pub fn is_encoder_decoder(&self) -> bool {
        self.architecture.is_encoder_decoder()
    }

    /// Builds one of its graphs; with `attention_weights`, the attention weights of every layer are outputs too.
    ///
    /// # Errors
    /// If the model has no such part.
    pub fn build(&self, part: Part, attention_weights: bool) -> Result<Graph, BuildErrors> {
        let declared = self.parts.iter().zip(&self.declared).find(|(own, _)| **own == part && !attention_weights);
        declared.map_or_else(|| self.declare(part, &self.weights, attention_weights), |(_, graph)| Ok(graph.clone()))
    }

    fn declare(&self, part: Part, weights: &Weights, attention_weights: bool) -> Result<Graph, BuildErrors> {
        let builder = Builder::new(part.name(), weights).with_element(self.dtype).with_dequantize(self.dequantize);
        declare(&*self.architecture, &builder, part, attention_weights);
        builder.finish()
    }
}

/// Declares a graph on a builder.
fn declare<'b>(architecture: &dyn Architecture, builder: &'b Builder<'b>, part: Part, attention_weights: bool) {
    architecture.declare(builder, part);
    if attention_weights {
        builder.output_attention_weights();
    }
}

/// Returns the names and shapes of all parameters of a graph.
pub(crate) fn parameters(graph: &Graph) -> BTreeMap<String, Vec<u64>> {
    let is_dequantized = |value| {
        let mut users = graph.users(value).into_iter();
        users.any(|(user, _)| matches!(graph.node(user).op(), Op::DequantizeLinear { .. }))
    };
    let parameter = |id| {
        let value = graph.results(id).next()?;
        let dims = match graph.node(id).op() {
            Op::Parameter(tensor) if !is_dequantized(value) => tensor.dims().to_vec(),
            Op::DequantizeLinear { .. } => graph.tensor(graph.operand(id, 0)?)?.dims().to_vec(),
            _ => return None,
        };
        Some((graph.value_name(value).to_string(), dims))
    };
    graph.schedule().into_iter().filter_map(parameter).collect()
}

/// Returns the requested architecture and task, or those that an adapter was trained for, or those of the configuration.
fn choose(
    family: &Family,
    settings: &Settings,
    pooling: Option<&Pooling>,
    asked: Option<Task>,
    trained_for: Option<Task>,
) -> Result<(&'static str, Task), OpenError> {
    let known = family.architectures;
    let named = settings.words("architectures")?.and_then(|names| names.into_iter().next());
    let refuse = |what: String| {
        let tasks = family.tasks().into_iter().map(Task::name).collect();
        OpenError::Task { path: settings.path().to_owned(), family: family.name, task: what, tasks }
    };
    let asked = asked.or(pooling.map(|_| Task::SentenceSimilarity)).or(trained_for);
    if let Some(task) = asked {
        // Prefer the architecture of the configuration, if it is for the task.
        let own = known.iter().find(|(name, of)| *of == task && Some(*name) == named.as_deref());
        let any = own.or_else(|| known.iter().find(|(_, of)| *of == task));
        return any.copied().ok_or_else(|| refuse(task.to_string()));
    }
    match named {
        Some(named) => {
            known.iter().find(|(name, _)| *name == named).copied().ok_or_else(|| refuse(format!("`{named}`")))
        }
        None => known.first().copied().ok_or_else(|| refuse("anything".to_owned())),
    }
}

/// Asserts that a model can be opened in one thread and built in others.
const _: () = {
    const fn is_shared<T: Send + Sync>() {}
    is_shared::<Pretrained>();
};
