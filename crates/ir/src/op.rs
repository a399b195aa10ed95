//! Operators: what a node computes.
//!
//! The vocabulary is ONNX's, in one normal form: the semantics of the default domain's opsets 21 to 28, with axes and
//! shapes as operands where those versions have them so. [`ScaledSoftmax`](Op::ScaledSoftmax) and other fused
//! operators have no ONNX form; lowering turns them into those that do. What the compiler does not understand is
//! [`OpaqueOp`] as it came.
//!
//! Each operator has one row, in the file of its family: its word in the text form, the versions of ONNX that changed
//! it, its class, its attributes with their defaults, and the function that infers its results, which stands with its
//! family in [`crate::infer`]. `op/table.rs` unites the families and says how a row is read.

use crate::Tensor;
use crate::attribute::Attribute;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

mod card;
#[macro_use]
mod activation;
#[macro_use]
mod attention;
#[macro_use]
mod control;
#[macro_use]
mod convolution;
#[macro_use]
mod elementwise;
#[macro_use]
mod image;
#[macro_use]
mod indexing;
#[macro_use]
mod layout;
#[macro_use]
mod loss;
#[macro_use]
mod normalization;
#[macro_use]
mod pooling;
#[macro_use]
mod product;
#[macro_use]
mod quantization;
#[macro_use]
mod random;
#[macro_use]
mod recurrent;
#[macro_use]
mod reduction;
#[macro_use]
mod sequence;
#[macro_use]
mod signal;
#[macro_use]
mod string;

mod table;
mod types;
mod words;

pub use card::{Addition, Class, Part, Version};
pub use table::{Op, OpKind};
pub use types::Dialect;
pub use words::*;

/// An operator that is not understood: its domain, type, version and attributes as they came.
#[derive(Clone, Debug, PartialEq)]
pub struct OpaqueOp {
    /// The domain; empty for ONNX's default.
    pub domain: Arc<str>,
    /// The operator's type.
    pub op_type: Arc<str>,
    /// Which of the functions of that name.
    pub overload: Arc<str>,
    /// The version of the domain's operators that it was written for.
    pub version: i64,
    /// The attributes, in their order.
    pub attributes: Vec<(Arc<str>, Attribute)>,
}

impl Op {
    /// The tensor, where it is one that is known when the model is built.
    pub fn tensor(&self) -> Option<&Tensor> {
        match self {
            Op::Parameter(tensor) | Op::Constant(tensor) => Some(tensor),
            _ => None,
        }
    }

    /// The word of the text form.
    pub fn word(&self) -> &'static str {
        self.kind().word()
    }

    /// Calls `visit` with every tensor that it holds, those in bodies not included.
    pub fn for_each_tensor(&self, visit: &mut dyn FnMut(&Tensor)) {
        match self {
            Op::Parameter(tensor) | Op::Constant(tensor) => visit(tensor),
            Op::SparseParameter(tensor) => {
                visit(tensor.values());
                visit(tensor.indices());
            }
            Op::Opaque(kept) => kept.attributes.iter().for_each(|(_, value)| value.for_each_tensor(visit)),
            _ => {}
        }
    }

    /// A hash that agrees with `==`; tensors count by their type alone.
    pub fn hash_attributes(&self, state: &mut impl Hasher) {
        self.kind().hash(state);
        for (name, value) in self.attributes() {
            name.hash(state);
            value.hash_value(state);
        }
        if let Some(tensor) = self.tensor() {
            tensor.element().hash(state);
            tensor.dims().hash(state);
        }
    }
}
