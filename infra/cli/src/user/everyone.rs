//! Reading the whole users table, in parts at the same time: for export, and for lists that are filtered.
//!
//! The table has one key, the name. By it a user is found, and a list goes page by page; everything else, such as all who are
//! disabled, means reading all of it. An index for each such question would cost a write unit at every new user, and some at
//! every change, for what an operator asks now and then.

use super::batch::patiently;
use super::progress::Progress;
use crate::output::{Failure, Output};
use crate::target::Target;
use daypass_core::ports::store::User;
use daypass_dynamodb::{Segment, UserFilter};
use daypass_verifier::base::ids::Username;
use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use std::io;

/// What was read.
pub(crate) struct Scanned {
    /// Items, whether they passed the filter or not.
    pub(crate) read: u64,
    /// Items that are no users.
    pub(crate) unreadable: u64,
}

/// Gives every page of users that pass the filter to `take`, in no order. Holds a page of each segment, whatever the table's
/// size.
///
/// # Errors
/// When the store does not answer, or `take` cannot write.
pub(crate) async fn scan(
    target: &Target,
    output: &mut Output<'_>,
    progress: &Progress,
    filter: &UserFilter,
    segments: u16,
    mut take: impl FnMut(&mut Output<'_>, &[User]) -> io::Result<()>,
) -> Result<Scanned, Failure> {
    let ask = async |segment: u16, after: Option<Username>| {
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
