use super::{check, check_attributes, check_error};
use netwright_ir::Attribute;

const IMAGE: &str = "%x: f32[n, 3, h, w], %w: f32[8, 3, 3, 3], %b: f32[8]";

#[test]
fn conv() {
    let known = "%x: f32[2, 3, 11, 10], %w: f32[8, 3, 3, 3]";
    for (inputs, node, expected) in [
        (IMAGE, "conv %x, %w", "f32[n, 8, h - 2, w - 2]"),
        (IMAGE, "conv %x, %w, %b {pads = [1, 1, 1, 1]}", "f32[n, 8, h, w]"),
        (
            IMAGE,
            "conv %x, %w {pads = [1, 0, 1, 2], strides = [2, 3]}",
            "f32[n, 8, floor_div(h + 1, 2), floor_div(w + 2, 3)]",
        ),
        (IMAGE, "conv %x, %w {dilations = [2, 3]}", "f32[n, 8, h - 4, w - 6]"),
        (IMAGE, "conv %x, %w {kernel_shape = [3, 3]}", "f32[n, 8, h - 2, w - 2]"),
        (IMAGE, r#"conv %x, %w {auto_pad = "SAME_UPPER", strides = [1, 2]}"#, "f32[n, 8, h, floor_div(w + 1, 2)]"),
        (IMAGE, r#"conv %x, %w {auto_pad = "VALID"}"#, "f32[n, 8, h - 2, w - 2]"),
        (known, "conv %x, %w {strides = [2, 2]}", "f32[2, 8, 5, 4]"),
        (known, r#"conv %x, %w {auto_pad = "SAME_LOWER", strides = [2, 3]}"#, "f32[2, 8, 6, 4]"),
        // Runtimes differ if both are given.
        (known, r#"conv %x, %w {auto_pad = "SAME_LOWER", pads = [0, 0, 0, 0]}"#, "f32[2, 8, ?, ?]"),
        (known, r#"conv %x, %w {auto_pad = "VALID", pads = [0, 0, 1, 0]}"#, "f32[2, 8, ?, 8]"),
        ("%x: f32[1, 8, 9], %w: f32[8, 2, k]", "conv %x, %w {group = 4}", "f32[1, 8, -k + 10]"),
        ("%x: f32[1, c, 9], %w: f32[m, 1, 3]", "conv %x, %w {group = 4}", "f32[1, m, 7]"),
        ("%x: f32[*], %w: f32[8, 3, 3, 3]", "conv %x, %w", "f32[?, 8, ?, ?]"),
        ("%x: f32[1, 3, 9], %w: f32[*]", "conv %x, %w", "f32[1, ?, ?]"),
        ("%x: f32[1, 3, 9], %w: f32[*]", "conv %x, %w {kernel_shape = [2]}", "f32[1, ?, 8]"),
        ("%x: f32[*], %w: f32[*]", "conv %x, %w", "f32[*]"),
        // Overflow.
        (known, "conv %x, %w {pads = [9223372036854775807, 0, 9223372036854775807, 0]}", "f32[2, 8, ?, 8]"),
        (known, "conv %x, %w {strides = [9223372036854775807, 1]}", "f32[2, 8, ?, 8]"),
        (IMAGE, "conv %x, %w {dilations = [9223372036854775807, 1]}", "f32[n, 8, ?, w - 2]"),
    ] {
        check(inputs, node, expected);
    }
    check_attributes(
        IMAGE,
        r#"conv %x, %w {auto_pad = "NOTSET", dilations = [], group = 1, pads = [], strides = [2, 2]}"#,
        &[("strides", Attribute::Ints(vec![2, 2]))],
    );
}

#[test]
fn conv_is_not_defined() {
    let known = "%x: f32[2, 3, 2, 10], %w: f32[8, 3, 3, 3]";
    for (inputs, node, expected) in [
        (IMAGE, "conv %x, %w {strides = [0, 1]}", "conv: `strides` holds 0, but must be at least 1"),
        (
            IMAGE,
            "conv %x, %w {strides = [1, -9223372036854775808]}",
            "conv: `strides` holds -9223372036854775808, but must be at least 1",
        ),
        (IMAGE, "conv %x, %w {strides = [1]}", "conv: `strides` has length 1, but must have length 2"),
        (IMAGE, "conv %x, %w {dilations = [1, -1]}", "conv: `dilations` holds -1, but must be at least 1"),
        (IMAGE, "conv %x, %w {pads = [0, -1, 0, 0]}", "conv: `pads` holds -1, but must be at least 0"),
        (IMAGE, "conv %x, %w {pads = [1, 1]}", "conv: `pads` has length 2, but must have length 4"),
        (IMAGE, "conv %x, %w {kernel_shape = [3]}", "conv: `kernel_shape` has length 1, but must have length 2"),
        (
            IMAGE,
            "conv %x, %w {kernel_shape = [3, 5]}",
            "conv: the sizes of the weights and of `kernel_shape` differ: 3 ≠ 5",
        ),
        (IMAGE, "conv %x, %w {group = 0}", "conv: `group` is 0, but must be at least 1"),
        (IMAGE, "conv %x, %w {group = 2}", "conv: the channels of the data and of the weights differ: 3 ≠ 6"),
        (
            "%x: f32[1, 9, 9], %w: f32[8, 3, 3]",
            "conv %x, %w {group = 3}",
            "conv: 8 output channels do not divide evenly into 3 groups",
        ),
        (IMAGE, "conv %x, %w, %x", "conv: operand 2 must have rank 1, but its shape is [n, 3, h, w]"),
        (
            "%x: f32[1, 3, 9], %w: f32[8, 3, 3], %b: f32[7]",
            "conv %x, %w, %b",
            "conv: the size of operand 2 and the output channels differ: 7 ≠ 8",
        ),
        (IMAGE, "conv %x, %b", "conv: the ranks of the data [n, 3, h, w] and of the weights [8] differ"),
        (IMAGE, "conv %b, %b", "conv: the data must have a batch, channels and a spatial axis, but is [8]"),
        (known, "conv %x, %w", "conv: a window of 3 does not fit in 2 + 0 + 0"),
        ("%x: f32[1, 3, 9], %w: f32[8, 3, 0]", "conv %x, %w", "conv: the kernel size is 0, but must be at least 1"),
        (
            "%x: i32[1, 3, 9], %w: i32[8, 3, 3]",
            "conv %x, %w",
            "conv: operand 0 must be of a float type, but its element type is i32",
        ),
        ("%x: f32[1, 3, 9], %w: f16[8, 3, 3]", "conv %x, %w", "conv: the element types differ: f32 and f16"),
        (
            IMAGE,
            r#"conv %x, %w {auto_pad = "same"}"#,
            "conv: the attribute `auto_pad` must be `NOTSET`, `SAME_UPPER`, `SAME_LOWER` or `VALID`, but is \"same\"",
        ),
    ] {
        check_error(inputs, node, expected);
    }
}

#[test]
fn conv_transpose() {
    let inputs = "%x: f32[n, 4, h, 5], %w: f32[4, 2, 3, 3]";
    for (node, expected) in [
        ("conv_transpose %x, %w", "f32[n, 2, h + 2, 7]"),
        ("conv_transpose %x, %w {group = 2, strides = [2, 2]}", "f32[n, 4, 2*h + 1, 11]"),
        ("conv_transpose %x, %w {output_padding = [1, 0], pads = [1, 1, 1, 1], strides = [2, 2]}", "f32[n, 2, 2*h, 9]"),
        ("conv_transpose %x, %w {dilations = [2, 1]}", "f32[n, 2, h + 4, 7]"),
        ("conv_transpose %x, %w {output_shape = [9, 8], strides = [2, 2]}", "f32[n, 2, 9, 8]"),
        (r#"conv_transpose %x, %w {auto_pad = "SAME_UPPER", strides = [2, 3]}"#, "f32[n, 2, 2*h, 15]"),
        // The window is smaller than the step, and the standard contradicts itself.
        (r#"conv_transpose %x, %w {auto_pad = "SAME_UPPER", strides = [2, 4]}"#, "f32[n, 2, 2*h, ?]"),
    ] {
        check(inputs, node, expected);
    }
    for (node, expected) in [
        (
            "conv_transpose %x, %w {output_padding = [-1, 0]}",
            "conv_transpose: `output_padding` holds -1, but must be at least 0",
        ),
        (
            "conv_transpose %x, %w {output_shape = [9]}",
            "conv_transpose: `output_shape` has length 1, but must have length 2",
        ),
        ("conv_transpose %x, %w {pads = [0, 9, 0, 9]}", "conv_transpose: the size -11 would be negative"),
        ("conv_transpose %x, %w {group = 3}", "conv_transpose: 4 input channels do not divide evenly into 3 groups"),
    ] {
        check_error(inputs, node, expected);
    }
}

#[test]
fn conv_of_integers() {
    let bytes = "%x: u8[1, 3, h], %w: i8[8, 3, 3], %s: f32[], %zx: u8[], %zw: i8[], %b: i32[8]";
    check(bytes, "conv_integer %x, %w, %zx", "i32[1, 8, h - 2]");
    check(bytes, "qlinear_conv %x, %s, %zx, %w, %s, %zw, %s, %zw, %b", "i8[1, 8, h - 2]");
    check_error(bytes, "conv_integer %x, %w, %zw", "conv_integer: the element types differ: u8 and i8");
    check_error(
        bytes,
        "qlinear_conv %x, %s, %zx, %w, %s, %zw, %s, %zw, %s",
        "qlinear_conv: operand 8 must be of i32, but its element type is f32",
    );
}

#[test]
fn deform_conv() {
    let inputs = "%x: f32[n, 6, h, w], %w: f32[4, 6, 3, 3], %o: f32[n, 36, h, w], %m: f32[n, 18, h, w]";
    let node = "deform_conv %x, %w, %o, _, %m {offset_group = 2, pads = [1, 1, 1, 1]}";
    check(inputs, node, "f32[n, 4, h, w]");
    check_error(
        inputs,
        "deform_conv %x, %w, %o {pads = [1, 1, 1, 1]}",
        "deform_conv: the size of axis 1 of operand 2 and the size that the weights require differ: 36 ≠ 18",
    );
}

#[test]
fn causal_conv_with_state() {
    let inputs = "%x: f32[n, 8, seq], %w: f32[8, 1, 4], %b: f32[8], %s: f32[n, 8, 3], %t: f32[n, 8, 4]";
    check(inputs, r#"causal_conv_with_state %x, %w, %b, %s {activation = "silu"}"#, "f32[n, 8, seq]; f32[n, 8, 3]");
    check(inputs, "causal_conv_with_state %x, %w", "f32[n, 8, seq]");
    check_error(
        inputs,
        "causal_conv_with_state %x, %w, _, %t",
        "causal_conv_with_state: the sizes of axis 2 of the states differ: 4 ≠ 3",
    );
}

#[test]
fn col2im() {
    let inputs = "%x: f32[n, 18, 12], %y: f32[n, 18, l], %s: i64[2]";
    check(inputs, "col2im %x, [5, 6], [3, 3]", "f32[n, 2, 5, 6]");
    check(inputs, "col2im %y, [5, 6], [3, 3] {pads = [1, 1, 1, 1], strides = [2, 2]}", "f32[n, 2, 5, 6]");
    check(inputs, "col2im %x, %s, [3, 3]", "f32[n, 2, ?, ?]");
    check(inputs, "col2im %x, %s, %s", "f32[n, ?, ?, ?]");
    for (node, expected) in [
        ("col2im %x, [6, 6], [3, 3]", "col2im: the numbers of columns and of blocks in the image differ: 12 ≠ 16"),
        ("col2im %x, [5, 6], [5, 1]", "col2im: 18 rows do not divide evenly into 5 parts"),
        ("col2im %x, [5, 6], [0, 3]", "col2im: a block cannot have 0 elements"),
        ("col2im %x, [5, 6], [3]", "col2im: the image has 2 axes, but a block has 1"),
        ("col2im %x, [5, -6], [3, 3]", "col2im: the size -6 is negative"),
    ] {
        check_error(inputs, node, expected);
    }
}
