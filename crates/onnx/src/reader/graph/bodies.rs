//! Reading of bodies: graphs in the attributes of nodes.

use super::super::{ReadProblem, names};
use super::{Reader, Scope, Surroundings, read};
use crate::types;
use crate::wire::{AttributeProto, GraphProto};
use netwright_ir::infer::scan_inputs;
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
    // Before version 9 the operands of a Scan are batched.
    if op_type == "Scan" && version >= 9 {
        let scanned = attribute("num_scan_inputs").and_then(|scanned| usize::try_from(scanned.i?).ok());
        let axes = attribute("scan_input_axes").map(|axes| &*axes.ints).unwrap_or_default();
        let mut facts = scanned.map_or_else(Vec::new, |scanned| scan_inputs(operands, scanned, axes));
        facts.resize_with(body.input.len(), unknown);
        return facts;
    }
    let fact = |at: usize| match op_type {
        // Runtimes give the iteration and the condition the rank that the body declares: a scalar, or a vector of one
        // element.
        "Loop" if at <= 1 => {
            let element = if at == 0 { ElementType::I64 } else { ElementType::Bool };
            let vector = types::rank(body.input[at].r#type.as_ref()) == Some(1);
            Fact::tensor(element, if vector { Shape::from_iter([Dim::Known(1)]) } else { Shape::default() })
        }
        // Shapes may change from one iteration to the next.
        "Loop" => tensor(at).map_or_else(unknown, |tensor| of(tensor.element, None)),
        "SequenceMap" => match operands.get(at).copied().flatten().map(|fact| &fact.ty) {
            Some(ValueType::Sequence(element)) => Fact::of((**element).clone()),
            Some(other) => Fact::of(other.clone()),
            None => unknown(),
        },
        _ => unknown(),
    };
    (0..body.input.len()).map(fact).collect()
}
