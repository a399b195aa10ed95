//! Elements selected or replaced by index or condition.

macro_rules! indexing {
    ($($before:tt)*) => { unite! { $($before)*
        /// The slice from `starts` to `ends` along `axes`, with `steps`.
        Slice "slice" [1 10! 11 13] Selects
            added(
                Operand 1 "starts" since 10,
                Operand 2 "ends" since 10,
                Operand 3 "axes" since 10,
                Operand 4 "steps" since 10,
            ) => infer::indexing::slice;
        /// The slices at the indices along an axis.
        Gather "gather" [1 11 13] Selects {
            /// The axis.
            axis: i64 = 0,
        } => infer::indexing::gather;
        /// The elements at the indices along an axis; the other coordinates stay.
        GatherElements "gather_elements" [11 13] Selects {
            /// The axis.
            axis: i64 = 0,
        } => infer::indexing::gather_elements;
        /// The slices at tuples of indices, which are the last axis of the second operand.
        GatherND "gather_nd" [11 12 13] Selects {
            /// The number of leading batch axes of data and indices.
            batch_dims since 12: i64 = 0,
        } => infer::indexing::gather_nd;
        /// Replaces the elements at the indices along an axis (ONNX 18).
        ScatterElements "scatter_elements" [11 13 16 18] Copies {
            /// The axis.
            axis: i64 = 0,
            /// How an update combines with the element that it replaces.
            reduction since 16 values("max" since 18, "min" since 18): ScatterReduction = ScatterReduction::None,
        } => infer::indexing::scatter_elements;
        /// Replaces the slices at tuples of indices (ONNX 18).
        ScatterND "scatter_nd" [11 13 16 18] Copies {
            /// How an update combines with the elements that it replaces.
            reduction since 16 values("max" since 18, "min" since 18): ScatterReduction = ScatterReduction::None,
        } => infer::indexing::scatter_nd;
        /// The slices along an axis for which a condition is true.
        Compress "compress" [9 11 28] Selects {
            /// The axis; if absent, the operand is flattened.
            axis: Option<i64> = None,
        } => infer::indexing::compress;
        /// The indices of the nonzero elements, one column each.
        NonZero "non_zero" [9 13] Other => infer::indexing::non_zero;
        /// One-hot vectors along a new axis: the on value at each index, the off value elsewhere.
        OneHot "one_hot" [9 11 28] Copies {
            /// The position of the new axis.
            axis: i64 = -1,
        } => infer::indexing::one_hot;
        /// The distinct slices along an axis. Results: the slices, first indices, inverse indices, counts.
        Unique "unique" [11 28] Other {
            /// The axis; if absent, the operand is flattened.
            axis: Option<i64> = None,
            /// Whether they are sorted, not in the order of their first occurrence.
            sorted: bool = true,
        } => infer::indexing::unique;
        /// Writes new elements into a cache along an axis (ONNX 24).
        TensorScatter "tensor_scatter" [24] Copies {
            /// The axis.
            axis: i64 = -2,
            /// What happens to writes past the end.
            mode: ScatterMode = ScatterMode::Linear,
        } => infer::attention::tensor_scatter;
    } };
}
