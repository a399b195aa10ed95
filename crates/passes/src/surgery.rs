//! Surgery: changes a model on request, where a pass keeps what it computes.
//!
//! [`fix_dims`] writes sizes for symbols. [`rename_inputs`], [`rename_outputs`] and [`rename_dims`] rename.
//! [`set_outputs`] and [`add_outputs`] choose the outputs, [`extract`] cuts a part out, [`split`] cuts a model into a
//! chain of parts, [`merge`] connects models, [`merge_branches`] joins two as the branches of an `If`, and
//! [`choose_branch`] undoes that. [`unroll_cache`] connects the steps of a decoder. [`strip`] removes what no runtime
//! needs. Weights are never read, except to compare two of one name that are to become one.
//!
//! On error a model that is changed in place may be partly changed; discard it.
//!
//! ```
//! use netwright_ir::{Model, parse};
//! use netwright_passes::surgery::{extract, merge};
//!
//! let graph = parse("
//! g(%x: f32[n], %y: f32[n]) {
//!   %a = exp %x : f32[n]
//!   %b = mul %a, %y : f32[n]
//!   %c = tanh %b : f32[n]
//!   return %c
//! }")?;
//! let model = Model::new(graph);
//! let [front, back] = [(&["x", "y"][..], ["b"]), (&["b"], ["c"])].map(|(from, to)| extract(&model, Some(from), Some(&to)));
//! let (front, back) = (front?, back?);
//! assert_eq!(back.graph.to_string(), "\
//! g(%b: f32[n]) {
//!   %c = tanh %b : f32[n]
//!   return %c
//! }
//! ");
//! assert_eq!(merge(&[front, back], &[], None)?.model.graph.to_string(), model.graph.to_string());
//! let error = extract(&model, Some(&["a"]), Some(&["b"])).expect_err("`y` is not given");
//! assert_eq!(error.to_string(), "the output \"b\" depends on an input that is cut off:
//!   \"y\" -> \"b\" (mul)
//!   help: add \"y\" to the values that become inputs (--from)");
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

use netwright_ir::cost;
use netwright_ir::files::Code;
use netwright_ir::nearest::{listed, suggestion};
use netwright_ir::{Graph, HashMap, Model, Value, ValueType};

mod branches;
mod choose;
mod copy;
mod dims;
mod extract;
mod merge;
mod names;
mod outputs;
mod split;
mod steps;
mod strip;

pub use branches::merge_branches;
pub use choose::{branch_input, choose_branch};
pub use dims::{fix_dims, rename_dims, symbols};
pub use extract::extract;
pub use merge::{Merged, merge};
pub use names::{rename_inputs, rename_outputs};
pub use outputs::{add_outputs, set_outputs};
pub use split::{Cut, Moved, Plan, Split, split};
pub use steps::{Unrolled, unroll_cache};
pub use strip::strip;

/// Why a model cannot be changed as requested.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SurgeryError {
    /// A name that the model does not have.
    #[error("{name:?} is not {what} of the model\n  help: {help}")]
    Unknown {
        /// What the name should be, with an article.
        what: &'static str,
        /// The name.
        name: String,
        /// The name that is likely meant, or all names, or the nearest of many.
        help: String,
    },
    /// A value in a body, which the graph around it cannot read.
    #[error(
        "{name:?} is computed in a body of the node {node}, which may run any number of times, so nothing outside can \
         read it\n  help: choose a value of the graph around the node, such as its result {node}"
    )]
    InBody {
        /// The name of the value.
        name: String,
        /// The first result of the node with the body.
        node: String,
    },
    /// A name that something else has.
    #[error("the name {name:?} is taken by {by}\n  help: choose another name")]
    Taken {
        /// The new name.
        name: String,
        /// What has it.
        by: &'static str,
    },
    /// A name that is given twice.
    #[error("{name:?} is given twice\n  help: leave out one of them")]
    Twice {
        /// The name.
        name: String,
    },
    /// No output was named.
    #[error("a model needs at least one output\n  help: name one")]
    NoOutput,
    /// A value that would become an input or an output, but whose type is unknown.
    #[error(
        "the type of {name:?} is unknown, but a file must declare the types of inputs and outputs\n  help: choose a \
         value before or after it"
    )]
    Untyped {
        /// The name of the value.
        name: String,
    },
    /// An output that depends on inputs that are cut off.
    #[error(
        "the output {output:?} depends on {}cut off:\n  {path}\n  help: add {} to the values that become inputs (--from)",
        if inputs.len() > 1 { "inputs that are " } else { "an input that is " },
        quoted(inputs)
    )]
    CutOff {
        /// The output.
        output: String,
        /// All inputs that are cut off; this output depends on the first.
        inputs: Vec<String>,
        /// The nodes from the first input to the output.
        path: String,
    },
    /// A value that should become an input, but that no output depends on.
    #[error("no output depends on {name:?}, which is to become an input\n  help: leave it out")]
    NotRead {
        /// The name of the value.
        name: String,
    },
    /// A size that contradicts the model.
    #[error("{sizes} contradicts the model: {what}")]
    Contradiction {
        /// The sizes.
        sizes: String,
        /// What they contradict, where, and what to do.
        what: String,
    },
    /// A size that depends on its own symbol.
    #[error("the size of `{symbol}` is defined by itself\n  help: give it a number")]
    Circular {
        /// The symbol.
        symbol: String,
    },
    /// A negative size.
    #[error("the size of `{symbol}` is {size}, but must be 0 or more\n  help: choose another size")]
    Negative {
        /// The symbol.
        symbol: String,
        /// The size.
        size: i64,
    },
    /// A model with training steps.
    #[error(
        "the model has training steps, which read values of its graph by name\n  help: remove the training steps first"
    )]
    Training,
    /// A cut after which or before which nothing is left.
    #[error("{0}")]
    Cut(String),
    /// Models that cannot be connected.
    #[error("{0}")]
    Merge(String),
    /// A decoder and its form with a KV cache that cannot be compared in steps.
    #[error("{0}")]
    Steps(String),
    /// A model without branches that an input selects.
    #[error("{0}")]
    Branches(String),
}

fn quoted(names: &[String]) -> String {
    names.iter().map(|name| format!("{name:?}")).collect::<Vec<_>>().join(", ")
}

impl SurgeryError {
    /// Returns the code of this kind of error.
    pub fn code(&self) -> Code {
        match self {
            Self::Unknown { .. } => Code::NameUnknown,
            Self::InBody { .. } => Code::InBody,
            Self::Taken { .. } => Code::NameTaken,
            Self::Twice { .. } => Code::NameTwice,
            Self::NoOutput => Code::NoOutput,
            Self::Untyped { .. } => Code::ValueUntyped,
            Self::CutOff { .. } => Code::CutOff,
            Self::NotRead { .. } => Code::InputNotRead,
            Self::Contradiction { .. } => Code::SizeContradiction,
            Self::Circular { .. } => Code::SizeCircular,
            Self::Negative { .. } => Code::SizeNegative,
            Self::Training => Code::Training,
            Self::Cut(_) => Code::CutEmpty,
            Self::Merge(_) => Code::Unmerged,
            Self::Steps(_) => Code::NoSteps,
            Self::Branches(_) => Code::NoBranches,
        }
    }
}

/// Refuses a model with training steps, which refer to values of the graph by name.
fn expect_no_training(model: &Model) -> Result<(), SurgeryError> {
    if model.training.is_empty() { Ok(()) } else { Err(SurgeryError::Training) }
}

/// Refuses a name that is given twice.
fn expect_once<'n>(names: impl IntoIterator<Item = &'n str>) -> Result<(), SurgeryError> {
    let mut seen = netwright_ir::HashSet::default();
    match names.into_iter().find(|name| !seen.insert(*name)) {
        Some(name) => Err(SurgeryError::Twice { name: name.to_owned() }),
        None => Ok(()),
    }
}

/// The values of a graph by the names that a file gives them.
struct ValuesByName<'g> {
    graph: &'g Graph,
    values: HashMap<&'g str, Value>,
}

impl<'g> ValuesByName<'g> {
    fn new(graph: &'g Graph) -> Self {
        let all = graph.schedule().into_iter().flat_map(|id| graph.results(id));
        let mut values: HashMap<&str, Value> = all.map(|value| (&**graph.value_name(value), value)).collect();
        // The name of an output is that of its value in the file.
        values.extend(graph.outputs().iter().map(|output| (&*output.name, output.value)));
        Self { graph, values }
    }

    fn find(&self, name: &str) -> Result<Value, SurgeryError> {
        if let Some(value) = self.values.get(name) {
            return Ok(*value);
        }
        let nodes = self.graph.schedule();
        let inside = nodes.into_iter().find(|id| self.graph.node(*id).op().bodies().iter().any(|body| has(body, name)));
        if let Some(id) = inside {
            let node = self.graph.results(id).next().map(|value| format!("{:?}", self.graph.value_name(value)));
            return Err(SurgeryError::InBody { name: name.to_owned(), node: node.unwrap_or_default() });
        }
        let computed = self.graph.schedule().into_iter().flat_map(|id| {
            let operator = cost::name(self.graph.node(id).op());
            self.graph.results(id).map(move |value| (operator.clone(), &**self.graph.value_name(value)))
        });
        if let Some(help) = suggestion_for_operator(name, computed) {
            return Err(SurgeryError::Unknown { what: "a value", name: name.to_owned(), help });
        }
        let mut known: Vec<&str> = self.values.keys().copied().collect();
        known.sort_unstable();
        Err(unknown("a value", name, &known))
    }

    fn find_all(&self, names: &[&str]) -> Result<Vec<Value>, SurgeryError> {
        expect_once(names.iter().copied())?;
        names.iter().map(|name| self.find(name)).collect()
    }
}

/// Whether a body, or a body in it, has a value of this name.
fn has(body: &Graph, name: &str) -> bool {
    body.schedule().into_iter().any(|id| {
        body.results(id).any(|value| **body.value_name(value) == *name)
            || body.node(id).op().bodies().iter().any(|inner| has(inner, name))
    })
}

/// Returns help for a name that is that of an operator, in letters of either case and with or without its domain: the
/// names of what has it, of pairs of an operator and a name; `None` if nothing does.
pub fn suggestion_for_operator<'n>(word: &str, all: impl IntoIterator<Item = (String, &'n str)>) -> Option<String> {
    let is_meant = |operator: &str| {
        let alone = operator.rsplit("::").next().unwrap_or(operator);
        [operator, alone].iter().any(|name| name.eq_ignore_ascii_case(word))
    };
    let found: Vec<(String, &str)> = all.into_iter().filter(|(operator, _)| is_meant(operator)).collect();
    let (operator, _) = found.first()?;
    let names: Vec<&str> = found.iter().map(|(_, name)| *name).collect();
    Some(format!("{operator} is an operator; choose from {}", listed(&names)))
}

/// Returns the error of a name that is not one of the known ones.
fn unknown(what: &'static str, name: &str, known: &[&str]) -> SurgeryError {
    SurgeryError::Unknown { what, name: name.to_owned(), help: suggestion(name, known) }
}

/// Returns the type of a value that becomes an input or an output; an error if it is unknown.
fn interface_type(graph: &Graph, value: Value, name: &str) -> Result<ValueType, SurgeryError> {
    match graph.written_type(value).into_owned() {
        ValueType::Unknown => Err(SurgeryError::Untyped { name: name.to_owned() }),
        ty => Ok(ty),
    }
}
