//! `tidegate sandbox`

use tidegate_model::settings::without_value;
use tidegate_model::{Error, Faults, Settings};

use crate::cli::{ProjectArgs, Sandbox};
use crate::sandbox::Sandboxes;
use crate::{DONE, output};

pub(super) async fn sandbox(args: &ProjectArgs, options: Sandbox) -> Result<u8, Error> {
    let faults: Faults = match &options.faults {
        None => Faults::default(),
        Some(text) => serde_json::from_str(text).map_err(|cause| {
            Error::settings(format!("--faults: {}", without_value(&cause.to_string())))
                .hint(r#"write for example --faults '{"latency_ms": 50, "throttled": 0.01}'"#)
        })?,
    };
    let settings = match &options.settings {
        None => Settings::default(),
        Some(text) => Settings::new(serde_json::from_str(text).map_err(|cause| {
            Error::settings(format!("--settings: {}", without_value(&cause.to_string())))
                .hint("write a JSON object")
        })?),
    };
    let folder = (!options.memory).then(|| args.data_folder().join("sandbox"));
    let sandboxes = Sandboxes::open(folder.as_deref(), faults, !options.no_limits, &settings)?;
    let stop = super::stop_on_signals();
    sandboxes
        .serve(options.listen, stop, |address, sandboxes| {
            output::line(format!("sandbox of {} on http://{address}", sandboxes.kinds().join(" and ")));
            for kind in sandboxes.kinds() {
                eprintln!("  what took effect: http://{address}/_sandbox/{kind}/stats");
            }
        })
        .await?;
    Ok(DONE)
}
