//! Copies small constants into the bodies that capture them.

use crate::pass::{Exactness, Pass};
use crate::pipeline::{Log, name_of};
use crate::rewrite::SMALL;
use netwright_ir::{Data, Graph, NodeId, Op, Tensor};

/// Copies small constants into the bodies that capture them, so that rules see their elements.
///
/// A constant has at most 1 KiB, and becomes an initializer, not a node. Parameters stay.
pub fn sink_constants() -> Pass {
    let summary = "copy small constants into the bodies that capture them";
    Pass::new("sink-constants", summary, Exactness::Bits).on_graph(sink)
}

fn sink(graph: &mut Graph, log: &mut Log) {
    if !graph.has_bodies() {
        return;
    }
    for node in graph.schedule() {
        let known = known(graph, node);
        if known.iter().all(Option::is_none) {
            continue;
        }
        let name = name_of(graph, node);
        let mut known = known.into_iter();
        graph.edit_bodies(node, |body| {
            for capture in body.captures().collect::<Vec<_>>() {
                if let Some(tensor) = known.next().flatten().filter(|_| log.may_apply()) {
                    let place = body.beside(capture.node, "constant");
                    if let Ok(constant) = body.insert(place, Op::Constant(tensor), &[]) {
                        let constant = netwright_ir::Value { node: constant, result: 0 };
                        body.replace(capture, constant);
                        log.applied(name.clone(), format!("{} is a constant", body.operand_text(capture)));
                    }
                }
            }
        });
    }
}

/// Returns, for each capture of the bodies of a node, its tensor if it is a small constant.
fn known(graph: &Graph, node: NodeId) -> Vec<Option<Tensor>> {
    let operands = graph.operands(node);
    let own = operands.len().saturating_sub(graph.node(node).op().capture_count());
    let small = |tensor: &&Tensor| tensor.len() <= SMALL && matches!(tensor.data(), Data::Bytes(_));
    let constant = |value| match graph.op(value) {
        Op::Constant(tensor) => Some(tensor).filter(small).cloned(),
        _ => None,
    };
    operands[own..].iter().map(|value| value.and_then(constant)).collect()
}
