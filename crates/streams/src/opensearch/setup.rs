//! The steps of an administrator.

use serde_json::{Value, json};
use tidegate_model::{ConnectionId, Layout, Result, Settings, SinkTarget, StreamId, SyncId};
use tidegate_transport::aws::Grant;

use super::settings::{AwsService, Login, OpenSearchSettings};
use super::target::{Indices, Rotation, Target};

/// What writing through the domain's address needs at AWS.
///
/// Source: AWS docs, OpenSearch Service, "Identity and access management".
const AWS_ACTIONS: &[&str] = &["es:ESHttpGet", "es:ESHttpHead", "es:ESHttpPost", "es:ESHttpPut"];

/// Returns the next step if a permission is missing.
pub(super) fn denied(settings: &OpenSearchSettings, indices: &Indices) -> String {
    match settings.login() {
        Ok(Login::Aws(aws)) if settings.service == AwsService::Es => {
            let grant = Grant::new(&aws, AWS_ACTIONS, "es", "domain", "<domain>/*");
            format!(
                "add this statement to the policy of who sends the events, and with fine-grained access control map \
                 that role to the role below `tidegate setup`, then run `tidegate check`: {}",
                grant.statement()
            )
        }
        Ok(Login::Aws(_)) => format!(
            "add this rule to a data access policy of the collection, then run `tidegate check`: {}",
            serverless(indices)
        ),
        _ => format!("give the user this role, then run `tidegate check`: {}", role(indices)),
    }
}

/// The permissions in a cluster with the security plugin.
///
/// Source: OpenSearch docs, Security, "Permissions".
fn role(indices: &Indices) -> Value {
    json!({
        "cluster_permissions": [
            "cluster:monitor/main", "indices:data/write/bulk",
            "indices:admin/index_template/get", "indices:admin/index_template/put",
        ],
        "index_permissions": [{
            "index_patterns": [indices.pattern()],
            "allowed_actions": [
                "indices:admin/create", "indices:admin/exists", "indices:admin/get",
                "indices:admin/mapping/auto_put", "indices:data/write/bulk*", "indices:data/write/index",
            ],
        }],
    })
}

/// Source: AWS docs, OpenSearch Serverless, "Supported policy permissions".
fn serverless(indices: &Indices) -> Value {
    json!({
        "ResourceType": "index",
        "Resource": [format!("index/<collection>/{}", indices.pattern())],
        "Permission": ["aoss:CreateIndex", "aoss:DescribeIndex", "aoss:UpdateIndex", "aoss:WriteDocument"],
    })
}

/// Returns the steps for the names in the settings.
pub(super) fn setup(
    connection: &ConnectionId,
    settings: &Settings,
    target: Option<&Settings>,
) -> Result<String> {
    let settings: OpenSearchSettings = settings.parse()?;
    let address = settings.address()?;
    let indices = match target {
        None => Indices::Index("<index>".to_owned(), Rotation::Day),
        Some(target) => target.parse::<Target>()?.indices(&SinkTarget {
            sync: SyncId::new("export"),
            stream: StreamId::new(connection.as_str()),
            layout: Layout::Events,
            settings: target.clone(),
        })?,
    };
    let pretty = |value: &Value| serde_json::to_string_pretty(value).unwrap_or_default();
    let (user, role) = (settings.user.as_deref().unwrap_or("<user>"), pretty(&role(&indices)));
    let put = "curl -u <administrator> -H 'content-type: application/json' -X PUT";
    let members = match settings.role_arn.as_deref() {
        Some(arn) => json!({ "backend_roles": [arn] }),
        None => json!({ "users": [user] }),
    };
    let first = match settings.login()? {
        Login::Aws(_) => format!("# 1. At AWS: {}\n", denied(&settings, &indices)),
        _ => format!(
            "# 1. A user, unless there is one.\n{put} {address}/_plugins/_security/api/internalusers/{user} \\\n  -d '{{\"password\": \"<password>\"}}'\n"
        ),
    };
    Ok(format!(
        "# Run as an administrator of the cluster. Steps 2 and 3 are for clusters with the security plugin,
# or a domain with fine-grained access control.

{first}
# 2. What Tidegate may do.
{put} {address}/_plugins/_security/api/roles/tidegate -d '
{role}'

# 3. Who has this role.
{put} {address}/_plugins/_security/api/rolesmapping/tidegate -d '{members}'

# Tidegate creates the index template {name} with the first events, unless there is one. To have other
# shards, types or a lifecycle, create it under this name before.
",
        name = indices.name(),
    ))
}
