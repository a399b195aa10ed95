//! `netwright extract`, `split`, `merge`, `strip`, `externalize` and `embed`, and the flags of `optimize` that change
//! sizes, inputs and outputs.

use crate::args::{ExternalData, Extract, Interface, Merge, Rewrite, Split, bindings};
use crate::failure::{Failure, Misuse};
use crate::model_io;
use crate::output::{Output, counted, in_line, thousands};
use crate::overwrite::{Inputs, expect_place};
use crate::suggest;
use netwright::files::{self, Code, write_file};
use netwright::inventory::inventory;
use netwright::ir::nearest::listed;
use netwright::ir::{Dim, Graph, Model, Name, Symbol, ValueType};
use netwright::onnx::WrittenFiles;
use netwright::surgery::{self, Cut, MergeError, Moved, Plan, SurgeryError};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::io;
use std::path::{Path, PathBuf};

/// What a command wrote.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct Summary {
    path: PathBuf,
    nodes: usize,
    inputs: Vec<String>,
    outputs: Vec<String>,
    /// The size of the model and its external data.
    bytes: u64,
    /// The number of files.
    #[serde(skip)]
    files: usize,
    /// What callers must know, such as new names.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    notes: Vec<String>,
}

impl Summary {
    fn new(path: &Path, model: &Model, written: &WrittenFiles) -> Self {
        let graph = &model.graph;
        Self {
            path: path.to_owned(),
            nodes: inventory(model).nodes,
            inputs: graph.inputs().map(|input| graph.value_name(input).to_string()).collect(),
            outputs: graph.outputs().iter().map(|output| output.name.to_string()).collect(),
            bytes: written.bytes,
            files: written.files.len(),
            notes: vec![],
        }
    }

    fn text(&self) -> String {
        let files = if self.files > 1 { format!(" in {} files", self.files) } else { String::new() };
        let notes: String = self.notes.iter().map(|note| format!("\n{note}")).collect();
        format!(
            "{}: {}, {}, {}, {} bytes{files}{notes}",
            in_line(&self.path),
            counted(self.nodes, "node"),
            counted(self.inputs.len(), "input"),
            counted(self.outputs.len(), "output"),
            thousands(self.bytes)
        )
    }
}

/// Returns the failure of a request: most requests are wrong for the model, and some models cannot be changed.
pub(crate) fn refused(error: SurgeryError) -> Failure {
    match error {
        SurgeryError::Training | SurgeryError::Merge(_) => Failure::model(error),
        error => Failure::usage(error),
    }
}

/// Changes the outputs, the sizes and the names of a model as flags request.
pub(crate) fn change(model: &mut Model, dims: &[(Symbol, Dim)], interface: &Interface) -> Result<(), Failure> {
    if !interface.outputs.is_empty() {
        surgery::set_outputs(model, &borrowed(&interface.outputs)).map_err(refused)?;
    }
    if !interface.add_output.is_empty() {
        surgery::add_outputs(model, &borrowed(&interface.add_output)).map_err(refused)?;
    }
    rename(model, &interface.rename_dim, surgery::rename_dims)?;
    fix_dims(model, &with_new_names(dims, &interface.rename_dim))?;
    rename(model, &interface.rename_input, surgery::rename_inputs)?;
    rename(model, &interface.rename_output, surgery::rename_outputs)
}

fn rename(
    model: &mut Model,
    names: &[(String, String)],
    rename: impl Fn(&mut Model, &[(&str, &str)]) -> Result<(), SurgeryError>,
) -> Result<(), Failure> {
    if names.is_empty() { Ok(()) } else { rename(model, &pairs(names)).map_err(refused) }
}

/// Returns sizes in which the old names of renamed symbols are replaced by the new ones.
fn with_new_names(dims: &[(Symbol, Dim)], renamed: &[(String, String)]) -> Vec<(Symbol, Dim)> {
    let new = |symbol: &Symbol| {
        let pair = renamed.iter().find(|(old, _)| symbol.as_str() == old);
        pair.map(|(_, new)| Symbol::new(new.as_str()))
    };
    let with_new = |(symbol, size): &(Symbol, Dim)| {
        let size = size.substitute(&|symbol| new(symbol).map(Dim::Symbol));
        (new(symbol).unwrap_or_else(|| symbol.clone()), size)
    };
    dims.iter().map(with_new).collect()
}

/// Writes sizes for symbols.
pub(crate) fn fix_dims(model: &mut Model, dims: &[(Symbol, Dim)]) -> Result<(), Failure> {
    if dims.is_empty() {
        return Ok(());
    }
    surgery::fix_dims(model, &bindings(dims)?).map_err(refused)
}

fn borrowed(names: &[String]) -> Vec<&str> {
    names.iter().map(String::as_str).collect()
}

pub(crate) fn pairs(names: &[(String, String)]) -> Vec<(&str, &str)> {
    names.iter().map(|(old, new)| (old.as_str(), new.as_str())).collect()
}

/// Refuses to compare a model with a result that has other inputs or outputs.
pub(crate) fn expect_comparable(interface: &Interface, verify: bool) -> Result<(), Failure> {
    let flags = [
        ("--outputs", interface.outputs.is_empty()),
        ("--add-output", interface.add_output.is_empty()),
        ("--rename-input", interface.rename_input.is_empty()),
        ("--rename-output", interface.rename_output.is_empty()),
        ("--rename-dim", interface.rename_dim.is_empty()),
        ("--split-branches", !interface.split_branches),
    ];
    match flags.iter().find(|(_, is_empty)| verify && !is_empty) {
        Some((flag, _)) => Err(Misuse::Conflict.failure(format!(
            "--verify compares the result with the input, and {flag} changes inputs or outputs\n  help: write the model \
             with {flag} and --passes none first, then optimize and verify that"
        ))),
        None => Ok(()),
    }
}

/// Writes a model and reports what it is.
fn write(
    model: &Model,
    path: &Path,
    external_data: ExternalData,
    share_weights: bool,
    inputs: &Inputs,
    output: Output,
) -> Result<Summary, Failure> {
    let spinner = output.spinner("writing");
    let written = model_io::write(model, path, external_data, share_weights, inputs, &spinner)?;
    drop(spinner);
    model_io::warn_of_data(&written, output)?;
    let mut summary = Summary::new(path, model, &written);
    summary.notes.extend(
        written
            .files
            .iter()
            .skip(1)
            .map(|file| format!("its weights are in {}; keep both in one folder", in_line(file))),
    );
    Ok(summary)
}

pub(crate) fn extract(args: &Extract, output: Output) -> Result<(), Failure> {
    expect_place("the output", &args.output)?;
    let model = model_io::read(&args.input, output)?;
    let inputs = Inputs::of_model(&args.input.model, &model);
    inputs.expect_other_output(&args.output, &args.input.model)?;
    let [from, to] = [&args.from, &args.to].map(|names| names.as_deref().map(borrowed));
    let part = surgery::extract(&model, from.as_deref(), to.as_deref()).map_err(refused)?;
    let summary = write(&part, &args.output, args.storage.external_data, args.sharing.share_weights, &inputs, output)?;
    output.report(&summary, || summary.text())
}

pub(crate) fn strip(args: &Rewrite, output: Output) -> Result<(), Failure> {
    rewrite(args, ExternalData::Auto, output, surgery::strip)
}

/// Writes a model with its weights in a file of their own, or in its own file.
pub(crate) fn store(args: &Rewrite, external_data: ExternalData, output: Output) -> Result<(), Failure> {
    rewrite(args, external_data, output, |_| ())
}

fn rewrite(
    args: &Rewrite,
    external_data: ExternalData,
    output: Output,
    change: impl Fn(&mut Model),
) -> Result<(), Failure> {
    expect_place("the output", &args.output)?;
    let mut model = model_io::read(&args.input, output)?;
    let inputs = Inputs::of_model(&args.input.model, &model);
    inputs.expect_other_output(&args.output, &args.input.model)?;
    change(&mut model);
    let summary = write(&model, &args.output, external_data, false, &inputs, output)?;
    output.report(&summary, || summary.text())
}

/// The file that tells what the parts of a model feed each other.
const MANIFEST: &str = "parts.json";

/// The version of the manifest's form.
const FORMAT: u32 = 1;

/// The largest manifest that is read.
const MAX_MANIFEST: u64 = 256 << 20;

/// The parts of a model, and how they are connected.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Manifest {
    /// The version of this form.
    format: u32,
    /// The parts in the order in which they run.
    parts: Vec<Part>,
    /// The inputs of the model, in the caller's order.
    inputs: Vec<String>,
    /// The outputs of the model, in the caller's order.
    outputs: Vec<String>,
    /// What `merge` needs to restore the model exactly; without it, the parts are connected in their order.
    #[serde(default)]
    restore: Restore,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Part {
    /// The file, beside the manifest.
    file: String,
    inputs: Vec<PartInput>,
    outputs: Vec<String>,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct PartInput {
    name: String,
    /// The file of the part whose output of this name feeds it; none if the caller does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    from: Option<String>,
}

#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Restore {
    /// Nodes that come earlier in the model than in the parts.
    moved: Vec<Place>,
    /// The exchanged values whose types the model declares.
    declared: Vec<String>,
    /// Whether the model declares the types of all values.
    types_values: bool,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Place {
    /// The first result of the node.
    node: String,
    /// The first result of the node that follows it; none at the end.
    before: Option<String>,
}

impl Manifest {
    fn new(parts: &[Summary], plan: Plan) -> Self {
        let file = |summary: &Summary| {
            summary.path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default()
        };
        let mut described: Vec<Part> = vec![];
        for part in parts {
            let source = |name: &String| {
                let from = described.iter().find(|earlier| earlier.outputs.contains(name));
                let from = from.filter(|_| !plan.inputs.contains(name)).map(|earlier| earlier.file.clone());
                PartInput { name: name.clone(), from }
            };
            let inputs = part.inputs.iter().map(source).collect();
            described.push(Part { file: file(part), inputs, outputs: part.outputs.clone() });
        }
        let moved = plan.moved.into_iter().map(|Moved { node, before }| Place { node, before }).collect();
        let restore = Restore { moved, declared: plan.declared, types_values: plan.types_values };
        Self { format: FORMAT, parts: described, inputs: plan.inputs, outputs: plan.outputs, restore }
    }

    fn read(path: &Path) -> Result<Self, Failure> {
        let text = files::read_text(path, MAX_MANIFEST).map_err(Failure::usage)?;
        let invalid = |what: String| {
            Misuse::Manifest.failure(format!(
                "{} is not a manifest of parts: {what}\n  help: name the file that `split` wrote",
                in_line(path)
            ))
        };
        let manifest: Self = serde_json::from_str(&text).map_err(|error| invalid(error.to_string()))?;
        if manifest.format != FORMAT {
            return Err(invalid(format!("its format is {}, but must be {FORMAT}", manifest.format)));
        }
        let is_plain = |file: &str| Path::new(file).file_name().is_some_and(|name| name == file);
        match manifest.parts.iter().find(|part| !is_plain(&part.file)) {
            Some(part) => Err(invalid(format!("{:?} is not a file beside it", part.file))),
            None => Ok(manifest),
        }
    }

    fn into_plan(self) -> Plan {
        let Restore { moved, declared, types_values } = self.restore;
        let moved = moved.into_iter().map(|Place { node, before }| Moved { node, before }).collect();
        Plan { inputs: self.inputs, outputs: self.outputs, moved, declared, types_values }
    }
}

pub(crate) fn split(args: &Split, output: Output) -> Result<(), Failure> {
    let is_new = expect_empty(&args.output)?;
    let model = model_io::read(&args.input, output)?;
    let inputs = Inputs::of_model(&args.input.model, &model);
    let cut = match args.size {
        Some(size) => Cut::Size(size),
        None => Cut::After(args.after.iter().map(|names| names.split(',').map(ToOwned::to_owned).collect()).collect()),
    };
    let split = surgery::split(&model, &cut).map_err(refused)?;
    files::create_folder(&args.output).map_err(Failure::usage)?;
    let written = write_parts(args, split, &inputs, output);
    if written.is_err() {
        // The folder held nothing before; the failure is reported whether or not it can be emptied.
        for file in files::entries(&args.output) {
            let _ = std::fs::remove_file(file);
        }
        if is_new {
            let _ = std::fs::remove_dir(&args.output);
        }
    }
    let summaries = written?;
    output.report(&summaries, || summaries.iter().map(|one| one.text() + "\n").collect())
}

/// Writes the parts and then the manifest, without which the folder is not complete.
fn write_parts(args: &Split, split: surgery::Split, inputs: &Inputs, output: Output) -> Result<Vec<Summary>, Failure> {
    let mut summaries = vec![];
    for (part, number) in split.parts.iter().zip(1..) {
        let path = args.output.join(format!("part-{number}.onnx"));
        summaries.push(write(part, &path, args.storage.external_data, false, inputs, output)?);
    }
    let manifest = Manifest::new(&summaries, split.plan);
    let text = serde_json::to_string_pretty(&manifest).map_err(io::Error::from)? + "\n";
    write_file(args.output.join(MANIFEST), text).map_err(Failure::usage)?;
    Ok(summaries)
}

/// Checks that a folder does not exist or is empty; returns whether it is new.
fn expect_empty(folder: &Path) -> Result<bool, Failure> {
    let refused = |what: String| {
        Misuse::Occupied.failure(format!("the output {} {what}\n  help: name a new folder", in_line(folder)))
    };
    match std::fs::read_dir(folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound && folder.symlink_metadata().is_err() => Ok(true),
        Err(error) => Err(refused(format!("is not a folder that can be read: {error}"))),
        Ok(mut entries) => match entries.next().transpose()? {
            Some(_) => Err(refused("is not empty".to_owned())),
            None => Ok(false),
        },
    }
}

/// Returns the manifest in a folder that `split` wrote.
fn expect_manifest(folder: &Path) -> Result<PathBuf, Failure> {
    let path = folder.join(MANIFEST);
    if path.is_file() {
        return Ok(path);
    }
    let name = in_line(folder);
    let models: Vec<String> = suggest::with_extensions(folder, &["onnx"]).iter().map(|path| in_line(path)).collect();
    let models = if models.len() < 2 { "FIRST.onnx SECOND.onnx".to_owned() } else { models.join(" ") };
    Err(Misuse::Path.failure(format!(
        "the folder {name} has no {MANIFEST}, which `split` writes beside the parts of a model\n  help: name a folder that \
         `split` wrote, or models in the order in which they run, such as {models}"
    )))
}

pub(crate) fn merge(args: &Merge, output: Output) -> Result<(), Failure> {
    expect_place("the output", &args.output)?;
    let path = match &args.models[..] {
        [path] if path.extension().is_some_and(|extension| extension == "json") => Some(path.clone()),
        [folder] if folder.is_dir() => Some(expect_manifest(folder)?),
        _ => None,
    };
    let manifest = path.map(|path| Ok::<_, Failure>((Manifest::read(&path)?, path))).transpose()?;
    let paths: Vec<PathBuf> = match &manifest {
        Some((manifest, path)) => manifest.parts.iter().map(|part| path.with_file_name(&part.file)).collect(),
        None => args.models.clone(),
    };
    if manifest.is_some() && !args.connect.is_empty() {
        let message = "--connect conflicts with a manifest, which connects the parts\n  help: leave out --connect";
        return Err(Misuse::Conflict.failure(message));
    }
    let mut inputs = Inputs::default();
    let mut models = vec![];
    for path in &paths {
        let model = model_io::read_at(path, &args.reading, output)?;
        inputs.add_model(path, &model);
        models.push(model);
    }
    inputs.expect_other_output(&args.output, Path::new(""))?;
    let plan = manifest.map(|(manifest, _)| manifest.into_plan());
    let ports: Vec<Ports> = models.iter().map(|model| Ports::new(&model.graph)).collect();
    let merged = surgery::merge(models, &pairs(&args.connect), plan.as_ref()).map_err(|error| match error {
        MergeError::Surgery(error) => refused(error),
        error => Failure::model(error),
    })?;
    if let Some(number) = merged.unconnected.first().filter(|_| plan.is_none() && !args.allow_unconnected) {
        return Err(unconnected(&paths, &ports, *number));
    }
    let mut summary = write(&merged.model, &args.output, args.storage.external_data, false, &inputs, output)?;
    summary.notes.extend(merged.notes);
    output.report(&summary, || summary.text())
}

/// The inputs and outputs of a model with their types.
struct Ports {
    inputs: Vec<(Name, ValueType)>,
    outputs: Vec<(Name, ValueType)>,
}

impl Ports {
    fn new(graph: &Graph) -> Self {
        let ty = |value| graph.fact(value).ty.clone();
        Self {
            inputs: graph.inputs().map(|input| (graph.value_name(input).clone(), ty(input))).collect(),
            outputs: graph.outputs().iter().map(|output| (output.name.clone(), ty(output.value))).collect(),
        }
    }
}

/// Returns the failure for a model, of this number from 1, that exchanges no values with the first one. The help connects
/// an output with an input of a type that fits, if there are such.
fn unconnected(paths: &[PathBuf], ports: &[Ports], number: usize) -> Failure {
    let (earlier, own) = ports.split_at(number.saturating_sub(1));
    let path = paths.get(number.saturating_sub(1)).map(|path| in_line(path)).unwrap_or_default();
    let inputs: Vec<_> = own.iter().take(1).flat_map(|ports| &ports.inputs).collect();
    let outputs: Vec<_> = earlier.iter().flat_map(|ports| &ports.outputs).collect();
    let pairs = outputs.iter().flat_map(|output| inputs.iter().map(move |input| (output, input)));
    let fit = pairs.into_iter().find(|((_, from), (_, to))| !to.contradicts(from));
    let example = fit.map_or_else(String::new, |((from, _), (to, _))| format!(", such as --connect {from}={to}"));
    let names = |ports: &[&(Name, ValueType)]| {
        let names: Vec<&str> = ports.iter().map(|(name, _)| &**name).collect();
        if names.is_empty() { "none".to_owned() } else { listed(&names) }
    };
    Failure::model_with(
        Code::Unmerged,
        format!(
            "model {number}, {path}, exchanges no values with the models before it: its inputs are {}, and their outputs are \
             {}\n  help: connect them by --connect OUT=IN{example}; --allow-unconnected writes them side by side",
            names(&inputs),
            names(&outputs)
        ),
    )
}
