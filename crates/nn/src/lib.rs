//! The builder DSL: scopes, layers, attention, encoder, decoder, weight binding.
