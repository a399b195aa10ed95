//! Signals: Fourier transforms and windows.

macro_rules! signal {
    ($($before:tt)*) => { unite! { $($before)*
        /// The discrete Fourier transform along an axis (ONNX 20).
        DFT "dft" [17 20!] Other added(Operand 2 "axis" since 20) {
            /// Whether it is the inverse.
            inverse: bool = false,
            /// Whether the half that tells all of a real signal stands for both.
            onesided: bool = false,
        } => infer::signal::dft;
        /// The discrete Fourier transforms of the frames of a signal.
        STFT "stft" [17] Other {
            /// Whether the half that tells all of a real signal stands for both.
            onesided: bool = true,
        } => infer::signal::stft;
        /// A Hann window.
        HannWindow "hann_window" [17] Other {
            /// Whether it is one period, not symmetric.
            periodic: bool = true,
            /// The type.
            output_datatype: ElementType = ElementType::F32,
        } => infer::signal::window;
        /// A Hamming window.
        HammingWindow "hamming_window" [17] Other {
            /// Whether it is one period, not symmetric.
            periodic: bool = true,
            /// The type.
            output_datatype: ElementType = ElementType::F32,
        } => infer::signal::window;
        /// A Blackman window.
        BlackmanWindow "blackman_window" [17] Other {
            /// Whether it is one period, not symmetric.
            periodic: bool = true,
            /// The type.
            output_datatype: ElementType = ElementType::F32,
        } => infer::signal::window;
        /// Weights that bring frequencies to the bands of the mel scale.
        MelWeightMatrix "mel_weight_matrix" [17] Other {
            /// The type.
            output_datatype: ElementType = ElementType::F32,
        } => infer::signal::mel_weight_matrix;
    } };
}
