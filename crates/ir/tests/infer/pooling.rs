use super::{check, check_error, infer};
use netwright_ir::{Bindings, Dim, Symbol};

const IMAGE: &str = "%x: f32[n, 3, h, 10], %v: f32[3]";

#[test]
fn pools() {
    for (node, expected) in [
        ("max_pool %x {kernel_shape = [2, 2]}", "f32[n, 3, h - 1, 9]"),
        (
            "max_pool %x {kernel_shape = [2, 2], strides = [2, 2]}",
            "f32[n, 3, floor_div(h, 2), 5]; i64[n, 3, floor_div(h, 2), 5]",
        ),
        ("average_pool %x {dilations = [1, 2], kernel_shape = [3, 3], pads = [1, 1, 1, 1]}", "f32[n, 3, h, 8]"),
        ("lp_pool %x {kernel_shape = [3, 3], p = 1}", "f32[n, 3, h - 2, 8]"),
        (
            r#"average_pool %x {auto_pad = "SAME_UPPER", ceil_mode = true, kernel_shape = [3, 3], strides = [3, 3]}"#,
            "f32[n, 3, floor_div(h + 2, 3), 4]",
        ),
        // Runtimes differ here.
        ("max_pool %x {kernel_shape = [2, 12]}", "f32[n, 3, h - 1, ?]"),
        (r#"max_pool %x {auto_pad = "SAME_UPPER", dilations = [2, 1], kernel_shape = [2, 2]}"#, "f32[n, 3, ?, 10]"),
        ("global_average_pool %x", "f32[n, 3, 1, 1]"),
        ("global_max_pool %x", "f32[n, 3, 1, 1]"),
        ("global_lp_pool %x {p = 3}", "f32[n, 3, 1, 1]"),
    ] {
        check(IMAGE, node, expected);
    }
    check("%x: i8[1, 1, 4]", "max_pool %x {kernel_shape = [2]}", "i8[1, 1, 3]");
    check("%x: f32[*]", "max_pool %x {kernel_shape = [2]}", "f32[?, ?, ?]");
    for (node, expected) in [
        (
            "max_pool %x {kernel_shape = [2]}",
            "max_pool: `kernel_shape` has length 1, which does not fit the shape [n, 3, h, 10]",
        ),
        ("max_pool %x {kernel_shape = []}", "max_pool: `kernel_shape` must not be empty"),
        ("max_pool %x {kernel_shape = [0, 1]}", "max_pool: the kernel size is 0, but must be at least 1"),
        ("max_pool %x", "max_pool: the attribute `kernel_shape` is missing"),
        ("global_max_pool %v", "global_max_pool: the operand must have a batch axis and channels"),
        (
            "average_pool %x {kernel_shape = [2, 2], strides = [1, 0]}",
            "average_pool: `strides` holds 0, but must be at least 1",
        ),
    ] {
        check_error(IMAGE, node, expected);
    }
}

#[test]
fn ceil_mode() {
    for (size, attributes, expected) in [
        ("5", "kernel_shape = [2], strides = [2]", "3"),
        ("4", "kernel_shape = [2], strides = [2]", "2"),
        // The window over the end would begin in the padding.
        ("4", "kernel_shape = [2], pads = [0, 1], strides = [2]", "2"),
        ("2", "kernel_shape = [1], strides = [2]", "1"),
        ("1", "kernel_shape = [2], strides = [2]", "1"),
        ("h", "kernel_shape = [3], strides = [2]", "floor_div(h, 2)"),
        ("h", "kernel_shape = [3], pads = [1, 1], strides = [2]", "floor_div(h, 2) + 1"),
        ("h", "kernel_shape = [1], strides = [2]", "floor_div(h + 1, 2)"),
        // More than one window might begin in the padding.
        ("4", "kernel_shape = [1], pads = [0, 5], strides = [1]", "?"),
        // Two formulas, and they differ.
        ("5", r#"auto_pad = "VALID", kernel_shape = [2], strides = [2]"#, "?"),
    ] {
        let inputs = format!("%x: f32[1, 1, {size}]");
        check(&inputs, &format!("max_pool %x {{{attributes}, ceil_mode = true}}"), &format!("f32[1, 1, {expected}]"));
    }
}

#[test]
fn max_unpool() {
    let inputs = "%x: f32[n, 3, 4, w], %i: i64[n, 3, 4, w], %j: i64[n, 3, 5, w], %s: i64[4]";
    let attributes = "{kernel_shape = [2, 2], strides = [2, 2]}";
    check(inputs, &format!("max_unpool %x, %i {attributes}"), "f32[n, 3, 8, 2*w]");
    check(inputs, &format!("max_unpool %x, %i, [1, 3, 9, 9] {attributes}"), "f32[1, 3, 9, 9]");
    check(inputs, &format!("max_unpool %x, %i, %s {attributes}"), "f32[?, ?, ?, ?]");
    check_error(
        inputs,
        &format!("max_unpool %x, %j {attributes}"),
        "max_unpool: the sizes of axis 2 of both operands differ: 5 ≠ 4",
    );
    check_error(
        inputs,
        &format!("max_unpool %x, %i, [9, 9] {attributes}"),
        "max_unpool: the size of operand 2 and the number of axes differ: 2 ≠ 4",
    );
}

#[test]
fn regions() {
    let inputs = "%x: f32[n, 3, h, w], %five: f32[r, 5], %four: f32[r, 4], %i: i64[r], %v: f32[r]";
    check(inputs, "max_roi_pool %x, %five {pooled_shape = [2, 3]}", "f32[r, 3, 2, 3]");
    check(inputs, "roi_align %x, %four, %i {output_height = 5}", "f32[r, 3, 5, 1]");
    for (node, expected) in [
        (
            "max_roi_pool %x, %four {pooled_shape = [2, 3]}",
            "max_roi_pool: the size of a region and the number of its coordinates differ: 4 ≠ 5",
        ),
        (
            "max_roi_pool %x, %five {pooled_shape = [2]}",
            "max_roi_pool: `pooled_shape` has length 1, but must have length 2",
        ),
        ("roi_align %x, %four, %i {output_width = 0}", "roi_align: `output_width` holds 0, but must be at least 1"),
        ("roi_align %x, %v, %i", "roi_align: operand 1 must have rank 2, but its shape is [r]"),
    ] {
        check_error(inputs, node, expected);
    }
}

#[test]
fn non_max_suppression() {
    let inputs = "%b: f32[n, boxes, 4], %s: f32[n, c, boxes], %k: i64[], %t: f32[n, c, 7], %u: f32[n, 8, 4]";
    check(inputs, "non_max_suppression %b, %s, %k", "i64[?, 3]");
    check_error(
        inputs,
        "non_max_suppression %u, %t",
        "non_max_suppression: the numbers of boxes and scores differ: 8 ≠ 7",
    );
}

/// Inference for a symbol gives, for any number in its place, what inference for the number gives.
#[test]
fn symbols_agree_with_numbers() {
    let mut compared = 0;
    for (kernel, stride, dilation) in [(1, 1, 1), (2, 2, 1), (3, 2, 1), (3, 1, 2), (2, 3, 1), (4, 5, 3)] {
        for (begin, end) in [(0, 0), (1, 1), (0, 2), (3, 1)] {
            let transposed = "conv_transpose %x, f32[1, 1, KERNEL] fill(0.0)";
            for (node, ceil) in [("max_pool %x", ""), ("max_pool %x", ", ceil_mode = true"), (transposed, "")] {
                let node = node.replace("KERNEL", &kernel.to_string());
                let attributes = format!(
                    "dilations = [{dilation}], kernel_shape = [{kernel}], pads = [{begin}, {end}], strides = [{stride}]{ceil}"
                );
                let last = |size: &str| {
                    let inputs = format!("%x: f32[1, 1, {size}]");
                    let ty = infer(&inputs, &format!("{node} {{{attributes}}}"), 1).ok()?;
                    ty.strip_prefix("f32[1, 1, ")?.strip_suffix("]")?.parse::<Dim>().ok()
                };
                let symbolic = last("h").unwrap();
                for size in 1..20 {
                    let bound = symbolic.evaluate(&Bindings::from([(Symbol::new("h"), size)]));
                    if let Some(known @ Dim::Known(_)) = last(&size.to_string())
                        && symbolic != Dim::Unknown
                    {
                        assert_eq!(bound.map(Dim::Known), Some(known), "{node} {{{attributes}}} of {size}");
                        compared += 1;
                    }
                }
            }
        }
    }
    assert!(compared > 500, "{compared}");
}
