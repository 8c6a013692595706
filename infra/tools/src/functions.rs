//! The functions of Daypass. Every other list of them is made from this one, or compared with it by a test.

/// All functions of the stack.
pub const FUNCTIONS: [Function; 13] = [
    Function { package: "daypass-login", binary: "login", trigger: Trigger::Http, budget: WITH_AWS },
    Function { package: "daypass-refresh", binary: "refresh", trigger: Trigger::Http, budget: WITH_AWS },
    Function { package: "daypass-revoke", binary: "revoke", trigger: Trigger::Http, budget: WITH_AWS },
    Function {
        package: "daypass-introspect",
        binary: "introspect",
        trigger: Trigger::Http,
        budget: WITH_AWS,
    },
    Function { package: "daypass-sessions", binary: "sessions", trigger: Trigger::Http, budget: WITH_AWS },
    Function { package: "daypass-password", binary: "password", trigger: Trigger::Http, budget: WITH_AWS },
    Function { package: "daypass-account", binary: "account", trigger: Trigger::Http, budget: WITH_AWS },
    Function { package: "daypass-mailer", binary: "mailer", trigger: Trigger::Outbox, budget: WITH_AWS },
    Function { package: "daypass-admin-function", binary: "admin", trigger: Trigger::Http, budget: WITH_AWS },
    Function {
        package: "daypass-revocations",
        binary: "revocations",
        trigger: Trigger::Http,
        budget: WITH_AWS,
    },
    Function { package: "daypass-discovery", binary: "discovery", trigger: Trigger::Http, budget: WITH_AWS },
    Function {
        package: "daypass-authorizer-function",
        binary: "authorizer",
        trigger: Trigger::Authorizer,
        budget: 2_250_000,
    },
    Function {
        package: "daypass-rotate-keys",
        binary: "rotate-keys",
        trigger: Trigger::SecretsManager,
        budget: WITH_AWS,
    },
];

/// Size budget of a function that links an AWS SDK, in bytes.
const WITH_AWS: u64 = 4_500_000;

/// A function as it is deployed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Function {
    /// The package in the workspace.
    pub package: &'static str,
    /// The binary, which is also the folder below `functions/` and the name in the log.
    pub binary: &'static str,
    /// The service that calls the function.
    pub trigger: Trigger,
    /// The size that its zip archive must stay below, in bytes. A cold start reads the whole archive.
    pub budget: u64,
}

/// The caller of a function.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Trigger {
    /// API Gateway, for routes of the stack's own API.
    Http,
    /// API Gateway, before each request of a guarded API.
    Authorizer,
    /// Secrets Manager, CloudFormation and operators.
    SecretsManager,
    /// The stream of the outbox, and EventBridge with reports of SES.
    Outbox,
}
