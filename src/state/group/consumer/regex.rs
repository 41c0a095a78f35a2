//! Topics by regular expression. Kafka takes RE2's syntax, and so does the crate `regex` (docs/decisions): both match in time
//! linear in the text, so that no pattern can stall the coordinator; what a pattern may cost to compile is bounded here.
//!
//! Kafka evaluates patterns on another thread and lets the member wait; here one is evaluated as it comes, because a
//! thousand topics are a matter of microseconds.

use std::collections::BTreeSet;

use regex::{Regex, RegexBuilder};

use super::super::GroupError;
use crate::metadata::Image;

const PATTERN_BYTES_MAX: usize = 16 << 10;
/// Of a compiled pattern, and of the states that matching makes.
const COMPILED_BYTES_MAX: usize = 1 << 20;

/// A pattern that has to match a topic's whole name.
pub(super) fn compile(pattern: &str) -> Result<Regex, GroupError> {
    let invalid = |why: &str| {
        GroupError::InvalidRegex(format!("SubscribedTopicRegex `{pattern}` is not a valid regular expression: {why}."))
    };
    if pattern.len() > PATTERN_BYTES_MAX {
        let text = format!("SubscribedTopicRegex is longer than {PATTERN_BYTES_MAX} bytes.");
        return Err(GroupError::InvalidRegex(text));
    }
    let build = |pattern: &str| {
        RegexBuilder::new(pattern)
            .size_limit(COMPILED_BYTES_MAX)
            .dfa_size_limit(COMPILED_BYTES_MAX)
            .build()
            .map_err(|error| error.to_string().lines().last().unwrap_or_default().replace("error: ", ""))
    };
    let quoted = unquote(pattern);
    // On its own first: what is put around it must not balance its parentheses.
    build(&quoted).and_then(|_| build(&format!(r"\A(?:{quoted})\z"))).map_err(|why| invalid(&why))
}

/// The topics that a pattern matches now. One that does not compile any more matches none.
pub(super) fn matching(pattern: &str, image: &Image) -> BTreeSet<String> {
    let Ok(regex) = compile(pattern) else { return BTreeSet::new() };
    let names = image.topics().map(|topic| &*topic.name);
    names.filter(|name| regex.is_match(name)).map(str::to_owned).collect()
}

/// RE2 takes what stands between `\Q` and `\E` as it is.
fn unquote(pattern: &str) -> String {
    let mut plain = String::with_capacity(pattern.len());
    let mut rest = pattern;
    while let Some(at) = rest.find('\\') {
        plain.push_str(&rest[..at]);
        rest = &rest[at..];
        if let Some(quoted) = rest.strip_prefix(r"\Q") {
            let (text, after) = quoted.split_once(r"\E").unwrap_or((quoted, ""));
            plain.push_str(&regex::escape(text));
            rest = after;
        } else {
            let escape = rest.char_indices().nth(2).map_or(rest.len(), |(end, _)| end);
            plain.push_str(&rest[..escape]);
            rest = &rest[escape..];
        }
    }
    plain.push_str(rest);
    plain
}

#[cfg(test)]
mod tests {
    use super::*;

    fn matches(pattern: &str, name: &str) -> bool {
        compile(pattern).expect(pattern).is_match(name)
    }

    #[test]
    fn a_pattern_matches_whole_names() {
        assert!(matches("foo|foobar", "foobar"));
        assert!(!matches("foo", "foobar"));
        assert!(!matches("bar", "foobar"));
        assert!(matches("foo.*", "foo"));
        assert!(matches("", ""));
        assert!(!matches("", "foo"));
    }

    #[test]
    fn quotes_are_re2s() {
        assert!(matches(r"\Qa.b\E.*", "a.b-c"));
        assert!(!matches(r"\Qa.b\E.*", "axb-c"));
        assert!(matches(r"\Qa+", "a+"));
        assert!(matches(r"a\\Q", r"a\Q"));
    }

    #[test]
    fn what_does_not_compile_is_said() {
        for pattern in ["[", "a)|(b", "(?=a)", r"(a)\1x", "a{2", &"a".repeat(PATTERN_BYTES_MAX + 1), "(a{500}){500}"] {
            assert!(matches!(compile(pattern), Err(GroupError::InvalidRegex(_))), "{pattern}");
        }
        let Err(GroupError::InvalidRegex(text)) = compile("[") else { panic!() };
        assert!(text.starts_with("SubscribedTopicRegex `[` is not a valid regular expression: "), "{text}");
    }
}
