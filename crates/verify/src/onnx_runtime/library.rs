//! Finds and loads the shared library of ONNX Runtime.

use crate::{VerifyError, quiet};
use std::env::{consts, home_dir, split_paths, var_os};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

/// The library that this process has loaded.
static LOADED: Mutex<Option<PathBuf>> = Mutex::new(None);

/// Loads the library on the first call.
pub(super) fn load(library: &Path) -> Result<(), VerifyError> {
    let failed = |cause| failed(library, cause);
    let mut loaded = LOADED.lock().unwrap_or_else(PoisonError::into_inner);
    match &*loaded {
        Some(other) if other == library => return Ok(()),
        Some(other) => return Err(failed(format!("this process has already loaded \"{}\"", other.display()))),
        None => {}
    }
    check(library)?;
    match quiet::catch(|| ort::init_from(library)) {
        Ok(Ok(environment)) => _ = environment.with_name("netwright").with_telemetry(false).commit(),
        Ok(Err(ort::LoadDynamicError::BadVersion { version_str, .. })) => {
            let least = ort::MINOR_VERSION;
            return Err(failed(format!("it is version {version_str}, which is too old; 1.{least} or newer is needed")));
        }
        Ok(Err(ort::LoadDynamicError::MissingApi { .. })) => {
            return Err(failed("it is not a library of ONNX Runtime: it has no function OrtGetApiBase".to_owned()));
        }
        Ok(Err(ort::LoadDynamicError::Dlopen { error, .. })) => return Err(failed(error.to_string())),
        Err(panic) => return Err(failed(panic)),
    }
    *loaded = Some(library.to_owned());
    Ok(())
}

/// Checks that a library is a regular file: opening anything else might block.
pub(super) fn check(library: &Path) -> Result<(), VerifyError> {
    match library.metadata() {
        Ok(metadata) if metadata.is_file() => Ok(()),
        Ok(_) => Err(failed(library, "it is not a file".to_owned())),
        Err(error) => Err(failed(library, error.to_string())),
    }
}

pub(super) fn failed(library: &Path, cause: String) -> VerifyError {
    VerifyError::OnnxRuntimeLibrary { library: library.to_owned(), cause }
}

/// Returns the version in the name of the library file, as in `libonnxruntime.so.1.32.0`; follows links.
pub(super) fn version(library: &Path) -> Option<String> {
    let file = library.canonicalize().ok()?;
    let name = file.file_name()?.to_str()?.strip_prefix(&start())?;
    let name = name.trim_start_matches("so.").trim_end_matches(consts::DLL_SUFFIX);
    name.starts_with(|first: char| first.is_ascii_digit()).then(|| name.to_owned())
}

/// Returns the prefix of the name of the library file.
fn start() -> String {
    format!("{}onnxruntime.", consts::DLL_PREFIX)
}

/// Finds the library of `ORT_DYLIB_PATH`, or of an installed Python package.
pub(super) fn find() -> Option<PathBuf> {
    if let Some(path) = var_os("ORT_DYLIB_PATH").filter(|path| !path.is_empty()) {
        return std::path::absolute(path).ok();
    }
    let mut folders = environments().into_iter().flat_map(|prefix| site_packages(&prefix));
    folders.find_map(|folder| in_package(&folder))
}

/// Returns the folders of Python environments, the most specific first.
fn environments() -> Vec<PathBuf> {
    let mut prefixes: Vec<PathBuf> =
        ["VIRTUAL_ENV", "CONDA_PREFIX"].iter().filter_map(var_os).map(Into::into).collect();
    let folders = var_os("PATH").map(|path| split_paths(&path).collect::<Vec<_>>()).unwrap_or_default();
    for python in folders.iter().flat_map(|folder| ["python3", "python"].map(|name| folder.join(name))) {
        let python = python.with_extension(consts::EXE_EXTENSION);
        if python.is_file() {
            // The link itself is in the environment, and leads to the base Python.
            for program in [Some(python.clone()), python.canonicalize().ok()].into_iter().flatten() {
                prefixes.extend(program.ancestors().skip(1).take(2).map(Path::to_owned));
            }
        }
    }
    prefixes.extend(home_dir().into_iter().map(|home| home.join(".local")));
    prefixes.push("/usr/local".into());
    // A relative path depends on the working folder, whose contents may be untrusted.
    prefixes.retain(|prefix| prefix.is_absolute());
    prefixes
}

/// Returns the folders of installed packages in an environment.
fn site_packages(prefix: &Path) -> Vec<PathBuf> {
    let mut folders = vec![prefix.join("Lib").join("site-packages")];
    for lib in ["lib", "lib64"].map(|name| prefix.join(name)) {
        let pythons = entries(&lib).into_iter().filter(|path| name(path).starts_with("python3"));
        folders.extend(pythons.flat_map(|python| ["site-packages", "dist-packages"].map(|name| python.join(name))));
    }
    folders
}

/// Returns the newest library of the package in a folder of packages.
fn in_package(folder: &Path) -> Option<PathBuf> {
    let start = start();
    let libraries = entries(&folder.join("onnxruntime").join("capi")).into_iter().filter(|path| {
        let name = name(path);
        name.starts_with(&start) && name.contains(consts::DLL_SUFFIX)
    });
    let numbers = |path: &PathBuf| -> Vec<u64> { name(path).split('.').filter_map(|part| part.parse().ok()).collect() };
    libraries.filter(|path| path.is_file()).max_by_key(numbers)
}

/// Returns the entries of a folder, sorted by name; empty if it cannot be read.
fn entries(folder: &Path) -> Vec<PathBuf> {
    let mut paths: Vec<_> =
        folder.read_dir().into_iter().flatten().filter_map(|entry| Some(entry.ok()?.path())).collect();
    paths.sort();
    paths
}

fn name(path: &Path) -> &str {
    path.file_name().and_then(|name| name.to_str()).unwrap_or("")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn touch(path: &Path) {
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, "not a library").unwrap();
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn the_newest_library_of_a_package_is_found() {
        let folder = tempfile::tempdir().unwrap();
        let capi = folder.path().join("lib/python3.11/site-packages/onnxruntime/capi");
        let names = ["libonnxruntime.so.1.9.2", "libonnxruntime.so.1.20.1", "libonnxruntime_providers_shared.so"];
        for name in names {
            touch(&capi.join(name));
        }
        let found = site_packages(folder.path()).iter().find_map(|folder| in_package(folder)).unwrap();
        assert_eq!(found, capi.join("libonnxruntime.so.1.20.1"));
        assert_eq!(version(&found).as_deref(), Some("1.20.1"));
        assert_eq!(version(&capi.join("libonnxruntime_providers_shared.so")), None);
    }

    #[test]
    fn a_file_that_is_not_a_library_is_an_error() {
        let folder = tempfile::tempdir().unwrap();
        let text = folder.path().join("library");
        touch(&text);
        let error = load(&text).unwrap_err().to_string();
        assert!(error.contains("library\" cannot be used as ONNX Runtime: "), "{error}");
        let error = check(folder.path()).unwrap_err().to_string();
        assert!(error.contains("it is not a file"), "{error}");
        let error = check(&folder.path().join("nowhere")).unwrap_err().to_string();
        assert!(error.contains("nowhere\" cannot be used as ONNX Runtime: "), "{error}");
    }
}
