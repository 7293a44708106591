//! [`Drawer`]: draws what happens.

use std::time::Duration;

use storex_sync::Limits;
use storex_sync::engine::Backoff;

use super::{BEGIN, DAY, Event, Troubles};
use crate::device::Habits;
use crate::network::{Link, Weather};
use crate::random::Random;
use crate::workload::{Edit, NOTES, Write};

pub(super) struct Drawer<'a> {
    pub(super) random: &'a mut Random,
    pub(super) devices: usize,
    pub(super) lasts: u64,
    pub(super) events: Vec<(Duration, Event)>,
}

impl Drawer<'_> {
    pub(super) fn habits(&mut self, shared: bool) -> Habits {
        let random = &mut *self.random;
        let small = random.chance(60);
        let limits = Limits {
            bytes: if small { 500 } else { 1 << 20 },
            transactions: if small { random.between(1, 4) } else { 1000 },
        };
        let cap = if random.chance(30) { 300 } else { random.between(10, 60) };
        Habits {
            limits,
            deadline: Duration::from_secs(random.between(5, 30)),
            shortest: Duration::from_secs(random.between(5, 15)),
            longest: Duration::from_secs(random.between(20, 120)),
            gather: Duration::from_millis(random.between(0, 500)),
            backoff: Backoff { cap: Duration::from_secs(cap), ..Backoff::default() },
            shared,
            #[cfg(feature = "deliberate-faults")]
            fault: None,
        }
    }

    /// A moment while things go wrong.
    fn moment(&mut self) -> u64 {
        BEGIN + self.random.below(self.lasts)
    }

    fn device(&mut self) -> usize {
        self.random.index(self.devices)
    }

    fn at(&mut self, at: u64, event: Event) {
        self.events.push((Duration::from_millis(at), event));
    }

    pub(super) fn all(&mut self, troubles: Troubles) -> u64 {
        for device in 0..self.devices {
            self.at(0, Event::Start(device));
        }
        self.at(1000, Event::Write(0, Write::tallies(1)));
        let writes = self.writes();
        self.users();
        if troubles.network {
            self.storms();
        }
        if troubles.partitions {
            self.partitions();
        }
        if troubles.crashes {
            self.crashes();
        }
        if troubles.skew {
            self.jumps();
        }
        if troubles.trim {
            for _ in 0..self.random.between(1, 8) {
                let at = self.moment();
                self.at(at, Event::Trim);
            }
        }
        if troubles.power {
            self.blackouts();
        }
        let end = BEGIN + self.lasts;
        self.at(end, Event::Heal);
        writes + self.copies(troubles, writes)
    }

    /// Some now and then, some in bursts, some on several devices at one moment, and some on all devices at one moment to one
    /// object: where clocks agree, these have the same reading.
    fn writes(&mut self) -> u64 {
        let count = self.random.between(20, 120);
        let mut number = 1;
        while number < count {
            let (at, device) = (self.moment(), self.device());
            if self.random.chance(10) {
                number = self.rivals(number, at);
                continue;
            }
            let burst = if self.random.chance(20) { self.random.between(2, 8) } else { 1 };
            let everywhere = self.random.chance(15);
            for n in 0..burst {
                number += 1;
                let write = Write::draw(number, self.random);
                let device = if everywhere { self.device() } else { device };
                let apart = if everywhere { 0 } else { n * self.random.below(300) };
                self.at(at + apart, Event::Write(device, write));
            }
        }
        number
    }

    fn rivals(&mut self, last: u64, at: u64) -> u64 {
        let note = self.random.below(NOTES);
        for (device, number) in (0..self.devices).zip(last + 1..) {
            let changes = vec![Edit::PutNote(note)];
            self.at(at, Event::Write(device, Write { number, changes }));
        }
        last + self.devices as u64
    }

    fn users(&mut self) {
        for _ in 0..self.random.below(6) {
            let (at, device) = (self.moment(), self.device());
            self.at(at, Event::SyncNow(device));
        }
        if self.random.chance(20) {
            let (at, device) = (self.moment(), self.device());
            self.at(at, Event::Pause(device, true));
            let until = at + self.random.below(60_000);
            self.at(until, Event::Pause(device, false));
        }
        if self.random.chance(20) {
            let (at, device) = (self.moment(), self.device());
            self.at(at, Event::Restart(device));
        }
    }

    fn storms(&mut self) {
        for _ in 0..self.random.between(1, 5) {
            let at = self.moment();
            let weather = self.storm();
            self.at(at, Event::Weather(weather));
            if self.random.chance(50) {
                let until = at + self.random.below(60_000);
                self.at(until, Event::Weather(Weather::FINE));
            }
        }
        for device in 0..self.devices {
            let mut at = BEGIN;
            while at < BEGIN + self.lasts {
                at += self.random.between(5_000, 60_000);
                self.at(at, Event::Help(device));
            }
        }
    }

    fn storm(&mut self) -> Weather {
        let random = &mut *self.random;
        let mut some = |most| if random.chance(60) { random.between(0, most) } else { 0 };
        Weather {
            latency: some(3000).max(20),
            fails: some(30),
            loses_request: some(30),
            loses_answer: some(40),
            repeats: some(40),
            delays: some(20),
            redelivers: some(40),
            leaves_out: some(40),
            limits_rate: some(5),
            forgets_login: some(3),
        }
    }

    fn partitions(&mut self) {
        for _ in 0..self.random.between(1, 2 * self.devices as u64) {
            let (at, device) = (self.moment(), self.device());
            let kind = self.random.below(4);
            let cut = match kind {
                0 => Link { up: false, down: true },
                1 => Link { up: true, down: false },
                _ => Link { up: false, down: false },
            };
            let noticed = self.random.chance(30);
            let (mut at, times) = match self.random.chance(30) {
                true => (at, self.random.between(3, 12)),
                false => (at, 1),
            };
            for _ in 0..times {
                let most = if times > 1 { 8_000 } else { 150_000 };
                let until = at + self.random.between(100, most);
                self.at(at, Event::Link(device, cut));
                self.at(until, Event::Link(device, Link { up: true, down: true }));
                if noticed {
                    self.at(at, Event::Online(device, false));
                    self.at(until, Event::Online(device, true));
                }
                at = until + self.random.between(100, 8_000);
            }
        }
    }

    fn crashes(&mut self) {
        for _ in 0..self.random.between(1, 12) {
            let (at, device) = (self.moment(), self.device());
            self.at(at, Event::Crash(device));
            let down = if self.random.chance(70) { 2_000 } else { 120_000 };
            let until = at + self.random.below(down);
            self.at(until, Event::Start(device));
        }
    }

    /// Tells how many writes there are beside those that there were.
    fn copies(&mut self, troubles: Troubles, writes: u64) -> u64 {
        if troubles.clones {
            for _ in 0..self.random.between(1, 3) {
                let at = self.moment();
                let from = self.device();
                // Another one than the first.
                let to = (from + 1 + self.random.index(self.devices - 1)) % self.devices;
                self.at(at, Event::Clone(from, to));
            }
        }
        if troubles.restores {
            for _ in 0..self.random.between(1, 2) {
                let (at, later) = (self.moment(), self.moment());
                let device = self.device();
                self.at(at.min(later), Event::BackUp(device));
                self.at(at.max(later), Event::Restore(device));
            }
        }
        let mut seems_the_same = false;
        if troubles.wiped {
            for _ in 0..self.random.between(1, 2) {
                let (at, other) = (self.moment(), self.random.chance(60));
                self.at(at, Event::Wipe(other));
                seems_the_same |= !other;
            }
        }
        if !seems_the_same {
            return 0;
        }
        // Who is not behind the end of such a log notices nothing until it writes.
        let devices = self.devices as u64;
        for (device, number) in (0..self.devices).zip(writes + 1..) {
            let changes = vec![Edit::PutNote(number % NOTES)];
            let write = Write { number, changes };
            self.at(BEGIN + self.lasts + 5_000, Event::Write(device, write));
        }
        devices
    }

    fn blackouts(&mut self) {
        for _ in 0..self.random.between(1, 6) {
            let (at, device) = (self.moment(), self.device());
            self.at(at, Event::LosePower(device));
            let until = at + self.random.below(10_000);
            self.at(until, Event::Start(device));
        }
    }

    fn jumps(&mut self) {
        for _ in 0..self.random.below(6) {
            let (at, device) = (self.moment(), self.device());
            let by = match self.random.below(3) {
                0 => self.random.either_way(DAY),
                1 => self.random.either_way(60_000),
                _ => self.random.either_way(500),
            };
            self.at(at, Event::Jump(device, by));
        }
    }
}
