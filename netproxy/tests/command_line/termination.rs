//! The process that ends sockets, as the agent starts it.

use std::io::Write as _;
use std::net::{SocketAddr, UdpSocket};
use std::os::fd::{AsFd as _, BorrowedFd};
use std::process::{Command, Stdio};

use netproxy::node::socket_option;
use netproxy::terminate::{COMMAND, Doomed, Fate};
use netproxy_common::protocol::UDP;

const PROGRAM: &str = env!("CARGO_BIN_EXE_netproxy");

/// What the process says, line by line, to these orders.
fn answers(mut command: Command, orders: &[Vec<Doomed>]) -> Vec<String> {
    let mut process = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("setpriv: apt-get install util-linux");
    let mut stdin = process.stdin.take().unwrap();
    for order in orders {
        let line = serde_json::to_string(order).unwrap();
        // One that is unable reads nothing.
        let _ = writeln!(stdin, "{line}");
    }
    drop(stdin);
    let output = process.wait_with_output().unwrap();
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout)
        .unwrap()
        .lines()
        .map(str::to_owned)
        .collect()
}

fn with_capabilities(capabilities: &str) -> Command {
    let mut command = Command::new("setpriv");
    command
        .arg(format!("--bounding-set=-all,{capabilities}"))
        .args(["--inh-caps=-all", PROGRAM, COMMAND]);
    command
}

fn connected() -> (UdpSocket, Doomed) {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    let endpoint = "127.0.0.1:9".parse().unwrap();
    socket.connect(endpoint).unwrap();
    let doomed = doom(socket.as_fd(), endpoint);
    (socket, doomed)
}

fn doom(socket: BorrowedFd<'_>, endpoint: SocketAddr) -> Doomed {
    Doomed {
        netns: socket_option(socket, libc::SO_NETNS_COOKIE).unwrap(),
        cookie: socket_option(socket, libc::SO_COOKIE).unwrap(),
        protocol: UDP,
        endpoint,
    }
}

#[test]
fn a_socket_is_ended_only_under_its_own_cookie_and_endpoint() {
    let (socket, doomed) = connected();
    let others = [
        Doomed {
            cookie: doomed.cookie + 1,
            ..doomed
        },
        Doomed {
            endpoint: "127.0.0.1:10".parse().unwrap(),
            ..doomed
        },
        Doomed {
            netns: u64::MAX,
            ..doomed
        },
    ];
    let mut command = Command::new(PROGRAM);
    command.arg(COMMAND);

    let answers = answers(command, &[others.to_vec(), vec![doomed], vec![doomed]]);

    let fates = |line: &str| serde_json::from_str::<Vec<Fate>>(line).unwrap();
    assert_eq!(answers[0], "\"Ready\"");
    assert_eq!(
        fates(&answers[1]),
        [Fate::Gone, Fate::Gone, Fate::Unreachable]
    );
    assert_eq!(fates(&answers[2]), [Fate::Ended]);
    assert_eq!(fates(&answers[3]), [Fate::Gone]);
    let told = socket.recv(&mut [0]).unwrap_err();
    assert_eq!(told.raw_os_error(), Some(libc::ECONNABORTED));
}

#[test]
fn sockets_that_share_their_tuple_are_all_ended() {
    let share = || {
        let socket =
            socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::DGRAM, None).unwrap();
        socket.set_reuse_address(true).unwrap();
        socket
    };
    let from: SocketAddr = "127.0.0.77:47011".parse().unwrap();
    let endpoint: SocketAddr = "127.0.0.77:9".parse().unwrap();
    let sockets: Vec<_> = (0..5).map(|_| share()).collect();
    for socket in &sockets {
        socket.bind(&from.into()).unwrap();
        socket.connect(&endpoint.into()).unwrap();
    }
    let doomed: Vec<_> = sockets
        .iter()
        .map(|socket| doom(socket.as_fd(), endpoint))
        .collect();
    let mut command = Command::new(PROGRAM);
    command.arg(COMMAND);

    let answers = answers(command, &[doomed]);

    let fates: Vec<Fate> = serde_json::from_str(&answers[1]).unwrap();
    assert_eq!(fates, vec![Fate::Ended; sockets.len()]);
}

#[test]
fn three_capabilities_are_enough_to_end_sockets() {
    let (socket, doomed) = connected();

    let answers = answers(
        with_capabilities("+sys_admin,+sys_ptrace,+net_admin"),
        &[vec![doomed]],
    );

    assert_eq!(answers, ["\"Ready\"", "[\"Ended\"]"]);
    assert!(socket.recv(&mut [0]).is_err());
}

#[test]
fn a_capability_that_is_missing_is_named_before_anything_is_done() {
    for (granted, missing) in [
        ("+sys_ptrace,+net_admin", "CAP_SYS_ADMIN"),
        ("+sys_ptrace,+sys_admin", "CAP_NET_ADMIN"),
    ] {
        let (_, doomed) = connected();

        let answers = answers(with_capabilities(granted), &[vec![doomed]]);

        assert_eq!(answers.len(), 1, "{answers:?}");
        assert!(answers[0].contains("Unable"), "{answers:?}");
        assert!(answers[0].contains(missing), "{answers:?}");
    }
}
