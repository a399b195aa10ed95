//! Cuts the smallest model out of a graph that shows what a rewrite changed.

use crate::bisect::Culprit;
use crate::ir::{ElementType, Fact, Graph, Model, Op, Place, Tensor, TensorType, Value, ValueType, Window};
use crate::passes::{self, Event, Limits, Options, Prover, optimize};
use crate::prove::{Form, RUNS, Sample, bindings, difference, instance, lowered, made_up, run, session};
use crate::verify::Array;
use std::collections::{BTreeMap, HashMap, HashSet};

/// Two small models that differ: a part of a model before a rewrite, and the same part after it.
#[derive(Clone, Debug)]
pub struct Reproducer {
    /// What was computed before the rewrite; lowered, so that it can be written.
    pub before: Model,
    /// What is computed after it; it has the same inputs and outputs.
    pub after: Model,
    /// The values of the inputs for which the models differ, by name.
    pub inputs: Vec<(String, Array)>,
    /// What `before` computes for them.
    pub before_outputs: Vec<(String, Array)>,
    /// What `after` computes for them; `None` where it fails to run.
    pub after_outputs: Option<Vec<(String, Array)>>,
    /// The worst element of the first output that differs, or how `after` fails.
    pub difference: String,
}

/// The reason why there is no reproducer.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The culprit is not a rewrite.
    #[error("{0}")]
    NotARewrite(Culprit),
    /// The model cannot be optimized.
    #[error(transparent)]
    Passes(#[from] passes::Error),
    /// Both sides of the rewrite were equal in every run.
    #[error("both sides of the rewrite computed the same in tract for every input that was tried")]
    Equal,
    /// The sides of the rewrite could not be run.
    #[error("the sides of the rewrite cannot be run in tract by themselves: {0}")]
    NotRun(String),
}

/// Returns the smallest model found that shows what the culprit of [`bisect`](crate::bisect::bisect()) changed.
///
/// `options` are those with which the culprit was found. The rewrite is run in tract with what surrounds it, for
/// concrete sizes and made-up inputs, in ever narrower windows while both sides differ. Then outputs that do not matter
/// are dropped, and values that both sides compute alike become inputs that hold what was computed: the models differ
/// as the rewritten model does, also where a rule relies on what computes its operands. So do values that one side
/// computes of inputs that the other does not read. Where the pass does not show
/// what it changed, or several rewrites cannot be told apart, the whole models before and after are cut down.
///
/// ```
/// use netwright::bisect::Culprit;
/// use netwright::ir::{Kind, Model, Op, parse};
/// use netwright::passes::{Options, Rule, optimize, pattern, rewrite};
/// use netwright::reproduce::reproduce;
///
/// let text = "g(%x: f32[n]) {\n%a = exp %x : f32[n]\n%b = neg %a : f32[n]\n%y = sin %b : f32[n]\nreturn %y\n}";
/// let model = Model::new(parse(text)?);
/// // A rule that takes `exp` for `-`.
/// let wrong = Rule::new("wrong", "neg -> exp", pattern::op(Kind::Neg), |graph, found| {
///     let operands = [graph.operand(found.root().node, 0).ok_or(netwright::passes::Skip::NoMatch)?];
///     rewrite::become_op(graph, found.root(), Op::Exp, &operands, "wrong")
/// });
/// let options = Options::default().with_own(wrong);
/// let events = optimize(&mut model.clone(), &options)?.applied;
/// let reproducer = reproduce(&model, &options, &Culprit::Rewrites { events, first: 1, of: 1 })?;
/// assert!(reproducer.before.graph.to_string().contains("= neg %a"));
/// assert!(reproducer.after.graph.to_string().contains("= exp %a"));
/// assert_eq!((reproducer.inputs.len(), reproducer.before_outputs.len()), (1, 1));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
/// When the culprit is not a rewrite, or tract does not show a difference.
pub fn reproduce(model: &Model, options: &Options, culprit: &Culprit) -> Result<Reproducer, Error> {
    let Culprit::Rewrites { events, first, .. } = culprit else { return Err(Error::NotARewrite(culprit.clone())) };
    let mut found = Err(Error::Equal);
    if let [event] = &events[..] {
        found = narrowest(&windows(model, options, *first, event)?);
    }
    let case = match found {
        Ok(case) => case,
        Err(why) => narrowest(&[whole(model, options, *first, events.len())?]).map_err(|other| match (why, other) {
            (why @ Error::NotRun(_), _) => why,
            (_, other) => other,
        })?,
    };
    case.shrunk().into_reproducer()
}

/// The windows of a rewrite, from the narrowest to the widest.
fn windows(model: &Model, options: &Options, number: usize, event: &Event) -> Result<Vec<Window>, passes::Error> {
    let prover = Prover::recording(options.prover.clone(), number, event);
    rewritten(model, &options.clone().with_prover(prover.clone()), number)?;
    Ok(prover.recorded())
}

/// The whole models before and after some rewrites, as a window.
fn whole(model: &Model, options: &Options, first: usize, count: usize) -> Result<Window, passes::Error> {
    let before = rewritten(model, options, first.saturating_sub(1))?.graph;
    let after = rewritten(model, options, first + count.saturating_sub(1))?.graph;
    Ok(Window { before, after, can_widen: false })
}

fn rewritten(model: &Model, options: &Options, count: usize) -> Result<Model, passes::Error> {
    let mut model = model.clone();
    let limits = Limits { stop_after: Some(count), ..options.limits };
    optimize(&mut model, &options.clone().with_limits(limits))?;
    Ok(model)
}

/// The narrowest window whose sides differ, and still do in all that are wider and can be run.
///
/// A rule may rely on what computes its operands: then its sides differ in a window that is too narrow, though the
/// rewrite is right.
fn narrowest(windows: &[Window]) -> Result<Case, Error> {
    let (mut found, mut not_run) = (None, None);
    for window in windows.iter().rev() {
        match Case::of(window) {
            Ok(Some(case)) => found = Some(case),
            Ok(None) => break,
            Err(why) => _ = not_run.get_or_insert(why),
        }
    }
    found.ok_or_else(|| not_run.map_or(Error::Equal, Error::NotRun))
}

/// Two graphs with the same inputs and outputs that differ for these inputs.
struct Case {
    form: Form,
    before: Graph,
    after: Graph,
    inputs: Vec<(String, Array)>,
    shown: Shown,
}

/// What two graphs computed, and how it differs.
struct Shown {
    before: Vec<(String, Array)>,
    after: Option<Vec<(String, Array)>>,
    difference: String,
}

/// Values that take the place of what computes them, each by the name of the input that it becomes.
type Given<'a> = HashMap<Value, (&'a str, &'a Array)>;

/// A value that the sides compute alike, or that only one reads: before, after, and its name and elements.
type Shared = (Option<Value>, Option<Value>, (String, Array));

/// Larger tensors become inputs; smaller ones of integers, such as shapes, become constants.
const MOST_CONSTANTS: usize = 64;

/// So many values are tried one by one as inputs.
const MOST_TRIES: usize = 64;

impl Case {
    /// The first run in which the sides of a window differ, or else in which the one after fails.
    fn of(window: &Window) -> Result<Option<Self>, String> {
        let (mut failing, mut ran, mut not_run) = (None, false, None);
        for form in [Form::AsItIs, Form::Decomposed] {
            for (sizes, samples) in RUNS {
                let bindings = bindings(window, sizes);
                let sides =
                    instance(&window.before, &bindings).and_then(|a| Ok((a, instance(&window.after, &bindings)?)));
                let ((before, inputs), (after, _)) = match sides {
                    Ok(sides) => sides,
                    Err(why) => {
                        not_run.get_or_insert(why);
                        continue;
                    }
                };
                for sample in samples.iter().filter(|sample| **sample != Sample::Special) {
                    let arrays = inputs.iter().map(|input| made_up(input, *sample));
                    let shown = arrays.collect::<Result<Vec<_>, _>>().and_then(|inputs| {
                        let shown = shown(form, &before, &after, &inputs)?;
                        Ok(shown.map(|shown| (inputs, shown)))
                    });
                    match shown {
                        Ok(Some((inputs, shown))) => {
                            let differs = shown.after.is_some();
                            let (before, after) = (before.clone(), after.clone());
                            let case = Self { form, before, after, inputs, shown };
                            if differs {
                                return Ok(Some(case));
                            }
                            failing.get_or_insert(case);
                        }
                        Ok(None) => ran = true,
                        Err(why) => _ = not_run.get_or_insert(why),
                    }
                }
            }
        }
        match (failing, not_run) {
            // What fails in one form and holds in another is a limit of tract.
            (Some(case), _) if !ran => Ok(Some(case)),
            (_, Some(why)) if !ran => Err(why),
            _ => Ok(None),
        }
    }

    /// The same with fewer outputs and nodes, as long as it differs.
    fn shrunk(mut self) -> Self {
        let outputs = self.outputs();
        if let Some(smaller) = outputs.iter().find_map(|pair| self.attempt(&[*pair], &[])) {
            self = smaller;
        }
        while let Some(smaller) = self.before_last_node() {
            self = smaller;
        }
        // What only one side reads is known once the others are cut.
        self.cut().cut()
    }

    /// The same with what the sides share as inputs, as far as it differs.
    fn cut(self) -> Self {
        let (shared, outputs) = (self.shared(), self.outputs());
        if let Some(smaller) = self.attempt(&outputs, &shared) {
            return smaller;
        }
        let mut cut: Vec<Shared> = vec![];
        for one in shared.into_iter().rev().take(MOST_TRIES) {
            cut.push(one);
            if self.attempt(&outputs, &cut).is_none() {
                cut.pop();
            }
        }
        self.attempt(&outputs, &cut).unwrap_or(self)
    }

    fn outputs(&self) -> Vec<(Value, Value)> {
        let pairs = self.before.outputs().iter().zip(self.after.outputs());
        pairs.map(|(before, after)| (before.value, after.value)).collect()
    }

    /// The case whose output is an operand of the last node, where both sides end in the same one.
    fn before_last_node(&self) -> Option<Self> {
        let [(before, after)] = self.outputs()[..] else { return None };
        if self.before.op(before) != self.after.op(after) {
            return None;
        }
        let operands = self.before.operands(before.node).into_iter().zip(self.after.operands(after.node));
        let pairs = operands.filter_map(|(before, after)| before.zip(after));
        let mut computed =
            pairs.filter(|(before, after)| is_computed(self.before.op(*before)) && is_computed(self.after.op(*after)));
        computed.find_map(|pair| self.attempt(&[pair], &[]))
    }

    /// What both sides compute alike, and what one side computes of inputs that the other does not read; operands first.
    fn shared(&self) -> Vec<Shared> {
        let Ok(mut before) = values(&self.before, self.form, &self.inputs) else { return vec![] };
        let after = values(&self.after, self.form, &self.inputs).ok();
        let alike = |name: &str, array: &Array, value: Value| match &after {
            Some(after) => after.get(name).is_some_and(|(_, other)| is_same(array, other)),
            // Where the model after the rewrite fails, its values are not known, but their types are.
            None => self.after.fact(value).tensor_type().is_some_and(|ty| ty.element == array.element()),
        };
        let mut others: BTreeMap<String, Value> = computed(&self.after).into_iter().collect();
        let is_apart = |side: &Graph, value: Value, other: &Graph| {
            let read = |graph: &Graph, of: &[Value]| -> HashSet<String> {
                let reached = reached(graph, of, &Given::new());
                graph
                    .inputs()
                    .filter(|input| reached.contains(input))
                    .map(|input| graph.value_name(input).to_string())
                    .collect()
            };
            let outputs: Vec<Value> = other.outputs().iter().map(|output| output.value).collect();
            let own = read(side, &[value]);
            let is_output = side.outputs().iter().any(|output| copied(side, output.value) == value);
            !is_output && !own.is_empty() && own.is_disjoint(&read(other, &outputs))
        };
        let mut shared = vec![];
        for (name, value) in computed(&self.before) {
            let Some((_, array)) = before.remove(&name) else { continue };
            let other = others.remove(&name);
            let is_shared = match other {
                Some(other) => alike(&name, &array, other),
                None => is_apart(&self.before, value, &self.after),
            };
            if is_shared {
                shared.push((Some(value), other, (name, array)));
            }
        }
        let mut after = after.unwrap_or_default();
        others.retain(|_, value| is_apart(&self.after, *value, &self.before));
        shared.extend(others.into_iter().filter_map(|(name, value)| {
            let (_, array) = after.remove(&name)?;
            Some((None, Some(value), (name, array)))
        }));
        shared
    }

    /// The case of these outputs, with shared values given; `None` where the sides do not differ.
    fn attempt(&self, outputs: &[(Value, Value)], shared: &[Shared]) -> Option<Self> {
        let given = |graph: &Graph, is_after: bool| -> Given<'_> {
            let own = graph.inputs().filter_map(|input| {
                let (name, array) = self.inputs.iter().find(|(name, _)| **name == **graph.value_name(input))?;
                Some((input, (name.as_str(), array)))
            });
            let cut = shared.iter().filter_map(|(before, after, (name, array))| {
                let value = if is_after { *after } else { *before };
                Some((value?, (name.as_str(), array)))
            });
            own.chain(cut).collect()
        };
        let given = [given(&self.before, false), given(&self.after, true)];
        let outputs =
            outputs.iter().map(|(before, after)| (copied(&self.before, *before), copied(&self.after, *after)));
        let (old, new): (Vec<Value>, Vec<Value>) = outputs.unzip();
        let sides = [(&self.before, &old, &given[0]), (&self.after, &new, &given[1])];
        let reached = sides.map(|(graph, outputs, given)| reached(graph, outputs, given));
        let known = self.inputs.iter().chain(shared.iter().map(|(_, _, named)| named));
        let is_read = |name: &str| {
            let mut sides = reached.iter().zip(&given);
            sides.any(|(reached, given)| reached.iter().any(|value| given.get(value).is_some_and(|one| one.0 == name)))
        };
        let inputs: Vec<(String, Array)> =
            known.filter(|(name, array)| is_read(name) && as_constant(array).is_none()).cloned().collect();
        let [before, after] = [0, 1].map(|at| {
            let (graph, outputs, given) = sides[at];
            rebuilt(graph, outputs, given, &reached[at], &inputs)
        });
        let (before, after) = (before.ok()?, after.ok()?);
        let shown = shown(self.form, &before, &after, &inputs).ok()??;
        // A model that fails does not show the difference of one that runs.
        let is_alike = shown.after.is_some() == self.shown.after.is_some();
        is_alike.then(|| Self { form: self.form, before, after, inputs, shown })
    }

    fn into_reproducer(self) -> Result<Reproducer, Error> {
        let model = |graph| lowered(graph, self.form).map_err(Error::NotRun);
        let Shown { before, after, difference } = self.shown;
        Ok(Reproducer {
            before: model(self.before)?,
            after: model(self.after)?,
            inputs: self.inputs,
            before_outputs: before,
            after_outputs: after,
            difference,
        })
    }
}

/// What the sides compute, if that differs.
fn shown(form: Form, before: &Graph, after: &Graph, inputs: &[(String, Array)]) -> Result<Option<Shown>, String> {
    // What tract cannot load, another runtime may.
    let load = |graph: &Graph| session(&lowered(graph.clone(), form)?);
    let (before, after) = (load(before)?, load(after)?);
    let before = run(&before, inputs)?;
    let after = match run(&after, inputs) {
        Ok(after) => after,
        Err(error) => {
            let difference = format!("it fails where it ran before: {error}");
            return Ok(Some(Shown { before, after: None, difference }));
        }
    };
    let mut pairs = before.iter().zip(&after);
    let difference = pairs.find_map(|((_, a), (_, b))| difference(a, b, false));
    Ok(difference.map(|difference| Shown { before, after: Some(after), difference }))
}

fn is_computed(op: &Op) -> bool {
    !matches!(op, Op::Input | Op::Constant(_) | Op::Parameter(_) | Op::SparseParameter(_))
}

/// What an output is a copy of, where a node computes that.
fn copied(graph: &Graph, mut output: Value) -> Value {
    while let (Op::Identity, Some(operand)) = (graph.op(output), graph.operand(output.node, 0)) {
        if !is_computed(graph.op(operand)) {
            break;
        }
        output = operand;
    }
    output
}

/// The tensors that nodes compute, by name, operands first.
fn computed(graph: &Graph) -> Vec<(String, Value)> {
    let is_source = |op: &Op| matches!(op, Op::Input | Op::Constant(_) | Op::Parameter(_) | Op::SparseParameter(_));
    let nodes = graph.schedule().into_iter().filter(|id| !is_source(graph.node(*id).op()));
    let values = nodes.flat_map(|id| graph.results(id)).filter(|value| graph.fact(*value).tensor_type().is_some());
    values.map(|value| (graph.value_name(value).to_string(), value)).collect()
}

/// What every node of a graph computes.
fn values(graph: &Graph, form: Form, inputs: &[(String, Array)]) -> Result<BTreeMap<String, (String, Array)>, String> {
    let computed = computed(graph);
    let mut all = graph.clone();
    for (at, (_, value)) in computed.iter().enumerate() {
        let name = format!("computed.{at}");
        let copy = all.append(&name, Op::Identity, &[*value]).map_err(|error| error.to_string())?;
        all.output(name, copy);
    }
    let outputs = run(&session(&lowered(all, form)?)?, inputs)?;
    let own = graph.outputs().len();
    Ok(computed.into_iter().map(|(name, _)| name).zip(outputs.into_iter().skip(own)).collect())
}

/// Whether two tensors are equal bit by bit.
fn is_same(a: &Array, b: &Array) -> bool {
    a.shape() == b.shape() && a.element() == b.element() && a.to_bytes() == b.to_bytes()
}

/// The values that outputs depend on, up to what is given.
fn reached(graph: &Graph, outputs: &[Value], given: &Given<'_>) -> HashSet<Value> {
    let mut reached: HashSet<Value> = HashSet::new();
    let mut pending = outputs.to_vec();
    while let Some(value) = pending.pop() {
        if reached.insert(value) && !given.contains_key(&value) {
            pending.extend(graph.operands(value.node).into_iter().flatten());
        }
    }
    reached
}

/// A graph of what its outputs depend on, with these inputs.
fn rebuilt(
    graph: &Graph,
    outputs: &[Value],
    given: &Given<'_>,
    reached: &HashSet<Value>,
    inputs: &[(String, Array)],
) -> Result<Graph, String> {
    let mut new = Graph::new("reproducer");
    let mut values: HashMap<Value, Value> = HashMap::new();
    let ty = |array: &Array| {
        let known = |&size: &usize| i64::try_from(size).map_or(crate::ir::Dim::Unknown, crate::ir::Dim::Known);
        TensorType::new(array.element(), array.shape().iter().map(known).collect())
    };
    let named: HashMap<&str, Value> =
        inputs.iter().map(|(name, array)| (name.as_str(), new.input(name, ty(array)))).collect();
    let is_built = |value: &Value| reached.contains(value) && !given.contains_key(value);
    for id in graph.schedule() {
        for value in graph.results(id).filter(|value| reached.contains(value)) {
            let Some((name, array)) = given.get(&value) else { continue };
            let input = match (named.get(name), as_constant(array)) {
                (Some(input), _) => *input,
                (None, Some(tensor)) => new.constant(name, tensor),
                (None, None) => return Err(format!("`{name}` is not given")),
            };
            values.insert(value, input);
        }
        if !graph.results(id).any(|value| is_built(&value)) {
            continue;
        }
        let operands: Vec<Option<Value>> = graph
            .operands(id)
            .into_iter()
            .map(|operand| operand.and_then(|operand| values.get(&operand).copied()))
            .collect();
        let results = graph.results(id).map(|value| graph.value_name(value).clone()).collect();
        let place = Place { label: "".into(), results, order: None };
        let op = graph.node(id).op().clone();
        let copied = new.insert(place, op, &operands).map_err(|error| error.to_string())?;
        for (value, copied) in graph.results(id).zip(new.results(copied)) {
            if new.fact(copied).ty == ValueType::Unknown {
                let ty = graph.fact(value).ty.clone();
                new.set_fact(copied, Fact::of(ty));
            }
            values.entry(value).or_insert(copied);
        }
    }
    for (at, output) in outputs.iter().enumerate() {
        let mut value = *values.get(output).ok_or("an output is not computed")?;
        let name = format!("result.{at}");
        // A runtime asks for a node between an input and an output.
        if !is_computed(new.op(value)) {
            value = new.append(&name, Op::Identity, &[value]).map_err(|error| error.to_string())?;
        }
        new.output(name, value);
    }
    Ok(new)
}

/// A short list of integers, such as a shape, which a runtime may want to know when it loads a model.
fn as_constant(array: &Array) -> Option<Tensor> {
    let is_list = array.shape().len() <= 1 && array.any().len() <= MOST_CONSTANTS;
    let is_integer = matches!(array.element(), ElementType::I64 | ElementType::I32);
    let dims: Vec<u64> = array.shape().iter().map(|&size| size as u64).collect();
    (is_list && is_integer).then(|| Tensor::from_bytes(array.element(), &dims, array.to_bytes()).ok()).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ir::parse;

    fn case(before: &str, after: &str) -> Result<Option<Case>, String> {
        let graph = |body: &str| {
            parse(&format!("g(%x: f32[n, 4], %m: f32[n, 1]) {{\n{body}\nreturn %y\n}}")).expect("well-formed")
        };
        Case::of(&Window { before: graph(before), after: graph(after), can_widen: false })
    }

    #[test]
    fn a_side_that_fails_is_shown_without_outputs() {
        let side = |index| {
            format!(
                "%a = sin %x : f32[n, 4]\n%s = shape %a : i64[2]\n%l = gather %s, {index} {{axis = 0}} : i64[]\n\
                     %y = gather %a, %l {{axis = 1}} : f32[n]"
            )
        };
        let case = case(&side(0), &side(1)).expect("it is run").expect("it fails").shrunk();
        assert!(case.shown.after.is_none());
        assert!(case.shown.difference.starts_with("it fails where it ran before: "), "{}", case.shown.difference);
        assert!(case.inputs.iter().any(|(name, _)| name == "a"), "{}", case.before);
    }

    /// The side after the rewrite reads nothing of which the mask is computed.
    #[test]
    fn what_one_side_reads_becomes_an_input() {
        let common = "%a = sin %x : f32[n, 4]\n%b = exp %a : f32[n, 4]";
        let mask = "%c = neg %m : f32[n, 1]\n%d = exp %c : f32[n, 1]\n%e = sqrt %d : f32[n, 1]";
        let before = format!("{common}\n{mask}\n%f = add %b, %e : f32[n, 4]\n%y = cos %f : f32[n, 4]");
        let after = format!("{common}\n%y = cos %b : f32[n, 4]");
        let case = case(&before, &after).expect("it is run").expect("it differs").shrunk();
        let expected = "reproducer(%b: f32[2, 4], %e: f32[2, 1]) {\n  %f = add %b, %e : f32[2, 4]\n";
        assert!(case.before.to_string().starts_with(expected), "{}", case.before);
        assert_eq!(case.after.schedule().len(), 3, "{}", case.after);
    }

    #[test]
    fn sides_that_cannot_be_run_say_why() {
        let sides = ["%y = sin %x : f32[n, 4]", "%y = \"my.domain::Twist@1\" %x : f32[n, 4]"];
        for after in sides {
            let why = case(sides[1], after).err().expect("tract does not know the operator");
            assert!(why.contains("my.domain"), "{why}");
        }
    }
}
