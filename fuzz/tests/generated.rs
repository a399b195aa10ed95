//! Generated models without ONNX Runtime: each is read, optimized for every target, written and read again.

use netwright::onnx::{ReadOptions, read, to_bytes};
use netwright::passes::{Limits, Options, Target, optimize};
use netwright_fuzz::generate;
use onnx_protobuf::{Message, ModelProto, ValueInfoProto};

fn names(ports: &[ValueInfoProto]) -> Vec<&str> {
    ports.iter().map(|port| port.name.as_str()).collect()
}

#[test]
fn models_keep_their_interface_and_can_be_read_again() {
    let folder = tempfile::tempdir().expect("there is a folder for temporary files");
    let path = folder.path().join("model.onnx");
    let read_bytes = |bytes: &[u8]| {
        std::fs::write(&path, bytes).expect("it is written");
        read(&path, &ReadOptions::default())
    };
    for seed in 0..100 {
        let generated = generate(seed);
        let model = read_bytes(&generated.write_to_bytes().expect("it is encoded"));
        let model = model.unwrap_or_else(|error| panic!("seed {seed}: {error}"));
        for target in Target::ALL {
            let mut model = model.clone();
            let limits = Limits { check: true, ..Limits::default() };
            let options = Options::for_target(target).with_limits(limits);
            optimize(&mut model, &options).unwrap_or_else(|error| panic!("seed {seed}, {target}: {error}"));
            let bytes = to_bytes(&model).unwrap_or_else(|error| panic!("seed {seed}, {target}: {error}"));
            let written = ModelProto::parse_from_bytes(&bytes).expect("the second decoder reads it");
            assert_eq!(names(&written.graph.input), names(&generated.graph.input), "seed {seed}, {target}");
            assert_eq!(names(&written.graph.output), names(&generated.graph.output), "seed {seed}, {target}");
            read_bytes(&bytes).unwrap_or_else(|error| panic!("seed {seed}, {target}: {error}"));
        }
    }
}
