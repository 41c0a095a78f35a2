//! What the members of a group subscribe to, counted, so that one member's change costs no look at the others.

use std::collections::{BTreeMap, BTreeSet};

use super::member::About;

/// A regex and the topics that it was found to match (Kafka's `ResolvedRegularExpression`).
#[derive(Debug, Clone, PartialEq, Default)]
pub(super) struct Resolved {
    pub(super) topics: BTreeSet<String>,
    /// The metadata that was looked at.
    pub(super) version: i64,
    pub(super) timestamp_ms: i64,
}

#[derive(Debug, Clone, Copy, PartialEq, Default)]
struct Count {
    members: usize,
    regexes: usize,
}

#[derive(Debug, PartialEq, Default)]
pub(super) struct Subscriptions {
    /// By topic: members that name it, and regexes that match it.
    topics: BTreeMap<String, Count>,
    /// By regex: its members.
    regexes: BTreeMap<String, usize>,
    resolved: BTreeMap<String, Resolved>,
}

impl Subscriptions {
    pub(super) fn add(&mut self, about: &About) {
        for topic in &about.topics {
            self.count_topic(topic, |count| count.members += 1);
        }
        if !about.regex.is_empty() {
            *self.regexes.entry(about.regex.clone()).or_default() += 1;
        }
    }

    pub(super) fn remove(&mut self, about: &About) {
        for topic in &about.topics {
            self.count_topic(topic, |count| count.members = count.members.saturating_sub(1));
        }
        if let Some(members) = self.regexes.get_mut(&about.regex) {
            *members -= 1;
            if *members == 0 {
                self.regexes.remove(&about.regex);
            }
        }
    }

    pub(super) fn resolve(&mut self, regex: &str, resolved: Resolved) {
        self.forget(regex);
        for topic in &resolved.topics {
            self.count_topic(topic, |count| count.regexes += 1);
        }
        self.resolved.insert(regex.into(), resolved);
    }

    pub(super) fn forget(&mut self, regex: &str) {
        let Some(old) = self.resolved.remove(regex) else { return };
        for topic in &old.topics {
            self.count_topic(topic, |count| count.regexes = count.regexes.saturating_sub(1));
        }
    }

    fn count_topic(&mut self, topic: &str, change: impl FnOnce(&mut Count)) {
        let mut count = self.topics.get(topic).copied().unwrap_or_default();
        change(&mut count);
        match self.topics.get_mut(topic) {
            _ if count == Count::default() => drop(self.topics.remove(topic)),
            Some(old) => *old = count,
            None => drop(self.topics.insert(topic.into(), count)),
        }
    }

    /// All topics, by name or by regex, ascending.
    pub(super) fn topics(&self) -> impl Iterator<Item = &str> {
        self.topics.keys().map(String::as_str)
    }

    pub(super) fn contains(&self, topic: &str) -> bool {
        self.topics.contains_key(topic)
    }

    /// The regexes that members have, ascending.
    pub(super) fn regexes(&self) -> impl Iterator<Item = &str> {
        self.regexes.keys().map(String::as_str)
    }

    pub(super) fn members_of(&self, regex: &str) -> usize {
        self.regexes.get(regex).copied().unwrap_or(0)
    }

    pub(super) fn resolved(&self) -> &BTreeMap<String, Resolved> {
        &self.resolved
    }

    /// Whether all of so many members subscribe to the same (`ConsumerGroup.subscriptionType`).
    pub(super) fn is_homogeneous(&self, members: usize) -> bool {
        match self.regexes.values().next() {
            None => self.topics.values().all(|count| count.members == members),
            Some(of_regex) => {
                *of_regex == members && self.topics.values().all(|count| count.regexes == 1 && count.members == 0)
            }
        }
    }

    /// The names that one member subscribes to. A regex that was not resolved yet matches nothing.
    pub(super) fn names_of<'a>(&'a self, about: &'a About) -> impl Iterator<Item = &'a str> {
        let matched = self.resolved.get(&about.regex).map(|resolved| &resolved.topics);
        about.topics.iter().chain(matched.into_iter().flatten()).map(String::as_str)
    }
}
