//! A server as a child process, which stops with its children however this process ends.

use std::collections::VecDeque;
use std::hash::{BuildHasher, RandomState};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::ops::Range;
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

/// Starts the server, and a watcher that stops the process group when our end of its pipe closes. The pipe closes when
/// [`Server`] is dropped, and also when this process is killed.
///
/// The watcher first sends TERM, which it ignores itself, because a server can have started other process groups. After
/// `$1` tenths of a second it kills the rest. `$$` stays the process id of the server after `exec`. Both outputs share
/// one pipe, so that their lines keep their order.
const SCRIPT: &str = r#"
exec 3<&0
tries=$1
shift
{
    trap '' TERM INT
    read -r _ <&3
    kill -s TERM 0
    while [ "$tries" -gt 0 ] && kill -s 0 $$; do sleep 0.1; tries=$((tries - 1)); done
    kill -s KILL 0
} >/dev/null 2>&1 &
exec "$@" 3<&- </dev/null 2>&1
"#;

/// Lines of output that are kept for an error.
const KEPT_LINES: usize = 40;

/// Time for a server to end after TERM, in tenths of a second.
const STOP_TENTHS: u32 = 50;

/// Pause between two checks of readiness.
const PAUSE: Duration = Duration::from_millis(50);

/// A running server. Drop stops it and all processes of its group, and waits for their end.
#[derive(Debug)]
pub struct Server {
    child: Child,
    output: Arc<Mutex<VecDeque<String>>>,
    reader: Option<JoinHandle<()>>,
}

impl Server {
    /// Starts `command` in its own process group, and waits until `ready` returns true.
    ///
    /// Its standard input is empty, and its output is kept for errors. `name` is its name in errors.
    ///
    /// # Errors
    /// It cannot start, ends before it is ready (with its last lines), or is not ready within `deadline`.
    pub fn start(
        name: &str,
        command: &Command,
        deadline: Duration,
        ready: impl Fn() -> bool,
    ) -> Result<Self> {
        Self::start_watched(name, command, deadline, ready, |_| {})
    }

    /// Like [`Server::start`], and calls `on_line` with each line of output, from another thread.
    ///
    /// # Errors
    /// As [`Server::start`].
    pub fn start_watched(
        name: &str,
        command: &Command,
        deadline: Duration,
        ready: impl Fn() -> bool,
        on_line: impl Fn(&str) + Send + 'static,
    ) -> Result<Self> {
        let mut server = Self::spawn(name, command, STOP_TENTHS, on_line)?;
        let started = Instant::now();
        while !ready() {
            if let Some(status) = server.child.try_wait()? {
                bail!("{name} ended with {status} before it was ready{}", server.finish());
            }
            if started.elapsed() > deadline {
                let seconds = deadline.as_secs();
                bail!("{name} was not ready within {seconds} seconds{}", server.finish());
            }
            thread::sleep(PAUSE);
        }
        // Another process can answer at this port after the server has ended.
        if let Some(status) = server.child.try_wait()? {
            bail!("{name} ended with {status} before it was ready{}", server.finish());
        }
        Ok(server)
    }

    fn spawn(
        name: &str,
        command: &Command,
        stop_tenths: u32,
        on_line: impl Fn(&str) + Send + 'static,
    ) -> Result<Self> {
        let mut wrapper = Command::new("sh");
        wrapper.args(["-c", SCRIPT, "sh", &stop_tenths.to_string()]);
        wrapper.arg(command.get_program()).args(command.get_args());
        for (variable, value) in command.get_envs() {
            match value {
                Some(value) => wrapper.env(variable, value),
                None => wrapper.env_remove(variable),
            };
        }
        if let Some(folder) = command.get_current_dir() {
            wrapper.current_dir(folder);
        }
        let mut child = wrapper
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .process_group(0)
            .spawn()
            .with_context(|| format!("could not start {name}"))?;

        let output = Arc::new(Mutex::new(VecDeque::new()));
        let reader = child.stdout.take().map(|stdout| keep_lines(stdout, Arc::clone(&output), on_line));
        Ok(Self { child, output, reader })
    }

    /// Process id of the server, which is also the id of its process group.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Whether the server still runs.
    #[must_use]
    pub fn is_running(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(None))
    }

    /// Last lines of the output, of both streams in their order.
    #[must_use]
    pub fn last_lines(&self) -> String {
        let lines = self.output.lock().unwrap_or_else(PoisonError::into_inner);
        lines.iter().map(String::as_str).collect::<Vec<_>>().join("\n")
    }

    /// Stops the server, and returns its output for an error.
    fn finish(&mut self) -> String {
        self.stop();
        let lines = self.last_lines();
        if lines.is_empty() {
            "; it printed nothing".to_owned()
        } else {
            format!("; its last lines:\n{lines}")
        }
    }

    /// Stops the server and all processes of its group, and waits for their end.
    pub fn stop(&mut self) {
        // Closing the pipe is the signal for the watcher.
        drop(self.child.stdin.take());
        // On an error, the child has already been waited for.
        let _ = self.child.wait();
        if let Some(reader) = self.reader.take() {
            // A panicked reader has no more output.
            let _ = reader.join();
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop();
    }
}

fn keep_lines(
    from: impl Read + Send + 'static,
    kept: Arc<Mutex<VecDeque<String>>>,
    on_line: impl Fn(&str) + Send + 'static,
) -> JoinHandle<()> {
    thread::spawn(move || {
        let mut from = BufReader::new(from);
        let mut line = Vec::new();
        // Bytes, because an error on a line that is not UTF-8 would end the reading and block the server.
        while matches!(from.read_until(b'\n', &mut line), Ok(read) if read > 0) {
            let text = String::from_utf8_lossy(&line).trim_end().to_owned();
            on_line(&text);
            let mut kept = kept.lock().unwrap_or_else(PoisonError::into_inner);
            if kept.len() == KEPT_LINES {
                kept.pop_front();
            }
            kept.push_back(text);
            line.clear();
        }
    })
}

/// The ports of [`free_port`]. By default, a system chooses higher ports for connections and for servers that ask for port 0
/// (Linux from 32768, macOS and Windows from 49152), so none of those takes a port before its server listens. Browsers
/// block 10080, and none above.
const PORTS: Range<u16> = 10_081..32_768;

/// An address of 127.0.0.1 without a listener at this moment.
///
/// # Errors
/// None of 100 random ports is free.
pub fn free_port() -> Result<SocketAddr> {
    let random = || {
        let number = RandomState::new().hash_one(()) % u64::from(PORTS.end - PORTS.start);
        PORTS.start + u16::try_from(number).unwrap_or_default()
    };
    let bind = || TcpListener::bind((Ipv4Addr::LOCALHOST, random()))?.local_addr();
    let free = (1..100).fold(bind(), |free, _| free.or_else(|_| bind()));
    free.context("could not find a free port")
}

/// Whether an HTTP server at `address` answers `GET path` within a second, with any status.
///
/// It reads only the beginning of the response.
#[must_use]
pub fn answers_http(address: SocketAddr, path: &str) -> bool {
    let second = Duration::from_secs(1);
    let first_bytes = || -> std::io::Result<[u8; 5]> {
        let mut stream = TcpStream::connect_timeout(&address, second)?;
        stream.set_read_timeout(Some(second))?;
        stream.set_write_timeout(Some(second))?;
        write!(stream, "GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n")?;
        let mut bytes = [0; 5];
        stream.read_exact(&mut bytes)?;
        Ok(bytes)
    };
    first_bytes().is_ok_and(|bytes| &bytes == b"HTTP/")
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::{Path, PathBuf};

    use super::*;

    const SOON: Duration = Duration::from_secs(10);

    fn shell(script: &str) -> Command {
        let mut command = Command::new("sh");
        command.args(["-c", script]);
        command
    }

    fn scratch(test: &str) -> PathBuf {
        let folder = crate::target_dir().join("tmp").join(format!("server-{test}-{}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        folder
    }

    fn is_alive(pid: &str) -> bool {
        // A zombie still answers `kill -0`, so its state decides.
        let state = Command::new("ps").args(["-o", "stat=", "-p", pid]).output().unwrap();
        let state = String::from_utf8(state.stdout).unwrap();
        !state.trim().is_empty() && !state.trim().starts_with('Z')
    }

    fn gone_soon(pid: &str) -> bool {
        let started = Instant::now();
        while is_alive(pid) && started.elapsed() < SOON {
            thread::sleep(PAUSE);
        }
        !is_alive(pid)
    }

    fn pid_in(file: &Path) -> String {
        fs::read_to_string(file).unwrap().trim().to_owned()
    }

    #[test]
    fn dropping_it_stops_the_server_and_what_it_started() {
        let folder = scratch("drop");
        let grandchild = folder.join("grandchild");
        let script = format!(
            "sleep 600 & echo $! > '{}'; touch '{}/ready'; wait",
            grandchild.display(),
            folder.display()
        );
        let server = Server::start("demo", &shell(&script), SOON, || folder.join("ready").exists()).unwrap();
        let (pid, grandchild) = (server.id().to_string(), pid_in(&grandchild));
        assert!(is_alive(&pid) && is_alive(&grandchild));
        drop(server);
        assert!(!is_alive(&pid));
        assert!(gone_soon(&grandchild));
        fs::remove_dir_all(folder).unwrap();
    }

    #[test]
    fn a_server_that_ignores_the_polite_signal_is_stopped_too() {
        let folder = scratch("deaf");
        let script = format!("trap '' TERM; touch '{}/ready'; while :; do sleep 1; done", folder.display());
        let server = Server::spawn("demo", &shell(&script), 3, |_| {}).unwrap();
        while !folder.join("ready").exists() {
            thread::sleep(PAUSE);
        }
        let pid = server.id().to_string();
        drop(server);
        assert!(!is_alive(&pid));
        fs::remove_dir_all(folder).unwrap();
    }

    #[test]
    fn an_early_end_is_an_error_with_the_last_lines() {
        let script = "for i in $(seq 100); do echo line $i; done; echo port taken >&2; exit 7";
        let error = Server::start("demo", &shell(script), SOON, || false).unwrap_err().to_string();
        assert!(
            error.starts_with("demo ended with exit status: 7 before it was ready; its last lines:\n"),
            "{error}"
        );
        assert!(
            error.contains("port taken") && error.contains("line 99") && !error.contains("line 20\n"),
            "{error}"
        );
    }

    #[test]
    fn a_server_that_is_never_ready_is_an_error_and_stopped() {
        let error = Server::start("demo", &shell("exec sleep 600"), Duration::from_millis(200), || false)
            .unwrap_err()
            .to_string();
        assert_eq!(error, "demo was not ready within 0 seconds; it printed nothing");
    }

    #[test]
    fn a_missing_program_is_an_early_end() {
        let error =
            Server::start("demo", &Command::new("daypass-no-such-program"), SOON, || false).unwrap_err();
        assert!(error.to_string().contains("daypass-no-such-program"), "{error}");
    }

    #[test]
    fn environment_folder_and_output_are_the_commands_own() {
        let folder = scratch("settings");
        let (lines, received) = std::sync::mpsc::channel();
        let mut command = shell("echo $DEMO $(pwd); exec sleep 600");
        command.env("DEMO", "value").current_dir(&folder);
        let on_line = move |line: &str| lines.send(line.to_owned()).unwrap();
        let server = Server::start_watched("demo", &command, SOON, || true, on_line).unwrap();
        let line = received.recv_timeout(SOON).unwrap();
        assert!(
            line.starts_with("value /") && line.ends_with(folder.file_name().unwrap().to_str().unwrap()),
            "{line}"
        );
        drop(server);
        fs::remove_dir_all(folder).unwrap();
    }

    #[test]
    fn a_killed_owner_takes_its_server_along() {
        const PID_FILE: &str = "DAYPASS_TEST_PID_FILE";
        if let Some(file) = std::env::var_os(PID_FILE) {
            // The owner process of the test below: this program, which waits to be killed.
            let server = Server::start("demo", &shell("exec sleep 600"), SOON, || true).unwrap();
            fs::write(file, server.id().to_string()).unwrap();
            thread::sleep(SOON * 6);
            return;
        }
        let folder = scratch("orphan");
        let file = folder.join("pid");
        let mut owner = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "server::tests::a_killed_owner_takes_its_server_along"])
            .env(PID_FILE, &file)
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        let started = Instant::now();
        while fs::read_to_string(&file).map_or(true, |pid| pid.is_empty()) && started.elapsed() < SOON {
            thread::sleep(PAUSE);
        }
        let pid = pid_in(&file);
        assert!(is_alive(&pid));
        owner.kill().unwrap();
        owner.wait().unwrap();
        assert!(gone_soon(&pid));
        fs::remove_dir_all(folder).unwrap();
    }

    #[test]
    fn readiness_is_any_http_answer_and_nothing_else() {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let address = listener.local_addr().unwrap();
        thread::spawn(move || {
            for answer in ["HTTP/1.1 404 Not Found\r\n\r\n", "SSH-2.0-demo\r\n"] {
                let (mut stream, _) = listener.accept().unwrap();
                // Read all of it: a close with unread bytes would send a reset, which can overtake the response.
                let mut request = Vec::new();
                while !request.ends_with(b"\r\n\r\n") {
                    let mut byte = [0];
                    stream.read_exact(&mut byte).unwrap();
                    request.extend(byte);
                }
                stream.write_all(answer.as_bytes()).unwrap();
            }
        });
        assert!(answers_http(address, "/"));
        assert!(!answers_http(address, "/"));
        assert!(!answers_http(free_port().unwrap(), "/"));
    }

    #[test]
    fn a_free_port_is_in_the_range() {
        let address = free_port().unwrap();
        assert!(PORTS.contains(&address.port()), "{address}");
        TcpListener::bind(address).unwrap();
    }
}
