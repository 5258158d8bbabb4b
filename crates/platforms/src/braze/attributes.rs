//! What Braze would not take among a user's attributes, or would drop without a word.

use std::ops::ControlFlow;

use jiff::Timestamp;
use jiff::civil::DateTime;
use tidegate_model::{Identity, Reason};

use super::names::{plain, refuse, shape, shortened};
use super::nested::{Contents, Kind, Step, walk};
use super::rules;
use super::scan::{JsonContext, Piece, scan};
use crate::rule::{Rule, is_email};

/// Attributes of Braze's own with a shape of their own; all other objects are nested attributes.
const STANDARD: [&str; 5] = ["push_tokens", "subscription_groups", "current_location", "facebook", "twitter"];
/// Names with a meaning inside a nested attribute, the only ones with a `$`.
const OPERATORS: [&str; 7] =
    ["$add", "$remove", "$update", "$identifier_key", "$identifier_value", "$new_object", "$time"];
/// What `email_subscribe` and `push_subscribe` may be.
const SUBSCRIPTION_STATES: [&str; 3] = ["subscribed", "unsubscribed", "opted_in"];

/// Checks the attributes, which are a JSON object, of a row with this identity. Without `increments`, none of them may
/// count each time that it is sent.
pub(super) fn check(identity: &Identity, attributes: &str, increments: bool) -> Result<(), Reason> {
    let depth = refuse(scan(attributes, |place, piece| attribute(identity, place, piece)))?;
    // Most rows are flat: the second pass is for those that are not.
    match depth > 1 {
        true if increments => check_nested(attributes),
        true => check_nested(attributes).and_then(|()| check_repeatable(attributes)),
        false => Ok(()),
    }
}

/// Names and texts.
fn attribute(identity: &Identity, place: JsonContext<'_>, piece: Piece<'_>) -> ControlFlow<Reason> {
    // Push tokens are as long as their makers like.
    if place.member != "push_tokens" {
        shape("attribute", place, piece)?;
    }
    match piece {
        _ if place.depth > 1 => ControlFlow::Continue(()),
        Piece::Name(name) => named(identity, &plain(name)),
        Piece::Text(text) => standard_text(place.member, text),
    }
}

/// The names that an attribute must not have.
fn named(identity: &Identity, name: &str) -> ControlFlow<Reason> {
    match name {
        "" => stop(&rules::EMPTY_NAME, "an attribute has no name", "name the column"),
        "external_id" | "braze_id" | "user_alias" => stop(
            &rules::ONE_IDENTIFIER,
            &format!("attribute `{name}` is an identifier"),
            "map it as one or leave it out",
        ),
        "_update_existing_only" => ControlFlow::Break(Reason::new(
            "reserved_name",
            "attribute `_update_existing_only`: set `update_existing_only` under `destination` instead",
        )),
        // Of two identifiers e-mail wins, so this row would change another user.
        "email" if matches!(identity, Identity::Email(_) | Identity::Phone(_)) => stop(
            &rules::ONE_IDENTIFIER,
            "attribute `email`: the row is identified by an e-mail address or a phone number, \
             so Braze would take it as the identifier",
            "leave it out",
        ),
        "phone" if matches!(identity, Identity::Phone(_)) => {
            stop(&rules::ONE_IDENTIFIER, "attribute `phone` is the row's identifier already", "leave it out")
        }
        name if name.starts_with('$') => {
            stop(&rules::DOLLAR, &format!("attribute `{}`", shortened(name)), "rename the column")
        }
        _ => ControlFlow::Continue(()),
    }
}

/// Texts of which Braze publishes what they may be.
fn standard_text(member: &str, text: &str) -> ControlFlow<Reason> {
    match member {
        "email" if !is_email(&plain(text)) => stop(
            &rules::EMAIL,
            "attribute `email` is not an e-mail address",
            "correct it, or send null to remove the address",
        ),
        "email_subscribe" if !SUBSCRIPTION_STATES.contains(&text) => {
            stop(&rules::EMAIL_STATE, "attribute `email_subscribe` is not valid", "")
        }
        "push_subscribe" if !SUBSCRIPTION_STATES.contains(&text) => {
            stop(&rules::PUSH_STATE, "attribute `push_subscribe` is not valid", "")
        }
        _ => ControlFlow::Continue(()),
    }
}

/// Objects and arrays: one bad value in them, and Braze drops the whole update of the attribute.
fn check_nested(attributes: &str) -> Result<(), Reason> {
    let mut objects = 0_usize;
    let mut is_time = false;
    refuse(walk(attributes, |place, step| {
        if place.depth == 0 || STANDARD.contains(&place.member) {
            return ControlFlow::Continue(());
        }
        let member = || format!("attribute `{}`", shortened(place.member));
        match step {
            Step::Name(name) => {
                let name = plain(name);
                is_time = name == "$time";
                nested_name(place, &name)?;
            }
            Step::Value(kind) => {
                let expected = std::mem::take(&mut is_time);
                objects += usize::from(kind == Kind::Object);
                match kind {
                    Kind::Text(text) if expected && is_moment(&plain(text)) => {}
                    _ if expected => {
                        let next = "write it like 2026-01-02T03:04:05Z";
                        return stop(
                            &rules::NESTED_TIME,
                            &format!("{} holds another `$time`", member()),
                            next,
                        );
                    }
                    Kind::Null if objects > 0 => {
                        let next = "leave the member out, for example with jsonb_strip_nulls in the query";
                        return stop(&rules::NESTED_NULL, &format!("{} holds a null", member()), next);
                    }
                    _ => {}
                }
            }
            Step::End(ended) => {
                objects = objects.saturating_sub(usize::from(!ended.array));
                if place.depth == 1 {
                    ends(&member(), ended)?;
                }
            }
        }
        ControlFlow::Continue(())
    }))
}

/// What counts each time that it is sent: a number that is added up, and objects that are appended to an array.
/// Values that are added to an array of plain ones are there once.
///
/// Source: <https://www.braze.com/docs/api/objects_filters/user_attributes_object/> for `inc`,
/// <https://www.braze.com/docs/user_guide/data/activation/attributes/array_of_objects/> for `$add`.
fn check_repeatable(attributes: &str) -> Result<(), Reason> {
    let counts = |member: &str| {
        let member = shortened(member);
        let why = format!(
            "attribute `{member}` counts each time that it is sent: set `increments: true` under `destination`, \
             then retry the row"
        );
        ControlFlow::Break(Reason::new("increments_not_set", why))
    };
    let (mut is_inc, mut adds_up) = (false, false);
    refuse(walk(attributes, |place, step| {
        if place.depth == 0 || STANDARD.contains(&place.member) {
            return ControlFlow::Continue(());
        }
        match step {
            Step::Name(name) if place.depth > 1 && plain(name) == "$add" => return counts(place.member),
            Step::Name(name) => is_inc = place.depth == 2 && plain(name) == "inc",
            Step::Value(kind) if std::mem::take(&mut is_inc) => adds_up = kind == Kind::Number,
            Step::End(ended) if place.depth == 1 && std::mem::take(&mut adds_up) && ended.values == 1 => {
                return counts(place.member);
            }
            Step::Value(_) | Step::End(_) => {}
        }
        ControlFlow::Continue(())
    }))
}

fn nested_name(place: JsonContext<'_>, name: &str) -> ControlFlow<Reason> {
    if place.depth == 1 || OPERATORS.contains(&name) {
        return ControlFlow::Continue(());
    }
    let what = |what: &str| format!("attribute `{}` holds {what}", shortened(place.member));
    if name.is_empty() {
        return stop(&rules::EMPTY_NAME, &what("a member without a name"), "");
    }
    if name.contains([' ', '.', '$']) {
        return stop(&rules::NESTED_NAME, &what("such a name"), "rename it in the query");
    }
    ControlFlow::Continue(())
}

/// The size of an attribute that is an object or an array.
fn ends(member: &str, ended: Contents) -> ControlFlow<Reason> {
    if ended.bytes > rules::NESTED_BYTES.limit {
        let what = format!("{member} has {} bytes", ended.bytes);
        return stop(&rules::NESTED_BYTES, &what, "leave some of it out of the query");
    }
    if ended.array && ended.containers == 0 && ended.values > rules::ARRAY.limit {
        let what = format!("{member} has {} elements", ended.values);
        return stop(&rules::ARRAY, &what, "leave some of them out of the query");
    }
    ControlFlow::Continue(())
}

/// A time as Braze reads it; without a zone it is UTC.
fn is_moment(text: &str) -> bool {
    text.parse::<Timestamp>().is_ok() || text.parse::<DateTime>().is_ok()
}

fn stop(rule: &Rule, what: &str, next: &str) -> ControlFlow<Reason> {
    ControlFlow::Break(rule.broken_by(what, next))
}
