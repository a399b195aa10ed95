//! Runs models in tract.

use crate::file::{ModelFile, Port};
use crate::run::list;
use crate::{Array, VerifyError, runtime};
use half::f16;
use netwright_ir::{Bindings, Dim};
use std::collections::HashMap;
use std::ops::Range;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tract_onnx::model::ParsingContext;
use tract_onnx::prelude::{
    Datum, DatumType, InferenceModel, InferenceModelExt, IntoRunnable, IntoTValue, SymbolValues, TDim, TValue, TVec,
    Tensor, ToDim, TractResult, TypedFact, TypedModel, TypedOp, TypedRunnableModel,
};
use tract_onnx::tract_core::optim::Optimizer;
use tract_onnx::tract_core::plan::SimpleState;
use tract_onnx::tract_hir::infer::{DimFact, ShapeFactoid};

type State = SimpleState<TypedFact, Box<dyn TypedOp>>;

/// A model that tract has loaded.
#[derive(Debug)]
pub(crate) struct Plan(Arc<TypedRunnableModel>);

impl Plan {
    /// Loads a model to compute `outputs`; also returns the names of the inputs in tract's order.
    pub(crate) fn load(
        file: &ModelFile,
        inputs: &[Port],
        outputs: &[String],
        sizes: Option<&Bindings>,
        optimize: bool,
    ) -> Result<(Self, Vec<String>), VerifyError> {
        guard(&file.name, runtime::LOAD, || {
            let mut model = parse(file)?;
            if let Some(sizes) = sizes {
                fix(&mut model, inputs, sizes)?;
            }
            model.select_outputs_by_name(outputs)?;
            let model = if optimize { optimized(model)? } else { model.into_typed()? };
            let plan = model.into_runnable()?;
            let model = plan.model();
            let order = model.input_outlets()?.iter().map(|input| model.node(input.node).name.clone()).collect();
            Ok((Self(plan), order))
        })
    }

    /// Runs the model with inputs in tract's order; returns the requested outputs in their order.
    pub(crate) fn run(&self, file: &str, inputs: &[&Array]) -> Result<Vec<Array>, VerifyError> {
        self.exec(file, inputs, |state| {
            state.exec()?;
            let values = state.outputs()?;
            let symbols = &state.turn_state.resolved_symbols;
            values.iter().map(|value| array(value, symbols)).collect()
        })
    }

    /// Runs the model with tensors in tract's order, and returns the requested outputs in their order.
    pub(crate) fn run_tensors(&self, file: &str, inputs: Vec<TValue>) -> Result<Vec<TValue>, VerifyError> {
        guard(file, runtime::RUN, || {
            let mut state = self.0.spawn()?;
            state.set_inputs(inputs.into())?;
            state.exec()?;
            let values = state.outputs()?;
            let symbols = &state.turn_state.resolved_symbols;
            // Sizes are evaluated as long as the symbols are known.
            let known = |value: TValue| {
                let is_size = value.datum_type() == TDim::datum_type();
                if is_size { Ok(array(&value, symbols)?.to_tract()?.into_tvalue()) } else { Ok(value) }
            };
            values.into_iter().map(known).collect()
        })
    }

    /// Returns the time of one run, without conversion of inputs and outputs.
    pub(crate) fn time(&self, file: &str, inputs: &[&Array]) -> Result<Duration, VerifyError> {
        self.exec(file, inputs, |state| {
            let start = Instant::now();
            state.exec()?;
            let outputs = state.outputs()?;
            let time = start.elapsed();
            drop(outputs);
            Ok(time)
        })
    }

    /// Sets the inputs, and calls `run`.
    fn exec<T>(
        &self,
        file: &str,
        inputs: &[&Array],
        run: impl FnOnce(&mut State) -> TractResult<T>,
    ) -> Result<T, VerifyError> {
        guard(file, runtime::RUN, || {
            let tensors = inputs.iter().map(|array| Ok(array.to_tract()?.into_tvalue())).collect::<TractResult<_>>()?;
            let mut state = self.0.spawn()?;
            state.set_inputs(tensors)?;
            run(&mut state)
        })
    }
}

/// Returns a range of the elements of a tensor as f32; `None` if they are not floats.
pub(crate) fn floats(file: &str, tensor: &TValue, range: Range<usize>) -> Result<Option<Vec<f32>>, VerifyError> {
    guard(file, runtime::READ, || {
        let view = tensor.try_as_plain_ram()?;
        Ok(match tensor.datum_type() {
            DatumType::F32 => view.as_slice::<f32>()?.get(range).map(<[f32]>::to_vec),
            DatumType::F16 => view.as_slice::<f16>()?.get(range).map(|part| part.iter().map(|x| x.to_f32()).collect()),
            _ => None,
        })
    })
}

/// Returns the tensor whose rows along axis 0 are these rows.
pub(crate) fn gather(file: &str, tensor: &TValue, rows: &[usize]) -> Result<TValue, VerifyError> {
    guard(file, runtime::READ, || {
        let rows = rows.iter().map(|row| tensor.slice(0, *row, row + 1)).collect::<TractResult<Vec<Tensor>>>()?;
        Ok(Tensor::stack_tensors(0, &rows)?.into_tvalue())
    })
}

/// Converts an array.
pub(crate) fn tensor(file: &str, array: &Array) -> Result<TValue, VerifyError> {
    guard(file, runtime::READ, || Ok(array.to_tract()?.into_tvalue()))
}

/// Converts a tensor to an array; `None` for element types that arrays do not support.
pub(crate) fn to_array(file: &str, tensor: &TValue) -> Result<Option<Array>, VerifyError> {
    guard(file, runtime::READ, || Array::from_tract(tensor))
}

fn parse(file: &ModelFile) -> TractResult<InferenceModel> {
    let mut framework = tract_onnx::onnx().with_ignore_output_shapes(false);
    framework.provider = Arc::new(file.weights.clone());
    let context = ParsingContext {
        onnx_operator_set_version: file.opset().unwrap_or(0),
        framework: &framework,
        model: &file.model,
        parent_graphs: vec![],
        // The folder is not used: weights are found by their index.
        model_dir: Some("."),
        template: InferenceModel::default(),
    };
    let parsed = context.parse_graph(&file.graph)?;
    if parsed.unresolved_inputs.is_empty() {
        Ok(parsed.model)
    } else {
        let missing = list(parsed.unresolved_inputs.iter().map(String::as_str));
        Err(std::io::Error::other(format!("no node produces {missing}")).into())
    }
}

/// Passes of tract 0.23.9 that compute wrong shapes or values for a mask made of a Range and a comparison.
const LEFT_OUT: [&str; 3] = ["PropagateUniformTdim", "PropagateRoi", "FoldUniformMask"];

/// Does what `into_optimized` does, without [`LEFT_OUT`].
fn optimized(model: InferenceModel) -> TractResult<TypedModel> {
    let mut model = model.into_typed()?;
    let mut declutter = Optimizer::declutter();
    declutter.passes.retain(|pass| {
        let pass = format!("{pass:?}");
        LEFT_OUT.iter().all(|name| !pass.starts_with(name))
    });
    declutter.optimize(&mut model)?;
    model.optimize()?;
    Ok(model)
}

/// Replaces the symbols of the inputs by sizes.
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

/// Converts a value to an array, evaluating i64 expressions over symbols.
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
        std::io::Error::other(format!("a value has elements of type {:?}, which only tract has", tensor.datum_type()))
            .into()
    })
}

fn guard<T>(file: &str, action: &'static str, work: impl FnOnce() -> TractResult<T>) -> Result<T, VerifyError> {
    runtime::guard(file, runtime::TRACT, action, || work().map_err(|error| format!("{error:#}")))
}
