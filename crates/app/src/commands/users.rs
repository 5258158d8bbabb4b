//! `tidegate users`

use tidegate_model::{ErasureCounts, Error};

use super::documents::Erasures;
use super::people::done;
use crate::cli::{Output, ProjectArgs, UsersAction};
use crate::output::table::{Table, count, numeric, word};
use crate::{DONE, output};

pub(super) async fn users(args: &ProjectArgs, action: UsersAction, out: Output) -> Result<u8, Error> {
    match action {
        UsersAction::Erase { id } => {
            let engine = args.serving_engine().await?;
            let removed = engine.erase_user(&id).await?;
            done(&engine, "erase_user", "").await;
            match out {
                Output::Text => output::table(&counts(&removed)),
                _ => output::document(out, &removed),
            }
        }
        UsersAction::Erasures { id } => {
            let erasures = Erasures { erasures: args.engine().await?.erasures(id.as_deref()).await? };
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
    let ErasureCounts { failed_rows, kept_users, intents, history_rows, events, places } = removed;
    let own = [
        ("failed rows", failed_rows),
        ("identifiers of mirrors", kept_users),
        ("rows about to be sent", intents),
        ("history", history_rows),
        ("event log", events),
    ];
    let own = own.map(|(place, count)| (place.to_owned(), *count));
    own.into_iter().chain(places.iter().map(|(place, count)| (place.clone(), *count))).collect()
}
