//! Real requests from and to places, by `netproxy-traffic`, with typed results.

mod request;
mod steady;

use std::{marker::PhantomData, net::SocketAddr, process::Command, time::Duration};

use anyhow::{Context, Result};
use serde::de::DeserializeOwned;

pub use self::request::{Ask, Flood, Get, Load, Serve};
pub use self::steady::Steady;
use crate::{
    Answers, Place, Process, binary,
    place::run,
    report::{Fetched, FloodReport, HoldReport, LoadReport, Ready, TalkReport, Traced, Transfer},
};

/// How long a server may take to listen, and a load to get its first answer.
const LONGEST_START: Duration = Duration::from_secs(10);
/// How long a load may take to end when it is told to.
const LONGEST_END: Duration = Duration::from_secs(20);

/// A load or a held connection that goes on.
#[derive(Debug)]
pub struct Ongoing<Report> {
    process: Process,
    report: PhantomData<Report>,
}

/// One TCP connection with a request every 100 ms.
pub type Hold = Ongoing<HoldReport>;

/// Conversations by UDP, with a question every 50 ms.
pub type Talk = Ongoing<TalkReport>;

impl<Report: DeserializeOwned> Ongoing<Report> {
    fn start(process: Process) -> Result<Self> {
        await_ready(&process)?;
        Ok(Self {
            process,
            report: PhantomData,
        })
    }

    /// Whether it goes on. A held connection that breaks does not.
    #[must_use]
    pub fn is_running(&self) -> bool {
        self.process.is_running()
    }

    /// Ends it, if it has not ended by itself, and answers with what it saw.
    ///
    /// # Errors
    /// When it does not end or reports nothing.
    pub fn stop(self) -> Result<Report> {
        if self.process.is_running() {
            self.process.stop(LONGEST_END)?;
        }
        self.report()
    }

    /// Waits until it ends by itself, and answers with what it saw.
    ///
    /// # Errors
    /// When it is still there after `longest`, or reports nothing.
    pub fn finish(self, longest: Duration) -> Result<Report> {
        self.process.wait(longest)?;
        self.report()
    }

    fn report(&self) -> Result<Report> {
        let text = self.process.stdout();
        let last = text.lines().last().unwrap_or_default();
        serde_json::from_str(last).map_err(|_| self.process.failure("it gave no report"))
    }
}

/// Requests from, and servers in, a place.
pub trait Traffic: Place {
    /// Starts a server and waits until it listens. It serves until the lab ends or it is killed.
    fn serve(&self, serve: &Serve) -> Result<Process> {
        let words = serve.arguments(self.name());
        let process = self.start_traffic(&words)?;
        await_ready(&process)?;
        Ok(process)
    }

    /// Gets a URL, each time on a new connection.
    fn get(&self, url: &str, count: usize) -> Result<Answers> {
        self.get_with(&Get::new(url).count(count))
    }

    /// Gets a URL.
    fn get_with(&self, get: &Get) -> Result<Answers> {
        Answers::parse(&self.run_traffic(get.arguments())?)
    }

    /// Sends one request to any HTTP server, and answers with what that says, whatever the status.
    fn fetch(&self, method: &str, url: &str) -> Result<Fetched> {
        let words = ["fetch", url, "--method", method].map(str::to_owned);
        let text = self.run_traffic(&words)?;
        serde_json::from_str(&text).with_context(|| format!("not an answer: {text}"))
    }

    /// Asks by UDP, each time from a new socket.
    fn ask(&self, address: SocketAddr, count: usize) -> Result<Answers> {
        self.ask_with(&Ask::new(address).count(count))
    }

    /// Asks by UDP.
    fn ask_with(&self, ask: &Ask) -> Result<Answers> {
        Answers::parse(&self.run_traffic(ask.arguments())?)
    }

    /// Starts a process that asks once from each of so many UDP sockets, connected or not, and holds
    /// them all; waits until it has.
    fn crowd(&self, address: SocketAddr, sockets: u64, are_connected: bool) -> Result<Process> {
        let (address, sockets) = (address.to_string(), sockets.to_string());
        let mut words = vec!["crowd", &address, "--sockets", &sockets];
        words.extend(are_connected.then_some("--connected"));
        let words: Vec<_> = words.into_iter().map(str::to_owned).collect();
        let process = self.start_traffic(&words)?;
        await_ready(&process)?;
        Ok(process)
    }

    /// Sends one datagram that may go so many hops, and answers with what its socket is told.
    fn trace(&self, address: SocketAddr, hops: u8) -> Result<Traced> {
        let words = ["trace", &address.to_string(), "--hops", &hops.to_string()];
        let text = self.run_traffic(&words.map(str::to_owned))?;
        serde_json::from_str(&text).with_context(|| format!("not a trace: {text}"))
    }

    /// Gets that many bytes from the server at `url` (its root), and compares hashes.
    fn download(&self, url: &str, bytes: u64) -> Result<Transfer> {
        let words = ["download", url, "--bytes", &bytes.to_string()].map(str::to_owned);
        parse_transfer(&self.run_traffic(&words)?)
    }

    /// Sends that many bytes to the server at `url` (its root), and compares hashes.
    fn upload(&self, url: &str, bytes: u64) -> Result<Transfer> {
        let words = ["upload", url, "--bytes", &bytes.to_string()].map(str::to_owned);
        parse_transfer(&self.run_traffic(&words)?)
    }

    /// Starts a load and waits for its first answer.
    fn load(&self, load: &Load) -> Result<Ongoing<LoadReport>> {
        Ongoing::start(self.start_traffic(load.arguments())?)
    }

    /// Opens a connection, waits for its first answer, and holds it.
    fn hold(&self, url: &str) -> Result<Hold> {
        Ongoing::start(self.start_traffic(&["hold".to_owned(), url.to_owned()])?)
    }

    /// The same, where each answer may take so long.
    fn hold_for(&self, url: &str, longest: Duration) -> Result<Hold> {
        let words = [
            "hold",
            url,
            "--timeout-ms",
            &longest.as_millis().to_string(),
        ];
        Ongoing::start(self.start_traffic(&words.map(str::to_owned))?)
    }

    /// Opens a connection, waits for its first answer, and asks once more when it is stopped.
    fn hold_idle(&self, url: &str) -> Result<Hold> {
        let words = ["hold", url, "--idle"].map(str::to_owned);
        Ongoing::start(self.start_traffic(&words)?)
    }

    /// Sends so many packets that nobody answers, and answers with what became of them.
    fn flood(&self, flood: Flood, count: u64, longest: Duration) -> Result<FloodReport> {
        Ongoing::start(self.start_traffic(&flood.arguments(count))?)?.finish(longest)
    }

    /// Starts to talk by UDP, and waits for the first answer. A new conversation begins after so many
    /// questions, if told.
    fn talk(
        &self,
        address: SocketAddr,
        questions: Option<u64>,
        is_connected: bool,
    ) -> Result<Talk> {
        let mut words = vec!["talk".to_owned(), address.to_string()];
        if let Some(questions) = questions {
            words.extend(["--questions".to_owned(), questions.to_string()]);
        }
        words.extend(is_connected.then(|| "--connected".to_owned()));
        Ongoing::start(self.start_traffic(&words)?)
    }

    /// As [`Traffic::talk`], where a question that is not answered within half a second is asked again.
    fn talk_patiently(
        &self,
        address: SocketAddr,
        questions: u64,
        is_connected: bool,
    ) -> Result<Talk> {
        let (address, questions) = (address.to_string(), questions.to_string());
        let mut words = vec!["talk", &address, "--questions", &questions];
        words.extend(["--repeat-ms", "500", "--timeout-ms", "10000"]);
        words.extend(is_connected.then_some("--connected"));
        let words: Vec<_> = words.into_iter().map(str::to_owned).collect();
        Ongoing::start(self.start_traffic(&words)?)
    }

    /// Runs `netproxy-traffic` to its end.
    fn run_traffic(&self, words: &[String]) -> Result<String> {
        run(self.name(), traffic(self, words)?)
    }

    /// Starts `netproxy-traffic`.
    fn start_traffic(&self, words: &[String]) -> Result<Process> {
        let title = words.first().map_or("traffic", String::as_str);
        self.site()
            .journal()
            .start(self.name(), title, traffic(self, words)?)
    }
}

impl<P: Place + ?Sized> Traffic for P {}

fn traffic<P: Place + ?Sized>(place: &P, words: &[String]) -> Result<Command> {
    let mut command = place.command(binary::find("netproxy-traffic")?.as_os_str())?;
    command.args(words);
    Ok(command)
}

fn await_ready(process: &Process) -> Result<Ready> {
    process.wait_for_line("its first answer", LONGEST_START, |line| {
        serde_json::from_str(line).ok()
    })
}

fn parse_transfer(text: &str) -> Result<Transfer> {
    serde_json::from_str(text).with_context(|| format!("not a transfer: {text}"))
}
