//! Reading of attributes.

use super::{Context, ReadProblem, tensor};
use crate::types;
use crate::wire::{AttributeProto, AttributeType, TypeProto};
use bytes::Bytes;
use netwright_ir::{Attribute, ValueType};
use std::sync::Arc;

/// Reads an attribute that is not a body; `node` is the node that has it. Its metadata has been taken out.
pub(super) fn read(
    mut proto: AttributeProto,
    node: &str,
    context: &Context<'_>,
) -> Result<(Arc<str>, Attribute), ReadProblem> {
    let name = proto.name.take().unwrap_or_default();
    let fail = |what: String| ReadProblem::Node { node: node.to_owned(), what: format!("attribute {name:?}: {what}") };
    if name.is_empty() {
        return Err(ReadProblem::Node { node: node.to_owned(), what: "an attribute has no name".to_owned() });
    }
    let number = proto.r#type.unwrap_or_default();
    let ty = AttributeType::try_from(number).ok().filter(|ty| *ty != AttributeType::Undefined);
    let Some(ty) = ty else { return Err(fail(format!("{number} is not an attribute type (1 to 14)"))) };
    let stray = fields(&proto).into_iter().find(|(of, there)| *there && *of != ty);
    if let Some((other, _)) = stray {
        return Err(fail(format!("its type is {ty:?}, but it holds a value of {other:?}")));
    }
    if let Some(reference) = proto.ref_attr_name.filter(|reference| !reference.is_empty()) {
        return Ok((name.into(), Attribute::Reference { name: reference.into(), ty: number }));
    }
    // Slices would keep all bytes that were read of the file.
    let owned = |text: &Bytes| Bytes::copy_from_slice(text);
    let value = match ty {
        // Writers of proto3 omit 0 and empty values.
        AttributeType::Float => Attribute::Float(proto.f.unwrap_or_default()),
        AttributeType::Int => Attribute::Int(proto.i.unwrap_or_default()),
        AttributeType::String => Attribute::Text(owned(&proto.s.unwrap_or_default())),
        AttributeType::Floats => Attribute::Floats(proto.floats),
        AttributeType::Ints => Attribute::Ints(proto.ints),
        AttributeType::Strings => Attribute::Texts(proto.strings.iter().map(owned).collect()),
        AttributeType::Tensor => {
            let held = proto.t.take().ok_or_else(|| fail("its tensor is missing".to_owned()))?;
            let place = held.name.clone().filter(|name| !name.is_empty());
            Attribute::Tensor(tensor::read(*held, &place.unwrap_or_else(|| format!("{name} of {node}")), context)?)
        }
        AttributeType::Tensors => {
            let place = format!("{name} of {node}");
            let tensors = proto.tensors.into_iter().map(|held| tensor::read(held, &place, context));
            Attribute::Tensors(tensors.collect::<Result<_, _>>()?)
        }
        AttributeType::SparseTensor => {
            let held = proto.sparse_tensor.take().ok_or_else(|| fail("its tensor is missing".to_owned()))?;
            Attribute::Sparse(tensor::read_sparse(*held, &format!("{name} of {node}"), context)?.1)
        }
        AttributeType::SparseTensors => {
            let place = format!("{name} of {node}");
            let tensors = proto.sparse_tensors.into_iter();
            let tensors = tensors.map(|held| Ok(tensor::read_sparse(held, &place, context)?.1));
            Attribute::Sparses(tensors.collect::<Result<_, ReadProblem>>()?)
        }
        AttributeType::TypeProto => {
            let held = proto.tp.take().ok_or_else(|| fail("its type is missing".to_owned()))?;
            Attribute::Type(value_type(&held).map_err(fail)?)
        }
        AttributeType::TypeProtos => {
            let types = proto.type_protos.iter().map(value_type).collect::<Result<_, _>>();
            Attribute::Types(types.map_err(fail)?)
        }
        AttributeType::Graph | AttributeType::Graphs | AttributeType::Undefined => {
            return Err(fail("its graph is missing".to_owned()));
        }
    };
    Ok((name.into(), value))
}

fn value_type(proto: &TypeProto) -> Result<ValueType, String> {
    match types::denotations(proto) {
        Some((own, axes)) if own.is_empty() && axes.is_empty() => types::from_wire(proto),
        _ => Err("a nested denotation is not supported".to_owned()),
    }
}

/// Returns which fields hold a value.
fn fields(proto: &AttributeProto) -> [(AttributeType, bool); 14] {
    [
        (AttributeType::Float, proto.f.is_some()),
        (AttributeType::Int, proto.i.is_some()),
        (AttributeType::String, proto.s.is_some()),
        (AttributeType::Tensor, proto.t.is_some()),
        (AttributeType::Graph, proto.g.is_some()),
        (AttributeType::SparseTensor, proto.sparse_tensor.is_some()),
        (AttributeType::TypeProto, proto.tp.is_some()),
        (AttributeType::Floats, !proto.floats.is_empty()),
        (AttributeType::Ints, !proto.ints.is_empty()),
        (AttributeType::Strings, !proto.strings.is_empty()),
        (AttributeType::Tensors, !proto.tensors.is_empty()),
        (AttributeType::Graphs, !proto.graphs.is_empty()),
        (AttributeType::SparseTensors, !proto.sparse_tensors.is_empty()),
        (AttributeType::TypeProtos, !proto.type_protos.is_empty()),
    ]
}
