//! Operators on values that depend on tokens.

use super::Refusal;
use super::axes::{mapped, takes_sizes};
use super::states::{Analysis, Axes, CAUSAL, OWN, State, Tokens};
use crate::read::sizes::{only_element, position};
use netwright_ir::{Dim, NodeId, Op, OpKind, Value};

impl Analysis<'_> {
    /// Returns the states of the results of a node with operands that depend on tokens.
    ///
    /// # Errors
    /// Why a result does not depend on one token at a time.
    pub(super) fn of_tokens(&mut self, node: NodeId) -> Result<Vec<State>, Refusal> {
        let graph = self.graph;
        let root = Value { node, result: 0 };
        let results: Vec<Value> = graph.results(node).collect();
        let state = match graph.node(node).op() {
            Op::MatMul => self.product(node)?,
            Op::Softmax { axis } => self.softmax(node, *axis, 1.0)?,
            Op::ScaledSoftmax { axis, scale, .. } => self.softmax(node, *axis, f64::from(*scale))?,
            Op::Reshape { .. } if self.merged(node).is_some() => self.merged(node).unwrap_or_default(),
            _ => match self.last_token(node) {
                Some(last) => last,
                None => self.each_token(node)?,
            },
        };
        if graph.kind(root) == OpKind::Size {
            return Err("Size counts all tokens".into());
        }
        if let Tokens { row: Some(row), is_merged: true, .. } = state {
            results.iter().try_for_each(|value| self.expect_merged(*value, row))?;
            return Ok(vec![State::Token(state); results.len()]);
        }
        let mut axes = state.keys.clone();
        axes.extend(state.row);
        results.iter().try_for_each(|value| self.expect_axes(*value, &axes))?;
        Ok(vec![State::Token(state); results.len()])
    }

    /// Returns the state of a Reshape that makes one axis of those of the batch and of the tokens, or two axes again.
    fn merged(&self, node: NodeId) -> Option<Tokens> {
        let graph = self.graph;
        let State::Token(Tokens { row: Some(row), is_merged, keys, .. }) = self.states(node, 0)? else { return None };
        let from = graph.shape(graph.operand(node, 0)?)?;
        let to = graph.shape(Value { node, result: 0 })?;
        let whole = self.batch.times(&self.seq);
        let same = |dim: Option<&Dim>, other: &Dim| dim.is_some_and(|dim| dim.same(other) == Some(true));
        let is_whole = |shape: &[Dim]| same(shape.first(), &whole);
        let is_split = |shape: &[Dim]| same(shape.first(), &self.batch) && same(shape.get(1), &self.seq);
        let state = |row: usize, is_merged: bool| Tokens { row: Some(row), is_merged, ..Tokens::default() };
        match (keys.is_empty(), is_merged, row) {
            (true, false, 1) if is_split(from) && is_whole(to) => Some(state(0, true)),
            (true, true, 0) if is_whole(from) && is_split(to) => Some(state(1, false)),
            _ => None,
        }
    }

    /// Returns the state of a result of which each slice is computed from the slices of the operands at the same place.
    fn each_token(&self, node: NodeId) -> Result<Tokens, String> {
        let graph = self.graph;
        let op = graph.node(node).op();
        let mut rows = Axes::new();
        let mut axes = Axes::new();
        let mut state = Tokens::default();
        let mut token_keys = Axes::new();
        let mut merged = vec![];
        let mut has_last = false;
        for (at, value) in graph.operands(node).into_iter().enumerate() {
            let Some(value) = value else { continue };
            let own: &[usize] = match self.state(value) {
                State::Token(tokens) => {
                    match tokens.row {
                        Some(row) => {
                            rows.push(mapped(graph, node, at, row)?);
                            merged.push(tokens.is_merged);
                        }
                        None => has_last = true,
                    }
                    state.layer = state.layer.or(tokens.layer);
                    for axis in &tokens.keys {
                        token_keys.push(mapped(graph, node, at, *axis)?);
                    }
                    &[]
                }
                State::Free(own) => own,
                State::Sizes if takes_sizes(op.kind(), at) => &[],
                State::Sizes => return Err("it depends on the number of tokens".to_owned()),
                State::Other(why) => return Err(why.to_string()),
            };
            for axis in own {
                axes.push(mapped(graph, node, at, *axis)?);
            }
        }
        let row = rows.first().copied();
        if rows.iter().any(|other| Some(*other) != row) || token_keys.iter().any(|key| Some(*key) == row) {
            return Err(format!("{} combines each token with every other", op.kind().name()));
        }
        if has_last && (row.is_some() || !axes.is_empty() || !token_keys.is_empty()) {
            return Err(format!("{} combines the last token with others", op.kind().name()));
        }
        state.is_merged = merged.first() == Some(&true);
        if state.is_merged && !(axes.is_empty() && token_keys.is_empty() && merged.iter().all(|merged| *merged))
            || !state.is_merged && merged.contains(&true)
        {
            return Err(format!("{} combines tokens of all samples with others", op.kind().name()));
        }
        axes.retain(|axis| Some(*axis) != row);
        axes.extend(token_keys);
        axes.sort_unstable();
        axes.dedup();
        state.is_weight = !axes.is_empty() && self.keeps_zeros(node);
        Ok(Tokens { row, keys: axes, ..state })
    }

    /// Whether the result is 0 where the weights among the operands are.
    fn keeps_zeros(&self, node: NodeId) -> bool {
        let graph = self.graph;
        let is_weight = |at: usize| matches!(self.states(node, at), Some(State::Token(tokens)) if tokens.is_weight);
        let op = graph.node(node).op();
        match op {
            Op::Mul => is_weight(0) || is_weight(1),
            Op::Div => is_weight(0),
            // What is replaced becomes 0, such as NaN.
            Op::Where => {
                let replacement = graph.operand(node, 1).and_then(|value| graph.tensor(value)?.float());
                replacement == Some(0.0) && is_weight(2)
            }
            op if op.kind() == OpKind::Identity || op.kind() == OpKind::Cast => is_weight(0),
            op => op.kind().keeps_elements() && is_weight(0),
        }
    }

    /// Returns the state of what is selected from the last token, and records the size of the axis that only it has.
    fn last_token(&mut self, node: NodeId) -> Option<Tokens> {
        let graph = self.graph;
        let Some(State::Token(Tokens { row: Some(row), keys, is_merged: false, .. })) = self.states(node, 0) else {
            return None;
        };
        let rank = graph.fact(graph.operand(node, 0)?).rank()?;
        let is_last = match graph.node(node).op() {
            Op::Gather { axis } => position(*axis, rank) == Some(*row) && only_element(graph, node, 1) == Some(-1),
            Op::Slice => {
                let is_row = position(only_element(graph, node, 3)?, rank) == Some(*row);
                let is_end = only_element(graph, node, 2)? >= i64::from(i32::MAX);
                let is_forward = graph.operand(node, 4).is_none() || only_element(graph, node, 4) == Some(1);
                is_row && is_end && is_forward && only_element(graph, node, 1) == Some(-1)
            }
            _ => false,
        };
        if !is_last || !keys.is_empty() {
            return None;
        }
        if let Op::Slice = graph.node(node).op() {
            self.last.extend(graph.shape(Value { node, result: 0 })?.get(*row).cloned());
        }
        Some(Tokens::default())
    }

    fn softmax(&self, node: NodeId, axis: i64, scale: f64) -> Result<Tokens, Refusal> {
        let graph = self.graph;
        let Some(scores) = graph.operand(node, 0) else { return Ok(self.each_token(node)?) };
        let (State::Token(tokens), Some(rank)) = (self.state(scores), graph.fact(scores).rank()) else {
            return Ok(self.each_token(node)?);
        };
        let axis = position(axis, rank);
        if !tokens.keys.iter().any(|key| Some(*key) == axis) {
            return Ok(self.each_token(node)?);
        }
        let mask = graph.operand(node, 1);
        let own = [tokens.row, axis];
        let is_placed = |mask: Value| match (self.state(mask), graph.fact(mask).rank()) {
            (State::Free(axes), Some(own_rank)) => {
                axes.iter().all(|axis| own.contains(&(axis + rank).checked_sub(own_rank)))
            }
            _ => false,
        };
        if !mask.is_none_or(is_placed) {
            return Err("the axes of its mask are not queries and keys".into());
        }
        if !self.is_causal(scores, scale, mask) {
            let what = "its scores are not known to be causal: a query may attend to later keys";
            return Err(Refusal::new(what, CAUSAL));
        }
        if self.hides_own_token(scores, scale, mask) {
            let what = "its mask hides each token from itself, so the first token attends to no key: what the softmax \
                        makes of such a row depends on the later tokens";
            return Err(Refusal::new(what, OWN));
        }
        Ok(Tokens { is_weight: true, ..tokens.clone() })
    }

    fn product(&mut self, node: NodeId) -> Result<Tokens, Refusal> {
        let graph = self.graph;
        let (Some(left), Some(right)) = (graph.operand(node, 0), graph.operand(node, 1)) else {
            return Ok(self.each_token(node)?);
        };
        let rank = |value: Value| graph.fact(value).rank().unwrap_or_default();
        let result = rank(Value { node, result: 0 });
        if rank(left) < 2 || rank(right) < 2 {
            return Ok(self.each_token(node)?);
        }
        let (State::Token(a), b) = (self.state(left).clone(), self.state(right).clone()) else {
            return Ok(self.each_token(node)?);
        };
        let Some(row) = a.row.filter(|_| !a.is_merged) else { return Ok(self.each_token(node)?) };
        let sums = a.keys.contains(&(rank(left) - 1));
        let b_row = match &b {
            State::Token(Tokens { row: Some(row), keys, is_merged: false, .. }) if keys.is_empty() => Some(*row),
            _ => None,
        };
        if sums {
            let is_table = matches!(&b, State::Free(axes) if axes[..] == [rank(right) - 2]);
            if !a.is_weight || row + 1 == rank(left) || !(is_table || b_row == Some(rank(right) - 2)) {
                return Err("MatMul sums over tokens with weights that are not those of causal attention".into());
            }
            if !is_table {
                let layer = a.layer.ok_or("the attention of its weights is unknown")?;
                self.keep(right, layer, false)?;
            }
            let shift = result - rank(left);
            let keys = a.keys.iter().filter(|key| **key + 1 != rank(left)).map(|key| key + shift).collect();
            return Ok(Tokens { row: Some(row + shift), keys, ..Tokens::default() });
        }
        let is_scores = row + 2 == rank(left) && a.keys.is_empty() && b_row == Some(rank(right) - 1);
        if !is_scores {
            return Ok(self.each_token(node)?);
        }
        let layer = self.layers;
        self.keep(right, layer, true)?;
        self.layers += 1;
        Ok(Tokens {
            row: Some(row + result - rank(left)),
            keys: Axes::from_slice(&[result - 1]),
            layer: Some(layer),
            ..Tokens::default()
        })
    }
}
