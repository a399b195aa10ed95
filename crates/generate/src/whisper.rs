//! The first tokens of a decoder that writes down speech: language and task.

use crate::files::folder;
use crate::settings::Options;
use crate::{GenerateError, Input, Model, Settings};
use netwright_verify::Array;
use serde_json::Value;
use std::path::{Path, PathBuf};

/// What speech becomes, as `generation_config.json` describes it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Speech {
    path: PathBuf,
    /// The names of languages, such as `en`, and their tokens.
    languages: Vec<(String, u32)>,
    /// The names of tasks, and their tokens.
    tasks: Vec<(String, u32)>,
    /// The token that asks for text without times.
    without_times: Option<u32>,
}

impl Speech {
    /// Reads the configuration beside a model, which is a folder or a file.
    pub fn open(model: impl AsRef<Path>) -> Result<Self, GenerateError> {
        let path = folder(model.as_ref()).join("generation_config.json");
        let Some(options) = Options::open(path.clone())? else { return Ok(Self { path, ..Self::default() }) };
        let names = |name| {
            let names = options.read(name, "an object of names and ids of tokens", |value| {
                let entry = |(name, id): (&String, &Value)| {
                    let name = name.trim_start_matches("<|").trim_end_matches("|>").to_owned();
                    Some((name, u32::try_from(id.as_u64()?).ok()?))
                };
                value.as_object()?.iter().map(entry).collect::<Option<Vec<_>>>()
            });
            names.map(Option::unwrap_or_default)
        };
        let (languages, tasks) = (names("lang_to_id")?, names("task_to_id")?);
        let without_times = options.token("no_timestamps_token_id")?;
        Ok(Self { path, languages, tasks, without_times })
    }

    /// Returns the first tokens of the decoder. Without a language, the model finds it; the default task is `transcribe`.
    ///
    /// # Errors
    ///
    /// If the model does not have the language or the task, or cannot be run.
    pub fn prompt(
        &self,
        model: &Model,
        features: &Array,
        settings: &Settings,
        language: Option<&str>,
        task: Option<&str>,
    ) -> Result<Vec<u32>, GenerateError> {
        let Some(start) = settings.start() else { return Err(GenerateError::EmptyPrompt) };
        let mut prompt = vec![start];
        match language {
            Some(name) => prompt.push(self.find("language", &self.languages, name)?),
            None if !self.languages.is_empty() => {
                let languages: Vec<u32> = self.languages.iter().map(|(_, token)| *token).collect();
                let input = Input::Features(features.clone(), vec![prompt.clone()]);
                prompt.push(model.most_probable(&input, &languages)?);
            }
            None => {}
        }
        match task {
            Some(name) => prompt.push(self.find("task", &self.tasks, name)?),
            None => prompt.extend(self.tasks.iter().find(|(name, _)| name == "transcribe").map(|(_, token)| *token)),
        }
        prompt.extend(self.without_times);
        Ok(prompt)
    }

    fn find(&self, what: &str, known: &[(String, u32)], name: &str) -> Result<u32, GenerateError> {
        let token = known.iter().find(|(own, _)| own == name).map(|(_, token)| *token);
        token.ok_or_else(|| {
            let names: Vec<&str> = known.iter().map(|(name, _)| name.as_str()).collect();
            let known = if names.is_empty() { "it has none".to_owned() } else { names.join(", ") };
            GenerateError::Audio {
                path: self.path.clone(),
                cause: format!("the model does not have the {what} `{name}`"),
                help: format!("choose one of: {known}"),
            }
        })
    }
}
