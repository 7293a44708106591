//! The row `former` of `_storex_meta`: who this device was before.

use crate::error::Result;
use crate::pack::{Packer, Unpacker};
use crate::stamp::Device;

pub(crate) const FORMER: &str = "former";

const WHAT: &str = "the list of former incarnations";

/// An incarnation that has ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Former {
    pub(crate) device: Device,
    /// The last of its transactions that the shared log had got.
    pub(crate) sent: u64,
    /// The last that it made.
    pub(crate) last: u64,
    /// Who followed it.
    pub(crate) now: Device,
    /// What has become of its transactions behind `sent`.
    pub(crate) since: Since,
}

/// Where the transactions are that an incarnation had not sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Since {
    /// The next incarnation's, numbered from 1; this was the number of the first.
    Number(u64),
    /// In the state that was sent again.
    State,
}

/// All of them, in their order.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Formers(Vec<Former>);

impl Formers {
    pub(crate) fn push(&mut self, former: Former) {
        self.0.push(former);
    }

    pub(crate) fn find(&self, device: Device) -> Option<&Former> {
        self.0.iter().find(|former| former.device == device)
    }

    pub(crate) fn last(&self) -> Option<&Former> {
        self.0.last()
    }

    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut packer = Packer::default();
        packer.array(self.0.len());
        for former in &self.0 {
            packer.array(5);
            packer.device(former.device);
            packer.uint(former.sent);
            packer.uint(former.last);
            packer.device(former.now);
            packer.uint(match former.since {
                Since::State => 0,
                Since::Number(first) => first,
            });
        }
        packer.out
    }

    pub(crate) fn decode(bytes: &[u8]) -> Result<Self> {
        let mut unpacker = Unpacker::new(bytes, WHAT);
        let mut formers = Self::default();
        for _ in 0..unpacker.array()? {
            unpacker.tuple(5)?;
            formers.push(Former {
                device: unpacker.device()?,
                sent: unpacker.uint()?,
                last: unpacker.uint()?,
                now: unpacker.device()?,
                since: match unpacker.uint()? {
                    0 => Since::State,
                    first => Since::Number(first),
                },
            });
        }
        Ok(formers)
    }
}
