//! Prints models in ONNX's text syntax, as `onnx.parser` reads it, for snapshots: every line shows what the file holds.
//!
//! Long tensors are printed as a hash, and inner values with their type, both as comments.

use crate::WriteError;
use crate::wire::{
    AttributeProto, AttributeType, DimensionProto, DimensionValue, GraphProto, ModelProto, NodeProto, TensorProto,
    TensorShapeProto, TypeProto, TypeValue, ValueInfoProto,
};
use crate::writer::emit::{self, PRODUCER};
use netwright_ir::{Data, ElementType, Model, Tensor, TensorError};
use std::collections::HashMap;
use std::fmt::Write;

/// The maximum number of elements of a tensor that is printed in full.
const INLINE: u64 = 8;

/// The number of bytes hashed at a time.
const BLOCK: u64 = 1 << 20;

/// Returns the text of a model in the forms of its opset. The same model gives the same text.
///
/// # Errors
/// If the model has no ONNX form, or a weight cannot be read.
pub fn to_text(model: &Model) -> Result<String, WriteError> {
    let mut nodes = vec![];
    let emitted = emit::emit(model, &mut |node| nodes.push(node))?;
    let mut out = String::new();
    header(&emitted.model, &mut out);
    let mut tensors = emitted.tensors.iter();
    if let Some(graph) = &emitted.model.graph {
        line(&mut out, &graph_text(graph, &nodes, "", &mut tensors)?);
    }
    Ok(out)
}

/// Prints a graph; recurses on bodies, whose depth is bounded.
fn graph_text(
    graph: &GraphProto,
    nodes: &[NodeProto],
    margin: &str,
    tensors: &mut std::slice::Iter<'_, Tensor>,
) -> Result<String, WriteError> {
    let mut out = String::new();
    let list = |values: &[ValueInfoProto]| values.iter().map(declaration).collect::<Vec<_>>().join(", ");
    let name = graph.name.as_deref().unwrap_or_default();
    line(&mut out, &format!("{} ({}) => ({})", identifier(name), list(&graph.input), list(&graph.output)));
    let types: HashMap<_, _> =
        graph.value_info.iter().filter_map(|value| Some((value.name.as_deref()?, ty(value.r#type.as_ref())))).collect();
    // The initializers are printed first, but their tensors come last.
    let mut body = String::new();
    for node in nodes {
        line(&mut body, &format!("{margin}   {}", node_text(node, &types, margin, tensors)?));
    }
    for (at, initializer) in graph.initializer.iter().enumerate() {
        let open = if at == 0 { "   <" } else { "    " };
        let close = if at + 1 == graph.initializer.len() { ">" } else { "," };
        let name = identifier(initializer.name.as_deref().unwrap_or_default());
        let declared = format!("{margin}{open}{} {name}", tensor_type(initializer));
        match tensors.next().map(contents).transpose()? {
            Some(Contents::Elements(elements)) => line(&mut out, &format!("{declared} = {elements}{close}")),
            Some(Contents::Hash(hash)) => line(&mut out, &format!("{declared}{close}  # {hash:016x}")),
            None => line(&mut out, &format!("{declared}{close}")),
        }
    }
    line(&mut out, &format!("{margin}{{"));
    out.push_str(&body);
    out.push_str(margin);
    out.push('}');
    Ok(out)
}

fn line(out: &mut String, text: &str) {
    out.push_str(text);
    out.push('\n');
}

fn header(model: &ModelProto, out: &mut String) {
    let opsets: Vec<_> = model
        .opset_import
        .iter()
        .map(|opset| {
            let domain = opset.domain.as_deref().unwrap_or_default();
            format!("{} : {}", quoted(domain), opset.version.unwrap_or_default())
        })
        .collect();
    let mut fields = vec![
        format!("ir_version: {}", model.ir_version.unwrap_or_default()),
        format!("opset_import: [{}]", opsets.join(", ")),
    ];
    // The version of Netwright would change every snapshot at each release.
    if let Some(producer) = model.producer_name.as_deref().filter(|producer| *producer != PRODUCER) {
        fields.push(format!("producer_name: {}", quoted(producer)));
        fields.push(format!("producer_version: {}", quoted(model.producer_version.as_deref().unwrap_or_default())));
    }
    if let Some(doc) = &model.doc_string {
        fields.push(format!("doc_string: {}", quoted(doc)));
    }
    if !model.metadata_props.is_empty() {
        let text = |text: &Option<String>| quoted(text.as_deref().unwrap_or_default());
        let entries: Vec<_> =
            model.metadata_props.iter().map(|entry| format!("{}: {}", text(&entry.key), text(&entry.value))).collect();
        fields.push(format!("metadata_props: [{}]", entries.join(", ")));
    }
    line(out, &format!("<\n   {}\n>", fields.join(",\n   ")));
}

fn node_text(
    node: &NodeProto,
    types: &HashMap<&str, String>,
    margin: &str,
    tensors: &mut std::slice::Iter<'_, Tensor>,
) -> Result<String, WriteError> {
    let names = |names: &[String]| names.iter().map(|name| value(name)).collect::<Vec<_>>().join(", ");
    let first = node.output.first().map_or("", |name| name.as_str());
    let label = node.name.as_deref().filter(|label| *label != first);
    let label = label.map_or_else(String::new, |label| format!("[{}] ", identifier(label)));
    let domain = node.domain.as_deref().map_or_else(String::new, |domain| format!("{domain}."));
    let overload = node.overload.as_deref().map_or_else(String::new, |overload| format!(":{overload}"));
    let operator = node.op_type.as_deref().unwrap_or_default();
    let mut notes = vec![];
    let mut attributes = vec![];
    for proto in &node.attribute {
        attributes.push(attribute(proto, margin, tensors, &mut notes)?);
    }
    let attributes = if attributes.is_empty() { String::new() } else { format!("<{}> ", attributes.join(", ")) };
    if operator != "Constant" {
        let types: Vec<_> = node.output.iter().filter_map(|name| types.get(name.as_str()).cloned()).collect();
        notes.extend((!types.is_empty()).then(|| types.join(", ")));
    }
    let notes = if notes.is_empty() { String::new() } else { format!("  # {}", notes.join("; ")) };
    let (outputs, inputs) = (names(&node.output), names(&node.input));
    Ok(format!("{label}{outputs} = {domain}{operator}{overload} {attributes}({inputs}){notes}"))
}

fn attribute(
    proto: &AttributeProto,
    margin: &str,
    tensors: &mut std::slice::Iter<'_, Tensor>,
    notes: &mut Vec<String>,
) -> Result<String, WriteError> {
    let name = proto.name.as_deref().unwrap_or_default();
    let join = |items: Vec<String>| format!("[{}]", items.join(", "));
    let bytes = |bytes: &[u8]| quoted(&String::from_utf8_lossy(bytes));
    let (word, text) = match AttributeType::try_from(proto.r#type.unwrap_or_default()) {
        Ok(AttributeType::Int) => ("int", proto.i.unwrap_or_default().to_string()),
        Ok(AttributeType::Float) => ("float", float(proto.f.unwrap_or_default())),
        Ok(AttributeType::String) => ("string", bytes(proto.s.as_deref().unwrap_or_default())),
        Ok(AttributeType::Ints) => ("ints", join(proto.ints.iter().map(i64::to_string).collect())),
        Ok(AttributeType::Floats) => ("floats", join(proto.floats.iter().map(|value| float(*value)).collect())),
        Ok(AttributeType::Strings) => ("strings", join(proto.strings.iter().map(|text| bytes(text)).collect())),
        Ok(AttributeType::Graph | AttributeType::Graphs) => {
            let margin = format!("{margin}   ");
            let graphs = proto.g.as_deref().into_iter().chain(&proto.graphs);
            let texts: Vec<_> =
                graphs.map(|graph| graph_text(graph, &graph.node, &margin, tensors)).collect::<Result<_, _>>()?;
            if proto.g.is_some() { ("graph", texts.concat()) } else { ("graphs", join(texts)) }
        }
        Ok(AttributeType::TypeProto) => ("type_proto", ty(proto.tp.as_deref())),
        Ok(AttributeType::TypeProtos) => {
            ("type_protos", join(proto.type_protos.iter().map(|held| ty(Some(held))).collect()))
        }
        Ok(AttributeType::SparseTensor | AttributeType::SparseTensors) => {
            let sparse = proto.sparse_tensor.as_deref().into_iter().chain(&proto.sparse_tensors);
            let mut texts = vec![];
            for tensor in sparse {
                // A sparse tensor has two: its values and its indices.
                tensors.nth(1);
                texts.push(format!("{:?}", tensor.dims));
            }
            ("sparse_tensor", join(texts))
        }
        _ => {
            let ty = proto.t.as_deref().map_or_else(String::new, tensor_type);
            let elements = match tensors.next().map(contents).transpose()? {
                Some(Contents::Elements(elements)) => elements,
                Some(Contents::Hash(hash)) => {
                    notes.push(format!("{hash:016x}"));
                    "{}".to_owned()
                }
                None => String::new(),
            };
            ("tensor", format!("{ty} {elements}"))
        }
    };
    Ok(format!("{name}: {word} = {text}"))
}

enum Contents {
    /// The elements as a list.
    Elements(String),
    /// A hash of the elements.
    Hash(u64),
}

fn contents(tensor: &Tensor) -> Result<Contents, WriteError> {
    if tensor.count() <= INLINE {
        let list = |items: Vec<String>| Contents::Elements(format!("{{{}}}", items.join(", ")));
        if let Data::Strings(strings) = tensor.data() {
            return Ok(list(strings.iter().map(|text| quoted(&String::from_utf8_lossy(text))).collect()));
        }
        if let Some(values) = tensor.integers() {
            return Ok(list(values.iter().map(i64::to_string).collect()));
        }
        if let Some(values) = tensor.floats() {
            #[expect(clippy::cast_possible_truncation, reason = "they were converted from that type")]
            return Ok(list(match tensor.element() {
                ElementType::F32 => values.iter().map(|value| float(*value as f32)).collect(),
                _ => values.iter().map(|value| format!("{value:?}")).collect(),
            }));
        }
    }
    let failed = |source| WriteError::Elements { tensor: tensor.ty().to_string(), source };
    hash(tensor).map(Contents::Hash).map_err(failed)
}

/// Hashes the elements, with the same result on every machine: rustc's hash, word by word, which is faster than the
/// disk.
fn hash(tensor: &Tensor) -> Result<u64, TensorError> {
    let word = |hash: u64, word: u64| (hash.rotate_left(5) ^ word).wrapping_mul(0x517c_c1b7_2722_0a95);
    let bytes = |start: u64, bytes: &[u8]| {
        let (words, rest) = bytes.as_chunks::<8>();
        let hash = words.iter().fold(start, |hash, bytes| word(hash, u64::from_le_bytes(*bytes)));
        rest.iter().fold(hash, |hash, byte| word(hash, u64::from(*byte)))
    };
    if let Data::Strings(strings) = tensor.data() {
        return Ok(strings.iter().fold(0, |hash, text| bytes(word(hash, text.len() as u64), text)));
    }
    let elements = BLOCK * 8 / u64::from(tensor.element().bits()).max(1);
    let mut hash = 0;
    let mut buffer = vec![];
    for at in 0..tensor.len().div_ceil(BLOCK) {
        buffer.resize(usize::try_from((tensor.len() - at * BLOCK).min(BLOCK)).unwrap_or(usize::MAX), 0);
        tensor.read(at * elements, &mut buffer)?;
        hash = bytes(hash, &buffer);
    }
    Ok(hash)
}

fn float(value: f32) -> String {
    format!("{value:?}")
}

fn value(name: &str) -> String {
    if name.is_empty() { String::new() } else { identifier(name) }
}

/// Returns a name, quoted if it is not an identifier.
fn identifier(name: &str) -> String {
    let plain = name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
        && name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_');
    if plain { name.to_owned() } else { quoted(name) }
}

fn quoted(text: &str) -> String {
    let mut out = String::from('"');
    for c in text.chars() {
        match c {
            '"' | '\\' => {
                out.push('\\');
                out.push(c);
            }
            // A line break would end the line.
            c if c.is_control() => {
                let _ = write!(out, "{}", c.escape_default());
            }
            c => out.push(c),
        }
    }
    out.push('"');
    out
}

fn declaration(value: &ValueInfoProto) -> String {
    format!("{} {}", ty(value.r#type.as_ref()), identifier(value.name.as_deref().unwrap_or_default()))
}

fn tensor_type(tensor: &TensorProto) -> String {
    let dims: Vec<_> = tensor.dims.iter().map(i64::to_string).collect();
    let shape = if dims.is_empty() { String::new() } else { format!("[{}]", dims.join(", ")) };
    format!("{}{shape}", word(tensor.data_type))
}

fn ty(proto: Option<&TypeProto>) -> String {
    let inner = |proto: &Option<Box<TypeProto>>| ty(proto.as_deref());
    match proto.and_then(|proto| proto.value.as_ref()) {
        None | Some(TypeValue::Opaque(_)) => String::new(),
        Some(TypeValue::Tensor(tensor)) => format!("{}{}", word(tensor.elem_type), shape(tensor.shape.as_ref())),
        Some(TypeValue::SparseTensor(tensor)) => {
            format!("sparse_tensor({}{})", word(tensor.elem_type), shape(tensor.shape.as_ref()))
        }
        Some(TypeValue::Sequence(sequence)) => format!("seq({})", inner(&sequence.elem_type)),
        Some(TypeValue::Optional(optional)) => format!("optional({})", inner(&optional.elem_type)),
        Some(TypeValue::Map(map)) => format!("map({}, {})", word(map.key_type), inner(&map.value_type)),
    }
}

/// Returns `[batch, 4]`, nothing for a scalar, and `[]` for an unknown rank.
fn shape(shape: Option<&TensorShapeProto>) -> String {
    let dim = |dim: &DimensionProto| match &dim.value {
        Some(DimensionValue::Value(size)) => size.to_string(),
        Some(DimensionValue::Param(param)) => identifier(param),
        None => "?".to_owned(),
    };
    match shape {
        None => "[]".to_owned(),
        Some(shape) if shape.dim.is_empty() => String::new(),
        Some(shape) => format!("[{}]", shape.dim.iter().map(dim).collect::<Vec<_>>().join(", ")),
    }
}

/// Returns ONNX's name of an element type.
fn word(number: Option<i32>) -> &'static str {
    use ElementType as E;
    match ElementType::from_number(number.unwrap_or_default().into()) {
        None => "undefined",
        Some(E::F32) => "float",
        Some(E::U8) => "uint8",
        Some(E::I8) => "int8",
        Some(E::U16) => "uint16",
        Some(E::I16) => "int16",
        Some(E::I32) => "int32",
        Some(E::I64) => "int64",
        Some(E::F16) => "float16",
        Some(E::F64) => "double",
        Some(E::U32) => "uint32",
        Some(E::U64) => "uint64",
        Some(E::C64) => "complex64",
        Some(E::C128) => "complex128",
        Some(E::BF16) => "bfloat16",
        Some(E::U4) => "uint4",
        Some(E::I4) => "int4",
        Some(E::U2) => "uint2",
        Some(E::I2) => "int2",
        Some(E::F8E4M3FN) => "float8e4m3fn",
        Some(E::F8E4M3FNUZ) => "float8e4m3fnuz",
        Some(E::F8E5M2) => "float8e5m2",
        Some(E::F8E5M2FNUZ) => "float8e5m2fnuz",
        Some(E::F4E2M1) => "float4e2m1",
        Some(E::F8E8M0) => "float8e8m0",
        Some(E::F6E2M3) => "float6e2m3",
        Some(E::F6E3M2) => "float6e3m2",
        Some(element @ (E::String | E::Bool)) => element.word(),
    }
}
