//! Converts a graph to another float type.

use super::precision::{Precision, is_converted};
use crate::pass::{Exactness, Pass, Stage};
use crate::pipeline::Log;
use crate::read::masks;
use crate::read::numbers::Numbers;
use crate::read::products::{before_casts, cast_of};
use crate::rewrite::{cast, known_of_either, needs_node_between};
use crate::runtime::contrib::without_level;
use crate::target::{self, WeightKernels};
use casts::cast_in_graph;
use hidden_rows::{MASK, Shifted};
pub(crate) use kinds::{is_elementwise, is_structural};
use netwright_ir::{Dialect, ElementType, Fact, Graph, GraphOutput, Name, NodeId, Op, OpKind, Place, Value, ValueType};
use plan::{Mode, Plan};
use regex::Regex;
use smallvec::{SmallVec, smallvec};
use std::collections::{HashMap, HashSet};

mod added_masks;
mod captured;
mod casts;
mod hidden_rows;
mod kinds;
mod plan;
mod result_types;
mod tensors;

/// Casts operands, so that nodes compute in the requested type.
///
/// What loses its meaning there stays in `f32`: numbers that are counted, angles, sums of many numbers, exponentials
/// and what is computed from them. A cast comes once for each value and type. The types of inputs and outputs stay
/// unless others are requested.
///
/// The branches of an If are converted with the graph; Loop and Scan keep their state in `f32`, since it accumulates
/// from step to step. Functions and operators of unknown types keep the types that they have.
pub(crate) fn convert_precision(precision: Option<Precision>, weights: WeightKernels) -> Pass {
    let summary = "f(x: f32) -> cast(f(cast(x) : f16)), for each node that may compute in the requested type";
    Pass::new("convert-precision", summary, Exactness::Rounding)
        .in_stages(&[Stage::Convert])
        .after(&["use-block-operators"])
        .on_whole(move |graph, log| {
            if let Some(precision) = &precision
                && log.may_apply()
            {
                convert(graph, precision, weights, log);
            }
        })
}

/// Removes casts to a narrower type and back, which decomposed operators begin with. The next conversion would remove them.
pub(crate) fn remove_narrowing() -> Pass {
    let summary = "cast(cast(x: f32) : f16) -> x, where a decomposed operator casts a converted value";
    let pass = Pass::new("convert-precision", summary, Exactness::Rounding).in_stages(&[Stage::Convert]);
    pass.on_graph(|graph, log| {
        for id in graph.schedule() {
            let wide = Value { node: id, result: 0 };
            let inner = if graph.is_alive(id) { before_casts(graph, wide) } else { wide };
            let is_same = inner != wide && graph.fact(inner).element() == graph.fact(wide).element();
            if is_same && !graph.is_output(wide) && log.may_apply() {
                let name = graph.value_name(wide).clone();
                graph.replace(wide, inner);
                log.applied(name, "casts to a narrower type and back are removed".to_owned());
            }
        }
    })
}

/// What holds for the graph and all bodies in it.
struct Context<'p> {
    precision: &'p Precision,
    weights: WeightKernels,
    to: ElementType,
    dialect: Dialect,
    is_of_body: bool,
}

impl Context<'_> {
    /// Whether the narrow type holds numbers as finite ones.
    fn holds(&self, numbers: &Numbers) -> bool {
        self.holds_number(numbers.least) && self.holds_number(numbers.most)
    }

    /// Whether the narrow type holds a number as a finite one, or it is infinite already.
    fn holds_number(&self, number: f64) -> bool {
        number.is_infinite() || self.to.round(number).is_some_and(f64::is_finite)
    }

    /// The number up to which the narrow type holds every whole number.
    fn counted(&self) -> f64 {
        if self.to == ElementType::F16 { 2048.0 } else { 256.0 }
    }

    /// Whether the types that an operator accepts are known.
    fn knows(&self, op: &Op) -> bool {
        ElementType::ALL.iter().any(|element| self.dialect.accepts(op, 0, *element))
    }

    /// Whether an operand may have a type. The scales and the region of a Resize are not data.
    fn accepts(&self, op: &Op, at: usize, element: ElementType) -> bool {
        let is_setting = op.kind() == OpKind::Resize && at > 0;
        !is_setting && self.dialect.accepts(op, at, element)
    }
}

/// Whether a value is a tensor of a type that is converted.
fn is_float(graph: &Graph, value: Value) -> bool {
    graph.fact(value).element().is_some_and(is_converted)
}

/// The float operands of a node.
fn floats_of(graph: &Graph, id: NodeId) -> Vec<Value> {
    graph.operands(id).into_iter().flatten().filter(|operand| is_float(graph, *operand)).collect()
}

/// The type with another element type, if it is a tensor of floats.
fn retyped(ty: &ValueType, to: ElementType) -> ValueType {
    match ty {
        ValueType::Tensor(tensor) if is_converted(tensor.element) => {
            let mut tensor = tensor.clone();
            tensor.element = to;
            ValueType::Tensor(tensor)
        }
        other => other.clone(),
    }
}

fn convert(graph: &mut Graph, precision: &Precision, weights: WeightKernels, log: &mut Log) {
    let opset = netwright_ir::DEFAULT_OPSET;
    let fallback = Dialect { opset, with_kernels: false, lowered: &target::LOWERED };
    let dialect = graph.dialect().unwrap_or(fallback);
    let context = Context { precision, weights, to: precision.to, dialect, is_of_body: false };
    let name = graph.outputs().first().map_or_else(|| "".into(), |output| output.name.clone());
    // The type of an output that is not inferred is the declared one.
    for output in graph.outputs().to_vec() {
        if let Some(ty) = output.declared.filter(|_| graph.fact(output.value).ty == ValueType::Unknown) {
            graph.set_fact(output.value, Fact { ty, elements: None });
        }
    }
    let plan = Plan::of(graph, &context, &|_| None);
    let mut has_changed = false;
    for input in graph.inputs().collect::<Vec<_>>() {
        let name = graph.value_name(input).clone();
        let Some(wanted) = precision.io_type(&name) else { continue };
        if let Some(own) = set_type(graph, input, wanted) {
            if let Some(default) =
                graph.default_of(input).and_then(|tensor| tensors::converted(tensor, wanted, precision.is_checked))
            {
                graph.set_default(input, default);
            }
            has_changed = true;
            log.changed_interface(name, format!("{wanted} instead of {own}"));
        }
    }
    let outputs = graph.outputs().iter().map(|output| {
        let own = graph.fact(output.value).element().filter(|own| is_converted(*own))?;
        let wanted = precision.io_type(&output.name).unwrap_or(own);
        if wanted != own {
            has_changed = true;
            log.changed_interface(output.name.clone(), format!("{wanted} instead of {own}"));
        }
        Some(wanted)
    });
    let outputs: Vec<Option<ElementType>> = outputs.collect();
    let known = |output: &GraphOutput| (graph.fact(output.value).clone(), graph.declared(output.value).cloned());
    let known: Vec<(Fact, Option<ValueType>)> = graph.outputs().iter().map(known).collect();
    let mut done = Tally::default();
    Converter::new(&context, plan, &mut done).run(graph, &Outputs::Typed(outputs.clone()));
    // Callers keep the spelling of sizes that they know.
    for (at, ((fact, declared), element)) in known.into_iter().zip(outputs).enumerate() {
        let value = graph.outputs()[at].value;
        let Some(element) = element else { continue };
        let fact = Fact { ty: retyped(&fact.ty, element), ..fact };
        set_fact(graph, value, known_of_either(&fact, graph.fact(value)));
        if let Some(declared) = declared {
            graph.declare(value, retyped(&declared, element));
        }
    }
    let idle = precision.keep.iter().map(Regex::as_str).filter(|pattern| !done.keepers.contains(*pattern));
    idle.filter(|_| precision.to != ElementType::F32).for_each(|pattern| log.idle_pattern(pattern));
    for (name, why) in done.kept {
        log.declined(name, why);
    }
    if done.has_changed || has_changed {
        let count = |number: usize, of: &str| format!("{number} {of}{}", if number == 1 { "" } else { "s" });
        let [nodes, weights, casts] = [(done.nodes, "node"), (done.weights, "weight"), (done.casts, "cast")]
            .map(|(number, of)| count(number, of));
        log.applied(name, format!("{nodes} and {weights} are converted to {}, and {casts} inserted", precision.to));
    }
}

/// Changes the element type of a value, as it is computed and as it is declared; returns the type that it had.
fn set_type(graph: &mut Graph, value: Value, to: ElementType) -> Option<ElementType> {
    let fact = graph.fact(value);
    let own = fact.element().filter(|own| is_converted(*own) && *own != to)?;
    let fact = Fact { ty: retyped(&fact.ty, to), elements: fact.elements.clone() };
    set_fact(graph, value, fact);
    Some(own)
}

/// Declares an output with the type in which it is computed.
fn declare_computed(graph: &mut Graph, at: usize) {
    let Some(output) = graph.outputs().get(at).cloned().filter(|output| is_float(graph, output.value)) else { return };
    if let Some((declared, element)) = output.declared.zip(graph.fact(output.value).element()) {
        graph.declare_output(output.value, &retyped(&declared, element));
    }
}

fn set_fact(graph: &mut Graph, value: Value, fact: Fact) {
    let declared = graph.declared(value).zip(fact.element()).map(|(declared, element)| retyped(declared, element));
    graph.set_fact(value, fact);
    if let Some(declared) = declared {
        graph.declare(value, declared);
    }
}

/// What was done to a graph and the bodies in it.
#[derive(Default)]
struct Tally {
    nodes: usize,
    weights: usize,
    casts: usize,
    has_changed: bool,
    /// What stays as it is, and why.
    kept: Vec<(Name, String)>,
    /// The patterns that keep a node in `f32`.
    keepers: HashSet<String>,
}

/// The types of the outputs of a graph.
enum Outputs {
    /// These; `None` for what is not a float.
    Typed(Vec<Option<ElementType>>),
    /// All floats have this type.
    All(ElementType),
    /// Each keeps the type in which it is computed.
    Free,
}

/// The rewriting of one graph.
struct Converter<'c> {
    context: &'c Context<'c>,
    plan: Plan,
    /// The tensors that are read in several types.
    several: HashSet<Value>,
    /// The casts and tensors in another type that were inserted or found, by value and type.
    typed: HashMap<(Value, ElementType), Value>,
    /// The masks whose rows were shifted.
    shifted: Vec<Shifted>,
    done: &'c mut Tally,
}

impl<'c> Converter<'c> {
    fn new(context: &'c Context<'c>, plan: Plan, done: &'c mut Tally) -> Self {
        Self { context, plan, several: HashSet::new(), typed: HashMap::new(), shifted: vec![], done }
    }

    /// Converts the graph; returns the nodes in `f32` whose results may exceed the range of the narrow type.
    fn run(mut self, graph: &mut Graph, outputs: &Outputs) -> HashSet<NodeId> {
        let kept = std::mem::take(&mut self.plan.reasons);
        let kept =
            kept.into_iter().map(|(value, why)| (graph.value_name(value).clone(), format!("not converted: {why}")));
        self.done.kept.extend(kept);
        self.done.keepers.extend(std::mem::take(&mut self.plan.keepers));
        self.find_several(graph, outputs);
        for id in graph.schedule() {
            let Some(mode) = self.plan.mode(id).cloned().filter(|_| graph.is_alive(id)) else { continue };
            if graph.node(id).op().bodies().is_empty() || matches!(mode, Mode::Same(_)) {
                self.convert_node(graph, id, &mode);
            } else {
                self.convert_control(graph, id);
            }
        }
        for at in 0..graph.outputs().len() {
            match outputs {
                Outputs::Typed(types) => {
                    if let Some(to) = types.get(at).copied().flatten() {
                        self.convert_output(graph, at, to);
                    }
                }
                Outputs::All(to) => self.convert_output(graph, at, *to),
                Outputs::Free => {}
            }
            declare_computed(graph, at);
        }
        self.plan.exceeding
    }

    /// Finds the tensors that are read in several types, or returned in another type than they are read in.
    fn find_several(&mut self, graph: &Graph, outputs: &Outputs) {
        let mut types: HashMap<Value, ElementType> = HashMap::new();
        for id in graph.schedule() {
            for (at, operand) in graph.operands(id).into_iter().enumerate() {
                let Some(inner) = operand.map(|operand| before_casts(graph, operand)) else { continue };
                if graph.tensor(inner).is_none() || !is_float(graph, inner) {
                    continue;
                }
                let Some(to) = self.operand_type(graph, id, at) else { continue };
                if *types.entry(inner).or_insert(to) != to {
                    self.several.insert(inner);
                }
            }
        }
        for (at, output) in graph.outputs().iter().enumerate() {
            let to = match outputs {
                Outputs::Typed(types) => types.get(at).copied().flatten(),
                Outputs::All(to) => Some(*to),
                Outputs::Free => None,
            };
            let inner = before_casts(graph, output.value);
            let Some(to) = to.filter(|_| graph.tensor(inner).is_some() && is_float(graph, inner)) else { continue };
            let is_cast = |user| cast_of(graph, Value { node: user, result: 0 }).is_some();
            let is_read_otherwise =
                |(user, at)| !is_cast(user) && self.operand_type(graph, user, at).is_none_or(|read| read != to);
            if *types.entry(inner).or_insert(to) != to || graph.users(inner).into_iter().any(is_read_otherwise) {
                self.several.insert(inner);
            }
        }
    }

    /// The type in which a node reads a float operand; `None` for nodes that are not converted.
    fn operand_type(&self, graph: &Graph, id: NodeId, at: usize) -> Option<ElementType> {
        let to = self.context.to;
        let op = graph.node(id).op();
        Some(match self.plan.mode(id)? {
            Mode::Same(elements) => return elements.get(at).copied().flatten(),
            Mode::Narrow if self.plan.reads_rows(id, at) => ElementType::F32,
            Mode::Narrow if op.bodies().is_empty() && self.context.accepts(op, at, to) => to,
            Mode::Narrow if self.plan.captures_narrow(id, at) == Some(true) => to,
            Mode::Narrow | Mode::Wide => ElementType::F32,
        })
    }

    fn convert_output(&mut self, graph: &mut Graph, at: usize, to: ElementType) {
        let Some(output) = graph.outputs().get(at).cloned().filter(|output| is_float(graph, output.value)) else {
            return;
        };
        let own = graph.fact(output.value).element();
        let casts = self.done.casts;
        let inner = before_casts(graph, output.value);
        // Otherwise a tensor in the other type would be inserted that the output cannot be.
        if own == Some(to) && needs_node_between(graph, output.value, inner) {
            return;
        }
        let value = self.in_type(graph, inner, to);
        let needs_node = own == Some(to) && needs_node_between(graph, output.value, value);
        if value != output.value && !needs_node {
            self.done.has_changed = true;
            let name = graph.value_name(output.value).clone();
            graph.set_output(at, value);
            // The value that is the output has the name.
            if self.done.casts > casts && !graph.kind(output.value).is_source() {
                let other = format!("{name}.{}", own.unwrap_or(to));
                graph.rename(output.value, &other);
                graph.rename(value, &name);
            }
        }
    }

    fn convert_node(&mut self, graph: &mut Graph, id: NodeId, mode: &Mode) {
        let to = if *mode == Mode::Narrow { self.context.to } else { ElementType::F32 };
        // A cast from another type becomes one to this type.
        if let Op::Cast { to: own, .. } = graph.node(id).op()
            && is_converted(*own)
        {
            if *own != to && !matches!(mode, Mode::Same(_)) {
                graph.set_op(id, cast(to));
                set_type(graph, Value { node: id, result: 0 }, to);
                self.done.nodes += 1;
                self.done.has_changed = true;
            }
            return;
        }
        let own = graph.operands(id);
        let mut operands = self.operands_in_types(graph, id);
        let is_defined = !self.plan.reads_rows(id, MASK) || self.shift(graph, id, &mut operands).is_ok();
        let mask = added_masks::grouped_mask(graph.node(id).op()).and_then(|at| operands.get_mut(at)?.as_mut());
        let is_defined = is_defined
            && mask.is_none_or(|mask| {
                let bounded = masks::for_grouped(graph, Value { node: id, result: 0 }, *mask);
                bounded.map(|bounded| *mask = bounded).is_ok()
            });
        let facts = match self.inferred(graph, id, &operands).filter(|_| is_defined) {
            Some(facts) => facts,
            None if *mode == Mode::Narrow => {
                let name = graph.value_name(Value { node: id, result: 0 }).clone();
                self.done.kept.push((name, format!("not converted: the types of its results in {to} are not known")));
                self.plan.set_mode(id, Mode::Wide);
                return self.convert_node(graph, id, &Mode::Wide);
            }
            // The operands keep their types, and so do the results.
            None => graph.results(id).map(|value| graph.fact(value).clone()).collect(),
        };
        let mut current = id;
        if own != operands {
            current = graph.set_operands(id, &operands);
            if self.plan.exceeding.contains(&id) {
                self.plan.exceeding.insert(current);
            }
            self.done.has_changed = true;
        }
        if *mode == Mode::Narrow
            && let Some(op) = without_level(graph.node(current).op())
        {
            graph.set_op(current, op);
            self.done.has_changed = true;
        }
        let mut is_converted_node = false;
        for (value, inferred) in graph.results(current).zip(facts) {
            let before = graph.fact(value);
            let element = inferred.element().filter(|element| is_converted(*element));
            is_converted_node |= element.is_some() && element != before.element();
            let ty = element.map_or_else(|| before.ty.clone(), |element| retyped(&before.ty, element));
            let fact = known_of_either(&Fact { ty, elements: before.elements.clone() }, &inferred);
            if fact != *before {
                set_fact(graph, value, fact);
            }
        }
        self.done.has_changed |= is_converted_node;
        self.done.nodes += usize::from(is_converted_node && *mode == Mode::Narrow);
    }

    /// Converts a node with bodies: the branches of an If have the types that they compute, and the state of Loop and
    /// Scan stays in `f32`.
    fn convert_control(&mut self, graph: &mut Graph, id: NodeId) {
        let own = graph.operands(id);
        let operands = self.operands_in_types(graph, id);
        let mut known = self.plan.known_in_bodies(id).into_iter();
        let id = if own == operands {
            id
        } else {
            self.done.has_changed = true;
            graph.set_operands(id, &operands)
        };
        let is_branch = graph.kind(Value { node: id, result: 0 }) == OpKind::If;
        // An If of an older opset does not have results of every type.
        let in_type = vec![Some(self.context.to); graph.node(id).result_count()];
        let is_free = is_branch
            && !self.plan.kept.contains_key(&id)
            && self.context.dialect.allows(graph.node(id).op(), &[], &in_type).is_ok();
        let outer = &operands[operands.len().saturating_sub(graph.node(id).op().capture_count())..];
        let mut outer = outer
            .iter()
            .map(|value| value.and_then(|value| graph.fact(value).element()))
            .collect::<Vec<_>>()
            .into_iter();
        let context = &self.context.of_bodies();
        let done = &mut *self.done;
        let mut types: Vec<Vec<Option<ElementType>>> = vec![];
        let mut exceeding: Vec<HashSet<NodeId>> = vec![];
        let id = graph.edit_bodies(id, |body| {
            // Captures of one value were unified: the others are not captures any more.
            for capture in body.captures().collect::<Vec<_>>() {
                if let Some(element) = outer.next().flatten() {
                    set_type(body, capture, element);
                }
            }
            if !is_branch {
                for input in body.inputs().collect::<Vec<_>>() {
                    set_type(body, input, ElementType::F32);
                }
            }
            let outputs = if is_free { Outputs::Free } else { Outputs::All(ElementType::F32) };
            let known = known.next().unwrap_or_default();
            let plan = Plan::of(body, context, &|capture| known.get(&capture).cloned().flatten());
            exceeding.push(Converter::new(context, plan, &mut *done).run(body, &outputs));
            types.push(body.outputs().iter().map(|output| body.fact(output.value).element()).collect());
        });
        let results: Vec<Value> = graph.results(id).collect();
        let agreed: Vec<Option<ElementType>> = (0..results.len())
            .map(|at| {
                let mut found = types
                    .iter()
                    .filter_map(|types| types.get(at).copied().flatten())
                    .filter(|found| is_converted(*found));
                let first = found.next()?;
                let is_same = found.all(|found| found == first);
                Some(if !is_free {
                    ElementType::F32
                } else if is_same {
                    first
                } else {
                    context.to
                })
            })
            .collect();
        let mut last = id;
        if is_free && types.iter().any(|types| *types != agreed) {
            let outputs = Outputs::Typed(agreed.clone());
            let mut exceeding = exceeding.into_iter();
            last = graph.edit_bodies(id, |body| {
                let plan = Plan::of_outputs(exceeding.next().unwrap_or_default());
                Converter::new(context, plan, &mut *done).run(body, &outputs);
            });
        }
        for (value, element) in graph.results(last).zip(agreed) {
            if let Some(element) = element {
                done.has_changed |= set_type(graph, value, element).is_some();
            }
        }
    }

    /// The operands of a node, each in the type in which the node reads it.
    fn operands_in_types(&mut self, graph: &mut Graph, id: NodeId) -> SmallVec<[Option<Value>; 4]> {
        let operands = graph.operands(id).into_iter().enumerate();
        operands
            .map(|(at, operand)| {
                let operand = operand?;
                if !is_float(graph, operand) {
                    return Some(operand);
                }
                let inner = before_casts(graph, operand);
                // What a body captures is read in the type in which it is computed, unless it is a tensor.
                let is_captured = || self.plan.captures_narrow(id, at).is_some();
                let is_computed = graph.tensor(inner).is_none() && is_captured();
                let to = if is_computed { graph.fact(inner).element() } else { self.operand_type(graph, id, at) };
                let Some(to) = to else { return Some(operand) };
                self.hoist_cast(graph, inner, to, id);
                Some(self.in_type(graph, inner, to))
            })
            .collect()
    }

    /// The facts of a node's results on other operands; `None` if the operator is not defined on them, or a type that
    /// is known now would not be known.
    fn inferred(&self, graph: &Graph, id: NodeId, operands: &[Option<Value>]) -> Option<SmallVec<[Fact; 1]>> {
        let node = graph.node(id);
        let facts = graph.infer(node.op(), operands, node.result_count()).ok()?.facts;
        let elements: Vec<_> = operands.iter().map(|value| graph.fact((*value)?).element()).collect();
        let results: Vec<_> = facts.iter().map(Fact::element).collect();
        self.context.dialect.allows(node.op(), &elements, &results).ok()?;
        let is_lost = |(value, fact): (Value, &Fact)| is_float(graph, value) && fact.element().is_none();
        (!graph.results(id).zip(&facts).any(is_lost)).then_some(facts)
    }

    /// A value in a type: itself, a tensor that is converted, or a cast.
    fn in_type(&mut self, graph: &mut Graph, value: Value, to: ElementType) -> Value {
        if graph.fact(value).element() == Some(to) {
            return value;
        }
        if let Some(found) = self.typed.get(&(value, to)) {
            return *found;
        }
        let found = self.tensor_in_type(graph, value, to).or_else(|| cast_in_graph(graph, value, to));
        let found = found.unwrap_or_else(|| self.insert_cast(graph, value, to));
        self.typed.insert((value, to), found);
        found
    }

    /// A tensor in another type: it is converted in its place unless it is also read as it is.
    fn tensor_in_type(&mut self, graph: &mut Graph, value: Value, to: ElementType) -> Option<Value> {
        let tensor = graph.tensor(value)?;
        let is_mask = to == ElementType::F16 && hidden_rows::is_mask(graph, value);
        let mask = is_mask.then(|| tensors::mask_for_f16(tensor)).flatten();
        let tensor = tensors::converted(mask.as_ref().unwrap_or(tensor), to, self.context.precision.is_checked)?;
        let op = match graph.op(value) {
            Op::Parameter(_) => Op::Parameter(tensor),
            Op::Constant(_) => Op::Constant(tensor),
            _ => return None,
        };
        self.done.weights += usize::from(op.kind() == OpKind::Parameter);
        self.done.has_changed = true;
        if self.several.contains(&value) {
            return Some(Value { node: graph.insert(beside(graph, value, to), op, &[]).ok()?, result: 0 });
        }
        graph.set_op(value.node, op);
        set_type(graph, value, to);
        Some(value)
    }
}

/// The place beside a value, with its name and that of a type.
fn beside(graph: &Graph, value: Value, to: ElementType) -> Place {
    let name = format!("{}.{to}", graph.value_name(value));
    Place { label: "".into(), results: smallvec![name.into()], order: Some(graph.node(value.node).order()) }
}
