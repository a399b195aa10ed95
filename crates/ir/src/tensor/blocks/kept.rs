//! Keeps the numbers of the blocks that were encoded last: codes, scales and zero points are written one after the
//! other, and searching for a scale takes longer than everything else.

use super::encode::{Block, Encoder};
use std::ops::Range;
use std::sync::{Arc, Mutex, PoisonError, Weak};

/// The maximum number of bytes that are kept: a table of 128,000 rows of 2,048 in blocks of 32 fits.
const MAX_BYTES: usize = 42 << 20;

/// The numbers of the blocks of a tensor.
struct Kept {
    /// The identity of its encoder.
    of: Weak<()>,
    across: bool,
    /// Unknown if 0: then the block is encoded again.
    scales: Vec<f32>,
    /// Empty for symmetric codes.
    zeros: Vec<u8>,
}

impl Kept {
    fn is_of(&self, of: &Encoder) -> bool {
        self.of.as_ptr() == Arc::as_ptr(&of.identity) && self.across == of.across
    }

    fn bytes(&self) -> usize {
        size_of_val(&*self.scales) + self.zeros.len()
    }
}

/// The latest last.
static KEPT: Mutex<Vec<Kept>> = Mutex::new(vec![]);

/// Sets `numbers` to those of consecutive blocks, if all are known, and returns whether they are.
pub(super) fn get(of: &Encoder, blocks: Range<u64>, numbers: &mut Vec<Block>) -> bool {
    numbers.clear();
    let kept = KEPT.lock().unwrap_or_else(PoisonError::into_inner);
    let (Some(kept), Some(range)) = (kept.iter().find(|kept| kept.is_of(of)), range(blocks)) else { return false };
    let Some(scales) = kept.scales.get(range.clone()).filter(|scales| !scales.contains(&0.0)) else { return false };
    match kept.zeros.get(range) {
        Some(zeros) => numbers.extend(scales.iter().zip(zeros).map(|(&scale, &zero)| Block { scale, zero })),
        None => numbers.extend(scales.iter().map(|&scale| Block { scale, zero: of.format.middle() })),
    }
    true
}

/// Keeps the numbers of consecutive blocks of a tensor with `total` blocks, unless they are too many.
pub(super) fn put(of: &Encoder, first: u64, numbers: &[Block], total: u64) {
    let (Some(range), Ok(total)) = (range(first..first + numbers.len() as u64), usize::try_from(total)) else { return };
    let bytes = total.saturating_mul(size_of::<f32>() + usize::from(!of.format.symmetric));
    let Some(mut room) = MAX_BYTES.checked_sub(bytes) else { return };
    let mut all = KEPT.lock().unwrap_or_else(PoisonError::into_inner);
    if !all.iter().any(|kept| kept.is_of(of)) {
        all.retain(|kept| kept.of.strong_count() > 0);
        // The oldest make room.
        let fits = |kept: &&Kept| room.checked_sub(kept.bytes()).map(|left| room = left).is_some();
        let fit = all.iter().rev().take_while(fits).count();
        let stale = all.len() - fit;
        all.drain(..stale);
        let zeros = if of.format.symmetric { vec![] } else { vec![0; total] };
        all.push(Kept { of: Arc::downgrade(&of.identity), across: of.across, scales: vec![0.0; total], zeros });
    }
    let Some(kept) = all.iter_mut().find(|kept| kept.is_of(of)) else { return };
    if let Some(scales) = kept.scales.get_mut(range.clone()) {
        scales.iter_mut().zip(numbers).for_each(|(scale, block)| *scale = block.scale);
    }
    if let Some(zeros) = kept.zeros.get_mut(range) {
        zeros.iter_mut().zip(numbers).for_each(|(zero, block)| *zero = block.zero);
    }
}

fn range(blocks: Range<u64>) -> Option<Range<usize>> {
    Some(usize::try_from(blocks.start).ok()?..usize::try_from(blocks.end).ok()?)
}
