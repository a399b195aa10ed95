//! The order in which passes run.

use crate::convert::{Precision, Request};
use crate::evaluate::Evaluator;
use crate::options::Options;
use crate::pass::Pass;
use crate::target::Target;
use crate::{cleanup, convert, fold, fuse, layout, lower, runtime, shapes};
use netwright_ir::OpKind;

/// The objects of the caller that some passes need.
#[derive(Default)]
pub(crate) struct Requested {
    pub(crate) evaluator: Option<Evaluator>,
    pub(crate) dequantize: bool,
    pub(crate) quantization: Option<Request>,
    pub(crate) precision: Option<Precision>,
}

impl Requested {
    pub(crate) fn of(options: &Options) -> Self {
        let quantization = options.quantization.clone();
        let quantization = quantization.map(|quantization| Request::new(quantization, options.precision.as_ref()));
        Self {
            evaluator: options.evaluator.clone(),
            dequantize: options.dequantize,
            quantization,
            precision: options.precision.clone(),
        }
    }
}

/// Returns every pass, in the order in which they run within each stage.
pub(crate) fn all(target: &Target, opset: i64, requested: Requested) -> Vec<Pass> {
    let quantizes = requested.quantization.as_ref().is_some_and(|request| request.quantization.quantizes());
    vec![
        cleanup::eliminate_dead_code(),
        cleanup::sink_constants(),
        cleanup::inline_known_branches(),
        runtime::standardize_contrib_operators(target.weights.bits),
        // Attention that the target does not run is decomposed before anything else.
        lower::decompose_attention(target.runs(OpKind::Attention, opset).then_some(target.attention)),
        runtime::use_contrib_rotary(),
        lower::decompose_rotary_embedding(),
        cleanup::canonicalize(),
        cleanup::resolve_sequences(),
        fold::fold_constants(),
        fold::evaluate_constants(requested.evaluator),
        shapes::eliminate_shape_chains(),
        shapes::simplify_indexing(),
        cleanup::simplify_logic(),
        cleanup::write_einsum_as_matmul(),
        cleanup::choose_masked_scores(),
        shapes::narrow_broadcasts(),
        shapes::keep_reduced_axes(),
        cleanup::merge_mean_factor(),
        shapes::gather_repeated(),
        layout::sink_transposes(),
        layout::cancel_transposes(),
        layout::lift_transposes(),
        layout::slice_packed_axis(),
        layout::split_axes_before_transposing(),
        layout::split_merged_heads(),
        layout::merge_slices(),
        fold::fold_padding(),
        fold::fold_into_convolution(),
        layout::unflatten_gemm(target.keeps_gemm),
        cleanup::eliminate_common_subexpressions(),
        fuse::fuse_layer_normalization(),
        fuse::fuse_rms_normalization(),
        fuse::fuse_gelu(),
        fuse::fuse_swish(),
        fuse::fuse_scale_softmax(),
        fuse::fuse_rotary_embedding(),
        fuse::sink_heads_through_rotary(),
        fuse::fuse_attention(target.attention),
        fuse::fold_repeated_heads(),
        fuse::fold_cache_into_attention(),
        fuse::fold_heads_into_attention(),
        fold::fold_scale_into_projection(),
        fold::fold_scale_into_embedding(),
        fold::fold_degrees_of_freedom(),
        runtime::pack_projections(),
        runtime::fuse_bias_gelu(),
        runtime::sum_residuals(),
        runtime::use_fused_matmul(),
        convert::dequantize_weights(requested.dequantize),
        convert::quantize_weights(requested.quantization, target),
        runtime::copy_tied_weight(quantizes),
        convert::use_block_operators(target),
        cleanup::share_constants_of_bodies(),
        convert::convert_precision(requested.precision, target.weights),
        // Operators that were formed in between are decomposed at the end.
        lower::decompose_partial_shape(),
        runtime::separate_merged_heads(),
        runtime::use_quick_gelu(),
        lower::decompose_gelu(),
        lower::decompose_layer_normalization(),
        lower::decompose_rms_normalization(),
        lower::decompose_swish(),
        // A scale is next to its softmax after all other decompositions, so optimizing again does not move it.
        lower::lower_scaled_softmax(),
    ]
}

#[cfg(test)]
mod tests;
