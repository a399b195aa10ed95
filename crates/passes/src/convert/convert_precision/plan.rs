//! Which nodes compute in the narrow type, which stay in `f32`, and why.

use super::added_masks::{added_masks, hides_scores};
use super::captured::{Captured, KnownMasks, captured};
use super::hidden_rows::MASK;
use super::kinds::{
    is_bounded, is_choice, is_computed_scale, is_contributed_gelu, is_elementwise, is_limited, is_lookup, is_product,
    is_short, is_structural, may_be_mask, sums_squares,
};
use super::result_types::{refusal, unknown};
use super::{Context, floats_of, is_float, tensors};
use crate::read::numbers::{Numbers, elements};
use crate::read::products::{before_casts, cast_of};
use crate::read::rows::{Known, Rows};
use netwright_ir::op::{Class, ScatterReduction};
use netwright_ir::{ElementType, Graph, NodeId, Op, OpKind, Value, ValueType};
use std::cell::RefCell;
use std::collections::{HashMap, HashSet};

mod readers;

/// In which type a node computes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Mode {
    /// In the requested one.
    Narrow,
    /// In `f32`.
    Wide,
    /// In the types that its operands had.
    Same(Vec<Option<ElementType>>),
}

/// The modes of the nodes of a graph that have float operands or results.
#[derive(Default)]
pub(super) struct Plan {
    modes: HashMap<NodeId, Mode>,
    /// The nodes in `f32` whose results may exceed the range of the narrow type, because a constant does.
    pub(super) exceeding: HashSet<NodeId>,
    /// Why nodes stay as they are, in the order of the graph.
    pub(super) reasons: Vec<(Value, String)>,
    /// The patterns that keep a node in `f32`.
    pub(super) keepers: HashSet<String>,
    /// The operands that the bodies of nodes capture.
    pub(super) captured: HashMap<NodeId, Captured>,
    /// The nodes of attention that stay in `f32` because of a mask, and those that compute the mask; one of each
    /// attention has the reason.
    pub(super) kept: HashMap<NodeId, Option<String>>,
    /// The attentions that read their masks in `f32`, to [shift](super::hidden_rows) the rows.
    shifted: HashSet<NodeId>,
}

/// What a value in `f32` means for the nodes that read it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// It is computed, or given by the caller, and may be narrow.
    Computed,
    /// It depends on constants only.
    Constant,
    /// It is made of numbers that the narrow type does not count exactly: elementwise operators stay in `f32` until they
    /// meet a computed value.
    Count,
    /// It may be very large or very small: elementwise operators stay in `f32` up to and including the first that meets
    /// a computed value.
    Statistic,
}

/// Constants of up to so many elements are searched for numbers that the narrow type rounds to 0.
const MAX_SEARCHED: u64 = 64;

impl Plan {
    /// Plans a graph without its bodies; `known` returns what is known of a mask that it captures.
    pub(super) fn of(graph: &Graph, context: &Context<'_>, known: &dyn Fn(Value) -> Option<Known>) -> Self {
        let mut planner = Planner {
            graph,
            context,
            plan: Plan::default(),
            states: HashMap::new(),
            masks: HashSet::new(),
            of_masks: HashSet::new(),
            magnitudes: RefCell::default(),
            keepers: RefCell::default(),
            angles: HashSet::new(),
        };
        let schedule = graph.schedule();
        let rows = Rows::new(graph, known);
        for &id in &schedule {
            if !graph.node(id).op().bodies().is_empty() && planner.same(id).is_none() {
                planner.plan.captured.insert(id, captured(graph, id, &rows, context));
            }
        }
        if context.to != ElementType::F32 {
            let found = added_masks(graph, context, &rows, &planner.plan.captured);
            (planner.masks, planner.plan.kept, planner.plan.shifted) = (found.nodes, found.kept, found.shifted);
        }
        for &id in &schedule {
            planner.visit(id);
        }
        if context.to != ElementType::F32 {
            for &id in schedule.iter().rev() {
                planner.revise(id);
            }
        }
        planner.plan.keepers = planner.keepers.take();
        planner.plan
    }

    /// Plans a graph whose outputs alone change their types.
    pub(super) fn of_outputs(exceeding: HashSet<NodeId>) -> Self {
        Self { exceeding, ..Self::default() }
    }

    pub(super) fn mode(&self, id: NodeId) -> Option<&Mode> {
        self.modes.get(&id)
    }

    /// Whether the bodies of a node read an operand in the narrow type; `None` if they do not capture it.
    pub(super) fn captures_narrow(&self, id: NodeId, at: usize) -> Option<bool> {
        self.captured.get(&id)?.is_narrow(at)
    }

    /// Whether the bodies of a node capture an operand as a mask of attention that stays in `f32`.
    pub(super) fn captures_mask(&self, id: NodeId, at: usize) -> bool {
        self.captured.get(&id).is_some_and(|captured| captured.is_mask(at))
    }

    /// Whether an operand is a mask whose rows the node reads in `f32`, though it computes in the narrow type.
    pub(super) fn reads_rows(&self, id: NodeId, at: usize) -> bool {
        at == MASK && self.shifted.contains(&id) && self.mode(id) == Some(&Mode::Narrow)
    }

    /// Takes what is known of the masks that each body of a node captures.
    pub(super) fn known_in_bodies(&mut self, id: NodeId) -> Vec<KnownMasks> {
        self.captured.get_mut(&id).map(|captured| std::mem::take(&mut captured.known)).unwrap_or_default()
    }

    pub(super) fn set_mode(&mut self, id: NodeId, mode: Mode) {
        self.modes.insert(id, mode);
    }
}

struct Planner<'g> {
    graph: &'g Graph,
    context: &'g Context<'g>,
    plan: Plan,
    states: HashMap<NodeId, State>,
    /// The nodes that compute masks, and the inputs and tensors that are masks.
    masks: HashSet<NodeId>,
    /// The nodes in `f16` whose results have numbers of masks, which are limited.
    of_masks: HashSet<NodeId>,
    /// The largest finite magnitudes of tensors that were read: each is read once.
    magnitudes: RefCell<HashMap<Value, f64>>,
    keepers: RefCell<HashSet<String>>,
    /// The nodes that compute nothing but angles.
    angles: HashSet<NodeId>,
}

/// A node that is in `f32` on its own account: the reason, and what that means for its readers.
type Own = Option<(String, Option<State>)>;

impl Planner<'_> {
    fn state(&self, value: Value) -> State {
        self.states.get(&before_casts(self.graph, value).node).copied().unwrap_or(State::Computed)
    }

    fn visit(&mut self, id: NodeId) {
        let graph = self.graph;
        let (op, first) = (graph.node(id).op(), Value { node: id, result: 0 });
        let kind = op.kind();
        let is_mask = self.masks.contains(&id);
        if kind.is_source() || matches!(kind, OpKind::ConstantOfShape | OpKind::EyeLike) {
            if is_mask && graph.tensor(first).is_none() {
                self.plan.exceeding.insert(id);
            }
            if !matches!(kind, OpKind::Input | OpKind::Captured) {
                self.states.insert(id, State::Constant);
            }
            // The type of the result is that of the operand.
            if matches!(op, Op::EyeLike { dtype: None, .. }) && is_float(graph, first) {
                self.plan.modes.insert(id, Mode::Wide);
            }
            return;
        }
        // A shape is the same in every type.
        if cast_of(graph, first).is_some() || matches!(kind, OpKind::Shape | OpKind::Size) {
            return;
        }
        let operands = floats_of(graph, id);
        let has_result = graph.results(id).any(|result| is_float(graph, result));
        if operands.is_empty() && !has_result && op.bodies().is_empty() {
            return;
        }
        if let Some(why) = self.same(id) {
            self.plan.reasons.push((first, why));
            let elements = graph.operands(id).into_iter().map(|value| graph.fact(value?).element()).collect();
            self.plan.modes.insert(id, Mode::Same(elements));
            return;
        }
        if self.is_flag(id) && self.is_output_of_own_type(first) {
            self.plan.modes.insert(id, Mode::Same(vec![None]));
            return;
        }
        if self.context.to == ElementType::F32 || !op.bodies().is_empty() {
            self.plan.modes.insert(id, Mode::Narrow);
            return;
        }
        let (mut mode, state) = self.decide(id, &operands);
        let is_limit = kind == OpKind::Clip && is_bounded(graph, id, self.context);
        let is_exceeding = |operand: &Value| self.plan.exceeding.contains(&before_casts(graph, *operand).node);
        let is_mask = is_mask || is_limit && operands.iter().any(is_exceeding);
        if is_mask && mode == Mode::Narrow {
            mode = Mode::Wide;
            if is_elementwise(kind) && !is_limit {
                let why = format!("a mask that is added to scores may leave the range of {}", self.context.to);
                self.plan.reasons.push((first, why));
            }
        }
        if let Some(operand) = self.data_outside(id).filter(|_| mode == Mode::Narrow) {
            mode = Mode::Wide;
            let name = graph.operand_text(operand);
            self.plan.reasons.push((first, format!("its operand {name} may leave the range of {}", self.context.to)));
        }
        if mode == Mode::Wide {
            let exceeds = is_mask
                || operands.iter().any(|operand| {
                    let inner = before_casts(graph, *operand);
                    self.plan.exceeding.contains(&inner.node)
                        || graph.tensor(inner).is_some() && !self.context.holds(&Numbers::of(graph, inner))
                });
            let is_kept_whole = self.plan.kept.contains_key(&id) && !is_elementwise(kind) && !is_structural(kind);
            if exceeds && !is_product(kind) && !is_kept_whole && !is_bounded(graph, id, self.context) {
                self.plan.exceeding.insert(id);
            }
        } else if self.limits_masks(id, &operands) {
            self.of_masks.insert(id);
        }
        self.plan.modes.insert(id, mode);
        if state != State::Computed {
            self.states.insert(id, state);
        }
    }

    /// Returns an operand of a product, normalization or attention that may be outside the range and is not a mask: it would
    /// be limited.
    fn data_outside(&self, id: NodeId) -> Option<Value> {
        let kind = self.graph.node(id).op().kind();
        if is_elementwise(kind) || is_structural(kind) || is_limited(kind) && kind != OpKind::Attention {
            return None;
        }
        let operands = self.graph.operands(id).into_iter().enumerate();
        let mut data = operands.filter(|(at, _)| kind != OpKind::Attention || *at != MASK).filter_map(|(_, data)| data);
        data.find(|data| {
            let inner = before_casts(self.graph, *data);
            self.plan.exceeding.contains(&inner.node)
                && is_float(self.graph, inner)
                && self.graph.tensor(inner).is_none()
        })
    }

    /// Whether it casts truth values or short integers, which every float type holds.
    fn is_flag(&self, id: NodeId) -> bool {
        let graph = self.graph;
        matches!(graph.node(id).op(), Op::Cast { .. })
            && graph.operand(id, 0).and_then(|from| graph.fact(from).element()).is_some_and(is_short)
    }

    /// Whether a value is an output that keeps its type. A cast of a flag in another type and back would be merged.
    fn is_output_of_own_type(&self, value: Value) -> bool {
        let own = self.graph.fact(value).element();
        let mut outputs = self.graph.outputs().iter().filter(|output| output.value == value);
        outputs.any(|output| self.context.precision.io_type(&output.name).or(own) == own)
    }

    /// Why a node keeps the types that it has.
    fn same(&self, id: NodeId) -> Option<String> {
        let graph = self.graph;
        let is_tensor = |value: Value| matches!(graph.fact(value).ty, ValueType::Tensor(_) | ValueType::Unknown);
        let op = graph.node(id).op();
        let values: Vec<Value> = graph.operands(id).into_iter().flatten().chain(graph.results(id)).collect();
        match op {
            // Bodies are converted for themselves.
            Op::If { .. } | Op::Loop { .. } | Op::Scan { .. } if values.iter().all(|value| is_tensor(*value)) => None,
            Op::Opaque(opaque) if !self.context.knows(op) => Some(format!(
                "the types that {} accepts are unknown; if it is a function, --inline-functions helps",
                opaque.op_type
            )),
            _ if let Some(value) = unknown(graph, id) => {
                Some(format!("the type of {} is not known", graph.operand_text(value)))
            }
            _ if values.iter().any(|value| !is_tensor(*value)) => {
                Some("the types within sequences and optional values are not converted".to_owned())
            }
            _ if !op.bodies().is_empty() => Some("its body is not converted".to_owned()),
            _ => None,
        }
    }

    fn decide(&mut self, id: NodeId, operands: &[Value]) -> (Mode, State) {
        let graph = self.graph;
        let kind = graph.node(id).op().kind();
        let states: Vec<State> = operands.iter().map(|operand| self.state(*operand)).collect();
        let has = |state: State| states.contains(&state);
        let is_elementwise = is_elementwise(kind) || is_contributed_gelu(graph.node(id).op());
        let goes_on = |state: State| if is_bounded(graph, id, self.context) { State::Computed } else { state };
        let own = self.own(id, operands);
        if let Some(why) = self.plan.kept.get(&id) {
            self.plan.reasons.extend(why.clone().map(|why| (Value { node: id, result: 0 }, why)));
            return (Mode::Wide, own.and_then(|(_, state)| state).map_or(State::Computed, goes_on));
        }
        // What is known of the operands holds beside a reason of its own.
        if is_elementwise && has(State::Statistic) {
            let state = if has(State::Computed) { State::Computed } else { goes_on(State::Statistic) };
            return (Mode::Wide, state);
        }
        if let Some((why, state)) = own {
            self.plan.reasons.push((Value { node: id, result: 0 }, why));
            return (Mode::Wide, state.map_or(State::Computed, goes_on));
        }
        let is_structural = is_structural(kind);
        if is_structural && has(State::Statistic) && !has(State::Computed) {
            return (Mode::Wide, State::Statistic);
        }
        let meets_none = !has(State::Computed) && !has(State::Statistic);
        let counts = is_elementwise || is_structural || is_product(kind) && kind != OpKind::Conv;
        if counts && has(State::Count) && meets_none {
            return (Mode::Wide, goes_on(State::Count));
        }
        if (is_elementwise || is_structural) && !operands.is_empty() && meets_none {
            // A mask: numbers that the narrow type does not hold, chosen by a condition.
            let exceeds = operands.iter().any(|operand| self.exceeds(*operand));
            return match kind {
                // Rows of a table, such as embeddings.
                kind if is_lookup(kind) => (Mode::Narrow, State::Computed),
                _ if exceeds && is_structural => (Mode::Wide, State::Count),
                _ => (Mode::Narrow, State::Constant),
            };
        }
        (Mode::Narrow, State::Computed)
    }

    /// Whether a constant has numbers outside the range of the narrow type.
    fn exceeds(&self, operand: Value) -> bool {
        let inner = before_casts(self.graph, operand);
        self.graph.tensor(inner).is_some() && !self.context.holds(&Numbers::of(self.graph, inner))
    }

    /// Which operand or result leaves the range of the narrow type, as it was measured.
    fn reach(&self, id: NodeId, operands: &[Value]) -> Option<String> {
        let graph = self.graph;
        let reach = |value: Value| self.context.precision.reach(graph.value_name(value));
        if let Some(reach) = graph.results(id).find_map(reach) {
            return Some(format!("its result reaches {reach:.1e} under calibration"));
        }
        operands.iter().find_map(|operand| {
            let value = before_casts(graph, *operand);
            Some(format!("its operand {} reaches {:.1e} under calibration", graph.operand_text(value), reach(value)?))
        })
    }

    /// Why a node is in `f32` whatever its operands are.
    fn own(&self, id: NodeId, operands: &[Value]) -> Own {
        let (graph, context) = (self.graph, self.context);
        let node = graph.node(id);
        let (op, kind) = (node.op(), node.op().kind());
        let to = context.to;
        let weights =
            operands.iter().map(|operand| before_casts(graph, *operand)).filter(|value| graph.tensor(*value).is_some());
        let values = graph.results(id).chain(weights).map(|value| &**graph.value_name(value));
        let names: Vec<&str> = values.chain([node.label()]).collect();
        let mut keepers = context.precision.keepers(&names).map(ToOwned::to_owned).peekable();
        if keepers.peek().is_some() {
            self.keepers.borrow_mut().extend(keepers);
            return Some(("it is kept as requested".to_owned(), None));
        }
        if let Some(why) = self.reach(id, operands) {
            return Some((why, None));
        }
        if let Some(why) = refusal(graph, id, context) {
            return Some((why, None));
        }
        if operands.iter().any(|operand| is_computed_scale(graph, before_casts(graph, *operand))) {
            return Some((format!("a scale that is computed loses digits in {to}"), Some(State::Statistic)));
        }
        let first = operands.first().copied();
        match op {
            // A Cast from other types; those between floats are not visited by what they compute.
            Op::Cast { to: own, .. } if operands.is_empty() => {
                let from = graph.operand(id, 0)?;
                let element = graph.fact(from).element()?;
                // A cast from 16 bits is merged with one of its result, which is the same number with f32 in between.
                if is_short(element) || *own == to && element.is_integer() && element.bits() <= 16 {
                    return None;
                }
                let numbers = Numbers::of(graph, from);
                let is_counted = numbers.least >= -context.counted() && numbers.most <= context.counted();
                (!is_counted)
                    .then(|| (format!("{to} counts exactly only up to {}", context.counted()), Some(State::Count)))
            }
            Op::Range | Op::CumSum { .. } => {
                Some((format!("{to} counts exactly only up to {}", context.counted()), Some(State::Count)))
            }
            _ if node.op().kind().is_random() && kind != OpKind::Dropout => {
                Some(("random numbers of another type are other numbers".to_owned(), None))
            }
            _ if kind.class() == Class::Reduces && !is_choice(kind) => {
                Some((format!("sums of many numbers lose digits in {to}"), Some(State::Statistic)))
            }
            _ if sums_squares(graph, id) => {
                Some((format!("a sum of squares may leave the range of {to}"), Some(State::Statistic)))
            }
            // The function that stands for it in the standard adds a number in f32.
            Op::MeanVarianceNormalization { .. } => Some((format!("sums of many numbers lose digits in {to}"), None)),
            Op::ScatterND { reduction } | Op::ScatterElements { reduction, .. }
                if *reduction != ScatterReduction::None =>
            {
                Some((format!("ONNX Runtime has no kernel of the operator with a reduction for {to}"), None))
            }
            Op::Sin | Op::Cos => Some((format!("angles lose digits in {to}"), None)),
            Op::Exp | Op::Log | Op::Pow => {
                Some((format!("exponentials, logarithms and powers leave the range of {to}"), Some(State::Statistic)))
            }
            _ if is_elementwise(kind) && !operands.is_empty() => self.constants(id, kind, first),
            _ => None,
        }
        .or_else(|| self.outside(id, operands))
        .or_else(|| self.below(id, operands))
    }

    /// Why a product or lookup is in `f32`: all numbers of a weight are below the smallest normal number of the narrow type,
    /// which would round them coarsely or to 0. Biases do not count, because they are added to larger numbers.
    fn below(&self, id: NodeId, operands: &[Value]) -> Own {
        let (graph, to) = (self.graph, self.context.to);
        let kind = graph.node(id).op().kind();
        if !is_product(kind) && !is_lookup(kind) {
            return None;
        }
        let bias = graph.operand(id, 2).filter(|_| kind != OpKind::Einsum).map(|bias| before_casts(graph, bias));
        let least = to.least_normal()?;
        let weights = operands.iter().map(|operand| before_casts(graph, *operand)).filter(|inner| Some(*inner) != bias);
        let mut weights = weights.filter_map(|inner| Some((inner, graph.tensor(inner)?)));
        weights.find_map(|(inner, tensor)| {
            // Of most weights, only the first rows are read.
            let most = if tensor.element() == to { None } else { tensor.magnitude_from(least).ok() };
            let most = most.filter(|most| *most > 0.0 && *most < least)?;
            let text = tensors::number_text(graph, inner, tensor);
            let why = format!("{text} has no number of a magnitude above {most:.1e}, which loses digits in {to}");
            Some((why, Some(State::Statistic)))
        })
    }

    /// Why a node is in `f32` because of an element of a tensor. Elements of small tensors are limited when they are
    /// converted if they are masks.
    fn outside(&self, id: NodeId, operands: &[Value]) -> Own {
        let (graph, to) = (self.graph, self.context.to);
        let kind = graph.node(id).op().kind();
        let state = (!is_product(kind)).then_some(State::Statistic);
        operands.iter().find_map(|operand| {
            let inner = before_casts(graph, *operand);
            let tensor = graph.tensor(inner).filter(|tensor| tensor.element() != to)?;
            // Any number of a mask that is outside the range hides; in bf16, the largest of f32 is the largest of bf16.
            let is_limited = if may_be_mask(kind) {
                to == ElementType::BF16 || self.is_mask(id)
            } else {
                is_limited(kind) || self.masks.contains(&inner.node)
            };
            let is_large = tensor.len() > tensors::MAX_SEARCHED;
            if !is_large && is_limited || is_large && !self.context.precision.is_checked {
                return None;
            }
            let mut known = self.magnitudes.borrow_mut();
            // A file that cannot be read is reported when it is written.
            let most = *known.entry(inner).or_insert_with(|| tensor.finite_magnitude().unwrap_or(0.0));
            if self.context.holds_number(most) {
                return None;
            }
            let text = tensors::number_text(graph, inner, tensor);
            let why = if tensor.count() == 1 {
                format!("{text} is outside the range of {to}")
            } else {
                format!("{text} has a number of magnitude {most:e}, outside the range of {to}")
            };
            Some((why, state))
        })
    }

    /// Whether a node computes a mask.
    fn is_mask(&self, id: NodeId) -> bool {
        self.masks.contains(&id) || hides_scores(self.graph, id)
    }

    /// Why an elementwise node is in `f32` because of its constants.
    fn constants(&self, id: NodeId, kind: OpKind, first: Option<Value>) -> Own {
        let graph = self.graph;
        let to = self.context.to;
        let operands = floats_of(graph, id);
        for operand in &operands {
            let inner = before_casts(graph, *operand);
            let Some(tensor) = graph.tensor(inner) else { continue };
            let all = if tensor.count() <= MAX_SEARCHED { elements(tensor).unwrap_or_default() } else { vec![] };
            let vanishes = |number: &f64| *number != 0.0 && to.round(*number) == Some(0.0);
            let is_divisor = kind == OpKind::Div && graph.operand(id, 1) == Some(*operand);
            let why = if all.iter().any(vanishes) {
                "is 0 in"
            } else if tensors::rounds_far(&all, to, is_divisor) {
                "loses digits in"
            } else {
                ""
            };
            if !why.is_empty() {
                return Some((
                    format!("{} {why} {to}", tensors::number_text(graph, inner, tensor)),
                    Some(State::Statistic),
                ));
            }
            if !self.exceeds(*operand) || !matches!(kind, OpKind::Mul | OpKind::Div | OpKind::Pow) {
                continue;
            }
            // A mask of 0 and 1, times the number that hides: the least of the type hides as well.
            let others = operands.iter().filter(|other| *other != operand);
            let is_flag = |other: &Value| {
                let numbers = Numbers::of(graph, *other);
                numbers.least >= -1.0 && numbers.most <= 1.0
            };
            if kind == OpKind::Mul
                && first.is_some()
                && self.is_mask(id)
                && others.copied().all(|other| is_flag(&other))
            {
                continue;
            }
            return Some((
                format!("{} is outside the range of {to}", tensors::number_text(graph, inner, tensor)),
                Some(if self.is_mask(id) { State::Count } else { State::Statistic }),
            ));
        }
        None
    }

    /// Makes a node narrow that is in `f32` only because of its operands, where all readers are narrow: the cast then
    /// comes before it. Makes one that depends on constants only what its readers are.
    fn revise(&mut self, id: NodeId) {
        let graph = self.graph;
        let kind = graph.node(id).op().kind();
        let Some(mode) = self.plan.modes.get(&id) else { return };
        // Squares may leave the range before their sum is divided by their number.
        if *mode == Mode::Narrow && kind == OpKind::Mul && self.is_summed(Value { node: id, result: 0 }) {
            self.plan.modes.insert(id, Mode::Wide);
            return;
        }
        // The larger an angle is, the fewer of its digits remain after whole turns.
        if (is_elementwise(kind) || is_structural(kind)) && self.is_angle(Value { node: id, result: 0 }) {
            self.angles.insert(id);
            if *mode == Mode::Narrow {
                self.plan.modes.insert(id, Mode::Wide);
                return;
            }
        }
        if self.of_masks.contains(&id) && graph.results(id).all(|result| self.is_read_wide(result)) {
            self.plan.modes.insert(id, Mode::Wide);
            self.plan.exceeding.insert(id);
            return;
        }
        let is_flag = self.is_flag(id);
        let is_soft = is_structural(kind) || is_flag;
        let is_kept = self.plan.kept.contains_key(&id);
        if !is_soft || is_kept || graph.node(id).result_count() != 1 || matches!(mode, Mode::Same(_)) {
            return;
        }
        let result = Value { node: id, result: 0 };
        let (narrow, others) = self.readers(result);
        let is_constant = is_flag || self.states.get(&id) == Some(&State::Constant);
        if *mode == Mode::Wide && others == 0 && narrow > 0 && !graph.is_output(result) {
            let is_own = self.plan.reasons.iter().any(|(value, _)| value.node == id);
            if !is_own {
                self.plan.modes.insert(id, Mode::Narrow);
                self.plan.exceeding.remove(&id);
            }
        } else if *mode == Mode::Narrow && is_constant && narrow == 0 && others > 0 {
            self.plan.modes.insert(id, Mode::Wide);
        }
    }
}
