//! The local API Gateway of a stack, on its own thread.

use super::error::StackError;
use super::https::Front;
use daypass_gateway::{Gateway, Guard, RouteError, Routes, Site, serve, serve_site, template};
use daypass_tools::workspace_root;
use std::io::ErrorKind;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::thread::JoinHandle;
use tokio::runtime::Builder;
use tokio::sync::oneshot;

/// Route of the guarded sample function, and its binary.
const SAMPLE_ROUTE: (&str, &str) = ("GET /whoami", "whoami");

/// Binds a port before the build, so that a conflict appears at once. `option` is the option that selects another port.
pub(super) fn listen(port: u16, option: &str) -> Result<(TcpListener, SocketAddr), StackError> {
    let failed = |error: std::io::Error| {
        let what = match error.kind() {
            ErrorKind::AddrInUse => format!("another program uses port {port} of 127.0.0.1"),
            _ => format!("cannot listen on port {port} of 127.0.0.1: {error}"),
        };
        StackError::new(what, format!("choose another port with {option}, or stop that program"))
    };
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).map_err(failed)?;
    listener.set_nonblocking(true).map_err(failed)?;
    let address = listener.local_addr().map_err(failed)?;
    Ok((listener, address))
}

/// Routes of the stack's templates, the guarded sample, and the guarded services. Pages of `origins` can call the sample and
/// the services across origins. The functions of the stack decide this for themselves.
pub(super) fn routes(guards: &[Guard], origins: &[String]) -> Result<Routes, StackError> {
    let read = |path: &str| {
        let path = workspace_root().join(path);
        std::fs::read_to_string(&path).map_err(|error| {
            let what = format!("{} cannot be read: {error}", path.display());
            StackError::new(what, "run it in a complete checkout")
        })
    };
    let wrong = |error: RouteError| {
        let what = format!("the routes of {} cannot be served: {error}", template::API);
        StackError::new(what, "correct the template")
    };
    let mut routes = template::routes(&read("template.yaml")?, &read(template::API)?).map_err(wrong)?;
    let authorizer = routes.sole_authorizer().map_err(wrong)?.to_owned();
    let (route, function) = SAMPLE_ROUTE;
    routes.add_function(route, function, Some(&authorizer)).map_err(wrong)?;
    routes.share(route, origins).map_err(wrong)?;
    for guard in guards {
        let added = routes.add_guard(guard.clone(), &authorizer);
        added
            .and_then(|()| routes.share(&guard.route_key(), origins))
            .map_err(|error| StackError::new(format!("--guard {guard}: {error}"), "choose another prefix"))?;
    }
    Ok(routes)
}

/// A running gateway. Drop stops it.
#[derive(Debug)]
pub(super) struct RunningGateway {
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl RunningGateway {
    /// Starts the gateway, the server of the second origin if there is one, and the TLS servers in front of them.
    pub(super) fn start(
        listener: TcpListener,
        gateway: Gateway,
        second: Option<(TcpListener, Site)>,
        fronts: Vec<Front>,
    ) -> Result<Self, StackError> {
        let failed = |error: std::io::Error| {
            StackError::new(
                format!("the local API Gateway cannot start: {error}"),
                "free some memory or file handles and try again",
            )
        };
        let runtime = Builder::new_multi_thread().worker_threads(2).enable_all().build().map_err(failed)?;
        let (stop, stopped) = oneshot::channel();
        let run = move || {
            runtime.block_on(async {
                let Ok(listener) = tokio::net::TcpListener::from_std(listener) else { return };
                for front in fronts {
                    tokio::spawn(front.serve());
                }
                let shutdown = async {
                    // Also completes when the sender is dropped.
                    let _ = stopped.await;
                };
                // An error ends the thread; `is_running` reports that.
                tokio::select! {
                    _ = serve(listener, gateway, shutdown) => {}
                    () = pages(second) => {}
                }
            });
            runtime.shutdown_background();
        };
        let thread = std::thread::Builder::new().name("gateway".to_owned()).spawn(run).map_err(failed)?;
        Ok(Self { stop: Some(stop), thread: Some(thread) })
    }

    pub(super) fn is_running(&self) -> bool {
        self.thread.as_ref().is_some_and(|thread| !thread.is_finished())
    }
}

impl Drop for RunningGateway {
    fn drop(&mut self) {
        if let Some(stop) = self.stop.take() {
            let _ = stop.send(());
        }
        // Wait until the port is free.
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// Serves the second origin if there is one. Does not return.
async fn pages(second: Option<(TcpListener, Site)>) {
    let Some((listener, site)) = second else { return std::future::pending().await };
    let Ok(listener) = tokio::net::TcpListener::from_std(listener) else { return };
    // Its end ends the gateway; `is_running` reports that.
    let _ = serve_site(listener, site).await;
}

#[cfg(test)]
mod tests {
    use super::super::settings::functions;
    use super::*;
    use daypass_gateway::Target;

    #[test]
    fn every_route_leads_to_a_function_that_is_started() {
        let routes = routes(&["/orders=http://localhost:1".parse().unwrap()], &[]).unwrap();
        assert!(routes.iter().any(|route| route.key() == "GET /whoami" && route.authorizer().is_some()));
        for route in routes.iter() {
            match route.target() {
                Target::Function(function) => assert!(functions().any(|one| one == function), "{function}"),
                Target::Service(guard) => assert_eq!(guard.prefix(), "/orders"),
            }
        }
    }

    #[test]
    fn two_guards_of_one_prefix_are_refused_by_name() {
        let guards = ["/a=http://localhost:1".parse().unwrap(), "/a=http://localhost:2".parse().unwrap()];
        assert!(routes(&guards, &[]).unwrap_err().to_string().starts_with("--guard /a=http://localhost:2"));
    }

    #[test]
    fn a_taken_port_is_named() {
        let (_held, address) = listen(0, "--port").unwrap();
        let error = listen(address.port(), "--page-port").unwrap_err().to_string();
        assert!(error.contains(&address.port().to_string()) && error.contains("--page-port"), "{error}");
    }
}
