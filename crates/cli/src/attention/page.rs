//! The page of attention weights: self-contained, with the weights in it.

use super::{MARK, View};
use crate::failure::Failure;
use maud::{DOCTYPE, PreEscaped, html};
use netwright::attention::Kind;
use serde::Serialize;
use std::io;

const STYLE: &str = include_str!("page.css");
const SCRIPT: &str = include_str!("page.js");
/// Nothing is loaded, from wherever.
const POLICY: &str = "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'";

/// What the script reads.
#[derive(Serialize)]
struct Data<'d> {
    maps: Vec<Map<'d>>,
    kind: &'static str,
    layer: usize,
    head: usize,
    token: usize,
    lines: bool,
}

#[derive(Serialize)]
struct Map<'d> {
    kind: &'static str,
    /// The tokens that attend, and those that are attended to.
    queries: &'d [String],
    keys: &'d [String],
    heads: usize,
    /// What the layer is called.
    title: String,
    /// The weights `[heads, queries, keys]`, f32 little-endian, in base64.
    weights: String,
}

pub(super) fn page(view: &View) -> Result<String, Failure> {
    let map = |map: &netwright::attention::AttentionMap| {
        let [queries, keys] = view.labels(map.kind);
        let title = map.layer.map_or_else(|| "all layers".to_owned(), |layer| format!("layer {layer}"));
        let bytes: Vec<u8> = map.weights.iter().flat_map(|weight| weight.to_le_bytes()).collect();
        Map { kind: map.kind.name(), queries, keys, heads: map.heads, title, weights: base64(&bytes) }
    };
    let data = Data {
        maps: view.maps.iter().map(map).collect(),
        kind: view.kind.name(),
        layer: view.layer.unwrap_or(0),
        head: view.head.unwrap_or(0),
        token: view.token.unwrap_or(0),
        lines: view.token.is_some(),
    };
    // Within a script only `<` can end it, and in JSON it stands only in strings.
    let data = serde_json::to_string(&data).map_err(io::Error::from)?.replace('<', "\\u003c");
    let kinds: Vec<Kind> = Kind::ALL.into_iter().filter(|kind| view.maps.iter().any(|map| map.kind == *kind)).collect();
    let name = |kind: Kind| match kind {
        Kind::Cross => "decoder to encoder",
        kind => kind.name(),
    };
    let markup = html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="generator" content=(MARK);
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta http-equiv="Content-Security-Policy" content=(POLICY);
                title { "Attention of " (view.title) }
                style { (PreEscaped(STYLE)) }
            }
            body {
                h1 { "Attention of " (view.title) }
                noscript { p { "The pictures are drawn by a script in this page: allow scripts to see them." } }
                div.controls {
                    div role="group" aria-label="Attention" hidden[kinds.len() < 2] {
                        @for kind in kinds { button type="button" data-kind=(kind.name()) { (name(kind)) } }
                    }
                    div role="group" aria-label="View" {
                        button type="button" data-view="map" { "heat map" }
                        button type="button" data-view="lines" { "lines" }
                    }
                    label { "layer " select #layer {} }
                    label { "head " select #head {} }
                    label { "token " select #token {} }
                }
                p #status aria-live="polite" {}
                div.wide { canvas #figure tabindex="0" role="img" aria-label="Attention weights of the head" {} }
                h2 { "All heads" }
                p.small { "One row for each layer, one column for each head. The stronger the color, the larger the weight." }
                div.wide { canvas #heads tabindex="0" role="img" aria-label="All heads; choose one with the arrow keys" {} }
                h2 { "Keys" }
                dl {
                    dt { kbd { "←" } kbd { "→" } kbd { "↑" } kbd { "↓" } }
                    dd { "another head or layer; in the figure, another token" }
                    dt { kbd { "p" } kbd { "n" } } dd { "previous and next token" }
                    dt { kbd { "v" } } dd { "heat map or lines" }
                    dt { kbd { "k" } } dd { "encoder, decoder, or decoder to encoder" }
                }
                script #data type="application/json" { (PreEscaped(data)) }
                script { (PreEscaped(SCRIPT)) }
            }
        }
    };
    Ok(markup.into_string())
}

/// Returns bytes in base64 (RFC 4648).
fn base64(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for chunk in bytes.chunks(3) {
        let bits = (0..3).fold(0, |bits, at| bits << 8 | u32::from(chunk.get(at).copied().unwrap_or(0)));
        for at in 0..4 {
            let digit = DIGITS[(bits >> (18 - 6 * at) & 63) as usize];
            text.push(if at <= chunk.len() { char::from(digit) } else { '=' });
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::attention::tokens::Tokens;

    #[test]
    fn base64_is_that_of_the_rfc() {
        let cases =
            [("", ""), ("f", "Zg=="), ("fo", "Zm8="), ("foo", "Zm9v"), ("foob", "Zm9vYg=="), ("fooba", "Zm9vYmE=")];
        for (plain, expected) in cases {
            assert_eq!(base64(plain.as_bytes()), expected);
        }
        assert_eq!(base64(&[0xfb, 0xff, 0xfe]), "+//+");
    }

    /// Tokens and names come from files and from the caller.
    #[test]
    fn texts_are_escaped() {
        let hostile = "</script><script>alert(1)</script>".to_owned();
        let start = netwright::generate::TextToken { id: 0, text: hostile.clone() };
        let texts = vec![hostile.clone()];
        let tokens = Tokens { ids: vec![1], texts, decoder_ids: vec![], decoder_texts: vec![], start: Some(start) };
        let map = netwright::attention::AttentionMap {
            kind: Kind::Encoder,
            layer: Some(0),
            name: hostile.clone(),
            heads: 1,
            queries: 1,
            keys: 1,
            weights: vec![1.0],
        };
        let view = View {
            title: &hostile,
            tokens: &tokens,
            maps: &[map],
            kind: Kind::Encoder,
            layer: None,
            head: None,
            token: None,
        };
        let page = page(&view).expect("it is written");
        assert_eq!(page.matches("<script").count(), 2, "the data and the script of the page");
        assert!(page.contains("\\u003c/script>"));
    }
}
