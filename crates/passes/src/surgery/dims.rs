//! Fixes and renames symbolic sizes.

use super::{SurgeryError, expect_no_training, expect_once, unknown};
use netwright_ir::{Dim, Fact, Graph, Model, Shape, Symbol, TensorType, Value, ValueType, check};
use std::collections::{BTreeMap, BTreeSet};

/// Writes sizes for symbols: numbers, or expressions over other symbols such as `past + seq`.
///
/// Everything is inferred again with the sizes. They are checked against everything that inference knows of the model:
/// constants, weights, defaults of inputs, and the types that the file declares for outputs. Outputs are then declared
/// with the numbers that are inferred, where the file has symbols.
///
/// # Errors
/// If a symbol is unknown, a size is negative or depends on itself, the model contradicts a size, or it has training
/// steps.
pub fn fix_dims(model: &mut Model, sizes: &BTreeMap<Symbol, Dim>) -> Result<(), SurgeryError> {
    expect_no_training(model)?;
    let known = symbols(&model.graph);
    for symbol in sizes.keys() {
        expect_known(symbol, &known, &model.graph)?;
    }
    let mut resolved = sizes.clone();
    for _ in sizes {
        resolved = resolved
            .iter()
            .map(|(symbol, dim)| (symbol.clone(), dim.substitute(&|it| sizes.get(it).cloned())))
            .collect();
    }
    for (symbol, dim) in &resolved {
        let mut own = None;
        dim.for_each_symbol(&mut |it| {
            if sizes.contains_key(it) {
                own = Some(it.clone());
            }
        });
        if own.is_some() {
            return Err(SurgeryError::Circular { symbol: symbol.as_str().to_owned() });
        }
        let mut unknown = None;
        dim.for_each_symbol(&mut |it| {
            if !known.contains(it) {
                unknown.get_or_insert_with(|| it.as_str().to_owned());
            }
        });
        if let Some(name) = unknown {
            let help = format!("the size of {symbol} must be a number, or an expression over symbols of the model");
            return Err(SurgeryError::Unknown { what: "a symbolic dim", name, help });
        }
        if let Dim::Known(size @ ..0) = dim {
            return Err(SurgeryError::Negative { symbol: symbol.as_str().to_owned(), size: *size });
        }
    }
    let is_valid = check(&model.graph).is_ok();
    substitute(&mut model.graph, &resolved);
    model.graph.infer_anew();
    settle(&mut model.graph);
    let contradiction = |what: String| SurgeryError::Contradiction { sizes: list(sizes), what };
    if is_valid && let Err(violations) = check(&model.graph) {
        let first = violations.0.into_iter().next();
        return Err(contradiction(first.map_or_else(String::new, |it| {
            let help = it.help.map_or_else(String::new, |help| format!("\n  help: {help}"));
            format!("{}\n  in {}{help}", it.what, it.node)
        })));
    }
    expect_interface(&model.graph).map_err(contradiction)?;
    declare_known(&mut model.graph);
    Ok(())
}

/// Renames symbols: pairs of the old name and the new one. All change at once, so two may swap their names.
///
/// # Errors
/// If an old name is not that of a symbol, a new name is taken, a name is given twice, or the model has training steps.
pub fn rename_dims(model: &mut Model, names: &[(&str, &str)]) -> Result<(), SurgeryError> {
    expect_no_training(model)?;
    expect_once(names.iter().map(|(old, _)| *old))?;
    expect_once(names.iter().map(|(_, new)| *new))?;
    let known = symbols(&model.graph);
    for (old, new) in names {
        expect_known(&Symbol::new(*old), &known, &model.graph)?;
        if known.contains(&Symbol::new(*new)) && names.iter().all(|(old, _)| old != new) {
            return Err(SurgeryError::Taken { name: (*new).to_owned(), by: "another symbolic dim" });
        }
    }
    let renamed = names.iter().map(|(old, new)| (Symbol::new(*old), Dim::symbol(*new))).collect();
    substitute(&mut model.graph, &renamed);
    // Sizes that are never 0 are recorded by their symbols.
    model.graph.infer_anew();
    Ok(())
}

/// The help names the symbols of the inputs, from which others follow, if there are any.
fn expect_known(symbol: &Symbol, known: &BTreeSet<Symbol>, graph: &Graph) -> Result<(), SurgeryError> {
    if known.contains(symbol) {
        return Ok(());
    }
    let mut of_inputs = BTreeSet::new();
    for shape in graph.inputs().filter_map(|input| graph.fact(input).shape()) {
        shape.iter().for_each(|dim| dim.for_each_symbol(&mut |symbol| _ = of_inputs.insert(symbol.clone())));
    }
    let all = known.iter().map(Symbol::as_str);
    let names: Vec<&str> =
        if of_inputs.is_empty() { all.collect() } else { of_inputs.iter().map(Symbol::as_str).collect() };
    Err(unknown("a symbolic dim", symbol.as_str(), &names))
}

/// Returns the symbols of all sizes in a graph and its bodies.
pub fn symbols(graph: &Graph) -> BTreeSet<Symbol> {
    let mut symbols = BTreeSet::new();
    let mut add = |ty: &ValueType| {
        for_each_tensor(&mut ty.clone(), &mut |tensor| {
            for dim in tensor.shape.iter().flat_map(|shape| shape.iter()) {
                dim.for_each_symbol(&mut |symbol| _ = symbols.insert(symbol.clone()));
            }
        });
    };
    graph.outputs().iter().filter_map(|output| output.declared.as_ref()).for_each(&mut add);
    for id in graph.schedule() {
        for value in graph.results(id) {
            add(&graph.fact(value).ty);
            graph.declared(value).into_iter().for_each(&mut add);
        }
    }
    for id in graph.schedule() {
        graph.node(id).op().bodies().iter().for_each(|body| symbols.extend(self::symbols(body)));
    }
    symbols
}

/// Replaces symbols in all types of a graph and its bodies.
pub(super) fn substitute(graph: &mut Graph, sizes: &BTreeMap<Symbol, Dim>) {
    let dim = |dim: &Dim| dim.substitute(&|symbol| sizes.get(symbol).cloned());
    let ty = |ty: &ValueType| {
        let mut ty = ty.clone();
        for_each_tensor(&mut ty, &mut |tensor| {
            for size in tensor.shape.iter_mut().flat_map(Shape::dims_mut) {
                *size = dim(size);
            }
        });
        ty
    };
    for id in graph.schedule() {
        for value in graph.results(id).collect::<Vec<Value>>() {
            let fact = graph.fact(value);
            let elements = fact.elements.as_ref().map(|elements| elements.iter().map(dim).collect());
            let new = Fact { ty: ty(&fact.ty), elements };
            if new != *fact {
                graph.set_fact(value, new);
            }
            if let Some(declared) = graph.declared(value).map(&ty) {
                graph.declare(value, declared);
            }
        }
        if !graph.node(id).op().bodies().is_empty() {
            graph.edit_bodies(id, |body| substitute(body, sizes));
        }
    }
    for output in graph.outputs().to_vec() {
        if let Some(declared) = &output.declared {
            graph.declare_output(output.value, &ty(declared));
        }
    }
    graph.sweep();
}

/// Makes declared types of inner values those that are inferred, if they contradict: only outputs bind the model.
fn settle(graph: &mut Graph) {
    for id in graph.schedule() {
        for value in graph.results(id).collect::<Vec<Value>>() {
            let inferred = graph.fact(value).ty.clone();
            if graph.declared(value).is_some_and(|declared| inferred.contradicts(declared)) {
                graph.declare(value, inferred);
            }
        }
    }
}

/// Adds what is inferred to the declared types of outputs: their symbols may have names of their own.
fn declare_known(graph: &mut Graph) {
    for output in graph.outputs().to_vec() {
        let inferred = &graph.fact(output.value).ty;
        let Some(mut ty) = output.declared.and_then(|declared| declared.and(inferred)) else { continue };
        if let (ValueType::Tensor(tensor), Some(sizes)) = (&mut ty, graph.shape(output.value)) {
            let dims = tensor.shape.iter_mut().flat_map(Shape::dims_mut).zip(sizes.iter());
            dims.filter(|(_, size)| size.known().is_some()).for_each(|(dim, size)| *dim = size.clone());
        }
        graph.declare_output(output.value, &ty);
    }
}

/// Checks the declared types of outputs and the defaults of inputs; says what contradicts.
fn expect_interface(graph: &Graph) -> Result<(), String> {
    for output in graph.outputs() {
        let inferred = &graph.fact(output.value).ty;
        if let Some(declared) = output.declared.as_ref().filter(|declared| inferred.contradicts(declared)) {
            return Err(format!(
                "the output {:?} is then declared {declared}, but inferred as {inferred}\n  help: choose another size",
                output.name
            ));
        }
    }
    for input in graph.inputs() {
        let Some(default) = graph.default_of(input) else { continue };
        let (ty, own) = (&graph.fact(input).ty, ValueType::from(default.ty()));
        if ty.contradicts(&own) {
            return Err(format!(
                "the input {:?} is then {ty}, but its default is {own}\n  help: choose another size",
                graph.value_name(input)
            ));
        }
    }
    Ok(())
}

/// Calls `visit` with the tensor types in a type.
fn for_each_tensor(ty: &mut ValueType, visit: &mut dyn FnMut(&mut TensorType)) {
    match ty {
        ValueType::Unknown => {}
        ValueType::Tensor(tensor) | ValueType::SparseTensor(tensor) => visit(tensor),
        ValueType::Sequence(inner) | ValueType::Optional(inner) | ValueType::Map(_, inner) => {
            for_each_tensor(inner, visit);
        }
    }
}

/// Returns sizes as text: `batch = 2, seq = 8`.
fn list(sizes: &BTreeMap<Symbol, Dim>) -> String {
    sizes.iter().map(|(symbol, dim)| format!("`{}` = {dim}", symbol.as_str())).collect::<Vec<_>>().join(", ")
}
