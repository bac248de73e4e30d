//! A network device of a place.

use anyhow::{Context, Result};
use netproxy_lab::Place;
use serde_json::Value;

/// What frames and programs name it by.
pub(crate) struct Device {
    pub(crate) index: u32,
    pub(crate) mac: [u8; 6],
}

impl Device {
    /// The one of this name.
    pub(crate) fn find(place: &dyn Place, name: &str) -> Result<Self> {
        let text = place.run(&["ip", "-json", "link", "show", "dev", name])?;
        let found = || {
            let list: Value = serde_json::from_str(&text).ok()?;
            let device = list.get(0)?;
            let bytes = device.get("address")?.as_str()?.split(':');
            let mac: Vec<_> = bytes
                .filter_map(|it| u8::from_str_radix(it, 16).ok())
                .collect();
            Some(Self {
                index: device.get("ifindex")?.as_u64()?.try_into().ok()?,
                mac: mac.try_into().ok()?,
            })
        };
        found().with_context(|| format!("what ip says of {name}: {text}"))
    }
}
