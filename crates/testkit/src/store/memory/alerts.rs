//! Alerts in memory.

use std::cmp::Reverse;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use jiff::Timestamp;
use tidegate_model::Error;
use tidegate_model::alert::{Alert, AlertBook, AlertCursor, AlertQuery, Notice};

/// Alerts and notices in plain memory, each in the order of adding. Clones share them.
#[derive(Clone, Default)]
pub(super) struct MemoryAlerts(Arc<Mutex<Kept>>);

#[derive(Default)]
struct Kept {
    alerts: Vec<Alert>,
    notices: Vec<Notice>,
}

impl MemoryAlerts {
    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[async_trait]
impl AlertBook for MemoryAlerts {
    async fn open(&self, alert: &Alert) -> Result<bool, Error> {
        let mut kept = self.kept();
        let same = |other: &Alert| {
            other.resolved_at.is_none() && (&other.subject, other.trigger) == (&alert.subject, alert.trigger)
        };
        if kept.alerts.iter().any(same) {
            return Ok(false);
        }
        kept.alerts.push(alert.clone());
        Ok(true)
    }

    async fn explain(&self, id: &str, summary: &str) -> Result<(), Error> {
        let mut kept = self.kept();
        let open = |alert: &&mut Alert| alert.id == id && alert.resolved_at.is_none();
        if let Some(alert) = kept.alerts.iter_mut().find(open) {
            summary.clone_into(&mut alert.summary);
        }
        Ok(())
    }

    async fn resolve(&self, id: &str, at: Timestamp) -> Result<bool, Error> {
        let mut kept = self.kept();
        let open = |alert: &&mut Alert| alert.id == id && alert.resolved_at.is_none();
        let found = kept.alerts.iter_mut().find(open);
        Ok(found.map(|alert| alert.resolved_at = Some(at)).is_some())
    }

    async fn list(&self, resolved: usize) -> Result<Vec<Alert>, Error> {
        let kept = self.kept();
        let (mut open, mut others): (Vec<Alert>, Vec<Alert>) =
            kept.alerts.iter().cloned().partition(|alert| alert.resolved_at.is_none());
        for part in [&mut open, &mut others] {
            part.sort_by(|one, other| (other.opened_at, &other.id).cmp(&(one.opened_at, &one.id)));
        }
        others.truncate(resolved);
        open.extend(others);
        Ok(open)
    }

    async fn page(&self, query: &AlertQuery) -> Result<Vec<Alert>, Error> {
        let all = self.list(if query.resolved { usize::MAX } else { 0 }).await?;
        let order = |at: &AlertCursor| (at.is_resolved, Reverse((at.opened_at, at.id.clone())));
        let is_behind =
            |alert: &Alert| query.after.as_ref().is_none_or(|after| order(&alert.cursor()) > order(after));
        Ok(all.into_iter().filter(is_behind).take(query.limit).collect())
    }

    async fn count_open(&self) -> Result<u64, Error> {
        Ok(self.list(0).await?.len() as u64)
    }

    async fn find(&self, id: &str) -> Result<Option<Alert>, Error> {
        Ok(self.kept().alerts.iter().find(|alert| alert.id == id).cloned())
    }

    async fn add_notice(&self, notice: &Notice) -> Result<(), Error> {
        let mut kept = self.kept();
        let about = |notice: &Notice| (notice.alert.clone(), notice.change, notice.recipient.clone());
        if !kept.notices.iter().any(|other| about(other) == about(notice)) {
            kept.notices.push(notice.clone());
        }
        Ok(())
    }

    async fn notices(&self, alert: &str) -> Result<Vec<Notice>, Error> {
        Ok(self.kept().notices.iter().filter(|notice| notice.alert == alert).cloned().collect())
    }

    async fn take_due(&self, now: Timestamp, until: Timestamp, limit: usize) -> Result<Vec<Notice>, Error> {
        let mut kept = self.kept();
        let due = kept.notices.iter_mut().filter(|notice| notice.due_at.is_some_and(|at| at <= now));
        let take = |notice: &mut Notice| {
            notice.due_at = Some(until);
            notice.clone()
        };
        Ok(due.take(limit).map(take).collect())
    }

    async fn update_notice(&self, notice: &Notice) -> Result<(), Error> {
        let mut kept = self.kept();
        if let Some(known) = kept.notices.iter_mut().find(|known| known.id == notice.id) {
            known.clone_from(notice);
        }
        Ok(())
    }

    async fn trim(&self, before: Timestamp) -> Result<(), Error> {
        let mut kept = self.kept();
        let Kept { alerts, notices } = &mut *kept;
        alerts.retain(|alert| alert.resolved_at.is_none_or(|at| at >= before));
        notices.retain(|notice| alerts.iter().any(|alert| alert.id == notice.alert));
        Ok(())
    }
}
