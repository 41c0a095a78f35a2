//! Log lines on stderr: time, level, what happened. Rare events only; nothing on the path of a produce or a fetch
//! writes here.
//!
//! Each room has a logger, `ringmill.ROOM`, and `root` stands for those that have no level of their own. Levels are
//! changed while the broker runs (KIP-412) and are gone with the process. They are the one thing that all cores share
//! here, read only when a line is about to be written.

use std::fmt::Arguments;
use std::io::Write;
use std::panic::Location;
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

/// How much a line matters, the least first. The names are Kafka's (`LogLevelConfig`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    Trace,
    Debug,
    Info,
    Warn,
    Error,
    Fatal,
}

const LEVELS: [(Level, &str); 6] = [
    (Level::Trace, "TRACE"),
    (Level::Debug, "DEBUG"),
    (Level::Info, "INFO"),
    (Level::Warn, "WARN"),
    (Level::Error, "ERROR"),
    (Level::Fatal, "FATAL"),
];

impl Level {
    pub fn parse(name: &str) -> Option<Self> {
        LEVELS.iter().find(|(_, known)| *known == name).map(|(level, _)| *level)
    }

    pub fn name(self) -> &'static str {
        LEVELS[self as usize].1
    }
}

/// What speaks for the loggers without a level of their own; it always has one.
pub const ROOT: &str = "root";

/// In [`OWN`]: no level of its own.
const INHERITED: u8 = u8::MAX;

/// The loggers: root first, then one for each room that writes lines.
const LOGGERS: [&str; 10] = [
    ROOT,
    "ringmill.api",
    "ringmill.config",
    "ringmill.controller",
    "ringmill.groups",
    "ringmill.log",
    "ringmill.net",
    "ringmill.partition",
    "ringmill.server",
    "ringmill.telemetry",
];

/// The place of the logger for what stands beside the rooms.
const SERVER: usize = 8;
const _: () = assert!(matches!(LOGGERS[SERVER].as_bytes(), b"ringmill.server"));

static OWN: [AtomicU8; LOGGERS.len()] = {
    let mut own = [const { AtomicU8::new(INHERITED) }; LOGGERS.len()];
    own[0] = AtomicU8::new(Level::Info as u8);
    own
};

/// Every logger with the level that counts for it.
pub fn loggers() -> impl Iterator<Item = (&'static str, Level)> {
    LOGGERS.iter().enumerate().map(|(index, name)| (*name, level_of(index)))
}

pub fn is_logger(name: &str) -> bool {
    LOGGERS.contains(&name)
}

/// Gives a logger a level, or takes its own away: then root's counts. Root keeps the one it has.
pub fn set_level(name: &str, level: Option<Level>) {
    let Some(index) = LOGGERS.iter().position(|known| *known == name) else { return };
    match level {
        Some(level) => OWN[index].store(level as u8, Ordering::Relaxed),
        None if index > 0 => OWN[index].store(INHERITED, Ordering::Relaxed),
        None => {}
    }
}

fn level_of(index: usize) -> Level {
    let own = OWN[index].load(Ordering::Relaxed);
    let counts = if own == INHERITED { OWN[0].load(Ordering::Relaxed) } else { own };
    LEVELS.get(usize::from(counts)).map_or(Level::Info, |(level, _)| *level)
}

/// The logger of a source file: that of its room, or `ringmill.server` for what stands beside the rooms.
fn logger_of(file: &str) -> usize {
    let room = file.rsplit_once("src/").map_or(file, |(_, rest)| rest).split('/').next().unwrap_or_default();
    let room = room.strip_suffix(".rs").unwrap_or(room);
    LOGGERS.iter().position(|name| name.strip_prefix("ringmill.") == Some(room)).unwrap_or(SERVER)
}

#[track_caller]
pub fn info(text: Arguments<'_>) {
    line(Level::Info, text);
}

#[track_caller]
pub fn warn(text: Arguments<'_>) {
    line(Level::Warn, text);
}

#[track_caller]
pub fn error(text: Arguments<'_>) {
    line(Level::Error, text);
}

#[track_caller]
fn line(level: Level, text: Arguments<'_>) {
    if level < level_of(logger_of(Location::caller().file())) {
        return;
    }
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    // One write, so that lines of several shards do not mix; a closed stderr must not stop the broker.
    let text = format!("{} {} {text}\n", utc(now.as_millis() as u64), level.name());
    _ = std::io::stderr().write_all(text.as_bytes());
}

/// ISO 8601 in UTC with milliseconds; civil date from days as in Howard Hinnant's `civil_from_days`.
fn utc(unix_ms: u64) -> String {
    let (days, ms) = (unix_ms / 86_400_000, unix_ms % 86_400_000);
    let z = days as i64 + 719_468;
    let era = z / 146_097;
    let day_of_era = z % 146_097;
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = if shifted_month < 10 { shifted_month + 3 } else { shifted_month - 9 };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    let (h, m, s) = (ms / 3_600_000, ms / 60_000 % 60, ms / 1000 % 60);
    format!("{year:04}-{month:02}-{day:02}T{h:02}:{m:02}:{s:02}.{:03}Z", ms % 1000)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_has_the_logger_of_its_room() {
        let name = |file: &str| LOGGERS[logger_of(file)];
        assert_eq!(name("src/partition/keep.rs"), "ringmill.partition");
        assert_eq!(name("/x/ringmill/src/net/mod.rs"), "ringmill.net");
        assert_eq!(name("src/telemetry.rs"), "ringmill.telemetry");
        assert_eq!(name("src/main.rs"), "ringmill.server");
        assert_eq!(name(Location::caller().file()), "ringmill.server");
    }

    #[test]
    fn a_level_of_its_own_comes_before_roots() {
        // A logger that no line of the tests is written by.
        let level = || loggers().find(|(name, _)| *name == "ringmill.groups").map(|(_, level)| level);
        assert_eq!(level(), Some(Level::Info));
        set_level("ringmill.groups", Some(Level::Fatal));
        assert_eq!(level(), Some(Level::Fatal));
        set_level("ringmill.groups", None);
        assert_eq!(level(), Some(Level::Info));
        set_level(ROOT, None);
        set_level("nobody", Some(Level::Trace));
        assert_eq!(loggers().next(), Some((ROOT, Level::Info)));
        assert!(Level::parse("WARN") == Some(Level::Warn) && Level::parse("warn").is_none());
    }

    #[test]
    fn dates_are_right() {
        assert_eq!(utc(0), "1970-01-01T00:00:00.000Z");
        assert_eq!(utc(1_709_164_799_999), "2024-02-28T23:59:59.999Z");
        assert_eq!(utc(1_709_164_800_000), "2024-02-29T00:00:00.000Z");
        assert_eq!(utc(4_102_444_800_001), "2100-01-01T00:00:00.001Z");
    }
}
