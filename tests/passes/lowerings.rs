use super::check_cases;

#[test]
fn lower_scaled_softmax() {
    check_cases(
        "lower-scaled-softmax",
        &[(
            "scaled_softmaxes",
            "%a = scaled_softmax %x, %m {axis = -1, scale = 0.125} : f32[b, h, q, k]
             %b = scaled_softmax %a {axis = 1, scale = 0.5} : f32[b, h, q, k]
             %c = scaled_softmax %b, %m {axis = -1, scale = 1.0} : f32[b, h, q, k]
             %d = cast %c {to = f16} : f16[b, h, q, k]
             %e = scaled_softmax %d {axis = -1, scale = 0.5} : f16[b, h, q, k]
             return %e",
        )],
    );
}

#[test]
fn decompose_gelu() {
    check_cases(
        "decompose-gelu",
        &[(
            "gelus",
            "%a = gelu %x : f32[b, h, q, k]
             %b = gelu %a {approximate = \"tanh\"} : f32[b, h, q, k]
             return %b",
        )],
    );
}

#[test]
fn decompose_rms_normalization() {
    check_cases(
        "decompose-rms-normalization",
        &[(
            "rms_normalizations",
            "%v = parameter fill(1.0) : f32[1]
             %a = rms_normalization %x, %v {epsilon = 1e-5} : f32[b, h, q, k]
             %n = cast %a {to = f16} : f16[b, h, q, k]
             %o = constant hex(003c) : f16[1]
             %d = rms_normalization %n, %o {axis = 2, epsilon = 1e-5} : f16[b, h, q, k]
             return %d",
        )],
    );
}
