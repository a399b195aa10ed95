//! Rewrites that are wrong, planted into the pipeline: each is found by bisection, and left out where rewrites are
//! proven. Those of the pipeline itself hold.

use netwright::bisect::{Culprit, bisect};
use netwright::evaluate::Tract;
use netwright::inventory::inventory;
use netwright::ir::{Graph, Model, Op, OpKind, Value, parse};
use netwright::onnx::{self, ReadOptions, WriteOptions};
use netwright::passes::rewrite::{become_op, become_value};
use netwright::passes::{Exactness, Log, Options, Pass, Prover, Report, Skip, Target, optimize};
use netwright::reproduce::{self, reproduce};
use netwright::verify::{self, ModelFile, Session, Verdict, verify_models};
use std::path::{Path, PathBuf};

/// A block of a Transformer as an exporter writes it, with much to clean up.
const BLOCK: &str = "block(%x: f32[batch, seq, 8], %mask: f32[batch, 1, seq], %w: f32[8], %b: f32[8]) {
  %same = identity %x : f32[batch, seq, 8]
  %n = layer_normalization %same, %w, %b {axis = -1, epsilon = 1e-5} : f32[batch, seq, 8]
  %t = transpose %n {perm = [0, 2, 1]} : f32[batch, 8, seq]
  %scores = matmul %n, %t : f32[batch, seq, seq]
  %scaled = div %scores, 4.0 : f32[batch, seq, seq]
  %masked = add %scaled, %mask : f32[batch, seq, seq]
  %probs = softmax %masked {axis = -1} : f32[batch, seq, seq]
  %back = transpose %t {perm = [0, 2, 1]} : f32[batch, seq, 8]
  %out = matmul %probs, %back : f32[batch, seq, 8]
  %half = div %out, 2.0 : f32[batch, seq, 8]
  %rest = sub %x, %half : f32[batch, seq, 8]
  %kept = dropout %rest : f32[batch, seq, 8]
  %y = identity %kept : f32[batch, seq, 8]
  return %y
}";

/// Puts another operator, on some of its operands, in the place of the first of a kind.
fn planted(
    name: &'static str,
    kind: OpKind,
    wrong: impl Fn(&Graph, &Op, &[Value]) -> Option<(Op, Vec<Value>)> + Send + Sync + 'static,
) -> Pass {
    Pass::new(name, "a -> b", Exactness::Rounding).at([kind], move |graph, root| {
        let operands: Vec<Value> = graph.operands(root.node).into_iter().flatten().collect();
        let (op, operands) = wrong(graph, graph.op(root), &operands).ok_or(Skip::NoMatch)?;
        become_op(graph, root, op, &operands, "planted")
    })
}

/// Wrong rewrites, and the value that each changes.
fn wrong_rewrites() -> Vec<(Pass, &'static str)> {
    let drop_mask = planted("drop-mask", OpKind::ScaledSoftmax, |_, op, operands| match operands {
        [x, _] => Some((op.clone(), vec![*x])),
        _ => None,
    });
    let change_epsilon = planted("change-epsilon", OpKind::LayerNormalization, |_, op, operands| match op {
        Op::LayerNormalization { axis, epsilon: 1e-5, stash_type } => {
            let wrong = Op::LayerNormalization { axis: *axis, epsilon: 1e-2, stash_type: *stash_type };
            Some((wrong, operands.to_vec()))
        }
        _ => None,
    });
    let swap_operands = planted("swap-operands", OpKind::Sub, |graph, op, operands| match operands {
        [a, b] if graph.kind(*a) == OpKind::Input => Some((op.clone(), vec![*b, *a])),
        _ => None,
    });
    let wrong_axis = planted("wrong-axis", OpKind::ScaledSoftmax, |_, op, operands| match op {
        Op::ScaledSoftmax { axis: -1, scale } => {
            Some((Op::ScaledSoftmax { axis: -2, scale: *scale }, operands.to_vec()))
        }
        _ => None,
    });
    vec![(drop_mask, "%probs"), (change_epsilon, "%n"), (swap_operands, "%y"), (wrong_axis, "%probs")]
}

fn file(model: &Model) -> ModelFile {
    let mut model = model.clone();
    netwright::passes::lower(&mut model, &netwright::passes::Target::ONNX, true).expect("it is lowered");
    let folder = tempfile::TempDir::new().expect("a folder");
    let path = folder.path().join("model.onnx");
    onnx::write(&model, &path, &WriteOptions::default()).expect("it is written");
    ModelFile::open(&path).expect("it is read")
}

/// What changed the result of the optimized model.
fn culprit(model: &Model, options: &Options) -> Culprit {
    let original = file(model);
    let judge = |model: &Model| {
        let verdict = verify_models(&original, Some(&file(model)), &verify::Options::default())?;
        Ok(match verdict {
            Verdict::NotVerifiable { .. } => None,
            verdict => Some(verdict.is_fine()),
        })
    };
    bisect::<Box<dyn std::error::Error>>(model, options, judge).expect("it is judged")
}

#[test]
fn bisection_finds_the_wrong_rewrite() {
    let model = Model::new(parse(BLOCK).expect("it is well-formed"));
    for (pass, node) in wrong_rewrites() {
        let name = pass.name;
        let options = Options::default().with_own(pass);
        let culprit = culprit(&model, &options).to_string();
        let expected = format!("the rewrite that changed the result: {name} at {node} (rewrite ");
        assert!(culprit.starts_with(&expected) && culprit.ends_with("): planted"), "{culprit}");
    }
}

/// The reproducer is a model of few nodes that computes what it says before the rewrite, and something else after it.
#[test]
fn wrong_rewrites_are_reproduced_by_small_models() {
    let model = Model::new(parse(BLOCK).expect("it is well-formed"));
    {
        for (pass, _) in wrong_rewrites() {
            let name = pass.name;
            let options = Options::default().with_own(pass);
            let found =
                reproduce(&model, &options, &culprit(&model, &options), None).unwrap_or_else(|e| panic!("{name}: {e}"));
            let [before, after] = [&found.before, &found.after].map(|side| {
                let nodes = inventory(side).nodes;
                assert!((1..=5).contains(&nodes), "{name}: {nodes} nodes:\n{}", side.graph);
                ModelFile::from_bytes("side", &onnx::to_bytes(side).expect("it is written")).expect("it is read")
            });
            let verdict = verify_models(&before, Some(&after), &verify::Options::default()).expect("it is judged");
            assert!(matches!(verdict, Verdict::Differs { .. }), "{name}: {verdict}");
            let inputs: Vec<_> = found.inputs.iter().map(|(name, array)| (name.as_str(), array)).collect();
            for (file, outputs) in [(&before, Some(&found.before_outputs)), (&after, found.after_outputs.as_ref())] {
                let computed = Session::new(file).and_then(|session| session.run(&inputs)).expect("it runs");
                assert_eq!(Some(&computed), outputs, "{name}");
            }
            assert!(found.difference.contains(" became "), "{name}: {}", found.difference);
            assert_eq!((found.before_outputs.len(), found.inputs.len() <= 3), (1, true), "{name}");
        }
    }
}

/// Drops what the first relu does, where that is said by the pass and where not.
fn drop_relu() -> Pass {
    Pass::new("drop-relu", "relu a -> a", Exactness::Rounding).at([OpKind::Relu], |graph, root| {
        let operand = graph.operand(root.node, 0).ok_or(Skip::NoMatch)?;
        become_value(graph, root, operand, "planted")
    })
}

fn drop_relu_unseen() -> Pass {
    fn drop(graph: &mut Graph, log: &mut Log) {
        let relu = graph.schedule().into_iter().find(|id| graph.node(*id).op().kind() == OpKind::Relu);
        let Some((relu, operand)) = relu.and_then(|id| Some((id, graph.operand(id, 0)?))) else { return };
        let Some(result) = graph.results(relu).next() else { return };
        if log.may_apply() {
            let name = graph.value_name(result).clone();
            graph.replace(result, operand);
            log.applied(name, "planted");
        }
    }
    Pass::new("drop-relu", "relu a -> a", Exactness::Rounding).on_graph(drop)
}

/// The rewrites of a pass in a graph of relu, as the culprit.
fn dropped_relu(before: &str, pass: Pass) -> (Model, Options, Culprit) {
    let text = format!(
        "g(%x: f32[n, 4]) {{\n%a = sin %x : f32[n, 4]\n%b = {before} %a : f32[n, 4]\n%c = relu %b : f32[n, 4]\n\
         %d = sigmoid %c : f32[n, 4]\n%y = cos %d : f32[n, 4]\nreturn %y\n}}"
    );
    let model = Model::new(parse(&text).expect("it is well-formed"));
    let options = Options::default().with_own(pass);
    let events = optimized(&model, &options).1.applied;
    assert_eq!(events.len(), 1);
    (model, options, Culprit::Rewrites { events, first: 1, of: 1 })
}

/// A pass that does not show what it changed is reproduced from the whole model.
#[test]
fn an_operator_that_was_dropped_is_reproduced() {
    for pass in [drop_relu(), drop_relu_unseen()] {
        let (model, options, culprit) = dropped_relu("neg", pass);
        let found = reproduce(&model, &options, &culprit, None).expect("it is reproduced");
        // Of an input that is an output, a runtime asks for a node between.
        let kinds = [&found.before, &found.after].map(|side| inventory(side).operators.into_keys().collect::<Vec<_>>());
        assert_eq!(kinds, [["Relu"], ["Identity"]], "{}{}", found.before.graph, found.after.graph);
        let [before, after] = [&found.before, &found.after].map(file);
        let verdict = verify_models(&before, Some(&after), &verify::Options::default()).expect("it is judged");
        assert!(matches!(verdict, Verdict::Differs { .. }), "{verdict}");
    }
}

/// A rule may rely on what computes its operands: the result of `exp` is positive.
#[test]
fn a_right_rewrite_is_not_reproduced() {
    let (model, options, culprit) = dropped_relu("exp", drop_relu());
    let found = reproduce(&model, &options, &culprit, None);
    assert!(matches!(found, Err(reproduce::ReproduceError::Equal)), "{found:?}");
    let found = reproduce(&model, &options, &Culprit::AfterRewrites, None);
    assert!(matches!(found, Err(reproduce::ReproduceError::NotARewrite(_))), "{found:?}");
}

fn proving(target: Target, prover: &Prover) -> Options {
    Options::for_target(target).with_prover(prover.clone()).with_evaluator(Tract)
}

fn optimized(model: &Model, options: &Options) -> (Model, Report) {
    let mut model = model.clone();
    let report = optimize(&mut model, options).unwrap_or_else(|error| panic!("{error}"));
    (model, report)
}

/// What is refuted is left out, with the difference and the shapes of the inputs; all else is as without it.
#[test]
fn proving_leaves_out_the_wrong_rewrite() {
    let model = Model::new(parse(BLOCK).expect("it is well-formed"));
    let prover = Prover::new(Tract);
    let (right, report) = optimized(&model, &proving(Target::ONNX, &prover));
    let proven = report.proofs.expect("it was proven");
    assert_eq!((proven.refuted, proven.unproven), (vec![], vec![]));
    for (pass, node) in wrong_rewrites() {
        let name = pass.name;
        let (result, report) = optimized(&model, &proving(Target::ONNX, &prover).with_own(pass));
        let refuted = report.proofs.expect("it was proven").refuted;
        let told: Vec<String> = refuted.iter().map(ToString::to_string).collect();
        assert!(told.len() == 1 && told[0].starts_with(&format!("{name}: {node}: ")), "{told:?}");
        assert!(told[0].contains(" became ") && told[0].contains(", for inputs "), "{told:?}");
        assert_eq!(result.graph, right.graph, "{name}");
    }
}

/// Every rewrite of the exports, for every target: each is proven.
#[test]
#[ignore = "takes minutes without optimization; tests/interop/run.sh runs it with"]
fn rewrites_of_exports_are_proven() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/interop/models");
    let entries = std::fs::read_dir(folder).expect("the folder of models");
    let mut paths: Vec<PathBuf> = entries.map(|entry| entry.expect("an entry").path()).collect();
    paths.retain(|path| path.extension().is_some_and(|extension| extension == "onnx"));
    paths.sort();
    let prover = Prover::new(Tract);
    let (mut proven, mut refuted) = (0, vec![]);
    let mut unproven = vec![];
    for path in &paths {
        let name = path.file_stem().expect("a name").to_string_lossy().into_owned();
        let model = onnx::read(path, &ReadOptions::default()).unwrap_or_else(|error| panic!("{error}"));
        for target in Target::ALL {
            let found = optimized(&model, &proving(target, &prover)).1.proofs.expect("it was proven");
            proven += found.proven;
            refuted.extend(found.refuted.iter().map(|event| format!("{name} for {target}: {event}")));
            unproven.extend(found.unproven.iter().map(|event| format!("{name} for {target}: {event}")));
        }
    }
    assert!(refuted.is_empty(), "{} are refuted:\n{}", refuted.len(), refuted.join("\n"));
    assert!(proven > 10_000, "{proven} rewrites are proven");
    assert!(unproven.is_empty(), "{} are not proven:\n{}", unproven.len(), unproven.join("\n"));
}
