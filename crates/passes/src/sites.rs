//! Sites: every attention, normalization and activation of a model, and whether it is fused.
//!
//! ```
//! use netwright_ir::{Model, parse};
//! use netwright_passes::{Options, Target, optimize, sites::sites};
//! let graph = parse("
//! g(%x: f32[n]) {
//!   %gate = sigmoid %x : f32[n]
//!   %y = mul %x, %gate : f32[n]
//!   return %y
//! }")?;
//! let mut model = Model::new(graph);
//! let report = optimize(&mut model, &Options::default())?;
//! let sites = sites(&model, &report, &Options::default());
//! assert_eq!(
//!     sites.iter().map(ToString::to_string).collect::<Vec<_>>(),
//!     ["activation     %y: not fused: swish requires opset 24, but the model has opset 21"],
//! );
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

use crate::options::Options;
use crate::pass::Pass;
use crate::pipeline::Report;
use crate::rule::says_why;
use crate::target::since;
use netwright_ir::{ElementType, Graph, Model, Name, NodeId, Op, OpKind, Value, text};
use std::collections::BTreeMap;
use std::fmt;

/// The maximum number of operators between the parts of a site.
const MAX_STEPS: usize = 8;

/// The kind of a site.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum SiteKind {
    /// A softmax whose probabilities are multiplied with values.
    Attention,
    /// A value divided by its deviation or root mean square.
    Normalization,
    /// A value multiplied by a function of itself.
    Activation,
}

/// An attention, a normalization or an activation.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Site {
    /// The kind of the site.
    pub kind: SiteKind,
    /// The name of its result, or of the value by which it is recognized.
    pub name: Name,
    /// The operator that it is, with its form, or why it is not fused into one; for people.
    pub outcome: Result<String, String>,
}

impl fmt::Display for SiteKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            SiteKind::Attention => "attention",
            SiteKind::Normalization => "normalization",
            SiteKind::Activation => "activation",
        })
    }
}

impl fmt::Display for Site {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:<14} {}: ", self.kind, text::name(&self.name))?;
        match &self.outcome {
            Ok(form) => write!(f, "fused: {form}"),
            Err(reason) => write!(f, "not fused: {reason}"),
        }
    }
}

/// Returns the sites of a model that was optimized with these options, in program order, with reasons from the report.
pub fn sites(model: &Model, report: &Report, options: &Options) -> Vec<Site> {
    let mut declined: BTreeMap<(&str, &str), &str> = BTreeMap::new();
    for event in &report.declined {
        declined.entry((event.pass, &event.node)).or_insert(&event.note);
    }
    let is_ended = options.limits.stop_after.is_some_and(|most| report.optimized >= most);
    let mut sites = vec![];
    let reasons = Reasons { passes: crate::passes(), declined, options, is_ended, opset: model.opset() };
    find(&model.graph, &reasons, &mut sites);
    sites
}

/// How many sites of a kind there are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct FusedCount {
    /// The number of sites that are fused.
    pub fused: usize,
    /// The number of all sites.
    pub all: usize,
}

/// Returns how many sites of each kind there are.
pub fn counts(sites: &[Site]) -> BTreeMap<SiteKind, FusedCount> {
    let mut counts: BTreeMap<SiteKind, FusedCount> = BTreeMap::new();
    for site in sites {
        let count = counts.entry(site.kind).or_default();
        count.fused += usize::from(site.outcome.is_ok());
        count.all += 1;
    }
    counts
}

/// Returns how many sites of each kind are fused: `2 of 2 attentions, 5 of 5 normalizations are fused`.
pub fn summary(sites: &[Site]) -> String {
    let counts = counts(sites);
    if counts.is_empty() {
        return "there are no attentions, normalizations or activations".to_owned();
    }
    let counts: Vec<_> =
        counts.iter().map(|(kind, FusedCount { fused, all })| format!("{fused} of {all} {kind}s")).collect();
    format!("{} are fused", counts.join(", "))
}

struct Reasons<'r> {
    passes: Vec<Pass>,
    declined: BTreeMap<(&'r str, &'r str), &'r str>,
    options: &'r Options,
    /// Whether the run ended at the requested number of rewrites.
    is_ended: bool,
    opset: i64,
}

fn find(graph: &Graph, reasons: &Reasons, sites: &mut Vec<Site>) {
    for id in graph.schedule() {
        let value = Value { node: id, result: 0 };
        let op = graph.node(id).op();
        for body in op.bodies() {
            find(body, reasons, sites);
        }
        if let Some((kind, form)) = fused(graph, value) {
            sites.push(Site { kind, name: graph.value_name(value).clone(), outcome: Ok(form) });
        } else if let Some((kind, operator, path)) = unfused(graph, id) {
            let mut names = path.iter().map(|value| graph.value_name(*value));
            let pass = reasons.former(operator);
            let declined = names.clone().find_map(|name| Some((name, *reasons.declined.get(&(pass, &**name))?)));
            let name = declined.map_or_else(|| names.next_back(), |(name, _)| Some(name));
            let name = name.unwrap_or_else(|| graph.value_name(value)).clone();
            let reason = declined.map_or_else(
                || reasons.of(operator, pass, graph.fact(value).element()),
                |(_, reason)| reasons.resolved(reason),
            );
            sites.push(Site { kind, name, outcome: Err(reason) });
        }
    }
}

impl Reasons<'_> {
    /// Returns the name of the pass that forms an operator: the first, if others fold more into it.
    fn former(&self, operator: OpKind) -> &'static str {
        self.passes.iter().find(|pass| pass.forms == Some(operator)).map_or("", |pass| pass.name)
    }

    /// Returns a reason with that of another pass to which it refers.
    fn resolved(&self, reason: &str) -> String {
        let cause = self.declined.iter().find_map(|((pass, node), note)| {
            let reference = says_why(pass);
            let is_of_node = reason.strip_prefix(&*text::name(node)).is_some_and(|rest| rest.starts_with(' '));
            (is_of_node && reason.contains(&reference))
                .then(|| reason.replace(&reference, &format!("{pass} declines because {note}")))
        });
        cause.unwrap_or_else(|| reason.to_owned())
    }

    /// Returns why no rule was tried.
    fn of(&self, operator: OpKind, pass: &str, element: Option<ElementType>) -> String {
        let word = operator.word();
        let Options { target, only, skip, .. } = self.options;
        let is_named = |names: &[String]| names.iter().any(|name| name == pass);
        let runs = |former: &Pass| former.name == pass && former.is_for(target, self.opset);
        if operator == OpKind::Swish && target.contrib && element != Some(ElementType::F32) {
            crate::runtime::ONLY_F32.to_owned()
        } else if is_named(skip) || only.as_ref().is_some_and(|only| !is_named(only)) {
            format!("{pass} is not among the passes that were requested")
        } else if self.is_ended {
            "the run ended after the requested number of rewrites".to_owned()
        } else if self.passes.iter().any(runs) {
            format!("{pass} does not recognize its form")
        } else if self.opset < since(operator) {
            format!("{word} requires opset {}, but the model has opset {}", since(operator), self.opset)
        } else {
            format!("{} has no kernel for {word}, or computes its parts better", target.summary)
        }
    }
}

/// Returns the kind of site that an operator is, and its form.
fn fused(graph: &Graph, value: Value) -> Option<(SiteKind, String)> {
    let op = graph.op(value);
    let word = op.kind().word();
    Some(match op {
        Op::Attention { q_num_heads, kv_num_heads, .. } => {
            let heads = |at: usize, given: &Option<i64>| {
                let own = || graph.shape(graph.operand(value.node, at)?)?.get(1)?.known();
                given.or_else(own).map_or_else(|| "some".to_owned(), |heads| heads.to_string())
            };
            let (own, keys) = (heads(0, q_num_heads), heads(1, kv_num_heads));
            let mut form =
                if own == keys { format!("{word} of {own} heads") } else { format!("{word} of {own} heads on {keys}") };
            for (at, what) in [(3, ", masked"), (4, ", with a cache")] {
                if graph.operand(value.node, at).is_some() {
                    form += what;
                }
            }
            (SiteKind::Attention, form)
        }
        Op::LayerNormalization { .. } | Op::RMSNormalization { .. } => (SiteKind::Normalization, word.to_owned()),
        Op::Gelu { .. } | Op::Swish { .. } => (SiteKind::Activation, word.to_owned()),
        Op::Opaque(opaque) if &*opaque.domain == crate::runtime::contrib::DOMAIN => {
            let kind = match &*opaque.op_type {
                name if name.ends_with("Attention") => SiteKind::Attention,
                name if name.ends_with("Normalization") => SiteKind::Normalization,
                name if name.ends_with("Gelu") => SiteKind::Activation,
                _ => return None,
            };
            (kind, format!("{}.{}", opaque.domain, opaque.op_type))
        }
        _ => return None,
    })
}

/// Returns the operator that a site might be, and the values after the one by which it is recognized, which are the
/// roots of rules that decline.
fn unfused(graph: &Graph, id: NodeId) -> Option<(SiteKind, OpKind, Vec<Value>)> {
    let value = Value { node: id, result: 0 };
    let path = || {
        let mut path = vec![value];
        while let Some(&last) = path.last().filter(|_| path.len() < MAX_STEPS) {
            let users = graph.users(last);
            let next = users.iter().map(|(user, _)| Value { node: *user, result: 0 }).find(|next| {
                let kind = graph.kind(*next);
                !path.contains(next)
                    && matches!(kind, OpKind::Add | OpKind::Mul | OpKind::Div | OpKind::Reciprocal | OpKind::Cast)
            });
            let Some(next) = next else { break };
            path.push(next);
        }
        path
    };
    match graph.kind(value) {
        OpKind::Softmax | OpKind::ScaledSoftmax => {
            let product = first_after(graph, value, |next| graph.kind(next) == OpKind::MatMul)?;
            Some((SiteKind::Attention, OpKind::Attention, vec![product]))
        }
        OpKind::Sqrt => {
            let mut of = graph.operand(id, 0)?;
            for _ in 0..MAX_STEPS {
                match graph.kind(of) {
                    OpKind::ReduceMean | OpKind::ReduceSum => {
                        let square = graph.operand(of.node, 0)?;
                        let is_square = matches!(graph.kind(square), OpKind::Mul | OpKind::Pow);
                        let is_centered = graph.operand(square.node, 0).is_some_and(|of| graph.kind(of) == OpKind::Sub);
                        let kind = if is_centered { OpKind::LayerNormalization } else { OpKind::RMSNormalization };
                        return is_square.then(|| (SiteKind::Normalization, kind, path()));
                    }
                    OpKind::Add | OpKind::Div | OpKind::Mul | OpKind::Cast => {
                        of = (0..2)
                            .filter_map(|at| graph.operand(of.node, at))
                            .find(|of| graph.tensor(*of).is_none())?;
                    }
                    _ => return None,
                }
            }
            None
        }
        OpKind::Erf => Some((SiteKind::Activation, OpKind::Gelu, path())),
        OpKind::Tanh => {
            let path = path();
            let is_gate = graph.kind(*path.get(1)?) == OpKind::Add && graph.kind(*path.get(2)?) == OpKind::Mul;
            is_gate.then_some((SiteKind::Activation, OpKind::Gelu, path))
        }
        OpKind::Sigmoid => {
            let path: Vec<Value> = path().into_iter().take(2).collect();
            let gated = *path.get(1)?;
            let gate = graph.operand(id, 0)?;
            let gate = [Some(gate), graph.operand(gate.node, 0), graph.operand(gate.node, 1)];
            let is_own = graph.operands(gated.node).iter().any(|operand| operand.is_some() && gate.contains(operand));
            (graph.kind(gated) == OpKind::Mul && is_own).then_some((SiteKind::Activation, OpKind::Swish, path))
        }
        _ => None,
    }
}

/// Returns the first value after another that satisfies `is_match`, looking through operators that move or select
/// elements.
fn first_after(graph: &Graph, value: Value, is_match: impl Fn(Value) -> bool) -> Option<Value> {
    let mut open = vec![value];
    for _ in 0..MAX_STEPS {
        let users = graph.users(open.pop()?);
        for (user, at) in users {
            let next = Value { node: user, result: 0 };
            if is_match(next) && at == 0 {
                return Some(next);
            }
            if graph.kind(next).moves_elements() || matches!(graph.kind(next), OpKind::Where | OpKind::Cast) {
                open.push(next);
            }
        }
    }
    None
}
