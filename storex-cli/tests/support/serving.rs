//! A server that runs.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, ChildStderr, Command, Stdio};

use super::text;

/// Ada's.
pub(crate) const TOKEN: &str = "0123456789abcdef01234567";

/// A server that runs.
pub(crate) struct Serving {
    child: Child,
    stderr: BufReader<ChildStderr>,
    pub(crate) address: String,
}

impl Serving {
    /// Begins, on a free port, and waits until it says where.
    pub(crate) fn start(folder: &Path, database: &str, more: &[&str]) -> Self {
        let tokens = folder.join("tokens");
        std::fs::write(&tokens, format!("{TOKEN} ada\n")).unwrap();
        let mut child = Command::new(env!("CARGO_BIN_EXE_storex"))
            .args(["serve", "--listen", "127.0.0.1:0", "--tokens", text(&tokens)])
            .args(["--database", text(&folder.join(database))])
            .args(more)
            .env("STOREX_LOG", "warn")
            .env_remove("STOREX_POSTGRES")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut stderr = BufReader::new(child.stderr.take().unwrap());
        let mut said = String::new();
        stderr.read_line(&mut said).unwrap();
        let address = said.split_once("serving at http://").unwrap_or_else(|| panic!("{said}")).1;
        let address = address.trim().to_owned();
        Self { child, stderr, address }
    }

    pub(crate) fn ask(&self, method: &str, path: &str, body: &str) -> (u16, String) {
        ask(&self.address, method, path, body)
    }

    /// Asks it to stop, and tells what it said.
    pub(crate) fn stop(mut self) -> String {
        let pid = self.child.id().to_string();
        assert!(Command::new("kill").args(["-TERM", &pid]).status().unwrap().success());
        let mut said = String::new();
        self.stderr.read_to_string(&mut said).unwrap();
        assert_eq!(self.child.wait().unwrap().code(), Some(0), "{said}");
        said
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        // One that has ended already is passed over.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn ask(address: &str, method: &str, path: &str, body: &str) -> (u16, String) {
    let mut stream = TcpStream::connect(address).unwrap();
    let length = body.len();
    let request = format!(
        "{method} {path} HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {TOKEN}\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n{body}"
    );
    stream.write_all(request.as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    (status, body.to_owned())
}
