//! The runner of a function behind API Gateway.

use crate::built::Built;
use crate::event::{Invocation, to_core, to_lambda, unreadable};
use daypass_aws::SdkConfig;
use daypass_core::client::Clients;
use daypass_core::http::answer::{Response, refusal, refuse};
use daypass_core::http::cors::{with_cors, with_public_cors};
use daypass_core::http::error::ApiError;
use daypass_core::http::proxy::admit;
use daypass_core::http::request::{KeysOverdue, Request, caller_of};
use daypass_core::ports::event::Event;
use daypass_core::secret::ProxySecrets;
use daypass_runtime::{BoxError, context, environment, start};
use daypass_verifier::config::ConfigError;
use daypass_verifier::ports::context::Caller;
use daypass_verifier::ports::event::Event as VerifierEvent;
use lambda_http::{Adapter, LambdaEvent, Service, service_fn};
use std::convert::Infallible;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

/// Share of the first build in the 5 s of a request: the requests of a revocation take up to 4.2 s.
const BUILD_SHARE: Duration = Duration::from_millis(300);

/// Finds the value of an environment variable.
pub type Environment = fn(&str) -> Option<String>;

/// A function, as far as its configuration `C` determines it.
pub struct Function<C> {
    /// Reads the configuration, once in each process.
    pub config: fn(Environment) -> Result<C, ConfigError>,
    /// The pages that may read responses of the runner itself.
    pub cors: fn(&C) -> Cors,
    /// The secrets of a trusted proxy, if requests must come through one.
    pub proxy: fn(&C) -> Option<ProxySecrets>,
    /// The age from which the result of the build is built again, in parallel to requests; `None` for never.
    pub max_age: fn(&C) -> Option<Duration>,
    /// Whether a failed build may succeed later. The function then answers 503 and builds at each request.
    pub is_temporary: fn(&(dyn std::error::Error + Send + Sync + 'static)) -> bool,
}

impl<C: Clone + Send + Sync + 'static> Function<C> {
    /// Runs the function until Lambda ends the process. `build` makes the flow from the configurations of the function and of
    /// AWS, and from the last flow, whose connections it keeps. `handle` responds to a request.
    ///
    /// A request that waits more than 300 ms for the first build is answered 503, and the next one is served. While renewals
    /// fail, the last flow stays in use, and its requests carry [`KeysOverdue`].
    pub async fn run<T, BF, HF>(
        self,
        build: impl Fn(C, SdkConfig, Option<Arc<T>>) -> BF + Send + Sync + 'static,
        handle: impl Fn(Arc<T>, Request) -> HF + Send + Sync + 'static,
    ) -> ExitCode
    where
        T: Send + Sync + 'static,
        BF: Future<Output = Result<T, BoxError>> + Send + 'static,
        HF: Future<Output = Response> + Send + 'static,
    {
        start(async {
            let config = (self.config)(environment)?;
            let cors = Arc::new((self.cors)(&config));
            let proxy = Arc::new((self.proxy)(&config));
            let max_age = (self.max_age)(&config).unwrap_or(Duration::MAX);
            let aws = daypass_aws::load().await;
            let flow = Built::new(Arc::new(context()), max_age, move |last| {
                build(config.clone(), aws.clone(), last)
            });
            match flow.get().await {
                Ok(_) => {}
                Err(error) if (self.is_temporary)(error.as_ref()) => not_ready(&error, &Caller::default()),
                Err(error) => return Err(error),
            }
            let parts = Arc::new((Arc::clone(&cors), flow, handle));
            serve(cors, proxy, move |mut request| {
                let parts = Arc::clone(&parts);
                async move {
                    let (cors, flow, handle) = parts.as_ref();
                    match flow.get_within(BUILD_SHARE).await {
                        Ok(built) => {
                            if flow.is_overdue() {
                                request.extensions_mut().insert(KeysOverdue);
                            }
                            handle(built, request).await
                        }
                        Err(error) => {
                            not_ready(&error, &caller_of(&request));
                            cors.answer(request, || refusal(&ApiError::TemporarilyUnavailable)).await
                        }
                    }
                }
            })
            .await
        })
        .await
    }
}

fn not_ready(error: &BoxError, caller: &Caller) {
    let event = Event::Failure { during: "start", detail: error.to_string() };
    context().journal.record(&event, caller);
}

/// CORS of the responses that the runner gives itself, and of the preflights to them. It needs no key.
pub enum Cors {
    /// The pages of these clients, and the methods of the function.
    Clients(Clients, &'static str),
    /// Each page, without credentials: the documents of the function are public.
    Public,
    /// No page.
    None,
}

impl Cors {
    /// The pages of these clients; `methods` are those of the function.
    #[must_use]
    pub fn of(clients: &Clients, methods: &'static str) -> Self {
        Self::Clients(clients.clone(), methods)
    }

    async fn answer(&self, request: Request, answer: impl FnOnce() -> Response) -> Response {
        match self {
            Self::Clients(clients, methods) => with_cors(clients, methods, request, async |_| answer()).await,
            Self::Public => with_public_cors(request, async |_| answer()).await,
            Self::None => answer(),
        }
    }
}

/// Serves the events of API Gateway until Lambda ends the process. An unreadable request is answered with an error, and a
/// warm-up event with null.
async fn serve<H, F>(cors: Arc<Cors>, proxy: Arc<Option<ProxySecrets>>, handle: H) -> Result<(), BoxError>
where
    H: Fn(Request) -> F + Send + Sync + 'static,
    F: Future<Output = Response> + Send + 'static,
{
    let handle = Arc::new(handle);
    let service = service_fn(move |event: LambdaEvent<Invocation>| {
        let (handle, cors, proxy) = (Arc::clone(&handle), Arc::clone(&cors), Arc::clone(&proxy));
        async move {
            let LambdaEvent { payload, context: invocation } = event;
            let Invocation::Request(request) = payload else {
                context().journal.record(&VerifierEvent::FunctionWarmed {}, &Caller::default());
                return Ok(None);
            };
            let (event, problem) = unreadable(LambdaEvent::new(*request, invocation));
            let mut adapter = Adapter::from(service_fn(|request: lambda_http::Request| async {
                let mut request = to_core(request);
                // First, and also for preflights: a caller beside the proxy learns nothing else.
                let admitted = admit(proxy.as_ref().as_ref(), &mut request);
                let caller = caller_of(&request);
                let response = match (admitted, problem) {
                    (Ok(()), None) => handle(request).await,
                    (Ok(()), Some(error)) => {
                        cors.answer(request, || refuse(&context(), error, &caller)).await
                    }
                    (Err(error), _) => refuse(&context(), error, &caller),
                };
                Ok::<_, Infallible>(to_lambda(response))
            }));
            adapter.call(event).await.map(Some)
        }
    });
    lambda_http::lambda_runtime::run(service).await
}
