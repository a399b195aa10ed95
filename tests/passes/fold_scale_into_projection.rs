use super::{attention_inputs, check_pass};
use netwright::ir::{Graph, parse};

/// Scores of one projected query and one projected key; `body` begins with their projections.
fn projections(query: &str, key: &str, rest: &str) -> Graph {
    let text = format!(
        "g(%x: f32[b, q, 8], %m: f32[b, 1, 1, q]) {{
           {query}
           {key}
           %qs = reshape %query, [0, 0, 2, 4] : f32[b, q, 2, 4]
           %qh = transpose %qs {{perm = [0, 2, 1, 3]}} : f32[b, 2, q, 4]
           %ks = reshape %key, [0, 0, 2, 4] : f32[b, q, 2, 4]
           %kh = transpose %ks {{perm = [0, 2, 3, 1]}} : f32[b, 2, 4, q]
           %s = matmul %qh, %kh : f32[b, 2, q, q]
           %p = scaled_softmax %s, %m {{axis = -1, scale = 0.5}} : f32[b, 2, q, q]
           {rest}
         }}"
    );
    parse(&text).unwrap_or_else(|error| panic!("{error} in\n{text}"))
}

#[test]
fn fold_scale_into_projection() {
    let linear = |name: &str| {
        format!(
            "%{name}.weight = parameter uniform(seed = 1, bound = 0.5) : f32[8, 8]
             %{name}.matmul = matmul %x, %{name}.weight : f32[b, q, 8]
             %{name}.bias = parameter fill(0.25) : f32[8]
             %{name} = add %{name}.bias, %{name}.matmul : f32[b, q, 8]"
        )
    };
    let gemm = "%flat = reshape %x, [-1, 8] : f32[b*q, 8]
                %w = parameter fill(0.5) : f32[8, 8]
                %c = parameter fill(0.25) : f32[8]
                %g = gemm %flat, %w, %c {transB = true} : f32[b*q, 8]
                %query = reshape %g, [-1, 1, 8] : f32[b*q, 1, 8]";
    let (query, key) = (linear("query"), linear("key"));
    let unprojected = |name: &str| format!("%{name} = exp %x : f32[b, q, 8]");
    let half = |element: &str, name: &str| {
        format!(
            "%{name}.x = cast %x {{to = {element}}} : {element}[b, q, 8]
             %{name}.weight = parameter cast(f32[8, 8] fill(0.5)) : {element}[8, 8]
             %{name}.matmul = matmul %{name}.x, %{name}.weight : {element}[b, q, 8]
             %{name} = cast %{name}.matmul {{to = f32}} : f32[b, q, 8]"
        )
    };
    let cases = [
        ("query_projection", projections(&query, &key, "return %p")),
        ("gemm_projection", parse(&gemm_case(gemm)).expect("it is well-formed")),
        ("transposed_weight", projections(&transposed(), &key, "return %p")),
        ("shared_query_projection", projections(&query, &key, "%e = exp %query.weight : f32[8, 8]\n return %p, %e")),
        (
            "shared_projections",
            projections(&query, &key, "%e = add %query.weight, %key.weight : f32[8, 8]\n return %p, %e"),
        ),
        ("no_projection", projections(&unprojected("query"), &unprojected("key"), "return %p")),
        ("key_projection", projections(&unprojected("query"), &key, "return %p")),
        ("scores_are_used_twice", projections(&query, &key, "%e = exp %s : f32[b, 2, q, q]\n return %p, %e")),
        ("cast_projections", projections(&half("f16", "query"), &half("f16", "key"), "return %p")),
        (
            "no_matrix_product",
            attention_inputs("%p = scaled_softmax %x {axis = -1, scale = 0.5} : f32[b, h, q, k]\n return %p"),
        ),
    ];
    for (case, graph) in cases {
        check_pass(case, "fold-scale-into-projection", &graph);
    }
    for element in ["f16", "bf16"] {
        let text = format!(
            "g(%x: {element}[b, q, 8], %k: {element}[b, 8, q]) {{
               %w = parameter cast(f32[8, 8] fill(0.5)) : {element}[8, 8]
               %query = matmul %x, %w : {element}[b, q, 8]
               %s = matmul %query, %k : {element}[b, q, q]
               %p = scaled_softmax %s {{axis = -1, scale = 0.5}} : {element}[b, q, q]
               %o = scaled_softmax %p {{axis = -1, scale = 1.0}} : {element}[b, q, q]
               return %o
             }}"
        );
        check_pass(&format!("{element}_projection"), "fold-scale-into-projection", &parse(&text).expect("well-formed"));
    }
}

fn gemm_case(query: &str) -> String {
    format!(
        "g(%x: f32[b, q, 8], %k: f32[b*q, 8, q]) {{
           {query}
           %s = matmul %query, %k : f32[b*q, 1, q]
           %p = scaled_softmax %s {{axis = -1, scale = 0.3}} : f32[b*q, 1, q]
           return %p
         }}"
    )
}

fn transposed() -> String {
    "%query.weight = parameter uniform(seed = 1, bound = 0.5) : f32[8, 8]
     %query.transpose = transpose %query.weight {perm = [1, 0]} : f32[8, 8]
     %query = matmul %x, %query.transpose : f32[b, q, 8]"
        .to_owned()
}
