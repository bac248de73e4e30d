//! The log: on stderr, so that stdout holds nothing but what was asked for.

use std::io::{self, IsTerminal as _};

use anyhow::Context as _;
use clap::{Args, ValueEnum};
use tracing_subscriber::EnvFilter;

/// Where the filter is looked for, first come first served.
const VARIABLES: [&str; 2] = ["NETPROXY_LOG", "RUST_LOG"];

/// How to log.
#[derive(Clone, Copy, Debug, Args)]
pub(super) struct LogArgs {
    #[arg(
        long,
        help = "How log lines are written to stderr; NETPROXY_LOG (else RUST_LOG) in the \
                environment chooses which: `debug`, `info,netproxy::datapath=trace`",
        global = true,
        value_enum,
        value_name = "FORMAT",
        env = "NETPROXY_LOG_FORMAT",
        default_value_t
    )]
    log_format: LogFormat,
}

/// The form of a log line.
#[derive(Clone, Copy, Debug, Default, ValueEnum)]
enum LogFormat {
    /// For people
    #[default]
    Text,
    /// One JSON object per line
    Json,
}

impl LogArgs {
    /// Starts logging.
    ///
    /// # Errors
    /// A filter that cannot be read, or logging was started before.
    pub(super) fn init(self) -> anyhow::Result<()> {
        let subscriber = tracing_subscriber::fmt()
            .with_env_filter(filter(|name| std::env::var(name).ok())?)
            .with_writer(io::stderr);
        match self.log_format {
            LogFormat::Text => subscriber.with_ansi(io::stderr().is_terminal()).try_init(),
            LogFormat::Json => subscriber.json().flatten_event(true).try_init(),
        }
        .map_err(|error| anyhow::anyhow!("the log: {error}"))
    }
}

/// The filter of the first variable that is set; information and worse if none is.
fn filter(variable: impl Fn(&str) -> Option<String>) -> anyhow::Result<EnvFilter> {
    for name in VARIABLES {
        if let Some(value) = variable(name).filter(|value| !value.is_empty()) {
            return EnvFilter::try_new(&value).with_context(|| {
                format!(
                    "{name}={value}: not a log filter; write for example {name}=debug or unset it"
                )
            });
        }
    }
    Ok(EnvFilter::new("info"))
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
        filter(lookup).map(|filter| filter.to_string())
    }

    #[test]
    fn our_own_variable_comes_before_the_common_one() {
        let both = [("RUST_LOG", "trace"), ("NETPROXY_LOG", "warn")];

        assert_eq!(filter_of(&both).unwrap(), "warn");
        assert_eq!(filter_of(&both[..1]).unwrap(), "trace");
        assert_eq!(filter_of(&[]).unwrap(), "info");
    }

    #[test]
    fn a_wrong_filter_is_named_with_its_variable() {
        let error = filter_of(&[("NETPROXY_LOG", "netproxy=loud")]).unwrap_err();

        assert!(error.to_string().starts_with("NETPROXY_LOG=netproxy=loud"));
    }
}
