//! The rows that masks hide: what a model computes for padding has no meaning, and in narrow types often no digits.

use crate::Array;
use crate::compare::Worst;
use crate::file::{ModelFile, Port};
use crate::inputs::{Role, role};
use crate::uses::Graphs;
use netwright_ir::Dim;

/// The tokens that the masks of a run hide, and the outputs of the model.
pub(crate) struct Hidden {
    masks: Vec<Mask>,
    outputs: Vec<Port>,
    /// Whether masks also cover a past.
    has_past: bool,
}

#[derive(Clone)]
struct Mask {
    batch: usize,
    length: usize,
    is_hidden: Vec<bool>,
    /// The declared size of its second axis.
    covers: Dim,
}

impl Hidden {
    /// Reads the masks `[batch, length]` among the inputs of a run.
    pub(crate) fn new(model: &ModelFile, inputs: &[(String, Array)]) -> Self {
        let graphs = Graphs::new(&model.graph);
        let ports = model.inputs();
        let masks = ports.iter().filter(|port| role(port, &graphs) == Role::Mask);
        let has_past = ports.iter().any(|port| port.name.contains("past"));
        let read = |port: &Port| {
            let (_, array) = inputs.iter().find(|(name, _)| *name == port.name)?;
            Mask::new(array, port.ty.as_ref()?.shape.as_ref()?.get(1)?.clone())
        };
        Self { masks: masks.filter_map(read).collect(), outputs: model.outputs().to_vec(), has_past }
    }

    /// Returns the largest error of an output outside the rows that masks hide, relative to `scale`, and its element, if the
    /// error within them is larger; 0 and none if masks hide all rows.
    pub(crate) fn worst_outside(
        &self,
        output: &str,
        [a, b]: [&[(String, Array)]; 2],
        scale: f64,
    ) -> Option<(f64, Option<Worst>)> {
        let find = |all: &'_ [(String, Array)]| all.iter().position(|(name, _)| name == output);
        let (a, b) = (&a.get(find(a)?)?.1, &b.get(find(b)?)?.1);
        // The axis of the tokens has no fixed size.
        let dims = self.outputs.iter().find(|port| port.name == output)?.ty.as_ref()?.shape.as_ref()?;
        let axis = (1..dims.len()).find(|axis| dims[*axis].known().is_none());
        let (left, right) = (a.any().floats()?, b.any().floats()?);
        let errors: Vec<f64> = left.iter().zip(&*right).map(|(a, b)| (a - b).abs() / a.abs().max(scale)).collect();
        let largest = |is_counted: &dyn Fn(usize) -> bool| {
            let counted = errors.iter().copied().enumerate().filter(|(at, error)| error.is_finite() && is_counted(*at));
            counted.max_by(|(_, a), (_, b)| a.total_cmp(b))
        };
        // A mask of other tokens, such as those of an encoder, hides a row if it hides all of them.
        let axis_of = |mask: &Mask| axis.filter(|axis| mask.is_of(&dims[*axis], self.has_past));
        let hidden: Vec<_> = self.masks.iter().filter_map(|mask| mask.hides(a.shape(), axis_of(mask))).collect();
        let is_kept = |at: usize| hidden.iter().all(|is_hidden| !is_hidden(at));
        let (_, all) = largest(&|_| true)?;
        let kept = largest(&is_kept);
        let others = kept.map_or(0.0, |(_, error)| error);
        (others < all).then(|| (others, kept.map(|(at, error)| Worst::new(a, b, at, Some(error)))))
    }
}

impl Mask {
    fn new(array: &Array, covers: Dim) -> Option<Self> {
        let [batch, length] = *array.shape() else { return None };
        let elements = array.any().numbers();
        // A mask that is added has 0 for tokens that it keeps, which may be all.
        let is_added = elements.iter().any(|element| *element < 0.0)
            || array.element().is_float() && elements.iter().all(|element| *element == 0.0);
        let is_hidden =
            elements.iter().map(|element| if is_added { *element < 0.0 } else { *element == 0.0 }).collect();
        Some(Self { batch, length, is_hidden, covers })
    }

    /// Returns whether it is a mask of tokens on an axis of this declared size, and possibly of a past before them.
    fn is_of(&self, tokens: &Dim, has_past: bool) -> bool {
        let mut contains = false;
        self.covers.for_each_symbol(&mut |symbol| contains |= *tokens == Dim::Symbol(symbol.clone()));
        self.covers == *tokens || contains || has_past
    }

    /// Returns which elements of an output belong to tokens, on an axis, that the mask hides, or to a sequence of which it
    /// hides all tokens; `None` if it is not a mask of these. The last tokens are those of the output, if the mask also
    /// covers a past.
    fn hides(&self, shape: &[usize], axis: Option<usize>) -> Option<impl Fn(usize) -> bool> {
        let tokens = axis.map_or(Some(0), |axis| shape.get(axis).copied())?;
        let past = self.length.checked_sub(tokens)?;
        let of_sequence = shape.get(1..)?.iter().product::<usize>().max(1);
        let of_token = axis.map_or(of_sequence, |axis| shape.iter().skip(axis + 1).product::<usize>().max(1));
        (shape.first() == Some(&self.batch)).then_some(move |at: usize| {
            let row = self.is_hidden.chunks(self.length.max(1)).nth(at / of_sequence).unwrap_or_default();
            let token = past + at / of_token % tokens.max(1);
            row.iter().all(|hidden| *hidden) || axis.is_some() && row.get(token) == Some(&true)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Values;
    use netwright_ir::{ElementType, Shape, Symbol, TensorType};

    /// The output has tokens on its second or third axis, or none; its mask hides the first token of the second sequence.
    #[test]
    fn errors_of_hidden_tokens_are_told_apart() {
        let of_values = |elements: Values| {
            let array = Array::new([2, 3], elements).expect("an array");
            Mask::new(&array, Dim::Symbol(Symbol::new("seq"))).expect("a mask")
        };
        let mask = |elements: Vec<f32>| of_values(elements.into());
        let kept = mask(vec![1.0, 1.0, 1.0, 0.0, 1.0, 1.0]);
        let added = mask(vec![0.0, 0.0, 0.0, -1e4, 0.0, 0.0]);
        assert_eq!(kept.is_hidden, added.is_hidden);
        let whole = mask(vec![1.0, 1.0, 1.0, 0.0, 0.0, 0.0]);
        let of = |mask: &Mask, names: &str, shape: &[usize], differing: &[usize]| {
            let count = shape.iter().product();
            let a = Array::new(shape, vec![1.0_f32; count]).expect("an array");
            let mut other = vec![1.001_f32; count];
            for at in differing {
                other[*at] = 4.0;
            }
            let b = Array::new(shape, other).expect("an array");
            let dims: Shape = names.split(' ').map(|dim| dim.parse().expect("a dim")).collect();
            let port = Port { name: "y".to_owned(), ty: Some(TensorType::new(ElementType::F32, dims)) };
            let masks = vec![mask.clone()];
            let (a, b) = ([("y".to_owned(), a)], [("y".to_owned(), b)]);
            let hidden = Hidden { masks, outputs: vec![port], has_past: names.contains("total") };
            let (others, worst) = hidden.worst_outside("y", [&a, &b], 1.0)?;
            assert_eq!(worst.as_ref().and_then(|worst| worst.error).unwrap_or(0.0), others);
            Some((others, worst.map(|worst| worst.b)))
        };
        let found = |mask: &Mask, names: &str, shape: &[usize], differing: &[usize]| {
            of(mask, names, shape, differing)
                .is_some_and(|(others, b)| others > 0.0 && others < 0.01 && b.as_deref() == Some("1.001"))
        };
        assert!(found(&kept, "batch seq 2", &[2, 3, 2], &[6, 7]));
        assert!(!found(&kept, "batch seq 2", &[2, 3, 2], &[6, 8]), "the second token of the second sequence");
        assert!(!found(&kept, "batch seq 2", &[2, 3, 2], &[0]), "the first sequence");
        assert!(found(&kept, "batch 2 total 1", &[2, 2, 3, 1], &[6, 9]));
        assert!(!found(&kept, "batch total 2", &[2, 2, 2], &[4]), "the first token is in the past");
        assert!(!found(&kept, "batch other 2", &[2, 3, 2], &[6]), "other tokens");
        assert!(found(&whole, "batch other 2", &[2, 5, 2], &[10, 19]));
        assert!(found(&kept, "batch seq", &[2, 3], &[3]));
        assert!(!found(&kept, "batch 2", &[2, 2], &[2]), "one token of the sequence");
        assert!(found(&whole, "batch 2", &[2, 2], &[2, 3]));
        assert!(!found(&kept, "batch seq 2", &[2, 4, 2], &[8]), "more tokens than the mask has");
        assert!(!found(&kept, "other seq 2", &[1, 3, 2], &[0]), "another batch");
        // No row is left.
        assert_eq!(of(&of_values(vec![0_i64; 6].into()), "batch seq 2", &[2, 3, 2], &[0]), Some((0.0, None)));
        assert_eq!(of(&mask(vec![0.0; 6]), "batch seq 2", &[2, 3, 2], &[0]), None, "an added mask keeps all");
    }
}
