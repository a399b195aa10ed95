//! The first pass of a decoder and its later steps, as the branches of one model.

use super::Piece;
use crate::args::ExternalData;
use crate::failure::Failure;
use crate::model_io;
use crate::overwrite::Inputs;
use crate::spinner::Spinner;
use netwright::ir::{Dim, Fact, Model, Shape, Symbol, TensorType, ValueType};
use netwright::nn::Part;
use netwright::passes::Report;
use netwright::surgery::merge_branches;
use std::path::{Path, PathBuf};

/// Writes each part of a piece as a model of its own.
pub(super) fn write_branches(
    piece: Piece,
    parts: &[(Model, Report)],
    folder: &Path,
    spinner: &Spinner,
) -> Result<Vec<(Part, PathBuf)>, Failure> {
    let write = |(part, (model, _)): (&Part, &(Model, Report))| {
        let path = folder.join(format!("{}.onnx", Piece::One(*part).stem()));
        model_io::write(model, &path, ExternalData::Auto, false, &Inputs::default(), spinner)?;
        Ok((*part, path))
    };
    piece.parts().iter().zip(parts).map(write).collect()
}

/// Joins the first pass of a decoder and its later steps, whose cross attention keeps its keys and values; a single
/// model stays as it is.
pub(super) fn joined(mut models: Vec<Model>) -> Result<Model, Failure> {
    let last = models.pop().expect("a piece has a part");
    let Some(first) = models.pop() else { return Ok(last) };
    let kept: Vec<(String, String)> = first
        .graph
        .outputs()
        .iter()
        .filter_map(|output| {
            let rest = output.name.strip_prefix("present")?;
            Some((output.name.to_string(), format!("past_key_values{rest}")))
        })
        .collect();
    let kept: Vec<(&str, &str)> = kept.iter().map(|(output, input)| (&**output, &**input)).collect();
    let mut model = merge_branches("use_cache_branch", last, first, &kept).map_err(Failure::model)?.model;
    // In the first pass the past is empty, whatever its length is later.
    for input in model.graph.inputs().collect::<Vec<_>>() {
        let ValueType::Tensor(ty) = &model.graph.fact(input).ty else { continue };
        let Some([batch, heads, Dim::Known(_), width]) = ty.shape.as_deref() else { continue };
        if model.graph.value_name(input).starts_with("past_key_values") {
            let length = Dim::Symbol(Symbol::new("encoder_past_length"));
            let shape = Shape::from_iter([batch.clone(), heads.clone(), length, width.clone()]);
            model.graph.set_fact(input, Fact::of(TensorType::new(ty.element, shape)));
        }
    }
    Ok(model)
}
