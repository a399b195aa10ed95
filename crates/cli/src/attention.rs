//! `netwright attention`.

mod drawing;
mod page;
mod tokens;

use crate::args::Attention;
use crate::build::failed;
use crate::failure::{Failure, Misuse};
use crate::model_io::write_failure;
use crate::output::{Output, counted, in_line, thousands};
use crate::overwrite::expect_place;
use crate::runtimes;
use crate::suggest::{self, UseOf};
use netwright::attention::{AttentionError, AttentionMap, AttentionModel, Kind, rollout};
use netwright::files::{Code, ScratchFolder, Source, write_file};
use netwright::nn::{Pretrained, PretrainedOptions};
use schemars::JsonSchema;
use serde::Serialize;
use std::path::Path;
use tokens::Tokens;

/// What a page and a picture begin with, in their first bytes: only such files are replaced.
const MARK: &str = "netwright attention";
/// The number of bytes in which [`MARK`] is searched.
const HEADER: u64 = 512;
/// The most attention weights that are shown: a page has some 5 bytes for each.
const MAX_WEIGHTS: usize = 4_000_000;

/// The attention weights of a model on a text.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct Attended {
    model: String,
    /// The tokens of the encoder, or of the only stack of layers.
    tokens: Vec<String>,
    ids: Vec<i64>,
    /// The tokens of the decoder of an encoder-decoder.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    decoder_tokens: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    decoder_ids: Vec<i64>,
    maps: Vec<Weights>,
    /// The largest difference of the sum of a row from 1.
    largest_error: f64,
}

/// The attention weights of a layer.
#[derive(Debug, Serialize, JsonSchema)]
struct Weights {
    /// `encoder`, `decoder`, or `cross`: from the decoder to the encoder.
    kind: &'static str,
    /// The number of the layer, from 0; none if the map covers all layers.
    #[serde(skip_serializing_if = "Option::is_none")]
    layer: Option<usize>,
    /// The name of the value in the model.
    name: String,
    /// Of each head and each token, the weights of all tokens.
    heads: Vec<Vec<Vec<f32>>>,
}

/// What a page or a picture shows.
struct View<'v> {
    title: &'v str,
    tokens: &'v Tokens,
    maps: &'v [AttentionMap],
    kind: Kind,
    layer: Option<usize>,
    head: Option<usize>,
    token: Option<usize>,
}

impl View<'_> {
    /// Returns the tokens that attend in a kind of attention, and those that are attended to.
    fn labels(&self, kind: Kind) -> [&[String]; 2] {
        let (own, decoder) = (&self.tokens.texts[..], &self.tokens.decoder_texts[..]);
        match kind {
            Kind::Cross => [decoder, own],
            Kind::Decoder if !decoder.is_empty() => [decoder, decoder],
            _ => [own, own],
        }
    }
}

pub(crate) fn run(args: &Attention, output: Output) -> Result<(), Failure> {
    let source = Path::new(&args.model);
    suggest::expect_source(&args.model, &[], UseOf::Folder)?;
    match &args.output {
        Some(path) => expect_ours(path)?,
        None if output.json => {}
        None => {
            let text = "there is no output\n  help: write a page with -o attention.html, or print data with --json";
            return Err(Misuse::Missing.failure(text));
        }
    }
    let mut options = PretrainedOptions::default();
    options.task = args.task;
    let pretrained = Pretrained::open(source, &options).map_err(failed)?;
    let folder = ScratchFolder::create().map_err(Failure::usage)?;
    let spinner = output.spinner("computing attention weights");
    let model = AttentionModel::load(&pretrained, &folder.path().join("attention.onnx")).map_err(failure)?;
    let mut tokens = Tokens::new(args, pretrained.inner.as_deref().unwrap_or(source), &model)?;
    let mut maps = tokens.with_hint(model.run(&tokens.ids, &tokens.decoder_ids))?;
    drop(spinner);
    if tokens.decoder_ids.is_empty() && maps.iter().any(|map| map.kind == Kind::Cross) {
        tokens.read_again();
    }
    if args.rollout {
        maps = rollout(&maps);
    } else if args.averaged {
        maps = maps.iter().map(AttentionMap::averaged).collect();
    }
    let count: usize = maps.iter().map(|map| map.weights.len()).sum();
    if count > MAX_WEIGHTS {
        let (count, most) = (thousands(count as u64), thousands(MAX_WEIGHTS as u64));
        let text = format!(
            "there are {count} attention weights, more than {most}\n  help: give a shorter text, or add --averaged or \
             --rollout"
        );
        return Err(Failure::usage_with(Code::TextTooLong, text));
    }
    let largest_error = maps.iter().map(AttentionMap::largest_error).fold(0.0, f64::max);
    if !largest_error.is_finite() {
        let text = "some attention weights are not numbers\n  help: check the weights of the model";
        return Err(Failure::model_with(Code::NotFinite, text));
    }
    let view = view(args, &tokens, &maps)?;
    if let Some(path) = &args.output {
        let text = if is_page(path) { page::page(&view)? } else { drawing::svg(&view)? };
        write_file(path, text).map_err(Failure::usage)?;
    }
    if output.json {
        return output.data(&attended(args, &tokens, &maps, largest_error), String::new);
    }
    let text = || {
        let path = args.output.as_deref().map_or_else(String::new, |path| format!("{}: ", in_line(path)));
        let numbered = |texts: &[String]| {
            texts.iter().enumerate().map(|(at, text)| format!(" {at} {text}")).collect::<Vec<_>>().join(",")
        };
        let decoder = match &tokens.decoder_texts[..] {
            [] => String::new(),
            texts => format!("tokens of the decoder:{}\n", numbered(texts)),
        };
        format!("{path}{}\ntokens:{}\n{decoder}", summary(&maps, largest_error), numbered(&tokens.texts))
    };
    output.report(&(), text)
}

/// Returns how many layers and heads there are, and how far the sums of rows are from 1.
fn summary(maps: &[AttentionMap], largest_error: f64) -> String {
    let of = |kind: Kind| {
        let mut own = maps.iter().filter(|map| map.kind == kind);
        let first = own.next()?;
        let heads = counted(first.heads, "head");
        Some(match first.layer {
            Some(_) => format!("{kind}: {} of {heads}", counted(1 + own.count(), "layer")),
            None => format!("{kind}: all layers"),
        })
    };
    let kinds: Vec<String> = Kind::ALL.into_iter().filter_map(of).collect();
    format!("{}; rows sum to 1 within {largest_error:.0e}", kinds.join(", "))
}

fn attended(args: &Attention, tokens: &Tokens, maps: &[AttentionMap], largest_error: f64) -> Attended {
    let rows = |head: &[f32], keys: usize| head.chunks(keys.max(1)).map(<[f32]>::to_vec).collect();
    let weights = |map: &AttentionMap| Weights {
        kind: map.kind.name(),
        layer: map.layer,
        name: map.name.clone(),
        heads: (0..map.heads).map(|head| rows(map.head(head), map.keys)).collect(),
    };
    Attended {
        model: args.model.clone(),
        tokens: tokens.texts.clone(),
        ids: tokens.ids.clone(),
        decoder_tokens: tokens.decoder_texts.clone(),
        decoder_ids: tokens.decoder_ids.clone(),
        maps: maps.iter().map(weights).collect(),
        largest_error,
    }
}

fn failure(error: AttentionError) -> Failure {
    match error {
        AttentionError::Write(error) => write_failure(error),
        error @ (AttentionError::NoTokens | AttentionError::UnknownToken { .. } | AttentionError::NoLogits) => {
            Failure::usage(error)
        }
        AttentionError::Verify(error) => runtimes::failed(error),
        error => Failure::model(error),
    }
}

/// Checks what is to be shown.
fn view<'v>(args: &'v Attention, tokens: &'v Tokens, maps: &'v [AttentionMap]) -> Result<View<'v>, Failure> {
    let kinds = Kind::ALL.into_iter().filter(|kind| maps.iter().any(|map| map.kind == *kind));
    let kinds: Vec<Kind> = kinds.collect();
    let kind = match &args.kind {
        Some(name) => kinds.iter().copied().find(|kind| kind.name() == name).ok_or_else(|| {
            let names: Vec<&str> = kinds.iter().map(|kind| kind.name()).collect();
            let names = names.join(", ");
            Misuse::NotFor.failure(format!("there is no {name} attention here\n  help: choose from {names}"))
        })?,
        // For an encoder-decoder, cross-attention is the default.
        None => kinds.last().copied().unwrap_or(Kind::Encoder),
    };
    let title = Path::new(&args.model).file_name().and_then(|name| name.to_str()).unwrap_or(&args.model);
    let view = View { title, tokens, maps, kind, layer: args.layer, head: args.head, token: args.token };
    let own = maps.iter().filter(|map| map.kind == kind);
    let limits = [
        ("--layer", "layer", args.layer, own.clone().filter(|map| map.layer.is_some()).count()),
        ("--head", "head", args.head, own.clone().map(|map| map.heads).max().unwrap_or(0)),
        ("--token", "token", args.token, view.labels(kind)[0].len()),
    ];
    for (flag, what, given, count) in limits {
        if let Some(number) = given.filter(|number| *number >= count) {
            let help = match count {
                0 => format!("leave out {flag}"),
                count => format!("choose a number from 0 to {}", count - 1),
            };
            return Err(Misuse::Value.failure(format!("there is no {what} {number}\n  help: {help}")));
        }
    }
    Ok(view)
}

fn is_page(path: &Path) -> bool {
    suggest::has_extension(path, &["html", "htm"])
}

/// Checks that the output is a page or a picture, and replaces no other file.
fn expect_ours(path: &Path) -> Result<(), Failure> {
    if !is_page(path) && !suggest::has_extension(path, &["svg"]) {
        let text = format!("the output {} is not a .html or .svg file\n  help: choose one of the two", in_line(path));
        return Err(Misuse::Place.failure(text));
    }
    expect_place("the output", path)?;
    if path.symlink_metadata().is_err() {
        return Ok(());
    }
    let is_ours = Source::open(path).is_ok_and(|file| {
        let mut start = vec![0; usize::try_from(file.len().min(HEADER)).unwrap_or(0)];
        file.read_at(0, &mut start).is_ok() && String::from_utf8_lossy(&start).contains(MARK)
    });
    if is_ours {
        return Ok(());
    }
    let path = in_line(path);
    Err(Misuse::Replaces.failure(format!(
        "{path} exists and was not written by `netwright attention`\n  help: choose another file, or remove this one"
    )))
}
