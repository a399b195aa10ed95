use super::{attention_inputs, check_diff, check_equal};

/// tract has no sequences, so the result is compared with another graph that computes the same.
fn check(cases: &[(&str, &str, &str)]) {
    let pass = "resolve-sequences";
    for (case, body, twin) in cases {
        let after = check_diff(case, pass, attention_inputs(body));
        check_equal(case, pass, &attention_inputs(twin), &after);
    }
}

#[test]
fn resolve_sequences() {
    check(&[
        (
            "sequence_elements",
            "%s = sequence_construct %x, %y : sequence(f32[b, h, q, k])
             %a = sequence_at %s, 1 : f32[b, h, q, k]
             %b = sequence_at %s, -2 : f32[b, h, q, k]
             %c = sub %a, %b : f32[b, h, q, k]
             %n = sequence_length %s : i64[]
             %l = cast %n {to = f32} : f32[]
             %d = mul %c, %l : f32[b, h, q, k]
             return %d",
            "%c = sub %y, %x : f32[b, h, q, k]
             %d = add %c, %c : f32[b, h, q, k]
             return %d",
        ),
        (
            "sequence_concatenated",
            "%s = sequence_construct %x, %y : sequence(f32[b, h, q, k])
             %a = concat_from_sequence %s {axis = -1} : f32[b, h, q, ?]
             %b = concat_from_sequence %s {axis = -1, new_axis = true} : f32[b, h, q, k, ?]
             return %a, %b",
            "%a = concat %x, %y {axis = 3} : f32[b, h, q, 2*k]
             %n = shape %x : i64[4]
             %o = concat %n, [1] {axis = 0} : i64[5]
             %v = reshape %x, %o : f32[b, h, q, k, 1]
             %w = reshape %y, %o : f32[b, h, q, k, 1]
             %b = concat %v, %w {axis = 4} : f32[b, h, q, k, 2]
             return %a, %b",
        ),
        (
            // The last part of a single size is what is left, and keepdims speaks of parts without sizes alone.
            "parts_of_given_sizes",
            "%w = parameter uniform(seed = 1, bound = 0.5) : f32[2, 6]
             %s = split_to_sequence %w, [1, 2, 3] {axis = 1, keepdims = false} : sequence(f32[2, ?])
             %a = sequence_at %s, 0 : f32[2, ?]
             %b = sequence_at %s, -1 : f32[2, ?]
             %o = sequence_at %s, 0 : f32[2, ?]
             %t = split_to_sequence %w, 4 {axis = -1} : sequence(f32[2, ?])
             %c = sequence_at %t, 1 : f32[2, ?]
             %n = sequence_length %t : i64[]
             %l = cast %n {to = f32} : f32[]
             %d = mul %c, %l : f32[2, ?]
             return %a, %b, %o, %d",
            "%w = parameter uniform(seed = 1, bound = 0.5) : f32[2, 6]
             %a = slice %w, [0], [1], [1] : f32[2, 1]
             %b = slice %w, [3], [6], [1] : f32[2, 3]
             %o = identity %a : f32[2, 1]
             %c = slice %w, [4], [6], [1] : f32[2, 2]
             %d = add %c, %c : f32[2, 2]
             return %a, %b, %o, %d",
        ),
        (
            "parts_of_size_one",
            "%s = split_to_sequence %x {axis = 2, keepdims = false} : sequence(f32[b, h, k])
             %a = sequence_at %s, -1 : f32[b, h, k]
             %t = split_to_sequence %x {axis = 2} : sequence(f32[b, h, 1, k])
             %c = sequence_at %t, 0 : f32[b, h, 1, k]
             %w = parameter uniform(seed = 1, bound = 0.5) : f32[2, 3]
             %u = split_to_sequence %w {axis = 1} : sequence(f32[2, 1])
             %d = sequence_at %u, 1 : f32[2, 1]
             return %a, %c, %d",
            "%l = slice %x, [-1], [9223372036854775807], [2] : f32[b, h, ?, k]
             %a = reduce_max %l, [2] {keepdims = false} : f32[b, h, k]
             %c = slice %x, [0], [1], [2] : f32[b, h, ?, k]
             %w = parameter uniform(seed = 1, bound = 0.5) : f32[2, 3]
             %d = slice %w, [1], [2], [1] : f32[2, 1]
             return %a, %c, %d",
        ),
    ]);
}

/// How many parts there are is known when the model runs, and so is whether there is such a part.
#[test]
fn sequences_that_stay() {
    let body = "%s = split_to_sequence %x, 2 {axis = 3} : sequence(f32[b, h, q, ?])
                %a = sequence_at %s, 0 : f32[b, h, q, ?]
                %w = parameter uniform(seed = 1, bound = 0.5) : f32[2, 6]
                %t = split_to_sequence %w, [2, 4] {axis = 1} : sequence(f32[2, ?])
                %c = sequence_at %t, 2 : f32[2, ?]
                %n = sequence_length %t : i64[]
                %u = sequence_construct %x, %y : sequence(f32[b, h, q, k])
                %d = sequence_at %u, -3 : f32[b, h, q, k]
                %v = split_to_sequence %w, [6] {axis = 1} : sequence(f32[2, 6])
                %e = sequence_at %v, 0 : f32[2, 6]
                return %a, %c, %d, %n, %e, %u, %v";
    check_diff("sequences_that_stay", "resolve-sequences", attention_inputs(body));
}
