//! Which models `optimize` reads, and which files it writes.

use super::branches::{self, Branch};
use crate::args::Optimize;
use crate::failure::{Failure, Misuse};
use crate::output::{Output, in_line};
use crate::overwrite::{expect_place, folder_of, same_file, same_place};
use netwright::files;
use std::path::{Path, PathBuf};

/// A model to optimize.
#[derive(Debug)]
pub(super) struct Job {
    pub(super) model: PathBuf,
    /// The file to write; `None` if the changes are only shown.
    pub(super) output: Option<PathBuf>,
    /// What of the model is optimized, if not all of it.
    pub(super) branch: Option<Branch>,
}

impl Job {
    fn new(model: &Path, output: Option<PathBuf>) -> Self {
        Self { model: model.to_owned(), output, branch: None }
    }

    /// Returns what messages call the model.
    pub(super) fn name(&self) -> String {
        let name = in_line(&self.model);
        self.branch.as_ref().map_or_else(
            || name.clone(),
            |Branch { condition, value, .. }| format!("{name} where {condition} is {value}"),
        )
    }
}

/// Returns the models that a call names.
///
/// One path is a model. A second path is the file to write, provided that it does not exist. `-o` names the file, or
/// for several models a folder, in which each keeps its name.
///
/// # Errors
/// If a path has two readings, two models have the same name, or a model would be replaced without being named by `-o`.
pub(super) fn jobs(args: &Optimize, output: Output) -> Result<Vec<Job>, Failure> {
    if args.interface.split_branches {
        return branches::jobs(args, output);
    }
    let model = &args.input.model;
    let one = |output: Option<&PathBuf>| {
        output.map_or(Ok(()), |output| expect_place("the output", output))?;
        Ok(vec![Job::new(model, output.cloned())])
    };
    match (&args.output, args.more.as_slice()) {
        (None, []) => one(None),
        (None, [path]) if path.symlink_metadata().is_err() => one(Some(path)),
        (None, [path]) => Err(two_readings(path)),
        (None, _) => {
            let count = args.more.len() + 1;
            let text = format!("{count} models are given without a folder to write to\n  help: add -o FOLDER");
            Err(Misuse::Ambiguous.failure(text))
        }
        (Some(output), []) => one(Some(output)),
        (Some(folder), more) => in_folder(args, folder, std::iter::once(model).chain(more)),
    }
}

fn two_readings(path: &Path) -> Failure {
    let path_text = in_line(path);
    Misuse::Ambiguous.failure(if path.is_dir() {
        format!("{path_text} is a folder\n  help: name a file in the folder")
    } else {
        format!(
            "{path_text} exists: it may be the file to write, or a second model\n  help: -o {path_text} replaces it; -o \
             FOLDER optimizes both models"
        )
    })
}

/// Returns the jobs of models that keep their names in a folder, which is created.
fn in_folder<'m>(
    args: &Optimize,
    folder: &Path,
    models: impl Iterator<Item = &'m PathBuf>,
) -> Result<Vec<Job>, Failure> {
    let jobs: Vec<Job> = models.map(|model| Job::new(model, model.file_name().map(|name| folder.join(name)))).collect();
    let (count, text) = (jobs.len(), in_line(folder));
    let refused = |misuse: Misuse, what: String, help: &str| Err(misuse.failure(format!("{what}\n  help: {help}")));
    let is_file = folder.exists() && !folder.is_dir();
    if is_file || folder.extension().is_some_and(|extension| extension == "onnx") && !folder.is_dir() {
        return refused(
            Misuse::Ambiguous,
            format!("{count} models are given, but {text} is a file"),
            "name a folder with -o",
        );
    }
    for (at, Job { model, output, .. }) in jobs.iter().enumerate() {
        let is_here = |other: &Job| output.is_none() || other.output == *output;
        if let Some(other) = jobs[..at].iter().find(|other| is_here(other)) {
            let what = format!("{} and {} have the same file name", in_line(&other.model), in_line(model));
            return refused(Misuse::Replaces, what, "optimize them one at a time");
        }
        if same_place(folder_of(model), folder) || output.as_ref().is_some_and(|output| same_file(output, model)) {
            let what = format!("the output would replace an input: {} is in the folder {text}", in_line(model));
            return refused(Misuse::Replaces, what, "write to another folder, or name the file to replace with -o");
        }
    }
    expect_alone(args, count)?;
    files::create_folder(folder).map_err(Failure::usage)?;
    Ok(jobs)
}

/// Refuses flags that are for one model, if there are several.
pub(super) fn expect_alone(args: &Optimize, count: usize) -> Result<(), Failure> {
    let only_for_one = [
        ("--report", args.report.is_some()),
        ("--reproduce", args.reproduce.is_some()),
        ("--calibrate", args.calibrate.is_some()),
    ];
    match only_for_one.iter().find(|(_, is_given)| *is_given && count > 1) {
        Some((flag, _)) => Err(Misuse::NotFor
            .failure(format!("{flag} is for one model, but {count} are given\n  help: optimize them one at a time"))),
        None => Ok(()),
    }
}
