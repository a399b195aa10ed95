//! Tests of pattern matching: bindings, and reasons for near misses.

use netwright_ir::{Graph, OpKind, Value, parse};
use netwright_passes::pattern::{Matches, Pattern, add, any, div, known, matmul, mul, op, reshape, scalar, softmax};

fn graph(body: &str) -> Graph {
    let text = format!("g(%x: f32[b, s], %y: f32[b, s], %v: f32[s]) {{\n{body}\n}}");
    parse(&text).unwrap_or_else(|error| panic!("{error} in\n{text}"))
}

fn value(graph: &Graph, name: &str) -> Value {
    let mut values = graph.schedule().into_iter().flat_map(|id| graph.results(id));
    values.find(|value| **graph.value_name(*value) == *name).unwrap_or_else(|| panic!("%{name} is not there"))
}

/// Returns the matches of a pattern at `%r`.
fn matches(graph: &Graph, pattern: &Pattern) -> Matches {
    pattern.matches(graph, value(graph, "r").node)
}

#[test]
fn patterns_print_as_they_are_written() {
    let (x, c, w) = (any("x"), scalar("c"), known("w"));
    let cases = [
        (softmax(mul(x, c).single_use()), "softmax(mul(?x, #c))"),
        (matmul(reshape(x, any("shape")), w), "matmul(reshape(?x, ?shape), $w)"),
        (op(OpKind::ScaledSoftmax), "scaled_softmax(..)"),
    ];
    for (pattern, expected) in cases {
        assert_eq!(pattern.to_string(), expected);
    }
}

/// The first order of operands fails only at the scalar; the second order is found nevertheless.
#[test]
fn both_orders_are_tried_to_the_end() {
    let body = |sum: &str| {
        format!(
            "%a = mul %x, %y : f32[b, s]
             %c = mul 2.0, %y : f32[b, s]
             %r = add {sum} : f32[b, s]
             return %r"
        )
    };
    let (x, c, m) = (any("x"), scalar("c"), any("m"));
    for sum in ["%a, %c", "%c, %a"] {
        let graph = graph(&body(sum));
        let found = matches(&graph, &add(mul(x, c), m)).found;
        assert_eq!(found.len(), 1, "{sum}");
        assert_eq!((found[0][x], found[0][m]), (value(&graph, "y"), value(&graph, "a")), "{sum}");
        assert_eq!(found[0].scalar(c), 2.0);
    }
}

#[test]
fn operands_that_do_not_commute_keep_their_order() {
    let (x, c) = (any("x"), scalar("c"));
    for (quotient, expected) in [("%x, 2.0", 1), ("2.0, %x", 0)] {
        let graph = graph(&format!("%r = div {quotient} : f32[b, s]\n return %r"));
        assert_eq!(matches(&graph, &div(x, c)).found.len(), expected, "{quotient}");
    }
}

#[test]
fn a_variable_that_stands_twice_is_one_value() {
    let (x, y) = (any("x"), any("y"));
    for (product, expected) in [("%a, %x", 1), ("%a, %y", 1), ("%x, %y", 0), ("%a, %v", 0)] {
        let graph = graph(&format!("%a = add %x, %y : f32[b, s]\n %r = mul {product} : f32[b, s]\n return %r"));
        assert_eq!(matches(&graph, &mul(add(x, y), x)).found.len(), expected, "{product}");
    }
}

/// A value with another use is reported only if nothing else prevents the match.
#[test]
fn single_uses() {
    let (x, c) = (any("x"), scalar("c"));
    let pattern = softmax(mul(x, c).single_use());
    let cases = [
        ("%a = mul %x, 2.0 : f32[b, s]", "%r", true, false),
        ("%a = mul %x, 2.0 : f32[b, s]", "%r, %a", false, true),
        ("%a = mul %x, 2.0 : f32[b, s]\n %e = exp %a : f32[b, s]", "%r, %e", false, true),
        ("%a = mul %x, %y : f32[b, s]", "%r, %a", false, false),
    ];
    for (product, outputs, found, shared) in cases {
        let graph = graph(&format!("{product}\n %r = softmax %a {{axis = -1}} : f32[b, s]\n return {outputs}"));
        let matches = matches(&graph, &pattern);
        assert_eq!(
            (matches.found.len(), matches.shared),
            (found.into(), shared.then(|| value(&graph, "a"))),
            "{product}"
        );
    }
}

/// A value that is broadcast to the root's shape does not have that shape.
#[test]
fn shaped_as_root() {
    let (x, m) = (any("x"), any("m"));
    let graph = graph("%r = add %v, %x : f32[b, s]\n return %r");
    let found = matches(&graph, &add(x.shaped_as_root(), m)).found;
    assert_eq!(found.iter().map(|found| found[x]).collect::<Vec<_>>(), [value(&graph, "x")]);
}
