//! Messages encoded from the schema table alone, without `prost`.

use std::ptr;

use netwright_onnx::wire::schema::{Field, FieldKind, Label, Schema};

fn varint(mut value: u64, out: &mut Vec<u8>) {
    while value >= 0x80 {
        out.push(value.to_le_bytes()[0] | 0x80);
        value >>= 7;
    }
    out.push(value.to_le_bytes()[0]);
}

pub(crate) fn key(number: u32, wire_type: u32, out: &mut Vec<u8>) {
    varint(u64::from(number << 3 | wire_type), out);
}

fn payload(number: u32, bytes: &[u8], out: &mut Vec<u8>) {
    key(number, 2, out);
    varint(bytes.len() as u64, out);
    out.extend(bytes);
}

/// Returns a message with every field of `schema`, two elements in lists, one field (the `nth`) of a `oneof`; nested
/// messages are full down to `depth`, and empty there.
pub(crate) fn sample(schema: &Schema, nth: usize, depth: usize) -> Vec<u8> {
    let mut out = Vec::new();
    let oneofs = schema.fields.iter().filter(|field| field.label == Label::Oneof);
    let chosen = oneofs.cycle().nth(nth);
    for field in schema.fields {
        let values: &[u32] = match field.label {
            Label::Optional => &[1],
            Label::Oneof if chosen.is_some_and(|chosen| ptr::eq(chosen, field)) => &[1],
            Label::Oneof => &[],
            Label::Repeated | Label::Packed => &[1, 2],
        };
        let mut run = Vec::new();
        for value in values {
            let value = value * 1000 + field.number;
            if field.label == Label::Packed {
                number(field.kind, value, &mut run);
            } else {
                element(field, value, nth, depth, &mut out);
            }
        }
        if !run.is_empty() {
            payload(field.number, &run, &mut out);
        }
    }
    out
}

fn element(field: &Field, value: u32, nth: usize, depth: usize, out: &mut Vec<u8>) {
    match field.kind {
        FieldKind::String => payload(field.number, format!("{} {value}", field.name).as_bytes(), out),
        FieldKind::Bytes => payload(field.number, &[0xff, value.to_le_bytes()[0]], out),
        FieldKind::Message(_) if depth == 0 => payload(field.number, &[], out),
        FieldKind::Message(inner) => payload(field.number, &sample(inner, nth, depth - 1), out),
        kind => {
            key(field.number, wire_type(kind), out);
            number(kind, value, out);
        }
    }
}

fn wire_type(kind: FieldKind) -> u32 {
    match kind {
        FieldKind::Int32 | FieldKind::Int64 | FieldKind::Uint64 => 0,
        FieldKind::Double => 1,
        FieldKind::String | FieldKind::Bytes | FieldKind::Message(_) => 2,
        FieldKind::Float => 5,
    }
}

/// Appends a number that only its type can hold; no two fields of a message get the same.
fn number(kind: FieldKind, value: u32, out: &mut Vec<u8>) {
    match kind {
        FieldKind::Int32 => varint((i64::from(i32::MIN) + i64::from(value)).cast_unsigned(), out),
        FieldKind::Int64 => varint((i64::MIN + i64::from(value)).cast_unsigned(), out),
        FieldKind::Uint64 => varint(u64::MAX - u64::from(value), out),
        FieldKind::Float => out.extend(value.to_le_bytes()),
        FieldKind::Double => out.extend((-f64::from(value)).to_le_bytes()),
        FieldKind::String | FieldKind::Bytes | FieldKind::Message(_) => unreachable!("not numbers"),
    }
}

/// Returns nested messages: `content` inside the last of `numbers`, that inside the one before, and so on.
pub(crate) fn nest(numbers: &[u32], content: &[u8]) -> Vec<u8> {
    numbers.iter().rev().fold(content.to_vec(), |content, number| {
        let mut out = Vec::new();
        payload(*number, &content, &mut out);
        out
    })
}
