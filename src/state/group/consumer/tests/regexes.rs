//! Subscriptions by regular expression.

use super::*;

fn regex_join(id: &str, regex: &str) -> ConsumerHeartbeat {
    ConsumerHeartbeat { topics: None, regex: Some(regex.into()), ..join(id, &[]) }
}

impl Shell {
    /// Joins the only member of a group; its regex is looked at, and the next heartbeat tells what it is given.
    fn join_by_regex(&mut self, id: &str, regex: &str) -> String {
        assert_eq!(self.beat(regex_join(id, regex)), "1: nothing");
        self.pass(0);
        self.beat(still(id, 1))
    }
}

#[test]
fn topics_that_match_are_heard_of_with_a_later_heartbeat() {
    let mut shell = Shell::new(&[("bar", 1), ("foo1", 1), ("foo2", 2)]);
    assert_eq!(shell.beat(regex_join("a", "foo.*")), "1: nothing");
    assert_eq!(shell.beat(still("a", 1)), "1: as before");
    shell.pass(0);
    assert_eq!(shell.beat(still("a", 1)), "2: foo1-0 foo2-0,1");
    let records = [
        "member a: ",
        "current a: 0<1 state 0: nothing",
        "regex foo.*: foo1,foo2",
        "group: 2",
        "target a: foo1-0 foo2-0,1",
        "target epoch: 2",
        "current a: 1<2 state 0: foo1-0 foo2-0,1",
    ];
    assert_eq!(shell.written_since(0), records);
    assert_eq!(shell.describe().members[0].regex.as_deref(), Some("foo.*"));
    // Names and regexes add up.
    shell.pass(ASSIGNMENT_MS);
    let with_names = ConsumerHeartbeat { topics: Some(vec!["bar".into()]), ..still("a", 2) };
    assert_eq!(shell.beat(with_names), "3: bar-0 foo1-0 foo2-0,1");
}

#[test]
fn a_regex_that_the_group_knows_counts_at_once() {
    let mut shell = Shell::new(&[("foo", 2)]);
    shell.configure("consumer.assignment.interval.ms", "0");
    assert_eq!(shell.join_by_regex("a", "foo"), "2: foo-0,1");
    assert_eq!(shell.beat(regex_join("b", "foo")), "3: nothing");
    // One that nobody has looked at yet does not, whoever has it too.
    let mut shell = Shell::new(&[("foo", 2)]);
    assert_eq!(shell.beat(regex_join("a", "foo")), "1: nothing");
    assert_eq!(shell.beat(regex_join("b", "foo")), "1: nothing");
    shell.pass(0);
    assert_eq!(shell.beat(still("a", 1)), "2: foo-0");
    assert_eq!(shell.beat(still("b", 1)), "2: foo-1");
}

#[test]
fn one_that_matches_nothing_moves_nobody() {
    let mut shell = Shell::new(&[("foo", 1)]);
    assert_eq!(shell.beat(regex_join("a", "bar.*")), "1: nothing");
    shell.pass(0);
    assert_eq!(shell.beat(still("a", 1)), "1: as before");
    assert_eq!(shell.written_since(0), ["member a: ", "current a: 0<1 state 0: nothing", "regex bar.*: "]);
}

#[test]
fn a_regex_has_to_compile() {
    let mut shell = Shell::new(&[("foo", 1)]);
    assert_eq!(shell.beat(regex_join("a", "foo[")), "InvalidRegex");
    assert_eq!(shell.state(), "none");
    shell.beat(join("a", &["foo"]));
    let from = shell.log.len();
    assert_eq!(shell.beat(ConsumerHeartbeat { regex: Some("(".into()), ..still("a", 2) }), "InvalidRegex");
    assert!(shell.written_since(from).is_empty());
    assert_eq!(shell.beat(still("a", 2)), "2: as before");
}

#[test]
fn new_topics_are_found_but_not_more_often_than_every_ten_seconds() {
    let mut shell = Shell::new(&[("foo1", 1)]);
    assert_eq!(shell.join_by_regex("a", "foo.*"), "2: foo1-0");
    shell.create("foo2", 1);
    shell.pass(10_000);
    assert_eq!(shell.beat(still("a", 2)), "2: as before");
    shell.pass(1);
    assert_eq!(shell.beat(still("a", 2)), "2: as before");
    shell.pass(0);
    assert_eq!(shell.beat(still("a", 2)), "3: foo1-0 foo2-0");
    let from = shell.log.len();
    shell.pass(20_000);
    assert_eq!(shell.beat(still("a", 3)), "3: as before");
    assert!(shell.written_since(from).is_empty());
    // A topic that does not match is looked at once, and changes nothing.
    shell.create("bar", 1);
    shell.pass(20_000);
    assert_eq!(shell.beat(still("a", 3)), "3: as before");
    shell.pass(0);
    assert_eq!(shell.written_since(from), ["regex foo.*: foo1,foo2"]);
}

#[test]
fn topics_are_looked_at_from_time_to_time() {
    let mut shell = Shell::new(&[("foo1", 1)]);
    shell.settings.consumer_regex_refresh_ms = 30_000;
    assert_eq!(shell.join_by_regex("a", "foo.*"), "2: foo1-0");
    let from = shell.log.len();
    shell.pass(30_000);
    shell.beat(still("a", 2));
    assert!(shell.written_since(from).is_empty());
    shell.pass(1);
    shell.beat(still("a", 2));
    shell.pass(0);
    assert_eq!(shell.written_since(from), ["regex foo.*: foo1"]);
}

#[test]
fn a_regex_goes_with_the_last_that_has_it() {
    let mut shell = Shell::new(&[("bar", 1), ("foo", 2)]);
    shell.configure("consumer.assignment.interval.ms", "0");
    shell.join_by_regex("a", "foo");
    shell.beat(regex_join("b", "foo"));
    let from = shell.log.len();
    shell.beat(still("b", -1));
    assert!(!shell.written_since(from).contains(&"-regex foo".to_owned()));
    let from = shell.log.len();
    shell.beat(ConsumerHeartbeat { regex: Some("bar".into()), ..still("a", 2) });
    let written = shell.written_since(from);
    assert_eq!(written[..2], ["member a: ", "-regex foo"]);
    // The last look was a moment ago, but of that nothing is left.
    let from = shell.log.len();
    shell.beat(still("a", 2));
    shell.pass(0);
    assert!(shell.written_since(from).contains(&"regex bar: bar".to_owned()));
    let from = shell.log.len();
    shell.beat(still("a", -1));
    assert_eq!(shell.written_since(from)[3..4], ["-regex bar"]);
}

#[test]
fn a_regex_lets_the_topics_go_that_it_does_not_match() {
    let mut shell = Shell::new(&[("bar", 1), ("foo", 1)]);
    shell.configure("consumer.assignment.interval.ms", "0");
    assert_eq!(shell.join_by_regex("a", "foo|bar"), "2: bar-0 foo-0");
    // As long as nobody has looked at the new one, it matches nothing.
    assert_eq!(shell.beat(ConsumerHeartbeat { regex: Some("foo".into()), ..still("a", 2) }), "2: nothing");
    assert_eq!(shell.own("a", 2, ""), "2: as before");
    shell.pass(0);
    assert_eq!(shell.own("a", 2, ""), "3: foo-0");
    assert_eq!(shell.beat(ConsumerHeartbeat { regex: Some(String::new()), ..still("a", 3) }), "3: nothing");
}

#[test]
fn after_a_restart_topics_are_looked_at_again() {
    let mut shell = Shell::new(&[("foo1", 1)]);
    shell.join_by_regex("a", "foo.*");
    shell.create("foo2", 1);
    shell.restart();
    shell.pass(10_001);
    assert_eq!(shell.beat(still("a", 2)), "2: as before");
    shell.pass(0);
    assert_eq!(shell.beat(still("a", 2)), "3: foo1-0 foo2-0");
}

#[test]
fn a_restart_before_the_look_loses_nothing() {
    let mut shell = Shell::new(&[("foo", 1)]);
    assert_eq!(shell.beat(regex_join("a", "foo")), "1: nothing");
    shell.restart();
    assert_eq!(shell.beat(still("a", 1)), "1: as before");
    shell.pass(0);
    assert_eq!(shell.beat(still("a", 1)), "2: foo-0");
}
