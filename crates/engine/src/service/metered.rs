//! A platform that adds up what its vendor would bill, for a plan.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use async_trait::async_trait;
use tidegate_model::{Checks, Destination, Error, Limits, ObjectSpec, Platform, Reason, Receipt, Record};

/// Adds up the units of what it delivers.
pub(super) struct Metered {
    inner: Arc<dyn Platform>,
    units: Arc<AtomicU64>,
}

impl Metered {
    /// Adds the units of what `inner` delivers to `units`.
    pub(super) fn over(inner: Arc<dyn Platform>, units: &Arc<AtomicU64>) -> Arc<dyn Platform> {
        Arc::new(Metered { inner, units: Arc::clone(units) })
    }
}

#[async_trait]
impl Destination<Record> for Metered {
    async fn check(&self) -> Result<Checks, Error> {
        self.inner.check().await
    }

    fn limits(&self) -> Limits {
        self.inner.limits()
    }

    fn estimated_size(&self, record: &Record) -> usize {
        self.inner.estimated_size(record)
    }

    fn validate(&self, record: &Record) -> Result<(), Reason> {
        self.inner.validate(record)
    }

    fn prepare(&self, records: &[Record]) {
        self.inner.prepare(records);
    }

    async fn deliver(&self, records: &[Record]) -> Result<Receipt, Error> {
        let receipt = self.inner.deliver(records).await?;
        let units = records.iter().map(|record| self.inner.billed_units(record)).sum();
        self.units.fetch_add(units, Ordering::Relaxed);
        Ok(receipt)
    }
}

impl Platform for Metered {
    fn object(&self) -> ObjectSpec {
        self.inner.object()
    }

    fn caveats(&self) -> &'static [(&'static str, &'static str)] {
        self.inner.caveats()
    }

    fn always_sent(&self) -> &'static [&'static str] {
        self.inner.always_sent()
    }

    fn billing_unit(&self) -> Option<&'static str> {
        self.inner.billing_unit()
    }

    fn billed_units(&self, record: &Record) -> u64 {
        self.inner.billed_units(record)
    }
}
