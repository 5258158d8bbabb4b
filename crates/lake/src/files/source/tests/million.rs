//! A store with a million objects, of which two are new.

use std::fmt;
use std::ops::Range;
use std::time::Duration;

use bytes::Bytes;
use futures_util::stream::{self, BoxStream, StreamExt as _};
use object_store::memory::InMemory;
use object_store::path::Path as ObjectPath;
use object_store::{
    CopyOptions, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta, ObjectStore,
    ObjectStoreExt as _, PutMultipartOptions, PutOptions, PutPayload, PutResult, Result,
};
use tidegate_model::Columns;
use tidegate_transport::storage::StorageRoot;
use tokio::runtime::Handle;

use super::super::bucket::Bucket;
use super::super::offsets::FileOffsets;
use super::super::read_objects::ReadObjects;
use super::super::reading::{Folder, Reading};
use super::super::settings::Files;
use super::*;

const OLD: u32 = 1_000_000;

/// A store in memory that also lists a million objects of long ago.
#[derive(Debug)]
struct Million {
    inner: InMemory,
    old: ObjectMeta,
}

impl fmt::Display for Million {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a million objects")
    }
}

#[async_trait]
impl ObjectStore for Million {
    async fn put_opts(&self, at: &ObjectPath, content: PutPayload, options: PutOptions) -> Result<PutResult> {
        self.inner.put_opts(at, content, options).await
    }

    async fn put_multipart_opts(
        &self,
        at: &ObjectPath,
        options: PutMultipartOptions,
    ) -> Result<Box<dyn MultipartUpload>> {
        self.inner.put_multipart_opts(at, options).await
    }

    async fn get_opts(&self, at: &ObjectPath, options: GetOptions) -> Result<GetResult> {
        assert!(!at.as_ref().starts_with("drops/old"), "{at} was read before");
        self.inner.get_opts(at, options).await
    }

    async fn get_ranges(&self, at: &ObjectPath, ranges: &[Range<u64>]) -> Result<Vec<Bytes>> {
        self.inner.get_ranges(at, ranges).await
    }

    fn delete_stream(
        &self,
        at: BoxStream<'static, Result<ObjectPath>>,
    ) -> BoxStream<'static, Result<ObjectPath>> {
        self.inner.delete_stream(at)
    }

    fn list(&self, prefix: Option<&ObjectPath>) -> BoxStream<'static, Result<ObjectMeta>> {
        let old = self.old.clone();
        let of = move |number: u32| {
            let location = ObjectPath::from(format!("drops/old-{number:07}.csv"));
            Ok(ObjectMeta { location, ..old.clone() })
        };
        let new = self.inner.list(prefix).filter(|meta| {
            let is_new = meta.as_ref().is_ok_and(|meta| meta.location.as_ref().contains("/z-"));
            std::future::ready(is_new)
        });
        stream::iter(0..OLD).map(of).chain(new).boxed()
    }

    async fn list_with_delimiter(&self, prefix: Option<&ObjectPath>) -> Result<ListResult> {
        self.inner.list_with_delimiter(prefix).await
    }

    async fn copy_opts(&self, from: &ObjectPath, to: &ObjectPath, options: CopyOptions) -> Result<()> {
        self.inner.copy_opts(from, to, options).await
    }
}

/// Kilobytes of memory that this process has.
fn memory() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.split_whitespace().next().unwrap().parse().unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[expect(clippy::disallowed_methods, reason = "objects get their times from the system")]
async fn new_objects_among_a_million_are_found_without_holding_the_others() {
    let inner = InMemory::new();
    for name in ["drops/z-1.csv", "drops/z-2.csv", "drops/old.csv"] {
        inner.put(&ObjectPath::from(name), "id\n1\n".into()).await.unwrap();
    }
    let mut old = inner.head(&ObjectPath::from("drops/old.csv")).await.unwrap();
    old.last_modified -= Duration::from_secs(72 * 3_600);
    let root =
        StorageRoot { store: Arc::new(Million { inner, old }), url: "memory:///drops/".parse().unwrap() };
    let now = Timestamp::now();
    let mut known = ReadObjects::default();
    known.begin(now.as_microsecond());
    known.finish();
    let reading = |objects| Reading {
        folder: Folder::Store(Bucket::new(root.clone(), Handle::current()).unwrap()),
        copies: PathBuf::new(),
        files: Files::of(&select(json!({ "path": "*.csv" }))).unwrap(),
        columns: Columns::new(["id"]),
        offsets: FileOffsets { objects: Some(objects), ..FileOffsets::default() },
        batch_rows: 100,
        clock: Arc::new(ManualClock::at(now)),
    };
    let before = memory();

    let batches: Vec<Batch<Row>> = reading(known).feed().try_collect().await.unwrap();

    let grown = memory().saturating_sub(before);
    assert_eq!(told(&batches), ["1", "1"]);
    assert!(grown < 32 * 1024, "{grown} KiB");
    let checkpoint = place_of(&batches).unwrap();
    assert!(checkpoint.0.to_string().len() < 300, "{}", checkpoint.0);
    let again = FileOffsets::of(Some(&checkpoint)).unwrap().objects.unwrap();
    let nothing: Vec<Batch<Row>> = reading(again).feed().try_collect().await.unwrap();
    assert!(nothing.is_empty(), "{nothing:?}");
}
