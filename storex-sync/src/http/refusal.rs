//! [`Refusal`]: an answer that is none of success, or no answer.

use std::time::Duration;

use super::client::Call;
use super::problem::{Code, PROBLEM_TYPE, Problem};
use super::transport::Response;
use crate::error::SyncError;

/// The longest that something between is left alone: it may be another one by then, in another network.
const LONGEST_OF_SOMEBODY_ELSE: Duration = Duration::from_secs(300);

/// An answer that is none of success, or no answer.
#[derive(Debug)]
pub(super) struct Refusal {
    /// What the server calls it, if it was the server that has answered.
    pub(super) code: Option<Code>,
    pub(super) error: SyncError,
}

impl From<SyncError> for Refusal {
    fn from(error: SyncError) -> Self {
        Self { code: None, error }
    }
}

impl From<Refusal> for SyncError {
    fn from(refusal: Refusal) -> Self {
        refusal.error
    }
}

impl Refusal {
    /// What the answer to a call means.
    pub(super) fn of(answer: &Response, call: &Call) -> Self {
        let during = call.during;
        let problem = answer
            .is_of_type(PROBLEM_TYPE)
            .then(|| serde_json::from_slice::<Problem>(&answer.body).ok())
            .flatten();
        let Some(mut problem) = problem else {
            return Self { code: None, error: of_somebody_else(answer, call) };
        };
        if problem.retry_after_ms.is_none() {
            problem.retry_after_ms = retry_after(answer).map(|it| it.as_secs() * 1000);
        }
        let code = problem.code;
        let error = match code {
            Code::NotFound => SyncError::Protocol {
                during,
                reason: "the server does not know this request: it is of another version"
                    .to_owned(),
            },
            _ => match problem.into_error(during) {
                SyncError::BodyTooLarge { limit, .. } => {
                    SyncError::BodyTooLarge { bytes: call.bytes(), limit }
                }
                error => error,
            },
        };
        Self { code: Some(code), error }
    }
}

/// What something between says (a gateway, a proxy, the log-in page of a network): only its status is believed.
fn of_somebody_else(answer: &Response, call: &Call) -> SyncError {
    let (status, during) = (answer.status, call.during);
    match (status, retry_after(answer)) {
        (401, _) => {
            let reason = "the server does not accept the token".to_owned();
            SyncError::Unauthorized { reason }
        }
        (413, _) => SyncError::BodyTooLarge { bytes: call.bytes(), limit: None },
        (429 | 503, Some(wait)) => {
            SyncError::RateLimited { retry_after: wait.min(LONGEST_OF_SOMEBODY_ELSE) }
        }
        (429, None) => SyncError::RateLimited { retry_after: Duration::from_secs(5) },
        (300..=399, _) => {
            let to = answer.header("location").unwrap_or("another address");
            let reason = format!("the server redirects to {to}, which is not followed");
            SyncError::Transport { during, reason }
        }
        _ => {
            let reason = format!("{status} was answered, and not by a server of storex");
            SyncError::Transport { during, reason }
        }
    }
}

/// The header of this name, in seconds. A date in it is not read.
fn retry_after(answer: &Response) -> Option<Duration> {
    let seconds = answer.header("retry-after")?.trim().parse::<u32>().ok()?;
    Some(Duration::from_secs(seconds.into()))
}
