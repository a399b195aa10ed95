//! The float type that a caller requests, for a model and for its inputs and outputs.

use netwright_ir::files::Code;
use netwright_ir::{ElementType, Graph, Name, Op, Value};
use regex::Regex;
use std::collections::BTreeMap;

/// The float type in which a model computes.
///
/// Inputs and outputs keep their types unless [`Precision::with_io_type`] or [`Precision::with_io_type_of`] says
/// otherwise.
///
/// ```
/// use netwright_ir::ElementType;
/// use netwright_passes::{Options, Precision, Target};
/// let precision = Precision::new(ElementType::F16)?
///     .with_io_type_of("^(past|present)", ElementType::F16)?
///     .with_kept_f32("lm_head")?;
/// let options = Options::for_target(Target::ORT).with_precision(precision);
/// # Ok::<(), netwright_passes::PrecisionError>(())
/// ```
#[derive(Clone, Debug)]
pub struct Precision {
    pub(super) to: ElementType,
    /// The types of inputs and outputs whose name matches; the last match decides, and without a pattern all match.
    pub(super) io: Vec<(Option<Regex>, ElementType)>,
    pub(super) keep: Vec<Regex>,
    /// The largest magnitudes of values that were measured.
    pub(super) ranges: BTreeMap<Name, f64>,
    /// Whether all elements of a large weight are read before it is converted, so that nodes that read a number outside the
    /// range of the type stay in `f32`. Otherwise such a number is an error when the model is written, which
    /// `WriteError::is_of_conversion` recognizes, and weights are read once.
    pub is_checked: bool,
    allows_unmatched: bool,
}

/// The first opset whose operators have bf16.
const BF16_SINCE: i64 = 13;

/// Why a precision cannot be requested.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PrecisionError {
    /// A type that models are not converted to.
    #[error("models are not converted to {0}\n  help: choose f32, f16 or bf16")]
    Element(ElementType),
    /// A type that no operator has at the opset of the model.
    #[error(
        "{element} requires opset {BF16_SINCE}, but the model has opset {opset}, whose Cast does not have the type\n  \
         help: pass --opset {BF16_SINCE}, or choose f16"
    )]
    Opset {
        /// The type.
        element: ElementType,
        /// The opset.
        opset: i64,
    },
    /// A pattern that is not a regular expression.
    #[error("`{pattern}` is not a regular expression: {cause}\n  help: write a special character such as `(` as `\\(`")]
    Pattern {
        /// The pattern.
        pattern: String,
        /// What is wrong with it.
        cause: String,
    },
    /// A pattern for inputs and outputs that matches none.
    #[error("`{pattern}` matches no float input or output\n  help: match one of {}", list(ports))]
    NoPort {
        /// The pattern.
        pattern: String,
        /// The names of the inputs and outputs of type `f32`, `f16` or `bf16`.
        ports: Vec<String>,
    },
    /// A pattern for what stays in `f32` that matches nothing.
    #[error(
        "`{0}` matches no node, value or weight\n  help: correct the pattern; `netwright inspect --text` prints the names"
    )]
    NoNode(String),
}

impl PrecisionError {
    /// Returns the code of this kind of error.
    pub fn code(&self) -> Code {
        match self {
            Self::Element(_) | Self::Opset { .. } => Code::Unconverted,
            Self::Pattern { .. } => Code::Pattern,
            Self::NoPort { .. } => Code::PatternOfPort,
            Self::NoNode(_) => Code::PatternOfNode,
        }
    }
}

/// The most names that an error lists.
const MAX_LISTED: usize = 8;

fn list(names: &[String]) -> String {
    let more = if names.len() > MAX_LISTED { ", …" } else { "" };
    names[..names.len().min(MAX_LISTED)].join(", ") + more
}

/// Whether a type is one that [`Precision`] converts.
pub(super) fn is_converted(element: ElementType) -> bool {
    matches!(element, ElementType::F32 | ElementType::F16 | ElementType::BF16)
}

impl Precision {
    /// Creates the precision of a model that computes in `f32`, `f16` or `bf16`.
    ///
    /// # Errors
    /// If the type is another one.
    pub fn new(to: ElementType) -> Result<Self, PrecisionError> {
        expect_converted(to)?;
        Ok(Self { to, io: vec![], keep: vec![], ranges: BTreeMap::new(), is_checked: true, allows_unmatched: false })
    }

    /// Gives all float inputs and outputs this type.
    ///
    /// # Errors
    /// If the type is not `f32`, `f16` or `bf16`.
    pub fn with_io_type(mut self, element: ElementType) -> Result<Self, PrecisionError> {
        expect_converted(element)?;
        self.io.push((None, element));
        Ok(self)
    }

    /// Gives float inputs and outputs this type if the regular expression matches a part of their name. The last call
    /// that fits an input or output decides.
    ///
    /// # Errors
    /// If the type is not `f32`, `f16` or `bf16`, or the pattern is not a regular expression.
    pub fn with_io_type_of(mut self, pattern: &str, element: ElementType) -> Result<Self, PrecisionError> {
        expect_converted(element)?;
        self.io.push((Some(regex(pattern)?), element));
        Ok(self)
    }

    /// Keeps in `f32` what the regular expression matches a part of the name of: nodes, the nodes that compute a value,
    /// and the nodes that read a weight.
    ///
    /// # Errors
    /// If the pattern is not a regular expression.
    pub fn with_kept_f32(mut self, pattern: &str) -> Result<Self, PrecisionError> {
        self.keep.push(regex(pattern)?);
        Ok(self)
    }

    /// Keeps in `f32` the nodes with an operand or result whose largest magnitude is more than half of what the type holds.
    /// The magnitudes are those of the values that [`calibrated`](crate::calibrated) names.
    pub fn with_ranges(mut self, ranges: BTreeMap<Name, f64>) -> Self {
        self.ranges = ranges;
        self
    }

    /// Returns the measured magnitude of a value if it is near the end of the range or beyond.
    pub(super) fn reach(&self, name: &Name) -> Option<f64> {
        self.ranges.get(name).copied().filter(|reach| self.is_near_end(*reach))
    }

    /// Whether the requested type does not hold twice a number.
    pub(crate) fn is_near_end(&self, number: f64) -> bool {
        number.is_finite() && self.to.round(2.0 * number).is_some_and(f64::is_infinite)
    }

    /// Returns the requested type of an input or output.
    pub(super) fn io_type(&self, name: &str) -> Option<ElementType> {
        let matches = |pattern: &Option<Regex>| pattern.as_ref().is_none_or(|pattern| pattern.is_match(name));
        self.io.iter().rev().find(|(pattern, _)| matches(pattern)).map(|(_, element)| *element)
    }

    /// Returns the patterns of what stays in `f32` that match nothing in the graph.
    pub(crate) fn unmatched_keeps(&self, graph: &Graph) -> Vec<String> {
        let unmatched = self.keep.iter().filter(|pattern| !matches_name(graph, pattern));
        unmatched.map(ToString::to_string).collect()
    }

    /// Returns the patterns of what stays in `f32` that match one of the names.
    pub(super) fn keepers(&self, names: &[&str]) -> impl Iterator<Item = &str> {
        let matching = self.keep.iter().filter(|pattern| names.iter().any(|name| pattern.is_match(name)));
        matching.map(Regex::as_str)
    }

    /// Allows patterns that match nothing, for a model that is one of several; see [`unmatched`](Self::unmatched).
    pub fn with_unmatched_patterns(mut self, allowed: bool) -> Self {
        self.allows_unmatched = allowed;
        self
    }

    /// Returns an error for each pattern that matches nothing in the graph.
    pub fn unmatched(&self, graph: &Graph) -> Vec<PrecisionError> {
        let keeps = self.unmatched_keeps(graph).into_iter().map(PrecisionError::NoNode);
        self.unmatched_ports(graph).into_iter().chain(keeps).collect()
    }

    fn unmatched_ports(&self, graph: &Graph) -> Vec<PrecisionError> {
        let is_float = |value: Value| graph.fact(value).element().is_some_and(is_converted);
        let inputs = graph.inputs().filter(|input| is_float(*input)).map(|input| graph.value_name(input));
        let outputs = graph.outputs().iter().filter(|output| is_float(output.value)).map(|output| &output.name);
        let ports: Vec<String> = inputs.chain(outputs).map(ToString::to_string).collect();
        let io = self.io.iter().filter_map(|(pattern, _)| pattern.as_ref());
        let io = io.filter(|pattern| !ports.iter().any(|name| pattern.is_match(name)));
        io.map(|pattern| PrecisionError::NoPort { pattern: pattern.to_string(), ports: ports.clone() }).collect()
    }

    /// Returns the first opset that has all requested types.
    pub fn since(&self) -> i64 {
        let mut requested = self.io.iter().map(|(_, element)| *element).chain([self.to]);
        if requested.any(|element| element == ElementType::BF16) { BF16_SINCE } else { 1 }
    }

    /// Checks that an opset has all requested types.
    ///
    /// # Errors
    /// If it is older.
    pub(crate) fn expect_opset(&self, opset: i64) -> Result<(), PrecisionError> {
        if opset >= self.since() { Ok(()) } else { Err(PrecisionError::Opset { element: ElementType::BF16, opset }) }
    }

    /// Checks that every pattern of what stays in `f32` matches something in the graph, unless that is allowed.
    ///
    /// # Errors
    /// If a pattern matches nothing.
    pub(crate) fn expect_kept(&self, graph: &Graph) -> Result<(), PrecisionError> {
        let unmatched = if self.allows_unmatched { vec![] } else { self.unmatched_keeps(graph) };
        unmatched.into_iter().next().map_or(Ok(()), |pattern| Err(PrecisionError::NoNode(pattern)))
    }

    /// Checks that every pattern for inputs and outputs matches one of the graph, unless that is allowed.
    ///
    /// # Errors
    /// If a pattern matches none.
    pub(crate) fn expect_ports(&self, graph: &Graph) -> Result<(), PrecisionError> {
        let unmatched = if self.allows_unmatched { vec![] } else { self.unmatched_ports(graph) };
        unmatched.into_iter().next().map_or(Ok(()), Err)
    }
}

/// Whether a pattern matches the name of a node or a value, in the graph or in a body.
fn matches_name(graph: &Graph, pattern: &Regex) -> bool {
    graph.schedule().into_iter().any(|id| {
        let node = graph.node(id);
        !matches!(node.op(), Op::Input | Op::Captured)
            && (pattern.is_match(node.label())
                || graph.results(id).any(|value| pattern.is_match(graph.value_name(value)))
                || node.op().bodies().into_iter().any(|body| matches_name(body, pattern)))
    })
}

fn expect_converted(element: ElementType) -> Result<(), PrecisionError> {
    if is_converted(element) { Ok(()) } else { Err(PrecisionError::Element(element)) }
}

fn regex(pattern: &str) -> Result<Regex, PrecisionError> {
    Regex::new(pattern).map_err(|error| {
        // The last line says what is wrong; those before it draw the pattern.
        let text = error.to_string();
        let cause = text.lines().last().unwrap_or_default().trim_start_matches("error: ").to_owned();
        PrecisionError::Pattern { pattern: pattern.to_owned(), cause }
    })
}
