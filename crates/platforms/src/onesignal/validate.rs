//! What OneSignal would refuse, known without asking it.

use tidegate_model::{Body, Identity, ObjectKind, Purchase, Reason, Record, json};

use super::client::alias;
use super::encode;
use super::profile::Profile;
use super::rules;

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
                    return Err(Reason::new("not_an_object", "the properties are not a JSON object"));
                }
                admit_event(name, record)
            }
            Body::Purchase(bought) => {
                let Purchase { price, properties, app_id, .. } = &**bought;
                self.admit_app(app_id.as_deref())?;
                if !properties.is_empty_object() {
                    let next = "take `properties` out of the mapping";
                    return Err(rules::PURCHASE_PROPERTIES.broken_by("the purchase has some", next));
                }
                admit_price(price)
            }
            Body::Deletion | Body::CatalogItem { .. } | Body::CatalogRemoval { .. } => Ok(()),
        }
    }

    fn admit_identity(&self, identity: &Identity) -> Result<(), Reason> {
        let unsupported = |what: &str, next: &str| Err(rules::IDENTIFIER.broken_by(what, next));
        match identity {
            Identity::ExternalId(id) if PLACEHOLDERS.contains(&&**id) => {
                return Err(rules::PLACEHOLDER.broken_by("the external id is a placeholder", "map another"));
            }
            Identity::PlatformId(id) if uuid::Uuid::try_parse(id).is_err() => {
                return Err(rules::ONESIGNAL_ID.broken_by("`platform_id` is not a UUID", ""));
            }
            Identity::Alias { .. } if self.object == ObjectKind::Event => {
                return unsupported("the event has an alias", "map `external_id` or `platform_id` instead");
            }
            Identity::Email(_) | Identity::Phone(_) | Identity::None => {
                return unsupported(
                    "the row has none of these identifiers",
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
            if part.len() > rules::IDENTIFIER_BYTES.limit {
                let what = format!("the identifier has {} bytes", part.len());
                return Err(rules::IDENTIFIER_BYTES.broken_by(&what, ""));
            }
        }
        Ok(())
    }

    fn admit_user(&self, identity: &Identity, profile: &Profile<'_>) -> Result<(), Reason> {
        if profile.has_subscription() {
            if self.update_existing_only {
                return Err(rules::SUBSCRIPTION.broken_by(
                    "the sync has `update_existing_only`",
                    "take it out, or `email` and `phone` out of the mapping",
                ));
            }
            if let Identity::PlatformId(_) = identity {
                let what = "the user is named by OneSignal id";
                return Err(rules::SUBSCRIPTION.broken_by(what, "map `external_id` instead"));
            }
        } else if profile.updates() == 0 {
            return Err(Reason::new(
                "nothing_to_set",
                "the row has no attributes to set: map at least one. \
                 `email` or `phone` also creates a user that OneSignal does not know",
            ));
        }
        if profile.updates() > rules::UPDATES.limit {
            let what = format!("the row sets {}", profile.updates());
            return Err(rules::UPDATES.broken_by(&what, "leave some out of the mapping"));
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
    let most = rules::EVENT_NAME.limit;
    if name.len() > most && name.chars().count() > most {
        let what = format!("the name of the event has {} characters", name.chars().count());
        return Err(rules::EVENT_NAME.broken_by(&what, "shorten it"));
    }
    // Escaping makes a byte of a name or an identifier six at most.
    let most = rules::EVENT_BYTES.limit;
    let escapes = 5 * (name.len() + alias(&record.identity).1.len());
    if encode::event_bound(record) + escapes > most {
        let length = encode::event_length(record);
        if length > most {
            let what = format!("the event takes {length} bytes");
            return Err(rules::EVENT_BYTES.broken_by(&what, "map fewer or shorter properties"));
        }
    }
    Ok(())
}

fn admit_price(price: &str) -> Result<(), Reason> {
    if json::is_number(price) && !price.contains(['e', 'E']) {
        return Ok(());
    }
    Err(rules::AMOUNT.broken_by("`price` is not valid", ""))
}
