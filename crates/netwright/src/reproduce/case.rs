//! Two graphs that differ for some inputs, and their reduction.

use super::graphs::{Given, as_constant, computed, copied, is_computed, reached, rebuilt, values};
use super::{ReproduceError, Reproducer, Symptom};
use crate::ir::{Graph, Value, Window};
use crate::prove::{Form, RUNS, Sample, bindings, difference, instance, lowered, made_up, run, session};
use crate::verify::Array;
use std::collections::{BTreeMap, HashSet};

/// Two graphs with the same inputs and outputs that differ for given inputs.
pub(super) struct Case {
    form: Form,
    before: Graph,
    after: Graph,
    inputs: Vec<(String, Array)>,
    shown: Shown,
}

/// The outputs of two graphs, and their difference.
struct Shown {
    before: Vec<(String, Array)>,
    after: Option<Vec<(String, Array)>>,
    /// How they differ; `None` if the graph after the rewrite fails.
    symptom: Option<Symptom>,
    difference: String,
}

/// A value that both sides compute alike, or that only one reads: its value before and after, its name and elements.
type Shared = (Option<Value>, Option<Value>, (String, Array));

/// The number of values that are tried one by one as inputs.
const MAX_TRIES: usize = 64;

impl Case {
    /// Returns the first run in which the sides of a window differ as `wanted`. If any difference is, that is one in which
    /// both sides run, or else one in which the side after fails.
    pub(super) fn of(window: &Window, wanted: Option<Symptom>) -> Result<Self, ReproduceError> {
        let (mut failing, mut ran, mut not_run, mut has_other) = (None, false, None, false);
        let large: &[Sample] = if wanted == Some(Symptom::NotFinite) { &[Sample::Large] } else { &[] };
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
                for sample in samples.iter().chain(large).filter(|sample| **sample != Sample::Special) {
                    let arrays = inputs.iter().map(|input| made_up(input, *sample));
                    let shown = arrays.collect::<Result<Vec<_>, _>>().and_then(|inputs| {
                        let shown = shown(form, &before, &after, &inputs)?;
                        Ok(shown.map(|shown| (inputs, shown)))
                    });
                    match shown {
                        Ok(Some((_, shown))) if wanted.is_some() && shown.symptom != wanted => has_other = true,
                        Ok(Some((inputs, shown))) => {
                            let differs = shown.symptom.is_some();
                            let (before, after) = (before.clone(), after.clone());
                            let case = Self { form, before, after, inputs, shown };
                            if differs {
                                return Ok(case);
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
            // A failure in one form of operators only is a limit of tract.
            (Some(case), _) if !ran => Ok(case),
            _ if has_other => Err(ReproduceError::OtherSymptom),
            (_, Some(why)) if !ran => Err(ReproduceError::NotRun(why)),
            _ => Err(ReproduceError::Equal),
        }
    }

    /// Returns the case with fewer outputs and nodes that still differs in the same way.
    pub(super) fn shrunk(mut self) -> Self {
        let outputs = self.outputs();
        if let Some(smaller) = outputs.iter().find_map(|pair| self.attempt(&[*pair], &[])) {
            self = smaller;
        }
        while let Some(smaller) = self.before_last_node() {
            self = smaller;
        }
        // Values that only one side reads are known after the others are cut.
        self.cut().cut()
    }

    /// Returns the case with shared values as inputs, if it still differs.
    fn cut(self) -> Self {
        let (shared, outputs) = (self.shared(), self.outputs());
        if let Some(smaller) = self.attempt(&outputs, &shared) {
            return smaller;
        }
        let mut cut: Vec<Shared> = vec![];
        for one in shared.into_iter().rev().take(MAX_TRIES) {
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

    /// Returns the case that outputs an operand of the last node, if both sides end in the same node.
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

    /// Returns values that both sides compute alike, or that one side computes from inputs that the other does not
    /// read; operands first.
    fn shared(&self) -> Vec<Shared> {
        let Ok(mut before) = values(&self.before, self.form, &self.inputs) else { return vec![] };
        let after = values(&self.after, self.form, &self.inputs).ok();
        let alike = |name: &str, array: &Array, value: Value| match &after {
            Some(after) => after.get(name).is_some_and(|(_, other)| array.is_same(other)),
            // If the model after the rewrite fails, its values are unknown, but their types are known.
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

    /// Returns the case with these outputs and given shared values; `None` if the sides do not differ.
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
        // A failing model does not show the difference of a running one, nor rounding a NaN.
        (shown.symptom == self.shown.symptom).then(|| Self { form: self.form, before, after, inputs, shown })
    }

    pub(super) fn into_reproducer(self) -> Result<Reproducer, ReproduceError> {
        let model = |graph| lowered(graph, self.form).map_err(ReproduceError::NotRun);
        let Shown { before, after, difference, .. } = self.shown;
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

/// Runs both sides, and returns their outputs if they differ.
fn shown(form: Form, before: &Graph, after: &Graph, inputs: &[(String, Array)]) -> Result<Option<Shown>, String> {
    // Another runtime may load what tract cannot.
    let load = |graph: &Graph| session(&lowered(graph.clone(), form)?);
    let (before, after) = (load(before)?, load(after)?);
    let before = run(&before, inputs)?;
    let after = match run(&after, inputs) {
        Ok(after) => after,
        Err(error) => {
            let difference = format!("it fails where it ran before: {error}");
            return Ok(Some(Shown { before, after: None, symptom: None, difference }));
        }
    };
    let pairs = || before.iter().zip(&after).map(|((_, a), (_, b))| (a, b));
    let is_lost = |(a, b): &(&Array, &Array)| match (a.any().floats(), b.any().floats()) {
        (Some(a), Some(b)) => a.iter().zip(&b).any(|(a, b)| a.is_finite() && !b.is_finite()),
        _ => false,
    };
    let lost = pairs().find(is_lost);
    let symptom = Some(if lost.is_some() { Symptom::NotFinite } else { Symptom::Values });
    let difference = lost.into_iter().chain(pairs()).find_map(|(a, b)| difference(a, b, false));
    Ok(difference.map(|difference| Shown { before, after: Some(after), symptom, difference }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ir::parse;

    fn case(before: &str, after: &str) -> Result<Case, ReproduceError> {
        let graph = |body: &str| {
            parse(&format!("g(%x: f32[n, 4], %m: f32[n, 1]) {{\n{body}\nreturn %y\n}}")).expect("well-formed")
        };
        Case::of(&Window { before: graph(before), after: graph(after), can_widen: false }, None)
    }

    #[test]
    fn a_side_that_fails_is_shown_without_outputs() {
        let side = |index| {
            format!(
                "%a = sin %x : f32[n, 4]\n%s = shape %a : i64[2]\n%l = gather %s, {index} {{axis = 0}} : i64[]\n\
                     %y = gather %a, %l {{axis = 1}} : f32[n]"
            )
        };
        let case = case(&side(0), &side(1)).expect("it fails").shrunk();
        assert!(case.shown.after.is_none());
        assert!(case.shown.difference.starts_with("it fails where it ran before: "), "{}", case.shown.difference);
        assert!(case.inputs.iter().any(|(name, _)| name == "a"), "{}", case.before);
    }

    /// The side after the rewrite does not read the inputs of the mask.
    #[test]
    fn what_one_side_reads_becomes_an_input() {
        let common = "%a = sin %x : f32[n, 4]\n%b = exp %a : f32[n, 4]";
        let mask = "%c = neg %m : f32[n, 1]\n%d = exp %c : f32[n, 1]\n%e = sqrt %d : f32[n, 1]";
        let before = format!("{common}\n{mask}\n%f = add %b, %e : f32[n, 4]\n%y = cos %f : f32[n, 4]");
        let after = format!("{common}\n%y = cos %b : f32[n, 4]");
        let case = case(&before, &after).expect("it differs").shrunk();
        let expected = "reproducer(%b: f32[2, 4], %e: f32[2, 1]) {\n  %f = add %b, %e : f32[2, 4]\n";
        assert!(case.before.to_string().starts_with(expected), "{}", case.before);
        assert_eq!(case.after.schedule().len(), 3, "{}", case.after);
    }

    /// The first side is rounded in f16 for all inputs, and overflows for large ones.
    #[test]
    fn the_case_differs_as_the_models_do() {
        let square = "%b = mul %a, %a : f32[n, 4]\n%y = neg %b : f32[n, 4]";
        let before = format!("%a = mul %x, 1.0 : f32[n, 4]\n{square}");
        let narrow =
            "%h = cast %x {to = f16} : f16[n, 4]\n%i = mul %h, %h : f16[n, 4]\n%b = cast %i {to = f32} : f32[n, 4]";
        let after = format!("{narrow}\n%y = neg %b : f32[n, 4]");
        let graph = |body: &str| {
            parse(&format!("g(%x: f32[n, 4], %m: f32[n, 1]) {{\n{body}\nreturn %y\n}}")).expect("well-formed")
        };
        let window = Window { before: graph(&before), after: graph(&after), can_widen: false };
        for symptom in [Symptom::Values, Symptom::NotFinite] {
            let case = Case::of(&window, Some(symptom)).expect("it differs").shrunk();
            assert_eq!(case.shown.symptom, Some(symptom), "{}", case.shown.difference);
        }
        let window = Window { after: graph(&before.replace("1.0", "1.5")), ..window };
        let other = Case::of(&window, Some(Symptom::NotFinite)).err();
        assert!(matches!(other, Some(ReproduceError::OtherSymptom)), "{other:?}");
    }

    #[test]
    fn sides_that_cannot_be_run_say_why() {
        let sides = ["%y = sin %x : f32[n, 4]", "%y = \"my.domain::Twist@1\" %x : f32[n, 4]"];
        for after in sides {
            let why = case(sides[1], after).err().expect("tract does not know the operator");
            assert!(why.to_string().contains("my.domain"), "{why}");
        }
    }
}
