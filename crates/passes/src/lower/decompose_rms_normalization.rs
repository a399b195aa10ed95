//! Decomposes RMS normalizations for opsets that do not have them.

use crate::pass::{Exactness, Pass};
use crate::rewrite::{become_op, cast, element, first_operands, insert, number, unknown};
use crate::rule::{Rewritten, Skip};
use netwright_ir::{ElementType, Graph, Op, OpKind, Tensor, Value};

/// `rms_normalization(x, w)` -> `x / sqrt(mean(x * x) + epsilon) * w`
///
/// Applies below opset 23. Follows the definition in the standard, with the statistics in the stash type.
pub fn decompose_rms_normalization() -> Pass {
    let summary = "rms_normalization(x, w) -> x / sqrt(mean(x * x) + epsilon) * w, below opset 23";
    Pass::new("decompose-rms-normalization", summary, Exactness::Rounding)
        .at([OpKind::RMSNormalization], decompose)
        .lowers(OpKind::RMSNormalization)
}

fn decompose(graph: &mut Graph, root: Value) -> Rewritten {
    let &Op::RMSNormalization { axis, epsilon, stash_type } = graph.op(root) else { return Err(Skip::NoMatch) };
    let [x, weight] = first_operands(graph, root)?;
    let statistics = Statistics { axis, epsilon, stash_type };
    let wide = statistics.widen(graph, root, x)?;
    let (normalized, _) = statistics.normalize(graph, root, x, wide)?;
    become_last(graph, root, Op::Mul, [normalized, weight])
}

/// Replaces the root with the last operator of a normalization.
///
/// # Errors
/// If the weight or the bias may broadcast the result to a larger shape.
pub(super) fn become_last(graph: &mut Graph, root: Value, last: Op, operands: [Value; 2]) -> Rewritten {
    let inferred = graph.infer(&last, &operands.map(Some), 1)?;
    if inferred.facts.iter().any(|fact| fact.ty.contradicts(&graph.fact(root).ty)) {
        return Err(Skip::rejected(format!(
            "{} may broadcast the normalized value to a larger shape",
            graph.operand_text(operands[1])
        )));
    }
    become_op(graph, root, last, &operands, "decomposed")
}

/// The attributes of a normalization.
pub(super) struct Statistics {
    pub(super) axis: i64,
    pub(super) epsilon: f32,
    pub(super) stash_type: i64,
}

impl Statistics {
    fn stash(&self) -> Result<ElementType, Skip> {
        let unknown = || Skip::rejected(format!("its stash type {} is not an element type", self.stash_type));
        ElementType::from_number(self.stash_type).ok_or_else(unknown)
    }

    /// Casts a value to the type of the statistics.
    pub(super) fn widen(&self, graph: &mut Graph, root: Value, x: Value) -> Result<Value, Skip> {
        let stash = self.stash()?;
        if stash == element(graph, x)? { Ok(x) } else { insert(graph, root, "wide", cast(stash), &[x]) }
    }

    /// Inserts the mean over the axes from `axis` on.
    pub(super) fn mean(&self, graph: &mut Graph, root: Value, word: &str, x: Value) -> Result<Value, Skip> {
        let rank = graph.fact(x).rank().and_then(|rank| i64::try_from(rank).ok());
        let rank = rank.ok_or_else(|| unknown(graph, "rank", x))?;
        let axes: Vec<i64> = (if self.axis < 0 { self.axis } else { self.axis - rank }..0).collect();
        let axes = insert(graph, root, "axes", Op::Constant(Tensor::indices(&axes)), &[])?;
        let mean = Op::ReduceMean { keepdims: true, noop_with_empty_axes: false };
        insert(graph, root, word, mean, &[x, axes])
    }

    /// Divides `wide` by the square root of its mean square. Returns the quotient in the type of `x`, and the divisor.
    pub(super) fn normalize(
        &self,
        graph: &mut Graph,
        root: Value,
        x: Value,
        wide: Value,
    ) -> Result<(Value, Value), Skip> {
        let (stash, element) = (self.stash()?, element(graph, x)?);
        let square = insert(graph, root, "square", Op::Mul, &[wide, wide])?;
        let mean = self.mean(graph, root, "mean", square)?;
        let epsilon = number(graph, root, "epsilon", stash, self.epsilon.into())?;
        let shifted = insert(graph, root, "shifted", Op::Add, &[mean, epsilon])?;
        let deviation = insert(graph, root, "root", Op::Sqrt, &[shifted])?;
        let mut normalized = insert(graph, root, "normalized", Op::Div, &[wide, deviation])?;
        if stash != element {
            normalized = insert(graph, root, "narrow", cast(element), &[normalized])?;
        }
        Ok((normalized, deviation))
    }
}
