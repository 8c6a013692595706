//! Reference page of a program, from its clap definition.

use clap::{Arg, Command};
use std::fmt::Write;

/// Page of a program: each command with its usage, arguments and options.
#[must_use]
pub fn reference(title: &str, introduction: &str, name: &str, command: &Command) -> String {
    let mut page = format!("# {title}\n\n{introduction}\n");
    section(&mut page, name, command, true);
    page
}

fn section(page: &mut String, name: &str, command: &Command, top: bool) {
    let about = command.get_long_about().or(command.get_about());
    let about = about.map(|about| sentence(&escaped(&about.to_string()))).unwrap_or_default();
    let subcommands: Vec<&Command> =
        command.get_subcommands().filter(|subcommand| !subcommand.is_hide_set()).collect();
    let arguments: Vec<&Arg> = command
        .get_arguments()
        .filter(|argument| !argument.is_hide_set())
        .filter(|argument| !["help", "version"].contains(&argument.get_id().as_str()))
        .collect();
    let mut text = String::new();
    if subcommands.is_empty() {
        let usage = command.clone().bin_name(name).render_usage().to_string();
        let usage = usage.trim_start_matches("Usage: ").trim();
        let _ = write!(text, "{about}\n\n```text\n{usage}\n```\n");
    } else {
        let _ = writeln!(text, "{about}");
        if !arguments.is_empty() {
            let _ = write!(text, "\nEvery command of `{name}` accepts these options.\n");
        }
    }
    if !arguments.is_empty() {
        text.push_str("\n| Argument | Default | Meaning |\n|---|---|---|\n");
        for argument in arguments {
            text.push_str(&row(argument));
        }
    }
    let mark = if top || !subcommands.is_empty() { "##" } else { "###" };
    let _ = write!(page, "\n{mark} {name}\n\n{}\n", text.trim());
    for subcommand in subcommands {
        section(page, &format!("{name} {}", subcommand.get_name()), subcommand, false);
    }
}

fn row(argument: &Arg) -> String {
    let values = argument.get_value_names().unwrap_or_default();
    let value = values.first().map_or_else(|| argument.get_id().as_str().to_uppercase(), ToString::to_string);
    let takes_value = argument.get_action().takes_values();
    let shown = match argument.get_long() {
        None => value,
        Some(long) if takes_value => format!("--{long} {value}"),
        Some(long) => format!("--{long}"),
    };
    let defaults = argument.get_default_values().iter().map(|value| value.to_string_lossy());
    let defaults: Vec<_> = defaults.filter(|value| takes_value && !value.is_empty()).collect();
    let default = if defaults.is_empty() { String::new() } else { format!("`{}`", defaults.join(" ")) };
    let help = argument.get_long_help().or(argument.get_help());
    let mut help = help.map(|help| sentence(&escaped(&help.to_string()))).unwrap_or_default();
    let possible = argument.get_possible_values();
    if takes_value && !possible.is_empty() && !argument.is_hide_possible_values_set() {
        let names: Vec<String> = possible
            .iter()
            .filter(|value| !value.is_hide_set())
            .map(|value| format!("`{}`", value.get_name()))
            .collect();
        let _ = write!(help, " Values: {}.", names.join(", "));
    }
    if let Some(variable) = argument.get_env() {
        let _ = write!(help, " Variable: `{}`.", variable.to_string_lossy());
    }
    format!("| `{shown}` | {default} | {help} |\n")
}

/// Adds a full stop.
fn sentence(text: &str) -> String {
    let text = text.split_whitespace().collect::<Vec<_>>().join(" ");
    if text.is_empty() || text.ends_with(['.', '!', '?']) { text } else { format!("{text}.") }
}

/// Text of a Markdown table cell. Code spans are unchanged, except for `|`.
#[must_use]
pub fn escaped(text: &str) -> String {
    let mut escaped = String::new();
    for (n, part) in text.split('`').enumerate() {
        if n > 0 {
            escaped.push('`');
        }
        let part = part.replace('|', "\\|");
        escaped.push_str(&if n % 2 == 1 { part } else { part.replace('<', "&lt;").replace('*', "\\*") });
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_has_usage_arguments_and_options() {
        let command = Command::new("tool")
            .about("A tool")
            .arg(Arg::new("json").long("json").action(clap::ArgAction::SetTrue).help("As JSON"))
            .subcommand(
                Command::new("add")
                    .about("Add a user")
                    .arg(Arg::new("name").value_name("NAME").required(true).help("Name | <x>"))
                    .arg(
                        Arg::new("limit")
                            .long("limit")
                            .value_name("N")
                            .default_value("5")
                            .help("Most users."),
                    ),
            );
        let page = reference("Tool", "Generated.", "tool", &command);
        let expected = "# Tool\n\nGenerated.\n\n## tool\n\nA tool.\n\nEvery command of `tool` accepts these options.\n\n\
            | Argument | Default | Meaning |\n|---|---|---|\n| `--json` |  | As JSON. |\n\n### tool add\n\nAdd a user.\n\n\
            ```text\ntool add [OPTIONS] <NAME>\n```\n\n| Argument | Default | Meaning |\n|---|---|---|\n\
            | `NAME` |  | Name \\| &lt;x>. |\n| `--limit N` | `5` | Most users. |\n";
        assert_eq!(page, expected);
    }
}
