//! The builder: values that remember their graph, and errors that remember the line.

use crate::weights::{Init, Weights};
use netwright_ir::{Assumption, ElementType, Graph, InferError, Op, Place, Shape, Tensor, TensorType, Value, files};
use std::cell::RefCell;
use std::collections::HashMap;
use std::fmt;
use std::panic::Location;
use std::path::Path;

/// Builds one graph.
///
/// Every word infers its type at once. One that is not defined on its operands is remembered with the caller's line,
/// gives a value that any other word accepts, and is reported by [`finish`](Builder::finish) with all the others; so
/// no line of a model needs a `?`.
#[derive(Debug)]
pub struct Builder<'w> {
    weights: &'w Weights,
    element: ElementType,
    state: RefCell<State>,
}

#[derive(Debug)]
struct State {
    graph: Graph,
    scope: String,
    parameters: HashMap<String, Value>,
    tables: HashMap<String, Value>,
    /// In program order.
    named: Vec<(String, Value)>,
    errors: Vec<BuildError>,
}

/// A value of a graph that is being built, or of one that could not be: see [`Builder`].
#[derive(Clone, Copy, Debug)]
pub struct Var<'b> {
    pub(crate) builder: &'b Builder<'b>,
    /// `None` once something that it is computed from failed.
    value: Option<Value>,
}

/// Values are named after the scope that is entered until this is dropped.
#[derive(Debug)]
#[must_use = "the scope ends when this is dropped"]
pub struct Scope<'b> {
    builder: &'b Builder<'b>,
    outer: String,
}

impl Drop for Scope<'_> {
    fn drop(&mut self) {
        self.builder.state.borrow_mut().scope = std::mem::take(&mut self.outer);
    }
}

/// What went wrong at one line of a model.
#[derive(Debug)]
pub struct BuildError {
    /// The line that caused it, where there is one.
    location: Option<&'static Location<'static>>,
    /// The application in question, in the text form.
    applied: Option<String>,
    what: String,
    help: Option<String>,
}

/// All that went wrong while a graph was built.
#[derive(Debug, thiserror::Error)]
#[error("{}", .0.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"))]
pub struct BuildErrors(pub Vec<BuildError>);

impl fmt::Display for BuildError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "error: {}", self.what)?;
        if let Some(location) = self.location {
            let (file, line) = (location.file(), location.line());
            write!(f, "\n  --> {file}:{line}:{}", location.column())?;
            // The source is a courtesy: a program that was moved away from it is told the place alone.
            let source = files::read_text(Path::new(file), 1 << 20).ok();
            if let Some(text) = source.as_deref().and_then(|source| source.lines().nth(line as usize - 1)) {
                write!(f, "\n   | {}", text.trim())?;
            }
        }
        self.applied.iter().try_for_each(|applied| write!(f, "\n   = {applied}"))?;
        self.help.iter().try_for_each(|help| write!(f, "\n   help: {help}"))
    }
}

impl<'w> Builder<'w> {
    /// A builder of a graph of that name, which takes its parameters from `weights`.
    pub fn new(name: &str, weights: &'w Weights) -> Self {
        let state = State {
            graph: Graph::new(name),
            scope: String::new(),
            parameters: HashMap::new(),
            tables: HashMap::new(),
            named: vec![],
            errors: vec![],
        };
        Self { weights, element: ElementType::F32, state: RefCell::new(state) }
    }

    /// Parameters in another float type: weights are converted to it while they are written.
    pub fn with_element(mut self, element: ElementType) -> Self {
        self.element = element;
        self
    }

    /// The type of parameters, and so of what is computed from them.
    pub fn element(&self) -> ElementType {
        self.element
    }

    /// Where parameters come from.
    pub fn weights(&self) -> &Weights {
        self.weights
    }

    /// The graph.
    ///
    /// # Errors
    /// All that went wrong, each with its line; and a graph without outputs.
    pub fn finish(self) -> Result<Graph, BuildErrors> {
        let mut state = self.state.into_inner();
        if state.errors.is_empty() && state.graph.outputs().is_empty() {
            state.errors.push(BuildError {
                location: None,
                applied: None,
                what: format!("the graph {} has no output", state.graph.name()),
                help: Some("make what it computes an output: builder.output(\"y\", y)".to_owned()),
            });
        }
        let State { mut graph, errors, .. } = state;
        if !errors.is_empty() {
            return Err(BuildErrors(errors));
        }
        graph.sweep();
        Ok(graph)
    }
}

impl<'b> Builder<'b> {
    /// Declares an input of the graph. Each input has a name of its own.
    #[track_caller]
    pub fn input(&'b self, name: &str, ty: TensorType) -> Var<'b> {
        let mut state = self.state.borrow_mut();
        let is_taken = state.graph.inputs().any(|input| **state.graph.value_name(input) == *name);
        if is_taken {
            let help =
                format!("give each input its own name, or use the value that the first `input({name:?}, …)` gave");
            state.fail(Some(Location::caller()), format!("there is already an input {name}"), Some(help));
            return self.poisoned();
        }
        self.var(state.graph.input(name, ty))
    }

    /// Makes a value an output of the graph. Each output has a name of its own.
    #[track_caller]
    pub fn output(&'b self, name: &str, value: Var<'b>) {
        if self.is_foreign(&format!("output {name}"), &[value]) {
            return;
        }
        let Some(value) = value.value else { return };
        let mut state = self.state.borrow_mut();
        let is_taken = state.graph.outputs().iter().any(|output| *output.name == *name);
        let input = state.graph.inputs().find(|input| **state.graph.value_name(*input) == *name);
        let what = if is_taken {
            format!("there is already an output {name}")
        } else if input.is_some() {
            format!("{name} is the name of an input, so it cannot be that of an output")
        } else {
            state.graph.output(name, value);
            return;
        };
        state.fail(Some(Location::caller()), what, Some("give each input and output its own name".to_owned()));
    }

    /// Whether a value is of another builder, which is an error at the caller's line.
    #[track_caller]
    fn is_foreign(&self, word: &str, values: &[Var<'_>]) -> bool {
        let Some(foreign) = values.iter().find(|value| !std::ptr::eq(value.builder, self)) else { return false };
        let described = foreign.value.map(|value| {
            let state = foreign.builder.state.borrow();
            format!("{} : {}", state.graph.operand_text(value), state.graph.fact(value))
        });
        let other = foreign.builder.state.borrow().graph.name().to_owned();
        let mut state = self.state.borrow_mut();
        let what = format!("{word}: a value of the builder {other} is used in the builder {}", state.graph.name());
        state.errors.push(BuildError {
            location: Some(Location::caller()),
            applied: described,
            what,
            help: Some("declare one graph with one builder; what another graph computes is an input here".to_owned()),
        });
        true
    }

    /// The value that was [named](Var::name) so, in full with its scope.
    pub fn named(&'b self, name: &str) -> Option<Var<'b>> {
        let state = self.state.borrow();
        state.named.iter().find(|(given, _)| given == name).map(|(_, value)| self.var(*value))
    }

    /// Makes the attention weights of every layer outputs, in program order, named as their values.
    pub fn output_attention_weights(&self) {
        let mut state = self.state.borrow_mut();
        for (name, value) in state.named.clone() {
            if name.ends_with("attention_weights") {
                state.graph.output(name, value);
            }
        }
    }

    /// The trained tensor of that name; the same one wherever it is asked for.
    #[track_caller]
    pub fn parameter(&'b self, name: &str, dims: &[u64], init: Init) -> Var<'b> {
        let mut state = self.state.borrow_mut();
        let location = Location::caller();
        if let Some(&value) = state.parameters.get(name) {
            let found = state.graph.tensor(value).map(|tensor| tensor.dims().to_vec()).unwrap_or_default();
            if found == dims {
                return self.var(value);
            }
            let what = format!("the parameter {name} is used with the shape {found:?} and with {dims:?}");
            state.fail(Some(location), what, Some("give one of the two layers another name".to_owned()));
            return self.poisoned();
        }
        match self.weights.tensor(name, dims, init, self.element) {
            Ok(tensor) => {
                let value = state.graph.parameter(name, tensor);
                state.parameters.insert(name.to_owned(), value);
                self.var(value)
            }
            Err(error) => {
                let what = self.weights.with_nearest(error, |name| state.parameters.contains_key(name)).to_string();
                state.fail(Some(location), what, None);
                self.poisoned()
            }
        }
    }

    /// A computed tensor.
    pub fn constant(&'b self, name: &str, tensor: Tensor) -> Var<'b> {
        let mut state = self.state.borrow_mut();
        let name = state.scoped(name);
        self.var(state.graph.constant(&name, tensor))
    }

    /// A computed tensor that several layers share by name.
    #[track_caller]
    pub fn table(&'b self, name: &str, make: impl FnOnce() -> Result<Tensor, netwright_ir::TensorError>) -> Var<'b> {
        let location = Location::caller();
        let mut state = self.state.borrow_mut();
        if let Some(&value) = state.tables.get(name) {
            return self.var(value);
        }
        match make() {
            Ok(tensor) => {
                let value = state.graph.constant(name, tensor);
                state.tables.insert(name.to_owned(), value);
                self.var(value)
            }
            Err(error) => {
                state.fail(Some(location), format!("the table {name} cannot be made: {error}"), None);
                self.poisoned()
            }
        }
    }

    /// Names the values that follow after a scope, until the result is dropped.
    pub fn enter(&'b self, scope: &str) -> Scope<'b> {
        let outer = std::mem::replace(&mut self.state.borrow_mut().scope, scope.to_owned());
        Scope { builder: self, outer }
    }

    /// Applies an operator of one result.
    #[track_caller]
    pub fn apply(&'b self, op: Op, operands: &[Var<'b>]) -> Var<'b> {
        let [result] = self.apply_several(op, operands);
        result
    }

    /// Applies an operator of several results.
    #[track_caller]
    pub fn apply_several<const N: usize>(&'b self, op: Op, operands: &[Var<'b>]) -> [Var<'b>; N] {
        if self.is_foreign(op.word(), operands) {
            return [self.poisoned(); N];
        }
        let Some(values) = operands.iter().map(|operand| operand.value.map(Some)).collect::<Option<Vec<_>>>() else {
            return [self.poisoned(); N];
        };
        let mut state = self.state.borrow_mut();
        let inferred = state.graph.infer(&op, &values, N).and_then(|inferred| {
            let undecided = inferred.assumed.first().map(|assumption| undecided_error(&op, assumption));
            undecided.map_or(Ok(inferred), Err)
        });
        let word = op.word();
        let name = state.scoped(word);
        let place = Place { results: (0..N).map(|_| name.as_str().into()).collect(), ..Place::end(&name) };
        match inferred {
            Ok(inferred) => {
                let node = state.graph.insert_inferred(place, op, &values, inferred);
                std::array::from_fn(|at| self.var(Value { node, result: u32::try_from(at).unwrap_or(u32::MAX) }))
            }
            Err(InferError { word, what, help }) => {
                let operands: Vec<_> = values
                    .into_iter()
                    .flatten()
                    .map(|value| format!("{} : {}", state.graph.operand_text(value), state.graph.fact(value)))
                    .collect();
                let applied = format!("{word} {}", operands.join(", "));
                let what = format!("{word}: {what}");
                state.errors.push(BuildError {
                    location: Some(Location::caller()),
                    applied: Some(applied),
                    what,
                    help,
                });
                [self.poisoned(); N]
            }
        }
    }

    /// Reports something that is wrong at the caller's line.
    #[track_caller]
    pub fn error(&'b self, what: impl Into<String>, help: Option<String>) -> Var<'b> {
        let error = BuildError { location: Some(Location::caller()), applied: None, what: what.into(), help };
        self.state.borrow_mut().errors.push(error);
        self.poisoned()
    }

    fn var(&'b self, value: Value) -> Var<'b> {
        Var { builder: self, value: Some(value) }
    }

    fn poisoned(&'b self) -> Var<'b> {
        Var { builder: self, value: None }
    }
}

impl State {
    fn fail(&mut self, location: Option<&'static Location<'static>>, what: String, help: Option<String>) {
        self.errors.push(BuildError { location, applied: None, what, help });
    }

    fn scoped(&self, name: &str) -> String {
        if self.scope.is_empty() { name.to_owned() } else { format!("{}.{name}", self.scope) }
    }
}

/// A model that is declared must say which dims are equal; only one that is imported may leave it to the run.
fn undecided_error(op: &Op, Assumption { left, right, what }: &Assumption) -> InferError {
    let what = format!("{what} may differ: nothing shows that {left} and {right} are equal");
    let help = if matches!(op, Op::MatMul) && (left.known().is_some() || right.known().is_some()) {
        "transpose one operand on its last two axes, or give both axes the same size"
    } else {
        "give both axes the same symbol"
    };
    InferError { word: op.word(), what, help: Some(help.to_owned()) }
}

impl<'b> Var<'b> {
    /// The builder of its graph.
    pub fn builder(self) -> &'b Builder<'b> {
        self.builder
    }

    /// Its shape; `None` for a value that could not be built.
    pub fn shape(self) -> Option<Shape> {
        self.value.and_then(|value| self.builder.state.borrow().graph.fact(value).shape().cloned())
    }

    /// Its type; `None` for a value that could not be built.
    pub fn ty(self) -> Option<TensorType> {
        self.value.and_then(|value| self.builder.state.borrow().graph.fact(value).tensor_type().cloned())
    }

    /// Gives the value a name, within the current scope.
    pub fn name(self, name: &str) -> Var<'b> {
        if let Some(value) = self.value {
            let mut state = self.builder.state.borrow_mut();
            let name = state.scoped(name);
            state.graph.rename(value, &name);
            let given = state.graph.value_name(value).to_string();
            state.named.push((given, value));
        }
        self
    }
}
