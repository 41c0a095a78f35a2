//! One value: read by its kind, checked by its bounds, written as Kafka shows it.

use super::keys::{Allowed, Key, Kind, Standard};

/// A value that was read. Null is the absence of one.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    Boolean(bool),
    /// Every whole number; the kind has checked its width.
    Number(i64),
    Double(f64),
    Text(String),
    List(Vec<String>),
}

/// Why a text is no value of its key. The words name what is allowed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BadValue {
    pub name: String,
    pub text: String,
    pub allowed: String,
}

impl std::fmt::Display for BadValue {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Invalid value {} for configuration {}: {}", self.text, self.name, self.allowed)
    }
}

impl std::error::Error for BadValue {}

/// Reads and checks `text` as a value of `key` (`ConfigDef.parseType`, `Validator.ensureValid`).
pub fn check(key: &Key, text: &str) -> Result<Value, BadValue> {
    let bad = |allowed: String| BadValue {
        name: key.name.into(),
        text: if key.is_sensitive() { "[hidden]".into() } else { text.into() },
        allowed,
    };
    let value = parse(key.kind, text.trim()).map_err(|allowed| bad(allowed.into()))?;
    bounded(key, &value).map_err(bad)?;
    Ok(value)
}

fn parse(kind: Kind, text: &str) -> Result<Value, &'static str> {
    let whole = |low: i64, high: i64, words| {
        let number = text.parse::<i64>().map_err(|_| words)?;
        if (low..=high).contains(&number) { Ok(Value::Number(number)) } else { Err(words) }
    };
    match kind {
        Kind::Boolean if text.eq_ignore_ascii_case("true") => Ok(Value::Boolean(true)),
        Kind::Boolean if text.eq_ignore_ascii_case("false") => Ok(Value::Boolean(false)),
        Kind::Boolean => Err("Expected value to be either true or false"),
        Kind::Short => whole(i16::MIN.into(), i16::MAX.into(), "Not a number of type SHORT"),
        Kind::Int => whole(i32::MIN.into(), i32::MAX.into(), "Not a number of type INT"),
        Kind::Long => whole(i64::MIN, i64::MAX, "Not a number of type LONG"),
        Kind::Double => text.parse().map(Value::Double).map_err(|_| "Not a number of type DOUBLE"),
        Kind::List if text.is_empty() => Ok(Value::List(Vec::new())),
        Kind::List => Ok(Value::List(text.split(',').map(|item| item.trim().to_string()).collect())),
        Kind::String | Kind::Class | Kind::Password => Ok(Value::Text(text.into())),
    }
}

fn bounded(key: &Key, value: &Value) -> Result<(), String> {
    if let Value::List(items) = value {
        distinct(items)?;
    }
    let items = match value {
        Value::List(items) => items.as_slice(),
        Value::Text(text) => std::slice::from_ref(text),
        _ => &[],
    };
    match (key.allowed, value) {
        (Allowed::AtLeast(low), Value::Number(number)) if *number < low => Err(format!("Value must be at least {low}")),
        (Allowed::Between(low, _), Value::Number(number)) if *number < low => {
            Err(format!("Value must be at least {low}"))
        }
        (Allowed::Between(_, high), Value::Number(number)) if *number > high => {
            Err(format!("Value must be no more than {high}"))
        }
        (Allowed::Fraction(low, high), Value::Double(number)) if !(low..=high).contains(number) => {
            Err(format!("Value must be between {low} and {high}"))
        }
        (Allowed::GzipLevel, Value::Number(number)) if *number != -1 && !(1..=9).contains(number) => {
            Err("Value must be between 1 and 9 or equal to -1".into())
        }
        (Allowed::NonEmpty, Value::Text(text)) if text.is_empty() => Err("String must be non-empty".into()),
        (Allowed::OneOf(names), _) => one_of(items, names, |a, b| a == b),
        (Allowed::OneOfAnyCase(names), _) => one_of(items, names, |a, b| a.eq_ignore_ascii_case(b)),
        (Allowed::ThrottledReplicas, _) => throttled_replicas(items),
        (Allowed::OffsetReset, Value::Text(text)) => offset_reset(text),
        _ => Ok(()),
    }
}

fn distinct(items: &[String]) -> Result<(), String> {
    if items.iter().any(String::is_empty) {
        return Err("Values of a list must not be empty".into());
    }
    let mut sorted: Vec<&String> = items.iter().collect();
    sorted.sort();
    if sorted.windows(2).any(|pair| pair[0] == pair[1]) { Err("Values must not be duplicated".into()) } else { Ok(()) }
}

fn one_of(items: &[String], names: &[&str], same: impl Fn(&str, &str) -> bool) -> Result<(), String> {
    match items.iter().find(|item| !names.iter().any(|name| same(item, name))) {
        Some(_) => Err(format!("String must be one of: {}", names.join(", "))),
        None => Ok(()),
    }
}

fn throttled_replicas(items: &[String]) -> Result<(), String> {
    let pair = |item: &String| {
        item.split_once(':').is_some_and(|(a, b)| [a, b].iter().all(|part| part.parse::<u32>().is_ok()))
    };
    if items == ["*"] || items == ["none"] || items.iter().all(pair) {
        return Ok(());
    }
    Err("Must be the literal '*' or a list of replicas in the form [partitionId]:[brokerId]".into())
}

fn offset_reset(text: &str) -> Result<(), String> {
    let duration = text.strip_prefix("by_duration:").is_some_and(|rest| rest.starts_with('P') && rest.len() > 2);
    if matches!(text, "latest" | "earliest") || duration {
        return Ok(());
    }
    Err("Value must be latest, earliest, or by_duration: and a duration in ISO 8601 form such as PT1H".into())
}

impl Key {
    /// What a value of this key may be, in words for a person.
    pub fn allowed_words(&self) -> String {
        let kind = match self.kind {
            Kind::Boolean => "true or false",
            Kind::String | Kind::Password => "text",
            Kind::Class => "the name of a Java class",
            Kind::Short => "a whole number of 16 bits",
            Kind::Int => "a whole number of 32 bits",
            Kind::Long => "a whole number of 64 bits",
            Kind::Double => "a number",
            Kind::List => "a list parted by commas",
        };
        match self.allowed {
            Allowed::Any => kind.into(),
            Allowed::AtLeast(low) => format!("{kind}, at least {low}"),
            Allowed::Between(low, high) => format!("{kind}, from {low} to {high}"),
            Allowed::Fraction(low, high) => format!("{kind}, from {low} to {high}"),
            Allowed::NonEmpty => format!("{kind}, not empty"),
            Allowed::OneOf(names) | Allowed::OneOfAnyCase(names) if self.kind == Kind::List => {
                format!("{kind}, of: {}", names.join(", "))
            }
            Allowed::OneOf(names) | Allowed::OneOfAnyCase(names) => format!("one of: {}", names.join(", ")),
            Allowed::GzipLevel => "a whole number from 1 to 9, or -1".into(),
            Allowed::ThrottledReplicas => "* or a list of partition:broker".into(),
            Allowed::OffsetReset => "latest, earliest, or by_duration:PnDTnHnMnS".into(),
        }
    }

    /// The default as text, where there is one.
    pub fn standard_text(&self) -> Option<&'static str> {
        match self.standard {
            Standard::Is(text) => Some(text),
            Standard::Required | Standard::Null => None,
        }
    }
}

impl Value {
    /// The text Kafka shows for it (`ConfigDef.convertToString`).
    pub fn text(&self) -> String {
        match self {
            Self::Boolean(value) => value.to_string(),
            Self::Number(value) => value.to_string(),
            Self::Double(value) => double_text(*value),
            Self::Text(value) => value.clone(),
            Self::List(items) => items.join(","),
        }
    }

    /// The number, of any whole kind; 0 for what is none (the kind was checked when the value was read).
    pub fn number(&self) -> i64 {
        if let Self::Number(value) = self { *value } else { 0 }
    }

    pub fn double(&self) -> f64 {
        if let Self::Double(value) = self { *value } else { 0.0 }
    }

    pub fn boolean(&self) -> bool {
        *self == Self::Boolean(true)
    }

    /// The items of a list; of a text, itself.
    pub fn items(&self) -> Vec<String> {
        match self {
            Self::List(items) => items.clone(),
            other => vec![other.text()],
        }
    }
}

/// A double as Java writes it, as far as settings need: at least one decimal, `E` notation from 10^7 on.
fn double_text(value: f64) -> String {
    if value != 0.0 && !(1e-3..1e7).contains(&value.abs()) {
        let text = format!("{value:E}");
        return match text.split_once('E') {
            Some((digits, exponent)) if !digits.contains('.') => format!("{digits}.0E{exponent}"),
            _ => text,
        };
    }
    format!("{value:?}")
}

#[cfg(test)]
mod tests {
    use super::super::keys;
    use super::*;

    fn say(name: &str, text: &str) -> String {
        let key = keys::topic(name).or_else(|| keys::broker(name)).unwrap();
        match check(key, text) {
            Ok(value) => value.text(),
            Err(problem) => problem.to_string(),
        }
    }

    #[test]
    fn values_are_read_as_kafka_reads_them() {
        assert_eq!(say("retention.ms", " 1000 "), "1000");
        assert_eq!(say("retention.ms", "-1"), "-1");
        assert_eq!(
            say("retention.ms", "-2"),
            "Invalid value -2 for configuration retention.ms: Value must be at least -1"
        );
        assert_eq!(
            say("retention.ms", "1h"),
            "Invalid value 1h for configuration retention.ms: Not a number of type LONG"
        );
        assert_eq!(
            say("segment.bytes", "2147483648"),
            "Invalid value 2147483648 for configuration segment.bytes: Not a number of type INT"
        );
        assert_eq!(say("preallocate", "TRUE"), "true");
        assert_eq!(
            say("preallocate", "yes"),
            "Invalid value yes for configuration preallocate: Expected value to be either true or false"
        );
        assert_eq!(say("cleanup.policy", "compact, delete"), "compact,delete");
        assert_eq!(say("cleanup.policy", ""), "");
        assert_eq!(
            say("cleanup.policy", "delete,delete"),
            "Invalid value delete,delete for configuration cleanup.policy: Values must not be duplicated"
        );
        assert_eq!(
            say("cleanup.policy", "keep"),
            "Invalid value keep for configuration cleanup.policy: String must be one of: compact, delete"
        );
        assert_eq!(
            say("compression.gzip.level", "0"),
            "Invalid value 0 for configuration compression.gzip.level: Value must be between 1 and 9 or equal to -1"
        );
        assert_eq!(say("min.cleanable.dirty.ratio", "0.50"), "0.5");
        assert_eq!(say("leader.replication.throttled.replicas", "0:1,1:2"), "0:1,1:2");
        assert!(say("leader.replication.throttled.replicas", "0-1").contains("Must be"));
        assert_eq!(say("ssl.keystore.password", "secret"), "secret");
    }

    #[test]
    fn doubles_are_written_as_java_writes_them() {
        assert_eq!(double_text(f64::MAX), "1.7976931348623157E308");
        assert_eq!(double_text(1e8), "1.0E8");
        assert_eq!(double_text(1.0), "1.0");
        assert_eq!(double_text(0.0), "0.0");
    }
}
