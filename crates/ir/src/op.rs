//! Operators: what a node computes.
//!
//! The vocabulary is ONNX's, in one normal form: the semantics of the default domain's opsets 21 to 28, with axes and
//! shapes as operands where those versions have them so. [`ScaledSoftmax`](Op::ScaledSoftmax) and other fused
//! operators have no ONNX form; lowering turns them into those that do. What the compiler does not understand is
//! [`Kept`] as it came.
//!
//! The table in `op/table.rs` is the one place that names an operator: its word in the text form, its attributes with their
//! defaults, and the function that infers its results, which stands with its family in [`crate::infer`].

use crate::attribute::Attribute;
use crate::{Graph, Tensor};
use std::hash::{Hash, Hasher};
use std::sync::Arc;

macro_rules! operators {
    (@name $field:ident) => { stringify!($field) };
    (@name $field:ident $onnx:literal) => { $onnx };
    (@default) => { None };
    (@default $default:expr) => { Some($default) };
    ($(
        $(#[$doc:meta])*
        $name:ident $word:literal
        $({ $( $(#[$field_doc:meta])* $field:ident $(as $onnx:literal)? : $type:ty $(= $default:expr)? ),* $(,)? })?
        => $infer:path;
    )*) => {
        /// What a node computes.
        #[derive(Clone, Debug, PartialEq)]
        pub enum Op {
            /// A value that the caller gives when the model runs.
            Input,
            /// A trained tensor; an initializer in ONNX.
            Parameter(Tensor),
            /// A tensor that the compiler or an exporter computed: a shape, a scalar, a table.
            Constant(Tensor),
            /// A trained tensor stored by its nonzero elements; what reads it sees a dense one.
            SparseParameter(SparseTensor),
            /// In a body: a value of the graph around it.
            Captured,
            /// An operator that is not understood, kept as it came.
            Kept(Box<Kept>),
            $( $(#[$doc])* $name $({ $( $(#[$field_doc])* $field: $type ),* })?, )*
        }

        /// Which operator, whatever its attributes.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        #[expect(missing_docs, reason = "each stands for the variant of `Op` of the same name")]
        pub enum Kind { Input, Parameter, Constant, SparseParameter, Captured, Kept, $( $name ),* }

        impl Kind {
            /// Every kind of operator with a word of its own.
            pub const ALL: &'static [Kind] = &[$( Kind::$name ),*];

            /// The word of the text form, such as `scaled_softmax`.
            pub fn word(self) -> &'static str {
                match self {
                    Kind::Input => "input",
                    Kind::Parameter => "parameter",
                    Kind::Constant => "constant",
                    Kind::SparseParameter => "sparse_parameter",
                    Kind::Captured => "captured",
                    Kind::Kept => "kept",
                    $( Kind::$name => $word, )*
                }
            }

            /// The name as ONNX writes it, such as `LayerNormalization`.
            pub fn name(self) -> &'static str {
                match self {
                    Kind::Input => "Input",
                    Kind::Parameter => "Parameter",
                    Kind::Constant => "Constant",
                    Kind::SparseParameter => "SparseParameter",
                    Kind::Captured => "Captured",
                    Kind::Kept => "Kept",
                    $( Kind::$name => stringify!($name), )*
                }
            }
        }

        impl Op {
            /// Which operator it is.
            pub fn kind(&self) -> Kind {
                match self {
                    Op::Input => Kind::Input,
                    Op::Parameter(_) => Kind::Parameter,
                    Op::Constant(_) => Kind::Constant,
                    Op::SparseParameter(_) => Kind::SparseParameter,
                    Op::Captured => Kind::Captured,
                    Op::Kept(_) => Kind::Kept,
                    $( Op::$name { .. } => Kind::$name, )*
                }
            }

            /// The attributes that differ from their defaults, by ONNX's names, in the order of the table.
            pub fn attributes(&self) -> Vec<(&str, Attribute)> {
                match self {
                    Op::Input | Op::Parameter(_) | Op::Constant(_) | Op::SparseParameter(_) | Op::Captured => vec![],
                    Op::Kept(kept) => kept.attributes.iter().map(|(name, value)| (&**name, value.clone())).collect(),
                    $( Op::$name $({ $( $field ),* })? => {
                        #[allow(unused_mut, reason = "operators without attributes")]
                        let mut attributes = vec![];
                        $($(
                            let default: Option<$type> = operators!(@default $($default)?);
                            let is_default = default.is_some_and(|default| default.same($field));
                            if !is_default && let Some(value) = $field.to_attribute() {
                                attributes.push((operators!(@name $field $($onnx)?), value));
                            }
                        )*)?
                        attributes
                    } )*
                }
            }

            /// The operator of that kind with these attributes; those of the table that are absent get their defaults.
            ///
            /// # Errors
            /// When an attribute is missing, of another type or out of its range, or unknown to the operator.
            pub fn from_attributes(kind: Kind, attributes: Attributes) -> Result<Op, AttributeError> {
                #[allow(unused_mut, reason = "operators without attributes")]
                let mut attributes = attributes;
                let op = match kind {
                    Kind::Input | Kind::Parameter | Kind::Constant | Kind::SparseParameter | Kind::Captured | Kind::Kept => return Err(AttributeError::NotByAttributes(kind)),
                    $( Kind::$name => Op::$name $({ $(
                        $field: attributes.take(
                            operators!(@name $field $($onnx)?),
                            operators!(@default $($default)?),
                        )?
                    ),* })?, )*
                };
                attributes.finish()?;
                Ok(op)
            }

            /// The facts of the results, from those of the operands.
            ///
            /// # Errors
            /// When the operator is not defined on such operands.
            pub fn infer(&self, operands: &Operands<'_>) -> Result<Inferred, InferError> {
                match self {
                    Op::Input | Op::Captured => Ok(infer::unknown(operands)),
                    Op::Kept(kept) => Ok(infer::contrib::kept(operands, kept)),
                    Op::Parameter(tensor) | Op::Constant(tensor) => Ok(tensor.fact().into()),
                    Op::SparseParameter(tensor) => Ok(tensor.fact().into()),
                    $( Op::$name $({ $( $field ),* })? => $infer(operands $( $(, $field)* )?), )*
                }
            }
        }
    };
}

mod table;
mod types;
mod words;

pub use table::{Kind, Op};
pub use types::Dialect;
pub use words::*;

/// An operator that is not understood: its domain, type, version and attributes as they came.
#[derive(Clone, Debug, PartialEq)]
pub struct Kept {
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

impl Kind {
    /// The kind of that word of the text form.
    pub fn from_word(word: &str) -> Option<Kind> {
        Self::ALL.iter().copied().find(|kind| kind.word() == word)
    }

    /// The kind of that ONNX operator; fused ones are none.
    pub fn from_name(name: &str) -> Option<Kind> {
        Self::ALL.iter().copied().find(|kind| kind.name() == name && !kind.is_fused())
    }

    /// Whether it is a source of the graph: it has no operands, and is what it is by itself or by the caller.
    pub fn is_source(self) -> bool {
        matches!(self, Kind::Input | Kind::Captured | Kind::Parameter | Kind::Constant | Kind::SparseParameter)
    }

    /// Whether it exists in the IR alone and must be lowered before it is written.
    pub fn is_fused(self) -> bool {
        self == Kind::ScaledSoftmax
    }

    /// Whether its two operands may be exchanged.
    pub fn commutes(self) -> bool {
        matches!(
            self,
            Kind::Add
                | Kind::Mul
                | Kind::Min
                | Kind::Max
                | Kind::And
                | Kind::Or
                | Kind::Xor
                | Kind::Equal
                | Kind::BitwiseAnd
                | Kind::BitwiseOr
                | Kind::BitwiseXor
        )
    }

    /// Whether its results are drawn at random, so that two nodes that look the same compute different ones.
    pub fn is_random(self) -> bool {
        matches!(
            self,
            Kind::Dropout
                | Kind::Bernoulli
                | Kind::RandomNormal
                | Kind::RandomNormalLike
                | Kind::RandomUniform
                | Kind::RandomUniformLike
                | Kind::Multinomial
        )
    }
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

    /// The graphs that run as a part of the node, in the order of its attributes.
    pub fn bodies(&self) -> Vec<&Arc<Graph>> {
        match self {
            Op::Kept(kept) => kept.attributes.iter().flat_map(|(_, value)| value.bodies()).collect(),
            Op::If { then_branch, else_branch } => vec![then_branch, else_branch],
            Op::Loop { body } | Op::Scan { body, .. } | Op::SequenceMap { body } => vec![body],
            _ => vec![],
        }
    }

    /// The same, to be changed.
    pub(crate) fn bodies_mut(&mut self) -> Vec<&mut Arc<Graph>> {
        match self {
            Op::Kept(kept) => {
                fn bodies(value: &mut Attribute) -> &mut [Arc<Graph>] {
                    match value {
                        Attribute::Graph(body) => std::slice::from_mut(body),
                        Attribute::Graphs(bodies) => bodies,
                        _ => &mut [],
                    }
                }
                kept.attributes.iter_mut().flat_map(|(_, value)| bodies(value)).collect()
            }
            Op::If { then_branch, else_branch } => vec![then_branch, else_branch],
            Op::Loop { body } | Op::Scan { body, .. } | Op::SequenceMap { body } => vec![body],
            _ => vec![],
        }
    }

    /// Calls `visit` with every tensor that it holds, those in bodies not included.
    pub fn for_each_tensor(&self, visit: &mut dyn FnMut(&Tensor)) {
        match self {
            Op::Parameter(tensor) | Op::Constant(tensor) => visit(tensor),
            Op::SparseParameter(tensor) => {
                visit(tensor.values());
                visit(tensor.indices());
            }
            Op::Kept(kept) => kept.attributes.iter().for_each(|(_, value)| value.for_each_tensor(visit)),
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
