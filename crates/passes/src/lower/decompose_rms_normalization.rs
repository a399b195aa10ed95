use crate::pass::{Exactness, Pass};
use crate::rewrite::{become_op, cast, element, insert, number, unknown};
use crate::rule::{Rewritten, Skip};
use netwright_ir::{ElementType, Graph, Op, OpKind, Tensor, Value};

/// `rms_normalization(x, w)` -> `x / sqrt(mean(x * x) + epsilon) * w`
///
/// For opsets below 23, as the standard writes the operator out: the statistics in its stash type.
pub fn decompose_rms_normalization() -> Pass {
    let summary = "rms_normalization(x, w) -> x / sqrt(mean(x * x) + epsilon) * w, below opset 23";
    Pass::new("decompose-rms-normalization", summary, Exactness::Rounding)
        .at([OpKind::RMSNormalization], decompose)
        .lowers(OpKind::RMSNormalization)
}

fn decompose(graph: &mut Graph, root: Value) -> Rewritten {
    let &Op::RMSNormalization { axis, epsilon, stash_type } = graph.op(root) else { return Err(Skip::NoMatch) };
    let (Some(x), Some(weight)) = (graph.operand(root.node, 0), graph.operand(root.node, 1)) else {
        return Err(Skip::NoMatch);
    };
    let statistics = Statistics { axis, epsilon, stash_type };
    let wide = statistics.widen(graph, root, x)?;
    let (normalized, _) = statistics.normalize(graph, root, x, wide)?;
    write_out(graph, root, Op::Mul, [normalized, weight])
}

/// Puts the last operator in place, where a weight or a bias does not make the result another one.
pub(super) fn write_out(graph: &mut Graph, root: Value, last: Op, operands: [Value; 2]) -> Rewritten {
    let inferred = graph.infer(&last, &operands.map(Some), 1)?;
    if inferred.facts.iter().any(|fact| fact.ty.contradicts(&graph.fact(root).ty)) {
        return Err(Skip::rejected(format!("{} widens what is normalized", graph.operand_text(operands[1]))));
    }
    become_op(graph, root, last, &operands, "written out")
}

/// The attributes of a normalization.
pub(super) struct Statistics {
    pub(super) axis: i64,
    pub(super) epsilon: f32,
    pub(super) stash_type: i64,
}

impl Statistics {
    fn stash(&self) -> Result<ElementType, Skip> {
        let unknown = || Skip::rejected(format!("its stash type {} is none", self.stash_type));
        ElementType::from_number(self.stash_type).ok_or_else(unknown)
    }

    /// The value in the type of the statistics.
    pub(super) fn widen(&self, graph: &mut Graph, root: Value, x: Value) -> Result<Value, Skip> {
        let stash = self.stash()?;
        if stash == element(graph, x)? { Ok(x) } else { insert(graph, root, "wide", cast(stash), &[x]) }
    }

    /// The mean over the axes from the first on.
    pub(super) fn mean(&self, graph: &mut Graph, root: Value, word: &str, x: Value) -> Result<Value, Skip> {
        let rank = graph.fact(x).rank().and_then(|rank| i64::try_from(rank).ok());
        let rank = rank.ok_or_else(|| unknown(graph, "rank", x))?;
        let axes: Vec<i64> = (if self.axis < 0 { self.axis } else { self.axis - rank }..0).collect();
        let axes = insert(graph, root, "axes", Op::Constant(Tensor::indices(&axes)), &[])?;
        let mean = Op::ReduceMean { keepdims: true, noop_with_empty_axes: false };
        insert(graph, root, word, mean, &[x, axes])
    }

    /// What is divided by the root of its mean square, in the type of `x`; and that root.
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
