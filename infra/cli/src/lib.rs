//! The `daypass` command: users, sessions and keys, on the local stack, DynamoDB Local and AWS.
//!
//! Results go to standard output, as a table or with `--json` as one document. Errors, hints, notes and prompts go to
//! standard error or the terminal. Exit codes: 0 done, 1 failed, 2 wrong usage.
//!
//! A password is typed at a prompt or read from standard input. It is not an argument, because every process of the
//! machine sees arguments and the shell keeps them in its history.

mod aws;
mod client;
mod config;
mod dev_stack;
mod doctor;
mod environment;
mod input;
mod key;
mod output;
mod session;
mod stack;
mod target;
mod user;

use aws::Aws;
use clap::parser::ValueSource;
use clap::{CommandFactory, FromArgMatches, Parser, Subcommand};
pub use dev_stack::DEV_FILE;
pub use environment::Environment;
use output::{Failure, Output, quoted};
use stack::Stack;
use std::process::ExitCode;

/// The lines of `daypass user import` and `daypass user export`, without a store.
pub mod lines {
    pub use crate::user::export::line_of;
    pub use crate::user::import::users_in;
}

/// Manage users, sessions, machine clients and keys of Daypass
#[derive(Debug, Parser)]
#[command(
    name = "daypass",
    version,
    arg_required_else_help = true,
    subcommand_required = true,
    max_term_width = 100
)]
struct Cli {
    /// Print one JSON document; times are in seconds since the epoch
    #[arg(long, global = true, display_order = 900)]
    json: bool,
    /// A deployed stack: tables and key sets come from its outputs. AWS_PROFILE and AWS_REGION select the account
    #[arg(
        long,
        value_name = "NAME",
        global = true,
        display_order = 901,
        env = "DAYPASS_STACK",
        hide_env_values = true
    )]
    stack: Option<String>,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Manage users, their factors and their import
    User(user::Args),
    /// Manage sessions: list, show, revoke
    Session(session::Args),
    /// Manage machine clients: create, list, rotate, revoke
    Client(client::Args),
    /// Manage key sets: generate, adopt, show
    Key(key::Args),
    /// Check a deployed stack: quotas, issuer, keys, authorizer, feed, tables and a login
    Doctor(doctor::Args),
    /// Check the document of settings: check
    Config(config::Args),
    /// Moved to `cargo dev`
    #[command(hide = true, disable_help_flag = true)]
    Dev {
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        options: Vec<String>,
    },
}

/// Runs the command of this process's arguments.
#[must_use]
pub fn start(environment: &Environment<'_>) -> ExitCode {
    let matches = Cli::command().get_matches();
    let Cli { json, stack, command } = Cli::from_arg_matches(&matches).unwrap_or_else(|error| error.exit());
    // An empty variable counts as unset. An empty option is an error: it could be the unset variable of a script.
    let of_variable = matches.value_source("stack") == Some(ValueSource::EnvVariable);
    let stack = stack.filter(|name| !(of_variable && name.trim().is_empty()));
    let mut stdout = std::io::stdout();
    let mut stderr = std::io::stderr();
    let mut output = Output::new(json, &mut stdout, &mut stderr);
    match run(command, stack.as_deref(), environment, &mut output) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => output.fail(&failure),
    }
}

fn run(
    command: Command,
    stack: Option<&str>,
    environment: &Environment<'_>,
    output: &mut Output<'_>,
) -> Result<(), Failure> {
    // One request at a time needs one thread.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(|error| {
        Failure::new(
            format!("the command cannot start: {error}"),
            "free some memory or file handles and try again",
        )
    })?;
    runtime.block_on(async {
        // `key` shows all sections; users need the peppers alone, which fewer people may read.
        let secrets: &[&str] = match command {
            Command::Key(_) => &["SigningKeysSecretArn", "RefreshKeysSecretArn", "PeppersSecretArn"],
            _ => &["PeppersSecretArn"],
        };
        let of_stack = match (stack, &command) {
            (Some(_), Command::Key(args)) if args.needs_no_stack() => None,
            (Some(name), Command::User(_) | Command::Session(_) | Command::Client(_) | Command::Key(_)) => {
                environment.without_names()?;
                Some(Stack::read(&Aws::load().await?, name).await?.variables(secrets))
            }
            _ => None,
        };
        let environment = &environment.with(of_stack);
        match command {
            Command::User(args) => user::run(args, environment, output).await,
            Command::Session(args) => session::run(args, environment, output).await,
            Command::Client(args) => client::run(args, environment, output).await,
            Command::Key(args) => key::run(args, environment, output).await,
            Command::Doctor(args) => doctor::run(args, stack, output).await,
            Command::Config(args) => config::run(args, output),
            Command::Dev { options } => Err(moved(&options)),
        }
    })
}

fn moved(options: &[String]) -> Failure {
    let command: String = options.iter().map(|option| format!(" {}", quoted(option))).collect();
    Failure::usage(
        "`daypass` does not start the local stack",
        format!("run `cargo dev{command}` in a checkout of Daypass"),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn the_arguments_are_consistent() {
        Cli::command().debug_assert();
    }

    /// With `UPDATE_SNAPSHOTS=1`, the test writes the page.
    #[test]
    fn the_reference_is_up_to_date() {
        let introduction = "`daypass` is the command line for operators: users, sessions, machine clients and keys.\n\n\
            Results go to standard output, as a table or with `--json` as one document. Errors, hints and prompts go to \
            standard error or the terminal. Exit codes: 0 done, 1 failed, 2 wrong usage.\n\n\
            This page is generated from the program.";
        let page = daypass_docs::reference("Command line", introduction, "daypass", &Cli::command());
        daypass_docs::snapshot("docs/reference/cli.md", &page);
    }

    #[test]
    fn documented_commands_exist() {
        daypass_docs::check(&["daypass"], &Cli::command());
        daypass_docs::check(&["cargo", "daypass"], &Cli::command());
    }

    /// Options in running text, such as `--dry-run`, are options of `daypass` unless the list names another program.
    #[test]
    fn documented_options_exist() {
        const OF_OTHERS: [&str; 7] = [
            // sam
            "--beta-features",
            "--config-file",
            "--guided",
            // cargo, cargo verify, cargo lambda watch
            "--full",
            "--ignore-changes",
            "--package",
            // git: the mark of a snippet
            "--8<--",
        ];
        fn collect(command: &clap::Command, names: &mut BTreeSet<String>) {
            names.extend(
                command.get_arguments().filter_map(clap::Arg::get_long).map(|long| format!("--{long}")),
            );
            command.get_subcommands().for_each(|subcommand| collect(subcommand, names));
        }
        let mut names: BTreeSet<String> = OF_OTHERS.map(str::to_owned).into();
        collect(&Cli::command(), &mut names);
        let own = |path: &str| path != "CHANGELOG.md" && !path.starts_with("docs/reference/cargo-");
        for document in daypass_docs::documents().iter().filter(|document| own(&document.path)) {
            for span in daypass_docs::inline(document).filter(|span| span.starts_with("--") && span.len() > 2)
            {
                let name = span.split([' ', '=']).next().unwrap_or_default();
                assert!(names.contains(name), "{}: there is no option {name}", document.path);
            }
        }
    }

    /// No option such as `--password secret` may appear by accident.
    #[test]
    fn no_argument_takes_a_password() {
        fn check(command: &clap::Command) {
            for argument in command.get_arguments().filter(|argument| argument.get_action().takes_values()) {
                let id = argument.get_id().as_str();
                assert!(!id.contains("password") && !id.contains("secret"), "{} {id}", command.get_name());
            }
            command.get_subcommands().for_each(check);
        }
        check(&Cli::command());
    }
}
