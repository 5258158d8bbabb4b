//! What the Delta library reports, in the program's own words.

use delta_kernel::KernelError;
use tidegate_model::{Error, ErrorKind};

use tidegate_transport::storage::explain;

/// Explains a failure. `doing` names the table: `writing the table /lake/x/y`.
pub(super) fn kernel(doing: &str, cause: KernelError) -> Error {
    match cause {
        KernelError::Backtraced { source, .. } => kernel(doing, *source),
        KernelError::ObjectStore(cause) => explain(doing, &cause),
        KernelError::IOError(cause) => {
            explain(doing, &object_store::Error::Generic { store: "disk", source: Box::new(cause) })
        }
        KernelError::FileNotFound(file) => {
            Error::new(ErrorKind::Missing, format!("{doing}: its file {file} is not there"))
                .hint("restore the file, or name another `table`: a new one is made")
        }
        cause @ (KernelError::Unsupported(_)
        | KernelError::InvalidProtocol(_)
        | KernelError::Schema(_)
        | KernelError::InvalidColumnMappingMode(_)) => {
            Error::new(ErrorKind::Settings, format!("{doing}: {cause}"))
                .hint("the table uses a feature that cannot be written from here: name another `table`")
        }
        cause @ (KernelError::InternalError(_) | KernelError::InvalidTransactionState(_)) => {
            Error::internal(format!("{doing}: {cause}"))
        }
        cause => Error::new(ErrorKind::Unexpected, format!("{doing}: {cause}")).caused_by(cause),
    }
}
