//! Masks that are added to the scores of attention.

use crate::rewrite::SMALL;
use netwright_ir::{Graph, Kind, Tensor, Value};

/// More operators behind a mask are not followed.
const MOST_STEPS: usize = 16;

/// Whether a mask is shown to be of finite numbers, so that no row is masked whole.
pub(crate) fn is_finite(graph: &Graph, mask: Value) -> bool {
    let number = |of: Option<Value>| graph.tensor(of?).and_then(Tensor::float);
    let mut open = vec![mask];
    for _ in 0..MOST_STEPS {
        let Some(value) = open.pop() else { return true };
        let operands = graph.operands(value.node);
        let operand = |at: usize| operands.get(at).copied().flatten();
        match graph.kind(value) {
            Kind::Where if [1, 2].iter().all(|at| number(operand(*at)).is_some_and(f64::is_finite)) => {}
            Kind::Max if operands.iter().any(|of| number(*of).is_some_and(f64::is_finite)) => {}
            Kind::Add => open.extend(operands.iter().flatten()),
            Kind::Expand | Kind::Unsqueeze | Kind::Squeeze | Kind::Reshape | Kind::Transpose | Kind::Slice => {
                open.extend(operand(0));
            }
            Kind::Constant | Kind::Parameter => {
                let small = graph.tensor(value).filter(|tensor| tensor.len() <= SMALL);
                if !small.and_then(Tensor::floats).is_some_and(|all| all.iter().all(|one| one.is_finite())) {
                    return false;
                }
            }
            _ => return false,
        }
    }
    false
}
