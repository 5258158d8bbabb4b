//! `tidegate sandbox`

use tidegate_model::settings::without_value;
use tidegate_model::{Error, Faults, Settings};

use super::documents::Listening;
use crate::cli::{Output, ProjectArgs, Sandbox};
use crate::sandbox::Sandboxes;
use crate::{DONE, output};

pub(super) async fn sandbox(args: &ProjectArgs, options: Sandbox, out: Output) -> Result<u8, Error> {
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
    let stop = super::signals::stop_on_signals();
    sandboxes
        .serve(options.listen, stop, |address, sandboxes| {
            let (kinds, url) = (sandboxes.kinds(), format!("http://{address}"));
            match out {
                Output::Text => {
                    output::line(format!("sandbox of {} on {url}", kinds.join(" and ")));
                    for kind in kinds {
                        output::note(format!("  counts of what it stored: {url}/_sandbox/{kind}/stats"));
                    }
                }
                _ => output::document(
                    out,
                    &Listening { url, kinds: kinds.into_iter().map(str::to_owned).collect() },
                ),
            }
        })
        .await?;
    Ok(DONE)
}
