//! Control flow: operators with bodies.

macro_rules! control {
    ($($before:tt)*) => { unite! { $($before)*
        /// One of two bodies.
        If "if" [1 11 13 16 19 21 23 24 25] Control {
            /// What runs where the condition holds.
            then_branch: Arc<Graph>,
            /// What runs where it does not.
            else_branch: Arc<Graph>,
        } => infer::control::if_;
        /// A body, again and again.
        Loop "loop" [1 11 13 16 19 21 23 24 25] Control {
            /// From iteration, condition and state to condition, state and what is scanned.
            body: Arc<Graph>,
        } => infer::control::loop_;
        /// A body for each slice of its operands.
        Scan "scan" [8 9! 11 16 19 21 23 24 25] Control {
            /// From state and slices to state and slices.
            body: Arc<Graph>,
            /// How many operands are scanned; those before are the state.
            num_scan_inputs: i64,
            /// Along which axes; 0 each where there are none.
            scan_input_axes since 9: Vec<i64> = vec![],
            /// 0 for forward, 1 for backward; 0 each where there are none.
            scan_input_directions since 9: Vec<i64> = vec![],
            /// Along which axes slices are put together; 0 each where there are none.
            scan_output_axes since 9: Vec<i64> = vec![],
            /// 0 for forward, 1 for backward; 0 each where there are none.
            scan_output_directions since 9: Vec<i64> = vec![],
        } => infer::control::scan;
        /// A body for each element of a sequence.
        SequenceMap "sequence_map" [17] Control {
            /// From an element of each operand to an element of each result.
            body: Arc<Graph>,
        } => infer::control::sequence_map;
    } };
}
