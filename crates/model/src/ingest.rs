//! Events that come in by HTTP.

use async_trait::async_trait;
use bytes::Bytes;
use jiff::Timestamp;

use crate::{ConnectionId, Error, Event, EventSelection, Settings};

/// What was read from one request.
#[derive(Debug)]
pub struct Received {
    /// The events to make durable, in order.
    pub events: Vec<Event>,
    /// The answer, to be given once they are.
    pub answer: http::Response<Bytes>,
}

impl Received {
    /// Returns an answer to a request that brought no events.
    pub fn only(answer: http::Response<Bytes>) -> Received {
        Received { events: Vec::new(), answer }
    }

    /// About how many bytes of memory the events take until they are durable.
    pub fn memory(&self) -> usize {
        self.events.iter().map(|event| size_of::<Event>() + event.estimated_size()).sum()
    }
}

/// The body as it was sent, among the extensions of a request whose body was
/// compressed. Senders sign these bytes.
#[derive(Clone, Debug)]
pub struct SentBody(pub Bytes);

/// An export that was requested through the API of an ingest itself, as
/// with `PutEventStream`.
#[derive(Clone, Debug, PartialEq)]
pub struct ExportRequest {
    /// Unique in the connection, and the same after a restart.
    pub name: String,
    /// Which events.
    pub selection: EventSelection,
    /// Events that were logged before are not exported.
    pub since: Timestamp,
    /// The kind of the sink, for example `kinesis`.
    pub kind: String,
    /// The settings of that sink's connection.
    pub settings: Settings,
    /// The settings of the export under `destination:`.
    pub target: Settings,
}

/// One API under which events come in: OneSignal's event streams, the Pinpoint
/// data plane, plain JSON.
#[async_trait]
pub trait Ingest: Send + Sync {
    /// Authenticates a request by its HTTP headers, before its body is read.
    ///
    /// Returns the answer that ends the request: the sender is not authenticated, the path or method is
    /// unknown, or a rate is exceeded. Returns `None` if the body is to be read and given to
    /// [`Ingest::receive`]. Called once for each request. A signature that covers the body is
    /// checked in `receive`.
    ///
    /// Path, query and [`IngestRoute`] are those that `receive` gets.
    fn answer_head(&self, head: &http::request::Parts) -> Option<http::Response<Bytes>>;

    /// Reads one request whose head was let through by [`Ingest::answer_head`],
    /// and splits it into events.
    ///
    /// The path is the part after the connection's own route, for example `/` or
    /// `/v1/apps/a1/events`; the query is unchanged. The route is in the request's
    /// extensions as an [`IngestRoute`], for signatures over the whole path. A request that
    /// is not acceptable gets its answer in the vendor's own shape, and no events.
    async fn receive(&self, request: &http::Request<Bytes>) -> Received;

    /// Returns the answer to a request that cannot be taken, in the vendor's own
    /// shape: 429 or 503 with `Retry-After` when sending again helps, 413 or 400
    /// with the error's sentence when the request itself is at fault
    /// ([`crate::ErrorKind::TooLarge`], [`crate::ErrorKind::Rejected`]).
    fn error_response(&self, error: &Error) -> http::Response<Bytes>;

    /// The exports that callers asked for through this API. Looked at again
    /// after each request that changed something.
    ///
    /// # Errors
    /// If they cannot be listed now; what runs continues.
    fn exports(&self) -> Result<Vec<ExportRequest>, Error> {
        Ok(Vec::new())
    }

    /// Counts the changes of [`Ingest::exports`].
    fn exports_version(&self) -> u64 {
        0
    }
}

/// The connection of a request and its path prefix.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IngestRoute {
    /// The connection that the request is for.
    pub connection: ConnectionId,
    /// The path in front of its own paths, for example `/in/onesignal/shop`.
    pub path: String,
}
