//! Attributes: what an operator is told when the model is built.

use crate::op::OpKind;
use crate::tensor::SparseTensor;
use crate::{ElementType, Graph, Tensor, ValueType};
use bytes::Bytes;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

/// The value of an attribute, as the text form and ONNX write it.
#[derive(Clone, Debug, PartialEq)]
pub enum Attribute {
    /// A whole number.
    Int(i64),
    /// A number.
    Float(f32),
    /// Text, not always UTF-8.
    Text(Bytes),
    /// A truth value; 0 or 1 in ONNX.
    Bool(bool),
    /// An element type; its number in ONNX.
    Element(ElementType),
    /// Whole numbers.
    Ints(Vec<i64>),
    /// Numbers.
    Floats(Vec<f32>),
    /// Texts.
    Texts(Vec<Bytes>),
    /// A tensor.
    Tensor(Tensor),
    /// Tensors.
    Tensors(Vec<Tensor>),
    /// A tensor stored by its nonzero elements.
    Sparse(SparseTensor),
    /// Tensors stored by their nonzero elements.
    Sparses(Vec<SparseTensor>),
    /// A type.
    Type(ValueType),
    /// Types.
    Types(Vec<ValueType>),
    /// A body: a graph that runs as a part of the node.
    Graph(Arc<Graph>),
    /// Bodies.
    Graphs(Vec<Arc<Graph>>),
    /// In a function: the attribute of that name of the node that calls it.
    Reference {
        /// The name.
        name: Arc<str>,
        /// Its type, by ONNX's number.
        ty: i32,
    },
}

impl Attribute {
    /// What it is, for messages.
    pub fn class(&self) -> &'static str {
        match self {
            Attribute::Int(_) => "an int",
            Attribute::Float(_) => "a float",
            Attribute::Text(_) => "a text",
            Attribute::Bool(_) => "a truth value",
            Attribute::Element(_) => "an element type",
            Attribute::Ints(_) => "a list of ints",
            Attribute::Floats(_) => "a list of floats",
            Attribute::Texts(_) => "a list of texts",
            Attribute::Tensor(_) => "a tensor",
            Attribute::Tensors(_) => "a list of tensors",
            Attribute::Sparse(_) => "a sparse tensor",
            Attribute::Sparses(_) => "a list of sparse tensors",
            Attribute::Type(_) => "a type",
            Attribute::Types(_) => "a list of types",
            Attribute::Graph(_) => "a graph",
            Attribute::Graphs(_) => "a list of graphs",
            Attribute::Reference { .. } => "an attribute of a function",
        }
    }

    /// Whether both are the same, the sign of zero included.
    pub fn is_same(&self, other: &Attribute) -> bool {
        match (self, other) {
            (Attribute::Float(a), Attribute::Float(b)) => a.same(b),
            (Attribute::Floats(a), Attribute::Floats(b)) => a.same(b),
            (a, b) => a == b,
        }
    }

    /// The bodies in it.
    pub fn bodies(&self) -> &[Arc<Graph>] {
        match self {
            Attribute::Graph(body) => std::slice::from_ref(body),
            Attribute::Graphs(bodies) => bodies,
            _ => &[],
        }
    }

    /// The same, to be changed.
    pub(crate) fn bodies_mut(&mut self) -> &mut [Arc<Graph>] {
        match self {
            Attribute::Graph(body) => std::slice::from_mut(body),
            Attribute::Graphs(bodies) => bodies,
            _ => &mut [],
        }
    }

    /// Calls `visit` with every tensor in it, those in bodies not included.
    pub fn for_each_tensor(&self, visit: &mut dyn FnMut(&Tensor)) {
        let mut sparse = |held: &SparseTensor| {
            visit(held.values());
            visit(held.indices());
        };
        match self {
            Attribute::Sparse(held) => sparse(held),
            Attribute::Sparses(held) => held.iter().for_each(sparse),
            Attribute::Tensor(held) => visit(held),
            Attribute::Tensors(held) => held.iter().for_each(visit),
            _ => {}
        }
    }

    /// A hash that agrees with `==`; a tensor counts by its type alone.
    pub(crate) fn hash_value(&self, state: &mut impl Hasher) {
        // -0.0 == 0.0, so both must hash alike.
        let bits = |value: &f32| if *value == 0.0 { 0 } else { value.to_bits() };
        match self {
            Attribute::Int(value) => value.hash(state),
            Attribute::Float(value) => bits(value).hash(state),
            Attribute::Text(value) => value.hash(state),
            Attribute::Bool(value) => value.hash(state),
            Attribute::Element(value) => value.hash(state),
            Attribute::Ints(values) => values.hash(state),
            Attribute::Floats(values) => values.iter().for_each(|value| bits(value).hash(state)),
            Attribute::Texts(values) => values.hash(state),
            Attribute::Tensor(tensor) => (tensor.element(), tensor.dims()).hash(state),
            Attribute::Tensors(tensors) => tensors.len().hash(state),
            Attribute::Sparse(tensor) => tensor.dims().hash(state),
            Attribute::Sparses(tensors) => tensors.len().hash(state),
            Attribute::Type(ty) => ty.hash(state),
            Attribute::Types(types) => types.hash(state),
            Attribute::Graph(body) => body.len().hash(state),
            Attribute::Graphs(bodies) => bodies.len().hash(state),
            Attribute::Reference { name, .. } => name.hash(state),
        }
    }
}

/// Why an operator cannot have these attributes.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum AttributeError {
    /// One that has no default is not there.
    #[error("the attribute `{0}` is missing")]
    Missing(&'static str),
    /// One of another type.
    #[error("the attribute `{name}` must be {expected}, but is {found}")]
    Type {
        /// Which.
        name: String,
        /// What the operator takes.
        expected: &'static str,
        /// What it was given.
        found: String,
    },
    /// One that the operator does not have.
    #[error("the attribute `{0}` is not one of the operator's")]
    Unknown(String),
    /// One given twice.
    #[error("the attribute `{0}` is given twice")]
    Twice(String),
    /// Tensors and kept operators are not made of attributes.
    #[error("`{}` is not made of attributes", .0.word())]
    NotByAttributes(OpKind),
}

/// Attributes by name, taken one by one.
#[derive(Debug, Default)]
pub struct Attributes(Vec<(Arc<str>, Attribute)>);

impl Attributes {
    /// The attributes of a node.
    ///
    /// # Errors
    /// When one is given twice.
    pub fn new(attributes: Vec<(Arc<str>, Attribute)>) -> Result<Self, AttributeError> {
        let mut names: Vec<_> = attributes.iter().map(|(name, _)| name).collect();
        names.sort();
        match names.windows(2).find(|pair| pair[0] == pair[1]) {
            Some(pair) => Err(AttributeError::Twice(pair[0].to_string())),
            None => Ok(Self(attributes)),
        }
    }

    /// Takes the attribute out by name.
    pub fn remove(&mut self, name: &str) -> Option<Attribute> {
        let at = self.0.iter().position(|(other, _)| **other == *name)?;
        Some(self.0.remove(at).1)
    }

    /// Takes the attribute out, as that type.
    pub(crate) fn take<T: AttributeValue>(
        &mut self,
        name: &'static str,
        default: Option<T>,
    ) -> Result<T, AttributeError> {
        match self.remove(name) {
            Some(value) => T::from_attribute(&value).ok_or_else(|| AttributeError::Type {
                name: name.to_owned(),
                expected: T::EXPECTED,
                found: value.to_string(),
            }),
            None => default.ok_or(AttributeError::Missing(name)),
        }
    }

    pub(crate) fn finish(self) -> Result<(), AttributeError> {
        self.0.first().map_or(Ok(()), |(name, _)| Err(AttributeError::Unknown(name.to_string())))
    }
}

/// The types that attributes have in the table of operators.
pub(crate) trait AttributeValue: Sized + PartialEq {
    const EXPECTED: &'static str;

    /// Whether both are the same, the sign of zero included.
    fn same(&self, other: &Self) -> bool {
        self == other
    }

    /// `None` where the attribute is absent.
    fn to_attribute(&self) -> Option<Attribute>;

    fn from_attribute(attribute: &Attribute) -> Option<Self>;

    /// The graph that it is.
    fn body(&self) -> Option<&Arc<Graph>> {
        None
    }

    /// The same, to be changed.
    fn body_mut(&mut self) -> Option<&mut Arc<Graph>> {
        None
    }

    /// Whether the attribute says that there is none.
    fn is_none(_attribute: &Attribute) -> bool {
        false
    }
}

impl AttributeValue for i64 {
    const EXPECTED: &'static str = "an int";

    fn to_attribute(&self) -> Option<Attribute> {
        Some(Attribute::Int(*self))
    }

    fn from_attribute(attribute: &Attribute) -> Option<Self> {
        if let Attribute::Int(value) = attribute { Some(*value) } else { None }
    }
}

impl AttributeValue for f32 {
    const EXPECTED: &'static str = "a float";

    fn same(&self, other: &Self) -> bool {
        self.to_bits() == other.to_bits()
    }

    fn to_attribute(&self) -> Option<Attribute> {
        Some(Attribute::Float(*self))
    }

    fn from_attribute(attribute: &Attribute) -> Option<Self> {
        if let Attribute::Float(value) = attribute { Some(*value) } else { None }
    }
}

impl AttributeValue for bool {
    const EXPECTED: &'static str = "0 or 1";

    fn to_attribute(&self) -> Option<Attribute> {
        Some(Attribute::Bool(*self))
    }

    fn from_attribute(attribute: &Attribute) -> Option<Self> {
        match attribute {
            Attribute::Bool(value) => Some(*value),
            Attribute::Int(value) => (0..=1).contains(value).then_some(*value == 1),
            _ => None,
        }
    }
}

impl<T: AttributeValue> AttributeValue for Option<T> {
    const EXPECTED: &'static str = T::EXPECTED;

    fn to_attribute(&self) -> Option<Attribute> {
        self.as_ref().and_then(T::to_attribute)
    }

    fn from_attribute(attribute: &Attribute) -> Option<Self> {
        if T::is_none(attribute) { Some(None) } else { T::from_attribute(attribute).map(Some) }
    }
}

impl AttributeValue for Bytes {
    const EXPECTED: &'static str = "a text";

    fn to_attribute(&self) -> Option<Attribute> {
        Some(Attribute::Text(self.clone()))
    }

    fn from_attribute(attribute: &Attribute) -> Option<Self> {
        if let Attribute::Text(text) = attribute { Some(text.clone()) } else { None }
    }
}

impl AttributeValue for Vec<f32> {
    const EXPECTED: &'static str = "a list of floats";

    fn same(&self, other: &Self) -> bool {
        self.len() == other.len() && self.iter().zip(other).all(|(a, b)| a.same(b))
    }

    fn to_attribute(&self) -> Option<Attribute> {
        Some(Attribute::Floats(self.clone()))
    }

    fn from_attribute(attribute: &Attribute) -> Option<Self> {
        if let Attribute::Floats(values) = attribute { Some(values.clone()) } else { None }
    }
}

impl AttributeValue for Vec<Bytes> {
    const EXPECTED: &'static str = "a list of texts";

    fn to_attribute(&self) -> Option<Attribute> {
        Some(Attribute::Texts(self.clone()))
    }

    fn from_attribute(attribute: &Attribute) -> Option<Self> {
        if let Attribute::Texts(values) = attribute { Some(values.clone()) } else { None }
    }
}

impl AttributeValue for Vec<i64> {
    const EXPECTED: &'static str = "a list of ints";

    fn to_attribute(&self) -> Option<Attribute> {
        Some(Attribute::Ints(self.clone()))
    }

    fn from_attribute(attribute: &Attribute) -> Option<Self> {
        if let Attribute::Ints(values) = attribute { Some(values.clone()) } else { None }
    }
}

impl AttributeValue for Tensor {
    const EXPECTED: &'static str = "a tensor";

    fn to_attribute(&self) -> Option<Attribute> {
        Some(Attribute::Tensor(self.clone()))
    }

    fn from_attribute(attribute: &Attribute) -> Option<Self> {
        if let Attribute::Tensor(tensor) = attribute { Some(tensor.clone()) } else { None }
    }
}

impl AttributeValue for ElementType {
    const EXPECTED: &'static str = "an element type";

    fn to_attribute(&self) -> Option<Attribute> {
        Some(Attribute::Element(*self))
    }

    fn from_attribute(attribute: &Attribute) -> Option<Self> {
        match attribute {
            Attribute::Element(element) => Some(*element),
            Attribute::Int(number) => ElementType::from_number(*number),
            _ => None,
        }
    }

    /// ONNX's number 0 is `UNDEFINED`.
    fn is_none(attribute: &Attribute) -> bool {
        *attribute == Attribute::Int(0)
    }
}

impl AttributeValue for Arc<Graph> {
    const EXPECTED: &'static str = "a graph";

    fn to_attribute(&self) -> Option<Attribute> {
        Some(Attribute::Graph(self.clone()))
    }

    fn from_attribute(attribute: &Attribute) -> Option<Self> {
        if let Attribute::Graph(body) = attribute { Some(body.clone()) } else { None }
    }

    fn body(&self) -> Option<&Arc<Graph>> {
        Some(self)
    }

    fn body_mut(&mut self) -> Option<&mut Arc<Graph>> {
        Some(self)
    }
}

impl AttributeValue for ValueType {
    const EXPECTED: &'static str = "a type";

    fn to_attribute(&self) -> Option<Attribute> {
        Some(Attribute::Type(self.clone()))
    }

    fn from_attribute(attribute: &Attribute) -> Option<Self> {
        if let Attribute::Type(ty) = attribute { Some(ty.clone()) } else { None }
    }
}
