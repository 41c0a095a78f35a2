//! What is set for one group: its own configs, within the broker's bounds, or else the broker's.

use super::super::Settings;
use crate::metadata::{Image, ResourceType};

pub(super) fn session_timeout_ms(group: &str, image: &Image, settings: &Settings) -> u64 {
    let bounds = (settings.consumer_session_timeout_min_ms, settings.consumer_session_timeout_max_ms);
    let own = own(group, image, "consumer.session.timeout.ms", bounds);
    u64::try_from(own.unwrap_or(settings.consumer_session_timeout_ms)).unwrap_or(0)
}

pub(super) fn heartbeat_interval_ms(group: &str, image: &Image, settings: &Settings) -> i32 {
    let bounds = (settings.consumer_heartbeat_interval_min_ms, settings.consumer_heartbeat_interval_max_ms);
    own(group, image, "consumer.heartbeat.interval.ms", bounds).unwrap_or(settings.consumer_heartbeat_interval_ms)
}

pub(super) fn assignment_interval_ms(group: &str, image: &Image, settings: &Settings) -> i32 {
    let bounds = (settings.consumer_assignment_interval_min_ms, settings.consumer_assignment_interval_max_ms);
    own(group, image, "consumer.assignment.interval.ms", bounds).unwrap_or(settings.consumer_assignment_interval_ms)
}

/// The broker's bounds may have become tighter since the config was set.
fn own(group: &str, image: &Image, key: &str, (min, max): (i32, i32)) -> Option<i32> {
    let value: i32 = image.config(ResourceType::Group, group, key)?.trim().parse().ok()?;
    Some(value.min(max).max(min))
}
