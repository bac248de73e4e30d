//! Errors as people see them: one line, object first.

use std::io::ErrorKind;

/// The error with its causes in one line. A cause that an outer text already tells is left out.
pub(crate) fn line(error: &anyhow::Error) -> String {
    let mut line = error.to_string();
    for cause in error.chain().skip(1).map(ToString::to_string) {
        if !line.contains(&cause) {
            line.push_str(": ");
            line.push_str(&cause);
        }
    }
    line
}

/// Whether whoever read our output has seen enough (`netproxy flows | head`).
pub(crate) fn is_broken_pipe(error: &anyhow::Error) -> bool {
    error
        .downcast_ref::<std::io::Error>()
        .is_some_and(|error| error.kind() == ErrorKind::BrokenPipe)
}

#[cfg(test)]
mod tests {
    use std::io::Error;

    use anyhow::anyhow;

    use super::*;

    #[test]
    fn a_cause_is_told_once() {
        let cause = Error::other("not permitted");
        let outer = anyhow::Error::new(cause)
            .context("map NAMES: not permitted")
            .context("services");

        assert_eq!(
            line(&outer),
            "services: map NAMES: not permitted",
            "{outer:?}"
        );
    }

    #[test]
    fn only_a_broken_pipe_is_no_error() {
        let pipe = anyhow::Error::from(Error::from(ErrorKind::BrokenPipe));
        let full = anyhow::Error::from(Error::from(ErrorKind::StorageFull));

        assert!(is_broken_pipe(&pipe));
        assert!(!is_broken_pipe(&full));
        assert!(!is_broken_pipe(&anyhow!("something else")));
    }
}
