//! Reading of files that the writer would not write.

use super::read_bytes;
use netwright_ir::{ElementType, Model};
use netwright_onnx::wire::{
    self, AttributeProto, AttributeType, GraphProto, ModelProto, NodeProto, SparseTensorProto, TensorProto,
    ValueInfoProto,
};
use prost::Message;

#[expect(clippy::unnecessary_wraps, reason = "fields of messages are options")]
pub(super) fn text(name: &str) -> Option<String> {
    Some(name.to_owned())
}

/// Returns a value of type `f32[2]`.
pub(super) fn value(name: &str) -> ValueInfoProto {
    typed(name, 1, &[Some(2)])
}

/// Returns a value of this element type, with known dims or a symbol `n`.
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

/// Returns the model `y = Neg(x)` at opset 21.
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
            // Defaults that ONNX has and the IR does not.
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
fn an_element_type_is_known_by_its_declaration() {
    let model = read_graph(|graph| {
        graph.input = vec![typed("x", 1, &[None]), typed("z", 1, &[None])];
        let own = AttributeProto { name: text("own"), r#type: Some(AttributeType::Int.into()), ..Default::default() };
        let unknown = NodeProto { attribute: vec![own], ..node("Celu", &["x"], &["a"]) };
        graph.node = vec![unknown, node("Add", &["a", "z"], &["y"])];
        graph.output = vec![typed("y", 1, &[None])];
    });
    let expected = "g(%x: f32[n], %z: f32[n]) {\n  %a = \"::Celu@21\" %x {own = 0} : ?\n  %y = add %a, %z : f32[*]\n  return %y\n}\n";
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

/// Returns the facts of values by name, and the warnings.
fn facts(model: &Model, names: &[&str]) -> Vec<String> {
    let graph = &model.graph;
    let values: Vec<_> = graph.schedule().into_iter().flat_map(|id| graph.results(id)).collect();
    let fact = |name: &&str| {
        let value = values.iter().find(|value| **graph.value_name(**value) == **name);
        value.map_or_else(|| "none".to_owned(), |value| graph.fact(*value).to_string())
    };
    names.iter().map(fact).collect()
}

/// A declared size that inference does not confirm is unknown, but it is written again.
#[test]
fn declared_sizes_are_not_trusted() {
    let model = read_graph(|graph| {
        graph.input = vec![typed("x", 1, &[None, Some(3)]), typed("c", 9, &[Some(3)])];
        let axis = AttributeProto {
            name: text("axis"),
            r#type: Some(AttributeType::Int.into()),
            i: Some(1),
            ..AttributeProto::default()
        };
        let own = AttributeProto { name: text("own"), r#type: Some(AttributeType::Int.into()), ..Default::default() };
        graph.node = vec![
            NodeProto { attribute: vec![axis], ..node("Compress", &["x", "c"], &["z"]) },
            NodeProto { attribute: vec![own], ..node("Celu", &["z"], &["u"]) },
            node("Neg", &["u"], &["y"]),
        ];
        graph.value_info = vec![typed("z", 1, &[None, Some(3)]), typed("u", 1, &[None, Some(3)])];
        graph.output = vec![typed("y", 1, &[None, Some(3)])];
    });
    // Runtimes check element types against the computed ones, so they are known.
    assert_eq!(facts(&model, &["z", "u", "y"]), ["f32[n, ?]", "f32[*]", "f32[*]"]);
    assert_eq!(model.warnings, [""; 0]);
    let proto = ModelProto::decode(&*netwright_onnx::to_bytes(&model).unwrap()).unwrap();
    let graph = proto.graph.unwrap();
    assert_eq!(graph.output, [typed("y", 1, &[None, Some(3)])]);
    for info in graph.value_info {
        assert_eq!(info, typed(info.name.as_deref().unwrap(), 1, &[None, Some(3)]));
    }
}

/// A declaration that contradicts inference is a warning, and an error if the reader is strict.
#[test]
fn declared_shapes_that_are_wrong() {
    type Change<'c> = &'c dyn Fn(&mut wire::GraphProto);
    let read = |change: &dyn Fn(&mut wire::GraphProto), strict: bool| {
        let mut model = base();
        change(model.graph.as_mut().unwrap());
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("model.onnx");
        std::fs::write(&path, model.encode_to_vec()).unwrap();
        let read = netwright_onnx::read(&path, &netwright_onnx::ReadOptions::default().with_strict(strict));
        read.map_err(|error| error.to_string().replace(dir.path().to_str().unwrap(), "DIR"))
    };
    let inner = |graph: &mut wire::GraphProto, info: ValueInfoProto| {
        graph.node = vec![node("Abs", &["x"], &["a"]), node("Neg", &["a"], &["y"])];
        graph.value_info = vec![info];
    };
    let tensor = |name: &str| TensorProto {
        name: text(name),
        data_type: Some(1),
        dims: vec![2],
        float_data: vec![1.0, 2.0],
        ..Default::default()
    };
    let constant = |name: &str| {
        let value = AttributeProto {
            name: text("value"),
            r#type: Some(AttributeType::Tensor.into()),
            t: Some(Box::new(tensor(""))),
            ..Default::default()
        };
        NodeProto { attribute: vec![value], ..node("Constant", &[], &[name]) }
    };
    let contrib = |op_type: &str, from: &str, to: &str| NodeProto {
        domain: text("com.microsoft"),
        ..node(op_type, &[from], &[to])
    };
    // An If whose branches are this node.
    let branches = |to: &str, of: NodeProto| {
        let output = vec![value(&of.output[0])];
        let body = wire::GraphProto { name: text("b"), node: vec![of], output, ..Default::default() };
        let branch = |name: &str| AttributeProto {
            name: text(name),
            r#type: Some(AttributeType::Graph.into()),
            g: Some(Box::new(body.clone())),
            ..Default::default()
        };
        NodeProto { attribute: vec![branch("then_branch"), branch("else_branch")], ..node("If", &["c"], &[to]) }
    };
    let cases: [(Change<'_>, &str, [&str; 2]); 11] = [
        (
            &|graph| {
                graph.input.push(typed("c", 9, &[]));
                graph.node = vec![node("Abs", &["x"], &["a"]), branches("y", node("Neg", &["a"], &["x"]))];
            },
            "\"x\" is the name of a result in a body and of a value around it, which ONNX forbids",
            ["f32[2]", "f32[2]"],
        ),
        (
            &|graph| inner(graph, typed("a", 1, &[Some(7), Some(7)])),
            "node \"a\" (Abs): its result \"a\" is declared f32[7, 7], but inferred as f32[2]",
            ["f32[2]", "f32[2]"],
        ),
        (
            &|graph| inner(graph, typed("a", 1, &[Some(3)])),
            "node \"a\" (Abs): its result \"a\" is declared f32[3], but inferred as f32[2]",
            ["f32[2]", "f32[2]"],
        ),
        (
            &|graph| {
                inner(graph, typed("a", 1, &[Some(2)]));
                graph.output = vec![typed("y", 1, &[Some(5)])];
            },
            "node \"y\" (Neg): its result \"y\" is declared f32[5], but inferred as f32[2]",
            ["f32[2]", "f32[2]"],
        ),
        (
            &|graph| {
                inner(graph, typed("a", 1, &[Some(-1)]));
                graph.input = vec![typed("x", 1, &[Some(-1)])];
            },
            "value \"a\": the negative size -1 is read as unknown, as is every negative size of the file",
            ["f32[?]", "f32[?]"],
        ),
        (
            &|graph| {
                inner(graph, typed("a", 1, &[Some(2)]));
                graph.value_info.push(typed("y", 1, &[Some(3)]));
            },
            "value \"y\": it is declared twice, as f32[3] and as f32[2]",
            ["f32[2]", "f32[2]"],
        ),
        // ONNX Runtime ignores the declared type of a constant.
        (
            &|graph| {
                inner(graph, typed("a", 1, &[]));
                graph.node.remove(0);
                graph.initializer = vec![tensor("a")];
            },
            "value \"a\": it is declared f32[], but inferred as f32[2]",
            ["f32[2]", "f32[2]"],
        ),
        (
            &|graph| {
                inner(graph, typed("a", 7, &[Some(2)]));
                graph.node[0] = constant("a");
            },
            "node \"a\" (Constant): its result \"a\" is declared i64[2], but inferred as f32[2]",
            ["f32[2]", "f32[2]"],
        ),
        (
            &|graph| {
                inner(graph, typed("a", 1, &[Some(2)]));
                graph.node[1] = NodeProto { domain: text("ai.onnx.ml"), ..node("Scaler", &["a"], &["y"]) };
            },
            "node \"y\" (ai.onnx.ml.Scaler): the model does not import the operator set \"ai.onnx.ml\"; \
             assuming version 5, the newest that ONNX Runtime knows",
            ["f32[2]", "f32[*]"],
        ),
        (
            &|graph| graph.node = vec![contrib("Gelu", "x", "a"), contrib("Gelu", "a", "y")],
            "node \"a\" (com.microsoft.Gelu): the model does not import the operator set \"com.microsoft\"; \
             assuming version 1, the only one",
            ["f32[2]", "f32[2]"],
        ),
        (
            &|graph| {
                graph.input.push(typed("c", 9, &[]));
                graph.node = vec![node("Abs", &["x"], &["a"]), branches("y", contrib("Gelu", "a", "z"))];
            },
            "node \"z\" (com.microsoft.Gelu): the model does not import the operator set \"com.microsoft\"; \
             assuming version 1, the only one",
            ["f32[2]", "f32[2]"],
        ),
    ];
    for (change, warning, expected) in cases {
        let model = read(change, false).unwrap_or_else(|error| panic!("{error}"));
        assert_eq!(model.warnings, [warning]);
        assert_eq!(facts(&model, &["a", "y"]), expected, "{warning}");
        assert_eq!(read(change, true).map(|_| ()), Err(format!("\"DIR/model.onnx\": {warning}")));
    }
}

/// ONNX Runtime returns an output that is listed twice as two outputs, and reads the last of two initializers.
#[test]
fn names_that_are_repeated() {
    let weight = |numbers: [f32; 2]| TensorProto {
        name: text("w"),
        data_type: Some(1),
        dims: vec![2],
        float_data: numbers.to_vec(),
        ..Default::default()
    };
    let model = read_graph(|graph| {
        graph.node = vec![node("Add", &["x", "w"], &["y"])];
        graph.initializer = vec![weight([1.0, 2.0]), weight([3.0, 4.0])];
        graph.output = vec![value("y"), value("y")];
    });
    let warnings = ["\"w\" is the name of two initializers; the last is read", "\"y\" is the name of two outputs"];
    assert_eq!(model.warnings, warnings);
    netwright_ir::check(&model.graph).expect("the graph is valid");
    assert!(model.graph.to_string().contains("[3.0, 4.0]"), "{}", model.graph);
    let written = ModelProto::decode(&*netwright_onnx::to_bytes(&model).unwrap()).unwrap();
    assert_eq!(written.graph.unwrap().output, [value("y"), value("y")]);
}

/// Nothing can read an initializer without a name, and ONNX Runtime runs a model with several; that of a sparse one is the
/// name of its elements.
#[test]
fn initializers_without_a_name() {
    type Change = fn(&mut GraphProto);
    fn unnamed(name: Option<&str>) -> TensorProto {
        let name = name.map(str::to_owned);
        TensorProto { name, data_type: Some(1), dims: vec![3], float_data: vec![1.0; 3], ..Default::default() }
    }
    fn sparse(name: &str) -> SparseTensorProto {
        SparseTensorProto { values: Some(unnamed(Some(name))), indices: Some(unnamed(None)), dims: vec![5] }
    }
    let one = "an initializer has no name and is dropped";
    let cases: [(Change, &[&str]); 5] = [
        (|graph| graph.initializer.push(unnamed(None)), &[one]),
        (|graph| graph.initializer.push(unnamed(Some(""))), &[one]),
        (|graph| graph.sparse_initializer.push(sparse("")), &[one]),
        (
            |graph| graph.initializer.extend([unnamed(None), unnamed(Some(""))]),
            &["2 initializers have no name and are dropped"],
        ),
        (|graph| graph.value_info.push(value("")), &[]),
    ];
    for (change, warnings) in cases {
        let model = read_graph(change);
        assert_eq!(model.warnings, warnings);
        assert_eq!(model.graph.to_string(), read_graph(|_| {}).graph.to_string());
    }
}

#[test]
fn a_declared_shape_of_an_initializer_is_an_error_before_ir_version_4() {
    let read = |ir_version: i64| {
        let mut model = ModelProto { ir_version: Some(ir_version), ..base() };
        let graph = model.graph.as_mut().unwrap();
        graph.value_info = vec![typed("w", 1, &[])];
        graph.initializer =
            vec![TensorProto { name: text("w"), data_type: Some(1), dims: vec![0], ..Default::default() }];
        let read = read_bytes(&model.encode_to_vec());
        read.map_or_else(
            |error| error.to_string().contains("is declared f32[], but"),
            |model| model.warnings.len() != 1,
        )
    };
    assert_eq!([3, 4].map(read), [true, false]);
}

/// `Constant` and other operators without operands.
#[test]
fn nodes_without_operands() {
    let attribute = |name: &str, ty: AttributeType, value: AttributeProto| AttributeProto {
        name: text(name),
        r#type: Some(ty.into()),
        ..value
    };
    let elements = TensorProto { data_type: Some(1), dims: vec![1], float_data: vec![1.0], ..Default::default() };
    let indices = TensorProto { data_type: Some(7), dims: vec![1], int64_data: vec![2], ..Default::default() };
    let sparse = wire::SparseTensorProto { values: Some(elements), indices: Some(indices), dims: vec![4] };
    let sparse = AttributeProto { sparse_tensor: Some(Box::new(sparse)), ..Default::default() };
    let shape = AttributeProto { ints: vec![4], ..Default::default() };
    for (op_type, attribute, expected) in [
        (
            "Neg",
            attribute("sparse_value", AttributeType::SparseTensor, sparse.clone()),
            "%y = \"::Neg@21\" {sparse_value = sparse([4], f32[1] [1.0], i64[1] [2])} : ?",
        ),
        (
            "Constant",
            attribute("sparse_value", AttributeType::SparseTensor, sparse),
            "%y = \"::Constant@21\" {sparse_value = sparse([4], f32[1] [1.0], i64[1] [2])} : f32[4]",
        ),
        ("RandomUniform", attribute("shape", AttributeType::Ints, shape), "%y = random_uniform {shape = [4]} : f32[4]"),
    ] {
        let model = read_graph(|graph| {
            graph.node = vec![NodeProto { attribute: vec![attribute], ..node(op_type, &[], &["y"]) }];
            graph.output = vec![ValueInfoProto { name: text("y"), ..Default::default() }];
        });
        let found = model.graph.to_string();
        assert!(found.contains(expected), "{found}");
    }
}

/// A state may change its shape from one iteration to the next, whatever the body declares, and a symbol in the body is
/// not that of the graph around it.
#[test]
fn declared_sizes_of_bodies_are_not_trusted() {
    let model = read_graph(|graph| {
        let scalar = |name: &str, element: i32| typed(name, element, &[]);
        let body = wire::GraphProto {
            name: text("b"),
            node: vec![
                NodeProto {
                    attribute: vec![AttributeProto {
                        name: text("axis"),
                        r#type: Some(AttributeType::Int.into()),
                        i: Some(0),
                        ..AttributeProto::default()
                    }],
                    ..node("Concat", &["s", "t"], &["so"])
                },
                node("Identity", &["t"], &["to"]),
                node("Identity", &["c"], &["co"]),
            ],
            // The iteration as a vector of one element, which runtimes accept.
            input: vec![
                typed("i", 7, &[Some(1)]),
                scalar("c", 9),
                typed("s", 1, &[None]),
                ValueInfoProto { r#type: None, ..value("t") },
            ],
            output: vec![scalar("co", 9), typed("so", 1, &[None]), typed("to", 1, &[None])],
            ..Default::default()
        };
        let body = AttributeProto {
            name: text("body"),
            r#type: Some(AttributeType::Graph.into()),
            g: Some(Box::new(body)),
            ..AttributeProto::default()
        };
        graph.input = vec![typed("x", 1, &[None]), scalar("m", 7), scalar("d", 9)];
        graph.node = vec![NodeProto { attribute: vec![body], ..node("Loop", &["m", "d", "x", "x"], &["y", "u"]) }];
        graph.output = vec![typed("y", 1, &[None])];
    });
    assert_eq!(facts(&model, &["y", "u"]), ["f32[*]", "f32[*]"]);
    let graph = &model.graph;
    let node = graph.outputs()[0].value.node;
    let body = graph.node(node).op().bodies()[0].clone();
    let known: Vec<String> = body.inputs().map(|input| body.fact(input).to_string()).collect();
    assert_eq!(known, ["i64[1]", "bool[]", "f32[*]", "f32[*]"]);
}

/// Returns the types of the inputs of a body, which does not declare them, in a node with these operands.
fn body_inputs(op_type: &str, operands: [&str; 2], nodes: Vec<NodeProto>, outputs: [&str; 2]) -> Vec<String> {
    let attribute = |name: &str, ty: AttributeType, value: AttributeProto| AttributeProto {
        name: text(name),
        r#type: Some(ty.into()),
        ..value
    };
    let model = read_graph(|graph| {
        let body = wire::GraphProto {
            name: text("b"),
            node: nodes,
            input: ["s", "t"].map(|name| ValueInfoProto { r#type: None, ..value(name) }).into(),
            output: outputs.iter().filter(|name| !name.is_empty()).map(|name| value(name)).collect(),
            ..Default::default()
        };
        let body = AttributeProto { g: Some(Box::new(body)), ..Default::default() };
        let mut attributes = vec![attribute("body", AttributeType::Graph, body)];
        if op_type == "Scan" {
            let one = AttributeProto { i: Some(1), ..Default::default() };
            attributes.push(attribute("num_scan_inputs", AttributeType::Int, one));
        }
        let element = Some(Box::new(value("").r#type.unwrap()));
        let list = wire::TypeValue::Sequence(wire::SequenceTypeProto { elem_type: element });
        let list = wire::TypeProto { value: Some(list), denotation: None };
        let list = ValueInfoProto { r#type: Some(list), ..value("list") };
        graph.input = vec![value("x"), typed("rows", 1, &[None, Some(2)]), list];
        graph.node = vec![NodeProto { attribute: attributes, ..node(op_type, &operands, &["y"]) }];
        if op_type == "Scan" {
            graph.node[0].output.push("u".to_owned());
        } else {
            graph.output = vec![ValueInfoProto { name: text("y"), ..graph.input[2].clone() }];
        }
    });
    let body = model.graph.node(model.graph.outputs()[0].value.node).op().bodies()[0].clone();
    body.inputs().map(|input| body.fact(input).to_string()).collect()
}

#[test]
fn inputs_of_bodies_have_the_types_of_operands() {
    let add = || node("Add", &["s", "t"], &["so"]);
    let scan = body_inputs("Scan", ["x", "rows"], vec![add(), node("Identity", &["so"], &["to"])], ["so", "to"]);
    assert_eq!(scan, ["f32[2]", "f32[2]"]);
    assert_eq!(body_inputs("SequenceMap", ["list", "x"], vec![add()], ["so", ""]), ["f32[2]", "f32[2]"]);
}

/// Exporters leave branches that are invalid for the shapes at hand and that never run.
#[test]
fn branches_may_be_invalid() {
    let model = read_graph(|graph| {
        let branch = |name: &str, operands: &[&str]| AttributeProto {
            name: text(name),
            r#type: Some(AttributeType::Graph.into()),
            g: Some(Box::new(wire::GraphProto {
                name: text(name),
                node: vec![node("Add", operands, &[name])],
                output: vec![value(name)],
                ..Default::default()
            })),
            ..AttributeProto::default()
        };
        let attribute = vec![branch("then_branch", &["x", "three"]), branch("else_branch", &["x", "x"])];
        graph.input = vec![value("x"), typed("three", 1, &[Some(3)]), typed("c", 9, &[])];
        graph.node = vec![NodeProto { attribute, ..node("If", &["c"], &["y"]) }];
    });
    let written = model.graph.to_string();
    assert!(written.contains("\"::Add@21\" %x, %three"), "{written}");
}

#[test]
fn operators_before_their_first_opset_are_recorded() {
    let reads_early = |version: i64| {
        let mut model = base();
        model.opset_import[0].version = Some(version);
        let graph = model.graph.as_mut().unwrap();
        graph.input.push(value("w"));
        graph.node = vec![node("LayerNormalization", &["x", "w"], &["y"])];
        read_bytes(&model.encode_to_vec()).unwrap_or_else(|error| panic!("{error}")).early_operators
    };
    assert_eq!([16, 17, 21].map(reads_early), [true, false, false]);
}

/// ONNX Runtime runs the operator.
#[test]
fn a_function_with_the_name_of_an_operator_is_not_called() {
    let mut model = base();
    model.functions = vec![wire::FunctionProto {
        name: text("Neg"),
        input: vec!["a".to_owned()],
        output: vec!["b".to_owned()],
        node: vec![node("Neg", &["a"], &["n"]), node("Abs", &["n"], &["b"])],
        opset_import: model.opset_import.clone(),
        ..Default::default()
    }];
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("model.onnx");
    std::fs::write(&path, model.encode_to_vec()).unwrap();
    for inline in [false, true] {
        let options = netwright_onnx::ReadOptions::default().with_inline_functions(inline);
        let model = netwright_onnx::read(&path, &options).unwrap();
        assert!(model.graph.to_string().contains("%y = neg %x"), "{}", model.graph);
        assert_eq!(model.functions.len(), usize::from(!inline));
    }
}
