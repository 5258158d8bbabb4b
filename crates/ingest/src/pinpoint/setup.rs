//! What a customer's administrator does.

use tidegate_model::{ConnectionId, Result, Settings, address};

use super::settings::PinpointSettings;

/// The steps, for people.
pub(super) fn setup(connection: &ConnectionId, settings: &Settings, _: Option<&Settings>) -> Result<String> {
    let settings: PinpointSettings = settings.parse()?;
    let warning = if settings.anonymous {
        "\
WARNING: this connection is `anonymous`: anyone who reaches it may send events and
change endpoints. Event streams and everything that shows or deletes need a key.

"
    } else {
        ""
    };
    let path = address::encoded(connection.as_str());
    Ok(format!(
        "\
{warning}1. Make a key pair for the senders, for example an id of your own and a secret from
   `openssl rand -base64 30`, and set it on the connection:

   access_keys:
     - id: AKIDAPPS
       secret: ${{APPS_SECRET}}

   Browsers and apps with temporary keys (Cognito) cannot have such a key; for them set
   `anonymous: true` as well.
2. Point the clients at this address and give them that key; the rest stays as it is:

   boto3.client(\"pinpoint\", endpoint_url=\"https://YOUR-HOST/in/pinpoint/{path}\")
   new PinpointClient({{ endpoint: \"https://YOUR-HOST/in/pinpoint/{path}\" }})

   Where a client cannot have a path in its address, https://YOUR-HOST serves the same,
   as long as this is the only connection of its kind.
3. Let the role of each event stream trust us. Its policy needs
   `kinesis:PutRecords` and `kinesis:DescribeStream`, or `firehose:PutRecordBatch` and
   `firehose:DescribeDeliveryStream`, as Pinpoint asked for. In its trust policy, put our
   own identity in place of `pinpoint.amazonaws.com`; or set
   `streams: {{ assume_role: false }}` and give our identity the permissions.
4. Call PutEventStream with that key, or run what calls it: the export starts.
"
    ))
}
