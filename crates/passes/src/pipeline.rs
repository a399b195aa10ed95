//! The pipeline, which runs passes in order, repeatedly until none applies.

use crate::convert::{PrecisionError, QuantizedWeight};
use crate::pass::{Exactness, Implementation, Pass};
use crate::prove::{ProofReport, Proofs};
use crate::rule::{Rule, Skip};
use netwright_ir::files::Code;
use netwright_ir::nearest::suggestion;
use netwright_ir::{Graph, Name, NodeId, Violations, check, text};
use std::borrow::{Borrow, Cow};
use std::collections::BTreeMap;
use std::fmt;

/// A rewrite of a node by a pass, or a near miss.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// The name of the pass.
    pub pass: &'static str,
    /// The rule of the pass, if it has its own name.
    pub rule: Option<&'static str>,
    /// The name of the node's first result.
    pub node: Name,
    /// What was done, or why it was not.
    pub note: Cow<'static, str>,
}

impl fmt::Display for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.pass)?;
        if let Some(rule) = self.rule {
            write!(f, "/{rule}")?;
        }
        write!(f, ": {}: {}", text::name(&self.node), self.note)
    }
}

/// A report on what a run did.
#[derive(Clone, Debug, Default, PartialEq)]
#[non_exhaustive]
pub struct Report {
    /// The rewrites, in the order in which they were applied.
    pub applied: Vec<Event>,
    /// The number of rewrites before lowering, which [`Limits::stop_after`] counts.
    pub optimized: usize,
    /// The near misses that remain at the end, each once.
    pub declined: Vec<Event>,
    /// The weights that were quantized, in program order.
    pub quantized: Vec<QuantizedWeight>,
    /// The inputs and outputs whose type changed, which callers must follow.
    pub interface: Vec<Event>,
    /// The patterns of [`Precision::with_kept_f32`](crate::Precision::with_kept_f32) that keep nothing in `f32`, because
    /// what they matched was rewritten before.
    pub idle_patterns: Vec<String>,
    /// The name of an attention whose KV cache was a buffer before, if [sharing](crate::Options::share_cache) was
    /// requested; it stays as it was.
    pub shared_before: Option<Name>,
    /// The results of proving the rewrites, if that was requested.
    pub proofs: Option<ProofReport>,
}

/// The running pass, as events and proofs need it.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Running {
    pub(crate) pass: &'static str,
    rule: Option<&'static str>,
    pub(crate) is_exact: bool,
    pub(crate) lowers: bool,
    /// Whether the pass changes results on request.
    pub(crate) converts: bool,
}

impl Running {
    fn new(pass: &Pass) -> Self {
        let is_exact = pass.exactness == Exactness::Bits;
        Self { pass: pass.name, rule: None, is_exact, lowers: pass.lowers.is_some(), converts: pass.converts() }
    }

    pub(crate) fn event(self, node: Name, note: impl Into<Cow<'static, str>>) -> Event {
        Event { pass: self.pass, rule: self.rule, node, note: note.into() }
    }
}

/// Writes a line for each pass that applied, with the number of its rewrites, and one for each near miss.
impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
        for event in &self.applied {
            *counts.entry(event.pass).or_default() += 1;
        }
        if counts.is_empty() {
            writeln!(f, "no pass applied")?;
        }
        counts.iter().try_for_each(|(pass, times)| writeln!(f, "{pass}: {times} applied"))?;
        self.declined.iter().try_for_each(|event| writeln!(f, "declined {event}"))
    }
}

impl Report {
    /// Adds what a later run did.
    pub(crate) fn append(&mut self, later: Report) {
        self.applied.extend(later.applied);
        self.declined.extend(later.declined);
        self.quantized.extend(later.quantized);
        self.interface.extend(later.interface);
        self.idle_patterns.extend(later.idle_patterns);
        self.shared_before = self.shared_before.take().or(later.shared_before);
        if let (Some(own), Some(later)) = (&mut self.proofs, later.proofs) {
            own.proven += later.proven;
            own.unproven.extend(later.unproven);
            own.refuted.extend(later.refuted);
        }
    }
}

/// The log of a run: what it has done so far, and whether it may do more.
#[derive(Debug)]
pub struct Log {
    running: Running,
    may_apply: usize,
    applied: Vec<Event>,
    declined: Vec<Event>,
    interface: Vec<Event>,
    idle_patterns: Vec<String>,
    proofs: Option<Proofs>,
}

impl Log {
    /// Whether another rewrite may be applied; see [`Limits::stop_after`].
    pub fn may_apply(&self) -> bool {
        self.may_apply > 0
    }

    /// Whether another rewrite may be applied, and none at the node of this name was refuted; see
    /// [`Options::prover`](crate::Options::prover).
    pub fn may_apply_at(&self, node: &Name) -> bool {
        self.may_apply() && !self.proofs.as_ref().is_some_and(|proofs| proofs.is_banned(self.running.pass, node))
    }

    /// Records a rewrite that cannot be proven, because the graph does not show what it changed.
    pub fn applied(&mut self, node: Name, note: impl Into<Cow<'static, str>>) {
        if let Some(proofs) = &mut self.proofs {
            proofs.unseen(self.running.event(node.clone(), "the pass does not show what it changed"));
        }
        self.record(node, note.into());
    }

    /// Records a rewrite of a graph that has not been swept since, and infers dependent values again.
    pub fn applied_in(&mut self, graph: &mut Graph, node: Name, note: impl Into<Cow<'static, str>>) {
        self.applied_to(graph, None, node, note.into());
    }

    /// Records a rewrite, and the node at its root if there is one.
    fn applied_to(&mut self, graph: &mut Graph, root: Option<NodeId>, node: Name, note: Cow<'static, str>) {
        if let Some(proofs) = &mut self.proofs {
            proofs.prove(graph, root, self.running, &node, self.applied.len() + 1);
        }
        graph.refresh();
        self.record(node, note);
    }

    fn record(&mut self, node: Name, note: Cow<'static, str>) {
        self.may_apply = self.may_apply.saturating_sub(1);
        self.applied.push(self.running.event(node, note));
    }

    /// Marks the graph before the changes of the next rewrite.
    fn enter(&mut self, graph: &Graph) {
        if let Some(proofs) = &mut self.proofs {
            proofs.mark(graph);
        }
    }

    /// Records that an input or output of the model changed its type.
    pub fn changed_interface(&mut self, name: Name, note: impl Into<Cow<'static, str>>) {
        self.interface.push(self.running.event(name, note));
    }

    /// Records a pattern that keeps nothing in `f32`.
    pub(crate) fn idle_pattern(&mut self, pattern: &str) {
        if self.idle_patterns.iter().all(|known| known != pattern) {
            self.idle_patterns.push(pattern.to_owned());
        }
    }

    /// Records a near miss.
    pub fn declined(&mut self, node: Name, reason: impl Into<Cow<'static, str>>) {
        self.declined.push(self.running.event(node, reason));
    }
}

/// Limits and checks of a run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Limits {
    /// The maximum number of rewrites, with which bisection finds the rewrite that changed the result.
    pub stop_after: Option<usize>,
    /// Whether the graph is checked after every pass; debug builds always check.
    pub check: bool,
}

/// Why a run failed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PassError {
    /// The graph violated invariants before any pass ran.
    #[error("the graph violates invariants before any pass has run:\n{0}")]
    Invalid(Violations),
    /// A word that is not the name of a pass.
    #[error("`{name}` is not a pass\n  help: {}", suggestion(name, known))]
    UnknownPass {
        /// The word.
        name: String,
        /// The names of all passes.
        known: Vec<&'static str>,
    },
    /// A model with training steps, which refer to values of the graph that passes would change.
    #[error(
        "the model has training steps, which read values of its graph by name, so no pass can run on it\n  help: \
         remove the training steps, or run without passes"
    )]
    Training,
    /// A required pass is skipped.
    #[error(
        "the pass `{0}` cannot be skipped: without it, the model has operators that cannot be written for the target\n  \
         help: do not skip it"
    )]
    Required(&'static str),
    /// Two requested passes, of which one decomposes what the other forms.
    #[error(
        "`{forms}` forms an operator that `{lowers}` decomposes for opset {opset}\n  help: name only one of the two \
         passes, or raise the opset"
    )]
    Opposed {
        /// The pass that forms the operator.
        forms: &'static str,
        /// The pass that decomposes it.
        lowers: &'static str,
        /// The opset, which does not have the operator.
        opset: i64,
    },
    /// A KV cache that cannot be shared.
    #[error("the KV cache cannot be shared: {0}")]
    Cache(String),
    /// A model that cannot be given a KV cache.
    #[error("no KV cache can be added: {what}\n  help: {help}")]
    NoCache {
        /// What stands in the way, and where.
        what: String,
        /// What to do about it.
        help: String,
    },
    /// Weights that cannot be quantized as requested.
    #[error("the weights cannot be quantized: {what}\n  help: {help}")]
    Quantization {
        /// What stands in the way.
        what: String,
        /// What to do about it.
        help: String,
    },
    /// A precision that does not fit the model.
    #[error(transparent)]
    Precision(#[from] PrecisionError),
    /// A required rewrite was refuted.
    #[error("the model cannot be written: the required rewrite {0}\n  help: report this as a bug, with the model")]
    Refuted(Event),
    /// A pass left a graph that violates invariants.
    #[error(
        "the pass `{pass}` left a graph that violates invariants:\n{violations}\n  help: skip the pass, and report this \
         as a bug"
    )]
    Broken {
        /// The name of the pass.
        pass: &'static str,
        /// The violations.
        violations: Violations,
    },
    /// A pass that does not terminate.
    #[error(
        "the pass `{pass}` still applies after {MAX_ROUNDS} rounds, because its rules undo one another\n  help: skip \
         the pass, and report this as a bug"
    )]
    Endless {
        /// The name of the pass.
        pass: &'static str,
    },
}

impl PassError {
    /// Returns the code of this kind of error.
    pub fn code(&self) -> Code {
        match self {
            Self::Invalid(_) => Code::PassGraph,
            Self::UnknownPass { .. } => Code::PassUnknown,
            Self::Training => Code::Training,
            Self::Required(_) => Code::PassRequired,
            Self::Opposed { .. } => Code::PassesOpposed,
            Self::Cache(_) => Code::CacheUnshared,
            Self::Quantization { .. } => Code::Unquantized,
            Self::Precision(error) => error.code(),
            Self::Refuted(_) => Code::Refuted,
            Self::Broken { .. } => Code::PassBroken,
            Self::Endless { .. } => Code::PassEndless,
            Self::NoCache { .. } => Code::CacheNotAdded,
        }
    }
}

/// The maximum number of rounds. One walk applies all rules, except those that later rewrites enable, which take
/// another.
const MAX_ROUNDS: usize = 32;

/// Runs the passes in order until none applies.
///
/// Each walk over the graph takes time linear in its size, with at most 32 walks per pass and 32 rounds. After every
/// pass, nodes that no output depends on are removed.
///
/// # Errors
/// If a pass does not terminate or, if that is checked, violates an invariant.
pub fn run<P: Borrow<Pass>>(passes: &[P], graph: &mut Graph, limits: Limits) -> Result<Report, PassError> {
    run_proving(passes, graph, limits, &mut None)
}

/// Runs the passes like [`run`], and proves every rewrite. The caller then runs them again on the original graph
/// without the refuted rewrites.
pub(crate) fn run_proving<P: Borrow<Pass>>(
    passes: &[P],
    graph: &mut Graph,
    limits: Limits,
    proofs: &mut Option<Proofs>,
) -> Result<Report, PassError> {
    let watched = limits.check || cfg!(debug_assertions);
    if watched {
        check(graph).map_err(PassError::Invalid)?;
    }
    graph.infer_nonzero_sizes();
    let may_apply = limits.stop_after.unwrap_or(usize::MAX);
    let running = Running::default();
    let mut log = Log {
        running,
        may_apply,
        applied: vec![],
        declined: vec![],
        interface: vec![],
        idle_patterns: vec![],
        proofs: proofs.take(),
    };
    // Only the last walk of each pass determines what remains declined.
    let mut declined = vec![vec![]; passes.len()];
    let mut settled = 0;
    for _ in 0..MAX_ROUNDS {
        let before = log.applied.len();
        for (pass, declined) in passes.iter().map(Borrow::borrow).zip(&mut declined) {
            run_pass(pass, graph, &mut log)?;
            *declined = std::mem::take(&mut log.declined);
            if watched {
                check(graph).map_err(|violations| PassError::Broken { pass: pass.name, violations })?;
            }
        }
        if log.applied.len() == before {
            // In a smaller graph, more sizes may provably never be 0.
            if before > std::mem::replace(&mut settled, before) && graph.infer_nonzero_sizes() {
                continue;
            }
            let optimized = log.applied.len();
            let report = log.proofs.as_mut().map(Proofs::take);
            *proofs = log.proofs;
            let Log { applied, interface, idle_patterns, .. } = log;
            return Ok(Report {
                applied,
                optimized,
                declined: declined.concat(),
                quantized: vec![],
                interface,
                idle_patterns,
                shared_before: None,
                proofs: report,
            });
        }
    }
    Err(PassError::Endless { pass: log.applied.last().map_or("", |event| event.pass) })
}

/// Runs a pass until it no longer applies.
fn run_pass(pass: &Pass, graph: &mut Graph, log: &mut Log) -> Result<(), PassError> {
    log.running = Running::new(pass);
    for _ in 0..MAX_ROUNDS {
        let before = log.applied.len();
        log.declined.clear();
        apply(pass, graph, log);
        if log.applied.len() == before {
            return Ok(());
        }
    }
    Err(PassError::Endless { pass: pass.name })
}

/// Runs a pass once over a graph and its bodies, whose nesting is bounded.
fn apply(pass: &Pass, graph: &mut Graph, log: &mut Log) {
    log.enter(graph);
    match &pass.implementation {
        Implementation::Rules(rules) if pass.may_find(graph) => walk(rules, graph, log),
        Implementation::Rules(_) => {}
        Implementation::Graph(function) | Implementation::Whole(function) => function(graph, log),
    }
    graph.sweep();
    if graph.has_bodies() && !matches!(pass.implementation, Implementation::Whole(_)) {
        let dialect = graph.dialect();
        for node in graph.schedule() {
            if !graph.node(node).op().bodies().is_empty() {
                graph.edit_bodies(node, |body| {
                    body.set_dialect(dialect);
                    apply(pass, body, log);
                    body.set_dialect(None);
                });
            }
        }
        graph.sweep();
    }
}

fn walk(rules: &[Rule], graph: &mut Graph, log: &mut Log) {
    // Kinds of operators that rewrites insert are considered in the next walk.
    let rules: Vec<&Rule> = rules.iter().filter(|rule| rule.pattern.may_occur(graph.kinds())).collect();
    if rules.is_empty() {
        return;
    }
    for node in graph.schedule() {
        if !log.may_apply() {
            return;
        }
        if graph.is_alive(node) && rules.iter().any(|rule| rule.pattern.may_match(graph.node(node).op().kind())) {
            visit(&rules, graph, node, log);
        }
    }
}

/// Applies the first rule that applies. If none does, records the near misses.
fn visit(rules: &[&Rule], graph: &mut Graph, node: NodeId, log: &mut Log) {
    // Read before the rewrite: a replacement inherits the name.
    let name = name_of(graph, node);
    if !log.may_apply_at(&name) {
        return;
    }
    let before = log.declined.len();
    let kind = graph.node(node).op().kind();
    for rule in rules.iter().filter(|rule| rule.pattern.may_match(kind)) {
        log.running.rule = Some(rule.name).filter(|rule| *rule != log.running.pass);
        match rule.apply(graph, node) {
            Ok(note) => {
                log.declined.truncate(before);
                return log.applied_to(graph, Some(node), name, note);
            }
            Err(Skip::Rejected(reason)) if log.declined[before..].iter().all(|near| near.note != reason) => {
                log.declined(name.clone(), reason);
            }
            Err(_) => {}
        }
    }
}

/// Returns the name of a node's first result.
pub(crate) fn name_of(graph: &Graph, node: NodeId) -> Name {
    graph.results(node).next().map_or_else(Name::default, |result| graph.value_name(result).clone())
}
