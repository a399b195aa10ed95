//! Tests that operators are formed only for element types that they support at the opset of the model and in the target.

use netwright_ir::{Model, parse};
use netwright_passes::{Options, Target, optimize};

/// Returns a rotary embedding with an element type.
const ROTARY: &str = "
g(%x: T[b, 2, s, 8], %angles: T[b, 1, s, 4]) {
  %a, %c = split %x {axis = -1} : T[b, 2, s, 4], T[b, 2, s, 4]
  %n = neg %c : T[b, 2, s, 4]
  %r = concat %n, %a {axis = -1} : T[b, 2, s, 8]
  %e = concat %angles, %angles {axis = -1} : T[b, 1, s, 8]
  %cos = cos %e : T[b, 1, s, 8]
  %sin = sin %e : T[b, 1, s, 8]
  %p = mul %x, %cos : T[b, 2, s, 8]
  %q = mul %r, %sin : T[b, 2, s, 8]
  %y = add %p, %q : T[b, 2, s, 8]
  return %y
}";

/// Returns a GELU with tanh, which runtimes compute in every element type.
const GELU: &str = "
g(%x: T[n]) {
  %s = mul %x, %x : T[n]
  %c = mul %s, %x : T[n]
  %d = mul %c, T[] 0.044715 : T[n]
  %e = add %x, %d : T[n]
  %a = mul %e, T[] 0.7978845608028654 : T[n]
  %t = tanh %a : T[n]
  %p = add %t, T[] 1.0 : T[n]
  %h = mul %x, T[] 0.5 : T[n]
  %y = mul %h, %p : T[n]
  return %y
}";

const QUICK: &str = "
g(%x: T[n]) {
  %s = mul %x, T[] 1.702 : T[n]
  %t = sigmoid %s : T[n]
  %y = mul %x, %t : T[n]
  return %y
}";

const SILU: &str = "
g(%x: T[n]) {
  %t = sigmoid %x : T[n]
  %y = mul %x, %t : T[n]
  return %y
}";

/// Optimizes the graph for an element type at an opset.
fn optimized(text: &str, element: &str, target: Target, opset: i64) -> String {
    let text = text.replace("T[", &format!("{element}["));
    let mut model = Model::new(parse(&text).unwrap_or_else(|error| panic!("{error} in\n{text}")));
    model.opsets.insert(String::new(), opset);
    optimize(&mut model, &Options::for_target(target)).unwrap_or_else(|error| panic!("{error}"));
    model.graph.to_string()
}

#[test]
fn operators_take_the_elements() {
    for (text, operator, element, target, opset, expected) in [
        (ROTARY, "rotary_embedding", "f32", Target::ONNX, 23, true),
        (ROTARY, "rotary_embedding", "f16", Target::ONNX, 23, true),
        // The standard does not have it.
        (ROTARY, "rotary_embedding", "f64", Target::ONNX, 23, false),
        (ROTARY, "rotary_embedding", "f64", Target::TRACT, 23, false),
        (ROTARY, "otaryEmbedding", "f64", Target::ORT, 21, false),
        (GELU, "gelu", "f32", Target::ONNX, 20, true),
        // The standard has it; ONNX Runtime runs the parts in f64, and has no kernel for the operator.
        (GELU, "gelu", "f64", Target::TRACT, 20, true),
        (GELU, "gelu", "f64", Target::ONNX, 20, false),
        (GELU, "gelu", "f64", Target::ORT, 20, false),
        (QUICK, "QuickGelu", "f32", Target::ORT, 21, true),
        (QUICK, "QuickGelu", "f64", Target::ORT, 21, false),
        (SILU, "QuickGelu", "f32", Target::ORT, 21, true),
        (SILU, "QuickGelu", "f64", Target::ORT, 21, false),
    ] {
        let after = optimized(text, element, target, opset);
        let what = format!("{operator} of {element} for {target} at opset {opset}");
        assert_eq!(after.contains(operator), expected, "{what}:\n{after}");
        // No constant of another type is inserted.
        assert!(element != "f64" || !after.contains("f32"), "{what}:\n{after}");
    }
}
