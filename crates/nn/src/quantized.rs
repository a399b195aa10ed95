//! Reads weights that are quantized already: `quantization_config` says how their tensors are stored.
//!
//! Codes of 4 bits stay as they are, with their scales and zero points: each weight becomes the floats that they mean, as
//! a recipe, and the [`Builder`](crate::Builder) declares such a parameter as codes that are dequantized. Floats of 8
//! bits become wider floats.

use crate::weights::WeightError;
use crate::{OpenError, Settings, SettingsError, Weights};
use netwright_ir::tensor::{BlockFormat, Quantized};
use netwright_ir::{ElementType, Tensor, TensorError};
use std::collections::BTreeMap;

mod awq;
mod compressed;
mod float8;
mod gptq;

/// The tensors of a folder by name.
type Tensors = BTreeMap<String, Tensor>;

/// A way to store quantized weights.
struct Method {
    /// Its `quant_method`.
    name: &'static str,
    /// The name for users.
    format: &'static str,
    /// Replaces the tensors of each quantized weight by the floats that they mean; returns how many there are.
    read: fn(&Settings, &mut Tensors) -> Result<usize, OpenError>,
}

const METHODS: [Method; 4] = [gptq::GPTQ, awq::AWQ, compressed::COMPRESSED, float8::FP8];

/// Options of all methods that say how the codes were chosen, not what they mean.
const HARMLESS: &[&str] = &["modules_to_not_convert", "quant_method", "dataset", "tokenizer", "batch_size"];

/// Returns the weights with quantized tensors replaced by the floats that they mean, and a line about these.
pub(crate) fn read(
    settings: &Settings,
    weights: Weights,
    dequantize: bool,
) -> Result<(Weights, Option<String>), OpenError> {
    let (Some(section), Weights::Trained(mut tensors)) = (settings.section("quantization_config")?, weights.clone())
    else {
        return match &weights {
            Weights::Trained(tensors) => packed_without_options(settings, tensors).map(|()| (weights, None)),
            Weights::Random { .. } => Ok((weights, None)),
        };
    };
    section.ignore(HARMLESS);
    let asked = section.word("quant_method")?;
    let method = METHODS.iter().find(|method| Some(method.name) == asked).ok_or_else(|| {
        section.wrong(
            "quant_method",
            "gptq, awq, compressed-tensors or fp8\n  help: dequantize the model with the tool that quantized it, save it \
             as floats, and pass --quantize",
        )
    })?;
    let count = (method.read)(&section, &mut tensors)?;
    let has_codes = tensors.values().any(|tensor| tensor.quantization().is_some());
    let line = (count > 0).then(|| line(count, method.format, has_codes && !dequantize));
    Ok((Weights::Trained(tensors), line))
}

/// Returns a line about quantized weights.
pub(crate) fn line(count: usize, format: &str, are_kept: bool) -> String {
    let verb = if are_kept { "keep their codes" } else { "are dequantized" };
    format!("{count} weights in {format} {verb}")
}

/// Checks that there are no packed tensors without options that say what they mean.
fn packed_without_options(settings: &Settings, tensors: &Tensors) -> Result<(), OpenError> {
    let packed = tensors.keys().find(|name| name.ends_with(".qweight") || name.ends_with(".weight_packed"));
    let why = || {
        format!(
            "it is quantized, but {} has no quantization_config\n  help: add the options of quantize_config.json or \
             quant_config.json to it as `quantization_config`, with a `quant_method`",
            settings.path().display()
        )
    };
    packed.map_or(Ok(()), |name| Err(refuse(name, why())))
}

fn refuse(name: &str, why: impl Into<String>) -> OpenError {
    WeightError::Packed { name: name.to_owned(), why: why.into() }.into()
}

/// Reads the number of bits, which must be 4.
fn four_bits(settings: &Settings, option: &str) -> Result<(), SettingsError> {
    match settings.size(option)? {
        4 => Ok(()),
        _ => Err(settings.wrong(
            option,
            "4, the only width of packed codes that is supported\n  help: dequantize the model with the tool that \
             quantized it, save it as floats, and pass --quantize",
        )),
    }
}

/// The sizes of groups for which runtimes have kernels.
const GROUP_SIZES: [u64; 5] = [16, 32, 64, 128, 256];

/// The places of codes in an integer if they follow one another.
const IN_ORDER: [u8; 8] = [0, 1, 2, 3, 4, 5, 6, 7];

/// Reads the number of elements that share a scale; `None` if a whole row does.
fn group_size(settings: &Settings) -> Result<Option<u64>, SettingsError> {
    match settings.number("group_size")? {
        Some(-1.0) => Ok(None),
        _ => {
            match settings.size("group_size")? {
                size if GROUP_SIZES.contains(&size) => Ok(Some(size)),
                _ => Err(settings
                    .wrong("group_size", "16, 32, 64, 128, 256 or -1: runtimes have no kernels for other blocks")),
            }
        }
    }
}

/// The tensors of one weight, taken out of those of a folder.
struct Parts<'t> {
    /// The name of the layer.
    layer: String,
    tensors: &'t mut Tensors,
}

impl Parts<'_> {
    /// Returns the name of the weight in a model of floats.
    fn weight(&self) -> String {
        format!("{}.weight", self.layer)
    }

    fn refuse(&self, why: impl Into<String>) -> OpenError {
        refuse(&self.weight(), why)
    }

    /// Returns the error of an operation on tensors as one of the weight.
    fn failed(&self, source: TensorError) -> OpenError {
        WeightError::Tensor { name: self.weight(), source }.into()
    }

    /// Takes a tensor that the method requires.
    fn take(&mut self, part: &str) -> Result<Tensor, OpenError> {
        let found = self.take_if_present(part);
        found.ok_or_else(|| self.refuse(format!("the tensor {}.{part} is missing", self.layer)))
    }

    fn take_if_present(&mut self, part: &str) -> Option<Tensor> {
        self.tensors.remove(&format!("{}.{part}", self.layer))
    }

    /// Takes a matrix of integers that hold eight codes each.
    fn take_packed(&mut self, part: &str) -> Result<Tensor, OpenError> {
        let tensor = self.take(part)?;
        match (tensor.element(), tensor.dims()) {
            (ElementType::I32, [_, _]) => Ok(tensor),
            _ => Err(self.refuse(format!("{}.{part} is {}, but must be an i32 matrix", self.layer, tensor.ty()))),
        }
    }

    /// Adds the weight `[outputs, inputs]` with codes u4 of that shape, scales `[outputs, groups]` and zero points u4 of
    /// that shape, whose default is 8. Without a size, each row is one group.
    fn put(
        &mut self,
        codes: Tensor,
        scales: Tensor,
        zeros: Option<Tensor>,
        group_size: Option<u64>,
    ) -> Result<(), OpenError> {
        /// Runtimes have no kernels for a scale for each row: blocks of this size repeat it.
        const BLOCK: u64 = 128;
        let size = group_size.unwrap_or(BLOCK);
        let blocks = codes.dims().last().map_or(0, |row| row.div_ceil(size));
        let laid_out = || -> Result<Tensor, TensorError> {
            let repeated = |tensor: Tensor| match (group_size, tensor.dims()) {
                (None, [_, 1]) if blocks > 1 => {
                    let count = usize::try_from(blocks).unwrap_or(usize::MAX).min(MAX_REPEATED);
                    Tensor::concatenated(&vec![tensor; count])
                }
                _ => Ok(tensor),
            };
            let (scales, zeros) = (repeated(scales)?, zeros.map(repeated).transpose()?);
            // Zero points that are all 8 are those of signed codes, which need none.
            let (codes, zeros) = match zeros {
                Some(zeros) if !is_all_eight(&zeros)? => (codes, Some(zeros)),
                _ => (codes.offset()?, None),
            };
            let format = BlockFormat { bits: 4, size, symmetric: zeros.is_none() };
            let element = scales.element();
            Quantized::from_parts(codes, scales, zeros, format)?.dequantized(element)
        };
        let weight = laid_out().map_err(|error| self.failed(error))?;
        let name = self.weight();
        match self.tensors.insert(name, weight) {
            None => Ok(()),
            Some(_) => Err(self.refuse("it is stored both quantized and as floats")),
        }
    }
}

/// The largest number of blocks of a row with one scale: more than any model has.
const MAX_REPEATED: usize = 1 << 16;

/// Calls `read` with the tensors of each layer that has one with this name; returns the number of layers.
fn for_each_layer(
    tensors: &mut Tensors,
    mark: &str,
    mut read: impl FnMut(&mut Parts<'_>) -> Result<(), OpenError>,
) -> Result<usize, OpenError> {
    let layer = |name: &String| Some(name.strip_suffix(mark)?.strip_suffix('.')?.to_owned());
    let layers: Vec<String> = tensors.keys().filter_map(layer).collect();
    let count = layers.len();
    layers.into_iter().try_for_each(|layer| read(&mut Parts { layer, tensors }))?;
    Ok(count)
}

/// Returns whether all codes of 4 bits are 8.
fn is_all_eight(codes: &Tensor) -> Result<bool, TensorError> {
    // The last byte may hold one code only.
    let odd = !codes.count().is_multiple_of(2);
    let mut left = codes.len();
    Tensor::all_pieces([codes], |[bytes]| {
        left -= bytes.len() as u64;
        let whole = bytes.len() - usize::from(odd && left == 0);
        bytes[..whole].iter().all(|byte| *byte == 0x88) && bytes[whole..].iter().all(|byte| byte & 15 == 8)
    })
}
