//! Constant folding with tract.

use crate::ir::{Graph, Model, Op, Tensor, Value};
use crate::passes::Evaluate;
use crate::verify::{ModelFile, Session};
use crate::{ir, onnx};

/// Evaluates constants with tract.
///
/// ```
/// use netwright::evaluate::Tract;
/// use netwright::passes::{Options, optimize};
/// let graph = netwright::ir::parse("g(%x: f32[n]) {
///   %half = sqrt 0.25 : f32[]
///   %y = mul %x, %half : f32[n]
///   return %y
/// }")?;
/// let mut model = netwright::ir::Model::new(graph);
/// optimize(&mut model, &Options::default().with_evaluator(Tract))?;
/// assert!(model.graph.to_string().contains("%y = mul %x, 0.5"));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Tract;

impl Evaluate for Tract {
    fn evaluate(&self, op: &Op, operands: &[&Tensor]) -> Option<Tensor> {
        let mut graph = Graph::new("constant");
        let operands: Vec<Value> = operands.iter().map(|tensor| graph.constant("operand", (*tensor).clone())).collect();
        let result = graph.append("result", op.clone(), &operands).ok()?;
        graph.output("result", result);
        let bytes = onnx::to_bytes(&Model::new(graph)).ok()?;
        let file = ModelFile::from_bytes("constant", &bytes).ok()?;
        let (_, array) = Session::new(&file).ok()?.run(&[]).ok()?.into_iter().next()?;
        let dims: Vec<u64> = array.shape().iter().map(|&size| size as u64).collect();
        ir::Tensor::from_bytes(array.element(), &dims, array.to_bytes()).ok()
    }
}
