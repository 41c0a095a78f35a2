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

/// Latencies in nanoseconds, three significant digits, 1 us to 120 s.
pub(crate) struct Latencies(Histogram<u64>);

impl Latencies {
    pub(crate) fn new() -> Latencies {
        Latencies(Histogram::new_with_bounds(1_000, 120_000_000_000, 3).expect("bounds are valid"))
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
            "max": self.0.max() as f64 / 1e3, "mean": self.0.mean() / 1e3,
        })
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
    }
}
