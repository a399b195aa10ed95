//! What no command may write over: the files that it reads.

use crate::failure::Failure;
use crate::output::in_line;
use netwright::files::Identity;
use netwright::ir::{Graph, Model};
use std::path::{Path, PathBuf};

/// The files that a command reads.
#[derive(Debug, Default)]
pub(crate) struct Inputs(Vec<(PathBuf, Identity)>);

impl Inputs {
    /// A model's file, and the files that its weights are in.
    pub(crate) fn of_model(path: &Path, model: &Model) -> Self {
        let mut inputs = Self::default();
        inputs.add(path);
        let functions = model.functions.iter().map(|function| &function.graph);
        let training =
            model.training.iter().flat_map(|training| [&training.initialization, &training.algorithm]).flatten();
        for graph in std::iter::once(&model.graph).chain(functions).chain(training) {
            inputs.add_weights(graph);
        }
        inputs
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
                });
            });
        }
    }

    /// The files of a folder of a pretrained model and of the folders in it, but for models that were built there.
    pub(crate) fn of_folder(folder: &Path) -> Self {
        let mut inputs = Self::default();
        let is_built =
            |path: &Path| path.extension().is_some_and(|extension| extension == "onnx" || extension == "data");
        let files = entries(folder).into_iter().flat_map(|entry| [entries(&entry), vec![entry]].concat());
        files.filter(|file| !is_built(file)).for_each(|file| inputs.add(&file));
        inputs
    }

    /// Adds a file, through links; one that cannot be reached is for whoever reads it to report.
    fn add(&mut self, path: &Path) {
        if let Ok(identity) = Identity::of(path) {
            self.add_identity(path, &identity);
        }
    }

    fn add_identity(&mut self, path: &Path, identity: &Identity) {
        if self.0.iter().all(|(_, known)| known != identity) {
            self.0.push((path.to_owned(), identity.clone()));
        }
    }

    /// Fails if `path` is one of them, by whatever name; `what` is to be written there.
    pub(crate) fn expect_other(&self, what: &str, path: &Path) -> Result<(), Failure> {
        let Ok(identity) = Identity::of(path) else { return Ok(()) };
        match self.0.iter().find(|(_, input)| *input == identity) {
            None => Ok(()),
            Some((input, _)) => Err(Failure::Usage(format!(
                "{what} would replace an input: {} is the file {}\n  help: write to another file",
                in_line(path),
                in_line(input)
            ))),
        }
    }

    /// Like [`expect_other`](Self::expect_other) for a model that is written, which may replace the model itself.
    pub(crate) fn expect_other_output(&self, path: &Path, model: &Path) -> Result<(), Failure> {
        if same_file(path, model) {
            return Ok(());
        }
        self.expect_other("the output", path)
    }

    /// The files themselves, for the writer of external data.
    pub(crate) fn identities(&self) -> Vec<Identity> {
        self.0.iter().map(|(_, identity)| identity.clone()).collect()
    }
}

fn entries(folder: &Path) -> Vec<PathBuf> {
    std::fs::read_dir(folder).map(|entries| entries.flatten().map(|entry| entry.path()).collect()).unwrap_or_default()
}

/// Whether two paths lead to one file that exists.
pub(crate) fn same_file(a: &Path, b: &Path) -> bool {
    matches!((Identity::of(a), Identity::of(b)), (Ok(a), Ok(b)) if a == b)
}

/// Whether two paths are one place, where a file may stand or not.
pub(crate) fn same_place(a: &Path, b: &Path) -> bool {
    let place = |path: &Path| {
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
        path.canonicalize()
            .or_else(|_| folder.canonicalize().map(|folder| folder.join(path.file_name().unwrap_or_default())))
    };
    a == b || matches!((place(a), place(b)), (Ok(a), Ok(b)) if a == b)
}
