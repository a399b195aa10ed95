use super::check;

#[test]
fn texts() {
    for (body, expected) in [
        ("%a = string_concat %s, string[] [\"x\"]", "string[2, 3]"),
        ("%a = string_concat %s, %i", "string_concat: operand 1 must be of string, but its element type is i64"),
        ("%a, %k = string_split %s {delimiter = \",\", maxsplit = 2}", "string[2, 3, ?], i64[2, 3]"),
        ("%a = regex_full_match %s {pattern = \"a*\"}", "bool[2, 3]"),
        ("%a = string_normalizer string[2] [\"a\", \"b\"] {case_change_action = \"LOWER\"}", "string[2]"),
        ("%a = string_normalizer string[1, 2] [\"a\", \"b\"] {stopwords = texts[\"a\"]}", "string[1, ?]"),
        ("%a = string_normalizer %s", "string_normalizer: the number of rows and 1 differ: 2 ≠ 1"),
        (
            "%a = string_normalizer string[] [\"a\"]",
            "string_normalizer: operand 0 must have rank 1 or 2, but has rank 0",
        ),
    ] {
        check(body, expected);
    }
}

#[test]
fn n_grams() {
    let attributes = "mode = \"TF\", min_gram_length = 1, max_gram_length = 1, max_skip_count = 0, ngram_counts = [0]";
    for (operand, more, expected) in [
        ("%i", "ngram_indexes = [0, 4, 2], pool_int64s = [1, 2, 3]", "f32[2, 5]"),
        ("string[2] [\"a\", \"b\"]", "ngram_indexes = [0, 1], pool_strings = texts[\"a\", \"b\"]", "f32[2]"),
        ("%i", "ngram_indexes = [0]", "tf_idf_vectorizer: it requires exactly one of `pool_int64s` and `pool_strings`"),
        (
            "%s",
            "ngram_indexes = [0], pool_int64s = [1]",
            "tf_idf_vectorizer: operand 0 must be of i64 or i32, but its element type is string",
        ),
        ("%i", "ngram_indexes = [-1], pool_int64s = [1]", "tf_idf_vectorizer: the index -1 of an n-gram is negative"),
        ("%i", "ngram_indexes = [], pool_int64s = []", "tf_idf_vectorizer: `ngram_indexes` must not be empty"),
        (
            "%i",
            "ngram_indexes = [0], pool_int64s = [1], weights = floats[1.0, 2.0]",
            "tf_idf_vectorizer: the numbers of weights and of n-grams differ: 2 ≠ 1",
        ),
        ("%i", "ngram_indexes = [9223372036854775807], pool_int64s = [1]", "f32[2, ?]"),
    ] {
        check(&format!("%a = tf_idf_vectorizer {operand} {{{attributes}, {more}}}"), expected);
    }
}
