//! Passes that remove redundant nodes, and rewrite others into the forms that later passes expect.

mod canonicalize;
mod choose_masked_scores;
mod eliminate_common_subexpressions;
mod eliminate_dead_code;
mod inline_known_branches;
mod merge_mean_factor;
mod resolve_sequences;
mod share_constants_of_bodies;
mod simplify_logic;
mod sink_constants;
mod write_einsum_as_matmul;

pub use canonicalize::canonicalize;
pub use choose_masked_scores::choose_masked_scores;
pub use eliminate_common_subexpressions::eliminate_common_subexpressions;
pub use eliminate_dead_code::eliminate_dead_code;
pub(crate) use inline_known_branches::inline_branch;
pub use inline_known_branches::inline_known_branches;
pub use merge_mean_factor::merge_mean_factor;
pub use resolve_sequences::resolve_sequences;
pub use share_constants_of_bodies::share_constants_of_bodies;
pub use simplify_logic::simplify_logic;
pub use sink_constants::sink_constants;
pub use write_einsum_as_matmul::write_einsum_as_matmul;
