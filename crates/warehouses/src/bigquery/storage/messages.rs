//! The messages of the Storage Read API, with the members that are used here.
//!
//! Source: googleapis, `google/cloud/bigquery/storage/v1/{storage,stream,arrow}.proto`.

/// `google.cloud.bigquery.storage.v1.DataFormat`.
pub const ARROW: i32 = 2;

/// Asks for a session.
#[derive(Clone, PartialEq, prost::Message)]
pub struct CreateReadSessionRequest {
    /// `projects/P`: who pays.
    #[prost(string, tag = "1")]
    pub parent: String,
    /// What is wanted.
    #[prost(message, optional, tag = "2")]
    pub read_session: Option<ReadSession>,
    /// The most streams: one keeps the order of the rows.
    #[prost(int32, tag = "3")]
    pub max_stream_count: i32,
}

/// A session: a table as it is at one moment, for six hours.
#[derive(Clone, PartialEq, prost::Message)]
pub struct ReadSession {
    /// Its name.
    #[prost(string, tag = "1")]
    pub name: String,
    /// How rows are written.
    #[prost(int32, tag = "3")]
    pub data_format: i32,
    /// The columns.
    #[prost(message, optional, tag = "5")]
    pub arrow_schema: Option<ArrowSchema>,
    /// `projects/P/datasets/D/tables/T`.
    #[prost(string, tag = "6")]
    pub table: String,
    /// Its streams; none for a table without rows.
    #[prost(message, repeated, tag = "10")]
    pub streams: Vec<ReadStream>,
}

/// The columns, as a message of Arrow IPC.
#[derive(Clone, PartialEq, prost::Message)]
pub struct ArrowSchema {
    /// The message.
    #[prost(bytes = "bytes", tag = "1")]
    pub serialized_schema: bytes::Bytes,
}

/// A stream of rows.
#[derive(Clone, PartialEq, prost::Message)]
pub struct ReadStream {
    /// Its name.
    #[prost(string, tag = "1")]
    pub name: String,
}

/// Asks for the rows of a stream.
#[derive(Clone, PartialEq, prost::Message)]
pub struct ReadRowsRequest {
    /// The stream.
    #[prost(string, tag = "1")]
    pub read_stream: String,
    /// How many of its rows were received before.
    #[prost(int64, tag = "2")]
    pub offset: i64,
}

/// Some rows.
#[derive(Clone, PartialEq, prost::Message)]
pub struct ReadRowsResponse {
    /// The rows.
    #[prost(message, optional, tag = "4")]
    pub arrow_record_batch: Option<ArrowRecordBatch>,
    /// How many.
    #[prost(int64, tag = "6")]
    pub row_count: i64,
}

/// Rows, as a message of Arrow IPC.
#[derive(Clone, PartialEq, prost::Message)]
pub struct ArrowRecordBatch {
    /// The message.
    #[prost(bytes = "bytes", tag = "1")]
    pub serialized_record_batch: bytes::Bytes,
}

#[cfg(test)]
mod tests {
    use prost::Message as _;

    use super::*;

    /// As google-cloud-bigquery-storage 2.43 for Python writes the same message, in hexadecimal digits.
    #[test]
    fn a_question_has_the_bytes_that_googles_own_client_sends() {
        let asked = CreateReadSessionRequest {
            parent: "projects/p".to_owned(),
            read_session: Some(ReadSession {
                data_format: ARROW,
                table: "projects/p/datasets/d/tables/t".to_owned(),
                ..ReadSession::default()
            }),
            max_stream_count: 1,
        };
        let hex = |bytes: Vec<u8>| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
        assert_eq!(hex(asked.encode_to_vec()), SESSION);
        let rows = ReadRowsRequest { read_stream: "s".to_owned(), offset: 300 };
        assert_eq!(hex(rows.encode_to_vec()), ROWS);
    }

    const SESSION: &str = "0a0a70726f6a656374732f7012221802321e70726f6a656374732f702f64617461736574732f642f7461626c65732f741801";
    const ROWS: &str = "0a017310ac02";
}
