//! Sequences and optional values.

macro_rules! sequence {
    ($($before:tt)*) => { unite! { $($before)*
        /// Creates a sequence of the operands.
        SequenceConstruct "sequence_construct" [11] Other => infer::sequence::construct;
        /// Creates an empty sequence.
        SequenceEmpty "sequence_empty" [11] Other {
            /// The element type of its tensors.
            dtype: ElementType = ElementType::F32,
        } => infer::sequence::empty;
        /// The tensor at a position.
        SequenceAt "sequence_at" [11] Other => infer::sequence::at;
        /// Inserts a tensor before a position, or at the end.
        SequenceInsert "sequence_insert" [11] Other => infer::sequence::insert;
        /// Removes the tensor at a position, or the last.
        SequenceErase "sequence_erase" [11] Other => infer::sequence::erase;
        /// The number of tensors in a sequence.
        SequenceLength "sequence_length" [11] Other => infer::sequence::length;
        /// Splits a tensor along an axis into a sequence: into parts of one size, of given sizes, or of size 1.
        SplitToSequence "split_to_sequence" [11 24] Other {
            /// The axis.
            axis: i64 = 0,
            /// Whether parts of size 1 keep the axis if no size is given.
            keepdims: bool = true,
        } => infer::sequence::split;
        /// Concatenates the tensors of a sequence along an axis.
        ConcatFromSequence "concat_from_sequence" [11] Other {
            /// The axis.
            axis: i64,
            /// Whether the axis is new.
            new_axis: bool = false,
        } => infer::sequence::concat;
        /// Wraps the operand in an optional value, or creates an empty one.
        Optional "optional" [15 28] Other {
            /// The type of the absent value.
            ty as "type": Option<ValueType> = None,
        } => infer::sequence::optional;
        /// Whether an optional value is present (ONNX 18).
        OptionalHasElement "optional_has_element" [15 18 28] Other => infer::sequence::has_element;
        /// Unwraps an optional value (ONNX 18).
        OptionalGetElement "optional_get_element" [15 18 28] Other => infer::sequence::get_element;
    } };
}
