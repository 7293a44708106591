//! The cases for [`Channel`]. A case's name says what it asserts.
#![allow(missing_docs)] // see above

pub mod frames;

use std::fmt;

use storex_core::{BoxFuture, MaybeSend, MaybeSync};
use storex_sync::Channel;

/// Both ends of a channel.
pub type Ends = (Box<dyn Channel>, Box<dyn Channel>);

/// Makes one channel for one case.
pub struct ChannelHarness {
    make: Box<dyn MakeEnds>,
}

trait MakeEnds: MaybeSend + MaybeSync {
    fn make(&self) -> BoxFuture<'static, Ends>;
}

impl<F: Fn() -> BoxFuture<'static, Ends> + MaybeSend + MaybeSync> MakeEnds for F {
    fn make(&self) -> BoxFuture<'static, Ends> {
        self()
    }
}

impl fmt::Debug for ChannelHarness {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ChannelHarness")
    }
}

impl ChannelHarness {
    /// A harness over the channels that the function makes.
    pub fn new(
        make: impl Fn() -> BoxFuture<'static, Ends> + MaybeSend + MaybeSync + 'static,
    ) -> Self {
        Self { make: Box::new(make) }
    }

    /// A channel.
    pub async fn ends(&self) -> Ends {
        self.make.make().await
    }
}

/// Every case of the suite as a test on the channel that the function gives.
///
/// ```
/// use storex_conformance::{channel::{ChannelHarness, Ends}, channel_conformance};
/// use storex_sync::MemoryChannel;
///
/// fn memory() -> ChannelHarness {
///     ChannelHarness::new(|| Box::pin(async {
///         let (here, there) = MemoryChannel::pair();
///         let ends: Ends = (Box::new(here), Box::new(there));
///         ends
///     }))
/// }
///
/// channel_conformance!(memory);
/// # fn main() {}
/// ```
#[macro_export]
macro_rules! channel_conformance {
    ($make:expr) => {
        $crate::__storex_suite! { $make => $crate::channel::ChannelHarness; by_case; channel:
            frames {
                arrive_in_order_and_whole
                both_ways_at_once
                of_every_size
                of_text_are_cut_in_no_code_point
                that_are_large_cross
                sent_before_closing_still_arrive
                sent_before_being_gone_still_arrive
                whose_sender_goes_in_the_middle_do_not_arrive_in_part
                given_up_are_sent_whole_or_not_at_all
                after_closing_there_are_none
                the_other_side_gone_is_told
                a_receive_given_up_loses_nothing
                a_slow_reader_holds_the_writer
            }
        }
    };
}
