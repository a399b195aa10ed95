//! Surgery on small graphs, as snapshots of the text form, with every refusal; and parts of exported models in tract.

mod common;

use common::snapshot;
use netwright::ir::{
    Bindings, Detail, Dim, ElementType, Function, Graph, Model, NodeId, Notes, Symbol, Tensor, Training, Value, parse,
};
use netwright::onnx::{self, ReadOptions, WriteOptions};
use netwright::passes::{self, Options, Target, diff};
use netwright::surgery::{self, Cut, Plan, Split, SurgeryError};
use netwright::verify::{Array, ModelFile, Options as VerifyOptions, Session, inputs, verify};
use std::collections::BTreeMap;
use std::path::Path;

/// Values that two nodes read, a weight that two nodes read, and an output that is an inner value too.
const CHAIN: &str = "chain(%x: f32[batch, seq, 4], %mask: f32[batch, seq, 1]) {
  %w = parameter uniform(seed = 1, bound = 0.5) : f32[4, 4]
  %early = constant uniform(seed = 2, bound = 0.5) : f32[4]
  %side = mul %mask, 2.0 : f32[batch, seq, 1]
  %a = matmul %x, %w : f32[batch, seq, 4]
  %b = add %a, %early : f32[batch, seq, 4]
  %c = mul %b, %mask : f32[batch, seq, 4]
  %d = matmul %c, %w : f32[batch, seq, 4]
  %e = mul %d, %side : f32[batch, seq, 4]
  return %c, result = %e
}
";

/// A body that captures values, a node with two results, and an absent operand.
const BODIES: &str = "bodies(%flag: bool[], %x: f32[n, 4], %low: f32[]) {
  %high, %rest = split %x, [2, 2] {axis = 1} : f32[n, 2], f32[n, 2]
  %y = if %flag {then_branch = graph yes(; %high: f32[n, 2] = %high, %low: f32[] = %low) {
    %inner = add %high, %low : f32[n, 2]
    %twice = add %inner, %inner : f32[n, 2]
    return y = %twice
  }, else_branch = graph no(; %high: f32[n, 2] = %high) {
    %same = neg %high : f32[n, 2]
    return y = %same
  }} : f32[n, 2]
  %z = clip %y, _, %low : f32[n, 2]
  return %z, %rest
}
";

/// A sequence, and an operator that Netwright does not know.
const SEQUENCES: &str = "sequences(%x: f32[n], %y: f32[m]) {
  %list = sequence_construct %x, %y : sequence(f32[?])
  %first = sequence_at %list, 0 : f32[?]
  %strange = \"my.domain::Twist@1\" %first : ?
  %end = exp %first : f32[?]
  return %end
}
";

/// Pairs of names.
type Pairs<'n> = &'n [(&'n str, &'n str)];

/// Sizes that constants and declared outputs limit.
const SIZES: &str = "sizes(%x: f32[batch, seq, 4], %past: f32[batch, past, 4]) {
  %table = parameter uniform(seed = 1, bound = 0.5) : f32[1, 8, 4]
  %all = concat %past, %x {axis = 1} : f32[batch, past + seq, 4]
  %y = add %x, %table : f32[batch, 8, 4]
  %shape = shape %all : i64[3]
  return %all, %y, %shape
}
";

fn model(text: &str) -> Model {
    Model::new(parse(text).unwrap_or_else(|error| panic!("{error} in\n{text}")))
}

/// What becomes of a model: the diff of its text, or why it is refused.
fn outcome(text: &str, change: impl Fn(&mut Model) -> Result<(), SurgeryError>) -> String {
    let mut model = model(text);
    let before = model.graph.to_string();
    match change(&mut model) {
        Ok(()) => {
            netwright::ir::check(&model.graph).unwrap_or_else(|violations| panic!("{violations}"));
            diff(&before, &model.graph.to_string())
        }
        Err(error) => format!("error: {error}\n"),
    }
}

fn section(title: &str, text: &str) -> String {
    format!("## {title}\n{text}\n")
}

fn dims(sizes: &[(&str, &str)]) -> BTreeMap<Symbol, Dim> {
    let size = |(symbol, size): &(&str, &str)| (Symbol::new(*symbol), size.parse().expect("it is a size"));
    sizes.iter().map(size).collect()
}

#[test]
fn sizes_are_fixed() {
    type Sizes = &'static [(&'static str, &'static str)];
    let cases: [(&str, &str, Sizes); 12] = [
        ("one number", SIZES, &[("batch", "2")]),
        ("an expression over another symbol", SIZES, &[("past", "2*seq")]),
        ("numbers that depend on each other", SIZES, &[("past", "2*seq"), ("seq", "8")]),
        ("a symbol of a body", BODIES, &[("n", "3")]),
        ("a size that a weight contradicts", SIZES, &[("seq", "5")]),
        ("an unknown symbol with a near one", SIZES, &[("bacth", "2")]),
        ("an unknown symbol", SIZES, &[("heads", "2")]),
        ("an unknown symbol in an expression", SIZES, &[("seq", "heads")]),
        ("a negative size", SIZES, &[("batch", "-1")]),
        ("a size of itself", SIZES, &[("batch", "seq"), ("seq", "batch")]),
        ("a size that grows", SIZES, &[("past", "past + 1")]),
        ("zero", SIZES, &[("past", "0")]),
    ];
    let text = cases
        .map(|(title, text, sizes)| section(title, &outcome(text, |model| surgery::fix_dims(model, &dims(sizes)))));
    snapshot("surgery", "fix_dims", &text.concat());
}

#[test]
fn declared_types_and_defaults_limit_sizes() {
    let mut declared = model("g(%x: f32[batch, 4]) {\n%y = exp %x : f32[batch, 4]\nreturn %y\n}");
    let output = declared.graph.outputs()[0].value;
    let eight = model("g(%x: f32[8, 4]) {\nreturn %x\n}").graph;
    declared.graph.declare_output(output, &eight.fact(eight.outputs()[0].value).ty);
    let error = surgery::fix_dims(&mut declared, &dims(&[("batch", "2")])).expect_err("the output has 8 rows");
    let declared = section("a declared output", &format!("error: {error}\n"));

    let mut graph = Graph::new("g");
    let x = graph.input_with_default("x", Tensor::indices(&[1, 2, 3]));
    let ty = model("g(%x: i64[n]) {\nreturn %x\n}").graph;
    graph.set_fact(x, ty.fact(ty.outputs()[0].value).clone());
    let y = graph.append("y", netwright::ir::Op::Neg, &[x]).expect("it is defined");
    graph.output("y", y);
    let error = surgery::fix_dims(&mut Model::new(graph), &dims(&[("n", "2")])).expect_err("the default has 3");
    let default = section("the default of an input", &format!("error: {error}\n"));
    snapshot("surgery", "fix_dims_of_the_interface", &(declared + &default));
}

#[test]
fn outputs_are_declared_with_the_sizes_that_are_inferred() {
    // The file's outputs have symbols of their own, an unknown size and no shape.
    let declared = ["f32[exp_dim_0, exp_dim_1, 4]", "f32[?, exp_dim_1, 4]", "f32[*]"];
    let outcome = |(title, sizes): (&str, &[(&str, &str)])| {
        let outcomes = declared.map(|declared| {
            let mut model = model("g(%x: f32[batch, seq, 4]) {\n%y = exp %x : f32[batch, seq, 4]\nreturn %y\n}");
            let output = model.graph.outputs()[0].value;
            let ty = self::model(&format!("g(%x: {declared}) {{\nreturn %x\n}}")).graph;
            model.graph.declare_output(output, &ty.fact(ty.outputs()[0].value).ty);
            surgery::fix_dims(&mut model, &dims(sizes)).expect("the sizes fit");
            let after = model.graph.outputs()[0].declared.as_ref().expect("it is declared");
            format!("{declared} becomes {after}\n")
        });
        section(title, &outcomes.concat())
    };
    let cases: [(&str, &[(&str, &str)]); 3] = [
        ("all sizes", &[("batch", "1"), ("seq", "16")]),
        ("one size", &[("batch", "1")]),
        ("an expression", &[("batch", "2*seq")]),
    ];
    snapshot("surgery", "fix_dims_of_declared_outputs", &cases.map(outcome).concat());
}

#[test]
fn names_change() {
    type Rename = fn(&mut Model, &[(&str, &str)]) -> Result<(), SurgeryError>;
    type Names = &'static [(&'static str, &'static str)];
    let cases: [(&str, &str, Rename, Names); 18] = [
        ("an input", CHAIN, surgery::rename_inputs, &[("x", "hidden")]),
        ("inputs that swap their names", CHAIN, surgery::rename_inputs, &[("x", "mask"), ("mask", "x")]),
        ("an input that a body captures", BODIES, surgery::rename_inputs, &[("low", "least")]),
        ("an unknown input", CHAIN, surgery::rename_inputs, &[("msk", "m")]),
        ("an input with the name of a value", CHAIN, surgery::rename_inputs, &[("x", "side")]),
        ("an input with the name of an output", CHAIN, surgery::rename_inputs, &[("x", "result")]),
        ("an input twice", CHAIN, surgery::rename_inputs, &[("x", "a1"), ("x", "a2")]),
        ("inputs of one new name", CHAIN, surgery::rename_inputs, &[("x", "z"), ("mask", "z")]),
        ("an output", CHAIN, surgery::rename_outputs, &[("c", "middle")]),
        ("an output that has another name than its value", CHAIN, surgery::rename_outputs, &[("result", "y")]),
        ("outputs that swap their names", CHAIN, surgery::rename_outputs, &[("c", "result"), ("result", "c")]),
        ("an output with the name of an input", CHAIN, surgery::rename_outputs, &[("c", "x")]),
        ("an output with the name of an output", CHAIN, surgery::rename_outputs, &[("c", "result")]),
        ("an unknown output", CHAIN, surgery::rename_outputs, &[("e", "f")]),
        ("a symbolic dim", CHAIN, surgery::rename_dims, &[("seq", "length")]),
        ("symbolic dims that swap their names", SIZES, surgery::rename_dims, &[("seq", "past"), ("past", "seq")]),
        ("a symbolic dim with the name of another", CHAIN, surgery::rename_dims, &[("seq", "batch")]),
        ("an unknown symbolic dim", CHAIN, surgery::rename_dims, &[("sequence", "length")]),
    ];
    let text = cases.map(|(title, text, rename, names)| section(title, &outcome(text, |model| rename(model, names))));
    snapshot("surgery", "rename", &text.concat());
}

#[test]
fn outputs_are_chosen() {
    type Choose = fn(&mut Model, &[&str]) -> Result<(), SurgeryError>;
    let unread = "g(%x: f32[n], %unread: f32[n], %y: f32[n]) {
  %a = exp %x : f32[n]
  %b = exp %y : f32[n]
  return %a, %b
}
";
    let cases: [(&str, &str, Choose, &[&str]); 11] = [
        ("an inner value, and dead parts", CHAIN, surgery::set_outputs, &["b"]),
        ("outputs in another order, one of them new", CHAIN, surgery::set_outputs, &["result", "side"]),
        ("an input that nothing read before stays", unread, surgery::set_outputs, &["a"]),
        ("a weight", CHAIN, surgery::set_outputs, &["w"]),
        ("none", CHAIN, surgery::set_outputs, &[]),
        ("an unknown value", CHAIN, surgery::set_outputs, &["erly"]),
        ("a value of a body", BODIES, surgery::set_outputs, &["inner"]),
        ("a value of unknown type", SEQUENCES, surgery::set_outputs, &["strange"]),
        ("one more", CHAIN, surgery::add_outputs, &["a", "side"]),
        ("one that is an output already", CHAIN, surgery::add_outputs, &["c"]),
        ("a sequence", SEQUENCES, surgery::add_outputs, &["list"]),
    ];
    let text = cases.map(|(title, text, choose, names)| section(title, &outcome(text, |model| choose(model, names))));
    snapshot("surgery", "outputs", &text.concat());
}

#[test]
fn parts_are_extracted() {
    type Names = Option<&'static [&'static str]>;
    let cases: [(&str, &str, Names, Names); 15] = [
        ("between inner values", CHAIN, Some(&["c", "side"]), Some(&["result"])),
        ("from the inputs that are read", CHAIN, None, Some(&["b"])),
        ("to all outputs", CHAIN, Some(&["b", "mask"]), None),
        ("a weight becomes an input", CHAIN, Some(&["x", "w"]), Some(&["a"])),
        ("one of two results becomes an input", BODIES, Some(&["high", "x", "flag", "low"]), None),
        ("a body and what it captures", BODIES, Some(&["high", "flag", "low"]), Some(&["z"])),
        ("a sequence becomes an input", SEQUENCES, Some(&["list"]), None),
        ("an input is cut off", CHAIN, Some(&["a"]), Some(&["result"])),
        ("a captured input is cut off", BODIES, Some(&["high", "flag"]), Some(&["y"])),
        ("a value is not read", CHAIN, Some(&["x", "d", "mask"]), Some(&["c"])),
        ("an unknown value", CHAIN, Some(&["q"]), None),
        ("a value of a body", BODIES, Some(&["x"]), Some(&["twice"])),
        ("a value twice", CHAIN, Some(&["b", "b"]), None),
        ("a value of unknown type", SEQUENCES, None, Some(&["strange"])),
        ("no output", CHAIN, None, Some(&[])),
    ];
    let text = cases.map(|(title, text, from, to)| {
        let extract = |model: &mut Model| surgery::extract(model, from, to).map(|part| *model = part);
        section(title, &outcome(text, extract))
    });
    snapshot("surgery", "extract", &text.concat());
}

#[test]
fn models_are_split() {
    let after = |groups: &[&[&str]]| {
        Cut::After(groups.iter().map(|names| names.iter().map(|name| (*name).to_owned()).collect()).collect())
    };
    let cases: [(&str, &str, Cut); 13] = [
        ("after one value", CHAIN, after(&[&["b"]])),
        ("after two values of one part", CHAIN, after(&[&["b", "side"]])),
        ("after two values of two parts, the later one named first", CHAIN, after(&[&["c"], &["a"]])),
        ("before a body", BODIES, after(&[&["high"]])),
        ("after a sequence", SEQUENCES, after(&[&["list"]])),
        ("by size", CHAIN, Cut::Size(70)),
        ("by a size that one part needs", CHAIN, Cut::Size(1 << 20)),
        ("by too small a size", CHAIN, Cut::Size(20)),
        ("parts that would need each other", CHAIN, after(&[&["a", "d"], &["c"]])),
        ("after the last value", CHAIN, after(&[&["result"], &["side"]])),
        ("after an input", CHAIN, after(&[&["x"]])),
        ("after a value of a body", BODIES, after(&[&["inner"]])),
        ("after a value of unknown type", &SEQUENCES.replace("exp %first", "exp %strange"), after(&[&["strange"]])),
    ];
    let text = cases.map(|(title, text, cut)| {
        let whole = model(text);
        let text = match surgery::split(&whole, &cut) {
            Err(error) => format!("error: {error}\n"),
            Ok(Split { parts, plan, .. }) => {
                let moved = format!("{:?}\n", plan.moved);
                let texts: String = parts.iter().map(|part| part.graph.to_string()).collect();
                let merged = surgery::merge(parts, &[], Some(&plan)).unwrap_or_else(|error| panic!("{error}"));
                assert_eq!(merged.model.graph.to_string(), whole.graph.to_string());
                texts + if plan.moved.is_empty() { "" } else { &moved }
            }
        };
        section(title, &text)
    });
    snapshot("surgery", "split", &text.concat());
}

#[test]
fn a_size_that_a_part_does_not_know_is_declared_again() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/found/size_that_a_part_does_not_know.onnx");
    let whole = onnx::read(&path, &ReadOptions::default()).expect("it is a model");
    let bytes = |model: &Model| onnx::to_bytes(model).expect("it is written");
    let cut = Cut::After(vec![vec!["reshape_1".to_owned()]]);
    let Split { parts, plan, .. } = surgery::split(&whole, &cut).expect("it is split");
    let folder = tempfile::tempdir().expect("a folder");
    let read = |part: &Model| {
        let path = folder.path().join("part.onnx");
        onnx::write(part, &path, &WriteOptions::default()).expect("a part is written");
        onnx::read(&path, &ReadOptions::default()).expect("a part is a model")
    };
    let merged = surgery::merge(parts.iter().map(read).collect(), &[], Some(&plan)).expect("they are merged");
    assert_eq!(bytes(&merged.model), bytes(&whole));
}

#[test]
fn branches_are_chosen() {
    let nested = "nested(%flag: bool[1], %x: f32[n], %unused: f32[n]) {
  %one = squeeze %flag : bool[]
  %y = if %one {then_branch = graph yes(; %one: bool[] = %one, %x: f32[n] = %x) {
    %inner = if %one {then_branch = graph yes(; %x: f32[n] = %x) {
      %a = exp %x : f32[n]
      return a = %a
    }, else_branch = graph no(; %x: f32[n] = %x) {
      %b = neg %x : f32[n]
      return b = %b
    }} : f32[n]
    return y = %inner
  }, else_branch = graph no(; %unused: f32[n] = %unused) {
    %c = tanh %unused : f32[n]
    return y = %c
  }} : f32[n]
  return %y
}
";
    let read_besides = BODIES.replace("return %z, %rest", "%seen = cast %flag {to = f32} : f32[]\n  return %z, %seen");
    let computed =
        BODIES.replace("%flag: bool[], ", "").replace("  %y = if", "  %flag = equal %low, %low : bool[]\n  %y = if");
    let several = BODIES.replace("%flag: bool[], ", "%flag: bool[], %other: bool[], ").replace(
        "  %z = clip",
        "  %w = if %other {then_branch = graph yes(; %low: f32[] = %low) {\n    %p = neg %low : f32[]\n    return w = \
         %p\n  }, else_branch = graph no(; %low: f32[] = %low) {\n    %q = exp %low : f32[]\n    return w = %q\n  }} : \
         f32[]\n  %z = clip",
    );
    let several = several.replace("return %z, %rest", "return %z, %rest, %w");
    let cases = [
        ("the branch for true", BODIES, true),
        ("the branch for false", BODIES, false),
        ("a branch with a branch", nested, true),
        ("an input that only the other branch reads", nested, false),
        ("an input that is also data", &read_besides, true),
        ("a condition that is computed", &computed, true),
        ("two conditions", &several, true),
        ("no branches", CHAIN, true),
    ];
    let text = cases.map(|(title, text, value)| {
        let choose = |model: &mut Model| {
            let condition = surgery::branch_input(&model.graph)?;
            *model = surgery::choose_branch(model, &condition, value)?;
            Ok(())
        };
        section(title, &outcome(text, choose))
    });
    let refused = surgery::choose_branch(&model(BODIES), "x", true).expect_err("`x` decides nothing");
    snapshot("surgery", "choose_branch", &(text.concat() + &section("another input", &format!("error: {refused}\n"))));
}

#[test]
fn models_are_merged() {
    let front = "front(%x: f32[n, 4], %mask: f32[n]) {
  %w = parameter uniform(seed = 1, bound = 0.5) : f32[4, 4]
  %h = matmul %x, %w : f32[n, 4]
  %seen = exp %mask : f32[n]
  return %h, %seen
}
";
    let back = "back(%h: f32[rows, 4], %mask: f32[n], %other: f32[rows]) {
  %w = parameter uniform(seed = 1, bound = 0.5) : f32[4, 4]
  %x = matmul %h, %w : f32[rows, 4]
  %y = exp %x : f32[rows, 4]
  %seen = add %mask, %mask : f32[n]
  return %y, %seen
}
";
    let other_weight = back.replace("seed = 1", "seed = 2");
    let other_mask = back.replace("%mask: f32[n]", "%mask: f32[7]").replace(": f32[n]", ": f32[7]");
    let wide = back.replace("%h: f32[rows, 4]", "%h: f32[rows, 5]").replace("f32[4, 4]", "f32[5, 4]");
    let fixed = "fixed(%h: f32[n, 4], %k: f32[3]) {\n  %y = mul %h, [1.0, 2.0, 3.0] : f32[n, 4]\n  return %y\n}\n";
    let fixed = fixed.replace("[1.0, 2.0, 3.0] : f32[n, 4]", "[1.0, 2.0, 3.0, 4.0] : f32[n, 4]");
    let other_symbol = back.replace("f32[n]", "f32[length]");
    // As in the decoder that reads an encoder: two lengths of one name, and a batch that the connection binds.
    let encoder = "encoder(%x: f32[batch, seq, 4]) {\n  %h = exp %x : f32[batch, seq, 4]\n  return %h\n}\n";
    let decoder = "decoder(%y: f32[batch, seq, 4], %h: f32[batch, source, 4]) {
  %all = concat %y, %h {axis = 1} : f32[batch, seq + source, 4]
  return %all
}
";
    let ids = "ids(%x: i64[seq]) {\n  %y = neg %x : i64[seq]\n  return %y\n}\n";
    let other_ids = ids.replace('x', "z").replace("%y", "%v");
    let cases: [(&str, &[&str], Pairs<'_>); 14] = [
        ("a length of its own with the name of another", &[encoder, decoder], &[]),
        ("an input of one name and another symbol", &[front, &other_symbol], &[]),
        ("by name", &[front, back], &[]),
        ("by name, with another weight of one name", &[front, &other_weight], &[]),
        ("an input of one name and another type", &[front, &other_mask], &[]),
        ("by connection", &[front, &back.replace("%h", "%hidden")], &[("h", "hidden"), ("seen", "mask")]),
        (
            "three in a row",
            &[
                front,
                &fixed,
                &fixed.replace("%h", "%y").replace("%y = mul", "%z = mul").replace("return %y", "return %z"),
            ],
            &[],
        ),
        ("first axes of one name that nothing connects", &[ids, &other_ids], &[]),
        ("the input before the output", &[front, &back.replace("%h", "%hidden")], &[("hidden", "h")]),
        ("an unknown output", &[front, back], &[("hh", "mask")]),
        ("an unknown input", &[front, back], &[("h", "musk")]),
        ("in the wrong order", &[back, front], &[("h", "h")]),
        ("types that contradict", &[front, &wide], &[]),
        ("none", &[], &[]),
    ];
    let text = cases.map(|(title, texts, connections)| {
        let models = texts.iter().map(|text| model(text)).collect();
        let text = match surgery::merge(models, connections, None) {
            Ok(merged) => {
                merged.model.graph.to_string()
                    + &merged.notes.iter().map(|note| format!("note: {note}\n")).collect::<String>()
            }
            Err(error) => format!("error: {error}\n"),
        };
        section(title, &text)
    });
    snapshot("surgery", "merge", &text.concat());
}

/// Models that agree in everything but one operator set, one function, or their metadata.
/// The first pass of a decoder with one weight that its later steps have, and one that only it has.
const FIRST: &str = "first(%x: f32[n, 4], %states: f32[n, 4]) {
  %w = parameter uniform(seed = 1, bound = 0.5) : f32[4, 4]
  %keys = parameter uniform(seed = 2, bound = 0.5) : f32[4, 4]
  %cross = matmul %states, %keys : f32[n, 4]
  %h = matmul %x, %w : f32[n, 4]
  %y = add %h, %cross : f32[n, 4]
  return %y, present = %cross
}
";

/// The later steps.
const STEP: &str = "step(%x: f32[n, 4], %past: f32[n, 4]) {
  %w = parameter uniform(seed = 1, bound = 0.5) : f32[4, 4]
  %h = matmul %x, %w : f32[n, 4]
  %y = add %h, %past : f32[n, 4]
  return %y
}
";

#[test]
fn branches_are_merged() {
    let other_weight = STEP.replace("seed = 1", "seed = 3");
    let more_outputs = STEP.replace("return %y", "return %y, %h");
    let other_type = STEP.replace("%x: f32[n, 4]", "%x: f32[4, 4]");
    let quantized = STEP.replace(
        "%w = parameter uniform(seed = 1, bound = 0.5) : f32[4, 4]",
        "%codes = parameter fill(1) : i8[4, 4]\n%scales = parameter fill(0.5) : f32[4]
  %w = dequantize_linear %codes, %scales {axis = 1, block_size = 0} : f32[4, 4]",
    );
    let cases: [(&str, &str, &str, Pairs); 8] = [
        ("an output that is an input of the other branch", "steps", STEP, &[("present", "past")]),
        ("another weight of one name", "steps", &other_weight, &[("present", "past")]),
        ("an output that the other branch lacks", "steps", STEP, &[]),
        ("an output that only the other branch has", "steps", &more_outputs, &[("present", "past")]),
        ("an input of one name and another type", "steps", &other_type, &[("present", "past")]),
        ("a condition with the name of an input", "past", STEP, &[("present", "past")]),
        (
            "outputs that are inputs",
            "steps",
            "step(%x: f32[n, 4], %past: f32[n, 4]) {\nreturn y = %x\n}",
            &[("present", "past")],
        ),
        ("a product by a quantized weight", "steps", &quantized, &[("present", "past")]),
    ];
    let text = cases.map(|(title, condition, step, kept)| {
        let text = match surgery::merge_branches(condition, model(step), model(FIRST), kept) {
            Ok(merged) => {
                assert_eq!(merged.notes, Vec::<String>::new());
                merged.model.graph.to_string()
            }
            Err(error) => format!("error: {error}\n"),
        };
        section(title, &text)
    });
    snapshot("surgery", "merge_branches", &text.concat());
}

#[test]
fn operator_sets_functions_and_metadata_are_merged() {
    let one = || model("a(%x: f32[n]) {\n%h = exp %x : f32[n]\nreturn %h\n}");
    let two = || model("b(%h: f32[n]) {\n%y = exp %h : f32[n]\nreturn %y\n}");
    let with = |change: fn(&mut Model)| {
        let (first, mut second) = (one(), two());
        change(&mut second);
        match surgery::merge(vec![first, second], &[], None) {
            Ok(merged) => format!("{:?} {:?} {:?}\n", merged.model.opsets, merged.model.metadata, merged.notes),
            Err(error) => format!("error: {error}\n"),
        }
    };
    let domain = with(|second| _ = second.opsets.insert("my.domain".to_owned(), 2));
    let newer = with(|second| _ = second.opsets.insert(String::new(), 23));
    let metadata = with(|second| _ = second.metadata.insert("author".to_owned(), "b".to_owned()));
    let (mut first, mut second) = (one(), two());
    for (model, version, author) in [(&mut first, 1, "a"), (&mut second, 2, "b")] {
        model.opsets.insert("my.domain".to_owned(), version);
        model.metadata.insert("author".to_owned(), author.to_owned());
        model.functions.push(function(author));
    }
    let refused = |first: &Model, second: &Model| {
        let error = surgery::merge(vec![first.clone(), second.clone()], &[], None).expect_err("they differ");
        format!("error: {error}\n")
    };
    let versions = refused(&first, &second);
    second.opsets.insert("my.domain".to_owned(), 1);
    let functions = refused(&first, &second);
    second.functions.clone_from(&first.functions);
    let merged = surgery::merge(vec![first, second], &[], None).expect("they agree");
    let notes = format!("{} functions, {:?}\n", merged.model.functions.len(), merged.notes);
    let text = [
        ("another domain", domain),
        ("a newer opset", newer),
        ("metadata of one", metadata),
        ("versions that differ", versions),
        ("functions that differ", functions),
        ("metadata that differs", notes),
    ];
    snapshot("surgery", "merge_descriptions", &text.map(|(title, text)| section(title, &text)).concat());
}

/// A function with one node, which describes itself.
fn function(doc: &str) -> Function {
    let graph = parse("f(%x: f32[n]) {\n%y = \"::Exp@21\" %x : ?\nreturn %y\n}").expect("it is well-formed");
    Function {
        domain: "my.domain".into(),
        name: "F".into(),
        overload: "".into(),
        graph,
        attributes: vec![],
        defaults: vec![],
        opsets: BTreeMap::from([(String::new(), 21), ("unused".to_owned(), 1)]),
        notes: Notes { doc: doc.to_owned(), ..Notes::default() },
    }
}

#[test]
fn metadata_is_stripped() {
    let mut full = model("g(%x: f32[n]) {\n%f = \"my.domain::F@1\" %x : f32[n]\n%y = exp %f : f32[n]\nreturn %y\n}");
    "a model".clone_into(&mut full.doc);
    full.metadata.insert("author".to_owned(), "a".to_owned());
    full.opsets.extend([("my.domain".to_owned(), 1), ("unused".to_owned(), 1)]);
    full.functions.push(function("a function"));
    let notes = || Notes {
        doc: "where it comes from".to_owned(),
        metadata: BTreeMap::from([("pkg.torch.onnx.stack_trace".to_owned(), "line 7".to_owned())]),
        denotation: "TENSOR".to_owned(),
        ..Notes::default()
    };
    full.graph.set_notes(notes());
    for id in full.graph.schedule() {
        full.graph.set_node_notes(id, notes());
        for value in full.graph.results(id).collect::<Vec<_>>() {
            full.graph.set_value_notes(value, notes());
            let ty = full.graph.fact(value).ty.clone();
            full.graph.declare(value, ty);
        }
    }
    let mut stripped = full.clone();
    surgery::strip(&mut stripped);
    let text = |model: &Model| onnx::to_text(model).unwrap_or_else(|error| panic!("{error}"));
    snapshot("surgery", "strip", &diff(&text(&full), &text(&stripped)));
    let mut again = stripped.clone();
    surgery::strip(&mut again);
    assert_eq!(again, stripped);
}

/// The functions that a part does not call are left out of it; a split keeps all in every part.
#[test]
fn functions_follow_their_calls() {
    let mut whole = model("g(%x: f32[n]) {\n%f = \"my.domain::F@1\" %x : f32[n]\n%y = exp %f : f32[n]\nreturn %y\n}");
    whole.opsets.insert("my.domain".to_owned(), 1);
    whole.functions.push(function("called"));
    let count = |from: &[&str], to: &[&str]| {
        surgery::extract(&whole, Some(from), Some(to)).expect("it is a part").functions.len()
    };
    assert_eq!([count(&["x"], &["f"]), count(&["f"], &["y"])], [1, 0]);
    let split = surgery::split(&whole, &Cut::After(vec![vec!["f".to_owned()]])).expect("it is cut");
    assert_eq!(split.parts.iter().map(|part| part.functions.len()).collect::<Vec<_>>(), [1, 1]);
    let merged = surgery::merge(split.parts, &[], Some(&split.plan)).expect("they fit");
    assert_eq!(merged.model.functions, whole.functions);
}

/// Training steps refer to values of the graph by name.
#[test]
fn training_steps_are_refused() {
    let mut whole = model(CHAIN);
    whole.training.push(Training {
        initialization: None,
        algorithm: None,
        initialization_binding: vec![],
        update_binding: vec![],
    });
    let names = [("x", "z")];
    let outcomes = [
        surgery::fix_dims(&mut whole.clone(), &dims(&[("batch", "1")])),
        surgery::rename_inputs(&mut whole.clone(), &names),
        surgery::rename_outputs(&mut whole.clone(), &names),
        surgery::rename_dims(&mut whole.clone(), &names),
        surgery::set_outputs(&mut whole.clone(), &["b"]),
        surgery::extract(&whole, None, None).map(drop),
        surgery::split(&whole, &Cut::Size(1)).map(drop),
        passes::surgery::merge(&[whole.clone()], &[], None).map(drop),
    ];
    assert_eq!(outcomes, [const { Err(SurgeryError::Training) }; 8]);
    surgery::add_outputs(&mut whole, &["b"]).expect("names stay");
}

/// A plan that does not belong to the parts is refused, or changes only their order.
#[test]
fn a_wrong_plan_breaks_nothing() {
    let whole = model(CHAIN);
    let Split { parts, plan, .. } = surgery::split(&whole, &Cut::After(vec![vec!["c".to_owned()]])).expect("it is cut");
    let with = |plan: &Plan| match surgery::merge(parts.clone(), &[], Some(plan)) {
        Ok(merged) => merged.model.graph.to_string(),
        Err(error) => format!("error: {error}\n"),
    };
    let moved = |node: &str, before: Option<&str>| surgery::Moved {
        node: node.to_owned(),
        before: before.map(ToOwned::to_owned),
    };
    let mut unknown = plan.clone();
    unknown.outputs.push("nothing".to_owned());
    let early = Plan { moved: vec![moved("e", Some("a"))], ..plan.clone() };
    let circle = Plan { moved: vec![moved("e", Some("d")), moved("d", Some("e"))], ..plan.clone() };
    let nowhere = Plan { moved: vec![moved("nothing", None), moved("side", Some("nothing"))], ..plan };
    let text = [
        ("an unknown output", with(&unknown)),
        ("a node before its operand", with(&early)),
        ("nodes before each other", with(&circle)),
        ("unknown nodes", with(&nowhere)),
    ];
    snapshot("surgery", "wrong_plans", &text.map(|(title, text)| section(title, &text)).concat());
}

/// Runs a model file in tract.
fn run(path: &Path, sizes: &Bindings, given: &[(String, Array)]) -> Vec<(String, Array)> {
    let file = ModelFile::open(path).unwrap_or_else(|error| panic!("{error}"));
    let session = Session::for_sizes(&file, sizes).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let find = |name: &str| given.iter().find(|(known, _)| known == name).map(|(name, array)| (name.as_str(), array));
    let inputs: Vec<(&str, &Array)> = session
        .inputs()
        .iter()
        .map(|port| find(&port.name).unwrap_or_else(|| panic!("{} is given", port.name)))
        .collect();
    session.run(&inputs).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// Sizes are fixed without a change of the results, and parts of exported models compute the same values in tract as
/// the whole; merged, they give back its bytes.
#[test]
fn parts_of_exports_in_tract() {
    let folder = tempfile::tempdir().expect("a folder");
    let at = |name: &str| folder.path().join(name);
    for name in ["bert.legacy", "gpt2.dynamo", "vit.dynamo"] {
        let source = format!("{}/tests/interop/models/{name}.onnx", env!("CARGO_MANIFEST_DIR"));
        let file = ModelFile::open(&source).unwrap_or_else(|error| panic!("{error}"));
        let runs = netwright::verify::bindings(&file.inputs(), &BTreeMap::new(), false).expect("it has sizes");
        let sizes = &runs[0].bindings;
        let dims: BTreeMap<Symbol, Dim> =
            sizes.iter().map(|(symbol, size)| (symbol.clone(), Dim::from(*size))).collect();

        // Without symbols, no shape is computed in one part and needed to load another.
        let mut whole = onnx::read(&source, &ReadOptions::default()).unwrap_or_else(|error| panic!("{error}"));
        surgery::fix_dims(&mut whole, &dims).unwrap_or_else(|error| panic!("{error}"));
        passes::optimize(&mut whole, &Options::for_target(Target::TRACT)).unwrap_or_else(|error| panic!("{error}"));
        let path = at(&format!("{name}.onnx"));
        onnx::write(&whole, &path, &WriteOptions::default()).unwrap_or_else(|error| panic!("{error}"));
        let verdict = verify(Path::new(&source), Some(&path), &VerifyOptions::default().with_dims(dims));
        let verdict = verdict.unwrap_or_else(|error| panic!("{error}"));
        assert!(verdict.is_fine(), "{name}: {verdict}");

        let whole = onnx::read(&path, &ReadOptions::default()).unwrap_or_else(|error| panic!("{error}"));
        let is_inner = |id: &NodeId| {
            let element = whole.graph.fact(Value { node: *id, result: 0 }).element();
            !whole.graph.node(*id).op().kind().is_source() && element == Some(ElementType::F32)
        };
        let nodes: Vec<NodeId> = whole.graph.schedule().into_iter().filter(is_inner).collect();
        let ends = [nodes.len() / 3, nodes.len() / 2].map(|at| Value { node: nodes[at], result: 0 });
        let ends = ends.map(|value| vec![whole.graph.value_name(value).to_string()]);
        let split = surgery::split(&whole, &Cut::After(ends.into())).unwrap_or_else(|error| panic!("{error}"));
        let mut known = inputs(&file, sizes, 0).unwrap_or_else(|error| panic!("{error}"));
        let expected = run(&path, sizes, &known);
        let mut parts = vec![];
        for (part, number) in split.parts.iter().zip(1..) {
            let path = at(&format!("{name}.{number}.onnx"));
            onnx::write(part, &path, &WriteOptions::default()).unwrap_or_else(|error| panic!("{error}"));
            let outputs = run(&path, sizes, &known);
            known.extend(outputs);
            parts.push(onnx::read(&path, &ReadOptions::default()).unwrap_or_else(|error| panic!("{error}")));
        }
        for (output, array) in &expected {
            let (_, found) = known.iter().find(|(known, _)| known == output).expect("a part computes it");
            assert!(found.is_same(array), "{name}: {output} differs");
        }
        let merged = surgery::merge(parts, &[], Some(&split.plan)).unwrap_or_else(|error| panic!("{error}"));
        let bytes = |model: &Model| onnx::to_bytes(model).unwrap_or_else(|error| panic!("{error}"));
        let text = |model: &Model| model.graph.to_text(Detail::Elided);
        assert!(bytes(&merged.model) == bytes(&whole), "{name}: {}", diff(&text(&whole), &text(&merged.model)));
    }
}
