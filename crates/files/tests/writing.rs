//! A file appears complete or not at all.
#![cfg(unix)]

use std::fs::{self, Permissions};
use std::io::{self, Write};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;

use netwright_files::{AtomicFile, FileError, Source, copy_file, create_folder};

fn names(dir: &Path) -> Vec<String> {
    let mut names: Vec<_> =
        fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

fn write(destination: &Path, bytes: &[u8]) -> Result<(), FileError> {
    let mut file = AtomicFile::create(destination)?;
    file.append(bytes)?;
    file.commit()
}

#[test]
fn an_uncommitted_file_leaves_nothing_behind() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("model.onnx");
    fs::write(&path, "old").unwrap();
    let mut file = AtomicFile::create(&path).unwrap();
    file.append(&vec![7; 3 << 20]).unwrap();
    // A file system that supports unnamed files leaves none behind.
    assert!(names(dir.path()).len() <= 2);
    drop(file);
    assert_eq!(names(dir.path()), ["model.onnx"]);
    assert_eq!(fs::read(&path).unwrap(), b"old");
}

#[test]
fn a_commit_that_fails_leaves_nothing_behind() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("model.onnx");
    let file = AtomicFile::create(&path).unwrap();
    fs::create_dir(&path).unwrap();
    let error = file.commit().unwrap_err();
    assert!(matches!(error, FileError::Io { action: "replace", .. }), "{error}");
    assert_eq!(names(dir.path()), ["model.onnx"]);
}

#[test]
fn a_mapped_file_can_be_replaced_by_parts_of_itself() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("model.onnx");
    fs::write(&path, "head|weight").unwrap();
    let source = Source::open(&path).unwrap();
    let map = source.map().unwrap();
    let mut file = AtomicFile::create(&path).unwrap();
    file.append(b"better|").unwrap();
    file.copy_from(&source.range(5, 6).unwrap()).unwrap();
    file.commit().unwrap();
    assert_eq!(fs::read(&path).unwrap(), b"better|weight");
    assert_eq!(map, "head|weight");
}

/// Appends of all sizes, copies and reserved bytes keep their order, whatever is still buffered.
#[test]
fn bytes_arrive_in_order() {
    const BLOCK: usize = 1 << 20;
    let dir = tempfile::tempdir().unwrap();
    let bytes: Vec<u8> = (0..=250).cycle().take(3 * BLOCK).collect();
    fs::write(dir.path().join("in"), &bytes).unwrap();
    let source = Source::open(dir.path().join("in")).unwrap();
    let mut file = AtomicFile::create(dir.path().join("out")).unwrap();
    let mut expected = Vec::new();
    for len in [0, 1, BLOCK - 1, BLOCK, 5, BLOCK / 2, BLOCK + 1, 2 * BLOCK] {
        assert_eq!(file.position(), expected.len() as u64);
        file.append(&bytes[..len]).unwrap();
        expected.extend_from_slice(&bytes[..len]);

        file.copy_from(&source.range(7, len as u64).unwrap()).unwrap();
        expected.extend_from_slice(&bytes[7..7 + len]);

        assert_eq!(file.reserve(len as u64).unwrap(), expected.len() as u64);
        expected.resize(expected.len() + len, 0);
    }
    write!(file, "end").unwrap();
    expected.extend_from_slice(b"end");
    file.reserve(3).unwrap();
    expected.extend_from_slice(&[0; 3]);
    file.commit().unwrap();
    assert!(fs::read(dir.path().join("out")).unwrap() == expected);
}

#[test]
fn threads_fill_reserved_bytes() {
    const PIECE: usize = 100_000;
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("weights");
    let mut file = AtomicFile::create(&path).unwrap();
    file.append(b"head").unwrap();
    let start = file.reserve(4 * PIECE as u64).unwrap();
    file.append(b"tail").unwrap();
    let shared = &file;
    std::thread::scope(|scope| {
        for piece in 0..4u8 {
            let offset = start + u64::from(piece) * PIECE as u64;
            scope.spawn(move || shared.write_at(offset, &vec![piece + 1; PIECE]).unwrap());
        }
    });
    file.commit().unwrap();
    let mut expected = b"head".to_vec();
    (1..5).for_each(|piece| expected.extend_from_slice(&vec![piece; PIECE]));
    expected.extend_from_slice(b"tail");
    assert!(fs::read(&path).unwrap() == expected);
}

#[test]
fn only_reserved_bytes_can_be_filled() {
    let dir = tempfile::tempdir().unwrap();
    let mut file = AtomicFile::create(dir.path().join("weights")).unwrap();
    file.reserve(10).unwrap();
    file.append(b"in the buffer").unwrap();
    for (offset, len) in [(10, 1), (0, 11), (u64::MAX, 1)] {
        let error = file.write_at(offset, &vec![0; len]).unwrap_err();
        assert!(matches!(error, FileError::BeyondEnd { size: 10, .. }), "{error}");
    }
    for len in [u64::MAX, i64::MAX as u64] {
        let error = io::Error::from(file.reserve(len).unwrap_err());
        assert_eq!(error.kind(), io::ErrorKind::FileTooLarge);
    }
}

#[test]
fn a_link_stays_and_its_file_is_replaced() {
    let dir = tempfile::tempdir().unwrap();
    let [link, store, file] = ["link", "store", "store/file"].map(|name| dir.path().join(name));
    fs::create_dir(&store).unwrap();
    fs::write(&file, "old").unwrap();
    symlink("store/file", &link).unwrap();
    write(&link, b"new").unwrap();
    assert!(link.is_symlink());
    assert_eq!(fs::read(&file).unwrap(), b"new");
    assert_eq!((names(dir.path()).len(), names(&store).len()), (2, 1));
}

#[test]
fn permissions_are_kept() {
    let dir = tempfile::tempdir().unwrap();
    let mode = |name: &str| fs::metadata(dir.path().join(name)).unwrap().permissions().mode() & 0o777;
    fs::write(dir.path().join("usual"), "").unwrap();
    write(&dir.path().join("new"), b"").unwrap();
    assert_eq!(mode("new"), mode("usual"));
    for kept in [0o600, 0o666] {
        fs::set_permissions(dir.path().join("usual"), Permissions::from_mode(kept)).unwrap();
        write(&dir.path().join("usual"), b"").unwrap();
        assert_eq!(mode("usual"), kept);
    }
}

#[test]
fn a_destination_must_be_a_file() {
    let dir = tempfile::tempdir().unwrap();
    let at = |name: &str| dir.path().join(name);
    fs::create_dir(at("folder")).unwrap();
    fs::write(at("file"), "").unwrap();
    fs::write(at("read_only"), "").unwrap();
    fs::set_permissions(at("read_only"), Permissions::from_mode(0o444)).unwrap();
    symlink("nothing", at("dangling")).unwrap();
    let check = |path: &Path, expected: &str| {
        let error = AtomicFile::create(path).unwrap_err().to_string();
        assert_eq!(error.replace(dir.path().to_str().unwrap(), ""), expected);
    };
    check(&at("folder"), r#""/folder" is a folder, not a regular file"#);
    check(&at("new/"), r#""/new/" is a folder name, not a regular file"#);
    check(Path::new(""), r#""" does not exist"#);
    check(Path::new("/dev/null"), r#""/dev/null" is a device, not a regular file"#);
    check(&at("dangling"), r#""/dangling" is a dangling link, not a regular file"#);
    check(&at("missing/file"), r#""/missing" does not exist"#);
    check(&at("file/file"), r#"could not write "/file/file""#);
    check(&at("read_only"), r#"could not write "/read_only""#);
    assert_eq!(names(dir.path()), ["dangling", "file", "folder", "read_only"]);
}

#[test]
fn files_are_copied_and_folders_created() {
    let dir = tempfile::tempdir().unwrap();
    let at = |name: &str| dir.path().join(name);
    create_folder(at("a/b")).unwrap();
    create_folder(at("a/b")).unwrap();
    fs::write(at("file"), "content").unwrap();
    copy_file(at("file"), at("a/b/copy")).unwrap();
    assert_eq!(fs::read(at("a/b/copy")).unwrap(), b"content");
    assert!(matches!(create_folder(at("file")), Err(FileError::Io { .. })));
    assert!(matches!(copy_file(at("missing"), at("copy")), Err(FileError::NotFound { .. })));
    assert_eq!(names(dir.path()), ["a", "file"]);
}

/// Holes of a sparse file are not stored in the copy either.
#[test]
#[cfg(target_os = "linux")]
fn holes_stay_holes() {
    use std::os::unix::fs::MetadataExt;
    let dir = tempfile::tempdir().unwrap();
    let size = 64 << 20;
    let sparse = fs::File::create(dir.path().join("sparse")).unwrap();
    sparse.set_len(size).unwrap();
    std::os::unix::fs::FileExt::write_all_at(&sparse, b"weight", size / 2 + 1).unwrap();
    let source = Source::open(dir.path().join("sparse")).unwrap();
    // If page offsets agree the kernel copies, otherwise a buffer.
    for head in ["", "head"] {
        let copy = dir.path().join("copy");
        let mut file = AtomicFile::create(&copy).unwrap();
        file.append(head.as_bytes()).unwrap();
        file.copy_from(&source.whole()).unwrap();
        file.commit().unwrap();
        let metadata = fs::metadata(&copy).unwrap();
        assert_eq!(metadata.len(), size + head.len() as u64);
        assert!(metadata.blocks() * 512 < 1 << 20, "{} bytes are stored", metadata.blocks() * 512);
        let copied = fs::read(&copy).unwrap();
        assert!(copied[head.len()..] == fs::read(dir.path().join("sparse")).unwrap());
    }
}
