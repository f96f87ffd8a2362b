//! What becomes of REST requests while faults last: statuses, garbage, late snapshots.

use crate::faults::Fault;
use crate::protocol::Response;

/// The faults of REST that last.
#[derive(Default)]
pub struct RestFaults {
    status: Option<(u16, i64, Option<u32>)>,
    garbage: u32,
    slow: Option<(Option<String>, u32, i64)>,
}

/// An error that every request is answered with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Storm {
    /// The status.
    pub status: u16,
    /// What `Retry-After` is to say, if the fault says so.
    pub retry_after_s: Option<u32>,
    /// When it ends.
    pub until_ms: i64,
}

impl RestFaults {
    /// Begins a lasting fault; the others change nothing here.
    pub fn begin(&mut self, fault: &Fault, now_ms: i64) {
        match fault {
            Fault::RestStatus { status, for_ms, retry_after_s } => {
                self.status = Some((*status, now_ms + for_ms, *retry_after_s));
            }
            Fault::RestGarbage { requests } => self.garbage = *requests,
            Fault::SlowSnapshots { delay_ms, requests, symbol } => {
                self.slow = (*requests > 0).then(|| (symbol.clone(), *requests, *delay_ms));
            }
            _ => {}
        }
    }

    /// The error that a request is answered with now, if it is.
    pub fn storm(&self, now_ms: i64) -> Option<Storm> {
        let (status, until_ms, retry_after_s) = self.status.filter(|(_, until_ms, _)| now_ms < *until_ms)?;
        Some(Storm { status, retry_after_s, until_ms })
    }

    /// The answer spoilt, if it is to be: a page of a gateway, half of it, nothing, another type.
    pub fn spoil(&mut self, response: Response) -> Response {
        if self.garbage == 0 {
            return response;
        }
        self.garbage -= 1;
        match self.garbage % 4 {
            0 => Response::text(200, "<html><body><h1>It works!</h1></body></html>"),
            1 => Response { body: response.body[..response.body.len() / 2].to_vec(), ..response },
            2 => Response::json(200, ""),
            _ => Response::json(200, r#"{"unexpected":[true,null]}"#),
        }
    }

    /// How much later the next snapshot of a symbol is answered.
    pub fn snapshot_delay_ms(&mut self, symbol: &str) -> Option<i64> {
        let (wanted, requests, delay_ms) = self.slow.as_mut()?;
        if wanted.as_deref().is_some_and(|wanted| wanted != symbol) {
            return None;
        }
        let delay_ms = *delay_ms;
        *requests -= 1;
        if *requests == 0 {
            self.slow = None;
        }
        Some(delay_ms)
    }
}
