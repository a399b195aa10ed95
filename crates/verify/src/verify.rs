//! Verifying a model, or two against each other.

use crate::bindings::bindings;
use crate::file::{ModelFile, Port, place};
use crate::verdict::{Blame, Produced, Run, Verdict};
use crate::{Array, Error, Reason, Session, compare, inputs};
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
        Self { dims: BTreeMap::new(), seed: 0, tolerance: 1e-5, data_dir: None }
    }
}

/// Verifies a model file alone, or `a` against `b`; in this process, which tract can bring down.
///
/// See [`verify_models`]; for files from elsewhere see [`Worker`](crate::Worker). An error means that there is
/// nothing to judge: a file cannot be read, or the options do not fit the model.
pub fn verify(a: &Path, b: Option<&Path>, options: &Options) -> Result<Verdict, Error> {
    let open = |path: &Path| ModelFile::open_with(path, options.data_dir.as_deref());
    match open(a).and_then(|a| Ok((a, b.map(open).transpose()?))) {
        Ok((a, b)) => verify_models(&a, b.as_ref(), options),
        Err(error) => verdict(error, false),
    }
}

/// Verifies a model alone: it runs for three bindings of its symbolic dims, its outputs are of the types and shapes
/// that it declares, and finite. Or verifies two models against each other: they have the same inputs and outputs,
/// and the outputs are equal for the same inputs.
pub fn verify_models(a: &ModelFile, b: Option<&ModelFile>, options: &Options) -> Result<Verdict, Error> {
    let result = match b {
        None => runs(a, options),
        Some(b) => equal(a, b, options),
    };
    result.or_else(|error| verdict(error, false))
}

/// The verdict that an error amounts to. `proven` says that tract ran the other model: then a failure is this one's.
fn verdict(error: Error, proven: bool) -> Result<Verdict, Error> {
    let not_verifiable = |file, why| {
        let reasons = vec![Reason { place: "tract".to_owned(), why }];
        Ok(Verdict::NotVerifiable { file, reasons })
    };
    match error {
        Error::NotVerifiable { file, reasons } => Ok(Verdict::NotVerifiable { file, reasons }),
        Error::Decode { file, cause } => Ok(Verdict::Fails { file, why: format!("it is not an ONNX model: {cause}") }),
        Error::ExternalData { file, tensor, cause } => {
            Ok(Verdict::Fails { file, why: format!("the external data of tensor `{tensor}`: {cause}") })
        }
        Error::Tract { file, action, cause } | Error::Panic { file, action, cause } if proven => {
            Ok(Verdict::Fails { file, why: format!("tract runs the first model, and failed to {action}: {cause}") })
        }
        Error::Unmakable { file, input, cause } => {
            let reasons = vec![Reason { place: format!("input `{input}`"), why: cause }];
            Ok(Verdict::NotVerifiable { file, reasons })
        }
        // A model that tract refuses is not thereby wrong.
        Error::Tract { file, action, cause } => not_verifiable(file, format!("it failed to {action}: {cause}")),
        Error::Panic { file, action, cause } => {
            not_verifiable(file, format!("it panicked when it was to {action}: {cause}"))
        }
        error => Err(error),
    }
}

/// A model that runs with symbolic dims where tract can do that, and is loaded anew for each run's sizes where not.
struct Runner<'m> {
    file: &'m ModelFile,
    outputs: Vec<String>,
    symbolic: Option<Session>,
}

impl<'m> Runner<'m> {
    /// To compute a model's outputs.
    fn new(file: &'m ModelFile) -> Result<Self, Error> {
        Self::of(file, file.output_names())
    }

    /// To compute any values of the main graph.
    fn of(file: &'m ModelFile, outputs: Vec<String>) -> Result<Self, Error> {
        let symbolic = match Session::of(file, outputs.clone(), None) {
            Ok(session) => Some(session),
            Err(Error::Tract { .. } | Error::Panic { .. }) => None,
            Err(error) => return Err(error),
        };
        Ok(Self { file, outputs, symbolic })
    }

    fn run(&self, inputs: &[(&str, &Array)], sizes: &Bindings) -> Result<Vec<(String, Array)>, Error> {
        if let Some(Ok(outputs)) = self.symbolic.as_ref().map(|session| session.run(inputs)) {
            return Ok(outputs);
        }
        Session::of(self.file, self.outputs.clone(), Some(sizes))?.run(inputs)
    }
}

fn runs(model: &ModelFile, options: &Options) -> Result<Verdict, Error> {
    let runner = Runner::new(model)?;
    let mut runs = vec![];
    for (bindings, seed) in bindings(&model.inputs(), &options.dims)?.into_iter().zip(options.seeds()) {
        let inputs = inputs(model, &bindings, seed)?;
        let outputs = runner.run(&borrowed(&inputs), &bindings)?;
        if let Some(why) = misdeclared(model, &outputs, &bindings) {
            return Ok(Verdict::Fails { file: model.name.clone(), why });
        }
        if let Some(verdict) = not_finite(model, &outputs) {
            return Ok(verdict);
        }
        let produced = outputs.iter().map(|(name, array)| Produced { output: name.clone(), ty: array.to_string() });
        runs.push(run(&bindings, seed, produced.collect()));
    }
    Ok(Verdict::Runs { runs })
}

fn equal(a: &ModelFile, b: &ModelFile, options: &Options) -> Result<Verdict, Error> {
    let other = other_ports("input", &a.inputs(), &b.inputs());
    if let Some(what) = other.or_else(|| other_ports("output", a.outputs(), b.outputs())) {
        return Ok(Verdict::OtherInterface { what });
    }
    let (first, second) = (Runner::new(a)?, Runner::new(b)?);
    let mut runs = vec![];
    for (bindings, seed) in bindings(&a.inputs(), &options.dims)?.into_iter().zip(options.seeds()) {
        let inputs = inputs(a, &bindings, seed)?;
        let inputs = borrowed(&inputs);
        let left = first.run(&inputs, &bindings)?;
        let right = match second.run(&inputs, &bindings) {
            Ok(right) => right,
            Err(error) => return verdict(error, true),
        };
        for (model, outputs) in [(a, &left), (b, &right)] {
            if let Some(why) = misdeclared(model, outputs, &bindings) {
                return Ok(Verdict::Fails { file: model.name.clone(), why });
            }
        }
        let compared = run(&bindings, seed, compare(&left, &right, options.tolerance));
        if compared.outputs.iter().any(|output| output.difference.is_some()) {
            let blame = blame(a, b, &inputs, &bindings, options.tolerance);
            return Ok(Verdict::Differs { tolerance: options.tolerance, run: compared, blame });
        }
        runs.push(compared);
    }
    Ok(Verdict::Equal { tolerance: options.tolerance, runs })
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
fn not_finite(model: &ModelFile, outputs: &[(String, Array)]) -> Option<Verdict> {
    let (name, array, at) = outputs.iter().find_map(|(name, array)| {
        Some((name, array, array.any().floats()?.iter().position(|value| !value.is_finite())?))
    })?;
    let value = array.any().text(at).unwrap_or_default();
    let why = format!("output `{name}` holds {value} at {:?}", array.index(at));
    let attention = model.graph.node.iter().find(|node| node.op_type.ends_with("Attention"));
    Some(match attention {
        Some(node) => {
            let place = place(node);
            let why = format!("{why}, which is what tract gives for a row that is masked in full; the standard says 0");
            Verdict::NotVerifiable { file: model.name.clone(), reasons: vec![Reason { place, why }] }
        }
        None => Verdict::Fails { file: model.name.clone(), why },
    })
}

/// Where the second model parts from the first: both are run again for all values that they have in common.
fn blame(
    a: &ModelFile,
    b: &ModelFile,
    inputs: &[(&str, &Array)],
    bindings: &Bindings,
    tolerance: f64,
) -> Option<Box<Blame>> {
    let results = |node: &NodeProto| node.output.iter().filter(|name| !name.is_empty()).cloned().collect::<Vec<_>>();
    let in_a: BTreeSet<String> = a.graph.node.iter().flat_map(results).collect();
    let in_b = b.graph.node.iter().flat_map(results);
    let common: Vec<String> = in_b.filter(|name| in_a.contains(name)).collect();
    let values = |model| Runner::of(model, common.clone()).and_then(|runner| runner.run(inputs, bindings));
    let (left, right) = (values(a).ok()?, values(b).ok()?);
    let value = compare(&left, &right, tolerance).into_iter().find(|value| value.difference.is_some())?;
    let producer = |model: &ModelFile| {
        let node = model.graph.node.iter().find(|node| node.output.contains(&value.output));
        node.map_or_else(String::new, place)
    };
    Some(Box::new(Blame { node: producer(b), instead_of: producer(a), value }))
}
