//! Chat templates: messages to a prompt, as `apply_chat_template` of `transformers` writes it.

mod filters;
mod json;
mod limits;
mod methods;
mod repr;
mod time;
mod worker;

pub use worker::{CHAT_SUBCOMMAND, serve};

use crate::GenerateError;
use crate::files::folder;
use crate::settings::ConfigFile;
use minijinja::value::Value;
use minijinja::{AutoEscape, Environment, Error, ErrorKind, context};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

/// The largest template that is read.
const MAX_BYTES: u64 = 1 << 20;

/// The number of instructions after which a template is stopped.
const FUEL: u64 = 5_000_000;

/// The largest prompt that a template may write, in bytes.
const MAX_PROMPT: usize = 64 << 20;

/// A message of a chat.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Message {
    /// Who speaks: `system`, `user` or `assistant`.
    pub role: String,
    /// What is said.
    pub content: String,
}

impl Message {
    /// Creates a message.
    pub fn new(role: impl Into<String>, content: impl Into<String>) -> Self {
        Self { role: role.into(), content: content.into() }
    }
}

/// The chat template of a model.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Chat {
    path: PathBuf,
    template: String,
    /// The special tokens, by the names that templates use.
    tokens: BTreeMap<String, String>,
}

/// Why a template fails.
#[derive(Debug, Serialize, Deserialize)]
enum Failed {
    /// It does not end, or writes or needs too much.
    Limit(String),
    /// It refuses the messages, or is not valid.
    Error(String),
}

impl Chat {
    /// Reads the template beside a model, which is a folder or a file: `chat_template.jinja`, or `chat_template` in
    /// `tokenizer_config.json`.
    ///
    /// # Errors
    ///
    /// If there is none.
    pub fn open(model: impl AsRef<Path>) -> Result<Self, GenerateError> {
        let folder = folder(model.as_ref());
        let config = folder.join("tokenizer_config.json");
        let options = ConfigFile::open(config.clone())?;
        let tokens = special_tokens(options.as_ref(), &folder)?;
        let own = folder.join("chat_template.jinja");
        if own.is_file() {
            let template = netwright_files::read_text(&own, MAX_BYTES)?;
            return Ok(Self { path: own, template, tokens });
        }
        let value = options.as_ref().and_then(|options| options.get("chat_template"));
        let Some(template) = value.and_then(default_template) else {
            let names = value.and_then(serde_json::Value::as_array).into_iter().flatten();
            let names: Vec<&str> = names.filter_map(|one| one.get("name")?.as_str()).collect();
            let cause = if names.is_empty() {
                "is missing".to_owned()
            } else {
                format!("has no variant called default; the variants are {}", names.join(", "))
            };
            let help = "generate without --chat, or use a model that was trained for chats";
            return Err(GenerateError::Template { path: config, cause, help });
        };
        if template.len() as u64 > MAX_BYTES {
            return Err(GenerateError::Template {
                path: config,
                cause: format!("has {} bytes, more than the limit of {MAX_BYTES}", template.len()),
                help: "generate without --chat",
            });
        }
        Ok(Self { path: config, template, tokens })
    }

    /// Writes the prompt for messages, after which the model answers; `now` is the time that a template may ask for.
    ///
    /// A template that was made to do harm can overflow the stack or use all memory: use
    /// [`prompt_in_child`](Self::prompt_in_child) for files from others.
    ///
    /// # Errors
    ///
    /// If the template is not valid, refuses the messages, or does not end.
    pub fn prompt(&self, messages: &[Message], now: SystemTime) -> Result<String, GenerateError> {
        self.render(messages, now).map_err(|why| self.refused(why))
    }

    fn render(&self, messages: &[Message], now: SystemTime) -> Result<String, Failed> {
        let mut environment = environment();
        environment.add_function("strftime_now", move |format: &str| time::strftime(format, now));
        let template = with_known_tags(&self.template.replace("\r\n", "\n").replace('\r', "\n"));
        let tokens: Value = self.tokens.iter().map(|(name, text)| (name.as_str(), text.as_str())).collect();
        let none = Value::from(());
        let context = context! {
            messages => messages, tools => none, documents => none, add_generation_prompt => true, ..tokens
        };
        let mut writer = Bounded(vec![]);
        let rendered = environment
            .template_from_str(&template)
            .and_then(|template| template.render_captured_to(context, &mut writer).map(drop));
        rendered.map_err(|error| match error.kind() {
            ErrorKind::OutOfFuel => Failed::Limit(format!("does not end within {FUEL} steps")),
            ErrorKind::WriteFailure => Failed::Limit(format!("writes more than {} MiB", MAX_PROMPT >> 20)),
            _ => Failed::Error(error.to_string()),
        })?;
        Ok(String::from_utf8_lossy(&writer.0).into_owned())
    }

    fn refused(&self, why: Failed) -> GenerateError {
        let (cause, help) = match why {
            Failed::Limit(cause) => (cause, "check the loops of the template, or generate without --chat"),
            Failed::Error(error) => (format!("fails: {error}"), "change the messages, or generate without --chat"),
        };
        GenerateError::Template { path: self.path.clone(), cause, help }
    }
}

/// Returns the special tokens of a tokenizer that `transformers` gives templates, by their names.
fn special_tokens(options: Option<&ConfigFile>, folder: &Path) -> Result<BTreeMap<String, String>, GenerateError> {
    let text =
        |token: &serde_json::Value| token.as_str().or_else(|| token.get("content")?.as_str()).map(ToOwned::to_owned);
    let mut tokens = BTreeMap::new();
    // Configurations without `added_tokens_decoder` are older, and have their tokens in a file of their own.
    let is_old = options.is_none_or(|options| options.get("added_tokens_decoder").is_none());
    let own = folder.join("special_tokens_map.json");
    let older = if is_old { ConfigFile::open(own)? } else { None };
    for file in options.into_iter().chain(&older) {
        for (name, token) in file.entries().filter(|(name, _)| name.ends_with("_token")) {
            tokens.extend(text(token).map(|text| (name.clone(), text)));
        }
        let named = file.get("extra_special_tokens").and_then(serde_json::Value::as_object);
        for (name, token) in named.into_iter().flatten() {
            tokens.extend(text(token).map(|text| (name.clone(), text)));
        }
    }
    Ok(tokens)
}

/// Collects what a template writes, up to a limit.
struct Bounded(Vec<u8>);

impl std::io::Write for Bounded {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        if self.0.len() + bytes.len() > MAX_PROMPT {
            return Err(std::io::ErrorKind::FileTooLarge.into());
        }
        self.0.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// Returns the template, or the last one called `default` of several.
fn default_template(value: &serde_json::Value) -> Option<String> {
    let named = |value: &serde_json::Value| {
        let is_default = value.get("name")?.as_str()? == "default";
        is_default.then(|| value.get("template")?.as_str().map(ToOwned::to_owned)).flatten()
    };
    match value {
        serde_json::Value::String(text) => Some(text.clone()),
        serde_json::Value::Array(list) => list.iter().rev().find_map(named),
        _ => None,
    }
}

/// Returns an environment with what `transformers` gives templates.
fn environment() -> Environment<'static> {
    let mut environment = Environment::new();
    environment.set_trim_blocks(true);
    environment.set_lstrip_blocks(true);
    environment.set_auto_escape_callback(|_| AutoEscape::None);
    environment.set_fuel(Some(FUEL));
    environment.add_function("raise_exception", |message: String| -> Result<String, Error> {
        Err(Error::new(ErrorKind::InvalidOperation, message))
    });
    environment.set_formatter(|out, state, value| match state.auto_escape() {
        AutoEscape::None => repr::write_text(value, out),
        _ => Err(Error::new(ErrorKind::InvalidOperation, "`autoescape` is not supported")),
    });
    limits::add_filters(&mut environment);
    filters::add(&mut environment);
    environment
}

/// Replaces the tags `{% generation %}`, which mark what a model is trained on, by tags without an effect; and lets
/// `{% raw %}` keep the end of its line, as Jinja2 does.
fn with_known_tags(template: &str) -> String {
    let mut result = String::new();
    let mut rest = template;
    while let Some(start) = rest.find("{%") {
        let Some(length) = rest[start..].find("%}") else { break };
        let tag = &rest[start..start + length + 2];
        let inner = tag.trim_start_matches("{%").trim_end_matches("%}").trim_matches(['-', '+']).trim();
        let replaced = match inner {
            "generation" => tag.replacen("generation", "if true", 1),
            "endgeneration" => tag.replacen("endgeneration", "endif", 1),
            "raw" if tag.ends_with("raw %}") => tag.replacen("raw %}", "raw +%}", 1),
            _ => tag.to_owned(),
        };
        result.push_str(&rest[..start]);
        result.push_str(&replaced);
        rest = &rest[start + length + 2..];
    }
    result + rest
}
