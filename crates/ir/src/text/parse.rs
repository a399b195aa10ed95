//! The parser of the text form: it reads from left to right without backtracking.

mod values;

use super::is_bare;
use crate::attribute::{Attribute, Attributes};
use crate::dim::unescape;
use crate::infer::Call;
use crate::op::{OpKind, OpaqueOp};
use crate::{Dim, ElementType, Fact, Graph, Op, Place, TensorType, Value, ValueType};
use netwright_files::Folder;
use smallvec::SmallVec;
use std::collections::HashMap;
use std::sync::Arc;

/// The error for text that is not a graph.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {what}")]
pub struct ParseError {
    /// The line, counted from 1.
    pub line: usize,
    /// What is wrong.
    pub what: String,
}

/// The maximum nesting of recipes and types; the parser recurses.
const MAX_DEPTH: u32 = 32;

/// Parses a graph.
///
/// # Errors
/// If the text is malformed, an operator is not defined on its operands, a declared type contradicts the inferred
/// one, or a tensor is in a file ([`parse_with_files`] opens those).
pub fn parse(text: &str) -> Result<Graph, ParseError> {
    Parser { text, at: 0, files: None }.whole()
}

/// Parses a graph and opens its `file(…)` tensors in a folder.
///
/// # Errors
/// As [`parse`], and if a file cannot be opened.
pub fn parse_with_files(text: &str, files: &Folder) -> Result<Graph, ParseError> {
    Parser { text, at: 0, files: Some(files) }.whole()
}

struct Parser<'t> {
    text: &'t str,
    at: usize,
    files: Option<&'t Folder>,
}

/// The graph around a body, as far as the body's parser needs it.
struct Around<'a> {
    graph: &'a mut Graph,
    values: &'a HashMap<String, Value>,
    /// The values that the bodies capture.
    captured: Vec<Option<Value>>,
    /// The number of graphs around the body.
    depth: u32,
}

type Parsed<T> = Result<T, ParseError>;

impl<'t> Parser<'t> {
    fn fail<T>(&self, what: impl Into<String>) -> Parsed<T> {
        Err(self.error(what))
    }

    fn error(&self, what: impl Into<String>) -> ParseError {
        let line = self.text[..self.at].matches('\n').count() + 1;
        ParseError { line, what: what.into() }
    }

    fn rest(&mut self) -> &'t str {
        let rest = &self.text[self.at..];
        let trimmed = rest.trim_start();
        self.at += rest.len() - trimmed.len();
        trimmed
    }

    fn peek(&mut self) -> Option<char> {
        self.rest().chars().next()
    }

    fn eat(&mut self, token: &str) -> bool {
        let found = self.rest().starts_with(token);
        if found {
            self.at += token.len();
        }
        found
    }

    fn expect(&mut self, token: &str) -> Parsed<()> {
        if self.eat(token) {
            return Ok(());
        }
        let found: String = self.rest().chars().take(20).collect();
        self.fail(format!("expected `{token}` before `{}`", found.escape_debug()))
    }

    fn take_while(&mut self, accept: impl Fn(char) -> bool) -> &'t str {
        let rest = self.rest();
        let end = rest.find(|c| !accept(c)).unwrap_or(rest.len());
        self.at += end;
        &rest[..end]
    }

    /// Parses a bare word or a quoted one.
    fn word(&mut self) -> Parsed<String> {
        if self.peek() == Some('"') {
            return self.quoted();
        }
        let word = self.take_while(is_bare);
        if word.is_empty() { self.fail("expected a name") } else { Ok(word.to_owned()) }
    }

    fn quoted(&mut self) -> Parsed<String> {
        self.expect("\"")?;
        let rest = &self.text[self.at..];
        let mut chars = rest.char_indices();
        let mut text = String::new();
        while let Some((at, c)) = chars.next() {
            match c {
                '"' => {
                    self.at += at + 1;
                    return Ok(text);
                }
                '\\' => match unescape(&mut chars) {
                    Some(c) => text.push(c),
                    None => return self.fail("malformed escape"),
                },
                c => text.push(c),
            }
        }
        self.fail("unclosed quoted text")
    }

    fn whole(mut self) -> Parsed<Graph> {
        let graph = self.graph(None)?;
        if self.peek().is_some() { self.fail("unexpected text after the graph") } else { Ok(graph) }
    }

    /// Parses a graph; for a body, appends the captured values of the graph around it to `around`.
    fn graph(&mut self, mut around: Option<&mut Around<'_>>) -> Parsed<Graph> {
        let depth = around.as_ref().map_or(0, |around| around.depth + 1);
        let mut graph = Graph::new(self.word()?);
        let mut values = HashMap::new();
        self.expect("(")?;
        while !matches!(self.peek(), Some(')' | ';')) {
            let (name, ty) = self.declaration()?;
            let value = match ty {
                ValueType::Tensor(ty) if self.eat("=") => {
                    let default = self.data(&ty, 0)?;
                    graph.input_with_default(&name, default)
                }
                ty => graph.input(&name, ty),
            };
            self.define(&mut values, name, value)?;
            if !matches!(self.peek(), Some(')' | ';')) {
                self.expect(",")?;
            }
        }
        if self.eat(";") {
            while self.peek() != Some(')') {
                let (name, ty) = self.declaration()?;
                let elements = match &mut around {
                    None => None,
                    Some(around) => {
                        self.expect("=")?;
                        let outer = self.operand(around.graph, around.values)?;
                        around.captured.push(outer);
                        outer.and_then(|outer| around.graph.fact(outer).elements.clone())
                    }
                };
                let value = graph.capture(&name, Fact { ty, elements });
                self.define(&mut values, name, value)?;
                if self.peek() != Some(')') {
                    self.expect(",")?;
                }
            }
        }
        self.expect(")")?;
        self.expect("{")?;
        while self.peek() == Some('%') {
            self.node(&mut graph, &mut values, depth)?;
        }
        self.expect("return")?;
        while self.peek() != Some('}') {
            let start = self.at;
            let is_name = !matches!(self.peek(), Some('%' | '[' | '-' | '0'..='9'));
            let name = if is_name { self.word()? } else { String::new() };
            let name = if is_name && self.eat("=") {
                Some(name)
            } else {
                self.at = start;
                None
            };
            let is_named = self.peek() == Some('%');
            let value = self.operand(&mut graph, &values)?;
            let Some(value) = value else { return self.fail("an output cannot be absent") };
            let name = match name {
                Some(name) => name,
                None if is_named => graph.value_name(value).to_string(),
                None => return self.fail("an output that is a constant needs a name"),
            };
            graph.output(name, value);
            if self.peek() != Some('}') {
                self.expect(",")?;
            }
        }
        self.expect("}")?;
        Ok(graph)
    }

    /// Parses the name and type of an input or a captured value.
    fn declaration(&mut self) -> Parsed<(String, ValueType)> {
        self.expect("%")?;
        let name = self.word()?;
        self.expect(":")?;
        Ok((name, self.value_type(0)?))
    }

    fn define(&self, values: &mut HashMap<String, Value>, name: String, value: Value) -> Parsed<()> {
        match values.entry(name) {
            std::collections::hash_map::Entry::Occupied(taken) => {
                self.fail(format!("%{} is defined twice", taken.key()))
            }
            std::collections::hash_map::Entry::Vacant(free) => {
                free.insert(value);
                Ok(())
            }
        }
    }

    fn node(&mut self, graph: &mut Graph, values: &mut HashMap<String, Value>, depth: u32) -> Parsed<()> {
        let mut names = vec![];
        while self.eat("%") {
            names.push(self.word()?);
            if !self.eat(",") {
                break;
            }
        }
        self.expect("=")?;
        let opaque = (self.peek() == Some('"')).then(|| self.quoted()).transpose()?;
        let word = if opaque.is_some() { "" } else { self.take_while(|c| c.is_alphanumeric() || c == '_') };
        let label = if self.eat("@") { self.quoted()? } else { String::new() };
        if matches!(word, "parameter" | "constant") {
            let [name] = names.as_slice() else { return self.fail("a tensor has one name") };
            // The type follows the elements, but determines how to read them.
            let ty = self.type_ahead()?;
            let tensor = self.data(&ty, 0)?;
            self.expect(":")?;
            self.value_type(0)?;
            let value = if word == "parameter" { graph.parameter(name, tensor) } else { graph.constant(name, tensor) };
            return self.define(values, name.clone(), value);
        }
        if word == "sparse_parameter" {
            let [name] = names.as_slice() else { return self.fail("a tensor has one name") };
            let tensor = self.sparse(0)?;
            self.expect(":")?;
            self.value_type(0)?;
            let value = graph.sparse_parameter(name, tensor);
            return self.define(values, name.clone(), value);
        }
        let mut operands: SmallVec<[Option<Value>; 4]> = SmallVec::new();
        if !matches!(self.peek(), Some('{' | ':')) {
            operands.push(self.operand(graph, values)?);
            while self.eat(",") {
                operands.push(self.operand(graph, values)?);
            }
        }
        let mut around = Around { graph, values, captured: vec![], depth };
        let attributes = self.attributes(&mut around)?;
        operands.extend(around.captured);
        let op = if let Some(opaque) = opaque {
            Op::Opaque(Box::new(self.opaque(&opaque, attributes)?))
        } else {
            let Some(kind) = OpKind::from_word(word) else { return self.fail(format!("`{word}` is not an operator")) };
            Attributes::new(attributes)
                .and_then(|attributes| Op::from_attributes(kind, attributes))
                .map_err(|error| self.error(format!("{word}: {error}")))?
        };
        self.expect(":")?;
        let mut declared = vec![self.value_type(0)?];
        while self.eat(",") {
            declared.push(self.value_type(0)?);
        }
        if declared.len() != names.len() {
            return self.fail(format!("the numbers of results and types differ: {} ≠ {}", names.len(), declared.len()));
        }
        let results = names.iter().map(|name| name.as_str().into()).collect();
        let place = Place { label: label.into(), results, order: None };
        let id = graph.insert(place, op, &operands).map_err(|error| self.error(error.to_string()))?;
        let results: Vec<Value> = graph.results(id).collect();
        for ((value, name), declared) in results.into_iter().zip(names).zip(declared) {
            let inferred = graph.fact(value);
            let known = Fact { ty: declared, elements: inferred.elements.clone() };
            if inferred.ty.contradicts(&known.ty) {
                return self.fail(format!("%{name} is declared {known}, but inferred as {inferred}"));
            }
            if known.ty != ValueType::Unknown {
                graph.set_fact(value, known);
            }
            self.define(values, name, value)?;
        }
        Ok(())
    }

    fn opaque(&self, text: &str, attributes: Vec<(Arc<str>, Attribute)>) -> Parsed<OpaqueOp> {
        let version = text.rsplit_once('@').and_then(|(text, version)| Some((text, version.parse().ok()?)));
        let Some(((domain, op_type), version)) = version.and_then(|(text, v)| Some((text.split_once("::")?, v))) else {
            return self.fail(format!("\"{text}\" is not an operator; expected \"domain::Type@version\""));
        };
        let (op_type, overload) = op_type.split_once(':').unwrap_or((op_type, ""));
        let (domain, op_type, overload) = (domain.into(), op_type.into(), overload.into());
        Ok(OpaqueOp { domain, op_type, overload, version, attributes, call: Call::default() })
    }

    fn operand(&mut self, graph: &mut Graph, values: &HashMap<String, Value>) -> Parsed<Option<Value>> {
        if self.eat("%") {
            let name = self.word()?;
            return match values.get(&name) {
                Some(value) => Ok(Some(*value)),
                None => self.fail(format!("%{name} is not defined")),
            };
        }
        if self.rest().starts_with('_') && !self.rest()[1..].starts_with(is_bare) {
            self.expect("_")?;
            return Ok(None);
        }
        let ty = if self.peek().is_some_and(char::is_alphabetic)
            && !self.rest().starts_with("inf")
            && !self.rest().starts_with("NaN")
        {
            match self.value_type(0)? {
                ValueType::Tensor(ty) => ty,
                other => return self.fail(format!("a constant cannot be {other}")),
            }
        } else {
            self.plain_type()
        };
        let tensor = self.data(&ty, 0)?;
        Ok(Some(graph.constant("", tensor)))
    }

    /// Returns the type of a literal without one: `f32` if a number has a decimal point, else `i64`.
    fn plain_type(&mut self) -> TensorType {
        let rest = self.rest();
        let end = if rest.starts_with('[') { rest.find(']').map_or(rest.len(), |end| end + 1) } else { rest.len() };
        let literal = &rest[..end];
        let scalar_end = literal.find(|c: char| !(c.is_alphanumeric() || matches!(c, '.' | '-' | '+')));
        let text = if literal.starts_with('[') { literal } else { &literal[..scalar_end.unwrap_or(literal.len())] };
        let is_float = text.contains(['.', 'e', 'N', 'f']);
        let element = if is_float { ElementType::F32 } else { ElementType::I64 };
        let count = text.trim_matches(['[', ']']).split(',').filter(|item| !item.trim().is_empty()).count();
        let shape = text.starts_with('[').then(|| Dim::Known(i64::try_from(count).unwrap_or(i64::MAX)));
        TensorType::new(element, shape.into_iter().collect())
    }

    /// Parses the type at the end of this line without moving the parser.
    fn type_ahead(&mut self) -> Parsed<TensorType> {
        let start = self.at;
        let line = self.rest().lines().next().unwrap_or("");
        let Some(colon) = line.rfind(" : ") else { return self.fail("the tensor has no type") };
        self.at += colon + 3;
        let ty = self.value_type(0)?;
        self.at = start;
        match ty {
            ValueType::Tensor(ty) => Ok(ty),
            other => self.fail(format!("a tensor cannot be {other}")),
        }
    }
}
