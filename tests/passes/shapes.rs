//! Tests of shapes, indices and broadcasts that are known at compile time.

use super::{check_diff, check_pass};
use netwright::ir::{Model, parse};
use netwright::onnx;
use netwright::passes::{Options, optimize};

fn check(name: &str, cases: &[(&str, &str)]) {
    let inputs = "%x: f32[b, q, 32], %s: f32[b, 4, q, k], %m: i64[b, k], %ids: i64[b, q], %past: f32[b, 4, p, 8]";
    for (case, body) in cases {
        let text = format!("g({inputs}) {{\n{body}\n}}");
        check_pass(case, name, &parse(&text).unwrap_or_else(|error| panic!("{error} in\n{text}")));
    }
}

#[test]
fn eliminate_shape_chains() {
    check(
        "eliminate-shape-chains",
        &[
            (
                "heads",
                "%s0 = shape %x : i64[3]
                 %b = gather %s0, 0 : i64[]
                 %q = gather %s0, 1 : i64[]
                 %b1 = unsqueeze %b, [0] : i64[1]
                 %q1 = unsqueeze %q, [0] : i64[1]
                 %n = concat %b1, %q1, [-1], [8] {axis = 0} : i64[4]
                 %r = reshape %x, %n : f32[b, q, 4, 8]
                 %t = transpose %r {perm = [0, 2, 1, 3]} : f32[b, 4, q, 8]
                 return %t",
            ),
            (
                // A constant with a 0 and a -1 would fail where b is 0, and this does not.
                "two_free_sizes",
                "%f = reshape %x, [-1, 32] : f32[b*q, 32]
                 %e = exp %f : f32[b*q, 32]
                 %s0 = shape %s : i64[4]
                 %b = gather %s0, [0] : i64[1]
                 %s1 = shape %ids : i64[2]
                 %q = gather %s1, [1] : i64[1]
                 %n = concat %b, %q, [32] {axis = 0} : i64[3]
                 %r = reshape %e, %n {allowzero = true} : f32[b, q, 32]
                 return %r",
            ),
            (
                // Where b and p are 0, the second size keeps 4.
                "sizes_that_are_perhaps_zero",
                "%s0 = shape %past : i64[4]
                 %b = gather %s0, [0] : i64[1]
                 %p = gather %s0, [2] : i64[1]
                 %n = concat %b, %p, [32] {axis = 0} : i64[3]
                 %r = reshape %past, %n : ?
                 %s1 = shape %r : ?
                 return %r, %s1",
            ),
            (
                // Both stay in their places, so no -1 is needed.
                "kept_sizes",
                "%s0 = shape %past : i64[4]
                 %b = gather %s0, [0] : i64[1]
                 %n = concat %b, [32], [-1] {axis = 0} : i64[3]
                 %r = reshape %past, %n : f32[b, 32, p]
                 return %r",
            ),
            (
                "widened_axes",
                "%u = unsqueeze %past, [2] : f32[b, 4, 1, p, 8]
                 %s0 = shape %past : i64[4]
                 %b = slice %s0, [0], [1] : i64[1]
                 %p = slice %s0, [2], [3] : i64[1]
                 %n = concat %b, [4], [2], %p, [8] {axis = 0} : i64[5]
                 %w = expand %u, %n : f32[b, 4, 2, p, 8]
                 return %w",
            ),
            (
                "shifted_range",
                "%n = shape %ids {start = 1} : i64[1]
                 %q = squeeze %n : i64[]
                 %o = shape %past {start = 2, end = 3} : i64[1]
                 %p = squeeze %o : i64[]
                 %r = range 0, %q, 1 : i64[q]
                 %a = add %r, %p : i64[q]
                 %c = cast %a {to = f32} : f32[q]
                 return %c",
            ),
            (
                "sizes_of_inputs",
                "%e = exp %past : f32[b, 4, p, 8]
                 %s0 = shape %e : i64[4]
                 %p = gather %s0, 2 : i64[]
                 %s1 = shape %x : i64[3]
                 %q = gather %s1, 1 : i64[]
                 %n = add %p, %q : i64[]
                 %r = range 0, %n, 1 : i64[p + q]
                 %c = cast %r {to = i32} : i32[p + q]
                 return %c, %e",
            ),
        ],
    );
}

#[test]
fn narrow_broadcasts() {
    check(
        "narrow-broadcasts",
        &[
            (
                "wide_mask",
                "%c = cast %m {to = f32} : f32[b, k]
                 %u = unsqueeze %c, [1, 2] : f32[b, 1, 1, k]
                 %n = shape %s : i64[4]
                 %w = expand %u, %n : f32[b, 4, q, k]
                 %i = sub 1.0, %w : f32[b, 4, q, k]
                 %f = mul %i, -10000.0 : f32[b, 4, q, k]
                 %r = add %s, %f : f32[b, 4, q, k]
                 return %r",
            ),
            (
                // One of two that are widened must stay wide.
                "both_operands_expanded",
                "%c = cast %m {to = f32} : f32[b, k]
                 %u = unsqueeze %c, [1, 2] : f32[b, 1, 1, k]
                 %n = shape %s : i64[4]
                 %w = expand %u, %n : f32[b, 4, q, k]
                 %v = expand %u, %n : f32[b, 4, q, k]
                 %r = add %w, %v : f32[b, 4, q, k]
                 return %r",
            ),
            (
                "wide_result",
                "%c = cast %m {to = f32} : f32[b, k]
                 %u = unsqueeze %c, [1, 2] : f32[b, 1, 1, k]
                 %n = shape %s : i64[4]
                 %w = expand %u, %n : f32[b, 4, q, k]
                 %r = add %s, %w : f32[b, 4, q, k]
                 return %r, %w",
            ),
            (
                "widened_before_other_operators",
                "%c = cast %m {to = f32} : f32[b, k]
                 %u = unsqueeze %c, [1, 2] : f32[b, 1, 1, k]
                 %n = shape %s : i64[4]
                 %w = expand %u, %n : f32[b, 4, q, k]
                 %f = floor %w : f32[b, 4, q, k]
                 %p = pow %f, 2.0 : f32[b, 4, q, k]
                 %r = sum %p, %s, 1.0 : f32[b, 4, q, k]
                 return %r",
            ),
            (
                "leading_axes",
                "%n = shape %ids {start = 1} : i64[1]
                 %q = squeeze %n : i64[]
                 %r = range 0, %q, 1 : i64[q]
                 %u = unsqueeze %r, [0, 1, 3] : i64[1, 1, q, 1]
                 %c = cast %u {to = f32} : f32[1, 1, q, 1]
                 %a = add %s, %c : f32[b, 4, q, k]
                 return %a",
            ),
            (
                "always_true",
                "%n = shape %ids {start = 1} : i64[1]
                 %q = squeeze %n : i64[]
                 %r = range 0, %q, 1 : i64[q]
                 %u = unsqueeze %r, [0, 1, 3] : i64[1, 1, q, 1]
                 %t = greater_or_equal %u, 0 : bool[1, 1, q, 1]
                 %c = cast %m {to = bool} : bool[b, k]
                 %v = unsqueeze %c, [1, 2] : bool[b, 1, 1, k]
                 %a = and %t, %v : bool[b, 1, q, k]
                 %w = where %a, %s, -10000.0 : f32[b, 4, q, k]
                 return %w",
            ),
            (
                "always_true_in_another_order",
                "%n = shape %ids {start = 1} : i64[1]
                 %q = squeeze %n : i64[]
                 %r = range 0, %q, 1 : i64[q]
                 %u = unsqueeze %r, [0, 1, 2] : i64[1, 1, 1, q]
                 %t = greater_or_equal %u, 0 : bool[1, 1, 1, q]
                 %o = transpose %t {perm = [0, 1, 3, 2]} : bool[1, 1, q, 1]
                 %c = cast %m {to = bool} : bool[b, k]
                 %v = unsqueeze %c, [1, 2] : bool[b, 1, 1, k]
                 %a = and %o, %v : bool[b, 1, q, k]
                 %w = where %a, %s, -10000.0 : f32[b, 4, q, k]
                 return %w",
            ),
        ],
    );
}

#[test]
fn simplify_indexing() {
    check(
        "simplify-indexing",
        &[
            (
                "integer_zero",
                "%z = add %ids, 0 : i64[b, q]
                 %c = cast %z {to = f32} : f32[b, q]
                 return %c",
            ),
            (
                "gather_of_all",
                "%n = shape %ids {start = 1} : i64[1]
                 %q = squeeze %n : i64[]
                 %r = range 0, %q, 1 : i64[q]
                 %g = gather %x, %r {axis = 1} : f32[b, q, 32]
                 %e = exp %g : f32[b, q, 32]
                 return %e",
            ),
            (
                // Counts to another size, from another number and by another step.
                "gather_of_some",
                "%n = shape %ids {start = 1} : i64[1]
                 %q = squeeze %n : i64[]
                 %r = range 0, %q, 1 : i64[q]
                 %t = range 1, 32, 1 : i64[31]
                 %u = range 0, 32, 2 : i64[16]
                 %l = concat %x, %x {axis = 1} : f32[b, 2*q, 32]
                 %g = gather %l, %r {axis = 1} : f32[b, q, 32]
                 %h = gather %x, %t {axis = 2} : f32[b, q, 31]
                 %i = gather %x, %u {axis = 2} : f32[b, q, 16]
                 return %g, %h, %i",
            ),
            (
                "columns_of_flat",
                "%n = shape %m {end = 1} : i64[1]
                 %b = squeeze %n : i64[]
                 %w = shape %m {start = 1} : i64[1]
                 %k = squeeze %w : i64[]
                 %rows = range 0, %b, 1 : i64[b]
                 %r4 = unsqueeze %rows, [1, 2, 3] : i64[b, 1, 1, 1]
                 %columns = range 0, %k, 1 : i64[k]
                 %by = mul %r4, %w : i64[b, 1, 1, 1]
                 %at = add %columns, %by : i64[b, 1, 1, k]
                 %f = flatten %m {axis = 2} : i64[b*k, 1]
                 %g = gather %f, %at : i64[b, 1, 1, k, 1]
                 %c = cast %g {to = f32} : f32[b, 1, 1, k, 1]
                 return %c",
            ),
            (
                // Half of the rows.
                "some_rows",
                "%two = concat %m, %m {axis = 0} : i64[2*b, k]
                 %o = shape %m : i64[2]
                 %b = gather %o, 0 : i64[]
                 %k = gather %o, 1 : i64[]
                 %rows = range 0, %b, 1 : i64[b]
                 %columns = range 0, %k, 1 : i64[k]
                 %r2 = unsqueeze %rows, [1] : i64[b, 1]
                 %r = expand %r2, %o : i64[b, k]
                 %c = expand %columns, %o : i64[b, k]
                 %r3 = unsqueeze %r, [-1] : i64[b, k, 1]
                 %c3 = unsqueeze %c, [-1] : i64[b, k, 1]
                 %at = concat %r3, %c3 {axis = -1} : i64[b, k, 2]
                 %g = gather_nd %two, %at : i64[b, k]
                 %f = cast %g {to = f32} : f32[b, k]
                 return %f",
            ),
            (
                "columns_of_pairs",
                "%n = shape %m : i64[2]
                 %b = gather %n, 0 : i64[]
                 %q = gather %n, 1 : i64[]
                 %rows = range 0, %b, 1 : i64[b]
                 %columns = range 0, %q, 1 : i64[k]
                 %r4 = unsqueeze %rows, [1, 2, 3] : i64[b, 1, 1, 1]
                 %c4 = unsqueeze %columns, [0, 1, 2] : i64[1, 1, 1, k]
                 %w = max %r4, %c4 : i64[b, 1, 1, k]
                 %to = shape %w : i64[4]
                 %r = expand %r4, %to : i64[b, 1, 1, k]
                 %c = expand %c4, %to : i64[b, 1, 1, k]
                 %r5 = unsqueeze %r, [-1] : i64[b, 1, 1, k, 1]
                 %c5 = unsqueeze %c, [-1] : i64[b, 1, 1, k, 1]
                 %at = concat %r5, %c5 {axis = -1} : i64[b, 1, 1, k, 2]
                 %g = gather_nd %m, %at : i64[b, 1, 1, k]
                 %f = cast %g {to = f32} : f32[b, 1, 1, k]
                 return %f",
            ),
        ],
    );
}

#[test]
fn simplify_logic() {
    check(
        "simplify-logic",
        &[
            (
                "masked_fill",
                "%e = equal %m, 0 : bool[b, k]
                 %n = not %e : bool[b, k]
                 %u = unsqueeze %n, [1, 2] : bool[b, 1, 1, k]
                 %i = cast %u {to = i64} : i64[b, 1, 1, k]
                 %z = equal %i, 0 : bool[b, 1, 1, k]
                 %w = where %z, -1000000000.0, %s : f32[b, 4, q, k]
                 return %w",
            ),
            (
                "negation_is_read_twice",
                "%e = equal %m, 0 : bool[b, k]
                 %n = not %e : bool[b, k]
                 %u = unsqueeze %n, [1, 2] : bool[b, 1, 1, k]
                 %w = where %u, %s, 0.0 : f32[b, 4, q, k]
                 %v = xor %n, %e : bool[b, k]
                 return %w, %v",
            ),
        ],
    );
}

#[test]
fn keep_reduced_axes() {
    check(
        "keep-reduced-axes",
        &[
            (
                "variance",
                "%a = reduce_mean %x, [-1] : f32[b, q, 1]
                 %c = reduce_mean %x, [2] : f32[b, q, 1]
                 %d = sub %x, %c : f32[b, q, 32]
                 %e = mul %d, %d : f32[b, q, 32]
                 %f = reduce_mean %e, [2] {keepdims = false} : f32[b, q]
                 %g = mul %f, 32.0 : f32[b, q]
                 %h = div %g, 31.0 : f32[b, q]
                 %i = reshape %h, [0, 0, 1] : f32[b, q, 1]
                 %j = sub %x, %a : f32[b, q, 32]
                 %k = div %j, %i : f32[b, q, 32]
                 %l = reduce_mean %s, [-1] : f32[b, 4, q, 1]
                 %n = reduce_mean %s, [3] : f32[b, 4, q, 1]
                 return %k, %l, %n",
            ),
            (
                "norm",
                "%f = reduce_l2 %x, [2] {keepdims = false} : f32[b, q]
                 %g = max %f, 1e-6 : f32[b, q]
                 %i = reshape %g, [0, 0, 1] : f32[b, q, 1]
                 %k = div %x, %i : f32[b, q, 32]
                 return %k",
            ),
            (
                "index_of_the_largest",
                "%f = arg_max %x {axis = 2, keepdims = false} : i64[b, q]
                 %c = cast %f {to = f32} : f32[b, q]
                 %i = unsqueeze %c, [2] : f32[b, q, 1]
                 %k = sub %x, %i : f32[b, q, 32]
                 return %k",
            ),
            (
                "another_axis",
                "%f = reduce_mean %x, [1] {keepdims = false} : f32[b, 32]
                 %i = reshape %f, [0, 32, 1] : f32[b, 32, 1]
                 return %i",
            ),
        ],
    );
}

#[test]
fn merge_slices() {
    check(
        "merge-slices",
        &[
            (
                "halves",
                "%a = slice %x, [0], [16], [2], [1] : f32[b, q, 16]
                 %c = slice %x, [16], [9223372036854775807], [-1], [1] : f32[b, q, 16]
                 %n = neg %c : f32[b, q, 16]
                 %r = concat %n, %a {axis = -1} : f32[b, q, 32]
                 return %r",
            ),
            (
                "not_all",
                "%a = slice %x, [0], [16], [2], [1] : f32[b, q, 16]
                 %c = slice %x, [17], [32], [2], [1] : f32[b, q, 15]
                 %d = slice %x, [-1], [-33], [2], [-1] : f32[b, q, 32]
                 return %a, %c, %d",
            ),
        ],
    );
}

#[test]
fn unflatten_gemm() {
    check(
        "unflatten-gemm",
        &[
            (
                "linear",
                "%w = parameter uniform(seed = 1, bound = 0.5) : f32[32, 8]
                 %c = parameter uniform(seed = 2, bound = 0.5) : f32[8]
                 %f = reshape %x, [-1, 32] : f32[b*q, 32]
                 %g = gemm %f, %w, %c : f32[b*q, 8]
                 %n = shape %ids : i64[2]
                 %t = concat %n, [8] {axis = 0} : i64[3]
                 %r = reshape %g, %t : f32[b, q, 8]
                 return %r",
            ),
            (
                "product_is_read_twice",
                "%w = parameter uniform(seed = 1, bound = 0.5) : f32[32, 8]
                 %f = reshape %x, [-1, 32] : f32[b*q, 32]
                 %g = gemm %f, %w : f32[b*q, 8]
                 %n = shape %ids : i64[2]
                 %t = concat %n, [8] {axis = 0} : i64[3]
                 %r = reshape %g, %t : f32[b, q, 8]
                 return %r, %g",
            ),
            (
                // Where b and q are 0, the second size keeps 32.
                "sizes_that_are_perhaps_zero",
                "%w = parameter uniform(seed = 1, bound = 0.5) : f32[32, 32]
                 %f = reshape %x, [-1, 32] : ?
                 %g = gemm %f, %w : ?
                 %n = shape %ids : i64[2]
                 %t = concat %n, [32] {axis = 0} : i64[3]
                 %r = reshape %g, %t : ?
                 return %r",
            ),
            (
                // The sum fails where q is 0.
                "sizes_that_are_never_zero",
                "%w = parameter uniform(seed = 1, bound = 0.5) : f32[32, 32]
                 %f = reshape %x, [-1, 32] : ?
                 %g = gemm %f, %w : ?
                 %n = shape %ids : i64[2]
                 %t = concat %n, [32] {axis = 0} : i64[3]
                 %r = reshape %g, %t : ?
                 %y = add %r, %x : ?
                 return %y",
            ),
            (
                // With a weight that is transposed too, and which stays where transposes do not meet.
                "between_transposes",
                "%w = parameter uniform(seed = 1, bound = 0.5) : f32[8, 32]
                 %v = parameter uniform(seed = 2, bound = 0.5) : f32[8, 32]
                 %t = transpose %x {perm = [1, 0, 2]} : f32[q, b, 32]
                 %f = reshape %t, [-1, 32] : f32[b*q, 32]
                 %g = gemm %f, %w {transB = true} : f32[b*q, 8]
                 %h = gemm %f, %v {transB = true} : f32[b*q, 8]
                 %q = shape %x {start = 1, end = 2} : i64[1]
                 %n = concat %q, [-1], [8] {axis = 0} : i64[3]
                 %r = reshape %g, %n : f32[q, b, 8]
                 %s0 = reshape %h, %n : f32[q, b, 8]
                 %y = transpose %r {perm = [1, 0, 2]} : f32[b, q, 8]
                 return %y, %s0",
            ),
        ],
    );
}

#[test]
fn fuse_gelu() {
    check(
        "fuse-gelu",
        &[
            (
                "erf",
                "%d = div %x, 1.4142135 : f32[b, q, 32]
                 %e = erf %d : f32[b, q, 32]
                 %a = add %e, 1.0 : f32[b, q, 32]
                 %m0 = mul %x, %a : f32[b, q, 32]
                 %g = mul %m0, 0.5 : f32[b, q, 32]
                 return %g",
            ),
            (
                "tanh",
                "%h = mul %x, 0.5 : f32[b, q, 32]
                 %p = pow %x, 3.0 : f32[b, q, 32]
                 %c = mul %p, 0.044715 : f32[b, q, 32]
                 %a = add %x, %c : f32[b, q, 32]
                 %d = mul %a, 0.7978846 : f32[b, q, 32]
                 %t = tanh %d : f32[b, q, 32]
                 %o = add %t, 1.0 : f32[b, q, 32]
                 %g = mul %h, %o : f32[b, q, 32]
                 return %g",
            ),
            (
                "another_number",
                "%h = mul %x, 0.5 : f32[b, q, 32]
                 %p = pow %x, 3.0 : f32[b, q, 32]
                 %c = mul %p, 0.0447 : f32[b, q, 32]
                 %a = add %x, %c : f32[b, q, 32]
                 %d = mul %a, 0.7978846 : f32[b, q, 32]
                 %t = tanh %d : f32[b, q, 32]
                 %o = add %t, 1.0 : f32[b, q, 32]
                 %g = mul %h, %o : f32[b, q, 32]
                 return %g",
            ),
        ],
    );
}

#[test]
fn merge_mean_factor() {
    check(
        "merge-mean-factor",
        &[
            (
                "unbiased",
                "%a = reduce_mean %x, [-1] : f32[b, q, 1]
                 %c = mul %a, 32.0 : f32[b, q, 1]
                 %d = div %c, 31.0 : f32[b, q, 1]
                 return %d",
            ),
            (
                // Of another number, and of one that is not known.
                "another_factor",
                "%a = reduce_mean %x, [-1] : f32[b, q, 1]
                 %c = mul %a, 31.0 : f32[b, q, 1]
                 %d = reduce_mean %x, [1] : f32[b, 1, 32]
                 %e = mul %d, 32.0 : f32[b, 1, 32]
                 return %c, %e",
            ),
            (
                "unbiased_in_f16",
                "%count = constant hex(0050) : f16[]
                 %h = cast %x {to = f16} : f16[b, q, 32]
                 %a = reduce_mean %h, [-1] : f16[b, q, 1]
                 %c = mul %a, %count : f16[b, q, 1]
                 %d = cast %c {to = f32} : f32[b, q, 1]
                 return %d",
            ),
        ],
    );
}

#[test]
fn gather_repeated() {
    check(
        "gather-repeated",
        &[
            (
                "heads_repeated",
                "%u = unsqueeze %past, [2] : f32[b, 4, 1, p, 8]
                 %w = expand %u, [1, 1, 2, 1, 1] : f32[b, 4, 2, p, 8]
                 %n = shape %past : i64[4]
                 %b = gather %n, [0] : i64[1]
                 %p = gather %n, [2] : i64[1]
                 %t = concat %b, [8], %p, [8] {axis = 0} : i64[4]
                 %r = reshape %w, %t : f32[b, 8, p, 8]
                 %e = exp %r : f32[b, 8, p, 8]
                 return %e",
            ),
            (
                // All heads, then all again.
                "heads_in_turn",
                "%u = unsqueeze %past, [1] : f32[b, 1, 4, p, 8]
                 %w = expand %u, [1, 2, 1, 1, 1] : f32[b, 2, 4, p, 8]
                 %n = shape %past : i64[4]
                 %b = gather %n, [0] : i64[1]
                 %p = gather %n, [2] : i64[1]
                 %t = concat %b, [8], %p, [8] {axis = 0} : i64[4]
                 %r = reshape %w, %t : f32[b, 8, p, 8]
                 %e = exp %r : f32[b, 8, p, 8]
                 return %e",
            ),
        ],
    );
}

#[test]
fn sink_transposes() {
    check(
        "sink-transposes",
        &[
            (
                "transposes_merge",
                "%t = transpose %s {perm = [0, 2, 1, 3]} : f32[b, q, 4, k]
                 %a = mul %t, 0.5 : f32[b, q, 4, k]
                 %e = exp %a : f32[b, q, 4, k]
                 %u = transpose %e {perm = [0, 2, 3, 1]} : f32[b, 4, k, q]
                 return %u",
            ),
            (
                "transposes_merge_across_operators",
                "%t = transpose %s {perm = [0, 2, 1, 3]} : f32[b, q, 4, k]
                 %a = round %t : f32[b, q, 4, k]
                 %g = greater %a, 0.5 : bool[b, q, 4, k]
                 %u = transpose %g {perm = [0, 2, 3, 1]} : bool[b, 4, k, q]
                 return %u",
            ),
            (
                "both_operands_transposed",
                "%e = exp %s : f32[b, 4, q, k]
                 %t = transpose %s {perm = [0, 2, 1, 3]} : f32[b, q, 4, k]
                 %u = transpose %e {perm = [0, 2, 1, 3]} : f32[b, q, 4, k]
                 %a = add %t, %u : f32[b, q, 4, k]
                 return %a",
            ),
            (
                "both_operands_of_a_comparison_transposed",
                "%e = exp %s : f32[b, 4, q, k]
                 %t = transpose %s {perm = [0, 2, 1, 3]} : f32[b, q, 4, k]
                 %u = transpose %e {perm = [0, 2, 1, 3]} : f32[b, q, 4, k]
                 %a = less %t, %u : bool[b, q, 4, k]
                 return %a",
            ),
            (
                // A projection works on rows, and so only where the last axis stays.
                "projections",
                "%w = parameter uniform(seed = 1, bound = 0.5) : f32[32, 8]
                 %c = parameter uniform(seed = 2, bound = 0.5) : f32[8]
                 %t = transpose %x {perm = [1, 0, 2]} : f32[q, b, 32]
                 %g = matmul %t, %w : f32[q, b, 8]
                 %a = add %c, %g : f32[q, b, 8]
                 %y = transpose %a {perm = [1, 0, 2]} : f32[b, q, 8]
                 %o = transpose %x {perm = [1, 0, 2]} : f32[q, b, 32]
                 %h = matmul %o, %w : f32[q, b, 8]
                 %z = transpose %h {perm = [1, 2, 0]} : f32[b, 8, q]
                 return %y, %z",
            ),
            (
                // Read elsewhere, along an axis, and with a vector.
                "transposes_that_stay",
                "%t = transpose %s {perm = [0, 2, 1, 3]} : f32[b, q, 4, k]
                 %e = exp %t : f32[b, q, 4, k]
                 %u = transpose %e {perm = [0, 2, 1, 3]} : f32[b, 4, q, k]
                 %v = transpose %s {perm = [0, 1, 3, 2]} : f32[b, 4, k, q]
                 %p = softmax %v {axis = -1} : f32[b, 4, k, q]
                 %w = transpose %p {perm = [0, 1, 3, 2]} : f32[b, 4, q, k]
                 %h = transpose %past {perm = [0, 1, 3, 2]} : f32[b, 4, 8, p]
                 %i = mul %h, f32[1] [0.5] : f32[b, 4, 8, p]
                 %j = transpose %i {perm = [0, 1, 3, 2]} : f32[b, 4, p, 8]
                 return %u, %e, %w, %j",
            ),
        ],
    );
}

#[test]
fn slice_packed_axis() {
    check(
        "slice-packed-axis",
        &[
            (
                // As torchvision and torch.nn pack them.
                "packed_axis_first",
                "%n = shape %ids : i64[2]
                 %o = concat [1], %n, [2, 16] {axis = 0} : i64[5]
                 %r = reshape %x, %o : f32[1, b, q, 2, 16]
                 %t = transpose %r {perm = [3, 1, 2, 0, 4]} : f32[2, b, q, 1, 16]
                 %u = squeeze %t, [3] : f32[2, b, q, 16]
                 %a = gather %u, 0 : f32[b, q, 16]
                 %c = gather %u, -1 : f32[b, q, 16]
                 return %a, %c",
            ),
            (
                // As timm packs them.
                "parts_with_heads",
                "%r = reshape %x, [0, 0, 2, 4, 4] : f32[b, q, 2, 4, 4]
                 %t = transpose %r {perm = [2, 0, 3, 1, 4]} : f32[2, b, 4, q, 4]
                 %a = gather %t, 1 : f32[b, 4, q, 4]
                 return %a",
            ),
            (
                // As the exporters write what timm unbinds.
                "parts_that_are_split",
                "%r = reshape %x, [0, 0, 2, 4, 4] : f32[b, q, 2, 4, 4]
                 %t = transpose %r {perm = [2, 0, 3, 1, 4]} : f32[2, b, 4, q, 4]
                 %c, %d = split %t, [1, 1] {axis = 0} : f32[1, b, 4, q, 4], f32[1, b, 4, q, 4]
                 %e = squeeze %c, [0] : f32[b, 4, q, 4]
                 %f = squeeze %d, [0] : f32[b, 4, q, 4]
                 return %e, %f",
            ),
            (
                "whole_that_is_read",
                "%r = reshape %x, [0, 0, 2, 16] : f32[b, q, 2, 16]
                 %t = transpose %r {perm = [2, 0, 1, 3]} : f32[2, b, q, 16]
                 %a = gather %t, 0 : f32[b, q, 16]
                 return %a, %t",
            ),
            (
                // Heads come before parts, several parts are looked up, or an axis of another is.
                "other_axes",
                "%r = reshape %x, [0, 0, 4, 2, 4] : f32[b, q, 4, 2, 4]
                 %a = gather %r, 0 {axis = 3} : f32[b, q, 4, 4]
                 %s0 = reshape %x, [0, 0, 2, 16] : f32[b, q, 2, 16]
                 %c = gather %s0, [1, 0] {axis = 2} : f32[b, q, 2, 16]
                 %t = reshape %x, [0, 0, 8, 4] : f32[b, q, 8, 4]
                 %d = gather %t, 1 {axis = 3} : f32[b, q, 8]
                 %u, %v = split %s0, [1, 1] {axis = 2} : f32[b, q, 1, 16], f32[b, q, 1, 16]
                 %p = reshape %x, [0, 0, 2, 16] : f32[b, q, 2, 16]
                 %e, %f = split %p, [1, 1] {axis = 2} : f32[b, q, 1, 16], f32[b, q, 1, 16]
                 %g = squeeze %e, [2] : f32[b, q, 16]
                 %h = relu %f : f32[b, q, 1, 16]
                 return %a, %c, %d, %u, %v, %g, %h",
            ),
        ],
    );
    // Runtimes report an out-of-range index.
    let text = "g(%x: f32[b, q, 32]) {
        %r = reshape %x, [0, 0, 2, 16] : f32[b, q, 2, 16]
        %t = transpose %r {perm = [2, 0, 1, 3]} : f32[2, b, q, 16]
        %a = gather %t, -3 : f32[b, q, 16]
        return %a
    }";
    let graph = parse(text).unwrap_or_else(|error| panic!("{error} in\n{text}"));
    check_diff("packed_index_out_of_range", "slice-packed-axis", graph);
}

#[test]
fn lift_transposes() {
    check(
        "lift-transposes",
        &[
            (
                // All parts alike, and along an axis that moves.
                "parts",
                "%a, %c = split %x, [24, 8] {axis = 2} : f32[b, q, 24], f32[b, q, 8]
                 %d = transpose %a {perm = [2, 0, 1]} : f32[24, b, q]
                 %e = transpose %c {perm = [2, 0, 1]} : f32[8, b, q]
                 return %d, %e",
            ),
            (
                "parts_that_differ",
                "%a, %c = split %x, [24, 8] {axis = 2} : f32[b, q, 24], f32[b, q, 8]
                 %d = transpose %a {perm = [1, 0, 2]} : f32[q, b, 24]
                 return %d, %c",
            ),
            (
                // Transposes that split heads are folded into the attention.
                "parts_with_heads_to_split",
                "%r = reshape %x, [0, 0, 4, 8] : f32[b, q, 4, 8]
                 %a, %c = split %r, [4, 4] {axis = 3} : f32[b, q, 4, 4], f32[b, q, 4, 4]
                 %d = transpose %a {perm = [0, 2, 1, 3]} : f32[b, 4, q, 4]
                 %e = transpose %c {perm = [0, 2, 1, 3]} : f32[b, 4, q, 4]
                 return %d, %e",
            ),
        ],
    );
}

/// Before opset 8, variadic operators did not broadcast.
#[test]
fn operands_of_one_shape_keep_it() {
    let text = "g(%a: f32[1, n], %b: f32[n]) {
        %u = unsqueeze %b, [0] : f32[1, n]
        %r = max %a, %u : f32[1, n]
        return %r
    }";
    for (opset, is_left) in [(7, true), (8, false)] {
        let mut model = Model::new(parse(text).unwrap_or_else(|error| panic!("{error}")));
        model.opsets.insert(String::new(), opset);
        optimize(&mut model, &Options::default()).unwrap_or_else(|error| panic!("{error}"));
        assert_eq!(model.graph.to_string().contains("unsqueeze"), is_left, "opset {opset}: {}", model.graph);
        onnx::to_bytes(&model).unwrap_or_else(|error| panic!("opset {opset}: {error}"));
    }
}
