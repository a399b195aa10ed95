//! Shape inference: computes the facts of an operator's results from those of its operands. Each family of operators
//! has a module.
//!
//! Shapes are symbolic, and small integer tensors carry their elements as dims, so that inference follows shape
//! arithmetic (`Shape`, `Gather`, `Concat`, `Reshape`).
#![expect(
    clippy::trivially_copy_pass_by_ref,
    clippy::ref_option,
    reason = "the table of operators hands every attribute by reference"
)]

use crate::{Dim, ElementType, Fact, OpKind, Shape, Symbol, Tensor, ValueType};
use smallvec::{SmallVec, smallvec};
use std::collections::BTreeSet;
use std::fmt;
use std::ops::RangeInclusive;

pub(crate) mod attention;
pub(crate) mod blocks;
mod call;
pub(crate) mod contraction;
pub(crate) mod contrib;
pub(crate) mod control;
pub(crate) mod convolution;
pub(crate) mod einsum;
mod elements;
pub(crate) mod elementwise;
mod expect;
pub(crate) mod image;
pub(crate) mod indexing;
pub(crate) mod layout;
pub(crate) mod loss;
pub(crate) mod normalization;
pub(crate) mod padding;
pub(crate) mod pooling;
pub(crate) mod quantization;
pub(crate) mod random;
pub(crate) mod recurrent;
pub(crate) mod reduction;
pub(crate) mod sequence;
pub(crate) mod signal;
pub(crate) mod strings;
mod window;

pub use call::Call;
pub use control::scan_inputs;

/// The input to the inference of an operator.
#[derive(Debug)]
pub struct Operands<'a> {
    /// The operator.
    pub kind: OpKind,
    /// The facts of the operands; `None` for an absent operand.
    pub facts: &'a [Option<&'a Fact>],
    /// The operands that are constants; facts do not hold the elements of float tensors.
    pub tensors: &'a [Option<&'a Tensor>],
    /// The number of results requested.
    pub results: usize,
    /// Sets of symbols that are not all 0 in any run that succeeds.
    pub never_zero: &'a NeverZero,
}

/// Sets of symbols that are not all 0 in any run that succeeds; see
/// [`Graph::infer_nonzero_sizes`](crate::Graph::infer_nonzero_sizes).
pub type NeverZero = BTreeSet<Vec<Symbol>>;

/// The inferred facts of an operator's results.
#[derive(Debug)]
pub struct Inferred {
    /// A fact for each result.
    pub facts: SmallVec<[Fact; 1]>,
    /// Equalities that must hold at run time but that inference cannot decide.
    pub assumed: Vec<Assumption>,
}

/// Two dims that must be equal at run time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Assumption {
    /// The left-hand dim.
    pub left: Dim,
    /// The right-hand dim.
    pub right: Dim,
    /// What the dims are, as a plural noun phrase.
    pub what: String,
}

impl From<Fact> for Inferred {
    fn from(fact: Fact) -> Self {
        Self { facts: smallvec![fact], assumed: vec![] }
    }
}

/// The error if an operator is not defined on its operands.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{word}: {what}")]
pub struct InferError {
    /// The operator's name in the text form.
    pub word: &'static str,
    /// What is wrong, with the dims or types in question.
    pub what: String,
    /// How to fix it, if there is a usual way.
    pub help: Option<String>,
}

type Outcome = Result<Inferred, InferError>;

/// Returns results of unknown type.
pub(crate) fn unknown(operands: &Operands<'_>) -> Inferred {
    let facts = (0..operands.results).map(|_| Fact::of(ValueType::Unknown)).collect();
    Inferred { facts, assumed: vec![] }
}

impl<'a> Operands<'a> {
    /// Whether the dim is at least 1 in every run that succeeds.
    pub(crate) fn is_positive(&self, dim: &Dim) -> bool {
        let shown = || dim.zeros().is_some_and(|zeros| zeros.iter().all(|zeros| self.are_never_zero(zeros)));
        dim.is_positive() || (!self.never_zero.is_empty() && dim.is_nonnegative() && shown())
    }

    /// Whether these symbols are not all 0 in any run that succeeds.
    pub(crate) fn are_never_zero(&self, symbols: &[Symbol]) -> bool {
        self.never_zero.iter().any(|set| set.iter().all(|symbol| symbols.contains(symbol)))
    }

    /// Returns an error of this operator.
    pub(crate) fn fail(&self, what: impl Into<String>) -> InferError {
        InferError { word: self.kind.word(), what: what.into(), help: None }
    }

    /// Checks the numbers of operands and results; operands from the lower bound on may be absent.
    pub(crate) fn arity(
        &self,
        operands: RangeInclusive<usize>,
        results: RangeInclusive<usize>,
    ) -> Result<(), InferError> {
        let present = self.facts.iter().take(*operands.start()).filter(|fact| fact.is_some()).count();
        if present < *operands.start() || self.facts.len() > *operands.end() {
            let expected = count(&operands, "operand");
            return Err(self.fail(format!("it takes {expected}, but has {}", self.facts.len())));
        }
        if !results.contains(&self.results) {
            let expected = count(&results, "result");
            return Err(self.fail(format!("it has {expected}, but {} are requested", self.results)));
        }
        Ok(())
    }

    /// Returns the fact of an operand, if it is present.
    pub(crate) fn fact(&self, at: usize) -> Option<&'a Fact> {
        self.facts.get(at).copied().flatten()
    }

    pub(crate) fn shape(&self, at: usize) -> Option<&'a Shape> {
        self.fact(at)?.shape()
    }

    /// Returns the shape of an operand, if it is known; an error if it has another rank.
    pub(crate) fn shape_of_rank(&self, at: usize, rank: usize) -> Result<Option<&'a Shape>, InferError> {
        match self.shape(at) {
            Some(shape) if shape.len() != rank => {
                Err(self.fail(format!("operand {at} must have rank {rank}, but its shape is {shape}")))
            }
            shape => Ok(shape),
        }
    }

    /// Checks that an operand, if present, is a vector of this size.
    pub(crate) fn expect_vector(
        &self,
        at: usize,
        size: &Dim,
        what: &str,
        assumed: &mut Vec<Assumption>,
    ) -> Result<(), InferError> {
        match self.shape_of_rank(at, 1)?.and_then(|shape| shape.first()) {
            Some(found) => self.expect_same(found, size, format_args!("the size of operand {at} and {what}"), assumed),
            None => Ok(()),
        }
    }

    /// Returns the element type of an operand; `None` if it is unknown; an error if the operand is not a tensor.
    pub(crate) fn element(&self, at: usize) -> Result<Option<ElementType>, InferError> {
        match self.fact(at).map(|fact| &fact.ty) {
            Some(ValueType::Tensor(tensor)) => Ok(Some(tensor.element)),
            Some(ValueType::Unknown) | None => Ok(None),
            Some(other) => Err(self.fail(format!("operand {at} must be a tensor, but is {other}"))),
        }
    }

    /// Returns the common element type of operands; an error if they differ.
    pub(crate) fn common_element(
        &self,
        operands: impl IntoIterator<Item = usize>,
    ) -> Result<Option<ElementType>, InferError> {
        let mut common = None;
        for at in operands {
            let Some(element) = self.element(at)? else { continue };
            match common {
                Some(first) if first != element => {
                    let mut error = self.fail(format!("the element types differ: {first} and {element}"));
                    error.help = Some(format!("cast one operand to {first}"));
                    return Err(error);
                }
                _ => common = Some(element),
            }
        }
        Ok(common)
    }

    /// Checks that the element type of an operand, if known, is in a class.
    pub(crate) fn expect_element(
        &self,
        at: usize,
        class: &str,
        fits: fn(ElementType) -> bool,
    ) -> Result<(), InferError> {
        match self.element(at)? {
            Some(element) if !fits(element) => {
                Err(self.fail(format!("operand {at} must be of {class}, but its element type is {element}")))
            }
            _ => Ok(()),
        }
    }

    /// Converts an axis that may count from the end to one in `0..rank`.
    pub(crate) fn axis(&self, axis: i64, rank: usize) -> Result<usize, InferError> {
        let size = i64::try_from(rank).unwrap_or(i64::MAX);
        let positive = if axis < 0 { axis.checked_add(size) } else { Some(axis) };
        match positive.filter(|axis| (0..size).contains(axis)).and_then(|axis| usize::try_from(axis).ok()) {
            Some(axis) => Ok(axis),
            None => Err(self.fail(format!("the axis {axis} is out of range for rank {rank}"))),
        }
    }

    /// Converts axes to distinct indices in `0..rank`.
    pub(crate) fn axes(&self, axes: &[i64], rank: usize) -> Result<Vec<usize>, InferError> {
        let places = axes.iter().map(|axis| self.axis(*axis, rank)).collect::<Result<Vec<_>, _>>()?;
        let mut seen = vec![false; rank];
        for &axis in &places {
            if std::mem::replace(&mut seen[axis], true) {
                return Err(self.fail(format!("the axis {axis} is given twice in {axes:?}")));
            }
        }
        Ok(places)
    }

    /// Returns the elements of a vector that holds one size per axis; unknown dims if they are not known.
    pub(crate) fn sizes(&self, at: usize, axes: usize) -> Result<Vec<Dim>, InferError> {
        let count = i64::try_from(axes).map_or(Dim::Unknown, Dim::Known);
        self.expect_vector(at, &count, "the number of axes", &mut vec![])?;
        match self.fact(at).and_then(|fact| fact.elements.as_deref()).filter(|sizes| sizes.len() == axes) {
            Some(sizes) => sizes.iter().map(|size| self.expect_size(size)).collect(),
            None => Ok(vec![Dim::Unknown; axes]),
        }
    }

    /// Checks that an element of a shape tensor is a size: unknown if it may be negative, an error if it is.
    pub(crate) fn expect_size(&self, size: &Dim) -> Result<Dim, InferError> {
        match size {
            Dim::Known(size @ ..0) => Err(self.fail(format!("the size {size} is negative"))),
            size if size.is_nonnegative() => Ok(size.clone()),
            _ => Ok(Dim::Unknown),
        }
    }

    /// Checks that the dim divides evenly into `parts`, if that can be decided.
    pub(crate) fn expect_multiple(&self, dim: &Dim, parts: i64, what: &str, into: &str) -> Result<(), InferError> {
        match dim.modulo(&Dim::Known(parts)) {
            Dim::Known(rest) if rest != 0 => {
                Err(self.fail(format!("{dim} {what} do not divide evenly into {parts} {into}")))
            }
            _ => Ok(()),
        }
    }

    /// Returns the shape that the operands broadcast to; `None` if a rank is unknown.
    pub(crate) fn broadcast(
        &self,
        shapes: impl IntoIterator<Item = Option<&'a Shape>>,
        assumed: &mut Vec<Assumption>,
    ) -> Result<Option<Shape>, InferError> {
        let mut result: Option<Shape> = None;
        for shape in shapes {
            let Some(shape) = shape else { return Ok(None) };
            result = Some(match result {
                None => shape.clone(),
                Some(before) => self.broadcast_pair(&before, shape, assumed)?,
            });
        }
        Ok(result)
    }

    fn broadcast_pair(&self, a: &[Dim], b: &[Dim], assumed: &mut Vec<Assumption>) -> Result<Shape, InferError> {
        let rank = a.len().max(b.len());
        let at = |shape: &[Dim], axis: usize| {
            (axis + shape.len()).checked_sub(rank).map_or(Dim::Known(1), |axis| shape[axis].clone())
        };
        let dims = (0..rank).map(|axis| {
            let (left, right) = (at(a, axis), at(b, axis));
            let dim = left.broadcast(&right).ok_or_else(|| {
                let (a, b) = (Shape::from_iter(a.to_vec()), Shape::from_iter(b.to_vec()));
                let mut error =
                    self.fail(format!("the shapes {a} and {b} do not broadcast: {left} ≠ {right} on axis {axis}"));
                error.help = Some("make the sizes equal or one of them 1, counted from the last axis".to_owned());
                error
            })?;
            // If one is 1 or both are equal, nothing is assumed.
            let ones = left == Dim::Known(1) || right == Dim::Known(1);
            if !ones && left.same(&right) != Some(true) && left != Dim::Unknown && right != Dim::Unknown {
                let (a, b) = (Shape::from_iter(a.to_vec()), Shape::from_iter(b.to_vec()));
                assumed.push(Assumption { left, right, what: format!("the sizes of axis {axis} of {a} and {b}") });
            }
            Ok(dim)
        });
        dims.collect()
    }

    /// Checks that two dims may be equal; adds an assumption if that cannot be decided.
    pub(crate) fn expect_same(
        &self,
        a: &Dim,
        b: &Dim,
        what: impl fmt::Display,
        assumed: &mut Vec<Assumption>,
    ) -> Result<(), InferError> {
        match a.same(b) {
            Some(true) => Ok(()),
            Some(false) => Err(self.fail(format!("{what} differ: {a} ≠ {b}"))),
            None => {
                if *a != Dim::Unknown && *b != Dim::Unknown {
                    assumed.push(Assumption { left: a.clone(), right: b.clone(), what: what.to_string() });
                }
                Ok(())
            }
        }
    }
}

/// Returns the fact of a tensor of this element type and shape; unknown if the element type is.
fn tensor(element: Option<ElementType>, shape: Option<Shape>) -> Fact {
    match element {
        Some(element) => Fact::of(crate::TensorType { element, shape }),
        None => Fact::of(ValueType::Unknown),
    }
}

/// Returns a range of counts with the noun, such as `1 operand` or `2 or more operands`.
fn count(range: &RangeInclusive<usize>, noun: &str) -> String {
    match (range.start(), range.end()) {
        (1, 1) => format!("1 {noun}"),
        (low, high) if low == high => format!("{low} {noun}s"),
        (low, &usize::MAX) => format!("{low} or more {noun}s"),
        (low, high) => format!("{low} to {high} {noun}s"),
    }
}
