//! What each pass does, one pass at a time: the diff of the IR text, and the near misses with their reasons; and tract's
//! word that the function is the same.

mod common;

use common::{small, snapshot};
use netwright::ir::{Detail, ElementType, Graph, Kind, Model, TensorType, check, parse, shape};
use netwright::nn::{Builder, EncoderLayer, Part, Transformer, Weights};
use netwright::onnx::{self, WriteOptions};
use netwright::passes::{Event, Limits, Options, Pass, Report, Target, diff, lower, optimize, passes, pipeline};
use netwright::verify::{self, Verdict, verify};
use std::path::Path;
use tempfile::TempDir;

fn pass(name: &str) -> Pass {
    passes().into_iter().find(|pass| pass.name == name).unwrap_or_else(|| panic!("{name} is no pass"))
}

/// Runs one pass, to its own end.
fn run(name: &str, graph: &mut Graph) -> Report {
    pipeline::run(&[pass(name)], graph, Limits::default()).unwrap_or_else(|error| panic!("{error}"))
}

fn attention_inputs(body: &str) -> Graph {
    let inputs = "%x: f32[b, h, q, k], %m: f32[b, 1, 1, k], %y: f32[b, h, q, k], %ids: i64[b, q]";
    let text = format!("g({inputs}) {{\n{body}\n}}");
    parse(&text).unwrap_or_else(|error| panic!("{error} in\n{text}"))
}

fn lines(word: &str, events: &[Event]) -> String {
    events.iter().map(|event| format!("{word}: {event}\n")).collect()
}

/// Cases that tract cannot judge, and what stands in the way.
const NOT_VERIFIABLE: [(&str, &str); 3] = [
    ("transpose_counted_from_the_end", "expected list of non-negative ints"),
    ("kept_operators", "its results are random"),
    ("bf16_projection", "elements of type bf16"),
];

/// How far a pass may move a number: not at all, where it says that it is exact.
fn tolerance(pass: &str) -> f64 {
    match pass {
        "eliminate-dead-code" | "canonicalize" | "fold-constants" | "eliminate-common-subexpressions" => 0.0,
        _ => 1e-5,
    }
}

/// Lowers and writes at an opset that has every operator but the fused, so that those that are decomposed for older
/// ones are compared with themselves.
fn write(graph: &Graph, path: &Path) {
    let mut model = Model::new(graph.clone());
    model.opsets.insert(String::new(), 23);
    // Lowering removes what is dead, which one pass is here to do.
    if graph.schedule().into_iter().any(|id| graph.node(id).op().kind().is_fused()) {
        lower(&mut model, true).unwrap_or_else(|error| panic!("{error}"));
    }
    onnx::write(&model, path, &WriteOptions::default()).unwrap_or_else(|error| panic!("{error}"));
}

/// The graphs before and after a pass compute the same in tract, or stand among the cases that it cannot judge.
fn check_equal(case: &str, name: &str, before: &Graph, after: &Graph) {
    let folder = TempDir::new().expect("a folder");
    let [a, b] = [("before.onnx", before), ("after.onnx", after)].map(|(file, graph)| {
        let path = folder.path().join(file);
        write(graph, &path);
        path
    });
    let options = verify::Options { tolerance: tolerance(name), ..verify::Options::default() };
    let verdict = verify(&a, Some(&b), &options).unwrap_or_else(|error| panic!("{case}: {error}"));
    let expected = NOT_VERIFIABLE.iter().find(|(other, _)| *other == case).map(|(_, why)| *why);
    match (&verdict, expected) {
        (Verdict::Equal { .. }, None) => {}
        (Verdict::NotVerifiable { reasons, .. }, Some(why))
            if reasons.iter().all(|reason| reason.why.contains(why)) => {}
        _ => panic!("{case}@{name}: {verdict}\nexpected: {}", expected.unwrap_or("equal")),
    }
}

/// The diff of one pass and what it declined; the function is the same, the pass does nothing when run again, and the
/// text stays readable.
fn check_pass(case: &str, name: &str, mut graph: Graph) {
    let declared = graph.clone();
    let before = graph.to_string();
    let report = run(name, &mut graph);
    let after = graph.to_string();
    // Where nothing changes, the whole text is context.
    let text =
        if before == after { before.lines().map(|line| format!(" {line}\n")).collect() } else { diff(&before, &after) };
    snapshot("passes", &format!("{case}@{name}"), &(text + &lines("declined", &report.declined)));
    assert_eq!(before == after, report.applied.is_empty(), "{case}: what is applied shows in the text");
    let again = run(name, &mut graph);
    assert_eq!((again.applied, again.declined), (vec![], report.declined), "{case}: once is enough");
    assert_eq!(parse(&graph.to_text(Detail::Full)).as_ref(), Ok(&graph), "{case}");
    check_equal(case, name, &declared, &graph);
}

fn check_cases(name: &str, cases: &[(&str, &str)]) {
    for (case, body) in cases {
        check_pass(case, name, attention_inputs(body));
    }
}

#[test]
fn eliminate_dead_code() {
    check_cases(
        "eliminate-dead-code",
        &[(
            "dead_chain",
            "%a = exp %x : f32[b, h, q, k]
             %b = mul %a, 2.0 : f32[b, h, q, k]
             %c = tanh %b : f32[b, h, q, k]
             return %a",
        )],
    );
}

#[test]
fn canonicalize() {
    check_cases(
        "canonicalize",
        &[
            (
                "identities",
                "%a = identity %x : f32[b, h, q, k]
                 %b = cast %a {to = f32} : f32[b, h, q, k]
                 %c = transpose %b {perm = [0, 1, 2, 3]} : f32[b, h, q, k]
                 %d = mul 1.0, %c : f32[b, h, q, k]
                 %e = exp %d : f32[b, h, q, k]
                 return %e",
            ),
            (
                // ONNX counts the axes of a permutation from the front alone.
                "transpose_counted_from_the_end",
                "%a = transpose %x {perm = [0, 1, 2, -1]} : f32[b, h, q, k]
                 %b = exp %a : f32[b, h, q, k]
                 return %b",
            ),
            (
                // A result of the graph keeps a node between it and an input.
                "identity_of_an_input_as_output",
                "%a = identity %x : f32[b, h, q, k]
                 return %a",
            ),
            (
                // The constant gives the result another axis.
                "unit_factor_that_widens",
                "%a = mul %x, f32[1, 1, 1, 1, 1] [1.0] : f32[1, b, h, q, k]
                 return %a",
            ),
            (
                // -0.0 + 0.0 is 0.0, and NaN * 0.0 is NaN.
                "zeros_are_no_identities",
                "%a = add %x, 0.0 : f32[b, h, q, k]
                 %b = mul %a, 0.0 : f32[b, h, q, k]
                 %c = sub %b, %b : f32[b, h, q, k]
                 return %c",
            ),
            (
                "transposes",
                "%a = transpose %x {perm = [0, 2, 1, 3]} : f32[b, q, h, k]
                 %b = transpose %a {perm = [0, 1, 3, 2]} : f32[b, q, k, h]
                 %c = transpose %b {perm = [2, 0, 1, 3]} : f32[k, b, q, h]
                 %d = exp %c : f32[k, b, q, h]
                 %e = transpose %a {perm = [0, 2, 1, 3]} : f32[b, h, q, k]
                 %f = exp %e : f32[b, h, q, k]
                 return %d, %f",
            ),
            (
                "reshapes",
                "%a = reshape %x, [1, -1] : f32[1, b*h*k*q]
                 %b = reshape %a, [-1, 1, 1] : f32[b*h*k*q, 1, 1]
                 return %b",
            ),
            (
                // The 0 keeps the first size of %a, which is not the first of %x.
                "reshape_that_keeps_a_size",
                "%a = reshape %x, [-1, 1] : f32[b*h*k*q, 1]
                 %b = reshape %a, [0, 1, 1] : f32[b*h*k*q, 1, 1]
                 return %b",
            ),
            (
                // A size that is 0 when the model runs would keep the first size of %a.
                "reshape_to_a_size_that_may_be_zero",
                "%n = shape %ids {start = 0, end = 1} : i64[1]
                 %s = concat %n, [-1] {axis = 0} : i64[2]
                 %a = reshape %x, [1, -1] : f32[1, b*h*k*q]
                 %b = reshape %a, %s : f32[b, h*k*q]
                 return %b",
            ),
            (
                "divisions",
                "%a = div %x, 8.0 : f32[b, h, q, k]
                 %b = div %a, f32[1] [-0.25] : f32[b, h, q, k]
                 return %b",
            ),
            (
                // 1/3 is rounded, 1/2^-140 is no f32, and 0 has no inverse.
                "divisions_that_round",
                "%a = div %x, 3.0 : f32[b, h, q, k]
                 %b = div %a, 7.174648137343064e-43 : f32[b, h, q, k]
                 %c = div %b, 0.0 : f32[b, h, q, k]
                 %d = div 8.0, %c : f32[b, h, q, k]
                 return %d",
            ),
            (
                "unit_scales",
                "%a = scaled_softmax %x {axis = -1, scale = 1.0} : f32[b, h, q, k]
                 %b = scaled_softmax %a, %m {axis = 2, scale = 1.0} : f32[b, h, q, k]
                 %c = scaled_softmax %b {axis = -1, scale = 0.5} : f32[b, h, q, k]
                 return %c",
            ),
        ],
    );
}

#[test]
fn fold_constants() {
    check_cases(
        "fold-constants",
        &[
            (
                "shape_arithmetic",
                "%w = parameter fill(0.5) : f32[64, 6]
                 %s = shape %w : i64[2]
                 %h = gather %s, i64[1] [-1] {axis = 0} : i64[1]
                 %d = div %h, [2] : i64[1]
                 %c = cast %d {to = i32} : i32[1]
                 %i = cast %c {to = i64} : i64[1]
                 %n = concat [-1], %i {axis = 0} : i64[2]
                 %t = concat %ids, %ids, %ids {axis = 1} : i64[b, 3*q]
                 %r = reshape %t, %n : i64[b*q, 3]
                 return %r",
            ),
            (
                // Sizes that are known only when the model runs.
                "symbolic_shape",
                "%s = shape %ids {start = 0, end = 1} : i64[1]
                 %n = concat %s, [-1] {axis = 0} : i64[2]
                 %r = reshape %x, %n : f32[b, h*k*q]
                 return %r",
            ),
            (
                "weights",
                "%w = parameter uniform(seed = 1, bound = 0.5) : f32[6, 64]
                 %t = transpose %w {perm = [1, 0]} : f32[64, 6]
                 %u = unsqueeze %t, [0] : f32[1, 64, 6]
                 %v = mul %u, 0.125 : f32[1, 64, 6]
                 %c = cast %v {to = f16} : f16[1, 64, 6]
                 %e = exp %c : f16[1, 64, 6]
                 return %e",
            ),
            (
                "small_constants",
                "%c = constant [1.0, 2.0, 3.0, 4.0] : f32[2, 2]
                 %t = transpose %c {perm = [1, 0]} : f32[2, 2]
                 %r = reshape %c, [4] : f32[4]
                 %a = exp %t : f32[2, 2]
                 %b = exp %r : f32[4]
                 %d = exp %c : f32[2, 2]
                 return %a, %b, %d",
            ),
            (
                // Tied embeddings stay one tensor, in one layout.
                "tied_embedding",
                "%e = parameter uniform(seed = 1, bound = 0.5) : f32[100, 8]
                 %g = gather %e, %ids : f32[b, q, 8]
                 %t = transpose %e {perm = [1, 0]} : f32[8, 100]
                 %l = matmul %g, %t : f32[b, q, 100]
                 return %l",
            ),
            (
                "cast_to_a_wider_type",
                "%w = parameter cast(f32[64, 16] fill(0.5)) : f16[64, 16]
                 %c = cast %w {to = f32} : f32[64, 16]
                 %e = exp %c : f32[64, 16]
                 return %e",
            ),
            ("changed_too_often", &changed_too_often()),
            (
                "transpose_of_other_axes",
                "%w = parameter fill(0.5) : f32[2, 3, 4]
                 %t = transpose %w {perm = [1, 0, 2]} : f32[3, 2, 4]
                 %e = exp %t : f32[3, 2, 4]
                 return %e",
            ),
            (
                "factor_that_widens",
                "%w = parameter fill(0.5) : f32[4]
                 %t = mul %w, f32[1, 1] [0.5] : f32[1, 4]
                 %e = exp %t : f32[1, 4]
                 return %e",
            ),
            (
                "constant_as_output",
                "%w = parameter fill(0.5) : f32[6, 64]
                 %s = shape %w : i64[2]
                 %t = transpose %w {perm = [1, 0]} : f32[64, 6]
                 return %s, %t",
            ),
        ],
    );
}

/// A chain of factors, each of which would put a recipe around the others.
fn changed_too_often() -> String {
    let factors = (0..17).map(|at| format!("%w{} = mul %w{at}, 0.5 : f32[8, 8]\n", at + 1));
    let body: String = factors.collect();
    let weight = "%w0 = parameter uniform(seed = 1, bound = 0.5) : f32[8, 8]";
    format!("{weight}\n{body} %e = exp %w17 : f32[8, 8]\n return %e")
}

#[test]
fn eliminate_common_subexpressions() {
    check_cases(
        "eliminate-common-subexpressions",
        &[
            (
                "common_chain",
                "%c = cast %ids {to = f32} : f32[b, q]
                 %u = unsqueeze %c, [1, 2] : f32[b, 1, 1, q]
                 %s = sub 1.0, %u : f32[b, 1, 1, q]
                 %c1 = cast %ids {to = f32} : f32[b, q]
                 %u1 = unsqueeze %c1, [1, 2] : f32[b, 1, 1, q]
                 %s1 = sub 1.0, %u1 : f32[b, 1, 1, q]
                 %r = sub %s, %s1 : f32[b, 1, 1, q]
                 return %r, masks = %s1",
            ),
            (
                "either_order",
                "%a = add %x, %y : f32[b, h, q, k]
                 %b = add %y, %x : f32[b, h, q, k]
                 %c = sub %a, %b : f32[b, h, q, k]
                 %d = sub %b, %a : f32[b, h, q, k]
                 %e = sub %x, %y : f32[b, h, q, k]
                 %f = sub %y, %x : f32[b, h, q, k]
                 %g = sum %c, %d, %e, %f : f32[b, h, q, k]
                 return %g",
            ),
            (
                "attributes_differ",
                "%a = softmax %x {axis = -1} : f32[b, h, q, k]
                 %b = softmax %x {axis = -2} : f32[b, h, q, k]
                 %c = mul %a, 2.0 : f32[b, h, q, k]
                 %d = mul %b, f32[1] [2.0] : f32[b, h, q, k]
                 %e = add %c, %d : f32[b, h, q, k]
                 return %e",
            ),
            (
                // Two biases that begin alike are two; large tables are not compared.
                "trained_tensors",
                "%w = parameter fill(0.0) : f32[8]
                 %v = parameter fill(0.0) : f32[8]
                 %p = constant sinusoidal(halves) : f32[32, 16]
                 %o = constant sinusoidal(halves) : f32[32, 16]
                 %a = add %w, %v : f32[8]
                 %b = add %p, %o : f32[32, 16]
                 return %a, %b",
            ),
            (
                // It may be random.
                "kept_operators",
                "%a = \"::RandomNormalLike@21\" %x : f32[b, h, q, k]
                 %b = \"::RandomNormalLike@21\" %x : f32[b, h, q, k]
                 %c = add %a, %b : f32[b, h, q, k]
                 return %c",
            ),
            (
                // Two results of the graph are two nodes.
                "outputs",
                "%a = exp %x : f32[b, h, q, k]
                 %b = exp %x : f32[b, h, q, k]
                 return %a, %b",
            ),
        ],
    );
}

#[test]
fn fuse_scale_softmax() {
    check_cases(
        "fuse-scale-softmax",
        &[
            (
                "mul",
                "%s = mul %x, 0.125 : f32[b, h, q, k]
                 %p = softmax %s {axis = -1} : f32[b, h, q, k]
                 return %p",
            ),
            (
                "mul_other_order",
                "%s = mul f32[1, 1] [0.125], %x : f32[b, h, q, k]
                 %p = softmax %s {axis = 2} : f32[b, h, q, k]
                 return %p",
            ),
            (
                "div",
                "%s = div %x, 2.828427 : f32[b, h, q, k]
                 %p = softmax %s {axis = -1} : f32[b, h, q, k]
                 return %p",
            ),
            (
                "mul_mask",
                "%s = mul %x, 0.125 : f32[b, h, q, k]
                 %a = add %s, %m : f32[b, h, q, k]
                 %p = softmax %a {axis = -1} : f32[b, h, q, k]
                 return %p",
            ),
            (
                "div_mask_other_order",
                "%s = div %x, 8.0 : f32[b, h, q, k]
                 %a = add %m, %s : f32[b, h, q, k]
                 %p = softmax %a {axis = -1} : f32[b, h, q, k]
                 return %p",
            ),
            (
                // The mask is a product too, and the shapes tell which are the scores. A strong one would hide them.
                "mask_is_a_product",
                "%keep = sub 1.0, %m : f32[b, 1, 1, k]
                 %mask = mul %keep, -2.0 : f32[b, 1, 1, k]
                 %s = mul %x, 0.125 : f32[b, h, q, k]
                 %a = add %mask, %s : f32[b, h, q, k]
                 %p = softmax %a {axis = -1} : f32[b, h, q, k]
                 return %p",
            ),
            (
                "scale_behind_the_mask",
                "%a = add %x, %m : f32[b, h, q, k]
                 %s = mul %a, 0.125 : f32[b, h, q, k]
                 %p = softmax %s {axis = -1} : f32[b, h, q, k]
                 return %p",
            ),
            (
                "no_scale",
                "%keep = sub 1.0, %m : f32[b, 1, 1, k]
                 %mask = mul %keep, -10000.0 : f32[b, 1, 1, k]
                 %a = add %x, %mask : f32[b, h, q, k]
                 %p = softmax %a {axis = -1} : f32[b, h, q, k]
                 return %p, %mask",
            ),
            (
                "scaled_scores_are_used_twice",
                "%s = mul %x, 0.125 : f32[b, h, q, k]
                 %p = softmax %s {axis = -1} : f32[b, h, q, k]
                 %e = exp %s : f32[b, h, q, k]
                 return %p, %e",
            ),
            (
                "masked_scores_are_an_output",
                "%s = mul %x, 0.125 : f32[b, h, q, k]
                 %a = add %s, %m : f32[b, h, q, k]
                 %p = softmax %a {axis = -1} : f32[b, h, q, k]
                 return %p, %a",
            ),
            (
                "scale_is_no_constant",
                "%s = mul %x, %y : f32[b, h, q, k]
                 %p = softmax %s {axis = -1} : f32[b, h, q, k]
                 return %p",
            ),
            (
                "scale_widens",
                "%s = mul %x, f32[1, 1, 1, 1, 1] [0.125] : f32[1, b, h, q, k]
                 %p = softmax %s {axis = -1} : f32[1, b, h, q, k]
                 return %p",
            ),
            (
                "mask_widens",
                "%r = reduce_max %x, [2] : f32[b, h, 1, k]
                 %s = mul %r, 0.125 : f32[b, h, 1, k]
                 %a = add %s, %y : f32[b, h, q, k]
                 %p = softmax %a {axis = -1} : f32[b, h, q, k]
                 return %p",
            ),
            (
                "division_by_zero",
                "%s = div %x, 0.0 : f32[b, h, q, k]
                 %p = softmax %s {axis = -1} : f32[b, h, q, k]
                 return %p",
            ),
            (
                "infinite_scale",
                "%s = mul %x, inf : f32[b, h, q, k]
                 %p = softmax %s {axis = -1} : f32[b, h, q, k]
                 %t = div %y, NaN : f32[b, h, q, k]
                 %o = softmax %t {axis = -1} : f32[b, h, q, k]
                 return %p, %o",
            ),
            (
                // 1/3 is not exact in f16, and the difference would show.
                "division_in_f16",
                "%n = cast %x {to = f16} : f16[b, h, q, k]
                 %s = div %n, f16[] hex(0042) : f16[b, h, q, k]
                 %p = softmax %s {axis = -1} : f16[b, h, q, k]
                 return %p",
            ),
            (
                "exact_division_in_f16",
                "%n = cast %x {to = f16} : f16[b, h, q, k]
                 %s = div %n, f16[] hex(0048) : f16[b, h, q, k]
                 %p = softmax %s {axis = -1} : f16[b, h, q, k]
                 return %p",
            ),
        ],
    );
}

/// Scores of one projected query and one projected key; `body` begins with their projections.
fn projections(query: &str, key: &str, rest: &str) -> Graph {
    let text = format!(
        "g(%x: f32[b, q, 8], %m: f32[b, 1, 1, q]) {{
           {query}
           {key}
           %qs = reshape %query, [0, 0, 2, 4] : f32[b, q, 2, 4]
           %qh = transpose %qs {{perm = [0, 2, 1, 3]}} : f32[b, 2, q, 4]
           %ks = reshape %key, [0, 0, 2, 4] : f32[b, q, 2, 4]
           %kh = transpose %ks {{perm = [0, 2, 3, 1]}} : f32[b, 2, 4, q]
           %s = matmul %qh, %kh : f32[b, 2, q, q]
           %p = scaled_softmax %s, %m {{axis = -1, scale = 0.5}} : f32[b, 2, q, q]
           {rest}
         }}"
    );
    parse(&text).unwrap_or_else(|error| panic!("{error} in\n{text}"))
}

#[test]
fn fold_scale_into_projection() {
    let linear = |name: &str| {
        format!(
            "%{name}.weight = parameter uniform(seed = 1, bound = 0.5) : f32[8, 8]
             %{name}.matmul = matmul %x, %{name}.weight : f32[b, q, 8]
             %{name}.bias = parameter fill(0.25) : f32[8]
             %{name} = add %{name}.bias, %{name}.matmul : f32[b, q, 8]"
        )
    };
    let gemm = "%flat = reshape %x, [-1, 8] : f32[b*q, 8]
                %w = parameter fill(0.5) : f32[8, 8]
                %c = parameter fill(0.25) : f32[8]
                %g = gemm %flat, %w, %c {transB = true} : f32[b*q, 8]
                %query = reshape %g, [-1, 1, 8] : f32[b*q, 1, 8]";
    let (query, key) = (linear("query"), linear("key"));
    let unprojected = |name: &str| format!("%{name} = exp %x : f32[b, q, 8]");
    let half = |element: &str, name: &str| {
        format!(
            "%{name}.x = cast %x {{to = {element}}} : {element}[b, q, 8]
             %{name}.weight = parameter cast(f32[8, 8] fill(0.5)) : {element}[8, 8]
             %{name}.matmul = matmul %{name}.x, %{name}.weight : {element}[b, q, 8]
             %{name} = cast %{name}.matmul {{to = f32}} : f32[b, q, 8]"
        )
    };
    let cases = [
        ("query_projection", projections(&query, &key, "return %p")),
        ("gemm_projection", parse(&gemm_case(gemm)).expect("it is well-formed")),
        ("transposed_weight", projections(&transposed(), &key, "return %p")),
        ("shared_query_projection", projections(&query, &key, "%e = exp %query.weight : f32[8, 8]\n return %p, %e")),
        (
            "shared_projections",
            projections(&query, &key, "%e = add %query.weight, %key.weight : f32[8, 8]\n return %p, %e"),
        ),
        ("no_projection", projections(&unprojected("query"), &unprojected("key"), "return %p")),
        ("key_projection", projections(&unprojected("query"), &key, "return %p")),
        ("scores_are_used_twice", projections(&query, &key, "%e = exp %s : f32[b, 2, q, q]\n return %p, %e")),
        ("cast_projections", projections(&half("f16", "query"), &half("f16", "key"), "return %p")),
        (
            "no_matrix_product",
            attention_inputs("%p = scaled_softmax %x {axis = -1, scale = 0.5} : f32[b, h, q, k]\n return %p"),
        ),
    ];
    for (case, graph) in cases {
        check_pass(case, "fold-scale-into-projection", graph);
    }
    for element in ["f16", "bf16"] {
        let text = format!(
            "g(%x: {element}[b, q, 8], %k: {element}[b, 8, q]) {{
               %w = parameter cast(f32[8, 8] fill(0.5)) : {element}[8, 8]
               %query = matmul %x, %w : {element}[b, q, 8]
               %s = matmul %query, %k : {element}[b, q, q]
               %p = scaled_softmax %s {{axis = -1, scale = 0.5}} : {element}[b, q, q]
               %o = scaled_softmax %p {{axis = -1, scale = 1.0}} : {element}[b, q, q]
               return %o
             }}"
        );
        check_pass(&format!("{element}_projection"), "fold-scale-into-projection", parse(&text).expect("well-formed"));
    }
}

fn gemm_case(query: &str) -> String {
    format!(
        "g(%x: f32[b, q, 8], %k: f32[b*q, 8, q]) {{
           {query}
           %s = matmul %query, %k : f32[b*q, 1, q]
           %p = scaled_softmax %s {{axis = -1, scale = 0.3}} : f32[b*q, 1, q]
           return %p
         }}"
    )
}

fn transposed() -> String {
    "%query.weight = parameter uniform(seed = 1, bound = 0.5) : f32[8, 8]
     %query.transpose = transpose %query.weight {perm = [1, 0]} : f32[8, 8]
     %query = matmul %x, %query.transpose : f32[b, q, 8]"
        .to_owned()
}

#[test]
fn lower_scaled_softmax() {
    check_cases(
        "lower-scaled-softmax",
        &[(
            "scaled_softmaxes",
            "%a = scaled_softmax %x, %m {axis = -1, scale = 0.125} : f32[b, h, q, k]
             %b = scaled_softmax %a {axis = 1, scale = 0.5} : f32[b, h, q, k]
             %c = scaled_softmax %b, %m {axis = -1, scale = 1.0} : f32[b, h, q, k]
             %d = cast %c {to = f16} : f16[b, h, q, k]
             %e = scaled_softmax %d {axis = -1, scale = 0.5} : f16[b, h, q, k]
             return %e",
        )],
    );
}

#[test]
fn decompose_gelu() {
    check_cases(
        "decompose-gelu",
        &[(
            "gelus",
            "%a = gelu %x : f32[b, h, q, k]
             %b = gelu %a {approximate = \"tanh\"} : f32[b, h, q, k]
             return %b",
        )],
    );
}

#[test]
fn decompose_rms_normalization() {
    check_cases(
        "decompose-rms-normalization",
        &[(
            "rms_normalizations",
            "%v = parameter fill(1.0) : f32[1]
             %a = rms_normalization %x, %v {epsilon = 1e-5} : f32[b, h, q, k]
             %n = cast %a {to = f16} : f16[b, h, q, k]
             %o = constant hex(003c) : f16[1]
             %d = rms_normalization %n, %o {axis = 2, epsilon = 1e-5} : f16[b, h, q, k]
             return %d",
        )],
    );
}

fn encoder_layer() -> Graph {
    let weights = Weights::Random { seed: 0 };
    let builder = Builder::new("encoder_layer", &weights);
    let x = builder.input("x", TensorType::new(ElementType::F32, shape!["batch", "seq", 16]));
    let mask = builder.input("mask", TensorType::new(ElementType::F32, shape!["batch", 1, 1, "seq"]));
    builder.output("y", EncoderLayer::new("layer", &small()).forward(x, Some(mask)));
    builder.finish().unwrap_or_else(|errors| panic!("{errors}"))
}

/// Encoder and decoder: three attentions, of which one has two masks.
fn transformer() -> Model {
    let transformer = Transformer::new(&small()).expect("the configuration is sound");
    let graph = transformer.build(Part::Both, &Weights::Random { seed: 0 }, true);
    Model::new(graph.unwrap_or_else(|errors| panic!("{errors}")))
}

fn optimized(mut model: Model, target: Target) -> (Model, Report) {
    let report = optimize(&mut model, &Options { target, ..Options::default() });
    let report = report.unwrap_or_else(|error| panic!("{error}"));
    check(&model.graph).unwrap_or_else(|violations| panic!("{violations}"));
    (model, report)
}

/// What the DSL declares, one pass after the other.
#[test]
fn encoder_layer_pass_by_pass() {
    let mut graph = encoder_layer();
    for name in ["fuse-scale-softmax", "fold-constants", "fold-scale-into-projection", "canonicalize"] {
        check_pass("encoder_layer", name, graph.clone());
        run(name, &mut graph);
    }
}

/// What becomes of it for each target, and what `--explain` says.
#[test]
fn encoder_layer_for_each_target() {
    for target in Target::ALL {
        let before = encoder_layer();
        let (model, report) = optimized(Model::new(before.clone()), target);
        let text = diff(&before.to_string(), &model.graph.to_string());
        let explained = lines("applied", &report.applied) + &lines("declined", &report.declined);
        snapshot("passes", &format!("encoder_layer@{}", target.name), &(text + &explained));
    }
}

/// The text of the graph as a file gives it back: tensors first, whatever their order.
fn tensors_first(graph: &Graph, order: impl Fn(&mut Vec<&str>)) -> String {
    let text = graph.to_text(Detail::Full);
    let is_tensor = |line: &&str| line.contains(" = parameter ") || line.contains(" = constant ");
    let (mut tensors, others): (Vec<_>, Vec<_>) = text.lines().partition(is_tensor);
    order(&mut tensors);
    [&others[..1], &tensors, &others[1..]].concat().join("\n")
}

/// Writing a model unoptimized, reading it and optimizing it then makes the same model as optimizing it at once, and
/// so does optimizing it twice.
#[test]
fn optimizing_depends_on_the_graph_alone() {
    for target in Target::ALL {
        let (at_once, _) = optimized(transformer(), target);
        let mut unoptimized = transformer();
        lower(&mut unoptimized, true).unwrap_or_else(|error| panic!("{error}"));
        let file = tensors_first(&unoptimized.graph, |tensors| tensors.reverse());
        let (read, _) = optimized(Model::new(parse(&file).unwrap_or_else(|error| panic!("{error}"))), target);
        let (twice, _) = optimized(at_once.clone(), target);
        let sorted = |model: &Model| tensors_first(&model.graph, |tensors| tensors.sort_unstable());
        assert_eq!(diff(&sorted(&at_once), &sorted(&read)), "", "{target}");
        assert_eq!(diff(&sorted(&at_once), &sorted(&twice)), "", "{target}");
    }
}

/// Names tell nothing: what is recognized is recognized under other names too.
#[test]
fn names_do_not_matter() {
    let counts = |report: &Report| {
        passes().iter().map(|pass| report.applied.iter().filter(|event| event.pass == pass.name).count()).collect()
    };
    let (_, plain) = optimized(transformer(), Target::TRACT);
    let mut scrambled = transformer();
    let nodes = scrambled.graph.schedule();
    let values: Vec<_> = nodes.into_iter().flat_map(|id| scrambled.graph.results(id)).collect();
    for (at, value) in values.into_iter().enumerate() {
        scrambled.graph.rename(value, &format!("v{}", at * 7 % 1000));
    }
    let (model, report) = optimized(scrambled, Target::TRACT);
    let counts: [Vec<usize>; 2] = [counts(&plain), counts(&report)];
    assert_eq!(counts[0], counts[1]);
    assert!(!model.graph.to_string().contains("q_proj"));
}

/// No attention keeps a node for its scale, where the target folds it; the masks' product and the embeddings' stay.
#[test]
fn scales_are_folded_for_runtimes_that_gain_by_it() {
    let products = |target| {
        let (model, report) = optimized(transformer(), target);
        let graph = model.graph;
        let products = graph.schedule().into_iter().filter(|id| graph.node(*id).op().kind() == Kind::Mul).count();
        (products, report.applied.iter().filter(|event| event.pass == "fold-scale-into-projection").count())
    };
    assert_eq!(Target::ALL.map(products), [(6, 0), (3, 3), (3, 3)]);
}

#[test]
fn options() {
    let words = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>();
    let applied = |options: &Options| optimize(&mut transformer(), options).map(|report| report.applied.len());
    let cases = [
        (Options { only: Some(words(&["fold-scale-into-projection"])), ..Options::default() }, Ok(0)),
        // Three fused, and three lowered.
        (Options { only: Some(words(&["fuse-scale-softmax"])), ..Options::default() }, Ok(6)),
        (Options { limits: Limits { stop_after: Some(0), check: true }, ..Options::default() }, Ok(0)),
        (
            Options { skip: words(&["fuse-softmax"]), ..Options::default() },
            Err("`fuse-softmax` is no pass; they are eliminate-dead-code, canonicalize, fold-constants, \
                 eliminate-common-subexpressions, fuse-scale-softmax, fold-scale-into-projection, \
                 lower-scaled-softmax, decompose-gelu, decompose-rms-normalization"),
        ),
        (
            Options { skip: words(&["lower-scaled-softmax"]), ..Options::default() },
            Err("`lower-scaled-softmax` cannot be skipped: ONNX has no form for what it lowers"),
        ),
    ];
    for (options, expected) in cases {
        assert_eq!(
            applied(&options).map_err(|error| error.to_string()),
            expected.map_err(str::to_owned),
            "{options:?}"
        );
    }
}

/// Bisecting: after each number of rewrites there is a sound model, and all of them together are the whole.
#[test]
fn stop_after_any_number_of_rewrites() {
    let (whole, report) = optimized(transformer(), Target::ORT);
    let stopped = |count| {
        let limits = Limits { stop_after: Some(count), check: true };
        let mut model = transformer();
        let options = Options { target: Target::ORT, limits, ..Options::default() };
        let report = optimize(&mut model, &options).unwrap_or_else(|error| panic!("{error}"));
        (model, report)
    };
    for count in 0..report.applied.len() {
        let (model, partial) = stopped(count);
        let lowered = partial.applied.iter().filter(|event| event.pass == "lower-scaled-softmax").count();
        assert_eq!(partial.applied.len() - lowered, count);
        assert_eq!(partial.applied[..count], report.applied[..count]);
        assert!(!model.graph.to_string().contains("scaled_softmax"), "after {count}");
    }
    assert_eq!(stopped(report.applied.len()).0, whole);
}
