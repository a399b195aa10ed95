//! Elements chosen or replaced by index or condition.

macro_rules! indexing {
    ($($before:tt)*) => { unite! { $($before)*
        /// From `starts` up to `ends` along `axes`, by `steps`.
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
        /// The elements at the indices along an axis, the other indices their own.
        GatherElements "gather_elements" [11 13] Selects {
            /// The axis.
            axis: i64 = 0,
        } => infer::indexing::gather_elements;
        /// The slices at tuples of indices, which are the last axis of the second operand.
        GatherND "gather_nd" [11 12 13] Selects {
            /// How many axes of data and indices go side by side.
            batch_dims since 12: i64 = 0,
        } => infer::indexing::gather_nd;
        /// With the elements at the indices along an axis replaced (ONNX 18).
        ScatterElements "scatter_elements" [11 13 16 18] Other {
            /// The axis.
            axis: i64 = 0,
            /// What becomes of the element that is there.
            reduction since 16 values("max" since 18, "min" since 18): ScatterReduction = ScatterReduction::None,
        } => infer::indexing::scatter_elements;
        /// With the slices at tuples of indices replaced (ONNX 18).
        ScatterND "scatter_nd" [11 13 16 18] Other {
            /// What becomes of the elements that are there.
            reduction since 16 values("max" since 18, "min" since 18): ScatterReduction = ScatterReduction::None,
        } => infer::indexing::scatter_nd;
        /// The slices along an axis at which a condition holds.
        Compress "compress" [9 11 28] Selects {
            /// The axis; all elements in order where it is absent.
            axis: Option<i64> = None,
        } => infer::indexing::compress;
        /// The indices of the elements that are not zero, a column each.
        NonZero "non_zero" [9 13] Other => infer::indexing::non_zero;
        /// A new axis of the size of the second operand, on at the index and off elsewhere.
        OneHot "one_hot" [9 11 28] Other {
            /// Where the new axis stands.
            axis: i64 = -1,
        } => infer::indexing::one_hot;
        /// The distinct slices along an axis, where each is first, which each slice is, and how often each occurs.
        Unique "unique" [11 28] Other {
            /// The axis; all elements in order where it is absent.
            axis: Option<i64> = None,
            /// Whether they are sorted, or stand in the order of their first occurrence.
            sorted: bool = true,
        } => infer::indexing::unique;
        /// A cache with new elements written along an axis (ONNX 24).
        TensorScatter "tensor_scatter" [24] Other {
            /// The axis.
            axis: i64 = -2,
            /// What lies behind the end.
            mode: ScatterMode = ScatterMode::Linear,
        } => infer::attention::tensor_scatter;
    } };
}
