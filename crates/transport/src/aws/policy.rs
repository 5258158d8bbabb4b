//! What an administrator gives us, as documents of IAM.

use serde_json::{Value, json};
use tidegate_model::ConnectionId;

use super::AwsSettings;
use super::arn::{Arn, partition};

/// Stands where only the reader knows the number.
const ACCOUNT: &str = "<account-id>";

/// Actions on one resource.
pub struct Grant {
    /// For example `kinesis:PutRecords`.
    pub actions: &'static [&'static str],
    /// The ARN.
    pub resource: String,
}

impl Grant {
    /// Actions on something that is named alone or by an ARN.
    pub fn new(
        settings: &AwsSettings,
        actions: &'static [&'static str],
        service: &str,
        kind: &str,
        name: &str,
    ) -> Grant {
        let resource = match Arn::parse(name) {
            Some(_) => name.to_owned(),
            None => {
                let account = settings.role_arn.as_deref().and_then(Arn::parse).map(|arn| arn.account);
                let account = account.filter(|account| !account.is_empty()).unwrap_or(ACCOUNT);
                let region = &settings.region;
                format!("arn:{}:{service}:{region}:{account}:{kind}/{name}", partition(region))
            }
        };
        Grant { actions, resource }
    }

    /// Returns the statement of a policy.
    pub fn statement(&self) -> Value {
        json!({ "Effect": "Allow", "Action": self.actions, "Resource": self.resource })
    }

    /// Returns the next step if the permission is lacking.
    pub fn denied(&self) -> String {
        format!(
            "add this statement to the policy of who sends the events, then run `tidegate check`: {}",
            self.statement()
        )
    }

    /// Returns the steps of an administrator: the policy, and the role with its trust policy if the
    /// settings name one.
    pub fn setup(&self, connection: &ConnectionId, settings: &AwsSettings, create: &str) -> String {
        let policy = document(&[self.statement()]);
        let name = format!("tidegate-{connection}");
        let head = format!(
            "# Run as an administrator of the account that owns it, with the AWS command line.

# 1. Where it is not there yet.
{create}

# 2. What Tidegate may do.
cat > {name}-policy.json <<'JSON'
{policy}
JSON
"
        );
        let rest = match &settings.role_arn {
            Some(role) => with_role(role, &name, settings.external_id.as_deref()),
            None => format!(
                "aws iam put-user-policy --user-name <user of the access key> \\
  --policy-name {name} --policy-document file://{name}-policy.json
# Or, for a machine or a container that has a role:
aws iam put-role-policy --role-name <role> \\
  --policy-name {name} --policy-document file://{name}-policy.json
"
            ),
        };
        head + &rest
            + "\n# A stream that is encrypted with a key of yours also needs kms:GenerateDataKey on that key.\n"
    }
}

fn with_role(arn: &str, name: &str, external_id: Option<&str>) -> String {
    let role = arn.rsplit('/').next().unwrap_or_default();
    let mut trust = json!({
        "Effect": "Allow",
        "Principal": { "AWS": "arn:aws:iam::<account of tidegate>:<user or role of tidegate>" },
        "Action": "sts:AssumeRole"
    });
    if let Some(external_id) = external_id {
        trust["Condition"] = json!({ "StringEquals": { "sts:ExternalId": external_id } });
    }
    let trust = document(&[trust]);
    let assume = json!({ "Effect": "Allow", "Action": "sts:AssumeRole", "Resource": arn });
    format!(
        "
# 3. The role, and who may take it on.
cat > {name}-trust.json <<'JSON'
{trust}
JSON
aws iam create-role --role-name {role} --assume-role-policy-document file://{name}-trust.json
aws iam put-role-policy --role-name {role} \\
  --policy-name {name} --policy-document file://{name}-policy.json

# 4. In the account of Tidegate, for its user or role, unless it has this already:
# {assume}
"
    )
}

fn document(statements: &[Value]) -> String {
    let document = json!({ "Version": "2012-10-17", "Statement": statements });
    serde_json::to_string_pretty(&document).unwrap_or_default()
}
