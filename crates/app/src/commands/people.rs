//! `tidegate people`, `tidegate tokens` and `tidegate audit`

use std::io::{IsTerminal as _, Read as _};

use tidegate_engine::service::Engine;
use tidegate_model::Error;
use tidegate_model::people::{AuditEntry, Person, Token};

use super::documents::{AddedPerson, AddedToken, Audit, Invited, People, Removed, Tokens};
use crate::cli::{AuditAction, Output, PeopleAction, ProjectArgs, TokensAction};
use crate::output::table::{Table, state, word};
use crate::output::{self, moment, note};
use crate::{DONE, FAILED};

/// How `serve` is reached if nothing says so.
const ADDRESS: &str = "http://127.0.0.1:8080";

pub(super) async fn people(args: &ProjectArgs, action: PeopleAction, out: Output) -> Result<u8, Error> {
    let engine = match action {
        PeopleAction::List => args.showing_engine().await?,
        _ => args.engine().await?.into(),
    };
    match action {
        PeopleAction::Add { name, role, rows, password_stdin } => {
            let password = if password_stdin { Some(password()?) } else { None };
            engine.put_person(&name, role, rows, password.as_deref()).await?;
            done(&engine, "add_person", &format!("{name}, {role}")).await;
            let person = engine.people().await?.into_iter().find(|person| person.name == name);
            let link = match person.is_some_and(|person| person.password.is_none()) {
                true => Some(link(&engine, &engine.invite(&name).await?)),
                false => None,
            };
            match (out, &link) {
                (Output::Text, Some(link)) => {
                    output::line(link);
                    note(format!("→ {name} chooses a password there, once and within a day"));
                }
                (Output::Text, None) => note(format!("{name} can sign in as {role}")),
                _ => output::document(out, &AddedPerson { person: name, role, rows, link: link.clone() }),
            }
        }
        PeopleAction::List => {
            let people = People { people: engine.people().await? };
            match out {
                Output::Text if people.people.is_empty() => {
                    note("no people yet: the dashboard answers this machine only");
                    note("→ `tidegate people add NAME --role admin` adds the first one");
                }
                Output::Text => output::table(&people_table(&people.people)),
                _ => output::listing(out, &people, &people.people),
            }
        }
        PeopleAction::Link { name } => {
            let link = link(&engine, &engine.invite(&name).await?);
            done(&engine, "invite_person", &name).await;
            match out {
                Output::Text => output::line(&link),
                _ => output::document(out, &Invited { person: name, link }),
            }
        }
        PeopleAction::Remove { name } => {
            engine.remove_person(&name).await?;
            done(&engine, "remove_person", &name).await;
            match out {
                Output::Text => output::line(format!("removed `{name}`")),
                _ => output::document(out, &Removed { removed: name }),
            }
        }
    }
    Ok(DONE)
}

pub(super) async fn tokens(args: &ProjectArgs, action: TokensAction, out: Output) -> Result<u8, Error> {
    let engine = match action {
        TokensAction::List => args.showing_engine().await?,
        _ => args.engine().await?.into(),
    };
    match action {
        TokensAction::Add { name, role, rows, days } => {
            let token = engine.add_token(&name, role, rows, days).await?;
            done(&engine, "add_token", &format!("{name}, {role}")).await;
            match out {
                Output::Text => {
                    output::line(&token);
                    note("→ it is shown once: send it as `Authorization: Bearer …`");
                    if !engine.has_people().await? {
                        note("→ it counts once there are people: `tidegate people add NAME --role admin`");
                    }
                }
                _ => output::document(out, &AddedToken { name, token }),
            }
        }
        TokensAction::List => {
            let tokens = Tokens { tokens: engine.tokens().await? };
            match out {
                Output::Text if tokens.tokens.is_empty() => note("no tokens yet"),
                Output::Text => output::table(&token_table(&tokens.tokens)),
                _ => output::listing(out, &tokens, &tokens.tokens),
            }
        }
        TokensAction::Remove { name } => {
            engine.remove_token(&name).await?;
            done(&engine, "remove_token", &name).await;
            match out {
                Output::Text => output::line(format!("removed `{name}`")),
                _ => output::document(out, &Removed { removed: name }),
            }
        }
    }
    Ok(DONE)
}

pub(super) async fn audit(args: &ProjectArgs, action: AuditAction, out: Output) -> Result<u8, Error> {
    let engine = args.showing_engine().await?;
    match action {
        AuditAction::List { limit } => {
            let audit = Audit { entries: engine.audit_log(None, limit).await? };
            match out {
                Output::Text if audit.entries.is_empty() => note("nothing was noted yet"),
                Output::Text => output::table(&audit_table(&audit.entries)),
                _ => output::listing(out, &audit, &audit.entries),
            }
            Ok(DONE)
        }
        AuditAction::Verify => {
            let verdict = engine.verify_audit().await?;
            match (out, verdict.broken_at) {
                (Output::Text, None) => {
                    let entries = match verdict.entries {
                        1 => "1 entry".to_owned(),
                        count => format!("{} entries", output::number(count)),
                    };
                    output::line(format!("{}  {entries} as written", output::toned("ok")));
                    if let Some(hash) = &verdict.last_hash {
                        output::line(format!("    {hash}"));
                        note("→ keep this hash elsewhere: it shows later whether entries were cut off");
                    }
                }
                (Output::Text, Some(seq)) => {
                    let wrong = format!("entry {seq} is not as it was written, or one before it is missing");
                    output::line(format!("{}  {wrong}", output::toned("FAIL")));
                    note("→ compare the state database with a copy of it");
                }
                _ => output::document(out, &verdict),
            }
            Ok(if verdict.intact { DONE } else { FAILED })
        }
    }
}

/// Notes in the audit log what the user of this machine did.
pub(super) async fn done(engine: &Engine, action: &str, subject: &str) {
    engine.audit(&user_of_machine(), "command", action, subject).await;
}

/// Returns who gives a command: the person behind `sudo`, if there is one.
pub(super) fn user_of_machine() -> String {
    let user = std::env::var("SUDO_USER").or_else(|_| std::env::var("USER"));
    user.unwrap_or_else(|_| "a user of this machine".to_owned())
}

/// The address at which an invitation is accepted.
fn link(engine: &Engine, key: &str) -> String {
    let address = engine.project().alerts.dashboard.as_deref().unwrap_or(ADDRESS);
    format!("{address}/welcome?key={key}")
}

fn password() -> Result<String, Error> {
    if std::io::stdin().is_terminal() {
        note("type the password, then Ctrl-D:");
    }
    let mut text = String::new();
    std::io::stdin().read_to_string(&mut text).map_err(|cause| {
        Error::settings("the password on stdin is not UTF-8 text").hint("encode it").caused_by(cause)
    })?;
    Ok(text.trim_end_matches(['\r', '\n']).to_owned())
}

fn people_table(people: &[Person]) -> Table {
    let mut table = Table::new([word("name"), word("role"), word("rows"), word("added"), word("state")]);
    for person in people {
        table.row([
            person.name.as_str().into(),
            person.role.as_str().into(),
            if person.rows { "sees values" } else { "no values" }.into(),
            moment(person.created_at).into(),
            if person.password.is_some() { state("active") } else { "invited".into() },
        ]);
    }
    table
}

fn token_table(tokens: &[Token]) -> Table {
    let mut table =
        Table::new([word("name"), word("role"), word("rows"), word("expires"), word("last used")]);
    for token in tokens {
        table.row([
            token.name.as_str().into(),
            token.role.as_str().into(),
            if token.rows { "sees values" } else { "no values" }.into(),
            moment(token.expires_at).into(),
            token.used_at.map_or_else(|| "never".to_owned(), moment).into(),
        ]);
    }
    table
}

fn audit_table(entries: &[AuditEntry]) -> Table {
    let mut table = Table::new([word("at"), word("who"), word("action"), word("subject"), word("by")]);
    for AuditEntry { deed, .. } in entries {
        table.row([
            moment(deed.at).into(),
            deed.actor.as_str().into(),
            deed.action.as_str().into(),
            deed.subject.as_str().into(),
            deed.via.as_str().into(),
        ]);
    }
    table
}
