//! The walk over a file's wire format that comes before decoding.

use std::fmt;
use std::ops::Range;

use super::schema::{Field, Kind, Label, Schema, TYPE};

/// How many messages may lie within one another, the outermost included.
///
/// One subgraph takes three (graph, node, attribute). `prost` decodes recursively and stops at the
/// same depth.
pub const MAX_DEPTH: usize = 100;

/// How many `TypeProto` may lie within one another.
pub const MAX_TYPE_DEPTH: usize = 32;

/// How many unknown fields are listed before the file is refused; it bounds the memory that a list
/// of them takes.
pub const MAX_UNKNOWN_FIELDS: usize = 10_000;

/// A field that the schema does not have: of a newer IR version, an extension, or not ONNX at all.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnknownField {
    /// The message it stands in, e.g. `ModelProto.graph.node[3]`.
    pub path: String,
    /// The name of that message's type.
    pub message: &'static str,
    /// The field's number.
    pub number: u32,
    /// Its bytes in the file, key included: appended to the encoded message, they keep the field.
    pub bytes: Range<usize>,
}

impl fmt::Display for UnknownField {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { path, message, number, bytes: Range { start, end } } = self;
        write!(f, "{path}, bytes {start} to {end}: {message} has no field {number} that is known here")
    }
}

/// What is wrong with a file, and where.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{path}, byte {offset}: {problem}")]
pub struct WireError {
    /// The field, e.g. `ModelProto.graph.node[3].op_type`; its message, if the field itself cannot
    /// be told.
    pub path: String,
    /// Where the field starts in the file.
    pub offset: usize,
    /// What is wrong with it.
    pub problem: Problem,
}

/// What can be wrong with a field.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Problem {
    /// The message ends inside a varint.
    #[error("the message ends within a number; the file is cut short or damaged, fetch it again")]
    Cut,
    /// A length reaches beyond the end of the message.
    #[error(
        "{claimed} bytes are announced, {left} are left in the message; the file is cut short or \
         damaged, fetch it again"
    )]
    Length {
        /// What the field says.
        claimed: u64,
        /// What there is.
        left: usize,
    },
    /// A varint has more than 64 bits.
    #[error("a number has more than 64 bits; the file is damaged or not an ONNX file")]
    LongNumber,
    /// No field has this key.
    #[error("{key:#x} is not the key of a field; the file is damaged or not an ONNX file")]
    Key {
        /// The field number and wire type, as read.
        key: u64,
    },
    /// A group, an encoding that protobuf gave up and ONNX never had.
    #[error(
        "field {number} is a protobuf group, which ONNX does not have; the file is damaged or not \
         an ONNX file"
    )]
    Group {
        /// The field's number.
        number: u32,
    },
    /// A field is encoded as something else than its type.
    #[error("wire type {found} does not encode {expected}; the file is damaged or not an ONNX file")]
    WireType {
        /// The wire type, as read.
        found: u64,
        /// What the field holds, by the schema.
        expected: String,
    },
    /// Packed floats that do not come out even.
    #[error("{length} bytes are not a whole number of values of {width} bytes; the file is damaged")]
    Packed {
        /// The length of the run.
        length: usize,
        /// The length of one value.
        width: usize,
    },
    /// A number outside the range of its field, which decoders cut down to 32 bits.
    #[error("{value} is outside the range of int32; the file is damaged")]
    Int32 {
        /// The number.
        value: i64,
    },
    /// A string is not UTF-8.
    #[error("the string is not UTF-8 from its byte {valid} on; names and texts of ONNX must be")]
    Utf8 {
        /// How many bytes of the string are.
        valid: usize,
    },
    /// More than [`MAX_DEPTH`] messages within one another.
    #[error("messages are nested deeper than {MAX_DEPTH}; flatten the subgraphs")]
    Depth,
    /// More than [`MAX_TYPE_DEPTH`] types within one another.
    #[error("types are nested deeper than {MAX_TYPE_DEPTH}; no model needs such a type")]
    TypeDepth,
    /// More than [`MAX_UNKNOWN_FIELDS`] unknown fields.
    #[error(
        "field {number} is one unknown field too many, after {MAX_UNKNOWN_FIELDS} others; the file \
         is of a newer IR version or not an ONNX file"
    )]
    Unknown {
        /// The field's number.
        number: u32,
    },
}

/// Walks a message of type `schema` and lists the fields that the schema does not have.
///
/// A file that passes is decoded by `prost` without an error. It takes one pass over the structure,
/// without recursion; payloads of `bytes` fields, `raw_data` among them, are stepped over and not
/// read, so their pages stay unmapped. It says nothing of meaning: an empty file is an empty
/// `ModelProto`.
///
/// # Errors
///
/// The first thing that a decoder would refuse or silently cut down, or a limit that is passed.
pub fn scan(schema: &'static Schema, bytes: &[u8]) -> Result<Vec<UnknownField>, WireError> {
    let mut walk = Walk { bytes, at: 0, stack: Vec::new(), seen: Vec::new(), unknown: Vec::new() };
    walk.enter(schema, bytes.len()).map_err(|problem| walk.error(0, problem))?;
    while let Some(message) = walk.stack.last_mut() {
        if walk.at == message.end {
            walk.seen.truncate(message.seen);
            walk.stack.pop();
            continue;
        }
        message.field = None;
        let offset = walk.at;
        walk.field().map_err(|problem| walk.error(offset, problem))?;
    }
    Ok(walk.unknown)
}

/// The state of a scan: everything before `at` is read, and `stack` holds the messages around it.
struct Walk<'a> {
    bytes: &'a [u8],
    at: usize,
    stack: Vec<Open>,
    /// How often each field has occurred, for each message of the stack in turn.
    seen: Vec<u32>,
    unknown: Vec<UnknownField>,
}

/// A message whose end is not reached.
struct Open {
    schema: &'static Schema,
    end: usize,
    /// Where its counts begin in [`Walk::seen`].
    seen: usize,
    /// The field being read, by its place in the schema.
    field: Option<usize>,
    /// How many `TypeProto` there are from the outermost message to this one.
    types: usize,
}

impl Walk<'_> {
    fn enter(&mut self, schema: &'static Schema, end: usize) -> Result<(), Problem> {
        let outer_types = self.stack.last().map_or(0, |message| message.types);
        let types = outer_types + usize::from(std::ptr::eq(schema, &raw const TYPE));
        if self.stack.len() == MAX_DEPTH {
            return Err(Problem::Depth);
        }
        if types > MAX_TYPE_DEPTH {
            return Err(Problem::TypeDepth);
        }
        let seen = self.seen.len();
        self.seen.resize(seen + schema.fields.len(), 0);
        self.stack.push(Open { schema, end, seen, field: None, types });
        Ok(())
    }

    /// Reads one field of the innermost message; of a message within it, only the key and the
    /// length.
    fn field(&mut self) -> Result<(), Problem> {
        let Some(&mut Open { schema, end, seen, ref mut field, .. }) = self.stack.last_mut() else {
            return Ok(());
        };
        let start = self.at;
        let message = &self.bytes[..end];

        let key = varint(message, &mut self.at)?;
        let wire_type = key & 7;
        let Ok(number @ 1..0x2000_0000) = u32::try_from(key >> 3) else {
            return Err(Problem::Key { key });
        };
        *field = schema.fields.iter().position(|field| field.number == number);
        if let Some(field) = *field {
            self.seen[seen + field] = self.seen[seen + field].saturating_add(1);
        }

        let value = match wire_type {
            0 => Value::Varint(varint(message, &mut self.at)?),
            1 => Value::Fixed(take(message, &mut self.at, 8)?.len()),
            2 => {
                let length = varint(message, &mut self.at)?;
                Value::Bytes(take(message, &mut self.at, length)?)
            }
            3 | 4 => return Err(Problem::Group { number }),
            5 => Value::Fixed(take(message, &mut self.at, 4)?.len()),
            _ => return Err(Problem::Key { key }),
        };

        let Some(Field { kind, label, .. }) = field.map(|field| &schema.fields[field]) else {
            if self.unknown.len() == MAX_UNKNOWN_FIELDS {
                return Err(Problem::Unknown { number });
            }
            let path = self.path();
            self.unknown.push(UnknownField { path, message: schema.name, number, bytes: start..self.at });
            return Ok(());
        };
        let packable = matches!(label, Label::Repeated | Label::Packed);
        match (kind, value) {
            (Kind::Int32, Value::Varint(value)) => int32(value),
            (Kind::Int64 | Kind::Uint64, Value::Varint(_))
            | (Kind::Float, Value::Fixed(4))
            | (Kind::Double, Value::Fixed(8))
            | (Kind::Bytes, Value::Bytes(_)) => Ok(()),
            (Kind::String, Value::Bytes(text)) => match std::str::from_utf8(text) {
                Ok(_) => Ok(()),
                Err(error) => Err(Problem::Utf8 { valid: error.valid_up_to() }),
            },
            (&Kind::Message(inner), Value::Bytes(content)) => {
                let end = self.at;
                self.at -= content.len();
                self.enter(inner, end)
            }
            (&kind, Value::Bytes(run)) if packable => packed(kind, run),
            (expected, _) => Err(Problem::WireType { found: wire_type, expected: expected.to_string() }),
        }
    }

    fn error(&self, offset: usize, problem: Problem) -> WireError {
        WireError { path: self.path(), offset, problem }
    }

    /// Where the walk is, e.g. `ModelProto.graph.node[3]`; of a long way, the ends.
    fn path(&self) -> String {
        let root = self.stack.first().map(|message| message.schema.name.to_owned());
        let fields = self.stack.iter().map_while(|message| {
            let slot = message.field?;
            let Field { name, label, .. } = message.schema.fields[slot];
            Some(match label {
                Label::Repeated => format!(".{name}[{}]", self.seen[message.seen + slot] - 1),
                Label::Optional | Label::Oneof | Label::Packed => format!(".{name}"),
            })
        });
        let mut path: Vec<_> = root.into_iter().chain(fields).collect();
        if path.len() > 20 {
            path.splice(12..path.len() - 4, [" ... ".to_owned()]);
        }
        path.concat()
    }
}

/// The payload of a field.
enum Value<'a> {
    Varint(u64),
    /// 4 or 8 bytes.
    Fixed(usize),
    Bytes(&'a [u8]),
}

/// The varint at `*at`, and `*at` behind it.
pub(crate) fn varint(message: &[u8], at: &mut usize) -> Result<u64, Problem> {
    let mut value = 0;
    for (place, &byte) in message[*at..].iter().enumerate() {
        if place == 9 && byte > 1 {
            return Err(Problem::LongNumber);
        }
        value |= u64::from(byte & 0x7f) << (7 * place);
        if byte < 0x80 {
            *at += place + 1;
            return Ok(value);
        }
    }
    Err(Problem::Cut)
}

/// The `length` bytes at `*at`, and `*at` behind them.
fn take<'a>(message: &'a [u8], at: &mut usize, length: u64) -> Result<&'a [u8], Problem> {
    let rest = &message[*at..];
    let taken = usize::try_from(length).ok().and_then(|length| rest.get(..length));
    let taken = taken.ok_or(Problem::Length { claimed: length, left: rest.len() })?;
    *at += taken.len();
    Ok(taken)
}

/// A run of packed numbers.
fn packed(kind: Kind, run: &[u8]) -> Result<(), Problem> {
    let width = match kind {
        Kind::Float => 4,
        Kind::Double => 8,
        _ => 1,
    };
    if !run.len().is_multiple_of(width) {
        return Err(Problem::Packed { length: run.len(), width });
    }
    let mut at = if width == 1 { 0 } else { run.len() };
    while at < run.len() {
        let value = varint(run, &mut at)?;
        if matches!(kind, Kind::Int32) {
            int32(value)?;
        }
    }
    Ok(())
}

/// Whether a varint, as it stands in a file, is an `int32`.
fn int32(value: u64) -> Result<(), Problem> {
    let value = value.cast_signed();
    i32::try_from(value).map(drop).map_err(|_| Problem::Int32 { value })
}
