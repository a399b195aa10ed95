//! ONNX's own operators: the opsets of the default domain that introduced each version.
//!
//! They are in the IR's operator table, which was generated from the schemas of ONNX 1.23.2 (opset 28); if two schemas
//! do not show whether a node changes, the documentation of both versions was compared.

use netwright_ir::OpKind;
use std::cmp::Ordering;

/// The effect of a version on nodes written before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Change {
    /// They mean the same.
    None,
    /// They may mean something else, or be invalid.
    Meaning,
    /// The operator was removed.
    End,
}

/// The versions of operators that are read as other operators and so are not in the IR's table.
const READ_AS_OTHERS: [(&str, &[(i64, Change)]); 3] = [
    (
        "Constant",
        &[
            (1, Change::None),
            (9, Change::None),
            (11, Change::None),
            (12, Change::None),
            (13, Change::None),
            (19, Change::None),
            (21, Change::None),
            (23, Change::None),
            (24, Change::None),
            (25, Change::None),
        ],
    ),
    ("Scatter", &[(9, Change::None), (11, Change::End)]),
    ("Upsample", &[(1, Change::None), (7, Change::Meaning), (9, Change::Meaning), (10, Change::End)]),
];

/// Returns the versions of an operator, oldest first; none if ONNX does not have it.
fn versions(operator: &str) -> impl Iterator<Item = (i64, Change)> {
    let known = OpKind::from_name(operator).map_or(&[][..], OpKind::versions);
    let known =
        known.iter().map(|version| (version.since, if version.keeps_nodes { Change::None } else { Change::Meaning }));
    let others = READ_AS_OTHERS.iter().filter(move |(name, _)| *name == operator);
    known.chain(others.flat_map(|(_, versions)| versions.iter().copied()))
}

/// Returns the first opset that has the operator.
pub(crate) fn since(operator: &str) -> Option<i64> {
    versions(operator).next().map(|(version, _)| version)
}

/// Operators that ONNX Runtime has in the default domain at every opset, while ONNX has them later or not at all.
const OF_ONNX_RUNTIME: [&str; 2] = ["LayerNormalization", "SimplifiedLayerNormalization"];

/// Whether ONNX Runtime runs an operator of the default domain before its first opset.
pub(crate) fn runs_early(operator: &str) -> bool {
    OF_ONNX_RUNTIME.contains(&operator)
}

/// Whether the default domain has the operator in this opset, or ONNX Runtime runs it all the same.
pub(crate) fn knows(opset: i64, operator: &str) -> bool {
    if runs_early(operator) {
        return true;
    }
    let last = versions(operator).take_while(|(version, _)| *version <= opset).last();
    last.is_some_and(|(_, change)| change != Change::End)
}

/// Returns the opset between `from` and `to` that changes the meaning or form of a node of the operator.
///
/// Upward, a version that only adds changes nothing; downward, every version counts, as the node may use what it added.
pub(crate) fn changed_between(operator: &str, from: i64, to: i64) -> Option<i64> {
    let mut versions = versions(operator);
    let changed = match from.cmp(&to) {
        Ordering::Less => {
            versions.find(|(version, change)| from < *version && *version <= to && *change != Change::None)
        }
        Ordering::Equal => None,
        Ordering::Greater => versions.find(|(version, _)| to < *version && *version <= from),
    };
    changed.map(|(version, _)| version)
}

#[cfg(test)]
mod tests {
    use super::{changed_between, knows, since};

    #[test]
    fn operators_begin_and_end() {
        for (opset, operator, expected) in [
            (17, "LayerNormalization", true),
            (16, "LayerNormalization", true),
            (16, "GroupNormalization", false),
            (28, "SwiGLU", true),
            (21, "GroupNormalization", true),
            (8, "Upsample", true),
            (10, "Upsample", false),
            (10, "Scatter", true),
            (11, "Scatter", false),
            (7, "Not", true),
            (21, "Bogus", false),
            (21, "", false),
        ] {
            assert_eq!(knows(opset, operator), expected, "{operator} in opset {opset}");
        }
        assert_eq!(since("Gelu"), Some(20));
        assert_eq!(since("Bogus"), None);
    }

    #[test]
    fn versions_that_change_a_node() {
        for (operator, from, to, expected) in [
            ("Softmax", 11, 12, None),
            ("Softmax", 12, 13, Some(13)),
            ("Softmax", 13, 28, None),
            ("Relu", 7, 28, None),
            ("RoiAlign", 10, 21, Some(16)),
            ("GroupNormalization", 18, 24, Some(21)),
            ("BatchNormalization", 7, 21, Some(9)),
            ("BatchNormalization", 9, 21, Some(14)),
            ("BatchNormalization", 14, 28, None),
            ("Dropout", 10, 11, None),
            ("Resize", 10, 18, Some(11)),
            ("GridSample", 16, 19, None),
            ("GridSample", 16, 20, Some(20)),
            ("DFT", 17, 20, Some(20)),
            ("Scan", 8, 11, Some(9)),
            ("TopK", 9, 24, Some(10)),
            ("TopK", 10, 24, None),
            ("Upsample", 7, 8, None),
            ("Upsample", 9, 10, Some(10)),
            ("Split", 13, 18, Some(18)),
            ("ReduceSum", 13, 18, None),
            ("ReduceMean", 17, 18, Some(18)),
            ("Pad", 13, 24, None),
            ("QuantizeLinear", 10, 28, None),
            // Downward, the node may use what was added.
            ("Pad", 19, 18, Some(19)),
            ("Pad", 25, 11, Some(13)),
            ("Relu", 13, 14, None),
            ("Relu", 14, 13, Some(14)),
            ("LayerNormalization", 17, 16, Some(17)),
            ("Not", 28, 7, None),
            ("Bogus", 7, 28, None),
        ] {
            assert_eq!(changed_between(operator, from, to), expected, "{operator} from {from} to {to}");
        }
    }
}
