//! kube-proxy's flags that stand for a field of its configuration, made from the table of fields.

use clap::builder::ValueParser;
use clap::parser::ValueSource;
use clap::{Arg, ArgAction, ArgMatches, Args, Command, Error, FromArgMatches};
use netproxy::config::{Field, GivenFlag, KUBE_PROXY_FIELDS, Kind, KubeProxyConfiguration, Role};
use serde_json::Value;

use super::kube_proxy::HEADING;

const HEADING_MEANINGLESS: &str = "kube-proxy's flags without a meaning here";

/// Those that were given.
#[derive(Clone, Debug, Default)]
pub(super) struct FieldFlags(pub(super) Vec<GivenFlag>);

impl Args for FieldFlags {
    fn augment_args(command: Command) -> Command {
        let defaults = serde_json::to_value(KubeProxyConfiguration::default()).unwrap_or_default();
        KUBE_PROXY_FIELDS
            .iter()
            .filter_map(|field| Some(arg(field, field.flag?, &defaults)))
            .fold(command, Command::arg)
    }

    fn augment_args_for_update(command: Command) -> Command {
        Self::augment_args(command)
    }
}

impl FromArgMatches for FieldFlags {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, Error> {
        let mut flags = Vec::new();
        for field in KUBE_PROXY_FIELDS
            .iter()
            .filter(|field| field.flag.is_some())
        {
            for value in matches.get_many::<Value>(field.path).into_iter().flatten() {
                flags.push(GivenFlag {
                    field,
                    value: value.clone(),
                    is_from_environment: matches.value_source(field.path)
                        == Some(ValueSource::EnvVariable),
                });
            }
        }
        Ok(Self(flags))
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), Error> {
        *self = Self::from_arg_matches(matches)?;
        Ok(())
    }
}

fn arg(field: &'static Field, flag: &'static str, defaults: &Value) -> Arg {
    let kind = field.kind;
    let is_meaningless = matches!(field.role, Role::Nothing);
    let (heading, help) = if is_meaningless {
        (HEADING_MEANINGLESS, field.help.to_owned())
    } else {
        (HEADING, help(field, defaults))
    };
    let arg = Arg::new(field.path)
        .long(flag)
        .help(help)
        .help_heading(heading)
        .hide_short_help(is_meaningless)
        .value_name(value_name(kind))
        .value_parser(ValueParser::from(move |text: &str| kind.parse(text)))
        .allow_hyphen_values(matches!(
            kind,
            Kind::Integer | Kind::Number | Kind::Duration
        ));
    let arg = match kind {
        Kind::List | Kind::Gates => arg.action(ArgAction::Append),
        // The last one counts, as in kube-proxy.
        Kind::Bool => arg
            .num_args(0..=1)
            .require_equals(true)
            .default_missing_value("true")
            .overrides_with(field.path),
        Kind::Integer | Kind::Number | Kind::Text | Kind::Duration | Kind::Sizes | Kind::Any => {
            arg.overrides_with(field.path)
        }
    };
    match field.path {
        "hostnameOverride" => arg
            .visible_alias("node-name")
            .env("NODE_NAME")
            .value_name("NAME"),
        "clientConnection.kubeconfig" => arg.env("KUBECONFIG").value_name("FILE"),
        "logging.verbosity" => arg.short('v'),
        "logging.format" => arg.value_name("FORMAT"),
        "bindAddress" => arg.value_name("IP"),
        "healthzBindAddress" | "metricsBindAddress" => arg.value_name("IP:PORT"),
        "mode" | "detectLocalMode" => arg.value_name("MODE"),
        "clusterCIDR" => arg.value_name("NETWORKS"),
        _ => arg,
    }
}

fn help(field: &Field, defaults: &Value) -> String {
    let default = field
        .path
        .split('.')
        .fold(defaults, |value, part| &value[part]);
    let mut help = field.help.to_owned();
    // Sentences of a table begin small.
    if let Some(first) = help.get(..1) {
        help = first.to_uppercase() + &help[1..];
    }
    match default {
        Value::String(text) if !text.is_empty() => format!("{help} [default: {text}]"),
        Value::Bool(true) => format!("{help} [default: true]"),
        _ => help,
    }
}

const fn value_name(kind: Kind) -> &'static str {
    match kind {
        Kind::Bool => "BOOL",
        Kind::Integer | Kind::Number => "N",
        Kind::Text | Kind::Any => "TEXT",
        Kind::List => "LIST",
        Kind::Duration => "DURATION",
        Kind::Gates => "NAME=BOOL",
        Kind::Sizes => "SIZES",
    }
}
