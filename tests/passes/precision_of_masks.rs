//! Conversion of masks to another float type: numbers that hide scores, and rows in which they hide all keys.

use super::precision::{INPUTS, check, graph, options, to};
use super::{check_near, common, model};
use netwright::ir::ElementType;
use netwright::passes::{Options, Target, diff, optimize};

/// The scores that replace `#scores` in the bodies of the cases [`OUTSIDE`].
const SCORES: &str = "%near = tanh %x : f32[b, s, 4]
         %columns = transpose %near {perm = [0, 2, 1]} : f32[b, 4, s]
         %scores = matmul %near, %columns : f32[b, s, s]";

/// Numbers outside the range of `f16`: masks are limited, and other numbers stay in `f32`. In the last two cases, no
/// number is outside.
const OUTSIDE: [(&str, &str); 11] = [
    (
        "mask_added_to_a_bias_in_f16",
        "%table = parameter [1.0, 2.0] : f32[2]
         %bias = gather %table, %ids {axis = 0} : f32[b, s]
         %hidden = where %keep, 0.0, -3.4028235e38 : f32[b, s]
         %both = add %bias, %hidden : f32[b, s]
         %row = unsqueeze %both, [1] : f32[b, 1, s]
         #scores
         %sum = add %scores, %row : f32[b, s, s]
         %y = softmax %sum {axis = -1} : f32[b, s, s]
         return %y",
    ),
    (
        "mask_input_added_to_scores",
        "#scores
         %masked = add %scores, %mask : f32[b, s, s]
         %y = softmax %masked {axis = -1} : f32[b, s, s]
         return %y",
    ),
    (
        "mask_input_added_to_a_bias",
        "#scores
         %bias = add %mask, -30000.0 : f32[b, s, s]
         %row = max %bias, -3.4028235e38 : f32[b, s, s]
         %masked = add %row, %scores : f32[b, s, s]
         %y = softmax %masked {axis = -1} : f32[b, s, s]
         return %y",
    ),
    (
        "mask_of_one_number",
        "%size = shape %x {start = 1, end = 2} : i64[1]
         %hidden = constant_of_shape %size {value = tensor(f32[1] [-1e9])} : f32[s]
         #scores
         %masked = add %scores, %hidden : f32[b, s, s]
         %y = softmax %masked {axis = -1} : f32[b, s, s]
         return %y",
    ),
    (
        "bias_outside_the_range",
        "%b = parameter [1e5, 1.0, 1.0, 1.0] : f32[4]
         %h = relu %x : f32[b, s, 4]
         %sum = add %h, %b : f32[b, s, 4]
         %small = mul %sum, 1e-4 : f32[b, s, 4]
         %y = relu %small : f32[b, s, 4]
         return %y",
    ),
    (
        "scale_of_a_norm_outside_the_range",
        "%w = parameter [1e5, 1.0, 1.0, 1.0] : f32[4]
         %h = relu %x : f32[b, s, 4]
         %normal = layer_normalization %h, %w {axis = -1, epsilon = 1e-5} : f32[b, s, 4]
         %small = mul %normal, 1e-4 : f32[b, s, 4]
         %y = relu %small : f32[b, s, 4]
         return %y",
    ),
    (
        "table_outside_the_range",
        "%table = parameter [1e5, 1.0, 1.0, 2.0] : f32[2, 2]
         %row = gather %table, %ids {axis = 0} : f32[b, s, 2]
         %small = mul %row, 1e-4 : f32[b, s, 2]
         %y = relu %small : f32[b, s, 2]
         return %y",
    ),
    (
        "output_outside_the_range",
        "%w = parameter [1e6, 1.0, 1.0, 2.0] : f32[2, 2]
         %y = transpose %w {perm = [1, 0]} : f32[2, 2]
         %z = relu %x : f32[b, s, 4]
         %t = tanh %z : f32[b, s, 4]
         return %y, %t",
    ),
    (
        "flags_that_are_outputs",
        "%y = cast %keep {to = f32} : f32[b, s]
         %z = cast %keep {to = f16} : f16[b, s]
         %row = unsqueeze %y, [2] : f32[b, s, 1]
         %h = mul %x, %row : f32[b, s, 4]
         %t = tanh %h : f32[b, s, 4]
         return %y, %z, %t",
    ),
    (
        "input_added_to_no_scores",
        "%h = relu %mask : f32[b, s, s]
         %sum = add %h, %mask : f32[b, s, s]
         %y = tanh %sum : f32[b, s, s]
         return %y",
    ),
    (
        "bias_within_the_range",
        "%table = parameter [1.0, 2.0] : f32[2]
         %bias = gather %table, %ids {axis = 0} : f32[b, s]
         %row = unsqueeze %bias, [1] : f32[b, 1, s]
         #scores
         %sum = add %scores, %row : f32[b, s, s]
         %y = softmax %sum {axis = -1} : f32[b, s, s]
         return %y",
    ),
];

#[test]
fn numbers_outside_the_range() {
    for (case, body) in OUTSIDE {
        let body = &body.replace("#scores", SCORES);
        let inputs: Vec<&str> =
            [("%x", "%x: f32[b, s, 4]"), ("%ids", "%ids: i64[b, s]"), ("%keep", "%keep: bool[b, s]")]
                .into_iter()
                .chain([("%mask", "%mask: f32[b, s, s]")])
                .filter(|(name, _)| body.replace("%masked", "").contains(name))
                .map(|(_, input)| input)
                .collect();
        let original = graph(&inputs.join(", "), body);
        check(case, to(ElementType::F16), &original);
        let mut converted = model(&original);
        let options = Options::for_target(Target::ONNX).with_precision(to(ElementType::F16));
        optimize(&mut converted, &options).unwrap_or_else(|error| panic!("{case}: {error}"));
        check_near(case, "convert-precision", &original, &converted.graph, 1e-2);
        for element in [ElementType::BF16, ElementType::F32] {
            let options = Options::for_target(Target::ONNX).with_precision(to(element));
            optimize(&mut model(&original), &options).unwrap_or_else(|error| panic!("{case} in {element}: {error}"));
        }
    }
}

#[test]
fn a_mask_that_is_read_in_f32_keeps_its_numbers() {
    let body = "%mask = where %keep, 0.0, -3.4028235e38 : f32[b, s]
         %row = unsqueeze %mask, [2] : f32[b, s, 1]
         %y = scaled_softmax %x, %row {axis = 1, scale = 0.5} : f32[b, s, 4]
         return %y";
    let mut converted = model(&graph(INPUTS, body));
    let report = optimize(&mut converted, &options(to(ElementType::F16)));
    report.unwrap_or_else(|error| panic!("{error}"));
    assert!(converted.graph.to_string().contains("where %keep, 0.0, -3.4028235e38"), "{}", converted.graph);
}

/// The sum of a score and the lowest `f32` is the latter. Bodies that add in `f32` must not get the lowest `f16`.
#[test]
fn a_mask_that_bodies_read_in_f32_keeps_its_numbers() {
    let body = "%h = tanh %x : f32[b, s, 4]
         %k = transpose %h {perm = [0, 2, 1]} : f32[b, 4, s]
         %number = unsqueeze %n, [0] : i64[1]
         %far = equal %number, 0 : bool[1]
         %mask = where %far, 0.0, -3.4028235e38 : f32[1]
         %y = if %c {then_branch = graph then(; %q: f32[b, s, 4] = %h, %t: f32[b, 4, s] = %k, %m: f32[1] = %mask) {
           %scores = matmul %q, %t : f32[b, s, s]
           %p = scaled_softmax %scores, %m {axis = -1, scale = 0.5} : f32[b, s, s]
           return y = %p
         }, else_branch = graph else(; %q: f32[b, s, 4] = %h, %t: f32[b, 4, s] = %k, %m: f32[1] = %mask) {
           %near = parameter true : bool[]
           %p = if %near {then_branch = graph inner(; %q: f32[b, s, 4] = %q, %t: f32[b, 4, s] = %t, %m: f32[1] = %m) {
             %scores = matmul %q, %t : f32[b, s, s]
             %p = scaled_softmax %scores, %m {axis = -1, scale = 0.5} : f32[b, s, s]
             return y = %p
           }, else_branch = graph other(; %q: f32[b, s, 4] = %q, %t: f32[b, 4, s] = %t) {
             %scores = matmul %q, %t : f32[b, s, s]
             return y = %scores
           }} : f32[b, s, s]
           return y = %p
         }} : f32[b, s, s]
         return %y";
    let mut converted = model(&graph("%c: bool[], %n: i64[], %x: f32[b, s, 4]", body));
    let report = optimize(&mut converted, &options(to(ElementType::F16)));
    report.unwrap_or_else(|error| panic!("{error}"));
    let text = converted.graph.to_string();
    assert!(text.contains("where %far, 0.0, -3.4028235e38"), "{text}");
    assert_eq!(text.matches("%mask: f32[1] = %mask").count(), 3, "{text}");
}

/// A row whose keys are all hidden keeps its scores in `f32` unless the number is so low that it absorbs them. In `f16`,
/// -10,000 rounds them already.
#[test]
fn rows_of_a_constant_mask_that_hide_all_keys() {
    let lift = "%most = reduce_max %mask, [-1] : f32[1, 1, 3, 1]
         %below = min %most, 0.0 : f32[1, 1, 3, 1]
         %level = sub %mask, %below : f32[1, 1, 3, 3]
         %lifted = sub %level, %below : f32[1, 1, 3, 3]
         %y = attention %near, %near, %near, %lifted {scale = 0.5} : f32[1, 2, 3, 4]";
    let attention = "%y = attention %near, %near, %near, %mask {scale = 0.5} : f32[1, 2, 3, 4]";
    for (case, hidden, attention) in [
        ("row_hidden_by_lowest_f16", "-65504.0", attention),
        ("row_hidden_by_ten_thousand", "-10000.0", attention),
        ("row_hidden_by_lowest_f16_lifted", "-65504.0", lift),
        ("row_hidden_by_lowest_f32_lifted", "-3.4028235e38", lift),
    ] {
        let mask = format!("[0.0, {hidden}, {hidden}, {hidden}, {hidden}, {hidden}, 0.0, 0.0, 0.0]");
        let body = format!(
            "%mask = parameter {mask} : f32[1, 1, 3, 3]
             %near = tanh %x : f32[1, 2, 3, 4]
             {attention}
             return %y"
        );
        let original = graph("%x: f32[1, 2, 3, 4]", &body);
        let converted = check(case, to(ElementType::F16), &original);
        check_near(case, "convert-precision", &original, &converted, 1e-2);
    }
}

/// Masks that a Loop carries: how a step reads `%m`, and the mask `%n` of the next step.
const CARRIED: [(&str, &str, &str); 5] = [
    ("mask_carried_unchanged", CARRIED_SUM, "%n = identity %m : f32[1, 1, 3, 3]"),
    (
        "mask_carried_and_changed",
        CARRIED_SUM,
        "%d = neg %m : f32[1, 1, 3, 3]
         %e = abs %d : f32[1, 1, 3, 3]
         %n = neg %e : f32[1, 1, 3, 3]",
    ),
    (
        "mask_carried_beside_a_result_in_f16",
        CARRIED_SUM,
        "%r = tanh %m : f32[1, 1, 3, 3]
         %n = sub %m, %r : f32[1, 1, 3, 3]",
    ),
    (
        "mask_carried_to_an_attention",
        "%p = attention %v, %v, %v, %m {scale = 0.5} : f32[1, 2, 3, 4]",
        "%n = identity %m : f32[1, 1, 3, 3]",
    ),
    (
        "mask_carried_to_a_branch",
        "%p = if %on {then_branch = graph then(; %v: f32[1, 2, 3, 4] = %v, %m: f32[1, 1, 3, 3] = %m) {
           #sum
           return %p
         }, else_branch = graph else(; %v: f32[1, 2, 3, 4] = %v) {
           %p = tanh %v : f32[1, 2, 3, 4]
           return %p
         }} : f32[1, 2, 3, 4]",
        "%n = identity %m : f32[1, 1, 3, 3]",
    ),
];

/// The attention of the cases [`CARRIED`].
const CARRIED_SUM: &str = "%k = transpose %v {perm = [0, 1, 3, 2]} : f32[1, 2, 4, 3]
         %s = matmul %v, %k : f32[1, 2, 3, 3]
         %a = add %s, %m : f32[1, 2, 3, 3]
         %w = softmax %a {axis = -1} : f32[1, 2, 3, 3]
         %p = matmul %w, %v : f32[1, 2, 3, 4]";

/// The lowest `f32` absorbs the scores of a row in which it hides all keys; limited to the range of `f16`, it would not in the
/// second step.
#[test]
fn a_mask_that_a_loop_carries_keeps_its_numbers() {
    for (case, attention, next) in CARRIED {
        let attention = attention.replace("#sum", CARRIED_SUM);
        let lowest = "-3.4028235e38";
        let body = format!(
            "%mask = parameter [{lowest}, {lowest}, {lowest}, 0.0, 0.0, {lowest}, 0.0, 0.0, 0.0] : f32[1, 1, 3, 3]
             %y, %last = loop 2, _, %x, %mask {{body = graph step(%i: i64[], %on: bool[], %v: f32[1, 2, 3, 4], %m: f32[1, 1, 3, 3]) {{
               {attention}
               {next}
               return %on, %p, %n
             }}}} : f32[1, 2, 3, 4], f32[1, 1, 3, 3]
             return %y"
        );
        let converted = check(case, to(ElementType::F16), &graph("%x: f32[1, 2, 3, 4]", &body));
        let text = converted.to_string();
        assert!(!["%n = clip", "%n = cast"].iter().any(|limited| text.contains(limited)), "{case}: {text}");
    }
}

/// Rows of constant masks to whose greatest number `f16` cannot add scores: the attention stays in `f32`. In the last
/// cases, each row has a visible key.
const HIDDEN: [(&str, &str); 14] = [
    (
        "row_hidden_through_an_expand",
        "%row = parameter [-10000.0, -10000.0, -10000.0] : f32[1, 1, 1, 3]
         %mask = expand %row, [1, 1, 3, 3] : f32[1, 1, 3, 3]
         %y = attention %near, %near, %near, %mask {scale = 0.5} : f32[1, 2, 3, 4]
         return %y",
    ),
    (
        "row_of_different_large_numbers",
        "%mask = parameter [-1e5, -5e4, -1e5] : f32[3]
         %masked = add %scores, %mask : f32[1, 2, 3, 3]
         %y = softmax %masked {axis = -1} : f32[1, 2, 3, 3]
         return %y",
    ),
    (
        "row_of_greatest_numbers",
        "%mask = parameter [3e38, 3e38, 3e38] : f32[3]
         %masked = add %scores, %mask : f32[1, 2, 3, 3]
         %y = softmax %masked {axis = -1} : f32[1, 2, 3, 3]
         return %y",
    ),
    (
        "row_hidden_by_a_computed_mask",
        "%keep = parameter [1, 1, 1, 0, 0, 0, 1, 1, 1] : i64[3, 3]
         %number = cast %keep {to = f32} : f32[3, 3]
         %hidden = sub 1.0, %number : f32[3, 3]
         %mask = mul %hidden, -12345.0 : f32[3, 3]
         %masked = add %scores, %mask : f32[1, 2, 3, 3]
         %y = softmax %masked {axis = -1} : f32[1, 2, 3, 3]
         return %y",
    ),
    (
        "row_hidden_beside_a_bias",
        "%mask = parameter [-3.4028235e38, -3.4028235e38, -1.7e38] : f32[3]
         %masked = add %scores, %mask : f32[1, 2, 3, 3]
         %biased = add %masked, %bias : f32[1, 2, 3, 3]
         %y = softmax %biased {axis = -1} : f32[1, 2, 3, 3]
         return %y",
    ),
    (
        "row_hidden_beside_a_bias_lifted",
        "%mask = parameter [-3.4028235e38, -3.4028235e38, -1.7e38] : f32[3]
         %masks = add %mask, %bias : f32[1, 2, 3, 3]
         %most = reduce_max %masks, [-1] : f32[1, 2, 3, 1]
         %below = min %most, 0.0 : f32[1, 2, 3, 1]
         %level = sub %masks, %below : f32[1, 2, 3, 3]
         %lifted = sub %level, %below : f32[1, 2, 3, 3]
         %deep = less %lifted, -1e30 : bool[1, 2, 3, 3]
         %bounded = where %deep, -1e30, %lifted : f32[1, 2, 3, 3]
         %y = attention %near, %near, %near, %bounded {scale = 0.5} : f32[1, 2, 3, 4]
         return %y",
    ),
    (
        "row_hidden_in_bodies",
        "%mask = parameter [-1e5, -5e4, -1e5] : f32[3]
         %y = if %c {then_branch = graph then(; %s: f32[1, 2, 3, 3] = %scores, %m: f32[3] = %mask) {
           %masked = add %s, %m : f32[1, 2, 3, 3]
           %p = softmax %masked {axis = -1} : f32[1, 2, 3, 3]
           return y = %p
         }, else_branch = graph else(; %d: bool[] = %c, %s: f32[1, 2, 3, 3] = %scores, %m: f32[3] = %mask) {
           %p = if %d {then_branch = graph inner(; %s: f32[1, 2, 3, 3] = %s, %m: f32[3] = %m) {
             %masked = add %m, %s : f32[1, 2, 3, 3]
             %p = softmax %masked {axis = -1} : f32[1, 2, 3, 3]
             return y = %p
           }, else_branch = graph other(; %s: f32[1, 2, 3, 3] = %s) {
             return y = %s
           }} : f32[1, 2, 3, 3]
           return y = %p
         }} : f32[1, 2, 3, 3]
         return %y",
    ),
    (
        "row_hidden_before_a_log_softmax",
        "%masked = add %scores, -10000.0 : f32[1, 2, 3, 3]
         %y = log_softmax %masked {axis = -1} : f32[1, 2, 3, 3]
         return %y",
    ),
    (
        "row_hidden_in_sums_of_products",
        "%first = unsqueeze %near, [3] : f32[1, 2, 3, 1, 4]
         %second = unsqueeze %near, [2] : f32[1, 2, 1, 3, 4]
         %products = mul %first, %second : f32[1, 2, 3, 3, 4]
         %sums = reduce_sum %products, [-1] {keepdims = false} : f32[1, 2, 3, 3]
         %mask = parameter [-1e5, -5e4, -1e5] : f32[3]
         %masked = add %sums, %mask : f32[1, 2, 3, 3]
         %y = softmax %masked {axis = -1} : f32[1, 2, 3, 3]
         return %y",
    ),
    (
        "row_hidden_in_products_of_integers",
        "%codes, %scale, %zero = dynamic_quantize_linear %near : u8[1, 2, 3, 4], f32[], u8[]
         %turned = transpose %codes {perm = [0, 1, 3, 2]} : u8[1, 2, 4, 3]
         %sums = matmul_integer %codes, %turned, %zero, %zero : i32[1, 2, 3, 3]
         %numbers = cast %sums {to = f32} : f32[1, 2, 3, 3]
         %square = mul %scale, %scale : f32[]
         %products = mul %numbers, %square : f32[1, 2, 3, 3]
         %mask = parameter [-1e5, -5e4, -1e5] : f32[3]
         %masked = add %products, %mask : f32[1, 2, 3, 3]
         %y = softmax %masked {axis = -1} : f32[1, 2, 3, 3]
         return %y",
    ),
    (
        "row_hidden_before_exponentials",
        "%mask = parameter [-10000.0, -10000.0, -10000.0] : f32[3]
         %masked = add %scores, %mask : f32[1, 2, 3, 3]
         %most = reduce_max %masked, [-1] : f32[1, 2, 3, 1]
         %apart = sub %masked, %most : f32[1, 2, 3, 3]
         %exponentials = exp %apart : f32[1, 2, 3, 3]
         return %exponentials",
    ),
    (
        "row_of_different_fills",
        "%keep = parameter [false, false, false] : bool[3]
         %fills = parameter [-3.4028235e38, -1.7e38, -3.4028235e38] : f32[3]
         %masked = where %keep, %scores, %fills : f32[1, 2, 3, 3]
         %y = softmax %masked {axis = -1} : f32[1, 2, 3, 3]
         return %y",
    ),
    (
        "rows_with_a_visible_key",
        "%mask = parameter [0.0, -3.4028235e38, -1e5, -10000.0, 5.0, -10000.0, -1e9, -inf, -2.0] : f32[3, 3]
         %masked = add %scores, %mask : f32[1, 2, 3, 3]
         %y = softmax %masked {axis = -1} : f32[1, 2, 3, 3]
         return %y",
    ),
    (
        "columns_with_a_visible_key",
        "%mask = parameter [0.0, -1e5, 0.0, 0.0, -1e5, -1e5, 0.0, 0.0, 0.0] : f32[3, 3]
         %masked = add %scores, %mask : f32[1, 2, 3, 3]
         %y = softmax %masked {axis = -2} : f32[1, 2, 3, 3]
         return %y",
    ),
];

#[test]
fn rows_to_which_a_large_number_is_added() {
    for (case, body) in HIDDEN {
        let body = format!(
            "%near = tanh %x : f32[1, 2, 3, 4]
             %columns = transpose %near {{perm = [0, 1, 3, 2]}} : f32[1, 2, 4, 3]
             %scores = matmul %near, %columns : f32[1, 2, 3, 3]
             {body}"
        );
        let inputs = [("%c", "%c: bool[]"), ("%x", "%x: f32[1, 2, 3, 4]"), ("%bias", "%bias: f32[1, 2, 3, 3]")];
        let inputs = inputs.iter().filter(|(name, _)| body.split([' ', ',']).any(|word| word == *name));
        let inputs: Vec<&str> = inputs.map(|(_, input)| *input).collect();
        let original = graph(&inputs.join(", "), &body);
        let converted = check(case, to(ElementType::F16), &original);
        check_near(case, "convert-precision", &original, &converted, 1e-2);
        let options = Options::for_target(Target::TRACT).with_precision(to(ElementType::F16));
        let mut lowered = model(&original);
        optimize(&mut lowered, &options).unwrap_or_else(|error| panic!("{case}: {error}"));
        check_near(case, "convert-precision", &original, &lowered.graph, 1e-2);
    }
}

/// The scores of the cases [`HIDDEN_BY_INPUTS`], and those of an attention.
const HEADS: &str = "%near = tanh %x : f32[b, 2, s, 4]
         %columns = transpose %near {perm = [0, 1, 3, 2]} : f32[b, 2, 4, s]
         %scores = matmul %near, %columns : f32[b, 2, s, s]";

/// Masks of which an input may make a row that hides all keys: the sum of scores and the mask stays in `f32`, or the rows
/// of an attention's mask are shifted. In the last cases, no row can be hidden, or a hidden row is the same in each type.
const HIDDEN_BY_INPUTS: [(&str, &str); 20] = [
    (
        "input_hides_a_row_by_ten_thousand",
        "#heads
         %mask = where %keep, 0.0, -10000.0 : f32[b, 1, s, s]
         %masked = add %scores, %mask : f32[b, 2, s, s]
         %y = softmax %masked {axis = -1} : f32[b, 2, s, s]
         return %y",
    ),
    (
        "input_hides_a_row_before_exponentials",
        "#heads
         %mask = where %keep, 0.0, -10000.0 : f32[b, 1, s, s]
         %masked = add %scores, %mask : f32[b, 2, s, s]
         %most = reduce_max %masked, [-1] : f32[b, 2, s, 1]
         %apart = sub %masked, %most : f32[b, 2, s, s]
         %y = exp %apart : f32[b, 2, s, s]
         return %y",
    ),
    (
        "bias_added_to_scores_that_are_replaced",
        "#heads
         %replaced = where %keep, %scores, -3.4028235e38 : f32[b, 2, s, s]
         %biased = add %bias, %replaced : f32[b, 2, s, s]
         %y = softmax %biased {axis = -1} : f32[b, 2, s, s]
         return %y",
    ),
    (
        "input_hides_a_row_of_an_attention",
        "#heads
         %mask = where %keep, 0.0, -1e30 : f32[b, 1, s, s]
         %y = attention %near, %near, %near, %mask : f32[b, 2, s, 4]
         return %y",
    ),
    (
        "input_hides_a_row_of_an_attention_by_ten_thousand",
        "#heads
         %mask = where %keep, 0.0, -10000.0 : f32[b, 1, s, s]
         %y = attention %near, %near, %near, %mask : f32[b, 2, s, 4]
         return %y",
    ),
    (
        "input_hides_a_row_of_merged_heads",
        "%near = tanh %z : f32[b, s, 8]
         %mask = where %keep, 0.0, -1e30 : f32[b, 1, s, s]
         %y = attention %near, %near, %near, %mask {kv_num_heads = 2, q_num_heads = 2} : f32[b, s, 8]
         %again = attention %y, %near, %near, %mask {kv_num_heads = 2, q_num_heads = 2} : f32[b, s, 8]
         return %again",
    ),
    (
        "input_hides_a_row_of_one_of_merged_heads",
        "%near = tanh %z : f32[b, s, 8]
         %hidden = where %keep, 0.0, -1e30 : f32[b, 1, s, s]
         %bias = parameter [1.0, 2.0] : f32[2, 1, 1]
         %mask = add %bias, %hidden : f32[b, 2, s, s]
         %y = attention %near, %near, %near, %mask {kv_num_heads = 2, q_num_heads = 2} : f32[b, s, 8]
         return %y",
    ),
    (
        "input_hides_a_lifted_row",
        "#heads
         %mask = where %keep, 0.0, -3.4028235e38 : f32[b, 1, s, s]
         %most = reduce_max %mask, [-1] : f32[b, 1, s, 1]
         %level = sub %mask, %most : f32[b, 1, s, s]
         %lifted = sub %level, %most : f32[b, 1, s, s]
         %y = attention %near, %near, %near, %lifted : f32[b, 2, s, 4]
         return %y",
    ),
    (
        "input_hides_a_row_by_a_number_that_rounds_scores",
        "#heads
         %mask = where %keep, 0.0, -1e9 : f32[b, 1, s, s]
         %y = attention %near, %near, %near, %mask : f32[b, 2, s, 4]
         return %y",
    ),
    (
        "input_hides_a_row_by_a_sum_that_rounds_scores",
        "#heads
         %hidden = where %keep, 0.0, -2e8 : f32[b, 1, s, s]
         %small = tanh %bias : f32[b, 2, s, s]
         %mask = add %hidden, %small : f32[b, 2, s, s]
         %y = attention %near, %near, %near, %mask {scale = 20.0} : f32[b, 2, s, 4]
         return %y",
    ),
    (
        "input_hides_a_row_by_a_product_that_rounds_scores",
        "#heads
         %mask = mul %bias, -2e8 : f32[b, 2, s, s]
         %y = attention %near, %near, %near, %mask {scale = 20.0} : f32[b, 2, s, 4]
         return %y",
    ),
    (
        "input_hides_a_row_of_a_causal_attention",
        "#heads
         %mask = where %keep, 0.0, -1e30 : f32[b, 1, s, s]
         %y = attention %near, %near, %near, %mask {is_causal = true} : f32[b, 2, s, 4]
         return %y",
    ),
    (
        "input_hides_a_row_in_a_branch",
        "#heads
         %mask = where %keep, 0.0, -1e30 : f32[b, 1, s, s]
         %y = if %c {then_branch = graph then(; %n: f32[b, 2, s, 4] = %near, %m: f32[b, 1, s, s] = %mask) {
           %p = attention %n, %n, %n, %m : f32[b, 2, s, 4]
           return y = %p
         }, else_branch = graph else(; %n: f32[b, 2, s, 4] = %near) {
           return y = %n
         }} : f32[b, 2, s, 4]
         return %y",
    ),
    (
        "column_hidden_in_a_branch",
        "%near = tanh %x : f32[b, 2, s, 4]
         %columns = transpose %near {perm = [0, 1, 3, 2]} : f32[b, 2, 4, s]
         %size = shape %x {start = 2, end = 3} : i64[1]
         %length = squeeze %size : i64[]
         %places = range 0, %length, 1 : i64[s]
         %columns_of_one = unsqueeze %places, [0] : i64[1, s]
         %later = less 0, %columns_of_one : bool[1, s]
         %mask = where %later, -10000.0, 0.0 : f32[1, s]
         %y = if %c {then_branch = graph then(; %n: f32[b, 2, s, 4] = %near, %o: f32[b, 2, 4, s] = %columns, %m: f32[1, s] = %mask) {
           %scores = matmul %n, %o : f32[b, 2, s, s]
           %masked = add %scores, %m : f32[b, 2, s, s]
           %p = softmax %masked {axis = -2} : f32[b, 2, s, s]
           return y = %p
         }, else_branch = graph else(; %n: f32[b, 2, s, 4] = %near, %o: f32[b, 2, 4, s] = %columns) {
           %scores = matmul %n, %o : f32[b, 2, s, s]
           return y = %scores
         }} : f32[b, 2, s, s]
         return %y",
    ),
    (
        "first_key_of_each_row_is_visible",
        "#heads
         %size = shape %x {start = 2, end = 3} : i64[1]
         %length = squeeze %size : i64[]
         %places = range 0, %length, 1 : i64[s]
         %rows = unsqueeze %places, [1] : i64[s, 1]
         %hidden = less %rows, %places : bool[s, s]
         %mask = where %hidden, -10000.0, 0.0 : f32[s, s]
         %y = attention %near, %near, %near, %mask : f32[b, 2, s, 4]
         %masked = add %scores, %mask : f32[b, 2, s, s]
         %z = softmax %masked {axis = -1} : f32[b, 2, s, s]
         return %y, %z",
    ),
    (
        "bias_near_0_is_chosen",
        "#heads
         %mask = where %keep, 0.0, -5.0 : f32[b, 1, s, s]
         %y = attention %near, %near, %near, %mask : f32[b, 2, s, 4]
         %masked = add %scores, %mask : f32[b, 2, s, s]
         %z = softmax %masked {axis = -1} : f32[b, 2, s, s]
         return %y, %z",
    ),
    (
        "infinity_hides_what_another_mask_shows",
        "#heads
         %size = shape %x {start = 2, end = 3} : i64[1]
         %length = squeeze %size : i64[]
         %places = range 0, %length, 1 : i64[s]
         %rows = unsqueeze %places, [1] : i64[s, 1]
         %later = less %rows, %places : bool[s, s]
         %causal = where %later, -3.4028235e38, 0.0 : f32[s, s]
         %ahead = add %scores, %causal : f32[b, 2, s, s]
         %mask = where %keep, 0.0, -inf : f32[b, 1, s, s]
         %masked = add %ahead, %mask : f32[b, 2, s, s]
         %y = softmax %masked {axis = -1} : f32[b, 2, s, s]
         %fill = constant_of_shape [1] {value = tensor(f32[1] [-inf])} : f32[1]
         %seen = where %keep, %scores, %fill : f32[b, 2, s, s]
         %replaced = add %seen, %causal : f32[b, 2, s, s]
         %v = softmax %replaced {axis = -1} : f32[b, 2, s, s]
         return %y, %v",
    ),
    (
        "branches_hide_keys",
        "#heads
         %mask = if %c {then_branch = graph then(; %k: bool[b, 1, s, s] = %keep) {
           %m = where %k, 0.0, -3.4028235e38 : f32[b, 1, s, s]
           return m = %m
         }, else_branch = graph else(; %k: bool[b, 1, s, s] = %keep) {
           %n = cast %k {to = f32} : f32[b, 1, s, s]
           return m = %n
         }} : f32[b, 1, s, s]
         %masked = add %scores, %mask : f32[b, 2, s, s]
         %y = softmax %masked {axis = -1} : f32[b, 2, s, s]
         return %y",
    ),
    (
        "input_hides_a_row_by_infinity",
        "#heads
         %mask = where %keep, 0.0, -inf : f32[b, 1, s, s]
         %masked = add %scores, %mask : f32[b, 2, s, s]
         %y = softmax %masked {axis = -1} : f32[b, 2, s, s]
         return %y",
    ),
    (
        "scores_are_replaced",
        "#heads
         %masked = where %keep, %scores, -10000.0 : f32[b, 2, s, s]
         %y = softmax %masked {axis = -1} : f32[b, 2, s, s]
         return %y",
    ),
];

#[test]
fn rows_that_an_input_may_hide() {
    for (case, body) in HIDDEN_BY_INPUTS {
        let body = body.replace("#heads", HEADS);
        let inputs = [
            ("%c", "%c: bool[]"),
            ("%x", "%x: f32[b, 2, s, 4]"),
            ("%z", "%z: f32[b, s, 8]"),
            ("%keep", "%keep: bool[b, 1, s, s]"),
            ("%bias", "%bias: f32[b, 2, s, s]"),
        ];
        let is_read =
            |name: &str| body.split([' ', ',', ')']).any(|word| word == name) && !body.contains(&format!("{name} ="));
        let inputs: Vec<&str> = inputs.iter().filter(|(name, _)| is_read(name)).map(|(_, input)| *input).collect();
        let original = graph(&inputs.join(", "), &body);
        let converted = check(case, to(ElementType::F16), &original);
        check_near(case, "convert-precision", &original, &converted, 1e-2);
        for target in [Target::TRACT, Target::ORT] {
            let options = Options::for_target(target).with_precision(to(ElementType::F16));
            let mut optimized = model(&original);
            optimize(&mut optimized, &options).unwrap_or_else(|error| panic!("{case}: {error}"));
            check_near(case, "convert-precision", &original, &optimized.graph, 1e-2);
        }
    }
}

/// A softmax that stays in `f32` reads its mask through a cast that the model has after the softmax.
#[test]
fn a_mask_that_is_cast_later() {
    let later_cast = "%columns = transpose %q {perm = [0, 1, 3, 2]} : f16[b, 2, 4, s]
         %scores = matmul %q, %columns : f16[b, 2, s, s]
         %scaled = mul %scores, f16[] hex(0038) : f16[b, 2, s, s]
         %kept = cast %keep {to = f16} : f16[b, 1, s, s]
         %mask = sub %kept, f16[] hex(003c) : f16[b, 1, s, s]
         %masked = add %scaled, %mask : f16[b, 2, s, s]
         %p = softmax %masked {axis = -1} : f16[b, 2, s, s]
         %z = neg %p : f16[b, 2, s, s]
         %late = cast %mask {to = f32} : f32[b, 1, s, s]
         return %late, %z";
    let graph = graph("%q: f16[b, 2, s, 4], %keep: bool[b, 1, s, s]", later_cast);
    assert!(common::check_second_run_in("a mask that is cast later", &model(&graph), Some(ElementType::F16)));
}

/// Neither the number of paths to a mask nor their length matters: the second case has 2^50 paths to an input.
#[test]
fn masks_that_are_doubled_many_times() {
    let sums: String = (0..50).map(|at| format!("%a{} = add %a{at}, %a{at} : f32[4]\n", at + 1)).collect();
    for (case, start) in
        [("constant", "%a0 = parameter [-1.0, -2.0, -1.0, -1.0] : f32[4]"), ("input", "%a0 = relu %m : f32[4]")]
    {
        let body = format!(
            "{start}
             {sums}
             %h = tanh %x : f32[4, 4]
             %scores = matmul %h, %h : f32[4, 4]
             %masked = add %scores, %a50 : f32[4, 4]
             %y = softmax %masked {{axis = -1}} : f32[4, 4]
             return %y"
        );
        let inputs = if case == "input" { "%x: f32[4, 4], %m: f32[4]" } else { "%x: f32[4, 4]" };
        let mut converted = model(&graph(inputs, &body));
        optimize(&mut converted, &options(to(ElementType::F16))).unwrap_or_else(|error| panic!("{case}: {error}"));
        let text = converted.graph.to_string();
        let masked = text.lines().find(|line| line.contains("softmax")).unwrap_or_else(|| panic!("{case}: {text}"));
        assert!(masked.ends_with("f32[4, 4]"), "{case}: {text}");
    }
}

/// Only the bias of an attention hides scores; its query is data.
#[test]
fn numbers_in_operands_of_contributed_attention() {
    for (case, operands) in [
        ("number_in_the_query_of_an_attention", "%a, %h, %h"),
        ("number_in_the_bias_of_an_attention", "%h, %h, %h, _, _, %a"),
    ] {
        let body = format!(
            "%h = tanh %x : f32[1, 4, 4]
             %w = parameter uniform(seed = 1, bound = 0.5) : f32[4, 4]
             %b = matmul %h, %w : f32[1, 4, 4]
             %a = where %keep, %b, 1e6 : f32[1, 4, 4]
             %y = \"com.microsoft::MultiHeadAttention@1\" {operands} {{num_heads = 1}} : f32[1, 4, 4]
             return %y"
        );
        check(case, to(ElementType::F16), &graph("%x: f32[1, 4, 4], %keep: bool[1, 4, 4]", &body));
    }
}

/// ONNX Runtime returns NaN for a row of minus infinity in `f16`.
#[test]
fn masks_of_shared_caches_are_bounded() {
    let inputs = "%x: f32[b, s, 8], %past: f32[b, 1, p, 8], %last: i32[b], %total: i32[1], %keep: bool[b, 1, s, s]";
    for (case, fill) in [("shared_cache_of_infinite_rows", "-inf"), ("shared_cache_of_finite_rows", "-10.0")] {
        let body = format!(
            "%mask = where %keep, 0.0, {fill} : f32[b, 1, s, s]
             %y, %k, %v = \"com.microsoft::GroupQueryAttention@1\" %x, %x, %x, %past, %past, %last, %total, _, _, _, \
             %mask {{kv_num_heads = 1, num_heads = 1}} : f32[b, s, 8], f32[b, 1, p, 8], f32[b, 1, p, 8]
             return %y, %k, %v"
        );
        let options =
            Options::for_target(Target::ORT).with_only(Vec::<String>::new()).with_precision(to(ElementType::F16));
        let mut converted = model(&graph(inputs, &body));
        converted.opsets.insert("com.microsoft".to_owned(), 1);
        let before = converted.graph.to_string();
        optimize(&mut converted, &options).unwrap_or_else(|error| panic!("{case}: {error}"));
        common::snapshot("passes", &format!("{case}@convert-precision"), &diff(&before, &converted.graph.to_string()));
        let again = optimize(&mut converted, &options).unwrap_or_else(|error| panic!("{case}: {error}"));
        assert_eq!(again.applied, vec![], "{case}: once is enough");
    }
}
