use super::{check, check_elements};

#[test]
fn the_shape_stays() {
    let words = "acos asin atan acosh asinh atanh cosh sinh tan celu elu selu leaky_relu thresholded_relu hard_sigmoid \
                 hard_swish mish shrink softsign swish round clip hardmax";
    for word in words.split(' ').filter(|word| !word.is_empty()) {
        check(&format!("%a = {word} %x"), "f32[batch, seq, 8]");
        check(&format!("%a = {word} %h"), "f16[2, 3]");
        check(&format!("%a = {word} %any"), "f32[*]");
        let arity = if word == "clip" { "1 to 3 operands" } else { "1 operand" };
        let expected = format!("{word}: it takes {arity}, but has 4");
        check(&format!("%a = {word} %x, %x, %x, %x"), &expected);
    }
    for (body, expected) in [
        ("%a = shrink %i {bias = 1.5}", "i64[2, 3]"),
        ("%a = tan %i", "tan: operand 0 must be of a float type, but its element type is i64"),
        ("%a = selu %h {alpha = 1.0, gamma = 2.0}", "f16[2, 3]"),
        ("%a = is_nan %x", "bool[batch, seq, 8]"),
        ("%a = is_inf %h {detect_negative = false}", "bool[2, 3]"),
        ("%a = is_inf %i", "is_inf: operand 0 must be of a float type, but its element type is i64"),
        ("%a = bitwise_not %i", "i64[2, 3]"),
        ("%a = bitwise_not %h", "bitwise_not: operand 0 must be of an integer type, but its element type is f16"),
        ("%a = hardmax %h {axis = 2}", "hardmax: the axis 2 is out of range for rank 2"),
    ] {
        check(body, expected);
    }
}

#[test]
fn types_change() {
    for (body, expected) in [
        ("%a = cast %x {to = f8e8m0, round_mode = \"nearest\"}", "f8e8m0[batch, seq, 8]"),
        (
            "%a = cast %x {to = f16, round_mode = \"even\"}",
            "cast: the attribute `round_mode` must be `up`, `down` or `nearest`, but is \"even\"",
        ),
        ("%a = cast_like %x, %i", "i64[batch, seq, 8]"),
        ("%a = cast_like %any, %h {saturate = false}", "f16[*]"),
        ("%a = bit_cast %x {to = i32}", "i32[batch, seq, 8]"),
        ("%a = bit_cast %h {to = f32}", "bit_cast: f16 has 16 bits, but f32 has 32"),
        ("%a = bit_cast %s {to = i32}", "bit_cast: string cannot be reinterpreted as another type"),
    ] {
        check(body, expected);
    }
}

#[test]
fn several_operands() {
    for (body, expected) in [
        ("%a = clip %x, 0.0, 6.0", "f32[batch, seq, 8]"),
        ("%a = clip %x, _, 6.0", "f32[batch, seq, 8]"),
        ("%a = clip %x, 0", "clip: the element types differ: f32 and i64"),
        ("%a = clip %x, [0.0, 1.0]", "clip: operand 1 must be one number, but its shape is [2]"),
        ("%a = prelu %x, f32[8] fill(0.1)", "f32[batch, seq, 8]"),
        ("%a = prelu %i, i64[3] fill(2)", "i64[2, 3]"),
        ("%a = prelu %h, f16[4, 2, 3] fill(hex(0000))", "prelu: the slope [4, 2, 3] has more axes than [2, 3]"),
        (
            "%a = prelu %x, f32[5] fill(0.1)",
            "prelu: the sizes of axis 0 of the slope [5] and of [batch, seq, 8] differ: 5 ≠ 8",
        ),
        ("%a = swiglu %x, %x {alpha = 1.5}", "f32[batch, seq, 8]"),
        ("%a = swiglu %any, %x", "f32[batch, seq, 8]"),
        (
            "%a = swiglu %x, f32[8] fill(1.0)",
            "swiglu: the shapes of the gate and the linear operand differ: [batch, seq, 8] and [8]",
        ),
        ("%a = mean %x, 0.5, f32[8] fill(1.0)", "f32[batch, seq, 8]"),
        ("%a = bitwise_and %i, 7", "i64[2, 3]"),
        (
            "%a = bitwise_or %i, i64[4] fill(1)",
            "bitwise_or: the shapes [2, 3] and [4] do not broadcast: 3 ≠ 4 on axis 1",
        ),
        ("%a = bitwise_xor %b, %b", "bitwise_xor: operand 0 must be of an integer type, but its element type is bool"),
        ("%a = bit_shift %u, u8[6] fill(1) {direction = \"LEFT\"}", "u8[4, 6]"),
        ("%a = bit_shift %u, u8[6] fill(1)", "bit_shift: the attribute `direction` is missing"),
    ] {
        check(body, expected);
    }
}

/// Inference follows shape arithmetic.
#[test]
fn elements_are_known() {
    for (body, expected) in [
        ("%a = abs [-3, 4]", "[3, 4]"),
        ("%a = relu [-3, 4]", "[0, 4]"),
        ("%g = sign [-3, 0, 9] : ?\n%a = add %g, [1, 1, 1]", "[0, 1, 2]"),
        ("%a = min [5, 6], [4], [7, 3]", "[4, 3]"),
        ("%a = max [5, 6], 4, [7, 3]", "[7, 6]"),
        ("%d = shape %x {end = 2} : ?\n%a = max %d, [2, 3], %d", "[max(2, batch), max(3, seq)]"),
        ("%d = shape %x {end = 2} : ?\n%a = clip %d, 0, _", "[batch, seq]"),
        ("%a = clip [-3, 4, 9], 1, 5", "[1, 4, 5]"),
        ("%a = mod [-7, 7], [4, 4]", "[1, 3]"),
        ("%m = mod [-7, 7], 4 {fmod = true} : ?\n%a = add %m, [3, 3]", "[0, 6]"),
        ("%m = div [-7, 7], 2 : ?\n%a = abs %m", "[3, 3]"),
        ("%d = shape %x {end = 1} : ?\n%a = mod %d, [4]", "[mod(batch, 4)]"),
        ("%a = mod [7], [0]", "[?]"),
        ("%a = div [7], [0]", "[?]"),
        ("%d = shape %x : ?\n%a = reduce_prod %d, [0]", "[8*batch*seq]"),
        ("%d = shape %x : ?\n%a = reduce_sum %d", "[batch + seq + 8]"),
        ("%d = shape %x : ?\n%a = reduce_max %d", "[max(8, batch, seq)]"),
        ("%l = cast_like [3, 4], %n : ?\n%a = cast %l {to = i64}", "[3, 4]"),
    ] {
        check_elements(body, expected);
    }
}
