//! Replaces operators of ONNX Runtime's own domain with standard operators.

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
use crate::runtime::contrib::{self, has_own, is_own};
use netwright_ir::{Attribute, ElementType, Fact, Graph, NodeId, Op, OpKind, OpaqueOp, Value};
use std::sync::Arc;

/// `com.microsoft.BiasGelu(x, b)` -> `gelu(x + b)`, and so on
///
/// Runs for every runtime except ONNX Runtime. Except for rounding, the results are those of ONNX Runtime 1.32 on the
/// CPU. An operator with an attribute, an operand or a used result that is not supported here stays, and the reason is
/// reported; so does what reads a weight in blocks of `block_bits` bits, which the runtime does itself.
pub fn standardize_contrib_operators(block_bits: &'static [u32]) -> Pass {
    let summary = "replace operators of com.microsoft with standard ones, for runtimes without that domain";
    Pass::new("standardize-contrib-operators", summary, Exactness::Rounding)
        .on_graph(move |graph, log| standardize(graph, log, block_bits))
        .only_for(|target, _| !target.contrib)
        .tentative_in(has_own)
}

type Rewrite = fn(&mut Graph, &mut Call) -> Result<(), Skip>;

/// The supported operators; a new one needs a line here and a function in the file of its family.
const OPERATORS: [(&str, Rewrite); 16] = [
    ("Attention", attention::attention),
    ("BiasGelu", activations::bias_gelu),
    ("EmbedLayerNormalization", embeddings::embed_layer_normalization),
    ("FastGelu", activations::fast_gelu),
    ("FusedMatMul", products::fused_matmul),
    ("GatherBlockQuantized", products::gather_block_quantized),
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

/// A node that is rewritten.
struct Call {
    /// The name of the operator.
    op_type: &'static str,
    /// The first result of the node.
    root: Value,
    operands: Vec<Option<Value>>,
    /// The attributes that have not been read yet.
    attributes: Vec<(Arc<str>, Attribute)>,
}

impl Call {
    /// Returns a required operand.
    fn operand(&self, at: usize) -> Result<Value, Skip> {
        self.optional(at).ok_or_else(|| Skip::rejected(format!("its operand {at} is missing")))
    }

    fn optional(&self, at: usize) -> Option<Value> {
        self.operands.get(at).copied().flatten()
    }

    /// Fails if there are more operands than are supported.
    fn expect_operands(&self, most: usize) -> Result<(), Skip> {
        match self.operands.iter().rposition(Option::is_some).filter(|last| *last >= most) {
            Some(at) => Err(Skip::rejected(format!("its operand {at} is not supported"))),
            None => Ok(()),
        }
    }

    /// Whether it multiplies by a weight in blocks of so many bits, in the order of its columns, or looks up rows of one:
    /// tract reads codes and zero points only in bytes.
    fn reads_blocks(&self, graph: &Graph, bits: &[u32]) -> bool {
        let is = |name: &str, default: i64, expected: i64| match self
            .attributes
            .iter()
            .find(|(own, _)| &**own == name)
            .map(|(_, value)| value)
        {
            None => default == expected,
            Some(value) => matches!(value, Attribute::Int(value) if *value == expected),
        };
        let in_bytes =
            |at: usize| self.optional(at).is_none_or(|value| graph.fact(value).element() == Some(ElementType::U8));
        let is_supported = match self.op_type {
            "MatMulNBits" => self.optional(4).is_none() && in_bytes(3),
            "GatherBlockQuantized" => {
                is("gather_axis", 0, 0) && is("quantize_axis", 1, 1) && in_bytes(0) && in_bytes(3)
            }
            _ => false,
        };
        is_supported && bits.iter().any(|bits| is("bits", 4, i64::from(*bits)))
    }

    fn take(&mut self, name: &str) -> Option<Attribute> {
        let at = self.attributes.iter().position(|(own, _)| &**own == name)?;
        Some(self.attributes.swap_remove(at).1)
    }

    fn int(&mut self, name: &str, default: i64) -> Result<i64, Skip> {
        contrib::integer(name, self.take(name).as_ref(), default)
    }

    fn float(&mut self, name: &str) -> Result<Option<f32>, Skip> {
        match self.take(name) {
            None => Ok(None),
            Some(Attribute::Float(value)) => Ok(Some(value)),
            Some(_) => Err(Skip::rejected(format!("its attribute `{name}` is not a float"))),
        }
    }

    /// Fails if an attribute is not `expected`, the only value with a standard counterpart.
    fn expect_int(&mut self, name: &str, expected: i64) -> Result<(), Skip> {
        match self.int(name, expected)? {
            value if value == expected => Ok(()),
            value => Err(Skip::rejected(format!("its attribute `{name}` is {value}; only {expected} is supported"))),
        }
    }

    /// Fails if there are attributes that have not been read.
    fn expect_no_more_attributes(&self) -> Result<(), Skip> {
        match self.attributes.first() {
            Some((name, _)) => Err(Skip::rejected(format!("its attribute `{name}` is not supported"))),
            None => Ok(()),
        }
    }

    /// Adds the facts about a result to the value that will replace it, so that inference of its first users has them.
    fn expect_of_result(&self, graph: &mut Graph, at: usize, value: Value) {
        if let Some(result) = graph.results(self.root.node).nth(at) {
            let fact = known_of_either(graph.fact(value), graph.fact(result));
            graph.set_fact(value, fact);
        }
    }

    /// Replaces the results with values. Every result with a use must have one.
    fn become_values(&self, graph: &mut Graph, values: &[Option<Value>]) -> Result<(), Skip> {
        let results: Vec<Value> = graph.results(self.root.node).collect();
        for (at, result) in results.iter().enumerate() {
            if graph.use_count(*result) > 0 && values.get(at).copied().flatten().is_none() {
                return Err(Skip::rejected(format!("its result {at} has a use, which is not supported")));
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

/// Rewrites nodes in program order, so that facts about the results of one rewrite serve the later ones.
fn standardize(graph: &mut Graph, log: &mut Log, block_bits: &[u32]) {
    if !graph.has_kind(OpKind::Opaque) {
        return;
    }
    let mut changed = false;
    for node in graph.schedule() {
        if !log.may_apply() {
            return;
        }
        if !graph.is_alive(node) {
            continue;
        }
        let call = call(graph, node).filter(|(_, call)| !call.reads_blocks(graph, block_bits));
        let Some((rewrite, mut call)) = call else {
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
                log.applied_in(graph, name, "replaced with standard operators");
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
    let Op::Opaque(opaque) = graph.node(node).op() else { return None };
    let OpaqueOp { op_type, attributes, .. } = &**opaque;
    let (op_type, rewrite) = OPERATORS.iter().find(|(name, _)| is_own(opaque) && *name == &**op_type)?;
    let operands = graph.operands(node).into_iter().collect();
    Some((*rewrite, Call { op_type, root: Value { node, result: 0 }, operands, attributes: attributes.clone() }))
}

/// Infers the results of a node again, if their types are not completely known.
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
