//! How the Delta library waits for its store.

use std::cell::Cell;
use std::future::Future;
use std::sync::mpsc;

use delta_kernel::{KernelError, KernelResult};
use delta_kernel_default_engine::executor::TaskExecutor;
use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use tokio::runtime::{EnterGuard, Handle};

thread_local! {
    /// Whether this thread waits for the store already: writing a checkpoint
    /// reads the log while it writes.
    static WAITS: Cell<bool> = const { Cell::new(false) };
}

/// Runs the library's requests on the runtime of the program.
///
/// The library blocks, so all of it runs on threads that may: no call of it is
/// made outside [`tokio::task::spawn_blocking`]. Its own executors start threads
/// and runtimes that cannot be dropped from here.
pub(super) struct Borrowed(pub(super) Handle);

/// Ends the waiting of this thread, also when a panic ends it.
struct Waits;

impl Drop for Waits {
    fn drop(&mut self) {
        WAITS.set(false);
    }
}

impl TaskExecutor for Borrowed {
    type Guard<'a> = EnterGuard<'a>;

    fn block_on<T>(&self, task: T) -> T::Output
    where
        T: Future + Send + 'static,
        T::Output: Send + 'static,
    {
        if WAITS.replace(true) {
            // A thread cannot wait twice in the runtime's own way, but it can wait for another one.
            let (done, result) = mpsc::channel();
            self.0.spawn(async move { done.send(task.await) });
            return result.recv().expect("a task of the library does not panic, nor is it ended");
        }
        let _waits = Waits;
        self.0.block_on(task)
    }

    fn spawn<F>(&self, task: F)
    where
        F: Future<Output = ()> + Send + 'static,
    {
        self.0.spawn(task);
    }

    fn spawn_blocking<T, R>(&self, task: T) -> BoxFuture<'_, KernelResult<R>>
    where
        T: FnOnce() -> R + Send + 'static,
        R: Send + 'static,
    {
        self.0.spawn_blocking(task).map(|done| done.map_err(KernelError::join_failure)).boxed()
    }

    fn enter(&self) -> EnterGuard<'_> {
        self.0.enter()
    }
}
