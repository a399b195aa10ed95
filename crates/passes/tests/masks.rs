//! Tests attention with one to three masks of every kind and in every order: the fused form computes the same in every
//! row, including rows that are fully masked.
//!
//! A small evaluator imitates the runtimes, whose kernels skip deeply masked rows in different ways.

#![expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "every number and size is small")]

use insta::{Settings, assert_snapshot};
use netwright_ir::{ElementType, Graph, Op, OpKind, Tensor, Value, parse};
use netwright_passes::{Limits, Target, pipeline};
use proptest::prelude::*;
use proptest::test_runner::{RngSeed, TestRunner};
use std::collections::HashMap;
use std::fmt::Write;

const BATCH: usize = 4;
const HEADS: usize = 2;
const LENGTH: usize = 4;
const SIZE: usize = 2;

/// An array of elements of any type as f32, row by row.
#[derive(Clone, Debug)]
struct Array {
    dims: Vec<usize>,
    data: Vec<f32>,
}

impl Array {
    fn new(dims: &[usize], mut element: impl FnMut(usize) -> f32) -> Self {
        let count = dims.iter().product();
        Self { dims: dims.to_vec(), data: (0..count).map(&mut element).collect() }
    }

    /// Returns the element at indices of a larger shape, which are aligned from the last axis.
    fn at(&self, indices: &[usize]) -> f32 {
        let skipped = indices.len() - self.dims.len();
        let flat = self
            .dims
            .iter()
            .zip(&indices[skipped..])
            .fold(0, |flat, (dim, index)| flat * dim + if *dim == 1 { 0 } else { *index });
        self.data[flat]
    }

    fn last(&self) -> usize {
        self.dims.last().copied().unwrap_or(1)
    }
}

fn indices(dims: &[usize], mut flat: usize) -> Vec<usize> {
    let mut all: Vec<usize> = dims
        .iter()
        .rev()
        .map(|dim| {
            let index = flat % dim;
            flat /= dim;
            index
        })
        .collect();
    all.reverse();
    all
}

fn zip(operands: &[&Array], function: impl Fn(&[f32]) -> f32) -> Array {
    let rank = operands.iter().map(|operand| operand.dims.len()).max().unwrap_or(0);
    let mut dims = vec![1; rank];
    for operand in operands {
        for (dim, own) in dims[rank - operand.dims.len()..].iter_mut().zip(&operand.dims) {
            *dim = (*dim).max(*own);
        }
    }
    Array::new(&dims, |flat| {
        let place = indices(&dims, flat);
        function(&operands.iter().map(|operand| operand.at(&place)).collect::<Vec<f32>>())
    })
}

fn matmul(a: &Array, b: &Array) -> Array {
    let (rank, inner, columns) = (a.dims.len(), a.last(), b.last());
    let dims = [&a.dims[..rank - 1], &[columns]].concat();
    Array::new(&dims, |flat| {
        let place = indices(&dims, flat);
        let (outer, column) = (&place[..rank - 1], place[rank - 1]);
        let terms = (0..inner).map(|at| {
            let above = [&outer[..rank - 2], &[at, column]].concat();
            a.at(&[outer, &[at]].concat()) * b.at(&above)
        });
        // A weight of 0 by a value is 0; a weight of NaN is NaN.
        terms.sum()
    })
}

fn softmax(scores: &Array) -> Array {
    let mut data = scores.data.clone();
    for row in data.chunks_mut(scores.last()) {
        let most = row.iter().copied().fold(f32::NEG_INFINITY, f32::max);
        let most = if row.iter().any(|score| score.is_nan()) { f32::NAN } else { most };
        for score in row.iter_mut() {
            *score = (*score - most).exp();
        }
        let sum: f32 = row.iter().sum();
        for score in row {
            *score /= sum;
        }
    }
    Array { dims: scores.dims.clone(), data }
}

fn transpose(x: &Array, perm: &[usize]) -> Array {
    let dims: Vec<usize> = perm.iter().map(|axis| x.dims[*axis]).collect();
    Array::new(&dims, |flat| {
        let place = indices(&dims, flat);
        let mut from = vec![0; perm.len()];
        perm.iter().zip(&place).for_each(|(axis, index)| from[*axis] = *index);
        x.at(&from)
    })
}

/// Computes attention like ONNX Runtime 1.32 or tract 0.23.9.
fn attention(target: Target, [query, key, value]: [&Array; 3], mask: Option<&Array>, scale: f32) -> Array {
    let products = matmul(query, &transpose(key, &[0, 1, 3, 2]));
    let scaled = zip(&[&products], |x| x[0] * scale);
    let Some(mask) = mask else { return matmul(&softmax(&scaled), value) };
    assert_eq!(mask.dims[mask.dims.len() - 2..], scaled.dims[2..], "runtimes take no mask without an axis of queries");
    let scores = zip(&[&scaled, mask], |x| x[0] + x[1]);
    let whole = zip(&[&scaled, mask], |x| x[1]);
    let mut probabilities = softmax(&scores);
    if target == Target::TRACT {
        // The row is shorter than a block: a fully masked block is skipped, and minus infinity gives 0 / 0.
        let block = LENGTH * LENGTH;
        for (probabilities, mask) in probabilities.data.chunks_mut(block).zip(whole.data.chunks(block)) {
            if mask.iter().all(|mask| *mask < -65503.0) {
                probabilities.fill(0.0);
            }
        }
    } else {
        for (probabilities, mask) in probabilities.data.chunks_mut(LENGTH).zip(whole.data.chunks(LENGTH)) {
            if mask.iter().all(|mask| *mask <= f32::MIN) {
                probabilities.fill(0.0);
            }
        }
    }
    matmul(&probabilities, value)
}

fn evaluate(graph: &Graph, target: Target, inputs: &HashMap<&str, Array>) -> Array {
    let mut values: HashMap<Value, Array> = HashMap::new();
    let truth = |holds: bool| f32::from(u8::from(holds));
    for id in graph.schedule() {
        let root = Value { node: id, result: 0 };
        let operands: Vec<Option<&Array>> =
            graph.operands(id).into_iter().map(|operand| operand.map(|operand| &values[&operand])).collect();
        let operand = |at: usize| operands[at].expect("an operand");
        let apply = |function: fn(f32, f32) -> f32| zip(&[operand(0), operand(1)], |x| function(x[0], x[1]));
        let array = match graph.node(id).op() {
            Op::Input => inputs[&**graph.value_name(root)].clone(),
            Op::Constant(tensor) => {
                let dims: Vec<usize> = tensor.dims().iter().map(|dim| usize::try_from(*dim).expect("small")).collect();
                let integers = || tensor.integers().expect("a small tensor").into_iter().map(|number| number as f64);
                let all: Vec<f64> = tensor.floats().unwrap_or_else(|| integers().collect());
                Array::new(&dims, |at| all[at] as f32)
            }
            Op::Softmax { .. } => softmax(operand(0)),
            Op::Transpose { perm } => transpose(
                operand(0),
                &perm.iter().map(|axis| usize::try_from(*axis).expect("counted up")).collect::<Vec<_>>(),
            ),
            Op::Attention { scale, .. } => {
                let mask = operands.get(3).copied().flatten();
                attention(target, [operand(0), operand(1), operand(2)], mask, scale.expect("a scale"))
            }
            Op::ReduceMax { .. } => {
                let rows = operand(0).data.chunks(operand(0).last());
                let data = rows.map(|row| row.iter().copied().fold(f32::NEG_INFINITY, f32::max)).collect();
                let mut dims = operand(0).dims.clone();
                *dims.last_mut().expect("an axis") = 1;
                Array { dims, data }
            }
            Op::Expand => {
                let shape: Vec<usize> = operand(1).data.iter().map(|size| *size as usize).collect();
                zip(&[operand(0), &Array::new(&shape, |_| 0.0)], |x| x[0])
            }
            op => match op.kind() {
                OpKind::MatMul => matmul(operand(0), operand(1)),
                OpKind::Add => apply(|a, b| a + b),
                OpKind::Sub => apply(|a, b| a - b),
                OpKind::Mul => apply(|a, b| a * b),
                OpKind::Max => apply(f32::max),
                OpKind::Min => apply(f32::min),
                OpKind::Unsqueeze => {
                    let before = [operand(0).dims.as_slice(), &[1]].concat();
                    assert_eq!(operand(1).data, [1.0], "a column");
                    Array { dims: before, data: operand(0).data.clone() }
                }
                OpKind::LessOrEqual => zip(&[operand(0), operand(1)], |x| truth(x[0] <= x[1])),
                OpKind::Less => zip(&[operand(0), operand(1)], |x| truth(x[0] < x[1])),
                OpKind::IsNaN => zip(&[operand(0)], |x| truth(x[0].is_nan())),
                OpKind::Where => zip(&[operand(0), operand(1), operand(2)], |x| if x[0] == 0.0 { x[2] } else { x[1] }),
                OpKind::Cast => operand(0).clone(),
                kind => panic!("{} is not evaluated", kind.word()),
            },
        };
        values.insert(root, array);
    }
    values[&graph.outputs()[0].value].clone()
}

const SCORES: &str = "[4, 2, 4, 4]";

/// The lines that mask the scores `#x` into `#y`; `#` is replaced with the number of the step.
const STEPS: [&str; 34] = [
    "#y = add #x, %bias",
    "#y = add %unknown, #x",
    "#y = add #x, -50.0",
    "#y = add #x, -10000.0",
    "#y = add #x, -3.4028235e38",
    "#m = where %padding, 0.0, -10000.0 : f32[4, 1, 1, 4]\n#y = add #x, #m",
    "#m = where %padding, 0.0, -1000000000.0 : f32[4, 1, 1, 4]\n#y = add #x, #m",
    "#m = where %padding, 0.0, -3.4028235e38 : f32[4, 1, 1, 4]\n#y = add #m, #x",
    "#m = where %padding, 0.0, -inf : f32[4, 1, 1, 4]\n#y = add #x, #m",
    "#m = where %hidden, -1e30, 0.0 : f32[4, 1, 4, 4]\n#y = add #x, #m",
    "#m = where %padding, 0.0, -50.0 : f32[4, 1, 1, 4]\n#y = add #x, #m",
    "#m = where %causal, 0.0, -10000.0 : f32[4, 4]\n#y = add #x, #m",
    "#m = where %causal, 0.0, -3.4028235e38 : f32[4, 4]\n#y = add #m, #x",
    "#m = where %causal, 0.0, -inf : f32[4, 4]\n#y = add #x, #m",
    "#f = cast %padding {to = f32} : f32[4, 1, 1, 4]\n#g = sub 1.0, #f : f32[4, 1, 1, 4]
     #m = mul #g, -3.4028235e38 : f32[4, 1, 1, 4]\n#y = add #x, #m",
    "#f = cast %padding {to = f32} : f32[4, 1, 1, 4]\n#g = sub 1.0, #f : f32[4, 1, 1, 4]
     #m = mul #g, -10000.0 : f32[4, 1, 1, 4]\n#y = add #x, #m",
    "#y = where %causal, #x, -10000.0",
    "#y = where %causal, #x, -1000000000.0",
    "#y = where %causal, #x, -3.4028235e38",
    "#y = where %causal, #x, -inf",
    "#y = where %hidden, -10000.0, #x",
    "#y = where %hidden, -3.4028235e38, #x",
    "#y = where %hidden, -inf, #x",
    "#y = where %padding, #x, -10000.0",
    "#y = where %padding, #x, -3.4028235e38",
    "#y = where %padding, #x, -inf",
    "#y = where %padding, #x, -5000.0",
    // Ten thousand, as bf16 rounds it.
    "#y = where %padding, #x, -9984.0",
    "#y = add #x, 0.0",
    "#l = max %bias, -20.0 : f32[2, 4, 4]\n#m = min #l, 20.0 : f32[2, 4, 4]\n#y = add #x, #m",
    "#l = max %bias, -2000.0 : f32[2, 4, 4]\n#m = min #l, 20.0 : f32[2, 4, 4]\n#y = add #x, #m",
    "#l = max %bias, -20.0 : f32[2, 4, 4]\n#m = min #l, 2000.0 : f32[2, 4, 4]\n#y = add #x, #m",
    "#f = cast %padding {to = f32} : f32[4, 1, 1, 4]\n#m = mul #f, -inf : f32[4, 1, 1, 4]\n#y = add #x, #m",
    "#m = where %padding, 0.0, inf : f32[4, 1, 1, 4]\n#y = add #x, #m",
];

/// Returns attention whose queries, keys and values have the first type, and whose masks and softmax have the second.
fn masked([narrow, wide]: [ElementType; 2], steps: &[usize], is_guarded: bool) -> Graph {
    let is_cast = narrow != wide;
    let scaled = if is_cast { "%scaled" } else { "%x.0" };
    let mut lines = vec![
        "%places = unsqueeze [0, 1, 2, 3], [1] : i64[4, 1]".to_owned(),
        "%causal = less_or_equal [0, 1, 2, 3], %places : bool[4, 4]".to_owned(),
        format!("%turned = transpose %k {{perm = [0, 1, 3, 2]}} : {narrow}[4, 2, 2, 4]"),
        format!("%product = matmul %q, %turned : {narrow}{SCORES}"),
        format!("{scaled} = mul %product, {} : {narrow}{SCORES}", literal(narrow, 0.5)),
    ];
    if is_cast {
        lines.push(format!("%x.0 = cast %scaled {{to = {wide}}} : {wide}{SCORES}"));
    }
    for (at, step) in steps.iter().enumerate() {
        let step =
            in_type(wide, STEPS[*step]).replace("#x", &format!("%x.{at}")).replace("#y", &format!("%x.{}", at + 1));
        lines.push(format!("{} : {wide}{SCORES}", step.replace('#', &format!("%step.{at}."))));
    }
    lines.push(format!("%p = softmax %x.{} {{axis = -1}} : {wide}{SCORES}", steps.len()));
    let mut probabilities = "%p";
    if is_guarded {
        probabilities = "%guarded";
        lines.push(format!("%none = is_nan %p : bool{SCORES}"));
        lines.push(format!("%guarded = where %none, {}, %p : {wide}{SCORES}", literal(wide, 0.0)));
    }
    if is_cast {
        lines.push(format!("%weights = cast {probabilities} {{to = {narrow}}} : {narrow}{SCORES}"));
        probabilities = "%weights";
    }
    lines.push(format!("%z = matmul {probabilities}, %v : {narrow}[4, 2, 4, 2]\nreturn %z"));
    let inputs = format!(
        "%q: {narrow}[4, 2, 4, 2], %k: {narrow}[4, 2, 4, 2], %v: {narrow}[4, 2, 4, 2], %padding: bool[4, 1, 1, 4],
        %hidden: bool[4, 1, 4, 4], %bias: {wide}[2, 4, 4], %unknown: {wide}[4, 1, 4, 4]"
    );
    let text = format!("g({inputs}) {{\n{}\n}}", lines.join("\n"));
    parse(&text).unwrap_or_else(|error| panic!("{error} in\n{text}"))
}

/// Returns a step of `f32` in another type.
fn in_type(element: ElementType, step: &str) -> String {
    let word = |word: &str| match word.trim_end_matches(',').parse() {
        Ok(number) if word.contains(['.', 'e', 'i']) => {
            literal(element, number) + if word.ends_with(',') { "," } else { "" }
        }
        _ => word.replace("f32", &element.to_string()),
    };
    let line = |line: &str| line.trim().split(' ').map(word).collect::<Vec<_>>().join(" ");
    step.lines().map(line).collect::<Vec<_>>().join("\n")
}

/// Returns a number in the text form. A finite number that is lower than any of `f16` becomes the lowest.
fn literal(element: ElementType, number: f32) -> String {
    if element == ElementType::F32 {
        return format!("{number:?}");
    }
    let number = if number.is_finite() { number.max(-65504.0) } else { number };
    let cast = Tensor::scalar(number).cast(element).expect("a float");
    let bytes = cast.to_bytes().expect("a number").iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    format!("{element}[] hex({bytes})")
}

/// Returns samples without padding and padded left, right and completely; masks that hide some and all keys of a row; and
/// a mask of arbitrary numbers.
fn inputs(magnitude: f32, seed: usize) -> HashMap<&'static str, Array> {
    let random = |dims: &[usize], salt: usize, by: f32| {
        Array::new(dims, |at| (((at + 1) * (salt * 7919 + seed * 104_729 + 12_345) % 2003) as f32 / 1001.5 - 1.0) * by)
    };
    let heads = [BATCH, HEADS, LENGTH, SIZE];
    let square = [BATCH, 1, LENGTH, LENGTH];
    let seen = |holds: bool| f32::from(u8::from(holds));
    let own = [0.0, -2.0, f32::MIN, f32::NEG_INFINITY, -3.0, f32::MIN, f32::NEG_INFINITY];
    HashMap::from([
        ("q", random(&heads, 1, magnitude)),
        ("k", random(&heads, 2, 2.0)),
        ("v", random(&heads, 3, 1.0)),
        ("padding", Array::new(&[BATCH, 1, 1, LENGTH], |at| seen([true, at % 4 > 1, at % 4 < 2, false][at / 4]))),
        ("hidden", Array::new(&square, |at| seen(at / 4 % 4 == 3 || at / 4 % 4 > 0 && (at + at / 3) % 2 == 0))),
        ("bias", random(&[HEADS, LENGTH, LENGTH], 4, 3.0)),
        ("unknown", Array::new(&square, |at| if at / 16 == 3 { own[at / 4 % 4 + at % 2 * 3] } else { own[at % 5] })),
    ])
}

/// Returns the graph with fused attention, or why it is not fused.
fn fused(graph: &Graph, target: Target) -> Result<Graph, String> {
    let mut fused = graph.clone();
    let pass = netwright_passes::fuse::fuse_attention(target.attention);
    let report = pipeline::run(&[pass], &mut fused, Limits::default()).unwrap_or_else(|error| panic!("{error}"));
    match report.declined.as_slice() {
        [] => Ok(fused),
        [event] => Err(event.note.to_string()),
        events => panic!("{events:?}"),
    }
}

/// Checks that what is fused computes the same.
fn check(steps: &[usize], is_guarded: bool) {
    let before = masked([ElementType::F32; 2], steps, is_guarded);
    // Fills of ten thousand are taken to be below every score.
    let is_shallow =
        |step: &usize| ["#x, -10000.0", "-10000.0, #x", "#x, -9984.0"].iter().any(|part| STEPS[*step].contains(part));
    let magnitudes: &[f32] = if steps.iter().any(is_shallow) { &[1.0, 100.0] } else { &[1.0, 100.0, 1e4] };
    let targets = Target::ALL.into_iter().filter_map(|target| Some((target, fused(&before, target).ok()?)));
    let targets: Vec<(Target, Graph)> = targets.collect();
    for (seed, magnitude) in magnitudes.iter().enumerate().filter(|_| !targets.is_empty()) {
        let inputs = inputs(*magnitude, seed);
        let expected = evaluate(&before, Target::ONNX, &inputs);
        for (target, after) in &targets {
            let found = evaluate(after, *target, &inputs);
            for (at, (a, b)) in expected.data.iter().zip(&found.data).enumerate() {
                let is_equal = a.is_nan() && b.is_nan() || (a - b).abs() <= 2e-5 * magnitude.max(1.0).sqrt();
                assert!(is_equal, "{target}, scores of {magnitude}, element {at}: {a} is {b}\n{before}\n{after}");
            }
        }
    }
}

#[test]
fn masks_in_every_order() {
    for a in 0..STEPS.len() {
        check(&[a], false);
        check(&[a], true);
        for b in 0..STEPS.len() {
            check(&[a, b], false);
            check(&[a, b], true);
        }
    }
    // A row that begins with minus infinity may go on with the lowest float; and a number that is added to all scores
    // lowers those that are replaced before it, but not those that are replaced after it.
    check(&[9, 22, 18], true);
    check(&[16, 2, 20], false);
    let mut runner = TestRunner::new(ProptestConfig {
        cases: 300,
        rng_seed: RngSeed::Fixed(0),
        failure_persistence: None,
        ..ProptestConfig::default()
    });
    let three = (prop::collection::vec(0..STEPS.len(), 3), prop::bool::ANY);
    let outcome = runner.run(&three, |(steps, is_guarded)| {
        check(&steps, is_guarded);
        Ok(())
    });
    outcome.unwrap_or_else(|error| panic!("{error}"));
}

/// Returns the operators that fusing adds, or why attention is not fused. Those that make the mask have their operands.
fn outcome(graph: &Graph, target: Target) -> String {
    let before = graph.to_string();
    let added = |line: &str| {
        let (_, node) = line.trim().split_once(" : ")?.0.split_once(" = ")?;
        let word = node.split(' ').next()?;
        Some(if ["add", "expand", "max", "where"].contains(&word) { node } else { word }.to_owned())
    };
    fused(graph, target).map_or_else(
        |why| why,
        |after| {
            let after = after.to_string();
            after.lines().filter(|line| !before.contains(*line)).filter_map(added).collect::<Vec<_>>().join("; ")
        },
    )
}

/// Pairs of steps for which the numbers of one decide about the other.
const PAIRS: [[usize; 2]; 9] = [[0, 2], [0, 16], [0, 18], [1, 16], [1, 18], [2, 3], [13, 16], [16, 7], [17, 18]];

#[test]
fn how_masks_are_fused() {
    use ElementType::{F16, F32};
    let mut cached = Target::ORT;
    cached.name = "ort with a shared cache";
    cached.attention.keeps_masked_rows = false;
    for (name, types, is_guarded) in [
        ("f32", [F32, F32], false),
        ("f32_guarded", [F32, F32], true),
        ("f16", [F16, F16], false),
        ("f16_with_masks_in_f32", [F16, F32], false),
    ] {
        let mut text = String::new();
        for steps in (0..STEPS.len()).map(|step| vec![step]).chain(PAIRS.map(Vec::from)) {
            let graph = masked(types, &steps, is_guarded);
            let mut outcomes: Vec<(String, Vec<&str>)> = vec![];
            for target in Target::ALL.into_iter().chain([cached]) {
                let found = outcome(&graph, target);
                match outcomes.iter_mut().find(|(other, _)| *other == found) {
                    Some((_, targets)) => targets.push(target.name),
                    None => outcomes.push((found, vec![target.name])),
                }
            }
            let steps = steps.iter().flat_map(|step| STEPS[*step].lines());
            _ = writeln!(text, "{}", steps.map(str::trim).collect::<Vec<_>>().join("; "));
            for (outcome, targets) in outcomes {
                _ = writeln!(text, "  {}: {outcome}", targets.join(", "));
            }
        }
        let mut settings = Settings::clone_current();
        settings.set_snapshot_path("../../../snapshots/masks");
        settings.set_prepend_module_to_snapshot(false);
        settings.set_omit_expression(true);
        settings.bind(|| assert_snapshot!(name, text));
    }
}
