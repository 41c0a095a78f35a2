//! What two brokers' tools printed: is it the same but for names?

use super::Look;
use crate::interop::java::Said;

/// What is called something else on each broker, and the name that stands for it in both.
#[derive(Default)]
pub(super) struct Names(Vec<(String, String)>);

impl Names {
    /// An empty word stands for nothing.
    pub(super) fn add(&mut self, word: &str, name: &str) {
        if !word.is_empty() {
            self.0.push((word.to_owned(), name.to_owned()));
            self.0.sort_by_key(|(word, _)| std::cmp::Reverse(word.len()));
        }
    }

    fn apply(&self, text: &str) -> String {
        self.0.iter().fold(text.to_owned(), |text, (word, name)| text.replace(word, name))
    }
}

pub(super) fn compare(
    left_names: &Names,
    left: &Said,
    right_names: &Names,
    right: &Said,
    look: Look,
) -> Result<String, String> {
    if left.code != right.code {
        return Err(format!("exit {} and {}\n{}\n---\n{}", left.code, right.code, told(left), told(right)));
    }
    // A line that no tool understands would be the same for every broker.
    if left.code != 0 && (told(left) + &told(right)).contains("usage:") {
        return Err(format!("the tool does not understand the command\n{}", told(left)));
    }
    let (left_fault, right_fault) = (exceptions(left), exceptions(right));
    if left_fault != right_fault {
        return Err(format!("{left_fault:?} and {right_fault:?}\n{}\n---\n{}", told(left), told(right)));
    }
    let (left_lines, right_lines) = (lines(left_names, left, look), lines(right_names, right, look));
    if left_lines == right_lines {
        return Ok(match (left.code, left_fault.is_empty()) {
            (0, true) => format!("{} lines", left_lines.len()),
            (code, _) => format!("exit {code} {}", left_fault.join(" ")),
        });
    }
    Err(difference(&left_lines, &right_lines))
}

fn told(said: &Said) -> String {
    let all: Vec<&str> = said.out.lines().chain(said.err.lines()).filter(|line| !line.starts_with("\tat ")).collect();
    all[..all.len().min(12)].join("\n")
}

fn difference(left: &[String], right: &[String]) -> String {
    let only = |some: &[String], others: &[String], mark: &str| {
        let lines = some.iter().filter(|line| !others.contains(line)).take(20);
        lines.map(|line| format!("{mark} {line}\n")).collect::<String>()
    };
    let text = only(left, right, "-") + &only(right, left, "+");
    if text.is_empty() { format!("{} and {} lines, some repeated", left.len(), right.len()) } else { text }
}

/// The classes of exceptions that a tool told of, each once.
fn exceptions(said: &Said) -> Vec<String> {
    let mut found = Vec::new();
    for line in said.out.lines().chain(said.err.lines()) {
        if line.starts_with("\tat ") || line.trim_start().starts_with("... ") {
            continue;
        }
        for word in line.split(|c: char| !c.is_alphanumeric() && c != '.' && c != '_') {
            let class = word.rsplit('.').next().unwrap_or_default();
            let wraps = ["ExecutionException", "CompletionException", "RuntimeException"].contains(&class);
            if class.len() > "Exception".len() && class.ends_with("Exception") && word.contains('.') && !wraps {
                found.push(class.to_owned());
            }
        }
    }
    found.sort();
    found.dedup();
    found
}

/// The lines of the output, without what no two brokers have in common, in an order of their own.
fn lines(names: &Names, said: &Said, look: Look) -> Vec<String> {
    let mut lines: Vec<String> = match look {
        Look::Exit => Vec::new(),
        _ if said.code != 0 => Vec::new(),
        _ => said.out.lines().flat_map(|line| directories(&names.apply(line))).map(|line| plain(&line, look)).collect(),
    };
    lines.retain(|line| !line.is_empty());
    lines.sort();
    lines
}

/// The log directories of `kafka-log-dirs`, a line each: they come in the order of a hash of their paths.
fn directories(line: &str) -> Vec<String> {
    const NAME: &str = "\"logDir\":\"";
    if !line.starts_with("{\"brokers\":") {
        return vec![line.to_owned()];
    }
    let upto_its_name = |piece: &str| {
        let name = piece.find(NAME).map_or(0, |at| at + NAME.len());
        let end = piece[name..].find('"').map_or(piece.len(), |end| name + end);
        piece[..end].to_owned()
    };
    line.split("{\"partitions\":").map(upto_its_name).collect()
}

/// One line with what has to differ named alike.
fn plain(line: &str, look: Look) -> String {
    let line = line.split("Exception: ").next().unwrap_or_default();
    let line = after(line, "TopicId: ", "ID");
    let mut words = Vec::new();
    for word in line.split_whitespace() {
        words.push(if look == Look::NoNumbers { without_numbers(word) } else { without_times(word) });
    }
    // Of finalised features: an offset of the metadata log.
    after(&words.join(" "), " Epoch: ", "N")
}

/// Replaces the word that follows `mark`.
fn after(line: &str, mark: &str, name: &str) -> String {
    let Some((before, rest)) = line.split_once(mark) else { return line.to_owned() };
    let end = rest.find(char::is_whitespace).unwrap_or(rest.len());
    format!("{before}{mark}{name}{}", &rest[end..])
}

/// Milliseconds since 1970 have 13 digits in this century.
fn without_times(word: &str) -> String {
    digits(word, &|run| if run.len() == 13 { "TIME".to_owned() } else { run.to_owned() })
}

fn without_numbers(word: &str) -> String {
    digits(word, &|_| "N".to_owned())
}

/// Passes each run of digits through `name`.
fn digits(word: &str, name: &dyn Fn(&str) -> String) -> String {
    let (mut plain, mut run) = (String::new(), String::new());
    for c in word.chars().chain(['\0']) {
        if c.is_ascii_digit() {
            run.push(c);
            continue;
        }
        if !run.is_empty() {
            plain.push_str(&name(&run));
            run.clear();
        }
        plain.push(c);
    }
    plain.pop();
    plain
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(code: i32, out: &str) -> Said {
        Said { code, out: out.to_owned(), err: String::new() }
    }

    fn check(look: Look, left: Said, right: Said) -> Result<String, String> {
        let mut names = Names::default();
        names.add("127.0.0.1:1", "BROKER");
        compare(&names, &left, &Names::default(), &right, look)
    }

    #[test]
    fn names_times_and_order_make_no_difference() {
        let left = said(0, "b at 127.0.0.1:1\nTopicId: abc x 1700000000000\n");
        assert!(check(Look::All, left, said(0, "TopicId: xyz x 1700000000009\nb at BROKER\n")).is_ok());
        assert!(check(Look::All, said(0, "a 1"), said(0, "a 2")).is_err());
        assert!(check(Look::NoNumbers, said(0, "a 1"), said(0, "a 2")).is_ok());
    }

    #[test]
    fn log_directories_are_compared_one_by_one() {
        let directory = |name: &str, partition: &str| {
            format!("{{\"partitions\":[{partition}],\"error\":null,\"logDir\":\"{name}\"}}")
        };
        let both = |first: String, second: String| {
            said(0, &format!("{{\"brokers\":[{{\"broker\":1,\"logDirs\":[{first},{second}]}}],\"version\":1}}"))
        };
        let left = || both(directory("/a", "{}"), directory("/b", ""));
        assert!(check(Look::All, left(), both(directory("/b", ""), directory("/a", "{}"))).is_ok());
        assert!(check(Look::All, left(), both(directory("/b", "{}"), directory("/a", ""))).is_err());
    }

    #[test]
    fn refusals_agree_in_code_and_exception() {
        let refusal = |class: &str, words: &str| said(1, &format!("Error: org.apache.kafka.{class}: {words}"));
        assert!(
            check(Look::All, refusal("InvalidConfigException", "so"), refusal("InvalidConfigException", "or")).is_ok()
        );
        assert!(
            check(Look::All, refusal("InvalidConfigException", ""), refusal("InvalidRequestException", "")).is_err()
        );
        assert!(check(Look::All, said(0, ""), said(1, "")).is_err());
    }
}
