//! Passes: what each does, and all that the pipeline knows of it.

use crate::pattern::{Found, Pattern, op};
use crate::pipeline::Log;
use crate::rule::{Rewritten, Rule};
use crate::target::{self, Target};
use netwright_ir::{Graph, OpKind, Value};
use std::fmt;
use std::sync::Arc;

/// A pass, and all that is known of it: a pass of a few rules is a card and a rewrite.
///
/// ```
/// use netwright_ir::{OpKind, parse};
/// use netwright_passes::pipeline::{Limits, run};
/// use netwright_passes::rewrite::become_value;
/// use netwright_passes::{Exactness, Pass, Skip};
///
/// let drop_abs = Pass::new("drop-abs", "abs(exp(x)) -> exp(x)", Exactness::Bits).at([OpKind::Abs], |graph, root| {
///     let operand = graph.operand(root.node, 0).filter(|operand| graph.kind(*operand) == OpKind::Exp);
///     become_value(graph, root, operand.ok_or(Skip::NoMatch)?, "is positive already")
/// });
/// let mut graph = parse("g(%x: f32[n]) {\n%a = exp %x : f32[n]\n%b = abs %a : f32[n]\n%y = neg %b : f32[n]\nreturn %y\n}")?;
/// let report = run(&[drop_abs], &mut graph, Limits::default())?;
/// assert_eq!(report.applied[0].to_string(), "drop-abs: %b: is positive already");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
#[non_exhaustive]
pub struct Pass {
    /// A verb phrase in kebab case: the word on the command line, of the file and of the snapshots.
    pub name: &'static str,
    /// One line on what it does.
    pub summary: &'static str,
    /// How near its results are to those that they take the place of.
    pub exactness: Exactness,
    /// When it runs; among the optimizations by default.
    pub stages: &'static [Stage],
    /// The operator that it forms; by default, such a pass runs for targets that [run](Target::runs) it.
    pub forms: Option<OpKind>,
    /// The operator that it writes out, so that lowering needs it for targets that do not run that.
    pub lowers: Option<OpKind>,
    /// The targets and opsets that it runs for, where that is not told by what it forms.
    pub runs_for: Option<fn(&Target, i64) -> bool>,
    /// Passes of the same stages that must run before it, because of what both might take.
    pub after: &'static [&'static str],
    /// Prepares a graph with bodies, before any pass runs.
    pub(crate) prepare: Option<fn(&mut Graph)>,
    /// Whether it may leave such a graph with operators that cannot be written at the opset of the model. Optimization then
    /// begins again without it.
    pub(crate) is_tentative: Option<fn(&Graph) -> bool>,
    /// How it does it.
    pub body: Body,
}

/// How near the results of a pass are to those that they take the place of.
///
/// ```compile_fail
/// // A pass says how exact it is: there is no default.
/// netwright_passes::Pass::new("drop-abs", "abs(exp(x)) -> exp(x)");
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Exactness {
    /// Equal bit by bit, for NaN, infinities and -0.0 too.
    Bits,
    /// Equal, but for the sign of zero and for results that are not finite.
    Numbers,
    /// Rounded otherwise.
    Rounding,
}

impl Exactness {
    /// How far results in `f32` may be apart, as a share of the scale of the result.
    pub fn tolerance(self) -> f64 {
        match self {
            Exactness::Bits | Exactness::Numbers => 0.0,
            Exactness::Rounding => 1e-5,
        }
    }
}

/// A part of optimization: its passes run in order, again and again until none applies.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Stage {
    /// The optimizations.
    Optimize,
    /// Changes of element types, only on request: after the optimizations, which run again where something changed.
    Convert,
    /// What makes the graph one that can be written for the target; none of it can be skipped.
    Lower,
    /// What shares constants, beside lowering: several nodes are written with the same ones.
    Share,
}

/// How a pass works.
pub enum Body {
    /// Rules, tried in this order at every node, operands before what reads them.
    Rules(Vec<Rule>),
    /// A function of the whole graph; it asks [`Log::may_apply_at`] before a change and tells [`Log::applied_in`] of it.
    /// It runs on the graph, then on each body.
    Graph(GraphFunction),
    /// The same, of the graph and the bodies in it together.
    Whole(GraphFunction),
}

/// A function of a graph, which records what it does.
pub type GraphFunction = Box<dyn Fn(&mut Graph, &mut Log) + Send + Sync>;

impl fmt::Debug for Body {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Body::Rules(rules) => f.debug_tuple("Rules").field(rules).finish(),
            Body::Graph(_) => f.write_str("Graph"),
            Body::Whole(_) => f.write_str("Whole"),
        }
    }
}

impl Pass {
    /// A pass that has yet to be given what it does.
    pub fn new(name: &'static str, summary: &'static str, exactness: Exactness) -> Self {
        Self {
            name,
            summary,
            exactness,
            stages: &[Stage::Optimize],
            forms: None,
            lowers: None,
            runs_for: None,
            after: &[],
            prepare: None,
            is_tentative: None,
            body: Body::Rules(vec![]),
        }
    }

    /// Adds a rule, with the name of the pass, at every node of those kinds.
    #[must_use]
    pub fn at<const N: usize>(
        mut self,
        kinds: [OpKind; N],
        rewrite: impl Fn(&mut Graph, Value) -> Rewritten + Send + Sync + 'static,
    ) -> Self {
        let rewrite = Arc::new(rewrite);
        for kind in kinds {
            let rewrite = Arc::clone(&rewrite);
            self = self.matching(op(kind), move |graph, found| rewrite(graph, found.root()));
        }
        self
    }

    /// Adds a rule, with the name of the pass, at every match of a pattern.
    #[must_use]
    pub fn matching(
        self,
        pattern: Pattern,
        rewrite: impl Fn(&mut Graph, &Found) -> Rewritten + Send + Sync + 'static,
    ) -> Self {
        let rule = Rule::new(self.name, self.summary, pattern, rewrite);
        self.rules([rule])
    }

    /// Adds rules that have names of their own.
    #[must_use]
    pub fn rules(mut self, rules: impl IntoIterator<Item = Rule>) -> Self {
        match &mut self.body {
            Body::Rules(own) => own.extend(rules),
            Body::Graph(_) | Body::Whole(_) => self.body = Body::Rules(rules.into_iter().collect()),
        }
        self
    }

    /// Works by a function of the whole graph, in place of rules.
    #[must_use]
    pub fn on_graph(self, function: impl Fn(&mut Graph, &mut Log) + Send + Sync + 'static) -> Self {
        Self { body: Body::Graph(Box::new(function)), ..self }
    }

    /// Works by a function of the graph and the bodies in it together, instead of rules.
    #[must_use]
    pub fn on_whole(self, function: impl Fn(&mut Graph, &mut Log) + Send + Sync + 'static) -> Self {
        Self { body: Body::Whole(Box::new(function)), ..self }
    }

    /// Forms that operator.
    #[must_use]
    pub fn forms(self, kind: OpKind) -> Self {
        Self { forms: Some(kind), ..self }
    }

    /// Writes that operator out when the graph is lowered.
    #[must_use]
    pub fn lowers(self, kind: OpKind) -> Self {
        Self { lowers: Some(kind), stages: &[Stage::Lower], ..self }
    }

    /// Runs in those stages.
    #[must_use]
    pub fn in_stages(self, stages: &'static [Stage]) -> Self {
        Self { stages, ..self }
    }

    /// Runs for those targets and opsets alone.
    #[must_use]
    pub fn only_for(self, runs_for: fn(&Target, i64) -> bool) -> Self {
        Self { runs_for: Some(runs_for), ..self }
    }

    /// Runs after those passes.
    #[must_use]
    pub fn after(self, passes: &'static [&'static str]) -> Self {
        Self { after: passes, ..self }
    }

    /// Prepares graphs with bodies.
    #[must_use]
    pub(crate) fn prepares(self, prepare: fn(&mut Graph)) -> Self {
        Self { prepare: Some(prepare), ..self }
    }

    /// May be taken back, in such graphs.
    #[must_use]
    pub(crate) fn tentative_in(self, is_tentative: fn(&Graph) -> bool) -> Self {
        Self { is_tentative: Some(is_tentative), ..self }
    }

    /// Whether it is one for that target in that opset.
    pub fn is_for(&self, target: &Target, opset: i64) -> bool {
        match self.runs_for {
            Some(runs_for) => runs_for(target, opset),
            None => self.forms.is_none_or(|kind| target.runs(kind, opset)),
        }
    }

    /// Whether lowering needs it for that target in that opset, where operators that are `early` may stay.
    pub(crate) fn is_required(&self, target: &Target, opset: i64, early: bool) -> bool {
        let stays = |kind| target.runs(kind, opset) || early && target::runs_early(kind);
        self.stages.contains(&Stage::Lower) && self.is_for(target, opset) && !self.lowers.is_some_and(stays)
    }
}
