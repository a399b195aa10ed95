//! Written files, checked with `onnx-protobuf` and read back.

use super::{expected, model, read_bytes};
use netwright_ir::tensor::{Distribution, Wave};
use netwright_ir::{Conventions, Data, ElementType, Graph, Model, Op, Place, Tensor, TensorType, Value, shape};
use netwright_onnx::{ExternalData, ReadOptions, WriteError, WriteOptions, read, to_bytes, to_text, write};
use protobuf::Message;

const SMALL: &str = "
small(%x: f32[batch, seq + past, 2], %mask: bool[*]) {
  %w = parameter [0.5, 0.25] : f32[2, 1]
  %shape = constant [0, 0, 1] : i64[3]
  %y.raw = matmul @\"project\" %x, %w : f32[batch, seq + past, 1]
  %kept, %other = \"com.example::Two@3\" %y.raw, _, %mask {mode = \"fast\", scales = floats[0.5]} : ?, i64[?, 'a name']
  %z = reshape %kept, %shape : ?
  %t = softmax %y.raw {axis = -1} : f32[batch, seq + past, 1]
  return y = %t, other = %other
}";

fn small() -> Model {
    let mut model = model(21, SMALL);
    model.opsets.insert("com.example".to_owned(), 3);
    model.doc.push_str("Two results.");
    model.metadata.insert("task".to_owned(), "test".to_owned());
    model
}

#[test]
fn every_field_as_another_implementation_reads_it() {
    // Fields unknown to its schema would be a difference too.
    let found = onnx_protobuf::ModelProto::parse_from_bytes(&to_bytes(&small()).unwrap()).unwrap();
    assert_eq!(found, expected::small());
}

#[test]
fn values_of_a_flat_attention_are_declared() {
    let mut model = model(
        23,
        "g(%x: f32[b, s, 8], %shape: i64[3]) {
  %r = reshape %x, %shape : f32[*]
  %w = parameter fill(1.0) : f32[8, 4]
  %v = matmul %x, %w : f32[b, s, 4]
  %k = neg %x : f32[b, s, 8]
  %y = attention %x, %k, %v {is_causal = false, kv_num_heads = 2, q_num_heads = 2} : f32[b, s, 4]
  return %y, %r
}",
    );
    // A graph that was not read from a file declares every value; one that was read declares what its file did.
    let conventions = Conventions { types_values: false, ..model.graph.conventions() };
    model.graph.set_conventions(conventions);
    let found = onnx_protobuf::ModelProto::parse_from_bytes(&to_bytes(&model).unwrap()).unwrap();
    let names: Vec<&str> = found.graph.value_info.iter().map(|info| info.name.as_str()).collect();
    assert_eq!(names, ["v"]);
}

#[test]
fn the_same_bytes_and_text_again() {
    for model in [small(), weights()] {
        let bytes = to_bytes(&model).unwrap();
        let back = read_bytes(&bytes).unwrap();
        assert!(to_bytes(&back).unwrap() == bytes);
        assert_eq!(to_text(&back).unwrap(), to_text(&model).unwrap());
    }
}

/// Recipes computed in several blocks, in one, and directly; trained and computed tensors.
fn weights() -> Model {
    let uniform = Distribution::Uniform { bound: 0.5 };
    let mut graph = Graph::new("weights");
    let x = graph.input("x", TensorType::new(ElementType::F32, shape!["batch", 264]));
    let w = graph.parameter("wide", Tensor::random(7, uniform, &[264, 1000]).unwrap());
    let wide = graph.append("xw", Op::MatMul, &[x, w]).unwrap();
    graph.output("wide.out", wide);

    let random = Tensor::random(8, uniform, &[96, 256]).unwrap();
    let mut y = graph.input("y", TensorType::new(ElementType::F32, shape!["batch", 96]));
    let chain = [
        ("scaled", random.scaled(0.125).unwrap()),
        ("turned", random.transposed().unwrap()),
        ("back", random.cast(ElementType::F64).unwrap().cast(ElementType::F32).unwrap()),
    ];
    for (name, tensor) in chain {
        let w = graph.parameter(name, tensor);
        y = graph.append(&format!("y.{name}"), Op::MatMul, &[y, w]).unwrap();
    }
    let table = graph.constant("table", Tensor::sinusoidal(Wave::Interleaved, 80, 256).unwrap());
    let row = graph.constant("row", Tensor::index(3));
    let row = graph.append("position", Op::Gather { axis: 0 }, &[table, row]).unwrap();
    let bias = graph.parameter("bias", Tensor::fill(0.25, &[256]).unwrap());
    let placed = graph.append("placed", Op::Sum, &[y, row, bias]).unwrap();
    graph.output("placed.out", placed);
    Model::new(graph)
}

/// Returns the tensors of a graph by name, in memory.
fn tensors(model: &Model) -> Vec<(String, ElementType, Vec<u64>, Vec<u8>)> {
    let graph = &model.graph;
    let mut tensors = vec![];
    for value in graph.schedule().into_iter().flat_map(|id| graph.results(id)) {
        if let Some(tensor) = graph.tensor(value) {
            let bytes = tensor.to_bytes().unwrap().to_vec();
            tensors.push((graph.value_name(value).to_string(), tensor.element(), tensor.dims().to_vec(), bytes));
        }
    }
    tensors.sort();
    tensors
}

#[test]
fn embedded_or_external_the_elements_are_the_same() {
    let model = weights();
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("w.onnx");
    let data = dir.path().join("w.onnx.data");
    for (place, files) in [
        (ExternalData::Auto, vec![path.clone()]),
        (ExternalData::Never, vec![path.clone()]),
        (ExternalData::Always, vec![path.clone(), data.clone()]),
    ] {
        let written = write(&model, &path, &WriteOptions::default().with_external_data(place)).unwrap();
        assert_eq!(written.files, files);
        let sizes = files.iter().map(|file| std::fs::metadata(file).unwrap().len());
        assert_eq!(written.bytes, sizes.sum::<u64>());
        let back = read(&path, &ReadOptions::default()).unwrap();
        assert!(tensors(&back) == tensors(&model), "{place:?}");
        assert_eq!(to_text(&back).unwrap(), to_text(&model).unwrap());
        if place != ExternalData::Always {
            assert!(std::fs::read(&path).unwrap() == to_bytes(&model).unwrap());
        }
        for value in back.graph.schedule().into_iter().flat_map(|id| back.graph.results(id)) {
            if let Some(Data::File(range)) = back.graph.tensor(value).map(Tensor::data) {
                assert!(place != ExternalData::Always || range.offset().is_multiple_of(4096), "{range:?}");
            }
        }
    }
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 2, "nothing is left behind");
}

#[test]
fn weights_are_shared() {
    let dir = tempfile::tempdir().unwrap();
    let (path, small) = (dir.path().join("w.onnx"), dir.path().join("small.onnx"));
    let share = WriteOptions::default().with_share_weights(true);
    for external_data in [ExternalData::Never, ExternalData::Always] {
        write(&weights(), &path, &WriteOptions::default().with_external_data(external_data)).unwrap();
        let model = read(&path, &ReadOptions::default()).unwrap();
        let written = write(&model, &small, &share).unwrap();
        assert_eq!(written.files, std::slice::from_ref(&small));
        let back = read(&small, &ReadOptions::default()).unwrap();
        assert!(tensors(&back) == tensors(&model), "{external_data:?}");
        let again = write(&back, dir.path().join("again.onnx"), &share).unwrap();
        assert_eq!(again.bytes, written.bytes);
    }
    write(&weights(), &path, &WriteOptions::default()).unwrap();
    let model = read(&path, &ReadOptions::default()).unwrap();
    let error = write(&model, &path, &share).expect_err("it would name itself").to_string();
    assert!(error.ends_with("write to another file in its folder"), "{error}");
    let elsewhere = tempfile::tempdir().unwrap();
    let error = write(&model, elsewhere.path().join("w.onnx"), &share).expect_err("another folder").to_string();
    assert!(error.contains("so a model there cannot refer to it"), "{error}");
    assert_eq!(std::fs::read_dir(elsewhere.path()).unwrap().count(), 0);
}

#[test]
fn in_place() {
    let model = weights();
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("w.onnx");
    // The weights of the old model stay until it is replaced; then they are removed.
    let rounds = [(ExternalData::Never, None), (ExternalData::Always, Some("w.onnx.1.data"))];
    for (place, fresh) in rounds.into_iter().chain([(ExternalData::Always, Some("w.onnx.1.data"))]) {
        let options = WriteOptions::default().with_external_data(place);
        write(&model, &path, &options).unwrap();
        let read_again = read(&path, &ReadOptions::default()).unwrap();
        let written = write(&read_again, &path, &options).unwrap();
        let fresh = fresh.map(|name| dir.path().join(name));
        assert_eq!(written.files, [path.clone()].into_iter().chain(fresh).collect::<Vec<_>>());
        let back = read(&path, &ReadOptions::default()).unwrap();
        assert!(tensors(&back) == tensors(&model), "{place:?}");
    }
}

/// Two names alternate when a model is written in place, unless another model reads its data or the data have another name.
#[test]
fn one_copy_of_the_weights_is_left() {
    let always = WriteOptions::default().with_external_data(ExternalData::Always);
    let dir = tempfile::tempdir().unwrap();
    let at = |name: &str| dir.path().join(name);
    let rewrite = |name: &str| {
        let model = read(at(name), &ReadOptions::default()).unwrap();
        write(&model, at(name), &always).unwrap();
        assert!(tensors(&read(at(name), &ReadOptions::default()).unwrap()) == tensors(&weights()), "{name}");
    };
    let data = || {
        let entries = std::fs::read_dir(dir.path()).unwrap().map(|entry| entry.unwrap().file_name());
        let mut names: Vec<String> = entries.map(|name| name.into_string().unwrap()).collect();
        names.retain(|name| !name.ends_with("onnx"));
        names.sort();
        names
    };
    write(&weights(), at("w.onnx"), &always).unwrap();
    for name in ["w.onnx.1.data", "w.onnx.data", "w.onnx.1.data"] {
        rewrite("w.onnx");
        assert_eq!(data(), [name]);
    }
    // The data of w.onnx are not those of its copy, and the copy reads them.
    std::fs::copy(at("w.onnx"), at("copy.onnx")).unwrap();
    for model in ["copy.onnx", "w.onnx"] {
        std::fs::copy(at("w.onnx"), at("third.onnx")).unwrap();
        rewrite(model);
        assert!(data().contains(&"w.onnx.1.data".to_owned()), "{model}");
    }
    let third = read(at("third.onnx"), &ReadOptions::default()).unwrap();
    assert!(tensors(&third) == tensors(&weights()));
    // A file that is to be kept stays, and so does one that a model that cannot be read may refer to.
    std::fs::remove_file(at("third.onnx")).unwrap();
    let model = read(at("w.onnx"), &ReadOptions::default()).unwrap();
    let kept = netwright_files::Identity::of(at("w.onnx.data")).unwrap();
    write(&model, at("w.onnx"), &always.clone().with_kept_files(vec![kept])).unwrap();
    std::fs::write(at("broken.onnx"), "text").unwrap();
    rewrite("w.onnx");
    let own: Vec<String> = data().into_iter().filter(|name| name.starts_with("w.")).collect();
    assert_eq!(own, ["w.onnx.1.data", "w.onnx.2.data", "w.onnx.3.data", "w.onnx.data"]);
}

/// Of the files with the name of external data, only those of the model that is replaced are.
#[test]
fn external_data_of_other_models_stays() {
    let always = WriteOptions::default().with_external_data(ExternalData::Always);
    let dir = tempfile::tempdir().unwrap();
    let at = |name: &str| dir.path().join(name);
    let written = |path: &str| {
        let files = write(&weights(), at(path), &always).unwrap().files;
        files.into_iter().skip(1).map(|file| file.file_name().unwrap().to_owned()).collect::<Vec<_>>()
    };
    std::fs::write(at("w.onnx.data"), "text").unwrap();
    std::fs::create_dir(at("w.onnx.1.data")).unwrap();
    for _ in 0..2 {
        assert_eq!(written("w.onnx"), ["w.onnx.2.data"]);
    }
    // What is not a model refers to no data.
    std::fs::write(at("w.onnx"), "text").unwrap();
    assert_eq!(written("w.onnx"), ["w.onnx.3.data"]);
    // A renamed model refers to its data still.
    std::fs::rename(at("w.onnx"), at("renamed.onnx")).unwrap();
    assert_eq!(written("w.onnx"), ["w.onnx.4.data"]);
    assert_eq!(std::fs::read(at("w.onnx.data")).unwrap(), b"text");
    for name in ["w.onnx", "renamed.onnx"] {
        let back = read(at(name), &ReadOptions::default()).unwrap();
        assert!(tensors(&back) == tensors(&weights()), "{name}");
    }
}

#[test]
fn every_element_type() {
    for external_data in [ExternalData::Never, ExternalData::Always] {
        for &element in ElementType::ALL {
            let count = 16_388;
            let tensor = |count: u64| {
                if let Some(bytes) = element.bytes(count) {
                    let bytes: Vec<u8> = (0..bytes).map(|at| u8::from(at % 3 == 0)).collect();
                    return Tensor::from_bytes(element, &[count], bytes).unwrap();
                }
                let texts = (0..count).map(|at| vec![b'a'; usize::try_from(at % 5).unwrap()].into()).collect();
                Tensor::from_strings(&[count], texts).unwrap()
            };
            let mut graph = Graph::new("types");
            for (name, held) in [("long", tensor(count)), ("short", tensor(3)), ("none", tensor(0))] {
                let value = graph.parameter(name, held.clone());
                graph.output(name, value);
                let value = graph.constant(&format!("{name}.computed"), held);
                graph.output(format!("{name}.computed"), value);
            }
            let model = Model::new(graph);
            let dir = tempfile::tempdir().unwrap();
            let path = dir.path().join("types.onnx");
            write(&model, &path, &WriteOptions::default().with_external_data(external_data)).unwrap();
            let back = read(&path, &ReadOptions::default()).unwrap();
            assert_eq!(to_text(&back).unwrap(), to_text(&model).unwrap(), "{element}");
            let proto = onnx_protobuf::ModelProto::parse_from_bytes(&std::fs::read(&path).unwrap()).unwrap();
            let numbers = proto.graph.initializer.iter().map(|tensor| i64::from(tensor.data_type));
            assert!(numbers.eq([element.number(); 3]));
        }
    }
}

#[test]
fn names_that_need_renaming_or_quoting() {
    let check = |graph: &Graph, lines: &[&str]| {
        let text = to_text(&Model::new(graph.clone())).unwrap();
        let found: Vec<_> = text.lines().skip(4).map(str::trim).collect();
        assert_eq!(found, lines);
        let bytes = to_bytes(&Model::new(graph.clone())).unwrap();
        assert!(to_bytes(&read_bytes(&bytes).unwrap()).unwrap() == bytes, "{text}");
    };
    let start = || {
        let mut graph = Graph::new("");
        let x = graph.input("x", TensorType::new(ElementType::F32, shape!["n"]));
        (graph, x)
    };

    // An input that is an output, under its own name and under another.
    let (mut graph, x) = start();
    graph.output("x", x);
    graph.output("y", x);
    check(&graph, &["graph (float[n] x) => (float[n] x, float[n] y)", "{", "y = Identity (x)", "}"]);

    // A value that is two outputs, and another that has the name of one.
    let (mut graph, x) = start();
    let taken = graph.append("first", Op::Neg, &[x]).unwrap();
    let y = graph.append("a \"b\"\n", Op::Abs, &[taken]).unwrap();
    graph.output("first", y);
    graph.output("second", y);
    check(
        &graph,
        &[
            "graph (float[n] x) => (float[n] first, float[n] second)",
            "{",
            r#""first.1" = Neg (x)  # float[n]"#,
            r#"first = Abs ("first.1")"#,
            "second = Identity (first)",
            "}",
        ],
    );

    // A weight keeps its name, by which it is bound.
    let (mut graph, _) = start();
    let w = graph.parameter("model.w", Tensor::scalar(2.0));
    graph.output("y", w);
    check(
        &graph,
        &["graph (float[n] x) => (float y)", r#"<float "model.w" = {2.0}>"#, "{", r#"y = Identity ("model.w")"#, "}"],
    );

    // Names may be any text.
    let (mut graph, x) = start();
    let y = graph.append("ü \"\\\n", Op::Neg, &[x]).unwrap();
    let z = graph.append("", Op::Neg, &[y]).unwrap();
    graph.output("0", z);
    check(
        &graph,
        &[
            "graph (float[n] x) => (float[n] \"0\")",
            "{",
            r#""ü \"\\\n" = Neg (x)  # float[n]"#,
            r#""0" = Neg ("ü \"\\\n")"#,
            "}",
        ],
    );
}

/// ONNX Runtime refuses two nodes of one name. A node without a name would make a later reader drop all names that are
/// those of results.
#[test]
fn a_node_is_named_otherwise_if_another_has_the_name_of_its_result() {
    let mut graph = Graph::new("");
    let x = graph.input("x", TensorType::new(ElementType::F32, shape!["n"]));
    let labelled = |label: &str, result: &str| Place {
        label: label.into(),
        results: [result.into()].into_iter().collect(),
        order: None,
    };
    let sum = Value { node: graph.insert(labelled("", "sum"), Op::Neg, &[Some(x)]).unwrap(), result: 0 };
    let y = Value { node: graph.insert(labelled("", "sum.1"), Op::Abs, &[Some(sum)]).unwrap(), result: 0 };
    let z = Value { node: graph.insert(labelled("sum", "z"), Op::Exp, &[Some(y)]).unwrap(), result: 0 };
    graph.output("z", z);
    let bytes = to_bytes(&Model::new(graph)).unwrap();
    let proto = onnx_protobuf::ModelProto::parse_from_bytes(&bytes).unwrap();
    let names: Vec<&str> = proto.graph.node.iter().map(|node| &*node.name).collect();
    assert_eq!(names, ["sum.2", "sum.1", "sum"]);
    assert!(to_bytes(&read_bytes(&bytes).unwrap()).unwrap() == bytes);
}

/// ONNX Runtime refuses a result in a body that has the name of a value that the body can read.
#[test]
fn results_in_bodies_have_other_names_than_values_around_them() {
    // The branch of `y` has the name of an earlier value, that of `z` the name of an input and that of `z`, which it cannot
    // read.
    let text = "g(%c: bool[], %x: f32[2]) {
  %a = neg %x : f32[2]
  %y = if %c {then_branch = graph t(; %k: f32[2] = %x) {
    %a = abs %k : f32[2]
    return %a
  }, else_branch = graph e(; %k: f32[2] = %a) {
    %e = exp %k : f32[2]
    return %e
  }} : f32[2]
  %z = if %c {then_branch = graph t(; %k: f32[2] = %y) {
    %x = abs %k : f32[2]
    return %x
  }, else_branch = graph e(; %k: f32[2] = %y) {
    %z = exp %k : f32[2]
    return %z
  }} : f32[2]
  return %z
}";
    let names = |text: &str| {
        let mut model = model(17, text);
        model.opsets.insert("com.microsoft".to_owned(), 1);
        let bytes = to_bytes(&model).unwrap();
        assert_eq!(read_bytes(&bytes).unwrap().warnings, [""; 0]);
        let found = onnx_protobuf::ModelProto::parse_from_bytes(&bytes).unwrap();
        let results = |nodes: &[onnx_protobuf::NodeProto]| -> Vec<String> {
            nodes.iter().flat_map(|node| node.output.clone()).collect()
        };
        let bodies = found.graph.node.iter().flat_map(|node| &node.attribute).filter(|it| it.g.is_some());
        let inner: Vec<_> = bodies.map(|it| results(&it.g.node)).collect();
        (results(&found.graph.node), inner.concat())
    };
    let (outer, inner) = names(text);
    assert_eq!(outer, ["a", "y", "z"]);
    assert_eq!(inner, ["a.1", "e", "x.1", "z"]);

    // ONNX Runtime finds the outputs of the bodies of its own operators by name.
    let search = "g(%x: f32[2]) {
  %logits = neg %x : f32[2]
  %y = \"com.microsoft::BeamSearch@1\" %logits {decoder = graph d(%ids: f32[2]) {
    %logits = abs %ids : f32[2]
    return %logits
  }} : i32[*]
  return %y
}";
    assert_eq!(names(search), (vec!["logits.1".to_owned(), "y".to_owned()], vec!["logits".to_owned()]));
    let of_input = search.replace("%x", "%logits").replace("%logits = neg", "%n = neg").replace("\" %logits", "\" %n");
    let error = to_bytes(&model(17, &of_input)).unwrap_err().to_string();
    assert_eq!(error.lines().next(), Some("\"logits\" is the name of two inputs or outputs"));
}

#[test]
fn models_that_cannot_be_written_are_errors() {
    let check = |opset: i64, text: &str, expected: &str| {
        assert_eq!(to_bytes(&model(opset, text)).unwrap_err().to_string(), expected);
    };
    check(
        21,
        "g(%x: f32[2]) { %y = scaled_softmax %x {axis = -1, scale = 0.5} : ? return %y }",
        "node \"y\": `scaled_softmax` has no ONNX form\n  help: lower the graph for a target before writing it",
    );
    let gelu = "g(%x: f32[2]) { %y = gelu %x : ? return %y }";
    check(
        19,
        gelu,
        "node \"y\": Gelu requires opset 20, but the model is written at opset 19\n  help: write the model at opset 20 or newer",
    );
    check(6, gelu, "opset 6 cannot be written\n  help: choose an opset from 7 to 28");
    check(29, gelu, "opset 29 cannot be written\n  help: choose an opset from 7 to 28");
    check(
        21,
        "g(%x: f32[2]) { %y = \"a::B@1\" %x : f32[2] return %y }",
        "node \"y\" is of domain \"a\", which the model does not import\n  help: add it to the model's opsets",
    );
    check(
        21,
        "g(%x: f32[2]) { %y = \"::B@21\" %x : ? return %y }",
        "the type of output \"y\" is unknown, but a file must declare it\n  help: declare the type of the output",
    );
    check(
        21,
        "g(%x: f32[2]) { %z = neg %x : f32[2] return y = %x, y = %z }",
        "\"y\" is the name of two inputs or outputs\n  help: rename one of them",
    );
    check(
        21,
        "g(%x: f32[2]) { return \"\" = %x }",
        "output 0 has no name\n  help: name it, so that a caller can request it",
    );
}

#[test]
fn a_model_too_large_for_protobuf_is_an_error_before_anything_is_written() {
    let mut graph = Graph::new("large");
    let w = graph.parameter("w", Tensor::fill(0.0, &[1 << 29]).unwrap());
    graph.output("w", w);
    let dir = tempfile::tempdir().unwrap();
    let options = WriteOptions::default().with_external_data(ExternalData::Never);
    let error = write(&Model::new(graph), dir.path().join("large.onnx"), &options).unwrap_err();
    let WriteError::TooLarge { bytes, .. } = error else { panic!("{error}") };
    assert_eq!(
        error.to_string(),
        format!(
            "the model has {bytes} bytes, but a protobuf file holds at most 2147483647\n  help: keep the weights in a file of their own"
        )
    );
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0);
}
