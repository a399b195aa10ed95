//! Reading of inputs, captured values, initializers and declared types.

use super::super::{ReadProblem, notes, tensor};
use super::{Declared, Reader, Surroundings, contradiction};
use crate::types;
use crate::wire::{GraphProto, ValueInfoProto};
use netwright_ir::{Fact, HashMap, HashSet, Name, Notes, Tensor, Value, ValueType};

impl Reader<'_> {
    /// Reads inputs, captured values and initializers.
    pub(super) fn sources(&mut self, proto: &mut GraphProto, around: Surroundings) -> Result<(), ReadProblem> {
        for value in proto.value_info.iter().chain(&proto.output) {
            self.declare(value)?;
        }
        for (name, fact) in around.captured {
            let value = self.graph.capture(&name, fact);
            self.define(name.into(), value, None)?;
        }
        let mut defaults: HashMap<String, Tensor> = HashMap::default();
        let mut parameters = vec![];
        let inputs: HashSet<&str> = proto.input.iter().filter_map(|input| input.name.as_deref()).collect();
        for mut initializer in std::mem::take(&mut proto.initializer) {
            let name = initializer.name.clone().unwrap_or_default();
            let notes = notes::of_tensor(&mut initializer, &format!("tensor {name:?}"))?;
            let tensor = tensor::read(initializer, &name, self.context)?;
            // Before IR version 4 every initializer had to be an input, so being one means nothing.
            if inputs.contains(name.as_str()) && self.context.ir_version >= 4 {
                if defaults.insert(name.clone(), tensor).is_some() {
                    return Err(ReadProblem::Graph(format!("{name:?} is the name of two values")));
                }
            } else {
                parameters.push((name, tensor, Notes { doc: notes.doc, metadata: notes.metadata, ..Notes::default() }));
            }
        }
        let named: HashSet<&str> = parameters.iter().map(|(name, ..)| name.as_str()).collect();
        if named.len() < parameters.len() {
            let mut seen = HashSet::default();
            let twice = parameters.iter().find(|(name, ..)| !seen.insert(name)).map(|(name, ..)| name.as_str());
            return Err(ReadProblem::Graph(format!("{:?} is the name of two values", twice.unwrap_or_default())));
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
        for (name, tensor, notes) in parameters {
            let value = self.graph.parameter(&name, tensor);
            self.graph.set_node_notes(value.node, notes);
            // ONNX Runtime refuses a different declaration only in early IR versions.
            if let Some(declared) = self.declared.get(&name).filter(|_| self.context.ir_version < 4) {
                let own = &self.graph.fact(value).ty;
                own.and(&declared.ty).ok_or_else(|| contradiction(&name, None, &declared.ty, own))?;
            }
            self.define(name.into(), value, None)?;
        }
        for sparse in std::mem::take(&mut proto.sparse_initializer) {
            let (name, tensor) = tensor::read_sparse(sparse, "", self.context)?;
            let value = self.graph.sparse_parameter(&name, tensor);
            self.define(name.into(), value, None)?;
        }
        Ok(())
    }

    pub(in crate::reader) fn declare(&mut self, proto: &ValueInfoProto) -> Result<(), ReadProblem> {
        let (name, mut new) = self.declaration(proto)?;
        if let Some(before) = self.declared.get(name) {
            new.ty = match before.ty.and(&new.ty) {
                Some(ty) => ty,
                None if before.ty.and(&new.ty.without_shapes()).is_some() => {
                    let what = format!("it is declared twice, as {} and as {}", before.ty, new.ty);
                    self.context.warn(ReadProblem::Value { name: name.to_owned(), what })?;
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

    fn declaration<'p>(&self, proto: &'p ValueInfoProto) -> Result<(&'p str, Declared), ReadProblem> {
        let name = proto.name.as_deref().unwrap_or_default();
        let ty = proto.r#type.as_ref().map_or(Ok(ValueType::Unknown), types::from_wire);
        let negative = proto.r#type.as_ref().and_then(types::negative_size);
        if let Some(size) = negative.filter(|_| !self.context.has_negative_size.replace(true)) {
            let what = format!("the negative size {size} is read as unknown, as is every negative size of the file");
            self.context.warn(ReadProblem::Value { name: name.to_owned(), what })?;
        }
        let ty = ty.map_err(|what| ReadProblem::Value { name: name.to_owned(), what })?;
        Ok((name, Declared { ty, notes: notes::of_value(proto, name)? }))
    }

    fn input(
        &mut self,
        proto: &ValueInfoProto,
        default: Option<Tensor>,
        fact: Option<Fact>,
        body: bool,
    ) -> Result<(), ReadProblem> {
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
                return Err(ReadProblem::Value { name: name.to_owned(), what });
            }
            // The type of a body's input follows from its node; nothing confirms the sizes that the body declares.
            None if body => {
                let value = self.graph.input(name, fact.map_or(ValueType::Unknown, |fact| fact.ty));
                self.assume(name, value, &ty, None)?;
                value
            }
            None => self.graph.input(name, ty),
        };
        self.graph.set_value_notes(value, notes);
        self.define(name.into(), value, None)
    }

    /// Applies a declared type to a value. Runtimes check its element type against the computed one, so it is recorded
    /// as known. They do not check its sizes, which are kept for writing only; nor anything that is declared for a
    /// tensor of the file.
    fn assume(
        &mut self,
        name: &str,
        value: Value,
        declared: &ValueType,
        node: Option<&str>,
    ) -> Result<(), ReadProblem> {
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

    /// Records a new value under its name, with its declared type.
    pub(in crate::reader) fn define(
        &mut self,
        name: Name,
        value: Value,
        node: Option<&str>,
    ) -> Result<(), ReadProblem> {
        if let Some(declared) = self.declared.remove(&*name) {
            self.assume(&name, value, &declared.ty, node)?;
            if !declared.notes.is_empty() {
                self.graph.set_value_notes(value, declared.notes.clone());
            }
            self.declared.insert(name.to_string(), declared);
        }
        self.values.insert(name, Some(value));
        Ok(())
    }
}
