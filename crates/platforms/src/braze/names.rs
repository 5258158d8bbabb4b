//! Names and texts of a JSON object, and how a rule rejects them.

use std::borrow::Cow;
use std::ops::ControlFlow;

use tidegate_model::Reason;

use super::rules;
use super::scan::{JsonContext, Piece, chars};
use crate::rule::Rule;

/// A name without escapes; most have none.
pub(super) fn plain(written: &str) -> Cow<'_, str> {
    if !written.contains('\\') {
        return Cow::Borrowed(written);
    }
    serde_json::from_str(&format!("\"{written}\"")).map_or(Cow::Borrowed(written), Cow::Owned)
}

/// Lengths and depth, the same for attributes and properties.
pub(super) fn shape(what: &str, context: JsonContext<'_>, piece: Piece<'_>) -> ControlFlow<Reason> {
    if context.depth > rules::DEPTH.limit {
        return stop(&rules::DEPTH, &format!("{what} `{}` has more", shortened(context.member)), "");
    }
    let (Piece::Name(text) | Piece::Text(text)) = piece;
    // Written text never has fewer bytes than characters.
    let most = rules::TEXT.limit;
    if text.len() <= most {
        return ControlFlow::Continue(());
    }
    let count = chars(text);
    if count <= most {
        return ControlFlow::Continue(());
    }
    let member = shortened(context.member);
    ControlFlow::Break(match piece {
        Piece::Name(_) => {
            let what = format!("the name of {what} `{member}` has {count} characters");
            rules::NAME.broken_by(&what, "shorten it")
        }
        Piece::Text(_) => too_long(&format!("{what} `{member}`"), count, member),
    })
}

pub(super) fn too_long(what: &str, count: usize, column: &str) -> Reason {
    let next = format!("shorten it in the query, for example left({column}, {})", rules::TEXT.limit);
    rules::TEXT.broken_by(&format!("{what} has {count} characters"), &next)
}

/// The beginning of a name: enough to find it by.
pub(super) fn shortened(name: &str) -> &str {
    name.char_indices().nth(40).map_or(name, |(end, _)| &name[..end])
}

pub(super) fn refuse<C>(result: ControlFlow<Reason, C>) -> Result<C, Reason> {
    match result {
        ControlFlow::Continue(passed) => Ok(passed),
        ControlFlow::Break(reason) => Err(reason),
    }
}

pub(super) fn stop(rule: &Rule, what: &str, next: &str) -> ControlFlow<Reason> {
    ControlFlow::Break(rule.broken_by(what, next))
}
