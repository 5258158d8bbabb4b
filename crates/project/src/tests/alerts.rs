use std::time::Duration;

use tidegate_model::alert::ChannelType;

use super::super::{AlertRules, json_schema, parse};
use super::{CHANNELS, CHAT, CONNECTORS, changed, import, one, valid};

const TEAM: &str = "\nalerts:\n  rejected: 5%\n  stale: 26h\n  dashboard: https://t.example.com/\n  channels:\n    \
    team: { type: chat, url: \"${TEAM_URL}\" }\nconnections:";

#[test]
fn channels_and_rules_are_read_and_a_sync_has_its_own() {
    let sync = "alerts: { stale: 0s, no_rows: 7d, lag: 5m, channels: [team] }\n    lookback: 5m";
    let project = valid(&changed("\nconnections:", TEAM).replace("lookback: 5m", sync));
    let alerts = &project.alerts;
    assert_eq!(alerts.channels["team"].kind, "chat");
    assert_eq!(alerts.dashboard.as_deref(), Some("https://t.example.com"));
    assert_eq!(project.unset()[0].path, "alerts.channels.team.url");
    let options = &import(&project).options;
    assert_eq!(options.alert_channels, Some(vec!["team".to_owned()]));
    let rules = AlertRules {
        rejected: Some(5.0),
        stale: Some(Duration::ZERO),
        no_rows: Some(Duration::from_secs(7 * 86_400)),
        lag: Some(Duration::from_secs(300)),
    };
    assert_eq!(options.alert_rules.or(alerts.rules), rules);
}

#[test]
fn contacts_that_no_channel_reaches_are_worth_a_note() {
    let text = changed("\nconnections:", TEAM).replace("lookback: 5m", "contacts: [ada@example.com]");
    let mail = ChannelType { kind: "mail", reaches_contacts: true, ..CHAT };
    let channels: &'static [ChannelType] = Box::leak(Box::new([CHAT, mail]));
    let notes = |text: &str| parse(text, "tidegate.yaml", CONNECTORS, channels).expect("valid").notes;
    let noted = notes(&text);
    assert!(noted[0].message.starts_with("the contacts of `orders` are not told"), "{noted:?}");
    assert!(notes(&text.replace("type: chat", "type: mail")).is_empty());
}

/// A number of rows is not taken there, in quotes or not.
#[test]
fn a_share_without_its_sign_is_answered_with_what_is_taken() {
    let words = &["expected a share such as `10%`, found a number", "write `1%`"];
    one("lookback: 5m", "alerts: { rejected: 1 }", words);
    one("lookback: 5m", "alerts: { rejected: \"1\" }", &["`1` is not a share of the rows", "write `1%`"]);
    one("lookback: 5m", "alerts: { rejected: 1000 }", &["found a number", "write a share such as `10%`"]);
}

#[test]
fn a_channel_that_cannot_be_used_is_told_at_its_place() {
    let with = |channel: &str| TEAM.replace("{ type: chat, url: \"${TEAM_URL}\" }", channel);
    let told = |channel: &str, words: &[&str]| one("\nconnections:", &with(channel), words);
    told("{ type: chad, url: x }", &["alerts.channels.team.type", "no type of channel `chad`", "`chat`"]);
    told("{ url: x }", &["alerts.channels.team", "`type` is missing", "chat"]);
    told("{ type: chat }", &["alerts.channels.team", "`url` is missing"]);
    told("{ type: chat, url: x, room: y }", &["unknown key `room`"]);
    one(
        "lookback: 5m",
        "alerts: { channels: [teem] }",
        &["syncs.orders.alerts", "there is no channel `teem`", "alerts.channels"],
    );
    one("\nconnections:", &TEAM.replace("26h", "soon"), &["alerts.stale", "`soon` is not a duration"]);
    one("\nconnections:", &TEAM.replace("stale", "stall"), &["unknown key `stall`", "did you mean `stale`?"]);
}

#[test]
fn editors_are_told_the_settings_of_each_type_of_channel() {
    let schema = json_schema(CONNECTORS, CHANNELS);
    let channel = &schema["$defs"]["Channel"]["oneOf"][0];
    assert_eq!(channel["properties"]["type"]["const"], "chat");
    assert_eq!(channel["required"], serde_json::json!(["url", "type"]));
}
