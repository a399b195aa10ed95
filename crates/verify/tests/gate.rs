//! The gate rejects everything that tract computes wrong, and accepts what it computes correctly.

mod models;

use models::{BF16, U64, With, bytes, floats, function, graph, integers, model, node};
use netwright_verify::{ModelFile, gate};
use tract_onnx::pb::{ModelProto, NodeProto, OperatorSetIdProto, SparseTensorProto, TensorProto};

fn check(what: &str, model: &ModelProto, expected: &[&str]) {
    let file = ModelFile::from_bytes(what, &bytes(model)).unwrap_or_else(|error| panic!("{what}: {error}"));
    let reasons: Vec<String> = gate(&file).iter().map(ToString::to_string).collect();
    assert_eq!(reasons, expected, "{what}");
}

fn one(node: NodeProto) -> ModelProto {
    model(graph(&["x: f32[batch, 3]"], &["y: f32[batch, 3]"], vec![node]))
}

#[test]
fn operators_and_attributes() {
    let unknown = "tract ignores the domain and may run another operator of that name";
    let cases = [
        (node("y = Gelu(x)"), None),
        (node("y = ai.onnx::Gelu(x)"), None),
        (node("y = Swish(x)").float("alpha", 1.0), None),
        (node("y = com.microsoft::QuickGelu(x)").float("alpha", 1.5), None),
        (node("y = Softmax(x)").int("axis", -1), None),
        (node("y = my.domain::Gelu(x)"), Some(("node `y` (my.domain::Gelu)", unknown))),
        (node("y = com.microsoft::Attention(x, x, x)"), Some(("node `y` (com.microsoft::Attention)", unknown))),
        (node("y = Swish(x)").float("alpha", 2.0), Some(("node `y` (Swish)", "tract ignores alpha = 2"))),
        (
            node("y = BatchNormalization(x, x, x, x, x)").int("training_mode", 1),
            Some(("node `y` (BatchNormalization)", "tract ignores training_mode = 1")),
        ),
        (
            node("y = LSTM(x, x, x)"),
            Some(("node `y` (LSTM)", "tract does not support it, or was not checked against the standard")),
        ),
        (node("y = Squeeze(x)"), None),
        (node("y = Equal(x, x)"), None),
        (node("y = RandomNormalLike(x)"), Some(("node `y` (RandomNormalLike)", "its results are random"))),
    ];
    for (node, expected) in cases {
        let what = format!("{}::{}", node.domain, node.op_type);
        let expected: Vec<_> = expected.iter().map(|(place, why)| format!("{place}: {why}")).collect();
        check(&what, &one(node), &expected.iter().map(String::as_str).collect::<Vec<_>>());
    }
}

/// tract does not run some operators for some types, which are declared or follow from a cast.
#[test]
fn elements_that_are_not_supported() {
    let flaw = |operator: &str, element: &str| {
        Some(format!("node `y` ({operator}): tract does not support elements of type {element}"))
    };
    for (nodes, expected) in [
        (vec![node("y = Equal(c, c)")], flaw("Equal", "bool")),
        (vec![node("y = Sigmoid(d)")], flaw("Sigmoid", "f64")),
        (vec![node("y = Tanh(d)")], None),
        (vec![node("y = com.microsoft::QuickGelu(d)")], None),
        (vec![node("cast = Cast(x)").int("to", 11), node("y = IsInf(cast)")], flaw("IsInf", "f64")),
        (vec![node("cast = Cast(d)").int("to", 1), node("y = IsInf(cast)")], None),
    ] {
        let what = format!("{nodes:?}");
        let graph = graph(&["x: f32[3]", "c: bool[3]", "d: f64[3]"], &["y"], nodes);
        check(&what, &model(graph), &expected.as_deref().into_iter().collect::<Vec<_>>());
    }
}

#[test]
fn squeeze_without_axes() {
    let flaw = "node `y` (Squeeze): tract requires its axes before opset 13";
    for (version, attributes, expected) in [(13, vec![], None), (12, vec![], Some(flaw)), (12, vec![0], None)] {
        let mut squeeze = node("y = Squeeze(x)");
        if !attributes.is_empty() {
            squeeze.attribute.push(models::ints("axes", &attributes));
        }
        let mut file = one(squeeze);
        file.opset_import = vec![OperatorSetIdProto { domain: String::new(), version }];
        check("Squeeze", &file, &expected.into_iter().collect::<Vec<_>>());
    }
}

/// Queries, keys and values are its only operands, with their heads side by side.
#[test]
fn multi_head_attention() {
    let flaw = |why: &str| Some(format!("node `y` (com.microsoft::MultiHeadAttention): tract {why}"));
    for (operands, expected) in [
        ("x, x, x", None),
        ("x, x, x, w", flaw("supports neither its bias nor its masks nor its past")),
        ("x, h, h", flaw("only supports queries, keys and values of rank 3")),
        (
            "x, x, u",
            flaw("only supports queries, keys and values of rank 3, and the model does not declare their ranks"),
        ),
    ] {
        let node = node(&format!("y = com.microsoft::MultiHeadAttention({operands})")).int("num_heads", 2);
        let inputs = ["x: f32[batch, 3, 4]", "h: f32[batch, 2, 3, 2]", "w: f32[12]"];
        let expected: Vec<String> = expected.into_iter().collect();
        let expected: Vec<&str> = expected.iter().map(String::as_str).collect();
        check(operands, &model(graph(&inputs, &["y: f32[batch, 3, 4]"], vec![node])), &expected);
    }
}

/// tract reshapes the blocks of a weight together with the other operand.
#[test]
fn products_after_merged_heads() {
    let flaw = "node `y` (com.microsoft::MatMulNBits): tract also reshapes the weight in blocks if axes may be merged before the \
         product";
    let half = With::int(node("half = Cast(heads)"), "to", 10);
    let wide = With::int(node("wide = Cast(heads)"), "to", 11);
    let single = With::int(node("single = Cast(heads)"), "to", 1);
    let back = |from: &str| With::int(node(&format!("x = Cast({from})")), "to", 1);
    let reshape = |from: &str, to: &str| node(&format!("{to} = Reshape({from}, shape)"));
    let attention = |to: &str| {
        let node = node(&format!("{to} = Attention(q, q, q)"));
        node.int("q_num_heads", 2).int("kv_num_heads", 2)
    };
    for (case, nodes, size, expected) in [
        ("attention", vec![attention("x")], 32, Some(flaw)),
        ("reshape", vec![node("a = Tanh(h)"), reshape("a", "x")], 32, Some(flaw)),
        ("slice of a reshape", vec![reshape("h", "a"), node("x = Slice(a, one, two, one)")], 32, Some(flaw)),
        ("cast to the same type", vec![attention("heads"), single, back("single")], 32, Some(flaw)),
        ("rows that are merged", vec![node("x = Reshape(q, shape)")], 32, None),
        ("wider blocks", vec![attention("x")], 64, None),
        ("another operator between", vec![attention("a"), node("x = Tanh(a)")], 32, None),
        ("cast to f64", vec![attention("heads"), wide, back("wide")], 32, None),
        ("cast to f16", vec![attention("heads"), half, back("half")], 32, None),
    ] {
        let product = node("y = com.microsoft::MatMulNBits(x, codes, scales)");
        let product = product.int("K", 64).int("N", 16).int("bits", 4).int("block_size", size);
        let nodes = nodes.into_iter().chain([product]).collect();
        let mut graph = graph(&["q: f32[batch, seq, 64]", "h: f32[batch, seq, 4, 16]"], &["y"], nodes);
        graph.initializer = vec![floats("scales", &[32], &[0.5; 32]), integers("shape", &[3], &[0, 0, 64])];
        check(case, &model(graph), &expected.into_iter().collect::<Vec<_>>());
    }
}

/// Transposes in products are replaced where the ranks are known.
#[test]
fn products_that_transpose() {
    let unknown = "node `y` (com.microsoft::FusedMatMul): tract ignores the domain and may run another operator of that \
                   name";
    for (text, attributes, expected) in [
        ("y = com.microsoft::FusedMatMul(x, w)", &[("transB", 1)][..], None),
        ("y = com.microsoft::FusedMatMul(x, w)", &[("transB", 1), ("transA", 1)], None),
        ("y = com.microsoft::FusedMatMul(x, w)", &[("transB", 1), ("transBatchA", 1)], Some(unknown)),
        ("y = com.microsoft::FusedMatMul(x, cube)", &[("transB", 1)], None),
    ] {
        let node = attributes.iter().fold(node(text), |node, (name, value)| node.int(name, *value));
        let mut graph = graph(&["x: f32[batch, 3]"], &["y: f32[batch, 2]"], vec![node]);
        graph.initializer = vec![floats("w", &[2, 3], &[0.5; 6]), floats("cube", &[1, 2, 3], &[0.5; 6])];
        check(&format!("{text} {attributes:?}"), &model(graph), &expected.into_iter().collect::<Vec<_>>());
    }
}

#[test]
fn attention() {
    let inputs = [
        "q: f32[batch, seq, 16]",
        "k: f32[batch, seq, 16]",
        "memory: f32[batch, source, 16]",
        "past: f32[batch, 2, past, 8]",
        "add: f32[batch, 1, seq, seq]",
        "pad: f32[batch, 1, 1, seq]",
        "bool: bool[seq, seq]",
        "counts: i64[seq, seq]",
        "lengths: i64[batch]",
    ];
    let cases = [
        (node("y = Attention(q, k, k, add)"), None),
        (node("y = Attention(q, k, k)").int("is_causal", 1), None),
        (
            node("y = Attention(q, memory, memory, , , , lengths)").int("is_causal", 1),
            Some("tract ignores the lengths without padding"),
        ),
        // These are replaced, so tract never sees them.
        (node("y = Attention(q, memory, memory)").int("is_causal", 1), None),
        (node("y = Attention(q, k, k, , past, past)").int("is_causal", 1), None),
        (node("y = Attention(q, k, k, bool)"), None),
        (node("y = Attention(q, k, k, counts)"), None),
        (node("y = Attention(q, k, k, pad)"), None),
        (node("y = Attention(q, k, k, , , , lengths)"), Some("tract ignores the lengths without padding")),
        (node("y, , , scores = Attention(q, k, k)"), Some("tract does not return the fourth result, the scores")),
        (node("y = Attention(q, k, k)").float("softcap", 30.0), Some("tract ignores softcap = 30")),
    ];
    for (node, expected) in cases {
        let what = format!("{:?} {:?}", node.input, node.attribute.first().map(|attribute| &attribute.name));
        let expected = expected.map(|why| format!("node `y` (Attention): {why}"));
        let node = node.int("q_num_heads", 2).int("kv_num_heads", 2);
        check(&what, &model(graph(&inputs, &["y"], vec![node])), &expected.as_deref().into_iter().collect::<Vec<_>>());
    }
}

#[test]
fn functions_are_identified_by_domain_and_name() {
    let mut plain = one(node("y = Gelu(x)"));
    plain.functions.push(function("my.domain", "Gelu"));
    check("a function that nothing calls", &plain, &[]);
    let mut called = one(node("y = my.domain::Gelu(x)"));
    called.functions.push(function("my.domain", "Gelu"));
    let why = "node `y` (my.domain::Gelu): it calls a function of the model, which tract does not support";
    check("a function", &called, &[why]);
}

#[test]
fn nested_graphs() {
    let branch = |node| graph(&[], &["z"], vec![node]);
    let both = node("y = If(c)")
        .graph("then_branch", branch(node("z = Swish(x)").float("alpha", 2.0)))
        .graph("else_branch", branch(node("z = Relu(x)")));
    let nested = model(graph(&["x: f32[3]", "c: bool[]"], &["y: f32[3]"], vec![both]));
    check("a branch", &nested, &["node `z` (Swish): tract ignores alpha = 2"]);
}

#[test]
fn tensors() {
    let wide = TensorProto {
        name: "w".to_owned(),
        data_type: BF16,
        dims: vec![1],
        raw_data: vec![0; 2],
        ..Default::default()
    };
    let typed = TensorProto { name: "u".to_owned(), data_type: U64, dims: vec![1], ..Default::default() };
    let mut file = one(node("y = Add(x, w)"));
    let graph = file.graph.as_mut().expect("a graph");
    graph.initializer = vec![wide.clone(), typed];
    graph.sparse_initializer =
        vec![SparseTensorProto { values: Some(floats("s", &[1], &[1.0])), ..Default::default() }];
    graph.input.push(models::value("n"));
    graph.input.push(models::value("b: bf16[2]"));
    graph.node.push(node("k = Constant()").tensor("value", wide));
    check(
        "tensors",
        &file,
        &[
            "initializer `w`: tract does not read elements of type bf16",
            "initializer `u`: tract reads elements of type u64 from `raw_data` only",
            "initializer `s`: tract does not read sparse tensors",
            "input `n`: tract accepts only tensors of declared types",
            "input `b`: tract does not support elements of type bf16",
            "node `k` (Constant): tract does not read elements of type bf16",
        ],
    );
}

#[test]
fn opsets() {
    let why = |version: &str| {
        format!("the model: it imports {version} of ONNX's operators; only opsets 7 to 24 were compared with tract")
    };
    for (version, expected) in [(7, None), (24, None), (6, Some("version 6")), (25, Some("version 25"))] {
        let mut file = one(node("y = Relu(x)"));
        file.opset_import = vec![OperatorSetIdProto { domain: "ai.onnx".to_owned(), version }];
        let expected: Vec<_> = expected.map(why).into_iter().collect();
        check("version", &file, &expected.iter().map(String::as_str).collect::<Vec<_>>());
    }
    let mut file = one(node("y = Relu(x)"));
    file.opset_import.clear();
    check("no version", &file, &[&why("no version")]);
}
