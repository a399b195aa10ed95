//! Optimizes a model for a target, and lowers it.

use crate::add_cache;
use crate::convert::{
    QuantizedWeight, already_quantized, check_patterns, check_quantization, declined_in_functions, remove_narrowing,
    weight_names,
};
use crate::options::Options;
use crate::order::{self, Requested};
use crate::pass::{Pass, Stage};
use crate::pipeline::{self, Event, Limits, PassError, Report};
use crate::prove::Proofs;
use crate::read::sizes::has_partial_shape;
use crate::runtime::{contrib, shared_cache};
use crate::target::{self, Target};
use netwright_ir::{Dialect, Graph, Model, Name, OpKind, Value};
use std::borrow::Borrow;
use std::collections::HashSet;
use std::sync::{Arc, Mutex, PoisonError};

/// The maximum number of times that a model is optimized, each time with what is known of the last result.
const MAX_ATTEMPTS: usize = 8;

/// Optimizes a model for a target, then lowers it to the opset of the model.
///
/// The result depends only on the model: optimizing it again changes nothing, even if it is written and read in
/// between. If replacing operators of `com.microsoft` would leave an operator that cannot be decomposed at the opset,
/// they stay.
///
/// # Errors
/// If a pass is unknown or cannot be skipped, the graph violates invariants, or a pass misbehaves.
pub fn optimize(model: &mut Model, options: &Options) -> Result<Report, PassError> {
    let mut unmatched = vec![];
    if let Some(precision) = &options.precision {
        precision.expect_opset(model.opset())?;
        // A cache that is added has inputs and outputs of its own.
        if !options.add_cache {
            precision.expect_ports(&model.graph)?;
        }
        precision.expect_kept(&model.graph)?;
        unmatched = precision.unmatched_keeps(&model.graph);
    }
    let opset = model.opset();
    if let Some(quantization) = &options.quantization {
        check_quantization(model, options, quantization)?;
    }
    let is_quantized = options.quantization.is_some() && !options.dequantize && options.limits.stop_after.is_none();
    let already = if is_quantized { already_quantized(model) } else { None };
    let mut options = options.clone();
    if let Some(quantization) = &mut options.quantization {
        quantization.keeps_dequantized = already.is_some();
    }
    let options = &options;
    let mut tentative = order::all(&options.target, opset, Requested::default());
    tentative.retain(|pass| {
        pass.is_tentative.is_some_and(|is_tentative| is_tentative(&model.graph)) && is_selected(pass, options, opset)
    });
    let before = (!tentative.is_empty()).then(|| model.clone());
    let mut report = attempts(model, options, true)?;
    if let Some(error) = already.filter(|_| report.quantized.is_empty()) {
        return Err(error);
    }
    // Those that match nothing from the start are another model's.
    report.idle_patterns.retain(|pattern| !unmatched.contains(pattern));
    let Some(before) = before else { return Ok(report) };
    let Some((node, kind)) = unwritable(&model.graph, model, &options.target) else { return Ok(report) };
    *model = before;
    let mut without = options.clone();
    without.skip.extend(tentative.iter().map(|pass| pass.name.to_owned()));
    let mut report = optimize(model, &without)?;
    if !report.applied.is_empty() && options.limits.stop_after.is_none() {
        // Operators that could not be decomposed may be decomposed in a newer opset, or where the other passes left them.
        let kept = model.clone();
        // If that fails, the model is good as it was.
        if let Ok(next) = attempts(model, options, false)
            && unwritable(&model.graph, model, &options.target).is_none()
        {
            report.append(next);
            return Ok(report);
        }
        *model = kept;
    }
    let note =
        format!("it would leave {}, which can neither be kept nor decomposed at opset {}", kind.word(), model.opset());
    let event = |pass: &Pass| Event { pass: pass.name, rule: None, node: node.clone(), note: note.clone().into() };
    report.declined.extend(tentative.iter().map(event));
    Ok(report)
}

/// Runs all stages until another run would start from what is already known. In the first run, patterns of names must
/// match, and the KV cache is added and shared.
fn attempts(model: &mut Model, options: &Options, is_first: bool) -> Result<Report, PassError> {
    let (mut own, mut could_raise) = (model.opset(), can_raise(model, options));
    let mut report = attempt(model, options, is_first)?;
    let mut applied = report.applied.len();
    let attempts = if options.limits.stop_after.is_none() { MAX_ATTEMPTS } else { 0 };
    for _ in 0..attempts {
        // Operators that prevented a newer opset may be gone, and a newer opset may have shorter forms.
        let may_raise = !could_raise && can_raise(model, options);
        let has_new_forms = !has_partial_shape(own) && has_partial_shape(model.opset());
        // What was known when a value was rewritten may not follow from the result.
        let is_news = applied > 0 && model.graph.infer_anew();
        if !may_raise && !has_new_forms && !is_news {
            break;
        }
        (own, could_raise) = (model.opset(), can_raise(model, options));
        // The rules that declined are tried again.
        report.declined.clear();
        report.idle_patterns.clear();
        let next = attempt(model, options, false)?;
        applied = next.applied.len();
        report.append(next);
    }
    Ok(report)
}

/// Whether the opset may be raised.
fn can_raise(model: &Model, options: &Options) -> bool {
    options.raise_opset && model.functions.is_empty() && target::wanted_opset(&model.graph, &options.target).is_some()
}

/// Whether the options select a pass.
fn is_selected(pass: &Pass, options: &Options, opset: i64) -> bool {
    let is_named = |names: &[String]| names.iter().any(|name| name == pass.name);
    let is_wanted = || options.only.as_deref().map_or_else(|| pass.is_for(&options.target, opset), is_named);
    !is_named(&options.skip) && is_wanted()
}

/// Returns the first composite operator that the opset or the target does not have, and that was not lowered.
fn unwritable(graph: &Graph, model: &Model, target: &Target) -> Option<(Name, OpKind)> {
    graph.schedule().into_iter().find_map(|id| {
        let kind = graph.node(id).op().kind();
        let is_kept = target.keeps(kind, model.opset(), model.early_operators);
        let has_no_kernel = kind == OpKind::Attention && !target.attention.runs(graph, Value { node: id, result: 0 });
        if !is_kept || has_no_kernel {
            return Some((pipeline::name_of(graph, id), kind));
        }
        graph.node(id).op().bodies().into_iter().find_map(|body| unwritable(body, model, target))
    })
}

/// Runs all stages once.
fn attempt(model: &mut Model, options: &Options, is_first: bool) -> Result<Report, PassError> {
    let own = model.opset();
    let share_cache = options.share_cache && is_first;
    let add_cache = options.add_cache && is_first;
    let is_idle = options.only.as_ref().is_some_and(Vec::is_empty) && !share_cache && !add_cache;
    let may_raise = !is_idle && can_raise(model, options);
    let newest = if may_raise { own.max(options.target.newest_opset) } else { own };
    let requested = Requested::of(options);
    let quantized = requested.quantization.as_ref().map(|request| Arc::clone(&request.done));
    let mut target = options.target;
    target.attention.keeps_masked_rows &= !options.share_cache;
    let all = order::all(&target, newest, requested);
    check_names(&all, options, newest)?;
    if share_cache && !options.target.contrib {
        return Err(PassError::Cache(format!(
            "the target {} has no operator for it\n  help: choose the target ort",
            options.target
        )));
    }
    let optimizes = |pass: &Pass| pass.stages.iter().any(|stage| *stage != Stage::Lower);
    // Conversions are requested by options of their own, whatever passes are named.
    let converts = options.precision.is_some() || options.quantization.is_some() || options.dequantize;
    let is_skipped = |pass: &Pass| options.skip.iter().any(|name| name == pass.name);
    let converts = |pass: &Pass| converts && pass.converts() && !is_skipped(pass);
    let is_selected = |pass: &Pass| is_selected(pass, options, newest) || converts(pass);
    let mut selected: Vec<Arc<Pass>> = all.into_iter().map(Arc::new).collect();
    options.own.iter().for_each(|own| place(&mut selected, own));
    let is_own = |pass: &Arc<Pass>| options.own.iter().any(|own| Arc::ptr_eq(own, pass));
    selected.retain(|pass| is_own(pass) || optimizes(pass) && is_selected(pass));
    if !model.training.is_empty() {
        let nothing = selected.is_empty() && !share_cache && !add_cache;
        return if nothing { Ok(Report::default()) } else { Err(PassError::Training) };
    }
    if model.graph.has_bodies() {
        selected.iter().filter_map(|pass| pass.prepare).for_each(|prepare| prepare(&mut model.graph));
    }
    let in_stage = |stage| selected.iter().filter(move |pass| pass.stages.contains(&stage)).cloned();
    let optimizations: Vec<Arc<Pass>> = in_stage(Stage::Optimize).collect();
    let dialect = Dialect { opset: own, with_kernels: options.target.asks_for_kernels, lowered: &target::LOWERED };
    let is_named = options.quantization.as_ref().is_some_and(|quantization| !quantization.overrides.is_empty());
    let before = if is_named && is_first { weight_names(&model.graph) } else { vec![] };
    let mut cached = None;
    if add_cache {
        // Attention is examined as products and a softmax, in whatever form the model has it; weights stay in the forms that
        // the target runs.
        let target = Target { lacks: &[OpKind::Attention], weights: options.target.weights, ..Target::ONNX };
        let plain = Options { target, ..options.clone() };
        let mut early = order::all(&target, newest, Requested::default());
        early.retain(|pass| pass.stages.contains(&Stage::Optimize) && self::is_selected(pass, &plain, newest));
        let early: Vec<Arc<Pass>> = early.into_iter().map(Arc::new).collect();
        let dialect = Dialect { with_kernels: false, ..dialect };
        let mut report = run(dialect, &early, model, options, options.limits, false)?;
        report.applied.extend(add_cache::add_cache(&mut model.graph)?);
        if let Some(precision) = &options.precision {
            precision.expect_ports(&model.graph)?;
        }
        report.declined.clear();
        cached = Some(report);
    }
    let limits = cached.as_ref().map_or(options.limits, |report| left(options.limits, report));
    let mut report = run(dialect, &optimizations, model, options, limits, false)?;
    if let Some(mut first) = cached {
        first.append(report);
        report = first;
    }
    // Types are those that operators have at the opset to which the model is raised.
    let wanted =
        target::wanted_opset(&model.graph, &options.target).filter(|_| may_raise && options.precision.is_some());
    let raised = wanted.map_or(own, |wanted| wanted.clamp(own, newest));
    let dialect = Dialect { opset: raised, ..dialect };
    // Weights that are quantized here stay quantized: only those of the source become floats.
    let dequantizes = is_first || options.quantization.is_none();
    let stage = |stage| in_stage(stage).collect::<Vec<_>>();
    let dequantizations = if dequantizes { stage(Stage::Dequantize) } else { vec![] };
    let is_conversion =
        |pass: &&Arc<Pass>| [Stage::Convert, Stage::Converted].iter().any(|at| pass.stages.contains(at));
    let conversions: Vec<Arc<Pass>> = selected.iter().filter(is_conversion).cloned().collect();
    let still_quantized = convert(dialect, [&optimizations, &dequantizations], model, options, &mut report)?;
    if let Some(quantization) = options.quantization.as_ref().filter(|_| is_first) {
        check_patterns(&model.graph, quantization, &before)?;
    }
    let unconverted = convert(dialect, [&optimizations, &conversions], model, options, &mut report)?;
    report.declined.extend(unconverted.into_iter().chain(still_quantized));
    if let Some(quantization) = &options.quantization {
        report.declined.extend(declined_in_functions(model, quantization));
    }
    report.quantized = quantized.map_or_else(Vec::new, |done| applied(&done, &report));
    if share_cache {
        report.shared_before = shared_cache::shared_before(&model.graph);
        if report.shared_before.is_none() {
            let fuses = |name| selected.iter().any(|pass| pass.name == name && pass.forms == Some(OpKind::Attention));
            let unfused: Vec<&Event> = report.declined.iter().filter(|event| fuses(event.pass)).collect();
            report.applied.extend(shared_cache::share_cache(&mut model.graph, &unfused)?);
        }
    }
    if let Some(wanted) = target::wanted_opset(&model.graph, &options.target).filter(|_| may_raise) {
        model.opsets.insert(String::new(), wanted.clamp(raised, newest));
    }
    let mut lowering: Vec<Arc<Pass>> = lowerings(model, &options.target).into_iter().map(Arc::new).collect();
    lowering.extend(options.own.iter().filter(|own| own.stages.contains(&Stage::Lower)).cloned());
    if options.limits.stop_after.is_none() {
        lowering.extend(in_stage(Stage::Share));
        lowering.extend(options.precision.is_some().then(|| Arc::new(remove_narrowing())));
    }
    let limits = Limits { stop_after: None, ..options.limits };
    let lowered = run(lowered_dialect(model), &lowering, model, options, limits, true)?;
    report.append(lowered);
    if contrib::is_used(&model.graph) {
        model.opsets.entry(contrib::DOMAIN.to_owned()).or_insert(1);
    }
    Ok(report)
}

/// Inserts a pass of the caller after those that it names, or at the end.
fn place(passes: &mut Vec<Arc<Pass>>, own: &Arc<Pass>) {
    let last = passes.iter().rposition(|pass| own.after.contains(&pass.name));
    passes.insert(last.map_or(passes.len(), |at| at + 1), Arc::clone(own));
}

/// The weights that were quantized by rewrites that were not left out.
fn applied(done: &Mutex<Vec<QuantizedWeight>>, report: &Report) -> Vec<QuantizedWeight> {
    let mut done = std::mem::take(&mut *done.lock().unwrap_or_else(PoisonError::into_inner));
    let names: HashSet<&Name> = report.applied.iter().map(|event| &event.node).collect();
    done.retain(|weight| names.contains(&weight.name));
    done
}

/// Returns the limits of what runs after what is reported.
fn left(limits: Limits, report: &Report) -> Limits {
    Limits { stop_after: limits.stop_after.map(|after| after.saturating_sub(report.applied.len())), ..limits }
}

/// The maximum number of times that conversions and optimizations alternate.
const MAX_CONVERSIONS: usize = 8;

/// Runs conversions, and the optimizations again after each conversion that changed something. Returns what the
/// conversions declined.
fn convert(
    dialect: Dialect,
    [optimizations, conversions]: [&[Arc<Pass>]; 2],
    model: &mut Model,
    options: &Options,
    report: &mut Report,
) -> Result<Vec<Event>, PassError> {
    let left = |report: &Report| left(options.limits, report);
    if conversions.is_empty() {
        return Ok(vec![]);
    }
    for _ in 0..MAX_CONVERSIONS {
        let mut converted = run(dialect, conversions, model, options, left(report), false)?;
        let (is_settled, declined) = (converted.applied.is_empty(), std::mem::take(&mut converted.declined));
        report.idle_patterns.clear();
        report.append(converted);
        report.optimized = report.applied.len();
        if is_settled {
            // A pass may be of both stages.
            report.declined.retain(|event| !declined.contains(event));
            return Ok(declined);
        }
        report.declined.clear();
        report.append(run(dialect, optimizations, model, options, left(report), false)?);
        report.optimized = report.applied.len();
    }
    Err(PassError::Endless { pass: report.applied.last().map_or("", |event| event.pass) })
}

/// Checks the names of passes in the options.
///
/// # Errors
/// If a name is not that of a pass, two passes undo one another, or a required pass is skipped.
fn check_names(all: &[Pass], options: &Options, opset: i64) -> Result<(), PassError> {
    let is_known = |name: &str| all.iter().any(|pass| pass.name == name);
    let is_own = |name: &str| options.own.iter().any(|own| own.name == name);
    let mut requested = options.only.iter().flatten().chain(&options.skip).map(String::as_str);
    let unknown = requested.find(|name| !is_known(name));
    let named = || options.own.iter().flat_map(|own| own.after.iter().copied());
    if let Some(name) = unknown.or_else(|| named().find(|name| !is_known(name) && !is_own(name))) {
        let known = all.iter().map(|pass| pass.name).collect();
        return Err(PassError::UnknownPass { name: name.to_owned(), known });
    }
    let named = || all.iter().filter(|pass| options.only.is_some() && is_selected(pass, options, opset));
    let mut formed = named().filter_map(|pass| Some((pass, pass.forms?)));
    let opposed = formed.find_map(|(forms, kind)| {
        let lowers = named().find(|pass| pass.lowers == Some(kind) && pass.stages.contains(&Stage::Optimize))?;
        (!options.target.runs(kind, opset)).then_some((forms.name, lowers.name))
    });
    if let Some((forms, lowers)) = opposed {
        return Err(PassError::Opposed { forms, lowers, opset });
    }
    let is_skipped = |pass: &&Pass| options.skip.iter().any(|name| name == pass.name);
    match all.iter().find(|pass| is_skipped(pass) && pass.is_required(&options.target, opset, false)) {
        Some(required) => Err(PassError::Required(required.name)),
        None => Ok(()),
    }
}

/// The maximum number of runs without refuted rewrites before whole passes are left out.
const MAX_RUNS: usize = 8;

/// Runs passes. If rewrites are proven, runs them again until none is refuted.
///
/// # Errors
/// If a pass fails, or a rewrite that is `required` is refuted.
fn run(
    dialect: Dialect,
    passes: &[Arc<Pass>],
    model: &mut Model,
    options: &Options,
    limits: Limits,
    required: bool,
) -> Result<Report, PassError> {
    let Some(prover) = &options.prover else { return run_in(dialect, passes, &mut model.graph, limits, &mut None) };
    let original = model.graph.clone();
    let mut proofs = Some(Proofs::new(prover.clone()));
    let mut refuted = vec![];
    let mut runs = 0;
    loop {
        let mut report = run_in(dialect, passes, &mut model.graph, limits, &mut proofs)?;
        let (Some(proofs), Some(results)) = (&mut proofs, &mut report.proofs) else { return Ok(report) };
        if results.refuted.is_empty() {
            results.refuted = refuted;
            return Ok(report);
        }
        if let Some(event) = results.refuted.first().filter(|_| required) {
            return Err(PassError::Refuted(event.clone()));
        }
        proofs.ban(&results.refuted, runs >= MAX_RUNS);
        runs += 1;
        refuted.append(&mut results.refuted);
        model.graph = original.clone();
    }
}

/// Lowers operators that the target does not have in the opset of the model, and changes nothing else.
///
/// # Errors
/// If the graph violates invariants or a pass misbehaves.
pub fn lower(model: &mut Model, target: &Target, check: bool) -> Result<Report, PassError> {
    let (lowering, dialect) = (lowerings(model, target), lowered_dialect(model));
    run_in(dialect, &lowering, &mut model.graph, Limits { stop_after: None, check }, &mut None)
}

#[cfg(test)]
pub(crate) fn lower_by(passes: &[Arc<Pass>], model: &mut Model) -> Result<Report, PassError> {
    run_in(lowered_dialect(model), passes, &mut model.graph, Limits { stop_after: None, check: true }, &mut None)
}

/// Returns the passes that lower a model.
fn lowerings(model: &Model, target: &Target) -> Vec<Pass> {
    let mut passes = order::all(target, model.opset(), Requested::default());
    passes.retain(|pass| pass.is_required(target, model.opset(), model.early_operators));
    passes
}

/// Returns the dialect of lowering: all operators of the opset, with or without a kernel, because lowering is required.
fn lowered_dialect(model: &Model) -> Dialect {
    Dialect { opset: model.opset(), with_kernels: false, lowered: &target::LOWERED }
}

/// Runs passes on a graph whose inserted operators are restricted to a dialect.
fn run_in<P: Borrow<Pass>>(
    dialect: Dialect,
    passes: &[P],
    graph: &mut Graph,
    limits: Limits,
    proofs: &mut Option<Proofs>,
) -> Result<Report, PassError> {
    graph.set_dialect(Some(dialect));
    let outcome = pipeline::run_proving(passes, graph, limits, proofs);
    graph.set_dialect(None);
    outcome
}
