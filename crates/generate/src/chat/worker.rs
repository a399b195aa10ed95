//! A chat template in a child process: one that was made to do harm overflows the stack or uses all memory.

use super::{Chat, Failed, Message};
use crate::GenerateError;
use netwright_verify::VerifyError;
use netwright_verify::child::{ask, limit, receive};
use serde::{Deserialize, Serialize};
use std::io::{BufRead, Write};
use std::path::Path;
use std::time::{Duration, SystemTime};

/// The subcommand that makes the `netwright` binary render one template.
pub const CHAT_SUBCOMMAND: &str = "__chat-worker";

/// The largest address space of the child, in bytes.
const MAX_MEMORY: u64 = 512 << 20;

/// The longest time that a template may take.
const MAX_TIME: Duration = Duration::from_secs(20);

#[derive(Serialize, Deserialize)]
struct Request {
    chat: Chat,
    messages: Vec<Message>,
    now: SystemTime,
}

impl Chat {
    /// Writes the prompt as [`prompt`](Self::prompt) does, in a child process of `program`, which calls [`serve`] when
    /// its argument is [`CHAT_SUBCOMMAND`].
    ///
    /// The child has 20 seconds and 512 MiB of memory; macOS and Windows do not limit its memory.
    ///
    /// # Errors
    ///
    /// As `prompt`, if the child ends without an answer, and if the program cannot be started.
    pub fn prompt_in_child(
        &self,
        program: impl AsRef<Path>,
        messages: &[Message],
        now: SystemTime,
    ) -> Result<String, GenerateError> {
        let program = program.as_ref();
        let failed = |error: &dyn std::error::Error| VerifyError::Worker {
            program: program.to_owned(),
            cause: error.to_string(),
        };
        let request = Request { chat: self.clone(), messages: messages.to_vec(), now };
        let request = serde_json::to_vec(&request).map_err(|error| failed(&error))?;
        let read = |answer: &[u8]| serde_json::from_slice::<Result<String, Failed>>(answer).ok();
        let answer = ask(program, &[CHAT_SUBCOMMAND.into()], &request, MAX_TIME, read);
        let answer = answer.map_err(|error| failed(&error))?;
        let answer = answer.unwrap_or_else(|how| Err(Failed::Limit(format!("cannot be rendered: {how}"))));
        answer.map_err(|why| self.refused(why))
    }
}

/// Renders one template, in the child process: reads the request from `input`, limits its own memory and time, and writes
/// the answer to `output`. The process ends when `input` is closed.
///
/// # Errors
///
/// If the request cannot be read, or the answer cannot be written.
pub fn serve(input: impl BufRead + Send + 'static, mut output: impl Write) -> Result<(), GenerateError> {
    let cannot = |error: &dyn std::error::Error| VerifyError::Request(error.to_string());
    let request = receive(input).map_err(|error| cannot(&error))?;
    let Request { chat, messages, now } = serde_json::from_slice(&request).map_err(|error| cannot(&error))?;
    limit(MAX_MEMORY, MAX_TIME);
    let answer = serde_json::to_vec(&chat.render(&messages, now)).map_err(|error| cannot(&error))?;
    output.write_all(&answer).and_then(|()| output.flush()).map_err(|error| cannot(&error))?;
    Ok(())
}
