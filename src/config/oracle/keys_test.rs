//! Our table against Apache Kafka's own. Runs where `RINGMILL_KAFKA_LIBS` names the directory of Kafka's jars:
//! `RINGMILL_KAFKA_LIBS=... cargo test oracle`. Elsewhere it passes without a look.

use std::process::Command;

use super::*;

#[test]
fn our_table_is_kafkas() {
    let Ok(libs) = std::env::var("RINGMILL_KAFKA_LIBS") else { return };
    let dump = concat!(env!("CARGO_MANIFEST_DIR"), "/src/config/oracle/ConfigDump.java");
    let output = Command::new("java").args(["-cp", &format!("{libs}/*"), dump]).output().expect("run java");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let theirs: Vec<String> = String::from_utf8(output.stdout).unwrap().lines().map(str::to_owned).collect();
    let update = |key: &Key| match key.update {
        Update::ReadOnly => "read-only",
        Update::PerBroker => "per-broker",
        Update::ClusterWide => "cluster-wide",
    };
    let parent = |key: &Key| if key.inherits.is_empty() { "null" } else { key.inherits };
    let mut ours: Vec<String> = all_broker().map(|key| line("broker", key, update(key))).collect();
    ours.extend(all_topic().map(|key| line("topic", key, parent(key))));
    ours.extend(all_group().map(|key| line("group", key, parent(key))));
    let differ = |a: &[String], b: &[String]| a.iter().filter(|line| !b.contains(line)).cloned().collect::<Vec<_>>();
    assert_eq!(differ(&ours, &theirs), differ(&theirs, &ours));
}

fn line(resource: &str, key: &Key, extra: &str) -> String {
    let standard = match key.standard {
        Standard::Required => "(required)",
        Standard::Null => "(null)",
        Standard::Is(text) => text,
    };
    let kind = format!("{:?}", key.kind).to_uppercase();
    let importance = format!("{:?}", key.importance).to_uppercase();
    let fields = [resource, key.name, &kind, standard, &allowed(key), &importance, extra];
    format!("{}\t{}", fields.join("\t"), key.internal)
}

/// The words of Kafka's validators.
fn allowed(key: &Key) -> String {
    match key.allowed {
        Allowed::Any => match key.name {
            "authorizer.class.name" => "non-null string".into(),
            "controller.quorum.voters" | "controller.quorum.bootstrap.servers" => "non-empty list".into(),
            _ => String::new(),
        },
        Allowed::AtLeast(low) => format!("[{low},...]"),
        Allowed::Between(low, high) => format!("[{low},...,{high}]"),
        Allowed::Fraction(low, high) => format!("[{low},...,{high}]"),
        Allowed::NonEmpty => "non-empty string".into(),
        Allowed::OneOf(names) => format!("[{}]", names.join(", ")),
        Allowed::OneOfAnyCase(names) => format!("(case insensitive) [{}]", names.join(", ")),
        Allowed::GzipLevel => "[1,...,9] or -1".into(),
        Allowed::ThrottledReplicas => "[partitionId]:[brokerId],[partitionId]:[brokerId],...".into(),
        Allowed::OffsetReset => "[latest, earliest, by_duration:PnDTnHnMn.nS]".into(),
    }
}
