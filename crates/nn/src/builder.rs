//! The graph builder, its values, and errors that refer to the source line.

use crate::signed;
use crate::weights::{Init, WeightError, Weights};
use netwright_ir::files::{self, Code};
use netwright_ir::{Assumption, ElementType, Graph, InferError, Op, Place, Shape, Tensor, TensorType, Value};
use std::cell::RefCell;
use std::collections::HashMap;
use std::fmt;
use std::panic::Location;
use std::path::Path;

/// Builds one graph.
///
/// The type of every operator is inferred immediately. An operator that is not defined on its operands is recorded with
/// the caller's line and returns a value that every other operator accepts; [`finish`](Builder::finish) reports all
/// such errors. So no line of a model needs a `?`.
#[derive(Debug)]
pub struct Builder<'w> {
    weights: &'w Weights,
    element: ElementType,
    dequantize: bool,
    state: RefCell<State>,
}

#[derive(Debug)]
struct State {
    graph: Graph,
    scope: String,
    /// Each with its shape, and the axis of its blocks.
    parameters: HashMap<String, (Value, Vec<u64>, Axis)>,
    tables: HashMap<String, Value>,
    /// Named values, in program order.
    named: Vec<(String, Value)>,
    /// The attention weights among them: layers that share their parameters have one name, and values do not.
    attention_weights: Vec<(String, Value)>,
    errors: Vec<BuildError>,
}

/// A value of a graph that is being built, or the result of an error: see [`Builder`].
#[derive(Clone, Copy, Debug)]
pub struct Var<'b> {
    pub(crate) builder: &'b Builder<'b>,
    /// `None` if the value, or a value that it is computed from, failed.
    value: Option<Value>,
}

/// A guard of a scope of names, which ends when the guard is dropped.
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

/// An error at one line of a model.
#[derive(Debug)]
pub struct BuildError {
    /// The line that caused it, if known.
    location: Option<&'static Location<'static>>,
    /// The operator and its operands, in the text form.
    applied: Option<String>,
    what: String,
    help: Option<String>,
}

/// All errors of building a graph.
#[derive(Debug, thiserror::Error)]
#[error("{}", .0.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"))]
pub struct BuildErrors(pub Vec<BuildError>);

impl BuildErrors {
    /// Returns the code of this kind of error.
    pub fn code(&self) -> Code {
        Code::Declaration
    }
}

impl fmt::Display for BuildError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "error: {}", self.what)?;
        if let Some(location) = self.location {
            let (file, line) = (location.file(), location.line());
            write!(f, "\n  --> {file}:{line}:{}", location.column())?;
            // The source line is optional: it is left out if the source file is not available.
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
    /// Creates a builder of a graph with that name and with parameters from `weights`.
    pub fn new(name: &str, weights: &'w Weights) -> Self {
        let state = State {
            graph: Graph::new(name),
            scope: String::new(),
            parameters: HashMap::new(),
            tables: HashMap::new(),
            named: vec![],
            attention_weights: vec![],
            errors: vec![],
        };
        Self { weights, element: ElementType::F32, dequantize: false, state: RefCell::new(state) }
    }

    /// Sets the float type of parameters: weights are converted to it while they are written.
    pub fn with_element(mut self, element: ElementType) -> Self {
        self.element = element;
        self
    }

    /// Sets whether parameters that are stored quantized become floats while they are written.
    pub fn with_dequantize(mut self, dequantize: bool) -> Self {
        self.dequantize = dequantize;
        self
    }

    /// Returns the type of parameters, and so of the computation.
    pub fn element(&self) -> ElementType {
        self.element
    }

    /// Returns the source of parameters.
    pub fn weights(&self) -> &Weights {
        self.weights
    }

    /// Returns the graph, as [`finish`](Self::finish) does, if it uses every trained weight.
    ///
    /// # Errors
    /// As for `finish`, and for every weight that no layer declares.
    pub fn finish_with_all_weights(self) -> Result<Graph, BuildErrors> {
        if let Weights::Trained(tensors) = self.weights {
            let mut state = self.state.borrow_mut();
            let unused = tensors.iter().filter(|(name, _)| !state.parameters.contains_key(*name));
            let unused: Vec<String> = unused
                .map(|(name, tensor)| WeightError::Unused { name: name.clone(), found: tensor.ty().to_string() })
                .map(|error| error.to_string())
                .collect();
            for what in unused {
                let help = "declare the layer that uses it, or allow unused weights: builder.finish()";
                state.fail(None, what, Some(help.to_owned()));
            }
        }
        self.finish()
    }

    /// Returns the graph; trained weights that no layer declares are ignored.
    ///
    /// # Errors
    /// All errors of the declaration, each with its line; and a graph without outputs.
    pub fn finish(self) -> Result<Graph, BuildErrors> {
        let mut state = self.state.into_inner();
        if state.errors.is_empty() && state.graph.outputs().is_empty() {
            state.errors.push(BuildError {
                location: None,
                applied: None,
                what: format!("the graph {} has no output", state.graph.name()),
                help: Some("declare an output: builder.output(\"y\", y)".to_owned()),
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
    /// Declares an input of the graph. Names of inputs must be unique.
    #[track_caller]
    pub fn input(&'b self, name: &str, ty: TensorType) -> Var<'b> {
        let mut state = self.state.borrow_mut();
        let is_taken = state.graph.inputs().any(|input| **state.graph.value_name(input) == *name);
        if is_taken {
            let help =
                format!("give each input its own name, or use the value that the first `input({name:?}, …)` returned");
            state.fail(Some(Location::caller()), format!("there is already an input {name}"), Some(help));
            return self.poisoned();
        }
        self.var(state.graph.input(name, ty))
    }

    /// Declares an output of the graph. Names of outputs must be unique.
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
            format!("{name} is the name of an input and cannot also be the name of an output")
        } else {
            state.graph.output(name, value);
            return;
        };
        state.fail(Some(Location::caller()), what, Some("give each input and output its own name".to_owned()));
    }

    /// Returns whether a value belongs to another builder, and records that as an error at the caller's line.
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
            help: Some("use one builder per graph, and declare values of other graphs as inputs".to_owned()),
        });
        true
    }

    /// Returns the value with a [name](Var::name), including its scope.
    pub fn named(&'b self, name: &str) -> Option<Var<'b>> {
        let state = self.state.borrow();
        state.named.iter().find(|(given, _)| given == name).map(|(_, value)| self.var(*value))
    }

    /// Declares the attention weights of every layer, which are values named `attention_weights`, as outputs, in program
    /// order, with the names of the values.
    pub fn output_attention_weights(&self) {
        let mut state = self.state.borrow_mut();
        for (name, value) in std::mem::take(&mut state.attention_weights) {
            state.graph.output(name, value);
        }
    }

    /// Returns the parameter with a name; every call with that name returns the same value.
    ///
    /// A parameter that is stored quantized is dequantized by an operator.
    #[track_caller]
    pub fn parameter(&'b self, name: &str, dims: &[u64], init: Init) -> Var<'b> {
        self.bind(name, dims, init, Axis::Last)
    }

    /// Returns the weight `[inputs, outputs]` of a linear layer, which is stored in that layout or as `[outputs,
    /// inputs]`; a quantized weight is always stored as `[outputs, inputs]`.
    #[track_caller]
    pub(crate) fn linear_weight(&'b self, name: &str, [inputs, outputs]: [u64; 2], input_major: bool) -> Var<'b> {
        let is_quantized = self.weights.is_quantized(name);
        if is_quantized && !self.dequantize {
            return self.bind(name, &[outputs, inputs], Init::Xavier, Axis::First);
        }
        if input_major && !is_quantized {
            self.parameter(name, &[inputs, outputs], Init::Xavier)
        } else {
            self.parameter(name, &[outputs, inputs], Init::Xavier).transpose(&[1, 0])
        }
    }

    #[track_caller]
    fn bind(&'b self, name: &str, dims: &[u64], init: Init, axis: Axis) -> Var<'b> {
        let mut state = self.state.borrow_mut();
        let location = Location::caller();
        if let Some((value, found, of)) = state.parameters.get(name) {
            if found == dims && *of == axis {
                return self.var(*value);
            }
            let what = if found == dims {
                format!("the quantized parameter {name} is used both as a matrix and as its transpose")
            } else {
                format!("the parameter {name} is used with shape {found:?} and with shape {dims:?}")
            };
            state.fail(Some(location), what, Some("give one of the two layers another name".to_owned()));
            return self.poisoned();
        }
        let declared = match self.weights.tensor(name, dims, init, self.element) {
            Ok(tensor) if self.dequantize => Ok(state.graph.parameter(name, tensor)),
            Ok(tensor) => state.declare(name, tensor, axis),
            Err(error) => Err(self.weights.with_nearest(error, |name| state.parameters.contains_key(name)).to_string()),
        };
        match declared {
            Ok(value) => {
                state.parameters.insert(name.to_owned(), (value, dims.to_vec(), axis));
                self.var(value)
            }
            Err(what) => {
                state.fail(Some(location), what, None);
                self.poisoned()
            }
        }
    }

    /// Adds a constant.
    pub fn constant(&'b self, name: &str, tensor: Tensor) -> Var<'b> {
        let mut state = self.state.borrow_mut();
        let name = state.scoped(name);
        self.var(state.graph.constant(&name, tensor))
    }

    /// Adds a constant that several layers share by name.
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
                state.fail(Some(location), format!("the table {name} cannot be computed: {error}"), None);
                self.poisoned()
            }
        }
    }

    /// Prefixes the names of the following values with a scope, until the result is dropped.
    pub fn enter(&'b self, scope: &str) -> Scope<'b> {
        let outer = std::mem::replace(&mut self.state.borrow_mut().scope, scope.to_owned());
        Scope { builder: self, outer }
    }

    /// Applies an operator with one result.
    #[track_caller]
    pub fn apply(&'b self, op: Op, operands: &[Var<'b>]) -> Var<'b> {
        let [result] = self.apply_several(op, operands);
        result
    }

    /// Applies an operator with several results.
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

    /// Records an error at the caller's line.
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

/// The axis of a parameter along which the blocks of quantized elements lie.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Axis {
    /// The matrix is transposed.
    First,
    /// The last axis, as it is stored.
    Last,
}

impl State {
    /// Adds a parameter; a quantized one is the result of an operator.
    fn declare(&mut self, name: &str, tensor: Tensor, axis: Axis) -> Result<Value, String> {
        let Some(quantized) = tensor.quantization() else { return Ok(self.graph.parameter(name, tensor)) };
        let (axis, layout) = match axis {
            Axis::First => (0, quantized.transposed()),
            Axis::Last => (-1, Ok(quantized.as_stored())),
        };
        let layout = layout.map_err(|error| format!("the parameter {name}: {error}"))?;
        let mut operands = vec![];
        for (word, part) in [("codes", Some(layout.codes)), ("scales", Some(layout.scales)), ("zeros", layout.zeros)] {
            operands.extend(part.map(|part| Some(self.graph.parameter(&format!("{name}.{word}"), part))));
        }
        let op = Op::DequantizeLinear { axis, block_size: signed(quantized.format().size), output_dtype: None };
        let place = Place { results: [name.into()].into_iter().collect(), ..Place::end(name) };
        let node = self.graph.insert(place, op, &operands).map_err(|error| format!("the parameter {name}: {error}"))?;
        Ok(Value { node, result: 0 })
    }

    fn fail(&mut self, location: Option<&'static Location<'static>>, what: String, help: Option<String>) {
        self.errors.push(BuildError { location, applied: None, what, help });
    }

    fn scoped(&self, name: &str) -> String {
        if self.scope.is_empty() { name.to_owned() } else { format!("{}.{name}", self.scope) }
    }
}

/// Returns the error for dims that may differ. Imported models may leave that to the run; declared models must not.
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
    /// Returns the builder of its graph.
    pub fn builder(self) -> &'b Builder<'b> {
        self.builder
    }

    /// Returns its shape; `None` for the result of an error.
    pub fn shape(self) -> Option<Shape> {
        self.value.and_then(|value| self.builder.state.borrow().graph.fact(value).shape().cloned())
    }

    /// Returns its type; `None` for the result of an error.
    pub fn ty(self) -> Option<TensorType> {
        self.value.and_then(|value| self.builder.state.borrow().graph.fact(value).tensor_type().cloned())
    }

    /// Names the value, within the current scope.
    pub fn name(self, name: &str) -> Var<'b> {
        if let Some(value) = self.value {
            let mut state = self.builder.state.borrow_mut();
            let scoped = state.scoped(name);
            state.graph.rename(value, &scoped);
            let given = state.graph.value_name(value).to_string();
            if name == "attention_weights" {
                state.attention_weights.push((given.clone(), value));
            }
            state.named.push((given, value));
        }
        self
    }
}
