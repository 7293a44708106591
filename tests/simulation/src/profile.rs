//! [`Profile`]: what goes wrong in a run.

use std::fmt;
use std::str::FromStr;

/// What goes wrong in a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Profile {
    /// A mix of all others, another one for each seed.
    All,
    /// Requests and answers that are lost, late, repeated, out of order or refused; pages with gaps and repetitions.
    Network,
    /// Devices that are cut off, in both directions or in one, for long or over and over.
    Partitions,
    /// Processes that are killed between any two of their steps.
    Crashes,
    /// Wall clocks that are up to a day off, jump, or move in coarse steps.
    Skew,
    /// Databases that are slow and fail.
    Disk,
    /// Two processes over each database, one of which syncs at a time.
    Processes,
    /// Devices that lose what no flush has made durable.
    Power,
    /// The databases are SQLite files.
    Sqlite,
    /// The shared log is trimmed.
    Trim,
    /// Databases that are copied to another device, and both go on.
    Clones,
    /// Databases that are put back to an older state.
    Restores,
    /// The shared log is wiped.
    WipedLog,
}

impl Profile {
    /// All of them.
    pub const EVERY: [Self; 13] = [
        Self::All,
        Self::Network,
        Self::Partitions,
        Self::Crashes,
        Self::Skew,
        Self::Disk,
        Self::Processes,
        Self::Power,
        Self::Sqlite,
        Self::Trim,
        Self::Clones,
        Self::Restores,
        Self::WipedLog,
    ];

    /// Its name.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::All => "all",
            Self::Network => "network",
            Self::Partitions => "partitions",
            Self::Crashes => "crashes",
            Self::Skew => "skew",
            Self::Disk => "disk",
            Self::Processes => "processes",
            Self::Power => "power",
            Self::Sqlite => "sqlite",
            Self::Trim => "trim",
            Self::Clones => "clones",
            Self::Restores => "restores",
            Self::WipedLog => "wiped-log",
        }
    }
}

impl fmt::Display for Profile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// There is no profile with this name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("there is no profile `{name}`; the profiles are {}", names())]
pub struct UnknownProfile {
    /// The name.
    pub name: String,
}

fn names() -> String {
    Profile::EVERY.map(Profile::name).join(", ")
}

impl FromStr for Profile {
    type Err = UnknownProfile;

    fn from_str(name: &str) -> Result<Self, UnknownProfile> {
        let found = Self::EVERY.into_iter().find(|profile| profile.name() == name);
        found.ok_or_else(|| UnknownProfile { name: name.to_owned() })
    }
}
