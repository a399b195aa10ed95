//! What several test files need.

#![allow(dead_code, reason = "each test file uses some of it")]

pub(crate) mod folders;

use insta::{Settings, assert_snapshot};
use netwright::evaluate::Tract;
use netwright::ir::{ElementType, Graph, Model, Op, Tensor, Value};
use netwright::nn::{Config, Part, Pretrained, PretrainedOptions, Weights};
use netwright::onnx::{self, ReadOptions};
use netwright::passes::{self, Options, Precision, Target};
use netwright::verify::{Array, OnnxRuntime};
use regex::Regex;
use std::collections::BTreeMap;
use std::path::Path;

/// Compares a text with `snapshots/FOLDER/NAME.snap`.
pub(crate) fn snapshot(folder: &str, name: &str, text: &str) {
    let mut settings = Settings::clone_current();
    settings.set_snapshot_path(format!("../../snapshots/{folder}"));
    settings.set_prepend_module_to_snapshot(false);
    settings.set_omit_expression(true);
    // The source beside them says more, and stays when lines move.
    let text = Regex::new(r"\.rs:\d+:\d+").expect("a pattern").replace_all(text, ".rs:[line]");
    settings.bind(|| assert_snapshot!(name, text));
}

/// Returns the ONNX Runtime of the tests; `None` if it is not installed, unless `REQUIRE_ONNX_RUNTIME` is set.
pub(crate) fn onnx_runtime() -> Option<OnnxRuntime> {
    let library = || {
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        let venv = std::fs::read_dir(root.join("target/interop/venv/lib")).ok()?.next()?.ok()?.path();
        let mut files = std::fs::read_dir(venv.join("site-packages/onnxruntime/capi")).ok()?;
        let mut files = std::iter::from_fn(|| Some(files.next()?.ok()?.path()));
        files.find(|file| file.to_string_lossy().contains("/libonnxruntime.so."))
    };
    let library = library();
    assert!(library.is_some() || std::env::var_os("REQUIRE_ONNX_RUNTIME").is_none(), "ONNX Runtime is not installed");
    library.map(|library| OnnxRuntime::at(library).unwrap_or_else(|error| panic!("{error}")))
}

/// Builds the decoder of a folder or GGUF file.
pub(crate) fn built(path: &Path, options: &PretrainedOptions) -> Graph {
    let model = Pretrained::open(path, options).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    model.build(Part::Whole, false).expect("a decoder is one graph")
}

/// The lines of a graph without the elements of parameters, and these.
pub(crate) fn apart(graph: &Graph) -> (Vec<String>, BTreeMap<String, Vec<u8>>) {
    let mut parameters = BTreeMap::new();
    for node in graph.schedule() {
        if let Op::Parameter(tensor) = graph.node(node).op() {
            let name = graph.value_name(Value { node, result: 0 }).to_string();
            parameters.insert(name, tensor.to_bytes().expect("it is read").to_vec());
        }
    }
    let text = graph.to_string();
    let line = |line: &str| if line.contains(" = parameter ") { None } else { Some(line.to_owned()) };
    (text.lines().filter_map(line).collect(), parameters)
}

/// Optimizing what was optimized, written and read changes no byte, whatever the target. A model that cannot be written
/// as it is, or read again, is left out: `false`.
pub(crate) fn check_second_run(name: &str, model: &Model) -> bool {
    check_second_run_in(name, model, None)
}

/// The same for models that are converted to another type.
pub(crate) fn check_second_run_in(name: &str, model: &Model, to: Option<ElementType>) -> bool {
    let folder = tempfile::tempdir().expect("a folder");
    let mut plain = model.clone();
    let bytes = passes::lower(&mut plain, &Target::ONNX, true).is_ok().then(|| onnx::to_bytes(&plain));
    let Some(Ok(bytes)) = bytes else { return false };
    // Weights stay in the file, which is kept.
    let read = |file: &str, bytes: &[u8]| {
        let path = folder.path().join(file);
        std::fs::write(&path, bytes).expect("it is written");
        onnx::read(&path, &ReadOptions::default())
    };
    let Ok(plain) = read("plain.onnx", &bytes) else { return false };
    for target in Target::ALL {
        let run = |mut model: Model| {
            let mut options = Options::for_target(target).with_evaluator(Tract);
            options.precision = to.map(|to| Precision::new(to).expect("a float type"));
            let report = passes::optimize(&mut model, &options).expect("the passes come to an end");
            let bytes = onnx::to_bytes(&model).unwrap_or_else(|error| panic!("{name}, {target}: {error}"));
            (bytes, report)
        };
        let (first, _) = run(plain.clone());
        let (second, report) =
            run(read("first.onnx", &first).unwrap_or_else(|error| panic!("{name}, {target}: {error}")));
        let passes: Vec<&str> = report.applied.iter().map(|event| event.pass).collect();
        assert!(first == second, "{name}, {target}: a second run changes it: {passes:?}");
    }
    true
}

/// The paper's model, with one layer each and few of everything.
pub(crate) fn small() -> Config {
    Config {
        d_model: 16,
        num_heads: 2,
        d_ff: 32,
        encoder_layers: 1,
        decoder_layers: 1,
        vocab_size: 20,
        max_positions: 32,
        ..Config::transformer_base()
    }
}

/// The tensors of a safetensors file.
pub(crate) fn tensors(path: &Path) -> BTreeMap<String, Array> {
    let Weights::Trained(tensors) = Weights::open(path).unwrap_or_else(|error| panic!("{error}")) else {
        panic!("a file holds trained tensors")
    };
    let array = |tensor: Tensor| {
        let shape: Vec<usize> = tensor.dims().iter().map(|&size| usize::try_from(size).expect("it is small")).collect();
        let bytes = tensor.to_bytes().expect("it is read");
        match tensor.element() {
            ElementType::I64 => Array::new(
                shape,
                bytes.as_chunks::<8>().0.iter().map(|raw| i64::from_le_bytes(*raw)).collect::<Vec<_>>(),
            ),
            _ => Array::new(
                shape,
                bytes.as_chunks::<4>().0.iter().map(|raw| f32::from_le_bytes(*raw)).collect::<Vec<_>>(),
            ),
        }
    };
    tensors.into_iter().map(|(name, tensor)| (name, array(tensor).expect("the shape fits"))).collect()
}

/// The elements of floats.
pub(crate) fn floats(array: &Array) -> &[f32] {
    array.values::<f32>().expect("it is f32")
}
