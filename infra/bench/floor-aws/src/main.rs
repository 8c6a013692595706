//! Baseline of the functions with an AWS SDK, with the same build profile: `floor-aws REQUESTS HASHES SECRET…`.
//!
//! A start reads the secrets at the same time, as a function reads its keys. A request updates an item in `sessions` REQUESTS
//! times, one after another, and computes HASHES argon2id hashes with Daypass's parameters.

use argon2::{Algorithm, Argon2, Params, Version};
use aws_config::BehaviorVersion;
use aws_sdk_dynamodb::types::AttributeValue;
use futures_util::future::try_join_all;
use lambda_runtime::{Error, LambdaEvent, run, service_fn};
use serde::de::IgnoredAny;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    let mut arguments = std::env::args().skip(1);
    let mut number = || arguments.next().and_then(|number| number.parse::<usize>().ok());
    let (Some(requests), Some(hashes)) = (number(), number()) else {
        return Err("usage: floor-aws REQUESTS HASHES SECRET…".into());
    };
    let config = aws_config::load_defaults(BehaviorVersion::latest()).await;
    let secrets = aws_sdk_secretsmanager::Client::new(&config);
    try_join_all(arguments.map(|arn| secrets.get_secret_value().secret_id(arn).send())).await?;
    let dynamodb = aws_sdk_dynamodb::Client::new(&config);
    let dynamodb = &dynamodb;
    run(service_fn(|_: LambdaEvent<IgnoredAny>| async move {
        for _ in 0..requests {
            let key = |name: &str| AttributeValue::S(name.to_owned());
            dynamodb
                .update_item()
                .table_name("sessions")
                .key("user", key("floor"))
                .key("session", key("floor"))
                .update_expression("SET generation = :generation")
                .expression_attribute_values(":generation", AttributeValue::N("1".to_owned()))
                .send()
                .await?;
        }
        for _ in 0..hashes {
            let argon2 = Argon2::new(Algorithm::Argon2id, Version::V0x13, Params::default());
            argon2.hash_password_into(b"a password of a usual length", b"sixteen bytes of", &mut [0; 32])?;
        }
        Ok::<_, Error>(true)
    }))
    .await
}
