//! Attributes of nodes.

use super::{Context, Problem, not_yet, tensor};
use crate::wire::{AttributeProto, AttributeType};
use bytes::Bytes;
use netwright_ir::Attribute;
use std::sync::Arc;

/// The attribute; `node` names the one that has it.
pub(super) fn read(
    mut proto: AttributeProto,
    node: &str,
    context: &Context<'_>,
) -> Result<(Arc<str>, Attribute), Problem> {
    let name = proto.name.take().unwrap_or_default();
    let fail = |what: String| Problem::Node { node: node.to_owned(), what: format!("attribute {name:?}: {what}") };
    if name.is_empty() {
        return Err(Problem::Node { node: node.to_owned(), what: "an attribute has no name".to_owned() });
    }
    if proto.ref_attr_name.as_deref().is_some_and(|reference| !reference.is_empty()) {
        return Err(fail("it refers to an attribute of a function, but stands in none".to_owned()));
    }
    let number = proto.r#type.unwrap_or_default();
    let ty = AttributeType::try_from(number).ok().filter(|ty| *ty != AttributeType::Undefined);
    let Some(ty) = ty else { return Err(fail(format!("{number} is no type of attribute (1 to 14)"))) };
    let stray = fields(&proto).into_iter().find(|(of, there)| *there && *of != ty);
    if let Some((other, _)) = stray {
        return Err(fail(format!("its type is {ty:?}, but it holds a value of {other:?}")));
    }
    let described = proto.doc_string.as_deref().is_some_and(|doc| !doc.is_empty());
    let graphs = matches!(ty, AttributeType::Graph | AttributeType::Graphs);
    let unread = [
        (graphs, "subgraphs"),
        (matches!(ty, AttributeType::SparseTensor | AttributeType::SparseTensors), "sparse tensors"),
        (matches!(ty, AttributeType::TypeProto | AttributeType::TypeProtos), "types as attributes"),
        (ty == AttributeType::Tensors, "lists of tensors as attributes"),
        (described, "doc strings of attributes"),
    ];
    not_yet(&format!("{node}, attribute {name:?}"), &unread)?;
    // Slices of the map would hold its pages.
    let owned = |text: &Bytes| Bytes::copy_from_slice(text);
    let value = match ty {
        // Writers of proto3 leave out what is 0 or empty.
        AttributeType::Float => Attribute::Float(proto.f.unwrap_or_default()),
        AttributeType::Int => Attribute::Int(proto.i.unwrap_or_default()),
        AttributeType::String => Attribute::Text(owned(&proto.s.unwrap_or_default())),
        AttributeType::Floats => Attribute::Floats(proto.floats),
        AttributeType::Ints => Attribute::Ints(proto.ints),
        AttributeType::Strings => Attribute::Texts(proto.strings.iter().map(owned).collect()),
        AttributeType::Tensor => {
            let held = proto.t.take().ok_or_else(|| fail("it holds no tensor".to_owned()))?;
            let place = held.name.clone().filter(|name| !name.is_empty());
            Attribute::Tensor(tensor::read(*held, &place.unwrap_or_else(|| format!("{name} of {node}")), context)?)
        }
        _ => return Err(fail(format!("values of {ty:?} are not read"))),
    };
    Ok((name.into(), value))
}

/// Which fields hold a value.
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
