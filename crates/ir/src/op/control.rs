//! Control flow: operators with bodies.

macro_rules! control {
    ($($before:tt)*) => { unite! { $($before)*
        /// Runs one of two bodies.
        If "if" [1 11 13 16 19 21 23 24 25] Control {
            /// The body that runs if the condition is true.
            then_branch: Arc<Graph>,
            /// The body that runs if it is false.
            else_branch: Arc<Graph>,
        } => infer::control::if_;
        /// Runs a body repeatedly.
        Loop "loop" [1 11 13 16 19 21 23 24 25] Control {
            /// Takes the iteration, the condition and the state; returns the condition, the state and scanned values.
            body: Arc<Graph>,
        } => infer::control::loop_;
        /// Runs a body for each slice of its operands.
        Scan "scan" [8 9! 11 16 19 21 23 24 25] Control {
            /// Takes the state and slices; returns the state and slices.
            body: Arc<Graph>,
            /// The number of scanned operands; the operands before them are the state.
            num_scan_inputs: i64,
            /// The axes of the scanned operands; all 0 if empty.
            scan_input_axes since 9: Vec<i64> = vec![],
            /// For each scanned operand 0 for forward, 1 for backward; all 0 if empty.
            scan_input_directions since 9: Vec<i64> = vec![],
            /// The axes along which result slices are concatenated; all 0 if empty.
            scan_output_axes since 9: Vec<i64> = vec![],
            /// For each scanned result 0 for forward, 1 for backward; all 0 if empty.
            scan_output_directions since 9: Vec<i64> = vec![],
        } => infer::control::scan;
        /// Runs a body for each element of a sequence.
        SequenceMap "sequence_map" [17] Control {
            /// Takes an element of each operand; returns an element of each result.
            body: Arc<Graph>,
        } => infer::control::sequence_map;
    } };
}
