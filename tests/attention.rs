//! The attention weights of pretrained models, beside what PyTorch computed: `tests/interop/make_attention.py` wrote
//! `tests/attention.safetensors`.

mod common;

use common::{floats, tensors};
use netwright::attention::{AttentionError, AttentionMap, AttentionModel, Kind, rollout};
use netwright::nn::{Pretrained, PretrainedOptions};
use std::path::{Path, PathBuf};
use tempfile::TempDir;

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn load(folder: &Path) -> Result<AttentionModel, AttentionError> {
    let pretrained = Pretrained::open(folder, &PretrainedOptions::default());
    let pretrained = pretrained.unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    let out = TempDir::new().expect("a folder");
    AttentionModel::load(&pretrained, &out.path().join("attention.onnx"))
}

#[test]
fn weights_equal_those_of_pytorch() {
    let expected = tensors(&root().join("tests/attention.safetensors"));
    let ids = |key: &str| expected.get(key).map_or(vec![], |ids| ids.values::<i64>().expect("ids").to_vec());
    let mut compared = 0;
    for name in ["bert", "deberta_v2", "gpt2", "llama", "gemma2", "t5", "bart"] {
        let model = load(&root().join("tests/families").join(name)).unwrap_or_else(|error| panic!("{name}: {error}"));
        let maps = model.run(&ids(&format!("{name}/ids")), &ids(&format!("{name}/decoder_ids")));
        let maps = maps.unwrap_or_else(|error| panic!("{name}: {error}"));
        let count = expected.keys().filter(|key| key.starts_with(&format!("{name}/")) && !key.ends_with("ids")).count();
        assert_eq!(maps.len(), count, "{name}");
        for map in maps {
            let key = format!("{name}/{}/{}", map.kind, map.layer.expect("a layer"));
            let expected = &expected[&key];
            assert_eq!(expected.shape(), [map.heads, map.queries, map.keys], "{key}");
            for (found, expected) in map.weights.iter().zip(floats(expected)) {
                assert!((found - expected).abs() < 1e-5, "{key}: {found} instead of {expected}");
            }
            assert!(map.largest_error() < 1e-5, "{key}: rows sum to 1");
            compared += 1;
        }
    }
    assert_eq!(compared, 22);
}

/// Layers that share parameters, blocks of keys, decoders that read the text of the encoder; and models that are refused.
#[test]
fn layers_are_counted_or_refused() {
    let counts: [(&str, [usize; 3]); 7] = [
        ("albert_mlm", [6, 0, 0]),
        ("bart_qa", [2, 2, 2]),
        ("big_bird", [2, 0, 0]),
        ("gemma3_base", [2, 0, 0]),
        ("longt5", [2, 2, 2]),
        ("t5_encoder", [2, 0, 0]),
        ("t5_qa", [2, 2, 2]),
    ];
    for (name, expected) in counts {
        let model = load(&root().join("tests/families").join(name)).unwrap_or_else(|error| panic!("{name}: {error}"));
        let maps = model.run(&[3, 17, 5, 40, 8], &[4, 11, 6]).unwrap_or_else(|error| panic!("{name}: {error}"));
        assert!(maps.iter().all(|map| map.largest_error() < 1e-5), "{name}: rows sum to 1");
        let found = Kind::ALL.map(|kind| maps.iter().filter(|map| map.kind == kind).count());
        assert_eq!(found, expected, "{name}");
    }
    for (name, input) in [("clip", "pixel_values"), ("whisper", "input_features"), ("layoutlm", "bbox")] {
        let error =
            load(&root().join("tests/families").join(name)).expect_err("it is not a model for texts").to_string();
        assert!(error.starts_with(&format!("the model takes `{input}`")), "{name}: {error}");
    }
}

#[test]
fn rollout_multiplies_layers_with_residual_connections() {
    let map = |layer, weights: &[f32]| AttentionMap {
        kind: Kind::Encoder,
        layer: Some(layer),
        name: format!("layer {layer}"),
        heads: 2,
        queries: 2,
        keys: 2,
        weights: weights.to_vec(),
    };
    // The means over heads are [[1, 0], [0.5, 0.5]] and [[0, 1], [1, 0]].
    let maps = [map(0, &[1., 0., 1., 0., 1., 0., 0., 1.]), map(1, &[0., 1., 1., 0., 0., 1., 1., 0.])];
    let averaged = maps[0].averaged();
    assert_eq!((averaged.heads, &averaged.weights[..]), (1, &[1., 0., 0.5, 0.5][..]));
    let found = rollout(&maps);
    // [[0.5, 0.5], [0.5, 0.5]] · [[1, 0], [0.25, 0.75]]
    assert_eq!(found.len(), 1);
    assert_eq!((found[0].layer, &found[0].weights[..]), (None, &[0.625, 0.375, 0.625, 0.375][..]));
    assert!(found[0].largest_error() < 1e-7);
}

/// The decoder of dates reads each digit off the characters that say it.
#[test]
fn a_digit_of_a_date_attends_to_its_characters() {
    let model = load(&root().join("examples/dates")).unwrap_or_else(|error| panic!("{error}"));
    let vocab = std::fs::read_to_string(root().join("examples/dates/vocab.json")).expect("the vocabulary");
    let vocab: serde_json::Value = serde_json::from_str(&vocab).expect("JSON");
    let vocab: Vec<&str> =
        vocab["vocab"].as_array().expect("a list").iter().filter_map(|token| token.as_str()).collect();
    let id = |token: &str| {
        vocab.iter().position(|own| *own == token).and_then(|id| i64::try_from(id).ok()).expect("a token")
    };
    let text = "March 3, 1987";
    let mut ids: Vec<i64> = text.chars().map(|c| id(&c.to_string())).collect();
    ids.push(id("<eos>"));
    let decoded = model.decode(&ids, &[id("<bos>")], &[id("<eos>")], 16).unwrap_or_else(|error| panic!("{error}"));
    let written: String = decoded[1..].iter().map(|id| vocab[usize::try_from(*id).expect("an id")]).collect();
    assert_eq!(written, "1987-03-03");
    let maps = model.run(&ids, &decoded).unwrap_or_else(|error| panic!("{error}"));
    let cross: Vec<AttentionMap> = maps.into_iter().filter(|map| map.kind == Kind::Cross).collect();
    assert_eq!(cross.len(), 3);
    // The token before a digit chooses it. Each digit of the year has a head that looks at that digit most.
    for (token, digit) in ["1", "9", "8", "7"].into_iter().enumerate() {
        let at = text.rfind(digit).expect("the digit is in the text");
        let largest =
            cross.iter().flat_map(|map| (0..map.heads).map(move |head| map.head(head)[token * map.keys + at]));
        let largest = largest.fold(0.0, f32::max);
        assert!(largest > 0.5, "{digit}: {largest}");
    }
}

#[test]
fn bad_tokens_are_errors() {
    let bert = load(&root().join("tests/families/bert")).unwrap_or_else(|error| panic!("{error}"));
    for (tokens, expected) in [
        (vec![], "there are no tokens"),
        (vec![3, 48], "the token 48 is not in the vocabulary, which has 48 tokens"),
        (vec![-1], "the token -1 is not in the vocabulary"),
    ] {
        let error = bert.run(&tokens, &[]).expect_err("the tokens are wrong").to_string();
        assert!(error.starts_with(expected), "{error}");
    }
    // The model has 24 positions.
    assert!(matches!(bert.run(&[3; 25], &[]), Err(AttentionError::Verify(_))));
}
