//! A connection of its own for statements that write, beside those in read-only transactions.

use tidegate_model::Error;
use tokio::sync::Mutex;
use tokio_postgres::SimpleQueryMessage;

use super::client::{Access, Session};

/// Writes, one statement after the other. The connection is opened with the first one, and stays.
pub(crate) struct Writer {
    access: Access,
    session: Mutex<Option<Session>>,
}

impl Writer {
    /// Creates a writer. Nothing is connected yet.
    pub(crate) fn new(access: Access) -> Writer {
        Writer { access, session: Mutex::default() }
    }

    /// Runs statements that take effect together.
    ///
    /// # Errors
    /// What keeps it from connecting, and what `explain` says of a statement that fails.
    pub(crate) async fn run(
        &self,
        sql: &str,
        explain: fn(&Access, &tokio_postgres::Error) -> Error,
    ) -> Result<(), Error> {
        let mut held = self.session.lock().await;
        // One that failed may be in the middle of a transaction: it is not used again.
        let session = match held.take().filter(|session| !session.client.is_closed()) {
            Some(session) => session,
            None => self.access.connect().await?,
        };
        session.client.batch_execute(sql).await.map_err(|error| explain(&self.access, &error))?;
        *held = Some(session);
        Ok(())
    }
}

/// Returns the first cell of each row of an answer.
pub(crate) fn texts(answer: &[SimpleQueryMessage]) -> Vec<Option<String>> {
    let row = |message: &SimpleQueryMessage| match message {
        SimpleQueryMessage::Row(row) => Some(row.try_get(0).ok().flatten().map(str::to_owned)),
        _ => None,
    };
    answer.iter().filter_map(row).collect()
}
