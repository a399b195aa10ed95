//! The errors of the reader, by their text.

use super::read::{base, node, text, typed, value};
use super::read_bytes;
use netwright_onnx::wire::{
    AttributeProto, AttributeType, FunctionProto, GraphProto, ModelProto, NodeProto, OperatorSetIdProto,
    StringStringEntryProto, TensorProto,
};
use netwright_onnx::{ReadOptions, read};
use prost::Message;

/// Checks the error for the base model with a change.
fn check_model(change: impl FnOnce(&mut ModelProto), expected: &str) {
    let mut model = base();
    change(&mut model);
    check_bytes(&model.encode_to_vec(), expected);
}

fn check_bytes(bytes: &[u8], expected: &str) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("model.onnx");
    std::fs::write(&path, bytes).unwrap();
    std::fs::write(dir.path().join("data"), [0; 8]).unwrap();
    let error = read(&path, &ReadOptions::default()).expect_err(expected).to_string();
    let error = error.replace(dir.path().to_str().unwrap(), "DIR");
    assert_eq!(error.strip_prefix("\"DIR/model.onnx\": "), Some(expected), "{error}");
}

fn check(change: impl FnOnce(&mut GraphProto), expected: &str) {
    check_model(|model| change(model.graph.as_mut().unwrap()), expected);
}

/// Checks the error for an initializer `w`.
fn check_tensor(tensor: TensorProto, expected: &str) {
    let tensor = TensorProto { name: text("w"), ..tensor };
    check(|graph| graph.initializer.push(tensor), expected);
}

/// Checks the error for `y = Neg(x)` with an attribute `a`.
fn check_attribute(attribute: AttributeProto, expected: &str) {
    let attribute = AttributeProto { name: text("a"), ..attribute };
    check(|graph| graph.node[0].attribute.push(attribute), expected);
}

/// Returns a body that outputs the values that it reads.
fn body(name: &str, read: &[&str]) -> AttributeProto {
    let node = node("Identity", read, &["result"]);
    let graph = GraphProto { name: text("b"), node: vec![node], output: vec![value("result")], ..Default::default() };
    let ty = Some(AttributeType::Graph.into());
    AttributeProto { name: text(name), r#type: ty, g: Some(Box::new(graph)), ..Default::default() }
}

#[test]
fn functions() {
    let function = |name: &str, nodes: Vec<NodeProto>| FunctionProto {
        name: text(name),
        domain: text("f"),
        input: vec!["a".to_owned()],
        output: vec!["b".to_owned()],
        node: nodes,
        opset_import: ["", "f"].map(|domain| OperatorSetIdProto { domain: text(domain), version: Some(21) }).into(),
        ..Default::default()
    };
    let call = |name: &str| NodeProto { domain: text("f"), ..node(name, &["a"], &["b"]) };
    let check = |functions: Vec<FunctionProto>, expected: &str| {
        check_model(|model| model.functions = functions, expected);
    };
    check(
        vec![function("F", vec![node("Neg", &["z"], &["b"])])],
        "node \"b\" (Neg): it reads \"z\", which is not computed",
    );
    check(vec![function("F", vec![]), function("F", vec![])], "two functions have the name \"f.F\"");
    check(
        vec![function("F", vec![call("G")]), function("G", vec![call("F")])],
        "the function \"f.F\" is recursive or called by one that is",
    );
    check_model(
        |model| {
            model.functions = vec![function("F", vec![node("Neg", &["a"], &["b"])])];
            model.opset_import.push(OperatorSetIdProto { domain: text("f"), version: Some(1) });
            let graph = model.graph.as_mut().unwrap();
            graph.node[0] = NodeProto { domain: text("f"), ..node("F", &["x", "x"], &["y"]) };
        },
        "node \"y\" (f.F): the call has 2 operands and 1 results, but its function has 1 and 1",
    );
}

fn ir_version(found: &str) -> String {
    format!(
        "the IR version is {found}, but must be from 1 to 14\n  help: check that the file is an ONNX model of such a \
         version"
    )
}

fn opset(found: &str) -> String {
    format!("the opset is {found}, but must be from 1 to 40\n  help: export the model again with such an opset")
}

#[test]
fn files() {
    check_bytes(b"", &ir_version("missing"));
    check_bytes(
        &[8, 10, 0x3a, 99],
        "ModelProto.graph, byte 2: the length is 99 bytes, but only 0 are left in the message; the file is cut \
         short or damaged\n  help: download it again",
    );
    let mut unknown = base().encode_to_vec();
    unknown.extend([0xf8, 0x01, 1]);
    let at = unknown.len();
    check_bytes(
        &unknown,
        &format!(
            "ModelProto, bytes {} to {at}: ModelProto has the unknown field 31\n  help: check that the file \
             is an ONNX model of IR version 14 or older",
            at - 3
        ),
    );
}

#[test]
fn models() {
    check_model(|model| model.ir_version = Some(15), &ir_version("15"));
    check_model(|model| model.opset_import.clear(), &opset("missing"));
    for found in [0, 41] {
        check_model(|model| model.opset_import[0].version = Some(found), &opset(&found.to_string()));
    }
    let again = OperatorSetIdProto { domain: text("ai.onnx"), version: Some(22) };
    check_model(|model| model.opset_import.push(again), "the operator set \"\" is imported twice");
    check_model(|model| model.graph = None, "the model has no graph");
    check_model(|model| model.functions.push(FunctionProto::default()), "a function has no name");
    let entry = StringStringEntryProto { key: text("k"), value: None };
    check_model(
        |model| model.metadata_props = vec![entry.clone(), entry],
        "the metadata of the model has the key \"k\" twice",
    );
}

#[test]
fn names() {
    check(|graph| graph.node[0].input[0] = "u".to_owned(), "node \"y\" (Neg): it reads \"u\", which is not computed");
    check(|graph| graph.node[0].input[0] = "y".to_owned(), "node \"y\" (Neg): it depends on itself");
    check(|graph| graph.output.push(value("u")), "the output \"u\" is not computed");
    check(|graph| graph.input.push(value("x")), "\"x\" is the name of two values");
    check(|graph| graph.node.push(node("Abs", &["x"], &["y"])), "\"y\" is the name of two values");
    check(|graph| graph.node.push(node("Abs", &["x"], &["x"])), "\"x\" is the name of two values");
    check(|graph| graph.input.push(value("")), "an input or an initializer has no name");
    check(|graph| graph.initializer.push(TensorProto::default()), "an input or an initializer has no name");
    let initializer =
        |name: &str| TensorProto { name: text(name), data_type: Some(1), dims: vec![0], ..Default::default() };
    let other = |name: &str| TensorProto { data_type: Some(7), ..initializer(name) };
    check(|graph| graph.initializer.extend([initializer("w"), other("w")]), "\"w\" is the name of two values");
    check_model(
        |model| {
            model.ir_version = Some(3);
            let graph = model.graph.as_mut().unwrap();
            graph.input.extend([value("v"), value("w")]);
            graph.initializer = vec![initializer("v"), initializer("w"), other("w")];
        },
        "\"w\" is the name of two values",
    );
    check(
        |graph| graph.initializer.push(TensorProto { data_type: Some(7), ..initializer("x") }),
        "value \"x\": it is declared f32[2], but inferred as i64[0]",
    );
    check(
        |graph| graph.node[0].attribute.push(body("b", &["z"])),
        "node \"y\" (Neg): it reads \"z\", which is not computed",
    );
    check(|graph| graph.node[0].attribute.push(body("b", &["y"])), "node \"y\" (Neg): it depends on itself");
}

#[test]
fn nodes() {
    check(
        |graph| graph.node[0].domain = text("a"),
        "node \"y\" (a.Neg): the model does not import the operator set \"a\"",
    );
    check(|graph| graph.node[0].op_type = None, "node \"y\" (): it has no operator");
    check(
        |graph| graph.node[0].op_type = text("Bogus"),
        "node \"y\" (Bogus): opset 21 of ONNX has no operator \"Bogus\"",
    );
    check(|graph| graph.node[0].output[0].clear(), "node \"\" (Neg): it has no result");
    check(|graph| graph.node[0].input.push("x".to_owned()), "node \"y\" (Neg): neg: it takes 1 operand, but has 2");
    check(|graph| graph.node[0].op_type = text("Concat"), "node \"y\" (Concat): the attribute `axis` is missing");
    check(
        |graph| graph.output = vec![typed("y", 1, &[Some(2), Some(3)])],
        "value \"y\": it is declared f32[2, 3], but inferred as f32[2]",
    );
    check(
        |graph| graph.output = vec![typed("y", 7, &[None])],
        "node \"y\" (Neg): its result \"y\" is declared i64[n], but inferred as f32[2]",
    );
    check(|graph| graph.input = vec![typed("x", 99, &[])], "value \"x\": 99 is not an element type of ONNX (1 to 28)");
    check(|graph| graph.input[0].r#type = None, "value \"x\": the type of an input must be declared");
    check(
        |graph| graph.value_info.push(typed("y", 7, &[Some(2)])),
        "value \"y\": it is declared f32[2], but inferred as i64[2]",
    );
    let constant = NodeProto { attribute: vec![], ..node("Constant", &[], &["c"]) };
    check(
        |graph| graph.node.push(constant),
        "node \"c\" (Constant): a Constant must have exactly one attribute, its value",
    );
}

#[test]
fn attributes() {
    let of = |ty: AttributeType| AttributeProto { r#type: Some(ty.into()), ..Default::default() };
    check_attribute(
        AttributeProto::default(),
        "node \"y\" (Neg): attribute \"a\": 0 is not an attribute type (1 to 14)",
    );
    check_attribute(
        AttributeProto { i: Some(1), ..of(AttributeType::Float) },
        "node \"y\" (Neg): attribute \"a\": its type is Float, but it holds a value of Int",
    );
    check_attribute(of(AttributeType::Graph), "node \"y\" (Neg): attribute \"a\": its graph is missing");
    check_attribute(of(AttributeType::Tensor), "node \"y\" (Neg): attribute \"a\": its tensor is missing");
    check_attribute(
        AttributeProto { ref_attr_name: text("b"), ..of(AttributeType::Int) },
        "node \"y\" (Neg): attribute \"a\": it refers to an attribute of a function, but is not in a function",
    );
    let twice = AttributeProto { name: text("a"), i: Some(1), ..of(AttributeType::Int) };
    check(
        |graph| graph.node[0].attribute = vec![twice.clone(), twice],
        "node \"y\" (Neg): the attribute `a` is given twice",
    );
    let graph = GraphProto::default();
    for attribute in [
        AttributeProto { g: Some(Box::new(graph.clone())), ..of(AttributeType::Graphs) },
        AttributeProto { g: Some(Box::new(graph.clone())), graphs: vec![graph], ..of(AttributeType::Graph) },
    ] {
        check_attribute(attribute, "node \"y\" (Neg): attribute \"a\": its type and its values differ");
    }
    let keepdims = AttributeProto { name: text("keepdims"), i: Some(2), ..of(AttributeType::Int) };
    check(
        |graph| graph.node[0] = NodeProto { attribute: vec![keepdims], ..node("ReduceMax", &["x"], &["y"]) },
        "node \"y\" (ReduceMax): the attribute `keepdims` must be 0 or 1, but is 2",
    );
}

#[test]
fn constant_indices() {
    for (op_type, axis, index, expected) in [
        ("Gather", 0, 2, "the index 2 is out of range for the 2 elements of axis 0"),
        ("Gather", 1, 3, "the index 3 is out of range for the 3 elements of axis 1"),
        ("Gather", -1, -4, "the index -4 is out of range for the 3 elements of axis 1"),
        ("GatherElements", -2, -3, "the index -3 is out of range for the 2 elements of axis 0"),
    ] {
        let change = |graph: &mut GraphProto, index: i64| {
            let at = TensorProto {
                name: text("at"),
                data_type: Some(7),
                dims: vec![1, 1],
                int64_data: vec![index],
                ..Default::default()
            };
            let axis = AttributeProto {
                name: text("axis"),
                r#type: Some(AttributeType::Int.into()),
                i: Some(axis),
                ..Default::default()
            };
            graph.input = vec![typed("x", 1, &[Some(2), Some(3)])];
            graph.initializer = vec![at];
            graph.node = vec![NodeProto { attribute: vec![axis], ..node(op_type, &["x", "at"], &["y"]) }];
            graph.output = vec![];
        };
        check(|graph| change(graph, index), &format!("node \"y\" ({op_type}): {expected}"));
        // One element nearer to the middle.
        let mut model = base();
        change(model.graph.as_mut().unwrap(), index - index.signum());
        read_bytes(&model.encode_to_vec()).unwrap_or_else(|error| panic!("{error}"));
    }
}

#[test]
fn tensors() {
    let of = |element: i32, dims: &[i64]| TensorProto {
        data_type: Some(element),
        dims: dims.to_vec(),
        ..TensorProto::default()
    };
    let raw = |bytes: usize| Some(vec![0; bytes].into());
    check_tensor(of(0, &[2]), "tensor \"w\": 0 is not an element type of ONNX (1 to 28)");
    check_tensor(of(99, &[2]), "tensor \"w\": 99 is not an element type of ONNX (1 to 28)");
    check_tensor(of(1, &[-1]), "tensor \"w\": the size -1 is negative");
    check_tensor(
        of(1, &[1 << 40, 1 << 40]),
        "tensor \"w\": a tensor of f32[1099511627776, 1099511627776] is larger than any file",
    );
    check_tensor(of(1, &[2]), "tensor \"w\": a tensor of f32[2] takes 8 bytes, but there are 0");
    check_tensor(
        TensorProto { raw_data: raw(9), ..of(1, &[2]) },
        "tensor \"w\": a tensor of f32[2] takes 8 bytes, but there are 9",
    );
    check_tensor(
        TensorProto { raw_data: raw(8), float_data: vec![0.0; 2], ..of(1, &[2]) },
        "tensor \"w\": its elements are in both raw_data and float_data",
    );
    check_tensor(
        TensorProto { int64_data: vec![0; 2], ..of(1, &[2]) },
        "tensor \"w\": its element type is f32, but int64_data cannot hold it",
    );
    check_tensor(
        TensorProto { int32_data: vec![1, 256], ..of(2, &[2]) },
        "tensor \"w\": element 1 is 256, out of range for its type",
    );
    check_tensor(TensorProto { raw_data: raw(2), ..of(8, &[2]) }, "tensor \"w\": strings must be in string_data");
    check_tensor(
        TensorProto { data_location: Some(2), ..of(1, &[2]) },
        "tensor \"w\": 2 is not a data location (0 or 1)",
    );
}

#[test]
fn external_data() {
    let check = |entries: &[(&str, &str)], expected: &str| {
        let entries = entries.iter().map(|(key, value)| StringStringEntryProto { key: text(key), value: text(value) });
        let tensor = TensorProto {
            data_type: Some(1),
            dims: vec![2],
            external_data: entries.collect(),
            data_location: Some(1),
            ..Default::default()
        };
        check_tensor(tensor, &format!("tensor \"w\": {expected}"));
    };
    check(&[], "its external data has no location");
    check(&[("location", "")], "its external data: the location of external data is empty");
    check(&[("location", "none")], "its external data: \"DIR/none\" does not exist");
    check(
        &[("location", "../data")],
        "its external data: location \"../data\" leads outside the model's folder \"DIR\": its `..` leads above the folder",
    );
    check(
        &[("location", "data"), ("offset", "4")],
        "its external data: 8 bytes at offset 4 extend beyond the end of \"DIR/data\" (8 bytes)",
    );
    check(&[("location", "data"), ("length", "4")], "a tensor of f32[2] takes 8 bytes, but there are 4");
    check(&[("location", "data"), ("offset", "-1")], "the offset \"-1\" of its external data is not a number of bytes");
    check(&[("location", "data"), ("location", "data")], "its external data has the key \"location\" twice");
    check(&[("location", "data"), ("basepath", "x")], "its external data has the unknown key \"basepath\"");
}
