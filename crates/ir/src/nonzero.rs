//! Finds sizes that are never 0, because the model would fail if they were.
//!
//! Exporters reshape to computed sizes, and in a Reshape a size of 0 keeps that of the operand. So a Reshape of
//! `[batch, 4, seq, 8]` to `[batch, seq, 32]` makes `[0, 4, 32]` if both symbols are 0, and inference can say nothing
//! about that size. Usually the model then fails: for example the residual that is added has length 0. If the model
//! fails whatever the other sizes are, the symbol is at least 1 in every run that succeeds, and the size is `seq`.

use crate::infer::{NeverZero, Operands, scan_inputs};
use crate::{Dim, Fact, Graph, HashMap, NodeId, Op, OpKind, Symbol, Tensor, Value, ValueType};
use smallvec::SmallVec;
use std::borrow::Cow;
use std::collections::VecDeque;
use std::sync::Arc;

/// The facts that differ from those recorded in the graph.
type Facts = HashMap<Value, Fact>;

/// The maximum number of sets of symbols that are examined.
const MAX_SETS: usize = 16;

impl Graph {
    /// Finds the symbols of inputs that are never 0 in a run that succeeds, alone or together, and infers again what
    /// depends on that, in bodies too.
    ///
    /// It walks the graph once, and if something depends on it, once more for each set of symbols. Returns whether more is
    /// known than before.
    pub fn infer_nonzero_sizes(&mut self) -> bool {
        self.infer_nonzero(&NeverZero::new())
    }

    /// Infers everything anew, as for a graph that was just read: rewrites keep what was known of the values that they
    /// replace, and may remove what showed that a size is never 0. Returns whether something else is known than before.
    pub fn infer_anew(&mut self) -> bool {
        let before = self.all_facts();
        self.infer_values();
        self.infer_nonzero_sizes();
        self.all_facts() != before
    }

    /// Returns the facts of all values, including those in bodies.
    fn all_facts(&self) -> Vec<Fact> {
        let facts = self.schedule().into_iter().flat_map(|id| {
            let inner = self.node(id).op().bodies().into_iter().flat_map(|body| body.all_facts());
            self.results(id).map(|value| self.fact(value).clone()).chain(inner).collect::<Vec<_>>()
        });
        facts.collect()
    }

    /// Infers every value from its operands, and not from what was known of it before.
    fn infer_values(&mut self) {
        self.set_never_zero(NeverZero::new());
        for id in self.schedule() {
            let operands = self.operands(id);
            if !self.node(id).op().bodies().is_empty() {
                let own = operands.len().saturating_sub(self.node(id).op().capture_count());
                let outer = operands[own..].iter();
                let mut outer: VecDeque<Option<Fact>> =
                    outer.map(|value| value.map(|value| self.fact(value).clone())).collect();
                for body in self.bodies_mut(id) {
                    let body = Arc::make_mut(body);
                    for capture in body.captures().collect::<Vec<_>>() {
                        if let Some(fact) = outer.pop_front().flatten() {
                            body.record_fact(capture, fact);
                        }
                    }
                    body.infer_values();
                }
            }
            let node = self.node(id);
            if node.op().kind().is_source() {
                continue;
            }
            let is_opaque = matches!(node.op(), Op::Opaque(_));
            let Ok(inferred) = self.infer(node.op(), &operands, node.result_count()) else { continue };
            for (value, new) in self.results(id).zip(inferred.facts).collect::<Vec<_>>() {
                // The element type that a file declares is known; of operators without inference nothing else is.
                let declared = self.declared(value).map(ValueType::without_shapes);
                let ty = declared.and_then(|declared| new.ty.and(&declared)).unwrap_or(new.ty);
                // A shape that a pass knows stays if inference knows none.
                let is_less = is_opaque && self.fact(value).ty.without_shapes() == ty;
                if ty != ValueType::Unknown && !is_less {
                    self.record_fact(value, Fact { ty, elements: new.elements });
                }
            }
        }
        self.stale.clear();
    }

    /// Infers again the readers of values whose facts became more precise, and their readers in turn, in bodies too.
    pub fn refresh(&mut self) {
        while let Some((_, id)) = self.stale.pop_first() {
            if !self.is_alive(id) || self.node(id).op().kind().is_source() {
                continue;
            }
            let operands = self.operands(id);
            if !self.node(id).op().bodies().is_empty() {
                self.refresh_bodies(id, &operands);
            }
            let node = self.node(id);
            let Ok(inferred) = self.infer(node.op(), &operands, node.result_count()) else { continue };
            for (value, new) in self.results(id).zip(inferred.facts) {
                self.learn(value, &new);
            }
        }
    }

    /// Updates the facts of the captures in the bodies of a node, and those of the inputs of a Scan's body.
    fn refresh_bodies(&mut self, id: NodeId, operands: &[Option<Value>]) {
        let op = self.node(id).op();
        let facts: Vec<Option<&Fact>> = operands.iter().map(|value| value.map(|value| self.fact(value))).collect();
        let (own, captured) = facts.split_at(operands.len().saturating_sub(op.capture_count()));
        let inputs = match op {
            Op::Scan { num_scan_inputs, scan_input_axes, .. } => {
                scan_inputs(own, usize::try_from(*num_scan_inputs).unwrap_or(0), scan_input_axes)
            }
            _ => vec![],
        };
        let mut captured: VecDeque<Option<Fact>> = captured.iter().map(|fact| fact.cloned()).collect();
        for body in self.bodies_mut(id) {
            let inputs = body.inputs().zip(inputs.iter().cloned().map(Some));
            let captures = body.captures().map(|capture| (capture, captured.pop_front().flatten()));
            let known: Vec<(Value, Option<Fact>)> = inputs.chain(captures).collect();
            let is_news = |(value, fact): &(Value, Option<Fact>)| {
                fact.as_ref().is_some_and(|fact| body.fact(*value).and(fact) != *body.fact(*value))
            };
            if known.iter().any(is_news) {
                let body = Arc::make_mut(body);
                for (value, fact) in known.iter().filter_map(|(value, fact)| Some((value, fact.as_ref()?))) {
                    body.learn(*value, fact);
                }
                body.refresh();
            }
        }
    }

    /// Combines the fact of a value with another fact about it.
    fn learn(&mut self, value: Value, new: &Fact) {
        let fact = self.fact(value).and(new);
        if fact != *self.fact(value) {
            self.set_fact(value, fact);
        }
    }

    /// Records the facts; returns whether one of them is new.
    fn take_over(&mut self, schedule: &[NodeId], facts: Option<Facts>) -> bool {
        let mut facts = facts.unwrap_or_default();
        let mut is_news = false;
        for value in schedule.iter().filter(|_| !facts.is_empty()).flat_map(|&id| self.results(id)).collect::<Vec<_>>()
        {
            if let Some(fact) = facts.remove(&value) {
                self.record_fact(value, fact);
                is_news = true;
            }
        }
        self.stale.clear();
        is_news
    }

    /// Finds the sizes that are never 0 in a graph or a body; `outer` are those found for the graph around it.
    /// Returns whether more is known than before.
    fn infer_nonzero(&mut self, outer: &NeverZero) -> bool {
        let schedule = self.needed();
        let mut all = outer.clone();
        for source in self.inputs().chain(self.captures()) {
            for dim in self.shape(source).unwrap_or_default() {
                dim.for_each_symbol(&mut |symbol| _ = all.insert(vec![symbol.clone()]));
            }
        }
        let mut found: NeverZero = outer.union(self.never_zero()).cloned().collect();
        // Nothing else can show that a size is never 0.
        let shows = |id: &NodeId| matches!(self.node(*id).op().kind(), OpKind::Reshape | OpKind::Slice);
        if found.is_empty() && !schedule.iter().any(shows) {
            all.clear();
        }
        // The best case: no symbol is 0.
        let best = if all.is_empty() { None } else { self.facts_where(&schedule, &all, &[]) }.unwrap_or_default();
        let mut is_news = false;
        if !best.is_empty() {
            for set in self.zeros(&schedule, &best) {
                let shown = found.iter().any(|other| other.iter().all(|symbol| set.contains(symbol)));
                if !shown && self.facts_where(&schedule, outer, &set).is_none() {
                    found.insert(set);
                }
            }
            is_news = self.take_over(&schedule, self.facts_where(&schedule, &found, &[]));
        }
        if self.has_bodies() {
            for id in schedule.into_iter().filter(|id| !self.node(*id).op().bodies().is_empty()).collect::<Vec<_>>() {
                self.refresh_bodies(id, &self.operands(id));
                for body in self.bodies_mut(id) {
                    is_news |= Arc::make_mut(body).infer_nonzero(&found);
                }
                // The bodies' outputs may be known more precisely now.
                self.mark_node_stale(id);
            }
        }
        is_news |= found != *self.never_zero();
        self.set_never_zero(found);
        self.refresh();
        is_news
    }

    /// Returns the sets of symbols that make sizes of Reshape and Slice 0, the small sets first.
    fn zeros(&self, schedule: &[NodeId], facts: &Facts) -> Vec<Vec<Symbol>> {
        let mut sets = NeverZero::new();
        for &id in schedule {
            let bounds = match self.node(id).op() {
                Op::Reshape { allowzero: false } => 1..2,
                Op::Slice => 1..3,
                _ => continue,
            };
            for operand in bounds {
                let value = self.operand(id, operand);
                let elements = value.and_then(|value| self.fact_in(facts, value).elements.as_ref());
                for dim in elements.into_iter().flat_map(|elements| elements.iter()) {
                    let back = Dim::Known(0).minus(dim);
                    let size = if dim.is_nonnegative() { dim } else { &back };
                    sets.extend(size.zeros().unwrap_or_default().into_iter().filter(|set| !set.is_empty()));
                }
            }
        }
        let mut sets: Vec<Vec<Symbol>> = sets.into_iter().collect();
        sets.sort_by_key(Vec::len);
        sets.truncate(MAX_SETS);
        sets
    }

    /// Infers the facts of the nodes' results if the sets `never_zero` are never 0 and the symbols `zero` are 0; `None`
    /// if the model then fails.
    fn facts_where(&self, schedule: &[NodeId], never_zero: &NeverZero, zero: &[Symbol]) -> Option<Facts> {
        let mut facts = Facts::default();
        for &id in schedule {
            let node = self.node(id);
            let kind = node.op().kind();
            let mut inferred = SmallVec::new();
            if !kind.is_source() {
                let operands = self.operands(id);
                let known: SmallVec<[Option<&Fact>; 4]> =
                    operands.iter().map(|value| value.map(|value| self.fact_in(&facts, value))).collect();
                let tensors: SmallVec<[Option<&Tensor>; 4]> =
                    operands.iter().map(|value| self.tensor((*value)?)).collect();
                let results = node.result_count();
                match node.op().infer(&Operands { kind, facts: &known, tensors: &tensors, results, never_zero }) {
                    Ok(new) => inferred = new.facts,
                    Err(_) if !zero.is_empty() && refuses_sizes(kind) => return None,
                    Err(_) => {}
                }
            }
            for (at, value) in self.results(id).enumerate() {
                let recorded = self.fact(value);
                let mut fact = with_zero(recorded, zero);
                if let Some(new) = inferred.get(at).map(|new| with_zero(new, zero)).filter(|new| *new != fact) {
                    fact = Cow::Owned(fact.and(&new));
                }
                if *fact != *recorded {
                    facts.insert(value, fact.into_owned());
                }
            }
        }
        Some(facts)
    }

    /// Returns the fact of a value, that of the graph unless another is given.
    fn fact_in<'a>(&'a self, facts: &'a Facts, value: Value) -> &'a Fact {
        facts.get(&value).unwrap_or_else(|| self.fact(value))
    }
}

/// Whether every runtime fails if the operator is not defined on the sizes, even for tensors without elements.
fn refuses_sizes(kind: OpKind) -> bool {
    let is_written_out =
        matches!(kind, OpKind::Add | OpKind::Sub | OpKind::Mul | OpKind::Div | OpKind::MatMul | OpKind::Reshape);
    // Passes form these from those.
    is_written_out || matches!(kind, OpKind::ScaledSoftmax | OpKind::Attention | OpKind::RotaryEmbedding)
}

/// Returns the fact with these symbols set to 0.
fn with_zero<'f>(fact: &'f Fact, zero: &[Symbol]) -> Cow<'f, Fact> {
    let has = |dim: &Dim| {
        let mut has = false;
        dim.for_each_symbol(&mut |symbol| has |= zero.contains(symbol));
        has
    };
    let mut dims =
        fact.shape().into_iter().flat_map(|shape| shape.iter()).chain(fact.elements.iter().flat_map(|it| it.iter()));
    if zero.is_empty() || !dims.any(has) {
        return Cow::Borrowed(fact);
    }
    let mut fact = fact.clone();
    let of = |dim: &Dim| dim.substitute(&|symbol| zero.contains(symbol).then_some(Dim::Known(0)));
    if let Some(shape) = fact.shape_mut() {
        shape.dims_mut().iter_mut().for_each(|dim| *dim = of(dim));
    }
    fact.elements = fact.elements.map(|elements| elements.iter().map(of).collect());
    Cow::Owned(fact)
}
