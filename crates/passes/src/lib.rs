//! Patterns, rules, the pipeline that runs and explains them, and lowering for a target.
//!
//! A [`Rule`] is data: a [pattern] in the words of the text form, and a rewrite of what it finds, which says what
//! it did or [why not](Skip). [`passes`] lists what there is; [`optimize`] runs what a [`Target`] wants until
//! nothing applies, then lowers what ONNX has no form for; [`lower`] does the latter alone.
//!
//! ```
//! use netwright_ir::{Model, parse};
//! let graph = parse("
//! attention(%scores: f32[batch, heads, seq, seq], %mask: f32[batch, 1, 1, seq]) {
//!   %scaled = div %scores, 8.0 : f32[batch, heads, seq, seq]
//!   %masked = add %mask, %scaled : f32[batch, heads, seq, seq]
//!   %probs = softmax %masked {axis = -1} : f32[batch, heads, seq, seq]
//!   return %probs
//! }")?;
//! let mut model = Model::new(graph);
//! let report = netwright_passes::optimize(&mut model, &netwright_passes::Options::default())?;
//! assert_eq!(report.applied.iter().map(|event| event.pass).collect::<Vec<_>>(), [
//!     "canonicalize", "fuse-scale-softmax", "lower-scaled-softmax",
//! ]);
//! assert_eq!(model.graph.to_string(), "\
//! attention(%scores: f32[batch, heads, seq, seq], %mask: f32[batch, 1, 1, seq]) {
//!   %probs.scaled = mul %scores, 0.125 : f32[batch, heads, seq, seq]
//!   %probs.masked = add %probs.scaled, %mask : f32[batch, heads, seq, seq]
//!   %probs = softmax %probs.masked {axis = -1} : f32[batch, heads, seq, seq]
//!   return %probs
//! }
//! ");
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod cleanup;
mod evaluate;
mod fold;
mod fuse;
mod layout;
mod lower;
mod options;
pub mod pattern;
pub mod pipeline;
pub mod prove;
mod read;
pub mod rewrite;
mod rule;
mod runtime;
mod shapes;
pub mod sites;
pub mod target;
mod weights;

pub use cleanup::*;
pub use evaluate::{Evaluate, Evaluator};
pub use fold::*;
pub use fuse::*;
pub use layout::*;
pub use lower::*;
pub use options::Options;
pub use pipeline::{Body, Error, Event, Limits, Log, Pass, Report};
pub use prove::{Claim, Proof, Prove, Proven, Prover};
pub use rule::{Rewritten, Rule, Skip};
pub use runtime::*;
pub use shapes::*;
pub use target::Target;

use netwright_ir::{Dialect, Graph, Kind, Model, Name, Value};
use runtime::{contrib, shared_cache};
use std::borrow::Borrow;
use std::collections::BTreeSet;
use std::sync::{Arc, LazyLock};
use target::Scale;

/// Every pass, in the order in which they run.
pub fn passes() -> Vec<Pass> {
    let mut all = optimizations(&Target::ONNX, i64::MIN, None);
    // What a target does not run is decomposed before anything else, and what is formed on the way at the end.
    for pass in Target::ALL.iter().flat_map(|target| lowerings(target, i64::MIN)) {
        if all.iter().all(|other| other.name != pass.name) {
            all.push(pass);
        }
    }
    all
}

/// The operators that passes form; they run for targets that run these. See [`Target::runs`].
const FORMED: [(&str, Kind); 9] = [
    ("fold-cache-into-attention", Kind::Attention),
    ("fold-heads-into-attention", Kind::Attention),
    ("fold-repeated-heads", Kind::Attention),
    ("fuse-attention", Kind::Attention),
    ("fuse-gelu", Kind::Gelu),
    ("fuse-layer-normalization", Kind::LayerNormalization),
    ("fuse-rms-normalization", Kind::RMSNormalization),
    ("fuse-rotary-embedding", Kind::RotaryEmbedding),
    ("sink-heads-through-rotary", Kind::RotaryEmbedding),
];

fn optimizations(target: &Target, opset: i64, evaluator: Option<Evaluator>) -> Vec<Pass> {
    let mut passes = vec![
        eliminate_dead_code(),
        sink_constants(),
        inline_known_branches(),
        standardize_contrib_operators(),
        decompose_attention(target.runs(Kind::Attention, opset).then_some(target.attention)),
        canonicalize(),
        resolve_sequences(),
        fold_constants(),
        evaluate_constants(evaluator),
        eliminate_shape_chains(),
        simplify_indexing(),
        simplify_logic(),
        write_einsum_as_matmul(),
        choose_masked_scores(),
        narrow_broadcasts(),
        keep_reduced_axes(),
        merge_mean_factor(),
        gather_repeated(),
        sink_transposes(),
        cancel_transposes(),
        lift_transposes(),
        slice_packed_axis(),
        split_axes_before_transposing(),
        split_merged_heads(),
        merge_slices(),
        fold_padding(),
        fold_batch_normalization(),
        unflatten_gemm(target.keeps_gemm),
        eliminate_common_subexpressions(),
        fuse_layer_normalization(),
        fuse_rms_normalization(),
        fuse_gelu(),
        fuse_swish(),
        fuse_scale_softmax(),
        fuse_rotary_embedding(),
        sink_heads_through_rotary(),
        fuse_attention(target.attention),
        fold_repeated_heads(),
        fold_cache_into_attention(),
        fold_heads_into_attention(),
        fold_scale_into_projection(),
        fold_scale_into_embedding(),
        fold_degrees_of_freedom(),
        pack_projections(),
        fuse_bias_gelu(),
        sum_residuals(),
        use_fused_matmul(),
        share_constants_of_bodies(),
    ];
    // What takes the place of the operator is optimized with the rest.
    if !target.runs(Kind::RotaryEmbedding, opset) {
        let after = passes.iter().position(|pass| pass.name == "decompose-attention").map_or(0, |at| at + 1);
        passes.insert(after, decompose_rotary_embedding());
    }
    passes
}

/// Passes that may round otherwise than what they replace, or differ in the sign of zero or where that is NaN.
const ROUNDING: [&str; 27] = [
    "choose-masked-scores",
    "decompose-attention",
    "decompose-rotary-embedding",
    "fold-batch-normalization",
    "fold-cache-into-attention",
    "fold-degrees-of-freedom",
    "fold-heads-into-attention",
    "fold-padding",
    "fold-repeated-heads",
    "fold-scale-into-embedding",
    "fold-scale-into-projection",
    "fuse-attention",
    "fuse-bias-gelu",
    "fuse-gelu",
    "fuse-layer-normalization",
    "fuse-rms-normalization",
    "fuse-rotary-embedding",
    "fuse-scale-softmax",
    "fuse-swish",
    "merge-mean-factor",
    "pack-projections",
    "split-merged-heads",
    "standardize-contrib-operators",
    "sum-residuals",
    "unflatten-gemm",
    "use-fused-matmul",
    "write-einsum-as-matmul",
];

/// Whether what a pass leaves is equal bit by bit to what was there.
fn is_exact(pass: &str) -> bool {
    static EXACT: LazyLock<BTreeSet<&str>> = LazyLock::new(|| {
        let names = optimizations(&Target::ORT, i64::MAX, None).into_iter().map(|pass| pass.name);
        names.filter(|name| !ROUNDING.contains(name)).collect()
    });
    EXACT.contains(pass)
}

/// What makes a graph one that the target has a form for in that version of ONNX's operators.
fn lowerings(target: &Target, opset: i64) -> Vec<Pass> {
    let mut passes = vec![lower_scaled_softmax()];
    if opset < 15 {
        passes.push(decompose_partial_shape());
    }
    if !target.runs(Kind::Attention, opset) {
        passes.push(decompose_attention(None));
    }
    if target.contrib {
        passes.extend([use_quick_gelu(), use_contrib_rotary()]);
    }
    for (kind, decompose) in [
        (Kind::Gelu, decompose_gelu as fn() -> Pass),
        (Kind::LayerNormalization, decompose_layer_normalization),
        (Kind::RMSNormalization, decompose_rms_normalization),
        (Kind::RotaryEmbedding, decompose_rotary_embedding),
        (Kind::Swish, decompose_swish),
    ] {
        if !target.runs(kind, opset) {
            passes.push(decompose());
        }
    }
    passes
}

/// Optimizes a model for a target, then lowers it to the opset that it has.
///
/// The result depends on the graph alone: optimizing twice is optimizing once, and so is writing the model in between.
/// Where an operator of `com.microsoft` would become one that cannot be written out at the opset, those operators stay.
///
/// # Errors
/// When a pass is not known or cannot be skipped, the graph is broken, or a pass misbehaves.
pub fn optimize(model: &mut Model, options: &Options) -> Result<Report, Error> {
    let standardizes = !options.target.contrib && contrib::has_own(&model.graph);
    let before = standardizes.then(|| model.clone());
    let report = attempt(model, options)?;
    let stuck = unwritable(&model.graph, model, &options.target);
    let (Some(before), Some((node, kind))) = (before, stuck) else { return Ok(report) };
    *model = before;
    let pass = "standardize-contrib-operators";
    let mut options = options.clone();
    options.skip.push(pass.to_owned());
    let mut report = attempt(model, &options)?;
    let note = format!("{} can neither stand nor be written out at opset {}", kind.word(), model.opset());
    report.declined.push(Event { pass, node, note: note.into() });
    Ok(report)
}

/// The first operator that stands for several, that the opset or the target does not have and that was not lowered.
fn unwritable(graph: &Graph, model: &Model, target: &Target) -> Option<(Name, Kind)> {
    graph.schedule().into_iter().find_map(|id| {
        let kind = graph.node(id).op().kind();
        let is_early = model.early_operators && kind == Kind::LayerNormalization;
        let is_missing = model.opset() < target::since(kind) && !is_early;
        let has_no_kernel = kind == Kind::Attention && !target.attention.runs(graph, Value { node: id, result: 0 });
        if is_missing || has_no_kernel {
            return Some((pipeline::name_of(graph, id), kind));
        }
        graph.node(id).op().bodies().into_iter().find_map(|body| unwritable(body, model, target))
    })
}

fn attempt(model: &mut Model, options: &Options) -> Result<Report, Error> {
    let known: Vec<&'static str> = passes().iter().map(|pass| pass.name).collect();
    let named = options.only.iter().flatten().chain(&options.skip);
    if let Some(name) = named.into_iter().find(|name| !known.contains(&name.as_str())) {
        return Err(Error::UnknownPass { name: name.clone(), known });
    }
    let own = model.opset();
    let is_idle = options.only.as_ref().is_some_and(Vec::is_empty) && !options.share_cache;
    let may_raise = options.raise_opset
        && !is_idle
        && model.functions.is_empty()
        && target::wanted_opset(&model.graph, &options.target).is_some();
    let newest = if may_raise { own.max(options.target.newest_opset) } else { own };
    let skipped = |pass: &Pass| options.skip.iter().any(|name| name == pass.name);
    if let Some(required) = lowerings(&options.target, newest).iter().find(|pass| skipped(pass)) {
        return Err(Error::Required(required.name));
    }
    if options.share_cache && !options.target.contrib {
        return Err(Error::Cache(format!("the target {} has no operator for it; ort has", options.target)));
    }
    let mut selected = optimizations(&options.target, newest, options.evaluator.clone());
    selected.retain(|pass| !skipped(pass));
    selected.retain(|pass| match &options.only {
        Some(only) => only.iter().any(|name| name == pass.name),
        None => is_wanted(pass.name, &options.target, newest),
    });
    if !model.training.is_empty() {
        let nothing = selected.is_empty() && options.own.is_empty() && !options.share_cache;
        return if nothing { Ok(Report::default()) } else { Err(Error::Training) };
    }
    // What is captured is not known in a body, so that the tensors of bodies are shared once nothing asks for them.
    let (late, selected): (Vec<Pass>, Vec<Pass>) =
        selected.into_iter().partition(|pass| pass.name == "share-constants-of-bodies");
    if !late.is_empty() && model.graph.has_bodies() {
        weights::unify(&mut model.graph);
    }
    let mut selected: Vec<Arc<Pass>> = selected.into_iter().map(Arc::new).collect();
    selected.extend(options.own.iter().cloned());
    let dialect = Dialect { opset: own, with_kernels: options.target.asks_for_kernels, lowered: &target::LOWERED };
    let mut report = run(dialect, &selected, model, options, options.limits, false)?;
    if options.share_cache {
        report.applied.extend(shared_cache::share_cache(&mut model.graph)?);
    }
    if let Some(wanted) = target::wanted_opset(&model.graph, &options.target).filter(|_| may_raise) {
        model.opsets.insert(String::new(), wanted.clamp(own, newest));
    }
    let mut lowering: Vec<Arc<Pass>> = lowerings_of(model, &options.target).into_iter().map(Arc::new).collect();
    // What several nodes are written as has constants in common.
    let shares = options.limits.stop_after.is_none();
    lowering.extend(selected.into_iter().filter(|pass| shares && pass.name == "eliminate-common-subexpressions"));
    lowering.extend(late.into_iter().filter(|_| shares).map(Arc::new));
    let limits = Limits { stop_after: None, ..options.limits };
    let lowered = run(lowered_dialect(model), &lowering, model, options, limits, true)?;
    report.applied.extend(lowered.applied);
    report.declined.extend(lowered.declined);
    if let (Some(proven), Some(lowered)) = (&mut report.proven, lowered.proven) {
        proven.proven += lowered.proven;
        proven.unproven.extend(lowered.unproven);
        proven.refuted.extend(lowered.refuted);
    }
    if contrib::is_used(&model.graph) {
        model.opsets.entry(contrib::DOMAIN.to_owned()).or_insert(1);
    }
    Ok(report)
}

/// How often a run begins again without the rewrites that were refuted, before whole passes are left out.
const MOST_RUNS: usize = 8;

/// Runs passes; where rewrites are proven, until none is refuted. Those that are required cannot be left out.
fn run(
    dialect: Dialect,
    passes: &[Arc<Pass>],
    model: &mut Model,
    options: &Options,
    limits: Limits,
    required: bool,
) -> Result<Report, Error> {
    let Some(prover) = &options.prover else { return run_in(dialect, passes, &mut model.graph, limits, &mut None) };
    let original = model.graph.clone();
    let mut proofs = Some(prove::Proofs::new(prover.clone()));
    let mut refuted = vec![];
    let mut runs = 0;
    loop {
        let mut report = run_in(dialect, passes, &mut model.graph, limits, &mut proofs)?;
        let (Some(proofs), Some(proven)) = (&mut proofs, &mut report.proven) else { return Ok(report) };
        if proven.refuted.is_empty() {
            proven.refuted = refuted;
            return Ok(report);
        }
        if let Some(event) = proven.refuted.first().filter(|_| required) {
            return Err(Error::Refuted(event.clone()));
        }
        proofs.ban(&proven.refuted, runs >= MOST_RUNS);
        runs += 1;
        refuted.append(&mut proven.refuted);
        model.graph = original.clone();
    }
}

/// Whether a pass is one for that target in that opset.
fn is_wanted(pass: &str, target: &Target, opset: i64) -> bool {
    match pass {
        "fold-batch-normalization"
        | "fold-degrees-of-freedom"
        | "fold-scale-into-embedding"
        | "fold-scale-into-projection" => {
            return target.scale == Scale::Projection;
        }
        "standardize-contrib-operators" => return !target.contrib,
        // ONNX's Swish runs nowhere; what is gained is QuickGelu.
        "fuse-bias-gelu" | "fuse-swish" | "pack-projections" | "sum-residuals" | "use-fused-matmul" => {
            return target.contrib;
        }
        _ => {}
    }
    let formed = FORMED.iter().find(|(name, _)| *name == pass);
    formed.is_none_or(|(_, kind)| target.runs(*kind, opset))
}

/// Lowers to what the target has a form for in the opset of the model, and changes nothing else.
///
/// # Errors
/// When the graph is broken or a pass misbehaves.
pub fn lower(model: &mut Model, target: &Target, check: bool) -> Result<Report, Error> {
    let (lowering, dialect) = (lowerings_of(model, target), lowered_dialect(model));
    run_in(dialect, &lowering, &mut model.graph, Limits { stop_after: None, check }, &mut None)
}

/// What lowers a model; operators that came before their opset stay.
fn lowerings_of(model: &Model, target: &Target) -> Vec<Pass> {
    let mut passes = lowerings(target, model.opset());
    if model.early_operators {
        passes.retain(|pass| pass.name != "decompose-layer-normalization");
    }
    passes
}

/// What lowering may form: what the opset has, whether there is a kernel or not, since it cannot be done without.
fn lowered_dialect(model: &Model) -> Dialect {
    Dialect { opset: model.opset(), with_kernels: false, lowered: &target::LOWERED }
}

/// Runs passes that form nothing but operators of a dialect.
fn run_in<P: Borrow<Pass>>(
    dialect: Dialect,
    passes: &[P],
    graph: &mut Graph,
    limits: Limits,
    proofs: &mut Option<prove::Proofs>,
) -> Result<Report, Error> {
    graph.set_dialect(Some(dialect));
    let outcome = pipeline::run_proving(passes, graph, limits, proofs);
    graph.set_dialect(None);
    outcome
}

/// The lines of two texts, those that are gone behind `-` and those that are new behind `+`; empty where none are.
pub fn diff(before: &str, after: &str) -> String {
    if before == after {
        return String::new();
    }
    let diff = similar::TextDiff::from_lines(before, after);
    diff.iter_all_changes().map(|change| format!("{}{change}", change.tag())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn passes_that_round_are_passes() {
        let known: BTreeSet<&str> = passes().iter().map(|pass| pass.name).collect();
        let unknown: Vec<&&str> = ROUNDING.iter().filter(|name| !known.contains(**name)).collect();
        assert_eq!(unknown, Vec::<&&str>::new());
    }

    #[test]
    fn exact_are_the_passes_that_do_not_round() {
        for (name, expected) in [
            ("canonicalize", true),
            ("cancel-transposes", true),
            ("fold-batch-normalization", false),
            ("write-einsum-as-matmul", false),
            ("of-the-caller", false),
        ] {
            assert_eq!(is_exact(name), expected, "{name}");
        }
    }
}
