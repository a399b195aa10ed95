//! Reading of bodies: graphs in the attributes of nodes.

use super::super::{ReadProblem, names};
use super::{Reader, Scope, Surroundings, read};
use crate::types;
use crate::wire::{AttributeProto, GraphProto};
use netwright_ir::{Dim, ElementType, Fact, Graph, MAX_BODY_DEPTH, Shape, TensorType, Value, ValueType};
use std::sync::Arc;

impl Reader<'_> {
    pub(super) fn body(
        &mut self,
        proto: GraphProto,
        text: &str,
        inputs: &[Fact],
        captured: &mut Vec<Option<Value>>,
    ) -> Result<Arc<Graph>, ReadProblem> {
        if self.scope.bodies >= MAX_BODY_DEPTH {
            let what = format!("its bodies nest deeper than {MAX_BODY_DEPTH}");
            return Err(ReadProblem::Node { node: text.to_owned(), what });
        }
        let mut facts = vec![];
        for name in names::free(&proto) {
            let Some(value) = self.values.get(name).copied().flatten() else {
                let what = format!("its body reads {name:?}, which is not computed");
                return Err(ReadProblem::Node { node: text.to_owned(), what });
            };
            facts.push((name.to_owned(), self.graph.fact(value).clone()));
            captured.push(Some(value));
        }
        let around = Surroundings { captured: facts, inputs: inputs.to_vec(), body: true };
        let scope = Scope { bodies: self.scope.bodies + 1, ..self.scope };
        Ok(Arc::new(read(proto, around, self.context, scope)?))
    }
}

/// Returns the facts of the inputs of a body, from the operands of its node.
pub(super) fn body_inputs(
    op_type: &str,
    version: i64,
    attributes: &[AttributeProto],
    operands: &[Option<&Fact>],
) -> Vec<Fact> {
    let attribute = |name: &str| attributes.iter().find(|attribute| attribute.name.as_deref() == Some(name));
    let Some(body) = attribute("body").and_then(|body| body.g.as_deref()) else { return vec![] };
    let unknown = || Fact::of(ValueType::Unknown);
    let tensor = |at: usize| operands.get(at).copied().flatten().and_then(Fact::tensor_type);
    let of = |element, shape| Fact::of(TensorType { element, shape });
    let scanned = attribute("num_scan_inputs").and_then(|scanned| usize::try_from(scanned.i?).ok());
    let states = scanned.and_then(|scanned| operands.len().checked_sub(scanned));
    let fact = |at: usize| match (op_type, states) {
        // Runtimes give the iteration and the condition the rank that the body declares: a scalar, or a vector of one
        // element.
        ("Loop", _) if at <= 1 => {
            let element = if at == 0 { ElementType::I64 } else { ElementType::Bool };
            let vector = types::rank(body.input[at].r#type.as_ref()) == Some(1);
            Fact::tensor(element, if vector { Shape::from_iter([Dim::Known(1)]) } else { Shape::default() })
        }
        // Shapes may change from one iteration to the next.
        ("Loop", _) => tensor(at).map_or_else(unknown, |tensor| of(tensor.element, None)),
        // Before version 9 the operands are batched.
        ("Scan", Some(states)) if version >= 9 => tensor(at).map_or_else(unknown, |tensor| {
            let axes = attribute("scan_input_axes").map(|axes| &*axes.ints).unwrap_or_default();
            let shape = tensor.shape.as_ref().and_then(|shape| match at.checked_sub(states) {
                None => Some(shape.clone()),
                Some(input) => without(shape, axes.get(input).copied().unwrap_or(0)),
            });
            of(tensor.element, shape)
        }),
        ("SequenceMap", _) => match operands.get(at).copied().flatten().map(|fact| &fact.ty) {
            Some(ValueType::Sequence(element)) => Fact::of((**element).clone()),
            Some(other) => Fact::of(other.clone()),
            None => unknown(),
        },
        _ => unknown(),
    };
    (0..body.input.len()).map(fact).collect()
}

/// Removes an axis from a shape.
fn without(shape: &Shape, axis: i64) -> Option<Shape> {
    let rank = i64::try_from(shape.len()).ok()?;
    let axis = usize::try_from(if axis < 0 { axis.checked_add(rank)? } else { axis }).ok()?;
    (axis < shape.len()).then(|| shape[..axis].iter().chain(&shape[axis + 1..]).cloned().collect())
}
