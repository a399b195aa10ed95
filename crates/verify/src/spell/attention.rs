//! Replaces attention that tract computes wrong.

use super::{Attributes, Form, Types, int, ints, operand};
use crate::gate::attention_flaw;
use half::{bf16, f16};
use netwright_ir::ElementType;
use tract_onnx::pb::{AttributeProto, NodeProto, TensorProto, attribute_proto::AttributeType};

/// Attention (opset 23 and 24) that tract computes wrong -> products, masks and a softmax.
///
/// A row that is fully masked by minus infinity must be 0; tract returns NaN. `may_mask_rows` is whether there may be one.
pub(super) fn form(node: &NodeProto, types: &Types, may_mask_rows: bool) -> Option<Vec<NodeProto>> {
    if !may_mask_rows && attention_flaw(node, &|value| types.get(value)).is_none() {
        return None;
    }
    let mut attributes = Attributes::of(node);
    let is_causal = attributes.int("is_causal", 0) != 0;
    let heads = ["q_num_heads", "kv_num_heads"].map(|name| attributes.int(name, 0));
    let scale = attributes.float("scale");
    let plain =
        attributes.int("qk_matmul_output_mode", 0) == 0 && attributes.float("softcap").is_none_or(|cap| cap == 0.0);
    attributes.take("softmax_precision");
    attributes.end()?;
    let (query_name, key, value) = (operand(node, 0)?, operand(node, 1)?, operand(node, 2)?);
    let has_scores = node.output.get(3).is_some_and(|name| !name.is_empty());
    if !plain || has_scores || operand(node, 6).is_some() {
        return None;
    }
    let is_merged = match types.rank(query_name) {
        Some(rank) => rank == 3,
        None => heads[0] != 0,
    };
    let known = |of: &str| types.shape(of)?.get(1)?.known();
    let [query_heads, key_heads] = if is_merged { heads } else { [known(query_name)?, known(key)?] };
    if query_heads < 1 || key_heads < 1 || query_heads % key_heads != 0 {
        return None;
    }

    let mut form = Form::new(node);
    let [mut query, mut keys, mut values] = [query_name, key, value].map(ToOwned::to_owned);
    if is_merged {
        for (operand, heads) in [(&mut query, query_heads), (&mut keys, key_heads), (&mut values, key_heads)] {
            let shape = form.ints(&[0, 0, heads, -1]);
            let split = form.add("Reshape", &[operand, &shape]);
            *operand = swapped(&mut form, &split, [0, 2, 1, 3]);
        }
    }
    for (operand, at) in [(&mut keys, 4), (&mut values, 5)] {
        if let Some(past) = self::operand(node, at) {
            *operand = form.add_with("Concat", &[past, operand], vec![int("axis", 2)]);
        }
    }
    let present = [keys.clone(), values.clone()];
    if query_heads != key_heads {
        let times = query_heads.checked_div(key_heads).filter(|times| (1..=MAX_COPIES).contains(times))?;
        for operand in [&mut keys, &mut values] {
            *operand = repeated(&mut form, operand, query_heads, times);
        }
    }

    let transposed = swapped(&mut form, &keys, [0, 1, 3, 2]);
    let product = form.add("MatMul", &[&query, &transposed]);
    let mut scores = if let Some(scale) = scale.filter(|scale| *scale != 0.0) {
        let scale = like(&mut form, scale, &product);
        form.add("Mul", &[&product, &scale])
    } else {
        let size = form.size(&query, -1);
        let size = form.add_with("Cast", &[&size], vec![int("to", ElementType::F32.number())]);
        let root = form.add("Sqrt", &[&size]);
        let root = form.add("CastLike", &[&root, &product]);
        form.add("Div", &[&product, &root])
    };
    let mut sums = types.element(query_name);
    if let Some(mask) = operand(node, 3) {
        let own = types.element(mask)?;
        if own == ElementType::F32 && sums != Some(own) {
            // tract adds up in f32, and so takes a mask of it beside queries of any type.
            scores = form.add("CastLike", &[&scores, mask]);
        }
        sums = Some(own).filter(|own| own.is_float()).or(sums);
        let bias = if own == ElementType::Bool {
            let [zero, never] = [0.0, f32::NEG_INFINITY].map(|value| like(&mut form, value, &scores));
            form.add("Where", &[mask, &zero, &never])
        } else if own.is_float() {
            mask.to_owned()
        } else {
            form.add("CastLike", &[mask, &scores])
        };
        scores = form.add("Add", &[&scores, &bias]);
    }
    if is_causal {
        let [queries, keys] = [&query, &keys].map(|of| form.size(of, 2));
        let past = match operand(node, 4) {
            Some(past) => form.size(past, 2),
            None => form.ints(&[0]),
        };
        let end = form.add("Add", &[&past, &queries]);
        let sizes = form.add_with("Concat", &[&end, &keys], vec![int("axis", 0)]);
        let never = form.add_with("ConstantOfShape", &[&sizes], vec![infinity()]);
        let one = form.add_with("Constant", &[], vec![int("value_int", 1)]);
        let later = form.add_with("Trilu", &[&never, &one], vec![int("upper", 1)]);
        let later = form.slice(&later, &past, &end, 0);
        let later = form.add("CastLike", &[&later, &scores]);
        scores = form.add("Add", &[&scores, &later]);
    }

    let axes = form.ints(&[-1]);
    let lowest = match sums {
        Some(ElementType::F16) => f16::MIN.to_f32(),
        Some(ElementType::BF16) => bf16::MIN.to_f32(),
        _ => f32::MIN,
    };
    let [lowest, one] = [lowest, 1.0].map(|value| like(&mut form, value, &scores));
    let largest = form.add("ReduceMax", &[&scores, &axes]);
    let largest = form.add("Max", &[&largest, &lowest]);
    let below = form.add("Sub", &[&scores, &largest]);
    let powers = form.add("Exp", &[&below]);
    let sum = form.add("ReduceSum", &[&powers, &axes]);
    // The largest power is 1, unless all are 0.
    let sum = form.add("Max", &[&sum, &one]);
    let weights = form.add("Div", &[&powers, &sum]);
    let weights = form.add("CastLike", &[&weights, &values]);
    let mut result = form.add("MatMul", &[&weights, &values]);
    if is_merged {
        let shape = form.ints(&[0, 0, -1]);
        result = swapped(&mut form, &result, [0, 2, 1, 3]);
        result = form.add("Reshape", &[&result, &shape]);
    }
    Some(form.finish(&[(0, &result), (1, &present[0]), (2, &present[1])]))
}

/// The largest number of query heads per key head.
const MAX_COPIES: i64 = 1024;

fn swapped(form: &mut Form, of: &str, perm: [i64; 4]) -> String {
    form.add_with("Transpose", &[of], vec![ints("perm", &perm)])
}

/// Repeats every head of `[batch, heads, length, size]`.
fn repeated(form: &mut Form, of: &str, heads: i64, times: i64) -> String {
    let (axis, shape) = (form.ints(&[3]), form.ints(&[0, 0, heads, -1]));
    let inner = swapped(form, of, [0, 2, 1, 3]);
    let one = form.add("Unsqueeze", &[&inner, &axis]);
    let copies: Vec<&str> = (0..times).map(|_| one.as_str()).collect();
    let all = form.add_with("Concat", &copies, vec![int("axis", 3)]);
    let merged = form.add("Reshape", &[&all, &shape]);
    swapped(form, &merged, [0, 2, 1, 3])
}

/// Adds a constant with the element type of another value.
fn like(form: &mut Form, value: f32, other: &str) -> String {
    let value = form.float(value);
    form.add("CastLike", &[&value, other])
}

/// Returns the attribute of a ConstantOfShape that fills with minus infinity.
fn infinity() -> AttributeProto {
    let number = ElementType::F32.number();
    let tensor = TensorProto {
        data_type: i32::try_from(number).unwrap_or_default(),
        dims: vec![1],
        raw_data: f32::NEG_INFINITY.to_le_bytes().to_vec(),
        ..TensorProto::default()
    };
    AttributeProto { t: Some(tensor), ..super::attribute("value", AttributeType::Tensor) }
}
