//! Commands that go on until they are ended, and how they end.

use std::fs::File;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::os::fd::{AsFd as _, OwnedFd};
use std::path::Path;
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use aya::programs::links::{FdLink, PinnedLink};
use aya::programs::{SchedClassifier, loaded_programs};
use aya::{TestRun as _, TestRunOptions};
use netproxy::datapath::{Counters, Pins};
use netproxy_common::Counter;
use nix::fcntl::{FcntlArg, fcntl};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::pty::{OpenptyResult, Winsize, openpty};
use nix::sys::signal::{Signal, kill};
use nix::sys::termios::{Termios, tcgetattr};
use nix::unistd::Pid;
use serde_json::Value;

use crate::node::{Node, command, enter_drops, enter_flow, text, uplink};
use crate::objects::{basket, cart};

/// A monitor that listens, with its output in pipes.
fn monitor(node: &Node, words: &str) -> Child {
    let mut child = command(node.path(), &format!("monitor {words}"))
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut said = String::new();
    let stderr = child.stderr.as_mut().unwrap();
    let mut byte = [0];
    while !said.ends_with('\n') && stderr.read(&mut byte).unwrap() > 0 {
        said.push(char::from(byte[0]));
    }
    assert!(said.starts_with("listening"), "{said}");
    child
}

/// Its exit code; it must end soon.
#[track_caller]
fn code(child: &mut Child) -> Option<i32> {
    let deadline = Instant::now() + Duration::from_secs(20);
    loop {
        if let Some(status) = child.try_wait().unwrap() {
            return status.code();
        }
        if Instant::now() > deadline {
            let _ = child.kill();
            panic!("it does not end");
        }
        std::thread::sleep(Duration::from_millis(5));
    }
}

fn signal(child: &Child, signal: Signal) {
    let pid = Pid::from_raw(i32::try_from(child.id()).unwrap());
    kill(pid, signal).unwrap();
}

#[test]
fn a_monitor_ends_without_an_error_when_it_is_told_to() {
    let node = Node::new();
    let _datapath = node.datapath();

    for end in [Signal::SIGINT, Signal::SIGTERM, Signal::SIGHUP] {
        let mut child = monitor(&node, "");
        signal(&child, end);

        assert_eq!(code(&mut child), Some(0), "{end}");
        let mut rest = String::new();
        child
            .stderr
            .take()
            .unwrap()
            .read_to_string(&mut rest)
            .unwrap();
        assert_eq!(rest, "", "{end}");
    }
}

/// Nothing happens that it could fail to tell.
#[test]
fn a_monitor_ends_when_its_reader_is_gone() {
    let node = Node::new();
    let _datapath = node.datapath();

    for words in ["", "-o json"] {
        let mut child = monitor(&node, words);
        drop(child.stdout.take());

        assert_eq!(code(&mut child), Some(0), "{words}");
    }
}

#[test]
fn a_monitor_begins_with_the_names_of_its_columns() {
    let node = Node::new();
    let _datapath = node.datapath();
    let mut child = monitor(&node, "");

    let mut head = String::new();
    BufReader::new(child.stdout.as_mut().unwrap())
        .read_line(&mut head)
        .unwrap();
    signal(&child, Signal::SIGTERM);

    let columns: Vec<_> = head.split_whitespace().collect();
    assert_eq!(columns[..3], ["TIME", "EVENT", "BY"], "{head}");
    assert_eq!(code(&mut child), Some(0));
}

/// An empty datagram from 192.0.2.9:4000 to port 9 of `basket`'s cluster IP, where no service is.
const ASTRAY: [u8; 42] = [
    0, 0, 0, 0, 0, 0, 2, 2, 2, 2, 2, 2, 8,
    0, // Ethernet, to the loopback device, as test runs are
    0x45, 0, 0, 28, 0, 1, 0, 0, 64, 17, 0, 0, 192, 0, 2, 9, 10, 96, 0, 10, // IPv4
    0x0f, 0xa0, 0, 9, 0, 8, 0, 0, // UDP
];

/// Neither traffic nor its own end waits for whoever reads it.
#[test]
fn a_monitor_whose_reader_stands_still_can_be_ended() {
    let node = Node::new();
    let mut datapath = node.datapath();
    let uplink = uplink();
    let pin = Pins::new(node.path())
        .links()
        .join(format!("{}-ingress", uplink.ifindex));
    datapath.apply(&[basket()]).unwrap();
    datapath.set_devices(&[uplink]).unwrap();
    let ingress = program_behind(&pin);
    let mut child = monitor(&node, "");
    let pipe = child.stdout.as_ref().unwrap();
    fcntl(pipe, FcntlArg::F_SETPIPE_SZ(8192)).unwrap();
    let counters = Counters::open(&Pins::new(node.path())).unwrap();
    let deadline = Instant::now() + Duration::from_mins(1);

    // Several times what pipe and buffer hold: the monitor has stopped to read.
    while counters.get(Counter::EventLost).unwrap() < 50_000 {
        assert!(Instant::now() < deadline, "everything is read");
        let mut room = [0; 512];
        let _ = ingress.test_run(TestRunOptions {
            data_in: Some(&ASTRAY),
            data_out: Some(&mut room),
            ..Default::default()
        });
    }
    signal(&child, Signal::SIGTERM);

    assert_eq!(code(&mut child), Some(0));
    let mut told = String::new();
    child
        .stdout
        .take()
        .unwrap()
        .read_to_string(&mut told)
        .unwrap();
    let first = told.lines().nth(1).unwrap();
    for word in ["192.0.2.9:4000", "10.96.0.10:9", "unused_port"] {
        assert!(first.contains(word), "{first}");
    }
}

/// The program that a device's pinned link, or its filter, runs.
fn program_behind(pin: &Path) -> SchedClassifier {
    let link = FdLink::from(PinnedLink::from_pin(pin).unwrap());
    let id = link.info().unwrap().program_id();
    let mut programs = loaded_programs().filter_map(Result::ok);
    let info = programs.find(|program| program.id() == id).unwrap();
    SchedClassifier::from_program_info(info, "tc_ingress".into()).unwrap()
}

#[test]
fn top_prints_so_many_reports_where_nobody_looks_at_a_terminal() {
    let node = Node::new();
    let mut datapath = node.datapath();
    datapath.apply(&[cart(), basket()]).unwrap();
    drop(datapath);
    let id = node.json("services cart:http")[0]["id"].as_u64().unwrap();
    enter_flow(&node, u32::try_from(id).unwrap(), [192, 0, 2, 7]);
    enter_flow(&node, u32::try_from(id).unwrap(), [192, 0, 2, 8]);

    let once = node.prints("top --once --interval 0.1");
    let twice = node.prints("top --count 2 --interval 0.1 -o json");
    let others = node.prints("top --once --interval 0.1 --service basket");

    assert!(once.contains("flows: 2 (2 assured, 0 pending)"), "{once}");
    assert!(once.contains("\nSERVICE "), "{once}");
    let row = once.lines().last().unwrap();
    let cells: Vec<_> = row.split_whitespace().collect();
    // What follows is by the second.
    assert_eq!(cells[..3], ["shop/cart:http", "TCP", "2"]);
    assert_eq!(cells[3..], ["0.0"; 5]);
    let reports: Vec<Value> = twice
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert_eq!(reports.len(), 2, "{twice}");
    assert_eq!(reports[1]["services"][0]["flows"], 2);
    assert_eq!(reports[1]["per_s"]["drops"], 0.0);
    assert!(others.ends_with("\nnothing is going on\n"), "{others}");
}

#[test]
fn top_ends_when_it_is_told_to_or_its_reader_is_gone() {
    let node = Node::new();
    let _datapath = node.datapath();
    let top = || {
        command(node.path(), "top --interval 0.1 -o json")
            .stdout(Stdio::piped())
            .spawn()
            .unwrap()
    };

    let mut told = top();
    let mut first = String::new();
    BufReader::new(told.stdout.as_mut().unwrap())
        .read_line(&mut first)
        .unwrap();
    signal(&told, Signal::SIGTERM);
    let mut left = top();
    drop(left.stdout.take());

    assert_eq!(code(&mut told), Some(0));
    assert_eq!(code(&mut left), Some(0));
}

/// A terminal, and what is shown on it.
struct Terminal {
    ours: File,
    theirs: OwnedFd,
    shown: String,
}

impl Terminal {
    fn new() -> Self {
        let size = Winsize {
            ws_row: 20,
            ws_col: 60,
            ws_xpixel: 0,
            ws_ypixel: 0,
        };
        let OpenptyResult { master, slave } = openpty(&size, None).unwrap();
        Self {
            ours: File::from(master),
            theirs: slave,
            shown: String::new(),
        }
    }

    fn start(&self, node: &Node, words: &str) -> Child {
        let end = || Stdio::from(self.theirs.try_clone().unwrap());
        command(node.path(), words)
            .stdin(end())
            .stdout(end())
            .stderr(end())
            .spawn()
            .unwrap()
    }

    fn attributes(&self) -> Termios {
        tcgetattr(&self.theirs).unwrap()
    }

    /// Reads until this is shown, once more.
    fn shows(&mut self, wanted: &str) {
        let from = self.shown.len();
        let mut bytes = [0; 4096];
        while !self.shown[from..].contains(wanted) {
            let mut ours = [PollFd::new(self.ours.as_fd(), PollFlags::POLLIN)];
            let is_more = poll(&mut ours, PollTimeout::from(20_000_u16)).unwrap() > 0;
            assert!(is_more, "no {wanted:?} in {:?}", &self.shown[from..]);
            let length = self.ours.read(&mut bytes).unwrap();
            self.shown.push_str(&text(&bytes[..length]));
        }
    }

    fn presses(&mut self, key: &[u8]) {
        self.ours.write_all(key).unwrap();
    }
}

const OTHER_SCREEN: &str = "\x1b[?1049h";
const SHELLS_SCREEN: &str = "\x1b[?1049l";
const CURSOR: &str = "\x1b[?25h";

#[test]
fn top_redraws_a_terminal_and_gives_it_back_whole() {
    let node = Node::new();
    let mut datapath = node.datapath();
    datapath.apply(&[cart(), basket()]).unwrap();
    drop(datapath);
    let services = node.json("services");
    let id = |name: &str| {
        let mut found = services.as_array().unwrap().iter();
        let row = found.find(|row| row["name"] == name).unwrap();
        u32::try_from(row["id"].as_u64().unwrap()).unwrap()
    };
    enter_flow(&node, id("cart"), [192, 0, 2, 7]);

    for end in ["q", "\x03", "SIGTERM"] {
        let mut terminal = Terminal::new();
        let before = terminal.attributes();
        let mut child = terminal.start(&node, "top --interval 0.1");
        terminal.shows("shop/cart");
        assert!(
            terminal.shown.starts_with(OTHER_SCREEN),
            "{:?}",
            terminal.shown
        );
        assert_ne!(terminal.attributes(), before);
        // An arrow and keys that sort do not end it.
        terminal.presses(b"\x1b[A");
        terminal.presses(b"s");
        terminal.shows("flows: 1 ");
        if end == "SIGTERM" {
            signal(&child, Signal::SIGTERM);
        } else {
            terminal.presses(end.as_bytes());
        }

        assert_eq!(code(&mut child), Some(0), "{end:?}");
        terminal.shows(SHELLS_SCREEN);
        assert!(terminal.shown.contains(CURSOR), "{:?}", terminal.shown);
        assert_eq!(terminal.attributes(), before, "{end:?}");
    }
}

/// Later counts are told as rates, not as what they are.
#[test]
fn top_tells_drops_of_the_last_interval() {
    let node = Node::new();
    let mut datapath = node.datapath();
    datapath.apply(&[basket()]).unwrap();
    drop(datapath);
    let id = node.json("services basket")[0]["id"].as_u64().unwrap();
    let id = u32::try_from(id).unwrap();
    enter_drops(&node, id, Counter::NoEndpoint, 1000);
    let mut child = command(node.path(), "top --interval 0.2 -o json")
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let mut report = || -> Value { serde_json::from_str(&lines.next().unwrap().unwrap()).unwrap() };

    let quiet = report();
    enter_drops(&node, id, Counter::NoEndpoint, 1004);
    let rate = std::iter::repeat_with(report)
        .take(50)
        .find_map(|report| report["services"][0]["drops_per_s"].as_f64())
        .unwrap();
    signal(&child, Signal::SIGTERM);

    assert_eq!(quiet["services"], Value::Array(Vec::new()));
    assert!((1.0..=20.0).contains(&rate), "{rate}");
    assert_eq!(code(&mut child), Some(0));
}
