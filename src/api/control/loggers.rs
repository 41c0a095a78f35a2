//! Levels of this broker's loggers (resource BROKER_LOGGER, KIP-412): they count at once, and are gone with the process.

use std::collections::BTreeSet;

use state::metadata::decide::{AlterOp, AlterResource, OpType};
use wire::ErrorCode;

use super::configs::Answered;
use crate::metrics::log::{self, Level};

type Refused = (ErrorCode, String);

/// One answer for each resource. Of a resource everything is checked before anything is changed.
pub(super) fn alter(resources: &[AlterResource], node_id: i32, validate_only: bool) -> Vec<Answered> {
    let each = resources.iter().map(|one| {
        let repeated = resources.iter().filter(|other| other.resource == one.resource).count() > 1;
        let checked =
            if repeated { invalid("the request names the resource more than once") } else { check(one, node_id) };
        match checked {
            Ok(()) if validate_only => (ErrorCode::None, None),
            Ok(()) => {
                one.ops.iter().for_each(carry_out);
                (ErrorCode::None, None)
            }
            Err((code, words)) => (code, Some(words)),
        }
    });
    each.collect()
}

fn check(one: &AlterResource, node_id: i32) -> Result<(), Refused> {
    let mut seen = BTreeSet::new();
    for op in &one.ops {
        if !seen.insert(&op.name) {
            return invalid(&format!("the request names {} more than once", op.name));
        }
        if op.value.is_none() && op.op != OpType::Delete {
            return invalid(&format!("null is no value for {}", op.name));
        }
    }
    if one.resource.name.parse() != Ok(node_id) {
        return invalid(&format!("loggers of {:?} were asked of broker {node_id}", one.resource.name));
    }
    one.ops.iter().try_for_each(check_op)
}

fn check_op(op: &AlterOp) -> Result<(), Refused> {
    if matches!(op.op, OpType::Append | OpType::Subtract) {
        return invalid("a level is no list");
    }
    if !log::is_logger(&op.name) {
        return Err((ErrorCode::InvalidConfig, format!("there is no logger {}", op.name)));
    }
    if op.op == OpType::Delete {
        return if op.name == log::ROOT { invalid("root has to have a level") } else { Ok(()) };
    }
    let level = op.value.as_deref().unwrap_or_default();
    if Level::parse(level).is_none() {
        let words = format!("{level} is no level of a logger: TRACE, DEBUG, INFO, WARN, ERROR and FATAL are");
        return Err((ErrorCode::InvalidConfig, words));
    }
    Ok(())
}

fn carry_out(op: &AlterOp) {
    let level = op.value.as_deref().filter(|_| op.op == OpType::Set).and_then(Level::parse);
    log::set_level(&op.name, level);
    match level {
        Some(level) => log::warn(format_args!("logger {} writes from {} on", op.name, level.name())),
        None => log::warn(format_args!("logger {} follows {}", op.name, log::ROOT)),
    }
}

fn invalid(words: &str) -> Result<(), Refused> {
    Err((ErrorCode::InvalidRequest, words.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use state::metadata::{ConfigResource, ResourceType};

    fn say(node: &str, name: &str, op: OpType, value: Option<&str>) -> ErrorCode {
        let ops = vec![AlterOp { name: name.to_owned(), op, value: value.map(str::to_owned) }];
        let resource = ConfigResource::new(ResourceType::BrokerLogger, node);
        alter(&[AlterResource { resource, ops }], 1, true)[0].0
    }

    #[test]
    fn levels_are_checked() {
        assert_eq!(say("1", "ringmill.net", OpType::Set, Some("DEBUG")), ErrorCode::None);
        assert_eq!(say("1", "ringmill.net", OpType::Delete, None), ErrorCode::None);
        assert_eq!(say("1", log::ROOT, OpType::Delete, None), ErrorCode::InvalidRequest);
        assert_eq!(say("1", log::ROOT, OpType::Set, Some("LOUD")), ErrorCode::InvalidConfig);
        assert_eq!(say("1", log::ROOT, OpType::Append, Some("INFO")), ErrorCode::InvalidRequest);
        assert_eq!(say("1", log::ROOT, OpType::Set, None), ErrorCode::InvalidRequest);
        assert_eq!(say("1", "no.such", OpType::Set, Some("INFO")), ErrorCode::InvalidConfig);
        assert_eq!(say("2", log::ROOT, OpType::Set, Some("INFO")), ErrorCode::InvalidRequest);
    }
}
