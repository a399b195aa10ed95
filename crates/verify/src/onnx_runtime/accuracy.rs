//! Changes the accuracy level of MatMulNBits in the bytes of a model.

use crate::skim::{Fields, MODEL_GRAPH};

/// Field numbers of `onnx.proto`.
const MODEL_FUNCTIONS: u64 = 25;
const FUNCTION_NODE: u64 = 7;
const GRAPH_NODE: u64 = 1;
const NODE_ATTRIBUTE: u64 = 5;
const ATTRIBUTE_NAME: u64 = 1;
const ATTRIBUTE_INT: u64 = 3;
const ATTRIBUTE_GRAPH: u64 = 6;
const ATTRIBUTE_GRAPHS: u64 = 11;

/// The level that quantizes activations to int8, and the one that computes in f32.
const INT8: u8 = 4;
const F32: u8 = 1;

/// Replaces level 4 by level 1 in all nodes: a number of one byte by another one. Bytes that are not protobuf stay.
pub(super) fn lower(model: &mut [u8]) {
    let mut levels = vec![];
    each(model, 0, &mut |number, bytes, at| match number {
        MODEL_GRAPH => graph(bytes, at, &mut levels),
        MODEL_FUNCTIONS => nodes(bytes, at, FUNCTION_NODE, &mut levels),
        _ => {}
    });
    for at in levels {
        if let Some(level) = model.get_mut(at).filter(|level| **level == INT8) {
            *level = F32;
        }
    }
}

fn graph(bytes: &[u8], start: usize, levels: &mut Vec<usize>) {
    nodes(bytes, start, GRAPH_NODE, levels);
}

fn nodes(bytes: &[u8], start: usize, field: u64, levels: &mut Vec<usize>) {
    each(bytes, start, &mut |number, node, at| {
        if number == field {
            each(node, at, &mut |number, bytes, at| {
                if number == NODE_ATTRIBUTE {
                    attribute(bytes, at, levels);
                }
            });
        }
    });
}

fn attribute(bytes: &[u8], start: usize, levels: &mut Vec<usize>) {
    let mut is_level = false;
    each(bytes, start, &mut |number, content, at| match number {
        ATTRIBUTE_NAME => is_level = content == b"accuracy_level",
        ATTRIBUTE_GRAPH | ATTRIBUTE_GRAPHS => graph(content, at, levels),
        _ => {}
    });
    if is_level {
        let numbers = Fields::of(bytes).flatten().filter(|field| field.number == ATTRIBUTE_INT);
        levels.extend(numbers.map(|field| start + field.end - 1));
    }
}

/// Calls `visit` with the number, the content and the position of every field that has a length.
fn each(bytes: &[u8], start: usize, visit: &mut dyn FnMut(u64, &[u8], usize)) {
    for field in Fields::of(bytes).flatten() {
        if let Some(content) = field.content {
            visit(field.number, &bytes[content..field.end], start + content);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use prost::Message;
    use tract_onnx::pb::{AttributeProto, FunctionProto, GraphProto, ModelProto, NodeProto};

    fn model(level: i64) -> ModelProto {
        let int = |name: &str, i| AttributeProto { name: name.to_owned(), i, ..Default::default() };
        let product = |bits| {
            let attribute = vec![int("bits", bits), int("accuracy_level", level)];
            NodeProto { op_type: "MatMulNBits".to_owned(), attribute, ..Default::default() }
        };
        let body = GraphProto { node: vec![product(4)], ..Default::default() };
        let branch = AttributeProto { name: "then_branch".to_owned(), g: Some(body), ..Default::default() };
        let branching = NodeProto { attribute: vec![branch], ..Default::default() };
        let graph = GraphProto { node: vec![product(8), branching], ..Default::default() };
        let function = FunctionProto { node: vec![product(4)], ..Default::default() };
        ModelProto { graph: Some(graph), functions: vec![function], ..Default::default() }
    }

    #[test]
    fn only_level_4_is_lowered() {
        for (level, expected) in [(4, 1), (0, 0), (2, 2)] {
            let mut bytes = model(level).encode_to_vec();
            lower(&mut bytes);
            assert_eq!(ModelProto::decode(&*bytes).expect("a model"), model(expected));
        }
        let mut torn = model(4).encode_to_vec();
        torn.truncate(20);
        lower(&mut torn);
        assert_eq!(torn.len(), 20);
    }
}
