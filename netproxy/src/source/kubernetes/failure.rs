//! Why the API server cannot be watched, in the words an operator needs.

use std::error::Error;
use std::time::Duration;

use kube::core::Status;
use kube::runtime::watcher;

/// What kind of failure it is; a change of class is worth a line in the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Class {
    /// No answer.
    Unreachable,
    /// The TLS handshake failed.
    Untrusted,
    /// 401.
    Unauthorized,
    /// 403.
    Forbidden,
    /// 410: the server no longer knows where we were. Not an outage, the list begins again.
    Expired,
    /// Another answer with this status code.
    Refused(u16),
    /// An object that does not read as one.
    Malformed,
}

/// One failed attempt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Failure {
    pub(super) class: Class,
    /// In one line.
    pub(super) reason: String,
    /// The server's own message, where it has answered.
    pub(super) message: String,
    /// Whether it was the start of a watch that failed.
    pub(super) is_start: bool,
    /// Whether the watch goes on: one event could not be read.
    pub(super) is_passing: bool,
}

impl Failure {
    /// From an item of kube's watcher.
    pub(super) fn new(error: &watcher::Error) -> Self {
        use watcher::Error::{
            InitialListFailed, NoResourceVersion, WatchError, WatchFailed, WatchStartFailed,
        };
        let status = match error {
            WatchError(status)
            | InitialListFailed(kube::Error::Api(status))
            | WatchStartFailed(kube::Error::Api(status))
            | WatchFailed(kube::Error::Api(status)) => Some(status),
            InitialListFailed(_) | WatchStartFailed(_) | WatchFailed(_) | NoResourceVersion => None,
        };
        let is_start = matches!(error, WatchStartFailed(_));
        let is_passing = matches!(error, WatchFailed(kube::Error::SerdeError(_)));
        if let Some(status) = status {
            return Self {
                class: class_of(status),
                reason: format!("it answers {}: {}", status.code, one_line(&status.message)),
                message: status.message.clone(),
                is_start,
                is_passing,
            };
        }
        let chain = chain(error);
        Self {
            class: match error {
                NoResourceVersion => Class::Malformed,
                InitialListFailed(source) | WatchStartFailed(source) | WatchFailed(source) => {
                    class_of_client(source, &chain)
                }
                WatchError(status) => class_of(status),
            },
            reason: chain,
            message: String::new(),
            is_start,
            is_passing,
        }
    }

    /// A list that has made no progress for `time`.
    pub(super) fn stalled(time: Duration) -> Self {
        Self {
            class: Class::Unreachable,
            reason: format!("the list has made no progress for {} s", time.as_secs()),
            message: String::new(),
            is_start: false,
            is_passing: false,
        }
    }

    /// Whether the server does not have what was asked for, or does not show it to us.
    pub(super) fn is_absence(&self) -> bool {
        matches!(
            self.class,
            Class::Forbidden | Class::Refused(400 | 404 | 405 | 406)
        )
    }

    /// Whether asking once more where the watch had stopped is useless: the server has looked at
    /// the request and refused it, for a reason that time will not mend.
    pub(super) fn needs_new_list(&self) -> bool {
        match self.class {
            Class::Expired => true,
            Class::Refused(code) => self.is_start && (400..500).contains(&code) && code != 429,
            Class::Unreachable
            | Class::Untrusted
            | Class::Unauthorized
            | Class::Forbidden
            | Class::Malformed => false,
        }
    }
}

impl Class {
    /// What to do about it.
    pub(super) fn remedy(self) -> &'static str {
        match self {
            Self::Unreachable => {
                "check that this node reaches the address, or give another address of the API \
                 server"
            }
            Self::Untrusted => "check the CA of the configuration and the address",
            Self::Unauthorized => "check the token or client certificate of the configuration",
            Self::Forbidden => {
                "allow the account to list and watch services, endpointslices and nodes \
                 (ClusterRole system:node-proxier does)"
            }
            Self::Expired => "none needed, the list begins again",
            Self::Refused(_) => "see the API server's log",
            Self::Malformed => "check that the address is a Kubernetes API server's",
        }
    }
}

fn class_of(status: &Status) -> Class {
    match status.code {
        401 => Class::Unauthorized,
        403 => Class::Forbidden,
        410 => Class::Expired,
        code => Class::Refused(code),
    }
}

fn class_of_client(error: &kube::Error, chain: &str) -> Class {
    match error {
        kube::Error::SerdeError(_) | kube::Error::FromUtf8(_) => Class::Malformed,
        kube::Error::Auth(_) => Class::Unauthorized,
        // rustls is only visible as text, behind two layers of boxes.
        _ if chain.contains("certificate") => Class::Untrusted,
        _ => Class::Unreachable,
    }
}

/// The error and what caused it, each once, in one line.
fn chain(error: &(dyn Error + 'static)) -> String {
    let mut text = String::new();
    let mut next = Some(error);
    while let Some(cause) = next {
        let line = one_line(&cause.to_string());
        if !text.contains(&line) {
            if !text.is_empty() {
                text.push_str(": ");
            }
            text.push_str(&line);
        }
        next = cause.source();
    }
    text
}

fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use std::io;

    use watcher::Error::{InitialListFailed, WatchError, WatchFailed, WatchStartFailed};

    use super::*;

    fn status(code: u16) -> Box<Status> {
        Status::failure("no such\n luck", "")
            .with_code(code)
            .boxed()
    }

    #[test]
    fn answers_are_told_by_their_code() {
        for (code, class) in [
            (401, Class::Unauthorized),
            (403, Class::Forbidden),
            (410, Class::Expired),
            (422, Class::Refused(422)),
        ] {
            for error in [
                WatchError(status(code)),
                InitialListFailed(kube::Error::Api(status(code))),
                WatchStartFailed(kube::Error::Api(status(code))),
            ] {
                let failure = Failure::new(&error);
                assert_eq!(failure.class, class);
                assert_eq!(failure.reason, format!("it answers {code}: no such luck"));
            }
        }
    }

    #[test]
    fn only_what_time_cannot_mend_is_listed_anew() {
        for (code, expected) in [
            (404, true),
            (410, true),
            (401, false),
            (403, false),
            (429, false),
            (500, false),
            (503, false),
        ] {
            let failure = Failure::new(&WatchStartFailed(kube::Error::Api(status(code))));
            assert_eq!(failure.needs_new_list(), expected, "{code}");
        }
    }

    #[test]
    fn a_cause_is_told_once_and_in_one_line() {
        let cause = io::Error::other("connection\nrefused");
        let error = WatchFailed(kube::Error::ReadEvents(cause));

        let failure = Failure::new(&error);

        assert_eq!(failure.class, Class::Unreachable);
        assert_eq!(
            failure.reason,
            "watch stream failed: Error reading events stream: connection refused"
        );
    }

    #[test]
    fn one_unreadable_event_is_passing_but_an_unreadable_list_is_not() {
        let malformed = || {
            let error = serde_json::from_str::<u8>("x").unwrap_err();
            kube::Error::SerdeError(error)
        };

        let event = Failure::new(&WatchFailed(malformed()));
        let list = Failure::new(&InitialListFailed(malformed()));

        assert!(event.is_passing && !list.is_passing);
        assert_eq!(
            (event.class, list.class),
            (Class::Malformed, Class::Malformed)
        );
    }
}
