//! A directory of its own for each test, and settings.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

use crate::config::{self, Broker, Properties, Surroundings};

/// Settings of these lines of server.properties.
pub(super) fn settings(text: &str) -> Broker {
    let properties = Properties::parse("server.properties", text.as_bytes()).expect("parse");
    config::resolve(&properties, &Surroundings { hostname: "box".into(), cluster_id: None }).expect("resolve").0
}

pub(super) struct TempDir(PathBuf);

impl TempDir {
    pub(super) fn new() -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let path = std::env::temp_dir().join(format!("ringmill-controller-{}-{number}", std::process::id()));
        std::fs::create_dir_all(&path).expect("make a directory for a test");
        Self(path)
    }

    pub(super) fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for TempDir {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}
