//! `daypass user require-mfa` and `daypass user reset-factors`.

use crate::output::{Failure, Output};
use crate::target::Target;
use daypass_admin::view::UserView;
use daypass_core::ports::mail::Language;
use daypass_core::token::mail::OutboxId;
use daypass_verifier::base::ids::Username;
use serde::Serialize;

/// Whether something is on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum Switch {
    /// A second factor is required
    On,
    /// A second factor is optional
    Off,
}

#[derive(Serialize)]
struct Reset<'a> {
    result: &'static str,
    user: UserView<'a>,
    sessions_ended: u32,
    mail: Option<OutboxId>,
}

/// Runs `daypass user require-mfa`.
pub(super) async fn require(
    target: &Target,
    output: &mut Output<'_>,
    username: &Username,
    switch: Switch,
) -> Result<(), Failure> {
    let user = target.admin().require_mfa(username, switch == Switch::On).await;
    let user = user.map_err(|error| target.refused(&error))?;
    let (result, line) = match switch {
        Switch::On => ("mfa_required", format!("The next logins of {} need a second factor.", user.username)),
        Switch::Off => ("mfa_optional", format!("{} needs no second factor.", user.username)),
    };
    super::report(output, result, &user, &line)
}

/// Runs `daypass user reset-factors`.
pub(super) async fn reset(
    target: &Target,
    output: &mut Output<'_>,
    username: &Username,
    language: Language,
) -> Result<(), Failure> {
    let reset = target.admin().reset_factors(username, language).await;
    let reset = reset.map_err(|error| target.refused(&error))?;
    let shown = Reset {
        result: "factors_reset",
        user: UserView::from(&reset.user),
        sessions_ended: reset.ended,
        mail: reset.mail,
    };
    output.result(&shown, |output| {
        let told = match reset.mail {
            Some(mail) => format!("The notice is {mail}."),
            None => "The user has no verified address, so no notice is sent.".to_owned(),
        };
        output.line(&format!(
            "Removed the second factors of {} and ended {} sessions. {told}",
            reset.user.username, reset.ended
        ))
    })?;
    Ok(())
}
