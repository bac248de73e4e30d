//! What it took to load a program.

use std::time::Duration;

use aya::programs::ProgramInfo;

/// A program that this process has loaded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProgramLoad {
    /// Its name.
    pub program: String,
    /// How many instructions the verifier walked, where the kernel tells; it walks a million at most.
    pub verified_instructions: Option<u32>,
    /// How long the kernel took, most of it for verification.
    pub took: Duration,
}

impl ProgramLoad {
    /// Of the program of that name, as far as the kernel tells of it.
    pub(super) fn new(name: &str, info: Option<ProgramInfo>, took: Duration) -> Self {
        Self {
            program: name.to_owned(),
            verified_instructions: info.and_then(|info| info.verified_instruction_count()),
            took,
        }
    }
}
