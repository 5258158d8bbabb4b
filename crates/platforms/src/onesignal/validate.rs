//! What OneSignal would refuse, known without asking it.

use tidegate_model::{Body, Identity, ObjectKind, Purchase, Reason, Record, json};

use super::client::alias;
use super::encode;
use super::profile::Profile;

/// Bytes of one event in a request. Source: OneSignal docs, Create custom events.
pub(super) const EVENT_BYTES_MAX: usize = 2_024;
/// Characters of an event's name. Source: OneSignal docs, Create custom events.
pub(super) const EVENT_NAME_MAX: usize = 128;
/// Properties and tags that one request may set. Source: OneSignal docs, Rate limits.
pub(super) const UPDATES_MAX: usize = 100;
/// Bytes of an identifier that still fit into an HTTP address.
const IDENTIFIER_BYTES_MAX: usize = 8_192;

/// External ids that OneSignal refuses because many users would share them.
/// Source: OneSignal docs, Users, External ID.
pub(super) const PLACEHOLDERS: &[&str] =
    &["NA", "NULL", "0", "1", "-1", "all", "00000000-0000-0000-0000-000000000000"];

/// What the connection and the sync allow.
#[derive(Clone, Debug)]
pub(super) struct Rules {
    /// The kind of object the platform was opened for.
    pub(super) object: ObjectKind,
    /// The app of the connection.
    pub(super) app_id: String,
    /// Users are never created.
    pub(super) update_existing_only: bool,
}

impl Rules {
    /// Whether OneSignal would take the record.
    ///
    /// # Errors
    /// The first rule that it breaks.
    pub(super) fn validate(&self, record: &Record) -> Result<(), Reason> {
        if record.kind() != self.object {
            return Err(Reason::new(
                "wrong_object",
                format!("this sync sends objects of the kind `{}`, not `{}`", self.object, record.kind()),
            ));
        }
        self.admit_identity(&record.identity)?;
        match &record.body {
            Body::User { attributes } => self.admit_user(&record.identity, &Profile::read(attributes)?),
            Body::Event { name, properties, app_id, .. } => {
                self.admit_app(app_id.as_deref())?;
                if !properties.is_object() {
                    return Err(Reason::new("not_an_object", "the properties are no JSON object"));
                }
                admit_event(name, record)
            }
            Body::Purchase(bought) => {
                let Purchase { price, properties, app_id, .. } = &**bought;
                self.admit_app(app_id.as_deref())?;
                if !properties.is_empty_object() {
                    return Err(Reason::new(
                        "purchase_properties",
                        "OneSignal keeps no properties of a purchase; take `properties` out of the mapping",
                    ));
                }
                admit_price(price)
            }
            Body::Deletion | Body::CatalogItem { .. } | Body::CatalogRemoval { .. } => Ok(()),
        }
    }

    fn admit_identity(&self, identity: &Identity) -> Result<(), Reason> {
        let unsupported = |what: &str, use_instead: &str| {
            Err(Reason::new("identifier_unsupported", format!("{what}; {use_instead}")))
        };
        match identity {
            Identity::ExternalId(id) if PLACEHOLDERS.contains(&&**id) => {
                return Err(Reason::new(
                    "placeholder_identifier",
                    "the external id is one of the placeholders that OneSignal refuses (NA, NULL, 0, 1, -1, \
                     all, the UUID of zeros)",
                ));
            }
            Identity::PlatformId(id) if uuid::Uuid::try_parse(id).is_err() => {
                return Err(Reason::new("not_a_uuid", "the OneSignal id is not a UUID"));
            }
            Identity::Alias { .. } if self.object == ObjectKind::Event => {
                return unsupported(
                    "OneSignal takes no events by alias",
                    "map `external_id` or `onesignal_id` instead",
                );
            }
            Identity::Email(_) | Identity::Phone(_) | Identity::None => {
                return unsupported(
                    "OneSignal finds users by external id, OneSignal id or alias only",
                    "map one of these, and `email` or `phone` among the attributes",
                );
            }
            Identity::ExternalId(_) | Identity::PlatformId(_) | Identity::Alias { .. } => {}
        }
        let (label, id) = alias(identity);
        for part in [label, id] {
            // An address keeps neither of these as a segment of its path.
            if part.is_empty() || part == "." || part == ".." {
                return Err(Reason::new("identifier_unusable", "the identifier is empty, `.` or `..`"));
            }
            if part.len() > IDENTIFIER_BYTES_MAX {
                return Err(too_large("identifier_too_long", "identifier", part.len(), IDENTIFIER_BYTES_MAX));
            }
        }
        Ok(())
    }

    fn admit_user(&self, identity: &Identity, profile: &Profile<'_>) -> Result<(), Reason> {
        if profile.has_subscription() {
            if self.update_existing_only {
                return Err(Reason::new(
                    "subscription_unsupported",
                    "`email` and `phone` can only be set where users may be created; take them out of the \
                     mapping or `update_existing_only` out of the sync",
                ));
            }
            if let Identity::PlatformId(_) = identity {
                return Err(Reason::new(
                    "subscription_unsupported",
                    "`email` and `phone` cannot be set by OneSignal id; map `external_id` instead",
                ));
            }
        } else if profile.updates() == 0 {
            return Err(Reason::new("nothing_to_set", "the row has no attributes to set"));
        }
        if profile.updates() > UPDATES_MAX {
            return Err(Reason::new(
                "too_many_attributes",
                format!("the row sets {} attributes; OneSignal takes {UPDATES_MAX}", profile.updates()),
            ));
        }
        Ok(())
    }

    fn admit_app(&self, app_id: Option<&str>) -> Result<(), Reason> {
        match app_id {
            Some(app_id) if !app_id.eq_ignore_ascii_case(&self.app_id) => Err(Reason::new(
                "other_app",
                "the row belongs to another app than the connection; use a connection for each app",
            )),
            _ => Ok(()),
        }
    }
}

fn admit_event(name: &str, record: &Record) -> Result<(), Reason> {
    // No text has more characters than bytes.
    if name.len() > EVENT_NAME_MAX && name.chars().count() > EVENT_NAME_MAX {
        let characters = name.chars().count();
        return Err(Reason::new(
            "event_name_too_long",
            format!("the name of the event has {characters} characters; OneSignal takes {EVENT_NAME_MAX}"),
        ));
    }
    // Escaping makes a byte of a name or an identifier six at most.
    let escapes = 5 * (name.len() + alias(&record.identity).1.len());
    if encode::event_bound(record) + escapes > EVENT_BYTES_MAX {
        let length = encode::event_length(record);
        if length > EVENT_BYTES_MAX {
            return Err(too_large("event_too_large", "event", length, EVENT_BYTES_MAX));
        }
    }
    Ok(())
}

fn admit_price(price: &str) -> Result<(), Reason> {
    if json::is_number(price) && !price.contains(['e', 'E']) {
        return Ok(());
    }
    Err(Reason::new("not_an_amount", "`price` is not a plain decimal number"))
}

fn too_large(code: &'static str, what: &str, length: usize, most: usize) -> Reason {
    Reason::new(code, format!("the {what} takes {length} bytes; OneSignal takes {most}"))
}
