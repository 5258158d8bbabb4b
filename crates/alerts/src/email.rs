//! E-mail, by SMTP.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use lettre::message::Mailbox;
use lettre::message::header::ContentType;
use lettre::transport::smtp::authentication::Credentials;
use lettre::transport::smtp::client::{Certificate, Tls as Encryption, TlsParameters};
use lettre::transport::smtp::{AsyncSmtpTransport, Error as SmtpError};
use lettre::{AsyncTransport as _, Tokio1Executor};
use schemars::JsonSchema;
use serde::Deserialize;
use tidegate_model::alert::{Change, Channel, ChannelType, Message};
use tidegate_model::clear_text::is_loopback;
use tidegate_model::settings::schema_of;
use tidegate_model::{ConnectorContext, Error, ErrorKind, Secret, Settings};

/// How long the server may take for one step.
const TIMEOUT: Duration = Duration::from_secs(30);

/// The type `email`.
pub(crate) const TYPE: ChannelType = ChannelType {
    kind: "email",
    title: "E-mail",
    reaches_contacts: true,
    settings: schema_of::<Email>,
    open,
};

/// E-mails by an SMTP server. The contacts of a sync get those about it as well.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Email {
    /// Host name of the SMTP server.
    host: String,
    /// Port. Default: 587, 465 for `tls: implicit`, 25 for `tls: disable`.
    port: Option<u16>,
    /// User name.
    user: Option<String>,
    /// Password.
    password: Option<Secret>,
    /// How the connection is protected.
    #[serde(default)]
    tls: Tls,
    /// A PEM file of certificate authorities to trust besides the system's.
    ca_file: Option<PathBuf>,
    /// The sender, such as `Tidegate <tidegate@example.com>`.
    sender: String,
    /// The receivers of every message of this channel.
    #[serde(default)]
    recipients: Vec<String>,
}

/// How the connection to an SMTP server is protected.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
enum Tls {
    /// Encrypted after STARTTLS; a server without it is refused.
    #[default]
    Starttls,
    /// Encrypted from the first byte.
    Implicit,
    /// Not encrypted; with a password only on this machine.
    Disable,
}

struct Open {
    transport: AsyncSmtpTransport<Tokio1Executor>,
    /// Host and port, for messages.
    place: String,
    from: Mailbox,
    to: Vec<Mailbox>,
}

fn open(settings: &Settings, context: &ConnectorContext) -> Result<Arc<dyn Channel>, Error> {
    let settings: Email = settings.parse()?;
    let from = mailbox("sender", &settings.sender)?;
    let to = settings.recipients.iter().map(|text| mailbox("recipients", text)).collect::<Result<_, _>>()?;
    let place = format!("{}:{}", settings.host, settings.port());
    Ok(Arc::new(Open { transport: transport(&settings, context)?, place, from, to }))
}

impl Email {
    fn port(&self) -> u16 {
        self.port.unwrap_or(match self.tls {
            Tls::Starttls => 587,
            Tls::Implicit => 465,
            Tls::Disable => 25,
        })
    }
}

fn transport(
    settings: &Email,
    context: &ConnectorContext,
) -> Result<AsyncSmtpTransport<Tokio1Executor>, Error> {
    let host = settings.host.as_str();
    if settings.tls == Tls::Disable && settings.password.is_some() && !is_loopback(host) {
        return Err(Error::settings("`tls: disable`: the password would travel unencrypted")
            .hint("write `tls: starttls`; `disable` with a password is for this machine"));
    }
    let encryption = match settings.tls {
        Tls::Starttls => Encryption::Required(parameters(settings, context)?),
        Tls::Implicit => Encryption::Wrapper(parameters(settings, context)?),
        Tls::Disable => Encryption::None,
    };
    let mut builder = AsyncSmtpTransport::<Tokio1Executor>::builder_dangerous(host)
        .port(settings.port())
        .tls(encryption)
        .timeout(Some(TIMEOUT));
    if let (Some(user), Some(password)) = (&settings.user, &settings.password) {
        builder = builder.credentials(Credentials::new(user.clone(), password.expose().to_owned()));
    }
    Ok(builder.build())
}

fn parameters(settings: &Email, context: &ConnectorContext) -> Result<TlsParameters, Error> {
    let mut builder = TlsParameters::builder(settings.host.clone());
    if let Some(file) = &settings.ca_file {
        let path = context.project.join(file);
        let unusable = |cause: Box<dyn std::error::Error + Send + Sync>| {
            Error::settings(format!("`ca_file`: {} cannot be used", path.display()))
                .hint("name a PEM file that holds certificates")
                .caused_by(cause)
        };
        let pem = std::fs::read(&path).map_err(|cause| unusable(cause.into()))?;
        let certificate = Certificate::from_pem(&pem).map_err(|cause| unusable(cause.into()))?;
        builder = builder.add_root_certificate(certificate);
    }
    builder.build_rustls().map_err(|cause| Error::internal("TLS cannot be set up").caused_by(cause))
}

fn mailbox(setting: &str, text: &str) -> Result<Mailbox, Error> {
    text.parse().map_err(|_| {
        Error::settings(format!("`{setting}`: `{text}` is not an e-mail address"))
            .hint("write `ada@example.com` or `Ada <ada@example.com>`")
    })
}

/// The text of a message, for any mail program.
fn text(message: &Message) -> String {
    let alert = &message.alert;
    let mut text = format!("{}\n\n", alert.summary);
    let severity = alert.trigger.severity().as_str();
    text.push_str(&format!("severity  {severity}\n"));
    text.push_str(&format!("opened    {}\n", alert.opened_at.strftime("%F %T UTC")));
    if let Some(at) = alert.resolved_at {
        text.push_str(&format!("resolved  {}\n", at.strftime("%F %T UTC")));
    }
    if let Some(link) = &message.link {
        text.push_str(&format!("\n{link}\n"));
    }
    text
}

fn subject(message: &Message) -> String {
    let title = message.alert.title();
    match message.change {
        Change::Opened => format!("[tidegate] {title}"),
        Change::Resolved => format!("[tidegate] Resolved: {title}"),
    }
}

#[async_trait]
impl Channel for Open {
    async fn send(&self, message: &Message) -> Result<(), Error> {
        let to = match &message.contact {
            Some(contact) => vec![mailbox("contacts", contact)?],
            None => self.to.clone(),
        };
        if to.is_empty() {
            // A channel that only carries messages to contacts.
            return Ok(());
        }
        let domain = self.from.email.domain();
        let mut builder = lettre::Message::builder()
            .from(self.from.clone())
            .subject(subject(message))
            // The same in each attempt: mail programs show a repetition once.
            .message_id(Some(format!("<{}@{domain}>", message.id)))
            // What is said of one alert stands together.
            .references(format!("<{}@{domain}>", message.alert.id))
            .header(ContentType::TEXT_PLAIN);
        let names: Vec<String> = to.iter().map(|mailbox| mailbox.email.to_string()).collect();
        for mailbox in to {
            builder = builder.to(mailbox);
        }
        let email = builder
            .body(text(message))
            .map_err(|cause| Error::internal("an e-mail cannot be written").caused_by(cause))?;
        self.transport
            .send(email)
            .await
            .map(drop)
            .map_err(|cause| failure(cause, &self.place, &names.join(", ")))
    }
}

/// The failure in words of its own: the library's first say what does not apply.
fn failure(cause: SmtpError, place: &str, receivers: &str) -> Error {
    if let Some(code) = cause.status() {
        let said = std::error::Error::source(&cause).map(ToString::to_string).unwrap_or_default();
        let message = format!("the mail server answered {code} to a message for {receivers}: {said}");
        let permanent = cause.is_permanent();
        let error = Error::new(ErrorKind::Unavailable, message);
        return match permanent {
            true => error.hint("correct `user`, `password`, `sender` or `recipients` of the channel"),
            false => error,
        };
    }
    let what = if cause.is_timeout() {
        format!("the mail server at {place} does not answer")
    } else {
        format!("the mail server at {place} cannot be reached")
    };
    Error::new(ErrorKind::Unavailable, what)
        .hint("correct `host`, `port` or `tls` of the channel")
        .caused_by(cause)
}
