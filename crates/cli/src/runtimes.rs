//! Chooses the runtimes that the flags request.

use crate::args::{Engine, Runtime as Choice};
use crate::failure::{Failure, Misuse};
use netwright::verify::{OnnxRuntime, OrtLevel, Runtime, VerifyError};
use std::path::Path;

/// Returns the runtime that the flags choose; with `auto`, tract, and ONNX Runtime if its library is found.
///
/// # Errors
/// If tract is chosen together with a flag of ONNX Runtime, or if the library cannot be loaded and a flag requires it:
/// `--runtime ort`, `--ort-library` or `--ort-level`.
pub(crate) fn chosen(
    choice: Choice,
    library: Option<&Path>,
    has_level: bool,
    set_up: impl FnOnce(OnnxRuntime) -> OnnxRuntime,
) -> Result<(Runtime, Option<Runtime>), Failure> {
    let given = [("--ort-library", library.is_some()), ("--ort-level", has_level)];
    let given: Vec<&str> = given.into_iter().filter(|(_, is_given)| *is_given).map(|(flag, _)| flag).collect();
    let find = || library.map_or_else(OnnxRuntime::find, OnnxRuntime::at).map(|ort| Runtime::Ort(set_up(ort)));
    match choice {
        Choice::Tract if given.is_empty() => Ok((Runtime::Tract, None)),
        Choice::Tract => Err(Misuse::NotFor.failure(format!(
            "--runtime tract does not use ONNX Runtime\n  help: leave out {}, or pass --runtime ort",
            given.join(" and ")
        ))),
        Choice::Ort => Ok((find().map_err(Failure::usage)?, None)),
        Choice::Auto => match find() {
            Err(VerifyError::NoOnnxRuntime) if given.is_empty() => Ok((Runtime::Tract, None)),
            ort => Ok((Runtime::Tract, Some(ort.map_err(Failure::usage)?))),
        },
    }
}

/// Returns the runtime that generates.
pub(crate) fn engine(engine: Engine, library: Option<&Path>) -> Result<Runtime, Failure> {
    let choice = match engine {
        Engine::Tract => Choice::Tract,
        Engine::Ort => Choice::Ort,
    };
    chosen(choice, library, false, |ort| ort.with_level(OrtLevel::All)).map(|(runtime, _)| runtime)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tract_refuses_the_flags_of_onnx_runtime() {
        let library = Some(Path::new("libonnxruntime.so"));
        let help = |library: Option<&Path>, has_level| match chosen(Choice::Tract, library, has_level, |ort| ort) {
            Err(Failure::Usage(message)) => message.text.lines().last().unwrap_or_default().to_owned(),
            other => format!("{other:?}"),
        };
        let or = "or pass --runtime ort";
        assert_eq!(help(library, false), format!("  help: leave out --ort-library, {or}"));
        assert_eq!(help(None, true), format!("  help: leave out --ort-level, {or}"));
        assert_eq!(help(library, true), format!("  help: leave out --ort-library and --ort-level, {or}"));
        assert_eq!(help(None, false), "Ok((Tract, None))");
        assert!(engine(Engine::Tract, library).is_err());
    }

    #[test]
    fn a_library_that_is_named_must_be_found() {
        let named = |choice| chosen(choice, Some(Path::new("absent.so")), false, |ort| ort).is_err();
        assert!(named(Choice::Auto) && named(Choice::Ort));
    }
}
