//! Catches panics of a library without printing them.

use std::cell::{Cell, RefCell};
use std::panic::{AssertUnwindSafe, catch_unwind, set_hook, take_hook};
use std::sync::Once;

thread_local! {
    static CATCHING: Cell<bool> = const { Cell::new(false) };
    static CAUGHT: RefCell<Option<String>> = const { RefCell::new(None) };
}

/// Returns the result of `work`, or the message and location of its panic: the file within its package, such as
/// `tokenizers-0.23.3/src/lib.rs`.
///
/// The panic hook is process-wide: it is wrapped once, and the wrapper keeps quiet only on a thread that is inside
/// this function. Values that the work uses must not be used again after a panic.
///
/// ```
/// let sizes = [2, 3];
/// assert_eq!(netwright_verify::catch(|| sizes.iter().sum::<i32>()), Ok(5));
/// let panic = netwright_verify::catch(|| sizes.iter().find(|size| **size > 3).copied().expect("a larger size"));
/// assert!(panic.is_err_and(|message| message.starts_with("a larger size (")));
/// ```
///
/// # Errors
/// The message and location of the panic.
pub fn catch<T>(work: impl FnOnce() -> T) -> Result<T, String> {
    static WRAP: Once = Once::new();
    WRAP.call_once(|| {
        let previous = take_hook();
        set_hook(Box::new(move |panic| {
            if CATCHING.get() {
                let message = panic.payload_as_str().unwrap_or("a panic without a message");
                let place = panic.location().map(|place| format!(" ({}:{})", within(place.file()), place.line()));
                CAUGHT.set(Some(format!("{message}{}", place.unwrap_or_default())));
            } else {
                previous(panic);
            }
        }));
    });
    let outer = CATCHING.replace(true);
    let result = catch_unwind(AssertUnwindSafe(work));
    CATCHING.set(outer);
    result.map_err(|_| CAUGHT.take().unwrap_or_else(|| "a panic without a message".to_owned()))
}

/// Returns the path of a source within its package of a registry, or within the standard library.
fn within(path: &str) -> String {
    let parts: Vec<&str> = path.split(['/', '\\']).collect();
    let start = |name: &str| parts.iter().rposition(|part| *part == name);
    // Below `registry/src` is a folder for each registry.
    let registry = start("registry").filter(|at| parts.get(at + 1) == Some(&"src")).map(|at| at + 3);
    let rest = registry.or_else(|| start("rustc").map(|at| at + 2)).and_then(|at| parts.get(at..));
    rest.filter(|rest| !rest.is_empty()).unwrap_or(&parts).join("/")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_becomes_its_message_and_place() {
        let message = catch(|| panic!("index {} is out of bounds", 7)).unwrap_err();
        assert!(message.starts_with("index 7 is out of bounds (") && message.contains("quiet.rs:"), "{message}");
        assert_eq!(catch(|| 3), Ok(3));
        for (path, expected) in [
            (
                "/home/a/.cargo/registry/src/index.crates.io-1949/tokenizers-0.23.3/src/lib.rs",
                "tokenizers-0.23.3/src/lib.rs",
            ),
            ("C:\\cargo\\registry\\src\\index\\ort-2.0\\src\\a.rs", "ort-2.0/src/a.rs"),
            ("/rustc/5980/library/core/src/option.rs", "library/core/src/option.rs"),
            ("crates/verify/src/quiet.rs", "crates/verify/src/quiet.rs"),
            ("registry/src", "registry/src"),
        ] {
            assert_eq!(within(path), expected);
        }
        assert!(!CATCHING.get());
    }
}
