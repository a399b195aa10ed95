//! The forms of operators by opset, there and back.

use super::{model, read_bytes};
use netwright_onnx::{to_bytes, to_text};

/// At these opsets the body of `%y = …` is written as `expected`, and reading and writing again gives the same file.
fn check(opsets: std::ops::RangeInclusive<i64>, body: &str, expected: &[&str]) {
    for opset in opsets {
        let model = model(opset, &format!("g(%x: f32[6, 4], %n: f32[n, 4]) {{ {body} return %y }}"));
        let text = to_text(&model).unwrap();
        let lines: Vec<_> = text.lines().skip_while(|line| *line != "{").skip(1).map(str::trim).collect();
        assert_eq!(lines[..lines.len() - 1], *expected, "opset {opset}");
        let bytes = to_bytes(&model).unwrap();
        let back = read_bytes(&bytes).unwrap();
        assert_eq!(to_text(&back).unwrap(), text);
        assert!(to_bytes(&back).unwrap() == bytes, "opset {opset}");
    }
}

#[test]
fn reductions_have_their_axes_as_attribute_below_18() {
    for (word, name) in [("mean", "ReduceMean"), ("max", "ReduceMax"), ("min", "ReduceMin")] {
        let body = format!("%y = reduce_{word} %x, [-1] {{keepdims = false}} : ?");
        check(17..=17, &body, &[&format!("y = {name} <axes: ints = [-1], keepdims: int = 0> (x)")]);
        let axes = r#""value.1" = Constant <value: tensor = int64[1] {-1}> ()"#;
        check(18..=24, &body, &[axes, &format!(r#"y = {name} <keepdims: int = 0> (x, "value.1")"#)]);
        check(17..=24, &format!("%y = reduce_{word} %x : ?"), &[&format!("y = {name} (x)")]);
    }
    let axes = r#""value.1" = Constant <value: tensor = int64[1] {-1}> ()"#;
    check(17..=24, "%y = reduce_sum %x, [-1] : ?", &[axes, r#"y = ReduceSum (x, "value.1")"#]);
}

#[test]
fn split_counts_its_outputs_from_18_on() {
    let even = "%y, %z = split %x {axis = 1} : ?, ?";
    check(17..=17, even, &["y, z = Split <axis: int = 1> (x)  # float[6, 2]"]);
    check(18..=24, even, &["y, z = Split <axis: int = 1, num_outputs: int = 2> (x)  # float[6, 2]"]);
    let uneven = "%y, %z, %u, %v = split %x : ?, ?, ?, ?";
    let types = "# float[2, 4], float[2, 4], float[0, 4]";
    let sizes = r#""y.split" = Constant <value: tensor = int64[4] {2, 2, 2, 0}> ()"#;
    check(17..=17, uneven, &[sizes, &format!(r#"y, z, u, v = Split (x, "y.split")  {types}"#)]);
    check(18..=24, uneven, &[&format!("y, z, u, v = Split <num_outputs: int = 4> (x)  {types}")]);
}

#[test]
fn saturate_begins_with_the_8_bit_floats() {
    let body = "%y = cast %x {to = f16, saturate = false} : ?";
    check(17..=18, body, &["y = Cast <to: int = 10> (x)"]);
    check(19..=24, body, &["y = Cast <to: int = 10, saturate: int = 0> (x)"]);
}

#[test]
fn younger_operators() {
    check(20..=24, "%y = gelu %x {approximate = \"tanh\"} : ?", &["y = Gelu <approximate: string = \"tanh\"> (x)"]);
    let weight = r#""value.1" = Constant <value: tensor = float[4] {1.0, 1.0, 1.0, 1.0}> ()"#;
    let norm = r#"y = RMSNormalization <epsilon: float = 1e-5> (x, "value.1")"#;
    check(23..=24, "%y = rms_normalization %x, [1.0, 1.0, 1.0, 1.0] {epsilon = 1e-5} : ?", &[weight, norm]);
}

#[test]
fn what_an_old_form_cannot_say_is_an_error() {
    let check = |body: &str, expected: &str| {
        let model = model(17, &format!("g(%n: f32[n, 4], %axes: i64[1]) {{ {body} return %y }}"));
        assert_eq!(to_bytes(&model).unwrap_err().to_string(), format!("node \"y\": {expected}"));
    };
    check(
        "%y, %z = split %n : ?, ?",
        "Split has no such form at opset 17: its parts must be equal, and nothing shows that they are",
    );
    check(
        "%y = reduce_max %n, %axes : ?",
        "ReduceMax has no such form at opset 17: its axes are computed, and an attribute is needed",
    );
    check(
        "%y = reduce_mean %n {noop_with_empty_axes = true} : ?",
        "ReduceMean has no such form at opset 17: no axes mean none, and there they mean all",
    );
    check(
        "%y = rms_normalization %n, [1.0, 1.0, 1.0, 1.0] {epsilon = 1e-5} : ?",
        "RMSNormalization begins at opset 23, and opset 17 is to be written",
    );
}

#[test]
fn the_file_format_is_that_of_the_opset() {
    for (opset, ir_version) in [(17, 8), (18, 8), (19, 9), (20, 9), (21, 10), (22, 10), (23, 11), (24, 12)] {
        let text = to_text(&model(opset, "g(%x: f32[2]) { return %x }")).unwrap();
        assert!(text.starts_with(&format!("<\n   ir_version: {ir_version},")), "{opset}: {text}");
    }
    let text = to_text(&model(17, "g(%x: i2[2]) { return %x }")).unwrap();
    assert!(text.contains("ir_version: 13"), "2-bit integers came with IR 13: {text}");
}
