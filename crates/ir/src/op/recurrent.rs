//! Recurrent networks.

macro_rules! recurrent {
    ($($before:tt)*) => { unite! { $($before)*
        /// A simple recurrent network. Results: all states, the last state.
        RNN "rnn" [1 7! 14 22] Other {
            /// The `alpha` values of the activations that take one.
            activation_alpha: Option<Vec<f32>> = None,
            /// The `beta` values of the activations that take one.
            activation_beta: Option<Vec<f32>> = None,
            /// The activations of each direction; the default is tanh.
            activations: Option<Vec<Bytes>> = None,
            /// The bound for clipping the operands of the activations; absent means no clipping.
            clip: Option<f32> = None,
            /// The direction.
            direction: Direction = Direction::Forward,
            /// The size of the state; the default is that of the weights.
            hidden_size: Option<i64> = None,
            /// Whether the batch axis comes before the sequence axis.
            layout since 14: bool = false,
        } => infer::recurrent::rnn;
        /// Gated recurrent units. Results: all states, the last state.
        GRU "gru" [1 3! 7! 14 22] Other {
            /// The `alpha` values of the activations that take one.
            activation_alpha: Option<Vec<f32>> = None,
            /// The `beta` values of the activations that take one.
            activation_beta: Option<Vec<f32>> = None,
            /// The activations of each direction; the default is sigmoid and tanh.
            activations: Option<Vec<Bytes>> = None,
            /// The bound for clipping the operands of the activations; absent means no clipping.
            clip: Option<f32> = None,
            /// The direction.
            direction: Direction = Direction::Forward,
            /// The size of the state; the default is that of the weights.
            hidden_size: Option<i64> = None,
            /// Whether the batch axis comes before the sequence axis.
            layout since 14: bool = false,
            /// Whether the reset gate is applied after the product with the state.
            linear_before_reset: bool = false,
        } => infer::recurrent::gru;
        /// Long short-term memory. Results: all states, the last state, the last cell state.
        LSTM "lstm" [1 7! 14 22] Other {
            /// The `alpha` values of the activations that take one.
            activation_alpha: Option<Vec<f32>> = None,
            /// The `beta` values of the activations that take one.
            activation_beta: Option<Vec<f32>> = None,
            /// The activations of each direction; the default is sigmoid, tanh and tanh.
            activations: Option<Vec<Bytes>> = None,
            /// The bound for clipping the operands of the activations; absent means no clipping.
            clip: Option<f32> = None,
            /// The direction.
            direction: Direction = Direction::Forward,
            /// The size of the state; the default is that of the weights.
            hidden_size: Option<i64> = None,
            /// Whether the input and forget gates are coupled.
            input_forget: bool = false,
            /// Whether the batch axis comes before the sequence axis.
            layout since 14: bool = false,
        } => infer::recurrent::lstm;
    } };
}
