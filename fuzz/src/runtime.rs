//! ONNX Runtime, as the judge.

use netwright::verify::{Array, Values};
use ort::session::builder::GraphOptimizationLevel;
use ort::session::{Session, SessionInputValue};
use ort::value::{DynValue, PrimitiveTensorElementType, Tensor, TensorElementType, ValueType};
use std::path::PathBuf;

/// Loads the library of ONNX Runtime.
pub(crate) fn load() -> Result<(), String> {
    let path = std::env::var_os("ORT_DYLIB_PATH").map(PathBuf::from).ok_or("ORT_DYLIB_PATH is not set")?;
    let environment = ort::init_from(path).map_err(|error| error.to_string())?;
    environment.with_telemetry(false).commit();
    Ok(())
}

/// A loaded model.
pub(crate) struct Loaded(Session);

impl Loaded {
    pub(crate) fn new(bytes: &[u8]) -> Result<Self, String> {
        let load = || -> ort::Result<Session> {
            Session::builder()?
                .with_optimization_level(GraphOptimizationLevel::Disable)?
                .with_intra_threads(1)?
                .with_inter_threads(1)?
                .with_log_level(ort::logging::LogLevel::Fatal)?
                .commit_from_memory(bytes)
        };
        load().map(Self).map_err(|error| error.to_string())
    }

    pub(crate) fn run(&mut self, feeds: &[(String, Array)]) -> Result<Vec<(String, Array)>, String> {
        let run = |session: &mut Session| -> Result<Vec<(String, Array)>, String> {
            let mut given: Vec<(&str, SessionInputValue<'_>)> = vec![];
            for (name, array) in feeds {
                given.push((name, to_ort(array).map_err(|error| error.to_string())?.into()));
            }
            let outputs = session.run(given).map_err(|error| error.to_string())?;
            outputs.into_iter().map(|(name, value)| Ok((name.to_owned(), from_ort(&value)?))).collect()
        };
        run(&mut self.0)
    }
}

fn to_ort(array: &Array) -> ort::Result<DynValue> {
    fn tensor<T: PrimitiveTensorElementType + Clone + std::fmt::Debug + 'static>(
        shape: &[usize],
        values: &[T],
    ) -> ort::Result<DynValue> {
        Ok(Tensor::from_array((shape.to_vec(), values.to_vec()))?.into_dyn())
    }
    let shape = array.shape();
    match array.any() {
        Values::Bool(values) => tensor(shape, values),
        Values::U8(values) => tensor(shape, values),
        Values::I8(values) => tensor(shape, values),
        Values::U16(values) => tensor(shape, values),
        Values::I16(values) => tensor(shape, values),
        Values::U32(values) => tensor(shape, values),
        Values::I32(values) => tensor(shape, values),
        Values::U64(values) => tensor(shape, values),
        Values::I64(values) => tensor(shape, values),
        Values::F32(values) => tensor(shape, values),
        Values::F64(values) => tensor(shape, values),
        Values::F16(values) => tensor(shape, &values.iter().map(|value| value.to_f32()).collect::<Vec<_>>()),
    }
}

fn from_ort(value: &DynValue) -> Result<Array, String> {
    fn array<T: PrimitiveTensorElementType + Copy>(value: &DynValue) -> Result<Array, String>
    where
        Values: From<Vec<T>>,
    {
        let (shape, values) = value.try_extract_tensor::<T>().map_err(|error| error.to_string())?;
        let shape: Vec<usize> = shape.iter().map(|&size| usize::try_from(size).unwrap_or(0)).collect();
        Array::new(shape, values.to_vec()).map_err(|error| error.to_string())
    }
    let ValueType::Tensor { ty, .. } = value.dtype() else { return Err("an output is not a tensor".to_owned()) };
    match ty {
        TensorElementType::Bool => array::<bool>(value),
        TensorElementType::Uint8 => array::<u8>(value),
        TensorElementType::Int8 => array::<i8>(value),
        TensorElementType::Uint16 => array::<u16>(value),
        TensorElementType::Int16 => array::<i16>(value),
        TensorElementType::Uint32 => array::<u32>(value),
        TensorElementType::Int32 => array::<i32>(value),
        TensorElementType::Uint64 => array::<u64>(value),
        TensorElementType::Int64 => array::<i64>(value),
        TensorElementType::Float32 => array::<f32>(value),
        TensorElementType::Float64 => array::<f64>(value),
        other => Err(format!("an output of {other} cannot be read")),
    }
}
