//! Folders of sentence-transformers: which modules follow a Transformer, and how its states become one vector.

use crate::families::{Pooling, PoolingMode, SentenceLayer};
use crate::layers::{Activation, Linear, Norm, NormKind};
use crate::{OpenError, Settings, SettingsError, Weights};
use netwright_ir::Tensor;
use netwright_ir::files;
use serde::Deserialize;
use serde::de::IgnoredAny;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// A module of a sentence-transformers folder: an entry of `modules.json`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(from = "Entry")]
#[non_exhaustive]
pub struct SentenceModule {
    /// The folder of the module in that folder; empty for the folder itself.
    pub path: String,
    /// The class in Python, such as `sentence_transformers.models.Pooling`.
    pub class: String,
}

/// All keys of an entry of `modules.json`. Those that are not used do not change what a module computes.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    path: String,
    #[serde(rename = "type")]
    class: String,
    #[serde(rename = "idx")]
    _index: Option<IgnoredAny>,
    #[serde(rename = "name")]
    _name: Option<IgnoredAny>,
    /// The arguments of `encode` that the module takes.
    #[serde(rename = "kwargs")]
    _arguments: Option<IgnoredAny>,
}

impl From<Entry> for SentenceModule {
    fn from(Entry { path, class, .. }: Entry) -> Self {
        Self { path, class }
    }
}

impl SentenceModule {
    /// Returns the name of the class without that of its package: `Transformer`, `Pooling`, `Dense` and others.
    pub fn kind(&self) -> &str {
        self.class.rsplit('.').next().unwrap_or_default()
    }
}

/// A folder of sentence-transformers.
pub(crate) struct Sentences {
    /// The folder of the Transformer.
    pub(crate) folder: PathBuf,
    /// The modules after the Transformer; a `CrossEncoder` has none.
    pub(crate) pooling: Option<Pooling>,
    /// The weights of the layers after the pooling.
    pub(crate) weights: BTreeMap<String, Tensor>,
    /// The classes of modules whose code is published with the weights.
    pub(crate) own_classes: Vec<String>,
    /// What sentence-transformers does besides, and the model does not.
    pub(crate) left_to_callers: Vec<String>,
}

/// Reads `modules.json` of a folder; `None` if it has none.
///
/// # Errors
/// If the file is invalid, or names a module outside of the folder.
pub fn sentence_modules(folder: impl AsRef<Path>) -> Result<Option<Vec<SentenceModule>>, OpenError> {
    let path = folder.as_ref().join("modules.json");
    if !path.exists() {
        return Ok(None);
    }
    let text = files::read_text(&path, 1 << 20)?;
    let beside = |why: String| OpenError::Beside { path: path.clone(), why };
    let modules: Vec<SentenceModule> = serde_json::from_str(&text).map_err(|error| beside(error.to_string()))?;
    match modules.iter().find(|module| module.path.contains(['/', '\\']) || module.path.starts_with('.')) {
        Some(SentenceModule { path, .. }) => Err(beside(format!("the module {path:?} is not in the folder"))),
        None => Ok(Some(modules)),
    }
}

/// The names that the configuration of the Transformer has, of which the first that exists is read.
const TRANSFORMER: [&str; 7] = [
    "sentence_bert_config.json",
    "sentence_roberta_config.json",
    "sentence_distilbert_config.json",
    "sentence_camembert_config.json",
    "sentence_albert_config.json",
    "sentence_xlm-roberta_config.json",
    "sentence_xlnet_config.json",
];

/// Arguments of `from_pretrained` that say from where, where to and with which code a model is loaded, and not what it
/// computes.
const LOADING: [&str; 24] = [
    "add_pooling_layer",
    "attn_implementation",
    "cache_dir",
    "code_revision",
    "device",
    "device_map",
    "dtype",
    "export",
    "file_name",
    "force_download",
    "local_files_only",
    "low_cpu_mem_usage",
    "max_memory",
    "offload_buffers",
    "offload_folder",
    "offload_state_dict",
    "provider",
    "provider_options",
    "revision",
    "token",
    "torch_dtype",
    "trust_remote_code",
    "use_auth_token",
    "use_safetensors",
];

/// Reads how sentence-transformers loads the Transformer of a folder: `None` if nothing says so.
///
/// # Errors
/// If the Transformer is not loaded as its own configuration and weights define it.
pub(crate) fn arguments(transformer: &Path, ignored: &[String]) -> Result<Option<Settings>, OpenError> {
    let Some(path) = TRANSFORMER.iter().map(|name| transformer.join(name)).find(|path| path.exists()) else {
        return Ok(None);
    };
    let settings = Settings::open(path)?.without(ignored);
    for name in ["config_args", "config_kwargs", "model_args", "model_kwargs"] {
        let Some(arguments) = settings.section(name)? else { continue };
        let mut others = arguments.names().filter(|name| !LOADING.contains(name) && arguments.has(name));
        if let Some(other) = others.next() {
            let law = format!(
                "absent, because it changes the model that config.json defines\n  help: write it into config.json if it is an \
                 option of the model; pass --ignore-option {name}.{other} to build the model without it"
            );
            return Err(arguments.wrong(other, law).into());
        }
    }
    Ok(Some(settings))
}

/// The kinds of folders: the class in Python, the task of its Transformer, and the names of its states there.
const KINDS: [[&str; 4]; 2] = [
    ["SentenceTransformer", "feature-extraction", "last_hidden_state", "token_embeddings"],
    ["CrossEncoder", "sequence-classification", "logits", "scores"],
];

/// Checks that a Transformer has the task and the states of a kind of folder.
fn expect_states(settings: &Settings, [_, task, states, output]: [&str; 4]) -> Result<(), SettingsError> {
    // The first of these concern the tokens, the last does not change results.
    settings.ignore(&["do_lower_case", "max_seq_length", "processing_kwargs", "processor_kwargs", "tokenizer_args"]);
    settings.ignore(&["tokenizer_name_or_path", "unpad_inputs"]);
    settings.must_be("transformer_task", task)?;
    settings.must_be("module_output_name", output)?;
    let modalities = settings.section("modality_config")?;
    for modality in modalities.as_ref().map_or(Ok(vec![]), Settings::sections)? {
        modality.ignore(&["format"]);
        modality.must_be("method", "forward")?;
        modality.must_be("method_output_name", states)?;
    }
    settings.finish()
}

/// Reads the modules of a folder, if it is one of sentence-transformers.
pub(crate) fn open(folder: &Path, ignored: &[String]) -> Result<Option<Sentences>, OpenError> {
    let Some(modules) = sentence_modules(folder)? else { return Ok(None) };
    let path = folder.join("modules.json");
    let beside = |why: String| OpenError::Beside { path: path.clone(), why };
    let whole = folder.join("config_sentence_transformers.json");
    let whole = if whole.exists() { Settings::open(whole)? } else { Settings::parse(&path, "{}")? }.without(ignored);
    let class = whole.word("model_type")?;
    let kind = KINDS.into_iter().find(|kind| kind[0] == class.unwrap_or(KINDS[0][0]));
    let kind = kind.ok_or_else(|| whole.wrong("model_type", "SentenceTransformer or CrossEncoder"))?;
    let is_reranker = kind == KINDS[1];
    let mut transformer = None;
    let mut pooling: Option<Pooling> = None;
    let mut weights = BTreeMap::new();
    let own_classes = modules.iter().map(|module| module.class.clone());
    let own_classes = own_classes.filter(|class| !class.starts_with("sentence_transformers.")).collect();
    for own in modules {
        let SentenceModule { path: place, class } = &own;
        let module = folder.join(place);
        let config = || Ok::<_, SettingsError>(Settings::open(module.join("config.json"))?.without(ignored));
        let layer = match (own.kind(), &pooling) {
            ("Transformer", None) if transformer.is_none() => {
                if let Some(settings) = arguments(&module, ignored)? {
                    expect_states(&settings, kind)?;
                }
                transformer = Some(module);
                continue;
            }
            ("Pooling", None) if transformer.is_some() && !is_reranker => {
                pooling = Some(Pooling { modes: modes(&config()?)?, layers: vec![] });
                continue;
            }
            ("Normalize", Some(_)) => SentenceLayer::Normalize,
            ("Dense", Some(_)) => dense(&config()?, place)?,
            ("LayerNorm", Some(_)) => norm(&config()?, place)?,
            _ if is_reranker => {
                return Err(beside(format!(
                    "the module {class} is not supported here; a CrossEncoder must be one Transformer\n  help: pass --task \
                     to build the Transformer alone, such as --task text-generation"
                )));
            }
            _ => {
                return Err(beside(format!(
                    "the module {class} is not supported here; expected Transformer, then Pooling, then any of Dense, \
                     LayerNorm and Normalize\n  help: pass --task feature-extraction to build the Transformer alone"
                )));
            }
        };
        if !matches!(layer, SentenceLayer::Normalize)
            && let Weights::Trained(tensors) = Weights::open_folder(&module)?
        {
            weights.extend(tensors.into_iter().map(|(name, tensor)| (format!("{place}.{name}"), tensor)));
        }
        if let Some(pooling) = &mut pooling {
            pooling.layers.push(layer);
        }
    }
    let left_to_callers = after(&whole, &mut pooling)?;
    match (transformer, pooling) {
        (Some(folder), pooling) if pooling.is_some() || is_reranker => {
            Ok(Some(Sentences { folder, pooling, weights, own_classes, left_to_callers }))
        }
        _ => Err(beside("it has no Transformer followed by a Pooling".to_owned())),
    }
}

/// Reads what `config_sentence_transformers.json` says about texts and results: adds to the pooling what follows it, and
/// returns what is left to callers.
fn after(settings: &Settings, pooling: &mut Option<Pooling>) -> Result<Vec<String>, SettingsError> {
    settings.ignore(&["__version__", "similarity_fn_name"]);
    let mut left = vec![];
    let default = settings.word("default_prompt_name")?;
    if let (Some(name), Some(prompts)) = (default, settings.section("prompts")?) {
        prompts.ignore(&prompts.names().collect::<Vec<_>>());
        let prompt = prompts.word(name)?.filter(|prompt| !prompt.is_empty());
        left.extend(
            prompt.map(|prompt| format!("writes the prompt {prompt:?} before every text (default_prompt_name)")),
        );
    }
    if let Some(pooling) = pooling {
        if let Some(width) = settings.optional_size("truncate_dim")? {
            pooling.layers.push(SentenceLayer::Truncate(width));
        }
    } else {
        left.extend(scored(settings.word("activation_fn")?));
    }
    settings.finish()?;
    Ok(left)
}

/// Returns what a `CrossEncoder` does with logits, if it is anything.
pub(crate) fn scored(activation: Option<&str>) -> Option<String> {
    activation.filter(|name| !name.ends_with(".Identity")).map(|name| format!("applies {name} to the logits"))
}

/// The poolings by flag and by name, in the order in which their vectors are concatenated.
const MODES: [(&str, &str, PoolingMode); 6] = [
    ("pooling_mode_cls_token", "cls", PoolingMode::First),
    ("pooling_mode_max_tokens", "max", PoolingMode::Max),
    ("pooling_mode_mean_tokens", "mean", PoolingMode::Mean),
    ("pooling_mode_mean_sqrt_len_tokens", "mean_sqrt_len_tokens", PoolingMode::MeanSqrt),
    ("pooling_mode_weightedmean_tokens", "weightedmean", PoolingMode::WeightedMean),
    ("pooling_mode_lasttoken", "lasttoken", PoolingMode::Last),
];

/// Returns the modes of `1_Pooling/config.json`, in the order of their vectors.
fn modes(settings: &Settings) -> Result<Vec<PoolingMode>, SettingsError> {
    settings.ignore(&["word_embedding_dimension", "embedding_dimension"]);
    if !settings.flag("include_prompt", true)? {
        let law = "true, because the model cannot tell the tokens of a prompt from those of the text\n  help: pass \
                   --ignore-option include_prompt if texts have no prompt";
        return Err(settings.wrong("include_prompt", law));
    }
    let names = settings.word_or_words("pooling_mode")?;
    // The names replace the flags.
    let mut modes = vec![];
    for (option, _, mode) in MODES {
        if settings.flag(option, false)? && names.is_none() {
            modes.push(mode);
        }
    }
    for name in names.iter().flatten() {
        let mode = MODES.iter().find(|(_, own, _)| own == name);
        let law = || format!("one of {}, or a list of them", MODES.map(|(_, name, _)| name).join(", "));
        modes.push(mode.ok_or_else(|| settings.wrong("pooling_mode", law()))?.2);
    }
    settings.finish()?;
    if modes.is_empty() {
        let option = if names.is_some() { "pooling_mode" } else { "pooling_mode_mean_tokens" };
        return Err(settings.wrong(option, if names.is_some() { "a mode or several" } else { "true, or another mode" }));
    }
    Ok(modes)
}

/// Returns the layer of `2_Dense/config.json`.
fn dense(settings: &Settings, place: &str) -> Result<SentenceLayer, SettingsError> {
    const EMBEDDING: &str = "sentence_embedding";
    settings.must_be("module_input_name", EMBEDDING)?;
    settings.must_be("module_output_name", EMBEDDING)?;
    let (inputs, outputs) = (settings.size("in_features")?, settings.size("out_features")?);
    let function = settings.word("activation_function")?.map(|path| path.rsplit('.').next().unwrap_or_default());
    let activation = match function {
        None | Some("Tanh") => Some(Activation::Tanh),
        Some("Identity") => None,
        Some("ReLU") => Some(Activation::Relu),
        Some("GELU") => Some(Activation::Gelu),
        Some("SiLU") => Some(Activation::Silu),
        Some(_) => return Err(settings.wrong("activation_function", "Identity, Tanh, ReLU, GELU or SiLU of torch.nn")),
    };
    let linear = Linear::new(format!("{place}.linear"), inputs, outputs, settings.flag("bias", true)?);
    settings.finish()?;
    Ok(SentenceLayer::Dense(linear, activation))
}

/// Returns the layer of `2_LayerNorm/config.json`.
fn norm(settings: &Settings, place: &str) -> Result<SentenceLayer, SettingsError> {
    let width = settings.size("dimension")?;
    settings.finish()?;
    Ok(SentenceLayer::Norm(Norm::new(format!("{place}.norm"), NormKind::LayerNorm, width, 1e-5)))
}
