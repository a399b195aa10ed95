//! Operators: what a node computes.
//!
//! The operators are ONNX's, in one normal form: the semantics of opsets 21 to 28 of the default domain, with axes and
//! shapes as operands if those versions have them so. [`ScaledSoftmax`](Op::ScaledSoftmax) and the other fused
//! operators have no ONNX form; lowering decomposes them. Operators that Netwright does not know pass through unchanged
//! as [`OpaqueOp`].
//!
//! Each operator has one row, in the file of its family: its name in the text form, the ONNX versions that changed it,
//! its class, its attributes with their defaults, and its inference function, which is in the same family of
//! [`crate::infer`]. `op/table.rs` combines the families and explains the syntax of a row.

use crate::Tensor;
use crate::attribute::Attribute;
use crate::infer::Call;
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
pub(crate) mod types;
mod words;

pub use card::{Addition, Class, Part, Version};
pub use quantization::{computes_with_integers, is_scale_or_zero_point};
pub use table::{Op, OpKind};
pub use types::Dialect;
pub use words::*;

/// An operator that Netwright does not know, passed through unchanged.
#[derive(Clone, Debug, PartialEq)]
pub struct OpaqueOp {
    /// The domain; empty for ONNX's default domain.
    pub domain: Arc<str>,
    /// The operator type.
    pub op_type: Arc<str>,
    /// The overload, which distinguishes functions of the same name.
    pub overload: Arc<str>,
    /// The version of the domain that the node was written for.
    pub version: i64,
    /// The attributes, in the order of the file.
    pub attributes: Vec<(Arc<str>, Attribute)>,
    /// What inference knows of the function that the operator calls, if it calls one.
    pub call: Call,
}

impl Op {
    /// Returns the tensor of a parameter or a constant.
    pub fn tensor(&self) -> Option<&Tensor> {
        match self {
            Op::Parameter(tensor) | Op::Constant(tensor) => Some(tensor),
            _ => None,
        }
    }

    /// Returns the name in ONNX, or that of an operator without a form of its own, such as `MatMulNBits`.
    pub fn name(&self) -> &str {
        match self {
            Op::Opaque(opaque) => &opaque.op_type,
            op => op.kind().name(),
        }
    }

    /// Returns the name in the text form.
    pub fn word(&self) -> &'static str {
        self.kind().word()
    }

    /// Calls `visit` with every tensor that the operator holds, except those in bodies.
    pub fn for_each_tensor(&self, visit: &mut dyn FnMut(&Tensor)) {
        match self {
            Op::Parameter(tensor) | Op::Constant(tensor) => visit(tensor),
            Op::SparseParameter(tensor) => {
                visit(tensor.values());
                visit(tensor.indices());
            }
            Op::Opaque(opaque) => opaque.attributes.iter().for_each(|(_, value)| value.for_each_tensor(visit)),
            _ => {}
        }
    }

    /// Hashes the operator consistently with `==`; tensors only by their type.
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
