//! `tidegate serve`

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;

use metrics_exporter_prometheus::{Matcher, PrometheusBuilder};
use tidegate_engine::service::{Engine, RUN_BUCKETS, RUN_SECONDS, describe_metrics};
use tidegate_model::Error;
use tidegate_project::Project;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::DONE;
use crate::cli::ProjectArgs;
use crate::output::note;

pub(super) async fn serve(args: &ProjectArgs, address: SocketAddr) -> Result<u8, Error> {
    let server = Server::start(args, address).await?;
    announce(&server.engine, server.address).await;
    server.until_stopped().await;
    Ok(DONE)
}

/// The scheduler, the dashboard and the ingest of a project, while they run.
pub(super) struct Server {
    pub(super) engine: Arc<Engine>,
    pub(super) address: SocketAddr,
    /// Fires when the process is asked to stop; firing it stops the server.
    pub(super) stop: CancellationToken,
    scheduler: JoinHandle<()>,
    web: JoinHandle<()>,
}

impl Server {
    /// Opens the project and serves it on `address`.
    pub(super) async fn start(args: &ProjectArgs, address: SocketAddr) -> Result<Server, Error> {
        let metrics = PrometheusBuilder::new()
            .set_buckets_for_metric(Matcher::Full(RUN_SECONDS.to_owned()), RUN_BUCKETS)
            .and_then(PrometheusBuilder::install_recorder)
            .map_err(|cause| Error::internal("metrics cannot be recorded").caused_by(cause))?;
        describe_metrics(env!("CARGO_PKG_VERSION"));
        let engine = Arc::new(args.serving_engine().await?);
        every_variable_is_set(engine.project())?;
        // Settings that cannot work are an error first, not a warning about what they prevent.
        engine.open_ingest_endpoints().await?;
        if let Err(error) = engine.fence_log().await {
            let error = error.chain();
            tracing::warn!(error, "the event log could not be compared with what was exported");
        }
        let listener = tidegate_web::listen(address).await?;
        let address = listener.local_addr().unwrap_or(address);
        let stop = super::stop_on_signals();
        let scheduler = tokio::spawn({
            let (engine, stop) = (engine.clone(), stop.clone());
            async move { engine.run_scheduler(stop).await }
        });
        let web = tokio::spawn(tidegate_web::serve(engine.clone(), metrics, listener, stop.clone()));
        Ok(Server { engine, address, stop, scheduler, web })
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

/// The address by which a browser of this machine reaches the server.
pub(super) fn local(address: SocketAddr) -> SocketAddr {
    match address.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => (Ipv4Addr::LOCALHOST, address.port()).into(),
        IpAddr::V6(ip) if ip.is_unspecified() => (Ipv6Addr::LOCALHOST, address.port()).into(),
        _ => address,
    }
}

/// Lists addresses and syncs on stderr: stdout is for data.
async fn announce(engine: &Engine, address: SocketAddr) {
    note(format!("listening on http://{address}"));
    note(format!("  dashboard  http://{}/", local(address)));
    match engine.invite_first().await {
        Ok(Some(key)) => note(format!("  first admin  http://{}/welcome?key={key}", local(address))),
        Ok(None) => {}
        Err(error) => tracing::warn!(error = error.chain(), "the link of the first admin could not be made"),
    }
    for endpoint in engine.ingest_endpoints() {
        note(format!("  events  /in/{}/{}", endpoint.kind, endpoint.connection));
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

/// Fails at the start, not at the first run at night.
fn every_variable_is_set(project: &Project) -> Result<(), Error> {
    let unset = project.unset_to_serve();
    if unset.is_empty() {
        return Ok(());
    }
    let each = |join: &dyn Fn(&str, &str) -> String| {
        unset.iter().map(|variable| join(&variable.name, &variable.path)).collect::<Vec<_>>().join(", ")
    };
    let listed = each(&|name, path| format!("{name} (`{path}`)"));
    Err(Error::settings(format!("environment variables are not set: {listed}"))
        .hint("set them, or give them a default: `${NAME:-default}`"))
}
