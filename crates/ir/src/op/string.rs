//! Strings.

macro_rules! string {
    ($($before:tt)*) => { unite! { $($before)*
        /// Concatenates strings element by element.
        StringConcat "string_concat" [20] Other => infer::strings::concat;
        /// Splits strings. Results: the parts along a new last axis, and their numbers.
        StringSplit "string_split" [20] Other {
            /// The delimiter; the default is white space.
            delimiter: Option<Bytes> = None,
            /// The maximum number of splits; the default is unlimited.
            maxsplit: Option<i64> = None,
        } => infer::strings::split;
        /// Removes stop words and changes the case of strings.
        StringNormalizer "string_normalizer" [10] Other {
            /// How the case changes.
            case_change_action: CaseChange = CaseChange::None,
            /// Whether stop words are case-sensitive.
            is_case_sensitive: bool = false,
            /// The stop words.
            stopwords: Option<Vec<Bytes>> = None,
            /// The locale for changing case.
            locale: Option<Bytes> = None,
        } => infer::strings::normalize;
        /// Whether the whole string matches a pattern.
        RegexFullMatch "regex_full_match" [20] Other {
            /// The pattern, in the syntax of RE2.
            pattern: Option<Bytes> = None,
        } => infer::strings::matches;
        /// Counts n-grams, optionally weighted.
        TfIdfVectorizer "tf_idf_vectorizer" [9] Other {
            /// The weighting.
            mode: TermWeighting,
            /// The minimum number of words of an n-gram.
            min_gram_length: i64,
            /// The maximum number of words of an n-gram.
            max_gram_length: i64,
            /// The maximum number of words skipped between two words of an n-gram.
            max_skip_count: i64,
            /// The start in the pool of the 1-grams, the 2-grams, and so on.
            ngram_counts: Vec<i64>,
            /// The index in the result of each n-gram.
            ngram_indexes: Vec<i64>,
            /// The n-grams as integers.
            pool_int64s: Option<Vec<i64>> = None,
            /// The n-grams as strings.
            pool_strings: Option<Vec<Bytes>> = None,
            /// The weight of each n-gram.
            weights: Option<Vec<f32>> = None,
        } => infer::strings::tf_idf;
    } };
}
