//! Reads the configuration of rotary positions.

use crate::layers::{Frequencies, Rotary, inverse_frequencies};
use crate::{Settings, SettingsError};
use std::f64::consts::PI;

/// Reads the rotary positions of a model with heads of width `d_k` from `rope_parameters`, or from the older options
/// `rope_theta` and `rope_scaling`. `is_partial` means that the family supports `partial_rotary_factor`; for others it
/// must be 1.
pub(super) fn rotary(settings: &Settings, d_k: u64, is_partial: bool) -> Result<Rotary, SettingsError> {
    if !is_partial {
        let sections = ["rope_parameters", "rope_scaling"].map(|name| settings.section(name));
        for settings in sections.into_iter().collect::<Result<Vec<_>, _>>()?.iter().flatten().chain([settings]) {
            settings.must_be("partial_rotary_factor", 1.0)?;
        }
    }
    rotary_named(settings, d_k, ["rope_theta", "partial_rotary_factor"], 1.0)
}

/// Reads the rotary positions of layers with full attention and of those with a sliding window, which `rope_parameters`
/// holds under the names of their types. The older `rope_scaling` is that of full attention; `theta` are the older options
/// of the bases.
pub(super) fn rotary_by_type(settings: &Settings, d_k: u64, theta: [&str; 2]) -> Result<[Rotary; 2], SettingsError> {
    let types = settings.section("rope_parameters")?;
    let of_type = |name: &str| types.as_ref().map_or(Ok(None), |types| types.section(name));
    let (full, sliding) = (of_type("full_attention")?, of_type("sliding_attention")?);
    let full = match settings.section("rope_scaling")? {
        Some(scaling) => Some(scaling),
        None => full,
    };
    for section in [&full, &sliding].into_iter().flatten().chain([settings]) {
        section.must_be("partial_rotary_factor", 1.0)?;
    }
    let read = |section, theta| rotary_of(settings, section, d_k, [theta, "partial_rotary_factor"], 1.0);
    Ok([read(full, theta[0])?, read(sliding, theta[1])?])
}

/// Like [`rotary`], for families with other names of the base and the rotated part outside `rope_parameters`.
pub(super) fn rotary_named(
    settings: &Settings,
    d_k: u64,
    names: [&str; 2],
    default_part: f64,
) -> Result<Rotary, SettingsError> {
    let parameters = settings.section("rope_parameters")?;
    let scaling = match settings.section("rope_scaling")? {
        Some(scaling) => Some(scaling),
        None => parameters,
    };
    rotary_of(settings, scaling, d_k, names, default_part)
}

/// Reads rotary positions from a section, if there is one, and the options outside it.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "frequencies are computed in f32, and widths are small"
)]
fn rotary_of(
    settings: &Settings,
    scaling: Option<Settings>,
    d_k: u64,
    [theta_option, part_option]: [&str; 2],
    default_part: f64,
) -> Result<Rotary, SettingsError> {
    // Options in the section take precedence over options outside it.
    let number = |option: &str, outer: &str| -> Result<Option<f64>, SettingsError> {
        let own = scaling.as_ref().map(|scaling| scaling.positive(option)).transpose()?.flatten();
        Ok(own.or(settings.positive(outer)?))
    };
    let theta = number("rope_theta", theta_option)?.unwrap_or(10_000.0);
    let part = number("partial_rotary_factor", part_option)?.unwrap_or(default_part);
    let width = (d_k as f64 * part) as u64;
    if width == 0 || width > d_k || !width.is_multiple_of(2) {
        return Err(
            settings.wrong(part_option, format!("such that an even part of the {d_k} elements of a head is turned"))
        );
    }
    let mut rotary = Rotary::new(width, theta);
    let longest = settings.length("max_position_embeddings")?.unwrap_or(2048);
    let outer_original = settings.length("original_max_position_embeddings")?;
    let Some(scaling) = scaling else { return Ok(rotary) };
    let (kind, old) = (scaling.word("rope_type")?, scaling.word("type")?);
    let original = scaling.length("original_max_position_embeddings")?;
    let original = outer_original.or(original).unwrap_or(longest);
    let factor = || scaling.positive("factor")?.ok_or_else(|| scaling.wrong("factor", "a number above 0"));
    let frequencies = inverse_frequencies(width, theta);
    match kind.or(old).unwrap_or("default") {
        "default" => {}
        "linear" => {
            let factor = factor()? as f32;
            rotary.frequencies =
                Frequencies::Fixed(frequencies.into_iter().map(|frequency| frequency / factor).collect());
        }
        "dynamic" => {
            if width < 4 {
                return Err(scaling.wrong("rope_type", "another one for heads of which only two elements are turned"));
            }
            rotary.frequencies = Frequencies::Dynamic { theta, factor: factor()?, longest };
        }
        "llama3" => {
            let (factor, low, high) =
                (factor()?, scaling.positive("low_freq_factor")?, scaling.positive("high_freq_factor")?);
            let low = low.ok_or_else(|| scaling.wrong("low_freq_factor", "a number above 0"))?;
            let high = high
                .filter(|high| *high > low)
                .ok_or_else(|| scaling.wrong("high_freq_factor", "above low_freq_factor"))?;
            let original = original as f64;
            let scaled = |frequency: f32| {
                let wave = 2.0 * PI / f64::from(frequency);
                let smooth = (original / wave - low) / (high - low);
                let frequency = f64::from(frequency);
                let scaled = if wave < original / high {
                    frequency
                } else if wave > original / low {
                    frequency / factor
                } else {
                    (1.0 - smooth) * frequency / factor + smooth * frequency
                };
                scaled as f32
            };
            rotary.frequencies = Frequencies::Fixed(frequencies.into_iter().map(scaled).collect());
        }
        "yarn" => {
            let factor = factor()?;
            let mscale = |scale: f64, by: f64| if scale <= 1.0 { 1.0 } else { 0.1 * by * scale.ln() + 1.0 };
            let (by, by_all) = (scaling.number("mscale")?, scaling.number("mscale_all_dim")?);
            let own = scaling.positive("attention_factor")?;
            rotary.attention_factor =
                own.unwrap_or(match (by.filter(|by| *by != 0.0), by_all.filter(|by| *by != 0.0)) {
                    (Some(by), Some(by_all)) => mscale(factor, by) / mscale(factor, by_all),
                    _ => mscale(factor, 1.0),
                }) as f32;
            let fast = scaling.positive("beta_fast")?.unwrap_or(32.0);
            let slow = scaling.positive("beta_slow")?.unwrap_or(1.0);
            let place =
                |rotations: f64| width as f64 * (original as f64 / (rotations * 2.0 * PI)).ln() / (2.0 * theta.ln());
            let (mut low, mut high) = (place(fast), place(slow));
            if scaling.flag("truncate", true)? {
                (low, high) = (low.floor(), high.ceil());
            }
            (low, high) = (low.max(0.0), high.min(width as f64 - 1.0));
            if low == high {
                high += 0.001;
            }
            let mixed = |(at, frequency): (usize, f32)| {
                let ramp = ((at as f64 - low) / (high - low)).clamp(0.0, 1.0) as f32;
                frequency / factor as f32 * ramp + frequency * (1.0 - ramp)
            };
            rotary.frequencies = Frequencies::Fixed(frequencies.into_iter().enumerate().map(mixed).collect());
        }
        "longrope" | "su" => {
            let factor = scaling.positive("factor")?.unwrap_or(longest as f64 / original as f64);
            let own = scaling.positive("attention_factor")?;
            let sharper = if factor <= 1.0 { 1.0 } else { (1.0 + factor.ln() / (original as f64).ln()).sqrt() };
            rotary.attention_factor = own.unwrap_or(sharper) as f32;
            let count = usize::try_from(width / 2).unwrap_or(usize::MAX);
            let stretched = |option: &str| -> Result<Vec<f32>, SettingsError> {
                let factors = scaling.numbers(option, count)?;
                Ok(frequencies.iter().zip(factors).map(|(frequency, factor)| frequency / factor as f32).collect())
            };
            let (short, long) = (stretched("short_factor")?, stretched("long_factor")?);
            rotary.frequencies = Frequencies::ByLength { short, long, longest: original };
        }
        _ => {
            let option = if kind.is_some() { "rope_type" } else { "type" };
            return Err(scaling.wrong(option, "default, linear, dynamic, llama3, yarn or longrope"));
        }
    }
    Ok(rotary)
}
