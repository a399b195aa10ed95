//! Sizes and inputs that a verification chooses, and inputs that the user gives.

mod models;

use models::{With, bytes, floats, graph, integers, model, node};
use netwright_verify::{ModelFile, Options, verify_models};
use std::path::Path;
use tract_onnx::pb::GraphProto;

fn text(graph: GraphProto, inputs: Option<&Path>) -> String {
    let file = ModelFile::from_bytes("a.onnx", &bytes(&model(graph))).unwrap_or_else(|error| panic!("{error}"));
    let mut options = Options::default();
    options.inputs = inputs.map(Path::to_owned);
    match verify_models(&file, None, &options) {
        Ok(verdict) => verdict.to_string(),
        Err(error) => error.to_string(),
    }
}

fn assert_contains(text: &str, parts: &[&str]) {
    for part in parts {
        assert!(text.contains(part), "{part:?} is not in:\n{text}");
    }
}

#[test]
fn a_decoder_with_past_may_accept_one_token_only() {
    let inputs = ["input_ids: i64[batch, decoder_sequence_length]", "past: f32[batch, past_length]"];
    let nodes = vec![
        node("only = Squeeze(input_ids, axis)"),
        node("float = Cast(only)").int("to", 1),
        node("column = Unsqueeze(float, axis)"),
        node("y = Concat(past, column)").int("axis", 1),
    ];
    let mut graph = graph(&inputs, &["y: f32[batch, total]"], nodes);
    graph.initializer = vec![integers("axis", &[1], &[1])];
    assert_contains(
        &text(graph, None),
        &[
            "runs in tract",
            "with batch = 8, decoder_sequence_length = 1, past_length = 0",
            "decoder_sequence_length = 1",
        ],
    );
}

#[test]
fn a_mask_is_as_long_as_past_and_tokens() {
    for name in ["past_plus_sequence", "total_sequence_length", "kv_length", "mask_length"] {
        let inputs = [
            "input_ids: i64[batch, sequence_length]".to_owned(),
            format!("attention_mask: f32[batch, {name}]"),
            "past: f32[batch, past_length]".to_owned(),
        ];
        let inputs: Vec<&str> = inputs.iter().map(String::as_str).collect();
        let nodes = vec![
            node("new = Cast(input_ids)").int("to", 1),
            node("all = Concat(past, new)").int("axis", 1),
            node("y = Mul(all, attention_mask)"),
        ];
        let expected = format!("(--dim overrides them): {name} = past_length + sequence_length");
        assert_contains(&text(graph(&inputs, &["y: f32[batch, all]"], nodes), None), &["runs in tract", &expected]);
    }
}

#[test]
fn inputs_with_symbols_of_their_own_may_share_sizes() {
    let cases = [
        (["states: f32[s1, 4]", "other: f32[s3, 4]"], "y = Add(states, other)", "(--dim overrides them): s3 = s1"),
        (["ids: i64[s1, s2]", "mask: i64[s3, s4]"], "y = Mul(ids, mask)", "(--dim overrides them): s3 = s1, s4 = s2"),
        // Inputs whose sizes may differ keep their own.
        (["ids: i64[s1, s2]", "mask: i64[s3, s4]"], "y = Reshape(mask, flat)", "with s1 = 5, s2 = 8, s3 = 11, s4 = 14"),
    ];
    for (inputs, operation, expected) in cases {
        let output = if inputs[0].contains("f32") { "y: f32[a, b]" } else { "y" };
        let mut graph = graph(&inputs, &[output], vec![node(operation)]);
        graph.initializer = vec![integers("flat", &[1], &[-1])];
        assert_contains(&text(graph, None), &["runs in tract", expected]);
    }
}

#[test]
fn constants_fix_sizes() {
    // 9 patches of 2 x 2 and a class token.
    let nodes = vec![
        node("patches = Conv(pixel_values, kernel)").attribute(models::ints("strides", &[2, 2])),
        node("flat = Reshape(patches, shape)"),
        node("rows = Transpose(flat)").attribute(models::ints("perm", &[0, 2, 1])),
        node("token = Slice(rows, zero, one, axis)"),
        node("all = Concat(token, rows)").int("axis", 1),
        node("y = Add(all, positions)"),
    ];
    let inputs = ["pixel_values: f32[batch, num_channels, height, width]"];
    let mut graph = graph(&inputs, &["y: f32[batch, patches, 4]"], nodes);
    graph.initializer = vec![
        floats("kernel", &[4, 3, 2, 2], &[0.5; 48]),
        integers("shape", &[3], &[0, 0, -1]),
        integers("zero", &[1], &[0]),
        integers("one", &[1], &[1]),
        integers("axis", &[1], &[1]),
        floats("positions", &[1, 10, 4], &[0.25; 40]),
    ];
    assert_contains(&text(graph, None), &["runs in tract", "height = 6, num_channels = 3, width = 6"]);
}

/// `y = a + b`
fn sum() -> GraphProto {
    graph(&["a: f32[n, 2]", "b: f32[n, 2]"], &["y: f32[n, 2]"], vec![node("y = Add(a, b)")])
}

fn npy(shape: &str, values: &[f32]) -> Vec<u8> {
    let header = format!("{{'descr': '<f4', 'fortran_order': False, 'shape': {shape}, }}\n");
    let length = u16::try_from(header.len()).expect("it is short").to_le_bytes();
    let values: Vec<u8> = values.iter().flat_map(|value| value.to_le_bytes()).collect();
    [b"\x93NUMPY\x01\x00", &length[..], header.as_bytes(), &values].concat()
}

#[test]
fn inputs_that_the_user_gives() {
    let folder = tempfile::tempdir().expect("a folder");
    let (root, put) = (folder.path(), |name: &str, bytes: &[u8]| {
        std::fs::write(folder.path().join(name), bytes).expect("it is written");
    });
    put("a.npy", &npy("(3, 2)", &[1.0; 6]));
    let missing = ["inputs of the model are missing: `b` (f32[n, 2])\n  help: ", "such as b.npy"];
    assert_contains(&text(sum(), Some(root)), &missing);
    put("b.npy", &npy("(3, 2)", &[2.0; 6]));
    assert_eq!(text(sum(), Some(root)), "runs in tract\n  with n = 3: `y` f32[3, 2]");
    put("b.npy", &npy("(1, 2)", &[2.0; 2]));
    assert_contains(
        &text(sum(), Some(root)),
        &["input `b` is declared as f32[n, 2], but f32[1, 2] was given, where n is 3"],
    );
    put("b.npy", &npy("(2,)", &[2.0; 2]));
    assert_contains(&text(sum(), Some(root)), &["input `b` is declared as f32[n, 2], but f32[2] was given"]);
    put("b.npy", &npy("(3, 1)", &[2.0; 3]));
    assert!(text(sum(), Some(root)).ends_with("input `b` is declared as f32[n, 2], but f32[3, 1] was given"));
    put("b.npy", b"no array");
    assert_contains(&text(sum(), Some(root)), &["b.npy: it is not an .npy file"]);

    let header = |b: &str| {
        let text = format!(
            r#"{{"input.a":{{"dtype":"F32","shape":[1,2],"data_offsets":[0,8]}},"{b}":{{"dtype":"F32","shape":[1,2],"data_offsets":[8,16]}}}}"#
        );
        [&(text.len() as u64).to_le_bytes()[..], text.as_bytes(), &[0; 16]].concat()
    };
    let file = root.join("run.safetensors");
    put("run.safetensors", &header("b"));
    assert_eq!(text(sum(), Some(&file)), "runs in tract\n  with n = 1: `y` f32[1, 2]");
    put("run.safetensors", &header("c"));
    assert_contains(&text(sum(), Some(&file)), &["inputs of the model are missing: `b` (f32[n, 2])"]);
    put("run.safetensors", b"no tensors");
    assert_contains(&text(sum(), Some(&file)), &["it is not safetensors: "]);
}
