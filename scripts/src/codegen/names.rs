//! Kafka's names as Rust writes them.

/// `TopicId` -> `topic_id`, `KRaftVersion` -> `k_raft_version`, `LeaderISR` -> `leader_isr`.
pub(super) fn snake(name: &str) -> String {
    let chars: Vec<char> = name.chars().collect();
    let mut text = String::new();
    for (index, &c) in chars.iter().enumerate() {
        let follows_lower = index > 0 && !chars[index - 1].is_uppercase();
        let begins_word = index > 0 && chars.get(index + 1).is_some_and(|next| next.is_lowercase());
        if c.is_uppercase() && (follows_lower || begins_word) {
            text.push('_');
        }
        text.extend(c.to_lowercase());
    }
    text
}

/// A field name; a word of Rust becomes a raw identifier.
pub(super) fn field(name: &str) -> String {
    let name = snake(name);
    match name.as_str() {
        "type" | "match" | "move" | "ref" | "use" | "where" | "loop" | "in" => format!("r#{name}"),
        _ => name,
    }
}
