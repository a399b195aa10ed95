//! Attributes whose value is one of a few words.

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
    /// The automatic padding mode of convolutions and pools.
    AutoPad = "`NOTSET`, `SAME_UPPER`, `SAME_LOWER` or `VALID`" {
        /// The attribute `pads` gives the padding.
        NotSet "NOTSET",
        /// Pads so that the size is divided by the stride, rounded up; the odd element goes to the end.
        SameUpper "SAME_UPPER",
        /// Pads so that the size is divided by the stride, rounded up; the odd element goes to the beginning.
        SameLower "SAME_LOWER",
        /// No padding.
        Valid "VALID",
    }

    /// The activation of a causal convolution.
    ConvActivation = "`none`, `silu` or `swish`" {
        /// No activation.
        None "none",
        /// `x * sigmoid(x)`.
        Silu "silu",
        /// Another name of `silu`.
        Swish "swish",
    }

    /// How an element at a fractional coordinate is interpolated.
    Interpolation = "`nearest`, `linear` or `cubic`" {
        /// From the nearest element.
        Nearest "nearest",
        /// From two elements along each axis.
        Linear "linear",
        /// From four elements along each axis.
        Cubic "cubic",
    }

    /// How an index of the result of a Resize maps to a coordinate in its operand.
    ResizeCoordinates = "`half_pixel`, `half_pixel_symmetric`, `pytorch_half_pixel`, `align_corners`, `asymmetric` or \
                         `tf_crop_and_resize`" {
        /// The outer edges of the corner pixels coincide.
        HalfPixel "half_pixel",
        /// As `half_pixel`, with the rounding of the size split evenly between both ends.
        HalfPixelSymmetric "half_pixel_symmetric",
        /// As `half_pixel`, but an axis of size 1 is read at 0.
        PytorchHalfPixel "pytorch_half_pixel",
        /// The centers of the corner pixels coincide.
        AlignCorners "align_corners",
        /// The centers of the first pixels coincide.
        Asymmetric "asymmetric",
        /// Coordinates lie within the region given by an operand.
        TfCropAndResize "tf_crop_and_resize",
    }

    /// How `sizes` of a Resize treat the aspect ratio.
    AspectRatioPolicy = "`stretch`, `not_larger` or `not_smaller`" {
        /// Ignored: each axis gets its size.
        Stretch "stretch",
        /// Kept: no axis gets larger than its size.
        NotLarger "not_larger",
        /// Kept: no axis gets smaller than its size.
        NotSmaller "not_smaller",
    }

    /// How a coordinate is rounded to the nearest element.
    NearestMode = "`round_prefer_floor`, `round_prefer_ceil`, `floor` or `ceil`" {
        /// To the nearer element, ties to the lower.
        RoundPreferFloor "round_prefer_floor",
        /// To the nearer element, ties to the upper.
        RoundPreferCeil "round_prefer_ceil",
        /// To the lower element.
        Floor "floor",
        /// To the upper element.
        Ceil "ceil",
    }

    /// The value read outside an image that is sampled on a grid.
    GridPadding = "`zeros`, `border` or `reflection`" {
        /// Zero.
        Zeros "zeros",
        /// The element at the border.
        Border "border",
        /// The element at the reflected position.
        Reflection "reflection",
    }

    /// The values that axes are padded with.
    PadMode = "`constant`, `reflect`, `edge` or `wrap`" {
        /// A constant.
        Constant "constant",
        /// The elements mirrored at the outermost one.
        Reflect "reflect",
        /// The outermost element.
        Edge "edge",
        /// The elements from the other end.
        Wrap "wrap",
    }

    /// The order of a block's elements in the channels.
    BlockOrder = "`DCR` or `CRD`" {
        /// Row, column, then channel.
        Dcr "DCR",
        /// Channel, row, then column.
        Crd "CRD",
    }

    /// How the samples of a cell are combined.
    RoiMode = "`avg` or `max`" {
        /// Their mean.
        Average "avg",
        /// The maximum.
        Max "max",
    }

    /// How the coordinates of regions map to pixels.
    RoiCoordinates = "`half_pixel` or `output_half_pixel`" {
        /// Shifted by half a pixel.
        HalfPixel "half_pixel",
        /// Not shifted.
        OutputHalfPixel "output_half_pixel",
    }

    /// The channels of a decoded image.
    PixelFormat = "`RGB`, `BGR` or `Grayscale`" {
        /// Red, green, blue.
        Rgb "RGB",
        /// Blue, green, red.
        Bgr "BGR",
        /// One channel.
        Grayscale "Grayscale",
    }

    /// How an update combines with the element that it replaces.
    ScatterReduction = "`none`, `add`, `mul`, `max` or `min`" {
        /// The update replaces the element.
        None "none",
        /// Their sum.
        Add "add",
        /// Their product.
        Mul "mul",
        /// The maximum.
        Max "max",
        /// The minimum.
        Min "min",
    }
    /// The direction in which a recurrent network traverses the sequence.
    Direction = "`forward`, `reverse` or `bidirectional`" {
        /// From the first to the last.
        Forward "forward",
        /// From the last to the first.
        Reverse "reverse",
        /// Both directions, concatenated.
        Bidirectional "bidirectional",
    }

    /// How a cast to `f8e8m0` rounds to a power of two.
    CastRounding = "`up`, `down` or `nearest`" {
        /// Away from zero.
        Up "up",
        /// Toward zero.
        Down "down",
        /// To the nearest, ties up.
        Nearest "nearest",
    }

    /// The direction of a bit shift.
    ShiftDirection = "`LEFT` or `RIGHT`" {
        /// Toward the high bits.
        Left "LEFT",
        /// Toward the low bits; the sign stays.
        Right "RIGHT",
    }

    /// How the losses of the samples are combined.
    LossReduction = "`none`, `mean` or `sum`" {
        /// The losses are not combined.
        None "none",
        /// The weighted mean.
        Mean "mean",
        /// Their sum.
        Sum "sum",
    }

    /// Where writes past the end of a cache go.
    ScatterMode = "`linear` or `circular`" {
        /// Writes past the end are not allowed.
        Linear "linear",
        /// To the beginning of the cache.
        Circular "circular",
    }

    /// How linear attention updates its state.
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

    /// How the case of letters changes.
    CaseChange = "`LOWER`, `UPPER` or `NONE`" {
        /// Lower case.
        Lower "LOWER",
        /// Upper case.
        Upper "UPPER",
        /// Unchanged.
        None "NONE",
    }

    /// How the count of an n-gram is weighted.
    TermWeighting = "`TF`, `IDF` or `TFIDF`" {
        /// The count of the n-gram.
        Frequency "TF",
        /// The weight of the n-gram if it occurs.
        InverseDocument "IDF",
        /// The count times the weight.
        Both "TFIDF",
    }
}
