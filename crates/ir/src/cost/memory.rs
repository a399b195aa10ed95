//! The bytes that a node moves, and those that a graph holds while it runs.

use super::{Class, Uncounted};
use crate::{Bindings, Dim, Graph, HashMap, HashSet, NodeId, OpKind, Value};

/// Returns the number of bytes of a value; unknown if its type or size is.
pub fn bytes(graph: &Graph, value: Value) -> Dim {
    if let Some(tensor) = graph.tensor(value) {
        return i64::try_from(tensor.len()).map_or(Dim::Unknown, Dim::Known);
    }
    let fact = graph.fact(value);
    let (Some(element), Some(shape)) = (fact.element(), fact.shape()) else { return Dim::Unknown };
    match i64::from(element.bits()) {
        0 => Dim::Unknown,
        bits if bits % 8 == 0 => shape.count().times(&Dim::Known(bits / 8)),
        bits => shape.count().times(&Dim::Known(bits)).plus(&Dim::Known(7)).floor_div(&Dim::Known(8)),
    }
}

/// Returns the number of bytes that a node reads and writes.
pub(super) fn moved(graph: &Graph, id: NodeId) -> Result<Dim, Uncounted> {
    let kind = graph.node(id).op().kind();
    if kind.keeps_order() {
        return Ok(Dim::Known(0));
    }
    let sum =
        |values: &mut dyn Iterator<Item = Value>| values.fold(Dim::Known(0), |sum, one| sum.plus(&bytes(graph, one)));
    let written = sum(&mut graph.results(id).filter(|result| !graph.is_omitted(*result)));
    let mut operands: Vec<Value> = graph.operands(id).iter().flatten().copied().collect();
    let selected = match kind.class() {
        Class::Control => return Err(Uncounted::Body),
        Class::Measures => return Ok(written),
        Class::Selects if !operands.is_empty() => {
            operands.remove(0);
            written.clone()
        }
        _ => Dim::Known(0),
    };
    operands.sort_unstable();
    operands.dedup();
    Ok(written.plus(&selected).plus(&sum(&mut operands.into_iter())))
}

/// Returns the values that depend on no input: weights, and what is computed from them once, when a model is loaded.
pub(super) fn fixed(graph: &Graph) -> HashSet<Value> {
    let mut fixed = HashSet::default();
    for id in graph.schedule() {
        let kind = graph.node(id).op().kind();
        let is_fixed = match kind {
            OpKind::Input | OpKind::Captured => false,
            kind if matches!(kind.class(), Class::Random | Class::Control) => false,
            _ => graph.operands(id).iter().flatten().all(|operand| fixed.contains(operand)),
        };
        if is_fixed {
            fixed.extend(graph.results(id));
        }
    }
    fixed
}

/// The most memory that a graph's values need at a time, without weights.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Peak {
    /// The number of bytes.
    pub bytes: u64,
    /// The node that runs then.
    pub node: NodeId,
}

/// Returns the most memory that the values of a graph need at a time, if its nodes run in its order and a value is freed
/// after its last use.
///
/// An input counts from the start to its last use, an output from its node to the end; a reshaped value shares the memory
/// of its operand. Weights, what is computed from them alone, what a kernel needs for itself, and bodies do not count.
///
/// # Errors
/// If the size of a value is unknown for these sizes of symbols: that value. `Ok(None)` if the graph has no node.
pub fn peak_activations(graph: &Graph, sizes: &Bindings) -> Result<Option<Peak>, Value> {
    let schedule = graph.schedule();
    // The value whose memory a value uses.
    let mut owner: HashMap<Value, Value> = HashMap::default();
    let mut last_use: HashMap<Value, usize> = HashMap::default();
    for (step, id) in schedule.iter().enumerate() {
        let operands = graph.operands(*id);
        for operand in operands.iter().flatten() {
            last_use.insert(owner.get(operand).copied().unwrap_or(*operand), step);
        }
        if let (true, Some(Some(first))) = (graph.node(*id).op().kind().keeps_order(), operands.first()) {
            let root = owner.get(first).copied().unwrap_or(*first);
            owner.extend(graph.results(*id).map(|result| (result, root)));
        }
    }
    for output in graph.outputs() {
        last_use.insert(owner.get(&output.value).copied().unwrap_or(output.value), schedule.len());
    }
    let mut freed: Vec<Vec<Value>> = vec![vec![]; schedule.len() + 1];
    for value in schedule.iter().flat_map(|id| graph.results(*id)) {
        if let Some(step) = last_use.get(&value) {
            freed[*step].push(value);
        }
    }
    let size = |value: Value| {
        let number = bytes(graph, value).evaluate(sizes).and_then(|number| u64::try_from(number).ok());
        number.ok_or(value)
    };
    let fixed = fixed(graph);
    let (mut held, mut peak): (u64, Option<Peak>) = (0, None);
    let mut holds: HashMap<Value, u64> = HashMap::default();
    for (step, id) in schedule.iter().enumerate() {
        for value in graph.results(*id) {
            if !owner.contains_key(&value) && !graph.is_omitted(value) && !fixed.contains(&value) {
                let own = size(value)?;
                holds.insert(value, own);
                held = held.checked_add(own).ok_or(value)?;
            }
        }
        if peak.is_none_or(|peak| held > peak.bytes) {
            peak = Some(Peak { bytes: held, node: *id });
        }
        for value in &freed[step] {
            held -= holds.remove(value).unwrap_or(0);
        }
        // A result that nothing reads is freed at once.
        for value in graph.results(*id) {
            if !last_use.contains_key(&value) {
                held -= holds.remove(&value).unwrap_or(0);
            }
        }
    }
    Ok(peak)
}
