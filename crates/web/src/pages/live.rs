//! Parts of pages that change while people look at them. A part is made once for all readers who see the same, and
//! only while someone looks at it.

use std::collections::HashMap;
use std::convert::Infallible;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use futures_util::stream::{self, BoxStream};
use futures_util::{Stream, StreamExt};
use tidegate_engine::service::without_row_values;
use tidegate_model::people::Role;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::reader::Reader;

/// How long a reader is sent changes. A browser then asks once more, and who may not see them any more is refused.
const SESSION: Duration = Duration::from_secs(600);

/// What decides how a part looks.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Key {
    path: String,
    may_edit: bool,
    sees_rows: bool,
    exact_times: bool,
}

impl Key {
    fn of(path: String, reader: &Reader) -> Key {
        let visitor = reader.visitor.as_ref();
        Key {
            path,
            may_edit: visitor.is_none_or(|visitor| visitor.role >= Role::Editor),
            sees_rows: visitor.is_none_or(|visitor| visitor.rows),
            exact_times: reader.exact_times,
        }
    }
}

/// The newest version of a part; `None` until it is made.
type Part = Option<Arc<str>>;

/// The parts that someone looks at.
#[derive(Clone, Default)]
pub(crate) struct LiveParts {
    parts: Arc<Mutex<HashMap<Key, watch::Sender<Part>>>>,
    /// Fires when the server is to end: open pages do not hold it.
    stop: CancellationToken,
}

impl LiveParts {
    /// Creates them, for a server that ends when `stop` fires.
    pub(crate) fn until(stop: CancellationToken) -> LiveParts {
        LiveParts { parts: Arc::default(), stop }
    }

    /// Answers with the part of a page and its changes, as this reader sees them. `make` begins to make its
    /// versions, unless that is done already for another reader; it is ended when the last reader leaves.
    pub(super) fn follow(&self, path: String, make: impl FnOnce() -> BoxStream<'static, String>) -> Response {
        let part = self.subscribe(path, make);
        let events = changes(part).map(|text| Ok::<Event, Infallible>(Event::default().data(&*text)));
        let stop = self.stop.clone();
        let events = events.take_until(async move {
            tokio::select! {
                () = pause(SESSION) => {}
                () = stop.cancelled() => {}
            }
        });
        Sse::new(events).keep_alive(KeepAlive::default()).into_response()
    }

    fn subscribe(
        &self,
        path: String,
        make: impl FnOnce() -> BoxStream<'static, String>,
    ) -> watch::Receiver<Part> {
        let reader = Reader::current();
        let key = Key::of(path, &reader);
        let mut parts = self.parts();
        if let Some(part) = parts.get(&key) {
            return part.subscribe();
        }
        let (part, watched) = watch::channel(None);
        parts.insert(key.clone(), part.clone());
        let sees_rows = key.sees_rows;
        let making = reader.reads(self.clone().make(key, part, make()));
        match sees_rows {
            true => tokio::spawn(making),
            false => tokio::spawn(without_row_values(making)),
        };
        watched
    }

    /// Keeps a part up to date until there is no new version, or no reader.
    async fn make(self, key: Key, part: watch::Sender<Part>, mut versions: BoxStream<'static, String>) {
        loop {
            tokio::select! {
                version = versions.next() => match version {
                    // An event cannot hold a carriage return.
                    Some(text) => _ = part.send_replace(Some(text.replace('\r', " ").into())),
                    None => {
                        self.parts().remove(&key);
                        return;
                    }
                },
                () = part.closed() => {
                    let mut parts = self.parts();
                    // A reader may have come since.
                    if part.receiver_count() == 0 {
                        parts.remove(&key);
                        return;
                    }
                }
            }
        }
    }

    fn parts(&self) -> MutexGuard<'_, HashMap<Key, watch::Sender<Part>>> {
        self.parts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Waits. Nothing of a run waits here.
#[expect(clippy::disallowed_methods, reason = "a part that is looked at is made again after a while")]
pub(super) async fn pause(span: Duration) {
    tokio::time::sleep(span).await;
}

/// Returns the version that is there, and each newer one. A reader that is slow misses those in between.
fn changes(mut part: watch::Receiver<Part>) -> impl Stream<Item = Arc<str>> + Send {
    part.mark_changed();
    stream::unfold(part, |mut part| async move {
        loop {
            part.changed().await.ok()?;
            let version = part.borrow_and_update().clone();
            if let Some(version) = version {
                return Some((version, part));
            }
        }
    })
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use tidegate_engine::service::Visitor;
    use tokio::sync::mpsc;

    use super::*;

    fn reader(role: Role) -> Reader {
        Reader { visitor: Some(Visitor { name: "ann".to_owned(), role, rows: true }), ..Reader::default() }
    }

    #[tokio::test]
    async fn what_many_look_at_is_made_once_and_no_more_when_they_are_gone() {
        let (parts, made) = (LiveParts::default(), Arc::new(AtomicU32::new(0)));
        let (send, versions) = mpsc::unbounded_channel::<String>();
        let mut versions = Some(versions);
        let mut look = |role| {
            let made = made.clone();
            reader(role).sees(|| {
                changes(parts.subscribe("/".to_owned(), || {
                    made.fetch_add(1, Ordering::Relaxed);
                    let versions = versions.take().expect("begun once");
                    stream::unfold(versions, |mut versions| async move {
                        Some((versions.recv().await?, versions))
                    })
                    .boxed()
                }))
                .boxed()
            })
        };
        let (mut first, mut second) = (look(Role::Admin), look(Role::Editor));
        send.send("1".to_owned()).expect("sent");
        assert_eq!(&*first.next().await.expect("a version"), "1");
        assert_eq!(&*second.next().await.expect("a version"), "1");
        let mut third = look(Role::Admin);
        assert_eq!(&*third.next().await.expect("the version that is there"), "1");
        assert_eq!(made.load(Ordering::Relaxed), 1);
        drop((first, second, third));
        send.closed().await;
        assert!(parts.parts().is_empty());
    }

    #[tokio::test]
    async fn one_who_may_do_less_sees_another_part_and_the_last_version_comes_before_the_end() {
        let parts = LiveParts::default();
        let look = |role, text: &'static str| {
            reader(role).sees(|| {
                let make = || stream::iter([text.to_owned()]).boxed();
                changes(parts.subscribe("/".to_owned(), make)).boxed()
            })
        };
        let (mut editor, mut viewer) = (look(Role::Editor, "buttons"), look(Role::Viewer, "none"));
        assert_eq!(editor.next().await.as_deref(), Some("buttons"));
        assert_eq!(viewer.next().await.as_deref(), Some("none"));
        assert_eq!((editor.next().await, viewer.next().await), (None, None));
        assert!(parts.parts().is_empty());
    }
}
