//! The data plane's calls.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use async_trait::async_trait;
use bytes::Bytes;
use http::request::Parts;
use http::{HeaderMap, Method, Request, Response, StatusCode, Uri};
use serde_json::{Value, json};
use tidegate_model::{
    Clock, ConnectorContext, Error, Event, ExportRequest, Ingest, Received, Result, Settings,
};

use super::answer::{ErrorResponse, answer, preflight};
use super::app_record::Context;
use super::batch::{Batch, object_of};
use super::endpoints::{self, EndpointKey, Stop};
use super::route::{Action, Call};
use super::settings::PinpointSettings;
use super::signature::{Claim, Unclaimed};
use super::store::{Object, Session, Store};
use super::streams;
use tidegate_transport::http::ingest::wait_for;

/// Endpoints of one `UpdateEndpointsBatch`.
const ENDPOINTS_MAX: usize = 100;

struct DataPlane {
    settings: Arc<PinpointSettings>,
    store: Arc<Store>,
    clock: Arc<dyn Clock>,
    streams_version: AtomicU64,
}

/// What a call came to.
enum Done {
    /// Events to make durable, and the answer.
    Events(Vec<Event>, Value),
    /// A body with its status.
    Body(StatusCode, Object),
    /// 202 with a message and the request's id.
    Accepted,
    /// An event stream that was changed.
    Stream(Object),
}

/// Why a call has no effect.
enum Failure {
    Response(ErrorResponse),
    Failed(Error),
}

impl From<ErrorResponse> for Failure {
    fn from(response: ErrorResponse) -> Failure {
        Failure::Response(response)
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Failure {
        Failure::Failed(error)
    }
}

impl From<Stop> for Failure {
    fn from(stop: Stop) -> Failure {
        match stop {
            Stop::Bad(message) => Failure::Response(ErrorResponse::bad(message)),
            Stop::Failed(error) => Failure::Failed(error),
        }
    }
}

fn file(settings: &PinpointSettings, tools: &ConnectorContext) -> PathBuf {
    match &settings.file {
        Some(file) => tools.project.join(file),
        None => tools.data.join("pinpoint.db"),
    }
}

/// Erases the endpoints of a user. Returns how many there were.
pub(super) fn erase(settings: &Settings, tools: &ConnectorContext, user: &str) -> Result<u64> {
    let file = file(&settings.parse()?, tools);
    if file.exists() { Store::new(file).erase(user) } else { Ok(0) }
}

/// Opens the data plane. Its file is opened with the first request.
pub(super) fn open(settings: &Settings, tools: &ConnectorContext) -> Result<Arc<dyn Ingest>> {
    let settings: PinpointSettings = settings.parse()?;
    settings.validate()?;
    let file = file(&settings, tools);
    Ok(Arc::new(DataPlane {
        settings: Arc::new(settings),
        store: Arc::new(Store::new(file)),
        clock: Arc::clone(&tools.clock),
        streams_version: AtomicU64::new(0),
    }))
}

#[async_trait]
impl Ingest for DataPlane {
    fn answer_head(&self, head: &Parts) -> Option<Response<Bytes>> {
        if head.method == Method::OPTIONS {
            return Some(preflight(&head.headers));
        }
        self.open(&head.method, &head.uri, &head.headers).err().map(ErrorResponse::into_response)
    }

    async fn receive(&self, request: &Request<Bytes>) -> Received {
        match self.call(request).await {
            Ok(Done::Events(events, results)) => {
                Received { events, answer: answer(StatusCode::ACCEPTED, |_| results) }
            }
            Ok(Done::Body(status, body)) => Received::only(answer(status, |_| Value::Object(body))),
            Ok(Done::Stream(stream)) => {
                self.streams_version.fetch_add(1, Ordering::Release);
                Received::only(answer(StatusCode::OK, |_| Value::Object(stream)))
            }
            Ok(Done::Accepted) => {
                let body = |id: &str| json!({ "Message": "Accepted", "RequestID": id });
                Received::only(answer(StatusCode::ACCEPTED, body))
            }
            Err(Failure::Response(response)) => Received::only(response.into_response()),
            Err(Failure::Failed(error)) => {
                tracing::error!(error = %error.chain(), "the Pinpoint data plane cannot keep its state");
                Received::only(self.error_response(&error))
            }
        }
    }

    fn error_response(&self, error: &Error) -> Response<Bytes> {
        let mut answer = ErrorResponse::from(error).into_response();
        wait_for(&mut answer, error, self.clock.now());
        answer
    }

    fn exports(&self) -> Result<Vec<ExportRequest>, Error> {
        let streams = self.store.transact(|session| session.streams())?;
        Ok(streams.iter().filter_map(|stream| streams::export(stream, &self.settings.streams)).collect())
    }

    fn exports_version(&self) -> u64 {
        self.streams_version.load(Ordering::Acquire)
    }
}

impl DataPlane {
    /// The call that a request makes, and who claims to make it. Whether the claim
    /// is true is known with the body only. Without a claim the sender is anonymous.
    fn open(
        &self,
        method: &Method,
        uri: &Uri,
        headers: &HeaderMap,
    ) -> Result<(Call, Option<Claim<'_>>), ErrorResponse> {
        let keys = &self.settings.access_keys;
        let claim = match Claim::of(uri, headers, keys, self.clock.now()) {
            Ok(claim) => Some(claim),
            Err(Unclaimed::Stranger(_)) if self.settings.anonymous => None,
            Err(Unclaimed::Stranger(response) | Unclaimed::Wrong(response)) => return Err(response),
        };
        let call = Call::of(method, uri.path())?;
        if !self.settings.apps.is_empty() && !self.settings.apps.contains(&call.app) {
            return Err(ErrorResponse::missing("There is no application with this id"));
        }
        if claim.is_none() && !call.action.is_open() {
            let message = "This call must be signed with one of the connection's access keys";
            return Err(ErrorResponse::forbidden("ForbiddenException", message));
        }
        Ok((call, claim))
    }

    async fn call(&self, request: &Request<Bytes>) -> Result<Done, Failure> {
        let now = self.clock.now();
        let (Call { app, action }, claim) = self.open(request.method(), request.uri(), request.headers())?;
        let sender = match claim {
            Some(claim) => claim.verify(request)?.to_owned(),
            None => "anonymous".to_owned(),
        };
        let (settings, store) = (Arc::clone(&self.settings), Arc::clone(&self.store));
        let body = request.body().clone();
        let work = tokio::task::spawn_blocking(move || {
            let context = Context { app: &app, account: settings.account(), arrival: now };
            match action {
                Action::PutEvents => {
                    let batch = Batch::read(&body)?;
                    let (events, results) = store.transact(|session| batch.take(session, context))?;
                    Ok(Done::Events(events, results))
                }
                Action::PutEventStream => {
                    let stream = streams::requested(&app, &object_of(&body)?, &sender, now)?;
                    store.transact(|session| session.save_stream(&app, &stream, &now.to_string()))?;
                    Ok(Done::Stream(stream))
                }
                action => store.transact(|session| perform(session, context, action, &body)),
            }
        });
        work.await
            .unwrap_or_else(|_| Err(Error::internal("a call of the Pinpoint data plane panicked").into()))
    }
}

/// The calls that only read or change what is remembered.
fn perform(
    session: &Session<'_>,
    context: Context<'_>,
    action: Action,
    body: &[u8],
) -> Result<Done, Failure> {
    let (app, now) = (context.app, context.arrival);
    let endpoint_of = |id: &str| {
        session
            .endpoint(app, id)?
            .ok_or_else(|| Failure::from(ErrorResponse::missing("There is no such endpoint")))
    };
    match action {
        Action::GetEventStream | Action::DeleteEventStream => {
            let missing = || ErrorResponse::missing("There is no event stream for this application");
            let stream = session.stream(app)?.ok_or_else(missing)?;
            if action == Action::GetEventStream {
                return Ok(Done::Body(StatusCode::OK, stream));
            }
            session.delete_stream(app)?;
            Ok(Done::Stream(stream))
        }
        Action::UpdateEndpoint(id) => {
            endpoints::update(session, EndpointKey { app, id: &id }, &object_of(body)?, now)?;
            Ok(Done::Accepted)
        }
        Action::UpdateEndpointsBatch => {
            update_all(session, context, &object_of(body)?)?;
            Ok(Done::Accepted)
        }
        Action::GetEndpoint(id) => Ok(Done::Body(StatusCode::OK, endpoint_of(&id)?)),
        Action::DeleteEndpoint(id) => {
            let endpoint = endpoint_of(&id)?;
            session.delete_endpoint(app, &id)?;
            Ok(Done::Body(StatusCode::ACCEPTED, endpoint))
        }
        Action::GetUserEndpoints(user) => user_endpoints(session, app, &user, StatusCode::OK),
        Action::DeleteUserEndpoints(user) => {
            let done = user_endpoints(session, app, &user, StatusCode::ACCEPTED)?;
            for endpoint in session.endpoints_of(app, &user)? {
                let id = endpoint.get("Id").and_then(Value::as_str).unwrap_or_default();
                session.delete_endpoint(app, id)?;
            }
            Ok(done)
        }
        Action::PutEvents | Action::PutEventStream => {
            Err(Error::internal("this call is made elsewhere").into())
        }
    }
}

fn user_endpoints(session: &Session<'_>, app: &str, user: &str, status: StatusCode) -> Result<Done, Failure> {
    let list = session.endpoints_of(app, user)?;
    if list.is_empty() {
        return Err(ErrorResponse::missing("There is no such user").into());
    }
    Ok(Done::Body(status, Object::from_iter([("Item".to_owned(), json!(list))])))
}

fn update_all(session: &Session<'_>, context: Context<'_>, body: &Object) -> Result<(), Failure> {
    let Some(Value::Array(items)) = body.get("Item") else {
        return Err(ErrorResponse::bad("Item is required and must be a list").into());
    };
    if items.len() > ENDPOINTS_MAX {
        return Err(ErrorResponse::bad(format!("A request has at most {ENDPOINTS_MAX} endpoints")).into());
    }
    for (at, item) in items.iter().enumerate() {
        let id = item.get("Id").and_then(Value::as_str).filter(|id| !id.is_empty());
        let (Some(id), Some(request)) = (id, item.as_object()) else {
            return Err(ErrorResponse::bad(format!("Item[{at}].Id is required")).into());
        };
        let key = EndpointKey { app: context.app, id };
        endpoints::update(session, key, request, context.arrival).map_err(|stop| match stop {
            Stop::Bad(message) => Stop::Bad(format!("Item[{at}]: {message}")),
            failed @ Stop::Failed(_) => failed,
        })?;
    }
    Ok(())
}
