//! What is read beyond what the writer writes.

use super::read_bytes;
use netwright_ir::{ElementType, Model};
use netwright_onnx::wire::{self, AttributeProto, AttributeType, ModelProto, NodeProto, TensorProto, ValueInfoProto};
use prost::Message;

#[expect(clippy::unnecessary_wraps, reason = "fields of messages are options")]
pub(super) fn text(name: &str) -> Option<String> {
    Some(name.to_owned())
}

/// A value of `f32[2]`.
pub(super) fn value(name: &str) -> ValueInfoProto {
    typed(name, 1, &[Some(2)])
}

/// A value of that element type, with dims that are known or a symbol `n`.
pub(super) fn typed(name: &str, element: i32, dims: &[Option<i64>]) -> ValueInfoProto {
    let dim = |dim: &Option<i64>| wire::DimensionProto {
        value: Some(dim.map_or(wire::DimensionValue::Param("n".to_owned()), wire::DimensionValue::Value)),
        denotation: None,
    };
    let shape = Some(wire::TensorShapeProto { dim: dims.iter().map(dim).collect() });
    let tensor = wire::TensorTypeProto { elem_type: Some(element), shape };
    let r#type = Some(wire::TypeProto { value: Some(wire::TypeValue::Tensor(tensor)), denotation: None });
    ValueInfoProto { name: text(name), r#type, ..Default::default() }
}

pub(super) fn node(op_type: &str, input: &[&str], output: &[&str]) -> NodeProto {
    let names = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
    NodeProto { input: names(input), output: names(output), op_type: text(op_type), ..Default::default() }
}

/// `y = Neg(x)`, opset 21.
pub(super) fn base() -> ModelProto {
    let graph = wire::GraphProto {
        name: text("g"),
        node: vec![node("Neg", &["x"], &["y"])],
        input: vec![value("x")],
        output: vec![value("y")],
        ..Default::default()
    };
    ModelProto {
        ir_version: Some(10),
        opset_import: vec![wire::OperatorSetIdProto { domain: None, version: Some(21) }],
        graph: Some(graph),
        ..Default::default()
    }
}

fn read_graph(change: impl FnOnce(&mut wire::GraphProto)) -> Model {
    let mut model = base();
    change(model.graph.as_mut().unwrap());
    read_bytes(&model.encode_to_vec()).unwrap_or_else(|error| panic!("{error}"))
}

#[test]
fn typed_fields() {
    use ElementType as E;
    let check = |element: E, count: i64, tensor: TensorProto, expected: &[u8]| {
        let dims = vec![count];
        let data_type = Some(i32::try_from(element.number()).unwrap());
        let tensor = TensorProto { dims, data_type, name: text("w"), ..tensor };
        let model = read_graph(|graph| graph.initializer.push(tensor));
        let graph = model.graph;
        let held = graph.schedule().into_iter().flat_map(|id| graph.results(id)).find_map(|value| graph.tensor(value));
        assert_eq!(held.unwrap().to_bytes().unwrap(), expected, "{element}");
    };
    let int32 = |values: &[i32]| TensorProto { int32_data: values.to_vec(), ..Default::default() };
    let float = |values: &[f32]| TensorProto { float_data: values.to_vec(), ..Default::default() };
    let double = |values: &[f64]| TensorProto { double_data: values.to_vec(), ..Default::default() };
    let uint64 = |values: &[u64]| TensorProto { uint64_data: values.to_vec(), ..Default::default() };
    check(E::F32, 1, float(&[0.5]), &[0, 0, 0, 63]);
    check(E::C64, 1, float(&[0.5, 0.0]), &[0, 0, 0, 63, 0, 0, 0, 0]);
    check(E::F64, 1, double(&[0.5]), &[0, 0, 0, 0, 0, 0, 224, 63]);
    check(E::I64, 1, TensorProto { int64_data: vec![-2], ..Default::default() }, &(-2i64).to_le_bytes());
    check(E::U64, 1, uint64(&[u64::MAX]), &[255; 8]);
    check(E::U32, 1, uint64(&[7]), &[7, 0, 0, 0]);
    check(E::I32, 1, int32(&[-2]), &(-2i32).to_le_bytes());
    check(E::I16, 1, int32(&[-2]), &(-2i16).to_le_bytes());
    check(E::U16, 1, int32(&[65_535]), &[255, 255]);
    check(E::F16, 1, int32(&[0x3800]), &[0, 0x38]);
    check(E::I8, 2, int32(&[-2, 3]), &[254, 3]);
    check(E::U8, 2, int32(&[255, 3]), &[255, 3]);
    check(E::Bool, 2, int32(&[1, 0]), &[1, 0]);
    check(E::F8E5M2, 1, int32(&[255]), &[255]);
    check(E::I4, 3, int32(&[0x21, 0x3]), &[0x21, 0x3]);
    check(E::U2, 5, int32(&[0b1110_0100, 1]), &[0b1110_0100, 1]);
    check(E::F6E2M3, 5, int32(&[1, 2, 3, 4, 63]), &[0b1000_0001, 0b0011_0000, 0b0001_0000, 63]);
    check(E::F32, 0, TensorProto::default(), &[]);
}

#[test]
fn nodes_are_put_in_order() {
    let model = read_graph(|graph| {
        graph.node = vec![
            node("Neg", &["b"], &["y"]),
            node("Abs", &["x"], &["a"]),
            node("Exp", &["a"], &["b"]),
            node("Sin", &["x"], &["c"]),
        ];
    });
    let order: Vec<_> = model.graph.schedule().iter().map(|&id| model.graph.node(id).op().word()).collect();
    assert_eq!(order, ["input", "abs", "exp", "neg", "sin"]);
}

#[test]
fn operators_and_operands() {
    let attribute = |name: &str, value: AttributeProto| AttributeProto { name: text(name), ..value };
    let int = |value: i64| AttributeProto {
        r#type: Some(AttributeType::Int.into()),
        i: Some(value),
        ..AttributeProto::default()
    };
    let float = AttributeProto { r#type: Some(AttributeType::Float.into()), f: Some(3.0), ..Default::default() };
    let model = read_graph(|graph| {
        graph.input = vec![typed("x", 1, &[None, Some(4)])];
        graph.output = vec![typed("y", 1, &[None, Some(4)])];
        let own = |node| NodeProto { attribute: vec![attribute("own", int(1))], ..node };
        graph.node = vec![
            // Defaults that ONNX knows and the IR does not.
            node("Softmax", &["x"], &["s"]),
            node("Transpose", &["s"], &["t"]),
            // An absent operand, a result that is left out, an attribute that ONNX does not have.
            node("Clip", &["x", "", "max"], &["c"]),
            own(node("LSTM", &["x"], &["", "h"])),
            NodeProto { attribute: vec![attribute("to", int(10))], ..node("Cast", &["t"], &["u"]) },
            NodeProto { attribute: vec![attribute("value_float", float)], ..node("Constant", &[], &["max"]) },
            node("Neg", &["c"], &["y"]),
        ];
        graph.value_info = vec![typed("c", 1, &[None, Some(4)]), typed("u", 10, &[Some(4), None])];
    });
    let expected = r#"g(%x: f32[n, 4]) {
  %s = softmax %x {axis = -1} : f32[n, 4]
  %t = transpose %s {perm = [1, 0]} : f32[4, n]
  %h.0, %h = "::LSTM@21" %x {own = 1} : ?, ?
  %u = cast %t {to = f16} : f16[4, n]
  %c = clip %x, _, 3.0 : f32[n, 4]
  %y = neg %c : f32[n, 4]
  return %y
}
"#;
    assert_eq!(model.graph.to_string(), expected);
}

#[test]
fn the_more_precise_type_is_kept() {
    let model = read_graph(|graph| {
        graph.input = vec![typed("x", 1, &[None]), typed("z", 1, &[None])];
        let own = AttributeProto { name: text("own"), r#type: Some(AttributeType::Int.into()), ..Default::default() };
        let unknown = NodeProto { attribute: vec![own], ..node("Celu", &["x"], &["a"]) };
        graph.node = vec![unknown, node("Add", &["a", "z"], &["y"])];
        graph.output = vec![typed("y", 1, &[None])];
    });
    let expected = "g(%x: f32[n], %z: f32[n]) {\n  %a = \"::Celu@21\" %x {own = 0} : ?\n  %y = add %a, %z : f32[n]\n  return %y\n}\n";
    assert_eq!(model.graph.to_string(), expected);
}

#[test]
fn the_symbols_of_outputs_stay() {
    let model = read_graph(|graph| {
        graph.input = vec![typed("x", 1, &[Some(2)])];
        graph.node = vec![node("Identity", &["x"], &["a"]), node("Neg", &["a"], &["y"])];
        graph.value_info = vec![typed("a", 1, &[None])];
        graph.output = vec![typed("y", 1, &[None])];
    });
    let [output] = model.graph.outputs() else { panic!("an output") };
    assert_eq!(output.declared.as_ref().map(ToString::to_string).as_deref(), Some("f32[n]"));
    assert_eq!(model.graph.fact(output.value).to_string(), "f32[2]");
    let again = read_bytes(&netwright_onnx::to_bytes(&model).unwrap()).unwrap();
    assert_eq!(again.graph.outputs()[0].declared, output.declared);
}
