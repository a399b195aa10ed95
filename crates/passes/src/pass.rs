//! The card of a pass: what it does, when it runs, and how exact it is.

use crate::pattern::{Match, Pattern, op};
use crate::pipeline::Log;
use crate::rule::{Rewritten, Rule};
use crate::target::Target;
use netwright_ir::{Graph, OpKind, Value};
use std::fmt;
use std::sync::Arc;

/// A pass, with all that the pipeline knows about it. A pass with a few rules is a card and a rewrite.
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
    /// A verb phrase in kebab case, which names the pass on the command line and in snapshots.
    pub name: &'static str,
    /// One line on what it does.
    pub summary: &'static str,
    /// How exact its results are.
    pub exactness: Exactness,
    /// The stages in which it runs; the default is [`Stage::Optimize`].
    pub stages: &'static [Stage],
    /// The operator that it forms. By default, the pass runs for targets that [run](Target::runs) this operator.
    pub forms: Option<OpKind>,
    /// The operator that it decomposes. Lowering requires the pass for targets that do not run this operator.
    pub lowers: Option<OpKind>,
    /// Whether it runs for a target and an opset; `None` if [`forms`](Self::forms) decides.
    pub runs_for: Option<fn(&Target, i64) -> bool>,
    /// The kinds of operators of which a graph must have at least one for the rules to match; empty means that the rules
    /// are tried on every graph.
    pub needs_one_of: &'static [OpKind],
    /// The passes of the same stages that must run before it, because both may rewrite the same nodes.
    pub after: &'static [&'static str],
    /// Prepares a graph with bodies before any pass runs.
    pub(crate) prepare: Option<fn(&mut Graph)>,
    /// Whether it may leave a graph with operators that cannot be written at the opset of the model. Optimization then
    /// starts again without the pass.
    pub(crate) is_tentative: Option<fn(&Graph) -> bool>,
    /// How it works.
    pub implementation: Implementation,
}

/// How exact the results of a pass are, compared with those that they replace.
///
/// ```compile_fail
/// // Every pass declares how exact it is; there is no default.
/// netwright_passes::Pass::new("drop-abs", "abs(exp(x)) -> exp(x)");
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Exactness {
    /// Equal bit by bit, including NaN, infinities and -0.0.
    Bits,
    /// Equal, except for the sign of zero and for results that are not finite.
    Numbers,
    /// Rounded differently. Passes that [convert](Pass::converts) round as far as their types require: proofs do not judge them.
    Rounding,
}

impl Exactness {
    /// Returns how far results in `f32` may differ, relative to the scale of the result.
    pub fn tolerance(self) -> f64 {
        match self {
            Exactness::Bits | Exactness::Numbers => 0.0,
            Exactness::Rounding => 1e-5,
        }
    }
}

/// A stage of optimization. Its passes run in order, repeatedly until none applies.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Stage {
    /// The optimizations.
    Optimize,
    /// The passes that turn the quantized weights of the source into floats on request. They run like conversions, before
    /// them.
    Dequantize,
    /// The passes that change element types on request. They run after the optimizations, which run again after a change.
    Convert,
    /// The passes that wait for conversions. They run together with them, on what these leave.
    Converted,
    /// The passes that make the graph one that can be written for the target; they cannot be skipped.
    Lower,
    /// The passes that share constants. They run together with lowering, which inserts equal constants.
    Share,
}

/// How a pass works.
pub enum Implementation {
    /// Rules, tried in this order at every node, operands before their users.
    Rules(Vec<Rule>),
    /// A function of the whole graph. It calls [`Log::may_apply_at`] before a change and [`Log::applied_in`] after it.
    /// It runs on the graph, then on each body.
    Graph(GraphFunction),
    /// A function of the graph together with its bodies.
    Whole(GraphFunction),
}

/// A function that rewrites a graph and records what it does.
pub type GraphFunction = Box<dyn Fn(&mut Graph, &mut Log) + Send + Sync>;

impl fmt::Debug for Implementation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Implementation::Rules(rules) => f.debug_tuple("Rules").field(rules).finish(),
            Implementation::Graph(_) => f.write_str("Graph"),
            Implementation::Whole(_) => f.write_str("Whole"),
        }
    }
}

impl Pass {
    /// Creates a pass without rules.
    pub fn new(name: &'static str, summary: &'static str, exactness: Exactness) -> Self {
        Self {
            name,
            summary,
            exactness,
            stages: &[Stage::Optimize],
            forms: None,
            lowers: None,
            runs_for: None,
            needs_one_of: &[],
            after: &[],
            prepare: None,
            is_tentative: None,
            implementation: Implementation::Rules(vec![]),
        }
    }

    /// Adds a rule with the name of the pass for every node of these kinds.
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

    /// Adds a rule with the name of the pass for every match of a pattern.
    #[must_use]
    pub fn matching(
        self,
        pattern: Pattern,
        rewrite: impl Fn(&mut Graph, &Match) -> Rewritten + Send + Sync + 'static,
    ) -> Self {
        let rule = Rule::new(self.name, self.summary, pattern, rewrite);
        self.rules([rule])
    }

    /// Adds rules with their own names.
    #[must_use]
    pub fn rules(mut self, rules: impl IntoIterator<Item = Rule>) -> Self {
        match &mut self.implementation {
            Implementation::Rules(own) => own.extend(rules),
            Implementation::Graph(_) | Implementation::Whole(_) => {
                self.implementation = Implementation::Rules(rules.into_iter().collect());
            }
        }
        self
    }

    /// Replaces the rules with a function of the whole graph.
    #[must_use]
    pub fn on_graph(self, function: impl Fn(&mut Graph, &mut Log) + Send + Sync + 'static) -> Self {
        Self { implementation: Implementation::Graph(Box::new(function)), ..self }
    }

    /// Replaces the rules with a function of the graph together with its bodies.
    #[must_use]
    pub fn on_whole(self, function: impl Fn(&mut Graph, &mut Log) + Send + Sync + 'static) -> Self {
        Self { implementation: Implementation::Whole(Box::new(function)), ..self }
    }

    /// Sets the operator that the pass [forms](Self::forms).
    #[must_use]
    pub fn forms(self, kind: OpKind) -> Self {
        Self { forms: Some(kind), ..self }
    }

    /// Sets the operator that the pass decomposes when the graph is lowered, and its stage.
    #[must_use]
    pub fn lowers(self, kind: OpKind) -> Self {
        Self { lowers: Some(kind), stages: &[Stage::Lower], ..self }
    }

    /// Sets the stages in which the pass runs.
    #[must_use]
    pub fn in_stages(self, stages: &'static [Stage]) -> Self {
        Self { stages, ..self }
    }

    /// Restricts the pass to some targets and opsets.
    #[must_use]
    pub fn only_for(self, runs_for: fn(&Target, i64) -> bool) -> Self {
        Self { runs_for: Some(runs_for), ..self }
    }

    /// Sets the kinds of operators of which a graph must have at least one; see [`needs_one_of`](Self::needs_one_of).
    #[must_use]
    pub fn needs_one_of(self, kinds: &'static [OpKind]) -> Self {
        Self { needs_one_of: kinds, ..self }
    }

    /// Sets the passes that must run before it.
    #[must_use]
    pub fn after(self, passes: &'static [&'static str]) -> Self {
        Self { after: passes, ..self }
    }

    /// Sets a function that prepares graphs with bodies.
    #[must_use]
    pub(crate) fn prepares(self, prepare: fn(&mut Graph)) -> Self {
        Self { prepare: Some(prepare), ..self }
    }

    /// Sets for which graphs the pass is tentative: the result may have to be discarded.
    #[must_use]
    pub(crate) fn tentative_in(self, is_tentative: fn(&Graph) -> bool) -> Self {
        Self { is_tentative: Some(is_tentative), ..self }
    }

    /// Whether the pass runs for a target in an opset.
    pub fn is_for(&self, target: &Target, opset: i64) -> bool {
        match self.runs_for {
            Some(runs_for) => runs_for(target, opset),
            None => self.forms.is_none_or(|kind| target.runs(kind, opset)),
        }
    }

    /// Whether the rules may match in a graph, judged by the kinds of its operators.
    pub(crate) fn may_find(&self, graph: &Graph) -> bool {
        self.needs_one_of.is_empty() || self.needs_one_of.iter().any(|kind| graph.has_kind(*kind))
    }

    /// Whether the pass changes element types on request.
    pub fn converts(&self) -> bool {
        self.stages.iter().any(|stage| matches!(stage, Stage::Dequantize | Stage::Convert))
    }

    /// Whether lowering requires the pass for a target in an opset. With `early`, operators that a runtime also runs in
    /// older opsets may stay.
    pub(crate) fn is_required(&self, target: &Target, opset: i64, early: bool) -> bool {
        let stays = |kind| target.keeps(kind, opset, early);
        self.stages.contains(&Stage::Lower) && self.is_for(target, opset) && !self.lowers.is_some_and(stays)
    }
}
