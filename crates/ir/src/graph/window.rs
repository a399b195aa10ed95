//! Windows: the part of a graph that a rewrite changed, before and after.

use super::{Graph, Name, NodeId, Place, StoredOp, Value};
use crate::{Fact, HashMap, HashSet, Op};
use petgraph::Direction::Outgoing;
use petgraph::visit::EdgeRef;
use smallvec::SmallVec;

/// A moment in the history of a graph since its last sweep; see [`Graph::mark`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Mark {
    pub(super) nodes: usize,
    pub(super) edits: usize,
}

/// A change to an existing node; inserted nodes are recorded in `Graph::recent`.
#[derive(Clone, Debug)]
pub(super) enum Edit {
    /// The uses of a value were redirected, graph outputs included.
    Redirected { old: Value, uses: u32, is_output: bool },
    /// A node had this operator before.
    Op { node: NodeId, op: StoredOp },
}

/// The same values computed as before and as after a rewrite, each in its own graph.
///
/// Both graphs have the same inputs and the same number of outputs, in the same order.
#[derive(Clone, Debug)]
pub struct Window {
    /// The graph that computed the values before the rewrite.
    pub before: Graph,
    /// The graph that computes them after the rewrite.
    pub after: Graph,
    /// Whether a window with more layers before it would contain more nodes.
    pub can_widen: bool,
}

/// The maximum number of nodes of a window, and of nodes followed from the root of a rewrite.
const MAX_NODES: usize = 512;

impl Graph {
    /// Returns the changes since the mark, extended by `before` layers of operands and `after` layers of readers.
    ///
    /// The window's inputs are the values that both sides read; its outputs are the values that anything outside it
    /// reads. `root` is the node that the rewrite matched: changes on the way to the root are within the window.
    /// Returns `None` if nothing changed that anything reads.
    pub fn window(&self, mark: Mark, root: Option<NodeId>, before: usize, after: usize) -> Option<Window> {
        let past = Past::of(self, mark);
        let changed = past.changed();
        let between = past.between(&changed, root, after);
        let compared = past.compared(&changed, &between);
        if compared.is_empty() {
            return None;
        }
        let is_core = |id: NodeId| {
            between.contains(&id)
                || self.dag[id.0].dead
                || past.new.contains(&id)
                || changed.iter().any(|value| value.node == id)
        };
        let (old, new): (Vec<Value>, Vec<Value>) = compared.iter().map(|&value| (value, self.resolve(value))).unzip();
        let views = [(View::Before(&past), &old), (View::After, &new)];
        // Both sides are widened by the same nodes.
        let mut wide: HashSet<NodeId> = HashSet::default();
        let mut can_widen;
        let mut layer = 0;
        loop {
            let mut frontier = vec![];
            for (view, outputs) in &views {
                frontier.extend(self.cut(*view, outputs, &|id| is_core(id) || wide.contains(&id)).1);
            }
            // A value whose node cannot be run here is an input of the window.
            frontier.retain(|value| {
                let op = self.op(*value);
                !matches!(op, Op::Input | Op::Captured | Op::Opaque(_)) && !op.kind().is_random()
            });
            can_widen = !frontier.is_empty() && wide.len() < MAX_NODES;
            if layer == before || !can_widen {
                break;
            }
            wide.extend(frontier.iter().map(|value| value.node));
            layer += 1;
        }
        let is_within = |id: NodeId| is_core(id) || wide.contains(&id);
        let cuts = views.map(|(view, outputs)| (view, outputs, self.cut(view, outputs, &is_within)));
        let mut inputs: Vec<Value> = vec![];
        for value in cuts.iter().flat_map(|(_, _, (_, inputs))| inputs) {
            if !inputs.contains(value) {
                inputs.push(*value);
            }
        }
        let [before, after] = cuts.map(|(view, outputs, (nodes, _))| self.copy(view, outputs, &nodes, &inputs));
        Some(Window { before, after, can_widen })
    }

    /// Returns the nodes within the window that compute the outputs, operands first, and the values they read from
    /// outside.
    fn cut(&self, view: View, outputs: &[Value], is_within: &dyn Fn(NodeId) -> bool) -> (Vec<NodeId>, Vec<Value>) {
        let (mut nodes, mut inputs) = (vec![], vec![]);
        let mut seen: HashSet<Value> = HashSet::default();
        let mut entered: HashSet<NodeId> = HashSet::default();
        // A node is listed when it is visited for the second time, after its operands.
        let mut pending: Vec<(Value, bool)> = outputs.iter().rev().map(|value| (*value, false)).collect();
        while let Some((value, is_done)) = pending.pop() {
            if is_done {
                nodes.push(value.node);
                continue;
            }
            if !seen.insert(value) {
                continue;
            }
            let op = view.op(self, value.node);
            let is_source = matches!(op, Op::Constant(_) | Op::Parameter(_) | Op::SparseParameter(_));
            if matches!(op, Op::Input | Op::Captured) || !(is_source || is_within(value.node)) {
                inputs.push(value);
                continue;
            }
            if entered.insert(value.node) {
                pending.push((value, true));
                let operands = view.operands(self, value.node);
                pending.extend(operands.into_iter().rev().flatten().map(|operand| (operand, false)));
            }
        }
        (nodes, inputs)
    }

    /// Copies these nodes into a graph of their own.
    fn copy(&self, view: View, outputs: &[Value], nodes: &[NodeId], inputs: &[Value]) -> Graph {
        let mut graph = Graph::new("window");
        let mut values: HashMap<Value, Value> = HashMap::default();
        for &input in inputs {
            let fact = self.fact(input).clone();
            let copied = graph.input(self.value_name(input), fact.ty.clone());
            graph.set_fact(copied, fact);
            values.insert(input, copied);
        }
        for &id in nodes {
            let operands = view.operands(self, id).into_iter();
            let operands: SmallVec<[Option<Value>; 4]> =
                operands.map(|operand| operand.and_then(|value| values.get(&value).copied())).collect();
            let names: SmallVec<[Name; 1]> = self.results(id).map(|value| self.value_name(value).clone()).collect();
            let facts: SmallVec<[Fact; 1]> = self.results(id).map(|value| self.fact(value).clone()).collect();
            let place = Place { label: Name::default(), results: names, order: None };
            let copied = graph.add(place, view.op(self, id).clone(), &operands, facts);
            for (value, copied) in self.results(id).zip(graph.results(copied)) {
                values.entry(value).or_insert(copied);
            }
        }
        for (at, output) in outputs.iter().enumerate() {
            if let Some(value) = values.get(output) {
                graph.output(format!("result.{at}"), *value);
            }
        }
        graph
    }
}

/// A graph as it was at a mark, or as it is now.
#[derive(Clone, Copy)]
enum View<'g> {
    Before(&'g Past<'g>),
    After,
}

impl<'g> View<'g> {
    fn op(self, graph: &'g Graph, id: NodeId) -> &'g Op {
        match self {
            View::Before(past) => past.op(id),
            View::After => &graph.dag[id.0].op,
        }
    }

    fn operands(self, graph: &Graph, id: NodeId) -> SmallVec<[Option<Value>; 4]> {
        match self {
            View::Before(past) => past.operands(id),
            View::After => graph.operands(id),
        }
    }
}

/// A graph as it was at a mark.
struct Past<'g> {
    graph: &'g Graph,
    edits: &'g [Edit],
    /// The nodes inserted since the mark.
    new: HashSet<NodeId>,
    /// The values redirected since the mark.
    redirected: HashSet<Value>,
    ops: HashMap<NodeId, &'g Op>,
}

impl<'g> Past<'g> {
    fn of(graph: &'g Graph, mark: Mark) -> Self {
        let edits = graph.edits.get(mark.edits..).unwrap_or_default();
        let new = graph.recent.get(mark.nodes..).unwrap_or_default().iter().copied().collect();
        let (mut redirected, mut ops) = (HashSet::default(), HashMap::default());
        for edit in edits {
            match edit {
                Edit::Redirected { old, .. } => _ = redirected.insert(*old),
                Edit::Op { node, op } => _ = ops.entry(*node).or_insert(&**op),
            }
        }
        Self { graph, edits, new, redirected, ops }
    }

    fn op(&self, id: NodeId) -> &'g Op {
        self.ops.get(&id).copied().unwrap_or(&self.graph.dag[id.0].op)
    }

    fn operands(&self, id: NodeId) -> SmallVec<[Option<Value>; 4]> {
        self.graph.operands_by(id, |value| self.resolve(value))
    }

    /// Follows the replacements made before the mark.
    fn resolve(&self, mut value: Value) -> Value {
        while let Some(&next) = self.graph.forward.get(&value).filter(|_| !self.redirected.contains(&value)) {
            value = next;
        }
        value
    }

    /// Returns the values that had readers and that were replaced or computed differently since, in the order of the
    /// changes.
    fn changed(&self) -> Vec<Value> {
        let mut changed = vec![];
        for edit in self.edits {
            match edit {
                Edit::Redirected { old, uses, .. } if *uses > 0 && !self.new.contains(&old.node) => changed.push(*old),
                Edit::Op { node, .. } if !self.new.contains(node) => changed.extend(self.graph.results(*node)),
                _ => {}
            }
        }
        let mut seen = HashSet::default();
        changed.retain(|value| seen.insert(*value));
        changed
    }

    /// Returns the nodes between the changed values and the root, whose results change although they stay, and `layers`
    /// layers of their readers.
    fn between(&self, changed: &[Value], root: Option<NodeId>, layers: usize) -> HashSet<NodeId> {
        let mut between = root.map(|root| self.up_to(changed, root)).unwrap_or_default();
        for _ in 0..layers {
            let mut values = self.results_of(&between);
            values.extend(changed);
            let readers: Vec<NodeId> = values.into_iter().flat_map(|value| self.readers(value)).collect();
            if between.len() + readers.len() > MAX_NODES {
                break;
            }
            between.extend(readers);
        }
        between
    }

    fn results_of(&self, nodes: &HashSet<NodeId>) -> Vec<Value> {
        let mut nodes: Vec<NodeId> = nodes.iter().copied().collect();
        nodes.sort();
        nodes.into_iter().flat_map(|id| self.graph.results(id)).collect()
    }

    fn up_to(&self, changed: &[Value], root: NodeId) -> HashSet<NodeId> {
        let (mut order, mut seen) = (vec![root], HashSet::from_iter([root]));
        let mut at = 0;
        while let Some(&id) = order.get(at).filter(|_| order.len() < MAX_NODES) {
            let operands = self.operands(id).into_iter().flatten().map(|operand| operand.node);
            order.extend(operands.filter(|operand| seen.insert(*operand)));
            at += 1;
        }
        let mut between = HashSet::default();
        loop {
            let count = between.len();
            for &id in &order {
                let mut operands = self.operands(id).into_iter().flatten();
                let reads = operands.any(|value| changed.contains(&value) || between.contains(&value.node));
                if reads && !self.graph.dag[id.0].dead {
                    between.insert(id);
                }
            }
            if between.len() == count {
                return between;
            }
        }
    }

    /// Returns the values to compare: those that changed, or may have, and that something outside the window reads.
    fn compared(&self, changed: &[Value], between: &HashSet<NodeId>) -> Vec<Value> {
        let escapes =
            |value: Value| self.is_output(value) || self.readers(value).iter().any(|reader| !between.contains(reader));
        let mut compared: Vec<Value> = changed.to_vec();
        compared.extend(self.results_of(between));
        compared.retain(|value| escapes(*value));
        let mut seen = HashSet::default();
        compared.retain(|value| seen.insert(*value));
        compared
    }

    /// Returns the living nodes that read a value.
    fn readers(&self, value: Value) -> Vec<NodeId> {
        let (mut readers, mut pending) = (vec![], vec![value]);
        while let Some(value) = pending.pop() {
            let edges = self.graph.dag.edges_directed(value.node.0, Outgoing);
            let edges = edges.filter(|edge| edge.weight().result == value.result);
            readers.extend(edges.map(|edge| edge.target()).filter(|id| !self.graph.dag[*id].dead).map(NodeId));
            let absorbed = self.graph.absorbed.get(&value).into_iter().flatten();
            pending.extend(absorbed.filter(|absorbed| !self.redirected.contains(absorbed)));
        }
        readers
    }

    fn is_output(&self, value: Value) -> bool {
        let mut became = false;
        for edit in self.edits {
            if let Edit::Redirected { old, is_output, .. } = edit {
                if *old == value {
                    return *is_output;
                }
                became |= *is_output && self.graph.resolve(*old) == value;
            }
        }
        !became && self.graph.is_output(value)
    }
}
