//! The parts of a node that a later version of its operator added: at an older opset the node has no form.

use super::{Form, Operand};
use netwright_ir::op::{Addition, Part};
use netwright_ir::{Attribute, OpKind};

/// Additions to ONNX's forms that the IR's operators do not have.
const OF_FORMS: [(&str, Addition); 3] = [
    // Upsample is read as Resize.
    ("Upsample", Addition { part: Part::Operand(1, "scales"), since: 9 }),
    // The node's number of results implies it.
    ("Split", Addition { part: Part::Attribute("num_outputs"), since: 18 }),
    // The IR always uses its default.
    ("Range", Addition { part: Part::Attribute("stash_type"), since: 27 }),
];

/// Returns a part of the node that the operator does not have at the opset: its name, and the opset that introduced it.
pub(super) fn too_new(operator: &str, form: &Form<'_>, results: usize, opset: i64) -> Option<(String, i64)> {
    let attribute = |name: &str| form.attributes.iter().find(|(given, _)| **given == *name).map(|(_, value)| value);
    let has = |part: &Part| match part {
        Part::Attribute(name) => attribute(name).is_some(),
        Part::Value(name, value) => {
            matches!(attribute(name), Some(Attribute::Text(text)) if **text == *value.as_bytes())
        }
        Part::Operand(at, _) => form.operands.get(*at).is_some_and(|operand| !matches!(operand, Operand::Absent)),
        Part::Result(at, _) => results > *at,
    };
    let known = OpKind::from_name(operator).into_iter().flat_map(OpKind::additions);
    let of_forms = OF_FORMS.iter().filter(|(name, _)| *name == operator).map(|(_, addition)| *addition);
    let additions = known.chain(of_forms).filter(|addition| opset < addition.since && has(&addition.part));
    // The smallest such opset.
    let Addition { part, since } = additions.min_by_key(|addition| addition.since)?;
    let what = match part {
        Part::Attribute(name) => format!("attribute `{name}`"),
        Part::Value(name, value) => format!("attribute `{name}` of {value:?}"),
        Part::Operand(_, name) => format!("operand `{name}`"),
        Part::Result(_, name) => format!("result `{name}`"),
    };
    Some((what, since))
}
