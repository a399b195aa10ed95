//! The frames of a file: all of it but the elements of its tensors, which stay unread.

use super::tensor::SMALLEST_RANGE;
use crate::wire::MAX_DEPTH;
use crate::wire::schema::{self, Kind};
use bytes::Bytes;
use netwright_files::{Error, Image, Source};

/// The file, with zeros for each `raw_data` that is no smaller than a range.
///
/// The walk ends where the file is damaged, which is where [`wire::scan`](crate::wire::scan()) says so.
pub(super) fn read(source: &Source) -> Result<Bytes, Error> {
    let mut image = source.image()?;
    let Ok(len) = usize::try_from(source.len()) else { return Ok(image.into_bytes()) };
    let mut stack = vec![(&schema::MODEL, len)];
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
fn varint(image: &mut Image, at: &mut usize, end: usize) -> Result<Option<u64>, Error> {
    let bytes = image.read(*at, end.min(*at + 10))?;
    let mut value = 0;
    for (place, &byte) in bytes.iter().enumerate() {
        value |= u64::from(byte & 0x7f) << (7 * place);
        if byte < 0x80 {
            *at += place + 1;
            return Ok(Some(value));
        }
    }
    Ok(None)
}
