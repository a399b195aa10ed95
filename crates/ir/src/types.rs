//! The types of values: element type, symbolic shape, and the known elements of small integer tensors.

use crate::{Dim, ElementType};
use smallvec::SmallVec;
use std::fmt;
use std::ops::Deref;
use std::sync::Arc;

/// The sizes of a tensor's axes, outermost first.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Shape(SmallVec<[Dim; 4]>);

/// A shape of dims, each a number, a name or a [`Dim`]: `shape!["batch", "seq", 512]`.
#[macro_export]
macro_rules! shape {
    ($($dim:expr),* $(,)?) => { $crate::Shape::from_iter([$($crate::Dim::from($dim)),*]) };
}

impl Shape {
    /// Returns the number of elements, as a dim.
    pub fn count(&self) -> Dim {
        self.iter().fold(Dim::Known(1), |product, dim| product.times(dim))
    }

    /// Returns the sizes as numbers, if all are known.
    pub fn known(&self) -> Option<Vec<u64>> {
        self.iter().map(|dim| dim.known().and_then(|known| u64::try_from(known).ok())).collect()
    }

    /// Returns the dims for editing.
    pub fn dims_mut(&mut self) -> &mut [Dim] {
        &mut self.0
    }
}

impl Deref for Shape {
    type Target = [Dim];

    fn deref(&self) -> &[Dim] {
        &self.0
    }
}

impl FromIterator<Dim> for Shape {
    fn from_iter<T: IntoIterator<Item = Dim>>(dims: T) -> Self {
        Self(dims.into_iter().collect())
    }
}

impl fmt::Display for Shape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[")?;
        for (axis, dim) in self.iter().enumerate() {
            write!(f, "{}{dim}", if axis == 0 { "" } else { ", " })?;
        }
        f.write_str("]")
    }
}

/// The element type and shape of a tensor; a shape of `None` means that not even the rank is known.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct TensorType {
    /// The element type.
    pub element: ElementType,
    /// The sizes of the axes.
    pub shape: Option<Shape>,
}

impl TensorType {
    /// Creates the type of a tensor of this element type and shape.
    pub fn new(element: ElementType, shape: Shape) -> Self {
        Self { element, shape: Some(shape) }
    }

    /// [`ValueType::and`] of two types that do not contradict.
    fn and(&self, other: &TensorType) -> TensorType {
        let shape = match (&self.shape, &other.shape) {
            (Some(a), Some(b)) => Some(a.iter().zip(b.iter()).map(|(a, b)| a.and(b).clone()).collect()),
            (a, b) => a.clone().or_else(|| b.clone()),
        };
        TensorType { element: self.element, shape }
    }

    /// [`ValueType::or`] of two types with the same element type.
    fn or(&self, other: &TensorType) -> TensorType {
        let either = |(a, b): (&Dim, &Dim)| if a.same(b) == Some(true) { a.clone() } else { Dim::Unknown };
        let shape = match (&self.shape, &other.shape) {
            (Some(a), Some(b)) if a.len() == b.len() => Some(a.iter().zip(b.iter()).map(either).collect()),
            _ => None,
        };
        TensorType { element: self.element, shape }
    }
}

impl fmt::Display for TensorType {
    /// Prints `f32[batch, seq, 512]`, or `f32[*]` if the rank is not known.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.shape {
            Some(shape) => write!(f, "{}{shape}", self.element),
            None => write!(f, "{}[*]", self.element),
        }
    }
}

/// The type of a value.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum ValueType {
    /// Unknown; the results of most opaque operators.
    Unknown,
    /// A tensor.
    Tensor(TensorType),
    /// A tensor stored by its nonzero elements.
    SparseTensor(TensorType),
    /// A list of values of one type: ONNX's sequence.
    Sequence(Box<ValueType>),
    /// A value or nothing: ONNX's optional.
    Optional(Box<ValueType>),
    /// A map from keys of an element type to values.
    Map(ElementType, Box<ValueType>),
}

impl ValueType {
    /// Combines two types that a value has both: takes the more precise of each part, and `self` if neither is more
    /// precise (two expressions for one size). Returns `None` if they contradict.
    pub fn and(&self, other: &ValueType) -> Option<ValueType> {
        if self.contradicts(other) {
            return None;
        }
        Some(match (self, other) {
            (ValueType::Unknown, known) | (known, ValueType::Unknown) => known.clone(),
            (ValueType::Tensor(a), ValueType::Tensor(b)) => ValueType::Tensor(a.and(b)),
            (ValueType::SparseTensor(a), ValueType::SparseTensor(b)) => ValueType::SparseTensor(a.and(b)),
            (ValueType::Sequence(a), ValueType::Sequence(b)) => ValueType::Sequence(Box::new(a.and(b)?)),
            (ValueType::Optional(a), ValueType::Optional(b)) => ValueType::Optional(Box::new(a.and(b)?)),
            (ValueType::Map(key, a), ValueType::Map(_, b)) => ValueType::Map(*key, Box::new(a.and(b)?)),
            _ => return None,
        })
    }
}

impl ValueType {
    /// Whether no value can have both types.
    pub fn contradicts(&self, other: &ValueType) -> bool {
        contradicts(self, other)
    }

    /// Returns the type without its shapes.
    #[must_use]
    pub fn without_shapes(&self) -> ValueType {
        let tensor = |tensor: &TensorType| TensorType { element: tensor.element, shape: None };
        match self {
            ValueType::Unknown => ValueType::Unknown,
            ValueType::Tensor(own) => ValueType::Tensor(tensor(own)),
            ValueType::SparseTensor(own) => ValueType::SparseTensor(tensor(own)),
            ValueType::Sequence(inner) => ValueType::Sequence(Box::new(inner.without_shapes())),
            ValueType::Optional(inner) => ValueType::Optional(Box::new(inner.without_shapes())),
            ValueType::Map(key, inner) => ValueType::Map(*key, Box::new(inner.without_shapes())),
        }
    }

    /// Whether a value of this type may be declared to be of the other: no size is known to differ or is written with
    /// other symbols.
    pub fn keeps(&self, declared: &ValueType) -> bool {
        let shape = |ty: &ValueType| match ty {
            ValueType::Tensor(tensor) => tensor.shape.clone(),
            _ => None,
        };
        let fits = |(own, declared): (&Dim, &Dim)| {
            *own == Dim::Unknown || *declared == Dim::Unknown || own.same(declared) == Some(true)
        };
        let (own, other) = (shape(self), shape(declared));
        let dims = own.iter().zip(&other).all(|(own, other)| own.iter().zip(other.iter()).all(fits));
        !self.contradicts(declared) && dims
    }

    /// Returns what two types have in common, for a value that has either. Sizes that differ become unknown, as does a
    /// rank or a type that differs.
    pub fn or(&self, other: &ValueType) -> ValueType {
        match (self, other) {
            (ValueType::Tensor(a), ValueType::Tensor(b)) if a.element == b.element => ValueType::Tensor(a.or(b)),
            (ValueType::SparseTensor(a), ValueType::SparseTensor(b)) if a.element == b.element => {
                ValueType::SparseTensor(a.or(b))
            }
            (ValueType::Sequence(a), ValueType::Sequence(b)) => ValueType::Sequence(Box::new(a.or(b))),
            (ValueType::Optional(a), ValueType::Optional(b)) => ValueType::Optional(Box::new(a.or(b))),
            (ValueType::Map(key, a), ValueType::Map(other, b)) if key == other => {
                ValueType::Map(*key, Box::new(a.or(b)))
            }
            _ => ValueType::Unknown,
        }
    }
}

fn contradicts(a: &ValueType, b: &ValueType) -> bool {
    match (a, b) {
        (ValueType::Unknown, _) | (_, ValueType::Unknown) => false,
        (ValueType::Tensor(a), ValueType::Tensor(b)) | (ValueType::SparseTensor(a), ValueType::SparseTensor(b)) => {
            let shapes = a.shape.as_ref().zip(b.shape.as_ref());
            a.element != b.element
                || shapes.is_some_and(|(a, b)| {
                    a.len() != b.len() || a.iter().zip(b.iter()).any(|(a, b)| a.same(b) == Some(false))
                })
        }
        (ValueType::Sequence(a), ValueType::Sequence(b)) | (ValueType::Optional(a), ValueType::Optional(b)) => {
            contradicts(a, b)
        }
        (ValueType::Map(k, a), ValueType::Map(l, b)) => k != l || contradicts(a, b),
        _ => true,
    }
}

impl From<TensorType> for ValueType {
    fn from(tensor: TensorType) -> Self {
        ValueType::Tensor(tensor)
    }
}

impl fmt::Display for ValueType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ValueType::Unknown => f.write_str("?"),
            ValueType::Tensor(tensor) => write!(f, "{tensor}"),
            ValueType::SparseTensor(tensor) => write!(f, "sparse({tensor})"),
            ValueType::Sequence(inner) => write!(f, "sequence({inner})"),
            ValueType::Optional(inner) => write!(f, "optional({inner})"),
            ValueType::Map(key, inner) => write!(f, "map({key}, {inner})"),
        }
    }
}

/// What is known about a value at compile time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fact {
    /// The type.
    pub ty: ValueType,
    /// The elements of a small integer tensor of rank 0 or 1, as dims, for shape arithmetic.
    pub elements: Option<Arc<[Dim]>>,
}

/// The maximum number of elements that inference follows; longer tensors are data, not shapes.
pub(crate) const MAX_ELEMENTS: u64 = 64;

impl Fact {
    /// Creates the fact of a value of which only the type is known.
    pub fn of(ty: impl Into<ValueType>) -> Self {
        Self { ty: ty.into(), elements: None }
    }

    /// Creates the fact of a tensor of this element type and shape.
    pub fn tensor(element: ElementType, shape: Shape) -> Self {
        Self::of(TensorType::new(element, shape))
    }

    /// Returns the tensor type, if it is a tensor.
    pub fn tensor_type(&self) -> Option<&TensorType> {
        if let ValueType::Tensor(tensor) = &self.ty { Some(tensor) } else { None }
    }

    /// Returns the element type, if it is a tensor.
    pub fn element(&self) -> Option<ElementType> {
        self.tensor_type().map(|tensor| tensor.element)
    }

    /// Returns the shape, if it is a tensor of known rank.
    pub fn shape(&self) -> Option<&Shape> {
        self.tensor_type().and_then(|tensor| tensor.shape.as_ref())
    }

    pub(crate) fn shape_mut(&mut self) -> Option<&mut Shape> {
        if let ValueType::Tensor(tensor) = &mut self.ty { tensor.shape.as_mut() } else { None }
    }

    /// Combines two facts about one value: takes the more precise of each part, and `self` if they contradict.
    #[must_use]
    pub fn and(&self, other: &Fact) -> Fact {
        let elements = match (&self.elements, &other.elements) {
            (Some(a), Some(b)) if a.len() == b.len() => {
                Some(a.iter().zip(b.iter()).map(|(a, b)| a.and(b).clone()).collect())
            }
            (a, b) => a.clone().or_else(|| b.clone()),
        };
        Fact { ty: self.ty.and(&other.ty).unwrap_or_else(|| self.ty.clone()), elements }
    }

    /// Returns the rank, if it is a tensor of known rank.
    pub fn rank(&self) -> Option<usize> {
        self.shape().map(|shape| shape.len())
    }

    /// Returns the elements as numbers, if all are known.
    pub fn known_elements(&self) -> Option<Vec<i64>> {
        self.elements.as_ref()?.iter().map(Dim::known).collect()
    }
}

impl fmt::Display for Fact {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.ty)
    }
}
