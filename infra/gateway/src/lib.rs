//! A local API Gateway **HTTP API** in front of `cargo lambda watch`.
//!
//! [`template::routes`] reads the routes and the Lambda authorizers from `template.yaml`, the same file that is
//! deployed. [`serve`] then answers HTTP on a listener as API Gateway would: it matches the route, asks the authorizer
//! and obeys its answer, makes a payload 2.0 event of the request, invokes the function, and makes an HTTP response of
//! what the function returned. A [`Guard`] puts the authorizer in front of a service that is not a Lambda function.
//!
//! It is made for development and tests on loopback and imitates what Daypass depends on. What it cannot read in a
//! template is an error, never ignored, so that a local run does not promise what a deployment will not hold.
//!
//! Two things are no part of the template, and are there for pages: a [`Site`] of static files, and the sharing of
//! routes across origins ([`Routes::share`]).

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
pub use site::{Site, serve_site};
