//! The command line of Netwright.
fn main() {}
