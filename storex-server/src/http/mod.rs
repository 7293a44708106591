//! What all requests have in common: who asks, their bodies, their answers.

mod answer;
mod answers;
mod body;
mod caller;
mod compress;
mod cors;
mod failure;
mod greeting;
mod input;
mod origin;
mod track;
mod websocket;

pub(crate) use answer::{Json, OCTETS, octets};
pub(crate) use answers::Answers;
pub(crate) use body::{JsonBody, Octets, read_octets};
pub(crate) use caller::{Caller, Peer, authenticate, bearer, revoked};
pub(crate) use cors::cross_origin;
pub(crate) use failure::{Failure, Outcome, malformed};
pub(crate) use greeting::{Close, greet};
pub(crate) use input::{InPath, InQuery, decimal};
pub(crate) use origin::origin;
pub(crate) use track::{Counted, refuse_method, refuse_path, track};
pub(crate) use websocket::{Socket, Upgrade, socket_config};
