use super::check_cases;

#[test]
fn eliminate_common_subexpressions() {
    check_cases(
        "eliminate-common-subexpressions",
        &[
            (
                "common_chain",
                "%c = cast %ids {to = f32} : f32[b, q]
                 %u = unsqueeze %c, [1, 2] : f32[b, 1, 1, q]
                 %s = sub 1.0, %u : f32[b, 1, 1, q]
                 %c1 = cast %ids {to = f32} : f32[b, q]
                 %u1 = unsqueeze %c1, [1, 2] : f32[b, 1, 1, q]
                 %s1 = sub 1.0, %u1 : f32[b, 1, 1, q]
                 %r = sub %s, %s1 : f32[b, 1, 1, q]
                 return %r, masks = %s1",
            ),
            (
                "either_order",
                "%a = add %x, %y : f32[b, h, q, k]
                 %b = add %y, %x : f32[b, h, q, k]
                 %c = sub %a, %b : f32[b, h, q, k]
                 %d = sub %b, %a : f32[b, h, q, k]
                 %e = sub %x, %y : f32[b, h, q, k]
                 %f = sub %y, %x : f32[b, h, q, k]
                 %g = sum %c, %d, %e, %f : f32[b, h, q, k]
                 return %g",
            ),
            (
                "attributes_differ",
                "%a = softmax %x {axis = -1} : f32[b, h, q, k]
                 %b = softmax %x {axis = -2} : f32[b, h, q, k]
                 %c = mul %a, 2.0 : f32[b, h, q, k]
                 %d = mul %b, f32[1] [2.0] : f32[b, h, q, k]
                 %e = add %c, %d : f32[b, h, q, k]
                 return %e",
            ),
            (
                // Two biases that begin alike are two; large tables are not compared.
                "trained_tensors",
                "%w = parameter fill(0.0) : f32[8]
                 %v = parameter fill(0.0) : f32[8]
                 %p = constant sinusoidal(halves) : f32[32, 16]
                 %o = constant sinusoidal(halves) : f32[32, 16]
                 %a = add %w, %v : f32[8]
                 %b = add %p, %o : f32[32, 16]
                 return %a, %b",
            ),
            (
                // It may be random.
                "kept_operators",
                "%a = \"::RandomNormalLike@23\" %x : f32[b, h, q, k]
                 %b = \"::RandomNormalLike@23\" %x : f32[b, h, q, k]
                 %c = add %a, %b : f32[b, h, q, k]
                 return %c",
            ),
            (
                // Two results of the graph are two nodes.
                "outputs",
                "%a = exp %x : f32[b, h, q, k]
                 %b = exp %x : f32[b, h, q, k]
                 return %a, %b",
            ),
        ],
    );
}
