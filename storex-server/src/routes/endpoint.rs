//! [`Endpoint`]: a route, and what is said of it.

use std::sync::Arc;

use axum::handler::Handler;
use axum::routing::{self, MethodRouter};
use storex_sync::http::Code;

use crate::app::App;

/// A route, and what is said of it in the OpenAPI document.
#[derive(Debug)]
pub(crate) struct Endpoint {
    pub(crate) method: &'static str,
    pub(crate) path: &'static str,
    pub(crate) summary: &'static str,
    pub(crate) access: Access,
    pub(crate) parameters: Vec<Parameter>,
    pub(crate) body: Form,
    pub(crate) answers: Vec<(u16, &'static str, Form)>,
    pub(crate) codes: Vec<Code>,
    pub(crate) handler: MethodRouter<Arc<App>>,
}

/// Who may ask.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Access {
    /// Whoever has a token.
    Token,
    /// Whoever has a token, which may come in the WebSocket's first message.
    Socket,
    /// Whoever has a token; everybody where the relay is open.
    Relay,
    /// Everybody.
    Open,
}

/// A part of the path, or of the query.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Parameter {
    pub(crate) name: &'static str,
    pub(crate) place: &'static str,
    pub(crate) required: bool,
    pub(crate) schema: &'static str,
    pub(crate) about: &'static str,
}

/// What a body is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Form {
    /// JSON of this schema.
    Json(&'static str),
    /// Bytes of this media type.
    Bytes(&'static str),
    /// There is none.
    Nothing,
}

impl Endpoint {
    fn new(
        method: &'static str,
        path: &'static str,
        summary: &'static str,
        handler: MethodRouter<Arc<App>>,
    ) -> Self {
        Self {
            method,
            path,
            summary,
            access: Access::Token,
            parameters: Vec::new(),
            body: Form::Nothing,
            answers: Vec::new(),
            codes: Vec::new(),
            handler,
        }
    }

    pub(crate) fn get<T: 'static>(
        path: &'static str,
        summary: &'static str,
        handler: impl Handler<T, Arc<App>>,
    ) -> Self {
        Self::new("get", path, summary, routing::get(handler))
    }

    pub(crate) fn post<T: 'static>(
        path: &'static str,
        summary: &'static str,
        handler: impl Handler<T, Arc<App>>,
    ) -> Self {
        Self::new("post", path, summary, routing::post(handler))
    }

    pub(crate) fn put<T: 'static>(
        path: &'static str,
        summary: &'static str,
        handler: impl Handler<T, Arc<App>>,
    ) -> Self {
        Self::new("put", path, summary, routing::put(handler))
    }

    pub(crate) fn delete<T: 'static>(
        path: &'static str,
        summary: &'static str,
        handler: impl Handler<T, Arc<App>>,
    ) -> Self {
        Self::new("delete", path, summary, routing::delete(handler))
    }

    pub(crate) fn access(mut self, access: Access) -> Self {
        self.access = access;
        self
    }

    pub(crate) fn in_path(
        self,
        name: &'static str,
        schema: &'static str,
        about: &'static str,
    ) -> Self {
        self.parameter(Parameter { name, place: "path", required: true, schema, about })
    }

    pub(crate) fn in_query(
        self,
        name: &'static str,
        schema: &'static str,
        about: &'static str,
    ) -> Self {
        self.parameter(Parameter { name, place: "query", required: true, schema, about })
    }

    pub(crate) fn maybe_in_query(
        self,
        name: &'static str,
        schema: &'static str,
        about: &'static str,
    ) -> Self {
        self.parameter(Parameter { name, place: "query", required: false, schema, about })
    }

    fn parameter(mut self, parameter: Parameter) -> Self {
        self.parameters.push(parameter);
        self
    }

    pub(crate) fn body(mut self, form: Form) -> Self {
        self.body = form;
        self
    }

    pub(crate) fn answers(mut self, status: u16, about: &'static str, form: Form) -> Self {
        self.answers.push((status, about, form));
        self
    }

    pub(crate) fn fails(mut self, codes: &[Code]) -> Self {
        self.codes.extend(codes);
        self
    }
}
