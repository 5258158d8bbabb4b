//! What a customer's administrator does once.

use std::fmt::Write as _;

use tidegate_model::{ConnectionId, Error, Settings};
use tidegate_transport::google::account_of;
use tidegate_transport::sql::relation::Naming as _;

use super::grants::{grant, on_project};
use super::relation::{Names, Relation, quote};
use super::settings::{BigQuerySelection, BigQuerySettings};

/// Returns the steps for the names in the settings; for the table that the selection names, else for
/// placeholders.
///
/// Source: BigQuery docs, "Access control with IAM", "BigQuery IAM roles and permissions"; Google Cloud
/// docs, "Create service accounts", "Create and delete service account keys"; Braze docs, "Cloud Data
/// Ingestion", step "Create service accounts", for its four roles.
///
/// # Errors
/// Settings or a selection that cannot work.
pub fn setup(
    name: &ConnectionId,
    settings: &Settings,
    selection: Option<&Settings>,
) -> Result<String, Error> {
    let settings = settings.parse::<BigQuerySettings>()?.checked()?;
    let relation = match selection {
        Some(selection) => Some(selection.parse::<BigQuerySelection>()?.relation(&settings)?),
        None => None,
    };
    let project = &settings.project;
    let account = settings.service_account_key.as_ref().and_then(account_of);
    let account = account.unwrap_or_else(|| format!("tidegate@{project}.iam.gserviceaccount.com"));
    let short = account.split('@').next().unwrap_or_default();
    let member = format!("serviceAccount:{account}");
    let (data, table) = match &relation {
        Some(Relation::Table(names, _)) => {
            (format!("{}.{}", quote(&names[0]), quote(&names[1])), Some(Names::quoted(names)))
        }
        _ => {
            let dataset = settings.dataset.as_deref().unwrap_or("<your_dataset>");
            (format!("{}.{}", quote(project), quote(dataset)), None)
        }
    };
    let bookkeeping = format!("{}.`tidegate`", quote(project));
    let table = table.unwrap_or_else(|| format!("{data}.<table>"));
    let mut text = String::new();
    let _ = write!(
        text,
        "# 1. A service account, and the right to run queries in the project that pays for them
gcloud iam service-accounts create {short} --project={project}
{}

-- 2. To read: run in the BigQuery console, as an owner of the dataset. BigQuery Data Viewer on it:
{}
-- or on the tables that are read alone:
-- {}

# 3. A key. Its JSON file is the `service_account_key` of the connection `{name}`.
gcloud iam service-accounts keys create key.json --iam-account={account}
#    On a Google machine (Compute Engine, GKE with workload identity, Cloud Run) no key is needed: attach the
#    service account to it and leave `service_account_key` out. Elsewhere, workload identity federation needs no key
#    either, if your platform gives its machines tokens of OpenID Connect or SAML. With a pool and a provider:
gcloud iam service-accounts add-iam-policy-binding {account} --role=roles/iam.workloadIdentityUser --member=\"principal://iam.googleapis.com/projects/<number>/locations/global/workloadIdentityPools/<pool>/subject/<subject>\"
gcloud iam workload-identity-pools create-cred-config projects/<number>/locations/global/workloadIdentityPools/<pool>/providers/<provider> --service-account={account} --credential-source-file=<file with the token> --output-file=federation.json
#    Its file is the `workload_identity` of the connection.

# 4. Optional. Braze's own ingestion asks for two more roles. BigQuery User lists the datasets of the project,
#    so that a misspelled name is answered with the right one if the connection has no `dataset`:
# {}
#    BigQuery Read Session User is for `storage_read: true`, by which many rows are read faster:
# {}
#    BigQuery Connection User is for tables that BigQuery reads over a connection to another system:
# {}

# 5. Optional: a read by cursor processes only what may be new if the table is partitioned or clustered by
#    the cursor column: PARTITION BY DATE(<column>), CLUSTER BY <column>. A limit for one query is
#    `maximum_bytes_billed` of the connection.

# 6. Optional: a dataset for bookkeeping, if BigQuery compares the rows of a mirror (`state: source`). Make it where the
#    data is. Leave it out to stay read-only.
-- CREATE SCHEMA IF NOT EXISTS {bookkeeping} OPTIONS (location = '<location of your data>');
-- {}

# 7. Only for exports of events: BigQuery Data Editor on the export's dataset. Put its `dataset` in the place of
#    {data} if it has one:
-- {}
#    A dataset that is not there is made with the first events by an account that may:
# {}

# 8. If the project is inside a VPC Service Controls perimeter, add the address of this machine to an access level.
",
        on_project(project, "bigquery.jobUser", &member),
        grant("bigquery.dataViewer", "SCHEMA", &data, &member),
        grant("bigquery.dataViewer", "TABLE", &table, &member),
        on_project(project, "bigquery.user", &member),
        on_project(project, "bigquery.readSessionUser", &member),
        on_project(project, "bigquery.connectionUser", &member),
        grant("bigquery.dataEditor", "SCHEMA", &bookkeeping, &member),
        grant("bigquery.dataEditor", "SCHEMA", &data, &member),
        on_project(project, "bigquery.user", &member),
    );
    Ok(text)
}
