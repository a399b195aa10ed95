//! Attention, rotary embeddings and linear attention.

macro_rules! attention {
    ($($before:tt)*) => { unite! { $($before)*
        /// Scaled dot-product attention with a mask and a KV cache (ONNX 23 to 25).
        Attention "attention" [23 24 25] Attends added(Operand 6 "nonpad_kv_seqlen" since 24) {
            /// Whether a query attends to no later key.
            is_causal: bool = false,
            /// The number of heads of keys and values; required if they have rank 3.
            kv_num_heads: Option<i64> = None,
            /// The number of earlier keys that a query attends to; -1 means all (ONNX 25).
            left_window_size since 25: i64 = -1,
            /// The number of heads of queries; required if they have rank 3.
            q_num_heads: Option<i64> = None,
            /// What the fourth result holds: the scores (0), capped (1), masked (2), or the probabilities (3).
            qk_matmul_output_mode: i64 = 0,
            /// The number of later keys that a query attends to; -1 means all (ONNX 25).
            right_window_size since 25: i64 = -1,
            /// The factor of the scores; the default is 1 over the square root of the head size.
            scale: Option<f32> = None,
            /// Soft-caps scores with tanh; 0 disables the cap.
            softcap: f32 = 0.0,
            /// The element type of the softmax; the default is that of the operands.
            softmax_precision: Option<ElementType> = None,
        } => infer::attention::attention;
        /// Rotary position embedding (ONNX 23).
        RotaryEmbedding "rotary_embedding" [23] Maps {
            /// Whether rotated pairs are neighboring elements, not elements of two halves.
            interleaved: bool = false,
            /// The number of heads; required if the operand has rank 3.
            num_heads: Option<i64> = None,
            /// The number of elements of a head that are rotated; 0 means all.
            rotary_embedding_dim: i64 = 0,
        } => infer::attention::rotary_embedding;
        /// Linear attention: a state that each key and value updates (ONNX 27).
        LinearAttention "linear_attention" [27] Other {
            /// The number of steps computed at once; a hint.
            chunk_size: i64 = 64,
            /// The number of heads of keys and values.
            kv_num_heads: i64,
            /// The number of heads of queries.
            q_num_heads: i64,
            /// The factor of the result; 0 means 1 over the square root of the head size.
            scale: f32 = 0.0,
            /// How the state is updated.
            update_rule: LinearAttentionRule = LinearAttentionRule::GatedDelta,
        } => infer::attention::linear_attention;
    } };
}
