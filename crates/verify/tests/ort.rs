//! ONNX Runtime as the judge. The tests are skipped if its library is not installed (`tests/interop/prepare.sh`
//! installs it), unless `REQUIRE_ONNX_RUNTIME` is set. `tests/interop/second_judge.py` tests the command line.

mod models;

use half::{bf16, f16};
use models::{With, bytes, floats, graph, integers, model, node};
use netwright_verify::{
    Array, ModelFile, OnnxRuntime, Options, OrtLevel, Runtime, Session, Values, Verdict, verify_models,
};
use std::path::Path;
use tract_onnx::pb::{GraphProto, NodeProto, OperatorSetIdProto, TensorProto};

/// Returns ONNX Runtime if it is installed.
fn installed() -> Option<Runtime> {
    let runtime = found();
    assert!(runtime.is_some() || std::env::var_os("REQUIRE_ONNX_RUNTIME").is_none(), "ONNX Runtime is not installed");
    runtime
}

fn found() -> Option<Runtime> {
    let venv = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/interop/venv/lib");
    let capi = std::fs::read_dir(venv).ok()?.find_map(|python| {
        let capi = python.ok()?.path().join("site-packages/onnxruntime/capi");
        capi.is_dir().then_some(capi)
    })?;
    let mut files = std::fs::read_dir(capi).ok()?.map(|file| file.expect("an entry").path());
    let library = files.find(|file| file.to_string_lossy().contains("/libonnxruntime.so."))?;
    Some(Runtime::Ort(OnnxRuntime::at(&library).unwrap_or_else(|error| panic!("{error}"))))
}

fn file(name: &str, graph: GraphProto) -> ModelFile {
    let mut model = model(graph);
    model.opset_import.push(OperatorSetIdProto { domain: "com.microsoft".to_owned(), version: 1 });
    ModelFile::from_bytes(name, &bytes(&model)).unwrap_or_else(|error| panic!("{name}: {error}"))
}

fn with_none<T>(values: Vec<T>) -> [Values; 2]
where
    Values: From<Vec<T>>,
{
    [values.into(), vec![].into()]
}

#[test]
fn every_element_type_is_passed_through() {
    let Some(runtime) = installed() else { return };
    let cases: [[Values; 2]; 14] = [
        with_none(vec![true, false]),
        with_none(vec![1_u8, 255]),
        with_none(vec![-1_i8, 127]),
        with_none(vec![1_u16, u16::MAX]),
        with_none(vec![-1_i16, i16::MAX]),
        with_none(vec![1_u32, u32::MAX]),
        with_none(vec![-1_i32, i32::MAX]),
        with_none(vec![1_u64, u64::MAX]),
        with_none(vec![-1_i64, i64::MAX]),
        with_none(vec![f16::from_f32(0.5), f16::MAX]),
        with_none(vec![bf16::from_f32(0.5), bf16::MAX]),
        with_none(vec![0.1_f32, f32::MIN_POSITIVE]),
        with_none(vec![0.1_f64, f64::MAX]),
        [Values::String(vec!["a".to_owned(), "ü\"".to_owned()]), Values::String(vec![])],
    ];
    for [values, none] in cases {
        let (element, count) = (values.element(), values.len());
        let input = format!("x: {element}[n]");
        let output = format!("y: {element}[n]");
        let graph = graph(&[&input], &[&output], vec![node("y = Identity(x)")]);
        let session = Session::new_in(&file("a.onnx", graph), &runtime).unwrap_or_else(|error| panic!("{error}"));
        for (shape, values) in [(vec![count], values), (vec![0], none)] {
            let array = Array::new(shape, values).expect("as many");
            let outputs = session.run(&[("x", &array)]).unwrap_or_else(|error| panic!("{element}: {error}"));
            assert_eq!(outputs, [("y".to_owned(), array)], "{element}");
        }
    }
}

#[test]
fn strings_are_compared() {
    let Some(runtime) = installed() else { return };
    let looked_up = |names: [&str; 3]| {
        let names = names.map(|name| name.as_bytes().to_vec()).to_vec();
        let table = TensorProto {
            name: "names".to_owned(),
            dims: vec![3],
            data_type: 8,
            string_data: names,
            ..Default::default()
        };
        let mut graph = graph(&["k: i64[n]"], &["y: string[n]"], vec![node("y = Gather(names, k)")]);
        graph.initializer = vec![table];
        file("a.onnx", graph)
    };
    let options = Options::default().with_runtime(runtime);
    let judge =
        |b: [&str; 3]| verify_models(&looked_up(["a", "b", "c"]), Some(&looked_up(b)), &options).expect("a verdict");
    let (same, other) = (judge(["a", "b", "c"]), judge(["a", "b", "d"]));
    assert!(same.is_fine(), "{same}");
    assert!(!other.is_fine() && other.to_string().contains(r#""c" against "d""#), "{other}");
}

/// `y = gelu(x * w)`
fn reference(weight: f32) -> GraphProto {
    let nodes = vec![node("p = Mul(x, w)"), node("y = com.microsoft::Gelu(p)")];
    let mut graph = graph(&["x: f32[batch, seq]"], &["y: f32[batch, seq]"], nodes);
    graph.initializer = vec![floats("w", &[1], &[weight])];
    graph
}

#[test]
fn models_are_judged() {
    let Some(runtime) = installed() else { return };
    let options = Options::default().with_runtime(runtime.clone());
    let judge = |a: GraphProto, b: Option<GraphProto>, options: &Options| {
        let (a, b) = (file("a.onnx", a), b.map(|b| file("b.onnx", b)));
        verify_models(&a, b.as_ref(), options).unwrap_or_else(|error| panic!("{error}")).to_string()
    };
    let text = judge(reference(2.0), None, &options);
    assert!(text.starts_with(&format!("runs in {runtime}\n  with batch = 1")), "{text}");
    let text = judge(reference(2.0), Some(reference(2.0)), &options);
    assert!(text.starts_with(&format!("equal in {runtime} within 1e-4")), "{text}");
    let text = judge(reference(2.0), Some(reference(3.0)), &options);
    assert!(text.contains("first at node `p` (Mul): value `p`"), "{text}");

    let unknown = || graph(&["x: f32[n]"], &["y: f32[n]"], vec![node("y = CumProd(x)")]);
    let fallback = Options::default().with_fallback(runtime.clone());
    let text = judge(unknown(), None, &fallback);
    let start = format!("a.onnx is not verifiable in tract or {runtime}\n  node `y` (CumProd): tract does not");
    assert!(
        text.starts_with(&start) && text.contains(&format!("\n  {runtime}: it failed to load the model: ")),
        "{text}"
    );
    let random = || graph(&["x: f32[n]"], &["y: f32[n]"], vec![node("y = RandomNormalLike(x)")]);
    let text = judge(random(), None, &options);
    assert!(text.contains("node `y` (RandomNormalLike): its results are random"), "{text}");
    let text = judge(reference(2.0), None, &fallback);
    assert!(text.starts_with("runs in tract\n"), "{text}");
}

/// GroupQueryAttention divides by the size of the sequence: sizes of 0 would end the process.
#[test]
fn sizes_of_0_are_left_out_where_they_end_onnx_runtime() {
    let Some(runtime) = installed() else { return };
    let grouped = "y, keys, values = com.microsoft::GroupQueryAttention(x, x, x, , , before, seq)";
    let nodes = vec![
        node("shape = Shape(x)").int("start", 1).int("end", 2),
        node("seq = Cast(shape)").int("to", 6),
        node("less = Sub(shape, one)"),
        node("before = Cast(less)").int("to", 6),
        node(grouped).int("num_heads", 1).int("kv_num_heads", 1),
    ];
    let mut graph = graph(&["x: f32[1, seq, 8]"], &["y: f32[1, seq, 8]"], nodes);
    graph.initializer = vec![integers("one", &[1], &[1])];
    let model = file("grouped.onnx", graph);
    let options = Options::default().with_runtime(runtime);
    let judge = |options: &Options| verify_models(&model, None, options).expect("a verdict").to_string();
    let note = "\n  note: sizes of 0 are left out: GroupQueryAttention of ONNX Runtime divides by them";
    let text = judge(&options);
    assert!(text.starts_with("runs in ") && text.contains(note), "{text}");
    let text = judge(&options.with_dims([(netwright_ir::Symbol::new("seq"), netwright_ir::Dim::from(3))]));
    assert!(text.starts_with("runs in ") && !text.contains(note), "{text}");
}

/// Buffers for keys and values have room for the past and the new tokens, of which there is one: after a past,
/// GroupQueryAttention takes several only for a batch of one.
#[test]
fn shared_buffers_have_room_for_past_and_new_tokens() {
    let Some(runtime) = installed() else { return };
    let past = ["past_key: f32[batch, 1, max_length, 8]", "past_value: f32[batch, 1, max_length, 8]"];
    let outputs = ["y: f32[batch, seq, 8]", "key: f32[batch, 1, max_length, 8]", "value: f32[batch, 1, max_length, 8]"];
    let attention = "y, key, value = com.microsoft::GroupQueryAttention(x, x, x, past_key, past_value, before, total)";
    let model = |length: &str, of: Vec<NodeProto>| {
        let nodes = vec![
            node("x = Gather(table, input_ids)"),
            node("total = Cast(all)").int("to", 6),
            node("less = Sub(all, one)"),
            node("last = Cast(less)").int("to", 6),
            node("rows = Shape(input_ids)").int("end", 1),
            node("before = Expand(last, rows)"),
            node(attention).int("num_heads", 1).int("kv_num_heads", 1),
        ];
        let mut graph =
            graph(&[&["input_ids: i64[batch, seq]", length][..], &past].concat(), &outputs, [of, nodes].concat());
        let table: Vec<f32> = (0_u8..64).map(|at| f32::from(at) / 64.0).collect();
        graph.initializer = vec![integers("one", &[1], &[1]), floats("table", &[8, 8], &table)];
        file("shared.onnx", graph)
    };
    let of_mask = || vec![node("all = Shape(mask)").int("start", 1).int("end", 2)];
    let of_length =
        || vec![node("new = Shape(input_ids)").int("start", 1).int("end", 2), node("all = Add(past_length, new)")];
    for (length, of, expected) in [
        ("mask: i64[batch, past + seq]", of_mask(), "max_length = past + seq, seq = 1"),
        ("past_length: i64[1]", of_length(), "max_length = seq + 8, seq = 1"),
    ] {
        let model = model(length, of);
        let options = Options::default().with_runtime(runtime.clone());
        let text = verify_models(&model, None, &options).expect("a verdict").to_string();
        assert!(text.starts_with("runs in ") && text.contains(expected), "{text}");
        // The user's size counts.
        let options = options.with_dims([(netwright_ir::Symbol::new("max_length"), netwright_ir::Dim::from(100))]);
        let text = verify_models(&model, None, &options).expect("a verdict").to_string();
        assert!(text.starts_with("runs in ") && !text.contains("max_length = past"), "{text}");
    }
}

/// The f64 form of GroupQueryAttention is that of ONNX Runtime: what the same attention in other operators rounds
/// differently is rounding, and another scale is not.
#[test]
fn grouped_attention_has_an_f64_form() {
    let Some(runtime) = installed() else { return };
    let with = |nodes: Vec<NodeProto>| {
        let inputs = ["q: f32[1, seq, 16]", "k: f32[1, seq, 8]", "v: f32[1, seq, 8]"];
        let pasts =
            ["past_key: f32[1, 1, past, 8]", "past_value: f32[1, 1, past, 8]", "bias: f32[1, 1, seq, past + seq]"];
        let outputs = ["y: f32[1, seq, 16]", "key: f32[1, 1, past + seq, 8]", "value: f32[1, 1, past + seq, 8]"];
        let mut graph = graph(&[inputs, pasts].concat(), &outputs, nodes);
        graph.initializer = vec![integers("one", &[1], &[1])];
        file("a.onnx", graph)
    };
    let standard = node("y, key, value = Attention(q, k, v, bias, past_key, past_value)");
    let standard = standard.int("is_causal", 1).int("q_num_heads", 2).int("kv_num_heads", 1).float("scale", 0.35);
    let standard = with(vec![standard]);
    let grouped = |scale: f32| {
        let of = "q, k, v, past_key, past_value, before, total, , , , bias";
        let grouped = node(&format!("y, key, value = com.microsoft::GroupQueryAttention({of})"));
        with(vec![
            node("size = Shape(bias)").int("start", 3),
            node("total = Cast(size)").int("to", 6),
            node("less = Sub(size, one)"),
            node("before = Cast(less)").int("to", 6),
            grouped.int("num_heads", 2).int("kv_num_heads", 1).float("scale", scale),
        ])
    };
    // Below the rounding of f32, so that f64 decides.
    let options = Options::default().with_runtime(runtime).with_tolerance(1e-7);
    let judge = |other: &ModelFile| verify_models(&standard, Some(other), &options).expect("a verdict");
    let verdict = judge(&grouped(0.35));
    let Verdict::Equal { runs, .. } = &verdict else { panic!("{verdict}") };
    assert!(runs.iter().flat_map(|run| &run.outputs).any(|output| output.rounding.is_some()), "{verdict}");
    let verdict = judge(&grouped(0.350_003));
    assert!(matches!(verdict, Verdict::Differs { .. }), "{verdict}");
}

#[test]
fn levels_take_effect() {
    let Some(Runtime::Ort(runtime)) = installed() else { return };
    for level in [OrtLevel::Disable, OrtLevel::Basic, OrtLevel::Extended, OrtLevel::All] {
        let runtime = Runtime::Ort(runtime.clone().with_level(level));
        let session = Session::new_in(&file("a.onnx", reference(2.0)), &runtime).expect("it loads");
        let x = Array::new([1, 2], vec![0.0_f32, 100.0]).expect("as many");
        let y = session.run(&[("x", &x)]).expect("it runs").remove(0).1;
        assert_eq!(y.values::<f32>(), Some(&[0.0, 200.0][..]), "{level:?}");
        assert!(session.time(&[("x", &x)]).expect("it runs").as_secs() < 60);
    }
}

/// Operators that are replaced for tract must compute what ONNX Runtime computes.
#[test]
fn replacements_for_tract_equal_onnx_runtime() {
    let Some(runtime) = installed() else { return };
    let inputs = [
        "q: f32[batch, seq, 16]",
        "k: f32[batch, seq, 8]",
        "memory: f32[batch, source, 8]",
        "past: f32[batch, 2, before, 4]",
        "other_past: f32[batch, 2, before, 4]",
        "q4: f32[batch, 4, seq, 4]",
        "k4: f32[batch, 2, seq, 4]",
        "add: f32[seq, seq]",
        "mask: bool[batch, 1, seq, seq]",
        "tokens: i64[batch, seq]",
        "x: f32[batch, 2, seq, 8]",
        "rows: f32[batch, seq, 16]",
    ];
    let merged = |text| node(text).int("q_num_heads", 4).int("kv_num_heads", 2);
    let rotary = |text: &str| node(&format!("y = com.microsoft::RotaryEmbedding({text})"));
    let cases: Vec<(&str, Vec<NodeProto>)> = vec![
        ("causal past", vec![merged("y, b, c = Attention(q, k, k, , past, other_past)").int("is_causal", 1)]),
        ("present", vec![merged("a, b, y = Attention(q, k, k, , past, other_past)").int("is_causal", 1)]),
        ("other lengths", vec![merged("y = Attention(q, memory, memory)").int("is_causal", 1)]),
        ("bool mask", vec![merged("y = Attention(q, k, k, mask)").float("scale", 0.3)]),
        ("four axes", vec![node("y = Attention(q4, k4, k4, mask)")]),
        ("mask and causal", vec![merged("y = Attention(q, k, k, mask)").int("is_causal", 1)]),
        ("a mask that is added", vec![merged("y = Attention(q, k, k, add)")]),
        ("rotary from the start", vec![rotary("x, start, cos, sin")]),
        ("rotary from a place", vec![rotary("x, third, cos, sin").int("interleaved", 1)]),
        ("rotary of tokens", vec![rotary("rows, tokens, cos, sin").int("num_heads", 2)]),
        ("rotary of half", vec![rotary("rows, third, short, sine").int("num_heads", 2).int("rotary_embedding_dim", 4)]),
        ("transposed", vec![node("y = com.microsoft::FusedMatMul(x, x)").int("transB", 1).float("alpha", 0.5)]),
        ("both", vec![node("y = com.microsoft::FusedMatMul(x, x)").int("transA", 1)]),
        ("parts", vec![node("s = SplitToSequence(q, five)").int("axis", 2), node("y = SequenceAt(s, three)")]),
        ("sizes", vec![node("s = SplitToSequence(q, sizes)").int("axis", -1), node("y = SequenceAt(s, one)")]),
        ("sums", vec![node("y = CumSum(tokens, one)")]),
    ];
    for (what, nodes) in cases {
        let operands: Vec<String> = nodes.iter().flat_map(|node| node.input.clone()).collect();
        let used: Vec<&str> = inputs
            .into_iter()
            .filter(|input| operands.iter().any(|name| input.starts_with(&format!("{name}: "))))
            .collect();
        let mut graph = graph(&used, &["y"], nodes);
        let table = |from: f32, size: usize| (0..40 * size).map(|at| (from + at as f32).sin()).collect::<Vec<_>>();
        graph.initializer = vec![
            integers("start", &[1], &[0]),
            integers("third", &[1], &[3]),
            integers("five", &[], &[5]),
            integers("three", &[], &[3]),
            integers("sizes", &[2], &[10, 6]),
            integers("one", &[], &[1]),
            floats("cos", &[40, 4], &table(0.5, 4)),
            floats("sin", &[40, 4], &table(1.5, 4)),
            floats("short", &[40, 2], &table(2.5, 2)),
            floats("sine", &[40, 2], &table(3.5, 2)),
        ];
        let model = file(what, graph);
        let [tract, ort] = [&Runtime::Tract, &runtime]
            .map(|runtime| Session::new_in(&model, runtime).unwrap_or_else(|error| panic!("{what}: {error}")));
        for seed in 0..2 {
            let sizes = [("batch", 2), ("seq", 5), ("source", 7), ("before", 3)];
            let sizes = sizes.map(|(name, size)| (netwright_ir::Symbol::new(name), size)).into();
            let inputs =
                netwright_verify::inputs(&model, &sizes, seed).unwrap_or_else(|error| panic!("{what}: {error}"));
            let inputs: Vec<_> = inputs.iter().map(|(name, array)| (name.as_str(), array)).collect();
            let [a, b] =
                [&tract, &ort].map(|session| session.run(&inputs).unwrap_or_else(|error| panic!("{what}: {error}")));
            for comparison in netwright_verify::compare(&a, &b, 1e-5) {
                assert!(comparison.difference.is_none(), "{what}: {comparison}");
            }
        }
    }
}
