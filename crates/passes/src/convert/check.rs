//! What a model and a target must have so that weights can be quantized.

use crate::convert::quantization::{Quantization, Scheme};
use crate::convert::readers::{is_weight, names, readers};
use crate::convert::why_not_dequantized;
use crate::options::Options;
use crate::pipeline::{PassError, Report, name_of};
use crate::rule::Skip;
use netwright_ir::nearest::nearest;
use netwright_ir::op::computes_with_integers;
use netwright_ir::{ElementType, Graph, Model, Name, NodeId, Op, OpKind, Tensor, Value, text};

/// The first opset whose DequantizeLinear has blocks, and elements of 4 bits.
pub const BLOCKS_SINCE: i64 = 21;

/// Checks that the weights of a model can be quantized as requested.
///
/// # Errors
/// If the target or the opset has no form for a scheme.
pub(crate) fn check_quantization(
    model: &Model,
    options: &Options,
    quantization: &Quantization,
) -> Result<(), PassError> {
    let fail = |what: String, help: String| Err(PassError::Quantization { what, help });
    let schemes = || quantization.overrides.iter().map(|(_, scheme)| *scheme).chain([quantization.scheme]);
    let target = &options.target;
    if let Some(size) = target.weights.size.filter(|size| *size != quantization.block_size)
        && schemes().any(|scheme| scheme == Scheme::Int4)
    {
        return fail(
            format!("{target} keeps weights of 4 bits only in blocks of {size}, not {}", quantization.block_size),
            format!("use --block-size {size}, or another target"),
        );
    }
    let has_blocks = |scheme: Scheme| match scheme {
        Scheme::Int4 => target.weights.bits.contains(&4),
        Scheme::Int8 => target.weights.bits.contains(&8) || target.weights.whole_columns,
        _ => true,
    };
    let may_raise = options.raise_opset && model.functions.is_empty();
    if let Some(scheme) = schemes().find(|scheme| !has_blocks(*scheme))
        && model.opset() < BLOCKS_SINCE
        && !may_raise
    {
        return fail(
            format!(
                "{scheme} requires opset {BLOCKS_SINCE} for the target {target}, but the model has opset {}",
                model.opset()
            ),
            format!("use --opset {BLOCKS_SINCE}, --target ort, or int8-dynamic"),
        );
    }
    Ok(())
}

/// Returns the error for a model that computes with quantized weights and has no other weight that can be quantized.
pub(crate) fn already_quantized(model: &Model) -> Option<PassError> {
    let (name, word) = quantized(&model.graph)?;
    let what = format!(
        "the model is quantized already: {} is computed by {word}, and no weight in floats can be quantized",
        text::name(&name)
    );
    let help = "quantize the original model, or dequantize this one with --dequantize".to_owned();
    Some(PassError::Quantization { what, help })
}

/// Checks that every pattern matches a weight.
///
/// # Errors
/// If a pattern matches none; the nearest names are suggested. `before` are the names before the model was optimized.
pub(crate) fn check_patterns(graph: &Graph, quantization: &Quantization, before: &[Name]) -> Result<(), PassError> {
    let known = weight_names(graph);
    let unmatched = quantization.overrides.iter().find(|(pattern, _)| !known.iter().any(|name| pattern.is_match(name)));
    let Some((pattern, _)) = unmatched else { return Ok(()) };
    let near = nearest(pattern.as_str(), known.iter().map(|name| &**name), 3);
    let near: Vec<String> = near.into_iter().map(|name| text::name(name).split_off(1)).collect();
    let help = if near.is_empty() {
        "the model has no weights that can be quantized".to_owned()
    } else {
        format!("the nearest names are {}", near.join(", "))
    };
    let why = if before.iter().any(|name| pattern.is_match(name)) {
        ": the one that it names is packed with others or rewritten"
    } else {
        ""
    };
    Err(PassError::Quantization { what: format!("the pattern `{pattern}` matches no weight{why}"), help })
}

/// Returns the names by which weights that can be quantized are found.
pub(crate) fn weight_names(graph: &Graph) -> Vec<Name> {
    let mut found = vec![];
    weights(graph, &mut found);
    found
}

/// Returns the first node that computes with quantized weights, with its operator.
fn quantized(graph: &Graph) -> Option<(Name, String)> {
    graph.schedule().into_iter().find_map(|id| {
        if let Some(word) = word_of_quantized(graph, id) {
            return Some((name_of(graph, id), word.to_owned()));
        }
        graph.node(id).op().bodies().into_iter().find_map(|body| quantized(body))
    })
}

/// Returns the operator of a node that computes with quantized weights.
fn word_of_quantized(graph: &Graph, id: NodeId) -> Option<&str> {
    let op = graph.node(id).op();
    let held = graph.operand(id, 0).and_then(|value| graph.tensor(value));
    let word = op.name();
    let is_quantized = match op {
        Op::DequantizeLinear { .. } => held.is_some(),
        Op::Gather { .. } => {
            held.is_some_and(|table| table.element() == ElementType::I8 && table.dims().len() == 2)
                && is_dequantized(graph, Value { node: id, result: 0 })
        }
        _ => computes_with_integers(word) || MARKS.iter().any(|mark| word.contains(mark)),
    };
    is_quantized.then_some(word)
}

/// A node that computes with stored quantized weights.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeptQuantized {
    /// The name of its first result.
    pub node: Name,
    /// The operator.
    pub operator: String,
    /// Why [`dequantize`](Options::dequantize) left it, if a rule said so.
    pub why: Option<String>,
}

/// Returns the nodes that compute with stored quantized weights, in the graph and its bodies.
pub fn quantized_weights(graph: &Graph, report: &Report) -> Vec<KeptQuantized> {
    let mut found = vec![];
    for id in graph.schedule() {
        let op = graph.node(id).op();
        let is_code =
            |tensor: &Tensor| tensor.element().is_integer() && tensor.element().bits() <= 8 && tensor.count() > 1;
        let has_codes = graph.operands(id).into_iter().flatten().any(|value| graph.tensor(value).is_some_and(is_code));
        let word = if has_codes && op.kind() != OpKind::QuantizeLinear { word_of_quantized(graph, id) } else { None };
        found.extend(word.map(|word| {
            let node = name_of(graph, id);
            let why = why_not_dequantized(report, &node).map(ToOwned::to_owned);
            KeptQuantized { node, operator: word.to_owned(), why }
        }));
        found.extend(op.bodies().into_iter().flat_map(|body| quantized_weights(body, report)));
    }
    found
}

/// What the names of operators with quantized operands that compute with floats have in common.
const MARKS: [&str; 4] = ["NBits", "Bnb4", "Quantize", "QMoE"];

/// Returns whether all uses of codes turn them into floats.
fn is_dequantized(graph: &Graph, codes: Value) -> bool {
    let users = graph.users(codes);
    let is_float = |user: NodeId| match graph.node(user).op() {
        Op::Cast { to, .. } => to.is_float(),
        op => op.kind() == OpKind::DequantizeLinear,
    };
    !users.is_empty() && !graph.is_output(codes) && users.into_iter().all(|(user, _)| is_float(user))
}

/// Lists the names by which weights that can be quantized are found, in the graph and its bodies.
fn weights(graph: &Graph, found: &mut Vec<Name>) {
    for id in graph.schedule() {
        let value = Value { node: id, result: 0 };
        let op = graph.node(id).op();
        if matches!(op.kind(), OpKind::Parameter | OpKind::Constant) && graph.tensor(value).is_some_and(is_weight) {
            match readers(graph, value) {
                Ok(readers) => found.extend(names(graph, value, &readers)),
                Err(Skip::Rejected(_)) => found.push(graph.value_name(value).clone()),
                Err(Skip::NoMatch) => {}
            }
        }
        op.bodies().into_iter().for_each(|body| weights(body, found));
    }
}
