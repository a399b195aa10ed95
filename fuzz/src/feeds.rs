//! Adversarial inputs for a model, chosen by the names of the inputs.

use crate::element::Elem;
use crate::random::Random;
use netwright::verify::{Array, Values};
use onnx_protobuf::tensor_shape_proto::dimension;
use onnx_protobuf::{ModelProto, ValueInfoProto, type_proto};

/// A scenario: the sizes of symbols, and the values to choose from.
#[derive(Clone, Copy, Debug)]
pub struct Scenario {
    /// A one-line description.
    pub summary: &'static str,
    batch: usize,
    seq: usize,
    past: usize,
    memory: usize,
    scale: f64,
    mask: Masking,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Masking {
    None,
    Left,
    /// Right padding in the first row, and a fully masked last row.
    RightAndWhole,
}

/// The scenarios for every model.
pub const SCENARIOS: [Scenario; 6] = [
    Scenario { summary: "left padding", batch: 2, seq: 5, past: 3, memory: 4, scale: 1.0, mask: Masking::Left },
    Scenario { summary: "sizes of 1", batch: 1, seq: 1, past: 2, memory: 1, scale: 3.0, mask: Masking::None },
    Scenario {
        summary: "right padding, a fully masked row, one outlier",
        batch: 3,
        seq: 4,
        past: 1,
        memory: 3,
        scale: 1.0,
        mask: Masking::RightAndWhole,
    },
    Scenario {
        summary: "no past, some zeros of either sign",
        batch: 2,
        seq: 3,
        past: 0,
        memory: 2,
        // Scores stay below about 1,000: fusing a mask of -10,000 assumes that scores do not come near it.
        scale: 5.0,
        mask: Masking::Left,
    },
    Scenario { summary: "an empty batch", batch: 0, seq: 3, past: 1, memory: 2, scale: 1.0, mask: Masking::None },
    Scenario { summary: "no tokens", batch: 2, seq: 0, past: 1, memory: 2, scale: 1.0, mask: Masking::None },
];

impl Scenario {
    /// Returns whether the batch or the number of tokens is 0.
    pub fn is_empty(&self) -> bool {
        self.batch == 0 || self.seq == 0
    }

    /// Returns the size of a name, which may be a sum or a product of names.
    fn size(&self, name: &str) -> usize {
        if let Some((a, b)) = name.split_once(" + ") {
            return self.size(a) + self.size(b);
        }
        if let Some((a, b)) = name.split_once('*') {
            return self.size(a) * self.size(b);
        }
        match name {
            "batch" => self.batch,
            "seq" => self.seq,
            "past" => self.past,
            "memory" => self.memory,
            number => number.parse().unwrap_or(2),
        }
    }
}

/// Returns the inputs of a model for a scenario, as far as their types are supported.
pub fn feeds(model: &ModelProto, scenario: &Scenario, seed: u64) -> Vec<(String, Array)> {
    let mut random = Random::new(seed);
    let graph = model.graph.as_ref();
    let given: Vec<&ValueInfoProto> = graph.into_iter().flat_map(|graph| &graph.input).collect();
    given.iter().filter_map(|input| Some((input.name.clone(), feed(input, scenario, &mut random)?))).collect()
}

fn feed(input: &ValueInfoProto, scenario: &Scenario, random: &mut Random) -> Option<Array> {
    let Some(type_proto::Value::TensorType(tensor)) = &input.type_.as_ref()?.value else { return None };
    let elem = Elem::of(tensor.elem_type)?;
    let dims = tensor.shape.as_ref().map(|shape| shape.dim.as_slice()).unwrap_or_default();
    let shape: Vec<usize> = dims
        .iter()
        .map(|dim| match &dim.value {
            Some(dimension::Value::DimValue(size)) => usize::try_from(*size).unwrap_or(2),
            Some(dimension::Value::DimParam(name)) => scenario.size(name),
            _ => 2,
        })
        .collect();
    let count: usize = shape.iter().product();
    let word = input.name.split('_').next().unwrap_or_default();
    let row = shape.last().copied().unwrap_or(1).max(1);
    let rows = count / row;
    let values: Vec<f64> = match word {
        "mask" => (0..count).map(|at| f64::from(u8::from(scenario.sees(at / row, rows, at % row, row)))).collect(),
        "ids" => (0..count).map(|_| small(random, 7)).collect(),
        #[expect(clippy::cast_precision_loss, reason = "positions are small")]
        "positions" => (0..count).map(|at| (scenario.past + at % row) as f64).collect(),
        "flag" | "flags" => (0..count).map(|_| small(random, 2)).collect(),
        "count" => (0..count).map(|_| small(random, 4)).collect(),
        "numbers" => (0..count).map(|_| small(random, 5)).collect(),
        _ => floats(count, scenario, random),
    };
    array(elem, shape, &values)
}

fn small(random: &mut Random, end: usize) -> f64 {
    f64::from(u8::try_from(random.below(end)).unwrap_or(0))
}

fn floats(count: usize, scenario: &Scenario, random: &mut Random) -> Vec<f64> {
    let mut values: Vec<f64> = (0..count).map(|_| random.normal() * scenario.scale).collect();
    if count > 0 && scenario.mask == Masking::RightAndWhole {
        values[random.below(count)] = 20.0;
    }
    if scenario.past == 0 {
        for at in (0..count).step_by(3) {
            values[at] = if at % 2 == 0 { 0.0 } else { -0.0 };
        }
    }
    values
}

impl Scenario {
    /// Returns whether a mask shows the key at an index of a row.
    fn sees(&self, row: usize, rows: usize, at: usize, keys: usize) -> bool {
        match self.mask {
            Masking::None => true,
            Masking::Left => row != 0 || at >= 2.min(keys - 1),
            Masking::RightAndWhole => (row != 0 || at + 1 < keys) && row + 1 != rows,
        }
    }
}

/// Returns an array with an element type.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "numbers are small")]
pub(crate) fn array(elem: Elem, shape: Vec<usize>, values: &[f64]) -> Option<Array> {
    fn all<T>(values: &[f64], make: impl Fn(f64) -> T) -> Values
    where
        Values: From<Vec<T>>,
    {
        Values::from(values.iter().map(|&value| make(value)).collect::<Vec<T>>())
    }
    let values = match elem {
        Elem::Bool => all(values, |value| value != 0.0),
        Elem::U8 => all(values, |value| value as u8),
        Elem::I8 => all(values, |value| value as i8),
        Elem::U16 => all(values, |value| value as u16),
        Elem::I16 => all(values, |value| value as i16),
        Elem::U32 => all(values, |value| value as u32),
        Elem::I32 => all(values, |value| value as i32),
        Elem::U64 => all(values, |value| value as u64),
        Elem::I64 => all(values, |value| value as i64),
        Elem::F16 => all(values, half::f16::from_f64),
        Elem::F32 => all(values, |value| value as f32),
        Elem::F64 => all(values, |value| value),
        Elem::BF16 | Elem::U4 | Elem::I4 => return None,
    };
    Array::new(shape, values).ok()
}
