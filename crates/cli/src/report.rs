//! The HTML page of `optimize --report`: the model before and after, every rewrite and every near miss.

use crate::output::thousands;
use maud::{DOCTYPE, Markup, PreEscaped, html};
use netwright::ir::text;
use netwright::passes::sites::{self, Site};
use netwright::passes::{self, Report};
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fmt::Write;

/// The model before or after optimizing, as the page shows it.
pub(crate) struct Side<'s> {
    pub(crate) operators: &'s BTreeMap<String, usize>,
    pub(crate) counts: [(&'static str, u64); 4],
    /// The graph in the text form.
    pub(crate) text: &'s str,
}

/// The most lines of a listing; the page says how many more there are.
const MAX_LINES: usize = 1200;
/// The most lines of a repeated block.
const LONGEST_BLOCK: usize = 400;
/// The fewest lines of a repeated block.
const SHORTEST_BLOCK: usize = 4;

const STYLE: &str = "
:root { color-scheme: light dark; --line: #8884; --good: #1a7f37; --bad: #b35900; }
@media (prefers-color-scheme: dark) { :root { --good: #4ac26b; --bad: #e0a458; } }
body { font: 16px/1.5 system-ui, sans-serif; margin: 0 auto; padding: 1rem; max-width: 70rem; }
h1 { font-size: 1.3rem; overflow-wrap: anywhere; } h2 { font-size: 1.1rem; margin-top: 2rem; }
div.wide, pre { overflow-x: auto; border: 1px solid var(--line); border-radius: .4rem; }
pre { padding: .6rem; font-size: .8rem; line-height: 1.4; }
table { border-collapse: collapse; width: 100%; font-size: .9rem; }
td, th { padding: .25rem .6rem; border-bottom: 1px solid var(--line); text-align: left; vertical-align: top; }
td.n, th.n { text-align: right; font-variant-numeric: tabular-nums; }
td.name { font-family: ui-monospace, monospace; font-size: .8rem; overflow-wrap: anywhere; min-width: 9rem; }
.good, .added { color: var(--good); } .bad, .removed { color: var(--bad); }
summary { cursor: pointer; }
";

/// Returns the page, which is self-contained: it fetches nothing and runs no script.
pub(crate) fn page(model: &str, [before, after]: [&Side; 2], sites: &[Site], report: &Report, seconds: f64) -> String {
    let mut applied: BTreeMap<&str, Vec<String>> = BTreeMap::new();
    for event in &report.applied {
        applied.entry(event.pass).or_default().push(format!("{}: {}", text::name(&event.node), event.note));
    }
    let declined: Vec<String> = report.declined.iter().map(ToString::to_string).collect();
    let markup = html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                title { "netwright: " (model) }
                style { (PreEscaped(STYLE)) }
            }
            body {
                h1 { "netwright: " (model) }
                p { (before.counts[0].1) " nodes became " (after.counts[0].1) " in " (format!("{seconds:.2}")) " s; "
                    (sites::summary(sites)) "." }
                h2 { "Before and after" }
                (counts(before, after))
                h2 { "Attentions, normalizations, activations" }
                (site_table(sites))
                h2 { "What each pass did" }
                @for (pass, events) in &applied {
                    details {
                        summary { (pass) ": " (events.len()) }
                        (lines(events))
                    }
                }
                h2 { "The graph, with repeated blocks shown once" }
                (blocks(after.text))
                h2 { "What changed" }
                details {
                    summary { "diff of the text form" }
                    (difference(&passes::diff(before.text, after.text)))
                }
                h2 { "Near misses" }
                @if declined.is_empty() { p { "None." } } @else { (lines(&declined)) }
            }
        }
    };
    markup.into_string()
}

fn counts(before: &Side, after: &Side) -> Markup {
    let operators: BTreeSet<&String> = before.operators.keys().chain(after.operators.keys()).collect();
    let of = |side: &Side, name: &String| side.operators.get(name).copied().unwrap_or(0) as u64;
    // More of an operator is neither good nor bad.
    let row = |name: &str, before: u64, after: u64, is_size: bool| {
        html! {
            tr {
                td { (name) }
                td.n { (thousands(before)) }
                td.n { (thousands(after)) }
                td.n {
                    @if after < before { span.good { "-" (thousands(before - after)) } }
                    @if after > before { span.bad[is_size] { "+" (thousands(after - before)) } }
                }
            }
        }
    };
    html! {
        div.wide {
            table {
                tr { th { "" } th.n { "before" } th.n { "after" } th.n { "change" } }
                @for ((name, own), (_, other)) in before.counts.iter().zip(&after.counts) { (row(name, *own, *other, true)) }
                @for name in operators { (row(name, of(before, name), of(after, name), false)) }
            }
        }
    }
}

fn site_table(sites: &[Site]) -> Markup {
    html! {
        @if sites.is_empty() { p { "None." } } @else {
            div.wide {
                table {
                    tr { th { "what" } th { "name" } th { "became" } }
                    @for site in sites.iter().take(MAX_LINES) {
                        tr {
                            td { (site.kind.to_string()) }
                            td.name { (text::name(&site.name)) }
                            @match &site.outcome {
                                Ok(form) => td.good { (form) },
                                Err(reason) => td.bad { "not fused: " (reason) },
                            }
                        }
                    }
                }
            }
            (cut(sites.len()))
        }
    }
}

fn lines(all: &[String]) -> Markup {
    html! {
        pre { @for line in all.iter().take(MAX_LINES) { (line) "\n" } }
        (cut(all.len()))
    }
}

fn cut(count: usize) -> Markup {
    html! { @if count > MAX_LINES { p { (thousands((count - MAX_LINES) as u64)) " more are not shown." } } }
}

fn difference(diff: &str) -> Markup {
    let all: Vec<&str> = diff.lines().filter(|line| line.starts_with(['-', '+'])).collect();
    html! {
        pre {
            @for line in all.iter().take(MAX_LINES) {
                span class=(if line.starts_with('-') { "removed" } else { "added" }) { (line) } "\n"
            }
        }
        (cut(all.len()))
    }
}

/// Renders the lines of a graph, with the longest run of equal blocks shown once.
fn blocks(text: &str) -> Markup {
    let all: Vec<&str> = text.lines().filter(|line| !line.contains(" = parameter ")).collect();
    let run = repeated(&all);
    let (first, length, times) = run.unwrap_or((all.len(), 0, 0));
    let end = first + length * times;
    let part = |from: usize, to: usize| {
        all.get(from..to).unwrap_or_default().iter().map(ToString::to_string).collect::<Vec<_>>()
    };
    html! {
        p { (all.len()) " lines, parameters left out" @if times > 1 { "; a block of " (length) " lines appears " (times) " times" } "." }
        (lines(&part(0, first)))
        @if times > 1 {
            details open {
                summary { "the block, " (times) " times" }
                (lines(&part(first, first + length)))
            }
            (lines(&part(end, all.len())))
        }
    }
}

/// Finds the run of similar blocks that covers most lines; returns its start, the length of a block and their number.
fn repeated(lines: &[&str]) -> Option<(usize, usize, usize)> {
    let mut known = HashMap::new();
    let shapes: Vec<usize> = lines
        .iter()
        .map(|line| {
            let next = known.len();
            *known.entry(shape_of(line)).or_insert(next)
        })
        .collect();
    let mut best: Option<(usize, usize, usize)> = None;
    for length in SHORTEST_BLOCK..=LONGEST_BLOCK.min(shapes.len() / 2) {
        let mut run = 0;
        for at in 0..shapes.len() - length {
            run = if shapes[at] == shapes[at + length] { run + 1 } else { 0 };
            let times = run / length + 1;
            let better = best.is_none_or(|(_, own, count)| times * length > own * count);
            if times > 1 && run % length == 0 && better {
                best = Some((at + 1 - run, length, times));
            }
        }
    }
    best
}

/// Returns a line without its names: the operator, attributes and types.
fn shape_of(line: &str) -> String {
    let mut shape = String::new();
    let mut rest = line;
    while let Some(at) = rest.find(['%', '@']) {
        let (plain, name) = rest.split_at(at);
        let body = &name[1..];
        let end = match body.strip_prefix('"') {
            Some(quoted) => quoted.find('"').map_or(body.len(), |end| end + 2),
            None => body.find([' ', ',', ')', ':']).unwrap_or(body.len()),
        };
        _ = write!(shape, "{plain}%");
        rest = &body[end..];
    }
    shape + rest
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_repeated_blocks() {
        let block = |layer: usize| (0..5).map(move |at| format!("  %l{layer}.{at} = op{at} %l{layer} : f32[n]"));
        let text: Vec<String> =
            ["head".to_owned()].into_iter().chain((0..3).flat_map(block)).chain(["return".to_owned()]).collect();
        let lines: Vec<&str> = text.iter().map(String::as_str).collect();
        assert_eq!(repeated(&lines), Some((1, 5, 3)));
        assert_eq!(repeated(&lines[..7]), None);
    }

    #[test]
    fn names_are_escaped() {
        let operators = BTreeMap::new();
        let side = Side { operators: &operators, counts: [("nodes", 1); 4], text: "%\"<script>\" = exp %x" };
        let page = page("<script>alert(1)</script>", [&side, &side], &[], &Report::default(), 0.0);
        assert!(!page.contains("<script"), "{page}");
    }
}
