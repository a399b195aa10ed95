//! Products of matrices and tensors.

macro_rules! product {
    ($($before:tt)*) => { unite! { $($before)*
        /// The matrix product over the last two axes; the others are broadcast.
        MatMul "matmul" [1 9 13] Multiplies => infer::contraction::matmul;
        /// `alpha * A * B + beta * C` of matrices.
        Gemm "gemm" [1 6 7! 9 11 13] Multiplies {
            /// The factor of the product.
            alpha: f32 = 1.0,
            /// The factor of the addend.
            beta: f32 = 1.0,
            /// Whether A is transposed.
            trans_a as "transA": bool = false,
            /// Whether B is transposed.
            trans_b as "transB": bool = false,
        } => infer::contraction::gemm;
        /// Einstein summation by an equation such as `bij,bjk->bik`.
        Einsum "einsum" [12 28] Multiplies {
            /// The equation.
            equation: Bytes,
        } => infer::einsum::einsum;
        /// The determinants of the matrices of the last two axes.
        Det "det" [11 22] Other => infer::contraction::determinant;
        /// The matrix product of 8-bit integers minus their zero points, in `i32`.
        MatMulInteger "matmul_integer" [10] Multiplies => infer::contraction::matmul_integer;
        /// The matrix product of quantized tensors, quantized.
        QLinearMatMul "qlinear_matmul" [10 21] Multiplies => infer::contraction::qlinear_matmul;
    } };
}
