//! Protects the files that a command reads from being overwritten by its outputs.

use crate::failure::{Failure, Misuse};
use crate::output::in_line;
use netwright::files::{Identity, Source, entries};
use netwright::ir::{Graph, Model};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// The files that a command reads.
#[derive(Debug, Default)]
pub(crate) struct Inputs {
    files: Vec<(PathBuf, Identity)>,
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

    /// Returns the files of a pretrained model: of its folder and the folders in it, without models built there.
    pub(crate) fn of_folder(folder: &Path) -> Self {
        let mut inputs = Self::default();
        inputs.add_folder(folder);
        inputs
    }

    /// Adds the files of a folder as [`Self::of_folder`] does.
    pub(crate) fn add_folder(&mut self, folder: &Path) {
        let is_built =
            |path: &Path| path.extension().is_some_and(|extension| extension == "onnx" || extension == "data");
        let files = entries(folder).into_iter().flat_map(|entry| [entries(&entry), vec![entry]].concat());
        files.filter(|file| !is_built(file)).for_each(|file| self.add(&file));
    }

    /// Returns a GGUF file and the files beside it, as [`Self::of_folder`] does.
    pub(crate) fn of_file(file: &Path) -> Self {
        Self::of_folder(folder_of(file))
    }

    /// Adds a file, following links; the reader reports a file that does not exist.
    pub(crate) fn add(&mut self, path: &Path) {
        if let Ok(identity) = Identity::of(path) {
            self.add_identity(path, &identity);
        }
    }

    fn add_identity(&mut self, path: &Path, identity: &Identity) {
        if self.files.iter().all(|(_, known)| known != identity) {
            self.files.push((path.to_owned(), identity.clone()));
        }
    }

    /// Returns the files of weights that are not in the file of the model.
    pub(crate) fn external(&self, model: &Path) -> impl Iterator<Item = (&Path, &Identity)> {
        let own = Identity::of(model).ok();
        let files = self.files.iter().map(|(path, identity)| (path.as_path(), identity));
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
        match self.files.iter().find(|(_, input)| *input == identity) {
            None => Ok(()),
            Some((input, _)) => Err(Misuse::Replaces.failure(format!(
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
        self.expect_other("the output", path)
    }

    /// Returns the identities of the files, for the writer of external data.
    pub(crate) fn identities(&self) -> Vec<Identity> {
        self.files.iter().map(|(_, identity)| identity.clone()).collect()
    }
}

/// Checks that an output can be written where it is named, before any work: its folder exists, and it is not a folder
/// itself.
pub(crate) fn expect_place(what: &str, path: &Path) -> Result<(), Failure> {
    if path.is_dir() {
        let text = format!("{what} {} is a folder\n  help: name a file in the folder", in_line(path));
        return Err(Misuse::Place.failure(text));
    }
    match path.parent().filter(|folder| !folder.as_os_str().is_empty() && !folder.is_dir()) {
        None => Ok(()),
        Some(folder) => Err(Misuse::Place.failure(format!(
            "the folder {} of {what} does not exist\n  help: create the folder, or write to another one",
            in_line(folder)
        ))),
    }
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
