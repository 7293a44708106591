//! [`WorkerName`]: which worker the tabs of a database share.

/// The name of a shared worker. Tabs that make it of the same parts come to the same worker.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct WorkerName {
    pub(super) database: String,
    /// Of the application: tabs of two builds never share a worker.
    pub(super) version: String,
    /// Grows when a worker hangs and another one takes its place.
    pub(super) generation: u32,
}

impl WorkerName {
    /// As the browser is told it.
    pub(super) fn to_text(&self) -> String {
        format!("{}{}", self.prefix(), self.generation)
    }

    /// The generation of another worker of the same database and version.
    pub(super) fn generation_of(&self, other: &str) -> Option<u32> {
        other.strip_prefix(&self.prefix())?.parse().ok()
    }

    pub(super) fn from_text(text: &str) -> Option<Self> {
        let (rest, generation) = text.strip_prefix(PREFIX)?.rsplit_once('#')?;
        let (length, rest) = rest.split_once(':')?;
        let (database, version) = rest.split_at_checked(length.parse().ok()?)?;
        let (database, version) = (database.to_owned(), version.strip_prefix('@')?.to_owned());
        Some(Self { database, version, generation: generation.parse().ok()? })
    }

    /// With the length of the first part, so that no two pairs of parts have the same name.
    fn prefix(&self) -> String {
        let Self { database, version, .. } = self;
        format!("{PREFIX}{}:{database}@{version}#", database.len())
    }
}

const PREFIX: &str = "storex-sync:";

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn name(database: &str, version: &str, generation: u32) -> WorkerName {
        WorkerName { database: database.to_owned(), version: version.to_owned(), generation }
    }

    proptest! {
        #[test]
        fn c42_a_worker_is_known_by_its_name(database: String, version: String, generation: u32) {
            let name = name(&database, &version, generation);
            prop_assert_eq!(WorkerName::from_text(&name.to_text()), Some(name));
        }

        #[test]
        fn c42_no_text_is_too_odd_for_a_name(text: String, rest in ".{0,20}") {
            let _ = WorkerName::from_text(&text);
            let _ = WorkerName::from_text(&format!("storex-sync:{rest}"));
        }
    }

    #[test]
    fn c42_only_generations_of_one_version_follow_each_other() {
        let second = name("notes", "1.4.2", 1);
        assert_eq!(second.generation_of(&name("notes", "1.4.2", 0).to_text()), Some(0));
        for other in [name("notes", "1.4.3", 0), name("note", "s@1.4.2", 0), name("", "", 0)] {
            assert_eq!(second.generation_of(&other.to_text()), None, "{other:?}");
        }
        assert_ne!(name("a@b", "c", 0).to_text(), name("a", "b@c", 0).to_text());
    }
}
