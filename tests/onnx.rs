//! What a file holds, in ONNX's own text syntax, and that a file gives back what was written.

mod common;

use common::{small, snapshot};
use netwright::ir::{Detail, ElementType, Graph, Model, Op, Tensor, TensorType, parse, shape};
use netwright::nn::layers::{Activation, NormKind};
use netwright::nn::{Builder, Config, DecoderLayer, EncoderLayer, Var, Weights};
use netwright::onnx::{self, ReadOptions, WriteOptions};
use netwright::passes::{Options, Target, diff, optimize};
use std::path::Path;
use tempfile::TempDir;

fn state<'b>(builder: &'b Builder<'b>, name: &str, length: &str) -> Var<'b> {
    builder.input(name, TensorType::new(ElementType::F32, shape!["batch", length, 16]))
}

fn encoder_layer(config: &Config) -> Graph {
    let weights = Weights::Random { seed: 0 };
    let builder = Builder::new("encoder_layer", &weights);
    let x = state(&builder, "x", "seq");
    let mask = builder.input("mask", TensorType::new(ElementType::F32, shape!["batch", 1, 1, "seq"]));
    builder.output("y", EncoderLayer::new("layer", config).forward(x, Some(mask)));
    builder.finish().unwrap_or_else(|errors| panic!("{errors}"))
}

fn decoder_layer() -> Graph {
    let weights = Weights::Random { seed: 0 };
    let builder = Builder::new("decoder_layer", &weights);
    let (x, memory) = (state(&builder, "x", "target"), state(&builder, "memory", "source"));
    let causal = builder.input("causal", TensorType::new(ElementType::F32, shape!["target", "target"]));
    let padding = builder.input("padding", TensorType::new(ElementType::F32, shape!["batch", 1, 1, "source"]));
    builder.output("y", DecoderLayer::new("layer", &small()).forward(x, memory, Some(causal), Some(padding)));
    builder.finish().unwrap_or_else(|errors| panic!("{errors}"))
}

/// Attention of one head in miniature, as others write it: scores are divided, and masks are added, or there are none.
fn attention(query: &str, masked: &str) -> Graph {
    let text = format!(
        "attention(%x: f32[batch, seq, 4], %mask: f32[batch, 1, seq]) {{
           %query.weight = parameter uniform(seed = 1, bound = 0.5) : f32[4, 4]
           %query = {query} : f32[batch, seq, 4]
           %key = transpose %x {{perm = [0, 2, 1]}} : f32[batch, 4, seq]
           %scores = matmul %query, %key : f32[batch, seq, seq]
           %scaled = div %scores, 2.0 : f32[batch, seq, seq]
           %masked = {masked} : f32[batch, seq, seq]
           %probs = softmax %masked {{axis = -1}} : f32[batch, seq, seq]
           %context = matmul %probs, %x : f32[batch, seq, 4]
           return %context
         }}"
    );
    parse(&text).unwrap_or_else(|error| panic!("{error} in\n{text}"))
}

/// Each model with its name, optimized for a target at an opset.
fn models() -> Vec<(String, Model)> {
    let gelu = Config { activation: Activation::Gelu, ..small() };
    let rms_norm = Config { norm_kind: NormKind::RmsNorm, ..small() };
    let (projected, masked) = ("matmul %x, %query.weight", "add %scaled, %mask");
    let (all, onnx, ort) = (&Target::ALL[..], &[Target::ONNX][..], &[Target::ORT][..]);
    let cases = [
        ("encoder_layer", encoder_layer(&small()), all, 21),
        ("encoder_layer_gelu", encoder_layer(&gelu), onnx, 17),
        ("encoder_layer_gelu", encoder_layer(&gelu), onnx, 21),
        ("encoder_layer_rms_norm", encoder_layer(&rms_norm), onnx, 21),
        ("decoder_layer", decoder_layer(), ort, 21),
        ("attention", attention(projected, masked), all, 21),
        ("attention_without_mask", attention(projected, "identity %scaled"), all, 21),
        ("attention_without_projection", attention("identity %x", masked), ort, 21),
    ];
    let optimized = |graph: &Graph, target: Target, opset| {
        let mut model = Model::new(graph.clone());
        model.opsets.insert(String::new(), opset);
        optimize(&mut model, &Options::for_target(target)).unwrap_or_else(|error| panic!("{error}"));
        model
    };
    let of_case = |(name, graph, targets, opset): &(&str, Graph, &[Target], i64)| {
        let named = |target: &Target| {
            let model = optimized(graph, *target, *opset);
            (format!("{name}@{target}-opset{}", model.opset()), model)
        };
        targets.iter().map(named).collect::<Vec<_>>()
    };
    cases.iter().flat_map(of_case).collect()
}

#[test]
fn what_a_file_holds() {
    for (name, model) in models() {
        let text = onnx::to_text(&model).unwrap_or_else(|error| panic!("{name}: {error}"));
        snapshot("onnx", &name, &text);
    }
}

fn written(model: &Model, path: &Path) -> Vec<u8> {
    onnx::write(model, path, &WriteOptions::default()).unwrap_or_else(|error| panic!("{error}"));
    std::fs::read(path).expect("it was written")
}

/// The text of what a file says of a graph: tensors come first and have their elements, and the values that are put
/// out have the names of the outputs.
fn as_filed(graph: &Graph) -> String {
    let mut graph = graph.clone();
    for output in graph.outputs().to_vec() {
        graph.rename(output.value, &output.name);
    }
    for id in graph.schedule() {
        if let Op::Parameter(tensor) = graph.node(id).op() {
            let bytes = tensor.to_bytes().expect("it is read");
            let tensor = Tensor::from_bytes(tensor.element(), tensor.dims(), bytes).expect("it is the same tensor");
            graph.set_op(id, Op::Parameter(tensor));
        }
    }
    let text = graph.to_text(Detail::Full);
    let (tensors, others): (Vec<_>, Vec<_>) = text.lines().partition(|line| line.contains(" = parameter "));
    [&others[..1], &tensors, &others[1..]].concat().join("\n")
}

/// What is read is what was written, and the same model gives the same bytes.
#[test]
fn files_give_back_what_was_written() {
    for (name, model) in models() {
        let folder = TempDir::new().expect("a folder");
        let [first, second] = ["first.onnx", "second.onnx"].map(|file| folder.path().join(file));
        let bytes = written(&model, &first);
        assert!(written(&model, &second) == bytes, "{name}: written twice");
        let read = onnx::read(&first, &ReadOptions::default()).unwrap_or_else(|error| panic!("{name}: {error}"));
        assert_eq!(diff(&as_filed(&model.graph), &as_filed(&read.graph)), "", "{name}");
        assert_eq!(read.opsets, model.opsets, "{name}");
        assert!(written(&read, &second) == bytes, "{name}: written, read and written");
    }
}
