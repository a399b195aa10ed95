//! Inference for calls of functions of the model.

use crate::{Fact, Graph, Value, ValueType};
use std::borrow::Cow;
use std::sync::Arc;

/// What inference knows of the function that an opaque operator calls; empty for any other operator.
///
/// It follows from the functions of the model, so all are equal.
#[derive(Clone, Debug, Default)]
pub struct Call(Option<Arc<Inlined>>);

#[derive(Debug)]
struct Inlined {
    graph: Graph,
    operands: Vec<Option<Value>>,
    results: Vec<Option<Value>>,
}

impl PartialEq for Call {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

impl Call {
    /// Creates the call from a graph that holds the nodes of the function: the values there of the operands and of the
    /// results of the call, each `None` if it is absent.
    pub fn new(graph: Graph, operands: Vec<Option<Value>>, results: Vec<Option<Value>>) -> Self {
        Self(Some(Arc::new(Inlined { graph, operands, results })))
    }

    /// Infers the results from the facts of the operands; `None` if nothing is known of the function.
    pub(super) fn infer(&self, operands: &[Option<&Fact>]) -> Option<Vec<Fact>> {
        let inlined = self.0.as_deref()?;
        let mut graph = Cow::Borrowed(&inlined.graph);
        for (value, fact) in inlined.operands.iter().zip(operands) {
            let (Some(value), Some(fact)) = (*value, *fact) else { continue };
            let known = graph.fact(value).and(fact);
            if known != *graph.fact(value) {
                graph.to_mut().set_fact(value, known);
            }
        }
        if let Cow::Owned(graph) = &mut graph {
            graph.refresh();
        }
        let fact = |value: &Option<Value>| match value {
            Some(value) => graph.fact(*value).clone(),
            None => Fact::of(ValueType::Unknown),
        };
        Some(inlined.results.iter().map(fact).collect())
    }
}
