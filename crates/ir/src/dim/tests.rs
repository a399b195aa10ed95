//! Tests of the arithmetic of dims.

use super::*;

fn dim(text: &str) -> Dim {
    text.parse().unwrap_or_else(|error| panic!("{text}: {error}"))
}

#[test]
fn canonical_forms() {
    let cases = [
        ("1 + seq", "seq + 1"),
        ("seq + seq", "2*seq"),
        ("seq - seq", "0"),
        ("(a + b) * (a - b)", "a*a - b*b"),
        ("(past + seq) - past", "seq"),
        ("(8*seq) // 8", "seq"),
        ("(8*seq + 3) // 8", "seq"),
        ("(8*seq + 11) // 8", "seq + 1"),
        ("(8*seq + 4*a) / 16", "floor_div(a + 2*seq, 4)"),
        ("(seq + 1) / 2", "floor_div(seq + 1, 2)"),
        ("batch*seq // seq", "batch"),
        ("-7 // 2", "-4"),
        ("7 // -2", "-4"),
        ("-7 % 2", "1"),
        ("min(seq, seq + 1)", "seq"),
        ("max(4, min(b, a))", "max(4, min(a, b))"),
        ("max(a, max(c, b))", "max(a, b, c)"),
        ("max(max(8, a), 6)", "max(8, a)"),
        ("min(min(a, b + 2), b)", "min(a, b)"),
        ("9223372036854775807 + 1", "?"),
        ("9223372036854775807 * seq * 2", "?"),
        ("seq // 0", "?"),
        ("0 * ?", "0"),
        ("-9223372036854775807 - 1", "-9223372036854775808"),
        ("(-9223372036854775807 - 1) // -1", "?"),
        ("(-9223372036854775807 - 1) % -1", "?"),
        ("(seq * -9223372036854775808) // -1", "floor_div(-9223372036854775808*seq, -1)"),
        ("(seq - 9223372036854775807 - 1) // -1", "?"),
        ("(8*seq) % 8", "0"),
        ("floor(seq / 2)", "floor_div(seq, 2)"),
        ("-seq - -2", "-seq + 2"),
        ("? % 3", "?"),
        ("seq % 0", "?"),
        ("min(?, seq)", "?"),
        ("'a b' + 1", "'a b' + 1"),
    ];
    for (text, expected) in cases {
        assert_eq!(dim(text).to_string(), expected, "{text}");
        assert_eq!(dim(expected), dim(text), "{text} parses back");
    }
}

#[test]
fn the_longest_sum_product_and_nesting() {
    let sum = |terms: usize| (0..terms).fold(Dim::Known(0), |sum, at| sum.plus(&Dim::symbol(format!("s{at}"))));
    assert_ne!(sum(64), Dim::Unknown);
    assert_eq!(sum(65), Dim::Unknown);
    let power = |degree: usize| (0..degree).fold(Dim::Known(1), |product, _| product.times(&dim("s")));
    assert_ne!(power(32), Dim::Unknown);
    assert_eq!(power(33), Dim::Unknown);
    let halved = |times: usize| (0..times).fold(dim("s"), |dim, _| dim.plus(&Dim::Known(1)).floor_div(&Dim::Known(3)));
    assert_ne!(halved(8), Dim::Unknown);
    assert_eq!(halved(9), Dim::Unknown);
    assert_eq!(halved(8).broadcast(&halved(8)), Some(halved(8)));
    let least = |terms: usize| (0..terms).fold(dim("s"), |least, at| least.minimum(&Dim::symbol(format!("s{at}"))));
    assert_ne!(least(63), Dim::Unknown);
    assert_eq!(least(64), Dim::Unknown);
}

/// A small file must not make large dims.
#[test]
fn degree_and_depth_are_bounded() {
    let (mut squared, mut divided) = (dim("s"), dim("s"));
    for _ in 0..100 {
        squared = squared.times(&squared);
        divided = divided.plus(&Dim::Known(1)).floor_div(&Dim::Known(3));
    }
    assert_eq!((squared, divided), (Dim::Unknown, Dim::Unknown));
}

#[test]
fn same_is_three_valued() {
    for (a, b, expected) in [
        ("seq", "seq", Some(true)),
        ("seq", "seq + 1", Some(false)),
        ("seq", "past", None),
        ("?", "?", None),
        ("3", "4", Some(false)),
    ] {
        assert_eq!(dim(a).same(&dim(b)), expected, "{a} {b}");
    }
}

#[test]
fn parts() {
    let dims = |texts: &[&str]| texts.iter().map(|text| dim(text)).collect::<Vec<_>>();
    for (text, expected) in [
        ("7", DimParts::Known(7)),
        ("seq", DimParts::Symbol(Symbol::new("seq"))),
        ("past + 2*seq + 1", DimParts::Sum(dims(&["1", "past", "2*seq"]))),
        ("2*a*b", DimParts::Product(dims(&["a", "b", "2"]))),
        ("-a", DimParts::Product(dims(&["a", "-1"]))),
        ("min(64, seq)", DimParts::Min(dims(&["64", "seq"]))),
        ("seq // 2", DimParts::Other),
        ("?", DimParts::Other),
    ] {
        assert_eq!(dim(text).parts(), expected, "{text}");
    }
}

#[test]
fn sets_of_symbols_that_are_zero() {
    for (text, expected) in [
        ("a", Some(vec!["a"])),
        ("3*b*a", Some(vec!["a", "b"])),
        ("b + 2*a", Some(vec!["a b"])),
        ("a + 1", Some(vec![])),
        ("3", Some(vec![])),
        ("0", Some(vec![""])),
        ("a*b + a", None),
        ("a - b", None),
        ("max(a, b)", None),
        ("max(a, b) + a", None),
        ("?", None),
    ] {
        let joined = |set: Vec<Symbol>| set.iter().map(Symbol::as_str).collect::<Vec<_>>().join(" ");
        let found = dim(text).zeros().map(|sets| sets.into_iter().map(joined).collect::<Vec<_>>());
        assert_eq!(found, expected.map(|sets| sets.into_iter().map(str::to_owned).collect()), "{text}");
    }
}

#[test]
fn signs() {
    for (text, is_nonnegative, is_positive) in [
        ("0", true, false),
        ("1", true, true),
        ("-1", false, false),
        ("a", true, false),
        ("a*b + 1", true, true),
        ("a - 1", false, false),
        ("max(a, -1)", true, false),
        ("max(a, b) + 1", true, true),
        ("min(a, b)", true, false),
        ("min(a, -1)", false, false),
        ("a // 2", true, false),
        ("(a - 3) // 2", false, false),
        ("(a - 9) % 4", true, false),
        ("a % (b - 2)", false, false),
        ("?", false, false),
    ] {
        let dim = dim(text);
        assert_eq!((dim.is_nonnegative(), dim.is_positive()), (is_nonnegative, is_positive), "{text}");
    }
}

#[test]
fn the_more_informative_dim() {
    for (a, b, expected) in [
        ("a", "b", "a"),
        ("a", "?", "a"),
        ("?", "a", "a"),
        ("?", "?", "?"),
        ("broadcast(a, b)", "a", "a"),
        ("a", "broadcast(a, b)", "a"),
        ("broadcast(a, b)", "?", "broadcast(a, b)"),
        ("?", "broadcast(a, b)", "broadcast(a, b)"),
    ] {
        assert_eq!(dim(a).and(&dim(b)), &dim(expected), "{a} {b}");
    }
    for (text, expected) in [("broadcast(a, b)", true), ("2*broadcast(a, b) + 1", true), ("max(a, b)", false)] {
        assert_eq!(dim(text).is_broadcast(), expected, "{text}");
    }
}

#[test]
fn broadcasting() {
    for (a, b, expected) in [
        ("1", "seq", Some("seq")),
        ("seq", "seq", Some("seq")),
        ("4", "seq", Some("4")),
        ("4", "5", None),
        ("seq", "past", Some("broadcast(past, seq)")),
        ("seq", "?", Some("?")),
        ("?", "?", Some("?")),
        ("seq", "min(64, seq)", Some("seq")),
        // With n = 0 and seq = 1 the size is 0.
        ("seq", "min(n, seq)", Some("broadcast(min(n, seq), seq)")),
    ] {
        assert_eq!(dim(a).broadcast(&dim(b)), expected.map(dim), "{a} {b}");
    }
}

#[test]
fn evaluation_is_sound_for_zero_and_more() {
    for text in ["a + 2*b", "(a + 1) // 2 + b % 3", "max(a, b) - min(a, b)", "broadcast(a, b)"] {
        for a in 1..5 {
            let bindings = Bindings::from([(Symbol::new("a"), a), (Symbol::new("b"), 1)]);
            let expected = match text {
                "a + 2*b" => a + 2,
                "max(a, b) - min(a, b)" => a - 1,
                "broadcast(a, b)" => a,
                _ => (a + 1) / 2 + 1,
            };
            assert_eq!(dim(text).evaluate(&bindings), Some(expected), "{text} for a = {a}");
        }
    }
    assert_eq!(dim("a").evaluate(&Bindings::new()), None);
}

/// Returns the values of `a`, `b` and `c` for which random expressions are computed.
fn bindings() -> impl Iterator<Item = [i64; 3]> {
    const VALUES: [i64; 4] = [0, 1, 2, 5];
    VALUES.into_iter().flat_map(|a| VALUES.into_iter().flat_map(move |b| VALUES.into_iter().map(move |c| [a, b, c])))
}

/// Returns a random expression of `a`, `b` and `c`, and its value for each binding; `None` if it is undefined.
fn expression(random: &mut dyn FnMut(usize) -> usize, depth: usize) -> (String, Vec<Option<i64>>) {
    type Operator = (&'static str, fn(i64, i64) -> Option<i64>);
    const OPERATORS: [Operator; 8] = [
        ("+", |a, b| Some(a + b)),
        ("-", |a, b| Some(a - b)),
        ("*", |a, b| Some(a * b)),
        ("//", floor_of),
        ("%", |a, b| Some(a - b * floor_of(a, b)?)),
        ("min", |a, b| Some(a.min(b))),
        ("max", |a, b| Some(a.max(b))),
        ("broadcast", |a, b| if a == 1 || a == b { Some(b) } else { Some(a).filter(|_| b == 1) }),
    ];
    fn floor_of(a: i64, b: i64) -> Option<i64> {
        if b < 0 { (-a).checked_div_euclid(-b) } else { a.checked_div_euclid(b) }
    }
    if depth == 0 || random(4) == 0 {
        let at = random(5);
        if at < 3 {
            return (["a", "b", "c"][at].to_owned(), bindings().map(|values| Some(values[at])).collect());
        }
        let number = [-3, -2, -1, 0, 1, 2, 3, 4, 6, 8][random(10)];
        return (number.to_string(), bindings().map(|_| Some(number)).collect());
    }
    let ((left, a), (right, b)) = (expression(random, depth - 1), expression(random, depth - 1));
    let (word, function) = OPERATORS[random(OPERATORS.len())];
    let is_function = word.starts_with(char::is_alphabetic);
    let text = if is_function { format!("{word}({left}, {right})") } else { format!("({left} {word} {right})") };
    (text, a.into_iter().zip(b).map(|(a, b)| function(a?, b?)).collect())
}

/// What the algebra finds about a dim holds for all values of its symbols.
#[test]
fn random_expressions() {
    let mut state = 1_u64;
    let mut random = |below: usize| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(state >> 33).unwrap_or(0) % below
    };
    let symbols = ["a", "b", "c"].map(Symbol::new);
    for _ in 0..3000 {
        let depth = 1 + random(4);
        let ((text, values), (other_text, other_values)) =
            (expression(&mut random, depth), expression(&mut random, depth));
        let (dim, other) = (dim(&text), dim(&other_text));
        assert_eq!(dim.to_string().parse(), Ok(dim.clone()), "{text} is printed as {dim}");
        assert!(
            dim == Dim::Unknown || dim.plus(&other).minus(&other) == dim || other == Dim::Unknown,
            "{text} + {other}"
        );
        let mut used = vec![];
        dim.for_each_symbol(&mut |symbol| used.push(symbol.clone()));
        let parts = match dim.parts() {
            DimParts::Sum(parts) => parts.iter().fold(Dim::Known(0), |sum, part| sum.plus(part)),
            DimParts::Product(parts) => parts.iter().fold(Dim::Known(1), |product, part| product.times(part)),
            DimParts::Min(parts) => parts.iter().fold(parts[0].clone(), |least, part| least.minimum(part)),
            DimParts::Known(_) | DimParts::Symbol(_) | DimParts::Other => dim.clone(),
        };
        assert_eq!(parts, dim, "the parts of {text}");
        let (zeros, same) = (dim.zeros(), dim.same(&other));
        for ((binding, value), other_value) in bindings().zip(values).zip(other_values) {
            let Some(value) = value else { continue };
            let at = format!("{text} = {dim} for {binding:?}");
            let named = symbols.iter().cloned().zip(binding);
            let named: Bindings = named.filter(|(symbol, _)| used.contains(symbol)).collect();
            assert!(dim == Dim::Unknown || dim.evaluate(&named) == Some(value), "{at}: {:?}", dim.evaluate(&named));
            assert!(value >= 0 || !dim.is_nonnegative(), "{at} is negative");
            assert!(value >= 1 || !dim.is_positive(), "{at} is not positive");
            let is_zero = |symbol: &Symbol| named.get(symbol) == Some(&0);
            let shown = zeros.as_ref().is_none_or(|zeros| zeros.iter().any(|zeros| zeros.iter().all(is_zero)));
            assert!(value != 0 || shown, "{at} is 0, unlike {zeros:?}");
            if let (Some(other_value), Some(same)) = (other_value, same) {
                assert_eq!(value == other_value, same, "{at} and {other_text}");
            }
        }
    }
}
