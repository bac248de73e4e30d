//! `agent-scale`: what a large cluster costs a proxy, at rest and while it changes.

use std::{
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Result, anyhow};

use super::{
    Pace, Scenario,
    sample_service::{Latencies, SampleService},
};
use crate::{
    arena::{Arena, deadline},
    measurement::Sample,
    running::Running,
    system::System,
};

/// Endpoints that change in a second.
const CHANGES_PER_SECOND: u32 = 100;
/// Between two changes of the sample service.
const SAMPLE_PAUSE: Duration = Duration::from_millis(100);

#[derive(Debug)]
pub(crate) struct AgentScale;

impl Scenario for AgentScale {
    fn name(&self) -> &'static str {
        "agent-scale"
    }

    fn about(&self) -> &'static str {
        "CPU time and memory at rest, and while 100 endpoints change every second by writes to the API \
         server; and how long a change then takes to packets"
    }

    fn run(&self, arena: &Arena<'_>, system: System, pace: Pace) -> Result<Vec<Sample>> {
        let span = pace.choose(Duration::from_secs(30), Duration::from_secs(5));
        let asker = arena.asker(system)?;
        let proxy = arena.start(system)?;
        proxy.await_synced(deadline())?;
        asker.await_all(&arena.size.frontends()[..1], deadline())?;
        thread::sleep(Duration::from_secs(5));

        let at_rest = cpu_share(&proxy, || {
            thread::sleep(span);
            Ok(())
        })?;
        let resident = proxy.resident()?.now_bytes;
        let working_set = proxy.working_set()?;
        let sample = SampleService::new(arena, asker)?;
        let mut latencies = Latencies::default();
        let mut changes = 0;
        let in_churn = cpu_share(&proxy, || {
            (latencies, changes) = churn(arena, &sample, span)?;
            Ok(())
        })?;

        let latency = |part| Latencies::quantile(&latencies.from_event, part);
        Ok(vec![
            Sample::new("at rest: CPU", "ms/s", at_rest * 1e3),
            Sample::new("at rest: resident", "MB", resident / 1e6),
            Sample::new("at rest: with the kernel's", "MB", working_set / 1e6),
            Sample::new(
                "churn: changes",
                "1/s",
                f64::from(changes) / span.as_secs_f64(),
            ),
            Sample::new("churn: CPU", "ms/s", in_churn * 1e3),
            Sample::new("churn: resident", "MB", proxy.resident()?.now_bytes / 1e6),
            Sample::new("churn: event to packet, p50", "ms", latency(0.5)),
            Sample::new("churn: event to packet, p99", "ms", latency(0.99)),
        ])
    }
}

/// CPU time of the proxy in each second of `work`.
fn cpu_share(proxy: &Running, work: impl FnOnce() -> Result<()>) -> Result<f64> {
    let (before, began) = (proxy.cpu()?, Instant::now());
    work()?;
    let (after, took) = (proxy.cpu()?, began.elapsed());
    let used = (after.user + after.system).saturating_sub(before.user + before.system);
    Ok(used.as_secs_f64() / took.as_secs_f64())
}

/// Changes endpoints for so long, and the sample service's now and then. Answers with how many there were.
fn churn(
    arena: &Arena<'_>,
    sample: &SampleService<'_>,
    span: Duration,
) -> Result<(Latencies, u32)> {
    let is_over = AtomicBool::new(false);
    thread::scope(|scope| {
        let changing = scope.spawn(|| change_steadily(arena, &is_over));
        let began = Instant::now();
        let mut all = Latencies::default();
        let mut measure = || {
            while began.elapsed() < span {
                let Latencies {
                    from_event,
                    from_write,
                } = sample.changes(1)?;
                all.from_event.extend(from_event);
                all.from_write.extend(from_write);
                thread::sleep(SAMPLE_PAUSE);
            }
            Ok(())
        };
        let measured = measure();
        is_over.store(true, Ordering::Relaxed);
        let changes = changing
            .join()
            .map_err(|_| anyhow!("the changer panicked"))??;
        measured.map(|()| (all, changes))
    })
}

/// Makes the first endpoint of one service after the other unready, and ready in the next round, until it is
/// over; answers with how often.
fn change_steadily(arena: &Arena<'_>, is_over: &AtomicBool) -> Result<u32> {
    let api = arena.connect()?;
    let began = Instant::now();
    let mut done = 0;
    while !is_over.load(Ordering::Relaxed) {
        let due = (began.elapsed().as_secs_f64() * f64::from(CHANGES_PER_SECOND)).floor();
        if f64::from(done) >= due {
            thread::sleep(Duration::from_millis(2));
            continue;
        }
        let (round, number) = (done / arena.size.services, done % arena.size.services);
        let write = arena.size.toggle(number, round % 2 == 1);
        api.write([vec![write]])?;
        done += 1;
    }
    Ok(done)
}
