//! Shapes, and operators that put elements in another order or place.

macro_rules! layout {
    ($($before:tt)*) => { unite! { $($before)*
        /// The sizes of the axes from `start` up to `end`, as `i64`s.
        Shape "shape" [1 13 15 19 21 23 24 25] Other {
            /// The first axis.
            start since 15: i64 = 0,
            /// The axis behind the last.
            end since 15: Option<i64> = None,
        } => infer::layout::shape;
        /// The elements in another shape: 0 keeps a size (unless `allowzero`), -1 is what is left.
        Reshape "reshape" [1 5! 13 14 19 21 23 24 25] Reshapes {
            /// Whether 0 is the size 0.
            allowzero since 14: bool = false,
        } => infer::layout::reshape;
        /// The axes in another order: axis `i` of the result is axis `perm[i]`.
        Transpose "transpose" [1 13 21 23 24 25] Rearranges {
            /// The order.
            perm: Vec<i64>,
        } => infer::layout::transpose;
        /// With axes of size 1 put in.
        Unsqueeze "unsqueeze" [1 11 13! 21 23 24 25] Reshapes
            added(Operand 1 "axes" since 13) => infer::layout::unsqueeze;
        /// With axes of size 1 taken out.
        Squeeze "squeeze" [1 11 13! 21 23 24 25] Reshapes added(Operand 1 "axes" since 13) => infer::layout::squeeze;
        /// Broadcast to a shape.
        Expand "expand" [8 13] Rearranges => infer::layout::expand;
        /// One after the other along an axis.
        Concat "concat" [1 4! 11 13] Other {
            /// The axis.
            axis: i64,
        } => infer::layout::concat;
        /// Parts along an axis, of the sizes of the second operand, or equal ones.
        Split "split" [1 2! 11 13! 18!] Selects added(Operand 1 "split" since 13) {
            /// The axis.
            axis: i64 = 0,
        } => infer::layout::split;
        /// The upper or lower triangle of the last two axes; 0 elsewhere.
        Trilu "trilu" [14] Other {
            /// Whether it is the upper one.
            upper: bool = true,
        } => infer::layout::trilu;
        /// `start`, `start + delta`, … below `limit`.
        Range "range" [11 27] Other => infer::layout::range;
        /// One element repeated in the shape of the operand.
        ConstantOfShape "constant_of_shape" [9 20 21 23 24 25] Other {
            /// The element, a tensor of one.
            value: Tensor = Tensor::scalar(0.0),
        } => infer::layout::constant_of_shape;
        /// The number of elements, as an `i64`.
        Size "size" [1 13 19 21 23 24 25] Other => infer::layout::size;
        /// Repeated along each axis as often as the second operand says.
        Tile "tile" [1 6! 13] Rearranges => infer::layout::tile;
        /// 1 on a diagonal of a matrix, 0 elsewhere, in the shape of the operand.
        EyeLike "eye_like" [9 22] Other {
            /// The element type; that of the operand where it is absent.
            dtype: Option<ElementType> = None,
            /// Which diagonal: 0 is the main one, above it are positive ones.
            k: i64 = 0,
        } => infer::layout::eye_like;
        /// The first elements along the time axis in reverse, of each batch as many as the second operand says.
        ReverseSequence "reverse_sequence" [10 28] Rearranges {
            /// The axis of the batch.
            batch_axis: i64 = 1,
            /// The axis of time.
            time_axis: i64 = 0,
        } => infer::layout::reverse_sequence;
        /// Channels spread over blocks of pixels.
        DepthToSpace "depth_to_space" [1 11 13 28] Rearranges {
            /// The side of a block.
            blocksize: i64,
            /// In which order the channels hold a block.
            mode since 11: BlockOrder = BlockOrder::Dcr,
        } => infer::blocks::depth_to_space;
        /// Blocks of pixels gathered in channels; only since ONNX 28 in any other order than `DCR`.
        SpaceToDepth "space_to_depth" [1 13 28] Rearranges {
            /// The side of a block.
            blocksize: i64,
            /// In which order the channels hold a block.
            mode since 28: BlockOrder = BlockOrder::Dcr,
        } => infer::blocks::space_to_depth;
        /// With something put around it; what is cut off has negative pads.
        Pad "pad" [1 2! 11! 13 18 19 21 23 24 25] Other
            added(Operand 1 "pads" since 11, Operand 2 "constant_value" since 11, Operand 3 "axes" since 18) {
            /// With what.
            mode values("wrap" since 19): PadMode = PadMode::Constant,
        } => infer::padding::pad;
        /// The middle in another size, zeros around it where that is larger (ONNX 18).
        CenterCropPad "center_crop_pad" [18] Other {
            /// The axes that the operand speaks of; absent means all.
            axes: Option<Vec<i64>> = None,
        } => infer::padding::center_crop_pad;
        /// A matrix: the axes before `axis` are its rows, the others its columns.
        Flatten "flatten" [1 9 11 13 21 23 24 25] Reshapes {
            /// The first axis of the columns.
            axis: i64 = 1,
        } => infer::blocks::flatten;
    } };
}
