//! Einstein summation by an equation: `bij,bjk->bik`.

use super::{Assumption, InferError, Inferred, Operands, Outcome, tensor};
use crate::{Dim, ElementType, Shape};
use bytes::Bytes;
use smallvec::smallvec;
use std::collections::{BTreeMap, BTreeSet};

/// The labels of an operand or of the result, and the position of the ellipsis among them.
struct Term {
    labels: Vec<u8>,
    ellipsis: Option<usize>,
}

/// Any number of operands, each with a term of labels. Axes with the same label have the same size, or size 1 in some
/// operands.
pub(crate) fn einsum(x: &Operands<'_>, equation: &Bytes) -> Outcome {
    x.arity(1..=usize::MAX, 1..=1)?;
    x.expect_element(0, "a number type", ElementType::is_number)?;
    let element = x.common_element(0..x.facts.len())?;
    let (terms, result) = terms(x, equation)?;
    let mut axes = Axes::default();
    for (at, term) in terms.iter().enumerate() {
        axes.add(x, at, term)?;
    }
    let result = result.map_or_else(|| Ok(implicit(&terms)), |result| axes.explicit(x, result))?;
    let dims = |labels: &[u8]| labels.iter().map(|label| axes.labels[label].clone()).collect::<Vec<_>>();
    let shape = match result.ellipsis {
        None => Some(dims(&result.labels)),
        Some(at) => {
            let (before, behind) = result.labels.split_at(at);
            axes.hidden().map(|hidden| [dims(before), hidden.to_vec(), dims(behind)].concat())
        }
    };
    let fact = tensor(element, shape.map(|dims| dims.into_iter().collect()));
    Ok(Inferred { facts: smallvec![fact], assumed: axes.assumed })
}

/// Parses the terms of the operands, and that of the result if the equation has one.
fn terms(x: &Operands<'_>, equation: &Bytes) -> Result<(Vec<Term>, Option<Term>), InferError> {
    let plain: Vec<u8> = equation.iter().copied().filter(|byte| *byte != b' ').collect();
    let arrow = plain.windows(2).position(|pair| pair == b"->");
    let (left, right) = match arrow {
        Some(at) => (&plain[..at], Some(&plain[at + 2..])),
        None => (&plain[..], None),
    };
    let terms = left.split(|byte| *byte == b',').map(|text| term(x, text)).collect::<Result<Vec<_>, _>>()?;
    if terms.len() != x.facts.len() {
        return Err(x.fail(format!(
            "the equation has {} terms, but there are {} operands",
            terms.len(),
            x.facts.len()
        )));
    }
    Ok((terms, right.map(|text| term(x, text)).transpose()?))
}

fn term(x: &Operands<'_>, text: &[u8]) -> Result<Term, InferError> {
    let dots = text.windows(3).position(|three| three == b"...");
    let (before, behind) = dots.map_or((text, &text[..0]), |at| (&text[..at], &text[at + 3..]));
    let labels = [before, behind].concat();
    if labels.iter().all(u8::is_ascii_alphabetic) {
        return Ok(Term { labels, ellipsis: dots });
    }
    Err(x.fail(format!("the term `{}` must consist of letters and at most one ellipsis", text.escape_ascii())))
}

/// Returns the implicit result: the ellipsis, then the labels that occur once, in alphabetical order.
fn implicit(terms: &[Term]) -> Term {
    let mut counts = BTreeMap::new();
    for label in terms.iter().flat_map(|term| &term.labels) {
        *counts.entry(*label).or_insert(0u64) += 1;
    }
    let labels = counts.into_iter().filter(|(_, count)| *count == 1).map(|(label, _)| label).collect();
    Term { labels, ellipsis: terms.iter().any(|term| term.ellipsis.is_some()).then_some(0) }
}

fn sizes_of(label: u8) -> String {
    format!("the sizes of label `{}`", char::from(label))
}

/// The sizes of the labels and of the ellipsis, collected from the operands.
#[derive(Default)]
struct Axes {
    labels: BTreeMap<u8, Dim>,
    /// The axes that the ellipsis stands for, broadcast over the operands of known rank.
    hidden: Option<Shape>,
    /// Whether an operand of unknown rank has an ellipsis.
    vague: bool,
    assumed: Vec<Assumption>,
}

impl Axes {
    fn add(&mut self, x: &Operands<'_>, at: usize, term: &Term) -> Result<(), InferError> {
        let Some(shape) = x.shape(at) else {
            for label in &term.labels {
                self.label(x, *label, &Dim::Unknown)?;
            }
            self.vague |= term.ellipsis.is_some();
            return Ok(());
        };
        let hidden = shape.len().checked_sub(term.labels.len()).filter(|count| term.ellipsis.is_some() || *count == 0);
        let Some(hidden) = hidden else {
            let labels = term.labels.len();
            return Err(x.fail(format!("the term of operand {at} has {labels} labels, but its shape is {shape}")));
        };
        let start = term.ellipsis.unwrap_or(0);
        let (before, behind) = (&shape[..start], &shape[start + hidden..]);
        let mut own: BTreeMap<u8, &Dim> = BTreeMap::new();
        for (&label, dim) in term.labels.iter().zip(before.iter().chain(behind)) {
            // Axes of a diagonal of one operand have one size; between operands, a 1 is broadcast.
            if let Some(other) = own.insert(label, dim) {
                x.expect_same(other, dim, sizes_of(label), &mut self.assumed)?;
            }
            self.label(x, label, dim)?;
        }
        if term.ellipsis.is_some() {
            self.ellipsis(x, shape[start..start + hidden].iter().cloned().collect())?;
        }
        Ok(())
    }

    fn label(&mut self, x: &Operands<'_>, label: u8, dim: &Dim) -> Result<(), InferError> {
        let size = self.labels.entry(label).or_insert(Dim::Known(1));
        let Some(both) = size.broadcast(dim) else {
            return Err(x.fail(format!("{} differ: {size} ≠ {dim}", sizes_of(label))));
        };
        // If one is 1, nothing is assumed.
        if *size != Dim::Known(1) && *dim != Dim::Known(1) {
            x.expect_same(size, dim, sizes_of(label), &mut self.assumed)?;
        }
        *size = both;
        Ok(())
    }

    fn ellipsis(&mut self, x: &Operands<'_>, hidden: Shape) -> Result<(), InferError> {
        self.hidden = match &self.hidden {
            Some(before) if before.len() != hidden.len() => {
                let (a, b) = (before.len(), hidden.len());
                return Err(x.fail(format!("the numbers of axes that the ellipsis stands for differ: {a} ≠ {b}")));
            }
            Some(before) => x.broadcast([Some(before), Some(&hidden)], &mut self.assumed)?,
            None => Some(hidden),
        };
        Ok(())
    }

    /// Returns the axes that the ellipsis stands for; `None` if their number is unknown.
    fn hidden(&self) -> Option<Shape> {
        match &self.hidden {
            // If a rank is unknown, a 1 may be broadcast.
            Some(shape) if self.vague => {
                Some(shape.iter().map(|dim| dim.broadcast(&Dim::Unknown).unwrap_or(Dim::Unknown)).collect())
            }
            None if !self.vague => Some(Shape::default()),
            hidden => hidden.clone(),
        }
    }

    /// Checks the term of the result: each label occurs in an operand, and none occurs twice.
    fn explicit(&self, x: &Operands<'_>, result: Term) -> Result<Term, InferError> {
        let mut seen = BTreeSet::new();
        for &label in &result.labels {
            let name = char::from(label);
            if !self.labels.contains_key(&label) {
                return Err(x.fail(format!("the label `{name}` of the result occurs in no operand")));
            }
            if !seen.insert(label) {
                return Err(x.fail(format!("the label `{name}` occurs twice in the result")));
            }
        }
        Ok(result)
    }
}
