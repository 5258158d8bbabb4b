//! The ways in which alerts reach people: e-mail, webhooks, and the systems that wake them.
//!
//! A file is a type of channel. Each sends once and says whether the other side accepted the
//! message; the engine repeats what was not accepted.

mod alertmanager;
mod email;
mod pagerduty;
mod post;
mod slack;
#[cfg(test)]
mod tests;
mod webhook;

use tidegate_model::alert::ChannelType;

/// Every type of channel.
pub const CHANNELS: &[ChannelType] =
    &[email::TYPE, webhook::TYPE, slack::TYPE, pagerduty::TYPE, alertmanager::TYPE];
