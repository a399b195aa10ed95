//! Chooses the runtimes that the flags request.

use crate::args::Runtime as Choice;
use crate::failure::{Failure, Misuse};
use crate::output::Output;
use crate::verify::other_runtime;
use netwright::files::Code;
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

/// Returns the failure of a call of a runtime: of the model, if its file is not valid; of the runtimes, if the one that was
/// tried does not run it; or of the call.
pub(crate) fn failed(error: VerifyError) -> Failure {
    match error.code() {
        Code::Undecodable | Code::DataUnreadable => Failure::model(error),
        Code::NotVerifiable | Code::RuntimeFailed | Code::RuntimePanicked => Failure::not_run(error),
        _ => Failure::usage(error),
    }
}

/// The runtimes that may generate: the first that runs the model does.
pub(crate) struct Engines {
    first: Runtime,
    other: Option<Runtime>,
}

impl Engines {
    /// Returns the runtimes that the flags choose, as [`chosen`] does.
    pub(crate) fn new(choice: Choice, library: Option<&Path>) -> Result<Self, Failure> {
        let (first, other) = chosen(choice, library, false, |ort| ort.with_level(OrtLevel::All))?;
        Ok(Self { first, other })
    }

    /// Returns what `open` makes of a runtime, and the runtime: the first, or the other for models that the first cannot
    /// run.
    pub(crate) fn open<T>(
        &self,
        output: Output,
        open: impl Fn(&Runtime) -> Result<T, Failure>,
    ) -> Result<(T, &Runtime), Failure> {
        let first = &self.first;
        match (open(first), &self.other) {
            (Err(failure), Some(other)) if failure.is_not_runnable() => {
                output.note(&format!("using {other}, as {first} does not run the model"))?;
                Ok((open(other)?, other))
            }
            (Err(failure), None) if failure.is_not_runnable() => {
                Err(failure.with_help(other_runtime(&first.to_string())))
            }
            (opened, _) => Ok((opened?, first)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::Cell;

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
        assert!(Engines::new(Choice::Tract, library).is_err());
    }

    const OUTPUT: Output<'_> = Output { quiet: true, verbose: false, json: false, model: None };

    #[test]
    fn another_runtime_opens_what_the_first_does_not_run() {
        let not_run = || Failure::not_verifiable("tract does not read elements of type i4".to_owned());
        let other_kind = || Failure::model_with(Code::ModelKind, "it generates no text");
        let calls = Cell::new(0);
        let opened = |other: bool, results: [Option<fn() -> Failure>; 2]| {
            calls.set(0);
            let engines = Engines { first: Runtime::Tract, other: other.then_some(Runtime::Tract) };
            let open = |_: &Runtime| {
                calls.set(calls.get() + 1);
                results[calls.get() - 1].map_or(Ok(()), |failure| Err(failure()))
            };
            let is_open = engines.open(OUTPUT, open).is_ok();
            (is_open, calls.get())
        };
        assert_eq!(opened(true, [None, None]), (true, 1));
        assert_eq!(opened(true, [Some(not_run), None]), (true, 2));
        assert_eq!(opened(true, [Some(not_run), Some(not_run)]), (false, 2));
        assert_eq!(opened(true, [Some(other_kind), None]), (false, 1));
        assert_eq!(opened(false, [Some(not_run), None]), (false, 1));
    }

    #[test]
    fn a_library_that_is_named_must_be_found() {
        let named = |choice| chosen(choice, Some(Path::new("absent.so")), false, |ort| ort).is_err();
        assert!(named(Choice::Auto) && named(Choice::Ort));
    }
}
