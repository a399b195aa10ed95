//! Absolute positions: sinusoidal or learned.

use crate::{Init, Var};
use netwright_ir::Tensor;
use netwright_ir::tensor::Wave;
use serde::{Deserialize, Serialize};

/// The encoding of positions.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PositionalEncoding {
    /// Sines at even indices and cosines at odd ones, as in the paper.
    #[default]
    Sinusoidal,
    /// All sines, then all cosines, as in tensor2tensor and fairseq.
    SinusoidalHalves,
    /// A trained table.
    Learned,
}

/// Adds a row of a table `[max_positions, d_model]` to each token: `[batch, seq, d_model]` to the same. A longer
/// sequence than the table is an error at run time.
///
/// Parameter, if it is learned: `weight`. A sinusoidal table is one constant that all layers share.
#[derive(Clone, Debug)]
pub struct Positions {
    name: String,
    encoding: PositionalEncoding,
    longest: u64,
    d_model: u64,
}

impl Positions {
    /// Creates a positional encoding.
    pub fn new(name: impl Into<String>, encoding: PositionalEncoding, max_positions: u64, d_model: u64) -> Self {
        Self { name: name.into(), encoding, longest: max_positions, d_model }
    }

    /// Adds the positions to the embeddings.
    #[track_caller]
    pub fn forward<'b>(&self, x: Var<'b>) -> Var<'b> {
        self.forward_at(x, || x.size(1).range())
    }

    /// Adds the rows of these positions `[seq]` to the embeddings, such as those of tokens after a past.
    #[track_caller]
    pub fn forward_at<'b>(&self, x: Var<'b>, positions: impl FnOnce() -> Var<'b>) -> Var<'b> {
        let _scope = x.builder.enter(&self.name);
        let sinusoidal = |wave| Tensor::sinusoidal(wave, self.longest, self.d_model)?.cast(x.builder.element());
        let table = match self.encoding {
            PositionalEncoding::Sinusoidal => x.builder.table("positions", || sinusoidal(Wave::Interleaved)),
            PositionalEncoding::SinusoidalHalves => x.builder.table("positions", || sinusoidal(Wave::Halves)),
            PositionalEncoding::Learned => {
                x.builder.parameter(&format!("{}.weight", self.name), &[self.longest, self.d_model], Init::Xavier)
            }
        };
        x + table.gather(positions())
    }
}
