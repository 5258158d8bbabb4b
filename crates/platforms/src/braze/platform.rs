//! Records to Braze.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use jiff::Timestamp;
use tidegate_model::{
    Body, Checks, Clock, ConnectorContext, Destination, Error, ErrorKind, Idempotency, Limits, ObjectKind,
    ObjectSpec, Outcome, Platform, Rate, Reason, Receipt, Record, Result, Settings,
};

use super::client::{self, Client, VENDOR};
use super::settings::{BrazeSettings, Rates, Target};
use super::{data_points, encode, outcome, validate};
use tidegate_transport::http::answer::RequestError;

/// Bytes of a request, with room for what weighing does not see.
///
/// Source: Braze docs, API limits: 4 MB for most endpoints.
const BYTES_MAX: usize = 3_800_000;
/// Users in a `/users/delete` request. Source: Braze docs, POST /users/delete.
const DELETIONS_MAX: usize = 50;
/// Items in a request that changes a catalog. Source: Braze docs, Catalogs.
const ITEMS_MAX: usize = 50;
const MINUTE: Duration = Duration::from_secs(60);

const PUT_ITEMS: &str = "catalogs.replace_items";
const DELETE_ITEMS: &str = "catalogs.delete_items";

/// Opens Braze for one kind of object.
pub(super) fn open(
    settings: &Settings,
    kind: ObjectKind,
    target: &Settings,
    context: &ConnectorContext,
) -> Result<Arc<dyn Platform>> {
    let settings: BrazeSettings = settings.parse()?;
    settings.validate()?;
    let target: Target = target.parse()?;
    let catalog = match kind {
        ObjectKind::CatalogItem => Some(target.catalog()?),
        _ => None,
    };
    let http = context.trusting(settings.ca_file.as_deref())?.http;
    Ok(Arc::new(Braze {
        kind,
        client: Client::new(http, &settings.base()?, &settings.api_key, catalog)?,
        clock: Arc::clone(&context.clock),
        objects_per_request: settings.objects_per_request,
        rates: settings.rates,
        target,
    }))
}

struct Braze {
    kind: ObjectKind,
    client: Client,
    clock: Arc<dyn Clock>,
    objects_per_request: usize,
    rates: Rates,
    target: Target,
}

#[async_trait]
impl Destination<Record> for Braze {
    async fn check(&self) -> Result<Checks> {
        let mut checks = Checks::default();
        let now = self.clock.now();
        let nothing = || bytes::Bytes::from_static(b"{\"items\":[]}");
        match self.kind {
            ObjectKind::User | ObjectKind::Event | ObjectKind::Purchase => {
                let empty = encode::track(self.kind, &[], false, now);
                prove(&mut checks, "users.track", self.client.track(empty).await, now, None)?;
            }
            ObjectKind::Deletion => {
                let empty = bytes::Bytes::from_static(b"{\"external_ids\":[]}");
                prove(&mut checks, "users.delete", self.client.delete_users(empty).await, now, None)?;
            }
            ObjectKind::CatalogItem => {
                let catalog = self.catalog();
                prove(&mut checks, PUT_ITEMS, self.client.put_items(nothing()).await, now, catalog)?;
                prove(&mut checks, DELETE_ITEMS, self.client.delete_items(nothing()).await, now, catalog)?;
            }
        }
        Ok(checks)
    }

    fn limits(&self) -> Limits {
        let (max_items, requests, per, bucket) = match self.kind {
            ObjectKind::User | ObjectKind::Event | ObjectKind::Purchase => {
                let per = Duration::from_secs(3);
                (self.objects_per_request, self.rates.track_per_3s, per, "users.track")
            }
            ObjectKind::Deletion => (DELETIONS_MAX, self.rates.delete_per_minute, MINUTE, "users.delete"),
            ObjectKind::CatalogItem => (ITEMS_MAX, self.rates.items_per_minute, MINUTE, "catalogs.items"),
        };
        Limits {
            max_items: max_items.min(self.objects_per_request),
            max_bytes: BYTES_MAX,
            linger: Duration::from_millis(50),
            // At the documented rate this hides an answer time of half a second.
            max_in_flight: 512,
            rate: Some(Rate { requests, per }),
            bucket,
            single_user: false,
            min_user_interval: Duration::ZERO,
        }
    }

    fn estimated_size(&self, record: &Record) -> usize {
        record.estimated_size()
    }

    fn validate(&self, record: &Record) -> Result<(), Reason> {
        validate::validate(self.kind, record, self.target.increments)
    }

    async fn deliver(&self, records: &[Record]) -> Result<Receipt> {
        if records.is_empty() {
            return Ok(Receipt::delivered(0));
        }
        match self.kind {
            ObjectKind::User | ObjectKind::Event | ObjectKind::Purchase => self.track(records).await,
            ObjectKind::Deletion => self.delete(records).await,
            ObjectKind::CatalogItem => self.change_items(records).await,
        }
    }
}

impl Platform for Braze {
    fn object(&self) -> ObjectSpec {
        let idempotency = match self.kind {
            ObjectKind::User if self.target.increments => Idempotency::None,
            ObjectKind::User | ObjectKind::Deletion | ObjectKind::CatalogItem => Idempotency::Idempotent,
            // Braze keeps identical events as separate ones.
            ObjectKind::Event | ObjectKind::Purchase => Idempotency::None,
        };
        let identifiers: &[&str] = match self.kind {
            ObjectKind::CatalogItem => &["id"],
            _ => &["external_id", "alias", "platform_id", "email", "phone"],
        };
        ObjectSpec { kind: self.kind, idempotency, identifiers }
    }

    /// `push_token_import` says how the tokens beside it are taken.
    fn always_sent(&self) -> &'static [&'static str] {
        &["push_token_import", "push_tokens"]
    }

    fn billing_unit(&self) -> Option<&'static str> {
        Some("data point")
    }

    fn billed_units(&self, record: &Record) -> u64 {
        data_points::of(record)
    }
}

impl Braze {
    async fn track(&self, records: &[Record]) -> Result<Receipt> {
        let existing_only = self.target.update_existing_only;
        let body = encode::track(self.kind, records, existing_only, self.clock.now());
        match self.client.track(body).await {
            Ok(answer) => {
                outcome::of_track(&answer, encode::array(self.kind), records.len(), self.clock.now())
            }
            Err(request_error) => request_error.into_receipt(records.len()),
        }
    }

    /// Deletes the users whose identifier is of the same kind as the first; the rest is deferred.
    async fn delete(&self, records: &[Record]) -> Result<Receipt> {
        let array = encode::deletion_array(&records[0].identity);
        let chosen: Vec<bool> =
            records.iter().map(|record| encode::deletion_array(&record.identity) == array).collect();
        let body = encode::delete(taken(records, &chosen).map(|record| &record.identity));
        let count = chosen.iter().filter(|taken| **taken).count();
        let receipt = match self.client.delete_users(body).await {
            Ok(answer) => outcome::of_whole(&answer, "users.delete", count, self.clock.now())?,
            Err(request_error) => request_error.into_receipt(count)?,
        };
        Ok(spread(receipt, &chosen))
    }

    /// Replaces or removes items, whichever the first record asks for; the rest is deferred.
    ///
    /// A request has each id once, and no change overtakes an earlier change of the same item.
    async fn change_items(&self, records: &[Record]) -> Result<Receipt> {
        let removal = is_removal(&records[0]);
        let mut seen = HashSet::with_capacity(records.len());
        let chosen: Vec<bool> = records
            .iter()
            .map(|record| seen.insert(record.label()) && is_removal(record) == removal)
            .collect();
        let body = encode::items(taken(records, &chosen));
        let count = chosen.iter().filter(|taken| **taken).count();
        let (answer, permission) = if removal {
            (self.client.delete_items(body).await, DELETE_ITEMS)
        } else {
            (self.client.put_items(body).await, PUT_ITEMS)
        };
        let receipt = match answer {
            Ok(answer) => outcome::of_whole(&answer, permission, count, self.clock.now())
                .map_err(|error| named(error, self.catalog()))?,
            Err(request_error) => request_error.into_receipt(count)?,
        };
        Ok(spread(receipt, &chosen))
    }

    /// Returns the catalog that items go to.
    fn catalog(&self) -> Option<&str> {
        self.target.catalog.as_deref().filter(|_| self.kind == ObjectKind::CatalogItem)
    }
}

/// Returns the error of a catalog that does not exist with its name instead of a status.
fn named(error: Error, catalog: Option<&str>) -> Error {
    let Some(name) = catalog.filter(|_| error.kind() == ErrorKind::Missing) else { return error };
    let next = error.next_step().to_owned();
    Error::new(ErrorKind::Missing, format!("{VENDOR} has no catalog `{name}`")).hint(next)
}

fn is_removal(record: &Record) -> bool {
    matches!(record.body, Body::CatalogRemoval { .. })
}

/// The records that were chosen for this request.
fn taken<'a>(records: &'a [Record], chosen: &'a [bool]) -> impl Iterator<Item = &'a Record> {
    records.iter().zip(chosen).filter(|(_, taken)| **taken).map(|(record, _)| record)
}

/// Gives the chosen records their outcomes; the others wait for the next request.
fn spread(receipt: Receipt, chosen: &[bool]) -> Receipt {
    let mut outcomes = receipt.outcomes.into_iter();
    let other = Reason::new("next_request", "Braze takes it in a request of its own kind");
    let outcomes = chosen
        .iter()
        .map(|taken| match taken {
            true => outcomes.next().unwrap_or_else(|| Outcome::Unknown(other.clone())),
            false => Outcome::Deferred(other.clone()),
        })
        .collect();
    Receipt { outcomes, rate_limit: receipt.rate_limit }
}

/// Reads the answer to a request that has nothing in it: a key with the
/// permission gets as far as being told so.
fn prove(
    checks: &mut Checks,
    permission: &str,
    answer: Result<http::Response<bytes::Bytes>, RequestError>,
    now: Timestamp,
    catalog: Option<&str>,
) -> Result<()> {
    let answer = answer.map_err(RequestError::into_error)?;
    if answer.status().is_success() || answer.status() == http::StatusCode::BAD_REQUEST {
        checks.pass(permission, format!("{VENDOR} takes the API key"));
        return Ok(());
    }
    let error = named(client::request_error(&answer, permission, now).into_error(), catalog);
    match error.kind() {
        ErrorKind::Denied | ErrorKind::Missing => {
            checks.fail(permission, error.with_words(), error.next_step());
            Ok(())
        }
        _ => Err(error),
    }
}

/// What Braze answers when it takes everything.
pub(super) fn dry_run_response(request: &http::Request<bytes::Bytes>) -> http::Response<bytes::Bytes> {
    let path = request.uri().path();
    let (status, body) = if path.starts_with("/catalogs") {
        (202, r#"{"message":"success"}"#)
    } else {
        (201, r#"{"message":"success"}"#)
    };
    let mut response = http::Response::new(bytes::Bytes::from_static(body.as_bytes()));
    *response.status_mut() = http::StatusCode::from_u16(status).unwrap_or(http::StatusCode::OK);
    response
}
