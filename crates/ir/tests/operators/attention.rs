use super::check;

#[track_caller]
fn attention(results: &str, operands: &str, attributes: &str, expected: &str) {
    let inputs = "%q = random_normal {shape = [2, 9, 4, 8]} : ?\n%k = random_normal {shape = [2, 3, 6, 8]} : ?\n\
                  %v = random_normal {shape = [2, 3, 6, 10]} : ?\n%q3 = random_normal {shape = [2, 4, 72]} : ?\n\
                  %k3 = random_normal {shape = [2, 6, 24]} : ?\n%v3 = random_normal {shape = [2, 6, 30]} : ?\n\
                  %pk = random_normal {shape = [2, 3, 12, 8]} : ?\n%pv = random_normal {shape = [2, 3, 12, 10]} : ?";
    check(&format!("{inputs}\n{results} = attention {operands} {{{attributes}}}"), expected);
}

#[test]
fn attentions() {
    let all = "%y, %nk, %nv, %qk";
    let heads = "q_num_heads = 9, kv_num_heads = 3";
    for (results, operands, attributes, expected) in [
        ("%y", "%q, %k, %v", "", "f32[2, 9, 4, 10]"),
        ("%y", "%q3, %k3, %v3", heads, "f32[2, 4, 90]"),
        (
            all,
            "%q, %k, %v, f32[4, 18] fill(0.0), %pk, %pv",
            "",
            "f32[2, 9, 4, 10], f32[2, 3, 18, 8], f32[2, 3, 18, 10], f32[2, 9, 4, 18]",
        ),
        (
            all,
            "%q3, %k3, %v3, bool[2, 1, 4, 18] fill(true), %pk, %pv",
            heads,
            "f32[2, 4, 90], f32[2, 3, 18, 8], f32[2, 3, 18, 10], f32[2, 9, 4, 18]",
        ),
        (
            all,
            "%q, %k, %v",
            "qk_matmul_output_mode = 3, softmax_precision = f32, is_causal = true",
            "f32[2, 9, 4, 10], f32[2, 3, 6, 8], f32[2, 3, 6, 10], f32[2, 9, 4, 6]",
        ),
        ("%y", "%q, %k, %v, bool[2, 1, 4, 5] fill(true), _, _, [3, 4]", "left_window_size = 2", "f32[2, 9, 4, 10]"),
        ("%y, %nk", "%any, %k, %v", "", "f32[2, ?, ?, 10], f32[2, 3, 6, 8]"),
        ("%y, %nk", "%any, %any, %any", "", "f32[*], f32[?, ?, ?, ?]"),
    ] {
        attention(results, operands, attributes, expected);
    }
    check(
        "%y, %nk = attention %x, %x, %x {q_num_heads = 2, kv_num_heads = 2}",
        "f32[batch, seq, 8], f32[batch, 2, seq, 4]",
    );
}

#[test]
fn attention_is_not_defined() {
    for (operands, attributes, expected) in [
        ("%q3, %k3, %v3", "", "operand 0 has rank 3, so the attribute `q_num_heads` is required"),
        ("%q3, %k3, %v3", "q_num_heads = 0, kv_num_heads = 3", "the number of heads must be positive, but is 0"),
        ("%q3, %k3, %v3", "q_num_heads = 7, kv_num_heads = 3", "72 is not a multiple of 7 heads"),
        (
            "%q3, %k3, %v3",
            "q_num_heads = 4, kv_num_heads = 3",
            "the sizes of the heads of queries and keys differ: 18 ≠ 8",
        ),
        ("%q, %k3, %v", "kv_num_heads = 3", "the ranks of queries, keys and values differ: [4, 3, 4]"),
        ("%k, %q, %q", "", "3 is not a multiple of 9 heads of keys"),
        ("%q, %k, %v, _, %pk", "", "past keys and past values must be given together"),
        ("%q, %k, %v, _, %pv, %pv", "", "the sizes of the heads of past and new keys differ: 10 ≠ 8"),
        (
            "%q, %k, %v, f32[5, 6] fill(0.0)",
            "",
            "the sizes of axis 0 of the mask, except for its last axis, [5] and of [2, 9, 4] differ: 5 ≠ 4",
        ),
        ("%q, %k, %v, f32[4, 7] fill(0.0)", "", "the mask [4, 7] is longer than the 6 keys"),
        (
            "%q, %k, %v, f32[1, 2, 9, 4, 6] fill(0.0)",
            "",
            "the mask, except for its last axis, [1, 2, 9, 4] has more axes than [2, 9, 4]",
        ),
        ("%q, %k, %v, _, _, _, [3]", "", "the number of lengths and the batch size differ: 1 ≠ 2"),
        ("%q, %k, %v", "qk_matmul_output_mode = 4", "`qk_matmul_output_mode` must be 0 to 3, but is 4"),
        ("%q, %k, %v", "left_window_size = -2", "the size of a window must be -1 or more, but is -2"),
        ("%q, %k", "", "it takes 3 to 7 operands, but has 2"),
    ] {
        attention("%y", operands, attributes, &format!("attention: {expected}"));
    }
}

#[test]
fn rotary_embeddings() {
    let table = "f32[50, 4] fill(0.0)";
    let four =
        "%r = random_normal {shape = [2, 3, 6, 8]} : ?\n%p = constant_of_shape [2, 6] {value = tensor(i64[1] [0])} : ?";
    for (body, expected) in [
        (format!("{four}\n%a = rotary_embedding %r, {table}, {table}, %p"), "f32[2, 3, 6, 8]"),
        (
            format!("{four}\n%a = rotary_embedding %r, f32[2, 6, 4] fill(0.0), f32[2, 6, 4] fill(0.0)"),
            "f32[2, 3, 6, 8]",
        ),
        (
            "%a = rotary_embedding %x, f32[50, 2] fill(0.0), f32[50, 2] fill(0.0), _ {num_heads = 2}".to_owned(),
            "rotary_embedding: operand 1 must have rank 3, but its shape is [50, 2]",
        ),
        (
            format!("{four}\n%a = rotary_embedding %r, {table}, {table}, %p {{rotary_embedding_dim = 4}}"),
            "rotary_embedding: the number of cosines and half the rotated size differ: 4 ≠ 2",
        ),
        (
            format!("{four}\n%a = rotary_embedding %r, {table}, {table}, %p {{rotary_embedding_dim = 3}}"),
            "rotary_embedding: 3 is not a multiple of 2 halves",
        ),
        (
            format!("{four}\n%a = rotary_embedding %r, {table}, {table}, %p {{rotary_embedding_dim = 16}}"),
            "rotary_embedding: `rotary_embedding_dim` rotates 16 elements, but a head has only 8",
        ),
        (
            format!("%a = rotary_embedding %x, {table}, {table}"),
            "rotary_embedding: operand 0 has rank 3, so the attribute `num_heads` is required",
        ),
        (format!("%a = rotary_embedding %x, {table}, {table}, %i {{num_heads = 1}}"), "f32[batch, seq, 8]"),
    ] {
        check(&body, expected);
    }
}

#[test]
fn caches_are_written() {
    let cache = "f32[2, 3, 16, 8] fill(0.0)";
    for (update, more, expected) in [
        ("f32[2, 3, 4, 8] fill(0.0)", ", [0, 4]", "f32[2, 3, 16, 8]"),
        ("f32[2, 3, 16, 4] fill(0.0)", " {axis = 3, mode = \"circular\"}", "f32[2, 3, 16, 8]"),
        (
            "f32[2, 3, 17, 8] fill(0.0)",
            "",
            "tensor_scatter: the update [2, 3, 17, 8] is longer than the cache [2, 3, 16, 8]",
        ),
        (
            "f32[2, 5, 4, 8] fill(0.0)",
            "",
            "tensor_scatter: the sizes of the update [2, 5, 4, 8] and of the cache [2, 3, 16, 8] differ: 5 ≠ 3",
        ),
        (
            "f32[2, 3] fill(0.0)",
            "",
            "tensor_scatter: the sizes of the update [2, 3] and of the cache [2, 3, 16, 8] differ: [2, 3] and [2, 3, 16, 8]",
        ),
        (
            "f32[2, 3, 4, 8] fill(0.0)",
            ", [0]",
            "tensor_scatter: the number of indices and the batch size differ: 1 ≠ 2",
        ),
        (
            "f32[2, 3, 4, 8] fill(0.0)",
            " {axis = -4}",
            "tensor_scatter: the axis 0 of [2, 3, 16, 8] is the batch axis, which cannot be updated",
        ),
        ("f32[2, 3, 4, 8] fill(0.0)", " {axis = 4}", "tensor_scatter: the axis 4 is out of range for rank 4"),
    ] {
        check(&format!("%a = tensor_scatter {cache}, {update}{more}"), expected);
    }
}

#[test]
fn linear_attentions() {
    let (q, k, rate) = ("f32[2, 4, 64] fill(0.0)", "f32[2, 4, 32] fill(0.0)", "f32[2, 4, 4] fill(0.0)");
    let heads = "q_num_heads = 8, kv_num_heads = 4";
    let state = "f32[2, 4, 64], f32[2, 4, 8, 8]";
    for (operands, attributes, expected) in [
        (format!("{q}, {k}, {k}, _, {k}, {rate}"), heads.to_owned(), state),
        (format!("{q}, {k}, {k}"), format!("{heads}, update_rule = \"linear\""), state),
        (
            format!("{q}, {k}, {k}, f32[2, 4, 8, 8] fill(0.0), {rate}"),
            format!("{heads}, update_rule = \"gated\""),
            state,
        ),
        (
            format!("{q}, {k}, {k}, f16[2, 4, 8, 8] fill(hex(0000)), _, f32[2, 4, 1] fill(0.0)"),
            format!("{heads}, update_rule = \"delta\""),
            "f32[2, 4, 64], f16[2, 4, 8, 8]",
        ),
        (format!("{q}, {k}, {k}"), heads.to_owned(), "linear_attention: the update rule requires the decay, operand 4"),
        (
            format!("{q}, {k}, {k}"),
            "q_num_heads = 8, kv_num_heads = 3".to_owned() + ", update_rule = \"linear\"",
            "linear_attention: 8 is not a multiple of 3 heads of keys",
        ),
        (
            format!("{q}, {k}, {k}, _, {k}, {k}"),
            heads.to_owned(),
            "linear_attention: the last size of the update rate must be 4 or 1, but is 32",
        ),
        (
            format!("{q}, {q}, {k}"),
            format!("{heads}, update_rule = \"linear\""),
            "linear_attention: the sizes of the heads of queries and keys differ: 8 ≠ 16",
        ),
        (
            format!("{q}, {k}, {k}, f32[2, 4, 8, 9] fill(0.0)"),
            format!("{heads}, update_rule = \"linear\""),
            "linear_attention: the sizes of the past state [2, 4, 8, 9] and of the present state differ: 9 ≠ 8",
        ),
        (
            format!("{q}, {k}, {k}"),
            "kv_num_heads = 4".to_owned(),
            "linear_attention: the attribute `q_num_heads` is missing",
        ),
    ] {
        check(&format!("%a, %s2 = linear_attention {operands} {{{attributes}}}"), expected);
    }
}
