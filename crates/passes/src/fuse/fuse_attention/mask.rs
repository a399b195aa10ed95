//! Combines the masks of the scores into one that is added, in the form that runtimes run.

use super::outcomes::{Effect, Step, Sum};
use super::scores::{Mask, Scores};
use crate::read::masks::{bounded, lifted};
use crate::read::numbers::Numbers;
use crate::read::sizes::Sizes;
use crate::read::thresholds::{Depths, HARMLESS, LIGHTEST, SHALLOW, TRACT_SKIPS};
use crate::rewrite::{cast, insert, number};
use crate::rule::Skip;
use crate::target::AttentionKernel;
use netwright_ir::{Dim, ElementType, Graph, Op, Tensor, Value};

/// Returns the masks as one for queries of the type `element`. `sizes` is the shape of the scores,
/// `[batch, heads, query, key]`; the first two axes of the mask may be 1. `None` if the masks have no effect.
pub(super) fn additive(
    graph: &mut Graph,
    root: Value,
    scores: &Scores,
    kernel: AttentionKernel,
    sizes: &[Dim; 4],
    element: ElementType,
) -> Result<Option<Value>, Skip> {
    let mut own = Depths::of(scores.mask_type(graph)?);
    let sums = Depths::of(if kernel.wide_sums { ElementType::F32 } else { element });
    // A form that adds in a wider type keeps scores that the narrow one rounds.
    if sums.element.bits() > own.element.bits() {
        own = sums;
    }
    if scores.guarded && !kernel.masked_rows {
        return Err(Skip::rejected("for a row that is fully masked, the target returns NaN but the model zeros"));
    }
    let mut masks = vec![];
    for mask in scores.masks.iter().rev() {
        masks.push((*mask, step(graph, *mask)?));
    }
    let has_unknown = masks.iter().any(|(_, step)| step.is_unknown);
    if has_unknown && masks.iter().filter(|(_, step)| step.effects.iter().any(|effect| rounds(effect, own))).count() > 1
    {
        return Err(Skip::rejected("a mask whose numbers are unknown may round the numbers that are added beside it"));
    }
    if !has_unknown && !masks.iter().any(|(_, step)| step.effects.iter().any(|effect| is_coarse(effect, own))) {
        masks.retain(|(_, step)| !is_harmless(step));
    }
    if masks.is_empty() {
        return Ok(None);
    }
    let rounds =
        own.element.bits() > sums.element.bits() || sums.element == ElementType::F16 && kernel.keeps_masked_rows;
    if let Some((mask, _)) = masks.iter().find(|(_, step)| step.is_unknown).filter(|_| rounds) {
        let (name, narrow) = (name(graph, *mask), sums.element);
        return Err(Skip::rejected(format!("the numbers of {name} are unknown, and {narrow} may round their sums")));
    }
    let plan = Plan { masks: &masks, own, sums, kernel, guarded: scores.guarded };
    let (forms, sum) = plan.find(graph)?;
    let mut mask = None;
    for ((own, step), form) in masks.iter().zip(&forms) {
        mask = Some(match *own {
            Mask::Added(added) => {
                let added = replaced(graph, root, added, step, form, sums.element)?;
                match mask {
                    Some(mask) => insert(graph, root, "masks", Op::Add, &[mask, added])?,
                    None => added,
                }
            }
            Mask::Filled { condition, masked, .. } => {
                let fill =
                    form.iter().find_map(|effect| if let Effect::Fill(fill) = effect { Some(*fill) } else { None });
                let fill = number(graph, root, "masked", sums.element, fill.unwrap_or(sums.masked))?;
                let kept = match mask {
                    Some(mask) => mask,
                    None => number(graph, root, "kept", sums.element, 0.0)?,
                };
                let (yes, no) = if masked { (fill, kept) } else { (kept, fill) };
                insert(graph, root, "mask", Op::Where, &[condition, yes, no])?
            }
        });
    }
    let Some(mut mask) = mask else { return Ok(None) };
    let least = Numbers::of(graph, mask).least;
    if plan.needs_lift(&sum) && least <= plan.limit() {
        mask = lifted(graph, root, mask, scores.guarded)?;
    }
    if !kernel.masked_rows && least == f64::NEG_INFINITY {
        mask = bounded(graph, root, mask)?;
    }
    widened(graph, root, mask, sizes).map(Some)
}

/// Whether a step does not change the softmax, provided that no other step has a [coarse](is_coarse) effect.
fn is_harmless(step: &Step) -> bool {
    matches!(step.effects.as_slice(), [Effect::Add(number)] if number.abs() <= HARMLESS)
}

/// Whether an effect has a number that rounds what is added to it, but does not absorb it.
fn is_coarse(effect: &Effect, depths: Depths) -> bool {
    matches!(effect, Effect::Add(number) | Effect::Fill(number) if *number < SHALLOW && !depths.absorbs(*number))
}

/// Whether an effect rounds the sum that it adds to, and does not absorb it.
fn rounds(effect: &Effect, depths: Depths) -> bool {
    match *effect {
        Effect::Add(number) => number != 0.0 && !depths.absorbs(number),
        Effect::Bias => true,
        Effect::Fill(_) => false,
    }
}

/// Returns the effects that a mask may have on a score.
fn step(graph: &Graph, mask: Mask) -> Result<Step, Skip> {
    match mask {
        Mask::Added(mask) => {
            let numbers = Numbers::of(graph, mask);
            let is_shallow = numbers.least >= SHALLOW && numbers.most <= -SHALLOW;
            if numbers.has_nan || numbers.few.is_some() && numbers.most == f64::INFINITY {
                return Err(Skip::rejected("a mask adds infinity or NaN, and a row of NaN may become zeros"));
            }
            let effects = match numbers.few {
                Some(few) => few.into_iter().map(Effect::Add).collect(),
                None => vec![Effect::Bias],
            };
            let is_unknown = effects == [Effect::Bias] && !is_shallow;
            let keeps_first = !is_unknown && Numbers::first_of_rows(graph, mask).least >= SHALLOW;
            Ok(Step { effects, keeps_first, is_unknown })
        }
        Mask::Filled { condition, masked, fill, .. } => {
            if fill.is_nan() || fill > LIGHTEST {
                return Err(Skip::rejected(format!("it replaces scores with {fill}, which does not mask them")));
            }
            let kept = if masked { 0.0 } else { 1.0 };
            let keeps_first = Numbers::first_of_rows(graph, condition).only() == Some(kept);
            Ok(Step { effects: vec![Effect::Add(0.0), Effect::Fill(fill)], keeps_first, is_unknown: false })
        }
    }
}

/// The input for choosing the form of a sum of masks.
struct Plan<'m> {
    masks: &'m [(Mask, Step)],
    /// The thresholds of the type in which the model adds masks to scores.
    own: Depths,
    /// The thresholds of the type in which the fused form adds them.
    sums: Depths,
    kernel: AttentionKernel,
    guarded: bool,
}

impl Plan<'_> {
    /// Returns the effects of each step in a sum of masks that is equivalent in every row, preferably one without a
    /// lift.
    fn find(&self, graph: &Graph) -> Result<(Vec<Vec<Effect>>, Sum), Skip> {
        let steps: Vec<Step> = self.masks.iter().map(|(_, step)| step.clone()).collect();
        let mut best = None;
        let mut why = None;
        let all = |number: f64| !self.guarded || number != f64::NEG_INFINITY;
        let finite = |number: f64| number != f64::NEG_INFINITY;
        for forms in [self.leveled(&steps, all), self.leveled(&steps, finite), self.natural(&steps)] {
            let Some(sum) = Sum::of(&steps, &forms, [self.own, self.sums]) else { continue };
            if let Some(difference) = sum.difference(self.kernel.keeps_masked_rows) {
                why.get_or_insert(difference);
            } else if !self.needs_lift(&sum) {
                return Ok((forms, sum));
            } else if best.is_none() {
                best = Some((forms, sum));
            }
        }
        best.ok_or_else(|| {
            let unknown = self.masks.iter().find(|(_, step)| step.is_unknown).map(|(mask, _)| name(graph, *mask));
            Skip::rejected(match (why, unknown) {
                (Some(why), _) => why,
                (None, Some(name)) => {
                    format!("it is unknown which scores {name} masks besides those that are replaced")
                }
                (None, None) => "its masks have too many distinct numbers".to_owned(),
            })
        })
    }

    /// Returns the steps with every deep number replaced by one that absorbs the scores and that runtimes support: the
    /// greatest becomes the number that hides scores, the next twice that, and so on.
    fn leveled(&self, steps: &[Step], may_change: impl Fn(f64) -> bool) -> Vec<Vec<Effect>> {
        let own = |effect: &Effect| match *effect {
            Effect::Fill(number) => Some(number),
            Effect::Add(number) => Some(number).filter(|number| *number <= self.own.huge),
            Effect::Bias => None,
        };
        let may_change = |number: &f64| may_change(*number);
        let is_single = |step: &Step| step.effects.iter().filter_map(own).count() == 1;
        let singles = steps.iter().filter(|step| is_single(step));
        let mut ranks: Vec<f64> =
            singles.flat_map(|step| step.effects.iter().filter_map(own)).filter(may_change).collect();
        ranks.sort_by(|a, b| b.total_cmp(a));
        ranks.dedup();
        let form =
            |step: &Step, effect: &Effect| match (own(effect).filter(may_change).filter(|_| is_single(step)), effect) {
                (Some(number), Effect::Fill(_)) => Effect::Fill(self.level(&ranks, number)),
                (Some(number), _) => Effect::Add(self.level(&ranks, number)),
                (None, effect) => *effect,
            };
        steps.iter().map(|step| step.effects.iter().map(|effect| form(step, effect)).collect()).collect()
    }

    /// Returns the steps as they are, except that a number that replaces scores without absorbing them is lowered.
    fn natural(&self, steps: &[Step]) -> Vec<Vec<Effect>> {
        let form = |effect: &Effect| match *effect {
            Effect::Fill(number) => Effect::Fill(self.sums.round(number.min(self.sums.masked))),
            Effect::Add(number) => Effect::Add(self.sums.round(number)),
            Effect::Bias => Effect::Bias,
        };
        steps.iter().map(|step| step.effects.iter().map(form).collect()).collect()
    }

    fn level(&self, ranks: &[f64], number: f64) -> f64 {
        #[expect(clippy::cast_precision_loss, reason = "the masks are few")]
        let rank = ranks.iter().position(|other| *other == number).unwrap_or(0) as f64;
        self.sums.round(self.sums.masked * (rank + 1.0))
    }

    /// Returns the number at which the runtime skips a row whose numbers are all that or less.
    fn limit(&self) -> f64 {
        if self.kernel.masked_rows { self.sums.ort_skips } else { TRACT_SKIPS }
    }

    /// Whether the runtime may skip a row for which the model computes a result.
    fn needs_lift(&self, sum: &Sum) -> bool {
        // A row of minus infinity alone is guarded, but not one in which a greater number follows.
        let least = if self.guarded { f64::MIN } else { f64::NEG_INFINITY };
        sum.may_be_whole(|number| number <= self.limit())
            && sum.may_have(|number| (least..=self.limit()).contains(&number))
    }
}

/// Returns the text of a mask for a message.
fn name(graph: &Graph, mask: Mask) -> String {
    match mask {
        Mask::Added(mask) | Mask::Filled { condition: mask, .. } => graph.operand_text(mask),
    }
}

/// Returns a mask in the type `element`, with the number that `form` changes replaced.
fn replaced(
    graph: &mut Graph,
    root: Value,
    mask: Value,
    step: &Step,
    form: &[Effect],
    element: ElementType,
) -> Result<Value, Skip> {
    let from = crate::rewrite::element(graph, mask)?;
    let widens = element.bits() > from.bits();
    let converted = |graph: &mut Graph, mask: Value| {
        if from == element { Ok(mask) } else { insert(graph, root, "mask", cast(element), &[mask]) }
    };
    let changed = step.effects.iter().zip(form).find_map(|(own, new)| match (own, new) {
        (Effect::Add(own), Effect::Add(new)) if own != new => Some((*own, *new)),
        _ => None,
    });
    let Some((own, new)) = changed else { return converted(graph, mask) };
    if let Op::Where = graph.op(mask) {
        let [condition, yes, no] = [0, 1, 2].map(|at| graph.operand(mask.node, at));
        let float = |value: Option<Value>| graph.tensor(value?).and_then(Tensor::float);
        if let (Some(condition), Some(a), Some(b)) = (condition, float(yes), float(no)) {
            let with = |number: f64| if number == own { new } else { number };
            let yes = number(graph, root, "yes", element, with(a))?;
            let no = number(graph, root, "no", element, with(b))?;
            return insert(graph, root, "mask", Op::Where, &[condition, yes, no]);
        }
    }
    // The replaced number is the least: a lower one is inserted after the cast, a greater one before it.
    if widens {
        let mask = converted(graph, mask)?;
        let (own, new) = (number(graph, root, "least", element, own)?, number(graph, root, "masked", element, new)?);
        let is_least = insert(graph, root, "deep", Op::LessOrEqual, &[mask, own])?;
        return insert(graph, root, "mask", Op::Where, &[is_least, new, mask]);
    }
    let least = number(graph, root, "masked", from, new)?;
    let mask = insert(graph, root, "mask", Op::Max, &[mask, least])?;
    converted(graph, mask)
}

/// Returns the mask with an axis for the queries and one for the keys, neither of them broadcast.
fn widened(graph: &mut Graph, root: Value, mask: Value, sizes: &[Dim; 4]) -> Result<Value, Skip> {
    let name = || graph.operand_text(mask);
    let shape = graph.shape(mask).ok_or_else(|| Skip::rejected(format!("the rank of {} is unknown", name())))?;
    if shape.len() > 4 {
        return Err(Skip::rejected(format!(
            "the rank of the mask {} is {}, but must be at most 4",
            name(),
            shape.len()
        )));
    }
    let mut own = vec![Dim::Known(1); 4 - shape.len()];
    own.extend(shape.iter().cloned());
    let mut wide = own.clone();
    for (axis, (own, size)) in own.iter().zip(sizes).enumerate() {
        if own.same(size) == Some(true) {
            continue;
        }
        if *own != Dim::Known(1) {
            let text = format!("axis {axis} of the mask {} does not provably fit the scores", name());
            return Err(Skip::rejected(text));
        }
        if axis >= 2 {
            wide[axis] = size.clone();
        }
    }
    if wide == own && (shape.len() == 4 || shape.len() == 2) {
        return Ok(mask);
    }
    // An axis that stays needs no size: an Expand takes the larger of both.
    let target: Vec<Dim> =
        wide.iter().zip(&own).map(|(wide, own)| if wide == own { Dim::Known(1) } else { wide.clone() }).collect();
    let expression = Sizes::of(graph).expression(&target, true);
    let shape = match expression {
        Some(expression) => expression.insert(graph, root)?,
        None => {
            return Err(Skip::rejected(format!(
                "the size to which the mask {} is broadcast is not an input's",
                name()
            )));
        }
    };
    insert(graph, root, "mask.wide", Op::Expand, &[mask, shape])
}
