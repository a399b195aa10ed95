use super::check;

#[test]
fn fourier_transforms() {
    let (real, complex) = ("f32[2, 10, 12, 1] fill(0.0)", "f32[2, 10, 12, 2] fill(0.0)");
    for (body, expected) in [
        (format!("%a = dft {real}"), "f32[2, 10, 12, 2]"),
        (format!("%a = dft {complex}, 16, 1 {{inverse = true}}"), "f32[2, 16, 12, 2]"),
        (format!("%a = dft {real}, _, 1 {{onesided = true}}"), "f32[2, 6, 12, 2]"),
        (format!("%a = dft {complex} {{onesided = true, inverse = true}}"), "f32[2, 10, 22, 1]"),
        (format!("%a = dft {complex}, 15, -3 {{onesided = true, inverse = true}}"), "f32[2, 15, 12, 1]"),
        (format!("%a = dft {real}, %n"), "f32[2, 10, ?, 2]"),
        (format!("%z = cast %n {{to = i64}} : ?\n%a = dft {real}, _, %z"), "f32[2, 10, 12, 2]"),
        (format!("%z = cast %n {{to = i64}} : ?\n%a = dft {real}, 5, %z"), "f32[?, ?, ?, 2]"),
        ("%a = dft f32[3, 1, 2] fill(0.0) {onesided = true, inverse = true}".to_owned(), "f32[3, 0, 1]"),
        ("%a = dft f32[3, 0, 2] fill(0.0) {onesided = true, inverse = true}".to_owned(), "dft: the length would be -2"),
        (format!("%a = dft {real}, _, 3"), "dft: the axis 3 of [2, 10, 12, 1] holds the real and imaginary parts"),
        (format!("%a = dft {real}, _, -5"), "dft: the axis -5 is out of range for rank 4"),
        (format!("%a = dft {real}, -4"), "dft: operand 1 must not be negative, but is -4"),
        (format!("%a = dft {complex} {{onesided = true}}"), "dft: the last size of [2, 10, 12, 2] and 1 differ: 2 ≠ 1"),
        ("%a = dft %x".to_owned(), "dft: the last size of [batch, seq, 8] must be 1 or 2, but is 8"),
        ("%a = dft [1.0]".to_owned(), "dft: operand 0 must have rank 2 or more, but its shape is [1]"),
    ] {
        check(&body, expected);
    }
}

#[test]
fn frames() {
    let signal = "f32[2, 128, 1] fill(0.0)";
    for (body, expected) in [
        (format!("%a = stft {signal}, 8, f32[16] fill(1.0)"), "f32[2, 15, 9, 2]"),
        (format!("%a = stft {signal}, 8, _, 16 {{onesided = false}}"), "f32[2, 15, 16, 2]"),
        (format!("%a = stft {signal}, 8"), "f32[2, 1, 65, 2]"),
        (format!("%a = stft {signal}, %n, _, 16"), "f32[2, ?, 9, 2]"),
        ("%t = reduce_sum %x, [-1] : ?\n%a = stft %t, 8, _, 16".to_owned(), "f32[batch, floor_div(seq, 8) - 1, 9, 2]"),
        (format!("%a = stft {signal}, 0"), "stft: the step of the frames must not be 0"),
        (format!("%a = stft {signal}, -8"), "stft: operand 1 must not be negative, but is -8"),
        (format!("%a = stft {signal}, 8, _, 129"), "stft: the frame length 129 is longer than the signal length 128"),
        (
            format!("%a = stft {signal}, 8, f32[16] fill(1.0), 15"),
            "stft: the lengths of the frame and the window differ: 15 ≠ 16",
        ),
        ("%a = stft f32[2, 128] fill(0.0), 8, _, 16".to_owned(), "f32[2, 15, 9, 2]"),
        ("%a = stft f32[2] fill(0.0), 8".to_owned(), "stft: operand 0 must have rank 3, but its shape is [2]"),
    ] {
        check(&body, expected);
    }
}

#[test]
fn windows() {
    for (body, expected) in [
        ("%a = hann_window 16", "f32[16]"),
        ("%a = hamming_window 16 {periodic = false, output_datatype = f64}", "f64[16]"),
        ("%a = blackman_window %n", "f32[?]"),
        ("%a = hann_window -1", "hann_window: operand 0 must not be negative, but is -1"),
        ("%a = hann_window 1 {output_datatype = string}", "hann_window: its result cannot be string"),
        ("%a = mel_weight_matrix 8, 16, 8192, 0.0, 4096.0", "f32[9, 8]"),
        (
            "%a = mel_weight_matrix 8, 16, 8192, 0, 4096.0",
            "mel_weight_matrix: operand 3 must be of a float type, but its element type is i64",
        ),
    ] {
        check(body, expected);
    }
}
