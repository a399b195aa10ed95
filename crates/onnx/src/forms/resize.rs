//! Resize at opset 10, and Upsample before it: coordinates are divided by the scale (asymmetric), and the nearest
//! element is the lower one.

use super::{Form, Operand, Site};
use netwright_ir::{ElementType, Tensor};

/// Whether the scales are known to enlarge; opset 10 did not define "nearest" for the others.
fn enlarges(form: &Form<'_>, site: &Site<'_>, at: usize) -> Option<bool> {
    Some(site.tensor(form, at)?.floats()?.iter().all(|scale| *scale >= 1.0))
}

/// Whether the nearest element is the lower one: the scales of an Upsample had to be at least 1, those of a Resize must
/// be known to be.
fn nearest_is_below(form: &Form<'_>, site: &Site<'_>, at: usize) -> bool {
    enlarges(form, site, at).unwrap_or(site.opset < 10)
}

pub(super) fn from_10(form: &mut Form<'_>, site: &Site<'_>) -> bool {
    match form.text("mode").unwrap_or(b"nearest") {
        b"nearest" if nearest_is_below(form, site, 1) => form.set_text("nearest_mode", "floor"),
        b"linear" => {}
        _ => return false,
    }
    form.set_text("coordinate_transformation_mode", "asymmetric");
    form.operands.insert(1.min(form.operands.len()), Operand::Absent);
    true
}

pub(super) fn to_10(form: &mut Form<'_>, site: &Site<'_>) -> Result<(), String> {
    let nearest = match form.text("mode").unwrap_or(b"nearest") {
        b"nearest" => true,
        b"linear" => false,
        _ => return Err("its mode must be \"nearest\" or \"linear\"".to_owned()),
    };
    if form.text("coordinate_transformation_mode") != Some(b"asymmetric") {
        return Err("its coordinate_transformation_mode must be \"asymmetric\"".to_owned());
    }
    // The older form has no region, and an asymmetric Resize does not read it.
    if !form.is_absent(3) || form.is_absent(2) || site.tensor(form, 2).is_some_and(Tensor::is_empty) {
        return Err("it must have scales, not sizes".to_owned());
    }
    if nearest && (form.text("nearest_mode") != Some(b"floor") || !nearest_is_below(form, site, 2)) {
        return Err("its nearest_mode must be \"floor\", and its scales must be known to be at least 1".to_owned());
    }
    form.remove("coordinate_transformation_mode");
    form.remove("nearest_mode");
    form.operands.remove(1);
    Ok(())
}

pub(super) fn from_11(form: &mut Form<'_>, site: &Site<'_>) -> bool {
    for at in [1, 2] {
        if site.tensor(form, at).is_some_and(Tensor::is_empty) {
            form.clear_operand(at);
        }
    }
    // Opset 13 removed this mode.
    form.text("coordinate_transformation_mode") != Some(b"tf_half_pixel_for_nn")
}

/// The region and the scales were required, and empty if unused.
pub(super) fn to_11(form: &mut Form<'_>, site: &Site<'_>) -> Result<(), String> {
    if site.opset < 11 {
        return Ok(());
    }
    for (at, name) in [(1, "roi"), (2, "scales")] {
        if form.is_absent(at) {
            let none = Tensor::from_bytes(ElementType::F32, &[0], vec![]).map_err(|error| error.to_string())?;
            form.set_operand(at, Operand::New(name, Box::new(none)));
        }
    }
    Ok(())
}
