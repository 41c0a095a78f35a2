//! Whose the data directories are: locks them, reads `meta.properties` of each, and formats those that are empty.
//! (`MetaPropertiesEnsemble`, `kafka-storage format`).

use std::path::{Path, PathBuf};

use wire::Uuid;

use super::chance::Chance;
use super::error::ControllerError;
use crate::config::Broker;
use crate::log::LogError;
use crate::log::directory::{CleanShutdown, DirectoryError, LogDirectory, MetaProperties};

/// The directories of this node, held by this process until the value is dropped.
#[derive(Debug)]
pub struct Directories {
    /// In the order of `log.dirs`, without those that can't be used.
    pub logs: Vec<Directory>,
    /// The directory of the metadata log, where it is none of `logs`.
    pub metadata: Option<Directory>,
    pub cluster_id: String,
}

/// One of them.
#[derive(Debug)]
pub struct Directory {
    pub held: LogDirectory,
    pub id: Uuid,
    /// How it was left: `None` after a crash. The mark itself is gone now, so a crash from here on is one.
    pub clean_stop: Option<CleanShutdown>,
}

impl Directories {
    /// Locks, reads and where needed formats all directories of `settings`.
    ///
    /// Errors: a directory of another cluster or node, one that another process holds, no directory at all that works, and
    /// any failure of the one with the metadata log.
    pub fn open(settings: &Broker) -> Result<Self, ControllerError> {
        let mut chance = Chance::open()?;
        let mut paths = settings.log_dirs.clone();
        let is_apart = !paths.contains(&settings.metadata_log_dir);
        if is_apart {
            paths.push(settings.metadata_log_dir.clone());
        }
        // A directory that can't be read is left out, where the broker can do without it.
        let may_fail = |path: &Path, error: &ControllerError| *path != settings.metadata_log_dir && is_io(error);
        let mut opened = Vec::with_capacity(paths.len());
        for path in &paths {
            match take(path) {
                Err(error) if may_fail(path, &error) => report(path, &error),
                result => opened.push(result?),
            }
        }
        let cluster_id = cluster_id(settings, &opened, &mut chance)?;
        let mut directories = Vec::with_capacity(opened.len());
        for (held, found) in opened {
            let path = held.path().to_path_buf();
            match complete(held, found, settings.node_id, &cluster_id, &mut chance) {
                Err(error) if may_fail(&path, &error) => report(&path, &error),
                result => directories.push(result?),
            }
        }
        check_ids(&directories)?;
        let metadata = if is_apart { directories.pop() } else { None };
        if directories.is_empty() {
            let reason = "no log directory can be used".to_string();
            return Err(ControllerError::NotOurs { path: settings.log_dirs[0].clone(), reason });
        }
        Ok(Self { logs: directories, metadata, cluster_id })
    }

    /// The broker epoch that a clean stop left in every log directory; `None` if there was none, or not everywhere.
    pub fn clean_stop_epoch(&self) -> Option<i64> {
        let mut epochs = self.logs.iter().map(|directory| directory.clean_stop.map(|stop| stop.broker_epoch));
        let first = epochs.next()??;
        epochs.all(|epoch| epoch == Some(first)).then_some(first)
    }

    /// Id of the directory with the metadata log.
    pub(super) fn metadata_id(&self, settings: &Broker) -> Uuid {
        let among = self.logs.iter().find(|directory| directory.held.path() == settings.metadata_log_dir);
        self.metadata.as_ref().or(among).map_or(Uuid::ZERO, |directory| directory.id)
    }
}

fn take(path: &Path) -> Result<(LogDirectory, Option<MetaProperties>), ControllerError> {
    let held = LogDirectory::lock(path).map_err(ControllerError::Directory)?;
    let found = held.read_meta_properties()?;
    Ok((held, found))
}

/// The file system is to blame. A directory of another cluster, or one that another process holds, is a mistake of the
/// operator's instead, and to go on without it would hide that.
fn is_io(error: &ControllerError) -> bool {
    matches!(error, ControllerError::Directory(DirectoryError::Log(LogError::Io { .. })))
}

fn report(path: &Path, error: &ControllerError) {
    crate::metrics::log::error(format_args!("log directory {} is offline: {error}", path.display()));
}

/// The cluster that the directories belong to; of new ones, what the settings say, or a random one.
fn cluster_id(
    settings: &Broker,
    opened: &[(LogDirectory, Option<MetaProperties>)],
    chance: &mut Chance,
) -> Result<String, ControllerError> {
    let mut known: Option<(&str, PathBuf)> = None;
    for (held, found) in opened {
        let Some(found) = found else { continue };
        let not_ours = |reason| Err(ControllerError::NotOurs { path: held.path().into(), reason });
        if found.node_id != settings.node_id {
            return not_ours(format!("it belongs to node {}, but node.id is {}", found.node_id, settings.node_id));
        }
        match &known {
            Some((id, first)) if *id != found.cluster_id => {
                return not_ours(format!(
                    "it belongs to cluster {}, {} to cluster {id}",
                    found.cluster_id,
                    first.display()
                ));
            }
            _ => known = Some((&found.cluster_id, held.path().into())),
        }
    }
    match (known, &settings.cluster_id) {
        (Some((id, path)), Some(wanted)) if id != wanted && settings.said.contains_key("ringmill.cluster.id") => {
            let reason = format!("it belongs to cluster {id}, but ringmill.cluster.id is {wanted}");
            Err(ControllerError::NotOurs { path, reason })
        }
        (Some((id, _)), _) => Ok(id.to_string()),
        (None, Some(wanted)) => Ok(wanted.clone()),
        (None, None) => Ok(chance.uuid()?.to_string()),
    }
}

/// Gives a directory what it lacks: `meta.properties`, or the directory id that older brokers did not write.
fn complete(
    held: LogDirectory,
    found: Option<MetaProperties>,
    node_id: i32,
    cluster_id: &str,
    chance: &mut Chance,
) -> Result<Directory, ControllerError> {
    let mut properties = found.unwrap_or_default();
    let id = match properties.directory_id {
        Some(id) => id,
        None => {
            let id = chance.uuid()?;
            properties.cluster_id = cluster_id.into();
            properties.node_id = node_id;
            properties.directory_id = Some(id);
            held.write_meta_properties(&properties)?;
            id
        }
    };
    let clean_stop = held.take_clean_shutdown()?;
    Ok(Directory { held, id, clean_stop })
}

fn check_ids(directories: &[Directory]) -> Result<(), ControllerError> {
    for (at, directory) in directories.iter().enumerate() {
        if let Some(twin) = directories[..at].iter().find(|other| other.id == directory.id) {
            let reason = format!("it has the same directory.id as {}: is it a copy?", twin.held.path().display());
            return Err(ControllerError::NotOurs { path: directory.held.path().into(), reason });
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::testing::{TempDir, settings};
    use super::*;

    fn open(text: &str) -> Result<Directories, String> {
        Directories::open(&settings(text)).map_err(|error| error.to_string())
    }

    #[test]
    fn empty_directories_are_formatted_and_stay_what_they_are() {
        let dir = TempDir::new();
        let path = dir.path().display();
        let text = format!("node.id=4\nlog.dirs={path}/a,{path}/b\nmetadata.log.dir={path}/m\n");
        let first = open(&text).unwrap();
        assert_eq!(first.logs.len(), 2);
        let ids: Vec<Uuid> = first.logs.iter().map(|one| one.id).collect();
        let cluster = first.cluster_id.clone();
        assert!(first.metadata.is_some() && first.clean_stop_epoch().is_none());
        assert!(open(&text).unwrap_err().contains("another process"));
        first.logs[0].held.write_clean_shutdown(9).unwrap();
        drop(first);

        let again = open(&text).unwrap();
        assert_eq!(again.logs.iter().map(|one| one.id).collect::<Vec<_>>(), ids);
        assert_eq!(again.cluster_id, cluster);
        assert_eq!(again.clean_stop_epoch(), None);
        again.logs.iter().for_each(|one| one.held.write_clean_shutdown(9).unwrap());
        drop(again);
        assert_eq!(open(&text).unwrap().clean_stop_epoch(), Some(9));

        let added = open(&format!("{text}log.dirs={path}/a,{path}/b,{path}/c\n")).unwrap();
        assert_eq!(added.cluster_id, cluster);
    }

    #[test]
    fn a_directory_that_cannot_be_read_is_left_out() {
        let dir = TempDir::new();
        let path = dir.path().display();
        std::fs::write(dir.path().join("b"), "a file").unwrap();
        let found = open(&format!("log.dirs={path}/a,{path}/b,{path}/c")).unwrap();
        let names: Vec<_> = found.logs.iter().map(|one| one.held.path().file_name().unwrap().to_owned()).collect();
        assert_eq!(names, ["a", "c"]);
        drop(found);
        assert!(open(&format!("log.dirs={path}/b,{path}/a")).is_err(), "the first has the metadata log");
        let apart = format!("metadata.log.dir={path}/a\n");
        assert!(open(&format!("{apart}log.dirs={path}/b")).unwrap_err().contains("no log directory can be used"));
    }

    #[test]
    fn directories_of_others_are_refused() {
        let dir = TempDir::new();
        let path = dir.path().display();
        drop(open(&format!("log.dirs={path}/a\nringmill.cluster.id=one")).unwrap());
        drop(open(&format!("log.dirs={path}/b\nringmill.cluster.id=two")).unwrap());
        let problem = |text: &str| open(text).unwrap_err();
        assert!(problem(&format!("log.dirs={path}/a,{path}/b")).contains("to cluster two, "));
        assert!(problem(&format!("log.dirs={path}/a\nnode.id=2")).contains("node 1, but node.id is 2"));
        assert!(problem(&format!("log.dirs={path}/a\nringmill.cluster.id=x")).contains("ringmill.cluster.id is x"));
        std::fs::copy(dir.path().join("a/meta.properties"), dir.path().join("c")).unwrap();
        std::fs::create_dir(dir.path().join("d")).unwrap();
        std::fs::copy(dir.path().join("a/meta.properties"), dir.path().join("d/meta.properties")).unwrap();
        assert!(problem(&format!("log.dirs={path}/a,{path}/d")).contains("is it a copy?"));
    }
}
