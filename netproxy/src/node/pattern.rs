//! The operator's choice of devices.

use wildmatch::WildMatch;

/// Which devices may be attached to, by name: `*` stands for any characters, `?` for one.
///
/// An exclusion wins over an inclusion; no inclusion at all includes every device.
#[derive(Clone, Debug, Default)]
pub struct DevicePatterns {
    include: Vec<WildMatch>,
    exclude: Vec<WildMatch>,
}

impl DevicePatterns {
    /// From the lists of the command line.
    pub fn new<I, E>(include: I, exclude: E) -> Self
    where
        I: IntoIterator<Item: AsRef<str>>,
        E: IntoIterator<Item: AsRef<str>>,
    {
        let compile = |pattern: &str| WildMatch::new(pattern);
        Self {
            include: include
                .into_iter()
                .map(|pattern| compile(pattern.as_ref()))
                .collect(),
            exclude: exclude
                .into_iter()
                .map(|pattern| compile(pattern.as_ref()))
                .collect(),
        }
    }

    /// Whether the device called `name` may be attached to.
    #[must_use]
    pub fn admits(&self, name: &str) -> bool {
        let is_in = |list: &[WildMatch]| list.iter().any(|pattern| pattern.matches(name));
        (self.include.is_empty() || is_in(&self.include)) && !is_in(&self.exclude)
    }
}
