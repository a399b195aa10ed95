//! Each invariant of the checker, violated on purpose; inference, by text; and the functions that edit a graph.

use netwright_ir::files::Folder;
use netwright_ir::{
    Detail, ElementType, Graph, Op, Place, Tensor, TensorType, Value, check, parse, parse_with_files, shape,
};

/// The depth to which types and recipes nest.
const MAX_DEPTH: usize = 32;

fn graph(body: &str) -> Graph {
    let text = format!("g(%x: f32[batch, seq, 8], %ids: i64[batch, seq]) {{\n{body}\n}}");
    parse(&text).unwrap_or_else(|error| panic!("{error} in\n{text}"))
}

fn violated(graph: &Graph) -> Vec<u8> {
    check(graph)
        .map_or_else(|violations| violations.0.iter().map(|violation| violation.invariant).collect(), |()| vec![])
}

fn value(graph: &Graph, name: &str) -> Value {
    let mut values = graph.schedule().into_iter().flat_map(|id| graph.results(id));
    values.find(|value| **graph.value_name(*value) == *name).unwrap_or_else(|| panic!("%{name} is not there"))
}

#[test]
fn c1_operands_are_results_that_exist() {
    let mut graph = graph("%a = relu %x : f32[batch, seq, 8]\n return %a");
    let a = value(&graph, "a");
    let place = Place { label: "".into(), results: ["b".into()].into_iter().collect(), order: None };
    let error = graph.insert(place, Op::Relu, &[Some(Value { result: 7, ..a })]).expect_err("there is one result");
    assert_eq!(error.to_string(), "relu: operand 0 is not a value of this graph");
}

#[test]
fn c2_no_node_depends_on_itself() {
    let mut graph = graph("%a = relu %x : f32[batch, seq, 8]\n %b = exp %a : f32[batch, seq, 8]\n return %b");
    let (a, b) = (value(&graph, "a"), value(&graph, "b"));
    graph.replace(a, b);
    graph.sweep();
    assert!(violated(&graph).contains(&2), "{:?}", violated(&graph));
}

#[test]
fn c3_operators_are_defined_on_their_operands() {
    let mut graph = graph("%a = matmul %x, f32[8, 8] fill(0.0) : f32[batch, seq, 8]\n return %a");
    let x = value(&graph, "x");
    graph.set_fact(x, netwright_ir::Fact::tensor(ElementType::F32, shape!["batch", "seq", 9]));
    assert_eq!(violated(&graph), [3]);
}

#[test]
fn c4_recorded_types_do_not_contradict() {
    let mut graph = graph("%a = relu %x : f32[batch, seq, 8]\n return %a");
    let a = value(&graph, "a");
    graph.set_fact(a, netwright_ir::Fact::tensor(ElementType::F16, shape!["batch", "seq", 8]));
    assert_eq!(violated(&graph), [4]);
}

#[test]
fn c6_outputs_have_names_of_their_own() {
    let mut twice = graph("%a = relu %x : f32[batch, seq, 8]\n return %a");
    let (x, a) = (value(&twice, "x"), value(&twice, "a"));
    twice.output("a", a);
    assert_eq!(violated(&twice), []);
    twice.output("a", x);
    assert_eq!(violated(&twice), [6]);
    let mut input = graph("%a = relu %x : f32[batch, seq, 8]\n return %a");
    let a = value(&input, "a");
    input.output("x", a);
    assert_eq!(violated(&input), [6]);
}

/// Names (C5) and counts (C7) cannot be violated from outside; edits keep them valid.
#[test]
fn c5_and_c7_hold_through_edits() {
    let mut graph = graph(
        "%a = mul %x, %x : f32[batch, seq, 8]\n %b = add %a, %a : f32[batch, seq, 8]\n \
         %c = exp %a : f32[batch, seq, 8]\n return %b, %c, again = %a",
    );
    let (x, a) = (value(&graph, "x"), value(&graph, "a"));
    assert_eq!(graph.use_count(a), 4);
    assert_eq!(graph.use_count(x), 2);
    let place = graph.beside(a.node, "fused");
    let id = graph.insert(place, Op::Relu, &[Some(x)]).expect("relu takes floats");
    let fused = graph.results(id).next().expect("one result");
    graph.replace(a, fused);
    for swept in [false, true] {
        assert_eq!(violated(&graph), [0; 0], "swept: {swept}");
        assert_eq!((graph.use_count(fused), graph.use_count(x)), (4, 1), "swept: {swept}");
        assert_eq!(graph.users(fused).len(), 3);
        let expected = "g(%x: f32[batch, seq, 8], %ids: i64[batch, seq]) {\n  %a = relu %x : f32[batch, seq, 8]\n  \
                        %b = add %a, %a : f32[batch, seq, 8]\n  %c = exp %a : f32[batch, seq, 8]\n  \
                        return %b, %c, again = %a\n}\n";
        assert_eq!(graph.to_string(), expected, "swept: {swept}");
        graph.sweep();
    }
}

/// The names of nodes (C9) cannot be violated from outside either: the first result in use passes on the name, and
/// inserted nodes get a numeric suffix.
#[test]
fn c9_nodes_have_names_of_their_own() {
    for (returned, replaced, expected) in [
        ("%a, %b", vec!["a", "b"], "%a = relu @\"halves\" %x"),
        ("%a, %b", vec!["b", "a"], "%a = relu @\"halves\" %x"),
        ("%b", vec!["b"], "%b = relu @\"halves\" %x"),
        ("%a, %b", vec!["b"], "%a, %a.new = split @\"halves\" %x"),
    ] {
        let text = format!(
            "%a, %b = split @\"halves\" %x {{axis = 2}} : f32[batch, seq, 4], f32[batch, seq, 4]\n return {returned}"
        );
        let mut graph = graph(&text);
        let x = value(&graph, "x");
        let node = value(&graph, "a").node;
        for name in replaced {
            let old = value(&graph, name);
            let place = graph.beside(node, "new");
            let id = graph.insert(place, Op::Relu, &[Some(x)]).expect("relu takes floats");
            let new = graph.results(id).next().expect("one result");
            graph.replace(old, new);
        }
        graph.sweep();
        assert!(violated(&graph).iter().all(|invariant| *invariant != 9));
        assert!(graph.to_string().contains(expected), "{graph}");
    }
    let mut graph = graph("%a = relu @\"same\" %x : f32[batch, seq, 8]\n return %a");
    let (x, a) = (value(&graph, "x"), value(&graph, "a"));
    let body = graph.clone();
    graph.splice(a.node, &body, &[Some(x), None]);
    assert_eq!(violated(&graph), [0; 0]);
}

#[test]
fn replacing_twice_and_undoing() {
    let mut graph = graph("%a = relu %x : f32[batch, seq, 8]\n %b = exp %a : f32[batch, seq, 8]\n return %b");
    let (x, a, b) = (value(&graph, "x"), value(&graph, "a"), value(&graph, "b"));
    let mark = graph.mark();
    let abandoned = graph.append("abandoned", Op::Sqrt, &[a]).expect("sqrt takes floats");
    graph.undo_to(mark);
    assert!(!graph.is_alive(abandoned.node));
    assert_eq!(graph.use_count(a), 1);
    let first = graph.append("first", Op::Abs, &[x]).expect("abs takes floats");
    graph.replace(a, first);
    let second = graph.append("second", Op::Neg, &[x]).expect("neg takes floats");
    graph.replace(a, second);
    assert_eq!(graph.operand(b.node, 0), Some(second));
    graph.sweep();
    assert_eq!(violated(&graph), [0; 0]);
    assert_eq!(graph.len(), 4, "{graph}");
}

#[test]
fn outputs_follow_their_values() {
    let mut graph =
        graph("%a = relu %x : f32[batch, seq, 8]\n %b = exp %x : f32[batch, seq, 8]\n return %a, %b, c = %a");
    let (a, b) = (value(&graph, "a"), value(&graph, "b"));
    let outputs = |graph: &Graph| graph.outputs().iter().map(|output| output.value).collect::<Vec<_>>();
    graph.set_output(0, b);
    assert_eq!((outputs(&graph), graph.is_output(a)), (vec![b, b, a], true));
    graph.replace(b, a);
    assert_eq!((outputs(&graph), graph.is_output(b)), (vec![a, a, a], false));
    let declared = TensorType::new(ElementType::F32, shape!["batch", "seq", 8]).into();
    graph.declare_output(a, &declared);
    assert!(graph.outputs().iter().all(|output| output.declared.as_ref() == Some(&declared)));
    assert_eq!(violated(&graph), [0; 0]);
}

/// One constant that many nodes read, a node of many operands, and many outputs: no step may be quadratic.
#[test]
fn large_graphs_are_edited_in_linear_time() {
    let mut graph = Graph::new("large");
    let x = graph.input("x", TensorType::new(ElementType::F32, shape![4]));
    let mut at = x;
    let half = graph.constant("half", Tensor::scalar(0.5));
    let mut all = vec![];
    for _ in 0..20_000 {
        at = graph.append("y", Op::Mul, &[at, half]).expect("it multiplies");
        graph.output(format!("out.{}", all.len()), at);
        all.push(at);
    }
    let joined = graph.append("joined", Op::Concat { axis: 0 }, &all).expect("it joins");
    graph.output("joined", joined);
    for &old in &all {
        let operand = graph.operand(old.node, 0).expect("it has two");
        let place = graph.beside(old.node, "abs");
        let id = graph.insert(place, Op::Abs, &[Some(operand)]).expect("it is defined");
        let new = graph.results(id).next().expect("one result");
        graph.replace(old, new);
    }
    graph.sweep();
    assert_eq!(graph.len(), 20_002);
    assert_eq!(violated(&graph), [0; 0]);
}

#[test]
fn inference() {
    let cases = [
        ("%a = add %x, [0.5] : ?", "f32[batch, seq, 8]"),
        ("%a = matmul %x, f32[8, 4] fill(1.0) : ?", "f32[batch, seq, 4]"),
        ("%a = reshape %x, [0, 0, 2, 4] : ?", "f32[batch, seq, 2, 4]"),
        ("%a = reshape %x, [0, -1] : ?", "f32[batch, 8*seq]"),
        ("%a = reshape %x, [-1, 16] : ?", "f32[floor_div(batch*seq, 2), 16]"),
        ("%a = transpose %x {perm = [2, 0, 1]} : ?", "f32[8, batch, seq]"),
        ("%a = unsqueeze %x, [0, -1] : ?", "f32[1, batch, seq, 8, 1]"),
        ("%a = gather %x, %ids {axis = 1} : ?", "f32[batch, batch, seq, 8]"),
        ("%a = concat %x, %x {axis = 1} : ?", "f32[batch, 2*seq, 8]"),
        ("%a = slice %x, [1], [9223372036854775807], [1] : ?", "f32[batch, seq - min(1, seq), 8]"),
        ("%a = slice %x, [0], [3], [2] : ?", "f32[batch, seq, 3]"),
        ("%a = slice %x, [7], [0], [2], [-2] : ?", "f32[batch, seq, 4]"),
        (
            "%s = shape %x : i64[3]\n %b = gather %s, 1 : i64[]\n %r = range 0, %b, 1 : ?\n %a = identity %r : ?",
            "i64[seq]",
        ),
        (
            "%s = shape %x {end = 2} : i64[2]\n %n = concat %s, [-1] {axis = 0} : i64[3]\n %a = reshape %x, %n : ?",
            "f32[batch, seq, 8]",
        ),
        ("%a = range 5, 5, -2 : ?", "i64[0]"),
        ("%a = range 5, 0, -2 : ?", "i64[3]"),
        ("%a = slice f32[0] fill(0.0), [-1], [-9223372036854775807], [0], [-1] : ?", "f32[0]"),
        (
            "%s = shape %x {start = 1, end = 2} : i64[1]\n %n = sub %s, [2] : i64[1]\n %a = reshape %ids, %n {allowzero = true} : ?",
            "i64[?]",
        ),
        ("%a = softmax %x {axis = -1} : ?", "f32[batch, seq, 8]"),
        ("%a = scaled_softmax %x, f32[1, 8] fill(0.0) {axis = 2, scale = 0.5} : ?", "f32[batch, seq, 8]"),
        ("%a = reduce_mean %x, [-1] {keepdims = false} : ?", "f32[batch, seq]"),
        ("%a = cast %ids {to = f32} : ?", "f32[batch, seq]"),
        ("%a = where bool[] true, %x, 0.0 : ?", "f32[batch, seq, 8]"),
        ("%a = \"my.domain::Thing@1\" %x {alpha = 0.5, mode = \"b\"} : f32[7]", "f32[7]"),
        ("%a = gemm f32[4, 8] fill(1.0), f32[4, 2] fill(1.0), _ {transA = true} : ?", "f32[8, 2]"),
        ("%a, %b = split %x, [3, 5] {axis = 2} : ?, ?", "f32[batch, seq, 3]"),
        ("%a = expand 0.5, [2, 3] : ?", "f32[2, 3]"),
        ("%a = layer_normalization %x, f32[8] fill(1.0), _ {epsilon = 1e-5} : ?", "f32[batch, seq, 8]"),
    ];
    for (body, expected) in cases {
        let text = format!("g(%x: f32[batch, seq, 8], %ids: i64[batch, seq]) {{\n{body}\nreturn %a\n}}");
        let graph = parse(&text).unwrap_or_else(|error| panic!("{error} in {body}"));
        let found = graph.fact(graph.outputs()[0].value).to_string();
        assert_eq!(found, expected, "{body}");
    }
}

#[test]
fn undefined_operators_are_reported() {
    let cases = [
        ("%a = matmul %x, %ids : ?", "matmul: the element types differ: f32 and i64"),
        ("%a = matmul %x, f32[9, 4] fill(1.0) : ?", "matmul: the inner dims of [batch, seq, 8] × [9, 4] differ: 8 ≠ 9"),
        (
            "%a = add %x, f32[9] fill(1.0) : ?",
            "add: the shapes [batch, seq, 8] and [9] do not broadcast: 8 ≠ 9 on axis 2",
        ),
        (
            "%a = reshape f32[5] fill(0.0), [2, 3] : ?",
            "reshape: the numbers of elements of [5] and [2, 3] differ: 5 ≠ 6",
        ),
        (
            "%a = reshape f32[5] fill(0.0), [2, -1] : ?",
            "reshape: the elements of [5] do not divide evenly into 2 to infer the size -1",
        ),
        ("%a = reshape %x, [-1, -1] : ?", "reshape: only one size may be -1"),
        (
            "%a = reshape f32[2] fill(0.0), [4294967296, 4294967296] : ?",
            "reshape: the shape [4294967296, 4294967296] is larger than any tensor",
        ),
        (
            "%a = transpose %x {perm = [0, 0, 1]} : ?",
            "transpose: [0, 0, 1] is not a permutation of the 3 axes of [batch, seq, 8]",
        ),
        ("%a = transpose %x {perm = [5, 7, 0]} : ?", "transpose: the axis 5 is out of range for rank 3"),
        ("%a = slice %x, [0], [1], [1], [0] : ?", "slice: a step must not be 0"),
        ("%a = concat %x, %x {axis = 1099511627776} : ?", "concat: the axis 1099511627776 is out of range for rank 3"),
        (
            "%a = softmax %ids {axis = -1} : ?",
            "softmax: operand 0 must be of a float type, but its element type is i64",
        ),
        ("%a = relu %x, %x : ?", "relu: it takes 1 operand, but has 2"),
        (
            "%a = constant_of_shape [-2] {value = tensor(f32[1] [0.0])} : ?",
            "constant_of_shape: the size -2 is negative",
        ),
        ("%a = relu %x : f32[batch, seq, 9]", "%a is declared f32[batch, seq, 9], but inferred as f32[batch, seq, 8]"),
        ("%a = softmax %x {axis = 0.5} : ?", "softmax: the attribute `axis` must be an int, but is 0.5"),
        ("%a = softmax %x : ?", "softmax: the attribute `axis` is missing"),
        ("%a = softmax %x {axis = 1, beta = 2} : ?", "softmax: the operator has no attribute `beta`"),
        ("%a = softmax %x {axis = 1, axis = 2} : ?", "softmax: the attribute `axis` is given twice"),
        ("%a = soft %x : ?", "`soft` is not an operator"),
        ("%a = relu %y : ?", "%y is not defined"),
        ("%x = relu %x : ?", "%x is defined twice"),
        ("%a = parameter #00ff : f32[20]", "the elements were elided; only a full text can be read"),
        ("%a = parameter file(\"w\", 0, 4) : f32[1]", "no folder is given for the file w"),
        ("%a = parameter [1.0] : f32[2]", "a tensor of f32[2] takes 8 bytes, but there are 4"),
    ];
    for (body, expected) in cases {
        let text = format!("g(%x: f32[batch, seq, 8], %ids: i64[batch, seq]) {{\n{body}\nreturn %a\n}}");
        assert_eq!(parse(&text).expect_err(body).what, expected, "{body}");
    }
}

/// Texts of a node that are read and printed again.
#[test]
fn nodes_are_printed_as_they_are_read() {
    for (line, returned) in [
        // Constants where they are used: without a type if it is that of a list or a number.
        ("%a = identity 3 : i64[]", "%a"),
        ("%a = identity [] : i64[0]", "%a"),
        ("%a = identity [1, 2, 3, 4, 5, 6, 7, 8] : i64[8]", "%a"),
        ("%a = identity i64[1, 2] [1, 2] : i64[1, 2]", "%a"),
        ("%a = identity 0.5 : f32[]", "%a"),
        ("%a = identity [0.5, -0.0] : f32[2]", "%a"),
        ("%a = identity f32[1, 1] [0.5] : f32[1, 1]", "%a"),
        ("%a = identity f32[0] [] : f32[0]", "%a"),
        ("%a = identity f32[1] hex(010080ff) : f32[1]", "%a"),
        ("%a = identity i32[] -3 : i32[]", "%a"),
        ("%a = identity i8[1] [-3] : i8[1]", "%a"),
        ("%a = identity i16[1] [-300] : i16[1]", "%a"),
        ("%a = identity u16[1] [65535] : u16[1]", "%a"),
        ("%a = identity u32[1] [4294967295] : u32[1]", "%a"),
        ("%a = identity u64[1] [18446744073709551615] : u64[1]", "%a"),
        ("%a = identity f64[2] [0.1, -0.0] : f64[2]", "%a"),
        ("%a = identity u4[3] [1, 2, 15] : u4[3]", "%a"),
        ("%a = identity bool[2] [true, false] : bool[2]", "%a"),
        ("%a = identity bool[1] hex(02) : bool[1]", "%a"),
        ("%a = identity f16[1] hex(003c) : f16[1]", "%a"),
        // Longer ones have names, and so have those that are not stored.
        ("%c = constant [1, 2, 3, 4, 5, 6, 7, 8, 9] : i64[9]", "%c"),
        ("%c = constant [\"a\", \"b\"] : string[2]", "%c"),
        ("%c = constant fill(0.5) : f32[2]", "%c"),
        ("%c = constant fill(hex(003c)) : f16[2]", "%c"),
        // Names.
        ("%\"a b\" = relu %x : f32[batch, seq, 8]", "%\"a b\""),
        ("%\"\\\"\\n\\u{85}é\" = relu %x : f32[batch, seq, 8]", "%\"\\\"\\n\\u{85}é\""),
        // Dims.
        ("%a = \"d::T@1\" %x : f32['a, b', 'c]', floor_div(2*n + 1, 3), ?]", "%a"),
        (r#"%a = "d::T@1" %x : f32['a\', b]', 2]"#, "%a"),
        // Attributes.
        ("%a = \"d::T@1\" %x {i = -1, f = 0.5, s = \"t\", b = true, e = f16} : ?", "%a"),
        ("%a = \"d::T@1\" %x {i = [1, 2], f = floats[0.5], g = floats[], s = texts[\"a\", hex(ff)]} : ?", "%a"),
        ("%a = \"d::T@1\" %x {s = hex(ff00), ty = type(sequence(f32[2])), types = types[f32[*], ?]} : ?", "%a"),
        ("%a = \"d::T@1\" %x {t = tensor(f32[2] [0.5, 1.0]), ts = tensors[i64[] 1, f32[1] fill(0.5)]} : ?", "%a"),
        ("%a = \"d::T@1\" %x {s = sparse([4], f32[1] [1.0], i64[1] [2]), ss = sparses[]} : ?", "%a"),
        ("%a = \"d::T@1\" %x {r = reference(alpha, 1)} : ?", "%a"),
        ("%a = \"d::T@1\" %x : optional(f32[2])", "%a"),
        ("%a = \"d::T@1\" %x : sparse(f32[2])", "%a"),
        ("%a = \"d::T@1\" %x : map(i64, sequence(f32[2]))", "%a"),
        // Recipes.
        ("%w = parameter uniform(seed = 3, bound = 0.5) : f32[2]", "%w"),
        ("%w = parameter sinusoidal(interleaved) : f32[3, 4]", "%w"),
        ("%w = parameter sinusoidal(halves) : f32[3, 4]", "%w"),
        ("%w = parameter sinusoidal(grouped) : f32[3, 4]", "%w"),
        ("%w = parameter cast(f32[2] fill(0.5)) : f16[2]", "%w"),
        ("%w = parameter transpose(f32[2, 1] [1.0, 2.0]) : f32[1, 2]", "%w"),
        ("%w = parameter finite(f32[2] [1.0, 2.0]) : f32[2]", "%w"),
        (
            "%w = parameter quantize(codes, search, bits = 4, size = 16, symmetric, scale = f32, f32[1, 16] fill(0.5)) : i4[1, 16]",
            "%w",
        ),
        ("%w = parameter reshape(f32[4] scale(0.5, f32[4] [1.0, 2.0, 3.0, 4.0])) : f32[2, 2]", "%w"),
        ("%w = parameter concat(f32[1] fill(0.5), f32[2] [1.0, 2.0]) : f32[3]", "%w"),
        ("%w = parameter reinterpret(u8[2] offset(i8[2] [1, 2])) : u4[4]", "%w"),
        ("%w = parameter offset(u8[2] [1, 2]) : i8[2]", "%w"),
        ("%w = parameter unpack([7, 6, 5, 4, 3, 2, 1, 0], plus = 3, i32[1] [1]) : u4[8]", "%w"),
        (
            "%w = parameter tiles(rows = 2, columns = 2, f8e4m3fn[2, 2] hex(00010203), f32[1, 1] [2.0]) : f16[2, 2]",
            "%w",
        ),
        ("%w = parameter interleave(outer = 2, inner = 1, f32[2, 1] [1.0, 2.0]) : f32[2, 1]", "%w"),
        ("%w = parameter rows(first = 1, f32[2, 1] [1.0, 2.0]) : f32[1, 1]", "%w"),
        ("%w = parameter low_rank(scale = 0.5, f32[1, 1] [1.0], f32[1, 1] [2.0], f32[1, 1] [3.0]) : f32[1, 1]", "%w"),
        ("%w = parameter ggml(Q8_0, codes, u8[1, 34] fill(1)) : i8[1, 32]", "%w"),
        ("%w = parameter ggml(Q8_0, scales, u8[1, 34] fill(1)) : f16[1, 1]", "%w"),
        ("%w = sparse_parameter sparse([4], f32[1] [1.0], i64[1] [2]) : f32[4]", "%w"),
    ] {
        let found = graph(&format!("{line}\nreturn {returned}"));
        let lines: Vec<String> = found.to_text(Detail::Full).lines().map(str::to_owned).collect();
        let printed = lines[1..lines.len() - 1].iter().map(|line| line.trim()).collect::<Vec<_>>();
        assert_eq!(printed, [line, &format!("return {returned}")]);
        let node = found.outputs()[0].value.node;
        assert_eq!(found.node_text(node), line);
    }
}

/// A part of a file is printed as such, and read again from the folder of the file.
#[test]
fn tensors_in_files_are_read_from_a_folder() {
    let path = std::path::Path::new(env!("CARGO_TARGET_TMPDIR")).join("text_form.bin");
    std::fs::write(&path, [9, 9, 0, 0, 128, 63, 0, 0, 0, 64]).expect("a file");
    let folder = Folder::of(&path).expect("a folder");
    let parsed = |length: u64| {
        let line = format!("  %w = parameter file(\"text_form.bin\", 2, {length}) : f32[2]");
        parse_with_files(&format!("g() {{\n{line}\n  return %w\n}}\n"), &folder)
    };
    let graph = parsed(8).expect("a graph");
    let tensor = graph.tensor(value(&graph, "w")).expect("a tensor");
    assert_eq!(*tensor.to_bytes().expect("bytes"), [1.0_f32, 2.0].map(f32::to_le_bytes).concat());
    assert!(graph.to_text(Detail::Full).contains("text_form.bin\", 2, 8) : f32[2]"), "{graph}");
    assert_eq!(parsed(12).expect_err("the file is too short").line, 2);
}

/// More than 16 elements are elided, except in full texts, by which graphs are equal.
#[test]
fn long_tensors_are_elided() {
    for (count, is_elided) in [(16, false), (17, true)] {
        let numbers = (0..count).map(|number| number.to_string()).collect::<Vec<_>>().join(", ");
        let line = format!("%c = constant [{numbers}] : i64[{count}]");
        let graph = graph(&format!("{line}\nreturn %c"));
        assert!(graph.to_text(Detail::Full).contains(&line));
        assert_eq!(!graph.to_string().contains(&line), is_elided);
        assert_eq!(graph.to_string().contains("constant #"), is_elided);
        let zeros = parse(&graph.to_text(Detail::Full).replace("15", "0")).expect("only an element differs");
        assert!(graph == graph.clone() && graph != zeros);
    }
}

/// Malformed text at every cut, and nesting without end: an error, never a panic.
#[test]
fn no_text_makes_the_parser_panic() {
    let text = graph(
        "%a = reshape %x, [0, 0, 2, 4] : f32[batch, seq, 2, 4]\n\
         %b = \"d::T:o@1\" @\"label\" %a, _, i32[] 3 {t = tensor(f16[2] hex(003c0040)), f = floats[1.0], s = \"a\\u{e9}\"} : sequence(map(i64, f32[*]))\n\
         %c = parameter scale(0.5, f32[4, 2] transpose(f32[2, 4] uniform(seed = 3, bound = 0.5))) : f32[4, 2]\n return %b, w = %c",
    )
    .to_string();
    assert_eq!(parse(&text).map(|graph| graph.to_string()).as_ref(), Ok(&text));
    for cut in 0..text.len() {
        if text.is_char_boundary(cut) {
            let _ = parse(&text[..cut]);
        }
    }
    for deep in ["sequence(", "sparse(", "map(i64, "] {
        let _ = parse(&format!("g(%x: {}", deep.repeat(100_000))).expect_err("it nests too deep");
    }
    let (types, tensor) = (|deep: usize| format!("{}?{}", "optional(".repeat(deep), ")".repeat(deep)), "f32[1, 1]");
    for (deep, is_read) in [(MAX_DEPTH, true), (MAX_DEPTH + 1, false)] {
        assert_eq!(parse(&format!("g(%x: {}) {{ return %x }}", types(deep))).is_ok(), is_read);
        let (open, close) = (format!("transpose({tensor} ").repeat(deep), ")".repeat(deep));
        let text = format!("g() {{\n%a = parameter {open}fill(0.0){close} : {tensor}\nreturn %a }}");
        assert_eq!(parse(&text).is_ok(), is_read);
    }
    for recipe in [
        "scale(0.5, ",
        "cast(",
        "transpose(",
        "finite(",
        "reshape(",
        "concat(",
        "reinterpret(",
        "offset(",
        "unpack([0], plus = 0, ",
        "tiles(rows = 1, columns = 1, ",
        "tiles(rows = 1, columns = 1, f32[1] [0.5], ",
        "low_rank(scale = 0.5, ",
        "low_rank(scale = 0.5, f32[1] [0.5], ",
        "low_rank(scale = 0.5, f32[1] [0.5], f32[1] [0.5], ",
        "ggml(Q8_0, codes, ",
        "interleave(outer = 1, inner = 1, ",
        "rows(first = 0, ",
        "quantize(codes, nearest, bits = 4, size = 16, symmetric, scale = f32, ",
        "dequantize(bits = 4, size = 16, symmetric, ",
        "dequantize(bits = 4, size = 16, symmetric, f32[1] [0.5], ",
        "dequantize(bits = 4, size = 16, symmetric, f32[1] [0.5], f32[1] [0.5], ",
    ] {
        let nested = format!("{recipe}{tensor} ").repeat(100_000);
        let error = parse(&format!("g() {{\n%a = parameter {nested} : {tensor}")).expect_err(recipe);
        assert_eq!(error.what, "the recipe nests too deeply", "{recipe}");
    }
}
