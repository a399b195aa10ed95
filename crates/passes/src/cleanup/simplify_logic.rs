//! Simplifies truth values: double negations, and comparisons with 0.

use crate::pass::{Exactness, Pass};
use crate::pattern::{any, cast, equal, not, op, where_};
use crate::rewrite::{become_op, become_value, first_operands, insert};
use crate::rule::{Rule, Skip};
use netwright_ir::{Dim, ElementType, Op, OpKind};

/// Simplifies truth values: `cast(b) == 0` -> `not(b)`, `where(not(c), x, y)` -> `where(c, y, x)`
///
/// Exporters compare masks with 0 that are already results of comparisons, and negate them before the Where that uses
/// them. A `not` sinks through operators that only move elements, until another `not` or a Where absorbs it.
pub fn simplify_logic() -> Pass {
    let summary = "remove double negation, and negation before a where";
    let rules = [compare_truth(), drop_double_negation(), exchange_choices(), sink_negation()];
    Pass::new("simplify-logic", summary, Exactness::Bits).rules(rules)
}

/// Sound because a truth value is cast to 1 or 0 in every type.
fn compare_truth() -> Rule {
    let (x, zero) = (any("x"), any("zero"));
    let summary = "cast(b) == 0 -> not(b)";
    Rule::new("compare-truth", summary, equal(cast(x), zero), move |graph, found| {
        let root = found.root();
        let is_truth = graph.fact(found[x]).element() == Some(ElementType::Bool);
        let integer = graph.fact(found[zero]).elements.as_deref() == Some(&[Dim::Known(0)]);
        let float = graph.tensor(found[zero]).and_then(netwright_ir::Tensor::float) == Some(0.0);
        if !is_truth || !(integer || float) || !crate::rewrite::keeps_shape(graph, found[x], found[zero]) {
            return Err(Skip::NoMatch);
        }
        become_op(graph, root, Op::Not, &[found[x]], "negates instead of comparing with 0")
    })
}

fn drop_double_negation() -> Rule {
    let x = any("x");
    Rule::new("drop-double-negation", "not(not(x)) -> x", not(not(x)), move |graph, found| {
        become_value(graph, found.root(), found[x], "dropped: it negates twice")
    })
}

fn exchange_choices() -> Rule {
    let (c, a, b) = (any("c"), any("a"), any("b"));
    let summary = "where(not(c), a, b) -> where(c, b, a)";
    Rule::new("exchange-choices", summary, where_(not(c), a, b), move |graph, found| {
        become_op(graph, found.root(), Op::Where, &[found[c], found[b], found[a]], "exchanged instead of negating")
    })
}

/// Moves a `not` behind an Unsqueeze that is its only use.
fn sink_negation() -> Rule {
    let summary = "unsqueeze(not(x)) -> not(unsqueeze(x))";
    Rule::new("sink-negation", summary, op(OpKind::Unsqueeze), |graph, found| {
        let root = found.root();
        let [negated, axes] = first_operands(graph, root)?;
        if graph.kind(negated) != OpKind::Not || graph.use_count(negated) != 1 {
            return Err(Skip::NoMatch);
        }
        let x = graph.operand(negated.node, 0).ok_or(Skip::NoMatch)?;
        let moved = insert(graph, root, "moved", Op::Unsqueeze, &[x, axes])?;
        become_op(graph, root, Op::Not, &[moved], "negates after the unsqueeze")
    })
}
