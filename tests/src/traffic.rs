//! Real requests from and to places, by `netproxy-traffic`, with typed results.

use std::{net::SocketAddr, process::Command, time::Duration};

use anyhow::{Context, Result, ensure};
use serde::de::DeserializeOwned;

use crate::{
    Answers, Place, Process, binary,
    place::run,
    report::{HoldReport, LoadReport, Ready, Transfer},
};

/// How long a server may take to listen, and a load to get its first answer.
const LONGEST_START: Duration = Duration::from_secs(10);
/// How long a load may take to end when it is told to.
const LONGEST_END: Duration = Duration::from_secs(20);

/// What a server listens on, on IPv4 and IPv6.
#[derive(Clone, Debug, Default)]
#[must_use]
pub struct Serve {
    name: Option<String>,
    http: Vec<u16>,
    udp: Vec<u16>,
}

impl Serve {
    /// A server that listens on nothing yet and has its place's name.
    pub fn new() -> Self {
        Self::default()
    }

    /// The name it answers with.
    pub fn name(mut self, name: &str) -> Self {
        self.name = Some(name.to_owned());
        self
    }

    /// Adds a TCP port for HTTP.
    pub fn http(mut self, port: u16) -> Self {
        self.http.push(port);
        self
    }

    /// Adds a UDP port.
    pub fn udp(mut self, port: u16) -> Self {
        self.udp.push(port);
        self
    }
}

/// HTTP requests, one after the other, each on a connection of its own.
#[derive(Clone, Debug)]
#[must_use]
pub struct Get {
    arguments: Vec<String>,
}

impl Get {
    /// One request.
    pub fn new(url: &str) -> Self {
        Self {
            arguments: vec!["get".to_owned(), url.to_owned()],
        }
    }

    /// How many.
    pub fn count(mut self, count: usize) -> Self {
        self.arguments
            .extend(["--count".to_owned(), count.to_string()]);
        self
    }

    /// All on one connection.
    pub fn keep_alive(mut self) -> Self {
        self.arguments.push("--keep-alive".to_owned());
        self
    }

    /// How long each may take (2 s unless told).
    pub fn timeout(mut self, longest: Duration) -> Self {
        self.arguments
            .extend(["--timeout-ms".to_owned(), longest.as_millis().to_string()]);
        self
    }

    /// The client's own address and port; port 0 is any.
    pub fn from(mut self, local: SocketAddr) -> Self {
        self.arguments
            .extend(["--from".to_owned(), local.to_string()]);
        self
    }
}

/// UDP datagrams, one after the other, each awaiting its answer, each from a socket of its own.
#[derive(Clone, Debug)]
#[must_use]
pub struct Ask {
    arguments: Vec<String>,
}

impl Ask {
    /// One datagram.
    pub fn new(address: SocketAddr) -> Self {
        Self {
            arguments: vec!["ask".to_owned(), address.to_string()],
        }
    }

    /// How many.
    pub fn count(mut self, count: usize) -> Self {
        self.arguments
            .extend(["--count".to_owned(), count.to_string()]);
        self
    }

    /// All from one socket.
    pub fn same_socket(mut self) -> Self {
        self.arguments.push("--same-socket".to_owned());
        self
    }

    /// All from one socket, which is connected, so that the kernel drops answers from elsewhere.
    pub fn connected(mut self) -> Self {
        self.arguments.push("--connected".to_owned());
        self
    }

    /// How long to wait after each answer.
    pub fn interval(mut self, interval: Duration) -> Self {
        self.arguments
            .extend(["--interval-ms".to_owned(), interval.as_millis().to_string()]);
        self
    }

    /// How long each may take (2 s unless told).
    pub fn timeout(mut self, longest: Duration) -> Self {
        self.arguments
            .extend(["--timeout-ms".to_owned(), longest.as_millis().to_string()]);
        self
    }

    /// The client's own address and port; port 0 is any.
    pub fn from(mut self, local: SocketAddr) -> Self {
        self.arguments
            .extend(["--from".to_owned(), local.to_string()]);
        self
    }
}

/// Requests without a pause.
#[derive(Clone, Debug)]
#[must_use]
pub struct Load {
    arguments: Vec<String>,
}

impl Load {
    /// Requests by one client, until stopped.
    pub fn new(url: &str) -> Self {
        Self {
            arguments: vec!["load".to_owned(), url.to_owned()],
        }
    }

    /// How many clients ask at once.
    pub fn concurrency(mut self, clients: usize) -> Self {
        self.arguments
            .extend(["--concurrency".to_owned(), clients.to_string()]);
        self
    }

    /// Every client keeps its connection.
    pub fn keep_alive(mut self) -> Self {
        self.arguments.push("--keep-alive".to_owned());
        self
    }

    /// Ends by itself.
    pub fn seconds(mut self, seconds: u64) -> Self {
        self.arguments
            .extend(["--seconds".to_owned(), seconds.to_string()]);
        self
    }
}

/// A load or a held connection that goes on.
#[derive(Debug)]
pub struct Ongoing<Report> {
    process: Process,
    report: std::marker::PhantomData<Report>,
}

/// One TCP connection with a request every 100 ms.
pub type Hold = Ongoing<HoldReport>;

impl<Report: DeserializeOwned> Ongoing<Report> {
    fn start(process: Process) -> Result<Self> {
        await_ready(&process)?;
        Ok(Self {
            process,
            report: std::marker::PhantomData,
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
        ensure!(
            !(serve.http.is_empty() && serve.udp.is_empty()),
            "the server has no port"
        );
        let mut words = vec!["serve".to_owned()];
        let name = serve.name.clone().unwrap_or_else(|| self.name().to_owned());
        words.extend(["--name".to_owned(), name]);
        for port in &serve.http {
            words.extend(["--http".to_owned(), port.to_string()]);
        }
        for port in &serve.udp {
            words.extend(["--udp".to_owned(), port.to_string()]);
        }
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
        Answers::parse(&self.run_traffic(&get.arguments)?)
    }

    /// Asks by UDP, each time from a new socket.
    fn ask(&self, address: SocketAddr, count: usize) -> Result<Answers> {
        self.ask_with(&Ask::new(address).count(count))
    }

    /// Asks by UDP.
    fn ask_with(&self, ask: &Ask) -> Result<Answers> {
        Answers::parse(&self.run_traffic(&ask.arguments)?)
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
        Ongoing::start(self.start_traffic(&load.arguments)?)
    }

    /// Opens a connection, waits for its first answer, and holds it.
    fn hold(&self, url: &str) -> Result<Hold> {
        Ongoing::start(self.start_traffic(&["hold".to_owned(), url.to_owned()])?)
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
