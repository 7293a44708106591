//! A session: both sides greet, one or two legs follow.

use storex_core::Query;

use super::event::{InitialSyncEvent, Role};
use super::frame::{Capabilities, Frame, Greeting, Terms, VERSIONS, Wants};
use super::line::Line;
use super::{BothWaysReport, InitialSync, receive, resume, send};
use crate::error::{During, Result, SyncError};
use crate::parked::parked;
use crate::stamp::Device;

const DURING: &str = "greeting the other side";

/// What this side can do beyond what all can, and what it wants.
fn capabilities(sync: &InitialSync) -> Capabilities {
    let can = Capabilities::RESUME;
    if sync.difference_only { can.with(Capabilities::DIFFERENCE) } else { can }
}

/// What both sides have agreed upon.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Agreed {
    /// What this side does first.
    pub(super) first: Role,
    /// Whether the other direction follows.
    pub(super) both_ways: bool,
    /// What both can do.
    pub(super) capabilities: Capabilities,
    /// How many pages the other side takes unanswered.
    pub(super) window: usize,
    /// The device on the other side.
    pub(super) other: Device,
}

impl Agreed {
    /// Whether only what differs is sent.
    pub(super) fn compares(&self) -> bool {
        self.capabilities.has(Capabilities::DIFFERENCE)
    }

    /// Whether it goes on where an earlier one was cut. One that compares finds what is there already.
    pub(super) fn resumes(&self) -> bool {
        self.capabilities.has(Capabilities::RESUME) && !self.compares()
    }

    /// Whether nothing follows when this side has done that.
    pub(super) fn is_last(&self, role: Role) -> bool {
        !self.both_ways || role != self.first
    }
}

/// Runs a session to its end, and tells the other side if it fails.
pub(super) async fn run(
    sync: &InitialSync,
    line: &mut Line<'_>,
    wants: Wants,
) -> Result<BothWaysReport> {
    let result = session(sync, line, wants).await;
    if let Err(error) = &result {
        line.give_up(error).await;
    }
    result
}

async fn session(sync: &InitialSync, line: &mut Line<'_>, wants: Wants) -> Result<BothWaysReport> {
    let agreed = greet(sync, line, wants).await?;
    let mut report = BothWaysReport::default();
    leg(sync, line, &agreed, agreed.first, &mut report).await?;
    if agreed.both_ways {
        let (before, after) = (agreed.first, agreed.first.other());
        sync.observers.tell(&InitialSyncEvent::RoleSwitch { before, after });
        leg(sync, line, &agreed, after, &mut report).await?;
    }
    if agreed.both_ways || agreed.first == Role::Receiver {
        resume::forget(&sync.replica).await?;
    }
    sync.observers.tell(&InitialSyncEvent::Finished);
    Ok(report)
}

/// One direction.
async fn leg(
    sync: &InitialSync,
    line: &mut Line<'_>,
    agreed: &Agreed,
    role: Role,
    report: &mut BothWaysReport,
) -> Result<()> {
    match role {
        Role::Sender => report.sent = send::run(sync, line, Some(agreed)).await?,
        Role::Receiver => report.received = receive::run(sync, line, Some(agreed)).await?,
    }
    if agreed.is_last(role) {
        line.is_through();
    }
    if role == Role::Receiver {
        // Everything is here now, so it can be judged by the rules of the merge.
        sync.replica.retry_parked(parked(&sync.replica.storage).await?).await?;
    }
    Ok(())
}

/// Both sides greet at once, and come to the same.
async fn greet(sync: &InitialSync, line: &mut Line<'_>, wants: Wants) -> Result<Agreed> {
    let ours = terms(sync, wants).await?;
    let greeting = Greeting { versions: VERSIONS, terms: Some(ours.clone()) };
    line.send(&Frame::Greeting(greeting)).await?;
    match line.receive(DURING).await? {
        Frame::Greeting(theirs) => agree(&ours, &theirs),
        Frame::Hello(_) => Err(broken("it does not greet, as older programs do; update it")),
        other => Err(other.unexpected(DURING)),
    }
}

async fn terms(sync: &InitialSync, wants: Wants) -> Result<Terms> {
    let replica = &sync.replica;
    let (head, devices) = replica.head().await?;
    let device = devices.device(head.me).ok_or(SyncError::NoSyncLog)?;
    let mut objects = 0;
    // Only who receives first is decided by it.
    let counted = if wants == Wants::BothWays { sync.collections() } else { Vec::new() };
    for (collection, _) in counted {
        let query = Query::new(collection.name().clone());
        objects += replica.storage.count(query).await.during("counting objects")?;
    }
    let schema = replica.storage.registry().fingerprint();
    let window = sync.window as u64;
    Ok(Terms { capabilities: capabilities(sync), device, schema, wants, objects, window })
}

fn agree(ours: &Terms, theirs: &Greeting) -> Result<Agreed> {
    let Some(terms) = &theirs.terms else { return Err(no_common_version(theirs)) };
    let first = match (ours.wants, terms.wants) {
        (Wants::Send, Wants::Receive) => Role::Sender,
        (Wants::Receive, Wants::Send) => Role::Receiver,
        (Wants::BothWays, Wants::BothWays) => first_of_both(ours, terms)?,
        (Wants::Send, Wants::Send) => return Err(broken("both sides want to send")),
        (Wants::Receive, Wants::Receive) => return Err(broken("both sides want to receive")),
        (Wants::BothWays, _) | (_, Wants::BothWays) => {
            return Err(broken("one side wants both ways and the other one way only"));
        }
    };
    Ok(Agreed {
        first,
        both_ways: ours.wants == Wants::BothWays,
        capabilities: ours.capabilities.and(terms.capabilities),
        window: usize::try_from(terms.window).unwrap_or(usize::MAX).max(1),
        other: terms.device,
    })
}

/// Whoever has more receives first; the lower device, where both have as many.
fn first_of_both(ours: &Terms, theirs: &Terms) -> Result<Role> {
    let rank = |terms: &Terms| (terms.objects, std::cmp::Reverse(terms.device));
    match rank(ours).cmp(&rank(theirs)) {
        std::cmp::Ordering::Greater => Ok(Role::Receiver),
        std::cmp::Ordering::Less => Ok(Role::Sender),
        std::cmp::Ordering::Equal => Err(broken(
            "both sides are the same device, so it cannot be said which one receives first",
        )),
    }
}

fn no_common_version(theirs: &Greeting) -> SyncError {
    let older =
        if theirs.versions.start() > VERSIONS.end() { "this program" } else { "its program" };
    broken(&format!(
        "it speaks versions {} to {} of the initial sync, this program {} to {}; {older} is older: update it",
        theirs.versions.start(),
        theirs.versions.end(),
        VERSIONS.start(),
        VERSIONS.end(),
    ))
}

fn broken(reason: &str) -> SyncError {
    SyncError::Protocol { during: DURING, reason: reason.to_owned() }
}
