use super::check_cases;

#[test]
fn canonicalize() {
    check_cases(
        "canonicalize",
        &[
            (
                "identities",
                "%a = identity %x : f32[b, h, q, k]
                 %b = cast %a {to = f32} : f32[b, h, q, k]
                 %c = transpose %b {perm = [0, 1, 2, 3]} : f32[b, h, q, k]
                 %d = mul 1.0, %c : f32[b, h, q, k]
                 %e = exp %d : f32[b, h, q, k]
                 return %e",
            ),
            (
                // ONNX counts the axes of a permutation from the front alone.
                "transpose_counted_from_the_end",
                "%a = transpose %x {perm = [0, 1, 2, -1]} : f32[b, h, q, k]
                 %b = exp %a : f32[b, h, q, k]
                 return %b",
            ),
            (
                // A result of the graph keeps a node between it and an input.
                "identity_of_an_input_as_output",
                "%a = identity %x : f32[b, h, q, k]
                 return %a",
            ),
            (
                // The constant gives the result another axis.
                "unit_factor_that_widens",
                "%a = mul %x, f32[1, 1, 1, 1, 1] [1.0] : f32[1, b, h, q, k]
                 return %a",
            ),
            (
                // -0.0 + 0.0 is 0.0, and NaN * 0.0 is NaN.
                "zeros_are_no_identities",
                "%a = add %x, 0.0 : f32[b, h, q, k]
                 %b = mul %a, 0.0 : f32[b, h, q, k]
                 %c = sub %b, %b : f32[b, h, q, k]
                 return %c",
            ),
            (
                "negated_is_added",
                "%a = neg %y : f32[b, h, q, k]
                 %b = add %a, %x : f32[b, h, q, k]
                 return %b",
            ),
            (
                "bias_of_heads",
                "%w = parameter uniform(seed = 1, bound = 0.5) : f32[8, 6]
                 %bias = parameter [1, 2, 3, 4, 5, 6] : f32[6]
                 %u = parameter uniform(seed = 2, bound = 0.5) : f32[2, 3]
                 %in = parameter uniform(seed = 3, bound = 0.5) : f32[5, 8]
                 %z = matmul %in, %w : f32[5, 6]
                 %n = add %z, %bias : f32[5, 6]
                 %h = reshape %n, [0, 2, 3] : f32[5, 2, 3]
                 %a = add %u, %h : f32[5, 2, 3]
                 %b = mul %a, 0.5 : f32[5, 2, 3]
                 %c = transpose %b {perm = [1, 0, 2]} : f32[2, 5, 3]
                 return %c",
            ),
            (
                "transposes",
                "%a = transpose %x {perm = [0, 2, 1, 3]} : f32[b, q, h, k]
                 %b = transpose %a {perm = [0, 1, 3, 2]} : f32[b, q, k, h]
                 %c = transpose %b {perm = [2, 0, 1, 3]} : f32[k, b, q, h]
                 %d = exp %c : f32[k, b, q, h]
                 %e = transpose %a {perm = [0, 2, 1, 3]} : f32[b, h, q, k]
                 %f = exp %e : f32[b, h, q, k]
                 return %d, %f",
            ),
            (
                "reshapes",
                "%a = reshape %x, [1, -1] : f32[1, b*h*k*q]
                 %b = reshape %a, [-1, 1, 1] : f32[b*h*k*q, 1, 1]
                 return %b",
            ),
            (
                // The 0 keeps the first size of %a, which is not the first of %x; a -1 makes it.
                "reshape_that_keeps_a_size",
                "%a = reshape %x, [-1, 1] : f32[b*h*k*q, 1]
                 %b = reshape %a, [0, 1, 1] : f32[b*h*k*q, 1, 1]
                 return %b",
            ),
            (
                // A size that is 0 when the model runs would keep the first size of %a.
                "reshape_to_a_size_that_may_be_zero",
                "%n = shape %ids {start = 0, end = 1} : i64[1]
                 %s = concat %n, [-1] {axis = 0} : i64[2]
                 %a = reshape %x, [1, -1] : f32[1, b*h*k*q]
                 %b = reshape %a, %s : f32[b, h*k*q]
                 return %b",
            ),
            (
                "divisions",
                "%a = div %x, 8.0 : f32[b, h, q, k]
                 %b = div %a, f32[1] [-0.25] : f32[b, h, q, k]
                 return %b",
            ),
            (
                // 1/3 is rounded, 1/2^-140 is no f32, and 0 has no inverse.
                "divisions_that_round",
                "%a = div %x, 3.0 : f32[b, h, q, k]
                 %b = div %a, 7.174648137343064e-43 : f32[b, h, q, k]
                 %c = div %b, 0.0 : f32[b, h, q, k]
                 %d = div 8.0, %c : f32[b, h, q, k]
                 return %d",
            ),
            (
                "unit_scales",
                "%a = scaled_softmax %x {axis = -1, scale = 1.0} : f32[b, h, q, k]
                 %b = scaled_softmax %a, %m {axis = 2, scale = 1.0} : f32[b, h, q, k]
                 %c = scaled_softmax %b {axis = -1, scale = 0.5} : f32[b, h, q, k]
                 return %c",
            ),
            (
                "neutral_operands",
                "%a = div %x, 1.0 : f32[b, h, q, k]
                 %b = sub %a, f32[1, 1] [0.0] : f32[b, h, q, k]
                 %c = add -0.0, %b : f32[b, h, q, k]
                 %d = exp %c : f32[b, h, q, k]
                 %i = mul %ids, 1 : i64[b, q]
                 %j = div %i, 1 : i64[b, q]
                 %l = add 0, %j : i64[b, q]
                 %n = sub %l, 0 : i64[b, q]
                 %o = cast %n {to = f32} : f32[b, q]
                 return %d, %o",
            ),
            (
                // -0.0 - -0.0 is 0.0, 1 - x and 1 / x are no x, and x^1 is not exact in every runtime.
                "operands_that_are_not_neutral",
                "%a = sub %x, -0.0 : f32[b, h, q, k]
                 %b = sub 0.0, %a : f32[b, h, q, k]
                 %c = div 1.0, %b : f32[b, h, q, k]
                 %d = pow %c, 1.0 : f32[b, h, q, k]
                 %e = mul %d, f32[3, 1, 1, 1, 1] [1.0, 1.0, 1.0] : f32[3, b, h, q, k]
                 return %e",
            ),
            (
                "negated_twice",
                "%p = equal %ids, 0 : bool[b, q]
                 %a = not %p : bool[b, q]
                 %b = not %a : bool[b, q]
                 %c = not %b : bool[b, q]
                 return %c",
            ),
            (
                "equal_branches",
                "%p = greater %m, 0.0 : bool[b, 1, 1, k]
                 %a = where %p, %x, %x : f32[b, h, q, k]
                 %w = where %p, %x, %y : f32[b, h, q, k]
                 %e = exp %a : f32[b, h, q, k]
                 return %e, %w",
            ),
            (
                // Where they are one row, the condition has more.
                "equal_branches_that_widen",
                "%p = greater %x, 0.0 : bool[b, h, q, k]
                 %a = where %p, %m, %m : f32[b, h, q, k]
                 return %a",
            ),
            (
                "one_operand",
                "%a = sum %x : f32[b, h, q, k]
                 %b = mean %a : f32[b, h, q, k]
                 %c = max %b : f32[b, h, q, k]
                 %d = min %c : f32[b, h, q, k]
                 %e = concat %d {axis = 1} : f32[b, h, q, k]
                 %f = exp %e : f32[b, h, q, k]
                 return %f",
            ),
            (
                "same_shapes",
                "%s = shape %x : i64[4]
                 %a = reshape %x, %s : f32[b, h, q, k]
                 %b = reshape %a, [0, 0, -1, 0] : f32[b, h, q, k]
                 %c = slice %b, [0, 0], [9223372036854775807, 9223372036854775807], [1, -1] : f32[b, h, q, k]
                 %d = expand %c, [1, 1] : f32[b, h, q, k]
                 %e = expand %d, %s : f32[b, h, q, k]
                 %f = tile %e, [1, 1, 1, 1] : f32[b, h, q, k]
                 %g = split %f {axis = 2} : f32[b, h, q, k]
                 %t = unsqueeze %g, i64[0] [] : f32[b, h, q, k]
                 %i = exp %t : f32[b, h, q, k]
                 %j = flatten %ids {axis = -1} : i64[b, q]
                 %l = cast %j {to = f32} : f32[b, q]
                 return %i, %l",
            ),
            (
                // Other elements, or more of them, where a size is 1 or more than it seems.
                "other_shapes",
                "%s = shape %y {start = 3} : i64[1]
                 %t = concat [1, 1, 1], %s {axis = 0} : i64[4]
                 %a = slice %x, [0], [10], [3] : f32[b, h, q, min(10, k)]
                 %b = slice %x, [-1], [-9223372036854775808], [3], [-1] : f32[b, h, q, k]
                 %c = slice %x, [1], [9223372036854775807], [3] : f32[b, h, q, max(0, k - 1)]
                 %d = expand %m, [1, 2, 1, 1] : f32[b, 2, 1, k]
                 %e = expand %x, [1, 1, 1, 1, 1] : f32[1, b, h, q, k]
                 %f = tile %x, [1, 1, 1, 2] : f32[b, h, q, 2*k]
                 %g = reshape %x, [-1, 1, 1, 1] : f32[b*h*k*q, 1, 1, 1]
                 %i = flatten %m : f32[b, k]
                 return %a, %b, %c, %d, %e, %f, %g, %i, %t",
            ),
            (
                "pads",
                "%a = pad %x, [0, 0, 0, 0, 0, 0, 0, 0] : f32[b, h, q, k]
                 %b = pad %a, [0, 0], 1.0, [3] : f32[b, h, q, k]
                 %c = pad %b, [0, 1], 1.0, [3] : f32[b, h, q, k + 1]
                 return %c",
            ),
            (
                "dropouts",
                "%a = dropout %x : f32[b, h, q, k]
                 %b = dropout %a, 0.5 : f32[b, h, q, k]
                 %c, %mask = dropout %b, 0.5, bool[] hex(00) : f32[b, h, q, k], bool[b, h, q, k]
                 %d = exp %c : f32[b, h, q, k]
                 return %d",
            ),
            (
                "dropouts_that_stay",
                "%a, %mask = dropout %x : f32[b, h, q, k], bool[b, h, q, k]
                 %b = dropout %a, 0.5, bool[] hex(01) : f32[b, h, q, k]
                 return %b, %mask",
            ),
            (
                "casts_that_lose_nothing",
                "%a = cast %x {to = f16} : f16[b, h, q, k]
                 %b = cast %a {to = f32} : f32[b, h, q, k]
                 %c = cast %b {to = f16} : f16[b, h, q, k]
                 %d = cast %ids {to = i32} : i32[b, q]
                 %e = cast %d {to = i64} : i64[b, q]
                 %f = cast %e {to = f32} : f32[b, q]
                 %p = equal %ids, 0 : bool[b, q]
                 %i = cast %p {to = i64} : i64[b, q]
                 %j = cast %i {to = bool} : bool[b, q]
                 %l = cast %j {to = f32} : f32[b, q]
                 %n = exp %c : f16[b, h, q, k]
                 return %n, %f, %l",
            ),
            (
                // Rounded, wrapped, cut off, or a float that is out of the range of integers.
                "casts_that_lose",
                "%a = cast %x {to = f16} : f16[b, h, q, k]
                 %b = cast %a {to = f32} : f32[b, h, q, k]
                 %c = cast %ids {to = i32} : i32[b, q]
                 %d = cast %c {to = i64} : i64[b, q]
                 %e = cast %x {to = i64} : i64[b, h, q, k]
                 %f = cast %e {to = f32} : f32[b, h, q, k]
                 %g = cast %ids {to = f32} : f32[b, q]
                 %i = cast %g {to = i64} : i64[b, q]
                 %j = cast %y {to = f64} : f64[b, h, q, k]
                 %l = cast %j {to = i64} : i64[b, h, q, k]
                 return %b, %d, %f, %i, %l",
            ),
            (
                "squeezes",
                "%a = unsqueeze %ids, [1] : i64[b, 1, q]
                 %b = unsqueeze %a, [0, -1] : i64[1, b, 1, q, 1]
                 %c = exp %m : f32[b, 1, 1, k]
                 %d = squeeze %c, [1] : f32[b, 1, k]
                 %e = squeeze %d, [1] : f32[b, k]
                 %f = unsqueeze %e, [1] : f32[b, 1, k]
                 %g = unsqueeze %y, [0] : f32[1, b, h, q, k]
                 %i = squeeze %g, [0] : f32[b, h, q, k]
                 %j = exp %i : f32[b, h, q, k]
                 %l = squeeze %m, [1] : f32[b, 1, k]
                 %n = unsqueeze %l, [0, 3] : f32[1, b, 1, 1, k]
                 return %b, %f, %j, %n",
            ),
            (
                // A size that is squeezed must be 1, and one that is not must stay.
                "squeezes_that_stay",
                "%a = squeeze %x, [1] : f32[b, q, k]
                 %b = unsqueeze %a, [1] : f32[b, 1, q, k]
                 %c = squeeze %m, [1, 2] : f32[b, k]
                 %d = unsqueeze %c, [2] : f32[b, k, 1]
                 return %b, %d",
            ),
            (
                "reshapes_of_squeezes",
                "%a = unsqueeze %x, [4] : f32[b, h, q, k, 1]
                 %b = reshape %a, [0, 0, -1] : f32[b, h, k*q]
                 %c = flatten %y {axis = 2} : f32[b*h, k*q]
                 %d = reshape %c, [-1] : f32[b*h*k*q]
                 %e = reshape %m, [0, -1] : f32[b, k]
                 %f = unsqueeze %e, [1] : f32[b, 1, k]
                 return %b, %d, %f",
            ),
            (
                // The 0 keeps what is not there in the first, and both are used.
                "reshapes_that_stay",
                "%a = unsqueeze %x, [0] : f32[1, b, h, q, k]
                 %b = reshape %a, [0, 0, -1] : f32[1, b, h*k*q]
                 %c = reshape %y, [-1, 4] : f32[floor_div(b*h*k*q, 4), 4]
                 %d = reshape %c, [-1, 2] : f32[2*floor_div(b*h*k*q, 4), 2]
                 return %b, %d",
            ),
        ],
    );
}
