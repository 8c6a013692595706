//! A local API Gateway **HTTP API** in front of `cargo lambda watch`.
//!
//! [`template::routes`] reads routes and Lambda authorizers from the templates that are deployed. [`serve`]
//! answers HTTP requests as API Gateway does: route, authorizer, event of payload 2.0, function, response. A [`Guard`]
//! puts the authorizer in front of a service that is not a Lambda function.
//!
//! It is for development and tests on loopback, and imitates what Daypass depends on. Unsupported parts of a template
//! are errors, so that a local run promises nothing that a deployment lacks.
//!
//! Two additions serve pages: a [`Site`] of static files, and CORS of routes ([`Routes::share`]).

mod answer;
mod authorizer;
mod cors;
mod error;
mod event;
mod gateway;
mod guard;
mod identity;
mod lambda;
mod request;
mod routes;
mod site;
pub mod template;

pub use error::RouteError;
pub use gateway::{Gateway, Limits, serve};
pub use guard::Guard;
pub use identity::{Authorizer, IdentitySource};
pub use routes::{Route, Routes, Target};
pub use site::{Made, Site, serve_site};
