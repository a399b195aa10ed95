//! Conversion to another float type: the diff, what stays in `f32` and why, and the changes of inputs and outputs.

use super::{check_near, common, lines, model};
use netwright::ir::{Detail, ElementType, Graph, Model, Name, Op, OpKind, Tensor, parse};
use netwright::onnx::{self, ReadOptions, WriteOptions};
use netwright::passes::sites::sites;
use netwright::passes::{Event, Options, Precision, PrecisionError, Target, calibrated, diff, optimize};
use std::path::Path;

pub(super) fn to(element: ElementType) -> Precision {
    Precision::new(element).unwrap_or_else(|error| panic!("{error}"))
}

pub(super) fn graph(inputs: &str, body: &str) -> Graph {
    let text = format!("g({inputs}) {{\n{body}\n}}");
    parse(&text).unwrap_or_else(|error| panic!("{error} in\n{text}"))
}

/// Only the conversion runs: the diff is its own.
pub(super) fn options(precision: Precision) -> Options {
    Options::for_target(Target::ONNX).with_only(Vec::<String>::new()).with_precision(precision)
}

/// The diff and what is reported; converting again changes nothing.
pub(super) fn check(case: &str, precision: Precision, graph: &Graph) -> Graph {
    let options = options(precision);
    let mut converted = model(graph);
    let report = optimize(&mut converted, &options).unwrap_or_else(|error| panic!("{case}: {error}"));
    let text = diff(&graph.to_string(), &converted.graph.to_string());
    let said =
        [lines("applied", &report.applied), lines("changed", &report.interface), lines("declined", &report.declined)];
    common::snapshot("passes", &format!("{case}@convert-precision"), &(text + &said.concat()));
    let mut again = converted.clone();
    let second = optimize(&mut again, &options).unwrap_or_else(|error| panic!("{case}: {error}"));
    assert_eq!((second.applied, &again.graph), (vec![], &converted.graph), "{case}: once is enough");
    assert_eq!(parse(&converted.graph.to_text(Detail::Full)).as_ref(), Ok(&converted.graph), "{case}");
    converted.graph
}

pub(super) const INPUTS: &str = "%x: f32[b, s, 4], %ids: i64[b, s], %keep: bool[b, s]";

/// Situations in `f16`: the name and the body of the graph.
const CASES: [(&str, &str); 17] = [
    (
        "row_hidden_in_scores_of_another_domain",
        "%near = tanh %x : f32[b, s, 4]
         %scores = \"com.microsoft::FusedMatMul@1\" %near, %near {alpha = 0.5, transB = 1} : f32[b, s, s]
         %hidden = where %keep, 0.0, -10000.0 : f32[b, s]
         %row = unsqueeze %hidden, [1] : f32[b, 1, s]
         %masked = add %scores, %row : f32[b, s, s]
         %y = softmax %masked {axis = -1} : f32[b, s, s]
         return %y",
    ),
    (
        "row_hidden_in_quantized_scores",
        "%near = tanh %x : f32[b, s, 4]
         %columns = transpose %near {perm = [0, 2, 1]} : f32[b, 4, s]
         %scores = matmul %near, %columns : f32[b, s, s]
         %zero = parameter 0 : i8[]
         %codes = quantize_linear %scores, 0.05, %zero : i8[b, s, s]
         %numbers = dequantize_linear %codes, 0.05, %zero : f32[b, s, s]
         %hidden = where %keep, 0.0, -10000.0 : f32[b, s]
         %row = unsqueeze %hidden, [1] : f32[b, 1, s]
         %masked = add %numbers, %row : f32[b, s, s]
         %y = softmax %masked {axis = -1} : f32[b, s, s]
         return %y",
    ),
    (
        "angles_of_an_input",
        "%w = parameter [1.0, 0.6, 0.36, 0.22] : f32[4]
         %column = unsqueeze %x, [2] : f32[b, s, 1, 4]
         %angle = mul %column, %w : f32[b, s, 1, 4]
         %sine = sin %angle : f32[b, s, 1, 4]
         %cosine = cos %angle : f32[b, s, 1, 4]
         %y = concat %sine, %cosine {axis = -1} : f32[b, s, 1, 8]
         return %y",
    ),
    (
        "one_cast_for_several_readers",
        "%w = parameter [0.5, 0.25, 1.0, 2.0] : f32[4]
         %a = mul %x, %w : f32[b, s, 4]
         %b = add %a, %x : f32[b, s, 4]
         %c = sigmoid %b : f32[b, s, 4]
         return %c, %a",
    ),
    (
        "decomposed_norm",
        "%w = parameter [0.5, 0.25, 1.0, 2.0] : f32[4]
         %h = relu %x : f32[b, s, 4]
         %mean = reduce_mean %h, [-1] : f32[b, s, 1]
         %centered = sub %h, %mean : f32[b, s, 4]
         %squares = mul %centered, %centered : f32[b, s, 4]
         %variance = reduce_mean %squares, [-1] : f32[b, s, 1]
         %shifted = add %variance, 1e-12 : f32[b, s, 1]
         %deviation = sqrt %shifted : f32[b, s, 1]
         %normal = div %centered, %deviation : f32[b, s, 4]
         %y = mul %normal, %w : f32[b, s, 4]
         %z = add %h, %y : f32[b, s, 4]
         %r = relu %z : f32[b, s, 4]
         return %r",
    ),
    (
        "mask_that_a_condition_chooses",
        "%mask = where %keep, 0.0, -1e9 : f32[b, s]
         %row = unsqueeze %mask, [2] : f32[b, s, 1]
         %masked = add %x, %row : f32[b, s, 4]
         %y = softmax %masked {axis = 1} : f32[b, s, 4]
         return %y",
    ),
    (
        "mask_that_is_computed",
        "%number = cast %ids {to = f32} : f32[b, s]
         %hidden = sub 1.0, %number : f32[b, s]
         %mask = mul %hidden, -3.4028235e38 : f32[b, s]
         %row = unsqueeze %mask, [2] : f32[b, s, 1]
         %masked = add %x, %row : f32[b, s, 4]
         %y = softmax %masked {axis = 1} : f32[b, s, 4]
         return %y",
    ),
    (
        "flags_times_a_large_number",
        "%flag = cast %keep {to = f32} : f32[b, s]
         %hidden = sub 1.0, %flag : f32[b, s]
         %mask = mul %hidden, -1e9 : f32[b, s]
         %row = unsqueeze %mask, [2] : f32[b, s, 1]
         %y = add %x, %row : f32[b, s, 4]
         return %y",
    ),
    (
        "angles_of_positions",
        "%frequency = parameter [1.0, 0.5, 0.25, 0.125] : f32[4]
         %position = cast %ids {to = f32} : f32[b, s]
         %column = unsqueeze %position, [2] : f32[b, s, 1]
         %angle = mul %column, %frequency : f32[b, s, 4]
         %cosine = cos %angle : f32[b, s, 4]
         %turned = mul %x, %cosine : f32[b, s, 4]
         return %turned",
    ),
    (
        "constant_rounded_to_0",
        "%size = abs %x : f32[b, s, 4]
         %least = max %size, 1e-12 : f32[b, s, 4]
         %y = div %x, %least : f32[b, s, 4]
         %z = relu %y : f32[b, s, 4]
         return %z",
    ),
    (
        "exponentials",
        "%large = exp %x : f32[b, s, 4]
         %gate = add %large, 1.0 : f32[b, s, 4]
         %curve = log %gate : f32[b, s, 4]
         %bounded = tanh %curve : f32[b, s, 4]
         %y = mul %x, %bounded : f32[b, s, 4]
         return %y",
    ),
    (
        "cast_in_the_model",
        "%h = relu %x : f32[b, s, 4]
         %narrow = cast %h {to = f16} : f16[b, s, 4]
         %t = tanh %narrow : f16[b, s, 4]
         %wide = cast %t {to = f32} : f32[b, s, 4]
         %y = add %wide, %h : f32[b, s, 4]
         return %y",
    ),
    (
        "weight_in_two_types",
        "%w = parameter [0.5, 0.25, 1.0, 2.0] : f32[4]
         %a = mul %x, %w : f32[b, s, 4]
         %large = exp %w : f32[4]
         %y = mul %a, %large : f32[b, s, 4]
         return %y",
    ),
    (
        "shapes_of_floats",
        "%size = shape %x : i64[3]
         %a = tanh %x : f32[b, s, 4]
         %flat = reshape %a, [-1] : f32[4 * b * s]
         %y = reshape %flat, %size : f32[b, s, 4]
         return %y",
    ),
    (
        "operator_of_unknown_types",
        "%h = relu %x : f32[b, s, 4]
         %o = \"my.domain::Frob@1\" %h : f32[b, s, 4]
         %y = tanh %o : f32[b, s, 4]
         return %y",
    ),
    (
        "random_numbers",
        "%noise = random_uniform_like %x : f32[b, s, 4]
         %y = add %x, %noise : f32[b, s, 4]
         %z = relu %y : f32[b, s, 4]
         return %z",
    ),
    (
        "results_that_are_not_floats",
        "%h = relu %x : f32[b, s, 4]
         %best = arg_max %h {axis = 2} : i64[b, s, 1]
         %more = greater %h, 0.5 : bool[b, s, 4]
         return %best, %more",
    ),
];

#[test]
fn what_is_converted_and_what_stays() {
    for (case, body) in CASES {
        check(case, to(ElementType::F16), &graph(INPUTS, body));
    }
}

#[test]
fn converted_graphs_are_near() {
    for (case, body) in CASES {
        // tract has no FusedMatMul and does not quantize f16. The ids of a computed mask are 0 and 1 in models, and any
        // number here; another returns the number that hides.
        let is_judged = !matches!(
            case,
            "operator_of_unknown_types"
                | "row_hidden_in_scores_of_another_domain"
                | "row_hidden_in_quantized_scores"
                | "random_numbers"
                | "results_that_are_not_floats"
                | "mask_that_is_computed"
                | "flags_times_a_large_number"
        );
        if is_judged {
            let original = graph(INPUTS, body);
            let mut converted = model(&original);
            let report = optimize(&mut converted, &options(to(ElementType::F16)));
            report.unwrap_or_else(|error| panic!("{case}: {error}"));
            check_near(case, "convert-precision", &original, &converted.graph, 1e-2);
        }
    }
}

#[test]
fn types_of_inputs_and_outputs() {
    let inputs = "%past: f32[b, p, 4], %x: f32[b, s, 4]";
    let body = "%present = concat %past, %x {axis = 1} : f32[b, p + s, 4]
                %y = tanh %present : f32[b, p + s, 4]
                return %y, %present";
    let original = graph(inputs, body);
    let f16 = ElementType::F16;
    let cache = to(f16).with_io_type_of("^(past|present)", f16).unwrap_or_else(|error| panic!("{error}"));
    check("cache_in_f16", cache, &original);
    let all = to(f16).with_io_type(f16).and_then(|all| all.with_io_type_of("^y$", ElementType::F32));
    check("one_output_in_f32", all.unwrap_or_else(|error| panic!("{error}")), &original);
    let kept = to(f16).with_kept_f32("^y$").unwrap_or_else(|error| panic!("{error}"));
    check("kept_as_requested", kept, &original);
}

/// The operator that computes the output is not known, and the type of the output only declared.
#[test]
fn types_of_outputs_that_are_declared() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/interop/user_models/label_encoder_identity.onnx");
    let mut model = onnx::read(&path, &ReadOptions::default()).unwrap_or_else(|error| panic!("{error}"));
    let f16 = to(ElementType::F16).with_io_type(ElementType::F16).unwrap_or_else(|error| panic!("{error}"));
    optimize(&mut model, &Options::for_target(Target::ONNX).with_precision(f16))
        .unwrap_or_else(|error| panic!("{error}"));
    let output = model.graph.outputs()[0].value;
    assert_eq!(model.graph.fact(output).element(), Some(ElementType::F16), "{}", model.graph);
}

#[test]
fn bodies() {
    let inputs = "%c: bool[], %n: i64[], %x: f32[b, s, 4]";
    for (case, body) in [
        (
            "branches_agree_on_a_type",
            "%w = parameter [0.5, 0.25, 1.0, 2.0] : f32[4]
             %y = if %c {then_branch = graph then(; %h: f32[b, s, 4] = %x, %v: f32[4] = %w) {
               %p = mul %h, %v : f32[b, s, 4]
               return y = %p
             }, else_branch = graph else(; %h: f32[b, s, 4] = %x) {
               %q = exp %h : f32[b, s, 4]
               return y = %q
             }} : f32[b, s, 4]
             %z = relu %y : f32[b, s, 4]
             return %z",
        ),
        (
            "state_of_a_loop",
            "%w = parameter [0.5, 0.25, 1.0, 2.0] : f32[4]
             %h = relu %x : f32[b, s, 4]
             %y, %all = loop %n, %c, %h {body = graph step(%i: i64[], %on: bool[], %v: f32[b, s, 4]; %k: f32[4] = %w) {
               %p = mul %v, %k : f32[b, s, 4]
               %t = tanh %p : f32[b, s, 4]
               return %on, %t, all = %t
             }} : f32[b, s, 4], f32[?, b, s, 4]
             %z = relu %y : f32[b, s, 4]
             return %z, %all",
        ),
        (
            "weight_that_a_branch_returns",
            "%w = parameter [0.5, 0.25, 1.0, 2.0] : f32[4]
             %y, %v = if %c {then_branch = graph then(; %h: f32[b, s, 4] = %x, %k: f32[4] = %w) {
               %p = mul %h, %k : f32[b, s, 4]
               return y = %p, v = %k
             }, else_branch = graph else(; %h: f32[b, s, 4] = %x) {
               %k = parameter [1.0, 2.0, 3.0, 4.0] : f32[4]
               %e = exp %k : f32[4]
               %q = mul %h, %e : f32[b, s, 4]
               return y = %q, v = %k
             }} : f32[b, s, 4], f32[4]
             return %y, %v",
        ),
    ] {
        let original = graph(inputs, body);
        check(case, to(ElementType::F16), &original);
        // A file declares the types of what branches return.
        let folder = tempfile::tempdir().unwrap_or_else(|error| panic!("{error}"));
        let path = folder.path().join("model.onnx");
        let written = |model: &Model| {
            onnx::write(model, &path, &WriteOptions::default()).unwrap_or_else(|error| panic!("{case}: {error}"));
            onnx::read(&path, &ReadOptions::default()).unwrap_or_else(|error| panic!("{case}: {error}"))
        };
        let mut declared = written(&model(&original));
        optimize(&mut declared, &options(to(ElementType::F16))).unwrap_or_else(|error| panic!("{case}: {error}"));
        let again = written(&declared);
        assert_eq!(again.warnings.len(), 0, "{case}: {:?}", again.warnings);
    }
}

/// The largest number of a weight decides, and a bias is added to larger numbers.
#[test]
fn weights_that_vanish() {
    let gemm = "%c = parameter [1e-39, 0.0] : f32[2]\n%y = gemm %x, %w, %c : f32[n, 2]";
    let gather = "%y = gather %w, %ids {axis = 0} : f32[n, 2]";
    let einsum = "%a = parameter [1.0, 2.0, 3.0, 4.0] : f32[2, 2]
                  %y = einsum %x, %a, %w {equation = \"nk,kj,jm->nm\"} : f32[n, 2]";
    let (f16, bf16) = (ElementType::F16, ElementType::BF16);
    for (kind, product, element, largest, expected) in [
        (OpKind::Gemm, gemm, f16, 1e-31, true),
        (OpKind::Gemm, gemm, f16, 6e-5, true),
        (OpKind::Gemm, gemm, f16, 6.2e-5, false),
        (OpKind::Gemm, gemm, f16, 0.0, false),
        (OpKind::Gather, gather, f16, 6e-5, true),
        (OpKind::Gather, gather, f16, 6.2e-5, false),
        (OpKind::Einsum, einsum, f16, 6e-5, true),
        (OpKind::Einsum, einsum, f16, 6.2e-5, false),
        (OpKind::Gemm, gemm, bf16, 1.1e-38, true),
        (OpKind::Gemm, gemm, bf16, 1.2e-38, false),
    ] {
        let case = format!("{kind:?} of {largest} in {element}");
        let body = format!(
            "%w = parameter [0.0, {largest:?}, -{largest:?}, 0.0] : f32[2, 2]
             {product}
             %z = relu %y : f32[n, 2]
             return %z"
        );
        let original = graph(if kind == OpKind::Gather { "%ids: i64[n]" } else { "%x: f32[n, 2]" }, &body);
        let mut converted = model(&original);
        let report = optimize(&mut converted, &options(to(element))).unwrap_or_else(|error| panic!("{case}: {error}"));
        let why = format!("%w has no number of a magnitude above {largest:.1e}, which loses digits in {element}");
        let is_kept = report.declined.iter().any(|event| event.note.contains(&why));
        assert_eq!(is_kept, expected, "{case}: {:?}", report.declined);
        let node =
            |kind| converted.graph.schedule().into_iter().find(|id| converted.graph.node(*id).op().kind() == kind);
        let products = node(kind).into_iter().flat_map(|id| converted.graph.results(id));
        let types: Vec<_> = products.map(|value| converted.graph.fact(value).element()).collect();
        assert_eq!(types, [Some(if expected { ElementType::F32 } else { element })], "{case}");
    }
}

/// Before opset 16, an If has no results in bf16.
#[test]
fn branches_of_an_older_opset() {
    let body = "%y = if %c {then_branch = graph then(; %h: f32[b, s, 4] = %x) {
               %p = mul %h, %h : f32[b, s, 4]
               return y = %p
             }, else_branch = graph else(; %h: f32[b, s, 4] = %x) {
               %q = neg %h : f32[b, s, 4]
               return y = %q
             }} : f32[b, s, 4]
             return %y";
    let original = graph("%c: bool[], %x: f32[b, s, 4]", body);
    for (opset, element, expected) in [
        (14, ElementType::BF16, ElementType::F32),
        (14, ElementType::F16, ElementType::F16),
        (16, ElementType::BF16, ElementType::BF16),
    ] {
        let mut converted = model(&original);
        converted.opsets.insert(String::new(), opset);
        optimize(&mut converted, &options(to(element))).unwrap_or_else(|error| panic!("{error}"));
        let graph = &converted.graph;
        let mut branches = graph.schedule().into_iter().filter(|id| !graph.node(*id).op().bodies().is_empty());
        let results = branches.next().into_iter().flat_map(|id| graph.results(id));
        let results: Vec<_> = results.map(|result| graph.fact(result).element()).collect();
        assert_eq!(results, [Some(expected)], "{element} at opset {opset}");
    }
}

/// No operator has bf16 before opset 13.
#[test]
fn types_of_an_older_opset() {
    let original = graph(INPUTS, "%y = tanh %x : f32[b, s, 4]\nreturn %y");
    let io = to(ElementType::F16).with_io_type(ElementType::BF16);
    for precision in [to(ElementType::BF16), io.unwrap_or_else(|error| panic!("{error}"))] {
        let mut model = model(&original);
        model.opsets.insert(String::new(), 12);
        let error = optimize(&mut model, &options(precision)).map(|_| ()).map_err(|error| error.to_string());
        let why = "bf16 requires opset 13, but the model has opset 12, whose Cast does not have the type\n  help: pass \
                   --opset 13, or choose f16";
        assert_eq!(error, Err(why.to_owned()));
    }
}

#[test]
fn a_weight_that_is_an_output() {
    let body = "%w = parameter [0.5, 0.25, 1.0, 2.0] : f32[4]
                %y = mul %x, %w : f32[b, s, 4]
                return %y, w = %w";
    let (original, f16) = (graph(INPUTS, body), ElementType::F16);
    check("weight_is_output", to(f16), &original);
    let cast = "%w = parameter hex(00380034003c0040) : f16[4]
                %h = cast %x {to = f16} : f16[b, s, 4]
                %y = mul %h, %w : f16[b, s, 4]
                %wide = cast %w {to = f32} : f32[4]
                return %y, %wide";
    check("cast_weight_is_output", to(f16), &graph(INPUTS, cast));
    let kept = to(f16).with_kept_f32("^y$").and_then(|kept| kept.with_io_type_of("^w$", f16));
    check("weight_is_output_in_f16", kept.unwrap_or_else(|error| panic!("{error}")), &original);
}

/// The runtime's kernel of an activation may not support the requested type.
#[test]
fn the_reason_why_a_narrow_activation_is_not_fused() {
    let body = "%gate = sigmoid %x : f32[b, s, 4]
                %y = mul %x, %gate : f32[b, s, 4]
                return %y";
    let mut narrow = model(&graph(INPUTS, body));
    let options = Options::for_target(Target::ORT).with_precision(to(ElementType::F16));
    let report = optimize(&mut narrow, &options).unwrap_or_else(|error| panic!("{error}"));
    let sites: Vec<String> = sites(&narrow, &report, &options).iter().map(ToString::to_string).collect();
    assert_eq!(sites, ["activation     %y.f16: not fused: ONNX Runtime's kernel of QuickGelu only supports f32"]);
}

/// A pass that the options leave out is the reason, whatever the opset is.
#[test]
fn the_reason_why_passes_that_are_left_out_fuse_nothing() {
    let body = "%e = erf %x : f32[b, s, 4]
                %p = add %e, 1.0 : f32[b, s, 4]
                %w = parameter uniform(seed = 1, bound = 1.0) : f32[4]
                %l = layer_normalization %x, %w {epsilon = 1e-5} : f32[b, s, 4]
                %y = mul %x, %p : f32[b, s, 4]
                return %y, %l";
    let gelu = |options: Options| {
        let mut gelu = model(&graph(INPUTS, body));
        gelu.opsets.insert(String::new(), 17);
        let report = optimize(&mut gelu, &options).unwrap_or_else(|error| panic!("{error}"));
        sites(&gelu, &report, &options).iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")
    };
    let options = Options::default;
    let requested = "fuse-gelu is not among the passes that were requested";
    let mut only = options();
    only.only = Some(vec![]);
    let mut ended = options();
    ended.limits.stop_after = Some(0);
    for (options, reason) in [
        (options(), "gelu requires opset 20, but the model has opset 17"),
        (options().with_skip(["fuse-gelu"]), requested),
        (only, requested),
        (ended, "the run ended after the requested number of rewrites"),
    ] {
        let found = gelu(options);
        assert!(found.contains(&format!("not fused: {reason}")), "{found}");
        assert!(found.contains("%l: fused: layer_normalization"), "{found}");
    }
}

/// A reason that refers to another pass gets the reason of the node that it names, not of one whose name begins alike.
#[test]
fn a_reason_is_that_of_the_node_with_the_whole_name() {
    let body = "%p = softmax %x {axis = -1} : f32[b, s, 4]
                %y = matmul %p, %w : f32[b, s, 4]
                return %y";
    let options = Options::default();
    let mut attention = model(&graph("%x: f32[b, s, 4], %w: f32[4, 4]", body));
    let mut report = optimize(&mut attention, &options).unwrap_or_else(|error| panic!("{error}"));
    let event = |pass, node, note: &'static str| Event { pass, rule: None, node: Name::from(node), note: note.into() };
    report.declined = vec![
        event("fuse-attention", "y", "%view_10 splits heads; the line of split-merged-heads says why"),
        event("split-merged-heads", "view_1", "%one is in the way"),
        event("split-merged-heads", "view_10", "%ten is in the way"),
    ];
    let sites: Vec<String> = sites(&attention, &report, &options).iter().map(ToString::to_string).collect();
    let reason = "%view_10 splits heads; split-merged-heads declines because %ten is in the way";
    assert_eq!(sites, [format!("attention      %y: not fused: {reason}")]);
}

/// A gated feed-forward whose values leave the range, and attention with a mask that does so on purpose.
#[test]
fn values_that_leave_the_range_when_measured() {
    let original = graph(
        INPUTS,
        "%wi = parameter [0.5, 0.25, 1.0, 2.0] : f32[4]
         %wo = parameter [1.0, 2.0, 3.0, 4.0] : f32[4, 1]
         %hidden = mul %x, %wi : f32[b, s, 4]
         %gate = tanh %hidden : f32[b, s, 4]
         %gated = mul %hidden, %gate : f32[b, s, 4]
         %out = matmul %gated, %wo : f32[b, s, 1]
         %sum = add %x, %out : f32[b, s, 4]
         %bounded = sigmoid %sum : f32[b, s, 4]
         %number = cast %ids {to = f32} : f32[b, s]
         %padding = sub 1.0, %number : f32[b, s]
         %padded = mul %padding, -3.4028235e38 : f32[b, s]
         %hides = where %keep, %padded, -1e9 : f32[b, s]
         %row = unsqueeze %hides, [2] : f32[b, s, 1]
         %masked = add %bounded, %row : f32[b, s, 4]
         %p = softmax %masked {axis = 1} : f32[b, s, 4]
         %y = mul %p, %bounded : f32[b, s, 4]
         return %y",
    );
    let (wide, names) = calibrated(&model(&original), &options(to(ElementType::F16))).expect("it is prepared");
    assert_eq!(wide.graph, original);
    let measured = ["x", "hidden", "gate", "gated", "out", "sum", "bounded", "number", "padding", "p", "y"];
    assert_eq!(names, measured.map(Name::from));
    // Half of the range of f16 ends at 32752.
    let ranges = [("hidden", 3.27e4), ("gated", 3.28e4), ("out", 4e5), ("sum", 4e5)];
    let ranges = ranges.map(|(name, most)| (Name::from(name), most)).into();
    check("measured_ranges", to(ElementType::F16).with_ranges(ranges), &original);
}

#[test]
fn casts_of_integers_settle() {
    for (element, count) in [("i8", 4), ("u8", 4), ("i16", 4), ("u16", 4), ("i32", 4)] {
        let inputs = format!("%x: f32[b, {count}], %codes: {element}[b, {count}]");
        // Two readers, of which one stays in f32.
        let body = format!(
            "%numbers = cast %codes {{to = f32}} : f32[b, {count}]
             %y = mul %x, %numbers : f32[b, {count}]
             %r = relu %y : f32[b, {count}]
             %e = exp %numbers : f32[b, {count}]
             return %r, %e"
        );
        for to_element in [ElementType::F16, ElementType::BF16] {
            let options = Options::for_target(Target::ONNX).with_precision(to(to_element));
            let mut converted = model(&graph(&inputs, &body));
            optimize(&mut converted, &options).unwrap_or_else(|error| panic!("{element} to {to_element}: {error}"));
            let once = converted.graph.clone();
            let again = optimize(&mut converted, &options).unwrap_or_else(|error| panic!("{element}: {error}"));
            assert_eq!((again.applied, converted.graph), (vec![], once), "{element} to {to_element}");
        }
    }
}

/// Returns why nodes with a weight of one large number stay in `f32`.
fn reasons(rows: usize, large: f32, body: &str) -> Vec<String> {
    let mut bytes = vec![0; rows * 1024];
    bytes[4..8].copy_from_slice(&large.to_le_bytes());
    let tensor = Tensor::from_bytes(ElementType::F32, &[rows as u64, 256], bytes).expect("the length fits");
    let text = format!("%w = parameter uniform(seed = 1, bound = 0.5) : f32[{rows}, 256]\n{body}");
    let mut model = model(&graph(&format!("%x: f32[s, {rows}], %z: f32[{rows}, 256]"), &text));
    let weight = model.graph.schedule().into_iter().find(|id| model.graph.node(*id).op().kind() == OpKind::Parameter);
    model.graph.set_op(weight.expect("it is there"), Op::Parameter(tensor));
    let report = optimize(&mut model, &options(to(ElementType::F16))).unwrap_or_else(|error| panic!("{error}"));
    report.declined.iter().map(ToString::to_string).collect()
}

#[test]
fn weights_outside_the_range_stay() {
    let product = "%y = matmul %x, %w : f32[s, 256]\nreturn %y";
    let sum = "%y = add %z, %w : f32[{rows}, 256]\nreturn %y";
    let reason = "convert-precision: %y: not converted: %w has a number of magnitude 7e4, outside the range of f16";
    for rows in [4, 2048] {
        assert_eq!(reasons(rows, 70_000.0, product), [reason], "{rows} rows");
        assert_eq!(reasons(rows, 65_504.0, product), [""; 0], "{rows} rows");
        assert_eq!(reasons(rows, f32::NEG_INFINITY, product), [""; 0], "{rows} rows");
    }
    for rows in [4, 2048] {
        assert_eq!(reasons(rows, 70_000.0, &sum.replace("{rows}", &rows.to_string())), [reason], "{rows} rows");
    }
}

#[test]
fn patterns_that_keep_nothing() {
    let body = "%s = softmax %x {axis = -1} : f32[b, s, 4]
                %i = identity %s : f32[b, s, 4]
                %y = tanh %i : f32[b, s, 4]
                return %y";
    for (pattern, expected) in [("^i$", &["^i$"][..]), ("^s$", &[])] {
        let precision = to(ElementType::F16).with_kept_f32(pattern).unwrap_or_else(|error| panic!("{error}"));
        let options = Options::for_target(Target::ONNX).with_precision(precision);
        let report = optimize(&mut model(&graph(INPUTS, body)), &options).unwrap_or_else(|error| panic!("{error}"));
        assert_eq!(report.idle_patterns, expected, "{pattern}");
    }
}

/// A function keeps the types of its operands, whatever types the inputs and outputs have.
#[test]
fn operands_of_functions_stay() {
    let body = "%w = parameter uniform(seed = 1, bound = 0.5) : f32[4, 4]
                %p = \"my::F@1\" %x, %w : f32[b, s, 4]
                %y = tanh %p : f32[b, s, 4]
                return %y";
    let precision = to(ElementType::F16).with_io_type(ElementType::F16);
    let converted = check("operands_of_functions", precision.unwrap(), &graph(INPUTS, body));
    let call = converted.schedule().into_iter().find(|id| matches!(converted.node(*id).op(), Op::Opaque(_))).unwrap();
    let elements = converted.operands(call).into_iter().map(|operand| converted.fact(operand.unwrap()).element());
    assert_eq!(elements.collect::<Vec<_>>(), [Some(ElementType::F32); 2]);
}

#[test]
fn the_way_back() {
    let body = "%w = parameter hex(00380034003c0040) : f16[4]
                %h = cast %x {to = f16} : f16[b, s, 4]
                %a = mul %h, %w : f16[b, s, 4]
                %y = tanh %a : f16[b, s, 4]
                return %y";
    check("back_to_f32", to(ElementType::F32), &graph(INPUTS, body));
}

#[test]
fn bf16_has_the_range_of_f32() {
    let body = "%mask = where %keep, 0.0, -3.4028235e38 : f32[b, s]
                %row = unsqueeze %mask, [2] : f32[b, s, 1]
                %y = add %x, %row : f32[b, s, 4]
                return %y";
    check("least_float_in_bf16", to(ElementType::BF16), &graph(INPUTS, body));
}

#[test]
fn patterns_must_match() {
    let original = graph(INPUTS, "%y = tanh %x : f32[b, s, 4]\nreturn %y");
    let f16 = ElementType::F16;
    for (precision, expected) in [
        (to(f16).with_io_type_of("ids", f16), "`ids` matches no float input or output\n  help: match one of x, y"),
        (
            to(f16).with_kept_f32("head"),
            "`head` matches no node, value or weight\n  help: correct the pattern; `netwright inspect --text` prints the names",
        ),
    ] {
        let precision = precision.unwrap_or_else(|error| panic!("{error}"));
        let outcome = optimize(&mut model(&original), &options(precision));
        assert_eq!(outcome.map(|_| ()).map_err(|error| error.to_string()), Err(expected.to_owned()));
    }
    assert!(matches!(to(f16).with_kept_f32("("), Err(PrecisionError::Pattern { .. })));
    assert!(matches!(Precision::new(ElementType::I32), Err(PrecisionError::Element(ElementType::I32))));
}

/// A large weight is read once, while it is written; then a number that f16 does not hold is an error that a caller
/// recognizes, and the product stays in f32 if weights are checked.
#[test]
fn large_weights_are_checked_before_or_while_they_are_written() {
    for (number, is_held) in [("65519.0", true), ("65520.0", false), ("-1e9", false), ("inf", false)] {
        let text = format!(
            "g(%x: f32[n, 512]) {{
               %w = parameter fill({number}) : f32[512, 520]
               %y = matmul %x, %w : f32[n, 520]
               return %y
             }}"
        );
        let converted = |is_checked: bool| {
            let mut model = Model::new(parse(&text).unwrap_or_else(|error| panic!("{error} in\n{text}")));
            let mut precision = Precision::new(ElementType::F16).expect("it is a float");
            precision.is_checked = is_checked;
            let options = Options::for_target(Target::ONNX).with_precision(precision);
            optimize(&mut model, &options).expect("it is converted");
            (onnx::to_bytes(&model), model)
        };
        let (checked, model) = converted(true);
        let checked = checked.unwrap_or_else(|error| panic!("{number}: {error}"));
        let is_narrow = model.graph.to_string().contains("matmul %x.f16");
        assert_eq!(is_narrow, is_held || number == "inf", "{number}: {}", model.graph);
        match converted(false).0 {
            Ok(unchecked) => assert!(is_held && unchecked == checked, "{number}: other bytes"),
            Err(error) => assert!(!is_held && error.is_of_conversion(), "{number}: {error}"),
        }
    }
}

/// Operators whose results have other types than their operands, or types that are not known.
const TYPES: [(&str, &str); 8] = [
    (
        "fused_product_of_unknown_shape",
        "%w = parameter uniform(seed = 1, bound = 0.5) : f32[4, 4]
         %flat = reshape %x, %size : f32[*]
         %p = \"com.microsoft::FusedGemm@1\" %flat, %w {activation = \"Relu\"} : ?
         %y = tanh %p : f32[*]
         return %y",
    ),
    (
        "fused_product_in_a_loop",
        "%w = parameter uniform(seed = 1, bound = 0.5) : f32[4, 4]
         %flat = reshape %x, [-1, 4] : f32[b * s, 4]
         %y = loop 2, _, %flat {body = graph body(%i: i64[], %more: bool[], %a: f32[*]; %w: f32[4, 4] = %w) {
           %p = \"com.microsoft::FusedGemm@1\" %a, %w {activation = \"Tanh\"} : ?
           %next = identity %p : f32[*]
           %go = identity %more : bool[]
           return %go, %next
         }} : f32[*]
         return %y",
    ),
    (
        "reader_of_an_unknown_type",
        "%w = parameter [0.5, 0.25, 1.0, 2.0] : f32[4]
         %p = \"my.domain::Frob@1\" %x : ?
         %sum = add %p, %w : f32[*]
         %y = tanh %sum : f32[*]
         return %y",
    ),
    (
        "results_that_are_outputs",
        "%table = parameter uniform(seed = 1, bound = 0.5) : f32[9, 4]
         %w = parameter [0.5, 0.25, 1.0, 2.0] : f32[4]
         %short = cast %ids {to = i32} : i32[b, s]
         %y, %m, %sum = \"com.microsoft::EmbedLayerNormalization@1\" %short, _, %table, %table, _, %w, %w {epsilon = 1e-5} : f32[b, s, 4], i32[*], f32[*]
         return %y, %m, %sum",
    ),
    (
        "type_of_the_operand",
        "%flat = reshape %x, [-1, 4] : f32[b * s, 4]
         %y = eye_like %flat {k = 1} : f32[b * s, 4]
         %z = tanh %flat : f32[b * s, 4]
         return %y, %z",
    ),
    (
        "normalization_over_axes",
        "%h = relu %x : f32[b, s, 4]
         %normal = mean_variance_normalization %h {axes = [1, 2]} : f32[b, s, 4]
         %y = tanh %normal : f32[b, s, 4]
         return %y",
    ),
    (
        "scatter_with_a_reduction",
        "%h = tanh %x : f32[b, s, 4]
         %indices = parameter [0, 0] : i64[2, 1]
         %flat = reshape %h, [-1] : f32[4 * b * s]
         %y = scatter_nd %flat, %indices, [1.0, 2.0] {reduction = \"add\"} : f32[4 * b * s]
         %z = scatter_elements %flat, [0, 1], [0.5, 0.25] {axis = 0, reduction = \"mul\"} : f32[4 * b * s]
         %r = relu %y : f32[4 * b * s]
         return %r, %z",
    ),
    (
        "scale_of_dynamic_quantization",
        "%w = parameter 0.015625 : f32[]
         %codes, %scale, %zero = dynamic_quantize_linear %x : u8[b, s, 4], f32[], u8[]
         %both = mul %scale, %w : f32[]
         %number = cast %codes {to = f32} : f32[b, s, 4]
         %y = mul %number, %both : f32[b, s, 4]
         %r = relu %y : f32[b, s, 4]
         return %r",
    ),
];

#[test]
fn types_of_results() {
    for (case, body) in TYPES {
        let inputs = [("%x", "%x: f32[b, s, 4]"), ("%ids", "%ids: i64[b, s]"), ("%size", "%size: i64[2]")];
        let inputs = inputs.iter().filter(|(name, _)| body.contains(name));
        let inputs: Vec<&str> = inputs.map(|(_, input)| *input).collect();
        let original = graph(&inputs.join(", "), body);
        let converted = check(case, to(ElementType::F16), &original);
        if !body.contains("::") && !matches!(case, "type_of_the_operand" | "normalization_over_axes") {
            check_near(case, "convert-precision", &original, &converted, 1e-2);
        }
    }
}

/// What is an operand in newer versions is an attribute at opset 10.
#[test]
fn attributes_of_an_old_opset() {
    let body = "%h = tanh %x : f32[b, s, 4]
                %padded = pad %h, [0, 0, 1, 0, 0, 2], 3.0 : f32[b, s, 7]
                %y = clip %padded, -0.5, 2.0 : f32[b, s, 7]
                return %y";
    let mut old = model(&graph("%x: f32[b, s, 4]", body));
    old.opsets.insert(String::new(), 10);
    let original = old.clone();
    optimize(&mut old, &options(to(ElementType::F16))).unwrap_or_else(|error| panic!("{error}"));
    let folder = tempfile::TempDir::new().unwrap();
    let paths = [("a", &original), ("b", &old)].map(|(name, model)| {
        let path = folder.path().join(name).with_extension("onnx");
        onnx::write(model, &path, &WriteOptions::default()).unwrap_or_else(|error| panic!("{error}"));
        path
    });
    let options = netwright::verify::Options::default().with_tolerance(1e-2);
    let verdict = netwright::verify::verify(&paths[0], Some(&paths[1]), &options).unwrap();
    assert!(matches!(verdict, netwright::verify::Verdict::Equal { .. }), "{verdict}");
    let text = diff(&original.graph.to_string(), &old.graph.to_string());
    common::snapshot("passes", "attributes_of_an_old_opset@convert-precision", &text);
}

/// Constants that are data: one that `f16` does not hold, or rounds further than others, stays in `f32` with its operator.
const CONSTANTS: [(&str, &str); 11] = [
    ("padding_outside_the_range", "%y = pad %h, [0, 0, 1, 0, 0, 1], 1e5 : f32[b, s, 6]\nreturn %y"),
    ("choice_outside_the_range", "%y = where %keep, %h, 1e6 : f32[b, s, 4]\nreturn %y"),
    (
        "choice_outside_the_range_of_a_sum",
        "%a = where %keep, %h, 1e6 : f32[b, s, 4]\n%y = add %a, %h : f32[b, s, 4]\nreturn %y",
    ),
    (
        "choice_outside_the_range_of_a_product",
        "%w = parameter [1e-3, 0.0, 0.0, 0.0, 0.0, 1e-3, 0.0, 0.0, 0.0, 0.0, 1e-3, 0.0, 0.0, 0.0, 0.0, 1e-3] : f32[4, 4]
         %a = where %keep, %h, 1e6 : f32[b, s, 4]
         %y = matmul %a, %w : f32[b, s, 4]
         return %y",
    ),
    ("bound_outside_the_range", "%a = mul %h, 1e5 : f32[b, s, 4]\n%y = clip %a, -9e4, 0.5 : f32[b, s, 4]\nreturn %y"),
    (
        "choice_that_hides",
        "%a = where %keep, %h, -1e9 : f32[b, s, 4]\n%y = softmax %a {axis = -1} : f32[b, s, 4]\nreturn %y",
    ),
    (
        "number_that_hides_and_pads",
        "%a = where %keep, %h, -1e9 : f32[b, s, 4]
         %p = softmax %a {axis = -1} : f32[b, s, 4]
         %y = pad %p, [0, 0, 1, 0, 0, 1], -1e9 : f32[b, s, 6]
         return %y",
    ),
    (
        "gelu_of_a_large_number",
        "%a = mul %h, 1e5 : f32[b, s, 4]
         %y = \"com.microsoft::QuickGelu@1\" %a {alpha = 1.702} : f32[b, s, 4]
         return %y",
    ),
    ("subnormal_divisor", "%y = div %h, 1e-7 : f32[b, s, 4]\nreturn %y"),
    ("subnormal_factor", "%a = mul %h, 1e-6 : f32[b, s, 4]\n%y = mul %a, 1e6 : f32[b, s, 4]\nreturn %y"),
    (
        "factors_of_which_one_is_subnormal",
        "%w = parameter [1e-6, 0.5, 1.0, 2.0] : f32[4]
         %a = mul %h, %w : f32[b, s, 4]
         %y = tanh %a : f32[b, s, 4]
         return %y",
    ),
];

#[test]
fn constants_that_are_data() {
    for (case, body) in CONSTANTS {
        let body = &format!("%h = tanh %x : f32[b, s, 4]\n{body}");
        let keep = if body.contains("%keep") { ", %keep: bool[b, s, 4]" } else { "" };
        let original = graph(&format!("%x: f32[b, s, 4]{keep}"), body);
        let converted = check(case, to(ElementType::F16), &original);
        check_near(case, "convert-precision", &original, &converted, 1e-2);
    }
}

/// Sums of squares that are products, and numbers that are divided by the root of the mean of their squares: the result is
/// as small as any, although a bias loses digits before.
#[test]
fn sums_of_squares() {
    let root = "%shifted = add %sum, 1e-6 : f32[b, s, 1]
         %root = sqrt %shifted : f32[b, s, 1]
         %y = div %a, %root : f32[b, s, 4]
         return %y";
    for (case, body) in [
        (
            "squares_that_an_einsum_sums",
            format!(
                "%a = mul %h, 300.0 : f32[b, s, 4]
                 %squares = einsum %a, %a {{equation = \"ijk, ijk->ij\"}} : f32[b, s]
                 %sum = unsqueeze %squares, [2] : f32[b, s, 1]
                 {root}"
            ),
        ),
        (
            "squares_that_a_product_sums",
            format!(
                "%a = mul %h, 300.0 : f32[b, s, 4]
                 %row = unsqueeze %a, [2] : f32[b, s, 1, 4]
                 %column = unsqueeze %a, [3] : f32[b, s, 4, 1]
                 %squares = matmul %row, %column : f32[b, s, 1, 1]
                 %sum = squeeze %squares, [3] : f32[b, s, 1]
                 {root}"
            ),
        ),
        (
            "bias_before_a_normalization",
            "%bias = parameter [1e-7, 2e-7, 3e-7, 1e-7] : f32[4]
             %a = add %h, %bias : f32[b, s, 4]
             %squares = mul %a, %a : f32[b, s, 4]
             %mean = reduce_mean %squares, [-1] : f32[b, s, 1]
             %shifted = add %mean, 1e-6 : f32[b, s, 1]
             %root = sqrt %shifted : f32[b, s, 1]
             %normalized = div %a, %root : f32[b, s, 4]
             %weight = parameter [0.5, 1.0, 2.0, 4.0] : f32[4]
             %y = mul %normalized, %weight : f32[b, s, 4]
             return %y"
                .to_owned(),
        ),
    ] {
        let original = graph("%x: f32[b, s, 4]", &format!("%h = tanh %x : f32[b, s, 4]\n{body}"));
        let converted = check(case, to(ElementType::F16), &original);
        check_near(case, "convert-precision", &original, &converted, 1e-2);
    }
}

/// A number of `bf16` is rounded by up to 2^-8 of itself: biases are converted.
#[test]
fn biases_in_bf16() {
    let bias = "%bias = parameter [0.7, 0.503, -0.301, 1.003] : f32[4]\n%y = add %h, %bias : f32[b, s, 4]";
    let original = graph("%x: f32[b, s, 4]", &format!("%h = tanh %x : f32[b, s, 4]\n{bias}\nreturn %y"));
    let mut converted = model(&original);
    let report = optimize(&mut converted, &options(to(ElementType::BF16))).unwrap_or_else(|error| panic!("{error}"));
    assert!(report.declined.is_empty(), "{}", lines("declined", &report.declined));
}
