//! Tests of passes on bodies and on the nodes that have them.

use netwright_ir::{Model, check, parse};
use netwright_passes::{Limits, Options, PassError, optimize, passes, pipeline};

fn run(names: &[&str], text: &str) -> String {
    let mut graph = parse(text).unwrap_or_else(|error| panic!("{error} in\n{text}"));
    let chosen: Vec<_> = passes().into_iter().filter(|pass| names.contains(&pass.name)).collect();
    assert_eq!(chosen.len(), names.len());
    pipeline::run(&chosen, &mut graph, Limits::default()).unwrap_or_else(|error| panic!("{error}"));
    check(&graph).unwrap_or_else(|violations| panic!("{violations}"));
    graph.to_string()
}

#[test]
fn passes_go_into_bodies() {
    let text = "g(%c: bool[], %x: f32[n]) {
  %y = if %c {then_branch = graph a(; %b: f32[n] = %x) {
    %i = identity %b : f32[n]
    %e = exp %i : f32[n]
    return y = %e
  }, else_branch = graph b(; %b: f32[n] = %x, %unread: bool[] = %c) {
    %dead = neg %b : f32[n]
    %e = neg %b : f32[n]
    return y = %e
  }} : f32[n]
  return %y
}
";
    let expected = "g(%c: bool[], %x: f32[n]) {
  %y = if %c {then_branch = graph a(; %x: f32[n] = %x) {
    %e = exp %x : f32[n]
    return y = %e
  }, else_branch = graph b(; %x: f32[n] = %x) {
    %e = neg %x : f32[n]
    return y = %e
  }} : f32[n]
  return %y
}
";
    assert_eq!(run(&["eliminate-dead-code", "canonicalize"], text), expected);
}

#[test]
fn known_branches() {
    let text = |condition: &str| {
        format!(
            "g(%c: bool[], %x: f32[n], %z: f32[m]) {{
  %y, %k = if {condition} {{then_branch = graph a(; %x: f32[n] = %x) {{
    %y = exp %x : f32[n]
    return %y, k = %x
  }}, else_branch = graph b(; %z: f32[m] = %z, %x: f32[n] = %x) {{
    %y = neg %z : f32[m]
    return %y, k = %x
  }}}} : f32[?], f32[n]
  %u = exp %k : f32[n]
  return %y, %u
}}
"
        )
    };
    let names = ["inline-known-branches"];
    assert_eq!(
        run(&names, &text("bool[] true")),
        "g(%c: bool[], %x: f32[n], %z: f32[m]) {\n  %y = exp %x : f32[n]\n  %u = exp %x : f32[n]\n  return %y, %u\n}\n"
    );
    assert_eq!(
        run(&names, &text("bool[1] [false]")),
        "g(%c: bool[], %x: f32[n], %z: f32[m]) {\n  %y = neg %z : f32[m]\n  %u = exp %x : f32[n]\n  return %y, %u\n}\n"
    );
    assert_eq!(run(&names, &text("%c")), text("%c"));
}

#[test]
fn captured_constants() {
    let text = |half: &str, captured: &str| {
        format!(
            "g(%m: i64[], %x: f32[n]) {{
  %y = loop %m, _, %x {{body = graph b(%i: i64[], %on: bool[], %v: f32[n]{captured}) {{
    %w = mul %v, {half} : f32[n]
    return %on, %w
  }}}} : f32[n]
  return %y
}}
"
        )
    };
    let before = text("%h", "; %h: f32[] = f32[] 0.5");
    assert_eq!(run(&["sink-constants"], &before), text("0.5", ""));
}

/// Checks that a large tensor in both branches, and possibly in the graph around them, is shared; a small one stays.
#[test]
fn tensors_of_both_branches() {
    let large = |first: &str| format!("parameter hex({first}{}) : f32[16, 16]", "0000803f".repeat(255));
    let (one, two) = (large("0000803f"), large("00000040"));
    let body = |name: &str, w: &str, captured: &str, operand: &str| {
        format!(
            "graph {name}(; %x: f32[n, 16] = %x{captured}) {{
{w}    %s = parameter [1, 2] : f32[2]
    %m = matmul %x, %{operand} : f32[n, 16]
    return y = %m, %s
  }}"
        )
    };
    let text = |outer: &str, branches: [String; 2]| {
        let [a, b] = branches;
        format!(
            "g(%c: bool[], %x: f32[n, 16]) {{
{outer}  %y, %t = if %c {{then_branch = {a}, else_branch = {b}}} : f32[n, 16], f32[2]
  return %y, %t
}}
"
        )
    };
    let own = |name: &str, tensor: &str| body(name, &format!("    %w = {tensor}\n"), "", "w");
    let names = ["share-constants-of-bodies"];
    // A capture has the name of the captured value.
    let capture = |name: &str, of: &str| body(name, "", &format!(", %{of}: f32[16, 16] = %{of}"), of);
    let shared = |of: &str| [capture("a", of), capture("b", of)];
    let parse_and_print = |text: &str| parse(text).unwrap().to_string();
    assert_eq!(
        run(&names, &text("", [own("a", &one), own("b", &one)])),
        parse_and_print(&text(&format!("  %y.shared = {one}\n"), shared("y.shared")))
    );
    let different = text("", [own("a", &one), own("b", &two)]);
    assert_eq!(run(&names, &different), parse_and_print(&different));
    let outer = format!("  %u = {one}\n  %z = matmul %x, %u : f32[n, 16]\n");
    let with_outer = |branches| text(&outer, branches).replace("return %y, %t\n}\n", "return %y, %t, %z\n}\n");
    assert_eq!(
        run(&names, &with_outer([own("a", &one), own("b", &two)])),
        parse_and_print(&with_outer([capture("a", "u"), own("b", &two)]))
    );
}

#[test]
fn training_steps_read_values_by_name() {
    let mut model =
        Model::new(parse("g(%x: f32[n]) {\n%a = identity %x : f32[n]\n%y = exp %a : f32[n]\nreturn %y\n}").unwrap());
    model.training.push(netwright_ir::Training {
        initialization: None,
        algorithm: None,
        initialization_binding: vec![],
        update_binding: vec![],
    });
    assert_eq!(optimize(&mut model, &Options::default()).unwrap_err(), PassError::Training);
    let none = Options::default().with_only::<&str>([]);
    assert_eq!(optimize(&mut model, &none).unwrap().applied, []);
}
