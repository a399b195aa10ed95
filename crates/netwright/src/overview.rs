//! What a model is, at a glance: its family, its layers, its parameters by module, how they are stored, its KV cache, and
//! whether ONNX Runtime has kernels for it.
//!
//! ```
//! use netwright::ir::{Model, parse};
//! use netwright::overview::Overview;
//! let text = "g(%x: f32[n, 4]) {
//!   %block.0.weight = parameter fill(0.5) : f32[4, 4]
//!   %block.1.weight = parameter fill(0.5) : f32[4, 4]
//!   %a = matmul %x, %block.0.weight : f32[n, 4]
//!   %y = matmul %a, %block.1.weight : f32[n, 4]
//!   return %y
//! }";
//! let overview = Overview::new(&Model::new(parse(text)?));
//! assert_eq!(overview.modules.parameters, 32);
//! assert_eq!((&*overview.stacks[0].path, overview.stacks[0].count), ("block", 2));
//! # Ok::<(), netwright::ir::ParseError>(())
//! ```

mod family;
mod kernels;
mod modules;
mod stored;

pub use family::family;
pub use kernels::{KERNELS_OF, missing_kernels};
pub use modules::{Module, Part, Stack};
pub use stored::{Stored, quantization};

use crate::ir::cost::bytes;
use crate::ir::{Dim, Graph, Model, OpKind};
use std::collections::BTreeMap;

/// What a model is.
#[derive(Clone, Debug)]
#[must_use]
#[non_exhaustive]
pub struct Overview {
    /// The families that the names in the model suggest: a guess.
    pub family: Option<&'static str>,
    /// The trained parameters by module, as the names of weights and nodes tell.
    pub modules: Module,
    /// Modules that are repeated: the layers.
    pub stacks: Vec<Stack>,
    /// The number of parameters and bytes by element type.
    pub elements: BTreeMap<String, Stored>,
    /// How weights and activations are quantized, with the number of nodes of each kind.
    pub quantization: BTreeMap<String, usize>,
    /// The number of bytes of the KV cache that a step reads; `None` without one.
    pub cache_bytes: Option<Dim>,
    /// The operators for which ONNX Runtime has no CPU kernel, with the reason and the number of nodes.
    pub missing_kernels: BTreeMap<String, usize>,
}

impl Overview {
    /// Looks at a model; reads no weights.
    pub fn new(model: &Model) -> Self {
        let modules = Module::new(&model.graph);
        Self {
            family: family(&model.graph),
            stacks: modules.stacks(),
            modules,
            elements: stored::elements(&model.graph),
            quantization: quantization(&model.graph),
            cache_bytes: cache_bytes(&model.graph),
            missing_kernels: missing_kernels(model),
        }
    }
}

/// Returns the bytes of the inputs that hold keys and values of the past: those of attentions, and those with such names.
fn cache_bytes(graph: &Graph) -> Option<Dim> {
    let is_cache = |name: &str| {
        let name = name.to_lowercase();
        name.contains("past_key") || name.contains("past_value") || name.starts_with("past.") || name.contains("cache")
    };
    let mut sum = None;
    for input in graph.inputs() {
        let is_past =
            |(user, at): (_, usize)| graph.node(user).op().kind() == OpKind::Attention && (4..6).contains(&at);
        let has_heads = graph.shape(input).is_some_and(|shape| shape.len() >= 3);
        if has_heads && (is_cache(graph.value_name(input)) || graph.users(input).into_iter().any(is_past)) {
            sum = Some(sum.unwrap_or(Dim::Known(0)).plus(&bytes(graph, input)));
        }
    }
    sum
}
