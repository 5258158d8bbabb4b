//! Responses for visitors who may not see values of rows.

use tidegate_model::store::FailedRowGroup;
use tokio::task_local;

task_local! {
    /// Set while a request is answered that must not show values of rows.
    static HIDDEN: ();
}

/// Answers a request of a visitor who may not see values of rows: the sentence of a reason may repeat a
/// value, so it is replaced by the code of the reason.
pub async fn without_row_values<F: Future>(answer: F) -> F::Output {
    HIDDEN.scope((), answer).await
}

/// Returns groups as the visitor may see them.
pub(super) fn shown(mut groups: Vec<FailedRowGroup>) -> Vec<FailedRowGroup> {
    if HIDDEN.try_with(|()| ()).is_ok() {
        for group in &mut groups {
            group.reason.message = format!("the reason is `{}`", group.reason.code);
        }
    }
    groups
}
