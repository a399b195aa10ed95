//! Lists the families of models that `build` supports, and what it would build from a configuration.

use crate::build::{failed, warn_of_own_classes};
use crate::failure::Failure;
use crate::output::{Output, columns, thousands};
use crate::suggest::hub_id;
use netwright::files::FileError;
use netwright::ir::{Graph, Op, Value};
use netwright::nn::families::{FAMILIES, Family, TESTED_AGAINST};
use netwright::nn::{Pretrained, PretrainedOptions, Settings, Task};
use serde::Serialize;
use std::collections::BTreeMap;
use std::path::Path;

/// A row of the list of families.
#[derive(Serialize)]
struct FamilyRow {
    name: &'static str,
    model_types: &'static [&'static str],
    architectures: Vec<&'static str>,
    tasks: Vec<&'static str>,
    /// Whether `--with-past` gives its decoders a KV cache.
    cache: bool,
    /// A model on the Hugging Face Hub.
    example: Option<&'static str>,
    tested_against: String,
    /// The tests.
    tested_in: &'static str,
}

impl FamilyRow {
    fn new(family: &Family) -> Self {
        let mut architectures: Vec<&str> = family.architectures.iter().map(|(name, _)| *name).collect();
        architectures.dedup();
        // The paper's own model is compared with PyTorch, not with transformers.
        let is_own = family.model_types.contains(&"transformer");
        let tested_against = if is_own { "PyTorch".to_owned() } else { format!("transformers {TESTED_AGAINST}") };
        let generates = |task: &Task| {
            matches!(task, Task::TextGeneration | Task::Text2TextGeneration | Task::AutomaticSpeechRecognition)
        };
        Self {
            name: family.name,
            model_types: family.model_types,
            architectures,
            tasks: family.tasks().into_iter().map(Task::name).collect(),
            cache: !is_own && family.tasks().iter().any(generates),
            example: family.example,
            tested_against,
            tested_in: if is_own { "tests/transformer.rs" } else { "tests/families.rs" },
        }
    }
}

/// Lists the families of models.
pub(crate) fn run(output: Output) -> Result<(), Failure> {
    let families: Vec<FamilyRow> = FAMILIES.iter().map(FamilyRow::new).collect();
    output.report(&families, || {
        let head = ["family", "model_type", "cache", "example", "tasks", "tested against", "in"].map(ToOwned::to_owned);
        let row = |family: &FamilyRow| {
            [
                family.name.to_owned(),
                family.model_types.join(", "),
                if family.cache { "yes" } else { "no" }.to_owned(),
                family.example.unwrap_or("-").to_owned(),
                family.tasks.join(", "),
                family.tested_against.clone(),
                family.tested_in.to_owned(),
            ]
        };
        let rows: Vec<_> = std::iter::once(head).chain(families.iter().map(row)).collect();
        if output.verbose {
            return columns(&rows);
        }
        let short: Vec<[String; 4]> =
            rows.into_iter().map(|[name, types, cache, example, ..]| [name, types, cache, example]).collect();
        columns(&short) + "-v adds the tasks and the tests\n"
    })
}

/// The model of a configuration.
#[derive(Serialize)]
struct Plan {
    model_type: String,
    family: Option<&'static str>,
    task: &'static str,
    parameters: u64,
    graphs: Vec<PlannedGraph>,
}

/// A graph of a model, which `build` writes to a file.
#[derive(Serialize)]
struct PlannedGraph {
    part: &'static str,
    inputs: Vec<String>,
    outputs: Vec<String>,
}

const NAME_CONFIG: &str = "name a config.json, or a folder that has one";

/// Checks that a configuration exists; the help says what a name may mean instead.
fn expect_config(config: &Path) -> Result<(), Failure> {
    let file = config.join("config.json");
    if config.is_dir() && file.symlink_metadata().is_err() {
        return Err(Failure::usage(FileError::NotFound { path: file }).with_help(Some(NAME_CONFIG)));
    }
    if config.symlink_metadata().is_ok() || config.ends_with("config.json") {
        return Ok(());
    }
    let word = config.to_string_lossy();
    let help = match (FAMILIES.iter().find(|family| family.model_types.contains(&&*word)), hub_id(&word)) {
        (Some(family), _) => format!("{word} is a family, {}; leave out --for to list all families", family.name),
        (None, Some(id)) => {
            let folder = id.rsplit('/').next().unwrap_or(id);
            format!(
                "download the configuration: `hf download {id} config.json --local-dir {folder}`, then name {folder}"
            )
        }
        (None, None) => NAME_CONFIG.to_owned(),
    };
    Err(Failure::usage(FileError::NotFound { path: config.to_owned() }).with_help(Some(&help)))
}

/// Shows what `build` would build from a configuration, without weights, or fails as it would.
pub(crate) fn plan(config: &Path, task: Option<Task>, output: Output) -> Result<(), Failure> {
    expect_config(config)?;
    let config = if config.is_dir() { config.join("config.json") } else { config.to_owned() };
    let options = PretrainedOptions::default();
    let options = task.map_or_else(|| options.clone(), |task| options.clone().with_task(task));
    let settings = Settings::open(&config).map_err(|error| failed(error.into()))?;
    let model = Pretrained::from_settings(&settings, &options).map_err(failed)?;
    warn_of_own_classes(&model, output)?;
    let family = FAMILIES.iter().find(|family| family.model_types.contains(&settings.model_type()));
    let mut plan = Plan {
        model_type: settings.model_type().to_owned(),
        family: family.map(|family| family.name),
        task: model.task.name(),
        parameters: 0,
        graphs: vec![],
    };
    let mut parameters = BTreeMap::new();
    for part in model.parts() {
        let graph = model.build(*part, false).map_err(Failure::model)?;
        // Graphs share tables.
        parameters.extend(sizes(&graph));
        let typed = |value| format!("{} {}", graph.value_name(value), graph.fact(value));
        plan.graphs.push(PlannedGraph {
            part: part.name(),
            inputs: graph.inputs().map(typed).collect(),
            outputs: graph
                .outputs()
                .iter()
                .map(|output| format!("{} {}", output.name, graph.fact(output.value)))
                .collect(),
        });
    }
    plan.parameters = parameters.values().sum();
    output.report(&plan, || {
        let graphs = plan.graphs.iter().map(|graph| {
            format!("{}\n  inputs: {}\n  outputs: {}\n", graph.part, graph.inputs.join(", "), graph.outputs.join(", "))
        });
        format!(
            "{} for {}, {} parameters\n{}",
            plan.family.unwrap_or("a model"),
            plan.task,
            thousands(plan.parameters),
            graphs.collect::<String>()
        )
    })
}

/// Returns the number of elements of each parameter of a graph.
fn sizes(graph: &Graph) -> BTreeMap<String, u64> {
    let size = |node| match graph.node(node).op() {
        Op::Parameter(tensor) => {
            let name = graph.value_name(Value { node, result: 0 }).to_string();
            Some((name, tensor.dims().iter().product()))
        }
        _ => None,
    };
    graph.schedule().into_iter().filter_map(size).collect()
}
