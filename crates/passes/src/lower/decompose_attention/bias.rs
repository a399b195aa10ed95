//! Combines masks, causality, windows and lengths into one bias of the scores.

use crate::read::masks::is_finite;
use crate::read::thresholds::MASKED;
use crate::rewrite::{cast, insert, number, number_list, only};
use crate::rule::Skip;
use netwright_ir::op::PadMode;
use netwright_ir::{Dim, ElementType, Graph, Op, OpKind, Tensor, Value};

/// The attributes and operands that determine which keys a query sees.
pub(super) struct Rules {
    pub(super) is_causal: bool,
    pub(super) left_window_size: i64,
    pub(super) right_window_size: i64,
    pub(super) mask: Option<Value>,
    pub(super) past: Option<Value>,
    pub(super) lengths: Option<Value>,
}

/// The changes to the scores: a value is added to them, and scores of keys that a query does not see are replaced.
#[derive(Default)]
pub(super) struct Bias {
    added: Option<Value>,
    choices: Vec<Choice>,
    /// Whether all scores of a row may become -inf.
    may_mask_rows: bool,
}

/// A replacement of scores, depending on a condition; even NaN is replaced.
struct Choice {
    condition: Value,
    /// Whether the condition is true for keys that are seen.
    seen: bool,
    fill: f64,
}

impl Bias {
    /// Returns the bias for queries and keys, both `[batch, heads, length, size]`.
    pub(super) fn of(
        graph: &mut Graph,
        root: Value,
        rules: &Rules,
        [query, keys]: [Value; 2],
        element: ElementType,
    ) -> Result<Self, Skip> {
        let mut bias = Self::default();
        if let Some(mask) = rules.mask {
            bias.add_mask(graph, root, mask, keys, element)?;
        }
        let has_window = rules.left_window_size >= 0 || rules.right_window_size >= 0;
        if !(rules.is_causal || has_window || rules.lengths.is_some()) {
            return Ok(bias);
        }
        let (queries, keys) = (length(graph, root, query)?, length(graph, root, keys)?);
        let mut near: Vec<Value> = vec![];
        if rules.is_causal && !has_window && rules.past.is_none() && rules.lengths.is_none() {
            // A triangle above the diagonal, which every runtime supports for all lengths.
            let one = number(graph, root, "one", ElementType::F32, 1.0)?;
            let shape = insert(graph, root, "shape", Op::Concat { axis: 0 }, &[queries, keys])?;
            let full = insert(graph, root, "full", Op::Expand, &[one, shape])?;
            let above = insert(graph, root, "above", Op::Constant(Tensor::index(1)), &[])?;
            let later = insert(graph, root, "later", Op::Trilu { upper: true }, &[full, above])?;
            let zero = number(graph, root, "zero", ElementType::F32, 0.0)?;
            let condition = insert(graph, root, "is_later", Op::Greater, &[later, zero])?;
            bias.choices.push(Choice { condition, seen: false, fill: f64::NEG_INFINITY });
        } else if rules.is_causal || has_window {
            let distance = distance(graph, root, rules, queries, keys)?;
            let mut limits = vec![];
            if rules.is_causal {
                limits.push(Limit::AtMost(0));
            }
            if rules.right_window_size >= 0 {
                limits.push(Limit::AtMost(rules.right_window_size));
            }
            if rules.left_window_size >= 0 {
                limits.push(Limit::AtLeast(-rules.left_window_size));
            }
            for limit in limits {
                near.push(limit.compare(graph, root, distance)?);
            }
        }
        if let Some(lengths) = rules.lengths {
            let places = range(graph, root, keys)?;
            let axes = number_list(graph, root, "axes", &[1, 2, 3])?;
            let lengths = insert(graph, root, "lengths", Op::Unsqueeze, &[lengths, axes])?;
            near.push(insert(graph, root, "within", Op::Less, &[places, lengths])?);
        }
        let near = near.into_iter().map(Ok).reduce(|a, b| insert(graph, root, "seen", Op::And, &[a?, b?]));
        if let Some(condition) = near.transpose()? {
            bias.choices.push(Choice { condition, seen: true, fill: f64::NEG_INFINITY });
            bias.may_mask_rows = true;
        }
        Ok(bias)
    }

    /// Adds a mask of numbers or of truth values. A mask that is shorter than the keys is padded with -inf.
    fn add_mask(
        &mut self,
        graph: &mut Graph,
        root: Value,
        mask: Value,
        keys: Value,
        element: ElementType,
    ) -> Result<(), Skip> {
        let last = |of: Value, axis: usize| {
            let shape = graph.shape(of)?;
            shape.get(shape.len().checked_sub(axis)?).cloned()
        };
        let (own, all) = (last(mask, 1), last(keys, 2));
        let (Some(own), Some(all)) = (own, all) else {
            return Err(Skip::rejected(format!("the length of the mask {} is unknown", graph.operand_text(mask))));
        };
        let is_bool = graph.fact(mask).element() == Some(ElementType::Bool);
        self.may_mask_rows = is_bool || !is_finite(graph, mask);
        if own.same(&all) == Some(true) || own == Dim::Known(1) {
            if is_bool {
                self.choices.push(Choice { condition: mask, seen: true, fill: f64::NEG_INFINITY });
            } else if let Some(choice) = choice(graph, mask) {
                self.choices.push(choice);
            } else {
                self.added = Some(mask);
            }
            return Ok(());
        }
        let missing = all.minus(&own).known().filter(|missing| *missing > 0);
        let missing = missing.ok_or_else(|| {
            Skip::rejected(format!(
                "the length of the mask {} is not provably that of the keys",
                graph.operand_text(mask)
            ))
        })?;
        let rank = graph.fact(mask).rank().ok_or(Skip::NoMatch)?;
        let mut pads = vec![0; 2 * rank];
        if let Some(last) = pads.last_mut() {
            *last = missing;
        }
        let value = if is_bool { chosen(graph, root, mask, element)? } else { mask };
        let pads = number_list(graph, root, "pads", &pads)?;
        let fill = number(graph, root, "missing", element, f64::NEG_INFINITY)?;
        self.added = Some(insert(graph, root, "longer", Op::Pad { mode: PadMode::Constant }, &[value, pads, fill])?);
        self.may_mask_rows = self.may_mask_rows || own == Dim::Known(0);
        Ok(())
    }

    /// Applies the bias to the scores.
    pub(super) fn apply(
        &self,
        graph: &mut Graph,
        root: Value,
        mut scores: Value,
        element: ElementType,
    ) -> Result<Value, Skip> {
        if let Some(added) = self.added {
            let own = graph.fact(added).element().filter(|own| *own != element);
            let added = if own.is_some() { insert(graph, root, "bias", cast(element), &[added])? } else { added };
            scores = insert(graph, root, "masked", Op::Add, &[scores, added])?;
        }
        self.replaced(graph, root, scores, element)
    }

    /// Replaces the probabilities of rows that are fully masked with zeros, if there may be such rows.
    pub(super) fn guarded(
        &self,
        graph: &mut Graph,
        root: Value,
        probabilities: Value,
        element: ElementType,
    ) -> Result<Value, Skip> {
        if !self.may_mask_rows {
            return Ok(probabilities);
        }
        let own = self.added.and_then(|added| graph.fact(added).element()).unwrap_or(element);
        let none = match self.added {
            Some(added) => added,
            None => number(graph, root, "kept", own, 0.0)?,
        };
        let bias = self.replaced(graph, root, none, own)?;
        guard(graph, root, bias, probabilities, element)
    }

    /// Replaces the numbers of keys that are not seen.
    fn replaced(
        &self,
        graph: &mut Graph,
        root: Value,
        mut numbers: Value,
        element: ElementType,
    ) -> Result<Value, Skip> {
        for Choice { condition, seen, fill } in &self.choices {
            let fill = number(graph, root, "hidden", element, *fill)?;
            let [yes, no] = if *seen { [numbers, fill] } else { [fill, numbers] };
            numbers = insert(graph, root, "masked", Op::Where, &[*condition, yes, no])?;
        }
        Ok(numbers)
    }
}

/// A limit on the distance of a key from the query.
enum Limit {
    AtMost(i64),
    AtLeast(i64),
}

impl Limit {
    /// Inserts a comparison of distances with the limit; a strict one if the opset does not have the other.
    fn compare(&self, graph: &mut Graph, root: Value, distance: Value) -> Result<Value, Skip> {
        let (op, limit, strict, beyond) = match *self {
            Limit::AtMost(limit) => (Op::LessOrEqual, limit, Op::Less, limit.saturating_add(1)),
            Limit::AtLeast(limit) => (Op::GreaterOrEqual, limit, Op::Greater, limit.saturating_sub(1)),
        };
        let mut near = |op, limit| {
            let limit = insert(graph, root, "limit", Op::Constant(Tensor::index(limit)), &[])?;
            insert(graph, root, "near", op, &[distance, limit])
        };
        near(op, limit).or_else(|_| near(strict, beyond))
    }
}

/// Replaces the probabilities of rows whose bias is -inf with zeros. Elements are compared, not the greatest of a row:
/// in tract 0.23.9, the greatest number of a row of -inf is the lowest float.
fn guard(
    graph: &mut Graph,
    root: Value,
    bias: Value,
    probabilities: Value,
    element: ElementType,
) -> Result<Value, Skip> {
    let least = number(graph, root, "least", graph.fact(bias).element().unwrap_or(element), f64::NEG_INFINITY)?;
    let hidden = insert(graph, root, "masked.key", Op::Equal, &[bias, least])?;
    let hidden = insert(graph, root, "masked.key", cast(ElementType::I32), &[hidden])?;
    let axes = number_list(graph, root, "axes", &[-1])?;
    let all = Op::ReduceMin { keepdims: true, noop_with_empty_axes: false };
    let masked = insert(graph, root, "masked.row", all, &[hidden, axes])?;
    let masked = insert(graph, root, "masked.row", cast(ElementType::Bool), &[masked])?;
    let zero = number(graph, root, "zero", element, 0.0)?;
    insert(graph, root, "guarded", Op::Where, &[masked, zero, probabilities])
}

/// Returns the choice that is equivalent to a mask that adds either 0 or a number that absorbs every score.
fn choice(graph: &Graph, mask: Value) -> Option<Choice> {
    if graph.kind(mask) != OpKind::Where {
        return None;
    }
    let [condition, yes, no] = [0, 1, 2].map(|at| graph.operand(mask.node, at));
    let number = |of: Option<Value>| graph.tensor(of?).and_then(Tensor::float);
    let condition = condition?;
    match (number(yes)?, number(no)?) {
        (0.0, fill) if fill <= MASKED && fill.is_finite() => Some(Choice { condition, seen: true, fill }),
        (fill, 0.0) if fill <= MASKED && fill.is_finite() => Some(Choice { condition, seen: false, fill }),
        _ => None,
    }
}

/// Inserts 0 for elements whose condition is true, -inf for others.
fn chosen(graph: &mut Graph, root: Value, condition: Value, element: ElementType) -> Result<Value, Skip> {
    let kept = number(graph, root, "kept", element, 0.0)?;
    let masked = number(graph, root, "masked", element, f64::NEG_INFINITY)?;
    insert(graph, root, "bias", Op::Where, &[condition, kept, masked])
}

/// Inserts the size of axis 2, as a vector of one element.
fn length(graph: &mut Graph, root: Value, of: Value) -> Result<Value, Skip> {
    insert(graph, root, "length", Op::Shape { start: 2, end: Some(3) }, &[of])
}

/// Inserts the numbers from 0 up to `size`, exclusive.
fn range(graph: &mut Graph, root: Value, size: Value) -> Result<Value, Skip> {
    let [zero, one] = [0, 1].map(|bound| insert(graph, root, "bound", Op::Constant(Tensor::index(bound)), &[]));
    let size = only(graph, root, "size", size)?;
    insert(graph, root, "places", Op::Range, &[zero?, size, one?])
}

/// Inserts the position of each key minus that of each query: `[query, key]`, or `[batch, 1, query, key]` if samples
/// have lengths.
fn distance(graph: &mut Graph, root: Value, rules: &Rules, queries: Value, keys: Value) -> Result<Value, Skip> {
    let key_places = range(graph, root, keys)?;
    let query_places = range(graph, root, queries)?;
    let last = number_list(graph, root, "axes", &[1])?;
    let mut query_places = insert(graph, root, "column", Op::Unsqueeze, &[query_places, last])?;
    let before = match (rules.past, rules.lengths) {
        (Some(past), _) => Some(length(graph, root, past)?),
        (None, Some(lengths)) => {
            let before = insert(graph, root, "before", Op::Sub, &[lengths, queries])?;
            let axes = number_list(graph, root, "axes", &[1, 2, 3])?;
            Some(insert(graph, root, "before", Op::Unsqueeze, &[before, axes])?)
        }
        (None, None) => None,
    };
    if let Some(before) = before {
        query_places = insert(graph, root, "places", Op::Add, &[query_places, before])?;
    }
    insert(graph, root, "distance", Op::Sub, &[key_places, query_places])
}
