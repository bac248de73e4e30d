//! Cases in both labs, side by side: each step is applied to all of them, awaited, asked and compared.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use anyhow::{Context, Result, ensure};
use netproxy_lab::{
    ControlPlane, Lab,
    control_plane::Api,
    probe::{Probe, Replies, Reply},
    wait_until,
};

use crate::{
    agents::Agents,
    case::Case,
    comparison::{self, Fates, Judgement},
    difference::Difference,
    divergence::{self, Divergence, Tally},
    objects::{self, Group, Objects},
    outcome::Outcome,
    question::{self, Care, Focus, Question, Target},
    sentinel::Sentinel,
    slot::{SLOTS, Slot},
    twin::{self, Manner, Twin},
    vantage::Vantage,
};

/// How long a change may take to be in force in both labs.
const LONGEST: Duration = Duration::from_mins(1);
/// How often what looks like a failure is looked at again before it is one.
const SECOND_LOOKS: usize = 2;

/// Both labs with their proxies.
#[derive(Debug)]
pub(crate) struct Arena<'lab> {
    kube: Twin<'lab>,
    netproxy: Twin<'lab>,
    agents: Agents,
    api: Api,
    objects: Objects,
    sentinel: Sentinel,
    next_slot: u64,
    pub(crate) tally: Tally,
}

/// What kube-proxy's and netproxy's kept flows said last.
type Before = BTreeMap<(Vantage, Target), (Vec<Reply>, Vec<Reply>)>;

/// A question with what both said.
struct Asked {
    case: usize,
    question: Question,
    kube: Replies,
    netproxy: Replies,
}

impl<'lab> Arena<'lab> {
    pub(crate) fn open(
        kube: &'lab Lab,
        netproxy: &'lab Lab,
        control_plane: &ControlPlane<'_>,
    ) -> Result<Self> {
        control_plane.register_nodes()?;
        twin::start_kube_proxy(kube, control_plane)?;
        let mut arena = Self {
            agents: Agents::start(netproxy, kube, control_plane)?,
            kube: Twin::new(kube)?,
            netproxy: Twin::new(netproxy)?,
            api: control_plane.connect()?,
            objects: Objects::new(),
            sentinel: Sentinel::default(),
            next_slot: 0,
            tally: Tally::default(),
        };
        arena.apply(Objects::new())?;
        // Not before: kube-proxy may learn a zone before it has anybody to tell of it, and then takes hints
        // for none until the zone changes (newNodeTopologyConfig in pkg/proxy/config/config.go, whose
        // informer already runs).
        for node in crate::case::NodeName::BOTH {
            let label = format!("topology.kubernetes.io/zone={}", node.zone());
            control_plane.kubectl(&["label", "node", node.name(), &label])?;
        }
        arena.apply(Objects::new())?;
        Ok(arena)
    }

    /// Runs cases side by side, which are all balanced at the socket or none; answers with the failures
    /// of each. With a `focus`, nothing but that is looked at.
    ///
    /// # Errors
    /// When the labs themselves fail, or a change does not come into force.
    pub(crate) fn run(
        &mut self,
        cases: &[Case],
        focus: Option<Focus>,
    ) -> Result<Vec<Vec<Divergence>>> {
        let at_sockets = cases.first().is_some_and(|case| case.at_sockets);
        self.agents
            .balance_at_sockets(self.netproxy.lab, at_sockets)?;
        let slots = self.take_slots(cases)?;
        let mut divergences = vec![Vec::new(); cases.len()];
        let steps = cases.iter().map(|case| case.steps.len()).max().unwrap_or(0);
        let mut before = Before::new();
        for step in 0..steps {
            self.apply(self.objects_of(cases, &slots, step))?;
            let mut questions = self.questions(cases, &slots, step);
            questions.retain(|(_, it)| focus.is_none_or(|focus| focus.has(it)));
            let manner = if step == 0 {
                Manner::Afresh
            } else {
                Manner::Fast
            };
            let mut asked = self.ask_both(manner, questions, |_| Care::First)?;
            self.look_again(&mut asked)?;
            let (kept, asked): (Vec<_>, Vec<_>) =
                asked.into_iter().partition(|it| it.question.is_kept);
            for asked in asked {
                self.judge(step, &asked, &mut divergences[asked.case]);
            }
            self.judge_kept(step, kept, &mut before, &mut divergences)?;
        }
        Ok(divergences)
    }

    fn take_slots(&mut self, cases: &[Case]) -> Result<Vec<Vec<Slot>>> {
        let wanted: usize = cases.iter().map(|case| case.steps[0].len()).sum();
        // The last ones are still in use while the new come.
        ensure!(
            wanted * 2 <= usize::from(SLOTS),
            "too many services at once: {wanted}"
        );
        let taken = cases.iter().map(|case| {
            let slots = case.steps[0].iter().map(|_| {
                self.next_slot += 1;
                Slot::of(self.next_slot)
            });
            slots.collect()
        });
        Ok(taken.collect())
    }

    fn objects_of(&self, cases: &[Case], slots: &[Vec<Slot>], step: usize) -> Objects {
        let mut objects = Objects::new();
        for (case, slots) in cases.iter().zip(slots) {
            let state = &case.steps[step.min(case.steps.len() - 1)];
            for (service, &slot) in state.iter().zip(slots) {
                objects.insert(slot.name(), Group::of(service, slot, &self.kube));
            }
        }
        objects
    }

    /// Makes the API server's objects these, and waits until both proxies have them.
    fn apply(&mut self, wanted: Objects) -> Result<()> {
        self.api.write(objects::writes(&self.objects, &wanted))?;
        self.objects = wanted;
        self.api.write(self.sentinel.move_on(&self.kube))?;
        let Self {
            sentinel,
            kube,
            netproxy,
            ..
        } = self;
        for (name, twin) in [("kube-proxy", kube), ("netproxy", netproxy)] {
            wait_until(&format!("{name} serves the last change"), LONGEST, || {
                sentinel.is_seen_by(twin)
            })
            .with_context(|| format!("{name} has not taken in a change: see the lab's logs"))?;
        }
        Ok(())
    }

    fn questions(
        &self,
        cases: &[Case],
        slots: &[Vec<Slot>],
        step: usize,
    ) -> Vec<(usize, Question)> {
        let node_ip = |node, family| self.kube.node_ip(node, family);
        let mut questions = Vec::new();
        for (index, (case, slots)) in cases.iter().zip(slots).enumerate() {
            if step < case.steps.len() {
                let all = question::all(case, step, slots, &node_ip);
                questions.extend(all.into_iter().map(|it| (index, it)));
            }
        }
        questions
    }

    fn ask_both(
        &mut self,
        manner: Manner,
        questions: Vec<(usize, Question)>,
        care: impl Fn(usize) -> Care,
    ) -> Result<Vec<Asked>> {
        let mut probes: BTreeMap<Vantage, Vec<Probe>> = BTreeMap::new();
        for (number, (_, question)) in questions.iter().enumerate() {
            probes
                .entry(question.vantage)
                .or_default()
                .push(question.probe(care(number)));
        }
        // One lab after the other: both at once would only slow each other down.
        let mut kube = in_order(self.kube.ask(manner, probes.clone())?);
        let mut netproxy = in_order(self.netproxy.ask(manner, probes)?);
        questions
            .into_iter()
            .map(|(case, question)| {
                let kube = kube(question.vantage).context("an answer of kube-proxy's lab")?;
                let netproxy = netproxy(question.vantage).context("an answer of netproxy's lab")?;
                Ok(Asked {
                    case,
                    question,
                    kube,
                    netproxy,
                })
            })
            .collect()
    }

    /// Asks again what does not look the same, so that neither chance nor a busy machine is a failure.
    fn look_again(&mut self, asked: &mut [Asked]) -> Result<()> {
        for _ in 0..SECOND_LOOKS {
            let doubtful: Vec<usize> = (0..asked.len())
                .filter(|&index| !asked[index].question.is_kept && !self.is_settled(&asked[index]))
                .collect();
            if doubtful.is_empty() {
                break;
            }
            self.tally.asked_again += doubtful.len();
            let questions = doubtful
                .iter()
                .map(|&it| (asked[it].case, asked[it].question.clone()));
            let is_answered = |replies: &Replies| {
                replies
                    .iter()
                    .flatten()
                    .any(|it| matches!(it, Reply::Answered { .. }))
            };
            let answered: Vec<bool> = doubtful
                .iter()
                .map(|&it| is_answered(&asked[it].kube) || is_answered(&asked[it].netproxy))
                .collect();
            let again =
                self.ask_both(Manner::Paced, questions.collect(), |number| Care::Again {
                    answered: answered[number],
                })?;
            for (&index, again) in doubtful.iter().zip(again) {
                let before = &mut asked[index];
                if before.question.is_sticky {
                    // Other frontends may have made the client stick to somebody else since.
                    (before.kube, before.netproxy) = (again.kube, again.netproxy);
                } else {
                    before.kube = merge(again.kube, &before.kube);
                    before.netproxy = merge(again.netproxy, &before.netproxy);
                }
            }
        }
        Ok(())
    }

    fn is_settled(&self, asked: &Asked) -> bool {
        let (kube, netproxy) = self.outcomes(asked);
        let mut all = asked
            .question
            .targets
            .iter()
            .zip(kube.iter().zip(&netproxy));
        all.all(|(&target, (kube, netproxy))| {
            comparison::judge(&asked.question, target, kube, netproxy) != Judgement::Divergent
        }) && comparison::sticks_alike(&asked.question, &kube, &netproxy)
    }

    fn outcomes(&self, asked: &Asked) -> (Vec<Outcome>, Vec<Outcome>) {
        let vantage = asked.question.vantage;
        let of = |twin: &Twin<'_>, replies: &Replies| {
            let source = |address| twin.source(vantage, address);
            replies.iter().map(|it| Outcome::of(it, source)).collect()
        };
        (
            of(&self.kube, &asked.kube),
            of(&self.netproxy, &asked.netproxy),
        )
    }

    fn judge(&mut self, step: usize, asked: &Asked, divergences: &mut Vec<Divergence>) {
        let (kube, netproxy) = self.outcomes(asked);
        let question = &asked.question;
        for (&target, (kube, netproxy)) in question.targets.iter().zip(kube.iter().zip(&netproxy)) {
            self.tally.asked += 1;
            match comparison::judge(question, target, kube, netproxy) {
                Judgement::Same => {}
                Judgement::Deliberate(differences) => self.count(&differences),
                Judgement::Divergent => divergences.push(Divergence {
                    step,
                    question: question.clone(),
                    target,
                    kube: kube.to_string(),
                    netproxy: netproxy.to_string(),
                    signature: divergence::signature(question, target, kube, netproxy),
                }),
            }
        }
        if !comparison::sticks_alike(question, &kube, &netproxy) {
            let all = |outcomes: &[Outcome]| {
                let all: Vec<_> = outcomes.iter().map(ToString::to_string).collect();
                all.join("; ")
            };
            divergences.push(Divergence {
                step,
                question: question.clone(),
                target: question.targets[0],
                kube: all(&kube),
                netproxy: all(&netproxy),
                signature: "affinity does not hold from one frontend of a port to another"
                    .to_owned(),
            });
        }
    }

    /// Compares flows with what they were at the step before.
    fn judge_kept(
        &mut self,
        step: usize,
        kept: Vec<Asked>,
        before: &mut Before,
        divergences: &mut [Vec<Divergence>],
    ) -> Result<()> {
        let key = |question: &Question| (question.vantage, question.targets[0]);
        let fates = |asked: &Asked, before: &Before| {
            let (kube, netproxy) = before.get(&key(&asked.question))?;
            Some((
                Fates::of(kube, &asked.kube[0]),
                Fates::of(netproxy, &asked.netproxy[0]),
            ))
        };
        let judged = |asked: &Asked, before: &Before| {
            let (kube, netproxy) = fates(asked, before)?;
            Some(comparison::judge_fates(&asked.question, &kube, &netproxy))
        };
        let mut asked = kept;
        for _ in 0..SECOND_LOOKS {
            let is_doubtful = |it: &Asked| judged(it, before) == Some(Judgement::Divergent);
            let (doubtful, mut settled): (Vec<_>, Vec<_>) =
                asked.into_iter().partition(is_doubtful);
            let questions = doubtful
                .into_iter()
                .map(|it| (it.case, it.question))
                .collect();
            settled.extend(
                self.ask_both(Manner::Paced, questions, |_| Care::Again { answered: true })?,
            );
            asked = settled;
        }
        for asked in asked {
            self.tally.asked += 1;
            if let Some((kube, netproxy)) = fates(&asked, before) {
                match comparison::judge_fates(&asked.question, &kube, &netproxy) {
                    Judgement::Same => {}
                    Judgement::Deliberate(differences) => self.count(&differences),
                    Judgement::Divergent => divergences[asked.case].push(Divergence {
                        step,
                        target: asked.question.targets[0],
                        kube: kube.to_string(),
                        netproxy: netproxy.to_string(),
                        signature: format!(
                            "a UDP flow from {:?} to {:?} over a change",
                            asked.question.vantage, asked.question.targets[0].destination
                        ),
                        question: asked.question.clone(),
                    }),
                }
            }
            let replies = (asked.kube[0].clone(), asked.netproxy[0].clone());
            before.insert(key(&asked.question), replies);
        }
        Ok(())
    }

    fn count(&mut self, differences: &BTreeSet<Difference>) {
        for &difference in differences {
            *self.tally.deliberate.entry(difference).or_default() += 1;
        }
    }
}

/// Hands out replies in the order in which their vantage was asked.
fn in_order(replies: BTreeMap<Vantage, Vec<Replies>>) -> impl FnMut(Vantage) -> Option<Replies> {
    let mut replies: BTreeMap<_, _> = replies
        .into_iter()
        .map(|(vantage, all)| (vantage, all.into_iter()))
        .collect();
    move |vantage| replies.get_mut(&vantage)?.next()
}

/// Replies of a second look. Who answered before still counts, if anybody answers now; what was not
/// answered before does not.
fn merge(again: Replies, before: &Replies) -> Replies {
    let is_answer = |reply: &Reply| matches!(reply, Reply::Answered { .. });
    again
        .into_iter()
        .zip(before)
        .map(|(mut again, before)| {
            if again.iter().any(is_answer) {
                again.extend(before.iter().filter(|it| is_answer(it)).cloned());
            }
            again
        })
        .collect()
}
