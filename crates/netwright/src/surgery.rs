//! Changes models on request: sizes, names, outputs, parts. See [`passes::surgery`](crate::passes::surgery).
//!
//! ```
//! use netwright::ir::{Dim, Model, Symbol, parse};
//! use netwright::surgery::{Cut, fix_dims, merge, split};
//!
//! let text = "g(%x: f32[batch, 4]) {\n%a = exp %x : f32[batch, 4]\n%y = tanh %a : f32[batch, 4]\nreturn %y\n}";
//! let mut model = Model::new(parse(text)?);
//! fix_dims(&mut model, &[(Symbol::new("batch"), Dim::from(1))].into())?;
//!
//! let split = split(&model, &Cut::After(vec![vec!["a".to_owned()]]))?;
//! let merged = merge(split.parts, &[], Some(&split.plan))?;
//! assert_eq!(merged.model.graph.to_string(), "g(%x: f32[1, 4]) {
//!   %a = exp %x : f32[1, 4]
//!   %y = tanh %a : f32[1, 4]
//!   return %y
//! }
//! ");
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

pub use crate::passes::surgery::{
    Cut, Merged, Moved, Plan, Split, SurgeryError, Unrolled, add_outputs, branch_input, choose_branch, extract,
    fix_dims, rename_dims, rename_inputs, rename_outputs, set_outputs, split, strip, suggestion_for_operator, symbols,
    unroll_cache,
};

use crate::files::Code;
use crate::ir::Model;
use crate::onnx::{WriteError, set_opset};
use crate::passes::surgery;

/// Why models cannot be merged.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum MergeError {
    /// They cannot be connected.
    #[error(transparent)]
    Surgery(#[from] SurgeryError),
    /// A model cannot be converted to the newest opset among them.
    #[error("model {number} has opset {from} and cannot be converted to opset {to}, which another model has: {why}")]
    Opset {
        /// The number of the model, from 1.
        number: usize,
        /// Its opset.
        from: i64,
        /// The newest opset.
        to: i64,
        /// Why.
        why: Box<WriteError>,
    },
}

impl MergeError {
    /// Returns the code of this kind of error.
    pub fn code(&self) -> Code {
        match self {
            Self::Surgery(error) => error.code(),
            Self::Opset { .. } => Code::MergeOpset,
        }
    }
}

/// Connects models as [`surgery::merge`] does, after converting them to the newest opset among them.
///
/// # Errors
/// If a model cannot be converted, or they cannot be connected.
pub fn merge(mut models: Vec<Model>, connections: &[(&str, &str)], plan: Option<&Plan>) -> Result<Merged, MergeError> {
    to_newest_opset(&mut models)?;
    Ok(surgery::merge(&models, connections, plan)?)
}

/// Joins two models as [`surgery::merge_branches`] does, after converting them to the newest opset of both.
///
/// # Errors
/// If a model cannot be converted, or they cannot be joined.
pub fn merge_branches(condition: &str, yes: Model, no: Model, kept: &[(&str, &str)]) -> Result<Merged, MergeError> {
    let mut models = [yes, no];
    to_newest_opset(&mut models)?;
    let [yes, no] = &models;
    Ok(surgery::merge_branches(condition, yes, no, kept)?)
}

fn to_newest_opset(models: &mut [Model]) -> Result<(), MergeError> {
    let newest = models.iter().filter_map(|model| model.opsets.get("").copied()).max();
    for (model, number) in models.iter_mut().zip(1..) {
        let own = model.opsets.get("").copied();
        if let (Some(from), Some(to)) = (own, newest.filter(|newest| own.is_some_and(|own| own < *newest))) {
            set_opset(model, to).map_err(|why| MergeError::Opset { number, from, to, why: Box::new(why) })?;
        }
    }
    Ok(())
}
