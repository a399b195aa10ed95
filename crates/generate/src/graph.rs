//! One graph of a decoder or an encoder: what its inputs and outputs mean.

use crate::GenerateError;
use crate::settings::ConfigFile;
use netwright_files::Code;
use netwright_ir::ElementType;
use netwright_verify::{Array, ModelFile, Port, Resident, Runtime, Session, VerifyError};
use std::collections::BTreeMap;
use std::path::Path;

/// The output from which tokens are chosen, `[batch, seq, vocabulary]`.
pub(crate) const LOGITS: &str = "logits";

/// The output of an encoder that a decoder reads, or from which vectors of texts are computed, `[batch, seq, d_model]`.
pub(crate) const STATES: &str = "last_hidden_state";

/// The prefixes of the names of past and present keys and values.
const PAST: &str = "past_key_values";
const PRESENT: &str = "present";

/// The axis of a past `[batch, heads, past, size]` that grows.
const LENGTH: usize = 2;

/// The input for the number of tokens in a cache of fixed length.
const PAST_LENGTH: &str = "past_sequence_length";

/// The input of a merged decoder, true for the later steps.
const BRANCH: &str = "use_cache_branch";

/// What an input of a decoder or an encoder is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Role {
    /// The tokens `[batch, seq]`.
    Tokens,
    /// 1 for each token of the past and the present, and 0 for padding, `[batch, past + seq]`.
    Mask,
    /// The positions of the tokens, `[batch, seq]`.
    Positions,
    /// The types of the tokens, `[batch, seq]`: which of two texts they belong to.
    Types,
    /// The states of the encoder, `[batch, source, d_model]`.
    Memory,
    /// The mask of the source, `[batch, source]`.
    SourceMask,
    /// The spectrum of audio, `[batch, bins, frames]`.
    Features,
    /// Keys or values of earlier tokens, `[batch, heads, past, size]`.
    Past,
    /// The number of tokens in a cache of fixed length, `[1]`.
    PastLength,
    /// Whether this is a later step, a bool, which selects a branch of a merged decoder.
    Branch,
}

/// A loaded graph.
#[derive(Debug)]
pub(crate) struct Graph {
    pub(crate) name: String,
    pub(crate) session: Session,
    roles: Vec<Role>,
    outputs: Vec<Port>,
    /// The task for which `netwright build` wrote the graph.
    task: Option<String>,
}

impl Graph {
    /// Loads the graph in a file, which is not a merged decoder.
    pub(crate) fn load(path: &Path, runtime: &Runtime) -> Result<Self, GenerateError> {
        let file = ModelFile::open(path)?;
        let graph = Self::new(path, &file, Session::new_in(&file, runtime)?)?;
        if graph.has(Role::Branch) {
            let cause = format!("its input `{BRANCH}` is one of a merged decoder");
            let help =
                "name the folder that holds decoder_model_merged.onnx, and encoder_model.onnx if it has an encoder";
            return Err(graph.unfit(cause, help));
        }
        Ok(graph)
    }

    /// Loads the decoder in a file: the graph of the first step, and that of later ones if it is another.
    ///
    /// A merged decoder is one graph in ONNX Runtime; in tract, which fixes shapes that differ between its branches, each
    /// branch is one.
    pub(crate) fn decoder(path: &Path, runtime: &Runtime) -> Result<(Self, Option<Self>), GenerateError> {
        let file = ModelFile::open(path)?;
        let is_merged = file.inputs().iter().any(|port| port.name == BRANCH);
        if !is_merged || *runtime != Runtime::Tract {
            return Ok((Self::new(path, &file, Session::new_in(&file, runtime)?)?, None));
        }
        let branch = |is_later| match Session::branch(&file, BRANCH, is_later)? {
            Some(session) => Self::new(path, &file, session),
            None => Err(GenerateError::Interface {
                file: path.display().to_string(),
                cause: format!("its input `{BRANCH}` does not select a branch of an If"),
                help: "export the decoder again, or build it with `netwright build --kv-cache merged`",
            }),
        };
        Ok((branch(false)?, Some(branch(true)?)))
    }

    fn new(path: &Path, file: &ModelFile, session: Session) -> Result<Self, GenerateError> {
        let name = path.display().to_string();
        let roles = session.inputs().iter().map(|port| role(&name, port, file)).collect::<Result<_, _>>()?;
        let task = file.metadata("task").map(ToOwned::to_owned);
        Ok(Self { name, session, roles, outputs: file.outputs().to_vec(), task })
    }

    pub(crate) fn has(&self, role: Role) -> bool {
        self.roles.contains(&role)
    }

    /// Returns whether the graph predicts masked tokens, not next ones.
    pub(crate) fn is_masked(&self, options: Option<&ConfigFile>) -> bool {
        let architecture = options.and_then(ConfigFile::architecture).unwrap_or_default();
        match &self.task {
            Some(task) => task == "fill-mask",
            // Decoders have no types of tokens.
            None => architecture.ends_with("ForMaskedLM") || self.has(Role::Types),
        }
    }

    /// Checks that scores are numbers; minus infinity excludes a token.
    pub(crate) fn expect_numbers(&self, scores: &[f32], position: usize) -> Result<(), GenerateError> {
        let found = scores.iter().copied().find(|score| score.is_nan() || *score == f32::INFINITY);
        found.map_or(Ok(()), |found| Err(GenerateError::NotFinite { file: self.name.clone(), position, found }))
    }

    pub(crate) fn has_output(&self, output: &str) -> bool {
        self.outputs.iter().any(|port| port.name == output)
    }

    /// Returns the error that the graph cannot be used.
    pub(crate) fn unfit(&self, cause: impl Into<String>, help: &'static str) -> GenerateError {
        GenerateError::Interface { file: self.name.clone(), cause: cause.into(), help }
    }

    /// Returns an error if the graph has no output of this name with a vector for each token.
    pub(crate) fn expect_output(&self, output: &str, help: &'static str) -> Result<(), GenerateError> {
        let port = self.outputs.iter().find(|port| port.name == output);
        let shape = port.and_then(|port| port.ty.as_ref()?.shape.as_ref());
        let cause = match (port, shape) {
            (Some(_), None) => return Ok(()),
            (Some(_), Some(shape)) if shape.len() == 3 => return Ok(()),
            (Some(_), Some(shape)) => format!("its output `{output}` is {shape}, not one vector a token"),
            (None, _) => {
                let outputs: Vec<String> = self.outputs.iter().map(|port| format!("`{}`", port.name)).collect();
                format!("it has no output `{output}`, only {}", outputs.join(", "))
            }
        };
        Err(self.unfit(cause, help))
    }

    /// Returns the number of tokens for which a cache of fixed length has room; `None` if the cache grows.
    pub(crate) fn room(&self) -> Option<usize> {
        let shape = self.pasts().next().filter(|_| self.has(Role::PastLength))?.ty.as_ref()?.shape.as_ref()?;
        usize::try_from(shape.get(LENGTH)?.known()?).ok()
    }

    /// Returns the empty pasts for a batch.
    pub(crate) fn empty_pasts(&self, rows: usize) -> Result<BTreeMap<String, Resident>, GenerateError> {
        self.pasts().map(|port| Ok((port.name.clone(), self.session.resident(self.empty(port, rows)?)?))).collect()
    }

    fn empty(&self, port: &Port, rows: usize) -> Result<Array, GenerateError> {
        let shape = port.ty.as_ref().and_then(|ty| ty.shape.as_ref());
        let size = |axis: usize| shape.and_then(|shape| shape.get(axis)?.known()).and_then(|size| size.try_into().ok());
        let (Some(heads), Some(width), Some(4)) = (size(1), size(3), shape.map(|shape| shape.len())) else {
            return Err(self.unfit(
                format!("the heads and the width of `{}` are not declared", port.name),
                "write the shape [batch, heads, past, width] of the past into the model",
            ));
        };
        let element = port.ty.as_ref().map_or(ElementType::F32, |ty| ty.element);
        Ok(Array::zeros(element, [rows, heads, self.room().unwrap_or(0), width])?)
    }

    /// Converts whole numbers `[rows, columns]` for inputs of roles; those that the graph does not have are left out.
    pub(crate) fn numbers<const N: usize>(
        &self,
        rows: usize,
        numbers: [(Role, Vec<i64>); N],
    ) -> Result<Vec<(&str, Resident)>, GenerateError> {
        let own = numbers.into_iter().filter_map(|(role, numbers)| Some((self.port(role)?, numbers)));
        own.map(|(port, numbers)| Ok((port.name.as_str(), self.number(port, rows, numbers)?))).collect()
    }

    fn number(&self, port: &Port, rows: usize, numbers: Vec<i64>) -> Result<Resident, GenerateError> {
        let shape = match port.name.as_str() {
            PAST_LENGTH => vec![numbers.len()],
            _ => vec![rows, numbers.len() / rows.max(1)],
        };
        let array = match port.ty.as_ref().map(|ty| ty.element) {
            Some(ElementType::I32) => {
                Array::new(shape, numbers.into_iter().map(|n| i32::try_from(n).unwrap_or(i32::MAX)).collect::<Vec<_>>())
            }
            _ => Array::new(shape, numbers),
        };
        Ok(self.session.resident(array?)?)
    }

    /// Returns the input that selects the branch of a step; `None` if the graph has none.
    pub(crate) fn branch(&self, is_later: bool) -> Result<Option<(&str, Resident)>, GenerateError> {
        let Some(port) = self.port(Role::Branch) else { return Ok(None) };
        let is_scalar = port.ty.as_ref().and_then(|ty| ty.shape.as_ref()).is_some_and(|shape| shape.is_empty());
        let array = Array::new(if is_scalar { vec![] } else { vec![1] }, vec![is_later])?;
        Ok(Some((&port.name, self.session.resident(array)?)))
    }

    /// Returns the inputs for keys and values of earlier tokens.
    pub(crate) fn pasts(&self) -> impl Iterator<Item = &Port> {
        self.session.inputs().iter().zip(&self.roles).filter(|(_, role)| **role == Role::Past).map(|(port, _)| port)
    }

    /// Returns whether a run returns the past of this name with the new keys or values.
    pub(crate) fn extends(&self, past: &str) -> bool {
        self.session.outputs().contains(&present(past))
    }

    pub(crate) fn port(&self, role: Role) -> Option<&Port> {
        let at = self.roles.iter().position(|own| *own == role)?;
        self.session.inputs().get(at)
    }

    /// Runs the graph, and returns its output `first` and the presents under the names of their pasts.
    pub(crate) fn run(
        &self,
        inputs: Vec<(&str, Resident)>,
        first: &str,
    ) -> Result<(Resident, Vec<(String, Resident)>), GenerateError> {
        let mut found = None;
        let mut presents = vec![];
        for (name, tensor) in self.session.run_resident(inputs)? {
            if name == first {
                found = Some(tensor);
            } else if let Some(entry) = name.strip_prefix(PRESENT) {
                presents.push((format!("{PAST}{entry}"), tensor));
            }
        }
        let missing = || {
            let message = format!("{}: output `{first}` was not computed", self.name);
            GenerateError::Run(VerifyError::Answered { code: Code::RuntimeFailed, message })
        };
        Ok((found.ok_or_else(missing)?, presents))
    }
}

/// Returns what an input is; an error if it is not one of a decoder or an encoder.
fn role(name: &str, port: &Port, file: &ModelFile) -> Result<Role, GenerateError> {
    let refused = |cause: String, help| Err(GenerateError::Interface { file: name.to_owned(), cause, help });
    Ok(match port.name.as_str() {
        "input_ids" if file.inputs().iter().any(|port| port.name == "decoder_input_ids") => {
            return refused(
                "it is an encoder and a decoder in one graph".to_owned(),
                "write one graph for each with `netwright build DIR -o FOLDER --with-past`",
            );
        }
        "input_ids" | "decoder_input_ids" => Role::Tokens,
        "attention_mask" | "decoder_attention_mask" => Role::Mask,
        "position_ids" => Role::Positions,
        "token_type_ids" => Role::Types,
        "encoder_hidden_states" => Role::Memory,
        "encoder_attention_mask" => Role::SourceMask,
        "input_features" => Role::Features,
        past if past.starts_with(PAST) => {
            if !is_of_source(past) && is_buffer(port, file) && !has_fixed_length(port, file) {
                return refused(
                    format!("`{past}` is a buffer that the caller preallocates"),
                    "onnxruntime-genai runs the model; for `generate`, build it without --for genai and --kv-cache shared, such \
                     as with --with-past",
                );
            }
            Role::Past
        }
        BRANCH => Role::Branch,
        PAST_LENGTH => Role::PastLength,
        other => {
            return refused(
                format!("input `{other}` is not one of a decoder or an encoder"),
                "name a decoder with the inputs of Hugging Face's exporters, such as `netwright build` writes",
            );
        }
    })
}

/// Returns whether a past is one of cross attention, such as `past_key_values.0.encoder.key`.
pub(crate) fn is_of_source(past: &str) -> bool {
    past.contains(".encoder.")
}

/// Returns whether a past is a buffer that steps update in place: its present has the same length.
fn is_buffer(past: &Port, file: &ModelFile) -> bool {
    let length = |port: &Port| port.ty.as_ref()?.shape.as_ref()?.get(LENGTH).cloned();
    let name = present(&past.name);
    let present = file.outputs().iter().find(|port| port.name == name);
    present.and_then(length).zip(length(past)).is_some_and(|(present, past)| present.same(&past) == Some(true))
}

/// Returns whether a past is a buffer whose length is known, and the number of tokens in it an input.
fn has_fixed_length(past: &Port, file: &ModelFile) -> bool {
    let length = past.ty.as_ref().and_then(|ty| ty.shape.as_ref()?.get(LENGTH)?.known());
    length.is_some() && file.inputs().iter().any(|port| port.name == PAST_LENGTH)
}

fn present(past: &str) -> String {
    format!("{PRESENT}{}", past.strip_prefix(PAST).unwrap_or(past))
}
