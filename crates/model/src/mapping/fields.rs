//! Which fields of a mapping a kind of object needs and takes.

use super::spec::MappingSpec;
use crate::Error;
use crate::ObjectKind::{self, CatalogItem, Deletion, Event, Purchase, User};

/// Objects that belong to a user.
const OF_A_USER: &[ObjectKind] = &[User, Event, Purchase, Deletion];

/// The fields of a mapping, each with the kinds of object that take it.
const FIELDS: [(&str, &[ObjectKind]); 18] = [
    ("external_id", OF_A_USER),
    ("alias_name", OF_A_USER),
    ("alias_label", OF_A_USER),
    ("platform_id", OF_A_USER),
    ("email", OF_A_USER),
    ("phone", OF_A_USER),
    ("name", &[Event]),
    ("timestamp", &[Event, Purchase]),
    ("properties", &[Event, Purchase]),
    ("app_id", &[Event, Purchase]),
    ("product_id", &[Purchase]),
    ("currency", &[Purchase]),
    ("price", &[Purchase]),
    ("quantity", &[Purchase]),
    ("attributes", &[User]),
    ("id", &[CatalogItem]),
    ("fields", &[CatalogItem]),
    ("deleted", &[CatalogItem]),
];

/// Fields that identify a user, except the alias, which takes two.
const IDENTIFIERS: [&str; 4] = ["external_id", "platform_id", "email", "phone"];

/// A field that is missing, or that the kind of object does not take.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FieldMisfit {
    /// The field, if it is in the mapping.
    pub field: Option<&'static str>,
    /// What is wrong, a whole sentence.
    pub message: String,
    /// What to do.
    pub hint: String,
}

/// Returns everything that is wrong with a mapping of these fields for a kind of object.
pub fn misfits(present: &[&str], object: ObjectKind) -> Vec<FieldMisfit> {
    let has = |name: &str| present.contains(&name);
    let mut misfits = Vec::new();
    for (name, kinds) in FIELDS.iter().filter(|(name, kinds)| has(name) && !kinds.contains(&object)) {
        let owners: Vec<String> = kinds.iter().map(|kind| format!("`{kind}`")).collect();
        misfits.push(FieldMisfit {
            field: Some(name),
            message: format!("`mapping.{name}` does not apply to the object `{object}`"),
            hint: format!(
                "remove `{name}` from `mapping`, or change `destination.object`: it belongs to {}",
                owners.join(", ")
            ),
        });
    }
    let required: &[&str] = match object {
        Event => &["name"],
        Purchase => &["product_id", "currency", "price"],
        CatalogItem => &["id"],
        User | Deletion => &[],
    };
    for name in required.iter().filter(|name| !has(name)) {
        misfits.push(FieldMisfit {
            field: None,
            message: format!("`mapping.{name}` is required for the object `{object}`"),
            hint: format!("add `{name}: <column>`, or `{name}: {{ value: <constant> }}`, to `mapping`"),
        });
    }
    if has("alias_name") != has("alias_label") {
        misfits.push(FieldMisfit {
            field: Some(if has("alias_name") { "alias_name" } else { "alias_label" }),
            message: "`mapping.alias_name` and `mapping.alias_label` belong together".to_owned(),
            hint: "give both or neither".to_owned(),
        });
    }
    let identified = IDENTIFIERS.iter().any(|name| has(name)) || has("alias_name") || has("alias_label");
    if object != CatalogItem && !identified {
        misfits.push(FieldMisfit {
            field: None,
            message: "`mapping` names no identifier of the user".to_owned(),
            hint:
                "add `external_id: <column>`, or one of alias_name + alias_label, platform_id, email, phone"
                    .to_owned(),
        });
    }
    misfits
}

impl MappingSpec {
    /// Returns the names of the fields that the mapping has.
    pub fn present(&self) -> Vec<&'static str> {
        let fields: [bool; FIELDS.len()] = [
            self.external_id.is_some(),
            self.alias_name.is_some(),
            self.alias_label.is_some(),
            self.platform_id.is_some(),
            self.email.is_some(),
            self.phone.is_some(),
            self.name.is_some(),
            self.timestamp.is_some(),
            self.properties.is_some(),
            self.app_id.is_some(),
            self.product_id.is_some(),
            self.currency.is_some(),
            self.price.is_some(),
            self.quantity.is_some(),
            self.attributes.is_some(),
            self.id.is_some(),
            self.fields.is_some(),
            self.deleted.is_some(),
        ];
        FIELDS.iter().zip(fields).filter(|(_, present)| *present).map(|((name, _), _)| *name).collect()
    }

    /// Checks the fields against what a kind of object needs and takes.
    ///
    /// # Errors
    /// [`ErrorKind::Settings`](crate::ErrorKind::Settings) for the first field that is missing or foreign.
    pub(super) fn fits(&self, object: ObjectKind) -> Result<(), Error> {
        match misfits(&self.present(), object).into_iter().next() {
            Some(misfit) => Err(Error::settings(misfit.message).hint(misfit.hint)),
            None => Ok(()),
        }
    }
}
