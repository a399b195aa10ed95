//! Rules: a pattern and its rewrite.

use crate::pattern::{Match, Pattern};
use netwright_ir::{Graph, InferError, NodeId, TensorError};
use std::borrow::Cow;
use std::fmt;

/// Why a rule was not applied to a node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Skip {
    /// The node does not match, or already is what the rule would produce.
    NoMatch,
    /// The rule nearly applied; the reason why it did not, for people.
    Rejected(Cow<'static, str>),
}

/// A note on what was done to the node, for people, or why the rule was not applied.
pub type Rewritten = Result<Cow<'static, str>, Skip>;

impl Skip {
    /// Returns a near miss with its reason.
    pub fn rejected(reason: impl Into<Cow<'static, str>>) -> Self {
        Skip::Rejected(reason.into())
    }
}

/// Returns the clause with which a reason refers to that of another pass; [`sites`](crate::sites) replaces it.
pub(crate) fn says_why(pass: &str) -> String {
    format!("the line of {pass} says why")
}

impl From<InferError> for Skip {
    fn from(error: InferError) -> Self {
        Skip::rejected(error.to_string())
    }
}

impl From<TensorError> for Skip {
    fn from(error: TensorError) -> Self {
        Skip::rejected(error.to_string())
    }
}

type Rewrite = Box<dyn Fn(&mut Graph, &Match) -> Rewritten + Send + Sync>;

/// A rule: a pattern, and a rewrite of its matches.
///
/// Laws for the rewrite of a rule:
/// 1. It computes the same function, including NaN, infinities and -0.0, or documents how far it deviates.
/// 2. It does not remove a value that has another use or is a result of the graph.
/// 3. It depends only on the graph, and its result does not match the rule again.
/// 4. It changes the graph only if it succeeds. After an error, nodes that it inserted are removed, but other changes
///    are not undone.
pub struct Rule {
    /// A verb phrase in kebab case.
    pub name: &'static str,
    /// One line: `a -> b`.
    pub summary: &'static str,
    /// The pattern that must match.
    pub pattern: Pattern,
    /// The function that rewrites a match.
    pub rewrite: Rewrite,
}

impl Rule {
    /// Creates a rule.
    pub fn new(
        name: &'static str,
        summary: &'static str,
        pattern: Pattern,
        rewrite: impl Fn(&mut Graph, &Match) -> Rewritten + Send + Sync + 'static,
    ) -> Self {
        Self { name, summary, pattern, rewrite: Box::new(rewrite) }
    }

    /// Applies the rule to the first match at a node that is not skipped.
    ///
    /// # Errors
    /// If the rule does not apply; the first of several near misses.
    pub fn apply(&self, graph: &mut Graph, node: NodeId) -> Rewritten {
        if !self.pattern.may_match(graph.node(node).op().kind()) {
            return Err(Skip::NoMatch);
        }
        let matches = self.pattern.matches(graph, node);
        let mut skip = match matches.shared {
            Some(value) if graph.is_output(value) => {
                Skip::rejected(format!("{} is a result of the graph", graph.operand_text(value)))
            }
            Some(value) => Skip::rejected(format!("{} has another use", graph.operand_text(value))),
            None => Skip::NoMatch,
        };
        for found in &matches.found {
            let mark = graph.mark();
            match (self.rewrite)(graph, found) {
                Ok(note) => return Ok(note),
                Err(near) => {
                    graph.undo_to(mark);
                    if !matches!(skip, Skip::Rejected(_)) {
                        skip = near;
                    }
                }
            }
        }
        Err(skip)
    }
}

impl fmt::Debug for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.name, self.pattern)
    }
}
