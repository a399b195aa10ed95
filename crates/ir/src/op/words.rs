//! Attributes that are one of a few words.

use crate::attribute::{Attribute, AttributeValue};
use bytes::Bytes;

macro_rules! words {
    ($(
        $(#[$doc:meta])*
        $name:ident = $expected:literal { $( $(#[$variant_doc:meta])* $variant:ident $word:literal ),* $(,)? }
    )*) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum $name { $( $(#[$variant_doc])* $variant ),* }

        impl AttributeValue for $name {
            const EXPECTED: &'static str = $expected;

            fn to_attribute(&self) -> Option<Attribute> {
                let word: &'static str = match self { $( $name::$variant => $word ),* };
                Some(Attribute::Text(Bytes::from_static(word.as_bytes())))
            }

            fn from_attribute(attribute: &Attribute) -> Option<Self> {
                let Attribute::Text(text) = attribute else { return None };
                $( if **text == *$word.as_bytes() { return Some($name::$variant) } )*
                None
            }
        }
    )*};
}

words! {
    /// How GELU is computed.
    GeluApproximation = "`none` or `tanh`" {
        /// `x / 2 * (1 + erf(x / sqrt(2)))`.
        None "none",
        /// `x / 2 * (1 + tanh(sqrt(2 / pi) * (x + 0.044715 x^3)))`.
        Tanh "tanh",
    }
}

words! {
    /// How an element that is scattered meets the one that is there.
    ScatterReduction = "`none`, `add`, `mul`, `max` or `min`" {
        /// It replaces it.
        None "none",
        /// Their sum.
        Add "add",
        /// Their product.
        Mul "mul",
        /// The larger.
        Max "max",
        /// The smaller.
        Min "min",
    }
    /// Which way a recurrent network goes through the sequence.
    Direction = "`forward`, `reverse` or `bidirectional`" {
        /// From the first to the last.
        Forward "forward",
        /// From the last to the first.
        Reverse "reverse",
        /// Both, side by side.
        Bidirectional "bidirectional",
    }

    /// How a number that is no power of two becomes one, in a cast to such a type.
    CastRounding = "`up`, `down` or `nearest`" {
        /// Away from zero.
        Up "up",
        /// Toward zero.
        Down "down",
        /// To the nearest; from the middle up.
        Nearest "nearest",
    }

    /// Where bits are shifted.
    ShiftDirection = "`LEFT` or `RIGHT`" {
        /// Toward the high bits.
        Left "LEFT",
        /// Toward the low bits; the sign stays.
        Right "RIGHT",
    }

    /// What becomes of the losses of the samples.
    LossReduction = "`none`, `mean` or `sum`" {
        /// They stay.
        None "none",
        /// Their mean, by their weights.
        Mean "mean",
        /// Their sum.
        Sum "sum",
    }

    /// Where what does not fit behind the end of a cache is written.
    ScatterMode = "`linear` or `circular`" {
        /// Nothing lies behind the end.
        Linear "linear",
        /// From its beginning.
        Circular "circular",
    }

    /// How the state of a linear attention follows from the one before.
    LinearAttentionRule = "`linear`, `gated`, `delta` or `gated_delta`" {
        /// `S + k ⊗ v`.
        Linear "linear",
        /// `exp(g) * S + k ⊗ v`.
        Gated "gated",
        /// `S + b * k ⊗ (v - Sᵀk)`.
        Delta "delta",
        /// `exp(g) * S + b * k ⊗ (v - exp(g) * Sᵀk)`.
        GatedDelta "gated_delta",
    }

    /// What becomes of the case of letters.
    CaseChange = "`LOWER`, `UPPER` or `NONE`" {
        /// Lower case.
        Lower "LOWER",
        /// Upper case.
        Upper "UPPER",
        /// It stays.
        None "NONE",
    }

    /// What the number of an n-gram is weighted with.
    TermWeighting = "`TF`, `IDF` or `TFIDF`" {
        /// Nothing.
        Frequency "TF",
        /// Its weight alone, where it occurs.
        InverseDocument "IDF",
        /// Its weight.
        Both "TFIDF",
    }
}
