use crate::pass::{Exactness, Pass};
use crate::rewrite::{become_op, become_value, insert, number_list};
use crate::rule::{Rewritten, Skip};
use netwright_ir::{Dim, ElementType, Graph, Op, OpKind, Value};

/// `einsum(a, b)` -> `matmul(a, b)` of operands that are transposed
///
/// Each label of the result is one of both operands, which comes first, of the left one or of the right one; the others
/// are summed over. So attention in Keras, whose products are equations, is recognized. Several labels that are summed
/// over, or that the right operand alone has, are merged into one axis, where their sizes are known. The same numbers are
/// multiplied; a runtime may sum them in another order.
pub fn write_einsum_as_matmul() -> Pass {
    let summary = "einsum(a, b) -> matmul(a, b) of operands that are transposed";
    Pass::new("write-einsum-as-matmul", summary, Exactness::Rounding).at([OpKind::Einsum], write)
}

/// A label of an equation.
type Label = u8;

fn write(graph: &mut Graph, root: Value) -> Rewritten {
    let Op::Einsum { equation } = graph.op(root) else { return Err(Skip::NoMatch) };
    let text: Vec<u8> = equation.iter().copied().filter(|byte| *byte != b' ').collect();
    let operands: Vec<Value> = graph.operands(root.node).into_iter().flatten().collect();
    let [a, b] = operands[..] else { return Err(Skip::rejected("it has not two operands")) };
    if !graph.fact(root).element().is_some_and(ElementType::is_float) {
        return Err(Skip::rejected("its elements are not floats"));
    }
    let unread = || Skip::rejected(format!("its equation `{}` is not read", text.escape_ascii()));
    let arrow = text.windows(2).position(|pair| pair == b"->").ok_or_else(unread)?;
    let comma = text.iter().position(|byte| *byte == b',').filter(|at| *at < arrow).ok_or_else(unread)?;
    let terms = [&text[..comma], &text[comma + 1..arrow], &text[arrow + 2..]];
    if terms.iter().any(|term| !is_plain(term)) {
        return Err(unread());
    }
    let [first, second, result] = terms;
    for (x, term) in [(a, first), (b, second)] {
        if graph.fact(x).rank() != Some(term.len()) {
            return Err(Skip::rejected(format!("the rank of {} is not known", graph.operand_text(x))));
        }
    }
    agree(graph, [(a, first), (b, second)])?;
    // The operand whose own labels stand last in the result is the right one.
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
        return Err(Skip::rejected("a label is summed over that one operand alone has"));
    }
    if summed.is_empty() || left.is_empty() || right.is_empty() {
        return Err(Skip::rejected("it is no product of matrices"));
    }
    // One matrix for all rows, or one row axis beside what both have.
    if left.len() > 1 && !both.is_empty() {
        return Err(Skip::rejected("the left operand has several labels of its own beside those of both"));
    }
    let known = |x: Value, term: &[u8], labels: &[Label]| {
        let sizes = labels.iter().map(|label| size(graph, x, term, *label).and_then(Dim::known));
        sizes.collect::<Option<Vec<i64>>>()
    };
    let (width, depth) = (known(b, second, &right), known(b, second, &summed));
    let is_merged = summed.len() > 1 || right.len() > 1;
    if is_merged && width.is_none() || summed.len() > 1 && depth.is_none() {
        return Err(Skip::rejected("sizes that are merged are not known"));
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
    let perm = order_of(&order, result).ok_or_else(unread)?;
    let is_done = perm.iter().zip(0..).all(|(from, at)| *from == at);
    let note = "as a product of matrices";
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

/// Letters, none of them twice.
fn is_plain(term: &[u8]) -> bool {
    let is_new = |at: usize, label: &Label| !term[..at].contains(label);
    term.iter().enumerate().all(|(at, label)| label.is_ascii_alphabetic() && is_new(at, label))
}

fn size<'g>(graph: &'g Graph, x: Value, term: &[u8], label: Label) -> Option<&'g Dim> {
    graph.shape(x)?.get(term.iter().position(|own| *own == label)?)
}

/// Fails where a label of both is not shown to be of one size: an axis of size 1 is repeated.
fn agree(graph: &Graph, [(a, first), (b, second)]: [(Value, &[u8]); 2]) -> Result<(), Skip> {
    for label in first.iter().filter(|label| second.contains(label)) {
        let sizes = size(graph, a, first, *label).zip(size(graph, b, second, *label));
        if sizes.is_none_or(|(a, b)| a.same(b) != Some(true)) {
            let label = char::from(*label);
            return Err(Skip::rejected(format!("nothing shows that `{label}` is of one size in both operands")));
        }
    }
    Ok(())
}

/// The order that makes labels stand as they do in another term.
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
    product.filter(|product| *product > 0).ok_or_else(|| Skip::rejected("an axis that is merged is empty or too large"))
}
