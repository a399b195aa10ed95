//! The names that are nearest to a misspelled one.

/// The least similarity of a name that is suggested.
const MIN_SIMILARITY: f64 = 0.7;

/// Longer words are not compared: names in a file may have any length.
const MAX_LENGTH: usize = 200;

/// The least number of letters of an abbreviation.
const MIN_ABBREVIATION: usize = 3;

/// The maximum number of names that are listed in an error.
const MAX_LISTED: usize = 20;

/// Returns the names that are nearest to a word: those with which it has the largest share of letters in common.
///
/// At most `most` are returned, the nearest first, equally near ones in alphabetical order; they may be far. Words and
/// names of more than 200 letters are left out.
///
/// ```
/// use netwright_ir::nearest::nearest;
/// assert_eq!(nearest("batsh", ["seq", "batch"], 1), ["batch"]);
/// ```
pub fn nearest<'n>(word: &str, known: impl IntoIterator<Item = &'n str>, most: usize) -> Vec<&'n str> {
    let word: Vec<char> = word.chars().take(MAX_LENGTH + 1).collect();
    if word.len() > MAX_LENGTH {
        return vec![];
    }
    let known = known.into_iter().filter(|name| name.len() <= MAX_LENGTH);
    let mut ranked: Vec<(f64, &str)> = known.map(|name| (similarity(&word, name), name)).collect();
    ranked.sort_by(|(a, first), (b, second)| b.total_cmp(a).then(first.cmp(second)));
    ranked.into_iter().take(most).map(|(_, name)| name).collect()
}

/// Returns the name that a word is likely to mean: the nearest, if most of their letters are the same.
pub fn meant<'n>(word: &str, known: impl IntoIterator<Item = &'n str>) -> Option<&'n str> {
    let name = *nearest(word, known, 1).first()?;
    let word: Vec<char> = word.chars().collect();
    (similarity(&word, name) >= MIN_SIMILARITY).then_some(name)
}

/// Returns the only name that a word abbreviates or extends, as `seq` and `batch_size` do `sequence` and `batch`.
fn related<'n>(word: &str, known: &[&'n str]) -> Option<&'n str> {
    let extends = |name: &str| word.strip_prefix(name).is_some_and(|rest| rest.starts_with(['_', '-']));
    let abbreviates = |name: &str| word.len() >= MIN_ABBREVIATION && name.starts_with(word);
    let mut found = known.iter().copied().filter(|name| extends(name) || abbreviates(name));
    found.next().filter(|_| found.next().is_none())
}

/// Returns help for an unknown word: the names that contain it, ignoring case, if there are many names and several
/// contain it; otherwise the likely name, all names, or the nearest of many. Control characters in names are escaped,
/// because names may come from a file.
///
/// ```
/// use netwright_ir::nearest::suggestion;
/// assert_eq!(suggestion("int5", &["int4", "none"]), "did you mean `int4`?");
/// assert_eq!(suggestion("cuda", &["tract", "ort"]), "choose from tract, ort");
/// ```
pub fn suggestion(word: &str, known: &[&str]) -> String {
    let containing = if known.len() > MAX_LISTED { containing(word, known) } else { vec![] };
    if containing.len() > 1 {
        return format!("choose from the names that contain it: {}", listed(&containing));
    }
    if let Some(name) = meant(word, known.iter().copied()).or_else(|| related(word, known)) {
        return format!("did you mean `{}`?", name.escape_debug());
    }
    match known.len() {
        0 => "there are none".to_owned(),
        1..=MAX_LISTED => format!("choose from {}", listed(known)),
        _ => match containing.first() {
            None => format!("the nearest are {}", listed(&nearest(word, known.iter().copied(), 5))),
            Some(name) => format!("did you mean `{}`?", name.escape_debug()),
        },
    }
}

/// Returns the names that contain a word of three letters or more, in letters of either case.
fn containing<'n>(word: &str, known: &[&'n str]) -> Vec<&'n str> {
    let word = word.to_lowercase();
    if !(MIN_ABBREVIATION..=MAX_LENGTH).contains(&word.len()) {
        return vec![];
    }
    known.iter().copied().filter(|name| name.to_lowercase().contains(&word)).collect()
}

/// Lists names for an error; of many only the first.
///
/// ```
/// use netwright_ir::nearest::listed;
/// assert_eq!(listed(&["a", "b"]), "a, b");
/// assert_eq!(listed(&["x"; 30]).split(", ").last(), Some("x and 10 more"));
/// ```
pub fn listed(names: &[&str]) -> String {
    let shown: Vec<String> = names.iter().take(MAX_LISTED).map(|name| name.escape_debug().to_string()).collect();
    let more = names.len().saturating_sub(MAX_LISTED);
    shown.join(", ") + &if more > 0 { format!(" and {more} more") } else { String::new() }
}

/// Returns the share of the letters of both words that are in their longest common subsequence: 1 if they are equal.
fn similarity(word: &[char], name: &str) -> f64 {
    let name: Vec<char> = name.chars().collect();
    let mut common = vec![0_usize; name.len() + 1];
    for a in word {
        let mut diagonal = 0;
        for (at, b) in name.iter().enumerate() {
            let above = common[at + 1];
            common[at + 1] = if a == b { diagonal + 1 } else { above.max(common[at]) };
            diagonal = above;
        }
    }
    let letters = (word.len() + name.len()).max(1);
    2.0 * common[name.len()] as f64 / letters as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn letters_in_common_are_counted() {
        for (a, b, expected) in [
            ("", "", 0.0),
            ("", "abc", 0.0),
            ("abc", "abc", 1.0),
            ("abcd", "abdc", 0.75),
            ("kitten", "sitting", 8.0 / 13.0),
            ("é", "e", 0.0),
        ] {
            let (left, right): (Vec<char>, Vec<char>) = (a.chars().collect(), b.chars().collect());
            assert_eq!((similarity(&left, b), similarity(&right, a)), (expected, expected), "{a} {b}");
        }
    }

    #[test]
    fn far_names_are_not_meant() {
        assert_eq!(meant("fuse-attentoin", ["fuse-gelu", "fuse-attention"]), Some("fuse-attention"));
        // A word that is left out is nearer than other letters.
        assert_eq!(meant("fuse-softmax", ["fuse-swish", "fuse-scale-softmax"]), Some("fuse-scale-softmax"));
        assert_eq!(meant("everything", ["fuse-attention"]), None);
        assert_eq!(meant(&"x".repeat(300), ["x"]), None);
        assert_eq!(related("batch_size", &["batch", "seq"]), Some("batch"));
        assert_eq!(related("seq", &["batch", "sequence_length"]), Some("sequence_length"));
        assert_eq!(related("seq", &["sequence_length", "sequences"]), None, "two names");
        assert_eq!(related("onnxruntime", &["onnx", "tract"]), None, "another word");
        assert_eq!(meant("x", []), None);
        let many: Vec<String> = (0..30).map(|at| format!("name{at}")).collect();
        let many: Vec<&str> = many.iter().map(String::as_str).collect();
        assert_eq!(suggestion("other", &many), "the nearest are name0, name1, name2, name3, name4");
        assert_eq!(suggestion("other", &["a\u{1b}b"]), "choose from a\\u{1b}b");
        assert_eq!(
            suggestion("AME1", &many),
            "choose from the names that contain it: name1, name10, name11, name12, name13, name14, name15, name16, \
             name17, name18, name19"
        );
        assert!(suggestion("ame", &many).ends_with(", name19 and 10 more"));
        assert_eq!(suggestion("AME29", &many), "did you mean `name29`?");
    }
}
