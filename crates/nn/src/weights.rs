//! The weights of a model: random, or from safetensors files, bound by name.

use crate::torch;
use netwright_ir::files::{self, Code, Source};
use netwright_ir::nearest::meant;
use netwright_ir::tensor::{Distribution, Quantized};
use netwright_ir::{ElementType, Tensor, TensorError, fingerprint};
use safetensors::{Dtype, SafeTensors};
use serde::Deserialize;
use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::path::{Path, PathBuf};

/// The file names of unsharded weights, the preferred one first. The index of shards has `.index.json` after it.
const SINGLES: [&str; 2] = ["model.safetensors", "pytorch_model.bin"];

/// The first bytes of a file that Git LFS has not replaced with its contents.
const LFS: &[u8; 31] = b"version https://git-lfs.github.";

/// The element types of weights that are converted to one another.
const FLOATS: [ElementType; 4] = [ElementType::F32, ElementType::F16, ElementType::BF16, ElementType::F64];

/// The contents of `model.safetensors.index.json`: the file of each weight.
#[derive(Deserialize)]
struct Index {
    weight_map: BTreeMap<String, String>,
}

/// The parameters of a model, by name.
#[derive(Clone, Debug)]
pub enum Weights {
    /// Random weights; the sequence of each depends on the seed and its name.
    Random {
        /// The seed.
        seed: u64,
    },
    /// Trained weights.
    Trained(BTreeMap<String, Tensor>),
}

/// The initialization of a parameter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Init {
    /// Uniform up to `sqrt(6 / (fan_in + fan_out))` (Glorot and Bengio, 2010).
    Xavier,
    /// All 1: the scale of a norm.
    Ones,
    /// All 0: biases.
    Zeros,
}

/// An error of reading or binding weights.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum WeightError {
    /// No tensor has that name.
    #[error("the weight {name} of shape {expected:?} is missing{}", hint(nearest.as_deref()))]
    Missing {
        /// The name.
        name: String,
        /// The shape that the model declares.
        expected: Vec<u64>,
        /// The most similar name of a tensor that the model does not declare, if they were compared.
        nearest: Option<String>,
    },
    /// The tensor of that name has another type or shape.
    #[error("the weight {name} is {found}, but the model requires floats of shape {expected:?}")]
    Mismatch {
        /// The name.
        name: String,
        /// The shape that the model declares.
        expected: Vec<u64>,
        /// Its type and shape in the file.
        found: String,
    },
    /// The model does not use the tensor.
    #[error("the weight {name} ({found}) is not used by the model")]
    Unused {
        /// The name.
        name: String,
        /// Its type and shape.
        found: String,
    },
    /// The configuration ties the tensor to another, but the two differ in the file.
    #[error("the configuration ties the weight {name} to {table}, but the two differ")]
    Untied {
        /// The name.
        name: String,
        /// The tensor that the model uses instead.
        table: String,
    },
    /// Several of the errors above.
    #[error("{path} does not fit the model:{}{}", list(problems), help(problems))]
    Misfit {
        /// The file.
        path: PathBuf,
        /// The errors in the order of names; unused tensors last.
        problems: Vec<WeightError>,
    },
    /// The file is not a valid safetensors file.
    #[error("{path}: {why}")]
    Malformed {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        why: String,
    },
    /// The quantized tensor is not stored as its options say, or no operator expresses it.
    #[error("the weight {name}: {why}")]
    Packed {
        /// The name of the weight of floats.
        name: String,
        /// What is wrong, and what to do.
        why: String,
    },
    /// The tensor cannot be created.
    #[error("the weight {name}: {source}")]
    Tensor {
        /// The name.
        name: String,
        /// Why.
        source: TensorError,
    },
    /// The file cannot be read.
    #[error(transparent)]
    File(#[from] files::FileError),
}

impl WeightError {
    /// Returns the code of this kind of error; that of several is the code of the first.
    pub fn code(&self) -> Code {
        match self {
            Self::Missing { .. } => Code::WeightMissing,
            Self::Mismatch { .. } => Code::WeightShape,
            Self::Unused { .. } => Code::WeightUnused,
            Self::Untied { .. } => Code::WeightsUntied,
            Self::Misfit { problems, .. } => problems.first().map_or(Code::WeightMissing, Self::code),
            Self::Malformed { .. } => Code::WeightFile,
            Self::Packed { .. } => Code::WeightPacked,
            Self::Tensor { source, .. } => source.code(),
            Self::File(error) => error.code(),
        }
    }
}

/// Trained weights by name, of any collection of pairs, such as a `HashMap<String, Tensor>`.
///
/// ```
/// use netwright_ir::Tensor;
/// use netwright_nn::Weights;
/// let scale = Tensor::from_floats(&[2], &[1.0, 0.5])?;
/// let weights: Weights = [("norm.weight", scale)].into_iter().collect();
/// assert!(weights.has("norm."));
/// # Ok::<(), netwright_ir::TensorError>(())
/// ```
impl<N: Into<String>> FromIterator<(N, Tensor)> for Weights {
    fn from_iter<I: IntoIterator<Item = (N, Tensor)>>(named: I) -> Self {
        Weights::Trained(named.into_iter().map(|(name, tensor)| (name.into(), tensor)).collect())
    }
}

impl Weights {
    /// Opens a safetensors file. The tensors stay in the file until they are written.
    ///
    /// # Errors
    /// If the file cannot be read or is malformed.
    pub fn open(path: impl AsRef<Path>) -> Result<Self, WeightError> {
        let path = path.as_ref();
        Ok(Weights::Trained(read_file(path)?))
    }

    /// Opens the weights of a folder: `model.safetensors`, or the files that `model.safetensors.index.json` names, or
    /// else `pytorch_model.bin` or the files of its index. Pickles are read, but not executed.
    ///
    /// # Errors
    /// If both are missing, a file cannot be read or is malformed, or a file does not match the index.
    pub fn open_folder(folder: impl AsRef<Path>) -> Result<Self, WeightError> {
        let folder = folder.as_ref();
        let index = Self::file_of(folder);
        if SINGLES.iter().any(|single| index.ends_with(single)) {
            let tensors = read_file(&index).map_err(|error| other_format(folder, error))?;
            return Ok(Weights::Trained(renamed(tensors)));
        }
        let extension = if index.ends_with("model.safetensors.index.json") { ".safetensors" } else { ".bin" };
        let malformed = |why: String| {
            let help = "download the index and all files that it names again, from the same model";
            WeightError::Malformed { path: index.clone(), why: format!("{why}\n  help: {help}") }
        };
        let text = files::read_text(&index, 1 << 26)?;
        let Index { weight_map } = serde_json::from_str(&text).map_err(|error| malformed(error.to_string()))?;
        let mut shards: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for (name, file) in weight_map {
            shards.entry(file).or_default().push(name);
        }
        let mut all = BTreeMap::new();
        for (file, names) in shards {
            // A shard must be in the folder of its index.
            if Path::new(&file).file_name() != Some(OsStr::new(&file)) || !file.ends_with(extension) {
                return Err(malformed(format!(
                    "the shard {file:?} is not the name of a {extension} file in this folder"
                )));
            }
            let mut tensors = read_file(&folder.join(&file))?;
            for name in names {
                let tensor = tensors.remove(&name);
                all.insert(
                    name.clone(),
                    tensor.ok_or_else(|| malformed(format!("{file} does not contain the weight {name}")))?,
                );
            }
            if let Some((name, _)) = tensors.pop_first() {
                return Err(malformed(format!("it does not list the weight {name}, which {file} contains")));
            }
        }
        Ok(Weights::Trained(renamed(all)))
    }

    /// Returns whether a folder has weights, which [`open_folder`](Self::open_folder) reads.
    pub fn are_in(folder: impl AsRef<Path>) -> bool {
        Self::file_of(folder.as_ref()).is_file()
    }

    /// Returns the weights file of a folder, or the index of its shards.
    pub(crate) fn file_of(folder: &Path) -> PathBuf {
        let names =
            SINGLES.iter().flat_map(|single| [folder.join(single), folder.join(format!("{single}.index.json"))]);
        names.into_iter().find(|path| path.exists()).unwrap_or_else(|| folder.join(SINGLES[0]))
    }

    /// Returns whether a tensor has a name with this prefix; always true for random weights.
    pub fn has(&self, prefix: &str) -> bool {
        match self {
            Weights::Random { .. } => true,
            Weights::Trained(tensors) => {
                tensors.range(prefix.to_owned()..).next().is_some_and(|(name, _)| name.starts_with(prefix))
            }
        }
    }

    /// Returns a tensor in the element type of the computation: trained floats are converted while they are written.
    ///
    /// # Errors
    /// If the tensor is missing or has another shape, or one of the types is not a float type.
    pub fn tensor(&self, name: &str, dims: &[u64], init: Init, element: ElementType) -> Result<Tensor, WeightError> {
        match self {
            Weights::Random { seed } => {
                let made = match init {
                    Init::Ones => Tensor::fill(1.0, dims),
                    Init::Zeros => Tensor::fill(0.0, dims),
                    Init::Xavier => {
                        let fans: f64 = dims.iter().rev().take(2).map(|&size| size as f64).sum();
                        #[expect(clippy::cast_possible_truncation, reason = "the bound of f32 weights")]
                        let bound = (6.0 / fans.max(1.0)).sqrt() as f32;
                        Tensor::random(seed ^ fingerprint(name.bytes()), Distribution::Uniform { bound }, dims)
                    }
                };
                made.and_then(|tensor| tensor.cast(element))
                    .map_err(|source| WeightError::Tensor { name: name.to_owned(), source })
            }
            Weights::Trained(tensors) => match tensors.get(name) {
                Some(tensor) if FLOATS.contains(&tensor.element()) && tensor.dims() == dims => {
                    converted(tensor, element).map_err(|source| WeightError::Tensor { name: name.to_owned(), source })
                }
                Some(tensor) => Err(WeightError::Mismatch {
                    name: name.to_owned(),
                    expected: dims.to_vec(),
                    found: tensor.ty().to_string(),
                }),
                None => Err(WeightError::Missing { name: name.to_owned(), expected: dims.to_vec(), nearest: None }),
            },
        }
    }

    /// Returns whether a tensor is stored quantized.
    pub(crate) fn is_quantized(&self, name: &str) -> bool {
        match self {
            Weights::Random { .. } => false,
            Weights::Trained(tensors) => tensors.get(name).is_some_and(|tensor| tensor.quantization().is_some()),
        }
    }

    /// Adds to the error of a missing tensor the most similar name among the unused tensors.
    pub(crate) fn with_nearest(&self, error: WeightError, is_used: impl Fn(&str) -> bool) -> WeightError {
        match (self, error) {
            (Weights::Trained(tensors), WeightError::Missing { name, expected, .. }) => {
                let unused = tensors.keys().filter(|other| !is_used(other)).map(String::as_str);
                let nearest = meant(&name, unused).map(ToOwned::to_owned);
                WeightError::Missing { name, expected, nearest }
            }
            (_, error) => error,
        }
    }

    /// Checks that the tensors of a file match those that a model declares, by name and shape; `rule` decides about the
    /// others.
    ///
    /// Returns the tensors of heads that the model does not have.
    ///
    /// # Errors
    /// All tensors that are missing, have another shape, are not declared, or differ from the tensor that they repeat.
    pub(crate) fn expect(
        &self,
        path: &Path,
        declared: &BTreeMap<String, Vec<u64>>,
        rule: impl Fn(&str) -> Unused,
    ) -> Result<Vec<String>, WeightError> {
        let Weights::Trained(tensors) = self else { return Ok(vec![]) };
        let mut heads = vec![];
        let unused = || tensors.iter().filter(|(name, _)| !declared.contains_key(*name));
        let unfit = declared.iter().filter_map(|(name, dims)| {
            let stored = tensors.get(name).and_then(Tensor::quantization).map(|quantized| quantized.codes().dims());
            // The codes of a linear layer are `[outputs, inputs]`, whatever the layout of its weight.
            let dims: Vec<u64> = match stored {
                Some(stored) if stored.iter().rev().eq(dims) => stored.to_vec(),
                _ => dims.clone(),
            };
            Some(match self.tensor(name, &dims, Init::Zeros, ElementType::F32).err()? {
                WeightError::Missing { name, expected, .. } => {
                    let nearest = meant(&name, unused().map(|(name, _)| name.as_str())).map(ToOwned::to_owned);
                    WeightError::Missing { name, expected, nearest }
                }
                error => error,
            })
        });
        let mut problems: Vec<WeightError> = unfit.collect();
        for (name, tensor) in unused() {
            let repeated = match rule(name) {
                Unused::Left => continue,
                Unused::Head => {
                    heads.push(name.clone());
                    continue;
                }
                Unused::Refused => None,
                Unused::Copy => repeated(tensor, declared.keys().filter_map(|name| tensors.get_key_value(name)))
                    .map_err(|source| WeightError::Tensor { name: name.clone(), source })?,
            };
            let name = name.clone();
            problems.push(match repeated {
                Some((_, true)) => continue,
                Some((table, false)) => WeightError::Untied { name, table: table.clone() },
                None => WeightError::Unused { name, found: tensor.ty().to_string() },
            });
        }
        if problems.is_empty() { Ok(heads) } else { Err(WeightError::Misfit { path: path.to_owned(), problems }) }
    }
}

/// Returns a tensor in another float type. Codes of a quantized tensor stay; its scales are converted. A number that a
/// narrower type does not hold is an error when the tensor is read.
fn converted(tensor: &Tensor, to: ElementType) -> Result<Tensor, TensorError> {
    let Some(quantized) = tensor.quantization() else {
        let cast = tensor.cast(to)?;
        return if to.bits() < 32 && tensor.element() != to { cast.expecting_no_infinity() } else { Ok(cast) };
    };
    let (codes, zeros) = (quantized.codes().clone(), quantized.zeros().cloned());
    Quantized::from_parts(codes, quantized.scales().cast(to)?, zeros, quantized.format())?.dequantized(to)
}

/// The treatment of a tensor that the model does not declare.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Unused {
    /// It is ignored.
    Left,
    /// It is of a head that the model does not have.
    Head,
    /// It must equal a declared tensor.
    Copy,
    /// It is an error.
    Refused,
}

/// Finds the declared tensor that another repeats: an equal one, or else the first with its shape.
fn repeated<'t>(
    copy: &Tensor,
    tensors: impl Iterator<Item = (&'t String, &'t Tensor)>,
) -> Result<Option<(&'t String, bool)>, TensorError> {
    let mut first = None;
    for (name, tensor) in tensors.filter(|(_, tensor)| tensor.ty() == copy.ty()) {
        if Tensor::all_pieces([tensor, copy], |[a, b]| a == b)? {
            return Ok(Some((name, true)));
        }
        first.get_or_insert((name, false));
    }
    Ok(first)
}

/// Renames `gamma` and `beta` of norms in old checkpoints to `weight` and `bias`.
fn renamed(tensors: BTreeMap<String, Tensor>) -> BTreeMap<String, Tensor> {
    let today = |name: String| match name.rsplit_once('.') {
        Some((norm, "gamma")) => format!("{norm}.weight"),
        Some((norm, "beta")) => format!("{norm}.bias"),
        _ => name,
    };
    tensors.into_iter().map(|(name, tensor)| (today(name), tensor)).collect()
}

/// Reads the tensors of a safetensors file, or of a file of PyTorch, as ranges of the file.
fn read_file(path: &Path) -> Result<BTreeMap<String, Tensor>, WeightError> {
    let mut first = [0; LFS.len()];
    if Source::open(path)?.read_at(0, &mut first).is_ok() && first == *LFS {
        let why = "it is a pointer of Git LFS, not the weights\n  help: run `git lfs pull` in the folder, or download the \
                   model with `hf download`";
        return Err(WeightError::Malformed { path: path.to_owned(), why: why.to_owned() });
    }
    if path.extension().is_some_and(|extension| extension == "bin") {
        return torch::read_file(path);
    }
    let malformed = |why: String| WeightError::Malformed { path: path.to_owned(), why };
    let source = Source::open(path)?;
    let map = source.map()?;
    let (header, metadata) = SafeTensors::read_metadata(&map)
        .map_err(|error| malformed(format!("{error}\n  help: download or save the file again")))?;
    // Eight bytes before the header are its length.
    let data = header as u64 + 8;
    let mut tensors = BTreeMap::new();
    for name in metadata.offset_keys() {
        let Some(info) = metadata.info(&name) else { continue };
        let element = element_type(info.dtype).ok_or_else(|| {
            malformed(format!(
                "the weight {name} has type {:?}, which ONNX does not have\n  help: save the weights as F32, F16 or BF16",
                info.dtype
            ))
        })?;
        let dims: Vec<u64> = info.shape.iter().map(|&size| size as u64).collect();
        let (start, end) = (info.data_offsets.0 as u64, info.data_offsets.1 as u64);
        let range = source.range(data + start, end.saturating_sub(start))?;
        let tensor = Tensor::from_file(element, &dims, range)
            .map_err(|source| WeightError::Tensor { name: name.clone(), source })?;
        tensors.insert(name, tensor);
    }
    Ok(tensors)
}

/// Returns the error of a folder without weights that can be read, with help if it has others.
fn other_format(folder: &Path, error: WeightError) -> WeightError {
    if Weights::file_of(folder).exists() {
        return error;
    }
    let names = files::entries(folder).into_iter();
    let names: Vec<String> = names.filter_map(|path| Some(path.file_name()?.to_str()?.to_owned())).collect();
    let find = |fits: &dyn Fn(&str) -> bool| names.iter().find(|name| fits(name));
    let ends = |name: &str, extensions: &[&str]| extensions.iter().any(|extension| name.ends_with(extension));
    let (name, why) = if let Some(name) = find(&|name| ends(name, &[".safetensors", ".bin"]) && name.contains("-of-")) {
        let index = if ends(name, &[".bin"]) { SINGLES[1] } else { SINGLES[0] };
        (name, format!("it is one of several shards, whose index is missing\n  help: download {index}.index.json too"))
    } else if let Some(name) = find(&|name| name == "adapter_model.safetensors" || name == "adapter_model.bin") {
        let why = "the weights are those of an adapter, not of a model\n  help: build its base model, and pass this \
                   folder with --adapter";
        (name, why.to_owned())
    } else if let Some(name) = find(&|name| ends(name, &[".safetensors"])) {
        (name, format!("it is not {}\n  help: rename the file, if it has the weights of the model", SINGLES[0]))
    } else if let Some(name) = find(&|name| ends(name, &[".h5", ".msgpack", ".onnx", ".ot", ".pt", ".pth"])) {
        (name, format!("the weights are not safetensors\n  help: save the model again as {}", SINGLES[0]))
    } else {
        return error;
    };
    WeightError::Malformed { path: folder.join(name), why }
}

fn hint(nearest: Option<&str>) -> String {
    nearest.map_or_else(String::new, |nearest| format!("; the most similar name is {nearest}"))
}

/// Returns what to do about tensors that do not fit a model.
fn help(problems: &[WeightError]) -> &'static str {
    if problems.iter().all(|problem| matches!(problem, WeightError::Unused { .. })) {
        "\n  help: pass --allow-unused to ignore them, for example if they belong to another head"
    } else if problems.iter().all(|problem| matches!(problem, WeightError::Untied { .. })) {
        "\n  help: if the model was trained untied, set `tie_word_embeddings` to false in config.json; \
         otherwise pass --allow-unused to build it tied, as transformers does"
    } else {
        "\n  help: use the config.json that was saved with these weights, and with --task, the task that they were trained \
         for"
    }
}

/// Lists the first problems, one per line, and the number of further ones.
fn list(problems: &[WeightError]) -> String {
    const MOST: usize = 12;
    let lines: String = problems.iter().take(MOST).map(|problem| format!("\n  {problem}")).collect();
    let more = problems.len().saturating_sub(MOST);
    if more > 0 { format!("{lines}\n  and {more} more") } else { lines }
}

fn element_type(dtype: Dtype) -> Option<ElementType> {
    Some(match dtype {
        Dtype::F32 => ElementType::F32,
        Dtype::F16 => ElementType::F16,
        Dtype::BF16 => ElementType::BF16,
        Dtype::F64 => ElementType::F64,
        Dtype::I64 => ElementType::I64,
        Dtype::I32 => ElementType::I32,
        Dtype::I16 => ElementType::I16,
        Dtype::I8 => ElementType::I8,
        Dtype::U64 => ElementType::U64,
        Dtype::U32 => ElementType::U32,
        Dtype::U16 => ElementType::U16,
        Dtype::U8 => ElementType::U8,
        Dtype::BOOL => ElementType::Bool,
        Dtype::F8_E4M3 => ElementType::F8E4M3FN,
        Dtype::F8_E5M2 => ElementType::F8E5M2,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::{Init, Unused, Weights};
    use netwright_ir::{ElementType, Tensor};
    use std::collections::BTreeMap;
    use std::path::Path;

    #[test]
    fn an_equal_copy_is_ignored() {
        let table = |last: u8| Tensor::from_bytes(ElementType::F32, &[2, 1], vec![0, 0, 0, 1, 0, 0, 0, last]).unwrap();
        let declared = BTreeMap::from([("embed.weight".to_owned(), vec![2, 1])]);
        for (copy, expected) in [
            (table(2), None),
            (table(3), Some("the configuration ties the weight head.weight to embed.weight, but the two differ")),
            (Tensor::fill(0.0, &[2, 2]).unwrap(), Some("the weight head.weight (f32[2, 2]) is not used by the model")),
        ] {
            let tensors = [("embed.weight".to_owned(), table(2)), ("head.weight".to_owned(), copy)];
            let weights = Weights::Trained(tensors.into());
            assert!(weights.tensor("embed.weight", &[2, 1], Init::Ones, ElementType::F32).is_ok());
            let found = weights.expect(Path::new("w"), &declared, |_| Unused::Copy).map_err(|error| error.to_string());
            match expected {
                None => assert_eq!(found, Ok(vec![])),
                Some(part) => assert!(found.clone().unwrap_err().contains(part), "{found:?}"),
            }
        }
    }
}
