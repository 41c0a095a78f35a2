//! How long a shard watches its rings before it sleeps.

use std::time::Duration;

/// Waking a sleeping core costs more than many a request (on a virtual machine tens of microseconds, and as much again for
/// whoever wakes it), watching for an event that does not come costs the time it was watched. So a shard watches as long as
/// events have lately come soon after it had nothing to do, and goes to sleep at once when they have not: an idle shard
/// costs nothing, a busy one does not sleep between two requests.
#[derive(Debug)]
pub(crate) struct Patience {
    most: Duration,
    window: Duration,
}

/// The window's first step, and below it none, as parts of the most.
const STEPS: u32 = 8;

impl Patience {
    /// `most`: how long to watch at most; zero for never.
    pub(crate) fn new(most: Duration) -> Self {
        Self { most, window: Duration::ZERO }
    }

    /// How long to watch now.
    pub(crate) fn window(&self) -> Duration {
        self.window
    }

    /// An event came `after` the shard had run out of work, watched or slept.
    pub(crate) fn learn(&mut self, after: Duration) {
        let step = self.most / STEPS;
        if after <= self.most {
            self.window = (self.window * 2).clamp(step, self.most);
        } else {
            self.window /= 2;
            if self.window < step {
                self.window = Duration::ZERO;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn us(us: u64) -> Duration {
        Duration::from_micros(us)
    }

    #[test]
    fn events_in_quick_succession_are_watched_for_and_rare_ones_are_not() {
        let mut patience = Patience::new(us(80));
        assert_eq!(patience.window(), Duration::ZERO);
        let windows: Vec<Duration> = [10, 80, 5, 5, 5].map(|after| after_learning(&mut patience, after)).to_vec();
        assert_eq!(windows, [us(10), us(20), us(40), us(80), us(80)]);
        let windows: Vec<Duration> =
            [81, 900, 900, 900, 900].map(|after| after_learning(&mut patience, after)).to_vec();
        assert_eq!(windows, [us(40), us(20), us(10), us(0), us(0)]);
    }

    #[test]
    fn no_patience_stays_none() {
        let mut patience = Patience::new(Duration::ZERO);
        assert_eq!(after_learning(&mut patience, 0), Duration::ZERO);
        assert_eq!(after_learning(&mut patience, 3), Duration::ZERO);
    }

    fn after_learning(patience: &mut Patience, after_us: u64) -> Duration {
        patience.learn(us(after_us));
        patience.window()
    }
}
