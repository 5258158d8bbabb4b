//! References: values that are kept outside the project file.
//!
//! They are found when the file is read and resolved when a run begins: each
//! inside one scalar, once. What a variable holds is never read as a reference.

use std::fmt;
use std::path::Path;

use schemars::JsonSchema;
use serde::Serialize;
use serde_json::{Map, Value as Member};
use tidegate_model::store::SecretStore;
use tidegate_model::{Error, Settings};

use super::file_position::FilePosition;
use super::findings::Mark;

/// Variables with this beginning configure Tidegate itself.
const OWN_VARIABLES: &str = "TIDEGATE_";

/// Settings as they are written, and the references among them.
#[derive(Clone, Default, PartialEq)]
pub struct Written {
    pub(super) members: Map<String, Member>,
    pub(super) references: Vec<Reference>,
    pub(super) position: FilePosition,
}

/// Shows the names of the settings only: a value may be a secret.
impl fmt::Debug for Written {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.members.keys()).finish()
    }
}

/// A reference and where it is.
#[derive(Clone, Debug)]
pub(super) struct Reference {
    /// Where it is in the file.
    pub(super) at: Mark,
    /// The path of the setting in the file, for messages.
    pub(super) path: String,
    /// The steps to the setting, from the settings on.
    pub(super) steps: Vec<String>,
    pub(super) content: Content,
    pub(super) wants: Wants,
}

/// Two references are the same if they name the same, wherever they are in the file: a comment above
/// them changes nothing.
impl PartialEq for Reference {
    fn eq(&self, other: &Reference) -> bool {
        let Reference { at: _, path, steps, content, wants } = self;
        (path, steps, content, wants) == (&other.path, &other.steps, &other.content, &other.wants)
    }
}

/// What a reference names.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Content {
    /// Text with `${NAME}` in it.
    Template(Vec<Piece>),
    /// `{ file: PATH }`
    File(String),
    /// `{ secret: NAME }`
    Secret(String),
}

/// A piece of a template.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Piece {
    Text(String),
    Variable { name: String, default: Option<String> },
}

/// What the setting takes: the text of a variable is read as that.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Wants {
    Text,
    Integer,
    Number,
    Boolean,
}

/// A variable that a project refers to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Variable {
    /// Its name.
    pub name: String,
    /// The setting that refers to it, such as `connections.shop.password`.
    pub path: String,
    /// Where that setting is.
    #[serde(flatten)]
    pub at: Mark,
}

impl Written {
    pub(super) fn new(
        members: Map<String, Member>,
        references: Vec<Reference>,
        position: FilePosition,
    ) -> Written {
        Written { members, references, position }
    }

    /// Returns the settings for people: a name in angle brackets replaces each reference.
    pub fn shown(&self) -> Map<String, Member> {
        let mut shown = Member::Object(self.members.clone());
        for reference in &self.references {
            let name = reference.steps.last().map_or("value", String::as_str);
            put(&mut shown, &reference.steps, Member::String(format!("<{name}>")));
        }
        members_of(shown)
    }

    /// Returns the variables without a default that the environment does not have.
    pub fn unset(&self) -> Vec<Variable> {
        let mut unset = Vec::new();
        for reference in &self.references {
            let Content::Template(pieces) = &reference.content else { continue };
            for piece in pieces {
                if let Piece::Variable { name, default: None } = piece
                    && std::env::var_os(name).is_none()
                {
                    unset.push(Variable {
                        name: name.clone(),
                        path: reference.path.clone(),
                        at: reference.at,
                    });
                }
            }
        }
        unset
    }

    /// Returns the path of every setting that refers to a sealed secret, with the secret's name.
    pub(super) fn secrets(&self) -> impl Iterator<Item = (&str, &str)> {
        self.references.iter().filter_map(|reference| match &reference.content {
            Content::Secret(name) => Some((reference.path.as_str(), name.as_str())),
            Content::Template(_) | Content::File(_) => None,
        })
    }

    /// Returns the settings with every reference replaced by what it names.
    ///
    /// # Errors
    /// [`Settings`](tidegate_model::ErrorKind::Settings) with the setting and the variable,
    /// file or secret that does not exist.
    pub async fn resolve(&self, folder: &Path, store: &dyn SecretStore) -> Result<Settings, Error> {
        if let Some(error) = several_unset(&self.unset()) {
            return Err(error);
        }
        let mut resolved = Member::Object(self.members.clone());
        for reference in &self.references {
            let text = reference.look_up(folder, store).await?;
            put(&mut resolved, &reference.steps, reference.read(text)?);
        }
        Ok(Settings::new(members_of(resolved)))
    }
}

/// Returns the error for variables that are not set, if they are more than one: they are said at once.
fn several_unset(unset: &[Variable]) -> Option<Error> {
    let mut names: Vec<&str> = unset.iter().map(|variable| variable.name.as_str()).collect();
    names.sort_unstable();
    names.dedup();
    if names.len() < 2 {
        return None;
    }
    let settings: Vec<String> =
        unset.iter().map(|variable| format!("`{}` to `{}`", variable.path, variable.name)).collect();
    let exports: Vec<String> = names.iter().map(|name| format!("{name}=…")).collect();
    let sentence = "these settings refer to environment variables that are not set";
    Some(
        Error::settings(format!("{sentence}: {}", settings.join(", ")))
            .hint(format!("export {}, then run again", exports.join(" "))),
    )
}

pub(super) fn members_of(object: Member) -> Map<String, Member> {
    match object {
        Member::Object(members) => members,
        _ => Map::new(),
    }
}

/// Puts a value in the place that the steps lead to.
pub(super) fn put(root: &mut Member, steps: &[String], value: Member) {
    let mut here = root;
    for step in steps {
        let next = match here {
            Member::Object(members) => members.get_mut(step),
            Member::Array(items) => step.parse::<usize>().ok().and_then(|at| items.get_mut(at)),
            _ => None,
        };
        let Some(next) = next else { return };
        here = next;
    }
    *here = value;
}

impl Reference {
    fn missing(&self, thing: &str, hint: String) -> Error {
        Error::settings(format!("`{}` refers to {thing}", self.path)).hint(hint)
    }

    async fn look_up(&self, folder: &Path, store: &dyn SecretStore) -> Result<String, Error> {
        match &self.content {
            Content::Template(_) | Content::File(_) => self.look_up_outside(folder),
            Content::Secret(name) => match store.secret(name).await? {
                Some(secret) => Ok(secret.expose().to_owned()),
                None => Err(self.not_stored(name)),
            },
        }
    }

    fn not_stored(&self, name: &str) -> Error {
        let hint = format!("run `tidegate secret set {name}`");
        self.missing(&format!("the secret `{name}`, which is not stored"), hint)
    }

    /// Looks up what is not in the store.
    pub(super) fn look_up_outside(&self, folder: &Path) -> Result<String, Error> {
        match &self.content {
            Content::Template(pieces) => {
                let mut text = String::new();
                for piece in pieces {
                    match piece {
                        Piece::Text(piece) => text.push_str(piece),
                        Piece::Variable { name, default } => text.push_str(&self.variable(name, default)?),
                    }
                }
                Ok(text)
            }
            Content::File(path) => std::fs::read_to_string(folder.join(path))
                .map(|text| text.trim_end_matches(['\r', '\n']).to_owned())
                .map_err(|cause| {
                    self.missing(
                        &format!("the file `{path}`, which cannot be read"),
                        format!("create it, relative to the project's folder ({cause})"),
                    )
                }),
            Content::Secret(name) => Err(self.not_stored(name)),
        }
    }

    fn variable(&self, name: &str, default: &Option<String>) -> Result<String, Error> {
        match (std::env::var(name), default) {
            (Ok(text), Some(default)) if text.is_empty() => Ok(default.clone()),
            (Ok(text), _) => Ok(text),
            (Err(std::env::VarError::NotPresent), Some(default)) => Ok(default.clone()),
            (Err(std::env::VarError::NotPresent), None) => Err(self.missing(
                &format!("the environment variable `{name}`, which is not set"),
                format!("export {name}=…, then run again"),
            )),
            (Err(std::env::VarError::NotUnicode(_)), _) => Err(self.missing(
                &format!("the environment variable `{name}`, which holds no text"),
                format!("export {name} as UTF-8"),
            )),
        }
    }

    /// Reads the text as what the setting takes. The text itself is never shown.
    pub(super) fn read(&self, text: String) -> Result<Member, Error> {
        let read = match self.wants {
            Wants::Text => return Ok(Member::String(text)),
            Wants::Integer => text.trim().parse::<i64>().ok().map(Member::from),
            Wants::Number => text.trim().parse::<f64>().ok().map(Member::from),
            Wants::Boolean => text.trim().parse::<bool>().ok().map(Member::from),
        };
        read.ok_or_else(|| {
            let wanted = match self.wants {
                Wants::Boolean => "`true` or `false`",
                Wants::Integer => "a whole number",
                Wants::Text | Wants::Number => "a number",
            };
            Error::settings(format!("`{}` expects {wanted}, and its reference holds other text", self.path))
                .hint("correct the variable, file or secret")
        })
    }
}

/// Splits a text at its references. `None` if it has none and no `$${`.
///
/// # Errors
/// What is wrong with a reference.
pub(super) fn template(text: &str) -> Result<Option<Vec<Piece>>, String> {
    if !text.contains("${") {
        return Ok(None);
    }
    let mut pieces = Vec::new();
    let mut plain = String::new();
    let mut rest = text;
    while let Some(at) = rest.find("${") {
        if rest[..at].ends_with('$') {
            plain.push_str(&rest[..at - 1]);
            plain.push_str("${");
            rest = &rest[at + 2..];
            continue;
        }
        plain.push_str(&rest[..at]);
        let Some((inner, behind)) = rest[at + 2..].split_once('}') else {
            return Err("a `${` is not closed".to_owned());
        };
        if !plain.is_empty() {
            pieces.push(Piece::Text(std::mem::take(&mut plain)));
        }
        pieces.push(variable(inner)?);
        rest = behind;
    }
    plain.push_str(rest);
    if !plain.is_empty() {
        pieces.push(Piece::Text(plain));
    }
    Ok(Some(pieces))
}

fn variable(inner: &str) -> Result<Piece, String> {
    let (name, default) = match inner.split_once(":-") {
        Some((name, default)) => (name, Some(default.to_owned())),
        None => (inner, None),
    };
    let letter = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
    if name.is_empty() || !name.bytes().all(letter) || name.as_bytes()[0].is_ascii_digit() {
        return Err("this is not a reference".to_owned());
    }
    if name.starts_with(OWN_VARIABLES) {
        return Err(format!("`${{{name}}}` never resolves: `{OWN_VARIABLES}…` configures Tidegate itself"));
    }
    Ok(Piece::Variable { name: name.to_owned(), default })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(text: &str) -> Piece {
        Piece::Text(text.to_owned())
    }

    fn named(name: &str, default: Option<&str>) -> Piece {
        Piece::Variable { name: name.to_owned(), default: default.map(str::to_owned) }
    }

    #[test]
    fn a_text_is_split_at_its_references() {
        assert_eq!(template("plain $X {Y}"), Ok(None));
        assert_eq!(template("${A}"), Ok(Some(vec![named("A", None)])));
        assert_eq!(
            template("a${A}b${B_1:-x y}"),
            Ok(Some(vec![text("a"), named("A", None), text("b"), named("B_1", Some("x y"))]))
        );
        assert_eq!(template("${A:-}"), Ok(Some(vec![named("A", Some(""))])));
        assert_eq!(template("$${A} ${B}"), Ok(Some(vec![text("${A} "), named("B", None)])));
        assert_eq!(template("é$${"), Ok(Some(vec![text("é${")])));
    }

    #[test]
    fn what_is_no_reference_is_told() {
        for wrong in ["${", "${}", "${1A}", "${A-b}", "${A B}", "x${A", "${TIDEGATE_STORE}", "${Ü}"] {
            assert!(template(wrong).is_err(), "{wrong}");
        }
    }
}
