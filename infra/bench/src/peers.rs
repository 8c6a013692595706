//! Authorizers in other languages with common libraries: `infra/bench/peers`.

use crate::function::Function;
use crate::measure::{Figures, alone};
use crate::token::{AUDIENCE, ISSUER, Ticket};
use anyhow::Result;
use daypass_tools::{aws_jwt_verify, node, pyjwt, workspace_root};
use std::ffi::OsString;
use std::path::PathBuf;
use std::sync::Arc;

/// The peers, installed.
///
/// # Errors
/// A peer cannot be installed.
pub(crate) fn install(ticket: &Ticket) -> Result<[(&'static str, Function); 2]> {
    Ok([("Node.js, aws-jwt-verify", node_function(ticket)?), ("Python, PyJWT", python_function(ticket)?)])
}

/// Measures each peer.
///
/// # Errors
/// A peer does not answer as expected.
pub(crate) fn measure(peers: &[(&'static str, Function)]) -> Result<Vec<(&'static str, Figures)>> {
    peers.iter().map(|(name, function)| Ok((*name, alone(function)?))).collect()
}

fn node_function(ticket: &Ticket) -> Result<Function> {
    let program = PathBuf::from(node()?.get_program());
    let modules = aws_jwt_verify()?.join("node_modules");
    Ok(function(program, "node.cjs", vec![("NODE_PATH", modules.into())], ticket))
}

fn python_function(ticket: &Ticket) -> Result<Function> {
    Ok(function(pyjwt()?, "python.py", vec![], ticket))
}

fn function(
    program: PathBuf,
    script: &str,
    mut environment: Vec<(&'static str, OsString)>,
    ticket: &Ticket,
) -> Function {
    environment.extend([
        ("DAYPASS_ISSUER", ISSUER.into()),
        ("DAYPASS_AUDIENCE", AUDIENCE.into()),
        ("DAYPASS_JWKS", ticket.jwks.clone().into()),
        // The `PATH`, for interpreters.
        ("PATH", std::env::var_os("PATH").unwrap_or_default()),
    ]);
    Function {
        program,
        arguments: vec![workspace_root().join("infra/bench/peers").join(script).into()],
        environment,
        exchange: Arc::new(ticket.event.clone()),
        expected: r#""isAuthorized":true"#,
    }
}
