//! Reading of functions, and inlining of their calls.
//!
//! The values of a function have no types, so its nodes are opaque; the results of a call are inferred by inlining it
//! into a temporary graph. Functions may call one another, but not recursively, and calls may multiply: both are
//! bounded.

use super::graph::{NodeNames, Reader, Scope, Surroundings};
use super::{Context, ReadProblem, attribute, graph, imports, names, notes};
use crate::standard;
use crate::wire::{AttributeProto, FunctionProto, GraphProto, NodeProto, ValueInfoProto};
use netwright_ir::infer::Call;
use netwright_ir::{Function, HashMap, Name, Notes, Op, Value};
use std::collections::BTreeMap;

/// The maximum nesting of calls.
const MAX_CALLS: u32 = 100;

/// The maximum number of nodes inlined, permanently or to infer results.
const MAX_INLINED: usize = 200_000;

/// The maximum number of nodes after inlining all calls, as runtimes do.
const MAX_EXPANDED: u64 = 1_000_000;

/// The functions of a file.
pub(super) struct Functions {
    all: Vec<Callable>,
    /// The index of each function that can be called, by domain, name and overload.
    index: HashMap<(String, String, String), usize>,
    /// The number of nodes of each function, with those of the functions that it calls.
    expanded: Vec<u64>,
}

/// A function, checked and ready to be inlined.
pub(super) struct Callable {
    proto: FunctionProto,
    opsets: BTreeMap<String, i64>,
    /// The order of its nodes.
    order: Vec<usize>,
}

impl Functions {
    pub(super) fn new(protos: Vec<FunctionProto>) -> Result<Self, ReadProblem> {
        let mut functions = Self { all: vec![], index: HashMap::default(), expanded: vec![] };
        for proto in protos {
            let key = key(&proto);
            if key.1.is_empty() {
                return Err(ReadProblem::Graph("a function has no name".to_owned()));
            }
            let inputs: Vec<&str> = proto.input.iter().map(String::as_str).collect();
            let order = names::order(&proto.node, inputs)?;
            let opsets = imports(&proto.opset_import)?;
            if functions.index.insert(key.clone(), functions.all.len()).is_some() {
                return Err(ReadProblem::Graph(format!("two functions have the name {:?}", spelled(&key))));
            }
            functions.all.push(Callable { proto, opsets, order });
        }
        // Runtimes run an operator of the standard, not a function of its name.
        functions.index.retain(|(domain, name, _), _| !domain.is_empty() || standard::since(name).is_none());
        let order = functions.order()?;
        functions.expanded = vec![0; functions.all.len()];
        for at in order.into_iter().rev() {
            functions.expanded[at] = functions.count(&functions.all[at].proto.node);
        }
        Ok(functions)
    }

    pub(super) fn find(&self, domain: &str, name: &str, overload: &str) -> Option<&Callable> {
        if self.all.is_empty() {
            return None;
        }
        let key = (domain.to_owned(), name.to_owned(), overload.to_owned());
        self.index.get(&key).map(|at| &self.all[*at])
    }

    /// Returns the number of nodes after inlining every call.
    fn count(&self, nodes: &[NodeProto]) -> u64 {
        let mut count = 0u64;
        let mut pending: Vec<&[NodeProto]> = vec![nodes];
        while let Some(nodes) = pending.pop() {
            for node in nodes {
                let of_call = self.callee(node).map_or(1, |callee| self.expanded[callee]);
                count = count.saturating_add(of_call);
                pending.extend(names::bodies(node).map(|body| body.node.as_slice()));
            }
        }
        count
    }

    /// Checks the number of nodes in a graph after inlining, without inlining it.
    ///
    /// # Errors
    /// If there are too many.
    pub(super) fn check_expansion(&self, graph: &GraphProto) -> Result<(), ReadProblem> {
        if self.all.is_empty() {
            return Ok(());
        }
        match self.count(&graph.node) {
            ..=MAX_EXPANDED => Ok(()),
            u64::MAX => Err(ReadProblem::Graph(format!(
                "inlining the functions gives more nodes than can be counted, but the limit is {MAX_EXPANDED}"
            ))),
            count => Err(ReadProblem::Graph(format!(
                "inlining the functions gives {count} nodes, but the limit is {MAX_EXPANDED}"
            ))),
        }
    }

    /// Returns the function that a node calls.
    fn callee(&self, node: &NodeProto) -> Option<usize> {
        let text = |text: &Option<String>| text.clone().unwrap_or_default();
        let domain = super::domain(node.domain.as_deref()).to_owned();
        self.index.get(&(domain, text(&node.op_type), text(&node.overload))).copied()
    }

    /// Orders the functions, each before those that it calls. No function may call itself, directly, through others or
    /// through bodies.
    fn order(&self) -> Result<Vec<usize>, ReadProblem> {
        let calls: Vec<Vec<usize>> = self.all.iter().map(|function| self.calls(&function.proto.node)).collect();
        // Functions without callers go first; what remains when none is left are cycles.
        let mut callers = vec![0usize; self.all.len()];
        calls.iter().flatten().for_each(|&callee| callers[callee] += 1);
        let mut free: Vec<usize> = (0..self.all.len()).filter(|&at| callers[at] == 0).collect();
        let mut order = vec![];
        while let Some(at) = free.pop() {
            order.push(at);
            for &callee in &calls[at] {
                callers[callee] -= 1;
                if callers[callee] == 0 {
                    free.push(callee);
                }
            }
        }
        match callers.iter().position(|callers| *callers > 0) {
            Some(at) => {
                let name = spelled(&key(&self.all[at].proto));
                Err(ReadProblem::Graph(format!("the function {name:?} is recursive or called by one that is")))
            }
            None => Ok(order),
        }
    }

    /// Returns the functions that nodes call, in bodies too.
    fn calls(&self, nodes: &[NodeProto]) -> Vec<usize> {
        let mut calls = vec![];
        let mut pending: Vec<&[NodeProto]> = vec![nodes];
        while let Some(nodes) = pending.pop() {
            for node in nodes {
                calls.extend(self.callee(node));
                pending.extend(names::bodies(node).map(|body| body.node.as_slice()));
            }
        }
        calls
    }

    /// Adds the operator sets that the functions import and the model does not.
    pub(super) fn add_imports(&self, opsets: &mut BTreeMap<String, i64>) {
        for (domain, version) in self.all.iter().flat_map(|function| &function.opsets) {
            opsets.entry(domain.clone()).or_insert(*version);
        }
    }

    /// Reads the functions, with opaque nodes.
    pub(super) fn read(&self, context: &Context<'_>) -> Result<Vec<Function>, ReadProblem> {
        self.all.iter().map(|function| read(function, context)).collect()
    }
}

type Key = (String, String, String);

fn key(proto: &FunctionProto) -> Key {
    let text = |text: &Option<String>| text.clone().unwrap_or_default();
    (super::domain(proto.domain.as_deref()).to_owned(), text(&proto.name), text(&proto.overload))
}

fn spelled((domain, name, overload): &Key) -> String {
    let (dot, colon) = (if domain.is_empty() { "" } else { "." }, if overload.is_empty() { "" } else { ":" });
    format!("{domain}{dot}{name}{colon}{overload}")
}

fn read<'a>(function: &'a Callable, context: &'a Context<'a>) -> Result<Function, ReadProblem> {
    let Callable { proto, opsets, .. } = function;
    let key = key(proto);
    let place = format!("the function {:?}", spelled(&key));
    let value = |name: &String| ValueInfoProto { name: Some(name.clone()), ..Default::default() };
    let graph = GraphProto {
        name: proto.name.clone(),
        node: proto.node.clone(),
        input: proto.input.iter().map(value).collect(),
        output: proto.output.iter().map(value).collect(),
        value_info: proto.value_info.clone(),
        ..Default::default()
    };
    let scope = Scope { opsets, keep: true, given: None, calls: 0, bodies: 0 };
    let surroundings = Surroundings { body: true, ..Surroundings::default() };
    let graph = graph::read(graph, surroundings, context, scope)?;
    let mut defaults = vec![];
    for attribute in &proto.attribute_proto {
        defaults.push(attribute::read(attribute.clone(), &place, context)?);
    }
    let (domain, name, overload) = key;
    Ok(Function {
        domain: domain.into(),
        name: name.into(),
        overload: overload.into(),
        graph,
        attributes: proto.attribute.iter().map(|name| name.as_str().into()).collect(),
        defaults,
        opsets: opsets.clone(),
        notes: notes::described(&place, proto.doc_string.clone(), proto.metadata_props.clone())?,
    })
}

impl<'a> Reader<'a> {
    /// Inlines a function into the graph of a node that calls it.
    pub(super) fn call(
        &mut self,
        function: &'a Callable,
        text: &str,
        label: &str,
        operands: Vec<Option<Value>>,
        attributes: Vec<AttributeProto>,
        outputs: Vec<String>,
    ) -> Result<(), ReadProblem> {
        let fail = |what: String| ReadProblem::Node { node: text.to_owned(), what };
        let Callable { proto, opsets, order } = function;
        if self.scope.calls >= MAX_CALLS {
            return Err(fail(format!("calls nest deeper than {MAX_CALLS}")));
        }
        let inlined = self.context.inlined.get().saturating_add(order.len());
        self.context.inlined.set(inlined);
        if inlined > MAX_INLINED {
            return Err(fail(format!("inlining the functions gives more than {MAX_INLINED} nodes")));
        }
        let (inputs, results) = (proto.input.len(), proto.output.len());
        if operands.len() > inputs || outputs.len() > results {
            let (given, requested) = (operands.len(), outputs.len());
            return Err(fail(format!(
                "the call has {given} operands and {requested} results, but its function has {inputs} and {results}"
            )));
        }
        let mut given: HashMap<String, AttributeProto> = HashMap::default();
        for attribute in proto.attribute_proto.iter().cloned().chain(attributes) {
            let name = attribute.name.clone().unwrap_or_default();
            let defaulted = proto.attribute_proto.iter().any(|default| default.name.as_deref() == Some(&name));
            if !defaulted && !proto.attribute.contains(&name) {
                return Err(fail(format!("its function has no attribute {name:?}")));
            }
            given.insert(name, attribute);
        }
        // The names in the graph of the requested results.
        let requested: Vec<(&str, Name, String)> = (proto.output.iter().zip(outputs))
            .filter(|(_, caller)| !caller.is_empty())
            .map(|(own, caller)| (own.as_str(), self.graph_name(&caller), caller))
            .collect();
        let first = requested.first().map_or("call", |(_, name, _)| &**name);
        let prefix = if label.is_empty() { first } else { label }.to_owned();
        let operands = operands.into_iter().chain(std::iter::repeat(None));
        let scope = Scope { opsets, keep: false, given: Some(&given), calls: self.scope.calls + 1, ..self.scope };
        let mut inner = Reader::within(self, scope);
        inner.values = proto.input.iter().map(|name| name.as_str().into()).zip(operands).collect();
        inner.prefix = Some(prefix);
        inner.renamed = requested.iter().map(|(own, name, _)| ((*own).to_owned(), name.clone())).collect();
        order.iter().try_for_each(|&at| inner.node(proto.node[at].clone()))?;
        let values = inner.leave(self);
        for (own, name, caller) in requested {
            let Some(value) = values.get(own).copied().flatten() else {
                return Err(fail(format!("its function does not compute its result {own:?}")));
            };
            if *self.graph.value_name(value) == name {
                self.define(caller.into(), value, Some(text))?;
            } else {
                // An operand that the function returns, or a result that it returns twice.
                let outputs = vec![caller];
                let place = NodeNames { text: text.to_owned(), label: String::new(), outputs, notes: Notes::default() };
                self.insert(place, Op::Identity, &[Some(value)])?;
            }
        }
        Ok(())
    }

    /// Inlines a call into a graph of its own, to infer its results; they are unknown if that would take too many nodes.
    pub(super) fn inline(
        &self,
        function: &'a Callable,
        text: &str,
        operands: &[Option<Value>],
        attributes: Vec<AttributeProto>,
        results: usize,
    ) -> Result<Call, ReadProblem> {
        if self.context.inlined.get().saturating_add(function.order.len()) > MAX_INLINED {
            return Ok(Call::default());
        }
        let mut reader = Reader::scratch(self.context, self.scope);
        let mut inputs = vec![];
        for operand in operands {
            inputs.push(operand.map(|operand| {
                let fact = self.graph.fact(operand).clone();
                let input = reader.graph.input("operand", fact.ty.clone());
                reader.graph.set_fact(input, fact);
                input
            }));
        }
        let outputs: Vec<String> = (0..results).map(|at| format!("result.{at}")).collect();
        reader.call(function, text, "", inputs.clone(), attributes, outputs.clone())?;
        let values = outputs.iter().map(|name| reader.values.get(name.as_str()).copied().flatten()).collect();
        Ok(Call::new(reader.graph, inputs, values))
    }
}
