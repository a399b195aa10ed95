//! Writes products and gathers of dequantized weights as operators on quantized blocks.

use crate::convert::readers::{Reader, leading_axes, readers};
use crate::pass::{Exactness, Pass, Stage};
use crate::read::sizes::position;
use crate::rewrite::{become_op, insert, number_list};
use crate::rule::{Rewritten, Skip};
use crate::runtime::contrib::{ACCURACY_LEVEL, operator};
use crate::target::Target;
use netwright_ir::tensor::{BlockFormat, Quantized};
use netwright_ir::{Attribute, ElementType, Graph, Op, OpKind, Place, Tensor, Value};

/// `x · dequantize_linear(codes, scales)` -> `com.microsoft.MatMulNBits(x, codes, scales)`
///
/// For weights that are quantized in blocks, and for the runtimes that multiply by them as they are stored. Rows that are
/// looked up become `GatherBlockQuantized`, which dequantizes only these rows; a table that is tied to the head remains
/// one tensor.
///
/// ONNX Runtime 1.32 forms MatMulNBits of the standard operators itself when it loads a model, with more memory and time.
/// At `accuracy_level` 4 it quantizes the rows of `x` to 8 bits too, block by block, which is 3 times as fast as level 1
/// for one row of 768 by 3072 columns (0.06 ms against 0.17 ms). In f16 the level is not set: ONNX Runtime 1.32 may cast the
/// scales to f32, and at level 4 it ignores scales that are not constant.
pub(crate) fn use_block_operators(target: &Target) -> Pass {
    let summary =
        "x · dequantize_linear(codes, scales) -> com.microsoft.MatMulNBits(x, codes, scales), and look-ups alike";
    let target = *target;
    Pass::new("use-block-operators", summary, Exactness::Rounding)
        .at([OpKind::DequantizeLinear], move |graph, root| replace(graph, root, &target))
        .only_for(|target, _| !target.weights.bits.is_empty())
        // The block operators have kernels for narrow floats: weights are theirs before the precision is converted.
        .in_stages(&[Stage::Optimize, Stage::Convert])
        .after(&["quantize-weights"])
}

fn replace(graph: &mut Graph, root: Value, target: &Target) -> Rewritten {
    let &Op::DequantizeLinear { axis, block_size, output_dtype } = graph.op(root) else { return Err(Skip::NoMatch) };
    let stored = |at: usize| {
        let value = graph.operand(root.node, at)?;
        Some((value, graph.tensor(value)?.clone()))
    };
    let (codes, scales) = (stored(0).ok_or(Skip::NoMatch)?, stored(1).ok_or(Skip::NoMatch)?);
    let zeros = graph.operand(root.node, 2).map(|_| stored(2).ok_or(Skip::NoMatch)).transpose()?;
    if output_dtype.is_some_and(|element| element != scales.1.element()) {
        return Err(Skip::rejected("its result is not of the type of its scales"));
    }
    let bits = codes.1.element().bits();
    let size =
        u64::try_from(block_size).ok().filter(|size| *size >= 16 && size.is_power_of_two()).ok_or(Skip::NoMatch)?;
    if !target.weights.bits.contains(&bits) {
        return Err(Skip::NoMatch);
    }
    let axis = position(axis, codes.1.dims().len()).ok_or(Skip::NoMatch)?;
    let readers = readers(graph, root)?;
    if readers.iter().any(Reader::is_grouped) {
        return Err(Skip::rejected("a convolution in groups is not a product of one matrix"));
    }
    let leading = leading_axes(&codes.1, &readers);
    if readers.iter().any(|reader| Some(reader.axis()) != axis.checked_sub(leading)) {
        return Err(Skip::rejected("its blocks do not lie along the axis that is summed over"));
    }
    // Columns of the product are rows of codes.
    let rows = |tensor: &Tensor| -> Result<Tensor, Skip> {
        let [rows, columns, ..] = *tensor.dims().get(leading..).ok_or(Skip::NoMatch)? else {
            return Err(Skip::NoMatch);
        };
        let matrix = || tensor.reshaped(&[rows, columns]);
        Ok(match (axis == leading, leading) {
            (true, 0) => tensor.transposed()?,
            (true, _) => matrix()?.transposed()?,
            (false, _) => matrix()?,
        })
    };
    let format = BlockFormat { bits, size, symmetric: zeros.is_none() };
    let zero_rows = zeros.as_ref().map(|(_, zeros)| rows(zeros)).transpose()?;
    let quantized = Quantized::from_parts(rows(&codes.1)?, rows(&scales.1)?, zero_rows, format)?;
    let &[n, k] = quantized.codes().dims() else { return Err(Skip::NoMatch) };
    let has_lookup = readers.iter().any(|reader| matches!(reader, Reader::Lookup { .. }));
    if has_lookup && !k.is_multiple_of(size) {
        return Err(Skip::rejected(format!("its rows of {k} are not whole blocks of {size}")));
    }
    let packed = quantized.nbits()?;
    let weight = stand_in(graph, root, codes.0, packed.codes)?;
    let scales = stand_in(graph, root, scales.0, packed.scales)?;
    let zeros = zeros.zip(packed.zeros).map(|((zeros, _), packed)| stand_in(graph, root, zeros, packed)).transpose()?;
    // The bytes of a row are the same for look-ups and products, which have an axis more.
    let table = if has_lookup {
        let row = i64::try_from(k * u64::from(bits) / 8).map_err(|_| Skip::NoMatch)?;
        let shape = number_list(graph, root, "table.shape", &[-1, row])?;
        Some(insert(graph, root, "table", Op::Reshape { allowzero: false }, &[weight, shape])?)
    } else {
        None
    };
    let mut last = None;
    for reader in readers {
        last = Some(match reader {
            Reader::Product(product) => {
                let mut attributes = vec![("K", k), ("N", n), ("bits", bits.into()), ("block_size", size)];
                // tract has no levels.
                let has_level = target.contrib && graph.fact(scales).element() == Some(ElementType::F32);
                attributes.extend(has_level.then_some((ACCURACY_LEVEL, QUANTIZES_ROWS)));
                let op = operator("MatMulNBits", &integers(&attributes)?);
                let multiply = |graph: &mut Graph, x: Value| {
                    let operands: Vec<Value> = [x, weight, scales].into_iter().chain(zeros).collect();
                    insert(graph, product.root, "product", op, &operands)
                };
                product.replace(graph, multiply, "multiplies by the weight as it is stored")?
            }
            Reader::Lookup { root, indices } => {
                let attributes =
                    [("bits", bits.into()), ("block_size", size), ("gather_axis", 0), ("quantize_axis", 1)];
                let op = operator("GatherBlockQuantized", &integers(&attributes)?);
                let operands: Vec<Value> =
                    [table.ok_or(Skip::NoMatch)?, indices, scales].into_iter().chain(zeros).collect();
                become_op(graph, root, op, &operands, "dequantizes only the rows that are looked up")?
            }
        });
    }
    last.ok_or(Skip::NoMatch)
}

/// ONNX Runtime's level at which products quantize their other operand to 8 bits, in blocks.
const QUANTIZES_ROWS: u64 = 4;

fn integers<'a>(attributes: &[(&'a str, u64)]) -> Result<Vec<(&'a str, Attribute)>, Skip> {
    let integer = |&(name, value): &(&'a str, u64)| Some((name, Attribute::Int(i64::try_from(value).ok()?)));
    attributes.iter().map(integer).collect::<Option<_>>().ok_or(Skip::NoMatch)
}

/// Returns a value of the tensor: the one that is there if it holds that, else a parameter that takes over its name.
fn stand_in(graph: &mut Graph, root: Value, old: Value, tensor: Tensor) -> Result<Value, Skip> {
    if graph.tensor(old).is_some_and(|held| held.is_same(&tensor)) {
        return Ok(old);
    }
    let name = graph.value_name(old).clone();
    if graph.use_count(old) == 1 {
        graph.rename(old, &format!("{name}.replaced"));
    }
    let place = Place { results: [name].into_iter().collect(), ..graph.beside(root.node, "") };
    Ok(Value { node: graph.insert(place, Op::Parameter(tensor), &[])?, result: 0 })
}
