//! Each invariant of the checker, violated on purpose; inference, by text; and the functions that edit a graph.

use netwright_ir::{ElementType, Graph, Op, Place, Tensor, TensorType, Value, check, parse, shape};

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

/// One constant that many nodes read, and a node of many operands: no step may be quadratic.
#[test]
fn large_graphs_are_edited_in_linear_time() {
    let mut graph = Graph::new("large");
    let x = graph.input("x", TensorType::new(ElementType::F32, shape![4]));
    let mut at = x;
    let half = graph.constant("half", Tensor::scalar(0.5));
    let mut all = vec![];
    for _ in 0..20_000 {
        at = graph.append("y", Op::Mul, &[at, half]).expect("it multiplies");
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
    let nested = "transpose(f32[1, 1] ".repeat(100_000);
    let _ = parse(&format!("g() {{\n%a = parameter {nested} : f32[1, 1]")).expect_err("it nests too deep");
}
