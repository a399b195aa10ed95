//! A model file in the form in which tract reads it, with its external data.

use crate::VerifyError;
use crate::skim::{OWN, Weights, skim};
use crate::spell::{choose, inline, spell_out, spell_out_to_judge};
use netwright_files::{Folder, Range, Source};
use netwright_ir::{Dim, ElementType, Shape, TensorType};
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use tract_onnx::pb;
use tract_onnx::prelude::Framework;

/// A model to run: the contents of its file, without large weights.
#[derive(Clone, Debug)]
pub struct ModelFile {
    pub(crate) name: String,
    /// The model without its graph.
    pub(crate) model: pb::ModelProto,
    /// The graph, without the declared types of outputs that are not inputs.
    pub(crate) graph: pb::GraphProto,
    outputs: Vec<Port>,
    /// The large weights, which stay in their files.
    pub(crate) weights: Weights,
    pub(crate) origin: Origin,
}

/// The file or bytes of a model, for runtimes that read it themselves.
#[derive(Clone, Debug)]
pub(crate) enum Origin {
    File(PathBuf),
    Bytes(Vec<u8>),
}

/// An input or output of a model.
#[derive(Clone, Debug, PartialEq)]
pub struct Port {
    /// Its name.
    pub name: String,
    /// Its declared type; `None` if it has none or is not a tensor.
    pub ty: Option<TensorType>,
}

impl ModelFile {
    /// Reads a model; its external data must lie beneath its folder.
    ///
    /// # Errors
    /// If the file or its external data cannot be read, or is not an ONNX model.
    pub fn open(path: impl AsRef<Path>) -> Result<Self, VerifyError> {
        Self::open_with(path, None)
    }

    /// Reads a model whose external data may be links into `data_dir`; see [`Folder::with_data_dir`].
    ///
    /// # Errors
    /// If a file cannot be read or lies outside of both folders, or if it is not an ONNX model.
    pub fn open_with(path: impl AsRef<Path>, data_dir: Option<&Path>) -> Result<Self, VerifyError> {
        let path = path.as_ref();
        let source = Source::open(path)?;
        let bytes = source.map()?;
        let mut weights = Weights::default();
        // The decoder reports bytes that are not protobuf.
        let frame = skim(&bytes, &source, &mut weights);
        let origin = Origin::File(path.to_owned());
        let mut file = Self::decode(&path.display().to_string(), frame.as_deref().unwrap_or(&bytes), origin)?;
        file.weights = if frame.is_some() { weights } else { Weights::default() };
        let folder = Folder::of(path)?;
        let folder = if let Some(data_dir) = data_dir { folder.with_data_dir(data_dir)? } else { folder };
        let ModelFile { name, graph, weights, .. } = &mut file;
        let failed = |tensor: &pb::TensorProto, cause| {
            let tensor = tensor.name.clone();
            VerifyError::ExternalData { file: name.clone(), tensor, cause }
        };
        for tensor in graph.initializer.iter_mut().filter(|tensor| is_external(tensor)) {
            let own = weights.len();
            let location = tensor.external_data.iter_mut().find(|entry| entry.key == "location");
            match location {
                Some(location) if own > 0 && location.value == OWN => ".".clone_into(&mut location.value),
                _ => {
                    let range = external(tensor, &folder).map_err(|cause| failed(tensor, cause))?;
                    let entry = |key: &str, value| pb::StringStringEntryProto { key: key.to_owned(), value };
                    tensor.external_data =
                        vec![entry("location", ".".to_owned()), entry("offset", weights.keep(range))];
                }
            }
        }
        for_each_other_tensor(graph, &mut |tensor| bring_in(tensor, &folder).map_err(|cause| failed(tensor, cause)))?;
        Ok(file)
    }

    /// Reads a model from bytes, without external data; errors call it `name`.
    ///
    /// # Errors
    /// If the bytes are not an ONNX model.
    pub fn from_bytes(name: &str, bytes: &[u8]) -> Result<Self, VerifyError> {
        Self::decode(name, bytes, Origin::Bytes(bytes.to_owned()))
    }

    fn decode(name: &str, mut bytes: &[u8], origin: Origin) -> Result<Self, VerifyError> {
        let failed = |cause: String| VerifyError::Decode { file: name.to_owned(), cause };
        let mut model =
            tract_onnx::onnx().proto_model_for_read(&mut bytes).map_err(|error| failed(format!("{error:#}")))?;
        let mut graph = model.graph.take().ok_or_else(|| failed("it has no graph".to_owned()))?;
        inline(&mut graph, &model);
        spell_out(&mut graph);
        let outputs = graph.output.iter().map(port).collect();
        // The declared types of outputs are checked against the results, so tract must not rely on them. It needs the
        // type only of an output that is an input.
        let inputs: BTreeSet<&str> = graph.input.iter().map(|input| input.name.as_str()).collect();
        for output in graph.output.iter_mut().filter(|output| !inputs.contains(output.name.as_str())) {
            output.r#type = None;
        }
        Ok(Self { name: name.to_owned(), model, graph, outputs, weights: Weights::default(), origin })
    }

    /// Returns the inputs that a caller must give: those without an initializer.
    ///
    /// An undeclared dim becomes a symbol of its own, such as `mask.1` for axis 1 of `mask`.
    pub fn inputs(&self) -> Vec<Port> {
        let initialized: BTreeSet<&str> = self.graph.initializer.iter().map(|tensor| tensor.name.as_str()).collect();
        let given = self.graph.input.iter().filter(|input| !initialized.contains(input.name.as_str()));
        let mut ports: Vec<_> = given.map(port).collect();
        for Port { name, ty } in &mut ports {
            let dims = ty.iter_mut().filter_map(|ty| ty.shape.as_mut()).flat_map(Shape::dims_mut);
            for (axis, dim) in dims.enumerate().filter(|(_, dim)| **dim == Dim::Unknown) {
                *dim = Dim::symbol(format!("{name}.{axis}"));
            }
        }
        ports
    }

    /// Returns the model with operators replaced that tract gets wrong for some values, for comparison in tract.
    pub(crate) fn to_judge(&self) -> Self {
        let mut file = self.clone();
        spell_out_to_judge(&mut file.graph);
        file
    }

    /// Returns what runs if the input `condition` is `value`, without the `If` nodes that it decides; `None` if it decides
    /// none. Only tract runs the result: ONNX Runtime reads the file.
    pub(crate) fn branch(&self, condition: &str, value: bool) -> Option<Self> {
        let mut file = self.clone();
        choose(&mut file.graph, condition, value).then(|| {
            // More types are known than in the body.
            spell_out(&mut file.graph);
            file
        })
    }

    /// Returns the model with another graph, which contains all its weights.
    pub(crate) fn with_graph(&self, graph: pb::GraphProto, outputs: Vec<Port>) -> Self {
        Self {
            name: self.name.clone(),
            model: self.model.clone(),
            graph,
            outputs,
            weights: Weights::default(),
            origin: self.origin.clone(),
        }
    }

    /// Returns the outputs.
    pub fn outputs(&self) -> &[Port] {
        &self.outputs
    }

    /// Returns the metadata of this name, if the file has it.
    pub fn metadata(&self, name: &str) -> Option<&str> {
        self.model.metadata_props.iter().find(|entry| entry.key == name).map(|entry| entry.value.as_str())
    }

    pub(crate) fn output_names(&self) -> Vec<String> {
        self.outputs.iter().map(|port| port.name.clone()).collect()
    }

    /// Returns the opset of the default domain.
    pub(crate) fn opset(&self) -> Option<i64> {
        let mut imports = self.model.opset_import.iter();
        imports.find(|import| domain(&import.domain).is_empty()).map(|import| import.version)
    }
}

/// The domain of the operators that ONNX Runtime alone has.
pub(crate) const CONTRIB: &str = "com.microsoft";

/// Normalizes a domain: `ai.onnx` is another name of the default domain, the empty string.
pub(crate) fn domain(name: &str) -> &str {
    if name == "ai.onnx" { "" } else { name }
}

/// Describes a node and its operator in errors; a node without a name is described by its first result.
pub(crate) fn place(node: &pb::NodeProto) -> String {
    let name = if node.name.is_empty() { node.output.first().map_or("", String::as_str) } else { &node.name };
    match domain(&node.domain) {
        "" => format!("node `{name}` ({})", node.op_type),
        domain => format!("node `{name}` ({domain}::{})", node.op_type),
    }
}

/// Returns the attribute of a node with a name.
pub(crate) fn attribute<'n>(node: &'n pb::NodeProto, name: &str) -> Option<&'n pb::AttributeProto> {
    node.attribute.iter().find(|attribute| attribute.name == name)
}

/// Returns the value of an integer attribute.
pub(crate) fn int(node: &pb::NodeProto, name: &str) -> Option<i64> {
    attribute(node, name).map(|attribute| attribute.i)
}

/// Returns an operand of a node, if it is given.
pub(crate) fn operand(node: &pb::NodeProto, index: usize) -> Option<&str> {
    node.input.get(index).map(String::as_str).filter(|name| !name.is_empty())
}

/// Returns the bodies of a node.
pub(crate) fn bodies(node: &pb::NodeProto) -> impl Iterator<Item = &pb::GraphProto> {
    node.attribute.iter().flat_map(|attribute| attribute.g.iter().chain(&attribute.graphs))
}

fn port(value: &pb::ValueInfoProto) -> Port {
    Port { name: value.name.clone(), ty: tensor_type(value) }
}

pub(crate) fn tensor_type(value: &pb::ValueInfoProto) -> Option<TensorType> {
    let pb::type_proto::Value::TensorType(tensor) = value.r#type.as_ref()?.value.as_ref()?;
    let element = ElementType::from_number(tensor.elem_type.into())?;
    let shape = tensor.shape.as_ref().map(|shape| shape.dim.iter().map(dim).collect::<Shape>());
    Some(TensorType { element, shape })
}

/// Converts a dim: a name that is not an expression becomes a symbol, an invalid size an unknown dim.
fn dim(dim: &pb::tensor_shape_proto::Dimension) -> Dim {
    use pb::tensor_shape_proto::dimension::Value;
    match &dim.value {
        Some(Value::DimValue(size)) if *size >= 0 => Dim::Known(*size),
        Some(Value::DimParam(name)) if name != "?" && !name.is_empty() => {
            name.parse().unwrap_or_else(|_| Dim::symbol(name.as_str()))
        }
        _ => Dim::Unknown,
    }
}

/// Calls `visit` with every tensor except the initializers: tensors of attributes, and all of nested graphs.
fn for_each_other_tensor<E>(
    graph: &mut pb::GraphProto,
    visit: &mut dyn FnMut(&mut pb::TensorProto) -> Result<(), E>,
) -> Result<(), E> {
    let mut graphs = vec![graph];
    let mut is_nested = false;
    while let Some(graph) = graphs.pop() {
        if is_nested {
            graph.initializer.iter_mut().try_for_each(&mut *visit)?;
        }
        is_nested = true;
        for attribute in graph.node.iter_mut().flat_map(|node| &mut node.attribute) {
            attribute.t.iter_mut().chain(&mut attribute.tensors).try_for_each(&mut *visit)?;
            graphs.extend(attribute.g.iter_mut().chain(&mut attribute.graphs));
        }
    }
    Ok(())
}

/// Returns whether the elements of a tensor are external data.
pub(crate) fn is_external(tensor: &pb::TensorProto) -> bool {
    tensor.data_location == Some(pb::tensor_proto::DataLocation::External as i32)
}

/// Returns the range of a file that holds the external data of a tensor.
fn external(tensor: &pb::TensorProto, folder: &Folder) -> Result<Range, String> {
    let entry = |key: &str| tensor.external_data.iter().find(|entry| entry.key == key).map(|entry| &entry.value);
    let number = |key: &str| {
        let parse =
            |text: &String| text.parse::<u64>().map_err(|_| format!("its {key} is {text:?}, which is not a size"));
        entry(key).map(parse).transpose()
    };
    let source = folder.open(entry("location").ok_or("it has no location")?).map_err(|error| error.to_string())?;
    let offset = number("offset")?.unwrap_or(0);
    let length = number("length")?.unwrap_or(source.len().saturating_sub(offset));
    source.range(offset, length).map_err(|error| error.to_string())
}

/// Reads external data into the tensor.
fn bring_in(tensor: &mut pb::TensorProto, folder: &Folder) -> Result<(), String> {
    if !is_external(tensor) {
        return Ok(());
    }
    let range = external(tensor, folder)?;
    let mut bytes = vec![0; usize::try_from(range.len()).map_err(|_| "it is larger than the address space")?];
    range.read(0, &mut bytes).map_err(|error| error.to_string())?;
    tensor.raw_data = bytes;
    tensor.external_data.clear();
    tensor.data_location = None;
    Ok(())
}
