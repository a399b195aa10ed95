//! `netwright generate`.

use crate::args::Generate;
use crate::failure::{Failure, Misuse};
use crate::output::{Output, counted, in_line, shown};
use crate::overwrite::folder_of;
use crate::runtimes::Engines;
use crate::source::{self, failed};
use netwright::generate::{
    Chat, EarlyStopping, FeatureExtractor, GenerateError, Input, Message, Model, Segment, Settings, Speech, Tokenizer,
    Transcription, folder,
};
use schemars::JsonSchema;
use serde::Serialize;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::{Instant, SystemTime};

/// The number of new tokens, if neither a flag nor the model limits it.
const NEW_TOKENS: usize = 128;

/// What was generated.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct Generated {
    /// The model, as the call names it.
    model: PathBuf,
    runtime: String,
    /// The sequences, in the order of the prompts.
    sequences: Vec<Sequence>,
    /// The number of tokens of all prompts, without padding.
    prompt_tokens: usize,
    /// The number of new tokens of all sequences.
    new_tokens: usize,
    /// The time of the first run, which reads the prompts; none with beams or audio.
    #[serde(skip_serializing_if = "Option::is_none")]
    prefill_seconds: Option<f64>,
    /// The time of all later runs; with beams or audio, of all runs.
    decode_seconds: f64,
}

/// The tokens that follow a prompt, or that an encoder-decoder makes of it.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct Sequence {
    /// The prompt, or the name of the audio file.
    prompt: String,
    text: String,
    tokens: Vec<u32>,
    /// When the parts of speech start and end, if requested.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    segments: Vec<Timed>,
    /// Why it ended; of speech, why its windows ended.
    end: Reason,
}

/// A part of speech.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct Timed {
    /// The start and the end, in seconds.
    start: f64,
    end: f64,
    text: String,
    /// The tokens, with timestamps.
    tokens: Vec<u32>,
}

/// Why a sequence ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Reason {
    /// The model chose an end token.
    EndToken,
    /// A stop string occurred.
    StopString,
    /// The maximum number of tokens or the number of positions was reached.
    Length,
}

pub(crate) fn run(args: &Generate, output: Output) -> Result<(), Failure> {
    let engines = Engines::new(args.runtime, args.ort_library.as_deref())?;
    source::expect(&args.model)?;
    source::expect_generates(&args.model, args.audio.is_some())?;
    // A GGUF file holds its tokenizer, and `build` writes it.
    let is_built_of_folder = args.model.is_dir() && !source::has_model(&args.model);
    let early = is_built_of_folder.then(|| Texts::open(args, &args.model)).transpose()?;
    let source = source::find(&args.model, args.runtime, args.no_cache, output)?;
    generate(args, &source.path, early, &engines, output)
        .map_err(|failure| source.named(of_genai(failure, &args.model), &args.model))
}

/// Returns a failure with other help for a model of onnxruntime-genai that no runtime at hand runs: its cache would be in
/// the way next.
fn of_genai(failure: Failure, model: &Path) -> Failure {
    let folder = if model.is_dir() { model } else { folder_of(model) };
    if !failure.is_not_runnable() || !folder.join("genai_config.json").is_file() {
        return failure;
    }
    let without_help = failure.map(|text| text.split("\n  help: ").next().unwrap_or_default().to_owned());
    let help = "onnxruntime-genai runs the model; for `generate`, build its source without --for genai, such as with \
                --with-past";
    without_help.with_help(Some(help))
}

/// Generates with the model in the ONNX files at `path`.
fn generate(
    args: &Generate,
    path: &Path,
    early: Option<Texts>,
    engines: &Engines,
    output: Output,
) -> Result<(), Failure> {
    let open = || {
        let _spinner = output.spinner("loading");
        engines.open(output, |runtime| Model::open(path, runtime).map_err(failed))
    };
    let texts = early.map_or_else(|| Texts::open(args, path), Ok);
    // A model that does not generate needs no tokenizer.
    if texts.as_ref().is_err_and(Failure::is_of_tokenizer) {
        open()?;
    }
    let Texts { text, settings, prompts } = texts?;
    let (model, runtime) = open()?;
    if args.audio.is_some() && !model.reads_audio() {
        return Err(source::reads_no_audio(&args.model));
    }
    if let Some(vocabulary) = model.vocabulary() {
        text.expect_fits(vocabulary).map_err(failed)?;
        expect_tokens(&args.suppress_tokens, vocabulary)?;
    }
    let mut generated = Generated {
        model: args.model.clone(),
        runtime: runtime.to_string(),
        sequences: named(args).iter().map(|name| Sequence::new(name)).collect(),
        prompt_tokens: 0,
        new_tokens: 0,
        prefill_seconds: None,
        decode_seconds: 0.0,
    };
    if let Some(audio) = &args.audio {
        let features = FeatureExtractor::open(path).and_then(|extractor| extractor.features(audio)).map_err(failed)?;
        let speech = speech(args, path).map_err(failed)?;
        let mut windows = speech.transcribe(&model, features, &settings).map_err(failed)?;
        generated.prompt_tokens = windows.prompt().len();
        generated.transcribe(&mut windows, &text, args.timestamps, output)?;
    } else {
        let tokens = prompts.iter().map(|prompt| text.encode(prompt, !args.chat)).collect::<Result<Vec<_>, _>>();
        let tokens = tokens.map_err(failed)?;
        generated.prompt_tokens = tokens.iter().map(Vec::len).sum();
        let input = Input::Tokens(tokens);
        if settings.num_beams > 1 {
            generated.search(&model, &input, &settings, &text)?;
        } else {
            generated.stream(&model, &input, &settings, &text, output)?;
        }
    }
    generated.new_tokens = generated.sequences.iter().map(|sequence| sequence.tokens.len()).sum();
    let has_streamed = args.audio.is_some() || settings.num_beams == 1 && generated.sequences.len() == 1;
    let streams = has_streamed && !output.json;
    if !streams {
        output.generated(&generated, || generated.text())?;
    }
    if !output.quiet && !output.json {
        writeln!(io::stderr(), "{}", generated.speed())?;
    }
    match (model.positions(), settings.max_new_tokens) {
        (Some(positions), Some(asked)) if args.audio.is_none() && generated.ends_before(asked) => {
            let why = match model.cache_room() {
                Some(room) if room < positions => {
                    format!("the KV cache has room for only {room}; build the model with a larger --kv-cache static=N")
                }
                _ => format!("the model has only {positions} positions for the prompt and the new tokens"),
            };
            output.warn(&format!("the text ends before {asked} new tokens, because {why}"))
        }
        _ => Ok(()),
    }
}

/// Checks that tokens are in the vocabulary.
fn expect_tokens(tokens: &[u32], vocabulary: usize) -> Result<(), Failure> {
    match tokens.iter().find(|token| **token as usize >= vocabulary) {
        Some(token) => Err(Misuse::Value.failure(format!(
            "token {token} of --suppress-tokens is not in the vocabulary of the model, which has {vocabulary} tokens\n  \
             help: choose from 0 to {}",
            vocabulary.saturating_sub(1)
        ))),
        None => Ok(()),
    }
}

/// What is known before a model is loaded.
struct Texts {
    text: Tokenizer,
    settings: Settings,
    prompts: Vec<String>,
}

impl Texts {
    /// Reads what lies beside a model.
    fn open(args: &Generate, path: &Path) -> Result<Self, Failure> {
        let text = Tokenizer::open(path).map_err(failed)?;
        Ok(Self { text, settings: settings(args, path)?, prompts: prompts(args, path)? })
    }
}

impl Sequence {
    fn new(prompt: &str) -> Self {
        Self { prompt: prompt.to_owned(), text: String::new(), tokens: vec![], segments: vec![], end: Reason::Length }
    }
}

impl Timed {
    fn new(segment: Segment, text: &Tokenizer) -> Result<Self, GenerateError> {
        // Frames are hundredths of a second.
        let rounded = |seconds: f64| (seconds * 100.0).round() / 100.0;
        let (start, end) = (rounded(segment.start), rounded(segment.end));
        Ok(Self { start, end, text: text.decode(&segment.text_tokens)?, tokens: segment.tokens })
    }
}

/// Prints a part of a text at once.
fn show(piece: &str, is_shown: bool) -> Result<(), Failure> {
    if is_shown && !piece.is_empty() {
        let mut out = io::stdout().lock();
        out.write_all(shown(piece).as_bytes())?;
        out.flush()?;
    }
    Ok(())
}

impl Generated {
    /// Generates one token of each sequence after the other; the text of a single sequence is printed as it comes.
    fn stream(
        &mut self,
        model: &Model,
        input: &Input,
        settings: &Settings,
        text: &Tokenizer,
        output: Output,
    ) -> Result<(), Failure> {
        let is_shown = self.sequences.len() == 1 && !output.json;
        let show = |piece: &str| show(piece, is_shown);
        let result = self.steps(model, input, settings, text, &show);
        // An error has a line of its own.
        if result.is_ok() || !self.sequences[0].text.is_empty() {
            show("\n")?;
        }
        result
    }

    /// Generates all tokens, and calls `show` with the new text of each sequence.
    fn steps(
        &mut self,
        model: &Model,
        input: &Input,
        settings: &Settings,
        text: &Tokenizer,
        show: &dyn Fn(&str) -> Result<(), Failure>,
    ) -> Result<(), Failure> {
        let start = Instant::now();
        let mut steps = model.tokens(input, settings).map_err(failed)?;
        self.prefill_seconds = Some(start.elapsed().as_secs_f64());
        let mut streams: Vec<_> = self.sequences.iter().map(|_| text.stream(&settings.stop_strings)).collect();
        let start = Instant::now();
        while let Some(step) = steps.next() {
            for (row, token) in step.map_err(failed)?.into_iter().enumerate() {
                let Some(token) = token else { continue };
                let sequence = &mut self.sequences[row];
                sequence.tokens.push(token);
                let piece = streams[row].push(token).map_err(failed)?;
                show(&piece)?;
                sequence.text.push_str(&piece);
                if streams[row].has_stopped() {
                    sequence.end = Reason::StopString;
                    steps.stop(row);
                } else if settings.eos_token_id.contains(&token) {
                    sequence.end = Reason::EndToken;
                }
            }
        }
        self.decode_seconds = start.elapsed().as_secs_f64();
        for (sequence, stream) in self.sequences.iter_mut().zip(&mut streams) {
            let rest = stream.finish().map_err(failed)?;
            show(&rest)?;
            sequence.text.push_str(&rest);
        }
        Ok(())
    }

    /// Transcribes speech; the text of each window is printed when it is known.
    fn transcribe(
        &mut self,
        windows: &mut Transcription<'_>,
        text: &Tokenizer,
        is_timed: bool,
        output: Output,
    ) -> Result<(), Failure> {
        let show = |piece: &str| show(piece, !output.json);
        let result = self.windows(windows, text, is_timed, &show);
        if !is_timed && (result.is_ok() || !self.sequences[0].text.is_empty()) {
            show("\n")?;
        }
        result
    }

    /// Transcribes all windows, and calls `show` with new text, or with a line for each part.
    fn windows(
        &mut self,
        windows: &mut Transcription<'_>,
        text: &Tokenizer,
        is_timed: bool,
        show: &dyn Fn(&str) -> Result<(), Failure>,
    ) -> Result<(), Failure> {
        let sequence = &mut self.sequences[0];
        let mut stream = text.stream(&[]);
        let start = Instant::now();
        for segments in windows.by_ref() {
            for segment in segments.map_err(failed)? {
                let mut new = String::new();
                for token in &segment.text_tokens {
                    new.push_str(&stream.push(*token).map_err(failed)?);
                }
                sequence.text.push_str(&new);
                sequence.tokens.extend(&segment.tokens);
                if is_timed {
                    let segment = Timed::new(segment, text).map_err(failed)?;
                    show(&format!("[{:.2} -> {:.2}] {}\n", segment.start, segment.end, segment.text.trim()))?;
                    sequence.segments.push(segment);
                } else {
                    show(&new)?;
                }
            }
        }
        self.decode_seconds = start.elapsed().as_secs_f64();
        let rest = stream.finish().map_err(failed)?;
        sequence.text.push_str(&rest);
        if !is_timed {
            show(&rest)?;
        }
        if !windows.is_cut() {
            sequence.end = Reason::EndToken;
        }
        Ok(())
    }

    /// Searches for the best sequences.
    fn search(&mut self, model: &Model, input: &Input, settings: &Settings, text: &Tokenizer) -> Result<(), Failure> {
        let start = Instant::now();
        let stop = &settings.stop_strings;
        // A token without a text is an error below, if it is among the best.
        let stops = |tokens: &[u32]| text.has_stop(tokens, stop).unwrap_or_default();
        let beams = model.beams(input, settings, &stops).map_err(failed)?;
        self.decode_seconds = start.elapsed().as_secs_f64();
        for (sequence, beams) in self.sequences.iter_mut().zip(beams) {
            let Some(best) = beams.into_iter().next() else { continue };
            let mut stream = text.stream(stop);
            for token in &best.tokens {
                sequence.text.push_str(&stream.push(*token).map_err(failed)?);
            }
            sequence.text.push_str(&stream.finish().map_err(failed)?);
            if stream.has_stopped() {
                sequence.end = Reason::StopString;
            } else if best.tokens.last().is_some_and(|last| settings.eos_token_id.contains(last)) {
                sequence.end = Reason::EndToken;
            }
            sequence.tokens = best.tokens;
        }
        Ok(())
    }

    /// Returns whether a sequence has fewer tokens than requested, although nothing in it ended it.
    fn ends_before(&self, asked: usize) -> bool {
        self.sequences.iter().any(|sequence| sequence.end == Reason::Length && sequence.tokens.len() < asked)
    }

    /// Returns the texts, numbered if there are several.
    fn text(&self) -> String {
        if let [one] = &self.sequences[..] {
            return one.text.clone();
        }
        let line = |(at, sequence): (usize, &Sequence)| format!("{}: {}", at + 1, sequence.text);
        self.sequences.iter().enumerate().map(line).collect::<Vec<_>>().join("\n")
    }

    #[expect(clippy::cast_precision_loss, reason = "the numbers are small")]
    fn speed(&self) -> String {
        let rate = |tokens: usize, seconds: f64| format!("{:.0} tokens/s", tokens as f64 / seconds.max(1e-9));
        let new = counted(self.new_tokens, "new token");
        let Some(prefill) = self.prefill_seconds else {
            return format!("{}: {new} in {:.2} s", self.runtime, self.decode_seconds);
        };
        // The first run gives the first tokens.
        let later = self.new_tokens.saturating_sub(self.sequences.len());
        format!(
            "{}: prefill of {} in {prefill:.2} s ({}), {new} in {:.2} s ({})",
            self.runtime,
            counted(self.prompt_tokens, "token"),
            rate(self.prompt_tokens, prefill),
            self.decode_seconds,
            rate(later, self.decode_seconds)
        )
    }
}

/// Returns the texts of the prompts, or the name of the audio file.
fn named(args: &Generate) -> Vec<String> {
    args.audio.as_ref().map_or_else(|| args.prompts.clone(), |audio| vec![in_line(audio)])
}

/// Returns how speech is transcribed.
fn speech(args: &Generate, path: &Path) -> Result<Speech, GenerateError> {
    let mut speech = Speech::open(path)?;
    if let Some(language) = &args.language {
        speech = speech.with_language(language)?;
    }
    if let Some(task) = &args.task {
        speech = speech.with_task(task)?;
    }
    Ok(if args.timestamps { speech.with_timestamps() } else { speech })
}

/// Returns the settings of the model, changed as flags request.
fn settings(args: &Generate, path: &Path) -> Result<Settings, Failure> {
    let mut settings = Settings::read(folder(path), &args.ignored_options).map_err(failed)?;
    settings.seed = args.seed;
    settings.max_new_tokens = args.max_new_tokens.or(settings.max_new_tokens);
    if settings.max_new_tokens.is_none() && settings.max_length.is_none() {
        settings.max_new_tokens = Some(NEW_TOKENS);
    }
    settings.min_new_tokens = args.min_new_tokens.or(settings.min_new_tokens);
    settings.stop_strings.extend_from_slice(&args.stop);
    let draws = args.temperature.is_some() || args.top_k.is_some() || args.top_p.is_some() || args.min_p.is_some();
    settings.do_sample = (settings.do_sample || args.sample || draws) && !args.greedy;
    settings.temperature = args.temperature.unwrap_or(settings.temperature);
    settings.top_k = args.top_k.unwrap_or(settings.top_k);
    settings.top_p = args.top_p.unwrap_or(settings.top_p);
    settings.min_p = args.min_p.or(settings.min_p);
    settings.repetition_penalty = args.repetition_penalty.unwrap_or(settings.repetition_penalty);
    settings.no_repeat_ngram_size = args.no_repeat_ngram_size.unwrap_or(settings.no_repeat_ngram_size);
    settings.suppress_tokens.extend_from_slice(&args.suppress_tokens);
    settings.num_beams = args.num_beams.unwrap_or(if args.greedy { 1 } else { settings.num_beams });
    settings.length_penalty = args.length_penalty.unwrap_or(settings.length_penalty);
    if args.early_stopping {
        settings.early_stopping = EarlyStopping::WhenFull;
    }
    settings.check().map_err(failed)?;
    Ok(settings)
}

/// Returns the prompts, in the chat template if requested.
fn prompts(args: &Generate, path: &Path) -> Result<Vec<String>, Failure> {
    if !args.chat {
        return Ok(args.prompts.clone());
    }
    let chat = Chat::open(path).map_err(failed)?;
    let program = std::env::current_exe()?;
    let system = args.system.iter().map(|text| Message::new("system", text));
    let prompt = |text: &String| {
        let messages: Vec<Message> = system.clone().chain([Message::new("user", text)]).collect();
        chat.prompt_in_child(&program, &messages, SystemTime::now()).map_err(failed)
    };
    args.prompts.iter().map(prompt).collect()
}

/// Renders one chat template for a parent process.
pub(crate) fn serve_chat() -> Result<(), Failure> {
    netwright::generate::serve_chat(io::BufReader::new(io::stdin()), io::stdout().lock()).map_err(failed)
}
