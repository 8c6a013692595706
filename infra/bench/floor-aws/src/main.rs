//! Baseline of the functions with an AWS SDK, with the same build profile: `floor-aws REQUESTS AT_ONCE HASHES SIGNATURES SECRET…`.
//!
//! A start reads the secrets at the same time, as a function reads its keys. A request updates AT_ONCE items in `sessions` at the same time
//! under a condition, REQUESTS times one after another, and computes HASHES argon2id hashes with Daypass's parameters and SIGNATURES
//! ES256 signatures.

use argon2::{Algorithm, Argon2, Params, Version};
use aws_config::BehaviorVersion;
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair};
use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::operation::update_item::builders::UpdateItemFluentBuilder;
use aws_sdk_dynamodb::types::AttributeValue;
use futures_util::future::try_join_all;
use lambda_http::{Error, Request, run, service_fn};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    let mut arguments = std::env::args().skip(1);
    let mut number = || arguments.next().and_then(|number| number.parse::<usize>().ok());
    let (Some(requests), Some(at_once), Some(hashes), Some(signatures)) =
        (number(), number(), number(), number())
    else {
        return Err("usage: floor-aws REQUESTS AT_ONCE HASHES SIGNATURES SECRET…".into());
    };
    let key = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING)?;
    let key = &key;
    let config = aws_config::load_defaults(BehaviorVersion::latest()).await;
    let secrets = aws_sdk_secretsmanager::Client::new(&config);
    try_join_all(arguments.map(|arn| secrets.get_secret_value().secret_id(arn).send())).await?;
    let dynamodb = Client::new(&config);
    let dynamodb = &dynamodb;
    run(service_fn(|_: Request| async move {
        for _ in 0..requests {
            try_join_all((0..at_once).map(|item| update(dynamodb, item).send())).await?;
        }
        for _ in 0..signatures {
            key.sign(&SystemRandom::new(), &[b'a'; 500])?;
        }
        for _ in 0..hashes {
            let argon2 = Argon2::new(Algorithm::Argon2id, Version::V0x13, Params::default());
            argon2.hash_password_into(b"a password of a usual length", b"sixteen bytes of", &mut [0; 32])?;
        }
        Ok::<_, Error>("true")
    }))
    .await
}

/// A conditional update with as many values as a rotation.
fn update(dynamodb: &Client, item: usize) -> UpdateItemFluentBuilder {
    let text = |text: &str| AttributeValue::S(text.to_owned());
    let mut update = dynamodb
        .update_item()
        .table_name("sessions")
        .key("user", text("floor"))
        .key("session", text(&item.to_string()))
        .update_expression("SET #0 = :0, #1 = :1, #2 = :2, #3 = :3")
        .condition_expression(
            "attribute_not_exists(#4) OR (#4 <> :4 AND #5 <> :5 AND #6 <> :6 AND #7 <> :7)",
        );
    for number in 0..8 {
        update = update
            .expression_attribute_names(format!("#{number}"), format!("attribute_{number}"))
            .expression_attribute_values(format!(":{number}"), text("a value of a usual length"));
    }
    update
}
