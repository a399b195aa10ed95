//! Runs models in ONNX Runtime.

mod accuracy;
mod library;

use crate::file::{CONTRIB, ModelFile, Origin, domain};
use crate::skim::{MODEL_GRAPH, put_bytes};
use crate::tolerance::nodes;
use crate::{Array, VerifyError, runtime};
use netwright_files::Source;
use ort::session::builder::{GraphOptimizationLevel, SessionBuilder};
use ort::session::{Session, SessionInputValue};
use ort::value::{DynValue, TensorElementType};
use serde::{Deserialize, Serialize};
use std::fmt;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use tract_onnx::pb::NodeProto;

/// ONNX Runtime: its shared library, and its graph optimization level.
///
/// The library is loaded with the first model; a process can load only one.
///
/// ```no_run
/// use netwright_verify::{OnnxRuntime, OrtLevel, Runtime};
/// let runtime = OnnxRuntime::at("/opt/onnxruntime/lib/libonnxruntime.so")?.with_level(OrtLevel::All);
/// println!("{}", Runtime::Ort(runtime));
/// # Ok::<(), netwright_verify::VerifyError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OnnxRuntime {
    library: PathBuf,
    /// The version, if the name of the library file has it.
    version: Option<String>,
    level: OrtLevel,
    /// Whether MatMulNBits keeps its activations in floats, whatever its accuracy level.
    #[serde(default)]
    exact: bool,
    /// The number of threads that work on one operator.
    #[serde(default = "one")]
    threads: usize,
}

fn one() -> usize {
    1
}

/// A graph optimization level of ONNX Runtime.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum OrtLevel {
    /// No optimizations: operators run as they are written.
    #[default]
    Disable,
    /// Constant folding and removal of redundant nodes.
    Basic,
    /// Also fusions.
    Extended,
    /// All optimizations.
    All,
}

impl OnnxRuntime {
    /// Uses the library in a file.
    ///
    /// # Errors
    /// If the file is not a library of ONNX Runtime that can be used.
    pub fn at(library: impl AsRef<Path>) -> Result<Self, VerifyError> {
        let library = library.as_ref();
        library::check(library)?;
        Ok(Self::of(&std::path::absolute(library).map_err(|error| library::failed(library, error.to_string()))?))
    }

    /// Finds the library: the environment variable `ORT_DYLIB_PATH`, or the newest Python package `onnxruntime` in the
    /// first environment that has one of `VIRTUAL_ENV`, `CONDA_PREFIX`, the Pythons in `PATH`, and the user's packages.
    /// Python is not run.
    ///
    /// # Errors
    /// If there is no library.
    pub fn find() -> Result<Self, VerifyError> {
        library::find().map(|library| Self::of(&library)).ok_or(VerifyError::NoOnnxRuntime)
    }

    fn of(library: &Path) -> Self {
        Self {
            library: library.to_owned(),
            version: library::version(library),
            level: OrtLevel::default(),
            exact: false,
            threads: 1,
        }
    }

    /// Sets the optimization level.
    pub fn with_level(self, level: OrtLevel) -> Self {
        Self { level, ..self }
    }

    /// Runs every MatMulNBits of accuracy level 4, which quantizes its activations to int8, at level 1, which does not.
    pub fn with_exact_products(self) -> Self {
        Self { exact: true, ..self }
    }

    /// Sets the number of threads that work on one operator; 1 by default.
    pub fn with_threads(self, threads: usize) -> Self {
        Self { threads, ..self }
    }

    pub(crate) fn is_exact(&self) -> bool {
        self.exact
    }

    /// Returns the file of the library.
    pub fn library(&self) -> &Path {
        &self.library
    }

    /// Loads a model to compute `outputs`.
    pub(crate) fn session(&self, file: &ModelFile, outputs: &[String]) -> Result<Loaded, VerifyError> {
        library::load(&self.library)?;
        let name = self.to_string();
        let session = guard(&file.name, &name, runtime::LOAD, || {
            let mut builder = Session::builder()?
                .with_optimization_level(self.level.into())?
                .with_intra_threads(self.threads)?
                .with_inter_threads(1)?
                .with_log_level(ort::logging::LogLevel::Fatal)?;
            if outputs == file.output_names() && !self.exact {
                match &file.origin {
                    Origin::File(path) => builder.commit_from_file(path),
                    Origin::Bytes(bytes) => builder.commit_from_memory(bytes),
                }
            } else {
                changed(builder, file, outputs, self.exact)
            }
        })?;
        Ok(Loaded { runtime: name, session: Mutex::new(session) })
    }
}

/// Field numbers of `onnx.proto`.
const GRAPH_OUTPUT: u64 = 12;
const VALUE_NAME: u64 = 1;

/// Loads a copy of a model with additional outputs, and with exact products if requested.
fn changed(mut builder: SessionBuilder, file: &ModelFile, outputs: &[String], exact: bool) -> ort::Result<Session> {
    let mut bytes = match &file.origin {
        Origin::File(path) => {
            let folder = path.parent().and_then(Path::to_str).filter(|folder| !folder.is_empty()).unwrap_or(".");
            builder = builder.with_config_entry("session.model_external_initializers_file_folder_path", folder)?;
            let bytes = Source::open(path).and_then(|source| source.map()).map_err(ort::Error::wrap)?;
            bytes.to_vec()
        }
        Origin::Bytes(bytes) => bytes.clone(),
    };
    if exact {
        accuracy::lower(&mut bytes);
    }
    let own = file.output_names();
    let mut graph = vec![];
    for name in outputs.iter().filter(|name| !own.contains(name)) {
        let mut output = vec![];
        put_bytes(&mut output, VALUE_NAME, name.as_bytes());
        put_bytes(&mut graph, GRAPH_OUTPUT, &output);
    }
    // Protobuf merges the repeated fields of a message that occurs twice.
    put_bytes(&mut bytes, MODEL_GRAPH, &graph);
    builder.commit_from_memory(&bytes)
}

/// Writes `ONNX Runtime`, with the version if the name of the library file has it.
impl fmt::Display for OnnxRuntime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ONNX Runtime")?;
        self.version.as_ref().map_or(Ok(()), |version| write!(f, " {version}"))?;
        if self.exact { f.write_str(" at accuracy level 1") } else { Ok(()) }
    }
}

impl From<OrtLevel> for GraphOptimizationLevel {
    fn from(level: OrtLevel) -> Self {
        match level {
            OrtLevel::Disable => GraphOptimizationLevel::Disable,
            OrtLevel::Basic => GraphOptimizationLevel::Level1,
            OrtLevel::Extended => GraphOptimizationLevel::Level2,
            OrtLevel::All => GraphOptimizationLevel::All,
        }
    }
}

/// A model that ONNX Runtime has loaded.
#[derive(Debug)]
pub(crate) struct Loaded {
    runtime: String,
    session: Mutex<Session>,
}

impl Loaded {
    /// Runs the model, and returns `outputs`.
    pub(crate) fn run(
        &self,
        file: &str,
        inputs: &[(&str, &Array)],
        outputs: &[String],
    ) -> Result<Vec<Array>, VerifyError> {
        let arrays = guard(file, &self.runtime, runtime::RUN, || {
            let mut session = self.session.lock().unwrap_or_else(PoisonError::into_inner);
            let computed = session.run(given(inputs)?)?;
            let array = |name: &String| match computed.get(name) {
                Some(value) => Array::from_ort(value).map(|array| array.ok_or_else(|| format!("{}", value.dtype()))),
                None => Ok(Err("nothing".to_owned())),
            };
            outputs.iter().map(array).collect::<ort::Result<Vec<_>>>()
        })?;
        arrays
            .into_iter()
            .zip(outputs)
            .map(|(array, output)| {
                array.map_err(|found| VerifyError::Runtime {
                    file: file.to_owned(),
                    runtime: self.runtime.clone(),
                    action: runtime::RUN,
                    cause: format!("output `{output}` is {found}, which cannot be compared"),
                })
            })
            .collect()
    }

    /// Runs the model with tensors that ONNX Runtime holds, and returns `outputs`.
    pub(crate) fn run_tensors(
        &self,
        file: &str,
        inputs: &[(&str, &DynValue)],
        outputs: &[String],
    ) -> Result<Vec<Arc<DynValue>>, VerifyError> {
        let values = guard(file, &self.runtime, runtime::RUN, || {
            let mut session = self.session.lock().unwrap_or_else(PoisonError::into_inner);
            let given: Vec<(&str, SessionInputValue<'_>)> =
                inputs.iter().map(|(name, value)| (*name, SessionInputValue::from(*value))).collect();
            let mut computed = session.run(given)?;
            Ok(outputs.iter().map(|name| computed.remove(name).map(Arc::new)).collect::<Option<Vec<_>>>())
        })?;
        values.ok_or_else(|| self.failed(file, "an output is missing".to_owned()))
    }

    /// Returns a range of the elements of a tensor as f32; `None` if they are not floats.
    pub(crate) fn floats(
        &self,
        file: &str,
        tensor: &DynValue,
        range: Range<usize>,
    ) -> Result<Option<Vec<f32>>, VerifyError> {
        guard(file, &self.runtime, runtime::READ, || {
            Ok(match tensor.dtype().tensor_type() {
                Some(TensorElementType::Float32) => {
                    tensor.try_extract_tensor::<f32>()?.1.get(range).map(<[f32]>::to_vec)
                }
                Some(TensorElementType::Float16) => {
                    let all = tensor.try_extract_tensor::<half::f16>()?.1;
                    all.get(range).map(|part| part.iter().map(|x| x.to_f32()).collect())
                }
                _ => None,
            })
        })
    }

    /// Returns the tensor whose rows along axis 0 are these rows.
    pub(crate) fn gather(&self, file: &str, tensor: &DynValue, rows: &[usize]) -> Result<Arc<DynValue>, VerifyError> {
        let array =
            self.array(file, tensor)?.ok_or_else(|| self.failed(file, "the value is not a tensor".to_owned()))?;
        self.tensor(file, array.gathered(rows))
    }

    /// Converts an array.
    pub(crate) fn tensor(&self, file: &str, array: Array) -> Result<Arc<DynValue>, VerifyError> {
        guard(file, &self.runtime, runtime::READ, || Ok(Arc::new(array.into_ort()?)))
    }

    /// Converts a tensor to an array; `None` for element types that arrays do not support.
    pub(crate) fn array(&self, file: &str, tensor: &DynValue) -> Result<Option<Array>, VerifyError> {
        guard(file, &self.runtime, runtime::READ, || Array::from_ort(tensor))
    }

    pub(crate) fn failed(&self, file: &str, cause: String) -> VerifyError {
        VerifyError::Runtime { file: file.to_owned(), runtime: self.runtime.clone(), action: runtime::READ, cause }
    }

    /// Returns the time of one run, without conversion of inputs and outputs.
    pub(crate) fn time(&self, file: &str, inputs: &[(&str, &Array)]) -> Result<Duration, VerifyError> {
        guard(file, &self.runtime, runtime::RUN, || {
            let mut session = self.session.lock().unwrap_or_else(PoisonError::into_inner);
            let given = given(inputs)?;
            let start = Instant::now();
            let outputs = session.run(given)?;
            let time = start.elapsed();
            drop(outputs);
            Ok(time)
        })
    }
}

fn given<'a>(inputs: &[(&'a str, &'a Array)]) -> ort::Result<Vec<(&'a str, SessionInputValue<'a>)>> {
    inputs.iter().map(|(name, array)| Ok((*name, array.to_ort()?))).collect()
}

fn guard<T>(
    file: &str,
    runtime: &str,
    action: &'static str,
    work: impl FnOnce() -> ort::Result<T>,
) -> Result<T, VerifyError> {
    runtime::guard(file, runtime, action, || work().map_err(|error| error.to_string()))
}

/// Whether ONNX Runtime 1.32 ends the process if a size of the model is 0: GroupQueryAttention divides by it.
pub(crate) fn ends_without_tokens(model: &ModelFile) -> bool {
    let is_grouped = |node: &&NodeProto| domain(&node.domain) == CONTRIB && node.op_type == "GroupQueryAttention";
    nodes(model).iter().any(is_grouped)
}
