//! HTTP: requests are read into what the flows take, and what the flows return is written as answers.

pub mod answer;
pub mod browser;
pub mod cors;
pub mod discovery;
pub mod feed;
pub mod forms;
pub mod request;

#[cfg(test)]
mod tests;
