use super::check;

#[test]
fn quantization() {
    let eight = "f32[8] fill(0.1)";
    for (body, expected) in [
        ("%a = quantize_linear %x, 0.1".to_owned(), "u8[batch, seq, 8]"),
        ("%a = quantize_linear %x, 0.1, i8[] 0".to_owned(), "i8[batch, seq, 8]"),
        ("%a = quantize_linear %x, 0.1, i8[1] [0]".to_owned(), "i8[batch, seq, 8]"),
        ("%a = quantize_linear %x, 0.1 {output_dtype = i4, precision = f16}".to_owned(), "i4[batch, seq, 8]"),
        ("%a = quantize_linear %x, 0.1 {output_dtype = 0}".to_owned(), "u8[batch, seq, 8]"),
        (format!("%a = quantize_linear %x, {eight} {{axis = -1}}"), "u8[batch, seq, 8]"),
        (
            "%a = quantize_linear f32[4, 7] fill(1.0), f32[4, 3] fill(0.1) {axis = 1, block_size = 3}".to_owned(),
            "u8[4, 7]",
        ),
        (
            "%a = quantize_linear %x, 0.1, i8[] 0 {output_dtype = u8}".to_owned(),
            "quantize_linear: `output_dtype` is u8, but the zero point is i8",
        ),
        (
            format!("%a = quantize_linear %x, {eight} {{axis = 3}}"),
            "quantize_linear: the axis 3 is out of range for rank 3",
        ),
        (
            "%a = quantize_linear %h, f16[5] fill(hex(003c))".to_owned(),
            "quantize_linear: the sizes of the scale [5] and of axis 1 of [2, 3] differ: 5 ≠ 3",
        ),
        (
            "%a = quantize_linear %h, f16[2, 3] fill(hex(003c))".to_owned(),
            "quantize_linear: the scale [2, 3] must be one number or a vector for an axis",
        ),
        (
            "%a = quantize_linear f32[4, 7] fill(1.0), f32[4, 2] fill(0.1) {block_size = 3}".to_owned(),
            "quantize_linear: the sizes of the scale [4, 2] and of blocks of 3 along axis 1 of [4, 7] differ: 2 ≠ 3",
        ),
        ("%a = quantize_linear %x, 0.1 {block_size = -1}".to_owned(), "quantize_linear: the block size -1 is negative"),
        (
            format!("%a = quantize_linear %x, {eight}, u8[2] fill(1) {{axis = 2}}"),
            "quantize_linear: the sizes of the scale [8] and the zero point [2] differ: 8 ≠ 2",
        ),
        ("%a = quantize_linear %x, 0.1, 0".to_owned(), "quantize_linear: its result cannot be i64"),
        ("%a = dequantize_linear %u, 0.1".to_owned(), "f32[4, 6]"),
        (
            "%a = dequantize_linear %x, 0.1".to_owned(),
            "dequantize_linear: operand 0 must be of a narrow type or i32, but its element type is f32",
        ),
        ("%a = dequantize_linear %u, f16[6] fill(hex(003c)), u8[6] fill(1)".to_owned(), "f16[4, 6]"),
        ("%a = dequantize_linear %u, 0.1 {output_dtype = bf16}".to_owned(), "bf16[4, 6]"),
        ("%a = dequantize_linear %u, 0.1, i8[] 0".to_owned(), "dequantize_linear: the element types differ: u8 and i8"),
        (
            "%a = dequantize_linear %u, f8e8m0[] hex(7f)".to_owned(),
            "dequantize_linear: its result cannot be f8e8m0, which can hold only powers of two",
        ),
        ("%a, %b2, %c2 = dynamic_quantize_linear %x".to_owned(), "u8[batch, seq, 8], f32[], u8[]"),
        (
            "%a, %b2, %c2 = dynamic_quantize_linear %h".to_owned(),
            "dynamic_quantize_linear: operand 0 must be of f32, but its element type is f16",
        ),
    ] {
        check(&body, expected);
    }
}

#[test]
fn losses() {
    let scores = "f32[2, 5, 3] fill(0.1)";
    for (body, expected) in [
        (format!("%a = negative_log_likelihood_loss {scores}, %i"), "f32[]"),
        (
            format!("%a = negative_log_likelihood_loss {scores}, %i {{reduction = \"none\", ignore_index = -1}}"),
            "f32[2, 3]",
        ),
        ("%a = negative_log_likelihood_loss %any, %i {reduction = \"none\"}".to_owned(), "f32[2, 3]"),
        (format!("%a, %p = softmax_cross_entropy_loss {scores}, %i, f32[5] fill(1.0)"), "f32[], f32[2, 5, 3]"),
        (format!("%a = softmax_cross_entropy_loss {scores}, %i {{reduction = \"sum\"}}"), "f32[]"),
        (
            format!("%a = softmax_cross_entropy_loss {scores}, %i, f32[4] fill(1.0)"),
            "softmax_cross_entropy_loss: the numbers of weights and of classes differ: 4 ≠ 5",
        ),
        (
            "%a = negative_log_likelihood_loss f32[2, 5] fill(0.1), %i".to_owned(),
            "negative_log_likelihood_loss: the sizes of the labels [2, 3] and of the scores without their classes [2] \
             differ: [2, 3] and [2]",
        ),
        (
            "%a = negative_log_likelihood_loss f32[2] fill(0.1), %i".to_owned(),
            "negative_log_likelihood_loss: operand 0 must have rank 2 or more, but its shape is [2]",
        ),
        (
            format!("%a = negative_log_likelihood_loss {scores}, {scores}"),
            "negative_log_likelihood_loss: operand 1 must be of i64 or i32, but its element type is f32",
        ),
    ] {
        check(&body, expected);
    }
}
