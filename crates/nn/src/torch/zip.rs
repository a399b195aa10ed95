//! The entries of a zip archive as ranges of its file. Only entries that are stored as they are can be read.

use super::{Outcome, malformed};
use netwright_ir::files::{Range, Source};
use std::collections::BTreeMap;

/// The largest number of entries.
const MAX_ENTRIES: u64 = 8192;

/// The largest directory, in bytes.
const MAX_DIRECTORY: u64 = 1 << 23;

/// The bytes of the record at the end of an archive, without its comment.
const END: u64 = 22;

/// The bytes of the record before it that says where the record of 64 bits is.
const LOCATOR: usize = 20;

/// The bytes of an entry before its name: in the directory, and before its data.
const ENTRY: usize = 46;
const LOCAL: usize = 30;

/// An archive.
pub(super) struct Archive {
    /// The entries by name.
    pub(super) entries: BTreeMap<String, Range>,
}

/// Returns the little-endian number of `N` bytes at an offset.
fn number<const N: usize>(bytes: &[u8], at: usize) -> Option<u64> {
    let bytes = bytes.get(at..at.checked_add(N)?)?;
    Some(bytes.iter().rev().fold(0, |number, byte| number << 8 | u64::from(*byte)))
}

impl Archive {
    /// Reads the directory of an archive.
    pub(super) fn open(source: &Source) -> Outcome<Self> {
        let [count, len, start] = end(source)?;
        if count > MAX_ENTRIES || len > MAX_DIRECTORY {
            return malformed(format!("the archive has {count} entries, but may have at most {MAX_ENTRIES}"));
        }
        let mut directory = vec![0; usize::try_from(len).unwrap_or(0)];
        source.read_at(start, &mut directory)?;
        let (mut entries, mut places) = (BTreeMap::new(), vec![]);
        let mut at = 0;
        for _ in 0..count {
            let Some((entry, next)) = Entry::read(&directory, at) else {
                return malformed("the directory of the archive is cut off or damaged");
            };
            at = next;
            if entry.method != 0 || entry.flags & 1 != 0 || entry.stored != entry.size {
                return malformed(format!(
                    "the entry {:?} of the archive is compressed or encrypted\n  help: save the model again as \
                     safetensors, or with torch.save, which does not compress",
                    entry.name
                ));
            }
            let range = entry.range(source, start)?;
            places.push((entry.local, range.offset() + range.len()));
            if entries.insert(entry.name.clone(), range).is_some() {
                return malformed(format!("the archive has two entries {:?}", entry.name));
            }
        }
        places.sort_unstable();
        if places.windows(2).any(|pair| pair[0].1 > pair[1].0) {
            return malformed("the entries of the archive overlap");
        }
        Ok(Self { entries })
    }
}

/// Returns the number of entries, and the size and the offset of the directory.
fn end(source: &Source) -> Outcome<[u64; 3]> {
    const WRONG: &str = "it is not a file of torch.save\n  help: load the model and \
                         save it again as safetensors";
    // A comment of at most 65,535 bytes follows the record.
    let len = source.len().min(END + 0xffff);
    let first = source.len() - len;
    let mut tail = vec![0; usize::try_from(len).unwrap_or(0)];
    source.read_at(first, &mut tail)?;
    let found = tail.windows(4).rposition(|window| window == b"PK\x05\x06");
    let Some(at) = found.filter(|at| at + 22 <= tail.len()) else { return malformed(WRONG) };
    let field = |at, bytes: &[u8]| number::<4>(bytes, at);
    let short = [number::<2>(&tail, at + 10), field(at + 12, &tail), field(at + 16, &tail)];
    let place = first + at as u64;
    let mut found = short.map(Option::unwrap_or_default);
    let mut before = place;
    // Archives of 4 GiB or many entries have a record of 64 bits.
    let mut locator = [0; LOCATOR];
    if let Some(locator_place) = place.checked_sub(LOCATOR as u64)
        && source.read_at(locator_place, &mut locator).is_ok()
        && locator.starts_with(b"PK\x06\x07")
        && let Some(offset) = number::<8>(&locator, 8)
    {
        let mut record = [0; 56];
        source.read_at(offset, &mut record)?;
        if !record.starts_with(b"PK\x06\x06") || offset > place {
            return malformed(WRONG);
        }
        found = [32, 40, 48].map(|at| number::<8>(&record, at).unwrap_or_default());
        before = offset;
    }
    let [_, len, start] = found;
    if start.checked_add(len).is_none_or(|end| end > before) {
        return malformed("the directory of the archive is cut off or damaged");
    }
    Ok(found)
}

/// An entry of the directory.
struct Entry {
    name: String,
    method: u64,
    flags: u64,
    /// The bytes in the archive.
    stored: u64,
    size: u64,
    /// The offset of the header before the data.
    local: u64,
}

impl Entry {
    /// Reads the entry at an offset of the directory, and returns the offset of the next one.
    fn read(directory: &[u8], at: usize) -> Option<(Self, usize)> {
        let header = directory.get(at..at.checked_add(ENTRY)?)?;
        if !header.starts_with(b"PK\x01\x02") {
            return None;
        }
        let length = |at| usize::try_from(number::<2>(header, at)?).ok();
        let (name, extra, comment) = (length(28)?, length(30)?, length(32)?);
        let name_end = at + ENTRY + name;
        let text = std::str::from_utf8(directory.get(at + ENTRY..name_end)?).ok()?;
        let mut sizes = [number::<4>(header, 24)?, number::<4>(header, 20)?, number::<4>(header, 42)?];
        let mut fields = directory.get(name_end..name_end + extra)?;
        while let (Some(id), Some(len)) = (number::<2>(fields, 0), number::<2>(fields, 2)) {
            let (_, rest) = fields.split_at_checked(4)?;
            let (field, next) = rest.split_at_checked(usize::try_from(len).ok()?)?;
            if id == 1 {
                // The numbers that do not fit into 32 bits, in this order.
                let wide = sizes.iter_mut().filter(|size| **size == 0xffff_ffff);
                for (index, size) in wide.enumerate() {
                    *size = number::<8>(field, 8 * index)?;
                }
            }
            fields = next;
        }
        let [size, stored, local] = sizes;
        let (flags, method) = (number::<2>(header, 8)?, number::<2>(header, 10)?);
        let entry = Self { name: text.to_owned(), method, flags, stored, size, local };
        Some((entry, name_end + extra + comment))
    }

    /// Returns the data, which must be before the directory at `end`.
    fn range(&self, source: &Source, end: u64) -> Outcome<Range> {
        let mut header = [0; LOCAL];
        let is_local = source.read_at(self.local, &mut header).is_ok() && header.starts_with(b"PK\x03\x04");
        let names = number::<2>(&header, 26).zip(number::<2>(&header, 28));
        let start = names.and_then(|(name, extra)| self.local.checked_add(LOCAL as u64 + name + extra));
        match start.filter(|_| is_local).and_then(|start| Some((start, start.checked_add(self.size)?))) {
            Some((start, data_end)) if data_end <= end => Ok(source.range(start, self.size)?),
            _ => malformed(format!("the entry {:?} is not within the archive", self.name)),
        }
    }
}
