//! A sorted run in a file: pages with a checksum each, and an index of their first keys.

use std::fs::File;
use std::io::{self, BufWriter, Read, Write};
use std::path::{Path, PathBuf};

use tidegate_model::store::RowVersion;
use tidegate_model::{Error, RowHash};
use uuid::Uuid;
use xxhash_rust::xxh3::xxh3_64;

use super::{RECORD_BYTES, damaged, decode, encode};
use crate::failure;
use crate::folder;

const PAGE_BYTES: usize = 4_096;
/// Records in a page; after them their number and a checksum.
const PAGE_RECORDS: usize = 127;
const COUNT_AT: usize = PAGE_RECORDS * RECORD_BYTES;
const CHECKSUM_AT: usize = PAGE_BYTES - 8;
/// What ends a file: a checksum of the index, pages, rows, and the form.
const FOOTER_BYTES: usize = 32;
const FORM: u64 = u64::from_le_bytes(*b"TGROWS\0\x01");

/// How the name of a file ends that is not complete.
pub(crate) const UNFINISHED: &str = "tmp";

type Page = [u8; PAGE_BYTES];

/// Writes a sorted run. Nothing is there before [`RunWriter::finish`].
pub(crate) struct RunWriter {
    path: PathBuf,
    unfinished: PathBuf,
    out: BufWriter<File>,
    page: Box<Page>,
    records: usize,
    rows: u64,
    /// The first eight bytes of the first key of each page.
    index: Vec<u64>,
}

impl RunWriter {
    /// Begins a file. Processes that make the same one at the same time do not write into one file.
    ///
    /// # Errors
    /// If it, or its folder, cannot be created.
    pub(crate) fn create(path: &Path) -> Result<RunWriter, Error> {
        if let Some(folder) = path.parent() {
            folder::create(folder).map_err(|cause| write_failed(cause, folder))?;
        }
        let unfinished = path.with_extension(format!("{}.{UNFINISHED}", Uuid::new_v4().simple()));
        let out = folder::create_file(&unfinished).map_err(|cause| write_failed(cause, &unfinished))?;
        Ok(RunWriter {
            path: path.to_path_buf(),
            unfinished,
            out: BufWriter::with_capacity(1 << 18, out),
            page: Box::new([0; PAGE_BYTES]),
            records: 0,
            rows: 0,
            index: Vec::new(),
        })
    }

    /// Adds a row. It is not smaller than the one before.
    ///
    /// # Errors
    /// If it cannot be written.
    pub(crate) fn push(&mut self, row: RowVersion) -> Result<(), Error> {
        if self.records == 0 {
            self.index.push(prefix(row.key));
        }
        let at = self.records * RECORD_BYTES;
        self.page[at..at + RECORD_BYTES].copy_from_slice(&encode(row));
        self.records += 1;
        self.rows += 1;
        if self.records == PAGE_RECORDS { self.flush_page() } else { Ok(()) }
    }

    fn flush_page(&mut self) -> Result<(), Error> {
        let count = u16::try_from(self.records).unwrap_or(0);
        self.page[self.records * RECORD_BYTES..].fill(0);
        self.page[COUNT_AT..COUNT_AT + 2].copy_from_slice(&count.to_le_bytes());
        let checksum = xxh3_64(&self.page[..CHECKSUM_AT]);
        self.page[CHECKSUM_AT..].copy_from_slice(&checksum.to_le_bytes());
        self.records = 0;
        self.out.write_all(&self.page[..]).map_err(|cause| write_failed(cause, &self.unfinished))
    }

    /// Returns how many rows were added.
    pub(crate) fn rows(&self) -> u64 {
        self.rows
    }

    /// Makes the file complete and durable. Returns how many rows it has.
    ///
    /// # Errors
    /// If it cannot be written.
    pub(crate) fn finish(mut self) -> Result<u64, Error> {
        if self.records > 0 {
            self.flush_page()?;
        }
        let mut tail: Vec<u8> = self.index.iter().flat_map(|first| first.to_le_bytes()).collect();
        for number in [self.index.len() as u64, self.rows, FORM] {
            tail.extend_from_slice(&number.to_le_bytes());
        }
        tail.extend_from_slice(&xxh3_64(&tail).to_le_bytes());
        let path = self.unfinished.clone();
        let fail = |cause| write_failed(cause, &path);
        self.out.write_all(&tail).map_err(fail)?;
        self.out.flush().map_err(fail)?;
        self.out.get_ref().sync_all().map_err(fail)?;
        std::fs::rename(&self.unfinished, &self.path).map_err(fail)?;
        if let Some(folder) = self.path.parent() {
            folder::sync(folder).map_err(fail)?;
        }
        Ok(self.rows)
    }
}

impl Drop for RunWriter {
    /// Removes what was not finished.
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.unfinished);
    }
}

/// A sorted run that is read.
pub(crate) struct RunFile {
    path: PathBuf,
    file: File,
    index: Vec<u64>,
}

impl RunFile {
    /// Opens a file and reads its index: eight bytes of memory for 127 rows.
    ///
    /// # Errors
    /// If it cannot be read, or is not as it was written.
    pub(crate) fn open(path: &Path) -> Result<RunFile, Error> {
        let file = File::open(path).map_err(|cause| read_failed(cause, path))?;
        RunFile::of(file, path)
    }

    /// Opens a file that may have been removed; `None` if it was.
    ///
    /// # Errors
    /// As [`RunFile::open`].
    pub(crate) fn open_if_there(path: &Path) -> Result<Option<RunFile>, Error> {
        match File::open(path) {
            Ok(file) => RunFile::of(file, path).map(Some),
            Err(cause) if cause.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(cause) => Err(read_failed(cause, path)),
        }
    }

    fn of(mut file: File, path: &Path) -> Result<RunFile, Error> {
        let broken = || damaged(&path.display().to_string());
        let length = file.metadata().map_err(|cause| read_failed(cause, path))?.len();
        let footer_at = length.checked_sub(FOOTER_BYTES as u64).ok_or_else(broken)?;
        let mut footer = [0; FOOTER_BYTES];
        read_at(&file, &mut footer, footer_at).map_err(|cause| read_failed(cause, path))?;
        let (numbers, _) = footer.as_chunks::<8>();
        let [pages, _, form, checksum] = [0, 1, 2, 3].map(|at| u64::from_le_bytes(numbers[at]));
        let pages_bytes = pages.checked_mul(PAGE_BYTES as u64).ok_or_else(broken)?;
        if form != FORM || pages_bytes.checked_add(pages * 8) != Some(footer_at) {
            return Err(broken());
        }
        let mut tail = vec![0; (length - pages_bytes) as usize];
        read_at(&file, &mut tail, pages_bytes).map_err(|cause| read_failed(cause, path))?;
        if xxh3_64(&tail[..tail.len() - 8]) != checksum {
            return Err(broken());
        }
        let (index, _) = tail[..pages as usize * 8].as_chunks::<8>();
        let index = index.iter().map(|first| u64::from_le_bytes(*first)).collect();
        // Whatever was read so far, rows are read from the beginning.
        io::Seek::rewind(&mut file).map_err(|cause| read_failed(cause, path))?;
        Ok(RunFile { path: path.to_path_buf(), file, index })
    }

    /// Calls `found` with the rows of each of these keys, which are sorted, and the key's index.
    ///
    /// # Errors
    /// If a page cannot be read.
    pub(crate) fn find(
        &self,
        keys: impl Iterator<Item = (usize, RowHash)>,
        mut found: impl FnMut(usize, RowHash),
    ) -> Result<(), Error> {
        let mut page: Box<Page> = Box::new([0; PAGE_BYTES]);
        let mut held: Option<usize> = None;
        for (at, key) in keys {
            let first = prefix(key);
            // The page before the first that begins with it may end with it.
            let mut number = self.index.partition_point(|begin| *begin < first).saturating_sub(1);
            while self.index.get(number).is_some_and(|begin| *begin <= first) {
                if held != Some(number) {
                    read_at(&self.file, &mut page[..], number as u64 * PAGE_BYTES as u64)
                        .map_err(|cause| read_failed(cause, &self.path))?;
                    self.verify(&page)?;
                    held = Some(number);
                }
                let records = records(&page);
                let begin = records.partition_point(|record| decode(record).key < key);
                for record in &records[begin..] {
                    let row = decode(record);
                    if row.key != key {
                        break;
                    }
                    found(at, row.row);
                }
                number += 1;
            }
        }
        Ok(())
    }

    /// Returns all rows in order, even if the file was unlinked.
    ///
    /// # Errors
    /// If the system has no room for another open file.
    pub(crate) fn rows_again(&self) -> Result<Rows, Error> {
        let reopen = || {
            let mut file = self.file.try_clone()?;
            io::Seek::rewind(&mut file)?;
            Ok(file)
        };
        let file = reopen().map_err(|cause| read_failed(cause, &self.path))?;
        Ok(Rows::of(self.path.clone(), file, self.index.len()))
    }

    /// Returns all rows in order.
    pub(crate) fn rows(self) -> Rows {
        Rows::of(self.path, self.file, self.index.len())
    }

    fn verify(&self, page: &Page) -> Result<(), Error> {
        if is_whole(page) { Ok(()) } else { Err(damaged(&self.path.display().to_string())) }
    }
}

/// The rows of a file in order.
pub(crate) struct Rows {
    path: PathBuf,
    input: io::BufReader<File>,
    pages: usize,
    page: Box<Page>,
    at: usize,
    count: usize,
}

impl Rows {
    fn of(path: PathBuf, file: File, pages: usize) -> Rows {
        let input = io::BufReader::with_capacity(1 << 17, file);
        Rows { path, input, pages, page: Box::new([0; PAGE_BYTES]), at: 0, count: 0 }
    }
}

impl Iterator for Rows {
    type Item = Result<RowVersion, Error>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.at == self.count {
            self.pages = self.pages.checked_sub(1)?;
            if let Err(cause) = self.input.read_exact(&mut self.page[..]) {
                return Some(Err(read_failed(cause, &self.path)));
            }
            if !is_whole(&self.page) {
                return Some(Err(damaged(&self.path.display().to_string())));
            }
            (self.at, self.count) = (0, records(&self.page).len());
        }
        let row = decode(records(&self.page).get(self.at)?);
        self.at += 1;
        Some(Ok(row))
    }
}

/// The first eight bytes of a key.
fn prefix(key: RowHash) -> u64 {
    (key.0 >> 64) as u64
}

fn is_whole(page: &Page) -> bool {
    let count = usize::from(u16::from_le_bytes([page[COUNT_AT], page[COUNT_AT + 1]]));
    let checksum = page.last_chunk::<8>().map(|bytes| u64::from_le_bytes(*bytes));
    (1..=PAGE_RECORDS).contains(&count) && checksum == Some(xxh3_64(&page[..CHECKSUM_AT]))
}

fn records(page: &Page) -> &[[u8; RECORD_BYTES]] {
    let count = usize::from(u16::from_le_bytes([page[COUNT_AT], page[COUNT_AT + 1]]));
    &page.as_chunks::<RECORD_BYTES>().0[..count.min(PAGE_RECORDS)]
}

/// Fills `bytes` from an offset, whatever was read before.
///
/// # Errors
/// If the file ends before.
pub(crate) fn read_at(file: &File, bytes: &mut [u8], offset: u64) -> io::Result<()> {
    #[cfg(unix)]
    return std::os::unix::fs::FileExt::read_exact_at(file, bytes, offset);
    #[cfg(not(unix))]
    {
        let mut file = file.try_clone()?;
        io::Seek::seek(&mut file, io::SeekFrom::Start(offset))?;
        file.read_exact(bytes)
    }
}

fn write_failed(cause: io::Error, path: &Path) -> Error {
    failure::of_io(cause, "writing the remembered rows", path)
}

fn read_failed(cause: io::Error, path: &Path) -> Error {
    failure::of_io(cause, "reading the remembered rows", path)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(key: u128, row: u128) -> RowVersion {
        RowVersion { key: RowHash(key), row: RowHash(row) }
    }

    fn written(folder: &Path, rows: &[RowVersion]) -> PathBuf {
        let path = folder.join("1.rows");
        let mut writer = RunWriter::create(&path).expect("created");
        rows.iter().for_each(|row| writer.push(*row).expect("written"));
        assert_eq!(writer.finish().expect("finished"), rows.len() as u64);
        path
    }

    /// Keys over the whole range; every tenth three times, so that some lie over two pages.
    fn many() -> Vec<RowVersion> {
        let step = u128::MAX / 1_000;
        let times = |at: u128| if at.is_multiple_of(10) { 3 } else { 1 };
        (0..1_000).flat_map(|at| (0..times(at)).map(move |twin| row(at * step, twin))).collect()
    }

    #[test]
    fn every_key_is_found_with_all_of_its_rows_and_no_other() {
        let folder = tempfile::tempdir().expect("a folder");
        let rows = many();
        let file = RunFile::open(&written(folder.path(), &rows)).expect("opened");
        let keys: Vec<RowHash> = rows.iter().flat_map(|row| [row.key, RowHash(row.key.0 + 1)]).collect();
        let mut found = vec![Vec::new(); keys.len()];
        file.find(keys.iter().copied().enumerate(), |at, row| found[at].push(row)).expect("found");
        for (key, found) in keys.iter().zip(found) {
            let expected: Vec<RowHash> =
                rows.iter().filter(|row| row.key == *key).map(|row| row.row).collect();
            assert_eq!(found, expected, "{key}");
        }
        let read: Vec<RowVersion> = file.rows().map(|row| row.expect("read")).collect();
        assert_eq!(read, rows);
    }

    #[test]
    fn two_processes_that_make_one_file_do_not_write_into_each_others() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("1.rows");
        let mut writers = [(); 2].map(|()| RunWriter::create(&path).expect("created"));
        for at in 0..300 {
            writers.iter_mut().for_each(|writer| writer.push(row(at, at)).expect("written"));
        }
        let [first, second] = writers;
        first.finish().expect("finished");
        assert_eq!(RunFile::open(&path).expect("opened").rows().count(), 300);
        drop(second);
        let names = std::fs::read_dir(folder.path()).expect("listed");
        let names: Vec<_> = names.map(|entry| entry.expect("an entry").file_name()).collect();
        assert_eq!(names, ["1.rows"], "what was not finished is gone");
    }

    #[test]
    fn a_run_of_nothing_is_a_file_too() {
        let folder = tempfile::tempdir().expect("a folder");
        let file = RunFile::open(&written(folder.path(), &[])).expect("opened");
        file.find([(0, RowHash(1))].into_iter(), |_, _| panic!("found")).expect("nothing");
        assert_eq!(file.rows().count(), 0);
    }

    #[test]
    fn damage_anywhere_is_an_error_and_never_a_wrong_row() {
        let folder = tempfile::tempdir().expect("a folder");
        let rows: Vec<RowVersion> = (0..200).map(|at| row(at << 100, at)).collect();
        let path = written(folder.path(), &rows);
        let whole = std::fs::read(&path).expect("bytes");
        for at in (0..whole.len()).step_by(7) {
            let mut bytes = whole.clone();
            bytes[at] ^= 0x10;
            std::fs::write(&path, &bytes).expect("damaged");
            let read = RunFile::open(&path).and_then(|file| file.rows().collect::<Result<Vec<_>, _>>());
            assert!(read.is_err(), "byte {at}");
            std::fs::write(&path, &whole[..at]).expect("cut");
            assert!(RunFile::open(&path).is_err(), "cut at {at}");
        }
    }
}
