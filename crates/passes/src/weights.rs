//! Finds equal large tensors. They are compared by their types, then by a sample of elements, and completely only if
//! those agree. A tensor that is the only one of its type is not read.

use crate::rewrite::SMALL;
use netwright_ir::{Data, Graph, HashMap, HashSet, NodeId, Op, OpKind, Tensor, TensorType};

/// Returns the types of which there are several large tensors.
pub(crate) fn repeated(graph: &Graph, nodes: &[NodeId]) -> HashSet<TensorType> {
    let (mut once, mut twice) = (HashSet::default(), HashSet::default());
    let tensors = nodes.iter().filter_map(|node| graph.node(*node).op().tensor());
    for tensor in tensors.filter(|tensor| is_large(tensor)) {
        if !once.insert(tensor.ty()) {
            twice.insert(tensor.ty());
        }
    }
    twice
}

/// Whether a tensor is large and its elements are stored, as whole bytes.
pub(crate) fn is_large(tensor: &Tensor) -> bool {
    let is_stored = matches!(tensor.data(), Data::File(_) | Data::Bytes(_));
    is_stored && tensor.len() >= SMALL && tensor.element().bits().is_multiple_of(8)
}

/// Whether a tensor is large and its elements are computed by a recipe.
pub(crate) fn is_recipe(tensor: &Tensor) -> bool {
    matches!(tensor.data(), Data::Recipe(_)) && tensor.len() >= SMALL
}

/// Replaces the data of equal large tensors, in the graph and in all its bodies, with that of the first of them.
/// Recipes of equal tensors then are equal, too.
pub(crate) fn unify(graph: &mut Graph) {
    let mut first: HashMap<(TensorType, Vec<u8>), Vec<Tensor>> = HashMap::default();
    unify_in(graph, &mut first);
}

fn unify_in(graph: &mut Graph, first: &mut HashMap<(TensorType, Vec<u8>), Vec<Tensor>>) {
    for node in graph.schedule() {
        if let Op::Parameter(tensor) | Op::Constant(tensor) = graph.node(node).op()
            && is_large(tensor)
            && let Some(sample) = sample(tensor)
        {
            let alike = first.entry((tensor.ty(), sample)).or_default();
            match alike.iter().find(|other| are_same(other, tensor)) {
                Some(other) => {
                    let is_parameter = graph.node(node).op().kind() == OpKind::Parameter;
                    let op = if is_parameter { Op::Parameter } else { Op::Constant };
                    graph.set_op(node, op(other.clone()));
                }
                None if alike.len() < MAX_COLLISIONS => alike.push(tensor.clone()),
                None => {}
            }
        } else if !graph.node(node).op().bodies().is_empty() {
            graph.edit_bodies(node, |body| unify_in(body, first));
        }
    }
}

/// The maximum number of others with which a tensor is compared: each comparison may read both.
pub(crate) const MAX_COLLISIONS: usize = 4;

/// Returns the size of an element in bytes.
fn size(tensor: &Tensor) -> usize {
    tensor.element().bits() as usize / 8
}

/// Returns a sample of evenly spaced elements, with the first and the last. `None` if a file cannot be read.
pub(crate) fn sample(tensor: &Tensor) -> Option<Vec<u8>> {
    const STEPS: u64 = 4;
    let last = tensor.count().checked_sub(1)?;
    let mut bytes = vec![];
    for step in 0..=STEPS {
        let mut element = [0; 16];
        let element = element.get_mut(..size(tensor))?;
        // The number of bits is a multiple of 8, see `is_large`.
        tensor.read(last * step / STEPS, element).ok()?;
        bytes.extend_from_slice(element);
    }
    Some(bytes)
}

/// Whether two tensors are equal bit by bit. Large ones whose files cannot be read count as different.
pub(crate) fn are_same(a: &Tensor, b: &Tensor) -> bool {
    a.is_same(b)
        || a.ty() == b.ty()
            && is_large(a)
            && is_large(b)
            && Tensor::all_pieces([a, b], |[a, b]| a == b).unwrap_or(false)
}
