//! What `optimize` advises: other options that fuse more, and why a model grew.

use super::summary::{Fused, Side};
use crate::args::{Opset, Optimize};
use crate::output::thousands;
use netwright::evaluate::Tract;
use netwright::ir::{Graph, Model, Op};
use netwright::passes::sites::sites;
use netwright::passes::{self, Options, Report, Target};
use schemars::JsonSchema;
use serde::Serialize;
use std::collections::BTreeMap;

/// What the model becomes with other options.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct Alternative {
    /// The flags that request it, such as `--opset auto`.
    pub(super) flags: &'static str,
    /// The opset of the result.
    pub(super) opset: i64,
    pub(super) fused: Fused,
}

/// Optimizes the result with other options, in memory, if a site is not fused. Options that fuse nothing more are left
/// out; `None` if the user restricts the passes.
///
/// What the passes recognize does not depend on the options, so that the result, which is smaller, stands for the model.
pub(super) fn alternatives(args: &Optimize, result: &Model, options: &Options, own: Fused) -> Option<Vec<Alternative>> {
    let is_restricted = options.only.is_some() || options.limits.stop_after.is_some() || options.share_cache;
    if is_restricted {
        return None;
    }
    if own.is_all() {
        return Some(vec![]);
    }
    let raises = args.emit.opset.is_none_or(|opset| opset == Opset::Auto);
    let same = |other: Options| other.with_skip(&options.skip).with_evaluator(Tract);
    let mut others = vec![];
    if !options.raise_opset {
        others.push(("--opset auto", Options::for_target(options.target).with_raise_opset(true)));
    }
    if options.target != Target::ORT {
        others.push(("--target ort", Options::for_target(Target::ORT).with_raise_opset(raises)));
    }
    let alternative = |(flags, options): (&'static str, Options)| {
        let mut model = result.clone();
        // An option that cannot be used is not advised.
        let report = passes::optimize(&mut model, &options).ok()?;
        let fused = Fused::new(&sites(&model, &report, &options));
        fused.is_more_than(own).then(|| Alternative { flags, opset: model.opset(), fused })
    };
    Some(others.into_iter().map(|(flags, options)| (flags, same(options))).filter_map(alternative).collect())
}

/// Returns why a model has more bytes than before, if it has; `is_external` says that its weights are in another file.
pub(super) fn growth(before: &Side, after: &Side, graph: &Graph, report: &Report, is_external: bool) -> Option<String> {
    let grown = after.bytes.checked_sub(before.bytes).filter(|&grown| grown > 0)?;
    let weights = after.weight_bytes.saturating_sub(before.weight_bytes);
    let passes =
        computed(graph, report).into_iter().map(|(pass, bytes)| format!("{pass} computed {}", thousands(bytes)));
    let passes: Vec<String> = passes.collect();
    let passes = if passes.is_empty() { String::new() } else { format!(" ({})", passes.join(", ")) };
    let rest = if is_external { "nodes, names and the alignment of weights" } else { "nodes and names" };
    let causes =
        [(weights, format!("weights and constants{passes}")), (grown.saturating_sub(weights), rest.to_owned())];
    let causes = causes.iter().filter(|(bytes, _)| *bytes > 0);
    let causes: Vec<String> = causes.map(|(bytes, what)| format!("{} in {what}", thousands(*bytes))).collect();
    Some(format!("the model grew by {} bytes: {}", thousands(grown), causes.join(", ")))
}

/// Returns the bytes of the weights and constants that each pass computed.
fn computed(graph: &Graph, report: &Report) -> BTreeMap<&'static str, u64> {
    let mut passes = BTreeMap::new();
    let by_name: BTreeMap<&str, &'static str> = report.applied.iter().map(|event| (&*event.node, event.pass)).collect();
    for id in graph.schedule() {
        let (Op::Parameter(tensor) | Op::Constant(tensor)) = graph.node(id).op() else { continue };
        let name = graph.results(id).next().map(|result| graph.value_name(result));
        if let Some(pass) = name.and_then(|name| by_name.get(&**name)) {
            *passes.entry(*pass).or_default() += tensor.len();
        }
    }
    passes
}
