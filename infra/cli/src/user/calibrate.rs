//! `daypass user calibrate`: time of password hashes on this machine, and estimates for Lambda.

use crate::environment::Environment;
use crate::output::{Failure, Output};
use daypass_passwords::{ARGON2, HashKind, HashParams, IMPORTED_HASHES};
use serde::Serialize;
use std::time::Instant;

/// Memory in MB at which Lambda provides one whole processor. Below, the share is proportional (AWS Lambda Developer
/// Guide, "Configure Lambda function memory").
const WHOLE_PROCESSOR_MB: u32 = 1769;

/// Compared memory sizes of functions, in MB. The last one exceeds what a single hash can use.
const MEMORY_MB: [u32; 4] = [512, 1024, WHOLE_PROCESSOR_MB, 3008];

/// Memory of a function beside its hash, in MB. A function that calls DynamoDB used 7.5 MB in our measurements.
const BESIDE_MB: u32 = 64;

/// US dollars per GB-second of x86-64 and arm64, and per million requests: AWS list prices, us-east-1, first tier,
/// November 2026. Without the free tier, DynamoDB and API Gateway.
const PRICE_X86: f64 = 0.000_016_666_7;
const PRICE_ARM: f64 = 0.000_013_333_4;
const PRICE_REQUESTS: f64 = 0.20;

/// Time of the rest of a login, in ms: two round trips to DynamoDB and a signature. Lambda bills waiting too.
const BESIDE_MS: f64 = 10.0;

/// Measured memory in KiB and passes: the parameters of OWASP and ASVS 5.0, and stronger ones.
const CANDIDATES: [(u32, u32); 7] =
    [(12_288, 3), (19_456, 2), (47_104, 1), (32_768, 2), (65_536, 2), (65_536, 3), (131_072, 3)];

/// Measurements of each. The fastest counts, because other load only adds time.
const TIMES: usize = 7;

/// Arguments of `daypass user calibrate`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Longest acceptable hash, in milliseconds of a whole processor
    #[arg(long, value_name = "MS", default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=1000))]
    target_ms: u32,
}

/// Measurements and conclusions.
#[derive(Debug, Serialize)]
struct Report {
    machine: String,
    measured: Vec<Measured>,
    /// Work of every login while `DAYPASS_IMPORTED_HASHES` is set.
    imported: Vec<Measured>,
    extrapolated: Vec<Extrapolated>,
    /// The strongest parameters within the target, in the form of `DAYPASS_ARGON2`.
    recommended: Option<String>,
    recommended_memory_mb: u32,
}

#[derive(Debug, Clone, Serialize)]
struct Measured {
    hash: String,
    memory_kib: u64,
    milliseconds: f64,
}

/// A login with one of the hashes, in a function of one size.
#[derive(Debug, Serialize)]
struct Extrapolated {
    hash: String,
    memory_mb: u32,
    milliseconds: f64,
    /// US dollars per million logins.
    dollars_x86_64: f64,
    dollars_arm64: f64,
}

/// Runs `daypass user calibrate`.
pub(crate) fn run(
    environment: &Environment<'_>,
    output: &mut Output<'_>,
    args: &Args,
) -> Result<(), Failure> {
    let passwords = super::passwords(environment)?;
    let imported = imported(environment)?;
    let mut kinds: Vec<HashParams> = CANDIDATES
        .iter()
        .filter_map(|(memory, passes)| format!("argon2id,m={memory},t={passes},p=1").parse().ok())
        .collect();
    if !kinds.contains(&passwords.params()) {
        kinds.push(passwords.params());
    }
    let measured: Vec<Measured> = kinds.iter().map(|params| measure((*params).into())).collect();
    let imported: Vec<Measured> = imported.iter().map(|kind| measure(*kind)).collect();
    let report = conclude(measured, imported, f64::from(args.target_ms));
    output.result(&report, |output| print(output, &report, args))?;
    if cfg!(debug_assertions) {
        output.note(
            "this is a development build; its hashes are optimised, but measure with --release to be sure",
        );
    }
    Ok(())
}

fn imported(environment: &Environment<'_>) -> Result<Vec<HashKind>, Failure> {
    let text = environment.get(IMPORTED_HASHES).unwrap_or_default();
    text.split_whitespace()
        .map(|word| {
            word.parse().map_err(|error| {
                Failure::new(format!("{IMPORTED_HASHES}: `{word}` is {error}"), "correct the variable")
            })
        })
        .collect()
}

fn measure(kind: HashKind) -> Measured {
    let milliseconds = (0..TIMES)
        .map(|_| {
            let started = Instant::now();
            kind.work("correct horse battery staple");
            started.elapsed().as_secs_f64() * 1000.0
        })
        .fold(f64::INFINITY, f64::min);
    Measured {
        hash: kind.to_string(),
        memory_kib: kind.params.memory_kib(),
        milliseconds: round(milliseconds),
    }
}

fn round(number: f64) -> f64 {
    (number * 10.0).round() / 10.0
}

fn conclude(measured: Vec<Measured>, imported: Vec<Measured>, target_ms: f64) -> Report {
    let beside: f64 = imported.iter().map(|hash| hash.milliseconds).sum();
    let mut extrapolated = Vec::new();
    for hash in &measured {
        let needed = hash.memory_kib.div_ceil(1024) + u64::from(BESIDE_MB);
        for memory_mb in MEMORY_MB.into_iter().filter(|memory| u64::from(*memory) >= needed) {
            let share = (f64::from(memory_mb) / f64::from(WHOLE_PROCESSOR_MB)).min(1.0);
            let milliseconds = (hash.milliseconds + beside) / share + BESIDE_MS;
            let gigabyte_seconds = f64::from(memory_mb) / 1024.0 * milliseconds / 1000.0 * 1e6;
            let dollars = |price: f64| ((gigabyte_seconds * price + PRICE_REQUESTS) * 100.0).round() / 100.0;
            extrapolated.push(Extrapolated {
                hash: hash.hash.clone(),
                memory_mb,
                milliseconds: round(milliseconds),
                dollars_x86_64: dollars(PRICE_X86),
                dollars_arm64: dollars(PRICE_ARM),
            });
        }
    }
    // An attacker pays in time too, so the slower one within the target is stronger.
    let strongest = measured
        .iter()
        .filter(|hash| hash.milliseconds <= target_ms)
        .max_by(|a, b| a.milliseconds.total_cmp(&b.milliseconds));
    let recommended = strongest.map(|hash| {
        let parameters = hash.hash.trim_start_matches("argon2id,").trim_end_matches(",p=1");
        parameters.to_owned()
    });
    Report {
        machine: format!("{} {}", std::env::consts::OS, std::env::consts::ARCH),
        measured,
        imported,
        extrapolated,
        recommended,
        recommended_memory_mb: WHOLE_PROCESSOR_MB,
    }
}

fn print(output: &mut Output<'_>, report: &Report, args: &Args) -> std::io::Result<()> {
    output.line(&format!(
        "Measured on this machine ({}), one hash at a time, fastest of {TIMES}:",
        report.machine
    ))?;
    let row = |hash: &Measured| {
        [hash.hash.clone(), format!("{} KiB", hash.memory_kib), format!("{:.1} ms", hash.milliseconds)]
    };
    let rows: Vec<_> = report.measured.iter().chain(&report.imported).map(row).collect();
    output.table(["HASH", "MEMORY", "TIME"], &rows)?;
    output.line("")?;
    output.line(&format!(
        "Extrapolated to Lambda by the processor share (a whole processor at {WHOLE_PROCESSOR_MB} MB). A login takes {BESIDE_MS} ms beside its hash{}. Prices are US dollars per million logins at list prices (us-east-1, November 2026, no free tier). A processor of Lambda may be slower than this one, and arm64 was {}measured.",
        if report.imported.is_empty() { "" } else { " and the imported kinds" },
        if cfg!(target_arch = "aarch64") { "" } else { "not " },
    ))?;
    let rows: Vec<_> = report
        .extrapolated
        .iter()
        .map(|login| {
            [
                login.hash.clone(),
                format!("{} MB", login.memory_mb),
                format!("{:.0} ms", login.milliseconds),
                format!("{:.2}", login.dollars_x86_64),
                format!("{:.2}", login.dollars_arm64),
            ]
        })
        .collect();
    output.table(["HASH", "FUNCTION", "LOGIN", "X86-64", "ARM64"], &rows)?;
    output.line("")?;
    output.line(&match &report.recommended {
        Some(parameters) => format!(
            "Recommended: {ARGON2}={parameters} (template parameter Argon2) in a function of {} MB: the strongest within {} ms. Less memory makes logins slower and hardly cheaper; more memory costs more and is not faster.",
            report.recommended_memory_mb, args.target_ms
        ),
        None => format!(
            "No parameters that OWASP and ASVS recommend stay within {} ms here: raise --target-ms.",
            args.target_ms
        ),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use daypass_passwords::Passwords;

    fn measured(memory_kib: u64, milliseconds: f64) -> Measured {
        Measured { hash: format!("argon2id,m={memory_kib},t=2,p=1"), memory_kib, milliseconds }
    }

    #[test]
    fn lambda_gives_a_share_of_a_processor_and_bills_memory_by_time() {
        let report = conclude(vec![measured(19_456, 30.0), measured(65_536, 120.0)], vec![], 100.0);
        let login = |memory: u32| report.extrapolated.iter().find(|login| login.memory_mb == memory).unwrap();
        assert_eq!(login(1769).milliseconds, 40.0);
        assert_eq!(login(3008).milliseconds, 40.0, "one hash has no use for more than a processor");
        assert_eq!(login(512).milliseconds, 113.7);
        // 1769 MB for 40 ms a million times is 69,101.6 GB-seconds.
        assert_eq!((login(1769).dollars_x86_64, login(1769).dollars_arm64), (1.35, 1.12));
        assert_eq!(report.recommended.as_deref(), Some("m=19456,t=2"));
    }

    #[test]
    fn imported_kinds_add_their_time_and_large_hashes_need_large_functions() {
        let report = conclude(vec![measured(1024 * 1024, 30.0)], vec![measured(4, 50.0)], 10.0);
        let sizes: Vec<u32> = report.extrapolated.iter().map(|login| login.memory_mb).collect();
        assert_eq!(sizes, [1769, 3008]);
        assert_eq!(report.extrapolated.first().unwrap().milliseconds, 90.0);
        assert_eq!(report.recommended, None);
    }

    #[test]
    fn every_candidate_can_be_configured() {
        for (memory, passes) in CANDIDATES {
            let value = format!("m={memory},t={passes}");
            let passwords = Passwords::configured(|name| (name == ARGON2).then(|| value.clone())).unwrap();
            assert_eq!(passwords.params().to_string(), format!("argon2id,{value},p=1"));
        }
    }
}
