//! `daypass user list --scan`: users by status, age, name or kind of hash.

use super::everyone;
use super::progress::Progress;
use super::status;
use crate::output::{Failure, Output, time};
use crate::target::Target;
use ::time::{Date, Month};
use clap::ValueEnum;
use daypass_admin::view::UserView;
use daypass_core::ports::migration::MARKER;
use daypass_core::ports::store::{User, UserStatus};
use daypass_dynamodb::UserFilter;
use daypass_passwords::{HashParams, StoredHash};
use daypass_verifier::base::time::Timestamp;

/// Filters. Each of them reads the whole table.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Filters, which read the whole table")]
pub(crate) struct Args {
    /// Read the whole table: a read unit per 4 KB, about 100,000 for a million users
    #[arg(long)]
    scan: bool,
    /// List users with this status
    #[arg(long, value_enum)]
    status: Option<Status>,
    /// List users added on this day (YYYY-MM-DD, UTC) or later
    #[arg(long, value_name = "DAY", value_parser = day)]
    created_from: Option<Timestamp>,
    /// List users added before this day (YYYY-MM-DD, UTC)
    #[arg(long, value_name = "DAY", value_parser = day)]
    created_before: Option<Timestamp>,
    /// List users whose normalised name starts with this text, in lower case
    #[arg(long, value_name = "TEXT")]
    name_prefix: Option<String>,
    /// List users with this kind of hash
    #[arg(long, value_enum)]
    hash: Option<Kind>,
    /// Table segments that are read in parallel
    #[arg(long, value_name = "N", default_value_t = 4, value_parser = clap::value_parser!(u16).range(1..=64))]
    segments: u16,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Status {
    /// Can log in
    Enabled,
    /// Cannot log in
    Disabled,
}

/// Kinds of hashes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Kind {
    /// Made by Daypass: argon2id with a pepper
    Ours,
    /// All others: imported, with no login since
    Imported,
    /// argon2 of another system
    Argon2,
    /// bcrypt
    Bcrypt,
    /// scrypt, including Firebase's
    Scrypt,
    /// PBKDF2
    Pbkdf2,
    /// phpass
    Phpass,
    /// Drupal's SHA-512
    Drupal,
    /// SHA-crypt of Unix
    ShaCrypt,
    /// yescrypt
    Yescrypt,
    /// None: the old system checks the password at the first login
    Marked,
    /// Malformed or too expensive: the user cannot log in
    Unusable,
}

impl Kind {
    fn fits(self, hash: &str) -> bool {
        if hash == MARKER {
            return self == Self::Marked;
        }
        let Ok(hash) = StoredHash::parse(hash) else { return self == Self::Unusable };
        let ours = matches!(hash.kind().params, HashParams::Argon2 { .. }) && hash.pepper().is_some();
        match self {
            Self::Ours => ours,
            Self::Imported => !ours,
            Self::Argon2 => !ours && matches!(hash.kind().params, HashParams::Argon2 { .. }),
            Self::Bcrypt => matches!(hash.kind().params, HashParams::Bcrypt { .. }),
            Self::Scrypt => matches!(hash.kind().params, HashParams::Scrypt { .. }),
            Self::Pbkdf2 => matches!(hash.kind().params, HashParams::Pbkdf2 { .. }),
            Self::Phpass => matches!(hash.kind().params, HashParams::Phpass { .. }),
            Self::Drupal => matches!(hash.kind().params, HashParams::Drupal { .. }),
            Self::ShaCrypt => matches!(hash.kind().params, HashParams::ShaCrypt { .. }),
            Self::Yescrypt => matches!(hash.kind().params, HashParams::Yescrypt { .. }),
            Self::Marked | Self::Unusable => false,
        }
    }
}

fn day(text: &str) -> Result<Timestamp, String> {
    let parse = || {
        let mut parts = text.split('-');
        let (year, month, day) =
            (parts.next()?.parse().ok()?, parts.next()?.parse::<u8>().ok()?, parts.next()?.parse().ok()?);
        let date = Date::from_calendar_date(year, Month::try_from(month).ok()?, day).ok()?;
        let seconds = u64::try_from(date.midnight().assume_utc().unix_timestamp()).ok()?;
        parts.next().is_none().then_some(Timestamp::from_seconds(seconds))
    };
    parse().ok_or_else(|| "not a day such as 2026-01-31".to_owned())
}

impl Args {
    /// Whether a filter or `--scan` is set.
    pub(crate) fn is_set(&self) -> bool {
        self.scan || self.hash.is_some() || !self.filter().is_empty()
    }

    fn filter(&self) -> UserFilter {
        UserFilter {
            status: self.status.map(|status| match status {
                Status::Enabled => UserStatus::Enabled,
                Status::Disabled => UserStatus::Disabled,
            }),
            created_from: self.created_from,
            created_before: self.created_before,
            name_prefix: self.name_prefix.clone(),
        }
    }
}

/// Lists matching users as the scan finds them.
pub(crate) async fn run(target: &Target, output: &mut Output<'_>, args: &Args) -> Result<(), Failure> {
    if !args.scan {
        return Err(Failure::usage(
            "these filters read the whole table, because no index covers them",
            "permit it with --scan, or list page by page without filters",
        ));
    }
    let json = output.is_json();
    let mut found = 0_u64;
    if json {
        output.raw("{\n  \"users\": [")?;
    }
    let (filter, progress) = (args.filter(), Progress::hidden());
    let scanned = everyone::scan(target, output, &progress, &filter, args.segments, |output, users| {
        for user in users.iter().filter(|user| args.hash.is_none_or(|kind| kind.fits(&user.password_hash))) {
            found += 1;
            if json {
                let comma = if found == 1 { " " } else { "," };
                output.raw(&format!("  {comma} {}", serde_json::to_string(&UserView::from(user))?))?;
            } else {
                output.line(&row(user))?;
            }
        }
        Ok(())
    })
    .await?;
    if json {
        output.raw(&format!("  ],\n  \"read\": {}\n}}", scanned.read))?;
    } else {
        output.note(&format!("{found} of {} users", scanned.read));
    }
    if scanned.unreadable > 0 {
        return Err(Failure::new(
            format!("{} items of the users table are not users", scanned.unreadable),
            "inspect them in the table: another program wrote them",
        ));
    }
    Ok(())
}

/// Columns of fixed width, with the name last, so that they align without a second pass.
fn row(user: &User) -> String {
    format!("{}  {:<8}  {}  {}", user.id, status(user.status), time(user.created_at), user.username)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days() {
        assert_eq!(day("2027-01-15"), Ok(Timestamp::from_seconds(1_799_971_200)));
        for bad in [
            "",
            "2027-13-01",
            "2027-02-30",
            "2027-01",
            "2027-01-01-01",
            "yesterday",
            "-1-01-01",
            "1969-12-31",
        ] {
            assert!(day(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn kinds() {
        let ours =
            "$argon2id$v=19$m=19456,t=2,p=1,keyid=AQIDBA$MDEyMzQ1Njc4OWFiY2RlZg$MDEyMzQ1Njc4OWFiY2RlZg";
        let theirs = "$argon2id$v=19$m=19456,t=2,p=1$MDEyMzQ1Njc4OWFiY2RlZg$MDEyMzQ1Njc4OWFiY2RlZg";
        assert!(Kind::Ours.fits(ours) && !Kind::Imported.fits(ours) && !Kind::Argon2.fits(ours));
        assert!(!Kind::Ours.fits(theirs) && Kind::Imported.fits(theirs) && Kind::Argon2.fits(theirs));
        assert!(Kind::Phpass.fits("$P$9IQRaTwmfeRo7ud9Fh4E2PdI0S3r.L0"));
        assert!(Kind::Unusable.fits("plain") && !Kind::Unusable.fits(ours) && !Kind::Imported.fits("plain"));
    }
}
