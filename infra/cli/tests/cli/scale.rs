//! Imports of many users of mixed kinds by the command: some log in, a second run changes nothing, and a second run
//! finishes a killed one.
//!
//! `DAYPASS_TEST_DYNAMODB` names a DynamoDB Local to use as well. Each store gets 1,000 users. In `cargo verify --full`,
//! DynamoDB Local gets 100,000 and the embedded DynamoDB 10,000, because each of its transactions takes longer the more
//! there were in the last ten minutes. The test prints the figures.

use crate::bench::{Bench, daypass, login, post, wait_for};
use argon2::{Algorithm, Argon2, Params, PasswordHasher, Version};
use aws_lc_rs::{digest, hmac, pbkdf2};
use data_encoding::{BASE64, BASE64_NOPAD, HEXLOWER};
use daypass_core::config::Tables;
use daypass_dynamodb::{DynamoDb, UserFilter};
use daypass_passwords::{Passwords, StoredHash};
use daypass_runtime::{OsEntropy, SystemClock};
use daypass_testkit::depth::amount;
use serde_json::{Value, json};
use std::fmt::Write as _;
use std::num::NonZeroU32;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

#[expect(clippy::disallowed_methods, reason = "where this run takes place")]
fn dynamodb_local() -> Option<String> {
    std::env::var("DAYPASS_TEST_DYNAMODB").ok()
}

/// One user of a hundred logs in, and one of ten of a small number.
fn logins(users: usize) -> usize {
    (users / 100).max(users.min(400) / 10)
}

/// Password and imported hash of a user, with the cheapest parameters of its kind.
fn user(number: usize) -> (String, String) {
    if number % 8 == 7 {
        // phpass, test.php.
        return ("test12345".to_owned(), "$P$9IQRaTwmfeRo7ud9Fh4E2PdI0S3r.L0".to_owned());
    }
    let password = format!("the password of user {number}");
    let salt = *digest::digest(&digest::SHA256, password.as_bytes()).as_ref().first_chunk::<16>().unwrap();
    let argon2 = |algorithm| {
        let params = Params::new(Params::MIN_M_COST, 1, 1, Some(32)).unwrap();
        let argon2 = Argon2::new(algorithm, Version::V0x13, params);
        argon2.hash_password_with_salt(password.as_bytes(), &salt).unwrap().to_string()
    };
    let bcrypt = |input: &[u8]| bcrypt::hash_with_salt(input, 4, salt).unwrap().to_string();
    let hash = match number % 8 {
        0 => argon2(Algorithm::Argon2id),
        1 => format!("argon2{}", argon2(Algorithm::Argon2i)),
        2 => bcrypt(password.as_bytes()),
        3 => {
            let digest = digest::digest(&digest::SHA256, password.as_bytes());
            format!("bcrypt_sha256${}", bcrypt(HEXLOWER.encode(digest.as_ref()).as_bytes()))
        }
        4 => {
            let key = hmac::Key::new(hmac::HMAC_SHA384, b"wp-sha384");
            format!("$wp{}", bcrypt(BASE64.encode(hmac::sign(&key, password.as_bytes()).as_ref()).as_bytes()))
        }
        5 => {
            let mut output = [0; 32];
            let params = scrypt::Params::new(4, 8, 1).unwrap();
            scrypt::scrypt(password.as_bytes(), &salt, &params, &mut output).unwrap();
            format!("$scrypt$ln=4,r=8,p=1${}${}", BASE64_NOPAD.encode(&salt), BASE64_NOPAD.encode(&output))
        }
        _ => {
            let mut output = [0; 32];
            let iterations = NonZeroU32::new(100).unwrap();
            let salt = HEXLOWER.encode(&salt);
            pbkdf2::derive(
                pbkdf2::PBKDF2_HMAC_SHA256,
                iterations,
                salt.as_bytes(),
                password.as_bytes(),
                &mut output,
            );
            format!("pbkdf2_sha256$100${salt}${}", BASE64.encode(&output))
        }
    };
    (password, hash)
}

fn name(number: usize) -> String {
    format!("user.{number}@example.com")
}

/// Parallel requests of the import that is killed.
const UNDER_WAY: usize = 8;

/// Time between two counts of the users, each a scan of all of them.
const BETWEEN_COUNTS: Duration = Duration::from_millis(50);

/// A DynamoDB with tables, a key set, and a file of users.
struct Scene {
    url: String,
    tables: Tables,
    store: DynamoDb,
    keys: PathBuf,
    folder: PathBuf,
    users: usize,
}

impl Scene {
    fn on(url: &str, bench: &Bench, users: usize) -> Self {
        let mark = format!("{:x}", std::process::id());
        let table = |role: &str| format!("moving-{role}-{mark}");
        let tables =
            Tables { users: table("users"), sessions: table("sessions"), attempts: table("attempts") };
        let store = DynamoDb::local(url, (&tables).into());
        wait_for(store.create_tables()).unwrap();
        let (keys, folder) = (bench.keys.clone(), bench.folder.path().to_owned());
        Self { url: url.to_owned(), tables, store, keys, folder, users }
    }

    fn command(&self, args: &[&str]) -> Command {
        let mut command = daypass(&self.folder, args).env("DAYPASS_KEYS", &self.keys).command;
        command.args(["--json", "--endpoint", &self.url, "--users-table", &self.tables.users]);
        command.args(["--sessions-table", &self.tables.sessions, "--attempts-table", &self.tables.attempts]);
        command
    }

    fn import(&self, file: &Path) -> Value {
        let output = self.command(&["user", "import", file.to_str().unwrap()]).output().unwrap();
        assert!(output.status.success(), "{output:?}");
        serde_json::from_slice(&output.stdout).unwrap()
    }

    /// Number of users in the table.
    fn stored(&self) -> usize {
        wait_for(async {
            let (mut stored, mut after) = (0, None);
            loop {
                let page = self.store.scan_users(0, 1, &UserFilter::default(), after.as_ref()).await.unwrap();
                stored += page.users.len();
                after = page.next;
                if after.is_none() {
                    return stored;
                }
            }
        })
    }

    /// Kills an import while it runs, and returns the number of its users.
    fn kill_half_way(&self, file: &Path) -> usize {
        let under_way = UNDER_WAY.to_string();
        let mut import =
            self.command(&["user", "import", file.to_str().unwrap(), "--concurrency", &under_way]);
        let mut child = import.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        while self.stored() < self.users / 10 {
            assert_eq!(child.try_wait().unwrap(), None, "the import is over before it was killed");
            thread::sleep(BETWEEN_COUNTS);
        }
        // SIGKILL, so there is no output.
        child.kill().unwrap();
        child.wait().unwrap();
        self.stored()
    }

    /// Logs in random users by the function's handler. Each gets a Daypass hash.
    fn log_in(&self) -> Vec<usize> {
        let login = login(&self.store, &self.keys, &self.tables, Box::new(SystemClock));
        let mut drawn = std::collections::BTreeSet::new();
        while drawn.len() < logins(self.users) {
            let mut bytes = [0; 8];
            daypass_verifier::base::entropy::Entropy::fill(&OsEntropy, &mut bytes);
            drawn.insert(usize::from_be_bytes(bytes) % self.users);
        }
        wait_for(async {
            for number in &drawn {
                let (password, _) = user(*number);
                let send = async |password: &str| {
                    let body = json!({ "username": name(*number), "password": password });
                    post(&login, "/login", &body).await.0
                };
                assert_eq!(send(&password).await, 200, "user {number}");
                let username = Passwords::standard().username(&name(*number)).unwrap();
                let stored = self.store.user(&username).await.unwrap().unwrap();
                assert_eq!(
                    StoredHash::parse(&stored.password_hash).unwrap().kind(),
                    Passwords::standard().params().into()
                );
                // Another password fails with the new hash, and for a few users with the old one.
                if number % 50 == 0 {
                    assert_eq!(send(&password).await, 200, "user {number}, again");
                    assert_eq!(send("another password").await, 401, "user {number}");
                }
            }
        });
        drawn.into_iter().collect()
    }

    /// Writes the users into a file, and returns its path.
    fn write_users(&self) -> PathBuf {
        let file = self.folder.join("many.jsonl");
        let mut lines = String::new();
        for number in 0..self.users {
            let (_, hash) = user(number);
            writeln!(lines, "{}", json!({ "username": name(number), "password_hash": hash })).unwrap();
        }
        std::fs::write(&file, lines).unwrap();
        file
    }

    #[expect(clippy::print_stdout, reason = "the figures of a run are what it is for")]
    fn play(&self, place: &str) {
        let file = &self.write_users();
        let left = self.kill_half_way(file);
        assert!(left < self.users, "{left} users were in when it was killed");
        let finished = self.import(file);
        assert_eq!(finished["users"], self.users);
        assert_eq!(
            finished["changed"].as_u64().unwrap() + finished["unchanged"].as_u64().unwrap(),
            self.users as u64
        );
        // Requests of the killed run may land after the count.
        let met = usize::try_from(finished["unchanged"].as_u64().unwrap()).unwrap();
        assert!((left..=left + UNDER_WAY).contains(&met), "{left} were in, and {met} were met");
        assert_eq!(self.stored(), self.users);
        let started = Instant::now();
        let moved = self.log_in();
        let took = started.elapsed();
        let before = self.snapshot(&moved);
        let again = self.import(file);
        assert_eq!((&again["changed"], &again["unchanged"]), (&json!(0), &json!(self.users)));
        assert_eq!(self.snapshot(&moved), before, "who has moved is not set back");
        let rate =
            |summary: &Value| format!("{:.0} users a second", summary["users_per_second"].as_f64().unwrap());
        println!(
            "{place}: {} users of {} kinds of hashes; killed with {left} in, finished at {}, again at {} with nothing changed; {} logged in, in {:.1} s",
            self.users,
            again["kinds"].as_object().unwrap().len(),
            rate(&finished),
            rate(&again),
            moved.len(),
            took.as_secs_f64(),
        );
    }

    /// Hashes of the users that logged in.
    fn snapshot(&self, moved: &[usize]) -> Vec<String> {
        wait_for(async {
            let mut hashes = Vec::new();
            for number in moved {
                let username = Passwords::standard().username(&name(*number)).unwrap();
                hashes.push(self.store.user(&username).await.unwrap().unwrap().password_hash);
            }
            hashes
        })
    }
}

/// invariant: A second import changes nothing, and finishes one that was killed.
#[test]
fn many_move_in_and_a_run_that_was_killed_is_finished() {
    let bench = Bench::new();
    let users = amount("users in the embedded DynamoDB", 1_000, 10_000);
    Scene::on(&bench.url(), &bench, users).play("embedded");
    if let Some(url) = dynamodb_local() {
        let users = amount("users in DynamoDB Local", 1_000, 100_000);
        Scene::on(&url, &bench, users).play("DynamoDB Local");
    }
}
