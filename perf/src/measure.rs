//! Clock and histogram.

use std::time::{Duration, Instant};

use hdrhistogram::Histogram;
use serde_json::{Value, json};

/// Nanoseconds of CLOCK_MONOTONIC since the clock was made. Stamps are only good inside this process.
#[derive(Clone, Copy)]
pub(crate) struct Clock(Instant);

impl Clock {
    pub(crate) fn start() -> Clock {
        Clock(Instant::now())
    }

    pub(crate) fn ns(self) -> u64 {
        self.0.elapsed().as_nanos() as u64
    }
}

const LEAST_NS: u64 = 1_000;
const MOST_NS: u64 = 120_000_000_000;

/// Latencies in nanoseconds, three significant digits, 1 us to 120 s.
pub(crate) struct Latencies(Histogram<u64>);

impl Latencies {
    pub(crate) fn new() -> Latencies {
        Latencies(Histogram::new_with_bounds(LEAST_NS, MOST_NS, 3).expect("bounds are valid"))
    }

    pub(crate) fn record(&mut self, ns: u64) {
        self.0.saturating_record(ns);
    }

    pub(crate) fn clear(&mut self) {
        self.0.clear();
    }

    /// Percentiles in microseconds; null where nothing was recorded.
    pub(crate) fn summary(&self) -> Value {
        if self.0.is_empty() {
            return Value::Null;
        }
        let us = |q: f64| self.0.value_at_quantile(q) as f64 / 1e3;
        json!({
            "count": self.0.len(), "p50": us(0.5), "p90": us(0.9), "p99": us(0.99), "p99.9": us(0.999), "p99.99": us(0.9999),
            "max": self.0.max() as f64 / 1e3, "mean": self.0.mean() / 1e3, "curve": self.curve(),
        })
    }

    /// Microseconds at the quantiles 1 - 10^(-n/5), n from 0, as far as there are values beyond them.
    fn curve(&self) -> Vec<f64> {
        let tails = (0..).map(|n| 10f64.powf(-f64::from(n) / 5.0)).take_while(|tail| tail * self.0.len() as f64 >= 1.0);
        tails.map(|tail| self.0.value_at_quantile(1.0 - tail) as f64 / 1e3).collect()
    }
}

/// Latencies by the time at which they were due, in [`SLOTS`] equal parts of a measurement.
pub(crate) struct Timeline {
    slot_ns: u64,
    slots: Vec<Histogram<u64>>,
}

const SLOTS: usize = 40;
/// Buckets of the heat map for each doubling of the latency, from 1 us on.
pub(crate) const BUCKETS_PER_OCTAVE: f64 = 4.0;

impl Timeline {
    pub(crate) fn new(duration_ns: u64) -> Timeline {
        let slot = Histogram::new_with_bounds(LEAST_NS, MOST_NS, 2).expect("bounds are valid");
        Timeline { slot_ns: (duration_ns / SLOTS as u64).max(1), slots: vec![slot; SLOTS] }
    }

    /// `due_ns`: since the start of the measurement. What is due later is left out.
    pub(crate) fn record(&mut self, due_ns: u64, latency_ns: u64) {
        if let Some(slot) = self.slots.get_mut((due_ns / self.slot_ns) as usize) {
            slot.saturating_record(latency_ns);
        }
    }

    pub(crate) fn clear(&mut self) {
        self.slots.iter_mut().for_each(Histogram::clear);
    }

    /// Of each slot: p50, p99, max in microseconds, and pairs of a bucket of the heat map and its count.
    pub(crate) fn value(&self) -> Value {
        let slots = self.slots.iter().map(|slot| {
            let us = |q: f64| slot.value_at_quantile(q) as f64 / 1e3;
            let mut heat: Vec<(u64, u64)> = Vec::new();
            for value in slot.iter_recorded() {
                let us = (value.value_iterated_to() as f64 / 1e3).max(1.0);
                let bucket = (us.log2() * BUCKETS_PER_OCTAVE) as u64;
                match heat.last_mut() {
                    Some((last, count)) if *last == bucket => *count += value.count_at_value(),
                    _ => heat.push((bucket, value.count_at_value())),
                }
            }
            json!([us(0.5), us(0.99), slot.max() as f64 / 1e3, heat])
        });
        json!({ "slot_s": seconds(self.slot_ns), "slots": slots.collect::<Vec<_>>() })
    }
}

pub(crate) fn seconds(ns: u64) -> f64 {
    Duration::from_nanos(ns).as_secs_f64()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn summary_speaks_microseconds() {
        let mut latencies = Latencies::new();
        assert_eq!(latencies.summary(), Value::Null);
        (1..=1000u64).for_each(|us| latencies.record(us * 1000));
        let summary = latencies.summary();
        let p99 = summary["p99"].as_f64().unwrap();
        assert!((989.0..=991.0).contains(&p99), "{summary}");
        assert!((999.0..=1001.0).contains(&summary["max"].as_f64().unwrap()), "{summary}");
        let curve = summary["curve"].as_array().unwrap();
        assert_eq!(curve.len(), 16, "up to 99.9 %, which one of 1,000 is beyond");
        assert!((899.0..=901.0).contains(&curve[5].as_f64().unwrap()), "{summary}");
    }

    #[test]
    fn a_timeline_keeps_what_was_due_when() {
        let mut timeline = Timeline::new(40_000);
        timeline.record(0, 8_000);
        timeline.record(39_999, 64_000);
        timeline.record(40_000, 1_000_000);
        let slots = &timeline.value()["slots"];
        assert_eq!(slots[0][3], json!([[12, 1]]), "8 us is three doublings");
        assert_eq!(slots[39][3][0][1], 1);
        assert_eq!(slots[1][3], json!([]));
    }
}
