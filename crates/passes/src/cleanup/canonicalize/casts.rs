//! Removes identities, and removes and merges casts.

use crate::pattern::{any, cast, identity};
use crate::rewrite::{become_op, become_value};
use crate::rule::{Rule, Skip};
use netwright_ir::{ElementType, Op};

pub(super) fn rules() -> Vec<Rule> {
    vec![drop_identity(), drop_cast(), merge_casts()]
}

fn drop_identity() -> Rule {
    let x = any("x");
    Rule::new("drop-identity", "identity(x) -> x", identity(x), move |graph, found| {
        become_value(graph, found.root(), found[x], "dropped")
    })
}

fn drop_cast() -> Rule {
    let x = any("x");
    Rule::new("drop-cast", "cast(x) -> x, if x has that type", cast(x), move |graph, found| {
        match graph.op(found.root()) {
            Op::Cast { to, .. } if graph.fact(found[x]).element() == Some(*to) => {
                become_value(graph, found.root(), found[x], "dropped: it has that type")
            }
            _ => Err(Skip::NoMatch),
        }
    })
}

/// Sound if the first cast loses nothing, so that the second one rounds or wraps the original number.
fn merge_casts() -> Rule {
    let x = any("x");
    Rule::new(
        "merge-casts",
        "cast(cast(x)) -> cast(x), if the first cast is exact",
        cast(cast(x)),
        move |graph, found| {
            let root = found.root();
            let first =
                graph.operand(root.node, 0).and_then(|first| graph.fact(first).element()).ok_or(Skip::NoMatch)?;
            let from = graph.fact(found[x]).element().ok_or(Skip::NoMatch)?;
            let Op::Cast { to, .. } = *graph.op(root) else { return Err(Skip::NoMatch) };
            if !holds_all(first, from) {
                return Err(Skip::rejected(format!("the cast from {from} to {first} is not exact")));
            }
            // The cast of a float that is out of the range of integers depends on the machine and on its type.
            let is_arithmetic = |element: ElementType| element == ElementType::Bool || digits(element).is_some();
            if !is_arithmetic(to) || to.is_integer() && first.is_float() && !holds_all(to, from) {
                return Err(Skip::rejected(format!("casting {from} to {to} may differ from casting {first} to {to}")));
            }
            become_op(graph, root, graph.op(root).clone(), &[found[x]], "merged with the cast before it")
        },
    )
}

/// Whether every number of type `from` is exact in type `to`.
fn holds_all(to: ElementType, from: ElementType) -> bool {
    use ElementType as E;
    let (Some(wide), narrow) = (digits(to), digits(from)) else { return false };
    let Some(narrow) = narrow else { return from == E::Bool };
    if from.is_float() {
        // Neither of the 16-bit floats has both the range and the precision of the other.
        return to == from || to.is_float() && to.bits() > from.bits();
    }
    let is_signed = |element| matches!(element, E::I8 | E::I16 | E::I32 | E::I64);
    wide >= narrow && (to.is_float() || is_signed(to) || !is_signed(from))
}

/// Returns the number of bits of the integers that a type holds exactly, without the sign.
fn digits(element: ElementType) -> Option<u32> {
    use ElementType as E;
    match element {
        E::I8 => Some(7),
        E::U8 | E::BF16 => Some(8),
        E::F16 => Some(11),
        E::I16 => Some(15),
        E::U16 => Some(16),
        E::F32 => Some(24),
        E::I32 => Some(31),
        E::U32 => Some(32),
        E::F64 => Some(53),
        E::I64 => Some(63),
        E::U64 => Some(64),
        _ => None,
    }
}
