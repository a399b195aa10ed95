use super::check;

#[test]
fn reductions() {
    for word in ["prod", "l1", "l2", "log_sum", "log_sum_exp", "sum_square"] {
        check(&format!("%a = reduce_{word} %x, [1]"), "f32[batch, 1, 8]");
        check(&format!("%a = reduce_{word} %x, [0, -1] {{keepdims = false}}"), "f32[seq]");
        check(&format!("%a = reduce_{word} %x"), "f32[1, 1, 1]");
        check(&format!("%a = reduce_{word} %x {{noop_with_empty_axes = true}}"), "f32[batch, seq, 8]");
    }
    for (body, expected) in [
        ("%a = reduce_l1 %x, [3]", "reduce_l1: the axis 3 is out of range for rank 3"),
        ("%a = reduce_prod %x, i64[0] [] {keepdims = false}", "f32[]"),
        ("%a = reduce_sum %any {keepdims = false}", "f32[]"),
        ("%a = reduce_max %b, [0]", "bool[1, 3]"),
        ("%a = reduce_sum %b", "reduce_sum: operand 0 must be of a number type, but its element type is bool"),
        ("%a = reduce_sum %x, [1.0]", "reduce_sum: operand 1 must be of i64, but its element type is f32"),
    ] {
        check(body, expected);
    }
}

#[test]
fn along_an_axis() {
    for (body, expected) in [
        ("%a = rms_normalization %x, f32[8] fill(1.0) {epsilon = 1e-5}", "f32[batch, seq, 8]"),
        ("%a = rms_normalization %x, f16[8] fill(hex(003c)) {epsilon = 1e-5}", "?"),
        ("%a = arg_max %x", "i64[1, seq, 8]"),
        ("%a = arg_min %x {axis = -2, keepdims = false, select_last_index = true}", "i64[batch, 8]"),
        ("%a = arg_max %any", "i64[*]"),
        ("%a = arg_max %x {axis = -4}", "arg_max: the axis -4 is out of range for rank 3"),
        ("%a = cum_sum %x, 1 {exclusive = true}", "f32[batch, seq, 8]"),
        ("%a = cum_prod %i, %n {reverse = true}", "i64[2, 3]"),
        ("%a = cum_sum %x, 3", "cum_sum: the axis 3 is out of range for rank 3"),
        ("%a = cum_sum %x, 1.0", "cum_sum: operand 1 must be of i64 or i32, but its element type is f32"),
        ("%v, %w = top_k %x, [5]", "f32[batch, seq, 5], i64[batch, seq, 5]"),
        ("%v = top_k %x, [5] {axis = 1, largest = false}", "f32[batch, 5, 8]"),
        (
            "%d = shape %x {start = 1, end = 2} : ?\n%v, %w = top_k %x, %d {axis = 0}",
            "f32[seq, seq, 8], i64[seq, seq, 8]",
        ),
        ("%v, %w = top_k %x, [-1]", "top_k: operand 1 must not be negative, but is -1"),
        ("%v, %w = top_k %x, [9]", "top_k: k is 9, but axis 2 of [batch, seq, 8] has fewer elements"),
        ("%v, %w = top_k %x, [1, 2]", "top_k: operand 1 must be one number, but its shape is [2]"),
        ("%v, %w = top_k %any, [1]", "f32[*], i64[*]"),
        ("%v, %w, %z = top_k %x, [1]", "top_k: it has 1 to 2 results, but 3 are requested"),
    ] {
        check(body, expected);
    }
}
