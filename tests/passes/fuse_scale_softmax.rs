use super::check_cases;

#[test]
fn fuse_scale_softmax() {
    check_cases(
        "fuse-scale-softmax",
        &[
            (
                "mul",
                "%s = mul %x, 0.125 : f32[b, h, q, k]
                 %p = softmax %s {axis = -1} : f32[b, h, q, k]
                 return %p",
            ),
            (
                "mul_other_order",
                "%s = mul f32[1, 1] [0.125], %x : f32[b, h, q, k]
                 %p = softmax %s {axis = 2} : f32[b, h, q, k]
                 return %p",
            ),
            (
                "div",
                "%s = div %x, 2.828427 : f32[b, h, q, k]
                 %p = softmax %s {axis = -1} : f32[b, h, q, k]
                 return %p",
            ),
            (
                "mul_mask",
                "%s = mul %x, 0.125 : f32[b, h, q, k]
                 %a = add %s, %m : f32[b, h, q, k]
                 %p = softmax %a {axis = -1} : f32[b, h, q, k]
                 return %p",
            ),
            (
                "div_mask_other_order",
                "%s = div %x, 8.0 : f32[b, h, q, k]
                 %a = add %m, %s : f32[b, h, q, k]
                 %p = softmax %a {axis = -1} : f32[b, h, q, k]
                 return %p",
            ),
            (
                // The mask is a product too, and the shapes tell which are the scores. A strong one would hide them.
                "mask_is_a_product",
                "%keep = sub 1.0, %m : f32[b, 1, 1, k]
                 %mask = mul %keep, -2.0 : f32[b, 1, 1, k]
                 %s = mul %x, 0.125 : f32[b, h, q, k]
                 %a = add %mask, %s : f32[b, h, q, k]
                 %p = softmax %a {axis = -1} : f32[b, h, q, k]
                 return %p",
            ),
            (
                "scale_after_the_mask",
                "%a = add %x, %m : f32[b, h, q, k]
                 %s = mul %a, 0.125 : f32[b, h, q, k]
                 %p = softmax %s {axis = -1} : f32[b, h, q, k]
                 return %p",
            ),
            (
                "no_scale",
                "%keep = sub 1.0, %m : f32[b, 1, 1, k]
                 %mask = mul %keep, -10000.0 : f32[b, 1, 1, k]
                 %a = add %x, %mask : f32[b, h, q, k]
                 %p = softmax %a {axis = -1} : f32[b, h, q, k]
                 return %p, %mask",
            ),
            (
                "scaled_scores_are_used_twice",
                "%s = mul %x, 0.125 : f32[b, h, q, k]
                 %p = softmax %s {axis = -1} : f32[b, h, q, k]
                 %e = exp %s : f32[b, h, q, k]
                 return %p, %e",
            ),
            (
                "masked_scores_are_an_output",
                "%s = mul %x, 0.125 : f32[b, h, q, k]
                 %a = add %s, %m : f32[b, h, q, k]
                 %p = softmax %a {axis = -1} : f32[b, h, q, k]
                 return %p, %a",
            ),
            (
                "scores_are_constant",
                "%c = constant fill(2.0) : f32[2, 3]
                 %s = mul %c, 0.125 : f32[2, 3]
                 %p = softmax %s {axis = -1} : f32[2, 3]
                 return %p",
            ),
            (
                "scale_is_not_constant",
                "%s = mul %x, %y : f32[b, h, q, k]
                 %p = softmax %s {axis = -1} : f32[b, h, q, k]
                 return %p",
            ),
            (
                "scale_widens",
                "%s = mul %x, f32[1, 1, 1, 1, 1] [0.125] : f32[1, b, h, q, k]
                 %p = softmax %s {axis = -1} : f32[1, b, h, q, k]
                 return %p",
            ),
            (
                "mask_widens",
                "%r = reduce_max %x, [2] : f32[b, h, 1, k]
                 %s = mul %r, 0.125 : f32[b, h, 1, k]
                 %a = add %s, %y : f32[b, h, q, k]
                 %p = softmax %a {axis = -1} : f32[b, h, q, k]
                 return %p",
            ),
            (
                "division_by_zero",
                "%s = div %x, 0.0 : f32[b, h, q, k]
                 %p = softmax %s {axis = -1} : f32[b, h, q, k]
                 return %p",
            ),
            (
                "infinite_scale",
                "%s = mul %x, inf : f32[b, h, q, k]
                 %p = softmax %s {axis = -1} : f32[b, h, q, k]
                 %t = div %y, NaN : f32[b, h, q, k]
                 %o = softmax %t {axis = -1} : f32[b, h, q, k]
                 return %p, %o",
            ),
            (
                // 1/3 is not exact in f16, and the difference would show.
                "division_in_f16",
                "%n = cast %x {to = f16} : f16[b, h, q, k]
                 %s = div %n, f16[] hex(0042) : f16[b, h, q, k]
                 %p = softmax %s {axis = -1} : f16[b, h, q, k]
                 return %p",
            ),
            (
                "exact_division_in_f16",
                "%n = cast %x {to = f16} : f16[b, h, q, k]
                 %s = div %n, f16[] hex(0048) : f16[b, h, q, k]
                 %p = softmax %s {axis = -1} : f16[b, h, q, k]
                 return %p",
            ),
        ],
    );
}
