//! Reductions, and other operators along an axis.

macro_rules! reduction {
    ($($before:tt)*) => { unite! { $($before)*
        /// The mean over axes.
        ReduceMean "reduce_mean" [1 11 13 18!] Reduces added(Operand 1 "axes" since 18) {
            /// Whether the axes stay, with size 1.
            keepdims: bool = true,
            /// Whether an empty list of axes means none, not all.
            noop_with_empty_axes since 18: bool = false,
        } => infer::reduction::reduce;
        /// The sum over axes.
        ReduceSum "reduce_sum" [1 11 13!] Reduces added(Operand 1 "axes" since 13) {
            /// Whether the axes stay, with size 1.
            keepdims: bool = true,
            /// Whether an empty list of axes means none, not all.
            noop_with_empty_axes since 13: bool = false,
        } => infer::reduction::reduce;
        /// The maximum over axes.
        ReduceMax "reduce_max" [1 11 12 13 18! 20] Reduces added(Operand 1 "axes" since 18) {
            /// Whether the axes stay, with size 1.
            keepdims: bool = true,
            /// Whether an empty list of axes means none, not all.
            noop_with_empty_axes since 18: bool = false,
        } => infer::reduction::reduce;
        /// The minimum over axes.
        ReduceMin "reduce_min" [1 11 12 13 18! 20] Reduces added(Operand 1 "axes" since 18) {
            /// Whether the axes stay, with size 1.
            keepdims: bool = true,
            /// Whether an empty list of axes means none, not all.
            noop_with_empty_axes since 18: bool = false,
        } => infer::reduction::reduce;
        /// The product over axes.
        ReduceProd "reduce_prod" [1 11 13 18!] Reduces added(Operand 1 "axes" since 18) {
            /// Whether the axes stay, with size 1.
            keepdims: bool = true,
            /// Whether an empty list of axes means none, not all.
            noop_with_empty_axes since 18: bool = false,
        } => infer::reduction::reduce;
        /// The sum of the absolute values over axes.
        ReduceL1 "reduce_l1" [1 11 13 18!] Reduces added(Operand 1 "axes" since 18) {
            /// Whether the axes stay, with size 1.
            keepdims: bool = true,
            /// Whether an empty list of axes means none, not all.
            noop_with_empty_axes since 18: bool = false,
        } => infer::reduction::reduce;
        /// The root of the sum of the squares over axes.
        ReduceL2 "reduce_l2" [1 11 13 18!] Reduces added(Operand 1 "axes" since 18) {
            /// Whether the axes stay, with size 1.
            keepdims: bool = true,
            /// Whether an empty list of axes means none, not all.
            noop_with_empty_axes since 18: bool = false,
        } => infer::reduction::reduce;
        /// The logarithm of the sum over axes.
        ReduceLogSum "reduce_log_sum" [1 11 13 18! 28!] Reduces added(Operand 1 "axes" since 18) {
            /// Whether the axes stay, with size 1.
            keepdims: bool = true,
            /// Whether an empty list of axes means none, not all.
            noop_with_empty_axes since 18: bool = false,
        } => infer::reduction::reduce;
        /// The logarithm of the sum of `e^x` over axes.
        ReduceLogSumExp "reduce_log_sum_exp" [1 11 13 18! 28!] Reduces added(Operand 1 "axes" since 18) {
            /// Whether the axes stay, with size 1.
            keepdims: bool = true,
            /// Whether an empty list of axes means none, not all.
            noop_with_empty_axes since 18: bool = false,
        } => infer::reduction::reduce;
        /// The sum of the squares over axes.
        ReduceSumSquare "reduce_sum_square" [1 11 13 18!] Reduces added(Operand 1 "axes" since 18) {
            /// Whether the axes stay, with size 1.
            keepdims: bool = true,
            /// Whether an empty list of axes means none, not all.
            noop_with_empty_axes since 18: bool = false,
        } => infer::reduction::reduce;
        /// The index of the maximum along an axis, as `i64`.
        ArgMax "arg_max" [1 11 12 13] Reduces {
            /// The axis.
            axis: i64 = 0,
            /// Whether the axis stays, with size 1.
            keepdims: bool = true,
            /// Whether to select the last of equal elements, not the first.
            select_last_index since 12: bool = false,
        } => infer::reduction::arg;
        /// The index of the minimum along an axis, as `i64`.
        ArgMin "arg_min" [1 11 12 13] Reduces {
            /// The axis.
            axis: i64 = 0,
            /// Whether the axis stays, with size 1.
            keepdims: bool = true,
            /// Whether to select the last of equal elements, not the first.
            select_last_index since 12: bool = false,
        } => infer::reduction::arg;
        /// The cumulative sum along an axis.
        CumSum "cum_sum" [11 14] Other {
            /// Whether an element is excluded from its own result.
            exclusive: bool = false,
            /// Whether to accumulate from the end.
            reverse: bool = false,
        } => infer::reduction::cumulative;
        /// The cumulative product along an axis (ONNX 26).
        CumProd "cum_prod" [26] Other {
            /// Whether an element is excluded from its own result.
            exclusive: bool = false,
            /// Whether to accumulate from the end.
            reverse: bool = false,
        } => infer::reduction::cumulative;
        /// The `k` largest or smallest elements along an axis, and their indices.
        TopK "top_k" [1 10! 11 24] Other added(Operand 1 "K" since 10) {
            /// The axis.
            axis: i64 = -1,
            /// Whether to select the largest, not the smallest.
            largest since 11: bool = true,
            /// Whether the elements are sorted.
            sorted since 11: bool = true,
        } => infer::reduction::top_k;
    } };
}
