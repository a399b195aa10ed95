//! Tests the bounds, operator by operator.

use super::*;
use netwright_ir::parse;

/// The inputs and values that the cases use.
const BEFORE: &str =
    "g(%f: f32[n, q, k], %b: bool[n, q, k], %i: i64[n, q, k], %u: u8[n, q, k], %mask: i64[n, q, k], %s: i64[n], \
%square: f32[n, k, k], %wide: f64[n], %float_mask: f32[n]) {
%bit = cast %b {to = f32} : f32[n, q, k]
%whole = cast %b {to = i64} : i64[n, q, k]
%w = where %b, 3.0, -2.0 : f32[n, q, k]
%p = sigmoid %f : f32[n, q, k]
%h = cast %w {to = f16} : f16[n, q, k]
%two = where %b, 2.0, 2.0 : f32[n, q, k]
%none = where %b, 0.0, 0.0 : f32[n, q, k]
%no = less %p, 0.0 : bool[n, q, k]
%yes = less_or_equal %p, 1.0 : bool[n, q, k]
%above = add %p, 1.0 : f32[n, q, k]
%below = sub %p, 2.0 : f32[n, q, k]
%neg = neg %f : f32[n, q, k]
%fi = cast %i {to = f32} : f32[n, q, k]
%fives = clip %square, 5.0, 5.0 : f32[n, k, k]
%m = trilu %fives, 1 {upper = true} : f32[n, k, k]
%m4 = unsqueeze %m, [0] : f32[1, n, k, k]
%m5 = unsqueeze %m4, [0] : f32[1, 1, n, k, k]
%size = shape %f {end = 1} : i64[1]
%one = squeeze %size : i64[]
%places = range 0, 4, 1 : i64[4]
%later = unsqueeze %places, [0] : i64[1, 4]
%earlier = unsqueeze %places, [1] : i64[4, 1]
";

/// Returns the graph whose only output is the value that the last line of `text` defines.
fn graph(text: &str) -> Graph {
    let last = text.rsplit('\n').next().unwrap_or(text);
    let name = last.split(' ').next().unwrap_or_default();
    let text = format!("{BEFORE}{text}\nreturn {name}\n}}");
    parse(&text).unwrap_or_else(|error| panic!("{error} in\n{text}"))
}

/// Returns the numbers as text: `?` if they are unknown, a list, or `least..most`.
fn shown(numbers: &Numbers) -> String {
    // -0 is 0.
    let number = |number: f64| (number + 0.0).to_string();
    match &numbers.few {
        _ if numbers.has_nan => "nan".to_owned(),
        Some(few) => few.iter().map(|few| number(*few)).collect::<Vec<_>>().join(" "),
        None if *numbers == Numbers::UNKNOWN => "?".to_owned(),
        None => format!("{}..{}", number(numbers.least), number(numbers.most)),
    }
}

#[test]
fn of_each_operator() {
    let mut failures = vec![];
    for (node, expected) in [
        ("identity %w : f32[n, q, k]", "-2 3"),
        ("add %bit, 2.0 : f32[n, q, k]", "2 3"),
        ("add %w, %bit : f32[n, q, k]", "-2 -1 3 4"),
        ("add %f, 1.0 : f32[n, q, k]", "?"),
        ("add %whole, 1 : i64[n, q, k]", "1 2"),
        ("sub %w, %bit : f32[n, q, k]", "-3 -2 2 3"),
        ("sub 1.0, %p : f32[n, q, k]", "0..1"),
        ("mul %w, %bit : f32[n, q, k]", "-2 0 3"),
        ("mul %p, -3.0 : f32[n, q, k]", "-3..0"),
        ("mul %f, 0.0 : f32[n, q, k]", "?"),
        ("mul %bit, inf : f32[n, q, k]", "nan"),
        ("mul %w, inf : f32[n, q, k]", "-inf inf"),
        ("mul %p, -inf : f32[n, q, k]", "nan"),
        ("div %w, 2.0 : f32[n, q, k]", "?"),
        ("max %w, %bit : f32[n, q, k]", "0 1 3"),
        ("max %w, %bit, 2.0 : f32[n, q, k]", "2 3"),
        ("min %w, %bit : f32[n, q, k]", "-2 0 1"),
        ("max %f, 0.0 : f32[n, q, k]", "0..inf"),
        ("max %f, %neg : f32[n, q, k]", "0..inf"),
        ("max %neg, %f : f32[n, q, k]", "0..inf"),
        ("max %neg, %w : f32[n, q, k]", "-2..inf"),
        ("min %neg, %f : f32[n, q, k]", "?"),
        ("max %neg, %f, %p : f32[n, q, k]", "0..inf"),
        ("clip %f, -1.0, 1.0 : f32[n, q, k]", "-1..1"),
        ("clip %f, _, 1.0 : f32[n, q, k]", "-inf..1"),
        ("clip %f, -1.0 : f32[n, q, k]", "-1..inf"),
        ("clip %w, 0.0, 1.0 : f32[n, q, k]", "0 1"),
        ("clip %f, 1.0, 1.0 : f32[n, q, k]", "1"),
        ("add %w, NaN : f32[n, q, k]", "nan"),
        ("where %b, NaN, 2.0 : f32[n, q, k]", "nan"),
        ("where %b, 2.0, NaN : f32[n, q, k]", "nan"),
        ("where %b, %p, NaN : f32[n, q, k]", "nan"),
        ("where %b, NaN, %p : f32[n, q, k]", "nan"),
        ("mul %f, inf : f32[n, q, k]", "nan"),
        ("mul %above, inf : f32[n, q, k]", "inf"),
        ("mul inf, %below : f32[n, q, k]", "-inf"),
        ("cast %above {to = bool} : bool[n, q, k]", "1"),
        ("cast %below {to = bool} : bool[n, q, k]", "1"),
        ("reduce_max %w, [-1] : f32[n, q, 1]", "-2 3"),
        ("reduce_min %p, [-1] : f32[n, q, 1]", "0..1"),
        ("reduce_sum %p, [-1] : f32[n, q, 1]", "?"),
        ("neg %w : f32[n, q, k]", "-3 2"),
        ("neg %whole : i64[n, q, k]", "?"),
        ("relu %w : f32[n, q, k]", "0 3"),
        ("relu %f : f32[n, q, k]", "0..inf"),
        ("sigmoid %f : f32[n, q, k]", "0..1"),
        ("tanh %f : f32[n, q, k]", "-1..1"),
        ("gelu %w : f32[n, q, k]", "?"),
        ("not %b : bool[n, q, k]", "0 1"),
        ("not %yes : bool[n, q, k]", "0"),
        ("not %no : bool[n, q, k]", "1"),
        ("and %b, %b : bool[n, q, k]", "0 1"),
        ("and %b, %yes : bool[n, q, k]", "0 1"),
        ("and %no, %b : bool[n, q, k]", "0"),
        ("and %yes, %yes : bool[n, q, k]", "1"),
        ("or %b, %no : bool[n, q, k]", "0 1"),
        ("or %yes, %b : bool[n, q, k]", "1"),
        ("or %no, %no : bool[n, q, k]", "0"),
        ("where %no, %f, 2.0 : f32[n, q, k]", "2"),
        ("where %yes, 1.0, %f : f32[n, q, k]", "1"),
        ("where %b, %p, 2.0 : f32[n, q, k]", "0..2"),
        ("where %b, 1.0, 2.0 : f32[n, q, k]", "1 2"),
        ("where %b, 0, 2 : i64[n, q, k]", "0 2"),
        ("less %p, 2.0 : bool[n, q, k]", "1"),
        ("less %p, 1.0 : bool[n, q, k]", "0 1"),
        ("less %p, 0.5 : bool[n, q, k]", "0 1"),
        ("less %p, 0.0 : bool[n, q, k]", "0"),
        ("less_or_equal %p, 1.0 : bool[n, q, k]", "1"),
        ("less_or_equal %p, 0.0 : bool[n, q, k]", "0 1"),
        ("less_or_equal %p, -0.5 : bool[n, q, k]", "0"),
        ("greater %p, -1.0 : bool[n, q, k]", "1"),
        ("greater %p, 0.0 : bool[n, q, k]", "0 1"),
        ("greater %p, 1.0 : bool[n, q, k]", "0"),
        ("greater_or_equal %p, 0.0 : bool[n, q, k]", "1"),
        ("greater_or_equal %p, 1.0 : bool[n, q, k]", "0 1"),
        ("greater_or_equal %p, 1.5 : bool[n, q, k]", "0"),
        ("equal %p, 2.0 : bool[n, q, k]", "0"),
        ("equal %p, -1.0 : bool[n, q, k]", "0"),
        ("equal %p, 1.0 : bool[n, q, k]", "0 1"),
        ("equal %p, 0.0 : bool[n, q, k]", "0 1"),
        ("equal %two, 2.0 : bool[n, q, k]", "1"),
        ("equal %two, %none : bool[n, q, k]", "0"),
        ("equal %bit, %bit : bool[n, q, k]", "0 1"),
        ("concat %w, %bit {axis = 0} : f32[2*n, q, k]", "-2 0 1 3"),
        ("concat %w, %f {axis = 0} : f32[2*n, q, k]", "?"),
        ("gather %w, %s {axis = 0} : f32[n, q, k]", "-2 3"),
        ("transpose %w {perm = [2, 1, 0]} : f32[k, q, n]", "-2 3"),
        ("trilu %two {upper = true} : f32[n, q, k]", "0 2"),
        ("range 2, %one, 3 : i64[?]", "2..inf"),
        ("cast %w {to = bool} : bool[n, q, k]", "1"),
        ("cast %bit {to = bool} : bool[n, q, k]", "0 1"),
        ("cast %p {to = bool} : bool[n, q, k]", "0 1"),
        ("cast %none {to = bool} : bool[n, q, k]", "0"),
        ("cast %f {to = bool} : bool[n, q, k]", "0 1"),
        ("cast %b {to = i32} : i32[n, q, k]", "0 1"),
        ("cast %b {to = u8} : u8[n, q, k]", "?"),
        ("cast %b {to = f16} : f16[n, q, k]", "0 1"),
        ("cast %whole {to = f32} : f32[n, q, k]", "0 1"),
        ("cast %whole {to = i32} : i32[n, q, k]", "0 1"),
        ("cast %whole {to = u8} : u8[n, q, k]", "?"),
        ("cast %whole {to = f16} : f16[n, q, k]", "0 1"),
        ("cast %w {to = i64} : i64[n, q, k]", "?"),
        ("cast %h {to = f32} : f32[n, q, k]", "-2 3"),
        ("cast %i {to = f32} : f32[n, q, k]", "?"),
        ("cast %wide {to = f32} : f32[n]", "?"),
        ("cast %bit {to = f64} : f64[n, q, k]", "0 1"),
        ("cast %bit {to = i32} : i32[n, q, k]", "?"),
        ("cast %u {to = f16} : f16[n, q, k]", "?"),
    ] {
        let graph = graph(&format!("%result = {node}"));
        let found = shown(&Numbers::of(&graph, graph.outputs()[0].value));
        if found != expected {
            failures.push(format!("{node}: {found}, not {expected}"));
        }
    }
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}

/// Returns the numbers of the only output.
fn numbers(text: &str) -> Numbers {
    let graph = parse(text).unwrap_or_else(|error| panic!("{error} in\n{text}"));
    Numbers::of(&graph, graph.outputs()[0].value)
}

#[test]
fn few_whole_numbers_are_listed() {
    let text = "g(%x: i64[n]) {
  %above = max 2, %x : i64[n]
  %y = min 4, %above : i64[n]
  return %y
}";
    assert_eq!(numbers(text), Numbers::all([2.0, 3.0, 4.0]));
}

#[test]
fn zero_times_infinity_is_nan() {
    let text = "g(%x: bool[n], %scale: f32[], %i: i64[n]) {
  %a = cast %x {to = f32} : f32[n]
  %b = mul %a, -inf : f32[n]
  %y = max %b, -1.0 : f32[n]
  %c = cast %i {to = f32} : f32[n]
  %z = mul %c, inf : f32[n]
  %other = mul %a, %scale : f32[n]
  %shifted = add %other, -inf : f32[n]
  return %y, %z, %other, %shifted
}";
    let graph = parse(text).unwrap_or_else(|error| panic!("{error}"));
    let has_nan = |at: usize| Numbers::of(&graph, graph.outputs()[at].value).has_nan;
    assert!(has_nan(0) && has_nan(1));
    // An input may be infinity, but no listed number makes the product NaN.
    assert!(!has_nan(2) && !has_nan(3));
}

#[test]
fn large_numbers_are_an_interval() {
    let text = "g(%x: i64[n]) {
  %below = min %x, 10000000000000002 : i64[n]
  %y = max %below, 10000000000000000 : i64[n]
  return %y
}";
    assert_eq!(numbers(text), Numbers::between(1e16, 1e16 + 2.0));
}

#[test]
fn later_keys_come_after_the_past() {
    let text = "g(%before: f32[p], %new: f32[s], %bias: f32[s, p + s]) {
  %past = shape %before : i64[1]
  %queries = shape %new : i64[1]
  %keys = add %past, %queries : i64[1]
  %sizes = concat %queries, %keys {axis = 0} : i64[2]
  %hidden = expand -1e30, %sizes : f32[s, p + s]
  %diagonal = squeeze %past : i64[]
  %next = add %diagonal, 1 : i64[]
  %after = add %diagonal, 2 : i64[]
  %from_next = trilu %hidden, %next {upper = true} : f32[s, p + s]
  %from_after = trilu %hidden, %after {upper = true} : f32[s, p + s]
  %without_past = trilu %hidden, 1 {upper = true} : f32[s, p + s]
  %limit = squeeze %keys : i64[]
  %all = range 0, %limit, 1 : i64[p + s]
  %own = range %diagonal, %limit, 1 : i64[s]
  %rows = unsqueeze %own, [1] : i64[s, 1]
  %is_seen = less_or_equal %all, %rows : bool[s, p + s]
  %is_hidden = less %all, %rows : bool[s, p + s]
  %causal = where %is_seen, 0.0, -1e30 : f32[s, p + s]
  %reversed = where %is_hidden, -1e30, 0.0 : f32[s, p + s]
  %square = concat %keys, %keys {axis = 0} : i64[2]
  %all_hidden = expand -1e30, %square : f32[p + s, p + s]
  %triangle = trilu %all_hidden, 1 {upper = true} : f32[p + s, p + s]
  %last_rows = slice %triangle, %past, %keys, [0] : f32[s, p + s]
  %unbounded = where %is_seen, %bias, -1e30 : f32[s, p + s]
  %first_rows = slice %triangle, [0], %queries, [0] : f32[s, p + s]
  return %from_next, %from_after, %without_past, %causal, %reversed, %last_rows, %first_rows, %unbounded
}";
    let graph = parse(text).unwrap_or_else(|error| panic!("{error}"));
    let hides = |past: &str| {
        let outputs = graph.outputs().iter();
        outputs.map(|output| Numbers::hides_later_keys(&graph, output.value, &past.into())).collect::<Vec<_>>()
    };
    // A mask that hides more than the later keys hides them too.
    assert_eq!(hides("p"), [true, false, true, true, false, true, false, false]);
    assert_eq!(hides("q"), [false; 8]);
}

#[test]
fn later_keys_are_hidden_beside_others() {
    for (seen, later, expected) in [
        (0.0, -9984.0, true),
        (0.0, -9983.0, false),
        (-1e30, -1e30, false),
        (6000.0, -5000.0, false),
        (-20000.0, -1e6, true),
        (-20000.0, -25000.0, false),
    ] {
        let text =
            format!("g() {{\n%y = constant [{seen:?}, {later:?}, {seen:?}, {seen:?}] : f32[2, 2]\nreturn %y\n}}");
        let graph = parse(&text).unwrap_or_else(|error| panic!("{error}"));
        let hides = Numbers::hides_later_keys(&graph, graph.outputs()[0].value, &Dim::Known(0));
        assert_eq!(hides, expected, "{later} beside {seen}");
    }
    let text = "g() {\n%y = constant [0.0, 0.0, -1e30, 0.0, 0.0, 0.0] : f32[2, 3]\nreturn %y\n}";
    let graph = parse(text).unwrap_or_else(|error| panic!("{error}"));
    let hides = |past: i64| Numbers::hides_later_keys(&graph, graph.outputs()[0].value, &Dim::Known(past));
    assert_eq!([0, 1].map(hides), [false, true], "the number of keys before the first query");
}

#[test]
fn a_row_of_a_mask_that_is_broadcast_has_the_keys_of_all_queries() {
    // The row has the past and one key, but may be that of several queries.
    for (queries, expected) in [(1, false), (2, true)] {
        let keys = queries + 3;
        let text = format!(
            "g() {{\n%low = expand -1e30, [{queries}, {keys}] : f32[{queries}, {keys}]\n\
             %y = trilu %low, 4 {{upper = true}} : f32[{queries}, {keys}]\nreturn %y\n}}"
        );
        let graph = parse(&text).unwrap_or_else(|error| panic!("{error}"));
        let hides = Numbers::hides_later_keys(&graph, graph.outputs()[0].value, &Dim::Known(3));
        assert_eq!(hides, expected, "{queries}");
    }
}

#[test]
fn a_mask_of_one_element_has_no_later_keys() {
    let text = "g(%x: f32[1, 1]) {\n%y = trilu %x {upper = false} : f32[1, 1]\nreturn %y\n}";
    let graph = parse(text).unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(Numbers::of_later_keys(&graph, graph.outputs()[0].value), Numbers::UNKNOWN);
}

#[test]
fn long_chains_are_not_followed() {
    let doubled: String = (1..=60).map(|at| format!("%t{at} = add %t{0}, %t{0} : f32[n]\n", at - 1)).collect();
    let text = format!(
        "g(%x: i64[n]) {{\n%t0 = cast %x {{to = f32}} : f32[n]\n{doubled}%above = max 0.0, %t60 : f32[n]\n\
         %y = min 3.0, %above : f32[n]\nreturn %y\n}}"
    );
    assert_eq!(numbers(&text), Numbers::between(0.0, 3.0));
}

#[test]
fn of_more_than_one_operator() {
    let least_to_most = |of: &str, least: &str, most: &str| {
        format!("%a = max %{of}, {least} : f32[n, q, k]\n%c = min %a, {most} : f32[n, q, k]")
    };
    let cases = [
        // Integers in a short interval are listed, eight at most.
        (least_to_most("fi", "0.0", "2.0"), "0 1 2"),
        (least_to_most("f", "0.0", "2.0"), "0..2"),
        (least_to_most("fi", "0.5", "2.0"), "0.5..2"),
        (least_to_most("fi", "-1.0", "6.0"), "-1 0 1 2 3 4 5 6"),
        (least_to_most("fi", "-1.0", "7.0"), "-1..7"),
        (least_to_most("fi", "999990.0", "999995.0"), "999990 999991 999992 999993 999994 999995"),
        (least_to_most("fi", "999999.0", "1000000.0"), "999999..1000000"),
        (least_to_most("fi", "-1000000.0", "-999999.0"), "-1000000..-999999"),
        (format!("%t = neg %fi : f32[n, q, k]\n{}", least_to_most("t", "0.0", "1.0")), "0 1"),
        (format!("%t = relu %fi : f32[n, q, k]\n{}", least_to_most("t", "-1.0", "1.0")), "0 1"),
        (format!("%t = mul %fi, 2.0 : f32[n, q, k]\n{}", least_to_most("t", "0.0", "1.0")), "0 1"),
        (format!("%t = mul %fi, 0.5 : f32[n, q, k]\n{}", least_to_most("t", "0.0", "1.0")), "0..1"),
        (format!("%t = add %f, 1.0 : f32[n, q, k]\n{}", least_to_most("t", "0.0", "1.0")), "0..1"),
        (format!("%t = expand %fi, [1, 1, 1] : f32[n, q, k]\n{}", least_to_most("t", "0.0", "1.0")), "0 1"),
        (format!("%t = sqrt %fi : f32[n, q, k]\n{}", least_to_most("t", "0.0", "1.0")), "0..1"),
        ("%c = constant [7.0, 6.0, 5.0, 4.0, 3.0, 2.0, 1.0, 1.0, 0.0] : f32[9]".to_owned(), "0 1 2 3 4 5 6 7"),
        ("%c = constant [8.0, 7.0, 6.0, 5.0, 4.0, 3.0, 2.0, 1.0, 0.0] : f32[9]".to_owned(), "0..8"),
        ("%c = constant fill(2.0) : f32[262144]".to_owned(), "2"),
        ("%c = constant fill(2.0) : f32[262145]".to_owned(), "?"),
        ("%c = constant [1, 2] : u8[2]".to_owned(), "1 2"),
        ("%c = parameter hex(003e0040) : f16[2]".to_owned(), "1.5 2"),
        ("%c = constant_of_shape %size {value = tensor(f32[1] [3.0])} : f32[n]".to_owned(), "3"),
        ("%c = identity %size : i64[1]".to_owned(), "0..inf"),
        ("%t = neg %size : i64[1]\n%c = add %t, 1 : i64[1]".to_owned(), "?"),
        // Sums are rounded as they are at run time, and integers of few bits wrap.
        ("%t = where %b, f16[] hex(0068), f16[] hex(0000) : f16[n, q, k]\n%c = add %t, f16[] hex(003c) : f16[n, q, k]".to_owned(), "1 2048"),
        ("%t = cast %b {to = i32} : i32[n, q, k]\n%c = add %t, i32[] 1 : i32[n, q, k]".to_owned(), "?"),
        ("%t = where %b, 2000000, 0 : i64[n, q, k]\n%c = add %t, 1 : i64[n, q, k]".to_owned(), "?"),
        ("%t = where %b, 999999, -999999 : i64[n, q, k]\n%c = add %t, 1 : i64[n, q, k]".to_owned(), "-999998 1000000"),
        ("%t = where %b, 70000.0, 0.0 : f32[n, q, k]\n%c = cast %t {to = f16} : f16[n, q, k]".to_owned(), "0 inf"),
        ("%t = where %b, 16777217, 0 : i64[n, q, k]\n%c = cast %t {to = f32} : f32[n, q, k]".to_owned(), "0 16777216"),
        ("%t = where %b, 16777217, 0 : i64[n, q, k]\n%c = cast %t {to = f16} : f16[n, q, k]".to_owned(), "?"),
        ("%t = where %b, 16777217, 0 : i64[n, q, k]\n%c = cast %t {to = i32} : i32[n, q, k]".to_owned(), "?"),
    ];
    let mut failures = vec![];
    for (text, expected) in cases {
        let graph = graph(&text);
        let found = shown(&Numbers::of(&graph, graph.outputs()[0].value));
        if found != expected {
            failures.push(format!("{text}: {found}, not {expected}"));
        }
    }
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}

/// `%m` holds 0 on and below the diagonal of its last two axes, and 5 above it.
#[test]
fn of_the_first_of_rows_and_of_later_keys() {
    let mut failures = vec![];
    for (node, first, later) in [
        ("identity %m : f32[n, k, k]", "0", "5"),
        ("add %m, 1.0 : f32[n, k, k]", "1", "6"),
        ("reduce_max %m, [0] : f32[1, k, k]", "0 5", "0 5"),
        ("trilu %fives {upper = true} : f32[n, k, k]", "0 5", "5"),
        ("trilu %fives, 2 {upper = true} : f32[n, k, k]", "0", "0 5"),
        ("trilu %fives, %one {upper = true} : f32[n, k, k]", "0 5", "0 5"),
        ("trilu %fives, -1 {upper = false} : f32[n, k, k]", "0 5", "0"),
        ("trilu %fives {upper = false} : f32[n, k, k]", "0 5", "0"),
        ("trilu %fives, 1 {upper = false} : f32[n, k, k]", "0 5", "0 5"),
        ("trilu %two {upper = true} : f32[n, q, k]", "0 2", "0 2"),
        ("trilu %two {upper = false} : f32[n, q, k]", "0 2", "0 2"),
        ("expand %m, [1, 1, 1] : f32[n, k, k]", "0", "5"),
        ("transpose %m {perm = [1, 0, 2]} : f32[k, n, k]", "0", "0 5"),
        ("transpose %m {perm = [0, 2, 1]} : f32[n, k, k]", "0 5", "0 5"),
        ("transpose %m4 {perm = [1, 0, 2, 3]} : f32[n, 1, k, k]", "0", "5"),
        ("gather %m, 0 {axis = 0} : f32[k, k]", "0", "5"),
        ("gather %m, 0 {axis = 1} : f32[n, k]", "0", "0 5"),
        ("gather %m, 0 {axis = -1} : f32[n, k]", "0 5", "0 5"),
        ("concat %m, %m {axis = 0} : f32[2*n, k, k]", "0", "5"),
        ("concat %m, %m {axis = -2} : f32[n, 2*k, k]", "0", "0 5"),
        ("concat %m, %m {axis = 2} : f32[n, k, 2*k]", "0 5", "0 5"),
        ("unsqueeze %m, [0] : f32[1, n, k, k]", "0", "5"),
        ("unsqueeze %m, [2] : f32[n, k, 1, k]", "0", "0 5"),
        ("unsqueeze %m, [3] : f32[n, k, k, 1]", "0 5", "0 5"),
        ("squeeze %m4, [0] : f32[n, k, k]", "0", "5"),
        ("reshape %m, [0, -1, 1] : f32[n, k*k, 1]", "0 5", "0 5"),
        ("slice %m, [1], [3], [0] : ?", "0", "5"),
        ("slice %m, [0], [2], [2] : ?", "0", "5"),
        ("slice %m, [1], [3], [2] : ?", "0 5", "0 5"),
        ("slice %m, [1], [3], [1] : ?", "0", "0 5"),
        ("slice %m, [0], [4], [2], [2] : ?", "0", "0 5"),
        ("slice %m, [0], [4], [1], [2] : ?", "0", "0 5"),
        ("slice %m, [0], [-9], [2], [-1] : ?", "0 5", "0 5"),
        ("slice %m, %size, [3], [2] : ?", "0 5", "0 5"),
        ("slice %m, [0], [3], [2], %size : ?", "0 5", "0 5"),
        ("slice %m, [0, 1], [2, 3], [-1, 0] : ?", "0", "5"),
        ("constant [0.0, 1.0, 2.0, 3.0, 4.0, 5.0] : f32[2, 3]", "0 3", "1 2 5"),
        ("constant [0.0, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0] : f32[2, 2, 2]", "0 2 4 6", "1 5"),
        ("constant [0.0, 1.0, 2.0] : f32[3]", "0", "0 1 2"),
        ("constant [0.0, 1.0, 2.0] : f32[1, 3]", "0", "0 1 2"),
        ("constant [0.0, 1.0, 2.0] : f32[3, 1]", "0 1 2", "0 1 2"),
        ("constant [3, 1, 2] : i64[3]", "3", "1 2 3"),
        ("constant [] : f32[2, 0]", "?", "?"),
        ("transpose %m5 {perm = [0, 2, 1, 3, 4]} : f32[1, n, 1, k, k]", "0", "5"),
        ("range 2, %one, 3 : i64[?]", "2", "2..inf"),
        ("range 2, %one, -1 : i64[?]", "2", "?"),
        ("sub %later, %earlier : i64[4, 4]", "-3 -2 -1 0", "1..inf"),
        ("greater %later, %earlier : bool[4, 4]", "0", "1"),
        ("greater_or_equal %later, %earlier : bool[4, 4]", "0 1", "1"),
        ("less %earlier, %later : bool[4, 4]", "0", "1"),
        ("less %later, %earlier : bool[4, 4]", "0 1", "0"),
        ("less_or_equal %later, %earlier : bool[4, 4]", "1", "0"),
        // An input of integers with `mask` in its name is a padding mask.
        ("identity %mask : i64[n, q, k]", "?", "0 1"),
        ("identity %i : i64[n, q, k]", "?", "?"),
        ("identity %float_mask : f32[n]", "?", "?"),
        ("identity %b : bool[n, q, k]", "0 1", "0 1"),
    ] {
        let graph = graph(&format!("%result = {node}"));
        let value = graph.outputs()[0].value;
        let found = [Numbers::first_of_rows(&graph, value), Numbers::of_later_keys(&graph, value)].map(|of| shown(&of));
        if found != [first, later] {
            failures.push(format!("{node}: {found:?}, not {:?}", [first, later]));
        }
    }
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}
