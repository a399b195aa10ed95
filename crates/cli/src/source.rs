//! Finds the ONNX files of a model, and builds them if there are none.

mod builds;

use crate::args::{Cli, Command, Runtime};
use crate::build;
use crate::failure::{Failure, Misuse};
use crate::output::{Output, in_line};
use crate::overwrite::{folder_of, source_files};
use crate::runtimes;
use crate::suggest::{self, UseOf};
use clap::Parser;
use netwright::files::{self, Code, ScratchFolder};
use netwright::generate;
use netwright::generate::{has_built_graphs, has_graphs, unused_graphs, used_graphs};
use netwright::ir::fingerprint;
use netwright::nn::{Pretrained, PretrainedOptions, Task, Weights};
use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::UNIX_EPOCH;

/// The ONNX files of a model, with the tokenizer and the configuration beside them.
pub(crate) struct Source {
    pub(crate) path: PathBuf,
    _keeps: Keeps,
}

/// What is kept while a model is used.
#[expect(dead_code, reason = "it is only held")]
enum Keeps {
    /// Files of the user.
    Nothing,
    /// A folder that is removed at the end.
    Scratch(ScratchFolder),
    /// A model that is not removed.
    Built(builds::Built),
}

impl Source {
    /// Returns a failure that names the model of the call instead of the files that were built of it.
    pub(crate) fn named(&self, failure: Failure, model: &Path) -> Failure {
        if self.path == model {
            return failure;
        }
        let built = files::entries(&self.path).into_iter().filter(|path| suggest::has_extension(path, &["onnx"]));
        let names: Vec<PathBuf> = built.chain([self.path.clone()]).collect();
        let model = in_line(model);
        failure.map(|text| names.iter().fold(text, |text, name| text.replace(&name.display().to_string(), &model)))
    }
}

/// The number of bytes up to which the contents of a file are part of the key of a built model; of larger files, which are
/// weights, name, size and time are.
const MAX_HASHED: u64 = 1 << 20;

/// Returns whether a path names ONNX files. A folder with weights is built, unless only files that `build` wrote lie beside
/// them.
pub(crate) fn has_model(path: &Path) -> bool {
    let is_used = || has_graphs(path) && (!has_weights(path) || has_built_graphs(path));
    suggest::has_extension(path, &["onnx"]) || path.is_dir() && is_used()
}

/// Returns whether a folder has all that `build` needs.
fn has_weights(folder: &Path) -> bool {
    folder.join("config.json").is_file() && Weights::are_in(folder)
}

/// Checks that a path names ONNX files, or something that `build` reads.
pub(crate) fn expect(path: &Path) -> Result<(), Failure> {
    let text = |what: &str| {
        format!(
            "{path:?} {what}\n  help: name a folder that `netwright build` wrote, or a Hugging Face folder, such as \
             `hf download NAME --local-dir DIR` writes"
        )
    };
    if has_model(path) && path.exists() {
        return if path.is_file() { suggest::expect_model(path) } else { Ok(()) };
    }
    if suggest::has_extension(path, &["onnx"]) {
        suggest::expect_onnx(path)?;
    } else {
        suggest::suggest_source(&path.to_string_lossy(), &[], UseOf::Folder)?;
    }
    if !path.exists() {
        return Err(Failure::usage_with(Code::FileMissing, text("does not exist")));
    }
    if path.is_dir() && !suggest::is_source_folder(path) {
        return Err(Misuse::Path.failure(text("holds neither an ONNX model nor a config.json")));
    }
    Ok(())
}

/// Checks that a source of `build` is a model that generates text; ONNX files are checked when they are loaded.
pub(crate) fn expect_generates(path: &Path, from_audio: bool) -> Result<(), Failure> {
    const GENERATING: [Task; 3] = [Task::TextGeneration, Task::Text2TextGeneration, Task::AutomaticSpeechRecognition];
    match opened(path)? {
        Some(model) if !GENERATING.contains(&model.task) => {
            let [first, second, third] = GENERATING.map(Task::name);
            Err(other_kind(
                path,
                &format!("is a model for {}, which does not generate text", model.task),
                &format!("a model for {first}, {second} or {third}"),
            ))
        }
        Some(model) if from_audio && model.task != Task::AutomaticSpeechRecognition => Err(reads_no_audio(path)),
        _ => Ok(()),
    }
}

/// Returns the failure of `--audio` for a model that reads tokens.
pub(crate) fn reads_no_audio(path: &Path) -> Failure {
    let text =
        format!("{} reads tokens, not audio\n  help: pass a text with --prompt, or name a speech model", in_line(path));
    Failure::usage_with(Code::ModelKind, text)
}

/// Checks that a source of `build` is a model with the input `input_ids`; ONNX files are checked when they are loaded.
pub(crate) fn expect_reads_tokens(path: &Path) -> Result<(), Failure> {
    let first = opened(path)?.and_then(|model| Some(model.build(*model.parts().first()?, false)));
    let Some(graph) = first.transpose().map_err(Failure::model)? else { return Ok(()) };
    let inputs: Vec<&str> = graph.inputs().map(|input| &**graph.value_name(input)).collect();
    if inputs.contains(&"input_ids") {
        return Ok(());
    }
    Err(other_kind(path, &format!("reads {}, not input_ids", inputs.join(", ")), "a model for texts"))
}

/// Returns the model of a source of `build`; `None` for ONNX files.
fn opened(path: &Path) -> Result<Option<Pretrained>, Failure> {
    let open = || Pretrained::open(path, &PretrainedOptions::default()).map_err(build::failed);
    if has_model(path) { Ok(None) } else { open().map(Some) }
}

fn other_kind(path: &Path, what: &str, expected: &str) -> Failure {
    Failure::usage_with(Code::ModelKind, format!("{} {what}\n  help: name {expected}", in_line(path)))
}

/// Returns the files of the model that the arguments name, which [`expect`] accepts.
pub(crate) fn find(path: &Path, runtime: Runtime, no_cache: bool, output: Output) -> Result<Source, Failure> {
    let is_used = has_model(path);
    let unused = match path.is_dir() {
        true if is_used => unused_graphs(path),
        true => suggest::with_extensions(path, &["onnx"]),
        false => vec![],
    };
    if !unused.is_empty() {
        let names: Vec<String> = unused.iter().map(|file| in_line(file)).collect();
        let why = if is_used { "" } else { ", as the weights in the folder are built" };
        output.warn(&format!("not used: {}{why}; to use one, name its file", names.join(", ")))?;
    }
    if is_used {
        let graphs = used_graphs(path);
        let is_found = path.is_dir() && graphs.len() == 1 && !graphs[0].ends_with("model.onnx");
        let has_weights = path.is_dir() && has_weights(path);
        if is_found || has_weights {
            let names: Vec<String> = graphs.iter().map(|graph| in_line(graph)).collect();
            let instead = if has_weights { ", not the weights in the folder" } else { "" };
            output.note(&format!("using {}{instead}", names.join(", ")))?;
        }
        return Ok(Source { path: path.to_owned(), _keeps: Keeps::Nothing });
    }
    if no_cache {
        let folder = ScratchFolder::create().map_err(Failure::usage)?;
        build(path, runtime, folder.path(), output)?;
        return Ok(Source { path: folder.path().to_owned(), _keeps: Keeps::Scratch(folder) });
    }
    let build = |folder: &Path| build(path, runtime, folder, output);
    let built = builds::find(&cache_folder()?, &key(path, runtime)?, builds::limit()?, output, build)?;
    Ok(Source { path: built.path.clone(), _keeps: Keeps::Built(built) })
}

/// Returns the name of the target that a runtime gets.
fn target(runtime: Runtime) -> &'static str {
    match runtime {
        Runtime::Auto | Runtime::Tract => "tract",
        Runtime::Ort => "ort",
    }
}

/// Builds a model with its KV cache, if it can have one, as `netwright build` does.
fn build(model: &Path, runtime: Runtime, folder: &Path, output: Output) -> Result<(), Failure> {
    let mut call: Vec<OsString> = ["netwright", "build"].map(OsString::from).to_vec();
    call.push(model.into());
    call.extend(["-o".into(), folder.into()]);
    call.extend(["--target", target(runtime)].map(OsString::from));
    let parsed = Cli::try_parse_from(call).map_err(|error| Misuse::Unknown.failure(error.to_string()))?;
    let Some(Command::Build(mut parsed)) = parsed.command else { return Ok(()) };
    parsed.layout.may_have_past = true;
    let _spinner = output.spinner("building");
    build::run(&parsed, Output { quiet: true, ..output })
}

/// Returns the folder for built models in the user's cache folder.
fn cache_folder() -> Result<PathBuf, Failure> {
    let folder = |name: &str| std::env::var_os(name).map(PathBuf::from).filter(|folder| folder.is_absolute());
    let user = if cfg!(windows) {
        folder("LOCALAPPDATA")
    } else if cfg!(target_os = "macos") {
        folder("HOME").map(|home| home.join("Library/Caches"))
    } else {
        folder("XDG_CACHE_HOME").or_else(|| folder("HOME").map(|home| home.join(".cache")))
    };
    user.map(|user| user.join("netwright").join("built")).ok_or_else(|| {
        Misuse::Requires.failure("the user's cache folder is unknown\n  help: pass --no-cache, or set HOME")
    })
}

/// Returns the name under which a built model is cached: it differs if a file of the source, the target or the version of
/// this program does.
fn key(source: &Path, runtime: Runtime) -> Result<String, Failure> {
    let mut text = format!("{} {}\n", crate::about::VERSION.as_str(), target(runtime)).into_bytes();
    let (folder, files) =
        if source.is_file() { (folder_of(source), vec![source.to_owned()]) } else { (source, source_files(source)) };
    for path in files {
        let metadata = fs::metadata(&path)?;
        let time = metadata.modified().ok().and_then(|time| time.duration_since(UNIX_EPOCH).ok());
        text.extend(format!("{} {}", in_line(path.strip_prefix(folder).unwrap_or(&path)), metadata.len()).bytes());
        if metadata.len() <= MAX_HASHED {
            text.extend(files::read_bytes(&path, MAX_HASHED).map_err(Failure::usage)?);
        } else {
            text.extend(format!(" {:?} {:?}\n", path.canonicalize()?, time).bytes());
        }
    }
    Ok(format!("{:016x}", fingerprint(text)))
}

/// Returns the failure of generation: of the model, of the runtimes, or of the call.
pub(crate) fn failed(error: generate::GenerateError) -> Failure {
    use generate::GenerateError as Error;
    match error {
        Error::NotFinite { .. } => Failure::model(error),
        Error::Run(error) => runtimes::failed(error),
        error => Failure::usage(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The files of modules are part of the key.
    #[test]
    fn another_pooling_is_another_model() {
        let folder = tempfile::tempdir().unwrap();
        let modules = r#"[{"path": "", "type": "x.Transformer"}, {"path": "1_Pooling", "type": "x.Pooling"}]"#;
        fs::write(folder.path().join("modules.json"), modules).unwrap();
        fs::create_dir(folder.path().join("1_Pooling")).unwrap();
        let key = |pooling: &str| {
            fs::write(folder.path().join("1_Pooling/config.json"), pooling).unwrap();
            key(folder.path(), Runtime::Tract).unwrap()
        };
        assert_eq!(key("cls"), key("cls"));
        assert_ne!(key("cls"), key("max"));
    }

    /// A file beside another one is another model, whatever names its folder.
    #[test]
    fn a_file_has_a_key_of_its_own() {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join("inner")).unwrap();
        for name in ["a.gguf", "b.gguf"] {
            fs::write(folder.path().join(name), name).unwrap();
        }
        let key = |path: &str| key(&folder.path().join(path), Runtime::Tract).unwrap();
        assert_ne!(key("a.gguf"), key("b.gguf"));
        assert_eq!(key("a.gguf"), key("inner/../a.gguf"));
        assert_eq!(key(""), key("inner/.."));
    }
}
