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
}
