//! Answers to requests of the API that may be sent twice.

use async_trait::async_trait;
use jiff::Timestamp;
use tidegate_model::Error;
use tidegate_model::answers::{AnswerBook, BegunRequest, KeptAnswer};

use super::SqlStore;
use super::statement::{sql, to_json};

#[async_trait]
impl AnswerBook for SqlStore {
    async fn begin(
        &self,
        key: &str,
        request: &str,
        at: Timestamp,
        expired: Timestamp,
    ) -> Result<Option<BegunRequest>, Error> {
        let mut tx = self.database.write().await?;
        tx.execute(sql("DELETE FROM kept_answers WHERE at < $1").bind(expired)).await?;
        let statement = sql("INSERT INTO kept_answers (key, request, at) VALUES ($1, $2, $3)
            ON CONFLICT (key) DO NOTHING");
        let begins = tx.execute(statement.bind(key).bind(request).bind(at)).await? == 1;
        let begun = match begins {
            true => None,
            false => tx.first(sql("SELECT * FROM kept_answers WHERE key = $1").bind(key)).await?,
        };
        tx.commit().await?;
        let begun = begun.map(|record| {
            Ok(BegunRequest {
                request: record.get("request")?,
                at: record.time("at")?,
                answer: record.maybe_json("answer")?,
            })
        });
        begun.transpose()
    }

    async fn keep(&self, key: &str, answer: &KeptAnswer) -> Result<(), Error> {
        let statement = sql("UPDATE kept_answers SET answer = $2 WHERE key = $1");
        let answer = to_json(answer, "an answer")?;
        self.database.execute(statement.bind(key).bind(answer.as_str())).await.map(drop)
    }

    async fn forget(&self, key: &str) -> Result<(), Error> {
        self.database.execute(sql("DELETE FROM kept_answers WHERE key = $1").bind(key)).await.map(drop)
    }
}
