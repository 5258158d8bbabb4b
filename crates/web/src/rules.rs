//! What each address asks of those who use it, and the name of what it does.

use axum::http::Method;
use tidegate_engine::service::Visitor;
use tidegate_model::people::Role;

/// What an address asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Right {
    /// Nothing: signing in itself, and what its page loads.
    Open,
    /// A role.
    Role(Role),
    /// To see values of rows.
    Rows,
}

impl Right {
    /// Returns whether a visitor has it.
    pub(crate) fn is_had_by(self, visitor: &Visitor) -> bool {
        match self {
            Right::Open => true,
            Right::Role(role) => visitor.role >= role,
            Right::Rows => visitor.rows,
        }
    }
}

/// What an address asks for, and what the audit log calls it; empty for what is not noted.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Rule {
    pub(crate) method: &'static str,
    pub(crate) path: &'static str,
    pub(crate) right: Right,
    pub(crate) action: &'static str,
}

impl Rule {
    /// Returns whether an answer is finished although its client hung up: the audit log gets what was done. `method`
    /// is that of the request.
    pub(crate) fn is_finished(self, method: &Method) -> bool {
        !method.is_safe() || !self.action.is_empty() || self.path == BACK
    }
}

/// Where an identity provider leads back to: this signs in, though browsers only load it.
const BACK: &str = "/sign-in/provider/back";

const fn rule(method: &'static str, path: &'static str, right: Right, action: &'static str) -> Rule {
    Rule { method, path, right, action }
}

const OPEN: Right = Right::Open;
const VIEW: Right = Right::Role(Role::Viewer);
const EDIT: Right = Right::Role(Role::Editor);
const ADMIN: Right = Right::Role(Role::Admin);
const ROWS: Right = Right::Rows;

/// Every address of the pages and the API. What is missing here is for admins only, and a test finds it.
pub(crate) const RULES: &[Rule] = &[
    rule("GET", "/assets/{name}", OPEN, ""),
    rule("GET", "/sign-in", OPEN, ""),
    // They note it themselves: before, there is no visitor.
    rule("POST", "/sign-in", OPEN, ""),
    rule("GET", "/sign-in/provider", OPEN, ""),
    rule("GET", BACK, OPEN, ""),
    rule("GET", "/welcome", OPEN, ""),
    rule("POST", "/welcome", OPEN, ""),
    rule("POST", "/sign-out", VIEW, "sign_out"),
    rule("GET", "/", VIEW, ""),
    rule("GET", "/live", VIEW, ""),
    rule("GET", "/syncs", VIEW, ""),
    rule("GET", "/syncs/new", EDIT, ""),
    rule("POST", "/syncs/new", EDIT, "change_project"),
    rule("GET", "/exports/new", EDIT, ""),
    rule("POST", "/exports/new", EDIT, "change_project"),
    rule("GET", "/syncs/{sync}/edit/{part}", EDIT, ""),
    rule("POST", "/syncs/{sync}/edit/{part}", EDIT, "change_project"),
    rule("POST", "/syncs/{sync}/activate", EDIT, "change_project"),
    // It may hold a secret that is written out.
    rule("GET", "/project", EDIT, ""),
    rule("POST", "/project", EDIT, "change_project"),
    rule("GET", "/connections/new", EDIT, ""),
    rule("GET", "/connections/new/{kind}", EDIT, ""),
    rule("POST", "/connections/new/{kind}", EDIT, "change_project"),
    rule("GET", "/connections/{name}/edit", EDIT, ""),
    rule("POST", "/connections/{name}/edit", EDIT, "change_project"),
    rule("GET", "/syncs/{sync}", VIEW, ""),
    rule("POST", "/syncs/{sync}/run", EDIT, "run_sync"),
    // It reads the source.
    rule("GET", "/syncs/{sync}/confirm", EDIT, ""),
    rule("POST", "/syncs/{sync}/confirm", ADMIN, "confirm_run"),
    rule("POST", "/syncs/{sync}/pause", EDIT, "pause_sync"),
    rule("POST", "/syncs/{sync}/resume", EDIT, "resume_sync"),
    rule("POST", "/syncs/{sync}/reset", ADMIN, "reset_sync"),
    rule("GET", "/runs", VIEW, ""),
    rule("GET", "/runs/{run}", VIEW, ""),
    rule("GET", "/runs/{run}/live", VIEW, ""),
    rule("GET", "/failed-rows", VIEW, ""),
    rule("GET", "/failed-rows/group", ROWS, "see_rows"),
    rule("GET", "/failed-rows/retry", EDIT, ""),
    rule("POST", "/failed-rows/retry", EDIT, "retry_rows"),
    rule("POST", "/failed-rows/dismiss", EDIT, "dismiss_rows"),
    rule("GET", "/failed-rows/{sync}/{row}", ROWS, "see_rows"),
    rule("GET", "/users", ROWS, "see_user"),
    rule("GET", "/events", VIEW, ""),
    rule("GET", "/connections", VIEW, ""),
    rule("GET", "/alerts", VIEW, ""),
    rule("POST", "/alerts/test", ADMIN, "test_channel"),
    rule("GET", "/about", VIEW, ""),
    rule("POST", "/display", VIEW, ""),
    rule("GET", "/people", ADMIN, ""),
    rule("POST", "/people/add", ADMIN, "add_person"),
    rule("POST", "/people/link", ADMIN, "invite_person"),
    rule("POST", "/people/remove", ADMIN, "remove_person"),
    rule("POST", "/people/tokens/remove", ADMIN, "remove_token"),
    rule("GET", "/audit", ADMIN, ""),
    rule("GET", "/api/openapi.json", VIEW, ""),
    // It may hold a secret that is written out.
    rule("GET", "/api/v1/project", EDIT, ""),
    rule("PUT", "/api/v1/project", EDIT, "change_project"),
    rule("GET", "/api/v1/status", VIEW, ""),
    rule("GET", "/api/v1/syncs", VIEW, ""),
    rule("GET", "/api/v1/syncs/{sync}", VIEW, ""),
    rule("POST", "/api/v1/syncs/{sync}/run", EDIT, "run_sync"),
    rule("POST", "/api/v1/syncs/{sync}/retry", EDIT, "retry_rows"),
    rule("POST", "/api/v1/syncs/{sync}/dismiss", EDIT, "dismiss_rows"),
    rule("POST", "/api/v1/syncs/{sync}/pause", EDIT, "pause_sync"),
    rule("POST", "/api/v1/syncs/{sync}/resume", EDIT, "resume_sync"),
    rule("POST", "/api/v1/syncs/{sync}/reset", ADMIN, "reset_sync"),
    rule("GET", "/api/v1/runs", VIEW, ""),
    rule("GET", "/api/v1/runs/{run}", VIEW, ""),
    rule("GET", "/api/v1/runs/{run}/events", VIEW, ""),
    rule("GET", "/api/v1/failed-rows", ROWS, "see_rows"),
    rule("GET", "/api/v1/failed-rows/{sync}/{row}", ROWS, "see_rows"),
    rule("GET", "/api/v1/groups", VIEW, ""),
    rule("GET", "/api/v1/users/{user}/timeline", ROWS, "see_user"),
    rule("GET", "/api/v1/connections", VIEW, ""),
    rule("GET", "/api/v1/alerts", VIEW, ""),
    rule("GET", "/api/v1/channels", VIEW, ""),
    rule("POST", "/api/v1/channels/{channel}/test", ADMIN, "test_channel"),
    rule("GET", "/api/v1/people", ADMIN, ""),
    rule("GET", "/api/v1/tokens", ADMIN, ""),
    rule("GET", "/api/v1/audit", ADMIN, ""),
    rule("GET", "/cdi/integrations", VIEW, ""),
    rule("POST", "/cdi/integrations/{sync}/sync", EDIT, "run_sync"),
    rule("GET", "/cdi/integrations/{sync}/job_sync_status", VIEW, ""),
    rule("GET", "/compat/braze/cdi/integrations", VIEW, ""),
    rule("POST", "/compat/braze/cdi/integrations/{sync}/sync", EDIT, "run_sync"),
    rule("GET", "/compat/braze/cdi/integrations/{sync}/job_sync_status", VIEW, ""),
    rule("GET", "/compat/census/api/v1/syncs", VIEW, ""),
    rule("POST", "/compat/census/api/v1/syncs/{sync}/trigger", EDIT, "run_sync"),
    rule("GET", "/compat/census/api/v1/sync_runs/{run}", VIEW, ""),
    rule("GET", "/compat/census/syncs/{sync}/history", VIEW, ""),
    rule("GET", "/compat/census/sync-runs/{run}", VIEW, ""),
    rule("GET", "/compat/hightouch/api/v1/syncs", VIEW, ""),
    rule("POST", "/compat/hightouch/api/v1/syncs/trigger", EDIT, "run_sync"),
    rule("GET", "/compat/hightouch/api/v1/syncs/{sync}", VIEW, ""),
    rule("GET", "/compat/hightouch/api/v1/syncs/{sync}/runs", VIEW, ""),
    // Each tool asks for more, and notes what it did.
    rule("GET", "/mcp", VIEW, ""),
    rule("POST", "/mcp", VIEW, ""),
    rule("DELETE", "/mcp", VIEW, ""),
];

/// Where programs ask: they are told what is wrong as JSON, and a token says who they are.
const FOR_PROGRAMS: &[&str] =
    &["/api", "/cdi/", "/compat/braze/", "/compat/census/api/", "/compat/hightouch/", "/mcp"];

/// Returns whether an address is for programs. The others are pages.
pub(crate) fn is_for_programs(path: &str) -> bool {
    FOR_PROGRAMS.iter().any(|start| path.starts_with(start))
}

/// Returns the rule of an address. `is_route` says whether anything answers there: what does and has no rule
/// is for admins.
pub(crate) fn of(method: &Method, path: &str, is_route: bool) -> Rule {
    let method = if method == Method::HEAD { "GET" } else { method.as_str() };
    let found = RULES.iter().copied().find(|rule| rule.method == method && fits(rule.path, path));
    let right = if is_route { ADMIN } else { VIEW };
    found.unwrap_or(Rule { right, ..rule("", "", ADMIN, "") })
}

/// Whether a path fits a pattern: a name in braces stands for any one segment.
fn fits(pattern: &str, path: &str) -> bool {
    let (mut wanted, mut given) = (pattern.split('/'), path.split('/'));
    loop {
        match (wanted.next(), given.next()) {
            (None, None) => return true,
            (Some(wanted), Some(given)) if wanted == given || wanted.starts_with('{') => {}
            _ => return false,
        }
    }
}
