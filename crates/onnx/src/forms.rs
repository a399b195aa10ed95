//! The forms of operators by opset: conversion between the IR's normal form, that of opset 28, and the form in a file.
//!
//! What versions of operators only added is in [`since`]: it can be written from that opset on, and is an error at
//! older ones. What took another form is in [`steps`], in both directions. If [`standard`] lists a change that has no
//! step, an older node is opaque. So an older node is never misread, and no node is written that an older opset would
//! misread. The element types that a version accepts are not checked here.
//!
//! If an attribute may be absent in a file but has no default in the IR, the reader fills it in.

mod resize;
mod since;
mod softmax;
mod steps;

use crate::standard;
use netwright_files::Code;
use netwright_ir::attribute::{AttributeError, Attributes};
use netwright_ir::op::OpaqueOp;
use netwright_ir::{Attribute, Dim, ElementType, Fact, Graph, NodeId, Op, OpKind, Tensor, Value};
use std::ops::RangeInclusive;
use std::sync::Arc;

/// The opsets that can be written.
pub const WRITTEN_OPSETS: RangeInclusive<i64> = 7..=NEWEST;

/// The opsets whose operators are read into normal form.
pub const READ_OPSETS: RangeInclusive<i64> = 7..=NEWEST;

/// The opset of the normal form.
const NEWEST: i64 = 28;

/// Returns the IR version that was released with an opset, by ONNX's table of releases, except for opsets 7 and 8: IR
/// version 3 requires each initializer to be an input too.
pub(crate) fn ir_version(opset: i64) -> i64 {
    match opset {
        ..=9 => 4,
        10 => 5,
        11 => 6,
        12..=14 => 7,
        15..=18 => 8,
        19..=20 => 9,
        21..=22 => 10,
        23 => 11,
        24 => 12,
        25..=27 => 13,
        _ => 14,
    }
}

/// Returns the IR version that introduced an element type.
pub(crate) fn ir_version_of(element: ElementType) -> i64 {
    match element {
        ElementType::F8E4M3FN | ElementType::F8E4M3FNUZ | ElementType::F8E5M2 | ElementType::F8E5M2FNUZ => 9,
        ElementType::U4 | ElementType::I4 => 10,
        ElementType::F4E2M1 => 11,
        ElementType::F8E8M0 => 12,
        ElementType::U2 | ElementType::I2 => 13,
        ElementType::F6E2M3 | ElementType::F6E3M2 => 14,
        _ => 1,
    }
}

/// A node in the form that it has in a file.
#[derive(Debug)]
pub(crate) struct Form<'g> {
    pub(crate) domain: &'g str,
    pub(crate) op_type: &'g str,
    pub(crate) overload: &'g str,
    pub(crate) attributes: Vec<(Arc<str>, Attribute)>,
    pub(crate) operands: Vec<Operand>,
    /// In a node that is read: the axis at which its operand is flattened; its result is reshaped back.
    flattened: Option<i64>,
}

/// An operand in the form that it has in a file.
#[derive(Debug)]
pub(crate) enum Operand {
    Absent,
    Value(Value),
    /// A tensor that the normal form does not have, and the word for its name.
    New(&'static str, Box<Tensor>),
}

/// Why a node cannot be written at an opset.
#[derive(Debug, thiserror::Error)]
pub enum FormError {
    /// The operator exists only in the IR.
    #[error("`{0}` has no ONNX form")]
    Fused(&'static str),
    /// The opset is older than the operator.
    #[error("{operator} requires opset {since}, but the model is written at opset {opset}")]
    OpsetTooOld {
        /// The operator, by ONNX's name.
        operator: &'static str,
        /// The first opset that has it.
        since: i64,
        /// The opset to write.
        opset: i64,
    },
    /// The node is opaque, and its operator changed between the opsets.
    #[error("{operator} was written for version {from} and cannot be converted to version {to}, which changed it")]
    Opaque {
        /// The operator type.
        operator: String,
        /// The version that the node was written for.
        from: i64,
        /// The version that changed it.
        to: i64,
    },
    /// The operator's form at this opset cannot express the node.
    #[error("{operator} cannot be expressed at opset {opset}: {why}")]
    NotExpressible {
        /// The operator, by ONNX's name.
        operator: &'static str,
        /// The opset to write.
        opset: i64,
        /// Why the form cannot express it.
        why: String,
    },
}

impl FormError {
    /// Returns the code of this kind of error.
    pub fn code(&self) -> Code {
        match self {
            Self::Fused(_) => Code::FusedForm,
            Self::OpsetTooOld { .. } => Code::OpsetTooOld,
            Self::Opaque { .. } => Code::OpaqueVersion,
            Self::NotExpressible { .. } => Code::NotExpressible,
        }
    }

    /// Returns how to fix it, as an imperative.
    pub(crate) fn help(&self) -> String {
        match self {
            Self::Fused(_) => "lower the graph for a target before writing it".to_owned(),
            Self::OpsetTooOld { since, .. } => format!("write the model at opset {since} or newer"),
            Self::Opaque { from, .. } => format!("write the model at version {from} of the operator's domain"),
            Self::NotExpressible { .. } => "write the model at a newer opset".to_owned(),
        }
    }
}

/// The context of a node: the graph, the opset of its form in the file, and the facts of its results.
struct Site<'g> {
    graph: &'g Graph,
    opset: i64,
    /// The opset that the model is written in.
    target: i64,
    results: Vec<Option<&'g Fact>>,
}

impl<'g> Site<'g> {
    fn fact(&self, form: &Form<'_>, at: usize) -> Option<&'g Fact> {
        if let Some(Operand::Value(value)) = form.operands.get(at) { Some(self.graph.fact(*value)) } else { None }
    }

    fn element(&self, form: &Form<'_>, at: usize) -> Option<ElementType> {
        self.fact(form, at)?.element()
    }

    fn shape(&self, form: &Form<'_>, at: usize) -> Option<&'g [Dim]> {
        self.fact(form, at)?.shape().map(|shape| &**shape)
    }

    fn result_shape(&self, at: usize) -> Option<&'g [Dim]> {
        self.results.get(at).copied().flatten()?.shape().map(|shape| &**shape)
    }

    /// Returns the operand, if it is a constant.
    fn tensor<'a>(&'a self, form: &'a Form<'_>, at: usize) -> Option<&'a Tensor> {
        match form.operands.get(at)? {
            Operand::Absent => None,
            Operand::Value(value) => self.graph.tensor(*value),
            Operand::New(_, tensor) => Some(tensor),
        }
    }
}

impl Form<'_> {
    fn attribute(&self, name: &str) -> Option<&Attribute> {
        self.attributes.iter().find(|(other, _)| **other == *name).map(|(_, value)| value)
    }

    fn has(&self, name: &str) -> bool {
        self.attribute(name).is_some()
    }

    fn int(&self, name: &str) -> Option<i64> {
        if let Some(Attribute::Int(value)) = self.attribute(name) { Some(*value) } else { None }
    }

    fn element(&self, name: &str) -> Option<ElementType> {
        if let Some(Attribute::Element(element)) = self.attribute(name) { Some(*element) } else { None }
    }

    fn text(&self, name: &str) -> Option<&[u8]> {
        if let Some(Attribute::Text(text)) = self.attribute(name) { Some(text) } else { None }
    }

    fn remove(&mut self, name: &str) -> Option<Attribute> {
        let at = self.attributes.iter().position(|(other, _)| **other == *name)?;
        Some(self.attributes.remove(at).1)
    }

    fn set_text(&mut self, name: &str, text: &'static str) {
        let value = Attribute::Text(text.as_bytes().into());
        match self.attributes.iter_mut().find(|(other, _)| **other == *name) {
            Some((_, old)) => *old = value,
            None => self.attributes.push((name.into(), value)),
        }
    }

    fn is_absent(&self, at: usize) -> bool {
        matches!(self.operands.get(at), None | Some(Operand::Absent))
    }

    fn set_operand(&mut self, at: usize, operand: Operand) {
        while self.operands.len() <= at {
            self.operands.push(Operand::Absent);
        }
        self.operands[at] = operand;
    }

    /// Removes an operand; those after it keep their positions.
    fn clear_operand(&mut self, at: usize) {
        if let Some(operand) = self.operands.get_mut(at) {
            *operand = Operand::Absent;
        }
        while matches!(self.operands.last(), Some(Operand::Absent)) {
            self.operands.pop();
        }
    }
}

/// Returns the form of an opaque node, if its operator is the same in `version`, the version of its domain in the file
/// to write.
pub(crate) fn opaque<'g>(
    graph: &'g Graph,
    id: NodeId,
    opaque: &OpaqueOp,
    version: Option<i64>,
) -> Result<Form<'g>, FormError> {
    let changed = version.filter(|version| *version != opaque.version).and_then(|version| {
        // Changes beyond the newest opset are unknown.
        if opaque.domain.is_empty() && version.max(opaque.version) <= NEWEST {
            standard::changed_between(&opaque.op_type, opaque.version, version)
        } else {
            Some(version)
        }
    });
    match changed {
        Some(to) => Err(FormError::Opaque { operator: opaque.op_type.to_string(), from: opaque.version, to }),
        None => to_opset(graph, id, opaque.version, false),
    }
}

/// Returns the form of a node at an opset. With `early`, operators that ONNX Runtime runs before their first opset are
/// allowed at older opsets.
pub(crate) fn to_opset(graph: &Graph, id: NodeId, opset: i64, early: bool) -> Result<Form<'_>, FormError> {
    let op = graph.node(id).op();
    let kind = op.kind();
    if kind.is_fused() {
        return Err(FormError::Fused(kind.word()));
    }
    let (domain, op_type, overload) = match op {
        Op::Opaque(opaque) => (&*opaque.domain, &*opaque.op_type, &*opaque.overload),
        _ => ("", kind.name(), ""),
    };
    let attributes = op.attributes().into_iter().map(|(name, value)| (name.into(), value)).collect();
    let operands = graph.operands(id).into_iter().map(|operand| operand.map_or(Operand::Absent, Operand::Value));
    let mut form = Form { domain, op_type, overload, attributes, operands: operands.collect(), flattened: None };
    if kind == OpKind::Opaque {
        return Ok(form);
    }
    let operator = kind.name();
    let results: Vec<_> = graph.results(id).map(|value| Some(graph.fact(value))).collect();
    if kind == OpKind::Split && form.is_absent(1) {
        form.attributes.push(("num_outputs".into(), count(results.len())));
    }
    let site = Site { graph, opset, target: opset, results };
    let lowered = steps::lower(&mut form, &site);
    let is_early = early && standard::runs_early(operator);
    if let Some(since) = standard::since(form.op_type).filter(|since| opset < *since && !is_early) {
        return Err(FormError::OpsetTooOld { operator, since, opset });
    }
    let refusal = |why| FormError::NotExpressible { operator, opset, why };
    lowered.map_err(refusal)?;
    if let Some(since) = steps::gap(operator, opset) {
        return Err(refusal(format!("opset {since} changed the meaning of the operator")));
    }
    match since::too_new(operator, &form, site.results.len(), opset) {
        Some((what, since)) => Err(refusal(format!("its {what} requires opset {since}"))),
        None => Ok(form),
    }
}

/// A node of the default domain as it is in a file.
#[derive(Clone, Copy, Debug)]
pub(crate) struct FileNode<'a> {
    pub(crate) op_type: &'a str,
    pub(crate) opset: i64,
    /// The opset that the model is written in; that of the node unless it is converted.
    pub(crate) target: i64,
    pub(crate) attributes: &'a [(Arc<str>, Attribute)],
    pub(crate) operands: &'a [Option<Value>],
    /// The number of results.
    pub(crate) results: usize,
}

/// A node in normal form.
pub(crate) struct Normal {
    pub(crate) op: Op,
    pub(crate) operands: Vec<Option<Value>>,
}

/// Converts a node to normal form; `None` if its form is unknown and it must be opaque.
///
/// Nodes that only the normal form has (constants for operands that were attributes, reshapes around a softmax) are
/// inserted into the graph, under the names that `name` makes of a word.
pub(crate) fn from_opset(
    graph: &mut Graph,
    node: FileNode<'_>,
    name: &mut dyn FnMut(&str) -> Arc<str>,
) -> Result<Option<Normal>, String> {
    let operands = node.operands.iter().map(|operand| operand.map_or(Operand::Absent, Operand::Value));
    let mut form = Form {
        domain: "",
        op_type: node.op_type,
        overload: "",
        attributes: node.attributes.to_vec(),
        operands: operands.collect(),
        flattened: None,
    };
    let site = Site { graph, opset: node.opset, target: node.target, results: vec![None; node.results] };
    let is_too_new = since::too_new(node.op_type, &form, node.results, node.opset).is_some();
    if is_too_new || steps::gap(node.op_type, node.opset).is_some() || !steps::raise(&mut form, &site) {
        return Ok(None);
    }
    let Some(kind) = OpKind::from_name(form.op_type) else { return Ok(None) };
    let rank = site.shape(&form, 0).map(<[_]>::len);
    if !complete(kind, &mut form, rank, node.results) {
        return Ok(None);
    }
    let op = match Attributes::new(form.attributes).and_then(|attributes| Op::from_attributes(kind, attributes)) {
        Ok(op) => op,
        Err(AttributeError::Unknown(_)) => return Ok(None),
        Err(error) => return Err(error.to_string()),
    };
    let mut operands = vec![];
    for operand in form.operands {
        operands.push(match operand {
            Operand::Absent => None,
            Operand::Value(value) => Some(value),
            Operand::New(word, tensor) => Some(graph.constant(&name(word), *tensor)),
        });
    }
    match (form.flattened, operands.first().copied().flatten()) {
        (Some(axis), Some(operand)) => flattened(graph, op, operand, axis, node.target >= 14, name).map(Some),
        _ => Ok(Some(Normal { op, operands })),
    }
}

/// Adds the attributes that the IR always has and removes those that it never has; `false` if that is not possible.
fn complete(kind: OpKind, form: &mut Form<'_>, rank: Option<usize>, results: usize) -> bool {
    let mut default = |name: &str, value: Attribute| {
        if !form.has(name) {
            form.attributes.push((name.into(), value));
        }
    };
    match kind.name() {
        "Softmax" | "LogSoftmax" | "Hardmax" => default("axis", Attribute::Int(-1)),
        "LayerNormalization" | "RMSNormalization" => default("epsilon", Attribute::Float(1e-5)),
        "Transpose" => match rank.map(i64::try_from) {
            Some(Ok(rank)) => default("perm", Attribute::Ints((0..rank).rev().collect())),
            // The default reverses all axes, of unknown rank here.
            _ => return form.has("perm"),
        },
        // The number of results implies it.
        "Split" => return form.remove("num_outputs").is_none_or(|parts| parts == count(results)),
        "Range" if form.int("stash_type") == Some(1) => {
            form.remove("stash_type");
        }
        _ => {}
    }
    true
}

fn count(results: usize) -> Attribute {
    Attribute::Int(i64::try_from(results).unwrap_or(i64::MAX))
}

/// Inserts the operator between a `Flatten` of its operand and a `Reshape` of its result; returns the `Reshape`, which
/// restores sizes of 0 with `allowzero`.
fn flattened(
    graph: &mut Graph,
    op: Op,
    operand: Value,
    axis: i64,
    allowzero: bool,
    name: &mut dyn FnMut(&str) -> Arc<str>,
) -> Result<Normal, String> {
    let mut insert = |word: &str, op: Op, operand: Value| {
        graph.append(&name(word), op, &[operand]).map_err(|error| error.to_string())
    };
    let flat = insert("flat", Op::Flatten { axis }, operand)?;
    let result = insert("flat_result", op, flat)?;
    let shape = insert("shape", Op::Shape { start: 0, end: None }, operand)?;
    Ok(Normal { op: Op::Reshape { allowzero }, operands: vec![Some(result), Some(shape)] })
}
