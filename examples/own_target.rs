//! Optimizes a model for a runtime of your own: `cargo run --release --example own_target`.
//!
//! A target is a table of what a runtime runs well. Start with the nearest one and change what differs; docs/targets.md
//! lists the fields. This runtime computes standard operators of opset 23, but does not have Gelu.
#![expect(clippy::print_stdout, reason = "an example shows what it did")]

use netwright::inventory::inventory;
use netwright::ir::OpKind;
use netwright::prelude::*;
use std::error::Error;

const MODEL: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/interop/models/bert.legacy.onnx");

fn edge() -> Target {
    let mut edge = Target::ONNX;
    edge.name = "edge";
    edge.summary = "an accelerator";
    edge.lacks = &[OpKind::Gelu];
    edge.raises_opset = true;
    edge.newest_opset = 23;
    edge
}

fn main() -> Result<(), Box<dyn Error>> {
    for target in [Target::ONNX, Target::ORT, edge()] {
        let mut model = read(MODEL, &ReadOptions::default())?;
        optimize(&mut model, &OptimizeOptions::for_target(target))?;
        let counts = inventory(&model);
        let count = |name: &str| counts.operators.get(name).copied().unwrap_or(0);
        let (attentions, gelus) = (count("Attention"), count("Gelu") + count("com.microsoft::BiasGelu"));
        println!("{:4}  opset {}, {attentions} Attention, {gelus} Gelu", target.name, model.opset());
        if target == edge() {
            assert!(model.opset() == 23 && attentions == 2 && gelus == 0);
            let path = std::env::temp_dir().join("netwright_own_target.onnx");
            write(&model, &path, &WriteOptions::default())?;
            println!("{}", verify(MODEL, Some(&path), &VerifyOptions::default())?);
        }
    }
    Ok(())
}
