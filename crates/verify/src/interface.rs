//! Compares and checks the declared inputs and outputs of models.

use crate::Array;
use crate::file::{ModelFile, Port};
use crate::uses::Graphs;
use netwright_ir::{Bindings, Dim, ElementType, Shape, Symbol};
use std::collections::BTreeMap;

/// Returns the first difference between two lists of inputs or outputs; names of symbols may differ, and so may the types
/// of floats of at most 32 bits, as [`float_types`] notes. The shapes of outputs are judged when they are computed.
pub(crate) fn other_ports(kind: &str, a: &[Port], b: &[Port]) -> Option<String> {
    let name = |port: Option<&Port>| port.map_or_else(|| "nothing".to_owned(), |port| format!("`{}`", port.name));
    (0..a.len().max(b.len())).find_map(|at| {
        let (left, right) = (a.get(at), b.get(at));
        let (Some(left), Some(right)) = (left, right) else {
            return Some(format!("{kind} {at} is {} in the first and {} in the second", name(left), name(right)));
        };
        if left.name != right.name {
            let place = |ports: &[Port], name: &str| ports.iter().position(|port| port.name == name);
            let moved = match (place(b, &left.name), place(a, &right.name)) {
                (Some(to), _) => Some(format!("where `{}` is {kind} {to}", left.name)),
                (None, Some(from)) => Some(format!("which is {kind} {from} of the first")),
                (None, None) => None,
            };
            if let Some(moved) = moved {
                let flag = if kind == "input" { "--from" } else { "--to" };
                return Some(format!(
                    "{kind} {at} is `{}` in the first and `{}` in the second, {moved}\n  help: {kind}s are compared in \
                     order; `netwright extract {flag}` writes a model with its {kind}s in the order that it names",
                    left.name, right.name
                ));
            }
            return Some(format!(
                "{kind} {at} is `{}` in the first and `{}` in the second\n  help: if they mean the same, add --rename-{kind} \
                 {}={} to `netwright verify`",
                left.name, right.name, left.name, right.name
            ));
        }
        let (left_ty, right_ty) = (left.ty.as_ref()?, right.ty.as_ref()?);
        let differs = !are_comparable(left_ty.element, right_ty.element)
            || kind == "input" && !may_be_equal(left_ty.shape.as_ref(), right_ty.shape.as_ref());
        differs.then(|| format!("{kind} `{}` is {left_ty} in the first and {right_ty} in the second", left.name))
    })
}

/// Returns whether two declared shapes do not contradict each other.
fn may_be_equal(a: Option<&Shape>, b: Option<&Shape>) -> bool {
    let (Some(a), Some(b)) = (a, b) else { return true };
    let known = |(a, b): (&Dim, &Dim)| a.known().zip(b.known()).is_none_or(|(a, b)| a == b);
    a.len() == b.len() && a.iter().zip(b.iter()).all(known)
}

/// Returns the sizes of symbols of the first model for which the second model has numbers, unless `given` has them, and a
/// note about them.
pub(crate) fn fixed_dims(
    a: &ModelFile,
    b: &ModelFile,
    given: &BTreeMap<Symbol, Dim>,
) -> (BTreeMap<Symbol, Dim>, Option<String>) {
    let mut fixed = BTreeMap::new();
    let shape = |port: &Port| port.ty.as_ref().and_then(|ty| ty.shape.clone()).unwrap_or_default();
    for (a, b) in a.inputs().iter().zip(b.inputs()) {
        for (a, b) in shape(a).iter().zip(shape(&b).iter()) {
            if let (Dim::Symbol(symbol), Dim::Known(_)) = (a, b)
                && !given.contains_key(symbol)
            {
                fixed.entry(symbol.clone()).or_insert_with(|| b.clone());
            }
        }
    }
    let sizes: Vec<String> = fixed.iter().map(|(symbol, size)| format!("{} = {size}", symbol.as_str())).collect();
    let note = format!("runs have the sizes that the second model fixes: {}", sizes.join(", "));
    (fixed, (!sizes.is_empty()).then_some(note))
}

/// Returns whether values of both types can be compared: types that are equal, or floats that are at most as wide as f32.
fn are_comparable(a: ElementType, b: ElementType) -> bool {
    a == b || [a, b].into_iter().all(|element| element.is_float() && element.bits() <= 32)
}

/// Returns the inputs that have another float type in the second model, with that type, and a note about them and the
/// outputs.
pub(crate) fn float_types(a: &ModelFile, b: &ModelFile) -> (Vec<(String, ElementType)>, Option<String>) {
    let changed = |a: &[Port], b: &[Port]| -> Vec<(String, ElementType)> {
        let pairs = a.iter().zip(b).filter_map(|(a, b)| Some((b, a.ty.as_ref()?.element, b.ty.as_ref()?.element)));
        pairs.filter(|(_, a, b)| a != b).map(|(port, _, element)| (port.name.clone(), element)).collect()
    };
    let (inputs, outputs) = (changed(&a.inputs(), &b.inputs()), changed(a.outputs(), b.outputs()));
    let all: Vec<String> =
        inputs.iter().chain(&outputs).map(|(name, element)| format!("`{name}` is {element}")).collect();
    let note = format!("in the second model, {}; values are converted to be compared", all.join(", "));
    (inputs, (!all.is_empty()).then_some(note))
}

/// Returns inputs with the floats that a model declares.
pub(crate) fn with_types_of(ports: &[Port], inputs: &[(&str, &Array)]) -> Vec<(String, Array)> {
    let convert = |(name, array): &(&str, &Array)| {
        let ty = ports.iter().find(|port| port.name == *name).and_then(|port| port.ty.as_ref());
        ((*name).to_owned(), ty.map_or_else(|| (*array).clone(), |ty| array.with_floats(ty.element)))
    };
    inputs.iter().map(convert).collect()
}

/// Returns values with the float types of others.
pub(crate) fn with_types_of_values(of: &[(String, Array)], values: Vec<(String, Array)>) -> Vec<(String, Array)> {
    let element = |name: &String| of.iter().find(|(other, _)| other == name).map(|(_, array)| array.element());
    let convert = |(name, array): (String, Array)| {
        let array = element(&name).map_or_else(|| array.clone(), |element| array.with_floats(element));
        (name, array)
    };
    values.into_iter().map(convert).collect()
}

/// Returns how the outputs violate their declarations, if they do.
pub(crate) fn misdeclared(model: &ModelFile, outputs: &[(String, Array)], bindings: &Bindings) -> Option<String> {
    // A symbol that occurs only in outputs has the size of its first occurrence.
    let mut bound = bindings.clone();
    model.outputs().iter().zip(outputs).find_map(|(port, (name, array))| {
        let ty = port.ty.as_ref()?;
        let mut fits = |(dim, &size): (&Dim, &usize)| {
            let Ok(size) = i64::try_from(size) else { return false };
            if let Dim::Symbol(symbol) = dim {
                return *bound.entry(symbol.clone()).or_insert(size) == size;
            }
            dim.evaluate(&bound).is_none_or(|expected| expected == size)
        };
        let shape = ty
            .shape
            .as_ref()
            .is_none_or(|dims| dims.len() == array.shape().len() && dims.iter().zip(array.shape()).all(&mut fits));
        let differs = ty.element != array.element() || !shape;
        let sizes = sizes(bindings);
        differs.then(|| format!("output `{name}` is declared as {ty} and is {array} (with {sizes})"))
    })
}

/// Returns whether an output is computed from floats, whose rounding may change integers and truth values.
pub(crate) fn comes_from_floats(model: &ModelFile, output: &str) -> bool {
    let ports = model.inputs();
    let is_float = |name: &str| {
        let port = ports.iter().find(|port| port.name == name);
        port.and_then(|port| port.ty.as_ref()).is_some_and(|ty| ty.element.is_float())
    };
    Graphs::new(&model.graph).comes_from_floats(output, is_float)
}

/// Formats the sizes of a run.
pub(crate) fn sizes(bindings: &Bindings) -> String {
    if bindings.is_empty() {
        return "no symbols".to_owned();
    }
    bindings.iter().map(|(symbol, size)| format!("{} = {size}", symbol.as_str())).collect::<Vec<_>>().join(", ")
}
