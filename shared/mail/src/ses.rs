//! [`MailSender`] on Amazon SES v2.

use crate::text;
use aws_sdk_sesv2::Client;
use aws_sdk_sesv2::config::Builder;
use aws_sdk_sesv2::config::retry::RetryConfig;
use aws_sdk_sesv2::config::timeout::TimeoutConfig;
use aws_sdk_sesv2::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_sesv2::operation::send_email::SendEmailError;
use aws_sdk_sesv2::types::{
    Body, Content, Destination, EmailContent, Message, MessageHeader, MessageTag, Template,
};
use daypass_aws::SdkConfig;
use daypass_core::ports::mail::{Language, Mail, MailSender, SendError, Sender};
use daypass_core::secret::SecretString;
use hyper_util::client::legacy;
use serde_json::json;
use std::error::Error;
use std::time::Duration;

/// Limit of the connection: a TCP and TLS handshake within a region takes a few milliseconds.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);
/// Limit of a request. SES answers within a second, and the mailer has 30 s for all mails of a batch, which it sends in parallel.
const TIMEOUT: Duration = Duration::from_secs(8);

/// SES as the mailer uses it.
#[derive(Debug, Clone)]
pub struct Ses {
    client: Client,
    from: Option<Sender>,
    templates: Option<String>,
    configuration_set: Option<String>,
}

impl Ses {
    /// SES in the region of the configuration. The SDK repeats no request, because a repeat can be a second mail: the mailer counts
    /// its tries itself.
    #[must_use]
    pub fn new(
        aws: &SdkConfig,
        from: Option<Sender>,
        templates: Option<String>,
        configuration_set: Option<String>,
    ) -> Self {
        let timeouts = TimeoutConfig::builder().connect_timeout(CONNECT_TIMEOUT).operation_timeout(TIMEOUT);
        let config =
            Builder::from(aws).timeout_config(timeouts.build()).retry_config(RetryConfig::disabled());
        Self { client: Client::from_conf(config.build()), from, templates, configuration_set }
    }

    async fn send_once(&self, mail: &Mail, content: EmailContent) -> Result<(), Refusal> {
        let from = self.from.as_ref().ok_or_else(|| Refusal::not_now("mail_from is not set"))?;
        let kind = MessageTag::builder().name("kind").value(mail.kind.as_str()).build();
        let sent = self
            .client
            .send_email()
            .from_email_address(from.header())
            .destination(Destination::builder().to_addresses(mail.to.as_str()).build())
            .content(content)
            .set_configuration_set_name(self.configuration_set.clone())
            .email_tags(kind.map_err(|_| Refusal::not_now("a tag has no name"))?)
            .send()
            .await;
        sent.map(drop).map_err(|error| Refusal::of(&error))
    }

    fn templated(&self, prefix: &str, mail: &Mail, language: &Language) -> EmailContent {
        let data = json!({
            "service": self.service(),
            "link": mail.link.as_ref().map(SecretString::expose).unwrap_or_default(),
            "code": mail.code.as_ref().map(SecretString::expose).unwrap_or_default(),
            "hours": mail.hours,
        });
        let template = Template::builder()
            .template_name(format!("{prefix}-{}-{}", mail.kind.as_str(), language.as_str()))
            .template_data(data.to_string());
        EmailContent::builder().template(template.build()).build()
    }

    fn written(&self, mail: &Mail) -> Result<EmailContent, Refusal> {
        let part = |text: String| {
            let content = Content::builder().data(text).charset("UTF-8").build();
            content.map_err(|_| Refusal::not_now("a text is missing"))
        };
        let rendered = text::render(mail, self.service());
        let body = Body::builder().text(part(rendered.text)?).html(part(rendered.html)?).build();
        // Out-of-office replies leave such a mail alone (RFC 3834 §2).
        let header = MessageHeader::builder().name("Auto-Submitted").value("auto-generated").build();
        let message = Message::builder()
            .subject(part(rendered.subject)?)
            .body(body)
            .headers(header.map_err(|_| Refusal::not_now("a header has no name"))?)
            .build();
        Ok(EmailContent::builder().simple(message).build())
    }

    fn service(&self) -> &str {
        self.from.as_ref().map_or("", Sender::name)
    }
}

impl MailSender for Ses {
    /// With templates, a language without a template gets the English one.
    async fn send(&self, mail: &Mail) -> Result<(), SendError> {
        let Some(prefix) = &self.templates else {
            let content = self.written(mail).map_err(|refusal| refusal.error)?;
            return self.send_once(mail, content).await.map_err(|refusal| refusal.error);
        };
        let english = Language::default();
        let sent = self.send_once(mail, self.templated(prefix, mail, &mail.language)).await;
        match sent {
            Err(refusal) if refusal.nothing_found && mail.language != english => {
                let content = self.templated(prefix, mail, &english);
                self.send_once(mail, content).await.map_err(|refusal| refusal.error)
            }
            sent => sent.map_err(|refusal| refusal.error),
        }
    }
}

/// A mail that SES did not accept.
struct Refusal {
    error: SendError,
    /// Whether SES has no such template or configuration set.
    nothing_found: bool,
}

impl Refusal {
    fn not_now(text: &str) -> Self {
        Self { error: SendError::NotNow(format!("SendEmail: {text}")), nothing_found: false }
    }

    /// An error of SES means that it did not take the mail. Unknown is the outcome of a request without its answer: none came, or
    /// a proxy gave one. The text of SES is left out: it can quote an address.
    fn of(error: &SdkError<SendEmailError>) -> Self {
        let SdkError::ServiceError(refusal) = error else {
            let error = match unsent(error) {
                Some(cause) => SendError::NotNow(format!("SendEmail: {cause}")),
                None => SendError::Unknown("SendEmail: no answer".to_owned()),
            };
            return Self { error, nothing_found: false };
        };
        let status = refusal.raw().status().as_u16();
        let code = refusal.err().code();
        let text = format!("SendEmail: {} (HTTP {status})", code.unwrap_or("no error code"));
        let error = match refusal.err() {
            SendEmailError::MessageRejected(_) | SendEmailError::BadRequestException(_) => {
                SendError::Rejected(text)
            }
            _ if status >= 500 && code.is_none() => SendError::Unknown(text),
            _ => SendError::NotNow(text),
        };
        Self { error, nothing_found: matches!(refusal.err(), SendEmailError::NotFoundException(_)) }
    }
}

/// Why no byte of a request was sent; `None` if some could have been.
fn unsent(error: &SdkError<SendEmailError>) -> Option<&'static str> {
    match error {
        SdkError::ConstructionFailure(_) => Some("not built"),
        SdkError::DispatchFailure(_) => {
            let mut causes = std::iter::successors(error.source(), |&cause| cause.source());
            match causes.find_map(|cause| cause.downcast_ref::<legacy::Error>()) {
                Some(http) => http.is_connect().then_some("no connection"),
                None => Some("not signed, or no credentials"),
            }
        }
        _ => None,
    }
}
