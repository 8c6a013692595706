//! One build of the functions after an edit. Their processes restart by themselves: see `bin/cargo.rs`.

use super::build::build;
use super::console::Console;
use super::error::StackError;
use super::settings::Cancel;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::thread::{self, JoinHandle};
use std::time::{Duration, SystemTime};

/// Sources of the functions, below the workspace root.
const WATCHED: [&str; 5] = ["Cargo.lock", "Cargo.toml", "functions", "infra/examples", "shared"];
const PAUSE: Duration = Duration::from_millis(200);

/// The source files, each with its modification time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Sources {
    root: PathBuf,
    files: BTreeMap<PathBuf, SystemTime>,
}

impl Sources {
    pub(super) fn of(root: PathBuf) -> Self {
        let mut files = BTreeMap::new();
        for path in WATCHED {
            read(&root.join(path), &mut files);
        }
        Self { root, files }
    }

    /// Returns the current sources once they differ and no longer change. "Save all" writes many files.
    fn edited(&self) -> Option<Self> {
        let mut now = Self::of(self.root.clone());
        if now == *self {
            return None;
        }
        loop {
            thread::sleep(PAUSE);
            let later = Self::of(self.root.clone());
            if later == now {
                return Some(now);
            }
            now = later;
        }
    }
}

/// Adds a file, or the files of a folder. It skips hidden files and backups, which belong to editors.
fn read(path: &Path, files: &mut BTreeMap<PathBuf, SystemTime>) {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    if name.starts_with('.') || name.ends_with('~') {
        return;
    }
    if let Ok(entries) = path.read_dir() {
        entries.flatten().for_each(|entry| read(&entry.path(), files));
    } else if let Ok(modified) = path.metadata().and_then(|file| file.modified()) {
        files.insert(path.to_path_buf(), modified);
    }
}

/// The thread that watches the sources. Drop stops it and its build.
#[derive(Debug)]
pub(super) struct Reload {
    stop: Cancel,
    thread: Option<JoinHandle<()>>,
}

impl Reload {
    /// `built` are the sources of the running functions. `log` receives Cargo's output on a quiet console.
    pub(super) fn start(built: Sources, console: Console, log: PathBuf) -> Result<Self, StackError> {
        let stop = Cancel::default();
        let stopped = stop.clone();
        let watch = move || {
            let mut built = built;
            while !stopped.is_cancelled() {
                thread::sleep(PAUSE);
                if let Some(edited) = built.edited() {
                    built = edited;
                    console.say("a source file was edited: building the functions ...");
                    match build(&[], console, &log, &stopped) {
                        Ok(()) => console.say("the functions are up to date"),
                        // Cargo has printed the compiler's message.
                        Err(_) if stopped.is_cancelled() => {}
                        Err(_) => console.say("the last good build runs until the next edit"),
                    }
                }
            }
        };
        let thread = thread::Builder::new().name("reload".to_owned()).spawn(watch).map_err(|error| {
            StackError::new(
                format!("the sources cannot be watched: {error}"),
                "free some memory and try again",
            )
        })?;
        Ok(Self { stop, thread: Some(thread) })
    }
}

impl Drop for Reload {
    fn drop(&mut self) {
        self.stop.cancel();
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use daypass_tools::workspace_root;
    use std::fs;

    #[test]
    fn an_edit_of_a_source_is_seen_and_an_editors_own_files_are_not() {
        let root = tempfile::tempdir().unwrap();
        let folder = root.path().join("functions/login/src");
        fs::create_dir_all(&folder).unwrap();
        fs::create_dir_all(root.path().join("docs")).unwrap();
        fs::write(folder.join("lib.rs"), "1").unwrap();
        let first = Sources::of(root.path().to_path_buf());
        assert_eq!(first.files.len(), 1);
        for other in ["functions/login/src/.lib.rs.swp", "functions/login/src/lib.rs~", "docs/index.md"] {
            fs::write(root.path().join(other), "").unwrap();
        }
        assert_eq!(first.edited(), None);

        fs::write(folder.join("new.rs"), "").unwrap();
        let second = first.edited().unwrap();
        let file = fs::File::options().write(true).open(folder.join("lib.rs")).unwrap();
        file.set_modified(SystemTime::UNIX_EPOCH).unwrap();
        let third = second.edited().unwrap();
        fs::remove_file(folder.join("new.rs")).unwrap();
        let fourth = third.edited().unwrap();
        assert_eq!(fourth.edited(), None);
    }

    #[test]
    fn every_watched_path_is_in_the_checkout() {
        for path in WATCHED {
            assert!(workspace_root().join(path).exists(), "{path}");
        }
        let whoami = workspace_root().join("infra/examples/whoami/src/lib.rs");
        assert!(Sources::of(workspace_root()).files.contains_key(&whoami));
    }
}
