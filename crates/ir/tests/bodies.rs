//! Bodies: their text form, their invariants, and edits.

use netwright_ir::{Detail, Graph, NodeId, Op, check, parse};

const IF: &str = "\
g(%c: bool[], %x: f32[n], %k: f32[1] = [2.0]) {
  %a = relu %x : f32[n]
  %y = if %c {then_branch = graph then(; %b: f32[n] = %a, %unread: f32[n] = %x, %half: f32[1] = [0.5]) {
    %d = mul %b, %half : f32[n]
    %z = if %c.in {then_branch = graph one(; %e: f32[n] = %d) {
      return %e
    }, else_branch = graph two(; %e: f32[n] = %d, %f: f32[n] = %b) {
      %h = add %e, %f : f32[n]
      return %h
    }} : f32[n]
    return y = %z
  }, else_branch = graph else(; %k: f32[1] = %k) {
    return y = %k
  }} : f32[?]
  return %y
}
";

fn find(graph: &Graph, word: &str) -> NodeId {
    let found = graph.schedule().into_iter().find(|id| graph.node(*id).op().word() == word);
    found.unwrap_or_else(|| panic!("no {word}"))
}

fn nested() -> Graph {
    let text = IF.replace("%half: f32[1] = [0.5]", "%half: f32[1] = [0.5], %c.in: bool[] = %c");
    parse(&text).unwrap_or_else(|error| panic!("{error} in\n{text}"))
}

#[test]
fn text_is_read_back() {
    for text in [
        nested().to_text(Detail::Full).as_str(),
        "g(%m: i64[], %c: bool[], %x: f32[n, 4]) {\n  %y, %s = loop %m, %c, %x {body = graph b(%i: i64[], %on: bool[], %v: f32[n, 4]) {\n    %w = exp %v : f32[n, 4]\n    return %on, %w, s = %w\n  }} : f32[n, 4], f32[?, n, 4]\n  return %y, %s\n}\n",
        "g(%x: sequence(f32[n])) {\n  %y = \"com.example::Map:fast@2\" %x {bodies = graphs[one(%v: f32[n]) {\n    return %v\n  }, two(%v: ?; %k: sequence(f32[n]) = %x) {\n    return %v, %k\n  }], kind = type(optional(f32[?])), kinds = types[f32[2], i64[]], last = reference(alpha, 1), some = tensors[f32[2] [1.0, 2.0]], zeros = sparse([2, 3], f32[1] [5.0], i64[1, 2] [1, 2])} : ?\n  return %y\n}\n",
        "g() {\n  %w = sparse_parameter sparse([6], f32[2] [1.0, 2.0], i64[2] [0, 5]) : f32[6]\n  return %w\n}\n",
    ] {
        let graph = parse(text).unwrap_or_else(|error| panic!("{error} in\n{text}"));
        assert_eq!(graph.to_text(Detail::Full), text);
        check(&graph).expect("the graph is valid");
    }
}

#[test]
fn malformed_bodies_are_reported() {
    for (text, expected) in [
        (
            "g(%x: f32[2]) { %y = if %x {then_branch = graph t() { return y = 1 }, else_branch = graph e() { return y = 1 }} : ? return %y }",
            "of bool",
        ),
        (
            "g(%c: bool[]) { %y = if %c {then_branch = graph t() { return y = 1 }, else_branch = graph e() { return }} : ? return %y }",
            "1 and 0",
        ),
        (
            "g(%c: bool[]) { %y = loop _, %c {body = graph t(%i: i64[]) { return y = 1 }} : ? return %y }",
            "at least the iteration",
        ),
        (
            "g() { %w = sparse_parameter sparse([6], f32[2] [1.0, 2.0], i64[2] [5, 0]) : f32[6] return %w }",
            "must ascend",
        ),
        (
            "g() { %w = sparse_parameter sparse([6], f32[2] [1.0, 2.0], i64[2] [0, 6]) : f32[6] return %w }",
            "within the tensor",
        ),
        (
            "g() { %w = sparse_parameter sparse([2, 3], f32[1] [1.0], i64[1, 3] [0, 0, 0]) : f32[6] return %w }",
            "one index per axis",
        ),
    ] {
        let error = parse(text).expect_err(text).to_string();
        assert!(error.contains(expected), "{error} does not say {expected:?}");
    }
}

#[test]
fn bodies_nest_to_a_bound() {
    let mut text = "return y = %c".to_owned();
    for _ in 0..40 {
        text = format!(
            "%y = if %c {{then_branch = graph t(; %c: bool[] = %c) {{ {text} }}, else_branch = graph e(; %c: bool[] = %c) {{ return y = %c }}}} : ? return %y"
        );
    }
    let error = parse(&format!("g(%c: bool[]) {{ {text} }}")).expect_err("40 deep");
    assert!(error.to_string().contains("deeper than 32"), "{error}");
}

#[test]
fn c8_only_bodies_capture() {
    let graph = parse("g(; %x: f32[2]) { return y = %x }").expect("a body alone");
    let violated: Vec<u8> =
        check(&graph).expect_err("it captures").0.iter().map(|violation| violation.invariant).collect();
    assert_eq!(violated, [8]);
}

#[test]
fn unread_captures_are_dropped() {
    let mut graph = nested();
    let node = find(&graph, "if");
    assert_eq!(graph.operands(node).len(), 6);
    graph.edit_bodies(node, |body| {
        body.sweep();
    });
    graph.sweep();
    check(&graph).expect("the graph is valid");
    assert!(!graph.to_string().contains("%unread"), "{graph}");
    assert_eq!(graph.operands(find(&graph, "if")).len(), 5);
}

/// A file knows a captured value by its name outside, and once.
#[test]
fn captures_of_one_value_become_one() {
    let mut graph = parse(
        "g(%c: bool[], %x: f32[n]) {
           %y = if %c {then_branch = graph then(; %a: f32[n] = %x, %b: f32[n] = %x) {
             %z = sub %b, %a : f32[n]
             return y = %z
           }, else_branch = graph else(; %a: f32[n] = %x) { return y = %a }} : f32[n]
           return %y
         }",
    )
    .expect("it parses");
    graph.edit_bodies(find(&graph, "if"), |_| {});
    graph.sweep();
    check(&graph).expect("the graph is valid");
    assert_eq!(graph.operands(find(&graph, "if")).len(), 3);
    let text = graph.to_string();
    assert!(text.contains("graph then(; %x: f32[n] = %x) {\n    %z = sub %x, %x"), "{text}");
    assert!(text.contains("graph else(; %x: f32[n] = %x)"), "{text}");
}

#[test]
fn a_body_is_spliced_in() {
    let mut graph = nested();
    let node = find(&graph, "if");
    let Op::If { then_branch, .. } = graph.node(node).op().clone() else { panic!("an if") };
    let captured = graph.operands(node)[1..5].to_vec();
    let outputs = graph.splice(node, &then_branch, &captured);
    let y = graph.results(node).next().expect("a result");
    graph.replace(y, outputs[0].expect("it has an output"));
    graph.sweep();
    check(&graph).expect("the graph is valid");
    assert_eq!(graph.schedule().iter().filter(|id| graph.node(**id).op().word() == "if").count(), 1, "{graph}");
    assert!(graph.to_string().contains("%d = mul %a, "), "{graph}");
}
