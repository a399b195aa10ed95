//! Folders of sentence-transformers: which modules follow a Transformer, and how its states become one vector.

use crate::families::{Pooling, PoolingMode, SentenceLayer};
use crate::layers::{Activation, Linear, Norm, NormKind};
use crate::{OpenError, Settings, SettingsError, Weights};
use netwright_ir::Tensor;
use netwright_ir::files;
use serde::Deserialize;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// A module of a sentence-transformers folder: an entry of `modules.json`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[non_exhaustive]
pub struct SentenceModule {
    /// The folder of the module in that folder; empty for the folder itself.
    pub path: String,
    /// The class in Python, such as `sentence_transformers.models.Pooling`.
    #[serde(rename = "type")]
    pub class: String,
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
    pub(crate) pooling: Pooling,
    /// The weights of the layers after the pooling.
    pub(crate) weights: BTreeMap<String, Tensor>,
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

/// Reads the modules of a folder, if it is one of sentence-transformers.
pub(crate) fn open(folder: &Path) -> Result<Option<Sentences>, OpenError> {
    let Some(modules) = sentence_modules(folder)? else { return Ok(None) };
    let beside = |why: String| OpenError::Beside { path: folder.join("modules.json"), why };
    let mut transformer = None;
    let mut pooling: Option<Pooling> = None;
    let mut weights = BTreeMap::new();
    for own in modules {
        let SentenceModule { path: place, class } = &own;
        let module = folder.join(place);
        let config = || Settings::open(module.join("config.json"));
        let layer = match (own.kind(), &pooling) {
            ("Transformer", None) if transformer.is_none() => {
                transformer = Some(module);
                continue;
            }
            ("Pooling", None) if transformer.is_some() => {
                pooling = Some(Pooling { modes: modes(&config()?)?, layers: vec![] });
                continue;
            }
            ("Normalize", Some(_)) => SentenceLayer::Normalize,
            ("Dense", Some(_)) => dense(&config()?, place)?,
            ("LayerNorm", Some(_)) => norm(&config()?, place)?,
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
    match (transformer, pooling) {
        (Some(folder), Some(pooling)) => Ok(Some(Sentences { folder, pooling, weights })),
        _ => Err(beside("it has no Transformer followed by a Pooling".to_owned())),
    }
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

/// Returns the modes of `1_Pooling/config.json`.
fn modes(settings: &Settings) -> Result<Vec<PoolingMode>, SettingsError> {
    settings.ignore(&["word_embedding_dimension", "embedding_dimension"]);
    // Without a prompt, all tokens belong to the text.
    settings.flag("include_prompt", true)?;
    let word = settings.word("pooling_mode")?;
    let mut modes = vec![];
    for (option, name, mode) in MODES {
        if settings.flag(option, false)? || word == Some(name) {
            modes.push(mode);
        }
    }
    settings.finish()?;
    let names = || MODES.map(|(_, name, _)| name).join(", ");
    match word {
        _ if modes.is_empty() && word.is_none() => {
            Err(settings.wrong("pooling_mode_mean_tokens", "true, or another mode"))
        }
        Some(_) if modes.is_empty() => Err(settings.wrong("pooling_mode", format!("one of {}", names()))),
        _ => Ok(modes),
    }
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
