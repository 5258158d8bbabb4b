//! `tidegate restore`

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tidegate_engine::service::SinceBackup;
use tidegate_model::{Clock as _, Error, ErrorKind, SyncId, SystemClock};
use tidegate_state::backup::{self, Backup, erased_since, is_in_use};
use tidegate_state::{LogAccess, LogConfig};

use super::documents::{Restored, RestoredSync};
use super::people::{done, user_of_machine};
use crate::cli::{Output, ProjectArgs};
use crate::{DONE, output};

/// How long files that are still written may take before the restored folder gets its name.
const PATIENCE: Duration = Duration::from_secs(60);

/// Puts a backup in the place of the data folder. Everything is done in a folder beside it, which
/// takes its place at the end: a restore that is killed has changed nothing.
pub(super) async fn restore(
    args: &ProjectArgs,
    from: &Path,
    replace: bool,
    erased: Option<&Path>,
    out: Output,
) -> Result<u8, Error> {
    let about = backup::look(from)?;
    // A project that cannot be read would keep erasures from being repeated.
    args.project()?;
    if about.tables == args.store.is_some() {
        return Err(other_store(&about));
    }
    let data = args.data_folder();
    let occupied = is_replaced(&data, replace)?;
    let listed = match erased {
        Some(file) => Some((file.display().to_string(), identifiers(file)?)),
        None => None,
    };
    let (staged, (erased, syncs)) = stage(args, from, &data, listed).await?;
    let replaced = put_in_place(&staged, &data, occupied)?;
    let restored = Restored {
        backup: from.display().to_string(),
        made_at: about.made_at,
        data: data.display().to_string(),
        replaced: replaced.map(|folder| folder.display().to_string()),
        erased: erased.count,
        erased_by: erased.by,
        syncs: syncs.into_iter().map(|(sync, since)| explained(sync, since)).collect(),
    };
    match out {
        Output::Text => print(&restored, args.log.is_some()),
        _ => output::document(out, &restored),
    }
    let restored_state = args.state_config(args.project()?.retention)?;
    if about.tables && backup::lacks_key(restored_state).await.unwrap_or_default() {
        output::note(format!(
            "{}: the master key is missing, with which failed rows and secrets of this backup are sealed: they cannot be opened, \
             and no run can keep a failed row\n  → put the key into {}, or set TIDEGATE_MASTER_KEY, before the next run",
            output::toned("note"),
            data.join("master.key").display()
        ));
    }
    Ok(DONE)
}

/// What was done with the restored state: the users who were erased again, and what became of syncs.
type Outcome = (Erased, Vec<(SyncId, SinceBackup)>);

/// Restores a backup into a folder beside the data folder. A failure leaves nothing.
async fn stage(
    args: &ProjectArgs,
    from: &Path,
    data: &Path,
    listed: Option<(String, Vec<String>)>,
) -> Result<(PathBuf, Outcome), Error> {
    let parent = data.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let staged = staged(parent)?;
    let log = LogConfig::new(staged.join("events"), Arc::new(SystemClock), LogAccess::Append);
    let work = Work { args: args.clone(), staged: staged.clone(), from: from.to_path_buf(), listed };
    let outcome = async {
        backup::restore(from, log, &staged).await?;
        if args.store.is_some() {
            backup::keep_marks(data, &staged)?;
        }
        // Files of the state are written beside its answers; they must not be when the folder gets its name.
        tokio::task::spawn_blocking(|| work.finish())
            .await
            .map_err(|cause| Error::internal("restoring ended early").caused_by(cause))?
    };
    match outcome.await {
        Ok(outcome) => Ok((staged, outcome)),
        Err(error) => {
            let _ = fs::remove_dir_all(&staged);
            Err(error)
        }
    }
}

/// What is done with the restored state before it gets its name.
struct Work {
    args: ProjectArgs,
    staged: PathBuf,
    from: PathBuf,
    /// The file that `--erased` names, and the users in it.
    listed: Option<(String, Vec<String>)>,
}

/// The users who were erased again.
struct Erased {
    count: u64,
    /// The files that name them.
    by: Vec<String>,
}

impl Work {
    /// Does it in a runtime of its own, and waits until nothing of it writes any more.
    fn finish(self) -> Result<Outcome, Error> {
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
        let runtime = runtime.map_err(|cause| Error::internal("restoring").caused_by(cause))?;
        let made = runtime.block_on(self.done());
        runtime.shutdown_timeout(PATIENCE);
        made
    }

    async fn done(mut self) -> Result<Outcome, Error> {
        self.args.data = Some(self.staged.clone());
        let project = self.args.project()?;
        let state = self.args.state_config(project.retention)?;
        let noted = erased_since(&self.from, state).await?;
        let mut by = Vec::new();
        if !noted.is_empty() {
            by.push(self.from.join("erased").display().to_string());
        }
        let engine = self.args.serving_engine().await?;
        let mut users = noted;
        if let Some((file, listed)) = self.listed.filter(|(_, listed)| !listed.is_empty()) {
            by.push(file);
            users.extend(listed);
        }
        users.sort();
        users.dedup();
        for user in &users {
            engine.erase_user(user).await?;
        }
        let made_at = backup::look(&self.from)?.made_at;
        let syncs = match self.args.store {
            // Tables that were not put back before know what was sent.
            Some(_) => engine.heed_older_state().await?,
            None => engine.after_restore(made_at, &user_of_machine()).await?,
        };
        done(&engine, "restore", &output::moment(made_at)).await;
        Ok((Erased { count: users.len() as u64, by }, syncs))
    }
}

fn print(restored: &Restored, log_elsewhere: bool) {
    let Restored { backup, made_at, data, replaced, erased, erased_by, syncs } = restored;
    output::line(format!("restored {data} from {backup}, made {}", output::moment(*made_at)));
    if let Some(former) = replaced {
        output::note(format!("the former state is in {former}"));
    }
    match erased_by.as_slice() {
        [] => output::note("no user was erased after the backup, as far as it knows"),
        files => {
            let users = output::counted(*erased, "user");
            output::note(format!("{users} erased again, named in {}", files.join(" and ")));
        }
    }
    if !log_elsewhere {
        output::note("events that came in after the backup are not in the event log");
    }
    for RestoredSync { sync, since_backup, .. } in syncs {
        output::note(format!("{sync}: {since_backup}"));
    }
    if syncs.iter().any(|sync| sync.paused) {
        output::note("→ `tidegate resume SYNC` sends such rows again; `tidegate plan SYNC` shows them first");
    }
}

fn explained(sync: SyncId, since: SinceBackup) -> RestoredSync {
    let since_backup = match since {
        SinceBackup::SameEffect => {
            "rows that were sent after the backup are sent again, with the same effect"
        }
        SinceBackup::Paused => {
            "paused, since rows that were sent after the backup would be sent again and could count twice"
        }
        SinceBackup::OfferedAgain => {
            "events that were exported after the backup are offered again: tables and files recognize them, \
             streams take them twice"
        }
    };
    RestoredSync { sync, paused: since == SinceBackup::Paused, since_backup: since_backup.to_owned() }
}

/// Returns whether there is state in the data folder, which the backup replaces.
///
/// # Errors
/// If it may not be replaced.
fn is_replaced(data: &Path, replace: bool) -> Result<bool, Error> {
    if !is_occupied(data)? {
        return Ok(false);
    }
    if !replace {
        return Err(Error::settings(format!("there is state in {}", data.display())).hint(
            "name another folder with --data, or put the backup in its place with --replace: it is kept under another name",
        ));
    }
    if is_in_use(data)? {
        return Err(Error::new(ErrorKind::Held, format!("a process works on {}", data.display()))
            .hint("stop `tidegate serve` and runs of this project first"));
    }
    Ok(true)
}

/// Gives the restored folder its name. Returns where the state is that was there before, if there was any.
fn put_in_place(staged: &Path, data: &Path, occupied: bool) -> Result<Option<PathBuf>, Error> {
    let replaced = if occupied { Some(set_aside(data)?) } else { None };
    // An empty folder takes no other name than its own.
    let _ = fs::remove_dir(data);
    fs::rename(staged, data).map_err(|cause| moving(cause, data))?;
    Ok(replaced)
}

/// Whether there is anything in the data folder.
fn is_occupied(data: &Path) -> Result<bool, Error> {
    match fs::read_dir(data) {
        Ok(mut entries) => Ok(entries.next().is_some()),
        Err(cause) if cause.kind() == std::io::ErrorKind::NotFound => Ok(false),
        Err(cause) => Err(moving(cause, data)),
    }
}

/// Makes a folder on the same disk, which this restore alone works in.
fn staged(parent: &Path) -> Result<PathBuf, Error> {
    let at = SystemClock.now().strftime("%Y%m%dT%H%M%S");
    let staged = parent.join(format!(".tidegate-restore-{at}-{}", std::process::id()));
    fs::create_dir_all(parent)
        .and_then(|()| private().create(&staged))
        .map_err(|cause| moving(cause, &staged))?;
    Ok(staged)
}

/// Makes folders that only their owner can look into.
fn private() -> fs::DirBuilder {
    let mut builder = fs::DirBuilder::new();
    #[cfg(unix)]
    {
        use std::os::unix::fs::DirBuilderExt as _;
        builder.mode(0o700);
    }
    builder
}

/// Gives the present data folder another name.
fn set_aside(data: &Path) -> Result<PathBuf, Error> {
    let mut name = data.file_name().unwrap_or_default().to_os_string();
    name.push(format!(".before-{}", SystemClock.now().strftime("%Y%m%dT%H%M%SZ")));
    let aside = data.with_file_name(name);
    fs::rename(data, &aside).map_err(|cause| moving(cause, data))?;
    Ok(aside)
}

/// Reads a list of users, one a line.
fn identifiers(file: &Path) -> Result<Vec<String>, Error> {
    let text = fs::read_to_string(file).map_err(|cause| {
        Error::settings(format!("{} cannot be read", file.display()))
            .hint("--erased names a text file with one user a line")
            .caused_by(cause)
    })?;
    Ok(text.lines().map(str::trim).filter(|line| !line.is_empty()).map(str::to_owned).collect())
}

fn other_store(about: &Backup) -> Error {
    match about.tables {
        true => {
            Error::settings("the backup has the tables of the state, and --store names a server for them")
                .hint("leave out --store and TIDEGATE_STORE to restore it into a data folder")
        }
        false => Error::settings("the backup was made beside a PostgreSQL store and has no tables")
            .hint("restore the tables with `pg_restore` first, and name the server with --store"),
    }
}

fn moving(cause: std::io::Error, path: &Path) -> Error {
    Error::new(ErrorKind::Storage, format!("{} cannot be used", path.display()))
        .hint("let the user that runs tidegate write in the folder that it is in")
        .caused_by(cause)
}
