use super::check;
use netwright_ir::OpKind;

#[test]
fn random_numbers() {
    for (body, expected) in [
        ("%a, %m = dropout %x, 0.5, bool[] true {seed = 3}", "f32[batch, seq, 8], bool[batch, seq, 8]"),
        ("%a = dropout %h", "f16[2, 3]"),
        ("%a = dropout %x, 0.5, 1", "dropout: operand 2 must be of bool, but its element type is i64"),
        ("%a = bernoulli %x", "f32[batch, seq, 8]"),
        ("%a = bernoulli %x {dtype = bool, seed = 1.0}", "bool[batch, seq, 8]"),
        ("%a = random_normal {shape = [2, 3], mean = 1.0}", "f32[2, 3]"),
        ("%a = random_uniform {shape = [], dtype = f16}", "f16[]"),
        ("%a = random_uniform {shape = [-1]}", "random_uniform: the size -1 is negative"),
        (
            "%a = random_uniform {shape = [1], dtype = i64}",
            "random_uniform: its result must be a float type, but is i64",
        ),
        (
            "%a = random_normal {shape = [4294967296, 4294967296]}",
            "random_normal: the shape [4294967296, 4294967296] is larger than any tensor",
        ),
        ("%a = random_normal", "random_normal: the attribute `shape` is missing"),
        ("%a = random_normal_like %i {dtype = f64}", "f64[2, 3]"),
        ("%a = random_uniform_like %any {low = -1.0}", "f32[*]"),
        ("%a = random_uniform_like %i", "random_uniform_like: its result must be a float type, but is i64"),
        ("%a = multinomial %h {sample_size = 9}", "i32[2, 9]"),
        ("%a = multinomial %h {dtype = i64}", "i64[2, 1]"),
        ("%a = multinomial %h {dtype = f32}", "multinomial: its result must be i32 or i64, but is f32"),
        ("%a = multinomial %h {sample_size = -1}", "multinomial: the sample size -1 is negative"),
        ("%a = multinomial %x", "multinomial: operand 0 must have rank 2, but its shape is [batch, seq, 8]"),
    ] {
        check(body, expected);
    }
}

#[test]
fn random_operators_are_marked() {
    let random: Vec<_> = OpKind::ALL.iter().filter(|kind| kind.is_random()).map(|kind| kind.word()).collect();
    let seeded = "dropout bernoulli random_normal random_normal_like random_uniform random_uniform_like multinomial";
    assert_eq!(random.join(" "), seeded);
}
