//! The cost of known models agrees with numbers that are derived by hand.
//!
//! A product of matrices `[m, k]` and `[k, n]` takes `2 * m * k * n` operations. With a width `d`, a row of a layer takes
//! `8 * d * d` for four square projections and `4 * d * f` for a feed-forward network of width `f`; its scores and
//! their sum over the values take `2 * d` each for every key.

use netwright_ir::cost::{Estimate, bytes, peak_activations};
use netwright_ir::op::Class;
use netwright_ir::{Bindings, Dim, Graph, Op, Symbol};
use netwright_nn::{Config, Part, Pretrained, PretrainedOptions, Settings};

fn build(config: &str, with_past: bool) -> Graph {
    let settings = Settings::parse("config.json", config).unwrap_or_else(|error| panic!("{error}"));
    let options = PretrainedOptions::default().with_past(with_past);
    let model = Pretrained::from_settings(&settings, &options).unwrap_or_else(|error| panic!("{error}"));
    model.build(model.parts()[0], false).unwrap_or_else(|error| panic!("{error}"))
}

fn parameters(graph: &Graph) -> u64 {
    let count = |id| match graph.node(id).op() {
        Op::Parameter(tensor) => tensor.count(),
        _ => 0,
    };
    graph.schedule().into_iter().map(count).sum()
}

/// Returns the operations of the products of matrices.
fn products(graph: &Graph) -> Dim {
    let estimate = Estimate::new(graph);
    assert!(estimate.uncounted.is_empty(), "{:?}", estimate.uncounted);
    let is_product = |op: &Op| op.kind().class() == Class::Multiplies;
    let products = estimate.nodes.iter().filter(|(id, _)| is_product(graph.node(*id).op()));
    products.fold(Dim::Known(0), |sum, (_, cost)| sum.plus(&cost.flops))
}

/// Parses a formula; `B`, `S` and `P` stand for the symbols of a decoder: batch, length and length of the past.
fn dim(text: &str) -> Dim {
    let formula: Dim = text.parse().unwrap_or_else(|error| panic!("{text}: {error}"));
    formula.substitute(&|symbol| match symbol.as_str() {
        "B" => Some(Dim::symbol("batch_size")),
        "S" => Some(Dim::symbol("sequence_length")),
        "P" => Some(Dim::symbol("past_sequence_length")),
        _ => None,
    })
}

fn sizes(sizes: &[(&str, i64)]) -> Bindings {
    sizes.iter().map(|(symbol, size)| (Symbol::new(*symbol), *size)).collect()
}

/// Embeddings: (30522 + 512 + 2) * 768 + 2 * 768 for their norm = 23,837,184. A layer: 4 * (768 * 768 + 768) +
/// 2 * 768 * 3072 + 3072 + 768 + 4 * 768 = 7,087,872. The pooler: 768 * 768 + 768 = 590,592. In all 23,837,184 +
/// 12 * 7,087,872 + 590,592 = 109,482,240.
#[test]
fn bert_base() {
    let graph = build(
        r#"{"model_type": "bert", "architectures": ["BertModel"], "hidden_size": 768, "num_hidden_layers": 12,
            "num_attention_heads": 12, "intermediate_size": 3072, "vocab_size": 30522,
            "max_position_embeddings": 512, "type_vocab_size": 2, "hidden_act": "gelu"}"#,
        false,
    );
    assert_eq!(parameters(&graph), 109_482_240);
    // 12 * (8 * 768 * 768 + 4 * 768 * 3072) a row, 12 * 4 * 768 for each key of each row, and 2 * 768 * 768 for the
    // pooler, which reads one row of each sequence.
    assert_eq!(products(&graph), dim("169869312*B*S + 36864*B*S*S + 1179648*B"));
    let total =
        Estimate::new(&graph).at(&sizes(&[("batch_size", 1), ("sequence_length", 128)])).expect("all sizes are given");
    // Other operators add 1 to 2 percent.
    let of_products = 169_869_312 * 128 + 36_864 * 128 * 128 + 1_179_648;
    assert!(total.flops > of_products && total.flops < of_products / 100 * 102, "{total:?}");
    // Every weight but rows of the tables is read at least once.
    assert!(total.moved > 4 * 12 * 7_087_872, "{total:?}");
}

/// Embeddings: (50257 + 1024) * 768 = 39,383,808, which the head shares. A layer: 7,087,872, as in BERT. The last norm:
/// 1,536. In all 124,439,808.
#[test]
fn gpt2() {
    let graph = build(
        r#"{"model_type": "gpt2", "architectures": ["GPT2LMHeadModel"], "n_embd": 768, "n_layer": 12, "n_head": 12,
            "vocab_size": 50257, "n_positions": 1024, "activation_function": "gelu_new"}"#,
        true,
    );
    assert_eq!(parameters(&graph), 124_439_808);
    // As BERT, and 2 * 768 * 50257 = 77,194,752 a row for the head; the keys are those of the past, too.
    assert_eq!(products(&graph), dim("247064064*B*S + 36864*B*S*S + 36864*B*S*P"));
}

/// 32 heads of 64 over 4 heads of keys and values. Embeddings and head: 2 * 32000 * 2048 = 131,072,000. A layer:
/// 2 * 2048 * 2048 + 2 * 2048 * 256 + 3 * 2048 * 5632 + 2 * 2048 = 44,044,288. In all 131,072,000 + 22 * 44,044,288 +
/// 2,048 = 1,100,048,384.
#[test]
fn llama_with_grouped_queries() {
    let graph = build(
        r#"{"model_type": "llama", "architectures": ["LlamaForCausalLM"], "hidden_size": 2048,
            "num_hidden_layers": 22, "num_attention_heads": 32, "num_key_value_heads": 4, "intermediate_size": 5632,
            "vocab_size": 32000, "max_position_embeddings": 2048, "hidden_act": "silu", "rms_norm_eps": 1e-5,
            "tie_word_embeddings": false}"#,
        true,
    );
    assert_eq!(parameters(&graph), 1_100_048_384);
    // A layer: 4 * 2048 * 2048 + 4 * 2048 * 256 + 6 * 2048 * 5632 = 88,080,384 a row; the head: 2 * 2048 * 32000 =
    // 131,072,000; 22 * 4 * 2048 = 180,224 for each key of each row.
    let expected = dim("2068840448*B*S + 180224*B*S*S + 180224*B*S*P");
    assert_eq!(products(&graph), expected);
    // The cache: keys and values of 22 layers, 4 heads of 64 elements in 4 bytes.
    let cache = graph.inputs().filter(|input| graph.value_name(*input).starts_with("past"));
    let cache = cache.fold(Dim::Known(0), |sum, input| sum.plus(&bytes(&graph, input)));
    assert_eq!(cache, dim("45056*B*P"));
    // A step reads every weight but the table of embeddings: 4 * (1,100,048,384 - 65,536,000) bytes.
    let step = sizes(&[("batch_size", 1), ("sequence_length", 1), ("past_sequence_length", 100)]);
    let total = Estimate::new(&graph).at(&step).expect("all sizes are given");
    assert!(total.moved > 4_138_049_536 && total.moved < 4_138_049_536 / 100 * 110, "{total:?}");
    assert!(peak_activations(&graph, &step).is_ok_and(|peak| peak.is_some_and(|peak| peak.bytes > 45_056 * 100)));
}

/// The base model of the paper with a vocabulary of 37,000, which all embeddings share: 18,944,000. An encoder layer:
/// 4 * (512 * 512 + 512) + 2 * 512 * 2048 + 2048 + 512 + 4 * 512 = 3,152,384; a decoder layer has a second attention
/// and norm: 4,204,032. In all 63,082,496.
#[test]
fn transformer_base() {
    let model = Pretrained::random(&Config::transformer_base(), 0).expect("the configuration is valid");
    let graph = model.build(Part::Whole, false).unwrap_or_else(|errors| panic!("{errors}"));
    assert_eq!(parameters(&graph), 63_082_496);
    // A row of the encoder: 6 * (8 * 512 * 512 + 4 * 512 * 2048) = 37,748,736, and 6 * 4 * 512 * 512 = 6,291,456 for the
    // keys and values that the decoder reads. A row of the decoder: 6 * (12 * 512 * 512 + 4 * 512 * 2048) = 44,040,192,
    // and 2 * 512 * 37000 = 37,888,000 for the head. 6 * 4 * 512 = 12,288 for each pair of a row and a key.
    assert_eq!(
        products(&graph),
        dim("44040192*batch*source + 81928192*batch*target + 12288*batch*source*source + 12288*batch*target*target \
             + 12288*batch*source*target")
    );
}

/// Each class on a small graph, counted by hand.
#[test]
fn operators() {
    for (node, flops, moved) in [
        ("matmul %x, %w : f32[n, 4]", "64*n", "48*n + 128"),
        ("gemm %x, %w, %b : f32[n, 4]", "68*n", "48*n + 144"),
        ("add %x, %x : f32[n, 8]", "8*n", "64*n"),
        ("tanh %x : f32[n, 8]", "8*n", "64*n"),
        ("softmax %x {axis = -1} : f32[n, 8]", "40*n", "64*n"),
        ("layer_normalization %x, %s {axis = -1, epsilon = 1e-5} : f32[n, 8]", "48*n", "64*n + 32"),
        ("transpose %x {perm = [1, 0]} : f32[8, n]", "0", "64*n"),
        ("unsqueeze %x, [0] : f32[1, n, 8]", "0", "0"),
        ("shape %x : i64[2]", "0", "16"),
        ("concat %x, %x {axis = 0} : f32[2 * n, 8]", "0", "96*n"),
        ("gather %w, %i {axis = 0} : f32[n, 4]", "0", "40*n"),
        ("einsum %x, %w {equation = \"ij,jk->ik\"} : f32[n, 4]", "64*n", "48*n + 128"),
        ("reduce_sum %x, [1] {keepdims = false} : f32[n]", "8*n", "36*n + 8"),
    ] {
        let text = format!(
            "g(%x: f32[n, 8], %w: f32[8, 4], %b: f32[4], %s: f32[8], %i: i64[n]) {{\n%y = {node}\nreturn %y\n}}"
        );
        let graph = netwright_ir::parse(&text).unwrap_or_else(|error| panic!("{node}: {error}"));
        let total = Estimate::new(&graph).total();
        assert_eq!((total.flops, total.moved), (dim(flops), dim(moved)), "{node}");
    }
}

/// `%a` and `%b` are alive together with `%x`, which is read again; the reshaped value needs no memory of its own.
#[test]
fn peak() {
    let graph = netwright_ir::parse(
        "g(%x: f32[n, 8]) {
           %a = tanh %x : f32[n, 8]
           %b = exp %a : f32[n, 8]
           %c = unsqueeze %b, [0] : f32[1, n, 8]
           %d = add %c, %x : f32[1, n, 8]
           return %d
         }",
    )
    .expect("the text is valid");
    let peak = peak_activations(&graph, &sizes(&[("n", 10)])).expect("all sizes are known").expect("it has nodes");
    assert_eq!((peak.bytes, graph.node(peak.node).op().word()), (3 * 320, "exp"));
    assert!(peak_activations(&graph, &Bindings::new()).is_err());
}

#[test]
fn what_is_unknown_is_not_guessed() {
    let graph = netwright_ir::parse(
        "g(%x: f32[n], %m: f32[?, 4]) {
           %y = \"my.domain::Twist@1\" %x : f32[n]
           %z = tanh %m : f32[?, 4]
           return %y, %z
         }",
    )
    .expect("the text is valid");
    let estimate = Estimate::new(&graph);
    let found: Vec<String> =
        estimate.uncounted.iter().map(|((name, why), times)| format!("{name} {times}: {why}")).collect();
    assert_eq!(
        found,
        [
            "Tanh 1: the size of an operand or of a result is unknown",
            "my.domain::Twist 1: the number of operations of this operator is unknown"
        ]
    );
    assert_eq!(estimate.total().flops, Dim::Known(0));
}
