use super::{attention_inputs, check_cases, check_diff, check_equal, check_near, check_pass, run};
use netwright::ir::{Graph, parse};
use proptest::prelude::*;
use proptest::test_runner::{RngSeed, TestRunner};

/// A graph of one activation of `%x`, which the lines compute as `%g`; values have the shape of `%x` where none is said.
fn activation(lines: &[&str]) -> String {
    let line = |line: &&str| format!("{line} : f32[b, h, q, k]\n");
    lines.iter().map(line).collect::<String>() + "return %g"
}

#[test]
fn fuse_activations_in_f16() {
    let constants = "%root = constant hex(a83d) : f16[]
%one = constant hex(003c) : f16[]
%half = constant hex(0038) : f16[]
%cubic = constant hex(b929) : f16[]
%slope = constant hex(623a) : f16[]
%quick = constant hex(cf3e) : f16[]
";
    for (case, pass, lines) in [
        (
            "gelu_in_f16",
            "fuse-gelu",
            "%s = div %h, %root : #\n%e = erf %s : #\n%c = add %e, %one : #\n%m = mul %h, %c : #\n%g = mul %m, %half : #",
        ),
        (
            "gelu_with_islands",
            "fuse-gelu",
            "%w = cast %h {to = f32} : wide\n%k = pow %w, 3.0 : wide\n%n = cast %k {to = f16} : #
             %a = mul %n, %cubic : #\n%b = add %h, %a : #\n%s = mul %b, %slope : #\n%sw = cast %s {to = f32} : wide
             %tw = tanh %sw : wide\n%t = cast %tw {to = f16} : #\n%c = add %t, %one : #\n%m = mul %h, %half : #
             %g = mul %m, %c : #",
        ),
        ("gelu_in_f32_of_f16", "fuse-gelu", "%w = cast %h {to = f32} : wide
             %s = mul %w, 0.70710677 : wide\n%e = erf %s : wide\n%c = add %e, 1.0 : wide\n%m = mul %w, 0.5 : wide
             %p = mul %m, %c : wide\n%g = cast %p {to = f16} : #"),
        (
            "gelu_rounded_on_the_way",
            "fuse-gelu",
            "%w = cast %h {to = f32} : wide\n%s = mul %w, 0.70710677 : wide\n%n = cast %s {to = f16} : #
             %en = erf %n : #\n%e = cast %en {to = f32} : wide\n%c = add %e, 1.0 : wide\n%m = mul %w, 0.5 : wide
             %g = mul %m, %c : wide",
        ),
        ("swish_in_f16", "fuse-swish", "%s = sigmoid %h : #\n%g = mul %h, %s : #"),
        (
            "swish_with_islands",
            "fuse-swish",
            "%a = mul %h, %quick : #\n%w = cast %a {to = f32} : wide\n%sw = sigmoid %w : wide\n%s = cast %sw {to = f16} : #
             %g = mul %h, %s : #",
        ),
    ] {
        let lines = lines.replace(": #", ": f16[b, n]").replace(": wide", ": f32[b, n]");
        let text = format!("g(%h: f16[b, n]) {{\n{constants}{lines}\nreturn %g\n}}");
        let mut graph = parse(&text).unwrap_or_else(|error| panic!("{error} in\n{text}"));
        run("eliminate-dead-code", &mut graph);
        let after = check_diff(case, pass, graph.clone());
        check_near(case, pass, &graph, &if pass == "fuse-swish" { without_swish(after) } else { after }, 1e-2);
    }
}

#[test]
fn fuse_gelu() {
    let cases: &[(&str, &[&str])] = &[
        (
            "gelu_of_half_the_curve",
            &["%s = mul %x, 0.70710677", "%e = erf %s", "%f = mul %e, 0.5", "%c = add %f, 0.5", "%g = mul %c, %x"],
        ),
        (
            "gelu_of_minus",
            &[
                "%n = neg %x",
                "%s = div %n, 1.4142135",
                "%e = erf %s",
                "%c = sub 1.0, %e",
                "%h = div %c, 2.0",
                "%g = mul %h, %x",
            ],
        ),
        (
            "gelu_multiplied_out",
            &["%h = mul %x, 0.5", "%s = mul %x, 0.70710677", "%e = erf %s", "%f = mul %h, %e", "%g = add %h, %f"],
        ),
        (
            "tanh_factored",
            &[
                "%s = mul %x, %x",
                "%c = mul %s, 0.044715",
                "%o = add %c, 1.0",
                "%d = mul %x, 0.7978846",
                "%a = mul %d, %o",
                "%t = tanh %a",
                "%p = add 1.0, %t",
                "%h = mul 0.5, %x",
                "%g = mul %p, %h",
            ],
        ),
        (
            "tanh_of_an_integer_power",
            &[
                "%q = pow %x, 3",
                "%c = mul %q, 0.044715",
                "%s = add %x, %c",
                "%a = mul %s, 0.7978846",
                "%t = tanh %a",
                "%p = add 1.0, %t",
                "%h = mul 0.5, %x",
                "%g = mul %p, %h",
            ],
        ),
        (
            "tanh_of_products",
            &[
                "%c = mul %x, 0.044715",
                "%d = mul %x, %x",
                "%e = mul %c, %d",
                "%s = add %e, %x",
                "%a = mul %s, 0.7978846",
                "%t = tanh %a",
                "%p = add %t, 1.0",
                "%h = mul %p, 0.5",
                "%g = mul %x, %h",
            ],
        ),
        (
            "rounded_root_of_two",
            &["%s = div %x, 1.4142", "%e = erf %s", "%c = add %e, 1.0", "%h = mul %x, 0.5", "%g = mul %h, %c"],
        ),
        (
            "rough_root_of_two",
            &["%s = div %x, 1.414", "%e = erf %s", "%c = add %e, 1.0", "%h = mul %x, 0.5", "%g = mul %h, %c"],
        ),
        // x is itself a product, and the argument of the curve is not the root's.
        (
            "gelu_of_a_product",
            &[
                "%z = mul %x, 3.0",
                "%s = mul %z, 0.70710677",
                "%e = erf %s",
                "%c = add %e, 1.0",
                "%h = mul %z, 0.5",
                "%g = mul %h, %c",
            ],
        ),
        (
            "gelu_of_another",
            &["%s = mul %y, 0.70710677", "%e = erf %s", "%c = add %e, 1.0", "%h = mul %x, 0.5", "%g = mul %h, %c"],
        ),
        ("no_gelu", &["%s = mul %x, 0.70710677", "%e = erf %s", "%c = add %e, 1.0", "%g = mul %x, %c"]),
    ];
    for (case, lines) in cases {
        check_pass(case, "fuse-gelu", &attention_inputs(&activation(lines)));
    }
    // No constant broadcasts an axis of unknown size. tract does not slice up to a number of the input.
    let unknown = "%l = reshape %ids, [-1] : i64[b*q]
        %end = slice %l, [0], [1], [0] : i64[1]
        %z = slice %x, [0], %end, [2] : f32[b, h, ?, k]
        %s = mul %z, 0.70710677 : f32[b, h, ?, k]
        %e = erf %s : f32[b, h, ?, k]
        %c = add %e, 1.0 : f32[b, h, ?, k]
        %h = mul %z, 0.5 : f32[b, h, ?, k]
        %g = mul %h, %c : f32[b, h, ?, k]
        return %g";
    check_diff("gelu_of_unknown_length", "fuse-gelu", attention_inputs(unknown));
    let gelu = "%s = mul %x, 0.70710677 : f32[b, h, q, k]
                %e = erf %s : f32[b, h, q, k]
                %c = add %e, 1.0 : f32[b, h, q, k]
                %h = mul %x, 0.5 : f32[b, h, q, k]
                %g = mul %h, %c : f32[b, h, q, k]";
    check_cases(
        "fuse-gelu",
        &[
            ("gelu_with_a_curve_in_use", &format!("{gelu}\n %u = exp %e : f32[b, h, q, k]\n return %g, %u")),
            ("gelu_with_a_curve_as_result", &format!("{gelu}\n return %g, %c")),
            (
                "gelu_that_widens",
                &gelu
                    .replace(
                        "%h = mul %x, 0.5",
                        "%half = constant hex(0000003f) : f32[1, 1, 1, 1, 1]\n %h = mul %x, %half",
                    )
                    .replace(
                        "%h = mul %x, %half : f32[b, h, q, k]\n                %g = mul %h, %c : f32[b, h, q, k]",
                        "%h = mul %x, %half : f32[1, b, h, q, k]\n %g = mul %h, %c : f32[1, b, h, q, k]\n return %g",
                    ),
            ),
        ],
    );
}

/// tract ignores alpha.
fn without_swish(mut graph: Graph) -> Graph {
    run("decompose-swish", &mut graph);
    graph
}

#[test]
fn fuse_swish() {
    let cases: &[(&str, &[&str])] = &[
        ("silu", &["%s = sigmoid %x", "%g = mul %s, %x"]),
        ("quick_gelu", &["%a = mul %x, 1.702", "%s = sigmoid %a", "%g = mul %x, %s"]),
        ("silu_by_exponential", &["%n = neg %x", "%e = exp %n", "%d = add %e, 1.0", "%g = div %x, %d"]),
        (
            "silu_by_inverse",
            &["%n = mul %x, -1.0", "%e = exp %n", "%d = add 1.0, %e", "%i = div 1.0, %d", "%g = mul %x, %i"],
        ),
        (
            "quick_gelu_by_reciprocal",
            &["%n = mul %x, -1.702", "%e = exp %n", "%d = add 1.0, %e", "%i = reciprocal %d", "%g = mul %i, %x"],
        ),
        ("swish_of_a_product", &["%z = mul %x, 2.0", "%s = sigmoid %z", "%g = mul %z, %s"]),
        ("gate_of_another", &["%s = sigmoid %y", "%g = mul %x, %s"]),
        ("exponential_of_two", &["%n = neg %x", "%e = exp %n", "%d = add %e, 2.0", "%g = div %x, %d"]),
    ];
    for (case, lines) in cases {
        let graph = attention_inputs(&activation(lines));
        let fused = check_diff(case, "fuse-swish", graph.clone());
        check_equal(case, "fuse-swish", &graph, &without_swish(fused));
    }
    check_cases(
        "fuse-swish",
        &[
            (
                "gate_in_use",
                "%s = sigmoid %x : f32[b, h, q, k]
                 %g = mul %x, %s : f32[b, h, q, k]
                 return %g, %s",
            ),
            (
                "swish_that_widens",
                "%a = constant hex(0000803f) : f32[1, 1, 1, 1, 1]
                 %z = mul %x, %a : f32[1, b, h, q, k]
                 %s = sigmoid %z : f32[1, b, h, q, k]
                 %g = mul %x, %s : f32[1, b, h, q, k]
                 return %g",
            ),
        ],
    );
}

#[test]
fn decompose_swish() {
    check_cases(
        "decompose-swish",
        &[
            (
                "swish_of_one",
                "%a = swish %x : f32[b, h, q, k]
                 return %a",
            ),
            (
                "swish_of_another_alpha",
                "%a = swish %x {alpha = 1.702} : f32[b, h, q, k]
                 return %a",
            ),
        ],
    );
}

/// What multiplies numbers and `%x` in any order, and sums in any order.
struct Writer {
    lines: Vec<String>,
    shape: &'static str,
}

impl Writer {
    fn op(&mut self, op: &str) -> String {
        let name = format!("%v{}", self.lines.len());
        self.lines.push(format!("{name} = {op} : f32{}", self.shape));
        name
    }

    /// A binary operator, its operands in the order that the bit says.
    fn pair(&mut self, word: &str, a: &str, b: &str, turned: bool) -> String {
        let (a, b) = if turned { (b, a) } else { (a, b) };
        self.op(&format!("{word} {a}, {b}"))
    }

    /// A product of three in one of twelve groupings.
    fn product(&mut self, factors: [&str; 3], order: u8) -> String {
        let mut factors = factors;
        factors.rotate_left(usize::from(order % 3));
        let inner = self.pair("mul", factors[0], factors[1], order & 4 != 0);
        self.pair("mul", &inner, factors[2], order & 8 != 0)
    }
}

/// A gelu or a swish in a dialect, of a shape.
fn dialect(kind: u8, orders: [u8; 4], rank: usize) -> Graph {
    let shape = ["[n]", "[b, n]", "[b, 3, n]", "[2, b, 3, n]"][rank];
    let mut writer = Writer { lines: vec![], shape };
    let turned = |at: usize| orders[at] & 16 != 0;
    let x = "%x".to_owned();
    let result = match kind {
        0 => {
            let scaled = if turned(0) {
                writer.op("div %x, 1.4142135")
            } else {
                writer.pair("mul", "%x", "0.70710677", turned(1))
            };
            let curve = writer.op(&format!("erf {scaled}"));
            let gate = writer.pair("add", &curve, "1.0", turned(2));
            writer.product([&x, &gate, "0.5"], orders[3])
        }
        1 => {
            let cube = if turned(0) { writer.op("pow %x, 3.0") } else { writer.product(["%x", "%x", "%x"], orders[0]) };
            let part = writer.pair("mul", &cube, "0.044715", turned(1));
            let sum = writer.pair("add", &x, &part, turned(2));
            let scaled = writer.pair("mul", &sum, "0.7978846", turned(3));
            let curve = writer.op(&format!("tanh {scaled}"));
            let gate = writer.pair("add", &curve, "1.0", turned(1));
            writer.product([&x, &gate, "0.5"], orders[3])
        }
        _ => {
            let scaled = writer.pair("mul", "%x", "1.702", turned(0));
            let gate = writer.op(&format!("sigmoid {scaled}"));
            writer.pair("mul", &x, &gate, turned(1))
        }
    };
    let text = format!("g(%x: f32{shape}) {{\n{}\nreturn {result}\n}}", writer.lines.join("\n"));
    parse(&text).unwrap_or_else(|error| panic!("{error} in\n{text}"))
}

#[test]
fn activations_fuse_in_every_order() {
    let config = ProptestConfig {
        cases: 24,
        rng_seed: RngSeed::Fixed(4),
        failure_persistence: None,
        ..ProptestConfig::default()
    };
    let dialects = (0u8..3, prop::array::uniform4(0u8..32), 0usize..4);
    let judged = TestRunner::new(config).run(&dialects, |(kind, orders, rank)| {
        let graph = dialect(kind, orders, rank);
        let name = if kind < 2 { "fuse-gelu" } else { "fuse-swish" };
        let mut fused = graph.clone();
        let report = run(name, &mut fused);
        prop_assert_eq!(report.applied.len(), 1, "{}", graph);
        check_equal("any_order", name, &graph, &without_swish(fused));
        Ok(())
    });
    judged.unwrap_or_else(|error| panic!("{error}"));
}
