//! Proves rewrites: a runtime runs both sides of each, and refuted rewrites are left out.
//!
//! Passes do not depend on a runtime, so the caller provides one, as for [constants](crate::Evaluate). After every
//! rewrite, its [`Window`] is cut out of the graph, at first as narrow as the rewrite itself: a claim that holds for
//! all values of the window's inputs holds anywhere. If the claim is refuted or cannot be run, the window is widened by
//! the nodes before it, because a rule may depend on how its operands are computed.

use crate::pipeline::{Event, Running};
use crate::rewrite::{SMALL, in_memory};
use netwright_ir::{Data, Detail, Graph, Mark, Name, NodeId, Op, Tensor, Value, Window};
use std::collections::{BTreeSet, HashMap};
use std::fmt;
use std::hash::{DefaultHasher, Hasher};
use std::sync::{Arc, Mutex, PoisonError};

/// The claim that a rewrite does not change the results.
#[derive(Clone, Copy, Debug)]
pub struct Claim<'w> {
    /// The name of the pass.
    pub pass: &'static str,
    /// Whether both sides must be equal bit by bit; else they may differ by rounding.
    pub exact: bool,
    /// Whether the pass decomposes a composite operator.
    pub lowers: bool,
    /// The graphs before and after the rewrite.
    pub window: &'w Window,
}

/// The result of running both sides of a rewrite.
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use = "a proof may refute the rewrite"]
pub enum Proof {
    /// Both sides were equal in every run.
    Holds,
    /// The sides differed: the worst difference, and the inputs.
    Refuted(String),
    /// The sides could not be run or compared: the reason.
    Unknown(String),
}

/// A runtime that runs both sides of a rewrite.
pub trait Prove: fmt::Debug + Send + Sync {
    /// Runs both sides with several shapes and compares the results.
    fn prove(&self, claim: Claim<'_>) -> Proof;
}

/// A runtime that proves rewrites, and a cache of its proofs: layers repeat, so equal claims are proven once.
#[derive(Clone, Debug)]
pub struct Prover {
    /// The runtime; `None` if windows are only recorded.
    runtime: Option<Arc<dyn Prove>>,
    known: Arc<Mutex<HashMap<String, Proof>>>,
    recording: Option<Recording>,
}

/// A recording of the windows of one rewrite.
#[derive(Clone, Debug)]
struct Recording {
    number: usize,
    pass: &'static str,
    node: Name,
    windows: Arc<Mutex<Vec<Window>>>,
}

/// For each window of a rewrite, the number of layers of nodes before the rewrite, and of its users.
const WIDTHS: [(usize, usize); 7] = [(0, 0), (1, 0), (2, 1), (4, 2), (8, 4), (16, 8), (32, 16)];

impl Prover {
    /// Creates a prover that runs both sides in a runtime.
    pub fn new(runtime: impl Prove + 'static) -> Self {
        Self { runtime: Some(Arc::new(runtime)), known: Arc::default(), recording: None }
    }

    /// Creates a prover that works like `prover`, and also records the windows of one rewrite: that of an event.
    /// `number` is its position among the rewrites of a run, starting from 1.
    pub fn recording(prover: Option<Self>, number: usize, event: &Event) -> Self {
        let (runtime, known) = prover.map(|prover| (prover.runtime, prover.known)).unwrap_or_default();
        let (pass, node) = (event.pass, event.node.clone());
        let recording = Some(Recording { number, pass, node, windows: Arc::default() });
        Self { runtime, known, recording }
    }

    /// Returns the windows of the [recorded](Self::recording) rewrite, from the narrowest to the widest. Empty if the
    /// graph does not show what the pass changed.
    pub fn recorded(&self) -> Vec<Window> {
        let windows = self.recording.as_ref().map(|recording| &recording.windows);
        windows.map(|windows| windows.lock().unwrap_or_else(PoisonError::into_inner).clone()).unwrap_or_default()
    }

    /// Records the windows of a rewrite, if it is the requested one.
    fn record(&self, graph: &Graph, mark: Mark, root: Option<NodeId>, pass: &str, node: &Name, number: usize) {
        let Some(recording) = &self.recording else { return };
        if (recording.number, recording.pass, &recording.node) != (number, pass, node) {
            return;
        }
        let windows = WIDTHS.iter().map_while(|&(before, after)| graph.window(mark, root, before, after));
        *recording.windows.lock().unwrap_or_else(PoisonError::into_inner) = windows.collect();
    }

    /// Proves the changes since the mark. `None` if no value with a use changed.
    fn prove(&self, graph: &Graph, mark: Mark, root: Option<NodeId>, running: Running) -> Option<Proof> {
        let runtime = self.runtime.as_deref()?;
        let Running { pass, is_exact: exact, lowers, .. } = running;
        let mut last = None;
        for (before, after) in WIDTHS {
            let Some(window) = graph.window(mark, root, before, after) else { break };
            let proof = self.known_or_proven(runtime, Claim { pass, exact, lowers, window: &window });
            // If a wider window cannot be run, the proof of a narrower one is kept.
            match (&proof, &last) {
                (Proof::Holds, _) => return Some(proof),
                (Proof::Unknown(_), Some(_)) => {}
                _ => last = Some(proof),
            }
        }
        last
    }

    fn known_or_proven(&self, runtime: &dyn Prove, claim: Claim<'_>) -> Proof {
        let Some(key) = key(claim) else { return runtime.prove(claim) };
        let known = || self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(proof) = known().get(&key) {
            return proof.clone();
        }
        let proof = runtime.prove(claim);
        known().insert(key, proof.clone());
        proof
    }
}

/// Returns a key that is the same for claims that only differ in names and in where tensors are stored. `None` if there
/// is no such key.
fn key(claim: Claim<'_>) -> Option<String> {
    let Window { before, after, .. } = claim.window;
    let is_source = |graph: &Graph| graph.outputs().iter().any(|output| graph.kind(output.value).is_source());
    // One tensor replaced another: they are equal, or one was computed from the other.
    if is_source(before) && is_source(after) {
        return None;
    }
    let mut files: Vec<String> = vec![];
    let sides = [before, after].map(|graph| anonymous(&renamed(graph).to_text(Detail::Elided), &mut files));
    let [before_text, after_text] = sides;
    let mut tensors = vec![];
    identify(before, &mut tensors)?;
    identify(after, &mut tensors)?;
    Some(format!("{} {}\n{}\n{tensors:?}\n{before_text}{after_text}", claim.pass, claim.exact, elements(before)))
}

/// The maximum size of a tensor in a file whose elements are compared, in bytes; of a larger one, the location is.
const MAX_HASHED: u64 = 16 << 20;

/// Adds text that identifies the larger tensors of a graph and of its bodies, because a rule may depend on their
/// elements. `None` if they cannot be read.
fn identify(graph: &Graph, tensors: &mut Vec<String>) -> Option<()> {
    for id in graph.schedule() {
        let op = graph.node(id).op();
        if let Some(tensor) = op.tensor().filter(|tensor| tensor.len() > SMALL) {
            let is_hashed = tensor.len() <= MAX_HASHED || !matches!(tensor.data(), Data::File(_));
            tensors.push(if is_hashed { hash(tensor)?.to_string() } else { tensor.to_string() });
        }
        for body in op.bodies() {
            identify(body, tensors)?;
        }
    }
    Some(())
}

/// Returns a hash of the elements. `None` if they cannot be read.
fn hash(tensor: &Tensor) -> Option<u64> {
    let mut hasher = DefaultHasher::new();
    hasher.write(&tensor.to_bytes().ok()?);
    Some(hasher.finish())
}

/// Returns a graph whose values are named by their position, and whose small tensors are in memory.
fn renamed(graph: &Graph) -> Graph {
    let mut graph = graph.clone();
    // Twice, so that a new name does not collide with the old name of another value.
    for prefix in ["window", "v"] {
        for (at, id) in graph.schedule().into_iter().enumerate() {
            for value in graph.results(id).collect::<Vec<Value>>() {
                graph.rename(value, &format!("{prefix}{at}.{}", value.result));
            }
        }
    }
    for id in graph.schedule() {
        let small = |tensor: &Tensor| (tensor.len() <= SMALL).then(|| in_memory(tensor).ok()).flatten();
        match graph.node(id).op() {
            Op::Parameter(tensor) => _ = small(tensor).map(|tensor| graph.set_op(id, Op::Parameter(tensor))),
            Op::Constant(tensor) => _ = small(tensor).map(|tensor| graph.set_op(id, Op::Constant(tensor))),
            _ => {}
        }
    }
    graph
}

/// Returns the facts about the elements of a graph's inputs, as text.
fn elements(graph: &Graph) -> String {
    graph.inputs().map(|input| format!("{:?};", graph.fact(input).elements)).collect()
}

/// Returns the text of a graph with ranges of files numbered in the order of their first use: `file(0)`.
fn anonymous(text: &str, files: &mut Vec<String>) -> String {
    let mut parts = text.split("file(");
    let mut result = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        // A path is quoted and may hold anything but a quote that is not escaped.
        let backslashes = |at: usize| part[..at].len() - part[..at].trim_end_matches('\\').len();
        let mut quotes = part.match_indices("\", ").map(|(at, _)| at);
        let quote = quotes.find(|at| backslashes(*at).is_multiple_of(2)).unwrap_or(0);
        let end = part[quote..].find(')').map_or(0, |length| quote + length);
        let (file, rest) = part.split_at(end);
        let number = files.iter().position(|known| known == file).unwrap_or_else(|| {
            files.push(file.to_owned());
            files.len() - 1
        });
        result += "file(";
        result += &number.to_string();
        result += rest;
    }
    result
}

/// The state of the proofs of a run.
#[derive(Debug)]
pub(crate) struct Proofs {
    prover: Prover,
    /// Passes, and the nodes at which they were refuted; `None` for all nodes.
    banned: BTreeSet<(&'static str, Option<Name>)>,
    /// The mark before the changes of the next rewrite.
    mark: Mark,
    found: ProofReport,
}

/// The results of proving the rewrites of a run.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct ProofReport {
    /// The number of rewrites whose sides were equal.
    pub proven: usize,
    /// The rewrites that could not be run and those of passes that [convert](crate::Pass::converts), with the
    /// reason; they are applied.
    pub unproven: Vec<Event>,
    /// The rewrites that were refuted, with the difference; they are left out.
    pub refuted: Vec<Event>,
}

/// Why conversions are not judged.
const CONVERTS: &str = "it converts on request, which rounds more than a proof allows";

impl Proofs {
    pub(crate) fn new(prover: Prover) -> Self {
        Self { prover, banned: BTreeSet::new(), mark: Mark::default(), found: ProofReport::default() }
    }

    /// Marks the graph before the changes of the next rewrite.
    pub(crate) fn mark(&mut self, graph: &Graph) {
        self.mark = graph.mark();
    }

    pub(crate) fn is_banned(&self, pass: &'static str, node: &Name) -> bool {
        !self.banned.is_empty()
            && (self.banned.contains(&(pass, Some(node.clone()))) || self.banned.contains(&(pass, None)))
    }

    /// Proves the last rewrite; `number` is its position among those of the run.
    pub(crate) fn prove(&mut self, graph: &Graph, root: Option<NodeId>, running: Running, node: &Name, number: usize) {
        self.prover.record(graph, self.mark, root, running.pass, node, number);
        let event = |note: String| running.event(node.clone(), note);
        if running.converts {
            self.found.unproven.push(event(CONVERTS.to_owned()));
            return self.mark(graph);
        }
        match self.prover.prove(graph, self.mark, root, running) {
            None => {}
            Some(Proof::Holds) => self.found.proven += 1,
            Some(Proof::Refuted(why)) => self.found.refuted.push(event(why)),
            Some(Proof::Unknown(why)) => self.found.unproven.push(event(why)),
        }
        self.mark(graph);
    }

    /// Records a rewrite that no window shows as unproven.
    pub(crate) fn unseen(&mut self, event: Event) {
        self.found.unproven.push(event);
    }

    /// Takes the results, for the report.
    pub(crate) fn take(&mut self) -> ProofReport {
        std::mem::take(&mut self.found)
    }

    /// Leaves out refuted rewrites from now on, or their whole passes.
    pub(crate) fn ban(&mut self, refuted: &[Event], whole_passes: bool) {
        let banned = refuted.iter().map(|event| (event.pass, (!whole_passes).then(|| event.node.clone())));
        self.banned.extend(banned);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use netwright_ir::{ElementType, parse};

    /// Returns the key of a claim about a graph with a large tensor whose elements are all one number.
    fn key_of(number: f32) -> Option<String> {
        let text = "g(%x: f32[512]) {\n%w = parameter fill(0.0) : f32[512]\n%y = add %x, %w : f32[512]\nreturn %y\n}";
        let mut before = parse(text).unwrap_or_else(|error| panic!("{error} in\n{text}"));
        let tensor = Tensor::from_bytes(ElementType::F32, &[512], number.to_le_bytes().repeat(512));
        let tensor = tensor.unwrap_or_else(|error| panic!("{error}"));
        for id in before.schedule() {
            if before.node(id).op().tensor().is_some() {
                before.set_op(id, Op::Parameter(tensor.clone()));
            }
        }
        let window = Window { after: before.clone(), before, can_widen: false };
        key(Claim { pass: "drop-abs", exact: false, lowers: false, window: &window })
    }

    #[test]
    fn claims_about_different_elements_differ() {
        assert!(key_of(1.0).is_some());
        assert_eq!(key_of(1.0), key_of(1.0));
        assert_ne!(key_of(1.0), key_of(0.0));
    }

    #[test]
    fn ranges_of_files_are_numbered() {
        for (text, expected) in [
            (r#"file("a", 0, 8) file("b", 0, 8) file("a", 0, 8)"#, "file(0) file(1) file(0)"),
            (r#"file("a)\\", 0, 8) f("b", 1)"#, r#"file(0) f("b", 1)"#),
            (r#"file("a\", 1, 2)", 0, 8) f("b", 1)"#, r#"file(0) f("b", 1)"#),
        ] {
            assert_eq!(anonymous(text, &mut vec![]), expected, "{text}");
        }
    }
}
