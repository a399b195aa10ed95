//! Proves rewrites with tract: runs both sides of each at several shapes, on inputs that expose errors.

mod inputs;

use crate::evaluate::Tract;
use crate::ir::{
    Bindings, Dim, ElementType, Fact, Graph, Model, Op, OpKind, Place, Symbol, Tensor, TensorType, Value, ValueType,
    Window,
};
use crate::onnx;
use crate::passes::{Claim, Proof, Prove, Target, lower};
use crate::verify::{Array, ModelFile, Session, Values, scale};
pub(crate) use inputs::{Sample, made_up};
use std::borrow::Cow;
use std::collections::{BTreeSet, HashMap};

/// The sizes of symbols, in turn; each run starts at another index.
const SIZES: [i64; 5] = [2, 3, 5, 4, 7];

/// The number of bytes from which the tensors of a window are not embedded in a model for one run.
const MAX_BYTES: u64 = 1 << 28;

/// The tolerance for rewrites that round differently, relative to the scale of the result.
const ROUNDING: f64 = 1e-4;

/// The sizes of a run.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Sizes {
    /// Each symbol gets the next size of the list, from this index on.
    Distinct(usize),
    Ones,
}

impl Prove for Tract {
    fn prove(&self, claim: Claim<'_>) -> Proof {
        // First with the operators as they are; otherwise decomposed, which proves nothing about a pass that introduces
        // such an operator.
        let forms: &[Form] = if claim.lowers { &[Form::AsItIs] } else { &[Form::AsItIs, Form::Decomposed] };
        let mut worst = Proof::Unknown("no run was possible".to_owned());
        for form in forms {
            match (prove_in(*form, claim), &worst) {
                (Proof::Holds, _) => return Proof::Holds,
                (Proof::Unknown(_), Proof::Refuted(_)) => {}
                (proof, _) => worst = proof,
            }
        }
        worst
    }
}

/// The inputs and sizes of a proof.
pub(crate) const RUNS: [(Sizes, &[Sample]); 3] = [
    (Sizes::Distinct(0), &[Sample::Moderate, Sample::Small, Sample::Masked]),
    (Sizes::Distinct(1), &[Sample::Edges, Sample::Special]),
    (Sizes::Ones, &[Sample::Moderate]),
];

/// How composite operators are run.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Form {
    AsItIs,
    Decomposed,
}

fn prove_in(form: Form, claim: Claim<'_>) -> Proof {
    let has_symbols = !symbols(claim.window).is_empty();
    let mut holds = false;
    let mut unknown = None;
    for (sizes, samples) in RUNS {
        let pair = match Pair::new(claim.window, sizes, form) {
            Ok(pair) => pair,
            Err(why) => {
                unknown.get_or_insert(why);
                continue;
            }
        };
        for sample in samples.iter().filter(|sample| claim.exact || **sample != Sample::Special) {
            match pair.run(*sample, claim.exact) {
                Ok(None) => holds |= matches!(sizes, Sizes::Distinct(_)) || !has_symbols,
                Ok(Some(difference)) => return Proof::Refuted(difference),
                Err(why) => _ = unknown.get_or_insert(why),
            }
        }
    }
    if holds { Proof::Holds } else { Proof::Unknown(unknown.unwrap_or_default()) }
}

/// Both sides of a window, loaded for fixed sizes.
struct Pair {
    before: Session,
    after: Session,
    /// The inputs, and whether each is an operand of a softmax.
    inputs: Vec<Input>,
}

/// An input of a window with fixed sizes.
pub(crate) struct Input {
    name: String,
    element: ElementType,
    dims: Vec<usize>,
    /// Whether it is the operand of a softmax, or added to it.
    is_score: bool,
}

impl Pair {
    fn new(window: &Window, sizes: Sizes, form: Form) -> Result<Self, String> {
        let bindings = bindings(window, sizes);
        let (before, inputs) = instance(&window.before, &bindings)?;
        let (after, _) = instance(&window.after, &bindings)?;
        Ok(Self { before: session(&lowered(before, form)?)?, after: session(&lowered(after, form)?)?, inputs })
    }

    /// Returns how the sides differ on these inputs, if they do.
    fn run(&self, sample: Sample, exact: bool) -> Result<Option<String>, String> {
        let arrays = self.inputs.iter().map(|input| made_up(input, sample));
        let arrays: Vec<(String, Array)> = arrays.collect::<Result<_, String>>()?;
        let before = run(&self.before, &arrays)?;
        let after = match run(&self.after, &arrays) {
            Ok(after) => after,
            Err(error) => return Ok(Some(format!("it fails where it ran before: {error}"))),
        };
        let shapes = || arrays.iter().map(|(name, array)| format!("`{name}` {array}")).collect::<Vec<_>>().join(", ");
        let mut pairs = before.iter().zip(&after);
        let difference = pairs.find_map(|((_, a), (_, b))| difference(a, b, exact));
        Ok(difference.map(|difference| format!("{difference}, for inputs {}", shapes())))
    }
}

/// Runs a model with those of the inputs that it has.
pub(crate) fn run(session: &Session, inputs: &[(String, Array)]) -> Result<Vec<(String, Array)>, String> {
    // tract does not require inputs that reach no output.
    let known = |name: &str| session.inputs().iter().any(|port| port.name == name);
    let given: Vec<(&str, &Array)> =
        inputs.iter().map(|(name, array)| (name.as_str(), array)).filter(|(name, _)| known(name)).collect();
    session.run(&given).map_err(|error| error.to_string())
}

/// Returns the symbols in the types of a window's inputs.
fn symbols(window: &Window) -> BTreeSet<Symbol> {
    let mut symbols = BTreeSet::new();
    for graph in [&window.before, &window.after] {
        for input in graph.inputs() {
            let fact = graph.fact(input);
            let dims = fact.shape().into_iter().flat_map(|shape| shape.iter());
            for dim in dims.chain(fact.elements.iter().flat_map(|all| all.iter())) {
                dim.for_each_symbol(&mut |symbol| _ = symbols.insert(symbol.clone()));
            }
        }
    }
    symbols
}

pub(crate) fn bindings(window: &Window, sizes: Sizes) -> Bindings {
    let size = |at: usize| match sizes {
        Sizes::Distinct(first) => SIZES[(at + first) % SIZES.len()],
        Sizes::Ones => 1,
    };
    let named = symbols(window);
    let sums: Vec<(Symbol, [Symbol; 2])> =
        named.iter().filter_map(|symbol| Some((symbol.clone(), terms(symbol.as_str())?.map(Symbol::new)))).collect();
    let mut free = named;
    free.extend(sums.iter().flat_map(|(_, terms)| terms.clone()));
    free.retain(|symbol| sums.iter().all(|(sum, _)| sum != symbol));
    let mut bindings: Bindings = free.into_iter().enumerate().map(|(at, symbol)| (symbol, size(at))).collect();
    for (sum, terms) in sums {
        let total = terms.iter().map(|term| bindings.get(term).copied().unwrap_or(1)).sum();
        bindings.insert(sum, total);
    }
    bindings
}

/// Returns the symbols whose sum the name of a symbol describes, such as `past_plus_seq`.
fn terms(name: &str) -> Option<[&str; 2]> {
    let (a, b) = name.split_once("_plus_").or_else(|| name.split_once(" + "))?;
    Some([a.trim(), b.trim()])
}

/// Returns the graph at fixed sizes; an input with known elements becomes a constant.
pub(crate) fn instance(graph: &Graph, bindings: &Bindings) -> Result<(Graph, Vec<Input>), String> {
    let mut instance = Graph::new("window");
    let mut values: HashMap<Value, Value> = HashMap::new();
    let mut inputs = vec![];
    let mut bytes = 0;
    for input in graph.inputs() {
        let name = graph.value_name(input);
        let fact = graph.fact(input);
        let Some(ty) = fact.tensor_type() else { return Err(format!("`{name}` is not a tensor of a known type")) };
        let Some(shape) = &ty.shape else { return Err(format!("the rank of `{name}` is not known")) };
        let size = |dim: &Dim| match dim {
            Dim::Unknown => Some(2),
            dim => dim.evaluate(bindings).and_then(|size| u64::try_from(size).ok()),
        };
        let dims: Option<Vec<u64>> = shape.iter().map(size).collect();
        let dims = dims.ok_or_else(|| format!("the sizes of `{name}` are not known"))?;
        let elements: Option<Vec<i64>> =
            fact.elements.as_ref().and_then(|all| all.iter().map(|dim| dim.evaluate(bindings)).collect());
        let constant = elements.and_then(|elements| integers(ty.element, &dims, &elements));
        let value = if let Some(tensor) = constant {
            instance.constant(name, tensor)
        } else {
            let known = dims.iter().map(|&dim| i64::try_from(dim).map_or(Dim::Unknown, Dim::Known));
            let dims = dims.iter().map(|&dim| usize::try_from(dim).map_err(|_| "a size is too large".to_owned()));
            let input = Input {
                name: name.to_string(),
                element: ty.element,
                dims: dims.collect::<Result<_, _>>()?,
                is_score: is_score(graph, input),
            };
            inputs.push(input);
            instance.input(name, TensorType::new(ty.element, known.collect()))
        };
        values.insert(input, value);
    }
    for id in graph.schedule() {
        let op = graph.node(id).op();
        if matches!(op, Op::Input) {
            continue;
        }
        let op = plain(op);
        bytes += op.tensor().map_or(0, Tensor::len);
        if bytes > MAX_BYTES {
            return Err("its weights are too large to be copied".to_owned());
        }
        let operands = graph.operands(id).into_iter();
        let operands: Vec<Option<Value>> =
            operands.map(|operand| operand.and_then(|value| values.get(&value).copied())).collect();
        let results = graph.results(id).map(|value| graph.value_name(value).clone()).collect();
        let place = Place { label: "".into(), results, order: None };
        let copied = instance.insert(place, op.into_owned(), &operands).map_err(|error| error.to_string())?;
        for (value, copied) in graph.results(id).zip(instance.results(copied)) {
            // The window knows the result types of unknown operators; inference does not.
            if instance.fact(copied).ty == ValueType::Unknown {
                let fact = graph.fact(value).tensor_type().and_then(|ty| at_sizes(ty, bindings));
                instance.set_fact(copied, fact.map_or_else(|| instance.fact(copied).clone(), Fact::of));
            }
            values.insert(value, copied);
        }
    }
    for output in graph.outputs() {
        let value = *values.get(&output.value).ok_or("an output is not computed")?;
        // Runtimes require a node between input and output, and a distinct value for each output.
        let value = instance.append(&output.name, Op::Identity, &[value]).map_err(|error| error.to_string())?;
        instance.output(output.name.clone(), value);
    }
    Ok((instance, inputs))
}

/// Returns the type at fixed sizes, if all are known.
fn at_sizes(ty: &TensorType, bindings: &Bindings) -> Option<TensorType> {
    let dims = ty.shape.as_ref()?.iter().map(|dim| dim.evaluate(bindings).map(Dim::Known));
    Some(TensorType::new(ty.element, dims.collect::<Option<_>>()?))
}

/// The bound to which integers are clamped: tract 0.23.9 casts the largest i64, the usual end of a Slice, to -1.
const MOST: i64 = i32::MAX as i64;

/// Returns the operator with its integers clamped for tract.
fn plain(op: &Op) -> Cow<'_, Op> {
    let cut = |tensor: &Tensor| {
        let elements = tensor.integers().filter(|all| all.iter().any(|one| !(-MOST..=MOST).contains(one)))?;
        let elements: Vec<i64> = elements.into_iter().map(|one| one.clamp(-MOST, MOST)).collect();
        integers(tensor.element(), tensor.dims(), &elements)
    };
    match op {
        Op::Constant(tensor) => cut(tensor).map_or(Cow::Borrowed(op), |tensor| Cow::Owned(Op::Constant(tensor))),
        Op::Parameter(tensor) => cut(tensor).map_or(Cow::Borrowed(op), |tensor| Cow::Owned(Op::Parameter(tensor))),
        op => Cow::Borrowed(op),
    }
}

/// Returns whether a value is the operand of a softmax or added to it, as scores and masks are.
fn is_score(graph: &Graph, value: Value) -> bool {
    let mut pending = vec![value];
    let mut seen = BTreeSet::new();
    while let Some(value) = pending.pop() {
        for (user, at) in graph.users(value) {
            match graph.node(user).op().kind() {
                OpKind::Softmax | OpKind::ScaledSoftmax => return true,
                OpKind::Attention if at == 3 => return true,
                kind if (kind.moves_elements() || matches!(kind, OpKind::Add | OpKind::Where | OpKind::Cast))
                    && seen.insert(user) =>
                {
                    pending.extend(graph.results(user));
                }
                _ => {}
            }
        }
    }
    false
}

fn integers(element: ElementType, dims: &[u64], elements: &[i64]) -> Option<Tensor> {
    let bytes: Vec<u8> = match element {
        ElementType::I64 => elements.iter().flat_map(|element| element.to_le_bytes()).collect(),
        ElementType::I32 => {
            let narrow: Result<Vec<i32>, _> = elements.iter().map(|element| i32::try_from(*element)).collect();
            narrow.ok()?.into_iter().flat_map(i32::to_le_bytes).collect()
        }
        _ => return None,
    };
    Tensor::from_bytes(element, dims, bytes).ok()
}

/// Returns a model of the graph, lowered for tract.
pub(crate) fn lowered(graph: Graph, form: Form) -> Result<Model, String> {
    let mut model = Model::new(graph);
    let (opset, target) = match form {
        Form::AsItIs => (24, Target::TRACT),
        Form::Decomposed => (18, Target::ONNX),
    };
    model.opsets = [("", opset), ("com.microsoft", 1)].map(|(domain, opset)| (domain.to_owned(), opset)).into();
    lower(&mut model, &target, false).map_err(|error| error.to_string())?;
    Ok(model)
}

/// Loads a model.
pub(crate) fn session(model: &Model) -> Result<Session, String> {
    let bytes = onnx::to_bytes(model).map_err(|error| error.to_string())?;
    let file = ModelFile::from_bytes("window", &bytes).map_err(|error| error.to_string())?;
    Session::new(&file).map_err(|error| error.to_string())
}

/// Returns the worst difference between two results, with both values.
pub(crate) fn difference(a: &Array, b: &Array, exact: bool) -> Option<String> {
    if a.shape() != b.shape() || a.element() != b.element() {
        return Some(format!("{a} became {b}"));
    }
    if a.is_same(b) {
        return None;
    }
    let (Some(left), Some(right)) = (a.any().floats(), b.any().floats()) else {
        let at = (0..a.any().len()).find(|&at| a.any().text(at) != b.any().text(at))?;
        return Some(told(a.any(), b.any(), &a.index(at), at));
    };
    let scale = scale(&left);
    let distance = |(a, b): (&f64, &f64)| match (exact, a.is_nan(), b.is_nan()) {
        (_, true, true) | (false, true, _) => 0.0,
        (true, false, false) if a.to_bits() == b.to_bits() => 0.0,
        (true, ..) | (false, false, true) => f64::INFINITY,
        // One side alone may overflow.
        (false, ..) if a == b || a.is_infinite() => 0.0,
        (false, ..) => (a - b).abs() / (ROUNDING * a.abs().max(scale)),
    };
    let distances = left.iter().zip(&right).map(distance);
    let (at, worst) = distances.enumerate().max_by(|(_, a), (_, b)| a.total_cmp(b))?;
    (worst > 1.0).then(|| told(a.any(), b.any(), &a.index(at), at))
}

fn told(a: &Values, b: &Values, index: &[usize], at: usize) -> String {
    let text = |values: &Values| values.text(at).unwrap_or_default();
    format!("{} became {} at {index:?}", text(a), text(b))
}
