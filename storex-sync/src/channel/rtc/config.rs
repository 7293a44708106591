//! [`RtcConfig`]: by which servers a direct connection is found, and how long it is looked for.

use std::fmt;
use std::time::Duration;

use js_sys::Array;
use web_sys::{RtcConfiguration, RtcIceServer};

const DEADLINE: Duration = Duration::from_secs(10);

/// How a [`RtcChannel`](super::RtcChannel) is connected. Without servers the two find each other in one network only.
#[derive(Debug, Clone)]
pub struct RtcConfig {
    servers: Vec<Server>,
    pub(super) deadline: Duration,
}

/// What is asked for a way.
#[derive(Clone)]
struct Server {
    url: String,
    login: Option<(String, String)>,
}

/// Without the password.
impl fmt::Debug for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.url)
    }
}

impl Default for RtcConfig {
    fn default() -> Self {
        Self { servers: Vec::new(), deadline: DEADLINE }
    }
}

impl RtcConfig {
    /// Without servers, and with a deadline of 10 s.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Asks this server as what the other side sees this device (`stun:stun.example.org`): for devices behind different routers.
    #[must_use]
    pub fn stun(mut self, url: impl Into<String>) -> Self {
        self.servers.push(Server { url: url.into(), login: None });
        self
    }

    /// Goes through this server where there is no direct way (`turn:turn.example.org`, `turns:…`).
    #[must_use]
    pub fn turn(
        mut self,
        url: impl Into<String>,
        user: impl Into<String>,
        password: impl Into<String>,
    ) -> Self {
        let login = Some((user.into(), password.into()));
        self.servers.push(Server { url: url.into(), login });
        self
    }

    /// How long a connection is looked for, from the call on; 10 s unless told otherwise. Both ends should have the same.
    #[must_use]
    pub fn deadline(mut self, deadline: Duration) -> Self {
        self.deadline = deadline;
        self
    }

    pub(super) fn to_js(&self) -> RtcConfiguration {
        let servers: Array = self.servers.iter().map(Server::to_js).collect();
        let config = RtcConfiguration::new();
        config.set_ice_servers(&servers);
        config
    }
}

impl Server {
    fn to_js(&self) -> RtcIceServer {
        let server = RtcIceServer::new();
        server.set_urls_str(&self.url);
        if let Some((user, password)) = &self.login {
            server.set_username(user);
            server.set_credential(password);
        }
        server
    }
}
