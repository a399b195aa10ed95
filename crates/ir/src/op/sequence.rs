//! Sequences and optional values.

macro_rules! sequence {
    ($($before:tt)*) => { unite! { $($before)*
        /// The operands as a sequence.
        SequenceConstruct "sequence_construct" [11] Other => infer::sequence::construct;
        /// A sequence without elements.
        SequenceEmpty "sequence_empty" [11] Other {
            /// The type of the elements of its tensors.
            dtype: ElementType = ElementType::F32,
        } => infer::sequence::empty;
        /// The element at a position.
        SequenceAt "sequence_at" [11] Other => infer::sequence::at;
        /// With a tensor put in before a position, or at the end.
        SequenceInsert "sequence_insert" [11] Other => infer::sequence::insert;
        /// Without the element at a position, or the last.
        SequenceErase "sequence_erase" [11] Other => infer::sequence::erase;
        /// The number of elements.
        SequenceLength "sequence_length" [11] Other => infer::sequence::length;
        /// The parts of a tensor along an axis: of one size, of given sizes, or of size 1.
        SplitToSequence "split_to_sequence" [11 24] Other {
            /// The axis.
            axis: i64 = 0,
            /// Whether parts of size 1, where no size is given, keep the axis.
            keepdims: bool = true,
        } => infer::sequence::split;
        /// The elements one after the other along an axis.
        ConcatFromSequence "concat_from_sequence" [11] Other {
            /// The axis.
            axis: i64,
            /// Whether it is a new one.
            new_axis: bool = false,
        } => infer::sequence::concat;
        /// The operand, or nothing of its type.
        Optional "optional" [15 28] Other {
            /// The type of what is not there.
            ty as "type": Option<ValueType> = None,
        } => infer::sequence::optional;
        /// Whether an optional value holds something (ONNX 18).
        OptionalHasElement "optional_has_element" [15 18 28] Other => infer::sequence::has_element;
        /// What an optional value holds (ONNX 18).
        OptionalGetElement "optional_get_element" [15 18 28] Other => infer::sequence::get_element;
    } };
}
