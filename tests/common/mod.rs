//! What several test files need.

use insta::{Settings, assert_snapshot};
use netwright::nn::Config;

/// Compares a text with `snapshots/FOLDER/NAME.snap`.
pub(crate) fn snapshot(folder: &str, name: &str, text: &str) {
    let mut settings = Settings::clone_current();
    settings.set_snapshot_path(format!("../../snapshots/{folder}"));
    settings.set_prepend_module_to_snapshot(false);
    settings.set_omit_expression(true);
    // The source beside them says more, and stays when lines move.
    settings.add_filter(r"\.rs:\d+:\d+", ".rs:[line]");
    settings.bind(|| assert_snapshot!(name, text));
}

/// The paper's model, with one layer each and few of everything.
pub(crate) fn small() -> Config {
    Config {
        d_model: 16,
        num_heads: 2,
        d_ff: 32,
        encoder_layers: 1,
        decoder_layers: 1,
        vocab_size: 20,
        max_positions: 32,
        ..Config::transformer_base()
    }
}
