//! Differences that only some inputs and sizes show are found; rounding is not reported as a difference.

mod models;

use models::{With, bytes, floats, graph, integers, model, node};
use netwright_verify::{ModelFile, Options, Verdict, verify_models};
use tract_onnx::pb::{GraphProto, TensorProto};

fn judge(a: &GraphProto, b: &GraphProto, long: bool) -> Verdict {
    let file = |name: &str, graph: &GraphProto| {
        ModelFile::from_bytes(name, &bytes(&model(graph.clone()))).unwrap_or_else(|error| panic!("{error}"))
    };
    let options = Options::default().with_long(long);
    verify_models(&file("a.onnx", a), Some(&file("b.onnx", b)), &options).unwrap_or_else(|error| panic!("{error}"))
}

/// A graph of nodes in the notation of [`node`], with constants.
fn with(
    inputs: &[&str],
    outputs: &[&str],
    nodes: Vec<tract_onnx::pb::NodeProto>,
    constants: &[TensorProto],
) -> GraphProto {
    GraphProto { initializer: constants.to_vec(), ..graph(inputs, outputs, nodes) }
}

const X: &[&str] = &["x: f32[batch, seq]"];
const Y: &[&str] = &["y: f32[batch, seq]"];

#[test]
fn values_beyond_the_usual_range() {
    let scalar = |name: &str, value: f32| floats(name, &[], &[value]);
    let (zero, six) = (scalar("zero", 0.0), scalar("six", 6.0));
    let relu = with(X, Y, vec![node("y = Relu(x)")], &[]);
    let cases = [
        ("a clip at 6", relu.clone(), with(X, Y, vec![node("y = Clip(x, zero, six)")], &[zero.clone(), six])),
        (
            "another slope below -1.5",
            with(X, Y, vec![node("y = Identity(x)")], &[]),
            with(
                X,
                Y,
                vec![node("is_low = Less(x, edge)"), node("low = Mul(x, half)"), node("y = Where(is_low, low, x)")],
                &[scalar("edge", -1.5), scalar("half", 0.5)],
            ),
        ),
        (
            "an exponential that overflows",
            with(X, Y, vec![node("y = Softmax(x)").int("axis", -1)], &[]),
            with(
                X,
                Y,
                vec![node("e = Exp(x)"), node("s = ReduceSum(e, axes)"), node("y = Div(e, s)")],
                &[integers("axes", &[1], &[-1])],
            ),
        ),
        (
            "the sign of 0",
            with(X, Y, vec![node("y = Sign(x)")], &[]),
            with(
                X,
                Y,
                vec![node("is_low = Less(x, zero)"), node("y = Where(is_low, minus, one)")],
                &[zero.clone(), scalar("one", 1.0), scalar("minus", -1.0)],
            ),
        ),
        (
            "halves that are rounded up",
            with(X, Y, vec![node("y = Round(x)")], &[]),
            with(X, Y, vec![node("more = Add(x, half)"), node("y = Floor(more)")], &[scalar("half", 0.5)]),
        ),
        (
            "a divisor of at least 1e-5",
            with(
                X,
                Y,
                vec![node("a = Abs(x)"), node("d = Max(a, least)"), node("y = Div(x, d)")],
                &[scalar("least", 1e-3)],
            ),
            with(
                X,
                Y,
                vec![node("a = Abs(x)"), node("d = Max(a, least)"), node("y = Div(x, d)")],
                &[scalar("least", 1e-5)],
            ),
        ),
        (
            "an edge that only the second model has",
            relu.clone(),
            with(X, Y, vec![node("y = Clip(x, zero, most)")], &[zero.clone(), scalar("most", 990.0)]),
        ),
        (
            "the edge of an activation",
            with(X, Y, vec![node("y = ThresholdedRelu(x)").float("alpha", 0.3)], &[]),
            with(
                X,
                Y,
                vec![node("is_more = GreaterOrEqual(x, edge)"), node("y = Where(is_more, x, zero)")],
                &[scalar("edge", 0.3), zero.clone()],
            ),
        ),
        (
            "outputs of 1e-12",
            with(X, Y, vec![node("y = Mul(x, c)")], &[scalar("c", 1e-12)]),
            with(X, Y, vec![node("y = Mul(x, c)")], &[scalar("c", 1.01e-12)]),
        ),
    ];
    for (name, a, b) in cases {
        let verdict = judge(&a, &b, false);
        assert!(matches!(verdict, Verdict::Differs { .. }), "{name}: {verdict}");
        let same = judge(&a, &a, false);
        assert!(matches!(same, Verdict::Equal { .. }), "{name}: {same}");
    }
}

/// Returns `y = x`, and a model that adds 1 if a size of an input satisfies a condition.
fn more_where(inputs: &[&str], of: &str, axis: i64, operator: &str, size: i64) -> [GraphProto; 2] {
    let shared = if inputs.len() > 1 { "x = Concat(past, new)" } else { "x = Identity(new)" };
    let shared = node(shared).int("axis", 1);
    let shared = if inputs.len() > 1 { shared } else { node("x = Identity(new)") };
    let outputs = ["y: f32[batch, all]"];
    let plain = with(inputs, &outputs, vec![shared.clone(), node("y = Identity(x)")], &[]);
    let nodes = vec![
        shared,
        node(&format!("shape = Shape({of})")),
        node("size = Gather(shape, axis)").int("axis", 0),
        node(&format!("is_so = {operator}(size, bound)")),
        node("more = Cast(is_so)").int("to", 1),
        node("y = Add(x, more)"),
    ];
    let constants = [integers("axis", &[], &[axis]), integers("bound", &[], &[size])];
    [plain, with(inputs, &outputs, nodes, &constants)]
}

#[test]
fn sizes_that_few_runs_have() {
    let (one, two) = (&["new: f32[batch, seq]"][..], &["past: f32[batch, past_length]", "new: f32[batch, seq]"][..]);
    let other = &["past: f32[batch, p]", "new: f32[batch, seq]"][..];
    for (name, inputs, of, axis, operator, size, long) in [
        ("a batch of 8", one, "new", 0, "GreaterOrEqual", 8, false),
        ("a length of 130", one, "new", 1, "Greater", 128, false),
        ("a length of 1", one, "new", 1, "Less", 2, false),
        ("a past of length 0", two, "past", 1, "Less", 1, false),
        ("a past of length 0 with another name", other, "past", 1, "Less", 1, false),
        ("a past above 100", two, "past", 1, "Greater", 100, false),
        ("a length of 512", one, "new", 1, "GreaterOrEqual", 512, true),
    ] {
        let [a, b] = more_where(inputs, of, axis, operator, size);
        let verdict = judge(&a, &b, long);
        assert!(matches!(verdict, Verdict::Differs { .. }), "{name}: {verdict}");
        let same = judge(&a, &a, long);
        assert!(matches!(same, Verdict::Equal { .. }), "{name}: {same}");
    }
}

/// A model whose table has too few rows for the longest run is tried with shorter ones.
#[test]
fn lengths_that_a_model_refuses() {
    let of = |rows: i64, bound: i64| {
        let nodes = vec![
            node("shape = Shape(x)"),
            node("size = Gather(shape, one)").int("axis", 0),
            node("positions = Range(zero, size, one)"),
            node("rows = Gather(table, positions)"),
            node("is_long = GreaterOrEqual(size, bound)"),
            node("more = Cast(is_long)").int("to", 1),
            node("sum = Add(x, rows)"),
            node("y = Add(sum, more)"),
        ];
        let table: Vec<f32> = (0..rows).map(|row| row as f32).collect();
        let constants =
            [("zero", 0), ("one", 1), ("bound", bound)].map(|(name, number)| integers(name, &[], &[number]));
        with(X, Y, nodes, &[&constants[..], &[floats("table", &[rows], &table)]].concat())
    };
    for (rows, bound) in [(1000, 129), (100, 64), (40, 29), (50, 50), (77, 77), (33, 33)] {
        let verdict = judge(&of(rows, 1000), &of(rows, bound), false);
        assert!(matches!(verdict, Verdict::Differs { .. }), "{rows}: {verdict}");
    }
}

/// Models without a length run with all ranges of values.
#[test]
fn epsilons_of_norms() {
    let io = (&["x: f32[batch, 8]"][..], &["y: f32[batch, 8]"][..]);
    let norm = |epsilon: f32| {
        let node = node("y = LayerNormalization(x, scale)").int("axis", -1).float("epsilon", epsilon);
        with(io.0, io.1, vec![node], &[floats("scale", &[8], &[1.0; 8])])
    };
    for (a, b) in [(1e-5, 1e-6), (1e-5, 1.1e-5), (1e-12, 1e-8), (1e-12, 1e-10)] {
        let verdict = judge(&norm(a), &norm(b), false);
        assert!(matches!(verdict, Verdict::Differs { .. }), "{a} {b}: {verdict}");
    }
    let steps = [
        "mean = ReduceMean(x, last)",
        "moved = Sub(x, mean)",
        "squares = Mul(moved, moved)",
        "variance = ReduceMean(squares, last)",
        "more = Add(variance, epsilon)",
        "deviation = Sqrt(more)",
        "y = Div(moved, deviation)",
    ];
    let constants = [floats("epsilon", &[], &[1e-12]), integers("last", &[1], &[-1])];
    let verdict = judge(&norm(1e-12), &with(io.0, io.1, steps.map(node).into(), &constants), false);
    assert!(matches!(verdict, Verdict::Equal { .. }), "{verdict}");
}

/// Returns a softmax of scores that are masked by addition or by selection.
fn masked(fill: f32, is_added: bool) -> GraphProto {
    let inputs = ["scores: f32[batch, seq, seq]", "attention_mask: i64[batch, seq]"];
    let mut nodes = vec![
        node("row = Unsqueeze(attention_mask, middle)"),
        node("kept = Cast(row)").int("to", 1),
        node("hidden = Sub(one, kept)"),
    ];
    if is_added {
        nodes.extend([node("bias = Mul(hidden, fill)"), node("sum = Add(scores, bias)")]);
    } else {
        nodes.extend([node("is_hidden = Cast(hidden)").int("to", 9), node("sum = Where(is_hidden, fill, scores)")]);
    }
    nodes.push(node("y = Softmax(sum)").int("axis", -1));
    let constants = [integers("middle", &[1], &[1]), floats("one", &[], &[1.0]), floats("fill", &[], &[fill])];
    with(&inputs, &["y: f32[batch, seq, seq]"], nodes, &constants)
}

#[test]
fn masks_of_every_kind() {
    for (name, a, b) in [
        ("a fill that does not hide", masked(f32::MIN, true), masked(-5.0, true)),
        (
            "rows that are masked as a whole: -1e9 absorbs the scores, -50 does not",
            masked(-1e9, true),
            masked(-50.0, true),
        ),
        ("rows that are masked as a whole: replaced or added", masked(-1e4, false), masked(-1e4, true)),
    ] {
        let verdict = judge(&a, &b, false);
        assert!(matches!(verdict, Verdict::Differs { .. }), "{name}: {verdict}");
    }
    let same = judge(&masked(f32::MIN, true), &masked(f32::MIN, false), false);
    assert!(matches!(same, Verdict::Equal { .. }), "{same}");
}

/// The conversion of a model to `f16` need not round the scores of a row that a constant hides; that of a row of padding
/// may.
#[test]
fn rows_that_a_constant_hides_in_f16() {
    let inputs = ["scores: f32[batch, seq, seq]", "attention_mask: i64[batch, 1, seq]"];
    let model = |mask: &str, is_narrow: bool| {
        let mut nodes = vec![
            node("padding = Cast(attention_mask)").int("to", 1),
            node("zero = Sub(padding, padding)"),
            node("given = Mul(padding, hidden)"),
        ];
        if is_narrow {
            let casts = [format!("mask16 = Cast({mask})"), "scores16 = Cast(scores)".to_owned()];
            nodes.extend(casts.iter().map(|text| node(text).int("to", 10)));
            nodes.extend([node("sum = Add(scores16, mask16)"), node("p = Softmax(sum)").int("axis", -1)]);
        } else {
            nodes.extend([node(&format!("sum = Add(scores, {mask})")), node("p = Softmax(sum)").int("axis", -1)]);
        }
        nodes.extend([node("wide = Cast(p)").int("to", 1), node("y = Add(wide, zero)")]);
        with(&inputs, &["y: f32[batch, seq, seq]"], nodes, &[floats("hidden", &[1], &[-1e4])])
    };
    let verdict = judge(&model("hidden", false), &model("hidden", true), false);
    assert!(matches!(verdict, Verdict::Differs { .. }), "{verdict}");
    let verdict = judge(&model("given", false), &model("given", true), false);
    assert!(matches!(verdict, Verdict::Equal { .. }), "{verdict}");
}

/// tract computes these wrongly while sizes are symbolic, but not for `i32`.
#[test]
fn arithmetic_on_sizes() {
    let constants = [("two", 2), ("seven", 7)].map(|(name, number)| integers(name, &[1], &[number]));
    let of = |is_narrow: bool, nodes: &[&str]| {
        let mut all = vec![node("size = Shape(x)").int("start", 1).int("end", 2)];
        let nodes = nodes.iter().map(|text| {
            if is_narrow {
                text.replace("size", "size.i32").replace("two", "two.i32").replace("seven", "seven.i32")
            } else {
                (*text).to_owned()
            }
        });
        if is_narrow {
            all.extend(["size", "two", "seven"].map(|name| node(&format!("{name}.i32 = Cast({name})")).int("to", 6)));
        }
        all.extend(nodes.map(|text| node(&text)));
        all.push(node("y = Cast(found)").int("to", 1));
        with(X, &["y: f32[1]"], all, &constants)
    };
    for (name, nodes) in [
        ("a size of 2", &["found = Equal(size, two)"][..]),
        ("half of a negative number", &["less = Sub(size, seven)", "found = Div(less, two)"]),
    ] {
        let verdict = judge(&of(false, nodes), &of(true, nodes), false);
        assert!(matches!(verdict, Verdict::Equal { .. }), "{name}: {verdict}");
    }
}

#[test]
fn integers_that_are_only_computed_with() {
    let of = |nodes: &[&str]| {
        let constants = [integers("thousand", &[], &[1000]), integers("zero", &[], &[0])];
        let nodes = nodes.iter().map(|text| node(text)).collect();
        with(&["i: i64[batch, seq]"], &["y: i64[batch, seq]"], nodes, &constants)
    };
    let same = of(&["y = Identity(i)"]);
    for (name, nodes) in [
        ("integers below 0", &["y = Abs(i)"][..]),
        ("integers of 1000 and more", &["y = Mod(i, thousand)"]),
        ("a comparison", &["is_less = Less(i, zero)", "y = Where(is_less, zero, i)"]),
        (
            "a number that only the second model compares with",
            &["is_it = Equal(i, thousand)", "y = Where(is_it, zero, i)"],
        ),
    ] {
        let verdict = judge(&same, &of(nodes), false);
        assert!(matches!(verdict, Verdict::Differs { .. }), "{name}: {verdict}");
    }
    // No float is computed, so nothing is rounded.
    let sum =
        |nodes| with(&["i: i64[batch, seq]"], &["y: i64[batch, seq]"], nodes, &[integers("large", &[], &[1 << 24])]);
    let in_floats = sum(vec![
        node("f = Cast(i)").int("to", F32),
        node("large/f = Cast(large)").int("to", F32),
        node("sum = Add(f, large/f)"),
        node("y = Cast(sum)").int("to", 7),
    ]);
    let verdict = judge(&sum(vec![node("y = Add(i, large)")]), &in_floats, false);
    assert!(matches!(verdict, Verdict::Differs { .. }), "{verdict}");
    // A size below 0 is not valid.
    let sized = with(
        &["i: i64[rank]", "x: f32[n]"],
        &["y"],
        vec![node("shape = Abs(i)"), node("y = Expand(x, i)"), node("z = Identity(shape)")],
        &[],
    );
    assert!(!matches!(judge(&sized, &sized, false), Verdict::Fails { .. }));
}

/// The largest element occurs twice in some row.
#[test]
fn ties() {
    let of = |last: i64| {
        let node = node("y = ArgMax(x)").int("axis", 1).int("select_last_index", last);
        with(X, &["y: i64[batch, 1]"], vec![node], &[])
    };
    let verdict = judge(&of(0), &of(1), false);
    assert!(matches!(verdict, Verdict::Differs { .. }), "{verdict}");
}

#[test]
fn every_id_of_a_table_is_looked_up() {
    let table = |changed: usize| {
        let mut values: Vec<f32> = (0..100).map(|value| value as f32 / 10.0).collect();
        values[changed] += 1.0;
        floats("table", &[100], &values)
    };
    let inputs = ["input_ids: i32[batch, seq]"];
    let nodes = vec![
        node("wide = Cast(input_ids)").int("to", 7),
        node("flat = Reshape(wide, all)"),
        node("y = Gather(table, flat)"),
    ];
    let of = |changed| with(&inputs, &["y: f32[ids]"], nodes.clone(), &[table(changed), integers("all", &[1], &[-1])]);
    for changed in [0, 1, 50, 98] {
        let verdict = judge(&of(99), &of(changed), false);
        assert!(matches!(verdict, Verdict::Differs { .. }), "{changed}: {verdict}");
    }
}

/// A row of 5000 that differs is looked up however the table is stored and the ids are computed.
#[test]
fn a_row_of_a_large_table_is_looked_up() {
    let rows = |changed: Option<usize>| -> Vec<f32> {
        (0..5000_u16).map(|row| f32::from(row % 97) + f32::from(changed == Some(row.into()))).collect()
    };
    let of = |nodes: &[(&str, &str, i64)], table: TensorProto| {
        let nodes = nodes
            .iter()
            .map(|(text, name, value)| if name.is_empty() { node(text) } else { node(text).int(name, *value) });
        with(&["ids: i64[batch, seq]"], &["y"], nodes.collect(), &[table, integers("two", &[], &[2])])
    };
    let column = [("y = Gather(table, ids)", "axis", -1)];
    let moved = [("more = Add(ids, two)", "", 0), ("y = Gather(table, more)", "", 0)];
    let transposed = [("rows = Transpose(table)", "", 0), ("y = Gather(rows, ids)", "", 0)];
    let wide = [("found = Gather(table, ids)", "", 0), ("y = Cast(found)", "to", F32)];
    let narrow = |changed| {
        let half = |value: f32| half::f16::from_f32(value).to_le_bytes();
        TensorProto {
            data_type: 10,
            raw_data: rows(changed).into_iter().flat_map(half).collect(),
            ..floats("table", &[5000, 1], &[])
        }
    };
    let table = |dims: &[i64], changed| floats("table", dims, &rows(changed));
    for (name, a, b) in [
        ("a column", of(&column, table(&[1, 5000], None)), of(&column, table(&[1, 5000], Some(4321)))),
        ("an offset", of(&moved, table(&[5000, 1], None)), of(&moved, table(&[5000, 1], Some(4321)))),
        (
            "a transposed table",
            transposed_rows(of(&transposed, table(&[1, 5000], None))),
            transposed_rows(of(&transposed, table(&[1, 5000], Some(4321)))),
        ),
        ("f32 and f16", of(&wide, table(&[5000, 1], None)), of(&wide, narrow(Some(4321)))),
    ] {
        let verdict = judge(&a, &b, false);
        assert!(matches!(verdict, Verdict::Differs { .. }), "{name}: {verdict}");
    }
    // All ids of a table that is computed from constants.
    let joined = |changed: f32| {
        let nodes = vec![
            node("table = Concat(first, second)").int("axis", 0),
            node("scaled = Mul(table, scale)"),
            node("y = Gather(scaled, ids)"),
        ];
        let constants = [
            floats("first", &[30], &[1.0; 30]),
            floats("second", &[2], &[2.0, changed]),
            floats("scale", &[1], &[3.0]),
        ];
        with(&["ids: i64[batch, seq]"], &["y: f32[batch, seq]"], nodes, &constants)
    };
    let verdict = judge(&joined(4.0), &joined(5.0), false);
    assert!(matches!(verdict, Verdict::Differs { .. }), "{verdict}");
}

fn transposed_rows(mut graph: GraphProto) -> GraphProto {
    graph.node[0].attribute.push(models::ints("perm", &[1, 0]));
    graph
}

#[test]
fn rounding_is_not_a_difference() {
    // (x A) B and x (A B), with values near 1000 that nearly cancel out.
    let size = 8_usize;
    let a: Vec<f32> = (0..64_u16).map(|at| 1000.0 + f32::from(at * 37 % 64) / 7.0).collect();
    let b: Vec<f32> = (0..64_u16).map(|at| if at % 2 == 0 { 1000.3 } else { -1000.1 } + f32::from(at) / 9.0).collect();
    let mut product = vec![0.0_f32; 64];
    for (at, value) in product.iter_mut().enumerate() {
        let (row, column) = (at / size, at % size);
        let sum: f64 = (0..size).map(|k| f64::from(a[row * size + k]) * f64::from(b[k * size + column])).sum();
        #[expect(clippy::cast_possible_truncation, reason = "weights are f32")]
        let rounded = sum as f32;
        *value = rounded;
    }
    let io = (&["x: f32[batch, 8]"][..], &["y: f32[batch, 8]"][..]);
    let [a, b, product] = [("a", a), ("b", b), ("ab", product)].map(|(name, values)| floats(name, &[8, 8], &values));
    let twice = with(io.0, io.1, vec![node("t = MatMul(x, a)"), node("y = MatMul(t, b)")], &[a, b]);
    let once = with(io.0, io.1, vec![node("y = MatMul(x, ab)")], &[product]);
    let verdict = judge(&twice, &once, false);
    assert!(matches!(verdict, Verdict::Equal { .. }), "{verdict}");

    // Large numbers that cancel out leave only rounding, which the run in f64 shows.
    let sum = |order: [&str; 2]| {
        let nodes = vec![node(order[0]), node(order[1])];
        with(X, Y, nodes, &[floats("c", &[], &[4096.0]), floats("m", &[], &[-4096.0])])
    };
    let verdict =
        judge(&sum(["t = Add(x, c)", "y = Add(t, m)"]), &with(X, Y, vec![node("y = Identity(x)")], &[]), false);
    let Verdict::Equal { runs, .. } = &verdict else { panic!("{verdict}") };
    let rounding = runs.iter().flat_map(|run| &run.outputs).find_map(|output| output.rounding).expect("f64 was asked");
    assert!(rounding.observed > 1e-4 && rounding.twins < 1e-11, "{verdict}");
    assert!(verdict.to_string().contains("; rounding: the error is "), "{verdict}");
}

/// Element types by their numbers.
const F32: i64 = 1;
const F16: i64 = 10;

/// Returns a graph whose f32 operand `x` is cast to a type; the nodes compute `result` in it, and may also read the
/// constants.
fn in_type(
    ty: i64,
    inputs: &[&str],
    output: &str,
    nodes: &[&str],
    result: &str,
    constants: &[(&str, f32)],
) -> GraphProto {
    let mut all = vec![node("typed = Cast(x)").int("to", ty)];
    let names: Vec<String> = constants.iter().map(|(name, _)| format!("{name}/f32")).collect();
    all.extend(
        constants.iter().zip(&names).map(|((name, _), wide)| node(&format!("{name} = Cast({wide})")).int("to", ty)),
    );
    all.extend(nodes.iter().map(|text| node(text)));
    all.push(node(&format!("y = Cast({result})")).int("to", F32));
    let mut constants: Vec<TensorProto> =
        constants.iter().zip(&names).map(|((_, value), name)| floats(name, &[], &[*value])).collect();
    constants.push(integers("middle", &[1], &[1]));
    with(inputs, &[output], all, &constants)
}

#[test]
fn rounding_in_f16_is_what_noise_explains() {
    // The scores of a row that is masked as a whole keep their digits in f32 and lose them in f16.
    let masked = |ty| {
        let nodes = [
            "row = Unsqueeze(attention_mask, middle)",
            "kept = CastLike(row, typed)",
            "hidden = Sub(one, kept)",
            "bias = Mul(hidden, fill)",
            "scores = Mul(typed, eight)",
            "sum = Add(scores, bias)",
            "weights = Softmax(sum)",
        ];
        let inputs = ["x: f32[batch, seq, seq]", "attention_mask: i64[batch, seq]"];
        let constants = [("one", 1.0), ("fill", -65504.0), ("eight", 8.0)];
        in_type(ty, &inputs, "y: f32[batch, seq, seq]", &nodes, "weights", &constants)
    };
    let noise = |verdict: &Verdict| {
        let Verdict::Equal { runs, .. } = verdict else { panic!("{verdict}") };
        runs.iter()
            .flat_map(|run| &run.outputs)
            .any(|output| output.rounding.is_some_and(|found| found.noise.is_some()))
    };
    for (a, b) in [(masked(F32), masked(F16)), (masked(F16), masked(F32))] {
        let verdict = judge(&a, &b, false);
        assert!(noise(&verdict), "{verdict}");
        let text = format!("{verdict:#}");
        assert!(text.contains("; noise in the last bits of the narrowest type has an effect of "), "{text}");
        assert!(text.contains(" rows that a mask hides"), "{text}");
        // The element that is shown is not one of rows that are set apart.
        let Verdict::Equal { runs, .. } = &verdict else { panic!("{verdict}") };
        let apart = runs.iter().flat_map(|run| &run.outputs);
        let apart = apart.filter_map(|output| Some((output, output.rounding?.other_rows?))).collect::<Vec<_>>();
        assert!(!apart.is_empty(), "{text}");
        for (output, error) in apart {
            let text = output.to_string();
            assert_eq!(output.worst.as_ref().and_then(|worst| worst.error), Some(error), "{text}");
            assert!(text.contains("; rounding: the error of rows that a mask hides is "), "{text}");
            assert!(text.contains("; the error outside the rows that masks hide is "), "{text}");
        }
    }

    // A weight that is stored in f16, in a difference that leaves few of its digits.
    let weight = |ty, value| {
        in_type(ty, X, Y[0], &["product = Mul(typed, w)", "moved = Sub(product, typed)"], "moved", &[("w", value)])
    };
    let verdict = judge(&weight(F32, 1.0103), &weight(F16, 1.010_742_2), false);
    assert!(noise(&verdict) && verdict.to_string().starts_with("equal in tract up to rounding: "), "{verdict}");
    assert!(verdict.to_string().contains(" with weights rounded to the narrowest type; noise in the last bits "));
    let verdict = judge(&weight(F32, 1.0103), &weight(F16, 1.011_718_8), false);
    assert!(matches!(verdict, Verdict::Differs { .. }), "another weight: {verdict}");

    // A sum that loses the digits of x, in the second model only.
    let sum = |nodes: &[&str]| in_type(F16, X, Y[0], nodes, "moved", &[("two", 2.0), ("large", 4096.0)]);
    let plain = sum(&["more = Add(typed, two)", "moved = Sub(more, two)"]);
    let coarse =
        ["more = Add(typed, two)", "far = Add(more, large)", "near = Sub(far, large)", "moved = Sub(near, two)"];
    let verdict = judge(&plain, &sum(&coarse), false);
    assert!(matches!(verdict, Verdict::Differs { .. }), "{verdict}");
}

#[test]
fn tract_runs_a_gemm_in_f16() {
    let product = |nodes: Vec<tract_onnx::pb::NodeProto>| {
        let mut all = vec![];
        for name in ["x", "w", "c"] {
            all.push(node(&format!("{name}/f16 = Cast({name})")).int("to", F16));
        }
        all.extend(nodes);
        all.push(node("y = Cast(sum)").int("to", F32));
        let matrix: Vec<f32> = (0..12).map(|at| at as f32 / 8.0 - 0.5).collect();
        let constants = [
            floats("w", &[3, 4], &matrix),
            floats("c", &[3], &[1.0, 2.0, 3.0]),
            floats("two", &[], &[2.0]),
            floats("half", &[], &[0.5]),
        ];
        with(&["x: f32[batch, 4]"], &["y: f32[batch, 3]"], all, &constants)
    };
    let gemm = |beta| node("sum = Gemm(x/f16, w/f16, c/f16)").int("transB", 1).float("alpha", 2.0).float("beta", beta);
    let apart = [
        "turned = Transpose(w/f16)",
        "product = MatMul(x/f16, turned)",
        "two/f16 = CastLike(two, product)",
        "half/f16 = CastLike(half, product)",
        "twice = Mul(product, two/f16)",
        "part = Mul(c/f16, half/f16)",
        "sum = Add(twice, part)",
    ];
    let apart = product(apart.map(node).into());
    let verdict = judge(&product(vec![gemm(0.5)]), &apart, false);
    assert!(matches!(verdict, Verdict::Equal { .. }), "{verdict}");
    let verdict = judge(&product(vec![gemm(1.0)]), &apart, false);
    assert!(matches!(verdict, Verdict::Differs { .. }), "{verdict}");
}
