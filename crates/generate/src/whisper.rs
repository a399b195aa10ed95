//! Transcribes speech with Whisper, window by window, as `generate` of `transformers` does.

mod timestamps;
mod windows;

pub use timestamps::Timestamps;
pub use windows::{Segment, Transcription};

use crate::files::folder;
use crate::settings::ConfigFile;
use crate::{GenerateError, Input, Model, Settings};
use netwright_verify::Array;
use serde_json::Value;
use std::path::{Path, PathBuf};

/// How speech is transcribed, as `generation_config.json` describes it: the language, the task, and whether the text has
/// timestamps.
///
/// ```no_run
/// use netwright_generate::{FeatureExtractor, Model, Settings, Speech, Tokenizer};
/// use netwright_verify::Runtime;
///
/// let text = Tokenizer::open("whisper-tiny")?;
/// let model = Model::open("whisper-tiny", &Runtime::Tract)?;
/// let settings = Settings::read("whisper-tiny", &[])?;
/// let features = FeatureExtractor::open("whisper-tiny")?.features("speech.wav")?;
/// let speech = Speech::open("whisper-tiny")?.with_timestamps();
/// for segments in speech.transcribe(&model, features, &settings)? {
///     for segment in segments? {
///         println!("{:.2} s: {}", segment.start, text.decode(&segment.text_tokens)?);
///     }
/// }
/// # Ok::<(), netwright_generate::GenerateError>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Speech {
    path: PathBuf,
    /// The names of languages, such as `en`, and their tokens.
    languages: Vec<(String, u32)>,
    /// The names of tasks, and their tokens.
    tasks: Vec<(String, u32)>,
    language: Option<String>,
    task: Option<String>,
    /// Whether the model writes timestamps for audio of one window.
    has_timestamps: bool,
    /// The token that requests text without timestamps; the tokens of timestamps follow it.
    without_timestamps: Option<u32>,
    /// The index of the largest timestamp that a text may start with; the first timestamp has index 0.
    max_initial: Option<usize>,
    /// The tokens after the first one if neither a language nor a task is set; `None` is the language, which the model
    /// detects.
    forced: Vec<Option<u32>>,
}

impl Speech {
    /// Reads the configuration beside a model, which is a folder or a file.
    ///
    /// # Errors
    ///
    /// If the configuration is invalid.
    pub fn open(model: impl AsRef<Path>) -> Result<Self, GenerateError> {
        let folder = folder(model.as_ref());
        let path = folder.join("generation_config.json");
        let model = ConfigFile::open(folder.join("config.json"))?;
        let Some(options) = ConfigFile::open(path.clone())? else {
            return Ok(Self { path, forced: forced(model.as_ref())?, ..Self::default() });
        };
        let word = |name| options.read(name, "a text", |value| Some(bare(value.as_str()?)));
        let names = |name| {
            let names = options.read(name, "an object of names and ids of tokens", |value| {
                let entry = |(name, id): (&String, &Value)| Some((bare(name), u32::try_from(id.as_u64()?).ok()?));
                value.as_object()?.iter().map(entry).collect::<Option<Vec<_>>>()
            });
            names.map(Option::unwrap_or_default)
        };
        let has_forced = options.get("forced_decoder_ids").is_some();
        Ok(Self {
            path,
            languages: names("lang_to_id")?,
            tasks: names("task_to_id")?,
            language: word("language")?,
            task: word("task")?,
            has_timestamps: options.read("return_timestamps", "true or false", Value::as_bool)?.unwrap_or_default(),
            without_timestamps: options.token("no_timestamps_token_id")?,
            max_initial: options.count("max_initial_timestamp_index")?,
            forced: forced(if has_forced { Some(&options) } else { model.as_ref() })?,
        })
    }

    /// Sets the language of the speech, such as `en`.
    ///
    /// # Errors
    ///
    /// If the model does not have it.
    pub fn with_language(self, name: &str) -> Result<Self, GenerateError> {
        let name = bare(name).to_lowercase();
        self.find("language", &self.languages, &name)?;
        Ok(Self { language: Some(name), ..self })
    }

    /// Sets the task, `transcribe` or `translate`.
    ///
    /// # Errors
    ///
    /// If the model does not have it.
    pub fn with_task(self, name: &str) -> Result<Self, GenerateError> {
        self.find("task", &self.tasks, name)?;
        Ok(Self { task: Some(name.to_owned()), ..self })
    }

    /// Requests timestamps, which the model always writes for audio longer than its window.
    #[must_use]
    pub fn with_timestamps(self) -> Self {
        Self { has_timestamps: true, ..self }
    }

    /// Starts to transcribe the spectra `[1, bins, frames]` of audio of any length, window by window.
    ///
    /// # Errors
    ///
    /// If the model does not read audio, lacks the language, the task or timestamps, or cannot be run.
    pub fn transcribe<'m>(
        &self,
        model: &'m Model,
        features: Array,
        settings: &Settings,
    ) -> Result<Transcription<'m>, GenerateError> {
        let mut windows = Transcription::new(model, features, settings)?;
        let has_timestamps = self.has_timestamps || windows.is_long();
        let prompt = self.prompt(model, &windows, has_timestamps)?;
        windows.set_prompt(prompt, self.timestamps(settings, has_timestamps)?, has_timestamps);
        Ok(windows)
    }

    /// Returns the rules of timestamps; an error if they are requested and the model has none.
    fn timestamps(&self, settings: &Settings, has_timestamps: bool) -> Result<Option<Timestamps>, GenerateError> {
        let Some(none) = self.without_timestamps else {
            if has_timestamps {
                return Err(GenerateError::Audio {
                    path: self.path.clone(),
                    cause: "the model has no timestamps, which long audio and --timestamps require: the option \
                            `no_timestamps_token_id` is missing"
                        .to_owned(),
                    help: "copy generation_config.json of the model beside it, or transcribe shorter audio without \
                           --timestamps"
                        .to_owned(),
                });
            }
            return Ok(None);
        };
        let end = settings.eos_token_id.first().copied().or(settings.bos_token_id).unwrap_or(0);
        Ok(Some(Timestamps::new(none, end, self.max_initial)))
    }

    /// Returns the first tokens of the decoder.
    fn prompt(
        &self,
        model: &Model,
        windows: &Transcription<'_>,
        has_timestamps: bool,
    ) -> Result<Vec<u32>, GenerateError> {
        let start = windows.settings().start()?;
        let mut prompt = vec![Some(start)];
        if self.language.is_none() && self.task.is_none() {
            prompt.extend(&self.forced);
        }
        let language = match &self.language {
            Some(name) => Some(self.find("language", &self.languages, name)?),
            None if !self.languages.is_empty() && prompt.get(1).copied().flatten().is_none() => {
                let languages: Vec<u32> = self.languages.iter().map(|(_, token)| *token).collect();
                let input = Input::Features(windows.cut(0)?, vec![vec![start]]);
                Some(model.most_probable(&input, &languages)?)
            }
            None => None,
        };
        match prompt.get_mut(1) {
            Some(place) => *place = language.or(*place),
            None => prompt.extend(language.map(Some)),
        }
        match &self.task {
            Some(name) => prompt.push(Some(self.find("task", &self.tasks, name)?)),
            None if self.language.is_some() && !self.tasks.is_empty() => {
                prompt.push(Some(self.find("task", &self.tasks, "transcribe")?));
            }
            None => {}
        }
        let is_without = self.without_timestamps.is_some() && prompt.last() == Some(&self.without_timestamps);
        if has_timestamps && is_without {
            prompt.pop();
        } else if !has_timestamps && !is_without {
            prompt.push(self.without_timestamps);
        }
        Ok(prompt.into_iter().flatten().collect())
    }

    fn find(&self, what: &str, known: &[(String, u32)], name: &str) -> Result<u32, GenerateError> {
        let token = known.iter().find(|(own, _)| own == name).map(|(_, token)| *token);
        token.ok_or_else(|| {
            let names: Vec<&str> = known.iter().map(|(name, _)| name.as_str()).collect();
            let help = if names.is_empty() {
                format!("leave out the {what}, because the model has none")
            } else {
                format!("choose one of: {}", names.join(", "))
            };
            GenerateError::Audio {
                path: self.path.clone(),
                cause: format!("the model does not have the {what} `{name}`"),
                help,
            }
        })
    }
}

/// Returns the tokens after the first one that an older configuration lists in `forced_decoder_ids`, as pairs of an
/// index, from 1 on, and a token.
///
/// # Errors
/// If the option has another form.
fn forced(options: Option<&ConfigFile>) -> Result<Vec<Option<u32>>, GenerateError> {
    let Some(options) = options else { return Ok(vec![]) };
    let expected = "a list of places, from 1 on without a gap, and ids of tokens";
    let pairs = options.read("forced_decoder_ids", expected, |value| {
        let pair = |(at, pair): (usize, &Value)| {
            let is_next = pair.get(0)?.as_u64() == Some(at as u64 + 1);
            let token = pair.get(1)?;
            let id = if token.is_null() { None } else { Some(u32::try_from(token.as_u64()?).ok()?) };
            is_next.then_some(id)
        };
        value.as_array()?.iter().enumerate().map(pair).collect::<Option<Vec<_>>>()
    });
    pairs.map(Option::unwrap_or_default)
}

/// Returns the name of a language or a task without the `<|` and `|>` of a special token.
fn bare(name: &str) -> String {
    name.trim_start_matches("<|").trim_end_matches("|>").to_owned()
}
