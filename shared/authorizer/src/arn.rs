//! The ARN of the called method: `arn:PARTITION:execute-api:REGION:ACCOUNT:API/STAGE/METHOD/PATH`, and
//! `…:API/STAGE/$connect` for a WebSocket API.

use daypass_verifier::routes::Target;

/// Most characters of a resource in a policy.
/// <https://docs.aws.amazon.com/apigateway/latest/developerguide/api-gateway-lambda-authorizer-output.html>
pub(crate) const MAX_RESOURCE: usize = 512;

/// The method that a request calls.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MethodArn<'a> {
    /// API and stage, `arn:…:API/STAGE`. Resources of a policy begin with it.
    pub stage: &'a str,
    /// Id of the API.
    pub api: &'a str,
    /// Method and path, or `$connect`.
    pub target: Target<'a>,
}

impl<'a> MethodArn<'a> {
    /// Parses an ARN. `None` for another form, and for one with a wildcard before the method: it would widen the policy
    /// that is made from it.
    #[must_use]
    pub fn parse(arn: &'a str) -> Option<Self> {
        let mut parts = arn.splitn(6, ':');
        let (prefix, _partition, service) = (parts.next()?, parts.next()?, parts.next()?);
        let (_region, _account, called) = (parts.next()?, parts.next()?, parts.next()?);
        let mut names = called.splitn(3, '/');
        let (api, stage, rest) = (names.next()?, names.next()?, names.next()?);
        let end = arn.len() - rest.len() - 1;
        let stage_arn = arn.get(..end)?;
        let is_ours = prefix == "arn" && service == "execute-api" && !api.is_empty() && !stage.is_empty();
        if !is_ours || stage_arn.contains(['*', '?']) {
            return None;
        }
        let target = if rest == "$connect" {
            Target::Connect
        } else {
            // `GET` and `GET/` are both the root.
            let (method, path) = rest.find('/').map_or((rest, "/"), |at| rest.split_at(at));
            Target::Http { method, path }
        };
        Some(Self { stage: stage_arn, api, target })
    }

    /// Whether it is `$connect` of a WebSocket API.
    #[must_use]
    pub fn is_connect(&self) -> bool {
        self.target == Target::Connect
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const STAGE: &str = "arn:aws:execute-api:eu-west-1:123456789012:abc/prod";

    fn check(rest: &str, target: Target<'_>) {
        let arn = format!("{STAGE}/{rest}");
        assert_eq!(MethodArn::parse(&arn), Some(MethodArn { stage: STAGE, api: "abc", target }), "{rest}");
    }

    #[test]
    fn what_is_called() {
        check("GET/orders/7", Target::Http { method: "GET", path: "/orders/7" });
        check("POST/", Target::Http { method: "POST", path: "/" });
        check("GET", Target::Http { method: "GET", path: "/" });
        check("GET//a:b/*?", Target::Http { method: "GET", path: "//a:b/*?" });
        check("$connect", Target::Connect);
        check("GET/$connect", Target::Http { method: "GET", path: "/$connect" });
        let default = "arn:aws-cn:execute-api:cn-north-1:123456789012:abc/$default";
        assert_eq!(MethodArn::parse(&format!("{default}/GET/x")).unwrap().stage, default);
    }

    #[test]
    fn refusals() {
        for bad in [
            "",
            "arn",
            "arn:aws:s3:::bucket/a/b",
            "x:aws:execute-api:eu-west-1:123456789012:abc/prod/GET/",
            "arn:aws:execute-api:eu-west-1:123456789012:abc",
            "arn:aws:execute-api:eu-west-1:123456789012:abc/prod",
            "arn:aws:execute-api:eu-west-1:123456789012:/prod/GET/",
            "arn:aws:execute-api:eu-west-1:123456789012:abc//GET/",
            "arn:aws:execute-api:eu-west-1:123456789012:*/*/GET/",
            "arn:aws:execute-api:*:123456789012:abc/prod/GET/",
            "arn:aws:execute-api:eu-west-1:?:abc/prod/GET/",
        ] {
            assert_eq!(MethodArn::parse(bad), None, "{bad}");
        }
    }
}
