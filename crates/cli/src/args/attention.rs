//! The arguments of `netwright attention`.

use clap::{ArgGroup, Args};
use netwright::nn::Task;
use std::path::PathBuf;

#[derive(Debug, Args)]
#[command(group(ArgGroup::new("source").required(true).args(["text", "ids"])))]
pub(crate) struct Attention {
    /// A folder with config.json and weights, or a GGUF file.
    pub(crate) model: String,
    /// The text, which tokenizer.json of the folder splits into tokens.
    #[arg(long)]
    pub(crate) text: Option<String>,
    /// The ids of the tokens instead of a text, such as 101,2009,102.
    #[arg(long, value_delimiter = ',', value_name = "ID,…")]
    pub(crate) ids: Vec<i64>,
    /// The text that the decoder of an encoder-decoder has written [default: what it writes by greedy search].
    #[arg(long, value_name = "TEXT", conflicts_with = "decoder_ids")]
    pub(crate) decoder_text: Option<String>,
    /// The ids of the decoder's tokens after the first one, which starts the text.
    #[arg(long, value_delimiter = ',', value_name = "ID,…")]
    pub(crate) decoder_ids: Vec<i64>,
    /// The file to write: a page, if it ends in .html, or a picture, if it ends in .svg.
    #[arg(short, long, value_name = "FILE")]
    pub(crate) output: Option<PathBuf>,
    /// Average the weights over the heads of each layer.
    #[arg(long, conflicts_with = "rollout")]
    pub(crate) averaged: bool,
    /// Show the attention rollout instead of each layer: how much the last layer depends on each token of the input
    /// (Abnar and Zuidema, 2020).
    #[arg(long)]
    pub(crate) rollout: bool,
    /// Show this layer first in the page, and alone in the picture; layers, heads and tokens count from 0.
    #[arg(long, value_name = "N")]
    pub(crate) layer: Option<usize>,
    /// Show this head first in the page, and alone in the picture.
    #[arg(long, value_name = "N")]
    pub(crate) head: Option<usize>,
    /// Show lines from this token to those that it attends to.
    #[arg(long, value_name = "N")]
    pub(crate) token: Option<usize>,
    /// Of an encoder-decoder, show the attentions of the encoder, of the decoder, or from the decoder to the encoder.
    #[arg(long, value_name = "KIND", value_parser = ["encoder", "decoder", "cross"])]
    pub(crate) kind: Option<String>,
    /// The task, which selects the head of the model [default: from `architectures` in config.json].
    #[arg(long)]
    pub(crate) task: Option<Task>,
}
