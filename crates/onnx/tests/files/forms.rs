//! The forms of operators by opset, there and back.

use super::{model, read_bytes};
use netwright_ir::Model;
use netwright_onnx::{to_bytes, to_text};

const INPUTS: &str =
    "%x: f32[6, 4], %n: f32[n, 4], %t: f32[2, 3, 4], %p: f32[n, 8, 1, 1], %m: f32[4, 2], %i: i32[2], %k: i64[1]";

/// The lines of a graph between the first and the last.
fn lines(model: &Model) -> Vec<String> {
    let text = model.graph.to_string();
    let lines: Vec<_> = text.lines().map(|line| line.trim().to_owned()).collect();
    lines[1..lines.len() - 2].to_vec()
}

/// A model whose nodes in angle brackets are written as they stand, whatever the IR understands of them.
fn written(opset: i64, body: &str) -> Vec<u8> {
    let body = body.replace('<', "\"::").replace('>', "\"");
    to_bytes(&model(opset, &format!("g({INPUTS}) {{ {body} return %y }}"))).unwrap()
}

/// Nodes of an opset are read as these lines; written for that opset or any later one and read again, they are the same.
fn reads(opsets: std::ops::RangeInclusive<i64>, body: &str, expected: &[&str]) {
    for opset in opsets {
        let mut model = read_bytes(&written(opset, body)).unwrap_or_else(|error| panic!("{error}"));
        assert_eq!(lines(&model), expected, "opset {opset}");
        for later in [opset, 12, 17, 24, 28].into_iter().filter(|later| *later >= opset) {
            model.opsets.insert(String::new(), later);
            let bytes = to_bytes(&model).unwrap_or_else(|error| panic!("{body}: {error}"));
            assert_eq!(lines(&read_bytes(&bytes).unwrap()), expected, "opset {opset}, then {later}");
        }
    }
}

/// A node of an opset is kept as it came.
fn keeps(opset: i64, body: &str) {
    let model = read_bytes(&written(opset, body)).unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(lines(&model), [body.replace('<', "\"::").replace('>', "\"")], "opset {opset}");
    assert_eq!(to_bytes(&model).unwrap(), written(opset, body));
}

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
        check(7..=24, &format!("%y = reduce_{word} %x : ?"), &[&format!("y = {name} (x)")]);
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
fn attributes_that_became_operands() {
    let front = "%y = reduce_sum %t, [1] {keepdims = false} : f32[2, 4]";
    reads(7..=12, "%y = <ReduceSum> %t {axes = [1], keepdims = 0} : f32[2, 4]", &[front]);
    let back = "%y = reduce_sum %t, [-2] {keepdims = false} : f32[2, 4]";
    reads(11..=12, "%y = <ReduceSum> %t {axes = [-2], keepdims = 0} : f32[2, 4]", &[back]);
    for (word, name) in [("mean", "ReduceMean"), ("max", "ReduceMax"), ("min", "ReduceMin")] {
        let body = format!("%y = <{name}> %t {{axes = [0, 2]}} : f32[1, 3, 1]");
        reads(7..=17, &body, &[&format!("%y = reduce_{word} %t, [0, 2] : f32[1, 3, 1]")]);
    }
    reads(
        7..=12,
        "%y = <Unsqueeze> %x {axes = [0, 2]} : f32[1, 6, 1, 4]",
        &["%y = unsqueeze %x, [0, 2] : f32[1, 6, 1, 4]"],
    );
    reads(7..=12, "%y = <Squeeze> %p {axes = [3]} : f32[n, 8, 1]", &["%y = squeeze %p, [3] : f32[n, 8, 1]"]);
    reads(
        7..=12,
        "%y, %z = <Split> %x {axis = 1, split = [1, 3]} : f32[6, 1], f32[6, 3]",
        &["%y, %z = split %x, [1, 3] {axis = 1} : f32[6, 1], f32[6, 3]"],
    );
    reads(7..=17, "%y, %z = <Split> %x : f32[3, 4], f32[3, 4]", &["%y, %z = split %x : f32[3, 4], f32[3, 4]"]);
    reads(
        7..=9,
        "%y = <Slice> %x {axes = [1], ends = [3], starts = [1]} : f32[6, 2]",
        &["%y = slice %x, [1], [3], [1] : f32[6, 2]"],
    );
    reads(7..=9, "%y = <Slice> %x {ends = [-1], starts = [1]} : f32[4, 4]", &["%y = slice %x, [1], [-1] : f32[4, 4]"]);
}

#[test]
fn axes_count_from_the_front_below_11() {
    check(11..=12, "%y = reduce_sum %n, [-1] : ?", &["y = ReduceSum <axes: ints = [-1]> (n)"]);
    check(10..=10, "%y = reduce_sum %n, [-1] : ?", &["y = ReduceSum <axes: ints = [1]> (n)"]);
    check(10..=10, "%y = unsqueeze %n, [-1, 0] : ?", &["y = Unsqueeze <axes: ints = [3, 0]> (n)"]);
    check(10..=10, "%y = concat %n, %n {axis = -2} : ?", &["y = Concat <axis: int = 0> (n, n)"]);
    let starts = |axis: &str| format!("Constant <value: tensor = int64[1] {{{axis}}}> ()");
    check(
        10..=10,
        "%y = slice %n, [1], [2], [-1] : ?",
        &[
            &format!(r#""value.1" = {}"#, starts("1")),
            &format!(r#""value.2" = {}"#, starts("2")),
            &format!(r#""y.axes" = {}"#, starts("1")),
            r#"y = Slice (n, "value.1", "value.2", "y.axes")"#,
        ],
    );
    check(
        9..=9,
        "%y = slice %n, [1], [2], [-1] : ?",
        &["y = Slice <starts: ints = [1], ends: ints = [2], axes: ints = [1]> (n)"],
    );
}

#[test]
fn softmax_took_the_axes_behind_along_below_13() {
    for (word, name) in [("softmax", "Softmax"), ("log_softmax", "LogSoftmax")] {
        let along = |axis: i64| format!("%y = {word} %x {{axis = {axis}}} : f32[6, 4]");
        reads(7..=12, &format!("%y = <{name}> %x : f32[6, 4]"), &[&along(1)]);
        reads(11..=12, &format!("%y = <{name}> %x {{axis = -1}} : f32[6, 4]"), &[&along(-1)]);
        reads(13..=28, &format!("%y = <{name}> %x : f32[6, 4]"), &[&along(-1)]);
        let ones = format!("%y = {word} %p {{axis = 1}} : f32[n, 8, 1, 1]");
        reads(7..=12, &format!("%y = <{name}> %p : f32[n, 8, 1, 1]"), &[&ones]);
    }
}

#[test]
fn what_a_version_added_is_kept_below_it() {
    keeps(13, "%y = <Reshape> %x, [4, 6] {allowzero = 1} : f32[4, 6]");
    keeps(14, "%y = <Shape> %x {start = 1} : i64[1]");
    keeps(12, "%y = <Squeeze> %p, [3] : f32[n, 8, 1]");
    keeps(12, "%y = <Erf> %i : i32[2]");
    keeps(12, "%y = <Unsqueeze> %x, [0] {axes = [0]} : f32[1, 6, 4]");
    keeps(23, "%y = <Cast> %x {to = 20} : f8e5m2fnuz[6, 4]");
    keeps(18, "%y = <ReduceMean> %x {axes = [1]} : f32[6, 1]");
    keeps(10, "%y = <Clip> %x {max = 1.0, min = 0.0} : f32[6, 4]");
}

#[test]
fn what_an_old_form_cannot_say_is_an_error() {
    let check = |opset: i64, body: &str, operator: &str, why: &str| {
        let error = to_bytes(&model(opset, &format!("g({INPUTS}) {{ {body} return %y }}"))).unwrap_err().to_string();
        assert_eq!(error, format!("node \"y\": {operator} has no such form at opset {opset}: {why}"));
    };
    let equal = "its parts must be equal, and nothing shows that they are";
    check(17, "%y, %z = split %n : ?, ?", "Split", equal);
    check(17, "%y = reduce_max %n, %k : ?", "ReduceMax", "`axes` is computed, and an attribute is needed");
    check(12, "%y = squeeze %p, %k : f32[*]", "Squeeze", "`axes` is computed, and an attribute is needed");
    check(18, "%y = cast %x {to = f8e5m2} : ?", "Cast", "f8e5m2 begins at opset 19");
    let saturated = "infinity is cast otherwise";
    check(23, "%y = cast %x {to = f8e5m2fnuz} : ?", "Cast", saturated);
    let all = "no axes mean none, and there they mean all";
    check(17, "%y = reduce_mean %n {noop_with_empty_axes = true} : ?", "ReduceMean", all);
    let added = "its attribute `allowzero` begins at opset 14";
    check(13, "%y = reshape %n, [-1, 4] {allowzero = true} : ?", "Reshape", added);
    check(14, "%y = shape %n {start = 1} : ?", "Shape", "its attribute `start` begins at opset 15");
    check(9, "%y = slice %x, [1], [5], [0], [2] : ?", "Slice", "its steps must be 1");
    check(10, "%y = gemm %x, %m : ?", "Gemm", "it must have an addend");
    check(7, "%y = max %x, 0.0 : ?", "Max", "its operands must have one shape, and nothing shows it");
    let along = "it takes the axes behind `axis` along, and nothing shows that they are of size 1";
    check(12, "%y = softmax %t {axis = 1} : ?", "Softmax", along);
    let counted = "an axis counts from the back, and the rank is not known";
    check(10, "%z = expand %n, %k : ? %y = concat %z, %z {axis = -1} : f32[*]", "Concat", counted);
}

#[test]
fn an_operator_before_its_first_opset_is_an_error() {
    for (opset, body, expected) in [
        (
            22,
            "%y = rms_normalization %x, [1.0, 1.0, 1.0, 1.0] {epsilon = 1e-5} : ?",
            "RMSNormalization begins at opset 23",
        ),
        (
            16,
            "%y = layer_normalization %x, [1.0, 1.0, 1.0, 1.0] {epsilon = 1e-5} : ?",
            "LayerNormalization begins at opset 17",
        ),
        (7, "%y = erf %x : ?", "Erf begins at opset 9"),
        (13, "%y = trilu %x : ?", "Trilu begins at opset 14"),
    ] {
        let error = to_bytes(&model(opset, &format!("g({INPUTS}) {{ {body} return %y }}"))).unwrap_err().to_string();
        assert_eq!(error, format!("node \"y\": {expected}, and opset {opset} is to be written"));
    }
}

#[test]
fn the_file_format_is_that_of_the_opset() {
    let versions = [4, 4, 4, 5, 6, 7, 7, 7, 8, 8, 8, 8, 9, 9, 10, 10, 11, 12, 13, 13, 13, 14];
    for (opset, ir_version) in (7..).zip(versions) {
        let text = to_text(&model(opset, "g(%x: f32[2]) { return %x }")).unwrap();
        assert!(text.starts_with(&format!("<\n   ir_version: {ir_version},")), "{opset}: {text}");
    }
    let text = to_text(&model(17, "g(%x: i2[2]) { return %x }")).unwrap();
    assert!(text.contains("ir_version: 13"), "2-bit integers came with IR 13: {text}");
}
