//! The pipeline: passes in order, again and again until none applies.

use crate::rule::{Rule, Skip};
use netwright_ir::{Graph, Name, NodeId, Violations, check, text};
use std::borrow::Cow;
use std::fmt;

/// A pass: rules that are tried at every node, or a function of the whole graph.
#[derive(Debug)]
pub struct Pass {
    /// A verb phrase in kebab case: the word on the command line, of the file and of the snapshots.
    pub name: &'static str,
    /// One line on what it does.
    pub summary: &'static str,
    /// How it does it.
    pub body: Body,
}

/// How a pass works.
#[derive(Debug)]
pub enum Body {
    /// Rules, tried in this order at every node, operands before what reads them.
    Rules(Vec<Rule>),
    /// A function of the whole graph; it asks [`Log::may_apply`] before a change and tells [`Log::applied`] of it.
    Graph(fn(&mut Graph, &mut Log)),
}

impl From<Rule> for Pass {
    /// The pass of one rule, with its name.
    fn from(rule: Rule) -> Self {
        Self { name: rule.name, summary: rule.summary, body: Body::Rules(vec![rule]) }
    }
}

/// What a pass did to a node, or why it did not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// The name of the pass.
    pub pass: &'static str,
    /// The name of the node's first result.
    pub node: Name,
    /// What was done, or what stood in the way.
    pub note: Cow<'static, str>,
}

impl fmt::Display for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}: {}", self.pass, text::name(&self.node), self.note)
    }
}

/// What a run did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// The rewrites, in the order in which they were applied.
    pub applied: Vec<Event>,
    /// The near misses that remain at the end, each once.
    pub declined: Vec<Event>,
}

/// What a run has done so far.
#[derive(Debug)]
pub struct Log {
    pass: &'static str,
    may_apply: usize,
    applied: Vec<Event>,
    declined: Vec<Event>,
}

impl Log {
    /// Whether another rewrite is wanted; see [`Limits::stop_after`].
    pub fn may_apply(&self) -> bool {
        self.may_apply > 0
    }

    /// Records a rewrite.
    pub fn applied(&mut self, node: Name, note: impl Into<Cow<'static, str>>) {
        self.may_apply = self.may_apply.saturating_sub(1);
        self.applied.push(Event { pass: self.pass, node, note: note.into() });
    }

    /// Records a near miss.
    pub fn declined(&mut self, node: Name, reason: impl Into<Cow<'static, str>>) {
        self.declined.push(Event { pass: self.pass, node, note: reason.into() });
    }
}

/// How far a run goes, and how it is watched.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Limits {
    /// Stop after so many rewrites, to find by bisection the one that is to blame.
    pub stop_after: Option<usize>,
    /// Check the graph after every pass; debug builds always do.
    pub check: bool,
}

/// Why a run failed: each is a bug of a pass, but for the first two.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The graph was broken before any pass ran.
    #[error("the graph breaks the laws before any pass has run:\n{0}")]
    Invalid(Violations),
    /// A word that names no pass.
    #[error("`{name}` is no pass; they are {}", known.join(", "))]
    UnknownPass {
        /// The word.
        name: String,
        /// The passes that there are.
        known: Vec<&'static str>,
    },
    /// A model with training steps, whose graphs name values of the one that the passes would change.
    #[error("the model has training steps, which read values of its graph by name: no pass can run on it")]
    Training,
    /// A pass without which nothing can be written was to be skipped.
    #[error("`{0}` cannot be skipped: ONNX has no form for what it lowers")]
    Required(&'static str),
    /// A KV cache that was to be shared and cannot be.
    #[error("the KV cache cannot be shared: {0}")]
    Cache(String),
    /// A pass left a graph that breaks laws.
    #[error("the pass `{pass}` left a graph that breaks the laws:\n{violations}")]
    Broken {
        /// The pass.
        pass: &'static str,
        /// The laws, and where.
        violations: Violations,
    },
    /// A pass applied again and again.
    #[error("the pass `{pass}` still applied after {MOST_ROUNDS} rounds; its rules undo one another")]
    Endless {
        /// The pass.
        pass: &'static str,
    },
}

/// A walk settles all but what rules do for one another; each such step takes a round.
const MOST_ROUNDS: usize = 32;

/// Runs the passes in order until none applies.
///
/// Each walk over the graph takes time linear in its size, and there are at most 32 walks a pass and 32 rounds.
/// After every pass, what no output depends on is removed.
///
/// # Errors
/// When a pass does not come to an end or, where that is checked, breaks a law.
pub fn run(passes: &[Pass], graph: &mut Graph, limits: Limits) -> Result<Report, Error> {
    let watched = limits.check || cfg!(debug_assertions);
    if watched {
        check(graph).map_err(Error::Invalid)?;
    }
    let may_apply = limits.stop_after.unwrap_or(usize::MAX);
    let mut log = Log { pass: "", may_apply, applied: vec![], declined: vec![] };
    // Only the last walk of each pass tells what remains declined.
    let mut declined = vec![vec![]; passes.len()];
    for _ in 0..MOST_ROUNDS {
        let before = log.applied.len();
        for (pass, declined) in passes.iter().zip(&mut declined) {
            run_pass(pass, graph, &mut log)?;
            *declined = std::mem::take(&mut log.declined);
            if watched {
                check(graph).map_err(|violations| Error::Broken { pass: pass.name, violations })?;
            }
        }
        if log.applied.len() == before {
            return Ok(Report { applied: log.applied, declined: declined.concat() });
        }
    }
    Err(Error::Endless { pass: log.applied.last().map_or("", |event| event.pass) })
}

/// Runs one pass until it no longer applies.
fn run_pass(pass: &Pass, graph: &mut Graph, log: &mut Log) -> Result<(), Error> {
    log.pass = pass.name;
    for _ in 0..MOST_ROUNDS {
        let before = log.applied.len();
        log.declined.clear();
        apply(pass, graph, log);
        if log.applied.len() == before {
            return Ok(());
        }
    }
    Err(Error::Endless { pass: pass.name })
}

/// Runs a pass once over a graph and the bodies in it, which nest to a bound.
fn apply(pass: &Pass, graph: &mut Graph, log: &mut Log) {
    match &pass.body {
        Body::Rules(rules) => walk(rules, graph, log),
        Body::Graph(function) => function(graph, log),
    }
    graph.sweep();
    if graph.has_bodies() {
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
    for node in graph.schedule() {
        if !log.may_apply() {
            return;
        }
        if graph.is_alive(node) {
            visit(rules, graph, node, log);
        }
    }
}

/// Applies the first rule that applies; where none does, the near misses count.
fn visit(rules: &[Rule], graph: &mut Graph, node: NodeId, log: &mut Log) {
    // Taken before: a replacement inherits it.
    let name = name_of(graph, node);
    let mut reasons = vec![];
    for rule in rules {
        match rule.apply(graph, node) {
            Ok(note) => return log.applied(name, note),
            Err(Skip::Rejected(reason)) if !reasons.contains(&reason) => reasons.push(reason),
            Err(_) => {}
        }
    }
    for reason in reasons {
        log.declined(name.clone(), reason);
    }
}

/// The name of a node's first result.
pub(crate) fn name_of(graph: &Graph, node: NodeId) -> Name {
    graph.results(node).next().map_or_else(|| "".into(), |result| graph.value_name(result).clone())
}
