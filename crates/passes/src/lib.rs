//! Patterns, rules, the pipeline that runs and explains them, and lowering for a target.
