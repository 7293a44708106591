//! [`Touched`]: how much of a database is read.

use super::shim::Shim;

/// Notes what a database hands over: objects, and requests.
pub(crate) struct Touched(Vec<Shim>);

/// What was read.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Reads {
    pub(crate) objects: usize,
    pub(crate) requests: usize,
}

impl Touched {
    pub(crate) fn of(database: &str) -> Self {
        // A request for keys or for a count hands over no object.
        let methods = [
            ("get", "1"),
            ("getAll", "request.result.length"),
            ("getAllKeys", "0"),
            ("openCursor", "1"),
            ("openKeyCursor", "0"),
            ("count", "0"),
        ];
        let mut shims = Vec::new();
        for kind in ["IDBObjectStore", "IDBIndex"] {
            for (method, objects) in methods {
                let body = format!(
                    "const request = original(...args);
                    const at = log.push('0') - 1;
                    request.addEventListener('success', () => log[at] = String({objects}));
                    return request;"
                );
                shims.push(Shim::new(database, kind, method, &body));
            }
        }
        Self(shims)
    }

    /// What was read since the last time.
    pub(crate) fn take(&self) -> Reads {
        let log: Vec<String> = self.0.iter().flat_map(Shim::log).collect();
        self.0.iter().for_each(Shim::forget);
        Reads {
            objects: log.iter().map(|objects| objects.parse::<usize>().unwrap()).sum(),
            requests: log.len(),
        }
    }
}
