//! `tidegate users`

use tidegate_model::{ErasureCounts, Error};
use tidegate_state::backup::{NotedErasure, erase_and_note};

use super::documents::{ErasedUser, Erasures};
use super::people::done;
use crate::cli::{Output, ProjectArgs, UsersAction};
use crate::output::table::{Table, count, numeric, word};
use crate::{DONE, output};

pub(super) async fn users(args: &ProjectArgs, action: UsersAction, out: Output) -> Result<u8, Error> {
    match action {
        UsersAction::Erase { id } => {
            let engine = args.serving_engine().await?;
            let state = args.state_config(engine.project().retention)?;
            let erasure = async {
                let removed = engine.erase_user(&id).await?;
                done(&engine, "erase_user", "").await;
                Ok(removed)
            };
            let (removed, backups) = erase_and_note(state, &id, erasure).await?;
            let (noted, gone): (Vec<_>, Vec<_>) = backups.into_iter().partition(|backup| backup.noted);
            let paths = |backups: Vec<NotedErasure>| {
                backups.into_iter().map(|backup| backup.backup.display().to_string()).collect()
            };
            let erased = ErasedUser { removed, backups: paths(noted), backups_gone: paths(gone) };
            match out {
                Output::Text => {
                    match lines(&erased.removed).iter().all(|(_, count)| *count == 0) {
                        true => output::line(format!("nothing about `{id}` was kept")),
                        false => output::table(&counts(&erased.removed)),
                    }
                    tell_what_stays(&erased);
                }
                _ => output::document(out, &erased),
            }
        }
        UsersAction::Erasures { id } => {
            let erasures = Erasures { erasures: args.showing_engine().await?.erasures(id.as_deref()).await? };
            match out {
                Output::Text if erasures.erasures.is_empty() => output::note(match &id {
                    Some(_) => "no erasure of this user is noted",
                    None => "no erasures yet",
                }),
                Output::Text => output::table(&listed(&erasures)),
                _ => output::listing(out, &erasures, &erasures.erasures),
            }
        }
    }
    Ok(DONE)
}

/// Says where the user is still.
fn tell_what_stays(erased: &ErasedUser) {
    if erased.removed.events_stay {
        output::note("events of the user stay in Kafka until the retention of the topics removes them");
    }
    for backup in &erased.backups {
        output::note(format!(
            "{backup} holds the user until you remove it; restoring it erases the user again"
        ));
    }
    for backup in &erased.backups_gone {
        output::note(format!(
            "{backup} is not there any more; a copy of it that is kept elsewhere holds the user"
        ));
        output::note("→ give the identifier to `tidegate restore --erased FILE` if you restore that copy");
    }
}

fn counts(removed: &ErasureCounts) -> Table {
    let mut table = Table::new([word("erased from"), numeric("count")]);
    for (place, number) in lines(removed) {
        table.row([place.into(), count(number)]);
    }
    table
}

fn listed(erasures: &Erasures) -> Table {
    let mut table = Table::new([word("at"), word("user"), numeric("removed")]);
    for erasure in &erasures.erasures {
        let total = lines(&erasure.removed).iter().map(|(_, count)| count).sum();
        table.row([output::moment(erasure.at).into(), erasure.user.as_str().into(), count(total)]);
    }
    table
}

fn lines(removed: &ErasureCounts) -> Vec<(String, u64)> {
    let ErasureCounts {
        failed_rows,
        kept_users,
        sent_users,
        intents,
        history_rows,
        events,
        events_stay: _,
        places,
    } = removed;
    let own = [
        ("failed rows", failed_rows),
        ("identifiers of mirrors", kept_users),
        ("hashes of attributes", sent_users),
        ("rows about to be sent", intents),
        ("history", history_rows),
        ("event log", events),
    ];
    let own = own.map(|(place, count)| (place.to_owned(), *count));
    own.into_iter().chain(places.iter().map(|(place, count)| (place.clone(), *count))).collect()
}
