//! Adding to a graph: inputs, tensors, nodes and outputs.

use super::{Graph, GraphOutput, MAX_BODY_DEPTH, Name, Node, NodeId, Order, Place, ResultInfo, StoredOp, Use, Value};
use crate::infer::{InferError, Inferred, Operands};
use crate::{Fact, Op, SparseTensor, Tensor, ValueType};
use smallvec::{SmallVec, smallvec};

impl Graph {
    /// Adds an input.
    pub fn input(&mut self, name: &str, ty: impl Into<ValueType>) -> Value {
        let value = self.source(name, Op::Input, Fact::of(ty));
        self.inputs.push(value.node);
        value
    }

    /// Adds an input with a default: the tensor that is used if the caller gives none.
    pub fn input_with_default(&mut self, name: &str, tensor: Tensor) -> Value {
        // The caller's tensor may have other elements, so the default's elements are not recorded as known.
        let value = self.input(name, tensor.ty());
        self.defaults.insert(value.node, tensor);
        value
    }

    /// Adds a captured value: a value of the graph around this one, which is to become a body of a node there.
    pub fn capture(&mut self, name: &str, fact: Fact) -> Value {
        let value = self.source(name, Op::Captured, fact);
        self.captures.push(value.node);
        value
    }

    /// Adds a trained tensor: an initializer.
    pub fn parameter(&mut self, name: &str, tensor: Tensor) -> Value {
        let fact = tensor.fact();
        self.source(name, Op::Parameter(tensor), fact)
    }

    /// Adds a tensor that the compiler or an exporter computed.
    pub fn constant(&mut self, name: &str, tensor: Tensor) -> Value {
        let fact = tensor.fact();
        self.source(name, Op::Constant(tensor), fact)
    }

    /// Adds a trained tensor stored by its nonzero elements.
    pub fn sparse_parameter(&mut self, name: &str, tensor: SparseTensor) -> Value {
        let fact = tensor.fact();
        self.source(name, Op::SparseParameter(tensor), fact)
    }

    fn source(&mut self, name: &str, op: Op, fact: Fact) -> Value {
        let node = self.add(Place::end(name), op, &[], smallvec![fact]);
        Value { node, result: 0 }
    }

    /// Adds a node with one result at the end of the program.
    ///
    /// # Errors
    /// If the operator is not defined on these operands.
    pub fn append(&mut self, name: &str, op: Op, operands: &[Value]) -> Result<Value, InferError> {
        let operands: SmallVec<[Option<Value>; 4]> = operands.iter().copied().map(Some).collect();
        Ok(Value { node: self.insert(Place::end(name), op, &operands)?, result: 0 })
    }

    /// Adds a node with one result for each name in `place.results`.
    ///
    /// # Errors
    /// If the operator is not defined on these operands, or the [dialect](Graph::set_dialect) does not have it for
    /// their types.
    pub fn insert(&mut self, place: Place, op: Op, operands: &[Option<Value>]) -> Result<NodeId, InferError> {
        let inferred = self.infer(&op, operands, place.results.len())?;
        if let Some(dialect) = &self.dialect {
            let elements: SmallVec<[_; 4]> = operands.iter().map(|value| self.fact((*value)?).element()).collect();
            let results: SmallVec<[_; 4]> = inferred.facts.iter().map(Fact::element).collect();
            dialect.allows(&op, &elements, &results).map_err(|what| InferError {
                word: op.word(),
                what: if let Op::Opaque(kept) = &op { format!("{}: {what}", kept.op_type) } else { what },
                help: None,
            })?;
        }
        Ok(self.insert_inferred(place, op, operands, inferred))
    }

    /// Adds a node whose results the caller has already [inferred](Graph::infer) on the same operands.
    pub fn insert_inferred(&mut self, place: Place, op: Op, operands: &[Option<Value>], inferred: Inferred) -> NodeId {
        self.add(place, op, operands, inferred.facts)
    }

    /// Infers the facts of an operator's results on these operands.
    ///
    /// # Errors
    /// If the operator is not defined on these operands.
    pub fn infer(&self, op: &Op, operands: &[Option<Value>], results: usize) -> Result<Inferred, InferError> {
        let known = |(at, value): (usize, &Option<Value>)| match value {
            None => Ok(None),
            Some(value) => {
                let node = self.dag.node_weight(value.node.0);
                let result = node.and_then(|node| node.results.get(value.result as usize));
                result.map(|result| Some(&result.fact)).ok_or_else(|| InferError {
                    word: op.word(),
                    what: format!("operand {at} is not a value of this graph"),
                    help: None,
                })
            }
        };
        let facts: SmallVec<[Option<&Fact>; 4]> = operands.iter().enumerate().map(known).collect::<Result<_, _>>()?;
        if op.bodies().iter().any(|body| body.depth >= MAX_BODY_DEPTH) {
            let what = format!("its bodies nest deeper than {MAX_BODY_DEPTH}");
            return Err(InferError { word: op.word(), what, help: None });
        }
        let tensors: SmallVec<[Option<&Tensor>; 4]> = operands.iter().map(|value| self.tensor((*value)?)).collect();
        op.infer(&Operands { kind: op.kind(), facts: &facts, tensors: &tensors, results, never_zero: &self.never_zero })
    }

    pub(super) fn add(
        &mut self,
        place: Place,
        op: impl Into<StoredOp>,
        operands: &[Option<Value>],
        facts: SmallVec<[Fact; 1]>,
    ) -> NodeId {
        self.touch();
        let op: StoredOp = op.into();
        let insertion = self.next_order;
        let order = Order { position: place.order.map_or(insertion, |beside| beside.position), insertion };
        self.next_order += 1;
        let names = &mut self.names;
        let results = place.results.iter().zip(facts);
        let results = results
            .map(|(name, fact)| {
                let name = names.fresh(name);
                ResultInfo { name, fact, declared: None, notes: None, omitted: false, uses: 0 }
            })
            .collect();
        let depth = op.bodies().iter().map(|body| body.depth + 1).max().unwrap_or(0);
        self.depth = self.depth.max(depth);
        let beside = place.order.is_some();
        let label = if place.label.is_empty() { place.label } else { self.labels.fresh(&place.label) };
        let node = Node { op, label, order, results, notes: None, beside, dead: false };
        let id = NodeId(self.dag.add_node(node));
        for (operand, value) in (0..).zip(operands) {
            if let Some(value) = value {
                let value = self.resolve(*value);
                self.dag.add_edge(value.node.0, id.0, Use { operand, result: value.result });
                self.count_uses(value, 1);
            }
        }
        self.recent.push(id);
        if beside {
            let wanted = self.results(id).zip(place.results);
            let is_numbered = |(value, wanted): &(Value, Name)| !wanted.is_empty() && self.value_name(*value) != wanted;
            let numbered: SmallVec<[_; 1]> = wanted.filter(is_numbered).collect();
            self.numbered.extend(numbered);
        }
        id
    }

    /// Makes a value an output of the graph.
    pub fn output(&mut self, name: impl Into<Name>, value: Value) {
        let notes = self.result(self.resolve(value)).notes.clone();
        self.add_output(GraphOutput { name: name.into(), value, declared: None, notes });
    }

    /// Makes a value an output of the graph with the type that is declared to the caller.
    pub fn declared_output(&mut self, name: impl Into<Name>, value: Value, declared: ValueType) {
        let notes = self.result(self.resolve(value)).notes.clone();
        self.add_output(GraphOutput { name: name.into(), value, declared: Some(declared), notes });
    }

    /// Adds an output with its declared type and its metadata.
    pub fn add_output(&mut self, output: GraphOutput) {
        let value = self.resolve(output.value);
        self.count_uses(value, 1);
        self.outputs.push(GraphOutput { value, ..output });
    }

    /// Changes the type that is declared to the caller wherever the value is an output of the graph.
    pub fn declare_output(&mut self, value: Value, declared: &ValueType) {
        self.outputs.declare(value, declared);
    }
}
