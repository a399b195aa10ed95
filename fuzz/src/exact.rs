//! Decides by the original in `f64` whether a result is wrong or only rounded differently.
//!
//! A result is rounded if no row is further from `f64` than that row of the original, as ONNX Runtime computes it or
//! with [every result rounded](crate::strict) to its type. A row of the original that is not finite because its sums
//! overflow is infinitely far. If a value inside the original overflows, any row of an output that depends on that value
//! may be not finite.

use crate::element::Elem;
use crate::feeds::array;
use crate::runtime;
use crate::strict::rounded;
use crate::types::elems;
use crate::wide::widened;
use netwright::verify::{Array, Session};
use onnx_protobuf::{Message, ModelProto, NodeProto, ValueInfoProto};
use std::collections::{BTreeMap, BTreeSet};

/// The original in two other precisions, with its inner floats as additional outputs.
pub(crate) struct Exact {
    wide: Session,
    strict: Session,
    /// The names that the node of each value reads, in its bodies too.
    reads: BTreeMap<String, BTreeSet<String>>,
}

impl Exact {
    /// Loads both; `None` if ONNX Runtime does not load one of them.
    pub(crate) fn load(model: &ModelProto) -> Option<Self> {
        let elems = elems(model);
        let is_float = |name: &&String| matches!(elems.get(*name), Some(Elem::F16 | Elem::F32));
        let graph = model.graph.as_ref()?;
        let is_output = |name: &&String| graph.output.iter().any(|output| output.name == **name);
        let inner = graph.node.iter().flat_map(|node| &node.output).filter(is_float).filter(|name| !is_output(name));
        let inner: Vec<_> = inner.map(|name| ValueInfoProto { name: name.clone(), ..Default::default() }).collect();
        let load = |mut model: ModelProto| {
            model.graph.as_mut()?.output.extend(inner.iter().cloned());
            runtime::load(&model.write_to_bytes().ok()?).ok()
        };
        Some(Self { wide: load(widened(model))?, strict: load(rounded(model))?, reads: reads(&graph.node) })
    }

    /// Whether no row of an output is further from `f64` than that of the original, which is `expected`.
    pub(crate) fn explains(
        &self,
        given: &[(String, Array)],
        name: &str,
        [found, expected]: [&Array; 2],
        tolerance: f64,
    ) -> bool {
        let wide = |own: &Array| match own.any().floats() {
            Some(floats) => array(Elem::F64, own.shape().to_vec(), &floats),
            None => Some(own.clone()),
        };
        let given_wide: Option<Vec<_>> = given.iter().map(|(name, array)| Some((name.clone(), wide(array)?))).collect();
        let wide = given_wide.and_then(|given| runtime::run(&self.wide, &given).ok()).unwrap_or_default();
        let strict = runtime::run(&self.strict, given).unwrap_or_default();
        let of = |outputs: &[(String, Array)]| {
            outputs.iter().find(|(other, _)| other == name).and_then(|(_, array)| array.any().floats())
        };
        let all = [found.any().floats(), expected.any().floats(), of(&strict), of(&wide)];
        let [Some(found_floats), Some(own), Some(rounded), Some(exact)] = &all else { return false };
        if [own, rounded, exact].iter().any(|other| other.len() != found_floats.len()) {
            return false;
        }
        let overflows = overflows(&strict, &wide, &ancestors(&self.reads, name));
        let width = found.shape().last().copied().unwrap_or(1).max(1);
        let originals = own.chunks(width).zip(rounded.chunks(width));
        let mut rows = found_floats.chunks(width).zip(originals).zip(exact.chunks(width));
        let is_finite = |row: &[f64]| row.iter().all(|value| value.is_finite());
        rows.all(|((found, (own, rounded)), exact)| {
            let is_near = is_no_further(found, rounded, exact, tolerance);
            let is_rounded = if is_finite(found) { is_near && is_finite(rounded) } else { is_near || overflows };
            is_rounded || is_no_further(found, own, exact, tolerance)
        })
    }
}

/// Returns the names that the node of each value reads, in its bodies too.
fn reads(nodes: &[NodeProto]) -> BTreeMap<String, BTreeSet<String>> {
    let of_node = |node: &NodeProto| {
        let names = read_by(node);
        node.output.iter().map(move |output| (output.clone(), names.clone())).collect::<Vec<_>>()
    };
    nodes.iter().flat_map(of_node).collect()
}

fn read_by(node: &NodeProto) -> BTreeSet<String> {
    let bodies = node.attribute.iter().flat_map(|attribute| attribute.g.iter().chain(&attribute.graphs));
    let inner = bodies.flat_map(|body| body.node.iter().flat_map(read_by).chain(body.output.iter().map(named)));
    node.input.iter().cloned().chain(inner).collect()
}

fn named(value: &ValueInfoProto) -> String {
    value.name.clone()
}

/// Returns the names of a value and of all values on which it depends.
fn ancestors(reads: &BTreeMap<String, BTreeSet<String>>, name: &str) -> BTreeSet<String> {
    let (mut open, mut known) = (vec![name], BTreeSet::new());
    while let Some(name) = open.pop() {
        if known.insert(name.to_owned()) {
            open.extend(reads.get(name).into_iter().flatten().map(String::as_str));
        }
    }
    known
}

/// Whether a number of one of some values is finite in `f64` and infinity in the type of the original. Minus infinity is
/// not counted, because masks hold it.
fn overflows(strict: &[(String, Array)], wide: &[(String, Array)], among: &BTreeSet<String>) -> bool {
    strict.iter().zip(wide).filter(|((name, _), _)| among.contains(name)).any(|((_, own), (_, wide))| {
        let (Some(own), Some(wide)) = (own.any().floats(), wide.any().floats()) else { return false };
        own.iter().zip(wide).any(|(own, wide)| *own == f64::INFINITY && wide.is_finite())
    })
}

/// Whether the greatest error of a row is no greater than that of the original.
fn is_no_further(found: &[f64], own: &[f64], exact: &[f64], tolerance: f64) -> bool {
    let error = |row: &[f64]| {
        let errors = row.iter().zip(exact).map(|(value, exact)| {
            let is_same = value == exact || value.is_nan() && exact.is_nan();
            let error = if is_same { 0.0 } else { (value - exact).abs() };
            if error.is_nan() { f64::INFINITY } else { error }
        });
        errors.fold(0.0, f64::max)
    };
    let scale = exact.iter().map(|value| value.abs()).filter(|size| size.is_finite()).fold(1e-3, f64::max);
    let (found, own) = (error(found), error(own));
    found <= own.max(tolerance * scale)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proto::{graph, node};
    use onnx_protobuf::GraphProto;

    #[test]
    fn an_overflow_concerns_what_depends_on_it() {
        let body = GraphProto { node: vec![node("Neg", &["c"], "inner")], ..Default::default() };
        let branch = NodeProto { attribute: vec![graph("then_branch", body)], ..node("If", &["a"], "d") };
        let nodes = [node("Exp", &["x"], "a"), node("Neg", &["a"], "b"), node("Sin", &["y"], "c"), branch];
        let one = |value: f64| [("a".to_owned(), array(Elem::F64, vec![1], &[value]).expect("an array"))];
        let (strict, wide) = (one(f64::INFINITY), one(1e300));
        for (name, depends_on_a, depends_on_c) in
            [("a", true, false), ("b", true, false), ("c", false, true), ("d", true, true)]
        {
            let among = ancestors(&reads(&nodes), name);
            assert_eq!(overflows(&strict, &wide, &among), depends_on_a, "{name}");
            assert_eq!(among.contains("c"), depends_on_c, "{name}");
        }
    }

    #[test]
    fn a_result_is_rounded_if_the_original_is_as_far_from_f64() {
        let exact = [1.0, 2.0];
        for (found, own, is_rounded) in [
            ([1.1, 2.0], [1.0, 2.2], true),
            ([1.3, 2.0], [1.0, 2.2], false),
            ([1.0, 2.0001], [1.0, 2.0], true),
            ([1.0, 2.0], [f64::NAN, 2.0], true),
            ([f64::NAN, 2.0], [f64::NAN, 2.5], true),
            ([f64::NAN, 2.0], [1.5, 2.0], false),
        ] {
            assert_eq!(is_no_further(&found, &own, &exact, 1e-4), is_rounded, "{found:?} {own:?}");
        }
    }
}
