//! Compiling `.proto` text without `protoc`.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use prost_reflect::FileDescriptor;
use protox::Compiler;
use protox::file::{ChainFileResolver, File, FileResolver, GoogleFileResolver};

use super::editions;
use super::googletypes::GOOGLE_TYPES;

/// The name of the file that is asked for, as it appears in messages of the
/// compiler. No import is called like that.
const MAIN: &str = "this schema.proto";

/// What Confluent's registry knows without being told.
///
/// Source: `confluent/meta.proto`, `confluent/type/decimal.proto` of `confluent_kafka` 2.16.
const CONFLUENT: [(&str, &str); 3] = [
    ("confluent/meta.proto", include_str!("confluent/meta.proto")),
    ("confluent/type/decimal.proto", include_str!("confluent/decimal.proto")),
    ("confluent/types/decimal.proto", "syntax = \"proto3\"; import public \"confluent/type/decimal.proto\";"),
];

/// Compiles a schema with the files that it imports.
pub(super) fn registered(text: &str, references: &[(String, String)]) -> Result<FileDescriptor, String> {
    let mut resolver = ChainFileResolver::new();
    resolver.add(Texts(
        std::iter::once((MAIN, text))
            .chain(references.iter().map(|(name, text)| (name.as_str(), text.as_str())))
            .chain(CONFLUENT)
            .chain(GOOGLE_TYPES)
            .map(|(name, text)| (name.to_owned(), text.to_owned()))
            .collect(),
    ));
    resolver.add(GoogleFileResolver::new());
    compile(resolver, MAIN)
}

/// Compiles a file; its imports lie beside it.
pub(super) fn file(path: &Path) -> Result<FileDescriptor, String> {
    let name = path.file_name().and_then(|name| name.to_str()).ok_or("the file has no name")?;
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let mut resolver = ChainFileResolver::new();
    resolver.add(Folder(folder.to_owned()));
    let known = CONFLUENT.into_iter().chain(GOOGLE_TYPES);
    resolver.add(Texts(known.map(|(name, text)| (name.to_owned(), text.to_owned())).collect()));
    resolver.add(GoogleFileResolver::new());
    compile(resolver, name)
}

fn compile(resolver: impl FileResolver + 'static, name: &str) -> Result<FileDescriptor, String> {
    let mut compiler = Compiler::with_file_resolver(resolver);
    compiler.include_imports(true).open_file(name).map_err(|cause| cause.to_string())?;
    let file = compiler.descriptor_pool().get_file_by_name(name);
    file.ok_or_else(|| "it is not in its own result".to_owned())
}

/// Files in memory: `.proto` text, or a file descriptor in base64 as
/// Confluent's Python and .NET clients register it.
struct Texts(Vec<(String, String)>);

impl FileResolver for Texts {
    fn open_file(&self, name: &str) -> Result<File, protox::Error> {
        let found = self.0.iter().find(|(known, _)| known == name);
        let (_, text) = found.ok_or_else(|| protox::Error::file_not_found(name))?;
        // No `.proto` text is base64: every one has a space or a semicolon.
        let Ok(bytes) = STANDARD.decode(text.trim()) else { return source(name, text) };
        let file = File::decode_file_descriptor_proto(bytes.as_slice()).map_err(protox::Error::new)?;
        let mut file = file.file_descriptor_proto().clone();
        file.name = Some(name.to_owned());
        Ok(File::from_file_descriptor_proto(file))
    }
}

/// The files of a folder.
struct Folder(PathBuf);

impl FileResolver for Folder {
    fn open_file(&self, name: &str) -> Result<File, protox::Error> {
        match std::fs::read_to_string(self.0.join(name)) {
            Ok(text) => source(name, &text),
            Err(cause) if cause.kind() == ErrorKind::NotFound => Err(protox::Error::file_not_found(name)),
            Err(cause) => Err(protox::Error::new(format!("{name} cannot be read: {cause}"))),
        }
    }
}

fn source(name: &str, text: &str) -> Result<File, protox::Error> {
    File::from_source(name, &editions::plain(text).map_err(protox::Error::new)?)
}
