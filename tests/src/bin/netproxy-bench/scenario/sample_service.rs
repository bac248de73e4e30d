//! How long a change of the sample service's endpoint takes to packets.

use std::{
    sync::{
        Barrier,
        atomic::{AtomicU32, Ordering},
        mpsc::{self, Receiver, Sender},
    },
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, anyhow};
use futures::{StreamExt as _, TryStreamExt as _};
use k8s_openapi::api::discovery::v1::EndpointSlice;
use kube::api::{WatchEvent, WatchParams};
use netproxy_lab::control_plane::Api;

use crate::{
    arena::{Arena, deadline},
    asker::Asker,
    cluster::{self, MOST_SAMPLE_ENDPOINTS, NAMESPACE},
};

/// Somebody who changes it and asks it.
#[derive(Debug)]
pub(super) struct SampleService<'a> {
    arena: &'a Arena<'a>,
    asker: Asker,
    events: Receiver<Instant>,
}

/// Latencies of many changes, in milliseconds.
#[derive(Debug, Default)]
pub(super) struct Latencies {
    /// From the event of a watch, of one that nobody else uses.
    pub(super) from_event: Vec<f64>,
    /// From the API server's answer to who wrote.
    pub(super) from_write: Vec<f64>,
}

impl<'a> SampleService<'a> {
    /// Begins to watch it.
    pub(super) fn new(arena: &'a Arena<'a>, asker: Asker) -> Result<Self> {
        let api = arena.connect()?;
        let (sender, events) = mpsc::channel();
        // Ends with the API server, or with the first event that nobody takes.
        thread::spawn(move || watch(&api, &sender));
        let this = Self {
            arena,
            asker,
            events,
        };
        // That it exists.
        this.next_event()?;
        // Whoever was here before has left it as it is.
        this.change()?;
        Ok(this)
    }

    /// Gives it another endpoint, and waits until that answers; answers with how long that took since the
    /// event, and since the write.
    pub(super) fn change(&self) -> Result<(Duration, Duration)> {
        // Never the one that it has, whoever has given it that.
        static NUMBER: AtomicU32 = AtomicU32::new(1);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed) % MOST_SAMPLE_ENDPOINTS;
        let (asker, frontend) = (&self.asker, cluster::sample(number));
        let begun = Barrier::new(2);
        thread::scope(|scope| {
            let asking = scope.spawn(|| asker.await_change(&frontend, &begun, deadline()));
            begun.wait();
            self.arena.write(cluster::move_sample(number))?;
            let written = Instant::now();
            let event = self.next_event()?;
            let right = asking
                .join()
                .map_err(|_| anyhow!("the asker panicked"))??
                .at;
            Ok((
                right.saturating_duration_since(event),
                right.saturating_duration_since(written),
            ))
        })
    }

    /// So many changes.
    pub(super) fn changes(&self, count: usize) -> Result<Latencies> {
        let mut latencies = Latencies::default();
        for _ in 0..count {
            let (from_event, from_write) = self.change()?;
            latencies.from_event.push(from_event.as_secs_f64() * 1e3);
            latencies.from_write.push(from_write.as_secs_f64() * 1e3);
        }
        Ok(latencies)
    }

    fn next_event(&self) -> Result<Instant> {
        let event = self.events.recv_timeout(Duration::from_secs(30));
        event.context("the watch of the sample service tells nothing")
    }
}

/// Tells when each event of the sample's slice has come.
fn watch(api: &Api, moments: &Sender<Instant>) -> Result<()> {
    let parameters = WatchParams::default()
        .fields(&cluster::sample_selector())
        .disable_bookmarks();
    api.with_client(async |client| {
        let slices = kube::Api::<EndpointSlice>::namespaced(client, NAMESPACE);
        let mut events = slices.watch(&parameters, "0").await?.boxed();
        while let Some(event) = events.try_next().await? {
            let at = Instant::now();
            if matches!(event, WatchEvent::Added(_) | WatchEvent::Modified(_))
                && moments.send(at).is_err()
            {
                break;
            }
        }
        Ok(())
    })
}

impl Latencies {
    /// The value below which so large a part of them is.
    pub(super) fn quantile(values: &[f64], part: f64) -> f64 {
        let mut sorted = values.to_vec();
        sorted.sort_by(f64::total_cmp);
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_precision_loss,
            clippy::cast_sign_loss,
            reason = "an index below the number of values"
        )]
        let index = (part * sorted.len() as f64).ceil() as usize;
        sorted[index.clamp(1, sorted.len()) - 1]
    }
}
