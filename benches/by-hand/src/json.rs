//! JSON text against serde_json.

use std::hint::black_box;
use std::sync::Arc;

use tidegate_model::json;

use crate::clock::on_thread;
use crate::table::{Part, Way};

const TEXTS: usize = 100_000;

fn writing(name: &'static str, text: impl Fn(usize) -> String) -> Part {
    let texts: Arc<Vec<String>> = Arc::new((0..TEXTS).map(text).collect());
    let theirs = Arc::clone(&texts);
    let ways = vec![
        Way::new("ours", move || {
            let mut out = Vec::with_capacity(1_024);
            on_thread(|| {
                for text in texts.iter() {
                    out.clear();
                    json::write_bytes(text.as_bytes(), &mut out);
                    black_box(&out);
                }
            })
        }),
        Way::new("serde_json, `to_writer`", move || {
            let mut out = Vec::with_capacity(1_024);
            on_thread(|| {
                for text in theirs.iter() {
                    out.clear();
                    let _ = serde_json::to_writer(&mut out, text);
                    black_box(&out);
                }
            })
        }),
    ];
    Part { name, items: TEXTS, ways }
}

/// Writing texts.
pub(crate) fn parts() -> Vec<Part> {
    vec![
        writing("write a text of 12 bytes as JSON", |at| format!("user-{at:07}")),
        writing("write a text of 100 bytes as JSON", |at| format!("{at:0>100}")),
        writing("write a text with a quote and a line break", |at| format!("they said \"{at}\"\nand left")),
    ]
}
