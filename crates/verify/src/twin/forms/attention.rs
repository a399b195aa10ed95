//! Decomposes attention.

use super::super::{F64, int_attribute, tensor_attribute};
use super::Writer;
use crate::file::{attribute, operand};
use tract_onnx::pb::{AttributeProto, NodeProto};

impl Writer<'_> {
    /// ONNX's `Attention`: query, key, value, mask, past key, past value.
    pub(super) fn attention(&mut self, node: &NodeProto) -> Result<(), String> {
        let input = |index| operand(node, index);
        let attribute = |name: &str| attribute(node, name);
        let heads = |name: &str| attribute(name).map(|heads| heads.i);
        let unknown = |what: &str| Err(format!("the model has an Attention with {what}, which has no f64 form"));
        if input(6).is_some() || node.output.len() > 3 {
            return unknown("lengths or scores");
        }
        let (Some(query), Some(key), Some(value)) = (input(0), input(1), input(2)) else {
            return unknown("missing operands");
        };
        let (query_heads, key_heads) = (heads("q_num_heads"), heads("kv_num_heads"));
        let split = |w: &mut Self, x: &str, heads: Option<i64>| {
            let Some(heads) = heads else { return x.to_owned() };
            let shape = w.integers(&[0, 0, heads, -1]);
            let split = w.op("Reshape", &[x, &shape]);
            w.transposed(&split, &[0, 2, 1, 3])
        };
        let query = split(self, query, query_heads);
        let (mut key, mut value) = (split(self, key, key_heads), split(self, value, key_heads));
        if let (Some(past_key), Some(past_value)) = (input(4), input(5)) {
            key = self.with("Concat", &[past_key, &key], vec![int_attribute("axis", 2)]);
            value = self.with("Concat", &[past_value, &value], vec![int_attribute("axis", 2)]);
        }
        for (all, at) in [(&key, 1), (&value, 2)] {
            if let Some(output) = node.output.get(at).filter(|name| !name.is_empty()) {
                self.rename(all, output);
            }
        }
        let heads = query_heads.zip(key_heads);
        let is_causal = attribute("is_causal").is_some_and(|flag| flag.i != 0);
        let result = self.attend(node, [&query, &key, &value], heads, input(3), |w, scores| {
            if is_causal { w.causal(&scores, &query, &key) } else { scores }
        });
        if let Some(output) = node.output.first() {
            self.rename(&result, output);
        }
        Ok(())
    }

    /// `GroupQueryAttention` of ONNX Runtime: query, key, value, past key, past value, the last position of each sample, the
    /// number of tokens, and a mask as operand 10. New keys and values are written into the past, or follow it.
    pub(super) fn grouped_attention(&mut self, node: &NodeProto) -> Result<(), String> {
        let input = |index| operand(node, index);
        let attribute = |name: &str| attribute(node, name);
        let is_known = |attribute: &AttributeProto| match &*attribute.name {
            "num_heads" | "kv_num_heads" | "scale" | "softcap" => true,
            "local_window_size" => attribute.i == -1,
            _ => attribute.i == 0 && attribute.f == 0.0,
        };
        let unknown =
            |what: &str| Err(format!("the model has a GroupQueryAttention with {what}, which has no f64 form"));
        if let Some(other) = node.attribute.iter().find(|attribute| !is_known(attribute)) {
            return unknown(&other.name);
        }
        if [7, 8, 9].into_iter().chain(11..node.input.len()).any(|at| input(at).is_some()) {
            return unknown("other operands than a mask");
        }
        let heads = |name: &str| attribute(name).map(|heads| heads.i);
        let (
            Some(heads),
            [Some(query), Some(key), Some(value), Some(past_key), Some(past_value), Some(last), Some(total)],
        ) = (heads("num_heads").zip(heads("kv_num_heads")), [0, 1, 2, 3, 4, 5, 6].map(input))
        else {
            return unknown("missing operands");
        };
        let Some(mask) = input(10) else { return unknown("no mask") };
        let past = past_key;
        let [query, key, value] = [(query, heads.0), (key, heads.1), (value, heads.1)].map(|(x, heads)| {
            let shape = self.integers(&[0, 0, heads, -1]);
            let split = self.op("Reshape", &[x, &shape]);
            self.transposed(&split, &[0, 2, 1, 3])
        });
        let float = |w: &mut Self, x: &str, shape: &[i64]| {
            let wide = w.with("Cast", &[x], vec![int_attribute("to", F64.into())]);
            let shape = w.integers(shape);
            w.op("Reshape", &[&wide, &shape])
        };
        // The position of the first new token in each sample, `[batch, 1, 1, 1]`: 0 in a prompt.
        let (last, total) = (float(self, last, &[-1, 1, 1, 1]), float(self, total, &[-1]));
        let (queries, zero) = (self.size(&query, 2), self.constant(0.0));
        let first = self.plus(&last, 1.0);
        let first = self.op("Sub", &[&first, &queries]);
        let is_prompt = self.op("Equal", &[&total, &queries]);
        let first = self.op("Where", &[&is_prompt, &zero, &first]);
        let (new, new_rows) = (self.count(&query, &[1, 1, 1, -1]), self.count(&query, &[1, 1, -1, 1]));
        let own = self.op("Add", &[&first, &new]);
        // As many places are added to the past as there are new tokens; a cache that is a buffer does not need them.
        let shape = self.op("Shape", &[&key]);
        let room = self.with("ConstantOfShape", &[&shape], vec![tensor_attribute("value", &[1], &[0.0])]);
        let [past_key, past_value] =
            [past_key, past_value].map(|past| self.with("Concat", &[past, &room], vec![int_attribute("axis", 2)]));
        let places = self.count(&past_key, &[1, 1, -1, 1]);
        let is_own = self.op("Equal", &[&places, &own]);
        let is_own = self.with("Cast", &[&is_own], vec![int_attribute("to", F64.into())]);
        let one = self.scaled(&new_rows, 0.0);
        let one = self.plus(&one, 1.0);
        let is_new = self.op("MatMul", &[&is_own, &one]);
        let is_new = self.op("Greater", &[&is_new, &zero]);
        let length = |w: &mut Self, of: &str, axis: i64| {
            let (shape, at) = (w.op("Shape", &[of]), w.integers(&[axis]));
            w.with("Gather", &[&shape, &at], vec![int_attribute("axis", 0)])
        };
        let (own_length, length) = (length(self, past, 2), length(self, mask, 3));
        let present_length = self.op("Max", &[&own_length, &length]);
        let (start, axis) = (self.integers(&[0]), self.integers(&[2]));
        let [key, value] = [(&key, past_key, 1), (&value, past_value, 2)].map(|(new, past, at)| {
            let new = self.op("MatMul", &[&is_own, new]);
            let all = self.op("Where", &[&is_new, &new, &past]);
            if let Some(output) = node.output.get(at).filter(|name| !name.is_empty()) {
                let present = self.op("Slice", &[&all, &start, &present_length, &axis]);
                self.rename(&present, output);
            }
            self.op("Slice", &[&all, &start, &length, &axis])
        });
        let rows = self.op("Add", &[&first, &new_rows]);
        let columns = self.count(&key, &[1, 1, 1, -1]);
        let result = self.attend(node, [&query, &key, &value], Some(heads), Some(mask), |w, scores| {
            let is_after = w.op("Greater", &[&columns, &rows]);
            let masked = w.constant(f64::NEG_INFINITY);
            w.op("Where", &[&is_after, &masked, &scores])
        });
        if let Some(output) = node.output.first() {
            self.rename(&result, output);
        }
        Ok(())
    }

    /// The numbers from 0 up to the size of axis 2, in a shape.
    fn count(&mut self, of: &str, shape: &[i64]) -> String {
        let (whole, at) = (self.op("Shape", &[of]), self.integers(&[2]));
        let size = self.with("Gather", &[&whole, &at], vec![int_attribute("axis", 0)]);
        let ones = self.with("ConstantOfShape", &[&size], vec![tensor_attribute("value", &[1], &[1.0])]);
        let zero = self.integers(&[0]);
        let axis = self.op("Squeeze", &[&zero, &zero]);
        let count = self.with("CumSum", &[&ones, &axis], vec![int_attribute("exclusive", 1)]);
        let shape = self.integers(shape);
        self.op("Reshape", &[&count, &shape])
    }

    /// Attends to keys `[batch, heads, length, size]`, with the scale and the softcap of a node; `heads` are those of the
    /// queries and of the keys. `hide` hides the scores of later keys.
    fn attend(
        &mut self,
        node: &NodeProto,
        [query, key, value]: [&str; 3],
        heads: Option<(i64, i64)>,
        mask: Option<&str>,
        hide: impl FnOnce(&mut Self, String) -> String,
    ) -> String {
        let attribute = |name: &str| attribute(node, name);
        let (mut key, mut value) = (key.to_owned(), value.to_owned());
        if let Some((queries, keys)) = heads
            && queries != keys
        {
            let repeated = |w: &mut Self, x: &str| {
                let one = w.integers(&[2]);
                let wide = w.op("Unsqueeze", &[x, &one]);
                let copies = vec![wide.as_str(); usize::try_from(queries / keys.max(1)).unwrap_or(1)];
                let all = w.with("Concat", &copies, vec![int_attribute("axis", 2)]);
                // [batch, kv, copies, length, size] to [batch, heads, length, size]
                let moved = w.transposed(&all, &[0, 3, 1, 2, 4]);
                let shape = w.integers(&[0, 0, queries, -1]);
                let flat = w.op("Reshape", &[&moved, &shape]);
                w.transposed(&flat, &[0, 2, 1, 3])
            };
            key = repeated(self, &key);
            value = repeated(self, &value);
        }
        let turned = self.transposed(&key, &[0, 1, 3, 2]);
        let product = self.op("MatMul", &[query, &turned]);
        let mut scores = if let Some(scale) = attribute("scale") {
            self.scaled(&product, scale.f.into())
        } else {
            let size = self.size(query, 3);
            let root = self.op("Sqrt", &[&size]);
            self.op("Div", &[&product, &root])
        };
        if let Some(cap) = attribute("softcap").map(|cap| f64::from(cap.f)).filter(|cap| *cap != 0.0) {
            let part = self.scaled(&scores, 1.0 / cap);
            let part = self.op("Tanh", &[&part]);
            scores = self.scaled(&part, cap);
        }
        if let Some(mask) = mask {
            // A bool mask is not supported here; the twin then fails to load.
            scores = self.op("Add", &[&scores, mask]);
        }
        scores = hide(self, scores);
        let softmax = self.with("Softmax", &[&scores], vec![int_attribute("axis", -1)]);
        // A row that is fully masked is NaN in a softmax, and 0 in attention.
        let (is_number, zero) = (self.op("Equal", &[&softmax, &softmax]), self.constant(0.0));
        let softmax = self.op("Where", &[&is_number, &softmax, &zero]);
        let mut result = self.op("MatMul", &[&softmax, &value]);
        if heads.is_some() {
            let together = self.transposed(&result, &[0, 2, 1, 3]);
            let shape = self.integers(&[0, 0, -1]);
            result = self.op("Reshape", &[&together, &shape]);
        }
        result
    }

    /// Masks the scores of keys after their query with -infinity; the last query is aligned with the last key.
    fn causal(&mut self, scores: &str, query: &str, key: &str) -> String {
        let ones = {
            let shape = self.op("Shape", &[scores]);
            self.with("ConstantOfShape", &[&shape], vec![tensor_attribute("value", &[1], &[1.0])])
        };
        let count = |w: &mut Self, axis: i64| {
            let (at, zero) = (w.integers(&[axis]), w.integers(&[0]));
            let at = w.op("Squeeze", &[&at, &zero]);
            w.with("CumSum", &[&ones, &at], vec![int_attribute("exclusive", 1)])
        };
        let (row, column) = (count(self, 2), count(self, 3));
        let (queries, keys) = (self.size(query, 2), self.size(key, 2));
        let past = self.op("Sub", &[&keys, &queries]);
        let last = self.op("Add", &[&row, &past]);
        let is_after = self.op("Greater", &[&column, &last]);
        let masked = self.constant(f64::NEG_INFINITY);
        self.op("Where", &[&is_after, &masked, scores])
    }
}
