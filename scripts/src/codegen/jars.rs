//! The schemas as they lie in the jars.

use std::fs::{self, File};
use std::io::Read;
use std::path::Path;

use super::KAFKA;
use super::schema::Group;

/// A schema is a few KiB; what claims more is not one.
const SCHEMA_BYTES_MAX: u64 = 1 << 20;

const JARS: [(&str, Group); 6] = [
    ("kafka-clients", Group::Clients),
    ("kafka-metadata", Group::Metadata),
    ("kafka-raft", Group::Raft),
    ("kafka-group-coordinator", Group::Groups),
    ("kafka-share-coordinator", Group::Shares),
    ("kafka-transaction-coordinator", Group::Transactions),
];

/// Schemas of formats that have one in Kafka's sources but none in its jars.
const OWN: [(&str, &str); 1] = [("ProducerSnapshot.json", include_str!("schemas/ProducerSnapshot.json"))];

/// Every schema: its group, where it lies, its text.
pub(super) fn schemas(libs: &Path) -> Result<Vec<(Group, String, String)>, String> {
    let mut found = Vec::new();
    for (jar, group) in JARS {
        let path = libs.join(format!("{jar}-{KAFKA}.jar"));
        read_jar(&path, group, &mut found).map_err(|error| format!("read {}: {error}", path.display()))?;
    }
    found.extend(OWN.map(|(path, text)| (Group::Storage, path.to_owned(), text.to_owned())));
    Ok(found)
}

fn read_jar(path: &Path, group: Group, found: &mut Vec<(Group, String, String)>) -> Result<(), String> {
    let file = File::open(path).map_err(|error| error.to_string())?;
    let mut jar = zip::ZipArchive::new(file).map_err(|error| error.to_string())?;
    let before = found.len();
    for index in 0..jar.len() {
        let entry = jar.by_index(index).map_err(|error| error.to_string())?;
        let name = entry.name().map_err(|error| error.to_string())?.into_owned();
        if !name.starts_with("common/") || !name.ends_with(".json") {
            continue;
        }
        let mut text = String::new();
        entry.take(SCHEMA_BYTES_MAX).read_to_string(&mut text).map_err(|error| format!("{name}: {error}"))?;
        found.push((group, name, text));
    }
    if found.len() == before {
        let size = fs::metadata(path).map_or(0, |meta| meta.len());
        return Err(format!("no schemas in this jar of {size} bytes"));
    }
    Ok(())
}
