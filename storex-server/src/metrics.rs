//! [`Metrics`]: numbers for Prometheus.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};

/// The media type of Prometheus's text format.
pub(crate) const TEXT_TYPE: &str = "text/plain; version=0.0.4";

/// The upper bounds of the histogram's buckets, in milliseconds.
const BUCKETS: [u64; 9] = [1, 5, 10, 25, 100, 250, 1000, 5000, 30_000];

/// A number that only grows.
#[derive(Debug, Default)]
pub(crate) struct Total(AtomicU64);

impl Total {
    pub(crate) fn add(&self, number: u64) {
        self.0.fetch_add(number, Relaxed);
    }

    fn get(&self) -> u64 {
        self.0.load(Relaxed)
    }
}

/// What is counted.
#[derive(Debug, Default)]
pub(crate) struct Metrics {
    routes: Mutex<Vec<Arc<RouteMetrics>>>,
    /// Bytes of bodies that were taken, decompressed.
    pub(crate) request_bytes: Total,
    /// Transactions that devices have sent, those among them that were there already.
    pub(crate) appended: Total,
    /// Transactions that devices were given.
    pub(crate) read: Total,
    /// News that were told.
    pub(crate) news: Total,
    /// Requests with a token that is nobody's.
    pub(crate) unauthorized: Total,
    /// Requests that were too many.
    pub(crate) rate_limited: Total,
    /// Transactions that were trimmed by retention.
    pub(crate) trimmed: Total,
    /// Bytes that went from one end of a relay to the other.
    pub(crate) relayed_bytes: Total,
}

/// What is counted of a route.
#[derive(Debug)]
pub(crate) struct RouteMetrics {
    pub(crate) method: &'static str,
    pub(crate) path: &'static str,
    by_status: Mutex<BTreeMap<u16, u64>>,
    buckets: [Total; BUCKETS.len()],
    milliseconds: Total,
}

/// Numbers of this moment.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Gauges {
    pub(crate) connections: usize,
    pub(crate) sockets: usize,
    pub(crate) rooms: usize,
}

impl RouteMetrics {
    pub(crate) fn count(&self, status: u16, milliseconds: u64) {
        *self
            .by_status
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .entry(status)
            .or_default() += 1;
        self.milliseconds.add(milliseconds);
        let fits = |bound: &u64| milliseconds <= *bound;
        if let Some(bucket) = BUCKETS.iter().position(fits).and_then(|at| self.buckets.get(at)) {
            bucket.add(1);
        }
    }
}

impl Metrics {
    /// Where a route is counted: the same for all who ask.
    pub(crate) fn route(&self, method: &'static str, path: &'static str) -> Arc<RouteMetrics> {
        let mut routes = self.routes.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = routes.iter().find(|it| it.method == method && it.path == path) {
            return Arc::clone(known);
        }
        let route = Arc::new(RouteMetrics {
            method,
            path,
            by_status: Mutex::default(),
            buckets: Default::default(),
            milliseconds: Total::default(),
        });
        routes.push(Arc::clone(&route));
        route
    }

    /// Everything, in Prometheus's text format.
    pub(crate) fn text(&self, gauges: Gauges) -> String {
        let mut text = String::new();
        let Gauges { connections, sockets, rooms } = gauges;
        for (name, what, number) in [
            (
                "storex_connections",
                "Open connections, those of WebSockets among them.",
                connections,
            ),
            ("storex_sockets", "Open WebSockets and long polls.", sockets),
            ("storex_rooms", "Rooms of the relay.", rooms),
        ] {
            metric(&mut text, name, what, "gauge", number as u64);
        }
        for (name, what, total) in self.totals() {
            metric(&mut text, name, what, "counter", total.get());
        }
        self.write_routes(&mut text);
        text
    }

    fn totals(&self) -> [(&'static str, &'static str, &Total); 8] {
        [
            (
                "storex_request_bytes_total",
                "Bytes of bodies that were taken, decompressed.",
                &self.request_bytes,
            ),
            (
                "storex_transactions_appended_total",
                "Transactions that devices have sent.",
                &self.appended,
            ),
            ("storex_transactions_read_total", "Transactions that devices were given.", &self.read),
            ("storex_news_total", "News that devices were told.", &self.news),
            (
                "storex_unauthorized_total",
                "Requests with a token that is nobody's.",
                &self.unauthorized,
            ),
            ("storex_rate_limited_total", "Requests that were too many.", &self.rate_limited),
            ("storex_trimmed_total", "Transactions that retention has dropped.", &self.trimmed),
            (
                "storex_relayed_bytes_total",
                "Bytes that the relay has passed on.",
                &self.relayed_bytes,
            ),
        ]
    }

    fn write_routes(&self, text: &mut String) {
        let routes = self.routes.lock().unwrap_or_else(PoisonError::into_inner);
        head(text, "storex_requests_total", "Requests that were answered.", "counter");
        for route in routes.iter() {
            let RouteMetrics { method, path, .. } = &**route;
            let by_status = route.by_status.lock().unwrap_or_else(PoisonError::into_inner);
            for (status, number) in by_status.iter() {
                let labels = format!("method=\"{method}\",route=\"{path}\",status=\"{status}\"");
                line(text, "storex_requests_total", &labels, number);
            }
        }
        head(text, "storex_request_seconds", "How long requests took.", "histogram");
        for route in routes.iter() {
            let all: u64 =
                route.by_status.lock().unwrap_or_else(PoisonError::into_inner).values().sum();
            if all > 0 {
                route.write_histogram(text, all);
            }
        }
    }
}

impl RouteMetrics {
    #[allow(clippy::cast_precision_loss)] // shown to people
    fn write_histogram(&self, text: &mut String, all: u64) {
        let labels = format!("method=\"{}\",route=\"{}\"", self.method, self.path);
        let mut so_far = 0;
        for (bound, bucket) in BUCKETS.iter().zip(&self.buckets) {
            so_far += bucket.get();
            let bound = *bound as f64 / 1000.0;
            let labels = format!("{labels},le=\"{bound}\"");
            line(text, "storex_request_seconds_bucket", &labels, &so_far);
        }
        line(text, "storex_request_seconds_bucket", &format!("{labels},le=\"+Inf\""), &all);
        let seconds = self.milliseconds.get() as f64 / 1000.0;
        line(text, "storex_request_seconds_sum", &labels, &seconds);
        line(text, "storex_request_seconds_count", &labels, &all);
    }
}

fn metric(text: &mut String, name: &str, what: &str, kind: &str, number: u64) {
    head(text, name, what, kind);
    // Writing into a string never fails.
    let _ = writeln!(text, "{name} {number}");
}

fn head(text: &mut String, name: &str, what: &str, kind: &str) {
    let _ = writeln!(text, "# HELP {name} {what}\n# TYPE {name} {kind}");
}

fn line(text: &mut String, name: &str, labels: &str, number: &dyn std::fmt::Display) {
    let _ = writeln!(text, "{name}{{{labels}}} {number}");
}
