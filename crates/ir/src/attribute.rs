//! Attributes: the parameters of an operator that are fixed at compile time.

use crate::op::OpKind;
use crate::tensor::SparseTensor;
use crate::{ElementType, Graph, Tensor, ValueType};
use bytes::Bytes;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

/// The value of an attribute, as in ONNX and in the text form.
#[derive(Clone, Debug, PartialEq)]
pub enum Attribute {
    /// An integer.
    Int(i64),
    /// A float.
    Float(f32),
    /// A string, not always UTF-8.
    Text(Bytes),
    /// A boolean; 0 or 1 in ONNX.
    Bool(bool),
    /// An element type; in ONNX its number.
    Element(ElementType),
    /// Integers.
    Ints(Vec<i64>),
    /// Floats.
    Floats(Vec<f32>),
    /// Strings.
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
    /// A body: a graph that runs as part of the node.
    Graph(Arc<Graph>),
    /// Bodies.
    Graphs(Vec<Arc<Graph>>),
    /// In a function: a reference to an attribute of the calling node.
    Reference {
        /// The name.
        name: Arc<str>,
        /// The attribute type, by ONNX's number.
        ty: i32,
    },
}

impl Attribute {
    /// Returns a noun phrase for the kind of value, for messages.
    pub fn class(&self) -> &'static str {
        match self {
            Attribute::Int(_) => "an int",
            Attribute::Float(_) => "a float",
            Attribute::Text(_) => "a string",
            Attribute::Bool(_) => "a bool",
            Attribute::Element(_) => "an element type",
            Attribute::Ints(_) => "a list of ints",
            Attribute::Floats(_) => "a list of floats",
            Attribute::Texts(_) => "a list of strings",
            Attribute::Tensor(_) => "a tensor",
            Attribute::Tensors(_) => "a list of tensors",
            Attribute::Sparse(_) => "a sparse tensor",
            Attribute::Sparses(_) => "a list of sparse tensors",
            Attribute::Type(_) => "a type",
            Attribute::Types(_) => "a list of types",
            Attribute::Graph(_) => "a graph",
            Attribute::Graphs(_) => "a list of graphs",
            Attribute::Reference { .. } => "a reference to an attribute of a function",
        }
    }

    /// Whether both are the same, including the sign of zero.
    pub fn is_same(&self, other: &Attribute) -> bool {
        match (self, other) {
            (Attribute::Float(a), Attribute::Float(b)) => a.same(b),
            (Attribute::Floats(a), Attribute::Floats(b)) => a.same(b),
            (a, b) => a == b,
        }
    }

    /// Returns the bodies in the value.
    pub fn bodies(&self) -> &[Arc<Graph>] {
        match self {
            Attribute::Graph(body) => std::slice::from_ref(body),
            Attribute::Graphs(bodies) => bodies,
            _ => &[],
        }
    }

    /// Returns the bodies in the value for editing.
    pub(crate) fn bodies_mut(&mut self) -> &mut [Arc<Graph>] {
        match self {
            Attribute::Graph(body) => std::slice::from_mut(body),
            Attribute::Graphs(bodies) => bodies,
            _ => &mut [],
        }
    }

    /// Calls `visit` with every tensor in the value, except those in bodies.
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

    /// Hashes the value consistently with `==`; a tensor only by its type.
    pub(crate) fn hash_value(&self, state: &mut impl Hasher) {
        // -0.0 == 0.0, so both must have the same hash.
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
    /// An attribute without a default is missing.
    #[error("the attribute `{0}` is missing")]
    Missing(&'static str),
    /// An attribute has the wrong type.
    #[error("the attribute `{name}` must be {expected}, but is {found}")]
    Type {
        /// The name.
        name: String,
        /// The type or values that the operator accepts.
        expected: &'static str,
        /// The value that was given.
        found: String,
    },
    /// The operator does not have the attribute.
    #[error("the operator has no attribute `{0}`")]
    Unknown(String),
    /// An attribute is given twice.
    #[error("the attribute `{0}` is given twice")]
    Twice(String),
    /// The operator is not constructed from attributes: a tensor or an opaque operator.
    #[error("`{}` cannot be constructed from attributes", .0.word())]
    NotByAttributes(OpKind),
}

/// The attributes of a node while an operator is constructed from them.
#[derive(Debug, Default)]
pub struct Attributes(Vec<(Arc<str>, Attribute)>);

impl Attributes {
    /// Creates the list.
    ///
    /// # Errors
    /// If an attribute is given twice.
    pub fn new(attributes: Vec<(Arc<str>, Attribute)>) -> Result<Self, AttributeError> {
        let mut names: Vec<_> = attributes.iter().map(|(name, _)| name).collect();
        names.sort();
        match names.windows(2).find(|pair| pair[0] == pair[1]) {
            Some(pair) => Err(AttributeError::Twice(pair[0].to_string())),
            None => Ok(Self(attributes)),
        }
    }

    /// Removes an attribute and returns it.
    pub fn remove(&mut self, name: &str) -> Option<Attribute> {
        let at = self.0.iter().position(|(other, _)| **other == *name)?;
        Some(self.0.remove(at).1)
    }

    /// Removes an attribute and converts it.
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

/// A type of attribute in the operator table.
pub(crate) trait AttributeValue: Sized + PartialEq {
    const EXPECTED: &'static str;

    /// Whether both are the same, including the sign of zero.
    fn same(&self, other: &Self) -> bool {
        self == other
    }

    /// Converts to an attribute; `None` if it is absent.
    fn to_attribute(&self) -> Option<Attribute>;

    fn from_attribute(attribute: &Attribute) -> Option<Self>;

    /// Returns the body.
    fn body(&self) -> Option<&Arc<Graph>> {
        None
    }

    /// Returns the body for editing.
    fn body_mut(&mut self) -> Option<&mut Arc<Graph>> {
        None
    }

    /// Whether the attribute stands for an absent one.
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
    const EXPECTED: &'static str = "a string";

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
    const EXPECTED: &'static str = "a list of strings";

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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::TensorType;
    use std::fmt::Debug;
    use std::hash::DefaultHasher;

    /// Two values of every kind, how messages name it, and the number of tensors and bodies in each value.
    fn kinds() -> Vec<([Attribute; 2], &'static str, [usize; 2])> {
        let text = |text: &'static str| Bytes::from_static(text.as_bytes());
        let graph = |names: [&str; 2]| {
            let mut graph = Graph::new("body");
            for name in names.into_iter().filter(|name| !name.is_empty()) {
                graph.input(name, ValueType::Unknown);
            }
            Arc::new(graph)
        };
        let (a, b) = (Tensor::indices(&[1]), Tensor::indices(&[1, 2]));
        let sparse = |dims: u64| SparseTensor::new(a.clone(), Tensor::indices(&[0]), &[dims]).unwrap();
        let [ty, other] =
            [ElementType::F32, ElementType::I64].map(|element| ValueType::Tensor(TensorType { element, shape: None }));
        let reference = |name: &str| Attribute::Reference { name: name.into(), ty: 1 };
        vec![
            ([2, 3].map(Attribute::Int), "an int", [0, 0]),
            ([0.5, 0.25].map(Attribute::Float), "a float", [0, 0]),
            (["a", "b"].map(text).map(Attribute::Text), "a string", [0, 0]),
            ([true, false].map(Attribute::Bool), "a bool", [0, 0]),
            ([ElementType::F32, ElementType::I64].map(Attribute::Element), "an element type", [0, 0]),
            ([vec![2], vec![3]].map(Attribute::Ints), "a list of ints", [0, 0]),
            ([vec![0.5], vec![0.25]].map(Attribute::Floats), "a list of floats", [0, 0]),
            ([vec![text("a")], vec![text("b")]].map(Attribute::Texts), "a list of strings", [0, 0]),
            ([a.clone(), b.clone()].map(Attribute::Tensor), "a tensor", [1, 0]),
            ([vec![a.clone(), b.clone()], vec![b]].map(Attribute::Tensors), "a list of tensors", [2, 0]),
            ([sparse(4), sparse(5)].map(Attribute::Sparse), "a sparse tensor", [2, 0]),
            ([vec![sparse(4); 2], vec![]].map(Attribute::Sparses), "a list of sparse tensors", [4, 0]),
            ([ty.clone(), other.clone()].map(Attribute::Type), "a type", [0, 0]),
            ([vec![ty], vec![other]].map(Attribute::Types), "a list of types", [0, 0]),
            ([["x", ""], ["x", "y"]].map(graph).map(Attribute::Graph), "a graph", [0, 1]),
            ([vec![graph(["x", "y"]); 2], vec![]].map(Attribute::Graphs), "a list of graphs", [0, 2]),
            (["a", "b"].map(reference), "a reference to an attribute of a function", [0, 0]),
        ]
    }

    fn hash(attribute: &Attribute) -> u64 {
        let mut hasher = DefaultHasher::new();
        attribute.hash_value(&mut hasher);
        hasher.finish()
    }

    #[test]
    fn every_kind_of_value() {
        for ([mut value, other], class, [tensors, bodies]) in kinds() {
            let mut visited = 0;
            value.for_each_tensor(&mut |_| visited += 1);
            assert_eq!((value.class(), visited), (class, tensors));
            assert_eq!([value.bodies().len(), value.bodies_mut().len()], [bodies; 2], "{class}");
            assert!(value.is_same(&value) && !value.is_same(&other), "{class}");
            assert_ne!(hash(&value), hash(&other), "{class}");
        }
        let lists = |number: f32| [Attribute::Float(number), Attribute::Floats(vec![1.0, number])];
        for (zero, negative) in lists(0.0).into_iter().zip(lists(-0.0)) {
            assert_eq!((&zero, hash(&zero)), (&negative, hash(&negative)));
            assert!(zero.is_same(&zero) && !zero.is_same(&negative));
        }
        assert!(!Attribute::Floats(vec![1.0]).is_same(&Attribute::Floats(vec![1.0, 0.0])));
    }

    /// Checks that the type converts to one kind of attribute and back, and which other kinds it accepts.
    fn converts<T: AttributeValue + Debug>(mut value: T, class: &str, others: &[&str]) {
        let attribute = value.to_attribute().unwrap();
        assert_eq!((attribute.class(), T::from_attribute(&attribute).as_ref()), (class, Some(&value)));
        assert!(value.same(&value));
        let bodies = usize::from(class == "a graph");
        assert_eq!([value.body().into_iter().count(), value.body_mut().into_iter().count()], [bodies; 2], "{class}");
        for ([other, _], of, _) in kinds() {
            assert_eq!(T::from_attribute(&other).is_some(), of == class || others.contains(&of), "{class} from {of}");
        }
        assert_eq!(Option::<T>::from_attribute(&attribute), Some(Some(value)));
    }

    #[test]
    fn values_convert_to_attributes_and_back() {
        let text = Bytes::from_static(b"a");
        converts(2_i64, "an int", &[]);
        converts(0.5_f32, "a float", &[]);
        converts(text.clone(), "a string", &[]);
        converts(true, "a bool", &[]);
        converts(ElementType::I8, "an element type", &["an int"]);
        converts(vec![2_i64], "a list of ints", &[]);
        converts(vec![0.5_f32], "a list of floats", &[]);
        converts(vec![text], "a list of strings", &[]);
        converts(Tensor::indices(&[1]), "a tensor", &[]);
        converts(ValueType::Unknown, "a type", &[]);
        converts(Arc::new(Graph::new("body")), "a graph", &[]);
        for (number, expected) in [(0, Some(false)), (1, Some(true)), (2, None)] {
            assert_eq!(bool::from_attribute(&Attribute::Int(number)), expected);
        }
        let element = Option::<ElementType>::from_attribute;
        assert_eq!(
            (element(&Attribute::Int(0)), element(&Attribute::Int(1))),
            (Some(None), Some(Some(ElementType::F32)))
        );
        assert_eq!(
            (Option::<i64>::from_attribute(&Attribute::Int(0)), None::<i64>.to_attribute()),
            (Some(Some(0)), None)
        );
    }
}
