//! Sequences, and optional values.

use super::{Assumption, InferError, Inferred, Operands, Outcome, tensor};
use crate::{Dim, ElementType, Fact, Shape, TensorType, ValueType};

/// One or more tensors of one element type.
pub(crate) fn construct(x: &Operands<'_>) -> Outcome {
    x.arity(1..=usize::MAX, 1..=1)?;
    if let Some(absent) = x.facts.iter().position(Option::is_none) {
        return Err(x.fail(format!("operand {absent} is absent")));
    }
    let element = x.common_element(0..x.facts.len())?;
    let types: Vec<ValueType> = x.facts.iter().flatten().map(|fact| tensor_of(fact, element)).collect();
    let all = types.iter().skip(1).fold(types[0].clone(), |all, ty| all.or(ty));
    Ok(sequence(all))
}

/// Returns the type of the operand; only the element type if nothing more is known.
fn tensor_of(fact: &Fact, element: Option<ElementType>) -> ValueType {
    match (&fact.ty, element) {
        (ValueType::Unknown, Some(element)) => TensorType { element, shape: None }.into(),
        (ty, _) => ty.clone(),
    }
}

fn sequence(of: ValueType) -> Inferred {
    Fact::of(ValueType::Sequence(Box::new(of))).into()
}

pub(crate) fn empty(x: &Operands<'_>, dtype: &ElementType) -> Outcome {
    x.arity(0..=0, 1..=1)?;
    Ok(sequence(TensorType { element: *dtype, shape: None }.into()))
}

/// Returns the element type of the sequence in the first operand; unknown if that is.
fn elements_of(x: &Operands<'_>) -> Result<ValueType, InferError> {
    match x.fact(0).map(|fact| &fact.ty) {
        Some(ValueType::Sequence(inner)) => Ok((**inner).clone()),
        Some(ValueType::Unknown) | None => Ok(ValueType::Unknown),
        Some(other) => Err(x.fail(format!("operand 0 must be a sequence, but is {other}"))),
    }
}

/// Checks that the operand, if present, is one index.
fn expect_position(x: &Operands<'_>, at: usize) -> Result<(), InferError> {
    x.expect_index(at)?;
    x.scalar(at).map(|_| ())
}

pub(crate) fn at(x: &Operands<'_>) -> Outcome {
    x.arity(2..=2, 1..=1)?;
    expect_position(x, 1)?;
    Ok(Fact::of(elements_of(x)?).into())
}

/// Inserts a tensor before the position, or at the end without one.
pub(crate) fn insert(x: &Operands<'_>) -> Outcome {
    x.arity(2..=3, 1..=1)?;
    expect_position(x, 2)?;
    let inner = elements_of(x)?;
    let inserted = x.element(1)?;
    let inner = match (&inner, inserted) {
        (ValueType::Tensor(tensor), Some(inserted)) if tensor.element != inserted => {
            return Err(x.fail(format!("a tensor of {inserted} cannot be inserted into a sequence of {inner}")));
        }
        // The element type is that of the sequence, whatever was in it.
        (ValueType::Unknown, Some(element)) => TensorType { element, shape: None }.into(),
        (ValueType::Tensor(tensor), _) => {
            x.fact(1).map_or(ValueType::Unknown, |fact| inner.or(&tensor_of(fact, Some(tensor.element))))
        }
        _ => inner,
    };
    Ok(sequence(inner))
}

/// Removes the element at the position, or the last without one.
pub(crate) fn erase(x: &Operands<'_>) -> Outcome {
    x.arity(1..=2, 1..=1)?;
    expect_position(x, 1)?;
    Ok(sequence(elements_of(x)?))
}

pub(crate) fn length(x: &Operands<'_>) -> Outcome {
    x.arity(1..=1, 1..=1)?;
    elements_of(x)?;
    Ok(Fact::tensor(ElementType::I64, Shape::default()).into())
}

/// Splits along an axis into parts of the size that the second operand gives, the last possibly smaller; of the sizes
/// that it holds; or of size 1, the axis then removed unless `keepdims`.
pub(crate) fn split(x: &Operands<'_>, axis: &i64, keepdims: &bool) -> Outcome {
    x.arity(1..=2, 1..=1)?;
    x.expect_index(1)?;
    let element = x.element(0)?;
    let Some(shape) = x.shape(0) else { return Ok(sequence(tensor(element, None).ty)) };
    let axis = x.axis(*axis, shape.len())?;
    let mut assumed = vec![];
    let part = match x.fact(1) {
        None if *keepdims => Some(Dim::Known(1)),
        None => None,
        Some(sizes) => Some(part(x, sizes, &shape[axis], &mut assumed)?),
    };
    let dims = shape[..axis].iter().cloned().chain(part).chain(shape[axis + 1..].iter().cloned()).collect();
    Ok(Inferred { assumed, ..sequence(tensor(element, Some(dims)).ty) })
}

/// Returns the common size of the parts of an axis.
fn part(x: &Operands<'_>, sizes: &Fact, whole: &Dim, assumed: &mut Vec<Assumption>) -> Result<Dim, InferError> {
    let Some(elements) = &sizes.elements else { return Ok(Dim::Unknown) };
    if let Some(negative) = elements.iter().filter_map(Dim::known).find(|size| *size < 0) {
        return Err(x.fail(format!("a part would have the size {negative}")));
    }
    let Some(first) = elements.first().filter(|first| first.is_nonnegative()) else { return Ok(Dim::Unknown) };
    if sizes.rank() == Some(0) {
        return match (whole, first) {
            (_, Dim::Known(0)) => Err(x.fail(format!("{whole} cannot be split into parts of size 0"))),
            // Everything in one part.
            _ if first.minus(whole).is_nonnegative() => Ok(whole.clone()),
            _ if whole.modulo(first) == Dim::Known(0) => Ok(first.clone()),
            _ => Ok(Dim::Unknown),
        };
    }
    let sum = elements.iter().fold(Dim::Known(0), |sum, size| sum.plus(size));
    x.expect_same(&sum, whole, "the sum of the sizes and the size of the axis", assumed)?;
    let equal = elements.iter().all(|size| size.same(first) == Some(true));
    Ok(if equal { first.clone() } else { Dim::Unknown })
}

/// Concatenates along an axis, which is new with `new_axis`.
pub(crate) fn concat(x: &Operands<'_>, axis: &i64, new_axis: &bool) -> Outcome {
    x.arity(1..=1, 1..=1)?;
    let (element, shape) = match elements_of(x)? {
        ValueType::Tensor(TensorType { element, shape }) => (element, shape),
        ValueType::Unknown => return Ok(Fact::of(ValueType::Unknown).into()),
        other => return Err(x.fail(format!("operand 0 must be a sequence of tensors, not of {other}"))),
    };
    let Some(shape) = shape else { return Ok(tensor(Some(element), None).into()) };
    let axis = x.axis(*axis, shape.len() + usize::from(*new_axis))?;
    let after = if *new_axis { axis } else { axis + 1 };
    // The number of tensors is unknown.
    let dims = shape[..axis].iter().chain([&Dim::Unknown]).chain(&shape[after..]).cloned().collect();
    Ok(Fact::tensor(element, dims).into())
}

/// The operand wrapped in an optional value, or an empty one of this type.
pub(crate) fn optional(x: &Operands<'_>, ty: &Option<ValueType>) -> Outcome {
    x.arity(0..=1, 1..=1)?;
    let inner = match (x.fact(0).map(|fact| &fact.ty), ty) {
        (Some(held), Some(ty)) => held.and(ty).ok_or_else(|| x.fail(format!("a value of {held} is not a {ty}")))?,
        (Some(held), None) => held.clone(),
        (None, Some(ty)) => ty.clone(),
        (None, None) => return Err(x.fail("it must have an operand or the attribute `type`")),
    };
    Ok(Fact::of(ValueType::Optional(Box::new(inner))).into())
}

/// Whether the operand is present and holds a value.
pub(crate) fn has_element(x: &Operands<'_>) -> Outcome {
    x.arity(0..=1, 1..=1)?;
    let truth = match x.fact(0).map(|fact| &fact.ty) {
        None => Dim::Known(0),
        Some(ValueType::Optional(_) | ValueType::Unknown) => Dim::Unknown,
        Some(_) => Dim::Known(1),
    };
    Ok(Fact { elements: Some([truth].into()), ..Fact::tensor(ElementType::Bool, Shape::default()) }.into())
}

/// Unwraps the optional value; a value that is not optional stays the same.
pub(crate) fn get_element(x: &Operands<'_>) -> Outcome {
    x.arity(1..=1, 1..=1)?;
    match x.fact(0) {
        Some(Fact { ty: ValueType::Optional(inner), .. }) => Ok(Fact::of((**inner).clone()).into()),
        Some(fact) => Ok(fact.clone().into()),
        None => Ok(Fact::of(ValueType::Unknown).into()),
    }
}
