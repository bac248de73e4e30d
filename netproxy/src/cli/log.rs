//! The log: on stderr, so that stdout holds nothing but what was asked for.

use std::io::{self, IsTerminal as _};

use anyhow::Context as _;
use clap::{Args, ValueEnum};
use tracing_subscriber::EnvFilter;

/// Where the filter is looked for, first come first served.
const VARIABLES: [&str; 2] = ["NETPROXY_LOG", "RUST_LOG"];
/// Holds unless the filter says otherwise: this library warns at every attempt of what we tell once.
const ALWAYS: &str = "kube_runtime=error";

/// How to log.
#[derive(Clone, Copy, Debug, Args)]
pub(super) struct LogArgs {
    #[arg(
        long,
        help = "How log lines are written to stderr; NETPROXY_LOG (else RUST_LOG) in the \
                environment chooses which: `debug`, `info,netproxy::datapath=trace` [default: text]",
        global = true,
        value_enum,
        value_name = "FORMAT",
        env = "NETPROXY_LOG_FORMAT"
    )]
    log_format: Option<LogFormat>,
}

/// How the agent's configuration wants it, unless flags and the environment say otherwise.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct LogWish {
    /// klog's: 0 for information, 4 for debugging, more for all.
    pub(super) verbosity: i32,
    /// One JSON object per line.
    pub(super) is_json: bool,
}

/// The form of a log line.
#[derive(Clone, Copy, Debug, ValueEnum)]
enum LogFormat {
    /// For people
    Text,
    /// One JSON object per line
    Json,
}

impl LogArgs {
    /// Starts logging.
    ///
    /// # Errors
    /// A filter that cannot be read, or logging was started before.
    pub(super) fn init(self, wish: LogWish) -> anyhow::Result<()> {
        let subscriber = tracing_subscriber::fmt()
            .with_env_filter(filter(|name| std::env::var(name).ok(), wish.verbosity)?)
            .with_writer(io::stderr);
        let wished = if wish.is_json {
            LogFormat::Json
        } else {
            LogFormat::Text
        };
        match self.log_format.unwrap_or(wished) {
            LogFormat::Text => subscriber.with_ansi(io::stderr().is_terminal()).try_init(),
            LogFormat::Json => subscriber.json().flatten_event(true).try_init(),
        }
        .map_err(|error| anyhow::anyhow!("the log: {error}"))
    }
}

/// The filter of the first variable that is set; of klog's verbosity if none is.
fn filter(variable: impl Fn(&str) -> Option<String>, verbosity: i32) -> anyhow::Result<EnvFilter> {
    for name in VARIABLES {
        if let Some(value) = variable(name).filter(|value| !value.is_empty()) {
            return EnvFilter::try_new(format!("{ALWAYS},{value}")).with_context(|| {
                format!(
                    "{name}={value}: not a log filter; write for example {name}=debug or unset it"
                )
            });
        }
    }
    // Kubernetes' conventions: up to 3 are for operators, 4 is for debugging, 5 for tracing.
    let level = match verbosity {
        ..4 => "info",
        4 => "info,netproxy=debug",
        5.. => "debug,netproxy=trace",
    };
    Ok(EnvFilter::new(format!("{ALWAYS},{level}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn filter_of(set: &[(&str, &str)]) -> anyhow::Result<String> {
        let lookup = |name: &str| {
            set.iter()
                .find(|(known, _)| *known == name)
                .map(|(_, value)| (*value).to_owned())
        };
        filter(lookup, 0).map(|filter| filter.to_string())
    }

    #[test]
    fn our_own_variable_comes_before_the_common_one() {
        let both = [("RUST_LOG", "trace"), ("NETPROXY_LOG", "warn")];

        assert_eq!(filter_of(&both).unwrap(), "kube_runtime=error,warn");
        assert_eq!(filter_of(&both[..1]).unwrap(), "kube_runtime=error,trace");
        assert_eq!(filter_of(&[]).unwrap(), "kube_runtime=error,info");
    }

    #[test]
    fn what_is_quiet_by_default_can_be_heard() {
        let set = [("NETPROXY_LOG", "info,kube_runtime=debug")];

        assert_eq!(filter_of(&set).unwrap(), "kube_runtime=debug,info");
    }

    #[test]
    fn verbosity_is_klogs_where_no_variable_is_set() {
        let of = |verbosity| filter(|_| None, verbosity).unwrap().to_string();

        assert_eq!(of(0), "kube_runtime=error,info");
        assert_eq!(of(2), "kube_runtime=error,info");
        assert_eq!(of(4), "kube_runtime=error,netproxy=debug,info");
        assert_eq!(of(9), "kube_runtime=error,netproxy=trace,debug");
    }

    #[test]
    fn a_wrong_filter_is_named_with_its_variable() {
        let error = filter_of(&[("NETPROXY_LOG", "netproxy=loud")]).unwrap_err();

        assert!(error.to_string().starts_with("NETPROXY_LOG=netproxy=loud"));
    }
}
