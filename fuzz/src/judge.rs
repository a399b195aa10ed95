//! Checks optimized models, and reports what is wrong with them.

use crate::compare::{Difference, difference};
use crate::element::Elem;
use crate::exact::Exact;
use crate::feeds::{SCENARIOS, feeds};
use crate::noise;
use crate::runtime;
use netwright::evaluate::Tract;
use netwright::ir::Model;
use netwright::onnx::{self, ReadOptions};
use netwright::passes::{self, Limits, Target};
use netwright::verify::{Array, Session};
use onnx_protobuf::tensor_shape_proto::dimension;
use onnx_protobuf::{GraphProto, ModelProto, NodeProto, ValueInfoProto, type_proto};
use protobuf::Message;
use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::str::FromStr;
use std::sync::Once;

/// The way to optimize a model.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Mode {
    /// With target onnx.
    Onnx,
    /// With target tract.
    Tract,
    /// With target ort.
    Ort,
    /// With target onnx, in opset 23.
    Opset23,
    /// Not optimized: only read and written.
    None,
}

impl Mode {
    /// All modes.
    pub const ALL: [Mode; 5] = [Mode::Onnx, Mode::Tract, Mode::Ort, Mode::Opset23, Mode::None];

    fn options(self, stop_after: Option<usize>) -> passes::Options {
        let mut target = match self {
            Mode::Tract => Target::TRACT,
            Mode::Ort => Target::ORT,
            Mode::Onnx | Mode::Opset23 | Mode::None => Target::ONNX,
        };
        // ONNX Runtime judges the models of every target.
        target.keep_opset = Target::ORT.keep_opset;
        // Debug builds always check; the laws are the same for every target.
        let limits = Limits { stop_after, check: self == Mode::Onnx };
        let mut options = passes::Options::for_target(target).with_evaluator(Tract).with_limits(limits);
        options.only = (self == Mode::None).then(Vec::new);
        options
    }
}

impl fmt::Display for Mode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Mode::Onnx => "onnx",
            Mode::Tract => "tract",
            Mode::Ort => "ort",
            Mode::Opset23 => "opset23",
            Mode::None => "none",
        })
    }
}

impl FromStr for Mode {
    type Err = String;

    fn from_str(word: &str) -> Result<Self, String> {
        let found = Self::ALL.into_iter().find(|mode| mode.to_string() == word);
        found.ok_or_else(|| format!("`{word}` is not a target; choose onnx, tract, ort, opset23 or none"))
    }
}

/// The kind of a finding.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// The library panicked.
    Panic,
    /// The library refused a model that the runtime runs.
    Refused,
    /// The written model does not load.
    NotLoaded,
    /// The written model loads, and does not run where the original does.
    NotRun,
    /// It computes another result.
    Wrong,
    /// It computes another result where the original returns NaN or an infinity.
    NotFinite,
    /// Names, types or order of inputs or outputs changed.
    Interface,
    /// A second run changes the file.
    SecondRun,
    /// Attention of ONNX Runtime refuses an empty batch or no tokens, as the target documents.
    EmptyAttention,
}

impl Kind {
    /// Returns whether a run with such a finding fails; another is only counted.
    pub fn is_failure(self) -> bool {
        self != Kind::EmptyAttention
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Kind::Panic => "panic",
            Kind::Refused => "refused",
            Kind::NotLoaded => "does not load",
            Kind::NotRun => "does not run",
            Kind::Wrong => "wrong value",
            Kind::NotFinite => "other where not finite",
            Kind::Interface => "interface changed",
            Kind::SecondRun => "second run differs",
            Kind::EmptyAttention => "refuses empty attention",
        })
    }
}

/// A finding about one model in one mode.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// The kind.
    pub kind: Kind,
    /// The pass whose rewrite is the first after which the model is wrong; empty if it is wrong before any.
    pub pass: String,
    /// The details.
    pub detail: String,
}

/// A model before it is optimized, with its results.
#[derive(Debug)]
pub struct Reference {
    proto: ModelProto,
    bytes: Vec<u8>,
    /// The accepted scenarios, with inputs and outputs.
    runs: Vec<(usize, Arrays, Arrays)>,
}

/// Inputs or outputs with their names.
type Arrays = Vec<(String, Array)>;

/// Judges models in ONNX Runtime.
#[derive(Debug)]
pub struct Judge {
    folder: tempfile::TempDir,
}

thread_local! {
    static PANIC: RefCell<String> = const { RefCell::new(String::new()) };
}

/// Runs `work`, and turns a panic into its message.
fn caught<T>(work: impl FnOnce() -> T) -> Result<T, String> {
    static HOOK: Once = Once::new();
    HOOK.call_once(|| {
        std::panic::set_hook(Box::new(|info| PANIC.with(|panic| *panic.borrow_mut() = info.to_string())));
    });
    catch_unwind(AssertUnwindSafe(work)).map_err(|_| PANIC.with(RefCell::take))
}

/// An optimized model, and the passes of its rewrites.
struct Optimized {
    bytes: Vec<u8>,
    passes: Vec<&'static str>,
}

impl Judge {
    /// Loads ONNX Runtime.
    ///
    /// # Errors
    /// If its library is not found.
    pub fn new() -> Result<Self, String> {
        runtime::find()?;
        let shared = PathBuf::from("/dev/shm");
        let folder = if shared.is_dir() { tempfile::tempdir_in(shared) } else { tempfile::tempdir() };
        Ok(Self { folder: folder.map_err(|error| error.to_string())? })
    }

    /// Runs an original model; `None` if it does not load, or runs in no scenario.
    pub fn reference(&self, proto: &ModelProto) -> Result<Reference, String> {
        let bytes = proto.write_to_bytes().map_err(|error| error.to_string())?;
        let loaded = runtime::load(&bytes)?;
        let mut runs = vec![];
        let mut error = String::new();
        // Einsum of ONNX Runtime 1.32 divides by a contracted size of 0, which ends the process.
        let skips_empty = count(proto, |node| node.op_type == "Einsum") > 0;
        for (at, scenario) in SCENARIOS.iter().enumerate().filter(|(_, given)| !(skips_empty && given.is_empty())) {
            let given = feeds(proto, scenario, at as u64);
            match runtime::run(&loaded, &given) {
                Ok(outputs) => runs.push((at, given, outputs)),
                Err(cause) => error = cause,
            }
        }
        if runs.is_empty() { Err(error) } else { Ok(Reference { proto: proto.clone(), bytes, runs }) }
    }

    fn read(&self, bytes: &[u8]) -> Result<Model, String> {
        let path = self.folder.path().join("model.onnx");
        std::fs::write(&path, bytes).map_err(|error| error.to_string())?;
        onnx::read(&path, &ReadOptions::default()).map_err(|error| chain(&error))
    }

    fn optimize(&self, bytes: &[u8], mode: Mode, stop_after: Option<usize>) -> Result<Optimized, Finding> {
        let refused = |detail| Finding { kind: Kind::Refused, pass: String::new(), detail };
        let work = || -> Result<Optimized, String> {
            let mut model = self.read(bytes)?;
            if mode == Mode::Opset23 && model.opset() < 23 {
                model.opsets.insert(String::new(), 23);
            }
            let report = passes::optimize(&mut model, &mode.options(stop_after)).map_err(|error| chain(&error))?;
            let bytes = onnx::to_bytes(&model).map_err(|error| chain(&error))?;
            Ok(Optimized { bytes, passes: report.applied.iter().map(|event| event.pass).collect() })
        };
        caught(work)
            .map_err(|detail| Finding { kind: Kind::Panic, pass: String::new(), detail })
            .and_then(|done| done.map_err(refused))
    }

    /// Optimizes a model and judges the result.
    ///
    /// # Errors
    /// The finding about the result, if it is wrong.
    pub fn judge(&self, reference: &Reference, mode: Mode) -> Result<(), Finding> {
        let Err((mut finding, rewrites)) = self.judge_at(reference, mode, None) else { return Ok(()) };
        if finding.pass.is_empty() && rewrites > 0 {
            finding.pass = self.bisect(reference, mode, finding.kind, rewrites);
        }
        Err(finding)
    }

    /// Returns the pass whose rewrite is the first after which the model is wrong.
    fn bisect(&self, reference: &Reference, mode: Mode, kind: Kind, rewrites: usize) -> String {
        let fails = |rewrites: usize| {
            let outcome = self.judge_at(reference, mode, Some(rewrites));
            outcome.is_err_and(|(finding, _)| finding.kind == kind)
        };
        if fails(0) {
            return "(none)".to_owned();
        }
        let (mut fine, mut bad) = (0, rewrites);
        while bad - fine > 1 {
            let middle = usize::midpoint(fine, bad);
            if fails(middle) {
                bad = middle;
            } else {
                fine = middle;
            }
        }
        let optimized = self.optimize(&reference.bytes, mode, Some(bad));
        optimized.ok().and_then(|done| done.passes.get(bad - 1).copied()).unwrap_or("(lowering)").to_owned()
    }

    fn judge_at(&self, reference: &Reference, mode: Mode, stop: Option<usize>) -> Result<(), (Finding, usize)> {
        let optimized = self.optimize(&reference.bytes, mode, stop).map_err(|finding| (finding, 0))?;
        let rewrites = optimized.passes.len();
        hold(reference, &optimized.bytes).map_err(|(kind, detail)| {
            // Any pass that creates the operator has this finding; its name is not informative.
            let pass = if kind == Kind::EmptyAttention { "(ONNX Runtime)" } else { "" };
            (Finding { kind, pass: pass.to_owned(), detail }, rewrites)
        })?;
        if stop.is_some() {
            return Ok(());
        }
        let again = self.optimize(&optimized.bytes, mode, None);
        let again =
            again.map_err(|finding| (Finding { detail: format!("second run: {}", finding.detail), ..finding }, 0))?;
        if again.bytes != optimized.bytes {
            let pass = again.passes.first().copied().unwrap_or("(none)").to_owned();
            let detail = format!(
                "{} rewrites, then {} bytes for {}",
                again.passes.len(),
                again.bytes.len(),
                optimized.bytes.len()
            );
            return Err((Finding { kind: Kind::SecondRun, pass, detail }, rewrites));
        }
        Ok(())
    }
}

/// Compares a written model with the results of the original.
fn hold(reference: &Reference, bytes: &[u8]) -> Result<(), (Kind, String)> {
    let loaded = runtime::load(bytes).map_err(|error| (Kind::NotLoaded, error))?;
    let written = ModelProto::parse_from_bytes(bytes).map_err(|error| (Kind::NotLoaded, error.to_string()))?;
    if let Some(change) = interface_change(&written, &reference.proto) {
        return Err((Kind::Interface, change));
    }
    // Attention of com.microsoft adds -10,000 to masked scores, which leaves three digits of a score.
    let coarse = uses(&reference.proto, Elem::F16) || has_contrib_attention(&reference.proto);
    let tolerance = if coarse { 3e-3 } else { 1e-4 };
    let mut not_finite = None;
    let mut refusal = None;
    let mut noisy = None;
    let mut exact = None;
    for (at, given, expected) in &reference.runs {
        let summary = SCENARIOS[*at].summary;
        let found = match runtime::run(&loaded, given) {
            Ok(found) => found,
            // The standard Attention refuses sizes of 0. The nodes before it may rely on that, and fail too.
            Err(error)
                if (SCENARIOS[*at].is_empty() || error.contains("must be greater than 0"))
                    && !attentions(&written).is_subset(&attentions(&reference.proto)) =>
            {
                refusal = refusal.or(Some(format!("{summary}: {error}")));
                continue;
            }
            Err(error) => return Err((Kind::NotRun, format!("{summary}: {error}"))),
        };
        for (name, expected) in expected {
            let Some((_, found)) = found.iter().find(|(other, _)| other == name) else {
                return Err((Kind::Interface, format!("output {name} is missing")));
            };
            if is_without_iterations(&reference.proto, name, [found, expected]) {
                continue;
            }
            let Some(difference) = difference(found, expected, tolerance) else { continue };
            let is_finite = !matches!(difference, Difference::NotFinite { .. });
            if is_finite {
                let noisy = noisy.get_or_insert_with(|| noise::noisy(&reference.proto));
                if is_rounding(noisy.as_ref(), given, name, &difference) {
                    continue;
                }
            }
            let exact = exact.get_or_insert_with(|| Exact::load(&reference.proto));
            let both = [found, expected];
            if exact.as_ref().is_some_and(|exact| exact.explains(given, name, both, tolerance)) {
                continue;
            }
            let text = format!("{summary}: output {name}: {}", difference.text());
            if is_finite {
                return Err((Kind::Wrong, text));
            }
            not_finite = not_finite.or(Some(text));
        }
    }
    let not_finite = not_finite.map(|text| (Kind::NotFinite, text));
    not_finite.or(refusal.map(|text| (Kind::EmptyAttention, text))).map_or(Ok(()), Err)
}

/// Returns whether an output is a scan output of a Loop that runs no iteration. ONNX Runtime then returns the shape
/// `[0]`, or more sizes if more of the shape is declared.
fn is_without_iterations(original: &ModelProto, name: &str, [found, expected]: [&Array; 2]) -> bool {
    let mut nodes = original.graph.iter().flat_map(|graph| &graph.node);
    let is_of_loop = nodes.any(|node| node.op_type == "Loop" && node.output.iter().any(|output| output == name));
    is_of_loop && *expected.shape() == [0] && found.shape().first() == Some(&0) && found.element() == expected.element()
}

/// Returns whether rounding changes the output of the original as much.
fn is_rounding(noisy: Option<&Session>, given: &[(String, Array)], name: &str, difference: &Difference) -> bool {
    let Some(noisy) = noisy else { return false };
    (1..8_u8).any(|seed| {
        let Ok(outputs) = noise::run(noisy, given, seed) else { return false };
        let Some((_, array)) = outputs.iter().find(|(other, _)| other == name) else { return false };
        match (difference, array.any().floats()) {
            (Difference::Float { at, found, expected }, Some(floats)) => {
                let moved = (floats.get(*at).copied().unwrap_or(0.0) - expected).abs();
                !moved.is_finite() || (found - expected).abs() <= 16.0 * moved
            }
            _ => false,
        }
    })
}

/// Formats an error with its causes.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text = format!("{text}: {cause}");
        source = cause.source();
    }
    text
}

/// Returns the first results of the `Attention` nodes of ONNX's own domain in a model.
fn attentions(model: &ModelProto) -> BTreeSet<String> {
    let found = RefCell::new(BTreeSet::new());
    count(model, |node| {
        let is_attention = node.domain.is_empty() && node.op_type == "Attention";
        found.borrow_mut().extend(node.output.first().filter(|_| is_attention).cloned());
        is_attention
    });
    found.into_inner()
}

/// Returns whether a model has an attention operator of `com.microsoft`.
fn has_contrib_attention(model: &ModelProto) -> bool {
    count(model, |node| node.domain == "com.microsoft" && node.op_type.contains("Attention")) > 0
}

/// Returns the number of nodes of a model of which `is` is true, including those of bodies and functions.
fn count(model: &ModelProto, is: impl Fn(&NodeProto) -> bool) -> usize {
    fn among(nodes: &[NodeProto], is: &dyn Fn(&NodeProto) -> bool) -> usize {
        let bodies = nodes.iter().flat_map(|node| &node.attribute).filter_map(|attribute| attribute.g.as_ref());
        nodes.iter().filter(|node| is(node)).count() + bodies.map(|body| among(&body.node, is)).sum::<usize>()
    }
    let functions = model.functions.iter().map(|function| function.node.as_slice());
    model.graph.iter().map(|graph| graph.node.as_slice()).chain(functions).map(|nodes| among(nodes, &is)).sum()
}

/// Returns whether a model has tensors of an element type, or casts to it.
fn uses(model: &ModelProto, elem: Elem) -> bool {
    fn graph_uses(graph: &GraphProto, elem: i32) -> bool {
        graph.initializer.iter().any(|tensor| tensor.data_type == elem)
            || graph.node.iter().flat_map(|node| &node.attribute).any(|attribute| {
                attribute.name == "to" && attribute.i == i64::from(elem)
                    || attribute.g.as_ref().is_some_and(|body| graph_uses(body, elem))
            })
    }
    model.graph.as_ref().is_some_and(|graph| graph_uses(graph, elem as i32))
}

/// Returns how inputs or outputs differ in name, order or declared type.
fn interface_change(found: &ModelProto, expected: &ModelProto) -> Option<String> {
    let (found, expected) = (found.graph.as_ref()?, expected.graph.as_ref()?);
    let sides = [("input", &found.input, &expected.input), ("output", &found.output, &expected.output)];
    for (side, ports, wanted) in sides {
        let names = |ports: &[ValueInfoProto]| ports.iter().map(|port| port.name.clone()).collect::<Vec<_>>();
        if names(ports) != names(wanted) {
            return Some(format!("{side}s {:?}, not {:?}", names(ports), names(wanted)));
        }
        for (port, want) in ports.iter().zip(wanted) {
            let (own, declared) = (tensor_type(port), tensor_type(want));
            let Some((elem, shape)) = declared else { continue };
            let Some((own_elem, own_shape)) = own else { return Some(format!("{side} {} has no type", port.name)) };
            let same_shape = match (&own_shape, &shape) {
                (_, None) => true,
                (None, Some(_)) => false,
                (Some(own), Some(declared)) => {
                    own.len() == declared.len()
                        && own.iter().zip(declared).all(|(own, declared)| declared.is_none() || own == declared)
                }
            };
            if own_elem != elem || !same_shape {
                return Some(format!("{side} {}: {own_shape:?}, not {shape:?}", port.name));
            }
        }
    }
    None
}

type Declared = (i32, Option<Vec<Option<dimension::Value>>>);

fn tensor_type(port: &ValueInfoProto) -> Option<Declared> {
    let Some(type_proto::Value::TensorType(tensor)) = &port.type_.as_ref()?.value else { return None };
    let shape = tensor.shape.as_ref().map(|shape| shape.dim.iter().map(|dim| dim.value.clone()).collect());
    Some((tensor.elem_type, shape))
}

/// The number of findings by mode, kind and pass.
#[derive(Clone, Debug, Default)]
pub struct Tally(pub BTreeMap<(Mode, Kind, String), Vec<u64>>);

impl Tally {
    /// Counts a finding.
    pub fn add(&mut self, mode: Mode, finding: &Finding, seed: u64) {
        self.0.entry((mode, finding.kind, finding.pass.clone())).or_default().push(seed);
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for ((mode, kind, pass), seeds) in &self.0 {
            let some: Vec<String> = seeds.iter().take(5).map(ToString::to_string).collect();
            writeln!(f, "{:6} {mode:7} {kind:24} {pass:36} seeds {}", seeds.len(), some.join(" "))?;
        }
        Ok(())
    }
}
