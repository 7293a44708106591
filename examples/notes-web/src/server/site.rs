//! [`Site`]: the files of the application, from memory.

use std::collections::HashMap;
use std::io::Write as _;
use std::path::Path;
use std::sync::Arc;

use axum::Router;
use axum::extract::State;
use axum::http::header::{CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE};
use axum::http::{StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use flate2::Compression;
use flate2::write::GzEncoder;
use tokio::net::TcpListener;

/// What the page may do: nothing that is not its own, but talk to the server of the notes, wherever that is.
const POLICY: &str = "default-src 'self'; script-src 'self' 'wasm-unsafe-eval'; connect-src 'self' http: https: ws: wss:; \
                      object-src 'none'; base-uri 'none'; frame-ancestors 'none'";

/// All files, by their paths.
#[derive(Debug, Clone)]
pub(super) struct Site(Arc<HashMap<String, Vec<u8>>>);

impl Site {
    /// Reads a folder, with those in it.
    pub(super) fn read(folder: &Path) -> std::io::Result<Self> {
        let mut files = HashMap::new();
        let mut folders = vec![(folder.to_path_buf(), String::new())];
        while let Some((folder, prefix)) = folders.pop() {
            for entry in std::fs::read_dir(folder)? {
                let entry = entry?;
                let path = format!("{prefix}/{}", entry.file_name().to_string_lossy());
                if entry.file_type()?.is_dir() {
                    folders.push((entry.path(), path));
                } else {
                    files.insert(path, std::fs::read(entry.path())?);
                }
            }
        }
        Ok(Self(Arc::new(files)))
    }

    /// How large the module is that a browser loads, compressed.
    pub(super) fn module_bytes(&self) -> std::io::Result<usize> {
        let mut compressed = GzEncoder::new(Vec::new(), Compression::default());
        for (_, module) in self.0.iter().filter(|(path, _)| path.ends_with(".wasm")) {
            compressed.write_all(module)?;
        }
        Ok(compressed.finish()?.len())
    }

    /// Answers until the future completes.
    pub(super) async fn serve(
        self,
        listener: TcpListener,
        until: impl Future<Output = ()> + Send + 'static,
    ) -> std::io::Result<()> {
        let router = Router::new().fallback(answer).with_state(self);
        axum::serve(listener, router).with_graceful_shutdown(until).await
    }
}

async fn answer(State(site): State<Site>, uri: Uri) -> Response {
    let path = if uri.path() == "/" { "/index.html" } else { uri.path() };
    let Some(file) = site.0.get(path) else {
        return (StatusCode::NOT_FOUND, format!("no file {path}\n")).into_response();
    };
    let headers = [
        (CONTENT_TYPE, media_type(path)),
        // The service worker keeps what is to be kept.
        (CACHE_CONTROL, "no-cache"),
        (CONTENT_SECURITY_POLICY, POLICY),
    ];
    (headers, file.clone()).into_response()
}

/// Browsers take scripts, modules and styles as nothing else.
fn media_type(path: &str) -> &'static str {
    match path.rsplit('.').next() {
        Some("html") => "text/html; charset=utf-8",
        Some("css") => "text/css; charset=utf-8",
        Some("js") => "text/javascript; charset=utf-8",
        Some("svg") => "image/svg+xml",
        Some("wasm") => "application/wasm",
        Some("webmanifest") => "application/manifest+json",
        _ => "application/octet-stream",
    }
}
