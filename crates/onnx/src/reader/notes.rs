//! Reading of metadata.

use super::ReadProblem;
use crate::types;
use crate::wire::{AttributeProto, NodeProto, StringStringEntryProto, TensorProto, ValueInfoProto};
use bytes::Bytes;
use netwright_ir::{AttributeNotes, Notes, TensorNotes};
use prost::Message;
use std::collections::BTreeMap;

/// Reads properties by key.
pub(super) fn metadata(
    place: &str,
    entries: Vec<StringStringEntryProto>,
) -> Result<BTreeMap<String, String>, ReadProblem> {
    let mut metadata = BTreeMap::new();
    for entry in entries {
        let key = entry.key.unwrap_or_default();
        if metadata.insert(key.clone(), entry.value.unwrap_or_default()).is_some() {
            return Err(ReadProblem::Graph(format!("the metadata of {place} has the key {key:?} twice")));
        }
    }
    Ok(metadata)
}

/// Reads the metadata of a graph or a function.
pub(super) fn described(
    place: &str,
    doc: Option<String>,
    entries: Vec<StringStringEntryProto>,
) -> Result<Notes, ReadProblem> {
    Ok(Notes { doc: doc.unwrap_or_default(), metadata: metadata(place, entries)?, ..Notes::default() })
}

/// Takes the metadata out of a node, including that of its attributes.
pub(super) fn of_node(node: &mut NodeProto, place: &str) -> Result<Notes, ReadProblem> {
    let entries = std::mem::take(&mut node.metadata_props);
    let mut notes = described(place, node.doc_string.take(), entries)?;
    notes.devices = node.device_configurations.iter().map(|device| Bytes::from(device.encode_to_vec())).collect();
    for attribute in &mut node.attribute {
        let read = of_attribute(attribute, place)?;
        if read != AttributeNotes::default() {
            notes.attributes.insert(attribute.name.as_deref().unwrap_or_default().into(), read);
        }
    }
    Ok(notes)
}

fn of_attribute(attribute: &mut AttributeProto, place: &str) -> Result<AttributeNotes, ReadProblem> {
    let mut notes = AttributeNotes { doc: attribute.doc_string.take().unwrap_or_default(), ..Default::default() };
    if let Some(tensor) = &mut attribute.t {
        notes.tensor_name = tensor.name.clone().unwrap_or_default();
        notes.tensor = of_tensor(tensor, place)?;
    }
    Ok(notes)
}

/// Takes the metadata out of a tensor.
pub(super) fn of_tensor(tensor: &mut TensorProto, place: &str) -> Result<TensorNotes, ReadProblem> {
    let entries = std::mem::take(&mut tensor.metadata_props);
    Ok(TensorNotes { doc: tensor.doc_string.take().unwrap_or_default(), metadata: metadata(place, entries)? })
}

/// Reads the metadata of a value.
pub(super) fn of_value(proto: &ValueInfoProto, name: &str) -> Result<Notes, ReadProblem> {
    let mut notes = described(&format!("value {name:?}"), proto.doc_string.clone(), proto.metadata_props.clone())?;
    if let Some(ty) = &proto.r#type {
        let denotations = types::denotations(ty).ok_or_else(|| ReadProblem::Value {
            name: name.to_owned(),
            what: "a denotation within a sequence, an optional or a map is not supported".to_owned(),
        })?;
        (notes.denotation, notes.axes) = denotations;
        notes.spellings = types::spellings(ty);
    }
    Ok(notes)
}
