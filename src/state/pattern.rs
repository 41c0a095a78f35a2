//! Regular expressions that clients and operators write, in RE2's syntax or Java's. The crate `regex` matches in time linear
//! in the text, so that no pattern can stall a shard; what a pattern may cost to compile is bounded here.

use regex::{Regex, RegexBuilder};

/// Bytes of a pattern, at most.
pub(crate) const PATTERN_BYTES_MAX: usize = 16 << 10;
/// Of a compiled pattern, and of the states that matching makes.
const COMPILED_BYTES_MAX: usize = 1 << 20;

/// A pattern that has to match a whole text. The error says why it can't be one.
pub(crate) fn whole(pattern: &str) -> Result<Regex, String> {
    if pattern.len() > PATTERN_BYTES_MAX {
        return Err(format!("longer than {PATTERN_BYTES_MAX} bytes"));
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
    build(&quoted).and_then(|_| build(&format!(r"\A(?:{quoted})\z")))
}

/// RE2 and Java take what stands between `\Q` and `\E` as it is.
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

    fn matches(pattern: &str, text: &str) -> bool {
        whole(pattern).expect(pattern).is_match(text)
    }

    #[test]
    fn a_pattern_matches_whole_texts() {
        assert!(matches("foo|foobar", "foobar"));
        assert!(!matches("foo", "foobar"));
        assert!(!matches("bar", "foobar"));
        assert!(matches("foo.*", "foo"));
        assert!(matches("", ""));
        assert!(!matches("", "foo"));
    }

    #[test]
    fn quotes_are_taken_as_they_are() {
        assert!(matches(r"\Qa.b\E.*", "a.b-c"));
        assert!(!matches(r"\Qa.b\E.*", "axb-c"));
        assert!(matches(r"\Qa+", "a+"));
        assert!(matches(r"a\\Q", r"a\Q"));
    }

    #[test]
    fn what_does_not_compile_is_said() {
        for pattern in ["[", "a)|(b", "(?=a)", r"(a)\1x", "a{2", &"a".repeat(PATTERN_BYTES_MAX + 1), "(a{500}){500}"] {
            assert!(whole(pattern).is_err(), "{pattern}");
        }
    }
}
