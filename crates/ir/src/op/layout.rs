//! Shapes, and operators that move elements.

macro_rules! layout {
    ($($before:tt)*) => { unite! { $($before)*
        /// The sizes of the axes from `start` to `end`, as `i64`.
        Shape "shape" [1 13 15 19 21 23 24 25] Measures {
            /// The first axis.
            start since 15: i64 = 0,
            /// The axis after the last.
            end since 15: Option<i64> = None,
        } => infer::layout::shape;
        /// Reshapes: 0 keeps a size (unless `allowzero`), -1 is inferred.
        Reshape "reshape" [1 5! 13 14 19 21 23 24 25] Reshapes {
            /// Whether 0 means the size 0.
            allowzero since 14: bool = false,
        } => infer::layout::reshape;
        /// Permutes the axes: axis `i` of the result is axis `perm[i]` of the operand.
        Transpose "transpose" [1 13 21 23 24 25] Rearranges {
            /// The permutation.
            perm: Vec<i64>,
        } => infer::layout::transpose;
        /// Inserts axes of size 1.
        Unsqueeze "unsqueeze" [1 11 13! 21 23 24 25] Reshapes
            added(Operand 1 "axes" since 13) => infer::layout::unsqueeze;
        /// Removes axes of size 1.
        Squeeze "squeeze" [1 11 13! 21 23 24 25] Reshapes added(Operand 1 "axes" since 13) => infer::layout::squeeze;
        /// Broadcasts to a shape.
        Expand "expand" [8 13] Rearranges => infer::layout::expand;
        /// Concatenates along an axis.
        Concat "concat" [1 4! 11 13] Copies {
            /// The axis.
            axis: i64,
        } => infer::layout::concat;
        /// Splits along an axis into parts of the sizes in the second operand, or into equal parts.
        Split "split" [1 2! 11 13! 18!] Selects added(Operand 1 "split" since 13) {
            /// The axis.
            axis: i64 = 0,
        } => infer::layout::split;
        /// The upper or lower triangle of the last two axes; 0 elsewhere.
        Trilu "trilu" [14] Copies {
            /// Whether to keep the upper triangle.
            upper: bool = true,
        } => infer::layout::trilu;
        /// `start`, `start + delta`, … below `limit`.
        Range "range" [11 27] Copies => infer::layout::range;
        /// A tensor of one repeated element; the operand is its shape.
        ConstantOfShape "constant_of_shape" [9 20 21 23 24 25] Copies {
            /// The element, as a tensor of one element.
            value: Tensor = Tensor::scalar(0.0),
        } => infer::layout::constant_of_shape;
        /// The number of elements, as `i64`.
        Size "size" [1 13 19 21 23 24 25] Measures => infer::layout::size;
        /// Repeats along each axis as often as the second operand gives.
        Tile "tile" [1 6! 13] Rearranges => infer::layout::tile;
        /// 1 on a diagonal of a matrix, 0 elsewhere, in the shape of the operand.
        EyeLike "eye_like" [9 22] Copies {
            /// The element type; the default is that of the operand.
            dtype: Option<ElementType> = None,
            /// The diagonal: 0 is the main one, positive ones are above it.
            k: i64 = 0,
        } => infer::layout::eye_like;
        /// Reverses the first elements of each sequence of a batch; the second operand gives their number.
        ReverseSequence "reverse_sequence" [10 28] Rearranges {
            /// The batch axis.
            batch_axis: i64 = 1,
            /// The time axis.
            time_axis: i64 = 0,
        } => infer::layout::reverse_sequence;
        /// Rearranges channels into blocks of pixels.
        DepthToSpace "depth_to_space" [1 11 13 28] Rearranges {
            /// The side length of a block.
            blocksize: i64,
            /// The order of a block's elements in the channels.
            mode since 11: BlockOrder = BlockOrder::Dcr,
        } => infer::blocks::depth_to_space;
        /// Rearranges blocks of pixels into channels; orders other than `DCR` since ONNX 28.
        SpaceToDepth "space_to_depth" [1 13 28] Rearranges {
            /// The side length of a block.
            blocksize: i64,
            /// The order of a block's elements in the channels.
            mode since 28: BlockOrder = BlockOrder::Dcr,
        } => infer::blocks::space_to_depth;
        /// Pads; negative pads crop.
        Pad "pad" [1 2! 11! 13 18 19 21 23 24 25] Copies
            added(Operand 1 "pads" since 11, Operand 2 "constant_value" since 11, Operand 3 "axes" since 18) {
            /// The padding mode.
            mode values("wrap" since 19): PadMode = PadMode::Constant,
        } => infer::padding::pad;
        /// Crops or zero-pads around the center (ONNX 18).
        CenterCropPad "center_crop_pad" [18] Copies {
            /// The axes that the operand refers to; absent means all.
            axes: Option<Vec<i64>> = None,
        } => infer::padding::center_crop_pad;
        /// Flattens to a matrix: the axes before `axis` become rows, the others columns.
        Flatten "flatten" [1 9 11 13 21 23 24 25] Reshapes {
            /// The first axis of the columns.
            axis: i64 = 1,
        } => infer::blocks::flatten;
    } };
}
