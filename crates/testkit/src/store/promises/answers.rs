//! Answers that are kept for repetitions of their requests.

use jiff::SignedDuration;
use tidegate_model::Clock;
use tidegate_model::answers::{BegunRequest, KeptAnswer};

use crate::store::backend::Backend;

/// Until it expires; what was forgotten begins again.
pub async fn a_request_begins_once_and_its_answer_is_kept(backend: &dyn Backend) {
    let (first, second) = (backend.open().await, backend.open().await);
    let now = backend.clock().now();
    let day = SignedDuration::from_hours(24);
    let begin = async |book: &dyn tidegate_model::Store, request: &str, at| {
        book.answer_book().begin("k", request, at, at - day).await.expect("asked")
    };
    assert_eq!(begin(&*first, "r", now).await, None);
    let begun = BegunRequest { request: "r".to_owned(), at: now, answer: None };
    assert_eq!(begin(&*second, "other", now).await, Some(begun.clone()));

    let answer = KeptAnswer {
        status: 202,
        headers: vec![("location".to_owned(), "/api/v1/runs/1".to_owned())],
        body: "{\"name\":\"Amélie\"}".to_owned(),
    };
    first.answer_book().keep("k", &answer).await.expect("kept");
    let later = now + SignedDuration::from_hours(23);
    assert_eq!(begin(&*second, "r", later).await, Some(BegunRequest { answer: Some(answer), ..begun }));
    assert_eq!(begin(&*second, "r", now + SignedDuration::from_hours(25)).await, None, "it has expired");

    second.answer_book().forget("k").await.expect("forgotten");
    assert_eq!(begin(&*first, "another", later).await, None);
}
