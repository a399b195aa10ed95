//! The rows of the operator table: what holds for an operator with any attributes.

use super::OpKind;
use crate::HashMap;
use std::sync::LazyLock;

/// The row of an operator.
#[derive(Debug)]
pub(super) struct Card {
    pub(super) name: &'static str,
    pub(super) word: &'static str,
    pub(super) versions: &'static [Version],
    pub(super) class: Class,
    pub(super) commutes: bool,
    /// The additions of each attribute, then those of the values of each attribute, then those of operands and results.
    pub(super) additions: &'static [&'static [Addition]],
}

impl Card {
    /// Creates the row of a kind that is not an ONNX operator.
    pub(super) const fn source(name: &'static str, word: &'static str) -> Self {
        Self { name, word, versions: &[], class: Class::Other, commutes: false, additions: &[] }
    }
}

/// A version of an ONNX operator.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Version {
    /// The opset that introduced it.
    pub since: i64,
    /// Whether every node written for the version before means the same: the version only accepts more types, or adds
    /// attributes and operands whose absence means the earlier behavior. Otherwise it may change a node's meaning or
    /// reject its form.
    pub keeps_nodes: bool,
}

/// A part that a version of an operator added: a node without it means the same in the version before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Addition {
    /// The part that was added.
    pub part: Part,
    /// The opset that added it.
    pub since: i64,
}

/// A part of a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// The attribute of this name.
    Attribute(&'static str),
    /// The attribute of this name with this value.
    Value(&'static str, &'static str),
    /// The operand at this index, and its name.
    Operand(usize, &'static str),
    /// The result at this index, and its name.
    Result(usize, &'static str),
}

/// How the elements of an operator's results relate to those of its operands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Class {
    /// Each element is computed from the element of the only operand at the same position.
    ElementwiseUnary,
    /// Each element is computed from one element of every operand; the operands are broadcast to one shape.
    Broadcasting,
    /// The elements of the first operand in the same order, in another shape.
    Reshapes,
    /// All elements of the first operand, in another order or repeated.
    Rearranges,
    /// Some of the elements of the first operand.
    Selects,
    /// One element for all elements along some axes; `keepdims` decides whether these axes stay.
    Reduces,
    /// Sums of products of elements: products of matrices or tensors.
    Multiplies,
    /// Sums of products of weights and the elements in a window.
    Convolves,
    /// Sums of values, weighted by the softmax of products of queries and keys.
    Attends,
    /// Each element of the first operand, scaled by statistics of those along some axes.
    Normalizes,
    /// Each element is computed from a few elements of the operands.
    Maps,
    /// Elements of the operands, and numbers that need no arithmetic.
    Copies,
    /// Sizes of the first operand, whose elements are not read.
    Measures,
    /// Random numbers, or elements changed at random: two equal nodes compute different results.
    Random,
    /// The results of bodies, which run as part of the node.
    Control,
    /// Anything else.
    Other,
}

impl OpKind {
    /// Returns the name in the text form, such as `scaled_softmax`.
    pub fn word(self) -> &'static str {
        self.card().word
    }

    /// Returns the name in ONNX, such as `LayerNormalization`.
    pub fn name(self) -> &'static str {
        self.card().name
    }

    /// Returns the kind with this name in the text form.
    pub fn from_word(word: &str) -> Option<OpKind> {
        static BY_WORD: LazyLock<HashMap<&str, OpKind>> =
            LazyLock::new(|| OpKind::ALL.iter().map(|kind| (kind.word(), *kind)).collect());
        BY_WORD.get(word).copied()
    }

    /// Returns the kind of this ONNX operator; fused operators have none.
    pub fn from_name(name: &str) -> Option<OpKind> {
        static BY_NAME: LazyLock<HashMap<&str, OpKind>> = LazyLock::new(|| {
            OpKind::ALL.iter().filter(|kind| !kind.is_fused()).map(|kind| (kind.name(), *kind)).collect()
        });
        BY_NAME.get(name).copied()
    }

    /// Returns the versions of the operator, oldest first; none if ONNX does not have it.
    ///
    /// ```
    /// use netwright_ir::OpKind;
    /// let versions: Vec<i64> = OpKind::Where.versions().iter().map(|version| version.since).collect();
    /// assert_eq!(versions, [9, 16]);
    /// ```
    pub fn versions(self) -> &'static [Version] {
        self.card().versions
    }

    /// Returns the first opset that has the operator.
    pub fn since(self) -> Option<i64> {
        self.versions().first().map(|version| version.since)
    }

    /// Returns what later versions added to the first: attributes, values of attributes, operands and results, in that
    /// order.
    pub fn additions(self) -> impl Iterator<Item = Addition> {
        self.card().additions.iter().copied().flatten().copied()
    }

    /// Returns how the elements of its results relate to those of its operands.
    pub fn class(self) -> Class {
        self.card().class
    }

    /// Whether it is a source of the graph: an input, a capture or a tensor.
    pub fn is_source(self) -> bool {
        matches!(
            self,
            OpKind::Input | OpKind::Captured | OpKind::Parameter | OpKind::Constant | OpKind::SparseParameter
        )
    }

    /// Whether it exists only in the IR and must be lowered before it is written.
    pub fn is_fused(self) -> bool {
        self.versions().is_empty() && !self.is_source() && self != OpKind::Opaque
    }

    /// Whether its two operands may be swapped.
    pub fn commutes(self) -> bool {
        self.card().commutes
    }

    /// Whether its results are random, so that two equal nodes compute different results.
    pub fn is_random(self) -> bool {
        self.class() == Class::Random
    }

    /// Whether its result has the elements of its first operand in the same order, in the same or another shape.
    pub fn keeps_order(self) -> bool {
        self == OpKind::Identity || self.class() == Class::Reshapes
    }

    /// Whether its result has all elements of its first operand and no others, in any order, perhaps repeated.
    pub fn keeps_elements(self) -> bool {
        self.keeps_order() || self.class() == Class::Rearranges
    }

    /// Whether every element of its results is an element of its first operand.
    pub fn moves_elements(self) -> bool {
        self.keeps_elements() || self.class() == Class::Selects
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::attribute::{Attribute, AttributeError, Attributes};
    use crate::{ElementType, Graph, Op, Shape, TensorType, Value, shape};
    use std::sync::Arc;

    #[test]
    fn rows_are_consistent() {
        for kind in OpKind::ALL {
            let name = kind.name();
            let versions: Vec<i64> = kind.versions().iter().map(|version| version.since).collect();
            assert!(versions.is_sorted_by(|a, b| a < b), "{name}");
            for Addition { part, since } in kind.additions() {
                assert!(versions[1..].contains(&since), "{name} has no version at opset {since}, which adds {part:?}");
            }
            assert_eq!(OpKind::from_word(kind.word()), Some(*kind));
            assert_eq!(OpKind::from_name(name), Some(*kind).filter(|kind| !kind.is_fused()));
        }
        assert_eq!(
            OpKind::ALL.iter().copied().filter(|kind| kind.is_fused()).collect::<Vec<_>>(),
            [OpKind::ScaledSoftmax]
        );
    }

    /// Constructs an operator with this attribute only.
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

    /// Returns the shape of the result for operands of these shapes, of the first element type that the operator
    /// accepts.
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
    fn what_operators_do_with_elements() {
        let does = [OpKind::is_source, OpKind::keeps_order, OpKind::keeps_elements, OpKind::moves_elements];
        for (kind, expected) in [
            (OpKind::Input, [true, false, false, false]),
            (OpKind::SparseParameter, [true, false, false, false]),
            (OpKind::Identity, [false, true, true, true]),
            (OpKind::Reshape, [false, true, true, true]),
            (OpKind::Transpose, [false, false, true, true]),
            (OpKind::Slice, [false, false, false, true]),
            (OpKind::Relu, [false; 4]),
        ] {
            assert_eq!(does.map(|does| does(kind)), expected, "{}", kind.name());
        }
    }

    #[test]
    fn names_of_operators_that_compute_with_integers() {
        let integers = ["DynamicQuantizeMatMul", "MatMulIntegerToFloat", "QAttention", "QLinearMatMul", "ConvInteger"];
        assert!(integers.into_iter().all(crate::op::computes_with_integers));
        assert!(!["MatMul", "QuickGelu", "QuantizeLinear"].into_iter().any(crate::op::computes_with_integers));
    }

    #[test]
    fn operands_that_are_scales_and_zero_points() {
        for (operator, operands) in [
            ("QuantizeLinear", "x y_scale y_zero_point"),
            ("DequantizeLinear", "x x_scale x_zero_point"),
            ("QuantizeWithOrder", "input scale_input"),
            ("MatMulNBits", "A B scales zero_points g_idx bias"),
            ("MatMulNBitsMlp", "A skip norm gate_B gate_scales gate_bias up_B up_scales up_bias"),
            ("MatMulNBitsQkv", "A skip norm q_B q_scales q_bias k_B k_scales k_bias v_B v_scales v_bias"),
            ("MatMulNBitsQLoRA", "X W scales lora_A lora_A_scales lora_B lora_B_scales"),
            ("GatherBlockQuantized", "data indices scales zero_points"),
            ("DynamicQuantizeMatMul", "A B b_scale b_zero_point bias"),
            (
                "DynamicQuantizeLSTM",
                "X W R B sequence_lens initial_h initial_c P W_scale W_zero_point R_scale R_zero_point",
            ),
            ("MatMulBlockQuantizedFp4Weight", "A B weight_scale weight_scale_2 input_scale bias"),
            ("MatMulBlockQuantizedFp8Weight", "A B b_scale a_scale bias"),
            ("MatMulBnb4", "A B absmax"),
            ("MatMulInteger", "A B a_zero_point b_zero_point"),
            ("MatMulIntegerToFloat", "A B a_scale b_scale a_zero_point b_zero_point bias"),
            ("MulInteger", "A A_zero_point B B_zero_point"),
            ("ConvInteger", "x w x_zero_point w_zero_point"),
            ("GemmFloat8", "A B C scaleA scaleB scaleY"),
            ("QAttention", "input weight bias input_scale weight_scale mask input_zero_point weight_zero_point past"),
            (
                "QEmbedLayerNormalization",
                "ids segments word position segment gamma beta mask word_scale position_scale segment_scale \
                 gamma_scale beta_scale word_zero_point position_zero_point segment_zero_point gamma_zero_point \
                 beta_zero_point",
            ),
            ("QGemm", "A a_scale a_zero_point B b_scale b_zero_point C y_scale y_zero_point"),
            (
                "QMoE",
                "input router fc1 fc1_scales fc1_bias fc2 fc2_scales fc2_bias fc3 fc3_scales fc3_bias \
                 fc1_zero_points fc2_zero_points fc3_zero_points router_weights fc1_global_scale fc2_global_scale \
                 fc1_act_scale fc2_act_scale fc1_act_block_scale fc2_act_block_scale",
            ),
            ("QLinearConv", "x x_scale x_zero_point w w_scale w_zero_point y_scale y_zero_point B"),
            ("QLinearMatMul", "a a_scale a_zero_point b b_scale b_zero_point y_scale y_zero_point"),
            ("QLinearAdd", "A A_scale A_zero_point B B_scale B_zero_point C_scale C_zero_point"),
            ("QLinearMul", "A A_scale A_zero_point B B_scale B_zero_point C_scale C_zero_point"),
            ("QLinearWhere", "condition X x_scale x_zero_point Y y_scale y_zero_point z_scale z_zero_point"),
            ("QLinearConcat", "Y_scale Y_zero_point A A_scale A_zero_point B B_scale B_zero_point"),
            ("QLinearAveragePool", "X x_scale x_zero_point y_scale y_zero_point"),
            ("QLinearGlobalAveragePool", "X x_scale x_zero_point y_scale y_zero_point"),
            ("QLinearLeakyRelu", "X X_scale X_zero_point Y_scale Y_zero_point"),
            ("QLinearReduceMean", "data data_scale data_zero_point reduced_scale reduced_zero_point"),
            ("QLinearSigmoid", "X X_scale X_zero_point Y_scale Y_zero_point"),
            ("QLinearSoftmax", "X X_scale x_zero_point y_scale y_zero_point"),
            (
                "QOrderedAttention",
                "input scale_input scale_Q scale_K scale_V Q K V scale_Q_weight scale_K_weight scale_V_weight \
                 Q_bias K_bias V_bias scale_QKT scale_softmax scale_values mask_index past attention_bias",
            ),
            ("QOrderedGelu", "X scale_X scale_Y"),
            ("QOrderedLayerNormalization", "X scale_X gamma B scale_Y"),
            (
                "QOrderedLongformerAttention",
                "input scale_input weight scale_weight bias scale_bias scale_qkv mask global_weight \
                 scale_global_weight global_bias scale_global global scale_output",
            ),
            ("QOrderedMatMul", "A scale_A B scale_B scale_Y bias C scale_C"),
            ("MatMul", "A B"),
        ] {
            let is_one = |name: &str| ["scale", "zero_point", "g_idx", "absmax"].iter().any(|part| name.contains(part));
            for (at, name) in operands.split_whitespace().enumerate() {
                assert_eq!(crate::op::is_scale_or_zero_point(operator, at), is_one(name), "{operator} {name}");
            }
        }
    }

    #[test]
    fn markers_of_a_row_are_parsed() {
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
