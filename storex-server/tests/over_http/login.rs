//! Tokens that expire, and who gets another one.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use storex_server::{Config, Identity, ServerError, User, Verifier, VerifyWith};
use storex_sync::http::{SharedToken, Token, TokenSource, Tokens};
use storex_sync::{ContinuousSync, Phase, Result, SyncError, parked, rejected};
use tokio::time::sleep;

use crate::SECOND;
use crate::world::{Device, Site, assert_in_step, let_run, until};

/// An identity provider: its tokens are `access 1` and `refresh 1`, then 2, and so on. Each refresh token is taken once, and the server
/// knows those access tokens that are valid.
#[derive(Debug, Default)]
struct Provider {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// The access tokens that are valid, and whose they are.
    valid: HashMap<String, Identity>,
    issued: u32,
    renewals: u32,
    /// The login has expired too.
    ended: bool,
}

impl Provider {
    fn login(&self) -> Tokens {
        self.issue(Identity::of(User::new("ada").unwrap()))
    }

    fn issue(&self, identity: Identity) -> Tokens {
        let mut state = self.state.lock().unwrap();
        state.issued += 1;
        let access = format!("access {}", state.issued);
        state.valid.insert(access.clone(), identity);
        let refresh = Some(Token::new(format!("refresh {}", state.issued)));
        Tokens { access: Token::new(access), refresh }
    }

    /// Nothing that was issued is valid any more.
    fn expire(&self) {
        self.state.lock().unwrap().valid.clear();
    }

    fn end_login(&self, ended: bool) {
        self.state.lock().unwrap().ended = ended;
    }

    fn renewals(&self) -> u32 {
        self.state.lock().unwrap().renewals
    }

    fn verifier(self: &Arc<Self>) -> Arc<dyn Verifier> {
        let provider = Arc::clone(self);
        Arc::new(VerifyWith::new(move |token| {
            let known = provider.state.lock().unwrap().valid.get(&token).cloned();
            Box::pin(
                async move { known.ok_or_else(|| ServerError::unauthorized("it has expired")) },
            )
        }))
    }
}

#[async_trait]
impl TokenSource for Provider {
    async fn renew(&self, before: &Tokens) -> Result<Tokens> {
        {
            let mut state = self.state.lock().unwrap();
            state.renewals += 1;
            if state.ended {
                return Err(SyncError::Unauthorized { reason: "log in again".to_owned() });
            }
            let last = Token::new(format!("refresh {}", state.issued));
            assert_eq!(before.refresh.as_ref(), Some(&last), "each refresh token is taken once");
        }
        sleep(SECOND / 2).await;
        Ok(self.login())
    }
}

/// A server, and programs on one database of Ada's that share a login.
async fn programs(count: usize) -> (Site, Arc<Provider>, Vec<(Device, SharedToken)>) {
    let provider = Arc::new(Provider::default());
    let (site, _store) = Site::with(Config::default(), provider.verifier()).await;
    let first = site.device(1).await;
    let mut programs = Vec::new();
    for _ in 0..count {
        let program = first.program(&site.network, "one").await;
        let token = SharedToken::new(&program.storage, Arc::clone(&provider) as _);
        programs.push((program.credentials(Arc::new(token.clone())), token));
    }
    programs[0].1.login(provider.login()).await.unwrap();
    (site, provider, programs)
}

async fn start_all(programs: &[(Device, SharedToken)]) -> Vec<ContinuousSync> {
    let mut all = Vec::new();
    for (device, _) in programs {
        all.push(device.start().await);
    }
    all
}

/// Another device of Ada's, with a token of its own.
async fn another(site: &Site, provider: &Arc<Provider>) -> Device {
    let device = site.device(9).await;
    let token = SharedToken::new(&device.storage, Arc::clone(provider) as _);
    token.login(provider.login()).await.unwrap();
    device.credentials(Arc::new(token))
}

/// The token expires while four programs watch, and all write at once.
#[tokio::test(start_paused = true)]
async fn c75_over_http_four_programs_with_an_expired_token_renew_it_once() {
    let (site, provider, programs) = programs(4).await;
    let running = start_all(&programs).await;
    sleep(SECOND * 10).await;
    for round in 1..=3 {
        provider.expire();
        for (n, (device, _)) in programs.iter().enumerate() {
            device.note(&format!("{round} {n}")).await;
        }
        // Their watches notice it too, with the next heartbeat.
        sleep(SECOND * 60).await;
        assert_eq!(provider.renewals(), round, "once for all of them");
        for program in &running {
            let status = program.status().borrow().clone();
            assert_eq!((status.phase, status.unsent), (Phase::Waiting, 0), "{status:?}");
        }
    }
    let other = another(&site, &provider).await;
    other.sync_once().await;
    assert_in_step(&[&programs[0].0, &other]).await;
    for program in running {
        program.stop().await;
    }
}

/// Neither the token nor the login is good any more: sync waits for somebody to log in, asks nothing, puts nothing aside, and goes on.
#[tokio::test(start_paused = true)]
async fn c75_over_http_a_refused_login_is_waited_for_and_nothing_is_put_aside() {
    let (site, provider, programs) = programs(4).await;
    let running = start_all(&programs).await;
    sleep(SECOND * 10).await;
    provider.end_login(true);
    provider.expire();
    for (n, (device, _)) in programs.iter().enumerate() {
        device.note(&format!("{n}")).await;
    }
    for program in &running {
        let mut status = program.status();
        status.wait_for(|it| it.phase == Phase::NeedsLogin).await.unwrap();
    }
    assert_eq!(provider.renewals(), 1, "nobody asks again for what has failed for good");
    // The server looks again at who listens.
    sleep(SECOND * 60).await;
    let unauthorized = site.metrics().await["storex_unauthorized_total"];
    for (device, _) in &programs {
        device.wire.forget();
    }
    sleep(SECOND * 1000).await;
    assert!(programs.iter().all(|(device, _)| device.wire.attempts() == 0));
    assert_eq!(site.metrics().await["storex_unauthorized_total"], unauthorized);
    let (first, _) = &programs[0];
    assert!(rejected(&first.storage).await.unwrap().is_empty());
    assert!(parked(&first.storage).await.unwrap().is_empty());
    assert_eq!(first.join().await.unsent().await.unwrap(), 4);

    provider.end_login(false);
    programs[2].1.login(provider.login()).await.unwrap();
    for (program, (_, token)) in running.iter().zip(&programs) {
        token.logged_in().await.unwrap();
        program.logged_in();
    }
    for program in &running {
        let mut status = program.status();
        status.wait_for(|it| it.in_step && it.unsent == 0).await.unwrap();
    }
    assert_eq!(provider.renewals(), 1);
    let other = another(&site, &provider).await;
    other.sync_once().await;
    assert_eq!(other.count().await, 4);
    for program in running {
        program.stop().await;
    }
}

/// A token that is bound to one device opens the log for no other one: that one waits for a login of its own.
#[tokio::test(start_paused = true)]
async fn c75_over_http_a_token_is_of_its_device() {
    let (site, provider, programs) = programs(1).await;
    let (device, token) = &programs[0];
    device.sync_once().await;
    let id = device.join().await.device().await.unwrap().id;
    let ada = User::new("ada").unwrap();
    token.login(provider.issue(Identity::of_device(ada, id))).await.unwrap();
    device.note("mine").await;
    device.sync_once().await;
    // Somebody takes the token to another device.
    let stolen = site.device(7).await;
    let taken = SharedToken::new(&stolen.storage, Arc::clone(&provider) as _);
    let bound = provider.issue(Identity::of_device(User::new("ada").unwrap(), id));
    taken.login(Tokens { refresh: None, ..bound }).await.unwrap();
    let stolen = stolen.credentials(Arc::new(taken.clone()));
    stolen.note("forged").await;
    let running = stolen.start().await;
    let mut status = running.status();
    let told = status.wait_for(|it| it.phase == Phase::NeedsLogin).await.unwrap().clone();
    assert!(told.last_error.unwrap().contains("another device"));
    let_run().await;
    assert_eq!(stolen.count().await, 1, "it has got nothing");
    device.sync_once().await;
    assert!(device.get("forged").await.is_none(), "and brought nothing");
    // With a token of its own it goes on.
    taken.login(provider.login()).await.unwrap();
    running.logged_in();
    until(async || stolen.count().await == 2).await;
    running.stop().await;
}
