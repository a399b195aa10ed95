//! What a person reads at a glance: family, layers, parameters by module, and the runtimes.

use crate::output::{counted, in_line, table, thousands};
use netwright::ir::Model;
use netwright::overview::{KERNELS_OF, Module, Overview, Part};
use netwright::verify::{ModelFile, gate};
use schemars::JsonSchema;
use serde::Serialize;
use std::collections::BTreeMap;
use std::path::Path;

/// Modules that the model repeats.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct Layers {
    /// The module that holds them.
    module: String,
    count: usize,
    /// The number of parameters of each; `null` if they differ.
    parameters: Option<u64>,
    /// The modules within the first.
    parts: Vec<String>,
}

/// The parameters of one element type.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct Elements {
    parameters: u64,
    /// Their size, with that of scales and zero points of the type.
    bytes: u64,
}

/// A module with all that are within it.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct Branch {
    module: String,
    parameters: u64,
    bytes: u64,
    modules: Vec<Branch>,
}

/// Whether a runtime can run the model.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct RunsIn {
    pub(super) runtime: String,
    runs: bool,
    /// Why not, each with the number of places.
    reasons: BTreeMap<String, usize>,
}

pub(super) fn layers(overview: &Overview) -> Vec<Layers> {
    let layers = overview.stacks.iter().map(|stack| Layers {
        module: stack.path.clone(),
        count: stack.count,
        parameters: stack.parameters,
        parts: stack.parts.clone(),
    });
    layers.collect()
}

impl Layers {
    pub(super) fn text(&self) -> String {
        let Self { module, count, parameters, parts } = self;
        let of = parameters.map_or_else(String::new, |number| format!(", {} parameters each", thousands(number)));
        let parts = if parts.is_empty() { String::new() } else { format!(" ({})", parts.join(", ")) };
        let module = if module.is_empty() { "blocks" } else { module };
        format!("{count} x {module}{parts}{of}")
    }
}

pub(super) fn elements(overview: &Overview) -> BTreeMap<String, Elements> {
    let of = |(name, stored): (&String, &netwright::overview::Stored)| {
        (name.clone(), Elements { parameters: stored.parameters, bytes: stored.bytes })
    };
    overview.elements.iter().map(of).collect()
}

impl Elements {
    pub(super) fn text(&self, element: &str) -> String {
        let parameters = match self.parameters {
            0 => "scales and zero points".to_owned(),
            parameters => thousands(parameters),
        };
        format!("{parameters} in {element}, {} bytes", thousands(self.bytes))
    }
}

/// Returns the modules as a tree, without modules that are the only one within another. It is as deep as names have parts.
pub(super) fn branch(name: String, module: &Module) -> Branch {
    let mut at = (name, module);
    while at.1.children.len() == 1
        && let Some((part, only)) = at.1.children.iter().next()
        && only.parameters == at.1.parameters
    {
        at = (if at.0.is_empty() { part.to_string() } else { format!("{}.{part}", at.0) }, only);
    }
    let (name, module) = at;
    let modules = module.children.iter().map(|(part, child)| branch(part.to_string(), child)).collect();
    Branch { module: name, parameters: module.parameters, bytes: module.bytes, modules }
}

/// The width of the longest bar.
const BAR: u64 = 24;

/// Returns the tree with a bar for each module; neighbors with numbers that are equal share a line.
pub(super) fn tree(root: &Branch) -> String {
    let mut rows = vec![];
    let name = if root.module.is_empty() { "all" } else { &root.module };
    draw(root, name, 0, root.parameters.max(1), &mut rows);
    table(&rows)
}

/// Recurses as deep as names have parts, which is limited.
fn draw(branch: &Branch, name: &str, depth: usize, total: u64, rows: &mut Vec<Vec<String>>) {
    let tenths = (u128::from(branch.parameters) * 1000 + u128::from(total) / 2) / u128::from(total);
    let length = (u128::from(branch.parameters) * u128::from(BAR)).div_ceil(u128::from(total));
    let bar = "█".repeat(usize::try_from(length).unwrap_or(0));
    rows.push(vec![
        format!("{}{name}", "  ".repeat(depth)),
        thousands(branch.parameters),
        format!("{}.{} %", tenths / 10, tenths % 10),
        format!("{bar:<width$}", width = usize::try_from(BAR).unwrap_or(0)),
    ]);
    let mut rest = branch.modules.as_slice();
    while let Some((first, after)) = rest.split_first() {
        let is_number = |branch: &Branch| matches!(Part::new(&branch.module), Part::Number(_));
        let same =
            after.iter().take_while(|other| is_number(first) && is_number(other) && other.is_alike(first)).count();
        let name = match after[..same].last() {
            Some(last) => format!("{} to {}, each", first.module, last.module),
            None => first.module.clone(),
        };
        draw(first, &name, depth + 1, total, rows);
        rest = &after[same..];
    }
}

impl Branch {
    /// Returns whether another module has the same modules within it.
    fn is_alike(&self, other: &Self) -> bool {
        let same = |(a, b): (&Branch, &Branch)| a.module == b.module && a.is_alike(b);
        self.parameters == other.parameters
            && self.modules.len() == other.modules.len()
            && self.modules.iter().zip(&other.modules).all(same)
    }
}

/// Returns which runtimes can run a model.
pub(super) fn runtimes(path: &Path, data_dir: Option<&Path>, model: &Model, overview: &Overview) -> Vec<RunsIn> {
    let mut tract = BTreeMap::new();
    match ModelFile::open_with(path, data_dir) {
        Ok(file) => {
            for reason in gate(&file) {
                *tract.entry(reason.why).or_default() += 1;
            }
        }
        Err(error) => {
            tract.insert(error.to_string(), 1);
        }
    }
    let mut ort = overview.missing_kernels.clone();
    if !model.training.is_empty() {
        ort.insert("the model has training steps".to_owned(), model.training.len());
    }
    let runs_in = |runtime: &str, reasons: BTreeMap<String, usize>| RunsIn {
        runtime: runtime.to_owned(),
        runs: reasons.is_empty(),
        reasons,
    };
    vec![runs_in("tract", tract), runs_in(&format!("{} on a CPU", *KERNELS_OF), ort)]
}

/// The number of reasons that are shown.
const MAX_REASONS: usize = 6;

impl RunsIn {
    /// Returns the rows to print.
    pub(super) fn rows(&self) -> Vec<[String; 2]> {
        let word = if self.runs { "yes" } else { "no" };
        let mut rows = vec![[format!("runs in {}", self.runtime), word.to_owned()]];
        let mut reasons: Vec<_> = self.reasons.iter().collect();
        reasons.sort_by_key(|(_, count)| std::cmp::Reverse(**count));
        rows.extend(reasons.iter().take(MAX_REASONS).map(|(why, count)| {
            [String::new(), format!("{} ({})", why.replace('\n', " "), counted(**count, "place"))]
        }));
        if let Some(more @ 1..) = reasons.len().checked_sub(MAX_REASONS) {
            rows.push([String::new(), format!("and {}", counted(more, "more reason"))]);
        }
        rows
    }

    pub(super) fn word(&self) -> &'static str {
        if self.runs { "yes" } else { "no" }
    }
}

/// Returns the file name of a path.
pub(super) fn file_name(path: &Path) -> String {
    path.file_name().map_or_else(|| in_line(path), |name| in_line(Path::new(name)))
}
