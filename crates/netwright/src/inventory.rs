//! Counts of nodes, operators and parameters of a model.

use crate::ir::{Graph, Model, Op};
use crate::parameters::Trained;
use std::collections::{BTreeMap, HashMap};

/// Counts of a model: of its graph, of each body once, and of each function as often as it is called.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[must_use]
#[non_exhaustive]
pub struct Inventory {
    /// The number of nodes, without inputs and tensors.
    pub nodes: usize,
    /// The number of nodes of each operator, by ONNX name.
    pub operators: BTreeMap<String, usize>,
    /// The operators that Netwright does not know, which pass through unchanged.
    pub kept: BTreeMap<String, usize>,
    /// The number of trained weights, each counted once. Scales and zero points of quantized weights do not count.
    pub parameters: u64,
    /// The number of bytes of trained tensors.
    pub parameter_bytes: u64,
    /// The number of elements of tensors that a compiler or exporter computed.
    pub constants: u64,
    /// The number of bytes of such tensors.
    pub constant_bytes: u64,
}

/// Counts nodes, operators and parameters of a model.
///
/// ```
/// use netwright::ir::{Model, parse};
/// let text = "g(%x: f32[4]) {\n%y = mul %x, 0.5 : f32[4]\n%z = \"my.domain::Twist@1\" %y : f32[4]\nreturn %z\n}";
/// let inventory = netwright::inventory::inventory(&Model::new(parse(text)?));
/// assert_eq!((inventory.nodes, inventory.constants, inventory.operators["Mul"]), (2, 1, 1));
/// assert_eq!(inventory.kept, [("my.domain::Twist".to_owned(), 1)].into());
/// let text = "g(%x: f32[4]) {\n%y = \"com.microsoft::QuickGelu@1\" %x : f32[4]\nreturn %y\n}";
/// assert!(netwright::inventory::inventory(&Model::new(parse(text)?)).kept.is_empty());
/// # Ok::<(), netwright::ir::ParseError>(())
/// ```
pub fn inventory(model: &Model) -> Inventory {
    let mut inventory = Inventory::default();
    // The uncounted calls of each function.
    let mut calls: HashMap<Called, u64> = HashMap::new();
    count(&model.graph, 1, &mut inventory, &mut calls);
    // Functions are not recursive, so no call is left after this many rounds.
    for _ in &model.functions {
        let called = std::mem::take(&mut calls);
        let mut any = false;
        for function in &model.functions {
            if let Some(times) = called.get(&(&*function.domain, &*function.name, &*function.overload)) {
                any = true;
                count(&function.graph, *times, &mut inventory, &mut calls);
            }
        }
        if !any {
            break;
        }
    }
    for function in &model.functions {
        let name = name(&function.domain, &function.name);
        if let Some(nodes) = inventory.operators.remove(&name) {
            inventory.nodes = inventory.nodes.saturating_sub(nodes);
            inventory.kept.remove(&name);
        }
    }
    inventory
}

/// The domain, name and overload of a function.
type Called<'m> = (&'m str, &'m str, &'m str);

fn name(domain: &str, op_type: &str) -> String {
    if domain.is_empty() { op_type.to_owned() } else { format!("{domain}::{op_type}") }
}

fn count<'m>(graph: &'m Graph, times: u64, inventory: &mut Inventory, calls: &mut HashMap<Called<'m>, u64>) {
    for id in graph.schedule() {
        let op = graph.node(id).op();
        for body in op.bodies() {
            count(body, times, inventory, calls);
        }
        match op {
            Op::Parameter(_) | Op::SparseParameter(_) => {
                if let Some(trained) = Trained::new(graph, id) {
                    inventory.parameters = inventory.parameters.saturating_add(trained.parameters);
                    inventory.parameter_bytes = inventory.parameter_bytes.saturating_add(trained.bytes);
                }
            }
            Op::Constant(tensor) => {
                inventory.constants += tensor.count();
                inventory.constant_bytes += tensor.len();
            }
            op if op.kind().is_source() => {}
            op => {
                let name = match op {
                    Op::Opaque(kept) => {
                        let calls = calls.entry((&kept.domain, &kept.op_type, &kept.overload)).or_default();
                        *calls = calls.saturating_add(times);
                        name(&kept.domain, &kept.op_type)
                    }
                    op => op.kind().name().to_owned(),
                };
                // Constants of functions pass through unchanged.
                if name != "Constant" {
                    let times = usize::try_from(times).unwrap_or(usize::MAX);
                    inventory.nodes = inventory.nodes.saturating_add(times);
                    if matches!(op, Op::Opaque(kept) if !kept.is_known()) {
                        add(&mut inventory.kept, name.clone(), times);
                    }
                    add(&mut inventory.operators, name, times);
                }
            }
        }
    }
}

fn add(counts: &mut BTreeMap<String, usize>, name: String, times: usize) {
    let count = counts.entry(name).or_default();
    *count = count.saturating_add(times);
}
