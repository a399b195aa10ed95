//! Rows of attention masks that depend on constants only.

use crate::read::masks::{before_lift, without_bound};
use crate::read::numbers::{Numbers, elements};
use crate::read::sizes::position;
use netwright_ir::{ElementType, Fact, Graph, Op, OpKind, Value};
use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::hash::Hash;
use std::rc::Rc;

/// The maximum number of elements of a value that is computed. The elements of a larger one are unknown, and its rows
/// count as ordinary ones.
const MAX_ELEMENTS: usize = 1 << 20;

/// The maximum number of elements that are in memory while one mask is examined, and as many that the bodies of a graph
/// capture; what is computed after them is unknown.
const MAX_HELD: usize = 1 << 23;

/// The greatest magnitude that may be added to all scores of a row in a narrow type: in `f16`, half of the last place of
/// 16 is 0.008, and scores of a trained model are as large.
const ORDINARY: f64 = 16.0;

/// What is known of a value whose rows may be masked as a whole.
#[derive(Clone, Debug)]
pub(crate) enum Known {
    /// All elements.
    Grid(Rc<Grid>),
    /// The greatest element of a row, before masks that depend on inputs lower it.
    Level(f64),
    /// Every row along the last axis has an element near 0.
    Visible,
}

/// Whether inputs may hide all keys of a row of a mask.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Hiding {
    /// No row, or the mask depends on constants only.
    None,
    /// All numbers of a row may be minus infinity; no other number is below -16.
    ByInfinity,
    /// The numbers of a row may all be below -16, or are unknown.
    ByNumber,
}

/// The elements of a value that is computed from constants. The value may repeat them along axes, which have size 1 here.
#[derive(Debug)]
pub(crate) struct Grid {
    sizes: Vec<usize>,
    numbers: Vec<f64>,
}

impl Grid {
    fn new(sizes: Vec<usize>, numbers: Vec<f64>) -> Option<Self> {
        (count(&sizes)? == numbers.len() && !numbers.is_empty()).then_some(Self { sizes, numbers })
    }

    /// Returns the greatest element of each row along an axis, which is counted from the last one; that is 1.
    fn rows(&self, axis: usize) -> Vec<f64> {
        let at = self.sizes.len().checked_sub(axis);
        let width = at.map_or(1, |at| self.sizes[at]);
        let inner: usize = at.map_or(1, |at| self.sizes[at + 1..].iter().product());
        let blocks = self.numbers.chunks(width * inner);
        let row = |block: &[f64], first: usize| {
            block.iter().skip(first).step_by(inner).copied().fold(f64::NEG_INFINITY, f64::max)
        };
        blocks.flat_map(|block| (0..inner).map(move |first| row(block, first))).collect()
    }

    /// Returns the results of a function of the elements, and of those of another value at the same place.
    fn with(&self, other: &Self, function: impl Fn(f64, f64) -> f64) -> Option<Self> {
        let rank = self.sizes.len().max(other.sizes.len());
        let size = |of: &Self, axis: usize| (axis + of.sizes.len()).checked_sub(rank).map_or(1, |at| of.sizes[at]);
        let mut sizes = vec![];
        for axis in 0..rank {
            match (size(self, axis), size(other, axis)) {
                (a, b) if a == b || b == 1 => sizes.push(a),
                (1, b) => sizes.push(b),
                _ => return None,
            }
        }
        let count = count(&sizes)?;
        let place = |of: &Self, mut at: usize| {
            let (mut place, mut stride) = (0, 1);
            for axis in (0..rank).rev() {
                let own = size(of, axis);
                place += if own == 1 { 0 } else { at % sizes[axis] * stride };
                at /= sizes[axis];
                stride *= own;
            }
            place
        };
        let numbers = (0..count).map(|at| function(self.numbers[place(self, at)], other.numbers[place(other, at)]));
        Self::new(sizes.clone(), numbers.collect())
    }

    /// Returns the elements with as many axes as a value has; `None` if that is not known.
    fn with_rank(&self, fact: &Fact) -> Option<Self> {
        if let [number] = self.numbers[..] {
            return Self::new(vec![], vec![number]);
        }
        let missing = fact.rank()?.checked_sub(self.sizes.len())?;
        Self::new([vec![1; missing], self.sizes.clone()].concat(), self.numbers.clone())
    }
}

/// Returns the product of sizes; `None` if so many elements are not computed.
fn count(sizes: &[usize]) -> Option<usize> {
    let count = sizes.iter().try_fold(1_usize, |count, size| count.checked_mul(*size))?;
    (count <= MAX_ELEMENTS).then_some(count)
}

/// Results of a function of values that reads its results for their operands. Each is computed once and without
/// recursion, however many paths lead to it and however long they are.
struct Memo<K, T> {
    known: RefCell<HashMap<K, Option<T>>>,
    /// The keys that the function read and whose results are not known yet.
    missing: RefCell<Vec<K>>,
}

impl<K: Copy + Eq + Hash, T: Clone> Memo<K, T> {
    fn new() -> Self {
        Self { known: RefCell::default(), missing: RefCell::default() }
    }

    /// Returns a result to the function. If it is not known yet, the function is called again when it is.
    fn read(&self, key: K) -> Option<T> {
        let known = self.known.borrow().get(&key).cloned();
        known.unwrap_or_else(|| {
            self.missing.borrow_mut().push(key);
            None
        })
    }

    /// Whether the function is called again, whatever it returns.
    fn is_incomplete(&self) -> bool {
        !self.missing.borrow().is_empty()
    }

    /// Returns the result of the function for a key.
    fn find(&self, key: K, function: impl Fn(K) -> Option<T>) -> Option<T> {
        let mut open = vec![key];
        while let Some(&next) = open.last() {
            if !self.known.borrow().contains_key(&next) {
                let found = function(next);
                let missing = self.missing.take();
                if !missing.is_empty() {
                    open.extend(missing);
                    continue;
                }
                self.known.borrow_mut().insert(next, found);
            }
            open.pop();
        }
        self.known.borrow().get(&key).cloned().flatten()
    }
}

/// Reads the rows of masks in a graph.
pub(crate) struct Rows<'g> {
    graph: &'g Graph,
    /// Returns what is known of a captured value.
    captured: &'g dyn Fn(Value) -> Option<Known>,
    grids: Memo<Value, Rc<Grid>>,
    /// The levels of rows along axes that are counted from the last one.
    levels: Memo<(Value, usize), f64>,
    /// The number of elements in `grids`.
    held: Cell<usize>,
    /// The number of elements that bodies hold.
    captured_elements: Cell<usize>,
}

impl<'g> Rows<'g> {
    pub(crate) fn new(graph: &'g Graph, captured: &'g dyn Fn(Value) -> Option<Known>) -> Self {
        Self {
            graph,
            captured,
            grids: Memo::new(),
            levels: Memo::new(),
            held: Cell::default(),
            captured_elements: Cell::default(),
        }
    }

    /// Returns what is known of a value that a body captures.
    pub(crate) fn known(&self, value: Value) -> Option<Known> {
        let grid = self.grid(value).filter(|grid| {
            let all = self.captured_elements.get() + grid.numbers.len();
            (all <= MAX_HELD).then(|| self.captured_elements.set(all)).is_some()
        });
        self.release();
        let level = || self.level(value, 1).map(Known::Level);
        grid.map(Known::Grid)
            .or_else(level)
            .or_else(|| (self.hiding(value, 1) == Hiding::None).then_some(Known::Visible))
    }

    /// Returns whether inputs may make all elements of a row so low, along an axis that is counted from the last one, that
    /// narrow types round the scores to which the row is added. Rows of constants only have a [`level`](Self::level).
    pub(crate) fn hiding(&self, mask: Value, axis: usize) -> Hiding {
        let graph = self.graph;
        let whole = before_lift(graph, mask).unwrap_or(mask);
        let is_constant = self.grid(whole).is_some();
        self.release();
        let is_visible = |numbers: &Numbers| numbers.least >= -ORDINARY;
        // Minus infinity hides a key in every type.
        let is_empty = |numbers: Numbers| {
            let is_either = |number: f64| number >= -ORDINARY || number == f64::NEG_INFINITY;
            numbers.few.is_some_and(|few| few.into_iter().all(is_either))
        };
        let is_captured = || {
            let is_captured = axis == 1 && graph.kind(whole) == OpKind::Captured;
            is_captured && matches!((self.captured)(whole), Some(Known::Visible))
        };
        let all = Numbers::of(graph, whole);
        let is_first_visible = || axis == 1 && is_visible(&Numbers::first_of_rows(graph, whole));
        if is_constant || is_visible(&all) || is_captured() || is_first_visible() {
            Hiding::None
        } else if is_empty(all) {
            Hiding::ByInfinity
        } else {
            Hiding::ByNumber
        }
    }

    /// Returns the greatest number of a row of a mask, along an axis that is counted from the last one, if it is so far
    /// from 0 that narrow types round the scores to which the row is added, or do not hold it. All other rows have a
    /// number near 0, minus infinity, or depend on inputs.
    pub(crate) fn level(&self, mask: Value, axis: usize) -> Option<f64> {
        let whole = before_lift(self.graph, mask).unwrap_or(mask);
        let level = self.levels.find((whole, axis), |(value, axis)| self.level_of(value, axis));
        self.release();
        level
    }

    /// Whether a mask may be a number other than minus infinity to which narrow types cannot add scores.
    pub(crate) fn may_be_far(&self, mask: Value) -> bool {
        let Numbers { least, few, .. } = Numbers::of(self.graph, mask);
        few.map_or(least < -ORDINARY, |few| few.into_iter().any(|number| number < -ORDINARY && number.is_finite()))
    }

    fn level_of(&self, value: Value, axis: usize) -> Option<f64> {
        let graph = self.graph;
        if let Some(grid) = self.grid(value) {
            return grid.rows(axis).into_iter().find(|most| most.abs() > ORDINARY && most.is_finite());
        }
        let first = graph.operand(value.node, 0);
        let of_first = || self.levels.read((first?, axis));
        let last = |of: Value| graph.shape(of)?.last().cloned();
        let level = match graph.op(value) {
            Op::Captured => match (self.captured)(value) {
                Some(Known::Level(level)) => Some(level),
                _ => None,
            },
            op @ (Op::Add | Op::Sum | Op::Max) => self.combined(value, op.kind(), axis),
            Op::Where => without_bound(graph, value).and_then(|(whole, _)| self.levels.read((whole, axis))),
            Op::Identity | Op::Expand | Op::Cast { .. } | Op::Slice | Op::Clip => of_first(),
            Op::Gather { axis: gathered } => {
                let rank = first.and_then(|of| graph.fact(of).rank())?;
                of_first().filter(|_| position(*gathered, rank).is_some_and(|at| at + axis != rank))
            }
            Op::Unsqueeze | Op::Squeeze | Op::Reshape { .. } if axis == 1 => of_first()
                .filter(|_| first.and_then(last).zip(last(value)).is_some_and(|(a, b)| a.same(&b) == Some(true))),
            _ => None,
        };
        let numbers = || {
            let Numbers { least, most, .. } = Numbers::of(graph, value);
            let is_far = most < -ORDINARY && most.is_finite() || least > ORDINARY && least.is_finite();
            is_far.then_some(most)
        };
        if self.levels.is_incomplete() { None } else { level.or_else(numbers) }
    }

    /// Returns the level of a sum or maximum of two masks: of a constant with rows beside a mask that may be any number, or
    /// of a single number beside a mask that cannot make up for it, as `mask * 10000` makes up for -10000.
    fn combined(&self, value: Value, kind: OpKind, axis: usize) -> Option<f64> {
        let operands = self.graph.operands(value.node);
        let [Some(a), Some(b)] = operands[..] else { return None };
        [(a, b), (b, a)].into_iter().find_map(|(own, other)| {
            let grid = self.grid(own).filter(|grid| grid.numbers.len() > 1);
            // Limiting the sum would lose a row of minus infinity.
            let is_empty = |most: &f64| *most == f64::NEG_INFINITY;
            let empty = grid.as_ref().and_then(|grid| grid.rows(axis).into_iter().find(is_empty));
            let level = self.levels.read((own, axis)).or(empty)?;
            let other = Numbers::of(self.graph, other);
            let function = if kind == OpKind::Max { f64::max } else { |a: f64, b: f64| a + b };
            let is_far = function(level, other.most) < -ORDINARY || function(level, other.least) > ORDINARY;
            (is_far || grid.is_some()).then_some(level)
        })
    }

    /// Returns the elements of a value that depends on constants only.
    fn grid(&self, value: Value) -> Option<Rc<Grid>> {
        self.grids.find(value, |value| {
            let held = self.held.get();
            let grid = if held < MAX_HELD { self.computed(value)? } else { return None };
            self.held.set(held + grid.numbers.len());
            Some(Rc::new(grid))
        })
    }

    /// Removes the elements of all values from memory.
    fn release(&self) {
        self.grids.known.take();
        self.held.set(0);
    }

    fn computed(&self, value: Value) -> Option<Grid> {
        let graph = self.graph;
        let operand = |at: usize| self.grids.read(graph.operand(value.node, at)?);
        let element = graph.fact(value).element()?;
        let round = |number: f64| element.round(number).unwrap_or(number);
        let one = |function: fn(f64) -> f64| {
            let inner = operand(0)?;
            Grid::new(inner.sizes.clone(), inner.numbers.iter().map(|number| round(function(*number))).collect())
        };
        let two = |function: fn(f64, f64) -> f64| operand(0)?.with(&*operand(1)?, |a, b| round(function(a, b)));
        let is_number = element.is_float() || matches!(element, ElementType::I64 | ElementType::I32);
        match graph.op(value) {
            Op::Captured => match (self.captured)(value) {
                Some(Known::Grid(grid)) => grid.with_rank(graph.fact(value)),
                _ => None,
            },
            Op::Constant(tensor) | Op::Parameter(tensor) => {
                let sizes = tensor.dims().iter().map(|size| usize::try_from(*size).ok()).collect::<Option<Vec<_>>>()?;
                count(&sizes)?;
                Grid::new(sizes, elements(tensor).ok()?)
            }
            Op::ConstantOfShape { value } => Grid::new(vec![], vec![elements(value).ok()?.first().copied()?]),
            Op::Identity => one(|number| number),
            Op::Expand => operand(0)?.with_rank(graph.fact(value)),
            Op::Cast { to: ElementType::Bool, .. } => one(|number| f64::from(number != 0.0)),
            Op::Cast { .. } if element.is_float() => one(|number| number),
            Op::Cast { .. } if is_number => one(f64::trunc),
            Op::Unsqueeze => {
                let inner = operand(0)?.with_rank(graph.fact(graph.operand(value.node, 0)?))?;
                let axes = graph.fact(graph.operand(value.node, 1)?).known_elements()?;
                let rank = graph.fact(value).rank()?;
                let mut sizes = inner.sizes.into_iter();
                let is_new = |axis: usize| axes.iter().any(|new| position(*new, rank) == Some(axis));
                let sizes = (0..rank).map(|axis| if is_new(axis) { Some(1) } else { sizes.next() });
                let sizes: Vec<usize> = if inner.numbers.len() == 1 { vec![] } else { sizes.collect::<Option<_>>()? };
                Grid::new(sizes, inner.numbers)
            }
            Op::Squeeze | Op::Reshape { .. } => {
                let sizes = graph.shape(value)?.iter().map(|size| usize::try_from(size.known()?).ok());
                Grid::new(sizes.collect::<Option<_>>()?, operand(0)?.numbers.clone())
            }
            Op::Concat { axis } => {
                let rank = graph.fact(value).rank()?;
                let at = position(*axis, rank)?;
                let operands = graph.operands(value.node).into_iter();
                let parts: Vec<_> = operands.map(|part| Some((part?, self.grids.read(part?)?))).collect();
                let parts = parts.into_iter().collect::<Option<Vec<_>>>()?;
                count(&[parts.iter().map(|(_, grid)| grid.numbers.len()).sum()])?;
                let parts = parts.into_iter().map(|(part, grid)| {
                    let grid = grid.with_rank(graph.fact(part))?;
                    let size = usize::try_from(graph.shape(part)?.get(at)?.known()?).ok()?;
                    (grid.sizes.get(at) == Some(&size)).then_some(grid)
                });
                let parts: Vec<Grid> = parts.collect::<Option<_>>()?;
                let outer = |grid: &Grid| (grid.sizes[..at].to_vec(), grid.sizes[at + 1..].to_vec());
                let (before, after) = outer(parts.first()?);
                if parts.iter().any(|part| outer(part) != (before.clone(), after.clone())) {
                    return None;
                }
                let inner: usize = after.iter().product();
                let block = |part: &Grid, place: usize| {
                    let length = part.sizes[at] * inner;
                    part.numbers[place * length..(place + 1) * length].to_vec()
                };
                let places = 0..before.iter().product();
                let numbers = places.flat_map(|place| parts.iter().flat_map(move |part| block(part, place)));
                let size = parts.iter().map(|part| part.sizes[at]).sum();
                Grid::new([before, vec![size], after].concat(), numbers.collect())
            }
            Op::Where => {
                let (condition, yes, no) = (operand(0)?, operand(1)?, operand(2)?);
                let yes = condition.with(&yes, |condition, yes| if condition == 0.0 { f64::NAN } else { yes })?;
                let no = condition.with(&no, |condition, no| if condition == 0.0 { no } else { f64::NAN })?;
                yes.with(&no, |yes, no| if yes.is_nan() { no } else { yes })
            }
            op => match op.kind() {
                OpKind::Add if is_number => two(|a, b| a + b),
                OpKind::Sub if is_number => two(|a, b| a - b),
                OpKind::Mul if is_number => two(|a, b| a * b),
                OpKind::Div if element.is_float() => two(|a, b| a / b),
                OpKind::Max if graph.operands(value.node).len() == 2 => two(f64::max),
                OpKind::Min if graph.operands(value.node).len() == 2 => two(f64::min),
                OpKind::Neg if is_number => one(|number| -number),
                OpKind::Log => one(f64::ln),
                OpKind::Reciprocal => one(f64::recip),
                OpKind::Not => one(|flag| 1.0 - flag),
                OpKind::And => two(f64::min),
                OpKind::Or => two(f64::max),
                OpKind::Equal => two(|a, b| f64::from(a == b)),
                OpKind::Less => two(|a, b| f64::from(a < b)),
                OpKind::LessOrEqual => two(|a, b| f64::from(a <= b)),
                OpKind::Greater => two(|a, b| f64::from(a > b)),
                OpKind::GreaterOrEqual => two(|a, b| f64::from(a >= b)),
                _ => None,
            },
        }
    }
}

/// Whether a mask is constant, and every row has a visible key.
pub(crate) fn show_all(graph: &Graph, mask: Value) -> bool {
    let grid = Rows::new(graph, &|_| None).grid(mask);
    grid.is_some_and(|grid| grid.rows(1).into_iter().all(|most| most >= -ORDINARY))
}
