//! `netwright clients`: the programs that `build --for` writes folders for.

use crate::failure::Failure;
use crate::layout::Client;
use crate::output::{Output, columns};
use clap::ValueEnum;
use schemars::JsonSchema;
use serde::Serialize;

/// A program that opens what `build --for` writes.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct ClientRow {
    /// The value of `--for`.
    name: String,
    /// The package.
    program: String,
    /// The version with which the folders are tested.
    tested: &'static str,
    /// What is written for it.
    writes: String,
}

impl ClientRow {
    /// Returns the row of a client, whose help is its package and what is written for it.
    fn new(client: Client) -> Option<Self> {
        let value = client.to_possible_value()?;
        let help = value.get_help()?.to_string();
        let (program, writes) = help.split_once(": ")?;
        Some(Self {
            name: value.get_name().to_owned(),
            program: program.to_owned(),
            tested: client.tested(),
            writes: writes.to_owned(),
        })
    }
}

/// Lists the clients.
pub(crate) fn run(output: Output) -> Result<(), Failure> {
    let clients: Vec<ClientRow> = Client::value_variants().iter().copied().filter_map(ClientRow::new).collect();
    output.report(&clients, || {
        let row = |client: &ClientRow| {
            [client.name.clone(), client.program.clone(), client.tested.to_owned(), client.writes.clone()]
        };
        let head = ["--for", "program", "tested", "writes"].map(ToOwned::to_owned);
        columns(&std::iter::once(head).chain(clients.iter().map(row)).collect::<Vec<_>>())
    })
}

#[cfg(test)]
mod tests {
    use super::{ClientRow, ValueEnum};
    use crate::layout::Client;
    use std::path::Path;

    /// The versions are those that `tests/interop/clients` installs.
    #[test]
    fn versions_are_those_of_the_tests() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/interop/clients");
        let read = |name: &str| std::fs::read_to_string(folder.join(name)).expect("a file of the tests");
        let installed = read("requirements.txt") + &read("clients.py");
        for client in Client::value_variants() {
            let ClientRow { program, tested, .. } = ClientRow::new(*client).expect("its help names the package");
            let is_installed = [format!("{program}=={tested}\n"), format!("@huggingface/transformers@{tested}`")]
                .iter()
                .any(|pin| installed.contains(pin));
            assert!(is_installed, "{program} {tested}");
        }
    }
}
