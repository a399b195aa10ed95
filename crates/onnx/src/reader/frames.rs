//! Reads a file without the elements of its large tensors.

use super::tensor::SMALLEST_RANGE;
use crate::wire::schema::{self, FieldKind};
use crate::wire::{self, MAX_DEPTH};
use bytes::Bytes;
use netwright_files::{FileError, Image, Source};

/// The length of a varint of 64 bits, seven per byte.
const LONGEST_VARINT: usize = 10;

/// Reads the file, with zeros in place of each `raw_data` that is at least as large as a range.
///
/// The walk stops where the file is damaged; [`wire::scan`](crate::wire::scan()) then reports it.
pub(super) fn read(source: &Source) -> Result<Bytes, FileError> {
    let mut image = source.image()?;
    let mut stack = vec![(&schema::MODEL, image.len())];
    let mut at = 0;
    while let Some(&(message, end)) = stack.last() {
        if at == end {
            stack.pop();
            continue;
        }
        let Some(key) = varint(&mut image, &mut at, end)?.filter(|key| key >> 3 > 0) else { break };
        let length = match key & 7 {
            0 if varint(&mut image, &mut at, end)?.is_some() => continue,
            1 => Some(8),
            2 => varint(&mut image, &mut at, end)?,
            5 => Some(4),
            _ => None,
        };
        let length = length.and_then(|length| usize::try_from(length).ok());
        let Some(next) = length.and_then(|length| at.checked_add(length)).filter(|next| *next <= end) else { break };
        match message.fields.iter().find(|field| u64::from(field.number) == key >> 3) {
            Some(field)
                if key & 7 == 2
                    && let FieldKind::Message(inner) = field.kind =>
            {
                if stack.len() == MAX_DEPTH {
                    break;
                }
                stack.push((inner, next));
                continue;
            }
            Some(field) if field.name == "raw_data" && next - at >= SMALLEST_RANGE => {}
            Some(_) => drop(image.read(at, next)?),
            // An error, which reports its position.
            None => {}
        }
        at = next;
    }
    Ok(image.into_bytes())
}

/// Reads the varint at `*at` and advances `*at`; `None` if there is none.
fn varint(image: &mut Image, at: &mut usize, end: usize) -> Result<Option<u64>, FileError> {
    let bytes = image.read(*at, end.min(*at + LONGEST_VARINT))?;
    let mut taken = 0;
    let value = wire::varint(bytes, &mut taken).ok();
    *at += taken;
    Ok(value)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::{GraphProto, ModelProto, TensorProto};
    use prost::Message;

    /// Returns these bytes as [`read`] reads them from a file.
    fn frames(bytes: &[u8]) -> Bytes {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), bytes).unwrap();
        read(&Source::open(file.path()).unwrap()).unwrap()
    }

    /// Returns a model with a large weight, followed by one that is too small for a range.
    fn model(large: usize) -> Vec<u8> {
        let weight = |len| TensorProto { raw_data: Some(Bytes::from(vec![7; len])), ..Default::default() };
        let initializer = vec![weight(large), weight(SMALLEST_RANGE - 1)];
        let graph = GraphProto { name: Some("graph".to_owned()), initializer, ..Default::default() };
        ModelProto { ir_version: Some(10), graph: Some(graph), ..Default::default() }.encode_to_vec()
    }

    #[test]
    fn only_large_weights_are_not_read() {
        let frames = frames(&model(1 << 20));
        let (before, small) = frames.split_at(frames.len() - (SMALLEST_RANGE - 1));
        assert!(small.iter().all(|byte| *byte == 7));
        // A window is read ahead, and the small weight has a key before it.
        assert!(before[1 << 14..before.len() - 64].iter().all(|byte| *byte == 0));
    }

    /// What is not a key ends the walk: a file of zeros may be large.
    #[test]
    fn zeros_are_not_walked() {
        let frames = frames(&[model(1 << 20), vec![0; 100], model(1 << 20)].concat());
        // A window is read ahead.
        assert!(frames[frames.len() - (1 << 19)..].iter().all(|byte| *byte == 0));
    }

    /// Checks that a file cut or damaged anywhere gives the same error as when it is read in full.
    #[test]
    fn damage_is_reported_at_the_same_place() {
        let file = model(3 * SMALLEST_RANGE);
        let check = |file: &[u8]| {
            assert_eq!(wire::scan(&schema::MODEL, &frames(file)), wire::scan(&schema::MODEL, file));
        };
        for at in (0..file.len()).filter(|at| *at < 64 || at % 61 == 0) {
            check(&file[..at]);
            for bits in [0x01, 0x02, 0x7f, 0x80] {
                let mut damaged = file.clone();
                damaged[at] ^= bits;
                check(&damaged);
            }
        }
    }
}
