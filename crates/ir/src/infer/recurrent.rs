//! Recurrent networks.
#![expect(clippy::too_many_arguments, reason = "the table of operators hands every attribute")]

use super::expect::first_results;
use super::{InferError, Operands, Outcome, tensor};
use crate::op::Direction;
use crate::{Dim, ElementType, Shape};
use bytes::Bytes;

pub(crate) fn rnn(
    x: &Operands<'_>,
    _activation_alpha: &Option<Vec<f32>>,
    _activation_beta: &Option<Vec<f32>>,
    _activations: &Option<Vec<Bytes>>,
    _clip: &Option<f32>,
    direction: &Direction,
    hidden_size: &Option<i64>,
    layout: &bool,
) -> Outcome {
    x.arity(3..=6, 0..=2)?;
    recurrent(x, &Cell { gates: 1, direction: *direction, hidden_size: *hidden_size, batch_first: *layout })
}

pub(crate) fn gru(
    x: &Operands<'_>,
    _activation_alpha: &Option<Vec<f32>>,
    _activation_beta: &Option<Vec<f32>>,
    _activations: &Option<Vec<Bytes>>,
    _clip: &Option<f32>,
    direction: &Direction,
    hidden_size: &Option<i64>,
    layout: &bool,
    _linear_before_reset: &bool,
) -> Outcome {
    x.arity(3..=6, 0..=2)?;
    recurrent(x, &Cell { gates: 3, direction: *direction, hidden_size: *hidden_size, batch_first: *layout })
}

/// LSTM: the only one with a second state, the cell, and with peepholes.
pub(crate) fn lstm(
    x: &Operands<'_>,
    _activation_alpha: &Option<Vec<f32>>,
    _activation_beta: &Option<Vec<f32>>,
    _activations: &Option<Vec<Bytes>>,
    _clip: &Option<f32>,
    direction: &Direction,
    hidden_size: &Option<i64>,
    _input_forget: &bool,
    layout: &bool,
) -> Outcome {
    x.arity(3..=8, 0..=3)?;
    recurrent(x, &Cell { gates: 4, direction: *direction, hidden_size: *hidden_size, batch_first: *layout })
}

struct Cell {
    gates: i64,
    direction: Direction,
    hidden_size: Option<i64>,
    batch_first: bool,
}

/// Operands: data, weights of the data and of the state, biases, lengths, initial states, peepholes.
fn recurrent(x: &Operands<'_>, cell: &Cell) -> Outcome {
    x.expect_element(0, "a float type", ElementType::is_float)?;
    x.expect_element(4, "i32", |element| element == ElementType::I32)?;
    let element = x.common_element([0, 1, 2, 3, 5, 6, 7])?;
    let [outer, inner, input] = x.sizes_of(0)?;
    let (sequence, batch) = if cell.batch_first { (inner, outer) } else { (outer, inner) };
    let hidden = hidden_size(x, cell)?;
    let directions = Dim::Known(if cell.direction == Direction::Bidirectional { 2 } else { 1 });
    let rows = |gates: i64| hidden.times(&Dim::Known(gates));
    let state = if cell.batch_first {
        [batch.clone(), directions.clone(), hidden.clone()]
    } else {
        [directions.clone(), batch.clone(), hidden.clone()]
    };
    let mut assumed = vec![];
    let expected: [(usize, &str, &[Dim]); 7] = [
        (1, "W", &[directions.clone(), rows(cell.gates), input]),
        (2, "R", &[directions.clone(), rows(cell.gates), hidden.clone()]),
        (3, "B", &[directions.clone(), rows(2 * cell.gates)]),
        (4, "sequence_lens", std::slice::from_ref(&batch)),
        (5, "initial_h", &state),
        (6, "initial_c", &state),
        (7, "P", &[directions.clone(), rows(3)]),
    ];
    for (at, name, sizes) in expected {
        if let Some(shape) = x.shape(at) {
            let expected = Shape::from_iter(sizes.iter().cloned());
            x.expect_same_shape(shape, sizes, &format!("the shape {shape} of {name} and {expected}"), &mut assumed)?;
        }
    }
    let all =
        if cell.batch_first { [batch, sequence, directions, hidden] } else { [sequence, directions, batch, hidden] };
    let known = |dims: &[Dim]| tensor(element, Some(dims.iter().cloned().collect()));
    Ok(first_results(x, [known(&all), known(&state), known(&state)], assumed))
}

/// Returns the attribute, or the last size of the weights of the state.
fn hidden_size(x: &Operands<'_>, cell: &Cell) -> Result<Dim, InferError> {
    match cell.hidden_size {
        Some(size) if size <= 0 => Err(x.fail(format!("the hidden size must be positive, but is {size}"))),
        Some(size) => Ok(Dim::Known(size)),
        None => {
            let [_, _, hidden] = x.sizes_of(2)?;
            Ok(hidden)
        }
    }
}
