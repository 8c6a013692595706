//! Parallel scan of the users table, for export and filtered lists.
//!
//! The table has one key, the username. An index for other questions, such as all disabled users, would cost a write
//! unit for every new user and for some changes. Operators ask such questions rarely, so a scan answers them.

use super::batch::patiently;
use super::progress::Progress;
use crate::output::{Failure, Output};
use crate::target::Target;
use daypass_core::ports::store::User;
use daypass_dynamodb::{Cursor, Segment, UserFilter};
use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use std::io;

/// Result of a scan.
pub(crate) struct Scanned {
    /// Items that were read, before the filter.
    pub(crate) read: u64,
    /// Items that are not users.
    pub(crate) unreadable: u64,
}

/// Passes every page of users that match the filter to `take`, unordered. Holds one page of each segment in memory.
///
/// # Errors
/// The store does not answer, or `take` cannot write.
pub(crate) async fn scan(
    target: &Target,
    output: &mut Output<'_>,
    progress: &Progress,
    filter: &UserFilter,
    segments: u16,
    mut take: impl FnMut(&mut Output<'_>, &[User]) -> io::Result<()>,
) -> Result<Scanned, Failure> {
    let ask = async |segment: u16, after: Option<Cursor>| {
        let page = patiently(|| target.store.scan_users(segment, segments, filter, after.as_ref())).await;
        (segment, page)
    };
    let mut running: FuturesUnordered<_> = (0..segments).map(|segment| ask(segment, None)).collect();
    let mut scanned = Scanned { read: 0, unreadable: 0 };
    while let Some((segment, page)) = running.next().await {
        let Segment { users, unreadable, read, next } = page.map_err(|error| target.failure(&error))?;
        if let Some(next) = next {
            running.push(ask(segment, Some(next)));
        }
        scanned.read += read;
        for (name, error) in unreadable {
            scanned.unreadable += 1;
            let name = name.as_deref().unwrap_or("an item without a name");
            progress.suspend(|| output.note(&format!("{name}: {error}")));
        }
        take(output, &users)?;
    }
    Ok(scanned)
}
