//! Compares and checks the declared inputs and outputs of models.

use crate::Array;
use crate::file::{ModelFile, Port};
use netwright_ir::{Bindings, Dim, TensorType};

/// Returns the first difference between two lists of inputs or outputs; names of symbols may differ.
pub(crate) fn other_ports(kind: &str, a: &[Port], b: &[Port]) -> Option<String> {
    let name = |port: Option<&Port>| port.map_or_else(|| "nothing".to_owned(), |port| format!("`{}`", port.name));
    (0..a.len().max(b.len())).find_map(|at| {
        let (left, right) = (a.get(at), b.get(at));
        let (Some(left), Some(right)) = (left, right) else {
            return Some(format!("{kind} {at} is {} in the first and {} in the second", name(left), name(right)));
        };
        if left.name != right.name {
            return Some(format!("{kind} {at} is `{}` in the first and `{}` in the second", left.name, right.name));
        }
        let (left_ty, right_ty) = (left.ty.as_ref()?, right.ty.as_ref()?);
        let differs = !may_be_equal(left_ty, right_ty);
        differs.then(|| format!("{kind} `{}` is {left_ty} in the first and {right_ty} in the second", left.name))
    })
}

fn may_be_equal(a: &TensorType, b: &TensorType) -> bool {
    let shapes = match (&a.shape, &b.shape) {
        (Some(a), Some(b)) => {
            let known = |(a, b): (&Dim, &Dim)| a.known().zip(b.known()).is_none_or(|(a, b)| a == b);
            a.len() == b.len() && a.iter().zip(b.iter()).all(known)
        }
        _ => true,
    };
    a.element == b.element && shapes
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

/// Formats the sizes of a run.
pub(crate) fn sizes(bindings: &Bindings) -> String {
    if bindings.is_empty() {
        return "no symbols".to_owned();
    }
    bindings.iter().map(|(symbol, size)| format!("{} = {size}", symbol.as_str())).collect::<Vec<_>>().join(", ")
}
