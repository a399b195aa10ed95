use super::check_cases;

#[test]
fn fold_constants() {
    check_cases(
        "fold-constants",
        &[
            (
                "shape_arithmetic",
                "%w = parameter fill(0.5) : f32[64, 6]
                 %s = shape %w : i64[2]
                 %h = gather %s, i64[1] [-1] {axis = 0} : i64[1]
                 %d = div %h, [2] : i64[1]
                 %c = cast %d {to = i32} : i32[1]
                 %i = cast %c {to = i64} : i64[1]
                 %n = concat [-1], %i {axis = 0} : i64[2]
                 %t = concat %ids, %ids, %ids {axis = 1} : i64[b, 3*q]
                 %r = reshape %t, %n : i64[b*q, 3]
                 return %r",
            ),
            (
                // As exporters order pads that they compute.
                "pairs_turned",
                "%pairs = reshape [0, 1, 2, 3], [-1, 2] : i64[2, 2]
                 %s = slice %pairs, [-1], [-9223372036854775807], [0], [-1] : i64[2, 2]
                 %t = transpose %s {perm = [1, 0]} : i64[2, 2]
                 %r = reshape %t, [-1] : i64[4]
                 %e = cast %r {to = f32} : f32[4]
                 %f = exp %e : f32[4]
                 return %f",
            ),
            (
                // It stops short of the first row.
                "pairs_turned_in_part",
                "%pairs = reshape [0, 1, 2, 3], [-1, 2] : i64[2, 2]
                 %s = slice %pairs, [-1], [0], [0], [-1] : i64[1, 2]
                 %t = transpose %s {perm = [1, 0]} : i64[2, 1]
                 %r = reshape %t, [-1] : i64[2]
                 %e = cast %r {to = f32} : f32[2]
                 %f = exp %e : f32[2]
                 return %f",
            ),
            (
                // Sizes that are known only when the model runs.
                "symbolic_shape",
                "%s = shape %ids {start = 0, end = 1} : i64[1]
                 %n = concat %s, [-1] {axis = 0} : i64[2]
                 %r = reshape %x, %n : f32[b, h*k*q]
                 return %r",
            ),
            (
                "weights",
                "%w = parameter uniform(seed = 1, bound = 0.5) : f32[6, 64]
                 %t = transpose %w {perm = [1, 0]} : f32[64, 6]
                 %u = unsqueeze %t, [0] : f32[1, 64, 6]
                 %v = mul %u, 0.125 : f32[1, 64, 6]
                 %c = cast %v {to = f16} : f16[1, 64, 6]
                 %e = exp %c : f16[1, 64, 6]
                 return %e",
            ),
            (
                "small_constants",
                "%c = constant [1.0, 2.0, 3.0, 4.0] : f32[2, 2]
                 %t = transpose %c {perm = [1, 0]} : f32[2, 2]
                 %r = reshape %c, [4] : f32[4]
                 %a = exp %t : f32[2, 2]
                 %b = exp %r : f32[4]
                 %d = exp %c : f32[2, 2]
                 return %a, %b, %d",
            ),
            (
                // Tied embeddings stay one tensor, in one layout.
                "tied_embedding",
                "%e = parameter uniform(seed = 1, bound = 0.5) : f32[100, 8]
                 %g = gather %e, %ids : f32[b, q, 8]
                 %t = transpose %e {perm = [1, 0]} : f32[8, 100]
                 %l = matmul %g, %t : f32[b, q, 100]
                 return %l",
            ),
            (
                "cast_to_a_wider_type",
                "%w = parameter cast(f32[64, 16] fill(0.5)) : f16[64, 16]
                 %c = cast %w {to = f32} : f32[64, 16]
                 %e = exp %c : f32[64, 16]
                 return %e",
            ),
            ("changed_too_often", &changed_too_often()),
            (
                "transpose_of_other_axes",
                "%w = parameter fill(0.5) : f32[2, 3, 4]
                 %t = transpose %w {perm = [1, 0, 2]} : f32[3, 2, 4]
                 %e = exp %t : f32[3, 2, 4]
                 return %e",
            ),
            (
                "factor_that_widens",
                "%w = parameter fill(0.5) : f32[4]
                 %t = mul %w, f32[1, 1] [0.5] : f32[1, 4]
                 %e = exp %t : f32[1, 4]
                 return %e",
            ),
            (
                "constant_as_output",
                "%w = parameter fill(0.5) : f32[6, 64]
                 %s = shape %w : i64[2]
                 %t = transpose %w {perm = [1, 0]} : f32[64, 6]
                 return %s, %t",
            ),
        ],
    );
}

/// A chain of factors, each of which would put a recipe around the others.
fn changed_too_often() -> String {
    let factors = (0..17).map(|at| format!("%w{} = mul %w{at}, 0.5 : f32[8, 8]\n", at + 1));
    let body: String = factors.collect();
    let weight = "%w0 = parameter uniform(seed = 1, bound = 0.5) : f32[8, 8]";
    format!("{weight}\n{body} %e = exp %w17 : f32[8, 8]\n return %e")
}
