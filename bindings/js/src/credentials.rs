//! [`JsTokens`]: tokens that a function of JavaScript gives.

use std::cell::RefCell;

use async_trait::async_trait;
use js_sys::{Function, Promise, Reflect};
use storex_sync::http::{Credentials, Token};
use storex_sync::{Result, SyncError};
use wasm_bindgen::{JsCast, JsValue};
use wasm_bindgen_futures::JsFuture;

use crate::error::said;

/// Asks an async function of the application for a token, and keeps it until the server does not accept it.
#[derive(Debug)]
pub(crate) struct JsTokens {
    /// From the token that was not accepted, or null, to a promise of one.
    function: Function,
    current: RefCell<Option<Token>>,
}

impl JsTokens {
    pub(crate) fn new(function: Function) -> Self {
        Self { function, current: RefCell::new(None) }
    }

    /// The next request asks for another token.
    pub(crate) fn forget(&self) {
        self.current.borrow_mut().take();
    }

    async fn ask(&self, rejected: Option<&Token>) -> Result<Token> {
        let rejected = rejected.map_or(JsValue::NULL, |token| token.reveal().into());
        let answered = match self.function.call1(&JsValue::UNDEFINED, &rejected) {
            // What is no promise is one that is fulfilled already.
            Ok(answer) => JsFuture::from(Promise::resolve(&answer)).await,
            Err(thrown) => Err(thrown),
        };
        let token = answered.map_err(|thrown| failed(&thrown)).and_then(|answer| {
            let text = answer.as_string().filter(|token| !token.is_empty());
            text.map(Token::new).ok_or_else(|| unauthorized("`token` gave no text".to_owned()))
        });
        match &token {
            Ok(token) => *self.current.borrow_mut() = Some(token.clone()),
            // Whoever logs in next may be somebody else.
            Err(SyncError::Unauthorized { .. }) => self.forget(),
            Err(_) => {}
        }
        token
    }
}

#[async_trait(?Send)]
impl Credentials for JsTokens {
    async fn token(&self) -> Result<Token> {
        let current = self.current.borrow().clone();
        match current {
            Some(token) => Ok(token),
            None => self.ask(None).await,
        }
    }

    async fn refresh(&self, rejected: &Token) -> Result<Token> {
        let current = self.current.borrow().clone();
        match current {
            // Another request has got it meanwhile.
            Some(token) if token != *rejected => Ok(token),
            _ => self.ask(Some(rejected)).await,
        }
    }

    fn refused(&self, token: &Token) {
        self.current.borrow_mut().take_if(|current| current == token);
    }
}

/// Whether the user has to log in is for the application to say; that there was no connection to ask is no answer. `fetch` says that by a
/// `TypeError`, others by `retryable`, as errors of ours have it.
fn failed(thrown: &JsValue) -> SyncError {
    let retryable = Reflect::get(thrown, &"retryable".into()).is_ok_and(|it| it.is_truthy());
    if retryable || thrown.is_instance_of::<js_sys::TypeError>() {
        return SyncError::Transport { during: "asking for a token", reason: said(thrown) };
    }
    unauthorized(said(thrown))
}

fn unauthorized(reason: String) -> SyncError {
    SyncError::Unauthorized { reason }
}
