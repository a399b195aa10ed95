//! What counts as equal by default: by the float types in which two models compute, and by how they are quantized.

mod weights;

use crate::file::{ModelFile, bodies, int, tensor_type};
use crate::{Options, Runtime};
use half::{bf16, f16};
use netwright_ir::op::computes_with_integers;
use netwright_ir::{ElementType, OpKind};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use tract_onnx::pb::{AttributeProto, GraphProto, NodeProto, TensorProto};

/// The tolerance if both models compute in `f32` or `f64`; see [`compare`](crate::compare()).
pub const TOLERANCE: f64 = 1e-4;

/// The tolerances by the narrowest float type in which one of the models computes, the narrowest first.
///
/// Operators in `f16` round to 5e-4 of their results, operators in `bf16` to 4e-3, and a Transformer of a few layers adds
/// up to twenty such errors: in the `f16` exports of the tests, the largest is 7e-3 of the scale of an output.
pub const TOLERANCES: [(ElementType, f64); 2] = [(ElementType::BF16, 8e-2), (ElementType::F16, 1e-2)];

/// The smallest cosine of an output over all runs, by the narrowest quantization of one of the models, in bits, if the other
/// one is quantized differently; the narrowest first. Fewer bits are judged like 4.
///
/// The error of a quantized weight is a matter of the scheme, not of a mistake, so equality within a tolerance is not the
/// question. In the tiny models of the tests, whose weights are random, the quantizers of ONNX Runtime give at least 0.851
/// with 4 bits in blocks of 32, and 0.997 with 8 bits. Trained models lie higher: request more of them.
pub const MIN_COSINES: [(u32, f64); 2] = [(4, 0.8), (8, 0.99)];

/// What two models must fulfill to count as equal.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Criteria {
    /// How far floats may differ.
    pub(crate) tolerance: f64,
    /// The cosine that an output beyond the tolerance must have; `None` if no such output is accepted.
    pub(crate) min_cosine: Option<f64>,
    /// The reason for `min_cosine`.
    pub(crate) why: String,
    /// The narrowest float type in which one of the models computes, if that is `f16` or `bf16`.
    pub(crate) narrow: Option<ElementType>,
}

/// How a model computes: the float types, and the quantization.
#[derive(Clone, Debug, Default)]
pub(crate) struct Arithmetic {
    floats: BTreeSet<ElementType>,
    quantization: QuantizedBits,
}

/// The fewest bits of quantized weights and activations; `None` if there are none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct QuantizedBits {
    weights: Option<u32>,
    activations: Option<u32>,
}

impl QuantizedBits {
    fn bits(self) -> Option<u32> {
        self.weights.into_iter().chain(self.activations).min()
    }
}

impl fmt::Display for QuantizedBits {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.weights, self.activations) {
            (None, None) => f.write_str("is not quantized"),
            (Some(weights), None) => write!(f, "has {weights}-bit weights"),
            (None, Some(activations)) => write!(f, "has {activations}-bit activations"),
            (Some(weights), Some(activations)) => {
                write!(f, "has {weights}-bit weights and {activations}-bit activations")
            }
        }
    }
}

impl Criteria {
    /// Returns what the options request, and the defaults for the models otherwise.
    ///
    /// The defaults are the tolerance of the narrowest float type in which one of the models computes, and, if the models
    /// are quantized differently, the smallest cosine of the narrowest quantization.
    pub(crate) fn new(a: &ModelFile, b: Option<&ModelFile>, options: &Options) -> Self {
        let are_same = b.is_none_or(|b| weights::are_same(a, b));
        let [a, b] = [Some(a), b].map(|model| model.map(|model| Arithmetic::of(model, &options.runtime)));
        let a = a.unwrap_or_default();
        let all = || std::iter::once(&a).chain(&b);
        let computes = |element: &ElementType| all().any(|model| model.floats.contains(element));
        let by_type = TOLERANCES.iter().find(|(element, _)| computes(element));
        let tolerance = options.tolerance.unwrap_or(by_type.map_or(TOLERANCE, |(_, tolerance)| *tolerance));
        let differ = b.as_ref().filter(|b| b.quantization != a.quantization || !are_same);
        let bits = all().filter_map(|model| model.quantization.bits()).min();
        let by_bits = bits.filter(|_| options.tolerance.is_none()).and_then(|bits| {
            let least = MIN_COSINES.iter().find(|(most, _)| bits <= *most);
            differ.and(least).map(|(_, cosine)| *cosine)
        });
        let why = match (options.min_cosine, differ) {
            (None, Some(b)) => {
                let other = if b.quantization == a.quantization { ", quantized in another way" } else { "" };
                format!("the first model {} and the second {}{other}", a.quantization, b.quantization)
            }
            _ => String::new(),
        };
        let narrow = by_type.map(|(element, _)| *element);
        Self { tolerance, min_cosine: options.min_cosine.or(by_bits), why, narrow }
    }

    /// Returns the difference between 1 and the next number of the narrowest type, if that is `f16` or `bf16`.
    pub(crate) fn step(&self) -> Option<f64> {
        self.narrow.map(|element| match element {
            ElementType::BF16 => bf16::EPSILON.to_f64(),
            _ => f16::EPSILON.to_f64(),
        })
    }
}

impl Arithmetic {
    /// Returns how a model computes in a runtime.
    ///
    /// A float type counts if an operator other than a Cast reads it, or a Cast produces it. Weights that are stored in
    /// `f16` and cast to `f32` do not count.
    pub(crate) fn of(model: &ModelFile, runtime: &Runtime) -> Self {
        let nodes = nodes(model);
        Self { floats: computed(model, &nodes), quantization: quantization(model, &nodes, runtime) }
    }

    /// Returns whether the model computes in a narrow type, which each runtime does in its own way.
    pub(crate) fn is_narrow(&self) -> bool {
        TOLERANCES.iter().any(|(element, _)| self.floats.contains(element)) || self.is_quantized()
    }

    pub(crate) fn is_quantized(&self) -> bool {
        self.quantization.bits().is_some()
    }
}

/// Returns whether MatMulNBits quantizes the activations to int8 in ONNX Runtime: only its accuracy level 4 does.
fn quantizes_activations(node: &NodeProto) -> bool {
    node.op_type == "MatMulNBits" && int(node, "accuracy_level") == Some(4)
}

/// Returns whether a node of the model quantizes the activations only because of its accuracy level.
pub(crate) fn has_accuracy_level_4(model: &ModelFile) -> bool {
    nodes(model).into_iter().any(quantizes_activations)
}

/// The types of codes that are looked up and then multiplied by scales.
const CODES: [ElementType; 2] = [ElementType::I8, ElementType::U8];

/// The number of operators that may move codes before they are dequantized.
const MAX_MOVES: usize = 8;

/// Returns the fewest bits of the quantized weights and activations of a model.
fn quantization(model: &ModelFile, nodes: &[&NodeProto], runtime: &Runtime) -> QuantizedBits {
    let mut found = QuantizedBits::default();
    let add = |of: &mut Option<u32>, bits: u32| *of = Some(of.map_or(bits, |known| known.min(bits)));
    let stored = stored(model, nodes);
    // The values whose elements are those of another one.
    let moved = first_operands(nodes, |name| OpKind::from_name(name).is_some_and(OpKind::moves_elements));
    // A hostile model may move in circles.
    let origin = |value| (0..MAX_MOVES).fold(value, |value: &str, _| moved.get(value).copied().unwrap_or(value));
    let looked_up = first_operands(nodes, |name| name == "Gather");
    let cast = first_operands(nodes, |name| name == "Cast");
    for node in nodes {
        match node.op_type.as_str() {
            "MatMulNBits" | "GatherBlockQuantized" | "MatMulBnb4" => {
                let bits = int(node, "bits").and_then(|bits| u32::try_from(bits).ok());
                add(&mut found.weights, bits.unwrap_or(4));
                if quantizes_activations(node) && runtime.has_accuracy_levels() {
                    add(&mut found.activations, 8);
                }
            }
            "DequantizeLinear" => {
                let element = node.input.first().and_then(|codes| stored.get(origin(codes)));
                // A bias of i32 is as wide as f32.
                if let Some(bits) = element.map(|element| element.bits()).filter(|bits| *bits <= 16) {
                    add(&mut found.weights, bits);
                }
            }
            "QuantizeLinear" => {
                let zero = node.input.get(2).and_then(|zero| stored.get(zero.as_str())).copied();
                let to = int(node, "output_dtype").and_then(ElementType::from_number);
                add(&mut found.activations, zero.or(to).map_or(8, ElementType::bits));
            }
            // Rows of a table, dequantized after they are looked up.
            "Mul" => {
                let rows = node.input.iter().filter_map(|value| looked_up.get(cast.get(value.as_str()).copied()?));
                let codes = rows.filter_map(|table| stored.get(table)).filter(|element| CODES.contains(element));
                codes.for_each(|element| add(&mut found.weights, element.bits()));
            }
            name if computes_with_integers(name) => {
                add(&mut found.activations, 8);
                add(&mut found.weights, 8);
            }
            _ => {}
        }
    }
    found
}

/// Returns the first operand for the first result of each node of some operators.
fn first_operands<'m>(nodes: &[&'m NodeProto], is_meant: impl Fn(&str) -> bool) -> BTreeMap<&'m str, &'m str> {
    let meant = nodes.iter().filter(|node| is_meant(&node.op_type));
    meant.filter_map(|node| Some((node.output.first()?.as_str(), node.input.first()?.as_str()))).collect()
}

/// Returns the nodes of the graph, of all bodies and of the functions.
pub(crate) fn nodes(model: &ModelFile) -> Vec<&NodeProto> {
    let mut nodes: Vec<&NodeProto> = model.model.functions.iter().flat_map(|function| &function.node).collect();
    nodes.extend(graphs(model).into_iter().flat_map(|graph| &graph.node));
    nodes
}

/// Returns the graph and all bodies.
fn graphs(model: &ModelFile) -> Vec<&GraphProto> {
    let mut graphs: Vec<&GraphProto> = vec![&model.graph];
    let mut at = 0;
    while let Some(graph) = graphs.get(at) {
        graphs.extend(graph.node.iter().flat_map(bodies).collect::<Vec<_>>());
        at += 1;
    }
    graphs
}

/// Returns the element types of inputs and constants. Names of bodies are looked up beside those of the graph: at worst a
/// type counts that is only cast.
fn stored<'m>(model: &'m ModelFile, nodes: &[&'m NodeProto]) -> BTreeMap<&'m str, ElementType> {
    let inputs = model.graph.input.iter().filter_map(|input| Some((&*input.name, tensor_type(input)?.element)));
    let tensors = graphs(model).into_iter().flat_map(|graph| &graph.initializer);
    let tensors = tensors.filter_map(|tensor| Some((&*tensor.name, element(tensor)?)));
    let constants = nodes.iter().filter(|node| node.op_type == "Constant").filter_map(|node| {
        let tensor = node.attribute.iter().find_map(|attribute| attribute.t.as_ref())?;
        Some((&**node.output.first()?, element(tensor)?))
    });
    inputs.chain(tensors).chain(constants).collect()
}

/// Returns the float types in which a model computes.
fn computed(model: &ModelFile, nodes: &[&NodeProto]) -> BTreeSet<ElementType> {
    let mut found = BTreeSet::new();
    let is_type = |attribute: &&AttributeProto| matches!(&*attribute.name, "to" | "dtype");
    for node in nodes {
        found.extend(node.attribute.iter().filter(is_type).filter_map(|to| ElementType::from_number(to.i)));
        if node.op_type != "Constant" {
            found.extend(node.attribute.iter().filter_map(|attribute| element(attribute.t.as_ref()?)));
        }
    }
    let readers = nodes.iter().filter(|node| node.op_type != "Cast");
    let read: BTreeSet<&str> = readers.flat_map(|node| &node.input).map(String::as_str).collect();
    found.extend(stored(model, nodes).into_iter().filter(|(name, _)| read.contains(name)).map(|(_, element)| element));
    found
}

fn element(tensor: &TensorProto) -> Option<ElementType> {
    ElementType::from_number(tensor.data_type.into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use prost::Message;
    use tract_onnx::pb::ModelProto;

    fn file(node: Vec<NodeProto>, initializer: Vec<TensorProto>) -> ModelFile {
        let graph = GraphProto { node, initializer, ..Default::default() };
        let model = ModelProto { graph: Some(graph), ..Default::default() };
        ModelFile::from_bytes("model.onnx", &model.encode_to_vec()).expect("a model")
    }

    fn node(op_type: &str, input: &[&str], attributes: &[(&str, i64)]) -> NodeProto {
        let attribute = |(name, i): &(&str, i64)| AttributeProto { name: (*name).into(), i: *i, ..Default::default() };
        NodeProto {
            op_type: op_type.to_owned(),
            input: input.iter().map(|&name| name.to_owned()).collect(),
            output: vec!["y".to_owned()],
            attribute: attributes.iter().map(attribute).collect(),
            ..Default::default()
        }
    }

    fn criteria(a: &ModelFile, b: &ModelFile, options: &Options) -> Criteria {
        Criteria::new(a, Some(b), options)
    }

    #[test]
    fn the_narrowest_type_of_both_models_counts() {
        let of = |to: ElementType| file(vec![node("Cast", &["x"], &[("to", to.number())])], vec![]);
        let [wide, double, half, brain] =
            [ElementType::F32, ElementType::F64, ElementType::F16, ElementType::BF16].map(of);
        for (a, b, expected) in [
            (&wide, &double, TOLERANCE),
            (&wide, &half, 1e-2),
            (&half, &double, 1e-2),
            (&half, &brain, 8e-2),
            (&brain, &wide, 8e-2),
        ] {
            let found = criteria(a, b, &Options::default());
            assert_eq!((found.tolerance, found.min_cosine), (expected, None));
        }
    }

    #[test]
    fn models_that_are_quantized_differently_are_compared_by_cosine() {
        let weight = |element: ElementType| TensorProto {
            name: "w".to_owned(),
            data_type: i32::try_from(element.number()).expect("a small number"),
            dims: vec![0],
            ..Default::default()
        };
        let plain = file(vec![node("MatMul", &["x", "w"], &[])], vec![weight(ElementType::F32)]);
        let blocks = |bits, level| {
            let attributes = [("bits", bits), ("accuracy_level", level)];
            file(vec![node("MatMulNBits", &["x", "w", "s"], &attributes)], vec![])
        };
        let codes = |element| file(vec![node("DequantizeLinear", &["w", "s"], &[])], vec![weight(element)]);
        let gathered = file(
            vec![
                NodeProto { output: vec!["g".to_owned()], ..node("Gather", &["w", "i"], &[]) },
                node("DequantizeLinear", &["g", "s"], &[]),
            ],
            vec![weight(ElementType::U4)],
        );
        let of_rows = file(
            vec![
                NodeProto { output: vec!["g".to_owned()], ..node("Gather", &["w", "i"], &[]) },
                NodeProto { output: vec!["c".to_owned()], ..node("Cast", &["g"], &[("to", 1)]) },
                node("Mul", &["c", "s"], &[]),
            ],
            vec![weight(ElementType::I8)],
        );
        let dynamic = file(vec![node("DynamicQuantizeLinear", &["x"], &[])], vec![]);
        let cosine = |a: &ModelFile, b: &ModelFile| criteria(a, b, &Options::default()).min_cosine;
        assert_eq!(cosine(&plain, &plain), None);
        assert_eq!(cosine(&plain, &blocks(4, 1)), Some(0.8));
        assert_eq!(cosine(&blocks(2, 1), &plain), Some(0.8));
        assert_eq!(cosine(&plain, &codes(ElementType::U4)), Some(0.8));
        assert_eq!(cosine(&plain, &codes(ElementType::I8)), Some(0.99));
        assert_eq!(cosine(&plain, &codes(ElementType::I32)), None, "a bias");
        assert_eq!(cosine(&plain, &gathered), Some(0.8));
        assert_eq!(cosine(&plain, &of_rows), Some(0.99));
        assert_eq!(cosine(&plain, &dynamic), Some(0.99));
        assert_eq!(cosine(&blocks(4, 1), &codes(ElementType::I4)), None, "quantized in the same way");
        assert_eq!(cosine(&blocks(4, 1), &blocks(8, 1)), Some(0.8));
        assert_eq!(cosine(&blocks(4, 1), &blocks(4, 4)), None, "tract does not read the level");
        let options = Options::default();
        assert_eq!(criteria(&plain, &dynamic, &options.clone().with_tolerance(1e-3)).min_cosine, None);
        assert_eq!(criteria(&plain, &plain, &options.with_min_cosine(0.5)).min_cosine, Some(0.5));
        let why = criteria(&plain, &blocks(4, 1), &Options::default()).why;
        assert_eq!(why, "the first model is not quantized and the second has 4-bit weights");
    }

    /// Other forms of the same weights keep the scales; a scale, a zero point or a block that is wrong stays a difference.
    #[test]
    fn weights_that_are_quantized_in_another_way() {
        let f32s = |name: &str, values: &[f32]| TensorProto {
            name: name.to_owned(),
            data_type: 1,
            dims: vec![i64::try_from(values.len()).expect("a few")],
            raw_data: values.iter().flat_map(|value| value.to_le_bytes()).collect(),
            ..Default::default()
        };
        let codes =
            |name: &str, values: &[u8]| TensorProto { data_type: 2, raw_data: values.to_vec(), ..f32s(name, &[]) };
        let scales: Vec<f32> = (1..=16_u8).map(|at| f32::from(at) / 100.0).collect();
        let plain = |scales: &[f32], bytes: &[u8]| {
            let node = node("DequantizeLinear", &["w", "s"], &[]);
            file(vec![node], vec![codes("w", bytes), f32s("s", scales)])
        };
        let of = |a: &ModelFile, b: &ModelFile| criteria(a, b, &Options::default());
        let first = plain(&scales, &[1, 2, 3]);
        let mut one_wrong = scales.clone();
        one_wrong[3] *= 2.0;
        let reversed: Vec<f32> = scales.iter().rev().copied().collect();
        for (name, scales, codes, expected) in [
            ("the same", &scales[..], [1, 2, 3], None),
            ("another order and layout", &reversed, [9, 9, 9], None),
            ("one wrong scale", &one_wrong, [9, 9, 9], None),
            ("wrong scales of the same codes", &[0.5; 16], [1, 2, 3], None),
            ("larger blocks", &scales[8..], [9, 9, 9], Some(0.99)),
            ("another method", &[0.5; 16], [9, 9, 9], Some(0.99)),
        ] {
            assert_eq!(of(&first, &plain(scales, &codes)).min_cosine, expected, "{name}");
        }
        assert_eq!(
            of(&first, &plain(&scales[8..], &[9])).why,
            "the first model has 8-bit weights and the second has 8-bit weights, quantized in another way"
        );
    }
}
