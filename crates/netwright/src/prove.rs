//! tract as the judge of rewrites: both sides of each are run at several shapes, on values that are hard to get right.

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

/// What symbols stand for, in turn; each run begins at another.
const SIZES: [i64; 5] = [2, 3, 5, 4, 7];

/// Larger tensors are not put into a model that is made for one run.
const MOST_BYTES: u64 = 1 << 28;

/// How far results may differ where a rewrite rounds otherwise, as a share of their scale.
const ROUNDING: f64 = 1e-4;

/// The sizes of a run.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Sizes {
    /// Of different symbols different ones, from this place in the list on.
    Distinct(usize),
    Ones,
}

impl Prove for Tract {
    fn prove(&self, claim: Claim<'_>) -> Proof {
        // What tract computes with the operators as they are; else what the operators stand for, which shows nothing
        // of a pass that puts it in their place.
        let forms: &[Form] = if claim.lowers { &[Form::AsItIs] } else { &[Form::AsItIs, Form::Decomposed] };
        let mut worst = Proof::Unknown("nothing was run".to_owned());
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

/// What rewrites are run on.
pub(crate) const RUNS: [(Sizes, &[Sample]); 3] = [
    (Sizes::Distinct(0), &[Sample::Moderate, Sample::Small, Sample::Masked]),
    (Sizes::Distinct(1), &[Sample::Edges, Sample::Special]),
    (Sizes::Ones, &[Sample::Moderate]),
];

/// How operators that stand for several are run.
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

/// Both sides of a window, loaded for one choice of sizes.
struct Pair {
    before: Session,
    after: Session,
    /// The inputs, with what is added to which a softmax is taken of.
    inputs: Vec<Input>,
}

/// An input of a window at known sizes.
pub(crate) struct Input {
    name: String,
    element: ElementType,
    dims: Vec<usize>,
    /// Whether a softmax is taken of it, or of what it is added to.
    is_score: bool,
}

impl Pair {
    fn new(window: &Window, sizes: Sizes, form: Form) -> Result<Self, String> {
        let bindings = bindings(window, sizes);
        let (before, inputs) = instance(&window.before, &bindings)?;
        let (after, _) = instance(&window.after, &bindings)?;
        Ok(Self { before: session(&lowered(before, form)?)?, after: session(&lowered(after, form)?)?, inputs })
    }

    /// How the sides differ on such inputs, if they do.
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
        Ok(difference.map(|difference| format!("{difference}, for the inputs {}", shapes())))
    }
}

/// Runs a model on those of the inputs that it has.
pub(crate) fn run(session: &Session, inputs: &[(String, Array)]) -> Result<Vec<(String, Array)>, String> {
    // What an input does not reach, tract does not ask for.
    let known = |name: &str| session.inputs().iter().any(|port| port.name == name);
    let given: Vec<(&str, &Array)> =
        inputs.iter().map(|(name, array)| (name.as_str(), array)).filter(|(name, _)| known(name)).collect();
    session.run(&given).map_err(|error| error.to_string())
}

/// The symbols in the types of a window's inputs.
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

/// The names of the symbols whose sum a symbol is by its name, such as `past_plus_seq`.
fn terms(name: &str) -> Option<[&str; 2]> {
    let (a, b) = name.split_once("_plus_").or_else(|| name.split_once(" + "))?;
    Some([a.trim(), b.trim()])
}

/// The graph at known sizes: what is known of an input's elements makes it a constant.
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
        if bytes > MOST_BYTES {
            return Err("its weights are too large to be copied".to_owned());
        }
        let operands = graph.operands(id).into_iter();
        let operands: Vec<Option<Value>> =
            operands.map(|operand| operand.and_then(|value| values.get(&value).copied())).collect();
        let results = graph.results(id).map(|value| graph.value_name(value).clone()).collect();
        let place = Place { label: "".into(), results, order: None };
        let copied = instance.insert(place, op.into_owned(), &operands).map_err(|error| error.to_string())?;
        for (value, copied) in graph.results(id).zip(instance.results(copied)) {
            // Of operators that are kept as they came, the window knows more than inference.
            if instance.fact(copied).ty == ValueType::Unknown {
                let fact = graph.fact(value).tensor_type().and_then(|ty| at_sizes(ty, bindings));
                instance.set_fact(copied, fact.map_or_else(|| instance.fact(copied).clone(), Fact::of));
            }
            values.insert(value, copied);
        }
    }
    for output in graph.outputs() {
        let value = *values.get(&output.value).ok_or("an output is not computed")?;
        // A runtime asks for a node between, and for each output another.
        let value = instance.append(&output.name, Op::Identity, &[value]).map_err(|error| error.to_string())?;
        instance.output(output.name.clone(), value);
    }
    Ok((instance, inputs))
}

/// The type at known sizes, where those are all known.
fn at_sizes(ty: &TensorType, bindings: &Bindings) -> Option<TensorType> {
    let dims = ty.shape.as_ref()?.iter().map(|dim| dim.evaluate(bindings).map(Dim::Known));
    Some(TensorType::new(ty.element, dims.collect::<Option<_>>()?))
}

/// Integers are cut to this: tract 0.23.9 casts the largest, at which exporters let slices end, to -1.
const MOST: i64 = i32::MAX as i64;

/// The operator, of integers that tract computes with.
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

/// Whether a softmax is taken of a value, or of what it is added to, as of scores and masks.
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

/// A model of the graph, lowered for tract.
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

/// The model, loaded.
pub(crate) fn session(model: &Model) -> Result<Session, String> {
    let bytes = onnx::to_bytes(model).map_err(|error| error.to_string())?;
    let file = ModelFile::from_bytes("window", &bytes).map_err(|error| error.to_string())?;
    Session::new(&file).map_err(|error| error.to_string())
}

/// How two results differ: the worst element, and both values.
pub(crate) fn difference(a: &Array, b: &Array, exact: bool) -> Option<String> {
    if a.shape() != b.shape() || a.element() != b.element() {
        return Some(format!("{a} became {b}"));
    }
    if a.to_bytes() == b.to_bytes() {
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
        // An overflow may happen on one side alone.
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
