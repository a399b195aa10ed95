//! The element types that operators accept, by version: the type constraints of their schemas.
//!
//! Inference computes types from the operands, whatever the version. A rule that inserts an operator must also know
//! that the model's opset has it for these types and that a runtime has a kernel for it: see [`Dialect`].

use super::{Op, OpKind, OpaqueOp};
use crate::{ElementType, HashMap};
use std::sync::{LazyLock, OnceLock};

#[path = "types/table.rs"]
mod table;

/// A limit on the operators that may be inserted into a graph; see [`Graph::set_dialect`](crate::Graph::set_dialect).
///
/// ```
/// use netwright_ir::{Dialect, ElementType, Op, op::GeluApproximation};
/// let gelu = Op::Gelu { approximate: GeluApproximation::None };
/// let refusal = |opset, element, with_kernels| {
///     let dialect = Dialect { opset, with_kernels, lowered: &[] };
///     dialect.allows(&gelu, &[Some(element)], &[Some(element)]).err()
/// };
/// assert_eq!(refusal(20, ElementType::F32, true), None);
/// assert_eq!(refusal(20, ElementType::F64, false), None);
/// assert_eq!(refusal(20, ElementType::F64, true).unwrap(), "ONNX Runtime has no kernel of the operator for f64");
/// assert_eq!(refusal(20, ElementType::I32, false).unwrap(), "the operator does not accept i32 at opset 20");
/// let since = "the operator requires opset 20, but the model has opset 19";
/// assert_eq!(refusal(19, ElementType::F32, false).unwrap(), since);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Dialect {
    /// The opset of the model.
    pub opset: i64,
    /// Whether ONNX Runtime must also have a CPU kernel for the types. bf16 is exempt: ONNX Runtime has hardly any CPU
    /// kernels for it, so a model in bf16 is meant for another provider. f16 is exempt too: where it has no kernel,
    /// ONNX Runtime casts to f32.
    pub with_kernels: bool,
    /// The operators that later raise the model's opset or, if that is not possible, are decomposed at the end: for
    /// them the limit is the first opset that has them, if that is newer.
    pub lowered: &'static [OpKind],
}

impl Dialect {
    /// Checks that the operator accepts operands and results of these element types; `None` is an unknown type.
    ///
    /// # Errors
    /// A sentence that names the conflict. An operator without known type constraints is allowed.
    pub fn allows(
        &self,
        op: &Op,
        operands: &[Option<ElementType>],
        results: &[Option<ElementType>],
    ) -> Result<(), String> {
        let Some((version, types)) = self.types(op)? else { return Ok(()) };
        for (roles, elements) in [(&types.operands, operands), (&types.results, results)] {
            for (at, element) in elements.iter().enumerate() {
                let (Some(role), Some(element)) = (roles.get(at), element) else { continue };
                if !role.takes.contains(*element) {
                    return Err(format!("the operator does not accept {element} at opset {version}"));
                }
                let is_asked = self.with_kernels && !matches!(element, ElementType::F16 | ElementType::BF16);
                if is_asked && !role.runs.contains(*element) {
                    return Err(format!("ONNX Runtime has no kernel of the operator for {element}"));
                }
            }
        }
        Ok(())
    }

    /// Whether the operator accepts this element type for the operand at an index, whatever the other operands are;
    /// `false` for operators without known type constraints. An operand that is an attribute at the opset must
    /// have a type that the first operand may have there, and that the operand may have in the newest version.
    pub fn accepts(&self, op: &Op, operand: usize, element: ElementType) -> bool {
        let Ok(Some((_, types))) = self.types(op) else { return false };
        let takes = |types: &Types, at: usize| types.operands.get(at).is_some_and(|role| role.takes.contains(element));
        if types.operands.get(operand).is_some() {
            return takes(types, operand);
        }
        let newest = versions(op.kind().name()).last();
        takes(types, 0) && newest.is_some_and(|newest| takes(newest, operand))
    }

    /// Returns the opset that limits an operator, and its type constraints there; `None` if there are none.
    fn types(&self, op: &Op) -> Result<Option<(i64, &'static Types)>, String> {
        let (versions, version) = match op {
            Op::Opaque(opaque) => (versions_of(opaque), opaque.version),
            _ => (versions(op.kind().name()), self.opset),
        };
        let Some(first) = versions.first() else { return Ok(None) };
        let version = if self.lowered.contains(&op.kind()) { version.max(first.since) } else { version };
        let Some(types) = versions.iter().rev().find(|types| types.since <= version) else {
            return Err(format!("the operator requires opset {}, but the model has opset {version}", first.since));
        };
        Ok(Some((version, types)))
    }
}

/// A set of element types.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Set(u64);

impl Set {
    const ALL: Set = Set(u64::MAX);

    fn of(at: &str) -> Option<Set> {
        let words = table::SETS.get(at.parse::<usize>().ok()?)?;
        let elements = words.split(' ').filter_map(|word| word.parse::<ElementType>().ok());
        Some(elements.fold(Set(0), |set, element| Set(set.0 | 1 << element.number())))
    }

    fn contains(self, element: ElementType) -> bool {
        self.0 >> element.number() & 1 == 1
    }
}

/// The element types of an operand or a result.
#[derive(Clone, Copy, Debug)]
struct Role {
    /// The types that the standard allows.
    takes: Set,
    /// The types for which ONNX Runtime has a kernel; all if it has no kernel at all.
    runs: Set,
    /// The type variable, by its position in the line: all that have it are of one type.
    variable: Option<usize>,
}

/// The element types of the operands or the results of a version.
#[derive(Clone, Debug)]
struct Roles {
    roles: Vec<Role>,
    /// Whether the last operand or result may repeat.
    repeats: bool,
}

impl Roles {
    fn get(&self, at: usize) -> Option<&Role> {
        self.roles.get(at).or_else(|| self.roles.last().filter(|_| self.repeats))
    }
}

/// The element types of a version of an operator.
#[derive(Clone, Debug)]
struct Types {
    since: i64,
    operands: Roles,
    results: Roles,
}

/// Returns the versions of an operator, oldest first; none if it is unknown.
fn versions(operator: &str) -> &'static [Types] {
    // Few operators are asked for, so that only their lines are parsed.
    type Row = (&'static [&'static str], OnceLock<Vec<Types>>);
    static ROWS: LazyLock<HashMap<&str, Row>> = LazyLock::new(|| {
        let names = table::TYPES.iter().flat_map(|(names, lines)| names.split(' ').map(move |name| (name, *lines)));
        names.map(|(name, lines)| (name, (lines, OnceLock::new()))).collect()
    });
    let Some((lines, versions)) = ROWS.get(operator) else { return &[] };
    versions.get_or_init(|| lines.iter().filter_map(|line| types(line)).collect())
}

impl OpaqueOp {
    /// Returns whether the type constraints of the operator are known: it is one of ONNX or of ONNX Runtime.
    pub fn is_known(&self) -> bool {
        !versions_of(self).is_empty()
    }
}

/// Returns the versions of an opaque operator, oldest first; none if it is unknown.
fn versions_of(opaque: &OpaqueOp) -> &'static [Types] {
    if opaque.domain.is_empty() {
        versions(&opaque.op_type)
    } else {
        versions(&format!("{}.{}", opaque.domain, opaque.op_type))
    }
}

/// Returns the element type of a result of an opaque operator by its type constraints: that of an operand with the same
/// type variable, or the only type that the result may have; `None` if it follows from neither.
pub(crate) fn result_element(
    opaque: &OpaqueOp,
    result: usize,
    operands: &[Option<ElementType>],
) -> Option<ElementType> {
    let types = versions_of(opaque).iter().rev().find(|types| types.since <= opaque.version)?;
    let role = types.results.get(result)?;
    let is_same = |at: &usize| role.variable.is_some() && types.operands.roles[*at].variable == role.variable;
    let given = (0..types.operands.roles.len()).filter(is_same).find_map(|at| operands.get(at).copied().flatten());
    given.or_else(|| {
        let mut all = ElementType::ALL.iter().copied().filter(|element| role.takes.contains(*element));
        all.next().filter(|_| all.next().is_none())
    })
}

/// Parses a line of the table.
fn types(line: &str) -> Option<Types> {
    let (since, rest) = line.split_once(' ')?;
    let (operands, rest) = rest.split_once(':')?;
    let mut words = rest.split(' ');
    let (mut results, mut variables) = (vec![], HashMap::default());
    for word in words.by_ref() {
        match word.split_once('=') {
            Some((variable, sets)) => {
                let (takes, runs) = sets.split_once('/').map_or((sets, None), |(takes, runs)| (takes, Some(runs)));
                let runs = runs.map_or(Some(Set::ALL), Set::of)?;
                let number = Some(variables.len());
                variables.insert(variable, Role { takes: Set::of(takes)?, runs, variable: number });
            }
            None => results.push(word),
        }
    }
    let roles = |words: &[&str]| {
        let roles = words.iter().filter(|word| !word.is_empty()).map(|word| {
            let word = word.trim_end_matches('*');
            let fixed = |takes| Role { takes, runs: Set::ALL, variable: None };
            let fixed = || fixed(Set::of(word).unwrap_or(Set::ALL));
            variables.get(word).copied().unwrap_or_else(fixed)
        });
        Roles { roles: roles.collect(), repeats: words.last().is_some_and(|word| word.ends_with('*')) }
    };
    let operands: Vec<&str> = operands.split(' ').collect();
    Some(Types { since: since.parse().ok()?, operands: roles(&operands), results: roles(&results) })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::infer::Call;

    fn refusal(op: &Op, opset: i64, operands: &[ElementType], with_kernels: bool) -> Option<String> {
        let operands: Vec<_> = operands.iter().copied().map(Some).collect();
        Dialect { opset, with_kernels, lowered: &[OpKind::RotaryEmbedding] }.allows(op, &operands, &[]).err()
    }

    #[test]
    fn every_line_of_the_table_is_parsed() {
        let lines: usize = table::TYPES.iter().map(|(names, lines)| names.split(' ').count() * lines.len()).sum();
        let read: usize =
            table::TYPES.iter().flat_map(|(names, _)| names.split(' ')).map(|name| versions(name).len()).sum();
        assert_eq!(read, lines);
        for (at, words) in table::SETS.iter().enumerate() {
            let set = Set::of(&at.to_string()).unwrap();
            assert_eq!(set.0.count_ones() as usize, words.split(' ').count(), "{words}");
        }
    }

    /// The schemas list the versions too: those of the rows must be among them.
    #[test]
    fn rows_have_the_versions_of_the_schemas() {
        for kind in OpKind::ALL.iter().filter(|kind| !kind.is_fused()) {
            let types = versions(kind.name());
            // ONNX has deprecated the version of opset 18, so the schemas leave it out.
            let first = if *kind == OpKind::GroupNormalization { Some(21) } else { kind.since() };
            assert_eq!(types.first().map(|types| types.since), first, "{}", kind.name());
            for Types { since, .. } in types {
                let is_known = kind.versions().iter().any(|version| version.since == *since);
                assert!(is_known, "{} has no version at opset {since} in the schemas", kind.name());
            }
        }
    }

    #[test]
    fn types_by_version() {
        use ElementType::{BF16, Bool, F16, F32, F64, I8, I32, I64};
        for (op, opset, operands, expected) in [
            (Op::Mul, 7, vec![F32, F32], None),
            (Op::Mul, 13, vec![BF16, BF16], None),
            (Op::Mul, 12, vec![BF16, BF16], Some("the operator does not accept bf16 at opset 12")),
            (Op::Mul, 13, vec![I8, I8], Some("the operator does not accept i8 at opset 13")),
            (Op::Mul, 14, vec![I8, I8], None),
            (Op::Concat { axis: 0 }, 13, vec![F64, F64, Bool], None),
            (Op::Concat { axis: 0 }, 3, vec![F64, F64, Bool], Some("the operator does not accept bool at opset 3")),
            (Op::Where, 9, vec![F32, F32, F32], Some("the operator does not accept f32 at opset 9")),
            (Op::Where, 9, vec![Bool, BF16, BF16], Some("the operator does not accept bf16 at opset 9")),
            (
                Op::Reshape { allowzero: false },
                13,
                vec![F16, I32],
                Some("the operator does not accept i32 at opset 13"),
            ),
            (Op::Reshape { allowzero: false }, 13, vec![F16, I64], None),
            (
                Op::Trilu { upper: true },
                13,
                vec![F32],
                Some("the operator requires opset 14, but the model has opset 13"),
            ),
            // It may be inserted at any opset, and later raises the model's opset or is decomposed.
            (
                Op::RotaryEmbedding { interleaved: false, num_heads: None, rotary_embedding_dim: 0 },
                13,
                vec![F32; 3],
                None,
            ),
            (
                Op::RotaryEmbedding { interleaved: false, num_heads: None, rotary_embedding_dim: 0 },
                13,
                vec![F64; 3],
                Some("the operator does not accept f64 at opset 23"),
            ),
        ] {
            assert_eq!(refusal(&op, opset, &operands, false).as_deref(), expected);
        }
    }

    #[test]
    fn operands_accept_types() {
        for (op, opset, operand, element, expected) in [
            (Op::Where, 13, 0, ElementType::Bool, true),
            (Op::Where, 13, 0, ElementType::F32, false),
            (Op::Where, 13, 2, ElementType::F32, true),
            (Op::Where, 13, 3, ElementType::F32, false),
            (Op::ScaledSoftmax { axis: -1, scale: 1.0 }, 13, 0, ElementType::F32, false),
            // An operand that was an attribute.
            (Op::Slice, 9, 1, ElementType::I64, true),
            (Op::Slice, 9, 1, ElementType::F32, false),
        ] {
            let dialect = Dialect { opset, with_kernels: false, lowered: &[] };
            assert_eq!(dialect.accepts(&op, operand, element), expected, "{op:?} {operand} {element}");
        }
    }

    #[test]
    fn kernels_are_required_if_requested() {
        use ElementType::{BF16, Bool, F16, F64, I8};
        let opaque = |domain: &str, op_type: &str| {
            let (domain, overload) = (domain.into(), "".into());
            Op::Opaque(Box::new(OpaqueOp {
                domain,
                op_type: op_type.into(),
                overload,
                version: if op_type == "Erf" { 13 } else { 1 },
                attributes: vec![],
                call: Call::default(),
            }))
        };
        let contrib = |op_type: &str| opaque("com.microsoft", op_type);
        for (op, element, expected) in [
            (opaque("", "Unsqueeze"), F64, None),
            (opaque("", "Erf"), Bool, Some("the operator does not accept bool at opset 13")),
            (contrib("FusedMatMul"), F64, None),
            (contrib("QuickGelu"), F64, Some("ONNX Runtime has no kernel of the operator for f64")),
            (contrib("QuickGelu"), F16, None),
            (contrib("QuickGelu"), BF16, None),
            (contrib("QuickGelu"), I8, Some("the operator does not accept i8 at opset 1")),
            (contrib("Unheard"), I8, None),
        ] {
            assert_eq!(refusal(&op, 21, &[element, element], true).as_deref(), expected);
            let Op::Opaque(opaque) = op else { unreachable!("all are opaque") };
            assert_eq!(opaque.is_known(), &*opaque.op_type != "Unheard");
        }
    }
}
