//! A decoder, with or without an encoder, that is loaded in a runtime.

use crate::graph::{Graph, LOGITS, Role, STATES, is_of_source};
use crate::scores::largest;
use crate::settings::ConfigFile;
use crate::{GenerateError, Settings, files};
use netwright_verify::{Array, Resident, Runtime};
use std::collections::BTreeMap;
use std::path::Path;

/// A decoder, with or without an encoder, that is loaded in a runtime.
///
/// A decoder with a KV cache computes only new tokens; without one it computes the whole sequence for every token.
///
/// ```no_run
/// use netwright_generate::{Input, Model, Settings};
/// use netwright_verify::Runtime;
///
/// let model = Model::open("gpt2_onnx", &Runtime::Tract)?;
/// let settings = Settings::read("gpt2_onnx", &[])?;
/// for step in model.tokens(&Input::Tokens(vec![vec![464, 3290]]), &settings)? {
///     println!("{:?}", step?[0]);
/// }
/// # Ok::<(), netwright_generate::GenerateError>(())
/// ```
#[derive(Debug)]
pub struct Model {
    encoder: Option<Graph>,
    /// The decoder; with an encoder, that of the first step.
    pub(crate) first: Graph,
    /// The decoder of later steps, if it is another graph.
    later: Option<Graph>,
    /// The number of positions of the decoder.
    positions: Option<usize>,
    /// The number of positions of the encoder.
    source_positions: Option<usize>,
    /// The number of tokens.
    vocabulary: Option<usize>,
    /// The number of frames of audio that the encoder reads.
    frames: Option<usize>,
}

/// What tokens are generated from; each has one element for each row of a batch.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Input {
    /// Tokens: prompts of a decoder, or sources of an encoder.
    Tokens(Vec<Vec<u32>>),
    /// The spectra `[batch, bins, frames]` of audio, and the first tokens of the decoder for each.
    Features(Array, Vec<Vec<u32>>),
}

impl Input {
    /// Returns the tokens of each row.
    pub fn tokens(&self) -> &[Vec<u32>] {
        let (Input::Tokens(tokens) | Input::Features(_, tokens)) = self;
        tokens
    }
}

/// A batch in the middle of generation.
#[derive(Clone, Debug)]
pub(crate) struct State {
    /// The tokens of each row, with the padding at its start.
    pub(crate) tokens: Vec<Vec<u32>>,
    /// The number of tokens of padding of each row.
    pub(crate) padding: Vec<usize>,
    /// The tokens of the source of each row: what an encoder reads, or the prompt; empty if an encoder reads audio.
    pub(crate) sources: Vec<Vec<u32>>,
    /// The index of the input of each row: rows of one input read the same source.
    origins: Vec<usize>,
    /// The number of tokens of the prompt, with its padding.
    pub(crate) prompt: usize,
    /// The number of tokens that are in the cache.
    cached: usize,
    past: BTreeMap<String, Resident>,
    memory: Option<Resident>,
    source_mask: Vec<Vec<i64>>,
}

impl State {
    /// Keeps these rows, which may repeat.
    pub(crate) fn keep(&mut self, model: &Model, rows: &[usize]) -> Result<(), GenerateError> {
        fn picked<T: Clone>(all: &[T], rows: &[usize]) -> Vec<T> {
            if all.is_empty() { vec![] } else { rows.iter().map(|row| all[*row].clone()).collect() }
        }
        let session = &model.first.session;
        let origins = picked(&self.origins, rows);
        // Beams that change places within one input still read the same source.
        let is_same_source = origins == self.origins;
        for (_, tensor) in self.past.iter_mut().filter(|(name, _)| !(is_same_source && is_of_source(name))) {
            *tensor = session.rows(tensor, rows)?;
        }
        if let Some(memory) = self.memory.as_mut().filter(|_| !is_same_source) {
            *memory = session.rows(memory, rows)?;
        }
        self.origins = origins;
        self.tokens = picked(&self.tokens, rows);
        self.padding = picked(&self.padding, rows);
        self.sources = picked(&self.sources, rows);
        self.source_mask = picked(&self.source_mask, rows);
        Ok(())
    }

    fn rows(&self) -> usize {
        self.tokens.len()
    }
}

impl Model {
    /// Loads the model of a folder as `netwright build` and the exporters of Hugging Face write it, or the decoder in a
    /// file.
    ///
    /// # Errors
    ///
    /// If the folder holds no model, or more than one, or if a graph is not a decoder or an encoder.
    pub fn open(path: impl AsRef<Path>, runtime: &Runtime) -> Result<Self, GenerateError> {
        let path = path.as_ref();
        let parts = files::parts(path)?;
        let load = |path: &Path| Graph::load(path, runtime);
        let encoder = parts.encoder.as_deref().map(load).transpose()?;
        let (first, branch) = Graph::decoder(&parts.decoder, runtime)?;
        let later = parts.later.as_deref().map(load).transpose()?.or(branch);
        let model =
            Self { encoder, first, later, positions: None, source_positions: None, vocabulary: None, frames: None };
        model.check()?;
        let options = ConfigFile::open(files::folder(path).join("config.json"))?;
        if model.first.is_masked(options.as_ref()) {
            return Err(model.first.unfit("it predicts masked tokens, not next ones", "choose a decoder"));
        }
        match options {
            Some(options) => model.with_positions(&options),
            None => Ok(model),
        }
    }

    fn check(&self) -> Result<(), GenerateError> {
        let help = "build the model with --task text-generation, or choose a decoder";
        self.first.expect_output(LOGITS, help)?;
        if !self.first.has(Role::Tokens) {
            return Err(self.first.unfit("it has no input `input_ids`", help));
        }
        if self.first.has(Role::Types) {
            return Err(self.first.unfit("input `token_type_ids` is not one of a decoder", help));
        }
        if let Some(later) = &self.later {
            later.expect_output(LOGITS, help)?;
        }
        // Keys and values of a source may stay as they are.
        if self.encoder.is_none() && !self.first.has(Role::Memory) {
            for graph in std::iter::once(&self.first).chain(&self.later) {
                if let Some(past) = graph.pasts().find(|past| !graph.extends(&past.name)) {
                    let help = "export the model again with its KV cache as outputs";
                    return Err(graph.unfit(format!("`{}` has no output that extends it", past.name), help));
                }
            }
        }
        match &self.encoder {
            Some(encoder) => encoder.expect_output(STATES, "build the encoder and the decoder into one folder"),
            None if self.first.has(Role::Memory) => Err(self.first.unfit(
                "it reads the states of an encoder, which is not there",
                "name the folder that holds encoder_model.onnx too",
            )),
            None => Ok(()),
        }
    }

    /// Takes over the number of positions of a configuration.
    fn with_positions(mut self, options: &ConfigFile) -> Result<Self, GenerateError> {
        self.positions = options.positions()?;
        let vocabulary = options.get("vocab_size").or_else(|| options.nested("text_config", "vocab_size"));
        self.vocabulary = vocabulary.and_then(|count| usize::try_from(count.as_u64()?).ok());
        self.source_positions = self.positions.filter(|_| self.encoder.is_some());
        // Each position of the encoder of Whisper reads two frames.
        let frames = options.get("max_source_positions").and_then(|count| usize::try_from(count.as_u64()?).ok());
        self.frames = frames.map(|count| count.saturating_mul(2));
        Ok(self)
    }

    /// Returns the number of positions of the decoder, if the configuration or a cache of fixed length limits it.
    pub fn positions(&self) -> Option<usize> {
        // The last token is not read.
        let room = self.cache_room().map(|room| room.saturating_add(1));
        self.positions.into_iter().chain(room).min()
    }

    /// Returns the number of tokens for which a KV cache of fixed length has room; `None` if the cache grows.
    pub fn cache_room(&self) -> Option<usize> {
        self.first.room()
    }

    /// Returns the number of frames of audio that the encoder reads, if it or the configuration says so.
    pub(crate) fn frames(&self) -> Option<usize> {
        let shape = self.encoder.as_ref()?.port(Role::Features)?.ty.as_ref()?.shape.as_ref()?;
        let own = shape.get(2).and_then(|frames| usize::try_from(frames.known()?).ok());
        own.or(self.frames)
    }

    /// Returns the number of tokens of the model, if the configuration has it.
    pub fn vocabulary(&self) -> Option<usize> {
        self.vocabulary
    }

    /// Returns whether the model has an encoder.
    pub fn has_encoder(&self) -> bool {
        self.encoder.is_some()
    }

    /// Returns whether the source of the model is audio.
    pub fn reads_audio(&self) -> bool {
        self.encoder.as_ref().is_some_and(|encoder| encoder.has(Role::Features))
    }

    /// Returns the most probable next token of the first row among some.
    pub(crate) fn most_probable(&self, input: &Input, among: &[u32]) -> Result<u32, GenerateError> {
        let (state, scores) = self.start(input, &Settings::default())?;
        let scores = &scores[0];
        self.first.expect_numbers(scores, state.prompt)?;
        largest(scores, among.iter().copied()).ok_or(GenerateError::NoToken { position: state.prompt })
    }

    /// Runs the encoder and the first step of the decoder; returns the state and the scores of the next token of each
    /// row.
    pub(crate) fn start(&self, input: &Input, settings: &Settings) -> Result<(State, Vec<Vec<f32>>), GenerateError> {
        let (given, pad) = (input.tokens(), settings.pad());
        if given.is_empty() || given.iter().any(Vec::is_empty) {
            return Err(GenerateError::EmptyPrompt);
        }
        self.expect_known(given)?;
        let (prompts, sources, memory, source_mask) = match (input, &self.encoder) {
            (Input::Tokens(prompts), None) => (prompts.clone(), vec![], None, vec![]),
            (Input::Tokens(_), Some(encoder)) if encoder.has(Role::Features) => {
                return Err(encoder.unfit("it reads audio, not tokens", "pass an audio file with --audio FILE.wav"));
            }
            (Input::Tokens(sources), Some(encoder)) => {
                let (sources, mask) = padded_right(sources, pad);
                if let Some(positions) = self.source_positions.filter(|positions| longest(&sources) > *positions) {
                    return Err(GenerateError::TooLong { tokens: longest(&sources), positions });
                }
                let memory = Self::encode(encoder, &sources, &mask)?;
                (vec![vec![settings.start()?]; sources.len()], sources, Some(memory), mask)
            }
            (Input::Features(features, prompts), Some(encoder)) => {
                let memory = Self::encode_audio(encoder, features)?;
                (prompts.clone(), vec![], Some(memory), vec![])
            }
            (Input::Features(..), None) => {
                return Err(self.first.unfit("it has no encoder for audio", "pass a text with --prompt"));
            }
        };
        let prompt = longest(&prompts);
        if let Some(positions) = self.positions.filter(|positions| prompt >= *positions) {
            return Err(GenerateError::TooLong { tokens: prompt, positions });
        }
        if let Some(room) = self.first.room().filter(|room| prompt > *room) {
            return Err(GenerateError::NoRoom { tokens: prompt, room });
        }
        let padding: Vec<usize> = prompts.iter().map(|tokens| prompt - tokens.len()).collect();
        if padding.iter().any(|padding| *padding > 0) && !self.first.has(Role::Mask) {
            return Err(self.first.unfit(
                "prompts of different lengths need padding, and it has no input `attention_mask`",
                "generate from one prompt at a time",
            ));
        }
        let filled = |(tokens, padding): (&Vec<u32>, &usize)| [&vec![pad; *padding][..], tokens].concat();
        let tokens: Vec<Vec<u32>> = prompts.iter().zip(&padding).map(filled).collect();
        let mut state = State {
            sources: if self.encoder.is_some() { sources } else { tokens.clone() },
            tokens,
            padding,
            origins: (0..prompts.len()).collect(),
            prompt,
            cached: 0,
            past: self.first.empty_pasts(prompts.len())?,
            memory,
            source_mask,
        };
        let scores = self.step(&mut state)?;
        Ok((state, scores))
    }

    fn expect_known(&self, rows: &[Vec<u32>]) -> Result<(), GenerateError> {
        let Some(vocabulary) = self.vocabulary else { return Ok(()) };
        let unknown = rows.iter().flatten().find(|token| **token as usize >= vocabulary);
        unknown.map_or(Ok(()), |token| Err(GenerateError::UnknownToken { token: *token, vocabulary }))
    }

    fn encode(encoder: &Graph, sources: &[Vec<u32>], mask: &[Vec<i64>]) -> Result<Resident, GenerateError> {
        let tokens = sources.iter().flatten().map(|token| i64::from(*token)).collect();
        let inputs = [(Role::Tokens, tokens), (Role::Mask, mask.concat())];
        Ok(encoder.run(encoder.numbers(sources.len(), inputs)?, STATES)?.0)
    }

    fn encode_audio(encoder: &Graph, features: &Array) -> Result<Resident, GenerateError> {
        let Some(port) = encoder.port(Role::Features) else {
            return Err(encoder.unfit("it reads tokens, not audio", "pass a text with --prompt"));
        };
        Ok(encoder.run(vec![(&port.name, encoder.session.resident(features.clone())?)], STATES)?.0)
    }

    /// Runs the decoder on the tokens that are not in the cache, and returns the scores of the next token of each row.
    pub(crate) fn step(&self, state: &mut State) -> Result<Vec<Vec<f32>>, GenerateError> {
        let graph = self.later.as_ref().filter(|_| state.cached > 0).unwrap_or(&self.first);
        let rows = state.rows();
        let length = state.tokens.first().map_or(0, Vec::len);
        let new = state.cached..length;
        let tokens = state.tokens.iter().flat_map(|row| &row[new.clone()]).map(|token| i64::from(*token)).collect();
        let columns = graph.room().unwrap_or(length);
        let is_seen = |padding: usize| move |at| i64::from((padding..length).contains(&at));
        let mask = state.padding.iter().flat_map(|&padding| (0..columns).map(is_seen(padding)));
        let position = |padding: usize, at: usize| i64::try_from(at.saturating_sub(padding)).unwrap_or(i64::MAX);
        let positions =
            state.padding.iter().flat_map(|&padding| new.clone().map(move |at| position(padding, at))).collect();
        let numbers = [
            (Role::Tokens, tokens),
            (Role::Mask, mask.collect()),
            (Role::Positions, positions),
            (Role::SourceMask, state.source_mask.concat()),
        ];
        let mut inputs = graph.numbers(rows, numbers)?;
        if let (Some(port), Some(memory)) = (graph.port(Role::Memory), &state.memory) {
            inputs.push((&port.name, memory.clone()));
        }
        inputs.extend(graph.branch(state.cached > 0)?);
        inputs.extend(graph.numbers(1, [(Role::PastLength, vec![i64::try_from(state.cached).unwrap_or(i64::MAX)])])?);
        let mut past = std::mem::take(&mut state.past);
        // Keys and values of the source do not change: steps read them, and what a merged decoder returns for them is left.
        let mut constant = vec![];
        for port in graph.pasts() {
            let Some(tensor) = past.remove(&port.name) else { continue };
            if !graph.extends(&port.name) || state.cached > 0 && is_of_source(&port.name) {
                constant.push((port.name.clone(), tensor.clone()));
            }
            inputs.push((&port.name, tensor));
        }
        let (logits, presents) = graph.run(inputs, LOGITS)?;
        if self.has_cache() {
            state.cached = length;
            state.past.extend(presents.into_iter().chain(constant).chain(past));
        }
        (0..rows).map(|row| Ok(graph.session.last_row(&logits, row)?)).collect()
    }

    /// Returns whether steps read what earlier ones computed.
    fn has_cache(&self) -> bool {
        self.later.as_ref().unwrap_or(&self.first).has(Role::Past)
    }
}

fn longest(rows: &[Vec<u32>]) -> usize {
    rows.iter().map(Vec::len).max().unwrap_or(0)
}

/// Fills shorter rows at their ends; also returns 1 for each token, and 0 for padding.
fn padded_right(rows: &[Vec<u32>], pad: u32) -> (Vec<Vec<u32>>, Vec<Vec<i64>>) {
    let longest = longest(rows);
    let fill = |row: &Vec<u32>| {
        let padding = longest - row.len();
        ([&row[..], &vec![pad; padding]].concat(), [vec![1; row.len()], vec![0; padding]].concat())
    };
    rows.iter().map(fill).unzip()
}
