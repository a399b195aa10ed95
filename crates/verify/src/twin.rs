//! The f64 twin of a model.
//!
//! Two models that differ only by rounding agree in f64; two that compute different functions do not. The twin of a
//! model has f64 wherever the model has f32, f16 or bf16: in its inputs, constants, casts and results. Operators that
//! tract does not support for f64 are [decomposed](forms).

mod forms;
mod noise;

pub(crate) use noise::{Noise, has_constant_masks};

use crate::elements::{element, numbers, of_bytes};
use crate::file::{ModelFile, Port, is_external};
use crate::{Array, Values};
use netwright_ir::ElementType;
use std::path::Path;
use tract_onnx::data_resolver::ModelDataResolver;
use tract_onnx::pb::{
    AttributeProto, GraphProto, NodeProto, TensorProto, ValueInfoProto, attribute_proto::AttributeType, type_proto,
};

/// Element types, by their numbers in `onnx.proto`.
const F32: i32 = 1;
const F16: i32 = 10;
const F64: i32 = 11;
const BF16: i32 = 16;

/// Returns the model in f64, or the reason why it has no f64 form. Its weights are rounded to f16 or bf16 first if `rounded`
/// is that type.
pub(crate) fn twin(file: &ModelFile, rounded: Option<ElementType>) -> Result<ModelFile, String> {
    let mut graph = file.graph.clone();
    let mut fresh = 0;
    widen_graph(&mut graph, file, &mut fresh)?;
    if let Some(element) = rounded {
        let tensors = graph.initializer.iter_mut().filter(|tensor| tensor.data_type == F64);
        tensors.for_each(|tensor| round_tensor(tensor, element));
    }
    let outputs = file.outputs().iter().map(|port| {
        let ty = port.ty.clone().map(|mut ty| {
            if ty.element.is_float() {
                ty.element = ElementType::F64;
            }
            ty
        });
        Port { name: port.name.clone(), ty }
    });
    let outputs = outputs.collect();
    Ok(file.with_graph(graph, outputs))
}

fn is_narrow(element: i32) -> bool {
    matches!(element, F32 | F16 | BF16)
}

fn widen_graph(graph: &mut GraphProto, file: &ModelFile, fresh: &mut usize) -> Result<(), String> {
    // tract infers the types of inner values again.
    graph.value_info.clear();
    graph.input.iter_mut().chain(&mut graph.output).for_each(widen_type);
    for tensor in &mut graph.initializer {
        widen_tensor(tensor, file)?;
    }
    let mut nodes = vec![];
    for mut node in std::mem::take(&mut graph.node) {
        widen_node(&mut node, file, fresh)?;
        forms::write_out(node, &mut nodes, fresh, file.opset().unwrap_or(0))?;
    }
    graph.node = nodes;
    Ok(())
}

fn widen_type(value: &mut ValueInfoProto) {
    if let Some(type_proto::Value::TensorType(tensor)) = value.r#type.as_mut().and_then(|ty| ty.value.as_mut())
        && is_narrow(tensor.elem_type)
    {
        tensor.elem_type = F64;
    }
}

fn widen_tensor(tensor: &mut TensorProto, file: &ModelFile) -> Result<(), String> {
    if !is_narrow(tensor.data_type) {
        return Ok(());
    }
    let values = floats(tensor, file)?;
    tensor.raw_data = values.iter().flat_map(|value| value.to_le_bytes()).collect();
    tensor.data_type = F64;
    tensor.float_data.clear();
    tensor.int32_data.clear();
    tensor.external_data.clear();
    tensor.data_location = None;
    Ok(())
}

/// Rounds the elements of a tensor of the twin. Those beyond the range of the type keep their values.
fn round_tensor(tensor: &mut TensorProto, to: ElementType) {
    let values = tensor.raw_data.as_chunks::<8>().0.iter().map(|eight| f64::from_le_bytes(*eight));
    let keep = |value: f64| to.round(value).filter(|found| found.is_finite() && *found != 0.0).unwrap_or(value);
    tensor.raw_data = values.flat_map(|value| keep(value).to_le_bytes()).collect();
}

/// Reads the elements of an f32, f16 or bf16 tensor.
fn floats(tensor: &TensorProto, file: &ModelFile) -> Result<Vec<f64>, String> {
    if !is_external(tensor) {
        return Ok(numbers(tensor).collect());
    }
    let mut read = vec![];
    let offset = tensor.external_data.iter().find(|entry| entry.key == "offset");
    let at = offset.and_then(|entry| entry.value.parse().ok()).ok_or("a weight has no offset")?;
    let weights: &dyn ModelDataResolver = &file.weights;
    weights.read_bytes_from_path(&mut read, Path::new("."), at, None).map_err(|error| error.to_string())?;
    Ok(of_bytes(element(tensor), &read).collect())
}

fn widen_node(node: &mut NodeProto, file: &ModelFile, fresh: &mut usize) -> Result<(), String> {
    for attribute in &mut node.attribute {
        if let (true, true) = (matches!(&*attribute.name, "to" | "dtype" | "stash_type"), is_narrow_type(attribute)) {
            attribute.i = F64.into();
        }
        for tensor in attribute.t.iter_mut().chain(&mut attribute.tensors) {
            widen_tensor(tensor, file)?;
        }
        for graph in attribute.g.iter_mut().chain(&mut attribute.graphs) {
            widen_graph(graph, file, fresh)?;
        }
    }
    let has = |name: &str| node.attribute.iter().any(|attribute| attribute.name == name);
    match node.op_type.as_str() {
        // The default is f32.
        "ConstantOfShape" if !has("value") => node.attribute.push(tensor_attribute("value", &[1], &[0.0])),
        "LayerNormalization" if !has("stash_type") => node.attribute.push(int_attribute("stash_type", F64.into())),
        "Constant" => {
            for attribute in &mut node.attribute {
                if attribute.name == "value_float" {
                    *attribute = tensor_attribute("value", &[], &[attribute.f.into()]);
                } else if attribute.name == "value_floats" {
                    let values: Vec<f64> = attribute.floats.iter().copied().map(f64::from).collect();
                    *attribute = tensor_attribute("value", &[values.len()], &values);
                }
            }
        }
        _ => {}
    }
    Ok(())
}

fn is_narrow_type(attribute: &AttributeProto) -> bool {
    i32::try_from(attribute.i).is_ok_and(is_narrow)
}

fn int_attribute(name: &str, i: i64) -> AttributeProto {
    AttributeProto { name: name.to_owned(), r#type: AttributeType::Int as i32, i, ..AttributeProto::default() }
}

fn tensor_attribute(name: &str, shape: &[usize], values: &[f64]) -> AttributeProto {
    let t = TensorProto {
        data_type: F64,
        dims: shape.iter().filter_map(|&size| i64::try_from(size).ok()).collect(),
        raw_data: values.iter().flat_map(|value| value.to_le_bytes()).collect(),
        ..TensorProto::default()
    };
    AttributeProto {
        name: name.to_owned(),
        r#type: AttributeType::Tensor as i32,
        t: Some(t),
        ..AttributeProto::default()
    }
}

impl Array {
    /// Returns the array in f64 if it has floats.
    pub(crate) fn widened(&self) -> Array {
        let values = self.any().floats().map_or_else(|| self.any().clone(), Values::F64);
        Array::new(self.shape(), values).unwrap_or_else(|_| self.clone())
    }
}
