//! Graphs: inputs, initializers, nodes, types.

use super::{Context, Problem, attribute, names, node_text, notes, tensor};
use crate::forms;
use crate::standard;
use crate::types;
use crate::wire::{AttributeProto, AttributeType, GraphProto, NodeProto, StringStringEntryProto, ValueInfoProto};
use netwright_ir::op::Kept;
use netwright_ir::{
    Annotation, Attribute, Conventions, Dim, ElementType, Fact, Graph, MOST_BODIES, Name, Notes, Op, Place, Shape,
    Tensor, TensorType, Value, ValueType,
};
use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

/// What the nodes of a graph are read with.
#[derive(Clone, Copy)]
pub(super) struct Scope<'a> {
    /// The versions of the operators.
    pub(super) opsets: &'a BTreeMap<String, i64>,
    /// Whether operators are kept as they came: those of functions and of training steps, whose operands have no types
    /// yet, and those of an opset that is not understood.
    pub(super) keep: bool,
    /// The attributes of the call that is put in place, by name.
    pub(super) given: Option<&'a HashMap<String, AttributeProto>>,
    /// How many calls deep.
    pub(super) calls: u32,
    /// How many bodies deep.
    pub(super) bodies: u32,
}

/// A graph in a file and what surrounds it.
#[derive(Default)]
pub(super) struct Surroundings {
    /// The values that a body captures: their names, and what is known of them.
    pub(super) captured: Vec<(String, Fact)>,
    /// What is known of the inputs of a body by the operands of its node.
    pub(super) inputs: Vec<Fact>,
    /// Whether it is a body, so that its inputs need no types.
    pub(super) body: bool,
}

/// Builds a graph; its nodes come in the order of the file, moved behind what they read where they are not.
pub(super) fn read<'a>(
    mut proto: GraphProto,
    around: Surroundings,
    context: &'a Context<'a>,
    scope: Scope<'a>,
) -> Result<Graph, Problem> {
    let order = {
        let optional: HashSet<&str> = proto.input.iter().filter_map(|input| input.name.as_deref()).collect();
        let captured = around.captured.iter().map(|(name, _)| name.as_str());
        let sources = proto.input.iter().map(|input| input.name.as_deref().unwrap_or_default());
        let tensors = proto.initializer.iter().map(|tensor| tensor.name.as_deref().unwrap_or_default());
        // An initializer that is an input too is its default.
        let tensors = tensors.filter(|name| !optional.contains(name));
        let sparse = proto.sparse_initializer.iter();
        let sparse = sparse.map(|tensor| tensor.values.as_ref().and_then(|v| v.name.as_deref()).unwrap_or_default());
        let sources: Vec<&str> = captured.chain(sources).chain(tensors).chain(sparse).collect();
        if sources.iter().any(|name| name.is_empty()) {
            return Err(Problem::Graph("an input or an initializer has no name".to_owned()));
        }
        names::order(&proto.node, sources)?
    };
    check_output_names(&proto)?;
    let names_nodes = proto.node.iter().all(|node| node.name.as_deref().is_some_and(|name| !name.is_empty()));
    let graph = Graph::new(proto.name.take().unwrap_or_default());
    let is_body = around.body;
    let mut reader = Reader {
        graph,
        values: HashMap::new(),
        declared: HashMap::new(),
        names: names::defined(&proto).map(str::to_owned).collect(),
        prefix: None,
        renamed: HashMap::new(),
        context,
        scope,
    };
    reader.sources(&mut proto, around)?;
    let mut nodes: Vec<Option<NodeProto>> = std::mem::take(&mut proto.node).into_iter().map(Some).collect();
    for at in order {
        if let Some(node) = nodes[at].take() {
            reader.node(node)?;
        }
    }
    for output in &proto.output {
        let name = output.name.as_deref().unwrap_or_default();
        let value = reader.values.get(name).copied().flatten();
        let value = value.ok_or_else(|| Problem::Graph(format!("the output {name:?} is not computed")))?;
        let known = &reader.graph.fact(value).ty;
        match reader.declared.get(name).map(|declared| declared.ty.clone()).filter(|ty| *ty != ValueType::Unknown) {
            Some(ty) if !known.contradicts(&ty) => reader.graph.declared_output(name, value, ty),
            // Sizes that differ were reported where the value is computed; on the rank its callers rely.
            Some(ty) if !is_body && !is_of_rank_of(known, &ty) => return Err(contradiction(name, None, &ty, known)),
            _ => reader.graph.output(name, value),
        }
    }
    reader.describe(&mut proto)?;
    let mut graph = reader.graph;
    graph.set_conventions(Conventions { names_nodes, types_values: types_values(&graph) });
    Ok(graph)
}

/// Whether the file declares inner values, and all of them whose types are known.
fn types_values(graph: &Graph) -> bool {
    let nodes = graph.schedule().into_iter().filter(|id| !graph.node(*id).op().kind().is_source());
    let values = nodes.flat_map(|id| graph.results(id)).filter(|value| !graph.is_output(*value));
    let mut known = values.filter(|value| types::can_be_declared(&graph.fact(*value).ty)).peekable();
    known.peek().is_some() && known.all(|value| graph.declared(value).is_some())
}

fn check_output_names(proto: &GraphProto) -> Result<(), Problem> {
    let mut names = HashSet::new();
    for output in &proto.output {
        let name = output.name.as_deref().unwrap_or_default();
        if !names.insert(name) {
            return Err(Problem::Graph(format!("{name:?} is the name of two outputs")));
        }
    }
    Ok(())
}

/// Whether two tensor types may have the same rank.
fn is_of_rank_of(a: &ValueType, b: &ValueType) -> bool {
    let rank = |ty: &ValueType| match ty {
        ValueType::Tensor(tensor) | ValueType::SparseTensor(tensor) => tensor.shape.as_ref().map(|shape| shape.len()),
        _ => None,
    };
    rank(a).zip(rank(b)).is_none_or(|(a, b)| a == b)
}

/// What a file declares of a value.
struct Declared {
    ty: ValueType,
    notes: Notes,
}

pub(super) struct Reader<'a> {
    pub(super) graph: Graph,
    /// The values by their names in the file; `None` for an operand of a call that is absent.
    pub(super) values: HashMap<String, Option<Value>>,
    declared: HashMap<String, Declared>,
    /// The names of the file, which no new value may have.
    names: HashSet<String>,
    /// Stands before the names of the function that is put in place.
    pub(super) prefix: Option<String>,
    /// The names that the caller has for results of the function that is put in place.
    pub(super) renamed: HashMap<String, String>,
    pub(super) context: &'a Context<'a>,
    pub(super) scope: Scope<'a>,
}

impl<'a> Reader<'a> {
    /// A reader of calls alone, into a graph of its own.
    pub(super) fn scratch(context: &'a Context<'a>, scope: Scope<'a>) -> Self {
        Self {
            graph: Graph::new(""),
            values: HashMap::new(),
            declared: HashMap::new(),
            names: HashSet::new(),
            prefix: None,
            renamed: HashMap::new(),
            context,
            scope,
        }
    }

    /// A reader of the nodes of a function that goes on with the graph of its caller, until it
    /// [leaves](Reader::leave).
    pub(super) fn within<'b>(caller: &mut Reader<'b>, scope: Scope<'a>) -> Self
    where
        'b: 'a,
    {
        let mut inner = Self::scratch(caller.context, scope);
        std::mem::swap(&mut inner.graph, &mut caller.graph);
        std::mem::swap(&mut inner.names, &mut caller.names);
        inner
    }

    /// Gives the graph back to the caller; the values by the function's names.
    pub(super) fn leave(mut self, caller: &mut Reader<'_>) -> HashMap<String, Option<Value>> {
        std::mem::swap(&mut self.graph, &mut caller.graph);
        std::mem::swap(&mut self.names, &mut caller.names);
        self.values
    }

    /// Inputs, captured values and initializers.
    fn sources(&mut self, proto: &mut GraphProto, around: Surroundings) -> Result<(), Problem> {
        for value in proto.value_info.iter().chain(&proto.output) {
            self.declare(value)?;
        }
        for (name, fact) in around.captured {
            let value = self.graph.capture(&name, fact);
            self.define(name, value, None)?;
        }
        let mut defaults: HashMap<String, Tensor> = HashMap::new();
        let mut parameters = vec![];
        let inputs: HashSet<&str> = proto.input.iter().filter_map(|input| input.name.as_deref()).collect();
        for mut initializer in std::mem::take(&mut proto.initializer) {
            let name = initializer.name.clone().unwrap_or_default();
            let said = notes::of_tensor(&mut initializer, &format!("tensor {name:?}"))?;
            let tensor = tensor::read(initializer, &name, self.context)?;
            // Before version 4 of the format every initializer had to be an input, so that it says nothing.
            if inputs.contains(name.as_str()) && self.context.ir_version >= 4 {
                if defaults.insert(name.clone(), tensor).is_some() {
                    return Err(Problem::Graph(format!("{name:?} is the name of two values")));
                }
            } else {
                parameters.push((name, tensor, Notes { doc: said.doc, metadata: said.metadata, ..Notes::default() }));
            }
        }
        let named: HashSet<&str> = parameters.iter().map(|(name, ..)| name.as_str()).collect();
        if named.len() < parameters.len() {
            let mut seen = HashSet::new();
            let twice = parameters.iter().find(|(name, ..)| !seen.insert(name)).map(|(name, ..)| name.as_str());
            return Err(Problem::Graph(format!("{:?} is the name of two values", twice.unwrap_or_default())));
        }
        let mut facts = around.inputs.into_iter();
        for input in &proto.input {
            let fact = facts.next();
            let name = input.name.as_deref().unwrap_or_default();
            if named.contains(name) {
                self.declare(input)?;
                continue;
            }
            let default = defaults.remove(name);
            self.input(input, default, fact, around.body)?;
        }
        for (name, tensor, said) in parameters {
            let value = self.graph.parameter(&name, tensor);
            self.graph.set_node_notes(value.node, said);
            // ONNX Runtime refuses another declaration in the early versions of the format alone.
            if let Some(declared) = self.declared.get(&name).filter(|_| self.context.ir_version < 4) {
                let own = &self.graph.fact(value).ty;
                own.and(&declared.ty).ok_or_else(|| contradiction(&name, None, &declared.ty, own))?;
            }
            self.define(name, value, None)?;
        }
        for sparse in std::mem::take(&mut proto.sparse_initializer) {
            let (name, tensor) = tensor::read_sparse(sparse, "", self.context)?;
            let value = self.graph.sparse_parameter(&name, tensor);
            self.define(name, value, None)?;
        }
        Ok(())
    }

    /// What stands beside the nodes.
    fn describe(&mut self, proto: &mut GraphProto) -> Result<(), Problem> {
        let entries = std::mem::take(&mut proto.metadata_props);
        self.graph.set_notes(notes::described("the graph", proto.doc_string.take(), entries)?);
        let text = |text: Option<String>| text.unwrap_or_default();
        let pair = |entry: StringStringEntryProto| (text(entry.key), text(entry.value));
        let annotations = std::mem::take(&mut proto.quantization_annotation).into_iter().map(|annotation| Annotation {
            tensor: text(annotation.tensor_name),
            parameters: annotation.quant_parameter_tensor_names.into_iter().map(pair).collect(),
        });
        self.graph.set_annotations(annotations.collect());
        Ok(())
    }

    fn declaration<'p>(&self, proto: &'p ValueInfoProto) -> Result<(&'p str, Declared), Problem> {
        let name = proto.name.as_deref().unwrap_or_default();
        let ty = proto.r#type.as_ref().map_or(Ok(ValueType::Unknown), types::from_wire);
        let negative = proto.r#type.as_ref().and_then(types::negative_size);
        if let Some(size) = negative.filter(|_| !self.context.has_negative_size.replace(true)) {
            let what = format!("the size {size} is taken as unknown, here and wherever else a size is negative");
            self.context.warn(Problem::Value { name: name.to_owned(), what })?;
        }
        let ty = ty.map_err(|what| Problem::Value { name: name.to_owned(), what })?;
        Ok((name, Declared { ty, notes: notes::of_value(proto, name)? }))
    }

    pub(super) fn declare(&mut self, proto: &ValueInfoProto) -> Result<(), Problem> {
        let (name, mut new) = self.declaration(proto)?;
        if let Some(before) = self.declared.get(name) {
            new.ty = match before.ty.and(&new.ty) {
                Some(ty) => ty,
                None if before.ty.and(&new.ty.without_shapes()).is_some() => {
                    let what = format!("it is declared twice: {} and {}", before.ty, new.ty);
                    self.context.warn(Problem::Value { name: name.to_owned(), what })?;
                    new.ty
                }
                None => return Err(contradiction(name, None, &new.ty, &before.ty)),
            };
            if new.notes.is_empty() {
                new.notes = before.notes.clone();
            }
        }
        self.declared.insert(name.to_owned(), new);
        Ok(())
    }

    fn input(
        &mut self,
        proto: &ValueInfoProto,
        default: Option<Tensor>,
        fact: Option<Fact>,
        body: bool,
    ) -> Result<(), Problem> {
        let (name, Declared { ty, notes }) = self.declaration(proto)?;
        let value = match default {
            Some(tensor) => {
                let own = ValueType::from(tensor.ty());
                let ty = ty.and(&own).ok_or_else(|| contradiction(name, None, &ty, &own))?;
                let value = self.graph.input_with_default(name, tensor);
                self.graph.set_fact(value, Fact::of(ty));
                value
            }
            None if ty == ValueType::Unknown && !body => {
                let what = "the type of an input must be declared".to_owned();
                return Err(Problem::Value { name: name.to_owned(), what });
            }
            // What a body's input is, its node says; what the body declares of its sizes, nothing proves.
            None if body => {
                let value = self.graph.input(name, fact.map_or(ValueType::Unknown, |fact| fact.ty));
                self.assume(name, value, &ty, None)?;
                value
            }
            None => self.graph.input(name, ty),
        };
        self.graph.set_value_notes(value, notes);
        self.define(name.to_owned(), value, None)
    }

    /// Takes over what a declaration says of a value. Runtimes hold its element type against what is computed, so it
    /// is known; they do not so with its sizes, which are kept beside what is known, for writing, nor with anything that
    /// is declared of a tensor of the file.
    fn assume(&mut self, name: &str, value: Value, declared: &ValueType, node: Option<&str>) -> Result<(), Problem> {
        let fact = self.graph.fact(value);
        let is_tensor = self.graph.tensor(value).is_some();
        let checked = if is_tensor { ValueType::Unknown } else { declared.without_shapes() };
        let Some(ty) = fact.ty.and(&checked) else {
            return Err(contradiction(name, node, declared, &fact.ty));
        };
        if ty.contradicts(declared) {
            self.context.warn(contradiction(name, node, declared, &ty))?;
        } else if *declared != ValueType::Unknown {
            self.graph.declare(value, declared.clone());
        }
        let elements = self.graph.fact(value).elements.clone();
        self.graph.set_fact(value, Fact { ty, elements });
        Ok(())
    }

    /// Records a new value under its name, with what is declared of it.
    pub(super) fn define(&mut self, name: String, value: Value, node: Option<&str>) -> Result<(), Problem> {
        if let Some(declared) = self.declared.remove(&name) {
            self.assume(&name, value, &declared.ty, node)?;
            if !declared.notes.is_empty() {
                self.graph.set_value_notes(value, declared.notes.clone());
            }
            self.declared.insert(name.clone(), declared);
        }
        self.values.insert(name, Some(value));
        Ok(())
    }

    pub(super) fn node(&mut self, mut node: NodeProto) -> Result<(), Problem> {
        let text = node_text(&node);
        let fail = |what: String| Problem::Node { node: text.clone(), what };
        let said = notes::of_node(&mut node, &text)?;
        let domain: Arc<str> = super::domain(node.domain.as_deref()).into();
        let Some(&version) = self.scope.opsets.get(&*domain) else {
            return Err(fail(format!("the model imports no operator set {domain:?}")));
        };
        let op_type: Arc<str> = node.op_type.take().unwrap_or_default().into();
        if op_type.is_empty() {
            return Err(fail("it has no operator".to_owned()));
        }
        let overload: Arc<str> = node.overload.take().unwrap_or_default().into();
        let mut operands = vec![];
        for name in &node.input {
            // `order` saw to it that every name is one of a value before.
            operands.push(if name.is_empty() { None } else { self.values.get(name).copied().flatten() });
        }
        while operands.last() == Some(&None) {
            operands.pop();
        }
        let mut outputs = node.output;
        while outputs.last().is_some_and(String::is_empty) {
            outputs.pop();
        }
        if outputs.is_empty() {
            return Err(fail("it has no result".to_owned()));
        }
        let label = node.name.unwrap_or_default();
        // Where every node has a name, one that merely repeats the result's is not the node's own.
        let repeats = outputs.first() == Some(&label) && self.graph.conventions().names_nodes;
        let label = if repeats { String::new() } else { label };
        let mut protos = vec![];
        for proto in node.attribute {
            protos.extend(self.given(proto, &text)?);
        }
        let function = self.context.functions.find(&domain, &op_type, &overload).filter(|_| !self.scope.keep);
        if let Some(function) = function.filter(|_| self.context.inline) {
            return self.call(function, &text, &label, operands, protos, outputs);
        }
        let called = match function {
            Some(function) => self.results_of_call(function, &text, &operands, protos.clone(), outputs.len())?,
            None => vec![],
        };
        let mut captured: HashMap<Arc<str>, Vec<Option<Value>>> = HashMap::new();
        let mut attributes = vec![];
        let facts: Vec<Option<&Fact>> =
            operands.iter().map(|value| value.map(|value| self.graph.fact(value))).collect();
        let inputs = if domain.is_empty() { body_inputs(&op_type, version, &protos, &facts) } else { vec![] };
        for proto in protos {
            let mut its = vec![];
            let (name, value) = self.attribute(proto, &text, &inputs, &mut its)?;
            captured.insert(name.clone(), its);
            attributes.push((name, value));
        }
        let place = Written { text, label, outputs, said };
        let kept =
            |attributes| Kept { domain: domain.clone(), op_type: op_type.clone(), overload, version, attributes };
        if self.scope.keep || function.is_some() || !domain.is_empty() {
            let op = Op::Kept(Box::new(kept(attributes)));
            operands.extend(captures(&op, &mut captured));
            let values = self.insert(place, op, &operands)?;
            for (value, fact) in values.into_iter().zip(called) {
                let known = self.graph.fact(value).ty.and(&fact.ty);
                let ty = known.ok_or_else(|| {
                    contradiction(self.graph.value_name(value), None, &self.graph.fact(value).ty, &fact.ty)
                })?;
                self.graph.set_fact(value, Fact { ty, elements: fact.elements });
            }
            return Ok(());
        }
        if *op_type == *"Constant" && operands.is_empty() && place.outputs.len() == 1 && dense(&attributes) {
            let tensor = constant(attributes).map_err(|what| Problem::Node { node: place.text.clone(), what })?;
            return self.insert(place, Op::Constant(tensor), &[]).map(|_| ());
        }
        if standard::runs_early(&op_type) && standard::since(&op_type).is_some_and(|since| version < since) {
            self.context.early_operators.set(true);
        }
        let results = place.outputs.len();
        let written =
            forms::Written { op_type: &op_type, opset: version, attributes: &attributes, operands: &operands, results };
        let base = place.outputs.iter().find(|name| !name.is_empty()).map_or("", String::as_str);
        let mut name = |word: &str| fresh(&mut self.names, &format!("{base}.{word}")).into();
        let normal = forms::from_opset(&mut self.graph, written, &mut name);
        if let Some(normal) = normal.map_err(|what| Problem::Node { node: place.text.clone(), what })? {
            let mut normal_operands = normal.operands;
            normal_operands.extend(captures(&normal.op, &mut captured.clone()));
            // Exporters leave branches that cannot run for the shapes at hand, and that never do.
            let runs = self.scope.bodies == 0 || self.graph.infer(&normal.op, &normal_operands, results).is_ok();
            if self.scope.bodies == 0
                && let Some(what) = self.out_of_range(&normal.op, &normal_operands)
            {
                return Err(Problem::Node { node: place.text, what });
            }
            if runs {
                return self.insert(place, normal.op, &normal_operands).map(|_| ());
            }
        }
        if !standard::knows(version, &op_type) {
            let what = format!("opset {version} of ONNX has no operator {}", op_type.escape_debug());
            return Err(Problem::Node { node: place.text, what });
        }
        let sparse = attributes.iter().find_map(|(_, value)| match value {
            Attribute::Sparse(tensor) if *op_type == *"Constant" => Some(tensor.fact()),
            _ => None,
        });
        let op = Op::Kept(Box::new(kept(attributes)));
        operands.extend(captures(&op, &mut captured));
        let values = self.insert(place, op, &operands)?;
        if let ([value], Some(fact)) = (values.as_slice(), sparse) {
            self.graph.set_fact(*value, fact);
        }
        Ok(())
    }

    /// What is wrong with the constant indices of a look-up, where one is out of range: no run gets past the node.
    fn out_of_range(&self, op: &Op, operands: &[Option<Value>]) -> Option<String> {
        let (Op::Gather { axis } | Op::GatherElements { axis }) = op else { return None };
        let [Some(data), Some(indices)] = operands else { return None };
        let shape = self.graph.shape(*data)?;
        let rank = i64::try_from(shape.len()).ok()?;
        let axis = usize::try_from(if *axis < 0 { axis.checked_add(rank)? } else { *axis }).ok()?;
        let size = shape.get(axis)?.known()?;
        // Of small tensors alone: larger ones are data, which is not read.
        let indices = self.graph.tensor(*indices)?.integers()?;
        let index = indices.into_iter().find(|index| !(-size..size).contains(index))?;
        Some(format!("the index {index} is out of range for the {size} elements of axis {axis}"))
    }

    /// The attribute, or what the call that is put in place gives for it; `None` where it gives nothing.
    fn given(&self, proto: AttributeProto, text: &str) -> Result<Option<AttributeProto>, Problem> {
        let Some(reference) = proto.ref_attr_name.as_deref().filter(|reference| !reference.is_empty()) else {
            return Ok(Some(proto));
        };
        let name = proto.name.as_deref().unwrap_or_default();
        let fail = |what: &str| Problem::Node { node: text.to_owned(), what: format!("attribute {name:?}: {what}") };
        match self.scope.given {
            Some(given) => Ok(given.get(reference).map(|given| AttributeProto { name: proto.name, ..given.clone() })),
            None if self.scope.keep => Ok(Some(proto)),
            None => Err(fail("it refers to an attribute of a function, but stands in none")),
        }
    }

    /// An attribute; of bodies, what they capture goes to `captured`.
    fn attribute(
        &mut self,
        mut proto: AttributeProto,
        text: &str,
        inputs: &[Fact],
        captured: &mut Vec<Option<Value>>,
    ) -> Result<(Arc<str>, Attribute), Problem> {
        let (body, bodies) = (proto.g.take(), std::mem::take(&mut proto.graphs));
        if body.is_none() && bodies.is_empty() {
            return attribute::read(proto, text, self.context);
        }
        let ty = if body.is_some() { AttributeType::Graph } else { AttributeType::Graphs };
        if proto.r#type != Some(ty.into()) || (body.is_some() && !bodies.is_empty()) {
            let what = format!("attribute {:?}: its type and its values differ", proto.name.unwrap_or_default());
            return Err(Problem::Node { node: text.to_owned(), what });
        }
        let (name, _) =
            attribute::read(AttributeProto { r#type: Some(AttributeType::Int.into()), ..proto }, text, self.context)?;
        let value = if let Some(body) = body {
            Attribute::Graph(self.body(*body, text, inputs, captured)?)
        } else {
            let bodies = bodies.into_iter().map(|body| self.body(body, text, &[], captured));
            Attribute::Graphs(bodies.collect::<Result<_, _>>()?)
        };
        Ok((name, value))
    }

    fn body(
        &mut self,
        proto: GraphProto,
        text: &str,
        inputs: &[Fact],
        captured: &mut Vec<Option<Value>>,
    ) -> Result<Arc<Graph>, Problem> {
        if self.scope.bodies >= MOST_BODIES {
            let what = format!("its bodies nest deeper than {MOST_BODIES}");
            return Err(Problem::Node { node: text.to_owned(), what });
        }
        let mut facts = vec![];
        for name in names::free(&proto) {
            let Some(value) = self.values.get(name).copied().flatten() else {
                let what = format!("its body reads {name:?}, which is not computed");
                return Err(Problem::Node { node: text.to_owned(), what });
            };
            facts.push((name.to_owned(), self.graph.fact(value).clone()));
            captured.push(Some(value));
        }
        let around = Surroundings { captured: facts, inputs: inputs.to_vec(), body: true };
        let scope = Scope { bodies: self.scope.bodies + 1, ..self.scope };
        Ok(Arc::new(read(proto, around, self.context, scope)?))
    }

    /// Inserts a node and defines its results.
    pub(super) fn insert(&mut self, place: Written, op: Op, operands: &[Option<Value>]) -> Result<Vec<Value>, Problem> {
        let Written { text, label, outputs, said } = place;
        // A result that nobody wants has a name here all the same.
        let base = outputs.iter().find(|name| !name.is_empty()).cloned().unwrap_or_default();
        let mut results: Vec<Name> = vec![];
        for (at, name) in outputs.iter().enumerate() {
            let name =
                if name.is_empty() { fresh(&mut self.names, &format!("{base}.{at}")) } else { self.graph_name(name) };
            results.push(name.into());
        }
        let place = Place { label: label.into(), results: results.into(), order: None };
        let id = self.graph.insert(place, op, operands).map_err(|error| {
            let help = error.help.as_ref().map_or_else(String::new, |help| format!("; {help}"));
            Problem::Node { node: text.clone(), what: format!("{error}{help}") }
        })?;
        self.graph.set_node_notes(id, said);
        let values: Vec<Value> = self.graph.results(id).collect();
        for (name, &value) in outputs.into_iter().zip(&values) {
            if name.is_empty() {
                self.graph.omit(value);
            } else {
                self.define(name, value, Some(&text))?;
            }
        }
        Ok(values)
    }

    /// The name in the graph of a value that the file calls so: in a function that is put in place, one of its own.
    pub(super) fn graph_name(&mut self, name: &str) -> String {
        match (&self.prefix, self.renamed.get(name)) {
            (None, _) => name.to_owned(),
            (Some(_), Some(renamed)) => renamed.clone(),
            (Some(prefix), None) => fresh(&mut self.names, &format!("{prefix}.{name}")),
        }
    }
}

/// A name that no value of the file has.
fn fresh(names: &mut HashSet<String>, base: &str) -> String {
    let mut name = base.to_owned();
    let mut number = 0;
    while !names.insert(name.clone()) {
        number += 1;
        name = format!("{base}.{number}");
    }
    name
}

/// A node as the file writes it.
pub(super) struct Written {
    /// What it is called in errors.
    pub(super) text: String,
    pub(super) label: String,
    pub(super) outputs: Vec<String>,
    pub(super) said: Notes,
}

/// What the bodies of an operator capture, in the order in which it has them.
fn captures(op: &Op, captured: &mut HashMap<Arc<str>, Vec<Option<Value>>>) -> Vec<Option<Value>> {
    let bodies = op.attributes().into_iter().filter(|(_, value)| !value.bodies().is_empty());
    bodies.flat_map(|(name, _)| captured.remove(name).unwrap_or_default()).collect()
}

/// What is known of the inputs of a body by the operands of its node.
fn body_inputs(op_type: &str, version: i64, attributes: &[AttributeProto], operands: &[Option<&Fact>]) -> Vec<Fact> {
    let attribute = |name: &str| attributes.iter().find(|attribute| attribute.name.as_deref() == Some(name));
    let Some(body) = attribute("body").and_then(|body| body.g.as_deref()) else { return vec![] };
    let unknown = || Fact::of(ValueType::Unknown);
    let tensor = |at: usize| operands.get(at).copied().flatten().and_then(Fact::tensor_type);
    let of = |element, shape| Fact::of(TensorType { element, shape });
    let scanned = attribute("num_scan_inputs").and_then(|scanned| usize::try_from(scanned.i?).ok());
    let states = scanned.and_then(|scanned| operands.len().checked_sub(scanned));
    let fact = |at: usize| match (op_type, states) {
        // Runtimes give the iteration and the condition the rank that the body declares: a scalar, or a vector of one.
        ("Loop", _) if at <= 1 => {
            let element = if at == 0 { ElementType::I64 } else { ElementType::Bool };
            let vector = types::rank(body.input[at].r#type.as_ref()) == Some(1);
            Fact::tensor(element, if vector { Shape::from_iter([Dim::Known(1)]) } else { Shape::default() })
        }
        // Shapes may change from one iteration to the next.
        ("Loop", _) => tensor(at).map_or_else(unknown, |tensor| of(tensor.element, None)),
        // Below version 9 the operands are batches.
        ("Scan", Some(states)) if version >= 9 => tensor(at).map_or_else(unknown, |tensor| {
            let axes = attribute("scan_input_axes").map(|axes| &*axes.ints).unwrap_or_default();
            let shape = tensor.shape.as_ref().and_then(|shape| match at.checked_sub(states) {
                None => Some(shape.clone()),
                Some(input) => without(shape, axes.get(input).copied().unwrap_or(0)),
            });
            of(tensor.element, shape)
        }),
        ("SequenceMap", _) => match operands.get(at).copied().flatten().map(|fact| &fact.ty) {
            Some(ValueType::Sequence(element)) => Fact::of((**element).clone()),
            Some(other) => Fact::of(other.clone()),
            None => unknown(),
        },
        _ => unknown(),
    };
    (0..body.input.len()).map(fact).collect()
}

/// A slice of a shape along an axis.
fn without(shape: &Shape, axis: i64) -> Option<Shape> {
    let rank = i64::try_from(shape.len()).ok()?;
    let axis = usize::try_from(if axis < 0 { axis.checked_add(rank)? } else { axis }).ok()?;
    (axis < shape.len()).then(|| shape[..axis].iter().chain(&shape[axis + 1..]).cloned().collect())
}

/// A value that is not what it is declared to be, with the node that computes it, where one does.
fn contradiction(name: &str, node: Option<&str>, declared: &ValueType, known: &ValueType) -> Problem {
    match node {
        Some(node) => {
            let what = format!("its result {name:?} is declared {declared}, but is {known}");
            Problem::Node { node: node.to_owned(), what }
        }
        None => Problem::Value { name: name.to_owned(), what: format!("it is declared {declared}, but is {known}") },
    }
}

/// Whether a `Constant` holds a dense tensor; a sparse one is kept.
fn dense(attributes: &[(Arc<str>, Attribute)]) -> bool {
    !attributes.iter().any(|(_, value)| matches!(value, Attribute::Sparse(_)))
}

/// The tensor of a `Constant` node, in any of its forms.
fn constant(mut attributes: Vec<(Arc<str>, Attribute)>) -> Result<Tensor, String> {
    let (Some((name, value)), true) = (attributes.pop(), attributes.is_empty()) else {
        return Err("a Constant has one attribute, its value".to_owned());
    };
    let tensor = match (&*name, value) {
        ("value", Attribute::Tensor(tensor)) => Ok(tensor),
        ("value_int", Attribute::Int(value)) => Ok(Tensor::index(value)),
        ("value_ints", Attribute::Ints(values)) => Ok(Tensor::indices(&values)),
        ("value_float", Attribute::Float(value)) => Ok(Tensor::scalar(value)),
        ("value_floats", Attribute::Floats(values)) => {
            let bytes: Vec<u8> = values.iter().flat_map(|value| value.to_le_bytes()).collect();
            Tensor::from_bytes(ElementType::F32, &[values.len() as u64], bytes)
        }
        ("value_string", Attribute::Text(text)) => Tensor::from_strings(&[], vec![text]),
        ("value_strings", Attribute::Texts(texts)) => Tensor::from_strings(&[texts.len() as u64], texts),
        (name, value) => return Err(format!("a Constant's {name:?} cannot be {}", value.class())),
    };
    tensor.map_err(|error| error.to_string())
}
