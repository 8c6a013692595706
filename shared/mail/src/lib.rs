//! Mails of Daypass: their texts, and Amazon SES. This is the one crate that names its SDK.

mod ses;
mod text;

pub use ses::Ses;
