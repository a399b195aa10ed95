//! Inputs, captured values and initializers, and what a file declares of values.

use super::super::{Problem, notes, tensor};
use super::{Declared, Reader, Surroundings, contradiction};
use crate::types;
use crate::wire::{GraphProto, ValueInfoProto};
use netwright_ir::{Fact, Notes, Tensor, Value, ValueType};
use std::collections::{HashMap, HashSet};

impl Reader<'_> {
    /// Inputs, captured values and initializers.
    pub(super) fn sources(&mut self, proto: &mut GraphProto, around: Surroundings) -> Result<(), Problem> {
        for value in proto.value_info.iter().chain(&proto.output) {
            self.declare(value)?;
        }
        for (name, fact) in around.captured {
            let value = self.graph.capture(&name, fact);
            self.define(name, value, None)?;
        }
        let mut defaults: HashMap<String, Tensor> = HashMap::new();
        let mut parameters = vec![];
        let inputs: HashSet<&str> = proto.input.iter().filter_map(|input| input.name.as_deref()).collect();
        for mut initializer in std::mem::take(&mut proto.initializer) {
            let name = initializer.name.clone().unwrap_or_default();
            let said = notes::of_tensor(&mut initializer, &format!("tensor {name:?}"))?;
            let tensor = tensor::read(initializer, &name, self.context)?;
            // Before version 4 of the format every initializer had to be an input, so that it says nothing.
            if inputs.contains(name.as_str()) && self.context.ir_version >= 4 {
                if defaults.insert(name.clone(), tensor).is_some() {
                    return Err(Problem::Graph(format!("{name:?} is the name of two values")));
                }
            } else {
                parameters.push((name, tensor, Notes { doc: said.doc, metadata: said.metadata, ..Notes::default() }));
            }
        }
        let named: HashSet<&str> = parameters.iter().map(|(name, ..)| name.as_str()).collect();
        if named.len() < parameters.len() {
            let mut seen = HashSet::new();
            let twice = parameters.iter().find(|(name, ..)| !seen.insert(name)).map(|(name, ..)| name.as_str());
            return Err(Problem::Graph(format!("{:?} is the name of two values", twice.unwrap_or_default())));
        }
        let mut facts = around.inputs.into_iter();
        for input in &proto.input {
            let fact = facts.next();
            let name = input.name.as_deref().unwrap_or_default();
            if named.contains(name) {
                self.declare(input)?;
                continue;
            }
            let default = defaults.remove(name);
            self.input(input, default, fact, around.body)?;
        }
        for (name, tensor, said) in parameters {
            let value = self.graph.parameter(&name, tensor);
            self.graph.set_node_notes(value.node, said);
            // ONNX Runtime refuses another declaration in the early versions of the format alone.
            if let Some(declared) = self.declared.get(&name).filter(|_| self.context.ir_version < 4) {
                let own = &self.graph.fact(value).ty;
                own.and(&declared.ty).ok_or_else(|| contradiction(&name, None, &declared.ty, own))?;
            }
            self.define(name, value, None)?;
        }
        for sparse in std::mem::take(&mut proto.sparse_initializer) {
            let (name, tensor) = tensor::read_sparse(sparse, "", self.context)?;
            let value = self.graph.sparse_parameter(&name, tensor);
            self.define(name, value, None)?;
        }
        Ok(())
    }

    pub(in crate::reader) fn declare(&mut self, proto: &ValueInfoProto) -> Result<(), Problem> {
        let (name, mut new) = self.declaration(proto)?;
        if let Some(before) = self.declared.get(name) {
            new.ty = match before.ty.and(&new.ty) {
                Some(ty) => ty,
                None if before.ty.and(&new.ty.without_shapes()).is_some() => {
                    let what = format!("it is declared twice: {} and {}", before.ty, new.ty);
                    self.context.warn(Problem::Value { name: name.to_owned(), what })?;
                    new.ty
                }
                None => return Err(contradiction(name, None, &new.ty, &before.ty)),
            };
            if new.notes.is_empty() {
                new.notes = before.notes.clone();
            }
        }
        self.declared.insert(name.to_owned(), new);
        Ok(())
    }

    fn declaration<'p>(&self, proto: &'p ValueInfoProto) -> Result<(&'p str, Declared), Problem> {
        let name = proto.name.as_deref().unwrap_or_default();
        let ty = proto.r#type.as_ref().map_or(Ok(ValueType::Unknown), types::from_wire);
        let negative = proto.r#type.as_ref().and_then(types::negative_size);
        if let Some(size) = negative.filter(|_| !self.context.has_negative_size.replace(true)) {
            let what = format!("the size {size} is taken as unknown, here and wherever else a size is negative");
            self.context.warn(Problem::Value { name: name.to_owned(), what })?;
        }
        let ty = ty.map_err(|what| Problem::Value { name: name.to_owned(), what })?;
        Ok((name, Declared { ty, notes: notes::of_value(proto, name)? }))
    }

    fn input(
        &mut self,
        proto: &ValueInfoProto,
        default: Option<Tensor>,
        fact: Option<Fact>,
        body: bool,
    ) -> Result<(), Problem> {
        let (name, Declared { ty, notes }) = self.declaration(proto)?;
        let value = match default {
            Some(tensor) => {
                let own = ValueType::from(tensor.ty());
                let ty = ty.and(&own).ok_or_else(|| contradiction(name, None, &ty, &own))?;
                let value = self.graph.input_with_default(name, tensor);
                self.graph.set_fact(value, Fact::of(ty));
                value
            }
            None if ty == ValueType::Unknown && !body => {
                let what = "the type of an input must be declared".to_owned();
                return Err(Problem::Value { name: name.to_owned(), what });
            }
            // What a body's input is, its node says; what the body declares of its sizes, nothing proves.
            None if body => {
                let value = self.graph.input(name, fact.map_or(ValueType::Unknown, |fact| fact.ty));
                self.assume(name, value, &ty, None)?;
                value
            }
            None => self.graph.input(name, ty),
        };
        self.graph.set_value_notes(value, notes);
        self.define(name.to_owned(), value, None)
    }

    /// Takes over what a declaration says of a value. Runtimes hold its element type against what is computed, so it
    /// is known; they do not so with its sizes, which are kept beside what is known, for writing, nor with anything that
    /// is declared of a tensor of the file.
    fn assume(&mut self, name: &str, value: Value, declared: &ValueType, node: Option<&str>) -> Result<(), Problem> {
        let fact = self.graph.fact(value);
        let is_tensor = self.graph.tensor(value).is_some();
        let checked = if is_tensor { ValueType::Unknown } else { declared.without_shapes() };
        let Some(ty) = fact.ty.and(&checked) else {
            return Err(contradiction(name, node, declared, &fact.ty));
        };
        if ty.contradicts(declared) {
            self.context.warn(contradiction(name, node, declared, &ty))?;
        } else if *declared != ValueType::Unknown {
            self.graph.declare(value, declared.clone());
        }
        let elements = self.graph.fact(value).elements.clone();
        self.graph.set_fact(value, Fact { ty, elements });
        Ok(())
    }

    /// Records a new value under its name, with what is declared of it.
    pub(in crate::reader) fn define(&mut self, name: String, value: Value, node: Option<&str>) -> Result<(), Problem> {
        if let Some(declared) = self.declared.remove(&name) {
            self.assume(&name, value, &declared.ty, node)?;
            if !declared.notes.is_empty() {
                self.graph.set_value_notes(value, declared.notes.clone());
            }
            self.declared.insert(name.clone(), declared);
        }
        self.values.insert(name, Some(value));
        Ok(())
    }
}
