//! Operators on strings.

use super::expect::first_results;
use super::{Inferred, Operands, Outcome, tensor};
use crate::op::{CaseChange, TermWeighting};
use crate::{Dim, ElementType, Fact, Shape};
use bytes::Bytes;
use smallvec::smallvec;

/// Concatenates strings element by element, with broadcasting.
pub(crate) fn concat(x: &Operands<'_>) -> Outcome {
    x.arity(2..=2, 1..=1)?;
    x.expect_text(0)?;
    x.expect_text(1)?;
    let mut assumed = vec![];
    let shape = x.broadcast([x.shape(0), x.shape(1)], &mut assumed)?;
    Ok(Inferred { facts: smallvec![tensor(Some(ElementType::String), shape)], assumed })
}

/// Results: the parts along a new last axis, as many as the longest string has, and the number of parts of each string.
pub(crate) fn split(x: &Operands<'_>, _delimiter: &Option<Bytes>, _maxsplit: &Option<i64>) -> Outcome {
    x.arity(1..=1, 1..=2)?;
    x.expect_text(0)?;
    let counts = x.shape(0).cloned();
    let parts = x.shape(0).map(|shape| shape.iter().cloned().chain([Dim::Unknown]).collect());
    let results = [tensor(Some(ElementType::String), parts), tensor(Some(ElementType::I64), counts)];
    Ok(first_results(x, results, vec![]))
}

/// Removes stop words from `[C]` or `[1, C]`; one empty string if nothing is left.
pub(crate) fn normalize(
    x: &Operands<'_>,
    _case_change_action: &CaseChange,
    _is_case_sensitive: &bool,
    stopwords: &Option<Vec<Bytes>>,
    _locale: &Option<Bytes>,
) -> Outcome {
    x.arity(1..=1, 1..=1)?;
    x.expect_text(0)?;
    let keeps = stopwords.as_ref().is_none_or(Vec::is_empty);
    let left = |count: &Dim| if keeps && count.is_positive() { count.clone() } else { Dim::Unknown };
    let mut assumed = vec![];
    let shape = match x.shape(0).map(|shape| &**shape) {
        None => None,
        Some([count]) => Some(Shape::from_iter([left(count)])),
        Some([rows, count]) => {
            x.expect_same(rows, &Dim::Known(1), "the number of rows and 1", &mut assumed)?;
            Some(Shape::from_iter([Dim::Known(1), left(count)]))
        }
        Some(other) => return Err(x.fail(format!("operand 0 must have rank 1 or 2, but has rank {}", other.len()))),
    };
    Ok(Inferred { facts: smallvec![tensor(Some(ElementType::String), shape)], assumed })
}

/// Whether each string matches the pattern.
pub(crate) fn matches(x: &Operands<'_>, _pattern: &Option<Bytes>) -> Outcome {
    x.arity(1..=1, 1..=1)?;
    x.expect_text(0)?;
    Ok(x.shaped(Some(ElementType::Bool)))
}

/// Counts n-grams in `[C]` or `[N, C]` words; the last axis gets the counts, up to the largest index of an n-gram.
#[expect(clippy::too_many_arguments, reason = "as many as ONNX has attributes")]
pub(crate) fn tf_idf(
    x: &Operands<'_>,
    _mode: &TermWeighting,
    min_gram_length: &i64,
    max_gram_length: &i64,
    max_skip_count: &i64,
    _ngram_counts: &[i64],
    ngram_indexes: &[i64],
    pool_int64s: &Option<Vec<i64>>,
    pool_strings: &Option<Vec<Bytes>>,
    weights: &Option<Vec<f32>>,
) -> Outcome {
    x.arity(1..=1, 1..=1)?;
    match (pool_int64s, pool_strings) {
        (Some(_), None) => x.expect_index(0)?,
        (None, Some(_)) => x.expect_text(0)?,
        _ => return Err(x.fail("it requires exactly one of `pool_int64s` and `pool_strings`")),
    }
    if *min_gram_length < 1 || min_gram_length > max_gram_length || *max_skip_count < 0 {
        return Err(x.fail(format!(
            "n-grams of {min_gram_length} to {max_gram_length} words with skip count {max_skip_count} are not valid"
        )));
    }
    if let Some(weights) = weights.as_ref().filter(|weights| weights.len() != ngram_indexes.len()) {
        return Err(x.fail(format!(
            "the numbers of weights and of n-grams differ: {} ≠ {}",
            weights.len(),
            ngram_indexes.len()
        )));
    }
    if let Some(negative) = ngram_indexes.iter().find(|index| **index < 0) {
        return Err(x.fail(format!("the index {negative} of an n-gram is negative")));
    }
    let Some(size) = ngram_indexes.iter().max().map(|last| Dim::Known(*last).plus(&Dim::Known(1))) else {
        return Err(x.fail("`ngram_indexes` must not be empty"));
    };
    let shape = match x.shape(0).map(|shape| &**shape) {
        None => None,
        Some([_]) => Some(Shape::from_iter([size])),
        Some([rows, _]) => Some(Shape::from_iter([rows.clone(), size])),
        Some(other) => return Err(x.fail(format!("operand 0 must have rank 1 or 2, but has rank {}", other.len()))),
    };
    Ok(Fact::of(crate::TensorType { element: ElementType::F32, shape }).into())
}
