//! The outcomes of an intent: a byte for each, then the reasons.

use tidegate_model::{Error, Outcome, Reason};

use crate::codec::{Reader, Writer, damaged};

const VERSION: u8 = 1;

const DELIVERED: u8 = 0;
const REJECTED: u8 = 1;
const UNKNOWN: u8 = 2;
const DEFERRED: u8 = 3;

/// Encodes the response to an intent.
///
/// # Errors
/// If it does not fit into a frame.
pub(crate) fn encode(outcomes: &[Outcome]) -> Result<Vec<u8>, Error> {
    let mut writer = Writer::with_capacity(16 + outcomes.len());
    writer.number(outcomes.len());
    for outcome in outcomes {
        writer.byte(match outcome {
            Outcome::Delivered => DELIVERED,
            Outcome::Rejected(_) => REJECTED,
            // A later run only has to know that the effect is open.
            Outcome::Unknown(_) | Outcome::Unnamed(_) => UNKNOWN,
            Outcome::Deferred(_) => DEFERRED,
        });
    }
    let reasons = outcomes.iter().filter_map(|outcome| match outcome {
        Outcome::Delivered => None,
        Outcome::Rejected(reason)
        | Outcome::Unknown(reason)
        | Outcome::Unnamed(reason)
        | Outcome::Deferred(reason) => Some(reason),
    });
    writer.texts(reasons.clone().map(|reason| &*reason.code));
    writer.texts(reasons.map(|reason| &*reason.message));
    writer.finish(VERSION)
}

/// Decodes what [`encode`] wrote.
///
/// # Errors
/// If the bytes are damaged.
pub(crate) fn decode(bytes: &[u8]) -> Result<Vec<Outcome>, Error> {
    let mut reader = Reader::open(bytes, VERSION)?;
    let count = reader.count(1)?;
    let tags = reader.bytes(count)?;
    let with_reason = tags.iter().filter(|tag| **tag != DELIVERED).count();
    let (codes, messages) = (reader.texts(with_reason)?, reader.texts(with_reason)?);
    reader.end()?;
    let mut reasons = codes.iter().zip(messages.iter());
    let mut outcomes = Vec::with_capacity(count);
    for tag in tags.iter() {
        if *tag == DELIVERED {
            outcomes.push(Outcome::Delivered);
            continue;
        }
        let (code, message) = reasons.next().ok_or_else(damaged)?;
        let reason = Reason::new(code.to_owned(), message);
        outcomes.push(match *tag {
            REJECTED => Outcome::Rejected(reason),
            UNKNOWN => Outcome::Unknown(reason),
            DEFERRED => Outcome::Deferred(reason),
            _ => return Err(damaged()),
        });
    }
    Ok(outcomes)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::codec::tests::frame_of;

    fn outcome() -> impl Strategy<Value = Outcome> {
        let reason = ("[a-c]{1,3}", ".{0,20}").prop_map(|(code, message)| Reason::new(code, message));
        prop_oneof![
            4 => Just(Outcome::Delivered),
            1 => reason.clone().prop_map(Outcome::Rejected),
            1 => reason.clone().prop_map(Outcome::Unknown),
            1 => reason.prop_map(Outcome::Deferred),
        ]
    }

    proptest! {
        #[test]
        fn the_outcomes_of_an_intent_come_back(outcomes in prop::collection::vec(outcome(), 0..40)) {
            prop_assert_eq!(&decode(&encode(&outcomes).expect("small")).expect("whole"), &outcomes);
        }

        #[test]
        fn no_content_makes_the_reader_panic(content in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = decode(&frame_of(VERSION, &content));
        }
    }
}
