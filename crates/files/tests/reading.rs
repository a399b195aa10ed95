//! Which files may be read, and the message of every refusal.
#![cfg(unix)]

use std::error::Error as _;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;

use netwright_files::{FileError, Folder, Identity, Source, read_bytes, read_text};
use tempfile::TempDir;

/// `model/` is the folder of a model, `cache/` is the store that some of its files are links into.
fn disk() -> TempDir {
    let dir = tempfile::tempdir().unwrap();
    let at = |path: &str| dir.path().join(path);
    for folder in ["model/sub", "cache/blobs"] {
        fs::create_dir_all(at(folder)).unwrap();
    }
    for file in ["model/weights", "model/sub/weights", "model/two_names", "cache/blobs/1", "cache/blobs/2", "secret"] {
        fs::write(at(file), file).unwrap();
    }
    fs::write(at("model/empty"), "").unwrap();
    fs::hard_link(at("model/two_names"), at("model/other_name")).unwrap();
    fs::hard_link(at("cache/blobs/2"), at("model/hard_to_cache")).unwrap();
    symlink("../secret", at("model/link_out")).unwrap();
    symlink("weights", at("model/link_in")).unwrap();
    symlink("../cache/blobs", at("model/folder_link")).unwrap();
    symlink("../cache/blobs/1", at("model/link_to_cache")).unwrap();
    symlink("../cache/blobs/2", at("model/link_to_hard")).unwrap();
    symlink("../cache/back", at("model/link_through_cache")).unwrap();
    symlink("../secret", at("cache/back")).unwrap();
    symlink("../cache/nothing", at("model/link_to_nothing")).unwrap();
    symlink("/proc/self/root/etc/passwd", at("model/magic")).unwrap();
    symlink("loop", at("model/loop")).unwrap();
    std::os::unix::net::UnixListener::bind(at("model/socket")).unwrap();
    dir
}

/// The error and its causes in one line, without the name of the temporary folder.
fn message(dir: &TempDir, error: &FileError) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text.replace(dir.path().to_str().unwrap(), "")
}

fn content(source: &Source) -> String {
    String::from_utf8(source.map().unwrap().to_vec()).unwrap()
}

#[test]
fn a_model_reads_beneath_its_folder_only() {
    let dir = disk();
    let own = Folder::of(dir.path().join("model/model.onnx")).unwrap();
    let with_cache = Folder::at(dir.path().join("model")).unwrap();
    let with_cache = with_cache.with_data_dir(dir.path().join("cache")).unwrap();
    let opened = |folder: &Folder, location: &str| match folder.open(location) {
        Ok(source) => content(&source),
        Err(e) => message(&dir, &e),
    };
    let same = |location: &str, expected: &str| {
        assert_eq!(opened(&own, location), expected, "{location}");
        assert_eq!(opened(&with_cache, location), expected, "{location}, with a data folder");
    };
    same("weights", "model/weights");
    same("./sub//weights", "model/sub/weights");
    same("empty", "");
    same("", "the location of external data is empty");
    same("we\0ights", r#"the file name "we\0ights" contains a NUL character"#);
    same("missing", r#""/model/missing" does not exist"#);
    same("weights/x", r#"could not open "/model/weights/x": Not a directory (os error 20)"#);
    same("sub", r#""/model/sub" is a folder, not a regular file"#);
    same(".", r#""/model/." is a folder, not a regular file"#);
    same("socket", r#"could not open "/model/socket": No such device or address (os error 6)"#);
    let escapes = |location: &str, why: &str| {
        format!(r#"location {location:?} leads outside the model's folder "/model": {why}"#)
    };
    for location in ["sub/../weights", "missing/../weights", "sub/./.././sub/../weights"] {
        same(location, "model/weights");
    }
    for location in ["..", "./..", "../secret", "../model/weights", "sub/../../secret", "sub/../../model/weights"] {
        same(location, &escapes(location, "its `..` leads above the folder"));
    }
    for location in ["folder_link/../weights", "folder_link/../blobs/1", "sub/../link_in/../weights"] {
        same(location, &escapes(location, "its `..` follows a symbolic link"));
    }
    same("sub/..", r#""/model/." is a folder, not a regular file"#);
    for location in ["weights/", "weights/.", "sub/../weights/"] {
        same(location, r#"could not open "/model/weights/": Not a directory (os error 20)"#);
    }
    same("/etc/passwd", &escapes("/etc/passwd", "it is absolute"));

    let differ = |location: &str, alone: &str, with_data_dir: &str| {
        assert_eq!(opened(&own, location), alone, "{location}");
        assert_eq!(opened(&with_cache, location), with_data_dir, "{location}, with a data folder");
    };
    let link = "it passes through a symbolic link\n  help: \
        if the model may follow it, name the folder it leads to as the data folder (--data-dir)";
    let outside = "the file it leads to is not in the data folder either";
    let differ_link = |location: &str, with_data_dir: &str| {
        differ(location, &escapes(location, link), with_data_dir);
    };
    for location in ["link_out", "link_in", "link_through_cache", "magic"] {
        differ_link(location, &escapes(location, outside));
    }
    differ_link("link_to_cache", "cache/blobs/1");
    differ_link("link_to_hard", "cache/blobs/2");
    differ_link("folder_link/1", "cache/blobs/1");
    differ_link("folder_link/missing/../1", "cache/blobs/1");
    differ_link("folder_link", r#""/model/folder_link" is a folder, not a regular file"#);
    differ_link("link_to_nothing", r#""/model/link_to_nothing" does not exist"#);
    differ_link("loop", r#"could not open "/model/loop": Too many levels of symbolic links (os error 40)"#);
    for location in ["two_names", "hard_to_cache"] {
        let hard_linked = format!(
            "\"/model/{location}\" has 2 hard links\n  help: \
            if the model may read it, name its folder as the data folder (--data-dir)"
        );
        differ(location, &hard_linked, &escapes(location, outside));
    }

    let own_data = Folder::at(dir.path().join("model")).unwrap().with_data_dir(dir.path().join("model")).unwrap();
    for (location, expected) in [("two_names", "model/two_names"), ("link_in", "model/weights")] {
        assert_eq!(opened(&own_data, location), expected);
    }
}

#[test]
fn a_location_leads_back() {
    let dir = disk();
    let folder = Folder::at(dir.path().join("model")).unwrap();
    let location = |path: &str| {
        let source = Source::open(dir.path().join(path)).unwrap();
        folder.location_of(&source).map_err(|e| message(&dir, &e))
    };
    assert_eq!(location("model/weights"), Ok("weights".to_owned()));
    assert_eq!(location("model/sub/weights"), Ok("sub/weights".to_owned()));
    assert_eq!(location("model/link_in"), Ok("weights".to_owned()));
    let outside = "\"/secret\" is not in the folder \"/model\", so a model there cannot refer to it\n  help: \
        write the model to the folder of that file, or copy the weights";
    assert_eq!(location("secret"), Err(outside.to_owned()));
}

#[test]
#[cfg(target_os = "linux")]
fn a_pipe_does_not_block() {
    use rustix::fs::{CWD, FileType, Mode, mknodat};
    let dir = disk();
    let pipe = dir.path().join("model/pipe");
    mknodat(CWD, &pipe, FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).unwrap();
    let expected = r#""/model/pipe" is a pipe, not a regular file"#;
    assert_eq!(message(&dir, &Folder::of(&pipe).unwrap().open("pipe").unwrap_err()), expected);
    assert_eq!(message(&dir, &Source::open(&pipe).unwrap_err()), expected);
}

#[test]
fn the_user_may_name_a_link() {
    let dir = disk();
    let opened = |path: &str| match Source::open(dir.path().join(path)) {
        Ok(source) => content(&source),
        Err(e) => message(&dir, &e),
    };
    assert_eq!(opened("model/link_to_cache"), "cache/blobs/1");
    assert_eq!(opened("model/two_names"), "model/two_names");
    assert_eq!(opened("model"), r#""/model" is a folder, not a regular file"#);
    assert_eq!(opened("model/link_to_nothing"), r#""/model/link_to_nothing" does not exist"#);
    assert_eq!(opened("a\0b"), r#"the file name "/a\0b" contains a NUL character"#);
    assert!(matches!(Source::open(Path::new("")), Err(FileError::NotFound { .. })));
    assert!(matches!(Folder::of(Path::new("/")), Err(FileError::NotRegular { .. })));
    assert!(matches!(Folder::at(dir.path().join("nowhere")), Err(FileError::NotFound { .. })));
    assert!(Folder::of(Path::new("model.onnx")).is_ok());
}

#[test]
fn one_file_is_opened_once() {
    let dir = disk();
    let folder = Folder::at(dir.path().join("model")).unwrap();
    let [first, second] = [(); 2].map(|()| folder.open("weights").unwrap());
    assert_eq!(first.map().unwrap().as_ptr(), second.map().unwrap().as_ptr());
}

#[test]
fn identity_is_the_file_not_its_name() {
    let dir = disk();
    let of = |path: &str| Identity::of(dir.path().join(path)).unwrap();
    assert_eq!(of("model/link_in"), of("model/weights"));
    assert_eq!(of("model/two_names"), of("model/other_name"));
    assert_ne!(of("model/two_names"), of("model/weights"));
    assert_eq!(*Source::open(dir.path().join("model/link_in")).unwrap().identity(), of("model/weights"));
}

#[test]
fn ranges_lie_within_their_file() {
    let dir = disk();
    let source = Source::open(dir.path().join("model/weights")).unwrap();
    assert_eq!(source.len(), 13);
    let middle = source.range(2, 5).unwrap();
    let mut buf = [0; 3];
    middle.read(2, &mut buf).unwrap();
    assert_eq!(&buf, b"l/w");
    assert_eq!(middle.slice(2, 3).unwrap(), source.range(4, 3).unwrap());
    assert_ne!(middle.slice(2, 3).unwrap(), source.range(4, 2).unwrap());
    assert_eq!(source.range(13, 0).unwrap().len(), 0);
    assert_eq!(middle.slice(5, 0).unwrap().offset(), 7);
    assert_eq!(source.whole(), source.range(0, 13).unwrap());
    let again = Source::open(dir.path().join("model/link_in")).unwrap();
    assert_eq!(again.range(2, 5).unwrap(), middle);

    let beyond = |error: FileError, expected: &str| assert_eq!(message(&dir, &error), expected);
    let text = |len: u64, offset: u64, size: u64| {
        format!(r#"{len} bytes at offset {offset} extend beyond the end of "/model/weights" ({size} bytes)"#)
    };
    for (offset, len) in [(14, 0), (13, 1), (0, 14), (u64::MAX, 1), (1, u64::MAX), (u64::MAX, u64::MAX)] {
        beyond(source.range(offset, len).unwrap_err(), &text(len, offset, 13));
        let offset_in_file = offset.saturating_add(2);
        beyond(middle.slice(offset, len).unwrap_err(), &text(len, offset_in_file, 7));
    }
    beyond(middle.slice(0, 6).unwrap_err(), &text(6, 2, 7));
    beyond(middle.read(3, &mut buf).unwrap_err(), &text(3, 5, 7));
    beyond(source.read_at(u64::MAX, &mut buf).unwrap_err(), &text(3, u64::MAX, 13));
}

#[test]
fn an_image_holds_what_was_read() {
    let dir = disk();
    let path = dir.path().join("model/large");
    let content: Vec<u8> = (0..3_000_000_u32).map(|at| (at % 251) as u8 + 1).collect();
    fs::write(&path, &content).unwrap();
    let source = Source::open(&path).unwrap();
    let mut image = source.image().unwrap();
    for (from, to) in [
        (0, 3),
        (3, 3),
        (2, 10_000),
        (9_999, 10_001),
        (2_000_000, 2_000_001),
        (1_500_000, 1_500_009),
        (2_999_990, 3_000_000),
    ] {
        assert_eq!(image.read(from, to).unwrap(), &content[from..to], "{from}..{to}");
    }
    let beyond = r#"11 bytes at offset 2999990 extend beyond the end of "/model/large" (3000000 bytes)"#;
    assert_eq!(message(&dir, &image.read(2_999_990, 3_000_001).unwrap_err()), beyond);
    let bytes = image.into_bytes();
    assert_eq!(bytes.len(), content.len());
    assert!(bytes[100_000..900_000].iter().all(|byte| *byte == 0), "what nobody asked for is not read");
    let empty = Source::open(dir.path().join("model/empty")).unwrap();
    assert!(empty.image().unwrap().into_bytes().is_empty());
    assert!(empty.map().unwrap().is_empty());
}

#[test]
fn an_image_of_a_file_that_was_shortened_is_an_error() {
    let dir = disk();
    let path = dir.path().join("model/weights");
    let mut image = Source::open(&path).unwrap().image().unwrap();
    fs::File::options().write(true).open(&path).unwrap().set_len(3).unwrap();
    assert!(matches!(image.read(0, 13).unwrap_err(), FileError::Io { action: "read", .. }));
}

#[test]
fn a_file_cut_short_is_an_error() {
    let dir = disk();
    let path = dir.path().join("model/weights");
    let source = Source::open(&path).unwrap();
    fs::write(&path, "cut").unwrap();
    let error = source.read_at(0, &mut [0; 13]).unwrap_err();
    assert_eq!(message(&dir, &error), r#"could not read "/model/weights": failed to fill whole buffer"#);
}

#[test]
fn small_files_have_a_limit() {
    let dir = disk();
    let path = dir.path().join("secret");
    assert_eq!(read_text(&path, 6).unwrap(), "secret");
    let error = read_bytes(&path, 5).unwrap_err();
    let expected = "\"/secret\" has 6 bytes, but the limit is 5\n  help: check that it is the right file";
    assert_eq!(message(&dir, &error), expected);
    fs::write(&path, [0xff, 0xfe]).unwrap();
    let error = read_text(&path, 6).unwrap_err();
    let expected = "\"/secret\" is not UTF-8 text\n  help: check that it is the right file, or save it as UTF-8";
    assert_eq!(message(&dir, &error), expected);
}
