//! A bucket in memory, which fails or waits when a test tells it to.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::stream::{self, BoxStream};
use futures_util::{StreamExt as _, TryStreamExt as _};
use jiff::Timestamp;
use tidegate_model::bucket::Content;
use tidegate_model::{Bucket, BucketFile, Clock as _, Error, ErrorKind};
use tidegate_testkit::ManualClock;
use tokio::sync::Notify;

/// The time and the bytes of each file.
type Files = BTreeMap<String, (Timestamp, Vec<u8>)>;

/// The folder of the marks by which an older state is recognized.
pub(super) const MARKS: &str = "recency/";

/// A bucket in memory, which fails when it is told to.
#[derive(Clone, Default)]
pub(super) struct Memory {
    pub(super) address: String,
    pub(super) files: Arc<Mutex<Files>>,
    pub(super) clock: ManualClock,
    /// Requests until one fails; none if it is negative.
    pub(super) until_failure: Arc<AtomicI64>,
    /// The names of the files that were read.
    read: Arc<Mutex<Vec<String>>>,
    /// A folder whose unfinished files are removed while the next file of history is copied.
    pub(super) cut: Arc<Mutex<Option<PathBuf>>>,
    /// Where uploads of history wait, if there is one.
    gate: Arc<Mutex<Option<Arc<Gate>>>>,
    /// Where a listing of hashes waits, if there is one.
    listing: Arc<Mutex<Option<Arc<Gate>>>>,
}

/// Where requests wait until it is opened.
pub(super) struct Gate {
    pub(super) reached: Notify,
    pub(super) opened: Notify,
}

impl Gate {
    fn at(closed: &Mutex<Option<Arc<Gate>>>) -> Arc<Gate> {
        let gate = Arc::new(Gate { reached: Notify::new(), opened: Notify::new() });
        *closed.lock().expect("whole") = Some(Arc::clone(&gate));
        gate
    }

    async fn pass(&self) {
        self.reached.notify_one();
        self.opened.notified().await;
    }
}

impl Memory {
    pub(super) fn new(clock: &ManualClock) -> Memory {
        let never = Arc::new(AtomicI64::new(-1));
        Memory {
            address: "s3://acme/".into(),
            clock: clock.clone(),
            until_failure: never,
            ..Memory::default()
        }
    }

    fn asked(&self) -> Result<(), Error> {
        match self.until_failure.fetch_sub(1, Ordering::SeqCst) {
            0 => Err(Error::new(ErrorKind::Unavailable, "the bucket does not answer")),
            _ => Ok(()),
        }
    }

    /// Keeps the next upload of history until the gate is opened.
    pub(super) fn close(&self) -> Arc<Gate> {
        Gate::at(&self.gate)
    }

    /// Keeps the next listing of hashes until the gate is opened.
    pub(super) fn close_listing(&self) -> Arc<Gate> {
        Gate::at(&self.listing)
    }

    pub(super) fn names(&self, folder: &str) -> Vec<String> {
        let files = self.files.lock().expect("whole");
        files.keys().filter(|name| name.starts_with(folder)).cloned().collect()
    }

    /// The files of a folder that were read, as often as they were.
    pub(super) fn read(&self, folder: &str) -> Vec<String> {
        let read = self.read.lock().expect("whole");
        read.iter().filter(|name| name.starts_with(folder)).cloned().collect()
    }

    /// Puts other bytes into a file.
    pub(super) fn write(&self, name: &str, bytes: Vec<u8>) {
        let mut files = self.files.lock().expect("whole");
        files.get_mut(name).expect("a file").1 = bytes;
    }

    pub(super) fn holds(&self, text: &str) -> bool {
        let files = self.files.lock().expect("whole");
        files.values().any(|(_, bytes)| bytes.windows(text.len()).any(|window| window == text.as_bytes()))
    }
}

/// Removes the files of a folder, and of those in it, that are not complete.
fn remove_unfinished(folder: &Path) {
    for entry in fs::read_dir(folder).expect("a folder").flatten() {
        let path = entry.path();
        if path.is_dir() {
            remove_unfinished(&path);
        } else if path.extension().is_some_and(|end| end == "tmp") {
            fs::remove_file(path).expect("removed");
        }
    }
}

#[async_trait]
impl Bucket for Memory {
    fn address(&self) -> String {
        self.address.clone()
    }

    /// The file may be there although the answer is lost.
    async fn put(&self, name: &str, content: Content) -> Result<(), Error> {
        let bytes = content.try_collect::<Vec<Bytes>>().await?.concat();
        if name.starts_with(MARKS) {
            // Written beside everything else, whenever that is.
            self.files.lock().expect("whole").insert(name.to_owned(), (self.clock.now(), bytes));
            return Ok(());
        }
        let gate = self.gate.lock().expect("whole").take_if(|_| name.starts_with("history/"));
        if let Some(gate) = gate {
            gate.pass().await;
        }
        self.asked()?;
        self.files.lock().expect("whole").insert(name.to_owned(), (self.clock.now(), bytes));
        self.asked()
    }

    async fn get(&self, name: &str) -> Result<Option<Content>, Error> {
        self.asked()?;
        self.read.lock().expect("whole").push(name.to_owned());
        let found = self.files.lock().expect("whole").get(name).map(|(_, bytes)| Bytes::from(bytes.clone()));
        let cut = self.cut.lock().expect("whole").take_if(|_| name.starts_with("history/"));
        let content = |bytes| async move {
            cut.iter().for_each(|folder| remove_unfinished(folder));
            Ok(bytes)
        };
        Ok(found.map(|bytes| stream::once(content(bytes)).boxed()))
    }

    async fn remove(&self, name: &str) -> Result<(), Error> {
        self.asked()?;
        self.files.lock().expect("whole").remove(name);
        self.asked()
    }

    fn list(&self, folder: &str) -> BoxStream<'static, Result<BucketFile, Error>> {
        let (memory, folder) = (self.clone(), format!("{folder}/"));
        let listed = async move {
            let gate = memory.listing.lock().expect("whole").take_if(|_| folder == "lookback/");
            if let Some(gate) = gate {
                gate.pass().await;
            }
            memory.asked()?;
            let files = memory.files.lock().expect("whole");
            let of_folder = files.iter().filter(|(name, _)| name.starts_with(&folder));
            let listed: Vec<_> = of_folder
                .map(|(name, (written_at, _))| Ok(BucketFile { name: name.clone(), written_at: *written_at }))
                .collect();
            Ok(stream::iter(listed))
        };
        stream::once(listed).try_flatten().boxed()
    }
}
