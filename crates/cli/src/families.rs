//! Lists the families of models that `build` supports, and what it would build from a configuration.

use crate::build::failed;
use crate::failure::Failure;
use crate::output::{Output, thousands};
use netwright::ir::{Graph, Op, Value};
use netwright::nn::families::{FAMILIES, Family, TESTED_AGAINST};
use netwright::nn::{Pretrained, PretrainedOptions, Settings, Task};
use serde::Serialize;
use std::collections::BTreeMap;
use std::path::Path;

/// A model of each family on the Hugging Face Hub, by the first model type of the family.
const EXAMPLES: [(&str, &str); 44] = [
    ("albert", "albert/albert-base-v2"),
    ("bart", "facebook/bart-base"),
    ("bert", "google-bert/bert-base-uncased"),
    ("blenderbot", "facebook/blenderbot-400M-distill"),
    ("clip", "openai/clip-vit-base-patch32"),
    ("cohere", "CohereForAI/c4ai-command-r-v01"),
    ("cohere2", "CohereForAI/c4ai-command-r7b-12-2024"),
    ("deberta-v2", "microsoft/deberta-v3-base"),
    ("distilbert", "distilbert/distilbert-base-uncased"),
    ("electra", "google/electra-small-generator"),
    ("exaone4", "LGAI-EXAONE/EXAONE-4.0-1.2B"),
    ("falcon", "tiiuae/falcon-7b"),
    ("gemma", "google/gemma-2b"),
    ("gemma2", "google/gemma-2-2b"),
    ("gemma3_text", "google/gemma-3-1b-it"),
    ("gpt2", "openai-community/gpt2"),
    ("gpt_neox", "EleutherAI/pythia-70m"),
    ("gptj", "EleutherAI/gpt-j-6b"),
    ("granite", "ibm-granite/granite-3.3-2b-instruct"),
    ("layoutlm", "microsoft/layoutlm-base-uncased"),
    ("llama", "HuggingFaceTB/SmolLM2-135M"),
    ("longt5", "google/long-t5-local-base"),
    ("m2m_100", "facebook/nllb-200-distilled-600M"),
    ("marian", "Helsinki-NLP/opus-mt-en-de"),
    ("mbart", "facebook/mbart-large-50-many-to-many-mmt"),
    ("mistral", "mistralai/Mistral-7B-v0.1"),
    ("mpnet", "sentence-transformers/all-mpnet-base-v2"),
    ("mt5", "google/mt5-small"),
    ("olmo", "allenai/OLMo-1B-hf"),
    ("olmo2", "allenai/OLMo-2-0425-1B"),
    ("olmo3", "allenai/Olmo-3-7B-Instruct"),
    ("pegasus", "google/pegasus-xsum"),
    ("phi", "microsoft/phi-2"),
    ("phi3", "microsoft/Phi-3-mini-4k-instruct"),
    ("qwen2", "Qwen/Qwen2.5-0.5B"),
    ("qwen3", "Qwen/Qwen3-0.6B"),
    ("roberta", "FacebookAI/xlm-roberta-base"),
    ("smollm3", "HuggingFaceTB/SmolLM3-3B"),
    ("stablelm", "stabilityai/stablelm-2-1_6b"),
    ("starcoder2", "bigcode/starcoder2-3b"),
    ("t5", "google/flan-t5-small"),
    ("umt5", "google/umt5-small"),
    ("vit", "google/vit-base-patch16-224"),
    ("whisper", "openai/whisper-tiny"),
];

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
        let example = EXAMPLES.iter().find(|(model_type, _)| family.model_types.first() == Some(model_type));
        Self {
            name: family.name,
            model_types: family.model_types,
            architectures,
            tasks: family.tasks().into_iter().map(Task::name).collect(),
            cache: !is_own && family.tasks().iter().any(generates),
            example: example.map(|(_, example)| *example),
            tested_against,
            tested_in: if is_own { "tests/transformer.rs" } else { "tests/families.rs" },
        }
    }
}

/// Lists the families of models.
pub(crate) fn run(output: Output) -> Result<(), Failure> {
    let families: Vec<FamilyRow> = FAMILIES.iter().map(FamilyRow::new).collect();
    output.report(&families, || {
        let head = ["family", "model_type", "cache", "example", "tested against", "tested in", "tasks"];
        let row = |family: &FamilyRow| {
            [
                family.name.to_owned(),
                family.model_types.join(", "),
                if family.cache { "yes" } else { "no" }.to_owned(),
                family.example.unwrap_or("-").to_owned(),
                family.tested_against.clone(),
                family.tested_in.to_owned(),
                family.tasks.join(", "),
            ]
        };
        let rows: Vec<[String; 7]> =
            std::iter::once(head.map(ToOwned::to_owned)).chain(families.iter().map(row)).collect();
        let width = |column: usize| rows.iter().map(|row| row[column].len()).max().unwrap_or_default();
        let widths: Vec<usize> = (0..head.len()).map(width).collect();
        let line = |row: &[String; 7]| {
            let cells = row.iter().zip(&widths).map(|(cell, width)| format!("{cell:<width$}"));
            format!("{}\n", cells.collect::<Vec<_>>().join("  ").trim_end())
        };
        rows.iter().map(line).collect()
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

/// Shows what `build` would build from a configuration, without weights, or fails as it would.
pub(crate) fn plan(config: &Path, task: Option<Task>, output: Output) -> Result<(), Failure> {
    let config = if config.is_dir() { config.join("config.json") } else { config.to_owned() };
    let options = PretrainedOptions::default();
    let options = task.map_or_else(|| options.clone(), |task| options.clone().with_task(task));
    let settings = Settings::open(&config).map_err(|error| failed(error.into()))?;
    let model = Pretrained::from_settings(&settings, &options).map_err(failed)?;
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
