//! `tidegate serve`

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use metrics_exporter_prometheus::{Matcher, PrometheusBuilder};
use tidegate_engine::service::{
    ActiveProject, Engine, Oidc, OidcSettings, RUN_BUCKETS, RUN_SECONDS, Refusal, describe_metrics,
    every_variable_is_set,
};
use tidegate_model::{Error, ErrorKind};
use tidegate_transport::http::RealHttp;
use tidegate_web::ServerTls;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::doctor::free_space;
use super::signals;
use crate::DONE;
use crate::cli::{ProjectArgs, Serve};
use crate::output::{self, note};

pub(super) async fn serve(args: &ProjectArgs, options: Serve) -> Result<u8, Error> {
    // Listened for from the beginning: unheard, it would end the process.
    let hangups = signal(SignalKind::hangup())
        .map_err(|cause| Error::internal("SIGHUP cannot be listened for").caused_by(cause))?;
    let tls = match (options.tls_cert, options.tls_key) {
        (Some(certificate), Some(key)) => Some(Arc::new(ServerTls::open(certificate, key)?)),
        _ => None,
    };
    let door = Door { tls: tls.clone(), oidc: options.oidc.settings()? };
    let stop = signals::stop_on(signals::Hangup::IsHandled);
    let server = Server::start(args, options.listen, options.read_only_project, door, stop).await?;
    announce(&server.engine, server.address, tls.is_some()).await;
    tokio::spawn(reload_on_signals(hangups, server.project.clone(), tls, server.stop.clone()));
    server.until_stopped().await;
    Ok(DONE)
}

/// How people come in.
#[derive(Default)]
pub(super) struct Door {
    /// The certificate of the server, if it speaks https.
    tls: Option<Arc<ServerTls>>,
    /// The identity provider by which people sign in besides passwords.
    oidc: Option<OidcSettings>,
}

/// The scheduler, the dashboard and the ingest of a project, while they run.
pub(super) struct Server {
    /// The engine that the server began with.
    pub(super) engine: Arc<Engine>,
    project: Arc<ActiveProject>,
    pub(super) address: SocketAddr,
    /// Fires when the process is asked to stop; firing it stops the server.
    pub(super) stop: CancellationToken,
    scheduler: JoinHandle<()>,
    web: JoinHandle<()>,
}

impl Server {
    /// Opens the project and serves it on `address`, until `stop` fires. A project that is `read_only` changes in its file only.
    pub(super) async fn start(
        args: &ProjectArgs,
        address: SocketAddr,
        read_only: bool,
        door: Door,
        stop: CancellationToken,
    ) -> Result<Server, Error> {
        let metrics = PrometheusBuilder::new()
            .set_buckets_for_metric(Matcher::Full(RUN_SECONDS.to_owned()), RUN_BUCKETS)
            .and_then(PrometheusBuilder::install_recorder)
            .map_err(|cause| Error::internal("metrics cannot be recorded").caused_by(cause))?;
        describe_metrics(env!("CARGO_PKG_VERSION"));
        let text = tidegate_project::read_text(&args.project)?;
        let data = args.data_folder();
        let engine = args.serving_engine().await?.with_disk(move || free_space(&data));
        let engine = Arc::new(with_provider(engine, door.oidc).await?);
        every_variable_is_set(engine.project())?;
        // Settings that cannot work are an error first, not a warning about what they prevent.
        engine.open_ingest_endpoints().await?;
        // Events that an older copy of the log took would have the offsets of those that it has lost.
        engine
            .fence_log()
            .await
            .map_err(|error| error.context("comparing the event log with what was exported"))?;
        let listener = tidegate_web::listen(address).await?;
        let address = listener.local_addr().unwrap_or(address);
        tidegate_transport::http::listens_on(address);
        let project = ActiveProject::new(engine.clone(), args.project.clone(), &text, read_only);
        let project = Arc::new(project);
        let scheduler = tokio::spawn({
            let (project, stop) = (project.clone(), stop.clone());
            async move { project.run_scheduler(stop).await }
        });
        let web =
            tokio::spawn(tidegate_web::serve(project.clone(), metrics, listener, door.tls, stop.clone()));
        Ok(Server { engine, project, address, stop, scheduler, web })
    }

    /// Serves until the process is asked to stop, and finishes what is under way.
    pub(super) async fn until_stopped(self) {
        if let Err(fault) = self.web.await {
            tracing::error!(%fault, "internal error: the web server ended");
        }
        // Stop the scheduler when the server exits.
        self.stop.cancel();
        self.engine.stop_background().await;
        if let Err(fault) = self.scheduler.await {
            tracing::error!(%fault, "internal error: the scheduler ended");
        }
    }
}

/// Gives the engine the identity provider of the settings. One that cannot be reached may come back later.
async fn with_provider(engine: Engine, settings: Option<OidcSettings>) -> Result<Engine, Error> {
    /// How long the start waits for it.
    const PATIENCE: Duration = Duration::from_secs(10);
    let Some(settings) = settings else { return Ok(engine) };
    let oidc = Oidc::new(settings, Arc::new(RealHttp::new()?))?;
    match tokio::time::timeout(PATIENCE, oidc.check(engine.now())).await {
        Ok(Ok(())) => {}
        Ok(Err(error)) if error.kind() == ErrorKind::Settings => return Err(error),
        Ok(Err(error)) => {
            let error = error.chain();
            tracing::warn!(error, "people cannot sign in at the identity provider now");
        }
        Err(_) => tracing::warn!("the identity provider does not answer, so people cannot sign in there now"),
    }
    Ok(engine.with_oidc(oidc))
}

/// Reads the project file and the certificate again at each SIGHUP, until `stop` fires. A file that cannot be
/// used changes nothing.
async fn reload_on_signals(
    mut hangups: Signal,
    project: Arc<ActiveProject>,
    tls: Option<Arc<ServerTls>>,
    stop: CancellationToken,
) {
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            signal = hangups.recv() => if signal.is_none() { return },
        }
        match tls.as_ref().map(|tls| tls.reload()) {
            Some(Ok(())) => note("the certificate was read again"),
            Some(Err(error)) => {
                note("the certificate was read again and cannot be used; the one before stays active");
                output::error(&error);
            }
            None => {}
        }
        match project.reload().await {
            Ok(proposal) => {
                let changed = match proposal.changes.is_empty() {
                    true => "nothing in it changed".to_owned(),
                    false => proposal.changes.to_string(),
                };
                note(format!("the project was read again: {}", changed.replace('\n', ", ")));
                for key in proposal.after_restart {
                    note(format!("  `{key}` counts from the next start"));
                }
            }
            Err(refusal) => {
                let error = match refusal {
                    Refusal::Invalid(invalid) => invalid.into(),
                    Refusal::Failed(error) => error,
                    Refusal::Stale(_) | Refusal::ReadOnly => continue,
                };
                note("the project was read again and cannot be used; the one before stays active");
                output::error(&error);
            }
        }
    }
}

/// The address by which a browser of this machine reaches the server.
pub(super) fn local(address: SocketAddr) -> SocketAddr {
    match address.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => (Ipv4Addr::LOCALHOST, address.port()).into(),
        IpAddr::V6(ip) if ip.is_unspecified() => (Ipv6Addr::LOCALHOST, address.port()).into(),
        _ => address,
    }
}

/// Lists addresses and syncs on stderr: stdout is for data.
async fn announce(engine: &Engine, address: SocketAddr, is_encrypted: bool) {
    let scheme = if is_encrypted { "https" } else { "http" };
    note(format!("listening on {scheme}://{address}"));
    note(format!("  dashboard  {scheme}://{}/", local(address)));
    match engine.invite_first().await {
        Ok(Some(key)) => note(format!("  first admin  {scheme}://{}/welcome?key={key}", local(address))),
        Ok(None) => {}
        Err(error) => tracing::warn!(error = error.chain(), "the link of the first admin could not be made"),
    }
    for endpoint in engine.ingest_endpoints() {
        note(format!("  events  {}", endpoint.path()));
        for path in endpoint.paths {
            note(format!("          /{path}/…"));
        }
    }
    for (id, sync) in engine.project().syncs.iter().filter(|(_, sync)| !sync.options().enabled) {
        note(format!(
            "  draft   {id}: {} → {}, does not run (`enabled: false`)",
            sync.source(),
            sync.destination()
        ));
    }
    for (id, schedule) in engine.scheduled_syncs() {
        let Some(sync) = engine.project().syncs.get(&id) else { continue };
        note(format!("  sync    {id}: {} → {}, {schedule}", sync.source(), sync.destination()));
    }
}
