//! Running a model in tract.

use crate::file::{ModelFile, Port};
use crate::{Array, Error, gate, quiet};
use netwright_ir::{Bindings, Dim};
use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tract_onnx::model::ParsingContext;
use tract_onnx::prelude::{
    Datum, InferenceModel, InferenceModelExt, IntoRunnable, IntoTValue, SymbolValues, TDim, TValue, TVec, Tensor,
    ToDim, TractResult, TypedFact, TypedOp, TypedRunnableModel,
};
use tract_onnx::tract_core::plan::SimpleState;
use tract_onnx::tract_hir::infer::{DimFact, ShapeFactoid};

type State = SimpleState<TypedFact, Box<dyn TypedOp>>;

const LOAD: &str = "load the model";
const RUN: &str = "run the model";

/// A model that is loaded in tract, ready to run as often as wanted, with any binding of its symbolic dims.
///
/// It was optimized by tract as it stands (`into_optimized`, dims symbolic), after passing the [gate](crate::gate).
///
/// ```no_run
/// use netwright_verify::{Array, Session};
/// let encoder = Session::load("encoder_model.onnx".as_ref())?;
/// let ids = Array::new([1, 3], vec![5_i64, 7, 2])?;
/// let mask = Array::new([1, 3], vec![1_i64; 3])?;
/// let memory = encoder.run(&[("input_ids", &ids), ("attention_mask", &mask)])?.remove(0).1;
/// # Ok::<(), netwright_verify::Error>(())
/// ```
#[derive(Debug)]
pub struct Session {
    file: String,
    plan: Arc<TypedRunnableModel>,
    /// In tract's order.
    inputs: Vec<Port>,
    outputs: Vec<String>,
}

impl Session {
    /// Loads a model file; its external data must lie beneath its folder.
    pub fn load(path: &Path) -> Result<Self, Error> {
        Self::new(&ModelFile::open(path)?)
    }

    /// Loads a model.
    pub fn new(file: &ModelFile) -> Result<Self, Error> {
        Self::of(file, file.output_names(), None)
    }

    /// Loads a model for these sizes of its symbols only: some models tract loads in no other way.
    pub fn for_sizes(file: &ModelFile, sizes: &Bindings) -> Result<Self, Error> {
        Self::of(file, file.output_names(), Some(sizes))
    }

    /// Loads a model to compute these values, which may be any of its main graph; with dims symbolic, or for these
    /// sizes only.
    pub(crate) fn of(file: &ModelFile, outputs: Vec<String>, sizes: Option<&Bindings>) -> Result<Self, Error> {
        let reasons = gate(file);
        if !reasons.is_empty() {
            return Err(Error::NotVerifiable { file: file.name.clone(), reasons });
        }
        let mut inputs = file.inputs();
        let (plan, order) = guard(&file.name, LOAD, || {
            let mut model = parse(file)?;
            if let Some(sizes) = sizes {
                fix(&mut model, &inputs, sizes)?;
            }
            model.select_outputs_by_name(&outputs)?;
            let plan = model.into_optimized()?.into_runnable()?;
            let model = plan.model();
            let order: Vec<String> =
                model.input_outlets()?.iter().map(|input| model.node(input.node).name.clone()).collect();
            Ok((plan, order))
        })?;
        // tract takes inputs by position.
        inputs.sort_by_key(|port| order.iter().position(|name| *name == port.name));
        Ok(Self { file: file.name.clone(), plan, inputs, outputs })
    }

    /// The inputs to be given.
    pub fn inputs(&self) -> &[Port] {
        &self.inputs
    }

    /// Runs it once; inputs by name in any order, outputs in the model's order.
    pub fn run(&self, inputs: &[(&str, &Array)]) -> Result<Vec<(String, Array)>, Error> {
        self.exec(inputs, |state| {
            state.exec()?;
            let values = state.outputs()?;
            let symbols = &state.turn_state.resolved_symbols;
            self.outputs.iter().cloned().zip(values).map(|(name, value)| Ok((name, array(&value, symbols)?))).collect()
        })
    }

    /// How long tract takes to run it once, from inputs to outputs of its own.
    pub fn time(&self, inputs: &[(&str, &Array)]) -> Result<Duration, Error> {
        self.exec(inputs, |state| {
            let start = Instant::now();
            state.exec()?;
            let outputs = state.outputs()?;
            let time = start.elapsed();
            drop(outputs);
            Ok(time)
        })
    }

    /// Runs what is done with the inputs set.
    fn exec<T>(&self, inputs: &[(&str, &Array)], run: impl FnOnce(&mut State) -> TractResult<T>) -> Result<T, Error> {
        if let Some((unknown, _)) = inputs.iter().find(|(name, _)| self.inputs.iter().all(|port| port.name != *name)) {
            return Err(Error::UnknownInput {
                file: self.file.clone(),
                input: (*unknown).to_owned(),
                inputs: list(self.inputs.iter().map(|port| port.name.as_str())),
            });
        }
        let given = self.inputs.iter().map(|port| self.given(port, inputs)).collect::<Result<Vec<_>, _>>()?;
        guard(&self.file, RUN, || {
            let tensors = given.iter().map(|array| Ok(array.to_tract()?.into_tvalue())).collect::<TractResult<_>>()?;
            let mut state = self.plan.spawn()?;
            state.set_inputs(tensors)?;
            run(&mut state)
        })
    }

    fn given<'a>(&self, port: &Port, inputs: &[(&str, &'a Array)]) -> Result<&'a Array, Error> {
        let file = || self.file.clone();
        let expected = port.ty.as_ref().map_or_else(String::new, ToString::to_string);
        let Some((_, array)) = inputs.iter().find(|(name, _)| *name == port.name) else {
            return Err(Error::MissingInput { file: file(), input: port.name.clone(), expected });
        };
        if port.ty.as_ref().is_some_and(|ty| ty.element != array.element()) {
            let found = array.to_string();
            return Err(Error::InputType { file: file(), input: port.name.clone(), expected, found });
        }
        Ok(array)
    }
}

fn parse(file: &ModelFile) -> TractResult<InferenceModel> {
    let mut framework = tract_onnx::onnx().with_ignore_output_shapes(false);
    framework.provider = Arc::new(file.weights.clone());
    let context = ParsingContext {
        onnx_operator_set_version: file.opset().unwrap_or(0),
        framework: &framework,
        model: &file.model,
        parent_graphs: vec![],
        // Weights are found by their place in a list, whatever the folder.
        model_dir: Some("."),
        template: InferenceModel::default(),
    };
    let parsed = context.parse_graph(&file.graph)?;
    if parsed.unresolved_inputs.is_empty() {
        Ok(parsed.model)
    } else {
        let missing = list(parsed.unresolved_inputs.iter().map(String::as_str));
        Err(std::io::Error::other(format!("nothing produces {missing}")).into())
    }
}

/// Puts sizes in place of the symbols.
fn fix(model: &mut InferenceModel, inputs: &[Port], sizes: &Bindings) -> TractResult<()> {
    let known = sizes.iter().filter_map(|(symbol, size)| Some((model.symbols.get(symbol.as_str())?, size.to_dim())));
    let known: HashMap<_, _> = known.collect();
    model.set_symbols(&known)?;
    for (at, port) in inputs.iter().enumerate() {
        let Some(shape) = port.ty.as_ref().and_then(|ty| ty.shape.as_ref()) else { continue };
        let size = |dim: &Dim| dim.evaluate(sizes).map_or_else(DimFact::default, |size| size.to_dim().into());
        let shape: TVec<_> = shape.iter().map(size).collect();
        let fact = model.input_fact(at)?.clone().with_shape(ShapeFactoid::closed(shape));
        model.set_input_fact(at, fact)?;
    }
    Ok(())
}

/// The array of a value; tract computes with int64 as expressions over the symbols, which are known by then.
fn array(value: &TValue, symbols: &SymbolValues) -> TractResult<Array> {
    let tensor: &Tensor = value;
    let found = if tensor.datum_type() == TDim::datum_type() {
        let dims = tensor.try_as_plain_ram()?;
        let sizes: Vec<i64> =
            dims.as_slice::<TDim>()?.iter().map(|dim| dim.eval_to_i64(symbols)).collect::<TractResult<_>>()?;
        Some(Array::new(tensor.shape(), sizes)?)
    } else {
        Array::from_tract(tensor)?
    };
    found.ok_or_else(|| {
        std::io::Error::other(format!("a value has elements of tract's own type {:?}", tensor.datum_type())).into()
    })
}

fn guard<T>(file: &str, action: &'static str, work: impl FnOnce() -> TractResult<T>) -> Result<T, Error> {
    let file = file.to_owned();
    match quiet::catch(work) {
        Ok(Ok(done)) => Ok(done),
        Ok(Err(error)) => Err(Error::Tract { file, action, cause: format!("{error:#}") }),
        Err(cause) => Err(Error::Panic { file, action, cause }),
    }
}

pub(crate) fn list<'a>(names: impl Iterator<Item = &'a str>) -> String {
    let names: Vec<_> = names.map(|name| format!("`{name}`")).collect();
    if names.is_empty() { "none".to_owned() } else { names.join(", ") }
}
