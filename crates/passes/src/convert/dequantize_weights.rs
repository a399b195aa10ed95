//! Turns quantized weights into floats, on request.

use crate::pass::{Exactness, Pass, Stage};
use crate::pipeline::Report;
use crate::read::sizes::position;
use crate::rewrite::{become_op, first_operands, insert};
use crate::rule::{Rewritten, Skip};
use crate::runtime::contrib::{self, int};
use netwright_ir::tensor::{BlockFormat, Quantized};
use netwright_ir::{ElementType, Graph, Name, Op, OpKind, OpaqueOp, Tensor, Value};

/// `com.microsoft.MatMulNBits(x, codes, scales)` -> `x · w`, and so on
///
/// Weights become floats again: those of `MatMulNBits`, `GatherBlockQuantized` and `dequantize_linear`, and those of
/// integer products of operands that are quantized when the model runs, which are not quantized then. Each float is
/// computed while it is written, exactly as the operator computes it.
pub(crate) fn dequantize_weights(is_requested: bool) -> Pass {
    let summary = "com.microsoft.MatMulNBits(x, codes, scales) -> x · w, and so on, on request";
    Pass::new("dequantize-weights", summary, Exactness::Rounding)
        .at([OpKind::Opaque, OpKind::DequantizeLinear, OpKind::Mul], move |graph, root| {
            if !is_requested {
                return Err(Skip::NoMatch);
            }
            match graph.op(root).clone() {
                Op::Opaque(opaque) if contrib::is(&opaque, "MatMulNBits") => product(graph, root, &opaque),
                Op::Opaque(opaque) if contrib::is(&opaque, "GatherBlockQuantized") => lookup(graph, root, &opaque),
                Op::Opaque(opaque) if contrib::is(&opaque, "DynamicQuantizeMatMul") => dynamic(graph, root),
                Op::DequantizeLinear { axis, block_size, output_dtype } => {
                    floats(graph, root, axis, block_size, output_dtype)
                }
                Op::Mul => integers(graph, root),
                _ => Err(Skip::NoMatch),
            }
        })
        .in_stages(&[Stage::Dequantize])
}

/// Returns why a node still computes with quantized weights, if a rule said so.
pub(crate) fn why_not_dequantized<'r>(report: &'r Report, node: &Name) -> Option<&'r str> {
    let mut events = report.declined.iter();
    events.find(|event| event.pass == "dequantize-weights" && event.node == *node).map(|event| &*event.note)
}

const NOTE: &str = "the weight is in floats";

/// Returns the tensor of an operand, also if it is reshaped.
fn stored(graph: &Graph, root: Value, at: usize) -> Option<&Tensor> {
    let value = graph.operand(root.node, at)?;
    let source = if graph.kind(value) == OpKind::Reshape { graph.operand(value.node, 0)? } else { value };
    graph.tensor(source)
}

fn missing(what: &str) -> Skip {
    Skip::rejected(format!("its {what} are not a parameter or constant"))
}

/// Returns the tensors of the codes, of the scales at operand 2, and of the zero points at operand 3, if it has any.
fn stored_parts(graph: &Graph, root: Value, codes: usize) -> Result<(&Tensor, &Tensor, Option<&Tensor>), Skip> {
    let held = |at: usize, what: &str| stored(graph, root, at).ok_or_else(|| missing(what));
    let zeros = graph.operand(root.node, 3).map(|_| held(3, "zero points")).transpose()?;
    Ok((held(codes, "codes")?, held(2, "scales")?, zeros))
}

fn size(opaque: &OpaqueOp, name: &str, default: i64) -> Result<u64, Skip> {
    u64::try_from(int(opaque, name, default)?)
        .map_err(|_| Skip::rejected(format!("its attribute `{name}` is negative")))
}

/// The maximum number of columns whose groups are held in memory.
const MAX_COLUMNS: u64 = 1 << 24;

/// Returns the floats of `MatMulNBits` and `GatherBlockQuantized`, `[N, K]`, with `K` padded to whole blocks. `groups` are
/// those of the columns, if they are not the blocks.
///
/// # Errors
/// If the sizes do not fit.
fn in_bytes(
    codes: &Tensor,
    scales: &Tensor,
    zeros: Option<&Tensor>,
    groups: Option<&Tensor>,
    [n, k]: [u64; 2],
    bits: u64,
    size: u64,
) -> Result<Tensor, Skip> {
    let element = match bits {
        2 => ElementType::U2,
        4 => ElementType::U4,
        8 => ElementType::U8,
        _ => return Err(Skip::rejected("its attribute `bits` is not 2, 4 or 8")),
    };
    if size == 0 {
        return Err(Skip::rejected("its blocks have no elements"));
    }
    let blocks = k.div_ceil(size);
    let codes = codes.reinterpreted(element, &[n, blocks.saturating_mul(size)])?;
    let scales = scales.reshaped(&[n, blocks])?;
    let bits = element.bits();
    let format = BlockFormat { bits, size, symmetric: zeros.is_none() };
    let quantized = match (zeros, groups) {
        // The default zero point is that of signed codes.
        (None, None) => Quantized::from_parts(codes.offset()?, scales, None, format)?,
        (Some(zeros), None) if !zeros.element().is_float() => {
            let zeros = unpadded(zeros, bits, n, blocks)?.reinterpreted(element, &[n, blocks])?;
            Quantized::from_parts(codes, scales, Some(zeros), format)?
        }
        (zeros, groups) => {
            let zeros = zeros.map(|zeros| zeros.reshaped(&[n, blocks])).transpose()?;
            let columns = codes.dims()[1];
            if columns > MAX_COLUMNS {
                return Err(Skip::rejected(format!("it has more than {MAX_COLUMNS} columns in groups")));
            }
            let groups = match groups {
                None => (0..columns).map(|column| column / size).collect(),
                Some(indices) => column_groups(indices, columns)?,
            };
            return Ok(codes.dequantized_by_groups(scales, zeros, groups)?);
        }
    };
    let element = quantized.scales().element();
    Ok(quantized.dequantized(element)?)
}

/// The maximum size of the zero points of a weight that are held in memory.
const MAX_ZEROS: u64 = 64 << 20;

/// Returns the zero points of rows without the bits that fill the last byte of each row.
fn unpadded(zeros: &Tensor, bits: u32, rows: u64, blocks: u64) -> Result<Tensor, Skip> {
    let per_byte = u64::from(8 / bits);
    let row = blocks.div_ceil(per_byte);
    if blocks.is_multiple_of(per_byte) || row.checked_mul(rows) != Some(zeros.len()) {
        return Ok(zeros.clone());
    }
    if zeros.len() > MAX_ZEROS {
        return Err(Skip::rejected(format!("its zero points take more than {} MiB", MAX_ZEROS >> 20)));
    }
    let bytes = zeros.to_bytes()?;
    let [row, blocks] = [row, blocks].map(|size| usize::try_from(size).unwrap_or(usize::MAX));
    let codes = bytes.chunks(row).flat_map(|row| {
        let codes = row.iter().flat_map(|byte| (0..8).step_by(bits as usize).map(move |shift| byte >> shift));
        codes.take(blocks)
    });
    let mask = u8::MAX >> (8 - bits);
    let mut packed = vec![];
    for (at, code) in codes.enumerate() {
        let shift = at * bits as usize % 8;
        if shift == 0 {
            packed.push(0);
        }
        if let Some(byte) = packed.last_mut() {
            *byte |= (code & mask) << shift;
        }
    }
    let count = packed.len() as u64;
    Ok(Tensor::from_bytes(ElementType::U8, &[count], packed)?)
}

/// Returns codes, scales and zero points of rows, with signed codes that have zero points as unsigned ones. Without
/// zero points they are 0.
fn in_rows(codes: Tensor, scales: Tensor, zeros: Option<Tensor>, size: u64) -> Result<Quantized, Skip> {
    let is_signed = matches!(codes.element(), ElementType::I2 | ElementType::I4 | ElementType::I8);
    let bits = codes.element().bits();
    let zeros = match zeros {
        None if !is_signed => {
            let bytes = (scales.count() * u64::from(bits)).div_ceil(8);
            let bytes = usize::try_from(bytes).unwrap_or(usize::MAX);
            Some(Tensor::from_bytes(codes.element(), scales.dims(), vec![0; bytes])?)
        }
        zeros => zeros,
    };
    let symmetric = zeros.is_none();
    let (codes, zeros) = match zeros {
        Some(zeros) if is_signed => (codes.offset()?, Some(zeros.offset()?)),
        zeros => (codes, zeros),
    };
    Ok(Quantized::from_parts(codes, scales, zeros, BlockFormat { bits, size, symmetric })?)
}

fn parameter(graph: &mut Graph, root: Value, tensor: Tensor) -> Result<Value, Skip> {
    insert(graph, root, "weight", Op::Parameter(tensor), &[])
}

/// Returns the groups of columns from their indices, which may leave out the padding of the last block.
fn column_groups(indices: &Tensor, columns: u64) -> Result<Vec<u64>, Skip> {
    if indices.element() != ElementType::I32 || indices.count() > columns {
        return Err(Skip::rejected(format!("its group indices are {}, but must be i32[{columns}]", indices.ty())));
    }
    let bytes = indices.to_bytes()?;
    let group = |index: &[u8; 4]| u64::try_from(i32::from_le_bytes(*index)).ok();
    let groups: Option<Vec<u64>> = bytes.as_chunks().0.iter().map(group).collect();
    let mut groups = groups.ok_or_else(|| Skip::rejected("a group index is negative"))?;
    groups.extend((groups.len() as u64..columns).map(|_| 0));
    Ok(groups)
}

/// Returns the weight `[K, N]` of a `MatMulNBits` in floats, from its attributes.
///
/// # Errors
/// If its parts are not stored, and if their sizes do not fit.
pub(crate) fn nbits_weight(graph: &Graph, root: Value, [n, k]: [u64; 2], bits: u64, size: u64) -> Result<Tensor, Skip> {
    let (codes, scales, zeros) = stored_parts(graph, root, 1)?;
    let groups = graph.operand(root.node, 4).map(|_| stored(graph, root, 4).ok_or_else(|| missing("group indices")));
    let groups = groups.transpose()?;
    if groups.is_some() && (bits != 4 || zeros.is_some_and(|zeros| !zeros.element().is_float())) {
        return Err(Skip::rejected(
            "ONNX Runtime 1.32 applies group indices only to codes of 4 bits without integer zero points",
        ));
    }
    let padded = in_bytes(codes, scales, zeros, groups, [n, k], bits, size)?.transposed()?;
    Ok(padded.rows(0..k)?)
}

fn product(graph: &mut Graph, root: Value, opaque: &OpaqueOp) -> Rewritten {
    let sizes = [size(opaque, "N", 0)?, size(opaque, "K", 0)?];
    let x = graph.operand(root.node, 0).ok_or(Skip::NoMatch)?;
    let weight = nbits_weight(graph, root, sizes, size(opaque, "bits", 4)?, size(opaque, "block_size", 0)?)?;
    let weight = parameter(graph, root, weight)?;
    multiply(graph, root, [x, weight], 5)
}

/// Returns the table of a `GatherBlockQuantized` in floats, from its attributes.
///
/// # Errors
/// If it does not look up rows, its parts are not stored, and if their sizes do not fit.
pub(crate) fn blocks_table(
    graph: &Graph,
    root: Value,
    [gather_axis, quantize_axis]: [i64; 2],
    bits: u64,
    size: u64,
) -> Result<Tensor, Skip> {
    let (codes, scales, zeros) = stored_parts(graph, root, 0)?;
    let &[rows, blocks] = scales.dims() else { return Err(Skip::rejected("its table is not a matrix")) };
    if ![0, -2].contains(&gather_axis) || ![1, -1].contains(&quantize_axis) {
        return Err(Skip::rejected("it does not look up rows in which the elements of a block are side by side"));
    }
    let width = blocks.checked_mul(size).ok_or(Skip::NoMatch)?;
    let table = if codes.element() == ElementType::U8 {
        in_bytes(codes, scales, zeros, None, [rows, width], bits, size)?
    } else {
        in_rows(codes.clone(), scales.clone(), zeros.cloned(), size)?.dequantized(scales.element())?
    };
    Ok(table)
}

fn lookup(graph: &mut Graph, root: Value, opaque: &OpaqueOp) -> Rewritten {
    let axes = [int(opaque, "gather_axis", 0)?, int(opaque, "quantize_axis", 1)?];
    let table = blocks_table(graph, root, axes, size(opaque, "bits", 4)?, size(opaque, "block_size", 128)?)?;
    let indices = graph.operand(root.node, 1).ok_or(Skip::NoMatch)?;
    let table = parameter(graph, root, table)?;
    become_op(graph, root, Op::Gather { axis: 0 }, &[table, indices], NOTE)
}

fn floats(graph: &mut Graph, root: Value, axis: i64, block_size: i64, to: Option<ElementType>) -> Rewritten {
    let held = |at: usize| graph.operand(root.node, at).and_then(|value| graph.tensor(value)).cloned();
    let (Some(codes), Some(scales)) = (held(0), held(1)) else { return Err(Skip::NoMatch) };
    let zeros = graph.operand(root.node, 2).map(|_| held(2).ok_or_else(|| missing("zero points"))).transpose()?;
    let (dims, element) = (codes.dims().to_vec(), to.unwrap_or(scales.element()));
    if let [rows, columns, ones @ ..] = dims.as_slice()
        && !ones.is_empty()
        && ones.iter().all(|size| *size == 1)
        && let [_, blocks, ..] = *scales.dims()
        && block_size > 0
        && axis == 1
    {
        // The kernel of a convolution of 1 x 1.
        let matrix = |tensor: &Tensor| tensor.reshaped(&[*rows, blocks]);
        let zeros = zeros.as_ref().map(matrix).transpose()?;
        let size = block_size.unsigned_abs();
        let floats =
            in_rows(codes.reshaped(&[*rows, *columns])?, matrix(&scales)?, zeros, size)?.dequantized(element)?;
        return become_op(graph, root, Op::Parameter(floats.reshaped(&dims)?), &[], NOTE);
    }
    let size = u64::try_from(block_size).map_err(|_| Skip::NoMatch)?;
    let count = codes.count();
    let whole = |rows: u64| -> Result<Tensor, Skip> {
        let row = count.checked_div(rows).filter(|row| row * rows == count).ok_or(Skip::NoMatch)?;
        let shape = |tensor: &Tensor| tensor.reshaped(&[rows, 1]);
        let zeros = zeros.as_ref().map(shape).transpose()?;
        Ok(in_rows(codes.reshaped(&[rows, row])?, shape(&scales)?, zeros, row.max(1))?.dequantized(element)?)
    };
    let axis = position(axis, dims.len());
    let weight = match (dims.as_slice(), axis) {
        _ if size == 0 && scales.count() == 1 => whole(1)?.reshaped(&dims)?,
        (_, Some(0)) if size == 0 => whole(dims[0])?.reshaped(&dims)?,
        ([_, _], Some(axis)) => {
            let is_turned = (size > 0) == (axis == 0);
            let turn = |tensor: &Tensor| if is_turned { tensor.transposed() } else { Ok(tensor.clone()) };
            // A scale for each column is one for each row of the transposed matrix.
            let rows = |tensor: &Tensor| if size == 0 { tensor.reshaped(&[tensor.count(), 1]) } else { turn(tensor) };
            let codes = turn(&codes)?;
            let size = if size == 0 { codes.dims()[1].max(1) } else { size };
            let zeros = zeros.as_ref().map(rows).transpose()?;
            let floats = in_rows(codes, rows(&scales)?, zeros, size)?.dequantized(element)?;
            turn(&floats)?
        }
        (_, Some(axis)) if axis + 1 == dims.len() && size > 0 => {
            in_rows(codes, scales, zeros, size)?.dequantized(element)?
        }
        _ => return Err(Skip::rejected("its blocks do not lie along the last axis")),
    };
    become_op(graph, root, Op::Parameter(weight), &[], NOTE)
}

/// Returns a weight `[K, N]` in floats from codes of that shape, with a scale and a zero point for each column or for all.
fn of_columns(codes: &Tensor, scales: &Tensor, zeros: Option<&Tensor>) -> Result<Tensor, Skip> {
    let &[k, n] = codes.dims() else { return Err(Skip::rejected("its weight is not a matrix")) };
    let is_of_columns = scales.count() == n && scales.dims().last() == Some(&n);
    if scales.count() != 1 && !is_of_columns {
        return Err(Skip::rejected("its scales are not one for each column"));
    }
    // One scale may stand for all columns.
    let [count, size] = if scales.count() == 1 && n != 1 { [1, k.saturating_mul(n)] } else { [n, k] };
    let rows = |tensor: &Tensor| tensor.reshaped(&[count, 1]);
    let element = scales.element();
    let turned = codes.transposed()?.reshaped(&[count, size])?;
    let zeros = zeros.map(rows).transpose()?;
    let floats = in_rows(turned, rows(scales)?, zeros, size.max(1))?.dequantized(element)?;
    Ok(floats.reshaped(&[n, k])?.transposed()?)
}

fn dynamic(graph: &mut Graph, root: Value) -> Rewritten {
    let (codes, scales, zeros) = stored_parts(graph, root, 1)?;
    let x = graph.operand(root.node, 0).ok_or(Skip::NoMatch)?;
    let weight = of_columns(codes, scales, zeros)?;
    let weight = parameter(graph, root, weight)?;
    multiply(graph, root, [x, weight], 4)
}

/// Makes the root the product of two values, plus its bias if it has that operand.
fn multiply(graph: &mut Graph, root: Value, operands: [Value; 2], bias: usize) -> Rewritten {
    match graph.operand(root.node, bias) {
        None => become_op(graph, root, Op::MatMul, &operands, NOTE),
        Some(bias) => {
            let product = insert(graph, root, "product", Op::MatMul, &operands)?;
            become_op(graph, root, Op::Add, &[product, bias], NOTE)
        }
    }
}

/// `cast(matmul_integer(quantized x, codes, zero of x, zeros)) * (scale of x * scales)` -> `x · w`, and
/// `cast(gather(codes, indices)) * gather(scales, indices)` -> `gather(w, indices)`
fn integers(graph: &mut Graph, root: Value) -> Rewritten {
    let [a, b] = first_operands(graph, root)?;
    let is_cast = |value: Value| graph.kind(value) == OpKind::Cast;
    let (numbers, scales) = if is_cast(a) { (a, b) } else { (b, a) };
    let source = graph.operand(numbers.node, 0).filter(|_| is_cast(numbers)).ok_or(Skip::NoMatch)?;
    let held = |value: Value| graph.tensor(value).cloned();
    let operand = |value: Value, at: usize| graph.operand(value.node, at);
    match graph.kind(source) {
        OpKind::MatMulInteger => {
            let sides = [0, 1].map(|at| operand(scales, at).filter(|_| graph.kind(scales) == OpKind::Mul));
            let [Some(first), Some(second)] = sides else { return Err(Skip::NoMatch) };
            let (scale, column_scales) = if graph.tensor(first).is_some() { (second, first) } else { (first, second) };
            let quantized = operand(source, 0).ok_or(Skip::NoMatch)?;
            let is_own = graph.kind(quantized) == OpKind::DynamicQuantizeLinear
                && quantized.result == 0
                && scale == Value { result: 1, ..quantized }
                && operand(source, 2) == Some(Value { result: 2, ..quantized });
            let x = operand(quantized, 0).filter(|_| is_own).ok_or(Skip::NoMatch)?;
            let codes = operand(source, 1).and_then(held).ok_or_else(|| missing("codes"))?;
            let scales = held(column_scales).ok_or_else(|| missing("scales"))?;
            let zeros = operand(source, 3).map(|zeros| held(zeros).ok_or_else(|| missing("zero points")));
            let zeros = zeros.transpose()?;
            let weight = parameter(graph, root, of_columns(&codes, &scales, zeros.as_ref())?)?;
            become_op(graph, root, Op::MatMul, &[x, weight], "the weight is in floats, and its other operand too")
        }
        OpKind::Gather => {
            let [codes, indices] = first_operands(graph, source)?;
            let of = operand(scales, 0).filter(|_| graph.op(scales) == graph.op(source));
            let of = of.filter(|_| operand(scales, 1) == Some(indices)).and_then(held).ok_or(Skip::NoMatch)?;
            let codes = held(codes).filter(|codes| codes.element() == ElementType::I8).ok_or(Skip::NoMatch)?;
            let &[_, width] = codes.dims() else { return Err(Skip::NoMatch) };
            let (op, element) = (graph.op(source).clone(), of.element());
            let floats = in_rows(codes, of, None, width.max(1))?.dequantized(element)?;
            let table = parameter(graph, root, floats)?;
            become_op(graph, root, op, &[table, indices], NOTE)
        }
        _ => Err(Skip::NoMatch),
    }
}
