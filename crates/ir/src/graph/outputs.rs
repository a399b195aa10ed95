//! The outputs of a graph, which are found by their values without a search: a graph may have 100,000.

use super::{GraphOutput, Value};
use crate::{HashMap, ValueType};
use std::ops::Deref;

#[derive(Clone, Debug, Default)]
pub(super) struct Outputs {
    list: Vec<GraphOutput>,
    /// The indices in `list` of each value that is an output.
    places: HashMap<Value, Vec<usize>>,
}

impl Deref for Outputs {
    type Target = [GraphOutput];

    fn deref(&self) -> &[GraphOutput] {
        &self.list
    }
}

impl Outputs {
    pub(super) fn push(&mut self, output: GraphOutput) {
        self.places.entry(output.value).or_default().push(self.list.len());
        self.list.push(output);
    }

    /// Returns the output at an index, to change anything but its value.
    pub(super) fn get_mut(&mut self, at: usize) -> Option<&mut GraphOutput> {
        self.list.get_mut(at)
    }

    pub(super) fn contains(&self, value: Value) -> bool {
        self.places.contains_key(&value)
    }

    /// Returns the outputs that are a value.
    pub(super) fn of(&self, value: Value) -> impl Iterator<Item = &GraphOutput> {
        self.places.get(&value).into_iter().flatten().map(|&at| &self.list[at])
    }

    /// Declares a type for the outputs that are a value.
    pub(super) fn declare(&mut self, value: Value, declared: &ValueType) {
        for &at in self.places.get(&value).into_iter().flatten() {
            self.list[at].declared = Some(declared.clone());
        }
    }

    /// Replaces a value wherever it is an output.
    pub(super) fn redirect(&mut self, old: Value, new: Value) {
        for at in self.places.remove(&old).into_iter().flatten() {
            self.list[at].value = new;
            self.places.entry(new).or_default().push(at);
        }
    }

    /// Replaces the value of the output at an index. Returns the former value, or `None` if there is no such output.
    pub(super) fn set(&mut self, at: usize, value: Value) -> Option<Value> {
        let old = std::mem::replace(&mut self.list.get_mut(at)?.value, value);
        if let Some(places) = self.places.get_mut(&old) {
            places.retain(|place| *place != at);
            if places.is_empty() {
                self.places.remove(&old);
            }
        }
        self.places.entry(value).or_default().push(at);
        Some(old)
    }
}
