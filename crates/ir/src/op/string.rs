//! Text.

macro_rules! string {
    ($($before:tt)*) => { unite! { $($before)*
        /// One text behind the other.
        StringConcat "string_concat" [20] Other => infer::strings::concat;
        /// The parts of texts. Results: them along a new last axis, and how many there are.
        StringSplit "string_split" [20] Other {
            /// What stands between parts; white space without one.
            delimiter: Option<Bytes> = None,
            /// The most cuts; as many as there can be without one.
            maxsplit: Option<i64> = None,
        } => infer::strings::split;
        /// Texts without stop words, in one case.
        StringNormalizer "string_normalizer" [10] Other {
            /// What becomes of the case.
            case_change_action: CaseChange = CaseChange::None,
            /// Whether stop words are told apart by case.
            is_case_sensitive: bool = false,
            /// The stop words.
            stopwords: Option<Vec<Bytes>> = None,
            /// The language, by which the case is changed.
            locale: Option<Bytes> = None,
        } => infer::strings::normalize;
        /// Whether the whole text matches a pattern.
        RegexFullMatch "regex_full_match" [20] Other {
            /// The pattern, in the syntax of RE2.
            pattern: Option<Bytes> = None,
        } => infer::strings::matches;
        /// How often n-grams occur, weighted.
        TfIdfVectorizer "tf_idf_vectorizer" [9] Other {
            /// What with.
            mode: TermWeighting,
            /// The least words of an n-gram.
            min_gram_length: i64,
            /// The most words of an n-gram.
            max_gram_length: i64,
            /// The most words between two of an n-gram.
            max_skip_count: i64,
            /// Where in the pool the 1-grams begin, the 2-grams, and so on.
            ngram_counts: Vec<i64>,
            /// The place in the result of each n-gram.
            ngram_indexes: Vec<i64>,
            /// The n-grams, as numbers.
            pool_int64s: Option<Vec<i64>> = None,
            /// The n-grams, as texts.
            pool_strings: Option<Vec<Bytes>> = None,
            /// The weight of each n-gram.
            weights: Option<Vec<f32>> = None,
        } => infer::strings::tf_idf;
    } };
}
