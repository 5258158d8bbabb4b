//! What Braze would not take, known without asking: lengths, names, reserved words.
//!
//! Source: Braze docs, objects of `/users/track` (2026-09) and Catalogs (2026-09).

use std::borrow::Cow;
use std::ops::ControlFlow;

use tidegate_model::{Body, Identity, Json, ObjectKind, Purchase, Reason, Record};

use super::scan::{JsonContext, Piece, chars, scan};

/// Characters of a name or of a text value.
const CHARS_MAX: usize = 255;
/// Bytes of an event's properties.
const EVENT_BYTES_MAX: usize = 100_000;
/// Bytes of a purchase's properties.
const PURCHASE_BYTES_MAX: usize = 50_000;
/// Pieces in one purchase.
const QUANTITY_MAX: u32 = 100;
/// Characters of a catalog item's id.
const ITEM_ID_CHARS_MAX: usize = 250;
/// Characters of a catalog item.
const ITEM_CHARS_MAX: usize = 5_000;
/// Containers inside one another.
const DEPTH_MAX: usize = 50;

/// Whether Braze would take the record, as far as its documentation says.
pub(super) fn validate(kind: ObjectKind, record: &Record) -> Result<(), Reason> {
    if record.kind() != kind {
        let given = record.kind();
        return Err(Reason::new("wrong_object", format!("the sync sends {kind}, the row is {given}")));
    }
    identity(&record.identity, kind)?;
    match &record.body {
        Body::User { attributes } => {
            object(attributes, "attributes")?;
            refuse(scan(attributes.as_str(), |context, piece| attribute(&record.identity, context, piece)))
        }
        Body::Event { name, properties, .. } => {
            filled(name, "name")?;
            properties_fit(properties, EVENT_BYTES_MAX, &["time", "event_name"])
        }
        Body::Purchase(bought) => {
            let Purchase { product_id, currency, quantity, properties, .. } = &**bought;
            filled(product_id, "product_id")?;
            if currency.len() != 3 || !currency.bytes().all(|byte| byte.is_ascii_alphabetic()) {
                return Err(Reason::new("invalid_currency", "`currency` is no ISO 4217 code such as EUR"));
            }
            if !(1..=QUANTITY_MAX).contains(quantity) {
                return Err(Reason::new(
                    "invalid_quantity",
                    format!("`quantity` is {quantity}; Braze takes 1 to {QUANTITY_MAX}; split the row"),
                ));
            }
            const RESERVED: &[&str] = &["time", "product_id", "quantity", "event_name", "price", "currency"];
            properties_fit(properties, PURCHASE_BYTES_MAX, RESERVED)
        }
        Body::Deletion => Ok(()),
        Body::CatalogItem { id, fields } => item(id, fields),
        Body::CatalogRemoval { id } => item_id(id),
    }
}

fn identity(identity: &Identity, kind: ObjectKind) -> Result<(), Reason> {
    match identity {
        Identity::ExternalId(id) => identifier(id, "external_id"),
        Identity::PlatformId(id) => identifier(id, "braze_id"),
        Identity::Email(address) => identifier(address, "email"),
        Identity::Phone(number) => identifier(number, "phone"),
        Identity::Alias { label, name } => {
            identifier(name, "alias_name")?;
            identifier(label, "alias_label")
        }
        Identity::None if kind == ObjectKind::CatalogItem => Ok(()),
        Identity::None => Err(Reason::new(
            "no_identifier",
            "the row has no external_id, alias, braze_id, e-mail address or phone number",
        )),
    }
}

fn identifier(text: &str, name: &str) -> Result<(), Reason> {
    if text.is_empty() { Err(Reason::new("no_identifier", format!("`{name}` is empty"))) } else { Ok(()) }
}

/// A name that Braze needs and whose length it limits.
fn filled(text: &str, name: &str) -> Result<(), Reason> {
    if text.is_empty() {
        return Err(Reason::new("missing_field", format!("`{name}` is empty")));
    }
    // No text has more characters than bytes.
    if text.len() > CHARS_MAX && text.chars().count() > CHARS_MAX {
        return Err(too_long(&format!("`{name}`"), text.chars().count(), name));
    }
    Ok(())
}

fn object(json: &Json, what: &str) -> Result<(), Reason> {
    if json.is_object() {
        Ok(())
    } else {
        Err(Reason::new("not_an_object", format!("the {what} are no JSON object")))
    }
}

fn properties_fit(properties: &Json, max_bytes: usize, reserved: &[&str]) -> Result<(), Reason> {
    object(properties, "properties")?;
    let bytes = properties.as_str().len();
    if bytes > max_bytes {
        return Err(Reason::new(
            "properties_too_large",
            format!(
                "the properties have {bytes} bytes; Braze takes {max_bytes}; leave some out of the query"
            ),
        ));
    }
    refuse(scan(properties.as_str(), |context, piece| {
        shape("property", context, piece)?;
        let Piece::Name(name) = piece else { return ControlFlow::Continue(()) };
        if context.depth > 1 {
            return ControlFlow::Continue(());
        }
        match &*plain(name) {
            name if name.starts_with('$') => stop(
                "invalid_name",
                format!("property `{name}`: names must not start with `$`; rename the column"),
            ),
            name if reserved.contains(&name) => stop(
                "reserved_name",
                format!("property `{name}`: Braze reserves this name; rename the column"),
            ),
            _ => ControlFlow::Continue(()),
        }
    }))
}

/// Names and texts of a user's attributes.
fn attribute(identity: &Identity, context: JsonContext<'_>, piece: Piece<'_>) -> ControlFlow<Reason> {
    // Push tokens are as long as their makers like.
    if context.member != "push_tokens" {
        shape("attribute", context, piece)?;
    }
    let Piece::Name(name) = piece else { return ControlFlow::Continue(()) };
    if context.depth > 1 {
        return ControlFlow::Continue(());
    }
    match &*plain(name) {
        name @ ("external_id" | "braze_id" | "user_alias") => stop(
            "identifier_in_attributes",
            format!("attribute `{name}` is an identifier; map it as one or leave it out"),
        ),
        "_update_existing_only" => stop(
            "reserved_name",
            "attribute `_update_existing_only`: set `update_existing_only` under `destination` instead"
                .to_owned(),
        ),
        // Of two identifiers e-mail wins, so this row would change another user.
        "email" if matches!(identity, Identity::Email(_) | Identity::Phone(_)) => stop(
            "identifier_in_attributes",
            "attribute `email`: the row is identified by an e-mail address or a phone number, \
             so Braze would take it as the identifier; leave it out"
                .to_owned(),
        ),
        "phone" if matches!(identity, Identity::Phone(_)) => stop(
            "identifier_in_attributes",
            "attribute `phone` is the row's identifier already; leave it out".to_owned(),
        ),
        name if name.starts_with('$') => stop(
            "invalid_name",
            format!("attribute `{name}`: names must not start with `$`; rename the column"),
        ),
        _ => ControlFlow::Continue(()),
    }
}

/// A name without escapes; most have none.
fn plain(written: &str) -> Cow<'_, str> {
    if !written.contains('\\') {
        return Cow::Borrowed(written);
    }
    serde_json::from_str(&format!("\"{written}\"")).map_or(Cow::Borrowed(written), Cow::Owned)
}

/// Lengths and depth, the same for attributes and properties.
fn shape(what: &str, context: JsonContext<'_>, piece: Piece<'_>) -> ControlFlow<Reason> {
    if context.depth > DEPTH_MAX {
        return stop("too_deep", format!("{what} `{}` is nested too deeply", shortened(context.member)));
    }
    let (Piece::Name(text) | Piece::Text(text)) = piece;
    // Written text never has fewer bytes than characters.
    if text.len() <= CHARS_MAX {
        return ControlFlow::Continue(());
    }
    let count = chars(text);
    if count <= CHARS_MAX {
        return ControlFlow::Continue(());
    }
    let member = shortened(context.member);
    ControlFlow::Break(match piece {
        Piece::Name(_) => Reason::new(
            "name_too_long",
            format!("the name of {what} `{member}` has {count} characters; Braze takes {CHARS_MAX}"),
        ),
        Piece::Text(_) => too_long(&format!("{what} `{member}`"), count, member),
    })
}

fn too_long(what: &str, count: usize, column: &str) -> Reason {
    Reason::new(
        "text_too_long",
        format!(
            "{what} has {count} characters; Braze takes {CHARS_MAX}; \
             shorten it in the query, for example left({column}, {CHARS_MAX})"
        ),
    )
}

/// The beginning of a name: enough to find it by.
fn shortened(name: &str) -> &str {
    name.char_indices().nth(40).map_or(name, |(end, _)| &name[..end])
}

fn item(id: &str, fields: &Json) -> Result<(), Reason> {
    item_id(id)?;
    object(fields, "fields")?;
    let text = fields.as_str();
    if text.len() > ITEM_CHARS_MAX && text.chars().count() > ITEM_CHARS_MAX {
        return Err(Reason::new(
            "items-too-large",
            format!(
                "the item has {} characters; Braze takes {ITEM_CHARS_MAX}; leave out a column",
                text.chars().count()
            ),
        ));
    }
    refuse(scan(text, |context, piece| match piece {
        Piece::Name(name) if context.depth == 1 && plain(name) == "id" => stop(
            "id-in-body",
            "field `id`: the item's id is mapped as `id`; leave it out of the fields".to_owned(),
        ),
        Piece::Name(name) if context.depth > 1 && name.contains(['.', '$']) => stop(
            "invalid-keys-in-value-object",
            format!("field `{}`: names inside an object must not have `.` or `$`", shortened(context.member)),
        ),
        _ if context.depth > DEPTH_MAX => {
            stop("too-deep-nesting", format!("field `{}` is nested too deeply", shortened(context.member)))
        }
        _ => ControlFlow::Continue(()),
    }))
}

fn item_id(id: &str) -> Result<(), Reason> {
    let good = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
    if id.is_empty() {
        return Err(Reason::new("items-missing-ids", "`id` is empty"));
    }
    if id.chars().count() > ITEM_ID_CHARS_MAX {
        return Err(Reason::new(
            "ids-too-large",
            format!("`id` has more than {ITEM_ID_CHARS_MAX} characters"),
        ));
    }
    if !id.bytes().all(good) {
        return Err(Reason::new(
            "invalid-ids",
            "`id` may have letters, digits, hyphens and underscores only",
        ));
    }
    Ok(())
}

fn stop(code: &'static str, message: String) -> ControlFlow<Reason> {
    ControlFlow::Break(Reason::new(code, message))
}

fn refuse(result: ControlFlow<Reason>) -> Result<(), Reason> {
    match result {
        ControlFlow::Continue(()) => Ok(()),
        ControlFlow::Break(reason) => Err(reason),
    }
}
