//! Types of values: `TypeProto` from and to the IR's.

use crate::wire::{
    DimensionProto, DimensionValue, MapTypeProto, OptionalTypeProto, SequenceTypeProto, SparseTensorTypeProto,
    TensorShapeProto, TensorTypeProto, TypeProto, TypeValue,
};
use netwright_ir::{Dim, DimParts, ElementType, Shape, TensorType, ValueType};

/// The type as a file has it; `None` where nothing is known.
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

/// The number of an element type; they are small.
pub(crate) fn number(element: ElementType) -> i32 {
    i32::try_from(element.number()).unwrap_or(i32::MAX)
}

fn shape_to_wire(shape: &Shape) -> TensorShapeProto {
    let dim = |dim: &Dim| {
        let value = match dim {
            Dim::Known(size) => Some(DimensionValue::Value(*size)),
            Dim::Unknown => None,
            // A symbol of any name is written as it is, if it reads back so.
            Dim::Symbol(symbol) if dim_of(symbol.as_str()) == *dim => {
                Some(DimensionValue::Param(symbol.as_str().to_owned()))
            }
            Dim::Symbol(_) | Dim::Expr(_) => Some(DimensionValue::Param(dim.to_string())),
        };
        DimensionProto { value, denotation: None }
    };
    TensorShapeProto { dim: shape.iter().map(dim).collect() }
}

/// What a `dim_param` says: an expression, or else a symbol of that name, spaces and all.
fn dim_of(param: &str) -> Dim {
    match param.parse() {
        // Another name than the one without them.
        _ if param.trim() != param => Dim::symbol(param),
        Ok(dim @ (Dim::Symbol(_) | Dim::Expr(_) | Dim::Unknown)) => dim,
        _ if param.is_empty() => Dim::Unknown,
        Ok(Dim::Known(_)) | Err(_) => Dim::symbol(param),
    }
}

/// The type that a file declares; nesting is bounded by the scan before decoding.
///
/// # Errors
/// With the law that is broken.
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
        Some(TypeValue::Opaque(_)) => return Err("its type is opaque, and nothing is known of such values".to_owned()),
    })
}

/// The element type of that number.
pub(crate) fn element(number: Option<i32>) -> Result<ElementType, String> {
    let number = number.unwrap_or(0);
    ElementType::from_number(number.into()).ok_or_else(|| format!("{number} is no element type of ONNX (1 to 28)"))
}

fn tensor_from_wire(number: Option<i32>, shape: Option<&TensorShapeProto>) -> Result<TensorType, String> {
    let dim = |dim: &DimensionProto| match &dim.value {
        // Runtimes take a size below 0 as unknown, and paddle2onnx writes one so.
        None | Some(DimensionValue::Value(..0)) => Dim::Unknown,
        Some(DimensionValue::Value(size)) => Dim::Known(*size),
        Some(DimensionValue::Param(param)) => dim_of(param),
    };
    let shape = shape.map(|shape| shape.dim.iter().map(dim).collect());
    Ok(TensorType { element: element(number)?, shape })
}

/// The shape that a type declares of a tensor; that of a sequence's elements is not looked at.
fn shape(ty: &TypeProto) -> Option<&TensorShapeProto> {
    match &ty.value {
        Some(TypeValue::Tensor(tensor)) => tensor.shape.as_ref(),
        Some(TypeValue::SparseTensor(tensor)) => tensor.shape.as_ref(),
        _ => None,
    }
}

/// The rank that a type declares of a tensor.
pub(crate) fn rank(ty: Option<&TypeProto>) -> Option<usize> {
    Some(shape(ty?)?.dim.len())
}

/// The first size below 0 that a type declares.
pub(crate) fn negative_size(ty: &TypeProto) -> Option<i64> {
    shape(ty)?.dim.iter().find_map(|dim| match dim.value {
        Some(DimensionValue::Value(size @ ..0)) => Some(size),
        _ => None,
    })
}

/// What a type and its axes stand for; `None` where a type within it says such a thing, which has no place.
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

/// How the file spells the sizes of a tensor that are expressions, where that is not how they are printed.
pub(crate) fn spellings(ty: &TypeProto) -> Vec<String> {
    let Some(TypeValue::Tensor(TensorTypeProto { shape: Some(shape), .. })) = &ty.value else { return vec![] };
    let spelled = |dim: &DimensionProto| match &dim.value {
        Some(DimensionValue::Param(param)) if dim_of(param).to_string() != *param => param.clone(),
        _ => String::new(),
    };
    let spelled: Vec<String> = shape.dim.iter().map(spelled).collect();
    if spelled.iter().all(String::is_empty) { vec![] } else { spelled }
}

/// Spells the sizes as the file did, where they are still the same.
pub(crate) fn spell(ty: &mut TypeProto, dims: &[Dim], spellings: &[String]) {
    if let Some(TypeValue::Tensor(TensorTypeProto { shape: Some(shape), .. })) = &mut ty.value {
        for ((proto, dim), spelled) in shape.dim.iter_mut().zip(dims).zip(spellings) {
            if !spelled.is_empty() && dim_of(spelled) == *dim {
                proto.value = Some(DimensionValue::Param(spelled.clone()));
            }
        }
    }
}

/// The reverse of [`denotations`].
pub(crate) fn denote(ty: &mut TypeProto, denotation: &str, axes: &[String]) {
    let given = |text: &str| Some(text.to_owned()).filter(|text| !text.is_empty());
    ty.denotation = given(denotation);
    if let Some(TypeValue::Tensor(TensorTypeProto { shape: Some(shape), .. })) = &mut ty.value {
        for (dim, axis) in shape.dim.iter_mut().zip(axes) {
            dim.denotation = given(axis);
        }
    }
}

/// Whether a type is one that is declared of inner values.
pub(crate) fn can_be_declared(ty: &ValueType) -> bool {
    let shape = match ty {
        ValueType::Tensor(tensor) => Some(tensor.shape.as_deref()),
        _ => None,
    };
    // A tensor of unknown rank is no declaration that ONNX's checker takes.
    let is_told = *ty != ValueType::Unknown && shape != Some(None);
    // tract 0.23.9 takes a declared size at its word, and knows the smaller of two as another than it finds itself.
    is_told && shape.flatten().is_none_or(|shape| !shape.iter().any(chooses))
}

/// Whether a size is the smallest of some.
fn chooses(dim: &Dim) -> bool {
    match dim.parts() {
        DimParts::Min(_) => true,
        DimParts::Sum(parts) | DimParts::Product(parts) => parts.iter().any(chooses),
        _ => false,
    }
}
