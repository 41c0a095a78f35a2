//! One JVM that runs Kafka's tools and Java clients for many checks; see scripts/interop/java/Driver.java.

use crate::interop::server;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Stdio};
use std::sync::Mutex;
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

/// `kafka-consumer-groups`, for [`Java::tool`].
pub(crate) const CONSUMER_GROUPS: &str = "org.apache.kafka.tools.consumer.group.ConsumerGroupCommand";

/// No single call takes this long; a tool that hangs must not hang the run.
const CALL: Duration = Duration::from_secs(240);

pub(crate) struct Java {
    libs: PathBuf,
    classes: PathBuf,
    session: Mutex<Session>,
}

struct Session {
    child: Child,
    input: ChildStdin,
    answers: Receiver<String>,
}

/// How a call ended and what it printed.
pub(crate) struct Said {
    pub code: i32,
    pub out: String,
    pub err: String,
}

impl Java {
    pub(crate) fn start(libs: &Path, classes: &Path) -> Result<Java, String> {
        let mut command = server::jvm("-Xmx512m", &[classes, &libs.join("*")]);
        command.arg("Driver").stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut child = command.spawn().map_err(|e| format!("start java: {e}"))?;
        let (input, output) = (child.stdin.take().unwrap(), BufReader::new(child.stdout.take().unwrap()));
        let (send, answers) = channel();
        std::thread::spawn(move || output.lines().map_while(Result::ok).try_for_each(|line| send.send(line)));
        let (libs, classes) = (libs.to_owned(), classes.to_owned());
        Ok(Java { libs, classes, session: Mutex::new(Session { child, input, answers }) })
    }

    /// A second JVM, for calls beside those of this one.
    pub(crate) fn another(&self) -> Result<Java, String> {
        Java::start(&self.libs, &self.classes)
    }

    pub(crate) fn libs(&self) -> &Path {
        &self.libs
    }

    /// Runs a command-line tool of Kafka by its class name; `name` without dots is one of `org.apache.kafka.tools`.
    pub(crate) fn tool(&self, name: &str, stdin: &str, args: &[&str]) -> Result<Said, String> {
        let class = if name.contains('.') { name.to_owned() } else { format!("org.apache.kafka.tools.{name}") };
        let mut request = vec!["tool", &class, stdin];
        request.extend(args);
        self.ask(&request)
    }

    /// Runs a tool that must succeed, and gives its output.
    pub(crate) fn tool_ok(&self, name: &str, stdin: &str, args: &[&str]) -> Result<String, String> {
        let said = self.tool(name, stdin, args)?;
        said.ok().map_err(|reason| format!("{name} {}: {reason}", args.join(" ")))
    }

    pub(crate) fn ask(&self, request: &[&str]) -> Result<Said, String> {
        let mut session = self.session.lock().map_err(|_| "another call of this JVM panicked")?;
        let line = request.iter().map(|field| escape(field)).collect::<Vec<_>>().join("\t");
        writeln!(session.input, "{line}").map_err(|e| format!("the JVM is gone: {e}"))?;
        let answer = session.answers.recv_timeout(CALL).map_err(|e| format!("{}: no answer: {e}", request[1]))?;
        let mut fields = answer.split('\t');
        let mut next = || fields.next().ok_or_else(|| format!("the JVM ended in the middle of {}", request[1]));
        let (code, out, err) = (next()?, next()?, next()?);
        Ok(Said { code: code.parse().map_err(|_| "no exit code")?, out: unescape(out), err: unescape(err) })
    }
}

impl Said {
    pub(crate) fn ok(self) -> Result<String, String> {
        if self.code == 0 {
            return Ok(self.out);
        }
        let last: Vec<&str> = self.out.lines().chain(self.err.lines()).filter(|line| !line.is_empty()).collect();
        Err(format!("exit {}\n{}", self.code, last[last.len().saturating_sub(25)..].join("\n")))
    }
}

impl Drop for Java {
    fn drop(&mut self) {
        let Ok(session) = self.session.get_mut() else { return };
        let _ = session.child.kill();
        let _ = session.child.wait();
    }
}

fn escape(text: &str) -> String {
    text.replace('\\', "\\\\").replace('\t', "\\t").replace('\n', "\\n").replace('\r', "\\r")
}

fn unescape(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    let mut escaped = false;
    for c in text.chars() {
        match (escaped, c) {
            (false, '\\') => {
                escaped = true;
                continue;
            }
            (true, 't') => plain.push('\t'),
            (true, 'n') => plain.push('\n'),
            (true, 'r') => plain.push('\r'),
            _ => plain.push(c),
        }
        escaped = false;
    }
    plain
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_field_survives_the_way_there_and_back() {
        let odd = "a\tb\\n\n\r\\";
        assert_eq!(unescape(&escape(odd)), odd);
        assert!(!escape(odd).contains(['\t', '\n']));
    }
}
