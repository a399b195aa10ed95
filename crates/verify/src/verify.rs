//! Verifying a model, or two against each other.

use crate::bindings::bindings;
use crate::file::{ModelFile, Port, place};
use crate::verdict::{Blame, Produced, Run, Verdict};
use crate::{Array, Error, Reason, Runtime, Session, compare, inputs};
use netwright_ir::{Bindings, Dim, Symbol, TensorType};
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use tract_onnx::pb::NodeProto;

/// How to verify.
#[derive(Clone, Debug)]
pub struct Options {
    /// What is to hold of the symbols of the inputs' shapes: a number, or an expression over other symbols.
    pub dims: BTreeMap<Symbol, Dim>,
    /// The seed of the first run's inputs; each further run has the next.
    pub seed: u64,
    /// How far floats may differ; see [`compare`].
    pub tolerance: f64,
    /// Where links to external data may lead; see [`ModelFile::open_with`].
    pub data_dir: Option<PathBuf>,
    /// The runtime that judges.
    pub runtime: Runtime,
    /// The runtime that judges what the first cannot judge.
    pub fallback: Option<Runtime>,
}

impl Options {
    /// The seed of each run's inputs.
    fn seeds(&self) -> impl Iterator<Item = u64> + use<> {
        let first = self.seed;
        (0..).map(move |run| first.wrapping_add(run))
    }
}

impl Default for Options {
    fn default() -> Self {
        Self {
            dims: BTreeMap::new(),
            seed: 0,
            tolerance: 1e-5,
            data_dir: None,
            runtime: Runtime::Tract,
            fallback: None,
        }
    }
}

/// Verifies a model file alone, or `a` against `b`; in this process, which a runtime can bring down.
///
/// See [`verify_models`]; for files from elsewhere see [`Worker`](crate::Worker). An error means that there is
/// nothing to judge: a file cannot be read, or the options do not fit the model.
pub fn verify(a: &Path, b: Option<&Path>, options: &Options) -> Result<Verdict, Error> {
    let open = |path: &Path| ModelFile::open_with(path, options.data_dir.as_deref());
    match open(a).and_then(|a| Ok((a, b.map(open).transpose()?))) {
        Ok((a, b)) => verify_models(&a, b.as_ref(), options),
        Err(error) => verdict(error, &options.runtime, false),
    }
}

/// Verifies a model alone: it runs for three bindings of its symbolic dims, its outputs are of the types and shapes
/// that it declares, and finite. Or verifies two models against each other: they have the same inputs and outputs,
/// and the outputs are equal for the same inputs.
///
/// What [`Options::runtime`] cannot judge, or fails to run, [`Options::fallback`] judges.
pub fn verify_models(a: &ModelFile, b: Option<&ModelFile>, options: &Options) -> Result<Verdict, Error> {
    with_fallback(options, |options| {
        let result = match (b, &options.runtime) {
            (None, Runtime::Tract) => runs(&a.to_judge(), options),
            (Some(b), Runtime::Tract) => equal(&a.to_judge(), &b.to_judge(), options),
            (None, Runtime::Ort(_)) => runs(a, options),
            (Some(b), Runtime::Ort(_)) => equal(a, b, options),
        };
        result.or_else(|error| verdict(error, &options.runtime, false))
    })
}

/// What `judge` says in the first runtime, or in the second where the first cannot tell.
pub(crate) fn with_fallback(
    options: &Options,
    judge: impl Fn(&Options) -> Result<Verdict, Error>,
) -> Result<Verdict, Error> {
    let first = judge(options)?;
    let Some(fallback) = &options.fallback else { return Ok(first) };
    if !matches!(first, Verdict::NotVerifiable { .. } | Verdict::Fails { runtime: Some(_), .. }) {
        return Ok(first);
    }
    let (other, others) = match judge(&Options { runtime: fallback.clone(), ..options.clone() }) {
        Ok(Verdict::NotVerifiable { runtime, reasons, .. }) => (runtime, reasons),
        Err(error @ Error::OnnxRuntimeLibrary { .. }) => {
            let place = fallback.to_string();
            (place.clone(), vec![Reason { place, why: error.to_string() }])
        }
        decided => return decided,
    };
    Ok(match first {
        Verdict::NotVerifiable { file, runtime, mut reasons } => {
            reasons.extend(others);
            Verdict::NotVerifiable { file, runtime: format!("{runtime} or {other}"), reasons }
        }
        first => first,
    })
}

/// The verdict that an error amounts to. `proven` says that the runtime ran the other model: then a failure is this
/// one's.
fn verdict(error: Error, runtime: &Runtime, proven: bool) -> Result<Verdict, Error> {
    let runtime = runtime.to_string();
    let not_verifiable = |file, place, why| {
        let reasons = vec![Reason { place, why }];
        Ok(Verdict::NotVerifiable { file, runtime: runtime.clone(), reasons })
    };
    match error {
        Error::NotVerifiable { file, runtime, reasons } => Ok(Verdict::NotVerifiable { file, runtime, reasons }),
        Error::Decode { file, cause } => {
            Ok(Verdict::Fails { file, why: format!("it is not an ONNX model: {cause}"), runtime: None })
        }
        Error::ExternalData { file, tensor, cause } => {
            let why = format!("the external data of tensor `{tensor}`: {cause}");
            Ok(Verdict::Fails { file, why, runtime: None })
        }
        Error::Runtime { file, runtime, action, cause } | Error::Panic { file, runtime, action, cause } if proven => {
            let why = format!("{runtime} runs the first model, and failed to {action}: {cause}");
            Ok(Verdict::Fails { file, why, runtime: Some(runtime) })
        }
        Error::Unmakable { file, input, cause } => not_verifiable(file, format!("input `{input}`"), cause),
        // A model that a runtime refuses is not thereby wrong.
        Error::Runtime { file, runtime, action, cause } => {
            not_verifiable(file, runtime, format!("it failed to {action}: {cause}"))
        }
        Error::Panic { file, runtime, action, cause } => {
            not_verifiable(file, runtime, format!("it panicked when it was to {action}: {cause}"))
        }
        error => Err(error),
    }
}

/// A model that runs with symbolic dims where tract can do that, and is loaded anew for each run's sizes where not.
struct Runner<'m> {
    file: &'m ModelFile,
    runtime: &'m Runtime,
    outputs: Vec<String>,
    symbolic: Option<Session>,
}

impl<'m> Runner<'m> {
    /// To compute a model's outputs.
    fn new(file: &'m ModelFile, runtime: &'m Runtime) -> Result<Self, Error> {
        Self::of(file, runtime, file.output_names())
    }

    /// To compute any values of the main graph.
    fn of(file: &'m ModelFile, runtime: &'m Runtime, outputs: Vec<String>) -> Result<Self, Error> {
        let symbolic = match Session::of(file, runtime, outputs.clone(), None) {
            Ok(session) => Some(session),
            Err(Error::Runtime { .. } | Error::Panic { .. }) if *runtime == Runtime::Tract => None,
            Err(error) => return Err(error),
        };
        Ok(Self { file, runtime, outputs, symbolic })
    }

    fn run(&self, inputs: &[(&str, &Array)], sizes: &Bindings) -> Result<Vec<(String, Array)>, Error> {
        match (&self.symbolic, self.runtime) {
            (Some(session), Runtime::Ort(_)) => return session.run(inputs),
            (Some(session), Runtime::Tract) => {
                if let Ok(outputs) = session.run(inputs) {
                    return Ok(outputs);
                }
            }
            (None, _) => {}
        }
        Session::of(self.file, self.runtime, self.outputs.clone(), Some(sizes))?.run(inputs)
    }
}

fn runs(model: &ModelFile, options: &Options) -> Result<Verdict, Error> {
    let runner = Runner::new(model, &options.runtime)?;
    let mut runs = vec![];
    for (bindings, seed) in bindings(&model.inputs(), &options.dims)?.into_iter().zip(options.seeds()) {
        let inputs = inputs(model, &bindings, seed)?;
        let outputs = runner.run(&borrowed(&inputs), &bindings)?;
        if let Some(why) = misdeclared(model, &outputs, &bindings) {
            return Ok(Verdict::Fails { file: model.name.clone(), why, runtime: Some(options.runtime.to_string()) });
        }
        if let Some(verdict) = not_finite(model, &outputs, &options.runtime) {
            return Ok(verdict);
        }
        let produced = outputs.iter().map(|(name, array)| Produced { output: name.clone(), ty: array.to_string() });
        runs.push(run(&bindings, seed, produced.collect()));
    }
    Ok(Verdict::Runs { runtime: options.runtime.to_string(), runs })
}

fn equal(a: &ModelFile, b: &ModelFile, options: &Options) -> Result<Verdict, Error> {
    let other = other_ports("input", &a.inputs(), &b.inputs());
    if let Some(what) = other.or_else(|| other_ports("output", a.outputs(), b.outputs())) {
        return Ok(Verdict::OtherInterface { what });
    }
    let (first, second) = (Runner::new(a, &options.runtime)?, Runner::new(b, &options.runtime)?);
    let mut runs = vec![];
    for (bindings, seed) in bindings(&a.inputs(), &options.dims)?.into_iter().zip(options.seeds()) {
        let inputs = inputs(a, &bindings, seed)?;
        let inputs = borrowed(&inputs);
        let left = first.run(&inputs, &bindings)?;
        let right = match second.run(&inputs, &bindings) {
            Ok(right) => right,
            Err(error) => return verdict(error, &options.runtime, true),
        };
        for (model, outputs) in [(a, &left), (b, &right)] {
            if let Some(why) = misdeclared(model, outputs, &bindings) {
                return Ok(Verdict::Fails {
                    file: model.name.clone(),
                    why,
                    runtime: Some(options.runtime.to_string()),
                });
            }
        }
        let compared = run(&bindings, seed, compare(&left, &right, options.tolerance));
        if compared.outputs.iter().any(|output| output.difference.is_some()) {
            let blame = blame(a, b, &inputs, &bindings, options);
            let runtime = options.runtime.to_string();
            return Ok(Verdict::Differs { runtime, tolerance: options.tolerance, run: compared, blame });
        }
        runs.push(compared);
    }
    Ok(Verdict::Equal { runtime: options.runtime.to_string(), tolerance: options.tolerance, runs })
}

fn run<T>(bindings: &Bindings, seed: u64, outputs: Vec<T>) -> Run<T> {
    let bindings = bindings.iter().map(|(symbol, size)| (symbol.as_str().to_owned(), *size)).collect();
    Run { bindings, seed, outputs }
}

fn borrowed(inputs: &[(String, Array)]) -> Vec<(&str, &Array)> {
    inputs.iter().map(|(name, array)| (name.as_str(), array)).collect()
}

/// The first difference between two lists of inputs or outputs. Symbols may have other names.
fn other_ports(kind: &str, a: &[Port], b: &[Port]) -> Option<String> {
    let name = |port: Option<&Port>| port.map_or_else(|| "nothing".to_owned(), |port| format!("`{}`", port.name));
    (0..a.len().max(b.len())).find_map(|at| {
        let (left, right) = (a.get(at), b.get(at));
        let (Some(left), Some(right)) = (left, right) else {
            return Some(format!("{kind} {at} is {} in the first and {} in the second", name(left), name(right)));
        };
        if left.name != right.name {
            return Some(format!("{kind} {at} is `{}` in the first and `{}` in the second", left.name, right.name));
        }
        let (left_ty, right_ty) = (left.ty.as_ref()?, right.ty.as_ref()?);
        let differs = !may_be_equal(left_ty, right_ty);
        differs.then(|| format!("{kind} `{}` is {left_ty} in the first and {right_ty} in the second", left.name))
    })
}

fn may_be_equal(a: &TensorType, b: &TensorType) -> bool {
    let shapes = match (&a.shape, &b.shape) {
        (Some(a), Some(b)) => {
            let known = |(a, b): (&Dim, &Dim)| a.known().zip(b.known()).is_none_or(|(a, b)| a == b);
            a.len() == b.len() && a.iter().zip(b.iter()).all(known)
        }
        _ => true,
    };
    a.element == b.element && shapes
}

/// How the outputs break what the model declares of them, if they do.
fn misdeclared(model: &ModelFile, outputs: &[(String, Array)], bindings: &Bindings) -> Option<String> {
    // Symbols that occur in outputs only stand for what they are found to be first.
    let mut bound = bindings.clone();
    model.outputs().iter().zip(outputs).find_map(|(port, (name, array))| {
        let ty = port.ty.as_ref()?;
        let mut fits = |(dim, &size): (&Dim, &usize)| {
            let Ok(size) = i64::try_from(size) else { return false };
            if let Dim::Symbol(symbol) = dim {
                return *bound.entry(symbol.clone()).or_insert(size) == size;
            }
            dim.evaluate(&bound).is_none_or(|expected| expected == size)
        };
        let shape = ty
            .shape
            .as_ref()
            .is_none_or(|dims| dims.len() == array.shape().len() && dims.iter().zip(array.shape()).all(&mut fits));
        let differs = ty.element != array.element() || !shape;
        let sizes = run(bindings, 0, Vec::<()>::new()).sizes();
        differs.then(|| format!("output `{name}` is declared as {ty} and came out as {array} (with {sizes})"))
    })
}

/// What it means that an output holds a value that is no number, if one does.
fn not_finite(model: &ModelFile, outputs: &[(String, Array)], runtime: &Runtime) -> Option<Verdict> {
    let (name, array, at) = outputs.iter().find_map(|(name, array)| {
        Some((name, array, array.any().floats()?.iter().position(|value| !value.is_finite())?))
    })?;
    let value = array.any().text(at).unwrap_or_default();
    let why = format!("output `{name}` holds {value} at {:?}", array.index(at));
    let (file, judge) = (model.name.clone(), runtime.to_string());
    let attention = model.graph.node.iter().find(|node| node.op_type.ends_with("Attention"));
    Some(match attention.filter(|_| *runtime == Runtime::Tract) {
        Some(node) => {
            let place = place(node);
            let why = format!("{why}, which is what tract gives for a row that is masked in full; the standard says 0");
            Verdict::NotVerifiable { file, runtime: judge, reasons: vec![Reason { place, why }] }
        }
        None => Verdict::Fails { file, why, runtime: Some(judge) },
    })
}

/// Where the second model parts from the first: both are run again for all values that they have in common.
fn blame(
    a: &ModelFile,
    b: &ModelFile,
    inputs: &[(&str, &Array)],
    bindings: &Bindings,
    options: &Options,
) -> Option<Box<Blame>> {
    let results = |node: &NodeProto| node.output.iter().filter(|name| !name.is_empty()).cloned().collect::<Vec<_>>();
    let in_a: BTreeSet<String> = a.graph.node.iter().flat_map(results).collect();
    let in_b = b.graph.node.iter().flat_map(results);
    let common: Vec<String> = in_b.filter(|name| in_a.contains(name)).collect();
    let values =
        |model| Runner::of(model, &options.runtime, common.clone()).and_then(|runner| runner.run(inputs, bindings));
    let (left, right) = (values(a).ok()?, values(b).ok()?);
    let value = compare(&left, &right, options.tolerance).into_iter().find(|value| value.difference.is_some())?;
    let producer = |model: &ModelFile| {
        let node = model.graph.node.iter().find(|node| node.output.contains(&value.output));
        node.map_or_else(String::new, place)
    };
    Some(Box::new(Blame { node: producer(b), instead_of: producer(a), value }))
}
