//! The files that `build` writes beside models: configuration, tokenizer, model card, licence, and what the program that
//! opens the folder reads besides.

use super::{Client, Variant, genai, is_transformer, modules};
use crate::args::Build;
use crate::failure::{Failure, Misuse};
use crate::output::{Output, in_line};
use crate::overwrite::{Inputs, folder_of, same_file};
use clap::ValueEnum;
use netwright::files;
use netwright::nn::{DerivedFile, Pretrained};
use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};

/// The configuration and the tokenizer of a model.
const MODEL: [&str; 22] = [
    "added_tokens.json",
    "chat_template.jinja",
    "config.json",
    "config_sentence_transformers.json",
    "generation_config.json",
    "merges.txt",
    "normalizer.json",
    "preprocessor_config.json",
    "processor_config.json",
    "sentence_bert_config.json",
    "sentencepiece.bpe.model",
    "source.spm",
    "special_tokens_map.json",
    "spiece.model",
    "spm.model",
    "target.spm",
    "tokenizer.json",
    "tokenizer.model",
    "tokenizer_config.json",
    "vocab.bpe",
    "vocab.json",
    "vocab.txt",
];

/// The folder of the chat templates that are not the default one.
const TEMPLATES: &str = "additional_chat_templates";

/// The licence and the model card of a folder.
const CARDS: [&str; 7] = ["LICENSE", "LICENSE.md", "LICENSE.txt", "LICENCE", "NOTICE", "README.md", "USE_POLICY.md"];

/// The files of a module after the Transformer.
const MODULE: [&str; 3] = ["config.json", "model.safetensors", "pytorch_model.bin"];

/// A file beside the models.
#[derive(Debug)]
pub(crate) struct Companion {
    to: PathBuf,
    content: Content,
}

#[derive(Debug)]
enum Content {
    CopyOf(PathBuf),
    Text(String),
}

impl Companion {
    /// Whether another file has its place.
    fn replaces_another(&self) -> bool {
        let Ok(there) = fs::read(&self.to) else { return self.to.exists() };
        match &self.content {
            Content::CopyOf(from) => fs::read(from).map_or(true, |own| own != there),
            Content::Text(text) => text.as_bytes() != there,
        }
    }

    /// Writes the file.
    pub(crate) fn write(&self) -> Result<(), Failure> {
        files::create_folder(folder_of(&self.to)).map_err(Failure::usage)?;
        match &self.content {
            Content::CopyOf(from) => files::copy_file(from, &self.to),
            Content::Text(text) => files::write_file(&self.to, text),
        }
        .map_err(Failure::usage)
    }
}

/// Returns the files beside the models that a call builds, of which a later one replaces an earlier one of its name.
///
/// A model card or a licence that is in the output folder already stays. `is_ours` tells whether the folder has models
/// of an earlier build, whose files may be replaced.
///
/// # Errors
/// If a file would replace an input, or a file that no earlier build wrote.
pub(crate) fn companions(
    args: &Build,
    model: &Pretrained,
    inputs: &Inputs,
    is_ours: bool,
    output: Output,
) -> Result<Vec<Companion>, Failure> {
    let (from, to) = (Path::new(&args.model), args.output.as_path());
    let mut all = copies(from, to, &MODEL);
    let templates = files::entries(from.join(TEMPLATES)).into_iter();
    let templates = templates.filter(|path| path.extension() == Some(OsStr::new("jinja")));
    let templates: Vec<_> =
        templates.map(|path| Path::new(TEMPLATES).join(path.file_name().unwrap_or_default())).collect();
    all.extend(copies(from, to, &templates));
    if let Some(inner) = model.inner.as_ref().filter(|_| args.client != Some(Client::SentenceTransformers)) {
        all.extend(copies(inner, to, &MODEL));
    }
    for DerivedFile { name, text } in &model.files {
        match text {
            Ok(text) => all.push(Companion { to: to.join(name), content: Content::Text(text.clone()) }),
            Err(why) => output.warn(&format!("{name} is not written: {why}"))?,
        }
    }
    match args.client {
        None | Some(Client::Optimum) => {}
        Some(Client::TransformersJs) => add_cache_types(&mut all, &to.join("config.json"))?,
        Some(Client::Genai) => {
            let text = genai::config(from, model)?;
            all.push(Companion { to: to.join("genai_config.json"), content: Content::Text(text) });
        }
        Some(Client::SentenceTransformers) => {
            all.extend(copies(from, to, &["modules.json"]));
            for module in modules(from)?.iter().filter(|module| !module.path.is_empty()) {
                let names = if is_transformer(module) { &MODEL[..] } else { &MODULE };
                all.extend(copies(&from.join(&module.path), &to.join(&module.path), names));
            }
        }
    }
    if let Some(client) = args.client {
        warn_of_absent(client, &all, model, args, output)?;
    }
    all.retain(|one| !matches!(&one.content, Content::CopyOf(from) if same_file(from, &one.to)));
    for one in &all {
        inputs.expect_other("a file beside the model", &one.to)?;
        if !is_ours && one.replaces_another() {
            let text = format!(
                "{} exists, is not of an earlier build, and differs from what would be written\n  help: name an empty folder, \
                 or remove the file",
                in_line(&one.to)
            );
            return Err(Misuse::Replaces.failure(text));
        }
    }
    if args.client.is_some() {
        for card in copies(from, to, &CARDS) {
            if !card.replaces_another() {
                all.push(card);
            } else if !matches!(&card.content, Content::CopyOf(from) if same_file(from, &card.to)) {
                output.warn(&format!("{} exists and is kept", in_line(&card.to)))?;
            }
        }
    }
    Ok(all)
}

/// The files of which a tokenizer in Python needs one.
const VOCABULARIES: &[&str] = &[
    "tokenizer.json",
    "tokenizer.model",
    "vocab.txt",
    "vocab.json",
    "vocab.bpe",
    "spiece.model",
    "sentencepiece.bpe.model",
    "spm.model",
    "source.spm",
];

/// Warns of files that the program reads, and the source does not have.
fn warn_of_absent(
    client: Client,
    companions: &[Companion],
    model: &Pretrained,
    args: &Build,
    output: Output,
) -> Result<(), Failure> {
    let mut inputs = vec![];
    for part in model.parts() {
        let graph = model.build(*part, false).map_err(Failure::model)?;
        inputs.extend(graph.inputs().map(|input| graph.value_name(input).to_string()));
    }
    let reads = |names: &[&str]| inputs.iter().any(|input| names.contains(&&**input));
    let has = |names: &[&str]| companions.iter().any(|one| names.iter().any(|name| one.to.ends_with(name)));
    let program = client.to_possible_value().map(|value| value.get_name().to_owned()).unwrap_or_default();
    let needs = match client {
        // These two read no other form of a tokenizer.
        Client::TransformersJs | Client::Genai => {
            let names = ["tokenizer.json", "tokenizer_config.json"].into_iter();
            let absent: Vec<&str> = names.filter(|name| !has(&[name])).collect();
            (!absent.is_empty()).then(|| format!("reads {}", absent.join(" and ")))
        }
        Client::Optimum | Client::SentenceTransformers => {
            (!has(VOCABULARIES)).then(|| "needs a tokenizer, such as tokenizer.json".to_owned())
        }
    };
    let source = &args.model;
    if let Some(needs) = needs.filter(|_| reads(&["input_ids", "decoder_input_ids"])) {
        let cure = if has(VOCABULARIES) {
            let output = in_line(&args.output);
            let write = format!("AutoTokenizer.from_pretrained(\"{source}\").save_pretrained(\"{output}\")");
            format!("write the tokenizer with `{write}` in Python")
        } else {
            "copy the files of the tokenizer from where the model comes from".to_owned()
        };
        output.warn(&format!("{program} {needs}, which {source} does not have; {cure}"))?;
    }
    if !has(&["preprocessor_config.json"]) && reads(&["pixel_values", "input_features", "input_values"]) {
        output.warn(&format!(
            "{program} reads preprocessor_config.json, which {source} does not have; copy it from where the model comes from"
        ))?;
    }
    Ok(())
}

/// Returns copies of the files that exist.
fn copies(from: &Path, to: &Path, names: &[impl AsRef<Path>]) -> Vec<Companion> {
    let copy = |name: &_| {
        let name = AsRef::<Path>::as_ref(name);
        let source = from.join(name);
        source.is_file().then(|| Companion { to: to.join(name), content: Content::CopyOf(source) })
    };
    names.iter().filter_map(copy).collect()
}

/// Adds to the configuration what transformers.js reads of it: the type of the KV cache by variant.
fn add_cache_types(companions: &mut [Companion], config: &Path) -> Result<(), Failure> {
    const KEY: &str = "transformers.js_config";
    let Some(companion) = companions.iter_mut().rev().find(|one| one.to == config) else { return Ok(()) };
    let text = match &companion.content {
        Content::CopyOf(from) => files::read_text(from, 1 << 24).map_err(Failure::usage)?,
        Content::Text(text) => text.clone(),
    };
    let Some((body, _)) = text.rsplit_once('}').filter(|_| !text.contains(KEY)) else { return Ok(()) };
    let of_f16: Vec<_> = [Variant::Fp16, Variant::Q4f16].iter().filter_map(ValueEnum::to_possible_value).collect();
    let types: Vec<_> = of_f16.iter().map(|variant| format!("\"{}\": \"float16\"", variant.get_name())).collect();
    companion.content = Content::Text(format!(
        "{},\n  \"{KEY}\": {{\"kv_cache_dtype\": {{{}}}}}\n}}\n",
        body.trim_end(),
        types.join(", ")
    ));
    Ok(())
}
