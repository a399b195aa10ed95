//! The structure of a model file, without its weights.
//!
//! tract would hold the bytes of every tensor twice: in its protobuf message and in its own tensor. So large weights
//! stay in the file until tract requests them: they become external data whose offset is an index into a list of
//! ranges.

use netwright_files::{Range, Source};
use std::path::Path;
use tract_onnx::data_resolver::ModelDataResolver;
use tract_onnx::prelude::TractResult;

/// The size in bytes from which a tensor stays in the file.
const LARGE: u64 = 1 << 14;

/// The location of weights that stay in the model's own file; no file can have this name.
pub(crate) const OWN: &str = "\0";

/// Field numbers of `onnx.proto`.
pub(crate) const MODEL_GRAPH: u64 = 7;
const GRAPH_INITIALIZER: u64 = 5;
const TENSOR_RAW_DATA: u64 = 9;
const TENSOR_EXTERNAL_DATA: u64 = 13;
const TENSOR_DATA_LOCATION: u64 = 14;

/// The file ranges of the weights of a model.
#[derive(Clone, Debug, Default)]
pub(crate) struct Weights(Vec<Range>);

impl Weights {
    /// Returns the number of ranges.
    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    /// Adds a range, and returns its index as the value of the key `offset`.
    pub(crate) fn keep(&mut self, range: Range) -> String {
        self.0.push(range);
        (self.0.len() - 1).to_string()
    }

    /// Returns the range with an index.
    pub(crate) fn range(&self, at: usize) -> Option<&Range> {
        self.0.get(at)
    }

    /// Returns the first bytes of the range with an index, at most `limit`; none if they cannot be read.
    pub(crate) fn sample(&self, at: usize, limit: usize) -> Vec<u8> {
        let Some(range) = self.0.get(at) else { return vec![] };
        let mut bytes = vec![0; usize::try_from(range.len()).map_or(limit, |length| length.min(limit))];
        if range.read(0, &mut bytes).is_err() {
            bytes.clear();
        }
        bytes
    }
}

impl ModelDataResolver for Weights {
    fn read_bytes_from_path(&self, buf: &mut Vec<u8>, _: &Path, at: usize, _: Option<usize>) -> TractResult<()> {
        let range = self.0.get(at).ok_or_else(|| std::io::Error::other("no weight has that index"))?;
        let length = usize::try_from(range.len())?;
        buf.resize(length, 0);
        range.read(0, buf).map_err(std::io::Error::other)?;
        Ok(())
    }
}

/// Returns the bytes of a model without its large weights; `None` if they are not protobuf.
pub(crate) fn skim(bytes: &[u8], source: &Source, weights: &mut Weights) -> Option<Vec<u8>> {
    let tensor = |bytes: &[u8], first: u64, weights: &mut Weights| {
        let mut frame = vec![];
        for field in Fields::of(bytes) {
            let Field { number, start, content, end } = field?;
            match content {
                Some(content) if number == TENSOR_RAW_DATA && (end - content) as u64 >= LARGE => {
                    let range = source.range(first + content as u64, (end - content) as u64).ok()?;
                    for (key, value) in [("location", OWN), ("offset", &*weights.keep(range))] {
                        let mut entry = vec![];
                        put_bytes(&mut entry, 1, key.as_bytes());
                        put_bytes(&mut entry, 2, value.as_bytes());
                        put_bytes(&mut frame, TENSOR_EXTERNAL_DATA, &entry);
                    }
                    put(&mut frame, TENSOR_DATA_LOCATION << 3);
                    put(&mut frame, 1);
                }
                // A model that contains such a location itself is left to the reader of external data, which refuses
                // it.
                Some(content) if number == TENSOR_EXTERNAL_DATA && bytes[content..end].contains(&0) => return None,
                _ => frame.extend_from_slice(&bytes[start..end]),
            }
        }
        Some(frame)
    };
    let graph = |bytes: &[u8], first: u64, weights: &mut Weights| {
        replaced(bytes, GRAPH_INITIALIZER, |content, at| tensor(content, first + at, weights))
    };
    replaced(bytes, MODEL_GRAPH, |content, at| graph(content, at, weights))
}

/// Returns a message with the contents of one field replaced; `by` receives the contents and their position.
fn replaced(bytes: &[u8], of: u64, mut by: impl FnMut(&[u8], u64) -> Option<Vec<u8>>) -> Option<Vec<u8>> {
    let mut frame = vec![];
    for field in Fields::of(bytes) {
        let Field { number, start, content, end } = field?;
        match content {
            Some(content) if number == of => put_bytes(&mut frame, of, &by(&bytes[content..end], content as u64)?),
            _ => frame.extend_from_slice(&bytes[start..end]),
        }
    }
    Some(frame)
}

/// A field of a message from `start` to `end`, and the position of its content, if it has a length.
pub(crate) struct Field {
    pub(crate) number: u64,
    start: usize,
    pub(crate) content: Option<usize>,
    pub(crate) end: usize,
}

/// Iterates over the fields of a message; ends with `None` at bytes that are not a field.
pub(crate) struct Fields<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Fields<'a> {
    pub(crate) fn of(bytes: &'a [u8]) -> Self {
        Self { bytes, at: 0 }
    }
}

impl Iterator for Fields<'_> {
    type Item = Option<Field>;

    fn next(&mut self) -> Option<Option<Field>> {
        (self.at < self.bytes.len()).then(|| {
            let field = self.field();
            self.at = field.as_ref().map_or(self.bytes.len(), |field| field.end);
            field
        })
    }
}

impl Fields<'_> {
    fn field(&self) -> Option<Field> {
        let start = self.at;
        let (key, at) = self.number(start)?;
        let (content, end) = match key & 7 {
            0 => (None, self.number(at)?.1),
            1 => (None, at.checked_add(8)?),
            2 => {
                let (length, at) = self.number(at)?;
                (Some(at), at.checked_add(usize::try_from(length).ok()?)?)
            }
            5 => (None, at.checked_add(4)?),
            _ => return None,
        };
        (end <= self.bytes.len()).then_some(Field { number: key >> 3, start, content, end })
    }

    /// Reads a varint; returns it and the position after it.
    fn number(&self, at: usize) -> Option<(u64, usize)> {
        let mut number = 0;
        for (shift, byte) in self.bytes.get(at..)?.iter().take(10).enumerate() {
            number |= u64::from(byte & 0x7f).checked_shl(7 * u32::try_from(shift).ok()?)?;
            if byte & 0x80 == 0 {
                return Some((number, at + shift + 1));
            }
        }
        None
    }
}

fn put(out: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        out.push(number.to_le_bytes()[0] | 0x80);
        number >>= 7;
    }
    out.push(number.to_le_bytes()[0]);
}

/// Appends a field of bytes to a message of protobuf.
pub(crate) fn put_bytes(out: &mut Vec<u8>, field: u64, bytes: &[u8]) {
    put(out, field << 3 | 2);
    put(out, bytes.len() as u64);
    out.extend_from_slice(bytes);
}

#[cfg(test)]
mod tests {
    use super::*;
    use prost::Message;
    use tract_onnx::pb;

    fn skimmed(model: &pb::ModelProto) -> (Option<pb::ModelProto>, Vec<Vec<u8>>) {
        let folder = tempfile::TempDir::new().unwrap();
        let path = folder.path().join("model.onnx");
        let bytes = model.encode_to_vec();
        std::fs::write(&path, &bytes).unwrap();
        let mut weights = Weights::default();
        let frame = skim(&bytes, &Source::open(&path).unwrap(), &mut weights);
        let read = |at| {
            let mut buf = vec![];
            weights.read_bytes_from_path(&mut buf, Path::new("."), at, None).unwrap();
            buf
        };
        let frame = frame.map(|frame| pb::ModelProto::decode(&*frame).unwrap());
        (frame, (0..weights.len()).map(read).collect())
    }

    fn model(tensors: Vec<pb::TensorProto>) -> pb::ModelProto {
        let graph = pb::GraphProto { initializer: tensors, name: "g".to_owned(), ..Default::default() };
        pb::ModelProto { graph: Some(graph), ir_version: 10, ..Default::default() }
    }

    fn tensor(name: &str, raw_data: Vec<u8>) -> pb::TensorProto {
        pb::TensorProto { name: name.to_owned(), raw_data, dims: vec![1], data_type: 2, ..Default::default() }
    }

    #[test]
    fn large_weights_stay_in_the_file() {
        let large: Vec<u8> = (0..40_000_u32).map(|at| at.to_le_bytes()[0]).collect();
        let whole = model(vec![tensor("a", vec![1, 2]), tensor("b", large.clone()), tensor("c", vec![7; 20_000])]);
        let (frame, weights) = skimmed(&whole);
        assert_eq!(weights, [large, vec![7; 20_000]]);
        let mut frame = frame.unwrap();
        let tensors = &mut frame.graph.as_mut().unwrap().initializer;
        for (tensor, weight) in tensors[1..].iter_mut().zip(weights) {
            assert_eq!(tensor.external_data[0].value, OWN);
            (tensor.raw_data, tensor.data_location) = (weight, None);
            tensor.external_data.clear();
        }
        assert_eq!(frame, whole);
    }

    /// Models that contain such a location themselves, and bytes that are not protobuf, are left to the decoder.
    #[test]
    fn other_models_are_left_to_the_decoder() {
        let entry = pb::StringStringEntryProto { key: "location".to_owned(), value: OWN.to_owned() };
        let forged = pb::TensorProto { external_data: vec![entry], ..tensor("a", vec![]) };
        assert_eq!(skimmed(&model(vec![forged])).0, None);
        let folder = tempfile::TempDir::new().unwrap();
        let path = folder.path().join("model.onnx");
        std::fs::write(&path, b"").unwrap();
        let source = Source::open(&path).unwrap();
        for bytes in [&[0x3a_u8][..], &[0x3a, 5, 1], &[0x3f], &[0xff; 20], &[0x3a, 2, 0x2a, 9]] {
            assert_eq!(skim(bytes, &source, &mut Weights::default()), None, "{bytes:?}");
        }
    }
}
