//! The parts that differ between operating systems.

#[cfg(unix)]
mod unix;
#[cfg(unix)]
pub(crate) use unix::*;

#[cfg(any(not(unix), test))]
#[cfg_attr(unix, expect(dead_code, reason = "on Unix, tests run the part that decides what is opened"))]
mod other;
#[cfg(not(unix))]
pub(crate) use other::*;
