//! What the DSL declares, as IR text, and what mistakes are answered with.

mod common;

use common::{small, snapshot};
use netwright::ir::tensor::{BlockFormat, Quantized};
use netwright::ir::{self, Detail, ElementType, Graph, Op, Tensor, TensorType, shape};
use netwright::nn::layers::{
    Activation, Embedding, FeedForward, Linear, MultiHeadAttention, Norm, NormKind, PositionalEncoding,
};
use netwright::nn::{Builder, Config, DecoderLayer, EncoderLayer, NormPlacement, Part, Transformer, Var, Weights};
use std::collections::BTreeMap;

fn state<'b>(builder: &'b Builder<'b>, name: &str, length: &str) -> Var<'b> {
    builder.input(name, TensorType::new(ElementType::F32, shape!["batch", length, 16]))
}

/// The graph is valid, and its text reads back as itself.
fn checked(builder: Builder<'_>) -> Graph {
    let graph = builder.finish().unwrap_or_else(|errors| panic!("{errors}"));
    ir::check(&graph).unwrap_or_else(|violations| panic!("{violations}"));
    assert_eq!(ir::parse(&graph.to_text(Detail::Full)).as_ref(), Ok(&graph));
    graph
}

/// Every option of a block: its text, and the law that a block keeps the shape of its state.
#[test]
fn blocks() {
    let cases = [
        ("encoder_layer", small()),
        ("encoder_layer_pre_norm", Config { norm: NormPlacement::Pre, ..small() }),
        (
            "encoder_layer_rms_silu_gated",
            Config {
                norm_kind: NormKind::RmsNorm,
                activation: Activation::Silu,
                gated_ffn: true,
                attention_bias: false,
                ffn_bias: false,
                ..small()
            },
        ),
        ("encoder_layer_gelu", Config { activation: Activation::Gelu, ..small() }),
        ("encoder_layer_gelu_tanh", Config { activation: Activation::GeluTanh, ..small() }),
    ];
    let weights = Weights::Random { seed: 0 };
    for (name, config) in cases {
        let builder = Builder::new(name, &weights);
        let x = state(&builder, "x", "seq");
        let mask = builder.input("mask", TensorType::new(ElementType::F32, shape!["batch", 1, 1, "seq"]));
        let y = EncoderLayer::new("layer", &config).forward(x, Some(mask));
        assert_eq!(y.shape(), x.shape(), "{name}");
        builder.output("y", y);
        snapshot("nn", name, &checked(builder).to_string());
    }
    let builder = Builder::new("decoder_layer", &weights);
    let (x, memory) = (state(&builder, "x", "target"), state(&builder, "memory", "source"));
    let causal = builder.input("causal", TensorType::new(ElementType::F32, shape!["target", "target"]));
    let padding = builder.input("padding", TensorType::new(ElementType::F32, shape!["batch", 1, 1, "source"]));
    let y = DecoderLayer::new("layer", &small()).forward(x, memory, Some(causal), Some(padding));
    assert_eq!(y.shape(), x.shape());
    builder.output("y", y);
    snapshot("nn", "decoder_layer", &checked(builder).to_string());
}

#[test]
fn whole_models() {
    let cases = [
        ("encoder", Part::Encoder, small(), false),
        (
            "decoder",
            Part::Decoder,
            Config { positional_encoding: PositionalEncoding::SinusoidalHalves, ..small() },
            false,
        ),
        ("transformer", Part::Whole, small(), true),
        (
            "transformer_untied_learned",
            Part::Whole,
            Config {
                tie_embeddings: false,
                scale_embedding: false,
                positional_encoding: PositionalEncoding::Learned,
                norm: NormPlacement::Pre,
                ..small()
            },
            false,
        ),
    ];
    for (name, part, config, attention_weights) in cases {
        let transformer = Transformer::new(&config).expect("the configuration is sound");
        let graph = transformer
            .build(part, &Weights::Random { seed: 0 }, attention_weights)
            .unwrap_or_else(|errors| panic!("{errors}"));
        ir::check(&graph).unwrap_or_else(|violations| panic!("{violations}"));
        assert_eq!(ir::parse(&graph.to_text(Detail::Full)).as_ref(), Ok(&graph));
        snapshot("nn", name, &graph.to_string());
    }
}

/// Self-attention takes query, key and value from one sequence; cross-attention takes key and value from the memory.
#[test]
fn attention_reads_the_sequences_that_it_should() {
    let transformer = Transformer::new(&small()).expect("the configuration is sound");
    let graph = transformer.build(Part::Decoder, &Weights::Random { seed: 0 }, false).expect("it builds");
    let source_of = |projection: &str| {
        let product = format!("decoder.layers.0.{projection}.matmul");
        let found = graph
            .schedule()
            .into_iter()
            .flat_map(|id| graph.results(id))
            .find(|value| **graph.value_name(*value) == *product);
        let product = found.unwrap_or_else(|| panic!("{product} is not there"));
        assert!(matches!(graph.op(product), Op::MatMul));
        graph.operand(product.node, 0).expect("a product has two operands")
    };
    let own = source_of("self_attn.q_proj");
    for projection in ["self_attn.k_proj", "self_attn.v_proj"] {
        assert_eq!(source_of(projection), own, "{projection}");
    }
    let memory = graph.inputs().nth(1).expect("the memory is the second input");
    for projection in ["cross_attn.k_proj", "cross_attn.v_proj"] {
        assert_eq!(source_of(projection), memory, "{projection}");
    }
    assert_ne!(source_of("cross_attn.q_proj"), memory);
}

#[test]
fn parameters_are_counted_from_the_graph() {
    for (config, expected) in [(Config::transformer_base(), 63_082_496), (Config::transformer_big(), 214_245_376)] {
        let transformer = Transformer::new(&config).expect("a preset is sound");
        let graph = transformer.build(Part::Whole, &Weights::Random { seed: 0 }, false).expect("a preset builds");
        let parameters = graph.schedule().into_iter().filter_map(|id| match graph.node(id).op() {
            Op::Parameter(tensor) => Some(tensor.count()),
            _ => None,
        });
        assert_eq!(parameters.sum::<u64>(), expected);
    }
}

/// Quantized weights are dequantized by an operator; a table that is tied to the head stays one.
#[test]
fn quantized_weights() {
    let format = BlockFormat { bits: 4, size: 16, symmetric: false };
    let words = Tensor::fill_with(ElementType::I32, vec![0x10, 0x32, 0x54, 0x76], &[32, 2]).expect("words");
    let codes = words.unpacked([0, 4, 1, 5, 2, 6, 3, 7], 0).expect("codes");
    let scales = Tensor::fill(0.5, &[32, 1]).expect("scales");
    let zeros = Tensor::from_bytes(ElementType::U4, &[32, 1], vec![0x77; 16]).expect("zeros");
    let weight =
        Quantized::from_parts(codes, scales, Some(zeros), format).and_then(|all| all.dequantized(ElementType::F32));
    let weight = weight.expect("its parts fit");
    let tensors = ["table.weight", "linear.weight", "transposed.weight"].map(|name| (name.to_owned(), weight.clone()));
    let weights = Weights::Trained(tensors.into());
    let builder = Builder::new("quantized_weights", &weights).with_element(ElementType::F16);
    let ids = builder.input("ids", TensorType::new(ElementType::I64, shape!["batch", "seq"]));
    let table = Embedding::new("table", 32, 16, false);
    let rows = table.forward(ids);
    builder.output("scores", table.scores(rows));
    builder.output("linear", Linear::new("linear", 16, 32, false).forward(rows));
    builder.output("transposed", Linear::new("transposed", 16, 32, false).input_major().forward(rows));
    snapshot("nn", "quantized_weights", &checked(builder).to_string());
}

/// The line, the shapes and a way out; several mistakes at once, and nothing about what follows from them.
#[test]
fn mistakes() {
    let weights = Weights::Random { seed: 0 };
    let builder = Builder::new("mistakes", &weights);
    let q = builder.input("q", TensorType::new(ElementType::F32, shape!["batch", 4, "seq", 64]));
    let scores = q.matmul(q);
    let past = builder.input("past", TensorType::new(ElementType::F32, shape!["batch", 4, "past", 64]));
    let sum = q + past;
    let projected = Linear::new("proj", 32, 32, true).forward(q);
    let ids = builder.input("ids", TensorType::new(ElementType::I64, shape!["batch", "seq"]));
    let mixed = q + ids;
    let wide = FeedForward::new("ffn", 32, 64, Activation::Relu, false, true).forward(q);
    for wrong in [scores.softmax(-1) * 0.5, sum, projected, mixed, wide] {
        assert_eq!(wrong.shape(), None);
    }
    snapshot("errors", "mistakes", &builder.finish().expect_err("five lines are wrong").to_string());
}

/// What beginners write: each message names the layer and the cure.
#[test]
fn mistakes_in_layers() {
    let trained =
        Weights::Trained(BTreeMap::from([("lin.weigth".to_owned(), Tensor::fill(0.0, &[64, 64]).expect("zeros"))]));
    let random = Weights::Random { seed: 0 };
    let text = |shape| TensorType::new(ElementType::F32, shape);
    let builder = Builder::new("trained", &trained);
    let x = builder.input("x", text(shape!["batch", "seq", 64]));
    builder.output("y", Linear::new("lin", 64, 64, false).forward(x));
    let misspelled = builder.finish().expect_err("the weight has another name");

    let builder = Builder::new("layers", &random);
    let x = builder.input("x", text(shape!["batch", "seq", 64]));
    let ids = builder.input("ids", TensorType::new(ElementType::I64, shape!["batch", "seq"]));
    MultiHeadAttention::new("five", 64, 5, true).self_attention(x, None);
    MultiHeadAttention::new("masked", 64, 4, true).self_attention(x, Some(ids));
    Linear::new("of_ids", 64, 64, false).forward(ids);
    Norm::new("narrow", NormKind::LayerNorm, 32, 1e-5).forward(x);
    Embedding::new("of_floats", 10, 8, false).forward(x);
    builder.input("x", text(shape!["batch"]));
    builder.output("x", x.relu());
    builder.output("y", x.relu());
    builder.output("y", x.tanh());
    let layers = builder.finish().expect_err("eight lines are wrong");

    let builder = Builder::new("silent", &random);
    builder.input("x", text(shape!["batch"]));
    let silent = builder.finish().expect_err("it has no output");
    snapshot("errors", "mistakes_in_layers", &[misspelled, layers, silent].map(|error| error.to_string()).join("\n"));
}

/// A value is of one graph: in another one, its number would be that of another node.
#[test]
fn values_of_two_builders() {
    let weights = Weights::Random { seed: 0 };
    let ty = || TensorType::new(ElementType::F32, shape!["batch", 64]);
    let (one, two) = (Builder::new("one", &weights), Builder::new("two", &weights));
    let (x, y) = (one.input("x", ty()), two.input("y", ty()).relu());
    let sum = x + y;
    assert_eq!(sum.shape(), None);
    one.output("y", y);
    two.output("y", sum);
    let errors = [one, two].map(|builder| builder.finish().expect_err("the values of two graphs meet").to_string());
    snapshot("errors", "values_of_two_builders", &errors.join("\n"));
}
