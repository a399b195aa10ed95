//! What the table of operators says of an operator, whatever its attributes.

use super::OpKind;
use std::collections::HashMap;
use std::sync::LazyLock;

/// The row of an operator.
#[derive(Debug)]
pub(super) struct Card {
    pub(super) name: &'static str,
    pub(super) word: &'static str,
    pub(super) versions: &'static [Version],
    pub(super) class: Class,
    pub(super) commutes: bool,
    /// Those of each attribute, those of the values of each attribute, those of operands and results.
    pub(super) additions: &'static [&'static [Addition]],
}

impl Card {
    /// The row of a kind that is not an operator of ONNX.
    pub(super) const fn source(name: &'static str, word: &'static str) -> Self {
        Self { name, word, versions: &[], class: Class::Other, commutes: false, additions: &[] }
    }
}

/// A version of an operator of ONNX.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Version {
    /// The opset that brought it.
    pub since: i64,
    /// Whether it keeps the meaning of every node written before: it takes more types, or has attributes and operands
    /// whose absence says what was so before. Otherwise it may change a node's meaning, or no longer have its form.
    pub keeps_nodes: bool,
}

/// What a version of an operator added: a node without it means the same in the version before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Addition {
    /// What was added.
    pub part: Part,
    /// The opset that added it.
    pub since: i64,
}

/// A part of a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// The attribute of that name.
    Attribute(&'static str),
    /// The attribute of that name, where it has that value.
    Value(&'static str, &'static str),
    /// The operand at that position, and its name.
    Operand(usize, &'static str),
    /// The result at that position, and its name.
    Result(usize, &'static str),
}

/// What the elements of an operator's results are made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Class {
    /// Each element is computed from one element of the only operand, at the same place.
    ElementwiseUnary,
    /// Each element is computed from one element of every operand; all operands are broadcast to one shape.
    Broadcasting,
    /// The elements of the first operand in their order, in another shape.
    Reshapes,
    /// The elements of the first operand, all of them, in another order or more than once.
    Rearranges,
    /// Some of the elements of the first operand.
    Selects,
    /// One element for those along some axes, and `keepdims` says whether these axes stay.
    Reduces,
    /// Random numbers, or elements changed by them, so that two nodes that look the same compute different ones.
    Random,
    /// What bodies compute, which run as a part of the node.
    Control,
    /// Anything else.
    Other,
}

impl OpKind {
    /// The word of the text form, such as `scaled_softmax`.
    pub fn word(self) -> &'static str {
        self.card().word
    }

    /// The name as ONNX writes it, such as `LayerNormalization`.
    pub fn name(self) -> &'static str {
        self.card().name
    }

    /// The kind of that word of the text form.
    pub fn from_word(word: &str) -> Option<OpKind> {
        static BY_WORD: LazyLock<HashMap<&str, OpKind>> =
            LazyLock::new(|| OpKind::ALL.iter().map(|kind| (kind.word(), *kind)).collect());
        BY_WORD.get(word).copied()
    }

    /// The kind of that ONNX operator; fused ones are none.
    pub fn from_name(name: &str) -> Option<OpKind> {
        static BY_NAME: LazyLock<HashMap<&str, OpKind>> = LazyLock::new(|| {
            OpKind::ALL.iter().filter(|kind| !kind.is_fused()).map(|kind| (kind.name(), *kind)).collect()
        });
        BY_NAME.get(name).copied()
    }

    /// The opsets of ONNX that brought a version of the operator, the oldest first; none where ONNX does not have it.
    ///
    /// ```
    /// use netwright_ir::OpKind;
    /// let versions: Vec<i64> = OpKind::Where.versions().iter().map(|version| version.since).collect();
    /// assert_eq!(versions, [9, 16]);
    /// ```
    pub fn versions(self) -> &'static [Version] {
        self.card().versions
    }

    /// The first opset of ONNX that has the operator.
    pub fn since(self) -> Option<i64> {
        self.versions().first().map(|version| version.since)
    }

    /// What later versions added to the first: attributes, values of them, operands and results, in that order.
    pub fn additions(self) -> impl Iterator<Item = Addition> {
        self.card().additions.iter().copied().flatten().copied()
    }

    /// What the elements of its results are made of.
    pub fn class(self) -> Class {
        self.card().class
    }

    /// Whether it is a source of the graph: it has no operands, and is what it is by itself or by the caller.
    pub fn is_source(self) -> bool {
        matches!(
            self,
            OpKind::Input | OpKind::Captured | OpKind::Parameter | OpKind::Constant | OpKind::SparseParameter
        )
    }

    /// Whether it exists in the IR alone and must be lowered before it is written.
    pub fn is_fused(self) -> bool {
        self.versions().is_empty() && !self.is_source() && self != OpKind::Opaque
    }

    /// Whether its two operands may be exchanged.
    pub fn commutes(self) -> bool {
        self.card().commutes
    }

    /// Whether its results are drawn at random, so that two nodes that look the same compute different ones.
    pub fn is_random(self) -> bool {
        self.class() == Class::Random
    }

    /// Whether its result is the elements of its first operand in their order, in the same or another shape.
    pub fn keeps_order(self) -> bool {
        self == OpKind::Identity || self.class() == Class::Reshapes
    }

    /// Whether every element of its results is an element of its first operand.
    pub fn moves_elements(self) -> bool {
        self.keeps_order() || matches!(self.class(), Class::Rearranges | Class::Selects)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::attribute::{Attribute, AttributeError, Attributes};
    use crate::{ElementType, Graph, Op, Shape, TensorType, Value, shape};
    use std::sync::Arc;

    #[test]
    fn rows_agree_with_themselves() {
        for kind in OpKind::ALL {
            let name = kind.name();
            let versions: Vec<i64> = kind.versions().iter().map(|version| version.since).collect();
            assert!(versions.is_sorted_by(|a, b| a < b), "{name}");
            for Addition { part, since } in kind.additions() {
                assert!(versions[1..].contains(&since), "{name} has no version of opset {since}, which adds {part:?}");
            }
            assert_eq!(OpKind::from_word(kind.word()), Some(*kind));
            assert_eq!(OpKind::from_name(name), Some(*kind).filter(|kind| !kind.is_fused()));
        }
        assert_eq!(
            OpKind::ALL.iter().copied().filter(|kind| kind.is_fused()).collect::<Vec<_>>(),
            [OpKind::ScaledSoftmax]
        );
    }

    /// What becomes of an operator that has the attribute, and no other.
    fn with(kind: OpKind, name: &str, value: Attribute) -> Result<Op, AttributeError> {
        Op::from_attributes(kind, Attributes::new(vec![(name.into(), value)]).unwrap())
    }

    #[test]
    fn classes_agree_with_attributes() {
        for kind in OpKind::ALL.iter().copied() {
            let takes_body = match Op::from_attributes(kind, Attributes::default()) {
                Err(AttributeError::Missing(name)) => {
                    let given = with(kind, name, Attribute::Graph(Arc::default()));
                    !matches!(given, Err(AttributeError::Type { .. }))
                }
                _ => false,
            };
            assert_eq!(kind.class() == Class::Control, takes_body, "{}", kind.name());
            if kind.class() == Class::Reduces {
                assert!(with(kind, "keepdims", Attribute::Bool(false)).is_ok(), "{}", kind.name());
            }
            let seeds = [Attribute::Int(7), Attribute::Float(7.0)].map(|seed| with(kind, "seed", seed));
            if kind.is_random() {
                assert!(!seeds.iter().any(|op| matches!(op, Err(AttributeError::Unknown(_)))), "{}", kind.name());
            } else {
                assert!(seeds.iter().all(Result::is_err), "{}", kind.name());
            }
        }
    }

    /// The shape of the result of the operator on operands of these shapes, of the first element type that it takes.
    fn inferred(kind: OpKind, shapes: &[Shape]) -> Option<Shape> {
        let op = [vec![], vec![("to", 7)], vec![("direction", 0)]].into_iter().find_map(|given| {
            let value = |(name, number): (&str, i64)| match name {
                "direction" => (name.into(), Attribute::Text("LEFT".into())),
                _ => (name.into(), Attribute::Int(number)),
            };
            Op::from_attributes(kind, Attributes::new(given.into_iter().map(value).collect()).unwrap()).ok()
        })?;
        let elements = [ElementType::F32, ElementType::Bool, ElementType::I64, ElementType::U64];
        elements.into_iter().find_map(|element| {
            let mut graph = Graph::new("g");
            let operand = |(at, shape): (usize, &Shape)| {
                let element = if kind == OpKind::Where && at == 0 { ElementType::Bool } else { element };
                Some(graph.input("x", TensorType::new(element, shape.clone())))
            };
            let operands: Vec<Option<Value>> = shapes.iter().enumerate().map(operand).collect();
            let inferred = graph.infer(&op, &operands, 1).ok()?;
            inferred.facts.first()?.shape().cloned()
        })
    }

    #[test]
    fn classes_agree_with_inference() {
        let (whole, narrow) = (shape!["a", 3, "b"], shape![3, 1]);
        for kind in OpKind::ALL.iter().copied() {
            match kind.class() {
                Class::ElementwiseUnary => {
                    let result = inferred(kind, std::slice::from_ref(&whole));
                    assert_eq!(result.as_ref(), Some(&whole), "{}", kind.name());
                }
                Class::Broadcasting => {
                    let count = if kind == OpKind::Where { 3 } else { 2 };
                    for at in 0..count {
                        let shapes: Vec<Shape> =
                            (0..count).map(|other| if other == at { whole.clone() } else { narrow.clone() }).collect();
                        assert_eq!(inferred(kind, &shapes).as_ref(), Some(&whole), "{}", kind.name());
                    }
                }
                _ => {}
            }
        }
    }

    #[test]
    fn marks_of_a_row_are_read() {
        let squeeze = OpKind::Squeeze.versions();
        let breaking: Vec<i64> =
            squeeze.iter().filter(|version| !version.keeps_nodes).map(|version| version.since).collect();
        assert_eq!((squeeze[0].since, breaking), (1, vec![13]));
        assert!(OpKind::Add.commutes() && !OpKind::Sub.commutes());
        let added: Vec<Addition> = OpKind::ScatterND.additions().collect();
        assert_eq!(
            added,
            [
                Addition { part: Part::Attribute("reduction"), since: 16 },
                Addition { part: Part::Value("reduction", "max"), since: 18 },
                Addition { part: Part::Value("reduction", "min"), since: 18 },
            ]
        );
    }
}
