//! Arranges the codes and scales of a quantized tensor as the operands of the operators that read it.

use super::{Quantized, Tensor, TensorError};
use crate::ElementType;

/// The operands of an operator that reads a quantized tensor.
#[derive(Clone, Debug, PartialEq)]
pub struct QuantizedOperands {
    /// The codes.
    pub codes: Tensor,
    /// The scales.
    pub scales: Tensor,
    /// The zero points, unless the format is symmetric.
    pub zeros: Option<Tensor>,
}

impl Quantized {
    /// Returns codes, scales and zero points with blocks along the last axis.
    pub fn as_stored(&self) -> QuantizedOperands {
        QuantizedOperands { codes: self.codes.clone(), scales: self.scales.clone(), zeros: self.zeros.clone() }
    }

    /// Swaps the last two axes of codes `[.., N, K]`, scales and zero points `[.., N, blocks]`: blocks are along the
    /// second last axis then, which is the `axis` of ONNX's DequantizeLinear.
    ///
    /// # Errors
    /// If the tensor has fewer than two axes.
    pub fn transposed(&self) -> Result<QuantizedOperands, TensorError> {
        let zeros = self.zeros.as_ref().map(Tensor::transposed).transpose()?;
        Ok(QuantizedOperands { codes: self.codes.transposed()?, scales: self.scales.transposed()?, zeros })
    }

    /// Returns the operands of `com.microsoft::MatMulNBits` with a tensor `[N, K]`: codes u8 `[N, blocks, bytes]`, scales
    /// `[N, blocks]` and zero points u8 `[N, bytes]`.
    ///
    /// The codes of a byte begin with the lowest bits. The zero point of symmetric codes is `2^(bits - 1)`, the default
    /// of the operator. Rows are padded to whole blocks and bytes with that code, which no kernel reads.
    ///
    /// # Errors
    /// If the tensor does not have two axes, codes do not fill their elements, or a block is not whole bytes.
    pub fn nbits(&self) -> Result<QuantizedOperands, TensorError> {
        let (bits, size) = (u64::from(self.format.bits), self.format.size);
        let &[rows, width] = self.codes.dims() else {
            return Err(self.codes.refuse("nbits", "it does not have two axes"));
        };
        let bytes = size.checked_mul(bits).filter(|block| block.is_multiple_of(8)).map(|block| block / 8);
        let (Some(bytes), 2 | 4 | 8) = (bytes, bits) else {
            return Err(self.codes.refuse("nbits", "a block is not whole bytes of codes"));
        };
        let blocks = self.format.blocks(width);
        let codes = if self.format.symmetric { self.codes.offset()? } else { self.codes.clone() };
        let codes = self.padded(&codes, blocks.saturating_mul(size))?;
        let zeros = self.zeros.as_ref().map(|zeros| {
            let bytes = blocks.saturating_mul(bits).div_ceil(8);
            self.padded(zeros, bytes * 8 / bits)?.reinterpreted(ElementType::U8, &[rows, bytes])
        });
        Ok(QuantizedOperands {
            codes: codes.reinterpreted(ElementType::U8, &[rows, blocks, bytes])?,
            scales: self.scales.clone(),
            zeros: zeros.transpose()?,
        })
    }

    /// Returns the operands of `com.microsoft::GatherBlockQuantized` with a table `[V, D]`: the bytes of
    /// [`nbits`](Self::nbits) with codes u8 `[V, bytes]`.
    ///
    /// # Errors
    /// As for [`nbits`](Self::nbits), and if a row is not whole blocks.
    pub fn gathered(&self) -> Result<QuantizedOperands, TensorError> {
        let layout = self.nbits()?;
        let &[rows, blocks, bytes] = layout.codes.dims() else { return Ok(layout) };
        if self.codes.dims.last() != Some(&(blocks * self.format.size)) {
            return Err(self.codes.refuse("gathered", "a row is not whole blocks"));
        }
        Ok(QuantizedOperands { codes: layout.codes.reshaped(&[rows, blocks * bytes])?, ..layout })
    }

    /// Pads each row of unsigned codes.
    fn padded(&self, codes: &Tensor, width: u64) -> Result<Tensor, TensorError> {
        let &[rows, own] = codes.dims() else { return Ok(codes.clone()) };
        if width <= own {
            return Ok(codes.clone());
        }
        let padding = Tensor::fill_with(ElementType::U8, vec![self.format.middle()], &[rows, width - own])?;
        Tensor::concatenated(&[codes.clone(), padding.cast(codes.element)?])
    }
}
