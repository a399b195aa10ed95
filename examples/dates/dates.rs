//! Parses written dates with the trained encoder-decoder.

use netwright::prelude::*;
use netwright::verify::{Array, Session};
use std::error::Error;
use std::path::Path;

/// The maximal length of an answer; a date has 11 tokens.
const MOST: usize = 16;

/// The encoder and the decoder, loaded in tract, and the characters that are their tokens.
pub(crate) struct Dates {
    vocab: Vec<String>,
    bos: i64,
    eos: i64,
    encoder: Session,
    decoder: Session,
}

impl Dates {
    /// Builds both models from the folder of the trained weights, writes them to `out`, and loads the files.
    pub(crate) fn build(folder: &Path, out: &Path) -> Result<Self, Box<dyn Error>> {
        let pretrained = Pretrained::open(folder, &PretrainedOptions::default())?;
        let session = |part, name| -> Result<Session, Box<dyn Error>> {
            let mut model = Model::new(pretrained.build(part, false)?);
            optimize(&mut model, &OptimizeOptions::for_target(Target::TRACT))?;
            let path = out.join(name);
            write(&model, &path, &WriteOptions::default())?;
            Ok(Session::load(&path)?)
        };
        let (encoder, decoder) =
            (session(Part::Encoder, "encoder_model.onnx")?, session(Part::Decoder, "decoder_model.onnx")?);
        let vocab: serde_json::Value = serde_json::from_str(&std::fs::read_to_string(folder.join("vocab.json"))?)?;
        let vocab: Vec<String> = serde_json::from_value(vocab["vocab"].clone())?;
        let id = |token: &str| vocab.iter().position(|other| other == token).ok_or(format!("{token} is no token"));
        let (bos, eos) = (i64::try_from(id("<bos>")?)?, i64::try_from(id("<eos>")?)?);
        Ok(Self { vocab, bos, eos, encoder, decoder })
    }

    /// Returns the date in the form `2021-03-03`, by greedy decoding.
    pub(crate) fn read(&self, text: &str) -> Result<String, Box<dyn Error>> {
        let id =
            |c: char| self.vocab.iter().position(|token| token.chars().eq([c])).ok_or(format!("`{c}` is no token"));
        let mut source =
            text.chars().map(|c| Ok(i64::try_from(id(c)?)?)).collect::<Result<Vec<i64>, Box<dyn Error>>>()?;
        source.push(self.eos);
        let mask = Array::new([1, source.len()], vec![1i64; source.len()])?;
        let source = Array::new([1, source.len()], source)?;
        let encoded = self.encoder.run(&[("input_ids", &source), ("attention_mask", &mask)])?;
        let memory = &encoded[0].1;

        let mut target = vec![self.bos];
        while target.len() <= MOST {
            let ids = Array::new([1, target.len()], target.clone())?;
            let inputs =
                [("decoder_input_ids", &ids), ("encoder_hidden_states", memory), ("encoder_attention_mask", &mask)];
            let logits = self.decoder.run(&inputs)?;
            let scores = logits[0].1.values::<f32>().ok_or("the logits are f32")?;
            let last = &scores[scores.len() - self.vocab.len()..];
            let best = (0..last.len()).max_by(|a, b| last[*a].total_cmp(&last[*b])).ok_or("the vocabulary is empty")?;
            if i64::try_from(best)? == self.eos {
                break;
            }
            target.push(i64::try_from(best)?);
        }
        Ok(target[1..].iter().filter_map(|id| self.vocab.get(usize::try_from(*id).ok()?)).map(String::as_str).collect())
    }
}
