//! The first tokens of a decoder that writes down speech: language and task.

use crate::files::folder;
use crate::settings::ConfigFile;
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
    /// The language and the task that the file sets.
    language: Option<String>,
    task: Option<String>,
    /// The token that asks for text without timestamps.
    without_timestamps: Option<u32>,
}

impl Speech {
    /// Reads the configuration beside a model, which is a folder or a file.
    pub fn open(model: impl AsRef<Path>) -> Result<Self, GenerateError> {
        let path = folder(model.as_ref()).join("generation_config.json");
        let Some(options) = ConfigFile::open(path.clone())? else { return Ok(Self { path, ..Self::default() }) };
        let word = |name| options.read(name, "a text", |value| Some(bare(value.as_str()?)));
        let names = |name| {
            let names = options.read(name, "an object of names and ids of tokens", |value| {
                let entry = |(name, id): (&String, &Value)| Some((bare(name), u32::try_from(id.as_u64()?).ok()?));
                value.as_object()?.iter().map(entry).collect::<Option<Vec<_>>>()
            });
            names.map(Option::unwrap_or_default)
        };
        let (languages, tasks) = (names("lang_to_id")?, names("task_to_id")?);
        let without_timestamps = options.token("no_timestamps_token_id")?;
        Ok(Self { path, languages, tasks, language: word("language")?, task: word("task")?, without_timestamps })
    }

    /// Returns the first tokens of the decoder. Without a language, that of the file counts, or the model finds it; without a
    /// task, that of the file, or `transcribe`.
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
        let mut prompt = vec![settings.start()?];
        match language.or(self.language.as_deref()) {
            Some(name) => prompt.push(self.find("language", &self.languages, name)?),
            None if !self.languages.is_empty() => {
                let languages: Vec<u32> = self.languages.iter().map(|(_, token)| *token).collect();
                let input = Input::Features(features.clone(), vec![prompt.clone()]);
                prompt.push(model.most_probable(&input, &languages)?);
            }
            None => {}
        }
        match task.or(self.task.as_deref()) {
            Some(name) => prompt.push(self.find("task", &self.tasks, name)?),
            None => prompt.extend(self.tasks.iter().find(|(name, _)| name == "transcribe").map(|(_, token)| *token)),
        }
        prompt.extend(self.without_timestamps);
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

/// Returns the name of a language or a task without the signs of a special token.
fn bare(name: &str) -> String {
    name.trim_start_matches("<|").trim_end_matches("|>").to_owned()
}
