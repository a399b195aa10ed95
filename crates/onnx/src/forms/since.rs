//! What a version of an operator added: attributes, values of them, operands and results, by the opset that brought
//! them. Where they are absent, a node means the same in both versions.
//!
//! The lists of attributes and operands are generated from the schemas of ONNX 1.23.2, from opset 8 on.

use super::{Form, Operand};
use netwright_ir::Attribute;

const ATTRIBUTES: &[(i64, &str)] = &[
    (8, "MaxPool.storage_order"),
    (9, "Scan.scan_input_axes Scan.scan_output_axes Scan.scan_input_directions Scan.scan_output_directions"),
    (10, "AveragePool.ceil_mode MaxPool.dilations MaxPool.ceil_mode"),
    (11, "DepthToSpace.mode TopK.sorted TopK.largest"),
    (11, "Resize.coordinate_transformation_mode Resize.nearest_mode Resize.extrapolation_value"),
    (11, "Resize.exclude_outside Resize.cubic_coeff_a"),
    (12, "ArgMax.select_last_index ArgMin.select_last_index Dropout.seed GatherND.batch_dims"),
    (13, "DequantizeLinear.axis QuantizeLinear.axis ReduceSum.noop_with_empty_axes"),
    (14, "BatchNormalization.training_mode GRU.layout LSTM.layout RNN.layout Reshape.allowzero"),
    (15, "Shape.start Shape.end"),
    (16, "RoiAlign.coordinate_transformation_mode ScatterElements.reduction ScatterND.reduction"),
    (18, "LpPool.ceil_mode LpPool.dilations Split.num_outputs"),
    (18, "Resize.keep_aspect_ratio_policy Resize.axes Resize.antialias"),
    (18, "ReduceL1.noop_with_empty_axes ReduceL2.noop_with_empty_axes ReduceLogSum.noop_with_empty_axes"),
    (18, "ReduceLogSumExp.noop_with_empty_axes ReduceMax.noop_with_empty_axes ReduceMean.noop_with_empty_axes"),
    (18, "ReduceMin.noop_with_empty_axes ReduceProd.noop_with_empty_axes ReduceSumSquare.noop_with_empty_axes"),
    (19, "AveragePool.dilations Cast.saturate CastLike.saturate QuantizeLinear.saturate"),
    (21, "DequantizeLinear.block_size GroupNormalization.stash_type"),
    (21, "QuantizeLinear.output_dtype QuantizeLinear.block_size"),
    (23, "DequantizeLinear.output_dtype QuantizeLinear.precision"),
    (24, "Cast.round_mode CastLike.round_mode"),
    (25, "Attention.left_window_size Attention.right_window_size"),
    (27, "Range.stash_type"),
    (28, "SpaceToDepth.mode"),
];

const VALUES: &[(i64, &str, &str)] = &[
    (18, "ScatterElements.reduction", "max"),
    (18, "ScatterElements.reduction", "min"),
    (18, "ScatterND.reduction", "max"),
    (18, "ScatterND.reduction", "min"),
    (19, "Pad.mode", "wrap"),
    (19, "Resize.coordinate_transformation_mode", "half_pixel_symmetric"),
];

/// Operators, positions, names.
const OPERANDS: &[(i64, &str, usize, &str)] = &[
    (9, "Upsample", 1, "scales"),
    (10, "Slice", 1, "starts"),
    (10, "Slice", 2, "ends"),
    (10, "Slice", 3, "axes"),
    (10, "Slice", 4, "steps"),
    (10, "TopK", 1, "K"),
    (11, "Clip", 1, "min"),
    (11, "Clip", 2, "max"),
    (11, "Pad", 1, "pads"),
    (11, "Pad", 2, "constant_value"),
    (11, "Resize", 2, "scales"),
    (11, "Resize", 3, "sizes"),
    (12, "Dropout", 1, "ratio"),
    (12, "Dropout", 2, "training_mode"),
    (13, "ReduceSum Squeeze Unsqueeze", 1, "axes"),
    (13, "Split", 1, "split"),
    (18, "Pad", 3, "axes"),
    (18, "ReduceL1 ReduceL2 ReduceLogSum ReduceLogSumExp ReduceMax", 1, "axes"),
    (18, "ReduceMean ReduceMin ReduceProd ReduceSumSquare", 1, "axes"),
    (20, "DFT", 2, "axis"),
    (24, "Attention", 6, "nonpad_kv_seqlen"),
];

const RESULTS: &[(i64, &str, usize, &str)] = &[(8, "MaxPool", 1, "Indices")];

/// What a node has that the operator has not at the opset: its name, and the opset that brings it.
pub(super) fn younger(operator: &str, form: &Form, results: usize, opset: i64) -> Option<(String, i64)> {
    let is_of = |names: &str| names.split(' ').any(|name| name == operator);
    let has = |dotted: &str, value: Option<&str>| {
        let Some((_, key)) = dotted.split_once('.').filter(|(name, _)| *name == operator) else { return false };
        form.attributes.iter().any(|(name, given)| {
            let same = |value: &str| matches!(given, Attribute::Text(text) if **text == *value.as_bytes());
            **name == *key && value.is_none_or(same)
        })
    };
    let key = |dotted: &str| format!("attribute `{}`", dotted.rsplit('.').next().unwrap_or(dotted));
    let attributes = ATTRIBUTES.iter().filter(|(since, _)| opset < *since);
    let attributes = attributes.flat_map(|(since, names)| names.split(' ').map(|name| (*since, name)));
    let attributes = attributes.filter(|(_, name)| has(name, None)).map(|(since, name)| (key(name), since));
    let values = VALUES.iter().filter(|(since, name, value)| opset < *since && has(name, Some(value)));
    let values = values.map(|(since, name, value)| (format!("{} of {value:?}", key(name)), *since));
    let given = |at: &usize| form.operands.get(*at).is_some_and(|operand| !matches!(operand, Operand::Absent));
    let operands = OPERANDS.iter().filter(|(since, names, at, _)| opset < *since && given(at) && is_of(names));
    let operands = operands.map(|(since, _, _, name)| (format!("operand `{name}`"), *since));
    let results = RESULTS.iter().filter(|(since, names, at, _)| opset < *since && results > *at && is_of(names));
    let results = results.map(|(since, _, _, name)| (format!("result `{name}`"), *since));
    attributes.chain(values).chain(operands).chain(results).next()
}
