//! `bystander`: what traffic that asks for no service has to pay for a proxy.

use anyhow::Result;

use super::{Pace, Scenario};
use crate::{arena::Arena, measurement::Sample, system::System, web::What, wrk};

#[derive(Debug)]
pub(crate) struct Bystander;

impl Scenario for Bystander {
    fn name(&self) -> &'static str {
        "bystander"
    }

    fn about(&self) -> &'static str {
        "A pod asks another machine's address, and no service, over 32 connections that it keeps; direct is a node \
         without a proxy"
    }

    fn systems(&self) -> &'static [System] {
        &System::TO_CLUSTER_IPS
    }

    fn is_traffic(&self) -> bool {
        true
    }

    fn run(&self, arena: &Arena<'_>, system: System, _: Pace) -> Result<Vec<Sample>> {
        let what = What::next_http();
        let (from, to) = arena.bypass(system, what)?;
        Ok(wrk::ask(&*from, to, true, 1)?.samples())
    }
}
