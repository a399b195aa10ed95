//! Tests of all passes together.

use super::{check_pass, lines, run};
use crate::common::{small, snapshot};
use netwright::evaluate::Tract;
use netwright::ir::nearest::suggestion;
use netwright::ir::{Detail, ElementType, Fact, Graph, Model, Op, OpKind, Tensor, TensorType, check, parse, shape};
use netwright::nn::{Builder, EncoderLayer, Part, Transformer, Weights};
use netwright::passes::{Exactness, Limits, Log, Options, Pass, Report, Target, diff, lower, optimize, passes};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

fn encoder_layer() -> Graph {
    let weights = Weights::Random { seed: 0 };
    let builder = Builder::new("encoder_layer", &weights);
    let x = builder.input("x", TensorType::new(ElementType::F32, shape!["batch", "seq", 16]));
    let mask = builder.input("mask", TensorType::new(ElementType::F32, shape!["batch", 1, 1, "seq"]));
    builder.output("y", EncoderLayer::new("layer", &small()).forward(x, Some(mask)));
    builder.finish().unwrap_or_else(|errors| panic!("{errors}"))
}

/// Returns an encoder and decoder with three attentions, one of them with two masks.
fn transformer() -> Model {
    let transformer = Transformer::new(&small()).expect("the configuration is sound");
    let graph = transformer.build(Part::Whole, &Weights::Random { seed: 0 }, true);
    Model::new(graph.unwrap_or_else(|errors| panic!("{errors}")))
}

fn optimized(mut model: Model, target: Target) -> (Model, Report) {
    let report = optimize(&mut model, &Options::for_target(target));
    let report = report.unwrap_or_else(|error| panic!("{error}"));
    check(&model.graph).unwrap_or_else(|violations| panic!("{violations}"));
    (model, report)
}

/// Checks the diff of each pass on layers that the DSL declares.
#[test]
fn encoder_layer_pass_by_pass() {
    let mut graph = encoder_layer();
    for name in ["fuse-scale-softmax", "fold-constants", "fold-scale-into-projection", "canonicalize"] {
        check_pass("encoder_layer", name, &graph);
        run(name, &mut graph);
    }
}

/// Checks the optimized graph and the report for each target.
#[test]
fn encoder_layer_for_each_target() {
    for target in Target::ALL {
        let before = encoder_layer();
        let (model, report) = optimized(Model::new(before.clone()), target);
        let text = diff(&before.to_string(), &model.graph.to_string());
        let explained = lines("applied", &report.applied) + &lines("declined", &report.declined);
        snapshot("passes", &format!("encoder_layer@{}", target.name), &(text + &explained));
    }
}

/// A node that computes a large tensor from a small one stays, because the tensor would make the file larger.
#[test]
fn expressions_of_constants_stay() {
    let mut graph = Graph::new("expressions");
    let x = graph.input("x", TensorType::new(ElementType::F32, shape!["n", 64]));
    let quantized = Tensor::fill_with(ElementType::I8, vec![3], &[64, 64]).expect("an element of a byte");
    let quantized = graph.parameter("w", quantized);
    let [scale, half] = ["scale", "half"].map(|name| graph.constant(name, Tensor::scalar(0.5)));
    let row = graph.constant("row", Tensor::fill(0.25, &[1, 64]).expect("64 elements"));
    let [sizes, times] = [("sizes", [64, 64]), ("times", [64, 1])]
        .map(|(name, numbers)| graph.constant(name, Tensor::indices(&numbers)));
    let dequantize = Op::DequantizeLinear { axis: 1, block_size: 0, output_dtype: None };
    let expressions = [
        ("dequantized", dequantize, vec![quantized, scale]),
        ("expanded", Op::Expand, vec![half, sizes]),
        ("tiled", Op::Tile, vec![row, times]),
        ("filled", Op::ConstantOfShape { value: Tensor::scalar(2.0) }, vec![sizes]),
    ];
    // An operator that broadcasts would not need the nodes that repeat elements.
    let mut parts = vec![x];
    let kinds: Vec<OpKind> = expressions.iter().map(|(_, op, _)| op.kind()).collect();
    for (name, op, operands) in expressions {
        parts.push(graph.append(name, op, &operands).unwrap_or_else(|error| panic!("{error}")));
    }
    let all = graph.append("all", Op::Concat { axis: 0 }, &parts).unwrap_or_else(|error| panic!("{error}"));
    graph.output("y", all);
    let bytes = |graph: &Graph| -> u64 {
        let tensors = graph.schedule().into_iter().filter_map(|id| graph.node(id).op().tensor().map(Tensor::len));
        tensors.sum()
    };
    let mut model = Model::new(graph.clone());
    optimize(&mut model, &Options::default().with_evaluator(Tract)).unwrap_or_else(|error| panic!("{error}"));
    let left: Vec<OpKind> = model.graph.schedule().into_iter().map(|id| model.graph.node(id).op().kind()).collect();
    assert!(kinds.iter().all(|kind| left.contains(kind)), "{}", model.graph);
    assert!(bytes(&model.graph) <= bytes(&graph), "{}", model.graph);
}

/// Returns the text of a graph with tensors first and sorted, as reading a file orders them.
fn tensors_first(graph: &Graph, order: impl Fn(&mut Vec<&str>)) -> String {
    let text = graph.to_text(Detail::Full);
    let is_tensor = |line: &&str| line.contains(" = parameter ") || line.contains(" = constant ");
    let (mut tensors, others): (Vec<_>, Vec<_>) = text.lines().partition(is_tensor);
    order(&mut tensors);
    [&others[..1], &tensors, &others[1..]].concat().join("\n")
}

/// Writing and reading a model before it is optimized does not change the result, and neither does optimizing it twice.
#[test]
fn optimizing_depends_on_the_graph_alone() {
    for target in Target::ALL {
        let (at_once, _) = optimized(transformer(), target);
        let mut unoptimized = transformer();
        lower(&mut unoptimized, &Target::ONNX, true).unwrap_or_else(|error| panic!("{error}"));
        let file = tensors_first(&unoptimized.graph, |tensors| tensors.reverse());
        let (read, _) = optimized(Model::new(parse(&file).unwrap_or_else(|error| panic!("{error}"))), target);
        let (twice, _) = optimized(at_once.clone(), target);
        let sorted = |model: &Model| tensors_first(&model.graph, |tensors| tensors.sort_unstable());
        assert_eq!(diff(&sorted(&at_once), &sorted(&read)), "", "{target}");
        assert_eq!(diff(&sorted(&at_once), &sorted(&twice)), "", "{target}");
    }
}

/// Recognition does not depend on names.
#[test]
fn names_do_not_matter() {
    let counts = |report: &Report| {
        passes().iter().map(|pass| report.applied.iter().filter(|event| event.pass == pass.name).count()).collect()
    };
    let (_, plain) = optimized(transformer(), Target::TRACT);
    let mut scrambled = transformer();
    let nodes = scrambled.graph.schedule();
    let values: Vec<_> = nodes.into_iter().flat_map(|id| scrambled.graph.results(id)).collect();
    for (at, value) in values.into_iter().enumerate() {
        scrambled.graph.rename(value, &format!("v{}", at * 7 % 1000));
    }
    let (model, report) = optimized(scrambled, Target::TRACT);
    let counts: [Vec<usize>; 2] = [counts(&plain), counts(&report)];
    assert_eq!(counts[0], counts[1]);
    assert!(!model.graph.to_string().contains("q_proj"));
}

/// No attention keeps a node for its scale if the target folds it; the products of embeddings stay.
#[test]
fn scales_are_folded_for_runtimes_that_gain_by_it() {
    let products = |target| {
        let (model, report) = optimized(transformer(), target);
        let graph = model.graph;
        let products = graph.schedule().into_iter().filter(|id| graph.node(*id).op().kind() == OpKind::Mul).count();
        (products, report.applied.iter().filter(|event| event.pass == "fold-scale-into-projection").count())
    };
    assert_eq!(Target::ALL.map(products), [(5, 0), (2, 3), (2, 3)]);
}

#[test]
fn options() {
    let applied = |options: &Options| optimize(&mut transformer(), options).map(|report| report.applied.len());
    let names: Vec<&str> = passes().iter().map(|pass| pass.name).collect();
    let cases = [
        (Options::default().with_only(["fold-scale-into-projection"]), Ok(0)),
        // Three fused, and three lowered.
        (Options::default().with_only(["fuse-scale-softmax"]), Ok(6)),
        (Options::default().with_limits(Limits { stop_after: Some(0), check: true }), Ok(0)),
        (
            Options::default().with_skip(["fuse-softmax"]),
            Err("`fuse-softmax` is not a pass\n  help: did you mean `fuse-scale-softmax`?".to_owned()),
        ),
        (
            Options::default().with_skip(["softmax"]),
            Err(format!("`softmax` is not a pass\n  help: {}", suggestion("softmax", &names))),
        ),
        (
            Options::default().with_skip(["lower-scaled-softmax"]),
            Err("the pass `lower-scaled-softmax` cannot be skipped: without it, the model has operators that cannot be \
                 written for the target\n  help: do not skip it"
                .to_owned()),
        ),
        (
            Options::default().with_only(["fuse-attention", "decompose-attention"]),
            Err("`fuse-attention` forms an operator that `decompose-attention` decomposes for opset 21\n  help: name only \
                 one of the two passes, or raise the opset"
                .to_owned()),
        ),
    ];
    for (options, expected) in cases {
        assert_eq!(applied(&options).map_err(|error| error.to_string()), expected, "{options:?}");
    }
}

/// After any number of rewrites, the model is valid, and all rewrites together give the optimized model.
#[test]
fn stop_after_any_number_of_rewrites() {
    let (whole, report) = optimized(transformer(), Target::ORT);
    let stopped = |count| {
        let limits = Limits { stop_after: Some(count), check: true };
        let mut model = transformer();
        let options = Options::for_target(Target::ORT).with_limits(limits);
        let report = optimize(&mut model, &options).unwrap_or_else(|error| panic!("{error}"));
        (model, report)
    };
    for count in 0..report.applied.len() {
        let (model, partial) = stopped(count);
        let lowered = partial.applied.iter().filter(|event| event.pass == "lower-scaled-softmax").count();
        assert_eq!(partial.applied.len() - lowered, count);
        assert_eq!(partial.applied[..count], report.applied[..count]);
        assert!(!model.graph.to_string().contains("scaled_softmax"), "after {count}");
    }
    assert_eq!(stopped(report.applied.len()).0, whole);
}

/// The opset is raised as far as the formed operators require, unless that could change the meaning of an operator.
#[test]
fn the_opset_is_raised_as_far_as_needed() {
    let gelu = "%a = mul %x, 0.70710677 : f32[n]
        %b = erf %a : f32[n]
        %c = add %b, 1.0 : f32[n]
        %d = mul %x, %c : f32[n]
        %y = mul %d, 0.5 : f32[n]";
    let check = |target, raise_opset, body: &str, expected| {
        let graph = parse(&format!("g(%x: f32[n]) {{ {body}\n return %y }}")).unwrap_or_else(|error| panic!("{error}"));
        let mut model = Model::new(graph);
        model.opsets.insert(String::new(), 17);
        let options = Options::for_target(target).with_raise_opset(raise_opset);
        optimize(&mut model, &options).unwrap_or_else(|error| panic!("{error}"));
        assert_eq!(model.opset(), expected, "{target}: {body}");
    };
    for target in Target::ALL {
        check(target, true, gelu, 20);
        check(target, false, gelu, 17);
        check(target, true, "%y = exp %x : f32[n]", 17);
        // An operator without uses does not matter.
        let beside = |before| gelu.replace("%a = mul", &format!("{before} : f32[n]\n%a = mul"));
        check(target, true, &beside("%z = \"::Unheard@17\" %x"), 20);
        let with = |other| {
            let sum = format!("%w = mul %d, 0.5 : f32[n]\n%z = {other} %x : f32[n]\n%y = add %w, %z");
            gelu.replace("%y = mul %d, 0.5", &sum)
        };
        check(target, true, &with("exp"), 20);
        check(target, true, &with("\"::Unheard@17\""), 17);
        // ONNX Runtime has no kernel for the newest version of this one.
        let kept = if target == Target::ORT { 17 } else { 20 };
        check(target, true, &with("random_normal_like"), kept);
        // It has none for this one in f64 either.
        let double = "cast %x {to = f64} : f64[n]\n%v = softplus %z : f64[n]\n%u = cast %v {to = f32}";
        let with_double = with(double).replace("{to = f32} %x", "{to = f32}").replace("add %w, %z", "add %w, %u");
        check(target, true, &with_double, kept);
        check(target, true, &with("softplus"), 20);
    }
}

/// An operator that cannot be decomposed in opset 12, and a normalization that raises the opset.
const DECOMPOSED_LATER: &str = "g(%x: f32[b, s, 8], %mask: i32[b, keys]) {
    %p = mul %x, %x : f32[b, s, 8]
    %m = reduce_mean %p, [-1] : f32[b, s, 1]
    %e = add %m, 1e-5 : f32[b, s, 1]
    %r = sqrt %e : f32[b, s, 1]
    %n = div %x, %r : f32[b, s, 8]
    %w = parameter fill(0.5) : f32[8, 24]
    %c = parameter fill(0.25) : f32[24]
    %y = \"com.microsoft::Attention@1\" %n, %w, %c, %mask {num_heads = 1} : f32[b, s, 8]
    return %y
}";

/// An operator that cannot be decomposed in the opset of the model is decomposed if another operator raises the opset.
#[test]
fn a_raised_opset_decomposes_more_operators() {
    let mut model = Model::new(parse(DECOMPOSED_LATER).unwrap_or_else(|error| panic!("{error}")));
    model.opsets.insert(String::new(), 12);
    let mut run = || {
        let report =
            optimize(&mut model, &Options::for_target(Target::TRACT)).unwrap_or_else(|error| panic!("{error}"));
        (model.opset(), model.graph.to_string(), report.applied.len())
    };
    let (opset, first, _) = run();
    assert!(opset > 12 && !first.contains("com.microsoft"), "opset {opset}:\n{first}");
    assert_eq!(run(), (opset, first, 0));
}

/// If a pass fails on what the raised opset decomposes, the model keeps the operator, as without that attempt.
#[test]
fn a_failure_after_the_opset_is_raised_is_no_failure() {
    const OPERATOR: &str = "com.microsoft::Attention";
    for fails in [false, true] {
        let mut model = Model::new(parse(DECOMPOSED_LATER).unwrap_or_else(|error| panic!("{error}")));
        model.opsets.insert(String::new(), 12);
        let has_stayed = AtomicBool::new(false);
        let lie = move |graph: &mut Graph, log: &mut Log| {
            let has_operator = graph.to_string().contains(OPERATOR);
            if has_operator || !has_stayed.load(Ordering::Relaxed) {
                has_stayed.fetch_or(has_operator, Ordering::Relaxed);
            } else if fails && log.may_apply() {
                graph.set_fact(graph.outputs()[0].value, Fact::tensor(ElementType::F32, shape!["b", "b"]));
                log.applied("y".into(), "lied");
            }
        };
        let pass = Pass::new("lie", "", Exactness::Bits).on_graph(lie).after(&["standardize-contrib-operators"]);
        let mut options = Options::for_target(Target::TRACT);
        options.own.push(Arc::new(pass));
        optimize(&mut model, &options).unwrap_or_else(|error| panic!("{error}"));
        assert_eq!(model.graph.to_string().contains(OPERATOR), fails);
        check(&model.graph).unwrap_or_else(|violations| panic!("{violations}"));
    }
}

/// A long chain of empty paddings, each of a size computed from the one before, vanishes in one run: new facts about a
/// value reach its users at once.
#[test]
fn computed_paddings_vanish() {
    let layer = |at: usize| {
        let next = at + 1;
        format!(
            "%s{at} = shape %x{at} {{start = 2, end = 3}} : i64[1]
             %m{at} = mod %s{at}, [4] : i64[1]
             %c{at} = concat [0, 0], [0], %m{at}, [0, 0, 0, 0] {{axis = 0}} : i64[8]
             %p{at} = reshape %c{at}, [-1, 2] : i64[4, 2]
             %r{at} = slice %p{at}, [-1], [-9223372036854775807], [0], [-1] : i64[4, 2]
             %t{at} = transpose %r{at} {{perm = [1, 0]}} : i64[2, 4]
             %v{at} = reshape %t{at}, [-1] : i64[8]
             %w{at} = pad %x{at}, %v{at} : f32[?, ?, ?, ?]
             %x{next} = relu %w{at} : f32[?, ?, ?, ?]\n"
        )
    };
    let layers: String = (0..40).map(layer).collect();
    let text = format!("g(%x0: f32[b, 8, 8, 3]) {{ {layers} return %x40 }}");
    let model = Model::new(parse(&text).unwrap_or_else(|error| panic!("{error}")));
    let (model, _) = optimized(model, Target::ONNX);
    let kinds: Vec<OpKind> = model.graph.schedule().into_iter().map(|id| model.graph.node(id).op().kind()).collect();
    assert_eq!(kinds.iter().filter(|kind| !kind.is_source()).copied().collect::<Vec<_>>(), [OpKind::Relu; 40]);
}
