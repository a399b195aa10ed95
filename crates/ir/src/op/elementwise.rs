//! Operators that work element by element.

macro_rules! elementwise {
    ($($before:tt)*) => { unite! { $($before)*
        /// `|x|`.
        Abs "abs" [1 6! 13] ElementwiseUnary => infer::elementwise::same;
        /// `-x`.
        Neg "neg" [1 6! 13] ElementwiseUnary => infer::elementwise::same;
        /// The sign: -1, 0 or 1.
        Sign "sign" [9 13] ElementwiseUnary => infer::elementwise::same;
        /// `1 / x`.
        Reciprocal "reciprocal" [1 6! 13] ElementwiseUnary => infer::elementwise::float;
        /// Rounds down to an integer.
        Floor "floor" [1 6! 13] ElementwiseUnary => infer::elementwise::float;
        /// Rounds up to an integer.
        Ceil "ceil" [1 6! 13] ElementwiseUnary => infer::elementwise::float;
        /// Square root.
        Sqrt "sqrt" [1 6! 13] ElementwiseUnary => infer::elementwise::float;
        /// `e^x`.
        Exp "exp" [1 6! 13] ElementwiseUnary => infer::elementwise::float;
        /// Natural logarithm.
        Log "log" [1 6! 13] ElementwiseUnary => infer::elementwise::float;
        /// Sine.
        Sin "sin" [7 22] ElementwiseUnary => infer::elementwise::float;
        /// Cosine.
        Cos "cos" [7 22] ElementwiseUnary => infer::elementwise::float;
        /// The error function.
        Erf "erf" [9 13!] ElementwiseUnary => infer::elementwise::same;
        /// Logical negation.
        Not "not" [1] ElementwiseUnary => infer::elementwise::truth;
        /// The operand itself.
        Identity "identity" [1 13 14 16 19 21 23 24 25] ElementwiseUnary => infer::elementwise::identity;
        /// Casts to another element type; inference follows the elements of a shape.
        Cast "cast" [1 6! 9 13 19 21 23 24! 25 28] ElementwiseUnary {
            /// The element type of the result.
            to: ElementType,
            /// Whether values outside the range of an 8-bit float become its largest value.
            saturate since 19: bool = true,
            /// How a number is rounded to a power of two (`f8e8m0`).
            round_mode since 24: CastRounding = CastRounding::Up,
        } => infer::elementwise::cast;
        /// `a + b`.
        Add "add" [1 6! 7! 13 14] Broadcasting, commutes => infer::elementwise::add;
        /// `a - b`.
        Sub "sub" [1 6! 7! 13 14] Broadcasting => infer::elementwise::sub;
        /// `a * b`.
        Mul "mul" [1 6! 7! 13 14] Broadcasting, commutes => infer::elementwise::mul;
        /// `a / b`; integer division truncates.
        Div "div" [1 6! 7! 13 14] Broadcasting => infer::elementwise::div;
        /// The remainder of floored division, or with `fmod` of truncated division.
        Mod "mod" [10 13 28] Broadcasting {
            /// Whether the result has the sign of the dividend.
            fmod: bool = false,
        } => infer::elementwise::modulo;
        /// `a ^ b`; the result has the type of `a`.
        Pow "pow" [1 7! 12 13 15] Broadcasting => infer::elementwise::pow;
        /// The minimum of any number of operands.
        Min "min" [1 6! 8 12 13] Broadcasting, commutes => infer::elementwise::min;
        /// The maximum of any number of operands.
        Max "max" [1 6! 8 12 13] Broadcasting, commutes => infer::elementwise::max;
        /// The sum of any number of operands.
        Sum "sum" [1 6! 8 13] Broadcasting => infer::elementwise::sum;
        /// Logical and.
        And "and" [1 7!] Broadcasting, commutes => infer::elementwise::logical;
        /// Logical or.
        Or "or" [1 7!] Broadcasting, commutes => infer::elementwise::logical;
        /// Logical exclusive or.
        Xor "xor" [1 7!] Broadcasting, commutes => infer::elementwise::logical;
        /// `a == b`.
        Equal "equal" [1 7! 11 13 19] Broadcasting, commutes => infer::elementwise::compare;
        /// `a > b`.
        Greater "greater" [1 7! 9 13] Broadcasting => infer::elementwise::compare;
        /// `a >= b`.
        GreaterOrEqual "greater_or_equal" [12 16] Broadcasting => infer::elementwise::compare;
        /// `a < b`.
        Less "less" [1 7! 9 13] Broadcasting => infer::elementwise::compare;
        /// `a <= b`.
        LessOrEqual "less_or_equal" [12 16] Broadcasting => infer::elementwise::compare;
        /// `a` where the condition is true, `b` elsewhere.
        Where "where" [9 16] Broadcasting => infer::elementwise::select;
        /// Arc cosine.
        Acos "acos" [7 22] ElementwiseUnary => infer::elementwise::float;
        /// Arc sine.
        Asin "asin" [7 22] ElementwiseUnary => infer::elementwise::float;
        /// Arc tangent.
        Atan "atan" [7 22] ElementwiseUnary => infer::elementwise::float;
        /// Inverse hyperbolic cosine.
        Acosh "acosh" [9 22] ElementwiseUnary => infer::elementwise::float;
        /// Inverse hyperbolic sine.
        Asinh "asinh" [9 22] ElementwiseUnary => infer::elementwise::float;
        /// Inverse hyperbolic tangent.
        Atanh "atanh" [9 22] ElementwiseUnary => infer::elementwise::float;
        /// Hyperbolic cosine.
        Cosh "cosh" [9 22] ElementwiseUnary => infer::elementwise::float;
        /// Hyperbolic sine.
        Sinh "sinh" [9 22] ElementwiseUnary => infer::elementwise::float;
        /// Tangent.
        Tan "tan" [7 22] ElementwiseUnary => infer::elementwise::float;
        /// Rounds to the nearest integer, ties to even.
        Round "round" [11 22] ElementwiseUnary => infer::elementwise::float;
        /// Whether the element is NaN.
        IsNaN "is_nan" [9 13 20] ElementwiseUnary => infer::elementwise::is_nan;
        /// Whether the element is infinite.
        IsInf "is_inf" [10 20] ElementwiseUnary {
            /// Whether negative infinity counts.
            detect_negative: bool = true,
            /// Whether positive infinity counts.
            detect_positive: bool = true,
        } => infer::elementwise::is_inf;
        /// Bitwise negation.
        BitwiseNot "bitwise_not" [18] ElementwiseUnary => infer::elementwise::integer;
        /// Reinterprets the bits as another type of the same width (ONNX 26).
        BitCast "bit_cast" [26] ElementwiseUnary {
            /// The element type of the result.
            to: ElementType,
        } => infer::elementwise::bit_cast;
        /// Casts to the element type of the second operand.
        CastLike "cast_like" [15 19 21 23 24! 25] Copies {
            /// Whether values outside the range of an 8-bit float become its largest value.
            saturate since 19: bool = true,
            /// How a number is rounded to a power of two (`f8e8m0`).
            round_mode since 24: CastRounding = CastRounding::Up,
        } => infer::elementwise::cast_like;
        /// `min(max(x, low), high)`; either bound may be absent.
        Clip "clip" [1 6! 11! 12 13] Maps
            added(Operand 1 "min" since 11, Operand 2 "max" since 11) => infer::elementwise::clip;
        /// The mean of any number of operands.
        Mean "mean" [1 6! 8 13] Broadcasting => infer::elementwise::variadic;
        /// Bitwise and.
        BitwiseAnd "bitwise_and" [18] Broadcasting, commutes => infer::elementwise::bitwise;
        /// Bitwise or.
        BitwiseOr "bitwise_or" [18] Broadcasting, commutes => infer::elementwise::bitwise;
        /// Bitwise exclusive or.
        BitwiseXor "bitwise_xor" [18] Broadcasting, commutes => infer::elementwise::bitwise;
        /// Shifts the bits of `a` by `b`.
        BitShift "bit_shift" [11 28] Broadcasting {
            /// The direction of the shift.
            direction: ShiftDirection,
        } => infer::elementwise::bit_shift;
    } };
}
