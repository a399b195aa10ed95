//! Inference of operators that move, select and hold values, and of the shapes that they compute.

use netwright_ir::{Fact, parse};

const INPUTS: &str = "%x: f32[batch, seq, 8], %h: f16[2, 3], %ids: i64[batch, seq], %v: i64[3], %n: i64[], \
                      %d: bool[2], %any: f32[*], %loose: i64[?]";

/// Returns the facts of the results of the last node.
fn facts(body: &str) -> Result<Vec<Fact>, String> {
    let (names, _) = body.lines().last().and_then(|line| line.split_once(" = ")).expect("a node");
    let lines = body.lines().map(|line| {
        let results = line.split(" = ").next().map_or(1, |names| names.split(',').count());
        format!("{line} : {}\n", vec!["?"; results].join(", "))
    });
    let text = format!("g({INPUTS}) {{\n{}return {names}\n}}", lines.collect::<String>());
    let graph = parse(&text).map_err(|error| error.what)?;
    Ok(graph.outputs().iter().map(|output| graph.fact(output.value).clone()).collect())
}

#[track_caller]
fn check(body: &str, expected: &str) {
    let found = facts(body).map(|facts| facts.iter().map(Fact::to_string).collect::<Vec<_>>().join("; "));
    assert_eq!(found.unwrap_or_else(|error| error), expected, "{body}");
}

#[track_caller]
fn check_elements(body: &str, expected: &str) {
    let elements = |fact: &Fact| match &fact.elements {
        Some(all) => all.iter().map(ToString::to_string).collect::<Vec<_>>().join(", "),
        None => "none".to_owned(),
    };
    let found = facts(body).map(|facts| facts.iter().map(elements).collect::<Vec<_>>().join("; "));
    assert_eq!(found.unwrap_or_else(|error| error), expected, "{body}");
}

#[test]
fn shape_arithmetic() {
    for (body, expected) in [
        // The pattern that exporters write for an Expand in which -1 keeps a size.
        (
            "%s = shape %x\n%t = shape %s\n%ones = constant_of_shape %t {value = tensor(i64[1] [1])}\n\
             %minus = mul %ones, -1\n%e = equal %s, %minus\n%a = where %e, %ones, %s",
            "batch, seq, 8",
        ),
        ("%e = equal %v, [1, 1, 1]\n%a = where %e, [4, 5, 6], [4, 7, 6]", "4, ?, 6"),
        ("%a = where bool[1] [false], %v, [4, 7, 6]", "4, 7, 6"),
        ("%s = shape %x\n%a = slice %s, [-1], [-9223372036854775807], [0], [-1]", "8, seq, batch"),
        ("%s = shape %x\n%a = slice %s, [0], [9223372036854775807], [0], [2]", "batch, 8"),
        ("%s = shape %x\n%a = slice %s, [2], [-4], [0], [-2]", "8, batch"),
        ("%a = slice [1, 2, 3], [1], [9223372036854775807], [0], [-1]", "none"),
        ("%a = slice [1, 2, 3], [1], [0], [0], [-9223372036854775808]", "2"),
        ("%s = shape %x\n%a = max %s, [1, 2, 3], [4, 4, 4]", "max(4, batch), max(4, seq), 8"),
        ("%s = shape %x\n%a = sum %s, %s, [1, 2, 3]", "2*batch + 1, 2*seq + 2, 19"),
        ("%a = sum [9223372036854775807], [1]", "?"),
        ("%a = add i32[1] [2147483647], i32[1] [1]", "?"),
        ("%a = add u8[1] hex(ff), u8[1] hex(01)", "?"),
        ("%a = div [-7, 7, -7, 7], [2, -2, -2, 0]", "-3, -3, 3, ?"),
        ("%a = mod [-7, 7, -7, 7], [2, -2, -2, 0]", "1, -1, -1, ?"),
        ("%s = shape %x\n%c = cast %s {to = i32}\n%a = div %c, i32[] 2", "floor_div(batch, 2), floor_div(seq, 2), 4"),
        ("%s = shape %x\n%c = cast %s {to = i32}\n%a = mul %c, %c", "?, ?, 64"),
        ("%a = cast [-1, 255, 256] {to = u8}", "?, 255, ?"),
        ("%s = shape %x\n%a = cast %s {to = bool}", "?, ?, 1"),
        ("%s = shape %x\n%p = add %s, [1, -1, 0]\n%a = cast %p {to = bool}", "1, ?, 1"),
        ("%a = cast bool[2] hex(0102) {to = i64}", "1, ?"),
        ("%s = shape %x\n%a = less [-1, 0, 9], %s", "1, ?, 0"),
        ("%s = shape %x\n%a = greater_or_equal %s, [0, 1, 8]", "1, ?, 1"),
        ("%a = not bool[2] [true, false]", "0, 1"),
        ("%a = and %d, bool[2] [true, false]", "?, 0"),
        ("%a = or %d, bool[2] [true, false]", "1, ?"),
        ("%a = xor bool[2] [true, true], bool[2] [true, false]", "0, 1"),
        ("%a = expand 7, [3]", "7, 7, 7"),
        ("%s = shape %x\n%a = expand %s, [1]", "batch, seq, 8"),
        ("%s = shape %h\n%a = tile %s, [2]", "2, 3, 2, 3"),
        ("%a = tile [1, 2], [0]", ""),
        ("%a = tile [1, 2], [33]", "none"),
        ("%s = shape %x\n%a, %c = split %s, [1, 2]", "batch; seq, 8"),
        ("%s = shape %x\n%a, %c, %e = split %s", "batch; seq; 8"),
        ("%s = shape %x\n%q = slice %v, [0], [2], [0]\n%a, %c = split %s, %q", "none; none"),
        ("%a = size %x", "8*batch*seq"),
        ("%a = size %any", "?"),
        ("%a = size f32[4, 0] fill(0.0)", "0"),
        ("%s = shape %x\n%a = gather %s, -1", "8"),
        ("%s = shape %x\n%m = where bool[] true, %n, 0\n%a = gather %s, %m", "?"),
        ("%s = shape %x\n%a = transpose %s {perm = [0]}", "batch, seq, 8"),
        ("%s = shape %x\n%a = gather_elements %s, [1, -1]", "seq, 8"),
        ("%s = shape %x\n%a = scatter_elements %s, [-1, 0], [5, 6]", "6, seq, 5"),
        ("%s = shape %x\n%a = scatter_elements %s, [0], [5] {reduction = \"add\"}", "none"),
        ("%s = shape %x\n%a = compress %s, bool[2] [false, true]", "seq"),
        ("%r = reshape %n, [1]\n%s = shape %h\n%a = concat %s, %r {axis = 0}", "2, 3, ?"),
        ("%a = concat %v, %loose {axis = 0}", "none"),
        ("%s = shape %x\n%a = identity %s", "batch, seq, 8"),
        ("%a = range 0, 10, 3", "0, 3, 6, 9"),
        ("%a = range 3, -4, -3", "3, 0, -3"),
    ] {
        check_elements(body, expected);
    }
}

#[test]
fn sizes() {
    for (body, expected) in [
        ("%a = slice %x, [-1], [-9223372036854775807], [1], [-1]", "f32[batch, seq, 8]"),
        ("%a = slice %x, [0], [9223372036854775807], [1], [2]", "f32[batch, floor_div(seq + 1, 2), 8]"),
        ("%a = slice %x, [7], [0], [2], [-3]", "f32[batch, seq, 3]"),
        ("%a = slice %x, [7], [9223372036854775807], [2], [-3]", "f32[batch, seq, ?]"),
        ("%a = slice %x, [0], [8], [2], [9223372036854775807]", "f32[batch, seq, 1]"),
        ("%s = shape %x\n%q = gather %s, 1\n%a = range 1, %q, 2", "i64[floor_div(seq, 2)]"),
        ("%s = shape %x\n%q = gather %s, 1\n%a = range 1, %q, 1", "i64[max(0, seq - 1)]"),
        ("%r = reshape %n, [1]\n%s = concat [0, 2], %r {axis = 0}\n%a = reshape %any, %s", "f32[?, 2, ?]"),
        ("%a = tile %x, [2, 0, 3]", "f32[2*batch, 0, 24]"),
        ("%a = tile %x, %v", "f32[?, ?, ?]"),
        ("%a = tile %any, [1, 2]", "f32[?, ?]"),
        ("%a = eye_like %h", "f16[2, 3]"),
        ("%a = eye_like %ids {dtype = bool, k = -1}", "bool[batch, seq]"),
        ("%a = eye_like %any", "f32[?, ?]"),
        ("%a = reverse_sequence %x, [1, 2] {batch_axis = 0, time_axis = 1}", "f32[batch, seq, 8]"),
        ("%a = gather_elements %x, i64[5, 6, 7] fill(0) {axis = 1}", "f32[5, 6, 7]"),
        ("%a = gather_elements %h, %loose", "gather_elements: the ranks of the data [2, 3] and the indices [?] differ"),
        ("%a = gather_nd %x, i64[5, 2] fill(0)", "f32[5, 8]"),
        ("%a = gather_nd %x, %ids {batch_dims = 1}", "f32[*]"),
        ("%a = scatter_elements %h, i64[1, 2] fill(0), f16[1, 2] fill(hex(0000)) {axis = 1}", "f16[2, 3]"),
        ("%a = scatter_nd %x, i64[4, 1] fill(0), f32[4, 9, 8] fill(0.0) {reduction = \"max\"}", "f32[batch, seq, 8]"),
        ("%a = compress %x, bool[3] [true, false, true] {axis = -1}", "f32[batch, seq, 2]"),
        ("%a = compress %h, bool[3] [true, true, true] {axis = 0}", "f16[?, 3]"),
        ("%a = compress %x, bool[2] [true, false]", "f32[?]"),
        ("%a = non_zero %x", "i64[3, ?]"),
        ("%a = non_zero %n", "i64[?, ?]"),
        ("%a = non_zero [3, 0, -1]", "i64[1, 2]"),
        ("%a = one_hot %ids, 12, [0.0, 1.0]", "f32[batch, seq, 12]"),
        ("%a = one_hot %ids, [12], i32[2] [0, 1] {axis = 0}", "i32[12, batch, seq]"),
        ("%a = one_hot %ids, %n, [0.0, 1.0] {axis = -3}", "f32[?, batch, seq]"),
        ("%a, %c, %e, %f = unique %h", "f16[?]; i64[?]; i64[6]; i64[?]"),
        ("%a, %c, %e = unique %x {axis = -2, sorted = false}", "f32[batch, ?, 8]; i64[?]; i64[seq]"),
    ] {
        check(body, expected);
    }
}

#[test]
fn sequences_and_optional_values() {
    for (body, expected) in [
        ("%a = sequence_construct %x, %x", "sequence(f32[batch, seq, 8])"),
        ("%a = sequence_construct %x, f32[1, 2, 8] fill(0.0)", "sequence(f32[?, ?, 8])"),
        ("%a = sequence_construct %x, [1.0]", "sequence(f32[*])"),
        ("%a = sequence_empty {dtype = i64}", "sequence(i64[*])"),
        ("%s = sequence_construct %x\n%a = sequence_at %s, -1", "f32[batch, seq, 8]"),
        ("%s = sequence_construct %x\n%a = sequence_insert %s, [1.0], 0", "sequence(f32[*])"),
        ("%s = sequence_construct %x\n%a = sequence_insert %s, %x", "sequence(f32[batch, seq, 8])"),
        ("%s = sequence_construct %x\n%a = sequence_erase %s", "sequence(f32[batch, seq, 8])"),
        ("%s = sequence_construct %x\n%a = sequence_length %s", "i64[]"),
        ("%a = split_to_sequence %x", "sequence(f32[1, seq, 8])"),
        ("%a = split_to_sequence %x {axis = 1, keepdims = false}", "sequence(f32[batch, 8])"),
        ("%a = split_to_sequence %x, 4 {axis = 2}", "sequence(f32[batch, seq, 4])"),
        ("%a = split_to_sequence %x, 3 {axis = 2}", "sequence(f32[batch, seq, ?])"),
        ("%a = split_to_sequence %x, 9 {axis = 2}", "sequence(f32[batch, seq, 8])"),
        ("%a = split_to_sequence %x, 3", "sequence(f32[?, seq, 8])"),
        ("%a = split_to_sequence %x, [4, 4] {axis = 2, keepdims = false}", "sequence(f32[batch, seq, 4])"),
        ("%a = split_to_sequence %x, [3, 5] {axis = 2}", "sequence(f32[batch, seq, ?])"),
        ("%s = sequence_construct %x\n%a = concat_from_sequence %s {axis = -1}", "f32[batch, seq, ?]"),
        (
            "%s = sequence_construct %x\n%a = concat_from_sequence %s {axis = 3, new_axis = true}",
            "f32[batch, seq, 8, ?]",
        ),
        ("%a = optional %x", "optional(f32[batch, seq, 8])"),
        ("%a = optional_has_element %x", "bool[]"),
        ("%o = optional %x\n%a = optional_get_element %o", "f32[batch, seq, 8]"),
        ("%a = optional_get_element %x", "f32[batch, seq, 8]"),
    ] {
        check(body, expected);
    }
    check_elements("%a = optional_has_element %x", "1");
    check_elements("%a = optional_has_element", "0");
    check_elements("%o = optional %x\n%a = optional_has_element %o", "?");
}

#[test]
fn recurrent_networks() {
    for (body, expected) in [
        (
            "%y, %h1, %c1 = lstm %x, f32[1, 20, 8] fill(0.0), f32[1, 20, 5] fill(0.0)",
            "f32[batch, 1, seq, 5]; f32[1, seq, 5]; f32[1, seq, 5]",
        ),
        (
            "%y, %h1 = gru %x, f32[2, 15, 8] fill(0.0), f32[2, 15, 5] fill(0.0) \
             {direction = \"bidirectional\", layout = true, linear_before_reset = true}",
            "f32[batch, seq, 2, 5]; f32[batch, 2, 5]",
        ),
        ("%y = rnn %any, %any, %any {hidden_size = 7}", "f32[?, 1, ?, 7]"),
    ] {
        check(body, expected);
    }
}

#[test]
fn errors() {
    for (body, expected) in [
        (
            "%a = slice %x, [0, 1], [2], [0, 1]",
            "slice: starts, ends, axes and steps must have the same length, but have 2 and 1",
        ),
        ("%a = gather %v, [3]", "gather: the index 3 is out of range for 3 elements"),
        ("%a = tile %x, [1, -2, 1]", "tile: the number of repeats -2 is negative"),
        ("%a = tile %x, [1, 2]", "tile: there are 2 numbers of repeats, but the shape is [batch, seq, 8]"),
        ("%a = eye_like %x", "eye_like: operand 0 must have rank 2, but its shape is [batch, seq, 8]"),
        (
            "%a = reverse_sequence %x, [1] {batch_axis = 1, time_axis = 1}",
            "reverse_sequence: batch and time must be the axes 0 and 1, but are 1 and 1",
        ),
        (
            "%a = gather_nd %x, i64[5, 4] fill(0)",
            "gather_nd: the indices [5, 4] hold tuples of 4, but a tuple must index 1 to 3 axes",
        ),
        (
            "%a = gather_nd %x, i64[5, 0] fill(0)",
            "gather_nd: the indices [5, 0] hold tuples of 0, but a tuple must index 1 to 3 axes",
        ),
        ("%a = gather_nd %x, %ids {batch_dims = 2}", "gather_nd: 2 batch axes are too many for the shape [batch, seq]"),
        ("%a = gather_nd %x, %ids {batch_dims = -1}", "gather_nd: `batch_dims` must not be negative, but is -1"),
        (
            "%a = scatter_elements %h, i64[1, 2] fill(0), f16[1, 3] fill(hex(0000))",
            "scatter_elements: the shapes of the indices and the updates differ: 2 ≠ 3",
        ),
        ("%a = scatter_elements %v, [3], [0]", "scatter_elements: the index 3 is out of range for 3 elements"),
        (
            "%a = scatter_nd %h, i64[4, 1] fill(0), f16[4, 2] fill(hex(0000))",
            "scatter_nd: the shape of the updates and that of what they replace differ: 2 ≠ 3",
        ),
        (
            "%a = scatter_nd %h, %ids, %h {reduction = \"mean\"}",
            "scatter_nd: the attribute `reduction` must be `none`, `add`, `mul`, `max` or `min`, but is \"mean\"",
        ),
        ("%a = compress %x, bool[1, 1] [true]", "compress: the condition must be a vector, but its shape is [1, 1]"),
        ("%a = one_hot %ids, -1, [0.0, 1.0]", "one_hot: operand 1 must not be negative, but is -1"),
        ("%a = one_hot %ids, 4, [0.0]", "one_hot: the number of values and 2 differ: 1 ≠ 2"),
        ("%a = unique %x {axis = 3}", "unique: the axis 3 is out of range for rank 3"),
        ("%a = sequence_construct %x, %ids", "sequence_construct: the element types differ: f32 and i64"),
        ("%a = sequence_at %x, 0", "sequence_at: operand 0 must be a sequence, but is f32[batch, seq, 8]"),
        (
            "%s = sequence_empty\n%a = sequence_insert %s, %ids",
            "sequence_insert: a tensor of i64 cannot be inserted into a sequence of f32[*]",
        ),
        (
            "%s = sequence_empty\n%a = sequence_at %s, %v",
            "sequence_at: operand 1 must be one number, but its shape is [3]",
        ),
        ("%a = split_to_sequence %x, 0", "split_to_sequence: batch cannot be split into parts of size 0"),
        ("%a = split_to_sequence %x, [9, -1] {axis = 2}", "split_to_sequence: a part would have the size -1"),
        (
            "%a = split_to_sequence %x, [4, 5] {axis = 2}",
            "split_to_sequence: the sum of the sizes and the size of the axis differ: 9 ≠ 8",
        ),
        (
            "%s = split_to_sequence %x\n%a = concat_from_sequence %s {axis = 3}",
            "concat_from_sequence: the axis 3 is out of range for rank 3",
        ),
        ("%a = optional", "optional: it must have an operand or the attribute `type`"),
        (
            "%a = lstm %x, f32[1, 20, 9] fill(0.0), f32[1, 20, 5] fill(0.0)",
            "lstm: the shape [1, 20, 9] of W and [1, 20, 8] differ: 9 ≠ 8",
        ),
        (
            "%a = gru %x, f32[1, 15, 8] fill(0.0), f32[1, 15, 5] fill(0.0) {direction = \"bidirectional\"}",
            "gru: the shape [1, 15, 8] of W and [2, 15, 8] differ: 1 ≠ 2",
        ),
        (
            "%a = rnn %x, f32[1, 5, 8] fill(0.0), f32[1, 5, 5] fill(0.0) {hidden_size = 0}",
            "rnn: the hidden size must be positive, but is 0",
        ),
    ] {
        check(body, expected);
    }
}

/// A size of 0 in a Reshape keeps the operand's size, and a computed size may be 0.
#[test]
fn sizes_that_may_be_zero() {
    let reshape = |from: &str, sizes: &[&str]| {
        let size = |dim: &&str| match *dim {
            "b" => "%b".to_owned(),
            "s" => "%s".to_owned(),
            "bs" => "%bs".to_owned(),
            known => format!("[{known}]"),
        };
        let sizes = sizes.iter().map(size).collect::<Vec<_>>().join(", ");
        let text = format!(
            "g(%x: f32[{from}], %i: i64[b, s]) {{\n%b = shape %i {{end = 1}} : ?\n%s = shape %i {{start = 1}} : ?\n\
             %bs = mul %b, %s : ?\n%t = concat {sizes} {{axis = 0}} : ?\n%y = reshape %x, %t : ?\nreturn %y\n}}"
        );
        let graph = parse(&text).unwrap_or_else(|error| panic!("{error}"));
        graph.fact(graph.outputs()[0].value).to_string()
    };
    for (from, sizes, expected) in [
        // Each keeps its own size.
        ("b, s, 32", &["b", "s", "4", "8"][..], "f32[b, s, 4, 8]"),
        ("b, s, 32", &["b", "-1", "8"], "f32[b, 4*s, 8]"),
        // Without rows it keeps the batch size, and has elements although the operand has none.
        ("b, s, 32", &["bs", "32"], "f32[b*s, 32]"),
        ("b, 4, s, 8", &["-1", "s", "8"], "f32[?, ?, 8]"),
        // If both are 0, the second keeps 32 and 4.
        ("b*s, 32", &["b", "s", "32"], "f32[b, ?, 32]"),
        ("b, 4, s, 8", &["b", "s", "32"], "f32[b, ?, 32]"),
        // A size of 0 keeps s, and the rest is 0.
        ("s, s, b, 1", &["-1", "b", "1"], "f32[?, ?, 1]"),
        // Another symbol, which may be 0 although the operand's size is not.
        ("n, 32", &["b", "32"], "f32[?, 32]"),
        ("7, 32", &["s", "-1"], "f32[?, ?]"),
    ] {
        assert_eq!(reshape(from, sizes), expected, "{from} to {sizes:?}");
    }
}

/// The length of a convolution's result is a size, although its formula may be negative.
#[test]
fn sizes_of_the_operand() {
    let text = "g(%x: f32[b, 8, n], %w: f32[4, 8, 9]) {\n%c = conv %x, %w : ?\n%s = shape %c : ?\n\
                %y = reshape %c, %s : ?\nreturn %y\n}";
    let graph = parse(text).unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(graph.fact(graph.outputs()[0].value).to_string(), "f32[b, 4, n - 8]");
}

#[test]
fn slices_from_the_end() {
    for (start, expected) in [
        // The last seq of seq, where -0 is the beginning too.
        ("%x", "f32[batch, seq, 8]"),
        // The last batch of seq: all of them where batch is 0.
        ("%ids", "f32[batch, ?, 8]"),
    ] {
        let size = if start == "%x" { "{start = 1, end = 2}" } else { "{end = 1}" };
        let body = format!("%s = shape {start} {size}\n%m = neg %s\n%a = slice %x, %m, [9223372036854775807], [1]");
        check(&body, expected);
    }
}

/// ONNX Runtime leaves out operands without elements, whatever their other sizes.
#[test]
fn concatenated_tensors_that_may_be_empty() {
    check("%a = concat %x, %x {axis = 0}", "f32[2*batch, seq, 8]");
    let text = "g(%x: f32[a, 4], %y: f32[b, 4], %z: f32[3, 4]) {\n%j = concat %x, %y {axis = 1} : ?\n\
                %k = concat %x, %z {axis = 1} : ?\nreturn %j, %k\n}";
    let graph = parse(text).unwrap_or_else(|error| panic!("{error}"));
    let facts: Vec<_> = graph.outputs().iter().map(|output| graph.fact(output.value).to_string()).collect();
    assert_eq!(facts, ["f32[?, 8]", "f32[3, 8]"]);
}

/// A symbol is never 0 in a run that succeeds if the model fails when it is 0.
#[test]
fn sizes_that_are_never_zero() {
    let heads = |rest: &str| {
        let text = format!(
            "g(%x: f32[b, 4, s, 8], %r: f32[b, s, 32], %m: f32[s, s], %c: f32[b, s, 4]) {{\n%b = shape %r {{end = 1}} : ?\n\
             %s = shape %r {{start = 1, end = 2}} : ?\n%t = concat %b, %s, [32] {{axis = 0}} : ?\n\
             %y = reshape %x, %t : ?\n{rest}\nreturn %z\n}}"
        );
        let mut graph = parse(&text).unwrap_or_else(|error| panic!("{error}"));
        graph.infer_nonzero_sizes();
        let sets =
            graph.never_zero().iter().map(|set| set.iter().map(ToString::to_string).collect::<Vec<_>>().join("+"));
        (graph.fact(graph.outputs()[0].value).to_string(), sets.collect::<Vec<_>>().join(", "))
    };
    for (rest, expected, positive) in [
        // The sum fails if it adds 4 rows to none.
        ("%z = add %y, %r : ?", "f32[b, s, 32]", "s"),
        ("%z = neg %y : ?", "f32[b, ?, 32]", ""),
        // A node that no output depends on does not run.
        ("%u = add %y, %r : ?\n%z = neg %y : ?", "f32[b, ?, 32]", ""),
        // Attention and rotary embeddings fail as what they stand for does; queries may be more than the keys.
        ("%z = attention %y, %r, %r, %m {kv_num_heads = 4, q_num_heads = 4} : ?", "f32[b, s, 32]", "s"),
        ("%z = attention %y, %r, %r {kv_num_heads = 4, q_num_heads = 4} : ?", "f32[b, ?, 32]", ""),
        ("%z = rotary_embedding %y, %c, %c {num_heads = 4} : ?", "f32[b, s, 32]", "s"),
        // ONNX Runtime concatenates them.
        ("%z = concat %y, %r {axis = 2} : ?", "f32[b, ?, 64]", ""),
    ] {
        assert_eq!(heads(rest), (expected.to_owned(), positive.to_owned()), "{rest}");
    }
}

/// A Loop that runs zero times makes each symbolic size 0.
#[test]
fn scanned_results_of_a_loop() {
    let text = "g(%x: f32[n, 4], %m: i64[]) {\n\
                %s, %y = loop %m, _, %x {body = graph b(%i: i64[], %c: bool[], %a: f32[n, 4]) {\n\
                %e = neg %a : ?\n%f = abs %a : ?\nreturn %c, %e, %f\n}} : ?, ?\nreturn %s, %y\n}";
    let graph = parse(text).unwrap_or_else(|error| panic!("{error}"));
    let facts: Vec<_> = graph.outputs().iter().map(|output| graph.fact(output.value).to_string()).collect();
    assert_eq!(facts, ["f32[n, 4]", "f32[?, ?, 4]"]);
}

/// What becomes known of the operands of a Scan is known in its body.
#[test]
fn inputs_of_the_body_of_a_scan() {
    let text = "g(%x: f32[n, 4], %y: f32[n, m, 4]) {\n\
                %s, %z = scan %x, %y {body = graph b(%state: f32[?, 4], %slice: ?) {\n\
                %next = add %state, %slice : ?\nreturn %next, z = %slice\n}, num_scan_inputs = 1, \
                scan_input_axes = [1]} : ?, ?\nreturn %s, %z\n}";
    let mut graph = parse(text).unwrap_or_else(|error| panic!("{error}"));
    graph.infer_nonzero_sizes();
    assert!(graph.to_string().contains("(%state: f32[n, 4], %slice: f32[n, 4])"), "{graph}");
    let facts: Vec<_> = graph.outputs().iter().map(|output| graph.fact(output.value).to_string()).collect();
    assert_eq!(facts, ["f32[n, 4]", "f32[m, n, 4]"]);
}

#[test]
fn operators_of_onnx_runtime() {
    let inputs = "%x: f32[b, s, 32], %w: u8[64, 1, 16], %q: f32[b, s, 96], %t: u8[100, 16], %i: i64[b, s], %h: f32[8], \
                  %m: f32[32, 96], %k: f32[b, 4, n, 8]";
    for (node, expected) in [
        (r#""com.microsoft::MatMulNBits@1" %x, %w, %h {K = 32, N = 64, bits = 4, block_size = 32}"#, "f32[b, s, 64]"),
        // The type follows from the type constraints where the shape is not known.
        (r#""com.microsoft::MatMulNBits@1" %x, %w, %h {K = 32}"#, "f32[*]"),
        (r#""com.microsoft::QAttention@1" %t, %t, %h, %h, %h {num_heads = 4}"#, "f32[*]"),
        (r#""com.microsoft::QLinearConcat@1" %h, %t, %h, %t, %h"#, "u8[*]"),
        (r#""com.microsoft::FusedGemm@1" %m, %m {transB = 1}"#, "f32[32, 32]"),
        (r#""com.microsoft::FusedGemm@1" %x, %m {transB = 1}"#, "f32[*]"),
        (r#""com.microsoft::MurmurHash3@1" %i"#, "?"),
        (r#""com.microsoft::GatherBlockQuantized@1" %t, %i, %h {bits = 4, block_size = 32}"#, "f32[b, s, 32]"),
        (r#""com.microsoft::FastGelu@1" %x, %h"#, "f32[b, s, 32]"),
        (r#""com.microsoft::FusedMatMul@1" %q, %m {transB = 1}"#, "f32[b, s, 32]"),
        (r#""com.microsoft::Attention@1" %x, %m {num_heads = 4}"#, "f32[b, s, 32]"),
        (r#""com.microsoft::MultiHeadAttention@1" %x, %k, %k {num_heads = 4}"#, "f32[b, s, 32]"),
        (r#""com.microsoft::GroupQueryAttention@1" %q, _, _ {num_heads = 4, kv_num_heads = 4}"#, "f32[b, s, 32]"),
        (r#""com.example::FastGelu@1" %x, %h"#, "?"),
        (r#""com.example::FusedGemm@1" %m, %m"#, "?"),
    ] {
        let graph = parse(&format!("g({inputs}) {{\n%y = {node} : ?\nreturn %y\n}}"));
        let graph = graph.unwrap_or_else(|error| panic!("{node}: {error}"));
        assert_eq!(graph.fact(graph.outputs()[0].value).to_string(), expected, "{node}");
    }
}
