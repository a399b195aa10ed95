//! Scanning of damaged, unknown and deep messages; the decoder is never stricter.

use netwright_onnx::wire::schema;
use netwright_onnx::wire::{self, UnknownField, WireError, WireProblem, scan};
use proptest::prelude::*;
use prost::Message;

use super::encode::{key, nest, sample};
use super::model;

#[test]
fn damage_is_reported_with_its_position() {
    let check = |bytes: &[u8], path: &str, offset: usize, problem: WireProblem| {
        let expected = WireError { path: format!("ModelProto{path}"), offset, problem };
        assert_eq!(scan(&schema::MODEL, bytes), Err(expected));
    };
    check(&[0x80], "", 0, WireProblem::Cut);
    check(&[0x08, 0x80], ".ir_version", 0, WireProblem::Cut);
    check(&[0x08, 1, 0x3a, 3, 0x12, 2, b'g'], ".graph.name", 4, WireProblem::Length { claimed: 2, left: 1 });
    check(&[0x3a, 0xff, 0xff, 0xff, 0xff, 7], ".graph", 0, WireProblem::Length { claimed: (1 << 31) - 1, left: 0 });
    check(&[0x79, 1, 2], "", 0, WireProblem::Length { claimed: 8, left: 2 });
    check(&[&[0x08][..], &[0xff; 9], &[2]].concat(), ".ir_version", 0, WireProblem::LongNumber);
    check(&[0x00, 0], "", 0, WireProblem::Key { key: 0 });
    check(&[0x0e], ".ir_version", 0, WireProblem::Key { key: 14 });
    check(&[0x80, 0x80, 0x80, 0x80, 0x10, 0], "", 0, WireProblem::Key { key: 1 << 32 });
    check(&[0x4b, 0x4c], "", 0, WireProblem::Group { number: 9 });
    check(&[0x4c], "", 0, WireProblem::Group { number: 9 });
    check(&[0x3b, 0x3c], ".graph", 0, WireProblem::Group { number: 7 });
    let wrong = |found, expected: &str| WireProblem::WireType { found, expected: expected.to_owned() };
    check(&[0x0a, 0], ".ir_version", 0, wrong(2, "int64"));
    check(&[0x10, 0], ".producer_name", 0, wrong(0, "string"));
    check(&[0x3d, 0, 0, 0, 0], ".graph", 0, wrong(5, "GraphProto"));
    check(&nest(&[7, 5], &[0x3d, 0, 0, 0, 0]), ".graph.initializer[0].int64_data", 4, wrong(5, "int64"));
    check(
        &nest(&[7, 5], &[0x22, 3, 0, 0, 0]),
        ".graph.initializer[0].float_data",
        4,
        WireProblem::Packed { length: 3, width: 4 },
    );
    check(&nest(&[7, 5], &[0x3a, 1, 0x80]), ".graph.initializer[0].int64_data", 4, WireProblem::Cut);
    let large = WireProblem::Int32 { value: 1 << 31 };
    check(&nest(&[7, 5], &[0x10, 0x80, 0x80, 0x80, 0x80, 8]), ".graph.initializer[0].data_type", 4, large);

    let nodes = [nest(&[1], &[]), nest(&[1, 5], &[]), nest(&[1], &[0x22, 2, b'a', 0xff])].concat();
    check(&nest(&[7], &nodes), ".graph.node[2].op_type", 10, WireProblem::Utf8 { valid: 1 });
}

#[test]
fn forms_that_decoders_accept() {
    let check = |bytes: &[u8], expected: wire::TensorProto| {
        assert_eq!(scan(&schema::TENSOR, bytes), Ok(vec![]));
        assert_eq!(wire::TensorProto::decode(bytes), Ok(expected));
    };
    let packed_dims = [0x0a, 2, 1, 2];
    check(&packed_dims, wire::TensorProto { dims: vec![1, 2], ..Default::default() });
    let unpacked_data = [0x38, 5, 0x38, 6];
    check(&unpacked_data, wire::TensorProto { int64_data: vec![5, 6], ..Default::default() });
    let message_in_two_parts = [0x1a, 2, 0x08, 1, 0x1a, 2, 0x10, 9];
    let segment = Some(wire::SegmentProto { begin: Some(1), end: Some(9) });
    check(&message_in_two_parts, wire::TensorProto { segment, ..Default::default() });
}

#[test]
fn unknown_fields_are_listed_and_can_be_preserved() {
    let mut node = Vec::new();
    for (number, wire_type, value) in [(11, 0, &[7][..]), (99, 2, &[1, 7]), (100, 5, &[7; 4]), (101, 1, &[7; 8])] {
        key(number, wire_type, &mut node);
        node.extend(value);
    }
    let bytes = nest(&[7], &[nest(&[1], &[]), nest(&[1], &node)].concat());
    let unknown = scan(&schema::MODEL, &bytes).unwrap();
    let path = "ModelProto.graph.node[1]".to_owned();
    assert_eq!(unknown[0], UnknownField { path, message: "NodeProto", number: 11, bytes: 6..8 });
    assert_eq!(unknown.iter().map(|field| field.number).collect::<Vec<_>>(), [11, 99, 100, 101]);
    assert_eq!(unknown.iter().flat_map(|field| &bytes[field.bytes.clone()]).copied().collect::<Vec<_>>(), node);

    let full = [0x48, 1].repeat(wire::MAX_UNKNOWN_FIELDS);
    assert_eq!(scan(&schema::MODEL, &full).unwrap().len(), wire::MAX_UNKNOWN_FIELDS);
    let error = scan(&schema::MODEL, &[&full[..], &[0x48, 1]].concat()).unwrap_err();
    assert_eq!((error.offset, error.problem), (full.len(), WireProblem::Unknown { number: 9 }));
}

#[test]
fn nesting_is_limited() {
    // Field 99 is unknown everywhere; prost counts a level for it.
    let unknown = [0x98, 0x06, 1];
    let nested = |numbers: &mut dyn Iterator<Item = u32>| nest(&numbers.collect::<Vec<_>>(), &unknown);

    let subgraphs = |levels| nested(&mut [7].into_iter().chain([1, 5, 6].into_iter().cycle()).take(levels - 1));
    let deepest = subgraphs(wire::MAX_DEPTH);
    assert!(scan(&schema::MODEL, &deepest).is_ok());
    assert!(wire::ModelProto::decode(&*deepest).is_ok());
    let error = scan(&schema::MODEL, &subgraphs(wire::MAX_DEPTH + 1)).unwrap_err();
    assert_eq!(error.problem, WireProblem::Depth);
    assert!(error.path.starts_with("ModelProto.graph.node[0].attribute[0].g.node[0]."));

    let sequences = |types: usize| nested(&mut [4, 1].into_iter().cycle().take(2 * (types - 1)));
    assert!(scan(&schema::TYPE, &sequences(wire::MAX_TYPE_DEPTH)).is_ok());
    let error = scan(&schema::TYPE, &sequences(wire::MAX_TYPE_DEPTH + 1)).unwrap_err();
    assert_eq!(error.problem, WireProblem::TypeDepth);
    let end = "elem_type.sequence_type.elem_type";
    assert!(error.path.starts_with("TypeProto.sequence_type.elem_type.") && error.path.ends_with(end));
    // However deep the nesting, the scan stops at the same position with the same error.
    assert_eq!(scan(&schema::TYPE, &sequences(1000)).unwrap_err().path, error.path);
}

/// Checks that the decoder decodes whatever the scan accepts, and that neither panics.
fn scan_is_the_stricter(bytes: &[u8]) {
    let decoded = wire::ModelProto::decode(bytes);
    if let Ok(unknown) = scan(&schema::MODEL, bytes) {
        assert!(unknown.iter().all(|field| field.bytes.end <= bytes.len()));
        assert!(decoded.is_ok(), "{decoded:?}");
    }
}

#[test]
fn cut_at_every_byte() {
    for file in [model().encode_to_vec(), sample(&schema::MODEL, 0, 2)] {
        for length in 0..file.len() {
            scan_is_the_stricter(&file[..length]);
        }
    }
}

proptest! {
    #[test]
    fn bytes_changed_at_random(
        nth in 0..6usize,
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
    ) {
        for mut file in [model().encode_to_vec(), sample(&schema::MODEL, nth, 2)] {
            for (place, byte) in &changes {
                let place = place.index(file.len());
                file[place] = *byte;
            }
            scan_is_the_stricter(&file);
        }
    }
}
