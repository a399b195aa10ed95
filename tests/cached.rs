//! Decoders that are given a KV cache: steps compute in tract what the model computes for all tokens at once, and models
//! for which that is not known are refused with the reason.

mod common;

use common::snapshot;
use netwright::evaluate::Tract;
use netwright::ir::{Bindings, Detail, ElementType, Model, Op, Symbol, Value, parse};
use netwright::nn::PretrainedOptions;
use netwright::onnx::{self, ReadOptions};
use netwright::passes::{self, Options, PassError, Target, diff};
use netwright::surgery::{rename_dims, unroll_cache};
use netwright::verify::{Array, ModelFile, Options as VerifyOptions, Session, Verdict, verify_models};
use std::path::Path;

/// Exports without a past in `tests/interop/models`.
const EXPORTS: [&str; 8] = [
    "gpt2.dynamo",
    "gpt2.legacy",
    "marian_decoder.dynamo",
    "marian_decoder.legacy",
    "t5_decoder.dynamo",
    "t5_decoder.legacy",
    "whisper_decoder.dynamo",
    "whisper_decoder.legacy",
];

/// Folders of `tests/families` whose decoders are built without a past.
const BUILT: [&str; 12] = [
    "bloom",
    "falcon",
    "gemma2",
    "gpt2",
    "gpt_neox",
    "gptj",
    "llama_yarn",
    "mistral",
    "olmo2",
    "opt",
    "qwen2",
    "qwen3",
];

/// The number of states of an encoder.
const ENCODED: usize = 5;

/// The size of the batch, and the number of tokens of each step.
const RUNS: [(usize, &[usize]); 2] = [(1, &[4, 1, 1]), (3, &[3, 1, 2])];

fn exported(name: &str) -> Model {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/interop/models").join(format!("{name}.onnx"));
    onnx::read(path, &ReadOptions::default()).unwrap_or_else(|error| panic!("{name}: {error}"))
}

fn built(name: &str) -> Model {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/families").join(name);
    Model::new(common::built(&path, &PretrainedOptions::default()))
}

fn options(target: Target) -> Options {
    Options::for_target(target).with_add_cache(true).with_evaluator(Tract)
}

/// Loads a model, for fixed sizes if they are given.
fn session(name: &str, model: &Model, sizes: Option<Bindings>) -> Session {
    let mut model = model.clone();
    passes::lower(&mut model, &Target::TRACT, true).unwrap_or_else(|error| panic!("{name}: {error}"));
    let bytes = onnx::to_bytes(&model).unwrap_or_else(|error| panic!("{name}: {error}"));
    let file = ModelFile::from_bytes(name, &bytes).unwrap_or_else(|error| panic!("{name}: {error}"));
    sizes
        .map_or_else(|| Session::new(&file), |sizes| Session::for_sizes(&file, &sizes))
        .unwrap_or_else(|error| panic!("{name}: {error}"))
}

/// Returns numbers that look random: those of a generator with this seed.
fn numbers(count: usize, seed: u64) -> impl Iterator<Item = u64> {
    let next =
        |state: &u64| Some(state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407));
    std::iter::successors(Some(seed), next).skip(8).map(|state| state >> 33).take(count)
}

fn signed(number: usize) -> i64 {
    i64::try_from(number).expect("a small number")
}

/// Returns an input for all tokens. The first token of the last sample is padding.
fn input(name: &str, element: ElementType, shape: &[usize], seed: u64) -> Array {
    let count = shape.iter().product();
    let array = match element {
        ElementType::I64 if name.contains("mask") => {
            let is_padding = |at: usize| !name.contains("encoder") && shape[0] > 1 && at == (shape[0] - 1) * shape[1];
            Array::new(shape, (0..count).map(|at| i64::from(!is_padding(at))).collect::<Vec<_>>())
        }
        ElementType::I64 if name.contains("position") => {
            Array::new(shape, (0..count).map(|at| signed(at % shape[1])).collect::<Vec<_>>())
        }
        ElementType::I64 => {
            Array::new(shape, numbers(count, seed).map(|number| signed(3 + (number % 24) as usize)).collect::<Vec<_>>())
        }
        _ => Array::new(
            shape,
            numbers(count, seed).map(|number| (number % 200) as f32 / 100.0 - 1.0).collect::<Vec<_>>(),
        ),
    };
    array.expect("as many elements as the shape says")
}

/// Returns the part of an array along its second axis.
fn part(array: &Array, from: usize, to: usize) -> Array {
    let [first, second, rest @ ..] = array.shape() else { panic!("an axis of tokens") };
    let width: usize = rest.iter().product();
    let places = (0..*first).flat_map(|row| (row * second + from) * width..(row * second + to) * width);
    let shape: Vec<usize> = [*first, to - from].into_iter().chain(rest.iter().copied()).collect();
    let array = match (array.values::<f32>(), array.values::<i64>()) {
        (Some(floats), _) => Array::new(shape, places.map(|at| floats[at]).collect::<Vec<_>>()),
        (_, Some(integers)) => Array::new(shape, places.map(|at| integers[at]).collect::<Vec<_>>()),
        _ => panic!("an array of {}", array.element()),
    };
    array.expect("as many elements as the shape says")
}

/// Returns the greatest difference between the elements of tokens that are not padding.
fn difference(one: &Array, other: &Array, is_padding: impl Fn(usize, usize) -> bool) -> f64 {
    assert_eq!(one.shape(), other.shape());
    let [_, tokens, rest @ ..] = one.shape() else { panic!("an axis of tokens") };
    let width: usize = rest.iter().product();
    let (one, other) = (one.any().floats().expect("floats"), other.any().floats().expect("floats"));
    let pairs = one.iter().zip(&other).enumerate();
    let apart = pairs.filter(|(at, _)| !is_padding(at / width / tokens, at / width % tokens));
    apart.map(|(_, (one, other))| (one - other).abs()).fold(0.0, f64::max)
}

/// Checks that steps with a cache equal one pass without it, and that another past changes the result.
fn check(name: &str, model: &Model) {
    let mut cached = model.clone();
    let report =
        passes::optimize(&mut cached, &options(Target::TRACT)).unwrap_or_else(|error| panic!("{name}: {error}"));
    assert!(report.applied.iter().any(|event| event.pass == "add-kv-cache"), "{name}");
    let stepwise = session(name, &cached, None);
    for (seed, (batch, steps)) in (1..).zip(RUNS) {
        let length: usize = steps.iter().sum();
        // tract does not load all exports with symbolic sizes.
        let sizes =
            [("batch", batch), ("batch_size", batch), ("seq", length), ("sequence_length", length), ("enc", ENCODED)];
        let sizes = sizes.map(|(name, size)| (Symbol::new(name), signed(size)));
        let plain = session(name, model, Some(sizes.into()));
        let inputs = plain.inputs().iter().map(|port| {
            let ty = port.ty.as_ref().expect("a type");
            let size = |(axis, dim): (usize, &netwright::ir::Dim)| match dim.known() {
                Some(known) => usize::try_from(known).expect("a size"),
                None if axis == 0 => batch,
                None if port.name.starts_with("encoder") => ENCODED,
                None => length,
            };
            let shape: Vec<usize> = ty.shape.as_ref().expect("a shape").iter().enumerate().map(size).collect();
            (port.name.clone(), input(&port.name, ty.element, &shape, seed))
        });
        let inputs: Vec<(String, Array)> = inputs.collect();
        let borrowed = |inputs: &[(String, Array)], session: &Session| {
            let inputs: Vec<(&str, &Array)> = inputs.iter().map(|(name, array)| (name.as_str(), array)).collect();
            session.run(&inputs).unwrap_or_else(|error| panic!("{name}: {error}"))
        };
        let expected = borrowed(&inputs, &plain).remove(0).1;
        let has_mask = inputs.iter().any(|(name, _)| name == "attention_mask");
        let mut past: Vec<(String, Array)> = vec![];
        for port in stepwise.inputs().iter().filter(|port| port.name.starts_with("past_key_values")) {
            let ty = port.ty.as_ref().expect("a type");
            let sizes = ty.shape.as_ref().expect("a shape").iter().enumerate();
            let shape: Vec<usize> = sizes
                .map(|(axis, dim)| match dim.known() {
                    Some(known) => usize::try_from(known).expect("a size"),
                    None => {
                        if axis == 0 {
                            batch
                        } else {
                            0
                        }
                    }
                })
                .collect();
            past.push((port.name.clone(), Array::zeros(ty.element, shape).expect("zeros")));
        }
        let mut done = 0;
        for count in steps {
            let to = done + count;
            let mut given = past.clone();
            for (name, array) in &inputs {
                let is_whole = name.starts_with("encoder");
                let from = if name.contains("mask") { 0 } else { done };
                given.push((name.clone(), if is_whole { array.clone() } else { part(array, from, to) }));
            }
            let outputs = borrowed(&given, &stepwise);
            let is_padding = |row: usize, token: usize| has_mask && batch > 1 && row + 1 == batch && done + token == 0;
            let (wanted, logits) = (part(&expected, done, to), &outputs[0].1);
            let apart = difference(&wanted, logits, is_padding);
            assert!(apart < 1e-5, "{name}, batch {batch}: {apart} after {done} tokens");
            if done > 0 {
                // The values of the past are read.
                let other: Vec<(String, Array)> = given
                    .iter()
                    .map(|(name, array)| match array.values::<f32>() {
                        Some(floats) if name.starts_with("past") && name.ends_with("value") => {
                            let floats: Vec<f32> = floats.iter().map(|float| -float).collect();
                            (name.clone(), Array::new(array.shape(), floats).expect("the same shape"))
                        }
                        _ => (name.clone(), array.clone()),
                    })
                    .collect();
                let felt = difference(&borrowed(&other, &stepwise)[0].1, logits, |_, _| false);
                assert!(felt > 1e-4, "{name}: another past changes the result by {felt}");
            }
            past = outputs
                .into_iter()
                .filter_map(|(name, array)| Some((format!("past_key_values{}", name.strip_prefix("present")?), array)))
                .collect();
            done = to;
        }
    }
}

#[test]
fn steps_of_exports_equal_one_pass() {
    for name in EXPORTS {
        check(name, &exported(name));
    }
}

#[test]
fn steps_of_built_decoders_equal_one_pass() {
    for name in BUILT {
        check(name, &built(name));
    }
}

/// A decoder of one layer, in which the lines of `body` define `%mask`, and those of `after` the output `%y`.
fn decoder(body: &str, after: &str) -> Model {
    let text = format!(
        "decoder(%input_ids: i64[batch, seq], %attention_mask: i64[batch, seq]) {{
  %ids = unsqueeze %input_ids, [2] : i64[batch, seq, 1]
  %float_ids = cast %ids {{to = f32}} : f32[batch, seq, 1]
  %angles = mul %float_ids, [0.3, 0.7, 1.1, 1.9] : f32[batch, seq, 4]
  %x = sin %angles : f32[batch, seq, 4]
  %heads = reshape %x, [0, 0, 2, 2] : f32[batch, seq, 2, 2]
  %q = transpose %heads {{perm = [0, 2, 1, 3]}} : f32[batch, 2, seq, 2]
  %twice = mul %x, 2.0 : f32[batch, seq, 4]
  %value_heads = reshape %twice, [0, 0, 2, 2] : f32[batch, seq, 2, 2]
  %v = transpose %value_heads {{perm = [0, 2, 1, 3]}} : f32[batch, 2, seq, 2]
  %k = transpose %heads {{perm = [0, 2, 3, 1]}} : f32[batch, 2, 2, seq]
  %size = shape %input_ids {{start = 1}} : i64[1]
  %length = squeeze %size : i64[]
  %keys = range 0, %length, 1 : i64[seq]
  %queries = unsqueeze %keys, [1] : i64[seq, 1]
{body}
  %scores = matmul %q, %k : f32[batch, 2, seq, seq]
  %masked = add %scores, %mask : f32[batch, 2, seq, seq]
  %weights = softmax %masked {{axis = -1}} : f32[batch, 2, seq, seq]
  %attended = matmul %weights, %v : f32[batch, 2, seq, 2]
  %rows = transpose %attended {{perm = [0, 2, 1, 3]}} : f32[batch, seq, 2, 2]
  %merged = reshape %rows, [0, 0, 4] : f32[batch, seq, 4]
{after}
  return %y
}}"
    );
    Model::new(parse(&text).unwrap_or_else(|error| panic!("{error} in\n{text}")))
}

const CAUSAL: &str = "  %is_seen = less_or_equal %keys, %queries : bool[seq, seq]
  %mask = where %is_seen, 0.0, -1e30 : f32[seq, seq]";

const PLAIN: &str = "  %y = tanh %merged : f32[batch, seq, 4]";

#[test]
fn a_cache_is_added() {
    let model = decoder(CAUSAL, PLAIN);
    let mut cached = model.clone();
    passes::optimize(&mut cached, &options(Target::ONNX)).unwrap_or_else(|error| panic!("{error}"));
    let (before, after) = (model.graph.to_text(Detail::Full), cached.graph.to_text(Detail::Full));
    snapshot("passes", "add_kv_cache", &diff(&before, &after));
}

#[test]
fn masks_are_proven_causal() {
    for body in [
        CAUSAL,
        // A window of two tokens.
        "  %first = sub %queries, 2 : i64[seq, 1]
  %is_near = greater %keys, %first : bool[seq, seq]
  %is_seen = less_or_equal %keys, %queries : bool[seq, seq]
  %both = and %is_near, %is_seen : bool[seq, seq]
  %mask = where %both, 0.0, -inf : f32[seq, seq]",
        // A triangle of ones.
        "  %square = concat %size, %size {axis = 0} : i64[2]
  %ones = constant_of_shape %square {value = tensor(f32[1] [1.0])} : f32[seq, seq]
  %lower = trilu %ones {upper = false} : f32[seq, seq]
  %is_hidden = equal %lower, 0.0 : bool[seq, seq]
  %mask = where %is_hidden, -1e30, 0.0 : f32[seq, seq]",
        // A triangle of minus infinity.
        "  %square = concat %size, %size {axis = 0} : i64[2]
  %lowest = constant_of_shape %square {value = tensor(f32[1] [-inf])} : f32[seq, seq]
  %mask = trilu %lowest, 1 : f32[seq, seq]",
        // Distances, with a bias for each of them.
        "  %float_keys = cast %keys {to = f32} : f32[seq]
  %float_queries = cast %queries {to = f32} : f32[seq, 1]
  %distance = sub %float_keys, %float_queries : f32[seq, seq]
  %later = relu %distance : f32[seq, seq]
  %is_later = min %later, 1.0 : f32[seq, seq]
  %hidden = mul %is_later, -1e30 : f32[seq, seq]
  %bias = mul %distance, 0.25 : f32[seq, seq]
  %mask = add %bias, %hidden : f32[seq, seq]",
    ] {
        check(body, &decoder(body, PLAIN));
    }
}

/// Returns a decoder that returns its keys and values of all tokens, and takes none.
fn returning(keys: &str, values: &str) -> Model {
    let mut model = decoder(CAUSAL, PLAIN);
    let find = |name: &str| {
        let mut values = model.graph.schedule().into_iter().map(|node| Value { node, result: 0 });
        values.find(|value| **model.graph.value_name(*value) == *name).expect("a value")
    };
    let (heads, values) = (find(keys), find(values));
    let turned = model.graph.append("returned", Op::Transpose { perm: vec![0, 2, 1, 3] }, &[heads]).expect("heads");
    model.graph.output("present.0.key", turned);
    model.graph.output("present.0.value", values);
    model
}

#[test]
fn a_cache_that_is_returned_already_gets_its_inputs() {
    let model = returning("heads", "v");
    let mut cached = model.clone();
    passes::optimize(&mut cached, &options(Target::ONNX)).unwrap_or_else(|error| panic!("{error}"));
    let outputs: Vec<&str> = cached.graph.outputs().iter().map(|output| &*output.name).collect();
    assert_eq!(outputs, ["y", "present.0.key", "present.0.value"]);
    let inputs: Vec<&str> = cached.graph.inputs().map(|input| &**cached.graph.value_name(input)).collect();
    assert_eq!(inputs[2..], ["past_key_values.0.key", "past_key_values.0.value"]);
    check("a decoder that returns its cache", &model);
    // Values that attention does not use are no cache.
    let text = refusal(&returning("heads", "k"));
    assert!(text.contains("the output `present.0.value` is not what this model would return as a cache"), "{text}");
    assert!(text.contains("help: leave it out"), "{text}");
}

/// Compares a decoder with its form with a cache, in steps.
fn judged(name: &str, plain: &Model, cached: &Model) -> Verdict {
    let unrolled = unroll_cache(plain, cached).unwrap_or_else(|error| panic!("{name}: {error}"));
    assert_eq!(unrolled.left_out, Vec::<netwright::ir::Name>::new(), "{name}");
    let [whole, steps] = [unrolled.whole, unrolled.steps].map(|mut model| {
        passes::lower(&mut model, &Target::TRACT, true).unwrap_or_else(|error| panic!("{name}: {error}"));
        let bytes = onnx::to_bytes(&model).unwrap_or_else(|error| panic!("{name}: {error}"));
        ModelFile::from_bytes(name, &bytes).unwrap_or_else(|error| panic!("{name}: {error}"))
    });
    verify_models(&whole, Some(&steps), &VerifyOptions::default()).unwrap_or_else(|error| panic!("{name}: {error}"))
}

#[test]
fn connected_steps_are_judged() {
    let mut named = decoder(CAUSAL, PLAIN);
    rename_dims(&mut named, &[("batch", "prompt_length")]).expect("the batch is renamed");
    // The mask is a part of a buffer, as in GPT-2, and hides padding.
    let buffer = "  %ones = constant_of_shape [16, 16] {value = tensor(f32[1] [1.0])} : f32[16, 16]
  %lower = trilu %ones {upper = false} : f32[16, 16]
  %buffer = cast %lower {to = bool} : bool[16, 16]
  %square = concat %size, %size {axis = 0} : i64[2]
  %is_earlier = slice %buffer, [0, 0], %square, [0, 1] : bool[min(16, seq), min(16, seq)]
  %is_token_row = cast %attention_mask {to = bool} : bool[batch, seq]
  %is_token = unsqueeze %is_token_row, [1, 2] : bool[batch, 1, 1, seq]
  %is_seen = and %is_token, %is_earlier : bool[batch, 1, min(16, seq), seq]
  %mask = where %is_seen, 0.0, -1e9 : f32[batch, 1, min(16, seq), seq]";
    let models = [
        ("text", decoder(CAUSAL, PLAIN)),
        ("a mask of a buffer", decoder(buffer, PLAIN)),
        ("a batch of the name of the prompt", named),
        ("returning", returning("heads", "v")),
        ("gpt2.legacy", exported("gpt2.legacy")),
        ("whisper_decoder.dynamo", exported("whisper_decoder.dynamo")),
    ];
    for (name, plain) in models {
        let mut cached = plain.clone();
        passes::optimize(&mut cached, &options(Target::TRACT)).unwrap_or_else(|error| panic!("{name}: {error}"));
        let verdict = judged(name, &plain, &cached);
        assert!(matches!(verdict, Verdict::Equal { .. }), "{name}: {verdict}");
    }
}

/// A cache whose keys are stored as the values is right in the first pass, and wrong in the steps.
#[test]
fn a_wrong_cache_is_detected() {
    let plain = decoder(CAUSAL, PLAIN);
    let mut cached = plain.clone();
    passes::optimize(&mut cached, &options(Target::ONNX)).unwrap_or_else(|error| panic!("{error}"));
    let outputs = cached.graph.outputs().to_vec();
    let place = |name: &str| outputs.iter().position(|output| *output.name == *name).expect("an output");
    let (keys, values) = (place("present.0.key"), place("present.0.value"));
    cached.graph.set_output(keys, outputs[values].value);
    cached.graph.set_output(values, outputs[keys].value);
    let verdict = judged("a wrong cache", &plain, &cached);
    let Verdict::Differs { run, .. } = &verdict else { panic!("{verdict}") };
    let differs: Vec<&str> =
        run.outputs.iter().filter(|one| one.difference.is_some()).map(|one| one.output.as_str()).collect();
    assert_eq!(differs, ["y"], "the first pass, `y.at_once`, is right");
    // The plain decoder has no past.
    let error = unroll_cache(&plain, &plain).expect_err("there is no cache").to_string();
    assert!(error.contains("the KV cache cannot be verified in steps"), "{error}");
}

/// A decoder may return the last token alone, with or without an axis for it.
#[test]
fn the_last_token_is_computed_in_steps() {
    let head =
        "  %h = tanh %last : ?\n  %w = parameter uniform(seed = 1, bound = 0.5) : f32[4, 6]\n  %y = matmul %h, %w : ?";
    for (name, last) in [
        ("slice", "  %last = slice %merged, [-1], [9223372036854775807], [1] : ?\n"),
        ("gather", "  %last = gather %merged, -1 {axis = 1} : ?\n"),
    ] {
        let plain = decoder(CAUSAL, &(last.to_owned() + head));
        let mut cached = plain.clone();
        passes::optimize(&mut cached, &options(Target::ONNX)).unwrap_or_else(|error| panic!("{error}"));
        let verdict = judged(name, &plain, &cached);
        assert!(matches!(&verdict, Verdict::Equal { .. }), "{name}: {verdict}");
    }
}

#[test]
fn the_greatest_logit_of_each_token_is_computed_in_steps() {
    for (keepdims, shape) in [(false, "[batch, seq]"), (true, "[batch, seq, 1]")] {
        let after = format!(
            "  %token = arg_max %merged {{axis = -1, keepdims = {keepdims}, select_last_index = false}} : i64{shape}
  %y = cast %token {{to = f32}} : f32{shape}"
        );
        check(&after, &decoder(CAUSAL, &after));
    }
}

fn refusal(model: &Model) -> String {
    match passes::optimize(&mut model.clone(), &options(Target::ONNX)) {
        Err(PassError::NoCache { what, help }) => format!("{what}\n  help: {help}"),
        Err(error) => panic!("{error}"),
        Ok(_) => "a cache is added".to_owned(),
    }
}

#[test]
fn what_is_not_computed_step_by_step_is_refused() {
    let masks = [
        ("attends_in_both_directions", "  %mask = where %is_padded, 0.0, -1e30 : f32[batch, 1, 1, seq]"),
        (
            "attends_to_the_next_token",
            "  %next = add %queries, 1 : i64[seq, 1]
  %is_seen = less_or_equal %keys, %next : bool[seq, seq]
  %mask = where %is_seen, 0.0, -1e30 : f32[seq, seq]",
        ),
        (
            "attends_to_later_tokens_alone",
            "  %is_seen = greater_or_equal %keys, %queries : bool[seq, seq]
  %mask = where %is_seen, 0.0, -1e30 : f32[seq, seq]",
        ),
        (
            "hides_too_little",
            "  %is_seen = less_or_equal %keys, %queries : bool[seq, seq]
  %mask = where %is_seen, 0.0, -5.0 : f32[seq, seq]",
        ),
        (
            "sees_padding_everywhere",
            "  %is_causal = less_or_equal %keys, %queries : bool[seq, seq]
  %is_seen = or %is_causal, %is_padded : bool[batch, 1, seq, seq]
  %mask = where %is_seen, 0.0, -1e30 : f32[batch, 1, seq, seq]",
        ),
        (
            "hides_each_token_from_itself",
            "  %is_seen = less %keys, %queries : bool[seq, seq]
  %mask = where %is_seen, 0.0, -1e9 : f32[seq, seq]",
        ),
        (
            "hides_each_token_from_itself_by_a_triangle",
            "  %square = concat %size, %size {axis = 0} : i64[2]
  %ones = constant_of_shape %square {value = tensor(f32[1] [1.0])} : f32[seq, seq]
  %seen = trilu %ones, -1 {upper = false} : f32[seq, seq]
  %is_hidden = equal %seen, 0.0 : bool[seq, seq]
  %mask = where %is_hidden, -1e30, 0.0 : f32[seq, seq]",
        ),
        (
            "hides_each_token_from_itself_by_a_triangle_of_fills",
            "  %square = concat %size, %size {axis = 0} : i64[2]
  %lowest = constant_of_shape %square {value = tensor(f32[1] [-1e30])} : f32[seq, seq]
  %mask = trilu %lowest, 0 : f32[seq, seq]",
        ),
        (
            "counts_from_the_end",
            "  %is_seen = less_or_equal %keys, %queries : bool[seq, seq]
  %hidden = where %is_seen, 0.0, -1e30 : f32[seq, seq]
  %left = sub %length, %keys : i64[seq]
  %float_left = cast %left {to = f32} : f32[seq]
  %mask = add %hidden, %float_left : f32[seq, seq]",
        ),
        (
            "reads_the_number_of_tokens_of_padding",
            "  %is_seen = less_or_equal %keys, %queries : bool[seq, seq]
  %hidden = where %is_seen, 0.0, -1e30 : f32[seq, seq]
  %count = reduce_sum %attention_mask, [1] : i64[batch, 1]
  %float_count = cast %count {to = f32} : f32[batch, 1]
  %each = unsqueeze %float_count, [1, 2] : f32[batch, 1, 1, 1]
  %mask = add %hidden, %each : f32[batch, 1, seq, seq]",
        ),
    ];
    let padded = "  %is_padded_row = cast %attention_mask {to = bool} : bool[batch, seq]
  %is_padded = unsqueeze %is_padded_row, [1, 2] : bool[batch, 1, 1, seq]
";
    let ends = [
        ("sums_up_tokens", "  %y = cum_sum %merged, 1 : f32[batch, seq, 4]"),
        (
            "mean_of_tokens",
            "  %mean = reduce_mean %merged, [1] : f32[batch, 1, 4]
  %y = sub %merged, %mean : f32[batch, seq, 4]",
        ),
        (
            "greatest_token",
            "  %y = arg_max %merged {axis = 1, keepdims = false, select_last_index = false} : i64[batch, 4]",
        ),
        ("softmax_over_tokens", "  %y = softmax %merged {axis = 1} : f32[batch, seq, 4]"),
        ("tokens_in_reverse", "  %y = slice %merged, [-1], [-9223372036854775807], [1], [-1] : f32[batch, seq, 4]"),
        (
            "product_of_all_tokens",
            "  %turned = transpose %merged {perm = [0, 2, 1]} : f32[batch, 4, seq]
  %product = matmul %turned, %merged : f32[batch, 4, 4]
  %y = matmul %merged, %product : f32[batch, seq, 4]",
        ),
        (
            "scaled_by_the_number_of_tokens",
            "  %count = cast %length {to = f32} : f32[]
  %y = div %merged, %count : f32[batch, seq, 4]",
        ),
        ("the_last_two_tokens", "  %y = slice %merged, [-2], [9223372036854775807], [1] : ?"),
        (
            "the_tokens_before",
            "  %before = slice %merged, [0], [-1], [1] : f32[batch, seq + -1, 4]
  %first = slice %merged, [0], [1], [1] : f32[batch, ?, 4]
  %y = concat %first, %before {axis = 1} : ?",
        ),
    ];
    let masks = masks.map(|(name, mask)| (name, decoder(&format!("{padded}{mask}"), PLAIN)));
    let ends = ends.map(|(name, end)| (name, decoder(CAUSAL, end)));
    let exports = ["bert.legacy", "gpt2_past.legacy", "transformer.legacy", "t5_encoder.dynamo"];
    let exports = exports.map(|name| (name, exported(name)));
    // Its rotary embedding depends on the number of tokens.
    let built = [("phi3", built("phi3"))];
    let cases = masks.into_iter().chain(ends).chain(exports).chain(built);
    let text: String = cases.map(|(name, model)| name.to_owned() + ": " + &refusal(&model) + "\n").collect();
    assert!(!text.contains("a cache is added"), "{text}");
    snapshot("passes", "add_kv_cache.refused", &text);
}

/// Returns a decoder whose past grows, and the same one with buffers.
fn growing_and_shared(name: &str) -> [Model; 2] {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/families").join(name);
    let growing = Model::new(common::built(&path, &PretrainedOptions::default().with_past(true)));
    let mut shared = growing.clone();
    let options = Options::for_target(Target::ORT).with_share_cache(true).with_evaluator(Tract);
    passes::optimize(&mut shared, &options).unwrap_or_else(|error| panic!("{name}: {error}"));
    [growing, shared]
}

/// Compares two forms of a cache in steps, in tract, which has no operator for buffers.
fn compare_in_steps(name: &str, growing: &Model, shared: &Model) -> Verdict {
    let unrolled = unroll_cache(growing, shared).unwrap_or_else(|error| panic!("{name}: {error}"));
    assert!(unrolled.left_out.is_empty(), "{name}: {:?}", unrolled.left_out);
    let files = [("growing.onnx", unrolled.whole), ("shared.onnx", unrolled.steps)].map(|(file, mut model)| {
        let standard = Options::for_target(Target::TRACT).with_only(["standardize-contrib-operators"]);
        passes::optimize(&mut model, &standard).unwrap_or_else(|error| panic!("{name}: {error}"));
        let bytes = onnx::to_bytes(&model).unwrap_or_else(|error| panic!("{name}: {error}"));
        ModelFile::from_bytes(file, &bytes).unwrap_or_else(|error| panic!("{name}: {error}"))
    });
    let [growing, shared] = &files;
    verify_models(growing, Some(shared), &VerifyOptions::default()).unwrap_or_else(|error| panic!("{name}: {error}"))
}

#[test]
fn steps_with_buffers_equal_steps_with_a_past_that_grows() {
    for name in ["gpt2", "llama", "qwen2"] {
        let [growing, mut shared] = growing_and_shared(name);
        let verdict = compare_in_steps(name, &growing, &shared);
        assert!(matches!(verdict, Verdict::Equal { .. }), "{name}: {verdict}");

        // The place of the last token is wrong.
        let is_last = |value: &Value| shared.graph.value_name(*value).ends_with(".last");
        let last = shared.graph.schedule().into_iter().map(|node| Value { node, result: 0 }).find(is_last);
        shared.graph.set_op(last.expect("the place of the last token").node, Op::Add);
        let verdict = compare_in_steps(name, &growing, &shared);
        assert!(matches!(verdict, Verdict::Differs { .. }), "{name}: {verdict}");
    }
}

#[test]
fn models_with_other_caches_are_not_compared() {
    let [growing, shared] = growing_and_shared("gpt2");
    for (growing, shared) in [(&growing, &growing), (&shared, &growing)] {
        let refused = unroll_cache(growing, shared).map(|_| ()).expect_err("they are not a pair").to_string();
        assert!(refused.contains("the KV cache cannot be verified in steps"), "{refused}");
    }
}
