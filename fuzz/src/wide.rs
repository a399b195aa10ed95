//! Turns a model into one that computes in `f64`.

use crate::element::Elem;
use crate::proto;
use onnx_protobuf::{GraphProto, ModelProto, NodeProto, TensorProto, ValueInfoProto, type_proto};

/// Returns the model with `f64` instead of `f32` and `f16`, in inputs and outputs too. ONNX Runtime refuses it if an
/// operator has no kernel for `f64`.
pub(crate) fn widened(model: &ModelProto) -> ModelProto {
    let mut model = model.clone();
    if let Some(graph) = model.graph.as_mut() {
        widen_graph(graph);
    }
    for function in &mut model.functions {
        widen_nodes(&mut function.node);
    }
    model
}

fn is_narrow(elem: i32) -> bool {
    elem == Elem::F32 as i32 || elem == Elem::F16 as i32
}

fn widen_graph(graph: &mut GraphProto) {
    let declared = graph.input.iter_mut().chain(&mut graph.output).chain(&mut graph.value_info);
    declared.for_each(widen_type);
    graph.initializer.iter_mut().for_each(widen_tensor);
    widen_nodes(&mut graph.node);
}

fn widen_type(value: &mut ValueInfoProto) {
    if let Some(type_proto::Value::TensorType(tensor)) = value.type_.as_mut().and_then(|type_| type_.value.as_mut())
        && is_narrow(tensor.elem_type)
    {
        tensor.elem_type = Elem::F64 as i32;
    }
}

fn widen_tensor(tensor: &mut TensorProto) {
    if !is_narrow(tensor.data_type) {
        return;
    }
    let values: Vec<f64> = if tensor.data_type == Elem::F16 as i32 {
        let halves = tensor.raw_data.as_chunks::<2>().0.iter();
        halves.map(|two| half::f16::from_le_bytes(*two).to_f64()).collect()
    } else {
        tensor.raw_data.as_chunks::<4>().0.iter().map(|four| f32::from_le_bytes(*four).into()).collect()
    };
    *tensor = proto::tensor_of(&tensor.name, Elem::F64, &tensor.dims, &values);
}

fn widen_nodes(nodes: &mut Vec<NodeProto>) {
    for mut node in std::mem::take(nodes) {
        for attribute in &mut node.attribute {
            if attribute.name == "to" && i32::try_from(attribute.i).is_ok_and(is_narrow) {
                attribute.i = Elem::F64 as i64;
            }
            attribute.t.as_mut().into_iter().for_each(widen_tensor);
            attribute.g.as_mut().into_iter().for_each(widen_graph);
        }
        if node.op_type == "FastGelu" {
            nodes.extend(gelu(&node));
        } else {
            nodes.push(node);
        }
    }
}

/// Returns the standard operators of a FastGelu, whose kernel is for `f32`:
/// `x / 2 * (1 + tanh(sqrt(2 / pi) * (x + 0.044715 * x^3)))`, after the bias is added.
fn gelu(node: &NodeProto) -> Vec<NodeProto> {
    let [x, y] = [&node.input, &node.output].map(|names| names.first().cloned().unwrap_or_default());
    let name = |part: &str| format!("{y}/{part}");
    let mut nodes = vec![];
    let mut add = |op: &str, input: &[&str], output: &str| {
        let input = input.iter().map(|name| (*name).to_owned()).collect();
        nodes.push(NodeProto { op_type: op.to_owned(), input, output: vec![output.to_owned()], ..Default::default() });
    };
    let x = match node.input.get(1).filter(|bias| !bias.is_empty()) {
        Some(bias) => {
            add("Add", &[&x, bias], &name("biased"));
            name("biased")
        }
        None => x,
    };
    let (square, cube, slope) = (name("square"), name("cube"), name("slope"));
    let (bent, sum, one, half) = (name("bent"), name("sum"), name("one"), name("half"));
    add("Mul", &[&x, &x], &square);
    add("Mul", &[&square, &x], &cube);
    add("Mul", &[&cube, &name("cubic")], &slope);
    add("Add", &[&x, &slope], &sum);
    add("Mul", &[&sum, &name("root")], &bent);
    add("Tanh", &[&bent], &name("tanh"));
    add("Add", &[&name("tanh"), &one], &name("gate"));
    add("Mul", &[&x, &half], &name("part"));
    add("Mul", &[&name("part"), &name("gate")], &y);
    let numbers =
        [("one", 1.0), ("half", 0.5), ("cubic", 0.044_715), ("root", (2.0 * std::f64::consts::FRAC_1_PI).sqrt())];
    let constants = numbers.map(|(part, number)| NodeProto {
        op_type: "Constant".to_owned(),
        output: vec![name(part)],
        attribute: vec![proto::tensor("value", proto::tensor_of("", Elem::F64, &[], &[number]))],
        ..Default::default()
    });
    constants.into_iter().chain(nodes).collect()
}
