//! What platforms take, one by one.

use std::borrow::Cow;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::{Json, ObjectKind, RowHash, Text};

/// The user that a record is about, by exactly one identifier.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Identity {
    /// The customer's own id of the user.
    ExternalId(Text),
    /// A name under a label.
    Alias {
        /// The label, for example `crm_id`.
        label: Text,
        /// The name under that label.
        name: Text,
    },
    /// The platform's own id (`braze_id`, `onesignal_id`). It never creates a user.
    PlatformId(Text),
    /// An e-mail address.
    Email(Text),
    /// A phone number.
    Phone(Text),
    /// No user: a catalog item.
    None,
}

impl Identity {
    /// Returns the identifier as people search for it.
    pub fn label(&self) -> Cow<'_, str> {
        match self {
            Identity::ExternalId(id)
            | Identity::PlatformId(id)
            | Identity::Email(id)
            | Identity::Phone(id) => Cow::Borrowed(id),
            Identity::Alias { label, name } => Cow::Owned(format!("{label}:{name}")),
            Identity::None => Cow::Borrowed(""),
        }
    }
}

/// The part of a record that depends on its kind.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Body {
    /// Attributes to set: a JSON object.
    User {
        /// Name → value, with the platform's own operators where it has some.
        attributes: Json,
    },
    /// Something the user did.
    Event {
        /// Name of the event.
        name: Text,
        /// When it happened; the platform's "now" if it is not known.
        time: Option<Timestamp>,
        /// A JSON object.
        properties: Json,
        /// The app it happened in, if the platform has several.
        app_id: Option<Text>,
    },
    /// Something the user bought. Apart, so that no other record is as large.
    Purchase(Box<Purchase>),
    /// The user is to be deleted.
    Deletion,
    /// A catalog item to create or replace.
    CatalogItem {
        /// Id inside the catalog.
        id: Text,
        /// The other fields: a JSON object.
        fields: Json,
    },
    /// A catalog item to remove.
    CatalogRemoval {
        /// Id inside the catalog.
        id: Text,
    },
}

/// What a user bought.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Purchase {
    /// What was bought.
    pub product_id: Text,
    /// ISO 4217 code.
    pub currency: Text,
    /// Price of one, a JSON number digit for digit.
    pub price: Text,
    /// How many.
    pub quantity: u32,
    /// When; the platform's "now" if it is not known.
    pub time: Option<Timestamp>,
    /// A JSON object.
    pub properties: Json,
    /// The app it was bought in, if the platform has several.
    pub app_id: Option<Text>,
}

/// One thing to deliver. Cheap to clone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// Derived from sync, row key and row hash: the idempotency key.
    pub id: RowHash,
    /// Who it is about.
    pub identity: Identity,
    /// What it is.
    pub body: Body,
}

impl Record {
    /// Returns the kind of object.
    pub fn kind(&self) -> ObjectKind {
        match self.body {
            Body::User { .. } => ObjectKind::User,
            Body::Event { .. } => ObjectKind::Event,
            Body::Purchase(_) => ObjectKind::Purchase,
            Body::Deletion => ObjectKind::Deletion,
            Body::CatalogItem { .. } | Body::CatalogRemoval { .. } => ObjectKind::CatalogItem,
        }
    }

    /// What people search for: the user's identifier, or the item's id.
    pub fn label(&self) -> Cow<'_, str> {
        match &self.body {
            Body::CatalogItem { id, .. } | Body::CatalogRemoval { id } => Cow::Borrowed(id),
            _ => self.identity.label(),
        }
    }

    /// About how many bytes the record takes in a request.
    pub fn estimated_size(&self) -> usize {
        const ENVELOPE: usize = 160;
        let identity = match &self.identity {
            Identity::Alias { label, name } => label.len() + name.len(),
            Identity::None => 0,
            Identity::ExternalId(id)
            | Identity::PlatformId(id)
            | Identity::Email(id)
            | Identity::Phone(id) => id.len(),
        };
        let body = match &self.body {
            Body::User { attributes } => attributes.as_str().len(),
            Body::Event { name, properties, .. } => name.len() + properties.as_str().len(),
            Body::Purchase(purchase) => purchase.product_id.len() + purchase.properties.as_str().len(),
            Body::Deletion => 0,
            Body::CatalogItem { id, fields } => id.len() + fields.as_str().len(),
            Body::CatalogRemoval { id } => id.len(),
        };
        ENVELOPE + identity + body
    }
}
