//! Whisper (Radford et al., 2023): speech to text.

use super::bart::{self, Kind, Positions, Stack};
use super::encoder_decoder::{EncoderDecoder, Seq2Seq, Step};
use super::{BATCH, Family, Head};
use crate::layers::{Activation, Convolution, Embedding, Linear};
use crate::{Builder, Init, Settings, SettingsError, Task, Var, signed};
use netwright_ir::{Dim, TensorType, shape};

/// Whisper and Distil-Whisper.
pub(super) const WHISPER: Family = Family {
    name: "Whisper",
    model_types: &["whisper"],
    example: Some("openai/whisper-tiny"),
    architectures: &[
        ("WhisperForConditionalGeneration", Task::AutomaticSpeechRecognition),
        ("WhisperModel", Task::FeatureExtraction),
    ],
    read: |settings, head| Ok(Box::new(Seq2Seq::new(read(settings, head)?, head))),
};

#[derive(Debug)]
struct Whisper {
    base: String,
    convolutions: [Convolution; 2],
    mel_bins: u64,
    /// The number of encoder states, half the number of frames.
    source: u64,
    d_model: u64,
    encoder: Stack,
    embeddings: Embedding,
    decoder: Stack,
    scores: Option<Linear>,
}

fn read(settings: &Settings, head: &Head<'_>) -> Result<Whisper, SettingsError> {
    settings.must_be("use_weighted_layer_sum", false)?;
    settings.must_be("scale_embedding", false)?;
    settings.ignore(&["classifier_proj_size", "alignment_heads", "max_length"]);
    let base = head.base("model");
    let d_model = settings.size("d_model")?;
    let vocab = settings.size("vocab_size")?;
    let mel_bins = settings.size("num_mel_bins")?;
    let source = settings.size("max_source_positions")?;
    let kind = Kind {
        pre_norm: true,
        final_norm: true,
        positions: Positions::Table { offset: 0 },
        activation: Activation::Gelu,
        key_bias: false,
        ..Kind::default()
    };
    let convolution = |name: &str, inputs, stride| Convolution {
        name: format!("{base}encoder.{name}"),
        inputs,
        outputs: d_model,
        kernel: vec![3],
        stride,
        padding: 1,
        bias: true,
    };
    let tied = settings.flag("tie_word_embeddings", true)?;
    Ok(Whisper {
        convolutions: [convolution("conv1", mel_bins, 1), convolution("conv2", d_model, 2)],
        mel_bins,
        source,
        d_model,
        encoder: bart::stack(settings, &kind, &format!("{base}encoder"), source)?,
        embeddings: Embedding::new(format!("{base}decoder.embed_tokens"), vocab, d_model, false),
        decoder: bart::stack(settings, &kind, &format!("{base}decoder"), settings.size("max_target_positions")?)?,
        scores: (!tied).then(|| Linear::new("proj_out", d_model, vocab, false)),
        base,
    })
}

impl EncoderDecoder for Whisper {
    /// Declares a spectrogram `[batch, mel bins, frames]` with the number of frames of the training.
    fn source<'b>(&self, builder: &'b Builder<'b>) -> Var<'b> {
        let [mel_bins, frames] = [self.mel_bins, 2 * self.source].map(signed);
        builder.input("input_features", TensorType::new(builder.element(), shape![BATCH, mel_bins, frames]))
    }

    fn encode<'b>(&self, source: Var<'b>, mask: Option<Var<'b>>) -> Var<'b> {
        let x = self.convolutions.iter().fold(source, |x, convolution| convolution.forward(x).gelu());
        let name = format!("{}encoder.embed_positions.weight", self.base);
        let positions = source.builder().parameter(&name, &[self.source, self.d_model], Init::Xavier);
        self.encoder.encode(x.transpose(&[0, 2, 1]) + positions, mask)
    }

    fn decode<'b>(&self, step: &Step<'b>) -> Var<'b> {
        let positions = self.decoder.positions(step.ids, step.span);
        self.decoder.decode(self.embeddings.forward(step.ids) + positions, step)
    }

    fn scores<'b>(&self, x: Var<'b>) -> Var<'b> {
        self.scores.as_ref().map_or_else(|| self.embeddings.scores(x), |layer| layer.forward(x))
    }

    fn memory(&self) -> [Dim; 2] {
        [Dim::Known(signed(self.source)), self.encoder.width()]
    }

    fn cache(&self) -> [u64; 3] {
        self.decoder.cache()
    }

    fn has_padding(&self) -> bool {
        false
    }

    fn copies(&self) -> &'static [&'static str] {
        if self.scores.is_some() { &[] } else { &["proj_out.weight"] }
    }
}
