//! The versions that changed the form of operators, in a table, and the conversions between the forms.

use super::{Form, NEWEST, Operand, Site, resize, softmax};
use crate::standard;
use netwright_ir::{Attribute, Dim, ElementType, Tensor};

/// A version of operators, and their form before it.
struct Step {
    since: i64,
    operators: &'static str,
    older: Older,
}

enum Older {
    /// An operand was an attribute: its name, the index of the operand, and its kind.
    WasAttribute(&'static str, usize, OperandKind),
    /// The operator had another name.
    WasNamed(&'static str),
    /// Any other change: the conversions to the new form and back.
    Other(Raise, Lower),
}

/// Converts to the form of the step's opset; `false` if the node must be opaque.
type Raise = fn(&mut Form<'_>, &Site<'_>) -> bool;

/// Converts to the form before it, or returns why that is not possible.
type Lower = fn(&mut Form<'_>, &Site<'_>) -> Result<(), String>;

/// The kind of an operand that was an attribute.
#[derive(Clone, Copy)]
enum OperandKind {
    /// A list of integers.
    Ints,
    /// An integer as a scalar.
    Int,
    /// An integer as a list of one.
    One,
    /// A list of floats.
    Floats,
    /// A float as a scalar.
    Float,
    /// A float as a scalar of the element type of the first operand.
    Element,
}

use Older::{Other, WasAttribute, WasNamed};

/// The steps, oldest first. A version that changes an operator and is not listed is not supported: nodes from before it
/// are opaque, and none is written.
const STEPS: &[Step] = &[
    step(8, "Max Mean Min Sum", Other(same, one_shape)),
    step(9, "BatchNormalization", Other(spatial, unchanged)),
    step(9, "Upsample", WasAttribute("scales", 1, OperandKind::Floats)),
    step(10, "Dropout", Other(one_result, no_second_result)),
    step(10, "Resize", WasNamed("Upsample")),
    step(10, "Slice", WasAttribute("starts", 1, OperandKind::Ints)),
    step(10, "Slice", WasAttribute("ends", 2, OperandKind::Ints)),
    step(10, "Slice", WasAttribute("axes", 3, OperandKind::Ints)),
    step(10, "Slice", Other(same, no_steps)),
    step(10, "TopK", WasAttribute("k", 1, OperandKind::One)),
    step(11, "Clip", Other(limits, same_limits)),
    step(11, "Clip", WasAttribute("min", 1, OperandKind::Element)),
    step(11, "Clip", WasAttribute("max", 2, OperandKind::Element)),
    step(11, "ConvTranspose", Other(explicit_pads, same_pads)),
    step(11, "Gemm", Other(same, third_operand)),
    step(11, "Pad", WasAttribute("pads", 1, OperandKind::Ints)),
    step(11, "Pad", WasAttribute("value", 2, OperandKind::Element)),
    step(11, "Resize", Other(resize::from_10, resize::to_10)),
    step(11, "ScatterElements", WasNamed("Scatter")),
    step(11, "ArgMax ArgMin Compress Concat Flatten Hardmax LogSoftmax Softmax Split", Other(same, from_the_front)),
    step(11, "ReduceL1 ReduceL2 ReduceLogSum ReduceLogSumExp ReduceMax ReduceMean", Other(same, from_the_front)),
    step(11, "ReduceMin ReduceProd ReduceSum ReduceSumSquare Slice Squeeze Unsqueeze", Other(same, from_the_front)),
    step(12, "Dropout", Other(one_result, no_second_result)),
    step(12, "Pow", Other(same, one_type)),
    step(12, "Dropout", WasAttribute("ratio", 1, OperandKind::Float)),
    step(13, "Erf", Other(float, unchanged)),
    step(13, "Hardmax LogSoftmax Softmax", Other(softmax::along, softmax::coerced)),
    step(13, "ReduceSum", Other(axes_operand, axes_attribute)),
    step(13, "Resize", Other(resize::from_11, resize::to_11)),
    step(13, "Split", WasAttribute("split", 1, OperandKind::Ints)),
    step(13, "Squeeze Unsqueeze", WasAttribute("axes", 1, OperandKind::Ints)),
    step(14, "BatchNormalization", Other(one_result, no_second_result)),
    step(16, "RoiAlign", Other(shifted, not_shifted)),
    step(18, "ReduceL1 ReduceL2 ReduceLogSum ReduceLogSumExp ReduceMax", Other(axes_operand, axes_attribute)),
    step(18, "ReduceMean ReduceMin ReduceProd ReduceSumSquare", Other(axes_operand, axes_attribute)),
    step(18, "Split", Other(same, equal_parts)),
    step(19, "Cast", Other(same, no_8_bit_floats)),
    step(20, "DFT", Other(axis_operand, axis_attribute)),
    step(20, "GridSample", Other(modes, older_modes)),
    step(24, "Cast CastLike", Other(finite, same_finite)),
    step(28, "ReduceLogSum ReduceLogSumExp", Other(float, unchanged)),
];

const fn step(since: i64, operators: &'static str, older: Older) -> Step {
    Step { since, operators, older }
}

impl Step {
    fn is_of(&self, operator: &str) -> bool {
        self.operators.split(' ').any(|name| name == operator)
    }

    /// Whether a node of this operator may have the form before the step.
    fn is_from(&self, operator: &str) -> bool {
        match self.older {
            WasNamed(name) => name == operator,
            _ => self.is_of(operator),
        }
    }
}

/// Returns the first version after the opset that changes the operator and is not supported.
pub(super) fn gap(operator: &str, opset: i64) -> Option<i64> {
    let mut at = opset;
    while let Some(since) = standard::changed_between(operator, at, NEWEST) {
        if !STEPS.iter().any(|step| step.since == since && step.is_from(operator)) {
            return Some(since);
        }
        at = since;
    }
    None
}

/// Converts a node from the opset of the site to the newest form; `false` if it must be opaque.
pub(super) fn raise(form: &mut Form<'_>, site: &Site<'_>) -> bool {
    STEPS.iter().filter(|step| site.opset < step.since).all(|step| {
        if !step.is_from(form.op_type) {
            return true;
        }
        match step.older {
            WasAttribute(name, at, given) => into_operand(form, site, name, at, given),
            WasNamed(_) => {
                form.op_type = step.operators;
                true
            }
            Other(raise, _) => raise(form, site),
        }
    })
}

/// Converts a node from the newest form to the opset of the site, or returns why that is not possible.
pub(super) fn lower(form: &mut Form<'_>, site: &Site<'_>) -> Result<(), String> {
    for step in STEPS.iter().rev().filter(|step| site.opset < step.since) {
        if step.is_of(form.op_type) {
            match step.older {
                WasAttribute(name, at, given) => into_attribute(form, site, name, at, given)?,
                WasNamed(name) => form.op_type = name,
                Other(_, lower) => lower(form, site)?,
            }
        }
    }
    Ok(())
}

fn into_operand(form: &mut Form<'_>, site: &Site<'_>, name: &'static str, at: usize, given: OperandKind) -> bool {
    let tensor = match (given, form.remove(name)) {
        (_, None) => return true,
        (OperandKind::Ints, Some(Attribute::Ints(values))) => Some(Tensor::indices(&values)),
        (OperandKind::Int, Some(Attribute::Int(value))) => Some(Tensor::index(value)),
        (OperandKind::One, Some(Attribute::Int(value))) => Some(Tensor::indices(&[value])),
        (OperandKind::Floats, Some(Attribute::Floats(values))) => {
            let bytes: Vec<u8> = values.iter().flat_map(|value| value.to_le_bytes()).collect();
            Tensor::from_bytes(ElementType::F32, &[values.len() as u64], bytes).ok()
        }
        (OperandKind::Float, Some(Attribute::Float(value))) => Some(Tensor::scalar(value)),
        (OperandKind::Element, Some(Attribute::Float(value))) => {
            site.element(form, 0).and_then(|element| scalar(value, element))
        }
        _ => None,
    };
    tensor.map(|tensor| form.set_operand(at, Operand::New(name, Box::new(tensor)))).is_some()
}

fn scalar(value: f32, element: ElementType) -> Option<Tensor> {
    let made = Tensor::scalar(value);
    if element == ElementType::F32 {
        return Some(made);
    }
    Tensor::from_bytes(element, &[], made.cast(element).ok()?.to_bytes().ok()?).ok()
}

fn into_attribute(
    form: &mut Form<'_>,
    site: &Site<'_>,
    name: &str,
    at: usize,
    given: OperandKind,
) -> Result<(), String> {
    if form.is_absent(at) {
        return Ok(());
    }
    let constant = site.tensor(form, at).ok_or_else(|| format!("`{name}` must be constant to become an attribute"))?;
    let single = |values: Option<Vec<i64>>| values.filter(|values| values.len() == 1).map(|values| values[0]);
    let narrow = |value: f64| {
        #[expect(clippy::cast_possible_truncation, reason = "a value that does not round-trip is rejected")]
        let narrow = value as f32;
        (f64::from(narrow).to_bits() == value.to_bits()).then_some(narrow)
    };
    let attribute = match given {
        OperandKind::Ints => integers(constant).filter(|values| !values.is_empty()).map(Attribute::Ints),
        OperandKind::Int | OperandKind::One => single(integers(constant)).map(Attribute::Int),
        OperandKind::Floats => {
            let values = constant.floats().unwrap_or_default().into_iter().map(narrow).collect::<Option<Vec<_>>>();
            values.filter(|values| !values.is_empty()).map(Attribute::Floats)
        }
        OperandKind::Float | OperandKind::Element => constant.float().and_then(narrow).map(Attribute::Float),
    };
    let attribute =
        attribute.ok_or_else(|| format!("`{name}` is {}, which an attribute cannot hold", constant.ty()))?;
    form.attributes.insert(0, (name.into(), attribute));
    form.clear_operand(at);
    Ok(())
}

/// The maximum number of elements of an attribute made from an operand.
const MAX_ELEMENTS: u64 = 1 << 20;

/// Returns the elements of an integer tensor.
fn integers(tensor: &Tensor) -> Option<Vec<i64>> {
    if tensor.element() != ElementType::I64 || tensor.count() > MAX_ELEMENTS {
        return tensor.integers();
    }
    let bytes = tensor.to_bytes().ok()?;
    bytes.chunks_exact(8).map(|bytes| Some(i64::from_le_bytes(bytes.try_into().ok()?))).collect()
}

fn same(_: &mut Form<'_>, _: &Site<'_>) -> bool {
    true
}

#[expect(clippy::unnecessary_wraps, reason = "the type of a step")]
fn unchanged(_: &mut Form<'_>, _: &Site<'_>) -> Result<(), String> {
    Ok(())
}

/// There was no broadcasting; if the shapes are not known to be equal, the runtime checks them.
fn one_shape(form: &mut Form<'_>, site: &Site<'_>) -> Result<(), String> {
    let shapes: Vec<_> = (0..form.operands.len()).filter_map(|at| site.shape(form, at)).collect();
    let differ = |a: &[Dim], b: &[Dim]| a.len() != b.len() || a.iter().zip(b).any(|(a, b)| a.same(b) == Some(false));
    match shapes.windows(2).find(|pair| differ(pair[0], pair[1])) {
        Some(_) => Err("its operands must have the same shape".to_owned()),
        None => Ok(()),
    }
}

/// There could be statistics for each element of a channel.
fn spatial(form: &mut Form<'_>, _: &Site<'_>) -> bool {
    form.remove("spatial").is_none_or(|spatial| spatial == Attribute::Int(1))
}

/// Further results were those of training, or a mask of another type or with unspecified elements.
fn one_result(_: &mut Form<'_>, site: &Site<'_>) -> bool {
    site.results.len() == 1
}

fn no_second_result(_: &mut Form<'_>, site: &Site<'_>) -> Result<(), String> {
    if site.results.len() == 1 { Ok(()) } else { Err("it must have one result".to_owned()) }
}

/// All steps were 1.
fn no_steps(form: &mut Form<'_>, site: &Site<'_>) -> Result<(), String> {
    if form.is_absent(4) {
        return Ok(());
    }
    match site.tensor(form, 4).and_then(integers) {
        Some(steps) if steps.iter().all(|step| *step == 1) => {
            form.clear_operand(4);
            Ok(())
        }
        _ => Err("its steps must be 1".to_owned()),
    }
}

/// An absent limit was the largest `f32`, and is now the largest value of the type.
fn limits(form: &mut Form<'_>, site: &Site<'_>) -> bool {
    site.element(form, 0) == Some(ElementType::F32) || (form.has("min") && form.has("max"))
}

fn one_type(form: &mut Form<'_>, site: &Site<'_>) -> Result<(), String> {
    match (site.element(form, 0), site.element(form, 1)) {
        (Some(base), Some(exponent)) if base != exponent => {
            Err(format!("its operands must have one type, and they are {base} and {exponent}"))
        }
        _ => Ok(()),
    }
}

fn same_limits(form: &mut Form<'_>, site: &Site<'_>) -> Result<(), String> {
    if limits(form, site) { Ok(()) } else { Err("both limits must be given unless its type is f32".to_owned()) }
}

/// The rule for the side that gets the odd element of padding was different.
fn explicit_pads(form: &mut Form<'_>, _: &Site<'_>) -> bool {
    !form.has("output_shape") && matches!(form.text("auto_pad").unwrap_or(b"NOTSET"), b"NOTSET" | b"VALID")
}

fn same_pads(form: &mut Form<'_>, site: &Site<'_>) -> Result<(), String> {
    if explicit_pads(form, site) { Ok(()) } else { Err("its padding must be explicit".to_owned()) }
}

fn third_operand(form: &mut Form<'_>, _: &Site<'_>) -> Result<(), String> {
    if form.is_absent(2) { Err("it must have an addend".to_owned()) } else { Ok(()) }
}

/// Axes did not count from the end; an axis that cannot be converted is left to the runtime.
#[expect(clippy::unnecessary_wraps, reason = "the type of a step")]
fn from_the_front(form: &mut Form<'_>, site: &Site<'_>) -> Result<(), String> {
    // The axes of an Unsqueeze are those of its result.
    let shape = if form.op_type == "Unsqueeze" { site.result_shape(0) } else { site.shape(form, 0) };
    let Some(rank) = shape.and_then(|shape| i64::try_from(shape.len()).ok()) else { return Ok(()) };
    let front = |axis: &mut i64| *axis += if *axis < 0 { rank } else { 0 };
    for (name, value) in &mut form.attributes {
        match (&**name, value) {
            ("axis", Attribute::Int(axis)) => front(axis),
            ("axes", Attribute::Ints(axes)) => axes.iter_mut().for_each(front),
            _ => {}
        }
    }
    if form.op_type == "Slice"
        && let Some(mut axes) = site.tensor(form, 3).and_then(integers).filter(|axes| axes.iter().any(|axis| *axis < 0))
    {
        axes.iter_mut().for_each(front);
        form.set_operand(3, Operand::New("axes", Box::new(Tensor::indices(&axes))));
    }
    Ok(())
}

/// The newer version accepts only floats.
fn float(form: &mut Form<'_>, site: &Site<'_>) -> bool {
    site.element(form, 0).is_none_or(ElementType::is_float)
}

fn axes_operand(form: &mut Form<'_>, site: &Site<'_>) -> bool {
    into_operand(form, site, "axes", 1, OperandKind::Ints)
}

fn axes_attribute(form: &mut Form<'_>, site: &Site<'_>) -> Result<(), String> {
    let noop = form.remove("noop_with_empty_axes") == Some(Attribute::Bool(true));
    let none = form.is_absent(1) || site.tensor(form, 1).is_some_and(Tensor::is_empty);
    match (none, noop) {
        (true, true) => Err("an empty list of axes means none, but at that opset all".to_owned()),
        (true, false) => {
            form.clear_operand(1);
            Ok(())
        }
        (false, _) => into_attribute(form, site, "axes", 1, OperandKind::Ints),
    }
}

/// The boxes were not shifted by half a pixel.
fn shifted(form: &mut Form<'_>, _: &Site<'_>) -> bool {
    form.set_text("coordinate_transformation_mode", "output_half_pixel");
    true
}

fn not_shifted(form: &mut Form<'_>, _: &Site<'_>) -> Result<(), String> {
    match form.remove("coordinate_transformation_mode") {
        Some(Attribute::Text(mode)) if *mode == *b"output_half_pixel" => Ok(()),
        _ => Err("its coordinate_transformation_mode must be \"output_half_pixel\"".to_owned()),
    }
}

/// Without sizes the parts of a Split had to be equal; if nothing is known, the runtime checks it.
#[expect(clippy::unnecessary_wraps, reason = "the type of a step")]
fn equal_parts(form: &mut Form<'_>, site: &Site<'_>) -> Result<(), String> {
    form.remove("num_outputs");
    if !form.is_absent(1) {
        return Ok(());
    }
    let size = |at: usize| {
        let shape = site.result_shape(at)?;
        let axis = form.int("axis").unwrap_or(0);
        let axis = if axis < 0 { axis + i64::try_from(shape.len()).ok()? } else { axis };
        shape.get(usize::try_from(axis).ok()?)?.known()
    };
    if let Some(sizes) = (0..site.results.len()).map(size).collect::<Option<Vec<_>>>()
        && sizes.windows(2).any(|pair| pair[0] != pair[1])
    {
        form.set_operand(1, Operand::New("split", Box::new(Tensor::indices(&sizes))));
    }
    Ok(())
}

/// There were no 8-bit floats, the only types with `saturate`.
fn no_8_bit_floats(form: &mut Form<'_>, _: &Site<'_>) -> Result<(), String> {
    form.remove("saturate");
    match form.element("to").filter(|to| to.is_float() && to.bits() == 8) {
        Some(to) => Err(format!("{to} requires opset 19")),
        None => Ok(()),
    }
}

fn axis_operand(form: &mut Form<'_>, site: &Site<'_>) -> bool {
    if !form.has("axis") {
        form.attributes.push(("axis".into(), Attribute::Int(1)));
    }
    into_operand(form, site, "axis", 2, OperandKind::Int)
}

fn axis_attribute(form: &mut Form<'_>, site: &Site<'_>) -> Result<(), String> {
    if form.is_absent(2) {
        form.attributes.insert(0, ("axis".into(), Attribute::Int(-2)));
    }
    into_attribute(form, site, "axis", 2, OperandKind::Int)
}

/// The interpolation modes had the names for two dimensions.
const MODES: &[(&str, &str)] = &[("bilinear", "linear"), ("bicubic", "cubic")];

fn modes(form: &mut Form<'_>, _: &Site<'_>) -> bool {
    if let Some((_, newer)) = MODES.iter().find(|(older, _)| form.text("mode") == Some(older.as_bytes())) {
        form.set_text("mode", newer);
    }
    true
}

fn older_modes(form: &mut Form<'_>, site: &Site<'_>) -> Result<(), String> {
    if let Some((older, _)) = MODES.iter().find(|(_, newer)| form.text("mode") == Some(newer.as_bytes())) {
        form.set_text("mode", older);
    }
    match site.shape(form, 0) {
        Some(shape) if shape.len() != 4 => Err("its operand must have four axes".to_owned()),
        _ => Ok(()),
    }
}

/// Infinity became NaN in 8-bit floats without infinity and negative zero, and now saturates too.
fn finite(form: &mut Form<'_>, site: &Site<'_>) -> bool {
    if site.opset < 19 {
        // There were no 8-bit floats.
        return true;
    }
    let element = match form.int("to") {
        Some(number) => ElementType::from_number(number),
        None => form.element("to").or_else(|| site.element(form, 1)),
    };
    let changed = matches!(element, Some(ElementType::F8E4M3FNUZ | ElementType::F8E5M2FNUZ) | None);
    let saturates = !matches!(form.attribute("saturate"), Some(Attribute::Int(0) | Attribute::Bool(false)));
    !(changed && saturates)
}

fn same_finite(form: &mut Form<'_>, site: &Site<'_>) -> Result<(), String> {
    if finite(form, site) { Ok(()) } else { Err("infinity is cast to another value at that opset".to_owned()) }
}
