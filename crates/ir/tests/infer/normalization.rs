use super::{check, check_attributes, check_error};
use netwright_ir::Attribute;

const IMAGE: &str = "%x: f32[n, 6, h, w], %c: f32[6], %d: f16[6], %five: f32[5]";

#[test]
fn normalization_keeps_the_shape() {
    for node in [
        "batch_normalization %x, %c, %c, %c, %c",
        "instance_normalization %x, %c, %c",
        "group_normalization %x, %c, %c {num_groups = 3}",
        "lrn %x {size = 3}",
        "lp_normalization %x {p = 1}",
        "mean_variance_normalization %x",
    ] {
        check(IMAGE, node, "f32[n, 6, h, w]");
    }
    let training = "batch_normalization %x, %c, %c, %d, %d {training_mode = true}";
    check(IMAGE, training, "f32[n, 6, h, w]; f16[6]; f16[6]");
    check("%x: f32[n], %c: f32[1]", "batch_normalization %x, %c, %c, %c, %c", "f32[n]");
    let defaults = "batch_normalization %x, %c, %c, %c, %c {epsilon = 1e-05, momentum = 0.9, training_mode = 0}";
    check_attributes(IMAGE, defaults, &[]);
    check_attributes(IMAGE, "lrn %x {alpha = 0.0001, beta = 0.75, size = 3}", &[("size", Attribute::Int(3))]);
}

#[test]
fn normalization_is_not_defined() {
    for (node, expected) in [
        (
            "batch_normalization %x, %c, %c, %c, %five",
            "batch_normalization: the size of operand 4 and the channels differ: 5 ≠ 6",
        ),
        ("batch_normalization %x, %c, %c, %c", "batch_normalization: it takes 5 operands, but has 4"),
        ("instance_normalization %x, %c, %d", "instance_normalization: the element types differ: f32 and f16"),
        (
            "group_normalization %x, %c, %c {num_groups = 4}",
            "group_normalization: 6 channels do not divide evenly into 4 groups",
        ),
        (
            "group_normalization %x, %c, %c {num_groups = 0}",
            "group_normalization: `num_groups` is 0, but must be at least 1",
        ),
        ("lrn %x {size = 0}", "lrn: `size` is 0, but must be at least 1"),
        ("lp_normalization %x {p = 3}", "lp_normalization: `p` must be 1 or 2, but is 3"),
        ("lp_normalization %x {axis = 4}", "lp_normalization: the axis 4 is out of range for rank 4"),
        ("mean_variance_normalization %c", "mean_variance_normalization: the axis 2 is out of range for rank 1"),
    ] {
        check_error(IMAGE, node, expected);
    }
    let three = super::infer(IMAGE, "batch_normalization %x, %c, %c, %c, %c", 3);
    assert_eq!(three, Err("batch_normalization: it has 1 result, but 3 are requested".to_owned()));
}
