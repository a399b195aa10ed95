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
    /// How much is put around an image before a window slides over it.
    AutoPad = "`NOTSET`, `SAME_UPPER`, `SAME_LOWER` or `VALID`" {
        /// What the attribute `pads` says.
        NotSet "NOTSET",
        /// So much that the size is divided by the stride, rounded up; more of it at the end.
        SameUpper "SAME_UPPER",
        /// So much that the size is divided by the stride, rounded up; more of it at the beginning.
        SameLower "SAME_LOWER",
        /// Nothing.
        Valid "VALID",
    }

    /// What is computed behind a causal convolution.
    ConvActivation = "`none`, `silu` or `swish`" {
        /// Nothing.
        None "none",
        /// `x * sigmoid(x)`.
        Silu "silu",
        /// The same by another name.
        Swish "swish",
    }

    /// What an element between those of the operand is made of.
    Interpolation = "`nearest`, `linear` or `cubic`" {
        /// The nearest one.
        Nearest "nearest",
        /// Two along each axis.
        Linear "linear",
        /// Four along each axis.
        Cubic "cubic",
    }

    /// Where in the operand of a resize an element of the result lies.
    ResizeCoordinates = "`half_pixel`, `half_pixel_symmetric`, `pytorch_half_pixel`, `align_corners`, `asymmetric` or \
                         `tf_crop_and_resize`" {
        /// The centers of the outermost pixels are as far inside as pixels are large.
        HalfPixel "half_pixel",
        /// So too, and what the size was rounded by is shared by both ends.
        HalfPixelSymmetric "half_pixel_symmetric",
        /// As `half_pixel`, but an axis of size 1 is read at 0.
        PytorchHalfPixel "pytorch_half_pixel",
        /// The outermost pixels lie on one another.
        AlignCorners "align_corners",
        /// The first pixels lie on one another.
        Asymmetric "asymmetric",
        /// Within the region that an operand gives.
        TfCropAndResize "tf_crop_and_resize",
    }

    /// What `sizes` of a resize say of the ratio of the axes.
    AspectRatioPolicy = "`stretch`, `not_larger` or `not_smaller`" {
        /// Nothing: each axis gets its size.
        Stretch "stretch",
        /// It is kept, and no axis gets larger than its size.
        NotLarger "not_larger",
        /// It is kept, and no axis gets smaller than its size.
        NotSmaller "not_smaller",
    }

    /// Which element is the nearest.
    NearestMode = "`round_prefer_floor`, `round_prefer_ceil`, `floor` or `ceil`" {
        /// The nearer one, the lower of two.
        RoundPreferFloor "round_prefer_floor",
        /// The nearer one, the upper of two.
        RoundPreferCeil "round_prefer_ceil",
        /// The lower one.
        Floor "floor",
        /// The upper one.
        Ceil "ceil",
    }

    /// What is read outside of an image that is sampled on a grid.
    GridPadding = "`zeros`, `border` or `reflection`" {
        /// 0.
        Zeros "zeros",
        /// The element at the border.
        Border "border",
        /// The element at the place reflected at the border.
        Reflection "reflection",
    }

    /// What axes are padded with.
    PadMode = "`constant`, `reflect`, `edge` or `wrap`" {
        /// One value.
        Constant "constant",
        /// The elements reflected at the outermost one.
        Reflect "reflect",
        /// The outermost element.
        Edge "edge",
        /// The elements from the other end.
        Wrap "wrap",
    }

    /// In which order the channels hold the elements of a block.
    BlockOrder = "`DCR` or `CRD`" {
        /// Row, column, then channel.
        Dcr "DCR",
        /// Channel, row, then column.
        Crd "CRD",
    }

    /// What is made of the samples of a region.
    RoiMode = "`avg` or `max`" {
        /// Their mean.
        Average "avg",
        /// The largest.
        Max "max",
    }

    /// How the coordinates of regions fall on pixels.
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
        /// One.
        Grayscale "Grayscale",
    }

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
