//! The values of flags.

use clap::ValueEnum;
use netwright::ir::{Dim, ElementType, Symbol};
use netwright::passes::Target;
use netwright::passes::target::UnknownTarget;
use std::str::FromStr;

/// A float type for weights.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Float {
    #[value(aliases = ["fp32", "float32", "float"])]
    F32,
    #[value(aliases = ["fp16", "float16", "half"])]
    F16,
    #[value(alias = "bfloat16")]
    Bf16,
}

impl From<Float> for ElementType {
    fn from(float: Float) -> Self {
        match float {
            Float::F32 => ElementType::F32,
            Float::F16 => ElementType::F16,
            Float::Bf16 => ElementType::BF16,
        }
    }
}

/// The requested opset.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Opset {
    Auto,
    Is(i64),
}

impl FromStr for Opset {
    type Err = String;

    fn from_str(word: &str) -> Result<Self, String> {
        match word {
            "auto" => Ok(Opset::Auto),
            number => number.parse().map(Opset::Is).map_err(|_| "expected a number or `auto`".to_owned()),
        }
    }
}

/// Reads a size of a symbolic dim.
pub(super) fn binding(text: &str) -> Result<(Symbol, Dim), String> {
    let parts = text.split_once('=').filter(|(symbol, size)| !symbol.trim().is_empty() && !size.trim().is_empty());
    let (symbol, size) = parts.ok_or("expected SYMBOL=SIZE, such as batch=2")?;
    if size.contains('=') {
        return Err("expected one size: give --dim once for each symbol".to_owned());
    }
    let size = size.parse::<Dim>().map_err(|error| error.to_string())?;
    Ok((Symbol::new(symbol.trim()), size))
}

/// Reads a target, also by the names of others for it.
pub(super) fn target(word: &str) -> Result<Target, String> {
    match word.to_lowercase().as_str() {
        "onnxruntime" => Ok(Target::ORT),
        lower => lower.parse().map_err(|error: UnknownTarget| error.to_string()),
    }
}

/// Reads a type of inputs and outputs, and the pattern of their names.
pub(super) fn io_type(text: &str) -> Result<(Option<String>, ElementType), String> {
    let (pattern, element) = text.rsplit_once('=').map_or((None, text), |(pattern, element)| (Some(pattern), element));
    match element.parse() {
        Ok(element) => Ok((pattern.map(ToOwned::to_owned), element)),
        Err(_) => Err(format!("`{element}` is not f32, f16 or bf16")),
    }
}
