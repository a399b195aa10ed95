//! Conversion of attributes and tensors to wire types.

use super::super::WriteError;
use crate::types;
use crate::wire::{AttributeProto, AttributeType, SparseTensorProto, StringStringEntryProto, TensorProto};
use netwright_ir::{Attribute, AttributeNotes, Data, SparseTensor, Tensor, TensorNotes};
use std::collections::BTreeMap;

/// Converts properties, sorted by key.
pub(super) fn entries<'a>(entries: impl IntoIterator<Item = (&'a String, &'a String)>) -> Vec<StringStringEntryProto> {
    let entry = |(key, value): (&String, &String)| StringStringEntryProto {
        key: Some(key.clone()),
        value: Some(value.clone()),
    };
    entries.into_iter().map(entry).collect()
}

/// Returns the text unless it is empty.
pub(super) fn given(text: &str) -> Option<String> {
    Some(text.to_owned()).filter(|text| !text.is_empty())
}

/// Converts an attribute that is not a body; its tensors go to `tensors`, in the order of the file.
pub(super) fn attribute(
    place: &str,
    name: &str,
    value: &Attribute,
    notes: Option<&AttributeNotes>,
    tensors: &mut Vec<Tensor>,
) -> Result<AttributeProto, WriteError> {
    let mut proto = AttributeProto { name: Some(name.to_owned()), ..Default::default() };
    let ty = match value {
        Attribute::Int(value) => {
            proto.i = Some(*value);
            AttributeType::Int
        }
        Attribute::Bool(value) => {
            proto.i = Some((*value).into());
            AttributeType::Int
        }
        Attribute::Element(element) => {
            proto.i = Some(element.number());
            AttributeType::Int
        }
        Attribute::Float(value) => {
            proto.f = Some(*value);
            AttributeType::Float
        }
        Attribute::Text(text) => {
            proto.s = Some(text.clone());
            AttributeType::String
        }
        Attribute::Ints(values) => {
            proto.ints.clone_from(values);
            AttributeType::Ints
        }
        Attribute::Floats(values) => {
            proto.floats.clone_from(values);
            AttributeType::Floats
        }
        Attribute::Texts(texts) => {
            proto.strings.clone_from(texts);
            AttributeType::Strings
        }
        Attribute::Tensor(tensor) => {
            let notes = notes.map(|notes| (given(&notes.tensor_name), &notes.tensor));
            let (name, notes) = notes.map_or((None, None), |(name, notes)| (name, Some(notes)));
            proto.t = Some(Box::new(tensor_proto(place, name, tensor, notes)?));
            tensors.push(tensor.clone());
            AttributeType::Tensor
        }
        Attribute::Tensors(held) => {
            for tensor in held {
                proto.tensors.push(tensor_proto(place, None, tensor, None)?);
                tensors.push(tensor.clone());
            }
            AttributeType::Tensors
        }
        Attribute::Sparse(held) => {
            proto.sparse_tensor = Some(Box::new(sparse_proto(place, None, held, tensors)?));
            AttributeType::SparseTensor
        }
        Attribute::Sparses(held) => {
            for tensor in held {
                proto.sparse_tensors.push(sparse_proto(place, None, tensor, tensors)?);
            }
            AttributeType::SparseTensors
        }
        Attribute::Type(ty) => {
            proto.tp = types::to_wire(ty).map(Box::new);
            AttributeType::TypeProto
        }
        Attribute::Types(types) => {
            proto.type_protos = types.iter().filter_map(types::to_wire).collect();
            AttributeType::TypeProtos
        }
        Attribute::Reference { name, ty } => {
            proto.ref_attr_name = Some(name.to_string());
            proto.r#type = Some(*ty);
            return Ok(proto);
        }
        // Bodies are emitted with the graphs around them.
        Attribute::Graph(_) => AttributeType::Graph,
        Attribute::Graphs(_) => AttributeType::Graphs,
    };
    proto.r#type = Some(ty.into());
    proto.doc_string = notes.and_then(|notes| given(&notes.doc));
    Ok(proto)
}

/// Converts a tensor without its elements, except strings.
pub(super) fn tensor_proto(
    place: &str,
    name: Option<String>,
    tensor: &Tensor,
    notes: Option<&TensorNotes>,
) -> Result<TensorProto, WriteError> {
    let string_data = match tensor.data() {
        Data::Strings(strings) => strings.to_vec(),
        _ => vec![],
    };
    let none = BTreeMap::new();
    Ok(TensorProto {
        dims: dims(place, tensor.dims())?,
        data_type: Some(types::number(tensor.element())),
        name,
        string_data,
        doc_string: notes.and_then(|notes| given(&notes.doc)),
        metadata_props: entries(notes.map_or(&none, |notes| &notes.metadata)),
        ..Default::default()
    })
}

/// Converts a tensor stored by its nonzero elements; its values and then its indices go to `tensors`.
pub(super) fn sparse_proto(
    place: &str,
    name: Option<String>,
    tensor: &SparseTensor,
    tensors: &mut Vec<Tensor>,
) -> Result<SparseTensorProto, WriteError> {
    let values = tensor_proto(place, name, tensor.values(), None)?;
    let indices = tensor_proto(place, None, tensor.indices(), None)?;
    tensors.extend([tensor.values().clone(), tensor.indices().clone()]);
    Ok(SparseTensorProto { values: Some(values), indices: Some(indices), dims: dims(place, tensor.dims())? })
}

fn dims(place: &str, dims: &[u64]) -> Result<Vec<i64>, WriteError> {
    let dim = |&size: &u64| i64::try_from(size).map_err(|_| WriteError::Dim { name: place.to_owned(), size });
    dims.iter().map(dim).collect()
}
