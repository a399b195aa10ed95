//! Verdicts on models that run, violate their declarations, fail, differ or cannot be judged.

mod models;

use models::{With, bytes, floats, graph, integers, model, node};
use netwright_ir::{Bindings, Dim, Symbol};
use netwright_verify::{Array, ModelFile, Options, Session, Verdict, VerifyError, verify_models};
use std::path::Path;
use tract_onnx::pb::{GraphProto, ModelProto, NodeProto, TensorProto};

fn file(name: &str, graph: GraphProto) -> ModelFile {
    of(name, &model(graph))
}

fn of(name: &str, model: &ModelProto) -> ModelFile {
    ModelFile::from_bytes(name, &bytes(model)).unwrap_or_else(|error| panic!("{name}: {error}"))
}

fn alone(graph: GraphProto) -> String {
    let verdict = verify_models(&file("a.onnx", graph), None, &Options::default());
    format!("{:#}", verdict.unwrap_or_else(|error| panic!("{error}")))
}

fn against(a: GraphProto, b: GraphProto) -> String {
    let (a, b) = (file("a.onnx", a), file("b.onnx", b));
    format!("{:#}", verdict(&a, &b, &Options::default()))
}

fn verdict(a: &ModelFile, b: &ModelFile, options: &Options) -> Verdict {
    verify_models(a, Some(b), options).unwrap_or_else(|error| panic!("{error}"))
}

fn assert_contains(text: &str, parts: &[&str]) {
    for part in parts {
        assert!(text.contains(part), "{part:?} is not in:\n{text}");
    }
}

/// `y = relu(x * w) + x`
fn reference() -> GraphProto {
    let nodes = vec![node("p = Mul(x, w)"), node("r = Relu(p)"), node("y = Add(r, x)")];
    let mut graph = graph(&["x: f32[batch, seq]"], &["y: f32[batch, seq]"], nodes);
    graph.initializer = vec![floats("w", &[1], &[2.0])];
    graph
}

#[test]
fn a_model_runs_for_several_bindings() {
    assert_eq!(
        alone(reference()),
        "runs in tract
  with batch = 1, seq = 5: `y` f32[1, 5]
  with batch = 2, seq = 7: `y` f32[2, 7]
  with batch = 3, seq = 2: `y` f32[3, 2]
  with batch = 8, seq = 3: `y` f32[8, 3]
  with batch = 2, seq = 1: `y` f32[2, 1]
  with batch = 2, seq = 6: `y` f32[2, 6]
  with batch = 2, seq = 4: `y` f32[2, 4]
  with batch = 1, seq = 130: `y` f32[1, 130]
  with batch = 0, seq = 4: `y` f32[0, 4]
  with batch = 2, seq = 0: `y` f32[2, 0]"
    );
}

#[test]
fn a_wrong_declaration_fails() {
    let cases = [
        ("y: f32[batch, 6]", "output `y` is declared as f32[batch, 6] and is f32[1, 5] (with batch = 1, seq = 5)"),
        ("y: f32[seq, batch]", "output `y` is declared as f32[seq, batch] and is f32[1, 5]"),
        ("y: f32[batch, other, other]", "output `y` is declared as f32[batch, other, other] and is f32[1, 5]"),
        ("y: i64[batch, seq]", "output `y` is declared as i64[batch, seq] and is f32[1, 5]"),
        ("y: f32[batch + 1, seq]", "output `y` is declared as f32[batch + 1, seq] and is f32[1, 5]"),
    ];
    for (declared, expected) in cases {
        let mut graph = reference();
        graph.output = vec![models::value(declared)];
        assert_contains(&alone(graph), &["a.onnx fails: ", expected]);
    }
    for honest in ["y: f32[batch, other]", "y: f32[other, seq]", "y: f32[2*batch - batch, seq]", "y"] {
        let mut graph = reference();
        graph.output = vec![models::value(honest)];
        assert_contains(&alone(graph), &["runs in tract"]);
    }
}

#[test]
fn a_declaration_may_be_corrected_but_not_broken() {
    let mut wrong = reference();
    wrong.output = vec![models::value("y: f32[batch, 6]")];
    let note = "in the first model, output `y` is declared as f32[batch, 6] and is f32[1, 5]";
    assert_contains(&against(wrong.clone(), reference()), &["equal in tract", note]);
    assert_contains(&against(wrong.clone(), wrong.clone()), &["equal in tract", note]);
    assert_contains(&against(reference(), wrong), &["b.onnx fails: output `y` is declared as f32[batch, 6]"]);
}

#[test]
fn outputs_that_are_not_finite() {
    let log = graph(&["x: f32[4]"], &["y: f32[4]"], vec![node("n = Abs(x)"), node("m = Neg(n)"), node("y = Log(m)")]);
    assert_contains(&alone(log), &["a.onnx fails: output `y` has NaN at [0]"]);

    // The standard defines a fully masked row of attention as 0.
    let masked = |result: Vec<NodeProto>| {
        let nodes = [vec![node("y = Attention(q, q, q, mask)")], result].concat();
        let mut graph = graph(&["q: f32[1, 2, 3, 8]"], &["r: f32[1, 2, 1, 8]"], nodes);
        graph.initializer = vec![
            floats("mask", &[3, 3], &[&[f32::NEG_INFINITY; 3][..], &[0.0; 6]].concat()),
            integers("first", &[1], &[0]),
            integers("second", &[1], &[1]),
            integers("axis", &[1], &[2]),
            floats("zero", &[1], &[0.0]),
        ];
        graph
    };
    let row = masked(vec![node("r = Slice(y, first, second, axis)")]);
    // Also if the model is not compared, but only run.
    let session = Session::new(&file("a.onnx", row.clone())).unwrap_or_else(|error| panic!("{error}"));
    let query = Array::new([1, 2, 3, 8], vec![1.0_f32; 48]).expect("as many");
    let outputs = session.run(&[("q", &query)]).unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(outputs[0].1, Array::new([1, 2, 1, 8], vec![0.0_f32; 16]).expect("as many"));
    let zero = masked(vec![node("s = Slice(q, first, second, axis)"), node("r = Mul(s, zero)")]);
    assert_contains(&against(row, zero), &["equal in tract"]);
}

#[test]
fn other_sizes_are_not_the_first_difference() {
    let with = |of: &str, factor: f32| {
        let nodes = vec![
            node("wide = Concat(x, x)").int("axis", 0),
            node(&format!("size = Shape({of})")),
            node("p = Mul(x, factor)"),
            node("y = Neg(p)"),
        ];
        let mut graph = graph(&["x: f32[seq]"], &["y: f32[seq]"], nodes);
        graph.initializer = vec![floats("factor", &[], &[factor])];
        graph
    };
    assert_contains(&against(with("x", 2.0), with("wide", 3.0)), &["first at node `p` (Mul): value `p` differs"]);
}

#[test]
fn a_model_that_tract_refuses_is_not_verifiable() {
    let mut shapes = graph(&["x: f32[batch, 3]"], &["y: f32[batch, 5]"], vec![node("y = MatMul(x, w)")]);
    shapes.initializer = vec![floats("w", &[4, 5], &[0.0; 20])];
    assert_contains(&alone(shapes), &["a.onnx is not verifiable in tract", "it failed to load the model", "MatMul"]);

    let mut panics = graph(&["x: f32[1]"], &["y: f32[7]"], vec![node("r = Range(a, b, c)"), node("y = Add(r, x)")]);
    panics.initializer = vec![floats("a", &[], &[0.0]), floats("b", &[], &[3.2]), floats("c", &[], &[0.5])];
    assert_contains(
        &alone(panics),
        &["a.onnx is not verifiable in tract", "it panicked when trying to load the model"],
    );
}

#[test]
fn dims_that_tract_cannot_keep_symbolic_become_sizes() {
    let flatten = node("y = Flatten(x)").int("axis", 2);
    let square = graph(&["x: f32[batch, seq, 8]"], &["y: f32[rows, 8]"], vec![flatten]);
    assert!(matches!(Session::new(&file("a.onnx", square.clone())), Err(VerifyError::Runtime { .. })));
    assert_contains(&alone(square), &["runs in tract", "batch = 2, seq = 7: `y` f32[14, 8]"]);
}

#[test]
fn shapes_come_out_as_integers() {
    let graph = graph(&["x: f32[batch, seq]"], &["y: i64[2]"], vec![node("y = Shape(x)")]);
    let session = Session::new(&file("a.onnx", graph)).expect("it loads");
    let x = Array::new([2, 3], vec![0_f32; 6]).expect("six elements");
    let outputs = session.run(&[("x", &x)]).expect("it runs");
    assert_eq!(outputs, [("y".to_owned(), Array::new([2], vec![2_i64, 3]).expect("two elements"))]);
}

#[test]
fn an_input_may_be_an_output() {
    let graph = graph(&["x: f32[batch]"], &["x: f32[batch]"], vec![]);
    assert_contains(&alone(graph), &["runs in tract", "`x` f32[3]"]);
}

#[test]
fn inputs_are_looked_up_by_name() {
    let graph = graph(&["a: f32[n]", "b: f32[n]"], &["y: f32[n]"], vec![node("y = Sub(a, b)")]);
    let session = Session::new(&file("a.onnx", graph)).expect("it loads");
    let array = |values: Vec<f32>| Array::new([values.len()], values).expect("as many");
    let (a, b, wrong) = (array(vec![5.0]), array(vec![2.0]), Array::new([1], vec![1_i64]).expect("one"));
    let outputs = session.run(&[("b", &b), ("a", &a)]).expect("it runs");
    assert_eq!(outputs[0].1.values::<f32>(), Some(&[3.0][..]));
    for (inputs, expected) in [
        (vec![("a", &a)], "a.onnx: input `b` of type f32[n] was not given"),
        (vec![("a", &a), ("b", &b), ("c", &b)], "a.onnx has no input `c`; its inputs are `a`, `b`"),
        (vec![("a", &a), ("b", &wrong)], "a.onnx: input `b` has type f32[n], but i64[1] was given"),
    ] {
        assert_eq!(session.run(&inputs).expect_err("it fails").to_string(), expected);
    }
}

#[test]
fn two_models_are_equal() {
    let mut other = reference();
    other.node = vec![node("p = Add(x, x)"), node("r = Relu(p)"), node("y = Add(x, r)")];
    let text = against(reference(), other);
    assert_contains(
        &text,
        &["equal in tract within 1e-4", "with batch = 3, seq = 2", "output `y` f32[3, 2]: the same"],
    );
}

/// The short form has the largest error of all runs.
#[test]
fn a_verdict_is_short() {
    let a = file("a.onnx", reference());
    let mut other = reference();
    other.initializer = vec![floats("w", &[1], &[2.000_01])];
    let b = file("b.onnx", other);
    let text = |options: &Options| verdict(&a, &b, options).to_string();
    let equal = text(&Options::default());
    assert_eq!(equal.lines().count(), 3, "{equal}");
    assert_contains(&equal, &["equal in tract within 1e-4\n  10 runs of 1 output; the largest error, with "]);
    let differs = text(&Options::default().with_tolerance(1e-9));
    assert_contains(&differs, &["with batch = 1, seq = 5\n    output `y` f32[1, 5]: "]);
    assert_eq!(
        verdict(&a, &a, &Options::default()).to_string(),
        "equal in tract within 1e-4\n  10 runs of 1 output; every element is the same"
    );
}

/// Sizes that only the second model fixes are those of the runs.
#[test]
fn sizes_that_one_model_fixes() {
    let mut fixed = reference();
    fixed.input = vec![models::value("x: f32[1, seq]")];
    fixed.output = vec![models::value("y: f32[1, seq]")];
    let text = against(reference(), fixed.clone());
    assert_contains(&text, &["equal in tract", "note: runs have the sizes that the second model fixes: batch = 1"]);
    assert!(!text.contains("batch = 2"), "{text}");
    assert_contains(&against(fixed, reference()), &["equal in tract"]);
}

#[test]
fn the_first_operator_that_differs_is_named() {
    let mut other = reference();
    other.node = vec![node("p = Mul(x, w)"), node("r = LeakyRelu(p)").float("alpha", 0.1), node("y = Add(r, x)")];
    assert_contains(
        &against(reference(), other),
        &[
            "the models differ in tract by more than 1e-4, first in output `y`",
            "with batch = 1, seq = 5",
            "first at node `r` (LeakyRelu), where the first model has node `r` (Relu): value `r` differs most at [0, ",
        ],
    );
}

#[test]
fn interfaces_that_differ() {
    let with = |inputs: &[&str], outputs: &[&str]| {
        let mut graph = reference();
        graph.input = inputs.iter().map(|text| models::value(text)).collect();
        graph.output = outputs.iter().map(|text| models::value(text)).collect();
        graph
    };
    let (x, y) = ("x: f32[batch, seq]", "y: f32[batch, seq]");
    for (inputs, outputs, expected) in [
        (&[x, "z: f32[1]"][..], &[y][..], "input 1 is nothing in the first and `z` in the second"),
        (&["x2: f32[batch, seq]"], &[y], "input 0 is `x` in the first and `x2` in the second"),
        (&["x: f64[batch, seq]"], &[y], "input `x` is f32[batch, seq] in the first and f64[batch, seq] in the second"),
        (&["x: f32[batch]"], &[y], "input `x` is f32[batch, seq] in the first and f32[batch] in the second"),
        (&[x], &["r: f32[batch, seq]"], "output 0 is `y` in the first and `r` in the second"),
    ] {
        let text = against(reference(), with(inputs, outputs));
        assert_eq!(text.lines().next(), Some(&*format!("the models differ: {expected}")));
    }
    let two = |first: &str, second: &str| {
        let outputs = [first, second].map(|name| format!("{name}: f32[n]"));
        let nodes = [first, second].map(|name| node(&format!("{name} = Relu(x)")));
        graph(&["x: f32[n]"], &outputs.each_ref().map(String::as_str), nodes.into())
    };
    for (first, second, expected) in [
        (two("p", "q"), two("q", "p"), "output 0 is `p` in the first and `q` in the second, where `p` is output 1"),
        (
            two("p", "q"),
            two("q", "r"),
            "output 0 is `p` in the first and `q` in the second, which is output 1 of the first",
        ),
    ] {
        let text = against(first, second);
        assert_contains(&text, &[expected, "help: outputs are compared in order; `netwright extract --to`"]);
        assert!(!text.contains("--rename-output"), "{text}");
    }
    assert_contains(&against(reference(), with(&["x: f32[n, length]"], &["y: f32[n, length]"])), &["equal in tract"]);
}

#[test]
fn inputs_and_outputs_may_be_narrower() {
    // The first model rounds nothing: its inputs are floats of the second model.
    let mut narrow = graph(&["x: f16[batch, seq]"], &["y: f16[batch, seq]"], vec![node("y = Relu(x)")]);
    let wide = graph(&["x: f32[batch, seq]"], &["y: f32[batch, seq]"], vec![node("y = Relu(x)")]);
    let text = against(wide.clone(), narrow.clone());
    let note = "note: in the second model, `x` is f16, `y` is f16; values are converted to be compared";
    assert_contains(&text, &["equal in tract within 1e-2", "output `y` f32[1, 5]: the same", note]);
    assert_contains(&against(narrow.clone(), wide.clone()), &["output `y` f16[1, 5]: the same"]);
    narrow.node = vec![node("y = Neg(x)")];
    assert_contains(&against(wide, narrow), &["the models differ in tract by more than 1e-2"]);
}

#[test]
fn the_second_model_fails_where_the_first_runs() {
    let mut broken = reference();
    broken.initializer = vec![floats("w", &[4], &[0.0; 4])];
    let text = against(reference(), broken);
    assert_contains(&text, &["b.onnx fails: tract runs the first model, and failed to run the model"]);
}

#[test]
fn ids_stay_below_the_table_they_index() {
    let gather = || {
        let mut graph = graph(&["ids: i64[batch, seq]"], &["y: f32[batch, seq]"], vec![node("y = Gather(t, ids)")]);
        graph.initializer = vec![floats("t", &[3], &[0.5, 1.5, 2.5])];
        graph
    };
    assert_contains(&alone(gather()), &["runs in tract"]);
    let mut integers_out = gather();
    integers_out.initializer = vec![integers("t", &[3], &[1 << 53, (1 << 53) + 1, 7])];
    let mut off_by_one = integers_out.clone();
    off_by_one.initializer = vec![integers("t", &[3], &[1 << 53, 1 << 53, 7])];
    for graph in [&mut integers_out, &mut off_by_one] {
        graph.output = vec![models::value("y: i64[batch, seq]")];
    }
    assert_contains(&against(integers_out, off_by_one), &["9007199254740993 against 9007199254740992"]);
}

/// Ids that are given, and that the table does not have, are an error of the inputs, not of the runtime.
#[test]
fn given_ids_beyond_the_table_are_named() {
    let mut graph = graph(&["ids: i64[batch, seq]"], &["y: f32[batch, seq]"], vec![node("y = Gather(t, ids)")]);
    graph.initializer = vec![floats("t", &[3], &[0.5, 1.5, 2.5])];
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("inputs.safetensors");
    let header = r#"{"ids":{"dtype":"I64","shape":[2,2],"data_offsets":[0,32]}}"#;
    let judge = |ids: [i64; 4], options: Options| {
        let numbers = ids.map(i64::to_le_bytes).concat();
        std::fs::write(&path, [&(header.len() as u64).to_le_bytes(), header.as_bytes(), &numbers].concat())
            .expect("it is written");
        let verdict = verify_models(&file("a.onnx", graph.clone()), None, &options.with_inputs(&path));
        verdict.map_or_else(|error| error.to_string(), |verdict| verdict.to_string())
    };
    assert_contains(&judge([0, 2, -3, -1], Options::default()), &["runs in tract"]);
    for (ids, expected) in [([0, 1, 3, 0], "3 at [1, 0]"), ([-3, -4, 0, 0], "-4 at [0, 1]")] {
        let expected = format!(
            "input `ids` is {expected}, but the table that it indexes has 3 rows\n  help: use numbers from 0 to 2"
        );
        assert_contains(&judge(ids, Options::default()), &[&expected]);
        assert_contains(&judge(ids, Options::default().with_ranges_of(["y"])), &[&expected]);
    }
}

/// The graph adds 2 to the ids: the error names the table's own size, and ids below 0 are counted from its end.
#[test]
fn given_ids_are_judged_with_their_offset() {
    let nodes = vec![node("moved = Add(ids, two)"), node("y = Gather(t, moved)")];
    let mut graph = graph(&["ids: i64[s]"], &["y: f32[s]"], nodes);
    graph.initializer = vec![floats("t", &[4], &[0.5, 1.5, 2.5, 3.5]), integers("two", &[], &[2])];
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("inputs.safetensors");
    let header = r#"{"ids":{"dtype":"I64","shape":[2],"data_offsets":[0,16]}}"#;
    let model = file("a.onnx", graph);
    let judge = |ids: [i64; 2], by_layer: bool| {
        let numbers = ids.map(i64::to_le_bytes).concat();
        std::fs::write(&path, [&(header.len() as u64).to_le_bytes(), header.as_bytes(), &numbers].concat())
            .expect("it is written");
        let options = Options::default().with_inputs(&path).with_by_layer(by_layer);
        let verdict = verify_models(&model, Some(&model), &options);
        verdict.map_or_else(|error| error.to_string(), |verdict| verdict.to_string())
    };
    assert_contains(&judge([-6, 1], false), &["equal in tract"]);
    assert_contains(&judge([-6, 1], true), &["no value differs"]);
    let expected = "input `ids` is 2 at [1], but the table that it indexes has 4 rows, and the model adds 2\n  \
                    help: use numbers from 0 to 1, such as";
    for by_layer in [false, true] {
        assert_contains(&judge([0, 2], by_layer), &[expected]);
    }
}

/// Every input is called `x`: what it is follows from its use alone.
#[test]
fn masks_are_recognized_by_what_they_do() {
    const ZERO_OR_ONE: &str = "zero or one";
    const MASK_OR_BIAS: &str = "mask or bias";
    const OTHER: &str = "other";
    for (input, nodes, expected) in [
        ("f32[b, s, s]", &["m = Add(scores, x)", "y = Softmax(m)"][..], MASK_OR_BIAS),
        (
            "f32[b, s, s]",
            &["u = Unsqueeze(x, axes)", "m = Add(u, scores)", "w = Cast(m)", "y = Softmax(w)"],
            MASK_OR_BIAS,
        ),
        ("f32[b, 1, s, s]", &["y = Attention(q, k, v, x)"], MASK_OR_BIAS),
        ("f32[b, s]", &["i = Sub(one, x)", "l = Mul(i, low)", "m = Add(scores, l)", "y = Softmax(m)"], ZERO_OR_ONE),
        ("i64[b, s]", &["e = Equal(x, none)", "m = Where(e, low, scores)", "y = Softmax(m)"], ZERO_OR_ONE),
        ("i64[b, s]", &["e = Cast(x)", "f = Where(e, none, low)", "m = Add(scores, f)", "y = Softmax(m)"], ZERO_OR_ONE),
        ("bool[b, s]", &["e = Cast(x)", "l = Log(e)", "m = Add(scores, l)", "y = Softmax(m)"], ZERO_OR_ONE),
        ("f32[b, s]", &["l = Log(x)", "m = Add(scores, l)", "y = Softmax(m)"], ZERO_OR_ONE),
        ("f32[b, s]", &["r = Reciprocal(x)", "h = Sub(one, r)", "m = Add(scores, h)", "y = Softmax(m)"], ZERO_OR_ONE),
        ("f32[b, s]", &["r = Div(one, x)", "h = Sub(one, r)", "m = Add(scores, h)", "y = Softmax(m)"], ZERO_OR_ONE),
        // Pooling counts the tokens too.
        (
            "i64[b, s]",
            &["e = Equal(x, none)", "m = Where(e, low, scores)", "y = Softmax(m)", "n = ReduceSum(x)"],
            ZERO_OR_ONE,
        ),
        // Another use reaches a value twice.
        (
            "i64[b, s]",
            &[
                "e = Equal(x, none)",
                "m = Where(e, low, scores)",
                "y = Softmax(m)",
                "t = Equal(x, none)",
                "n = And(t, t)",
            ],
            ZERO_OR_ONE,
        ),
        ("bool[b, s, s]", &["e = And(x, causal)", "m = Where(e, scores, low)", "y = Softmax(m)"], ZERO_OR_ONE),
        ("f32[b, s, s]", &["m = Mul(scores, x)", "y = Softmax(m)"], OTHER),
        ("f32[b, s, s]", &["m = Add(scores, x)", "y = Softmax(m)", "z = Relu(x)"], OTHER),
        ("f32[b, s, s]", &["m = Add(scores, x)", "y = Tanh(m)"], OTHER),
        // These are the scores.
        ("f32[b, s, s]", &["m = Add(given, x)", "y = Softmax(m)"], OTHER),
        ("f32[b, s, s]", &["y = Softmax(x)"], OTHER),
        ("f32[b, s, s]", &["m = MatMul(scores, x)", "y = Softmax(m)"], OTHER),
        ("i64[b, s]", &["g = Gather(table, x)", "m = Add(scores, g)", "y = Softmax(m)"], OTHER),
        ("i64[b, s]", &["e = Equal(x, none)", "m = Where(e, low, scores)", "y = Tanh(m)"], OTHER),
    ] {
        let port = format!("x: {input}");
        let ports = [port.as_str(), "given: f32[b, s, s]", "q: f32[b, 1, s, 4]", "causal: bool[s, s]"];
        let nodes: Vec<_> = std::iter::once(&"scores = MatMul(q, q)").chain(nodes).map(|text| node(text)).collect();
        let case = format!("{input} {nodes:?}");
        let mut graph = graph(&ports, &["y: f32[b, s, s]"], nodes);
        graph.initializer = vec![
            floats("one", &[], &[1.0]),
            floats("low", &[], &[-1e9]),
            integers("none", &[], &[0]),
            integers("axes", &[1], &[1]),
            floats("table", &[3], &[0.0, 1.0, 2.0]),
        ];
        let model = file("a.onnx", graph);
        let sizes: Bindings = [("b", 2), ("s", 9)].map(|(name, size)| (Symbol::new(name), size)).into();
        let numbers = |seed| -> Vec<f32> {
            let inputs =
                netwright_verify::inputs(&model, &sizes, seed).unwrap_or_else(|error| panic!("{case}: {error}"));
            let x = inputs.into_iter().find(|(name, _)| name == "x").expect("an input").1;
            if let Some(flags) = x.values::<bool>() {
                return flags.iter().map(|&x| f32::from(u8::from(x))).collect();
            }
            let integer = |x: &i64| f32::from(i16::try_from(*x).expect("a small number"));
            let integers = || x.values::<i64>().expect("numbers").iter().map(integer).collect();
            x.values::<f32>().map_or_else(integers, <[f32]>::to_vec)
        };
        let all = |seed: u64, few: &[f32]| numbers(seed).iter().all(|x| few.contains(x));
        // At the left.
        let is_padded = |seed, hidden: f32| numbers(seed).contains(&hidden) && !numbers(seed)[8..9].contains(&hidden);
        let found = if (0..8).all(|seed| all(seed, &[0.0, 1.0])) && is_padded(1, 0.0) {
            ZERO_OR_ONE
        } else if (1..8).step_by(2).all(|seed| all(seed, &[0.0, -1e4, f32::MIN])) && is_padded(1, -1e4) {
            if (0..8).step_by(2).any(|seed| all(seed, &[0.0, -1e4, f32::MIN])) { "only a mask" } else { MASK_OR_BIAS }
        } else {
            OTHER
        };
        assert_eq!(found, expected, "{case}");
    }
}

#[test]
fn symbols_are_bound_by_expressions() {
    let nodes = vec![node("k = Concat(past, new)").int("axis", 0), node("y = Mul(k, mask)")];
    let inputs = ["past: f32[past]", "new: f32[seq]", "mask: f32[past_plus_seq]"];
    let cache = file("a.onnx", graph(&inputs, &["y: f32[past_plus_seq]"], nodes));
    let with = |dims: &[(&str, &str)]| {
        let dims = dims.iter().map(|(symbol, dim)| (Symbol::new(*symbol), dim.parse::<Dim>().expect("a dim")));
        verify_models(&cache, None, &Options::default().with_dims(dims)).map(|verdict| verdict.to_string())
    };
    assert_contains(
        &with(&[("past_plus_seq", "past + seq"), ("seq", "2")]).expect("it is judged"),
        &["runs in tract", "past = 5, past_plus_seq = 7, seq = 2"],
    );
    // Relations implied by names are tried.
    assert_contains(
        &with(&[]).expect("it is judged"),
        &["past = 5, past_plus_seq = 13, seq = 8", "(--dim overrides them): past_plus_seq = past + seq"],
    );
    for (dims, expected) in [
        (vec![("length", "2")], "no input has the symbolic dim `length`\n  help: choose from past, past_plus_seq, seq"),
        (
            vec![("past", "seq"), ("seq", "past + 1")],
            "symbol `past` cannot have the size `seq`: it depends on itself, or is not a whole number for these sizes",
        ),
        (vec![("past", "2 - seq")], "symbol `past` cannot have the size `-seq + 2`: it is not between 0 and 1,048,576"),
    ] {
        assert_eq!(with(&dims).expect_err("no binding").to_string(), expected);
    }
}

#[test]
fn bytes_that_are_not_a_model() {
    for (bytes, expected) in [(&b"\xff\xff\xff"[..], "a.onnx is not an ONNX model: "), (b"", "it has no graph")] {
        let error = ModelFile::from_bytes("a.onnx", bytes).expect_err("no model").to_string();
        assert_contains(&error, &[expected]);
    }
}

/// `y = relu(x w)`, with the weight as it is or in 8 bits with a zero point.
fn product(zero_point: Option<u8>) -> GraphProto {
    let mut graph = graph(&["x: f32[batch, 4]"], &["y: f32[batch, 3]"], vec![]);
    let codes: [u8; 12] = [3, 250, 127, 90, 11, 200, 180, 65, 140, 30, 220, 155];
    let weight: Vec<f32> = codes.iter().map(|&code| (f32::from(code) - 128.3) * 0.01).collect();
    graph.initializer = vec![floats("w", &[4, 3], &weight), floats("s", &[], &[0.01])];
    let tensor = |name: &str, dims: &[i64], raw_data: Vec<u8>| TensorProto {
        name: name.to_owned(),
        data_type: 2,
        dims: dims.to_vec(),
        raw_data,
        ..TensorProto::default()
    };
    graph.initializer.push(tensor("codes", &[4, 3], codes.to_vec()));
    graph.initializer.extend(zero_point.map(|zero| tensor("zero", &[], vec![zero])));
    graph.node = vec![node("p = MatMul(x, w)"), node("y = Relu(p)")];
    if zero_point.is_some() {
        graph.node =
            vec![node("q = DequantizeLinear(codes, s, zero)"), node("p = MatMul(x, q)"), node("other = Relu(p)")];
        graph.node.push(node("y = Identity(other)"));
    }
    graph
}

#[test]
fn models_that_are_quantized_differently_are_close() {
    let judged = |zero_point, options: &Options| {
        let (a, b) = (file("a.onnx", product(None)), file("b.onnx", product(Some(zero_point))));
        verify_models(&a, Some(&b), options).expect("a verdict")
    };
    let options = Options::default();
    let close = judged(128, &options);
    assert!(close.is_fine());
    let why = "; the first model is not quantized and the second has 8-bit weights\n  with batch = 1\n";
    let further = judged(118, &options.clone().with_min_cosine(0.5));
    for (verdict, enough, rest) in [(close, "0.99", why), (further, "0.5", "\n  with batch = 1\n")] {
        let Verdict::Close { cosines, runs, .. } = &verdict else { panic!("{verdict}") };
        // Both are rounded down.
        let lowest = |all: Vec<Option<f64>>| {
            let lowest = all.into_iter().flatten().map(|it| (it * 1e4).floor() / 1e4).reduce(f64::min);
            lowest.expect("the output has a cosine")
        };
        let together = lowest(cosines.values().copied().collect());
        let single = lowest(runs.iter().flat_map(|run| &run.outputs).map(|output| output.cosine).collect());
        assert!(single < 1.0 && together < 1.0, "{verdict}");
        let text = format!(
            "close in tract: the cosine of every output over all runs together is at least {together:.4} ({enough} is \
             enough), and the lowest of a single run is {single:.4}{rest}"
        );
        assert!(format!("{verdict:#}").starts_with(&text), "{verdict:#}");
    }
    let cosine = [
        "the models differ in tract by more than 1e-4, and not every output has a cosine of 0.99, first in output `y`",
    ];
    assert_contains(&judged(90, &options).to_string(), &cosine);
    let strict = judged(128, &options.clone().with_tolerance(1e-4)).to_string();
    assert_contains(&strict, &["the models differ in tract by more than 1e-4, first in output `y`"]);
    assert!(matches!(judged(128, &options.with_tolerance(0.5)), Verdict::Equal { .. }));

    // Indices of the largest elements have no cosine.
    let largest = |mut graph: GraphProto| {
        graph.output = vec![models::value("i: i64[batch, 1]")];
        graph.node.push(node("i = ArgMax(y)").int("axis", 1));
        graph
    };
    assert_contains(&against(largest(product(None)), largest(product(Some(0)))), &["the models differ in tract"]);
}

#[test]
fn the_operator_that_adds_most_of_the_error_is_named() {
    let (a, b) = (file("a.onnx", product(None)), file("b.onnx", product(Some(90))));
    let by_layer = Options::default().with_by_layer(true);
    let verdict = verify_models(&a, Some(&b), &by_layer).expect("a verdict");
    let Verdict::ByLayer { layers, .. } = &verdict else { panic!("{verdict}") };
    // `other` of the second model is `y` of the first: the same operator of the same operand.
    let values: Vec<_> = layers.iter().map(|layer| (layer.first_value.as_str(), layer.value.as_str())).collect();
    assert_eq!(values, [("p", "p"), ("y", "y")]);
    let text = verdict.to_string();
    let end = "first at value `p`\n  node `p` (MatMul) adds most of the error: ";
    assert_contains(&text, &["the values of both models in tract\n", "\n  value  operator", end]);
    let same = verify_models(&a, Some(&a), &by_layer).expect("a verdict").to_string();
    assert_contains(&same, &["no value differs of the 2 that the models have in common"]);
}

#[test]
fn values_match_by_structure_where_names_differ() {
    let mut renamed = product(None);
    renamed.node = vec![node("m = MatMul(x, w)"), node("y = Relu(m)")];
    renamed.initializer[0].raw_data[1] ^= 0x10;
    let (a, b) = (file("a.onnx", product(None)), file("b.onnx", renamed));
    let verdict = verify_models(&a, Some(&b), &Options::default().with_by_layer(true)).expect("a verdict");
    let Verdict::ByLayer { layers, .. } = &verdict else { panic!("{verdict}") };
    let values: Vec<_> = layers.iter().map(|layer| (layer.first_value.as_str(), layer.value.as_str())).collect();
    assert_eq!(values, [("p", "m"), ("y", "y")]);
}

#[test]
fn weights_that_operators_hold_are_left_out() {
    let held = |byte: u8| {
        let mut graph = product(None);
        graph.node = vec![node("v = Identity(w)"), node("p = MatMul(x, v)"), node("y = Relu(p)")];
        graph.initializer[0].raw_data[1] ^= byte;
        graph
    };
    let (a, b) = (file("a.onnx", held(0)), file("b.onnx", held(0x10)));
    let verdict = verify_models(&a, Some(&b), &Options::default().with_by_layer(true)).expect("a verdict");
    let Verdict::ByLayer { layers, .. } = &verdict else { panic!("{verdict}") };
    let values: Vec<_> = layers.iter().map(|layer| layer.value.as_str()).collect();
    assert_eq!(values, ["p", "y"]);
    assert_contains(&verdict.to_string(), &["node `p` (MatMul) adds most of the error"]);
}

/// The table does not change the exit code.
#[test]
fn values_that_drift_are_no_success() {
    let by_layer = Options::default().with_by_layer(true);
    let judged = |byte: Option<u8>, options: &Options| {
        let mut other = product(None);
        other.initializer[0].raw_data[1] ^= byte.unwrap_or(0);
        verdict(&file("a.onnx", product(None)), &file("b.onnx", other), options)
    };
    for byte in [None, Some(1), Some(0x10)] {
        let (plain, table) = (judged(byte, &Options::default()), judged(byte, &by_layer));
        assert_eq!((plain.is_fine(), plain.code()), (table.is_fine(), table.code()), "{byte:?}: {plain}\n{table}");
    }
    assert!(!judged(Some(0x10), &by_layer).is_fine());
    let mut broken = reference();
    broken.initializer = vec![floats("w", &[4], &[0.0; 4])];
    let (a, b) = (file("a.onnx", reference()), file("b.onnx", broken));
    let (plain, table) = (verdict(&a, &b, &Options::default()), verdict(&a, &b, &by_layer));
    assert!(matches!(plain, Verdict::Fails { .. }), "{plain}");
    assert_eq!(plain.code(), table.code(), "{plain}\n{table}");
    assert_contains(&table.to_string(), &["no run was found in which the outputs differ: b.onnx fails: "]);
}

/// Each pair differs only for few values of the input.
#[test]
fn rare_values_are_tried() {
    let compared = |operator: &str, ty: &str, constant: TensorProto| {
        let nodes = vec![node(&format!("l = {operator}(i, c)")), node("y = Cast(l)").int("to", 1)];
        let mut graph = graph(&[&format!("i: {ty}")], &[&format!("y: f32{}", &ty[3..])], nodes);
        graph.initializer = vec![constant];
        graph
    };
    let whole = |number: i64| integers("c", &[], &[number]);
    for ty in ["i64[n]", "i64[]"] {
        for operator in ["Less", "LessOrEqual", "Greater", "GreaterOrEqual", "Equal"] {
            let a = compared(operator, ty, whole(1000));
            assert_contains(&against(a.clone(), a.clone()), &["equal in tract"]);
            for other in [999, 1001] {
                let b = compared(operator, ty, whole(other));
                assert_contains(&against(a.clone(), b), &["the models differ in tract"]);
            }
        }
    }
    let [a, b] = [2.5, 2.51].map(|number| compared("Less", "f32[n]", floats("c", &[], &[number])));
    assert_contains(&against(a, b), &["the models differ in tract"]);
    let table = |changed: Option<usize>| {
        let numbers: Vec<f32> = (0..5000_u16).map(|at| f32::from(at) + f32::from(changed == Some(at.into()))).collect();
        let mut graph = graph(&["ids: i64[n, s]"], &["y: f32[n, s, 1]"], vec![node("y = Gather(t, ids)")]);
        graph.initializer = vec![floats("t", &[5000, 1], &numbers)];
        graph
    };
    for row in [1, 2345, 4998] {
        assert_contains(&against(table(None), table(Some(row))), &["the models differ in tract"]);
    }
}

/// Rows that differ in one table are looked up only if the ids fit the other one too.
#[test]
fn ids_fit_every_table() {
    let tables = |changed: Option<usize>, offset: i64| {
        let rows = |count: usize, changed| {
            (0..count).map(|at| if changed == Some(at) { 1000.0 } else { at as f32 }).collect::<Vec<_>>()
        };
        let nodes = vec![
            node("p = Gather(t, ids)"),
            node("moved = Add(ids, offset)"),
            node("q = Gather(u, moved)"),
            node("y = Add(p, q)"),
        ];
        let mut graph = graph(&["ids: i64[n, s]"], &["y: f32[n, s, 1]"], nodes);
        graph.initializer = vec![
            floats("t", &[100, 1], &rows(100, changed)),
            floats("u", &[50, 1], &rows(50, None)),
            integers("offset", &[], &[offset]),
        ];
        graph
    };
    for (changed, offset, expected) in [(70, 0, "equal"), (49, 2, "equal"), (30, 0, "the models differ")] {
        assert_contains(
            &against(tables(None, offset), tables(Some(changed), offset)),
            &[&format!("{expected} in tract")],
        );
    }
}

/// Integers that are compared with a small number are small: a model that returns NaN for them fails.
#[test]
fn small_thresholds_excuse_no_nan() {
    let nodes = ["e = Equal(i, c)", "f = Where(e, two, three)", "m = Neg(f)", "y = Sqrt(m)"];
    for (threshold, expected) in [(0, "a.onnx fails: output `y` has NaN at [0]"), (1000, "runs in tract")] {
        let mut graph = graph(&["i: i64[n]"], &["y: f32[n]"], nodes.iter().map(|text| node(text)).collect());
        graph.initializer =
            vec![integers("c", &[], &[threshold]), floats("two", &[], &[2.0]), floats("three", &[], &[3.0])];
        assert_contains(&alone(graph), &[expected]);
    }
}

/// tract computes a product with a constant 0 as 0, whatever the sign is.
#[test]
fn zeros_keep_their_sign() {
    let inverse = |nodes: &[&str]| {
        let mut graph = graph(&["x: f32[n]"], &["y: f32[n]"], nodes.iter().map(|text| node(text)).collect());
        graph.initializer = vec![floats("zero", &[], &[0.0]), floats("one", &[1], &[1.0])];
        graph
    };
    let signed = || inverse(&["p = Mul(x, zero)", "y = Div(one, p)"]);
    assert_contains(&against(signed(), signed()), &["equal in tract"]);
    let turned = inverse(&["p = Mul(zero, x)", "q = Neg(p)", "r = Neg(q)", "y = Reciprocal(r)"]);
    assert_contains(&against(signed(), turned), &["equal in tract"]);
    let unsigned = inverse(&["a = Abs(x)", "p = Mul(a, zero)", "y = Div(one, p)"]);
    assert_contains(&against(signed(), unsigned), &["the models differ in tract", "inf against"]);
}

/// tract would return infinity for large elements.
#[test]
fn activations_of_large_elements() {
    let of = |nodes: &[&str]| {
        let mut graph = graph(&["x: f32[n]"], &["y: f32[n]"], nodes.iter().map(|text| node(text)).collect());
        graph.initializer = vec![floats("one", &[], &[1.0])];
        graph
    };
    let exact =
        ["a = Abs(x)", "m = Neg(a)", "e = Exp(m)", "p = Add(e, one)", "l = Log(p)", "r = Relu(x)", "s = Add(r, l)"];
    let naive = ["e = Exp(x)", "p = Add(e, one)", "s = Log(p)"];
    let softplus = || of(&["y = Softplus(x)"]);
    let mish = || of(&["y = Mish(x)"]);
    let [exact_softplus, naive_softplus] =
        [&exact[..], &naive].map(|nodes| of(&[nodes, &["y = Identity(s)"]].concat()));
    let exact_mish = of(&[&exact[..], &["t = Tanh(s)", "y = Mul(x, t)"]].concat());
    assert_contains(&against(exact_softplus, softplus()), &["equal in tract"]);
    assert_contains(&against(exact_mish, mish()), &["equal in tract"]);
    assert_contains(&against(softplus(), naive_softplus), &["the models differ in tract"]);
}

/// tract computes a product with such a number as 0.
#[test]
fn numbers_below_the_range_of_f32_are_not_judged_in_tract() {
    let scaled = |factor: f64| {
        let mut graph = graph(&["x: f64[n]"], &["y: f64[n]"], vec![node("y = Mul(x, c)")]);
        graph.initializer =
            vec![TensorProto { data_type: 11, raw_data: factor.to_le_bytes().to_vec(), ..floats("c", &[], &[]) }];
        graph
    };
    let why = "initializer `c`: tract computes products with numbers below the range of f32 as 0";
    assert_contains(&against(scaled(1e-50), scaled(2e-50)), &["not verifiable in tract", why]);
    assert_contains(&against(scaled(1e-40), scaled(2e-40)), &["the models differ in tract"]);
}

/// The values are compared for the run in which outputs differ, here the first with more than one sequence.
#[test]
fn values_are_compared_where_outputs_differ() {
    let batch_counts = |share: f32| {
        let mut graph = reference();
        graph.node = vec![
            node("shape = Shape(x)").int("end", 1),
            node("batch = Cast(shape)").int("to", 1),
            node("more = Sub(batch, one)"),
            node("part = Mul(more, share)"),
            node("y = Add(x, part)"),
        ];
        graph.initializer = vec![floats("one", &[1], &[1.0]), floats("share", &[1], &[share])];
        graph
    };
    let (a, b) = (file("a.onnx", batch_counts(1.0)), file("b.onnx", batch_counts(2.0)));
    let by_layer = Options::default().with_by_layer(true);
    let text = verdict(&a, &b, &by_layer).to_string();
    let where_they_differ = "note: with batch = 2, seq = 7, seed 1, for which the outputs differ";
    assert_contains(&text, &[where_they_differ, "node `part` (Mul) adds most of the error"]);
    let one = by_layer.with_dims([(Symbol::new("batch"), Dim::from(1))]);
    let equal = "with batch = 1, seq = 5, seed 0; in no run do the outputs differ by more than is allowed";
    assert_contains(&verdict(&a, &b, &one).to_string(), &[equal, "no value differs"]);
}

/// An operator that moves elements adds no error: the one that computed them does.
#[test]
fn an_operator_that_moves_elements_is_not_named() {
    let mut moved = product(None);
    moved.node = vec![node("m = MatMul(x, w)"), node("p = Identity(m)"), node("y = Relu(p)")];
    moved.initializer[0].raw_data[1] ^= 0x10;
    let (a, b) = (file("a.onnx", product(None)), file("b.onnx", moved));
    let text = verdict(&a, &b, &Options::default().with_by_layer(true)).to_string();
    assert_contains(
        &text,
        &["node `m` (MatMul) adds most of the error: ", "; in the first model, that is node `p` (MatMul)"],
    );
}

#[test]
fn the_largest_magnitudes_are_recorded() {
    let inputs = tempfile::tempdir().expect("a folder");
    let numbers = [1.0_f32, -2.0, f32::INFINITY, f32::NAN].map(f32::to_le_bytes).concat();
    let header = r#"{"x":{"dtype":"F32","shape":[1,4],"data_offsets":[0,16]}}"#;
    let bytes = [&(header.len() as u64).to_le_bytes(), header.as_bytes(), &numbers].concat();
    let path = inputs.path().join("inputs.safetensors");
    std::fs::write(&path, bytes).expect("it is written");
    let options = Options::default().with_ranges_of(["x", "p", "r", "y", "w", "absent"]);
    let judge = |path: &Path| verify_models(&file("a.onnx", reference()), None, &options.clone().with_inputs(path));
    let verdict = judge(&path).expect("a verdict");
    assert_eq!(judge(inputs.path()).expect("a verdict"), verdict, "the only file of a folder");
    std::fs::copy(&path, inputs.path().join("other.safetensors")).expect("it is copied");
    let error = judge(inputs.path()).expect_err("there are two files").to_string();
    assert_contains(&error, &["it has several safetensors files\n  help: name one of them, such as "]);
    let expected = "the largest magnitudes of 4 values in tract\n  p  4.0e0\n  r  2.0e0\n  x  2.0e0\n  y  3.0e0\n  note: with batch = 1, seq = 4, seed 0";
    assert_eq!(verdict.to_string(), expected);
    assert!(verdict.is_fine());
}

#[test]
fn verdicts_survive_json() {
    let by_layer = Options::default().with_by_layer(true);
    let quantized = file("c.onnx", product(Some(128)));
    let cases = [
        verify_models(&file("b.onnx", product(None)), Some(&quantized), &Options::default()),
        verify_models(&file("b.onnx", product(None)), Some(&quantized), &by_layer),
        verify_models(&file("a.onnx", reference()), None, &Options::default()),
        verify_models(&file("a.onnx", reference()), None, &Options::default().with_ranges_of(["p"])),
        verify_models(&file("a.onnx", reference()), Some(&file("b.onnx", reference())), &Options::default()),
    ];
    for verdict in cases {
        let verdict = verdict.expect("it is judged");
        let text = serde_json::to_string(&verdict).expect("it is written");
        let read: Verdict = serde_json::from_str(&text).expect("it is read");
        assert_eq!(read.to_string(), verdict.to_string());
    }
}

/// `y = x * w` between casts: from and to that type, of a weight that is stored in another one.
fn in_types(input: &str, weight: i64, computed: i64) -> GraphProto {
    let cast = |text: &str, to: i64| node(text).int("to", to);
    let nodes = vec![
        cast("wide = Cast(w)", computed),
        cast("narrow = Cast(x)", computed),
        node("p = Mul(narrow, wide)"),
        cast("y = Cast(p)", 1),
    ];
    let mut graph = graph(&[&format!("x: {input}[batch]")], &["y: f32[batch]"], nodes);
    let halves = vec![0x00, 0x3c];
    graph.initializer = vec![TensorProto {
        name: "w".to_owned(),
        data_type: i32::try_from(weight).expect("a type"),
        dims: vec![1],
        raw_data: halves,
        ..TensorProto::default()
    }];
    graph
}

#[test]
fn the_tolerance_is_that_of_the_narrowest_type_that_is_computed_in() {
    let [f32, f16] = [1, 10];
    for (input, weight, computed, tolerance) in
        [("f32", f16, f32, "1e-4"), ("f32", f16, f16, "1e-2"), ("f16", f16, f32, "1e-4")]
    {
        let graph = in_types(input, weight, computed);
        let (a, b) = (file("a.onnx", graph.clone()), file("b.onnx", graph));
        let of = |tolerance| {
            let options = Options::default().with_tolerance(tolerance);
            match verify_models(&a, Some(&b), &options).expect("a verdict") {
                Verdict::Equal { tolerance, .. } => format!("{tolerance:e}"),
                other => other.to_string(),
            }
        };
        assert_eq!(of(None), tolerance, "{input} {weight} {computed}");
        assert_eq!(of(Some(0.5)), "5e-1", "what is asked for goes first");
    }
}

#[test]
fn the_mean_square_in_f64_is_that_of_the_last_axis() {
    // Beyond the tolerance, what rounds otherwise is judged in f64.
    let weight = |name: &str, data_type: i32, raw_data: Vec<u8>, dims: Vec<i64>| TensorProto {
        name: name.to_owned(),
        data_type,
        raw_data,
        dims,
        ..TensorProto::default()
    };
    let ports = (&["x: f16[batch, seq, 4]"][..], &["y: f16[batch, seq, 4]"][..]);
    let mut spelled = graph(
        ports.0,
        ports.1,
        vec![
            node("q = Mul(x, x)"),
            node("m = ReduceMean(q, axes)"),
            node("r = Sqrt(m)"),
            node("z = Div(x, r)"),
            node("y = Mul(z, w)"),
        ],
    );
    let halves = weight("w", 10, vec![0x66, 0x2e, 0x00, 0x38, 0x9a, 0x39, 0x33, 0x3b], vec![4]);
    spelled.initializer = vec![halves.clone(), weight("axes", 7, (-1_i64).to_le_bytes().to_vec(), vec![1])];
    let mut fused = graph(ports.0, ports.1, vec![node("y = RMSNormalization(x, w)").float("epsilon", 0.0)]);
    fused.initializer = vec![halves];
    let (a, b) = (file("a.onnx", spelled), file("b.onnx", fused));
    let options = Options::default().with_tolerance(1e-4);
    let verdict = verify_models(&a, Some(&b), &options).expect("a verdict");
    let Verdict::Equal { runs, .. } = &verdict else { panic!("{verdict}") };
    let roundings: Vec<_> = runs.iter().flat_map(|run| &run.outputs).filter_map(|output| output.rounding).collect();
    assert!(!roundings.is_empty() && roundings.iter().all(|rounding| rounding.twins < 1e-11), "{verdict}");
}
