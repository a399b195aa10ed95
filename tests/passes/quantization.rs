//! Weights that are quantized on request: what a target gets for each scheme, what stays in floats, and what is refused.
//!
//! `tests/interop/quantized.py` judges the results in ONNX Runtime.

use super::common::snapshot;
use super::{check_near, lines, parse};
use netwright::evaluate::Tract;
use netwright::inventory::inventory;
use netwright::ir::tensor::Rounding;
use netwright::ir::{ElementType, Function, Graph, Model, Notes, Op, Tensor};
use netwright::onnx::{self, ReadOptions};
use netwright::passes::{self, Options, Precision, Prover, Quantization, Scheme, Target, quantized_weights};
use std::fmt::Write as _;

fn model(inputs: &str, body: &str, opset: i64) -> Model {
    let text = format!("g({inputs}) {{\n{body}\n}}");
    let mut model = Model::new(parse(&text).unwrap_or_else(|error| panic!("{error} in\n{text}")));
    model.opsets.insert(String::new(), opset);
    model
}

const WEIGHT: &str = "%w = parameter uniform(seed = 1, bound = 0.5) : f32[64, 96]";

/// The inputs and the body of each case.
const CASES: [(&str, &str, &str); 14] = [
    ("product", "%x: f32[b, s, 64]", "%y = matmul %x, %w : f32[b, s, 96]\nreturn %y"),
    (
        "gemm_with_bias",
        "%x: f32[n, 96]",
        "%c = parameter uniform(seed = 2, bound = 0.5) : f32[64]
         %y = gemm %x, %w, %c {alpha = 0.5, transB = true} : f32[n, 64]
         return %y",
    ),
    ("weight_on_the_left", "%x: f32[b, 96, s]", "%y = matmul %w, %x : f32[b, 64, s]\nreturn %y"),
    (
        "weight_of_two_products",
        "%x: f32[b, s, 64], %z: f32[b, s, 64]",
        "%y = matmul %x, %w : f32[b, s, 96]\n%u = matmul %z, %w : f32[b, s, 96]\nreturn %y, %u",
    ),
    ("embedding", "%ids: i64[b, s]", "%y = gather %w, %ids : f32[b, s, 96]\nreturn %y"),
    (
        "tied_head",
        "%ids: i64[b, s]",
        "%x = gather %w, %ids : f32[b, s, 96]
         %a = tanh %x : f32[b, s, 96]
         %t = transpose %w {perm = [1, 0]} : f32[96, 64]
         %y = matmul %a, %t : f32[b, s, 64]
         return %y",
    ),
    (
        "convolution_of_1_x_1",
        "%x: f32[b, 64, h, v]",
        "%k = parameter uniform(seed = 3, bound = 0.5) : f32[96, 64, 1, 1]
         %c = parameter uniform(seed = 2, bound = 0.5) : f32[96]
         %y = conv %x, %k, %c : f32[b, 96, h, v]
         return %y",
    ),
    (
        "rows_that_are_not_whole_blocks",
        "%x: f32[b, s, 72]",
        "%odd = parameter uniform(seed = 3, bound = 0.5) : f32[72, 64]\n%y = matmul %x, %odd : f32[b, s, 64]\nreturn %y",
    ),
    (
        "matrix_with_a_leading_axis",
        "%x: f32[b, s, 64]",
        "%one = parameter uniform(seed = 3, bound = 0.5) : f32[1, 64, 96]\n%y = matmul %x, %one : f32[b, s, 96]\nreturn %y",
    ),
    (
        "matrix_with_a_leading_axis_on_the_left",
        "%x: f32[b, 96, s]",
        "%one = parameter uniform(seed = 3, bound = 0.5) : f32[1, 64, 96]\n%y = matmul %one, %x : f32[b, 64, s]\nreturn %y",
    ),
    (
        "gemm_with_a_transposed_operand",
        "%x: f32[64, n]",
        "%c = parameter uniform(seed = 2, bound = 0.5) : f32[96]
         %y = gemm %x, %w, %c {alpha = 0.5, transA = true} : f32[n, 96]
         return %y",
    ),
    (
        "gemm_with_the_weight_on_the_left",
        "%x: f32[n, 96]",
        "%c = parameter uniform(seed = 2, bound = 0.5) : f32[64, 1]
         %y = gemm %w, %x, %c {transB = true} : f32[64, n]
         return %y",
    ),
    (
        "convolution_in_groups",
        "%x: f32[b, 128, s]",
        "%k = parameter uniform(seed = 3, bound = 0.5) : f32[256, 16, 1]
         %h = tanh %x : f32[b, 128, s]
         %y = conv %h, %k {group = 8} : f32[b, 256, s]
         return %y",
    ),
    (
        "half_precision",
        "%x: f16[b, s, 64]",
        "%narrow = parameter cast(f32[64, 96] uniform(seed = 3, bound = 0.5)) : f16[64, 96]\n%y = matmul %x, %narrow : f16[b, s, 96]\nreturn %y",
    ),
];

/// Weights that stay in floats.
const KEPT: [(&str, &str, &str); 8] = [
    (
        "weight_that_a_body_captures",
        "%c: bool[], %x: f32[s, 64]",
        "%y = if %c {then_branch = graph then(; %h: f32[s, 64] = %x, %v: f32[64, 96] = %w) {
           %p = matmul %h, %v : f32[s, 96]
           return y = %p
         }, else_branch = graph else(; %h: f32[s, 64] = %x, %v: f32[64, 96] = %w) {
           %q = matmul %h, %v : f32[s, 96]
           %r = relu %q : f32[s, 96]
           return y = %r
         }} : f32[s, 96]
         return %y",
    ),
    (
        "position_table",
        "%x: f32[b, s, 96]",
        "%n = shape %x {start = 1, end = 2} : i64[1]
         %s = squeeze %n : i64[]
         %at = range 0, %s, 1 : i64[s]
         %p = gather %w, %at : f32[s, 96]
         %y = add %x, %p : f32[b, s, 96]
         return %y",
    ),
    (
        "router",
        "%x: f32[s, 64]",
        "%a = matmul %x, %w : f32[s, 96]
         %p = softmax %a {axis = -1} : f32[s, 96]
         %v, %i = top_k %p, [2] : f32[s, 2], i64[s, 2]
         return %v, %i",
    ),
    (
        "stacked_weights",
        "%x: f32[4, s, 64]",
        "%e = parameter uniform(seed = 3, bound = 0.5) : f32[4, 64, 96]\n%y = matmul %x, %e : f32[4, s, 96]\nreturn %y",
    ),
    (
        "weight_that_is_added_too",
        "%x: f32[b, s, 64], %z: f32[64, 96]",
        "%y = matmul %x, %w : f32[b, s, 96]\n%u = add %z, %w : f32[64, 96]\nreturn %y, %u",
    ),
    ("weight_that_is_an_output", "%x: f32[b, s, 64]", "%y = matmul %x, %w : f32[b, s, 96]\nreturn %y, %w"),
    (
        "small_weight",
        "%x: f32[b, s, 64]",
        "%few = parameter uniform(seed = 3, bound = 0.5) : f32[64, 4]\n%y = matmul %x, %few : f32[b, s, 4]\nreturn %y",
    ),
    (
        "sums_over_both_axes",
        "%x: f32[b, s, 64], %z: f32[b, s, 96]",
        "%y = matmul %x, %w : f32[b, s, 96]
         %t = transpose %w {perm = [1, 0]} : f32[96, 64]
         %u = matmul %z, %t : f32[b, s, 64]
         return %y, %u",
    ),
];

fn body(rest: &str) -> String {
    if rest.contains("%w") { format!("{WEIGHT}\n{rest}") } else { rest.to_owned() }
}

fn options(target: Target, quantization: Quantization) -> Options {
    Options::for_target(target).with_evaluator(Tract).with_quantization(quantization)
}

/// What was optimized, written and read is not changed by another run.
fn check_second_run(case: &str, target: Target, model: &Model) {
    let mut again = second_run(case, target, model);
    let refused = passes::optimize(&mut again, &options(target, Quantization::new(Scheme::Int8)));
    let refused = refused.expect_err("it is quantized already").to_string();
    assert!(refused.contains("the model is quantized already"), "{case}, {target}: {refused}");
}

/// Writes and reads a model, and optimizes it again, which must not change it.
fn second_run(case: &str, target: Target, model: &Model) -> Model {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("first.onnx");
    let first = onnx::to_bytes(model).unwrap_or_else(|error| panic!("{case}, {target}: {error}"));
    std::fs::write(&path, &first).expect("it is written");
    let mut again =
        onnx::read(&path, &ReadOptions::default()).unwrap_or_else(|error| panic!("{case}, {target}: {error}"));
    let report =
        passes::optimize(&mut again, &Options::for_target(target).with_evaluator(Tract)).expect("it is optimized");
    assert!(
        onnx::to_bytes(&again).is_ok_and(|second| second == first),
        "{case}, {target}: {}",
        lines("again", &report.applied)
    );
    again
}

#[test]
fn weights_are_quantized() {
    for (case, inputs, rest) in CASES {
        let mut text = String::new();
        for target in Target::ALL {
            for scheme in [Scheme::Int4, Scheme::Int8, Scheme::Int8Dynamic, Scheme::Uint8Dynamic] {
                let mut model = model(inputs, &body(rest), 21);
                let options = options(target, Quantization::new(scheme));
                // The other side is what the target gets without quantization. The head keeps the tied table, because it
                // is copied only after quantization.
                let mut undivided = target;
                undivided.arranges_own_weights = false;
                let plain = Options::for_target(undivided).with_evaluator(Tract);
                passes::optimize(&mut model, &plain).expect("it is optimized");
                let before = model.graph.to_string();
                let report = passes::optimize(&mut model, &options).unwrap_or_else(|error| panic!("{case}: {error}"));
                let diff = passes::diff(&before, &model.graph.to_string());
                let declined = lines("declined", &report.declined);
                writeln!(text, "{target}, {scheme}\n{diff}{declined}").expect("text grows");
                if !report.quantized.is_empty() {
                    check_second_run(case, target, &model);
                }
            }
        }
        snapshot("passes", &format!("{case}@quantize-weights"), &text);
    }
}

/// Products by quantized weights are those by the floats that the codes mean.
#[test]
fn quantized_weights_are_those_of_their_codes() {
    for (case, inputs, rest) in CASES {
        for scheme in [Scheme::Int4, Scheme::Int8] {
            let original = model(inputs, &body(rest), 21);
            let mut quantized = original.clone();
            let report = passes::optimize(&mut quantized, &options(Target::TRACT, Quantization::new(scheme)));
            let report = report.unwrap_or_else(|error| panic!("{case}: {error}"));
            let Some(done) = report.quantized.first() else {
                assert_eq!((case, scheme), ("convolution_in_groups", Scheme::Int4));
                continue;
            };
            let mut floats = original.graph;
            let id = floats.schedule().into_iter().find(|id| floats.node(*id).op().tensor().is_some());
            let id = id.expect("it has a weight");
            let weight = floats.node(id).op().tensor().expect("a weight").clone();
            // Rows are summed over: a weight on the right is turned.
            let is_turned = done.after.dims()[0] != weight.dims().iter().copied().find(|size| *size > 1).expect("rows");
            let rows = if is_turned { done.after.transposed().expect("a matrix") } else { done.after.clone() };
            let rows = rows.cast(weight.element()).and_then(|rows| rows.reshaped(weight.dims())).expect("it fits");
            floats.set_op(id, Op::Parameter(rows));
            check_near(case, "quantize-weights", &floats, &quantized.graph, 2e-3);
        }
    }
}

/// Weights of other tools that are quantized in blocks and are not matrices become operators on blocks if they are products
/// of one matrix.
#[test]
fn blocks_of_more_than_two_axes() {
    let scales = "%scales = parameter uniform(seed = 2, bound = 0.5)";
    for (case, inputs, body, is_product) in [
        (
            "one matrix with a leading axis",
            "%x: f32[b, s, 64]",
            format!(
                "%c = parameter fill(3) : i8[1, 64, 96]
                 {scales} : f32[1, 2, 96]
                 %w = dequantize_linear %c, %scales {{axis = 1, block_size = 32}} : f32[1, 64, 96]
                 %y = matmul %x, %w : f32[b, s, 96]
                 return %y"
            ),
            true,
        ),
        (
            "a convolution in groups",
            "%x: f32[b, 128, s]",
            format!(
                "%c = parameter fill(3) : i8[96, 64, 1]
                 {scales} : f32[96, 2, 1]
                 %w = dequantize_linear %c, %scales {{axis = 1, block_size = 32}} : f32[96, 64, 1]
                 %y = conv %x, %w {{group = 2}} : f32[b, 96, s]
                 return %y"
            ),
            false,
        ),
    ] {
        let mut model = model(inputs, &body, 21);
        passes::optimize(&mut model, &Options::for_target(Target::ORT)).expect("it is optimized");
        let text = model.graph.to_string();
        assert_eq!(text.contains("MatMulNBits"), is_product, "{case}: {text}");
        assert_eq!(text.contains("dequantize_linear"), !is_product, "{case}: {text}");
    }
}

/// A table that is tied to the head stays one tensor for tract only if a scheme is requested.
#[test]
fn tied_tables_are_copied_unless_they_are_quantized() {
    let (_, inputs, rest) = CASES.into_iter().find(|(case, ..)| *case == "tied_head").expect("it is a case");
    for (scheme, is_copied) in [(Scheme::None, true), (Scheme::Int4, false)] {
        let mut model = model(inputs, &body(rest), 21);
        passes::optimize(&mut model, &options(Target::TRACT, Quantization::new(scheme))).expect("it is optimized");
        assert_eq!(
            model.graph.to_string().matches(" = parameter transpose").count() == 1,
            is_copied,
            "{}",
            model.graph
        );
    }
}

/// A tied table that stays in floats is copied after all, and the copy is quantized where its product allows that, so that
/// a run without quantization does not change what was written.
#[test]
fn tied_tables_that_are_not_quantized_are_copied_at_once() {
    let head = "%t = transpose %w {perm = [1, 0]} : f32[96, 64]\n%y = matmul %x, %t : f32[b, 64]";
    let product = format!("%u = matmul %z, %w : f32[c, 96]\n{head}\nreturn %y, %u");
    let [sum, lookup] = ["reduce_sum %w, [1] {keepdims = false} : f32[64]", "gather %w, %ids : f32[c, 96]"]
        .map(|other| format!("%u = {other}\n{head}\nreturn %y, %u"));
    for (case, inputs, rest, quantized, why) in [
        ("read by a sum", "%x: f32[b, 96]", sum, 1, ""),
        ("odd number of blocks", "%x: f32[b, 96], %ids: i64[c]", lookup, 1, "an odd number of blocks with zero points"),
        ("products over both axes", "%x: f32[b, 96], %z: f32[c, 64]", product, 2, ""),
    ] {
        let mut model = model(inputs, &body(&rest), 21);
        let options = options(Target::TRACT, Quantization::new(Scheme::Int4).with_symmetric(false));
        let report = passes::optimize(&mut model, &options).expect("it is optimized");
        let declined = lines("declined", &report.declined);
        assert!(declined.contains(why) && declined.is_empty() == why.is_empty(), "{case}: {declined}");
        assert_eq!(report.quantized.len(), quantized, "{case}: {}", model.graph);
        second_run(case, Target::TRACT, &model);
    }
}

#[test]
fn stacks_are_told_from_single_matrices() {
    for (count, why) in [(1, "one matrix with an axis of size 1"), (2, "stacks of matrices")] {
        let weight = format!("parameter uniform(seed = 1, bound = 0.5) : f32[{count}, 64, 96]");
        let body = format!("%w = {weight}\n%y = matmul %x, %w : f32[{count}, s, 96]\nreturn %y");
        let mut model = model("%x: f32[s, 64]", &body, 21);
        let report = passes::optimize(&mut model, &options(Target::ORT, Quantization::new(Scheme::Int8)));
        let declined = lines("declined", &report.expect("it is optimized").declined);
        assert!(declined.contains(why), "{declined}");
    }
}

/// Codes count as the weights that they stand for, packed or not, and scales and zero points not at all. Both copies of a
/// weight count.
#[test]
fn quantized_weights_are_as_many_parameters_as_before() {
    for (case, inputs, rest) in CASES {
        for (target, is_symmetric) in Target::ALL.into_iter().flat_map(|target| [(target, true), (target, false)]) {
            for scheme in [Scheme::Int4, Scheme::Int8, Scheme::Int8Dynamic, Scheme::Uint8Dynamic] {
                let mut model = model(inputs, &body(rest), 21);
                let before = inventory(&model).parameters;
                let quantization = Quantization::new(scheme).with_symmetric(is_symmetric);
                let report = passes::optimize(&mut model, &options(target, quantization)).expect("it is optimized");
                let copies = report.quantized.iter().map(|weight| weight.before.count()).sum::<u64>();
                let after = inventory(&model).parameters;
                assert!(
                    after == before || after == before + copies,
                    "{case}, {target}, {scheme}: {before}, {after}\n{}",
                    model.graph
                );
            }
        }
    }
}

/// Both copies of a table that is looked up as rows and multiplied in columns are counted.
#[test]
fn bytes_of_a_tied_table_are_those_that_are_stored() {
    let (_, inputs, rest) = CASES.into_iter().find(|(case, ..)| *case == "tied_head").expect("it is a case");
    for (target, scheme) in
        [(Target::ORT, Scheme::Int8Dynamic), (Target::ONNX, Scheme::Int8), (Target::ORT, Scheme::Int8)]
    {
        let mut model = model(inputs, &body(rest), 21);
        let quantized = passes::optimize(&mut model, &options(target, Quantization::new(scheme)));
        let counted: u64 = quantized.expect("it is optimized").quantized.iter().map(|weight| weight.bytes).sum();
        let nodes = model.graph.schedule().into_iter();
        let stored =
            nodes.filter_map(|id| model.graph.node(id).op().tensor()).map(Tensor::len).filter(|len| *len >= 64);
        assert_eq!(counted, stored.sum::<u64>(), "{target}, {scheme}\n{}", model.graph);
    }
}

/// Conversions round more than a proof allows: they are applied, and reported as unproven.
#[test]
fn proofs_do_not_judge_conversions() {
    let mut model = model("%x: f32[b, s, 64]", &body("%y = matmul %x, %w : f32[b, s, 96]\nreturn %y"), 21);
    let options = options(Target::ORT, Quantization::new(Scheme::Int4)).with_prover(Prover::new(Tract));
    let report = passes::optimize(&mut model, &options).expect("it is optimized");
    assert_eq!(report.quantized.len(), 1);
    let proofs = report.proofs.expect("it was proven");
    assert_eq!(proofs.refuted, []);
    let unproven = lines("unproven", &proofs.unproven);
    assert!(unproven.contains("quantize-weights: %w: it converts on request"), "{unproven}");
}

/// What `--dequantize` and the operators of ONNX Runtime make of nodes that Netwright does not write itself.
#[test]
fn models_quantized_by_other_tools() {
    let codes = "%c = parameter fill(3) : i8[64, 96]";
    let dynamic = |scales: &str| {
        format!(
            "%c = parameter fill(3) : i8[64, 64]
             %scales = parameter uniform(seed = 2, bound = 0.5) : f32[{scales}]
             %q, %s, %z = dynamic_quantize_linear %x : u8[64, 64], f32[], u8[]
             %sums = matmul_integer %q, %c, %z : i32[64, 64]
             %numbers = cast %sums {{to = f32}} : f32[64, 64]
             %factor = mul %s, %scales : f32[{scales}]
             %y = mul %numbers, %factor : f32[64, 64]
             return %y"
        )
    };
    let narrow = format!(
        "{codes}
         %scales = parameter uniform(seed = 2, bound = 0.5) : f32[2, 96]
         %w = dequantize_linear %c, %scales {{axis = 0, block_size = 32, output_dtype = f16}} : f16[64, 96]
         %y = matmul %h, %w : f16[b, 96]
         return %y"
    );
    let scales = "%scales = parameter uniform(seed = 2, bound = 0.5)";
    let unsigned = format!(
        "%c = parameter fill(3) : u8[64, 96]
         {scales} : f32[2, 96]
         %w = dequantize_linear %c, %scales {{axis = 0, block_size = 32}} : f32[64, 96]
         %y = matmul %x, %w : f32[b, 96]
         return %y"
    );
    let table = format!(
        "%c = parameter fill(3) : u8[64, 16]
         {scales} : f32[64, 2]
         %y = \"com.microsoft::GatherBlockQuantized@1\" %c, %i, %scales {{bits = 4, block_size = 16, gather_axis = -2, quantize_axis = -1}} : f32[b, 32]
         return %y"
    );
    let integers = format!(
        "%c = parameter fill(3) : u8[64, 96]
         {scales} : f32[96]
         %bias = parameter fill(0.5) : f32[96]
         %y = \"com.microsoft::DynamicQuantizeMatMul@1\" %x, %c, %scales, _, %bias : f32[b, 96]
         return %y"
    );
    let product = |last: &str| {
        format!(
            "%c = parameter fill(3) : u8[16, 2, 16]
             {scales} : f32[32]
             %zeros = parameter fill(8.0) : f32[32]
             %bytes = parameter fill(3) : u8[16, 1]
             %groups = parameter fill(0) : i32[64]
             %y = \"com.microsoft::MatMulNBits@1\" %x, %c, %scales, {last} {{K = 64, N = 16, bits = 4, block_size = 32}} : f32[b, 16]
             return %y"
        )
    };
    let mut text = String::new();
    for (case, inputs, rest) in [
        ("unsigned_codes_without_zero_points", "%x: f32[b, 64]", unsigned),
        ("axis_of_a_lookup_counted_from_the_end", "%i: i64[b]", table),
        ("operator_that_quantizes_its_operand", "%x: f32[b, 64]", integers),
        ("zero_points_in_floats", "%x: f32[b, 64]", product("%zeros")),
        ("indices_of_groups", "%x: f32[b, 64]", product("_, %groups")),
        ("indices_of_groups_and_zero_points", "%x: f32[b, 64]", product("%zeros, %groups")),
        ("indices_of_groups_and_packed_zero_points", "%x: f32[b, 64]", product("%bytes, %groups")),
        ("scales_of_columns", "%x: f32[64, 64]", dynamic("64")),
        ("scales_of_rows", "%x: f32[64, 64]", dynamic("64, 1")),
        ("output_dtype_differs_from_the_scales", "%h: f16[b, 64]", narrow),
    ] {
        for dequantize in [false, true] {
            let mut model = model(inputs, &rest, 23);
            let options = Options::for_target(Target::ORT).with_evaluator(Tract).with_dequantize(dequantize);
            let report = passes::optimize(&mut model, &options).unwrap_or_else(|error| panic!("{case}: {error}"));
            let declined = lines("declined", &report.declined);
            let kept = quantized_weights(&model.graph, &report);
            let kept: String = kept.iter().map(|kept| format!("kept      {kept:?}\n")).collect();
            let kept = if dequantize { kept } else { String::new() };
            writeln!(text, "{case}, dequantize = {dequantize}\n{}{declined}{kept}", model.graph).expect("text grows");
        }
    }
    snapshot("passes", "quantized_by_other_tools@dequantize-weights", &text);
}

/// The factor of a bias does not concern the weight.
#[test]
fn gemm_with_a_factor_of_the_bias() {
    for (target, scheme) in
        [(Target::ONNX, Scheme::Int8), (Target::ORT, Scheme::Int4), (Target::ORT, Scheme::Int8Dynamic)]
    {
        let rest = "%w = parameter uniform(seed = 2, bound = 0.5) : f32[64, 96]
                    %c = parameter uniform(seed = 3, bound = 0.5) : f32[96]
                    %y = gemm %x, %w, %c {alpha = 0.5, beta = -2.0} : f32[b, 96]
                    return %y";
        let mut model = model("%x: f32[b, 64]", rest, 21);
        let report = passes::optimize(&mut model, &options(target, Quantization::new(scheme)));
        let report = report.unwrap_or_else(|error| panic!("{error}"));
        assert_eq!(report.quantized.len(), 1, "{scheme}: {}", model.graph);
        assert!(model.graph.to_string().contains("-2.0"), "{scheme}: {}", model.graph);
    }
}

/// Codes of which a lookup is used otherwise are not a quantized weight.
#[test]
fn lookups_of_integers_are_not_quantized_weights() {
    let optimized = |kind: &str, to: &str, element: &str, product: &str| {
        let rest = format!(
            "%c = parameter fill(1) : i8[4, 8]
             %g = gather %c, %ids {{axis = 0}} : i8[s, 8]
             %i = {kind} %g {to} : {element}[s, 8]
             {product}"
        );
        let mut model = model("%ids: i64[s], %x: f32[b, 64]", &body(&rest), 21);
        passes::optimize(&mut model, &options(Target::ORT, Quantization::new(Scheme::Int8)))
            .map(|report| report.quantized.len())
    };
    for (kind, to, element, is_quantized) in
        [("cast", "{to = f32}", "f32", true), ("cast", "{to = i64}", "i64", false), ("abs", "", "i8", false)]
    {
        let (with, without) = ("%y = matmul %x, %w : f32[b, 96]\nreturn %y, %i", "return %i, %x");
        assert_eq!(optimized(kind, to, element, with).expect("the product has a weight in floats"), 1, "{kind} {to}");
        match optimized(kind, to, element, without) {
            Ok(count) => assert!(count == 0 && !is_quantized, "{kind} {to}"),
            Err(error) => assert!(is_quantized && error.to_string().contains("quantized already"), "{error}"),
        }
    }
}

#[test]
fn quantized_weights_of_narrow_floats() {
    for element in [ElementType::F16, ElementType::BF16] {
        for (case, inputs, rest) in CASES {
            for target in [Target::ORT, Target::TRACT, Target::ONNX] {
                for scheme in [Scheme::Int4, Scheme::Int8, Scheme::Int8Dynamic, Scheme::Uint8Dynamic] {
                    let mut model = model(inputs, &body(rest), 21);
                    let precision = Precision::new(element).expect("it is a float");
                    let options = options(target, Quantization::new(scheme)).with_precision(precision.clone());
                    let report = passes::optimize(&mut model, &options);
                    report.unwrap_or_else(|error| panic!("{case}, {target}, {scheme}, {element}: {error}"));
                    let graph = model.graph.clone();
                    let again = Options::for_target(target).with_evaluator(Tract).with_precision(precision);
                    passes::optimize(&mut model, &again).expect("it is optimized");
                    assert_eq!(model.graph, graph, "{case}, {target}, {scheme}, {element}");
                    if target != Target::ORT {
                        continue;
                    }
                    // Products by weights in blocks compute in the narrow type, and have no accuracy level.
                    for id in graph.schedule() {
                        if let Op::Opaque(op) = graph.node(id).op() {
                            assert!(op.attributes.iter().all(|(name, _)| **name != *"accuracy_level"), "{graph}");
                        }
                        let scales = graph.operand(id, 2).filter(|_| matches!(graph.node(id).op(), Op::Opaque(_)));
                        let scales = scales.and_then(|scales| graph.fact(scales).element());
                        assert!(scales.is_none_or(|scales| scales == element), "{case}, {scheme}, {element}\n{graph}");
                    }
                    let is_kept = graph
                        .schedule()
                        .into_iter()
                        .any(|id| matches!(graph.node(id).op(), Op::DequantizeLinear { .. }));
                    assert!(!is_kept, "{case}, {scheme}, {element}\n{graph}");
                }
            }
        }
    }
}

/// tract 0.23.9 takes scales in f32 alone.
#[test]
fn scales_stay_in_f32_where_the_target_takes_no_others() {
    for (case, inputs, rest) in CASES {
        let mut model = model(inputs, &body(rest), 21);
        let precision = Precision::new(ElementType::F16).expect("it is a float");
        let options = options(Target::TRACT, Quantization::new(Scheme::Int8));
        let mut wide = model.clone();
        passes::optimize(&mut wide, &options).expect("it is optimized");
        passes::optimize(&mut model, &options.with_precision(precision)).expect("it is optimized");
        let graph = &model.graph;
        for id in graph.schedule() {
            if matches!(graph.node(id).op(), Op::DequantizeLinear { .. }) {
                let scales = graph.operand(id, 1).and_then(|scales| graph.fact(scales).element());
                assert_eq!(scales, Some(ElementType::F32), "{case}\n{graph}");
            }
        }
        check_near(case, "convert-precision", &wide.graph, graph, 5e-3);
    }
}

/// In bodies, ONNX Runtime multiplies wrongly by weights with scales in f16.
#[test]
fn scales_in_bodies_stay_in_f32() {
    let body = "%y = if %c {then_branch = graph then(; %x: f32[b, 64] = %x) {
          %w = parameter uniform(seed = 1, bound = 0.5) : f32[64, 96]
          %p = matmul %x, %w : f32[b, 96]
          return %p
        }, else_branch = graph else(; %x: f32[b, 64] = %x) {
          %v = parameter uniform(seed = 2, bound = 0.5) : f32[64, 96]
          %q = matmul %x, %v : f32[b, 96]
          return %q
        }} : f32[b, 96]
        return %y";
    let wide = model("%c: bool[1], %x: f32[b, 64]", body, 21);
    let f16 = Precision::new(ElementType::F16).expect("it is a float");
    let mut narrow = wide.clone();
    let options_of_f16 = Options::for_target(Target::ONNX).with_evaluator(Tract).with_precision(f16.clone());
    passes::optimize(&mut narrow, &options_of_f16).expect("it is converted");
    for scheme in [Scheme::Int4, Scheme::Int8] {
        let quantized = options(Target::ONNX, Quantization::new(scheme));
        let cases = [("f32", &wide, quantized.clone().with_precision(f16.clone())), ("f16", &narrow, quantized)];
        for (case, model, options) in cases {
            let mut model = model.clone();
            passes::optimize(&mut model, &options).expect("it is optimized");
            let text = model.graph.to_string();
            let is_in_f32 = |line: &&str| line.contains("= dequantize_linear") && line.ends_with(": f32[64, 96]");
            assert_eq!(text.lines().filter(is_in_f32).count(), 2, "{case}, {scheme}\n{text}");
            assert_eq!(text.matches("= matmul").count(), 2, "{case}, {scheme}\n{text}");
            assert_eq!(text.matches(": f16[b, 96]").count(), 3, "{case}, {scheme}\n{text}");
            check_second_run(case, Target::ONNX, &model);
        }
    }
}

/// tract dequantizes once what it folds; a second run changes nothing.
#[test]
fn large_weights_are_dequantized_in_pieces() {
    let mut target = Target::TRACT;
    // 16 rows, of which the last piece has 12 or less.
    target.weights.folded = Some(16 * 96);
    let mut text = String::new();
    for (case, inputs, rest) in CASES {
        for symmetric in [true, false] {
            let model = model(inputs, &body(rest), 21);
            let quantization = || Quantization::new(Scheme::Int8).with_symmetric(symmetric);
            let [mut whole, mut in_pieces] = [model.clone(), model];
            passes::optimize(&mut whole, &options(Target::TRACT, quantization())).expect("it is optimized");
            let before = whole.graph.to_string();
            passes::optimize(&mut in_pieces, &options(target, quantization())).expect("it is optimized");
            if symmetric {
                writeln!(text, "{case}\n{}", passes::diff(&before, &in_pieces.graph.to_string())).expect("text grows");
            }
            check_near(case, "quantize-weights", &whole.graph, &in_pieces.graph, 1e-6);
            check_second_run(case, target, &in_pieces);
        }
    }
    snapshot("passes", "quantized_in_pieces", &text);
}

/// Scales in f16 need opset 19.
#[test]
fn old_opsets_keep_narrow_weights() {
    let rest = "%n = parameter cast(f32[64, 96] uniform(seed = 3, bound = 0.5)) : f16[64, 96]
                %y = matmul %x, %n : f16[b, 96]
                return %y";
    for (opset, count) in [(17, 0), (19, 1)] {
        let mut model = model("%x: f16[b, 64]", rest, opset);
        let report = passes::optimize(&mut model, &options(Target::TRACT, Quantization::new(Scheme::Int8)));
        let report = report.expect("it is optimized");
        assert_eq!(report.quantized.len(), count, "{opset}: {:?}", report.declined);
    }
}

#[test]
fn weights_of_functions_stay() {
    let mut model = model("%x: f32[b, 64]", &body("%y = \"my::F@1\" %x, %w : f32[b, 96]\nreturn %y"), 21);
    let text = "g(%a: f32[b, 64], %b: f32[64, 96]) {\n%p = \"::MatMul@21\" %a, %b : f32[b, 96]\nreturn %p\n}";
    model.functions.push(Function {
        domain: "my".into(),
        name: "F".into(),
        overload: "".into(),
        graph: parse(text).unwrap_or_else(|error| panic!("{error}")),
        attributes: vec![],
        defaults: vec![],
        opsets: model.opsets.clone(),
        notes: Notes::default(),
    });
    let report = passes::optimize(&mut model, &options(Target::ORT, Quantization::new(Scheme::Int4)));
    let declined = report.expect("it is optimized").declined;
    let expected = "quantize-weights: %w: the weight stays in floats: the function F has it; --inline-functions helps";
    assert!(declined.iter().any(|event| event.to_string() == expected), "{declined:?}");
}

/// The tensors of the weights of a graph, in program order.
fn weights(graph: &Graph) -> Vec<Tensor> {
    let tensors = graph.schedule().into_iter().filter_map(|id| graph.node(id).op().tensor().cloned());
    tensors.filter(|tensor| tensor.dims().len() >= 2 && tensor.element() == ElementType::F32).collect()
}

#[test]
fn weights_become_floats_again() {
    let mut text = String::new();
    for (case, inputs, rest) in CASES.into_iter().filter(|(case, ..)| *case != "half_precision") {
        for target in Target::ALL {
            for scheme in [Scheme::Int4, Scheme::Int8, Scheme::Int8Dynamic, Scheme::Uint8Dynamic] {
                for symmetric in [true, false] {
                    let quantization = Quantization::new(scheme).with_symmetric(symmetric);
                    let mut model = model(inputs, &body(rest), 21);
                    let report = passes::optimize(&mut model, &options(target, quantization)).expect("it is optimized");
                    let before = model.graph.to_string();
                    let back = Options::for_target(target).with_evaluator(Tract).with_dequantize(true);
                    let again = passes::optimize(&mut model, &back).expect("it is optimized");
                    // Rows that are not whole blocks, and kernels of convolutions, stay.
                    let declined = lines("declined", &again.declined);
                    if !declined.is_empty() {
                        writeln!(text, "{case}, {target}, {scheme}, symmetric = {symmetric}\n{declined}")
                            .expect("text grows");
                        continue;
                    }
                    let Some(quantized) = report.quantized.first() else { continue };
                    // A second request is not refused, since nothing is quantized.
                    let other = options(target, Quantization::new(Scheme::None));
                    assert!(
                        passes::optimize(&mut model.clone(), &other).is_ok(),
                        "{case}, {target}, {scheme}\n{}",
                        model.graph
                    );
                    let bytes = |tensor: &Tensor| tensor.to_bytes().expect("it is read");
                    let turned = quantized.after.transposed().expect("it is a matrix");
                    let is_after =
                        |found: &Tensor| [&quantized.after, &turned].iter().any(|after| bytes(found) == bytes(after));
                    let found = weights(&model.graph);
                    assert!(
                        found.iter().any(is_after),
                        "{case}, {target}, {scheme}, {symmetric}\n{before}\n{}",
                        model.graph
                    );
                }
            }
        }
    }
    snapshot("passes", "weights_that_stay@dequantize-weights", &text);
}

#[test]
fn quantized_weights_are_quantized_anew() {
    let (_, inputs, rest) = CASES[0];
    for target in Target::ALL {
        for scheme in [Scheme::Int8, Scheme::Int8Dynamic, Scheme::Uint8Dynamic] {
            let mut model = model(inputs, &body(rest), 21);
            passes::optimize(&mut model, &options(target, Quantization::new(scheme))).expect("it is optimized");
            let again = options(target, Quantization::new(Scheme::Int4)).with_dequantize(true);
            let report = passes::optimize(&mut model, &again).unwrap_or_else(|error| panic!("{target}: {error}"));
            let bits: Vec<u32> = report.quantized.iter().map(|weight| weight.bits).collect();
            assert_eq!(bits, [4], "{target}, {scheme}\n{}", model.graph);
        }
    }
}

#[test]
fn a_pattern_that_matches_a_part_decides_for_the_packed_weight() {
    for (bias, pattern) in [("", "value"), ("_sum", "^key$"), ("_sum", "query"), ("", "packed")] {
        let mut rest = String::new();
        for (at, name) in ["query", "key", "value"].into_iter().enumerate() {
            let product = format!("{name}{bias}");
            writeln!(
                rest,
                "%w.{at} = parameter uniform(seed = {at}, bound = 0.5) : f32[64, 64]
                 %{product} = matmul %x, %w.{at} : f32[b, s, 64]"
            )
            .expect("text grows");
            if !bias.is_empty() {
                writeln!(
                    rest,
                    "%b.{at} = parameter uniform(seed = 1{at}, bound = 0.5) : f32[64]
                     %{name} = add %{product}, %b.{at} : f32[b, s, 64]"
                )
                .expect("text grows");
            }
        }
        rest += "%y = attention %query, %key, %value {kv_num_heads = 2, q_num_heads = 2} : f32[b, s, 64]\nreturn %y";
        let mut model = model("%x: f32[b, s, 64]", &rest, 23);
        let request = Quantization::new(Scheme::Int4).with_override(pattern, Scheme::Int8).expect("it is a pattern");
        let report = passes::optimize(&mut model, &options(Target::ORT, request)).expect("it is optimized");
        let found: Vec<u32> = report.quantized.iter().map(|weight| weight.bits).collect();
        assert_eq!(found, [8], "{pattern}\n{}", model.graph);
    }
}

#[test]
fn weights_beside_quantized_activations_are_quantized() {
    let rest = "%zero = constant 128 : u8[]
        %q = quantize_linear %x, 0.05, %zero : u8[b, s, 64]
        %d = dequantize_linear %q, 0.05, %zero : f32[b, s, 64]
        %y = matmul %d, %w : f32[b, s, 96]
        return %y";
    for target in Target::ALL {
        let mut model = model("%x: f32[b, s, 64]", &body(rest), 21);
        let options = options(target, Quantization::new(Scheme::Int4));
        let report = passes::optimize(&mut model, &options).unwrap_or_else(|error| panic!("{target}: {error}"));
        let bits: Vec<u32> = report.quantized.iter().map(|weight| weight.bits).collect();
        assert_eq!(bits, [4], "{target}\n{}", model.graph);
        let refused = passes::optimize(&mut model, &options).expect_err("no weight is left").to_string();
        assert!(refused.contains("the model is quantized already"), "{target}: {refused}");
    }
}

#[test]
fn weights_that_stay() {
    let mut text = String::new();
    for (case, inputs, rest) in KEPT {
        let mut model = model(inputs, &body(rest), 21);
        passes::optimize(&mut model, &Options::for_target(Target::ORT)).expect("it is optimized");
        let before = model.graph.to_string();
        let report = passes::optimize(&mut model, &options(Target::ORT, Quantization::new(Scheme::Int4)));
        let report = report.unwrap_or_else(|error| panic!("{case}: {error}"));
        assert_eq!(model.graph.to_string(), before, "{case}");
        writeln!(text, "{case}\n{}", lines("declined", &report.declined)).expect("text grows");
    }
    snapshot("passes", "weights_that_stay@quantize-weights", &text);
}

/// A model with one weight of these elements.
fn with_elements(elements: impl Fn(usize) -> f32) -> Model {
    let mut model = model("%x: f32[b, s, 64]", &body("%y = matmul %x, %w : f32[b, s, 96]\nreturn %y"), 21);
    let bytes: Vec<u8> = (0..64 * 96).flat_map(|at| elements(at).to_le_bytes()).collect();
    let tensor = Tensor::from_bytes(ElementType::F32, &[64, 96], bytes).expect("it fits");
    let weight = model.graph.schedule().into_iter().find(|id| model.graph.node(*id).op().tensor().is_some());
    model.graph.set_op(weight.expect("it has a weight"), Op::Parameter(tensor));
    model
}

#[test]
fn elements_that_are_not_finite_are_kept() {
    for element in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
        let mut model = with_elements(|at| if at == 5000 { element } else { 0.25 });
        let before = model.graph.to_string();
        let report = passes::optimize(&mut model, &options(Target::ORT, Quantization::new(Scheme::Int4)));
        let declined = lines("declined", &report.expect("it is optimized").declined);
        assert!(declined.contains("quantize-weights: %w: the weight stays in floats"), "{declined}");
        assert_eq!(model.graph.to_string(), before);
    }
}

/// The last block of a row that a product sums over may be shorter, and be the only one. Tables are looked up in whole
/// blocks.
#[test]
fn rows_that_are_not_whole_blocks() {
    for row in [16, 40, 100] {
        for (at, size) in [16, 32, 64, 128].into_iter().enumerate() {
            for scheme in [Scheme::Int4, Scheme::Int8] {
                let case = format!("{row}, {size}, {scheme}");
                let weight = |dims: [u64; 2]| format!("%w = parameter uniform(seed = 1, bound = 0.5) : f32{dims:?}");
                let quantization = Quantization::new(scheme).with_symmetric(at % 2 == 0);
                let quantization = quantization.with_block_size(size).expect("it is a size");
                let options = options(Target::ORT, quantization);
                let product = format!("{}\n%y = matmul %x, %w : f32[b, 300]\nreturn %y", weight([row, 300]));
                let original = model(&format!("%x: f32[b, {row}]"), &product, 21);
                let mut quantized = original.clone();
                let report = passes::optimize(&mut quantized, &options).expect("it is optimized");
                let [weight_after] = report.quantized.as_slice() else { panic!("{case}: {:?}", report.declined) };
                let (mut floats, after) = (original.graph, weight_after.after.transposed().expect("it is a matrix"));
                let id = floats.schedule().into_iter().find(|id| floats.node(*id).op().tensor().is_some());
                floats.set_op(id.expect("it has a weight"), Op::Parameter(after));
                // tract has no MatMulNBits of 8 bits.
                if scheme == Scheme::Int4 {
                    check_near(&case, "quantize-weights", &floats, &quantized.graph, 1e-3);
                }

                let lookup =
                    format!("{}\n%y = gather %w, %x {{axis = 0}} : f32[b, {row}]\nreturn %y", weight([300, row]));
                let report =
                    passes::optimize(&mut model("%x: i64[b]", &lookup, 21), &options).expect("it is optimized");
                let declined = lines("declined", &report.declined);
                let is_whole = row % 16 == 0;
                let why = if is_whole { "" } else { "elements are not whole blocks of 16 or more" };
                assert_eq!(report.quantized.len(), usize::from(is_whole), "{case}: {declined}");
                assert!(declined.contains(why), "{case}: {declined}");
            }
        }
    }
    let mut model = model("%ids: i64[b]", &body("%y = gather %w, %ids : f32[b, 96]\nreturn %y"), 21);
    let quantization = Quantization::new(Scheme::Int4).with_symmetric(false);
    let report = passes::optimize(&mut model, &options(Target::TRACT, quantization)).expect("it is optimized");
    let declined = lines("declined", &report.declined);
    assert!(declined.contains("tract does not look up rows of an odd number of blocks with zero points"), "{declined}");
}

/// tract 0.23.9 would reshape the blocks together with the heads.
#[test]
fn products_of_merged_heads_in_tract() {
    let body = "%w = parameter uniform(seed = 1, bound = 0.5) : f32[64, 64]
        %a = attention %x, %x, %x {kv_num_heads = 4, q_num_heads = 4} : f32[b, s, 64]
        %y = matmul %a, %w : f32[b, s, 64]
        return %y";
    for is_symmetric in [true, false] {
        let mut quantized = model("%x: f32[b, s, 64]", body, 23);
        let quantization = Quantization::new(Scheme::Int4).with_symmetric(is_symmetric);
        let report = passes::optimize(&mut quantized, &options(Target::TRACT, quantization)).expect("it is optimized");
        assert_eq!(report.quantized.len(), 1, "{}", lines("declined", &report.declined));
        assert!(quantized.graph.to_string().contains("separated"), "{}", quantized.graph);
        check_second_run("merged heads", Target::TRACT, &quantized);
        let mut floats = quantized.clone();
        let dequantize = Options::for_target(Target::TRACT).with_dequantize(true);
        passes::optimize(&mut floats, &dequantize).expect("it is optimized");
        assert!(!floats.graph.to_string().contains("= cast"), "{}", floats.graph);
        let folder = tempfile::tempdir().expect("a folder");
        let paths = [("quantized.onnx", &quantized), ("floats.onnx", &floats)].map(|(name, model)| {
            let path = folder.path().join(name);
            onnx::write(model, &path, &onnx::WriteOptions::default()).expect("it is written");
            path
        });
        let options = netwright::verify::Options::default().with_tolerance(1e-3);
        let verdict = netwright::verify::verify(&paths[0], Some(&paths[1]), &options).expect("it is judged");
        assert!(matches!(verdict, netwright::verify::Verdict::Equal { .. }), "{verdict:?}");
    }
}

/// Only the first rows of weights that are not checked are read before they are written.
#[test]
fn weights_that_are_not_checked() {
    let (rows, columns) = (512, 96);
    let product = ("%x: f32[b, 512]", "%y = matmul %x, %w : f32[b, 96]");
    let gemm = ("%x: f32[b, 96]", "%y = gemm %x, %w {alpha = 0.5, transB = true} : f32[b, 512]");
    for (last, scales, is_quantized) in [
        (0.25, ElementType::F32, true),
        (f32::NAN, ElementType::F32, false),
        (f32::NEG_INFINITY, ElementType::F32, false),
        (3e38, ElementType::F32, false),
        (-1.6e38, ElementType::F32, true),
        (1e7, ElementType::F16, false),
        (1e5, ElementType::F16, true),
    ] {
        for ((inputs, rest), scheme) in [(product, Scheme::Int4), (gemm, Scheme::Int4), (product, Scheme::Int8Dynamic)]
        {
            let case = format!("{last}, {scales}, {scheme}, {rest}");
            let weight = format!("%w = parameter uniform(seed = 1, bound = 0.5) : f32[{rows}, {columns}]");
            let model = model(inputs, &format!("{weight}\n{rest}\nreturn %y"), 21);
            let count = rows * columns;
            let bytes: Vec<u8> =
                (0..count).flat_map(|at| if at + 1 == count { last } else { 0.25_f32 }.to_le_bytes()).collect();
            let tensor = Tensor::from_bytes(ElementType::F32, &[rows, columns], bytes).expect("it fits");
            let written = |is_checked| {
                let mut model = model.clone();
                let id = model.graph.schedule().into_iter().find(|id| model.graph.node(*id).op().tensor().is_some());
                model.graph.set_op(id.expect("it has a weight"), Op::Parameter(tensor.clone()));
                let quantization = Quantization::new(scheme).with_scales(scales).with_checked_weights(is_checked);
                let report =
                    passes::optimize(&mut model, &options(Target::ORT, quantization)).expect("it is optimized");
                (report.quantized.len(), onnx::to_bytes(&model))
            };
            let (quantized, checked) = written(true);
            let checked = checked.unwrap_or_else(|error| panic!("{case}: {error}"));
            assert_eq!(quantized, usize::from(is_quantized), "{case}");
            match written(false) {
                (1, Ok(bytes)) => assert!(is_quantized && bytes == checked, "{case}"),
                (1, Err(error)) => assert!(!is_quantized && error.is_of_conversion(), "{case}: {error}"),
                _ => panic!("{case}: the weight was read as a whole"),
            }
        }
    }
}

#[test]
fn elements_that_are_too_large_or_too_small_are_kept() {
    let schemes = [Scheme::Int4, Scheme::Int8, Scheme::Int8Dynamic, Scheme::Uint8Dynamic];
    let cases = [
        (f32::MIN, ElementType::F32, false),
        (3e38, ElementType::F32, false),
        (-1.7e38, ElementType::F32, true),
        (1e-30, ElementType::F32, true),
        (1e-5, ElementType::F16, false),
        (1e-5, ElementType::BF16, true),
        (0.0, ElementType::F16, true),
    ];
    for ((largest, scales, is_quantized), scheme) in cases.into_iter().flat_map(|case| schemes.map(|s| (case, s))) {
        for symmetric in [true, false] {
            let case = format!("{largest}, {scales}, {scheme}, {symmetric}");
            let mut model = with_elements(|at| largest * [1.0, -0.9, 0.3, 0.0][at % 4]);
            let quantization = Quantization::new(scheme).with_symmetric(symmetric).with_scales(scales);
            let report = passes::optimize(&mut model, &options(Target::ORT, quantization)).expect("it is optimized");
            let declined = lines("declined", &report.declined);
            assert_eq!(declined.contains("%w: the weight stays in floats"), !is_quantized, "{case}: {declined}");
            assert_eq!(report.quantized.len(), usize::from(is_quantized), "{case}");
            for weight in report.quantized {
                let bytes = weight.after.to_bytes().unwrap_or_else(|error| panic!("{case}: {error}"));
                let floats = bytes.as_chunks::<4>().0.iter().map(|float| f32::from_le_bytes(*float));
                assert!(floats.into_iter().all(f32::is_finite), "{case}");
            }
        }
    }
}

#[test]
fn error_of_a_weight() {
    let run = |elements: &dyn Fn(usize) -> f32, quantization: Quantization| {
        let mut model = with_elements(elements);
        let report = passes::optimize(&mut model, &options(Target::ORT, quantization)).expect("it is optimized");
        report.quantized[0].relative_error().expect("it is read")
    };
    let int4 = || Quantization::new(Scheme::Int4);
    assert_eq!(run(&|_| 0.0, int4()).to_bits(), 0.0_f64.to_bits());
    let wave = |at: usize| (at as f32).sin();
    let [nearest, search] =
        [Rounding::Nearest, Rounding::Search].map(|rounding| run(&wave, int4().with_rounding(rounding)));
    assert!(0.03 < search && search < nearest && nearest < 0.12, "{search} {nearest}");
    assert!(run(&wave, Quantization::new(Scheme::Int8)) < 0.01);
    assert!(run(&wave, int4().with_symmetric(false).with_rounding(Rounding::Nearest)) < nearest);
}

#[test]
fn rows_of_8_bits_are_reported() {
    for (case, expected) in
        [("embedding", "int8, 8 bits"), ("tied_head", "; rows that are looked up are a copy of 8 bits")]
    {
        let (_, inputs, rest) = CASES.into_iter().find(|(name, ..)| *name == case).expect("it is a case");
        let mut model = model(inputs, &body(rest), 21);
        let report = passes::optimize(&mut model, &options(Target::ONNX, Quantization::new(Scheme::Int4)));
        let applied = lines("applied", &report.expect("it is optimized").applied);
        assert!(applied.contains(expected), "{case}: {applied}");
    }
}

#[test]
fn packed_weight_is_named() {
    let rest = "%k = parameter uniform(seed = 3, bound = 0.5) : f32[64, 96]
        %a = matmul %x, %w : f32[b, s, 96]
        %c = matmul %x, %k : f32[b, s, 96]
        %y = attention %a, %c, %c {kv_num_heads = 2, q_num_heads = 2} : f32[b, s, 96]
        return %y";
    let mut model = model("%x: f32[b, s, 64]", &body(rest), 21);
    let named = Quantization::new(Scheme::Int4).with_override("^k$", Scheme::Int8).expect("it is a pattern");
    let error = passes::optimize(&mut model, &options(Target::ORT, named)).expect_err("it is packed").to_string();
    assert!(error.contains("is packed with others or rewritten\n  help: the nearest names are a.packed"), "{error}");
}

#[test]
fn overrides_by_name() {
    let rest = "%other = parameter uniform(seed = 3, bound = 0.5) : f32[96, 64]
        %a = matmul %x, %w : f32[b, s, 96]
        %y = matmul %a, %other : f32[b, s, 64]
        return %y";
    let run = |scheme: Scheme, overrides: &[(&str, Scheme)]| {
        let mut quantization = Quantization::new(scheme);
        for (pattern, scheme) in overrides {
            quantization = quantization.with_override(pattern, *scheme).expect("it is a pattern");
        }
        let mut model = model("%x: f32[b, s, 64]", &body(rest), 21);
        let report =
            passes::optimize(&mut model, &options(Target::ORT, quantization)).map_err(|error| error.to_string())?;
        Ok(report.quantized.iter().map(|weight| format!("{} {}", weight.name, weight.scheme)).collect::<Vec<_>>())
    };
    assert_eq!(run(Scheme::Int4, &[]), Ok(vec!["w int4".to_owned(), "other int4".to_owned()]));
    assert_eq!(run(Scheme::Int4, &[("oth", Scheme::None)]), Ok(vec!["w int4".to_owned()]));
    assert_eq!(run(Scheme::None, &[("^w$", Scheme::Int8)]), Ok(vec!["w int8".to_owned()]));
    assert_eq!(run(Scheme::None, &[("%w", Scheme::Int8)]), Ok(vec!["w int8".to_owned()]));
    // By the name of the product.
    assert_eq!(run(Scheme::None, &[("^a$", Scheme::Int8)]), Ok(vec!["w int8".to_owned()]));
    let last = [("w", Scheme::Int8), (".", Scheme::Int4)];
    assert_eq!(run(Scheme::None, &last), Ok(vec!["w int4".to_owned(), "other int4".to_owned()]));
    assert_eq!(
        run(Scheme::None, &[("othr", Scheme::Int8)]),
        Err("the weights cannot be quantized: the pattern `othr` matches no weight\n  help: the nearest names are other, a, w".to_owned())
    );
}

#[test]
fn requests_that_are_refused() {
    let refusal = |target: Target, opset: i64, quantization: Quantization| {
        let mut model = model("%x: f32[b, s, 64]", &body("%y = matmul %x, %w : f32[b, s, 96]\nreturn %y"), opset);
        let options = options(target, quantization).with_raise_opset(false);
        passes::optimize(&mut model, &options).err().map(|error| error.to_string())
    };
    let int4 = || Quantization::new(Scheme::Int4);
    let wide = || int4().with_block_size(64).expect("it is a size");
    assert_eq!(refusal(Target::ORT, 13, wide()), None);
    assert_eq!(refusal(Target::TRACT, 13, int4()), None);
    let expected = "the weights cannot be quantized: tract keeps weights of 4 bits only in blocks of 32, not 64\n  help: use \
                    --block-size 32, or another target";
    assert_eq!(refusal(Target::TRACT, 21, wide()).as_deref(), Some(expected));
    let expected = "the weights cannot be quantized: int4 requires opset 21 for the target onnx, but the model has opset \
                    20\n  help: use --opset 21, --target ort, or int8-dynamic";
    assert_eq!(refusal(Target::ONNX, 20, int4()).as_deref(), Some(expected));
    let size = int4().with_block_size(33).map(|_| ()).expect_err("it is not a size").to_string();
    assert_eq!(size, "the block size must be 16, 32, 64 or 128, but is 33");
    let pattern = int4().with_override("a(b", Scheme::Int8).map(|_| ()).expect_err("it is not closed").to_string();
    assert_eq!(pattern, "`a(b` is not a regular expression: unclosed group");
    let scheme = "int3".parse::<Scheme>().expect_err("it is not a scheme").to_string();
    assert_eq!(scheme, "`int3` is not a scheme: did you mean `int4`?");
}

/// A graph without weights is none that can be quantized.
#[test]
fn model_without_weights() {
    let quantization = Quantization::new(Scheme::Int4);
    let report = passes::optimize(&mut Model::new(Graph::new("g")), &options(Target::ORT, quantization.clone()));
    assert_eq!(report.expect("it is optimized").quantized, []);
    let named = quantization.with_override("w", Scheme::Int8).expect("it is a pattern");
    let error =
        passes::optimize(&mut Model::new(Graph::new("g")), &options(Target::ORT, named)).expect_err("nothing matches");
    assert!(error.to_string().ends_with("help: the model has no weights that can be quantized"), "{error}");
}
