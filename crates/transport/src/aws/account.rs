//! An account and one of its services.

use std::sync::Arc;

use bytes::Bytes;
use http::header::{CONTENT_TYPE, HeaderName, HeaderValue};
use http::{Request, Response, Uri};
use tidegate_model::{Checks, Clock, Error, ErrorKind, Http, Result, Secret, Tools};

use super::credentials::{Keys, Wallet};
use super::refusal::{self, Meaning, Refusal};
use super::settings::AwsSettings;
use super::sign::sign;
use crate::http::answer::{self, Miss};

/// A service that speaks JSON 1.1.
pub struct Service {
    /// Its name for people.
    pub title: &'static str,
    /// Its name in addresses and signatures.
    pub name: &'static str,
    /// What stands before the operation in `X-Amz-Target`.
    pub target: &'static str,
}

/// The next steps that only the connector knows.
pub struct Help {
    /// Where what was asked for is not there.
    pub missing: String,
    /// Where a permission is lacking.
    pub denied: String,
}

/// Calls a service in the name of an account.
pub struct Account {
    service: &'static Service,
    help: Help,
    region: String,
    endpoint: Uri,
    wallet: Wallet,
    http: Arc<dyn Http>,
    clock: Arc<dyn Clock>,
}

impl Account {
    /// Opens it, without I/O.
    ///
    /// # Errors
    /// Settings that cannot work.
    pub fn open(
        settings: &AwsSettings,
        service: &'static Service,
        help: Help,
        tools: &Tools,
    ) -> Result<Account> {
        settings.validate()?;
        Ok(Account {
            service,
            help,
            region: settings.region.clone(),
            endpoint: settings.endpoint_of(service.name)?,
            wallet: Wallet::open(settings, tools)?,
            http: Arc::clone(&tools.http),
            clock: Arc::clone(&tools.clock),
        })
    }

    /// The name of the service for people.
    pub fn title(&self) -> &'static str {
        self.service.title
    }

    /// The time.
    pub fn clock(&self) -> &dyn Clock {
        &*self.clock
    }

    /// Calls an operation once and returns its success.
    ///
    /// Where the credentials have run out in the meantime, new ones are looked
    /// for and the call is made with them: the first one had no effect.
    pub async fn call(&self, operation: &'static str, body: Bytes) -> Result<Response<Bytes>, Miss> {
        let keys = self.wallet.keys().await.map_err(Miss::NoEffect)?;
        let answer = self.send(operation, body.clone(), &keys).await?;
        if answer.status().is_success() {
            return Ok(answer);
        }
        let expired = Refusal::read(&answer)
            .is_some_and(|refusal| refusal::meaning(&refusal.code) == Some(Meaning::Expired));
        if expired && let Some(keys) = self.wallet.replace(&keys).await.map_err(Miss::NoEffect)? {
            let answer = self.send(operation, body, &keys).await?;
            return if answer.status().is_success() { Ok(answer) } else { Err(self.miss(&answer)) };
        }
        Err(self.miss(&answer))
    }

    fn miss(&self, answer: &Response<Bytes>) -> Miss {
        refusal::miss(self.service.title, answer, &self.help.missing, &self.help.denied)
    }

    async fn send(&self, operation: &'static str, body: Bytes, keys: &Keys) -> Result<Response<Bytes>, Miss> {
        let mut request = Request::new(body);
        *request.method_mut() = http::Method::POST;
        *request.uri_mut() = self.endpoint.clone();
        let target = HeaderValue::try_from(format!("{}.{operation}", self.service.target))
            .map_err(|_| Miss::NoEffect(Error::internal("an operation's name cannot stand in a header")))?;
        let headers = request.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/x-amz-json-1.1"));
        headers.insert(HeaderName::from_static("x-amz-target"), target);
        sign(&mut request, keys, self.service.name, &self.region, self.clock.now())
            .map_err(Miss::NoEffect)?;
        let answer = self.http.send(request).await.map_err(|failure| answer::lost(self.title(), &failure))?;
        Ok(without(keys, answer))
    }
}

/// The answer without what could be repeated of the keys.
fn without(keys: &Keys, answer: Response<Bytes>) -> Response<Bytes> {
    // A success is read by position only, and nothing of it is shown.
    if answer.status().is_success() {
        return answer;
    }
    let hide = |answer, secret: &Secret| answer::without(secret, answer);
    let answer = hide(answer, &keys.secret);
    keys.token.iter().fold(answer, hide)
}

/// Notes what a person can mend; the rest is an error.
pub fn failed(checks: &mut Checks, name: &str, miss: Miss) -> Result<()> {
    let error = miss.into_error();
    match error.kind() {
        ErrorKind::Denied | ErrorKind::Missing | ErrorKind::Settings => {
            checks.fail(name, error.message(), error.next_step());
            Ok(())
        }
        _ => Err(error),
    }
}
