//! Operators of ONNX Runtime's own domain, in the words of the standard.

mod activations;
mod attention;
mod embeddings;
mod grouped;
mod masks;
mod normalizations;
mod products;

use crate::pass::{Exactness, Pass};
use crate::pipeline::{Log, name_of};
use crate::rewrite::{become_value, known_of_either};
use crate::rule::Skip;
use crate::runtime::contrib::{has_own, is_own};
use netwright_ir::{Attribute, Fact, Graph, NodeId, Op, OpaqueOp, Value};
use std::sync::Arc;

/// `com.microsoft.BiasGelu(x, b)` -> `gelu(x + b)`, and so on
///
/// For every runtime but the one that has them. The results are those that ONNX Runtime 1.32 computes on the CPU, but for
/// rounding. What an operator is asked for beyond what is known here, by an attribute, an operand or a result, stays as
/// it is, with the reason.
pub fn standardize_contrib_operators() -> Pass {
    let summary = "write operators of com.microsoft in standard ones, for runtimes without that domain";
    Pass::new("standardize-contrib-operators", summary, Exactness::Rounding)
        .on_graph(standardize)
        .only_for(|target, _| !target.contrib)
        .tentative_in(has_own)
}

type Rewrite = fn(&mut Graph, &mut Call) -> Result<(), Skip>;

/// What is known; an operator is added by a line here and a function in the file of its family.
const OPERATORS: [(&str, Rewrite); 15] = [
    ("Attention", attention::attention),
    ("BiasGelu", activations::bias_gelu),
    ("EmbedLayerNormalization", embeddings::embed_layer_normalization),
    ("FastGelu", activations::fast_gelu),
    ("FusedMatMul", products::fused_matmul),
    ("Gelu", activations::gelu),
    ("GroupQueryAttention", grouped::group_query_attention),
    ("MatMulNBits", products::matmul_nbits),
    ("MultiHeadAttention", attention::multi_head_attention),
    ("QuickGelu", activations::quick_gelu),
    ("RotaryEmbedding", embeddings::rotary_embedding),
    ("SimplifiedLayerNormalization", normalizations::simplified_layer_normalization),
    ("SkipLayerNormalization", normalizations::skip_layer_normalization),
    ("SkipSimplifiedLayerNormalization", normalizations::skip_simplified_layer_normalization),
    ("TransposeMatMul", products::fused_matmul),
];

/// A node to be rewritten.
struct Call {
    /// Its first result.
    root: Value,
    operands: Vec<Option<Value>>,
    /// Those that nothing has asked for yet.
    attributes: Vec<(Arc<str>, Attribute)>,
}

impl Call {
    /// The operand, which must be there.
    fn operand(&self, at: usize) -> Result<Value, Skip> {
        self.optional(at).ok_or_else(|| Skip::rejected(format!("its operand {at} is missing")))
    }

    fn optional(&self, at: usize) -> Option<Value> {
        self.operands.get(at).copied().flatten()
    }

    /// Fails where there are more operands than are understood.
    fn expect_operands(&self, most: usize) -> Result<(), Skip> {
        match self.operands.iter().rposition(Option::is_some).filter(|last| *last >= most) {
            Some(at) => Err(Skip::rejected(format!("its operand {at} has no counterpart in the standard"))),
            None => Ok(()),
        }
    }

    fn take(&mut self, name: &str) -> Option<Attribute> {
        let at = self.attributes.iter().position(|(own, _)| &**own == name)?;
        Some(self.attributes.swap_remove(at).1)
    }

    fn int(&mut self, name: &str, default: i64) -> Result<i64, Skip> {
        match self.take(name) {
            None => Ok(default),
            Some(Attribute::Int(value)) => Ok(value),
            Some(_) => Err(Skip::rejected(format!("its attribute `{name}` is no whole number"))),
        }
    }

    fn float(&mut self, name: &str) -> Result<Option<f32>, Skip> {
        match self.take(name) {
            None => Ok(None),
            Some(Attribute::Float(value)) => Ok(Some(value)),
            Some(_) => Err(Skip::rejected(format!("its attribute `{name}` is no number"))),
        }
    }

    /// Fails where an attribute has another value than the one that asks for nothing.
    fn expect_int(&mut self, name: &str, expected: i64) -> Result<(), Skip> {
        match self.int(name, expected)? {
            value if value == expected => Ok(()),
            value => Err(Skip::rejected(format!("its attribute `{name}` is {value}, which the standard cannot say"))),
        }
    }

    /// Fails where there are attributes that nothing has asked for.
    fn expect_no_more_attributes(&self) -> Result<(), Skip> {
        match self.attributes.first() {
            Some((name, _)) => Err(Skip::rejected(format!("its attribute `{name}` is not understood"))),
            None => Ok(()),
        }
    }

    /// Gives a value what is known of the result that it will stand for, so that what reads it first knows it too.
    fn expect_of_result(&self, graph: &mut Graph, at: usize, value: Value) {
        if let Some(result) = graph.results(self.root.node).nth(at) {
            let fact = known_of_either(graph.fact(value), graph.fact(result));
            graph.set_fact(value, fact);
        }
    }

    /// Puts values in the place of its results; one that something reads must be among them.
    fn become_values(&self, graph: &mut Graph, values: &[Option<Value>]) -> Result<(), Skip> {
        let results: Vec<Value> = graph.results(self.root.node).collect();
        for (at, result) in results.iter().enumerate() {
            if graph.use_count(*result) > 0 && values.get(at).copied().flatten().is_none() {
                return Err(Skip::rejected(format!("its result {at} has no counterpart in the standard")));
            }
        }
        for (result, value) in results.into_iter().zip(values) {
            if let (true, Some(value)) = (graph.use_count(result) > 0, value) {
                become_value(graph, result, *value, "")?;
            }
        }
        Ok(())
    }
}

/// Nodes in the order in which they are computed, so that what a rewrite shows of its results serves those behind it.
fn standardize(graph: &mut Graph, log: &mut Log) {
    let mut changed = false;
    for node in graph.schedule() {
        if !log.may_apply() {
            return;
        }
        if !graph.is_alive(node) {
            continue;
        }
        let Some((rewrite, mut call)) = call(graph, node) else {
            if changed {
                infer_again(graph, node);
            }
            continue;
        };
        let name = name_of(graph, node);
        if !log.may_apply_at(&name) {
            continue;
        }
        let mark = graph.mark();
        match rewrite(graph, &mut call) {
            Ok(()) => {
                changed = true;
                log.applied_in(graph, name, "in standard operators");
            }
            Err(Skip::Rejected(why)) => {
                graph.undo_to(mark);
                log.declined(name, why);
            }
            Err(_) => graph.undo_to(mark),
        }
    }
}

fn call(graph: &Graph, node: NodeId) -> Option<(Rewrite, Call)> {
    let Op::Opaque(kept) = graph.node(node).op() else { return None };
    let OpaqueOp { op_type, attributes, .. } = &**kept;
    let (_, rewrite) = OPERATORS.iter().find(|(name, _)| is_own(kept) && *name == &**op_type)?;
    let operands = graph.operands(node).into_iter().collect();
    Some((*rewrite, Call { root: Value { node, result: 0 }, operands, attributes: attributes.clone() }))
}

/// What is now known of the results of a node of which little was.
fn infer_again(graph: &mut Graph, node: NodeId) {
    let results: Vec<Value> = graph.results(node).collect();
    let is_known = |fact: &Fact| fact.element().is_some() && fact.shape().is_some();
    if results.iter().all(|result| is_known(graph.fact(*result))) {
        return;
    }
    let Ok(inferred) = graph.infer(graph.node(node).op(), &graph.operands(node), results.len()) else { return };
    for (result, fact) in results.into_iter().zip(inferred.facts) {
        let fact = known_of_either(graph.fact(result), &fact);
        graph.set_fact(result, fact);
    }
}
