//! Subscriptions to the metrics of clients (KIP-714): which, how often, of whom. They are kept and described as Kafka's
//! `ClientMetricsConfigs` has them.

use state::telemetry::{Attribute, INTERVAL_MS_STANDARD, Subscription};

use super::alter::Refusal;
use super::describe::{Described, Source, Synonym, Wanted};
use super::layers::Map;

pub const METRICS: &str = "metrics";
pub const INTERVAL_MS: &str = "interval.ms";
pub const MATCH: &str = "match";

/// Name, default, whether it is a list, what it is. In the order in which Kafka tells them.
const KEYS: [(&str, &str, bool, &str); 3] = [
    (INTERVAL_MS, "300000", false, "Time between two pushes of a client's metrics."),
    (MATCH, "", true, "Clients that are meant, as a list of selector=pattern; none means all."),
    (METRICS, "", true, "Prefixes of the names of the metrics; * means all."),
];

/// Kafka's numbers for the types of configs.
const INT: i8 = 3;
const LIST: i8 = 7;

const INTERVAL_MS_MIN: i32 = 100;
const INTERVAL_MS_MAX: i32 = 3_600_000;

pub fn is_list(name: &str) -> bool {
    KEYS.iter().any(|(known, _, is_list, _)| *known == name && *is_list)
}

pub fn standard_text(name: &str) -> Option<&'static str> {
    KEYS.iter().find(|(known, ..)| *known == name).map(|(_, standard, ..)| *standard)
}

/// Checks all configs that a subscription would have.
pub fn check(subscription: &str, configs: &Map) -> Result<(), Refusal> {
    if subscription.is_empty() {
        return Err(Refusal::Request("a subscription has to be named".into()));
    }
    if let Some(name) = configs.keys().find(|name| standard_text(name).is_none()) {
        return Err(Refusal::Request(format!("Unknown client metrics configuration: {name}")));
    }
    for name in [METRICS, MATCH] {
        check_list(name, configs.get(name).map_or("", String::as_str))?;
    }
    if let Some(text) = configs.get(INTERVAL_MS) {
        let bad = |words: &str| format!("Invalid value {text} for configuration {INTERVAL_MS}: {words}");
        let interval = text.trim().parse::<i32>();
        let interval = interval.map_err(|_| Refusal::Config(bad("Not a number of type INT")))?;
        if !(INTERVAL_MS_MIN..=INTERVAL_MS_MAX).contains(&interval) {
            let words = bad(&format!("it lies between {INTERVAL_MS_MIN} and {INTERVAL_MS_MAX} (1 hour)"));
            return Err(Refusal::Request(words));
        }
    }
    items(configs.get(MATCH).map_or("", String::as_str)).try_for_each(check_pattern)
}

fn items(text: &str) -> impl Iterator<Item = &str> {
    text.split(',').map(str::trim).filter(|_| !text.trim().is_empty())
}

fn check_list(name: &str, text: &str) -> Result<(), Refusal> {
    let found: Vec<&str> = items(text).collect();
    let twice = |index: usize| found[..index].contains(&found[index]);
    if found.iter().any(|item| item.is_empty()) || (0..found.len()).any(twice) {
        let words = format!("Invalid value {text} for configuration {name}: items are neither empty nor said twice");
        return Err(Refusal::Config(words));
    }
    Ok(())
}

fn check_pattern(item: &str) -> Result<(), Refusal> {
    let illegal = || Refusal::Config(format!("Illegal client matching pattern: {item}"));
    let (selector, pattern) = item.split_once('=').ok_or_else(illegal)?;
    let known = Attribute::parse(selector.trim()).is_some();
    if known && !pattern.is_empty() && !pattern.contains('=') && is_regex(pattern.trim()) {
        Ok(())
    } else {
        Err(illegal())
    }
}

/// What clients are asked by a subscription whose configs were checked; beside it, why no client is meant although the
/// configs are fine.
pub fn subscription(configs: &Map) -> (Subscription, Option<String>) {
    let list = |name| items(configs.get(name).map_or("", String::as_str));
    let interval_ms = configs.get(INTERVAL_MS).and_then(|text| text.trim().parse().ok());
    let patterns = list(MATCH).filter_map(|item| {
        let (selector, pattern) = item.split_once('=')?;
        Some((Attribute::parse(selector.trim())?, pattern.trim()))
    });
    let metrics = list(METRICS).map(str::to_owned).collect();
    Subscription::new(metrics, interval_ms.unwrap_or(INTERVAL_MS_STANDARD), patterns)
}

/// Whether Java would take this as a regular expression, as far as brackets, escapes and quantifiers tell.
fn is_regex(pattern: &str) -> bool {
    let (mut groups, mut in_class, mut repeatable) = (0usize, false, false);
    let mut chars = pattern.chars().peekable();
    while let Some(c) = chars.next() {
        match c {
            '\\' => {
                if chars.next().is_none() {
                    return false;
                }
                repeatable = true;
            }
            '[' => in_class = true,
            ']' if in_class => {
                in_class = false;
                repeatable = true;
            }
            _ if in_class => {}
            '(' => {
                groups += 1;
                repeatable = false;
                // `(?:`, `(?=` and the like.
                if chars.peek() == Some(&'?') {
                    chars.next();
                }
            }
            ')' if groups == 0 => return false,
            ')' => {
                groups -= 1;
                repeatable = true;
            }
            '*' | '+' | '?' if !repeatable => return false,
            '*' | '+' | '?' => {
                // One more makes it lazy or possessive.
                repeatable = matches!(chars.peek(), Some('?' | '+'));
            }
            '{' => {
                let counts: String = chars.by_ref().take_while(|c| *c != '}').collect();
                let is_count = |text: &str| text.is_empty() || text.parse::<u32>().is_ok();
                let (least, most) = counts.split_once(',').unwrap_or((&counts, ""));
                if !repeatable || least.is_empty() || !is_count(least) || !is_count(most) {
                    return false;
                }
            }
            '|' | '^' => repeatable = false,
            _ => repeatable = true,
        }
    }
    groups == 0 && !in_class
}

/// Every config of a subscription that has `overrides`.
pub fn describe(overrides: &Map, wanted: Wanted<'_>) -> Vec<Described> {
    let shown = |name: &str| wanted.is_none_or(|names| names.is_empty() || names.contains(&name));
    let each = KEYS.iter().filter(|(name, ..)| shown(name)).map(|(name, standard, is_list, doc)| {
        let own = overrides.get(*name);
        let trimmed = |text: &String| if *is_list { items(text).collect::<Vec<_>>().join(",") } else { text.clone() };
        let value = own.map_or_else(|| (*standard).to_owned(), trimmed);
        let source = if own.is_some() { Source::ClientMetrics } else { Source::Default };
        let synonym = own.map(|_| Synonym { name: (*name).to_owned(), value: Some(value.clone()), source });
        Described {
            name: (*name).to_owned(),
            value: Some(value),
            source,
            read_only: false,
            sensitive: false,
            synonyms: synonym.into_iter().collect(),
            kind: if *is_list { LIST } else { INT },
            doc: Some(doc),
        }
    });
    each.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn say(name: &str, text: &str) -> String {
        let configs = Map::from([(name.to_owned(), text.to_owned())]);
        check("s", &configs).map_or_else(|refusal| format!("{refusal:?}"), |()| "fine".into())
    }

    #[test]
    fn subscriptions_are_checked() {
        assert_eq!(say("metrics", "*"), "fine");
        assert_eq!(say("metrics", "a,a").split('(').next(), Some("Config"));
        assert_eq!(say("interval.ms", "100"), "fine");
        assert!(say("interval.ms", "99").starts_with("Request(\"Invalid value 99"));
        assert!(say("interval.ms", "often").starts_with("Config(\"Invalid value often"));
        assert!(say("no.such", "1").starts_with("Request("));
        assert_eq!(say("match", "client_id=a.*, client_software_name=(java|go){2}"), "fine");
        for bad in
            ["client_id", "client_id=", "shoe=1", "client_id=a(b", "client_id=*", "client_id=[a", "client_id=a\\"]
        {
            assert!(say("match", bad).starts_with("Config(\"Illegal"), "{bad}");
        }
        assert!(check("", &Map::new()).is_err());
    }

    #[test]
    fn what_is_not_said_has_its_default() {
        let described = describe(&Map::from([(METRICS.to_owned(), "a, b".to_owned())]), None);
        let texts: Vec<_> = described.iter().map(|one| (one.name.as_str(), one.value.as_deref(), one.source)).collect();
        let expected = [
            (INTERVAL_MS, Some("300000"), Source::Default),
            (MATCH, Some(""), Source::Default),
            (METRICS, Some("a,b"), Source::ClientMetrics),
        ];
        assert_eq!(texts, expected);
        assert_eq!(describe(&Map::new(), Some(&[MATCH])).len(), 1);
    }
}
