//! Runs models and derives the verdict.

use crate::bindings::{LONG, Sizes, SizesKind, bindings, with_length};
use crate::blame::{blame, blind_spot, not_finite};
use crate::compare::{Products, Where, compare_at};
use crate::error::shortened;
use crate::file::{ModelFile, Port};
use crate::hidden::Hidden;
use crate::inputs::{INTEGERS, Role, Style, inputs_with, role};
use crate::interface::{comes_from_floats, float_types, misdeclared, other_ports, sizes, with_types_of_values};
use crate::onnx_runtime::ends_without_tokens;
use crate::relations::{Relations, candidates, describe};
use crate::runner::Runner;
use crate::special::Special;
use crate::tolerance::{Arithmetic, Criteria};
use crate::uses::Graphs;
use crate::verdict::{Produced, Run, Verdict};
use crate::verify::verdict;
use crate::{
    Array, Comparison, Difference, Options, RoundingEvidence, Runtime, Session, VerifyError, compare, given, logits,
    twin::{self, Noise},
};
use netwright_ir::{Bindings, ElementType};
use std::collections::BTreeMap;

/// The number of parameters above which a model runs with long inputs only on request.
const LARGE: i64 = 300_000_000;

/// The number of parameters up to which the greatest length of a model is searched, which loads it several times.
const SMALL: i64 = 20_000_000;

/// The multiple of the tolerance beyond which a difference is never accepted as rounding; at most the whole scale.
const MAX_ROUNDING: f64 = 100.0;

/// The same if a constant mask may hide rows, which a conversion can keep.
const MAX_ROUNDING_OF_CONSTANT_MASKS: f64 = 10.0;

/// One run with its inputs.
pub(crate) struct Case {
    pub(crate) bindings: Bindings,
    pub(crate) seed: u64,
    kind: SizesKind,
    inputs: Vec<(String, Array)>,
    /// Whether floats are so large that a correct model may overflow or lose all precision.
    is_extreme: bool,
    /// Whether a correct model may return NaN or infinities.
    may_be_nan: bool,
}

impl Case {
    fn run<T>(&self, outputs: Vec<T>) -> Run<T> {
        let bindings = self.bindings.iter().map(|(symbol, size)| (symbol.as_str().to_owned(), *size)).collect();
        Run { bindings, seed: self.seed, outputs }
    }

    pub(crate) fn borrowed(&self) -> Vec<(&str, &Array)> {
        borrowed(&self.inputs)
    }
}

/// Rounds the floats of inputs to these types, those of the second model.
fn round(inputs: &mut Named, types: &[(String, ElementType)]) {
    for (name, array) in inputs {
        if let Some((_, element)) = types.iter().find(|(rounded, _)| rounded == name) {
            *array = array.with_floats(*element).with_floats(array.element());
        }
    }
}

/// Returns the inputs of runs that [`verify`](crate::verify()) generated, by their sizes and seeds, and what the first
/// model `a` computes from them.
///
/// # Errors
/// If inputs cannot be generated, or the runtime does not run the model.
pub fn reruns<'m>(
    a: &'m ModelFile,
    b: Option<&ModelFile>,
    runtime: &'m Runtime,
    runs: &'m [(Bindings, u64)],
) -> Result<impl Iterator<Item = Result<[Named; 2], VerifyError>> + 'm, VerifyError> {
    let special = Special::new(a, b);
    let (types, _) = b.map(|b| float_types(a, b)).unwrap_or_default();
    let runner = Runner::new(a, runtime)?;
    Ok(runs.iter().map(move |(bindings, seed)| {
        let mut inputs = inputs_with(a, &special, bindings, *seed)?;
        round(&mut inputs, &types);
        let outputs = runner.run(&borrowed(&inputs), bindings)?;
        Ok([inputs, outputs])
    }))
}

pub(crate) fn borrowed(inputs: &[(String, Array)]) -> Vec<(&str, &Array)> {
    inputs.iter().map(|(name, array)| (name.as_str(), array)).collect()
}

/// Runs a model for several bindings, or runs two models and compares them.
///
/// The inputs have `special` elements.
pub(crate) fn judge(
    a: &ModelFile,
    b: Option<&ModelFile>,
    special: &Special,
    options: &Options,
) -> Result<Verdict, VerifyError> {
    if let Some(b) = b {
        let other = other_ports("input", &a.inputs(), &b.inputs());
        if let Some(what) = other.or_else(|| other_ports("output", a.outputs(), b.outputs())) {
            return Ok(Verdict::OtherInterface { what });
        }
    }
    let first = Runner::new(a, &options.runtime)?;
    let second = b.map(|b| Second::new(b, &options.runtime)).transpose()?;
    let (rounded, note) = b.map(|b| float_types(a, b)).unwrap_or_default();
    let mut notes: Vec<String> = note.into_iter().collect();
    let mut cases = cases(a, special, &first, options, &mut notes)?;
    if matches!(options.runtime, Runtime::Ort(_)) && [Some(a), b].into_iter().flatten().any(ends_without_tokens) {
        let planned = cases.len();
        cases.retain(|case| case.sizes.kind != SizesKind::Empty);
        if cases.len() < planned {
            notes.push("sizes of 0 are left out: GroupQueryAttention of ONNX Runtime divides by them".to_owned());
        }
    }
    let criteria = Criteria::new(a, b, options);
    let judge = Judge {
        a,
        first,
        options,
        criteria,
        rounded,
        special,
        notes,
        twins: None,
        rounded_twins: None,
        unjudged: None,
        refused_long: false,
        has_limit: false,
    };
    match second {
        None => judge.alone(cases),
        Some(second) => judge.compared(&second, cases),
    }
}

/// Plans the runs, and adds notes about them.
fn cases(
    model: &ModelFile,
    special: &Special,
    runner: &Runner<'_>,
    options: &Options,
    notes: &mut Vec<String>,
) -> Result<Vec<Planned>, VerifyError> {
    if let Some(path) = &options.inputs {
        let (bindings, inputs) = given::read(path, model)?;
        return Ok(vec![Planned {
            sizes: Sizes { bindings, kind: SizesKind::Usual },
            seed: options.seed,
            inputs: Some(inputs),
            place: (1, 1),
            relations: Relations::new(),
        }]);
    }
    let ports = model.inputs();
    // The dims that the user gives must fit the model, whatever relations are tried.
    bindings(&ports, &options.dims, options.long)?;
    let mut failed = None;
    for relations in candidates(model, &options.dims) {
        let Ok(mut all) = bindings(&ports, &relations, options.long) else { continue };
        let Some(usual) = all.first() else { continue };
        let made = inputs_with(model, special, &usual.bindings, options.seed)?;
        match runner.run(&borrowed(&made), &usual.bindings) {
            Ok(_) => {
                notes.extend(describe(&relations, &options.dims));
                if !options.long && parameters(model) > LARGE && all.iter().any(|sizes| sizes.kind == SizesKind::Long) {
                    notes.push(
                        "lengths of 64 and more are left out because the model is large; --long runs them".to_owned(),
                    );
                    all.retain(|sizes| !is_long(sizes.kind));
                }
                let count = all.len();
                let planned = all.into_iter().zip(0..).zip(1..).map(|((sizes, at), number)| Planned {
                    sizes,
                    seed: options.seed.wrapping_add(at),
                    inputs: None,
                    place: (number, count),
                    relations: relations.clone(),
                });
                return Ok(planned.collect());
            }
            Err(error) => failed = Some(error),
        }
    }
    Err(failed.unwrap_or(VerifyError::Sizes("no sizes fit the inputs of the model")))
}

/// Returns the first planned run, with its inputs, rounded to the float types of the second model if there is one.
pub(crate) fn first_case(
    model: &ModelFile,
    second: Option<(&ModelFile, &Special)>,
    runner: &Runner<'_>,
    options: &Options,
    notes: &mut Vec<String>,
) -> Result<Case, VerifyError> {
    let special = second.map_or_else(|| Special::new(model, None), |(_, special)| special.clone());
    let planned = cases(model, &special, runner, options, notes)?.into_iter().next();
    let Some(Planned { sizes: Sizes { bindings, kind }, seed, inputs: given, .. }) = planned else {
        return Err(VerifyError::Sizes("the model has no sizes to run with"));
    };
    let mut inputs = given.map_or_else(|| inputs_with(model, &special, &bindings, seed), Ok)?;
    if let Some((second, _)) = second {
        round(&mut inputs, &float_types(model, second).0);
    }
    Ok(Case { bindings, seed, kind, inputs, is_extreme: false, may_be_nan: false })
}

fn parameters(model: &ModelFile) -> i64 {
    model.graph.initializer.iter().map(|tensor| tensor.dims.iter().product::<i64>()).fold(0, i64::saturating_add)
}

struct Planned {
    sizes: Sizes,
    seed: u64,
    /// The inputs of the user; `None` to generate them.
    inputs: Option<Vec<(String, Array)>>,
    /// The number of the run, from 1, and the number of planned runs.
    place: (usize, usize),
    /// The sizes of symbols that follow from those of others.
    relations: Relations,
}

/// Arrays with the names of their inputs or outputs.
type Named = Vec<(String, Array)>;

struct Second<'m> {
    model: &'m ModelFile,
    runner: Runner<'m>,
}

impl<'m> Second<'m> {
    fn new(model: &'m ModelFile, runtime: &'m Runtime) -> Result<Self, VerifyError> {
        Ok(Self { model, runner: Runner::new(model, runtime)? })
    }
}

/// Two models in f64, or the reason why they have no f64 form.
type Twins = Result<[ModelFile; 2], String>;

struct Judge<'m> {
    a: &'m ModelFile,
    first: Runner<'m>,
    options: &'m Options,
    criteria: Criteria,
    /// The inputs whose values must be floats of the second model too, with their types in it.
    rounded: Vec<(String, ElementType)>,
    /// The elements that inputs must have in some runs.
    special: &'m Special,
    notes: Vec<String>,
    /// The two models in f64, or the reason why they have no f64 form.
    twins: Option<Twins>,
    /// The same with weights that are rounded to the narrowest type of the models.
    rounded_twins: Option<Twins>,
    /// The verdict for a run that the runtime is known to compute wrong.
    unjudged: Option<Verdict>,
    /// Whether the first model refused the last long run.
    refused_long: bool,
    /// Whether it refused any.
    has_limit: bool,
}

impl Judge<'_> {
    fn alone(mut self, cases: Vec<Planned>) -> Result<Verdict, VerifyError> {
        let mut runs = vec![];
        for planned in cases {
            let Some((case, outputs)) = self.run_first(planned)? else { continue };
            if let Some(why) = misdeclared(self.a, &outputs, &case.bindings) {
                if case.kind == SizesKind::Empty {
                    self.leave_out(&case, &why);
                    continue;
                }
                return Ok(self.fails(self.a, why));
            }
            if let Some((what, verdict)) = not_finite(self.a, &outputs, &self.options.runtime) {
                if !case.may_be_nan {
                    return Ok(verdict);
                }
                self.notes.push(format!("with {}, seed {}: {what}", sizes(&case.bindings), case.seed));
            }
            let produced = outputs.iter().map(|(name, array)| Produced { output: name.clone(), ty: array.to_string() });
            runs.push(case.run(produced.collect()));
        }
        Ok(Verdict::Runs { runtime: self.options.runtime.to_string(), runs, notes: self.notes, also: vec![] })
    }

    fn compared(mut self, second: &Second<'_>, cases: Vec<Planned>) -> Result<Verdict, VerifyError> {
        let (runtime, Criteria { tolerance, min_cosine, why, .. }) =
            (self.options.runtime.to_string(), self.criteria.clone());
        let vocabulary = logits::vocabulary(self.a);
        let mut runs: Vec<Run<Comparison>> = vec![];
        let mut is_noted = false;
        for planned in cases {
            let Some((case, left)) = self.run_first(planned)? else { continue };
            if let (Some(why), SizesKind::Empty) = (misdeclared(self.a, &left, &case.bindings), case.kind) {
                self.leave_out(&case, &why);
                continue;
            }
            let right = match (second.runner.run(&case.borrowed(), &case.bindings), case.kind) {
                (Ok(right), _) => right,
                // A runtime may refuse empty tensors that the model supports.
                (Err(error), SizesKind::Empty) => {
                    let cause = cause(error);
                    let why = format!("the second model refuses these sizes, the first runs\n{cause}");
                    self.leave_out(&case, &why);
                    continue;
                }
                (Err(error), _) => return verdict(error, &self.options.runtime, true),
            };
            // The optimizer keeps a declaration that holds for some sizes, and corrects others.
            let of_first = misdeclared(self.a, &left, &case.bindings);
            if let Some(why) =
                misdeclared(second.model, &right, &case.bindings).filter(|why| of_first.as_ref() != Some(why))
            {
                return Ok(self.fails(second.model, why));
            }
            if let (Some(why), false) = (of_first, is_noted) {
                is_noted = true;
                self.notes.push(format!("in the first model, {why}"));
            }
            let right = with_types_of_values(&left, right);
            let places = if case.may_be_nan { Where::FirstIsFinite } else { Where::Everywhere };
            let mut outputs = compare_at(&left, &right, tolerance, places);
            for (output, ((_, left), (_, right))) in outputs.iter_mut().zip(left.iter().zip(&right)) {
                output.predict(left, right, vocabulary);
            }
            // Integers have no cosine: without a float, nothing shows that the models are close.
            if min_cosine.is_some() && outputs.iter().any(Comparison::is_float) {
                outputs.iter_mut().for_each(Comparison::accept_beyond_tolerance);
            }
            if outputs.iter().any(|output| output.difference.is_some()) {
                if let Some(unjudged) = blind_spot(&outputs, second.model, &right, &self.options.runtime) {
                    self.unjudged.get_or_insert(unjudged);
                    continue;
                }
                // No value of models that are quantized differently agrees in f64.
                if min_cosine.is_none() {
                    self.arbitrate(second.model, &case, [&left, &right], &mut outputs);
                }
            }
            if outputs.iter().any(|output| output.difference.is_some()) {
                let models = (self.a, second.model);
                let blame = || blame(models, &case.borrowed(), &case.bindings, self.options, &self.criteria, &outputs);
                let has_blame = min_cosine.is_none() && !self.options.by_layer;
                let blame = if has_blame { blame() } else { None };
                let (run, notes) = (case.run(outputs), self.notes);
                return Ok(Verdict::Differs { runtime, tolerance, min_cosine, run, blame, notes });
            }
            runs.push(case.run(outputs));
        }
        if let Some(unjudged) = self.unjudged {
            return Ok(unjudged);
        }
        let is_beyond = runs.iter().flat_map(|run| &run.outputs).any(|output| output.beyond_tolerance > 0);
        let (notes, also) = (self.notes, vec![]);
        let Some(min_cosine) = min_cosine.filter(|_| is_beyond) else {
            return Ok(Verdict::Equal { runtime, tolerance, runs, notes, also });
        };
        let mut cosines = BTreeMap::new();
        for (at, output) in second.model.outputs().iter().enumerate() {
            let of_output =
                |run: &Run<Comparison>| run.outputs.get(at).map_or_else(Products::default, |one| one.products);
            let products = Products::of_runs(runs.iter().map(of_output));
            cosines.insert(output.name.clone(), products.cosine());
            let Some(difference) = products.difference(min_cosine) else { continue };
            let cosine = |run: &Run<Comparison>| of_output(run).cosine().unwrap_or(f64::MAX);
            let lowest = runs.iter().min_by(|a, b| cosine(a).total_cmp(&cosine(b))).cloned();
            let Some(mut run) = lowest else { break };
            if let Some(output) = run.outputs.get_mut(at) {
                output.difference = Some(difference);
            }
            let min_cosine = Some(min_cosine);
            return Ok(Verdict::Differs { runtime, tolerance, min_cosine, run, blame: None, notes });
        }
        Ok(Verdict::Close { runtime, min_cosine, why, cosines, runs, notes, also })
    }

    fn fails(&self, model: &ModelFile, why: String) -> Verdict {
        Verdict::Fails { file: model.name.clone(), why, runtime: Some(self.options.runtime.to_string()) }
    }

    /// Runs the first model with given or generated inputs; `None` if it refuses optional sizes.
    fn run_first(&mut self, planned: Planned) -> Result<Option<(Case, Named)>, VerifyError> {
        let Planned { sizes: Sizes { mut bindings, kind }, seed, inputs: given, place, relations } = planned;
        if kind == SizesKind::Shorter && !self.refused_long {
            return Ok(None);
        }
        if kind == SizesKind::Limit {
            let Some(longest) = self.longest(&relations, seed) else { return Ok(None) };
            bindings = longest;
        }
        self.options.run_starts(place, &bindings);
        let (graphs, ports) = (Graphs::new(&self.a.graph), self.a.inputs());
        let roles: Vec<Role> = ports.iter().map(|port| role(port, &graphs)).collect();
        let has = |wanted| roles.contains(&wanted);
        let (style, is_made) = (Style::of(seed).within(self.special), given.is_none());
        let is_extreme =
            is_made && style.is_extreme() && (has(Role::Floats) || has(Role::Integers) && style.is_signed());
        let hides_rows = style.hides_rows() && has(Role::Mask);
        // Integers near a large threshold are large.
        let is_large = |x: &f64| x.abs() > INTEGERS as f64;
        let is_compared = |(port, role): (&Port, &Role)| {
            *role == Role::Integers && self.special.thresholds(&port.name).iter().any(is_large)
        };
        let has_large = style.is_signed() && has(Role::Integers) || ports.iter().zip(&roles).any(is_compared);
        let may_be_nan = is_extreme || (is_made && (hides_rows || has_large));
        let inputs = given.map_or_else(|| inputs_with(self.a, self.special, &bindings, seed), Ok);
        let (bindings, inputs) = match (inputs, kind) {
            (Ok(inputs), _) => (bindings, inputs),
            (Err(error), SizesKind::Usual) => return Err(error),
            (Err(_), _) => return Ok(None),
        };
        let mut case = Case { bindings, seed, kind, inputs, is_extreme, may_be_nan };
        round(&mut case.inputs, &self.rounded);
        match (self.first.run(&case.borrowed(), &case.bindings), kind) {
            (Ok(outputs), kind) => {
                self.refused_long &= !is_long(kind);
                Ok(Some((case, outputs)))
            }
            (Err(error), SizesKind::Usual) => Err(error),
            (Err(error), _) => {
                self.refused_long |= is_long(kind);
                self.has_limit |= is_long(kind);
                let cause = cause(error);
                self.leave_out(&case, &format!("the first model refuses these sizes\n{cause}"));
                Ok(None)
            }
        }
    }

    /// Returns the sizes of the longest run that a small first model accepts, if it refused a long one: it looks up the last
    /// positions.
    fn longest(&self, relations: &Relations, seed: u64) -> Option<Bindings> {
        if !self.has_limit || parameters(self.a) > SMALL {
            return None;
        }
        let ports = self.a.inputs();
        let accepted = |length: i64| {
            let sizes = with_length(&ports, relations, length)?;
            let inputs = inputs_with(self.a, self.special, &sizes, seed).ok()?;
            self.first.run(&borrowed(&inputs), &sizes).is_ok().then_some(sizes)
        };
        let (mut found, mut low, mut high) = (None, 1, LONG);
        while high - low > 1 {
            let middle = i64::midpoint(low, high);
            match accepted(middle) {
                Some(sizes) => (found, low) = (Some(sizes), middle),
                None => high = middle,
            }
        }
        found
    }

    /// Notes that a run is left out; what follows the first line of `why` is printed only with all figures.
    fn leave_out(&mut self, case: &Case, why: &str) {
        self.notes.push(format!("with {}: left out; {}", sizes(&case.bindings), shortened(why)));
    }

    /// Runs both models in f64, and removes differences that are rounding.
    ///
    /// A difference that remains in f64 is one between the functions. Otherwise it is rounding, unless it is so large
    /// that the types of the models compute something else. In f16 and bf16, [noise](twin::Noise) decides that: some
    /// elements, such as those of rows that are masked as a whole, have no digits. It also decides about models that agree in
    /// f64 only after their weights are rounded to the same type, as a conversion rounds them.
    fn arbitrate(&mut self, second: &ModelFile, case: &Case, [a, b]: [&Named; 2], outputs: &mut [Comparison]) {
        let may_be_rounding = |output: &Comparison| match &output.difference {
            None => true,
            Some(Difference::Elements { .. }) if output.is_float() => output.error().is_some(),
            Some(Difference::Elements { .. }) => {
                [self.a, second].into_iter().all(|model| comes_from_floats(model, &output.output))
            }
            Some(_) => false,
        };
        if !outputs.iter().all(may_be_rounding) {
            return;
        }
        let run = |model: &ModelFile| {
            let inputs: Vec<(String, Array)> =
                case.inputs.iter().map(|(name, array)| (name.clone(), array.widened())).collect();
            let session = Session::plain(model, &case.bindings).map_err(|error| error.to_string())?;
            session.run(&borrowed(&inputs)).map_err(|error| error.to_string())
        };
        let (a_to_judge, narrow) = (self.a.to_judge(), self.criteria.narrow);
        let twins_of = |rounded| Ok([twin::twin(&a_to_judge, rounded)?, twin::twin(&second.to_judge(), rounded)?]);
        let run_twins = |twins: &Twins| match twins {
            Ok([left, right]) => run(left).and_then(|left| Ok([left, run(right)?])),
            Err(why) => Err(why.clone()),
        };
        let twins = &*self.twins.get_or_insert_with(|| twins_of(None));
        let plain = match run_twins(twins) {
            Ok(both) => both,
            Err(why) => {
                self.notes.push(format!("whether the difference is rounding cannot be checked in f64: {why}"));
                return;
            }
        };
        let tolerance = self.criteria.tolerance;
        let keeps_masks = !Arithmetic::of(self.a, &self.options.runtime).is_narrow();
        let has_masks = keeps_masks && twins.as_ref().is_ok_and(|[twin, _]| twin::has_constant_masks(&twin.graph));
        let multiple = if has_masks { MAX_ROUNDING_OF_CONSTANT_MASKS } else { MAX_ROUNDING };
        let pick = |all: &Named, name: &str| all.iter().find(|(other, _)| other == name).cloned();
        let agree = |both: &[Named; 2], name: &str| {
            let [left, right] = both.each_ref().map(|all| pick(all, name).into_iter().collect::<Named>());
            compare(&left, &right, tolerance).pop().filter(|found| found.difference.is_none())?.error()
        };
        let (mut noise, mut rounded): (Option<Option<Noise>>, Option<Option<[Named; 2]>>) = (None, None);
        let mut hidden: Option<Hidden> = None;
        for output in outputs.iter_mut().filter(|output| output.difference.is_some()) {
            let mut with_rounded_weights = || {
                let twins = &mut self.rounded_twins;
                let mut run = || run_twins(twins.get_or_insert_with(|| twins_of(narrow))).ok();
                agree(rounded.get_or_insert_with(|| narrow.and_then(|_| run())).as_ref()?, &output.output)
            };
            let in_f64 = agree(&plain, &output.output);
            let Some(error) = in_f64.or_else(&mut with_rounded_weights) else { continue };
            let observed = output.error().unwrap_or(0.0);
            let is_small = in_f64.is_some() && observed <= (multiple * tolerance).min(1.0);
            let mut explained = || {
                let noise = noise.get_or_insert_with(|| {
                    let Ok([twin, _]) = twins else { return None };
                    Noise::measure(twin, keeps_masks, &plain[0], self.criteria.step()?, run).ok()
                });
                let (_, a) = pick(a, &output.output)?;
                let (_, b) = pick(b, &output.output)?;
                noise.as_ref()?.explains(&output.output, [&a, &b], output.scale, tolerance)
            };
            let explained = if is_small { None } else { explained() };
            if is_small || explained.is_some() {
                let rounded_weights = in_f64.is_none();
                let hidden = hidden.get_or_insert_with(|| Hidden::new(self.a, &case.inputs));
                let outside = hidden.worst_outside(&output.output, [a, b], output.scale);
                let other_rows = outside.as_ref().map(|(error, _)| *error);
                output.worst = outside.and_then(|(_, worst)| worst).or(output.worst.take());
                let noise = explained;
                output.rounding = Some(RoundingEvidence { observed, twins: error, rounded_weights, noise, other_rows });
                output.difference = None;
            } else if case.is_extreme {
                self.notes.push(format!(
                    "with {}, seed {}: output `{}` is not compared, because these inputs leave it no \
                     precision: the error is {observed:.1e}, and {error:.1e} when both models compute in f64",
                    sizes(&case.bindings),
                    case.seed,
                    output.output
                ));
                output.leave_out(pick(a, &output.output).map_or(0, |(_, a)| a.any().len()));
            } else if in_f64.is_some() {
                self.notes.push(format!(
                    "output `{}` has an error of {error:.1e} when both models compute in f64, but differs in the types of the models",
                    output.output
                ));
            }
        }
    }
}

fn is_long(kind: SizesKind) -> bool {
    matches!(kind, SizesKind::Long | SizesKind::Shorter | SizesKind::Limit)
}

/// Returns the cause of a failure, without the name of the file.
fn cause(error: VerifyError) -> String {
    match error {
        VerifyError::Runtime { cause, .. } | VerifyError::Panic { cause, .. } => cause,
        error => error.to_string(),
    }
}
