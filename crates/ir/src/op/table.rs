//! The table of operators: combines the rows of all families and generates [`Op`] and [`OpKind`] from them.
//!
//! A row holds everything that is known about an operator. For example:
//!
//! ```text
//! /// The squeezed tensor.
//! Squeeze "squeeze" [1 11 13! 21] Reshapes added(Operand 1 "axes" since 13) => infer::layout::squeeze;
//! ```
//!
//! - the name, which is ONNX's unless the operator has no versions, and the name in the text form;
//! - the opsets that introduced its versions, oldest first; `!` marks a version that may change the meaning or the form
//!   of existing nodes: see [`Version`]. An operator without versions exists only in the IR and is lowered before it is
//!   written;
//! - its [`Class`], and `commutes` if its two operands may be swapped;
//! - the operands and results that later versions added;
//! - its attributes: the field's name, `as` ONNX's name if it differs, the opset that added the attribute or some of
//!   its values (`since`), the type, and the default if there is one;
//! - its inference function, which is in the same family of [`crate::infer`].

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
    (@plain $name:ident) => { Some(&Op::$name) };
    (@plain $name:ident $fields:tt) => { None };
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
        /// An operator with its attributes: what a node computes.
        #[derive(Clone, Debug, PartialEq)]
        pub enum Op {
            /// A value that the caller gives at run time.
            Input,
            /// A trained tensor; an initializer in ONNX.
            Parameter(Tensor),
            /// A tensor that the compiler or an exporter computed: a shape, a scalar, a table.
            Constant(Tensor),
            /// A trained tensor stored by its nonzero elements; readers see a dense tensor.
            SparseParameter(SparseTensor),
            /// In a body: a captured value of the graph around it.
            Captured,
            /// An operator that Netwright does not know, passed through unchanged.
            Opaque(Box<OpaqueOp>),
            $( $(#[$doc])* $name $({ $( $(#[$field_doc])* $field: $type ),* })?, )*
        }

        /// The kind of an operator, without its attributes.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        #[expect(missing_docs, reason = "each stands for the variant of `Op` of the same name")]
        pub enum OpKind { Input, Parameter, Constant, SparseParameter, Captured, Opaque, $( $name ),* }

        impl OpKind {
            /// Every kind of operator in the table; sources and opaque operators are not among them.
            pub const ALL: &'static [OpKind] = &[$( OpKind::$name ),*];

            /// Returns the operator of this kind, if it has no attributes, tensor or body.
            pub(crate) fn plain(self) -> Option<&'static Op> {
                match self {
                    OpKind::Input => Some(&Op::Input),
                    OpKind::Captured => Some(&Op::Captured),
                    OpKind::Parameter | OpKind::Constant | OpKind::SparseParameter | OpKind::Opaque => None,
                    $( OpKind::$name => operators!(@plain $name $({ $( $field )* })?), )*
                }
            }

            /// Returns the operator's row of the table.
            pub(super) fn card(self) -> &'static Card {
                match self {
                    OpKind::Input => const { &Card::source("Input", "input") },
                    OpKind::Parameter => const { &Card::source("Parameter", "parameter") },
                    OpKind::Constant => const { &Card::source("Constant", "constant") },
                    OpKind::SparseParameter => const { &Card::source("SparseParameter", "sparse_parameter") },
                    OpKind::Captured => const { &Card::source("Captured", "captured") },
                    OpKind::Opaque => const { &Card::source("Opaque", "opaque") },
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
            /// Returns the kind of the operator.
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

            /// Returns the attributes that differ from their defaults, by ONNX's names, in the order of the table.
            pub fn attributes(&self) -> Vec<(&str, Attribute)> {
                match self {
                    Op::Input | Op::Parameter(_) | Op::Constant(_) | Op::SparseParameter(_) | Op::Captured => vec![],
                    Op::Opaque(opaque) => opaque.attributes.iter().map(|(name, value)| (&**name, value.clone())).collect(),
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

            /// Constructs an operator of this kind from its attributes; absent attributes get their defaults.
            ///
            /// # Errors
            /// If an attribute is missing, has the wrong type, is out of range, or does not belong to the operator.
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

            /// Returns the bodies: the graphs that run as part of the node, in the order of its attributes.
            pub fn bodies(&self) -> Vec<&Arc<Graph>> {
                let mut bodies = vec![];
                match self {
                    Op::Input | Op::Parameter(_) | Op::Constant(_) | Op::SparseParameter(_) | Op::Captured => {}
                    Op::Opaque(opaque) => bodies.extend(opaque.attributes.iter().flat_map(|(_, value)| value.bodies())),
                    $( Op::$name $({ $( $field ),* })? => { $($( bodies.extend($field.body()); )*)? } )*
                }
                bodies
            }

            /// Returns the number of operands that the bodies capture, which follow the other operands.
            pub fn capture_count(&self) -> usize {
                self.bodies().iter().map(|body| body.captures().len()).sum()
            }

            /// Returns the bodies for editing.
            pub(crate) fn bodies_mut(&mut self) -> Vec<&mut Arc<Graph>> {
                let mut bodies = vec![];
                match self {
                    Op::Input | Op::Parameter(_) | Op::Constant(_) | Op::SparseParameter(_) | Op::Captured => {}
                    Op::Opaque(opaque) => {
                        bodies.extend(opaque.attributes.iter_mut().flat_map(|(_, value)| value.bodies_mut()));
                    }
                    $( Op::$name $({ $( $field ),* })? => { $($( bodies.extend($field.body_mut()); )*)? } )*
                }
                bodies
            }

            /// Infers the facts of the results from those of the operands.
            ///
            /// # Errors
            /// If the operator is not defined on these operands.
            pub fn infer(&self, operands: &Operands<'_>) -> Result<Inferred, InferError> {
                match self {
                    Op::Input | Op::Captured => Ok(infer::unknown(operands)),
                    Op::Opaque(opaque) => Ok(infer::contrib::opaque(operands, opaque)),
                    Op::Parameter(tensor) | Op::Constant(tensor) => Ok(tensor.fact().into()),
                    Op::SparseParameter(tensor) => Ok(tensor.fact().into()),
                    $( Op::$name $({ $( $field ),* })? => $infer(operands $( $(, $field)* )?), )*
                }
            }
        }
    };
}

/// Combines the rows of all families: the macro of each family adds its rows and calls the next.
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
