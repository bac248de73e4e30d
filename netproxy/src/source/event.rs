//! Events: what users of the cluster are told, next to the objects that it concerns.
//!
//! Telling never holds anybody up, and an event that cannot be told is a line in the log: whatever
//! is worth an event is logged by whoever tells it, too.

use tokio::sync::mpsc;

use crate::model::ObjectName;

/// Events that may wait to be told.
const WAITING_EVENTS: usize = 64;

/// Something worth telling.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// What it is about.
    pub regarding: Regarding,
    /// Whether somebody should look into it.
    pub is_warning: bool,
    /// Why, in one word; kube-proxy's where it has one.
    pub reason: &'static str,
    /// What was being done, in one word.
    pub action: &'static str,
    /// The story, up to 1 kB.
    pub note: String,
}

/// The object that an event is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Regarding {
    /// This node's Node.
    Node,
    /// A Service.
    Service(ObjectName),
}

/// Where events are told. Clones tell the same.
#[derive(Clone, Debug)]
pub struct Events {
    sender: mpsc::Sender<Event>,
}

impl Events {
    /// With who takes what is told.
    pub(crate) fn channel() -> (Self, mpsc::Receiver<Event>) {
        let (sender, receiver) = mpsc::channel(WAITING_EVENTS);
        (Self { sender }, receiver)
    }

    /// Tells it, unless too many others wait.
    pub fn tell(&self, event: Event) {
        if let Err(mpsc::error::TrySendError::Full(event)) = self.sender.try_send(event) {
            let Event { reason, note, .. } = event;
            tracing::warn!(reason, note, "event dropped: too many others wait");
        }
    }
}
