use super::{check, check_error};

const IMAGE: &str = "%x: f32[n, 3, h, 10], %s: f32[4], %z: i64[4], %none: f32[0]";

#[test]
fn resize() {
    for (node, expected) in [
        ("resize %x, _, [1.0, 1.0, 2.0, 0.5]", "f32[n, 3, 2*h, 5]"),
        ("resize %x, %none, [1.0, 1.0, 0.75, 0.3]", "f32[n, 3, floor_div(3*h, 4), 3]"),
        ("resize %x, _, [1.0, 1.0, 0.3, 1.1]", "f32[n, 3, ?, 11]"),
        ("resize %x, _, [2.0, 1.5] {axes = [3, -2]}", "f32[n, 3, floor_div(3*h, 2), 20]"),
        ("resize %x, _, %s", "f32[?, ?, ?, ?]"),
        ("resize %x, _, _, [1, 3, 7, 9]", "f32[1, 3, 7, 9]"),
        ("resize %x, _, %none, [7, 9] {axes = [2, 3]}", "f32[n, 3, 7, 9]"),
        ("resize %x, _, _, %z", "f32[?, ?, ?, ?]"),
        // The region matters as well.
        (
            r#"resize %x, %s, [2.0] {axes = [3], coordinate_transformation_mode = "tf_crop_and_resize"}"#,
            "f32[n, 3, h, ?]",
        ),
    ] {
        check(IMAGE, node, expected);
    }
    let known = "%x: f32[4, 6], %y: f32[10, 3]";
    for (node, expected) in [
        (r#"resize %x, _, _, [8, 8] {keep_aspect_ratio_policy = "not_larger"}"#, "f32[5, 8]"),
        (r#"resize %x, _, _, [8, 8] {keep_aspect_ratio_policy = "not_smaller"}"#, "f32[8, 12]"),
        (r#"resize %y, _, _, [5, 7] {keep_aspect_ratio_policy = "not_larger"}"#, "f32[5, 2]"),
        // Exactly 3.5 by a ratio that no float can hold: runtimes round either way.
        (r#"resize %y, _, _, [3, 35] {axes = [1, 0], keep_aspect_ratio_policy = "not_larger"}"#, "f32[10, 3]"),
    ] {
        check(known, node, expected);
    }
    // 5 times 1.4 is 7 in single precision, and less than 7 in double.
    check("%x: f32[5]", "resize %x, _, f32[1] [1.4]", "f32[?]");
    for (node, expected) in [
        ("resize %x", "resize: neither scales nor sizes are given"),
        ("resize %x, _, %s, %z", "resize: both scales and sizes are given"),
        ("resize %x, _, [1.0, 1.0]", "resize: the size of operand 2 and the number of axes differ: 2 ≠ 4"),
        ("resize %x, _, [1.0, 1.0, 0.0, 1.0]", "resize: the scale 0 is not positive"),
        ("resize %x, _, [NaN, 1.0, 1.0, 1.0]", "resize: the scale NaN is not positive"),
        ("resize %x, _, _, [1, 2, -3, 4]", "resize: the size -3 is negative"),
        ("resize %x, _, _, [1, 2] {axes = [2, -2]}", "resize: the axis 2 is given twice in [2, -2]"),
        ("resize %x, _, _, [1, 2] {axes = [2, 4]}", "resize: the axis 4 is out of range for rank 4"),
        (
            r#"resize %x, _, %s {keep_aspect_ratio_policy = "not_larger"}"#,
            "resize: `keep_aspect_ratio_policy` applies to sizes only, but scales are given",
        ),
    ] {
        check_error(IMAGE, node, expected);
    }
}

#[test]
fn grids() {
    let inputs = "%x: f32[n, 3, h, w], %g: f32[n, 5, 6, 2], %bad: f32[n, 5, 6, 3], %t: f64[n, 2, 3], %any: f32[*]";
    check(inputs, r#"grid_sample %x, %g {mode = "cubic", padding_mode = "border"}"#, "f32[n, 3, 5, 6]");
    check(inputs, "grid_sample %x, %any", "f32[n, 3, ?, ?]");
    check(inputs, "affine_grid %t, [4, 3, 5, 6]", "f64[4, 5, 6, 2]");
    check("%t: f64[n, a, b], %s: i64[5]", "affine_grid %t, %s", "f64[n, ?, ?, ?, 3]");
    for (node, expected) in [
        ("grid_sample %x, %bad", "grid_sample: the coordinates of the grid and the axes differ: 3 ≠ 2"),
        ("grid_sample %x, %t", "grid_sample: operand 1 must have rank 4, but its shape is [n, 2, 3]"),
        (
            "affine_grid %t, [4, 3, 5, 6, 7]",
            "affine_grid: the size of axis 1 of [n, 2, 3] and the size that the image requires differ: 2 ≠ 3",
        ),
        ("affine_grid %t, [4, 3, 5]", "affine_grid: a grid must have two or three axes, but has 1"),
    ] {
        check_error(inputs, node, expected);
    }
}

#[test]
fn image_decoder() {
    check("%x: u8[bytes]", r#"image_decoder %x {pixel_format = "Grayscale"}"#, "u8[?, ?, ?]");
}
