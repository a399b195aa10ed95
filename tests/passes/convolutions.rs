//! Tests of the stems of vision models: padding, batch normalization, and transposes between layouts.

use super::{check_diff, check_near, check_pass, run};
use netwright::ir::{Graph, parse};

fn graph(inputs: &str, body: &str) -> Graph {
    let text = format!("g({inputs}) {{\n{body}\n}}");
    parse(&text).unwrap_or_else(|error| panic!("{error} in\n{text}"))
}

const IMAGE: &str = "%x: f32[b, 2, 5, 5]";

#[test]
fn fold_padding() {
    let weight = "%w = parameter uniform(seed = 1, bound = 0.5) : f32[3, 2, 3, 3]";
    for (case, pad, steps) in [
        ("padded_convolution", "[0, 0, 1, 1, 0, 0, 1, 1]", "%y = conv %p, %w : f32[b, 3, 5, 5]"),
        (
            "padded_convolution_that_pads",
            "[0, 0, 0, 0, 0, 0, 2, 2]",
            "%y = conv %p, %w {pads = [1, 1, 0, 0], strides = [2, 2]} : f32[b, 3, 3, 3]",
        ),
        ("padded_with_ones", "[0, 0, 1, 1, 0, 0, 1, 1], 1.0", "%y = conv %p, %w : f32[b, 3, 5, 5]"),
        ("padded_mean", "[0, 0, 1, 1, 0, 0, 1, 1]", "%y = average_pool %p {kernel_shape = [3, 3]} : f32[b, 2, 5, 5]"),
        (
            "padded_maximum_of_any_numbers",
            "[0, 0, 1, 1, 0, 0, 1, 1]",
            "%y = max_pool %p {kernel_shape = [3, 3]} : f32[b, 2, 5, 5]",
        ),
    ] {
        let weight = if steps.contains("%w") { weight } else { "" };
        let body = format!("{weight}\n%p = pad %x, {pad} : f32[b, 2, 7, 7]\n{steps}\nreturn %y");
        check_pass(case, "fold-padding", &graph(IMAGE, &body));
    }
    let body = "%w = parameter uniform(seed = 1, bound = 0.5) : f32[3, 3, 3, 3]
        %p = pad %x, [0, 0, 1, 1, 0, 1, 1, 1] : f32[b, 3, 7, 7]
        %y = conv %p, %w : f32[b, 3, 5, 5]
        return %y";
    check_pass("padded_channels", "fold-padding", &graph(IMAGE, body));
    let body = "%r = relu %x : f32[b, 2, 5, 5]
        %p = pad %r, [0, 0, 1, 1, 0, 0, 1, 1] : f32[b, 2, 7, 7]
        %y = max_pool %p {kernel_shape = [3, 3]} : f32[b, 2, 5, 5]
        return %y";
    check_pass("padded_maximum_of_activations", "fold-padding", &graph(IMAGE, body));
    let body = "%p = pad %x, [0, 0, 3, 3, 0, 0, 3, 3], -inf : f32[b, 2, 11, 11]
        %y = max_pool %p {kernel_shape = [3, 3]} : f32[b, 2, 9, 9]
        return %y";
    check_pass("padded_wider_than_a_window", "fold-padding", &graph(IMAGE, body));
}

#[test]
fn fold_into_convolution() {
    let statistics = "%scale = parameter [1, 2, 3] : f32[3]
        %shift = parameter [-1, 0, 1] : f32[3]
        %mean = parameter [0.5, 0.25, 0] : f32[3]
        %variance = parameter [1, 4, 0.25] : f32[3]";
    let normalized = "%y = batch_normalization %c, %scale, %shift, %mean, %variance {epsilon = 1e-3}";
    for (case, steps, ty, rest) in [
        (
            "normalized_convolution",
            "%w = parameter uniform(seed = 1, bound = 0.5) : f32[3, 2, 3, 3]
             %b = parameter [1, -1, 2] : f32[3]
             %c = conv %x, %w, %b : f32[b, 3, 3, 3]",
            "f32[b, 3, 3, 3]",
            "return %y",
        ),
        (
            "normalized_transposed_convolution",
            "%w = parameter uniform(seed = 1, bound = 0.5) : f32[2, 3, 3, 3]
             %c = conv_transpose %x, %w : f32[b, 3, 7, 7]",
            "f32[b, 3, 7, 7]",
            "return %y",
        ),
        (
            "normalized_convolution_that_is_read",
            "%w = parameter uniform(seed = 1, bound = 0.5) : f32[3, 2, 3, 3]
             %c = conv %x, %w : f32[b, 3, 3, 3]",
            "f32[b, 3, 3, 3]",
            "return %y, %c",
        ),
        (
            "convolution_by_weights_of_the_caller",
            "%c = conv %x, %kernel : f32[b, 3, 3, 3]",
            "f32[b, 3, 3, 3]",
            "return %y",
        ),
    ] {
        let body = format!("{statistics}\n{steps}\n{normalized} : {ty}\n{rest}");
        let inputs = format!("{IMAGE}, %kernel: f32[3, 2, 3, 3]");
        check_pass(case, "fold-into-convolution", &graph(&inputs, &body));
    }
    let conv = "%w = parameter uniform(seed = 1, bound = 0.5) : f32[3, 2, 3, 3]
        %b = parameter [1, -1, 2] : f32[3]
        %c = conv %x, %w, %b : f32[b, 3, 3, 3]";
    let bare = "%w = parameter uniform(seed = 1, bound = 0.5) : f32[2, 3, 3, 3]
        %c = conv_transpose %x, %w : f32[b, 3, 7, 7]";
    for (case, steps, arithmetic, constant) in [
        ("convolution_with_a_factor_and_a_bias", conv, "mul %c, %k", "[3, 1, 1]"),
        ("convolution_minus_a_number_for_each_channel", conv, "sub %c, %k", "[1, 3, 1, 1]"),
        ("convolution_divided_by_one_number", conv, "div %c, 3.0", "[3]"),
        ("transposed_convolution_with_a_bias", bare, "add %k, %c", "[3, 1, 1]"),
        ("transposed_convolution_with_a_factor", bare, "mul %k, %c", "[3, 1, 1]"),
        ("convolution_that_is_subtracted", conv, "sub %k, %c", "[3, 1, 1]"),
        ("convolution_with_a_factor_for_each_column", conv, "mul %c, %k", "[3]"),
    ] {
        let shape = if steps == conv { "f32[b, 3, 3, 3]" } else { "f32[b, 3, 7, 7]" };
        let constant = if arithmetic.contains("%k") {
            format!("%v = parameter [0.5, 2, -3] : f32[3]\n%k = reshape %v, {constant} : f32{constant}")
        } else {
            String::new()
        };
        let mut graph = graph(IMAGE, &format!("{steps}\n{constant}\n%y = {arithmetic} : {shape}\nreturn %y"));
        run("fold-constants", &mut graph);
        check_pass(case, "fold-into-convolution", &graph);
    }
    let half = |deviation: &str| {
        let body = format!(
            "%w = parameter cast(f32[3, 2, 3, 3] uniform(seed = 1, bound = 0.5)) : f16[3, 2, 3, 3]
             %scale = parameter hex(003c00400042) : f16[3]
             %shift = parameter hex(00bc0000003c) : f16[3]
             %mean = parameter hex(003800340000) : f16[3]
             %variance = parameter hex({deviation}) : f16[3]
             %xh = cast %x {{to = f16}} : f16[b, 2, 5, 5]
             %c = conv %xh, %w : f16[b, 3, 3, 3]
             %n = batch_normalization %c, %scale, %shift, %mean, %variance {{epsilon = 1e-12}} : f16[b, 3, 3, 3]
             %y = cast %n {{to = f32}} : f32[b, 3, 3, 3]
             return %y"
        );
        graph(IMAGE, &body)
    };
    let (case, pass, before) = ("normalized_convolution_in_f16", "fold-into-convolution", half("003c00440034"));
    check_near(case, pass, &before, &check_diff(case, pass, before.clone()), 1e-2);
    check_diff("normalized_by_a_variance_of_0_in_f16", pass, half("003c00000034"));
}

#[test]
fn cancel_transposes() {
    for (case, steps) in [
        (
            "activation_by_channel",
            "%bias = parameter [1, -1] : f32[2]
             %r = relu %t : f32[b, 5, 5, 2]
             %f = add %r, %bias : f32[b, 5, 5, 2]",
        ),
        (
            "mean_by_channel",
            "%bias = parameter [1, -1] : f32[2]
             %r = round %t : f32[b, 5, 5, 2]
             %f = mean %r, %bias : f32[b, 5, 5, 2]",
        ),
        ("padded_between", "%f = pad %t, [0, 1, 0, 0, 0, 0, 2, 0] : f32[b, 6, 7, 2]"),
        ("activation_with_bounds", "%f = clip %t, 0.0, 6.0 : f32[b, 5, 5, 2]"),
        ("normalized_channels", "%f = softmax %t {axis = -1} : f32[b, 5, 5, 2]"),
        (
            "bias_of_each_place",
            "%bias = parameter uniform(seed = 1, bound = 0.5) : f32[5, 2]
             %f = add %t, %bias : f32[b, 5, 5, 2]",
        ),
    ] {
        let body = format!(
            "%t = transpose %x {{perm = [0, 2, 3, 1]}} : f32[b, 5, 5, 2]
             {steps}
             %y = transpose %f {{perm = [0, 3, 1, 2]}} : ?
             return %y"
        );
        check_pass(case, "cancel-transposes", &graph(IMAGE, &body));
    }
}
