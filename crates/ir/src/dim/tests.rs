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
        ("9223372036854775807 + 1", "?"),
        ("9223372036854775807 * seq * 2", "?"),
        ("seq // 0", "?"),
        ("0 * ?", "0"),
        ("-9223372036854775807 - 1", "-9223372036854775808"),
        ("(-9223372036854775807 - 1) // -1", "?"),
        ("(-9223372036854775807 - 1) % -1", "?"),
        ("(seq * -9223372036854775808) // -1", "floor_div(-9223372036854775808*seq, -1)"),
        ("'a b' + 1", "'a b' + 1"),
    ];
    for (text, expected) in cases {
        assert_eq!(dim(text).to_string(), expected, "{text}");
        assert_eq!(dim(expected), dim(text), "{text} parses back");
    }
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
    for (a, b, expected) in
        [("seq", "seq", Some(true)), ("seq", "seq + 1", Some(false)), ("seq", "past", None), ("?", "?", None)]
    {
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
fn broadcasting() {
    for (a, b, expected) in [
        ("1", "seq", Some("seq")),
        ("seq", "seq", Some("seq")),
        ("4", "seq", Some("4")),
        ("4", "5", None),
        ("seq", "past", Some("broadcast(past, seq)")),
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
