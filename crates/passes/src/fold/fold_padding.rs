//! Folds a Pad into the convolution or pooling that follows.

use crate::pass::{Exactness, Pass};
use crate::read::sizes::position;
use crate::rewrite::become_op;
use crate::rule::{Rewritten, Skip};
use netwright_ir::op::{AutoPad, PadMode};
use netwright_ir::{Graph, Op, OpKind, Tensor, Value};

/// `conv(pad(x))` -> `conv(x; pads)`, and likewise for pooling
///
/// A convolution and a mean are padded with zeros, a maximum with minus infinity, or with zeros if no element is
/// negative. The same numbers are computed.
pub fn fold_padding() -> Pass {
    let summary = "conv(pad(x)) -> conv(x; pads), and likewise for pooling";
    Pass::new("fold-padding", summary, Exactness::Numbers)
        .at([OpKind::Conv, OpKind::AveragePool, OpKind::MaxPool], fold)
}

fn fold(graph: &mut Graph, root: Value) -> Rewritten {
    let padded = graph.operand(root.node, 0).ok_or(Skip::NoMatch)?;
    let Op::Pad { mode } = graph.op(padded) else { return Err(Skip::NoMatch) };
    if *mode != PadMode::Constant {
        return Err(Skip::rejected("the pad mode is not `constant`"));
    }
    let x = graph.operand(padded.node, 0).ok_or(Skip::NoMatch)?;
    let added = around(graph, padded, x)?;
    let fill = match graph.operand(padded.node, 2) {
        Some(fill) => graph
            .tensor(fill)
            .and_then(Tensor::float)
            .ok_or_else(|| Skip::rejected("the number that it is padded with is unknown"))?,
        None => 0.0,
    };
    let mut op = graph.op(root).clone();
    let fills_with_zeros =
        || if fill == 0.0 { Ok(()) } else { Err(Skip::rejected(format!("it is padded with {fill}"))) };
    match &mut op {
        Op::Conv { auto_pad, pads, .. } => {
            fills_with_zeros()?;
            join(auto_pad, pads, &added)?;
        }
        Op::AveragePool { auto_pad, ceil_mode, count_include_pad, kernel_shape, pads, .. } => {
            fills_with_zeros()?;
            if !*count_include_pad && pads.iter().any(|pad| *pad != 0) {
                return Err(Skip::rejected("the mean excludes its own padding"));
            }
            join(auto_pad, pads, &added)?;
            fits(*ceil_mode, kernel_shape, pads)?;
            *count_include_pad = true;
        }
        Op::MaxPool { auto_pad, ceil_mode, kernel_shape, pads, .. } => {
            if fill != f64::NEG_INFINITY && !(fill == 0.0 && is_at_least_zero(graph, x)) {
                return Err(Skip::rejected(format!("the padding, {fill}, is not provably less than every element")));
            }
            if graph.results(root.node).nth(1).is_some_and(|places| graph.use_count(places) > 0) {
                return Err(Skip::rejected("its result `Indices` has a use"));
            }
            join(auto_pad, pads, &added)?;
            fits(*ceil_mode, kernel_shape, pads)?;
        }
        _ => return Err(Skip::NoMatch),
    }
    let operands: Vec<Value> = graph.operands(root.node).into_iter().flatten().skip(1).collect();
    let operands = [vec![x], operands].concat();
    become_op(graph, root, op, &operands, "folded the padding into the attribute `pads`")
}

/// Returns the padding before each spatial axis, then after each.
fn around(graph: &Graph, padded: Value, x: Value) -> Result<Vec<i64>, Skip> {
    let unknown = || Skip::rejected("the amount of padding is unknown");
    let rank = graph.fact(x).rank().filter(|rank| *rank > 2).ok_or_else(unknown)?;
    let known =
        |at: usize| graph.operand(padded.node, at).map(|of| graph.fact(of).known_elements().ok_or_else(unknown));
    let pads = known(1).ok_or(Skip::NoMatch)??;
    let axes: Vec<usize> = match known(3) {
        Some(axes) => axes?.iter().map(|axis| position(*axis, rank)).collect::<Option<_>>().ok_or_else(unknown)?,
        None => (0..rank).collect(),
    };
    let mut all = vec![0; 2 * rank];
    let (before, after) = pads.split_at(pads.len() / 2);
    if before.len() != axes.len() || after.len() != axes.len() {
        return Err(unknown());
    }
    for ((axis, before), after) in axes.into_iter().zip(before).zip(after) {
        (all[axis], all[rank + axis]) = (*before, *after);
    }
    if all.iter().any(|pad| *pad < 0) {
        return Err(Skip::rejected("negative padding removes elements"));
    }
    if [all[0], all[1], all[rank], all[rank + 1]].iter().any(|pad| *pad != 0) {
        return Err(Skip::rejected("it pads the batch or the channels"));
    }
    Ok([&all[2..rank], &all[rank + 2..]].concat())
}

/// Adds to the padding of an operator.
fn join(auto_pad: &mut AutoPad, pads: &mut Vec<i64>, added: &[i64]) -> Result<(), Skip> {
    match auto_pad {
        AutoPad::NotSet => {}
        AutoPad::Valid => *auto_pad = AutoPad::NotSet,
        _ => return Err(Skip::rejected("its own padding depends on the size of its operand")),
    }
    if pads.is_empty() {
        *pads = vec![0; added.len()];
    }
    if pads.len() != added.len() {
        return Err(Skip::NoMatch);
    }
    for (pad, added) in pads.iter_mut().zip(added) {
        *pad = pad.checked_add(*added).ok_or(Skip::NoMatch)?;
    }
    Ok(())
}

/// Fails if a window might contain nothing but padding, which runtimes reject.
fn fits(ceil_mode: bool, kernel: &[i64], pads: &[i64]) -> Result<(), Skip> {
    let is_less = |(at, pad): (usize, &i64)| kernel.get(at % kernel.len().max(1)).is_some_and(|size| pad < size);
    if ceil_mode {
        return Err(Skip::rejected("its last window may extend past the end"));
    }
    if pads.iter().enumerate().all(is_less) {
        Ok(())
    } else {
        Err(Skip::rejected("a window might contain nothing but padding"))
    }
}

fn is_at_least_zero(graph: &Graph, value: Value) -> bool {
    let least = || graph.operand(value.node, 1).and_then(|least| graph.tensor(least)?.float());
    match graph.kind(value) {
        OpKind::Relu | OpKind::Sigmoid | OpKind::Abs | OpKind::Exp => true,
        OpKind::Clip => least().is_some_and(|least| least >= 0.0),
        _ => false,
    }
}
