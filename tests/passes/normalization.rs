use super::{check_diff, check_equal, check_near, run, tolerance};
use netwright::ir::{ElementType, Graph, parse};
use netwright::passes::{Limits, passes, pipeline};
use proptest::prelude::*;
use proptest::test_runner::{RngSeed, TestRunner};

const LAYER: &str = "fuse-layer-normalization";
const RMS: &str = "fuse-rms-normalization";

/// A graph of lines in which `full` stands for the shape of `%x` and `one` for that of its means.
fn graph(lines: &[&str], result: &str) -> Graph {
    let body = lines.join("\n");
    let inputs = [
        "x: f32[b, s, 8]",
        "r: f32[b, s, 8]",
        "xh: f16[b, s, 8]",
        "xd: f64[b, s, 8]",
        "h: f32[8]",
        "n: f32[b, s, n]",
        "wn: f32[n]",
    ];
    let reads = |input: &&&str| {
        let (name, _) = input.split_once(':').unwrap_or_default();
        body.split([' ', ',', '\n']).any(|word| word.strip_prefix('%') == Some(name))
    };
    let inputs: Vec<String> = inputs.iter().filter(reads).map(|input| format!("%{input}")).collect();
    let known = "%w = parameter uniform(seed = 1, bound = 0.5) : f32[8]
                 %b = parameter uniform(seed = 2, bound = 0.5) : f32[8]
                 %wh = parameter cast(f32[8] uniform(seed = 3, bound = 0.5)) : f16[8]";
    let line = |line: &&str| line.replace(" : full", " : f32[b, s, 8]").replace(" : one", " : f32[b, s, 1]");
    let lines: Vec<String> = lines.iter().map(line).collect();
    let text = format!("g({}) {{\n{known}\n{}\nreturn {result}\n}}", inputs.join(", "), lines.join("\n"));
    let mut graph = parse(&text).unwrap_or_else(|error| panic!("{error} in\n{text}"));
    run("eliminate-dead-code", &mut graph);
    graph
}

/// tract multiplies by an `f16` weight before it rounds, and the standard behind: a unit in the last place.
fn check(case: &str, pass: &str, graph: &Graph) {
    let after = check_diff(case, pass, graph.clone());
    let is_half = graph.outputs().iter().any(|output| graph.fact(output.value).element() == Some(ElementType::F16));
    check_near(case, pass, graph, &after, if is_half { 2e-3 } else { tolerance(pass) });
}

const CENTERED: [&str; 2] = ["%m = reduce_mean %x, [-1] : one", "%d = sub %x, %m : full"];
const VARIANCE: [&str; 4] =
    ["%q = mul %d, %d : full", "%v = reduce_mean %q, [-1] : one", "%e = add %v, 1e-5 : one", "%t = sqrt %e : one"];

fn layer(rest: &[&'static str]) -> Vec<&'static str> {
    [&CENTERED[..], &VARIANCE, rest].concat()
}

#[test]
fn fuse_layer_normalization() {
    let rest = ["%z = div %d, %t : full", "%p = mul %z, %w : full", "%y = add %p, %b : full"];
    let by_power = [
        &CENTERED[..],
        &[
            "%q = pow %d, 2.0 : full",
            "%v = reduce_mean %q, [2] : one",
            "%e = add 1e-5, %v : one",
            "%i = pow %e, -0.5 : one",
        ],
        &["%z = mul %i, %d : full", "%p = mul %w, %z : full", "%y = add %b, %p : full"],
    ]
    .concat();
    let twice = [
        &["%m2 = reduce_mean %x, [2] : one", "%d2 = sub %x, %m2 : full"][..],
        &layer(&["%i = reciprocal %t : one", "%z = mul %d2, %i : full", "%y = mul %z, %w : full"]),
    ]
    .concat();
    let multiplied_out = layer(&[
        "%i = reciprocal %t : one",
        "%g = mul %i, %w : full",
        "%a = mul %x, %g : full",
        "%c = mul %m, %g : full",
        "%k = sub %b, %c : full",
        "%y = add %a, %k : full",
    ]);
    let negated = layer(&[
        "%i = reciprocal %t : one",
        "%g = mul %i, %w : full",
        "%minus = neg %m : one",
        "%c = mul %minus, %g : full",
        "%k = add %c, %b : full",
        "%a = mul %x, %g : full",
        "%y = add %a, %k : full",
    ]);
    let mut from_the_mean = multiplied_out.clone();
    from_the_mean[1] = "%d = sub %m, %x : full";
    let mut by_integer = by_power.clone();
    by_integer[2] = "%q = pow %d, 2 : full";
    let summed = [
        &["%sum = reduce_sum %x, [-1] : one", "%m = div %sum, 8.0 : one", "%d = sub %x, %m : full"][..],
        &VARIANCE,
        &rest,
    ]
    .concat();
    let island = [
        &["%xw = cast %xh {to = f32} : full", "%m = reduce_mean %xw, [-1] : one", "%d = sub %xw, %m : full"][..],
        &VARIANCE,
        &["%z = div %d, %t : full"],
    ]
    .concat();
    let narrow = [&island[..], &["%c = cast %z {to = f16} : f16[b, s, 8]", "%y = mul %c, %wh : f16[b, s, 8]"]].concat();
    let wide = [&island[..], &["%p = mul %z, %w : full", "%y = cast %p {to = f16} : f16[b, s, 8]"]].concat();
    let two_axes = [
        "%m = reduce_mean %x, [1, 2] : f32[b, 1, 1]",
        "%d = sub %x, %m : full",
        "%q = mul %d, %d : full",
        "%v = reduce_mean %q, [2, 1] : f32[b, 1, 1]",
        "%t = sqrt %v : f32[b, 1, 1]",
        "%y = div %d, %t : full",
    ];
    let unknown_size = [
        "%m = reduce_mean %n, [-1] : one",
        "%d = sub %n, %m : f32[b, s, n]",
        "%q = mul %d, %d : f32[b, s, n]",
        "%v = reduce_mean %q, [-1] : one",
        "%t = sqrt %v : one",
        "%z = div %d, %t : f32[b, s, n]",
    ];
    let weighted = [&unknown_size[..], &["%y = mul %z, %wn : f32[b, s, n]"]].concat();
    let plain = [&unknown_size[..], &["%y = exp %z : f32[b, s, n]"]].concat();
    let double = [
        "%m = reduce_mean %xd, [-1] : f64[b, s, 1]",
        "%d = sub %xd, %m : f64[b, s, 8]",
        "%q = mul %d, %d : f64[b, s, 8]",
        "%v = reduce_mean %q, [-1] : f64[b, s, 1]",
        "%t = sqrt %v : f64[b, s, 1]",
        "%y = div %d, %t : f64[b, s, 8]",
    ];
    let annotated = [
        &CENTERED[..],
        &["%q = mul %d, %d : full", "%v = reduce_sum %q, [-1] : one", "%u = div %v, 7.0 : one", "%t = sqrt %u : one"],
        &["%e = add %t, 1e-6 : one", "%p = mul %w, %d : full", "%z = div %p, %e : full", "%y = add %z, %b : full"],
    ]
    .concat();
    let unbiased = [
        &CENTERED[..],
        &["%q = mul %d, %d : full", "%v = reduce_mean %q, [-1] : one", "%u = mul %v, 1.1428572 : one"],
        &["%e = add %u, 1e-5 : one", "%t = sqrt %e : one", "%z = div %d, %t : full", "%y = mul %z, %w : full"],
    ]
    .concat();
    let not_last = [
        "%m = reduce_mean %x, [1] : f32[b, 1, 8]",
        "%d = sub %x, %m : full",
        "%q = mul %d, %d : full",
        "%v = reduce_mean %q, [1] : f32[b, 1, 8]",
        "%t = sqrt %v : f32[b, 1, 8]",
        "%y = div %d, %t : full",
    ];
    let other_mean = [
        "%m = reduce_mean %r, [-1] : one",
        "%d = sub %x, %m : full",
        "%q = mul %d, %d : full",
        "%v = reduce_mean %q, [-1] : one",
        "%t = sqrt %v : one",
        "%y = div %d, %t : full",
    ];
    let negative =
        [&CENTERED[..], &VARIANCE[..2], &["%e = add %v, -1e-5 : one", "%t = sqrt %e : one", "%y = div %d, %t : full"]]
            .concat();
    let cases: Vec<(&str, Vec<&str>, &str)> = vec![
        ("weight_and_bias", layer(&rest), "%y"),
        ("by_power", by_power, "%y"),
        ("centered_twice", twice, "%y"),
        ("multiplied_out", multiplied_out, "%y"),
        ("multiplied_out_and_negated", negated, "%y"),
        ("squared_from_the_mean", from_the_mean, "%y"),
        ("by_power_of_integers", by_integer, "%y"),
        ("mean_of_sum", summed, "%y"),
        ("cast_before_the_weight", narrow, "%y"),
        ("cast_after_the_weight", wide, "%y"),
        ("two_axes", two_axes.into(), "%y"),
        ("weight_of_unknown_size", weighted, "%y"),
        ("no_weight", layer(&["%z = div %d, %t : full", "%y = add %z, %r : full"]), "%y"),
        ("no_weight_but_a_bias", layer(&["%z = div %d, %t : full", "%y = add %z, %b : full"]), "%y"),
        (
            "weight_is_computed",
            layer(&["%o = add %h, 1.0 : f32[8]", "%z = div %d, %t : full", "%y = mul %z, %o : full"]),
            "%y",
        ),
        ("weight_of_one_number", layer(&["%z = div %d, %t : full", "%y = mul %z, 0.25 : full"]), "%y"),
        (
            "bias_after_the_operator",
            vec!["%z = layer_normalization %x, %w {epsilon = 1e-5} : full", "%y = add %b, %z : full"],
            "%y",
        ),
        (
            "bias_after_an_operator_in_use",
            vec!["%z = layer_normalization %x, %w {epsilon = 1e-5} : full", "%y = add %b, %z : full"],
            "%y, %z",
        ),
        // The residual is no bias, and the other factor no weight.
        ("residual", layer(&["%z = div %d, %t : full", "%p = mul %z, %w : full", "%y = add %p, %r : full"]), "%y"),
        ("gated", layer(&["%z = div %d, %t : full", "%p = mul %z, %w : full", "%y = mul %p, %r : full"]), "%y"),
        ("no_weight_of_unknown_size", plain, "%y"),
        ("statistics_in_f64", double.into(), "%y"),
        ("annotated", annotated, "%y"),
        ("unbiased_variance", unbiased, "%y"),
        ("not_the_last_axis", not_last.into(), "%y"),
        ("mean_of_another", other_mean.into(), "%y"),
        ("mean_is_used", layer(&rest), "%y, %m"),
        ("deviation_is_used", layer(&[&rest[..], &["%u = exp %t : one"]].concat()), "%y, %u"),
        ("negative_epsilon", negative, "%y"),
    ];
    for (case, lines, result) in cases {
        check(&format!("layer_{case}"), LAYER, &graph(&lines, result));
    }
    // No constant broadcasts an axis of unknown size. tract does not slice up to a number of the input.
    let unknown = [
        "%whole = cast %r {to = i64} : ?",
        "%l = reshape %whole, [-1] : ?",
        "%end = slice %l, [0], [1], [0] : ?",
        "%z = slice %x, [0], %end, [1] : ?",
        "%m = reduce_mean %z, [-1] : ?",
        "%d = sub %z, %m : ?",
        "%q = mul %d, %d : ?",
        "%v = reduce_mean %q, [-1] : ?",
        "%e = add %v, 1e-5 : ?",
        "%t = sqrt %e : ?",
        "%i = div %d, %t : ?",
        "%p = mul %i, %w : ?",
        "%y = add %p, %b : f32[b, ?, 8]",
    ];
    check_diff("layer_of_unknown_length", LAYER, graph(&unknown, "%y"));
}

/// Whole in `f16`, and with every operator but sums and products in `f32`, as converters leave it.
#[test]
fn fuse_normalizations_in_f16() {
    let epsilon = "%eps = constant hex(a800) : f16[]";
    let two = "%two = constant hex(0040) : f16[]";
    let whole = [
        epsilon,
        two,
        "%m = reduce_mean %xh, [-1] : half_one",
        "%d = sub %xh, %m : half",
        "%q = pow %d, %two : half",
        "%v = reduce_mean %q, [-1] : half_one",
        "%e = add %v, %eps : half_one",
        "%t = sqrt %e : half_one",
        "%z = div %d, %t : half",
        "%p = mul %z, %wh : half",
        "%y = add %p, %wh : half",
    ];
    let islands = [
        epsilon,
        "%xw = cast %xh {to = f32} : full",
        "%mw = reduce_mean %xw, [-1] : one",
        "%m = cast %mw {to = f16} : half_one",
        "%d = sub %xh, %m : half",
        "%dw = cast %d {to = f32} : full",
        "%qw = pow %dw, 2.0 : full",
        "%q = cast %qw {to = f16} : half",
        "%qv = cast %q {to = f32} : full",
        "%vw = reduce_mean %qv, [-1] : one",
        "%v = cast %vw {to = f16} : half_one",
        "%e = add %v, %eps : half_one",
        "%ew = cast %e {to = f32} : one",
        "%tw = sqrt %ew : one",
        "%t = cast %tw {to = f16} : half_one",
        "%z = div %d, %t : half",
        "%p = mul %z, %wh : half",
        "%y = add %p, %wh : half",
    ];
    // What is computed in f32 is rounded to f16 on the way.
    let rounded = [
        "%xr = cast %x {to = f16} : half",
        "%mh = reduce_mean %xr, [-1] : half_one",
        "%m = cast %mh {to = f32} : one",
        "%d = sub %x, %m : full",
        "%q = mul %d, %d : full",
        "%v = reduce_mean %q, [-1] : one",
        "%t = sqrt %v : one",
        "%y = div %d, %t : full",
    ];
    let squares = [
        epsilon,
        two,
        "%q = pow %xh, %two : half",
        "%v = reduce_mean %q, [-1] : half_one",
        "%e = add %v, %eps : half_one",
        "%t = sqrt %e : half_one",
        "%i = reciprocal %t : half_one",
        "%z = mul %xh, %i : half",
        "%y = mul %z, %wh : half",
    ];
    let square_islands = [
        epsilon,
        "%xw = cast %xh {to = f32} : full",
        "%qw = pow %xw, 2.0 : full",
        "%q = cast %qw {to = f16} : half",
        "%qv = cast %q {to = f32} : full",
        "%vw = reduce_mean %qv, [-1] : one",
        "%v = cast %vw {to = f16} : half_one",
        "%e = add %v, %eps : half_one",
        "%ew = cast %e {to = f32} : one",
        "%tw = sqrt %ew : one",
        "%t = cast %tw {to = f16} : half_one",
        "%z = div %xh, %t : half",
        "%y = mul %z, %wh : half",
        "%u = exp %xw : full",
    ];
    for (case, pass, lines, result) in [
        ("layer_in_f16", LAYER, &whole[..], "%y"),
        ("layer_with_islands", LAYER, &islands, "%y"),
        ("layer_rounded_on_the_way", LAYER, &rounded, "%y"),
        ("rms_in_f16", RMS, &squares, "%y"),
        ("rms_with_islands", RMS, &square_islands, "%y, %u"),
    ] {
        let line = |line: &&str| line.replace(": half_one", ": f16[b, s, 1]").replace(": half", ": f16[b, s, 8]");
        let lines: Vec<String> = lines.iter().map(line).collect();
        let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
        check(case, pass, &graph(&lines, result));
    }
}

const SQUARES: [&str; 3] = ["%q = pow %x, 2.0 : full", "%v = reduce_mean %q, [-1] : one", "%e = add %v, 1e-6 : one"];

fn rms(rest: &[&'static str]) -> Vec<&'static str> {
    [&SQUARES[..], rest].concat()
}

#[test]
fn fuse_rms_normalization() {
    let inverse = ["%t = sqrt %e : one", "%i = reciprocal %t : one", "%z = mul %x, %i : full"];
    let with = |rest: &[&'static str]| rms(&[&inverse[..], rest].concat());
    let island = [
        "%xw = cast %xh {to = f32} : full",
        "%q = mul %xw, %xw : full",
        "%v = reduce_mean %q, [-1] : one",
        "%e = add %v, 1e-6 : one",
        "%i = pow %e, -0.5 : one",
        "%z = mul %xw, %i : full",
    ];
    let narrow = ["%c = cast %z {to = f16} : f16[b, s, 8]", "%y = mul %wh, %c : f16[b, s, 8]"];
    let wide = ["%p = mul %z, %w : full", "%y = cast %p {to = f16} : f16[b, s, 8]"];
    let half = [
        "%q = mul %xh, %xh : f16[b, s, 8]",
        "%v = reduce_mean %q, [-1] : f16[b, s, 1]",
        "%t = sqrt %v : f16[b, s, 1]",
        "%z = div %xh, %t : f16[b, s, 8]",
        "%y = mul %z, %wh : f16[b, s, 8]",
    ];
    let product = [
        "%k = mul %x, 3.0 : full",
        "%q = mul %k, %k : full",
        "%v = reduce_mean %q, [-1] : one",
        "%e = add %v, 1e-6 : one",
        "%t = sqrt %e : one",
        "%z = div %k, %t : full",
        "%y = mul %z, %w : full",
    ];
    let cases: Vec<(&str, Vec<&str>, &str)> = vec![
        ("llama", with(&["%y = mul %w, %z : full"]), "%y"),
        ("by_division", rms(&["%t = sqrt %e : one", "%z = div %x, %t : full", "%y = mul %z, %w : full"]), "%y"),
        (
            "by_inverse",
            rms(&["%t = sqrt %e : one", "%i = div 1.0, %t : one", "%z = mul %i, %x : full", "%y = mul %z, %w : full"]),
            "%y",
        ),
        ("weight_first", rms(&["%i = pow %e, -0.5 : one", "%p = mul %x, %w : full", "%y = mul %p, %i : full"]), "%y"),
        ("weight_of_one_element", with(&["%one = parameter fill(0.5) : f32[1]", "%y = mul %z, %one : full"]), "%y"),
        ("gemma", with(&["%o = add %h, 1.0 : f32[8]", "%y = mul %z, %o : full"]), "%y"),
        ("cast_before_the_weight", [&island[..], &narrow].concat(), "%y"),
        ("cast_after_the_weight", [&island[..], &wide].concat(), "%y"),
        ("no_weight", with(&["%y = exp %z : full"]), "%y"),
        ("of_a_product", product.into(), "%y"),
        // The square is of the same value in two places, which both must have.
        ("divides_another", rms(&["%t = sqrt %e : one", "%z = div %r, %t : full", "%y = mul %z, %w : full"]), "%y"),
        ("statistics_in_f16", half.into(), "%y"),
        (
            "epsilon_after_the_root",
            rms(&["%t = sqrt %v : one", "%s = add %t, 1e-6 : one", "%z = div %x, %s : full", "%y = mul %z, %w : full"]),
            "%y",
        ),
        ("mean_square_is_used", with(&["%y = mul %w, %z : full"]), "%y, %v"),
        ("normalized_is_used", with(&["%y = mul %w, %z : full", "%u = exp %z : full"]), "%y, %u"),
    ];
    for (case, lines, result) in cases {
        check(&format!("rms_{case}"), RMS, &graph(&lines, result));
    }
}

#[test]
fn decompose_layer_normalization() {
    let cases: [(&str, &[&str], &str); 3] = [
        ("plain", &["%y = layer_normalization %x, %w {epsilon = 1e-5} : full"], "%y"),
        (
            "stash",
            &[
                "%bh = constant hex(00380038003800380038003800380038) : f16[8]",
                "%y = layer_normalization %xh, %wh, %bh {epsilon = 1e-5} : f16[b, s, 8]",
            ],
            "%y",
        ),
        (
            "axis",
            &[
                "%o = constant hex(0000803f) : f32[1]",
                "%y = layer_normalization %x, %o {axis = 1, epsilon = 1e-5} : full",
            ],
            "%y",
        ),
    ];
    for (case, lines, result) in cases {
        check(&format!("layer_{case}"), "decompose-layer-normalization", &graph(lines, result));
    }
    // tract has no results of statistics.
    let statistics = "f32[b, s, 8], f32[b, s, 1], f32[b, s, 1]";
    let lines = [&*format!("%y, %m, %i = layer_normalization %x, %w {{epsilon = 1e-5}} : {statistics}")];
    check_diff("layer_statistics", "decompose-layer-normalization", graph(&lines, "%y, %m, %i"));
}

/// A dialect of a normalization: how each step is written.
#[derive(Clone, Copy, Debug)]
struct Dialect {
    centered: bool,
    square: bool,
    inverse: u8,
    weight: u8,
    bias: bool,
    turned: u8,
    rank: usize,
    axes: usize,
    epsilon: u8,
}

fn written(dialect: Dialect) -> Graph {
    let Dialect { centered, square, inverse, weight, bias, turned, rank, axes, epsilon } = dialect;
    let sizes = ["b", "3", "2", "8"];
    let shape = &sizes[4 - rank..];
    let mean: Vec<&str> =
        shape.iter().enumerate().map(|(at, size)| if at + axes < rank { *size } else { "1" }).collect();
    let last = shape[rank - axes..].join(", ");
    let (full, one) = (format!("f32[{}]", shape.join(", ")), format!("f32[{}]", mean.join(", ")));
    let axes_text: Vec<String> = (0..axes).map(|axis| format!("-{}", axis + 1)).collect();
    let axes_text = axes_text.join(", ");
    let pair = |bit: u8, word: &str, a: &str, b: &str| {
        if turned & (1 << bit) != 0 { format!("{word} {b}, {a}") } else { format!("{word} {a}, {b}") }
    };
    let mut lines = vec![];
    let d = if centered {
        lines.push(format!("%m = reduce_mean %x, [{axes_text}] : {one}"));
        lines.push(format!("%d = sub %x, %m : {full}"));
        "%d"
    } else {
        "%x"
    };
    lines.push(if square { format!("%q = pow {d}, 2.0 : {full}") } else { format!("%q = mul {d}, {d} : {full}") });
    lines.push(format!("%v = reduce_mean %q, [{axes_text}] : {one}"));
    let number = ["1e-5", "1e-6", "1e-12", "0.1"][usize::from(epsilon)];
    lines.push(format!("%e = {} : {one}", pair(0, "add", "%v", number)));
    let root = format!("%t = sqrt %e : {one}");
    let weighted = |lines: &mut Vec<String>, of: &str| {
        lines.push(format!("%p = {} : {full}", pair(1, "mul", of, "%w")));
        "%p"
    };
    let numerator = if weight == 1 { weighted(&mut lines, d) } else { d };
    match inverse {
        0 => lines.extend([root, format!("%z = div {numerator}, %t : {full}")]),
        1 => lines.extend([root, format!("%i = reciprocal %t : {one}")]),
        2 => lines.extend([root, format!("%i = div 1.0, %t : {one}")]),
        _ => lines.push(format!("%i = pow %e, -0.5 : {one}")),
    }
    if inverse > 0 {
        lines.push(format!("%z = {} : {full}", pair(2, "mul", numerator, "%i")));
    }
    let mut result = if weight == 2 { weighted(&mut lines, "%z") } else { "%z" };
    if bias && centered {
        lines.push(format!("%y = {} : {full}", pair(3, "add", result, "%b")));
        result = "%y";
    }
    let text = format!("g(%x: {full}, %w: f32[{last}], %b: f32[{last}]) {{\n{}\nreturn {result}\n}}", lines.join("\n"));
    parse(&text).unwrap_or_else(|error| panic!("{error} in\n{text}"))
}

#[test]
fn normalizations_fuse_in_every_dialect() {
    let config = ProptestConfig {
        cases: 32,
        rng_seed: RngSeed::Fixed(4),
        failure_persistence: None,
        ..ProptestConfig::default()
    };
    let flags = (any::<bool>(), any::<bool>(), any::<bool>());
    let dialects = (flags, 0u8..4, 0u8..3, 0u8..16, 2usize..5, 1usize..3, 0u8..4).prop_map(
        |((centered, square, bias), inverse, weight, turned, rank, axes, epsilon)| Dialect {
            centered,
            square,
            inverse,
            weight,
            bias,
            turned,
            rank,
            axes: axes.min(rank - 1),
            epsilon,
        },
    );
    let judged = TestRunner::new(config).run(&dialects, |dialect| {
        let (before, name) = (written(dialect), if dialect.centered { LAYER } else { RMS });
        let mut fused = before.clone();
        prop_assert_eq!(run(name, &mut fused).applied.len(), 1, "{}", before);
        check_equal("any_dialect", name, &before, &fused);
        // What is fused for one target can be written out for another, and fused again.
        let mut again = fused.clone();
        let wanted = [name.replace("fuse", "decompose"), name.to_owned()];
        for wanted in wanted {
            let pass: Vec<_> = passes().into_iter().filter(|pass| pass.name == wanted).collect();
            prop_assert!(
                pipeline::run(&pass, &mut again, Limits::default()).is_ok_and(|report| report.applied.len() == 1)
            );
        }
        check_equal("any_dialect", name, &before, &again);
        Ok(())
    });
    judged.unwrap_or_else(|error| panic!("{error}"));
}
