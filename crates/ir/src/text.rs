//! The text form of a graph, as printed and parsed, and shown in snapshots, errors and docs.
//!
//! ```text
//! encoder(%x: f32[batch, seq, 512], %mask: f32[batch, 1, 1, seq]) {
//!   %w = parameter uniform(seed = 3, bound = 0.05) : f32[512, 512]
//!   %q = matmul %x, %w : f32[batch, seq, 512]
//!   %probs = scaled_softmax %q, _ {axis = -1, scale = 0.125} : f32[batch, seq, 512]
//!   return %probs, last = %q
//! }
//! ```
//! Values have names. Small constants are written where they are used (`0.5`, `[0, 0, 8, 64]`, `i32[] 3`) and have no
//! name. A type of `?` is unknown or left to inference. `_` is an absent operand. A quoted operator is opaque, written
//! with its version: `"domain::Type@1"`. A node's own name follows the operator unless it is that of its first result:
//! `@"label"`. An input that the caller may omit is followed by its default: `%x: f32[2] = [0.5, 1.0]`.
//!
//! A body is an attribute; after its inputs and a semicolon come the values that it captures from the graph around it:
//! ```text
//!   %y = if %cond {then_branch = graph then(; %b: f32[2] = %a) {
//!     return y = %b
//!   }, else_branch = graph else() {
//!     return y = [0.0, 0.0]
//!   }} : f32[2]
//! ```
//! The metadata of a file (notes, quantization annotations) is not printed.

use crate::attribute::Attribute;
use crate::tensor::{
    BlockFormat, Data, Distribution, GgmlPart, QuantizedPart, Recipe, Rounding, SparseTensor, Wave, widened,
};
use crate::{ElementType, Graph, NodeId, Op, Tensor, Value};
use std::fmt::{self, Write};

mod parse;

pub use parse::{ParseError, parse, parse_with_files};

/// How long tensors are printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Detail {
    /// In full: the text parses back to the same graph.
    Full,
    /// A hash instead of more than 16 elements, for people to read.
    Elided,
}

/// The maximum number of elements of a constant that is written where it is used.
const INLINE: u64 = 8;

impl fmt::Display for Graph {
    /// Prints the text form with long tensors elided; [`Graph::to_text`] prints them in full.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        Printer { detail: Detail::Elided, depth: 0 }.graph(self, &[], f)?;
        f.write_str("\n")
    }
}

impl PartialEq for Graph {
    /// Whether both print the same text in full.
    fn eq(&self, other: &Self) -> bool {
        self.to_text(Detail::Full) == other.to_text(Detail::Full)
    }
}

impl Graph {
    /// Returns the text form.
    pub fn to_text(&self, detail: Detail) -> String {
        let mut text = String::new();
        // Writing to a string does not fail.
        let _ = Printer { detail, depth: 0 }.graph(self, &[], &mut text);
        text.push('\n');
        text
    }

    /// Returns a value as it is printed as an operand: its name, or the constant itself.
    pub fn operand_text(&self, value: Value) -> String {
        match inline(self, value) {
            Some(tensor) => literal(tensor),
            None => name(self.value_name(value)),
        }
    }

    /// Returns the line of a node, without indentation.
    pub fn node_text(&self, id: NodeId) -> String {
        let mut text = String::new();
        let _ = Printer { detail: Detail::Elided, depth: 0 }.node(self, id, &mut text);
        text
    }
}

/// Prints graphs and their bodies.
#[derive(Clone, Copy)]
struct Printer {
    detail: Detail,
    /// The depth of nested bodies, which is bounded.
    depth: usize,
}

impl Printer {
    /// Prints a graph; `outer` are the values that it captures, as the graph around it prints them.
    fn graph(self, graph: &Graph, outer: &[String], f: &mut impl Write) -> fmt::Result {
        let margin = "  ".repeat(self.depth);
        f.write_str(&bare_or_quoted(graph.name()))?;
        f.write_str("(")?;
        for (at, input) in graph.inputs().enumerate() {
            let comma = if at == 0 { "" } else { ", " };
            write!(f, "{comma}{}: {}", name(graph.value_name(input)), graph.fact(input))?;
            if let Some(default) = graph.default_of(input) {
                write!(f, " = {}", data(default, self.detail))?;
            }
        }
        for (at, capture) in graph.captures().enumerate() {
            let comma = if at == 0 { "; " } else { ", " };
            write!(f, "{comma}{}: {}", name(graph.value_name(capture)), graph.fact(capture))?;
            if let Some(outer) = outer.get(at) {
                write!(f, " = {outer}")?;
            }
        }
        f.write_str(") {\n")?;
        for id in graph.schedule() {
            let hidden = match graph.node(id).op() {
                Op::Input | Op::Captured => true,
                Op::Constant(_) => inline(graph, Value { node: id, result: 0 }).is_some(),
                _ => false,
            };
            if !hidden {
                write!(f, "{margin}  ")?;
                self.node(graph, id, f)?;
                f.write_str("\n")?;
            }
        }
        write!(f, "{margin}  return")?;
        for (at, output) in graph.outputs().iter().enumerate() {
            f.write_str(if at == 0 { " " } else { ", " })?;
            let operand = graph.operand_text(output.value);
            let same = name(&output.name) == operand;
            if !same {
                write!(f, "{} = ", bare_or_quoted(&output.name))?;
            }
            f.write_str(&operand)?;
        }
        write!(f, "\n{margin}}}")
    }

    fn node(self, graph: &Graph, id: NodeId, f: &mut impl Write) -> fmt::Result {
        let node = graph.node(id);
        for (at, result) in graph.results(id).enumerate() {
            write!(f, "{}{}", if at == 0 { "" } else { ", " }, name(graph.value_name(result)))?;
        }
        f.write_str(" = ")?;
        match node.op() {
            Op::Opaque(opaque) => {
                let overload = if opaque.overload.is_empty() { String::new() } else { format!(":{}", opaque.overload) };
                let version = opaque.version;
                f.write_str(&quoted(&format!("{}::{}{overload}@{version}", opaque.domain, opaque.op_type)))?;
            }
            op => f.write_str(op.word())?,
        }
        let first = graph.results(id).next().map_or("", |result| &**graph.value_name(result));
        if !node.label().is_empty() && node.label() != first {
            write!(f, " @{}", quoted(node.label()))?;
        }
        match node.op() {
            Op::Parameter(held) | Op::Constant(held) => write!(f, " {}", data(held, self.detail))?,
            Op::SparseParameter(held) => write!(f, " {}", sparse(held, self.detail))?,
            _ => {}
        }
        let operands = graph.operands(id).into_iter();
        let operands =
            operands.map(|operand| operand.map_or_else(|| "_".to_owned(), |value| graph.operand_text(value)));
        let mut operands: Vec<String> = operands.collect();
        let own = operands.len().saturating_sub(node.op().capture_count());
        let mut captured = operands.split_off(own).into_iter();
        for (at, operand) in operands.into_iter().enumerate() {
            write!(f, "{}{operand}", if at == 0 { " " } else { ", " })?;
        }
        let attributes = node.op().attributes();
        for (at, (key, value)) in attributes.iter().enumerate() {
            write!(f, "{}{} = ", if at == 0 { " {" } else { ", " }, bare_or_quoted(key))?;
            if value.bodies().is_empty() {
                f.write_str(&attribute(value))?;
                continue;
            }
            let several = matches!(value, Attribute::Graphs(_));
            f.write_str(if several { "graphs[" } else { "graph " })?;
            for (at, body) in value.bodies().iter().enumerate() {
                f.write_str(if at == 0 { "" } else { ", " })?;
                let outer: Vec<String> = captured.by_ref().take(body.captures().len()).collect();
                Self { depth: self.depth + 1, ..self }.graph(body, &outer, f)?;
            }
            f.write_str(if several { "]" } else { "" })?;
        }
        if !attributes.is_empty() {
            f.write_str("}")?;
        }
        for (at, result) in graph.results(id).enumerate() {
            write!(f, "{}{}", if at == 0 { " : " } else { ", " }, graph.fact(result))?;
        }
        Ok(())
    }
}

/// Returns the constant that is written where the value is used, if it is one.
fn inline(graph: &Graph, value: Value) -> Option<&Tensor> {
    match graph.op(value) {
        Op::Constant(tensor) if tensor.count() <= INLINE && matches!(tensor.data(), Data::Bytes(_)) => Some(tensor),
        _ => None,
    }
}

/// Returns a constant as it is written where it is used.
fn literal(tensor: &Tensor) -> String {
    let elements = data(tensor, Detail::Full);
    let plain = match (tensor.element(), tensor.dims().len()) {
        (ElementType::I64, rank) => rank <= 1,
        (ElementType::F32, rank) => rank <= 1 && !elements.starts_with("hex") && !tensor.is_empty(),
        _ => false,
    };
    if plain { elements } else { format!("{} {elements}", tensor.ty()) }
}

impl fmt::Display for Tensor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&tensor(self, Detail::Elided))
    }
}

impl fmt::Display for Attribute {
    /// Prints the attribute as a node does, but only the name of a body.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&attribute(self))
    }
}

/// Returns a tensor with its type.
fn tensor(held: &Tensor, detail: Detail) -> String {
    format!("{} {}", held.ty(), data(held, detail))
}

/// Returns a tensor stored by its nonzero elements.
fn sparse(held: &SparseTensor, detail: Detail) -> String {
    format!("sparse({:?}, {}, {})", held.dims(), tensor(held.values(), detail), tensor(held.indices(), detail))
}

/// Returns the elements of a tensor: a list, one element for rank 0, or where they come from.
fn data(held: &Tensor, detail: Detail) -> String {
    match held.data() {
        Data::Bytes(bytes) if detail == Detail::Elided && held.count() > 16 => {
            format!("#{:016x}", crate::fingerprint(bytes.iter().copied()))
        }
        Data::Bytes(bytes) => match packed(held, bytes).or_else(|| elements(held.element(), bytes)) {
            Some(elements) if held.dims().is_empty() => elements.concat(),
            Some(elements) => format!("[{}]", elements.join(", ")),
            None => format!("hex({})", hex(bytes)),
        },
        Data::Strings(strings) => {
            let strings: Vec<_> = strings.iter().map(|text| quoted_bytes(text)).collect();
            format!("[{}]", strings.join(", "))
        }
        Data::File(range) => {
            let path = range.source().path().to_string_lossy();
            format!("file({}, {}, {})", quoted(&path), range.offset(), range.len())
        }
        Data::Recipe(recipe) => match recipe.as_ref() {
            Recipe::Fill(element) => match elements(held.element(), element) {
                Some(element) => format!("fill({})", element.concat()),
                None => format!("fill(hex({}))", hex(element)),
            },
            Recipe::Random { seed, distribution: Distribution::Uniform { bound } } => {
                format!("uniform(seed = {seed}, bound = {bound:?})")
            }
            Recipe::Sinusoidal(Wave::Interleaved) => "sinusoidal(interleaved)".to_owned(),
            Recipe::Sinusoidal(Wave::Halves) => "sinusoidal(halves)".to_owned(),
            Recipe::Sinusoidal(Wave::Grouped) => "sinusoidal(grouped)".to_owned(),
            Recipe::Scale { factor, of } => format!("scale({factor:?}, {})", tensor(of, detail)),
            Recipe::Cast(of) => format!("cast({})", tensor(of, detail)),
            Recipe::Transpose(of) => format!("transpose({})", tensor(of, detail)),
            Recipe::Reshape(of) => format!("reshape({})", tensor(of, detail)),
            Recipe::Concat(of) => {
                format!("concat({})", of.iter().map(|of| tensor(of, detail)).collect::<Vec<_>>().join(", "))
            }
            Recipe::Reinterpret(of) => format!("reinterpret({})", tensor(of, detail)),
            Recipe::Offset(of) => format!("offset({})", tensor(of, detail)),
            Recipe::Quantize { part, encoder } => {
                let part = match part {
                    QuantizedPart::Codes => "codes",
                    QuantizedPart::Scales => "scales",
                    QuantizedPart::Zeros => "zeros",
                };
                let rounding = match encoder.rounding {
                    Rounding::Nearest => "nearest",
                    Rounding::Search => "search",
                };
                let (format, scale, of) = (block_format(encoder.format), encoder.scale, tensor(&encoder.of, detail));
                let across = if encoder.across { "across, " } else { "" };
                format!("quantize({part}, {rounding}, {format}, {across}scale = {scale}, {of})")
            }
            Recipe::Dequantize(of) => {
                let parts: Vec<_> = recipe.tensors().map(|part| tensor(part, detail)).collect();
                format!("dequantize({}, {})", block_format(of.format()), parts.join(", "))
            }
            Recipe::Unpack { of, order, plus } => format!("unpack({order:?}, plus = {plus}, {})", tensor(of, detail)),
            Recipe::Tiles(of) => {
                let ([rows, columns], [of, scales]) = (of.tile, [&of.of, &of.scales].map(|of| tensor(of, detail)));
                format!("tiles(rows = {rows}, columns = {columns}, {of}, {scales})")
            }
            Recipe::Grouped(_) => {
                let parts: Vec<_> = recipe.tensors().map(|part| tensor(part, detail)).collect();
                format!("grouped({})", parts.join(", "))
            }
            Recipe::LowRank(sum) => {
                let parts: Vec<_> = recipe.tensors().map(|part| tensor(part, detail)).collect();
                format!("low_rank(scale = {:?}, {})", sum.scale, parts.join(", "))
            }
            Recipe::Ggml { of, format, part } => {
                let part = match part {
                    GgmlPart::Codes => "codes",
                    GgmlPart::Scales => "scales",
                    GgmlPart::Floats => "floats",
                };
                format!("ggml({}, {part}, {})", format.name(), tensor(of, detail))
            }
            Recipe::Rows { of, first } => format!("rows(first = {first}, {})", tensor(of, detail)),
            Recipe::Finite(of) => format!("finite({})", tensor(of, detail)),
            Recipe::Interleave { of, outer, inner } => {
                format!("interleave(outer = {outer}, inner = {inner}, {})", tensor(of, detail))
            }
        },
    }
}

/// Returns the format of a tensor quantized in blocks.
fn block_format(format: BlockFormat) -> String {
    let BlockFormat { bits, size, symmetric } = format;
    format!("bits = {bits}, size = {size}, {}", if symmetric { "symmetric" } else { "asymmetric" })
}

/// Returns integers of 2 or 4 bits in decimal, if that loses nothing.
fn packed(held: &Tensor, bytes: &[u8]) -> Option<Vec<String>> {
    let whole = held.cast(widened(held.element())?).ok()?;
    // The last byte may have bits that no element uses.
    let unused = bytes.len() as u64 * 8 - held.count() * u64::from(held.element().bits());
    let is_zero = bytes.last().is_none_or(|last| last.leading_zeros() >= u32::try_from(unused).unwrap_or(8));
    if is_zero { elements(whole.element(), &whole.to_bytes().ok()?) } else { None }
}

/// Returns the elements in decimal, if that loses nothing.
fn elements(element: ElementType, bytes: &[u8]) -> Option<Vec<String>> {
    macro_rules! decimal {
        ($type:ty) => {
            bytes
                .as_chunks::<{ size_of::<$type>() }>()
                .0
                .iter()
                .map(|raw| Some(<$type>::from_le_bytes(*raw).to_string()))
                .collect()
        };
    }
    macro_rules! float {
        ($type:ty) => {
            bytes
                .as_chunks::<{ size_of::<$type>() }>()
                .0
                .iter()
                .map(|raw| {
                    let value = <$type>::from_le_bytes(*raw);
                    // Every NaN prints the same, so a NaN other than the usual one has no decimal form.
                    (!value.is_nan() || value.to_bits() == <$type>::NAN.to_bits()).then(|| format!("{value:?}"))
                })
                .collect()
        };
    }
    match element {
        ElementType::F32 => float!(f32),
        ElementType::F64 => float!(f64),
        ElementType::U8 => decimal!(u8),
        ElementType::I8 => decimal!(i8),
        ElementType::U16 => decimal!(u16),
        ElementType::I16 => decimal!(i16),
        ElementType::U32 => decimal!(u32),
        ElementType::I32 => decimal!(i32),
        ElementType::U64 => decimal!(u64),
        ElementType::I64 => decimal!(i64),
        ElementType::Bool => bytes
            .iter()
            .map(|byte| match byte {
                0 => Some("false".to_owned()),
                1 => Some("true".to_owned()),
                _ => None,
            })
            .collect(),
        _ => None,
    }
}

/// Returns an attribute's value.
fn attribute(value: &Attribute) -> String {
    let list = |items: Vec<String>| format!("[{}]", items.join(", "));
    match value {
        Attribute::Int(value) => value.to_string(),
        Attribute::Float(value) => format!("{value:?}"),
        Attribute::Text(value) => quoted_bytes(value),
        Attribute::Bool(value) => value.to_string(),
        Attribute::Element(value) => value.to_string(),
        Attribute::Ints(values) => list(values.iter().map(i64::to_string).collect()),
        // The word distinguishes an empty list of floats from one of ints.
        Attribute::Floats(values) => {
            format!("floats{}", list(values.iter().map(|value| format!("{value:?}")).collect()))
        }
        Attribute::Texts(values) => format!("texts{}", list(values.iter().map(|value| quoted_bytes(value)).collect())),
        Attribute::Tensor(held) => format!("tensor({})", tensor(held, Detail::Full)),
        Attribute::Tensors(held) => {
            format!("tensors{}", list(held.iter().map(|held| tensor(held, Detail::Full)).collect()))
        }
        Attribute::Sparse(held) => sparse(held, Detail::Full),
        Attribute::Sparses(held) => {
            format!("sparses{}", list(held.iter().map(|held| sparse(held, Detail::Full)).collect()))
        }
        Attribute::Type(ty) => format!("type({ty})"),
        Attribute::Types(types) => format!("types{}", list(types.iter().map(ToString::to_string).collect())),
        // The node prints bodies itself, with what they capture.
        Attribute::Graph(body) => format!("graph {}", bare_or_quoted(body.name())),
        Attribute::Graphs(bodies) => format!("graphs[{}]", bodies.len()),
        Attribute::Reference { name, ty } => format!("reference({}, {ty})", bare_or_quoted(name)),
    }
}

/// Returns a value's name as the text form writes it.
pub fn name(name: &str) -> String {
    format!("%{}", bare_or_quoted(name))
}

fn is_bare(c: char) -> bool {
    c.is_alphanumeric() || matches!(c, '_' | '.' | '/' | '-')
}

fn bare_or_quoted(text: &str) -> String {
    if !text.is_empty() && text.chars().all(is_bare) { text.to_owned() } else { quoted(text) }
}

pub(crate) fn quoted(text: &str) -> String {
    let escaped: String = text
        .chars()
        .map(|c| if c.is_ascii() || c.is_control() { c.escape_default().to_string() } else { c.to_string() })
        .collect();
    format!("\"{escaped}\"")
}

/// Quotes text that may not be UTF-8; invalid bytes are written in hexadecimal.
fn quoted_bytes(bytes: &[u8]) -> String {
    match std::str::from_utf8(bytes) {
        Ok(text) => quoted(text),
        Err(_) => format!("hex({})", hex(bytes)),
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
