//! `tidegate alerts`

use tidegate_engine::service::{AlertDetails, TestedChannel};
use tidegate_model::Error;
use tidegate_model::alert::Notice;

use super::documents::{Alerts, TestedChannels};
use crate::cli::{AlertsAction, Output, ProjectArgs};
use crate::output::table::{Table, sentence, state, word};
use crate::output::{self, moment, note};
use crate::{DONE, FAILED};

pub(super) async fn alerts(args: &ProjectArgs, action: AlertsAction, out: Output) -> Result<u8, Error> {
    let engine = match action {
        AlertsAction::List { .. } => args.showing_engine().await?,
        AlertsAction::Test { .. } => args.engine().await?.into(),
    };
    match action {
        AlertsAction::List { resolved } => {
            let alerts = Alerts { alerts: engine.alerts(resolved).await? };
            match out {
                Output::Text => list(&alerts.alerts, engine.project().alerts.channels.is_empty()),
                _ => output::listing(out, &alerts, &alerts.alerts),
            }
            Ok(DONE)
        }
        AlertsAction::Test { channel } => {
            let tested = TestedChannels { channels: engine.test_channels(channel.as_deref()).await? };
            let failed = tested.channels.iter().any(|channel| channel.error.is_some());
            match out {
                Output::Text => tested.channels.iter().for_each(print),
                _ => output::listing(out, &tested, &tested.channels),
            }
            Ok(if failed { FAILED } else { DONE })
        }
    }
}

fn print(tested: &TestedChannel) {
    let TestedChannel { channel, kind, error, next } = tested;
    match (error, next) {
        (None, _) => {
            output::line(format!(
                "{}  {channel} ({kind}) took an alert and its recovery",
                output::toned("ok")
            ));
        }
        (Some(error), next) => {
            output::line(format!("{}  {channel} ({kind}): {error}", output::toned("FAIL")));
            output::line(format!("      → {}", next.as_deref().unwrap_or_default()));
        }
    }
}

fn list(alerts: &[AlertDetails], has_no_channel: bool) {
    if alerts.is_empty() {
        note("no alert is open");
    } else {
        let columns = [
            word("opened"),
            word("subject"),
            word("trigger"),
            word("state"),
            sentence("told"),
            sentence("summary"),
        ];
        let mut table = Table::new(columns);
        for AlertDetails { alert, notices } in alerts {
            table.row([
                moment(alert.opened_at).into(),
                alert.subject.as_str().into(),
                alert.trigger.as_str().into(),
                match alert.resolved_at {
                    None => state("open"),
                    Some(at) => format!("resolved {}", moment(at)).into(),
                },
                notices.iter().map(told).collect::<Vec<_>>().join(", ").into(),
                alert.summary.as_str().into(),
            ]);
        }
        output::table(&table);
    }
    if has_no_channel {
        note("→ the project has no channels: alerts are sent once there is one under `alerts.channels`");
    }
}

/// How far a notice is.
fn told(notice: &Notice) -> String {
    let (recipient, change) = (&notice.recipient, notice.change.as_str());
    match (notice.sent_at, &notice.error) {
        (Some(_), None) => format!("{recipient} ({change})"),
        (_, Some(error)) => format!("{recipient} ({change}: not sent: {error})"),
        (None, None) => format!("{recipient} ({change}: waits)"),
    }
}
