//! Rules: a pattern, and what to put in its place.

use crate::pattern::{Found, Pattern};
use netwright_ir::{Graph, InferError, NodeId, TensorError};
use std::borrow::Cow;
use std::fmt;

/// Why a rule was not applied to a node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Skip {
    /// The node is not what the rule is about, or is already what the rule would make of it.
    NoMatch,
    /// The rule nearly applied; what stood in the way, for people.
    Rejected(Cow<'static, str>),
}

/// What was done to the node, for people; or why nothing was.
pub type Rewritten = Result<Cow<'static, str>, Skip>;

impl Skip {
    /// A near miss, with its reason.
    pub fn rejected(reason: impl Into<Cow<'static, str>>) -> Self {
        Skip::Rejected(reason.into())
    }
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

type Rewrite = Box<dyn Fn(&mut Graph, &Found) -> Rewritten + Send + Sync>;

/// A rewrite of what a pattern finds.
///
/// Laws for the rewrite of a rule:
/// 1. It computes the same function, for NaN, infinities and -0.0 too, or says in its docs how far it is off.
/// 2. It takes away no value that is used elsewhere or is a result of the graph.
/// 3. It depends on nothing but the graph, and leaves nothing to which the rule applies again.
/// 4. It changes the graph only when it succeeds: nodes that it inserted before an error die, other changes stay.
pub struct Rule {
    /// A verb phrase in kebab case.
    pub name: &'static str,
    /// One line: `a -> b`.
    pub summary: &'static str,
    /// What it looks for.
    pub pattern: Pattern,
    /// What it does to what was found.
    pub rewrite: Rewrite,
}

impl Rule {
    /// A rule.
    pub fn new(
        name: &'static str,
        summary: &'static str,
        pattern: Pattern,
        rewrite: impl Fn(&mut Graph, &Found) -> Rewritten + Send + Sync + 'static,
    ) -> Self {
        Self { name, summary, pattern, rewrite: Box::new(rewrite) }
    }

    /// Applies the rule at a node, in the first way in which it matches and is not skipped.
    ///
    /// # Errors
    /// When it does not apply; of several near misses the first.
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
