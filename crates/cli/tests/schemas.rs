//! What commands print with `--json` fits the schema that `netwright schema` prints.

mod common;

use common::{in_repository, netwright};
use serde_json::Value;
use std::fs;
use std::path::Path;
use tempfile::TempDir;

fn json(folder: &Path, arguments: &[&str]) -> Value {
    let output = netwright(folder, arguments);
    serde_json::from_slice(&output.stdout)
        .unwrap_or_else(|error| panic!("{arguments:?}: {error}: {}", String::from_utf8_lossy(&output.stderr)))
}

/// Returns where a value does not fit a schema. A field that the schema does not name does not fit, and neither does a
/// schema with a keyword that is not known here.
fn misfit(schema: &Value, root: &Value, value: &Value, at: &str) -> Result<(), String> {
    let fail = |why: &str| Err(format!("{at}: {why}: {value}"));
    let Some(schema) = schema.as_object() else {
        return if schema == &Value::Bool(true) { Ok(()) } else { fail("nothing fits") };
    };
    // The variants of a tagged enum with fields of its own beside: all fields must be named by one or the other.
    let named = |name: &str| {
        let has = |schema: &Value| schema["properties"].get(name).is_some();
        schema.get("properties").is_some_and(|fields| fields.get(name).is_some()) || schema.values().any(has)
    };
    for (keyword, law) in schema {
        match keyword.as_str() {
            "$schema" | "$defs" | "title" | "description" | "format" | "default" => {}
            "$ref" => {
                let path = law.as_str().and_then(|path| path.strip_prefix('#')).ok_or("a reference to another file")?;
                let target = root.pointer(path).ok_or_else(|| format!("{path} is not in the schema"))?;
                misfit(target, root, value, at)?;
            }
            "type" => {
                let of_type = |word: &Value| match word.as_str() {
                    Some("object") => value.is_object(),
                    Some("array") => value.is_array(),
                    Some("string") => value.is_string(),
                    Some("integer") => value.is_i64() || value.is_u64(),
                    Some("number") => value.is_number(),
                    Some("boolean") => value.is_boolean(),
                    Some("null") => value.is_null(),
                    _ => false,
                };
                let fits = law.as_array().map_or_else(|| of_type(law), |words| words.iter().any(of_type));
                if !fits {
                    return fail(&format!("it is not of type {law}"));
                }
            }
            "properties" => {
                let Some(fields) = value.as_object() else { continue };
                for (name, field) in fields {
                    match law.get(name) {
                        Some(schema) => misfit(schema, root, field, &format!("{at}.{name}"))?,
                        None if named(name) => {}
                        None => return fail(&format!("the schema has no field {name}")),
                    }
                }
            }
            "required" => {
                let mut names = law.as_array().into_iter().flatten().filter_map(Value::as_str);
                if let Some(name) = names.find(|name| value.get(name).is_none()) {
                    return fail(&format!("the field {name} is missing"));
                }
            }
            "additionalProperties" => {
                let is_named = |name: &str| schema.get("properties").is_some_and(|fields| fields.get(name).is_some());
                for (name, field) in value.as_object().into_iter().flatten().filter(|(name, _)| !is_named(name)) {
                    misfit(law, root, field, &format!("{at}.{name}"))?;
                }
            }
            "items" => {
                for (index, item) in value.as_array().into_iter().flatten().enumerate() {
                    misfit(law, root, item, &format!("{at}[{index}]"))?;
                }
            }
            "minimum" => {
                if value.as_f64().is_some_and(|number| Some(number) < law.as_f64()) {
                    return fail("it is too small");
                }
            }
            "maximum" => {
                if value.as_f64().is_some_and(|number| Some(number) > law.as_f64()) {
                    return fail("it is too large");
                }
            }
            "const" if law == value => {}
            "enum" if law.as_array().is_some_and(|words| words.contains(value)) => {}
            "const" | "enum" => return fail("it is another word"),
            "oneOf" | "anyOf" => {
                let variants: Vec<&Value> = law.as_array().into_iter().flatten().collect();
                let judged = variants.iter().map(|schema| misfit(schema, root, value, at));
                let misfits: Vec<String> = judged.filter_map(Result::err).collect();
                if misfits.len() == variants.len() {
                    return fail(&format!("it fits no variant: {}", misfits.join("; ")));
                }
            }
            other => return fail(&format!("the keyword {other} is not known")),
        }
    }
    Ok(())
}

#[test]
fn every_command_fits_its_schema() {
    let folder = TempDir::new().expect("a folder");
    let at = folder.path();
    fs::copy(in_repository("tests/interop/models/bert.legacy.onnx"), at.join("model.onnx")).expect("copied");
    fs::copy(in_repository("tests/interop/models/deberta_v2.dynamo.onnx"), at.join("deberta.onnx")).expect("copied");
    fs::create_dir(at.join("dates")).expect("a folder");
    for file in ["config.json", "model.safetensors"] {
        fs::copy(in_repository("examples/dates").join(file), at.join("dates").join(file)).expect("copied");
    }
    fs::create_dir(at.join("llama")).expect("a folder");
    for file in ["families/llama/config.json", "families/llama/model.safetensors", "generation/tokenizer.json"] {
        let from = in_repository("tests").join(file);
        fs::copy(&from, at.join("llama").join(from.file_name().expect("a name"))).expect("copied");
    }
    let calls: [(&str, &[&str]); 36] = [
        ("generate", &["generate", "llama", "-p", "a", "-p", "on", "--stop", "k", "--no-cache"]),
        ("generate", &["generate", "llama", "-p", "a", "--num-beams", "2", "--no-cache"]),
        ("build", &["build", "dates", "-o", "built", "--verify", "--quantize", "int8", "--target", "ort"]),
        ("build", &["build", "dates", "-o", "merged", "--with-past", "--kv-cache", "merged"]),
        ("build", &["build", "dates", "-o", "dates.onnx", "--part", "encoder", "--no-optimize"]),
        ("optimize", &["optimize", "model.onnx"]),
        ("optimize", &["optimize", "model.onnx", "new.onnx", "--target", "ort", "--verify", "--explain", "--prove"]),
        ("optimize", &["optimize", "dates.onnx", "small.onnx", "--target", "ort", "--quantize", "int4", "--explain"]),
        ("optimize", &["optimize", "model.onnx", "half.onnx", "--dtype", "f16", "--io-dtype", "f16"]),
        ("optimize", &["optimize", "model.onnx", "deberta.onnx", "-o", "several/"]),
        ("optimize", &["optimize", "model.onnx", "--external-data", "always", "--stop-after", "1"]),
        ("optimize", &["optimize", "merged/decoder_model_merged.onnx", "--split-branches", "-o", "branches"]),
        ("clients", &["clients"]),
        ("upgrade", &["upgrade", "model.onnx", "-o", "upgraded.onnx", "--opset", "21"]),
        ("verify", &["verify", "model.onnx"]),
        ("verify", &["verify", "model.onnx", "new.onnx", "--by-layer"]),
        ("verify", &["verify", "dates.onnx", "small.onnx"]),
        ("verify", &["verify", "model.onnx", "deberta.onnx"]),
        ("verify", &["verify", "model.onnx", "new.onnx", "--tolerance", "0"]),
        ("check", &["check", "model.onnx"]),
        ("inspect", &["inspect", "model.onnx", "--text"]),
        ("inspect", &["inspect", "model.onnx", "--dim", "batch=1", "--dim", "seq=8"]),
        ("inspect", &["inspect", "model.onnx", "--weights"]),
        ("inspect", &["inspect", "several"]),
        ("bench", &["bench", "model.onnx", "new.onnx", "--rounds", "2", "--runtime", "tract"]),
        ("extract", &["extract", "model.onnx", "-o", "part.onnx"]),
        ("split", &["split", "model.onnx", "--size", "100kB", "-o", "parts"]),
        ("merge", &["merge", "parts/parts.json", "-o", "merged.onnx"]),
        ("strip", &["strip", "model.onnx", "-o", "stripped.onnx"]),
        ("externalize", &["externalize", "model.onnx", "-o", "external.onnx"]),
        ("embed", &["embed", "external.onnx", "-o", "embedded.onnx"]),
        ("passes", &["passes"]),
        ("attention", &["attention", "dates", "--ids", "31,45,2"]),
        ("attention", &["attention", "dates", "--ids", "31,2", "--rollout", "-o", "dates.svg"]),
        ("error", &["error"]),
        ("error", &["error", "NW0101"]),
    ];
    for (command, arguments) in calls {
        let schema = json(at, &["schema", command]);
        let printed = json(at, &[arguments, &["--json"]].concat());
        if let Err(why) = misfit(&schema, &schema, &printed, command) {
            panic!("{arguments:?}: {why}");
        }
        // A judge that accepts everything would be of no use.
        assert!(misfit(&schema, &schema, &Value::String("other".to_owned()), command).is_err(), "{command}");
    }
}

#[test]
fn other_values_do_not_fit() {
    let folder = TempDir::new().expect("a folder");
    let schema = json(folder.path(), &["schema", "upgrade"]);
    for (text, fits) in [
        (r#"{"opset": 21, "bytes": 5}"#, true),
        (r#"{"opset": 21}"#, false),
        (r#"{"opset": "21", "bytes": 5}"#, false),
        (r#"{"opset": 21, "bytes": -5}"#, false),
        (r#"{"opset": 21, "bytes": 5, "more": 1}"#, false),
    ] {
        let value: Value = serde_json::from_str(text).expect("it is JSON");
        assert_eq!(misfit(&schema, &schema, &value, "upgrade").is_ok(), fits, "{text}");
    }
}
