//! stub
use crate::Lab;
use anyhow::Result;
use std::path::Path;
#[derive(Debug)]
pub struct ControlPlane<'lab>(std::marker::PhantomData<&'lab ()>);
impl<'lab> ControlPlane<'lab> {
    pub fn start(_: &'lab Lab) -> Result<Self> {
        anyhow::bail!("x")
    }
    pub fn kubectl(&self, _: &[&str]) -> Result<String> {
        anyhow::bail!("x")
    }
    pub fn agent_kubeconfig(&self) -> &Path {
        Path::new("x")
    }
    pub fn kubectl_command(&self) -> String {
        String::new()
    }
}
