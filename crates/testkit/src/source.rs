//! A source that reads what a test gives it.

use async_trait::async_trait;
use futures_util::{StreamExt, stream};
use tidegate_model::source::{Column, Dataset};
use tidegate_model::{Batch, Checks, DataType, Error, Feed, ReadMode, Row, Selection, Source};

type Reading = dyn Fn(&ReadMode) -> Result<Vec<Batch<Row>>, Error> + Send + Sync;

/// A source of one dataset whose batches are those that a function returns.
pub struct GivenSource {
    dataset: Dataset,
    read: Box<Reading>,
}

impl GivenSource {
    /// Creates a source. `read` is called for each read.
    pub fn new(
        dataset: Dataset,
        read: impl Fn(&ReadMode) -> Result<Vec<Batch<Row>>, Error> + Send + Sync + 'static,
    ) -> GivenSource {
        GivenSource { dataset, read: Box::new(read) }
    }
}

/// Returns a column.
pub fn column(name: &str, data_type: DataType, type_name: &str) -> Column {
    Column { name: name.to_owned(), data_type, type_name: type_name.to_owned() }
}

#[async_trait]
impl Source for GivenSource {
    async fn check(&self, _: Option<&Selection>) -> Result<Checks, Error> {
        Ok(Checks::default())
    }

    async fn discover(&self) -> Result<Vec<Dataset>, Error> {
        Ok(Vec::new())
    }

    async fn describe(&self, _: &Selection) -> Result<Dataset, Error> {
        Ok(self.dataset.clone())
    }

    async fn read(&self, _: &Selection, mode: &ReadMode, _: usize) -> Result<Feed<Row>, Error> {
        Ok(stream::iter((self.read)(mode)?.into_iter().map(Ok)).boxed())
    }

    fn supports_checkpoints(&self) -> bool {
        true
    }
}
