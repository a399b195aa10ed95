//! Inference of operators, by the text form: elementwise, reductions, products, quantization, losses, signals,
//! attention, text, random numbers.

mod attention;
mod elementwise;
mod product;
mod quantization;
mod random;
mod reduction;
mod signal;
mod text;

use netwright_ir::parse;

/// Inputs that every case may use.
const INPUTS: &str = "%x: f32[batch, seq, 8], %h: f16[2, 3], %i: i64[2, 3], %b: bool[2, 3], %s: string[2, 3], \
                      %c: c64[2], %u: u8[4, 6], %n: i32[], %any: f32[*]";

/// Checks the types of all results of the last node, or the error.
#[track_caller]
fn check(body: &str, expected: &str) {
    let last = body.lines().last().unwrap_or_default();
    let (names, _) = last.split_once('=').expect("the last line defines values");
    let unknown = vec!["?"; names.split(',').count()].join(", ");
    let text = format!("g({INPUTS}) {{\n{body} : {unknown}\nreturn {names}\n}}");
    let found = match parse(&text) {
        Ok(graph) => {
            let facts = graph.outputs().iter().map(|output| graph.fact(output.value).to_string());
            facts.collect::<Vec<_>>().join(", ")
        }
        Err(error) => error.what,
    };
    assert_eq!(found, expected, "{body}");
}

/// Checks the inferred elements of the last node's result, through the shape of a range or a reshape by them.
#[track_caller]
fn check_elements(body: &str, expected: &str) {
    let (name, _) = body.lines().last().unwrap_or_default().split_once('=').expect("the last line defines a value");
    check(&format!("{body} : ?\n%made = constant_of_shape {name}"), &format!("f32{expected}"));
}
