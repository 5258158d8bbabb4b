//! The phases of a feed, from the first message to the exit of its thread.

/// Phases of a feed, in their order. Some may be skipped, none is entered twice.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Phase {
    /// Messages are read and emitted.
    #[default]
    Reading,
    /// Nothing more is read. The feed still emits what was read before.
    Draining,
    /// The feed is gone, so nothing more is emitted. The engine may still
    /// acknowledge what was.
    Drained,
    /// No more acknowledgements are awaited.
    Abandoned,
    /// The client's thread has exited: nothing more is committed.
    Exited,
}
