//! Which flows the node has, as its programs were seen to open them.

use std::collections::HashMap;

use netproxy_common::FlowKind;

use crate::fuzz::reading::{Datagram, FIN, RST, Tuple, UDP};

/// One half of a flow.
#[derive(Clone, Debug)]
pub(in crate::fuzz) struct Half {
    /// What its packets become.
    pub(in crate::fuzz) to: Tuple,
    pub(in crate::fuzz) kind: FlowKind,
    pub(in crate::fuzz) is_reply: bool,
    /// Where the client's packets are translated.
    pub(in crate::fuzz) client: Client,
    /// Whether an answer of it was switched by a bridge, past netfilter: then its client's packets may go
    /// past the stack.
    pub(in crate::fuzz) is_switched: bool,
    /// Whether packets of it have said that it ends: from then on it may be gone at any time.
    pub(in crate::fuzz) is_ending: bool,
}

/// The device of a client.
#[derive(Clone, Copy, Debug)]
pub(in crate::fuzz) struct Client {
    pub(in crate::fuzz) ifindex: u32,
    /// Whether it leads outside.
    pub(in crate::fuzz) is_outside: bool,
    /// Whether the client may have begun anew at another one.
    pub(in crate::fuzz) may_have_moved: bool,
}

/// The flows.
#[derive(Debug, Default)]
pub(in crate::fuzz) struct Flows {
    halves: HashMap<Tuple, Half>,
    /// What clients sent first, in the order in which flows came to be.
    began: Vec<Tuple>,
    /// Tuples of flows that are over: bait.
    bait: Vec<Tuple>,
    /// The first fragments that were translated, or may be remembered all the same.
    first_pieces: HashMap<Datagram, Tuple>,
}

impl Flows {
    pub(in crate::fuzz) fn half(&self, tuple: Tuple) -> Option<&Half> {
        self.halves.get(&tuple)
    }

    /// A flow was opened: packets of `key` become as `forward` says.
    ///
    /// # Errors
    /// Another flow answers in the same tuple.
    pub(in crate::fuzz) fn open(&mut self, key: Tuple, forward: Half) -> Result<(), String> {
        if let Some(old) = self.halves.remove(&key) {
            self.halves.remove(&old.to.reversed());
        }
        let answer = forward.to.reversed();
        if let Some(other) = self.halves.get(&answer)
            && !other.is_ending
        {
            return Err(format!("takes the answers of another flow: {other:?}"));
        }
        let reply = Half {
            to: key.reversed(),
            is_reply: true,
            ..forward.clone()
        };
        self.halves.insert(key, forward);
        self.halves.insert(answer, reply);
        self.began.push(key);
        Ok(())
    }

    /// A packet of `key` with these flags was seen, which may say that its flow ends.
    pub(in crate::fuzz) fn shake(&mut self, key: Tuple, flags: u8) {
        if key.protocol != UDP && flags & (FIN | RST) != 0 {
            self.both_halves(key, |half| half.is_ending = true);
        }
    }

    /// An answer, `key`, was switched.
    pub(in crate::fuzz) fn switch(&mut self, key: Tuple) {
        self.both_halves(key, |half| half.is_switched = true);
    }

    /// The client of a flow that was ending, `key`, began anew at another device, maybe.
    pub(in crate::fuzz) fn shift(&mut self, key: Tuple) {
        self.both_halves(key, |half| half.client.may_have_moved = true);
    }

    fn both_halves(&mut self, key: Tuple, change: impl Fn(&mut Half)) {
        let Some(half) = self.halves.get_mut(&key) else {
            return;
        };
        change(half);
        let partner = half.to.reversed();
        if let Some(partner) = self.halves.get_mut(&partner) {
            change(partner);
        }
    }

    /// All flows may be gone from now on.
    pub(in crate::fuzz) fn shake_all(&mut self) {
        for half in self.halves.values_mut() {
            half.is_ending = true;
        }
    }

    /// The fragments of this datagram belong to the packets of this tuple; None: to nobody's.
    pub(in crate::fuzz) fn set_first_piece(&mut self, datagram: Datagram, tuple: Option<Tuple>) {
        match tuple {
            Some(tuple) => self.first_pieces.insert(datagram, tuple),
            None => self.first_pieces.remove(&datagram),
        };
    }

    /// Of which tuple the fragments of this datagram are, as far as is known.
    pub(in crate::fuzz) fn first_piece(&self, datagram: Datagram) -> Option<Tuple> {
        self.first_pieces.get(&datagram).copied()
    }

    /// All flows are over.
    pub(in crate::fuzz) fn end(&mut self) {
        self.bait = self
            .halves
            .iter()
            .flat_map(|(key, half)| [*key, half.to])
            .collect();
        // In an order that does not depend on the process.
        self.bait.sort_unstable();
        self.forget();
    }

    /// There never were flows.
    pub(in crate::fuzz) fn forget(&mut self) {
        self.halves.clear();
        self.began.clear();
        self.first_pieces.clear();
    }

    /// What the clients of flows sent first.
    pub(in crate::fuzz) fn began(&self) -> &[Tuple] {
        &self.began
    }

    pub(in crate::fuzz) fn bait(&self) -> &[Tuple] {
        &self.bait
    }

    /// Live flows, by what their clients send.
    pub(in crate::fuzz) fn forward_halves(&self) -> impl Iterator<Item = (&Tuple, &Half)> {
        self.halves.iter().filter(|(_, half)| !half.is_reply)
    }
}
