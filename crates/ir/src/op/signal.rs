//! Signals: Fourier transforms and windows.

macro_rules! signal {
    ($($before:tt)*) => { unite! { $($before)*
        /// The discrete Fourier transform along an axis (ONNX 20).
        DFT "dft" [17 20!] Other added(Operand 2 "axis" since 20) {
            /// Whether to compute the inverse transform.
            inverse: bool = false,
            /// Whether only the nonredundant half of a real signal's transform is used.
            onesided: bool = false,
        } => infer::signal::dft;
        /// The short-time Fourier transform.
        STFT "stft" [17] Other {
            /// Whether only the nonredundant half of a real signal's transform is used.
            onesided: bool = true,
        } => infer::signal::stft;
        /// A Hann window.
        HannWindow "hann_window" [17] Other {
            /// Whether the window is periodic, not symmetric.
            periodic: bool = true,
            /// The element type of the result.
            output_datatype: ElementType = ElementType::F32,
        } => infer::signal::window;
        /// A Hamming window.
        HammingWindow "hamming_window" [17] Other {
            /// Whether the window is periodic, not symmetric.
            periodic: bool = true,
            /// The element type of the result.
            output_datatype: ElementType = ElementType::F32,
        } => infer::signal::window;
        /// A Blackman window.
        BlackmanWindow "blackman_window" [17] Other {
            /// Whether the window is periodic, not symmetric.
            periodic: bool = true,
            /// The element type of the result.
            output_datatype: ElementType = ElementType::F32,
        } => infer::signal::window;
        /// The weights that map frequencies to mel bands.
        MelWeightMatrix "mel_weight_matrix" [17] Other {
            /// The element type of the result.
            output_datatype: ElementType = ElementType::F32,
        } => infer::signal::mel_weight_matrix;
    } };
}
