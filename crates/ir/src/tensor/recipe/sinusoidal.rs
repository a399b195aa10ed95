//! The sinusoidal position table.

use super::Wave;

pub(super) fn sinusoidal(wave: Wave, d_model: u64, first: u64, out: &mut [u8]) {
    let half = d_model / 2;
    let steps = if wave == Wave::Halves { half - 1 } else { half };
    let frequencies: Vec<f64> = (0..half).map(|at| 10_000f64.powf(-(at as f64) / steps as f64)).collect();
    for (at, place) in (first..).zip(out.as_chunks_mut::<4>().0) {
        let (position, column) = (at / d_model, at % d_model);
        let (frequency, cosine) = match wave {
            Wave::Interleaved => (column / 2, column % 2 == 1),
            Wave::Halves | Wave::Grouped => (column % half, column >= half),
        };
        let frequency = usize::try_from(frequency).ok().and_then(|at| frequencies.get(at));
        let angle = position as f64 * frequency.copied().unwrap_or_default();
        #[expect(clippy::cast_possible_truncation, reason = "the table is f32")]
        let value = (if cosine { angle.cos() } else { angle.sin() }) as f32;
        *place = value.to_le_bytes();
    }
}
