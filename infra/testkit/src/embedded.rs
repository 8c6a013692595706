//! DynamoDB in this process: dynoxide (the DynamoDB JSON API over SQLite) on a loopback port, for `cargo dev` and
//! tests. Clients use the same AWS SDK over HTTP as on AWS.

use dynoxide::Database;
use dynoxide::server::serve_with_shutdown;
use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::Path;
use std::thread::JoinHandle;
use std::time::Duration;
use tokio::runtime::{Builder, Runtime};
use tokio::sync::oneshot;

/// Time for running requests after a stop.
const STOP_PATIENCE: Duration = Duration::from_secs(1);

/// A running DynamoDB. Drop stops it.
#[derive(Debug)]
pub struct Embedded {
    address: SocketAddr,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Embedded {
    /// Starts on a free loopback port. The tables are in the file at `path`, which it creates, or in memory without a
    /// path.
    ///
    /// # Errors
    /// The file is not its database, or the system has no port or thread.
    pub fn start(path: Option<&Path>) -> io::Result<Self> {
        Self::start_on(0, path)
    }

    /// Like [`Embedded::start`], on the given loopback port; 0 for any free one.
    ///
    /// # Errors
    /// Those of [`Embedded::start`]; the kind is [`io::ErrorKind::AddrInUse`] if the port is in use.
    pub fn start_on(port: u16, path: Option<&Path>) -> io::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port))?;
        listener.set_nonblocking(true)?;
        let address = listener.local_addr()?;
        let database = open(path)?;
        // Its own runtime, because the server's handlers block on SQLite.
        let runtime = Builder::new_multi_thread()
            .worker_threads(2)
            .thread_name("embedded-dynamodb")
            .enable_all()
            .build()?;
        let (stop, stopped) = oneshot::channel();
        let thread = std::thread::Builder::new()
            .name("embedded-dynamodb".to_owned())
            .spawn(move || serve(runtime, listener, database, stopped))?;
        Ok(Self { address, stop: Some(stop), thread: Some(thread) })
    }

    /// Endpoint URL for an AWS SDK.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }
}

impl Drop for Embedded {
    fn drop(&mut self) {
        if let Some(stop) = self.stop.take() {
            let _ = stop.send(());
        }
        // Waits until the port is free and the file is closed.
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn open(path: Option<&Path>) -> io::Result<Database> {
    let database = match path {
        None => Database::memory(),
        Some(path) => {
            let path = path.to_str().ok_or_else(|| {
                io::Error::new(io::ErrorKind::InvalidInput, "the path of the database file must be UTF-8")
            })?;
            Database::new(path)
        }
    };
    database.map_err(|error| io::Error::other(format!("the database cannot be opened: {error}")))
}

fn serve(runtime: Runtime, listener: TcpListener, database: Database, stopped: oneshot::Receiver<()>) {
    runtime.block_on(async {
        let Ok(listener) = tokio::net::TcpListener::from_std(listener) else { return };
        let (asked, told) = oneshot::channel();
        let shutdown = async {
            // Also completes when the sender is dropped.
            let _ = stopped.await;
            let _ = asked.send(());
        };
        let too_long = async {
            let _ = told.await;
            tokio::time::sleep(STOP_PATIENCE).await;
        };
        tokio::select! {
            _ = serve_with_shutdown(listener, database, shutdown) => {}
            () = too_long => {}
        }
    });
    runtime.shutdown_timeout(STOP_PATIENCE);
}
