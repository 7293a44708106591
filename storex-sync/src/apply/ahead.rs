//! [`Decoded`]: a page that was decoded before it is applied, while the one in front of it was.

use super::Replica;
use super::resolve::IncomingTransaction;
use crate::shared_log::SealedTransaction;

/// What the transactions of a page are about, without their bytes.
#[derive(Debug)]
pub(crate) struct Decoded(Vec<IncomingTransaction>);

impl Replica {
    /// Decodes a page ahead of applying it. `None`: the application is asked about each transaction that arrives, and not about what
    /// is perhaps never applied.
    pub(crate) fn decode_ahead(&self, sealed: &[SealedTransaction]) -> Option<Decoded> {
        let asks = self.merging.hooks.is_some();
        let decode = |it| self.resolve_asking(it, |_| Ok(()));
        (!asks).then(|| Decoded(sealed.iter().map(decode).collect()))
    }

    /// What transactions are about; those of a page that was decoded ahead are not decoded again.
    pub(super) fn incoming(
        &self,
        sealed: Vec<SealedTransaction>,
        ahead: Option<Decoded>,
    ) -> impl Iterator<Item = IncomingTransaction> {
        let ahead = ahead.filter(|it| it.is_of(&sealed));
        let mut decoded = ahead.into_iter().flat_map(|Decoded(decoded)| decoded);
        sealed.into_iter().map(move |sealed| match decoded.next() {
            Some(one) => IncomingTransaction { sealed, ..one },
            None => self.resolve(sealed),
        })
    }
}

impl Decoded {
    fn is_of(&self, sealed: &[SealedTransaction]) -> bool {
        let name = |it: &SealedTransaction| (it.device, it.sequence);
        self.0.iter().map(|it| name(&it.sealed)).eq(sealed.iter().map(name))
    }
}
