//! The forms of operators by opset: what differs between the IR's normal form, that of opset 28, and a file's.
//!
//! What versions of operators only added is in [`since`], by the opset that brought it: it is written from there on, and
//! an error before. What took another form is in [`steps`], there and back. Where [`standard`] knows of a change that
//! has no step, a node from before it is kept as it came. So an older node is never read as something else, and none is
//! written that an older opset would take for something else; which element types a version takes is not looked at.
//!
//! Where an attribute may be absent in a file and has no default in the IR, the reader fills it in.

mod resize;
mod since;
mod softmax;
mod steps;

use crate::standard;
use netwright_ir::attribute::{AttributeError, Attributes};
use netwright_ir::op::OpaqueOp;
use netwright_ir::{Attribute, Dim, ElementType, Fact, Graph, NodeId, Op, OpKind, Tensor, Value};
use std::ops::RangeInclusive;
use std::sync::Arc;

/// The opsets that are written.
pub const WRITTEN_OPSETS: RangeInclusive<i64> = 7..=NEWEST;

/// The opsets that are read.
pub const READ_OPSETS: RangeInclusive<i64> = 7..=NEWEST;

/// The opset of the normal form.
const NEWEST: i64 = 28;

/// The version of the file format that came with an opset, by the table of ONNX's releases; but for opsets 7 and 8, as
/// version 3 asks that each initializer be an input too.
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

/// The version of the file format that brought an element type.
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

/// A node as it stands in a file.
#[derive(Debug)]
pub(crate) struct Form {
    pub(crate) domain: Arc<str>,
    pub(crate) op_type: Arc<str>,
    pub(crate) overload: Arc<str>,
    pub(crate) attributes: Vec<(Arc<str>, Attribute)>,
    pub(crate) operands: Vec<Operand>,
    /// In a node that is read: it works on its operand flattened at that axis, and its result is reshaped back.
    flattened: Option<i64>,
}

/// An operand as it stands in a file.
#[derive(Debug)]
pub(crate) enum Operand {
    Absent,
    Value(Value),
    /// A tensor that the normal form does not need, and the word for its name.
    New(&'static str, Tensor),
}

/// Why a node cannot be written at an opset.
#[derive(Debug, thiserror::Error)]
pub enum FormError {
    /// It exists in the IR alone.
    #[error("`{0}` has no ONNX form: lower the graph for a target before it is written")]
    Fused(&'static str),
    /// The opset is older than the operator.
    #[error("{operator} begins at opset {since}, and opset {opset} is to be written")]
    Younger {
        /// The operator, by ONNX's name.
        operator: &'static str,
        /// Its first opset.
        since: i64,
        /// The one to be written.
        opset: i64,
    },
    /// It is kept as it came, and its operators changed since.
    #[error("{operator} is not understood as it stands, was written for version {from}, and changed in version {to}")]
    Opaque {
        /// The operator's type.
        operator: String,
        /// The version that it was written for.
        from: i64,
        /// The version that changed it.
        to: i64,
    },
    /// The opset's form of the operator says less.
    #[error("{operator} has no such form at opset {opset}: {why}")]
    Narrower {
        /// The operator, by ONNX's name.
        operator: &'static str,
        /// The one to be written.
        opset: i64,
        /// What the form cannot say.
        why: String,
    },
}

/// A node's surroundings: the graph, the opset of its form in the file, and what is known of its results.
struct Site<'g> {
    graph: &'g Graph,
    opset: i64,
    results: Vec<Option<&'g Fact>>,
}

impl<'g> Site<'g> {
    fn fact(&self, form: &Form, at: usize) -> Option<&'g Fact> {
        if let Some(Operand::Value(value)) = form.operands.get(at) { Some(self.graph.fact(*value)) } else { None }
    }

    fn element(&self, form: &Form, at: usize) -> Option<ElementType> {
        self.fact(form, at)?.element()
    }

    fn shape(&self, form: &Form, at: usize) -> Option<&'g [Dim]> {
        self.fact(form, at)?.shape().map(|shape| &**shape)
    }

    fn result_shape(&self, at: usize) -> Option<&'g [Dim]> {
        self.results.get(at).copied().flatten()?.shape().map(|shape| &**shape)
    }

    /// The operand, where it is known when the model is built.
    fn tensor<'a>(&'a self, form: &'a Form, at: usize) -> Option<&'a Tensor> {
        match form.operands.get(at)? {
            Operand::Absent => None,
            Operand::Value(value) => self.graph.tensor(*value),
            Operand::New(_, tensor) => Some(tensor),
        }
    }
}

impl Form {
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

    /// Takes an operand away; those behind it stay where they are.
    fn clear_operand(&mut self, at: usize) {
        if let Some(operand) = self.operands.get_mut(at) {
            *operand = Operand::Absent;
        }
        while matches!(self.operands.last(), Some(Operand::Absent)) {
            self.operands.pop();
        }
    }
}

/// The form of an operator that is kept as it came, where its domain is of that version in the file to be written.
pub(crate) fn kept(graph: &Graph, id: NodeId, kept: &OpaqueOp, version: Option<i64>) -> Result<Form, FormError> {
    let changed = version.filter(|version| *version != kept.version).and_then(|version| {
        // Nothing is known of versions beyond the newest.
        if kept.domain.is_empty() && version.max(kept.version) <= NEWEST {
            standard::changed_between(&kept.op_type, kept.version, version)
        } else {
            Some(version)
        }
    });
    match changed {
        Some(to) => Err(FormError::Opaque { operator: kept.op_type.to_string(), from: kept.version, to }),
        None => to_opset(graph, id, kept.version, false),
    }
}

/// The form of a node at an opset; with `early`, of one that ONNX Runtime runs before the opset that brings it, too.
pub(crate) fn to_opset(graph: &Graph, id: NodeId, opset: i64, early: bool) -> Result<Form, FormError> {
    let op = graph.node(id).op();
    let kind = op.kind();
    if kind.is_fused() {
        return Err(FormError::Fused(kind.word()));
    }
    let (domain, op_type, overload) = match op {
        Op::Opaque(kept) => (kept.domain.clone(), kept.op_type.clone(), kept.overload.clone()),
        _ => ("".into(), kind.name().into(), "".into()),
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
    let site = Site { graph, opset, results };
    let lowered = steps::lower(&mut form, &site);
    let is_early = early && standard::runs_early(operator);
    if let Some(since) = standard::since(&form.op_type).filter(|since| opset < *since && !is_early) {
        return Err(FormError::Younger { operator, since, opset });
    }
    let narrower = |why| FormError::Narrower { operator, opset, why };
    lowered.map_err(narrower)?;
    if let Some(since) = steps::gap(operator, opset) {
        return Err(narrower(format!("opset {since} changed its meaning")));
    }
    match since::younger(operator, &form, site.results.len(), opset) {
        Some((what, since)) => Err(narrower(format!("its {what} begins at opset {since}"))),
        None => Ok(form),
    }
}

/// A node of the default domain as a file has it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Written<'a> {
    pub(crate) op_type: &'a str,
    pub(crate) opset: i64,
    pub(crate) attributes: &'a [(Arc<str>, Attribute)],
    pub(crate) operands: &'a [Option<Value>],
    /// How many there are.
    pub(crate) results: usize,
}

/// A node in normal form.
pub(crate) struct Normal {
    pub(crate) op: Op,
    pub(crate) operands: Vec<Option<Value>>,
}

/// The node in normal form; `None` where it is not understood as it stands, and is to be kept.
///
/// What the normal form has as nodes of their own (operands that were attributes, reshapes around a softmax) is inserted
/// into the graph, under the names that `name` makes of a word.
pub(crate) fn from_opset(
    graph: &mut Graph,
    node: Written<'_>,
    name: &mut dyn FnMut(&str) -> Arc<str>,
) -> Result<Option<Normal>, String> {
    let operands = node.operands.iter().map(|operand| operand.map_or(Operand::Absent, Operand::Value));
    let mut form = Form {
        domain: "".into(),
        op_type: node.op_type.into(),
        overload: "".into(),
        attributes: node.attributes.to_vec(),
        operands: operands.collect(),
        flattened: None,
    };
    let site = Site { graph, opset: node.opset, results: vec![None; node.results] };
    let younger = since::younger(node.op_type, &form, node.results, node.opset).is_some();
    if younger || steps::gap(node.op_type, node.opset).is_some() || !steps::raise(&mut form, &site) {
        return Ok(None);
    }
    let Some(kind) = OpKind::from_name(&form.op_type) else { return Ok(None) };
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
            Operand::New(word, tensor) => Some(graph.constant(&name(word), tensor)),
        });
    }
    match (form.flattened, operands.first().copied().flatten()) {
        (Some(axis), Some(operand)) => flattened(graph, op, operand, axis, name).map(Some),
        _ => Ok(Some(Normal { op, operands })),
    }
}

/// Fills in what the IR always has, and takes away what it never has; `false` where that cannot be.
fn complete(kind: OpKind, form: &mut Form, rank: Option<usize>, results: usize) -> bool {
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
            // All axes in reverse, of a rank that is not known.
            _ => return form.has("perm"),
        },
        // The number of results says it already.
        "Split" => return form.remove("num_outputs").is_none_or(|parts| parts == count(results)),
        "Range" if form.int("stash_type") == Some(1) => {
            form.remove("stash_type");
        }
        "Cast" | "CastLike" if form.text("round_mode") == Some(b"up") => {
            form.remove("round_mode");
        }
        _ => {}
    }
    true
}

fn count(results: usize) -> Attribute {
    Attribute::Int(i64::try_from(results).unwrap_or(i64::MAX))
}

/// The operator between a `Flatten` of its operand and a `Reshape` of its result, which is returned.
fn flattened(
    graph: &mut Graph,
    op: Op,
    operand: Value,
    axis: i64,
    name: &mut dyn FnMut(&str) -> Arc<str>,
) -> Result<Normal, String> {
    let mut insert = |word: &str, op: Op, operand: Value| {
        graph.append(&name(word), op, &[operand]).map_err(|error| error.to_string())
    };
    let flat = insert("flat", Op::Flatten { axis }, operand)?;
    let result = insert("flat_result", op, flat)?;
    let shape = insert("shape", Op::Shape { start: 0, end: None }, operand)?;
    Ok(Normal { op: Op::Reshape { allowzero: false }, operands: vec![Some(result), Some(shape)] })
}
