//! Losses.

macro_rules! loss {
    ($($before:tt)*) => { unite! { $($before)*
        /// What the labels cost by the logarithms of their probabilities.
        NegativeLogLikelihoodLoss "negative_log_likelihood_loss" [12 13 22] Other {
            /// What becomes of the losses of the samples.
            reduction: LossReduction = LossReduction::Mean,
            /// A label that costs nothing.
            ignore_index: Option<i64> = None,
        } => infer::loss::negative_log_likelihood;
        /// What the labels cost by their scores. Results: that, and the logarithms of the probabilities.
        SoftmaxCrossEntropyLoss "softmax_cross_entropy_loss" [12 13] Other {
            /// What becomes of the losses of the samples.
            reduction: LossReduction = LossReduction::Mean,
            /// A label that costs nothing.
            ignore_index: Option<i64> = None,
        } => infer::loss::softmax_cross_entropy;
    } };
}
