//! Replaces calls of the model's functions by the bodies of the functions, which tract does not support.

use crate::file::{self, domain};
use std::collections::BTreeMap;
use std::fmt;
use tract_onnx::pb::{AttributeProto, FunctionProto, GraphProto, ModelProto, NodeProto, TensorProto};

/// The number of nodes that all calls may become, the memory that these nodes may take, in bytes, and how deep calls may
/// nest; other calls stay, and the gate reports them.
const MAX_NODES: usize = 1 << 20;
const MAX_BYTES: usize = 256 << 20;
const MAX_DEPTH: usize = 32;

/// Replaces the calls of functions that have the opset of the model.
pub(crate) fn inline(graph: &mut GraphProto, model: &ModelProto) {
    inline_within(graph, model, MAX_BYTES);
}

fn inline_within(graph: &mut GraphProto, model: &ModelProto, bytes: usize) {
    let own = |of: &str| model.opset_import.iter().find(|import| domain(&import.domain) == domain(of));
    let fits = |function: &FunctionProto| {
        function.opset_import.iter().all(|import| own(&import.domain).is_none_or(|own| own.version == import.version))
    };
    let mut functions = BTreeMap::new();
    for function in &model.functions {
        let key = (domain(function.domain()).to_owned(), function.name().to_owned());
        // Overloads, which tract does not read, have the same name.
        let only = !functions.contains_key(&key) && fits(function);
        let cost = || {
            let mut cost = Cost { bytes: size(&function.node), ..Cost::default() };
            cost.count(&function.node);
            (function, cost)
        };
        functions.insert(key, only.then(cost));
    }
    let mut inliner = Inliner { functions, calls: 0, left: MAX_NODES, bytes };
    if !inliner.functions.is_empty() {
        inliner.graph(graph, 0);
    }
}

struct Inliner<'m> {
    /// The functions by domain and name; `None` for those that cannot be inlined.
    functions: BTreeMap<(String, String), Option<(&'m FunctionProto, Cost)>>,
    /// The number of calls that were replaced, for new names.
    calls: usize,
    /// The numbers of nodes and bytes that other calls may become.
    left: usize,
    bytes: usize,
}

/// What decides how much memory the body of a function takes in place of a call.
#[derive(Clone, Copy, Default)]
struct Cost {
    /// The size of the body, in bytes.
    bytes: usize,
    /// The number of attributes that refer to one of the call.
    attributes: usize,
    /// The number of operands and results, which may have a name of the call.
    names: usize,
}

impl Cost {
    /// Counts the attributes and names of nodes and of their bodies.
    fn count(&mut self, nodes: &[NodeProto]) {
        for node in nodes {
            self.names += node.input.len() + node.output.len();
            for attribute in &node.attribute {
                self.attributes += usize::from(!attribute.ref_attr_name.is_empty());
                attribute.g.iter().chain(&attribute.graphs).for_each(|body| self.count(&body.node));
            }
        }
    }

    /// Returns the most bytes that the body takes in place of a call; `None` if they overflow.
    fn of(self, call: &NodeProto) -> Option<usize> {
        let given: usize = call.attribute.iter().map(attribute_size).sum();
        let name = call.input.iter().chain(&call.output).map(String::len).max().unwrap_or(0);
        let copied = given.checked_mul(self.attributes)?.checked_add(name.checked_mul(self.names)?)?;
        copied.checked_add(self.bytes)
    }
}

impl Inliner<'_> {
    fn graph(&mut self, graph: &mut GraphProto, depth: usize) {
        for mut node in std::mem::take(&mut graph.node) {
            for attribute in &mut node.attribute {
                attribute.g.iter_mut().chain(&mut attribute.graphs).for_each(|body| self.graph(body, depth));
            }
            match self.body(&node, depth) {
                Some(mut body) => {
                    self.graph(&mut body, depth + 1);
                    graph.node.extend(body.node);
                }
                None => graph.node.push(node),
            }
        }
    }

    /// Returns the nodes that a call stands for; `None` if the node is not a call, or the limits are reached.
    fn body(&mut self, call: &NodeProto, depth: usize) -> Option<GraphProto> {
        let (function, cost) = (*self.functions.get(&(domain(&call.domain).to_owned(), call.op_type.clone()))?)?;
        if call.output.len() > function.output.len() || needs_default(&function.node, call, function) {
            return None;
        }
        self.bytes = self.bytes.checked_sub(cost.of(call)?)?;
        self.left = self.left.checked_sub(function.node.len() + function.output.len()).filter(|_| depth < MAX_DEPTH)?;
        self.calls += 1;
        let mut names = Names { prefix: format!("call {}", self.calls), known: BTreeMap::new() };
        for (at, input) in function.input.iter().enumerate() {
            names.known.insert(input.clone(), call.input.get(at).cloned().unwrap_or_default());
        }
        let mut body = GraphProto::default();
        for (output, result) in function.output.iter().zip(&call.output).filter(|(_, result)| !result.is_empty()) {
            match names.known.get(output) {
                // An input that is an output, or an output that is listed twice.
                Some(value) => body.node.push(identity(value, result)),
                None => _ = names.known.insert(output.clone(), result.clone()),
            }
        }
        let copies = body.node.split_off(0);
        body.node.clone_from(&function.node);
        substitute(&mut body, call);
        names.rename(&mut body);
        body.node.extend(copies);
        Some(body)
    }
}

pub(super) fn identity(value: &str, result: &str) -> NodeProto {
    NodeProto {
        name: result.to_owned(),
        op_type: "Identity".to_owned(),
        input: vec![value.to_owned()],
        output: vec![result.to_owned()],
        ..NodeProto::default()
    }
}

/// Returns whether an attribute of the function that the call does not give has a default, which tract does not read.
fn needs_default(nodes: &[NodeProto], call: &NodeProto, function: &FunctionProto) -> bool {
    nodes.iter().flat_map(|node| &node.attribute).any(|attribute| {
        let name = attribute.ref_attr_name.as_str();
        let is_known = || file::attribute(call, name).is_some() || function.attribute.iter().any(|own| own == name);
        let bodies = || attribute.g.iter().chain(&attribute.graphs);
        (!name.is_empty() && !is_known()) || bodies().any(|body| needs_default(&body.node, call, function))
    })
}

/// Returns about how much memory nodes take, in bytes.
fn size(nodes: &[NodeProto]) -> usize {
    let of = |node: &NodeProto| {
        let NodeProto { input, output, name, op_type, domain, doc_string, attribute, .. } = node;
        let texts = [name, op_type, domain, doc_string].into_iter().chain(input).chain(output);
        let texts: usize = texts.map(|text| size_of_val(text) + text.len()).sum();
        size_of_val(node) + texts + attribute.iter().map(attribute_size).sum::<usize>()
    };
    nodes.iter().map(of).sum()
}

fn attribute_size(attribute: &AttributeProto) -> usize {
    let AttributeProto { t, tensors, g, graphs, floats, ints, s, strings, type_protos, .. } = attribute;
    let rest = size_of_val(attribute) + size_of_val(&**floats) + size_of_val(&**ints) + s.len();
    let tensors: usize = t.iter().chain(tensors).map(tensor_size).sum();
    let body = |body: &GraphProto| {
        let tensors: usize = body.initializer.iter().map(tensor_size).sum();
        let GraphProto { input, output, value_info, sparse_initializer, quantization_annotation, .. } = body;
        size(&body.node) + tensors + printed(&(input, output, value_info, sparse_initializer, quantization_annotation))
    };
    rest + tensors + g.iter().chain(graphs).map(body).sum::<usize>() + bytes_of(strings) + printed(type_protos)
}

fn tensor_size(tensor: &TensorProto) -> usize {
    let TensorProto { raw_data, float_data, double_data, int32_data, int64_data, uint64_data, string_data, .. } =
        tensor;
    let typed = size_of_val(&**float_data) + size_of_val(&**double_data) + size_of_val(&**int32_data);
    let typed = typed + size_of_val(&**int64_data) + size_of_val(&**uint64_data) + bytes_of(string_data);
    let names = tensor.name.len() + tensor.doc_string.len() + printed(&tensor.external_data);
    size_of_val(tensor) + size_of_val(&*tensor.dims) + raw_data.len() + typed + names
}

fn bytes_of(strings: &[Vec<u8>]) -> usize {
    strings.iter().map(|string| size_of_val(string) + string.len()).sum()
}

/// Returns the length of what is printed, which is not shorter than what is held in memory.
fn printed(what: &impl fmt::Debug) -> usize {
    struct Length(usize);
    impl fmt::Write for Length {
        fn write_str(&mut self, text: &str) -> fmt::Result {
            self.0 += text.len();
            Ok(())
        }
    }
    let mut length = Length(0);
    fmt::Write::write_fmt(&mut length, format_args!("{what:?}")).map_or(usize::MAX, |()| length.0)
}

/// Replaces attributes that refer to an attribute of the call, or removes them if the call does not have it.
fn substitute(body: &mut GraphProto, call: &NodeProto) {
    for node in &mut body.node {
        for mut attribute in std::mem::take(&mut node.attribute) {
            attribute.g.iter_mut().chain(&mut attribute.graphs).for_each(|body| substitute(body, call));
            match attribute.ref_attr_name.as_str() {
                "" => node.attribute.push(attribute),
                name => {
                    let named =
                        |given: &AttributeProto| AttributeProto { name: attribute.name.clone(), ..given.clone() };
                    node.attribute.extend(file::attribute(call, name).map(named));
                }
            }
        }
    }
}

/// The names of a body, where it takes the place of a node; those that are not known get a prefix.
pub(super) struct Names {
    pub(super) prefix: String,
    pub(super) known: BTreeMap<String, String>,
}

impl Names {
    fn get(&mut self, name: &str) -> String {
        if name.is_empty() {
            return String::new();
        }
        let new = || format!("{} {name}", self.prefix);
        self.known.entry(name.to_owned()).or_insert_with(new).clone()
    }

    pub(super) fn rename(&mut self, body: &mut GraphProto) {
        for value in body.input.iter_mut().chain(&mut body.output).chain(&mut body.value_info) {
            value.name = self.get(&value.name);
        }
        for tensor in &mut body.initializer {
            tensor.name = self.get(&tensor.name);
        }
        for node in &mut body.node {
            node.name = format!("{} {}", self.prefix, node.name);
            for name in node.input.iter_mut().chain(&mut node.output) {
                *name = self.get(name);
            }
            for attribute in &mut node.attribute {
                attribute.g.iter_mut().chain(&mut attribute.graphs).for_each(|body| self.rename(body));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tract_onnx::pb::OperatorSetIdProto;

    fn node(text: &str) -> NodeProto {
        let (result, call) = text.split_once(" = ").expect("a result");
        let (operator, operands) = call.trim_end_matches(')').split_once('(').expect("operands");
        let (domain, op_type) = operator.split_once("::").unwrap_or(("", operator));
        let names = |text: &str| text.split(", ").map(ToOwned::to_owned).collect();
        NodeProto {
            domain: domain.to_owned(),
            op_type: op_type.to_owned(),
            input: names(operands),
            output: names(result),
            ..NodeProto::default()
        }
    }

    fn function(name: &str, input: &str, output: &str, nodes: &[&str]) -> FunctionProto {
        FunctionProto {
            domain: Some("f".to_owned()),
            name: Some(name.to_owned()),
            input: input.split(", ").map(ToOwned::to_owned).collect(),
            output: output.split(", ").map(ToOwned::to_owned).collect(),
            node: nodes.iter().map(|text| node(text)).collect(),
            opset_import: vec![OperatorSetIdProto { domain: String::new(), version: 20 }],
            ..FunctionProto::default()
        }
    }

    fn inlined(version: i64, functions: Vec<FunctionProto>, calls: &[&str]) -> Vec<String> {
        let opset_import = vec![OperatorSetIdProto { domain: String::new(), version }];
        let model = ModelProto { opset_import, functions, ..ModelProto::default() };
        let mut graph = GraphProto { node: calls.iter().map(|text| node(text)).collect(), ..GraphProto::default() };
        inline(&mut graph, &model);
        let text =
            |node: &NodeProto| format!("{} = {}({})", node.output.join(", "), node.op_type, node.input.join(", "));
        graph.node.iter().map(text).collect()
    }

    #[test]
    fn calls_become_the_bodies_of_functions() {
        let functions = || {
            vec![
                function("Twice", "a", "c", &["b = Add(a, a)", "c = f::Once(b)"]),
                function("Once", "a", "a, r", &["r = Relu(a)"]),
                function("Loop", "a", "b", &["b = f::Loop(a)"]),
            ]
        };
        assert_eq!(
            inlined(20, functions(), &["y = f::Twice(x)", "z = Neg(y)"]),
            ["call 1 b = Add(x, x)", "call 2 r = Relu(call 1 b)", "y = Identity(call 1 b)", "z = Neg(y)"]
        );
        assert_eq!(inlined(21, functions(), &["y = f::Twice(x)"]), ["y = Twice(x)"], "another opset");
        assert_eq!(inlined(20, functions(), &["y = f::Loop(x)"]), ["y = Loop(x)"], "a function that calls itself");
    }

    #[test]
    fn attributes_are_those_of_the_call() {
        let attribute = |name: &str, from: Option<&str>, i| AttributeProto {
            name: name.to_owned(),
            ref_attr_name: from.unwrap_or_default().to_owned(),
            i,
            ..AttributeProto::default()
        };
        let mut of = function("Soft", "a", "b", &["b = Softmax(a)"]);
        of.node[0].attribute = vec![attribute("axis", Some("along"), 0), attribute("other", Some("missing"), 0)];
        let mut call = node("y = f::Soft(x)");
        call.attribute = vec![attribute("along", None, 3)];
        of.attribute = vec!["along".to_owned(), "missing".to_owned()];
        let mut with_default = of.clone();
        with_default.name = Some("Default".to_owned());
        with_default.attribute.pop();
        assert_eq!(inlined(20, vec![with_default], &["y = f::Default(x)"]), ["y = Default(x)"]);
        assert_eq!(inlined(20, vec![of.clone(), of.clone()], &["y = f::Soft(x)"]), ["y = Soft(x)"], "overloads");
        let model = ModelProto { functions: vec![of], ..ModelProto::default() };
        let mut graph = GraphProto { node: vec![call], ..GraphProto::default() };
        inline(&mut graph, &model);
        assert_eq!(graph.node[0].attribute, [attribute("axis", None, 3)]);
    }

    #[test]
    fn calls_stay_that_would_take_too_much_memory() {
        let of = function("Once", "a", "b", &["b = Relu(a)"]);
        let calls = ["y = f::Once(x)", "z = f::Once(y)", "u = f::Once(z)"];
        for inlined in 0..=3 {
            // A node, and two names of the call, which have one letter.
            let bytes = inlined * (size(&of.node) + 2);
            let model = ModelProto { functions: vec![of.clone()], ..ModelProto::default() };
            let mut graph = GraphProto { node: calls.iter().map(|text| node(text)).collect(), ..GraphProto::default() };
            inline_within(&mut graph, &model, bytes);
            let left = graph.node.iter().filter(|node| node.op_type == "Once").count();
            assert_eq!(left, calls.len() - inlined);
        }
    }
}
