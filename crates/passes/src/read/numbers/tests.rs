//! Tests of the bounds on elements.

use super::*;
use netwright_ir::parse;

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
    let text = "g(%before: f32[p], %new: f32[s]) {
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
  return %from_next, %from_after, %without_past, %causal, %reversed
}";
    let graph = parse(text).unwrap_or_else(|error| panic!("{error}"));
    let hides = |past: &str| {
        let outputs = graph.outputs().iter();
        outputs.map(|output| Numbers::hides_later_keys(&graph, output.value, &past.into())).collect::<Vec<_>>()
    };
    // What hides more than the later keys hides them too.
    assert_eq!(hides("p"), [true, false, true, true, false]);
    assert_eq!(hides("q"), [false; 5]);
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
