//! Inference for opaque operators of ONNX Runtime's domain `com.microsoft`, for `SimplifiedLayerNormalization`, which
//! the runtime has in ONNX's own domain too, and for old forms of standard operators.
//!
//! Only what the operator's documentation guarantees is inferred, and nothing is an error: anything unexpected is
//! unknown.

use super::{Inferred, Operands, tensor};
use crate::attribute::Attribute;
use crate::op::OpaqueOp;
use crate::op::types::result_element;
use crate::{Dim, ElementType, Fact, Shape, ValueType};

/// The domain of ONNX Runtime's operators.
const DOMAIN: &str = "com.microsoft";

/// Standard operators that may be opaque: old forms flatten axes, or have a second result.
const STANDARD: [&str; 5] = ["Dropout", "Hardmax", "LogSoftmax", "SimplifiedLayerNormalization", "Softmax"];

/// Infers the results of an opaque operator: those of the function that it calls, or unknown for other domains. Where the
/// shape of a result is not known, its element type may be: it follows from the operator's type constraints.
pub(crate) fn opaque(x: &Operands<'_>, opaque: &OpaqueOp) -> Inferred {
    let is_own = &*opaque.domain == DOMAIN || opaque.domain.is_empty() && STANDARD.contains(&&*opaque.op_type);
    let called = opaque.call.infer(x.facts);
    let is_called = called.is_some();
    let mut facts = called.or_else(|| results(x, opaque).filter(|_| is_own)).unwrap_or_default();
    facts.resize_with(x.results, || Fact::of(ValueType::Unknown));
    if is_own && !is_called {
        let elements: Vec<_> = x.facts.iter().map(|fact| fact.and_then(Fact::element)).collect();
        for (at, fact) in facts.iter_mut().enumerate().filter(|(_, fact)| fact.ty == ValueType::Unknown) {
            if let Some(element) = result_element(opaque, at, &elements) {
                *fact = tensor(Some(element), None);
            }
        }
    }
    Inferred { facts: facts.into_iter().collect(), assumed: vec![] }
}

/// Returns the facts of the first results.
fn results(x: &Operands<'_>, opaque: &OpaqueOp) -> Option<Vec<Fact>> {
    let node = Node { x, opaque };
    let first = || Some(vec![node.like(0)?]);
    match &*opaque.op_type {
        "BiasAdd" | "BiasDropout" | "BiasGelu" | "BiasSoftmax" | "FastGelu" | "Gelu" | "GroupNorm" | "Hardmax"
        | "Inverse" | "LogSoftmax" | "QLinearLeakyRelu" | "QLinearSigmoid" | "QuickGelu" | "RotaryEmbedding"
        | "Softmax" | "Trilu" => first(),
        "Dropout" => {
            let element = if opaque.version >= 10 { Some(ElementType::Bool) } else { node.element(0) };
            Some(vec![node.like(0)?, tensor(element, x.shape(0).cloned())])
        }
        // The mean and the deviation come between them, and inference leaves them out.
        "SkipLayerNormalization" | "SkipSimplifiedLayerNormalization" => {
            let unknown = || Fact::of(ValueType::Unknown);
            Some(vec![node.like(0)?, unknown(), unknown(), node.like(0)?])
        }
        "MatMulNBits" | "MatMulBnb4" => {
            let shape = with_last(x.shape(0)?, node.size("N")?)?;
            Some(vec![tensor(node.element(0), Some(shape))])
        }
        "DynamicQuantizeMatMul" | "MatMulIntegerToFloat" => {
            let scale = if &*opaque.op_type == "MatMulIntegerToFloat" { 2 } else { 0 };
            Some(vec![tensor(node.element(scale), Some(product(x.shape(0)?, x.shape(1)?, false, false)?))])
        }
        "FusedGemm" => {
            let [a, b] = ["transA", "transB"].map(|name| node.int(name, 0).map(|transposed| transposed != 0));
            let ([_, _], [_, _]) = (&**x.shape(0)?, &**x.shape(1)?) else { return None };
            Some(vec![tensor(node.element(0), Some(product(x.shape(0)?, x.shape(1)?, a?, b?)?))])
        }
        "FusedMatMul" | "TransposeMatMul" => {
            if node.int("transBatchA", 0)? != 0 || node.int("transBatchB", 0)? != 0 {
                return None;
            }
            let [a, b] = ["transA", "transB"].map(|name| node.int(name, 0).map(|transposed| transposed != 0));
            Some(vec![tensor(node.element(0), Some(product(x.shape(0)?, x.shape(1)?, a?, b?)?))])
        }
        "GatherBlockQuantized" => node.gather_blocks().map(|fact| vec![fact]),
        "QuantizeLinear" => {
            let element = if x.fact(2).is_some() { node.element(2) } else { Some(ElementType::U8) };
            Some(vec![tensor(element, x.shape(0).cloned())])
        }
        "DequantizeLinear" | "SimplifiedLayerNormalization" => Some(vec![tensor(node.element(1), x.shape(0).cloned())]),
        "EmbedLayerNormalization" => {
            let [batch, length] = x.shape(0)?.to_vec().try_into().ok()?;
            let hidden = x.shape(2)?.last()?.clone();
            Some(vec![tensor(node.element(2), Some(Shape::from_iter([batch, length, hidden])))])
        }
        "Attention" => node.attention().map(|fact| vec![fact]),
        "MultiHeadAttention" => node.multi_head_attention().map(|fact| vec![fact]),
        "GroupQueryAttention" => node.group_query_attention().map(|fact| vec![fact]),
        _ => None,
    }
}

/// An opaque operator and its operands.
struct Node<'n, 'x> {
    x: &'n Operands<'x>,
    opaque: &'n OpaqueOp,
}

impl Node<'_, '_> {
    fn element(&self, at: usize) -> Option<ElementType> {
        self.x.fact(at)?.element()
    }

    /// Returns a tensor of the type of an operand.
    fn like(&self, at: usize) -> Option<Fact> {
        Some(Fact::of(self.x.fact(at)?.ty.clone()))
    }

    /// Returns an integer attribute; `None` if it has another type.
    fn int(&self, name: &str, default: i64) -> Option<i64> {
        match self.opaque.attributes.iter().find(|(found, _)| **found == *name) {
            Some((_, Attribute::Int(value))) => Some(*value),
            Some(_) => None,
            None => Some(default),
        }
    }

    /// Returns a positive integer attribute.
    fn size(&self, name: &str) -> Option<Dim> {
        self.int(name, 0).filter(|size| *size > 0).map(Dim::Known)
    }

    /// Gathers rows of a table quantized in blocks. Operands: the packed table, indices, scales.
    fn gather_blocks(&self) -> Option<Fact> {
        let (data, indices) = (self.x.shape(0)?, self.x.shape(1)?);
        let rank = i64::try_from(data.len()).ok()?;
        let axis = self.int("gather_axis", 0)?;
        let axis = usize::try_from(if axis < 0 { axis + rank } else { axis }).ok().filter(|axis| *axis < data.len())?;
        let mut data = data.to_vec();
        if self.element(0)? == ElementType::U8 {
            // The elements packed into a byte are along the last axis.
            let bits = self.int("bits", 4)?;
            let packed = [2, 4, 8].contains(&bits).then(|| 8 / bits)?;
            let last = data.last_mut()?;
            *last = last.times(&Dim::Known(packed));
        }
        let shape = data[..axis].iter().chain(indices.iter()).chain(&data[axis + 1..]).cloned().collect();
        Some(tensor(self.element(2), Some(shape)))
    }

    /// Operands: the input `[batch, length, hidden]`, the packed weights of queries, keys and values, and their bias.
    fn attention(&self) -> Option<Fact> {
        let [batch, length, _] = <[Dim; 3]>::try_from(self.x.shape(0)?.to_vec()).ok()?;
        let sizes = self.opaque.attributes.iter().find(|(name, _)| **name == *"qkv_hidden_sizes");
        let hidden = match sizes.map(|(_, value)| value) {
            Some(Attribute::Ints(sizes)) => Dim::Known(*sizes.get(2).filter(|size| **size > 0)?),
            Some(_) => return None,
            None => third(self.x.shape(1).or_else(|| self.x.shape(2))?.last()?)?,
        };
        Some(tensor(self.element(0), Some(Shape::from_iter([batch, length, hidden]))))
    }

    /// Operands: queries, keys, values; keys and values, or all three, may be packed into one tensor.
    fn multi_head_attention(&self) -> Option<Fact> {
        let queries = self.x.shape(0)?;
        let last = match (&**queries, self.x.shape(1).map(|shape| &**shape), self.x.shape(2).map(|shape| &**shape)) {
            // All three packed, keys and values packed, or keys and values of another attention: `[batch, heads,
            // length, size]`.
            ([_, _, heads, Dim::Known(3), size], None, None)
            | ([_, _, _], Some([_, _, heads, Dim::Known(2), size]), None)
            | ([_, _, _], Some([_, _, _, _]), Some([_, heads, _, size])) => heads.times(size),
            ([_, _, _], Some([_, _, _]), Some([_, _, hidden])) => hidden.clone(),
            _ => return None,
        };
        let shape = Shape::from_iter([queries[0].clone(), queries[1].clone(), last]);
        Some(tensor(self.element(0), Some(shape)))
    }

    /// Operands: queries `[batch, length, heads * size]`, keys, values; without keys and values, queries hold all
    /// three.
    fn group_query_attention(&self) -> Option<Fact> {
        let queries = self.x.shape(0)?;
        let [batch, length, hidden] = <[Dim; 3]>::try_from(queries.to_vec()).ok()?;
        let hidden = if self.x.fact(1).is_some() {
            hidden
        } else {
            let (heads, shared) = (self.int("num_heads", 0)?, self.int("kv_num_heads", 0)?);
            let all = shared.checked_mul(2).and_then(|shared| shared.checked_add(heads)).filter(|_| shared > 0)?;
            let size = (heads > 0 && hidden.modulo(&Dim::Known(all)) == Dim::Known(0))
                .then(|| hidden.floor_div(&Dim::Known(all)))?;
            size.times(&Dim::Known(heads))
        };
        Some(tensor(self.element(0), Some(Shape::from_iter([batch, length, hidden]))))
    }
}

/// Returns a third of a size, if it is an integer.
fn third(size: &Dim) -> Option<Dim> {
    let three = Dim::Known(3);
    (size.modulo(&three) == Dim::Known(0)).then(|| size.floor_div(&three))
}

/// Returns the shape with another last size.
fn with_last(shape: &Shape, last: Dim) -> Option<Shape> {
    let mut shape = shape.clone();
    *shape.dims_mut().last_mut()? = last;
    Some(shape)
}

/// Returns the shape of a product of matrices or of stacks of them, either possibly transposed on its last two axes.
fn product(a: &[Dim], b: &[Dim], transpose_a: bool, transpose_b: bool) -> Option<Shape> {
    let ([outer_a @ .., m, k], [outer_b @ .., l, n]) = (a, b) else { return None };
    let (rows, columns) = (if transpose_a { k } else { m }, if transpose_b { l } else { n });
    let rank = outer_a.len().max(outer_b.len());
    let at = |outer: &[Dim], axis: usize| {
        (axis + outer.len()).checked_sub(rank).map_or(Dim::Known(1), |axis| outer[axis].clone())
    };
    let outer = (0..rank).map(|axis| at(outer_a, axis).broadcast(&at(outer_b, axis)));
    let outer = outer.collect::<Option<Vec<Dim>>>()?;
    Some(outer.into_iter().chain([rows.clone(), columns.clone()]).collect())
}
