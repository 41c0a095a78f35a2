//! Topics by regular expression, as a member of a consumer group subscribes to them.
//!
//! As in Kafka, a heartbeat that brings a new pattern is answered before anybody looks which topics it matches: the member
//! hears of them with a later one. Kafka leaves the work to another thread; here it is due at once, since a thousand topics
//! are a matter of microseconds.

use std::collections::BTreeSet;

use regex::Regex;

use super::super::GroupError;
use crate::metadata::Image;
use crate::pattern::{PATTERN_BYTES_MAX, whole};

/// A pattern that has to match a topic's whole name.
pub(super) fn compile(pattern: &str) -> Result<Regex, GroupError> {
    if pattern.len() > PATTERN_BYTES_MAX {
        let text = format!("SubscribedTopicRegex is longer than {PATTERN_BYTES_MAX} bytes.");
        return Err(GroupError::InvalidRegex(text));
    }
    whole(pattern).map_err(|why| {
        GroupError::InvalidRegex(format!("SubscribedTopicRegex `{pattern}` is not a valid regular expression: {why}."))
    })
}

/// The topics that a pattern matches now. One that does not compile any more matches none.
pub(super) fn matching(pattern: &str, image: &Image) -> BTreeSet<String> {
    let Ok(regex) = compile(pattern) else { return BTreeSet::new() };
    let names = image.topics().map(|topic| &*topic.name);
    names.filter(|name| regex.is_match(name)).map(str::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_does_not_compile_is_said() {
        for pattern in ["[", &"a".repeat(PATTERN_BYTES_MAX + 1)] {
            assert!(matches!(compile(pattern), Err(GroupError::InvalidRegex(_))), "{pattern}");
        }
        let Err(GroupError::InvalidRegex(text)) = compile("[") else { panic!() };
        assert!(text.starts_with("SubscribedTopicRegex `[` is not a valid regular expression: "), "{text}");
    }
}
