//! Recurrent networks.

macro_rules! recurrent {
    ($($before:tt)*) => { unite! { $($before)*
        /// A recurrent network of one gate: all states, and the last.
        RNN "rnn" [1 7! 14 22] Other {
            /// Parameters of the activations that have one.
            activation_alpha: Option<Vec<f32>> = None,
            /// Second parameters of the activations that have two.
            activation_beta: Option<Vec<f32>> = None,
            /// The activations of each direction; where they are absent, tanh.
            activations: Option<Vec<Bytes>> = None,
            /// The bound of what goes into the activations; none where it is absent.
            clip: Option<f32> = None,
            /// Which way it goes.
            direction: Direction = Direction::Forward,
            /// The size of the state; that of the weights where it is absent.
            hidden_size: Option<i64> = None,
            /// Whether the batch is the first axis, before the sequence.
            layout since 14: bool = false,
        } => infer::recurrent::rnn;
        /// Gated recurrent units: all states, and the last.
        GRU "gru" [1 3! 7! 14 22] Other {
            /// Parameters of the activations that have one.
            activation_alpha: Option<Vec<f32>> = None,
            /// Second parameters of the activations that have two.
            activation_beta: Option<Vec<f32>> = None,
            /// The activations of each direction; where they are absent, sigmoid and tanh.
            activations: Option<Vec<Bytes>> = None,
            /// The bound of what goes into the activations; none where it is absent.
            clip: Option<f32> = None,
            /// Which way it goes.
            direction: Direction = Direction::Forward,
            /// The size of the state; that of the weights where it is absent.
            hidden_size: Option<i64> = None,
            /// Whether the batch is the first axis, before the sequence.
            layout since 14: bool = false,
            /// Whether the reset gate is applied behind the product with the state.
            linear_before_reset: bool = false,
        } => infer::recurrent::gru;
        /// Long short-term memory: all states, the last, and the last cell.
        LSTM "lstm" [1 7! 14 22] Other {
            /// Parameters of the activations that have one.
            activation_alpha: Option<Vec<f32>> = None,
            /// Second parameters of the activations that have two.
            activation_beta: Option<Vec<f32>> = None,
            /// The activations of each direction; where they are absent, sigmoid, tanh and tanh.
            activations: Option<Vec<Bytes>> = None,
            /// The bound of what goes into the activations; none where it is absent.
            clip: Option<f32> = None,
            /// Which way it goes.
            direction: Direction = Direction::Forward,
            /// The size of the state; that of the weights where it is absent.
            hidden_size: Option<i64> = None,
            /// Whether the input and forget gates are coupled.
            input_forget: bool = false,
            /// Whether the batch is the first axis, before the sequence.
            layout since 14: bool = false,
        } => infer::recurrent::lstm;
    } };
}
