//! Attributes: what an operator is told when the model is built.

use crate::op::Kind;
use crate::{ElementType, Tensor};
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
    NotByAttributes(Kind),
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
                found: crate::text::attribute(&value),
            }),
            None => default.ok_or(AttributeError::Missing(name)),
        }
    }

    pub(crate) fn finish(self) -> Result<(), AttributeError> {
        self.0.first().map_or(Ok(()), |(name, _)| Err(AttributeError::Unknown(name.to_string())))
    }
}

/// The types that attributes have in the table of operators.
pub(crate) trait AttributeValue: Sized {
    const EXPECTED: &'static str;

    /// `None` where the attribute is absent.
    fn to_attribute(&self) -> Option<Attribute>;

    fn from_attribute(attribute: &Attribute) -> Option<Self>;

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
