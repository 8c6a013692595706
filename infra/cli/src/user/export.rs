//! `daypass user export`: users with their hashes, as lines for import.

use super::everyone;
use super::progress::Progress;
use super::record::Record;
use crate::environment::Environment;
use crate::output::{Failure, Output};
use crate::target::Target;
use daypass_core::ports::store::User;
use daypass_dynamodb::UserFilter;
use daypass_passwords::StoredHash;
use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::io::{self, BufWriter, IsTerminal, Write};
use std::path::{Path, PathBuf};

/// Arguments of `daypass user export`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Write to a new private file instead of standard output
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// Table segments that are read in parallel
    #[arg(long, value_name = "N", default_value_t = 4, value_parser = clap::value_parser!(u16).range(1..=64))]
    segments: u16,
}

/// Runs `daypass user export`.
pub(crate) async fn run(
    target: &Target,
    environment: &Environment<'_>,
    output: &mut Output<'_>,
    args: Args,
) -> Result<(), Failure> {
    let Some(path) = &args.out else {
        let terminal = io::stdout().is_terminal();
        if terminal {
            output.note("password hashes stay in the scrollback of this terminal; --out FILE writes them to a private file");
        }
        let progress = if terminal { Progress::hidden() } else { Progress::new(None) };
        let mut out = BufWriter::new(io::stdout());
        let exported = write(target, output, &mut out, &progress, args.segments).await?;
        out.flush()?;
        return exported.report(target, environment, output).await;
    };
    let mut out = BufWriter::new(create(path)?);
    let written = write(target, output, &mut out, &Progress::new(None), args.segments).await;
    let exported = written
        .and_then(|exported| {
            out.flush().and_then(|()| out.get_ref().sync_all()).map_err(|error| unwritable(path, &error))?;
            Ok(exported)
        })
        .inspect_err(|_| {
            // An incomplete export must not look complete. The first error matters more than a failure to remove the file.
            let _ = std::fs::remove_file(path);
        })?;
    exported.report(target, environment, output).await
}

fn create(path: &Path) -> Result<File, Failure> {
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(path).map_err(|error| match error.kind() {
        io::ErrorKind::AlreadyExists => {
            Failure::new(format!("{} already exists and is unchanged", path.display()), "name another file")
        }
        _ => unwritable(path, &error),
    })
}

/// The line of a user in an export.
///
/// # Errors
/// When JSON cannot express it, which no user causes.
pub fn line_of(user: &User) -> serde_json::Result<String> {
    serde_json::to_string(&Record::from(user))
}

fn unwritable(path: &Path, error: &io::Error) -> Failure {
    Failure::new(
        format!("{} cannot be written: {error}", path.display()),
        "name another file, or correct the permissions",
    )
}

/// Counts of an export.
#[derive(Default)]
struct Exported {
    users: u64,
    with_factor: u64,
    unreadable: u64,
    /// Users per pepper.
    peppers: BTreeMap<String, u64>,
}

async fn write(
    target: &Target,
    output: &mut Output<'_>,
    out: &mut impl Write,
    progress: &Progress,
    segments: u16,
) -> Result<Exported, Failure> {
    let mut exported = Exported::default();
    let scanned = everyone::scan(target, output, progress, &UserFilter::default(), segments, |_, users| {
        for user in users {
            exported.users += 1;
            exported.with_factor += u64::from(user.factors.is_enrolled());
            if let Some(kid) =
                StoredHash::parse(&user.password_hash).ok().as_ref().and_then(StoredHash::pepper)
            {
                *exported.peppers.entry(kid.to_owned()).or_default() += 1;
            }
            writeln!(out, "{}", line_of(user)?)?;
        }
        progress.draw(exported.users, 0);
        Ok(())
    })
    .await?;
    exported.unreadable = scanned.unreadable;
    progress.clear();
    Ok(exported)
}

impl Exported {
    async fn report(
        &self,
        target: &Target,
        environment: &Environment<'_>,
        output: &mut Output<'_>,
    ) -> Result<(), Failure> {
        output.note(&format!("exported {} users", self.users));
        if self.with_factor > 0 {
            output.note(&format!(
                "{} users have a second factor, which the export does not contain",
                self.with_factor
            ));
        }
        if !self.peppers.is_empty() {
            let kids: Vec<_> =
                self.peppers.iter().map(|(kid, users)| format!("{kid} ({users} users)")).collect();
            output.note(&format!(
                "the hashes need the peppers {}; `daypass key adopt --from` adopts them into another key set",
                kids.join(", ")
            ));
            match target.keys(environment).await {
                Err(failure) => {
                    output
                        .note(&format!("the peppers were not compared with the key set: {}", failure.what()));
                }
                Ok(document) => {
                    let kids: Vec<_> = document.summary().into_iter().map(|key| key.kid).collect();
                    for (kid, users) in self.peppers.iter().filter(|(kid, _)| !kids.contains(kid)) {
                        output.note(&format!(
                            "WARNING: the key set of DAYPASS_KEYS lacks the pepper {kid}: {users} users cannot log in"
                        ));
                    }
                }
            }
        }
        if self.unreadable > 0 {
            return Err(Failure::new(
                format!("{} items of the users table are not users and were skipped", self.unreadable),
                "inspect them in the table: another program wrote them",
            ));
        }
        Ok(())
    }
}
