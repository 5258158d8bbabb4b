//! Events come in by HTTP, are durable, and go out.
