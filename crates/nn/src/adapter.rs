//! Adapters of PEFT: LoRA, merged into the weights of a base model block by block while they are written.
//!
//! The tensors of an adapter have the names of the modules that they change. A linear layer with the weight `W` `[outputs,
//! inputs]` becomes `W + scale · B · A`; other tensors replace those of the base.

use crate::weights::WeightError;
use crate::{OpenError, Part, Settings, SettingsError, Task, Weights};
use netwright_ir::{Graph, Op, Tensor, TensorError};
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

/// The file of the configuration.
pub(crate) const CONFIGURATION: &str = "adapter_config.json";

/// The files of the weights, the preferred one first.
const FILES: [&str; 2] = ["adapter_model.safetensors", "adapter_model.bin"];

/// Options that do not change what the tensors mean, and those that are read.
const KNOWN: &[&str] = &[
    "alpha_pattern",
    "auto_mapping",
    "base_model_name_or_path",
    "bias",
    "corda_config",
    "ensure_weight_tying",
    "eva_config",
    "exclude_modules",
    "fan_in_fan_out",
    "inference_mode",
    "init_lora_weights",
    "layers_pattern",
    "layers_to_transform",
    "loftq_config",
    "lora_alpha",
    "lora_dropout",
    "lora_ga_config",
    "megatron_core",
    "modules_to_save",
    "peft_type",
    "peft_version",
    "qalora_group_size",
    "r",
    "rank_pattern",
    "revision",
    "runtime_config",
    "target_modules",
    "task_type",
    "use_rslora",
];

/// Initializations that leave the weights of the base as they are.
const INITIALIZATIONS: [&str; 3] = ["eva", "gaussian", "orthogonal"];

/// The help for adapters that are not supported.
const MERGE: &str =
    "\n  help: merge the adapter into its base model with merge_and_unload() of PEFT, save that, and build it";

/// An adapter of PEFT: its options, and the tensors of its file.
pub(crate) struct Adapter {
    settings: Settings,
    /// The file of the tensors.
    path: PathBuf,
    tensors: BTreeMap<String, Tensor>,
}

/// The two factors of a layer.
#[derive(Default)]
struct Factors {
    /// `A` `[rank, inputs]`.
    a: Option<Tensor>,
    /// `B` `[outputs, rank]`.
    b: Option<Tensor>,
    /// Whether the layer is a table `[inputs, outputs]`.
    is_table: bool,
}

/// The factors by module, and the tensors that replace one of the base by its name.
type Sorted = (BTreeMap<String, Factors>, BTreeMap<String, Tensor>);

/// The weights that an adapter changed, by their names in the base.
pub(crate) struct Changes {
    path: PathBuf,
    /// Each with its shape, and whether it was replaced, not added to.
    weights: BTreeMap<String, (Vec<u64>, bool)>,
}

fn refuse(path: &Path, why: impl Into<String>) -> OpenError {
    OpenError::Beside { path: path.to_owned(), why: why.into() }
}

/// Returns whether a pattern of PEFT that is a name selects a module: its whole name, or the last parts of it.
fn selects(name: &str, module: &str) -> bool {
    module.strip_suffix(name).is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
}

/// Returns the number of the layer of a module: the last number among the parts of its name, as PEFT finds it.
fn layer_of(module: &str) -> Option<u64> {
    module.rsplit('.').skip(1).find_map(|part| part.parse().ok())
}

impl Adapter {
    /// Opens a folder, and checks that its options are supported.
    ///
    /// # Errors
    /// If a file cannot be read, or the adapter is not one of LoRA that can be merged.
    pub(crate) fn open(folder: &Path) -> Result<Self, OpenError> {
        let configuration = folder.join(CONFIGURATION);
        if !configuration.exists() {
            let why = "it does not exist, so the folder is not an adapter of PEFT\n  help: name a folder with \
                       adapter_config.json and adapter_model.safetensors; download one of the Hugging Face Hub with `hf \
                       download NAME --local-dir FOLDER`";
            return Err(refuse(&configuration, why));
        }
        let settings = Settings::open(configuration)?;
        let wrong = |option: &str, law: &str| settings.wrong(option, format!("{law}{MERGE}"));
        if settings.word("peft_type")? != Some("LORA") {
            return Err(wrong("peft_type", "LORA, the only type of adapter that is supported").into());
        }
        settings.expect_off_except(KNOWN, &format!("absent or off: adapters with it are not supported{MERGE}"))?;
        if settings.flag("init_lora_weights", true).is_err() {
            let method = settings.word("init_lora_weights")?;
            if !method.is_some_and(|method| INITIALIZATIONS.contains(&method)) {
                let law = "true, false, eva, gaussian or orthogonal: others change the base model too\n  help: save the \
                           adapter with path_initial_model_for_weight_conversion, which makes it one of LoRA alone";
                return Err(settings.wrong("init_lora_weights", law).into());
            }
        }
        if !matches!(settings.word("bias")?, None | Some("none" | "all" | "lora_only")) {
            return Err(settings.wrong("bias", "none, all or lora_only").into());
        }
        let path = FILES.map(|file| folder.join(file)).into_iter().find(|path| path.exists());
        let path = path.ok_or_else(|| {
            let why = "it does not exist, and neither does adapter_model.bin\n  help: save the adapter with \
                       save_pretrained() of PEFT";
            refuse(&folder.join(FILES[0]), why)
        })?;
        let Weights::Trained(tensors) = Weights::open(&path)? else {
            return Err(refuse(&path, "it has no tensors"));
        };
        if tensors.is_empty() {
            return Err(refuse(&path, "it has no tensors"));
        }
        Ok(Self { settings, path, tensors })
    }

    /// Returns the task that the adapter was trained for, if its options say so.
    ///
    /// # Errors
    /// If the option is not a string.
    pub(crate) fn task(&self) -> Result<Option<Task>, SettingsError> {
        Ok(match self.settings.word("task_type")? {
            Some("CAUSAL_LM") => Some(Task::TextGeneration),
            Some("FEATURE_EXTRACTION") => Some(Task::FeatureExtraction),
            Some("QUESTION_ANS") => Some(Task::QuestionAnswering),
            Some("SEQ_CLS") => Some(Task::TextClassification),
            Some("TOKEN_CLS") => Some(Task::TokenClassification),
            _ => None,
        })
    }

    /// Merges the adapter into the weights of a base model; `dequantize` is whether quantized ones become floats.
    ///
    /// # Errors
    /// If a tensor has no weight in the base that it fits, or is not one of LoRA.
    pub(crate) fn merge(
        &self,
        base: &Settings,
        weights: &mut BTreeMap<String, Tensor>,
        dequantize: bool,
    ) -> Result<Changes, OpenError> {
        if self.settings.flag("fan_in_fan_out", false)? && base.model_type() != "gpt2" {
            let law = format!("false for a base of the model type `{}`: only GPT-2 has such layers", base.model_type());
            return Err(self.settings.wrong("fan_in_fan_out", format!("{law}{}", self.other_base()?)).into());
        }
        let (layers, replacements) = self.sorted()?;
        let prefixes: BTreeSet<String> =
            weights.keys().filter_map(|name| Some(name.split_once('.')?.0.to_owned())).collect();
        let mut changes = Changes { path: self.path.clone(), weights: BTreeMap::new() };
        for (module, factors) in layers {
            let own = format!("{module}.weight");
            let name = self.base_name(base, weights, &prefixes, &own)?;
            let weight = &weights[&name];
            if weight.quantization().is_some() && !dequantize {
                let why =
                    format!("it changes the weight {name} of the base, which is quantized\n  help: pass --dequantize");
                return Err(refuse(&self.path, why));
            }
            // The layers of GPT-2 are `[inputs, outputs]`, whatever `fan_in_fan_out` is.
            let last = module.rsplit('.').next().unwrap_or_default();
            let is_input_major = factors.is_table || base.model_type() == "gpt2" && last.starts_with("c_");
            let merged = self.merged(&module, factors, is_input_major, &name, weight)?;
            changes.weights.insert(name.clone(), (merged.dims().to_vec(), false));
            weights.insert(name, merged);
        }
        let saved = self.settings.words("modules_to_save")?.unwrap_or_default();
        for (own, tensor) in replacements {
            // Modules are selected by the end of their names, and have modules of their own.
            let is_saved =
                own.match_indices('.').any(|(at, _)| saved.iter().any(|end| own[..at].ends_with(end.as_str())));
            let name = match self.base_name(base, weights, &prefixes, &own) {
                Err(_) if is_saved => own,
                name => name?,
            };
            changes.weights.insert(name.clone(), (tensor.dims().to_vec(), true));
            weights.insert(name, tensor);
        }
        Ok(changes)
    }

    /// Returns the factors by module, and the tensors that replace one of the base by its name.
    fn sorted(&self) -> Result<Sorted, OpenError> {
        let mut layers: BTreeMap<String, Factors> = BTreeMap::new();
        let mut replacements = BTreeMap::new();
        let targets = self.settings.words("target_modules").ok().flatten();
        let excluded = self.settings.words("exclude_modules")?.unwrap_or_default();
        let changed = self.settings.whole_numbers("layers_to_transform")?;
        let is_other = |layer: u64| changed.as_ref().is_some_and(|changed| !changed.contains(&layer));
        for (key, tensor) in &self.tensors {
            let name = key.strip_prefix("base_model.model.").unwrap_or(key);
            let Some((module, part)) = name.split_once(".lora_") else {
                // The frozen weight of a module that is saved.
                if !name.contains(".original_module.") {
                    let name = name.replace(".base_layer.", ".").replace(".modules_to_save.", ".");
                    replacements.insert(name, tensor.clone());
                }
                continue;
            };
            let is_in = |names: &[String]| names.iter().any(|name| selects(name, module));
            let filters = [
                ("target_modules", targets.as_ref().is_some_and(|targets| !is_in(targets))),
                ("exclude_modules", is_in(&excluded)),
                ("layers_to_transform", layer_of(module).is_some_and(is_other)),
            ];
            if let Some((option, _)) = filters.iter().find(|(_, leaves_out)| *leaves_out) {
                let why = format!("{option} of {CONFIGURATION} leaves out the module of the tensor {key}{MERGE}");
                return Err(refuse(&self.path, why));
            }
            let factors = layers.entry(module.to_owned()).or_default();
            let place = match part {
                "A.weight" | "embedding_A" => &mut factors.a,
                "B.weight" | "embedding_B" => &mut factors.b,
                _ => return Err(refuse(&self.path, format!("the tensor {key} is not supported{MERGE}"))),
            };
            *place = Some(tensor.clone());
            factors.is_table |= part.starts_with("embedding_");
        }
        Ok((layers, replacements))
    }

    /// Returns the name of a weight in the base. A model that was saved without a head has no prefix before its names.
    fn base_name(
        &self,
        base: &Settings,
        weights: &BTreeMap<String, Tensor>,
        prefixes: &BTreeSet<String>,
        own: &str,
    ) -> Result<String, OpenError> {
        let shorter = own.split_once('.').map(|(_, rest)| rest.to_owned());
        let longer = prefixes.iter().map(|prefix| format!("{prefix}.{own}"));
        let mut names = [own.to_owned()].into_iter().chain(shorter).chain(longer);
        if let Some(name) = names.find(|name| weights.contains_key(name)) {
            return Ok(name);
        }
        if own == "lm_head.weight" && base.flag("tie_word_embeddings", false)? {
            return Err(tied(&self.path, own));
        }
        let why = format!("it changes the weight {own}, which the base does not have{}", self.other_base()?);
        Err(refuse(&self.path, why))
    }

    /// Returns the help for an adapter of another base.
    fn other_base(&self) -> Result<String, SettingsError> {
        let name = self.settings.word("base_model_name_or_path")?;
        Ok(name.map_or_else(String::new, |name| {
            format!("\n  help: build the model that the adapter was trained on, {name}")
        }))
    }

    /// Returns the sum of a weight and the product of a layer.
    fn merged(
        &self,
        module: &str,
        factors: Factors,
        is_input_major: bool,
        name: &str,
        weight: &Tensor,
    ) -> Result<Tensor, OpenError> {
        let (Some(a), Some(b)) = (factors.a, factors.b) else {
            return Err(refuse(&self.path, format!("one of the two factors of {module} is missing, lora_A or lora_B")));
        };
        let (&[rank, inputs], &[outputs, depth]) = (a.dims(), b.dims()) else {
            let why = format!("the factors of {module} are {} and {}, but must be matrices{MERGE}", a.ty(), b.ty());
            return Err(refuse(&self.path, why));
        };
        let expected = self.pattern("rank_pattern", module)?.or(self.settings.number("r")?).unwrap_or(8.0);
        #[expect(clippy::cast_precision_loss, reason = "real ranks are exact")]
        let own = rank as f64;
        if rank == 0 || rank != depth || own != expected {
            let why = format!(
                "the factors of {module} are {} and {}, but {CONFIGURATION} gives the rank {expected}\n  help: take both \
                 files from one run of save_pretrained()",
                a.ty(),
                b.ty()
            );
            return Err(refuse(&self.path, why));
        }
        let shape = if is_input_major { [inputs, outputs] } else { [outputs, inputs] };
        if *weight.dims() != shape {
            let why = format!(
                "the factors of {module} are for a weight of shape {shape:?}, but {name} of the base is {}{}",
                weight.ty(),
                self.other_base()?
            );
            return Err(refuse(&self.path, why));
        }
        let alpha = self.pattern("alpha_pattern", module)?.or(self.settings.number("lora_alpha")?).unwrap_or(8.0);
        let divisor = if self.settings.flag("use_rslora", false)? { own.sqrt() } else { own };
        #[expect(clippy::cast_possible_truncation, reason = "weights are merged in f32")]
        let scale = (alpha / divisor) as f32;
        let sum = || -> Result<Tensor, TensorError> {
            if is_input_major {
                weight.plus_low_rank(&a.transposed()?, &b.transposed()?, scale)
            } else {
                weight.plus_low_rank(&b, &a, scale)
            }
        };
        sum().map_err(|source| WeightError::Tensor { name: name.to_owned(), source }.into())
    }

    /// Returns the number that a pattern has for a module.
    fn pattern(&self, option: &str, module: &str) -> Result<Option<f64>, OpenError> {
        let Some(section) = self.settings.section(option)? else { return Ok(None) };
        let mut found = None;
        for key in section.names() {
            let name = key.strip_prefix('^').unwrap_or(key);
            if !name.chars().all(|letter| letter.is_ascii_alphanumeric() || "._-".contains(letter)) {
                let why = format!(
                    "the key {key:?} of `{option}` is not the name of a module: regular expressions are not supported{MERGE}"
                );
                return Err(refuse(self.settings.path(), why));
            }
            let is_selected = if name.len() < key.len() { name == module } else { selects(name, module) };
            if !is_selected {
                continue;
            }
            let number = section.number(key)?;
            if found.is_some_and(|found| found != number) {
                let why = format!("keys of `{option}` give the module {module} several numbers{MERGE}");
                return Err(refuse(self.settings.path(), why));
            }
            found = Some(number);
        }
        Ok(found.flatten())
    }
}

fn tied(path: &Path, name: &str) -> OpenError {
    let why = format!(
        "it changes the weight {name}, which the base ties: as a table of tokens and in another place, such as the output \
         layer\n  help: save the base with `tie_word_embeddings` false and a weight of its own for each, and build that"
    );
    refuse(path, why)
}

impl Changes {
    /// Checks that the declared graphs use each changed weight in one place only, and in its shape; `is_copy` decides
    /// whether a name is that of a copy of the tied table.
    ///
    /// # Errors
    /// If a changed weight is tied, or has another size than the configuration of the base says.
    pub(crate) fn check(
        &self,
        parts: &[Part],
        graphs: &[Graph],
        declared: &BTreeMap<String, Vec<u64>>,
        configuration: &Path,
        is_copy: impl Fn(&str) -> bool,
    ) -> Result<(), OpenError> {
        // A table that replaces both is compared with its copy.
        let has_copy = self.weights.iter().any(|(name, (_, is_replaced))| *is_replaced && is_copy(name));
        for (name, (dims, is_replaced)) in &self.weights {
            match declared.get(name) {
                None if is_copy(name) && !is_replaced => return Err(tied(&self.path, name)),
                Some(expected) if expected != dims => {
                    let why = format!(
                        "the weight {name} has the shape {dims:?}, but {} says {expected:?}\n  help: set the option that \
                         gives the size, such as `vocab_size` or `id2label`, to that of the adapter",
                        configuration.display()
                    );
                    return Err(refuse(&self.path, why));
                }
                Some(_) if !has_copy && places(parts, graphs, name) > 1 => return Err(tied(&self.path, name)),
                _ => {}
            }
        }
        Ok(())
    }
}

/// Returns in how many ways a weight is used: as the table of an encoder or of a decoder, or as a matrix.
fn places(parts: &[Part], graphs: &[Graph], name: &str) -> usize {
    let mut places = BTreeSet::new();
    for (part, graph) in parts.iter().zip(graphs) {
        for value in graph.schedule().into_iter().flat_map(|node| graph.results(node)) {
            if **graph.value_name(value) == *name {
                let is_table = |user| matches!(graph.node(user).op(), Op::Gather { .. });
                let users = graph.users(value).into_iter();
                places.extend(users.map(|(user, _)| (is_table(user), *part == Part::Encoder)));
            }
        }
    }
    places.len()
}
