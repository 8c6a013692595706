//! HTTP: requests become the parsed requests of the flows, and outcomes become responses.

pub mod account;
pub mod answer;
pub mod body;
pub mod browser;
pub mod cors;
pub mod discovery;
pub mod dpop;
pub mod error;
pub mod factors;
pub mod feed;
pub mod forms;
mod passkey;
pub mod proxy;
pub mod request;

#[cfg(test)]
mod tests;
