//! Parses written dates with the trained encoder-decoder.

use netwright::generate::{Input, Model, Settings};
use netwright::prelude::{OptimizeOptions, Part, Pretrained, PretrainedOptions, Target, WriteOptions, optimize, write};
use netwright::{ir, verify::Runtime};
use std::error::Error;
use std::path::Path;

/// The maximal length of an answer; a date has 11 tokens.
const MOST: usize = 16;

/// The encoder and the decoder with its KV cache, loaded in tract, and the characters that are their tokens.
pub(crate) struct Dates {
    vocab: Vec<String>,
    model: Model,
    settings: Settings,
}

impl Dates {
    /// Builds the graphs from the folder of the trained weights, writes them to `out`, and loads the files.
    pub(crate) fn build(folder: &Path, out: &Path) -> Result<Self, Box<dyn Error>> {
        let pretrained = Pretrained::open(folder, &PretrainedOptions::default().with_past(true))?;
        for (part, name) in [
            (Part::Encoder, "encoder_model.onnx"),
            (Part::Decoder, "decoder_model.onnx"),
            (Part::DecoderWithPast, "decoder_with_past_model.onnx"),
        ] {
            let mut model = ir::Model::new(pretrained.build(part, false)?);
            optimize(&mut model, &OptimizeOptions::for_target(Target::TRACT))?;
            write(&model, out.join(name), &WriteOptions::default())?;
        }
        let vocab: serde_json::Value = serde_json::from_str(&std::fs::read_to_string(folder.join("vocab.json"))?)?;
        let vocab: Vec<String> = serde_json::from_value(vocab["vocab"].clone())?;
        let mut settings = Settings::read(folder, &[])?;
        settings.max_new_tokens = Some(MOST);
        Ok(Self { vocab, model: Model::open(out, &Runtime::Tract)?, settings })
    }

    /// Returns the date in the form `2021-03-03`, by greedy decoding.
    pub(crate) fn read(&self, text: &str) -> Result<String, Box<dyn Error>> {
        let steps = self.model.tokens(&self.input(text)?, &self.settings)?;
        let tokens = steps.map(|step| Ok(step?[0])).collect::<Result<Option<Vec<u32>>, Box<dyn Error>>>()?;
        Ok(self.text(&tokens.unwrap_or_default()))
    }

    /// Returns the most probable dates, with the logarithms of their probabilities, best first, by beam search.
    pub(crate) fn read_all(&self, text: &str, beams: usize) -> Result<Vec<(String, f32)>, Box<dyn Error>> {
        let mut settings = self.settings.clone();
        settings.num_beams = beams;
        settings.length_penalty = 0.0;
        let found = self.model.beams(&self.input(text)?, &settings, &|_| false)?;
        Ok(found.concat().into_iter().map(|beam| (self.text(&beam.tokens), beam.score)).collect())
    }

    /// Returns the characters of a text as tokens, and the end token.
    fn input(&self, text: &str) -> Result<Input, Box<dyn Error>> {
        let id =
            |c: char| self.vocab.iter().position(|token| token.chars().eq([c])).ok_or(format!("`{c}` is no token"));
        let mut source =
            text.chars().map(|c| Ok(u32::try_from(id(c)?)?)).collect::<Result<Vec<u32>, Box<dyn Error>>>()?;
        source.extend(&self.settings.eos_token_id);
        Ok(Input::Tokens(vec![source]))
    }

    fn text(&self, tokens: &[u32]) -> String {
        let tokens = tokens.iter().filter(|token| !self.settings.eos_token_id.contains(token));
        tokens.filter_map(|id| self.vocab.get(*id as usize)).map(String::as_str).collect()
    }
}
