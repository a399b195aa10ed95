//! Types of values: conversion between `TypeProto` and the IR's types.

use crate::wire::{
    DimensionProto, DimensionValue, MapTypeProto, OptionalTypeProto, SequenceTypeProto, SparseTensorTypeProto,
    TensorShapeProto, TensorTypeProto, TypeProto, TypeValue,
};
use netwright_ir::{Dim, DimParts, ElementType, Shape, TensorType, ValueType};

/// Converts a type to its form in a file; `None` if it is unknown.
pub(crate) fn to_wire(ty: &ValueType) -> Option<TypeProto> {
    let inner = |ty: &ValueType| to_wire(ty).map(Box::new);
    let value = match ty {
        ValueType::Unknown => return None,
        ValueType::Tensor(tensor) => TypeValue::Tensor(TensorTypeProto {
            elem_type: Some(number(tensor.element)),
            shape: tensor.shape.as_ref().map(shape_to_wire),
        }),
        ValueType::SparseTensor(tensor) => TypeValue::SparseTensor(SparseTensorTypeProto {
            elem_type: Some(number(tensor.element)),
            shape: tensor.shape.as_ref().map(shape_to_wire),
        }),
        ValueType::Sequence(of) => TypeValue::Sequence(SequenceTypeProto { elem_type: inner(of) }),
        ValueType::Optional(of) => TypeValue::Optional(OptionalTypeProto { elem_type: inner(of) }),
        ValueType::Map(key, of) => TypeValue::Map(MapTypeProto { key_type: Some(number(*key)), value_type: inner(of) }),
    };
    Some(TypeProto { value: Some(value), denotation: None })
}

/// Returns the number of an element type; the numbers are small.
pub(crate) fn number(element: ElementType) -> i32 {
    i32::try_from(element.number()).unwrap_or(i32::MAX)
}

fn shape_to_wire(shape: &Shape) -> TensorShapeProto {
    let dim = |dim: &Dim| {
        let value = match dim {
            Dim::Known(size) => Some(DimensionValue::Value(*size)),
            Dim::Unknown => None,
            // A symbol of any name is written unquoted if it reads back as itself.
            Dim::Symbol(symbol) if dim_of(symbol.as_str()) == *dim => {
                Some(DimensionValue::Param(symbol.as_str().to_owned()))
            }
            Dim::Symbol(_) | Dim::Expr(_) => Some(DimensionValue::Param(dim.to_string())),
        };
        DimensionProto { value, denotation: None }
    };
    TensorShapeProto { dim: shape.iter().map(dim).collect() }
}

/// Parses a `dim_param`: an expression, or else a symbol of this name, spaces included.
fn dim_of(param: &str) -> Dim {
    match param.parse() {
        // The name with spaces is another symbol than the one without.
        _ if param.trim() != param => Dim::symbol(param),
        Ok(dim @ (Dim::Symbol(_) | Dim::Expr(_) | Dim::Unknown)) => dim,
        _ if param.is_empty() => Dim::Unknown,
        Ok(Dim::Known(_)) | Err(_) => Dim::symbol(param),
    }
}

/// Converts a type that a file declares; the scan before decoding bounds its nesting.
///
/// # Errors
/// If the type is not valid; the text says why.
pub(crate) fn from_wire(ty: &TypeProto) -> Result<ValueType, String> {
    let inner = |ty: &Option<Box<TypeProto>>| match ty {
        Some(ty) => from_wire(ty).map(Box::new),
        None => Ok(Box::new(ValueType::Unknown)),
    };
    Ok(match &ty.value {
        None => ValueType::Unknown,
        Some(TypeValue::Tensor(tensor)) => {
            ValueType::Tensor(tensor_from_wire(tensor.elem_type, tensor.shape.as_ref())?)
        }
        Some(TypeValue::SparseTensor(tensor)) => {
            ValueType::SparseTensor(tensor_from_wire(tensor.elem_type, tensor.shape.as_ref())?)
        }
        Some(TypeValue::Sequence(sequence)) => ValueType::Sequence(inner(&sequence.elem_type)?),
        Some(TypeValue::Optional(optional)) => ValueType::Optional(inner(&optional.elem_type)?),
        Some(TypeValue::Map(map)) => ValueType::Map(element(map.key_type)?, inner(&map.value_type)?),
        Some(TypeValue::Opaque(_)) => return Err("its type is opaque, which is not supported".to_owned()),
    })
}

/// Returns the element type with this number.
pub(crate) fn element(number: Option<i32>) -> Result<ElementType, String> {
    let number = number.unwrap_or(0);
    ElementType::from_number(number.into()).ok_or_else(|| format!("{number} is not an element type of ONNX (1 to 28)"))
}

fn tensor_from_wire(number: Option<i32>, shape: Option<&TensorShapeProto>) -> Result<TensorType, String> {
    let dim = |dim: &DimensionProto| match &dim.value {
        // Runtimes treat a negative size as unknown, and paddle2onnx writes unknown sizes so.
        None | Some(DimensionValue::Value(..0)) => Dim::Unknown,
        Some(DimensionValue::Value(size)) => Dim::Known(*size),
        Some(DimensionValue::Param(param)) => dim_of(param),
    };
    let shape = shape.map(|shape| shape.dim.iter().map(dim).collect());
    Ok(TensorType { element: element(number)?, shape })
}

/// Returns the shape that a type declares for a tensor; not that of a sequence's elements.
fn shape(ty: &TypeProto) -> Option<&TensorShapeProto> {
    match &ty.value {
        Some(TypeValue::Tensor(tensor)) => tensor.shape.as_ref(),
        Some(TypeValue::SparseTensor(tensor)) => tensor.shape.as_ref(),
        _ => None,
    }
}

/// Returns the rank that a type declares for a tensor.
pub(crate) fn rank(ty: Option<&TypeProto>) -> Option<usize> {
    Some(shape(ty?)?.dim.len())
}

/// Returns the first negative size that a type declares.
pub(crate) fn negative_size(ty: &TypeProto) -> Option<i64> {
    shape(ty)?.dim.iter().find_map(|dim| match dim.value {
        Some(DimensionValue::Value(size @ ..0)) => Some(size),
        _ => None,
    })
}

/// Returns the denotations of a type and its axes; `None` if a type within it has one, which is not supported.
pub(crate) fn denotations(ty: &TypeProto) -> Option<(String, Vec<String>)> {
    let text = |text: &Option<String>| text.clone().unwrap_or_default();
    let mut axes = vec![];
    match &ty.value {
        Some(TypeValue::Tensor(TensorTypeProto { shape: Some(shape), .. })) => {
            axes = shape.dim.iter().map(|dim| text(&dim.denotation)).collect();
        }
        Some(
            TypeValue::Sequence(SequenceTypeProto { elem_type: Some(of) })
            | TypeValue::Optional(OptionalTypeProto { elem_type: Some(of) })
            | TypeValue::Map(MapTypeProto { value_type: Some(of), .. }),
        ) => {
            let (own, its_axes) = denotations(of)?;
            if !own.is_empty() || !its_axes.is_empty() {
                return None;
            }
        }
        _ => {}
    }
    if axes.iter().all(String::is_empty) {
        axes.clear();
    }
    Some((text(&ty.denotation), axes))
}

/// Returns how the file spells the symbolic sizes of a tensor, if that is not how they are printed.
pub(crate) fn spellings(ty: &TypeProto) -> Vec<String> {
    let Some(TypeValue::Tensor(TensorTypeProto { shape: Some(shape), .. })) = &ty.value else { return vec![] };
    let spelled = |dim: &DimensionProto| match &dim.value {
        Some(DimensionValue::Param(param)) if dim_of(param).to_string() != *param => param.clone(),
        _ => String::new(),
    };
    let spelled: Vec<String> = shape.dim.iter().map(spelled).collect();
    if spelled.iter().all(String::is_empty) { vec![] } else { spelled }
}

/// Spells the sizes as the file did, if they are still the same.
pub(crate) fn spell(ty: &mut TypeProto, dims: &[Dim], spellings: &[String]) {
    if let Some(TypeValue::Tensor(TensorTypeProto { shape: Some(shape), .. })) = &mut ty.value {
        for ((proto, dim), spelled) in shape.dim.iter_mut().zip(dims).zip(spellings) {
            if !spelled.is_empty() && dim_of(spelled) == *dim {
                proto.value = Some(DimensionValue::Param(spelled.clone()));
            }
        }
    }
}

/// Sets the denotations of a type: the inverse of [`denotations`].
pub(crate) fn denote(ty: &mut TypeProto, denotation: &str, axes: &[String]) {
    let given = |text: &str| Some(text.to_owned()).filter(|text| !text.is_empty());
    ty.denotation = given(denotation);
    if let Some(TypeValue::Tensor(TensorTypeProto { shape: Some(shape), .. })) = &mut ty.value {
        for (dim, axis) in shape.dim.iter_mut().zip(axes) {
            dim.denotation = given(axis);
        }
    }
}

/// Whether a type can be declared for inner values.
pub(crate) fn can_be_declared(ty: &ValueType) -> bool {
    let shape = match ty {
        ValueType::Tensor(tensor) => Some(tensor.shape.as_deref()),
        _ => None,
    };
    // ONNX's checker refuses the declaration of a tensor of unknown rank.
    let is_known = *ty != ValueType::Unknown && shape != Some(None);
    // tract 0.23.9 takes a declared size literally and fails to equate a minimum with the one it infers.
    is_known && shape.flatten().is_none_or(|shape| !shape.iter().any(chooses))
}

/// Whether a file that declares its inner values also declares one of this type, which requires that all sizes are known.
pub(crate) fn is_declared_by_default(ty: &ValueType) -> bool {
    let has_unknown = |shape: &Shape| shape.contains(&Dim::Unknown);
    can_be_declared(ty) && !matches!(ty, ValueType::Tensor(TensorType { shape: Some(shape), .. }) if has_unknown(shape))
}

/// Whether a size is a minimum.
fn chooses(dim: &Dim) -> bool {
    match dim.parts() {
        DimParts::Min(_) => true,
        DimParts::Sum(parts) | DimParts::Product(parts) => parts.iter().any(chooses),
        _ => false,
    }
}
