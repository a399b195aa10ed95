//! Scratch folders are removed, or kept under another name.

use netwright_files::{ScratchFolder, remove_unfinished};
use std::fs;

#[test]
fn scratch_folders_are_removed_or_kept() {
    let dir = tempfile::tempdir().unwrap();
    let kept = dir.path().join("kept");
    let folder = || {
        let folder = ScratchFolder::create_in(dir.path()).unwrap();
        fs::write(folder.path().join("file"), "text").unwrap();
        folder
    };
    let count = || fs::read_dir(dir.path()).unwrap().count();
    drop(folder());
    assert_eq!(count(), 0);
    folder().keep_as(&kept).unwrap();
    assert_eq!(fs::read_to_string(kept.join("file")).unwrap(), "text");
    folder().keep_as(&kept).unwrap_err();
    assert_eq!(count(), 1);
    // On a signal.
    let _folder = folder();
    remove_unfinished();
    assert_eq!(count(), 1);
}
