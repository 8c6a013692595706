//! A share of a processor, as Lambda gives it to a function by its memory.
//!
//! Linux' CFS bandwidth control, with Lambda's period of 20 ms:
//! <https://docs.kernel.org/scheduler/sched-bwc.html>. It needs root, and cgroup v1 or v2.

use anyhow::{Context, Result, bail};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::sync::atomic::{AtomicU32, Ordering};

/// Memory at which a function has one whole processor, in MB.
/// <https://docs.aws.amazon.com/lambda/latest/dg/configuration-memory.html>
const WHOLE_PROCESSOR_MB: u32 = 1769;
const PERIOD_MICROS: u32 = 20_000;
const V1: &str = "/sys/fs/cgroup/cpu";
const V2: &str = "/sys/fs/cgroup";

/// A control group with a quota. Drop removes it, which needs its processes to have ended.
pub(crate) struct Share {
    folder: PathBuf,
    is_v2: bool,
}

impl Share {
    /// The share of a function with this memory; `None` for a whole processor or more.
    ///
    /// # Errors
    /// This process must not create a control group.
    pub(crate) fn of_memory(megabytes: u32) -> Result<Option<Self>> {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        if megabytes >= WHOLE_PROCESSOR_MB {
            return Ok(None);
        }
        let is_v2 = Path::new(V2).join("cgroup.controllers").exists();
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let folder = Path::new(if is_v2 { V2 } else { V1 })
            .join(format!("daypass-bench-{}-{number}", std::process::id()));
        fs::create_dir(&folder).with_context(|| {
            format!("a share of a processor needs root and a control group; {} is refused", folder.display())
        })?;
        let share = Self { folder, is_v2 };
        let quota = u64::from(PERIOD_MICROS) * u64::from(megabytes) / u64::from(WHOLE_PROCESSOR_MB);
        if is_v2 {
            share.write("cpu.max", &format!("{quota} {PERIOD_MICROS}"))?;
        } else {
            share.write("cpu.cfs_period_us", &PERIOD_MICROS.to_string())?;
            share.write("cpu.cfs_quota_us", &quota.to_string())?;
        }
        Ok(Some(share))
    }

    /// Starts a process with this share.
    ///
    /// # Errors
    /// The process does not start, or cannot enter the control group.
    pub(crate) fn spawn(&self, command: &mut Command) -> Result<Child> {
        if self.is_v2 {
            // A thread has no group of its own, so the process moves after its start.
            let child = command.spawn()?;
            self.write("cgroup.procs", &child.id().to_string())?;
            return Ok(child);
        }
        // The process inherits the group of the thread that starts it. Zero is the writing thread.
        let spawn = || {
            self.write("tasks", "0")?;
            Ok(command.spawn()?)
        };
        match std::thread::scope(|scope| scope.spawn(spawn).join()) {
            Ok(child) => child,
            Err(_) => bail!("the thread that starts a process panicked"),
        }
    }

    fn write(&self, file: &str, text: &str) -> Result<()> {
        let path = self.folder.join(file);
        fs::write(&path, text).with_context(|| format!("{} does not accept {text}", path.display()))
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        // An empty group that stays costs nothing.
        let _ = fs::remove_dir(&self.folder);
    }
}
