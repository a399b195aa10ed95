//! The parameters of a model by module.

use crate::ir::{Graph, Value};
use crate::parameters::Trained;
use std::collections::BTreeMap;
use std::fmt;

/// The maximum number of modules within one another; deeper ones count as part of the last.
const MAX_DEPTH: usize = 16;

/// A part of the name of a module. Numbers are in the order of numbers, before words.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Part {
    /// The number of a layer.
    Number(u64),
    /// A word, such as `encoder`.
    Word(String),
}

impl Part {
    /// Reads a part.
    pub fn new(text: &str) -> Self {
        text.parse().map_or_else(|_| Part::Word(text.to_owned()), Part::Number)
    }
}

impl fmt::Display for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Part::Number(number) => number.fmt(f),
            Part::Word(word) => word.fmt(f),
        }
    }
}

/// A module, and those within it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Module {
    /// The number of parameters, those of inner modules included.
    pub parameters: u64,
    /// The number of bytes of the parameters.
    pub bytes: u64,
    /// The modules within this one.
    pub children: BTreeMap<Part, Module>,
}

/// Modules that a model repeats: its layers.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Stack {
    /// The name of the module that holds them, such as `encoder.layer`.
    pub path: String,
    /// How many there are.
    pub count: usize,
    /// The number of parameters of each; `None` if they differ.
    pub parameters: Option<u64>,
    /// The names of the modules within the first.
    pub parts: Vec<String>,
}

impl Module {
    /// Returns the modules of a graph, by the names of its parameters. A parameter that an exporter named by a number is
    /// part of the module of the first node that reads it.
    pub fn new(graph: &Graph) -> Self {
        let mut root = Self::default();
        for id in graph.schedule() {
            let Some(trained) = Trained::new(graph, id) else { continue };
            for value in graph.results(id) {
                root.add(&path(graph, value), trained.parameters, trained.bytes);
            }
        }
        root
    }

    fn add(&mut self, path: &[Part], parameters: u64, bytes: u64) {
        let mut module = self;
        module.count(parameters, bytes);
        for part in path {
            module = module.children.entry(part.clone()).or_default();
            module.count(parameters, bytes);
        }
    }

    fn count(&mut self, parameters: u64, bytes: u64) {
        self.parameters = self.parameters.saturating_add(parameters);
        self.bytes = self.bytes.saturating_add(bytes);
    }

    /// Returns the layers: modules of which the children have numbers, without those within other layers.
    pub(super) fn stacks(&self) -> Vec<Stack> {
        let mut found = vec![];
        self.find_stacks("", &mut found);
        found
    }

    /// Recurses at most [`MAX_DEPTH`] times.
    fn find_stacks(&self, path: &str, found: &mut Vec<Stack>) {
        let layers: Vec<&Module> = self
            .children
            .iter()
            .filter(|(part, _)| matches!(part, Part::Number(_)))
            .map(|(_, module)| module)
            .collect();
        if let [first, _, ..] = layers.as_slice() {
            let same = layers.iter().all(|layer| layer.parameters == first.parameters);
            found.push(Stack {
                path: path.to_owned(),
                count: layers.len(),
                parameters: same.then_some(first.parameters),
                parts: first.children.keys().map(ToString::to_string).collect(),
            });
        }
        for (part, module) in &self.children {
            if layers.len() < 2 || matches!(part, Part::Word(_)) {
                let inner = if path.is_empty() { part.to_string() } else { format!("{path}.{part}") };
                module.find_stacks(&inner, found);
            }
        }
    }
}

/// Returns the module of a parameter.
fn path(graph: &Graph, value: Value) -> Vec<Part> {
    let own = graph.value_name(value);
    let is_numbered = own.starts_with("onnx::") || !own.contains(['.', '/']);
    let user = || graph.users(value).into_iter().map(|(user, _)| user).min_by_key(|user| graph.node(*user).order());
    let by_user = is_numbered.then(user).flatten().map(|user| {
        let label = graph.node(user).label().to_owned();
        let result = graph.results(user).next().map(|value| graph.value_name(value).to_string());
        if label.is_empty() { result.unwrap_or_default() } else { label }
    });
    let name = by_user.as_deref().filter(|name| name.contains('/')).unwrap_or(own);
    let mut parts: Vec<Part> = name.split(['.', '/']).filter(|part| !part.is_empty()).map(Part::new).collect();
    // The last part names the parameter, or the operator.
    parts.pop();
    parts.truncate(MAX_DEPTH);
    parts
}

#[cfg(test)]
mod tests {
    use super::{Module, Part};
    use crate::ir::parse;

    #[test]
    fn parameters_of_numbered_names_belong_to_their_readers() {
        let graph = parse(
            "g(%x: f32[n, 4]) {
               %\"onnx::MatMul_12\" = parameter fill(0.5) : f32[4, 4]
               %layer.10.bias = parameter fill(0.5) : f32[4]
               %layer.9.bias = parameter fill(0.5) : f32[4]
               %a = matmul @\"/layer.9/dense/MatMul\" %x, %\"onnx::MatMul_12\" : f32[n, 4]
               %b = add %a, %layer.9.bias : f32[n, 4]
               %y = add %b, %layer.10.bias : f32[n, 4]
               return %y
             }",
        )
        .expect("it is well-formed");
        let root = Module::new(&graph);
        let layers = &root.children[&Part::Word("layer".to_owned())].children;
        let counts: Vec<_> = layers.iter().map(|(part, module)| (part.to_string(), module.parameters)).collect();
        assert_eq!(counts, [("9".to_owned(), 20), ("10".to_owned(), 4)]);
        let [stack] = root.stacks().try_into().expect("one stack");
        assert_eq!(
            (&*stack.path, stack.count, stack.parameters, &*stack.parts),
            ("layer", 2, None, &["dense".to_owned()][..])
        );
    }
}
