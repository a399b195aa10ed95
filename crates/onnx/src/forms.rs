//! The forms of operators by opset: what differs between the IR's normal form (opset 21 to 24) and a file's.
//!
//! | operator                              | below opset | form there                                             |
//! |---------------------------------------|-------------|--------------------------------------------------------|
//! | Gelu                                  | 20          | none                                                   |
//! | RMSNormalization                      | 23          | none                                                   |
//! | ReduceMean, ReduceMax, ReduceMin      | 18          | the axes are an attribute; there are always some to reduce |
//! | Split                                 | 18          | no `num_outputs`; equal parts must come out even       |
//! | Cast                                  | 19          | no `saturate`; there are no 8-bit floats               |
//!
//! Where an attribute may be absent in a file and has no default in the IR, the reader fills it in.

use netwright_ir::attribute::{AttributeError, Attributes};
use netwright_ir::op::Kept;
use netwright_ir::{Attribute, Dim, ElementType, Graph, Kind, NodeId, Op, Tensor, Value};
use std::ops::RangeInclusive;
use std::sync::Arc;

/// The opsets that are written.
pub const WRITTEN_OPSETS: RangeInclusive<i64> = 17..=24;

/// The opsets that are read. Between 25 and 28 the standard's changes to understood operators are new element types.
pub const READ_OPSETS: RangeInclusive<i64> = 17..=28;

/// The version of the file format that came with an opset, by the table of ONNX's releases.
pub(crate) fn ir_version(opset: i64) -> i64 {
    match opset {
        ..=18 => 8,
        19..=20 => 9,
        21..=22 => 10,
        23 => 11,
        _ => 12,
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

/// The first opset of the operators that are younger than the oldest opset written.
const SINCE: &[(Kind, i64)] = &[(Kind::Gelu, 20), (Kind::RMSNormalization, 23)];

/// A node as it stands in a file.
#[derive(Debug)]
pub(crate) struct Form {
    pub(crate) domain: Arc<str>,
    pub(crate) op_type: Arc<str>,
    pub(crate) overload: Arc<str>,
    pub(crate) attributes: Vec<(Arc<str>, Attribute)>,
    pub(crate) operands: Vec<Operand>,
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
    /// It is kept as it came, for another version of its domain.
    #[error("{operator} is not understood and was written for version {from} of its operators, not {to}")]
    Kept {
        /// The operator's type.
        operator: String,
        /// The version that it was written for.
        from: i64,
        /// The one to be written.
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
        why: &'static str,
    },
}

/// The form of a node at an opset.
pub(crate) fn to_opset(graph: &Graph, id: NodeId, opset: i64) -> Result<Form, FormError> {
    let op = graph.node(id).op();
    let kind = op.kind();
    if kind.is_fused() {
        return Err(FormError::Fused(kind.word()));
    }
    if let Some(&(_, since)) = SINCE.iter().find(|(young, since)| *young == kind && opset < *since) {
        return Err(FormError::Younger { operator: kind.name(), since, opset });
    }
    let (domain, op_type, overload) = match op {
        Op::Kept(kept) => (kept.domain.clone(), kept.op_type.clone(), kept.overload.clone()),
        _ => ("".into(), kind.name().into(), "".into()),
    };
    let attributes = op.attributes().into_iter().map(|(name, value)| (name.into(), value)).collect();
    let operands = graph.operands(id).into_iter().map(|operand| operand.map_or(Operand::Absent, Operand::Value));
    let mut form = Form { domain, op_type, overload, attributes, operands: operands.collect() };
    let narrower = |why| Err(FormError::Narrower { operator: kind.name(), opset, why });
    match kind {
        Kind::ReduceMean | Kind::ReduceMax | Kind::ReduceMin if opset < 18 => {
            let noop = form.remove("noop_with_empty_axes") == Some(Attribute::Bool(true));
            let axes = match graph.operand(id, 1) {
                None => vec![],
                Some(axes) => match graph.tensor(axes).and_then(Tensor::integers) {
                    Some(axes) => axes,
                    None => return narrower("its axes are computed, and an attribute is needed"),
                },
            };
            form.operands.truncate(1);
            match (axes.is_empty(), noop) {
                (true, true) => return narrower("no axes mean none, and there they mean all"),
                (true, false) => {}
                (false, _) => form.attributes.insert(0, ("axes".into(), Attribute::Ints(axes))),
            }
        }
        Kind::Split if graph.operand(id, 1).is_none() => {
            let parts = graph.node(id).result_count();
            form.operands.truncate(1);
            if opset >= 18 {
                form.attributes.push(("num_outputs".into(), Attribute::Int(i64::try_from(parts).unwrap_or(i64::MAX))));
            } else {
                match parts_below_18(graph, id) {
                    Parts::Even => {}
                    Parts::Uneven(sizes) => form.operands.push(Operand::New("split", Tensor::indices(&sizes))),
                    Parts::Unknown => return narrower("its parts must be equal, and nothing shows that they are"),
                }
            }
        }
        Kind::Cast if opset < 19 => {
            form.remove("saturate");
        }
        _ => {}
    }
    Ok(form)
}

/// The form of an operator that is kept as it came, where its domain is of that version in the file to be written.
pub(crate) fn kept(graph: &Graph, id: NodeId, kept: &Kept, version: Option<i64>) -> Result<Form, FormError> {
    match version {
        Some(version) if version != kept.version => {
            Err(FormError::Kept { operator: kept.op_type.to_string(), from: kept.version, to: version })
        }
        _ => to_opset(graph, id, kept.version),
    }
}

impl Form {
    fn remove(&mut self, name: &str) -> Option<Attribute> {
        let at = self.attributes.iter().position(|(other, _)| **other == *name)?;
        Some(self.attributes.remove(at).1)
    }
}

/// The parts of a `Split` without sizes.
enum Parts {
    Even,
    Uneven(Vec<i64>),
    Unknown,
}

fn parts_below_18(graph: &Graph, id: NodeId) -> Parts {
    let size = |value: Value| {
        let Op::Split { axis } = graph.node(id).op() else { return None };
        let shape = graph.shape(value)?;
        let rank = i64::try_from(shape.len()).ok()?;
        shape.get(usize::try_from(if *axis < 0 { axis + rank } else { *axis }).ok()?).cloned()
    };
    let Some(sizes) = graph.results(id).map(size).collect::<Option<Vec<Dim>>>() else { return Parts::Unknown };
    if sizes.windows(2).all(|pair| pair[0].same(&pair[1]) == Some(true)) {
        return Parts::Even;
    }
    sizes.iter().map(Dim::known).collect::<Option<Vec<_>>>().map_or(Parts::Unknown, Parts::Uneven)
}

/// What the reader makes of a node of the default domain.
pub(crate) struct Normal {
    pub(crate) op: Op,
    /// An operand that a file gives as an attribute: its position, the word for its name, the tensor.
    pub(crate) operand: Option<(usize, &'static str, Tensor)>,
}

/// The node in normal form; `None` where the operator has an attribute that is not understood, and is to be kept.
///
/// `rank` is that of the first operand, where it is known.
pub(crate) fn from_opset(
    kind: Kind,
    opset: i64,
    attributes: &[(Arc<str>, Attribute)],
    rank: Option<usize>,
    results: usize,
) -> Result<Option<Normal>, AttributeError> {
    let has = |name: &str| attributes.iter().any(|(other, _)| **other == *name);
    let mut given = attributes.to_vec();
    let mut default = |name: &str, value: Attribute| {
        if !has(name) {
            given.push((name.into(), value));
        }
    };
    match kind {
        Kind::Softmax | Kind::LogSoftmax => default("axis", Attribute::Int(-1)),
        Kind::LayerNormalization | Kind::RMSNormalization => default("epsilon", Attribute::Float(1e-5)),
        Kind::Transpose => match rank.map(i64::try_from) {
            Some(Ok(rank)) => default("perm", Attribute::Ints((0..rank).rev().collect())),
            _ if has("perm") => {}
            // All axes in reverse, of a rank that is not known.
            _ => return Ok(None),
        },
        _ => {}
    }
    let mut given = Attributes::new(given)?;
    let mut operand = None;
    match kind {
        Kind::ReduceMean | Kind::ReduceMax | Kind::ReduceMin if opset < 18 => match given.remove("axes") {
            None => {}
            Some(Attribute::Ints(axes)) => operand = Some((1, "axes", Tensor::indices(&axes))),
            Some(_) => return Ok(None),
        },
        // The number of results says it already.
        Kind::Split if opset >= 18 => match given.remove("num_outputs") {
            None => {}
            Some(Attribute::Int(parts)) if usize::try_from(parts) == Ok(results) => {}
            Some(_) => return Ok(None),
        },
        _ => {}
    }
    match Op::from_attributes(kind, given) {
        Ok(op) => Ok(Some(Normal { op, operand })),
        Err(AttributeError::Unknown(_)) => Ok(None),
        Err(error) => Err(error),
    }
}
