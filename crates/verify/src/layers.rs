//! Finds where two models drift apart: runs both, compares the values that they have in common, and names the operator
//! that adds most of the error.

mod matching;

use crate::file::{ModelFile, place};
use crate::given::beyond_table;
use crate::interface::{other_ports, sizes};
use crate::ranges::in_chunks;
use crate::runner::Runner;
use crate::runs::{first_case, judge};
use crate::special::Special;
use crate::tolerance::Criteria;
use crate::verdict::Outputs;
use crate::{Array, Options, Verdict, VerifyError, compare};
use matching::{Matched, matched, producers, sources};
use netwright_ir::{Dim, OpKind, Symbol};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use tract_onnx::pb::NodeProto;

/// The comparison of one value that two models have in common.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[non_exhaustive]
pub struct Layer {
    /// The name of the value in the second model.
    pub value: String,
    /// Its name in the first model.
    pub first_value: String,
    /// The operator that computes it in the second model.
    pub operator: String,
    /// The operator that computes it in the first model.
    pub first_operator: String,
    /// The node of the second model.
    pub node: String,
    /// The node of the first model.
    pub first_node: String,
    /// The node of the second model that computed the elements, if `node` only moves them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub computed_by: Option<String>,
    /// The norm of the difference divided by the norm of the value in the first model; `None` if an element is finite in
    /// only one of the models, or only the first value is 0.
    pub error: Option<f64>,
    /// The error that arose after the nearest values before this one that are compared, as a share of the norm of the value
    /// in the second model, which is 0 if their errors explain this one. Independent errors add up in squares. `None` if
    /// `error` is.
    pub added: Option<f64>,
}

/// Compares the values that two models have in common, in the order of the nodes of the second model, for the sizes and
/// the seed with which their outputs differ, or else the first with which both run.
pub(crate) fn by_layer(
    a: &ModelFile,
    b: &ModelFile,
    special: &Special,
    options: &Options,
) -> Result<Verdict, VerifyError> {
    if let Some(what) = other_ports("input", &a.inputs(), &b.inputs()) {
        return Ok(Verdict::OtherInterface { what });
    }
    let (outputs, differing, why) = where_outputs_differ(a, b, special, options)?;
    let options = differing.as_ref().unwrap_or(options);
    let runtime = &options.runtime;
    let first = Runner::new(a, runtime)?;
    let mut notes = vec![];
    let case = first_case(a, Some((b, special)), &first, options, &mut notes)?;
    drop(first);
    let criteria = Criteria::new(a, Some(b), options);
    let pairs = matched(a, b);
    let mut errors: BTreeMap<&str, Option<f64>> = BTreeMap::new();
    let left_out = in_chunks(&pairs, |chunk| {
        let values = |model, name: fn(&Matched<'_>) -> String| {
            let mut names: Vec<String> = chunk.iter().map(name).collect();
            names.sort();
            names.dedup();
            Runner::of(model, runtime, names)?.run(&case.borrowed(), &case.bindings)
        };
        let (left, right) = (values(a, |pair| pair.a.to_owned())?, values(b, |pair| pair.b.to_owned())?);
        let find = |all: &[(String, Array)], name: &str| {
            all.iter().find(|(other, _)| other == name).map(|(_, array)| array.widened())
        };
        for pair in chunk {
            let Some((left, right)) = find(&left, pair.a).zip(find(&right, pair.b)) else { continue };
            if left.any().floats().is_some() && left.shape() == right.shape() {
                errors.insert(pair.b, error(left, right));
            }
        }
        Ok(left.iter().chain(&right).map(|(_, array)| array.any().len()).sum())
    })?;
    if !left_out.is_empty() {
        if let Some(error) = options.inputs.as_ref().and_then(|path| beyond_table(path, a)) {
            return Err(error);
        }
        notes.push(format!("{} values are left out because {runtime} cannot return them", left_out.len()));
    }
    let layers = layers(a, b, &pairs, &errors);
    let bindings = case.bindings.iter().map(|(symbol, size)| (symbol.as_str().to_owned(), *size)).collect();
    notes.push(format!("with {}, seed {}{why}", sizes(&case.bindings), case.seed));
    let (runtime, tolerance) = (runtime.to_string(), criteria.tolerance);
    Ok(Verdict::ByLayer { runtime, bindings, seed: case.seed, tolerance, outputs, layers, notes, also: vec![] })
}

/// Verifies the outputs. If they differ, also returns options for only the sizes and the seed with which they do; and what
/// to note.
fn where_outputs_differ(
    a: &ModelFile,
    b: &ModelFile,
    special: &Special,
    options: &Options,
) -> Result<(Outputs, Option<Options>, String), VerifyError> {
    let not_found = |why: &Verdict| format!("; no run was found in which the outputs differ: {why}");
    Ok(match judge(a, Some(b), special, options)? {
        Verdict::Differs { run, .. } => {
            let sizes = run.bindings.iter().map(|(symbol, size)| (Symbol::new(symbol.as_str()), Dim::Known(*size)));
            let found = options.clone().with_dims(sizes).with_seed(run.seed);
            // Given inputs have their sizes.
            let found = options.inputs.is_none().then_some(found);
            (Outputs::Differ, found, ", for which the outputs differ".to_owned())
        }
        fine if fine.is_fine() => {
            (Outputs::Agree, None, "; in no run do the outputs differ by more than is allowed".to_owned())
        }
        verdict @ Verdict::NotVerifiable { .. } => (Outputs::NotJudged, None, not_found(&verdict)),
        verdict @ Verdict::Fails { .. } => (Outputs::Fail, None, not_found(&verdict)),
        verdict => (Outputs::Differ, None, not_found(&verdict)),
    })
}

/// Returns the error of a value, as [`Layer::error`].
fn error(a: Array, b: Array) -> Option<f64> {
    let comparison = compare(&[(String::new(), a)], &[(String::new(), b)], 0.0).pop()?;
    match (&comparison.worst, comparison.error_norm) {
        (None, _) => Some(0.0),
        (Some(worst), norm) => worst.error.and(norm),
    }
}

/// Returns the share of the square of a norm that is error, for an error relative to the norm without it: an operator that
/// amplifies what is mostly error already adds little.
fn share(error: f64) -> f64 {
    1.0 - (1.0 + error * error).recip()
}

/// Returns a row for each value that was compared, in the order of the nodes of the second model.
fn layers(a: &ModelFile, b: &ModelFile, pairs: &[Matched<'_>], errors: &BTreeMap<&str, Option<f64>>) -> Vec<Layer> {
    let (in_a, in_b) = (producers(a), producers(b));
    let row = |pair: &Matched<'_>| {
        let (error, from, to) = (*errors.get(pair.b)?, in_a.get(pair.a)?, in_b.get(pair.b)?);
        // The nearest values before this one that are compared.
        let (mut todo, mut seen) = (sources(to), BTreeSet::new());
        let mut before: f64 = 0.0;
        while let Some(name) = todo.pop() {
            match (errors.get(name), in_b.get(name)) {
                _ if !seen.insert(name) => {}
                (Some(error), _) => before += error.map_or(f64::INFINITY, share),
                (None, Some(node)) => todo.extend(sources(node)),
                (None, None) => {}
            }
        }
        let computed_by = computing(to, &in_b, errors).map(place);
        let added = error.map(|error| (share(error) - before).max(0.0).sqrt());
        // An error that was not finite before does not arise here.
        let added = if error.is_none() && before.is_infinite() { Some(0.0) } else { added };
        Some(Layer {
            value: pair.b.to_owned(),
            first_value: pair.a.to_owned(),
            operator: to.op_type.clone(),
            first_operator: from.op_type.clone(),
            node: place(to),
            first_node: place(from),
            computed_by,
            error,
            added,
        })
    };
    pairs.iter().filter_map(row).collect()
}

/// Returns the node that computed the elements of a node's results, if this one only moves elements of values that are not
/// compared.
fn computing<'m>(
    node: &'m NodeProto,
    producers: &BTreeMap<&str, &'m NodeProto>,
    errors: &BTreeMap<&str, Option<f64>>,
) -> Option<&'m NodeProto> {
    let moves = |node: &NodeProto| OpKind::from_name(&node.op_type).is_some_and(OpKind::moves_elements);
    let mut at = node;
    // A hostile model may move in circles.
    for _ in 0..MAX_MOVES {
        let source = at.input.first().filter(|name| moves(at) && !errors.contains_key(name.as_str()));
        let Some(source) = source.and_then(|name| producers.get(name.as_str())) else { break };
        at = *source;
    }
    (!std::ptr::eq(at, node)).then_some(at)
}

/// The number of operators that may move elements before their node is blamed.
const MAX_MOVES: usize = 16;

impl Layer {
    /// The operators of both models: `MatMul -> MatMulNBits`, or one word if they are the same.
    fn operators(&self) -> String {
        let Self { operator, first_operator, .. } = self;
        if operator == first_operator { operator.clone() } else { format!("{first_operator} -> {operator}") }
    }

    /// The error that arose here; infinite if an element is not finite in only one of the models.
    fn contribution(&self) -> f64 {
        self.added.unwrap_or(f64::INFINITY)
    }
}

/// The width of a column beyond which a row is not aligned: a model may have names of a megabyte.
const WIDEST: usize = 120;

/// The share of the largest contribution from which a row is printed.
const SHOWN: f64 = 0.1;

/// Writes the table and the sentence that names the operator that adds most; all rows if `all`.
pub(crate) fn write_table(f: &mut fmt::Formatter<'_>, layers: &[Layer], tolerance: f64, all: bool) -> fmt::Result {
    let worst = layers.iter().max_by(|a, b| a.contribution().total_cmp(&b.contribution()));
    let Some(worst) = worst.filter(|worst| worst.contribution() > 0.0) else {
        return write!(f, "\n  no value differs of the {} that the models have in common", layers.len());
    };
    let drifts = |layer: &Layer| layer.error.is_none_or(|error| error > tolerance);
    let first = layers.iter().position(drifts);
    let last = layers.len().saturating_sub(1);
    let is_shown = |at: usize, layer: &Layer| {
        all || Some(at) == first || at == last || layer.contribution() >= SHOWN * worst.contribution()
    };
    let shown: Vec<&Layer> =
        layers.iter().enumerate().filter(|(at, layer)| is_shown(*at, layer)).map(|(_, l)| l).collect();
    let number = |number: Option<f64>| number.map_or_else(|| "not finite".to_owned(), |number| format!("{number:.1e}"));
    let width = |text: fn(&Layer) -> String| {
        shown.iter().map(|layer| text(layer).chars().count()).filter(|width| *width <= WIDEST).max().unwrap_or(0)
    };
    let (value, operator) = (width(|layer| layer.value.clone()).max(5), width(Layer::operators).max(8));
    write!(f, "\n  {:<value$}  {:<operator$}  {:>10}  {:>10}", "value", "operator", "error", "added")?;
    for layer in &shown {
        let (error, added) = (number(layer.error), number(layer.added));
        write!(f, "\n  {:<value$}  {:<operator$}  {error:>10}  {added:>10}", layer.value, layer.operators())?;
    }
    if shown.len() < layers.len() {
        let (count, percent) = (layers.len(), 100.0 * SHOWN);
        write!(
            f,
            "\n  {} of {count} values are shown: those that add {percent} % of the largest contribution or more, the first \
             beyond {tolerance:e} and the last; --verbose shows all",
            shown.len()
        )?;
    }
    match first.and_then(|at| layers.get(at)) {
        Some(first) => {
            write!(f, "\n  the models drift apart by more than {tolerance:e} first at value `{}`", first.value)?;
        }
        None => write!(f, "\n  no value drifts by more than {tolerance:e}")?,
    }
    write!(f, "\n  {} adds most of the error: ", worst.computed_by.as_ref().unwrap_or(&worst.node))?;
    match worst.added {
        Some(added) => write!(f, "{added:.1e} of the norm of value `{}`", worst.value)?,
        None => write!(f, "value `{}` is finite in only one of the models", worst.value)?,
    }
    match &worst.computed_by {
        None if worst.node == worst.first_node => Ok(()),
        _ => write!(f, "; in the first model, that is {}", worst.first_node),
    }
}
