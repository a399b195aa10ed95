//! The frames of a file: all of it but the elements of its tensors, which stay unread.

use super::tensor::SMALLEST_RANGE;
use crate::wire::schema::{self, Kind};
use crate::wire::{self, MAX_DEPTH};
use bytes::Bytes;
use netwright_files::{FileError, Image, Source};

/// A number of 64 bits, seven in a byte.
const LONGEST_VARINT: usize = 10;

/// The file, with zeros for each `raw_data` that is no smaller than a range.
///
/// The walk ends where the file is damaged, which is where [`wire::scan`](crate::wire::scan()) says so.
pub(super) fn read(source: &Source) -> Result<Bytes, FileError> {
    let mut image = source.image()?;
    let mut stack = vec![(&schema::MODEL, image.len())];
    let mut at = 0;
    while let Some(&(message, end)) = stack.last() {
        if at == end {
            stack.pop();
            continue;
        }
        let Some(key) = varint(&mut image, &mut at, end)? else { break };
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
                    && let Kind::Message(inner) = field.kind =>
            {
                if stack.len() == MAX_DEPTH {
                    break;
                }
                stack.push((inner, next));
                continue;
            }
            Some(field) if field.name == "raw_data" && next - at >= SMALLEST_RANGE => {}
            Some(_) => drop(image.read(at, next)?),
            // An error, which tells where it stands.
            None => {}
        }
        at = next;
    }
    Ok(image.into_bytes())
}

/// The varint at `*at`, and `*at` behind it; `None` where there is none.
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

    /// The frames of a file of these bytes.
    fn frames(bytes: &[u8]) -> Bytes {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), bytes).unwrap();
        read(&Source::open(file.path()).unwrap()).unwrap()
    }

    /// A large weight, and behind it one that is too small for a range.
    fn model(large: usize) -> Vec<u8> {
        let weight = |len| TensorProto { raw_data: Some(Bytes::from(vec![7; len])), ..Default::default() };
        let initializer = vec![weight(large), weight(SMALLEST_RANGE - 1)];
        let graph = GraphProto { name: Some("graph".to_owned()), initializer, ..Default::default() };
        ModelProto { ir_version: Some(10), graph: Some(graph), ..Default::default() }.encode_to_vec()
    }

    #[test]
    fn only_large_weights_stay_unread() {
        let frames = frames(&model(1 << 20));
        let (before, small) = frames.split_at(frames.len() - (SMALLEST_RANGE - 1));
        assert!(small.iter().all(|byte| *byte == 7));
        // A window is read ahead, and the small weight has a key before it.
        assert!(before[1 << 14..before.len() - 64].iter().all(|byte| *byte == 0));
    }

    /// Cut or damaged anywhere, the frames are refused for what the file is refused for.
    #[test]
    fn damage_is_found_where_it_is() {
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
