//! `talk`: conversations by UDP, each from one socket to one endpoint.

use std::{net::SocketAddr, time::Duration};

use anyhow::{Context, Result, anyhow};
use clap::Args;
use netproxy_lab::report::{Answer, TalkReport};
use tokio::{
    net::UdpSocket,
    time::{interval, timeout},
};

use crate::{print, print_ready, stopped};

#[derive(Debug, Args)]
pub(crate) struct Talk {
    /// Whom to ask.
    address: SocketAddr,
    /// After how many questions the next conversation begins, from another socket; none unless given.
    #[arg(long)]
    questions: Option<u64>,
    /// Each conversation from a connected socket.
    #[arg(long)]
    connected: bool,
    /// How long from one question to the next.
    #[arg(long, default_value_t = 50)]
    interval_ms: u64,
    /// How long an answer may take.
    #[arg(long, default_value_t = 3000)]
    timeout_ms: u64,
    /// When a question that is not answered is asked again, as resolvers do; never unless given.
    #[arg(long)]
    repeat_ms: Option<u64>,
}

/// A conversation under way.
struct Conversation {
    socket: UdpSocket,
    questions: u64,
    endpoint: Option<String>,
}

impl Talk {
    pub(crate) async fn run(self) -> Result<()> {
        let mut report = TalkReport::default();
        let mut conversation = self.begin().await?;
        let mut ticks = interval(Duration::from_millis(self.interval_ms));
        let end = stopped();
        tokio::pin!(end);
        loop {
            let step = async {
                ticks.tick().await;
                if Some(conversation.questions) == self.questions {
                    conversation = self.begin().await?;
                    report.conversations += 1;
                }
                self.go_on(&mut conversation, &mut report).await
            };
            tokio::select! {
                result = step => result?,
                result = &mut end => {
                    result?;
                    break;
                }
            }
            if report.answered == 1 {
                print_ready(vec![conversation.socket.local_addr()?])?;
            }
        }
        print(&report)
    }

    async fn begin(&self) -> Result<Conversation> {
        let any = match self.address {
            SocketAddr::V4(_) => "0.0.0.0:0",
            SocketAddr::V6(_) => "[::]:0",
        };
        let socket = UdpSocket::bind(any).await?;
        if self.connected {
            socket.connect(self.address).await?;
        }
        Ok(Conversation {
            socket,
            questions: 0,
            endpoint: None,
        })
    }

    async fn go_on(&self, conversation: &mut Conversation, report: &mut TalkReport) -> Result<()> {
        conversation.questions += 1;
        let longest = Duration::from_millis(self.timeout_ms);
        let answer = timeout(longest, async {
            loop {
                let repeat = Duration::from_millis(self.repeat_ms.unwrap_or(u64::MAX));
                match timeout(repeat, self.ask(conversation)).await {
                    Ok(answer) => return answer,
                    Err(_) => report.repeated += 1,
                }
            }
        })
        .await;
        match answer.unwrap_or_else(|_| Err(anyhow!("no answer within {longest:?}"))) {
            Ok(answer) => {
                report.answered += 1;
                let endpoint = answer.endpoint;
                let before = conversation.endpoint.replace(endpoint.clone());
                if let Some(before) = before.filter(|before| *before != endpoint) {
                    report.moved += 1;
                    let port = conversation.socket.local_addr()?.port();
                    let error = format!("from port {port}: {endpoint} answers after {before}");
                    *report.errors.entry(error).or_default() += 1;
                }
            }
            Err(error) => {
                report.failed += 1;
                let port = conversation.socket.local_addr()?.port();
                let error = format!("from port {port}: {error:#}");
                *report.errors.entry(error).or_default() += 1;
            }
        }
        Ok(())
    }

    async fn ask(&self, conversation: &Conversation) -> Result<Answer> {
        let question = format!("{:x}", conversation.questions);
        let socket = &conversation.socket;
        if self.connected {
            socket.send(question.as_bytes()).await?;
        } else {
            socket.send_to(question.as_bytes(), self.address).await?;
        }
        let mut buffer = vec![0; 64 * 1024];
        loop {
            let (length, from) = socket.recv_from(&mut buffer).await?;
            let answer: Answer = serde_json::from_slice(&buffer[..length])
                .context("not an answer of netproxy-traffic")?;
            if answer.payload.as_deref() != Some(&question) {
                continue;
            }
            return if from == self.address {
                Ok(answer)
            } else {
                Err(anyhow!("answered by {from}"))
            };
        }
    }
}
