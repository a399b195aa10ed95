//! How much of exported Transformers is recognized: every attention, or the reason why not.
//!
//! The models are those of `tests/interop/models`, which `tests/interop/export_models.py` makes; ONNX Runtime judges them
//! there. Here tract compares what is written for it with what clean-up alone makes of the export.

#[path = "common/mod.rs"]
mod common;

use common::{built, folders, snapshot};
use netwright::evaluate::Tract;
use netwright::ir::{Model, OpKind};
use netwright::nn::PretrainedOptions;
use netwright::onnx::{self, ReadOptions, WriteOptions};
use netwright::passes::{self, Options, Target};
use netwright::verify::{self, Verdict, verify};
use std::fmt::Write;
use std::path::{Path, PathBuf};
use tempfile::TempDir;

/// How many attentions a model has, by the first part of its name.
const ATTENTIONS: [(&str, usize); 23] = [
    ("annotated", 6),
    ("bert", 2),
    ("bert_base", 2),
    ("bert_eager", 2),
    ("cohere_past", 2),
    ("deberta_v2", 1),
    ("distilbert", 2),
    ("gpt2", 2),
    ("gpt2_kv", 2),
    ("gpt2_past", 2),
    ("gptj_past", 2),
    ("llama4_kv", 2),
    ("llama_past", 2),
    ("marian_decoder", 4),
    ("marian_encoder", 2),
    ("packed", 2),
    ("roberta", 2),
    ("t5_decoder", 4),
    ("t5_encoder", 2),
    ("transformer", 3),
    ("vit", 2),
    ("whisper_decoder", 4),
    ("whisper_encoder", 2),
];

fn models() -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/interop/models");
    let entries = std::fs::read_dir(folder).expect("the folder of models");
    let mut paths: Vec<PathBuf> = entries.map(|entry| entry.expect("an entry").path()).collect();
    paths.retain(|path| path.extension().is_some_and(|extension| extension == "onnx"));
    paths.sort();
    assert_eq!(paths.len(), 44, "each model is one of those that are counted on");
    paths
}

fn optimized(path: &Path, target: Target, opset: Option<i64>) -> (Model, passes::Report) {
    let mut model = onnx::read(path, &ReadOptions::default()).unwrap_or_else(|error| panic!("{error}"));
    if let Some(opset) = opset {
        model.opsets.insert(String::new(), opset);
    }
    let options = Options::for_target(target).with_evaluator(Tract);
    let report = passes::optimize(&mut model, &options).unwrap_or_else(|error| panic!("{error}"));
    (model, report)
}

fn count(model: &Model, kind: OpKind) -> usize {
    let graph = &model.graph;
    graph.schedule().into_iter().filter(|id| graph.node(*id).op().kind() == kind).count()
}

#[test]
fn attentions_are_recognized() {
    let kinds = [
        OpKind::Attention,
        OpKind::Gelu,
        OpKind::LayerNormalization,
        OpKind::RMSNormalization,
        OpKind::RotaryEmbedding,
        OpKind::Swish,
    ];
    let (mut fused, mut all) = (0, 0);
    let mut text = String::new();
    for path in models() {
        let name = path.file_stem().expect("a name").to_string_lossy().into_owned();
        let (family, _) = name.split_once('.').expect("the name says the exporter");
        let (_, expected) = ATTENTIONS.iter().find(|(own, _)| *own == family).expect("a family that is known");
        let (model, report) = optimized(&path, Target::ONNX, Some(24));
        let counts = kinds.map(|kind| (kind, count(&model, kind)));
        let words: Vec<String> = counts
            .iter()
            .filter(|(_, count)| *count > 0)
            .map(|(kind, count)| format!("{count} {}", kind.word()))
            .collect();
        writeln!(text, "{name}: {} of {expected} attentions; {}", counts[0].1, words.join(", ")).expect("text grows");
        for event in report.declined.iter().filter(|event| event.pass.starts_with("fuse-")) {
            writeln!(text, "  {event}").expect("text grows");
        }
        fused += counts[0].1;
        all += expected;
    }
    writeln!(text, "{fused} of {all} attentions").expect("text grows");
    snapshot("exports", "recognized", &text);
    assert!(fused * 100 >= all * 95, "{fused} of {all} attentions are fused");
}

/// Attentions and rotary embeddings of what `build` declares: pairs of neighbors, scores of distances.
#[test]
fn attentions_of_builds_are_recognized() {
    for (folder, attentions, rotary) in [
        ("cohere", 2, 4),
        ("cohere2", 2, 2),
        ("deberta", 2, 0),
        ("deberta_v2", 2, 0),
        ("deberta_v2_mlm", 2, 0),
        ("gpt_bigcode", 2, 0),
        ("gpt_neo", 2, 0),
        ("gptj", 2, 4),
        ("sentence_t5", 2, 0),
    ] {
        let graph = built(&folders::root().join(folder), &PretrainedOptions::default());
        for target in Target::ALL {
            let mut model = Model::new(graph.clone());
            model.opsets.insert(String::new(), 24);
            passes::optimize(&mut model, &Options::for_target(target)).unwrap_or_else(|error| panic!("{error}"));
            let counts = [OpKind::Attention, OpKind::RotaryEmbedding].map(|kind| count(&model, kind));
            assert_eq!(counts, [attentions, rotary], "{folder} for {target}");
        }
    }
}

#[test]
fn tract_computes_the_same() {
    let folder = TempDir::new().expect("a folder");
    let mut wrong = vec![];
    for path in models() {
        let name = path.file_stem().expect("a name").to_string_lossy().into_owned();
        let written = [Target::ONNX, Target::TRACT].map(|target| {
            let (model, _) = optimized(&path, target, None);
            let output = folder.path().join(format!("{}.onnx", target.name));
            onnx::write(&model, &output, &WriteOptions::default()).unwrap_or_else(|error| panic!("{error}"));
            output
        });
        let mut options = verify::Options::default().with_tolerance(1e-4);
        if name.contains("past") || name.contains("_kv") {
            options.dims.insert(netwright::ir::Symbol::new("past_plus_seq"), "past + seq".parse().expect("a dim"));
        }
        let verdict =
            verify(&written[0], Some(&written[1]), &options).unwrap_or_else(|error| panic!("{name}: {error}"));
        if !matches!(verdict, Verdict::Equal { .. }) {
            wrong.push(format!("{name}: {verdict}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
