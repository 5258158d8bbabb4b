//! The bucket of the state, as `tidegate doctor` looks at it.

use bytes::Bytes;
use futures_util::{StreamExt as _, TryStreamExt as _};
use tidegate_model::{Bucket, Checks, Clock as _, Error, ErrorKind, SystemClock};

/// The folder of trial files.
const FOLDER: &str = "doctor";
const CONTENT: &[u8] = b"written by tidegate doctor";

/// Writes, lists, reads and removes a file, and says which of these fails.
pub(super) async fn look(machine: &mut Checks, bucket: &dyn Bucket) {
    let address = bucket.address();
    match tried(bucket).await {
        Ok(()) => {
            machine.pass("bucket", format!("files in {address} can be written, listed, read and removed"));
        }
        Err(error) => machine.fail("bucket", error.chain(), error.next_step()),
    }
}

async fn tried(bucket: &dyn Bucket) -> Result<(), Error> {
    let name = format!("{FOLDER}/{}-{}", std::process::id(), SystemClock.now().as_nanosecond());
    let content = futures_util::stream::once(async { Ok(Bytes::from_static(CONTENT)) });
    bucket.put(&name, content.boxed()).await?;
    let looked = looked(bucket, &name).await;
    // Also if it could not be read: nothing of a trial stays.
    bucket.remove(&name).await.and(looked)
}

async fn looked(bucket: &dyn Bucket, name: &str) -> Result<(), Error> {
    let files: Vec<_> = bucket.list(FOLDER).try_collect().await?;
    let found = match bucket.get(name).await? {
        Some(content) => content.try_collect::<Vec<Bytes>>().await?.concat(),
        None => Vec::new(),
    };
    match files.iter().any(|file| file.name == name) && found == CONTENT {
        true => Ok(()),
        false => Err(Error::new(
            ErrorKind::Unexpected,
            format!("a file that was just written to {} is not found there", bucket.address()),
        )
        .hint("use a store that shows a file as soon as it is written, as S3, Google Cloud Storage and Azure do")),
    }
}
