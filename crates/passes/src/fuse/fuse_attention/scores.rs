//! Traces attention probabilities back to queries and keys.

use crate::read::sizes::{position, same_shape};
use crate::rewrite::{expect_alone, first_operands};
use crate::rule::{Skip, says_why};
use netwright_ir::{ElementType, Graph, Op, OpKind, Tensor, Value};

/// The maximum number of nodes between the product and the softmax that are examined.
const MAX_NODES: usize = 64;

/// A mask in the model.
#[derive(Clone, Copy, Debug)]
pub(super) enum Mask {
    /// A mask that is added to the scores.
    Added(Value),
    /// A mask that replaces scores with `fill` at the elements whose condition equals `masked`.
    Filled { condition: Value, masked: bool, fill: f64, element: ElementType },
}

/// The operands, scale and masks from which the probabilities are computed.
#[derive(Debug)]
pub(super) struct Scores {
    /// `[batch, heads, query, size]`
    pub(super) query: Value,
    /// `[batch, heads, size, key]`
    pub(super) key: Value,
    /// The factor of the scores.
    pub(super) scale: f64,
    /// The cap `c` of `tanh(x / c) * c`, applied to the scaled scores; 0 disables it.
    pub(super) softcap: f32,
    /// The masks, the last first.
    pub(super) masks: Vec<Mask>,
    /// The type of the softmax, if it is wider than that of the probabilities.
    pub(super) precision: Option<ElementType>,
    /// Whether the model replaces a row of NaN, the result of a row that is masked by -inf, with zeros.
    pub(super) guarded: bool,
}

impl Scores {
    /// Returns the scores of which the probabilities are the softmax, which may be computed in a wider type.
    ///
    /// # Errors
    /// If they are not attention scores, or not in a form that Attention has.
    pub(super) fn of(graph: &Graph, probabilities: Value) -> Result<Self, Skip> {
        let outer = before_narrowing(graph, probabilities);
        let guard = unguarded(graph, outer);
        let guarded = guard.map_or(outer, |guard| guard.softmax);
        let softmax = before_narrowing(graph, guarded);
        let element = graph.fact(probabilities).element().ok_or(Skip::NoMatch)?;
        let precision = graph.fact(softmax).element().filter(|precision| *precision != element);
        let mut masks = vec![];
        let mut scale = 1.0;
        let (axis, scores) = match graph.op(softmax) {
            Op::Softmax { axis } => (*axis, graph.operand(softmax.node, 0)),
            Op::ScaledSoftmax { axis, scale: factor } => {
                masks.extend(graph.operand(softmax.node, 1).map(Mask::Added));
                scale = f64::from(*factor);
                (*axis, graph.operand(softmax.node, 0))
            }
            Op::Reshape { .. } if graph.operand(softmax.node, 0).is_some_and(|of| is_softmax(graph, of)) => {
                let name = graph.operand_text(softmax);
                return Err(Skip::rejected(format!(
                    "{name} merges batch and heads between the softmax and the values"
                )));
            }
            _ => return Err(Skip::NoMatch),
        };
        let scores = scores.ok_or(Skip::NoMatch)?;
        let path = path(graph, scores).ok_or_else(|| {
            let name = |of: Value| graph.operand_text(of);
            Skip::rejected(match splits_heads(graph, scores) {
                Some(split) => format!(
                    "{} splits batch and heads, which are one axis in the scores before it; {}",
                    name(split),
                    says_why("split-merged-heads")
                ),
                None => format!("{} is not traced back to a product of queries and keys", name(scores)),
            })
        })?;
        let product = path.last().copied().unwrap_or(scores);
        // From here on it is attention, so every obstacle is reported.
        for value in [probabilities, outer, softmax] {
            if value == probabilities || Some(value) != guard.map(|guard| guard.softmax) {
                expect_alone(graph, value)?;
            }
        }
        let rank = graph.shape(softmax).map(<[_]>::len);
        if rank.is_none_or(|rank| position(axis, rank) != Some(rank - 1)) {
            return Err(Skip::rejected("the axis of the softmax is not that of the keys"));
        }
        let [query, key] = first_operands(graph, product)?;
        let mut found = Self { query, key, scale, softcap: 0.0, masks, precision, guarded: guard.is_some() };
        found.read_path(graph, &path)?;
        if let Some(guarded) = guard.and_then(|guard| guard.mask)
            && !matches!(found.masks.as_slice(), [Mask::Added(mask)] if *mask == guarded)
        {
            return Err(Skip::rejected(format!(
                "rows are replaced with zeros depending on {}, which is not the mask of the scores",
                graph.operand_text(guarded)
            )));
        }
        for side in [&mut found.query, &mut found.key] {
            loop {
                if let Some(x) = widened_from(graph, *side, element) {
                    *side = x;
                } else if let Some((x, factor)) = scaled(graph, *side) {
                    found.scale *= factor;
                    *side = x;
                } else {
                    break;
                }
            }
        }
        Ok(found)
    }

    /// Returns the type in which masks are added to the scores; without masks, that of the queries.
    pub(super) fn mask_type(&self, graph: &Graph) -> Result<ElementType, Skip> {
        let mut types = self.masks.iter().map(|mask| match mask {
            Mask::Added(mask) => crate::rewrite::element(graph, *mask),
            Mask::Filled { element, .. } => Ok(*element),
        });
        let Some(first) = types.next() else { return crate::rewrite::element(graph, self.query) };
        let first = first?;
        for other in types {
            if other? != first {
                return Err(Skip::rejected("its masks have different element types"));
            }
        }
        Ok(first)
    }

    /// Reads scales, caps and masks on the path from the softmax to the product.
    fn read_path(&mut self, graph: &Graph, path: &[Value]) -> Result<(), Skip> {
        // A scaled softmax scales before it adds its mask, so a mask that is added before would be scaled too.
        let mut is_scaled = self.scale != 1.0;
        let mut rest = path;
        while let [value, after @ ..] = rest {
            expect_alone(graph, *value)?;
            let [inner, ..] = after else { break };
            rest = after;
            let name = || graph.operand_text(*value);
            let operand = |at| graph.operand(value.node, at).ok_or(Skip::NoMatch);
            match graph.kind(*value) {
                OpKind::Add | OpKind::Where if is_scaled || self.softcap != 0.0 => {
                    return Err(Skip::rejected(format!("the mask {} is applied before the scale", name())));
                }
                OpKind::Add => {
                    self.masks.push(Mask::Added(if operand(0)? == *inner { operand(1)? } else { operand(0)? }));
                }
                OpKind::Where => {
                    let masked = operand(1)? != *inner;
                    let fill = graph.tensor(if masked { operand(1)? } else { operand(2)? }).and_then(Tensor::float);
                    let fill = fill.ok_or_else(|| {
                        Skip::rejected(format!("{} replaces scores with a value that is not a constant", name()))
                    })?;
                    let element = crate::rewrite::element(graph, *value)?;
                    self.masks.push(Mask::Filled { condition: operand(0)?, masked, fill, element });
                }
                // `tanh(x * f) * c` caps `x * (f * c)` at `c`.
                OpKind::Tanh if self.softcap == 0.0 && self.scale > 0.0 => {
                    #[expect(clippy::cast_possible_truncation, reason = "the attribute is an f32; rounded to nearest")]
                    let cap = self.scale as f32;
                    self.softcap = cap;
                    is_scaled = true;
                }
                OpKind::Cast => {}
                _ => {
                    let (_, factor) = scaled(graph, *value).ok_or_else(|| {
                        Skip::rejected(format!("{} scales by a value that is not a constant", name()))
                    })?;
                    self.scale *= factor;
                    is_scaled = true;
                }
            }
        }
        // Without a separate scale, the divisor before tanh is the factor after it.
        if self.softcap != 0.0 && (self.scale - 1.0).abs() < 1e-6 {
            self.scale = 1.0;
        }
        Ok(())
    }
}

/// A guard that replaces the probabilities of rows that are fully masked with zeros.
#[derive(Clone, Copy)]
struct Guard {
    softmax: Value,
    /// The mask whose rows are tested; `None` if the probabilities are.
    mask: Option<Value>,
}

/// Reads `where(is_nan(softmax), 0, softmax)`, `where(reduce_min(mask == -inf), 0, softmax)` or
/// `where(reduce_max(mask) == -inf, 0, softmax)`, whose parts have no other use.
fn unguarded(graph: &Graph, value: Value) -> Option<Guard> {
    let number = |of: Value| graph.tensor(of).and_then(Tensor::float);
    let [condition, zero, softmax] = [0, 1, 2].map(|at| graph.operand(value.node, at));
    let (condition, softmax) = (condition?, softmax?);
    if graph.kind(value) != OpKind::Where || number(zero?) != Some(0.0) || graph.use_count(condition) != 1 {
        return None;
    }
    let first = |of: Value| graph.operand(of.node, 0);
    let of = first(condition)?;
    let (reduced, equal, mask) = match (graph.kind(condition), graph.kind(of)) {
        (OpKind::IsNaN, _) => {
            let is_own = of == softmax && graph.use_count(softmax) == 2;
            return is_own.then_some(Guard { softmax, mask: None });
        }
        (OpKind::Equal, OpKind::ReduceMax) => (of, condition, first(of)?),
        // Truth values are cast to be reduced.
        (OpKind::Cast, OpKind::ReduceMin) => {
            let equal = first(of).and_then(first).filter(|equal| graph.kind(*equal) == OpKind::Equal)?;
            (of, equal, first(equal)?)
        }
        _ => return None,
    };
    let is_infinity = number(graph.operand(equal.node, 1)?) == Some(f64::NEG_INFINITY);
    let axes = graph.fact(graph.operand(reduced.node, 1)?).known_elements()?;
    let rank = graph.fact(reduced).rank()?;
    let is_last = matches!(axes.as_slice(), [axis] if position(*axis, rank) == Some(rank - 1));
    (is_infinity && is_last && graph.use_count(softmax) == 1).then_some(Guard { softmax, mask: Some(mask) })
}

/// Whether a value is a float cast to a wider type.
fn widens(graph: &Graph, value: Value) -> bool {
    let element = |of: Value| graph.fact(of).element().filter(|element| element.is_float()).map(ElementType::bits);
    let from = graph.operand(value.node, 0).and_then(element);
    graph.kind(value) == OpKind::Cast && from.zip(element(value)).is_some_and(|(from, to)| from < to)
}

/// Returns the operand of a Cast to a wider type, if its type is `element`.
fn widened_from(graph: &Graph, value: Value, element: ElementType) -> Option<Value> {
    graph.operand(value.node, 0).filter(|x| widens(graph, value) && graph.fact(*x).element() == Some(element))
}

/// Returns the operand of a Cast to a narrower type; another value is returned as it is.
fn before_narrowing(graph: &Graph, value: Value) -> Value {
    let bits = |of: Value| graph.fact(of).element().filter(|element| element.is_float()).map(ElementType::bits);
    let from = graph.operand(value.node, 0).filter(|_| graph.kind(value) == OpKind::Cast);
    from.filter(|from| bits(*from).zip(bits(value)).is_some_and(|(from, to)| from > to)).unwrap_or(value)
}

fn is_softmax(graph: &Graph, value: Value) -> bool {
    matches!(graph.kind(value), OpKind::Softmax | OpKind::ScaledSoftmax)
}

/// Returns the values from the operand of a softmax to a matrix product of the same shape, through operators that
/// scale, cap and mask.
fn path(graph: &Graph, scores: Value) -> Option<Vec<Value>> {
    let shape = graph.shape(scores)?;
    let mut open = vec![vec![scores]];
    for _ in 0..MAX_NODES {
        let path = open.pop()?;
        let value = *path.last()?;
        let places: &[usize] = match graph.kind(value) {
            OpKind::MatMul => return Some(path),
            OpKind::Add | OpKind::Mul => &[1, 0],
            OpKind::Div | OpKind::Tanh => &[0],
            OpKind::Cast if widens(graph, value) => &[0],
            OpKind::Where => &[2, 1],
            _ => continue,
        };
        let operands = places.iter().filter_map(|&at| graph.operand(value.node, at));
        let own = operands.filter(|operand| graph.shape(*operand).is_some_and(|own| same_shape(own, shape)));
        open.extend(own.map(|operand| [path.as_slice(), &[operand]].concat()));
    }
    None
}

/// Returns the Reshape from three axes to four, batch and heads, that is found among the operators before the softmax.
fn splits_heads(graph: &Graph, scores: Value) -> Option<Value> {
    let rank = |of: Value| graph.fact(of).rank();
    let mut open = vec![scores];
    for _ in 0..MAX_NODES {
        let value = open.pop()?;
        let operands = graph.operands(value.node).into_iter().flatten();
        match graph.kind(value) {
            OpKind::Reshape if rank(value) == Some(4) && operands.clone().next().and_then(rank) == Some(3) => {
                return Some(value);
            }
            OpKind::Add | OpKind::Mul | OpKind::Div | OpKind::Where | OpKind::Cast => open.extend(operands),
            _ => {}
        }
    }
    None
}

/// Returns the value that a constant multiplies or divides, and the factor.
fn scaled(graph: &Graph, value: Value) -> Option<(Value, f64)> {
    let number = |at: usize| graph.operand(value.node, at).and_then(|operand| constant(graph, operand));
    let (x, factor) = match graph.kind(value) {
        OpKind::Mul => match (number(0), number(1)) {
            (_, Some(factor)) => (graph.operand(value.node, 0)?, factor),
            (Some(factor), _) => (graph.operand(value.node, 1)?, factor),
            _ => return None,
        },
        OpKind::Div => (graph.operand(value.node, 0)?, 1.0 / number(1)?),
        _ => return None,
    };
    let keeps = graph.shape(x)?.len() == graph.shape(value)?.len();
    (keeps && factor.is_normal()).then_some((x, factor))
}

/// Reads a constant, or a power of constants. Runtimes round powers differently, so powers are not computed before.
fn constant(graph: &Graph, value: Value) -> Option<f64> {
    let number = |value: Value| graph.tensor(value)?.float();
    match graph.kind(value) {
        OpKind::Pow => {
            let [base, exponent] = [0, 1].map(|at| graph.operand(value.node, at).and_then(number));
            Some(base?.powf(exponent?))
        }
        _ => number(value),
    }
}
