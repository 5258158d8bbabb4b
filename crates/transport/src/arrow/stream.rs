//! Arrow IPC streams, as warehouses send the parts of a result.

use std::io::Read;

use arrow_array::RecordBatch;
use arrow_ipc::reader::StreamReader;
use bytes::{Buf, Bytes};
use lz4_flex::frame::FrameDecoder;

/// How the bytes of a stream are compressed as a whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Compression {
    /// Not at all.
    None,
    /// As LZ4 frames, one or several in a row.
    Lz4Frame,
}

/// The rows of a stream, batch by batch, and what is wrong with it.
pub type Batches = Box<dyn Iterator<Item = Result<RecordBatch, String>> + Send>;

/// Returns the batches of a stream.
///
/// # Errors
/// Why the bytes are no such stream, in words that hold none of them.
pub fn batches(body: Bytes, compression: Compression) -> Result<Batches, String> {
    let plain: Bytes = match compression {
        Compression::None => body,
        Compression::Lz4Frame => decompressed(&body)?.into(),
    };
    let reader = StreamReader::try_new(plain.reader(), None)
        .map_err(|_| "it does not begin as an Arrow stream".to_owned())?;
    Ok(Box::new(reader.map(|batch| batch.map_err(|_| "an Arrow batch of it is damaged".to_owned()))))
}

/// Returns the contents of all frames in a row.
fn decompressed(mut frames: &[u8]) -> Result<Vec<u8>, String> {
    let mut plain = Vec::with_capacity(frames.len().saturating_mul(3));
    while !frames.is_empty() {
        let before = frames.len();
        FrameDecoder::new(&mut frames)
            .read_to_end(&mut plain)
            .map_err(|_| "it is no LZ4 frame, or is cut off".to_owned())?;
        if frames.len() == before {
            return Err("it is no LZ4 frame, or is cut off".to_owned());
        }
    }
    Ok(plain)
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::sync::Arc;

    use arrow_array::{Int64Array, RecordBatch};
    use arrow_ipc::writer::StreamWriter;
    use arrow_schema::{DataType, Field, Schema};
    use lz4_flex::frame::FrameEncoder;

    use super::*;

    fn stream() -> Vec<u8> {
        let schema = Arc::new(Schema::new(vec![Field::new("id", DataType::Int64, true)]));
        let mut writer = StreamWriter::try_new(Vec::new(), &schema).unwrap();
        for rows in [vec![Some(1), None], vec![Some(i64::MIN)]] {
            let column = Arc::new(Int64Array::from(rows));
            writer.write(&RecordBatch::try_new(Arc::clone(&schema), vec![column]).unwrap()).unwrap();
        }
        writer.into_inner().unwrap()
    }

    fn frame(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = FrameEncoder::new(Vec::new());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    fn rows(body: Vec<u8>, compression: Compression) -> Result<usize, String> {
        batches(body.into(), compression)?.map(|batch| Ok(batch?.num_rows())).sum()
    }

    #[test]
    fn a_stream_is_read_from_any_number_of_frames() {
        let stream = stream();
        assert_eq!(rows(stream.clone(), Compression::None), Ok(3));
        assert_eq!(rows(frame(&stream), Compression::Lz4Frame), Ok(3));
        let (first, rest) = stream.split_at(100);
        assert_eq!(rows([frame(first), frame(rest)].concat(), Compression::Lz4Frame), Ok(3));
    }

    #[test]
    fn a_stream_that_is_cut_off_is_an_error_and_never_fewer_rows() {
        let (stream, whole) = (stream(), frame(&stream()));
        for length in (0..whole.len()).step_by(7) {
            assert!(rows(whole[..length].to_vec(), Compression::Lz4Frame).is_err(), "{length}");
        }
        for length in [0, 1, 40, stream.len() / 2] {
            assert!(rows(stream[..length].to_vec(), Compression::None).is_err(), "{length}");
        }
        assert!(rows(b"<Error>".to_vec(), Compression::Lz4Frame).is_err());
    }
}
