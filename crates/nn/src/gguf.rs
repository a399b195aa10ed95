//! Reads GGUF files of llama.cpp: the configuration, the weights and the tokenizer of a decoder in one file.

use crate::quantized;
use crate::{OpenError, Settings, WeightError, Weights};
use container::{Container, Stored};
use names::GgufFamily;
use netwright_ir::files::{self, FileError};
use netwright_ir::tensor::GgmlFormat;
use netwright_ir::{ElementType, Tensor, TensorError};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

mod configuration;
mod container;
mod names;
mod tokenizer;

/// Why a GGUF file cannot be read.
#[derive(Debug)]
enum GgufError {
    File(FileError),
    /// What is wrong with the file.
    Malformed(String),
    /// A tensor, by its name.
    Tensor(String, TensorError),
}

impl From<FileError> for GgufError {
    fn from(error: FileError) -> Self {
        Self::File(error)
    }
}

type Outcome<T> = Result<T, GgufError>;

/// The start of the line of an error that says what to do.
const HELP: &str = "\n  help: ";

fn malformed<T>(why: impl Into<String>) -> Outcome<T> {
    Err(GgufError::Malformed(why.into()))
}

/// A file of a Hugging Face folder that is derived from a model stored otherwise.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DerivedFile {
    /// The name, such as `config.json`.
    pub name: &'static str,
    /// The text, or why there is none.
    pub text: Result<String, String>,
}

/// A model read from a GGUF file.
pub(crate) struct Gguf {
    pub(crate) settings: Settings,
    pub(crate) weights: Weights,
    /// A line about quantized weights.
    pub(crate) stored: Option<String>,
    pub(crate) files: Vec<DerivedFile>,
}

/// Returns the GGUF file that a path names: the file itself, or the only one of a folder without other weights.
pub(crate) fn file_of(path: &Path) -> Result<Option<PathBuf>, OpenError> {
    let is_gguf = |path: &Path| path.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("gguf"));
    let beside = |why: String| OpenError::Beside { path: path.to_owned(), why };
    if path.is_file() {
        let help = "it is a file, but not a .gguf file\n  help: name a Hugging Face folder or a .gguf file";
        return if is_gguf(path) { Ok(Some(path.to_owned())) } else { Err(beside(help.to_owned())) };
    }
    if Weights::file_of(path).exists() || path.join("modules.json").exists() {
        return Ok(None);
    }
    let mut files: Vec<PathBuf> = files::entries(path).into_iter().filter(|path| is_gguf(path)).collect();
    match files.len() {
        0 | 1 => Ok(files.pop()),
        count => Err(beside(format!(
            "it has {count} GGUF files\n  help: name one of them, such as {}",
            files.first().map_or_else(String::new, |file| file.display().to_string())
        ))),
    }
}

/// Opens a GGUF file; with `dequantize`, weights may have formats that can only be decoded to floats.
pub(crate) fn open(path: &Path, dequantize: bool) -> Result<Gguf, OpenError> {
    let beside = |why: String| OpenError::Beside { path: path.to_owned(), why };
    let failed_with = |help: &'static str| {
        move |error: GgufError| match error {
            GgufError::File(error) => OpenError::File(error),
            GgufError::Malformed(why) if why.contains(HELP) => beside(why),
            GgufError::Malformed(why) => beside(why + HELP + help),
            GgufError::Tensor(name, source) => WeightError::Tensor { name, source }.into(),
        }
    };
    let failed = failed_with("build the Hugging Face folder of the model instead");
    let damaged = failed_with("download the file again, or convert the model again with today's llama.cpp");
    let mut file = Container::open(path).map_err(damaged)?;
    let family = names::family(&file).map_err(failed)?;
    let factors = take_factors(&mut file).map_err(damaged)?;
    let configuration = configuration::read(&file, &family, &factors).map_err(failed)?;
    let text = serde_json::to_string_pretty(&configuration).map_err(|error| beside(error.to_string()))?;
    let settings = Settings::parse(path, &text)?;
    let (tensors, formats) = read_all(&file, &family).map_err(damaged)?;
    let names = |formats: Vec<GgmlFormat>| formats.into_iter().map(GgmlFormat::name).collect::<Vec<_>>().join(", ");
    let without_codes: Vec<_> = formats.keys().copied().filter(|format| !format.has_codes()).collect();
    if !dequantize && !without_codes.is_empty() {
        return Err(beside(format!(
            "it has weights in {}, whose codes no operator of ONNX reads\n  help: pass --dequantize to decode all weights \
             to floats, also with --quantize, or use a file in Q4_0, Q8_0, F16 or BF16",
            names(without_codes)
        )));
    }
    let count: usize = formats.values().sum();
    let stored = (count > 0).then(|| quantized::line(count, &names(formats.into_keys().collect()), !dequantize));
    let help = "help: copy tokenizer.json of the model's Hugging Face repository";
    let tokenizer = tokenizer::read(&file.metadata).map_err(|why| format!("{why}\n  {help}"));
    let files = [("config.json", Ok(text)), ("tokenizer.json", tokenizer)];
    let files = files.map(|(name, text)| DerivedFile { name, text });
    Ok(Gguf { settings, weights: Weights::Trained(tensors), stored, files: files.into() })
}

/// Returns the weights by their names in Hugging Face, and the number of them in each format.
fn read_all(file: &Container, family: &GgufFamily) -> Outcome<(BTreeMap<String, Tensor>, BTreeMap<GgmlFormat, usize>)> {
    let (mut tensors, mut formats) = (BTreeMap::new(), BTreeMap::new());
    for (stored_name, stored) in &file.tensors {
        let Some(name) = family.name(stored_name) else {
            return malformed(format!(
                "the tensor {stored_name} is not one of {} models{HELP}build the Hugging Face folder of the model instead",
                family.architecture
            ));
        };
        let (tensor, format) = read(stored_name, stored)?;
        if let Some(format) = format {
            *formats.entry(format).or_default() += 1;
        }
        let tensor = family.as_trained(&name, tensor);
        tensors.insert(name, tensor.map_err(|error| GgufError::Tensor(stored_name.clone(), error))?);
    }
    Ok((tensors, formats))
}

/// The factors by which the frequencies of rotary positions are divided, by the names of their tensors.
type Factors = BTreeMap<&'static str, Vec<f64>>;

/// Takes out the tensors that are not weights: factors of rotary positions.
fn take_factors(file: &mut Container) -> Outcome<Factors> {
    let mut factors = Factors::new();
    for name in ["rope_freqs.weight", "rope_factors_long.weight", "rope_factors_short.weight"] {
        let Some(stored) = file.tensors.remove(name) else { continue };
        match read(name, &stored)?.0.floats() {
            Some(values) => factors.insert(name, values),
            None => return malformed(format!("{name} is not a short list of floats")),
        };
    }
    Ok(factors)
}

/// The floats of ggml, by the numbers of their types.
const FLOATS: [(u32, ElementType); 4] =
    [(0, ElementType::F32), (1, ElementType::F16), (28, ElementType::F64), (30, ElementType::BF16)];

/// The block formats that are supported, by the numbers of their types.
const FORMATS: [(u32, GgmlFormat); 6] = [
    (2, GgmlFormat::Q4_0),
    (3, GgmlFormat::Q4_1),
    (8, GgmlFormat::Q8_0),
    (12, GgmlFormat::Q4_K),
    (13, GgmlFormat::Q5_K),
    (14, GgmlFormat::Q6_K),
];

/// The other types of ggml.
const OTHERS: [(u32, &str); 24] = [
    (6, "Q5_0"),
    (7, "Q5_1"),
    (9, "Q8_1"),
    (10, "Q2_K"),
    (11, "Q3_K"),
    (15, "Q8_K"),
    (16, "IQ2_XXS"),
    (17, "IQ2_XS"),
    (18, "IQ3_XXS"),
    (19, "IQ1_S"),
    (20, "IQ4_NL"),
    (21, "IQ3_S"),
    (22, "IQ2_S"),
    (23, "IQ4_XS"),
    (24, "I8"),
    (25, "I16"),
    (26, "I32"),
    (27, "I64"),
    (29, "IQ1_M"),
    (34, "TQ1_0"),
    (35, "TQ2_0"),
    (39, "MXFP4"),
    (40, "NVFP4"),
    (41, "Q1_0"),
];

/// Returns the floats of a tensor, and its block format if it has one.
fn read(name: &str, stored: &Stored) -> Outcome<(Tensor, Option<GgmlFormat>)> {
    let refuse = |why: String| malformed(format!("the tensor {name} {why}"));
    let Some(count) = stored.dims.iter().try_fold(1_u64, |count, size| count.checked_mul(*size)) else {
        return refuse("is larger than any file".to_owned());
    };
    let columns = stored.dims.last().copied().unwrap_or(1);
    let float = FLOATS.iter().find(|(number, _)| *number == stored.ty).map(|(_, element)| *element);
    let format = FORMATS.iter().find(|(number, _)| *number == stored.ty).map(|(_, format)| *format);
    // The shape of the elements as they are stored.
    let (element, dims) = match (float, format) {
        (Some(element), _) => (element, stored.dims.clone()),
        (_, Some(format)) => match (format.bytes(columns), count.checked_div(columns)) {
            (Some(row), Some(rows)) => (ElementType::U8, vec![rows, row]),
            _ => {
                return refuse(format!(
                    "has rows of {columns} elements, which are not whole blocks of {}",
                    format.name()
                ));
            }
        },
        _ => {
            let known = OTHERS.iter().find(|(number, _)| *number == stored.ty).map_or("unknown", |(_, name)| name);
            return refuse(format!(
                "has the type {known} ({}), which is not supported\n  help: use a file in Q4_0, Q8_0, F16 or BF16, or in \
                 Q4_1, Q4_K, Q5_K or Q6_K with --dequantize",
                stored.ty
            ));
        }
    };
    let count = dims.iter().try_fold(1_u64, |count, size| count.checked_mul(*size));
    let Some(bytes) = count.and_then(|count| element.bytes(count)) else {
        return refuse("is larger than any file".to_owned());
    };
    if bytes > stored.range.len() {
        return refuse(format!(
            "takes {bytes} bytes, but the next tensor or the end of the file comes after {}: tensors overlap, or the file \
             is cut off",
            stored.range.len()
        ));
    }
    let tensor = Tensor::from_file(element, &dims, stored.range.slice(0, bytes)?);
    let tensor = tensor.and_then(|raw| format.map_or(Ok(raw.clone()), |format| raw.from_ggml(format)));
    Ok((tensor.map_err(|error| GgufError::Tensor(name.to_owned(), error))?, format))
}
