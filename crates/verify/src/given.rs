//! Reads inputs that the user gives.

use crate::file::{ModelFile, Port};
use crate::npy::{self, from_bytes};
use crate::run::list;
use crate::uses::Graphs;
use crate::{Array, VerifyError};
use netwright_files::{Folder, Source, entries};
use netwright_ir::{Bindings, Dim, ElementType};
use safetensors::{Dtype, SafeTensors};
use std::path::{Path, PathBuf};

/// The prefix of the names of inputs in the files that `verify --dump` writes.
const PREFIX: &str = "input.";

/// Reads all inputs of a model from a safetensors file or a folder of `.npy` files; also returns the sizes of symbols
/// that follow from their shapes.
pub(crate) fn read(path: &Path, model: &ModelFile) -> Result<(Bindings, Vec<(String, Array)>), VerifyError> {
    let ports = model.inputs();
    let file = if path.is_dir() { only_tensors(path)? } else { Some(path.to_owned()) };
    let found = file.map_or_else(|| folder(path, &ports), |file| tensors(&file, &ports))?;
    let (mut missing, mut given) = (vec![], vec![]);
    for (port, array) in ports.iter().zip(found) {
        match array {
            Some(array) => given.push((port.name.clone(), array)),
            None => missing.push(port),
        }
    }
    if !missing.is_empty() {
        let types = missing.iter().map(|port| {
            let ty = port.ty.as_ref().map_or_else(String::new, |ty| format!(" ({ty})"));
            format!("`{}`{ty}", port.name)
        });
        let missing_types = types.collect::<Vec<_>>().join(", ");
        let help = match missing.first() {
            Some(port) if path.is_dir() => {
                format!("\n  help: save each in the folder under its name, such as {}.npy", port.name)
            }
            _ => "\n  help: add a tensor with the name of each".to_owned(),
        };
        return Err(failed(path, format!("inputs of the model are missing: {missing_types}{help}")));
    }
    let mut bindings = Bindings::new();
    for (port, (_, array)) in ports.iter().zip(&given) {
        fit(port, array, &mut bindings).map_err(|cause| failed(path, cause))?;
    }
    // Expressions are checked once all symbols have sizes.
    for (port, (_, array)) in ports.iter().zip(&given) {
        fit(port, array, &mut bindings).map_err(|cause| failed(path, cause))?;
    }
    Ok((bindings, given))
}

/// Returns the error for given inputs of which one indexes a table of the model beyond its end; `None` if none does.
pub(crate) fn beyond_table(path: &Path, model: &ModelFile) -> Option<VerifyError> {
    let (_, given) = read(path, model).ok()?;
    let graphs = Graphs::new(&model.graph);
    let tables = |(name, array)| graphs.indexed(name).into_iter().map(move |table| (name, array, table));
    let mut indexed = given.iter().map(|(name, array)| (name.as_str(), array)).flat_map(tables);
    indexed.find_map(|(name, array, (rows, offset)): (&str, &Array, (i64, i64))| {
        let is_beyond = |element: i64| !(-rows..rows).contains(&element.saturating_add(offset));
        let (at, element) = array.first_integer(is_beyond)?;
        let index = array.index(at);
        let added = match offset {
            0 => String::new(),
            1.. => format!(", and the model adds {offset}"),
            _ => format!(", and the model subtracts {}", offset.unsigned_abs()),
        };
        let most = (rows - 1).saturating_sub(offset);
        let least = offset.saturating_neg().max(0).min(most);
        let cause = format!(
            "input `{name}` is {element} at {index:?}, but the table that it indexes has {rows} rows{added}\n  help: use \
             numbers from {least} to {most}, such as the ids of the tokenizer of this model"
        );
        Some(failed(path, cause))
    })
}

fn failed(path: &Path, cause: String) -> VerifyError {
    VerifyError::Inputs { path: path.to_owned(), cause }
}

/// Binds the symbols of a declared shape to the sizes of an array.
fn fit(port: &Port, array: &Array, bindings: &mut Bindings) -> Result<(), String> {
    let Some(ty) = &port.ty else { return Ok(()) };
    let wrong = |why: &str| Err(format!("input `{}` is declared as {ty}, but {array} was given{why}", port.name));
    if ty.element != array.element() {
        return wrong(&format!("\n  help: save the array with elements of type {}", ty.element));
    }
    let Some(dims) = &ty.shape else { return Ok(()) };
    if dims.len() != array.shape().len() {
        return wrong("");
    }
    for (dim, &size) in dims.iter().zip(array.shape()) {
        let size = i64::try_from(size).unwrap_or(i64::MAX);
        let expected = match dim {
            Dim::Symbol(symbol) => *bindings.entry(symbol.clone()).or_insert(size),
            dim => dim.evaluate(bindings).unwrap_or(size),
        };
        if expected != size {
            let why = dim.known().map_or_else(|| format!(", where {dim} is {expected}"), |_| String::new());
            return wrong(&why);
        }
    }
    Ok(())
}

/// Returns the safetensors file of a folder without `.npy` files, if it has one.
fn only_tensors(path: &Path) -> Result<Option<PathBuf>, VerifyError> {
    let files = entries(path);
    let with = |extension: &str| -> Vec<&PathBuf> {
        files.iter().filter(|file| file.extension().is_some_and(|own| own == extension)).collect()
    };
    let found = if with("npy").is_empty() { with("safetensors") } else { vec![] };
    match found[..] {
        [] => Ok(None),
        [file] => Ok(Some(file.clone())),
        [first, ..] => Err(failed(
            path,
            format!("it has several safetensors files\n  help: name one of them, such as {}", first.display()),
        )),
    }
}

fn folder(path: &Path, ports: &[Port]) -> Result<Vec<Option<Array>>, VerifyError> {
    let folder = Folder::at(path)?;
    let read = |port: &Port| {
        let name = format!("{}.npy", port.name);
        if !path.join(&name).exists() {
            return Ok(None);
        }
        let bytes = folder.open(&name)?.map()?;
        npy::parse(&bytes).map(Some).map_err(|cause| failed(&path.join(name), cause))
    };
    ports.iter().map(read).collect()
}

fn tensors(path: &Path, ports: &[Port]) -> Result<Vec<Option<Array>>, VerifyError> {
    let bytes = Source::open(path)?.map()?;
    let tensors = SafeTensors::deserialize(&bytes).map_err(|error| {
        let help = "give a safetensors file, or a folder with one .npy file per input";
        let cause = if bytes.starts_with(b"PK") {
            "it is a zip archive, such as NumPy's .npz; unpack it into a folder".to_owned()
        } else {
            format!("it is not safetensors: {error}")
        };
        failed(path, format!("{cause}\n  help: {help}"))
    })?;
    let read = |port: &Port| {
        let tensor = tensors.tensor(&port.name).or_else(|_| tensors.tensor(&format!("{PREFIX}{}", port.name)));
        let Ok(tensor) = tensor else { return Ok(None) };
        let array = element(tensor.dtype()).and_then(|element| from_bytes(element, tensor.shape(), tensor.data()));
        let cause = || failed(path, format!("the element type of `{}` is not supported", port.name));
        array.map(Some).ok_or_else(cause)
    };
    let found: Vec<Option<Array>> = ports.iter().map(read).collect::<Result<_, _>>()?;
    if found.iter().all(Option::is_none) && !ports.is_empty() {
        let names = list(tensors.names().into_iter());
        let wanted = list(ports.iter().map(|port| port.name.as_str()));
        return Err(failed(path, format!("it has none of the inputs {wanted}, only {names}")));
    }
    Ok(found)
}

fn element(dtype: Dtype) -> Option<ElementType> {
    Some(match dtype {
        Dtype::BOOL => ElementType::Bool,
        Dtype::U8 => ElementType::U8,
        Dtype::I8 => ElementType::I8,
        Dtype::U16 => ElementType::U16,
        Dtype::I16 => ElementType::I16,
        Dtype::U32 => ElementType::U32,
        Dtype::I32 => ElementType::I32,
        Dtype::U64 => ElementType::U64,
        Dtype::I64 => ElementType::I64,
        Dtype::F16 => ElementType::F16,
        Dtype::F32 => ElementType::F32,
        Dtype::F64 => ElementType::F64,
        _ => return None,
    })
}
