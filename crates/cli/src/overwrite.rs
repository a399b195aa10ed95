//! Protects the files that a command reads from being overwritten by its outputs.

use crate::failure::{Failure, Misuse};
use crate::output::in_line;
use crate::suggest::has_extension;
use netwright::files::{Identity, Source, entries};
use netwright::ir::{Graph, Model};
use netwright::nn::sentence_modules;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

/// The files that a command reads.
#[derive(Debug, Default)]
pub(crate) struct Inputs {
    files: BTreeMap<Identity, PathBuf>,
    /// Those of them that are models.
    models: BTreeSet<Identity>,
    /// The start and the end of the weights in each file, in bytes.
    weights: BTreeMap<Identity, (u64, u64)>,
}

impl Inputs {
    /// Returns the file of a model and the files of its weights.
    pub(crate) fn of_model(path: &Path, model: &Model) -> Self {
        let mut inputs = Self::default();
        inputs.add_model(path, model);
        inputs
    }

    /// Adds the file of a model and the files of its weights.
    pub(crate) fn add_model(&mut self, path: &Path, model: &Model) {
        self.add(path);
        self.models.extend(Identity::of(path).ok());
        let functions = model.functions.iter().map(|function| &function.graph);
        let training =
            model.training.iter().flat_map(|training| [&training.initialization, &training.algorithm]).flatten();
        for graph in std::iter::once(&model.graph).chain(functions).chain(training) {
            self.add_weights(graph);
        }
    }

    /// Adds the files of all tensors; bodies nest at most 32 deep.
    fn add_weights(&mut self, graph: &Graph) {
        for id in graph.schedule() {
            let op = graph.node(id).op();
            op.bodies().into_iter().for_each(|body| self.add_weights(body));
            op.for_each_tensor(&mut |tensor| {
                tensor.for_each_file(&mut |range| {
                    let source = range.source();
                    self.add_identity(source.path(), source.identity());
                    let (start, end) = (range.offset(), range.offset().saturating_add(range.len()));
                    let extent = self.weights.entry(source.identity().clone()).or_insert((start, end));
                    *extent = (extent.0.min(start), extent.1.max(end));
                });
            });
        }
    }

    /// Returns the files of a pretrained model: of its folder and of the modules in it, without models built there; or a
    /// GGUF file and those beside it.
    pub(crate) fn of_source(source: &Path) -> Self {
        let mut inputs = Self::default();
        inputs.add_source(source);
        inputs
    }

    /// Adds the files of a pretrained model or an adapter, as [`Self::of_source`] returns them.
    pub(crate) fn add_source(&mut self, source: &Path) {
        for file in source_files(source) {
            self.add(&file);
        }
    }

    /// Adds a file, following links; the reader reports a file that does not exist.
    pub(crate) fn add(&mut self, path: &Path) {
        if let Ok(identity) = Identity::of(path) {
            self.add_identity(path, &identity);
        }
    }

    fn add_identity(&mut self, path: &Path, identity: &Identity) {
        self.files.entry(identity.clone()).or_insert_with(|| path.to_owned());
    }

    /// Returns the files of weights that are not in the file of the model.
    pub(crate) fn external(&self, model: &Path) -> impl Iterator<Item = (&Path, &Identity)> {
        let own = Identity::of(model).ok();
        let files = self.files.iter().map(|(identity, path)| (path.as_path(), identity));
        files.filter(move |(_, identity)| own.as_ref() != Some(*identity) && self.weights.contains_key(*identity))
    }

    /// Returns the size of a model in bytes: of its file, and of its weights in other files.
    pub(crate) fn model_bytes(&self, model: &Path) -> Result<u64, Failure> {
        let source = Source::open(model).map_err(Failure::usage)?;
        let external = self.weights.iter().filter(|(file, _)| *file != source.identity());
        Ok(source.len() + external.map(|(_, (start, end))| end - start).sum::<u64>())
    }

    /// Fails if `path` leads to one of the files; `what` names the output in the error.
    pub(crate) fn expect_other(&self, what: &str, path: &Path) -> Result<(), Failure> {
        let Ok(identity) = Identity::of(path) else { return Ok(()) };
        match self.files.get(&identity) {
            None => Ok(()),
            Some(input) => Err(Misuse::Replaces.failure(format!(
                "{what} would replace an input: {} is the file {}\n  help: write to another file",
                in_line(path),
                in_line(input)
            ))),
        }
    }

    /// Like [`expect_other`](Self::expect_other) for the output model, which may replace the input model.
    pub(crate) fn expect_other_output(&self, path: &Path, model: &Path) -> Result<(), Failure> {
        if path == Path::new("-") {
            let message = "-o - names the standard output, and a model is written to a file";
            return Err(Misuse::Place
                .failure(format!("{message}\n  help: choose a file name, or write ./- for a file called -")));
        }
        if same_file(path, model) {
            return Ok(());
        }
        self.expect_other("the output", path)?;
        expect_model(path)
    }

    /// Returns the identities of the files that the writer of `model` at `path` must keep. If it replaces the only model
    /// that is read, the weights that it copies from there are not among them: nothing needs them afterwards.
    pub(crate) fn kept(&self, path: &Path, model: &Model) -> Vec<Identity> {
        let own = Identity::of(path).ok();
        let replaces = self.models.len() == 1 && self.models.first() == own.as_ref();
        let copied = if replaces { Self::of_model(path, model).weights } else { BTreeMap::new() };
        self.files.keys().filter(|file| !copied.contains_key(*file)).cloned().collect()
    }
}

/// Returns the files of a pretrained model, as [`Inputs::of_source`] describes them.
pub(crate) fn source_files(source: &Path) -> Vec<PathBuf> {
    if source.is_file() {
        return entries(folder_of(source)).into_iter().filter(|file| has_extension(file, &["gguf"])).collect();
    }
    // An invalid list is reported when the model is opened.
    let modules = sentence_modules(source).ok().flatten().unwrap_or_default();
    let inner = modules.iter().filter(|module| !module.path.is_empty()).map(|module| source.join(&module.path));
    let folders = inner.chain([source.to_owned()]);
    folders.flat_map(entries).filter(|file| file.is_file() && !has_extension(file, &["onnx", "data"])).collect()
}

/// Checks that an output can be written where it is named, before any work: its folder exists, and it is not a folder
/// itself.
pub(crate) fn expect_place(what: &str, path: &Path) -> Result<(), Failure> {
    if path.is_dir() {
        let text = format!("{what} {path:?} is a folder\n  help: name a file in the folder");
        return Err(Misuse::Place.failure(text));
    }
    match path.parent().filter(|folder| !folder.as_os_str().is_empty() && !folder.is_dir()) {
        None => Ok(()),
        Some(folder) => Err(Misuse::Place.failure(format!(
            "the folder {folder:?} of {what} does not exist\n  help: create the folder, or write to another one",
        ))),
    }
}

/// Checks that an output model replaces no file of another kind. A name that ends in `.onnx` is that of a model.
pub(crate) fn expect_model(path: &Path) -> Result<(), Failure> {
    if has_extension(path, &["onnx"]) || !path.is_file() || has_other_names(path) || is_model(path) {
        return Ok(());
    }
    Err(Misuse::Replaces.failure(format!(
        "{} exists and is not an ONNX model\n  help: name a file that ends in .onnx, or remove this one",
        in_line(path)
    )))
}

/// Returns whether a file has several hard links: of these, only one is replaced, so nothing is lost.
#[cfg(unix)]
fn has_other_names(path: &Path) -> bool {
    use std::os::unix::fs::MetadataExt;
    path.metadata().is_ok_and(|file| file.nlink() > 1)
}

#[cfg(not(unix))]
fn has_other_names(_: &Path) -> bool {
    false
}

/// Returns whether a file is empty, or begins with the IR version as every ONNX model does: a tag and a small number.
fn is_model(path: &Path) -> bool {
    const IR_VERSION: u8 = 1 << 3;
    Source::open(path).is_ok_and(|file| {
        let mut start = [0; 2];
        file.len() == 0 || file.read_at(0, &mut start).is_ok() && start[0] == IR_VERSION && start[1] < 0x80
    })
}

/// Returns the folder in which a path lies.
pub(crate) fn folder_of(path: &Path) -> &Path {
    path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// Returns whether two paths lead to the same existing file.
pub(crate) fn same_file(a: &Path, b: &Path) -> bool {
    matches!((Identity::of(a), Identity::of(b)), (Ok(a), Ok(b)) if a == b)
}

/// Returns whether two paths name the same file, which need not exist.
pub(crate) fn same_place(a: &Path, b: &Path) -> bool {
    let place = |path: &Path| {
        path.canonicalize()
            .or_else(|_| folder_of(path).canonicalize().map(|folder| folder.join(path.file_name().unwrap_or_default())))
    };
    a == b || matches!((place(a), place(b)), (Ok(a), Ok(b)) if a == b)
}
