//! Proxies that stay in place for traffic: each is started once, and does nothing while another is measured.

use std::collections::BTreeMap;

use anyhow::{Context, Result};

use crate::{running::Running, system::System};

/// What stands.
#[derive(Debug, Default)]
pub(crate) struct Standing {
    /// Whether those run who answer for the Services that traffic goes to.
    pub(crate) is_served: bool,
    /// None: it was started, and did not come about.
    proxies: BTreeMap<System, Option<Running>>,
}

impl Standing {
    /// Lets this system's proxy do its work and all others rest; `start`s it, and waits for it, the first time.
    pub(crate) fn turn_to(
        &mut self,
        system: System,
        start: impl FnOnce() -> Result<Running>,
    ) -> Result<()> {
        for (other, proxy) in &self.proxies {
            if let Some(proxy) = proxy
                && *other != system
            {
                proxy.halt()?;
            }
        }
        if system.proxy().is_none() {
            return Ok(());
        }
        if let Some(known) = self.proxies.get(&system) {
            let proxy = known.as_ref();
            return proxy
                .with_context(|| format!("{system} did not come about before"))?
                .go_on();
        }
        // Unless it gets so far.
        self.proxies.insert(system, None);
        let proxy = start()?;
        self.proxies.insert(system, Some(proxy));
        Ok(())
    }
}
