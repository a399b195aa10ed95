//! The table of operators: the rows of all families, and what is made of them.
//!
//! A row says all that is known of an operator. For example:
//!
//! ```text
//! /// The squeezed tensor.
//! Squeeze "squeeze" [1 11 13! 21] Reshapes added(Operand 1 "axes" since 13) => infer::layout::squeeze;
//! ```
//!
//! - the name, which is ONNX's but for an operator without versions, and the word of the text form;
//! - the opsets with a version of it, the first one first; `!` marks one that may change the meaning or the form of a
//!   node written before: see [`Version`]. An operator without versions is the IR's own, and is lowered before it is
//!   written;
//! - its [`Class`], and `commutes` where its two operands may be exchanged;
//! - the operands and results that a version after the first has added;
//! - its attributes: the field's name, `as` ONNX's where that is another, the opset that has added it and values that
//!   were added `since`, the type, and the default where it has one;
//! - the function that infers its results, which stands with its family in [`crate::infer`].

use super::card::{Addition, Card, Class, Part, Version};
use super::{
    AspectRatioPolicy, AutoPad, BlockOrder, CaseChange, CastRounding, ConvActivation, Direction, GeluApproximation,
    GridPadding, Interpolation, LinearAttentionRule, LossReduction, NearestMode, OpaqueOp, PadMode, PixelFormat,
    ResizeCoordinates, RoiCoordinates, RoiMode, ScatterMode, ScatterReduction, ShiftDirection, TermWeighting,
};
use crate::attribute::{Attribute, AttributeError, AttributeValue, Attributes};
use crate::infer::{self, InferError, Inferred, Operands};
use crate::tensor::SparseTensor;
use crate::{ElementType, Graph, Tensor, ValueType};
use bytes::Bytes;
use std::sync::Arc;

macro_rules! operators {
    (@name $field:ident) => { stringify!($field) };
    (@name $field:ident $onnx:literal) => { $onnx };
    (@default) => { None };
    (@default $default:expr) => { Some($default) };
    (@attribute $name:tt) => { &[] };
    (@attribute $name:tt $since:literal) => { &[Addition { part: Part::Attribute($name), since: $since }] };
    (@values $name:tt $($value:literal $since:literal)*) => {
        &[$( Addition { part: Part::Value($name, $value), since: $since } ),*]
    };
    (@commutes) => { false };
    (@commutes commutes) => { true };
    (@versions [$($done:tt)*]) => { &[$($done)*] };
    (@versions [$($done:tt)*] $since:literal ! $($others:tt)*) => {
        operators!(@versions [$($done)* Version { since: $since, keeps_nodes: false },] $($others)*)
    };
    (@versions [$($done:tt)*] $since:literal $($others:tt)*) => {
        operators!(@versions [$($done)* Version { since: $since, keeps_nodes: true },] $($others)*)
    };
    ($(
        $(#[$doc:meta])*
        $name:ident $word:literal [$($versions:tt)*] $class:ident $(, $commutes:ident)?
        $(added($( $role:ident $at:literal $role_name:literal since $role_since:literal ),* $(,)?))?
        $({ $(
            $(#[$field_doc:meta])*
            $field:ident $(as $onnx:literal)? $(since $since:literal)?
            $(values($( $value:literal since $value_since:literal ),*))?
            : $type:ty $(= $default:expr)?
        ),* $(,)? })?
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
            Opaque(Box<OpaqueOp>),
            $( $(#[$doc])* $name $({ $( $(#[$field_doc])* $field: $type ),* })?, )*
        }

        /// Which operator, whatever its attributes.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        #[expect(missing_docs, reason = "each stands for the variant of `Op` of the same name")]
        pub enum OpKind { Input, Parameter, Constant, SparseParameter, Captured, Opaque, $( $name ),* }

        impl OpKind {
            /// Every kind of operator with a word of its own.
            pub const ALL: &'static [OpKind] = &[$( OpKind::$name ),*];

            /// What the table says of the operator.
            pub(super) fn card(self) -> &'static Card {
                match self {
                    OpKind::Input => const { &Card::source("Input", "input") },
                    OpKind::Parameter => const { &Card::source("Parameter", "parameter") },
                    OpKind::Constant => const { &Card::source("Constant", "constant") },
                    OpKind::SparseParameter => const { &Card::source("SparseParameter", "sparse_parameter") },
                    OpKind::Captured => const { &Card::source("Captured", "captured") },
                    OpKind::Opaque => const { &Card::source("Kept", "kept") },
                    $( OpKind::$name => const { &Card {
                        name: stringify!($name),
                        word: $word,
                        versions: operators!(@versions [] $($versions)*),
                        class: Class::$class,
                        commutes: operators!(@commutes $($commutes)?),
                        additions: &[
                            $($( operators!(@attribute (operators!(@name $field $($onnx)?)) $($since)?), )*)?
                            $($( operators!(
                                @values (operators!(@name $field $($onnx)?)) $($($value $value_since)*)?
                            ), )*)?
                            &[$($( Addition { part: Part::$role($at, $role_name), since: $role_since } ),*)?],
                        ],
                    } }, )*
                }
            }
        }

        impl Op {
            /// Which operator it is.
            pub fn kind(&self) -> OpKind {
                match self {
                    Op::Input => OpKind::Input,
                    Op::Parameter(_) => OpKind::Parameter,
                    Op::Constant(_) => OpKind::Constant,
                    Op::SparseParameter(_) => OpKind::SparseParameter,
                    Op::Captured => OpKind::Captured,
                    Op::Opaque(_) => OpKind::Opaque,
                    $( Op::$name { .. } => OpKind::$name, )*
                }
            }

            /// The attributes that differ from their defaults, by ONNX's names, in the order of the table.
            pub fn attributes(&self) -> Vec<(&str, Attribute)> {
                match self {
                    Op::Input | Op::Parameter(_) | Op::Constant(_) | Op::SparseParameter(_) | Op::Captured => vec![],
                    Op::Opaque(kept) => kept.attributes.iter().map(|(name, value)| (&**name, value.clone())).collect(),
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
            pub fn from_attributes(kind: OpKind, attributes: Attributes) -> Result<Op, AttributeError> {
                #[allow(unused_mut, reason = "operators without attributes")]
                let mut attributes = attributes;
                let op = match kind {
                    OpKind::Input | OpKind::Parameter | OpKind::Constant | OpKind::SparseParameter | OpKind::Captured
                    | OpKind::Opaque => return Err(AttributeError::NotByAttributes(kind)),
                    $( OpKind::$name => Op::$name $({ $(
                        $field: attributes.take(
                            operators!(@name $field $($onnx)?),
                            operators!(@default $($default)?),
                        )?
                    ),* })?, )*
                };
                attributes.finish()?;
                Ok(op)
            }

            /// The graphs that run as a part of the node, in the order of its attributes.
            pub fn bodies(&self) -> Vec<&Arc<Graph>> {
                let mut bodies = vec![];
                match self {
                    Op::Input | Op::Parameter(_) | Op::Constant(_) | Op::SparseParameter(_) | Op::Captured => {}
                    Op::Opaque(kept) => bodies.extend(kept.attributes.iter().flat_map(|(_, value)| value.bodies())),
                    $( Op::$name $({ $( $field ),* })? => { $($( bodies.extend($field.body()); )*)? } )*
                }
                bodies
            }

            /// The same, to be changed.
            pub(crate) fn bodies_mut(&mut self) -> Vec<&mut Arc<Graph>> {
                let mut bodies = vec![];
                match self {
                    Op::Input | Op::Parameter(_) | Op::Constant(_) | Op::SparseParameter(_) | Op::Captured => {}
                    Op::Opaque(kept) => {
                        bodies.extend(kept.attributes.iter_mut().flat_map(|(_, value)| value.bodies_mut()));
                    }
                    $( Op::$name $({ $( $field ),* })? => { $($( bodies.extend($field.body_mut()); )*)? } )*
                }
                bodies
            }

            /// The facts of the results, from those of the operands.
            ///
            /// # Errors
            /// When the operator is not defined on such operands.
            pub fn infer(&self, operands: &Operands<'_>) -> Result<Inferred, InferError> {
                match self {
                    Op::Input | Op::Captured => Ok(infer::unknown(operands)),
                    Op::Opaque(kept) => Ok(infer::contrib::kept(operands, kept)),
                    Op::Parameter(tensor) | Op::Constant(tensor) => Ok(tensor.fact().into()),
                    Op::SparseParameter(tensor) => Ok(tensor.fact().into()),
                    $( Op::$name $({ $( $field ),* })? => $infer(operands $( $(, $field)* )?), )*
                }
            }
        }
    };
}

/// The rows of all families, one behind the other: each macro of a family adds its own and calls the next.
macro_rules! unite {
    ([] $($rows:tt)*) => { operators! { $($rows)* } };
    ([$family:ident $($others:ident)*] $($rows:tt)*) => { $family! { [$($others)*] $($rows)* } };
}

unite! {
    [
        elementwise activation layout indexing product reduction normalization attention control convolution
        pooling image sequence recurrent random quantization loss signal string
    ]
}
