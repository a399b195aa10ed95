//! The chunks of a WAV file.

/// The start of a file or chunk of unknown length, which programs write that cannot go back to the header.
const STREAMED: [u32; 2] = [0, u32::MAX];

/// Returns the file with nothing but the format and the samples; those of a streamed file extend to its end. A file that
/// has no such chunks stays as it is.
pub(super) fn canonical(bytes: Vec<u8>) -> Vec<u8> {
    essential(&bytes).unwrap_or(bytes)
}

fn essential(bytes: &[u8]) -> Option<Vec<u8>> {
    let number = |at: usize| Some(u32::from_le_bytes(bytes.get(at..at + 4)?.try_into().ok()?));
    if bytes.get(..4)? != b"RIFF" || bytes.get(8..12)? != b"WAVE" {
        return None;
    }
    let mut format = None;
    let mut at = 12;
    loop {
        let (name, size) = (bytes.get(at..at + 4)?, number(at + 4)?);
        let rest = &bytes[at + 8..];
        let length = usize::try_from(size).ok()?;
        match name {
            b"fmt " => format = Some(&bytes[at..at + 8 + rest.get(..length)?.len()]),
            b"data" => {
                let format = format?;
                let frame = usize::from(u16::from_le_bytes(format.get(20..22)?.try_into().ok()?)).max(1);
                // An empty file has the length of its header.
                let is_streamed = size == u32::MAX || size == 0 && STREAMED.contains(&number(4)?);
                let samples = if is_streamed { &rest[..rest.len() / frame * frame] } else { rest.get(..length)? };
                let size = |length: usize| u32::try_from(length).ok().map(u32::to_le_bytes);
                let parts = [b"RIFF", &size(format.len() + samples.len() + 12)?[..], b"WAVE", format, b"data"];
                return Some([&parts.concat()[..], &size(samples.len())?, samples].concat());
            }
            _ => {}
        }
        // Chunks start at even places.
        at = at.checked_add(8 + length + length % 2)?;
    }
}
