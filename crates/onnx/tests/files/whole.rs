//! A file with every feature is read, written, and the same when it is read again.

use super::read::{base, node, text, typed, value};
use netwright_ir::{Detail, Op, Place};
use netwright_onnx::wire::{self, *};
use netwright_onnx::{ReadOptions, read, to_bytes};
use prost::Message;

fn entry(key: &str, value: &str) -> StringStringEntryProto {
    StringStringEntryProto { key: text(key), value: text(value) }
}

fn attribute(name: &str, ty: AttributeType, value: AttributeProto) -> AttributeProto {
    AttributeProto { name: text(name), r#type: Some(ty.into()), ..value }
}

fn tensor(name: &str, values: &[f32]) -> TensorProto {
    let raw = values.iter().flat_map(|value| value.to_le_bytes()).collect::<Vec<u8>>();
    let dims = vec![i64::try_from(values.len()).unwrap()];
    TensorProto { name: text(name), data_type: Some(1), dims, raw_data: Some(raw.into()), ..Default::default() }
}

fn indices(values: &[i64]) -> TensorProto {
    let raw = values.iter().flat_map(|value| value.to_le_bytes()).collect::<Vec<u8>>();
    let dims = vec![i64::try_from(values.len()).unwrap()];
    TensorProto { data_type: Some(7), dims, raw_data: Some(raw.into()), ..Default::default() }
}

fn graph(name: &str, nodes: Vec<NodeProto>, output: &[ValueInfoProto]) -> GraphProto {
    GraphProto { name: text(name), node: nodes, output: output.to_vec(), ..Default::default() }
}

fn body(name: &str, graph: GraphProto) -> AttributeProto {
    attribute(name, AttributeType::Graph, AttributeProto { g: Some(Box::new(graph)), ..Default::default() })
}

/// Returns `if %c` with bodies that capture, one of them with a nested body.
fn branches() -> NodeProto {
    let inner = NodeProto {
        attribute: vec![
            body("then_branch", graph("one", vec![node("Neg", &["w"], &["one.y"])], &[value("one.y")])),
            body("else_branch", graph("two", vec![node("Add", &["half", "w"], &["two.y"])], &[value("two.y")])),
        ],
        ..node("If", &["c"], &["then.y"])
    };
    let mut first = graph("then", vec![node("Mul", &["x", "scale"], &["half"]), inner], &[value("then.y")]);
    first.initializer = vec![tensor("scale", &[0.5, 0.25])];
    first.doc_string = text("what runs where it holds");
    let second = graph("else", vec![node("Neg", &["x"], &["else.y"])], &[value("else.y")]);
    let attribute = vec![body("then_branch", first), body("else_branch", second)];
    NodeProto { attribute, ..node("If", &["c"], &["branched"]) }
}

fn everything() -> ModelProto {
    let mut model = base();
    model.ir_version = Some(11);
    model.domain = text("com.example");
    model.model_version = Some(7);
    model.doc_string = text("a model");
    model.producer_name = text("hand");
    model.producer_version = text("1");
    model.metadata_props = vec![entry("a", "b")];
    let opset = |domain: &str, version| OperatorSetIdProto { domain: text(domain), version: Some(version) };
    model.opset_import = vec![opset("", 21), opset("com.example", 3)];
    model.configuration = vec![DeviceConfigurationProto {
        name: text("two"),
        num_devices: Some(2),
        device: vec!["cpu:0".to_owned(), "cpu:1".to_owned()],
    }];

    let ty = |held: TypeValue| TypeProto { value: Some(held), denotation: None };
    let element = Box::new(value("").r#type.unwrap());
    let sequence = ty(TypeValue::Sequence(SequenceTypeProto { elem_type: Some(element.clone()) }));
    let optional = ty(TypeValue::Optional(OptionalTypeProto { elem_type: Some(Box::new(sequence.clone())) }));
    let map = ty(TypeValue::Map(MapTypeProto { key_type: Some(7), value_type: Some(element) }));
    let of = |name: &str, ty: &TypeProto| ValueInfoProto { name: text(name), r#type: Some(ty.clone()), ..value("") };

    let mut x = value("x");
    x.doc_string = text("an image");
    x.metadata_props = vec![entry("layout", "C")];
    let held = x.r#type.as_mut().unwrap();
    held.denotation = text("IMAGE");
    if let Some(TypeValue::Tensor(TensorTypeProto { shape: Some(shape), .. })) = &mut held.value {
        shape.dim[0].denotation = text("DATA_CHANNEL");
    }

    let noted = NodeProto {
        name: text("first"),
        doc_string: text("a node"),
        metadata_props: vec![entry("stack", "trace")],
        device_configurations: vec![NodeDeviceConfigurationProto {
            configuration_id: text("two"),
            pipeline_stage: Some(1),
            ..Default::default()
        }],
        ..node("Add", &["x", "w"], &["a"])
    };
    let kept = NodeProto {
        domain: text("com.example"),
        attribute: vec![
            attribute(
                "one",
                AttributeType::Tensor,
                AttributeProto {
                    doc_string: text("an attribute"),
                    t: Some(Box::new(TensorProto { doc_string: text("its tensor"), ..tensor("named", &[1.0]) })),
                    ..Default::default()
                },
            ),
            attribute(
                "some",
                AttributeType::Tensors,
                AttributeProto {
                    tensors: vec![TensorProto { name: None, ..tensor("", &[2.0]) }; 2],
                    ..Default::default()
                },
            ),
            attribute(
                "graphs",
                AttributeType::Graphs,
                AttributeProto {
                    graphs: vec![graph("g1", vec![node("Abs", &["a"], &["g1.y"])], &[value("g1.y")]); 2],
                    ..Default::default()
                },
            ),
            attribute(
                "ty",
                AttributeType::TypeProto,
                AttributeProto { tp: Some(Box::new(optional.clone())), ..Default::default() },
            ),
            attribute(
                "types",
                AttributeType::TypeProtos,
                AttributeProto { type_protos: vec![sequence.clone(), map.clone()], ..Default::default() },
            ),
            attribute(
                "sparse",
                AttributeType::SparseTensor,
                AttributeProto {
                    sparse_tensor: Some(Box::new(SparseTensorProto {
                        values: Some(TensorProto { name: None, ..tensor("", &[5.0]) }),
                        indices: Some(indices(&[3])),
                        dims: vec![2, 2],
                    })),
                    ..Default::default()
                },
            ),
        ],
        ..node("Kept", &["list", "", "lookup"], &["kept", "maybe"])
    };
    let call = NodeProto {
        domain: text("com.example"),
        overload: text("fast"),
        attribute: vec![attribute(
            "slope",
            AttributeType::Float,
            AttributeProto { f: Some(0.5), ..Default::default() },
        )],
        ..node("Twice", &["branched"], &["y"])
    };
    model.graph = Some(GraphProto {
        name: text("g"),
        doc_string: text("a graph"),
        metadata_props: vec![entry("k", "v")],
        input: vec![x, typed("c", 9, &[]), of("list", &sequence), of("lookup", &map), value("w"), value("unused")],
        output: vec![value("y"), of("maybe", &optional), value("s")],
        value_info: vec![ValueInfoProto { doc_string: text("a sum"), ..value("a") }],
        initializer: vec![
            tensor("w", &[1.0, 2.0]),
            TensorProto {
                doc_string: text("trained"),
                metadata_props: vec![entry("k", "v")],
                ..tensor("v", &[1.0, 2.0])
            },
        ],
        sparse_initializer: vec![SparseTensorProto {
            values: Some(tensor("z", &[3.0])),
            indices: Some(indices(&[1])),
            dims: vec![2],
        }],
        quantization_annotation: vec![TensorAnnotation {
            tensor_name: text("a"),
            quant_parameter_tensor_names: vec![entry("SCALE_TENSOR", "v")],
        }],
        node: vec![noted, branches(), kept, node("Mul", &["v", "z"], &["s"]), call],
    });
    let reference = AttributeProto {
        name: text("alpha"),
        ref_attr_name: text("slope"),
        r#type: Some(AttributeType::Float.into()),
        ..Default::default()
    };
    model.functions = vec![FunctionProto {
        name: text("Twice"),
        domain: text("com.example"),
        overload: text("fast"),
        input: vec!["p".to_owned()],
        output: vec!["q".to_owned()],
        attribute: vec!["slope".to_owned()],
        attribute_proto: vec![attribute(
            "beta",
            AttributeType::Int,
            AttributeProto { i: Some(3), ..Default::default() },
        )],
        node: vec![
            NodeProto { attribute: vec![reference], ..node("Elu", &["p"], &["e"]) },
            node("Add", &["e", "p"], &["q"]),
        ],
        doc_string: text("twice"),
        opset_import: vec![opset("", 21)],
        metadata_props: vec![entry("k", "v")],
        ..Default::default()
    }];
    model.training_info = vec![TrainingInfoProto {
        initialization: Some(graph("init", vec![node("Neg", &["start"], &["v.0"])], &[value("v.0")])),
        algorithm: Some(graph("step", vec![node("Sub", &["v", "s"], &["v.1"])], &[value("v.1")])),
        initialization_binding: vec![entry("v", "v.0")],
        update_binding: vec![entry("v", "v.1")],
    }];
    let start = TensorProto { ..tensor("start", &[0.0, 0.0]) };
    model.training_info[0].initialization.as_mut().unwrap().initializer.push(start);
    model
}

/// Returns the contents of a file in a canonical order, without what the reader adds.
fn contents(mut model: ModelProto) -> ModelProto {
    fn normalize(graph: &mut GraphProto) {
        graph.value_info.retain(|info| info.doc_string.is_some());
        graph.initializer.sort_by(|a, b| a.name.cmp(&b.name));
        graph.node.iter_mut().for_each(normalize_node);
    }
    fn normalize_node(node: &mut NodeProto) {
        if node.name.as_ref() == node.output.first() {
            node.name = None;
        }
        for attribute in &mut node.attribute {
            attribute.g.iter_mut().for_each(|graph| normalize(graph));
            attribute.graphs.iter_mut().for_each(normalize);
        }
    }
    model.graph.iter_mut().for_each(normalize);
    for step in &mut model.training_info {
        step.initialization.iter_mut().chain(&mut step.algorithm).for_each(normalize);
    }
    for function in &mut model.functions {
        function.node.iter_mut().for_each(normalize_node);
        function.value_info.clear();
    }
    model
}

fn read_with(bytes: &[u8], inline_functions: bool) -> netwright_ir::Model {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("model.onnx");
    std::fs::write(&path, bytes).unwrap();
    read(&path, &ReadOptions::default().with_inline_functions(inline_functions))
        .unwrap_or_else(|error| panic!("{error}"))
}

#[test]
fn nothing_is_lost() {
    let original = everything();
    let model = read_with(&original.encode_to_vec(), false);
    netwright_ir::check(&model.graph).expect("the graph is valid");
    let written = to_bytes(&model).unwrap();
    assert_eq!(wire::scan(&schema::MODEL, &written).unwrap(), []);
    let again = ModelProto::decode(&*written).unwrap();
    assert_eq!(contents(again), contents(original));
    let second = read_with(&written, false);
    assert_eq!(second, model);
    assert_eq!(to_bytes(&second).unwrap(), written);
}

#[test]
fn functions_are_inlined() {
    let model = read_with(&everything().encode_to_vec(), true);
    assert!(model.functions.is_empty());
    let text = model.graph.to_text(Detail::Full);
    assert!(text.contains("%y.e = "), "{text}");
    assert!(text.contains("{alpha = 0.5}"), "{text}");
    assert!(text.contains("%y = add %y.e, %branched : f32[2]"), "{text}");
}

#[test]
fn names_in_functions_are_new() {
    let mut model = everything();
    model.graph.as_mut().unwrap().node.extend(["y.e", "y.e.1"].map(|name| node("Exp", &["w"], &[name])));
    let text = read_with(&model.encode_to_vec(), true).graph.to_text(Detail::Full);
    assert!(text.contains("%y = add %y.e.2, %branched : f32[2]"), "{text}");
}

#[test]
fn results_of_calls_are_inferred() {
    let mut model = everything();
    model.graph.as_mut().unwrap().node.push(node("Exp", &["y"], &["t"]));
    let read = read_with(&model.encode_to_vec(), false);
    let text = read.graph.to_text(Detail::Full);
    assert!(text.contains("%t = exp %y : f32[2]"), "{text}");
}

/// The last results of an operator may be left out; a call lists those that it does not use too.
#[test]
fn last_results_that_are_not_used() {
    let mut model = everything();
    model.functions[0].output.push("e".to_owned());
    model.functions[0].node.push(node("Dropout", &["p"], &["unused", ""]));
    let nodes = &mut model.graph.as_mut().unwrap().node;
    nodes.last_mut().unwrap().output.push(String::new());
    nodes.push(node("Dropout", &["x"], &["dropped", ""]));
    let read = read_with(&model.encode_to_vec(), false);
    let text = read.graph.to_text(Detail::Full);
    assert!(text.contains("%dropped = dropout %x"), "{text}");
    let written = ModelProto::decode(&*to_bytes(&read).unwrap()).unwrap();
    let outputs = |nodes: &[NodeProto], op_type: &str| {
        let found = nodes.iter().find(|node| node.op_type.as_deref() == Some(op_type)).map(|node| node.output.clone());
        found.unwrap()
    };
    assert_eq!(outputs(&written.functions[0].node, "Dropout"), ["unused", ""]);
    let nodes = written.graph.unwrap().node;
    assert_eq!(outputs(&nodes, "Dropout"), ["dropped"]);
    assert_eq!(outputs(&nodes, "Twice"), ["y", ""]);
}

#[test]
fn outputs_keep_their_metadata_when_another_value_is_returned() {
    let mut original = base();
    let twice = |name: &str| {
        let axis = AttributeProto { i: Some(0), ..Default::default() };
        NodeProto {
            attribute: vec![attribute("axis", AttributeType::Int, axis)],
            ..node("Concat", &["x", "x"], &[name])
        }
    };
    let output = |name: &str, size: &str| {
        let mut value = ValueInfoProto { doc_string: text(size), ..typed(name, 1, &[None]) };
        if let Some(TypeProto { value: Some(TypeValue::Tensor(tensor)), .. }) = &mut value.r#type {
            tensor.shape.as_mut().unwrap().dim[0].value = Some(DimensionValue::Param(size.to_owned()));
        }
        value
    };
    let outputs = vec![output("y", "n + n"), output("z", "n * 2")];
    let graph = original.graph.as_mut().unwrap();
    graph.node = vec![twice("a"), twice("y"), twice("z")];
    graph.input = vec![typed("x", 1, &[None])];
    graph.output.clone_from(&outputs);
    let mut model = read_with(&original.encode_to_vec(), false);
    let [first, second] = [0, 1].map(|at| model.graph.outputs()[at].value);
    let other = model.graph.schedule().into_iter().flat_map(|id| model.graph.results(id).collect::<Vec<_>>());
    let other = other.into_iter().find(|value| &**model.graph.value_name(*value) == "a").unwrap();
    model.graph.replace(first, other);
    model.graph.replace(second, other);
    model.graph.sweep();
    let written = ModelProto::decode(&*to_bytes(&model).unwrap()).unwrap().graph.unwrap();
    assert_eq!(written.node.len(), 2, "a Concat and an Identity");
    assert_eq!(written.output, outputs);
}

/// If a file declares all of its inner values, new ones are declared too, unless a size is unknown; if it declares only
/// some of them, new ones are not.
#[test]
fn inner_values_are_declared_as_the_file_did() {
    let declared = |value_info: Vec<ValueInfoProto>| {
        let mut original = base();
        let graph = original.graph.as_mut().unwrap();
        graph.node = vec![
            node("Neg", &["x"], &["a"]),
            node("NonZero", &["a"], &["b"]),
            node("Abs", &["a"], &["c"]),
            NodeProto {
                attribute: vec![attribute(
                    "value",
                    AttributeType::Tensor,
                    AttributeProto { t: Some(Box::new(tensor("", &[1.0, 2.0]))), ..Default::default() },
                )],
                ..node("Constant", &[], &["k"])
            },
            node("Sum", &["a", "c", "k", "w"], &["y"]),
        ];
        graph.initializer = vec![tensor("w", &[1.0, 2.0])];
        graph.output.push(typed("b", 7, &[Some(1), None]));
        graph.value_info = value_info;
        let mut model = read_with(&original.encode_to_vec(), false);
        let a = model.graph.operands(model.graph.outputs()[0].value.node)[0].unwrap();
        let place = Place::end("known");
        let known = model.graph.insert(place, Op::Exp, &[Some(a)]).unwrap();
        let known = model.graph.results(known).next().unwrap();
        let place = Place::end("unknown");
        let unknown = model.graph.insert(place, Op::NonZero, &[Some(known)]).unwrap();
        let unknown = model.graph.results(unknown).next().unwrap();
        let place = Place::end("last");
        let last = model.graph.insert(place, Op::Neg, &[Some(unknown)]).unwrap();
        let last = model.graph.results(last).next().unwrap();
        model.graph.output("last", last);
        let written = ModelProto::decode(&*to_bytes(&model).unwrap()).unwrap().graph.unwrap();
        written.value_info.into_iter().filter_map(|info| info.name).collect::<Vec<_>>()
    };
    assert_eq!(declared(vec![]), [""; 0]);
    assert_eq!(declared(vec![value("a")]), ["a"]);
    assert_eq!(declared(vec![value("a"), value("c")]), ["a", "c"]);
    assert_eq!(declared(vec![value("a"), value("c"), value("k")]), ["a", "c", "k", "known"]);
}
