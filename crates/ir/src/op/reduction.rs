//! Reductions, and what is computed along an axis.

macro_rules! reduction {
    ($($before:tt)*) => { unite! { $($before)*
        /// The mean over axes.
        ReduceMean "reduce_mean" [1 11 13 18!] Reduces added(Operand 1 "axes" since 18) {
            /// Whether the axes stay, with size 1.
            keepdims: bool = true,
            /// Whether no axes means none, not all.
            noop_with_empty_axes since 18: bool = false,
        } => infer::reduction::reduce;
        /// The sum over axes.
        ReduceSum "reduce_sum" [1 11 13!] Reduces added(Operand 1 "axes" since 13) {
            /// Whether the axes stay, with size 1.
            keepdims: bool = true,
            /// Whether no axes means none, not all.
            noop_with_empty_axes since 13: bool = false,
        } => infer::reduction::reduce;
        /// The largest over axes.
        ReduceMax "reduce_max" [1 11 12 13 18! 20] Reduces added(Operand 1 "axes" since 18) {
            /// Whether the axes stay, with size 1.
            keepdims: bool = true,
            /// Whether no axes means none, not all.
            noop_with_empty_axes since 18: bool = false,
        } => infer::reduction::reduce;
        /// The smallest over axes.
        ReduceMin "reduce_min" [1 11 12 13 18! 20] Reduces added(Operand 1 "axes" since 18) {
            /// Whether the axes stay, with size 1.
            keepdims: bool = true,
            /// Whether no axes means none, not all.
            noop_with_empty_axes since 18: bool = false,
        } => infer::reduction::reduce;
        /// The product over axes.
        ReduceProd "reduce_prod" [1 11 13 18!] Reduces added(Operand 1 "axes" since 18) {
            /// Whether the axes stay, with size 1.
            keepdims: bool = true,
            /// Whether no axes means none, not all.
            noop_with_empty_axes since 18: bool = false,
        } => infer::reduction::reduce;
        /// The sum of the absolute values over axes.
        ReduceL1 "reduce_l1" [1 11 13 18!] Reduces added(Operand 1 "axes" since 18) {
            /// Whether the axes stay, with size 1.
            keepdims: bool = true,
            /// Whether no axes means none, not all.
            noop_with_empty_axes since 18: bool = false,
        } => infer::reduction::reduce;
        /// The root of the sum of the squares over axes.
        ReduceL2 "reduce_l2" [1 11 13 18!] Reduces added(Operand 1 "axes" since 18) {
            /// Whether the axes stay, with size 1.
            keepdims: bool = true,
            /// Whether no axes means none, not all.
            noop_with_empty_axes since 18: bool = false,
        } => infer::reduction::reduce;
        /// The logarithm of the sum over axes.
        ReduceLogSum "reduce_log_sum" [1 11 13 18! 28!] Reduces added(Operand 1 "axes" since 18) {
            /// Whether the axes stay, with size 1.
            keepdims: bool = true,
            /// Whether no axes means none, not all.
            noop_with_empty_axes since 18: bool = false,
        } => infer::reduction::reduce;
        /// The logarithm of the sum of `e^x` over axes.
        ReduceLogSumExp "reduce_log_sum_exp" [1 11 13 18! 28!] Reduces added(Operand 1 "axes" since 18) {
            /// Whether the axes stay, with size 1.
            keepdims: bool = true,
            /// Whether no axes means none, not all.
            noop_with_empty_axes since 18: bool = false,
        } => infer::reduction::reduce;
        /// The sum of the squares over axes.
        ReduceSumSquare "reduce_sum_square" [1 11 13 18!] Reduces added(Operand 1 "axes" since 18) {
            /// Whether the axes stay, with size 1.
            keepdims: bool = true,
            /// Whether no axes means none, not all.
            noop_with_empty_axes since 18: bool = false,
        } => infer::reduction::reduce;
        /// Where the largest lies along an axis, as `i64`.
        ArgMax "arg_max" [1 11 12 13] Reduces {
            /// The axis.
            axis: i64 = 0,
            /// Whether the axis stays, with size 1.
            keepdims: bool = true,
            /// Whether the last of equal ones counts, not the first.
            select_last_index since 12: bool = false,
        } => infer::reduction::arg;
        /// Where the smallest lies along an axis, as `i64`.
        ArgMin "arg_min" [1 11 12 13] Reduces {
            /// The axis.
            axis: i64 = 0,
            /// Whether the axis stays, with size 1.
            keepdims: bool = true,
            /// Whether the last of equal ones counts, not the first.
            select_last_index since 12: bool = false,
        } => infer::reduction::arg;
        /// The sums of all elements up to each along an axis.
        CumSum "cum_sum" [11 14] Other {
            /// Whether each is left out of its own.
            exclusive: bool = false,
            /// Whether it goes from the end.
            reverse: bool = false,
        } => infer::reduction::cumulative;
        /// The products of all elements up to each along an axis (ONNX 26).
        CumProd "cum_prod" [26] Other {
            /// Whether each is left out of its own.
            exclusive: bool = false,
            /// Whether it goes from the end.
            reverse: bool = false,
        } => infer::reduction::cumulative;
        /// The `k` largest or smallest along an axis, and where they lie.
        TopK "top_k" [1 10! 11 24] Other added(Operand 1 "K" since 10) {
            /// The axis.
            axis: i64 = -1,
            /// Whether the largest, not the smallest.
            largest since 11: bool = true,
            /// Whether they are sorted.
            sorted since 11: bool = true,
        } => infer::reduction::top_k;
    } };
}
