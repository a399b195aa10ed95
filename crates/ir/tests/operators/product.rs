use super::check;

#[track_caller]
fn einsum(equation: &str, operands: &str, expected: &str) {
    check(&format!("%a = einsum {operands} {{equation = \"{equation}\"}}"), expected);
}

#[test]
fn equations() {
    let square = "f32[3, 3] fill(1.0)";
    for (equation, operands, expected) in [
        ("bij,jk->bik", "%x, f32[8, 5] fill(1.0)", "f32[batch, seq, 5]"),
        (" b i j , j k -> b k ", "%x, f32[8, 5] fill(1.0)", "f32[batch, 5]"),
        ("bij,bkj", "%x, %x", "f32[seq, seq]"),
        ("ba", "f32[2, 3] fill(1.0)", "f32[3, 2]"),
        ("bA", "f32[2, 3] fill(1.0)", "f32[3, 2]"),
        ("ii", square, "f32[]"),
        ("ii->i", square, "f32[3]"),
        ("...ii->...i", square, "f32[3]"),
        ("...j->...", "%x", "f32[batch, seq]"),
        ("...j,jk", "%x, f32[8, 5] fill(1.0)", "f32[batch, seq, 5]"),
        ("a...b->b...a", "%x", "f32[8, seq, batch]"),
        ("...i,...i->...", "f32[4, 1, 8] fill(1.0), f32[1, 3, 8] fill(1.0)", "f32[4, 3]"),
        ("...i,...i->...", "%x, %any", "f32[?, ?]"),
        ("...i,...i->...", "%any, f32[4, 1, 8] fill(1.0)", "f32[4, ?]"),
        ("...i->...", "%any", "f32[*]"),
        ("ij,jk->ik", "%any, f32[8, 5] fill(1.0)", "f32[?, 5]"),
        ("ij,jk->ik", "f32[2, 1] fill(0.0), f32[8, 5] fill(1.0)", "f32[2, 5]"),
        (",", "1.0, 2.0", "f32[]"),
        ("->", "1.0", "f32[]"),
    ] {
        einsum(equation, operands, expected);
    }
}

#[test]
fn equations_that_are_invalid() {
    for (equation, operands, expected) in [
        ("ij,jk->ik", "%h, f16[4, 2] fill(hex(0000))", "the sizes of label `j` differ: 3 ≠ 4"),
        ("ii", "%h", "the sizes of label `i` differ: 2 ≠ 3"),
        ("ii", "f32[1, 3] fill(0.0)", "the sizes of label `i` differ: 1 ≠ 3"),
        ("ij", "%x", "the term of operand 0 has 2 labels, but its shape is [batch, seq, 8]"),
        ("...abcd", "%x", "the term of operand 0 has 4 labels, but its shape is [batch, seq, 8]"),
        ("ij,jk", "%h", "the equation has 2 terms, but there are 1 operands"),
        ("i1->i", "%h", "the term `i1` must consist of letters and at most one ellipsis"),
        ("i..j", "%h", "the term `i..j` must consist of letters and at most one ellipsis"),
        ("......", "%h", "the term `......` must consist of letters and at most one ellipsis"),
        ("ij->i->j", "%h", "the term `i->j` must consist of letters and at most one ellipsis"),
        ("ij->ik", "%h", "the label `k` of the result occurs in no operand"),
        ("ij->ii", "%h", "the label `i` occurs twice in the result"),
        (
            "...i,...j->...",
            "%h, f16[2, 3, 4] fill(hex(0000))",
            "the numbers of axes that the ellipsis stands for differ: 1 ≠ 2",
        ),
    ] {
        einsum(equation, operands, &format!("einsum: {expected}"));
    }
    check("%a = einsum %i, %h {equation = \"ij,ij\"}", "einsum: the element types differ: i64 and f16");
    check("%a = einsum %h", "einsum: the attribute `equation` is missing");
}

#[test]
fn products_and_determinants() {
    let (q, s, z) = ("u8[6, 2] fill(1)", "f32[] 0.5", "u8[] 3");
    for (body, expected) in [
        ("%a = det f32[4, 3, 3] fill(1.0)".to_owned(), "f32[4]"),
        ("%a = det %x".to_owned(), "f32[batch]"),
        ("%a = det %h".to_owned(), "det: the last two sizes of [2, 3] differ: 2 ≠ 3"),
        ("%a = det [1.0]".to_owned(), "det: operand 0 must have rank 2 or more, but its shape is [1]"),
        (format!("%a = matmul_integer %u, {q}"), "i32[4, 2]"),
        (format!("%a = matmul_integer %u, i8[6] fill(1), {z}, i8[] 1"), "i32[4]"),
        (format!("%a = matmul_integer %u, {q}, i8[] 1"), "matmul_integer: the element types differ: u8 and i8"),
        (
            "%a = matmul_integer %i, %i".to_owned(),
            "matmul_integer: operand 0 must be of i8 or u8, but its element type is i64",
        ),
        ("%a = matmul_integer %u, %u".to_owned(), "matmul_integer: the inner dims of [4, 6] × [4, 6] differ: 6 ≠ 4"),
        (format!("%a = qlinear_matmul %u, {s}, {z}, {q}, {s}, {z}, {s}, i8[] 1"), "i8[4, 2]"),
        (
            format!("%a = qlinear_matmul %u, {s}, {z}, {q}, {s}, {z}, {s}"),
            "qlinear_matmul: it takes 8 operands, but has 7",
        ),
    ] {
        check(&body, expected);
    }
}
