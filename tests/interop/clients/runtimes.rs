//! Runs models in the `ort` crate or in tract, as a program that depends on one of them does, without Netwright.
//!
//! ```text
//! runtimes ort|tract < REQUEST.json
//! ```
//!
//! A request is a list of passes, each with the file of a model, its inputs, and the outputs to print: `{"model": PATH,
//! "inputs": {NAME: ARRAY}, "keep": [NAME]}`. An array is `{"type": "int64", "dims": [], "data": []}`, or the output of an
//! earlier pass: `{"pass": 0, "output": NAME}`. The answer is a list of `{NAME: ARRAY}`.

use half::f16;
use ort::session::{Session, SessionInputValue};
use ort::value::TensorElementType;
use serde_json::{Map, Value as Json, json};
use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::error::Error;
use std::io;
use std::sync::Arc;
use tract_onnx::prelude::{Datum, Framework, InferenceModelExt, IntoRunnable, IntoTValue, Tensor, TypedRunnableModel};

type Fallible<T> = Result<T, Box<dyn Error>>;

/// An array of any type; no number of a request needs more digits.
#[derive(Clone, Debug)]
struct Array {
    ty: &'static str,
    dims: Vec<usize>,
    data: Vec<f64>,
}

const TYPES: [&str; 4] = ["float32", "float16", "int64", "bool"];

impl Array {
    fn read(json: &Json) -> Fallible<Self> {
        let list = |name: &str| json[name].as_array().ok_or_else(|| format!("an array has no {name}"));
        let ty = TYPES.iter().find(|ty| json["type"] == **ty).ok_or("an array has an unknown type")?;
        let dims = list("dims")?.iter().filter_map(|dim| usize::try_from(dim.as_u64()?).ok()).collect();
        let data = list("data")?.iter().map(|number| number.as_f64().unwrap_or(f64::NAN)).collect();
        Ok(Self { ty, dims, data })
    }

    fn json(&self) -> Json {
        json!({"type": self.ty, "dims": self.dims, "data": self.data})
    }

    fn to_ort(&self) -> Fallible<SessionInputValue<'static>> {
        let dims = self.dims.clone();
        Ok(match self.ty {
            "float32" => ort::value::Tensor::from_array((dims, self.as_f32()))?.into(),
            "float16" => ort::value::Tensor::from_array((dims, self.as_f16()))?.into(),
            "int64" => ort::value::Tensor::from_array((dims, self.as_i64()))?.into(),
            _ => ort::value::Tensor::from_array((dims, self.as_bool()))?.into(),
        })
    }

    fn to_tract(&self) -> Fallible<Tensor> {
        Ok(match self.ty {
            "float32" => Tensor::from_shape(&self.dims, &self.as_f32())?,
            "float16" => Tensor::from_shape(&self.dims, &self.as_f16())?,
            "int64" => Tensor::from_shape(&self.dims, &self.as_i64())?,
            _ => Tensor::from_shape(&self.dims, &self.as_bool())?,
        })
    }

    fn as_f32(&self) -> Vec<f32> {
        self.data.iter().map(|number| narrow(*number)).collect()
    }

    fn as_f16(&self) -> Vec<f16> {
        self.data.iter().map(|number| f16::from_f64(*number)).collect()
    }

    #[expect(clippy::cast_possible_truncation, reason = "ids, masks and positions are small")]
    fn as_i64(&self) -> Vec<i64> {
        self.data.iter().map(|number| *number as i64).collect()
    }

    fn as_bool(&self) -> Vec<bool> {
        self.data.iter().map(|number| *number != 0.0).collect()
    }
}

#[expect(clippy::cast_possible_truncation, reason = "the numbers were f32 before")]
fn narrow(number: f64) -> f32 {
    number as f32
}

/// A runtime with the models that it has loaded, by path.
enum Runtime {
    Ort(HashMap<String, Session>),
    Tract(HashMap<String, Arc<TypedRunnableModel>>),
}

impl Runtime {
    fn run(&mut self, model: &str, inputs: &[(String, Array)]) -> Fallible<HashMap<String, Array>> {
        match self {
            Self::Ort(loaded) => {
                let session = match loaded.entry(model.to_owned()) {
                    Entry::Occupied(known) => known.into_mut(),
                    Entry::Vacant(free) => free.insert(Session::builder()?.commit_from_file(model)?),
                };
                let inputs: Vec<(&str, SessionInputValue<'_>)> =
                    inputs.iter().map(|(name, array)| Ok((name.as_str(), array.to_ort()?))).collect::<Fallible<_>>()?;
                let outputs = session.run(inputs)?;
                outputs.iter().map(|(name, value)| Ok((name.to_owned(), from_ort(&value)?))).collect()
            }
            Self::Tract(loaded) => {
                let plan = match loaded.entry(model.to_owned()) {
                    Entry::Occupied(known) => known.into_mut(),
                    Entry::Vacant(free) => {
                        free.insert(tract_onnx::onnx().model_for_path(model)?.into_optimized()?.into_runnable()?)
                    }
                };
                let graph = plan.model();
                let mut given = vec![];
                for input in graph.input_outlets()? {
                    let name = &graph.node(input.node).name;
                    let (_, array) = inputs.iter().find(|(own, _)| own == name).ok_or(format!("no input {name}"))?;
                    given.push(array.to_tract()?.into_tvalue());
                }
                let outputs = plan.run(given.into())?;
                let names = graph.output_outlets()?.iter().map(|output| {
                    let label = graph.outlet_label(*output).map(ToOwned::to_owned);
                    label.unwrap_or_else(|| graph.node(output.node).name.clone())
                });
                names.zip(&outputs).map(|(name, value)| Ok((name, from_tract(value)?))).collect()
            }
        }
    }
}

fn from_ort(value: &ort::value::ValueRef<'_>) -> Fallible<Array> {
    let dims = |shape: &ort::value::Shape| shape.iter().filter_map(|dim| usize::try_from(*dim).ok()).collect();
    Ok(match value.dtype().tensor_type() {
        Some(TensorElementType::Float32) => {
            let (shape, data) = value.try_extract_tensor::<f32>()?;
            Array { ty: "float32", dims: dims(shape), data: data.iter().map(|number| f64::from(*number)).collect() }
        }
        Some(TensorElementType::Float16) => {
            let (shape, data) = value.try_extract_tensor::<f16>()?;
            Array { ty: "float16", dims: dims(shape), data: data.iter().map(|number| number.to_f64()).collect() }
        }
        other => return Err(format!("an output is of type {other:?}").into()),
    })
}

fn from_tract(value: &Tensor) -> Fallible<Array> {
    let dims = value.shape().to_vec();
    let view = value.try_as_plain_ram()?;
    Ok(if value.datum_type() == f32::datum_type() {
        Array { ty: "float32", dims, data: view.as_slice::<f32>()?.iter().map(|number| f64::from(*number)).collect() }
    } else if value.datum_type() == f16::datum_type() {
        Array { ty: "float16", dims, data: view.as_slice::<f16>()?.iter().map(|number| number.to_f64()).collect() }
    } else {
        return Err(format!("an output is of type {:?}", value.datum_type()).into());
    })
}

fn main() -> Fallible<()> {
    let mut runtime = match std::env::args().nth(1).as_deref() {
        Some("ort") => Runtime::Ort(HashMap::new()),
        Some("tract") => Runtime::Tract(HashMap::new()),
        _ => return Err("usage: runtimes ort|tract < REQUEST.json".into()),
    };
    let request: Json = serde_json::from_reader(io::stdin().lock())?;
    let mut done: Vec<HashMap<String, Array>> = vec![];
    let mut answer = vec![];
    for pass in request.as_array().ok_or("the request is not a list")? {
        let mut inputs = vec![];
        for (name, array) in pass["inputs"].as_object().ok_or("a pass has no inputs")? {
            let earlier = array["pass"].as_u64().and_then(|at| done.get(usize::try_from(at).ok()?));
            let array = match earlier {
                Some(outputs) => outputs[array["output"].as_str().ok_or("an output has no name")?].clone(),
                None => Array::read(array)?,
            };
            inputs.push((name.clone(), array));
        }
        let outputs = runtime.run(pass["model"].as_str().ok_or("a pass has no model")?, &inputs)?;
        let kept = pass["keep"].as_array().into_iter().flatten().filter_map(Json::as_str);
        answer.push(kept.map(|name| (name.to_owned(), outputs[name].json())).collect::<Map<_, _>>());
        done.push(outputs);
    }
    serde_json::to_writer(io::stdout().lock(), &answer)?;
    Ok(())
}
