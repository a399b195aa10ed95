//! Graphs as text, which are changed at random.

use proptest::prelude::*;
use proptest::sample::Index;
use std::path::Path;

/// A change: its kind, the node, what it replaces and with what.
pub(crate) type Change = (u8, Index, Index, Index);

/// Several changes to one of many programs.
pub(crate) fn changes() -> impl Strategy<Value = (Index, Vec<Change>)> {
    (any::<Index>(), prop::collection::vec((0u8..7, any::<Index>(), any::<Index>(), any::<Index>()), 1..4))
}

/// A graph as text: the line of its inputs, its nodes without their types, its results.
#[derive(Clone, Debug)]
pub(crate) struct Program {
    inputs: String,
    nodes: Vec<String>,
    results: String,
}

impl Program {
    /// Reads a text without bodies; the types of the nodes are dropped, to be inferred again.
    fn of(lines: &[&str]) -> Option<Self> {
        let [inputs, nodes @ .., results, "}"] = lines else { return None };
        let is_plain = |line: &&str| line.starts_with("  %") && line.contains(" = ");
        if !nodes.iter().all(is_plain) {
            return None;
        }
        let retyped = |line: &&str| -> String {
            let (names, _) = line.split_once(" = ").unwrap_or_default();
            let is_tensor = ["= parameter ", "= constant "].iter().any(|word| line.contains(word));
            match line.rsplit_once(" : ") {
                Some((head, _)) if !is_tensor => {
                    format!("{head} : {}", vec!["?"; names.split(", ").count()].join(", "))
                }
                _ => (*line).to_owned(),
            }
        };
        let nodes = nodes.iter().map(retyped).collect();
        Some(Self { inputs: (*inputs).to_owned(), nodes, results: (*results).to_owned() })
    }

    pub(crate) fn text(&self) -> String {
        format!("{}\n{}\n{}\n}}\n", self.inputs, self.nodes.join("\n"), self.results)
    }

    /// Returns the names of the values before a node.
    fn names(&self, before: usize) -> Vec<String> {
        let of_inputs = words(&self.inputs).into_iter().map(|(from, to)| self.inputs[from..to].to_owned());
        let of_nodes = self.nodes[..before].iter().flat_map(|line| {
            let (names, _) = line.split_once(" = ").unwrap_or_default();
            names.trim().split(", ").map(str::to_owned).collect::<Vec<_>>()
        });
        of_inputs.filter(|word| word.starts_with('%')).chain(of_nodes).collect()
    }

    /// Applies changes to one program of a list.
    pub(crate) fn changed(programs: &[Program], nth: Index, changes: Vec<Change>) -> Self {
        let mut program = programs[nth.index(programs.len())].clone();
        for change in changes {
            program.change(change);
        }
        program
    }

    /// Applies one change; the result may not be a valid graph.
    fn change(&mut self, (kind, at, from, to): Change) {
        if self.nodes.is_empty() {
            return;
        }
        let at = at.index(self.nodes.len());
        let line = self.nodes[at].clone();
        let (names, call) = line.split_once(" = ").unwrap_or_default();
        let name = names.trim().split(", ").next().unwrap_or_default().to_owned();
        let operands: Vec<(usize, usize)> =
            words(call).into_iter().filter(|(from, to)| call[*from..*to].starts_with('%')).collect();
        match kind {
            // Removes the node; its users use its operand.
            0 => {
                let Some((from, to)) = operands.first().copied() else { return };
                let operand = call[from..to].to_owned();
                self.nodes.remove(at);
                for line in self.nodes[at..].iter_mut().chain([&mut self.results]) {
                    *line = renamed(line, &name, &operand);
                }
            }
            // Replaces an operand with another value.
            1 => {
                let earlier = self.names(at);
                if operands.is_empty() || earlier.is_empty() {
                    return;
                }
                let (from, to_end) = operands[from.index(operands.len())];
                let other = &earlier[to.index(earlier.len())];
                self.nodes[at] = format!("{names} = {}{other}{}", &call[..from], &call[to_end..]);
            }
            // Duplicates the node; some of its users use the copy.
            2 => {
                if names.contains(", ") {
                    return;
                }
                self.nodes.insert(at + 1, format!("  %twin = {call}"));
                let first = at + 2 + from.index(self.nodes.len() - at);
                for line in self.nodes.iter_mut().skip(first).chain([&mut self.results]) {
                    *line = renamed(line, &name, "%twin");
                }
            }
            // Makes it a result of the graph as well.
            3 => self.results = format!("{}, {name}", self.results),
            // Replaces the operator, with the same operands.
            4 => {
                let pairs = [
                    ("add ", "sub "),
                    ("mul ", "div "),
                    ("sqrt ", "reciprocal "),
                    ("erf ", "tanh "),
                    ("exp ", "sigmoid "),
                    ("reduce_mean ", "reduce_sum "),
                    ("matmul ", "add "),
                    ("softmax ", "neg "),
                    ("transpose ", "identity "),
                    ("layer_normalization ", "rms_normalization "),
                    ("concat ", "add "),
                    ("cast ", "relu "),
                    ("gelu ", "swish "),
                ];
                let other = pairs.iter().find_map(|(a, b)| {
                    let (from, to) = if call.starts_with(a) { (a, b) } else { (b, a) };
                    call.strip_prefix(from).map(|rest| format!("{to}{rest}"))
                });
                self.nodes[at] = format!("{names} = {}", other.unwrap_or_else(|| call.to_owned()));
            }
            // Changes a number or a type in a node or in the shapes of the inputs.
            _ => {
                let line = if kind == 5 { &mut self.nodes[at] } else { &mut self.inputs };
                let is_word = |(from, to): &(usize, usize)| !line[*from..*to].starts_with(['%', '@', '?']);
                let words: Vec<(usize, usize)> = words(line).into_iter().filter(is_word).collect();
                if words.is_empty() {
                    return;
                }
                let others = [
                    "0",
                    "1",
                    "2",
                    "-1",
                    "3",
                    "0.5",
                    "1e-5",
                    "8",
                    "s",
                    "f16",
                    "f32",
                    "f64",
                    "i64",
                    "true",
                    "9223372036854775807",
                ];
                let (start, end) = words[from.index(words.len())];
                *line = format!("{}{}{}", &line[..start], others[to.index(others.len())], &line[end..]);
            }
        }
    }
}

/// Returns the ranges of the words of a line: names, numbers and types.
fn words(line: &str) -> Vec<(usize, usize)> {
    let mut words = vec![];
    let mut start = None;
    for (at, letter) in line.char_indices().chain([(line.len(), ' ')]) {
        let is_inside = letter.is_alphanumeric() || "%@._-\"/".contains(letter);
        match start {
            None if is_inside => start = Some(at),
            Some(from) if !is_inside => {
                words.push((from, at));
                start = None;
            }
            _ => {}
        }
    }
    words
}

/// Renames every use of a value in a line.
fn renamed(line: &str, name: &str, other: &str) -> String {
    let mut text = String::new();
    let mut rest = 0;
    for (from, to) in words(line).into_iter().filter(|(from, to)| &line[*from..*to] == name) {
        text += &line[rest..from];
        text += other;
        rest = to;
    }
    text + &line[rest..]
}

/// Returns the programs in a folder of snapshots, before and after each pass.
pub(crate) fn programs(folder: &Path) -> Vec<Program> {
    let entries = std::fs::read_dir(folder).expect("the snapshots are there");
    let mut files: Vec<_> = entries.map(|entry| entry.expect("it can be read").path()).collect();
    files.sort();
    let mut programs = vec![];
    for file in files {
        let text = std::fs::read_to_string(&file).expect("it is text");
        let diff: Vec<&str> = text.splitn(3, "---\n").nth(2).unwrap_or_default().lines().collect();
        for side in ['-', '+'] {
            let lines: Vec<&str> =
                diff.iter().filter_map(|line| line.strip_prefix(side).or_else(|| line.strip_prefix(' '))).collect();
            programs.extend(Program::of(&lines));
        }
    }
    programs
}
