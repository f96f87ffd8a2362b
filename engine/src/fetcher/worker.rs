//! The threads that ask: one request at a time each, blocking, decoded where it arrives.

use super::query;
use super::queue::{Reply, Ticket};
use crate::connector::Trust;
use crate::fetch::{Answer, FetchRequest};
use crate::limits::{FETCH_BODY_BYTES_MAX, FETCH_CONNECT_TIMEOUT_MS, FETCH_TIMEOUT_MS, FETCHES_INFLIGHT_MAX};
use codec::time::Now;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::Duration;
use ureq::http::Response;
use ureq::tls::{Certificate, RootCerts, TlsConfig};
use ureq::{Agent, Body};

/// A request on its way.
pub(super) struct Job {
    pub ticket: Ticket,
    pub asked: Now,
}

/// A request that is back.
pub(super) struct Done {
    pub worker: usize,
    pub job: Job,
    pub reply: Reply,
    /// Present when the reply is good.
    pub answer: Option<Answer>,
}

/// One venue's threads.
pub(super) struct Pool {
    jobs: Vec<Sender<Job>>,
    idle: Vec<usize>,
}

impl Pool {
    /// Starts the threads.
    pub fn start(rest_url: &str, trust: Option<&Trust>, done: &Sender<Done>) -> std::io::Result<Self> {
        let agent = agent(trust);
        let mut jobs = Vec::new();
        for worker in 0..FETCHES_INFLIGHT_MAX {
            let (sender, receiver) = channel();
            jobs.push(sender);
            let (agent, rest_url, done) = (agent.clone(), rest_url.to_owned(), done.clone());
            std::thread::Builder::new()
                .name("fetch".to_owned())
                .spawn(move || work(worker, &agent, &rest_url, &receiver, &done))?;
        }
        Ok(Self { jobs, idle: (0..FETCHES_INFLIGHT_MAX).collect() })
    }

    /// Gives a job to an idle thread; the queue never has more in flight than there are.
    pub fn ask(&mut self, job: Job) -> Result<(), Job> {
        let Some(worker) = self.idle.pop() else { return Err(job) };
        self.jobs[worker].send(job).map_err(|error| error.0)
    }

    /// Notes that a thread is idle again.
    pub fn is_back(&mut self, worker: usize) {
        self.idle.push(worker);
    }
}

fn agent(trust: Option<&Trust>) -> Agent {
    let mut config = Agent::config_builder()
        .http_status_as_error(false)
        .max_redirects(0)
        .max_redirects_will_error(false)
        // The WebSocket goes straight to the venue, so REST does, too.
        .proxy(None)
        .user_agent(concat!("slipstream/", env!("CARGO_PKG_VERSION")))
        .timeout_global(Some(Duration::from_millis(FETCH_TIMEOUT_MS)))
        .timeout_connect(Some(Duration::from_millis(FETCH_CONNECT_TIMEOUT_MS)))
        .max_idle_connections_per_host(FETCHES_INFLIGHT_MAX);
    if let Some(trust) = trust {
        let roots: Vec<_> = trust.roots.iter().map(|root| Certificate::from_der(root).to_owned()).collect();
        config = config.tls_config(
            TlsConfig::builder()
                .root_certs(RootCerts::Specific(Arc::new(roots)))
                .unversioned_rustls_crypto_provider(Arc::clone(&trust.provider))
                .build(),
        );
    }
    config.build().new_agent()
}

/// A thread's life: ends when the fetcher is gone.
fn work(worker: usize, agent: &Agent, rest_url: &str, jobs: &Receiver<Job>, done: &Sender<Done>) {
    while let Ok(job) = jobs.recv() {
        let (reply, answer) = ask(agent, rest_url, &job.ticket.request);
        if done.send(Done { worker, job, reply, answer }).is_err() {
            return;
        }
    }
}

fn ask(agent: &Agent, rest_url: &str, request: &FetchRequest) -> (Reply, Option<Answer>) {
    let failed = |message: String| (Reply { message, ..Reply::default() }, None);
    let Ok(wire) = query::wire(rest_url, request) else {
        let message = "the venue has no such query".to_owned();
        return (Reply { status: 400, message, ..Reply::default() }, None);
    };
    let sent = match &wire.body {
        None => agent.get(&wire.url).call(),
        Some(body) => agent.post(&wire.url).header("Content-Type", "application/json").send(body),
    };
    let mut response = match sent {
        Ok(response) => response,
        Err(error) => return failed(format!("{}: {error}", wire.url)),
    };
    let number = |name: &str| response.headers().get(name)?.to_str().ok()?.trim().parse::<u64>().ok();
    let reply = Reply {
        status: response.status().as_u16(),
        retry_after_s: number("retry-after"),
        used_weight: number("x-mbx-used-weight-1m").and_then(|weight| u32::try_from(weight).ok()),
        ..Reply::default()
    };
    let body = match read(&mut response) {
        Ok(body) => body,
        // A refusal stays one, whatever its body.
        Err(_) if reply.status >= 300 => Vec::new(),
        Err(error) => return failed(format!("{}: reading the answer: {error}", wire.url)),
    };
    query::understand(request, reply, body, &wire.url)
}

fn read(response: &mut Response<Body>) -> Result<Vec<u8>, ureq::Error> {
    response.body_mut().with_config().limit(FETCH_BODY_BYTES_MAX).read_to_vec()
}
