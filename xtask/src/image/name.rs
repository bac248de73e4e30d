//! What an image is called.

use std::fmt;
use std::str::FromStr;

use anyhow::{Context as _, Result, ensure};

/// A reference such as `registry.example/netproxy:0.1.0`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Name {
    repository: String,
    tag: String,
}

impl Name {
    pub(super) fn tag(&self) -> &str {
        &self.tag
    }

    /// The archive's file name.
    pub(super) fn file(&self) -> String {
        format!("netproxy-{}.tar", self.tag)
    }
}

impl Default for Name {
    /// No registry's: whoever wants to pull it gives it another name. The chart has the same default.
    fn default() -> Self {
        Self {
            repository: "localhost/netproxy".to_owned(),
            tag: env!("CARGO_PKG_VERSION").to_owned(),
        }
    }
}

impl FromStr for Name {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> Result<Self> {
        let wrong = || format!("{text} is no name such as registry.example/netproxy:0.1.0");
        let (repository, tag) = text.rsplit_once(':').with_context(wrong)?;
        let is_tag = |byte: u8| byte.is_ascii_alphanumeric() || b"_.-".contains(&byte);
        let is_repository =
            |byte: u8| matches!(byte, b'a'..=b'z' | b'0'..=b'9') || b"_.-/:".contains(&byte);
        // containerd takes a first part without a dot for a user of Docker Hub's.
        ensure!(
            !tag.is_empty() && tag.bytes().all(is_tag) && repository.bytes().all(is_repository),
            wrong()
        );
        ensure!(
            repository.contains('/'),
            "{text} does not name its registry: localhost/{text}, for example"
        );
        Ok(Self {
            repository: repository.to_owned(),
            tag: tag.to_owned(),
        })
    }
}

impl fmt::Display for Name {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { repository, tag } = self;
        write!(formatter, "{repository}:{tag}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_has_a_registry_and_a_tag() -> Result<()> {
        for text in ["localhost/netproxy:0.1.0", "r.example:5000/a/netproxy:v1"] {
            assert_eq!(text.parse::<Name>()?.to_string(), text);
        }
        for wrong in [
            "netproxy",
            "netproxy:1",
            "localhost/netproxy",
            "localhost/netproxy:",
            "localhost:5000/netproxy",
            "Localhost/netproxy:1",
            "localhost/net proxy:1",
        ] {
            assert!(wrong.parse::<Name>().is_err(), "{wrong}");
        }
        Ok(())
    }

    #[test]
    fn the_default_is_a_name_that_could_be_given() -> Result<()> {
        assert_eq!(
            Name::default().to_string().parse::<Name>()?,
            Name::default()
        );
        Ok(())
    }
}
