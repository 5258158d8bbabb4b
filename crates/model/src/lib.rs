//! The nouns and contracts of Tidegate.
//!
//! A *sync* moves a feed to a destination and records every outcome. This crate names the things
//! that flow ([`Value`], [`Row`], [`Record`], [`Event`]), the contracts that parts keep
//! ([`Source`], [`Platform`], [`Sink`], [`Ingest`], [`Store`], [`Lease`], [`Bucket`], [`Comparison`],
//! [`AlertBook`](alert::AlertBook), [`PeopleBook`](people::PeopleBook), [`EventLog`], [`Http`]) and what is
//! said about what happened ([`Outcome`], [`Run`], [`Error`]). It opens no sockets, speaks no
//! SQL and starts no runtime.

pub mod address;
pub mod alert;
pub mod answers;
pub mod bookkeeping;
pub mod bucket;
pub mod checks;
pub mod clear_text;
pub mod clock;
pub mod comparison;
pub mod connector;
pub mod cursor;
pub mod data_type;
mod decimal;
mod delivered;
pub mod destination;
mod erasure;
pub mod error;
pub mod event;
pub mod event_log;
pub mod feed;
pub mod held;
pub mod http;
pub mod id;
pub mod ingest;
pub mod json;
mod kept_row;
pub mod lease;
mod ledger_query;
pub mod limits;
pub mod log;
pub mod mapping;
mod members;
pub mod mode;
pub mod object;
pub mod people;
pub mod print;
pub mod receipt;
pub mod record;
pub mod row;
mod row_columns;
pub mod row_hash;
mod row_status;
pub mod run;
pub mod settings;
mod shared_limits;
pub mod source;
pub mod store;
mod system;
pub mod value;
pub mod varint;

pub use bucket::{Bucket, BucketFile};
pub use checks::{Check, Checks};
pub use clock::{Clock, SystemClock};
pub use comparison::{Compared, Comparison, Differences, HashMemo};
pub use connector::{
    Connector, ConnectorContext, ContractRole, Faults, IngestRole, PlatformRole, PoisonAnswer,
    SandboxContext, SandboxRole, SinkRole, SinkTarget, SourceRole,
};
pub use cursor::{Lookback, Position};
pub use data_type::DataType;
pub use destination::{Destination, Platform, Sink};
pub use erasure::{Erasure, ErasureCounts};
pub use error::{Error, ErrorKind, Reaction, Result};
pub use event::{Event, EventSelection, Layout, LogId, LoggedEvent, Offset};
pub use event_log::{Appended, EventLog, Exported, Lag, Reading, Retention};
pub use feed::{Batch, Checkpoint, Feed, MalformedRecord, Origin, PartialRow};
pub use http::{Http, HttpFailure, OwnRequest};
pub use id::{ConnectionId, RunId, StreamId, SyncId};
pub use ingest::{ExportRequest, Ingest, IngestRoute, Received, SentBody};
pub use json::Json;
pub use kept_row::{KeptRow, RowPart, value_bytes};
pub use lease::{Claim, Claimed, Holder, Lease, Unshared};
pub use limits::{Limits, Rate};
pub use mapping::{Mapping, MappingSpec};
pub use members::Members;
pub use mode::Mode;
pub use object::{Idempotency, ObjectKind, ObjectSpec};
pub use receipt::{Outcome, RateLimitStatus, Reason, Receipt};
pub use record::{Body, Identity, Purchase, Record};
pub use row::{Columns, Row};
pub use row_hash::RowHash;
pub use run::{Cause, Counts, Ending, Progress, Run, RunFailure, Wait};
pub use settings::{Secret, Settings};
pub use shared_limits::{Booked, NotShared, SharedLimits};
pub use source::{Dataset, ReadMode, Selection, Source};
pub use store::Store;
pub use system::{System, SystemSetting, Systems};
pub use value::{Text, Value};
