//! The check of a file's wire format before decoding.

use std::fmt;
use std::ops::Range;

use super::schema::{Field, FieldKind, Label, Schema, TYPE};

/// The maximum nesting of messages, the outermost included.
///
/// One subgraph takes three levels (graph, node, attribute). `prost` decodes recursively and stops at the same depth.
pub const MAX_DEPTH: usize = 100;

/// The maximum nesting of `TypeProto`.
pub const MAX_TYPE_DEPTH: usize = 32;

/// The maximum number of unknown fields that are listed before the file is refused, which bounds the memory of the
/// list.
pub const MAX_UNKNOWN_FIELDS: usize = 10_000;

/// A field that the schema does not have: of a newer IR version, an extension, or not ONNX at all.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnknownField {
    /// The message that has it, e.g. `ModelProto.graph.node[3]`.
    pub path: String,
    /// The name of that message's type.
    pub message: &'static str,
    /// The field's number.
    pub number: u32,
    /// Its bytes in the file, key included: appending them to the encoded message preserves the field.
    pub bytes: Range<usize>,
}

impl fmt::Display for UnknownField {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { path, message, number, bytes: Range { start, end } } = self;
        write!(f, "{path}, bytes {start} to {end}: {message} has the unknown field {number}")
    }
}

/// What is wrong with a file, and where.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{path}, byte {offset}: {problem}")]
pub struct WireError {
    /// The field, e.g. `ModelProto.graph.node[3].op_type`; its message, if the field cannot be determined.
    pub path: String,
    /// The offset of the field in the file.
    pub offset: usize,
    /// The problem.
    pub problem: WireProblem,
}

/// A problem of a field.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum WireProblem {
    /// The message ends inside a varint.
    #[error("the message ends within a number; the file is cut short or damaged\n  help: download it again")]
    Cut,
    /// A length reaches beyond the end of the message.
    #[error(
        "the length is {claimed} bytes, but only {left} are left in the message; the file is cut \
         short or damaged\n  help: download it again"
    )]
    Length {
        /// The length given by the field.
        claimed: u64,
        /// The number of bytes left.
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
    /// A group, an encoding that protobuf deprecated and ONNX never used.
    #[error(
        "field {number} is a protobuf group, which ONNX does not have; the file is damaged or not \
         an ONNX file"
    )]
    Group {
        /// The field's number.
        number: u32,
    },
    /// A field is encoded with the wrong wire type.
    #[error("wire type {found} does not encode {expected}; the file is damaged or not an ONNX file")]
    WireType {
        /// The wire type, as read.
        found: u64,
        /// The type of the field in the schema.
        expected: String,
    },
    /// The length of packed floats is not a multiple of their size.
    #[error("{length} bytes are not a whole number of values of {width} bytes; the file is damaged")]
    Packed {
        /// The length of the run.
        length: usize,
        /// The length of one value.
        width: usize,
    },
    /// A number is outside the range of its field; decoders truncate it to 32 bits.
    #[error("{value} is outside the range of int32; the file is damaged")]
    Int32 {
        /// The number.
        value: i64,
    },
    /// A string is not UTF-8.
    #[error("the string is not UTF-8 from byte {valid} on, but ONNX requires UTF-8; the file is damaged")]
    Utf8 {
        /// The number of valid bytes at its start.
        valid: usize,
    },
    /// More than [`MAX_DEPTH`] messages within one another.
    #[error("messages are nested deeper than {MAX_DEPTH}\n  help: flatten the subgraphs")]
    Depth,
    /// More than [`MAX_TYPE_DEPTH`] types within one another.
    #[error("types are nested deeper than {MAX_TYPE_DEPTH}")]
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

/// Checks a message of type `schema` and lists the fields that the schema does not have.
///
/// `prost` decodes a file that passes without an error. The scan takes one pass over the structure, without recursion;
/// payloads of `bytes` fields, including `raw_data`, are skipped and not read, so their pages stay unmapped. It does
/// not check the meaning: an empty file is an empty `ModelProto`.
///
/// # Errors
///
/// The first problem that a decoder would refuse or silently truncate, or a limit that is exceeded.
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
    /// The number of occurrences of each field, for each message of the stack in turn.
    seen: Vec<u32>,
    unknown: Vec<UnknownField>,
}

/// A message whose end has not been reached.
struct Open {
    schema: &'static Schema,
    end: usize,
    /// The start of its counts in [`Walk::seen`].
    seen: usize,
    /// The field being read, by its index in the schema.
    field: Option<usize>,
    /// The number of `TypeProto`s from the outermost message to this one.
    types: usize,
}

impl Walk<'_> {
    fn enter(&mut self, schema: &'static Schema, end: usize) -> Result<(), WireProblem> {
        let outer_types = self.stack.last().map_or(0, |message| message.types);
        let types = outer_types + usize::from(std::ptr::eq(schema, &raw const TYPE));
        if self.stack.len() == MAX_DEPTH {
            return Err(WireProblem::Depth);
        }
        if types > MAX_TYPE_DEPTH {
            return Err(WireProblem::TypeDepth);
        }
        let seen = self.seen.len();
        self.seen.resize(seen + schema.fields.len(), 0);
        self.stack.push(Open { schema, end, seen, field: None, types });
        Ok(())
    }

    /// Reads one field of the innermost message; of a nested message, only the key and the length.
    fn field(&mut self) -> Result<(), WireProblem> {
        let Some(&mut Open { schema, end, seen, ref mut field, .. }) = self.stack.last_mut() else {
            return Ok(());
        };
        let start = self.at;
        let message = &self.bytes[..end];

        let key = varint(message, &mut self.at)?;
        let wire_type = key & 7;
        let Ok(number @ 1..0x2000_0000) = u32::try_from(key >> 3) else {
            return Err(WireProblem::Key { key });
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
            3 | 4 => return Err(WireProblem::Group { number }),
            5 => Value::Fixed(take(message, &mut self.at, 4)?.len()),
            _ => return Err(WireProblem::Key { key }),
        };

        let Some(Field { kind, label, .. }) = field.map(|field| &schema.fields[field]) else {
            if self.unknown.len() == MAX_UNKNOWN_FIELDS {
                return Err(WireProblem::Unknown { number });
            }
            let path = self.path();
            self.unknown.push(UnknownField { path, message: schema.name, number, bytes: start..self.at });
            return Ok(());
        };
        let packable = matches!(label, Label::Repeated | Label::Packed);
        match (kind, value) {
            (FieldKind::Int32, Value::Varint(value)) => int32(value),
            (FieldKind::Int64 | FieldKind::Uint64, Value::Varint(_))
            | (FieldKind::Float, Value::Fixed(4))
            | (FieldKind::Double, Value::Fixed(8))
            | (FieldKind::Bytes, Value::Bytes(_)) => Ok(()),
            (FieldKind::String, Value::Bytes(text)) => match std::str::from_utf8(text) {
                Ok(_) => Ok(()),
                Err(error) => Err(WireProblem::Utf8 { valid: error.valid_up_to() }),
            },
            (&FieldKind::Message(inner), Value::Bytes(content)) => {
                let end = self.at;
                self.at -= content.len();
                self.enter(inner, end)
            }
            (&kind, Value::Bytes(run)) if packable => packed(kind, run),
            (expected, _) => Err(WireProblem::WireType { found: wire_type, expected: expected.to_string() }),
        }
    }

    fn error(&self, offset: usize, problem: WireProblem) -> WireError {
        WireError { path: self.path(), offset, problem }
    }

    /// Returns the current path, e.g. `ModelProto.graph.node[3]`; a long path is shortened in the middle.
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

/// Reads the varint at `*at` and advances `*at`.
pub(crate) fn varint(message: &[u8], at: &mut usize) -> Result<u64, WireProblem> {
    let mut value = 0;
    for (place, &byte) in message[*at..].iter().enumerate() {
        if place == 9 && byte > 1 {
            return Err(WireProblem::LongNumber);
        }
        value |= u64::from(byte & 0x7f) << (7 * place);
        if byte < 0x80 {
            *at += place + 1;
            return Ok(value);
        }
    }
    Err(WireProblem::Cut)
}

/// Reads `length` bytes at `*at` and advances `*at`.
fn take<'a>(message: &'a [u8], at: &mut usize, length: u64) -> Result<&'a [u8], WireProblem> {
    let rest = &message[*at..];
    let taken = usize::try_from(length).ok().and_then(|length| rest.get(..length));
    let taken = taken.ok_or(WireProblem::Length { claimed: length, left: rest.len() })?;
    *at += taken.len();
    Ok(taken)
}

/// Checks a run of packed numbers.
fn packed(kind: FieldKind, run: &[u8]) -> Result<(), WireProblem> {
    let width = match kind {
        FieldKind::Float => 4,
        FieldKind::Double => 8,
        _ => 1,
    };
    if !run.len().is_multiple_of(width) {
        return Err(WireProblem::Packed { length: run.len(), width });
    }
    let mut at = if width == 1 { 0 } else { run.len() };
    while at < run.len() {
        let value = varint(run, &mut at)?;
        if matches!(kind, FieldKind::Int32) {
            int32(value)?;
        }
    }
    Ok(())
}

/// Checks that a varint is a valid `int32`.
fn int32(value: u64) -> Result<(), WireProblem> {
    let value = value.cast_signed();
    i32::try_from(value).map(drop).map_err(|_| WireProblem::Int32 { value })
}
