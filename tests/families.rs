//! Models built from folders of Hugging Face (`tests/families`), in tract, beside what PyTorch computed.
//! `tests/interop/make_families.py` makes the folders; `tests/interop/families.py` judges them in ONNX Runtime.

#[expect(dead_code, reason = "its main prints")]
#[path = "../examples/add_a_family.rs"]
mod add_a_family;
mod common;

use common::floats;
use common::folders::{TOLERANCE, Values, cases, difference, folders, root, run, session};
use netwright::ir::{ElementType, Model};
use netwright::nn::families::{FAMILIES, Family, TESTED_AGAINST};
use netwright::nn::{OpenError, Part, Pretrained, PretrainedOptions, Settings, Task, WeightError};
use netwright::onnx;
use netwright::passes::Target;
use netwright::verify::{Array, Session};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use tempfile::TempDir;

/// Decoders without steps: their rotary frequencies follow from the length so far, so that keys of earlier steps were
/// turned by others, or their tokens see later ones.
const WITHOUT_STEPS: [&str; 4] = ["gemma3_base", "llama_dynamic", "phi3", "phi3_base"];

fn name(folder: &Path) -> &str {
    folder.file_name().and_then(|name| name.to_str()).expect("UTF-8")
}

fn family(folder: &Path) -> &'static Family {
    let settings = Settings::open(folder.join("config.json")).expect("a configuration");
    let version = settings.word("transformers_version").expect("a word");
    assert_eq!(version, Some(TESTED_AGAINST), "{}", folder.display());
    let known = FAMILIES.iter().find(|family| family.model_types.contains(&settings.model_type()));
    known.unwrap_or_else(|| panic!("{} is of no family", folder.display()))
}

fn open(folder: &Path, with_past: bool) -> Pretrained {
    let families = vec![add_a_family::OPENAI_GPT];
    Pretrained::open(folder, &PretrainedOptions::default().with_past(with_past).with_families(families))
        .unwrap_or_else(|error| panic!("{}: {error}", folder.display()))
}

/// The columns from `first` up to `last` of whole numbers `[batch, seq]`.
fn columns(ids: &Array, first: usize, last: usize) -> Array {
    let &[batch, length] = ids.shape() else { panic!("two axes") };
    let all = ids.values::<i64>().expect("whole numbers");
    let part: Vec<i64> = all.chunks(length).flat_map(|row| row[first..last].to_vec()).collect();
    Array::new([batch, last - first], part).expect("the shape fits")
}

/// Rows `[batch, seq, ..]` of steps, put together.
fn joined(pieces: &[Array]) -> Array {
    let [batch, _, width] = pieces[0].shape() else { panic!("three axes") };
    let seq = pieces.iter().map(|piece| piece.shape()[1]).sum();
    let mut all = vec![];
    for at in 0..*batch {
        for piece in pieces {
            let row = piece.shape()[1] * width;
            all.extend_from_slice(&floats(piece)[at * row..(at + 1) * row]);
        }
    }
    Array::new([*batch, seq, *width], all).expect("the shape fits")
}

fn present_to_past(found: &Values) -> Values {
    let present = found.iter().filter_map(|(name, array)| Some((name.strip_prefix("present")?, array)));
    present.map(|(name, array)| (format!("past_key_values{name}"), array.clone())).collect()
}

/// A prompt, and three steps of one token each: first and last column of each.
fn steps(length: usize) -> Vec<(usize, usize)> {
    let prompt = length.saturating_sub(3).max(1);
    std::iter::once((0, prompt)).chain((prompt..length).map(|at| (at, at + 1))).collect()
}

/// What a decoder gives that is given its tokens in steps.
fn in_steps(session: &Session, values: &Values, output: &str) -> Values {
    let mut cache: Values = BTreeMap::new();
    for port in session.inputs().iter().filter(|port| port.name.starts_with("past_key_values")) {
        let shape = port.ty.as_ref().and_then(|ty| ty.shape.as_ref()).expect("a shape");
        let known = |axis: usize| shape[axis].known().expect("a size");
        let size = |axis| usize::try_from(known(axis)).expect("a small size");
        let shape = [values["input_ids"].shape()[0], size(1), 0, size(3)];
        cache.insert(port.name.clone(), Array::new(shape, Vec::<f32>::new()).expect("an empty past"));
    }
    let mut pieces = vec![];
    for (first, last) in steps(values["input_ids"].shape()[1]) {
        let mut step = cache;
        step.insert("attention_mask".to_owned(), columns(&values["attention_mask"], 0, last));
        for name in ["input_ids", "position_ids"] {
            step.insert(name.to_owned(), columns(&values[name], first, last));
        }
        let found = run(session, &step);
        cache = present_to_past(&found);
        pieces.push(found[output].clone());
    }
    BTreeMap::from([(output.to_owned(), joined(&pieces))])
}

/// What encoder and decoder give, each a graph of its own, in steps where there is a decoder for later ones.
fn in_parts(parts: &[Session], values: &Values) -> Values {
    let mut source = values.clone();
    let ids = source.remove("decoder_input_ids").expect("a target");
    let memory = run(&parts[0], &source).remove("last_hidden_state").expect("the memory");
    let mask = values.get("attention_mask").map(|mask| ("encoder_attention_mask".to_owned(), mask.clone()));
    let steps = if parts.len() == 3 { steps(ids.shape()[1]) } else { vec![(0, ids.shape()[1])] };
    let mut cache: Values = BTreeMap::new();
    let mut pieces = vec![];
    for (first, last) in steps {
        let mut step: Values = mask.clone().into_iter().collect();
        step.insert("input_ids".to_owned(), columns(&ids, first, last));
        if first == 0 {
            step.insert("encoder_hidden_states".to_owned(), memory.clone());
        }
        step.extend(cache.clone());
        let found = run(&parts[if first == 0 { 1 } else { 2 }], &step);
        cache.extend(present_to_past(&found));
        pieces.push(found["logits"].clone());
    }
    BTreeMap::from([("logits".to_owned(), joined(&pieces))])
}

/// The largest difference of a folder, built in one way.
fn judge(folder: &Path, target: Option<Target>) -> f32 {
    let what = format!("{} for {:?}", name(folder), target.map(|target| target.name));
    let cases = cases(folder);
    assert_eq!(cases.len(), 3, "{what}");
    let compare = |of: &dyn Fn(&Values) -> Values| {
        let differences = cases
            .iter()
            .map(|[values, expected]| difference(&of(values), expected, values.get("attention_mask"), &what));
        let largest = differences.fold(0.0, f32::max);
        assert!(largest <= TOLERANCE, "{what}: differs by {largest}");
        largest
    };
    let model = open(folder, false);
    let whole = session(&model, Part::Whole, target);
    let mut largest = compare(&|values| run(&whole, values));
    if model.is_encoder_decoder() {
        for with_past in [false, true] {
            let model = open(folder, with_past);
            let parts: Vec<Session> = model.parts().iter().map(|part| session(&model, *part, target)).collect();
            largest = largest.max(compare(&|values| in_parts(&parts, values)));
        }
    }
    let is_decoder = cases[0][0].contains_key("position_ids");
    let output = ["logits", "last_hidden_state"].into_iter().find(|name| cases[0][1].contains_key(*name));
    let has_past = matches!(model.task, Task::TextGeneration | Task::FeatureExtraction);
    if let Some(output) = output.filter(|_| is_decoder && has_past && !WITHOUT_STEPS.contains(&name(folder))) {
        let later = session(&open(folder, true), Part::Whole, target);
        largest = largest.max(compare(&|values| in_steps(&later, values, output)));
    }
    largest
}

/// As declared and as optimized, whole, in parts, and in steps; docs/families.md has the differences.
#[test]
fn every_folder_equals_pytorch_in_tract() {
    let folders = folders();
    let mut differences: BTreeMap<&str, f32> = BTreeMap::new();
    // Two halves, since most of the time is tract's.
    let halves: Vec<Vec<(&'static str, f32)>> = std::thread::scope(|scope| {
        let (left, right) = folders.split_at(folders.len() / 2);
        let half = |half: &[PathBuf]| -> Vec<(&'static str, f32)> {
            let one =
                |folder: &PathBuf| (family(folder).name, judge(folder, None).max(judge(folder, Some(Target::TRACT))));
            half.iter().map(one).collect()
        };
        let left = scope.spawn(move || half(left));
        let right = half(right);
        vec![left.join().expect("the other half"), right]
    });
    for (family, difference) in halves.concat() {
        let largest = differences.entry(family).or_default();
        *largest = largest.max(difference);
    }
    let rows = FAMILIES.iter().filter(|family| !family.model_types.contains(&"transformer")).map(|family| {
        let difference = differences.get(family.name).unwrap_or_else(|| panic!("{} is not tested", family.name));
        let types: Vec<String> = family.model_types.iter().map(|name| format!("`{name}`")).collect();
        let tasks: Vec<&str> = family.tasks().into_iter().map(Task::name).collect();
        (format!("| {} | {} | {} | ", family.name, types.join(", "), tasks.join(", ")), *difference)
    });
    check_families_page(&rows.collect::<Vec<_>>());
}

/// Folders as they are published (`tests/interop/make_published.py`): options that are absent have the values that they
/// have in transformers, tables that are not tied are several, `text_config_dict` replaces `text_config`, norms have their
/// older names, heads for other tasks are left out, and options that say what is true anyway are read.
#[test]
fn published_folders_equal_pytorch() {
    let folders = std::fs::read_dir(root().with_file_name("published")).expect("the folders are there");
    for folder in folders.map(|entry| entry.expect("an entry").path()) {
        for target in [None, Some(Target::TRACT)] {
            judge(&folder, target);
        }
    }
}

/// An option that is ignored is taken for absent, even one that the family reads.
#[test]
fn an_ignored_option_is_absent() {
    let folder = TempDir::new().expect("a folder");
    let text = std::fs::read_to_string(root().join("llama/config.json")).expect("the configuration");
    let text = text.replacen('{', "{ \"partial_rotary_factor\": 0.5,", 1);
    std::fs::write(folder.path().join("config.json"), text).expect("it is written");
    std::fs::copy(root().join("llama/model.safetensors"), folder.path().join("model.safetensors")).expect("a copy");
    let ignored_options = vec!["partial_rotary_factor".to_owned()];
    let options = PretrainedOptions::default().with_ignored_options(ignored_options);
    assert!(Pretrained::open(folder.path(), &PretrainedOptions::default()).is_err());
    assert!(Pretrained::open(folder.path(), &options).is_ok());
}

/// In Gemma, `gelu` is the approximation, and no other name of the exact function is.
#[test]
fn gelu_of_gemma_is_approximate() {
    let text = std::fs::read_to_string(root().join("gemma/config.json")).expect("the configuration");
    for (activation, is_approximate) in [("gelu", true), ("gelu_pytorch_tanh", true), ("gelu_python", false)] {
        let text = text.replace("\"gelu_pytorch_tanh\"", &format!("\"{activation}\""));
        let settings = Settings::parse("config.json", &text).expect("JSON");
        let model = Pretrained::from_settings(&settings, &PretrainedOptions::default()).expect("a model");
        let graph = model.build(Part::Whole, false).expect("a graph").to_string();
        assert!(graph.contains(" gelu "), "{graph}");
        assert_eq!(graph.contains("tanh"), is_approximate, "{activation}: {graph}");
    }
}

/// The family of the example is one as the others are.
#[test]
fn an_added_family_equals_pytorch() {
    let folder = root().join("../../examples/openai_gpt");
    for target in [None, Some(Target::ONNX), Some(Target::TRACT), Some(Target::ORT)] {
        judge(&folder, target);
    }
}

/// Checks that docs/families.md has the table of families, and writes it there with `INSTA_UPDATE=always`. The last
/// digits of a difference depend on the machine, so a difference may be up to four times as large as the page says.
fn check_families_page(rows: &[(String, f32)]) {
    const HEAD: &str = "| family | `model_type` | tasks | largest difference |\n| --- | --- | --- | --- |\n";
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/families.md");
    let page = std::fs::read_to_string(&path).expect("the page is read");
    let start = page.find(HEAD).expect("the page has a table of families");
    let end = page[start..].find("\n\n").map_or(page.len(), |end| start + end + 1);
    let lines: Vec<&str> = page[start + HEAD.len()..end].lines().collect();
    let holds = |(line, (row, difference)): (&&str, &(String, f32))| {
        let rest = line.strip_prefix(row.as_str()).and_then(|rest| rest.strip_suffix(" |"));
        rest.and_then(|written| written.parse::<f32>().ok()).is_some_and(|written| *difference <= 4.0 * written)
    };
    if lines.len() == rows.len() && lines.iter().zip(rows).all(holds) {
        return;
    }
    let table: String = rows.iter().map(|(row, difference)| format!("{row}{difference:.0e} |\n")).collect();
    assert!(
        std::env::var_os("INSTA_UPDATE").is_some_and(|update| update == "always"),
        "docs/families.md lacks the table\n{HEAD}{table}"
    );
    std::fs::write(path, format!("{}{HEAD}{table}{}", &page[..start], &page[end..])).expect("the page is written");
}

/// Weights are converted while they are written, and what half precision computes is near.
#[test]
fn half_precision_is_near() {
    for folder in ["bert", "gpt2", "llama", "gemma2", "t5_encoder"].map(|name| root().join(name)) {
        for dtype in [ElementType::F16, ElementType::BF16] {
            let options = PretrainedOptions::default().with_dtype(dtype);
            let model = Pretrained::open(&folder, &options).unwrap_or_else(|error| panic!("{error}"));
            let graph = model.build(Part::Whole, false).unwrap_or_else(|errors| panic!("{errors}"));
            for output in graph.outputs() {
                assert_eq!(graph.fact(output.value).element(), Some(dtype), "{folder:?}: {}", output.name);
            }
            // tract does not read bf16.
            if dtype == ElementType::F16 {
                let session = session(&model, Part::Whole, None);
                for [values, expected] in cases(&folder) {
                    let found = run(&session, &values).into_iter().map(|(name, array)| (name, to_f32(&array)));
                    let largest = difference(&found.collect(), &expected, values.get("attention_mask"), "f16");
                    assert!((1e-5..0.06).contains(&largest), "{folder:?}: differs by {largest}");
                }
            }
        }
    }
}

#[expect(clippy::cast_possible_truncation, reason = "they were f16")]
fn to_f32(array: &Array) -> Array {
    let floats: Vec<f32> = array.any().floats().expect("floats").into_iter().map(|float| float as f32).collect();
    Array::new(array.shape().to_vec(), floats).expect("the shape is its own")
}

/// Each names the file, the option or the weight, and the law.
#[test]
fn what_is_no_model_is_an_error() {
    let folder = TempDir::new().expect("a folder");
    let at = folder.path();
    let copy = |from: &str| {
        for name in ["config.json", "model.safetensors"] {
            std::fs::copy(root().join(from).join(name), at.join(name)).expect("it is copied");
        }
    };
    let config = |from: &str, option: &str, value: &str| {
        copy(from);
        let text = std::fs::read_to_string(at.join("config.json")).expect("the configuration");
        let mut config: serde_json::Value = serde_json::from_str(&text).expect("JSON");
        let value = serde_json::from_str(value).expect("JSON");
        config.as_object_mut().expect("an object").insert(option.to_owned(), value);
        std::fs::write(at.join("config.json"), config.to_string()).expect("it is written");
    };
    let mut told = String::new();
    let mut tell = |what: &str| {
        let error = match Pretrained::open(at, &PretrainedOptions::default()) {
            Ok(_) => panic!("{what} is no error"),
            Err(error) => error.to_string().replace(at.to_str().expect("UTF-8"), "DIR"),
        };
        let lines: Vec<&str> = std::iter::once(what).chain(error.lines().take(4)).collect();
        told = format!("{told}{}\n", lines.join("\n  "));
    };
    for (from, option, value) in [
        ("llama", "partial_rotary_factor", "0.5"),
        ("gpt_neox", "rope_theta", "7.0"),
        ("bert", "hidden_size", "0"),
        ("bert", "hidden_size", "1e18"),
        ("bert", "hidden_size", "-16"),
        ("bert", "hidden_size", "null"),
        ("bert", "layer_norm_eps", "\"NaN\""),
        ("bert", "num_attention_heads", "3"),
        ("bert", "num_hidden_layers", "4000000000"),
        ("bert", "num_hidden_layers", "3"),
        ("bert", "num_hidden_layers", "1"),
        ("bert", "vocab_size", "1000000"),
        ("bert", "position_embedding_type", "\"relative_key\""),
        ("bert", "is_decoder", "true"),
        ("bert", "hidden_act", "\"cosine\""),
        ("bert", "shrink_every_layer", "0.5"),
        ("bert", "quantization_config", "{\"bits\": 4}"),
        ("bert", "model_type", "\"bort\""),
        ("bert", "model_type", "\"longformer\""),
        ("bert", "architectures", "[\"BertForMultipleChoice\"]"),
        ("llama", "num_key_value_heads", "3"),
        ("llama", "rope_parameters", "{\"rope_type\": \"spiral\", \"rope_theta\": 1e4}"),
        ("llama", "rope_parameters", "{\"rope_type\": \"linear\", \"rope_theta\": 1e4, \"factor\": 0}"),
        ("llama", "rope_parameters", "{\"rope_type\": \"default\", \"twist\": 2}"),
        ("phi3", "rope_parameters", "{\"rope_type\": \"longrope\", \"short_factor\": [1], \"long_factor\": [1]}"),
        ("gemma2", "layer_types", "[\"full_attention\"]"),
        ("mistral", "layer_types", "[\"sliding_attention\", \"full_attention\"]"),
        ("gpt_neo", "attention_types", "[[[\"global\"], 3]]"),
        ("gpt_neo", "attention_layers", "[\"local\", \"local\"]"),
        ("gpt_neo", "attention_types", "[[[\"global\", \"near\"], 1]]"),
        ("gpt_neo", "attention_types", "[[[], 1000000000000000000]]"),
        ("deberta", "talking_head", "true"),
        ("t5", "feed_forward_proj", "\"gated-relu6\""),
        ("t5", "relative_attention_num_buckets", "1"),
        ("marian", "share_encoder_decoder_embeddings", "false"),
        ("whisper", "use_weighted_layer_sum", "true"),
        ("vit", "patch_size", "9"),
        ("vit", "image_size", "[6, 8]"),
        ("clip", "text_config", "null"),
        ("modernbert", "classifier_pooling", "\"last\""),
        ("modernbert", "rope_scaling", "{\"rope_type\": \"linear\", \"factor\": 2.0}"),
        ("nomic_bert", "n_embd", "32"),
        ("nomic_bert", "num_experts", "8"),
        ("gte", "rope_scaling", "{\"type\": \"ntk\", \"factor\": 2.0}"),
        ("esm", "position_embedding_type", "\"absolute\""),
        ("bloom", "apply_residual_connection_post_layernorm", "true"),
        ("mpt", "attn_config", "{\"alibi\": false}"),
        ("m2m_100", "max_position_embeddings", "1000000"),
    ] {
        config(from, option, value);
        // A table of waves may have any length: it takes no memory.
        if option == "max_position_embeddings" {
            assert!(Pretrained::open(at, &PretrainedOptions::default()).is_ok());
            continue;
        }
        tell(&format!("{from}: {option} = {value}"));
    }
    copy("bert");
    let weights = std::fs::read(at.join("model.safetensors")).expect("the weights");
    for (what, bytes) in [
        ("weights cut short", weights[..weights.len() - 100].to_vec()),
        ("no weights", vec![]),
        ("a header of a petabyte", [&(1_u64 << 50).to_le_bytes()[..], &weights[8..]].concat()),
        ("a header that is no JSON", [&weights[..8], b"!", &weights[9..]].concat()),
        ("weights that overlap", replaced(&weights, "\"data_offsets\":[2", "\"data_offsets\":[1")),
        ("weights of another type", replaced(&weights, "\"F32\"", "\"I32\"")),
    ] {
        std::fs::write(at.join("model.safetensors"), bytes).expect("it is written");
        tell(what);
    }
    std::fs::remove_file(at.join("model.safetensors")).expect("it is removed");
    tell("no weights at all");
    for (what, file) in [
        ("weights in another format", "tf_model.h5"),
        ("a shard without its index", "model-00001-of-00002.safetensors"),
        ("an adapter beside a configuration", "adapter_model.safetensors"),
        ("another name", "model.fp16.safetensors"),
    ] {
        std::fs::write(at.join(file), []).expect("it is written");
        tell(what);
        std::fs::remove_file(at.join(file)).expect("it is removed");
    }
    let pointer = "version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 8\n";
    for file in ["pytorch_model.bin", "model.safetensors"] {
        std::fs::write(at.join(file), pointer).expect("it is written");
        tell("a pointer of Git LFS");
        std::fs::remove_file(at.join(file)).expect("it is removed");
    }
    std::fs::write(at.join("pytorch_model.bin"), b"pickle").expect("it is written");
    tell("no archive");
    std::fs::remove_file(at.join("pytorch_model.bin")).expect("it is removed");
    let index = at.join("model.safetensors.index.json");
    for (what, text) in [
        ("a shard that is not there", "{\"weight_map\": {\"a\": \"model-1.safetensors\"}}"),
        ("an index that names itself", "{\"weight_map\": {\"a\": \"model.safetensors.index.json\"}}"),
        ("a shard elsewhere", "{\"weight_map\": {\"a\": \"../model.safetensors\"}}"),
        ("an index of no weights", "{\"weight_map\": []}"),
        ("an index that is none", "{}"),
    ] {
        std::fs::write(&index, text).expect("it is written");
        tell(what);
    }
    std::fs::remove_file(at.join("config.json")).expect("it is removed");
    std::fs::write(at.join("adapter_config.json"), "{}").expect("it is written");
    tell("an adapter");
    common::snapshot("families", "mistakes", &told);
}

/// Configurations of known models, as they were saved with versions of before, are understood to the last option.
#[test]
fn configurations_of_before() {
    let folder = TempDir::new().expect("a folder");
    let header = b"{}      ";
    let empty = [&(header.len() as u64).to_le_bytes()[..], header].concat();
    std::fs::write(folder.path().join("model.safetensors"), empty).expect("it is written");
    let configurations = std::fs::read_dir(root().with_file_name("configurations")).expect("they are there");
    let (mut seen, mut wrong) = (0, vec![]);
    for configuration in configurations.map(|entry| entry.expect("an entry").path()) {
        std::fs::copy(&configuration, folder.path().join("config.json")).expect("it is copied");
        let name = name(&configuration);
        // Nothing but the weights is missing.
        match Pretrained::open(folder.path(), &PretrainedOptions::default()) {
            Err(OpenError::Weights(WeightError::Misfit { problems, .. })) => {
                let is_missing = |problem: &WeightError| matches!(problem, WeightError::Missing { .. });
                if problems.len() <= 10 || !problems.iter().all(is_missing) {
                    wrong.push(format!("{name}: {} weights are wrong", problems.len()));
                }
            }
            Err(error) => wrong.push(format!("{name}: {error}")),
            Ok(_) => wrong.push(format!("{name}: there are no weights")),
        }
        seen += 1;
    }
    assert!(seen > 60);
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// The first place of a text in bytes, replaced; as long as before, so that the header's length stays true.
fn replaced(bytes: &[u8], old: &str, new: &str) -> Vec<u8> {
    let at = bytes.windows(old.len()).position(|part| part == old.as_bytes()).expect("it is there");
    let mut replaced = bytes.to_vec();
    replaced[at..at + new.len()].copy_from_slice(new.as_bytes());
    replaced
}

/// Shards are one model.
#[test]
fn shards_are_one_model() {
    let folder = TempDir::new().expect("a folder");
    let at = folder.path();
    let from = root().join("bert");
    std::fs::copy(from.join("config.json"), at.join("config.json")).expect("it is copied");
    let whole = std::fs::read(from.join("model.safetensors")).expect("the weights");
    let header = 8 + usize::from(whole[0]) + 256 * usize::from(whole[1]);
    let all: serde_json::Map<String, serde_json::Value> = serde_json::from_slice(&whole[8..header]).expect("JSON");
    let offset = |value: &serde_json::Value| usize::try_from(value.as_u64().expect("an offset")).expect("a small one");
    let mut map = serde_json::Map::new();
    for (shard, file) in ["one.safetensors", "two.safetensors"].into_iter().enumerate() {
        let (mut part, mut data) = (serde_json::Map::new(), vec![]);
        for (name, tensor) in all.iter().filter(|(name, _)| *name != "__metadata__").skip(shard).step_by(2) {
            let [from, to] = [0, 1].map(|end| offset(&tensor["data_offsets"][end]) + header);
            let mut tensor = tensor.clone();
            tensor["data_offsets"] = serde_json::json!([data.len(), data.len() + to - from]);
            data.extend_from_slice(&whole[from..to]);
            part.insert(name.clone(), tensor);
            map.insert(name.clone(), file.into());
        }
        let text = serde_json::Value::from(part).to_string();
        let bytes = [&(text.len() as u64).to_le_bytes()[..], text.as_bytes(), &data].concat();
        std::fs::write(at.join(file), bytes).expect("it is written");
    }
    let index = serde_json::json!({ "weight_map": map }).to_string();
    std::fs::write(at.join("model.safetensors.index.json"), index).expect("it is written");
    let (sharded, whole) = (open(at, false), open(&from, false));
    let [sharded, whole] = [&sharded, &whole].map(|model| model.build(Part::Whole, false).expect("it builds"));
    assert!(sharded.schedule().len() == whole.schedule().len());
    let bytes = |graph: &netwright::ir::Graph| onnx::to_bytes(&Model::new(graph.clone())).expect("it is written");
    assert!(bytes(&sharded) == bytes(&whole), "shards are another model");
}

/// A head that is requested need not be in the configuration; the weights of the other head are left out and named.
#[test]
fn another_head() {
    let folder = root().join("bert_mlm");
    let options = PretrainedOptions::default().with_task(Task::FeatureExtraction);
    let model = Pretrained::open(&folder, &options).expect("it opens");
    assert_eq!(model.heads.first().map(String::as_str), Some("cls.predictions.bias"));
    assert_eq!(model.heads.len(), 5);
    let graph = model.build(Part::Whole, false).expect("it builds");
    let outputs: Vec<&str> = graph.outputs().iter().map(|output| output.name.as_ref()).collect();
    // It was saved without a pooler.
    assert_eq!(outputs, ["last_hidden_state"]);
    assert!(open(&folder, false).heads.is_empty());
}
