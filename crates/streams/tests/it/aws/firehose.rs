//! Events to Firehose, and from there to a bucket.

use serde_json::json;
use tidegate_model::{LoggedEvent, Outcome};

use super::emulator::Emulator;
use super::{event, read_back, sink};

#[tokio::test]
async fn files_in_the_bucket_have_one_event_a_line() {
    let moto = Emulator::of("TIDEGATE_TEST_MOTO");
    let stream = moto.firehose_stream().await;
    let sink = sink("firehose", &moto.settings(), &json!({ "delivery_stream": stream }));
    let events: Vec<LoggedEvent> = (0..1_200).map(|at| event(at, 20)).collect();

    for request in events.chunks(500) {
        let receipt = sink.deliver(request).await.expect("a receipt");
        assert_eq!(receipt.outcomes, vec![Outcome::Delivered; request.len()]);
    }

    read_back("firehose.py", [&moto.endpoint, &stream], &events);
}
