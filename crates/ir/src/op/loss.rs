//! Losses.

macro_rules! loss {
    ($($before:tt)*) => { unite! { $($before)*
        /// Negative log-likelihood loss of labels, from log-probabilities.
        NegativeLogLikelihoodLoss "negative_log_likelihood_loss" [12 13 22] Other {
            /// How the losses of the samples are combined.
            reduction: LossReduction = LossReduction::Mean,
            /// A label without loss.
            ignore_index: Option<i64> = None,
        } => infer::loss::negative_log_likelihood;
        /// Cross-entropy loss of labels, from scores. Results: the loss, the log-probabilities.
        SoftmaxCrossEntropyLoss "softmax_cross_entropy_loss" [12 13] Other {
            /// How the losses of the samples are combined.
            reduction: LossReduction = LossReduction::Mean,
            /// A label without loss.
            ignore_index: Option<i64> = None,
        } => infer::loss::softmax_cross_entropy;
    } };
}
