//! From the hook that opens a flow to its endpoint, and the answer's way back.

use netproxy::datapath::{Action, Direction, FlowEntry};
use netproxy::node::Way;
use netproxy_common::FlowKind;

use super::super::packet::Part;
use super::super::report::{At, Ends, Outcome, Report, Step, Verdict, Which};
use super::super::words::errno;
use super::Course;
use super::entrance::Entrance;
use super::step::{plain, redirected, shown, stack, step};

/// A flow that was opened, and the step that opened it.
pub(super) struct Leg {
    pub(super) entrance: Entrance,
    pub(super) flow: FlowEntry,
    pub(super) step: Step,
}

/// How an answer comes to the client's egress hook.
struct Back {
    /// The device that it came in by; zero: a process of this node has sent it.
    came_in_by: u32,
    /// Its step.
    step: Step,
    /// Where it leaves; None: nowhere, for this reason, or not at all.
    leaves_by: Result<u32, Option<i32>>,
}

impl Course<'_> {
    /// On through the stack, and the answer at the client's egress hook.
    pub(super) async fn edge(&self, leg: Leg, report: &mut Report) -> anyhow::Result<()> {
        let Leg {
            entrance,
            flow,
            step,
        } = leg;
        report.steps.push(step);
        let there = Ends {
            source: flow.source,
            destination: flow.endpoint,
        };
        let came_in_by = Some(entrance.ifindex_of_stack(self));
        let (client, endpoint) = (flow.source.ip(), flow.endpoint.ip());
        let way = self.ways.to(endpoint, Some(client), came_in_by).await?;
        report.steps.push(stack(Which::Request, there, way));
        report.notes.push(
            "rules of netfilter, NetworkPolicies and programs of others between these steps are not looked at"
                .to_owned(),
        );
        let ends = Ends {
            source: flow.endpoint,
            destination: flow.source,
        };
        let back = match way {
            Way::Nowhere(number) => {
                unroutable(report, "the endpoint", number);
                return Ok(());
            }
            Way::Here { .. } => self.routed_back(entrance, ends, None).await?,
            Way::Device { ifindex, .. } if self.is_port_of(entrance.ifindex, ifindex) => Back {
                came_in_by: self.port_of(ifindex, endpoint, &mut report.notes).await?,
                step: Step {
                    verdict: Verdict::Switched {
                        to_device: Some(shown(entrance.ifindex)),
                    },
                    ..plain(At::Stack, Which::Answer, ends)
                },
                leaves_by: Ok(entrance.ifindex),
            },
            Way::Device { ifindex, .. } => self.routed_back(entrance, ends, Some(ifindex)).await?,
        };
        report.steps.push(back.step);
        match back.leaves_by {
            Ok(ifindex) => {
                let at = (ifindex, Direction::Egress);
                self.answer(at, ends, back.came_in_by, &flow, report).await
            }
            Err(Some(number)) => {
                unroutable(report, "the client", number);
                Ok(())
            }
            Err(None) => {
                let summary = "the client's address is this node's: the answer stays here";
                report.end(Outcome::Unanswered, summary);
                Ok(())
            }
        }
    }

    /// By the stack, of an answer that came in by a device; None: that a process of this node has sent.
    async fn routed_back(
        &self,
        entrance: Entrance,
        ends: Ends,
        came_in_by: Option<u32>,
    ) -> anyhow::Result<Back> {
        let (client, endpoint) = (ends.destination.ip(), ends.source.ip());
        let way = self.ways.to(client, Some(endpoint), came_in_by).await?;
        Ok(Back {
            came_in_by: came_in_by.unwrap_or(0),
            step: stack(Which::Answer, ends, way),
            leaves_by: match way {
                Way::Device { ifindex, .. } if self.is_port_of(entrance.ifindex, ifindex) => {
                    Ok(entrance.ifindex)
                }
                Way::Device { ifindex, .. } => Ok(ifindex),
                Way::Here { .. } => Err(None),
                Way::Nowhere(number) => Err(Some(number)),
            },
        })
    }

    fn is_port_of(&self, port: u32, bridge: u32) -> bool {
        let device = self.devices.get(&port);
        device.is_some_and(|device| device.master == bridge)
    }

    /// Redirected, and the answer at the ingress hook of the device it went out by.
    pub(super) async fn past_the_stack(&self, leg: Leg, report: &mut Report) -> anyhow::Result<()> {
        let Leg {
            entrance,
            flow,
            mut step,
        } = leg;
        let endpoint = flow.endpoint.ip();
        let client = flow.client.ip();
        let way = if flow.kind == FlowKind::Host {
            self.ways.to(endpoint, Some(client), None).await?
        } else {
            let came_in_by = Some(entrance.ifindex_of_stack(self));
            // The programs ask for a route, and not whether the source may come in there.
            match self.ways.to(endpoint, Some(client), came_in_by).await? {
                Way::Nowhere(_) => self.ways.to(endpoint, None, None).await?,
                way => way,
            }
        };
        step.verdict = redirected(way);
        report.steps.push(step);
        let Way::Device { ifindex, .. } = way else {
            report.end(
                Outcome::Unanswered,
                "the packet is redirected by a route that changes at this moment; try again",
            );
            return Ok(());
        };
        let back = Ends {
            source: flow.endpoint,
            destination: flow.source,
        };
        let is_hairpin = flow.endpoint.ip() == flow.client.ip();
        let port = if is_hairpin {
            entrance.ifindex
        } else {
            self.port_of(ifindex, endpoint, &mut report.notes).await?
        };
        self.answer((port, Direction::Ingress), back, port, &flow, report)
            .await
    }

    /// The endpoint's answer at the hook that turns it back.
    async fn answer(
        &self,
        at: (u32, Direction),
        back: Ends,
        came_in_by: u32,
        flow: &FlowEntry,
        report: &mut Report,
    ) -> anyhow::Result<()> {
        let (ifindex, _) = at;
        if !self.devices.contains_key(&ifindex) {
            report.end(Outcome::Unanswered, &format!(
                "the answer comes by {}, where netproxy has no program: it is not turned back, and the client takes \
                 it for nobody's",
                shown(ifindex)
            ));
            return Ok(());
        }
        let ran = self.run_at(at, &Part::Answer, back, came_in_by, &mut report.notes)?;
        let mut step = step(at, Which::Answer, back, &ran);
        let is_turned_back = step.after
            == Some(Ends {
                source: flow.frontend,
                destination: flow.client,
            });
        if let Action::Redirect = ran.action {
            // An answer to a process of this node is made to arrive where its packets leave.
            let way = if flow.kind == FlowKind::Host {
                None
            } else {
                let way = self.ways.to(flow.client.ip(), None, None).await?;
                matches!(way, Way::Device { .. }).then_some(way)
            };
            step.verdict = way.map_or(
                Verdict::Redirected {
                    to_device: report.steps.first().and_then(|step| step.device.clone()),
                    next_hop: None,
                },
                redirected,
            );
        }
        report.steps.push(step);
        if is_turned_back {
            let summary = format!("answered: {} sees {} answer", flow.client, flow.frontend);
            report.end(Outcome::Answered, &summary);
        } else {
            let summary = "the answer is not turned back: the client takes it for nobody's";
            report.end(Outcome::Unanswered, summary);
        }
        Ok(())
    }
}

fn unroutable(report: &mut Report, whom: &str, number: i32) {
    let summary = format!("the stack has no way to {whom}: {}", errno(number));
    report.end(Outcome::Unroutable, &summary);
}
