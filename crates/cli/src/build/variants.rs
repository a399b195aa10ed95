//! The files of a variant, which get their names together.

use super::{Built, file_name};
use crate::failure::Failure;
use crate::output::in_line;
use crate::overwrite::{Inputs, folder_of};
use netwright::files::{self, ScratchFolder};
use std::fs;
use std::path::Path;

/// Moves the files of a variant out of the folders in which they were built, or leaves out all if one is left out:
/// programs open them together.
pub(super) fn name_files(files: &mut [Built], folders: &[ScratchFolder], inputs: &Inputs) -> Result<(), Failure> {
    let Some(absent) = files.iter().find(|one| one.left_out.is_some()) else {
        let mut all = files.iter().zip(folders);
        return all.try_for_each(|(one, folder)| move_all(folder.path(), folder_of(&one.path), inputs));
    };
    let why = format!("{} is not, and programs open the files of a variant together", in_line(&absent.path));
    for one in files {
        one.left_out.get_or_insert_with(|| why.clone());
    }
    Ok(())
}

/// Moves the files of a folder to the folder in which it lies, over those of their names.
fn move_all(from: &Path, to: &Path, inputs: &Inputs) -> Result<(), Failure> {
    for file in files::entries(from) {
        let to = to.join(file_name(&file));
        inputs.expect_other("the output", &to)?;
        fs::rename(&file, &to)?;
    }
    Ok(())
}
