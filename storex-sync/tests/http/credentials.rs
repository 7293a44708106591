//! Tokens: who renews them, and how often.

use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use storex_core::Storage;
use storex_memory::TestRuntime;
use storex_sync::http::{Credentials, SharedToken, Token, TokenSource, Tokens};
use storex_sync::{Cursor, Result, SharedSyncLog, SyncError, SyncLog};

use crate::fake::FakeServer;
use crate::support::slow::Unwritable;
use crate::support::{Device, another_log, schema, shared_log};
use crate::{ME, SECOND};

/// What the identity provider does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Renewal {
    #[default]
    Works,
    LoginNeeded,
    Unreachable,
    Hangs,
}

/// An identity provider: its tokens are `access 1` and `refresh 1`, then 2, and so on. Each refresh token is taken once.
#[derive(Debug, Default)]
pub struct Provider {
    state: Mutex<(Renewal, u32, u32)>,
}

impl Provider {
    pub fn set(&self, renewal: Renewal) {
        self.state.lock().unwrap().0 = renewal;
    }

    /// How often it was asked.
    pub fn asked(&self) -> u32 {
        self.state.lock().unwrap().1
    }

    /// The tokens of a login.
    pub fn login(&self) -> Tokens {
        let mut state = self.state.lock().unwrap();
        state.2 += 1;
        tokens(state.2)
    }
}

fn tokens(n: u32) -> Tokens {
    let access = Token::new(format!("access {n}"));
    Tokens { access, refresh: Some(Token::new(format!("refresh {n}"))) }
}

#[async_trait]
impl TokenSource for Provider {
    async fn renew(&self, before: &Tokens) -> Result<Tokens> {
        let renewal = {
            let mut state = self.state.lock().unwrap();
            state.1 += 1;
            state.0
        };
        tokio::time::sleep(SECOND / 2).await;
        match renewal {
            Renewal::Works => {}
            Renewal::LoginNeeded => {
                return Err(SyncError::Unauthorized { reason: "revoked".to_owned() });
            }
            Renewal::Unreachable => {
                return Err(SyncError::Transport { during: "renewing", reason: String::new() });
            }
            Renewal::Hangs => std::future::pending().await,
        }
        let mut state = self.state.lock().unwrap();
        assert_eq!(*before, tokens(state.2), "each refresh token is taken once");
        state.2 += 1;
        Ok(tokens(state.2))
    }
}

/// Programs on one database, logged in.
pub async fn programs(count: usize) -> (Arc<Provider>, Vec<Device>, Vec<SharedToken>) {
    let provider = Arc::new(Provider::default());
    let first = Device::new(1).await;
    let (mut devices, mut all) = (Vec::new(), Vec::new());
    for _ in 0..count {
        let program = first.reopened(schema()).await;
        all.push(SharedToken::new(&program.storage, Arc::clone(&provider) as _));
        devices.push(program);
    }
    all[0].login(provider.login()).await.unwrap();
    (provider, devices, all)
}

async fn all_refresh(tokens: &[SharedToken], rejected: &Token) -> Vec<Result<Token>> {
    let mut tasks = Vec::new();
    for token in tokens {
        let (token, rejected) = (token.clone(), rejected.clone());
        tasks.push(tokio::spawn(async move { token.refresh(&rejected).await }));
    }
    let mut all = Vec::new();
    for task in tasks {
        all.push(task.await.unwrap());
    }
    all
}

#[tokio::test(start_paused = true)]
async fn c75_four_programs_with_an_expired_token_renew_it_once() {
    let (provider, _devices, tokens) = programs(4).await;
    let server = FakeServer::new(&shared_log());
    server.accept("access 2");
    let mut tasks = Vec::new();
    for token in &tokens {
        let log = server.log_of(Arc::new(token.clone()));
        for _ in 0..3 {
            let log = Arc::clone(&log);
            tasks.push(tokio::spawn(async move { log.register(ME).await }));
        }
    }
    for task in tasks {
        task.await.unwrap().unwrap();
    }
    assert_eq!(provider.asked(), 1);
}

#[tokio::test(start_paused = true)]
async fn c75_a_renewal_that_failed_for_good_is_tried_once_too() {
    let (provider, _devices, programs) = programs(4).await;
    provider.set(Renewal::LoginNeeded);
    let old = programs[0].token().await.unwrap();
    for _ in 0..2 {
        for refreshed in all_refresh(&programs, &old).await {
            assert!(matches!(refreshed, Err(SyncError::Unauthorized { .. })), "{refreshed:?}");
        }
    }
    assert!(programs[3].token().await.is_err());
    assert_eq!(provider.asked(), 1);
    // Somebody logs in, in one of the programs.
    provider.set(Renewal::Works);
    let other = programs[3].clone();
    let waiting = tokio::spawn(async move { other.logged_in().await });
    programs[1].login(provider.login()).await.unwrap();
    waiting.await.unwrap().unwrap();
    for program in &programs {
        assert_eq!(program.token().await.unwrap(), Token::new("access 2"));
    }
}

#[tokio::test(start_paused = true)]
async fn a_renewal_that_may_go_better_later_is_tried_later() {
    let (provider, _devices, programs) = programs(2).await;
    provider.set(Renewal::Unreachable);
    let old = programs[0].token().await.unwrap();
    for refreshed in all_refresh(&programs, &old).await {
        assert!(refreshed.unwrap_err().is_retryable());
    }
    provider.set(Renewal::Works);
    assert_eq!(programs[1].refresh(&old).await.unwrap(), Token::new("access 2"));
}

#[tokio::test(start_paused = true)]
async fn a_renewal_goes_on_when_whoever_waits_gives_up() {
    let (provider, _devices, programs) = programs(2).await;
    let old = programs[0].token().await.unwrap();
    let waited = tokio::time::timeout(SECOND / 10, programs[0].refresh(&old)).await;
    assert!(waited.is_err());
    assert_eq!(programs[1].refresh(&old).await.unwrap(), Token::new("access 2"));
    assert_eq!(provider.asked(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_program_that_does_not_come_back_is_taken_over_from() {
    let (provider, _devices, programs) = programs(2).await;
    let old = programs[0].token().await.unwrap();
    provider.set(Renewal::Hangs);
    let hanging = programs[0].clone();
    let rejected = old.clone();
    let first = tokio::spawn(async move { hanging.refresh(&rejected).await });
    tokio::time::sleep(SECOND).await;
    provider.set(Renewal::Works);
    let begun = tokio::time::Instant::now();
    assert_eq!(programs[1].refresh(&old).await.unwrap(), Token::new("access 2"));
    assert!(begun.elapsed() < SECOND * 26, "{:?}", begun.elapsed());
    // What it is told is that it took too long, or the other one's token.
    let _ = first.await.unwrap();
    assert_eq!(programs[0].token().await.unwrap(), Token::new("access 2"));
}

#[tokio::test(start_paused = true)]
async fn whoever_logs_out_is_logged_out_everywhere() {
    let (_provider, _devices, programs) = programs(2).await;
    let old = programs[1].token().await.unwrap();
    programs[0].logout().await.unwrap();
    let refused = programs[1].refresh(&old).await;
    assert!(matches!(refused, Err(SyncError::Unauthorized { .. })));
    assert!(programs[1].token().await.is_err());
}

/// One program signs out and logs in to another account; the other one knows the token of the first account.
#[tokio::test(start_paused = true)]
async fn what_is_of_one_account_is_not_sent_to_the_one_before() {
    let (provider, devices, tokens) = programs(2).await;
    let (first, second) = (shared_log(), another_log());
    let server = FakeServer::new(&first);
    server.accept("access 1");
    server.accept_for("access 2", &second);
    let logs = [0, 1].map(|n| server.log_of(Arc::new(tokens[n].clone())));
    devices[0].note("first", "x").await;
    for (device, log) in devices.iter().zip(&logs) {
        device.sync(log).await;
    }
    devices[0].join(&logs[0]).await.sign_out().await.unwrap();
    assert_eq!(first.members().await.unwrap(), [], "it was told with the token of its account");
    let refused = devices[1].join(&logs[1]).await.sync_once().await;
    assert!(matches!(refused, Err(SyncError::Unauthorized { .. })), "{refused:?}");
    tokens[0].login(provider.login()).await.unwrap();
    devices[0].note("second", "x").await;
    devices[1].sync(&logs[1]).await;
    let count = async |log: &storex_sync::MemorySharedLog| {
        log.read(ME, &Cursor::default(), 1 << 20).await.unwrap().transactions.len()
    };
    assert_eq!((count(&first).await, count(&second).await), (1, 1));
    assert_eq!(first.members().await.unwrap(), []);
}

/// The provider gives tokens, and the server takes none of them.
#[tokio::test(start_paused = true)]
async fn who_waits_for_a_login_waits_for_another_token_than_the_refused_one() {
    let (provider, _devices, programs) = programs(2).await;
    let server = FakeServer::new(&shared_log());
    server.accept("none of these");
    let refused = server.log_of(Arc::new(programs[0].clone())).register(ME).await;
    assert!(matches!(refused, Err(SyncError::Unauthorized { .. })), "{refused:?}");
    let waited = tokio::time::timeout(SECOND * 60, programs[0].logged_in()).await;
    assert!(waited.is_err(), "nobody has logged in");
    programs[1].login(provider.login()).await.unwrap();
    tokio::time::timeout(SECOND * 5, programs[0].logged_in()).await.unwrap().unwrap();
}

/// A provider takes a refresh token once: what it gave in place of it must not be lost.
#[tokio::test(start_paused = true)]
async fn a_renewed_token_survives_a_database_that_cannot_be_written() {
    let (backend, provider) = (Arc::new(Unwritable::default()), Arc::new(Provider::default()));
    let program = async || {
        let runtime = Arc::new(TestRuntime::new(1));
        let storage = Storage::builder(Arc::clone(&backend), schema().build().unwrap(), runtime);
        let storage = storage.middleware(SyncLog::new()).open().await.unwrap();
        SharedToken::new(&storage, Arc::clone(&provider) as _)
    };
    let (token, other) = (program().await, program().await);
    token.login(provider.login()).await.unwrap();
    let (old, new) = (token.token().await.unwrap(), Token::new("access 2"));
    let renewing = {
        let (token, old) = (token.clone(), old.clone());
        tokio::spawn(async move { token.refresh(&old).await })
    };
    tokio::time::sleep(SECOND / 10).await;
    backend.refuse_writes(true);
    assert_eq!(renewing.await.unwrap().unwrap(), new);
    for _ in 0..2 {
        assert_eq!(token.refresh(&old).await.unwrap(), new);
        assert_eq!(token.token().await.unwrap(), new);
    }
    backend.refuse_writes(false);
    // It is written as soon as that can be.
    assert_eq!(token.token().await.unwrap(), new);
    assert_eq!(other.token().await.unwrap(), new);
    assert_eq!(other.refresh(&new).await.unwrap(), Token::new("access 3"));
    assert_eq!(token.token().await.unwrap(), Token::new("access 3"));
    assert_eq!(provider.asked(), 2);
}
