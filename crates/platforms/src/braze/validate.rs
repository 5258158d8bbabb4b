//! What Braze would not take, known without asking. The limits are in `rules`, each with its page;
//! those of a user's attributes are checked in `attributes`.

use std::ops::ControlFlow;

use tidegate_model::{Body, Identity, Json, ObjectKind, Purchase, Reason, Record};

use super::names::{plain, refuse, shape, shortened, stop, too_long};
use super::nested::{Step, walk};
use super::scan::{Piece, scan};
use super::{attributes, rules};
use crate::rule::{Rule, is_email};

/// Whether Braze would take the record, as far as its documentation says. `increments` says whether the attributes of
/// users may hold what counts each time.
pub(super) fn validate(kind: ObjectKind, record: &Record, increments: bool) -> Result<(), Reason> {
    if record.kind() != kind {
        let given = record.kind();
        return Err(Reason::new("wrong_object", format!("the sync sends {kind}, the row is {given}")));
    }
    identity(&record.identity, kind)?;
    match &record.body {
        Body::User { attributes } => {
            object(attributes, "attributes")?;
            attributes::check(&record.identity, attributes.as_str(), increments)
        }
        Body::Event { name, properties, .. } => {
            filled(name, "name")?;
            const RESERVED: &[&str] = &["time", "event_name"];
            properties_fit(properties, &rules::EVENT_BYTES, &rules::EVENT_RESERVED, RESERVED)
        }
        Body::Purchase(bought) => {
            let Purchase { product_id, currency, quantity, properties, .. } = &**bought;
            filled(product_id, "product_id")?;
            if currency.len() != 3 || !currency.bytes().all(|byte| byte.is_ascii_alphabetic()) {
                return Err(rules::CURRENCY.broken_by("`currency` is not valid", ""));
            }
            if *quantity == 0 || *quantity as usize > rules::QUANTITY.limit {
                return Err(rules::QUANTITY.broken_by(&format!("`quantity` is {quantity}"), "split the row"));
            }
            const RESERVED: &[&str] = &["time", "product_id", "quantity", "event_name", "price", "currency"];
            properties_fit(properties, &rules::PURCHASE_BYTES, &rules::PURCHASE_RESERVED, RESERVED)
        }
        Body::Deletion => Ok(()),
        Body::CatalogItem { id, fields } => item(id, fields),
        Body::CatalogRemoval { id } => item_id(id),
    }
}

fn identity(identity: &Identity, kind: ObjectKind) -> Result<(), Reason> {
    match identity {
        Identity::ExternalId(id) if id.len() > rules::EXTERNAL_ID.limit => {
            let what = format!("`external_id` has {} bytes", id.len());
            Err(rules::EXTERNAL_ID.broken_by(&what, "map a shorter one"))
        }
        Identity::ExternalId(id) => identifier(id, "external_id"),
        Identity::PlatformId(id) => identifier(id, "braze_id"),
        Identity::Email(address) if !address.is_empty() && !is_email(address) => {
            Err(rules::EMAIL.broken_by("`email` is not an e-mail address", "correct it"))
        }
        Identity::Email(address) => identifier(address, "email"),
        Identity::Phone(number) => identifier(number, "phone"),
        Identity::Alias { label, name } => {
            identifier(name, "alias_name")?;
            identifier(label, "alias_label")
        }
        Identity::None if kind == ObjectKind::CatalogItem => Ok(()),
        Identity::None => Err(rules::NO_IDENTIFIER.broken_by("the row has none", "map one")),
    }
}

fn identifier(text: &str, name: &str) -> Result<(), Reason> {
    if text.is_empty() {
        return Err(rules::NO_IDENTIFIER.broken_by(&format!("`{name}` is empty"), ""));
    }
    Ok(())
}

/// A name that Braze needs and whose length it limits.
fn filled(text: &str, name: &str) -> Result<(), Reason> {
    if text.is_empty() {
        return Err(rules::REQUIRED.broken_by(&format!("`{name}` is empty"), ""));
    }
    // No text has more characters than bytes.
    let most = rules::TEXT.limit;
    if text.len() > most && text.chars().count() > most {
        return Err(too_long(&format!("`{name}`"), text.chars().count(), name));
    }
    Ok(())
}

fn object(json: &Json, what: &str) -> Result<(), Reason> {
    if json.is_object() {
        Ok(())
    } else {
        Err(Reason::new("not_an_object", format!("the {what} are not a JSON object")))
    }
}

fn properties_fit(properties: &Json, size: &Rule, names: &Rule, reserved: &[&str]) -> Result<(), Reason> {
    object(properties, "properties")?;
    let bytes = properties.as_str().len();
    if bytes > size.limit {
        let what = format!("the properties have {bytes} bytes");
        return Err(size.broken_by(&what, "leave some out of the query"));
    }
    refuse(scan(properties.as_str(), |context, piece| {
        shape("property", context, piece)?;
        let Piece::Name(name) = piece else { return ControlFlow::Continue(()) };
        if context.depth > 1 {
            return ControlFlow::Continue(());
        }
        let rule = match &*plain(name) {
            "" => return stop(&rules::EMPTY_NAME, "a property has no name", "name the column"),
            // The first byte: a pattern would be a call for each name.
            name if name.as_bytes().first() == Some(&b'$') => &rules::DOLLAR,
            name if reserved.contains(&name) => names,
            _ => return ControlFlow::Continue(()),
        };
        stop(rule, &format!("property `{}`", shortened(name)), "rename the column")
    }))
    .map(drop)
}

fn item(id: &str, fields: &Json) -> Result<(), Reason> {
    item_id(id)?;
    object(fields, "fields")?;
    let text = fields.as_str();
    let most = rules::ITEM_SIZE.limit;
    if text.len() > most && text.chars().count() > most {
        let what = format!("the item has {} characters", text.chars().count());
        return Err(rules::ITEM_SIZE.broken_by(&what, "leave out a column"));
    }
    let depth = refuse(scan(text, |context, piece| match piece {
        Piece::Name(name) if context.depth == 1 && plain(name) == "id" => {
            stop(&rules::ITEM_ID_FIELD, "field `id` is the item's id already", "leave it out of the fields")
        }
        Piece::Name(name) if context.depth > 1 && name.contains(['.', '$']) => {
            let what = format!("field `{}` holds such a name", shortened(context.member));
            stop(&rules::ITEM_NAMES, &what, "rename it in the query")
        }
        _ if context.depth > rules::ITEM_DEPTH.limit => {
            stop(&rules::ITEM_DEPTH, &format!("field `{}` has more", shortened(context.member)), "")
        }
        _ => ControlFlow::Continue(()),
    }))?;
    if depth > 1 { arrays(text) } else { Ok(()) }
}

/// A field of a catalog holds arrays of texts; a pair of numbers is a place.
fn arrays(fields: &str) -> Result<(), Reason> {
    refuse(walk(fields, |context, step| {
        let Step::End(ended) = step else { return ControlFlow::Continue(()) };
        let texts = ended.texts == ended.values && ended.values <= rules::ITEM_ARRAY.limit;
        let pair = ended.values == 2 && ended.texts + ended.containers == 0;
        if !ended.array || texts || pair {
            return ControlFlow::Continue(());
        }
        let what = format!("field `{}` holds another array", shortened(context.member));
        stop(&rules::ITEM_ARRAY, &what, "make it a text in the query")
    }))
}

fn item_id(id: &str) -> Result<(), Reason> {
    let good = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
    if id.is_empty() {
        return Err(rules::ITEM_NEEDS_ID.broken_by("`id` is empty", ""));
    }
    let count = id.chars().count();
    if count > rules::ITEM_ID.limit {
        return Err(rules::ITEM_ID.broken_by(&format!("`id` has {count} characters"), ""));
    }
    if !id.bytes().all(good) {
        return Err(rules::ITEM_ID_LETTERS.broken_by("`id` has other characters", ""));
    }
    Ok(())
}
