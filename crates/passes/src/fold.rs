//! Passes that compute constants and weights when the model is built.

mod evaluate_constants;
mod fold_constants;
mod fold_degrees_of_freedom;
mod fold_into_convolution;
mod fold_padding;
mod fold_scale_into_embedding;
mod fold_scale_into_projection;

pub use evaluate_constants::evaluate_constants;
pub use fold_constants::fold_constants;
pub use fold_degrees_of_freedom::fold_degrees_of_freedom;
pub use fold_into_convolution::fold_into_convolution;
pub use fold_padding::fold_padding;
pub use fold_scale_into_embedding::fold_scale_into_embedding;
pub use fold_scale_into_projection::fold_scale_into_projection;
