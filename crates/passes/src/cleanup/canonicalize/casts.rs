//! Identities and casts.

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
    Rule::new("drop-cast", "cast(x) -> x, to the type that it has", cast(x), move |graph, found| {
        match graph.op(found.root()) {
            Op::Cast { to, .. } if graph.fact(found[x]).element() == Some(*to) => {
                become_value(graph, found.root(), found[x], "dropped: it has that type")
            }
            _ => Err(Skip::NoMatch),
        }
    })
}

/// Sound where the first cast loses nothing, so that the second one rounds or wraps what the first was given.
fn merge_casts() -> Rule {
    let x = any("x");
    Rule::new(
        "merge-casts",
        "cast(cast(x)) -> cast(x), where the first keeps all",
        cast(cast(x)),
        move |graph, found| {
            let root = found.root();
            let first =
                graph.operand(root.node, 0).and_then(|first| graph.fact(first).element()).ok_or(Skip::NoMatch)?;
            let from = graph.fact(found[x]).element().ok_or(Skip::NoMatch)?;
            let Op::Cast { to, .. } = *graph.op(root) else { return Err(Skip::NoMatch) };
            if !holds_all(first, from) {
                return Err(Skip::rejected(format!("not every {from} is a {first}")));
            }
            // A float that is out of the range of integers becomes what the machine makes of its type.
            let is_arithmetic = |element: ElementType| element == ElementType::Bool || digits(element).is_some();
            if !is_arithmetic(to) || to.is_integer() && first.is_float() && !holds_all(to, from) {
                return Err(Skip::rejected(format!("{from} to {to} may be another number than {first} to {to}")));
            }
            become_op(graph, root, graph.op(root).clone(), &[found[x]], "merged with the cast before it")
        },
    )
}

/// Whether every element of `from` is one of `to`.
fn holds_all(to: ElementType, from: ElementType) -> bool {
    use ElementType as E;
    let (Some(wide), narrow) = (digits(to), digits(from)) else { return false };
    let Some(narrow) = narrow else { return from == E::Bool };
    if from.is_float() {
        // Of the 16-bit floats, neither holds the range and the digits of the other.
        return to == from || to.is_float() && to.bits() > from.bits();
    }
    let is_signed = |element| matches!(element, E::I8 | E::I16 | E::I32 | E::I64);
    wide >= narrow && (to.is_float() || is_signed(to) || !is_signed(from))
}

/// How many binary digits of a whole number an element holds; the least negative of signed integers has one.
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
