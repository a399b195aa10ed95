//! The parser of the text form. It goes from left to right and never back.

use super::is_bare;
use crate::attribute::{Attribute, Attributes};
use crate::op::{Kept, Kind};
use crate::tensor::{Distribution, Tensor, Wave};
use crate::{Dim, ElementType, Fact, Graph, Op, Place, Shape, TensorType, Value, ValueType};
use bytes::Bytes;
use netwright_files::Folder;
use smallvec::SmallVec;
use std::collections::HashMap;
use std::str::CharIndices;
use std::sync::Arc;

/// Text that is no graph.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {what}")]
pub struct ParseError {
    /// The line, from 1 on.
    pub line: usize,
    /// What is wrong.
    pub what: String,
}

/// Recipes and types nest at most this deep; the parser recurses.
const MOST_DEPTH: u32 = 32;

/// The graph of a text.
///
/// # Errors
/// When the text is malformed, an operator is not defined on its operands, a declared type contradicts what is
/// inferred, or a tensor is in a file ([`parse_with_files`] opens those).
pub fn parse(text: &str) -> Result<Graph, ParseError> {
    Parser { text, at: 0, files: None }.graph()
}

/// The graph of a text, its `file(…)` tensors opened beneath a folder.
///
/// # Errors
/// As [`parse`], and when a file cannot be opened.
pub fn parse_with_files(text: &str, files: &Folder) -> Result<Graph, ParseError> {
    Parser { text, at: 0, files: Some(files) }.graph()
}

/// The character that an escape of `char::escape_default` stands for; `chars` is behind the backslash.
pub(crate) fn unescape(chars: &mut CharIndices<'_>) -> Option<char> {
    match chars.next()?.1 {
        'n' => Some('\n'),
        'r' => Some('\r'),
        't' => Some('\t'),
        c @ ('\\' | '\'' | '"') => Some(c),
        'u' => {
            if chars.next()?.1 != '{' {
                return None;
            }
            let mut code = 0u32;
            loop {
                match chars.next()?.1 {
                    '}' => return char::from_u32(code),
                    digit => code = code.checked_mul(16)?.checked_add(digit.to_digit(16)?)?,
                }
            }
        }
        _ => None,
    }
}

struct Parser<'t> {
    text: &'t str,
    at: usize,
    files: Option<&'t Folder>,
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
        self.fail(format!("`{token}` is expected before `{}`", found.escape_debug()))
    }

    fn take_while(&mut self, accept: impl Fn(char) -> bool) -> &'t str {
        let rest = self.rest();
        let end = rest.find(|c| !accept(c)).unwrap_or(rest.len());
        self.at += end;
        &rest[..end]
    }

    /// A word of the characters that need no quotes, or one in quotes.
    fn word(&mut self) -> Parsed<String> {
        if self.peek() == Some('"') {
            return self.quoted();
        }
        let word = self.take_while(is_bare);
        if word.is_empty() { self.fail("a name is expected") } else { Ok(word.to_owned()) }
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
                    None => return self.fail("an escape is malformed"),
                },
                c => text.push(c),
            }
        }
        self.fail("a quoted text is not closed")
    }

    fn graph(mut self) -> Parsed<Graph> {
        let mut graph = Graph::new(self.word()?);
        let mut values = HashMap::new();
        self.expect("(")?;
        while !self.eat(")") {
            self.expect("%")?;
            let name = self.word()?;
            self.expect(":")?;
            let ValueType::Tensor(ty) = self.value_type(0)? else { return self.fail("an input must be a tensor") };
            let value = graph.input(&name, ty);
            self.define(&mut values, name, value)?;
            if self.peek() != Some(')') {
                self.expect(",")?;
            }
        }
        self.expect("{")?;
        while self.peek() == Some('%') {
            self.node(&mut graph, &mut values)?;
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
        if self.peek().is_some() { self.fail("there is text behind the graph") } else { Ok(graph) }
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

    fn node(&mut self, graph: &mut Graph, values: &mut HashMap<String, Value>) -> Parsed<()> {
        let mut names = vec![];
        while self.eat("%") {
            names.push(self.word()?);
            if !self.eat(",") {
                break;
            }
        }
        self.expect("=")?;
        let kept = (self.peek() == Some('"')).then(|| self.quoted()).transpose()?;
        let word = if kept.is_some() { "" } else { self.take_while(|c| c.is_alphanumeric() || c == '_') };
        let label = if self.eat("@") { self.quoted()? } else { String::new() };
        if matches!(word, "parameter" | "constant") {
            let [name] = names.as_slice() else { return self.fail("a tensor has one name") };
            // The type stands behind the elements, but tells how to read them.
            let ty = self.type_ahead()?;
            let tensor = self.data(&ty, 0)?;
            self.expect(":")?;
            self.value_type(0)?;
            let value = if word == "parameter" { graph.parameter(name, tensor) } else { graph.constant(name, tensor) };
            return self.define(values, name.clone(), value);
        }
        let mut operands: SmallVec<[Option<Value>; 4]> = SmallVec::new();
        if !matches!(self.peek(), Some('{' | ':')) {
            operands.push(self.operand(graph, values)?);
            while self.eat(",") {
                operands.push(self.operand(graph, values)?);
            }
        }
        let attributes = self.attributes()?;
        let op = if let Some(kept) = kept {
            Op::Kept(Box::new(self.kept(&kept, attributes)?))
        } else {
            let Some(kind) = Kind::from_word(word) else { return self.fail(format!("`{word}` is no operator")) };
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
            return self.fail(format!("there are {} results but {} types", names.len(), declared.len()));
        }
        let results = names.iter().map(|name| name.as_str().into()).collect();
        let place = Place { label: label.into(), results, order: None };
        let id = graph.insert(place, op, &operands).map_err(|error| self.error(error.to_string()))?;
        let results: Vec<Value> = graph.results(id).collect();
        for ((value, name), declared) in results.into_iter().zip(names).zip(declared) {
            let inferred = graph.fact(value);
            let known = Fact { ty: declared, elements: inferred.elements.clone() };
            if contradicts(&inferred.ty, &known.ty) {
                return self.fail(format!("%{name} is declared {known}, but is {inferred}"));
            }
            if known.ty != ValueType::Unknown {
                graph.set_fact(value, known);
            }
            self.define(values, name, value)?;
        }
        Ok(())
    }

    fn kept(&self, text: &str, attributes: Vec<(Arc<str>, Attribute)>) -> Parsed<Kept> {
        let Some((domain, op_type)) = text.split_once("::") else {
            return self.fail(format!("\"{text}\" is no operator: \"domain::Type\" is expected"));
        };
        let (op_type, overload) = op_type.split_once(':').unwrap_or((op_type, ""));
        Ok(Kept { domain: domain.into(), op_type: op_type.into(), overload: overload.into(), attributes })
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

    /// The type of a literal without one: `f32` where a number has a point, else `i64`.
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

    /// The type at the end of this line, from where the parser stays.
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

    fn value_type(&mut self, depth: u32) -> Parsed<ValueType> {
        if depth > MOST_DEPTH {
            return self.fail("the type nests too deep");
        }
        if self.eat("?") {
            return Ok(ValueType::Unknown);
        }
        let word = self.take_while(char::is_alphanumeric);
        let nested = |parser: &mut Self| {
            parser.expect("(")?;
            let inner = parser.value_type(depth + 1)?;
            parser.expect(")")?;
            Ok(inner)
        };
        match word {
            "sequence" => Ok(ValueType::Sequence(Box::new(nested(self)?))),
            "optional" => Ok(ValueType::Optional(Box::new(nested(self)?))),
            "sparse" => match nested(self)? {
                ValueType::Tensor(tensor) => Ok(ValueType::SparseTensor(tensor)),
                other => self.fail(format!("{other} cannot be sparse")),
            },
            "map" => {
                self.expect("(")?;
                let key = self.element_type()?;
                self.expect(",")?;
                let inner = self.value_type(depth + 1)?;
                self.expect(")")?;
                Ok(ValueType::Map(key, Box::new(inner)))
            }
            word => {
                let element = word.parse().map_err(|error| self.error(format!("{error}")))?;
                self.expect("[")?;
                if self.eat("*") {
                    self.expect("]")?;
                    return Ok(TensorType { element, shape: None }.into());
                }
                let mut dims = vec![];
                while !self.eat("]") {
                    dims.push(self.dim()?);
                    if self.peek() != Some(']') {
                        self.expect(",")?;
                    }
                }
                Ok(TensorType::new(element, Shape::from_iter(dims)).into())
            }
        }
    }

    fn element_type(&mut self) -> Parsed<ElementType> {
        let word = self.take_while(char::is_alphanumeric);
        word.parse().map_err(|error| self.error(format!("{error}")))
    }

    /// A dim: up to the comma or bracket outside of its own parentheses and quotes.
    fn dim(&mut self) -> Parsed<Dim> {
        let rest = self.rest();
        let (mut depth, mut quoted, mut escaped) = (0u32, false, false);
        let end = rest.find(|c| {
            match (quoted, c) {
                _ if escaped => escaped = false,
                (true, '\\') => escaped = true,
                (_, '\'') => quoted = !quoted,
                (false, '(') => depth += 1,
                (false, ')') => depth = depth.saturating_sub(1),
                (false, ',' | ']') => return depth == 0,
                _ => {}
            }
            false
        });
        let Some(end) = end else { return self.fail("a shape is not closed") };
        let dim = rest[..end].trim().parse().map_err(|error| self.error(format!("{error}")))?;
        self.at += end;
        Ok(dim)
    }

    fn attributes(&mut self) -> Parsed<Vec<(Arc<str>, Attribute)>> {
        let mut attributes = vec![];
        if self.eat("{") {
            while !self.eat("}") {
                let key = self.word()?;
                self.expect("=")?;
                attributes.push((key.into(), self.attribute()?));
                if self.peek() != Some('}') {
                    self.expect(",")?;
                }
            }
        }
        Ok(attributes)
    }

    fn attribute(&mut self) -> Parsed<Attribute> {
        match self.peek() {
            Some('"') => return Ok(Attribute::Text(self.bytes()?)),
            Some('[') => return Ok(Attribute::Ints(self.list(Self::number)?)),
            _ => {}
        }
        if self.eat("floats") {
            return Ok(Attribute::Floats(self.list(Self::number)?));
        }
        if self.eat("texts") {
            return Ok(Attribute::Texts(self.list(Self::bytes)?));
        }
        if self.eat("tensor(") {
            let tensor = self.tensor(0)?;
            self.expect(")")?;
            return Ok(Attribute::Tensor(tensor));
        }
        if self.rest().starts_with("hex(") {
            return Ok(Attribute::Text(self.bytes()?));
        }
        let word = self.take_while(|c| c.is_alphanumeric() || matches!(c, '.' | '-' | '+'));
        if let Ok(element) = word.parse() {
            return Ok(Attribute::Element(element));
        }
        match word {
            "true" => Ok(Attribute::Bool(true)),
            "false" => Ok(Attribute::Bool(false)),
            _ => match (word.parse(), word.parse()) {
                (Ok(int), _) => Ok(Attribute::Int(int)),
                (_, Ok(float)) => Ok(Attribute::Float(float)),
                _ => self.fail(format!("`{word}` is no attribute")),
            },
        }
    }

    fn list<T>(&mut self, item: fn(&mut Self) -> Parsed<T>) -> Parsed<Vec<T>> {
        let mut items = vec![];
        self.expect("[")?;
        while !self.eat("]") {
            items.push(item(self)?);
            if self.peek() != Some(']') {
                self.expect(",")?;
            }
        }
        Ok(items)
    }

    fn number<T: std::str::FromStr>(&mut self) -> Parsed<T> {
        let word = self.take_while(|c| c.is_alphanumeric() || matches!(c, '.' | '-' | '+'));
        word.parse().map_err(|_| self.error(format!("`{word}` is not such a number")))
    }

    /// Text in quotes, or bytes in hexadecimal.
    fn bytes(&mut self) -> Parsed<Bytes> {
        if self.eat("hex(") { Ok(self.hex()?.into()) } else { Ok(self.quoted()?.into_bytes().into()) }
    }

    /// Bytes in hexadecimal up to the parenthesis, which is taken.
    fn hex(&mut self) -> Parsed<Vec<u8>> {
        let digits = self.take_while(|c| c.is_ascii_hexdigit());
        let pairs = digits.as_bytes().chunks(2).map(|pair| {
            let pair = std::str::from_utf8(pair).ok().filter(|pair| pair.len() == 2);
            pair.and_then(|pair| u8::from_str_radix(pair, 16).ok())
        });
        let bytes = pairs.collect::<Option<Vec<_>>>();
        self.expect(")")?;
        bytes.ok_or_else(|| self.error("a byte takes two digits"))
    }

    /// A tensor with its type.
    fn tensor(&mut self, depth: u32) -> Parsed<Tensor> {
        if depth > MOST_DEPTH {
            return self.fail("the recipe nests too deep");
        }
        match self.value_type(0)? {
            ValueType::Tensor(ty) => self.data(&ty, depth),
            other => self.fail(format!("a tensor cannot be {other}")),
        }
    }

    /// The elements of a tensor of that type.
    fn data(&mut self, ty: &TensorType, depth: u32) -> Parsed<Tensor> {
        let Some(dims) = ty.shape.as_ref().and_then(Shape::known) else {
            return self.fail(format!("the shape of {ty} must be of numbers"));
        };
        let element = ty.element;
        if self.eat("#") {
            return self.fail("the elements were elided; only a full text can be read");
        }
        let made = if self.eat("hex(") {
            let bytes = self.hex()?;
            Tensor::from_bytes(element, &dims, bytes)
        } else if self.eat("fill(") {
            let bytes = if self.eat("hex(") { self.hex()? } else { self.element(element)? };
            self.expect(")")?;
            Tensor::fill_with(element, bytes, &dims)
        } else if self.eat("uniform(") {
            self.expect("seed")?;
            self.expect("=")?;
            let seed = self.number()?;
            self.expect(",")?;
            self.expect("bound")?;
            self.expect("=")?;
            let bound = self.number()?;
            self.expect(")")?;
            Tensor::random(seed, Distribution::Uniform { bound }, &dims)
        } else if self.eat("sinusoidal(") {
            let wave = if self.eat("interleaved") {
                Wave::Interleaved
            } else {
                self.expect("halves").map(|()| Wave::Halves)?
            };
            self.expect(")")?;
            let [positions, d_model] = dims[..] else { return self.fail("a sinusoidal table has two axes") };
            Tensor::sinusoidal(wave, positions, d_model)
        } else if self.eat("scale(") {
            let factor = self.number()?;
            self.expect(",")?;
            let of = self.tensor(depth + 1)?;
            self.expect(")")?;
            of.scaled(factor)
        } else if self.eat("cast(") {
            let of = self.tensor(depth + 1)?;
            self.expect(")")?;
            of.cast(element)
        } else if self.eat("transpose(") {
            let of = self.tensor(depth + 1)?;
            self.expect(")")?;
            of.transposed()
        } else if self.eat("reshape(") {
            let of = self.tensor(depth + 1)?;
            self.expect(")")?;
            of.reshaped(&dims)
        } else if self.eat("file(") {
            let path = self.quoted()?;
            self.expect(",")?;
            let offset = self.number()?;
            self.expect(",")?;
            let len = self.number()?;
            self.expect(")")?;
            let Some(files) = self.files else { return self.fail(format!("no folder is given for the file {path}")) };
            let range = files.open(&path).and_then(|source| source.range(offset, len));
            range.map_err(Into::into).and_then(|range| Tensor::from_file(element, &dims, range))
        } else if element == ElementType::String {
            let strings = self.list(Self::bytes)?;
            Tensor::from_strings(&dims, strings)
        } else {
            let bytes = if dims.is_empty() { self.element(element)? } else { self.elements(element)? };
            Tensor::from_bytes(element, &dims, bytes)
        };
        let tensor = made.map_err(|error| self.error(error.to_string()))?;
        if tensor.ty() == *ty { Ok(tensor) } else { self.fail(format!("the tensor is {}, not {ty}", tensor.ty())) }
    }

    fn elements(&mut self, element: ElementType) -> Parsed<Vec<u8>> {
        let mut bytes = vec![];
        self.expect("[")?;
        while !self.eat("]") {
            bytes.extend(self.element(element)?);
            if self.peek() != Some(']') {
                self.expect(",")?;
            }
        }
        Ok(bytes)
    }

    fn element(&mut self, element: ElementType) -> Parsed<Vec<u8>> {
        Ok(match element {
            ElementType::F32 => self.number::<f32>()?.to_le_bytes().to_vec(),
            ElementType::F64 => self.number::<f64>()?.to_le_bytes().to_vec(),
            ElementType::U8 => self.number::<u8>()?.to_le_bytes().to_vec(),
            ElementType::I8 => self.number::<i8>()?.to_le_bytes().to_vec(),
            ElementType::U16 => self.number::<u16>()?.to_le_bytes().to_vec(),
            ElementType::I16 => self.number::<i16>()?.to_le_bytes().to_vec(),
            ElementType::U32 => self.number::<u32>()?.to_le_bytes().to_vec(),
            ElementType::I32 => self.number::<i32>()?.to_le_bytes().to_vec(),
            ElementType::U64 => self.number::<u64>()?.to_le_bytes().to_vec(),
            ElementType::I64 => self.number::<i64>()?.to_le_bytes().to_vec(),
            ElementType::Bool => vec![self.number::<bool>()?.into()],
            other => return self.fail(format!("elements of {other} are written as hex(…)")),
        })
    }
}

/// Whether no value has both types.
pub(crate) fn contradicts(a: &ValueType, b: &ValueType) -> bool {
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
