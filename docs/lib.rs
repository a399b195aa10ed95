//! Compiles and runs the Rust examples of README.md and of the pages of the book, as documentation tests.

#[cfg(doctest)]
macro_rules! pages {
    ($($name:ident: $file:literal),* $(,)?) => {
        $(#[doc = include_str!($file)] pub mod $name {})*
    };
}

#[cfg(doctest)]
pages! {
    readme: "../README.md",
    build: "build.md",
    families: "families.md",
    generate: "generate.md",
    optimize: "optimize.md",
    passes: "passes.md",
    surgery: "surgery.md",
    text_form: "text-form.md",
    verification: "verification.md",
}
