//! Tests of passes for one runtime: packed projections, sums, and operators of its own, to and from the standard.
//!
//! tract does not run operators of ONNX Runtime's domain: `tests/interop` judges them.

use super::common::snapshot;
use super::{check_diff, check_near, check_pass};
use netwright::ir::{Graph, Model, parse};
use netwright::passes::{self, Options, Target};
use std::fmt::Write as _;

fn graph(inputs: &str, body: &str) -> Graph {
    let text = format!("g({inputs}) {{\n{body}\n}}");
    parse(&text).unwrap_or_else(|error| panic!("{error} in\n{text}"))
}

#[test]
fn pack_projections() {
    let body = |rest: &str| {
        format!(
            "%wq = parameter uniform(seed = 1, bound = 0.5) : f32[8, 8]
             %wk = parameter uniform(seed = 2, bound = 0.5) : f32[8, 4]
             %wv = parameter uniform(seed = 3, bound = 0.5) : f32[8, 4]
             %bq = parameter uniform(seed = 4, bound = 0.5) : f32[8]
             %bk = parameter uniform(seed = 5, bound = 0.5) : f32[4]
             %bv = parameter uniform(seed = 6, bound = 0.5) : f32[4]
             %a = matmul %x, %wq : f32[b, s, 8]
             %q = add %a, %bq : f32[b, s, 8]
             %c = matmul %x, %wk : f32[b, s, 4]
             %k = add %bk, %c : f32[b, s, 4]
             %d = matmul %x, %wv : f32[b, s, 4]
             {rest}"
        )
    };
    let attention = "%y = attention %q, %k, %v {kv_num_heads = 1, q_num_heads = 2, scale = 0.5} : f32[b, s, 8]";
    for (case, rest) in [
        ("projections", format!("%v = add %d, %bv : f32[b, s, 4]\n{attention}\nreturn %y")),
        // The others are packed.
        ("projection_that_is_read", format!("%v = add %d, %bv : f32[b, s, 4]\n{attention}\nreturn %y, %k")),
        (
            "projection_without_bias",
            format!("%v = identity %d : f32[b, s, 4]\n%u = exp %bv : f32[4]\n{attention}\nreturn %y, %u"),
        ),
    ] {
        check_pass(case, "pack-projections", &graph("%x: f32[b, s, 8]", &body(&rest)));
    }
    // What is split is rounded to f16, where ONNX Runtime goes on in f32.
    let narrow = "%x: f16[b, s, 8]";
    let rest = "%wq = parameter cast(f32[8, 8] uniform(seed = 1, bound = 0.5)) : f16[8, 8]
        %wk = parameter cast(f32[8, 8] uniform(seed = 2, bound = 0.5)) : f16[8, 8]
        %q = matmul %x, %wq : f16[b, s, 8]
        %k = matmul %x, %wk : f16[b, s, 8]
        %y = attention %q, %k, %k {kv_num_heads = 2, q_num_heads = 2, scale = 0.5} : f16[b, s, 8]
        return %y";
    check_diff("projections_of_f16", "pack-projections", graph(narrow, rest));
}

#[test]
fn sum_residuals() {
    let norm = "%w = parameter uniform(seed = 1, bound = 0.5) : f32[8]
        %y = layer_normalization %sum, %w {epsilon = 1e-5} : f32[b, s, 8]
        return %y";
    for (case, body) in [
        ("residual", "%sum = add %x, %z : f32[b, s, 8]"),
        ("residual_of_a_bias", "%a = add %x, %bias : f32[b, s, 8]\n%sum = add %z, %a : f32[b, s, 8]"),
        ("bias_alone", "%sum = add %x, %bias : f32[b, s, 8]"),
    ] {
        let inputs = "%x: f32[b, s, 8], %z: f32[b, s, 8], %bias: f32[8]";
        check_pass(case, "sum-residuals", &graph(inputs, &format!("{body}\n{norm}")));
    }
    let inputs = "%x: f32[b, s, 8], %z: f32[b, s, 8]";
    let body = "%sum = add %x, %z : f32[b, s, 8]\n%y = exp %sum : f32[b, s, 8]\nreturn %y";
    check_pass("sum_before_no_norm", "sum-residuals", &graph(inputs, body));
}

#[test]
fn copy_tied_weight() {
    let table = "%table = parameter uniform(seed = 1, bound = 0.5) : f32[9, 4]
        %row = gather %table, %ids : f32[b, s, 4]
        %turned = transpose %table {perm = [1, 0]} : f32[4, 9]";
    for (case, rest) in [
        ("tied_head", "%y = matmul %row, %turned : f32[b, s, 9]\nreturn %y"),
        ("tied_head_that_is_read", "%y = matmul %row, %turned : f32[b, s, 9]\nreturn %y, %turned"),
        (
            "tied_head_of_two_products",
            "%y = matmul %row, %turned : f32[b, s, 9]\n%e = exp %row : f32[b, s, 4]
             %z = matmul %e, %turned : f32[b, s, 9]\nreturn %y, %z",
        ),
        ("transposed_table_as_left_factor", "%y = matmul %turned, %table : f32[4, 4]\nreturn %y, %row"),
    ] {
        check_pass(case, "copy-tied-weight", &graph("%ids: i64[b, s]", &format!("{table}\n{rest}")));
    }
}

#[test]
fn separate_merged_heads() {
    let product = |x: &str, size: u32| {
        format!(
            "%y = \"com.microsoft::MatMulNBits@1\" %{x}, %codes, %scales {{K = 64, N = 16, bits = 4, block_size = {size}}} \
             : f32[b, s, 16]
             return %y"
        )
    };
    let attention = "%a = attention %x, %x, %x {kv_num_heads = 2, q_num_heads = 2, scale = 0.5} : f32[b, s, 64]";
    let reshape = "%t = tanh %h : f32[b, s, 4, 16]\n%a = reshape %t, [0, 0, 64] : f32[b, s, 64]";
    for (case, body) in [
        ("product_of_merged_heads", format!("{attention}\n{}", product("a", 32))),
        ("product_of_a_reshape", format!("{reshape}\n{}", product("a", 32))),
        (
            "product_of_a_slice_of_a_reshape",
            format!(
                "{reshape}\n%c = slice %a, [0], [1], [1] : f32[b, 1, 64]\n{}",
                product("c", 32).replace("[b, s, 16]", "[b, 1, 16]")
            ),
        ),
        (
            "product_of_an_elementwise_result",
            format!("{attention}\n%c = tanh %a : f32[b, s, 64]\n{}", product("c", 32)),
        ),
        ("product_with_blocks_of_16", format!("{attention}\n{}", product("a", 16))),
        ("product_with_blocks_of_64", format!("{attention}\n{}", product("a", 64))),
        (
            "product_in_2_bits_with_blocks_of_64",
            format!("{attention}\n{}", product("a", 64).replace("bits = 4", "bits = 2")),
        ),
        ("product_of_an_input", product("x", 32)),
    ] {
        let inputs = "%x: f32[b, s, 64], %h: f32[b, s, 4, 16], %codes: u8[16, 2, 16], %scales: f32[32]";
        check_diff(case, "separate-merged-heads", graph(inputs, &body));
    }
}

#[test]
fn fold_scale_into_embedding() {
    let table = "%table = parameter uniform(seed = 1, bound = 0.5) : f32[9, 4]
        %a = gather %table, %ids : f32[b, s, 4]
        %y = mul %a, 2.0 : f32[b, s, 4]";
    for (case, rest) in [
        ("scaled_embedding", "return %y"),
        ("embedding_that_is_read", "return %y, %a"),
        ("tied_embedding", "%turned = transpose %table {perm = [1, 0]} : f32[4, 9]\nreturn %y, %turned"),
    ] {
        check_pass(case, "fold-scale-into-embedding", &graph("%ids: i64[b, s]", &format!("{table}\n{rest}")));
    }
    for (case, ty, two) in [("scaled_embedding_in_f16", "f16", "0040"), ("scaled_embedding_in_bf16", "bf16", "0040")] {
        let body = format!(
            "%table = parameter cast(f32[9, 4] uniform(seed = 1, bound = 0.5)) : {ty}[9, 4]
             %two = constant hex({two}) : {ty}[]
             %a = gather %table, %ids : {ty}[b, s, 4]
             %y = mul %a, %two : {ty}[b, s, 4]
             return %y"
        );
        let before = graph("%ids: i64[b, s]", &body);
        let after = check_diff(case, "fold-scale-into-embedding", before.clone());
        if ty == "f16" {
            check_near(case, "fold-scale-into-embedding", &before, &after, 0.0);
        }
    }
}

#[test]
fn fold_degrees_of_freedom() {
    let body = "%w = parameter uniform(seed = 1, bound = 0.5) : f32[8]
        %squares = mul %x, %x : f32[b, s, 8]
        %sum = reduce_sum %squares, [-1] : f32[b, s, 1]
        %variance = div %sum, 7.0 : f32[b, s, 1]
        %deviation = sqrt %variance : f32[b, s, 1]
        %above = add %deviation, 0.001 : f32[b, s, 1]
        %product = mul %w, %x : f32[b, s, 8]
        %y = div %product, %above : f32[b, s, 8]";
    for (case, rest) in [("unbiased_norm", "return %y"), ("unbiased_norm_that_is_read", "return %y, %variance")] {
        check_pass(case, "fold-degrees-of-freedom", &graph("%x: f32[b, s, 8]", &format!("{body}\n{rest}")));
    }
    for (case, ty, [seven, epsilon]) in
        [("unbiased_norm_in_f16", "f16", ["0047", "1914"]), ("unbiased_norm_in_bf16", "bf16", ["e040", "833a"])]
    {
        let body = format!(
            "%w = parameter cast(f32[8] uniform(seed = 1, bound = 0.5)) : {ty}[8]
             %seven = constant hex({seven}) : {ty}[]
             %epsilon = constant hex({epsilon}) : {ty}[]
             %squares = mul %x, %x : {ty}[b, s, 8]
             %sum = reduce_sum %squares, [-1] : {ty}[b, s, 1]
             %variance = div %sum, %seven : {ty}[b, s, 1]
             %deviation = sqrt %variance : {ty}[b, s, 1]
             %above = add %deviation, %epsilon : {ty}[b, s, 1]
             %product = mul %w, %x : {ty}[b, s, 8]
             %y = div %product, %above : {ty}[b, s, 8]
             return %y"
        );
        check_diff(case, "fold-degrees-of-freedom", graph(&format!("%x: {ty}[b, s, 8]"), &body));
    }
}

#[test]
fn split_axes_before_transposing() {
    for (case, body) in [
        (
            "merged_heads",
            "%a = reshape %x, [-1, 5, 8] : f32[4*b, 5, 8]
             %c = transpose %a {perm = [0, 2, 1]} : f32[4*b, 8, 5]
             %y = reshape %c, [-1, 4, 8, 5] : f32[b, 4, 8, 5]
             return %y",
        ),
        (
            "heads_split_late",
            "%a = reshape %z, [0, 5, 32] : f32[b, 5, 32]
             %c = transpose %a {perm = [1, 0, 2]} : f32[5, b, 32]
             %y = reshape %c, [0, 0, 4, 8] : f32[5, b, 4, 8]
             return %y",
        ),
        (
            "pairs_of_each_head",
            "%a = reshape %x, [0, 0, 4, 10] : f32[b, 4, 4, 10]
             %c = transpose %a {perm = [0, 2, 1, 3]} : f32[b, 4, 4, 10]
             %y = reshape %c, [0, 0, 0, 5, 2] : f32[b, 4, 4, 5, 2]
             return %y",
        ),
        (
            "axes_that_merge",
            "%a = reshape %x, [-1, 5, 8] : f32[4*b, 5, 8]
             %c = transpose %a {perm = [0, 2, 1]} : f32[4*b, 8, 5]
             %y = reshape %c, [-1, 40] : f32[4*b, 40]
             return %y",
        ),
    ] {
        let inputs = if case == "heads_split_late" { "%z: f32[b, 160]" } else { "%x: f32[b, 4, 5, 8]" };
        check_pass(case, "split-axes-before-transposing", &graph(inputs, body));
    }
}

#[test]
fn operators_of_onnx_runtime() {
    let inputs = "%x: f32[b, s, 8], %bias: f32[8], %cos: f32[s, 2], %sin: f32[s, 2], %size: f32[b, s, 1],
        %half: f16[b, s, 8], %half_bias: f16[8]";
    for (case, pass, body) in [
        (
            "biases_in_gelus",
            "fuse-bias-gelu",
            "%a = add %x, %bias : f32[b, s, 8]
             %c = gelu %a : f32[b, s, 8]
             %d = add %bias, %c : f32[b, s, 8]
             %y = gelu %d {approximate = \"tanh\"} : f32[b, s, 8]
             return %y",
        ),
        (
            "gelu_of_a_sum",
            "fuse-bias-gelu",
            "%a = add %x, %size : f32[b, s, 8]\n%y = gelu %a : f32[b, s, 8]\nreturn %y",
        ),
        (
            "biases_in_gelus_of_f16",
            "fuse-bias-gelu",
            "%a = add %half, %half_bias : f16[b, s, 8]
             %c = gelu %a : f16[b, s, 8]
             %d = add %half_bias, %c : f16[b, s, 8]
             %y = gelu %d {approximate = \"tanh\"} : f16[b, s, 8]
             return %y",
        ),
        (
            "tied_matrix_of_f16",
            "use-fused-matmul",
            "%table = parameter cast(f32[4, 8] uniform(seed = 1, bound = 0.5)) : f16[4, 8]
             %turned = transpose %table {perm = [1, 0]} : f16[8, 4]
             %y = matmul %half, %turned : f16[b, s, 4]
             %row = gather %table, 0 : f16[8]
             return %y, %row",
        ),
        ("swish_of_alpha", "use-quick-gelu", "%y = swish %x {alpha = 1.702} : f32[b, s, 8]\nreturn %y"),
        (
            "tables_for_every_sample",
            "use-contrib-rotary",
            "%batch = shape %x {start = 0, end = 1} : i64[1]
             %shape = concat %batch, [1, 1] {axis = 0} : i64[3]
             %c = expand %cos, %shape : f32[b, s, 2]
             %d = expand %sin, %shape : f32[b, s, 2]
             %y = rotary_embedding %x, %c, %d {num_heads = 2} : f32[b, s, 8]
             return %y",
        ),
        (
            "tables_of_a_part_of_each_head",
            "use-contrib-rotary",
            "%batch = shape %x {start = 0, end = 1} : i64[1]
             %shape = concat %batch, [1, 1] {axis = 0} : i64[3]
             %c = expand %cos, %shape : f32[b, s, 2]
             %d = expand %sin, %shape : f32[b, s, 2]
             %y = rotary_embedding %x, %c, %d {interleaved = true, num_heads = 1, rotary_embedding_dim = 4} : f32[b, s, 8]
             %cut = reshape %x, [0, 0, 1, 8] : f32[b, s, 1, 8]
             %heads = transpose %cut {perm = [0, 2, 1, 3]} : f32[b, 1, s, 8]
             %z = rotary_embedding %heads, %c, %d {rotary_embedding_dim = 4} : f32[b, 1, s, 8]
             return %y, %z",
        ),
        (
            // Tied, beside a matrix that is computed, one that nothing else reads, and one vector.
            "matrices_that_are_transposed",
            "use-fused-matmul",
            "%table = parameter uniform(seed = 1, bound = 0.5) : f32[4, 8]
             %turned = transpose %table {perm = [1, 0]} : f32[8, 4]
             %y = matmul %x, %turned : f32[b, s, 4]
             %row = gather %table, 0 : f32[8]
             %computed = exp %table : f32[4, 8]
             %other = transpose %computed {perm = [1, 0]} : f32[8, 4]
             %z = matmul %x, %other : f32[b, s, 4]
             %v = matmul %row, %turned : f32[4]
             %own = parameter uniform(seed = 2, bound = 0.5) : f32[4, 8]
             %turned_own = transpose %own {perm = [1, 0]} : f32[8, 4]
             %u = matmul %x, %turned_own : f32[b, s, 4]
             return %y, %z, %v, %u",
        ),
    ] {
        check_diff(case, pass, graph(inputs, body));
    }
}

#[test]
fn standardize_contrib_operators() {
    let inputs = "%x: f32[b, s, 8], %skip: f32[b, s, 8], %w: f32[8], %mask: i32[b, s], %keys: f32[b, t, 8],
        %heads: f32[b, 2, t, 4], %packed: f32[b, s, 2, 3, 4], %weight: f32[8, 16], %half: f32[b, s, 4],
        %past: f32[b, 1, p, 4], %last: i32[b], %total: i32[]";
    for (case, body) in [
        (
            "activations_and_norms",
            "%a = \"com.microsoft::BiasGelu@1\" %x, %w : f32[b, s, 8]
             %c, %d, %e, %f = \"com.microsoft::SkipLayerNormalization@1\" %a, %skip, %w {epsilon = 1e-5}
                : f32[b, s, 8], f32[b, s, 1], f32[b, s, 1], f32[b, s, 8]
             %g = \"com.microsoft::FusedMatMul@1\" %c, %f {alpha = 0.5, transB = 1} : f32[b, s, s]
             return %g",
        ),
        (
            "attention_of_three",
            "%y = \"com.microsoft::MultiHeadAttention@1\" %x, %skip, %x, _, %mask {num_heads = 2} : f32[b, s, 8]
             return %y",
        ),
        (
            "causal_attention_with_a_filter",
            "%y = \"com.microsoft::MultiHeadAttention@1\" %x, %skip, %x, _, %mask {mask_filter_value = -3.4028235e38, \
             num_heads = 2, unidirectional = 1} : f32[b, s, 8]
             return %y",
        ),
        (
            "causal_attention_to_others",
            "%y = \"com.microsoft::MultiHeadAttention@1\" %x, %keys, %keys {num_heads = 2, unidirectional = 1} : f32[b, s, 8]
             return %y",
        ),
        (
            "keys_by_heads",
            "%y = \"com.microsoft::MultiHeadAttention@1\" %x, %heads, %heads {num_heads = 2} : f32[b, s, 8]
             return %y",
        ),
        (
            "parts_that_are_packed",
            "%y = \"com.microsoft::MultiHeadAttention@1\" %packed {num_heads = 2} : f32[b, s, 8]
             return %y",
        ),
        (
            "values_of_another_width",
            "%y = \"com.microsoft::Attention@1\" %x, %weight {num_heads = 2, qkv_hidden_sizes = [4, 4, 8]} : f32[b, s, 8]
             return %y",
        ),
        (
            "groups_with_a_past",
            "%y, %k, %v = \"com.microsoft::GroupQueryAttention@1\" %x, %half, %half, %past, %past, %last, %total \
             {kv_num_heads = 1, num_heads = 2} : f32[b, s, 8], f32[b, 1, t, 4], f32[b, 1, t, 4]
             return %y, %k, %v",
        ),
        (
            "groups_in_a_window_of_none",
            "%y, %k, %v = \"com.microsoft::GroupQueryAttention@1\" %x, %half, %half, %past, %past, %last, %total \
             {kv_num_heads = 1, local_window_size = 0, num_heads = 2} : f32[b, s, 8], f32[b, 1, t, 4], f32[b, 1, t, 4]
             return %y, %k, %v",
        ),
        (
            "lookups_of_quantized_rows",
            "%scales = parameter uniform(seed = 1, bound = 0.5) : f32[8, 2]
             %codes = parameter fill(3) : u8[8, 32]
             %y = \"com.microsoft::GatherBlockQuantized@1\" %codes, %last, %scales {bits = 8, block_size = 16} : f32[b, 32]
             %zeros = parameter fill(7) : u8[8, 1]
             %packed_codes = parameter fill(52) : u8[8, 16]
             %z = \"com.microsoft::GatherBlockQuantized@1\" %packed_codes, %last, %scales, %zeros \
             {bits = 4, block_size = 16, gather_axis = 0, quantize_axis = 1} : f32[b, 32]
             return %y, %z",
        ),
        (
            "lookups_of_quantized_columns_and_of_codes_that_are_computed",
            "%scales = parameter uniform(seed = 1, bound = 0.5) : f32[8, 2]
             %codes = parameter fill(3) : u8[8, 32]
             %y = \"com.microsoft::GatherBlockQuantized@1\" %codes, %last, %scales {bits = 8, block_size = 16, gather_axis = 1} \
             : f32[8, b]
             %computed = cast %w {to = u8} : u8[8]
             %table = reshape %computed, [8, 1] : u8[8, 1]
             %z = \"com.microsoft::GatherBlockQuantized@1\" %table, %last, %scales {bits = 8, block_size = 16} : f32[b, 1]
             return %y, %z",
        ),
        ("unknown_attribute", "%y = \"com.microsoft::FastGelu@1\" %x {speed = 9} : f32[b, s, 8]\nreturn %y"),
        (
            "result_without_counterpart",
            "%y, %mean = \"com.microsoft::SkipLayerNormalization@1\" %x, %skip, %w : f32[b, s, 8], f32[b, s, 1]
             return %y, %mean",
        ),
    ] {
        check_diff(case, "standardize-contrib-operators", graph(inputs, &body.replace("\n                :", " :")));
    }
}

/// Checks that an operator stays whose replacement has no kernel and cannot be decomposed.
fn stays(opset: i64, inputs: &str, body: &str, expected: &str) {
    let mut model = Model::new(graph(inputs, body));
    model.opsets.extend([(String::new(), opset), ("com.microsoft".to_owned(), 1)]);
    let before = model.graph.to_string();
    let report = passes::optimize(&mut model, &Options::for_target(Target::ONNX)).expect("it is optimized");
    assert_eq!(model.graph.to_string(), before);
    let declined: Vec<String> = report.declined.iter().map(ToString::to_string).collect();
    let expected =
        format!("standardize-contrib-operators: %y: it would leave {expected}, which can neither be kept nor");
    assert!(declined.iter().any(|event| event.starts_with(&expected)), "{declined:?}");
}

#[test]
fn operators_that_cannot_be_lowered_stay() {
    // The number of queries is unknown.
    stays(
        23,
        "%x: f32[b, ?, 8], %mask: i32[b, s]",
        "%y = \"com.microsoft::MultiHeadAttention@1\" %x, %x, %x, _, %mask {num_heads = 2} : f32[b, ?, 8]
         return %y",
        "attention",
    );
    // The rank is unknown.
    stays(
        19,
        "%x: f32[*], %w: f32[8]",
        "%y = \"::SimplifiedLayerNormalization@19\" %x, %w {axis = -1, epsilon = 1e-5} : f32[*]
         return %y",
        "rms_normalization",
    );
}

#[test]
fn share_cache() {
    let inputs = "%ids: i64[b, s], %q: f32[b, s, 16], %k: f32[b, s, 8], %padding: i64[b, p + s], \
                  %past_key: f32[b, 1, p, 8], %past_value: f32[b, 1, p, 8]";
    let causal = "%size = shape %past_key {start = 2, end = 3} : i64[1]
        %queries = shape %ids {start = 1} : i64[1]
        %sum = add %size, %queries : i64[1]
        %from = squeeze %size : i64[]
        %to = squeeze %sum : i64[]
        %own = range %from, %to, 1 : i64[s]
        %keys = range 0, %to, 1 : i64[p + s]
        %rows = unsqueeze %own, [1] : i64[s, 1]
        %before = less_or_equal %keys, %rows : bool[s, p + s]
        %real = cast %padding {to = bool} : bool[b, p + s]
        %seen = unsqueeze %real, [1, 2] : bool[b, 1, 1, p + s]
        %both = and %before, %seen : bool[b, 1, s, p + s]
        %mask = where %both, 0.0, -1e30 : f32[b, 1, s, p + s]";
    let (counts, _) = causal.split_once("%rows").expect("it has rows");
    let distances = format!(
        "{counts}%key_places = cast %keys {{to = f32}} : f32[p + s]
        %query_places = cast %own {{to = f32}} : f32[s]
        %rows = unsqueeze %query_places, [1] : f32[s, 1]
        %distance = sub %key_places, %rows : f32[s, p + s]
        %beyond = relu %distance : f32[s, p + s]
        %share = min %beyond, 1.0 : f32[s, p + s]
        %later = mul %share, -10000.0 : f32[s, p + s]
        %real = cast %padding {{to = bool}} : bool[b, p + s]
        %seen = unsqueeze %real, [1, 2] : bool[b, 1, 1, p + s]
        %hidden = where %seen, 0.0, -10000.0 : f32[b, 1, 1, p + s]
        %mask = add %later, %hidden : f32[b, 1, s, p + s]"
    );
    let attention = "%y, %key, %value = attention %q, %k, %k, %mask, %past_key, %past_value \
        {kv_num_heads = 1, q_num_heads = 2} : f32[b, s, 16], f32[b, 1, p + s, 8], f32[b, 1, p + s, 8]";
    let body = format!("{causal}\n{attention}");
    let outputs = "return %y, %key, %value";
    let infinite = body.replace("-1e30", "-inf");
    let narrow = |fill: &str| {
        let mask = format!("%wide = where %both, 0.0, {fill} : f32[b, 1, s, p + s]\n%mask = cast %wide {{to = f16}}");
        body.replace("f32[b", "f16[b").replace("%mask = where %both, 0.0, -1e30", &mask) + "\n" + outputs
    };
    let cases = [
        // ONNX Runtime returns NaN for a row of minus infinity in f16, and zeros in f32.
        ("rows_of_infinity", inputs.to_owned(), format!("{infinite}\n{outputs}")),
        ("rows_of_infinity_in_f16", inputs.replace("f32[b", "f16[b"), narrow("-inf")),
        ("finite_rows_in_f16", inputs.replace("f32[b", "f16[b"), narrow("-10000.0")),
        ("grouped_heads", inputs.to_owned(), format!("{body}\n{outputs}")),
        (
            "heads_of_their_own",
            inputs.replace("[b, 1, p, 8]", "[b, 2, p, 4]").replace("[b, s, 16]", "[b, s, 8]"),
            format!("{body}\n{outputs}")
                .replace("kv_num_heads = 1", "kv_num_heads = 2")
                .replace("[b, 1, p + s, 8]", "[b, 2, p + s, 4]")
                .replace("[b, s, 16]", "[b, s, 8]"),
        ),
        ("mask_of_distances", inputs.to_owned(), format!("{distances}\n{attention}\n{outputs}")),
        // Biases by distance have no bound, so that rows that are masked entirely are lifted.
        (
            "bias_by_distance",
            inputs.to_owned(),
            format!("{distances}\n{attention}\n{outputs}")
                .replace(
                    "%mask = add %later, %hidden : f32[b, 1, s, p + s]",
                    "%masked = add %later, %hidden : f32[b, 1, s, p + s]
                 %back = neg %distance : f32[s, p + s]
                 %apart = max %distance, %back : f32[s, p + s]
                 %bias = mul %apart, f32[1, 2, 1, 1] [-0.5, -0.25] : f32[1, 2, s, p + s]
                 %mask = add %masked, %bias : f32[b, 2, s, p + s]
                 %most = reduce_max %mask, [-1] : f32[b, 2, s, 1]
                 %level = sub %mask, %most : f32[b, 2, s, p + s]
                 %lifted = sub %level, %most : f32[b, 2, s, p + s]",
                )
                .replace("%k, %k, %mask,", "%k, %k, %lifted,"),
        ),
        // Earlier keys are hidden.
        (
            "mask_of_distances_to_earlier_keys",
            inputs.to_owned(),
            format!("{distances}\n{attention}\n{outputs}").replace("sub %key_places, %rows", "sub %rows, %key_places"),
        ),
        // A third number masks nothing, and so does what is added behind.
        (
            "mask_of_the_least_of_three",
            inputs.to_owned(),
            format!("{distances}\n{attention}\n{outputs}").replace("min %beyond, 1.0", "min %beyond, 1.0, 0.0"),
        ),
        (
            "mask_that_is_added_back",
            inputs.to_owned(),
            format!("{distances}\n{attention}\n{outputs}").replace("where %seen, 0.0,", "where %seen, 10000.0,"),
        ),
        ("mask_that_hides_more", inputs.to_owned(), format!("{body}\n{outputs}").replace("0.0, -1e30", "-1e31, -1e30")),
        // Later keys are seen.
        (
            "mask_that_is_not_causal",
            inputs.to_owned(),
            format!("{body}\n{outputs}").replace("less_or_equal", "greater_or_equal"),
        ),
        (
            "cache_has_another_use",
            inputs.to_owned(),
            format!("{body}\n%z = exp %key : f32[b, 1, p + s, 8]\n{outputs}, %z"),
        ),
        (
            "past_that_is_read",
            inputs.to_owned(),
            format!("{body}\n%z = exp %past_key : f32[b, 1, p, 8]\n{outputs}, %z"),
        ),
        (
            "no_past",
            inputs.to_owned(),
            "%y = attention %q, %q, %q {kv_num_heads = 2, q_num_heads = 2} : f32[b, s, 16]\nreturn %y".to_owned(),
        ),
        (
            "no_padding_mask",
            inputs.replace("%padding: i64[b, p + s]", "%padding: i64[b, 1]"),
            format!("{body}\n{outputs}")
                .replace("cast %padding {to = bool} : bool[b, p + s]", "cast %padding {to = bool} : bool[b, 1]")
                .replace("bool[b, 1, 1, p + s]", "bool[b, 1, 1, 1]"),
        ),
    ];
    let mut text = String::new();
    for (case, inputs, body) in cases {
        let mut model = Model::new(graph(&inputs, &body));
        model.opsets.insert(String::new(), 24);
        let before = model.graph.to_string();
        let options = Options::for_target(Target::ORT).with_share_cache(true);
        let told = match passes::optimize(&mut model, &options) {
            Ok(_) => passes::diff(&before, &model.graph.to_string()),
            Err(error) => format!("{error}\n"),
        };
        writeln!(text, "{case}\n{told}").expect("text grows");
    }
    let other = passes::optimize(&mut Model::new(Graph::new("g")), &Options::default().with_share_cache(true));
    writeln!(text, "another target\n{}", other.expect_err("onnx has no such operator")).expect("text grows");
    snapshot("passes", "share_cache", &text);
}
