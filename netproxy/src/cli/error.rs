//! Errors as people see them: one line, object first.

use std::io::{Error, ErrorKind};

/// The error with its causes in one line (settings that are wrong have one each, indented), and what to do where only privileges are missing. A
/// cause that an outer text already tells is left out.
pub(crate) fn line(error: &anyhow::Error) -> String {
    let mut line = error.to_string();
    for cause in error.chain().skip(1).map(ToString::to_string) {
        if !line.contains(&cause) {
            line.push_str(": ");
            line.push_str(&cause);
        }
    }
    let is_forbidden = error
        .chain()
        .filter_map(|cause| cause.downcast_ref::<Error>())
        .any(|cause| cause.kind() == ErrorKind::PermissionDenied);
    if is_forbidden {
        line.push_str("; run as root");
    }
    line
}

/// Whether whoever read our output has seen enough (`netproxy flows | head`).
pub(crate) fn is_broken_pipe(error: &anyhow::Error) -> bool {
    error
        .downcast_ref::<Error>()
        .is_some_and(|error| error.kind() == ErrorKind::BrokenPipe)
}

#[cfg(test)]
mod tests {
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
    fn missing_privileges_have_a_remedy() {
        let error = anyhow::Error::from(Error::from(ErrorKind::PermissionDenied)).context("links");

        assert_eq!(line(&error), "links: permission denied; run as root");
    }

    #[test]
    fn only_a_broken_pipe_is_no_error() {
        let pipe = anyhow::Error::from(Error::from(ErrorKind::BrokenPipe)).context("stdout");
        let full = anyhow::Error::from(Error::from(ErrorKind::StorageFull));

        assert!(is_broken_pipe(&pipe));
        assert!(!is_broken_pipe(&full));
        assert!(!is_broken_pipe(&anyhow!("something else")));
    }
}
