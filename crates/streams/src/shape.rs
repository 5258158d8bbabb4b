//! What a record holds.

use std::borrow::Cow;

use schemars::JsonSchema;
use serde::Deserialize;
use tidegate_model::json::check_readable;
use tidegate_model::{Error, LoggedEvent, Reason, Result};

use tidegate_transport::aws::{Arn, AwsSettings};

use crate::records;

/// How an event is written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Shape {
    /// As it came in.
    #[default]
    Event,
    /// As a record of a Pinpoint event stream, for consumers that were written for these.
    Pinpoint,
}

/// A shape with what it needs to know.
#[derive(Clone, Debug)]
pub(crate) enum Writer {
    /// [`Shape::Event`].
    Event,
    /// [`Shape::Pinpoint`], with the number of the account.
    Pinpoint(String),
}

impl Writer {
    /// Of the account that is named, else the one whose stream or role it is.
    ///
    /// # Errors
    /// A number that is none of an account.
    pub(crate) fn new(
        shape: Shape,
        account: Option<&str>,
        stream: &str,
        settings: &AwsSettings,
    ) -> Result<Writer> {
        if account.is_some_and(|id| id.len() != 12 || !id.bytes().all(|byte| byte.is_ascii_digit())) {
            return Err(Error::settings("`account_id`: the number of an account has 12 digits")
                .hint("`aws sts get-caller-identity` prints it; write it in quotes"));
        }
        let named = [Some(stream), settings.role_arn.as_deref()];
        let known = || named.into_iter().flatten().filter_map(Arn::parse).map(|arn| arn.account).next();
        Ok(match shape {
            Shape::Event => Writer::Event,
            Shape::Pinpoint => Writer::Pinpoint(account.or_else(known).unwrap_or_default().to_owned()),
        })
    }

    /// Checks that the event can be written whole: a Pinpoint record is made of its values.
    ///
    /// # Errors
    /// The payload has a value that readers of JSON refuse, or is no object.
    pub(crate) fn validate(&self, logged: &LoggedEvent) -> Result<(), Reason> {
        let payload = &logged.event.payload;
        match self {
            Writer::Event => Ok(()),
            Writer::Pinpoint(_) if payload.is_object() => check_readable(payload.as_str()),
            Writer::Pinpoint(_) => Err(Reason::new("not_an_object", "the event is not a JSON object")),
        }
    }

    /// The event as a record holds it, if [`Writer::validate`] lets it through.
    pub(crate) fn write<'a>(&self, logged: &'a LoggedEvent) -> Cow<'a, str> {
        match self {
            Writer::Event => Cow::Borrowed(logged.event.payload.as_str()),
            Writer::Pinpoint(account) => Cow::Owned(records::record(logged, account).as_str().to_owned()),
        }
    }

    /// How many bytes [`Writer::write`] gives, where that may be more than `max`;
    /// else about how many.
    pub(crate) fn size(&self, logged: &LoggedEvent, max: usize) -> usize {
        let about = self.estimated_size(logged);
        // Escaping makes twice as much at most.
        match self {
            Writer::Pinpoint(_) if about > max / 3 => self.write(logged).len(),
            _ => about,
        }
    }

    /// About how many bytes [`Writer::write`] gives.
    pub(crate) fn estimated_size(&self, logged: &LoggedEvent) -> usize {
        // What Pinpoint's records have besides: their envelope, and the endpoint
        // with its quotes escaped.
        const ENVELOPE: usize = 1_024;
        let payload = logged.event.payload.as_str().len();
        match self {
            Writer::Event => payload,
            Writer::Pinpoint(_) => ENVELOPE + payload + payload / 4,
        }
    }
}

/// How many bytes base64 makes of this many.
pub(crate) fn base64_len(bytes: usize) -> usize {
    bytes.div_ceil(3) * 4
}
