//! Random numbers.

macro_rules! random {
    ($($before:tt)*) => { unite! { $($before)*
        /// In training drops elements and scales up the others. Results: the elements, the mask of kept ones.
        Dropout "dropout" [1 6! 7! 10! 12! 13 22] Random
            added(Operand 1 "ratio" since 12, Operand 2 "training_mode" since 12) {
            /// The seed; chosen at run time if absent.
            seed since 12: Option<i64> = None,
        } => infer::random::dropout;
        /// 1 with the probability given by the operand, else 0.
        Bernoulli "bernoulli" [15 22] Random {
            /// The element type of the result; the default is that of the operand.
            dtype: Option<ElementType> = None,
            /// The seed; chosen at run time if absent.
            seed: Option<f32> = None,
        } => infer::random::bernoulli;
        /// Normally distributed numbers.
        RandomNormal "random_normal" [1 22] Random {
            /// The shape.
            shape: Vec<i64>,
            /// The element type of the result.
            dtype: ElementType = ElementType::F32,
            /// The mean.
            mean: f32 = 0.0,
            /// The standard deviation.
            scale: f32 = 1.0,
            /// The seed; chosen at run time if absent.
            seed: Option<f32> = None,
        } => infer::random::random;
        /// Normally distributed numbers in the shape of the operand.
        RandomNormalLike "random_normal_like" [1 22] Random {
            /// The element type of the result; the default is that of the operand.
            dtype: Option<ElementType> = None,
            /// The mean.
            mean: f32 = 0.0,
            /// The standard deviation.
            scale: f32 = 1.0,
            /// The seed; chosen at run time if absent.
            seed: Option<f32> = None,
        } => infer::random::random_like;
        /// Uniformly distributed numbers.
        RandomUniform "random_uniform" [1 22] Random {
            /// The shape.
            shape: Vec<i64>,
            /// The element type of the result.
            dtype: ElementType = ElementType::F32,
            /// The lower bound.
            low: f32 = 0.0,
            /// The upper bound.
            high: f32 = 1.0,
            /// The seed; chosen at run time if absent.
            seed: Option<f32> = None,
        } => infer::random::random;
        /// Uniformly distributed numbers in the shape of the operand.
        RandomUniformLike "random_uniform_like" [1 22] Random {
            /// The element type of the result; the default is that of the operand.
            dtype: Option<ElementType> = None,
            /// The lower bound.
            low: f32 = 0.0,
            /// The upper bound.
            high: f32 = 1.0,
            /// The seed; chosen at run time if absent.
            seed: Option<f32> = None,
        } => infer::random::random_like;
        /// Classes drawn for each row by their log-probabilities.
        Multinomial "multinomial" [7 22] Random {
            /// The number of samples per row.
            sample_size: i64 = 1,
            /// The element type of the result.
            dtype: ElementType = ElementType::I32,
            /// The seed; chosen at run time if absent.
            seed: Option<f32> = None,
        } => infer::random::multinomial;
    } };
}
