//! Atomic installation into `target/tools`, once for all concurrent processes.

use std::fs::{self, File, TryLockError};
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use crate::{say, target_dir};

/// File that completes a folder. It contains the recipe: a changed recipe causes a new installation.
const STAMP: &str = "installed.txt";

/// Returns the folder `target/tools/NAME`, in which `install` has succeeded with exactly this `recipe`.
///
/// `recipe` is the text that selects the packages: a lock file. An interrupted installation has no stamp and is
/// removed. A second process waits for the first.
pub(crate) fn ensure(name: &str, recipe: &str, install: impl FnOnce(&Path) -> Result<()>) -> Result<PathBuf> {
    ensure_below(&target_dir().join("tools"), name, recipe, install)
}

fn ensure_below(
    tools: &Path,
    name: &str,
    recipe: &str,
    install: impl FnOnce(&Path) -> Result<()>,
) -> Result<PathBuf> {
    let folder = tools.join(name);
    fs::create_dir_all(tools).with_context(|| format!("could not create {}", tools.display()))?;
    // Held until the end of this function. The system also releases it when the process dies.
    let _lock = lock(&tools.join(format!("{name}.lock")), name)?;

    // Python environments hold absolute paths: a checkout that was moved needs a new one.
    let stamp = format!("{}\n{recipe}\n", folder.display());
    if fs::read_to_string(folder.join(STAMP)).is_ok_and(|found| found == stamp) {
        return Ok(folder);
    }
    remove(&folder)?;
    fs::create_dir_all(&folder).with_context(|| format!("could not create {}", folder.display()))?;
    say(&format!("installing {name} in {} ...", folder.display()));
    install(&folder).with_context(|| format!("could not install {name}"))?;
    fs::write(folder.join(STAMP), stamp).with_context(|| format!("could not finish {}", folder.display()))?;
    Ok(folder)
}

fn lock(path: &Path, name: &str) -> Result<File> {
    let could_not_lock = || format!("could not lock {}", path.display());
    let file = File::create(path).with_context(could_not_lock)?;
    match file.try_lock() {
        Ok(()) => return Ok(file),
        Err(TryLockError::Error(error)) => return Err(error).with_context(could_not_lock),
        Err(TryLockError::WouldBlock) => {}
    }
    say(&format!("waiting for the installation of {name} ..."));
    file.lock().with_context(could_not_lock)?;
    Ok(file)
}

fn remove(folder: &Path) -> Result<()> {
    match fs::remove_dir_all(folder) {
        Err(error) if error.kind() != ErrorKind::NotFound => {
            Err(error).with_context(|| format!("could not remove the unfinished {}", folder.display()))
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};
    use std::thread;
    use std::time::Duration;

    use anyhow::bail;

    use super::*;

    fn scratch(test: &str) -> PathBuf {
        let folder = target_dir().join("tmp").join(format!("tools-{test}-{}", std::process::id()));
        remove(&folder).unwrap();
        folder
    }

    #[test]
    fn installs_once_per_recipe() {
        let tools = scratch("once");
        let count = AtomicU32::new(0);
        let install = |_: &Path| {
            count.fetch_add(1, Ordering::SeqCst);
            Ok(())
        };
        ensure_below(&tools, "demo", "demo 1", install).unwrap();
        ensure_below(&tools, "demo", "demo 1", install).unwrap();
        assert_eq!(count.load(Ordering::SeqCst), 1);
        ensure_below(&tools, "demo", "demo 2", install).unwrap();
        assert_eq!(count.load(Ordering::SeqCst), 2);
        remove(&tools).unwrap();
    }

    #[test]
    fn what_a_failed_installation_left_is_gone_in_the_next_one() {
        let tools = scratch("half");
        let error = ensure_below(&tools, "demo", "demo 1", |folder| {
            fs::write(folder.join("half"), "")?;
            bail!("the network went away")
        })
        .unwrap_err();
        assert_eq!(format!("{error:#}"), "could not install demo: the network went away");
        let folder = ensure_below(&tools, "demo", "demo 1", |folder| {
            assert!(!folder.join("half").exists());
            Ok(())
        })
        .unwrap();
        assert!(folder.join(STAMP).exists());
        remove(&tools).unwrap();
    }

    #[test]
    fn of_many_at_once_one_installs_and_all_find_it_complete() {
        let tools = scratch("many");
        let count = AtomicU32::new(0);
        thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| {
                    let folder = ensure_below(&tools, "demo", "demo 1", |folder| {
                        count.fetch_add(1, Ordering::SeqCst);
                        thread::sleep(Duration::from_millis(50));
                        Ok(fs::write(folder.join("program"), "")?)
                    });
                    assert!(folder.unwrap().join("program").exists());
                });
            }
        });
        assert_eq!(count.load(Ordering::SeqCst), 1);
        remove(&tools).unwrap();
    }
}
