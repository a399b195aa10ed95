//! Errors of the library that no command line leads to.

use netwright::files::{Code, Source};
use netwright::ir::{
    ElementType, Fact, Graph, Model, Op, OpKind, Tensor, Value, Violation, Violations, check, parse, shape,
};
use netwright::nn::{Builder, Weights};
use netwright::onnx::{ExternalData, FormError, WriteError, WriteOptions, to_bytes, write};
use netwright::passes::rewrite::become_op;
use netwright::passes::{Claim, Exactness, Options, Pass, PassError, Proof, Prove, Prover, Skip, optimize, surgery};
use netwright::prelude::TensorType;
use netwright::surgery::MergeError;
use netwright::verify::{Array, ModelFile, Session, VerifyError, Worker, inputs};
use std::collections::BTreeMap;
use std::error::Error;
use std::path::{Path, PathBuf};

type Case = fn() -> String;

/// Returns the cases by the numbers of their codes; each returns the error as the command line renders it.
pub(crate) fn cases() -> BTreeMap<u16, Case> {
    BTreeMap::from([
        (301, bug_in_a_graph as Case),
        (302, || violations(&cyclic())),
        (303, || violations(&with_fact("x", Fact::tensor(ElementType::F32, shape!["n", 9])))),
        (304, || violations(&with_fact("y", Fact::tensor(ElementType::F16, shape!["n", 8])))),
        (306, || violations(&two_outputs())),
        (308, || violations(&body())),
        (417, tensor_of_other_length),
        (420, wrong_declaration),
        (501, || passes(two_outputs(), &Options::default())),
        (512, || passes(gelu(), &Options::default().with_prover(Prover::new(Refuses)))),
        (513, || passes(negation(), &Options::default().with_own(breaking()))),
        (514, || passes(negation(), &Options::default().with_own(endless()))),
        (601, || verification(ModelFile::from_bytes("m.onnx", b"not a model"))),
        (602, || verification(ModelFile::open(in_checkout("tests/hostile/ext_traversal.onnx")))),
        (604, || session(&[("x", array(&[2, 9]))])),
        (605, panic_of_a_runtime),
        (608, || session(&[("z", array(&[2, 8]))])),
        (609, || session(&[])),
        (610, || session(&[("x", Array::new([2, 8], vec![0_i64; 16]).expect("it fits"))])),
        (611, unknown_rank),
        (613, || verification(Array::new([2, 2], vec![1.0_f32, 2.0, 3.0]))),
        (616, missing_worker),
        (617, || verification::<()>(Err(VerifyError::Sizes("no sizes fit the inputs of the model")))),
        (802, || {
            written(&model("g(%x: f32[n, 8]) {\n%y = scaled_softmax %x, _ {axis = -1, scale = 0.5} : ?\nreturn %y\n}"))
        }),
        (804, || {
            let mut model = model("g(%x: f32[n]) {\n%y = \"my.domain::Thing@1\" %x : f32[n]\nreturn %y\n}");
            model.opsets.insert("my.domain".to_owned(), 2);
            written(&model)
        }),
        (806, || written(&model("g(%x: f32[n]) {\n%y = \"my.domain::Thing@1\" %x : f32[n]\nreturn %y\n}"))),
        (807, || written(&with_output(""))),
        (808, || written(&Model::new(two_outputs()))),
        (809, || {
            let mut model = model("g(%x: f32[n]) {\n%y = \"my.domain::Thing@1\" %x : ?\nreturn %y\n}");
            model.opsets.insert("my.domain".to_owned(), 1);
            written(&model)
        }),
        (810, || {
            let mut model = Model::new(negation());
            model.devices.push(vec![0xff].into());
            written(&model)
        }),
        (811, || written(&Model::new(cyclic()))),
        (812, too_large),
        (815, weights_that_shrink),
        (816, || {
            let error = WriteError::Dim { name: "w".to_owned(), size: 1 << 63 };
            rendered(error.code(), &error)
        }),
        (914, || {
            let form = FormError::Opaque { operator: "Cast".to_owned(), from: 18, to: 19 };
            let (function, node) = ("local.Convert".to_owned(), "y".to_owned());
            let why = Box::new(WriteError::Function { function, node, why: form });
            let error = MergeError::Opset { number: 1, from: 18, to: 21, why };
            rendered(error.code(), &error)
        }),
        (916, || {
            let plain = Model::new(negation());
            let error = surgery::unroll_cache(&plain, &plain).expect_err("there is no cache");
            rendered(error.code(), &error)
        }),
        (905, || {
            let error = surgery::set_outputs(&mut Model::new(negation()), &[]).expect_err("no output is named");
            rendered(error.code(), &error)
        }),
    ])
}

fn rendered(code: Code, error: &dyn Error) -> String {
    let text = error.to_string();
    let cause = error.source().map(|cause| format!(": {cause}")).filter(|cause| !text.contains(&cause[2..]));
    format!("error[{code}]: {}{}", text.strip_prefix("error: ").unwrap_or(&text), cause.unwrap_or_default())
}

fn graph(text: &str) -> Graph {
    parse(text).unwrap_or_else(|error| panic!("{error} in\n{text}"))
}

/// Returns a model of opset 20.
fn model(text: &str) -> Model {
    let mut model = Model::new(graph(text));
    model.opsets.insert(String::new(), 20);
    model
}

fn negation() -> Graph {
    graph("g(%x: f32[n, 8]) {\n%e = exp %x : f32[n, 8]\n%y = neg %e : f32[n, 8]\nreturn %y\n}")
}

fn gelu() -> Graph {
    graph("g(%x: f32[n, 8]) {\n%y = gelu %x : f32[n, 8]\nreturn %y\n}")
}

fn value(graph: &Graph, name: &str) -> Value {
    let mut values = graph.schedule().into_iter().flat_map(|id| graph.results(id));
    values.find(|value| **graph.value_name(*value) == *name).expect("it is in the graph")
}

fn cyclic() -> Graph {
    let mut graph = negation();
    let (e, y) = (value(&graph, "e"), value(&graph, "y"));
    graph.replace(e, y);
    graph.sweep();
    graph
}

fn with_fact(name: &str, fact: Fact) -> Graph {
    let mut graph = graph(
        "g(%x: f32[n, 8]) {\n%e = matmul %x, f32[8, 8] fill(0.5) : f32[n, 8]\n%y = neg %e : f32[n, 8]\nreturn %y\n}",
    );
    let value = value(&graph, name);
    graph.set_fact(value, fact);
    graph
}

fn with_output(name: &str) -> Model {
    let mut graph = negation();
    let e = value(&graph, "e");
    graph.output(name, e);
    Model::new(graph)
}

fn two_outputs() -> Graph {
    with_output("y").graph
}

fn body() -> Graph {
    let graph = graph(
        "g(%c: bool[], %a: f32[2]) {\n%y = if %c {else_branch = graph else() {\nreturn y = [0.0, 0.0]\n}, \
         then_branch = graph then(; %b: f32[2] = %a) {\nreturn y = %b\n}} : f32[2]\nreturn %y\n}",
    );
    let y = value(&graph, "y");
    graph
        .op(y)
        .bodies()
        .into_iter()
        .find(|body| body.captures().next().is_some())
        .expect("it captures")
        .as_ref()
        .clone()
}

fn violations(graph: &Graph) -> String {
    let violations = check(graph).expect_err("an invariant is violated");
    rendered(violations.code(), &violations)
}

fn bug_in_a_graph() -> String {
    let node = "%y = neg %x : f32[n]".to_owned();
    let what = "the recorded number of uses is 2, but 1 operands and outputs read the value".to_owned();
    let violations = Violations(vec![Violation { invariant: 7, node, what, help: None }]);
    rendered(violations.code(), &violations)
}

fn tensor_of_other_length() -> String {
    let error = Tensor::from_bytes(ElementType::F32, &[2, 3], vec![0; 8]).expect_err("the length differs");
    rendered(error.code(), &error)
}

fn wrong_declaration() -> String {
    let weights = Weights::Random { seed: 0 };
    let builder = Builder::new("g", &weights);
    let x = builder.input("x", TensorType::new(ElementType::F32, shape!["n", 4]));
    let w = builder.input("w", TensorType::new(ElementType::F32, shape![3, 2]));
    builder.output("y", x.matmul(w));
    let errors = builder.finish().expect_err("the inner sizes differ");
    rendered(errors.code(), &errors)
}

fn passes(graph: Graph, options: &Options) -> String {
    let mut options = options.clone();
    options.limits.check = true;
    let mut model = Model::new(graph);
    model.opsets.insert(String::new(), 17);
    let error: PassError = optimize(&mut model, &options).expect_err("a pass fails");
    rendered(error.code(), &error)
}

/// A prover that refutes whatever decomposes an operator.
#[derive(Debug)]
struct Refuses;

impl Prove for Refuses {
    fn prove(&self, claim: Claim<'_>) -> Proof {
        if claim.lowers { Proof::Refuted("0.5 against 0".to_owned()) } else { Proof::Holds }
    }
}

/// A pass that gives a second output the name of the first.
fn breaking() -> Pass {
    Pass::new("break", "neg(x) -> abs(x)", Exactness::Bits).at([OpKind::Neg], |graph, root| {
        let operand = graph.operand(root.node, 0).ok_or(Skip::NoMatch)?;
        graph.output("y", operand);
        become_op(graph, root, Op::Abs, &[operand], "breaks the graph")
    })
}

/// A pass whose rules undo one another.
fn endless() -> Pass {
    Pass::new("turn", "exp(x) -> tanh(x), tanh(x) -> exp(x)", Exactness::Bits).at(
        [OpKind::Exp, OpKind::Tanh],
        |graph, root| {
            let operand = graph.operand(root.node, 0).ok_or(Skip::NoMatch)?;
            let op = if matches!(graph.op(root), Op::Exp) { Op::Tanh } else { Op::Exp };
            become_op(graph, root, op, &[operand], "turns")
        },
    )
}

fn in_checkout(path: &str) -> PathBuf {
    Path::new("../..").join(path)
}

fn verification<T>(result: Result<T, VerifyError>) -> String {
    let Err(error) = result else { panic!("it succeeds") };
    rendered(error.code(), &error)
}

fn array(shape: &[usize]) -> Array {
    Array::new(shape, vec![1.0_f32; shape.iter().product()]).expect("it fits")
}

fn file(model: &Model) -> ModelFile {
    ModelFile::from_bytes("m.onnx", &to_bytes(model).expect("it has a form")).expect("it is a model")
}

fn session(given: &[(&str, Array)]) -> String {
    let session = Session::new(&file(&model(
        "g(%x: f32[2, 8]) {\n%y = matmul %x, f32[8, 8] fill(0.5) : f32[2, 8]\nreturn %y\n}",
    )))
    .expect("tract runs it");
    let given: Vec<(&str, &Array)> = given.iter().map(|(name, array)| (*name, array)).collect();
    verification(session.run(&given))
}

fn panic_of_a_runtime() -> String {
    verification::<()>(Err(VerifyError::Panic {
        file: "m.onnx".to_owned(),
        runtime: "tract".to_owned(),
        action: "run the model",
        cause: "index out of bounds: the len is 2 but the index is 2 (src/ops/array.rs:7)".to_owned(),
    }))
}

fn unknown_rank() -> String {
    let mut graph = Graph::new("g");
    let x = graph.input("x", TensorType { element: ElementType::F32, shape: None });
    let y = graph.append("y", Op::Exp, &[x]).expect("it may be defined");
    graph.declared_output("y", y, TensorType::new(ElementType::F32, shape!["n"]).into());
    let mut model = Model::new(graph);
    model.opsets.insert(String::new(), 20);
    verification(inputs(&file(&model), &netwright::ir::Bindings::new(), 0))
}

fn missing_worker() -> String {
    verification(Worker::new("missing-program").verify("m.onnx", None, &netwright::verify::Options::default()))
}

fn written(model: &Model) -> String {
    let error = to_bytes(model).expect_err("it has no form");
    rendered(error.code(), &error)
}

fn too_large() -> String {
    let folder = tempfile::tempdir().expect("a folder");
    let model = model(
        "g(%x: f32[n, 32768]) {\n%w = parameter uniform(seed = 1, bound = 0.5) : f32[32768, 32768]\n\
         %y = matmul %x, %w : f32[n, 32768]\nreturn %y\n}",
    );
    let options = WriteOptions::default().with_external_data(ExternalData::Never);
    let error: WriteError = write(&model, folder.path().join("m.onnx"), &options).expect_err("it does not fit");
    rendered(error.code(), &error)
}

fn weights_that_shrink() -> String {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("weights.bin");
    std::fs::write(&path, [0; 64]).expect("written");
    let range = Source::open(&path).and_then(|source| source.range(0, 64)).expect("it is open");
    std::fs::write(&path, [0; 8]).expect("written");
    let mut graph = negation();
    let tensor = Tensor::from_file(ElementType::F32, &[16], range).expect("it fits");
    let value = graph.parameter("w", tensor);
    graph.output("w", value);
    written(&Model::new(graph)).replace(&folder.path().display().to_string(), "folder")
}
