//! What to do about a result that leaves the range of f16.

use netwright::verify::{Comparison, Verdict};

/// The command that compared two models.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Comparing {
    Verify { has_inputs: bool },
    Build,
    Optimize { is_calibrated: bool },
}

/// Returns what to do if outputs of the second model are NaN or infinite because f16 ends at 65504; `None` if they are not.
/// Of a result of `build` and `optimize`, the caller knows that it was converted to f16.
pub(crate) fn cure(verdict: &Verdict, comparing: Comparing) -> Option<String> {
    let Verdict::Differs { run, blame, .. } = verdict else { return None };
    let value = blame.as_ref().filter(|blame| blame.overflows).map(|blame| blame.value.output.as_str());
    if value.is_none() && matches!(comparing, Comparing::Verify { .. })
        || !run.outputs.iter().any(Comparison::becomes_not_finite)
    {
        return None;
    }
    let what = value
        .map_or("a number may leave the range of f16".to_owned(), |value| format!("`{value}` leaves the range of f16"));
    // A quote would end the argument of the shell.
    let pattern = value.map_or("REGEX".to_owned(), |value| format!("'^{}$'", regex::escape(value).replace('\'', ".")));
    Some(match comparing {
        Comparing::Verify { has_inputs } => {
            let own =
                if has_inputs { "" } else { "; if these inputs are larger than yours, give your own with --inputs" };
            format!(
                "{what}: convert the model with --keep-f32 {pattern}, or with --calibrate and inputs like yours{own}"
            )
        }
        Comparing::Build => format!("{what}: add --keep-f32 {pattern}{SMALLER}"),
        Comparing::Optimize { is_calibrated: false } => format!(
            "{what}: add --keep-f32 {pattern}, or --calibrate with inputs like yours, which keeps in f32 all that they make \
             too large{SMALLER}"
        ),
        Comparing::Optimize { is_calibrated: true } => {
            format!("{what}: add --keep-f32 {pattern}, or larger inputs to those of --calibrate{SMALLER}")
        }
    })
}

const SMALLER: &str =
    "; if your inputs are smaller than the generated ones, compare with `netwright verify BEFORE AFTER --inputs FILE`";
