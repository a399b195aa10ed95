//! Attention and what belongs to it.

macro_rules! attention {
    ($($before:tt)*) => { unite! { $($before)*
        /// Attention of queries to keys and values, with a mask and a cache (ONNX 23 to 25).
        Attention "attention" [23 24 25] Other added(Operand 6 "nonpad_kv_seqlen" since 24) {
            /// Whether a query sees no later key.
            is_causal: bool = false,
            /// Heads of keys and values; needed where they have rank 3.
            kv_num_heads: Option<i64> = None,
            /// How many earlier keys a query sees; -1 is all (ONNX 25).
            left_window_size since 25: i64 = -1,
            /// Heads of queries; needed where they have rank 3.
            q_num_heads: Option<i64> = None,
            /// What the fourth result is: scores 0, capped 1, masked 2, or probabilities 3.
            qk_matmul_output_mode: i64 = 0,
            /// How many later keys a query sees; -1 is all (ONNX 25).
            right_window_size since 25: i64 = -1,
            /// Times the scores; one over the root of the size of a head without one.
            scale: Option<f32> = None,
            /// The scores are bent below it by a hyperbolic tangent; 0 is not.
            softcap: f32 = 0.0,
            /// The type of the softmax; the operands' without one.
            softmax_precision: Option<ElementType> = None,
        } => infer::attention::attention;
        /// Embeddings turned by their positions (ONNX 23).
        RotaryEmbedding "rotary_embedding" [23] Other {
            /// Whether pairs are neighbors, not from two halves.
            interleaved: bool = false,
            /// Heads; needed where the operand has rank 3.
            num_heads: Option<i64> = None,
            /// How much of a head is turned; 0 is all.
            rotary_embedding_dim: i64 = 0,
        } => infer::attention::rotary_embedding;
        /// Attention by a state that each key and value changes (ONNX 27).
        LinearAttention "linear_attention" [27] Other {
            /// How many steps are computed at once; a hint.
            chunk_size: i64 = 64,
            /// Heads of keys and values.
            kv_num_heads: i64,
            /// Heads of queries.
            q_num_heads: i64,
            /// Times the result; 0 is one over the root of the size of a head.
            scale: f32 = 0.0,
            /// How the state changes.
            update_rule: LinearAttentionRule = LinearAttentionRule::GatedDelta,
        } => infer::attention::linear_attention;
    } };
}
