//! Topic names (Kafka's `Topic.validate` and its rule on names that differ only in dots and underscores).

use std::fmt;

pub const TOPIC_NAME_MAX: usize = 249;
/// The topic of the metadata log; no client may create it.
pub const CLUSTER_METADATA_TOPIC: &str = "__cluster_metadata";
/// Topics that only the broker itself writes to.
pub const INTERNAL_TOPICS: [&str; 3] = ["__consumer_offsets", "__transaction_state", "__share_group_state"];

/// Why a name cannot be that of a topic.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TopicNameError {
    Empty,
    Dots,
    TooLong(usize),
    Character(char),
}

impl fmt::Display for TopicNameError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Empty => f.write_str("the topic name is empty"),
            Self::Dots => f.write_str("'.' and '..' are no topic names"),
            Self::TooLong(len) => {
                write!(f, "the topic name has {len} characters, at most {TOPIC_NAME_MAX} are allowed")
            }
            Self::Character(c) => {
                write!(f, "the topic name contains {c:?}; ASCII letters, digits, '.', '_' and '-' are allowed")
            }
        }
    }
}

impl std::error::Error for TopicNameError {}

/// 1 to 249 characters of `[a-zA-Z0-9._-]`, but neither `.` nor `..`.
pub fn check_topic_name(name: &str) -> Result<(), TopicNameError> {
    if name.is_empty() {
        return Err(TopicNameError::Empty);
    }
    if name == "." || name == ".." {
        return Err(TopicNameError::Dots);
    }
    if name.len() > TOPIC_NAME_MAX {
        return Err(TopicNameError::TooLong(name.chars().count()));
    }
    match name.chars().find(|c| !(c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-'))) {
        Some(c) => Err(TopicNameError::Character(c)),
        None => Ok(()),
    }
}

pub fn is_valid_topic_name(name: &str) -> bool {
    check_topic_name(name).is_ok()
}

pub fn is_internal_topic(name: &str) -> bool {
    INTERNAL_TOPICS.contains(&name)
}

/// The name with every dot as underscore, if it has either. Metrics can't tell such names apart, so only one of them may
/// exist.
pub(super) fn unified(name: &str) -> Option<String> {
    name.contains(['.', '_']).then(|| name.replace('.', "_"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_those_of_kafka() {
        let longest = "a".repeat(TOPIC_NAME_MAX);
        for name in ["a", "A-Z_0.9", "...", "__consumer_offsets", longest.as_str()] {
            assert_eq!(check_topic_name(name), Ok(()), "{name}");
        }
        let too_long = "a".repeat(TOPIC_NAME_MAX + 1);
        for name in ["", ".", "..", "../x", "a b", "ä", "a/b", "a\0", too_long.as_str()] {
            assert!(!is_valid_topic_name(name), "{name}");
        }
        assert_eq!(unified("a.b_c").as_deref(), Some("a_b_c"));
        assert_eq!(unified("a-b"), None);
    }
}
