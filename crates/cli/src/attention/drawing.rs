//! The picture of attention weights: heat maps, or lines from one token.

use super::{MARK, View};
use crate::failure::{Failure, Misuse};
use netwright::attention::AttentionMap;
use std::collections::BTreeMap;
use std::fmt::Write;

const STYLE: &str = "text{font:13px sans-serif;fill:#1c2430}.e{text-anchor:end}.i{fill:#1e5abe}.l{fill:none;stroke:#1e5abe}\
    .f{fill:none;stroke:#c9d1da}.m{fill:#fff1c2}@media(prefers-color-scheme:dark){text{fill:#e4e9f0}.i{fill:#7ab2ff}\
    .l{stroke:#7ab2ff}.f{stroke:#3a4450}.m{fill:#4a3f17}}";
/// The width of a letter, roughly, in pixels.
const LETTER: usize = 8;
/// The most letters of a label.
const MAX_LETTERS: usize = 16;
/// The space between the parts of the picture.
const GAP: usize = 12;
/// Weights are drawn in so many shades; what is lighter than the first is not drawn.
const SHADES: f32 = 50.0;
/// The smallest weight for which a line is drawn.
const FAINTEST: f32 = 0.005;

/// Returns the picture: a map of each layer and head; with labels, if there is only one; or lines from a token.
pub(super) fn svg(view: &View) -> Result<String, Failure> {
    let maps: Vec<&AttentionMap> = view
        .maps
        .iter()
        .filter(|map| map.kind == view.kind && (view.layer.is_none() || map.layer == view.layer))
        .collect();
    let [queries, keys] = view.labels(view.kind);
    let (body, width, height) = match (&maps[..], view.token) {
        (&[map], token) if map.heads == 1 || view.head.is_some() => {
            let weights = map.head(view.head.unwrap_or(0));
            match token {
                Some(token) => lines(weights, token, queries, keys),
                None => labeled(weights, queries, keys),
            }
        }
        (_, Some(_)) => {
            let help = "choose a map with --layer and --head, or add --averaged to --layer, or --rollout";
            let text = format!("--token shows lines of one map, but there are several\n  help: {help}");
            return Err(Misuse::Requires.failure(text));
        }
        _ => grid(&maps, view.head),
    };
    Ok(format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width} {height}\" width=\"{width}\" height=\"{height}\">\n\
         <!-- {MARK} -->\n<style>{STYLE}</style>\n{body}</svg>\n"
    ))
}

/// Draws the maps of all layers, one in a row, and of all heads, one in a column, or of one head.
fn grid(maps: &[&AttentionMap], head: Option<usize>) -> (String, usize, usize) {
    let columns = if head.is_some() { 1 } else { maps.iter().map(|map| map.heads).max().unwrap_or(0) };
    let longest = maps.iter().map(|map| map.queries.max(map.keys)).max().unwrap_or(1).max(1);
    let cell = (64 / longest).max(2);
    let step = longest * cell + GAP;
    let (left, top) = (64, 28);
    let mut body = String::new();
    for column in 0..columns {
        text(&mut body, "", left + column * step, 18, &format!("head {}", head.unwrap_or(column)), "");
    }
    for (row, map) in maps.iter().enumerate() {
        let name = map.layer.map_or_else(|| "all".to_owned(), |layer| format!("layer {layer}"));
        text(&mut body, "", 8, top + row * step + 14, &name, "");
        for column in 0..columns.min(map.heads) {
            let weights = map.head(head.unwrap_or(column));
            cells(&mut body, weights, map.keys, [left + column * step, top + row * step], cell);
        }
    }
    (body, left + columns * step, top + maps.len() * step)
}

/// Draws one map with its tokens and the sums of its rows.
fn labeled(weights: &[f32], queries: &[String], keys: &[String]) -> (String, usize, usize) {
    let (cell, sums) = (20, 64);
    let (left, top) = (width_of(queries), width_of(keys));
    let mut body = String::new();
    for (at, query) in queries.iter().enumerate() {
        let y = top + at * cell + 14;
        text(&mut body, "e", left - 4, y, query, "");
        let sum: f64 = weights.iter().skip(at * keys.len()).take(keys.len()).copied().map(f64::from).sum();
        text(&mut body, "", left + keys.len() * cell + 6, y, &format!("{sum:.5}"), "");
    }
    for (at, key) in keys.iter().enumerate() {
        let (x, y) = (left + at * cell + 14, top - 4);
        text(&mut body, "", x, y, key, &format!(" transform=\"rotate(-90 {x} {y})\""));
    }
    cells(&mut body, weights, keys.len(), [left, top], cell);
    (body, left + keys.len() * cell + sums, top + queries.len() * cell + 4)
}

/// Draws lines from one token to those that it attends to.
fn lines(weights: &[f32], token: usize, queries: &[String], keys: &[String]) -> (String, usize, usize) {
    let (step, between) = (22, 220);
    let left = width_of(queries);
    let right = left + between;
    let middle = |at: usize| at * step + step / 2;
    let row = weights.iter().skip(token * keys.len()).take(keys.len());
    let mut body = format!("<path class=\"m\" d=\"M0 {}h{left}v{step}h-{left}z\"/>\n", token * step);
    for (at, weight) in row.clone().enumerate().filter(|(_, weight)| **weight >= FAINTEST) {
        let (start, end, half) = (middle(token), middle(at), between / 2);
        // Writing to a string cannot fail.
        _ = writeln!(
            body,
            "<path class=\"l\" stroke-opacity=\"{:.2}\" stroke-width=\"{:.1}\" d=\"M{left} {start}C{} {start} {} {end} {right} {end}\"/>",
            0.1 + 0.9 * weight,
            0.5 + 7.0 * weight,
            left + half,
            right - half,
        );
    }
    for (at, query) in queries.iter().enumerate() {
        text(&mut body, "e", left - 4, middle(at) + 5, query, "");
    }
    let end = right + width_of(keys);
    for ((at, key), weight) in keys.iter().enumerate().zip(row) {
        text(&mut body, "", right + 4, middle(at) + 5, key, "");
        if *weight >= FAINTEST {
            text(&mut body, "", end, middle(at) + 5, &format!("{weight:.2}"), "");
        }
    }
    (body, end + 40, queries.len().max(keys.len()) * step)
}

/// Draws the cells of a map at a place, those of a shade as one path, and a frame.
fn cells(body: &mut String, weights: &[f32], keys: usize, [left, top]: [usize; 2], cell: usize) {
    let keys = keys.max(1);
    let mut shades = BTreeMap::<u8, String>::new();
    for (at, weight) in weights.iter().enumerate() {
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a weight is at most 1")]
        let shade = (weight.clamp(0.0, 1.0) * SHADES).round() as u8;
        if shade > 0 {
            let (x, y) = (left + at % keys * cell, top + at / keys * cell);
            _ = write!(shades.entry(shade).or_default(), "M{x} {y}h{cell}v{cell}h-{cell}z");
        }
    }
    for (shade, path) in shades {
        _ = writeln!(body, "<path class=\"i\" fill-opacity=\"{:.2}\" d=\"{path}\"/>", f32::from(shade) / SHADES);
    }
    let (width, height) = (keys * cell, weights.len() / keys * cell);
    _ = writeln!(body, "<path class=\"f\" d=\"M{left} {top}h{width}v{height}h-{width}z\"/>");
}

fn text(body: &mut String, class: &str, x: usize, y: usize, label: &str, more: &str) {
    let class = if class.is_empty() { String::new() } else { format!(" class=\"{class}\"") };
    let escaped = maud::html! { (shortened(label)) }.into_string();
    _ = writeln!(body, "<text{class} x=\"{x}\" y=\"{y}\"{more}>{escaped}</text>");
}

/// Returns a label of at most [`MAX_LETTERS`], without control characters, which XML does not allow.
fn shortened(label: &str) -> String {
    let letters: Vec<char> = label.chars().map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect();
    match letters.get(..MAX_LETTERS) {
        Some(start) if letters.len() > MAX_LETTERS => start.iter().chain(&['…']).collect(),
        _ => letters.iter().collect(),
    }
}

/// Returns the width of the widest label, roughly.
fn width_of(labels: &[String]) -> usize {
    labels.iter().map(|label| label.chars().count().min(MAX_LETTERS + 1)).max().unwrap_or(0) * LETTER + 12
}
