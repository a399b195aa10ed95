//! Writes Einsum of two operands as a MatMul of transposed operands.

use crate::pass::{Exactness, Pass};
use crate::rewrite::{become_op, become_value, insert, number_list};
use crate::rule::{Rewritten, Skip};
use netwright_ir::{Dim, ElementType, Graph, Op, OpKind, Value};

/// `einsum(a, b)` -> `matmul(a, b)` with transposed operands
///
/// Each label of the result belongs to both operands, to the left or to the right one; the other labels are summed
/// over. Attention fusion then recognizes attention from Keras, which writes products as equations. Several labels that
/// are summed over, or that only the right operand has, are merged into one axis if their sizes are known. The same
/// numbers are multiplied; a runtime may sum them in another order.
pub fn write_einsum_as_matmul() -> Pass {
    let summary = "einsum(a, b) -> matmul(a, b) with transposed operands";
    Pass::new("write-einsum-as-matmul", summary, Exactness::Rounding).at([OpKind::Einsum], write)
}

/// A label of an equation.
type Label = u8;

fn write(graph: &mut Graph, root: Value) -> Rewritten {
    let Op::Einsum { equation } = graph.op(root) else { return Err(Skip::NoMatch) };
    let text: Vec<u8> = equation.iter().copied().filter(|byte| *byte != b' ').collect();
    let operands: Vec<Value> = graph.operands(root.node).into_iter().flatten().collect();
    let [a, b] = operands[..] else { return Err(Skip::rejected("the number of its operands is not 2")) };
    if !graph.fact(root).element().is_some_and(ElementType::is_float) {
        return Err(Skip::rejected("its element type is not a float type"));
    }
    let unsupported =
        || Skip::rejected(format!("its equation `{}` is not of the form `ab,bc->ac`", text.escape_ascii()));
    let arrow = text.windows(2).position(|pair| pair == b"->").ok_or_else(unsupported)?;
    let comma = text.iter().position(|byte| *byte == b',').filter(|at| *at < arrow).ok_or_else(unsupported)?;
    let terms = [&text[..comma], &text[comma + 1..arrow], &text[arrow + 2..]];
    let ranks = [a, b].map(|x| graph.fact(x).rank());
    let terms = spelled_out(terms, ranks).ok_or_else(unsupported)?;
    if terms.iter().any(|term| !is_plain(term)) {
        return Err(unsupported());
    }
    let [first, second, result] = terms.each_ref().map(Vec::as_slice);
    for (x, term) in [(a, first), (b, second)] {
        if graph.fact(x).rank() != Some(term.len()) {
            let (name, rank) = (graph.operand_text(x), term.len());
            return Err(Skip::rejected(format!("the rank of {name} is unknown, or is not {rank} as in the equation")));
        }
    }
    agree(graph, [(a, first), (b, second)])?;
    // The right operand is the one whose own labels are last in the result.
    let is_own = |label: &Label, own: &[u8], other: &[u8]| own.contains(label) && !other.contains(label);
    let swaps = result.last().is_some_and(|last| is_own(last, first, second));
    let ((a, first), (b, second)) = if swaps { ((b, second), (a, first)) } else { ((a, first), (b, second)) };
    let pick = |from: &[u8], keep: &dyn Fn(&Label) -> bool| from.iter().copied().filter(|label| keep(label)).collect();
    let both: Vec<Label> = pick(result, &|label| first.contains(label) && second.contains(label));
    let left: Vec<Label> = pick(result, &|label| is_own(label, first, second));
    let right: Vec<Label> = pick(result, &|label| is_own(label, second, first));
    let summed: Vec<Label> = pick(first, &|label| !result.contains(label));
    if summed.iter().any(|label| !second.contains(label))
        || second.iter().any(|label| !first.contains(label) && !result.contains(label))
    {
        return Err(Skip::rejected("it sums over a label that only one operand has"));
    }
    if summed.is_empty() || left.is_empty() || right.is_empty() {
        return Err(Skip::rejected("it is not a product of matrices"));
    }
    // The left operand may have several row axes only if there are no batch axes.
    if left.len() > 1 && !both.is_empty() {
        return Err(Skip::rejected("the left operand has several labels of its own as well as shared ones"));
    }
    let known = |x: Value, term: &[u8], labels: &[Label]| {
        let sizes = labels.iter().map(|label| size(graph, x, term, *label).and_then(Dim::known));
        sizes.collect::<Option<Vec<i64>>>()
    };
    let (width, depth) = (known(b, second, &right), known(b, second, &summed));
    let is_merged = summed.len() > 1 || right.len() > 1;
    if is_merged && width.is_none() || summed.len() > 1 && depth.is_none() {
        return Err(Skip::rejected("the sizes of axes that would be merged are unknown"));
    }
    let (width, depth) = (width.unwrap_or_default(), depth.unwrap_or_default());
    let mut lhs = transposed(graph, root, (a, first), &[&both, &left, &summed])?;
    let mut rhs = transposed(graph, root, (b, second), &[&both, &summed, &right])?;
    let kept = vec![0; both.len() + left.len()];
    if summed.len() > 1 {
        let target = [kept.as_slice(), &[product(&depth)?]].concat();
        lhs = reshaped(graph, root, lhs, &target)?;
    }
    if is_merged {
        let rows = if summed.len() > 1 { product(&depth)? } else { 0 };
        let target = [vec![0; both.len()], vec![rows, product(&width)?]].concat();
        rhs = reshaped(graph, root, rhs, &target)?;
    }
    let order: Vec<Label> = [both, left, right.clone()].concat();
    let perm = order_of(&order, result).ok_or_else(unsupported)?;
    let is_done = perm.iter().zip(0..).all(|(from, at)| *from == at);
    let note = "written as a product of matrices";
    if right.len() == 1 && is_done {
        return become_op(graph, root, Op::MatMul, &[lhs, rhs], note);
    }
    let mut value = insert(graph, root, "product", Op::MatMul, &[lhs, rhs])?;
    if right.len() > 1 {
        value = reshaped(graph, root, value, &[kept, width].concat())?;
    }
    if is_done {
        become_value(graph, root, value, note)
    } else {
        become_op(graph, root, Op::Transpose { perm }, &[value], note)
    }
}

/// Replaces the ellipsis of each term with labels that the equation does not use. `None` if both operands do not have as
/// many axes in its place: Einsum broadcasts them.
fn spelled_out(terms: [&[Label]; 3], ranks: [Option<usize>; 2]) -> Option<[Vec<Label>; 3]> {
    let find = |term: &[Label]| term.windows(3).position(|part| part == b"...");
    if terms.iter().all(|term| find(term).is_none()) {
        return Some(terms.map(<[Label]>::to_vec));
    }
    let count = |at: usize| find(terms[at]).and(ranks[at])?.checked_sub(terms[at].len() - 3);
    let axes = count(0).filter(|axes| Some(*axes) == count(1))?;
    let unused = (b'A'..=b'Z').filter(|label| terms.iter().all(|term| !term.contains(label)));
    let labels: Vec<Label> = unused.take(axes).collect();
    let replace = |term: &[Label]| find(term).map(|at| [&term[..at], &labels, &term[at + 3..]].concat());
    let [first, second, result] = terms.map(replace);
    (labels.len() == axes).then_some([first?, second?, result?])
}

/// Whether a term consists of distinct letters.
fn is_plain(term: &[u8]) -> bool {
    let is_new = |at: usize, label: &Label| !term[..at].contains(label);
    term.iter().enumerate().all(|(at, label)| label.is_ascii_alphabetic() && is_new(at, label))
}

fn size<'g>(graph: &'g Graph, x: Value, term: &[u8], label: Label) -> Option<&'g Dim> {
    graph.shape(x)?.get(term.iter().position(|own| *own == label)?)
}

/// Checks that labels of both operands have provably equal sizes: Einsum broadcasts an axis of size 1.
///
/// # Errors
/// If the sizes of a label are not provably equal.
fn agree(graph: &Graph, [(a, first), (b, second)]: [(Value, &[u8]); 2]) -> Result<(), Skip> {
    for label in first.iter().filter(|label| second.contains(label)) {
        let sizes = size(graph, a, first, *label).zip(size(graph, b, second, *label));
        if sizes.is_none_or(|(a, b)| a.same(b) != Some(true)) {
            let label = char::from(*label);
            return Err(Skip::rejected(format!("the sizes of `{label}` in both operands are not provably equal")));
        }
    }
    Ok(())
}

/// Returns the permutation that brings the labels of one term into the order of another.
fn order_of(from: &[Label], to: &[Label]) -> Option<Vec<i64>> {
    let place = |label: &Label| from.iter().position(|own| own == label).and_then(|at| i64::try_from(at).ok());
    to.iter().map(place).collect()
}

fn transposed(graph: &mut Graph, root: Value, (x, term): (Value, &[u8]), to: &[&[Label]]) -> Result<Value, Skip> {
    let to = to.concat();
    if term == to {
        return Ok(x);
    }
    let perm = order_of(term, &to).ok_or(Skip::NoMatch)?;
    insert(graph, root, "turned", Op::Transpose { perm }, &[x])
}

fn reshaped(graph: &mut Graph, root: Value, x: Value, sizes: &[i64]) -> Result<Value, Skip> {
    let sizes = number_list(graph, root, "sizes", sizes)?;
    insert(graph, root, "merged", Op::Reshape { allowzero: false }, &[x, sizes])
}

fn product(sizes: &[i64]) -> Result<i64, Skip> {
    let product = sizes.iter().try_fold(1_i64, |product, size| product.checked_mul(*size));
    product
        .filter(|product| *product > 0)
        .ok_or_else(|| Skip::rejected("an axis that would be merged is empty or too large"))
}
