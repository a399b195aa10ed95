//! Connects models.

use super::copy::{Copier, Facts, common_conventions, copy_annotations};
use super::dims::{substitute, symbols};
use super::split::Plan;
use super::{SurgeryError, expect_no_training, unknown};
use netwright_ir::nearest::suggestion;
use netwright_ir::{
    Data, Dim, Graph, GraphOutput, HashMap, HashSet, Model, Name, NodeId, Op, Symbol, Tensor, Value, ValueType, check,
};
use std::collections::{BTreeMap, BTreeSet};

/// Models that were connected to one.
#[derive(Clone, Debug)]
pub struct Merged {
    /// The model.
    pub model: Model,
    /// What callers and maintainers must know: inputs and outputs with new names, metadata that is left out.
    pub notes: Vec<String>,
    /// The numbers of the models, from 1, that exchange no values with the first, directly or through others: the result
    /// computes them beside it.
    pub unconnected: Vec<usize>,
}

/// Connects models, which run in this order, to one model.
///
/// An input reads the output of an earlier model that `connections` names for it (pairs of output and input), or else
/// the output of its own name, or else it is one input with an earlier input of its name if their types agree. The
/// outputs that are read this way are inner values of the result. Other clashing names are made distinct by a numeric
/// suffix. A symbol of an input that reads an output, or is one with an earlier input, takes the size from there. Other
/// symbols are distinct from those of earlier models. Equal weights of the same name are stored once.
///
/// `plan` restores the order and the outputs of a model that was [split](super::split()).
///
/// # Errors
/// If a connection does not exist, the types of connected values contradict, the models import different versions of an
/// operator set or different functions of one name, or have training steps.
pub fn merge(models: &[Model], connections: &[(&str, &str)], plan: Option<&Plan>) -> Result<Merged, SurgeryError> {
    let [first, rest @ ..] = models else {
        return Err(SurgeryError::Merge("there is no model to merge\n  help: name at least one".to_owned()));
    };
    models.iter().try_for_each(expect_no_training)?;
    let mut notes = vec![];
    let mut merged = Model { graph: Graph::default(), ..first.clone() };
    for (at, model) in rest.iter().enumerate() {
        add_description(&mut merged, model, at + 2, plan.is_some(), &mut notes)?;
    }
    let mut connected: Vec<Graph> = models.iter().map(|model| model.graph.clone()).collect();
    let links = Links::new(&mut connected, connections, plan.is_none().then_some(&mut notes))?;
    merged.graph = Merger::new(&connected, &links, plan, &mut notes).finish(&links)?;
    Ok(Merged { model: merged, notes, unconnected: links.unconnected(models.len()) })
}

/// Adds the operator sets, functions and metadata of a model; all parts of one model have the same functions.
pub(super) fn add_description(
    merged: &mut Model,
    model: &Model,
    number: usize,
    is_part: bool,
    notes: &mut Vec<String>,
) -> Result<(), SurgeryError> {
    for (domain, version) in &model.opsets {
        let own = *merged.opsets.entry(domain.clone()).or_insert(*version);
        if own != *version {
            let what = format!(
                "model {number} imports version {version} of the operator set {domain:?}, but an earlier model imports \
                 version {own}\n  help: convert them to one version"
            );
            return Err(SurgeryError::Merge(what));
        }
    }
    for function in &model.functions {
        let key = (&function.domain, &function.name, &function.overload);
        match merged.functions.iter().find(|own| (&own.domain, &own.name, &own.overload) == key) {
            None => merged.functions.push(function.clone()),
            Some(own) if is_part || own == function => {}
            Some(_) => {
                let what = format!(
                    "the function {:?} of model {number} differs from that of an earlier model\n  help: inline the \
                     functions (--inline-functions)",
                    function.name
                );
                return Err(SurgeryError::Merge(what));
            }
        }
    }
    for (key, value) in &model.metadata {
        if merged.metadata.entry(key.clone()).or_insert_with(|| value.clone()) != value {
            notes.push(format!(
                "the metadata {key:?} of model {number} differs from that of an earlier model and is left out"
            ));
        }
    }
    if !model.doc.is_empty() && model.doc != merged.doc {
        if merged.doc.is_empty() {
            merged.doc.clone_from(&model.doc);
        } else {
            notes.push(format!(
                "the description of model {number} differs from that of an earlier model and is left out"
            ));
        }
    }
    merged.early_operators |= model.early_operators;
    let new = model.devices.iter().filter(|device| !merged.devices.contains(device)).cloned().collect::<Vec<_>>();
    merged.devices.extend(new);
    merged.warnings.extend(model.warnings.iter().cloned());
    Ok(())
}

/// What each input of each model reads.
struct Links {
    /// By model and input: the model and the output that it reads.
    outputs: BTreeMap<Of, (usize, usize)>,
}

impl Links {
    /// Finds the outputs that inputs read, and gives symbols of these inputs the sizes of the outputs. Other symbols are
    /// made distinct, and noted, unless the models are parts of one.
    fn new(
        graphs: &mut [Graph],
        connections: &[(&str, &str)],
        mut notes: Option<&mut Vec<String>>,
    ) -> Result<Self, SurgeryError> {
        let mut outputs: BTreeMap<Of, (usize, usize)> = BTreeMap::new();
        let mut inputs: HashMap<Name, ValueType> = HashMap::default();
        for at in 0..graphs.len() {
            let mut sizes: BTreeMap<Symbol, Dim> = BTreeMap::new();
            for input in graphs[at].inputs().collect::<Vec<_>>() {
                let name = graphs[at].value_name(input).clone();
                let wanted = connections.iter().find(|(_, to)| *to == &*name).map_or(&*name, |(from, _)| from);
                let find = |model: usize| {
                    let place = graphs[model].outputs().iter().position(|output| *output.name == *wanted);
                    place.map(|place| (model, place))
                };
                if let Some((model, place)) = (0..at).rev().find_map(find) {
                    let output = &graphs[model].outputs()[place];
                    let (ty, own) = (graphs[model].fact(output.value).ty.clone(), graphs[at].fact(input).ty.clone());
                    learn(&own, &ty, &mut sizes);
                    outputs.insert((at, input), (model, place));
                } else if let Some(ty) = inputs.get(&name) {
                    learn(&graphs[at].fact(input).ty, ty, &mut sizes);
                }
            }
            if let Some(notes) = &mut notes {
                for (old, new) in distinct_symbols(&graphs[..at], &graphs[at], &sizes) {
                    notes.push(format!(
                        "the symbolic dim {:?} of model {} is now {:?}: nothing connects it with that of an earlier model",
                        old.as_str(),
                        at + 1,
                        new.as_str()
                    ));
                    sizes.insert(old, Dim::Symbol(new));
                }
            }
            sizes.retain(|symbol, dim| *dim != Dim::Symbol(symbol.clone()));
            if !sizes.is_empty() {
                substitute(&mut graphs[at], &sizes);
            }
            for input in graphs[at].inputs().filter(|input| !outputs.contains_key(&(at, *input))) {
                inputs.entry(graphs[at].value_name(input).clone()).or_insert_with(|| graphs[at].fact(input).ty.clone());
            }
        }
        for (from, to) in connections {
            let reads = |((at, input), (model, place)): (&Of, &(usize, usize))| {
                **graphs[*at].value_name(*input) == **to && *graphs[*model].outputs()[*place].name == **from
            };
            if !outputs.iter().any(reads) {
                return Err(no_connection(graphs, from, to));
            }
        }
        for (&(at, input), &(model, place)) in &outputs {
            let output = &graphs[model].outputs()[place];
            let (ty, own) = (&graphs[model].fact(output.value).ty, &graphs[at].fact(input).ty);
            if own.contradicts(ty) {
                let what = format!(
                    "the input {:?} of model {} is {own}, but the output {:?} that it would read is {ty}\n  help: rename \
                     one of them, or connect another output",
                    graphs[at].value_name(input),
                    at + 1,
                    output.name
                );
                return Err(SurgeryError::Merge(what));
            }
        }
        Ok(Self { outputs })
    }

    /// Returns the numbers of the models, from 1, that are not connected to the first.
    fn unconnected(&self, models: usize) -> Vec<usize> {
        let mut groups: Vec<usize> = (0..models).collect();
        for (&(reader, _), &(source, _)) in &self.outputs {
            let (from, to) = (groups[reader], groups[source]);
            groups.iter_mut().filter(|group| **group == from).for_each(|group| *group = to);
        }
        (1..models).filter(|model| groups[*model] != groups[0]).map(|model| model + 1).collect()
    }
}

/// Returns new names for the symbols of a model that are not bound and that earlier models have too.
fn distinct_symbols(earlier: &[Graph], graph: &Graph, bound: &BTreeMap<Symbol, Dim>) -> Vec<(Symbol, Symbol)> {
    let before: BTreeSet<Symbol> = earlier.iter().flat_map(symbols).collect();
    let own = symbols(graph);
    let clashing = own.iter().filter(|it| before.contains(*it) && !bound.contains_key(*it));
    let renamed = clashing.filter_map(|old| {
        let names = (1_usize..).map(|number| Symbol::new(format!("{}_{number}", old.as_str())));
        let new = names.into_iter().find(|new| !before.contains(new) && !own.contains(new))?;
        Some((old.clone(), new))
    });
    renamed.collect()
}

/// Records the sizes that the symbols of one type have in the other.
fn learn(own: &ValueType, other: &ValueType, sizes: &mut BTreeMap<Symbol, Dim>) {
    if own.contradicts(other) {
        return;
    }
    let (ValueType::Tensor(own), ValueType::Tensor(other)) = (own, other) else { return };
    for (own, other) in own.shape.iter().flat_map(|it| it.iter()).zip(other.shape.iter().flat_map(|it| it.iter())) {
        if let Dim::Symbol(symbol) = own
            && *other != Dim::Unknown
        {
            sizes.entry(symbol.clone()).or_insert_with(|| other.clone());
        }
    }
}

fn no_connection(graphs: &[Graph], from: &str, to: &str) -> SurgeryError {
    let mut outputs: Vec<&str> = graphs.iter().flat_map(Graph::outputs).map(|output| &*output.name).collect();
    let mut inputs: Vec<&str> =
        graphs.iter().flat_map(|graph| graph.inputs().map(|input| &**graph.value_name(input))).collect();
    for names in [&mut outputs, &mut inputs] {
        names.sort_unstable();
        names.dedup();
    }
    if !outputs.contains(&from) {
        let is_reversed = inputs.contains(&from) && outputs.contains(&to);
        let help = if is_reversed { format!("name the output first: {to}={from}") } else { suggestion(from, &outputs) };
        return SurgeryError::Unknown { what: "an output", name: from.to_owned(), help };
    }
    if !inputs.contains(&to) {
        return unknown("an input", to, &inputs);
    }
    SurgeryError::Merge(format!(
        "no model with the output {from:?} comes before one with the input {to:?}\n  help: name the models in the order \
         in which they run"
    ))
}

/// A value of one of the models.
type Of = (usize, Value);

/// A node of one of the models.
type NodeOf = (usize, NodeId);

/// Builds the connected graph.
struct Merger<'g> {
    graphs: &'g [Graph],
    plan: Option<&'g Plan>,
    notes: &'g mut Vec<String>,
    graph: Graph,
    copiers: Vec<Copier<'g>>,
    /// The outputs that inputs read.
    read: BTreeSet<(usize, usize)>,
    /// The values of other models that a value stands for.
    stands_for: HashMap<Of, Vec<Of>>,
}

impl<'g> Merger<'g> {
    fn new(graphs: &'g [Graph], links: &Links, plan: Option<&'g Plan>, notes: &'g mut Vec<String>) -> Self {
        let copiers: Vec<Copier<'g>> = graphs.iter().map(Copier::new).collect();
        let mut graph = copiers.first().map_or_else(Graph::default, Copier::empty);
        let mut conventions = common_conventions(graphs);
        if let Some(plan) = plan {
            conventions.types_values = plan.types_values;
        }
        graph.set_conventions(conventions);
        let mut stands_for: HashMap<Of, Vec<Of>> = HashMap::default();
        for (input, &(model, place)) in &links.outputs {
            stands_for.entry((model, graphs[model].outputs()[place].value)).or_default().push(*input);
        }
        let read = links.outputs.values().copied().collect();
        Self { graphs, plan, notes, graph, copiers, read, stands_for }
    }

    fn finish(mut self, links: &Links) -> Result<Graph, SurgeryError> {
        self.add_inputs(links)?;
        let order = self.add_weights()?;
        for (at, id) in self.in_order(order) {
            self.add_node(at, id)?;
        }
        self.add_outputs()?;
        for graph in self.graphs {
            copy_annotations(graph, &mut self.graph);
        }
        if self.graph.has_bodies() {
            // Bodies know the types of what they capture.
            self.graph.infer_anew();
        }
        check(&self.graph)
            .map_err(|violations| SurgeryError::Merge(format!("the connected model is not valid:\n{violations}")))?;
        Ok(self.graph)
    }

    /// Records the copy of a value, for all values that it stands for.
    fn define(&mut self, value: Of, copied: Value) {
        let mut pending = vec![value];
        while let Some((at, value)) = pending.pop() {
            self.copiers[at].values.insert(value, copied);
            pending.extend(self.stands_for.get(&(at, value)).into_iter().flatten());
        }
    }

    /// Adds the inputs that read no output, first of all, so that they keep their names.
    fn add_inputs(&mut self, links: &Links) -> Result<(), SurgeryError> {
        let mut added: Vec<Of> = vec![];
        let mut by_name: HashMap<Name, Of> = HashMap::default();
        for (at, graph) in self.graphs.iter().enumerate() {
            for input in graph.inputs().filter(|input| !links.outputs.contains_key(&(at, *input))) {
                let name = graph.value_name(input);
                match by_name.get(name) {
                    Some(&known) if self.is_one_input(known, (at, input))? => {
                        self.stands_for.entry(known).or_default().push((at, input));
                        continue;
                    }
                    Some(_) => {}
                    None => _ = by_name.insert(name.clone(), (at, input)),
                }
                added.push((at, input));
            }
        }
        if let Some(plan) = self.plan {
            let place: HashMap<&str, usize> = plan.inputs.iter().map(String::as_str).zip(0..).collect();
            let graphs = self.graphs;
            added
                .sort_by_key(|(at, input)| place.get(&**graphs[*at].value_name(*input)).copied().unwrap_or(usize::MAX));
        }
        for (at, input) in added {
            let copied = self.copiers[at].input(&mut self.graph, input);
            let (old, new) = (self.graphs[at].value_name(input), self.graph.value_name(copied));
            if old != new {
                self.notes.push(format!("the input {old:?} of model {} is now {new:?}", at + 1));
            }
            self.define((at, input), copied);
        }
        Ok(())
    }

    /// Whether two inputs of one name are one.
    fn is_one_input(&self, (a, own): Of, (b, other): Of) -> Result<bool, SurgeryError> {
        let (a, b) = (&self.graphs[a], &self.graphs[b]);
        let defaults = match (a.default_of(own), b.default_of(other)) {
            (None, None) => true,
            (Some(a), Some(b)) => is_equal(a, b)?,
            _ => false,
        };
        Ok(defaults && a.fact(own).ty == b.fact(other).ty)
    }

    /// Adds the weights, each once. Returns the other nodes without equal constants, model by model.
    fn add_weights(&mut self) -> Result<Vec<NodeOf>, SurgeryError> {
        let mut order = vec![];
        let mut known: HashMap<Name, Of> = HashMap::default();
        for (at, graph) in self.graphs.iter().enumerate() {
            for id in graph.schedule() {
                let op = graph.node(id).op();
                if !matches!(op, Op::Parameter(_) | Op::SparseParameter(_) | Op::Constant(_)) {
                    if !matches!(op, Op::Input | Op::Captured) {
                        order.push((at, id));
                    }
                    continue;
                }
                let value = Value { node: id, result: 0 };
                let name = graph.value_name(value);
                if let Some(&(model, other)) = known.get(name)
                    && is_equal_op(self.graphs[model].op(other), op)?
                {
                    // A weight is copied already; a constant is copied at its place.
                    self.stands_for.entry((model, other)).or_default().push((at, value));
                    if let Some(&copied) = self.copiers[model].values.get(&other) {
                        self.define((at, value), copied);
                    }
                    continue;
                }
                known.entry(name.clone()).or_insert((at, value));
                if matches!(op, Op::Constant(_)) {
                    order.push((at, id));
                } else {
                    self.add_node(at, id)?;
                }
            }
        }
        Ok(order)
    }

    fn add_node(&mut self, at: usize, id: NodeId) -> Result<(), SurgeryError> {
        let graph = &self.graphs[at];
        let name = || graph.results(id).next().map(|value| graph.value_name(value).to_string()).unwrap_or_default();
        let operands = graph.operands(id);
        if operands.iter().flatten().any(|value| !self.copiers[at].values.contains_key(value)) {
            return Err(SurgeryError::Merge(format!(
                "the node {:?} of model {} reads a value that is not computed before it\n  help: split the model again",
                name(),
                at + 1
            )));
        }
        let copied = self.copiers[at].node(&mut self.graph, id, Facts::Inferred).map_err(|error| {
            let help = error.help.as_ref().map_or_else(String::new, |help| format!("\n  help: {help}"));
            SurgeryError::Merge(format!(
                "the node {:?} of model {} cannot read what it is connected to: {error}{help}",
                name(),
                at + 1
            ))
        })?;
        let pairs: Vec<(Value, Value)> = graph.results(id).zip(self.graph.results(copied)).collect();
        for (value, copied) in pairs {
            self.define((at, value), copied);
        }
        Ok(())
    }

    /// Puts nodes at the places where the plan has them.
    fn in_order(&self, order: Vec<NodeOf>) -> Vec<NodeOf> {
        let Some(plan) = self.plan else { return order };
        let name = |&(at, id): &NodeOf| &**self.graphs[at].value_name(Value { node: id, result: 0 });
        let places: HashMap<&str, NodeOf> = order.iter().map(|node| (name(node), *node)).collect();
        let mut moved: HashMap<Option<NodeOf>, Vec<NodeOf>> = HashMap::default();
        let mut away: HashSet<NodeOf> = HashSet::default();
        for step in &plan.moved {
            let before = step.before.as_deref().map(|name| places.get(name).copied());
            // A constant that became an attribute in the file has no place of its own.
            if let (Some(&node), None | Some(Some(_))) = (places.get(&*step.node), before) {
                moved.entry(before.flatten()).or_default().push(node);
                away.insert(node);
            }
        }
        let mut placed = vec![];
        for node in order.into_iter().filter(|node| !away.contains(node)) {
            placed.extend(moved.remove(&Some(node)).unwrap_or_default());
            placed.push(node);
        }
        placed.extend(moved.remove(&None).unwrap_or_default());
        placed
    }

    /// Returns the outputs of the result, each with its model: those of the plan, or those that no input reads.
    fn chosen_outputs(&self) -> Result<Vec<(usize, &'g GraphOutput)>, SurgeryError> {
        let graphs = self.graphs.iter().enumerate();
        let all = graphs.flat_map(|(at, it)| it.outputs().iter().enumerate().map(move |(place, o)| (at, place, o)));
        let Some(plan) = self.plan else {
            let read = |at: usize, place: usize| self.read.contains(&(at, place));
            return Ok(all.filter(|(at, place, _)| !read(*at, *place)).map(|(at, _, output)| (at, output)).collect());
        };
        let mut by_name: HashMap<&str, (usize, &GraphOutput)> = HashMap::default();
        for (at, _, output) in all {
            by_name.entry(&output.name).or_insert((at, output));
        }
        let find = |name: &String| {
            by_name.get(name.as_str()).copied().ok_or_else(|| {
                SurgeryError::Merge(format!("no part has the output {name:?}\n  help: split the model again"))
            })
        };
        plan.outputs.iter().map(find).collect()
    }

    fn add_outputs(&mut self) -> Result<(), SurgeryError> {
        let chosen = self.chosen_outputs()?;
        self.forget_exchanged(&chosen);
        let shapes: Option<HashSet<&str>> = self.plan.map(|plan| plan.declared.iter().map(String::as_str).collect());
        let mut taken: HashSet<String> =
            self.graph.inputs().map(|input| self.graph.value_name(input).to_string()).collect();
        for (at, output) in chosen {
            let value = self.copiers[at].values.get(&output.value).copied();
            let value = value.ok_or_else(|| {
                SurgeryError::Merge(format!(
                    "the output {:?} is not computed\n  help: split the model again",
                    output.name
                ))
            })?;
            let is_input = self.graph.inputs().any(|input| input == value);
            let mut name = output.name.to_string();
            let mut number = 0;
            while !(is_input && *output.name == **self.graph.value_name(value)) && taken.contains(&name) {
                number += 1;
                name = format!("{}.{number}", output.name);
            }
            if name != *output.name {
                self.notes.push(format!("the output {:?} of model {} is now {name:?}", output.name, at + 1));
            }
            taken.insert(name.clone());
            // A part declares the shape that inference knows there, which may be less than it knows here.
            let is_of_part = shapes.as_ref().is_some_and(|shapes| !shapes.contains(&*output.name));
            let own = output.declared.as_ref();
            let declared = own.map(|own| if is_of_part { own.without_shapes() } else { own.clone() });
            self.graph.add_output(GraphOutput { name: name.into(), value, declared, ..output.clone() });
        }
        Ok(())
    }

    /// Removes the declared types of values that only the parts declare, to exchange them.
    fn forget_exchanged(&mut self, outputs: &[(usize, &GraphOutput)]) {
        let Some(plan) = self.plan else { return };
        let kept: HashSet<&str> =
            plan.declared.iter().map(String::as_str).chain(outputs.iter().map(|(_, output)| &*output.name)).collect();
        for &(at, place) in &self.read {
            let output = &self.graphs[at].outputs()[place];
            let value = self.copiers[at].values.get(&output.value);
            if let Some(&value) = value.filter(|_| !kept.contains(&*output.name)) {
                self.graph.undeclare(value);
            }
        }
    }
}

/// Whether two weights or constants are equal.
pub(super) fn is_equal_op(a: &Op, b: &Op) -> Result<bool, SurgeryError> {
    match (a, b) {
        (Op::Parameter(a), Op::Parameter(b)) | (Op::Constant(a), Op::Constant(b)) => is_equal(a, b),
        (Op::SparseParameter(a), Op::SparseParameter(b)) => {
            Ok(a.dims() == b.dims() && is_equal(a.values(), b.values())? && is_equal(a.indices(), b.indices())?)
        }
        _ => Ok(false),
    }
}

/// Whether two tensors have the same elements, which are read piece by piece if they are in different files.
fn is_equal(a: &Tensor, b: &Tensor) -> Result<bool, SurgeryError> {
    if a.ty() != b.ty() || a.len() != b.len() {
        return Ok(false);
    }
    if a == b || matches!((a.data(), b.data()), (Data::Strings(_), _) | (_, Data::Strings(_))) {
        return Ok(a == b);
    }
    Tensor::all_pieces([a, b], |[a, b]| a == b)
        .map_err(|error| SurgeryError::Merge(format!("a weight cannot be read: {error}")))
}
