//! Generated tokens equal those of `transformers` (`tests/interop/make_generation.py`), with and without a KV cache.

mod common;

use common::{floats, tensors};
use netwright::generate::{
    Context, FeatureExtractor, GenerateError, Input, Model, Segment, Settings, Speech, Timestamps, Tokenizer,
    probabilities,
};
use netwright::ir;
use netwright::nn::OpenError;
use netwright::nn::layers::{CacheForm, CacheWrite};
use netwright::onnx::set_opset;
use netwright::prelude::*;
use netwright::surgery::{branch_input, choose_branch, merge_branches};
use netwright::verify::{Array, OrtLevel, Runtime};
use serde_json::{Map, Value, json};
use std::path::Path;
use tempfile::TempDir;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Builds a folder of tests/families into the files that the command writes.
fn build(name: &str, with_past: bool, target: Option<Target>) -> TempDir {
    build_with(name, target, &PretrainedOptions::default().with_past(with_past))
}

fn build_with(name: &str, target: Option<Target>, options: &PretrainedOptions) -> TempDir {
    let folder = root().join("tests/families").join(name);
    let pretrained = Pretrained::open(&folder, options).unwrap_or_else(|error| panic!("{name}: {error}"));
    let out = TempDir::new().expect("a folder");
    for part in pretrained.parts() {
        let mut model = ir::Model::new(pretrained.build(*part, false).expect("it is built"));
        if matches!(options.cache, CacheForm::Static { .. }) {
            set_opset(&mut model, 24).expect("its opset is raised");
        }
        if let Some(target) = target {
            optimize(&mut model, &OptimizeOptions::for_target(target)).expect("it is optimized");
        }
        let file = match part {
            Part::Encoder => "encoder_model.onnx",
            Part::Decoder => "decoder_model.onnx",
            Part::DecoderWithPast => "decoder_with_past_model.onnx",
            Part::Whole => "model.onnx",
        };
        write(&model, out.path().join(file), &WriteOptions::default()).expect("it is written");
    }
    std::fs::copy(folder.join("config.json"), out.path().join("config.json")).expect("a copy");
    out
}

/// Joins the graphs of the first pass and of the later steps, as `build --kv-cache merged` does. A decoder whose past may
/// be empty is both.
fn merge(folder: &Path) {
    let open = |name: &str| {
        let path = folder.join(name);
        let model = path.exists().then(|| read(&path, &ReadOptions::default()).expect("it is read"));
        model.inspect(|_| std::fs::remove_file(path).expect("it is removed"))
    };
    let whole = open("model.onnx");
    let first = open("decoder_model.onnx").or(whole.clone()).expect("a decoder");
    let later = open("decoder_with_past_model.onnx").or(whole).expect("a decoder");
    let kept = first.graph.outputs().iter().filter_map(|output| {
        let entry = output.name.strip_prefix("present")?;
        Some((output.name.to_string(), format!("past_key_values{entry}")))
    });
    let kept: Vec<(String, String)> = kept.collect();
    let kept: Vec<(&str, &str)> = kept.iter().map(|(output, input)| (&**output, &**input)).collect();
    let merged = merge_branches("use_cache_branch", later, first, &kept).expect("they are joined").model;
    write(&merged, folder.join("decoder_model_merged.onnx"), &WriteOptions::default()).expect("it is written");
}

/// Cuts a merged decoder into its branches, as `optimize --split-branches` does.
fn split(folder: &Path) {
    let path = folder.join("decoder_model_merged.onnx");
    let merged = read(&path, &ReadOptions::default()).expect("it is read");
    let condition = branch_input(&merged.graph).expect("a condition");
    for (value, name) in [(false, "decoder_model.onnx"), (true, "decoder_with_past_model.onnx")] {
        let branch = choose_branch(&merged, &condition, value).expect("a branch");
        write(&branch, folder.join(name), &WriteOptions::default()).expect("it is written");
    }
    std::fs::remove_file(path).expect("it is removed");
}

fn reference() -> Value {
    let text = std::fs::read_to_string(root().join("tests/generation/reference.json")).expect("the reference");
    serde_json::from_str(&text).expect("JSON")
}

fn list<'v>(value: &'v Value, name: &str) -> &'v Vec<Value> {
    value[name].as_array().unwrap_or_else(|| panic!("{name} is a list"))
}

fn rows(value: &Value) -> Vec<Vec<u32>> {
    serde_json::from_value(value.clone()).expect("rows of tokens")
}

/// Reads settings as those of a folder.
fn settings(options: &Value) -> Settings {
    let folder = TempDir::new().expect("a folder");
    std::fs::write(folder.path().join("generation_config.json"), options.to_string()).expect("it is written");
    Settings::read(folder.path(), &[]).unwrap_or_else(|error| panic!("{error}"))
}

/// Generates the new tokens of each row, up to its end.
fn generated(model: &Model, input: &Input, settings: &Settings) -> Vec<Vec<u32>> {
    let text = Tokenizer::open(root().join("tests/generation")).expect("a tokenizer");
    let stop = &settings.stop_strings;
    let has_stop = |tokens: &[u32]| text.has_stop(tokens, stop).unwrap_or_else(|error| panic!("{error}"));
    if settings.num_beams > 1 {
        let beams = model.beams(input, settings, &has_stop).unwrap_or_else(|error| panic!("{error}"));
        return beams.into_iter().map(|beams| beams[0].tokens.clone()).collect();
    }
    let mut rows: Vec<Vec<u32>> = vec![];
    let mut steps = model.tokens(input, settings).unwrap_or_else(|error| panic!("{error}"));
    while let Some(step) = steps.next() {
        let step = step.unwrap_or_else(|error| panic!("{error}"));
        rows.resize(step.len(), vec![]);
        rows.iter_mut().zip(step).for_each(|(row, token)| row.extend(token));
        rows.iter().enumerate().filter(|(_, row)| has_stop(row)).for_each(|(at, _)| steps.stop(at));
    }
    rows
}

/// How a decoder keeps keys and values.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Form {
    Whole,
    Cached,
    Merged,
    Split,
    Fixed(CacheWrite),
    Sliding,
}

impl Form {
    fn options(self) -> PretrainedOptions {
        let options = PretrainedOptions::default().with_past(self != Form::Whole);
        match self {
            Form::Fixed(write) => options.with_cache(CacheForm::Static { length: 23, write }),
            Form::Sliding => options.with_cache(CacheForm::Sliding),
            _ => options,
        }
    }
}

fn check(runtime: &Runtime, target: Option<Target>, form: Form) {
    let reference = reference();
    let cases = list(&reference, "cases");
    assert_eq!(cases.len(), 55);
    let mut built: Map<String, Value> = Map::new();
    let mut models: Vec<(TempDir, Model)> = vec![];
    for case in cases {
        let (name, folder) = (&case["name"], case["folder"].as_str().expect("a folder"));
        let options = form.options();
        if matches!(
            Pretrained::open(root().join("tests/families").join(folder), &options),
            Err(OpenError::Cache { .. })
        ) {
            continue;
        }
        let at = built.entry(folder).or_insert_with(|| {
            let out = build_with(folder, target, &options);
            if matches!(form, Form::Merged | Form::Split) {
                merge(out.path());
            }
            if form == Form::Split {
                split(out.path());
            }
            let model = Model::open(out.path(), runtime).unwrap_or_else(|error| panic!("{folder}: {error}"));
            models.push((out, model));
            json!(models.len() - 1)
        });
        let (_, model) = &models[usize::try_from(at.as_u64().expect("a place")).expect("a small number")];
        let found = generated(model, &Input::Tokens(rows(&case["inputs"])), &settings(&case["settings"]));
        assert_eq!(found, rows(&case["expected"]), "{name} {form:?}");
    }
}

#[test]
fn steps_with_a_cache_equal_transformers() {
    check(&Runtime::Tract, Some(Target::TRACT), Form::Cached);
}

#[test]
fn steps_of_a_merged_decoder_equal_transformers() {
    check(&Runtime::Tract, Some(Target::TRACT), Form::Merged);
    check(&Runtime::Tract, Some(Target::TRACT), Form::Split);
}

#[test]
fn steps_with_other_caches_equal_transformers() {
    check(&Runtime::Tract, Some(Target::TRACT), Form::Fixed(CacheWrite::ScatterElements));
    check(&Runtime::Tract, Some(Target::TRACT), Form::Sliding);
}

#[test]
fn a_prompt_must_fit_into_a_cache_of_fixed_length() {
    let form = CacheForm::Static { length: 6, write: CacheWrite::ScatterElements };
    let options = PretrainedOptions::default().with_past(true).with_cache(form);
    let folder = build_with("llama", Some(Target::TRACT), &options);
    let model = Model::open(folder.path(), &Runtime::Tract).expect("it is loaded");
    let settings = settings(&json!({"max_new_tokens": 9, "pad_token_id": 0, "eos_token_id": 47}));
    let count = |tokens| generated(&model, &Input::Tokens(vec![vec![5; tokens]]), &settings)[0].len();
    assert_eq!([count(1), count(5), count(6)], [6, 2, 1], "the last token needs no room");
    let long = refused(model.tokens(&Input::Tokens(vec![vec![5; 7]]), &settings));
    assert!(long.starts_with("the prompt has 7 tokens, but the KV cache of the model has room for 6"), "{long}");
}

#[test]
fn whole_sequences_equal_transformers() {
    check(&Runtime::Tract, None, Form::Whole);
}

/// The test is skipped if ONNX Runtime is not installed, unless `REQUIRE_ONNX_RUNTIME` is set.
#[test]
fn steps_in_onnx_runtime_equal_transformers() {
    if let Some(runtime) = common::onnx_runtime() {
        let runtime = runtime.with_level(OrtLevel::All);
        let runtime = Runtime::Ort(runtime);
        check(&runtime, Some(Target::ORT), Form::Cached);
        check(&runtime, Some(Target::ORT), Form::Merged);
        check(&runtime, Some(Target::ONNX), Form::Fixed(CacheWrite::TensorScatter));
        check(&runtime, Some(Target::ORT), Form::Sliding);
    }
}

#[test]
fn probabilities_of_drawn_tokens_equal_transformers() {
    let reference = reference();
    for case in list(&reference, "draws") {
        let mut scores: Vec<f32> = serde_json::from_value(case["scores"].clone()).expect("scores");
        let expected: Vec<f32> = serde_json::from_value(case["expected"].clone()).expect("probabilities");
        let tokens: Vec<u32> = serde_json::from_value(case["tokens"].clone()).expect("tokens");
        let prompt = usize::try_from(case["prompt"].as_u64().expect("a number")).expect("a small number");
        let place = Context { tokens: &tokens, padding: 0, prompt, max_length: 20, source: &[] };
        settings(&case["settings"]).process(&mut scores, &place);
        let found = probabilities(&scores);
        assert!(found.iter().zip(&expected).all(|(found, expected)| (found - expected).abs() < 1e-6), "{case}");
    }
}

/// The frequencies of tokens that are drawn are their probabilities, and a seed determines them.
#[test]
fn tokens_are_drawn_by_their_probabilities() {
    let folder = build("gpt2", true, None);
    let model = Model::open(folder.path(), &Runtime::Tract).expect("it is loaded");
    let input = Input::Tokens(vec![vec![5, 9, 17, 30]; 64]);
    let settings =
        settings(&json!({"do_sample": true, "top_k": 0, "max_new_tokens": 1, "temperature": 2.0, "pad_token_id": 0}));
    let drawn = |seed| {
        let mut settings = settings.clone();
        settings.seed = seed;
        generated(&model, &input, &settings).concat()
    };
    assert_eq!(drawn(3), drawn(3));
    let tokens: Vec<u32> = (0..64).flat_map(drawn).collect();
    let mut best = settings.clone();
    best.do_sample = false;
    let best = generated(&model, &input, &best)[0][0];
    let mut counts = [0_i32; 48];
    for token in &tokens {
        counts[*token as usize] += 1;
    }
    let most = (0..48).max_by_key(|token| counts[*token]).expect("tokens");
    assert_eq!(most, best as usize, "{counts:?}");
    assert!(counts.iter().filter(|count| **count > 0).count() > 20, "{counts:?}");
}

/// Beams whose candidates are drawn are distinct and sorted, and a seed determines them.
#[test]
fn beams_are_drawn_without_replacement() {
    let folder = build("gpt2", true, None);
    let model = Model::open(folder.path(), &Runtime::Tract).expect("it is loaded");
    let input = Input::Tokens(vec![vec![5, 9, 17, 30]]);
    let settings = settings(&json!({"do_sample": true, "num_beams": 4, "max_new_tokens": 6, "temperature": 1.5}));
    let beams = model.beams(&input, &settings, &|_| false).expect("beams");
    assert_eq!(beams, model.beams(&input, &settings, &|_| false).expect("beams"));
    assert_eq!(beams[0].len(), 4);
    assert!(beams[0].is_sorted_by(|a, b| a.score >= b.score && a.tokens != b.tokens));
}

#[test]
fn a_row_ends_where_it_is_stopped() {
    let folder = build("llama", true, None);
    let model = Model::open(folder.path(), &Runtime::Tract).expect("it is loaded");
    let input = Input::Tokens(vec![vec![5, 9, 17], vec![30]]);
    let settings = settings(&json!({"max_new_tokens": 5, "pad_token_id": 0}));
    let mut tokens = model.tokens(&input, &settings).expect("it starts");
    assert!(tokens.next().expect("a step").expect("tokens").iter().all(Option::is_some));
    tokens.stop(0);
    assert!(tokens.all(|step| matches!(step.expect("tokens")[..], [None, Some(_)])));
    let beams = model.beams(&input, &settings_with_beams(&settings), &|tokens| tokens.len() == 2);
    assert!(beams.expect("beams").concat().iter().all(|beam| beam.tokens.len() <= 2));
}

fn settings_with_beams(settings: &Settings) -> Settings {
    let mut settings = settings.clone();
    settings.num_beams = 2;
    settings
}

fn refused(result: Result<impl Sized, GenerateError>) -> String {
    result.err().expect("it is refused").to_string()
}

#[test]
fn what_cannot_be_generated_is_refused() {
    let folder = build("gpt2", true, None);
    let model = Model::open(folder.path(), &Runtime::Tract).expect("it is loaded");
    let tokens = |rows: Vec<Vec<u32>>, options: Value| {
        refused(
            model
                .tokens(&Input::Tokens(rows), &settings(&options))
                .map(|mut tokens| tokens.next())
                .and_then(|step| step.expect("a step").map(drop)),
        )
    };
    assert!(tokens(vec![], json!({})).starts_with("the prompt is empty"));
    assert!(tokens(vec![vec![3], vec![]], json!({})).starts_with("the prompt is empty"));
    let long = tokens(vec![vec![3; 24]], json!({}));
    assert!(long.starts_with("the prompt has 24 tokens, but the model has 24 positions"), "{long}");
    assert!(tokens(vec![vec![48]], json!({})).starts_with("token 48 is not in the vocabulary"));
    let full = tokens(vec![vec![3; 5]], json!({"max_length": 5}));
    assert!(full.starts_with("the prompt has 5 tokens, but `max_length` is 5, with the prompt"), "{full}");
    let all: Vec<u32> = (0..48).collect();
    let excluded = "the settings exclude every token after position 2";
    assert!(tokens(vec![vec![3; 2]], json!({"suppress_tokens": all})).starts_with(excluded));
    let beams = settings(&json!({"suppress_tokens": all, "num_beams": 2}));
    let beams = refused(model.beams(&Input::Tokens(vec![vec![3; 2]]), &beams, &|_| false));
    assert!(beams.starts_with(excluded), "{beams}");
    let endless = settings(&json!({"min_new_tokens": u64::MAX, "eos_token_id": 3, "max_new_tokens": 2}));
    assert_eq!(generated(&model, &Input::Tokens(vec![vec![3; 2]]), &endless)[0].len(), 2);

    let read = |options: Value| {
        let folder = TempDir::new().expect("a folder");
        std::fs::write(folder.path().join("generation_config.json"), options.to_string()).expect("it is written");
        (refused(Settings::read(folder.path(), &[])), folder)
    };
    assert!(read(json!({"temperature": 0})).0.starts_with("`temperature` must be a positive number, but is 0"));
    assert!(read(json!({"eos_token_id": "x"})).0.contains("`eos_token_id` must be the id of a token"));
    assert!(read(json!([])).0.contains("it is not a JSON object"));
    assert!(
        read(json!({"stop_strings": ["a", ""]})).0.starts_with("`stop_strings` must be texts with at least one letter")
    );
    for (option, value) in [
        ("typical_p", json!(0.9)),
        ("token_healing", json!(true)),
        ("num_return_sequences", json!(2)),
        ("diversity_penalty", json!(0.5)),
        ("max_time", json!(1.5)),
        ("option_of_next_year", json!(0)),
    ] {
        let (error, folder) = read(json!({option: value}));
        assert!(error.contains(&format!("option `{option}` is not supported")), "{error}");
        assert!(Settings::read(folder.path(), &[option.to_owned()]).is_ok());
        assert!(Settings::read_leniently(folder.path()).is_ok());
    }
}

/// Options without an effect are no errors, nor are those of a model in a folder without `generation_config.json`, in which
/// Python may have written NaN.
#[test]
fn options_without_an_effect_are_accepted() {
    let neutral = json!({"typical_p": 1.0, "max_time": null, "num_return_sequences": 1, "transformers_version": "5.0",
        "use_cache": true, "lang_to_id": {"<|en|>": 3}, "top_k": 5});
    assert_eq!(settings(&neutral).top_k, 5);
    let folder = TempDir::new().expect("a folder");
    let config = r#"{"hidden_size": 4, "eos_token_id": 3, "threshold": NaN, "range": [-Infinity, Infinity]}"#;
    std::fs::write(folder.path().join("config.json"), config).expect("it is written");
    assert_eq!(Settings::read(folder.path(), &[]).expect("settings").eos_token_id, [3]);
    for (config, count) in [
        (r#"{"n_ctx": 7}"#, Some(7)),
        (r#"{"max_seq_len": 7, "n_ctx": 8}"#, Some(7)),
        (r#"{"text_config": {"max_position_embeddings": 7}, "scale": NaN}"#, Some(7)),
        (r#"{"n_positions": 7, "relative_attention_num_buckets": 3}"#, None),
    ] {
        std::fs::write(folder.path().join("config.json"), config).expect("it is written");
        assert_eq!(netwright::generate::positions(folder.path()).expect("a configuration"), count, "{config}");
    }
}

/// A decoder must return what its next step reads.
#[test]
fn a_past_without_a_present_is_refused() {
    let folder = build("gpt2", true, None);
    let path = folder.path().join("model.onnx");
    let mut model = read(&path, &ReadOptions::default()).expect("it is read");
    let at = model.graph.outputs().iter().position(|output| *output.name == *"present.1.value").expect("an output");
    model.graph.rename_output(at, "values");
    write(&model, &path, &WriteOptions::default()).expect("it is written");
    let error = refused(Model::open(&path, &Runtime::Tract));
    assert!(error.contains("`past_key_values.1.value` has no output that extends it"), "{error}");
}

/// Sizes whose products are large would take memory and time.
#[test]
fn configurations_of_large_spectra_are_refused() {
    let folder = TempDir::new().expect("a folder");
    for (config, is_accepted) in [
        (json!({}), true),
        (json!({"n_fft": 16384, "feature_size": 16384}), false),
        (json!({"hop_length": 1}), false),
        (json!({"n_fft": 8000, "feature_size": 8000, "hop_length": 60}), false),
        (json!({"chunk_length": 16_777_216, "sampling_rate": 1, "feature_size": 1, "n_fft": 2, "hop_length": 1}), true),
    ] {
        let path = folder.path().join("preprocessor_config.json");
        std::fs::write(path, config.to_string()).expect("it is written");
        assert_eq!(FeatureExtractor::open(folder.path()).is_ok(), is_accepted, "{config}");
    }
}

#[test]
fn models_that_are_not_decoders_are_refused() {
    let open = |folder: &TempDir| refused(Model::open(folder.path(), &Runtime::Tract));
    let base = build("gpt2_base", false, None);
    assert!(open(&base).contains("it has no output `logits`, only `last_hidden_state`"));
    let encoder = build("bert", false, None);
    assert!(open(&encoder).contains("it has no output `logits`, only `last_hidden_state`"));
    let masked = build("roberta_mlm", false, None);
    assert!(open(&masked).contains("it predicts masked tokens, not next ones"));
    let classifier = build("distilbert_sequence", false, None);
    assert!(open(&classifier).contains("its output `logits` is [batch_size, 3], not one vector a token"));
    let pair = build("t5", false, None);
    let decoder = pair.path().join("decoder_model.onnx");
    let alone = refused(Model::open(&decoder, &Runtime::Tract));
    assert!(alone.contains("it reads the states of an encoder, which is not there"), "{alone}");
    std::fs::copy(&decoder, pair.path().join("model.onnx")).expect("a copy");
    assert!(open(&pair).contains("the folder holds two models"));
    assert!(open(&TempDir::new().expect("a folder")).contains("the folder holds no ONNX model"));
    std::fs::copy(&decoder, base.path().join("other.onnx")).expect("a copy");
    let two = open(&base);
    assert!(two.contains("the folder holds 2 models: `model.onnx`, `other.onnx`"), "{two}");
}

/// Chunks besides the samples, and headers of streamed files, change nothing; files without usable samples are refused.
#[test]
fn odd_audio_files_are_read_or_refused() {
    let folder = TempDir::new().expect("a folder");
    let at = |name: &str| folder.path().join(name);
    std::fs::copy(root().join("tests/generation/preprocessor_small.json"), at("preprocessor_config.json"))
        .expect("a copy");
    let extractor = FeatureExtractor::open(folder.path()).expect("a configuration");
    let samples: Vec<u8> = (0..2000_i16).flat_map(|at| (at % 97 * 300).to_le_bytes()).collect();
    let wav = |length: u32, kind: u16, bytes: u16, before: &[u8], size: u32, samples: &[u8]| {
        let rate = 16_000 * u32::from(bytes);
        let mut file = [b"RIFF", &length.to_le_bytes()[..], b"WAVEfmt \x10\0\0\0"].concat();
        file.extend([kind, 1].iter().flat_map(|part| part.to_le_bytes()));
        file.extend([16_000, rate].iter().flat_map(|part: &u32| part.to_le_bytes()));
        file.extend([bytes, bytes * 8].iter().flat_map(|part| part.to_le_bytes()));
        [&file[..], before, b"data", &size.to_le_bytes(), samples].concat()
    };
    let read = |bytes: Vec<u8>| {
        std::fs::write(at("a.wav"), bytes).expect("it is written");
        extractor.features(at("a.wav")).map(|features| floats(&features).to_vec())
    };
    let expected = read(wav(4036, 1, 2, b"", 4000, &samples)).expect("features");
    let with_half = [&samples[..], &[1]].concat();
    for (name, bytes) in [
        ("a padded chunk", wav(4050, 1, 2, b"LIST\x05\0\0\0abcde\0", 4000, &samples)),
        ("a chunk after the samples", wav(4036, 1, 2, b"", 4000, &[&samples[..], b"LIST\x01\0\0\0a\0"].concat())),
        ("streamed", wav(u32::MAX, 1, 2, b"", u32::MAX, &samples)),
        ("streamed, without lengths", wav(0, 1, 2, b"", 0, &samples)),
        ("streamed, with half a sample", wav(0, 1, 2, b"", u32::MAX, &with_half)),
    ] {
        assert_eq!(read(bytes).unwrap_or_else(|error| panic!("{name}: {error}")), expected, "{name}");
    }
    let single = |value: f32| [0.5, value].iter().flat_map(|sample: &f32| sample.to_le_bytes()).collect::<Vec<u8>>();
    for (cause, bytes) in [
        ("the audio has no samples", wav(36, 1, 2, b"", 0, b"")),
        ("the audio has no samples", wav(0, 1, 2, b"", 0, b"")),
        ("sample 1 is NaN, not a finite number", wav(44, 3, 4, b"", 8, &single(f32::NAN))),
        ("sample 1 is inf, not a finite number", wav(44, 3, 4, b"", 8, &single(f32::INFINITY))),
        ("not a WAV file that can be read", wav(4036, 1, 2, b"", 9000, &samples)),
        ("not a WAV file that can be read", wav(4036, 1, 2, b"LIST\xff\xff\xff\xff", 4000, &samples)),
        ("not a WAV file that can be read", b"RIFF".to_vec()),
    ] {
        assert!(refused(read(bytes)).contains(cause), "{cause}");
    }
}

/// The features of an audio file equal those of `WhisperFeatureExtractor`, and the tokens those of `transformers`.
#[test]
fn features_of_audio_equal_transformers() {
    let folder = root().join("tests/generation");
    let reference = tensors(&folder.join("sound.safetensors"));
    let whisper = build("whisper", true, Some(Target::TRACT));
    let model = Model::open(whisper.path(), &Runtime::Tract).expect("it is loaded");
    for name in ["large", "small"] {
        let to = whisper.path().join("preprocessor_config.json");
        std::fs::copy(folder.join(format!("preprocessor_{name}.json")), to).expect("a copy");
        let features =
            FeatureExtractor::open(whisper.path()).and_then(|extractor| extractor.features(folder.join("tone.wav")));
        let features = features.unwrap_or_else(|error| panic!("{error}"));
        let expected = &reference[name];
        assert_eq!(features.shape(), expected.shape());
        let pairs = floats(&features).iter().zip(floats(expected));
        let largest = pairs.map(|(found, expected)| (found - expected).abs()).fold(0.0, f32::max);
        assert!(largest < 1e-4, "{name}: {largest}");
        if name == "small" {
            let settings = settings(&json!({"max_new_tokens": 8, "eos_token_id": 2, "pad_token_id": 1}));
            let found = generated(&model, &Input::Features(features, vec![vec![2, 9]]), &settings);
            let expected = reference["tokens"].values::<i64>().expect("tokens");
            assert!(found[0].iter().map(|token| i64::from(*token)).eq(expected.iter().copied()), "{found:?}");
        }
    }
}

/// Returns the samples of a sound, as `tests/interop/make_generation.py` computes them.
fn sound(kind: &str, count: i64, seed: i64) -> Vec<i16> {
    let mut state = seed;
    let sample = |at: i64| {
        state = (state * 1_103_515_245 + 12_345) % (1 << 31);
        let step = at / 8_000;
        let period = 20 + (37 * step + 11 * seed) % 180;
        let (noise, tone) = ((state >> 16) % 16_384 - 8_192, 16_000 * (at % period) / period - 8_000);
        let is_tone = kind == "tone" || kind == "mixed" && step / 6 % 2 == 1;
        let value = (if is_tone { tone } else { noise } * ((5 * step * step + seed) % 9)).div_euclid(8);
        i16::try_from(value).expect("16 bits")
    };
    (0..count).map(sample).collect()
}

/// Writes samples as a WAV file of one channel.
fn write_sound(path: &Path, samples: &[i16]) {
    let size = u32::try_from(2 * samples.len()).expect("a small file");
    let mut file = [b"RIFF", &(36 + size).to_le_bytes()[..], b"WAVEfmt \x10\0\0\0\x01\0\x01\0"].concat();
    file.extend([16_000_u32, 32_000].iter().flat_map(|part| part.to_le_bytes()));
    file.extend([&b"\x02\0\x10\0data"[..], &size.to_le_bytes()].concat());
    file.extend(samples.iter().flat_map(|sample| sample.to_le_bytes()));
    std::fs::write(path, file).expect("it is written");
}

/// Segments of speech equal those of `transformers`: tokens, starts and ends, in one window and in several.
fn check_speech(runtime: &Runtime, target: Target) {
    let text = std::fs::read_to_string(root().join("tests/generation/speech.json")).expect("the reference");
    let cases: Vec<Value> = serde_json::from_str(&text).expect("JSON");
    assert_eq!(cases.len(), 20);
    let folder = build("../generation/whisper", true, Some(target));
    std::fs::copy(
        root().join("tests/generation/whisper/preprocessor_config.json"),
        folder.path().join("preprocessor_config.json"),
    )
    .expect("a copy");
    let model = Model::open(folder.path(), runtime).expect("it is loaded");
    let extractor = FeatureExtractor::open(folder.path()).expect("a configuration");
    let wav = folder.path().join("a.wav");
    for case in cases {
        let name = &case["name"];
        let seconds = case["seconds"].as_f64().expect("a number");
        #[expect(clippy::cast_possible_truncation, reason = "sounds are short")]
        let samples = sound(
            case["sound"].as_str().expect("a kind"),
            (seconds * 16_000.0) as i64,
            case["seed"].as_i64().expect("a seed"),
        );
        write_sound(&wav, &samples);
        std::fs::write(folder.path().join("generation_config.json"), case["options"].to_string())
            .expect("it is written");
        let settings = Settings::read(folder.path(), &[]).expect("settings");
        let speech = Speech::open(folder.path()).expect("a configuration");
        let windows = speech.transcribe(&model, extractor.features(&wav).expect("features"), &settings);
        let windows = windows.unwrap_or_else(|error| panic!("{name}: {error}"));
        assert_eq!(windows.is_long(), seconds > 30.0);
        let found: Vec<Vec<Segment>> =
            windows.collect::<Result<_, _>>().unwrap_or_else(|error| panic!("{name}: {error}"));
        let expected: Vec<(f64, f64, Vec<u32>)> = serde_json::from_value(case["expected"].clone()).expect("segments");
        let found: Vec<Segment> = found.concat();
        assert_eq!(found.len(), expected.len(), "{name}");
        for (found, (start, end, tokens)) in found.iter().zip(expected) {
            assert_eq!(found.tokens, tokens, "{name}");
            // JSON is read to 15 digits.
            let distance = (found.start - start).abs().max((found.end - end).abs());
            assert!(distance < 1e-9, "{name}: {found:?}, {start} to {end}");
        }
    }
}

#[test]
fn speech_of_any_length_equals_transformers() {
    check_speech(&Runtime::Tract, Target::TRACT);
}

/// The test is skipped if ONNX Runtime is not installed, unless `REQUIRE_ONNX_RUNTIME` is set.
#[test]
fn speech_in_onnx_runtime_equals_transformers() {
    if let Some(runtime) = common::onnx_runtime() {
        check_speech(&Runtime::Ort(runtime.with_level(OrtLevel::All)), Target::ORT);
    }
}

/// The first tokens of a window; and what speech needs that a model does not have.
#[test]
fn speech_starts_with_language_and_task() {
    let folder = build("../generation/whisper", true, Some(Target::TRACT));
    let model = Model::open(folder.path(), &Runtime::Tract).expect("it is loaded");
    let features = |frames: usize| Array::new([1, 4, frames], vec![0.5_f32; 4 * frames]).expect("spectra");
    let open = |options: &Value| {
        std::fs::write(folder.path().join("generation_config.json"), options.to_string()).expect("it is written");
        Speech::open(folder.path())
    };
    let start = |options: Value, frames: usize| {
        let settings = settings(&json!({"decoder_start_token_id": 41, "eos_token_id": 40}));
        open(&options)?.transcribe(&model, features(frames), &settings).map(|windows| windows.prompt().to_vec())
    };
    let names = json!({"lang_to_id": {"<|de|>": 42, "<|en|>": 43}, "task_to_id": {"translate": 44, "transcribe": 45}});
    let with = |options: Value| {
        let mut all = names.as_object().expect("an object").clone();
        all.extend(options.as_object().expect("an object").clone());
        Value::Object(all)
    };
    let detected = start(with(json!({})), 300).expect("a prompt")[1];
    for (options, frames, expected) in [
        (json!({}), 300, vec![41]),
        (json!({"no_timestamps_token_id": 48}), 300, vec![41, 48]),
        (json!({"no_timestamps_token_id": 48}), 301, vec![41]),
        (json!({"no_timestamps_token_id": 48, "return_timestamps": true}), 300, vec![41]),
        (with(json!({"language": "de"})), 300, vec![41, 42, 45]),
        (with(json!({"language": "<|de|>", "task": "translate"})), 300, vec![41, 42, 44]),
        (with(json!({"task": "translate"})), 300, vec![41, detected, 44]),
        (with(json!({"forced_decoder_ids": [[1, null], [2, 44]]})), 300, vec![41, detected, 44]),
        (with(json!({"forced_decoder_ids": [[1, 43], [2, 45]]})), 300, vec![41, 43, 45]),
        (with(json!({"forced_decoder_ids": [[1, 43]], "task": "transcribe"})), 300, vec![41, detected, 45]),
        (json!({"forced_decoder_ids": [[1, 48]], "no_timestamps_token_id": 48}), 300, vec![41, 48]),
        (json!({"forced_decoder_ids": [[1, 48]], "no_timestamps_token_id": 48}), 301, vec![41]),
    ] {
        let name = options.to_string();
        assert_eq!(start(options, frames).unwrap_or_else(|error| panic!("{name}: {error}")), expected, "{name}");
    }
    for (options, frames, cause) in [
        (json!({}), 301, "the model has no timestamps, which long audio and --timestamps require"),
        (json!({"return_timestamps": true}), 300, "the model has no timestamps"),
        (with(json!({"language": "fr"})), 300, "the model does not have the language `fr`"),
        (with(json!({"task": "sing"})), 300, "the model does not have the task `sing`"),
        (json!({"forced_decoder_ids": [[2, 45]]}), 300, "`forced_decoder_ids` must be a list of places"),
        (json!({"return_timestamps": 1}), 300, "`return_timestamps` must be true or false"),
    ] {
        let found = refused(start(options, frames));
        assert!(found.contains(cause), "{found}");
    }
    let speech = open(&names).expect("a configuration");
    assert!(refused(speech.clone().with_language("fr")).contains("the model does not have the language `fr`"));
    assert!(speech.clone().with_language("EN").and_then(|speech| speech.with_task("translate")).is_ok());
    let transcribe = |features, options: Value| refused(speech.transcribe(&model, features, &settings(&options)));
    let missing = transcribe(features(300), json!({}));
    assert!(missing.starts_with("`decoder_start_token_id` must be"), "{missing}");
    let stopped = transcribe(features(300), json!({"decoder_start_token_id": 41, "stop_strings": ["a"]}));
    assert!(stopped.starts_with("`stop_strings` must be empty for speech"), "{stopped}");
    let bins = Array::new([1, 300], vec![0.5_f32; 300]).expect("an array");
    let misshapen = transcribe(bins, json!({"decoder_start_token_id": 41}));
    assert!(misshapen.contains("spectra of audio are f32[1, bins, frames], but these are f32[1, 300]"), "{misshapen}");
}

/// The rules of timestamps, one by one.
#[test]
fn rules_of_timestamps_exclude_tokens() {
    let mut rules = settings(&json!({}));
    // Texts are tokens 0 to 3, the end is 4, and timestamps are 6 to 9.
    rules.timestamps = Some(Timestamps::new(5, 4, Some(1)));
    let allowed = |new: &[u32], likely: &[usize]| {
        let mut scores = [0.0_f32; 10];
        for token in likely {
            scores[*token] = 9.0;
        }
        let tokens = [&[4], new].concat();
        rules.process(&mut scores, &Context { tokens: &tokens, padding: 0, prompt: 1, max_length: 20, source: &[] });
        (0..10).filter(|token| scores[*token] > f32::NEG_INFINITY).collect::<Vec<usize>>()
    };
    assert_eq!(allowed(&[], &[]), [6, 7], "the first is a timestamp, and not a late one");
    assert_eq!(allowed(&[7], &[]), [0, 1, 2, 3, 4], "a text or the end follows the first timestamp");
    assert_eq!(allowed(&[7, 1], &[1]), [0, 1, 2, 3, 4, 8, 9], "timestamps rise");
    assert_eq!(allowed(&[7, 1], &[]), [8, 9], "all timestamps are more probable than each other token");
    assert_eq!(allowed(&[7, 1, 8], &[4]), [4, 8, 9], "a second timestamp or the end follows the end of a segment");
    assert_eq!(allowed(&[7, 1, 8, 8], &[]), [0, 1, 2, 3, 4], "a text follows a pair");
    assert_eq!(allowed(&[7, 1, 9, 9, 1], &[]), [0, 1, 2, 3, 4], "no timestamp is left");
}
