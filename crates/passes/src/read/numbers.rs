//! Bounds on the elements of a value, for all inputs.

use crate::read::masks::without_bound;
use crate::read::positions::Count;
use crate::read::sizes::{only_element, position};
use crate::read::thresholds::LIGHTEST;
use crate::rule::Skip;
use netwright_ir::{Dim, ElementType, Graph, Op, OpKind, Tensor, Value};

/// The maximum number of distinct numbers that are listed; more are an interval.
const MAX_FEW: u8 = 8;

/// The maximum number of nodes before a value that are examined.
const MAX_NODES: usize = 192;

/// The maximum distance of these nodes from the value.
const MAX_DEPTH: usize = 40;

/// The maximum size of a constant that is read, in bytes.
const MAX_BYTES: u64 = 1 << 20;

/// The numbers that the elements of a value may be, except NaN. Truth values are 0 and 1.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Numbers {
    /// Whether a listed number makes some elements NaN, such as infinity times 0; the numbers are then unknown.
    pub(crate) has_nan: bool,
    /// A lower bound.
    pub(crate) least: f64,
    /// An upper bound.
    pub(crate) most: f64,
    /// All possible numbers in ascending order, if they are few.
    pub(crate) few: Option<Vec<f64>>,
}

/// The elements of a value that are examined.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Part {
    /// All elements.
    Whole,
    /// The first element of every row, along the last axis.
    First,
    /// The elements whose place along the last axis is after that along the axis before it plus the length of the past,
    /// where both sizes are not 1. In a mask, these are the keys after each query.
    Later,
    /// The elements whose place is that sum, or more elements than these. In a mask, these are the keys of the queries'
    /// own tokens.
    Own,
}

impl Part {
    /// Whether the indices along the last two axes decide which elements are in the part.
    fn is_of_places(self) -> bool {
        matches!(self, Self::Later | Self::Own)
    }
}

impl Numbers {
    const UNKNOWN: Self = Self { has_nan: false, least: f64::NEG_INFINITY, most: f64::INFINITY, few: None };

    /// Returns the numbers of all elements of a value.
    pub(crate) fn of(graph: &Graph, value: Value) -> Self {
        Reader::new(graph).read(value, Part::Whole, MAX_DEPTH)
    }

    /// Returns the numbers of the first element of every row along the last axis. In a mask, that is the first key of
    /// every query.
    pub(crate) fn first_of_rows(graph: &Graph, value: Value) -> Self {
        Reader::new(graph).read(value, Part::First, MAX_DEPTH)
    }

    /// Returns the numbers of the keys after each query, which are the last two axes of a mask, or of a value that is
    /// broadcast to it, in a graph without a past. An input of integers whose name contains `mask` is assumed to hold 0
    /// and 1.
    pub(crate) fn of_later_keys(graph: &Graph, mask: Value) -> Self {
        Reader { is_mask: true, ..Reader::new(graph) }.read(mask, Part::Later, MAX_DEPTH)
    }

    /// Returns the numbers of the key of each query's own token, as [`Numbers::of_later_keys`] does for later ones.
    pub(crate) fn of_own_keys(graph: &Graph, mask: Value) -> Self {
        Reader { is_mask: true, ..Reader::new(graph) }.read(mask, Part::Own, MAX_DEPTH)
    }

    /// Whether a mask lowers the scores of the keys after each query so far below those of others that they have no
    /// weight. Its last two axes are the queries and all keys, of which `past` come before the first query.
    pub(crate) fn hides_later_keys(graph: &Graph, mask: Value, past: &Dim) -> bool {
        let later = Reader { past: past.clone(), ..Reader::new(graph) }.read(mask, Part::Later, MAX_DEPTH).most;
        let most = Self::of(graph, mask).most;
        later <= LIGHTEST && most.is_finite() && later - most <= LIGHTEST
    }

    /// Returns the number if there is only one.
    pub(crate) fn only(&self) -> Option<f64> {
        (self.least == self.most).then_some(self.least)
    }

    fn between(least: f64, most: f64) -> Self {
        Self { least, most, few: (least == most).then(|| vec![least]), ..Self::UNKNOWN }
    }

    fn all(numbers: impl IntoIterator<Item = f64>) -> Self {
        let (mut least, mut most, mut few) = (f64::INFINITY, f64::NEG_INFINITY, vec![]);
        for number in numbers {
            if number.is_nan() {
                return Self { has_nan: true, ..Self::UNKNOWN };
            }
            (least, most) = (least.min(number), most.max(number));
            if few.len() <= usize::from(MAX_FEW) && !few.contains(&number) {
                few.push(number);
            }
        }
        if few.is_empty() {
            return Self::UNKNOWN;
        }
        few.sort_by(f64::total_cmp);
        Self { least, most, few: (few.len() <= usize::from(MAX_FEW)).then_some(few), ..Self::UNKNOWN }
    }

    fn truth(may_be_false: bool, may_be_true: bool) -> Self {
        Self::all(
            [(may_be_false, 0.0), (may_be_true, 1.0)].into_iter().filter(|(may, _)| *may).map(|(_, number)| number),
        )
    }

    fn or(&self, other: &Self) -> Self {
        let either = match (&self.few, &other.few) {
            (Some(a), Some(b)) => Self::all(a.iter().chain(b).copied()),
            _ => Self::between(self.least.min(other.least), self.most.max(other.most)),
        };
        Self { has_nan: self.has_nan || other.has_nan, ..either }
    }

    /// Returns the results of a function that is monotone in each operand.
    fn with(&self, other: &Self, function: impl Fn(f64, f64) -> f64) -> Self {
        if let (Some(a), Some(b)) = (&self.few, &other.few) {
            return Self::all(a.iter().flat_map(|a| b.iter().map(|b| function(*a, *b))));
        }
        let corners = [self.least, self.most].map(|a| [other.least, other.most].map(|b| function(a, b)));
        let corners = Self::all(corners.into_iter().flatten());
        Self { has_nan: self.has_nan || other.has_nan, ..Self::between(corners.least, corners.most) }
    }

    fn rounded(&self, element: ElementType) -> Self {
        self.with(&Self::all([0.0]), |number, _| rounded(element, number))
    }

    /// Whether an infinity is listed, and another value, which is multiplied by it, may be 0.
    fn lists_infinity_for(&self, other: &Self) -> bool {
        other.may_be_zero() && self.few.as_ref().is_some_and(|few| few.iter().any(|number| number.is_infinite()))
    }

    fn may_be_zero(&self) -> bool {
        self.few.as_ref().map_or(self.least <= 0.0 && self.most >= 0.0, |few| few.contains(&0.0))
    }

    fn negated(&self) -> Self {
        self.with(&Self::all([0.0]), |number, _| -number)
    }

    /// Returns the results of a function of two truth values, whose bounds may be unknown.
    fn truth_with(&self, other: &Self, function: fn(f64, f64) -> f64) -> Self {
        let bounded = |of: &Self| of.with(&Self::all([0.0]), f64::max).with(&Self::all([1.0]), f64::min);
        bounded(self).with(&bounded(other), function)
    }

    /// Returns the integers in the interval, which must be short and of [small](is_small) numbers.
    fn integral(&self) -> Self {
        let numbers = std::iter::successors(Some(self.least.ceil()), |number| Some(number + 1.0));
        Self::all(numbers.take_while(|number| *number <= self.most))
    }
}

struct Reader<'g> {
    graph: &'g Graph,
    nodes: usize,
    /// The length of the past, for [`Part::Later`].
    past: Dim,
    /// Whether inputs that are padding masks hold 0 and 1.
    is_mask: bool,
}

impl<'g> Reader<'g> {
    fn new(graph: &'g Graph) -> Self {
        Self { graph, nodes: MAX_NODES, past: Dim::Known(0), is_mask: false }
    }

    fn read(&mut self, value: Value, part: Part, depth: usize) -> Numbers {
        let Some(depth) = depth.checked_sub(1).filter(|_| self.nodes > 0) else { return Numbers::UNKNOWN };
        self.nodes -= 1;
        let graph = self.graph;
        if let Some(known) = self.known(value, part) {
            return known;
        }
        if let Some(all) = self.rows_after_past(value).filter(|_| part.is_of_places()) {
            let past = std::mem::replace(&mut self.past, Dim::Known(0));
            let numbers = self.read(all, part, depth);
            self.past = past;
            return numbers;
        }
        let (is_mask, past) = (self.is_mask, self.past.clone());
        let operands = graph.operands(value.node);
        let mut operand = |at: usize, part: Part| match operands.get(at).copied().flatten() {
            Some(value) => self.read(value, part, depth),
            None => Numbers::UNKNOWN,
        };
        let number = |of: f64| Numbers::all([of]);
        let element = graph.fact(value).element();
        let apart = || {
            let count = |at: usize| Count::of(graph, operands.get(at).copied().flatten()?);
            let (least, most) = match part {
                Part::Later => count(0)?.minus_for_later_keys(&count(1)?, &past)?,
                Part::Own => count(0)?.minus_for_own_keys(&count(1)?, &past).map(|apart| (apart, apart))?,
                Part::Whole | Part::First => return None,
            };
            Some(Numbers::between(least, most))
        };
        // Sums and products are rounded as they are at run time; other integer types wrap.
        let arithmetic = |a: Numbers, b: Numbers, function: fn(f64, f64) -> f64| match element {
            Some(element) if is_rounded(element) => a.with(&b, |a, b| rounded(element, function(a, b))),
            Some(ElementType::I64) if [&a, &b].iter().all(|of| is_small(of)) => a.with(&b, function),
            _ => Numbers::UNKNOWN,
        };
        let numbers = match graph.op(value) {
            Op::ConstantOfShape { value } => elements(value).map_or(Numbers::UNKNOWN, Numbers::all),
            Op::Constant(_) | Op::Parameter(_) => self.tensor(value, part),
            Op::Input if graph.fact(value).element() == Some(ElementType::Bool) => Numbers::truth(true, true),
            Op::Input if is_mask && is_padding_mask(graph, value) => Numbers::truth(true, true),
            Op::Where => {
                let condition = operand(0, part);
                let (yes, no) = (operand(1, part), operand(2, part));
                let numbers = match condition.only() {
                    Some(0.0) => no,
                    Some(_) => yes,
                    None => yes.or(&no),
                };
                without_bound(graph, value).map_or(numbers.clone(), |(_, least)| numbers.with(&number(least), f64::max))
            }
            Op::Trilu { upper } => {
                let above = operands.get(1).copied().flatten();
                let above =
                    above.map_or(Some(Dim::Known(0)), |at| graph.fact(at).elements.as_deref()?.first().cloned());
                let (is_cleared, is_kept) = match part {
                    Part::First => (*upper && above.is_some_and(|above| above.is_positive()), false),
                    Part::Later | Part::Own => {
                        // Neither axis is broadcast.
                        let is_whole = graph.shape(value).and_then(|shape| shape.last_chunk::<2>());
                        let is_whole = is_whole.is_some_and(|[queries, keys]| {
                            let is_broadcast = [queries, keys].into_iter().any(|size| *size == Dim::Known(1));
                            queries.plus(&past).same(keys) == Some(true) && !is_broadcast
                        });
                        // The least distance of a key from its query, which is the only one of own keys.
                        let least = past.plus(&Dim::Known(i64::from(part == Part::Later)));
                        let is_over = |above: &Dim, by: i64| least.minus(above).minus(&Dim::Known(by)).is_nonnegative();
                        let is_under = |above: &Dim, by: i64| {
                            part == Part::Own && above.minus(&least).minus(&Dim::Known(by)).is_nonnegative()
                        };
                        match above.filter(|_| is_whole) {
                            Some(above) if *upper => (is_under(&above, 1), is_over(&above, 0)),
                            Some(above) => (is_over(&above, 1), is_under(&above, 0)),
                            None => (false, false),
                        }
                    }
                    Part::Whole => (false, false),
                };
                match (is_cleared, is_kept) {
                    (true, _) => number(0.0),
                    (_, true) => operand(0, part),
                    _ => operand(0, part).or(&number(0.0)),
                }
            }
            Op::Range => {
                let (start, step) = (operand(0, Part::Whole), operand(2, Part::Whole));
                match part {
                    Part::First => start,
                    _ if step.least >= 0.0 => Numbers::between(start.least, f64::INFINITY),
                    _ => Numbers::UNKNOWN,
                }
            }
            Op::Cast { to, .. } => {
                let from = operands.first().copied().flatten().and_then(|from| graph.fact(from).element());
                let inner = operand(0, part);
                match (from, to) {
                    (_, ElementType::Bool) => not_zero(&inner),
                    (Some(from), to) if is_rounded(*to) && is_rounded(from) => inner.rounded(*to),
                    (Some(_), ElementType::F32 | ElementType::F64) => inner.rounded(*to),
                    (Some(from), to) if is_whole(from) && is_small(&inner) && is_rounded(*to) => inner.rounded(*to),
                    (Some(from), ElementType::I32 | ElementType::I64) if is_whole(from) && is_small(&inner) => inner,
                    _ => Numbers::UNKNOWN,
                }
            }
            op => match op.kind() {
                OpKind::Add => arithmetic(operand(0, part), operand(1, part), |a, b| a + b),
                OpKind::Sub => apart().unwrap_or_else(|| arithmetic(operand(0, part), operand(1, part), |a, b| a - b)),
                OpKind::Mul => {
                    let (a, b) = (operand(0, part), operand(1, part));
                    let has_nan = a.lists_infinity_for(&b) || b.lists_infinity_for(&a);
                    let product = arithmetic(a, b, |a, b| a * b);
                    Numbers { has_nan: has_nan || product.has_nan, ..product }
                }
                kind @ (OpKind::Max | OpKind::Min) => {
                    let function = if kind == OpKind::Max { f64::max } else { f64::min };
                    let mut all = (0..operands.len()).map(|at| operand(at, part));
                    let first = all.next().unwrap_or(Numbers::UNKNOWN);
                    let numbers = all.fold(first, |a, b| a.with(&b, function));
                    // The greater of a number and its negation.
                    let is_magnitude = kind == OpKind::Max && is_magnitude(graph, &operands);
                    if is_magnitude { numbers.with(&number(0.0), f64::max) } else { numbers }
                }
                OpKind::Clip => {
                    let bounds = [(1, f64::max as fn(f64, f64) -> f64), (2, f64::min)];
                    let given = bounds.into_iter().filter(|(at, _)| operands.get(*at).is_some_and(Option::is_some));
                    given.fold(operand(0, part), |numbers, (at, bound)| numbers.with(&operand(at, part), bound))
                }
                OpKind::ReduceMax | OpKind::ReduceMin => operand(0, Part::Whole),
                OpKind::Neg if element.is_some_and(is_rounded) => operand(0, part).negated(),
                OpKind::Relu => operand(0, part).with(&number(0.0), f64::max),
                OpKind::Sigmoid => Numbers::between(0.0, 1.0),
                OpKind::Tanh => Numbers::between(-1.0, 1.0),
                OpKind::Not => {
                    let inner = operand(0, part);
                    Numbers::truth(inner.most > 0.0, inner.least < 1.0)
                }
                OpKind::And => operand(0, part).truth_with(&operand(1, part), f64::min),
                OpKind::Or => operand(0, part).truth_with(&operand(1, part), f64::max),
                kind @ (OpKind::Less | OpKind::Greater | OpKind::LessOrEqual | OpKind::GreaterOrEqual) => {
                    let or_equal = matches!(kind, OpKind::LessOrEqual | OpKind::GreaterOrEqual);
                    let (a, b) = match apart() {
                        Some(apart) => (apart, number(0.0)),
                        None => (operand(0, part), operand(1, part)),
                    };
                    let is_greater = matches!(kind, OpKind::Greater | OpKind::GreaterOrEqual);
                    if is_greater { is_less(&b, &a, or_equal) } else { is_less(&a, &b, or_equal) }
                }
                OpKind::Equal => {
                    let (a, b) = (operand(0, part), operand(1, part));
                    let both = a.only().is_some_and(|only| b.only() == Some(only));
                    Numbers::truth(!both, a.most >= b.least && b.most >= a.least)
                }
                OpKind::Concat => {
                    let all = (0..operands.len()).map(|at| operand(at, moved(graph, value, part)));
                    all.reduce(|a, b| a.or(&b)).unwrap_or(Numbers::UNKNOWN)
                }
                kind if kind.moves_elements() => operand(0, moved(graph, value, part)),
                _ => Numbers::UNKNOWN,
            },
        };
        let is_narrow = numbers.few.is_none() && numbers.most - numbers.least < MAX_FEW.into();
        // For a large float, the next integer may be the same float.
        if is_narrow && is_small(&numbers) && self.holds_integers(value, depth) { numbers.integral() } else { numbers }
    }

    /// Whether all elements are provably integers.
    fn holds_integers(&mut self, value: Value, depth: usize) -> bool {
        let graph = self.graph;
        if graph.fact(value).element().is_some_and(is_whole) {
            return true;
        }
        let Some(depth) = depth.checked_sub(1).filter(|_| self.nodes > 0) else { return false };
        self.nodes -= 1;
        let operands = graph.operands(value.node);
        let mut inner = |value: Option<Value>| value.is_some_and(|value| self.holds_integers(value, depth));
        match graph.kind(value) {
            OpKind::Cast => {
                operands.first().copied().flatten().and_then(|from| graph.fact(from).element()).is_some_and(is_whole)
            }
            OpKind::Add | OpKind::Sub | OpKind::Mul | OpKind::Max | OpKind::Min => operands.into_iter().all(inner),
            OpKind::Relu | OpKind::Neg => inner(operands.first().copied().flatten()),
            kind if kind.moves_elements() => inner(operands.first().copied().flatten()),
            OpKind::Constant => graph.tensor(value).and_then(Tensor::float).is_some_and(|number| number.fract() == 0.0),
            _ => false,
        }
    }

    /// Returns the numbers that shape inference knows.
    fn known(&self, value: Value, part: Part) -> Option<Numbers> {
        let elements = self.graph.fact(value).elements.as_deref().filter(|elements| !elements.is_empty())?;
        let asked = if part == Part::First { &elements[..1] } else { elements };
        if let Some(known) = asked.iter().map(Dim::known).collect::<Option<Vec<i64>>>() {
            #[expect(clippy::cast_precision_loss, reason = "rounded as a Cast does")]
            return Some(Numbers::all(known.into_iter().map(|number| number as f64)));
        }
        asked.iter().all(Dim::is_nonnegative).then(|| Numbers::between(0.0, f64::INFINITY))
    }

    /// Returns the operand of a Slice that has its rows after those of the past: the mask of all tokens.
    fn rows_after_past(&self, value: Value) -> Option<Value> {
        let graph = self.graph;
        let all = graph.operand(value.node, 0).filter(|_| graph.kind(value) == OpKind::Slice)?;
        let rank = graph.fact(all).rank()?;
        let is_along_rows = position(only_element(graph, value.node, 3)?, rank)? + 2 == rank;
        let is_forward = graph.operand(value.node, 4).is_none() || only_element(graph, value.node, 4) == Some(1);
        let starts = graph.fact(graph.operand(value.node, 1)?).elements.as_deref()?;
        let is_after = matches!(starts, [start] if start.same(&self.past) == Some(true));
        (is_along_rows && is_forward && is_after).then_some(all)
    }

    /// Returns the numbers of a stored tensor. Those of a large one are unknown.
    fn tensor(&self, value: Value, part: Part) -> Numbers {
        let Some(tensor) = self.graph.tensor(value).filter(|tensor| tensor.len() <= MAX_BYTES) else {
            return Numbers::UNKNOWN;
        };
        let Ok(numbers) = elements(tensor) else { return Numbers::UNKNOWN };
        let sizes: Vec<usize> = tensor.dims().iter().map(|size| usize::try_from(*size).unwrap_or(usize::MAX)).collect();
        let row = sizes.last().copied().filter(|size| *size > 0).unwrap_or(1);
        match (part, &sizes[..]) {
            (Part::First, _) => Numbers::all(numbers.into_iter().step_by(row)),
            (Part::Later | Part::Own, [.., queries @ 2..=usize::MAX, keys @ 2..=usize::MAX]) => {
                // If the length of the past is unknown, keys of the past count too, which only widens the bounds.
                let past = self.past.known().and_then(|past| usize::try_from(past).ok());
                let is_in_part = |place: usize| {
                    let (key, own) = (place % keys, place / keys % queries + past.unwrap_or(0));
                    if part == Part::Own { key == own || past.is_none() } else { key > own }
                };
                let part = numbers.into_iter().enumerate().filter(|(place, _)| is_in_part(*place));
                Numbers::all(part.map(|(_, number)| number))
            }
            _ => Numbers::all(numbers),
        }
    }
}

/// Returns the part of the operand that becomes `part` of the result: the same part if rows stay rows and keep their
/// first element, else the whole operand.
fn moved(graph: &Graph, value: Value, part: Part) -> Part {
    let operand = |at: usize| graph.operand(value.node, at);
    let rank = operand(0).and_then(|from| graph.fact(from).rank());
    if part.is_of_places() {
        return if keeps_last_two(graph, value) { part } else { Part::Whole };
    }
    let last = rank.and_then(|rank| rank.checked_sub(1));
    let is_last = |axis: i64| last.is_none_or(|last| position(axis, last + 1) == Some(last));
    let keeps_rows = match graph.op(value) {
        // An Expand repeats whole rows, or the only element of a row.
        Op::Identity | Op::Expand => true,
        Op::Transpose { perm } => perm.last().is_some_and(|axis| is_last(*axis)) && last.is_some(),
        Op::Gather { axis } | Op::Concat { axis } => last.is_some() && !is_last(*axis),
        Op::Unsqueeze | Op::Squeeze | Op::Reshape { .. } => {
            let size = |of: Value| graph.shape(of)?.last().cloned();
            operand(0).and_then(size).zip(size(value)).is_some_and(|(a, b)| a.same(&b) == Some(true))
        }
        Op::Slice => {
            let known = |at: usize| operand(at).and_then(|of| graph.fact(of).known_elements());
            let (Some(starts), Some(axes)) = (known(1), known(3)) else { return Part::Whole };
            let steps = if operand(4).is_some() { known(4) } else { Some(vec![1; axes.len()]) };
            let Some(steps) = steps else { return Part::Whole };
            let mut sliced = axes.iter().zip(&starts).zip(&steps);
            last.is_some() && sliced.all(|((axis, start), step)| !is_last(*axis) || *start == 0 && *step > 0)
        }
        _ => false,
    };
    if keeps_rows { part } else { Part::Whole }
}

/// Whether the last two axes of the operand of an operator that moves elements are those of the result, and elements
/// keep their places along them.
fn keeps_last_two(graph: &Graph, value: Value) -> bool {
    let operand = |at: usize| graph.operand(value.node, at);
    let Some(rank) = operand(0).and_then(|from| graph.fact(from).rank()).filter(|rank| *rank >= 2) else {
        return false;
    };
    let is_outer = |axis: i64| position(axis, rank).is_some_and(|axis| axis + 2 < rank);
    match graph.op(value) {
        Op::Identity | Op::Expand => true,
        Op::Transpose { perm } => {
            (rank - 2..rank).all(|axis| perm.get(axis).is_some_and(|from| position(*from, rank) == Some(axis)))
        }
        Op::Gather { axis } | Op::Concat { axis } => is_outer(*axis),
        Op::Unsqueeze | Op::Squeeze | Op::Reshape { .. } => {
            let last = |of: Value| graph.shape(of)?.last_chunk::<2>();
            operand(0)
                .and_then(last)
                .zip(last(value))
                .is_some_and(|(from, to)| from.iter().zip(to).all(|(from, to)| from.same(to) == Some(true)))
        }
        Op::Slice => {
            let known = |at: usize| operand(at).and_then(|of| graph.fact(of).elements.clone());
            let (Some(starts), Some(axes)) = (known(1), known(3)) else { return false };
            let steps = if operand(4).is_some() { known(4) } else { Some(vec![Dim::Known(1); axes.len()].into()) };
            let Some(steps) = steps else { return false };
            axes.iter().zip(starts.iter()).zip(steps.iter()).all(|((axis, start), step)| {
                axis.known().is_some_and(is_outer) || *start == Dim::Known(0) && *step == Dim::Known(1)
            })
        }
        _ => false,
    }
}

/// Whether operands are a value and its negation.
fn is_magnitude(graph: &Graph, operands: &[Option<Value>]) -> bool {
    let negates =
        |one: Value, other: Value| graph.kind(one) == OpKind::Neg && graph.operand(one.node, 0) == Some(other);
    matches!(operands, [Some(one), Some(other)] if negates(*one, *other) || negates(*other, *one))
}

/// Whether a value is an input that says which tokens are padding.
fn is_padding_mask(graph: &Graph, value: Value) -> bool {
    graph.fact(value).element().is_some_and(is_whole) && graph.value_name(value).to_lowercase().contains("mask")
}

fn is_whole(element: ElementType) -> bool {
    use ElementType::{Bool, I8, I16, I32, I64, U8, U16, U32, U64};
    matches!(element, Bool | I8 | I16 | I32 | I64 | U8 | U16 | U32 | U64)
}

/// Whether numbers can be rounded to the type.
fn is_rounded(element: ElementType) -> bool {
    element.round(0.0).is_some()
}

/// Rounds a number to a float type.
fn rounded(element: ElementType, number: f64) -> f64 {
    element.round(number).unwrap_or(number)
}

/// Whether all are so small that `i32`, `i64` and `f32` hold every integer among them.
fn is_small(numbers: &Numbers) -> bool {
    numbers.least.abs() < 1e6 && numbers.most.abs() < 1e6
}

fn not_zero(numbers: &Numbers) -> Numbers {
    Numbers::truth(numbers.may_be_zero(), numbers.only() != Some(0.0))
}

/// Returns the truth values of `a < b`, or of `a <= b` with `or_equal`.
fn is_less(a: &Numbers, b: &Numbers, or_equal: bool) -> Numbers {
    let less = |a: f64, b: f64| a < b || or_equal && a == b;
    Numbers::truth(!less(a.most, b.least), less(a.least, b.most))
}

/// Returns the elements of a tensor: of `f32`, `f16`, `bf16`, `bool` or `u8` in any size, of other types in a small
/// one.
///
/// # Errors
/// If a file cannot be read, or the tensor has another type.
pub(crate) fn elements(tensor: &Tensor) -> Result<Vec<f64>, Skip> {
    if let Some(floats) = tensor.floats() {
        return Ok(floats);
    }
    #[expect(clippy::cast_precision_loss, reason = "rounded as a Cast does")]
    if let Some(integers) = tensor.integers() {
        return Ok(integers.into_iter().map(|number| number as f64).collect());
    }
    match tensor.element() {
        ElementType::Bool | ElementType::U8 => Ok(tensor.to_bytes()?.iter().map(|byte| f64::from(*byte)).collect()),
        ElementType::F16 | ElementType::BF16 => elements(&tensor.cast(ElementType::F32)?),
        ElementType::F32 => {
            Ok(tensor.to_bytes()?.as_chunks().0.iter().map(|four| f32::from_le_bytes(*four).into()).collect())
        }
        other => Err(Skip::rejected(format!("a large tensor of {other} is not read"))),
    }
}

#[cfg(test)]
mod tests;
