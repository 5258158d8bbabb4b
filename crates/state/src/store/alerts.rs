//! Alerts and notices.

use async_trait::async_trait;
use jiff::Timestamp;
use tidegate_model::Error;
use tidegate_model::alert::{Alert, AlertBook, AlertCursor, AlertQuery, Notice, Recipient};

use super::SqlStore;
use super::statement::{Arg, Conditions, Record, from_word, sql};

#[async_trait]
impl AlertBook for SqlStore {
    async fn open(&self, alert: &Alert) -> Result<bool, Error> {
        let statement = sql("INSERT INTO alerts (id, subject, reason, summary, opened_at)
            VALUES ($1, $2, $3, $4, $5)
            ON CONFLICT (subject, reason) WHERE resolved_at IS NULL DO NOTHING");
        let statement = statement.bind(alert.id.as_str()).bind(alert.subject.as_str());
        let statement = statement.bind(alert.trigger.as_str()).bind(alert.summary.as_str());
        Ok(self.database.execute(statement.bind(alert.opened_at)).await? == 1)
    }

    async fn explain(&self, id: &str, summary: &str) -> Result<(), Error> {
        let statement = sql("UPDATE alerts SET summary = $2 WHERE id = $1 AND resolved_at IS NULL");
        self.database.execute(statement.bind(id).bind(summary)).await.map(drop)
    }

    async fn resolve(&self, id: &str, at: Timestamp) -> Result<bool, Error> {
        let statement = sql("UPDATE alerts SET resolved_at = $2 WHERE id = $1 AND resolved_at IS NULL");
        Ok(self.database.execute(statement.bind(id).bind(at)).await? == 1)
    }

    async fn list(&self, resolved: usize) -> Result<Vec<Alert>, Error> {
        let open = sql("SELECT * FROM alerts WHERE resolved_at IS NULL ORDER BY opened_at DESC, id DESC");
        let others = sql("SELECT * FROM alerts WHERE resolved_at IS NOT NULL
            ORDER BY opened_at DESC, id DESC LIMIT $1");
        let mut records = self.database.all(open).await?;
        records.extend(self.database.all(others.bind(resolved as u64)).await?);
        records.iter().map(alert).collect()
    }

    async fn page(&self, query: &AlertQuery) -> Result<Vec<Alert>, Error> {
        let mut records = Vec::new();
        for is_resolved in [false, true] {
            let after = query.after.as_ref().filter(|after| after.is_resolved == is_resolved);
            let is_past = query.after.as_ref().is_some_and(|after| after.is_resolved && !is_resolved);
            if is_past || records.len() == query.limit || (is_resolved && !query.resolved) {
                continue;
            }
            let mut wanted = Conditions::default();
            wanted.and(if is_resolved { "resolved_at IS NOT NULL" } else { "resolved_at IS NULL" }, []);
            if let Some(AlertCursor { opened_at, id, .. }) = after {
                wanted.and("(opened_at, id) < ($1, $2)", [Arg::from(*opened_at), id.as_str().into()]);
            }
            let part = wanted.select("alerts", "opened_at DESC, id DESC", query.limit - records.len());
            records.extend(self.database.all(part).await?);
        }
        records.iter().map(alert).collect()
    }

    async fn count_open(&self) -> Result<u64, Error> {
        let statement = sql("SELECT COUNT(*) AS open FROM alerts WHERE resolved_at IS NULL");
        self.database.first(statement).await?.map_or(Ok(0), |record| record.count("open"))
    }

    async fn find(&self, id: &str) -> Result<Option<Alert>, Error> {
        let record = self.database.first(sql("SELECT * FROM alerts WHERE id = $1").bind(id)).await?;
        record.as_ref().map(alert).transpose()
    }

    async fn add_notice(&self, notice: &Notice) -> Result<(), Error> {
        let statement = sql("INSERT INTO notices
            (id, alert, change, channel, contact, attempts, due_at, sent_at, error)
            VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)
            ON CONFLICT (alert, change, channel, contact) DO NOTHING");
        let statement = statement.bind(notice.id.as_str()).bind(notice.alert.as_str());
        let statement = statement.bind(notice.change.as_str()).bind(notice.recipient.channel.as_str());
        let statement = statement.bind(notice.recipient.contact.as_deref().unwrap_or_default());
        let statement = statement.bind(u64::from(notice.attempts)).bind(time(notice.due_at));
        let statement = statement.bind(time(notice.sent_at)).bind(notice.error.clone());
        self.database.execute(statement).await.map(drop)
    }

    async fn notices(&self, alert: &str) -> Result<Vec<Notice>, Error> {
        let statement = sql("SELECT * FROM notices WHERE alert = $1 ORDER BY id").bind(alert);
        self.database.all(statement).await?.iter().map(notice).collect()
    }

    async fn take_due(&self, now: Timestamp, until: Timestamp, limit: usize) -> Result<Vec<Notice>, Error> {
        let mut tx = self.database.write().await?;
        let text = format!(
            "SELECT * FROM notices WHERE due_at <= $1 ORDER BY due_at, id LIMIT $2{}",
            tx.for_update()
        );
        let args = vec![Arg::from(now), Arg::from(limit as u64)];
        let records = tx.all(super::statement::Statement::assembled(text, args)).await?;
        let mut due: Vec<Notice> = records.iter().map(notice).collect::<Result<_, _>>()?;
        for notice in &mut due {
            notice.due_at = Some(until);
            let statement = sql("UPDATE notices SET due_at = $2 WHERE id = $1");
            tx.execute(statement.bind(notice.id.as_str()).bind(until)).await?;
        }
        tx.commit().await?;
        Ok(due)
    }

    async fn update_notice(&self, notice: &Notice) -> Result<(), Error> {
        let statement = sql("UPDATE notices SET attempts = $2, due_at = $3, sent_at = $4, error = $5
            WHERE id = $1");
        let statement = statement.bind(notice.id.as_str()).bind(u64::from(notice.attempts));
        let statement = statement.bind(time(notice.due_at)).bind(time(notice.sent_at));
        self.database.execute(statement.bind(notice.error.clone())).await.map(drop)
    }

    async fn trim(&self, before: Timestamp) -> Result<(), Error> {
        let mut tx = self.database.write().await?;
        let notices = sql("DELETE FROM notices WHERE alert IN
            (SELECT id FROM alerts WHERE resolved_at < $1)");
        tx.execute(notices.bind(before)).await?;
        tx.execute(sql("DELETE FROM alerts WHERE resolved_at < $1").bind(before)).await?;
        tx.commit().await
    }
}

fn time(at: Option<Timestamp>) -> Arg {
    Arg::Int(at.map(Timestamp::as_microsecond))
}

fn alert(record: &Record) -> Result<Alert, Error> {
    Ok(Alert {
        id: record.get("id")?,
        subject: record.get("subject")?,
        trigger: from_word(&record.get::<String>("reason")?, "reason")?,
        summary: record.get("summary")?,
        opened_at: record.time("opened_at")?,
        resolved_at: record.maybe_time("resolved_at")?,
    })
}

fn notice(record: &Record) -> Result<Notice, Error> {
    let contact: String = record.get("contact")?;
    Ok(Notice {
        id: record.get("id")?,
        alert: record.get("alert")?,
        change: from_word(&record.get::<String>("change")?, "change")?,
        recipient: Recipient {
            channel: record.get("channel")?,
            contact: (!contact.is_empty()).then_some(contact),
        },
        attempts: u32::try_from(record.count("attempts")?).unwrap_or(u32::MAX),
        due_at: record.maybe_time("due_at")?,
        sent_at: record.maybe_time("sent_at")?,
        error: record.get("error")?,
    })
}
