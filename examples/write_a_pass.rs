//! Writes a pass: `cargo run --release --example write_a_pass`.
//!
//! A pass is a card and a rewrite: a name, one line of the form `a -> b`, how exact it is, what it matches, and what
//! replaces it. This one matches a pattern; others match kinds of nodes. It turns `x / sqrt(y)` into
//! `x * (1 / sqrt(y))`, and declines if that saves nothing.
#![expect(clippy::print_stdout, reason = "an example shows what it did")]

use netwright::evaluate::Tract;
use netwright::ir::{Detail, ElementType, Model, Op, parse};
use netwright::passes::pattern::{any, div, sqrt};
use netwright::passes::pipeline::{self, Limits};
use netwright::passes::rewrite::{become_op, insert, keeps_shape};
use netwright::passes::{Exactness, Options, Pass, Prover, Skip, Target, diff, optimize};

/// `x / sqrt(y)` -> `x * (1 / sqrt(y))`
///
/// One reciprocal of a column is cheaper than a division for every element. It rounds twice, and the division once,
/// so a result may be off by a unit in its last place.
fn multiply_by_reciprocal() -> Pass {
    let (x, y) = (any("x"), any("y"));
    Pass::new("multiply-by-reciprocal", "x / sqrt(y) -> x * (1 / sqrt(y))", Exactness::Rounding).matching(
        // A node that is replaced must have no other use.
        div(x, sqrt(y).single_use()),
        move |graph, found| {
            let root = found.root();
            // Check a side condition, and report why the rule declines.
            if graph.fact(root).element() != Some(ElementType::F32) {
                return Err(Skip::rejected("a second rounding is accepted only in f32"));
            }
            let divisor = graph.operand(root.node, 1).ok_or(Skip::NoMatch)?;
            if !keeps_shape(graph, found[x], divisor) || graph.shape(divisor) == graph.shape(root) {
                return Err(Skip::rejected("there are as many divisors as quotients, so nothing is saved"));
            }
            // New nodes are inserted next to the root; the replacement takes over its name and position.
            let reciprocal = insert(graph, root, "reciprocal", Op::Reciprocal, &[divisor])?;
            become_op(graph, root, Op::Mul, &[found[x], reciprocal], "multiplies by the reciprocal")
        },
    )
}

const MODEL: &str = "
    norm(%x: f32[batch, seq, 64], %mean_square: f32[batch, seq, 1], %scale: f32[batch, seq, 64]) {
      %root = sqrt %mean_square : f32[batch, seq, 1]
      %normalized = div %x, %root : f32[batch, seq, 64]
      %scale_root = sqrt %scale : f32[batch, seq, 64]
      %scaled = div %normalized, %scale_root : f32[batch, seq, 64]
      return %scaled
    }";

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut graph = parse(MODEL)?;
    let before = graph.to_text(Detail::Elided);
    let report = pipeline::run(&[multiply_by_reciprocal()], &mut graph, Limits { check: true, ..Limits::default() })?;
    print!("{}", diff(&before, &graph.to_text(Detail::Elided)));
    report.applied.iter().for_each(|event| println!("applied   {event}"));
    report.declined.iter().for_each(|event| println!("declined  {event}"));

    // In the pipeline it runs after the pass that it names, and tract proves each of its rewrites.
    let mut model = Model::new(parse(MODEL)?);
    let own = multiply_by_reciprocal().after(&["canonicalize"]);
    let options = Options::for_target(Target::TRACT).with_own(own).with_prover(Prover::new(Tract));
    let report = optimize(&mut model, &options)?;
    print!("{report}");
    report.proofs.iter().for_each(|proofs| println!("proven    {}", proofs.proven));
    Ok(())
}
