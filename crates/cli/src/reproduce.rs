//! The folder of `optimize --reproduce`.

use crate::failure::{Failure, Misuse};
use crate::output::counted;
use crate::overwrite::{Inputs, same_place};
use crate::verify;
use netwright::files;
use netwright::inventory::inventory;
use netwright::onnx::{self, WriteOptions};
use netwright::reproduce::Reproducer;
use netwright::verify::Array;
use std::io;
use std::path::{Path, PathBuf};

const BEFORE: &str = "before.onnx";
const AFTER: &str = "after.onnx";
const INPUTS: &str = "inputs.safetensors";
const OUTPUTS_BEFORE: &str = "outputs.before.safetensors";
const OUTPUTS_AFTER: &str = "outputs.after.safetensors";

const FILES: [&str; 5] = [BEFORE, AFTER, INPUTS, OUTPUTS_BEFORE, OUTPUTS_AFTER];

/// Checks that a folder does not exist, or contains only an earlier reproducer.
pub(crate) fn expect_folder(folder: &Path) -> Result<(), Failure> {
    let refused = |what: String| {
        let help = "name a new folder, or one that contains only an earlier reproducer";
        Err(Misuse::Occupied.failure(format!("--reproduce: {what}\n  help: {help}")))
    };
    let entries = match std::fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound && folder.symlink_metadata().is_err() => return Ok(()),
        Err(error) => return refused(format!("the folder {folder:?} cannot be read: {error}")),
    };
    let mut others = vec![];
    for entry in entries {
        let entry = entry?;
        let name = entry.file_name();
        let is_ours = FILES.iter().any(|ours| name == *ours) && entry.file_type()?.is_file();
        if !is_ours {
            others.push(name);
        }
    }
    others.sort();
    match others.first() {
        Some(other) => refused(format!("the folder {folder:?} contains {other:?}, which is not part of a reproducer")),
        None => Ok(()),
    }
}

/// Checks that the files of the folder replace no input, and that no other output is written there.
pub(crate) fn expect_other_files(
    folder: &Path,
    inputs: &Inputs,
    written: [Option<&PathBuf>; 2],
) -> Result<(), Failure> {
    for path in FILES.map(|name| folder.join(name)) {
        inputs.expect_other("--reproduce", &path)?;
    }
    let is_within = |path: &Path| path.parent().is_some_and(|parent| same_place(parent, folder));
    if let Some(path) = written.into_iter().flatten().find(|path| is_within(path)) {
        let message = format!("--reproduce: {path:?} is written to the folder too");
        return Err(Misuse::Replaces.failure(format!("{message}\n  help: give the reproducer a folder of its own")));
    }
    Ok(())
}

/// Writes a reproducer, and returns the text to print.
pub(crate) fn write(folder: &Path, reproducer: &Reproducer) -> Result<String, Failure> {
    expect_folder(folder)?;
    files::create_folder(folder).map_err(Failure::usage)?;
    for (name, model) in [(BEFORE, &reproducer.before), (AFTER, &reproducer.after)] {
        onnx::write(model, folder.join(name), &WriteOptions::default()).map_err(Failure::usage)?;
    }
    let save = |name: &str, tensors: &[(String, Array)]| {
        let named: Vec<(String, &Array)> = tensors.iter().map(|(name, array)| (name.clone(), array)).collect();
        verify::save(&folder.join(name), &named)
    };
    save(INPUTS, &reproducer.inputs)?;
    save(OUTPUTS_BEFORE, &reproducer.before_outputs)?;
    match &reproducer.after_outputs {
        Some(outputs) => save(OUTPUTS_AFTER, outputs)?,
        None => match std::fs::remove_file(folder.join(OUTPUTS_AFTER)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error.into()),
            _ => {}
        },
    }
    let [before, after] = [&reproducer.before, &reproducer.after].map(|model| counted(inventory(model).nodes, "node"));
    let at = |name: &str| quoted(&folder.join(name));
    Ok(format!(
        "the smallest model that shows the difference has {before} before the rewrite and {after} after it: {}\n  \
        run it with: netwright verify {} {} --inputs {}",
        reproducer.difference,
        at(BEFORE),
        at(AFTER),
        at(INPUTS),
    ))
}

/// Quotes a path for a shell.
fn quoted(path: &Path) -> String {
    let text = path.to_string_lossy();
    let is_plain = |c: char| c.is_alphanumeric() || "/._-+,:@".contains(c);
    if text.chars().all(is_plain) { text.into_owned() } else { format!("'{}'", text.replace('\'', r"'\''")) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use netwright::bisect::Culprit;
    use netwright::ir::{Model, Op, OpKind, parse};
    use netwright::passes::{Exactness, Options, Pass, Skip, optimize, rewrite};

    /// A reproducer of a rule that takes `exp` for `neg`.
    fn reproducer() -> Reproducer {
        let text = "g(%x: f32[n]) {\n%a = exp %x : f32[n]\n%y = neg %a : f32[n]\nreturn %y\n}";
        let model = Model::new(parse(text).expect("it is well-formed"));
        let wrong = Pass::new("wrong", "neg -> exp", Exactness::Rounding).at([OpKind::Neg], |graph, root| {
            let operands = [graph.operand(root.node, 0).ok_or(Skip::NoMatch)?];
            rewrite::become_op(graph, root, Op::Exp, &operands, "wrong")
        });
        let options = Options::default().with_own(wrong);
        let events = optimize(&mut model.clone(), &options).expect("it is optimized").applied;
        netwright::reproduce::reproduce(&model, &options, &Culprit::Rewrites { events, first: 1, of: 1 }, None)
            .expect("it is reproduced")
    }

    fn names(folder: &Path) -> Vec<String> {
        let entries = std::fs::read_dir(folder).expect("the folder is read");
        let mut names: Vec<String> =
            entries.map(|entry| entry.expect("an entry").file_name().to_string_lossy().into_owned()).collect();
        names.sort();
        names
    }

    #[test]
    fn a_reproducer_is_written_and_differs() {
        let folder = tempfile::tempdir().expect("a folder");
        let at = folder.path().join("made/here");
        let mut found = reproducer();
        let text = write(&at, &found).expect("it is written");
        let (before, after) = (at.join(BEFORE), at.join(AFTER));
        let expected =
            "the smallest model that shows the difference has 1 node before the rewrite and 1 node after it: ";
        assert!(text.starts_with(expected), "{text}");
        let command = format!("\n  run it with: netwright verify {} {} --inputs ", before.display(), after.display());
        assert!(text.contains(&command), "{text}");
        let mut files = FILES.to_vec();
        files.sort_unstable();
        assert_eq!(names(&at), files);
        let verdict = netwright::verify::verify(&before, Some(&after), &netwright::verify::Options::default());
        assert!(!verdict.expect("it is judged").is_fine());
        let bytes = std::fs::read(at.join(INPUTS)).expect("the inputs are there");
        let inputs = safetensors::SafeTensors::deserialize(&bytes).expect("they are safetensors");
        let tensor = inputs.tensor(&found.inputs[0].0).expect("the input is there");
        assert_eq!(tensor.data(), found.inputs[0].1.to_bytes());
        // It may be replaced; outputs of the earlier reproducer that the new one lacks are removed.
        found.after_outputs = None;
        write(&at, &found).expect("it is written again");
        files.retain(|name| *name != OUTPUTS_AFTER);
        assert_eq!(names(&at), files);
    }

    #[test]
    fn a_folder_with_other_files_is_refused() {
        let folder = tempfile::tempdir().expect("a folder");
        std::fs::write(folder.path().join("notes.txt"), "").expect("written");
        let Err(Failure::Usage(message)) = write(folder.path(), &reproducer()) else { panic!("it is refused") };
        assert!(
            message.text.contains("contains \"notes.txt\", which is not part of a reproducer\n  help: "),
            "{message:?}"
        );
        assert_eq!(names(folder.path()), ["notes.txt"]);
        assert!(matches!(expect_folder(&folder.path().join("notes.txt")), Err(Failure::Usage(_))));
    }

    #[test]
    fn paths_are_quoted_for_a_shell() {
        assert_eq!(quoted(Path::new("a/b.onnx")), "a/b.onnx");
        assert_eq!(quoted(Path::new("it's a/b.onnx")), r"'it'\''s a/b.onnx'");
    }
}
