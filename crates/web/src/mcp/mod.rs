//! The Model Context Protocol: what an agent may ask and do, by the functions of the API.
//!
//! `tools` lists what there is, `arguments` what each tool takes, `calls` does it. Over HTTP a token says
//! who asks, as for the API; on standard input it is the person who started the program.

mod arguments;
mod calls;
mod tools;

use std::os::fd::AsFd as _;
use std::sync::Arc;

use axum::Router;
use axum::http::request::Parts;
use rmcp::ServiceExt as _;
use rmcp::handler::server::ServerHandler;
use rmcp::model::{
    CallToolRequestParams, CallToolResponse, CallToolResult, ContentBlock, Implementation, ListToolsResult,
    PaginatedRequestParams, ServerCapabilities, ServerConfig,
};
use rmcp::service::{RequestContext, RoleServer};
use rmcp::transport::streamable_http_server::session::never::NeverSessionManager;
use rmcp::transport::streamable_http_server::{StreamableHttpServerConfig, StreamableHttpService};
use serde_json::Value;
use tidegate_engine::service::{Engine, Visitor, without_row_values};
use tidegate_model::{Error, ErrorKind};
use tokio::fs::File;
use tokio_util::sync::CancellationToken;

use crate::Serving;
use crate::api::Problem;

/// What an agent is told before it calls a tool.
const INSTRUCTIONS: &str = "Tidegate moves customer data between warehouses, streams and files and the \
    platforms Braze and OneSignal. A sync has one source and one destination; each execution of it is a run; \
    rows that were rejected, or of which it is not known whether they took effect, are failed rows, in \
    groups by reason. Begin with list_syncs. To explain a failure, read get_sync and \
    list_failed_row_groups. Call plan_sync before run_sync.";

/// Answers an agent over HTTP at `/mcp`. Each request stands alone: there are no sessions.
pub(crate) fn routes(serving: Serving) -> Router {
    let config = StreamableHttpServerConfig::default()
        .with_legacy_session_mode(false)
        .with_json_response(true)
        // Who may ask, and by which name of this machine, is decided before.
        .disable_allowed_hosts();
    let agent = Agent { engine: Arc::new(move || serving.0.engine()), visitor: None };
    let service = move || Ok(agent.clone());
    let service = StreamableHttpService::new(service, Arc::new(NeverSessionManager::default()), config);
    Router::new().route_service("/mcp", service)
}

/// Answers one agent on standard input and output, until it closes them or `stop` fires.
///
/// # Errors
/// If the other side does not speak the protocol.
pub async fn serve_agent(
    engine: Arc<Engine>,
    visitor: Visitor,
    stop: CancellationToken,
) -> Result<(), Error> {
    let agent = Agent { engine: Arc::new(move || engine.clone()), visitor: Some(visitor) };
    let (input, output) = standard_streams()?;
    let begun = tokio::select! {
        begun = agent.serve((input, output)) => begun,
        () = stop.cancelled() => return Ok(()),
    };
    let running = begun.map_err(|cause| {
        tracing::debug!(%cause, "an agent did not begin");
        let why = "what came on standard input does not begin as the Model Context Protocol says";
        Error::new(ErrorKind::Rejected, why)
            .hint("let an agent start `tidegate mcp`: its settings name the command")
    })?;
    let ended = running.cancellation_token();
    tokio::select! {
        done = running.waiting() => match done {
            Ok(_) => Ok(()),
            Err(fault) => Err(Error::internal("the connection of the agent ended early").caused_by(fault)),
        },
        () = stop.cancelled() => {
            ended.cancel();
            Ok(())
        }
    }
}

/// Returns standard input and output. (Those of tokio are a feature that would rebuild all that uses it.)
fn standard_streams() -> Result<(File, File), Error> {
    let broken = |cause| {
        Error::new(ErrorKind::Unavailable, "standard input or output cannot be used")
            .hint("let an agent start `tidegate mcp`: its settings name the command")
            .caused_by(cause)
    };
    let input = std::io::stdin().as_fd().try_clone_to_owned().map_err(broken)?;
    let output = std::io::stdout().as_fd().try_clone_to_owned().map_err(broken)?;
    let file = |stream| File::from_std(std::fs::File::from(stream));
    Ok((file(input), file(output)))
}

/// An agent, as the server of the protocol sees it.
#[derive(Clone)]
struct Agent {
    /// Returns the engine of the latest version of the project.
    engine: Arc<dyn Fn() -> Arc<Engine> + Send + Sync>,
    /// Who asks, if no request says so.
    visitor: Option<Visitor>,
}

impl Agent {
    fn visitor(&self, context: &RequestContext<RoleServer>) -> Result<Visitor, rmcp::ErrorData> {
        let request = context.extensions.get::<Parts>();
        let visitor = request.and_then(|request| request.extensions.get::<Visitor>());
        visitor
            .or(self.visitor.as_ref())
            .cloned()
            .ok_or_else(|| rmcp::ErrorData::invalid_request("sign in first", None))
    }
}

impl ServerHandler for Agent {
    fn get_info(&self) -> ServerConfig {
        ServerConfig::new(ServerCapabilities::builder().enable_tools().build())
            .with_server_info(Implementation::new("tidegate", env!("CARGO_PKG_VERSION")))
            .with_instructions(INSTRUCTIONS)
    }

    async fn list_tools(
        &self,
        _: Option<PaginatedRequestParams>,
        context: RequestContext<RoleServer>,
    ) -> Result<ListToolsResult, rmcp::ErrorData> {
        let visitor = self.visitor(&context)?;
        Ok(ListToolsResult::with_all_items(tools::of(&visitor)))
    }

    async fn call_tool(
        &self,
        request: CallToolRequestParams,
        context: RequestContext<RoleServer>,
    ) -> Result<CallToolResponse, rmcp::ErrorData> {
        let visitor = self.visitor(&context)?;
        let Some(tool) = tools::named(&request.name) else {
            let why = format!("there is no tool `{}`: tools/list lists them", request.name);
            return Err(rmcp::ErrorData::invalid_params(why, None));
        };
        if !tool.needs.is_had_by(&visitor) {
            return Ok(
                failed("your token does not allow this tool. Next: an admin can make another one").into()
            );
        }
        let engine = (self.engine)();
        let arguments = Value::Object(request.arguments.unwrap_or_default());
        let call = calls::call(&engine, &visitor, tool.name, arguments.clone());
        // The protocol's library answers in a task of its own, so this is said here once more.
        let answer = match visitor.rows {
            true => call.await,
            false => without_row_values(call).await,
        };
        Ok(match answer {
            Ok(value) => {
                if !tool.action.is_empty() {
                    let subject = calls::subject(&arguments);
                    engine.audit(&visitor.name, "mcp", tool.action, &subject).await;
                }
                CallToolResult::structured(value).into()
            }
            Err(problem) => failed(&sentence(&problem)).into(),
        })
    }
}

fn sentence(problem: &Problem) -> String {
    match problem.sentences() {
        (why, next) if next.is_empty() => why,
        (why, next) => format!("{why}. Next: {next}"),
    }
}

/// A tool that did not do it, for the agent to read.
fn failed(why: &str) -> CallToolResult {
    CallToolResult::error(vec![ContentBlock::text(why)])
}
