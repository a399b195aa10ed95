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
                // The 0 keeps the first size of %a, which is not the first of %x.
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
        ],
    );
}
