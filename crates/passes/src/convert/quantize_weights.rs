//! Quantizes the weights of products and embeddings, on request.

use crate::convert::precision::Precision;
use crate::convert::quantization::{Quantization, QuantizedWeight, Scheme, WeightRole};
use crate::convert::readers::{Product, Reader, as_read, is_weight, names, readers};
use crate::convert::roles::role;
use crate::pass::{Exactness, Pass, Stage};
use crate::pipeline::Event;
use crate::rewrite::{become_op, cast, insert};
use crate::rule::{Rewritten, Skip};
use crate::target::Target;
use netwright_ir::tensor::{BlockFormat, Quantized};
use netwright_ir::{ElementType, Graph, Model, Name, NodeId, Op, OpKind, Place, Tensor, TensorError, Value};
use std::sync::{Arc, Mutex, PoisonError};

const NAME: &str = "quantize-weights";

/// What a run was asked to quantize, and the weights that it has quantized.
#[derive(Clone, Debug)]
pub(crate) struct Request {
    pub(crate) quantization: Quantization,
    pub(crate) done: Arc<Mutex<Vec<QuantizedWeight>>>,
}

impl Request {
    /// Returns a request whose scales keep their values in a later conversion to `precision`.
    pub(crate) fn new(mut quantization: Quantization, precision: Option<&Precision>) -> Self {
        quantization.scales = quantization.scales.or(precision.map(|precision| precision.to));
        Self { quantization, done: Arc::default() }
    }
}

/// `w` -> `dequantize_linear(codes, scales)`, for the weights of products and for embeddings
///
/// Codes and scales are computed while they are written. Blocks lie along the axis that a product sums over, as runtimes
/// multiply by them. Weights with a dynamic scheme become integers with a scale for each column, and their products
/// `matmul_integer` of the operand as it is quantized when the model runs.
///
/// Not every runtime looks up rows of blocks, and no standard operator selects elements of 4 bits. There, rows are
/// elements of 8 bits with one scale, which are looked up, cast and multiplied.
pub(crate) fn quantize_weights(request: Option<Request>, target: &Target) -> Pass {
    let target = *target;
    let summary = "w -> dequantize_linear(codes, scales), for the weights of products and for embeddings, on request";
    Pass::new(NAME, summary, Exactness::Rounding)
        .at([OpKind::Parameter, OpKind::Constant], move |graph, root| {
            let request = request.as_ref().ok_or(Skip::NoMatch)?;
            quantize(graph, root, request, &target).map_err(|skip| match skip {
                Skip::NoMatch => why_kept(graph, root, &request.quantization),
                rejected @ Skip::Rejected(_) => rejected,
            })
        })
        .in_stages(&[Stage::Convert])
}

/// The size of the smallest block for which runtimes have kernels; weights with shorter rows stay in floats.
const MIN_BLOCK: u64 = 16;

/// Smaller weights stay in floats unless an override names them: they take little memory.
const MIN_ELEMENTS: u64 = 4096;

/// The smallest largest magnitude of a weight for which the scales of all formats are normal numbers of `f16`.
const NORMAL_SCALES: f64 = 255.0 / 16384.0;

fn quantize(graph: &mut Graph, root: Value, request: &Request, target: &Target) -> Rewritten {
    let tensor = graph.tensor(root).ok_or(Skip::NoMatch)?.clone();
    let name = graph.value_name(root).clone();
    if !is_weight(&tensor) {
        return Err(Skip::NoMatch);
    }
    let found = readers(graph, root);
    let (scheme, is_named) = request.quantization.scheme_of(&names(graph, root, found.as_deref().unwrap_or_default()));
    if scheme == Scheme::None || found.is_err() && !is_named && tensor.count() < MIN_ELEMENTS {
        return Err(Skip::NoMatch);
    }
    let readers = found?;
    let tensor = as_read(&tensor, &readers)?;
    if readers.iter().any(|reader| tensor.dims()[reader.axis()] < MIN_BLOCK) {
        return Err(Skip::NoMatch);
    }
    let role = role(graph, &readers);
    if !is_named {
        if matches!(role, WeightRole::Positions | WeightRole::Router) {
            return Err(Skip::rejected(format!(
                "the role of the weight is {role}; it stays in floats unless it is named"
            )));
        }
        if tensor.count() < MIN_ELEMENTS {
            return Err(Skip::NoMatch);
        }
    }
    if request.quantization.keeps_dequantized && tensor.is_dequantized() {
        return Err(Skip::rejected("it was quantized already; --dequantize quantizes it again"));
    }
    let is_checked = request.quantization.is_checked;
    let magnitude = if is_checked { tensor.magnitude() } else { tensor.magnitude_from(NORMAL_SCALES) };
    let magnitude = magnitude.map_err(|error| kept(&error))?;
    let weight = Weight { root, tensor, magnitude, scheme, quantization: &request.quantization, target };
    let (before, quantized, written) =
        if scheme.is_dynamic() { weight.dynamic(graph, &readers)? } else { weight.in_blocks(graph, &readers)? };
    let format = quantized.format();
    // Where 4 bits cannot be looked up, rows have 8.
    let scheme = if scheme == Scheme::Int4 && format.bits == 8 { Scheme::Int8 } else { scheme };
    let copy = if written > bytes(&quantized) { "; rows that are looked up are a copy of 8 bits" } else { "" };
    let note = format!("{scheme}, {}{copy}", format_note(format, before.dims()));
    let after = quantized.dequantized(ElementType::F32)?;
    let done = QuantizedWeight { name, role, scheme, bits: format.bits, before, after, bytes: written };
    request.done.lock().unwrap_or_else(PoisonError::into_inner).push(done);
    Ok(note.into())
}

/// Returns why the weights that a request is for, and that a function reads or holds, stay in floats.
pub(crate) fn declined_in_functions(model: &Model, quantization: &Quantization) -> Vec<Event> {
    let is_meant = |graph: &Graph, value: Value| {
        let Some(tensor) = graph.tensor(value).filter(|tensor| is_weight(tensor)) else { return false };
        let (scheme, is_named) = quantization.scheme_of(&[graph.value_name(value).clone()]);
        scheme != Scheme::None && (is_named || tensor.count() >= MIN_ELEMENTS)
    };
    let values = |graph: &Graph| graph.schedule().into_iter().map(|node| Value { node, result: 0 });
    let called = |user: NodeId| match model.graph.node(user).op() {
        Op::Opaque(call) => model
            .functions
            .iter()
            .find(|function| (&*function.domain, &*function.name) == (&*call.domain, &*call.op_type)),
        _ => None,
    };
    let read = values(&model.graph).filter(|value| is_meant(&model.graph, *value)).filter_map(|value| {
        let function = model.graph.users(value).into_iter().find_map(|(user, _)| called(user))?;
        Some((model.graph.value_name(value).clone(), Arc::clone(&function.name)))
    });
    let held = model.functions.iter().flat_map(|function| {
        let graph = &function.graph;
        let held = values(graph).filter(move |value| is_meant(graph, *value));
        held.map(move |value| (graph.value_name(value).clone(), Arc::clone(&function.name)))
    });
    let event = |(node, function): (Name, Arc<str>)| {
        let note = format!("the weight stays in floats: the function {function} has it; --inline-functions helps");
        Event { pass: NAME, rule: None, node, note: note.into() }
    };
    read.chain(held).map(event).collect()
}

/// Returns why a weight that is multiplied or looked up is not quantized, unless it is not requested.
fn why_kept(graph: &Graph, root: Value, quantization: &Quantization) -> Skip {
    let Some(tensor) = graph.tensor(root).filter(|tensor| tensor.element().is_float() && tensor.dims().len() >= 2)
    else {
        return Skip::NoMatch;
    };
    // Scales of rows are looked up too.
    let has_rows = tensor.dims().last() != Some(&1);
    let is_reader = |user: NodeId| match graph.node(user).op() {
        Op::Opaque(opaque) => opaque.op_type.ends_with("MatMul"),
        Op::Gather { .. } => has_rows,
        op => matches!(op.kind(), OpKind::MatMul | OpKind::Gemm | OpKind::Conv | OpKind::Einsum),
    };
    let users = |value: Value| graph.users(value).into_iter().map(|(user, _)| user);
    let is_turned_for_reader = |user: NodeId| {
        graph.node(user).op().kind() == OpKind::Transpose && users(Value { node: user, result: 0 }).any(is_reader)
    };
    let readers = readers(graph, root).unwrap_or_default();
    let is_requested = quantization.scheme_of(&names(graph, root, &readers)).0 != Scheme::None;
    if !is_requested || !users(root).any(|user| is_reader(user) || is_turned_for_reader(user)) {
        return Skip::NoMatch;
    }
    Skip::rejected(if !is_weight(tensor) {
        format!("elements of type {} have no quantized form", tensor.element())
    } else if as_read(tensor, &readers)
        .is_ok_and(|tensor| readers.iter().any(|reader| tensor.dims()[reader.axis()] < MIN_BLOCK))
    {
        format!("a product sums over fewer than {MIN_BLOCK} elements, or rows have fewer")
    } else if tensor.count() < MIN_ELEMENTS {
        "it has fewer than 4,096 elements".to_owned()
    } else {
        "its reader is not a form that is quantized".to_owned()
    })
}

fn format_note(format: BlockFormat, dims: &[u64]) -> String {
    let zeros = if format.symmetric { "" } else { " and zero points" };
    match dims.last() {
        Some(row) if format.size >= *row => {
            format!("{} bits with a scale{zeros} for each of {} rows", format.bits, dims[0])
        }
        _ => format!("{} bits with scales{zeros} for blocks of {}", format.bits, format.size),
    }
}

fn kept(error: &TensorError) -> Skip {
    Skip::rejected(format!("the weight stays in floats: {error}"))
}

/// A weight that is to be quantized.
struct Weight<'r> {
    root: Value,
    tensor: Tensor,
    /// The largest magnitude of its elements, or of some of them if weights are not checked.
    magnitude: f64,
    scheme: Scheme,
    quantization: &'r Quantization,
    target: &'r Target,
}

/// The rows of a weight before they were quantized, and after.
type BeforeAndAfter = (Tensor, Quantized);

/// The rows before and after, and the bytes of all tensors that replace the weight: look-ups may have a copy of their own.
type Replaced = (Tensor, Quantized, u64);

fn bytes(quantized: &Quantized) -> u64 {
    quantized.codes().len() + quantized.scales().len() + quantized.zeros().map_or(0, Tensor::len)
}

impl Weight<'_> {
    /// Returns the weight as a matrix whose last axis is the one that is summed over.
    fn rows(&self, axis: usize) -> Result<Tensor, Skip> {
        Ok(match self.tensor.dims() {
            [_, _] if axis == 0 => self.tensor.transposed()?,
            [rows, columns, ..] => self.tensor.reshaped(&[*rows, *columns])?,
            _ => return Err(Skip::NoMatch),
        })
    }

    /// Returns the rows in a format, with scales of the type of the weight.
    fn quantized(&self, axis: usize, format: BlockFormat) -> Result<BeforeAndAfter, Skip> {
        let (rows, element) = (self.rows(axis)?, self.tensor.element());
        let narrow = self.quantization.scales.or(self.target.weights.scales);
        let scales = narrow.filter(|narrow| narrow.bits() < element.bits()).unwrap_or(element);
        self.tensor.quantizable_with(self.magnitude, format, scales).map_err(|error| kept(&error))?;
        let quantized = rows.quantized(format, self.quantization.rounding, scales)?;
        let (codes, zeros) = (quantized.codes().clone(), quantized.zeros().cloned());
        Ok((rows, Quantized::from_parts(codes, quantized.scales().cast(element)?, zeros, format)?))
    }

    fn parameter(&self, graph: &mut Graph, word: &str, tensor: Tensor) -> Result<Value, Skip> {
        insert(graph, self.root, word, Op::Parameter(tensor), &[])
    }

    /// Replaces the weight by codes with a scale for each block along the axis that is summed over.
    fn in_blocks(&self, graph: &mut Graph, readers: &[Reader]) -> Result<Replaced, Skip> {
        let &Quantization { block_size, symmetric, .. } = self.quantization;
        let bits = if self.scheme == Scheme::Int4 { 4 } else { 8 };
        let has_kernel = self.target.weights.bits.contains(&bits);
        let (lookups, products): (Vec<&Reader>, Vec<&Reader>) =
            readers.iter().partition(|reader| matches!(reader, Reader::Lookup { .. }));
        let in_rows = if has_kernel { &[][..] } else { &lookups };
        let rest = if has_kernel { readers.iter().collect() } else { products };
        let Some(axis) = rest.first().map(|reader| reader.axis()) else { return self.in_rows(graph, in_rows) };
        if rest.iter().any(|reader| reader.axis() != axis) {
            return Err(Skip::rejected("products sum over both of its axes, and blocks lie along one"));
        }
        if has_kernel && rest.iter().any(|reader| reader.is_grouped()) {
            return Err(Skip::rejected(format!("{} has no operator for weights in blocks of groups", self.target)));
        }
        let row = self.rows(axis)?.dims()[1];
        let mut size = block_size;
        if has_kernel && !lookups.is_empty() {
            // Kernels look up whole blocks only.
            while !row.is_multiple_of(size) {
                size /= 2;
            }
            if size < MIN_BLOCK {
                return Err(Skip::rejected(format!(
                    "rows of {row} elements are not whole blocks of {MIN_BLOCK} or more"
                )));
            }
        }
        if has_kernel && !lookups.is_empty() && !symmetric && (row / size) % 2 == 1 && !self.target.weights.odd_zeros {
            return Err(Skip::rejected(format!(
                "{} does not look up rows of an odd number of blocks with zero points; leave out --asymmetric",
                self.target
            )));
        }
        let is_whole = !has_kernel && bits == 8 && self.target.weights.whole_columns;
        let format = BlockFormat { bits, size: if is_whole { row.max(1) } else { size }, symmetric };
        let (before, quantized) = self.quantized(axis, format)?;
        // Columns with one scale stay standard operators, for which no opset is raised.
        if let Some(dialect) = graph.dialect().filter(|_| is_whole) {
            let op = Op::DequantizeLinear { axis: 1, block_size: 0, output_dtype: None };
            let elements = [quantized.codes(), quantized.scales()].map(|part| Some(part.element()));
            dialect.allows(&op, &elements, &[]).map_err(|why| Skip::rejected(format!("{why}; pass --opset 21")))?;
        }
        let copy = if in_rows.is_empty() { 0 } else { self.in_rows(graph, in_rows)?.2 };
        // Runtimes that form kernels of standard operators expect the axis that is summed over first.
        let plain: Option<Vec<&Product>> = rest.iter().map(|reader| reader.plain_product()).collect();
        let is_led = graph.shape(self.root).is_some_and(|shape| shape.len() > self.tensor.dims().len());
        let turned = plain.filter(|_| !has_kernel && axis == 1 && !is_led);
        let is_first = axis == 0 || turned.is_some();
        let laid_out = |tensor: &Tensor| -> Result<Tensor, Skip> {
            if is_first {
                return Ok(tensor.transposed()?);
            }
            let ones = self.tensor.dims().iter().skip(2);
            Ok(tensor.reshaped(&tensor.dims().iter().chain(ones).copied().collect::<Vec<_>>())?)
        };
        let scaled = |tensor: &Tensor| {
            if is_whole { Ok(tensor.reshaped(&[tensor.count()])?) } else { laid_out(tensor) }
        };
        let codes = laid_out(quantized.codes())?;
        // In bodies, ONNX Runtime 1.32 multiplies wrongly by weights with scales in f16.
        let needs_wide = self.target.weights.wide_scales || graph.is_body();
        let is_wide = !has_kernel && needs_wide && self.tensor.element() != ElementType::F32;
        let scales = if is_wide { quantized.scales().cast(ElementType::F32)? } else { quantized.scales().clone() };
        let parts = [Some(("scales", &scales)), quantized.zeros().map(|zeros| ("zeros", zeros))];
        let parts = parts.into_iter().flatten().map(|(word, part)| Ok((word, scaled(part)?)));
        let parts = parts.collect::<Result<Vec<_>, Skip>>()?;
        let block_size = if is_whole { 0 } else { i64::try_from(size).map_err(|_| Skip::NoMatch)? };
        let op = Op::DequantizeLinear { axis: i64::from(is_first == is_whole), block_size, output_dtype: None };
        // The operators of the target that it becomes, or the opset that is raised for it, may be newer.
        let dialect = graph.dialect();
        graph.set_dialect(None);
        let most = self.target.weights.folded.filter(|most| is_whole && codes.count() > *most);
        let narrow = cast(self.tensor.element());
        let (op, operands) = if let Some(most) = most {
            let mut pieces = self.in_pieces(graph, most, &op, &codes, &parts)?;
            if is_wide {
                let narrowed = pieces.iter().map(|piece| insert(graph, self.root, "narrow", narrow.clone(), &[*piece]));
                pieces = narrowed.collect::<Result<_, _>>()?;
            }
            (Op::Concat { axis: 0 }, pieces)
        } else {
            let all = std::iter::once(("codes", codes)).chain(parts);
            let parts = all.map(|(word, part)| self.parameter(graph, word, part)).collect::<Result<Vec<_>, Skip>>()?;
            if is_wide { (narrow, vec![insert(graph, self.root, "wide", op, &parts)?]) } else { (op, parts) }
        };
        let floats = if turned.is_some() || is_led {
            insert(graph, self.root, "floats", op, &operands)
        } else {
            become_op(graph, self.root, op, &operands, "").map(|_| self.root)
        };
        graph.set_dialect(dialect);
        let floats = floats?;
        for reader in rest.iter().filter(|_| is_led) {
            let Reader::Product(product) = reader else { return Err(Skip::NoMatch) };
            product.read(graph, self.root, floats)?;
        }
        for product in turned.into_iter().flatten() {
            let multiply =
                |graph: &mut Graph, x: Value| insert(graph, product.root, "product", Op::MatMul, &[x, floats]);
            product.replace(graph, multiply, "")?;
        }
        let bytes = bytes(&quantized) + copy;
        Ok((before, quantized, bytes))
    }

    /// Inserts pieces of the weight along its first axis, each dequantized.
    fn in_pieces(
        &self,
        graph: &mut Graph,
        most: u64,
        op: &Op,
        codes: &Tensor,
        parts: &[(&'static str, Tensor)],
    ) -> Result<Vec<Value>, Skip> {
        let rows = codes.dims()[0];
        let step = (most / (codes.count() / rows).max(1)).max(1);
        let has_rows = matches!(op, Op::DequantizeLinear { axis: 0, .. });
        let shared = parts
            .iter()
            .map(|(word, part)| Ok(if has_rows { None } else { Some(self.parameter(graph, word, part.clone())?) }));
        let shared = shared.collect::<Result<Vec<_>, Skip>>()?;
        let mut pieces = vec![];
        let mut start = 0;
        while start < rows {
            let range = start..rows.min(start + step);
            let mut operands = vec![self.parameter(graph, "codes", codes.rows(range.clone())?)?];
            for ((word, part), shared) in parts.iter().zip(&shared) {
                operands.push(match shared {
                    Some(shared) => *shared,
                    None => self.parameter(graph, word, part.rows(range.clone())?)?,
                });
            }
            pieces.push(insert(graph, self.root, "piece", op.clone(), &operands)?);
            start = range.end;
        }
        Ok(pieces)
    }

    /// Replaces look-ups by those of codes of 8 bits with one scale for each row, cast and multiplied.
    fn in_rows(&self, graph: &mut Graph, lookups: &[&Reader]) -> Result<Replaced, Skip> {
        let element = self.tensor.element();
        let row = self.tensor.dims()[1];
        let format = BlockFormat { bits: 8, size: row.max(1), symmetric: true };
        let (before, quantized) = self.quantized(1, format)?;
        let codes = self.parameter(graph, "rows", quantized.codes().clone())?;
        let scales = self.parameter(graph, "row_scales", quantized.scales().clone())?;
        for reader in lookups {
            let Reader::Lookup { root, indices } = **reader else { return Err(Skip::NoMatch) };
            let codes = insert(graph, root, "codes", Op::Gather { axis: 0 }, &[codes, indices])?;
            let codes = insert(graph, root, "numbers", cast(element), &[codes])?;
            let scales = insert(graph, root, "scales", Op::Gather { axis: 0 }, &[scales, indices])?;
            become_op(graph, root, Op::Mul, &[codes, scales], "")?;
        }
        let bytes = bytes(&quantized);
        Ok((before, quantized, bytes))
    }

    /// Replaces products by those of integers, and look-ups by those of rows.
    fn dynamic(&self, graph: &mut Graph, readers: &[Reader]) -> Result<Replaced, Skip> {
        let (mut lookups, mut products) = (vec![], vec![]);
        for reader in readers {
            match (reader, reader.plain_product()) {
                (_, Some(product)) => products.push(product),
                (Reader::Lookup { .. }, _) => lookups.push(reader),
                _ => return Err(Skip::rejected("a dynamic scheme needs products with the weight on the right")),
            }
        }
        let Some(axis) = products.first().map(|product| product.axis) else { return self.in_rows(graph, &lookups) };
        if products.iter().any(|product| product.axis != axis) {
            return Err(Skip::rejected("products sum over both of its axes"));
        }
        let row = self.rows(axis)?.dims()[1];
        let bits = if self.quantization.reduce_range { 7 } else { 8 };
        let format = BlockFormat { bits, size: row.max(1), symmetric: self.scheme == Scheme::Int8Dynamic };
        let (before, quantized) = self.quantized(axis, format)?;
        let copy = if lookups.is_empty() { 0 } else { self.in_rows(graph, &lookups)?.2 };
        let columns = [quantized.codes().dims()[0]];
        let codes = self.parameter(graph, "codes", quantized.codes().transposed()?)?;
        let scales = quantized.scales().cast(ElementType::F32)?.reshaped(&columns)?;
        let scales = self.parameter(graph, "scales", scales)?;
        let zeros = match quantized.zeros() {
            Some(zeros) => Some(self.parameter(graph, "zeros", zeros.reshaped(&columns)?)?),
            None => None,
        };
        for product in products {
            multiply_integers(graph, product, codes, scales, zeros)?;
        }
        let bytes = bytes(&quantized) + copy;
        Ok((before, quantized, bytes))
    }
}

/// `x · w` -> `cast(matmul_integer(quantized x, codes)) * (scale of x * scales)`
///
/// ONNX Runtime forms its DynamicQuantizeMatMul of operators in this order.
fn multiply_integers(
    graph: &mut Graph,
    product: &Product,
    codes: Value,
    scales: Value,
    zeros: Option<Value>,
) -> Rewritten {
    let root = product.root;
    let element = graph.fact(product.x).element().ok_or(Skip::NoMatch)?;
    product.replace(
        graph,
        |graph, x| {
            let x = if element == ElementType::F32 {
                x
            } else {
                insert(graph, root, "wide", cast(ElementType::F32), &[x])?
            };
            let [quantized, scale, zero] = quantized_when_run(graph, root, x)?;
            let operands: Vec<Value> = [quantized, codes, zero].into_iter().chain(zeros).collect();
            let sums = insert(graph, root, "sums", Op::MatMulInteger, &operands)?;
            let sums = insert(graph, root, "numbers", cast(ElementType::F32), &[sums])?;
            let scales = insert(graph, root, "scales", Op::Mul, &[scale, scales])?;
            let scaled = insert(graph, root, "product", Op::Mul, &[sums, scales])?;
            if element == ElementType::F32 {
                Ok(scaled)
            } else {
                insert(graph, root, "narrow", cast(element), &[scaled])
            }
        },
        "",
    )
}

/// Returns the results of a DynamicQuantizeLinear of a value; products of the same value share one.
fn quantized_when_run(graph: &mut Graph, root: Value, x: Value) -> Result<[Value; 3], Skip> {
    let quantizes = |node: NodeId| graph.node(node).op().kind() == OpKind::DynamicQuantizeLinear;
    let known = graph.users(x).into_iter().map(|(user, _)| user).find(|user| quantizes(*user));
    let node = if let Some(node) = known {
        node
    } else {
        let name = graph.value_name(x).clone();
        let results = ["quantized", "scale", "zero"].map(|word| format!("{name}.{word}").into());
        let place = Place { results: results.into_iter().collect(), ..graph.beside(root.node, "") };
        graph.insert(place, Op::DynamicQuantizeLinear, &[Some(x)])?
    };
    let mut results = graph.results(node);
    match [results.next(), results.next(), results.next()] {
        [Some(quantized), Some(scale), Some(zero)] => Ok([quantized, scale, zero]),
        _ => Err(Skip::NoMatch),
    }
}
