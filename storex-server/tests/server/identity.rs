//! Whose a token is: lists, signatures, functions.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::time::Duration;

use async_trait::async_trait;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use futures_util::FutureExt as _;
use ring::rand::SystemRandom;
use ring::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair as _,
};
use serde_json::{Value, json};
use storex_server::{
    Config, FetchKeys, Identity, JwtRules, JwtVerifier, KeyFile, KeySet, Result, ServerError,
    TokenFile, Tokens, User, Verifier, VerifyWith,
};
use tokio::sync::Semaphore;

use crate::support::{LAPTOP, ManualRuntime, PHONE, Site};

const SECRET: &[u8] = b"a secret of thirty-two bytes, or more";
/// What the clock of the tests shows, in seconds.
const NOW: i64 = 1_767_225_600;

fn encode(value: &Value) -> String {
    URL_SAFE_NO_PAD.encode(value.to_string())
}

fn token(header: &Value, claims: &Value, sign: impl Fn(&[u8]) -> Vec<u8>) -> String {
    let signed = format!("{}.{}", encode(header), encode(claims));
    let signature = URL_SAFE_NO_PAD.encode(sign(signed.as_bytes()));
    format!("{signed}.{signature}")
}

fn hs256(message: &[u8]) -> Vec<u8> {
    let key = ring::hmac::Key::new(ring::hmac::HMAC_SHA256, SECRET);
    ring::hmac::sign(&key, message).as_ref().to_vec()
}

fn by_secret(claims: &Value) -> String {
    token(&json!({"alg": "HS256", "typ": "JWT"}), claims, hs256)
}

fn verifier(rules: JwtRules) -> JwtVerifier {
    JwtVerifier::new(KeySet::secret(SECRET).unwrap(), rules, Arc::new(ManualRuntime::new()))
}

async fn refused(verifier: &dyn Verifier, token: &str) -> String {
    match verifier.verify(token).await {
        Err(ServerError::Unauthorized { reason }) => reason,
        other => panic!("{other:?}"),
    }
}

fn ada() -> Identity {
    Identity::of(User::new("ada").unwrap())
}

#[tokio::test]
async fn a_signed_token_names_its_user_and_its_device() {
    let verifier = verifier(JwtRules::default());
    let claims = json!({"sub": "ada", "exp": NOW + 10});
    assert_eq!(verifier.verify(&by_secret(&claims)).await.unwrap(), ada());
    let device = storex_sync::http::id_text(LAPTOP.id);
    let claims = json!({"sub": "ada", "exp": (NOW + 10) as f64 + 0.5, "device": device});
    let bound = Identity { device: Some(LAPTOP.id), ..ada() };
    assert_eq!(verifier.verify(&by_secret(&claims)).await.unwrap(), bound);
    let rules = JwtRules { user: "email".to_owned(), ..JwtRules::default() };
    let claims = json!({"sub": "17", "email": "ada", "exp": NOW + 10});
    assert_eq!(self::verifier(rules).verify(&by_secret(&claims)).await.unwrap(), ada());
}

#[tokio::test]
async fn a_token_must_say_when_it_expires_and_for_whom_it_is() {
    let rules = JwtRules {
        issuer: Some("https://login.example".to_owned()),
        audience: Some("storex".to_owned()),
        ..JwtRules::default()
    };
    let verifier = verifier(rules);
    let good = json!({"sub": "ada", "exp": NOW - 59, "nbf": NOW + 59, "iss": "https://login.example", "aud": ["x", "storex"]});
    assert_eq!(verifier.verify(&by_secret(&good)).await.unwrap(), ada());
    for (claim, value, reason) in [
        ("exp", json!(null), "the token cannot be read"),
        ("exp", json!(NOW - 61), "the token has expired"),
        ("exp", json!("tomorrow"), "the token cannot be read"),
        ("nbf", json!(NOW + 61), "the token is not valid yet"),
        ("iss", json!("https://login.example.evil"), "the token is of another issuer"),
        ("iss", json!(null), "the token is of another issuer"),
        ("aud", json!("other"), "the token is for somebody else"),
        ("aud", json!([]), "the token is for somebody else"),
        ("sub", json!(""), "the token names no user"),
        ("sub", json!(17), "the token names no user"),
        ("sub", json!("x".repeat(129)), "the token names no user"),
        ("device", json!(null), "the token's device is none"),
        ("device", json!("laptop"), "the token's device is none"),
    ] {
        let mut claims = good.clone();
        claims[claim] = value;
        assert_eq!(refused(&verifier, &by_secret(&claims)).await, reason, "{claims}");
    }
    let mut claims = good.clone();
    claims.as_object_mut().unwrap().remove("exp");
    assert_eq!(
        refused(&verifier, &by_secret(&claims)).await,
        "the token does not say when it expires"
    );
}

#[tokio::test]
async fn nothing_passes_that_was_not_signed_by_the_key_with_its_own_algorithm() {
    let signer =
        EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &SystemRandom::new())
            .unwrap();
    let signer = EcdsaKeyPair::from_pkcs8(
        &ECDSA_P256_SHA256_FIXED_SIGNING,
        signer.as_ref(),
        &SystemRandom::new(),
    )
    .unwrap();
    let es256 =
        |message: &[u8]| signer.sign(&SystemRandom::new(), message).unwrap().as_ref().to_vec();
    let eddsa = Ed25519KeyPair::from_seed_unchecked(&[7; 32]).unwrap();
    let of_rsa: Value = serde_json::from_str(include_str!("data/rs256.json")).unwrap();
    let public = signer.public_key().as_ref();
    let (x, y) = (URL_SAFE_NO_PAD.encode(&public[1..33]), URL_SAFE_NO_PAD.encode(&public[33..]));
    let set = json!({"keys": [
        {"kty": "EC", "crv": "P-256", "kid": "ec", "x": x, "y": y},
        {"kty": "OKP", "crv": "Ed25519", "kid": "ed", "x": URL_SAFE_NO_PAD.encode(eddsa.public_key().as_ref())},
        of_rsa["key"],
        {"kty": "oct", "kid": "for encryption", "use": "enc", "k": URL_SAFE_NO_PAD.encode(SECRET)},
        {"kty": "a kind of tomorrow", "kid": ["of", "another", "form"]},
    ]});
    let keys = KeySet::from_jwks(&set.to_string()).unwrap();
    let verifier = JwtVerifier::new(keys, JwtRules::default(), Arc::new(ManualRuntime::new()));
    let claims = json!({"sub": "ada", "exp": NOW + 10});
    for good in [
        token(&json!({"alg": "ES256", "kid": "ec"}), &claims, es256),
        token(&json!({"alg": "ES256"}), &claims, es256),
        token(&json!({"alg": "EdDSA", "kid": "ed"}), &claims, |it| {
            eddsa.sign(it).as_ref().to_vec()
        }),
        of_rsa["token"].as_str().unwrap().to_owned(),
    ] {
        assert_eq!(verifier.verify(&good).await.unwrap(), ada());
        // One byte of the claims is another one.
        let mut parts: Vec<_> = good.split('.').map(str::to_owned).collect();
        parts[1] = encode(&json!({"sub": "bob", "exp": NOW + 10}));
        refused(&verifier, &parts.join(".")).await;
        refused(&verifier, &good[..good.len() - 2]).await;
    }
    let with_public = |message: &[u8]| {
        let key = ring::hmac::Key::new(ring::hmac::HMAC_SHA256, public);
        ring::hmac::sign(&key, message).as_ref().to_vec()
    };
    for bad in [
        token(&json!({"alg": "none"}), &claims, |_| Vec::new()),
        token(&json!({"alg": "None"}), &claims, |_| Vec::new()),
        // The public key taken for a secret.
        token(&json!({"alg": "HS256", "kid": "ec"}), &claims, with_public),
        token(&json!({"alg": "HS256", "kid": "for encryption"}), &claims, hs256),
        token(&json!({"alg": "ES256", "kid": "ed"}), &claims, es256),
        token(&json!({"alg": "RS256", "kid": "ec"}), &claims, es256),
        token(&json!({"alg": "ES256", "kid": "ec", "crit": ["b64"]}), &claims, es256),
        String::new(),
        ".".to_owned(),
        "..".to_owned(),
        "a.b.c.d".to_owned(),
    ] {
        refused(&verifier, &bad).await;
    }
    for none in ["", "{}", r#"{"keys": []}"#, r#"{"keys": [{"kty": "oct", "k": "c2hvcnQ"}]}"#] {
        assert!(KeySet::from_jwks(none).is_err(), "{none}");
    }
    assert!(KeySet::secret(b"too short").is_err());
}

/// Keys that are fetched, and how often.
#[derive(Debug, Default)]
struct Fetched {
    times: AtomicUsize,
    fails: std::sync::atomic::AtomicBool,
}

#[async_trait]
impl FetchKeys for Fetched {
    async fn fetch(&self) -> Result<String> {
        if self.fails.load(SeqCst) {
            return Err(ServerError::Config { reason: "the network is gone".to_owned() });
        }
        // Each time another one is added.
        let times = self.times.fetch_add(1, SeqCst);
        let key = |at: usize| json!({"kty": "oct", "kid": format!("{at}"), "k": URL_SAFE_NO_PAD.encode([at as u8; 32])});
        Ok(json!({"keys": (0..=times).map(key).collect::<Vec<_>>()}).to_string())
    }
}

/// Signed by the key of this name.
fn by(at: u8) -> String {
    let key = ring::hmac::Key::new(ring::hmac::HMAC_SHA256, &[at; 32]);
    let claims = json!({"sub": "ada", "exp": NOW + 100_000});
    token(&json!({"alg": "HS256", "kid": at.to_string()}), &claims, |it| {
        ring::hmac::sign(&key, it).as_ref().to_vec()
    })
}

/// Answers once for each permit.
#[derive(Debug)]
struct Slow {
    fetched: Fetched,
    permits: Semaphore,
}

#[async_trait]
impl FetchKeys for Slow {
    async fn fetch(&self) -> Result<String> {
        self.permits.acquire().await.unwrap().forget();
        self.fetched.fetch().await
    }
}

#[tokio::test]
async fn keys_come_also_when_who_asked_for_them_has_gone_and_who_comes_meanwhile_waits() {
    let fetch = Arc::new(Slow { fetched: Fetched::default(), permits: Semaphore::new(1) });
    let runtime = Arc::new(ManualRuntime::new());
    let verifier =
        JwtVerifier::fetching(fetch.clone(), JwtRules::default(), runtime.clone()).await.unwrap();
    runtime.advance(Duration::from_secs(60));
    assert!(verifier.verify(&by(1)).now_or_never().is_none(), "the keys are waited for");
    // What is known goes on to count meanwhile.
    assert_eq!(verifier.verify(&by(0)).await.unwrap(), ada());
    let token = by(1);
    let (waited, ()) =
        tokio::join!(verifier.verify(&token), async { fetch.permits.add_permits(1) });
    assert_eq!(waited.unwrap(), ada());
    assert_eq!(fetch.fetched.times.load(SeqCst), 2);
}

#[tokio::test]
async fn while_the_keys_cannot_be_fetched_who_names_another_may_come_again() {
    let (runtime, fetch) = (Arc::new(ManualRuntime::new()), Arc::new(Fetched::default()));
    let verifier =
        JwtVerifier::fetching(fetch.clone(), JwtRules::default(), runtime.clone()).await.unwrap();
    fetch.fails.store(true, SeqCst);
    runtime.advance(Duration::from_secs(60));
    for _ in 0..2 {
        let error = verifier.verify(&by(1)).await.unwrap_err();
        assert!(error.is_retryable(), "{error:?}");
    }
    assert_eq!(verifier.verify(&by(0)).await.unwrap(), ada());
    fetch.fails.store(false, SeqCst);
    runtime.advance(Duration::from_secs(60));
    assert_eq!(verifier.verify(&by(1)).await.unwrap(), ada());
}

#[tokio::test]
async fn a_fetch_that_does_not_end_is_given_up() {
    let fetch = Arc::new(Slow { fetched: Fetched::default(), permits: Semaphore::new(1) });
    let runtime = Arc::new(ManualRuntime::new());
    let verifier =
        JwtVerifier::fetching(fetch.clone(), JwtRules::default(), runtime.clone()).await.unwrap();
    runtime.advance(Duration::from_secs(60));
    let token = by(1);
    let (waited, ()) =
        tokio::join!(verifier.verify(&token), runtime.let_pass(Duration::from_secs(30)));
    assert!(waited.unwrap_err().is_retryable());
    fetch.permits.add_permits(1);
    runtime.advance(Duration::from_secs(30));
    assert_eq!(verifier.verify(&token).await.unwrap(), ada());
}

#[tokio::test]
async fn a_first_fetch_that_does_not_end_is_given_up_too() {
    let fetch = Arc::new(Slow { fetched: Fetched::default(), permits: Semaphore::new(0) });
    let runtime = Arc::new(ManualRuntime::new());
    let opening = JwtVerifier::fetching(fetch, JwtRules::default(), runtime.clone());
    let (opened, ()) = tokio::join!(opening, runtime.let_pass(Duration::from_secs(30)));
    assert!(opened.unwrap_err().is_retryable());
}

#[tokio::test]
async fn keys_are_fetched_each_hour_and_for_a_name_that_is_not_known_but_not_for_each_of_them() {
    let (runtime, fetch) = (Arc::new(ManualRuntime::new()), Arc::new(Fetched::default()));
    let verifier =
        JwtVerifier::fetching(fetch.clone(), JwtRules::default(), runtime.clone()).await.unwrap();
    assert_eq!(verifier.verify(&by(0)).await.unwrap(), ada());
    refused(&verifier, &by(1)).await;
    assert_eq!(fetch.times.load(SeqCst), 1);
    runtime.advance(Duration::from_secs(60));
    assert_eq!(verifier.verify(&by(1)).await.unwrap(), ada());
    for _ in 0..10 {
        refused(&verifier, &by(9)).await;
    }
    assert_eq!(fetch.times.load(SeqCst), 2);
    runtime.advance(Duration::from_secs(3600));
    assert_eq!(verifier.verify(&by(0)).await.unwrap(), ada());
    assert_eq!(fetch.times.load(SeqCst), 3);
    // Who issues the tokens is away: what is known counts.
    fetch.fails.store(true, SeqCst);
    runtime.advance(Duration::from_secs(3600));
    assert_eq!(verifier.verify(&by(2)).await.unwrap(), ada());
}

#[tokio::test]
async fn a_file_of_tokens_is_read_again_when_it_was_changed() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("tokens");
    let write = |text: &str, at: u64| {
        std::fs::write(&path, text).unwrap();
        let file = std::fs::File::options().write(true).open(&path).unwrap();
        file.set_modified(std::time::UNIX_EPOCH + Duration::from_secs(at)).unwrap();
    };
    write("# comment\n\n0123456789abcdef ada\n", 1);
    let runtime = Arc::new(ManualRuntime::new());
    let tokens = TokenFile::open(&path, runtime.clone()).unwrap();
    assert_eq!(tokens.verify("0123456789abcdef").await.unwrap(), ada());
    let device = storex_sync::http::id_text(PHONE.id);
    write(&format!("fedcba9876543210 ada {device}\n"), 2);
    runtime.advance(Duration::from_secs(1));
    refused(&tokens, "0123456789abcdef").await;
    let of_phone = Identity { device: Some(PHONE.id), ..ada() };
    assert_eq!(tokens.verify("fedcba9876543210").await.unwrap(), of_phone);
    // While it cannot be read, what it held counts.
    write("half a li", 3);
    runtime.advance(Duration::from_secs(1));
    assert_eq!(tokens.verify("fedcba9876543210").await.unwrap(), of_phone);
    // The rest came within the same tick of the file's clock.
    write("aaaaaaaaaaaaaaaa ada\n", 3);
    runtime.advance(Duration::from_secs(1));
    assert_eq!(tokens.verify("aaaaaaaaaaaaaaaa").await.unwrap(), ada());
    assert!(TokenFile::open(dir.path().join("none"), runtime).is_err());
}

#[test]
fn a_list_of_tokens_says_which_line_is_wrong_and_not_what_stands_there() {
    for (text, line) in [
        ("0123456789abcdef", 1),
        ("\n\nshort ada", 3),
        ("0123456789abcdef ada nodevice", 1),
        ("0123456789abcdef ada 00 more", 1),
        ("0123456789abcdef ada\n0123456789abcdef bob", 2),
        ("0123456789abcd\u{e4}f ada", 1),
    ] {
        let error = Tokens::parse(text).unwrap_err().to_string();
        assert!(error.contains(&format!("line {line}")), "{error}");
        assert!(!error.contains("0123456789"), "{error}");
    }
    let tokens = Tokens::parse("0123456789abcdef ada").unwrap();
    assert!(!format!("{tokens:?}").contains("0123456789"));
}

#[tokio::test]
async fn a_function_may_tell_and_may_be_at_a_loss() {
    let ask = VerifyWith::new(|token| {
        Box::pin(async move {
            match token.as_str() {
                "session-of-ada" => Ok(Identity::of(User::new("ada")?)),
                "away" => Err(ServerError::Store {
                    during: "asking",
                    reason: "10.0.0.7".to_owned(),
                    retryable: true,
                }),
                "broken" => Err(ServerError::Config { reason: "10.0.0.7".to_owned() }),
                _ => Err(ServerError::unauthorized("there is no such session")),
            }
        })
    });
    let site = Site::with_verifier(Config::default(), Arc::new(ask)).await;
    assert_eq!(site.get("session-of-ada", "/v1/devices").await.status, 200);
    let refused = site.get("another", "/v1/devices").await;
    assert_eq!(
        (refused.status, &refused.json()["message"]),
        (401, &json!("there is no such session"))
    );
    let away = site.get("away", "/v1/devices").await;
    assert_eq!((away.status, away.code().as_str()), (503, "unavailable"));
    let broken = site.get("broken", "/v1/devices").await;
    assert_eq!(
        (broken.status, broken.json()),
        (500, json!({"code": "internal", "message": "the server failed"}))
    );
}

#[tokio::test]
async fn a_file_of_keys_is_one_way_to_fetch_them() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("jwks.json");
    let runtime = Arc::new(ManualRuntime::new());
    let open = || {
        JwtVerifier::fetching(Arc::new(KeyFile::new(&path)), JwtRules::default(), runtime.clone())
    };
    assert!(open().await.is_err());
    let of_rsa: Value = serde_json::from_str(include_str!("data/rs256.json")).unwrap();
    std::fs::write(&path, json!({"keys": [of_rsa["key"]]}).to_string()).unwrap();
    let verifier = open().await.unwrap();
    assert_eq!(verifier.verify(of_rsa["token"].as_str().unwrap()).await.unwrap(), ada());
}
