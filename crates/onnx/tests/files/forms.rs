//! The forms of operators by opset, in both directions.

use super::{model, read_bytes, versioned};
use netwright_ir::Model;
use netwright_onnx::{set_opset, to_bytes, to_text};

const INPUTS: &str = "%x: f32[6, 4], %n: f32[n, 4], %t: f32[2, 3, 4], %p: f32[n, 8, 1, 1], %q: f32[n, 5, 6, 2], %h: f16[2], %e: i64[1, 4], %f: f32[1, 4], %m: f32[4, 2], %i: i32[2], %k: i64[1]";

/// Returns the lines of a graph between the first and the last.
fn lines(model: &Model) -> Vec<String> {
    let text = model.graph.to_string();
    let lines: Vec<_> = text.lines().map(|line| line.trim().to_owned()).collect();
    lines[1..lines.len() - 2].to_vec()
}

/// Returns the bytes of a model; nodes in angle brackets are written literally, whatever form the IR would give them.
fn written(opset: i64, body: &str) -> Vec<u8> {
    let body = body.replace('<', "\"::").replace('>', "\"");
    to_bytes(&model(opset, &format!("g({INPUTS}) {{ {body} return %y }}"))).unwrap()
}

/// Checks that nodes of an opset are read as these lines and that writing them at that or any later opset and reading
/// them again gives the same lines.
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

/// Checks that a node of an opset is opaque, with no sizes from its declared type.
fn is_opaque(opset: i64, body: &str) {
    let unproven = |ty: &str| ty.split_once('[').map_or(ty.to_owned(), |(element, _)| format!("{element}[*]"));
    is_opaque_as(opset, body, unproven);
}

/// Checks that a node of an opset is opaque, with the types that `proven` makes of the declared ones.
fn is_opaque_as(opset: i64, body: &str, proven: impl Fn(&str) -> String) {
    let model = read_bytes(&written(opset, body)).unwrap_or_else(|error| panic!("{error}"));
    let line = versioned(opset, &body.replace('<', "\"::").replace('>', "\""));
    let (node, types) = line.rsplit_once(" : ").unwrap();
    let types: String = types.split_inclusive(']').map(proven).collect();
    assert_eq!(lines(&model), [format!("{node} : {types}")], "opset {opset}");
    assert_eq!(to_bytes(&model).unwrap(), written(opset, body));
}

/// Checks that at these opsets the body of `%y = …` is written as `expected` and that reading and writing again gives
/// the same file.
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
fn reductions_have_axes_as_attribute_before_18() {
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
fn operators_of_newer_opsets() {
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
    // The sizes are unknown; the runtime checks that they are equal.
    let even = "%y, %z = <Split> %n : f32[a, 4], f32[b, 4]";
    reads(7..=17, even, &["%y, %z = split %n : f32[floor_div(n + 1, 2), 4], f32[?, 4]"]);
    reads(7..=17, "%y, %z = <Split> %x : f32[3, 4], f32[3, 4]", &["%y, %z = split %x : f32[3, 4], f32[3, 4]"]);
    reads(
        7..=9,
        "%y = <Slice> %x {axes = [1], ends = [3], starts = [1]} : f32[6, 2]",
        &["%y = slice %x, [1], [3], [1] : f32[6, 2]"],
    );
    reads(7..=9, "%y = <Slice> %x {ends = [-1], starts = [1]} : f32[4, 4]", &["%y = slice %x, [1], [-1] : f32[4, 4]"]);
}

#[test]
fn an_initializer_that_became_an_attribute_is_not_written() {
    let body =
        "%axes = parameter [0] : i64[1]\n%unused = parameter [1] : i64[1]\n%y = reduce_sum %x, %axes : f32[1, 4]";
    for (opset, expected) in [(12, &["unused"][..]), (13, &["axes", "unused"])] {
        let text = to_text(&model(opset, &format!("g({INPUTS}) {{ {body}\n return %y }}"))).unwrap();
        let written: Vec<&str> =
            ["axes", "unused"].into_iter().filter(|name| text.contains(&format!(" {name} ="))).collect();
        assert_eq!(written, expected, "{text}");
    }
}

#[test]
fn axes_are_not_negative_before_11() {
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
fn softmax_normalized_trailing_axes_before_13() {
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
fn limits_pads_and_scales_were_attributes() {
    reads(7..=10, "%y = <Pad> %x {pads = [1, 0, 0, 2]} : f32[7, 6]", &["%y = pad %x, [1, 0, 0, 2] : f32[7, 6]"]);
    reads(
        7..=10,
        "%y = <Pad> %x {mode = \"constant\", pads = [1, 0, 0, 2], value = 0.5} : f32[7, 6]",
        &["%y = pad %x, [1, 0, 0, 2], 0.5 : f32[7, 6]"],
    );
    let nearest = r#"coordinate_transformation_mode = "asymmetric", nearest_mode = "floor""#;
    reads(
        7..=8,
        "%y = <Upsample> %p {scales = floats[1.0, 1.0, 2.0, 3.0]} : f32[n, 8, 2, 3]",
        &[&format!("%y = resize %p, _, [1.0, 1.0, 2.0, 3.0] {{{nearest}}} : f32[n, 8, 2, 3]")],
    );
    let scales = "f32[4] [1.0, 1.0, 2.0, 3.0]";
    let resized = format!("%y = resize %p, _, [1.0, 1.0, 2.0, 3.0] {{{nearest}}} : f32[n, 8, 2, 3]");
    reads(9..=9, &format!("%y = <Upsample> %p, {scales} : f32[n, 8, 2, 3]"), &[&resized]);
    reads(10..=10, &format!("%y = <Resize> %p, {scales} : f32[n, 8, 2, 3]"), &[&resized]);
    let linear = r#"coordinate_transformation_mode = "asymmetric", mode = "linear""#;
    reads(
        7..=8,
        "%y = <Upsample> %p {mode = \"linear\", scales = floats[1.0, 1.0, 2.0, 3.0]} : f32[n, 8, 2, 3]",
        &[&format!("%y = resize %p, _, [1.0, 1.0, 2.0, 3.0] {{{linear}}} : f32[n, 8, 2, 3]")],
    );
    // Opset 10 did not define "nearest" for scales that shrink.
    is_opaque(10, "%y = <Resize> %p, [1.0, 1.0, 0.5, 0.5] : f32[n, 8, 0, 0]");
    let none = "f32[0] []";
    reads(
        11..=12,
        &format!("%y = <Resize> %p, {none}, {none}, [1, 8, 2, 2] : f32[1, 8, 2, 2]"),
        &["%y = resize %p, _, _, [1, 8, 2, 2] : f32[1, 8, 2, 2]"],
    );
    is_opaque(
        12,
        "%y = <Resize> %p, _, [1.0, 1.0, 2.0, 2.0] {coordinate_transformation_mode = \"tf_half_pixel_for_nn\"} : f32[n, 8, 2, 2]",
    );
}

#[test]
fn softmax_over_several_axes_is_flattened() {
    reads(
        7..=12,
        "%y = <Softmax> %t : f32[2, 3, 4]",
        &[
            "%y.flat = flatten %t : f32[2, 12]",
            "%y.flat_result = softmax %y.flat {axis = 1} : f32[2, 12]",
            "%y.shape = shape %t : i64[3]",
            "%y = reshape %y.flat_result, %y.shape : f32[2, 3, 4]",
        ],
    );
    // A size of 0 is restored if the flattened operand has it at the same axis.
    reads(
        7..=12,
        "%y = <Softmax> %q : f32[n, 5, 6, 2]",
        &[
            "%y.flat = flatten %q : f32[n, 60]",
            "%y.flat_result = softmax %y.flat {axis = 1} : f32[n, 60]",
            "%y.shape = shape %q : i64[4]",
            "%y = reshape %y.flat_result, %y.shape : f32[n, 5, 6, 2]",
        ],
    );
    // Whatever it flattens, the result has the shape of the operand.
    is_opaque_as(11, "%y = <Softmax> %q {axis = 0} : f32[n, 5, 6, 2]", str::to_owned);
    // From opset 14 on, Reshape restores any size.
    let mut raised = read_bytes(&written(11, "%y = <Softmax> %q {axis = 0} : f32[n, 5, 6, 2]")).unwrap();
    set_opset(&mut raised, 14).unwrap();
    assert_eq!(
        lines(&raised),
        [
            "%y.flat = flatten %q {axis = 0} : f32[1, 60*n]",
            "%y.flat_result = softmax %y.flat {axis = 1} : f32[1, 60*n]",
            "%y.shape = shape %q : i64[4]",
            "%y = reshape %y.flat_result, %y.shape {allowzero = true} : f32[n, 5, 6, 2]",
        ]
    );
    // The second result of an old Dropout has the shape of its operand.
    let model = read_bytes(&written(11, "%a, %b = <Dropout> %q : ?, ? %y = cast %b {to = f32} : ?")).unwrap();
    assert_eq!(lines(&model)[1], "%y = cast %b {to = f32} : f32[n, 5, 6, 2]");
}

#[test]
fn older_forms_of_normalization_and_pools() {
    let vector = "[1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0]";
    let weights = [vector; 4].join(", ");
    let normal = format!("%y = batch_normalization %p, {weights} : f32[n, 8, 1, 1]");
    reads(7..=15, &format!("%y = <BatchNormalization> %p, {weights} : f32[n, 8, 1, 1]"), &[&normal]);
    reads(7..=8, &format!("%y = <BatchNormalization> %p, {weights} {{spatial = 1}} : f32[n, 8, 1, 1]"), &[&normal]);
    is_opaque(8, &format!("%y = <BatchNormalization> %p, {weights} {{spatial = 0}} : f32[n, 8, 1, 1]"));
    let scale = "[1.0, 1.0]";
    is_opaque(20, &format!("%y = <GroupNormalization> %p, {scale}, {scale} {{num_groups = 2}} : f32[n, 8, 1, 1]"));
    is_opaque(9, "%y = <MaxPool> %p {ceil_mode = 1, kernel_shape = [1, 1]} : f32[n, 8, 1, 1]");
    reads(
        7..=28,
        "%y = <MaxPool> %p {kernel_shape = [1, 1]} : f32[n, 8, 1, 1]",
        &["%y = max_pool %p {kernel_shape = [1, 1]} : f32[n, 8, 1, 1]"],
    );
    let boxes = "f32[1, 4] [0.0, 0.0, 1.0, 1.0], [0]";
    reads(
        10..=15,
        &format!("%y = <RoiAlign> %p, {boxes} : f32[1, 8, 1, 1]"),
        &[&format!(
            "%y = roi_align %p, {boxes} {{coordinate_transformation_mode = \"output_half_pixel\"}} : f32[1, 8, 1, 1]"
        )],
    );
    for (older, newer) in [("", ""), ("mode = \"bilinear\"", ""), ("mode = \"bicubic\"", " {mode = \"cubic\"}")] {
        reads(
            16..=19,
            &format!("%y = <GridSample> %p, %q {{{older}}} : f32[n, 8, 5, 6]"),
            &[&format!("%y = grid_sample %p, %q{newer} : f32[n, 8, 5, 6]")],
        );
    }
    is_opaque(10, "%y = <ConvTranspose> %p, %p {auto_pad = \"SAME_UPPER\"} : f32[*]");
}

#[test]
fn limits_ratios_and_counts_were_attributes() {
    reads(7..=10, "%y = <Clip> %x {max = 1.0, min = 0.0} : f32[6, 4]", &["%y = clip %x, 0.0, 1.0 : f32[6, 4]"]);
    reads(7..=10, "%y = <Clip> %x {max = 1.0} : f32[6, 4]", &["%y = clip %x, _, 1.0 : f32[6, 4]"]);
    let half = "%y = clip %h, f16[] hex(0038), f16[] hex(003c) : f16[2]";
    reads(7..=10, "%y = <Clip> %h {max = 1.0, min = 0.5} : f16[2]", &[half]);
    // An absent limit was that of f32.
    is_opaque(10, "%y = <Clip> %h {max = 1.0} : f16[2]");
    reads(7..=11, "%y = <Dropout> %x {ratio = 0.25} : f32[6, 4]", &["%y = dropout %x, 0.25 : f32[6, 4]"]);
    reads(7..=11, "%y = <Dropout> %x : f32[6, 4]", &["%y = dropout %x : f32[6, 4]"]);
    // A mask that nothing reads is dropped.
    reads(7..=9, "%y, %z = <Dropout> %x : f32[6, 4], f32[6, 4]", &["%y = dropout %x : f32[6, 4]"]);
    reads(10..=11, "%y, %z = <Dropout> %x : f32[6, 4], bool[6, 4]", &["%y = dropout %x : f32[6, 4]"]);
    reads(
        7..=9,
        "%y, %z = <TopK> %x {k = 2} : f32[6, 2], i64[6, 2]",
        &["%y, %z = top_k %x, [2] : f32[6, 2], i64[6, 2]"],
    );
    for (word, name) in [
        ("reduce_l1", "ReduceL1"),
        ("reduce_l2", "ReduceL2"),
        ("reduce_log_sum", "ReduceLogSum"),
        ("reduce_log_sum_exp", "ReduceLogSumExp"),
        ("reduce_prod", "ReduceProd"),
        ("reduce_sum_square", "ReduceSumSquare"),
    ] {
        reads(
            7..=17,
            &format!("%y = <{name}> %t {{axes = [1]}} : f32[2, 1, 4]"),
            &[&format!("%y = {word} %t, [1] : f32[2, 1, 4]")],
        );
    }
}

#[test]
fn older_names_and_axes() {
    let scattered = "%y = scatter_elements %x, %e, %f : f32[6, 4]";
    reads(9..=10, "%y = <Scatter> %x, %e, %f : f32[6, 4]", &[scattered]);
    reads(11..=28, "%y = <ScatterElements> %x, %e, %f : f32[6, 4]", &[scattered]);
    reads(7..=12, "%y = <Hardmax> %x : f32[6, 4]", &["%y = hardmax %x {axis = 1} : f32[6, 4]"]);
    reads(13..=28, "%y = <Hardmax> %x : f32[6, 4]", &["%y = hardmax %x : f32[6, 4]"]);
    let dft = "%y = dft %q, _, 1 : f32[n, 5, 6, 2]";
    reads(17..=19, "%y = <DFT> %q : f32[n, 5, 6, 2]", &[dft]);
    reads(20..=28, "%y = <DFT> %q : f32[n, 5, 6, 2]", &["%y = dft %q : f32[n, 5, 6, 2]"]);
    reads(8..=28, "%y = <Max> %x, 0.0 : f32[6, 4]", &["%y = max %x, 0.0 : f32[6, 4]"]);
}

#[test]
fn a_default_that_the_ir_does_not_have() {
    let range = "%y = <Range> 0, 4, 1";
    reads(27..=28, &format!("{range} {{stash_type = 1}} : i64[4]"), &["%y = range 0, 4, 1 : i64[4]"]);
    is_opaque(27, &format!("{range} {{stash_type = 10}} : i64[4]"));
}

#[test]
fn newer_features_at_an_older_opset_are_opaque() {
    is_opaque(13, "%y = <Reshape> %x, [4, 6] {allowzero = 1} : f32[4, 6]");
    is_opaque(14, "%y = <Shape> %x {start = 1} : i64[1]");
    is_opaque(12, "%y = <Squeeze> %p, [3] : f32[n, 8, 1]");
    is_opaque(12, "%y = <Erf> %i : i32[2]");
    is_opaque(12, "%y = <Unsqueeze> %x, [0] {axes = [0]} : f32[1, 6, 4]");
    is_opaque(23, "%y = <Cast> %x {to = 20} : f8e5m2fnuz[6, 4]");
    is_opaque(18, "%y = <ReduceMean> %x {axes = [1]} : f32[6, 1]");
}

#[test]
fn nodes_that_an_older_form_cannot_express_are_errors() {
    let check = |opset: i64, body: &str, operator: &str, why: &str| {
        let error = to_bytes(&model(opset, &format!("g({INPUTS}) {{ {body} return %y }}"))).unwrap_err().to_string();
        let help = "write the model at a newer opset";
        let what = format!("{operator} cannot be expressed at opset {opset}: {why}");
        assert_eq!(error, format!("node \"y\": {what}\n  help: {help}"));
    };
    check(17, "%y = reduce_max %n, %k : ?", "ReduceMax", "`axes` must be constant to become an attribute");
    check(12, "%y = squeeze %p, %k : f32[*]", "Squeeze", "`axes` must be constant to become an attribute");
    check(18, "%y = cast %x {to = f8e5m2} : ?", "Cast", "f8e5m2 requires opset 19");
    let saturated = "infinity is cast to another value at that opset";
    check(23, "%y = cast %x {to = f8e5m2fnuz} : ?", "Cast", saturated);
    let all = "an empty list of axes means none, but at that opset all";
    check(17, "%y = reduce_mean %n {noop_with_empty_axes = true} : ?", "ReduceMean", all);
    let added = "its attribute `allowzero` requires opset 14";
    check(13, "%y = reshape %n, [-1, 4] {allowzero = true} : ?", "Reshape", added);
    check(14, "%y = shape %n {start = 1} : ?", "Shape", "its attribute `start` requires opset 15");
    check(9, "%y = slice %x, [1], [5], [0], [2] : ?", "Slice", "its steps must be 1");
    check(10, "%y = gemm %x, %m : ?", "Gemm", "it must have an addend");
    check(7, "%y = max %x, 0.0 : ?", "Max", "its operands must have the same shape");
    let types = "its operands must have one type, and they are f32 and i64";
    check(11, "%y = pow %x, %k : f32[6, 4]", "Pow", types);
    let along = "it also normalizes the trailing axes, which are not provably 1";
    check(12, "%y = softmax %t {axis = 1} : ?", "Softmax", along);
}

#[test]
fn opaque_operators_can_be_written_if_unchanged() {
    let check = |from: i64, to: i64, body: &str, changed: Option<(&str, i64)>| {
        let body = versioned(from, &body.replace('<', "\"::").replace('>', "\""));
        let text = format!("g({INPUTS}) {{ {body} return %y }}");
        let found = to_bytes(&model(to, &text)).map_or_else(|error| error.to_string(), |_| "written".to_owned());
        let expected = changed.map_or("written".to_owned(), |(name, to)| {
            let what = format!("{name} was written for version {from} and cannot be converted to version {to}");
            let help = format!("write the model at version {from} of the operator's domain");
            format!("node \"y\": {what}, which changed it\n  help: {help}")
        });
        assert_eq!(found, expected);
    };
    let norm = "%y = <GroupNormalization> %p, [1.0, 1.0], [1.0, 1.0] {num_groups = 2} : f32[n, 8, 1, 1]";
    check(18, 20, norm, None);
    check(18, 24, norm, Some(("GroupNormalization", 21)));
    check(13, 28, "%y = <Unique> %x : f32[u]", None);
    check(28, 27, "%y = <Unique> %x : f32[u]", Some(("Unique", 28)));
    // Changes beyond the newest opset are unknown.
    check(30, 28, "%y = <Not> %x : f32[6, 4]", Some(("Not", 28)));
    check(30, 30, "%y = <Not> %x : f32[6, 4]", None);
}

#[test]
fn an_operator_before_its_first_opset_is_an_error() {
    for (opset, body, expected) in [
        (
            22,
            "%y = rms_normalization %x, [1.0, 1.0, 1.0, 1.0] {epsilon = 1e-5} : ?",
            "RMSNormalization requires opset 23",
        ),
        (
            16,
            "%y = layer_normalization %x, [1.0, 1.0, 1.0, 1.0] {epsilon = 1e-5} : ?",
            "LayerNormalization requires opset 17",
        ),
        (7, "%y = erf %x : ?", "Erf requires opset 9"),
        (13, "%y = trilu %x : ?", "Trilu requires opset 14"),
    ] {
        let error = to_bytes(&model(opset, &format!("g({INPUTS}) {{ {body} return %y }}"))).unwrap_err().to_string();
        let first = expected.rsplit(' ').next().unwrap();
        let help = format!("write the model at opset {first} or newer");
        assert_eq!(error, format!("node \"y\": {expected}, but the model is written at opset {opset}\n  help: {help}"));
    }
}

#[test]
fn the_file_format_is_that_of_the_opset() {
    let versions = [4, 4, 4, 5, 6, 7, 7, 7, 8, 8, 8, 8, 9, 9, 10, 10, 11, 12, 13, 13, 13, 14];
    for (opset, ir_version) in (7..).zip(versions) {
        let text = to_text(&model(opset, "g(%x: f32[2]) { return %x }")).unwrap();
        assert!(text.starts_with(&format!("<\n   ir_version: {ir_version},")), "{opset}: {text}");
    }
    for (elements, ir_version) in [
        (&["f32", "bf16"][..], 8),
        (&["f8e4m3fn", "f8e4m3fnuz", "f8e5m2", "f8e5m2fnuz"], 9),
        (&["u4", "i4"], 10),
        (&["f4e2m1"], 11),
        (&["f8e8m0"], 12),
        (&["u2", "i2"], 13),
        (&["f6e2m3", "f6e3m2"], 14),
    ] {
        for element in elements {
            let text = to_text(&model(17, &format!("g(%x: {element}[2]) {{ return %x }}"))).unwrap();
            assert!(text.contains(&format!("ir_version: {ir_version},")), "{element}: {text}");
        }
    }
}
