//! Patterns of operators that rules search for, in the words of the text form.
//!
//! ```
//! use netwright_passes::pattern::{any, mul, scalar, softmax};
//! let (x, c) = (any("x"), scalar("c"));
//! let pattern = softmax(mul(x, c).single_use());
//! assert_eq!(pattern.to_string(), "softmax(mul(?x, #c))");
//! ```
//! A pattern says which operators are applied to which operands; the rewrite checks attributes. Operands of operators
//! that [commute](OpKind::commutes) match in both orders. A variable that occurs twice matches the same value twice.

use netwright_ir::{Dim, Graph, NodeId, OpKind, Tensor, Value};
use smallvec::{SmallVec, smallvec};
use std::fmt;
use std::ops::Index;

/// A variable for any value: `?x`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Any(&'static str);

/// A variable for a float constant of one element: `#c`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Scalar(&'static str);

/// A variable for a parameter or constant: `$w`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Known(&'static str);

/// Creates a variable for any value.
pub fn any(name: &'static str) -> Any {
    Any(name)
}

/// Creates a variable for a float constant of one element.
pub fn scalar(name: &'static str) -> Scalar {
    Scalar(name)
}

/// Creates a variable for a parameter or constant.
pub fn known(name: &'static str) -> Known {
    Known(name)
}

impl Any {
    /// Matches only a value with the shape of the pattern's root, which other operands do not broadcast to a larger
    /// shape.
    ///
    /// This distinguishes the scores from the mask in `add(mul(?x, #c), ?m)`, in which both may be products.
    pub fn shaped_as_root(self) -> Pattern {
        Pattern { as_root: true, ..self.into() }
    }
}

/// A pattern of operators and variables.
#[derive(Clone, Debug)]
pub struct Pattern {
    form: Form,
    single_use: bool,
    as_root: bool,
}

#[derive(Clone, Debug)]
enum Form {
    Any(&'static str),
    Scalar(&'static str),
    Known(&'static str),
    /// An operator; `None` matches any operands.
    Op(OpKind, Option<Vec<Pattern>>),
}

impl From<Form> for Pattern {
    fn from(form: Form) -> Self {
        Self { form, single_use: false, as_root: false }
    }
}

impl From<Any> for Pattern {
    fn from(Any(name): Any) -> Self {
        Form::Any(name).into()
    }
}

impl From<Scalar> for Pattern {
    fn from(Scalar(name): Scalar) -> Self {
        Form::Scalar(name).into()
    }
}

impl From<Known> for Pattern {
    fn from(Known(name): Known) -> Self {
        Form::Known(name).into()
    }
}

/// Matches the result of an operator, whatever its operands.
pub fn op(kind: OpKind) -> Pattern {
    Form::Op(kind, None).into()
}

macro_rules! words {
    ($($word:ident($($operand:ident),*) = $kind:ident;)*) => {$(
        #[doc = concat!("Matches the result of `", stringify!($word), "`.")]
        pub fn $word($($operand: impl Into<Pattern>),*) -> Pattern {
            Form::Op(OpKind::$kind, Some(vec![$($operand.into()),*])).into()
        }
    )*};
}

words! {
    identity(x) = Identity;
    neg(x) = Neg;
    reciprocal(x) = Reciprocal;
    sqrt(x) = Sqrt;
    exp(x) = Exp;
    tanh(x) = Tanh;
    erf(x) = Erf;
    sigmoid(x) = Sigmoid;
    relu(x) = Relu;
    not(x) = Not;
    cast(x) = Cast;
    add(a, b) = Add;
    sub(a, b) = Sub;
    mul(a, b) = Mul;
    div(a, b) = Div;
    pow(a, b) = Pow;
    equal(a, b) = Equal;
    where_(condition, a, b) = Where;
    reshape(x, shape) = Reshape;
    transpose(x) = Transpose;
    unsqueeze(x, axes) = Unsqueeze;
    squeeze(x, axes) = Squeeze;
    expand(x, shape) = Expand;
    gather(table, indices) = Gather;
    matmul(a, b) = MatMul;
    softmax(x) = Softmax;
    reduce_mean(x, axes) = ReduceMean;
}

/// A match of a pattern: its root and the values of its variables.
#[derive(Clone, Debug)]
pub struct Match {
    root: Value,
    values: SmallVec<[(&'static str, Value); 4]>,
    scalars: SmallVec<[(&'static str, f64); 1]>,
}

impl Match {
    /// Returns the first result of the node at the pattern's root.
    pub fn root(&self) -> Value {
        self.root
    }

    /// Returns the element of a scalar.
    ///
    /// # Panics
    /// If the variable does not occur in the pattern.
    pub fn scalar(&self, variable: Scalar) -> f64 {
        *lookup(&self.scalars, variable.0)
    }

    /// Binds a variable. `None` if it is already bound to another value.
    fn bind(&mut self, name: &'static str, value: Value) -> Option<()> {
        if let Some((_, bound)) = self.values.iter().find(|(bound, _)| *bound == name) {
            return (*bound == value).then_some(());
        }
        self.values.push((name, value));
        Some(())
    }
}

fn lookup<'f, T>(bound: &'f [(&'static str, T)], name: &str) -> &'f T {
    let found = bound.iter().find(|(bound, _)| *bound == name);
    &found.unwrap_or_else(|| panic!("the variable `{name}` does not occur in the pattern")).1
}

macro_rules! index {
    ($($variable:ident),*) => {$(
        impl Index<$variable> for Match {
            type Output = Value;

            /// Returns the value of the variable. Panics if it does not occur in the pattern.
            fn index(&self, variable: $variable) -> &Value {
                lookup(&self.values, variable.0)
            }
        }
    )*};
}

index!(Any, Scalar, Known);

/// All matches of a pattern at a node.
#[derive(Debug, Default)]
pub struct Matches {
    /// The matches, in the order of the operands.
    pub found: SmallVec<[Match; 1]>,
    /// A value that prevents another match only because it has several uses.
    pub shared: Option<Value>,
}

impl Pattern {
    /// Matches only a value with a single use that is not a result of the graph, so that a rewrite may remove it.
    pub fn single_use(self) -> Self {
        Self { single_use: true, ..self }
    }

    /// Whether the pattern may match a node of a kind.
    pub fn may_match(&self, kind: OpKind) -> bool {
        match self.form {
            Form::Op(expected, _) => kind == expected,
            Form::Known(_) | Form::Scalar(_) => matches!(kind, OpKind::Constant | OpKind::Parameter),
            Form::Any(_) => true,
        }
    }

    /// Whether the pattern may match in a graph that has only these kinds of operators.
    pub(crate) fn may_occur(&self, kinds: &[OpKind]) -> bool {
        let operands = if let Form::Op(_, Some(operands)) = &self.form { &operands[..] } else { &[] };
        kinds.iter().any(|kind| self.may_match(*kind)) && operands.iter().all(|operand| operand.may_occur(kinds))
    }

    /// Returns the matches whose root is a node.
    pub fn matches(&self, graph: &Graph, root: NodeId) -> Matches {
        let mut matches = Matches::default();
        let root = Value { node: root, result: 0 };
        let found = Match { root, values: smallvec![], scalars: smallvec![] };
        if let Self { form: Form::Op(kind, None), single_use: false, .. } = self {
            matches.found.extend(Some(found).filter(|_| graph.kind(root) == *kind));
            return matches;
        }
        search(graph, smallvec![(self, root)], found, None, &mut matches);
        matches
    }
}

/// Matches the open pairs of pattern and value, trying both orders of operands that commute. It recurses at most to the
/// pattern's depth.
fn search(
    graph: &Graph,
    mut open: SmallVec<[(&Pattern, Value); 4]>,
    mut found: Match,
    mut shared: Option<Value>,
    matches: &mut Matches,
) -> Option<()> {
    while let Some((pattern, value)) = open.pop() {
        if pattern.single_use && graph.use_count(value) != 1 {
            shared = shared.or(Some(value));
        }
        if pattern.as_root && widens(graph, value, found.root) {
            return None;
        }
        match &pattern.form {
            Form::Any(name) => found.bind(name, value)?,
            Form::Known(name) => {
                graph.tensor(value)?;
                found.bind(name, value)?;
            }
            Form::Scalar(name) => {
                let element = graph.tensor(value).and_then(Tensor::float)?;
                found.bind(name, value)?;
                found.scalars.push((name, element));
            }
            Form::Op(kind, patterns) => {
                if graph.kind(value) != *kind || value.result != 0 {
                    return None;
                }
                let Some(patterns) = patterns else { continue };
                let operands: SmallVec<[Value; 4]> = graph.operands(value.node).into_iter().collect::<Option<_>>()?;
                match (patterns.as_slice(), operands.as_slice()) {
                    ([p, q], [a, b]) if kind.commutes() => {
                        let mut straight = open.clone();
                        straight.extend([(q, *b), (p, *a)]);
                        search(graph, straight, found.clone(), shared, matches);
                        open.extend([(q, *a), (p, *b)]);
                    }
                    _ if patterns.len() == operands.len() => open.extend(patterns.iter().zip(operands)),
                    _ => return None,
                }
            }
        }
    }
    match shared {
        None => matches.found.push(found),
        Some(value) => matches.shared = matches.shared.or(Some(value)),
    }
    Some(())
}

/// Whether the shape of `from` differs from that of `to`, to which it is broadcast, or a rank is unknown.
fn widens(graph: &Graph, from: Value, to: Value) -> bool {
    let (Some(from), Some(to)) = (graph.shape(from), graph.shape(to)) else { return true };
    let one = Dim::Known(1);
    from.len() != to.len() || from.iter().zip(to).any(|(from, to)| *from == one && *to != one)
}

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.form {
            Form::Any(name) => write!(f, "?{name}"),
            Form::Scalar(name) => write!(f, "#{name}"),
            Form::Known(name) => write!(f, "${name}"),
            Form::Op(kind, None) => write!(f, "{}(..)", kind.word()),
            Form::Op(kind, Some(operands)) => {
                write!(f, "{}(", kind.word())?;
                for (at, operand) in operands.iter().enumerate() {
                    write!(f, "{}{operand}", if at == 0 { "" } else { ", " })?;
                }
                f.write_str(")")
            }
        }
    }
}
