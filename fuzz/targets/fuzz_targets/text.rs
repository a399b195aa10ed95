//! Parses text, prints it, and parses the same graph again.
#![no_main]

use libfuzzer_sys::fuzz_target;
use netwright_ir::parse;

fuzz_target!(|text: &str| {
    let Ok(graph) = parse(text) else { return };
    let printed = graph.to_string();
    let again = parse(&printed).expect("what is printed can be parsed");
    assert_eq!(again.to_string(), printed);
});
