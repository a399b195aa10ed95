use super::{check, check_attributes, check_error};
use netwright_ir::Attribute;

#[test]
fn blocks() {
    let inputs = "%x: f32[n, 8, 4, w], %v: f32[8]";
    check(inputs, "depth_to_space %x {blocksize = 2}", "f32[n, 2, 8, 2*w]");
    check(inputs, r#"space_to_depth %x {blocksize = 2, mode = "CRD"}"#, "f32[n, 32, 2, floor_div(w, 2)]");
    for (node, expected) in [
        ("depth_to_space %x {blocksize = 3}", "depth_to_space: 8 channels do not divide evenly into 9 parts"),
        ("space_to_depth %x {blocksize = 3}", "space_to_depth: 4 rows do not divide evenly into 3 parts"),
        ("space_to_depth %x {blocksize = 0}", "space_to_depth: a block cannot have the side length 0"),
        (
            "depth_to_space %x {blocksize = 9223372036854775807}",
            "depth_to_space: a block cannot have the side length 9223372036854775807",
        ),
        ("depth_to_space %v {blocksize = 2}", "depth_to_space: operand 0 must have rank 4, but its shape is [8]"),
    ] {
        check_error(inputs, node, expected);
    }
}

#[test]
fn pad() {
    let inputs = "%x: f32[n, 4], %p: i64[4], %two: i64[2], %a: i64[1]";
    for (node, expected) in [
        ("pad %x, [0, 1, 0, 2]", "f32[n, 7]"),
        ("pad %x, [1, -1, 0, -3], 0.5", "f32[n + 1, 0]"),
        (r#"pad %x, [1, 2], _, [-1] {mode = "reflect"}"#, "f32[n, 7]"),
        ("pad %x, %p", "f32[?, ?]"),
        ("pad %x, %two, _, [1]", "f32[n, ?]"),
        ("pad %x, %two, _, %a", "f32[?, ?]"),
        ("pad %x, [1099511627776, 0, 0, 9223372036854775807]", "f32[n + 1099511627776, ?]"),
    ] {
        check(inputs, node, expected);
    }
    for (node, expected) in [
        ("pad %x, [0, 1]", "pad: there are 2 pads, but 2 axes need 4"),
        ("pad %x, %two", "pad: there are 2 pads, but 2 axes need 4"),
        ("pad %x, [0, -3, 0, -2]", "pad: the pads -3 and -2 make the size of axis 1 of [n, 4] negative"),
        ("pad %x, [0, 0, 0, 0], _, [1, -1]", "pad: the axis 1 is given twice in [1, -1]"),
        ("pad %x, [0, 0], _, [2]", "pad: the axis 2 is out of range for rank 2"),
        ("pad %x, [0, 0, 0, 0], 1", "pad: the element types differ: f32 and i64"),
    ] {
        check_error(inputs, node, expected);
    }
}

#[test]
fn center_crop_pad() {
    let inputs = "%x: f32[n, 4], %s: i32[2]";
    check(inputs, "center_crop_pad %x, [3, 9]", "f32[3, 9]");
    check(inputs, "center_crop_pad %x, [9] {axes = [-1]}", "f32[n, 9]");
    check(inputs, "center_crop_pad %x, %s", "f32[?, ?]");
    check_attributes(inputs, "center_crop_pad %x, i64[0] [] {axes = []}", &[("axes", Attribute::Ints(vec![]))]);
    check_error(
        inputs,
        "center_crop_pad %x, [3]",
        "center_crop_pad: the size of operand 1 and the number of axes differ: 1 ≠ 2",
    );
    check_error(inputs, "center_crop_pad %x, [3, -9]", "center_crop_pad: the size -9 is negative");
}

#[test]
fn flatten() {
    let inputs = "%x: f32[n, 3, 4], %s: f32[], %any: f32[*]";
    for (node, expected) in [
        ("flatten %x", "f32[n, 12]"),
        ("flatten %x {axis = 0}", "f32[1, 12*n]"),
        ("flatten %x {axis = 3}", "f32[12*n, 1]"),
        ("flatten %x {axis = -1}", "f32[3*n, 4]"),
        ("flatten %s {axis = 0}", "f32[1, 1]"),
        ("flatten %any", "f32[?, ?]"),
    ] {
        check(inputs, node, expected);
    }
    check_error(inputs, "flatten %x {axis = 4}", "flatten: the axis 4 is out of range for rank 3");
    check_error(inputs, "flatten %x {axis = -4}", "flatten: the axis -4 is out of range for rank 3");
    check_error(inputs, "flatten %s", "flatten: the axis 1 is out of range for rank 0");
}
