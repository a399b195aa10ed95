//! Finds how a graph uses its inputs, to generate suitable values.

use crate::elements;
use crate::file::{attribute, bodies, int};
use netwright_ir::op::Class;
use netwright_ir::{ElementType, OpKind};
use std::collections::{BTreeMap, BTreeSet};
use tract_onnx::pb::{GraphProto, NodeProto, TensorProto};

/// How a graph uses an input.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Uses {
    /// The bound of its elements: the size of the smallest table that they index, without what the graph adds to them.
    pub(crate) table: Option<u64>,
    /// Whether it is added to something, as a mask of 0 and large negative numbers is.
    pub(crate) is_added: bool,
    /// What it does to attention scores.
    pub(crate) masking: Masking,
    /// Whether the graph uses its elements only in arithmetic, so that any number is valid: none is an index, a size or a
    /// position.
    pub(crate) is_computed: bool,
}

/// What an input does to attention scores, whatever its name is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Masking {
    /// Nothing, or it holds floats that are also used for something else.
    #[default]
    None,
    /// Its elements say which scores count: they are compared, multiplied by a number that hides a score,
    /// or become minus infinity if they are 0.
    Chosen,
    /// It is added to them, as a mask or a bias is.
    Added,
}

/// The least magnitude of a factor of a mask that hides scores.
const HIDES: f64 = 1000.0;

/// The maximum number of values that are searched for a matrix product.
const MAX_STEPS: usize = 64;

/// The maximum number of constants that an input is compared with.
const MAX_THRESHOLDS: usize = 16;

/// The maximum number of operators between a value and the constants that it is computed from.
const MAX_DEPTH: usize = 8;

/// The nodes of a graph and of all bodies in it.
pub(crate) struct Graphs<'m> {
    /// The nodes that use a value, with the index of the operand.
    users: BTreeMap<&'m str, Vec<(&'m NodeProto, usize)>>,
    producers: BTreeMap<&'m str, &'m NodeProto>,
    constants: BTreeMap<&'m str, &'m TensorProto>,
    /// Maps outputs of bodies to the results of their nodes.
    leaves: BTreeMap<&'m str, Vec<&'m str>>,
}

impl<'m> Graphs<'m> {
    pub(crate) fn new(graph: &'m GraphProto) -> Self {
        let mut all = Self {
            users: BTreeMap::new(),
            producers: BTreeMap::new(),
            constants: BTreeMap::new(),
            leaves: BTreeMap::new(),
        };
        let mut graphs = vec![graph];
        while let Some(graph) = graphs.pop() {
            for tensor in &graph.initializer {
                all.constants.insert(&tensor.name, tensor);
            }
            for node in &graph.node {
                all.node(node, &mut graphs);
            }
        }
        all
    }

    fn node(&mut self, node: &'m NodeProto, graphs: &mut Vec<&'m GraphProto>) {
        for (place, operand) in node.input.iter().enumerate().filter(|(_, name)| !name.is_empty()) {
            self.users.entry(operand).or_default().push((node, place));
        }
        for result in node.output.iter().filter(|name| !name.is_empty()) {
            self.producers.insert(result, node);
        }
        for attribute in &node.attribute {
            if let (Some(tensor), "Constant", [result]) = (&attribute.t, node.op_type.as_str(), &*node.output) {
                self.constants.insert(result, tensor);
            }
        }
        for body in bodies(node) {
            for (output, result) in body.output.iter().zip(&node.output) {
                self.leaves.entry(&output.name).or_default().push(result);
            }
            graphs.push(body);
        }
    }

    /// Returns the constant with a name.
    pub(crate) fn constant(&self, name: &str) -> Option<&'m TensorProto> {
        self.constants.get(name).copied()
    }

    /// Returns all constants.
    pub(crate) fn constants(&self) -> impl Iterator<Item = &'m TensorProto> {
        self.constants.values().copied()
    }

    /// Returns the nodes that use a value, with the index of the operand.
    pub(crate) fn users(&self, name: &str) -> &[(&'m NodeProto, usize)] {
        self.users.get(name).map_or(&[], Vec::as_slice)
    }

    /// Returns the values with the elements of `name`, in any order and shape, and the offset added to them.
    pub(crate) fn carriers(&self, name: &'m str) -> Vec<(&'m str, i64)> {
        let mut found = vec![(name, 0_i64)];
        let mut known = BTreeSet::from([name]);
        let mut next = 0;
        while let Some(&(name, offset)) = found.get(next) {
            next += 1;
            let mut add = |name: &'m str, offset: i64| {
                if !name.is_empty() && known.insert(name) {
                    found.push((name, offset));
                }
            };
            for &result in self.leaves.get(name).into_iter().flatten() {
                add(result, offset);
            }
            for &(node, place) in self.users(name) {
                let body = |first: usize| {
                    let body = node.attribute.iter().find_map(|attribute| attribute.g.as_ref());
                    body.and_then(|body| body.input.get(place - first)).map_or("", |input| input.name.as_str())
                };
                match (node.op_type.as_str(), place) {
                    ("Loop", 2..) | ("Scan", _) => add(body(0), offset),
                    ("Add" | "Sub", _) => {
                        let other = node.input.get(1 - place.min(1)).and_then(|name| integer(self.constant(name)?));
                        match other {
                            Some(other) if node.op_type == "Add" => add(first(node), offset.saturating_add(other)),
                            Some(other) if place == 0 => add(first(node), offset.saturating_sub(other)),
                            _ => {}
                        }
                    }
                    _ if carries(&node.op_type, place) => node.output.iter().for_each(|result| add(result, offset)),
                    _ => {}
                }
            }
        }
        found
    }

    /// Returns the uses of an input; `is_float` says whether its elements are floats.
    pub(crate) fn uses(&self, input: &'m str, is_float: bool) -> Uses {
        let sizes =
            self.indexed(input).into_iter().filter_map(|(size, offset)| size.checked_sub(offset)?.try_into().ok());
        let mut uses = Uses { table: sizes.filter(|&size: &u64| size > 0).min(), ..Uses::default() };
        for (name, offset) in self.carriers(input) {
            for &(node, place) in self.users(name) {
                let operator = node.op_type.as_str();
                uses.is_added |= offset == 0
                    && match operator {
                        "Add" | "Sum" => node.input.iter().all(|other| self.constant(other).is_none()),
                        "Attention" => place == 3,
                        "MultiHeadAttention" => place == 5,
                        _ => false,
                    };
            }
        }
        if uses.table.is_none() {
            uses.masking = self.masking(input, is_float);
            uses.is_computed = self.is_computed(input);
        }
        uses
    }

    /// Returns the sizes of the tables that the elements of an input index, with the offset that the graph adds to them.
    pub(crate) fn indexed(&self, input: &'m str) -> Vec<(i64, i64)> {
        let users = |(name, offset)| self.users(name).iter().map(move |&(node, place)| (node, place, offset));
        let sizes = self.carriers(input).into_iter().flat_map(users);
        let tables = sizes.filter_map(|(node, place, offset)| Some((self.table(node, place)?, offset)));
        tables.filter(|(size, _)| *size > 0).collect()
    }

    /// Returns the constants whose rows the elements of an input look up.
    pub(crate) fn tables(&self, input: &'m str) -> Vec<Table<'m>> {
        let users = |(name, offset)| self.users(name).iter().map(move |&(node, place)| (node, place, offset));
        let tables = self.carriers(input).into_iter().flat_map(users).filter_map(|(node, place, offset)| {
            let name = match (&*node.op_type, place) {
                ("Gather", 1) => "axis",
                ("GatherBlockQuantized", 1) => "gather_axis",
                _ => return None,
            };
            let (constant, order) = self.behind(node.input.first()?)?;
            let axis = axis(node, name, constant.dims.len())?;
            let axis = order.map_or(Some(axis), |order| usize::try_from(*order.get(axis)?).ok())?;
            Some(Table { constant, axis, offset })
        });
        tables.collect()
    }

    /// Returns the numbers, in constants of a few elements and in attributes, with which the elements of an input are
    /// compared.
    pub(crate) fn thresholds(&self, input: &'m str) -> Vec<f64> {
        let mut found = vec![];
        for (name, offset) in self.carriers(input) {
            for &(node, place) in self.users(name) {
                let others = node.input.iter().enumerate().filter(|(at, _)| *at != place);
                let constants = others.filter_map(|(_, name)| self.constant(name)).flat_map(numbers);
                match (node.op_type.as_str(), place) {
                    ("Equal" | "Less" | "LessOrEqual" | "Greater" | "GreaterOrEqual" | "Max" | "Min", _)
                    | ("Clip", 0) => found.extend(constants.map(|x| x - offset as f64)),
                    ("ThresholdedRelu", _) => found.push(float(node, "alpha").unwrap_or(1.0)),
                    ("Shrink", _) => {
                        let edge = float(node, "lambd").unwrap_or(0.5);
                        found.extend([edge, -edge]);
                    }
                    _ => {}
                }
            }
        }
        found.retain(|x| x.is_finite());
        found.sort_by(f64::total_cmp);
        found.dedup();
        found.truncate(MAX_THRESHOLDS);
        found
    }

    /// Returns whether a value is computed from floats; true if that is not clear.
    pub(crate) fn comes_from_floats(&self, name: &'m str, is_float: impl Fn(&str) -> bool) -> bool {
        let (mut open, mut known) = (vec![name], BTreeSet::new());
        while let Some(name) = open.pop() {
            if !known.insert(name) {
                continue;
            }
            let Some(node) = self.producers.get(name) else {
                let constant = self.constant(name).and_then(elements::element);
                if constant.map_or_else(|| is_float(name), ElementType::is_float) {
                    return true;
                }
                continue;
            };
            let to = int(node, "to");
            let has_float = to.and_then(ElementType::from_number).is_some_and(ElementType::is_float);
            if has_float || bodies(node).next().is_some() {
                return true;
            }
            if OpKind::from_name(&node.op_type).is_none_or(|kind| kind.class() != Class::Measures) {
                open.extend(node.input.iter().filter(|name| !name.is_empty()).map(String::as_str));
            }
        }
        false
    }

    /// Returns whether every use of an input, and of what is computed from it, is elementwise, a sum or the like, or reads
    /// only the shape.
    fn is_computed(&self, input: &'m str) -> bool {
        let (mut open, mut known) = (vec![input], BTreeSet::new());
        while let Some(name) = open.pop() {
            if !known.insert(name) {
                continue;
            }
            open.extend(self.leaves.get(name).into_iter().flatten());
            for &(node, place) in self.users(name) {
                match OpKind::from_name(&node.op_type).map(|kind| (kind.class(), kind.moves_elements())) {
                    Some((Class::Measures, _)) => {}
                    Some((Class::ElementwiseUnary | Class::Broadcasting, _)) => open.push(first(node)),
                    Some((class, moves)) if place == 0 && (moves || class == Class::Reduces) => open.push(first(node)),
                    _ => return false,
                }
            }
        }
        true
    }

    /// Returns what an input does to attention scores. Every use of floats must end in a softmax of scores that it masks,
    /// or in the mask of an attention. Of integers and truth values, one use must, and none may index a table.
    fn masking(&self, input: &'m str, is_float: bool) -> Masking {
        let mut open = vec![Traced { name: input, is_chosen: false, has_scores: false }];
        let mut known = BTreeSet::new();
        let mut found = Masking::None;
        while let Some(traced) = open.pop() {
            if !known.insert(traced) {
                continue;
            }
            open.extend(self.leaves.get(traced.name).into_iter().flatten().map(|name| Traced { name, ..traced }));
            for &(node, place) in self.users(traced.name) {
                match self.step(node, place, traced) {
                    Step::Result(next) => open.push(next),
                    Step::Masks if traced.is_chosen || !is_float => found = found.max(Masking::Chosen),
                    Step::Masks => found = found.max(Masking::Added),
                    Step::Other if is_float => return Masking::None,
                    Step::Ignored | Step::Other => {}
                }
            }
        }
        found
    }

    /// Returns what a node does with a value that is computed from a possible mask.
    fn step(&self, node: &'m NodeProto, place: usize, traced: Traced<'m>) -> Step<'m> {
        let next = Traced { name: first(node), ..traced };
        let others = || node.input.iter().enumerate().filter(|(at, _)| *at != place).map(|(_, name)| name);
        let is_constant = || others().all(|other| self.constant(other).is_some());
        match (node.op_type.as_str(), place) {
            ("Shape" | "Size", _) => Step::Ignored,
            ("Softmax", 0) if traced.has_scores => Step::Masks,
            ("Attention", 3) | ("MultiHeadAttention", 4 | 5) => Step::Masks,
            ("Where", 0) => Step::Result(Traced { is_chosen: true, has_scores: !is_constant(), ..next }),
            ("Equal" | "Less" | "LessOrEqual" | "Greater" | "GreaterOrEqual", _) if is_constant() => {
                Step::Result(Traced { is_chosen: true, ..next })
            }
            // `log(x)` and `1 - 1 / x` hide scores if x is 0.
            ("Div", 1) if is_constant() => Step::Result(Traced { is_chosen: true, ..next }),
            ("Not" | "And" | "Or" | "Xor" | "Log" | "Reciprocal", _) => {
                Step::Result(Traced { is_chosen: true, ..next })
            }
            ("Mul" | "Div", _) if is_constant() => {
                let hides = others().any(|other| {
                    self.constant(other).is_some_and(|x| matches!(numbers(x)[..], [x] if x.abs() >= HIDES))
                });
                Step::Result(Traced { is_chosen: traced.is_chosen || hides, ..next })
            }
            ("Neg", _) => Step::Result(next),
            ("Add" | "Sum" | "Sub", _) if is_constant() => Step::Result(next),
            ("Add" | "Sum", _) if traced.has_scores || others().any(|other| self.follows_product(other)) => {
                Step::Result(Traced { has_scores: true, ..next })
            }
            (operator, place) if carries(operator, place) => Step::Result(next),
            _ => Step::Other,
        }
    }

    /// Returns whether a value is computed from a matrix product, as scores are.
    fn follows_product(&self, name: &'m str) -> bool {
        let (mut open, mut known) = (vec![name], BTreeSet::new());
        while let Some(name) = open.pop().filter(|_| known.len() < MAX_STEPS) {
            let Some(node) = self.producers.get(name).filter(|_| known.insert(name)) else { continue };
            if matches!(node.op_type.as_str(), "MatMul" | "Gemm" | "Einsum") {
                return true;
            }
            open.extend(node.input.iter().map(String::as_str));
        }
        false
    }

    /// Returns the size of the axis of a constant that an operand indexes.
    fn table(&self, node: &NodeProto, place: usize) -> Option<i64> {
        let (table, name) = match (node.op_type.as_str(), place) {
            ("Gather" | "GatherElements", 1) => (0, "axis"),
            ("GatherBlockQuantized", 1) => (0, "gather_axis"),
            ("EmbedLayerNormalization", 0) | ("RotaryEmbedding", 1) => (2, ""),
            ("EmbedLayerNormalization", 1) => (4, ""),
            ("RotaryEmbedding", 3) => (1, ""),
            _ => return None,
        };
        let sizes = self.sizes(node.input.get(table)?)?;
        sizes.get(axis(node, name, sizes.len())?).copied()
    }

    /// Returns the sizes of a value that is a constant, or computed from constants in a few steps.
    pub(crate) fn sizes(&self, name: &str) -> Option<Vec<i64>> {
        self.sizes_within(name, MAX_DEPTH)
    }

    fn sizes_within(&self, name: &str, depth: usize) -> Option<Vec<i64>> {
        if let Some(tensor) = self.constant(name) {
            return Some(tensor.dims.clone());
        }
        let (node, depth) = (self.producers.get(name)?, depth.checked_sub(1)?);
        let of = |at: usize| self.sizes_within(node.input.get(at)?, depth);
        match node.op_type.as_str() {
            operator if keeps(operator) => of(0),
            "Transpose" => {
                let sizes = of(0)?;
                permutation(node)?.iter().map(|&axis| sizes.get(usize::try_from(axis).ok()?).copied()).collect()
            }
            "Add" | "Sub" | "Mul" | "Div" => {
                let (a, b) = (of(0)?, of(1)?);
                let (mut long, short) = if a.len() < b.len() { (b, a) } else { (a, b) };
                long.iter_mut().rev().zip(short.iter().rev()).for_each(|(size, other)| *size = (*size).max(*other));
                Some(long)
            }
            "Concat" => {
                let mut all = (0..node.input.len()).map(of);
                let mut sizes = all.next()??;
                let axis = axis(node, "axis", sizes.len())?;
                for other in all {
                    let size = sizes.get_mut(axis)?;
                    *size = size.checked_add(*other?.get(axis)?)?;
                }
                Some(sizes)
            }
            _ => None,
        }
    }

    /// Returns the constant whose elements a value has, possibly cast or transposed, and the permutation of its axes.
    fn behind(&self, name: &'m str) -> Option<(&'m TensorProto, Option<&'m [i64]>)> {
        let (mut name, mut order) = (name, None);
        for _ in 0..MAX_DEPTH {
            if let Some(tensor) = self.constant(name) {
                return Some((tensor, order));
            }
            let node = self.producers.get(name)?;
            match node.op_type.as_str() {
                operator if keeps(operator) => {}
                "Transpose" if order.is_none() => order = Some(permutation(node)?),
                _ => return None,
            }
            name = node.input.first()?;
        }
        None
    }
}

/// A constant whose rows an input looks up.
#[derive(Clone, Copy)]
pub(crate) struct Table<'m> {
    pub(crate) constant: &'m TensorProto,
    /// The axis of the rows.
    pub(crate) axis: usize,
    /// What the graph adds to the elements of the input.
    pub(crate) offset: i64,
}

/// Returns whether the result of an operator has the elements of its first operand in their places.
fn keeps(operator: &str) -> bool {
    matches!(operator, "Identity" | "Cast" | "CastLike" | "DequantizeLinear" | "Dropout")
}

fn permutation(node: &NodeProto) -> Option<&[i64]> {
    Some(&*attribute(node, "perm")?.ints)
}

/// Returns the axis in an attribute of a node, 0 by default, of an operand of this rank.
fn axis(node: &NodeProto, name: &str, rank: usize) -> Option<usize> {
    let axis = int(node, name).unwrap_or(0);
    usize::try_from(if axis < 0 { axis + i64::try_from(rank).ok()? } else { axis }).ok()
}

/// A value that is computed from a possible mask.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Traced<'m> {
    name: &'m str,
    /// Whether its elements say which scores count.
    is_chosen: bool,
    /// Whether scores that are not constant were added or chosen.
    has_scores: bool,
}

/// What a node does with a possible mask.
enum Step<'m> {
    /// It reads only the shape.
    Ignored,
    /// Its result is computed from it.
    Result(Traced<'m>),
    /// It is an attention or a softmax that is masked.
    Masks,
    /// Anything else.
    Other,
}

/// Returns whether the elements of the results of an operator come from an operand.
fn carries(operator: &str, place: usize) -> bool {
    if OpKind::from_name(operator).is_some_and(OpKind::moves_elements) {
        return place == 0;
    }
    match operator {
        "Cast" | "CastLike" | "Clip" | "Dropout" | "Pad" => place == 0,
        "Concat" | "Max" | "Min" => true,
        "Where" => place > 0,
        _ => false,
    }
}

/// Returns an attribute of a node that is a float.
fn float(node: &NodeProto, name: &str) -> Option<f64> {
    attribute(node, name).map(|attribute| attribute.f.into())
}

fn first(node: &NodeProto) -> &str {
    node.output.first().map_or("", String::as_str)
}

/// Returns the elements of a small constant of numbers; none for any other.
fn numbers(tensor: &TensorProto) -> Vec<f64> {
    let size = |size: &i64| usize::try_from(*size).ok();
    let count = tensor.dims.iter().try_fold(1_usize, |count, of_axis| count.checked_mul(size(of_axis)?));
    if count.is_none_or(|count| count > MAX_THRESHOLDS) {
        return vec![];
    }
    elements::numbers(tensor).take(MAX_THRESHOLDS).collect()
}

/// Returns the value of an integer constant with one element.
pub(crate) fn integer(tensor: &TensorProto) -> Option<i64> {
    if tensor.dims.iter().product::<i64>() != 1 {
        return None;
    }
    match (tensor.data_type, &*tensor.raw_data) {
        (7, raw) if raw.len() == 8 => Some(i64::from_le_bytes(raw.try_into().ok()?)),
        (6, raw) if raw.len() == 4 => Some(i64::from(i32::from_le_bytes(raw.try_into().ok()?))),
        (7, []) => tensor.int64_data.first().copied(),
        (6, []) => tensor.int32_data.first().map(|&value| i64::from(value)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_small_constants_are_read() {
        let tensor = |data_type, dims: &[i64]| TensorProto { data_type, dims: dims.to_vec(), ..Default::default() };
        let few = TensorProto { int64_data: vec![3, -2], ..tensor(7, &[2]) };
        assert_eq!(numbers(&few), [3.0, -2.0]);
        let many = TensorProto { int64_data: (0..1000).collect(), ..tensor(7, &[1000]) };
        assert!(numbers(&many).is_empty());
        // Sizes of hostile models.
        let more_than_declared = TensorProto { dims: vec![1], ..many.clone() };
        assert_eq!(numbers(&more_than_declared).len(), MAX_THRESHOLDS);
        for dims in [&[-1][..], &[1 << 40, 1 << 40]] {
            assert!(numbers(&TensorProto { dims: dims.to_vec(), ..many.clone() }).is_empty(), "{dims:?}");
        }
    }
}
