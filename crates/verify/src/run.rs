//! A loaded model that can run.

use crate::file::{ModelFile, Port};
use crate::onnx_runtime::Loaded;
use crate::resident::Form;
use crate::runtime::READ;
use crate::tract::Plan;
use crate::{Array, Resident, Runtime, VerifyError, gate, tract};
use netwright_ir::Bindings;
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

/// A model that is loaded in a runtime and can run any number of times, with any sizes of its symbolic dims.
///
/// In tract, the model must pass the [gate](crate::gate). It is optimized with symbolic dims, by all passes of tract
/// that are correct.
///
/// ```no_run
/// use netwright_verify::{Array, OnnxRuntime, Runtime, Session};
/// let encoder = Session::load("encoder_model.onnx")?;
/// let ids = Array::new([1, 3], vec![5_i64, 7, 2])?;
/// let mask = Array::new([1, 3], vec![1_i64; 3])?;
/// let inputs = [("input_ids", &ids), ("attention_mask", &mask)];
/// let memory = encoder.run(&inputs)?.remove(0).1;
///
/// let runtime = Runtime::Ort(OnnxRuntime::find()?);
/// let encoder = Session::load_in("encoder_model.onnx", &runtime)?;
/// let also_memory = encoder.run(&inputs)?.remove(0).1;
/// # Ok::<(), netwright_verify::VerifyError>(())
/// ```
#[derive(Debug)]
pub struct Session {
    file: String,
    engine: Engine,
    /// The inputs in the order of the runtime.
    inputs: Vec<Port>,
    outputs: Vec<String>,
}

#[derive(Debug)]
enum Engine {
    Tract(Plan),
    Ort(Loaded),
}

impl Session {
    /// Loads a model file in tract; its external data must lie beneath its folder.
    ///
    /// # Errors
    /// If the file cannot be read, or if tract does not load the model or would compute it wrong.
    pub fn load(path: impl AsRef<Path>) -> Result<Self, VerifyError> {
        Self::load_in(path, &Runtime::Tract)
    }

    /// Loads a model file in a runtime; its external data must lie beneath its folder.
    ///
    /// # Errors
    /// If the file cannot be read, or if the runtime does not load the model or would compute it wrong.
    pub fn load_in(path: impl AsRef<Path>, runtime: &Runtime) -> Result<Self, VerifyError> {
        Self::new_in(&ModelFile::open(path)?, runtime)
    }

    /// Loads a model in tract.
    ///
    /// # Errors
    /// If tract does not load the model, or would compute it wrong.
    pub fn new(file: &ModelFile) -> Result<Self, VerifyError> {
        Self::new_in(file, &Runtime::Tract)
    }

    /// Loads a model in a runtime.
    ///
    /// # Errors
    /// If the runtime does not load the model, or would compute it wrong.
    pub fn new_in(file: &ModelFile, runtime: &Runtime) -> Result<Self, VerifyError> {
        Self::of(file, runtime, file.output_names(), None)
    }

    /// Loads what a model runs in tract if its input `condition` is `value`, without the other branch of the `If` nodes that
    /// it decides; `None` if it decides none. The session has only the inputs that are read then.
    ///
    /// # Errors
    /// If tract does not load what remains, or would compute it wrong.
    pub fn branch(file: &ModelFile, condition: &str, value: bool) -> Result<Option<Self>, VerifyError> {
        file.branch(condition, value).map(|branch| Self::new(&branch)).transpose()
    }

    /// Loads a model in tract for fixed sizes of its symbols, which is the only way to load some models.
    ///
    /// # Errors
    /// If tract does not load the model for these sizes, or would compute it wrong.
    pub fn for_sizes(file: &ModelFile, sizes: &Bindings) -> Result<Self, VerifyError> {
        Self::of(file, &Runtime::Tract, file.output_names(), Some(sizes))
    }

    /// Loads a model to compute `outputs`, which may be any values of its main graph; with symbolic dims, or in tract
    /// for fixed `sizes`.
    pub(crate) fn of(
        file: &ModelFile,
        runtime: &Runtime,
        outputs: Vec<String>,
        sizes: Option<&Bindings>,
    ) -> Result<Self, VerifyError> {
        Self::loaded(file, runtime, outputs, sizes, true)
    }

    /// Loads a model in tract for fixed sizes, without optimizing it.
    pub(crate) fn plain(file: &ModelFile, sizes: &Bindings) -> Result<Self, VerifyError> {
        Self::loaded(file, &Runtime::Tract, file.output_names(), Some(sizes), false)
    }

    fn loaded(
        file: &ModelFile,
        runtime: &Runtime,
        outputs: Vec<String>,
        sizes: Option<&Bindings>,
        optimize: bool,
    ) -> Result<Self, VerifyError> {
        let reasons = match runtime {
            Runtime::Tract => gate(file),
            Runtime::Ort(_) => gate::random(file),
        };
        if !reasons.is_empty() {
            return Err(VerifyError::NotVerifiable { file: file.name.clone(), runtime: runtime.to_string(), reasons });
        }
        let mut inputs = file.inputs();
        let engine = match runtime {
            Runtime::Tract => {
                let (plan, order) = Plan::load(file, &inputs, &outputs, sizes, optimize)?;
                // tract identifies inputs by position.
                inputs.sort_by_key(|port| order.iter().position(|name| *name == port.name));
                Engine::Tract(plan)
            }
            Runtime::Ort(runtime) => Engine::Ort(runtime.session(file, &outputs)?),
        };
        Ok(Self { file: file.name.clone(), engine, inputs, outputs })
    }

    /// Returns the names of the outputs.
    pub fn outputs(&self) -> &[String] {
        &self.outputs
    }

    /// Returns the inputs that [`run`](Self::run) requires.
    pub fn inputs(&self) -> &[Port] {
        &self.inputs
    }

    /// Runs the model once; inputs are given by name in any order, outputs are in the order of the model.
    ///
    /// # Errors
    /// If an input is missing, unknown or of another type or rank, or if the runtime fails.
    pub fn run(&self, inputs: &[(&str, &Array)]) -> Result<Vec<(String, Array)>, VerifyError> {
        let given = self.given(inputs)?;
        let outputs = match &self.engine {
            Engine::Tract(plan) => plan.run(&self.file, &given),
            Engine::Ort(loaded) => loaded.run(&self.file, &self.named(&given), &self.outputs),
        };
        Ok(self.outputs.iter().cloned().zip(outputs?).collect())
    }

    /// Returns the time of one run, without conversion of inputs and outputs.
    ///
    /// # Errors
    /// As [`run`](Self::run).
    pub fn time(&self, inputs: &[(&str, &Array)]) -> Result<Duration, VerifyError> {
        let given = self.given(inputs)?;
        match &self.engine {
            Engine::Tract(plan) => plan.time(&self.file, &given),
            Engine::Ort(loaded) => loaded.time(&self.file, &self.named(&given)),
        }
    }

    /// Converts an array to a tensor that the runtime holds.
    ///
    /// # Errors
    /// If the runtime does not have the element type.
    pub fn resident(&self, array: Array) -> Result<Resident, VerifyError> {
        Ok(Resident(match &self.engine {
            Engine::Tract(_) => Form::Tract(tract::tensor(&self.file, &array)?),
            Engine::Ort(loaded) => Form::Ort(loaded.tensor(&self.file, array)?),
        }))
    }

    /// Copies a tensor that the runtime holds.
    ///
    /// # Errors
    /// If the tensor belongs to another runtime, or has elements that are not numbers.
    pub fn array(&self, tensor: &Resident) -> Result<Array, VerifyError> {
        let array = match (&self.engine, &tensor.0) {
            (Engine::Tract(_), Form::Tract(value)) => tract::to_array(&self.file, value)?,
            (Engine::Ort(loaded), Form::Ort(value)) => loaded.array(&self.file, value)?,
            _ => return Err(self.foreign()),
        };
        array.ok_or_else(|| self.failed("the value is not a tensor of numbers".to_owned()))
    }

    /// Runs the model with tensors in the order of the runtime.
    pub(crate) fn run_ordered(&self, inputs: Vec<Resident>) -> Result<Vec<(String, Resident)>, VerifyError> {
        let outputs: Vec<Resident> = match &self.engine {
            Engine::Tract(plan) => {
                let own = |Resident(form)| if let Form::Tract(value) = form { Ok(value) } else { Err(self.foreign()) };
                let outputs = plan.run_tensors(&self.file, inputs.into_iter().map(own).collect::<Result<_, _>>()?)?;
                outputs.into_iter().map(|value| Resident(Form::Tract(value))).collect()
            }
            Engine::Ort(loaded) => {
                let own = |(port, Resident(form)): (&'_ Port, &'_ Resident)| match form {
                    Form::Ort(value) => Ok((port.name.clone(), Arc::clone(value))),
                    Form::Tract(_) => Err(self.foreign()),
                };
                let given = self.inputs.iter().zip(&inputs).map(own).collect::<Result<Vec<_>, _>>()?;
                let given: Vec<_> = given.iter().map(|(name, value)| (name.as_str(), &**value)).collect();
                let outputs = loaded.run_tensors(&self.file, &given, &self.outputs)?;
                outputs.into_iter().map(|value| Resident(Form::Ort(value))).collect()
            }
        };
        Ok(self.outputs.iter().cloned().zip(outputs).collect())
    }

    pub(crate) fn floats(&self, tensor: &Resident, range: Range<usize>) -> Result<Option<Vec<f32>>, VerifyError> {
        match (&self.engine, &tensor.0) {
            (Engine::Tract(_), Form::Tract(value)) => tract::floats(&self.file, value, range),
            (Engine::Ort(loaded), Form::Ort(value)) => loaded.floats(&self.file, value, range),
            _ => Err(self.foreign()),
        }
    }

    pub(crate) fn gather(&self, tensor: &Resident, rows: &[usize]) -> Result<Resident, VerifyError> {
        Ok(Resident(match (&self.engine, &tensor.0) {
            (Engine::Tract(_), Form::Tract(value)) => Form::Tract(tract::gather(&self.file, value, rows)?),
            (Engine::Ort(loaded), Form::Ort(value)) => Form::Ort(loaded.gather(&self.file, value, rows)?),
            _ => return Err(self.foreign()),
        }))
    }

    pub(crate) fn failed(&self, cause: String) -> VerifyError {
        match &self.engine {
            Engine::Tract(_) => VerifyError::Runtime {
                file: self.file.clone(),
                runtime: Runtime::Tract.to_string(),
                action: READ,
                cause,
            },
            Engine::Ort(loaded) => loaded.failed(&self.file, cause),
        }
    }

    fn foreign(&self) -> VerifyError {
        self.failed("the tensor is held by another runtime".to_owned())
    }

    fn named<'a>(&'a self, given: &[&'a Array]) -> Vec<(&'a str, &'a Array)> {
        self.inputs.iter().map(|port| port.name.as_str()).zip(given.iter().copied()).collect()
    }

    /// Returns the inputs in the order of the runtime.
    fn given<'a>(&self, inputs: &[(&str, &'a Array)]) -> Result<Vec<&'a Array>, VerifyError> {
        let names: Vec<&str> = inputs.iter().map(|(name, _)| *name).collect();
        self.expect_known(&names)?;
        self.inputs.iter().map(|port| self.one(port, inputs)).collect()
    }

    pub(crate) fn expect_known(&self, names: &[&str]) -> Result<(), VerifyError> {
        let unknown = names.iter().find(|name| self.inputs.iter().all(|port| port.name != **name));
        unknown.map_or(Ok(()), |unknown| {
            Err(VerifyError::UnknownInput {
                file: self.file.clone(),
                input: (*unknown).to_owned(),
                inputs: list(self.inputs.iter().map(|port| port.name.as_str())),
            })
        })
    }

    pub(crate) fn missing(&self, port: &Port) -> VerifyError {
        let expected = port.ty.as_ref().map_or_else(String::new, ToString::to_string);
        VerifyError::MissingInput { file: self.file.clone(), input: port.name.clone(), expected }
    }

    fn one<'a>(&self, port: &Port, inputs: &[(&str, &'a Array)]) -> Result<&'a Array, VerifyError> {
        let file = || self.file.clone();
        let Some((_, array)) = inputs.iter().find(|(name, _)| *name == port.name) else {
            return Err(self.missing(port));
        };
        if port.ty.as_ref().is_some_and(|ty| ty.element != array.element()) {
            let expected = port.ty.as_ref().map_or_else(String::new, ToString::to_string);
            let found = array.to_string();
            return Err(VerifyError::InputType { file: file(), input: port.name.clone(), expected, found });
        }
        Ok(array)
    }
}

pub(crate) fn list<'a>(names: impl Iterator<Item = &'a str>) -> String {
    let names: Vec<_> = names.map(|name| format!("`{name}`")).collect();
    if names.is_empty() { "none".to_owned() } else { names.join(", ") }
}
